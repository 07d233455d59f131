//! What a module does of its own accord, and what it owes all the same.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::accord::outcome_of;
use super::court::{Court, Outcome};
use super::script::{ALICE, BOB, Event, Message, at, beat, discover, on, request, status, stray, withdraw};
use crate::conformance::judge::{Means, Prompt};
use crate::conformance::sighting::Party;
use crate::diagnostic::Subject;
use crate::protocol::channel::{ApiType, Channel};

const BY_ITSELF: &str = "module/acts-by-itself";

/// A client of this API that knows nothing of khumbu.
fn unprepared(api: &str, steps: &str) -> Court {
    Court { prompt: Prompt::Never, ..Court::of("client", api, steps) }
}

fn token(value: &str) -> Message {
    let token = json!({"id_token": {"value": value, "type": "ISO14443"}, "authorization_type": "RFID"});
    on(Channel::PROVIDED_TOKEN, token).by_module()
}

fn question(reply_to: &str) -> Message {
    let question = request(Channel::VALIDATE_TOKEN, reply_to, &json!({"id_token": {"value": ALICE}}));
    Message { from: Party::Harness, ..question }
}

fn verdict(topic: &str, verdict: &str) -> Message {
    stray(topic, json!({"authorization_status": verdict, "tariff_messages": []})).by_module()
}

/// Says how it could be exercised.
#[track_caller]
fn is_let_off(outcome: Outcome) -> String {
    let told = outcome.told.unwrap();
    assert_eq!((told.id, told.verdict, told.is_unexercised), (BY_ITSELF, "inconclusive", true), "{told:?}");
    assert_eq!((told.subject, told.is_otherwise), (Subject::Module, false), "nobody looks for another explanation");
    assert!(told.headline.starts_with("not held against module `api`, which acts by itself: "), "{told:?}");
    assert!(told.evidence.contains(&"it does not subscribe".to_owned()), "{told:?}");
    let help = told.help.unwrap();
    assert!(help.contains(": {by_itself: 30s}` if "));
    help
}

#[test]
fn a_module_can_be_told_on_the_control_topic_by_hand_or_what_has_a_binding() {
    let bound = |command: &str| [command.to_owned()].into();
    for (means, can) in [
        (Means::default(), false),
        (Means { listens: true, ..Means::default() }, true),
        (Means { by_hand: true, ..Means::default() }, true),
        (Means { bound: bound("withdraw"), ..Means::default() }, true),
        (Means { bound: bound("discover"), ..Means::default() }, false),
    ] {
        assert_eq!(means.tell("withdraw"), can, "{means:?}");
    }
}

#[test]
fn what_a_module_cannot_be_told_is_not_exercised_and_not_waited_for() {
    let court = unprepared("auth_consumer", "- withdraw: {evse_id: 1}");
    // What it asks by itself is not meant, whatever it is.
    for events in [&[][..], &[at(0, withdraw("r/1"))], &[at(0, withdraw("r/1")), at(1, withdraw("r/2"))]] {
        let outcome = court.judge(events);
        assert_eq!((outcome.id(), outcome.at), ("module/not-drivable", 0));
        let told = outcome.told.unwrap();
        assert_eq!((told.verdict, told.line, told.is_unexercised), ("inconclusive", 12, true));
        assert_eq!(told.headline, "module `api` cannot be told to `withdraw`");
        assert_eq!(told.evidence, ["it does not subscribe", "khumbu.yaml has no binding for `withdraw`"]);
        assert_eq!(
            told.help.unwrap(),
            "let it follow `withdraw` on `khumbu/api/do`, or give it a binding for `withdraw` in khumbu.yaml: a line, a \
             message or a command that tells it (`stdin`, `publish`, `run`), or `withdraw: {by_itself: 30s}` if it does \
             so by itself, or somebody presses its button"
        );
    }
    assert_eq!(court.judge(&[(0, Event::Ends)]).id(), "module/ended", "that it lives is owed");
    for step in ["get_status: {}", "discover: {}", "query_modules: auth_consumer", "communication_check: false"] {
        let outcome = unprepared("auth_consumer", &format!("- {step}")).judge(&[]);
        let (command, _) = step.split_once(':').unwrap();
        assert_eq!((outcome.id(), outcome.at), ("module/not-drivable", 0));
        assert_eq!(outcome.told.unwrap().headline, format!("module `api` cannot be told to `{command}`"));
    }
}

#[test]
fn a_verdict_is_the_backends_own_and_that_it_answers_is_its_duty() {
    let steps = "- present_token: ALICE\n- expect: {message: validate_token}\n\
                 - expect_reply: {payload: {authorization_status: Accepted}, within: 1s}\n\
                 - expect_status: {token: ALICE, sequence: [Processing, Accepted], within: 1s}";
    let court = unprepared("auth_token_validator", steps);
    let asked = [at(1, question("q/1"))];
    let after = |events: &[(u64, Event)]| court.judge(&[&asked, events].concat());
    let help = is_let_off(after(&[at(2, verdict("q/1", "Blocked"))]));
    assert!(
        help.contains("`set_verdict`") && help.ends_with("if its own table has the tokens of the scenario"),
        "{help}"
    );
    // What EVerest makes of it is no more its affair.
    let told =
        [at(2, verdict("q/1", "Accepted")), at(3, status(ALICE, "Processing")), at(4, status(ALICE, "Rejected"))];
    is_let_off(after(&told));
    is_let_off(after(&told[..2]));
    assert_eq!(after(&[told[0].clone(), told[1].clone(), at(4, status(ALICE, "Accepted"))]).id(), "met");
    for (events, id) in [
        (vec![], "expect/missing"),
        (vec![at(1500, verdict("q/1", "Blocked"))], "expect/late"),
        (vec![at(1500, verdict("q/1", "Accepted"))], "expect/late"),
        (vec![at(2, verdict("q/2", "Accepted"))], "expect/wrong-topic"),
        (vec![(2, Event::Ends)], "module/ended"),
    ] {
        assert_eq!(after(&events).id(), id, "{events:?}");
    }
    // It waits for nothing with its answer that is no part of the question.
    let early = "- present_token: ALICE\n- expect: {message: validate_token}\n- expect: {message: heartbeat}\n\
                 - expect_reply: {payload: $any}";
    let events = [at(1, question("q/1")), at(2, verdict("q/1", "Accepted")), at(3, beat(1))];
    is_let_off(unprepared("auth_token_validator", early).judge(&events));
    // As long as EVerest waits, it is not late.
    let while_it_waits = |seconds, events: &[(u64, Event)]| {
        let answer_within = Duration::from_secs(seconds);
        let court = Court { answer_within, ..unprepared("auth_token_validator", steps) };
        court.judge(&[&asked, events].concat())
    };
    let in_time = [at(1500, verdict("q/1", "Accepted"))];
    is_let_off(while_it_waits(60, &[]));
    is_let_off(while_it_waits(60, &in_time));
    assert_eq!(while_it_waits(60, &[at(2, verdict("q/2", "Accepted"))]).id(), "expect/wrong-topic");
    assert_eq!(while_it_waits(1, &in_time).id(), "expect/late");
    // One that is told what to say has to say it.
    let driven = Court { prompt: Prompt::Told, ..unprepared("auth_token_validator", steps) };
    assert_eq!(
        Court { prompt: Prompt::Told, ..unprepared("auth_token_validator", early) }.judge(&events).id(),
        "expect/out-of-order"
    );
    let wrong = [asked[0].clone(), at(2, verdict("q/1", "Blocked"))];
    assert_eq!(driven.judge(&wrong).id(), "expect/payload-mismatch");
    assert_eq!(driven.judge(&[&asked, &told[..]].concat()).id(), "expect/outcome");
}

#[test]
fn a_token_is_the_readers_own() {
    for (steps, events) in [
        (
            "- expect: {message: provided_token, payload: {id_token: {value: \"04A2F3B1\"}}, within: 1s}",
            vec![at(1, token(BOB))],
        ),
        ("- expect: {message: provided_token, within: 1s}", vec![]),
        ("- expect_status: {token: ALICE, status: Processing, within: 1s}", vec![at(1, token(BOB))]),
        ("- expect_none: {message: provided_token, for: 1s}", vec![at(1, token(BOB))]),
        ("- expect_none: {message: token_validation_status, for: 1s}", vec![at(1, status(BOB, "Processing"))]),
    ] {
        let help = is_let_off(unprepared("auth_token_provider", steps).judge(&events));
        assert!(help.contains("`present_token`") && help.ends_with("if somebody presents the token to it"), "{help}");
        let driven = Court { prompt: Prompt::Told, ..unprepared("auth_token_provider", steps) };
        assert_eq!(driven.judge(&events).told.unwrap().verdict, "fail", "{steps}");
        let by_hand = Court { is_told_by_hand: true, ..unprepared("auth_token_provider", steps) };
        assert_eq!(by_hand.judge(&events).told.unwrap().verdict, "fail", "a command of the scenario may have told it");
    }
    // What does not hang on tokens is khumbu's own.
    let beats = unprepared("auth_token_provider", "- expect: {message: heartbeat, payload: 7, within: 1s}");
    assert_eq!(beats.judge(&[]).id(), "scenario/contradicted");
}

#[test]
fn who_answers_when_everest_waits_no_longer_is_slow_and_not_silent() {
    let once =
        "- present_token: ALICE\n- expect: {message: validate_token}\n- expect_reply: {payload: $any, within: 5s}\n";
    let twice = once.repeat(2);
    let answer = |at_millis, topic| at(at_millis, verdict(topic, "Accepted"));
    let judge = |steps: &str, seconds, events: &[(u64, Event)]| {
        let court = Court { answer_within: Duration::from_secs(seconds), ..unprepared("auth_token_validator", steps) };
        let outcome = court.judge(events);
        (outcome.id(), outcome.told.and_then(|told| told.requirement))
    };
    let asked = at(1, question("q/1"));
    assert_eq!(judge(once, 5, &[asked.clone(), answer(14_900, "q/1")]), ("expect/late", Some("VA-5")));
    assert_eq!(judge(once, 5, &[asked.clone(), answer(15_100, "q/1")]), ("expect/missing", None));
    // That it comes late is what it breaks, whatever it says.
    let accepted = once.replace("$any", "{authorization_status: Accepted}");
    let invalid = at(6_500, verdict("q/1", "Invalid"));
    assert_eq!(judge(&accepted, 5, &[asked.clone(), invalid]), ("expect/late", Some("VA-5")));
    // Nobody knows how long EVerest waits.
    assert_eq!(judge(once, 0, &[asked.clone(), answer(6_500, "q/1")]), ("expect/late", None));
    assert_eq!(judge(once, 0, &[asked.clone(), answer(14_900, "q/1")]), ("expect/missing", None));
    // One that has answered in time is not slow as such.
    let before = [asked, answer(2, "q/1"), at(3, question("q/2"))];
    let after = |millis| judge(&twice, 5, &[before.as_slice(), &[answer(millis, "q/2")]].concat());
    assert_eq!(after(6_500), ("expect/late", Some("VA-5")));
    assert_eq!(after(14_900), ("expect/missing", None));
    // One that takes its time may have two to answer.
    let slow = [at(1, question("q/1")), answer(4_000, "q/1"), at(4_001, question("q/2"))];
    let after = |millis| judge(&twice, 5, &[slow.as_slice(), &[answer(millis, "q/2")]].concat());
    assert_eq!(after(16_900), ("expect/late", Some("VA-5")));
    assert_eq!(after(17_100), ("expect/missing", None));
    // For nothing else does EVerest wait so long.
    let checks = "- expect: {message: communication_check, payload: true, within: 5s}\n";
    let check = at(14_900, on(Channel::COMMUNICATION_CHECK, json!(true)).by_module());
    assert_eq!(judge(checks, 5, &[check]).0, "expect/missing");
}

#[test]
fn what_a_display_asks_is_its_own_and_its_checks_are_its_duty() {
    let check = |good: bool| on(Channel::COMMUNICATION_CHECK, json!(good)).by_module();
    let get = request(Channel::GET_TOKEN_VALIDATION_STATUS, "r/0", &Value::Null);
    let of = |steps: &str, events: &[(u64, Event)]| unprepared("auth_consumer", steps).judge(events);
    let help = is_let_off(of("- expect_none: {message: withdraw_authorization, for: 1s}", &[at(1, withdraw("r/1"))]));
    assert!(help.contains("`withdraw`") && help.ends_with("or somebody presses its button"), "{help}");
    let query = stray("everest_api/query-modules/auth_consumer", json!({"headers": {"replyTo": "r/1"}})).by_module();
    for (asked, command) in [(discover("r/1"), "`discover`"), (query, "`query_modules`")] {
        let help = is_let_off(of("- expect_none: {topic: everest_api/#, for: 1s}", &[at(1, asked)]));
        assert!(help.contains(command), "{help}");
    }
    is_let_off(of("- expect_none: {topic: \"{m2e}/#\", for: 1s}", &[at(1, get)]));
    is_let_off(of("- expect: {message: withdraw_authorization, within: 1s}", &[]));
    is_let_off(of("- expect_none: {message: communication_check, for: 1s}", &[at(1, check(true))]));
    is_let_off(of("- expect: {message: communication_check, payload: false, within: 1s}", &[at(1, check(true))]));
    for payload in ["true", "$boolean", "$any"] {
        let steps = format!("- expect: {{message: communication_check, payload: {payload}, within: 1s}}");
        assert_eq!(of(&steps, &[at(1, check(false))]).id() == "met", payload != "true");
        assert_eq!(of(&steps, &[]).id(), "expect/missing", "{payload}");
        assert_eq!(of(&steps, &[at(1500, check(true))]).id(), "expect/late", "{payload}");
    }
    // One that speaks in the name of another module has not found its topics.
    let steps = "- expect: {message: communication_check, payload: true, within: 1s}";
    for (topic, payload, id, requirement) in [
        ("everest_api/1/auth_consumer/other/m2e/communication_check", json!(true), "expect/wrong-topic", Some("DI-8")),
        ("everest_api/1/auth_consumer/other/m2e/communication_check", json!(false), "expect/missing", Some("CC-8")),
        ("everest_api/1/display_message/other/m2e/communication_check", json!(true), "expect/missing", Some("CC-8")),
        ("everest_api/1.0/auth_consumer/api/m2e/communication_check", json!(true), "expect/missing", Some("CC-8")),
        ("1/auth_consumer/other/m2e/communication_check", json!(true), "expect/missing", Some("CC-8")),
    ] {
        let told = of(steps, &[at(1, stray(topic, payload).by_module())]).told.unwrap();
        assert_eq!((told.id, told.requirement), (id, requirement), "{topic}");
    }
    // Nor has one that was told the version, and speaks in another.
    for (address, payload, id, requirement) in [
        ("communication_check", true, "expect/wrong-topic", "DI-8"),
        ("communication_check", false, "expect/missing", "CC-8"),
        ("withdraw_authorization", true, "expect/missing", "CC-8"),
    ] {
        let found = [
            at(1, discover("r/1")),
            at(2, stray("r/1", json!({"apis": []}))),
            at(3, stray(&format!("everest_api/1.0/auth_consumer/api/m2e/{address}"), json!(payload)).by_module()),
        ];
        let told = of(steps, &found).told.unwrap();
        assert_eq!((told.id, told.requirement), (id, Some(requirement)), "{address} {payload}");
    }
    // Whoever asks for a topic may mean anything, and what EVerest says hangs on nothing that it did.
    assert_eq!(of("- expect: {topic: \"{m2e}/withdraw_authorization\", within: 1s}", &[]).id(), "expect/missing");
    assert_eq!(of("- expect: {message: withdraw_authorization, within: 1s}", &[(5, Event::Ends)]).id(), "module/ended");
    let silence = "- expect_none: {message: token_validation_status, for: 1s}";
    assert_eq!(of(silence, &[at(1, status(ALICE, "Processing"))]).id(), "scenario/contradicted");
    // It may not do what is EVerest's.
    let own_status = status(ALICE, "Processing").by_module();
    assert_eq!(
        of("- expect_none: {message: token_validation_status, for: 1s}", &[at(1, own_status)]).id(),
        "expect/unexpected"
    );
}

#[test]
fn what_everest_does_otherwise_is_let_off_only_after_the_module_has_led_it() {
    let steps = "- present_token: ALICE\n- expect_status: {token: ALICE, sequence: [Processing, Accepted], within: 1s}";
    let court = unprepared("auth_consumer", steps);
    let other = [at(1, status(ALICE, "Processing")), at(3, status(ALICE, "Withdrawn"))];
    assert_eq!(court.judge(&other).id(), "scenario/contradicted", "nobody but khumbu did anything");
    let led = [other[0].clone(), at(2, withdraw("r/1")), other[1].clone()];
    let told = court.judge(&led).told.unwrap();
    assert_eq!((told.id, told.is_unexercised), (BY_ITSELF, true));
    assert!(told.evidence.iter().any(|line| line.starts_with("it did by itself: …/m2e/withdraw_authorization q2 ")));
    let driven = Court { prompt: Prompt::Told, ..unprepared("auth_consumer", steps) };
    assert_eq!(driven.judge(&led).id(), "scenario/contradicted");
    // Nobody is led by a check, or by what khumbu's own clients say.
    let check = on(Channel::COMMUNICATION_CHECK, json!(true)).by_module();
    let khumbus = Message { from: Party::Harness, ..token(ALICE) };
    for other_message in [check, khumbus] {
        let events = [other[0].clone(), at(2, other_message), other[1].clone()];
        assert_eq!(court.judge(&events).id(), "scenario/contradicted");
    }
    // What it owes, and what khumbu was only late with, stays what it is.
    let checks = unprepared("auth_consumer", "- expect: {message: communication_check, payload: true, within: 1s}");
    assert_eq!(checks.judge(&[at(1, withdraw("r/1"))]).id(), "expect/missing");
    let late = [at(1, status(ALICE, "Processing")), at(2, withdraw("r/1")), at(1500, status(ALICE, "Accepted"))];
    assert_eq!(court.judge(&late).id(), "expect/late");
    // An answer leads as well; one to a discovery does not.
    let beats = "- expect: {message: validate_token}\n- expect: {message: heartbeat, payload: 7, within: 1s}";
    let beats = unprepared("auth_token_validator", beats);
    let answered = [at(1, question("q/1")), at(2, verdict("q/1", "Accepted"))];
    is_let_off(beats.judge(&answered));
    assert_eq!(beats.judge(&answered[..1]).id(), "scenario/contradicted");
    let found = [answered[0].clone(), at(2, discover("r/1")), at(3, stray("r/1", json!({})).by_module())];
    assert_eq!(beats.judge(&found).id(), "scenario/contradicted");
}

#[test]
fn what_khumbu_replies_where_several_replies_go_is_no_affair_of_its_own() {
    let steps = "- get_status: {}\n- get_status: {}\n- expect_reply: {payload: {status: Accepted}, within: 1s}";
    let mut court = unprepared("auth_consumer", steps);
    court.prompt = Prompt::Awaited(Duration::from_secs(1));
    let get = || request(Channel::GET_TOKEN_VALIDATION_STATUS, "r/1", &Value::Null);
    assert_eq!(court.judge(&[at(1, get()), at(2, get()), at(3, stray("r/1", json!("x")))]).id(), "expect/outcome");
}

#[test]
fn what_everest_makes_of_a_client_hangs_on_one_command() {
    let commands = ApiType::AUTH_APIS.map(outcome_of);
    assert_eq!(commands, [Some("withdraw"), Some("present_token"), Some("set_verdict")]);
}

#[test]
fn an_everest_does_nothing_of_its_own_accord() {
    let court =
        Court { prompt: Prompt::Never, ..Court::of_everest("- withdraw: {}\n- expect_reply: {payload: Accepted}") };
    let other = stray("replies/0", json!("EvseNotFound")).by_module();
    assert_eq!(court.judge(&[at(1, other)]).id(), "expect/payload-mismatch");
}

#[test]
fn what_may_come_is_waited_for_and_taken_as_it_is() {
    let mut court = unprepared("auth_consumer", "- communication_check: false");
    court.prompt = Prompt::Awaited(Duration::from_secs(2));
    let check = |good: bool| on(Channel::COMMUNICATION_CHECK, json!(good)).by_module();
    let came = court.judge(&[at(1, check(true)), at(1500, check(false))]);
    assert_eq!((came.id(), came.at), ("met", 1500));
    let nothing = court.judge(&[at(1, check(true))]);
    assert_eq!((nothing.id(), nothing.at), ("module/not-exercised", 2000), "no longer than that");
    let told = nothing.told.unwrap();
    assert_eq!((told.verdict, told.is_unexercised), ("inconclusive", true));
    assert_eq!(
        told.headline,
        "module `api` sent no matching communication_check by itself: what would follow was not exercised"
    );
    assert_eq!(court.judge(&[(5, Event::Ends)]).id(), "module/ended", "that it lives is owed");
}

#[test]
fn whoever_makes_no_other_request_while_one_is_open_may_be_patient() {
    let then = |steps: &str, events: &[(u64, Event)]| {
        let mut court = unprepared("auth_consumer", steps);
        court.prompt = Prompt::Awaited(Duration::from_secs(1));
        court.judge(events)
    };
    let again = "- withdraw: {}\n- present_token: ALICE\n- withdraw: {}";
    let asked = || at(1, withdraw("r/1"));
    let silent = then(again, &[asked()]);
    assert_eq!((silent.id(), silent.at), ("module/waits-for-reply", 1001));
    let told = silent.told.unwrap();
    assert_eq!((told.verdict, told.is_unexercised, told.requirement), ("inconclusive", true, Some("RR-14")));
    assert_eq!(
        told.headline,
        "module `api` made no other withdraw_authorization request within 1s while one is not answered: nobody knows how long it waits"
    );
    // Answered, given up, or of another kind, it says nothing of patience.
    assert_eq!(then(again, &[asked(), at(2, stray("r/1", json!("Accepted")))]).id(), "module/not-exercised");
    assert_eq!(then(again, &[asked(), (2, Event::Listens("r/2"))]).id(), "module/not-exercised");
    let get = "- withdraw: {}\n- present_token: ALICE\n- get_status: {}";
    assert_eq!(then(get, &[asked()]).id(), "module/not-exercised");
    assert_eq!(then(again, &[asked(), at(5, withdraw("r/2"))]).id(), "met");
}

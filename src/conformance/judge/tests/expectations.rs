//! Expectations: what meets one, what breaks one, and by when.

use serde_json::json;

use super::court::{BEAT, Court, ONE, SEQUENCE, claims, client, everest};
use super::script::{ALICE, BOB, Event, Message, Sort, at, beat, call, did, on, request, status, stray};
use crate::conformance::judge::expectation::sender;
use crate::conformance::sighting::Party::{self, Harness, Module};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::Deed;
use crate::protocol::side::Side;
use crate::scenario::model::MessageKind;

/// A check of the client.
const BEAT_OF_CLIENT: &str = "- expect: {message: communication_check, payload: true, within: 1s}";

#[test]
fn who_has_to_send_a_message_follows_from_its_api_and_the_side_under_test() {
    let (consumer, validator) = (ApiType::AUTH_CONSUMER, ApiType::AUTH_TOKEN_VALIDATOR);
    let channel = MessageKind::on;
    let rows: [(MessageKind, ApiType, [Party; 2]); 6] = [
        (channel(Channel::COMMUNICATION_CHECK), consumer, [Module, Harness]),
        (channel(Channel::HEARTBEAT), consumer, [Harness, Module]),
        (MessageKind::Reply, consumer, [Harness, Module]),
        (MessageKind::Reply, validator, [Module, Harness]),
        (MessageKind::ReadyBeacon, validator, [Harness, Module]),
        (MessageKind::ReservationUpdate, validator, [Harness, Module]),
    ];
    for (kind, api, [client, everest]) in rows {
        assert_eq!(sender(kind, api, Side::Client, api), client, "{kind:?}");
        assert_eq!(sender(kind, api, Side::Everest, api), everest, "{kind:?}");
    }
    // Of another API a client under test sends nothing.
    assert_eq!(sender(channel(Channel::PROVIDED_TOKEN), ApiType::AUTH_TOKEN_PROVIDER, Side::Client, consumer), Harness);
}

#[test]
fn a_status_is_met_by_the_next_of_its_token_alone() {
    let met = client(ONE, &[at(10, status(BOB, "Rejected")), at(20, beat(0)), at(30, status(ALICE, "Accepted"))]);
    assert_eq!((met.id(), met.at), ("met", 30));
    assert_eq!(claims(&met), [None, None, Some(1)]);
    // Re-presentation in other letters is another attempt.
    let other = client(ONE, &[at(10, status("04a2f3b1", "Accepted"))]);
    assert_eq!(other.id(), "scenario/contradicted");
}

#[test]
fn a_wrong_status_breaks_at_once_whoever_sends_it() {
    let events = [at(10, status(ALICE, "Rejected")), at(20, status(ALICE, "Accepted"))];
    let khumbus = client(ONE, &events);
    assert_eq!((khumbus.id(), khumbus.at), ("scenario/contradicted", 10));
    let told = khumbus.told.unwrap();
    assert_eq!((told.verdict, told.line), ("error", 13));
    assert_eq!(told.headline, "the simulated EVerest published status `Rejected`, expected `Accepted`");
    let modules = everest(ONE, &events);
    assert_eq!((modules.id(), modules.at), ("expect/payload-mismatch", 10));
    assert_eq!(modules.told.unwrap().headline, "module `api` published status `Rejected`, expected `Accepted`");
}

#[test]
fn each_status_of_a_sequence_has_the_whole_time() {
    for (first, second, id, over) in [
        (900, 1800, "met", 1800),
        (1000, 2000, "met", 2000),
        (900, 1901, "expect/late", 1901),
        (900, 3899, "expect/late", 3899),
        // After three times its time it counts as never.
        (900, 3901, "expect/missing", 3900),
        (1001, 1002, "expect/late", 1001),
    ] {
        let outcome =
            everest(SEQUENCE, &[at(first, status(ALICE, "Processing")), at(second, status(ALICE, "Accepted"))]);
        assert_eq!((outcome.id(), outcome.at), (id, over), "{first} {second}");
        assert_eq!(claims(&outcome).first().copied().flatten(), (first <= 1000).then_some(1), "each has met the step");
    }
}

#[test]
fn a_sequence_names_the_element_that_differs() {
    let outcome = client(SEQUENCE, &[at(1, status(ALICE, "Processing")), at(2, status(ALICE, "TimedOut"))]);
    let told = outcome.told.unwrap();
    assert_eq!(told.headline, "the simulated EVerest published status `TimedOut`, expected `Accepted`");
    assert!(outcome.not_met.unwrap().contains("/steps/1/expect_status/sequence/1"));
    assert_eq!(
        told.evidence[1],
        "before it: …/e2m/token_validation_status q2 {\"status\":\"Processing\",\"token\":{\"connectors\":[1],\"id_token\":{\"type\":\"ISO14443\",\"value\":\"04A2F3B1\"}}}"
    );
}

#[test]
fn connectors_and_payload_are_those_of_the_last_status() {
    let steps = |more: &str| {
        format!("- present_token: ALICE\n- expect_status: {{token: ALICE, sequence: [Processing, Accepted], {more}}}")
    };
    let events = [at(1, status(ALICE, "Processing")), at(2, status(ALICE, "Accepted"))];
    for (more, pointer) in [
        ("connectors: [1]", None),
        ("connectors: [2]", Some("/steps/1/expect_status/connectors/0")),
        ("connectors: [1, 2]", Some("/steps/1/expect_status/connectors")),
        ("payload: {status: Accepted}", None),
        ("payload: {status: Processing}", Some("/steps/1/expect_status/payload/status")),
        ("payload: {token: {connectors: $absent}}", Some("/steps/1/expect_status/payload/token/connectors")),
    ] {
        let outcome = client(&steps(more), &events);
        assert_eq!(outcome.not_met.is_some(), pointer.is_some(), "{more}");
        if let Some(pointer) = pointer {
            assert!(outcome.not_met.as_ref().unwrap().contains(&format!("\"{pointer}\"")), "{more}: {outcome:?}");
        }
    }
    let array = crate::scenario::pattern::Pattern::compile(&json!([1])).unwrap().in_words();
    let json = json!({"status": "Accepted", "token": {"id_token": {"value": ALICE}}});
    let bare = [events[0].clone(), at(2, on(Channel::TOKEN_VALIDATION_STATUS, json))];
    let told = client(&steps("connectors: [1]"), &bare).told.unwrap();
    assert_eq!(
        told.headline,
        format!("the simulated EVerest published a status without `connectors`, expected {array}")
    );
    let told = client(&steps("payload: {status: Processing}"), &events).told.unwrap();
    assert_eq!(told.headline, "the simulated EVerest published a status with `Accepted`, expected `Processing`");
    let told = client(&steps("payload: {token: {connectors: [1]}}"), &bare).told.unwrap();
    assert_eq!(
        told.headline,
        format!("the simulated EVerest published a status without `connectors`, expected {array}")
    );
}

#[test]
fn off_the_lanes_the_first_that_fits_is_taken() {
    let met = client(BEAT, &[at(1, beat(5)), at(2, beat(6)), at(3, beat(7)), at(4, beat(7))]);
    assert_eq!((met.id(), met.at), ("met", 3));
    assert_eq!(claims(&met), [None, None, Some(1), None]);
    let missing = client(BEAT, &[at(1, beat(6))]);
    assert_eq!((missing.id(), missing.at), ("scenario/contradicted", 3000));
    let told = missing.told.unwrap();
    assert_eq!(told.headline, "the simulated EVerest sent no matching heartbeat within 1s");
    assert_eq!(
        told.evidence,
        [
            "waited 1s",
            "nearest: …/e2m/heartbeat q2 6",
            "but the payload is `6`, expected `7`",
            "meanwhile: nothing else but heartbeats and communication checks"
        ]
    );
}

#[test]
fn a_message_is_told_by_kind_topic_qos_and_flag() {
    let events = [at(1, beat(7).at_qos(1)), at(2, status(ALICE, "Accepted").retained())];
    for (expected, first) in [
        ("{message: heartbeat}", Some(0)),
        ("{message: heartbeat, qos: 1}", Some(0)),
        ("{message: heartbeat, qos: 2}", None),
        ("{message: heartbeat, retain: false}", Some(0)),
        ("{message: heartbeat, retain: true}", None),
        ("{message: heartbeat, api: auth_consumer}", Some(0)),
        ("{message: heartbeat, api: auth_token_provider}", None),
        ("{message: token_validation_status, retain: true}", Some(1)),
        ("{topic: \"{e2m}/#\"}", Some(0)),
        ("{topic: \"{e2m}/token_validation_status\"}", Some(1)),
        ("{topic: \"{e2m}/#\", retain: true}", Some(1)),
        ("{topic: \"elsewhere\"}", None),
    ] {
        let outcome = client(&format!("- note: x\n- expect: {expected}"), &events);
        let claimed = outcome.claims.iter().position(Option::is_some);
        assert_eq!((claimed, outcome.not_met.is_none()), (first, first.is_some()), "{expected}");
    }
}

#[test]
fn a_topic_alone_means_neither_commands_nor_what_everest_does_inside() {
    let control = Message { kind: Sort::Control, ..stray("", json!({"withdraw": {}})) };
    let inside = did(Deed::ReservationUpdate, json!({"reservation_id": 1, "reservation_status": "Used"}));
    for (topic, message) in [("khumbu/api/do", control), ("khumbu/api/did", inside.clone())] {
        let steps = format!("- note: x\n- expect: {{topic: {topic}, within: 1s}}");
        let events = [at(1, message.by_module())];
        assert_eq!(client(&steps, &events).id(), "expect/missing", "{topic}");
    }
    let steps = "- note: x\n- expect: {message: reservation_update, payload: {reservation_status: Used}}";
    assert_eq!(client(steps, &[at(1, inside)]).id(), "met");
}

#[test]
fn who_has_to_publish_on_a_topic_follows_from_it() {
    let on = |topic: &str| [at(1, stray(topic, json!(1))), at(2, stray(topic, json!(2)).by_module())];
    let base = "everest_api/1/auth_consumer/api";
    for (side, topic, first) in [
        ("client", format!("{base}/e2m/x"), 0),
        ("client", format!("{base}/m2e/x"), 1),
        ("client", "everest_api/1/auth_token_provider/other_api/e2m/x".to_owned(), 0),
        ("client", "everest_api/1/auth_token_provider/other_api/m2e/x".to_owned(), 0),
        ("client", "elsewhere".to_owned(), 1),
        ("everest", format!("{base}/e2m/x"), 1),
        ("everest", format!("{base}/m2e/x"), 0),
        ("everest", "everest_api/1/auth_token_provider/other_api/e2m/x".to_owned(), 1),
        ("everest", "everest_api/1/auth_token_provider/other_api/m2e/x".to_owned(), 0),
    ] {
        let outcome =
            Court::of(side, "auth_consumer", &format!("- note: x\n- expect: {{topic: {topic}}}")).judge(&on(&topic));
        assert_eq!(outcome.claims.iter().position(Option::is_some), Some(first), "{side} {topic}");
    }
}

#[test]
fn where_calls_are_not_shown_nobody_can_say_that_one_is_missing() {
    let steps = "- note: x\n- expect_evse: {evse: 1, call: authorize_response, within: 1s}";
    let mut court = Court::of_everest(steps);
    assert_eq!(court.judge(&[]).id(), "expect/missing");
    court.shows_calls = false;
    let unseen = court.judge(&[]);
    assert_eq!((unseen.id(), unseen.at), ("module/calls-unseen", 3000));
    let told = unseen.told.unwrap();
    assert_eq!(
        (told.verdict, told.headline.as_str()),
        ("inconclusive", "module `api` does not show what it asks of EVSEs")
    );
    assert_eq!(court.judge(&[at(1, beat(1).by_module())]).id(), "module/calls-unseen", "no other message shows one");
    let another = call(2, "authorize_response", json!({})).by_module();
    assert_eq!(court.judge(&[at(1, another)]).id(), "expect/missing", "one shows them");
}

#[test]
fn where_nothing_passes_on_the_topic_of_calls_nobody_can_say_that_one_is_missing() {
    let mut court = Court::of_everest("- note: x\n- expect_evse: {evse: 1, call: authorize_response, within: 1s}");
    court.shows_calls = false;
    let bound = json!({"topic": "bench/evse{evse}/log", "is": {"evse_call": {"name": "what", "arguments": "detail"}}});
    court.bindings = vec![serde_json::from_value(bound).unwrap()];
    let passes = |topic: &str| court.judge(&[at(1, stray(topic, json!({"what": "session_event"})).by_module())]);
    assert_eq!(passes("bench/evse2/log").id(), "expect/missing", "it says something else there");
    let by_khumbu = stray("bench/evse2/log", json!({}));
    assert_eq!(court.judge(&[at(1, by_khumbu)]).id(), "module/calls-unseen", "what khumbu sends shows nothing");
    for (topic, help) in [
        ("bench/log", "let EVerest show its calls there, or name the topic in the binding on which it does"),
        (
            "depot/a/bench/evse2/log",
            "write `depot/a/bench/evse{evse}/log` into the bindings that have this topic: the external prefix stands there too",
        ),
    ] {
        let unseen = passes(topic);
        assert_eq!(unseen.id(), "module/calls-unseen", "{topic}");
        let told = unseen.told.unwrap();
        assert_eq!(told.evidence[1], "nor on `bench/evse{evse}/log`, as the binding `evse_call` has it");
        assert_eq!(told.help.as_deref(), Some(help));
    }
}

#[test]
fn time_that_khumbu_is_held_up_is_added() {
    for (held_up, when, id, over) in [
        (0, 1000, "met", 1000),
        (500, 1500, "met", 1500),
        (500, 1501, "expect/late", 1501),
        (500, 9000, "expect/missing", 3500),
    ] {
        let events = [(10, Event::HeldUp(held_up)), at(when, status(ALICE, "Accepted"))];
        let outcome = everest(ONE, &events);
        assert_eq!((outcome.id(), outcome.at), (id, over), "{held_up} {when}");
    }
    // Only what is waited for anew is not prolonged.
    let never = everest(ONE, &[(10, Event::HeldUp(500))]);
    assert_eq!(never.deadlines, [(1000, true), (1500, true), (3500, false)]);
    assert_eq!(everest("- note: x\n- expect_none: {message: heartbeat, for: 1s}", &[]).deadlines, [(1000, false)]);
    // What was before the expectation is not added.
    let before = everest(ONE, &[(0, Event::HeldUp(700)), at(1001, status(ALICE, "Accepted"))]);
    assert_eq!(before.id(), "expect/late");
    // Each status has its own.
    let second = [(10, Event::HeldUp(700)), at(20, status(ALICE, "Processing")), at(1021, status(ALICE, "Accepted"))];
    assert_eq!(everest(SEQUENCE, &second).id(), "expect/late");
    let longer = [at(20, status(ALICE, "Processing")), (30, Event::HeldUp(700)), at(1720, status(ALICE, "Accepted"))];
    assert_eq!(everest(SEQUENCE, &longer).id(), "met");
}

#[test]
fn late_is_told_from_never_for_two_seconds_at_most() {
    let within = |within: &str| {
        format!("- present_token: ALICE\n- expect_status: {{token: ALICE, status: Accepted, within: {within}}}")
    };
    for (allowed, when, id, over) in [
        ("100ms", 300, "expect/late", 300),
        ("100ms", 301, "expect/missing", 300),
        ("5s", 7000, "expect/late", 7000),
        ("5s", 7001, "expect/missing", 7000),
    ] {
        let outcome = everest(&within(allowed), &[at(when, status(ALICE, "Accepted"))]);
        assert_eq!((outcome.id(), outcome.at), (id, over), "{allowed} {when}");
    }
    let late = everest(&within("100ms"), &[at(300, status(ALICE, "Accepted"))]).told.unwrap();
    assert_eq!(late.headline, "module `api` sent the status after 300ms, allowed 100ms");
    // What else comes, and when the module ends, decides nothing meanwhile.
    let others = [at(1000, beat(1)), at(1200, beat(2)), at(1500, status(ALICE, "Accepted"))];
    assert_eq!(everest(ONE, &others).id(), "expect/late");
    let ended = [&[(10, Event::Ends)], others.as_slice()].concat();
    assert_eq!(client(ONE, &ended).id(), "expect/late");
    let at_last = [at(1000, beat(1)), at(1000, status(ALICE, "Accepted"))];
    assert_eq!(everest(ONE, &at_last).id(), "met", "its time is not over yet");
    // What breaks the lane after its time is not what was awaited.
    assert_eq!(everest(&within("100ms"), &[at(200, status(ALICE, "Rejected"))]).id(), "expect/missing");
}

#[test]
fn nothing_more_is_waited_for_where_it_cannot_come() {
    let leaves = [(10, Event::Leaves), at(1500, status(ALICE, "Accepted"))];
    let outcome = everest(ONE, &leaves);
    assert_eq!((outcome.id(), outcome.at), ("expect/missing", 1000));
    assert_eq!(client(ONE, &leaves).at, 1500, "khumbu's own side is still there");
}

#[test]
fn what_a_client_does_not_send_is_told_with_its_open_request_and_heartbeats_out_of_turn() {
    let asks = request(Channel::GET_TOKEN_VALIDATION_STATUS, "r/1", &json!({}));
    let beats = [7, 8, 0, 1].into_iter().zip(1..).map(|(number, place)| at(100 * place, beat(number)));
    let missing = |events: &[(u64, Event)]| client(BEAT_OF_CLIENT, events).told.unwrap().evidence.join("\n");
    let told = missing(&[vec![at(50, asks)], beats.clone().collect()].concat());
    for words in [
        "nobody answered its request: …/m2e/token_validation_status/get",
        "heartbeats went back from 8 to 0 at 300ms",
        "the last heartbeats: 7, 8, 0, 1",
    ] {
        assert!(told.contains(words), "{words} is not in {told}");
    }
    let told = missing(&beats.take(2).collect::<Vec<_>>());
    assert!(!told.contains("nobody answered") && !told.contains("went back"), "{told}");
    assert!(!told.contains("last heartbeats"), "{told}");
}

#[test]
fn a_module_that_ends_ends_what_is_expected_of_it() {
    let ends = [at(5, beat(1)), (10, Event::Ends), at(20, status(ALICE, "Accepted"))];
    let modules = everest(ONE, &ends);
    assert_eq!((modules.id(), modules.at), ("module/ended", 10));
    let told = modules.told.unwrap();
    assert_eq!(
        told.headline,
        "module `api` exited with code 3 while a status `Accepted` for token `ALICE` was expected"
    );
    assert_eq!(told.evidence, ["ran: prog (pid 7)", "meanwhile: nothing but heartbeats and communication checks"]);
    assert_eq!(client(ONE, &ends).id(), "met", "khumbu goes on");
    let last = everest(ONE, &[at(10, status(ALICE, "Accepted")), (10, Event::Ends)]);
    assert_eq!(last.id(), "met", "what came before its end counts");
    let in_vain = everest(ONE, &[(1200, Event::Ends)]);
    assert_eq!((in_vain.id(), in_vain.at), ("expect/missing", 1200), "then nothing more is waited for");
    let mut court = Court::of_everest(ONE);
    court.is_builtin = true;
    let own = court.judge(&ends[1..2]).told.unwrap();
    assert_eq!((own.id, own.verdict), ("harness/broken", "error"));
}

#[test]
fn what_follows_from_a_provider_ends_with_it() {
    let steps = "- note: x\n- expect_status: {token: ALICE, status: Accepted, within: 1s}";
    let court = Court::of("client", "auth_token_provider", steps);
    assert_eq!(court.judge(&[(10, Event::Ends)]).id(), "module/ended");
    let missing = court.judge(&[]);
    assert_eq!(missing.id(), "expect/outcome");
    let told = missing.told.unwrap();
    assert_eq!(
        told.headline,
        "given what module `api` sent, EVerest sent no status `Accepted` for token `ALICE` within 1s"
    );
    assert_eq!(told.evidence.last().unwrap(), "the module sent nothing but communication checks");
    let provided = |n: i32| on(Channel::PROVIDED_TOKEN, json!(n)).by_module();
    let many = court.judge(&[at(1, provided(1)), at(2, provided(2)), at(3, provided(3)), at(4, provided(4))]);
    let evidence = many.told.unwrap().evidence;
    let sent: Vec<_> = evidence.iter().filter(|line| line.starts_with("the module sent: ")).collect();
    assert_eq!(sent.len(), 3, "the last ones: {evidence:?}");
    assert!(sent[2].ends_with(" 4"));
}

#[test]
fn captures_are_kept_where_a_message_is_taken() {
    let steps = "- note: x\n- expect: {message: heartbeat, payload: $capture:n}\n- expect: {message: heartbeat, payload: $captured:n, within: 1s}";
    let met = client(steps, &[at(1, beat(4)), at(2, beat(5)), at(3, beat(4))]);
    assert_eq!((met.id(), claims(&met)), ("met", vec![Some(1), None, Some(2)]));
    assert_eq!(met.captures["n"], json!(4));
    assert_eq!(client(steps, &[at(1, beat(4)), at(2, beat(5))]).id(), "scenario/contradicted");
}

#[test]
fn what_a_held_up_status_was_given_ends_with_it() {
    let events = [(10, Event::HeldUp(700)), at(1500, status(ALICE, "Processing")), at(2501, status(ALICE, "Accepted"))];
    let outcome = everest(SEQUENCE, &events);
    assert_eq!((outcome.id(), outcome.at), ("expect/late", 2501));
}

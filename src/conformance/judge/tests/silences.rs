//! Silence: which messages break it, and for how long.

use serde_json::json;

use super::court::Court;
use super::script::{ALICE, BOB, Event, Message, Sort, at, beat, call, did, on, status, stray, withdraw};
use crate::protocol::channel::Channel;
use crate::protocol::control::Deed;

fn of(side: &str, silence: &str, events: &[(u64, Event)]) -> super::court::Outcome {
    Court::of(side, "auth_consumer", &format!("- note: x\n- expect_none: {silence}")).judge(events)
}

#[test]
fn it_lasts_its_time_and_not_longer() {
    let silence = "{message: heartbeat, for: 1s}";
    let kept = of("client", silence, &[at(500, status(ALICE, "Accepted")), at(1001, beat(1))]);
    assert_eq!((kept.id(), kept.at), ("met", 1000));
    let broken = of("client", silence, &[at(1000, beat(1))]);
    assert_eq!((broken.id(), broken.at), ("scenario/contradicted", 1000));
    let told = broken.told.unwrap();
    assert_eq!(told.headline, "the simulated EVerest sent a heartbeat where none may come");
    assert_eq!(told.evidence, ["…/e2m/heartbeat q2 1"]);
    // Hold-ups do not prolong it.
    assert_eq!(of("client", silence, &[(1, Event::HeldUp(500)), at(1001, beat(1))]).at, 1000);
}

#[test]
fn what_came_since_the_last_stimulus_counts_and_what_has_met_a_step_does_not() {
    let steps = |first: &str| {
        format!(
            "- expect: {{message: communication_check}}\n{first}\n- expect: {{message: heartbeat, payload: 2}}\n- expect_none: {{message: heartbeat, for: 1s}}"
        )
    };
    let check = || on(Channel::COMMUNICATION_CHECK, json!(true)).by_module();
    let since = Court::of_client(&steps("- plug_in: {evse: 1}"));
    let earlier = since.judge(&[at(1, beat(1)), at(2, check()), at(3, beat(2))]);
    assert_eq!(earlier.id(), "met");
    let between = since.judge(&[at(2, check()), at(3, beat(1)), at(4, beat(2))]);
    assert_eq!((between.id(), between.at), ("scenario/contradicted", 4));
    let never = Court::of_client(&steps("- note: x"));
    assert_eq!(never.judge(&[at(1, beat(1)), at(2, check()), at(3, beat(2))]).id(), "scenario/contradicted");
}

#[test]
fn it_is_of_a_kind_a_topic_and_a_payload() {
    let control = Message { kind: Sort::Control, ..stray("", json!(1)) };
    let inside = did(Deed::ReservationUpdate, json!({"reservation_status": "Used"}));
    for (silence, message, is_broken) in [
        ("message: heartbeat", beat(1), true),
        ("message: heartbeat", status(ALICE, "Accepted"), false),
        ("message: heartbeat, payload: 2", beat(1), false),
        ("message: heartbeat, payload: 1", beat(1), true),
        ("message: heartbeat, api: auth_token_provider", beat(1), false),
        ("message: reservation_update", inside.clone(), true),
        ("message: reservation_update", call(1, "authorize_response", json!({})), false),
        ("message: ready_beacon", Message { kind: Sort::Beacon, ..beat(1) }, true),
        ("topic: \"{e2m}/#\"", beat(1), true),
        ("topic: \"{m2e}/#\"", beat(1), false),
        ("topic: \"#\"", stray("x", json!(1)), true),
        ("topic: \"#\", payload: 2", stray("x", json!(1)), false),
        ("topic: \"#\"", control, false),
        ("topic: \"#\"", inside, false),
        ("call: authorize_response", call(1, "authorize_response", json!({"a": 1})), true),
        ("call: authorize_response, evse: 1", call(1, "authorize_response", json!({"a": 1})), true),
        ("call: authorize_response, evse: 2", call(1, "authorize_response", json!({"a": 1})), false),
        ("call: withdraw_authorization", call(1, "authorize_response", json!({"a": 1})), false),
        (
            "call: authorize_response, payload: {$unspecified: {a: 1}}",
            call(1, "authorize_response", json!({"a": 1})),
            true,
        ),
        (
            "call: authorize_response, payload: {$unspecified: {a: 2}}",
            call(1, "authorize_response", json!({"a": 1})),
            false,
        ),
    ] {
        let outcome = of("client", &format!("{{{silence}, for: 1s}}"), &[at(1, message)]);
        assert_eq!(outcome.not_met.is_some(), is_broken, "{silence}: {outcome:?}");
    }
}

#[test]
fn who_breaks_it_answers_for_it() {
    let silence = "{message: token_validation_status, for: 1s}";
    let everests = of("everest", silence, &[at(1, status(ALICE, "Accepted").by_module())]);
    assert_eq!(everests.id(), "expect/unexpected");
    assert_eq!(everests.told.unwrap().headline, "module `api` sent a token_validation_status where none may come");
    assert_eq!(of("client", silence, &[at(1, status(ALICE, "Accepted"))]).id(), "scenario/contradicted");
    let provider = |silence: &str, message| {
        let steps = format!("- note: x\n- expect_none: {silence}");
        Court::of("client", "auth_token_provider", &steps).judge(&[at(1, message)]).id()
    };
    // EVerest's statuses follow from what a provider has sent; its heartbeats do not.
    assert_eq!(provider(silence, status(BOB, "Accepted")), "expect/outcome");
    assert_eq!(
        provider("{call: authorize_response, for: 1s}", call(1, "authorize_response", json!({}))),
        "expect/outcome"
    );
    assert_eq!(provider("{message: heartbeat, for: 1s}", beat(1)), "scenario/contradicted");
    // A client that khumbu plays says what the scenario has it say, whatever API of an EVerest is under test.
    let mut court = Court::of_everest(&format!("- note: x\n- expect_none: {silence}"));
    court.other_apis.push(court.topics.clone());
    court.topics = court.other_apis.remove(0);
    assert_eq!(court.judge(&[at(1, status(BOB, "Accepted"))]).id(), "scenario/contradicted");
}

#[test]
fn replies_are_those_to_requests_of_the_scenario() {
    let none = "- expect_none: {message: reply, for: 1s}";
    let asked = [at(1, withdraw("r/1")), at(2, stray("r/1", json!("Accepted")))];
    let unasked = Court::of_client(&format!("- note: x\n{none}"));
    assert_eq!(unasked.judge(&asked).id(), "met", "what the module asks of its own accord is its own affair");
    let demanded = Court::of_client(&format!("- withdraw: {{}}\n{none}"));
    assert_eq!(demanded.judge(&asked).id(), "scenario/contradicted");
    assert_eq!(demanded.judge(&[asked[0].clone(), at(2, stray("r/1", json!("x")).by_module())]).id(), "met");
    let own = Court::of_everest(&format!("- withdraw: {{}}\n{none}"));
    assert_eq!(own.judge(&[at(2, stray("replies/0", json!("Accepted")).by_module())]).id(), "expect/unexpected");
    let named = "- discover: {as: all}\n- get_status: {as: one}\n- expect_none: {message: reply, to: one, for: 1s}";
    let reply_on = |topic| Court::of_everest(named).judge(&[at(2, stray(topic, json!(null)).by_module())]).id();
    assert_eq!(
        (reply_on("replies/0"), reply_on("replies/1")),
        ("met", "expect/unexpected"),
        "a late one is to another"
    );
}

#[test]
fn its_end_comes_with_that_of_the_module() {
    let silence = "{message: heartbeat, for: 1s}";
    let ended = of("client", silence, &[(500, Event::Ends), at(600, beat(1))]);
    assert_eq!((ended.id(), ended.at), ("module/ended", 500));
    assert!(ended.told.unwrap().headline.ends_with("while silence was demanded of it"));
    assert_eq!(of("client", silence, &[(0, Event::Ends)]).id(), "met", "it had ended before");
}

#[test]
fn a_silence_of_calls_needs_them_to_be_shown() {
    let mut court = Court::of_everest("- note: x\n- expect_none: {call: authorize_response, for: 1s}");
    court.shows_calls = false;
    assert_eq!(court.judge(&[]).id(), "module/calls-unseen");
    assert_eq!(court.judge(&[at(1, call(1, "withdraw_authorization", json!({})))]).id(), "met");
    assert_eq!(court.judge(&[at(1, beat(1))]).id(), "module/calls-unseen");
    court.shows_calls = true;
    assert_eq!(court.judge(&[]).id(), "met");
    let mut court = Court::of_everest("- note: x\n- expect_none: {message: heartbeat, for: 1s}");
    court.shows_calls = false;
    assert_eq!(court.judge(&[]).id(), "met", "no other silence does");
}

#[test]
fn it_knows_what_was_captured_before() {
    let steps = "- note: x\n- expect: {message: heartbeat, payload: $capture:n}\n\
                 - expect_none: {message: heartbeat, payload: $captured:n, for: 1s}";
    let judge = |second| Court::of_client(steps).judge(&[at(1, beat(1)), at(2, beat(second))]).id();
    assert_eq!((judge(1), judge(2)), ("scenario/contradicted", "met"));
}

#[test]
fn a_message_that_has_met_a_step_breaks_no_silence_of_its_topic() {
    let steps = "- note: x\n- expect: {message: heartbeat}\n- expect_none: {topic: \"{e2m}/#\", for: 1s}";
    assert_eq!(Court::of_client(steps).judge(&[at(1, beat(1))]).id(), "met");
    assert_eq!(Court::of_client(steps).judge(&[at(1, beat(1)), at(2, beat(2))]).id(), "scenario/contradicted");
}

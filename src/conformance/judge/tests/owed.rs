//! The requirement that a finding names by itself, and the one by which a module owes what did not come.

use serde_json::{Value, json};

use super::court::{Court, Told};
use super::script::{ALICE, Event, Message, at, beat, discover, on, request, status, stray, withdraw};
use crate::conformance::sighting::Party;
use crate::protocol::channel::Channel;

const CHECK: &str = "- expect: {message: communication_check, payload: true, within: 1s}";
const HEARTBEAT: &str = "- note: x\n- expect: {message: heartbeat, within: 1s}";
const ANSWER: &str =
    "- present_token: ALICE\n- expect: {message: validate_token}\n- expect_reply: {payload: $any, within: 1s}";
const OTHER: &str = "everest_api/1/auth_consumer/other/m2e/communication_check";
const OTHER_HEARTBEAT: &str = "everest_api/1/auth_consumer/other/e2m/heartbeat";
const REPLY: &str = "- withdraw: {}\n- expect_reply: {payload: Accepted, within: 1s}";

fn check(is_good: bool) -> Message {
    on(Channel::COMMUNICATION_CHECK, json!(is_good)).by_module()
}

fn question() -> Message {
    let question = request(Channel::VALIDATE_TOKEN, "q/1", &json!({"id_token": {"value": ALICE}}));
    Message { from: Party::Harness, ..question }
}

#[track_caller]
fn told((side, api): (&str, &str), steps: &str, messages: &[Message]) -> Told {
    let events: Vec<(u64, Event)> = (1..).zip(messages).map(|(millis, message)| at(millis, message.clone())).collect();
    Court::of(side, api, steps).judge(&events).told.unwrap()
}

const DISPLAY: (&str, &str) = ("client", "auth_consumer");
const BACKEND: (&str, &str) = ("client", "auth_token_validator");
const EVEREST: (&str, &str) = ("everest", "auth_consumer");

#[test]
fn what_did_not_come_is_owed_whatever_the_scenario_is_about() {
    let twice = format!("{CHECK}\n{CHECK}");
    for (side, steps, messages, requirement, owed_by) in [
        (DISPLAY, CHECK, &[][..], Some("CC-8"), Some("CC-8")),
        // It has done so, and stops for a reason.
        (DISPLAY, &twice, &[check(true)], None, Some("CC-8")),
        // It says that it is about to stop, and was not told to.
        (DISPLAY, CHECK, &[check(false)], Some("CC-9"), None),
        (DISPLAY, &twice, &[check(true), check(false)], Some("CC-9"), None),
        (BACKEND, ANSWER, &[question()], None, Some("VA-3")),
        (EVEREST, REPLY, &[], None, None),
        (EVEREST, HEARTBEAT, &[], None, None),
        (DISPLAY, HEARTBEAT, &[], None, None),
    ] {
        let told = told(side, steps, messages);
        assert_eq!((told.requirement, told.owed_by), (requirement, owed_by), "{side:?} {steps}: {told:?}");
    }
}

#[test]
fn what_stands_where_something_else_was_expected_says_what_it_means() {
    let of_another = request(Channel::WITHDRAW_AUTHORIZATION, "r/1", &json!({"evse_id": 2}));
    let told_to = told(DISPLAY, "- withdraw: {evse_id: 1, within: 1s}", &[of_another]);
    assert_eq!((told_to.id, told_to.requirement), ("expect/payload-mismatch", Some("WD-18")));
    let steps = "- present_token: ALICE\n- expect_status: {token: ALICE, status: Accepted, within: 1s}";
    let other = told(EVEREST, steps, &[status(ALICE, "Rejected").by_module()]);
    assert_eq!((other.id, other.requirement), ("expect/payload-mismatch", None));
}

#[test]
fn what_is_on_another_topic_is_the_clients_answer_or_has_not_found_its_module() {
    let verdict = json!({"authorization_status": "Accepted", "tariff_messages": []});
    for (side, steps, messages, requirement) in [
        (BACKEND, ANSWER, vec![question(), stray("q/2", verdict).by_module()], Some("VA-3")),
        (DISPLAY, CHECK, vec![stray(OTHER, json!(true)).by_module()], Some("DI-8")),
        (EVEREST, REPLY, vec![stray("x", json!("Accepted")).by_module()], None),
        (EVEREST, HEARTBEAT, vec![stray(OTHER_HEARTBEAT, json!(0)).by_module()], None),
    ] {
        let told = told(side, steps, &messages);
        assert_eq!((told.id, told.requirement), ("expect/wrong-topic", requirement), "{side:?}");
    }
}

#[test]
fn another_version_is_no_fault_of_a_client_that_was_told_of_none() {
    let other_version = stray("everest_api/1.0/auth_consumer/api/m2e/communication_check", json!(true)).by_module();
    assert_eq!(told(DISPLAY, CHECK, &[beat(1), other_version]).id, "expect/missing");
}

#[test]
fn a_request_that_nobody_answers_is_told_to_the_client_that_made_it() {
    let answered = [withdraw("r/1"), stray("r/1", json!("Accepted"))];
    let of_token = "- present_token: ALICE\n- expect_status: {token: ALICE, status: Accepted, within: 1s}";
    for (side, steps, messages, is_told) in [
        (DISPLAY, CHECK, &[withdraw("r/1")][..], true),
        (DISPLAY, CHECK, &answered, false),
        (DISPLAY, of_token, &[withdraw("r/1")], false),
        (EVEREST, HEARTBEAT, &[withdraw("r/1")], false),
    ] {
        let evidence = told(side, steps, messages).evidence;
        assert_eq!(evidence.iter().any(|line| line.starts_with("nobody answered")), is_told, "{side:?}: {evidence:?}");
    }
    let get = request(Channel::GET_TOKEN_VALIDATION_STATUS, "r/1", &Value::Null);
    let evidence = told(DISPLAY, CHECK, &[get, withdraw("r/2")]).evidence;
    assert!(
        evidence.iter().any(|line| line.starts_with("nobody answered its request: …/m2e/withdraw")),
        "{evidence:?}"
    );
}

#[test]
fn whoever_has_discovered_and_does_nothing_since_has_not_found_its_module() {
    let found = stray("r/1", json!({"apis": [{"module_id": "other"}]}));
    for (messages, requirement) in [
        (vec![discover("r/1"), found.clone()], "DI-6"),
        (vec![discover("r/1")], "CC-8"),
        (vec![discover("r/1"), found, withdraw("r/2")], "CC-8"),
        (vec![], "CC-8"),
    ] {
        assert_eq!(told(DISPLAY, CHECK, &messages).requirement, Some(requirement), "{messages:?}");
    }
}

#[test]
fn whoever_goes_on_with_something_else_is_said_to() {
    let steps = "- expect: {message: heartbeat}\n- expect: {message: communication_check, payload: true, within: 3s}";
    let goes_on = |messages: &[(u64, Message)]| {
        let events: Vec<(u64, Event)> = messages.iter().map(|(millis, it)| at(*millis, it.clone())).collect();
        let told = Court::of(DISPLAY.0, DISPLAY.1, steps).judge(&events).told.unwrap();
        told.evidence.iter().any(|line| line.starts_with("it went on: …/m2e/withdraw"))
    };
    assert!(goes_on(&[(1, check(true)), (2, beat(1)), (2500, withdraw("r/1"))]));
    assert!(!goes_on(&[(1, check(true)), (2, beat(1)), (500, withdraw("r/1"))]), "it may have been on its way");
    assert!(!goes_on(&[(1, check(true)), (2, beat(1)), (2500, status(ALICE, "Processing"))]), "EVerest goes on");
}

#[test]
fn the_same_heartbeat_twice_has_not_gone_back() {
    let evidence = told(DISPLAY, CHECK, &[beat(7), beat(7)]).evidence;
    assert!(evidence.contains(&"the last heartbeats: 7, 7".to_owned()), "{evidence:?}");
    assert!(!evidence.iter().any(|line| line.contains("went back")), "{evidence:?}");
}

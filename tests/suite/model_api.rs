//! The API module by name: heartbeat, communication check, latch, requests and their replies; in virtual time.
#![allow(clippy::unwrap_used)]

use khumbu::protocol::channel::Channel;
use khumbu::protocol::control::{Command, HeartbeatControl, Validation};
use khumbu::protocol::types::{IdToken, IdTokenType, MessageContent};
use khumbu::station::Input;
use khumbu::station::config::{ApiConfig, StationConfig};
use serde_json::{Value, json};

use crate::model_desk::{Desk, NOTHING, accepted_after, millis, quiet, secs, token, with_check, with_heartbeat};

// Heartbeat.

#[test]
fn heartbeats_begin_with_0_at_ready_and_count_on() {
    let mut desk = Desk::new(&with_heartbeat(1000));
    desk.pass(secs(3));
    assert_eq!(desk.seen(), NOTHING);
    desk.feed(Input::Ready);
    assert_eq!(desk.seen(), ["heartbeat 0"]);
    desk.pass(millis(999));
    assert_eq!(desk.seen(), NOTHING);
    desk.pass(millis(1));
    assert_eq!(desk.seen(), ["heartbeat 1"]);
    desk.pass(secs(3));
    assert_eq!(desk.seen(), ["heartbeat 2", "heartbeat 3", "heartbeat 4"]);
}

#[test]
fn without_an_interval_there_are_no_heartbeats() {
    for interval in [0, -1, i32::MIN] {
        let mut desk = Desk::new(&with_heartbeat(interval));
        desk.feed(Input::Ready);
        desk.pass(secs(100));
        assert_eq!(desk.seen(), NOTHING);
        desk.command(Command::Heartbeats(HeartbeatControl::Resume));
        assert!(desk.why().contains("switched off"));
    }
}

#[test]
fn heartbeats_that_are_late_are_not_made_up_for() {
    let mut desk = Desk::ready(&with_heartbeat(1000));
    desk.now = millis(5500);
    desk.feed(Input::Deadline);
    assert_eq!(desk.seen(), ["heartbeat 1"]);
    assert_eq!(desk.station.next_deadline(), Some(millis(6500)));
}

#[test]
fn heartbeats_wrap_after_2_to_the_64() {
    let mut desk = Desk::ready(&with_heartbeat(1000));
    desk.command(Command::Heartbeats(HeartbeatControl::Next(u64::MAX)));
    desk.pass(secs(2));
    assert_eq!(desk.seen(), ["heartbeat 18446744073709551615", "heartbeat 0"]);
}

#[test]
fn heartbeats_pause_resume_and_change_their_pace() {
    let mut desk = Desk::ready(&with_heartbeat(1000));
    desk.command(Command::Heartbeats(HeartbeatControl::Pause));
    desk.pass(secs(10));
    assert_eq!(desk.seen(), NOTHING);
    desk.command(Command::Heartbeats(HeartbeatControl::Every(100)));
    desk.pass(secs(10));
    assert_eq!(desk.seen(), NOTHING);
    desk.command(Command::Heartbeats(HeartbeatControl::Resume));
    assert_eq!(desk.seen(), ["heartbeat 1"]);
    desk.pass(millis(250));
    assert_eq!(desk.seen(), ["heartbeat 2", "heartbeat 3"]);
    desk.command(Command::Heartbeats(HeartbeatControl::Every(0)));
    assert!(desk.why().contains("0 ms"));
    desk.command(Command::Heartbeats(HeartbeatControl::Resume));
    assert!(desk.why().contains("not paused"));
    desk.command(Command::Heartbeats(HeartbeatControl::Every(300)));
    desk.pass(millis(299));
    assert_eq!(desk.seen(), NOTHING);
    desk.pass(millis(1));
    assert_eq!(desk.seen(), ["heartbeat 4"]);
}

#[test]
fn commands_before_ready_do_not_start_heartbeats() {
    let mut desk = Desk::new(&with_heartbeat(1000));
    for control in [HeartbeatControl::Resume, HeartbeatControl::Every(10), HeartbeatControl::Pause] {
        desk.command(Command::Heartbeats(control));
    }
    desk.pass(secs(10));
    desk.feed(Input::Ready);
    desk.pass(secs(10));
    assert_eq!(desk.seen(), NOTHING);
    desk.feed(Input::Ready);
    assert!(desk.why().contains("ready already"));
}

// Communication check.

#[test]
fn the_check_begins_with_a_fault() {
    let mut desk = Desk::new(&with_check(5));
    desk.feed(Input::Ready);
    assert_eq!(desk.seen(), ["raised Initial communication check"]);
    // No second fault on top of it.
    desk.pass(secs(100));
    assert_eq!(desk.seen(), NOTHING);
}

#[test]
fn without_a_time_limit_there_is_no_check() {
    for timeout in [0, -1, i32::MIN] {
        let mut desk = Desk::new(&with_check(timeout));
        desk.feed(Input::Ready);
        for payload in ["true", "false"] {
            desk.check(payload);
            assert!(desk.why().contains("off"));
        }
        desk.pass(secs(100));
        assert_eq!(desk.seen(), NOTHING);
    }
}

#[test]
fn true_clears_a_fault_and_silence_raises_one_once() {
    let mut desk = Desk::ready(&with_check(5));
    desk.check("true");
    assert_eq!(desk.seen(), ["cleared Initial communication check"]);
    desk.pass(secs(4));
    desk.check(" true\n");
    desk.pass(millis(4999));
    assert_eq!(desk.seen(), NOTHING);
    desk.pass(millis(1));
    assert_eq!(desk.seen(), ["raised Bridge to implementation connection lost"]);
    desk.pass(secs(100));
    assert_eq!(desk.seen(), NOTHING);
    desk.check("true");
    desk.pass(secs(5));
    let again = ["cleared Bridge to implementation connection lost", "raised Bridge to implementation connection lost"];
    assert_eq!(desk.seen(), again);
}

#[test]
fn false_clears_a_fault_and_ends_the_check_for_good() {
    for faulty in [true, false] {
        let mut desk = Desk::ready(&with_check(5));
        if !faulty {
            desk.check("true");
            desk.seen();
        }
        desk.check("false");
        let expected: &[&str] = if faulty { &["cleared Initial communication check"] } else { &[] };
        assert_eq!(desk.seen(), expected);
        desk.pass(secs(100));
        desk.check("true");
        assert!(desk.why().contains("off"));
        desk.pass(secs(100));
        assert_eq!(desk.seen(), NOTHING);
    }
}

#[test]
fn what_is_no_boolean_does_not_count() {
    let mut desk = Desk::ready(&with_check(5));
    desk.check("true");
    desk.seen();
    desk.pass(secs(4));
    for payload in ["1", "0", "\"true\"", "null", "True", "TRUE", "yes", "", "[true]", "{\"payload\":true}"] {
        desk.check(payload);
        desk.why();
    }
    desk.pass(secs(1));
    assert_eq!(desk.seen(), ["raised Bridge to implementation connection lost"]);
    desk.check("1");
    desk.why();
}

#[test]
fn requests_and_statuses_work_while_the_fault_is_active() {
    let mut desk = Desk::ready(&with_check(5));
    desk.present("A", 0);
    desk.withdraw("r", json!({}));
    assert!(desk.seen().contains(&"r: \"Accepted\"".to_owned()));
}

#[test]
fn a_withdraw_that_waits_delays_the_check_and_provokes_a_fault() {
    let mut desk = Desk::ready(&with_check(5));
    desk.check("true");
    desk.present("A", 9000);
    desk.withdraw("r", json!({}));
    desk.seen();
    for _ in 0..8 {
        desk.pass(secs(1));
        desk.check("true");
    }
    assert_eq!(desk.seen(), ["raised Bridge to implementation connection lost"]);
    desk.pass(secs(1));
    assert_eq!(desk.seen().last().map(String::as_str), Some("cleared Bridge to implementation connection lost"));
}

// Latch.

#[test]
fn a_get_before_the_first_status_brings_true() {
    let mut desk = Desk::new(&quiet());
    // The getter is there before EVerest is ready.
    desk.get("r");
    assert_eq!(desk.seen(), ["r: true"]);
}

#[test]
fn a_get_brings_the_latest_status_as_it_was_published() {
    let mut desk = Desk::ready(&quiet());
    let tariff_messages = vec![MessageContent { content: "free".into(), format: None, language: None }];
    let validation = Validation { tariff_messages, ..accepted_after(0) };
    desk.command(Command::PresentToken { token: token("A"), validation });
    desk.seen();
    desk.send(Channel::GET_TOKEN_VALIDATION_STATUS, r#"{"headers":{"replyTo":"r"},"payload":[{"evse_id":"x"}]}"#);
    let token =
        json!({"authorization_type": "RFID", "connectors": [1], "id_token": {"type": "ISO14443", "value": "A"}});
    let latched = json!({"messages": [], "status": "UsedToStart", "token": token});
    assert_eq!(desk.seen(), [format!("r: {latched}")]);
}

#[test]
fn without_latching_nobody_listens_for_a_get() {
    let auth_consumer = ApiConfig { latch_variable_values: false, ..quiet().auth_consumer };
    let mut desk = Desk::ready(&StationConfig { auth_consumer, ..quiet() });
    desk.present("A", 0);
    desk.seen();
    desk.get("r");
    assert!(desk.why().contains("latch_variable_values"));
}

#[test]
fn a_get_without_a_usable_topic_brings_nothing() {
    let mut desk = Desk::ready(&quiet());
    for text in ["{}", "[]", "x", r#"{"headers":{"replyTo":null}}"#, r##"{"headers":{"replyTo":"#"}}"##] {
        desk.send(Channel::GET_TOKEN_VALIDATION_STATUS, text);
        desk.why();
    }
}

// Requests and replies.

#[test]
fn a_request_without_a_usable_topic_is_executed_without_reply() {
    let long = "x".repeat(65_536);
    for headers in [json!(null), json!({}), json!({"replyTo": ""}), json!({"replyTo": "a/#"}), json!({"replyTo": "+"})]
        .into_iter()
        .chain([json!({"replyTo": "a\u{0}"}), json!({"replyTo": long})])
    {
        let mut desk = Desk::ready(&quiet());
        desk.present("A", 0);
        desk.seen();
        desk.send(Channel::WITHDRAW_AUTHORIZATION, json!({"headers": headers, "payload": {}}).to_string());
        assert_eq!(desk.ignored.len(), 1);
        assert!(desk.ignored[0].contains("executed without reply"), "{:?}", desk.ignored);
        assert_eq!(desk.seen(), ["1 Deauthorized", "1 SessionFinished", "A Withdrawn [1]"]);
    }
}

#[test]
fn what_cannot_be_decoded_is_not_executed_and_hurts_nobody() {
    let mut desk = Desk::ready(&quiet());
    desk.present("A", 0);
    desk.seen();
    for text in [
        r#"{"headers":{"replyTo":"r"}}"#,
        r#"{"headers":{"replyTo":5},"payload":{}}"#,
        r#"{"headers":{"replyTo":"r"},"payload":{"evse_id":"1"}}"#,
        r#"{"headers":{"replyTo":"r"},"payload":{"id_token":{"value":"A"}}}"#,
        "{",
        "",
        "[]",
    ] {
        desk.send(Channel::WITHDRAW_AUTHORIZATION, text);
        desk.why();
    }
    desk.send(Channel::WITHDRAW_AUTHORIZATION, [0xFF, 0xFE]);
    desk.why();
    desk.withdraw("r", json!(null));
    let expected = ["1 Deauthorized", "1 SessionFinished", "A Withdrawn [1]", "r: \"Accepted\""];
    assert_eq!(desk.seen(), expected);
}

#[test]
fn requests_before_ready_are_lost_and_tokens_discarded() {
    let mut desk = Desk::new(&with_check(5));
    desk.withdraw("r", json!({}));
    desk.why();
    desk.check("true");
    desk.why();
    desk.present("A", 0);
    desk.why();
    desk.feed(Input::Ready);
    assert_eq!(desk.seen(), ["raised Initial communication check"]);
}

#[test]
fn requests_are_answered_in_the_order_in_which_they_came() {
    let mut desk = Desk::ready(&quiet());
    desk.present("A", 2000);
    desk.seen();
    for request in 0..5 {
        desk.withdraw(&format!("w{request}"), json!({"evse_id": if request % 2 == 0 { 1 } else { 99 }}));
        desk.get(&format!("g{request}"));
    }
    assert_eq!(desk.seen(), NOTHING);
    assert_eq!(desk.station.status().waiting_messages, 9);
    desk.pass(secs(2));
    let replies: Vec<_> = desk.seen().iter().filter_map(|line| Some(line.split_once(": ")?.0.to_owned())).collect();
    assert_eq!(replies, ["w0", "g0", "w1", "g1", "w2", "g2", "w3", "g3", "w4", "g4"]);
}

#[test]
fn a_withdraw_is_given_up_after_300_seconds_and_the_next_one_waits_as_long() {
    let mut desk = Desk::ready(&StationConfig { evses: 1, ..quiet() });
    let group = IdToken { additional_info: None, r#type: IdTokenType::Local, value: "GROUP".into() };
    let of_group = Validation { parent_id_token: Some(group), ..accepted_after(0) };
    for value in ["G1", "G2"] {
        desk.command(Command::PresentToken { token: token(value), validation: of_group.clone() });
    }
    assert_eq!(desk.seen().last().map(String::as_str), Some("G2 Processing"));
    desk.withdraw("w1", json!({}));
    desk.withdraw("w2", json!({"evse_id": 99}));
    desk.get("g");
    desk.pass(secs(299));
    assert_eq!(desk.seen(), ["1 Deauthorized", "1 SessionFinished", "G1 TimedOut [1]"]);
    desk.pass(secs(300));
    assert_eq!(desk.seen(), NOTHING);
    desk.pass(secs(1));
    assert!(desk.seen()[0].starts_with("g: {"));
}

#[test]
fn a_result_that_comes_after_its_request_was_given_up_goes_nowhere() {
    let mut desk = Desk::ready(&quiet());
    desk.present("A", 400_000);
    desk.withdraw("w1", json!({}));
    desk.seen();
    desk.pass(secs(301));
    desk.withdraw("w2", json!({}));
    desk.pass(secs(99));
    let expected = ["A Accepted", "1 SessionStarted", "1 Authorized", "A UsedToStart [1]"];
    let seen = desk.seen();
    assert_eq!(seen[..4], expected);
    assert_eq!(seen.iter().filter(|line| line.starts_with('w')).collect::<Vec<_>>(), ["w2: \"Accepted\""]);
}

#[test]
fn channels_of_everest_take_no_messages() {
    let mut desk = Desk::ready(&quiet());
    for channel in [Channel::HEARTBEAT, Channel::TOKEN_VALIDATION_STATUS] {
        desk.send(channel, "0");
        assert!(desk.why().contains("does not listen"));
    }
}

// Replies that a harness has chosen.

fn chosen(to: &str, reply: Value) -> Command {
    let mut command = json!({"to": to});
    command.as_object_mut().unwrap().extend(reply.as_object().unwrap().clone());
    serde_json::from_value(json!({"set_reply": command})).unwrap()
}

#[test]
fn a_chosen_reply_takes_the_place_of_everests_and_nothing_is_withdrawn() {
    let mut desk = Desk::ready(&quiet());
    desk.present("A", 0);
    desk.seen();
    for reply in [json!("Rejected"), json!(null), json!({"more": 1})] {
        desk.command(chosen("withdraw_authorization", json!({"payload": reply})));
        desk.withdraw("w", json!({}));
        assert_eq!(desk.seen(), [format!("w: {reply}")]);
    }
    desk.command(chosen("withdraw_authorization", json!({})));
    desk.withdraw("w", json!({}));
    assert!(
        desk.seen().contains(&"w: \"Accepted\"".to_owned()),
        "it replies itself again, for the token is still there"
    );
}

#[test]
fn a_chosen_reply_comes_as_late_as_was_said_or_never() {
    let mut desk = Desk::ready(&quiet());
    desk.command(chosen("withdraw_authorization", json!({"payload": "Accepted", "after_ms": 2000})));
    desk.withdraw("w1", json!({}));
    desk.pass(millis(500));
    desk.command(chosen("withdraw_authorization", json!({"payload": "EvseNotFound", "after_ms": 500})));
    desk.withdraw("w2", json!({}));
    desk.pass(millis(500));
    assert_eq!(desk.seen(), ["w2: \"EvseNotFound\""]);
    desk.command(chosen("withdraw_authorization", json!({"never": true})));
    desk.withdraw("w3", json!({}));
    assert!(desk.why().contains("so it was chosen"));
    desk.pass(millis(999));
    assert_eq!(desk.seen(), NOTHING);
    desk.pass(millis(1));
    assert_eq!(desk.seen(), ["w1: \"Accepted\""]);
    desk.pass(secs(1000));
    assert_eq!(desk.seen(), NOTHING);
}

#[test]
fn what_waits_comes_at_once_when_everest_replies_itself_again() {
    let mut desk = Desk::ready(&quiet());
    desk.command(chosen("withdraw_authorization", json!({"payload": "Accepted", "after_ms": 8000})));
    desk.command(chosen("get_token_validation_status", json!({"payload": 1, "after_ms": 1000})));
    desk.withdraw("w1", json!({}));
    desk.get("g1");
    desk.withdraw("w2", json!({}));
    assert_eq!(desk.seen(), NOTHING);
    desk.command(chosen("withdraw_authorization", json!({})));
    desk.pass(millis(0));
    assert_eq!(desk.seen(), ["w1: \"Accepted\"", "w2: \"Accepted\""]);
    desk.pass(secs(1));
    assert_eq!(desk.seen(), ["g1: 1"], "of another request");
}

#[test]
fn what_was_chosen_outlives_a_restart_and_what_waits_does_not() {
    let mut desk = Desk::ready(&quiet());
    desk.command(chosen("get_token_validation_status", json!({"payload": 1, "after_ms": 1000})));
    desk.get("g1");
    let before = desk.station.clone();
    let mut desk = Desk::new(&quiet());
    desk.station.remember(&before);
    desk.feed(Input::Ready);
    desk.pass(secs(2));
    assert_eq!(desk.seen(), NOTHING);
    desk.get("g2");
    desk.pass(secs(1));
    assert_eq!(desk.seen(), ["g2: 1"]);
}

#[test]
fn replies_are_chosen_for_requests_alone() {
    let mut desk = Desk::ready(&quiet());
    for other in ["communication_check", "heartbeat", "validate_token", "nothing"] {
        desk.command(chosen(other, json!({"payload": 1})));
        assert!(desk.why().contains("takes requests"), "{other}");
    }
}

//! The station by name: heartbeat, communication check, latch, requests and replies, sessions; in virtual time.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use khumbu::auth::EvseCall;
use khumbu::protocol::channel::Channel;
use khumbu::protocol::control::{Command, HeartbeatControl, Validation};
use khumbu::protocol::types::{
    AuthorizationStatus, AuthorizationType, IdToken, IdTokenType, MessageContent, ProvidedIdToken,
    WithdrawAuthorizationRequest,
};
use khumbu::station::config::{ApiConfig, AuthConfig, SelectionAlgorithm, StationConfig};
use khumbu::station::{Address, Effect, Input, Station};
use khumbu::timespan::Seconds;
use serde_json::{Value, json};

const NOTHING: [&str; 0] = [];

/// A station, its clock, and what came out of it in words.
struct Desk {
    station: Station,
    now: Duration,
    trace: Vec<String>,
    ignored: Vec<String>,
}

/// Two EVSEs, neither heartbeats nor communication check: both would be in the way.
fn quiet() -> StationConfig {
    StationConfig {
        evses: 2,
        auth: AuthConfig { connection_timeout: Seconds(secs(8)), ..AuthConfig::default() },
        auth_consumer: ApiConfig {
            cfg_communication_check_to_s: 0,
            cfg_heartbeat_interval_ms: 0,
            latch_variable_values: true,
        },
        ..StationConfig::default()
    }
}

fn with_heartbeat(interval_ms: i32) -> StationConfig {
    let auth_consumer = ApiConfig { cfg_heartbeat_interval_ms: interval_ms, ..quiet().auth_consumer };
    StationConfig { auth_consumer, ..quiet() }
}

fn with_check(timeout_s: i32) -> StationConfig {
    let auth_consumer = ApiConfig { cfg_communication_check_to_s: timeout_s, ..quiet().auth_consumer };
    StationConfig { auth_consumer, ..quiet() }
}

fn plug_events() -> StationConfig {
    let auth = AuthConfig { selection_algorithm: SelectionAlgorithm::PlugEvents, ..quiet().auth };
    StationConfig { auth, ..quiet() }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn token(value: &str) -> ProvidedIdToken {
    ProvidedIdToken {
        authorization_type: AuthorizationType::RFID,
        certificate: None,
        connectors: None,
        id_token: IdToken { additional_info: None, r#type: IdTokenType::ISO14443, value: value.to_owned() },
        parent_id_token: None,
        prevalidated: None,
        request_id: None,
    }
}

fn accepted_after(after_ms: u64) -> Validation {
    Validation {
        after_ms,
        authorization_status: AuthorizationStatus::Accepted,
        evse_ids: None,
        parent_id_token: None,
        tariff_messages: Vec::new(),
    }
}

impl Desk {
    fn new(config: &StationConfig) -> Self {
        Self { station: Station::new(config), now: Duration::ZERO, trace: Vec::new(), ignored: Vec::new() }
    }

    /// A station that is ready, with nothing noted yet.
    fn ready(config: &StationConfig) -> Self {
        let mut desk = Self::new(config);
        desk.feed(Input::Ready);
        desk.seen();
        desk
    }

    fn feed(&mut self, input: Input) {
        for effect in self.station.apply(self.now, input) {
            let line = match effect {
                Effect::Publish { to: Address::Channel(Channel::TokenValidationStatus), payload } => {
                    let status = serde_json::to_value(payload).unwrap();
                    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
                    let evses = status.pointer("/token/connectors").map(|evses| format!(" {evses}"));
                    format!("{} {}{}", text("/token/id_token/value"), text("/status"), evses.unwrap_or_default())
                }
                Effect::Publish { to: Address::Channel(channel), payload } => {
                    format!("{} {}", channel.name(), json!(payload))
                }
                Effect::Publish { to: Address::Reply(topic), payload } => format!("{topic}: {}", json!(payload)),
                Effect::Fault { fault, raised } => {
                    format!("{} {}", if raised { "raised" } else { "cleared" }, fault.sub_type())
                }
                Effect::EvseCall { call: EvseCall::StopTransaction { reason, .. }, evse } => {
                    format!("{evse} stop {}", reason.name())
                }
                Effect::EvseCall { .. } => continue,
                Effect::SessionEvent { evse, event } => format!("{evse} {}", event.name()),
                Effect::Ignored { why } => {
                    self.ignored.push(why.into_owned());
                    continue;
                }
            };
            self.trace.push(line);
        }
    }

    fn seen(&mut self) -> Vec<String> {
        self.ignored.clear();
        std::mem::take(&mut self.trace)
    }

    /// The one reason for which the last inputs came to nothing.
    fn why(&mut self) -> String {
        assert_eq!((self.trace.as_slice(), self.ignored.len()), (&[][..], 1), "{:?}", self.ignored);
        self.ignored.pop().unwrap()
    }

    fn send(&mut self, channel: Channel, payload: impl AsRef<[u8]>) {
        self.feed(Input::Received { channel, payload: Bytes::copy_from_slice(payload.as_ref()) });
    }

    fn withdraw(&mut self, reply_to: &str, payload: Value) {
        let text = json!({"headers": {"replyTo": reply_to}, "payload": payload}).to_string();
        self.send(Channel::WithdrawAuthorization, text);
    }

    fn get(&mut self, reply_to: &str) {
        self.send(Channel::GetTokenValidationStatus, json!({"headers": {"replyTo": reply_to}}).to_string());
    }

    fn check(&mut self, payload: &str) {
        self.send(Channel::CommunicationCheck, payload);
    }

    fn command(&mut self, command: Command) {
        self.feed(Input::Command(command));
    }

    fn present(&mut self, value: &str, after_ms: u64) {
        self.command(Command::PresentToken { token: token(value), validation: accepted_after(after_ms) });
    }

    /// Lets time pass, with every deadline on the way.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.station.next_deadline().filter(|due| *due <= until) {
            assert!(due >= self.now, "a deadline in the past");
            self.now = due;
            self.feed(Input::Deadline);
        }
        self.now = until;
    }
}

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
    desk.send(Channel::GetTokenValidationStatus, r#"{"headers":{"replyTo":"r"},"payload":[{"evse_id":"x"}]}"#);
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
        desk.send(Channel::GetTokenValidationStatus, text);
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
        desk.send(Channel::WithdrawAuthorization, json!({"headers": headers, "payload": {}}).to_string());
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
        desk.send(Channel::WithdrawAuthorization, text);
        desk.why();
    }
    desk.send(Channel::WithdrawAuthorization, [0xFF, 0xFE]);
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
    for channel in [Channel::Heartbeat, Channel::TokenValidationStatus] {
        desk.send(channel, "0");
        assert!(desk.why().contains("does not listen"));
    }
}

// Sessions.

#[test]
fn a_plugged_in_ev_and_a_token_wait_for_the_transaction_and_can_be_withdrawn() {
    let mut desk = Desk::ready(&quiet());
    desk.command(Command::PlugIn { evse: 1 });
    assert_eq!(desk.seen(), ["1 SessionStarted", "1 AuthRequired"]);
    desk.present("A", 150);
    assert_eq!(desk.seen(), ["A Processing"]);
    desk.pass(millis(150));
    assert_eq!(desk.seen(), ["A Accepted", "1 Authorized", "A UsedToStart [1]"]);
    desk.withdraw("r", json!({"evse_id": 1}));
    let withdrawn = ["1 Deauthorized", "1 SessionFinished", "A Withdrawn [1]", "r: \"Accepted\""];
    assert_eq!(desk.seen(), withdrawn);
    desk.withdraw("r", json!({"evse_id": 1}));
    assert_eq!(desk.seen(), ["r: \"AuthorizationNotFound\""]);
    // The EV is still there and may charge with the next token.
    desk.present("A", 0);
    desk.command(Command::StartTransaction { evse: 1 });
    let expected = [
        "A Processing",
        "A Accepted",
        "1 SessionStarted",
        "1 Authorized",
        "A UsedToStart [1]",
        "1 PrepareCharging",
        "1 TransactionStarted",
    ];
    assert_eq!(desk.seen(), expected);
}

#[test]
fn a_transaction_is_withdrawn_without_a_status() {
    let mut desk = Desk::ready(&quiet());
    desk.present("A", 0);
    desk.command(Command::PlugIn { evse: 1 });
    desk.command(Command::StartTransaction { evse: 1 });
    desk.seen();
    desk.withdraw("r", json!({"id_token": {"type": "ISO14443", "value": "a"}}));
    let stopped =
        ["1 stop DeAuthorized", "1 StoppingCharging", "1 ChargingFinished", "1 TransactionFinished", "r: \"Accepted\""];
    assert_eq!(desk.seen(), stopped);
    desk.command(Command::Unplug { evse: 1 });
    assert_eq!(desk.seen(), ["1 SessionFinished"]);
}

#[test]
fn a_transaction_ends_by_command_and_by_unplugging() {
    let mut desk = Desk::ready(&quiet());
    for (command, expected) in [
        (Command::StopTransaction { evse: 1 }, &["StoppingCharging", "ChargingFinished", "TransactionFinished"][..]),
        (Command::Unplug { evse: 1 }, &["SessionFinished"]),
    ] {
        if matches!(command, Command::StopTransaction { .. }) {
            desk.command(Command::PlugIn { evse: 1 });
            desk.present("A", 0);
            desk.command(Command::StartTransaction { evse: 1 });
            desk.seen();
        }
        desk.command(command);
        assert_eq!(desk.seen(), expected.iter().map(|event| format!("1 {event}")).collect::<Vec<_>>());
    }
    desk.command(Command::PlugIn { evse: 1 });
    desk.present("A", 0);
    desk.command(Command::StartTransaction { evse: 1 });
    desk.seen();
    desk.command(Command::Unplug { evse: 1 });
    let all = ["1 StoppingCharging", "1 ChargingFinished", "1 TransactionFinished", "1 SessionFinished"];
    assert_eq!(desk.seen(), all);
}

#[test]
fn a_token_that_waits_for_a_plug_in_gets_it() {
    let mut desk = Desk::ready(&plug_events());
    desk.present("A", 0);
    assert_eq!(desk.seen(), ["A Processing", "A Accepted"]);
    desk.command(Command::PlugIn { evse: 2 });
    assert_eq!(desk.seen(), ["2 SessionStarted", "2 AuthRequired", "2 Authorized", "A UsedToStart [2]"]);
}

#[test]
fn a_plug_in_that_times_out_has_to_be_repeated() {
    let auth = AuthConfig { plug_in_timeout_enabled: true, ..quiet().auth };
    let mut desk = Desk::ready(&StationConfig { auth, ..quiet() });
    desk.command(Command::PlugIn { evse: 2 });
    desk.seen();
    desk.pass(secs(8));
    assert_eq!(desk.seen(), ["2 Deauthorized", "2 PluginTimeout"]);
    desk.present("A", 0);
    assert_eq!(desk.seen().last().map(String::as_str), Some("A UsedToStart [1]"));
    desk.present("B", 0);
    assert_eq!(desk.seen(), ["B Processing", "B Rejected"]);
    desk.command(Command::Unplug { evse: 2 });
    desk.command(Command::PlugIn { evse: 2 });
    desk.present("B", 0);
    assert_eq!(desk.seen().last().map(String::as_str), Some("B UsedToStart [2]"));
}

#[test]
fn a_faulted_evse_is_not_used() {
    let mut desk = Desk::ready(&quiet());
    desk.command(Command::InjectFault { evse: 1 });
    desk.present("A", 0);
    assert_eq!(desk.seen().last().map(String::as_str), Some("A UsedToStart [2]"));
    desk.command(Command::ClearFault { evse: 1 });
    desk.present("B", 0);
    assert_eq!(desk.seen().last().map(String::as_str), Some("B UsedToStart [1]"));
}

#[test]
fn commands_that_mean_nothing_say_why() {
    let mut desk = Desk::ready(&quiet());
    for (command, why) in [
        (Command::PlugIn { evse: 3 }, "there is no EVSE 3"),
        (Command::PlugIn { evse: 0 }, "there is no EVSE 0"),
        (Command::PlugIn { evse: i32::MIN }, "there is no EVSE -2147483648"),
        (Command::Unplug { evse: 1 }, "EVSE 1: no EV is plugged in"),
        (Command::StartTransaction { evse: 1 }, "EVSE 1: no EV is plugged in"),
        (Command::StopTransaction { evse: 1 }, "EVSE 1: no transaction runs"),
        (Command::ClearFault { evse: 1 }, "EVSE 1: the EVSE is not faulted"),
        (Command::Withdraw(WithdrawAuthorizationRequest::default()), "a command for a client, not for EVerest's side"),
        (Command::GetStatus {}, "a command for a client, not for EVerest's side"),
        (Command::CommunicationCheck(true), "a command for a client, not for EVerest's side"),
    ] {
        desk.command(command);
        assert_eq!(desk.why(), why);
    }
    desk.command(Command::PlugIn { evse: 1 });
    desk.command(Command::InjectFault { evse: 1 });
    desk.seen();
    for (command, why) in [
        (Command::PlugIn { evse: 1 }, "EVSE 1: an EV is plugged in already"),
        (Command::InjectFault { evse: 1 }, "EVSE 1: the EVSE is faulted already"),
        (Command::StartTransaction { evse: 1 }, "EVSE 1: no token is authorized"),
    ] {
        desk.command(command);
        assert_eq!(desk.why(), why);
    }
    desk.present("A", 0);
    desk.present("A", 0);
    assert_eq!(desk.ignored, ["the token is in process or was granted already"]);
}

#[test]
fn a_new_verdict_stands_above_presentations_and_answers_open_questions() {
    let mut desk = Desk::ready(&quiet());
    let verdict = |status, after_ms| {
        let validation = Validation { authorization_status: status, ..accepted_after(after_ms) };
        Input::SetVerdict { value: "A".into(), validation }
    };
    desk.present("A", 60_000);
    desk.present("B", 60_000);
    desk.pass(secs(1));
    desk.feed(verdict(AuthorizationStatus::Blocked, 500));
    desk.seen();
    desk.pass(millis(499));
    assert_eq!(desk.seen(), NOTHING);
    desk.pass(millis(1));
    assert_eq!(desk.seen(), ["A Rejected"]);
    desk.present("A", 0);
    desk.pass(millis(500));
    assert_eq!(desk.seen(), ["A Processing", "A Rejected"]);
}

#[test]
fn the_status_tells_what_everything_is_about() {
    let mut desk = Desk::ready(&StationConfig { evses: 3, ..quiet() });
    desk.command(Command::PlugIn { evse: 1 });
    desk.present("A", 0);
    desk.command(Command::StartTransaction { evse: 1 });
    desk.present("B", 0);
    desk.command(Command::InjectFault { evse: 3 });
    let status = serde_json::to_value(desk.station.status()).unwrap();
    let states: Vec<_> = (0..3).map(|evse| status["evses"][evse]["state"].clone()).collect();
    assert_eq!(states, ["transaction", "granted", "unavailable"]);
    assert_eq!(status["evses"][1]["identifier"], json!({"type": "ISO14443", "value": "B"}));
    assert_eq!(status["evses"][0]["plugged_in"], json!(true));
    assert_eq!(status["latched"]["status"], json!("UsedToStart"));
    assert_eq!(status["communication_check"], json!("off"));
}

#[test]
fn time_does_not_run_backwards() {
    let mut desk = Desk::ready(&with_heartbeat(1000));
    desk.pass(secs(5));
    desk.seen();
    desk.now = secs(1);
    desk.feed(Input::Deadline);
    assert_eq!(desk.seen(), NOTHING);
    assert_eq!(desk.station.next_deadline(), Some(secs(6)));
}

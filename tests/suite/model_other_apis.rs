//! Token providers, token validators, the entry point, and EVSEs that somebody else moves.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use khumbu::auth::SessionEvent;
use khumbu::protocol::channel::{ApiType, Channel, EntryPoint, Topics};
use khumbu::protocol::control::{AtConnector, Command, HeartbeatControl};
use khumbu::station::config::{EvseManager, ProviderConfig, StationConfig, TokenConfig, ValidatorConfig};
use khumbu::station::{Input, RequestId};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::model_desk::{Desk, NOTHING, quiet, secs};

const PROVIDER: ApiType = ApiType::AUTH_TOKEN_PROVIDER;
const VALIDATOR: ApiType = ApiType::AUTH_TOKEN_VALIDATOR;

fn with_provider() -> StationConfig {
    StationConfig {
        auth_token_provider: Some(ProviderConfig {
            cfg_communication_check_to_s: 0,
            cfg_heartbeat_interval_ms: 0,
            ..ProviderConfig::default()
        }),
        ..quiet()
    }
}

fn with_both() -> StationConfig {
    StationConfig {
        auth_token_validator: Some(ValidatorConfig {
            cfg_communication_check_to_s: 0,
            cfg_heartbeat_interval_ms: 0,
            cfg_request_reply_to_s: 20,
            ..ValidatorConfig::default()
        }),
        ..with_provider()
    }
}

fn at(desk: &mut Desk, api: ApiType, channel: Channel, payload: impl AsRef<[u8]>) {
    desk.feed(Input::ReceivedAt { api, channel, payload: Bytes::copy_from_slice(payload.as_ref()) });
}

fn provide(desk: &mut Desk, payload: Value) {
    at(desk, PROVIDER, Channel::PROVIDED_TOKEN, payload.to_string());
}

fn reply(desk: &mut Desk, request: u64, payload: Value) {
    let payload = Bytes::from(payload.to_string());
    desk.feed(Input::ValidatorReply { request: RequestId(request), payload });
}

fn bare(value: &str) -> Value {
    json!({"id_token": {"value": value, "type": "ISO14443"}, "authorization_type": "RFID"})
}

fn accepted() -> Value {
    json!({"authorization_status": "Accepted", "tariff_messages": []})
}

#[test]
fn a_provided_token_is_validated_by_the_validator() {
    let mut desk = Desk::ready(&with_both());
    provide(&mut desk, bare("A"));
    assert_eq!(desk.seen(), ["A Processing", "ask 0 A"]);
    desk.pass(secs(3));
    reply(&mut desk, 0, accepted());
    assert_eq!(desk.seen_publications(), ["asked 0", "A Accepted", "A UsedToStart [1]"]);
    // The next question has the next number.
    provide(&mut desk, bare("B"));
    assert_eq!(desk.seen(), ["B Processing", "ask 1 B"]);
}

#[test]
fn without_a_validator_the_station_knows_its_tokens() {
    let mut config = with_provider();
    let known: TokenConfig =
        serde_json::from_value(json!({"value": "A", "type": "ISO14443", "verdict": "Accepted"})).unwrap();
    config.tokens.insert("ALICE".to_owned(), known);
    let mut desk = Desk::ready(&config);
    provide(&mut desk, bare("A"));
    provide(&mut desk, bare("B"));
    desk.feed(Input::Deadline);
    let seen = desk.seen_publications();
    assert!(seen.contains(&"A UsedToStart [1]".to_owned()) && seen.contains(&"B Rejected".to_owned()), "{seen:?}");
}

#[test]
fn a_silent_validator_counts_as_invalid_when_its_time_is_over_and_a_late_reply_reaches_nobody() {
    let mut desk = Desk::ready(&with_both());
    provide(&mut desk, bare("A"));
    desk.seen();
    desk.pass(secs(19));
    assert_eq!(desk.seen(), NOTHING);
    desk.pass(secs(1));
    assert_eq!(desk.seen(), ["asked 0", "A Rejected"]);
    reply(&mut desk, 0, accepted());
    assert_eq!(desk.why(), "a reply that nobody waits for");
}

#[test]
fn a_time_of_0_or_less_is_endless() {
    for seconds in [0, -1] {
        let mut config = with_both();
        config.auth_token_validator.as_mut().unwrap().cfg_request_reply_to_s = seconds;
        let mut desk = Desk::ready(&config);
        provide(&mut desk, bare("A"));
        desk.pass(secs(300));
        assert_eq!(desk.station.next_deadline(), Some(secs(999_999)));
    }
}

#[test]
fn a_malformed_reply_is_ignored_and_a_good_one_after_it_counts() {
    let mut desk = Desk::ready(&with_both());
    provide(&mut desk, bare("A"));
    desk.seen();
    for bad in [
        json!(null),
        json!("Accepted"),
        json!({}),
        json!({"authorization_status": "accepted", "tariff_messages": []}),
        json!({"authorization_status": "Accepted"}),
        json!({"authorization_status": "Accepted", "tariff_messages": [{}]}),
        json!({"authorization_status": "Accepted", "tariff_messages": [], "certificate_status": "Good"}),
        json!({"authorization_status": "Accepted", "tariff_messages": [], "evse_ids": ["1"]}),
        json!({"authorization_status": "Accepted", "tariff_messages": [], "expiry_time": 5}),
        json!({"authorization_status": "Accepted", "tariff_messages": [], "allowed_energy_transfer_modes": ["AC"]}),
        json!({"headers": {}, "payload": accepted()}),
    ] {
        reply(&mut desk, 0, bad.clone());
        assert!(!desk.why().is_empty(), "{bad}");
    }
    let full = json!({
        "authorization_status": "Accepted", "tariff_messages": null, "evse_ids": [true], "reservation_id": 1.5,
        "expiry_time": "never", "certificate_status": "Accepted", "allowed_energy_transfer_modes": ["DC"], "x": 1,
    });
    reply(&mut desk, 0, full);
    assert_eq!(desk.seen_publications(), ["asked 0", "A Accepted", "A UsedToStart [1]"]);
}

#[test]
fn a_provided_token_is_read_as_leniently_as_everest_reads_it() {
    let with = |key: &str, value: Value| {
        let mut token = bare("A");
        token[key] = value;
        token
    };
    for (payload, is_presented) in [
        (bare("A"), true),
        (with("unknown", json!(1)), true),
        (with("connectors", json!([1.9])), true),
        (with("connectors", json!(null)), true),
        (with("connectors", json!({"a": 2})), true),
        (with("request_id", json!(true)), true),
        (with("id_token", json!({"value": "A", "type": "Local"})), true),
        (with("connectors", json!(["1"])), false),
        (with("request_id", json!("7")), false),
        (with("request_id", json!(null)), false),
        (with("prevalidated", json!(1)), false),
        (with("certificate", json!(null)), false),
        (with("parent_id_token", json!({})), false),
        (with("authorization_type", json!("rfid")), false),
        (with("authorization_type", json!({"RFID": null})), false),
        (with("id_token", json!({"value": "A"})), false),
        (json!({"value": "X"}), false),
        (json!({"headers": {}, "payload": bare("A")}), false),
        (json!([bare("A")]), false),
        (json!(null), false),
    ] {
        let mut desk = Desk::ready(&with_both());
        provide(&mut desk, payload.clone());
        assert_eq!(desk.seen().first().is_some_and(|line| line.starts_with("A Processing")), is_presented, "{payload}");
    }
}

#[test]
fn a_validator_changes_its_mind() {
    let mut desk = Desk::ready(&with_both());
    let mut prevalidated = bare("A");
    prevalidated["prevalidated"] = json!(true);
    provide(&mut desk, prevalidated);
    assert_eq!(desk.seen_publications(), ["A Processing", "A Accepted", "A UsedToStart [1]"]);
    let update = |evse: Value| json!({"connector_id": evse, "validation_result": accepted()}).to_string();
    at(&mut desk, VALIDATOR, Channel::VALIDATE_RESULT_UPDATE, update(json!(1)));
    assert_eq!(desk.seen(), ["A Accepted [1]"]);
    for evse in [json!(2), json!("1,"), json!(null)] {
        at(&mut desk, VALIDATOR, Channel::VALIDATE_RESULT_UPDATE, update(evse));
        assert!(!desk.why().is_empty());
    }
}

#[test]
fn each_module_has_a_heartbeat_and_a_communication_check_of_its_own() {
    let mut config = with_both();
    let provider = config.auth_token_provider.as_mut().unwrap();
    (provider.cfg_heartbeat_interval_ms, provider.cfg_communication_check_to_s) = (1000, 3);
    config.auth_token_validator.as_mut().unwrap().cfg_communication_check_to_s = 5;
    let mut desk = Desk::new(&config);
    desk.feed(Input::Ready);
    assert_eq!(
        desk.seen(),
        ["auth_token_provider heartbeat 0", "raised Initial communication check", "raised Initial communication check",]
    );
    at(&mut desk, PROVIDER, Channel::COMMUNICATION_CHECK, "true");
    assert_eq!(desk.seen(), ["cleared Initial communication check"]);
    desk.command(Command::Heartbeats(HeartbeatControl::Pause));
    desk.pass(secs(10));
    assert_eq!(desk.seen(), ["raised Bridge to implementation connection lost"]);
    desk.command(Command::Heartbeats(HeartbeatControl::Resume));
    assert_eq!(desk.seen(), ["auth_token_provider heartbeat 1"]);
}

#[test]
fn every_module_answers_for_itself() {
    let mut desk = Desk::ready(&with_both());
    let ask = |desk: &mut Desk, entry_point: EntryPoint, text: &str| {
        desk.feed(Input::Queried { entry_point, payload: Bytes::copy_from_slice(text.as_bytes()) });
        desk.trace.drain(..).map(|line| line.split("\"type\":").nth(1).unwrap_or(&line).to_owned()).collect::<Vec<_>>()
    };
    let query = |api: &str| EntryPoint::QueryModules(api.to_owned());
    let to_r = r#"{"headers": {"replyTo": "r"}}"#;
    let all = [
        "\"auth_token_validator\",\"version\":1}]}",
        "\"auth_token_provider\",\"version\":1}]}",
        "\"auth_consumer\",\"version\":1}]}",
    ];
    assert_eq!(ask(&mut desk, EntryPoint::Discover, to_r), all);
    assert_eq!(ask(&mut desk, query("auth_token_provider"), to_r), all[1..2]);
    assert_eq!(ask(&mut desk, query("auth_consumer"), to_r), all[2..]);
    for (entry_point, text) in [
        (query("nonexistent"), to_r),
        (query(""), to_r),
        (EntryPoint::Discover, "{}"),
        (EntryPoint::Discover, ""),
        (EntryPoint::Discover, r#"{"headers": {"replyTo": "a/+"}}"#),
        (EntryPoint::Discover, r#"{"headers": {"replyTo": 5}}"#),
    ] {
        assert_eq!(ask(&mut desk, entry_point, text), NOTHING, "{text}");
    }
}

#[test]
fn a_discovery_of_the_consumer_waits_behind_a_withdraw_and_that_of_others_does_not() {
    let mut desk = Desk::ready(&with_both());
    provide(&mut desk, bare("A"));
    desk.withdraw("w", json!({}));
    desk.seen();
    let payload = Bytes::from_static(br#"{"headers": {"replyTo": "r"}}"#);
    desk.feed(Input::Queried { entry_point: EntryPoint::Discover, payload });
    assert_eq!(desk.seen().len(), 2);
    reply(&mut desk, 0, json!({"authorization_status": "Blocked", "tariff_messages": []}));
    let seen = desk.seen();
    assert_eq!(seen[..3], ["asked 0", "A Rejected", "w: \"Accepted\""]);
    assert!(seen[3].contains("auth_consumer") && seen.len() == 4, "{seen:?}");
}

#[test]
fn messages_for_modules_that_are_not_there_reach_nobody() {
    let mut desk = Desk::ready(&quiet());
    at(&mut desk, PROVIDER, Channel::PROVIDED_TOKEN, bare("A").to_string());
    assert_eq!(desk.why(), "there is no module with the API auth_token_provider");
    let mut desk = Desk::ready(&with_both());
    at(&mut desk, VALIDATOR, Channel::PROVIDED_TOKEN, bare("A").to_string());
    assert_eq!(desk.why(), "this API has no such channel");
    at(&mut desk, VALIDATOR, Channel::VALIDATE_TOKEN, "{}");
    assert_eq!(desk.why(), "EVerest publishes on this channel and does not listen");
    let mut desk = Desk::new(&with_both());
    provide(&mut desk, bare("A"));
    assert_eq!(desk.why(), "EVerest is not ready: nobody listens yet");
}

#[test]
fn external_evses_report_and_are_told() {
    let config = StationConfig { evse_manager: EvseManager::External, ..quiet() };
    let mut desk = Desk::ready(&config);
    desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
    assert_eq!(desk.why(), "the EVSEs are moved by somebody else, who reports it");
    desk.present("A", 0);
    // Nothing happens at the EVSE until somebody reports it.
    assert_eq!(desk.seen(), ["A Processing", "A Accepted", "A UsedToStart [1]"]);
    let named = desk.station.session_event(1, "SessionStarted");
    assert_eq!(named, Some(SessionEvent::SessionStartedByAuthorization));
    assert_eq!(desk.station.session_event(2, "SessionStarted"), Some(SessionEvent::SessionStartedByPlugIn));
    assert_eq!(desk.station.session_event(2, "ChargingPausedEV"), Some(SessionEvent::ChargingPausedEV));
    for event in
        [SessionEvent::SessionStartedByAuthorization, SessionEvent::Authorized, SessionEvent::TransactionStarted]
    {
        desk.feed(Input::Session { evse: 1, event });
    }
    assert_eq!(desk.station.status().evses[0].state, "transaction");
    desk.feed(Input::Session { evse: 9, event: SessionEvent::Authorized });
    assert_eq!(desk.why(), "there is no EVSE 9");
    let mut desk = Desk::ready(&quiet());
    desk.feed(Input::Session { evse: 1, event: SessionEvent::Authorized });
    assert_eq!(desk.why(), "the EVSEs are moved by the station itself");
}

#[test]
fn topics_of_the_other_apis_and_of_the_entry_point() {
    let consumer = Topics {
        api: ApiType::AUTH_CONSUMER,
        external_prefix: "site/".to_owned(),
        api_version: "1".to_owned(),
        module_id: "auth_api".to_owned(),
    };
    let validator = consumer.of(VALIDATOR, "v");
    assert_eq!(
        validator.topic(Channel::VALIDATE_TOKEN),
        "site/everest_api/1/auth_token_validator/v/e2m/validate_token"
    );
    assert_eq!(validator.reply_topic_to_everest("7"), "everest_api/1/auth_token_validator/v/m2e/reply/7");
    assert_eq!(consumer.channel("site/everest_api/1/auth_token_validator/v/e2m/heartbeat"), None);
    for api in ApiType::AUTH_APIS {
        let topics = consumer.of(api, "m");
        for channel in api.channels() {
            assert_eq!(topics.channel(&topics.topic(channel)), Some(channel));
        }
        for channel in api.former_channels() {
            let topic = topics.topic(channel);
            assert_eq!((topics.channel(&topic), topics.former_channel(&topic)), (None, Some(channel)));
        }
    }
    for entry_point in [EntryPoint::Discover, EntryPoint::QueryModules("x".to_owned())] {
        assert_eq!(EntryPoint::from_topic("site/", &entry_point.topic("site/")), Some(entry_point.clone()));
        assert_eq!(EntryPoint::from_topic("", &entry_point.topic("site/")), None);
    }
    assert_eq!(EntryPoint::from_topic("", "everest_api/ready_beacon"), None);
}

proptest! {
    #[test]
    fn no_bytes_hurt(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut desk = Desk::ready(&with_both());
        provide(&mut desk, bare("A"));
        at(&mut desk, PROVIDER, Channel::PROVIDED_TOKEN, &bytes);
        at(&mut desk, VALIDATOR, Channel::VALIDATE_RESULT_UPDATE, &bytes);
        let payload = Bytes::from(bytes);
        desk.feed(Input::ValidatorReply { request: RequestId(0), payload: payload.clone() });
        desk.feed(Input::Queried { entry_point: EntryPoint::Discover, payload });
    }
}

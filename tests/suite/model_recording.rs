//! The station against recordings of genuine EVerest: the same stimuli at the same times, in virtual time, and what came
//! out beside what EVerest did.
//!
//! The recordings are not part of the project; where they are absent the test says so and does nothing.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use khumbu::auth::EvseCall;
use khumbu::protocol::channel::Channel;
use khumbu::protocol::control::{Command, Validation};
use khumbu::protocol::types::AuthorizationStatus;
use khumbu::station::config::{ApiConfig, AuthConfig, StationConfig};
use khumbu::station::{Address, Effect, Input, Station};
use khumbu::timespan::Seconds;
use serde::Deserialize;
use serde_json::{Value, json};

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/recordings");
const API: &str = "everest_api/1/auth_consumer/auth_api/";
const PROVIDER: &str = "everest_api/1/auth_token_provider/token_provider_api/m2e/provided_token";
const VALIDATOR: &str = "everest_api/1/auth_token_validator/token_validator_api/";
const FAULT: &str = "everest/modules/auth_api/impl/main/error/generic/CommunicationFault";

/// How far apart in time the same outcome may lie: EVerest's threads and its 43 ms of Nagle against none of both.
const TOLERANCE: Duration = Duration::from_millis(300);

#[derive(Deserialize)]
struct Line {
    t_ms: u64,
    topic: String,
    payload: Value,
    #[serde(default)]
    raw: bool,
}

/// Outcomes whose order counts among themselves, with their times.
type Lanes = BTreeMap<String, Vec<(Duration, Value)>>;

/// Plays one recording after the other to one station, as they were recorded.
struct Player {
    station: Station,
    /// What is added to the times of the recording being played.
    base: Duration,
    now: Duration,
    seen: Lanes,
}

impl Player {
    fn advance(&mut self, until: Duration) {
        while let Some(due) = self.station.next_deadline().filter(|due| *due <= until) {
            self.feed(due, Input::Deadline);
        }
        self.now = until;
    }

    fn feed(&mut self, at: Duration, input: Input) {
        self.now = at;
        for effect in self.station.apply(at, input) {
            let (lane, value) = match effect {
                Effect::Publish { to: Address::Channel(Channel::TokenValidationStatus), payload } => {
                    ("status".to_owned(), serde_json::to_value(payload).unwrap())
                }
                Effect::Publish { to: Address::Channel(_), payload } => {
                    ("heartbeat".to_owned(), serde_json::to_value(payload).unwrap())
                }
                Effect::Publish { to: Address::Reply(topic), payload } => ("reply".to_owned(), json!([topic, payload])),
                Effect::Fault { fault, raised } => ("fault".to_owned(), json!([raised, fault.sub_type()])),
                Effect::EvseCall { evse, call } => (format!("evse {evse}"), to_log(&call)),
                Effect::SessionEvent { evse, event } => {
                    (format!("evse {evse}"), json!(["session_event", event.name()]))
                }
                Effect::Ignored { .. } => continue,
            };
            self.seen.entry(lane).or_default().push((at, value));
        }
    }

    fn play(&mut self, lines: &[Line]) {
        for (position, line) in lines.iter().enumerate() {
            let Some(input) = to_input(line, &lines[position..]) else { continue };
            let at = self.base + Duration::from_millis(line.t_ms);
            self.advance(at);
            self.feed(at, input);
        }
        self.advance(self.base + Duration::from_millis(lines.last().unwrap().t_ms));
    }
}

fn to_log(call: &EvseCall) -> Value {
    match call {
        EvseCall::AuthorizeResponse(response) => {
            json!(["authorize_response", {"token": response.0, "result": response.1}])
        }
        EvseCall::WithdrawAuthorization => json!(["withdraw_authorization", null]),
        EvseCall::StopTransaction { reason, id_tag: None } => json!(["stop_transaction", {"reason": reason.name()}]),
        EvseCall::StopTransaction { reason, id_tag } => {
            json!(["stop_transaction", {"reason": reason.name(), "id_tag": id_tag}])
        }
    }
}

/// What a line does to the station; `None` for outcomes and for what goes elsewhere.
fn to_input(line: &Line, following: &[Line]) -> Option<Input> {
    let bytes = match &line.payload {
        Value::String(text) if line.raw => Bytes::from(text.clone()),
        payload => Bytes::from(payload.to_string()),
    };
    if let Some(address) = line.topic.strip_prefix(API) {
        let channel = Channel::ALL.into_iter().find(|channel| channel.address() == address)?;
        return (!channel.is_from_everest()).then_some(Input::Received { channel, payload: bytes });
    }
    if line.topic == FAULT && line.payload["data"]["sub_type"] == "Initial communication check" {
        return (line.payload["msg_type"] == "RaiseError").then_some(Input::Ready);
    }
    if line.topic == PROVIDER {
        // The provider API drops what it cannot decode.
        let token = serde_json::from_slice(&bytes).ok()?;
        return Some(Input::Command(Command::PresentToken { token, validation: validation_of(line, following) }));
    }
    if line.topic.strip_prefix(VALIDATOR) == Some("m2e/validate_result_update") {
        let evse = i32::try_from(line.payload["connector_id"].as_i64()?).ok()?;
        let result = serde_json::from_value(line.payload["validation_result"].clone()).unwrap();
        return Some(Input::ResultUpdate { evse, result });
    }
    let (evse, kind) = line.topic.strip_prefix("everest_test/evse")?.split_once('/')?;
    let evse = evse.parse().unwrap();
    match (kind, line.payload.as_str(), line.payload["detail"].as_str()) {
        ("cmd", Some("plug_in"), _) => Some(Input::Command(Command::PlugIn { evse })),
        ("cmd", Some("plug_out"), _) => Some(Input::Command(Command::Unplug { evse })),
        // The recorded EVSE begins a transaction by itself.
        ("log", _, Some("TransactionStarted")) => Some(Input::Command(Command::StartTransaction { evse })),
        _ => None,
    }
}

/// What the recorded validator answers about a token, and when: as the question and the reply in the recording have it.
fn validation_of(presented: &Line, following: &[Line]) -> Validation {
    let value = &presented.payload["id_token"]["value"];
    let question = following.iter().find(|line| {
        line.topic.ends_with("e2m/validate_token") && &line.payload["payload"]["id_token"]["value"] == value
    });
    let reply = question.and_then(|question| {
        let reply_to = question.payload["headers"]["replyTo"].as_str().unwrap();
        following.iter().find(|line| line.topic == reply_to)
    });
    // cfg_request_reply_to_s is 20; then EVerest takes an answer of its own.
    let (after_ms, answer) = match reply {
        Some(reply) => (reply.t_ms - presented.t_ms, reply.payload.clone()),
        None => (20_000, json!({"authorization_status": AuthorizationStatus::Invalid, "tariff_messages": []})),
    };
    let mut answer = answer.as_object().unwrap().clone();
    answer.remove("expiry_time");
    answer.insert("after_ms".into(), json!(after_ms));
    serde_json::from_value(Value::Object(answer)).unwrap()
}

/// What EVerest did.
fn outcomes(lines: &[Line], base: Duration) -> Lanes {
    let requests = [Channel::WithdrawAuthorization, Channel::GetTokenValidationStatus].map(Channel::address);
    let reply_topics: Vec<&str> = lines
        .iter()
        .filter(|line| line.topic.strip_prefix(API).is_some_and(|address| requests.contains(&address)))
        .filter_map(|line| line.payload["headers"]["replyTo"].as_str())
        .collect();
    let mut lanes = Lanes::new();
    for line in lines {
        let (lane, value) = match line.topic.as_str() {
            topic if topic.strip_prefix(API) == Some("e2m/token_validation_status") => {
                ("status".to_owned(), line.payload.clone())
            }
            topic if topic.strip_prefix(API) == Some("e2m/heartbeat") => ("heartbeat".to_owned(), line.payload.clone()),
            topic if reply_topics.contains(&topic) => ("reply".to_owned(), json!([topic, line.payload])),
            FAULT => {
                let raised = line.payload["msg_type"] == "RaiseError";
                ("fault".to_owned(), json!([raised, line.payload["data"]["sub_type"]]))
            }
            topic => match topic.strip_prefix("everest_test/evse").and_then(|rest| rest.strip_suffix("/log")) {
                Some(evse) => (format!("evse {evse}"), log_of(&line.payload)),
                None => continue,
            },
        };
        lanes.entry(lane).or_default().push((base + Duration::from_millis(line.t_ms), value));
    }
    lanes
}

fn log_of(payload: &Value) -> Value {
    let detail = payload["detail"].as_str().unwrap();
    let mut detail = serde_json::from_str(detail).unwrap_or_else(|_| match detail {
        "" => Value::Null,
        name => json!(name),
    });
    // When an authorization expires makes no difference to Auth and is not modelled.
    if let Some(result) = detail.pointer_mut("/result").and_then(Value::as_object_mut) {
        result.remove("expiry_time");
    }
    json!([payload["what"], detail])
}

#[test]
fn does_what_everest_did() {
    if !Path::new(RECORDINGS).is_dir() {
        println!("skipped: no recordings at ../shared/recordings");
        return;
    }
    let config = StationConfig {
        evses: 2,
        auth: AuthConfig {
            connection_timeout: Seconds(Duration::from_secs(8)),
            master_pass_group_id: "MASTER".into(),
            ..AuthConfig::default()
        },
        auth_consumer: ApiConfig::default(),
        ..StationConfig::default()
    };
    let mut player =
        Player { station: Station::new(&config), base: Duration::ZERO, now: Duration::ZERO, seen: Lanes::new() };
    let mut compared = 0;
    for file in ["00_startup", "01_communication_check", "02_tokens", "03_withdraw"] {
        let text = fs::read_to_string(format!("{RECORDINGS}/{file}.jsonl")).unwrap();
        let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        player.base = player.now;
        player.play(&lines);
        let mut expected = outcomes(&lines, player.base);
        let mut seen = std::mem::take(&mut player.seen);
        // The files leave time out between them, so that only the first one's heartbeats can be foretold.
        if file != "00_startup" {
            expected.remove("heartbeat");
            seen.remove("heartbeat");
        }
        assert_eq!(seen.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{file}");
        for (lane, expected) in &expected {
            let seen = &seen[lane];
            for (position, ((seen_at, seen), (expected_at, expected))) in seen.iter().zip(expected).enumerate() {
                let (seen_at, expected_at) = (*seen_at - player.base, *expected_at - player.base);
                assert_eq!(seen, expected, "{file}, {lane} {position}, at {seen_at:?} and {expected_at:?}");
                let apart = seen_at.abs_diff(expected_at);
                assert!(apart <= TOLERANCE, "{file}, {lane} {position}: {seen} at {seen_at:?}, not {expected_at:?}");
                compared += 1;
            }
            assert_eq!(seen.len(), expected.len(), "{file}, {lane}");
        }
    }
    assert!(compared > 300, "only {compared} outcomes were compared");
}

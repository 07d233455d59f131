//! The station against recordings of genuine EVerest: the same stimuli at the same times, in virtual time, and what came
//! out beside what EVerest did. Tokens, replies of the validator and session events of the EVSEs are stimuli, as they
//! were recorded; nothing is told to the station that EVerest did not know.
//!
//! The recordings are not part of the project; where they are absent the tests say so and do nothing.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use khumbu::auth::EvseCall;
use khumbu::protocol::channel::{ApiType, Channel, EntryPoint, Topics};
use khumbu::protocol::release::Release;
use khumbu::station::config::{AuthConfig, EvseManager, ProviderConfig, StationConfig, ValidatorConfig};
use khumbu::station::{Address, CommunicationFault, Effect, Input, RequestId, Station};
use khumbu::timespan::Seconds;
use serde::Deserialize;
use serde_json::{Value, json};

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/recordings");

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

/// One recording, and the station it is played to.
struct Player {
    lines: Vec<Line>,
    modules: Vec<Topics>,
    /// Topics that replies of EVerest pass on.
    replies: Vec<String>,
    /// Topics that replies of the validator pass on, in the order of the requests.
    asked: Vec<String>,
    station: Station,
    /// What is added to the times of the recording.
    base: Duration,
    seen: Lanes,
}

impl Player {
    fn new(path: &str, config: &StationConfig) -> Self {
        let text = fs::read_to_string(format!("{RECORDINGS}/{path}.jsonl")).unwrap();
        let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let consumer = Topics {
            api: ApiType::AuthConsumer,
            external_prefix: String::new(),
            api_version: "1".to_owned(),
            module_id: config.auth_consumer.module_id.clone(),
        };
        let provider = config.auth_token_provider.as_ref().unwrap();
        let validator = config.auth_token_validator.as_ref().unwrap();
        let modules = vec![
            consumer.clone(),
            consumer.of(ApiType::AuthTokenProvider, &provider.module_id),
            consumer.of(ApiType::AuthTokenValidator, &validator.module_id),
        ];
        let question = modules[2].topic(Channel::ValidateToken);
        let mut player = Self {
            modules,
            replies: Vec::new(),
            asked: Vec::new(),
            station: Station::new(config),
            base: Duration::ZERO,
            seen: Lanes::new(),
            lines,
        };
        for line in &player.lines {
            let Some(reply_to) = line.payload["headers"]["replyTo"].as_str() else { continue };
            let asked = if line.topic == question { &mut player.asked } else { &mut player.replies };
            asked.push(reply_to.to_owned());
        }
        player
    }

    /// Starts EVerest in such a way that its heartbeats are those of the recording, and brings the communication check
    /// to where it was.
    fn start(&mut self, before: &[&'static str]) {
        let heartbeat = self.modules[0].topic(Channel::Heartbeat);
        // Heartbeat n comes n seconds after the start, or a little later. The recording may begin long after that.
        let beats = self.lines.iter().filter(|line| line.topic == heartbeat);
        let start = beats.map(|line| line.t_ms as i64 - 1000 * line.payload.as_i64().unwrap()).min().unwrap();
        let (before_recording, ready) = (u64::try_from(-start).unwrap_or(0), u64::try_from(start).unwrap_or(0));
        self.base = Duration::from_millis(before_recording);
        let ready = Duration::from_millis(ready);
        self.feed(ready, Input::Ready);
        for check in before {
            let payload = Bytes::from_static(check.as_bytes());
            self.feed(ready, Input::Received { channel: Channel::CommunicationCheck, payload });
        }
        if before_recording > 0 {
            self.advance(self.base);
            self.seen.clear();
        }
    }

    fn play(&mut self) {
        for position in 0..self.lines.len() {
            let at = self.base + Duration::from_millis(self.lines[position].t_ms);
            self.advance(at);
            if let Some(input) = self.input(&self.lines[position]) {
                self.feed(at, input);
            }
        }
    }

    fn advance(&mut self, until: Duration) {
        while let Some(due) = self.station.next_deadline().filter(|due| *due <= until) {
            self.feed(due, Input::Deadline);
        }
    }

    fn feed(&mut self, at: Duration, input: Input) {
        for effect in self.station.apply(at, input) {
            let (lane, value) = match effect {
                Effect::Publish { to, payload } => {
                    let topic = match to {
                        Address::Channel(channel) => self.modules[0].topic(channel),
                        Address::ChannelOf(api, channel) => self.topics(api).topic(channel),
                        Address::ReadyBeacon => EntryPoint::beacon_topic(""),
                        Address::Reply(topic) => topic,
                    };
                    (topic, serde_json::to_value(payload).unwrap())
                }
                Effect::Ask { request, token } => {
                    let value = json!({"request": request.0, "payload": token});
                    (self.modules[2].topic(Channel::ValidateToken), value)
                }
                Effect::Fault { api, fault, raised } => {
                    let value = json!([raised, CommunicationFault::TYPE, fault.sub_type()]);
                    (fault_topic(self.topics(api)), value)
                }
                Effect::EvseCall { evse, call } => (format!("everest_test/evse{evse}/log"), to_log(&call)),
                Effect::Exit { why } => ("exit".to_owned(), json!(why)),
                Effect::SessionEvent { .. } | Effect::Asked { .. } | Effect::Ignored { .. } => continue,
            };
            self.seen.entry(lane).or_default().push((at, value));
        }
    }

    fn topics(&self, api: ApiType) -> &Topics {
        self.modules.iter().find(|module| module.api == api).unwrap()
    }

    /// What a line does to the station; `None` for outcomes and for what goes elsewhere.
    fn input(&self, line: &Line) -> Option<Input> {
        let payload = match &line.payload {
            Value::String(text) if line.raw => Bytes::from(text.clone()),
            payload => Bytes::from(payload.to_string()),
        };
        if let Some(number) = self.asked.iter().position(|topic| *topic == line.topic) {
            return Some(Input::ValidatorReply { request: RequestId(number as u64), payload });
        }
        if let Some(entry_point) = EntryPoint::from_topic("", &line.topic) {
            return Some(Input::Queried { entry_point, payload });
        }
        for module in &self.modules {
            if let Some(channel) = module.channel(&line.topic).filter(|channel| !channel.is_from_everest()) {
                return Some(Input::ReceivedAt { api: module.api, channel, payload });
            }
        }
        let evse = line.topic.strip_prefix("everest_test/evse")?.strip_suffix("/log")?.parse().unwrap();
        let name = line.payload["detail"].as_str().filter(|_| line.payload["what"] == "session_event")?;
        Some(Input::Session { evse, event: self.station.session_event(evse, name)? })
    }

    /// What EVerest did.
    fn outcomes(&self) -> Lanes {
        let mut lanes = Lanes::new();
        for line in &self.lines {
            let topic = line.topic.as_str();
            let is_published = topic == EntryPoint::beacon_topic("")
                || self.replies.iter().any(|reply_to| reply_to == topic)
                || self.modules.iter().any(|module| module.channel(topic).is_some_and(Channel::is_from_everest));
            let value = if topic == self.modules[2].topic(Channel::ValidateToken) {
                let request = self.asked.iter().position(|asked| line.payload["headers"]["replyTo"] == **asked);
                json!({"request": request, "payload": line.payload["payload"]})
            } else if is_published {
                line.payload.clone()
            } else if self.modules.iter().any(|module| fault_topic(module) == topic) {
                let (data, raised) = (&line.payload["data"], line.payload["msg_type"] == "RaiseError");
                assert_eq!(data["state"], if raised { "Active" } else { "ClearedByModule" });
                json!([raised, data["type"], data["sub_type"]])
            } else if topic.starts_with("everest_test/") && topic.ends_with("/log") {
                if line.payload["what"] == "session_event" {
                    continue;
                }
                let detail = line.payload["detail"].as_str().unwrap();
                json!([line.payload["what"], serde_json::from_str::<Value>(detail).unwrap_or(Value::Null)])
            } else {
                continue;
            };
            lanes.entry(topic.to_owned()).or_default().push((self.base + Duration::from_millis(line.t_ms), value));
        }
        lanes
    }

    /// Compares; gives how many outcomes there are.
    fn compare(&self, path: &str) -> usize {
        let (seen, expected) = (&self.seen, self.outcomes());
        assert_eq!(seen.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{path}");
        let mut compared = 0;
        for (lane, expected) in &expected {
            for (position, ((seen_at, seen), (expected_at, expected))) in seen[lane].iter().zip(expected).enumerate() {
                let at = |time: &Duration| time.saturating_sub(self.base);
                let (seen_at, expected_at) = (at(seen_at), at(expected_at));
                assert_eq!(seen, expected, "{path}, {lane} {position}, at {seen_at:?} and {expected_at:?}");
                let apart = seen_at.abs_diff(expected_at);
                assert!(apart <= TOLERANCE, "{path}, {lane} {position}: {seen} at {seen_at:?}, not {expected_at:?}");
                compared += 1;
            }
            assert_eq!(seen[lane].len(), expected.len(), "{path}, {lane}");
        }
        compared
    }
}

fn fault_topic(module: &Topics) -> String {
    format!("everest/modules/{}/impl/main/error/generic/CommunicationFault", module.module_id)
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

/// The configuration beside the recordings.
fn config(release: Release) -> StationConfig {
    StationConfig {
        evses: 2,
        auth: AuthConfig {
            connection_timeout: Seconds(Duration::from_secs(8)),
            master_pass_group_id: "MASTER".into(),
            ..AuthConfig::default()
        },
        auth_token_provider: Some(ProviderConfig {
            cfg_communication_check_to_s: 0,
            cfg_heartbeat_interval_ms: 0,
            ..ProviderConfig::default()
        }),
        auth_token_validator: Some(ValidatorConfig {
            cfg_communication_check_to_s: 0,
            cfg_heartbeat_interval_ms: 0,
            cfg_request_reply_to_s: 20,
            ..ValidatorConfig::default()
        }),
        evse_manager: EvseManager::External,
        release,
        ..StationConfig::default()
    }
}

/// Plays a recording; gives how many outcomes were compared, or nothing where it is absent.
fn play(path: &str, release: Release, before: &[&'static str]) -> usize {
    if !Path::new(RECORDINGS).is_dir() {
        println!("skipped: no recordings at ../shared/recordings");
        return 0;
    }
    let mut player = Player::new(path, &config(release));
    player.start(before);
    player.play();
    let compared = player.compare(path);
    println!("{path}: {compared} outcomes");
    assert!(compared > 10, "{path}: only {compared} outcomes were compared");
    compared
}

#[test]
fn everest_starts_and_is_discovered() {
    play("00_startup", Release::Main, &[]);
}

#[test]
fn everest_checks_the_communication() {
    play("01_communication_check", Release::Main, &[]);
}

#[test]
fn everest_follows_tokens() {
    // The recording before it had ended the communication check.
    play("02_tokens", Release::Main, &["false"]);
}

#[test]
fn everest_withdraws() {
    play("03_withdraw", Release::Main, &["false"]);
}

#[test]
fn an_earlier_everest_starts_and_is_not_discovered() {
    play("2025.12.0/00_startup", Release::V2025_12, &[]);
}

#[test]
fn an_earlier_everest_checks_the_communication() {
    play("2025.12.0/01_communication_check", Release::V2025_12, &[]);
}

#[test]
fn an_earlier_everest_withdraws() {
    play("2025.12.0/03_withdraw", Release::V2025_12, &[]);
}

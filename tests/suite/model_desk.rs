//! A station with a hand on everything around it, for tests that are written out; in virtual time.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use khumbu::auth::EvseCall;
use khumbu::protocol::channel::Channel;
use khumbu::protocol::control::{Command, Validation};
use khumbu::protocol::types::{AuthorizationStatus, AuthorizationType, IdToken, IdTokenType, ProvidedIdToken};
use khumbu::station::config::{ApiConfig, AuthConfig, SelectionAlgorithm, StationConfig};
use khumbu::station::{Address, Effect, Input, Station};
use khumbu::timespan::Seconds;
use serde_json::{Value, json};

pub(crate) const NOTHING: [&str; 0] = [];

/// A station, its clock, and what came out of it in words.
pub(crate) struct Desk {
    pub(crate) station: Station,
    pub(crate) now: Duration,
    pub(crate) trace: Vec<String>,
    pub(crate) ignored: Vec<String>,
    /// How many beacons there were; they would be in the way among the others.
    pub(crate) beacons: usize,
    /// Every status so far, as JSON.
    pub(crate) statuses: Vec<Value>,
}

/// Two EVSEs, neither heartbeats nor communication check: both would be in the way.
pub(crate) fn quiet() -> StationConfig {
    StationConfig {
        evses: 2,
        auth: AuthConfig { connection_timeout: Seconds(secs(8)), ..AuthConfig::default() },
        auth_consumer: ApiConfig {
            cfg_communication_check_to_s: 0,
            cfg_heartbeat_interval_ms: 0,
            latch_variable_values: true,
            ..ApiConfig::default()
        },
        ..StationConfig::default()
    }
}

pub(crate) fn with_heartbeat(interval_ms: i32) -> StationConfig {
    let auth_consumer = ApiConfig { cfg_heartbeat_interval_ms: interval_ms, ..quiet().auth_consumer };
    StationConfig { auth_consumer, ..quiet() }
}

pub(crate) fn with_check(timeout_s: i32) -> StationConfig {
    let auth_consumer = ApiConfig { cfg_communication_check_to_s: timeout_s, ..quiet().auth_consumer };
    StationConfig { auth_consumer, ..quiet() }
}

pub(crate) fn plug_events() -> StationConfig {
    let auth = AuthConfig { selection_algorithm: SelectionAlgorithm::PlugEvents, ..quiet().auth };
    StationConfig { auth, ..quiet() }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn token(value: &str) -> ProvidedIdToken {
    ProvidedIdToken {
        authorization_type: AuthorizationType::RFID,
        certificate: None,
        certificate_hash_data: None,
        connectors: None,
        id_token: IdToken { additional_info: None, r#type: IdTokenType::ISO14443, value: value.to_owned() },
        parent_id_token: None,
        prevalidated: None,
        request_id: None,
    }
}

pub(crate) fn accepted_after(after_ms: u64) -> Validation {
    Validation {
        after_ms,
        authorization_status: AuthorizationStatus::Accepted,
        evse_ids: None,
        parent_id_token: None,
        tariff_messages: Vec::new(),
        others: Vec::new(),
    }
}

impl Desk {
    pub(crate) fn new(config: &StationConfig) -> Self {
        Self {
            station: Station::new(config),
            now: Duration::ZERO,
            trace: Vec::new(),
            ignored: Vec::new(),
            beacons: 0,
            statuses: Vec::new(),
        }
    }

    /// A station that is ready, with nothing noted yet.
    pub(crate) fn ready(config: &StationConfig) -> Self {
        let mut desk = Self::new(config);
        desk.feed(Input::Ready);
        desk.seen();
        desk
    }

    pub(crate) fn feed(&mut self, input: Input) {
        for effect in self.station.apply(self.now, input) {
            let line = match effect {
                Effect::Publish { to: Address::Channel(Channel::TOKEN_VALIDATION_STATUS), payload } => {
                    let status = serde_json::to_value(payload).unwrap();
                    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
                    let evses = status.pointer("/token/connectors").map(|evses| format!(" {evses}"));
                    let line =
                        format!("{} {}{}", text("/token/id_token/value"), text("/status"), evses.unwrap_or_default());
                    self.statuses.push(status);
                    line
                }
                Effect::Publish { to: Address::Channel(channel), payload } => {
                    format!("{} {}", channel.name(), json!(payload))
                }
                Effect::Publish { to: Address::ChannelOf(api, channel), payload } => {
                    format!("{} {} {}", api.name(), channel.name(), json!(payload))
                }
                Effect::Publish { to: Address::ReadyBeacon, payload } => {
                    assert_eq!(json!(payload), json!({}));
                    self.beacons += 1;
                    continue;
                }
                Effect::Ask { request, token } => format!("ask {} {}", request.0, token.id_token.value),
                Effect::Asked { request } => format!("asked {}", request.0),
                Effect::Exit { .. } => "exit".to_owned(),
                Effect::Publish { to: Address::Reply(topic), payload } => format!("{topic}: {}", json!(payload)),
                Effect::Fault { fault, raised, .. } => {
                    format!("{} {}", if raised { "raised" } else { "cleared" }, fault.sub_type())
                }
                Effect::EvseCall { call: EvseCall::StopTransaction { reason, .. }, evse } => {
                    format!("{evse} stop {}", reason.name())
                }
                Effect::EvseCall { .. } | Effect::Csms(_) | Effect::CsmsInside(_) => continue,
                Effect::ReservationResult { reservation_id, result } => {
                    format!("reservation {reservation_id} {result:?}")
                }
                Effect::ReservationCancelled { reservation_id, is_cancelled } => {
                    format!("reservation {reservation_id} cancelled: {is_cancelled}")
                }
                Effect::ReservationUpdate { reservation_id, status } => format!("update {reservation_id} {status:?}"),
                Effect::SessionEvent { evse, event } => format!("{evse} {}", event.name()),
                Effect::Ignored { why } => {
                    self.ignored.push(why.into_owned());
                    continue;
                }
            };
            self.trace.push(line);
        }
    }

    pub(crate) fn seen(&mut self) -> Vec<String> {
        self.ignored.clear();
        std::mem::take(&mut self.trace)
    }

    /// The same without what happens at the EVSEs.
    pub(crate) fn seen_publications(&mut self) -> Vec<String> {
        let is_of_evse = |line: &String| line.starts_with(|first: char| first.is_ascii_digit());
        self.seen().into_iter().filter(|line| !is_of_evse(line)).collect()
    }

    /// The one reason for which the last inputs came to nothing.
    pub(crate) fn why(&mut self) -> String {
        assert_eq!((self.trace.as_slice(), self.ignored.len()), (&[][..], 1), "{:?}", self.ignored);
        self.ignored.pop().unwrap()
    }

    pub(crate) fn send(&mut self, channel: Channel, payload: impl AsRef<[u8]>) {
        self.feed(Input::Received { channel, payload: Bytes::copy_from_slice(payload.as_ref()) });
    }

    pub(crate) fn withdraw(&mut self, reply_to: &str, payload: Value) {
        let text = json!({"headers": {"replyTo": reply_to}, "payload": payload}).to_string();
        self.send(Channel::WITHDRAW_AUTHORIZATION, text);
    }

    pub(crate) fn get(&mut self, reply_to: &str) {
        self.send(Channel::GET_TOKEN_VALIDATION_STATUS, json!({"headers": {"replyTo": reply_to}}).to_string());
    }

    pub(crate) fn check(&mut self, payload: &str) {
        self.send(Channel::COMMUNICATION_CHECK, payload);
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.feed(Input::Command(command));
    }

    pub(crate) fn present(&mut self, value: &str, after_ms: u64) {
        self.command(Command::PresentToken { token: token(value), validation: accepted_after(after_ms) });
    }

    /// Lets time pass, with every deadline on the way.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.station.next_deadline().filter(|due| *due <= until) {
            assert!(due >= self.now, "a deadline in the past");
            self.now = due;
            self.feed(Input::Deadline);
        }
        self.now = until;
    }
}

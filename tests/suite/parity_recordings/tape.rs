//! A recording in the making, message by message.

use khumbu::parity::{self, Report, Sending, StationFile};
use khumbu::recording::Recording;
use khumbu::scenario;
use serde_json::{Value, json};

pub(super) const CONSUMER: &str = "everest_api/1/auth_consumer/auth_api";
pub(super) const PROVIDER: &str = "everest_api/1/auth_token_provider/token_provider_api";
pub(super) const VALIDATOR: &str = "everest_api/1/auth_token_validator/token_validator_api";

/// A recording in the making.
#[derive(Clone)]
pub(super) struct Tape {
    pub(super) lines: Vec<(u64, String)>,
    pub(super) release: &'static str,
    pub(super) station: String,
    questions: usize,
}

impl Tape {
    /// Of two EVSEs that somebody else moves, with keys of `auth` besides; heartbeats once a second, check within 5 s.
    pub(super) fn new(release: &'static str, auth: &str) -> Self {
        let station = format!(
            "release: \"{release}\"\nevses: 2\nevse_manager: external\nauth: {{connection_timeout: 8, {auth}}}\n\
             auth_consumer: {{cfg_communication_check_to_s: 5, cfg_heartbeat_interval_ms: 1000}}\n\
             auth_token_provider: {{cfg_communication_check_to_s: 0, cfg_heartbeat_interval_ms: 0}}\n\
             auth_token_validator: {{cfg_communication_check_to_s: 0, cfg_heartbeat_interval_ms: 0, cfg_request_reply_to_s: 20}}\n\
             bindings:\n  - {{topic: \"everest_test/evse{{evse}}/log\", when: {{what: session_event}}, is: {{session_event: {{name: detail}}}}}}\n  \
             - {{topic: \"everest_test/evse{{evse}}/log\", is: {{evse_call: {{name: what, arguments: detail}}}}}}\n"
        );
        Self { lines: Vec::new(), release, station, questions: 0 }
    }

    pub(super) fn put(&mut self, at: u64, topic: &str, payload: &str, more: &str) -> &mut Self {
        self.lines.push((at, format!(r#"{{"t_ms": {at}, "topic": "{topic}", "payload": {payload}{more}}}"#)));
        self
    }

    /// A JSON message.
    pub(super) fn message(&mut self, at: u64, topic: &str, payload: Value) -> &mut Self {
        self.put(at, topic, &payload.to_string(), "")
    }

    /// To `auth_consumer`, as the recorder wrote it.
    pub(super) fn request(&mut self, at: u64, channel: &str, payload: &str, more: &str) -> &mut Self {
        self.put(at, &format!("{CONSUMER}/m2e/{channel}"), payload, more)
    }

    /// A withdraw request and its reply.
    pub(super) fn withdraw(&mut self, at: u64, payload: Value, replied: u64, result: &str) -> &mut Self {
        let topic = format!("reply/{at}");
        let request = json!({"headers": {"replyTo": topic}, "payload": payload});
        self.request(at, "withdraw_authorization", &request.to_string(), "").message(replied, &topic, json!(result))
    }

    pub(super) fn beats(&mut self, from: u64, first: u64, count: u64) -> &mut Self {
        for beat in 0..count {
            let payload = if matches!(self.release, "1.0" | "2025.10") { json!({}) } else { json!(first + beat) };
            self.message(from + 1000 * beat, &format!("{CONSUMER}/e2m/heartbeat"), payload);
        }
        self
    }

    /// A start: heartbeats from `at` on, the initial fault, and the beacons of releases that have them.
    pub(super) fn start(&mut self, at: u64, beats: u64) -> &mut Self {
        self.message(at, "harness/step", json!("manager starts")).beats(at, 0, beats);
        if self.release == "main" {
            for _ in 0..3 {
                self.message(at + 3, "everest_api/ready_beacon", json!({}));
            }
        }
        self.fault(at + 3, "Initial communication check", "Active")
    }

    /// Of `auth_consumer`, in the form of the release.
    pub(super) fn fault(&mut self, at: u64, sub_type: &str, state: &str) -> &mut Self {
        self.fault_in_form(matches!(self.release, "1.0" | "2025.10"), at, sub_type, state)
    }

    /// Until 2025.10 all errors of a module come bare on one topic.
    pub(super) fn fault_in_form(&mut self, is_early: bool, at: u64, sub_type: &str, state: &str) -> &mut Self {
        let data =
            json!({"type": "generic/CommunicationFault", "sub_type": sub_type, "state": state, "severity": "High"});
        let topic = "everest/modules/auth_api/impl/main/error";
        if is_early {
            return self.message(at, topic, data);
        }
        let topic = format!("{topic}/generic/CommunicationFault");
        self.message(at, &topic, json!({"data": data, "msg_type": "RaiseError"}))
    }

    pub(super) fn token(&mut self, at: u64, value: &str) -> &mut Self {
        self.message(at, &format!("{PROVIDER}/m2e/provided_token"), bare(value))
    }

    /// Validators are asked and reply.
    pub(super) fn validated(&mut self, at: u64, value: &str, replied: u64, result: Value) -> &mut Self {
        self.questions += 1;
        let reply_to = format!("{VALIDATOR}/m2e/reply/{}", self.questions);
        let question = json!({"headers": {"replyTo": reply_to}, "payload": bare(value)});
        self.message(at, &format!("{VALIDATOR}/e2m/validate_token"), question).message(replied, &reply_to, result)
    }

    pub(super) fn status(&mut self, at: u64, value: &str, status: &str, evses: Option<&[i32]>) -> &mut Self {
        let mut token = bare(value);
        if let Some(evses) = evses {
            token["connectors"] = json!(evses);
        }
        let mut message = json!({"status": status, "token": token});
        if matches!(self.release, "2026.02" | "main") {
            message["messages"] = json!([]);
        }
        self.message(at, &format!("{CONSUMER}/e2m/token_validation_status"), message)
    }

    pub(super) fn log(&mut self, at: u64, evse: i32, what: &str, detail: Value) -> &mut Self {
        let detail = if detail.is_object() { json!(detail.to_string()) } else { detail };
        self.message(at, &format!("everest_test/evse{evse}/log"), json!({"what": what, "detail": detail}))
    }

    pub(super) fn events(&mut self, at: u64, evse: i32, events: &[&str]) -> &mut Self {
        for event in events {
            self.log(at, evse, "session_event", json!(event));
        }
        self
    }

    /// An accepted token gets an EVSE, of which 1.0 says nothing.
    pub(super) fn granted(&mut self, at: u64, value: &str, evse: i32, events: &[&str]) -> &mut Self {
        let mut token = bare(value);
        let is_named = self.release != "1.0";
        if is_named {
            token["connectors"] = json!([evse]);
        }
        let response = json!({"result": accepted(), "token": token});
        self.log(at, evse, "authorize_response", response).events(at + 1, evse, events);
        if is_named { self.status(at + 40, value, "UsedToStart", Some(&[evse])) } else { self }
    }

    pub(super) fn report(&self) -> Report {
        self.report_of(Sending::Overlapping)
    }

    pub(super) fn report_of(&self, sending: Sending) -> Report {
        let mut lines = self.lines.clone();
        lines.sort_by_key(|(at, _)| *at);
        let text: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        let recording = Recording::parse("tape.jsonl", &text.join("\n")).unwrap();
        let station: StationFile = scenario::parse_around_station("station.yaml", &self.station).unwrap();
        parity::compare(&recording, &station, parity::TOLERANCE, sending)
    }

    #[track_caller]
    pub(super) fn is_reproduced(&self, at_least: usize) {
        let report = self.report();
        assert_eq!(report.differences, [], "{}", self.release);
        assert_eq!(report.outcomes, report.reproduced);
        assert!(report.outcomes >= at_least, "{} outcomes only", report.outcomes);
    }
}

pub(super) fn bare(value: &str) -> Value {
    json!({"authorization_type": "RFID", "id_token": {"type": "ISO14443", "value": value}})
}

pub(super) fn accepted() -> Value {
    json!({"authorization_status": "Accepted", "tariff_messages": []})
}

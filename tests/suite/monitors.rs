//! Every monitor is provoked, and its lawful neighbour left alone.

#![allow(clippy::unwrap_used)]

mod answers;
mod asking;
mod before_releases;
mod collecting;
mod discovery;
mod heartbeats;
mod injected;
mod latched;
mod mqtt;
mod other_apis;
mod presence;
mod recordings;
mod releases;
mod resubscription;
mod shape;
mod simulator;
mod statuses;
mod timeouts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use khumbu::conformance::monitors::{Context, Monitors};
use khumbu::conformance::sighting::{Classifier, Party};
use khumbu::diagnostic::{Diagnostic, Severity};
use khumbu::protocol::channel::{ApiType, Channel, Topics};
use khumbu::protocol::deviations::{Behaviour, Deviation, Deviations};
use khumbu::protocol::release::Release;
use khumbu::protocol::side::Side;
use khumbu::transcript::record::{Direction, Event, Publish, Record};
use serde_json::{Value, json};

use crate::printed;

const BASE: &str = "everest_api/1/auth_consumer/api";

fn topics() -> Topics {
    Topics {
        api: ApiType::AUTH_CONSUMER,
        external_prefix: String::new(),
        api_version: "1".into(),
        module_id: "api".into(),
    }
}

/// A CONNECT that was answered with success.
fn connected(protocol: u8, clean: bool, session_present: bool) -> Event {
    Event::Connected { protocol, clean, session_present, keep_alive: 20, will: None }
}

/// A release as it runs.
fn running(release: Release) -> Deviations {
    Deviations::new(release, Behaviour::AsRunning, &BTreeMap::new())
}

/// A wire on which a module and the harness talk.
struct Wire {
    classifier: Classifier,
    monitors: Monitors,
    at: Duration,
    seq: u64,
    pkid: u16,
    found: Vec<Diagnostic>,
}

impl Wire {
    fn with(context: Context) -> Self {
        let other_apis: Vec<_> = context.other_apis.iter().map(|other_api| other_api.topics.clone()).collect();
        let mut wire = Self {
            classifier: Classifier::new(context.topics.clone(), &other_apis),
            monitors: Monitors::new(context),
            at: Duration::ZERO,
            seq: 0,
            pkid: 0,
            found: Vec::new(),
        };
        wire.connect("module");
        wire
    }

    fn client() -> Self {
        let mut wire = Self::with(Context::new(topics(), Side::Client));
        wire.subscribe("module", &format!("{BASE}/e2m/#"));
        wire
    }

    fn everest() -> Self {
        Self::with(Context::new(topics(), Side::Everest))
    }

    fn after(&mut self, millis: u64) -> &mut Self {
        self.at += Duration::from_millis(millis);
        self
    }

    fn event(&mut self, client: &str, event: Event) -> &mut Self {
        let record = Record { seq: self.seq, at: self.at, client: Arc::from(client), event };
        self.seq += 1;
        let from = if client.starts_with("module") { Party::Module } else { Party::Harness };
        let seen = self.classifier.sight(&record, from);
        self.found.extend(self.monitors.observe(&record, from, seen.as_ref()));
        self
    }

    fn connect(&mut self, client: &str) -> &mut Self {
        self.event(client, connected(4, true, false))
    }

    fn disconnect(&mut self, client: &str, clean: bool) -> &mut Self {
        let cause = if clean { "DISCONNECT" } else { "cut off" };
        self.event(client, Event::Disconnected { cause: cause.into(), clean })
    }

    fn subscribe(&mut self, client: &str, filter: &str) -> &mut Self {
        self.event(client, Event::Subscribed { filter: filter.into(), qos: 0 })
    }

    fn packet(&mut self, client: &str, direction: Direction, publish: Publish) -> &mut Self {
        self.event(client, Event::Publish { direction, publish })
    }

    fn sends(&mut self, client: &str, topic: &str, payload: impl AsRef<[u8]>) -> &mut Self {
        self.pkid += 1;
        let publish = message(topic, payload, self.pkid);
        self.packet(client, Direction::FromClient, publish)
    }

    fn module(&mut self, channel: Channel, payload: Value) -> &mut Self {
        self.sends("module", &topics().topic(channel), payload.to_string())
    }

    fn harness(&mut self, channel: Channel, payload: Value) -> &mut Self {
        self.sends("harness", &topics().topic(channel), payload.to_string())
    }

    /// A status of the module under test.
    fn status(&mut self, status: &str, connectors: &[i64]) -> &mut Self {
        self.after(10).module(Channel::TOKEN_VALIDATION_STATUS, status_of("T1", "ISO14443", status, connectors))
    }

    fn heartbeats(&mut self, numbers: impl IntoIterator<Item = u64>) -> &mut Self {
        for number in numbers {
            self.after(1000).module(Channel::HEARTBEAT, json!(number));
        }
        self
    }

    fn ids(&self) -> Vec<&'static str> {
        self.found.iter().map(|finding| finding.id).collect()
    }

    /// Nothing was found, not at the end either.
    #[track_caller]
    fn is_clean(&mut self) {
        self.found.extend(self.monitors.finish(self.at));
        assert!(self.found.is_empty(), "{:#?}", self.found);
    }

    /// Exactly one finding, with this id, severity and requirement.
    #[track_caller]
    fn found(&mut self, severity: Severity, id: &str, requirement: &str) -> &Diagnostic {
        self.found.extend(self.monitors.finish(self.at));
        printed::told(&self.found);
        assert_eq!(self.ids(), [id], "{:#?}", self.found);
        let finding = &self.found[0];
        assert_eq!((finding.severity, finding.requirement), (severity, Some(requirement)), "{finding:#?}");
        assert!(finding.headline.starts_with("module "), "{finding:#?}");
        assert!(!finding.headline.contains(BASE), "{finding:#?}");
        assert!(khumbu::conformance::requirements::find(requirement).is_some());
        finding
    }

    #[track_caller]
    fn fails(&mut self, id: &str, requirement: &str) -> &Diagnostic {
        self.found(Severity::Fail, id, requirement)
    }

    #[track_caller]
    fn warns(&mut self, id: &str, requirement: &str) -> &Diagnostic {
        self.found(Severity::Warning, id, requirement)
    }
}

fn message(topic: &str, payload: impl AsRef<[u8]>, pkid: u16) -> Publish {
    let payload = Bytes::copy_from_slice(payload.as_ref());
    Publish { topic: topic.into(), payload, qos: 2, retain: false, dup: false, pkid }
}

fn status_of(value: &str, kind: &str, status: &str, connectors: &[i64]) -> Value {
    let mut token = json!({"id_token": {"value": value, "type": kind}, "authorization_type": "RFID"});
    if !connectors.is_empty() {
        token["connectors"] = json!(connectors);
    }
    json!({"messages": [], "status": status, "token": token})
}

fn withdraw(reply_to: &str) -> Value {
    json!({"headers": {"replyTo": reply_to}, "payload": {"evse_id": 1}})
}

fn get(reply_to: &str) -> Value {
    json!({"headers": {"replyTo": reply_to}})
}

#[test]
fn a_flood_is_counted_instead_of_told() {
    let mut wire = Wire::client();
    for _ in 0..105 {
        wire.module(Channel::COMMUNICATION_CHECK, json!(1));
    }
    assert_eq!(wire.ids(), ["monitor/schema-violation"; 5]);
    let last = wire.monitors.finish(wire.at);
    printed::told(&last);
    let told: Vec<_> = last.iter().map(|finding| (finding.id, finding.severity)).collect();
    assert_eq!(told, [("monitor/repeated", Severity::Note)]);
    assert!(last[0].headline.contains("100 times"), "{}", last[0].headline);
}

#[test]
fn findings_read_like_this() {
    let mut text = String::new();
    let mut tell = |wire: &mut Wire| {
        let end = wire.monitors.finish(wire.at);
        for told in printed::told(wire.found.iter().chain(&end)) {
            text.push_str(&told);
            text.push('\n');
        }
    };
    let mut client = Wire::client();
    client.module(Channel::WITHDRAW_AUTHORIZATION, json!({"headers": {"replyTo": "r"}, "payload": {"evse_id": "1"}}));
    client.after(150).subscribe("module", "r");
    client.sends("module", &format!("{BASE}/m2e/withdraw"), "{}");
    client.sends("module", &topics().topic(Channel::COMMUNICATION_CHECK), "yes\n");
    tell(&mut client);
    let mut everest = Wire::everest();
    everest.heartbeats([0, 2]).status("Processing", &[]).status("UsedToStart", &[1]);
    everest.harness(Channel::WITHDRAW_AUTHORIZATION, withdraw(&format!("{BASE}/e2m/withdraw/1")));
    everest.after(12).sends("module", &format!("{BASE}/e2m/withdraw"), "\"Accepted\"");
    tell(&mut everest);
    insta::assert_snapshot!(text);
}

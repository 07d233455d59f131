//! Either side under test: what it did against MQTT itself, as the front door saw it.
//!
//! A client that breaks MQTT is cut off, and whatever it then fails to do has this as its reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Severity, printable};
use crate::transcript::record::{Direction, Event, Record, Rule};

use super::wording::{Wording, time};

/// How long a client may leave a message unreleased while it says other things.
const RELEASE: Duration = Duration::from_secs(1);

/// How much a client may say within [`RELEASE`] before its PUBREL may wait behind all that, in its own queue.
const BACKLOG: usize = 1_000;

/// The QoS 2 messages of the module that wait for their PUBREL.
#[derive(Debug, Default)]
pub(super) struct Releases {
    held: BTreeMap<(Arc<str>, u16), Held>,
}

#[derive(Debug, Default)]
struct Held {
    topic: Arc<str>,
    /// When the client was told that the broker has it.
    received: Option<Duration>,
    /// Since when, at the earliest, the client is waited for: PUBREC, or the end of a second full of other packets.
    waited: Duration,
    /// The packets of the client since then.
    packets: usize,
    /// When it had long said other things, and not so many that a PUBREL could be behind them.
    said: Option<Duration>,
}

impl Releases {
    /// Takes note of a record of one of the module's clients.
    pub(super) fn observe(&mut self, record: &Record) {
        let client = &record.client;
        match &record.event {
            Event::Held { publish } => {
                self.said(client, record.at);
                let held = Held { topic: publish.topic.clone(), ..Held::default() };
                self.held.entry((client.clone(), publish.pkid)).or_insert(held);
            }
            Event::Packet { direction: Direction::ToClient, kind: "PUBREC", pkid } => {
                if let Some(held) = self.held.get_mut(&(client.clone(), *pkid))
                    && held.received.is_none()
                {
                    held.received = Some(record.at);
                    held.waited = record.at;
                }
            }
            Event::Publish { direction: Direction::FromClient, publish } => {
                self.held.remove(&(client.clone(), publish.pkid));
                self.said(client, record.at);
            }
            Event::Packet { direction: Direction::FromClient, kind, pkid } => {
                if *kind == "PUBREL" {
                    self.held.remove(&(client.clone(), *pkid));
                }
                self.said(client, record.at);
            }
            // What is lost is sent again.
            Event::Connected { .. } | Event::Disconnected { .. } => self.held.retain(|(other, _), _| other != client),
            _ => {}
        }
    }

    /// Nobody knows what the module has got.
    pub(super) fn forget(&mut self) {
        self.held.clear();
    }

    fn said(&mut self, client: &Arc<str>, at: Duration) {
        let of_client = self.held.iter_mut().filter(|((other, _), _)| other == client).map(|(_, held)| held);
        for held in of_client.filter(|held| held.received.is_some() && held.said.is_none()) {
            held.packets += 1;
            if at.saturating_sub(held.waited) < RELEASE {
                continue;
            }
            if held.packets <= BACKLOG {
                held.said = Some(at);
            } else {
                (held.waited, held.packets) = (at, 0);
            }
        }
    }

    /// Judges what was never released: PUBREL is due when PUBREC comes (MQTT 3.1.1 and 5, 4.3.3).
    pub(super) fn finish(&self, wording: &Wording) -> Option<Diagnostic> {
        let never = |((client, pkid), held): (&(Arc<str>, u16), &Held)| {
            let (received, said) = (held.received?, held.said?);
            let topic = wording.topic(&held.topic);
            let headline = format!("module broke MQTT: PUBREC of a message on {topic} was never answered with PUBREL");
            let place =
                format!("client `{}`, packet identifier {pkid}, PUBREC at {}", printable(client), time(received));
            let finding = Diagnostic::new(Severity::Fail, "monitor/broke-mqtt", headline).with_evidence(place);
            let said =
                format!("it said other things from {} on; a broker hands nobody what is not released", time(said));
            Some(finding.with_evidence(said).breaking(requirement(Rule::Order)))
        };
        self.held.iter().find_map(never)
    }
}

/// A breach of the module under test.
pub(super) fn breach(record: &Record, rule: Rule, what: &str, bytes: &[u8]) -> Diagnostic {
    let headline = format!("module broke MQTT: {}", printable(what));
    let place = format!("client `{}` at {}", printable(&record.client), time(record.at));
    let mut finding = Diagnostic::new(Severity::Fail, "monitor/broke-mqtt", headline).with_evidence(place);
    if !bytes.is_empty() {
        let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        finding = finding.with_evidence(format!("the packet begins with {}", hex.join(" ")));
    }
    if rule == Rule::Limit {
        finding = finding.with_help("if packets are meant to be that large, allow them with `--max-packet`");
    }
    finding.breaking(requirement(rule))
}

fn requirement(rule: Rule) -> &'static str {
    match rule {
        Rule::Form => "MQ-1",
        Rule::Topic => "MQ-2",
        Rule::Connect => "MQ-3",
        Rule::Order => "MQ-4",
        Rule::Identifier => "MQ-5",
        Rule::Limit => "MQ-6",
        Rule::KeepAlive => "MQ-7",
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::protocol::channel::{ApiType, Topics};
    use crate::transcript::record::Publish;

    /// What is found of a client that does not release its message, and says so many things a second apart or less.
    fn found(packets: impl Iterator<Item = u64>) -> Option<Diagnostic> {
        let mut releases = Releases::default();
        let mut observe = |millis, event| {
            releases.observe(&Record { seq: 0, at: Duration::from_millis(millis), client: "c".into(), event });
        };
        let publish = Publish { topic: "t".into(), payload: Bytes::new(), qos: 2, retain: false, dup: false, pkid: 1 };
        observe(0, Event::Held { publish });
        observe(0, Event::Packet { direction: Direction::ToClient, kind: "PUBREC", pkid: 1 });
        for millis in packets {
            observe(millis, Event::Packet { direction: Direction::FromClient, kind: "PINGREQ", pkid: 0 });
        }
        let topics = Topics {
            api: ApiType::AUTH_CONSUMER,
            external_prefix: String::new(),
            api_version: "1".into(),
            module_id: "api".into(),
        };
        releases.finish(&Wording::new(&topics))
    }

    #[test]
    fn a_release_is_missed_from_a_client_that_has_nothing_else_to_send_first() {
        let full_second = || (0..2 * BACKLOG as u64).map(|n| n / 2);
        assert!(found([].into_iter()).is_none(), "it says nothing at all");
        assert!(found([999].into_iter()).is_none(), "on its way");
        assert!(found([1000].into_iter()).is_some());
        assert!(found(full_second().chain([1000])).is_none(), "behind what it has queued");
        assert!(found(full_second().chain([1000, 1500])).is_none());
        assert!(found(full_second().chain([1000, 2000])).is_some(), "its queue is empty");
        assert!(found(full_second().chain([1000]).chain(full_second().map(|at| at + 1000)).chain([2000])).is_none());
    }
}

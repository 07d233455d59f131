//! What the runner knows of the wire: every record so far, who is connected and subscribed, which requests were made,
//! and what the monitors found.
//!
//! The record of the front door is the only source; nothing is inferred from what khumbu's own clients receive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::Recorder;
use super::cuts::Cuts;
use super::lag::Lag;
use super::underway::Underway;
use crate::conformance::deliveries::Deliveries;
use crate::conformance::judge::View;
use crate::conformance::monitors::Monitors;
use crate::conformance::sighting::{Classifier, Party, Request, Sighting, Way};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::control::Command;
use crate::protocol::topic;
use crate::transcript::injected::Injected;
use crate::transcript::record::{Direction, Event, Record};

/// Client ids of khumbu's own begin like this; no module can know it, and so none can pass for khumbu.
static OWN: LazyLock<String> = LazyLock::new(|| format!("khumbu-{}-", Uuid::new_v4().simple()));

/// A new client id for khumbu's own use.
pub fn own_client() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{}{}", *OWN, NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Whether a client is khumbu itself.
pub fn is_own(client: &str) -> bool {
    client.starts_with(OWN.as_str())
}

/// The module's connections as they stand.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    /// Filters by client id, of clients that are connected.
    pub subscriptions: BTreeMap<Arc<str>, BTreeSet<String>>,
    /// How many connections a client has: two for a moment where one takes over from the other.
    links: BTreeMap<Arc<str>, u32>,
    /// Filters of clients that are away and will find them again.
    asleep: BTreeMap<Arc<str>, BTreeSet<String>>,
    /// How many TCP connections were accepted, other than khumbu's own.
    pub accepted: u64,
    /// Why connections were refused, the last ones.
    pub refused: Vec<String>,
    /// Whether a client lost its connection.
    has_lost: bool,
    /// Whether a client connected after one had lost its connection.
    pub came_back: bool,
    /// When the last connection ended, if none is left.
    pub gone_at: Option<Duration>,
    /// Whether nothing passes its connections.
    is_stalled: bool,
    /// What takes back what the module was told to do at its EVSEs, the latest last.
    pub to_undo: Vec<Command>,
    /// Tokens of which nothing was said after `Processing`.
    pub in_process: BTreeSet<String>,
}

impl Connections {
    /// Whether any client is connected.
    pub fn is_connected(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// Whether any client is subscribed to this topic.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.subscriptions.values().flatten().any(|filter| topic::matches(filter, topic))
    }
}

/// The observer.
pub struct Observer {
    incoming: mpsc::UnboundedReceiver<Record>,
    /// Tells what each message is.
    classifier: Classifier,
    /// Everything that was recorded in this scenario.
    pub records: Vec<Record>,
    /// Every message that a client published, in order; not what its library sent again, of which the module knows
    /// nothing.
    pub messages: Vec<Sighting>,
    /// What became of khumbu's own messages.
    pub deliveries: Deliveries,
    /// The module's connections.
    pub connections: Connections,
    /// What became of the module's connections.
    pub cuts: Cuts,
    /// What is on its way to the broker, of everybody.
    underway: Underway,
    /// The monitors of this scenario.
    pub monitors: Monitors,
    /// What the monitors found, in order.
    pub findings: Vec<Diagnostic>,
    /// Is shown every record.
    pub recorder: Option<Recorder>,
    /// What khumbu is held up by.
    pub lag: Lag,
}

impl Observer {
    /// An observer of a broker's records, from now on. `connections` is what an earlier scenario on the same broker left.
    pub fn new(
        incoming: mpsc::UnboundedReceiver<Record>,
        classifier: Classifier,
        monitors: Monitors,
        connections: Connections,
    ) -> Self {
        Self {
            incoming,
            classifier,
            records: Vec::new(),
            messages: Vec::new(),
            deliveries: Deliveries::default(),
            connections,
            cuts: Cuts::default(),
            underway: Underway::default(),
            monitors,
            findings: Vec::new(),
            recorder: None,
            lag: Lag::start(),
        }
    }

    /// Every request that named a reply topic, in order.
    pub fn requests(&self) -> &[Request] {
        self.classifier.requests()
    }

    /// The wire as it was seen until now.
    pub fn view(&self) -> View<'_> {
        let subscriptions = &self.connections.subscriptions;
        View { messages: &self.messages, requests: self.requests(), subscriptions }
    }

    /// The number that the next record will have; a mark between before and after.
    pub fn mark(&mut self) -> u64 {
        self.drain();
        self.records.last().map_or(0, |record| record.seq + 1)
    }

    /// Waits for one record, then takes all that are there. `false` if there will be none any more.
    ///
    /// May be cancelled without loss.
    pub async fn next(&mut self) -> bool {
        match self.incoming.recv().await {
            Some(record) => {
                self.take(record);
                self.drain();
                true
            }
            None => false,
        }
    }

    /// How many records wait to be taken.
    pub fn waiting(&self) -> usize {
        self.incoming.len()
    }

    /// Takes all records that are there; not those that come meanwhile, of which there may be no end.
    pub fn drain(&mut self) {
        for _ in 0..self.incoming.len() {
            let Ok(record) = self.incoming.try_recv() else { return };
            self.take(record);
        }
    }

    /// Hands the broker's records and the state of the connections to the next scenario.
    pub fn release(self) -> (mpsc::UnboundedReceiver<Record>, Connections) {
        (self.incoming, self.connections)
    }

    /// Has a recording say what khumbu does without a message; nobody else learns of it.
    pub fn note_deed(&mut self, topic: &str, what: &Value) {
        self.drain();
        if let Some(recorder) = &self.recorder {
            let at = self.records.last().map_or(Duration::ZERO, |record| record.at);
            recorder(&Record::of_deed(at, topic, what));
        }
    }

    fn take(&mut self, record: Record) {
        if let Some(recorder) = &self.recorder {
            recorder(&record);
        }
        let from = if is_own(&record.client) { Party::Harness } else { Party::Module };
        self.underway.note(&record);
        self.deliveries.losses.note(&record);
        match (from, &record.event) {
            (Party::Module, _) => {
                self.connections.note(&record);
                self.cuts.note(&record);
                let is_over = match &record.event {
                    Event::Connected { .. } => true,
                    Event::Disconnected { .. } => !self.connections.links.contains_key(&record.client),
                    _ => false,
                };
                if is_over {
                    self.deliveries.connection_over(&record.client);
                }
            }
            // Whose connection it is shows only now.
            (Party::Harness, Event::Connected { .. }) => {
                self.connections.accepted = self.connections.accepted.saturating_sub(1);
            }
            (Party::Harness, _) => {}
        }
        if from == Party::Module {
            self.deliveries.acknowledged(&record);
        }
        let seen = self.classifier.sight(&record, from);
        self.monitors.held_up(self.lag.total());
        let found = self.monitors.observe(&record, from, seen.as_ref());
        self.findings.extend(found.into_iter().map(|it| Diagnostic { at_record: Some(record.seq), ..it }));
        if let Some(seen) = seen {
            match seen.way {
                Way::Sent => self.note_message(seen),
                Way::Delivered => self.deliveries.handed_over(&seen),
                Way::Will => {}
            }
        }
        self.records.push(record);
    }

    /// Whether monitors have found a failure, or will as things stand.
    pub fn has_failed(&self) -> bool {
        let now = self.records.last().map_or(Duration::ZERO, |record| record.at);
        self.findings.iter().any(|found| found.severity == Severity::Fail) || self.monitors.misses_subscriptions(now)
    }

    fn note_message(&mut self, seen: Sighting) {
        if seen.is_again() {
            return;
        }
        if seen.from == Party::Module
            && let Some(token) = seen.told_of()
        {
            self.connections.in_process.remove(token);
            if seen.json.as_ref().is_some_and(|json| json["status"] == "Processing") {
                self.connections.in_process.insert(token.to_owned());
            }
        }
        if seen.from == Party::Harness {
            self.deliveries.sent(&seen);
        }
        self.messages.push(seen);
    }

    /// Whether the module has acknowledged anything that it was handed.
    pub fn acknowledges(&self) -> bool {
        let is_acknowledgement = |event: &Event| {
            matches!(event, Event::Packet { direction: Direction::FromClient, kind: "PUBACK" | "PUBREC", .. })
        };
        self.records.iter().any(|record| !is_own(&record.client) && is_acknowledgement(&record.event))
    }

    /// How many messages the module has been sent at a QoS that asks for an acknowledgement, over connections that are
    /// there, if it has never acknowledged any.
    pub fn never_acknowledged(&self) -> usize {
        if self.acknowledges() {
            return 0;
        }
        let sent = self.deliveries.unacknowledged();
        sent.filter(|client| self.connections.subscriptions.contains_key(*client)).count()
    }

    /// Whether the broker has taken the first message of khumbu's own on this topic behind message `from`: it is in the
    /// record, and acknowledged if its QoS asks for that. A broker that is relayed to may have a message of QoS 0 later.
    pub fn is_taken(&self, from: usize, topic: &str) -> bool {
        let mut messages = self.messages.iter().skip(from);
        let own = messages.find(|seen| seen.from == Party::Harness && *seen.publish.topic == *topic);
        own.is_some_and(|own| self.is_nothing_behind(own.seq))
    }

    /// Whether the broker has said that nobody subscribes to what khumbu has published here since a mark. Another broker
    /// may say so, ours does not.
    pub fn is_unheard(&self, since: u64, topic: &str) -> bool {
        let records = &self.records[self.records.partition_point(|record| record.seq < since)..];
        let sent = records.iter().filter(|record| is_own(&record.client)).find_map(|record| match &record.event {
            Event::Publish { direction: Direction::FromClient, publish } if *publish.topic == *topic => {
                Some((&record.client, publish.pkid))
            }
            _ => None,
        });
        let is_it = |record: &Record| match (&record.event, sent) {
            (Event::Unheard { pkid }, Some((client, sent))) => *pkid == sent && record.client == *client,
            _ => false,
        };
        records.iter().any(is_it)
    }

    /// Whether the broker has taken this message, and all that its client had sent before.
    pub fn is_nothing_behind(&self, seq: u64) -> bool {
        let at = self.records.partition_point(|record| record.seq < seq);
        self.records.get(at).is_some_and(|record| self.underway.is_none_by(&record.client, seq))
    }
}

impl Connections {
    fn note(&mut self, record: &Record) {
        match &record.event {
            Event::Accepted => self.accepted += 1,
            Event::Refused { why } => {
                self.refused.truncate(4);
                self.refused.insert(0, why.clone());
            }
            Event::Connected { session_present, .. } => {
                let links = self.links.entry(record.client.clone()).or_default();
                // Whoever connects once more may know of the end of its old connection before the broker does.
                self.came_back |= self.has_lost || self.is_stalled || *links > 0;
                *links += 1;
                self.gone_at = None;
                let left = self.asleep.remove(&record.client);
                let kept = left.filter(|_| *session_present).unwrap_or_default();
                self.subscriptions.insert(record.client.clone(), kept);
            }
            Event::Subscribed { filter, .. } => {
                if let Some(filters) = self.subscriptions.get_mut(&record.client) {
                    filters.insert(filter.clone());
                }
            }
            Event::Unsubscribed { filter } => {
                if let Some(filters) = self.subscriptions.get_mut(&record.client) {
                    filters.remove(filter);
                }
            }
            Event::Injected(injected) => match injected {
                Injected::Stalled => self.is_stalled = true,
                Injected::Flows => self.is_stalled = false,
                _ => {}
            },
            Event::Disconnected { clean, .. } => {
                self.has_lost |= !clean;
                if let Some(links) = self.links.get_mut(&record.client) {
                    *links -= 1;
                    if *links > 0 {
                        return;
                    }
                    self.links.remove(&record.client);
                }
                self.gone_at = Some(record.at).filter(|_| self.links.is_empty());
                if let Some(filters) = self.subscriptions.remove(&record.client) {
                    self.asleep.insert(record.client.clone(), filters);
                }
            }
            Event::Publish { .. }
            | Event::Held { .. }
            | Event::Packet { .. }
            | Event::Unheard { .. }
            | Event::Breach { .. }
            | Event::Overflow { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTED: Event =
        Event::Connected { protocol: 5, clean: true, session_present: false, keep_alive: 1, will: None };

    fn came_back(events: Vec<(&str, Event)>) -> bool {
        let mut connections = Connections::default();
        for (seq, (client, event)) in (0..).zip(events) {
            connections.note(&Record { seq, at: Duration::ZERO, client: client.into(), event });
        }
        connections.came_back
    }

    #[test]
    fn who_connects_anew_has_come_back_whoever_knew_of_the_loss_first() {
        let lost = || Event::Disconnected { cause: "cut off".to_owned(), clean: false };
        let left = || Event::Disconnected { cause: "DISCONNECT".to_owned(), clean: true };
        let stalled = || Event::Injected(Injected::Stalled);
        for (events, is_back) in [
            (vec![("a", CONNECTED), ("b", CONNECTED)], false),
            (vec![("a", CONNECTED), ("a", left()), ("a", CONNECTED)], false),
            (vec![("a", CONNECTED), ("a", lost())], false),
            (vec![("a", CONNECTED), ("a", lost()), ("b", CONNECTED)], true),
            // It has given a connection up of which the broker knows nothing.
            (vec![("a", CONNECTED), ("a", CONNECTED), ("a", lost())], true),
            (vec![("a", CONNECTED), ("a", stalled()), ("b", CONNECTED), ("a", lost())], true),
            (
                vec![("a", CONNECTED), ("a", stalled()), ("a", Event::Injected(Injected::Flows)), ("b", CONNECTED)],
                false,
            ),
        ] {
            assert_eq!(came_back(events.clone()), is_back, "{events:?}");
        }
    }
}

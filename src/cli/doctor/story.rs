//! What a broker saw of a module, in words. Pure.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::played::Bindings;
use super::secrets::Secrets;
use crate::conformance::sighting::{Classifier, Kind, Party, Sighting};
use crate::diagnostic::words::cut;
use crate::protocol::channel::{Channel, EntryPoint, Topics};
use crate::protocol::side::Side;
use crate::protocol::topic;
use crate::runner::{HandedAtEnd, asks_for_orders, handed_at_end, is_own};
use crate::transcript::record::{Direction, Event, Record};

/// Lines that are shown; a module that floods has more.
const MOST: usize = 40;
/// The longest payload that is shown, in characters.
const LONGEST: usize = 60;
/// The same of the payload that a module has ended upon.
const LONGEST_LAST: usize = 400;
/// The same of a client id.
const LONGEST_CLIENT: usize = 23;

/// What a module has done, and what it is known for.
#[derive(Debug, Default)]
pub(super) struct Story {
    lines: Vec<(Duration, String)>,
    left_out: usize,
    is_client: bool,
    connected: Option<Duration>,
    refused: usize,
    /// Names of what it listens to, in the words of the API.
    hears: BTreeSet<&'static str>,
    /// Names of what it has said.
    says: BTreeSet<&'static str>,
    /// Filters that mean nothing to the API.
    foreign: BTreeSet<String>,
    takes_orders: bool,
    /// What came of the bindings of `khumbu.yaml`.
    bindings: Bindings,
    /// Topics of which it was handed a message.
    handed: BTreeSet<Arc<str>>,
    /// What it was handed when it ended.
    handed_at_end: Option<String>,
    /// Whether it ended before it was told to, if that can be known.
    has_ended: Option<bool>,
    base: String,
    wanted: Vec<&'static str>,
    sign_of_life: &'static str,
}

/// One thing that a module does, or does not.
#[derive(Debug)]
pub(super) struct Sign {
    /// What it would do.
    pub what: &'static str,
    /// Whether it does, if that is known.
    pub is_there: Option<bool>,
    /// How, or what is missing.
    pub detail: String,
}

impl Story {
    /// What the module has done of which these are the topics.
    pub fn of(
        records: &[Record],
        (side, topics): (Side, &Topics),
        bindings: Bindings,
        has_ended: Option<bool>,
        secrets: &Secrets,
    ) -> Self {
        let is_client = side == Side::Client;
        let channels = || topics.api.channels();
        let wanted = channels().filter(|channel| channel.is_from_everest() == is_client).map(name).collect();
        let life = if is_client { Channel::COMMUNICATION_CHECK } else { Channel::HEARTBEAT };
        let base = topics.base();
        let sign_of_life = name(life);
        let mut story = Self { is_client, wanted, sign_of_life, bindings, has_ended, base, ..Self::default() };
        let mut classifier = Classifier::new(topics.clone(), &[]);
        let at_end = handed_at_end(records);
        for record in records {
            let from = if is_own(&record.client) { Party::Harness } else { Party::Module };
            let seen = classifier.sight(record, from);
            if from == Party::Module {
                story.take(record, seen.as_ref(), (topics, secrets), at_end.filter(|it| it.seq == record.seq));
            }
        }
        story
    }

    fn take(
        &mut self,
        record: &Record,
        seen: Option<&Sighting>,
        (topics, secrets): (&Topics, &Secrets),
        at_end: Option<HandedAtEnd<'_>>,
    ) {
        let client = cut(&record.client, LONGEST_CLIENT);
        let line = match &record.event {
            Event::Connected { protocol, clean, session_present, keep_alive, .. } => {
                self.connected.get_or_insert(record.at);
                let version = if *protocol == 5 { "MQTT 5" } else { "MQTT 3.1.1" };
                let session = match (clean, session_present) {
                    (true, _) => "a new session",
                    (false, true) => "its old session",
                    (false, false) => "a session that is kept",
                };
                format!("`{client}` connects: {version}, {session}, keep-alive {keep_alive}s")
            }
            Event::Refused { why } => {
                self.refused += 1;
                format!("`{client}` is refused: {why}")
            }
            Event::Subscribed { filter, qos } => {
                let meant = self.heard_by(filter, topics);
                format!("`{client}` subscribes to `{}` at QoS {qos}: {meant}", self.short(filter))
            }
            Event::Publish { direction: Direction::FromClient, publish } => {
                let meant = match seen {
                    // What khumbu asks a module when it wants to know whether it is ready.
                    Some(seen) if seen.kind == Kind::Control => return,
                    Some(seen) => self.said(seen),
                    None => "a message",
                };
                let payload = cut(&secrets.hide_in_payload(&publish.payload), LONGEST);
                let retained = if publish.retain { ", retained" } else { "" };
                let topic = self.short(&publish.topic);
                format!("`{client}` publishes {meant} on `{topic}` at QoS {}{retained}: `{payload}`", publish.qos)
            }
            Event::Publish { direction: Direction::ToClient, publish } => {
                let kind = match seen.map(|seen| &seen.kind) {
                    Some(Kind::Control) if self.is_client => "an order of khumbu",
                    Some(Kind::Control) => "khumbu's question whether it is ready",
                    Some(Kind::Channel(channel)) => name(*channel),
                    Some(kind) => kind.name(),
                    None => "a message",
                };
                let on = format!("{kind} on `{}` at QoS {}", self.short(&publish.topic), publish.qos);
                if let Some(at_end) = at_end {
                    let how = if at_end.is_unacknowledged { "has not acknowledged" } else { "was handed last" };
                    let payload = cut(&secrets.hide_in_payload(&publish.payload), LONGEST_LAST);
                    self.handed_at_end = Some(format!("{how} {on}: `{payload}`{}", at_end.followed()));
                }
                // Heartbeats go on and on.
                if !self.handed.insert(publish.topic.clone()) {
                    return;
                }
                format!("`{client}` is handed {on}: `{}`", cut(&secrets.hide_in_payload(&publish.payload), LONGEST))
            }
            Event::Breach { what, .. } => format!("`{client}` breaks MQTT: {what}"),
            Event::Disconnected { cause, .. } => format!("`{client}` is gone: {cause}"),
            _ => return,
        };
        match self.lines.len() < MOST {
            true => self.lines.push((record.at, line)),
            false => self.left_out += 1,
        }
    }

    /// A topic without what all topics of the API module begin with.
    fn short<'t>(&self, topic: &'t str) -> Cow<'t, str> {
        topic.strip_prefix(&self.base).map_or(Cow::Borrowed(topic), |rest| format!("…{rest}").into())
    }

    /// What a filter lets a module hear.
    fn heard_by(&mut self, filter: &str, topics: &Topics) -> String {
        let is_heard = |topic: &str| topic::matches(filter, topic);
        if asks_for_orders(filter, &topics.control_topic()) {
            self.takes_orders = true;
            return "orders of khumbu".to_owned();
        }
        let heard: Vec<_> = topics
            .api
            .channels()
            .filter(|channel| channel.is_from_everest() == self.is_client && is_heard(&topics.topic(*channel)))
            .map(name)
            .collect();
        self.hears.extend(&heard);
        match heard.is_empty() {
            false => heard.join(", "),
            true if is_heard(&EntryPoint::Discover.topic(&topics.external_prefix))
                || filter.contains("/query-modules/") =>
            {
                "discoveries".to_owned()
            }
            true if filter.starts_with(&self.base) => "for replies, or nothing of this API".to_owned(),
            true => {
                self.foreign.insert(filter.to_owned());
                "none of this API's topics".to_owned()
            }
        }
    }

    /// What a message is that the module has sent.
    fn said(&mut self, seen: &Sighting) -> &'static str {
        let Kind::Channel(channel) = seen.kind else { return seen.kind.name() };
        // A check that says `false` says that nobody is there.
        let is_said = channel != Channel::COMMUNICATION_CHECK || seen.json == Some(Value::Bool(true));
        if is_said && channel.is_from_everest() != self.is_client {
            self.says.insert(name(channel));
        }
        name(channel)
    }

    /// One line a moment.
    pub fn text(&self) -> String {
        let mut text: String =
            self.lines.iter().map(|(at, line)| format!("{:>6}ms  {line}\n", at.as_millis())).collect();
        if self.lines.is_empty() {
            text.push_str("nobody has connected to the broker\n");
        }
        if self.left_out > 0 {
            text.push_str(&format!("          and {} more\n", self.left_out));
        }
        text
    }

    /// What it does not listen to, of what it is sent; empty if it listens to nothing of the API.
    pub fn misses(&self) -> String {
        let missing: Vec<_> = self.wanted.iter().copied().filter(|name| !self.hears.contains(name)).collect();
        if self.hears.is_empty() || !self.is_client { String::new() } else { missing.join(", ") }
    }

    /// What it does and what is missing.
    pub fn signs(&self) -> Vec<Sign> {
        let list = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(", ");
        let missing: BTreeSet<_> = self.wanted.iter().copied().filter(|name| !self.hears.contains(name)).collect();
        let foreign: Vec<_> = self.foreign.iter().take(3).map(|topic| format!("`{topic}`")).collect();
        let hears = match (self.hears.is_empty(), missing.is_empty()) {
            (true, _) if foreign.is_empty() => format!("to none of {}", self.wanted.join(", ")),
            (true, _) => format!("to none of {}, but to {}", self.wanted.join(", "), foreign.join(", ")),
            (false, true) => list(&self.hears),
            (false, false) => format!("{}; not to {}", list(&self.hears), list(&missing)),
        };
        let connected = match (self.connected, self.refused) {
            (Some(at), _) => format!("after {}ms", at.as_millis()),
            (None, 0) => "nobody came".to_owned(),
            (None, refused) => format!("{refused} connections were refused"),
        };
        let mut signs = vec![
            Sign { what: "connects", is_there: Some(self.connected.is_some()), detail: connected },
            Sign { what: "listens to the API", is_there: Some(!self.hears.is_empty()), detail: hears },
            Sign {
                what: "says that it is there",
                is_there: Some(self.says.contains(self.sign_of_life)),
                detail: self.sign_of_life.to_owned(),
            },
        ];
        if self.is_client {
            signs.push(self.orders());
        }
        if let Some(has_ended) = self.has_ended.filter(|has_ended| *has_ended || self.connected.is_some()) {
            let detail = match (has_ended, &self.handed_at_end) {
                (false, _) => String::new(),
                (true, Some(handed)) => format!("it has ended, and {handed}"),
                (true, None) => "it has ended, and was handed nothing".to_owned(),
            };
            signs.push(Sign { what: "stays", is_there: Some(!has_ended), detail });
        }
        signs
    }

    /// Whether it can be told what to do: a binding that leads to nothing is no way of telling.
    fn orders(&self) -> Sign {
        let Bindings { followed, dead, untried, by_itself } = &self.bindings;
        let mut parts = Vec::new();
        if self.takes_orders {
            parts.push("on the control topic".to_owned());
        }
        if !followed.is_empty() {
            parts.push(format!("by bindings for {}", followed.join(", ")));
        }
        parts.extend(dead.clone());
        if !untried.is_empty() {
            parts.push(format!("not tried: bindings for {}", untried.join(", ")));
        }
        if !by_itself.is_empty() && !self.takes_orders {
            parts.push(format!("by itself: {}", by_itself.join(", ")));
        }
        if parts.is_empty() {
            parts.push("neither on the control topic, nor by `bindings` of khumbu.yaml".to_owned());
        }
        let is_there = match (self.takes_orders || !followed.is_empty(), dead, untried.is_empty()) {
            (_, Some(_), _) => Some(false),
            (true, None, _) => Some(true),
            (false, None, is_known) => is_known.then_some(false),
        };
        Sign { what: "takes orders", is_there, detail: parts.join("; ") }
    }
}

fn name(channel: Channel) -> &'static str {
    &channel.description().called
}

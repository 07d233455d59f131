//! All monitors of one API module together: who gets to see which record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::conformance::redelivery::{Redelivery, Repeat};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::{Channel, EntryPoint, Topics};
use crate::protocol::deviations::Deviation;
use crate::protocol::schema::Message;
use crate::protocol::side::Side;
use crate::transcript::record::{Direction, Event, Publish, Record, Rule};

use super::Context;
use super::answers::Answers;
use super::asking::Asking;
use super::collecting::Collecting;
use super::discovery::Discovery;
use super::heartbeats::Heartbeats;
use super::latched::Latched;
use super::links::{Change, Links};
use super::mqtt;
use super::presence::Presence;
use super::resubscription::Resubscription;
use super::seen::Seen;
use super::shape::{Shape, Territory};
use super::statuses::Statuses;
use super::timeouts::Timeouts;
use super::wording::Wording;

/// So many findings with one id are told; the rest is counted.
const TOLD: u32 = 5;

/// Watches the messages of one API module.
#[derive(Debug)]
pub(super) struct Panel {
    topics: Topics,
    under_test: Side,
    /// Whether it is the one that speaks of what concerns all API modules.
    is_first: bool,
    /// Whether it is an EVerest that publishes on any `replyTo`, for which the broker cuts it off.
    may_publish_anywhere: bool,
    wording: Arc<Wording>,
    links: Links,
    redelivery: Redelivery,
    shape: Shape,
    heartbeats: Heartbeats,
    statuses: Statuses,
    timeouts: Timeouts,
    answers: Answers,
    latched: Latched,
    discovery: Discovery,
    asking: Asking,
    collecting: Collecting,
    presence: Presence,
    resubscription: Resubscription,
    /// Where the module wants the replies to its discoveries.
    discoveries: BTreeSet<String>,
    told: BTreeMap<&'static str, u32>,
}

impl Panel {
    pub(super) fn new(context: Context) -> Self {
        let Context { topics, under_test, in_force, from_start, heartbeat_interval, .. } = context;
        Self {
            wording: Arc::new(Wording::new(&topics)),
            links: Links::new(from_start, context.relayed),
            redelivery: Redelivery::default(),
            shape: Shape::new(topics.clone(), under_test, in_force),
            heartbeats: Heartbeats::new(from_start, heartbeat_interval, in_force),
            statuses: Statuses::new(from_start, in_force),
            timeouts: Timeouts::new(context.auth.as_ref().filter(|_| from_start)),
            answers: Answers::new(topics.clone(), under_test, from_start, context.reply_grace, in_force),
            latched: Latched::new(from_start),
            discovery: Discovery::new(topics.external_prefix.clone(), in_force),
            asking: Asking::new(topics.external_prefix.clone(), context.relayed, under_test, in_force),
            collecting: Collecting::default(),
            presence: Presence::new(context.communication_check_timeout, heartbeat_interval),
            resubscription: Resubscription::new(&topics),
            discoveries: BTreeSet::new(),
            told: BTreeMap::new(),
            may_publish_anywhere: under_test == Side::Everest
                && [Deviation::ExitOnEmptyReplyTo, Deviation::ExitOnWildcardReplyTo]
                    .into_iter()
                    .any(|deviation| in_force.is_on(deviation)),
            topics,
            under_test,
            is_first: false,
        }
    }

    /// The one of the API under test, which also watches the entry point that all have in common.
    pub(super) fn first(context: Context) -> Self {
        Self { is_first: true, ..Self::new(context) }
    }

    pub(super) fn observe(&mut self, record: &Record, from_module: bool) -> Vec<Diagnostic> {
        let found = match &record.event {
            Event::Publish { direction, publish } => self.publish(record, publish, *direction, from_module),
            Event::Breach { rule: Rule::Topic, .. } if self.may_publish_anywhere => Vec::new(),
            Event::Breach { rule, what, bytes } if from_module && self.is_first => {
                vec![mqtt::breach(record, *rule, what, bytes)]
            }
            _ if from_module => self.link(record),
            // The simulated EVerest hears a reply as long as it waits for it.
            Event::Unsubscribed { filter } if self.under_test == Side::Client => {
                self.answers.given_up(filter, record.at);
                Vec::new()
            }
            _ => Vec::new(),
        };
        self.tell(found)
    }

    pub(super) fn everest_restarted(&mut self) {
        self.heartbeats.restarted();
        self.statuses.restarted();
        self.timeouts.forget();
        self.asking.forget();
        self.collecting.forget();
        self.presence.everest_restarted();
    }

    pub(super) fn module_cut_off(&mut self) {
        self.presence.begin_anew();
        self.collecting.forget();
        self.answers.cut_off();
        self.statuses.lost();
        self.latched.lost();
        self.timeouts.forget();
    }

    pub(super) fn verdict_updated(&mut self) {
        self.statuses.updated();
    }

    pub(super) fn heartbeats_changed(&mut self) {
        self.heartbeats.changed();
    }

    pub(super) fn finish(&mut self, at: Duration) -> Vec<Diagnostic> {
        let mut found = self.asking.finish();
        found.extend(self.answers.finish(at, &self.wording));
        found.extend(self.latched.finish());
        match self.under_test {
            Side::Client => {
                // A module that is gone is not late: its end is judged by the runner.
                if self.links.is_online() {
                    found.extend(self.presence.finish(at));
                    found.extend(self.resubscription.finish(at, &self.wording));
                }
            }
            Side::Everest => found.extend(self.heartbeats.finish(at, self.links.is_online())),
        }
        let mut found = self.tell(found);
        for (id, count) in &self.told {
            if let Some(more @ 1..) = count.checked_sub(TOLD) {
                let headline = format!("module did more of the same: `{id}` {more} times");
                found.push(Diagnostic::new(Severity::Note, "monitor/repeated", headline));
            }
        }
        found
    }

    fn tell(&mut self, mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
        found.retain(|finding| {
            let count = self.told.entry(finding.id).or_default();
            *count += 1;
            *count <= TOLD
        });
        found
    }

    /// The broker publishes a will for a client that is gone: what is wrong with it is told when the client leaves it.
    fn will(&mut self, record: &Record, will: &Publish) -> Vec<Diagnostic> {
        let wording = self.wording.clone();
        let seen = Seen::new(record, will, &wording);
        let found = match self.shape.territory(&will.topic) {
            Territory::Own(channel) => self.shape.check(&seen, &[Message::On(channel)]),
            Territory::Foreign => vec![self.shape.foreign(&seen)],
            Territory::Unknown => vec![self.shape.unknown(&seen)],
            Territory::Elsewhere => Vec::new(),
        };
        let as_will = "it is the last will in its CONNECT, which the broker publishes when the connection is lost";
        found.into_iter().map(|found| found.with_evidence(as_will)).collect()
    }

    fn link(&mut self, record: &Record) -> Vec<Diagnostic> {
        let mut found = match &record.event {
            Event::Connected { will: Some(will), .. } => self.will(record, will),
            _ => Vec::new(),
        };
        match self.links.observe(record) {
            Change::Connected => {
                self.redelivery.connected(&record.client);
                self.heartbeats.connected(&record.client, record.at);
                // EVerest starts with its connection, and ends with it.
                self.statuses.restarted();
            }
            Change::Alone { clean } => {
                self.asking.forget();
                self.collecting.forget();
                self.statuses.lost();
                self.latched.lost();
                self.timeouts.forget();
                if !clean {
                    self.presence.begin_anew();
                }
            }
            Change::None => {}
        }
        self.collecting.look(record.at, &self.links);
        self.resubscription.look(record, &self.links);
        if let Event::Subscribed { filter, .. } = &record.event {
            found.extend(self.asking.subscribed(filter, record.at));
        }
        found
    }

    fn publish(
        &mut self,
        record: &Record,
        publish: &Publish,
        direction: Direction,
        from_module: bool,
    ) -> Vec<Diagnostic> {
        let wording = self.wording.clone();
        let seen = Seen::new(record, publish, &wording);
        match (direction, from_module) {
            (Direction::FromClient, true) => {
                self.links.is_alive(&record.client);
                let repeat = self.redelivery.judge(&record.client, publish);
                match self.under_test {
                    Side::Client => self.sent_by_client(&seen, repeat),
                    Side::Everest => self.sent_by_everest(&seen, repeat),
                }
            }
            (Direction::FromClient, false) => Vec::from_iter(self.sent_by_harness(&seen)),
            (Direction::ToClient, true) => {
                if let Some(channel) = self.request_to_module(&publish.topic) {
                    self.answers.delivered(channel, &seen);
                } else if self.discovery(&publish.topic).is_some() {
                    self.discovery.delivered(&seen);
                } else if self.discoveries.contains(&*publish.topic) {
                    self.discovered_by_client(&seen);
                }
                Vec::new()
            }
            (Direction::ToClient, false) => Vec::new(),
        }
    }

    /// The channel of a topic on which the module under test is asked something.
    fn request_to_module(&self, topic: &str) -> Option<Channel> {
        let by_everest = self.under_test == Side::Client;
        self.topics.channel(topic).filter(|channel| channel.is_request() && channel.is_from_everest() == by_everest)
    }

    fn discovery(&self, topic: &str) -> Option<EntryPoint> {
        EntryPoint::from_topic(&self.topics.external_prefix, topic)
    }

    fn sent_by_client(&mut self, seen: &Seen<'_>, repeat: Repeat) -> Vec<Diagnostic> {
        let topic = &seen.publish.topic;
        let replies = self.answers.messages(topic);
        let channel = match self.shape.territory(topic) {
            Territory::Own(channel) => channel,
            _ if !replies.is_empty() => {
                let mut found = self.shape.check(seen, &replies);
                found.extend(if repeat == Repeat::No { self.answers.reply(seen) } else { None });
                return found;
            }
            _ if self.answers.lacks_prefix(topic) => return vec![self.answers.without_prefix(seen)],
            Territory::Foreign => return vec![self.shape.foreign(seen)],
            Territory::Unknown if self.shape.is_place_of_replies(topic) => {
                return Vec::from_iter(self.answers.stray(seen));
            }
            Territory::Unknown => return vec![self.shape.unknown(seen)],
            Territory::Elsewhere if **topic == *EntryPoint::beacon_topic(&self.topics.external_prefix) => {
                return if self.is_first { vec![self.shape.foreign(seen)] } else { Vec::new() };
            }
            Territory::Elsewhere if let Some(entry_point) = self.discovery(topic) => {
                let mut found = self.shape.check(seen, &[Message::DISCOVER_REQUEST]);
                let topic = seen.reply_to().map(|reply_to| self.topics.reply_topic_on_wire(reply_to));
                self.discoveries.extend(topic.clone());
                if let (EntryPoint::Discover, Some(topic)) = (entry_point, topic) {
                    self.collecting.asked(topic, seen.record.at, &self.links);
                }
                let well_formed = self.shape.is_valid(Message::DISCOVER_REQUEST, seen);
                found.extend(self.asking.request(seen, well_formed, repeat, &self.links));
                return found;
            }
            Territory::Elsewhere => return Vec::new(),
        };
        let mut found = self.shape.check(seen, &[Message::On(channel)]);
        if channel.is_request() {
            let well_formed = self.shape.is_valid(Message::On(channel), seen);
            found.extend(self.asking.request(seen, well_formed, repeat, &self.links));
        }
        if channel == Channel::COMMUNICATION_CHECK {
            found.extend(self.presence.observe(seen));
        }
        found
    }

    fn sent_by_everest(&mut self, seen: &Seen<'_>, repeat: Repeat) -> Vec<Diagnostic> {
        let topic = &seen.publish.topic;
        let replies = self.answers.messages(topic);
        let territory = self.shape.territory(topic);
        if self.discovery.is_asked_on(topic) {
            // Each knows of it, one speaks; and of what else is to come there, too, nobody can.
            let is_apart = replies.is_empty() && !matches!(territory, Territory::Own(_));
            return if self.is_first && is_apart { self.discovered(seen, repeat) } else { Vec::new() };
        }
        match territory {
            // A request gave a channel as its reply topic: what is sent there cannot be told apart.
            Territory::Own(_) if !replies.is_empty() => return Vec::new(),
            Territory::Own(channel) => {
                let mut found = self.shape.check(seen, &[Message::On(channel)]);
                match channel {
                    Channel::HEARTBEAT => found.extend(self.heartbeats.observe(seen, repeat)),
                    Channel::TOKEN_VALIDATION_STATUS => {
                        self.latched.published(seen);
                        found.extend(self.statuses.observe(seen, repeat));
                        found.extend((repeat == Repeat::No).then(|| self.timeouts.observe(seen)).flatten());
                    }
                    Channel::VALIDATE_TOKEN => {
                        let well_formed = self.shape.is_valid(Message::On(channel), seen);
                        found.extend(self.asking.request(seen, well_formed, repeat, &self.links));
                    }
                    _ => {}
                }
                return found;
            }
            _ => {}
        }
        if !replies.is_empty() {
            let mut found = self.shape.check(seen, &replies);
            if repeat == Repeat::No {
                found.extend(self.answers.reply(seen));
            }
            if found.is_empty() && self.answers.is_latched(topic) {
                self.latched.replied(seen);
            }
            return found;
        }
        match territory {
            Territory::Foreign => vec![self.shape.foreign(seen)],
            Territory::Unknown if self.shape.is_own(topic) => Vec::from_iter(self.answers.stray(seen)),
            Territory::Unknown => vec![self.shape.unknown(seen)],
            Territory::Elsewhere
                if self.is_first && **topic == *EntryPoint::beacon_topic(&self.topics.external_prefix) =>
            {
                self.shape.check(seen, &[Message::READY_BEACON])
            }
            Territory::Own(_) | Territory::Elsewhere => Vec::new(),
        }
    }

    fn discovered(&mut self, seen: &Seen<'_>, repeat: Repeat) -> Vec<Diagnostic> {
        let mut found = self.shape.check(seen, &[Message::DISCOVER_REPLY]);
        if repeat == Repeat::No {
            found.extend(self.discovery.reply(seen));
        }
        found
    }

    /// A client is told how often its API module wants to hear of it.
    fn discovered_by_client(&mut self, seen: &Seen<'_>) {
        let apis = seen.json().ok().and_then(|reply| reply.get("apis")?.as_array());
        let is_own = |api: &&serde_json::Value| {
            api.get("type").and_then(|name| name.as_str()) == Some(self.topics.api.name())
                && api.get("module_id").and_then(|id| id.as_str()) == Some(&self.topics.module_id)
        };
        let own = apis.and_then(|apis| apis.iter().find(is_own));
        let period =
            own.and_then(|api| api.pointer("/communication_monitoring/communication_check_period_s")?.as_i64());
        if let Some(seconds) = period {
            self.presence.told(seconds, seen.record.at);
        }
    }

    /// What the harness sends is never a fault, but it says what the module may do, or should have waited for.
    fn sent_by_harness(&mut self, seen: &Seen<'_>) -> Option<Diagnostic> {
        let topic = &*seen.publish.topic;
        let is_of = |channel: Channel| topic.ends_with(&format!("/{}", channel.address()));
        if !is_of(Channel::COMMUNICATION_CHECK) {
            self.timeouts.moved(seen.record.at);
        }
        if is_of(Channel::VALIDATE_RESULT_UPDATE) {
            self.statuses.updated();
        }
        if let Some(channel) = self.request_to_module(topic) {
            let well_formed = self.shape.is_valid(Message::On(channel), seen);
            self.answers.request(channel, seen, well_formed);
        } else if let Some(entry_point) = self.discovery(topic) {
            self.answers.may_be_asked(seen);
            self.discovery.request(entry_point, seen);
        }
        match (self.under_test, self.topics.channel(topic)) {
            (Side::Client, Some(Channel::HEARTBEAT)) => self.presence.heartbeat(seen.record.at),
            (_, Some(_)) => {}
            (_, None) => self.asking.answered(topic, seen.record.at),
        }
        if self.topics.former_channel(topic) == Some(Channel::SET_CONNECTION_TIMEOUT) {
            self.timeouts.changed();
        }
        if topic == self.topics.control_topic() {
            let told = seen.json().ok();
            let told = |key| told.is_some_and(|json| json.get(key).is_some());
            match self.under_test {
                Side::Client if told("communication_check") => self.presence.told_to_check(),
                Side::Everest if told("heartbeats") => self.heartbeats.changed(),
                _ => {}
            }
        }
        self.collecting.replied(seen)
    }
}

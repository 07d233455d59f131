//! All monitors of one API module together: who gets to see which record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::conformance::sighting::{Aside, Kind, Party, Place, Repeat, Sighting, Way};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::{Channel, EntryPoint, Topics};
use crate::protocol::deviations::Deviation;
use crate::protocol::schema::Message;
use crate::protocol::side::Side;
use crate::transcript::injected::Injected;
use crate::transcript::record::{Event, Record, Rule};

use super::Context;
use super::answers::Answers;
use super::asking::Asking;
use super::collecting::Collecting;
use super::discovery::Discovery;
use super::finding::Finding;
use super::heartbeats::Heartbeats;
use super::latched::Latched;
use super::links::{Change, Links};
use super::misspelt::misspelt;
use super::mqtt::{self, Releases};
use super::presence::Presence;
use super::presentations::Presentations;
use super::provided::Provided;
use super::resubscription::Resubscription;
use super::shape::{Shape, Territory};
use super::statuses::Statuses;
use super::timeouts::Timeouts;
use super::wording::{Worded, Wording};

/// So many findings with one id are told; the rest is counted.
const TOLD: u32 = 5;

/// Watches the messages of one API module.
#[derive(Debug)]
pub(super) struct ModuleMonitors {
    /// The number of the module; the one of the API under test, 0, also speaks of what concerns all API modules.
    module: usize,
    topics: Topics,
    under_test: Side,
    /// Whether it is an EVerest that publishes on any `replyTo`, for which the broker cuts it off.
    may_publish_anywhere: bool,
    wording: Arc<Wording>,
    shape: Shape,
    heartbeats: Heartbeats,
    statuses: Statuses,
    provided: Provided,
    timeouts: Timeouts,
    answers: Answers,
    latched: Latched,
    discovery: Discovery,
    asking: Asking,
    collecting: Collecting,
    finding: Finding,
    presence: Presence,
    presentations: Presentations,
    releases: Releases,
    resubscription: Resubscription,
    /// Where the module wants the replies to its discoveries.
    discoveries: BTreeSet<Arc<str>>,
    /// The place of the last heartbeat of the harness.
    last_heartbeat: Option<u64>,
    told: BTreeMap<&'static str, u32>,
}

impl ModuleMonitors {
    pub(super) fn new(module: usize, context: Context) -> Self {
        let Context { topics, under_test, in_force, from_start, heartbeat_interval, .. } = context;
        Self {
            wording: Arc::new(Wording::new(&topics)),
            shape: Shape::new(module, topics.clone(), under_test, in_force),
            heartbeats: Heartbeats::new(from_start, heartbeat_interval, in_force),
            statuses: Statuses::new(from_start, in_force),
            provided: Provided::new(from_start, in_force),
            timeouts: Timeouts::new(context.auth.as_ref().filter(|_| from_start)),
            answers: Answers::new(topics.clone(), under_test, from_start, context.reply_grace, in_force),
            latched: Latched::new(from_start),
            discovery: Discovery::new(in_force),
            asking: Asking::new(topics.api, context.relayed, under_test, in_force),
            collecting: Collecting::default(),
            finding: Finding::default(),
            presence: Presence::new(context.communication_check_timeout, heartbeat_interval),
            presentations: Presentations::new(from_start),
            releases: Releases::default(),
            resubscription: Resubscription::new(&topics),
            discoveries: BTreeSet::new(),
            last_heartbeat: None,
            told: BTreeMap::new(),
            may_publish_anywhere: under_test == Side::Everest
                && [Deviation::ExitOnEmptyReplyTo, Deviation::ExitOnWildcardReplyTo]
                    .into_iter()
                    .any(|deviation| in_force.is_on(deviation)),
            topics,
            under_test,
            module,
        }
    }

    /// What a fault befell, the module has not got as the harness sent it. What the module sent itself was judged before:
    /// that it came nowhere is not its fault.
    fn injected(&mut self, injected: &Injected) {
        let Injected::Message { seq, effect, .. } = injected else { return };
        if effect.is_harmless() {
            return;
        }
        self.answers.disturbed(*seq);
        if self.last_heartbeat == Some(*seq) {
            self.presence.heartbeat_kept();
        }
    }

    fn is_first(&self) -> bool {
        self.module == 0
    }

    /// Takes note of a record, of the message that it shows, and of what it did to the connections.
    pub(super) fn observe(
        &mut self,
        record: &Record,
        from: Party,
        seen: Option<&Sighting>,
        (links, change): (&Links, Change),
    ) -> Vec<Diagnostic> {
        match &record.event {
            Event::Injected(_) => self.releases.forget(),
            _ if from == Party::Module => self.releases.observe(record),
            _ => {}
        }
        let wording = self.wording.clone();
        let mut found = match seen.map(|seen| Worded::new(seen, &wording)) {
            Some(seen) => self.message(&seen, links),
            None => Vec::new(),
        };
        match &record.event {
            Event::Publish { .. } => {}
            Event::Injected(injected) => self.injected(injected),
            Event::Breach { rule: Rule::Topic, .. } if self.may_publish_anywhere => {}
            Event::Breach { rule, what, bytes } if from == Party::Module => {
                // What it owes when the broker cuts it off, it may never send: that follows.
                self.answers.cut_off();
                found.extend(self.is_first().then(|| mqtt::breach(record, *rule, what, bytes)));
            }
            _ if from == Party::Module => found.extend(self.link(record, links, change)),
            // The simulated EVerest hears a reply as long as it waits for it.
            Event::Unsubscribed { filter } if self.under_test == Side::Client => {
                self.answers.given_up(filter, record.at);
            }
            _ => {}
        }
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
        self.presence.lost();
        self.presentations.lost();
        self.collecting.forget();
        self.answers.cut_off();
        self.statuses.lost();
        self.latched.lost();
        self.timeouts.forget();
    }

    pub(super) fn told_to_end(&mut self) {
        self.presence.told_to_end();
    }

    pub(super) fn told_to_present(&mut self) {
        self.presentations.told();
    }

    pub(super) fn verdict_updated(&mut self) {
        self.statuses.updated();
    }

    pub(super) fn held_up(&mut self, held_up: Duration) {
        self.heartbeats.held_up(held_up);
        self.presence.held_up(held_up);
    }

    pub(super) fn silent_until(&mut self, at: Duration) {
        self.presence.silent_until(at);
    }

    pub(super) fn heartbeats_changed(&mut self) {
        self.heartbeats.changed();
    }

    pub(super) fn may_subscribe_again(&self) -> bool {
        self.resubscription.is_open()
    }

    pub(super) fn misses_subscriptions(&self, at: Duration) -> bool {
        self.resubscription.missed(at).next().is_some()
    }

    pub(super) fn finish(&mut self, at: Duration, is_online: bool) -> Vec<Diagnostic> {
        let mut found = self.asking.finish();
        found.extend(self.releases.finish(&self.wording).filter(|_| self.is_first()));
        found.extend(self.answers.finish(at, &self.wording));
        found.extend(self.latched.finish());
        found.extend(self.presentations.finish(at));
        match self.under_test {
            Side::Client => {
                // A module that is gone is not late: its end is judged by the runner.
                if is_online {
                    found.extend(self.presence.finish(at));
                    found.extend(self.resubscription.finish(at, &self.wording));
                }
            }
            Side::Everest => found.extend(self.heartbeats.finish(at, is_online)),
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

    fn link(&mut self, record: &Record, links: &Links, change: Change) -> Vec<Diagnostic> {
        match change {
            Change::Connected => {
                self.heartbeats.connected(&record.client, record.at);
                // EVerest starts with its connection, and ends with it.
                self.statuses.restarted();
            }
            Change::Alone { clean } => {
                self.presentations.lost();
                self.asking.forget();
                self.collecting.forget();
                self.statuses.lost();
                self.latched.lost();
                self.timeouts.forget();
                if !clean {
                    self.presence.lost();
                }
            }
            Change::None => {}
        }
        self.collecting.look(record.at, links);
        if self.under_test == Side::Client {
            self.resubscription.look(record, links);
            self.presence.linked(record.at, links.online(), self.resubscription.hears_again());
        }
        match &record.event {
            Event::Subscribed { filter, .. } => {
                let mut found = self.asking.subscribed(filter, record.at);
                found.extend(self.finding.subscribed(filter, record, &self.topics, &self.wording));
                found
            }
            _ => Vec::new(),
        }
    }

    fn message(&mut self, seen: &Worded<'_>, links: &Links) -> Vec<Diagnostic> {
        match (seen.way, seen.from, self.under_test) {
            (Way::Will, ..) => self.will(seen),
            (Way::Delivered, ..) => {
                self.handed_over(seen);
                Vec::new()
            }
            (Way::Sent, Party::Harness, _) => Vec::from_iter(self.sent_by_harness(seen)),
            (Way::Sent, Party::Module, Side::Client) => {
                let elsewhere = self.finding.published(seen, &self.topics);
                elsewhere.into_iter().chain(self.sent_by_client(seen, links)).collect()
            }
            (Way::Sent, Party::Module, Side::Everest) => self.sent_by_everest(seen, links),
        }
    }

    /// The broker publishes a will for a client that is gone: what is wrong with it is told when the client leaves it.
    fn will(&mut self, seen: &Worded<'_>) -> Vec<Diagnostic> {
        let found = match self.shape.territory(seen) {
            Territory::Own(channel) => {
                let is_check = channel == Channel::COMMUNICATION_CHECK;
                let mut found = self.shape.check(seen, &[Message::On(channel)]);
                found.extend(is_check.then(|| self.presence.will(seen)).flatten());
                found
            }
            Territory::Foreign => vec![self.shape.foreign(seen)],
            Territory::Unknown => vec![self.shape.unknown(seen)],
            Territory::Elsewhere => Vec::new(),
        };
        let as_will = "it is the last will in its CONNECT, which the broker publishes when the connection is lost";
        found.into_iter().map(|found| found.with_evidence(as_will)).collect()
    }

    /// What the module was handed tells whether it can be expected to answer.
    fn handed_over(&mut self, seen: &Worded<'_>) {
        if let (Side::Client, Some(json)) = (self.under_test, &seen.json) {
            self.shape.told(json);
        }
        if let Some(channel) = self.request_to_module(seen) {
            self.answers.delivered(channel, seen);
        } else if matches!(seen.kind, Kind::EntryPoint(_)) {
            self.discovery.delivered(seen);
        } else if self.answers_a_discovery(seen) {
            self.discovered_by_client(seen);
            self.finding.told(seen);
        }
    }

    fn answers_a_discovery(&self, seen: &Sighting) -> bool {
        let answered = seen.answers.as_ref().filter(|answered| answered.has_prefix);
        answered.is_some_and(|answered| self.discoveries.contains(&answered.topic.on_wire))
    }

    /// The channel of a message by which the module under test is asked something.
    fn request_to_module(&self, seen: &Sighting) -> Option<Channel> {
        let by_everest = self.under_test == Side::Client;
        let channel = seen.place.channel_of(self.module)?;
        Some(channel).filter(|channel| channel.is_request() && channel.is_from_everest() == by_everest)
    }

    fn sent_by_client(&mut self, seen: &Worded<'_>, links: &Links) -> Vec<Diagnostic> {
        let replies = self.answers.messages(seen);
        let channel = match self.shape.territory(seen) {
            Territory::Own(channel) => channel,
            _ if !replies.is_empty() => {
                let mut found = self.shape.check(seen, &replies);
                found.extend(if seen.repeat == Repeat::No { self.answers.reply(seen) } else { None });
                return found;
            }
            _ if self.answers.lacks_prefix(seen) => return vec![self.answers.without_prefix(seen)],
            Territory::Foreign => return vec![self.shape.foreign(seen)],
            Territory::Unknown if self.shape.is_place_of_replies(seen) => {
                return Vec::from_iter(self.answers.stray(seen));
            }
            Territory::Unknown => return vec![self.shape.unknown(seen)],
            Territory::Elsewhere if seen.place == Place::Beacon => {
                return if self.is_first() { vec![self.shape.foreign(seen)] } else { Vec::new() };
            }
            Territory::Elsewhere if let Place::EntryPoint(entry_point) = &seen.place => {
                let mut found = self.shape.check(seen, &[Message::DISCOVER_REQUEST]);
                let topic = seen.asks.as_ref().map(|asks| asks.on_wire.clone());
                self.discoveries.extend(topic.clone());
                if let (EntryPoint::Discover, Some(topic)) = (entry_point, topic) {
                    self.collecting.asked(topic, seen.at, links);
                }
                let well_formed = self.shape.is_valid(Message::DISCOVER_REQUEST, seen);
                found.extend(self.asking.request(seen, well_formed, links));
                return found;
            }
            Territory::Elsewhere => return Vec::new(),
        };
        let mut found = self.shape.check(seen, &[Message::On(channel)]);
        let well_formed = self.shape.is_valid(Message::On(channel), seen);
        found.extend(well_formed.then(|| misspelt(channel, seen)).flatten());
        if channel.is_request() {
            found.extend(self.asking.request(seen, well_formed, links));
        }
        if channel == Channel::COMMUNICATION_CHECK {
            found.extend(self.presence.observe(seen));
        }
        if channel == Channel::PROVIDED_TOKEN && seen.repeat == Repeat::No {
            found.extend(self.presentations.observe(seen));
        }
        found
    }

    fn sent_by_everest(&mut self, seen: &Worded<'_>, links: &Links) -> Vec<Diagnostic> {
        let replies = self.answers.messages(seen);
        let territory = self.shape.territory(seen);
        if self.discovery.is_asked_by(seen) {
            // Each knows of it, one speaks; and of what else is to come there, too, nobody can.
            let is_apart = replies.is_empty() && !matches!(territory, Territory::Own(_));
            return if self.is_first() && is_apart { self.discovered(seen) } else { Vec::new() };
        }
        match territory {
            // A request gave a channel as its reply topic: what is sent there cannot be told apart.
            Territory::Own(_) if !replies.is_empty() => return Vec::new(),
            Territory::Own(channel) => {
                let mut found = self.shape.check(seen, &[Message::On(channel)]);
                match channel {
                    Channel::HEARTBEAT => found.extend(self.heartbeats.observe(seen)),
                    Channel::TOKEN_VALIDATION_STATUS => {
                        self.latched.published(seen);
                        found.extend(self.statuses.observe(seen));
                        found.extend(self.provided.status(seen));
                        found.extend((seen.repeat == Repeat::No).then(|| self.timeouts.observe(seen)).flatten());
                    }
                    _ if channel.is_request() => {
                        let well_formed = self.shape.is_valid(Message::On(channel), seen);
                        found.extend(self.asking.request(seen, well_formed, links));
                    }
                    _ => {}
                }
                return found;
            }
            _ => {}
        }
        if !replies.is_empty() {
            if let Some(asked_at) = self.answers.asked_at(seen) {
                self.heartbeats.answered(&seen.client, asked_at);
            }
            let mut found = self.shape.check(seen, &replies);
            if seen.repeat == Repeat::No {
                found.extend(self.answers.reply(seen));
            }
            if found.is_empty() && replies == [Message::ReplyTo(Channel::GET_TOKEN_VALIDATION_STATUS)] {
                self.latched.replied(seen);
            }
            return found;
        }
        match territory {
            Territory::Foreign => vec![self.shape.foreign(seen)],
            Territory::Unknown if self.shape.is_own(seen) => Vec::from_iter(self.answers.stray(seen)),
            Territory::Unknown => vec![self.shape.unknown(seen)],
            Territory::Elsewhere if self.is_first() && seen.place == Place::Beacon => {
                self.shape.check(seen, &[Message::READY_BEACON])
            }
            Territory::Own(_) | Territory::Elsewhere => Vec::new(),
        }
    }

    fn discovered(&mut self, seen: &Worded<'_>) -> Vec<Diagnostic> {
        let mut found = self.shape.check(seen, &[Message::DISCOVER_REPLY]);
        if seen.repeat == Repeat::No {
            found.extend(self.discovery.reply(seen));
        }
        found
    }

    /// A client is told how often its API module wants to hear of it.
    fn discovered_by_client(&mut self, seen: &Worded<'_>) {
        let apis = seen.as_sent().ok().and_then(|reply| reply.get("apis")?.as_array());
        let is_own = |api: &&serde_json::Value| {
            api.get("type").and_then(|name| name.as_str()) == Some(self.topics.api.name())
                && api.get("module_id").and_then(|id| id.as_str()) == Some(&self.topics.module_id)
        };
        let own = apis.and_then(|apis| apis.iter().find(is_own));
        let period =
            own.and_then(|api| api.pointer("/communication_monitoring/communication_check_period_s")?.as_i64());
        if let Some(seconds) = period {
            self.presence.told(seconds, seen.at);
        }
    }

    /// What the harness sends is never a fault, but it says what the module may do, or should have waited for.
    fn sent_by_harness(&mut self, seen: &Worded<'_>) -> Option<Diagnostic> {
        if !seen.ends_like(Channel::COMMUNICATION_CHECK) {
            self.timeouts.moved(seen.at);
        }
        if seen.is_on(Channel::VALIDATE_RESULT_UPDATE) {
            self.statuses.updated();
        }
        if seen.is_on(Channel::PROVIDED_TOKEN) {
            self.provided.handed_in(&seen.publish.payload);
        }
        if let Some(channel) = self.request_to_module(seen) {
            let well_formed = self.shape.is_valid(Message::On(channel), seen);
            self.answers.request(channel, seen, well_formed);
        } else if let Kind::EntryPoint(entry_point) = &seen.kind {
            self.answers.may_be_asked(seen);
            self.discovery.request(entry_point.clone(), seen);
        }
        match (self.under_test, seen.place.channel_of(self.module)) {
            (Side::Client, Some(Channel::HEARTBEAT)) => {
                self.presence.heartbeat(seen.at);
                self.last_heartbeat = Some(seen.seq);
            }
            (_, Some(_)) => {}
            (_, None) => self.asking.answered(seen),
        }
        match seen.place {
            Place::Channel { module, channel: Channel::SET_CONNECTION_TIMEOUT, .. } if module == self.module => {
                self.timeouts.changed();
            }
            Place::Aside { module, aside: Aside::Told } if module == self.module => self.told(seen),
            _ => {}
        }
        self.collecting.replied(seen)
    }

    /// The module is told what to do.
    fn told(&mut self, seen: &Sighting) {
        let is_told = |key| seen.as_sent().is_ok_and(|command| command.get(key).is_some());
        match self.under_test {
            Side::Client if is_told("communication_check") => self.presence.told_to_check(),
            Side::Everest if is_told("heartbeats") => self.heartbeats.changed(),
            Side::Everest => seen.json.iter().for_each(|command| self.provided.told(command)),
            _ => {}
        }
    }
}

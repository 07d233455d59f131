//! Makes sightings of records: the only place where topics are told apart, payloads decoded, and replies found their
//! requests.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::place::{Aside, Map, Place};
use super::redelivery::Redelivery;
use super::{Answered, Kind, Party, Repeat, ReplyTopic, Request, Sighting, Way, reply_to};
use crate::protocol::channel::{Channel, Topics};
use crate::protocol::control::Deed;
use crate::protocol::wire;
use crate::transcript::injected::Injected;
use crate::transcript::record::{Direction, Event, Publish, Record};

/// Reads a call to an EVSE off a message on a topic of EVerest's inside, and tells of it as [`Deed::EvseCall`].
type Calls = dyn Fn(&str, &Value) -> Option<Value> + Send + Sync;

/// Knows the topics of a scenario, and what was asked so far.
pub struct Classifier {
    /// The API module under test first.
    modules: Vec<Topics>,
    map: Map,
    calls: Box<Calls>,
    redelivery: Redelivery,
    requests: Vec<Request>,
    /// The place of the last reply, and which request it answers.
    last_reply: Option<(u64, usize)>,
    /// By the topic on the wire.
    reply_topics: BTreeMap<Arc<str>, Asked>,
}

/// The requests that want their replies on one topic.
#[derive(Debug)]
struct Asked {
    topic: ReplyTopic,
    /// Whether the module under test was asked.
    of_module: bool,
    /// Whether it has asked.
    by_module: bool,
    /// Those that were seen to be made, by their index: the last one, and all without a reply.
    last: Option<usize>,
    open: VecDeque<usize>,
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classifier").field("modules", &self.modules).finish_non_exhaustive()
    }
}

impl Classifier {
    /// A classifier for the API module under test and the others of its EVerest.
    pub fn new(module: Topics, other_apis: &[Topics]) -> Self {
        let modules: Vec<_> = std::iter::once(module).chain(other_apis.iter().cloned()).collect();
        Self {
            map: Map::new(&modules),
            modules,
            calls: Box::new(|_, _| None),
            redelivery: Redelivery::default(),
            requests: Vec::new(),
            last_reply: None,
            reply_topics: BTreeMap::new(),
        }
    }

    /// The same where some topics show what EVerest calls at its EVSEs.
    #[must_use]
    pub fn with_calls(self, calls: impl Fn(&str, &Value) -> Option<Value> + Send + Sync + 'static) -> Self {
        Self { calls: Box::new(calls), ..self }
    }

    /// Every request that named a reply topic, in order; probes and what was sent again are none.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The message that a record shows, if it concerns the module under test; `from` says whose client's record it is.
    /// Records come in the order of the broker, each once.
    pub fn sight(&mut self, record: &Record, from: Party) -> Option<Sighting> {
        if let Event::Injected(Injected::Message { seq, effect, .. }) = &record.event
            && let Some((_, index)) = self.last_reply.filter(|(reply, _)| reply == seq && effect.is_loss())
        {
            self.requests[index].is_answered = false;
        }
        match (&record.event, from) {
            (Event::Packet { direction, kind, pkid }, Party::Module) => {
                self.redelivery.acknowledged(&record.client, *direction, kind, *pkid);
            }
            (Event::Publish { direction: Direction::ToClient, publish }, Party::Module) if publish.qos > 0 => {
                self.redelivery.handed_over(&record.client, publish.pkid);
            }
            (Event::Disconnected { .. }, Party::Module) => self.redelivery.disconnected(&record.client),
            _ => {}
        }
        let (publish, from, way) = match (&record.event, from) {
            (Event::Publish { direction: Direction::FromClient, publish }, _) => (publish, from, Way::Sent),
            (Event::Publish { direction: Direction::ToClient, publish }, Party::Module) => {
                (publish, Party::Harness, Way::Delivered)
            }
            (Event::Connected { will, .. }, Party::Module) => {
                self.redelivery.connected(&record.client);
                (will.as_ref()?, from, Way::Will)
            }
            _ => return None,
        };
        let mut seen = self.look(record, publish, from, way);
        if way == Way::Sent {
            self.take_down(&mut seen);
        }
        if let Some(topic) = seen.asks.clone().filter(|_| way != Way::Will) {
            let asked = self.asked(topic);
            match from {
                Party::Module => asked.by_module = true,
                Party::Harness => asked.of_module = true,
            }
        }
        Some(seen)
    }

    /// What can be said of a message by itself, and by what was before it.
    fn look(&self, record: &Record, publish: &Publish, from: Party, way: Way) -> Sighting {
        let topic = &*publish.topic;
        let (mut json, fault) = match serde_json::from_slice::<Value>(&publish.payload) {
            Ok(json) => (Some(json), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let place = self.map.place(topic);
        let entry_point = self.map.entry_point(topic);
        let asks = self.asks(&place, entry_point.is_some(), json.as_ref());
        let answers = self.answers(topic, from);
        let mut original = None;
        if from == Party::Harness && json.as_ref().is_some_and(wire::has_extra_fields) {
            original = json.clone();
            json.as_mut().into_iter().for_each(wire::remove_extra_fields);
        }
        let mut api = self.modules[0].api;
        let mut kind = match &place {
            _ if self.modules[0].is_probe(topic, &publish.payload) => Kind::Control,
            Place::Channel { module, channel, is_former: false } => {
                api = self.modules[*module].api;
                Kind::Channel(*channel)
            }
            Place::Aside { module: 0, .. } => Kind::Control,
            Place::Beacon => Kind::Beacon,
            _ => entry_point.map_or_else(|| self.reply(topic), Kind::EntryPoint),
        };
        if let Some(told) = json.as_ref().and_then(|json| (self.calls)(topic, json)) {
            original = original.or(json.replace(told));
            kind = Kind::Did(Deed::EvseCall);
        } else if matches!(place, Place::Aside { module: 0, aside: Aside::Did }) {
            original = original.or(json.take());
            if let Some((deed, told)) = original.clone().and_then(Deed::read) {
                (json, kind) = (Some(told), Kind::Did(deed));
            }
        }
        Sighting {
            seq: record.seq,
            at: record.at,
            client: record.client.clone(),
            from,
            way,
            publish: publish.clone(),
            place,
            kind,
            api,
            json,
            original,
            fault,
            form: OnceLock::new(),
            repeat: Repeat::No,
            asks,
            answers,
        }
    }

    /// A message that was sent may end one request, and be another.
    fn take_down(&mut self, seen: &mut Sighting) {
        if seen.from == Party::Module {
            seen.repeat = self.redelivery.judge(&seen.client, &seen.publish);
        }
        if let Kind::Answer(index) | Kind::Reply(index) = seen.kind {
            self.requests[index].is_answered = true;
            self.last_reply = Some((seen.seq, index));
            if let Some(asked) = self.reply_topics.get_mut(&*seen.publish.topic) {
                asked.open.pop_front();
            }
        }
        let Some(topic) = seen.asks.clone().filter(|_| seen.kind.is_request() && !seen.is_again()) else { return };
        let token = match (&seen.kind, &seen.json) {
            (Kind::Channel(channel), Some(json)) if channel.is_question() => channel.subject(json).map(str::to_owned),
            _ => None,
        };
        let index = self.requests.len();
        self.requests.push(Request {
            seq: seen.seq,
            from: seen.from,
            kind: seen.kind.clone(),
            token,
            reply_topic: topic.on_wire.to_string(),
            is_answered: false,
        });
        let asked = self.asked(topic);
        asked.last = Some(index);
        asked.open.push_back(index);
    }

    fn asked(&mut self, topic: ReplyTopic) -> &mut Asked {
        self.reply_topics.entry(topic.on_wire.clone()).or_insert_with(|| Asked {
            topic,
            of_module: false,
            by_module: false,
            last: None,
            open: VecDeque::new(),
        })
    }

    /// Where a message wants its reply.
    fn asks(&self, place: &Place, is_at_entry_point: bool, json: Option<&Value>) -> Option<ReplyTopic> {
        let channel = place.channel().map(|(_, channel)| channel);
        if !is_at_entry_point && !channel.is_some_and(Channel::is_request) {
            return None;
        }
        let given = reply_to(json)?.as_str()?;
        let on_wire = match channel {
            Some(channel) if channel.is_question() => self.modules[0].reply_topic_of_question(given),
            _ => self.modules[0].reply_topic_on_wire(given),
        };
        Some(ReplyTopic { given: given.into(), on_wire: on_wire.into() })
    }

    /// What the other party has asked for on this topic.
    fn answers(&self, topic: &str, from: Party) -> Option<Answered> {
        let find = |topic: &str| {
            self.reply_topics.get(topic).filter(|asked| match from {
                Party::Module => asked.of_module,
                Party::Harness => asked.by_module,
            })
        };
        let as_it_should_be = find(topic).map(|asked| (asked, true));
        let prefix = &self.modules[0].external_prefix;
        let found = as_it_should_be.or_else(|| find(&format!("{prefix}{topic}")).map(|asked| (asked, false)));
        found.map(|(asked, has_prefix)| Answered { topic: asked.topic.clone(), has_prefix })
    }

    /// Where a topic is given twice, replies come in the order of the requests; the monitors speak of that.
    fn reply(&self, topic: &str) -> Kind {
        let asked = self.reply_topics.get(topic);
        match asked.and_then(|asked| asked.open.front().copied().or(asked.last)) {
            Some(index) if matches!(self.requests[index].kind, Kind::EntryPoint(_)) => Kind::Answer(index),
            Some(index) => Kind::Reply(index),
            None => Kind::Other,
        }
    }
}

//! What each message of a recording is: something done to EVerest, something EVerest did, or neither.
//!
//! Knows topics and bindings; does not know the station's state.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Outcome;
use super::inside::{self, ACTIVE};
use super::station_file::{AtEvse, Binding, Meaning, StationFile};
use crate::auth::EvseCall;
use crate::protocol::channel::{ApiType, Channel, EntryPoint, Topics};
use crate::protocol::codec;
use crate::protocol::control;
use crate::protocol::deviations::Deviation;
use crate::protocol::release::Release;
use crate::protocol::types::WithdrawAuthorizationResult;
use crate::recording::{Message, Recording};
use crate::station::{Address, CommunicationFault};

/// Something done to EVerest.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stimulus<'a> {
    /// A client published to an API module.
    Received(ApiType, Channel),
    /// A client asked which modules there are.
    Queried(EntryPoint),
    /// A token validator was asked; its reply will pass on this topic.
    Asked(String),
    /// A token validator replied.
    ValidatorReply,
    /// An EVSE reported.
    Session(i32, &'a str),
    /// Something was done at an EVSE.
    Command(i32, AtEvse),
    /// Khumbu told the module on EVerest's side to do something.
    Told(Box<control::Command>),
}

/// What comes by one thread of EVerest comes in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Thread {
    /// Of an API module.
    Of(ApiType),
    /// That brings what an EVSE reports.
    Evse(i32),
}

impl Stimulus<'_> {
    /// The thread that brings it; tokens and what validators say have one each.
    pub(super) fn thread(&self) -> Option<Thread> {
        match self {
            Stimulus::Received(_, Channel::PROVIDED_TOKEN) | Stimulus::ValidatorReply | Stimulus::Asked(_) => None,
            Stimulus::Received(api, _) => Some(Thread::Of(*api)),
            Stimulus::Queried(_) => Some(Thread::Of(ApiType::AUTH_CONSUMER)),
            Stimulus::Session(evse, _) | Stimulus::Command(evse, _) => Some(Thread::Evse(*evse)),
            Stimulus::Told(_) => None,
        }
    }

    /// Whether an EVSE brings it to Auth, on EVerest's own bus.
    pub(super) fn is_of_evse(&self) -> bool {
        matches!(self, Stimulus::Session(..) | Stimulus::Command(..))
    }

    /// Whether it matters if it comes before or after something of another thread.
    pub(super) fn is_movable(&self) -> bool {
        match self {
            Stimulus::Received(_, channel) => *channel != Channel::COMMUNICATION_CHECK,
            Stimulus::ValidatorReply | Stimulus::Session(..) | Stimulus::Command(..) => true,
            Stimulus::Queried(_) | Stimulus::Asked(_) | Stimulus::Told(_) => false,
        }
    }
}

/// What a message shows of EVerest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It starts, or has just done so.
    Start,
    /// The same, and a module shows it that does so once.
    Initial,
    /// A heartbeat of `auth_consumer`.
    Heartbeat,
    /// It runs.
    Alive,
}

impl Sign {
    /// Whether it starts.
    pub(super) fn is_start(self) -> bool {
        matches!(self, Sign::Start | Sign::Initial)
    }
}

/// Tells what messages are.
pub(super) struct Roles<'a> {
    file: &'a StationFile,
    /// `auth_consumer` first.
    modules: Vec<Topics>,
    /// Topics of replies of EVerest.
    replies: BTreeSet<String>,
    /// When something passed on these.
    replied_ms: BTreeMap<String, Vec<i64>>,
    /// Topics of replies of the validator.
    validator_replies: BTreeSet<String>,
}

impl<'a> Roles<'a> {
    pub(super) fn new(recording: &Recording, file: &'a StationFile) -> Self {
        let modules = modules(file);
        let consumer = modules[0].clone();
        let is_cut = file.station.in_force().is_on(Deviation::NulCutsReplyTo);
        let mut roles = Self {
            file,
            modules,
            replies: BTreeSet::new(),
            replied_ms: BTreeMap::new(),
            validator_replies: BTreeSet::new(),
        };
        for message in &recording.messages {
            let Some(mut reply_to) = message.reply_to() else { continue };
            if let Some(nul) = reply_to.find('\0').filter(|_| is_cut) {
                reply_to.truncate(nul);
            }
            let on_wire = consumer.reply_topic_on_wire(&reply_to);
            match roles.channel(&message.topic) {
                Some((_, Channel::VALIDATE_TOKEN)) => roles.validator_replies.insert(on_wire),
                Some((_, channel)) if channel.is_from_everest() => false,
                Some(_) => roles.replies.insert(on_wire),
                None if roles.entry_point(&message.topic).is_some() => roles.replies.insert(on_wire),
                None => false,
            };
        }
        for message in recording.messages.iter().filter(|message| roles.replies.contains(&message.topic)) {
            roles.replied_ms.entry(message.topic.clone()).or_default().push(message.at_ms());
        }
        roles
    }

    /// When the first reply on a topic passed that is not before this time.
    pub(super) fn replied_ms(&self, topic: &str, from_ms: i64) -> Option<i64> {
        self.replied_ms.get(topic)?.iter().copied().find(|at_ms| *at_ms >= from_ms)
    }

    /// The topics of EVerest's replies to recorded requests.
    pub(super) fn replies(&self) -> &BTreeSet<String> {
        &self.replies
    }

    /// EVerest's external MQTT prefix.
    pub(super) fn external_prefix(&self) -> &str {
        &self.file.external_prefix
    }

    /// The topics of all heartbeats.
    pub(super) fn heartbeat_topics(&self) -> impl Iterator<Item = String> {
        self.modules.iter().map(|module| module.topic(Channel::HEARTBEAT))
    }

    /// The API that a topic belongs to.
    pub(super) fn api_of(&self, topic: &str) -> Option<ApiType> {
        if self.validator_replies.contains(topic) {
            return Some(ApiType::AUTH_TOKEN_VALIDATOR);
        }
        let is_of = |module: &&Topics| topic.strip_prefix(&module.base()).is_some_and(|rest| rest.starts_with('/'));
        self.modules.iter().find(is_of).map(|module| module.api)
    }

    /// Where token validators are asked.
    pub(super) fn question_topic(&self) -> String {
        self.topic(Address::ChannelOf(ApiType::AUTH_TOKEN_VALIDATOR, Channel::VALIDATE_TOKEN))
    }

    /// The topic on which a reply passes.
    pub(super) fn on_wire(&self, reply_to: &str) -> String {
        self.modules[0].reply_topic_on_wire(reply_to)
    }

    /// What a message shows of EVerest; `None` if it is not EVerest's.
    pub(super) fn sign(&self, message: &Message) -> Option<Sign> {
        let (_, payload) = self.outcome(message)?;
        if self.modules[0].channel(&message.topic) == Some(Channel::HEARTBEAT) {
            return Some(Sign::Heartbeat);
        }
        let initial = (CommunicationFault::Initial.sub_type(), ACTIVE);
        let is_initial = self.fault_shown(message).is_some()
            && (&payload["sub_type"], &payload["state"]) == (&json!(initial.0), &json!(initial.1));
        let is_beacon = self.is_beacon(&message.topic);
        Some(match (is_initial, is_beacon) {
            (true, _) => Sign::Initial,
            (false, true) => Sign::Start,
            (false, false) => Sign::Alive,
        })
    }

    /// Whether a message is a request such as EVerest of some release or build ends on.
    pub(super) fn has_ended_some_everest(&self, message: &Message) -> bool {
        let is_request = matches!(
            self.foreign_stimulus(message),
            Some(
                Stimulus::Received(
                    ApiType::AUTH_CONSUMER,
                    Channel::WITHDRAW_AUTHORIZATION | Channel::GET_TOKEN_VALIDATION_STATUS
                ) | Stimulus::Queried(_)
            )
        );
        let is_unusable = |topic: String| topic.is_empty() || topic.contains(['+', '#']);
        let deviations = self.file.station.in_force();
        is_request
            && (message.reply_to().is_some_and(is_unusable)
                || self.file.station.release <= Release::V2025_10
                    && codec::lacks_reply_address(&message.bytes, deviations))
    }

    /// What a message does to EVerest; a reply where it listens comes back to it.
    pub(super) fn stimulus<'m>(&self, message: &'m Message) -> Option<Stimulus<'m>> {
        let topic = message.topic.as_str();
        match self.channel(topic) {
            Some((_, Channel::VALIDATE_TOKEN)) => {
                let reply_to = message.reply_to()?;
                return Some(Stimulus::Asked(self.modules[0].reply_topic_on_wire(&reply_to)));
            }
            Some((_, channel)) if channel.is_from_everest() => return None,
            Some((api, channel)) => return Some(Stimulus::Received(api, channel)),
            None => {}
        }
        if self.validator_replies.contains(topic) || self.is_reply_to_everest(topic) {
            return Some(Stimulus::ValidatorReply);
        }
        if let Some(entry_point) = self.entry_point(topic) {
            return Some(Stimulus::Queried(entry_point));
        }
        if topic == self.modules[0].control_topic() {
            let command: control::Command = serde_json::from_value(message.json()?.clone()).ok()?;
            return (!command.is_for_client()).then(|| Stimulus::Told(Box::new(command)));
        }
        let (evse, meaning) = self.meaning(message)?;
        match meaning {
            Meaning::SessionEvent(event) => event.name_in(&message.payload).map(|name| Stimulus::Session(evse, name)),
            Meaning::Command(commands) => Some(Stimulus::Command(evse, *commands.get(message.payload.as_str()?)?)),
            Meaning::EvseCall(_) | Meaning::Effect(_) => None,
        }
    }

    /// What EVerest did according to a recording, in its order.
    pub(super) fn outcomes(&self, recording: &Recording) -> Vec<Outcome> {
        recording.messages.iter().filter_map(|message| self.outcome_of(message, message.at_ms())).collect()
    }

    /// What a message of EVerest is, at this time; `None` if it is no outcome.
    pub(super) fn outcome_of(&self, message: &Message, t_ms: i64) -> Option<Outcome> {
        let (topic, payload) = self.outcome(message)?;
        let line = (message.line > 0).then_some(message.line);
        Some(Outcome { lane: self.lane(&topic, &payload), line, t_ms, payload })
    }

    /// Whether outcomes of a lane can only be seen inside EVerest: faults, and calls to EVSEs.
    pub(super) fn is_inside(&self, lane: &str) -> bool {
        let is_call = |binding: &Binding| matches!(binding.is, Meaning::EvseCall(_)) && binding.evse_of(lane).is_some();
        self.is_fault(lane) || self.file.bindings.iter().any(is_call)
    }

    /// Whether a lane has the faults of an API module.
    pub(super) fn is_fault(&self, lane: &str) -> bool {
        self.modules.iter().any(|module| self.fault_lane(module) == lane)
    }

    /// One lane for the faults of a module, in whatever form they were recorded.
    fn fault_lane(&self, module: &Topics) -> String {
        inside::fault_topic(module, self.file.station.release)
    }

    /// The fault that a message shows, with its lane.
    fn fault_shown(&self, message: &Message) -> Option<(String, Value)> {
        let payload = message.json()?;
        self.modules.iter().find_map(|module| {
            let fault = inside::fault_in(module, &message.topic, payload)?;
            Some((self.fault_lane(module), fault))
        })
    }

    /// Where an outcome has its place: the topic; where several modules answer one request, also the module; and of a
    /// status or question also the token, each of which has a thread of its own in EVerest.
    pub(super) fn lane(&self, topic: &str, payload: &Value) -> String {
        let token = match self.channel(topic) {
            Some((_, Channel::TOKEN_VALIDATION_STATUS)) => payload.pointer("/token/id_token/value"),
            Some((_, Channel::VALIDATE_TOKEN)) => payload.pointer("/id_token/value"),
            _ => None,
        };
        match payload.pointer("/apis/0/module_id").or(token).and_then(Value::as_str) {
            Some(whose) => format!("{topic} of {whose}"),
            None => topic.to_owned(),
        }
    }

    /// What EVerest did, and on which topic.
    fn outcome<'m>(&self, message: &'m Message) -> Option<(Cow<'m, str>, Value)> {
        let topic = message.topic.as_str();
        let here = |payload| Some((Cow::Borrowed(topic), payload));
        match self.channel(topic) {
            Some((_, Channel::VALIDATE_TOKEN)) => return here(message.payload["payload"].clone()),
            Some((_, channel)) if !channel.is_from_everest() && !self.is_reply_where_it_listens(message) => {
                return None;
            }
            Some(_) => return here(content(message)),
            None => {}
        }
        if self.is_everests(topic) {
            // A client that asks on a topic of the wrong branch; EVerest asks nobody but validators.
            let is_astray =
                self.is_from_everest(topic) && !self.replies.contains(topic) && message.reply_to().is_some();
            return if is_astray { None } else { here(content(message)) };
        }
        if let Some((lane, fault)) = self.fault_shown(message) {
            return Some((Cow::Owned(lane), fault));
        }
        self.recorded_call(message).and_then(|(_, call)| here(call))
    }

    /// Whether a message is a reply on a topic where EVerest listens itself: a client named that topic. What it says
    /// tells it from a request, as EVerest's replies are known by their form.
    pub(super) fn is_reply_where_it_listens(&self, message: &Message) -> bool {
        let is_reply = |payload: &Value| {
            serde_json::from_value::<WithdrawAuthorizationResult>(payload.clone()).is_ok()
                || payload["apis"][0]["module_id"].is_string()
                || payload["status"].is_string() && payload["token"].is_object()
        };
        self.replies.contains(&message.topic)
            && self.channel(&message.topic).is_some_and(|(_, channel)| !channel.is_from_everest())
            && message.json().is_some_and(is_reply)
    }

    /// What Auth asked of an EVSE according to a message, as [`Roles::evse_call`] has it.
    pub(super) fn recorded_call(&self, message: &Message) -> Option<(i32, Value)> {
        let (evse, call, arguments) = inside::call_of(&self.file.bindings, &message.topic, &message.payload)?;
        Some((evse, json!({"call": call, "arguments": arguments})))
    }

    /// The topic on which the station publishes.
    pub(super) fn topic(&self, to: Address) -> String {
        let of = |api, channel| self.topics(api).map_or_else(String::new, |topics| topics.topic(channel));
        match to {
            Address::Channel(channel) => of(ApiType::AUTH_CONSUMER, channel),
            Address::ChannelOf(api, channel) => of(api, channel),
            Address::ReadyBeacon => EntryPoint::beacon_topic(&self.file.external_prefix),
            Address::Reply(reply_to) => self.modules[0].reply_topic_on_wire(&reply_to),
        }
    }

    /// A fault of an API module, as [`Roles::outcomes`] has it.
    pub(super) fn fault(&self, api: ApiType, fault: CommunicationFault, raised: bool) -> Option<(String, Value)> {
        Some((self.fault_lane(self.topics(api)?), inside::fault_content(fault, raised)))
    }

    /// A call to an EVSE, likewise; none where no binding says where calls are to be seen.
    pub(super) fn evse_call(&self, evse: i32, call: &EvseCall) -> Option<(String, Value)> {
        let binding = self.file.bindings.iter().find(|binding| matches!(binding.is, Meaning::EvseCall(_)))?;
        let (name, arguments) = inside::call_in_words(call);
        Some((binding.topic_of(evse), json!({"call": name, "arguments": arguments})))
    }

    /// Which fault of `auth_consumer` a message shows, and whether it was raised.
    pub(super) fn recorded_fault(&self, message: &Message) -> Option<(CommunicationFault, bool)> {
        let payload = inside::fault_in(&self.modules[0], &message.topic, message.json()?)?;
        let kinds = [CommunicationFault::Initial, CommunicationFault::ConnectionLost];
        let fault = kinds.into_iter().find(|fault| payload["sub_type"] == fault.sub_type())?;
        Some((fault, payload["state"] == ACTIVE))
    }

    fn topics(&self, api: ApiType) -> Option<&Topics> {
        self.modules.iter().find(|module| module.api == api)
    }

    pub(super) fn channel(&self, topic: &str) -> Option<(ApiType, Channel)> {
        self.modules.iter().find_map(|module| {
            let channel = module.channel(topic).or_else(|| module.former_channel(topic))?;
            Some((module.api, channel))
        })
    }

    /// Where khumbu tells somebody what to do.
    pub(super) fn control_topic(&self) -> String {
        self.modules[0].control_topic()
    }

    /// Whether EVerest says there that it is there.
    pub(super) fn is_beacon(&self, topic: &str) -> bool {
        topic == EntryPoint::beacon_topic(&self.file.external_prefix)
    }

    /// What an EVSE reports as done.
    pub(super) fn done_at(&self, message: &Message) -> Option<control::Command> {
        self.file.bindings.iter().find_map(|binding| binding.effect_in(&message.topic, &message.payload))
    }

    fn entry_point(&self, topic: &str) -> Option<EntryPoint> {
        EntryPoint::from_topic(&self.file.external_prefix, topic)
    }

    /// Whether a topic is one of those that EVerest makes up for replies to itself.
    fn is_reply_to_everest(&self, topic: &str) -> bool {
        let Some(validator) = self.topics(ApiType::AUTH_TOKEN_VALIDATOR) else { return false };
        topic.starts_with(&validator.reply_topic_on_wire(&validator.reply_topic_to_everest("")))
    }

    /// Whether only EVerest publishes below a topic: `everest_api/VERSION/TYPE/MODULE/e2m/…`, of whatever module.
    fn is_from_everest(&self, topic: &str) -> bool {
        let levels = topic.strip_prefix(&self.file.external_prefix).map(|bare| bare.split('/').collect::<Vec<_>>());
        levels.is_some_and(|levels| levels[0] == "everest_api" && levels.get(4) == Some(&"e2m"))
    }

    /// What somebody else than EVerest does to it by a message.
    pub(super) fn foreign_stimulus<'m>(&self, message: &'m Message) -> Option<Stimulus<'m>> {
        self.stimulus(message).filter(|_| !self.is_reply_where_it_listens(message))
    }

    /// Whether EVerest publishes on a topic of its API, or replies there.
    pub(super) fn is_everests(&self, topic: &str) -> bool {
        match self.channel(topic) {
            Some((_, channel)) => channel.is_from_everest(),
            None => self.is_beacon(topic) || self.replies.contains(topic) || self.is_from_everest(topic),
        }
    }

    pub(super) fn meaning(&self, message: &Message) -> Option<(i32, &'a Meaning)> {
        inside::meaning(&self.file.bindings, &message.topic, &message.payload)
    }
}

fn content(message: &Message) -> Value {
    match (message.json(), &message.hex) {
        (Some(payload), _) => payload.clone(),
        (None, Some(bytes)) => json!({"no text": bytes.as_ref()}),
        (None, None) => json!({"no JSON": message.payload}),
    }
}

/// The API modules of a station, `auth_consumer` first.
pub(super) fn modules(file: &StationFile) -> Vec<Topics> {
    let station = &file.station;
    let consumer = Topics {
        api: ApiType::AUTH_CONSUMER,
        external_prefix: file.external_prefix.clone(),
        api_version: file.api_version.clone(),
        module_id: station.auth_consumer.module_id.clone(),
    };
    let provider = station.auth_token_provider.as_ref().map(|own| (ApiType::AUTH_TOKEN_PROVIDER, &own.module_id));
    let validator = station.auth_token_validator.as_ref().map(|own| (ApiType::AUTH_TOKEN_VALIDATOR, &own.module_id));
    let other_apis: Vec<_> = provider.into_iter().chain(validator).map(|(api, id)| consumer.of(api, id)).collect();
    std::iter::once(consumer).chain(other_apis).collect()
}

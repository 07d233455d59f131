//! What each message of a recording is: something done to EVerest, something EVerest did, or neither.
//!
//! Knows topics and bindings; does not know the station's state.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Outcome;
use super::recording::{Message, Recording};
use super::station_file::{AtEvse, Meaning, StationFile};
use crate::auth::EvseCall;
use crate::protocol::channel::{ApiType, Channel, EntryPoint, Topics};
use crate::protocol::deviations::Deviation;
use crate::station::{Address, CommunicationFault};

/// Calls of Auth that an EVSE's log may name.
const CALLS: [&str; 3] = ["authorize_response", "withdraw_authorization", "stop_transaction"];

/// The state of a fault that was raised.
const ACTIVE: &str = "Active";

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
}

/// What a message shows of EVerest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It starts, or has just done so.
    Start,
    /// A heartbeat of `auth_consumer`.
    Heartbeat,
    /// It runs.
    Alive,
}

/// Tells what messages are.
pub(super) struct Roles<'a> {
    file: &'a StationFile,
    /// `auth_consumer` first.
    modules: Vec<Topics>,
    /// Topics of replies of EVerest.
    replies: BTreeSet<String>,
    /// Topics of replies of the validator.
    validator_replies: BTreeSet<String>,
}

impl<'a> Roles<'a> {
    pub(super) fn new(recording: &Recording, file: &'a StationFile) -> Self {
        let station = &file.station;
        let consumer = Topics {
            api: ApiType::AuthConsumer,
            external_prefix: file.external_prefix.clone(),
            api_version: file.api_version.clone(),
            module_id: station.auth_consumer.module_id.clone(),
        };
        let provider = station.auth_token_provider.as_ref().map(|own| (ApiType::AuthTokenProvider, &own.module_id));
        let validator = station.auth_token_validator.as_ref().map(|own| (ApiType::AuthTokenValidator, &own.module_id));
        let sisters = provider.into_iter().chain(validator).map(|(api, id)| consumer.of(api, id));
        let modules = std::iter::once(consumer.clone()).chain(sisters).collect();
        let is_cut = station.in_force().is_on(Deviation::NulCutsReplyTo);
        let mut roles = Self { file, modules, replies: BTreeSet::new(), validator_replies: BTreeSet::new() };
        for message in &recording.messages {
            let Some(mut reply_to) = message.reply_to() else { continue };
            if let Some(nul) = reply_to.find('\0').filter(|_| is_cut) {
                reply_to.truncate(nul);
            }
            let on_wire = consumer.reply_topic_on_wire(&reply_to);
            match roles.channel(&message.topic) {
                Some((_, Channel::ValidateToken)) => roles.validator_replies.insert(on_wire),
                Some((_, channel)) if channel.is_from_everest() => false,
                Some(_) => roles.replies.insert(on_wire),
                None if roles.entry_point(&message.topic).is_some() => roles.replies.insert(on_wire),
                None => false,
            };
        }
        roles
    }

    /// What a message shows of EVerest; `None` if it is not EVerest's.
    pub(super) fn sign(&self, message: &Message) -> Option<Sign> {
        let payload = self.outcome(message)?;
        if self.modules[0].channel(&message.topic) == Some(Channel::Heartbeat) {
            return Some(Sign::Heartbeat);
        }
        let initial = (CommunicationFault::Initial.sub_type(), ACTIVE);
        let is_fault = self.modules.iter().any(|module| fault_topic(module) == message.topic);
        let shows_start = is_fault
            && (&payload["sub_type"], &payload["state"]) == (&json!(initial.0), &json!(initial.1))
            || message.topic == EntryPoint::beacon_topic(&self.file.external_prefix);
        Some(if shows_start { Sign::Start } else { Sign::Alive })
    }

    /// What a message does to EVerest.
    pub(super) fn stimulus<'m>(&self, message: &'m Message) -> Option<Stimulus<'m>> {
        let topic = message.topic.as_str();
        match self.channel(topic) {
            Some((_, Channel::ValidateToken)) => {
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
        let (evse, meaning) = self.meaning(message)?;
        match meaning {
            Meaning::SessionEvent(event) => {
                let name = event.name.as_ref().map_or(&message.payload, |member| &message.payload[member.as_str()]);
                name.as_str().map(|name| Stimulus::Session(evse, name))
            }
            Meaning::Command(commands) => Some(Stimulus::Command(evse, *commands.get(message.payload.as_str()?)?)),
            Meaning::EvseCall(_) => None,
        }
    }

    /// What EVerest did according to a recording, in its order.
    pub(super) fn outcomes(&self, recording: &Recording) -> Vec<Outcome> {
        let outcome = |message: &Message| {
            let payload = self.outcome(message)?;
            Some(Outcome {
                lane: self.lane(&message.topic, &payload),
                line: Some(message.line),
                t_ms: message.at_ms(),
                payload,
            })
        };
        recording.messages.iter().filter_map(outcome).collect()
    }

    /// Where an outcome has its place: the topic, and where several modules answer one request, also the module.
    pub(super) fn lane(&self, topic: &str, payload: &Value) -> String {
        match payload["apis"][0]["module_id"].as_str() {
            Some(module) => format!("{topic} of {module}"),
            None => topic.to_owned(),
        }
    }

    fn outcome(&self, message: &Message) -> Option<Value> {
        let topic = message.topic.as_str();
        match self.channel(topic) {
            Some((_, Channel::ValidateToken)) => return Some(message.payload["payload"].clone()),
            Some((_, channel)) if !channel.is_from_everest() => return None,
            Some(_) => return Some(content(message)),
            None => {}
        }
        let beacon = EntryPoint::beacon_topic(&self.file.external_prefix);
        if topic == beacon || self.replies.contains(topic) || self.is_from_everest(topic) {
            return Some(content(message));
        }
        if self.modules.iter().any(|module| fault_topic(module) == topic) {
            let data = &message.payload["data"];
            let part = |name: &str| data[name].clone();
            return Some(json!({"type": part("type"), "sub_type": part("sub_type"), "state": part("state")}));
        }
        self.recorded_call(message).map(|(_, call)| call)
    }

    /// What Auth asked of an EVSE according to a message, as [`Roles::evse_call`] has it.
    pub(super) fn recorded_call(&self, message: &Message) -> Option<(i32, Value)> {
        let (evse, meaning) = self.meaning(message)?;
        let Meaning::EvseCall(call) = meaning else { return None };
        let what = message.payload[call.name.as_str()].as_str().filter(|name| CALLS.contains(name))?;
        let arguments = match &message.payload[call.arguments.as_str()] {
            Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
            arguments => arguments.clone(),
        };
        Some((evse, json!({"call": what, "arguments": arguments})))
    }

    /// The topic on which the station publishes.
    pub(super) fn topic(&self, to: Address) -> String {
        let of = |api, channel| self.topics(api).map_or_else(String::new, |topics| topics.topic(channel));
        match to {
            Address::Channel(channel) => of(ApiType::AuthConsumer, channel),
            Address::ChannelOf(api, channel) => of(api, channel),
            Address::ReadyBeacon => EntryPoint::beacon_topic(&self.file.external_prefix),
            Address::Reply(reply_to) => self.modules[0].reply_topic_on_wire(&reply_to),
        }
    }

    /// A fault of an API module, as [`Roles::outcomes`] has it.
    pub(super) fn fault(&self, api: ApiType, fault: CommunicationFault, raised: bool) -> Option<(String, Value)> {
        let state = if raised { ACTIVE } else { "ClearedByModule" };
        let value = json!({"type": CommunicationFault::TYPE, "sub_type": fault.sub_type(), "state": state});
        Some((fault_topic(self.topics(api)?), value))
    }

    /// A call to an EVSE, likewise; none where no binding says where calls are to be seen.
    pub(super) fn evse_call(&self, evse: i32, call: &EvseCall) -> Option<(String, Value)> {
        let binding = self.file.bindings.iter().find(|binding| matches!(binding.is, Meaning::EvseCall(_)))?;
        let value = match call {
            EvseCall::AuthorizeResponse(response) => {
                json!({"call": CALLS[0], "arguments": {"token": response.0, "result": response.1}})
            }
            EvseCall::WithdrawAuthorization => json!({"call": CALLS[1], "arguments": null}),
            EvseCall::StopTransaction { reason, id_tag: None } => {
                json!({"call": CALLS[2], "arguments": {"reason": reason.name()}})
            }
            EvseCall::StopTransaction { reason, id_tag } => {
                json!({"call": CALLS[2], "arguments": {"reason": reason.name(), "id_tag": id_tag}})
            }
        };
        Some((binding.topic_of(evse), value))
    }

    /// Which fault of `auth_consumer` a message shows, and whether it was raised.
    pub(super) fn recorded_fault(&self, message: &Message) -> Option<(CommunicationFault, bool)> {
        let payload = (fault_topic(&self.modules[0]) == message.topic).then(|| self.outcome(message))??;
        let kinds = [CommunicationFault::Initial, CommunicationFault::ConnectionLost];
        let fault = kinds.into_iter().find(|fault| payload["sub_type"] == fault.sub_type())?;
        Some((fault, payload["state"] == ACTIVE))
    }

    fn topics(&self, api: ApiType) -> Option<&Topics> {
        self.modules.iter().find(|module| module.api == api)
    }

    fn channel(&self, topic: &str) -> Option<(ApiType, Channel)> {
        self.modules.iter().find_map(|module| {
            let channel = module.channel(topic).or_else(|| module.former_channel(topic))?;
            Some((module.api, channel))
        })
    }

    fn entry_point(&self, topic: &str) -> Option<EntryPoint> {
        EntryPoint::from_topic(&self.file.external_prefix, topic)
    }

    /// Whether a topic is one of those that EVerest makes up for replies to itself.
    fn is_reply_to_everest(&self, topic: &str) -> bool {
        let Some(validator) = self.topics(ApiType::AuthTokenValidator) else { return false };
        topic.starts_with(&validator.reply_topic_on_wire(&validator.reply_topic_to_everest("")))
    }

    /// Whether only EVerest publishes below a topic: `everest_api/VERSION/TYPE/MODULE/e2m/…`, of whatever module.
    fn is_from_everest(&self, topic: &str) -> bool {
        let levels = topic.strip_prefix(&self.file.external_prefix).map(|bare| bare.split('/').collect::<Vec<_>>());
        levels.is_some_and(|levels| levels[0] == "everest_api" && levels.get(4) == Some(&"e2m"))
    }

    fn meaning(&self, message: &Message) -> Option<(i32, &Meaning)> {
        self.file.bindings.iter().find_map(|binding| {
            let evse = binding.evse_of(&message.topic)?;
            let fits = binding.when.iter().all(|(member, value)| message.payload[member.as_str()] == *value);
            fits.then_some((evse, &binding.is))
        })
    }
}

fn content(message: &Message) -> Value {
    if message.raw { json!({"no JSON": message.payload}) } else { message.payload.clone() }
}

/// EVerest's internal bus shows the faults of a module here.
fn fault_topic(module: &Topics) -> String {
    format!("everest/modules/{}/impl/main/error/generic/CommunicationFault", module.module_id)
}

//! What somebody who watches sees of a conversation: who sends to whom, on which channel, and what answers what.
//!
//! Each watcher has one of these, so that numbers and answers are those of what this one sees. It reads addresses, and of
//! payloads only where replies are wanted; it judges nothing. Pure.

use std::collections::VecDeque;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::log::Direction;
use super::owners::Owners;
use crate::ocpp::Part;
use crate::protocol::api::Pattern;
use crate::protocol::channel::{ApiType, EntryPoint, Topics};
use crate::protocol::schema::Message;

/// So many requests are remembered that may still be answered.
const REMEMBERED: usize = 256;

/// A party of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// A client of `auth_consumer`, of another API, or of EVerest's entry point.
    Client,
    /// EVerest, with the charge point in it.
    Everest,
    /// A client of `auth_token_provider`.
    TokenProvider,
    /// A client of `auth_token_validator`.
    TokenValidator,
    /// The charger's back office.
    Csms,
    /// This gateway, for whoever sends it commands.
    Gateway,
}

/// How a message passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// Something is told, whenever it changes.
    Variable,
    /// Something is to be done; nobody replies.
    Command,
    /// It is replied to.
    Request,
    /// It answers a request.
    Reply,
    /// An error is raised or cleared.
    Error,
    /// EVerest lives.
    Heartbeat,
    /// A client lives.
    CommunicationCheck,
    /// A call of OCPP.
    OcppCall,
    /// The answer to one.
    OcppAnswer,
    /// What happened to a connection with a CSMS, or what nobody answers.
    OcppNotice,
}

/// A message in the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its number, from 1, of those that the watcher sees.
    pub number: u64,
    /// Who sends it, as far as its address says so.
    pub from: Option<Party>,
    /// To whom.
    pub to: Option<Party>,
    /// How it passes; `None` if it belongs to no API.
    pub manner: Option<Manner>,
    /// What it is, if it has a schema.
    pub message: Option<Message>,
    /// The number of the request that it answers.
    pub answers: Option<u64>,
}

/// A conversation so far.
#[derive(Debug, Default)]
pub struct Conversation {
    next: u64,
    /// The latest last: where the reply is wanted.
    asked: VecDeque<(String, u64, Message)>,
    /// The latest last: charger, who called, message id.
    called: VecDeque<(String, Direction, String, u64)>,
}

impl Conversation {
    /// Takes in a message over MQTT.
    pub fn published(&mut self, owners: &Owners, topic: &str, payload: &[u8]) -> Placed {
        self.next += 1;
        let number = self.next;
        if let Some((_, request, of)) = self.asked.iter().rev().find(|(reply_to, ..)| reply_to == topic) {
            let channel = of.channel();
            let (from, to) = ends(channel.api(), !channel.is_from_everest());
            let message = Message::reply_to(channel);
            return Placed { number, from, to, manner: Some(Manner::Reply), message, answers: Some(*request) };
        }
        let Some((topics, message)) = message_on(owners, topic) else {
            let (from, to) = match owners.is_control(topic) {
                true => (Some(Party::Gateway), Some(Party::Everest)),
                false => (None, None),
            };
            return Placed { number, from, to, manner: None, message: None, answers: None };
        };
        let channel = message.channel();
        if channel.is_request()
            && let Some(reply_to) = reply_topic(topics, channel.is_question(), payload)
        {
            remember(&mut self.asked, (reply_to, number, message));
        }
        // Heartbeat and communication check are of no API, and belong to that of the module.
        let api = if topic.starts_with(&topics.base()) { topics.api } else { channel.api() };
        let (from, to) = ends(api, channel.is_from_everest());
        let manner = Some(manner(channel.description().pattern));
        Placed { number, from, to, manner, message: Some(message), answers: None }
    }

    /// Takes in an entry of a charger's log.
    pub fn said(&mut self, charger: &str, direction: Direction, part: &Part) -> Placed {
        self.next += 1;
        let number = self.next;
        let (from, to) = match direction {
            Direction::Outgoing => (Party::Everest, Party::Csms),
            Direction::Incoming => (Party::Csms, Party::Everest),
            Direction::Command => (Party::Gateway, Party::Everest),
        };
        let manner = match (direction, part) {
            (Direction::Command, _) => Manner::Command,
            (_, Part::Call(_)) => Manner::OcppCall,
            (_, Part::Answer(_)) => Manner::OcppAnswer,
            (_, Part::Notice) => Manner::OcppNotice,
        };
        let mut answers = None;
        match part {
            Part::Call(id) => remember(&mut self.called, (charger.to_owned(), direction, id.clone(), number)),
            Part::Answer(id) => {
                let is_it = |(owner, caller, called, _): &&(String, Direction, String, u64)| {
                    owner == charger && *caller != direction && called == id
                };
                answers = self.called.iter().rev().find(is_it).map(|(.., call)| *call);
            }
            Part::Notice => {}
        }
        Placed { number, from: Some(from), to: Some(to), manner: Some(manner), message: None, answers }
    }
}

fn remember<T>(kept: &mut VecDeque<T>, more: T) {
    if kept.len() >= REMEMBERED {
        kept.pop_front();
    }
    kept.push_back(more);
}

/// What passes on a topic, and the topics of a module that it belongs to.
fn message_on<'a>(owners: &'a Owners, topic: &str) -> Option<(&'a Topics, Message)> {
    if let Some(topics) = owners.module(topic) {
        let channel = topics.channel(topic).or_else(|| topics.former_channel(topic))?;
        return Some((topics, Message::On(channel)));
    }
    let topics = owners.any_module()?;
    let prefix = topics.external_prefix.as_str();
    if topic == EntryPoint::beacon_topic(prefix) {
        return Some((topics, Message::READY_BEACON));
    }
    EntryPoint::from_topic(prefix, topic).map(|_| (topics, Message::DISCOVER_REQUEST))
}

/// Where the reply to a request will pass.
fn reply_topic(topics: &Topics, is_question: bool, payload: &[u8]) -> Option<String> {
    let request: Value = serde_json::from_slice(payload).ok()?;
    let reply_to = request.pointer("/headers/replyTo")?.as_str()?;
    Some(match is_question {
        true => topics.reply_topic_of_question(reply_to),
        false => topics.reply_topic_on_wire(reply_to),
    })
}

/// Sender and receiver.
fn ends(api: ApiType, is_from_everest: bool) -> (Option<Party>, Option<Party>) {
    let other = match api {
        ApiType::AUTH_TOKEN_PROVIDER => Party::TokenProvider,
        ApiType::AUTH_TOKEN_VALIDATOR => Party::TokenValidator,
        _ => Party::Client,
    };
    if is_from_everest { (Some(Party::Everest), Some(other)) } else { (Some(other), Some(Party::Everest)) }
}

fn manner(pattern: Pattern) -> Manner {
    match pattern {
        Pattern::Variable => Manner::Variable,
        Pattern::Command => Manner::Command,
        Pattern::Request | Pattern::LatchedGet => Manner::Request,
        Pattern::Error => Manner::Error,
        Pattern::Heartbeat => Manner::Heartbeat,
        Pattern::CommunicationCheck => Manner::CommunicationCheck,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::gateway::chargers::ChargerConfig;

    fn owners() -> Owners {
        let topics = Topics {
            api: ApiType::AUTH_CONSUMER,
            external_prefix: "x/".to_owned(),
            api_version: "1".to_owned(),
            module_id: "dep-1".to_owned(),
        };
        let mut config = ChargerConfig::default();
        config.station.auth_token_validator = Some(Default::default());
        let mut owners = Owners::default();
        owners.add("dep-1", &config, &topics, "everest-dep-1");
        owners
    }

    #[test]
    fn a_reply_is_of_its_request_and_goes_back() {
        let (owners, mut seen) = (owners(), Conversation::default());
        let request = br#"{"headers": {"replyTo": "r/1"}, "payload": {}}"#;
        let asked = seen.published(&owners, "x/everest_api/1/auth_consumer/dep-1/m2e/withdraw_authorization", request);
        assert_eq!((asked.from, asked.to), (Some(Party::Client), Some(Party::Everest)));
        assert_eq!((asked.manner, asked.answers), (Some(Manner::Request), None));
        // EVerest puts its prefix before it; without that it is a stranger's.
        assert_eq!(seen.published(&owners, "r/1", b"\"Accepted\"").manner, None);
        let reply = seen.published(&owners, "x/r/1", b"\"Accepted\"");
        assert_eq!((reply.from, reply.to), (Some(Party::Everest), Some(Party::Client)));
        assert_eq!((reply.manner, reply.answers), (Some(Manner::Reply), Some(asked.number)));
        assert_eq!(reply.message, Message::reply_to(asked.message.unwrap().channel()));
        let again = seen.published(&owners, "x/everest_api/discover", request);
        assert_eq!(seen.published(&owners, "x/r/1", b"{}").answers, Some(again.number), "the latest request counts");
    }

    #[test]
    fn a_question_of_everest_is_replied_to_by_who_was_asked() {
        let (owners, mut seen) = (owners(), Conversation::default());
        let module = owners.modules().find(|topics| topics.api == ApiType::AUTH_TOKEN_VALIDATOR).unwrap();
        let question = ApiType::AUTH_TOKEN_VALIDATOR.channels().find(|channel| channel.is_question()).unwrap();
        let asked = seen.published(&owners, &module.topic(question), br#"{"headers": {"replyTo": "q/7"}}"#);
        assert_eq!((asked.from, asked.to), (Some(Party::Everest), Some(Party::TokenValidator)));
        let reply = seen.published(&owners, "x/q/7", b"{}");
        assert_eq!((reply.from, reply.answers), (Some(Party::TokenValidator), Some(asked.number)));
    }

    #[test]
    fn heartbeats_are_of_their_module_and_foreign_topics_of_nobody() {
        let (owners, mut seen) = (owners(), Conversation::default());
        let heartbeat =
            seen.published(&owners, "x/everest_api/1/auth_token_validator/token_validator_api/e2m/heartbeat", b"1");
        assert_eq!((heartbeat.to, heartbeat.manner), (Some(Party::TokenValidator), Some(Manner::Heartbeat)));
        let foreign = seen.published(&owners, "some/topic", b"");
        assert_eq!((foreign.from, foreign.to, foreign.manner, foreign.number), (None, None, None, 2));
    }

    #[test]
    fn an_answer_is_of_the_call_with_its_id_by_the_other_side() {
        let mut seen = Conversation::default();
        let call = |id: &str| Part::Call(id.to_owned());
        let answer = Part::Answer("1".to_owned());
        let ours = seen.said("dep-1", Direction::Outgoing, &call("1")).number;
        let theirs = seen.said("dep-1", Direction::Incoming, &call("1")).number;
        seen.said("dep-2", Direction::Outgoing, &call("1"));
        assert_eq!(seen.said("dep-1", Direction::Incoming, &answer).answers, Some(ours));
        assert_eq!(seen.said("dep-1", Direction::Outgoing, &answer).answers, Some(theirs));
        assert_eq!(seen.said("dep-3", Direction::Incoming, &answer).answers, None);
        for id in 0..REMEMBERED {
            seen.said("dep-1", Direction::Outgoing, &call(&format!("more-{id}")));
        }
        assert_eq!(seen.said("dep-1", Direction::Incoming, &answer).answers, None, "not more is remembered");
    }
}

//! What passed between the module under test and khumbu, message by message: who sent it, what it is, what it says, what
//! it replies to. Monitors and expectations read sightings; neither decodes payloads or reads topics.
//!
//! [`Classifier`] makes them of records. It says what is there and judges nothing. Where monitors and expectations look at
//! one message in two ways, a sighting has both: [`Place`] is where a topic lies, [`Kind`] what a message is in the
//! conversation, of which probes, former channels and replies without the external prefix are no part.

mod classifier;
mod place;
mod redelivery;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;

use crate::protocol::channel::{ApiType, Channel, EntryPoint};
use crate::protocol::control::Deed;
use crate::protocol::wire::Form;
use crate::transcript::record::Publish;

pub use classifier::Classifier;
pub use place::{Aside, Place};
pub use redelivery::Repeat;

/// A party of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The module under test, with all its connections.
    Module,
    /// Khumbu.
    Harness,
}

/// What a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// On a channel of the API.
    Channel(Channel),
    /// A discovery.
    EntryPoint(EntryPoint),
    /// The beacon of EVerest's entry point.
    Beacon,
    /// On the reply topic of a discovery, by its index: one of as many as there are API modules.
    Answer(usize),
    /// On the reply topic of any other request, by its index.
    Reply(usize),
    /// A command of khumbu to the module, or what has to do with its being ready.
    Control,
    /// What EVerest did inside, as [`crate::protocol::control`] has it, also where a binding says where it is shown.
    Did(Deed),
    /// Anything else.
    Other,
}

impl Kind {
    /// Its name in scenarios and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Channel(channel) => channel.name(),
            Kind::EntryPoint(EntryPoint::Discover) => "discover",
            Kind::EntryPoint(EntryPoint::QueryModules(_)) => "query_modules",
            Kind::Beacon => "ready_beacon",
            Kind::Answer(_) | Kind::Reply(_) => "reply",
            Kind::Did(Deed::EvseCall) => "call to an EVSE",
            Kind::Did(deed) => deed.name(),
            Kind::Control | Kind::Other => "message",
        }
    }

    /// Whether EVerest asks a client with such a message.
    pub fn is_question(&self) -> bool {
        matches!(self, Kind::Channel(channel) if channel.is_question())
    }

    /// Whether such messages tell of several things, each of which has a lane of its own.
    pub fn has_lanes(&self) -> bool {
        matches!(self, Kind::Channel(channel) if channel.has_lanes())
    }

    /// Whether such a message asks for a reply.
    pub fn is_request(&self) -> bool {
        match self {
            Kind::Channel(channel) => channel.is_request(),
            kind => matches!(kind, Kind::EntryPoint(_)),
        }
    }
}

/// How a message came to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It was published.
    Sent,
    /// The broker handed it to the module.
    Delivered,
    /// The module left it with the broker, to be published when the connection is lost.
    Will,
}

/// Where a request wants its reply.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplyTopic {
    /// As the request says.
    pub given: Arc<str>,
    /// As it is on the wire, where EVerest's external prefix stands before it.
    pub on_wire: Arc<str>,
}

/// That a message passed where requests want their replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What the requests said.
    pub topic: ReplyTopic,
    /// Whether the message has EVerest's external prefix before its topic, as it should; who has not may mean well.
    pub has_prefix: bool,
}

/// A message as the record shows it.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The place of its record.
    pub seq: u64,
    /// The time of its record.
    pub at: Duration,
    /// The client whose connection it passed.
    pub client: Arc<str>,
    /// Who sent it. What the module is handed was sent by khumbu, as far as one can tell.
    pub from: Party,
    /// How it came to be seen.
    pub way: Way,
    /// The packet.
    pub publish: Publish,
    /// Where its topic lies.
    pub place: Place,
    /// What it is in the conversation.
    pub kind: Kind,
    /// The API of its channel; the one under test for everything else.
    pub api: ApiType,
    /// What it says, where that is JSON: khumbu's own without the fields that only its wire form has added, and of what
    /// was done inside EVerest what is told of it. See [`Sighting::as_sent`].
    pub json: Option<Value>,
    /// The payload where `json` is something else.
    original: Option<Value>,
    /// Why the payload is no JSON.
    fault: Option<String>,
    /// See [`Sighting::form`], which is asked again and again.
    form: OnceLock<Option<Form>>,
    /// Whether it was sent before.
    pub repeat: Repeat,
    /// Where it wants its reply, if it is a request that says so; a probe of the harness as well.
    pub asks: Option<ReplyTopic>,
    /// Whether it passed where the other party wants replies, be the party known to have asked or not.
    pub answers: Option<Answered>,
}

impl Sighting {
    /// The form in which it is written, as [`Form::recognised`].
    pub fn form(&self) -> Option<Form> {
        *self.form.get_or_init(|| Form::recognised(&self.publish.payload))
    }

    /// The payload as it was sent, or why it is no JSON.
    pub fn as_sent(&self) -> Result<&Value, &str> {
        let fault = self.fault.as_deref().unwrap_or_default();
        self.original.as_ref().or(self.json.as_ref()).ok_or(fault)
    }

    /// Whether it is what a library has sent again, of which the module knows nothing.
    pub fn is_again(&self) -> bool {
        match self.repeat {
            Repeat::No => false,
            // No request is made twice with one payload: it names where its reply is to go.
            Repeat::Maybe => self.kind.is_request() && reply_to(self.json.as_ref()).is_some(),
            Repeat::Yes => true,
        }
    }

    /// Whether EVerest may find a reply topic where we find none: it skips a byte order mark, and reads what is nested
    /// deeper than we do.
    pub fn hides_reply_to(&self) -> bool {
        self.as_sent().is_err() && self.publish.payload.windows(7).any(|bytes| bytes == b"replyTo")
    }

    /// What it tells of, if that has a lane of its own: the token of a status.
    pub fn told_of(&self) -> Option<&str> {
        match &self.kind {
            Kind::Channel(channel) if channel.has_lanes() => channel.subject(self.json.as_ref()?),
            _ => None,
        }
    }

    /// Whether its topic is that of a channel of a module that has this API, but of none that there is.
    pub fn names_another_module(&self, api: ApiType, channel: Channel) -> bool {
        self.place == Place::Elsewhere && self.names_a_module(api, channel)
    }

    /// The same, also where it is a module that there is, and its version another one.
    pub fn names_what_there_is_not(&self, api: ApiType, channel: Channel) -> bool {
        self.kind == Kind::Other && self.names_a_module(api, channel)
    }

    fn names_a_module(&self, api: ApiType, channel: Channel) -> bool {
        let base = self.publish.topic.strip_suffix(channel.address()).and_then(|rest| rest.strip_suffix('/'));
        let mut levels = base.unwrap_or_default().rsplit('/').skip(1);
        let has_api = levels.next() == Some(api.name());
        has_api && levels.nth(1).is_some_and(|level| level.ends_with("everest_api"))
    }

    /// Whether it is on a channel, also of a module that nobody knows. Where it is on another one, the description of the
    /// channel's API is not read for it.
    pub fn is_on(&self, channel: Channel) -> bool {
        match self.place {
            Place::Channel { channel: at, .. } => at == channel,
            Place::Misspelt { .. } | Place::Elsewhere => self.ends_like(channel),
            _ => false,
        }
    }

    /// Whether its topic ends like that of a channel, whatever module it names.
    pub fn ends_like(&self, channel: Channel) -> bool {
        self.publish.topic.strip_suffix(channel.address()).is_some_and(|rest| rest.ends_with('/'))
    }
}

/// `headers.replyTo` of a request.
fn reply_to(json: Option<&Value>) -> Option<&Value> {
    json?.pointer("/headers/replyTo")
}

/// A request for which a reply can come.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its place in the record.
    pub seq: u64,
    /// Who made it.
    pub from: Party,
    /// What it is.
    pub kind: Kind,
    /// The value of the token that EVerest asks a validator about.
    pub token: Option<String>,
    /// Where the reply will pass.
    pub reply_topic: String,
    /// Whether a reply has come.
    pub is_answered: bool,
}

//! What passed between the module under test and khumbu, message by message: who sent it, what it is, what it says.
//!
//! Monitors and expectations read sightings; neither knows topics or bytes.

use std::time::Duration;

use serde_json::Value;

use crate::protocol::channel::{ApiType, Channel, EntryPoint};
use crate::protocol::control::Deed;
use crate::transcript::record::Publish;

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

    /// Whether such a message asks for a reply.
    pub fn is_request(&self) -> bool {
        match self {
            Kind::Channel(channel) => channel.is_request(),
            kind => matches!(kind, Kind::EntryPoint(_)),
        }
    }
}

/// A message that a client published, as the record shows it.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// Its place in the record.
    pub seq: u64,
    /// Who published it.
    pub from: Party,
    /// What it is.
    pub kind: Kind,
    /// The API of its channel; the one under test for everything else.
    pub api: ApiType,
    /// The packet.
    pub publish: Publish,
    /// The payload, where it is JSON; khumbu's own without the fields that only its wire form has added.
    pub json: Option<Value>,
    /// When it was published.
    pub at: Duration,
    /// Whether the broker has handed it to the module.
    pub is_delivered: bool,
    /// Whether, besides, the module has acknowledged it, if its QoS asks for that.
    pub is_shown: bool,
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

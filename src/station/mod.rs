//! The charging station around the auth manager: EVSEs and their sessions, what validators say, and the API module
//! `auth_consumer_API` with its heartbeat, communication check, latch and its requests, one after the other.
//!
//! Pure: no clock, no I/O, no randomness. Time is an argument, counted from any start; topics are made outside. Main
//! type: [`Station`]. A driver feeds it every [`Input`] in order and sends [`Input::Deadline`] when
//! [`Station::next_deadline`] has come.
//!
//! Behaviour follows EVerest as it runs (`modules/API/EVerestAPI/auth_consumer_API`, `ApiHelper.cpp`,
//! `CommCheckHandler.hpp`). What differs from the specification has one named place: `empty_latch` here, the
//! leniencies in [`crate::protocol::codec`], the defects in [`crate::auth`].
//!
//! A transaction begins only when it is commanded, unlike with EVerest's EvseManager, where a plugged-in EV and an
//! authorization suffice: so the state between the two can be held and tested.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use crate::auth::{EvseCall, SessionEvent};
use crate::protocol::channel::Channel;
use crate::protocol::control::{Command, Validation};
use crate::protocol::types::{TokenValidationStatusMessage, ValidationResult, WithdrawAuthorizationResult};

pub mod config;

mod api;
mod communication;
mod evse;
mod heartbeat;
mod machine;
mod status;
mod validators;

pub use machine::Station;
pub use status::{EvseStatus, StationStatus};

/// What happens to a station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// EVerest's modules are ready: heartbeats and the communication check begin, requests are taken.
    Ready,
    /// The time of [`Station::next_deadline`] has come.
    Deadline,
    /// A client published on one of the channels that EVerest subscribes to.
    Received {
        /// Where.
        channel: Channel,
        /// The bytes as they came.
        payload: Bytes,
    },
    /// Somebody acts at the station, or its harness on it.
    Command(Command),
    /// From now on validators say this of tokens with this value, whatever a presentation carries; a question about it
    /// that is still open gets this answer instead, after the time given here.
    SetVerdict {
        /// The value of the token, compared byte by byte.
        value: String,
        /// What they say.
        validation: Validation,
    },
    /// A validator changes its mind about the token in use at an EVSE (`validate_result_update`).
    ResultUpdate {
        /// The EVSE.
        evse: i32,
        /// What it says now.
        result: ValidationResult,
    },
}

/// What a station does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It publishes, never retained.
    Publish {
        /// Where.
        to: Address,
        /// What; [`crate::protocol::codec::encode`] makes the text.
        payload: Payload,
    },
    /// The API module raises or clears its communication fault, which no topic of the API shows.
    Fault {
        /// Which.
        fault: CommunicationFault,
        /// Raised, or cleared.
        raised: bool,
    },
    /// Auth tells an EVSE something.
    EvseCall {
        /// The EVSE.
        evse: i32,
        /// What.
        call: EvseCall,
    },
    /// An EVSE reports.
    SessionEvent {
        /// The EVSE.
        evse: i32,
        /// What.
        event: SessionEvent,
    },
    /// Something came to nothing: an input without effect, or a reply without a place to go.
    Ignored {
        /// Why, in words.
        why: Cow<'static, str>,
    },
}

/// Where a station publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A channel of its own.
    Channel(Channel),
    /// The topic that a request named, as it stands there.
    Reply(String),
}

/// What a station publishes; serialises to exactly what is on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Payload {
    /// A status, or the latched one.
    Status(Arc<TokenValidationStatusMessage>),
    /// The number of a heartbeat.
    Heartbeat(u64),
    /// The reply to a withdraw request.
    WithdrawResult(WithdrawAuthorizationResult),
    /// The reply to a get before the first status; `None` is `null`.
    EmptyLatch(Option<bool>),
}

/// A `generic/CommunicationFault` of the API module, by its sub type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommunicationFault {
    /// No communication check came yet.
    Initial,
    /// None came in time.
    ConnectionLost,
}

impl CommunicationFault {
    /// The type of the error.
    pub const TYPE: &'static str = "generic/CommunicationFault";

    /// The sub type of the error.
    pub fn sub_type(self) -> &'static str {
        match self {
            CommunicationFault::Initial => "Initial communication check",
            CommunicationFault::ConnectionLost => "Bridge to implementation connection lost",
        }
    }
}

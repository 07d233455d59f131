//! The charging station around the auth manager: EVSEs and their sessions, what validators say, and the API modules
//! `auth_consumer_API`, `auth_token_provider_API` and `auth_token_validator_API` with heartbeats, communication checks,
//! latch, discovery, and requests one after the other.
//!
//! Pure: no clock, no I/O, no randomness. Time is an argument, counted from any start; topics are made outside. Main
//! type: [`Station`]. A driver feeds it every [`Input`] in order and sends [`Input::Deadline`] when
//! [`Station::next_deadline`] has come.
//!
//! Behaviour follows EVerest as it runs (`modules/API/EVerestAPI`, `ApiHelper.cpp`, `CommCheckHandler.hpp`). What
//! differs from the specification, and from release to release, is an entry of [`crate::protocol::deviations`].
//!
//! A transaction begins only when it is commanded, unlike with EVerest's EvseManager, where a plugged-in EV and an
//! authorization suffice: so the state between the two can be held and tested. With `evse_manager: external` somebody
//! else moves the EVSEs, and reports with [`Input::Session`].

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use self::charge_point::{CsmsInput, Report};
use crate::auth::{EvseCall, SessionEvent};
use crate::protocol::channel::{ApiType, Channel, EntryPoint};
use crate::protocol::control::{Command, Validation};
use crate::protocol::types::{
    ProvidedIdToken, ReservationResult, ReservationStatus, TokenValidationStatusMessage, ValidationResult,
    WithdrawAuthorizationResult,
};

pub mod charge_point;
pub mod config;
pub mod configuration;
pub mod told;

mod api;
mod communication;
mod evse;
mod evse_events;
mod heartbeat;
mod inquiry;
mod machine;
mod messages;
mod module;
mod replies;
mod reservation;
mod status;
mod validators;

pub use machine::Station;
pub use module::{ApiParameter, CommunicationMonitoring, Discovery};
pub use status::{EvseStatus, StationStatus};

/// What happens to a station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// EVerest's modules are ready: heartbeats and the communication check begin, requests are taken.
    Ready,
    /// The time of [`Station::next_deadline`] has come.
    Deadline,
    /// A client published on one of the channels of `auth_consumer` that EVerest subscribes to.
    Received {
        /// Where.
        channel: Channel,
        /// The bytes as they came.
        payload: Bytes,
    },
    /// The same at any API module.
    ReceivedAt {
        /// Whose channel.
        api: ApiType,
        /// Where.
        channel: Channel,
        /// The bytes as they came.
        payload: Bytes,
    },
    /// A client asks which API modules there are.
    Queried {
        /// Which it means.
        entry_point: EntryPoint,
        /// The bytes as they came.
        payload: Bytes,
    },
    /// A message on the reply topic of [`Effect::Ask`].
    ValidatorReply {
        /// Of which request.
        request: RequestId,
        /// The bytes as they came.
        payload: Bytes,
    },
    /// One of the above, which a client had left at the broker as a retained message. It may come before
    /// [`Input::Ready`], and reaches EVerest when that subscribes.
    Retained(Box<Input>),
    /// An EVSE that is moved by somebody else reports; see [`Station::session_event`].
    Session {
        /// The EVSE.
        evse: i32,
        /// What.
        event: SessionEvent,
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
    /// The thread of `auth_consumer` is done with the withdraw request that was answered last; only for a station that
    /// [`Station::follow`]s somebody.
    RequestDone,
    /// The CSMS of the charge point says something, or is noticed to be there or not.
    Csms(CsmsInput),
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
    /// A token validator is asked: the channel [`Channel::VALIDATE_TOKEN`] gets a request whose `headers.replyTo` is a
    /// topic of its own, subscribed before.
    Ask {
        /// Comes back with the reply.
        request: RequestId,
        /// About what.
        token: Box<ProvidedIdToken>,
    },
    /// Nobody waits for the reply to a request any more: its topic is unsubscribed.
    Asked {
        /// Which.
        request: RequestId,
    },
    /// EVerest ends; it does nothing from now on.
    Exit {
        /// Why, in words.
        why: &'static str,
    },
    /// An API module raises or clears its communication fault, which no topic of the API shows.
    Fault {
        /// Of which module.
        api: ApiType,
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
    /// Auth answers a wish to reserve.
    ReservationResult {
        /// Which.
        reservation_id: i32,
        /// How.
        result: ReservationResult,
    },
    /// Auth answers whether it has cancelled a reservation.
    ReservationCancelled {
        /// Which.
        reservation_id: i32,
        /// Whether there was one.
        is_cancelled: bool,
    },
    /// Auth tells of a reservation.
    ReservationUpdate {
        /// Which; -1 stands for the global ones.
        reservation_id: i32,
        /// What.
        status: ReservationStatus,
    },
    /// An EVSE reports.
    SessionEvent {
        /// The EVSE.
        evse: i32,
        /// What.
        event: SessionEvent,
    },
    /// The charge point tells its CSMS something.
    Csms(Report),
    /// The simulated CSMS inside has answered; the charge point knows already.
    CsmsInside(CsmsInput),
    /// Something came to nothing: an input without effect, or a reply without a place to go.
    Ignored {
        /// Why, in words.
        why: Cow<'static, str>,
    },
}

/// Names a request to a token validator; counts up, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct RequestId(pub u64);

/// Where a station publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A channel of `auth_consumer`.
    Channel(Channel),
    /// A channel of another API module.
    ChannelOf(ApiType, Channel),
    /// `ready_beacon` of the entry point.
    ReadyBeacon,
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
    /// `{}`: a beacon, or a heartbeat of early releases.
    Empty {},
    /// What an API module says of itself.
    Discovery(Box<Discovery>),
    /// The reply to a withdraw request.
    WithdrawResult(WithdrawAuthorizationResult),
    /// The reply to a get before the first status; `None` is `null`.
    EmptyLatch(Option<bool>),
    /// A reply that was chosen in EVerest's place.
    Chosen(Value),
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

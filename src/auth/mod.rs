//! EVerest's Auth module: which token may use which EVSE, and what becomes of it.
//!
//! A pure state machine: time comes in with every input, everything else goes out as effects. It knows neither topics
//! nor JSON, asks no validator and moves no EVSE itself: those are effects, and their outcomes come back as inputs.
//! Main type: [`AuthManager`].
//!
//! Behaviour follows `modules/EVSE/Auth/lib/AuthHandler.cpp` ("AuthHandler" below) as it runs, its defects included;
//! those are entries of [`crate::protocol::deviations`] and can be switched off.

use std::time::Duration;

use crate::protocol::types::{
    MessageContent, ProvidedIdToken, ReservationResult, ReservationStatus, TokenValidationStatus, ValidationResult,
    WithdrawAuthorizationRequest, WithdrawAuthorizationResult,
};

mod attempt;
mod config;
mod evse;
mod manager;
mod races;
mod reservation;
mod selection;
mod withdraw;

#[cfg(test)]
mod tests;

pub use config::{AuthConfig, SelectionAlgorithm};
pub use manager::{AuthManager, EvseView};
pub use races::{Chosen, Race};
pub(crate) use reservation::GLOBAL;
pub use reservation::Reservation;

/// Names one handling of one presented token; counts up, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptId(pub u64);

/// Names one withdraw request; chosen by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WithdrawId(pub u64);

/// What happens to the auth manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A provider hands in a token.
    Token(ProvidedIdToken),
    /// All validators answered the question of [`Effect::Validate`], in their order.
    Validated {
        /// Whose question.
        attempt: AttemptId,
        /// The answers.
        results: Vec<ValidationResult>,
    },
    /// A validator changed its mind about the token in use at an EVSE (`validate_result_update`).
    ResultUpdate {
        /// The EVSE.
        evse: i32,
        /// The new answer; only parent and tariff messages have an effect.
        result: ValidationResult,
    },
    /// An EVSE reports.
    Session {
        /// The EVSE.
        evse: i32,
        /// The connector, from 1.
        connector: i32,
        /// What.
        event: SessionEvent,
    },
    /// Command `reserve_now` of interface `reservation`.
    Reserve(Reservation),
    /// Command `cancel_reservation` of it.
    CancelReservation {
        /// Which.
        reservation_id: i32,
    },
    /// An EVSE has answered [`EvseCall::Reserve`].
    EvseReserved {
        /// As in the call.
        reservation_id: i32,
        /// Whether it is reserved now.
        is_accepted: bool,
    },
    /// A client withdraws.
    Withdraw {
        /// Comes back with the result.
        id: WithdrawId,
        /// What.
        request: WithdrawAuthorizationRequest,
    },
    /// Command `set_connection_timeout`; tokens and authorizations that already wait keep their time.
    SetConnectionTimeout(Duration),
    /// Command `set_master_pass_group_id`; an empty text switches it off.
    SetMasterPassGroup(String),
    /// The time of [`AuthManager::next_deadline`] has come.
    Deadline,
}

/// What the auth manager does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A status of a token is published.
    Status {
        /// The token with what is known of it by now.
        token: ProvidedIdToken,
        /// The status.
        status: TokenValidationStatus,
        /// Tariff messages; empty unless the status is `Accepted`.
        messages: Vec<MessageContent>,
        /// What the validators said, as they said it; empty if none was asked, or if it is told too late to know.
        results: Vec<ValidationResult>,
    },
    /// All validators are asked; [`Input::Validated`] answers.
    Validate {
        /// Whose question.
        attempt: AttemptId,
        /// About what.
        token: ProvidedIdToken,
    },
    /// An EVSE is told something.
    Call {
        /// The EVSE.
        evse: i32,
        /// What.
        call: EvseCall,
    },
    /// [`Input::Reserve`] is answered.
    ReservationResult {
        /// Which.
        reservation_id: i32,
        /// How.
        result: ReservationResult,
    },
    /// [`Input::CancelReservation`] is answered.
    ReservationCancelled {
        /// Which.
        reservation_id: i32,
        /// Whether there was one.
        is_cancelled: bool,
    },
    /// A reservation was made, or has ended otherwise than by a command or by use.
    ReservationUpdate {
        /// Which; -1 stands for the global ones, which now need an EVSE.
        reservation_id: i32,
        /// What.
        status: ReservationStatus,
    },
    /// A withdraw request is answered.
    WithdrawResult {
        /// Which.
        id: WithdrawId,
        /// How.
        result: WithdrawAuthorizationResult,
    },
    /// Auth ends, and EVerest with it; nothing that follows is true.
    Exit {
        /// Why, in words.
        why: &'static str,
    },
    /// An input had no effect.
    Ignored {
        /// Why, in words.
        why: &'static str,
    },
}

/// A command to an EVSE (interface `evse_manager`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvseCall {
    /// `authorize_response`: what became of a token that concerns this EVSE.
    AuthorizeResponse(Box<(ProvidedIdToken, ValidationResult)>),
    /// `withdraw_authorization`: the granted authorization is void.
    WithdrawAuthorization,
    /// `stop_transaction`.
    StopTransaction {
        /// Why.
        reason: StopTransactionReason,
        /// The token that stops it, as far as it was known then.
        id_tag: Option<Box<ProvidedIdToken>>,
    },
    /// `reserve`; [`Input::EvseReserved`] answers.
    Reserve {
        /// The reservation; -1 if global ones need the EVSE.
        reservation_id: i32,
    },
    /// `cancel_reservation`.
    CancelReservation,
}

/// Why a transaction is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopTransactionReason {
    /// The authorization was withdrawn.
    DeAuthorized,
    /// A token was presented to stop it.
    Local,
    /// A token of the master pass group was presented.
    MasterPass,
}

impl StopTransactionReason {
    /// EVerest's spelling.
    pub fn name(self) -> &'static str {
        match self {
            StopTransactionReason::DeAuthorized => "DeAuthorized",
            StopTransactionReason::Local => "Local",
            StopTransactionReason::MasterPass => "MasterPass",
        }
    }
}

/// What an EVSE reports (interface `evse_manager`, variable `session_event`, and its error `Inoperative`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionEvent {
    /// A session began because an EV was plugged in.
    SessionStartedByPlugIn,
    /// A session began because a token was authorized before an EV came.
    SessionStartedByAuthorization,
    /// An EV waits for a token.
    AuthRequired,
    /// The authorization was taken note of.
    Authorized,
    /// The authorization is gone.
    Deauthorized,
    /// No token came in time; the EV has to be plugged in again.
    PluginTimeout,
    /// Energy will flow.
    PrepareCharging,
    /// The transaction began.
    TransactionStarted,
    /// Energy flows.
    ChargingStarted,
    /// The EV takes no energy for now.
    ChargingPausedEV,
    /// The EVSE gives none for now.
    ChargingPausedEVSE,
    /// The transaction is about to end.
    StoppingCharging,
    /// Energy no longer flows.
    ChargingFinished,
    /// The transaction ended.
    TransactionFinished,
    /// The session ended.
    SessionFinished,
    /// The EVSE was taken out of service.
    Disabled,
    /// The EVSE was put into service.
    Enabled,
    /// The error `Inoperative` was raised.
    Faulted,
    /// The error `Inoperative` was cleared.
    FaultCleared,
    /// The EVSE is reserved.
    ReservationStart,
    /// The EVSE is reserved no longer.
    ReservationEnd,
}

impl SessionEvent {
    /// Every event.
    pub const ALL: [SessionEvent; 21] = [
        SessionEvent::SessionStartedByPlugIn,
        SessionEvent::SessionStartedByAuthorization,
        SessionEvent::AuthRequired,
        SessionEvent::Authorized,
        SessionEvent::Deauthorized,
        SessionEvent::PluginTimeout,
        SessionEvent::PrepareCharging,
        SessionEvent::TransactionStarted,
        SessionEvent::ChargingStarted,
        SessionEvent::ChargingPausedEV,
        SessionEvent::ChargingPausedEVSE,
        SessionEvent::StoppingCharging,
        SessionEvent::ChargingFinished,
        SessionEvent::TransactionFinished,
        SessionEvent::SessionFinished,
        SessionEvent::Disabled,
        SessionEvent::Enabled,
        SessionEvent::Faulted,
        SessionEvent::FaultCleared,
        SessionEvent::ReservationStart,
        SessionEvent::ReservationEnd,
    ];

    /// EVerest's spelling; both kinds of `SessionStarted` share theirs, and the two errors have names of ours.
    pub fn name(self) -> &'static str {
        match self {
            SessionEvent::SessionStartedByPlugIn | SessionEvent::SessionStartedByAuthorization => "SessionStarted",
            SessionEvent::AuthRequired => "AuthRequired",
            SessionEvent::Authorized => "Authorized",
            SessionEvent::Deauthorized => "Deauthorized",
            SessionEvent::PluginTimeout => "PluginTimeout",
            SessionEvent::PrepareCharging => "PrepareCharging",
            SessionEvent::TransactionStarted => "TransactionStarted",
            SessionEvent::ChargingStarted => "ChargingStarted",
            SessionEvent::ChargingPausedEV => "ChargingPausedEV",
            SessionEvent::ChargingPausedEVSE => "ChargingPausedEVSE",
            SessionEvent::StoppingCharging => "StoppingCharging",
            SessionEvent::ChargingFinished => "ChargingFinished",
            SessionEvent::TransactionFinished => "TransactionFinished",
            SessionEvent::SessionFinished => "SessionFinished",
            SessionEvent::Disabled => "Disabled",
            SessionEvent::Enabled => "Enabled",
            SessionEvent::Faulted => "Faulted",
            SessionEvent::FaultCleared => "FaultCleared",
            SessionEvent::ReservationStart => "ReservationStart",
            SessionEvent::ReservationEnd => "ReservationEnd",
        }
    }
}

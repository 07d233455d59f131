//! What the specification allows in each message: JSON Schemas, and the check of a payload against them.
//!
//! Source: AsyncAPI `auth_consumer_API.yaml`, `auth_token_provider_API.yaml`, `auth_token_validator_API.yaml`,
//! `entrypoint_API.yaml` and `display_message_API.yaml` (`MessageContent`). The releases before
//! [`Release::Main`] differ where [`super::deviations`] says so.
//! Unknown extra fields are valid everywhere (`additionalProperties: true`); unknown enum values are not. How EVerest
//! *decodes* what violates a schema is another question, see [`super::codec`].
//!
//! Pure. A schema is compiled on its first use: most runs need two or three.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jsonschema::{Draft, ValidationError, Validator};
use serde_json::Value;

use super::channel::Channel;
use super::control::EvseCommand;
use super::deviations::{Behaviour, Deviations};
use super::release::Release;

mod documents;

/// The latched get answers `null` before the first status; running EVerest sends `true` instead, because the text
/// "null" takes the boolean overload of its publish function. Both are accepted: a module that stands in for EVerest
/// may follow either.
pub const EMPTY_LATCH: [Value; 2] = [Value::Null, Value::Bool(true)];

/// A kind of message that has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Message {
    /// A message on a channel.
    On(Channel),
    /// The reply to a withdraw request.
    WithdrawReply,
    /// The reply to a request for the latched status.
    GetReply,
    /// The reply of a token validator.
    ValidateReply,
    /// `discover` and `query-modules`.
    DiscoverRequest,
    /// The reply to these.
    DiscoverReply,
    /// `ready_beacon`.
    ReadyBeacon,
}

/// What the arguments of a call to an EVSE can be (interface `evse_manager`), by the names that tell of it.
pub fn evse_call(call: EvseCommand) -> Value {
    match call {
        EvseCommand::AuthorizeResponse => documents::authorize_response(),
        EvseCommand::StopTransaction => documents::stop_transaction(),
        EvseCommand::Reserve => documents::reserve(),
        EvseCommand::WithdrawAuthorization | EvseCommand::CancelReservation => documents::nothing(),
    }
}

impl Message {
    /// Every kind that there is at [`Release::Main`].
    pub const ALL: [Message; 14] = [
        Message::On(Channel::WithdrawAuthorization),
        Message::On(Channel::TokenValidationStatus),
        Message::On(Channel::GetTokenValidationStatus),
        Message::On(Channel::Heartbeat),
        Message::On(Channel::CommunicationCheck),
        Message::WithdrawReply,
        Message::GetReply,
        Message::On(Channel::ProvidedToken),
        Message::On(Channel::ValidateToken),
        Message::On(Channel::ValidateResultUpdate),
        Message::ValidateReply,
        Message::DiscoverRequest,
        Message::DiscoverReply,
        Message::ReadyBeacon,
    ];

    /// The reply to a request on this channel; `None` for channels that carry no requests.
    pub fn reply_to(channel: Channel) -> Option<Self> {
        match channel {
            Channel::WithdrawAuthorization => Some(Message::WithdrawReply),
            Channel::GetTokenValidationStatus => Some(Message::GetReply),
            Channel::ValidateToken => Some(Message::ValidateReply),
            Channel::TokenValidationStatus
            | Channel::Heartbeat
            | Channel::CommunicationCheck
            | Channel::SetConnectionTimeout
            | Channel::SetMasterPassGroupId
            | Channel::ProvidedToken
            | Channel::ValidateResultUpdate => None,
        }
    }

    /// What it is called in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Message::On(Channel::WithdrawAuthorization) => "withdraw request",
            Message::On(Channel::TokenValidationStatus) => "token validation status",
            Message::On(Channel::GetTokenValidationStatus) => "request for the latched status",
            Message::On(Channel::Heartbeat) => "heartbeat",
            Message::On(Channel::CommunicationCheck) => "communication check",
            Message::WithdrawReply => "withdraw reply",
            Message::GetReply => "reply with the latched status",
            Message::On(Channel::SetConnectionTimeout) => "command to set the connection timeout",
            Message::On(Channel::SetMasterPassGroupId) => "command to set the master pass group",
            Message::On(Channel::ProvidedToken) => "provided token",
            Message::On(Channel::ValidateToken) => "request to validate a token",
            Message::On(Channel::ValidateResultUpdate) => "update of a validation result",
            Message::ValidateReply => "validation result",
            Message::DiscoverRequest => "discovery",
            Message::DiscoverReply => "reply to discovery",
            Message::ReadyBeacon => "ready beacon",
        }
    }
}

/// One way in which a payload violates its schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// JSON pointer to the offending value; empty for the whole payload.
    pub pointer: String,
    /// What is wrong with it, in words.
    pub message: String,
}

/// The schemas of one release.
#[derive(Debug, Default)]
pub struct Schemas {
    in_force: Deviations,
    withdraw: OnceLock<Validator>,
    withdraw_reply: OnceLock<Validator>,
    status: OnceLock<Validator>,
    get: OnceLock<Validator>,
    heartbeat: OnceLock<Validator>,
    communication_check: OnceLock<Validator>,
    provided_token: OnceLock<Validator>,
    validate_token: OnceLock<Validator>,
    validate_reply: OnceLock<Validator>,
    result_update: OnceLock<Validator>,
    discover: OnceLock<Validator>,
    discovery: OnceLock<Validator>,
    beacon: OnceLock<Validator>,
    connection_timeout: OnceLock<Validator>,
    master_pass_group: OnceLock<Validator>,
}

impl Schemas {
    /// The schemas of a release; nothing is compiled yet.
    pub fn new(release: Release) -> Self {
        Self::of(Deviations::new(release, Behaviour::AsRunning, &BTreeMap::new()))
    }

    /// The schemas of a release in which single deviations are switched.
    pub fn of(in_force: Deviations) -> Self {
        Self { in_force, ..Self::default() }
    }

    /// Every violation, in the order of the schema; empty for a valid payload.
    pub fn check(&self, message: Message, payload: &Value) -> Vec<Violation> {
        if message == Message::GetReply && EMPTY_LATCH.contains(payload) {
            return Vec::new();
        }
        let validator = compiled(self.cell(message), || self.document(message));
        if validator.is_valid(payload) {
            return Vec::new();
        }
        validator.iter_errors(payload).map(|error| violation(&error)).collect()
    }

    /// The schema of a kind of message; of a reply with the latched status, where there is one.
    pub fn document(&self, message: Message) -> Value {
        match message {
            Message::On(Channel::TokenValidationStatus) | Message::GetReply => documents::status(self.in_force),
            Message::On(Channel::WithdrawAuthorization) => documents::withdraw(self.in_force.release()),
            Message::WithdrawReply => documents::withdraw_reply(),
            Message::On(Channel::GetTokenValidationStatus) => documents::get(),
            Message::On(Channel::Heartbeat) => documents::heartbeat(self.in_force),
            Message::On(Channel::CommunicationCheck) => documents::communication_check(),
            Message::On(Channel::ProvidedToken) => documents::provided_token(),
            Message::On(Channel::ValidateToken) => documents::validate_token(),
            Message::On(Channel::ValidateResultUpdate) => documents::result_update(),
            Message::On(Channel::SetConnectionTimeout) => documents::connection_timeout(),
            Message::On(Channel::SetMasterPassGroupId) => documents::master_pass_group(),
            Message::ValidateReply => documents::validate_reply(),
            Message::DiscoverRequest => documents::discover(),
            Message::DiscoverReply => documents::discovery(),
            Message::ReadyBeacon => documents::beacon(),
        }
    }

    fn cell(&self, message: Message) -> &OnceLock<Validator> {
        match message {
            Message::On(Channel::TokenValidationStatus) | Message::GetReply => &self.status,
            Message::On(Channel::WithdrawAuthorization) => &self.withdraw,
            Message::WithdrawReply => &self.withdraw_reply,
            Message::On(Channel::GetTokenValidationStatus) => &self.get,
            Message::On(Channel::Heartbeat) => &self.heartbeat,
            Message::On(Channel::CommunicationCheck) => &self.communication_check,
            Message::On(Channel::ProvidedToken) => &self.provided_token,
            Message::On(Channel::ValidateToken) => &self.validate_token,
            Message::On(Channel::ValidateResultUpdate) => &self.result_update,
            Message::On(Channel::SetConnectionTimeout) => &self.connection_timeout,
            Message::On(Channel::SetMasterPassGroupId) => &self.master_pass_group,
            Message::ValidateReply => &self.validate_reply,
            Message::DiscoverRequest => &self.discover,
            Message::DiscoverReply => &self.discovery,
            Message::ReadyBeacon => &self.beacon,
        }
    }
}

/// The validator of a cell, compiled on first use.
fn compiled(cell: &OnceLock<Validator>, schema: impl FnOnce() -> Value) -> &Validator {
    cell.get_or_init(|| {
        jsonschema::options().with_draft(Draft::Draft7).build(&schema()).expect("the schemas of this file are valid")
    })
}

/// Longer messages quote whole objects, which helps nobody.
const LONGEST_MESSAGE: usize = 120;

fn violation(error: &ValidationError<'_>) -> Violation {
    let full = error.to_string();
    let message = if full.len() > LONGEST_MESSAGE { error.masked_with("the value").to_string() } else { full };
    Violation { pointer: error.instance_path().to_string(), message }
}

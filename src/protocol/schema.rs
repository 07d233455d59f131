//! What the specification allows in each message: JSON Schemas, and the check of a payload against them.
//!
//! The shapes are those of the descriptions (`src/protocol/apis`), the schemas what these are under given deviations.
//! Unknown extra fields are valid everywhere (`additionalProperties: true`); unknown enum values are not. How EVerest
//! *decodes* what violates a schema is another question, see [`super::codec`].
//!
//! Pure. A schema is compiled on its first use: most runs need two or three.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{Draft, ValidationError, Validator};
use serde_json::Value;

use super::api::{self, Api, Pattern, Shape};
use super::channel::Channel;
use super::control::EvseCommand;
use super::deviations::{Behaviour, Deviations};
use super::release::Release;

mod document;

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
    let api = api::built_in("evse_manager").expect("it is described");
    let shape = api.named(call.name()).expect("every call is described");
    document::document(api, shape, Deviations::default())
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

    fn shape(self) -> (&'static Api, &'static Shape) {
        let (api, channel, is_reply) = match self {
            Message::On(Channel::WithdrawAuthorization) => ("auth_consumer", "withdraw_authorization", false),
            Message::On(Channel::TokenValidationStatus) => ("auth_consumer", "token_validation_status", false),
            Message::On(Channel::GetTokenValidationStatus) => ("auth_consumer", "get_token_validation_status", false),
            Message::On(Channel::Heartbeat) => ("auth_consumer", "heartbeat", false),
            Message::On(Channel::CommunicationCheck) => ("auth_consumer", "communication_check", false),
            Message::On(Channel::SetConnectionTimeout) => ("auth_consumer", "set_connection_timeout", false),
            Message::On(Channel::SetMasterPassGroupId) => ("auth_consumer", "set_master_pass_group_id", false),
            Message::On(Channel::ProvidedToken) => ("auth_token_provider", "provided_token", false),
            Message::On(Channel::ValidateToken) => ("auth_token_validator", "validate_token", false),
            Message::On(Channel::ValidateResultUpdate) => ("auth_token_validator", "validate_result_update", false),
            Message::WithdrawReply => ("auth_consumer", "withdraw_authorization", true),
            Message::GetReply => ("auth_consumer", "get_token_validation_status", true),
            Message::ValidateReply => ("auth_token_validator", "validate_token", true),
            Message::DiscoverRequest => ("entrypoint", "discover", false),
            Message::DiscoverReply => ("entrypoint", "discover", true),
            Message::ReadyBeacon => ("entrypoint", "ready_beacon", false),
        };
        let api = api::built_in(api).expect("it is described");
        let channel = api.channel(channel).expect("it is described");
        let shape = match &channel.reply {
            Some(reply) if is_reply => &reply.payload,
            _ => &channel.payload,
        };
        match shape {
            // What stands for a value that was never told is not judged by its shape.
            Shape::OrNull(told) if channel.pattern == Pattern::LatchedGet => (api, told),
            shape => (api, shape),
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

/// Every violation of a shape that stands in a description, in the order of its schema.
pub fn violations(api: &Api, shape: &Shape, in_force: Deviations, payload: &Value) -> Vec<Violation> {
    let validator = compile(&document::document(api, shape, in_force));
    validator.iter_errors(payload).map(|error| violation(&error)).collect()
}

/// The validator of the schema of a shape.
fn compile(schema: &Value) -> Validator {
    let validator = jsonschema::options().with_draft(Draft::Draft7).build(schema);
    validator.expect("the schema of every shape is valid")
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
    compiled: Mutex<BTreeMap<Message, Arc<Validator>>>,
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
        let validator = self.validator(message);
        if validator.is_valid(payload) {
            return Vec::new();
        }
        validator.iter_errors(payload).map(|error| violation(&error)).collect()
    }

    /// The schema of a kind of message; of a reply with the latched status, where there is one.
    pub fn document(&self, message: Message) -> Value {
        let (api, shape) = message.shape();
        document::document(api, shape, self.in_force)
    }

    /// The validator of a kind of message, compiled on first use.
    fn validator(&self, message: Message) -> Arc<Validator> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(compiled.entry(message).or_insert_with(|| Arc::new(compile(&self.document(message)))))
    }
}

// Longer messages quote whole objects, which helps nobody.
const LONGEST_MESSAGE: usize = 120;

fn violation(error: &ValidationError<'_>) -> Violation {
    let full = error.to_string();
    let message = if full.len() > LONGEST_MESSAGE { error.masked_with("the value").to_string() } else { full };
    Violation { pointer: error.instance_path().to_string(), message }
}

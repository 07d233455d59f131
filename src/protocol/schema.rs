//! What the specification allows in each message: JSON Schemas, and the check of a payload against them.
//!
//! Source: AsyncAPI `auth_consumer_API.yaml` and `display_message_API.yaml` (`MessageContent`). The releases before
//! [`Release::Main`] differ where [`super::deviations`] says so.
//! Unknown extra fields are valid everywhere (`additionalProperties: true`); unknown enum values are not. How EVerest
//! *decodes* what violates a schema is another question, see [`super::codec`].
//!
//! Pure. A schema is compiled on its first use: most runs need two of six.

use std::sync::OnceLock;

use jsonschema::{Draft, ValidationError, Validator};
use serde_json::{Value, json};

use super::channel::Channel;
use super::release::Release;

/// The latched get answers `null` before the first status; running EVerest sends `true` instead, because the text
/// "null" takes the boolean overload of its publish function. Both are accepted: a module that stands in for EVerest
/// may follow either.
const EMPTY_LATCH: [Value; 2] = [Value::Null, Value::Bool(true)];

/// A kind of message that has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Message {
    /// A message on a channel.
    On(Channel),
    /// The reply to a withdraw request.
    WithdrawReply,
    /// The reply to a request for the latched status.
    GetReply,
}

impl Message {
    /// Every kind.
    pub const ALL: [Message; 7] = [
        Message::On(Channel::WithdrawAuthorization),
        Message::On(Channel::TokenValidationStatus),
        Message::On(Channel::GetTokenValidationStatus),
        Message::On(Channel::Heartbeat),
        Message::On(Channel::CommunicationCheck),
        Message::WithdrawReply,
        Message::GetReply,
    ];

    /// The reply to a request on this channel; `None` for channels that carry no requests.
    pub fn reply_to(channel: Channel) -> Option<Self> {
        match channel {
            Channel::WithdrawAuthorization => Some(Message::WithdrawReply),
            Channel::GetTokenValidationStatus => Some(Message::GetReply),
            Channel::TokenValidationStatus | Channel::Heartbeat | Channel::CommunicationCheck => None,
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
    release: Release,
    withdraw: OnceLock<Validator>,
    withdraw_reply: OnceLock<Validator>,
    status: OnceLock<Validator>,
    get: OnceLock<Validator>,
    heartbeat: OnceLock<Validator>,
    communication_check: OnceLock<Validator>,
}

impl Schemas {
    /// The schemas of a release; nothing is compiled yet.
    pub fn new(release: Release) -> Self {
        Self { release, ..Self::default() }
    }

    /// Every violation, in the order of the schema; empty for a valid payload.
    pub fn check(&self, message: Message, payload: &Value) -> Vec<Violation> {
        let validator = match message {
            Message::GetReply if EMPTY_LATCH.contains(payload) => return Vec::new(),
            Message::On(Channel::TokenValidationStatus) | Message::GetReply => {
                compiled(&self.status, || status(self.release))
            }
            Message::On(Channel::WithdrawAuthorization) => compiled(&self.withdraw, || withdraw(self.release)),
            Message::WithdrawReply => compiled(&self.withdraw_reply, withdraw_reply),
            Message::On(Channel::GetTokenValidationStatus) => compiled(&self.get, get),
            Message::On(Channel::Heartbeat) => compiled(&self.heartbeat, || heartbeat(self.release)),
            Message::On(Channel::CommunicationCheck) => compiled(&self.communication_check, communication_check),
        };
        if validator.is_valid(payload) {
            return Vec::new();
        }
        validator.iter_errors(payload).map(|error| violation(&error)).collect()
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

fn withdraw(release: Release) -> Value {
    let required: &[&str] = if release >= Release::V2026_02 { &["payload"] } else { &[] };
    json!({
        "type": "object",
        "required": required,
        "properties": {
            "headers": {"type": "object", "properties": {"replyTo": {"type": "string"}}},
            "payload": {
                "type": "object",
                "properties": {"evse_id": {"type": "integer"}, "id_token": {"$ref": "#/definitions/IdToken"}},
            },
        },
        "definitions": {"IdToken": id_token(), "CustomIdToken": custom_id_token()},
    })
}

fn withdraw_reply() -> Value {
    json!({"enum": ["Accepted", "AuthorizationNotFound", "EvseNotFound", "Rejected"]})
}

fn get() -> Value {
    json!({
        "type": "object",
        "required": ["headers"],
        "properties": {
            "headers": {
                "type": "object",
                "required": ["replyTo"],
                "properties": {"replyTo": {"type": "string"}},
            },
        },
    })
}

fn heartbeat(release: Release) -> Value {
    // The specification of 2025.10 has no payload here.
    json!({"type": if release == Release::V2025_10 { "object" } else { "integer" }})
}

fn communication_check() -> Value {
    json!({"type": "boolean"})
}

fn status(release: Release) -> Value {
    // Earlier ones were published before their specification listed them; this one did not exist.
    let mut statuses = vec!["Processing", "Accepted", "Rejected", "TimedOut", "UsedToStart", "UsedToStop", "Withdrawn"];
    if release >= Release::Main {
        statuses.push("UsedToReauthorize");
    }
    json!({
        "type": "object",
        "required": ["token", "status"],
        "properties": {
            "token": {"$ref": "#/definitions/ProvidedIdToken"},
            "status": {"enum": statuses},
            "messages": {"type": "array", "items": message_content()},
        },
        "definitions": {
            "IdToken": id_token(),
            "CustomIdToken": custom_id_token(),
            "ProvidedIdToken": provided_id_token(),
        },
    })
}

fn id_token() -> Value {
    json!({
        "type": "object",
        "required": ["value", "type"],
        "properties": {
            "value": {"type": "string", "maxLength": 36},
            "type": {
                "enum": [
                    "Central", "eMAID", "MacAddress", "ISO14443", "ISO15693", "KeyCode", "Local", "NoAuthorization",
                ],
            },
            "additional_info": {"type": "array", "items": {"$ref": "#/definitions/CustomIdToken"}},
        },
    })
}

fn custom_id_token() -> Value {
    json!({
        "type": "object",
        "required": ["value", "type"],
        "properties": {
            "value": {"type": "string", "maxLength": 36},
            "type": {"type": "string", "maxLength": 50},
        },
    })
}

fn provided_id_token() -> Value {
    json!({
        "type": "object",
        "required": ["id_token", "authorization_type"],
        "properties": {
            "request_id": {"type": "integer"},
            "id_token": {"$ref": "#/definitions/IdToken"},
            "parent_id_token": {"$ref": "#/definitions/IdToken"},
            "authorization_type": {"enum": ["OCPP", "RFID", "Autocharge", "PlugAndCharge", "BankCard"]},
            "connectors": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "prevalidated": {"type": "boolean"},
            "certificate": {"type": "string", "maxLength": 5500},
            "iso15118CertificateHashData": {
                "type": "array", "minItems": 1, "maxItems": 4, "items": certificate_hash_data(),
            },
        },
    })
}

fn certificate_hash_data() -> Value {
    json!({
        "type": "object",
        "required": ["hashAlgorithm", "issuerNameHash", "issuerKeyHash", "serialNumber", "responderURL"],
        "properties": {
            "hashAlgorithm": {"enum": ["SHA256", "SHA384", "SHA512"]},
            "issuerNameHash": {"type": "string", "maxLength": 128},
            "issuerKeyHash": {"type": "string", "maxLength": 128},
            "serialNumber": {"type": "string", "maxLength": 40},
            "responderURL": {"type": "string", "maxLength": 512},
        },
    })
}

fn message_content() -> Value {
    json!({
        "type": "object",
        "required": ["content"],
        "properties": {
            "content": {"type": "string"},
            "format": {"enum": ["ASCII", "HTML", "URI", "UTF8", "QRCODE"]},
            "language": {"type": "string"},
        },
    })
}

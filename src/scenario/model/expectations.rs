//! The steps that say what must be seen, or must not.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::CsmsMessage;
use crate::protocol::channel::ApiType;
use crate::protocol::control::EvseCommand;
use crate::protocol::types::TokenValidationStatus;
use crate::timespan::Timespan;

/// Kinds of messages by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// `e2m/token_validation_status`.
    TokenValidationStatus,
    /// `e2m/heartbeat`.
    Heartbeat,
    /// `m2e/withdraw_authorization`.
    WithdrawAuthorization,
    /// `m2e/token_validation_status/get`.
    GetTokenValidationStatus,
    /// `m2e/communication_check`.
    CommunicationCheck,
    /// `m2e/provided_token` of a token provider.
    ProvidedToken,
    /// `e2m/validate_token` to a token validator.
    ValidateToken,
    /// `m2e/validate_result_update` of a token validator.
    ValidateResultUpdate,
    /// `ready_beacon` of EVerest's entry point.
    ReadyBeacon,
    /// What Auth tells of a reservation, which no topic of the API shows.
    ReservationUpdate,
    /// A reply on the topic of any request of this scenario.
    Reply,
}

/// Any message, by kind or topic, and payload.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The kind; or give `topic`.
    #[serde(default)]
    pub message: Option<MessageKind>,
    /// The API of a `heartbeat` or `communication_check`; the one under test if absent.
    #[serde(default)]
    pub api: Option<ApiType>,
    /// A topic filter, `+` and `#` allowed; `{e2m}`, `{m2e}`, `{module_id}` are filled in.
    #[serde(default)]
    pub topic: Option<String>,
    /// A pattern: a subset of an object, and markers such as `$any`.
    #[serde(default)]
    pub payload: Option<Value>,
    /// The QoS as published.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2))]
    pub qos: Option<u8>,
    /// The retain flag as published.
    #[serde(default)]
    pub retain: Option<bool>,
    /// The time limit.
    #[serde(default)]
    pub within: Option<Timespan>,
}

/// The next status, or the next statuses, of one token.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectStatus {
    /// A token of the station, by name.
    pub token: String,
    /// The next status; or give `sequence`.
    #[serde(default)]
    pub status: Option<TokenValidationStatus>,
    /// The next statuses, with no other between them.
    #[serde(default)]
    pub sequence: Option<Vec<TokenValidationStatus>>,
    /// A pattern for `token.connectors` of the (last) status.
    #[serde(default)]
    pub connectors: Option<Value>,
    /// A pattern for the whole payload of the (last) status.
    #[serde(default)]
    pub payload: Option<Value>,
    /// The time limit, of each status.
    #[serde(default)]
    pub within: Option<Timespan>,
}

/// The reply to a request: a bare pattern, or a mapping with these keys.
#[derive(Debug, Clone)]
pub struct ExpectReply {
    /// A pattern.
    pub payload: Value,
    /// The name that the request was given; the last request if absent.
    pub to: Option<String>,
    /// The time limit.
    pub within: Option<Timespan>,
}

/// What the charge point tells its CSMS.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectCsms {
    /// The kind.
    pub message: CsmsMessage,
    /// A pattern for what it says.
    #[serde(default)]
    pub payload: Option<Value>,
    /// The time limit.
    #[serde(default)]
    pub within: Option<Timespan>,
}

/// A command of Auth to an EVSE.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectEvse {
    /// The EVSE, from 1.
    #[schemars(range(min = 1, max = 64))]
    pub evse: i32,
    /// The command.
    pub call: EvseCommand,
    /// A pattern for its arguments.
    #[serde(default)]
    pub payload: Option<Value>,
    /// The time limit.
    #[serde(default)]
    pub within: Option<Timespan>,
}

/// A message that must not come.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectNone {
    /// The kind; or give `topic`, `call` or `csms`.
    #[serde(default)]
    pub message: Option<MessageKind>,
    /// What Auth does not ask of an EVSE.
    #[serde(default)]
    pub call: Option<EvseCommand>,
    /// The EVSE of `call`; any if absent.
    #[serde(default)]
    #[schemars(range(min = 1, max = 64))]
    pub evse: Option<i32>,
    /// What the charge point does not tell its CSMS.
    #[serde(default)]
    pub csms: Option<CsmsMessage>,
    /// The API of a `heartbeat` or `communication_check`; the one under test if absent.
    #[serde(default)]
    pub api: Option<ApiType>,
    /// A topic filter.
    #[serde(default)]
    pub topic: Option<String>,
    /// A pattern; only messages that match are forbidden.
    #[serde(default)]
    pub payload: Option<Value>,
    /// How long; counted from the beginning of this step, and everything since the last stimulus counts too.
    pub r#for: Timespan,
}

//! How a module under test is told what to do: one JSON object with one key, published on `khumbu/<module_id>/do`. And
//! how one in EVerest's place tells what it did where no topic of the API shows it: the same on `khumbu/<module_id>/did`.
//!
//! The topics are not part of EVerest's API. A module that wants to be driven subscribes to the first; the built-in
//! modules and those under `fixtures/modules/` do. Others are driven by bindings of the configuration, or act on their
//! own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::types::{
    AuthorizationStatus, IdToken, MessageContent, ProvidedIdToken, ValidationResult, ValidationResultUpdate,
    WithdrawAuthorizationRequest,
};

/// What a validator answers, and after how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// Milliseconds between the question and the answer.
    #[serde(default)]
    pub after_ms: u64,
    /// The result.
    pub authorization_status: AuthorizationStatus,
    /// The EVSEs the token may be used at; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evse_ids: Option<Vec<i32>>,
    /// The group the validator knows the token to belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id_token: Option<IdToken>,
    /// What a display should show with `Accepted`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tariff_messages: Vec<MessageContent>,
}

impl From<Validation> for ValidationResult {
    fn from(validation: Validation) -> Self {
        Self {
            evse_ids: validation.evse_ids,
            parent_id_token: validation.parent_id_token,
            tariff_messages: validation.tariff_messages,
            ..Self::new(validation.authorization_status)
        }
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// EVerest's side: an EV is plugged in.
    PlugIn {
        /// The EVSE, from 1.
        evse: i32,
    },
    /// EVerest's side: the EV is unplugged.
    Unplug {
        /// The EVSE, from 1.
        evse: i32,
    },
    /// EVerest's side: a token is presented, and this is what validators will say of it. A token provider: hand this
    /// token in; it has no use for the rest.
    PresentToken {
        /// The token as a provider hands it in.
        token: ProvidedIdToken,
        /// What validators answer.
        validation: Validation,
    },
    /// EVerest's side: energy flows.
    StartTransaction {
        /// The EVSE, from 1.
        evse: i32,
    },
    /// EVerest's side: the EV or the station ends the transaction.
    StopTransaction {
        /// The EVSE, from 1.
        evse: i32,
    },
    /// EVerest's side: the EVSE reports a fault that makes it unusable.
    InjectFault {
        /// The EVSE, from 1.
        evse: i32,
    },
    /// EVerest's side: the fault is gone.
    ClearFault {
        /// The EVSE, from 1.
        evse: i32,
    },
    /// EVerest's side: change how heartbeats are sent.
    Heartbeats(HeartbeatControl),
    /// A token validator, or EVerest's side where it needs none: this is said of the token from now on.
    SetVerdict {
        /// The token as a provider hands it in.
        token: ProvidedIdToken,
        /// What is answered when it is asked about.
        validation: Validation,
    },
    /// A token validator: tell EVerest that the result for the token in use at an EVSE has changed. EVerest's side:
    /// the validator has.
    UpdateVerdict(ValidationResultUpdate),
    /// Client: make a withdraw request.
    Withdraw(WithdrawAuthorizationRequest),
    /// Client: ask for the latched status.
    GetStatus {},
    /// Client: ask every API module what it is.
    Discover {},
    /// Client: ask the API modules of this type, which may be anything.
    QueryModules(String),
    /// Client: `true` sends communication checks from now on, `false` sends one `false` and no more.
    CommunicationCheck(bool),
}

impl Command {
    /// Whether a client follows it; otherwise EVerest's side does.
    pub fn is_for_client(&self) -> bool {
        matches!(
            self,
            Command::Withdraw(_)
                | Command::GetStatus {}
                | Command::Discover {}
                | Command::QueryModules(_)
                | Command::CommunicationCheck(_)
        )
    }
}

/// A change of the heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeartbeatControl {
    /// No more heartbeats until `resume`.
    Pause,
    /// Heartbeats again, the first at once.
    Resume,
    /// A new interval in milliseconds, at least 1.
    Every(u64),
    /// The number of the next heartbeat.
    Next(u64),
}

/// A command of Auth to an EVSE (interface `evse_manager`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvseCommand {
    /// What became of a token that concerns the EVSE: `token` and `result`.
    AuthorizeResponse,
    /// The granted authorization is void.
    WithdrawAuthorization,
    /// The transaction ends: `reason`, and `id_tag` if a token ends it.
    StopTransaction,
}

impl EvseCommand {
    /// Every command.
    pub const ALL: [EvseCommand; 3] =
        [EvseCommand::AuthorizeResponse, EvseCommand::WithdrawAuthorization, EvseCommand::StopTransaction];

    /// EVerest's name.
    pub fn name(self) -> &'static str {
        match self {
            EvseCommand::AuthorizeResponse => "authorize_response",
            EvseCommand::WithdrawAuthorization => "withdraw_authorization",
            EvseCommand::StopTransaction => "stop_transaction",
        }
    }
}

/// What tells that Auth called an EVSE.
pub fn did_call(evse: i32, call: &str, arguments: &Value) -> Value {
    json!({"evse_call": {"evse": evse, "call": call, "arguments": arguments}})
}

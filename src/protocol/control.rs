//! How a module under test is told what to do: one JSON object with one key, published on `khumbu/<module_id>/do`. And
//! how one in EVerest's place tells what it did where no topic of the API shows it: the same on `khumbu/<module_id>/did`.
//!
//! The topics are not part of EVerest's API. A module that wants to be driven subscribes to the first; the built-in
//! modules and those under `fixtures/modules/` do. Others are driven by bindings of the configuration, or act on their
//! own.

use schemars::JsonSchema;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, forward_to_deserialize_any};
use serde_json::{Value, json};

use super::types::{
    AuthorizationStatus, ConnectorType, IdToken, MessageContent, ProvidedIdToken, ValidationResult,
    ValidationResultUpdate, WithdrawAuthorizationRequest,
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
    /// What those answer that are asked after this validator, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Validation>,
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

/// The topic on which the module with this id is told what to do.
pub fn control_topic_of(module_id: &str) -> String {
    format!("khumbu/{module_id}/do")
}

/// How a recording names what khumbu does without telling anybody: EVerest ends and starts again.
pub const RESTART_EVEREST: &str = "restart_everest";
/// Likewise: the module under test loses its connection.
pub const DISCONNECT: &str = "disconnect";

/// An EVSE by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Evse")]
pub struct AtEvse {
    /// The EVSE, from 1.
    #[schemars(range(min = 1, max = 64))]
    pub evse: i32,
}

/// A connector of an EVSE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AtConnector {
    /// The EVSE, from 1.
    #[schemars(range(min = 1, max = 64))]
    pub evse: i32,
    /// The connector, from 1; the first if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 8))]
    pub connector: Option<i32>,
}

/// Charging pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseCharging {
    /// The EVSE, from 1.
    #[schemars(range(min = 1, max = 64))]
    pub evse: i32,
    /// Who wants it so.
    #[serde(default)]
    pub by: PausedBy,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// EVerest's side: an EV is plugged in.
    PlugIn(AtConnector),
    /// EVerest's side: the EV is unplugged.
    Unplug(AtEvse),
    /// EVerest's side: a token is presented, and this is what validators will say of it. A token provider: hand this
    /// token in; it has no use for the rest.
    PresentToken {
        /// The token as a provider hands it in.
        token: ProvidedIdToken,
        /// What validators answer.
        validation: Validation,
    },
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
    /// EVerest's side: energy flows.
    StartTransaction(AtEvse),
    /// EVerest's side: the EV or the station ends the transaction.
    StopTransaction(AtEvse),
    /// EVerest's side: the EVSE reports a fault that makes it unusable.
    InjectFault(AtConnector),
    /// EVerest's side: the fault is gone.
    ClearFault(AtConnector),
    /// EVerest's side: a connector goes out of service.
    Disable(AtConnector),
    /// EVerest's side: it is in service again.
    Enable(AtConnector),
    /// EVerest's side: energy flows no longer, and the transaction goes on.
    PauseCharging(PauseCharging),
    /// EVerest's side: energy flows again.
    ResumeCharging(AtEvse),
    /// EVerest's side: somebody other than Auth authorizes the EVSE.
    Authorize(AtEvse),
    /// EVerest's side: command `reserve_now` of interface `reservation`. [`Deed::Reserve`] tells of its result.
    Reserve(Reserve),
    /// EVerest's side: command `cancel_reservation` of it. [`Deed::CancelReservation`] tells of it.
    CancelReservation {
        /// Which.
        reservation_id: i32,
    },
    /// EVerest's side: change how heartbeats are sent.
    Heartbeats(HeartbeatControl),
    /// EVerest's side: what requests get as their reply from now on.
    SetReply(SetReply),
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

/// The names of all commands, as they are written, in their order.
pub fn command_names() -> &'static [&'static str] {
    /// Learns what the reader of an enumeration looks for, and has nothing to be read.
    struct Names<'a>(&'a mut &'static [&'static str]);
    impl<'de> Deserializer<'de> for Names<'_> {
        type Error = de::value::Error;

        fn deserialize_enum<V: Visitor<'de>>(
            self,
            _: &'static str,
            names: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = names;
            self.deserialize_any(visitor)
        }

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("nothing is there"))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map struct identifier ignored_any
        }
    }
    let mut names: &'static [&'static str] = &[];
    // There is nothing to be read.
    let _ = Command::deserialize(Names(&mut names));
    names
}

/// The name of a command, as it is written.
pub fn command_name(command: &impl Serialize) -> String {
    match serde_json::to_value(command) {
        Ok(Value::Object(object)) => object.keys().next().cloned().unwrap_or_default(),
        Ok(Value::String(name)) => name,
        _ => String::new(),
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

/// What requests on a channel get in place of EVerest's own reply; neither `payload` nor `never` means that one again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetReply {
    /// The name of the channel, such as `withdraw_authorization`.
    pub to: String,
    /// The reply, which may be `null`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub payload: Option<Value>,
    /// There is none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub never: bool,
    /// Milliseconds between request and reply.
    #[serde(default)]
    pub after_ms: u64,
}

/// A value that is there, if only as `null`.
///
/// # Errors
/// When it cannot be read.
pub fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Who pauses charging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum PausedBy {
    /// The EV.
    Ev,
    /// The EVSE.
    #[default]
    Evse,
}

/// A wish to reserve (`types/reservation.yaml`, `Reservation`), with a time from now in the place of `expiry_time`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reserve {
    /// A later reservation with the same id takes its place.
    pub reservation_id: i32,
    /// The value of the token.
    pub id_token: String,
    /// The value of the group whose tokens may use it as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id_token: Option<String>,
    /// The EVSE; absent means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evse_id: Option<i32>,
    /// The type of the connector; absent means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector_type: Option<ConnectorType>,
    /// In how many milliseconds it expires; negative if it has expired.
    pub expires_in_ms: i64,
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
    /// The EVSE is reserved: `reservation_id`, -1 if global reservations need it.
    Reserve,
    /// The EVSE is reserved no longer.
    CancelReservation,
}

impl EvseCommand {
    /// Every command.
    pub const ALL: [EvseCommand; 5] = [
        EvseCommand::AuthorizeResponse,
        EvseCommand::WithdrawAuthorization,
        EvseCommand::StopTransaction,
        EvseCommand::Reserve,
        EvseCommand::CancelReservation,
    ];

    /// EVerest's name.
    pub fn name(self) -> &'static str {
        match self {
            EvseCommand::AuthorizeResponse => "authorize_response",
            EvseCommand::WithdrawAuthorization => "withdraw_authorization",
            EvseCommand::StopTransaction => "stop_transaction",
            EvseCommand::Reserve => "reserve",
            EvseCommand::CancelReservation => "cancel_reservation",
        }
    }
}

/// What EVerest did where no topic of the API shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Auth called an EVSE: `evse`, `call` and `arguments`.
    EvseCall,
    /// Auth answered [`Command::Reserve`]: `reservation_id` and `result`.
    Reserve,
    /// Auth answered [`Command::CancelReservation`]: `reservation_id` and `result`, a boolean.
    CancelReservation,
    /// Auth told of a reservation: `reservation_id` and `reservation_status`.
    ReservationUpdate,
}

impl Deed {
    /// Every kind.
    pub const ALL: [Deed; 4] = [Deed::EvseCall, Deed::Reserve, Deed::CancelReservation, Deed::ReservationUpdate];

    /// The key of the message that tells of it.
    pub fn name(self) -> &'static str {
        match self {
            Deed::EvseCall => "evse_call",
            Deed::Reserve => "reserve",
            Deed::CancelReservation => "cancel_reservation",
            Deed::ReservationUpdate => "reservation_update",
        }
    }

    /// The message that tells of it.
    pub fn tell(self, what: Value) -> Value {
        json!({self.name(): what})
    }

    /// What a message tells.
    pub fn read(mut message: Value) -> Option<(Deed, Value)> {
        let deed = Deed::ALL.into_iter().find(|deed| message.get(deed.name()).is_some())?;
        let what = message[deed.name()].take();
        Some((deed, what))
    }
}

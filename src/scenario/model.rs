//! The scenario language as data. What a user may write is exactly what these structs take; `khumbu schema` prints
//! their JSON Schema.
//!
//! Strict: unknown keys are errors. No `untagged` and no `flatten`, which would cost the place of an error.

mod expectations;
mod faults;

use std::collections::BTreeMap;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::protocol::channel::ApiType;
use crate::protocol::control::present;
use crate::protocol::release::Release;
use crate::protocol::side::Side;
use crate::protocol::topic;
use crate::protocol::types::{AuthorizationStatus, ConnectorType, IdToken, MessageContent, ReservationResult};
use crate::protocol::wire::Wire;
use crate::station::config::StationConfig;
use crate::timespan::Timespan;

use super::step::Step;
pub use expectations::{Expect, ExpectCsms, ExpectEvse, ExpectNone, ExpectReply, ExpectStatus, MessageKind};
pub use faults::{
    BrokerAway, CorruptFault, DelayFault, DropFault, DuplicateFault, HalfOpen, RefuseConnect, ReorderFault, Way, Which,
};

/// One scenario: one file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Khumbu scenario")]
pub struct Model {
    /// What the scenario shows, in one sentence.
    pub description: String,
    /// The requirements it covers, for example `WD-2`.
    #[serde(default)]
    pub requirements: Vec<String>,
    /// The side on which the module stands: `client` (khumbu plays EVerest) or `everest` (khumbu plays the client).
    pub under_test: Side,
    /// The API that a client under test uses. With `--asyncapi FILE` it may also be that of the document, for either
    /// side.
    #[serde(default)]
    pub api: ApiType,
    /// The releases of EVerest for which it holds; all if absent.
    #[serde(default)]
    pub releases: Option<Vec<Release>>,
    /// The simulated station, or the one that the module under test is asked to be; in EVerest's own keys, so that a
    /// piece of an EVerest configuration can be pasted.
    #[serde(default)]
    pub station: StationConfig,
    /// EVerest's external MQTT prefix, of which a client under test is told; none if absent. `--external-prefix` wins.
    /// A client that subscribes without it is not exercised.
    #[serde(default)]
    pub external_prefix: Option<String>,
    /// How khumbu writes its own messages, `everest` if absent; wins over `--wire`.
    #[serde(default)]
    pub wire: Option<Wire>,
    /// When the module counts as ready, `subscribed` if absent. An EVerest is also asked, by default, whether it knows
    /// its EVSEs.
    #[serde(default)]
    pub ready: Option<Ready>,
    /// The time limit of the whole scenario, 60 s if absent.
    #[serde(default)]
    pub timeout: Option<Timespan>,
    /// The default time limit of each expectation, 5 s if absent.
    #[serde(default)]
    pub within: Option<Timespan>,
    /// Whether the transcript is compared with the file of the same name that ends in `.snap`.
    #[serde(default)]
    pub golden: bool,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// What the wire must show before the first step.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ready {
    /// An accepted CONNECT.
    Connected,
    /// A subscription to a topic of the API (default).
    Subscribed,
    /// A first communication check.
    CommunicationCheck,
    /// Any message whose topic matches this filter.
    Topic(String),
}

impl FromStr for Ready {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "connected" => Ok(Ready::Connected),
            "subscribed" => Ok(Ready::Subscribed),
            "communication_check" => Ok(Ready::CommunicationCheck),
            _ => match text.strip_prefix("topic:").map(str::trim_start) {
                Some(filter) => topic::check_filter(filter).map(|()| Ready::Topic(filter.to_owned())),
                None => Err("it is `connected`, `subscribed`, `communication_check` or `topic:FILTER`".to_owned()),
            },
        }
    }
}

/// A reservation.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reserve {
    /// Its id; a later one with the same id takes its place.
    #[schemars(range(min = 0))]
    pub reservation_id: i32,
    /// The token of the station, by name, that may use it.
    #[serde(default)]
    pub token: Option<String>,
    /// The value of the token, spelt out.
    #[serde(default)]
    pub id_token: Option<String>,
    /// The value of the group whose tokens may use it as well.
    #[serde(default)]
    pub parent_id_token: Option<String>,
    /// The EVSE; any number may be tried. Absent means any EVSE.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub evse_id: Option<i32>,
    /// The type of the connector; absent means any.
    #[serde(default)]
    pub connector_type: Option<ConnectorType>,
    /// In how long it expires, an hour if absent.
    #[serde(default)]
    pub expires_in: Option<Timespan>,
    /// How long ago it has expired.
    #[serde(default)]
    pub expired_for: Option<Timespan>,
    /// What Auth must answer.
    #[serde(default)]
    pub result: ReservationResult,
}

/// The end of a reservation.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelReservation {
    /// The id of the reservation.
    pub reservation_id: i32,
    /// What Auth must answer: whether there was one.
    #[serde(default = "yes")]
    pub result: bool,
}

const fn yes() -> bool {
    true
}

/// What validators will say from now on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetVerdict {
    /// Name of a token of the station.
    pub token: String,
    /// What they say.
    pub verdict: AuthorizationStatus,
    /// How long the answer takes.
    #[serde(default)]
    pub after: Option<Timespan>,
}

/// What a validator says of the token in use at an EVSE from now on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateVerdict {
    /// The EVSE, from 1.
    #[schemars(range(min = 1, max = 64))]
    pub evse: i32,
    /// What they say.
    pub verdict: AuthorizationStatus,
    /// What a display should show.
    #[serde(default)]
    pub tariff_messages: Vec<MessageContent>,
}

/// A change of the heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Heartbeats {
    /// None until `resume`.
    Pause,
    /// Again, the first at once.
    Resume,
    /// A new time between two heartbeats.
    Every(Timespan),
    /// The number of the next one, up to 18446744073709551615.
    Next(u64),
}

/// What requests of a client get from now on, in place of what EVerest would reply; neither `payload` nor `never` means
/// that again. What such a request asks for is not done.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetReply {
    /// The request: `withdraw_authorization` or `get_token_validation_status`.
    pub to: MessageKind,
    /// The reply as JSON, which may be `null`.
    #[serde(default, deserialize_with = "present")]
    pub payload: Option<Value>,
    /// Whether none comes at all.
    #[serde(default)]
    pub never: bool,
    /// How long after the request; at once if absent.
    #[serde(default)]
    pub after: Option<Timespan>,
}

/// Whether a CSMS can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CsmsState {
    /// It answers.
    Online,
    /// It does not.
    Offline,
}

/// No arguments: `{}`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A local authorization list.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendLocalList {
    /// The version, which must be later than that of the list before.
    #[schemars(range(min = 1))]
    pub version: i32,
    /// What it says of tokens of the station, by name, as in `{ALICE: Blocked}`.
    pub entries: BTreeMap<String, AuthorizationStatus>,
}

/// A request to the gateway.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// The method, `POST` if absent.
    #[serde(default)]
    pub method: Method,
    /// The path, for example `/ocpp/commands/cache/reset`.
    pub path: String,
    /// A JSON body; none if absent. `$captured:NAME` is filled in.
    #[serde(default)]
    pub body: Option<Value>,
    /// The bearer token; the right one if absent.
    #[serde(default)]
    pub token: Bearer,
    /// The status it must have, 200 if absent.
    #[serde(default = "ok")]
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// A pattern for the body of the answer.
    #[serde(default)]
    pub reply: Option<Value>,
}

const fn ok() -> u16 {
    200
}

/// A method of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Does something.
    #[default]
    Post,
    /// Reads something.
    Get,
    /// The gateway has no use for it.
    Put,
    /// The gateway has no use for it.
    Delete,
}

impl Method {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Get => "GET",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

/// Which bearer token a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bearer {
    /// The one that the gateway has.
    #[default]
    Right,
    /// Another.
    Wrong,
    /// None at all.
    None,
}

/// What a charge point tells its CSMS, in the words of OCPP 1.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CsmsMessage {
    /// It asks about a token.
    Authorize,
    /// A connector has a new state.
    StatusNotification,
    /// A transaction began.
    StartTransaction,
    /// The meter, while a transaction runs.
    MeterValues,
    /// A transaction ended.
    StopTransaction,
}

impl CsmsMessage {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            CsmsMessage::Authorize => "authorize",
            CsmsMessage::StatusNotification => "status_notification",
            CsmsMessage::StartTransaction => "start_transaction",
            CsmsMessage::MeterValues => "meter_values",
            CsmsMessage::StopTransaction => "stop_transaction",
        }
    }

    /// The name of the station's report that it is.
    pub fn report(self) -> &'static str {
        match self {
            CsmsMessage::Authorize => "authorize",
            CsmsMessage::StatusNotification => "status",
            CsmsMessage::StartTransaction => "transaction_started",
            CsmsMessage::MeterValues => "meter_value",
            CsmsMessage::StopTransaction => "transaction_stopped",
        }
    }
}

/// A withdraw request; nothing named means everything.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Withdraw {
    /// The EVSE; any number may be tried.
    pub evse_id: Option<i32>,
    /// A token of the station, by name.
    pub token: Option<String>,
    /// A token, spelt out.
    pub id_token: Option<IdToken>,
    /// A name for `expect_reply`.
    pub r#as: Option<String>,
    /// How long the module under test may take to make the request.
    pub within: Option<Timespan>,
}

/// A request without parameters.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// A name for `expect_reply`.
    pub r#as: Option<String>,
    /// How long the module under test may take to make the request.
    pub within: Option<Timespan>,
}

/// A message exactly as written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// The topic; `{e2m}`, `{m2e}`, `{module_id}`, `{external_prefix}`, `{reply}`, `{reply_to}`, `{consumer}`,
    /// `{provider}` and `{validator}` are filled in.
    pub topic: String,
    /// The payload as JSON; `{reply}` and `$captured:NAME` are filled in within texts.
    #[serde(default)]
    pub payload: Option<Value>,
    /// The payload as text, sent as it stands after filling in.
    #[serde(default)]
    pub text: Option<String>,
    /// The payload as hexadecimal bytes, for what is no text at all.
    #[serde(default)]
    pub hex: Option<String>,
    /// The quality of service.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2))]
    pub qos: u8,
    /// Whether the broker keeps it.
    #[serde(default)]
    pub retain: bool,
    /// A name for `expect_reply`.
    #[serde(default)]
    pub r#as: Option<String>,
}

/// A command of the user.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// A command line, split as a shell splits words; no shell runs it. `{host}`, `{port}`, `{api}`, `{module_id}`,
    /// `{api_version}` and `{external_prefix}` are filled in.
    pub command: String,
    /// What it gets on standard input.
    #[serde(default)]
    pub stdin: Option<String>,
    /// The exit code it must have, 0 if absent.
    #[serde(default)]
    pub exit: i32,
    /// A pattern for its standard output, trimmed: a text or `$/regex/`.
    #[serde(default)]
    pub stdout: Option<String>,
    /// The time limit, 10 s if absent.
    #[serde(default)]
    pub within: Option<Timespan>,
}

/// Steps played several times.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// How often, 1 to 10,000.
    #[schemars(range(min = 1, max = 10_000))]
    pub times: u32,
    /// What is played.
    pub steps: Vec<Step>,
}

/// What a module may do of its own accord, and what is judged if it does.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// What a module is told first that can be told, so that it does it.
    #[serde(default)]
    pub told: Vec<Step>,
    /// What it may do, or a message of EVerest that follows from that; how long that is waited for is its `within`.
    pub expect: Expect,
    /// What follows if it does; what was captured is known here alone.
    pub steps: Vec<Step>,
}

/// Steps for some releases.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Only {
    /// The releases that have them.
    pub releases: Vec<Release>,
    /// What is played there.
    pub steps: Vec<Step>,
}

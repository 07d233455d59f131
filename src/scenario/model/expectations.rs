//! The steps that say what must be seen, or must not.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::CsmsMessage;
use crate::protocol::api::{self, names};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::{Deed, EvseCommand};
use crate::protocol::types::TokenValidationStatus;
use crate::timespan::Timespan;

/// Kinds of messages by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// A message on the channel of this name.
    On(&'static str),
    /// `ready_beacon` of EVerest's entry point.
    ReadyBeacon,
    /// What Auth tells of a reservation, which no topic of the API shows.
    ReservationUpdate,
    /// A reply on the topic of any request of this scenario.
    Reply,
}

impl MessageKind {
    /// Those that are no channel of an API of modules, and what they are.
    const OTHERS: [(MessageKind, &'static str); 3] = [
        (MessageKind::ReadyBeacon, "`ready_beacon` of EVerest's entry point."),
        (MessageKind::ReservationUpdate, "What Auth tells of a reservation, which no topic of the API shows."),
        (MessageKind::Reply, "A reply on the topic of any request of this scenario."),
    ];

    /// The messages on a channel.
    pub fn on(channel: Channel) -> Self {
        MessageKind::On(channel.name())
    }

    /// The name used in scenarios.
    pub fn name(self) -> &'static str {
        match self {
            MessageKind::On(channel) => channel,
            MessageKind::ReadyBeacon => "ready_beacon",
            MessageKind::ReservationUpdate => Deed::ReservationUpdate.name(),
            MessageKind::Reply => "reply",
        }
    }
}

impl<'de> Deserialize<'de> for MessageKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let channels = api::channels().into_iter().map(|channel| channel.name.as_str());
        let names = channels.chain(Self::OTHERS.map(|(kind, _)| kind.name())).collect();
        let name = names::deserialize(deserializer, "MessageKind", api::listed(names))?;
        let other = Self::OTHERS.into_iter().find(|(kind, _)| kind.name() == name);
        Ok(other.map_or(MessageKind::On(name), |(kind, _)| kind))
    }
}

impl JsonSchema for MessageKind {
    fn schema_name() -> Cow<'static, str> {
        "MessageKind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let on = api::channels().into_iter().map(|channel| {
            let whose = channel.whose.as_ref().map(|whose| format!(" {whose}")).unwrap_or_default();
            names::choice(&channel.name, &format!("`{}`{whose}.", channel.address))
        });
        let others = Self::OTHERS.map(|(kind, description)| names::choice(kind.name(), description));
        let choices: Vec<_> = on.chain(others).collect();
        json_schema!({"description": "Kinds of messages by name.", "oneOf": choices})
    }
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
    /// The name of the request to which no `reply` comes; any request of the scenario if absent, and not what the
    /// module asks by itself.
    #[serde(default)]
    pub to: Option<String>,
    /// A topic filter.
    #[serde(default)]
    pub topic: Option<String>,
    /// A pattern; only messages that match are forbidden.
    #[serde(default)]
    pub payload: Option<Value>,
    /// How long; counted from the beginning of this step, and everything since the last stimulus counts too.
    pub r#for: Timespan,
}

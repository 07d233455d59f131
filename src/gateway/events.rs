//! What commands say: targets and events, and what they mean to a charge point.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::body::{Object, Whole};
use super::chargers::OcppVersion;
use crate::protocol::types::AuthorizationStatus;
use crate::station::charge_point::{IdTag, Request, TagInfo, UpdateType, Where};

/// A single charger.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct ChargerTarget {
    /// The id of the charger.
    pub charger_id: String,
}

/// One charger, or a location, or some chargers of a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandTarget {
    /// This charger.
    Charger(String),
    /// The chargers of a location; all of them if none is named.
    Location(String, Option<BTreeSet<String>>),
}

impl<'de> Deserialize<'de> for CommandTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            charger_id: Option<String>,
            location_id: Option<String>,
            charger_ids: Option<BTreeSet<String>>,
        }
        let parts = Parts::deserialize(deserializer)?;
        match (parts.charger_id, parts.location_id, parts.charger_ids) {
            (_, _, Some(ids)) if ids.is_empty() => Err(D::Error::custom("`charger_ids` is empty")),
            (Some(id), None, None) => Ok(CommandTarget::Charger(id)),
            (None, Some(location), ids) => Ok(CommandTarget::Location(location, ids)),
            (_, None, Some(_)) => Err(D::Error::custom("`charger_ids` narrows a `location_id`, which is not there")),
            _ => Err(D::Error::custom("exactly one of `charger_id` and `location_id` is needed")),
        }
    }
}

impl JsonSchema for CommandTarget {
    fn schema_name() -> Cow<'static, str> {
        "CommandTarget".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "One charger, or a location, or some chargers of a location.",
            "oneOf": [
                {
                    "type": "object",
                    "required": ["charger_id"],
                    "properties": {
                        "charger_id": {"type": "string", "description": "The id of the charger."},
                        "location_id": {"type": "null"},
                        "charger_ids": {"type": "null"}
                    }
                },
                {
                    "type": "object",
                    "required": ["location_id"],
                    "properties": {
                        "charger_id": {"type": "null"},
                        "location_id": {"type": "string", "description": "The location whose chargers are meant."},
                        "charger_ids": {"type": ["array", "null"], "items": {"type": "string"}, "minItems": 1,
                            "description": "Only these of them; all if absent."}
                    }
                }
            ]
        })
    }
}

/// A number of an EVSE or a connector.
type Number = Whole<1, 2_147_483_647>;

fn number(number: Option<Number>) -> Option<i32> {
    number.and_then(|number| i32::try_from(number.0).ok())
}

/// A tag as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Tag(IdTag);

impl JsonSchema for Tag {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "IdTag".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[ -~]{1,36}$", "examples": ["04A2F3B1C4D580"]})
    }
}

/// A moment as RFC 3339 has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(DateTime<FixedOffset>);

impl Moment {
    /// Counted from the Unix epoch; what was before counts as then.
    fn since_epoch(self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.timestamp_millis()).unwrap_or(0))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let moment = DateTime::parse_from_rfc3339(&text);
        moment.map(Self).map_err(|error| D::Error::custom(format!("no moment as RFC 3339 has it: {error}")))
    }
}

impl JsonSchema for Moment {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time", "examples": ["2030-01-01T00:00:00Z"]})
    }
}

/// Nothing but a target is needed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct EmptyEvent {}

/// Where something happens; absent parts are chosen by the charger.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct ConnectorEvent {
    /// The EVSE.
    evse_id: Option<Number>,
    /// The connector.
    connector_id: Option<Number>,
}

impl ConnectorEvent {
    /// The place.
    pub fn place(&self) -> Where {
        Where { evse: number(self.evse_id), connector: number(self.connector_id) }
    }
}

/// A known fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum FaultType {
    GroundFault,
    OverCurrent,
    OverVoltage,
    UnderVoltage,
    OverTemperature,
    InternalError,
    ConnectorLockFailure,
    EVCommunicationError,
    PowerMeterFailure,
    WeakSignal,
}

impl FaultType {
    /// As it is written.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// A fault at a connector.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct FaultEvent {
    /// Which.
    pub fault_type: FaultType,
    /// The EVSE.
    evse_id: Option<Number>,
    /// The connector.
    connector_id: Option<Number>,
}

impl FaultEvent {
    /// The place.
    pub fn place(&self) -> Where {
        Where { evse: number(self.evse_id), connector: number(self.connector_id) }
    }
}

/// A transaction is to start.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct StartTransactionEvent {
    /// The tag it is for.
    id_tag: Tag,
    /// The EVSE.
    evse_id: Option<Number>,
    /// The connector.
    connector_id: Option<Number>,
}

/// A transaction is to stop.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct StopTransactionEvent {
    /// Which; absent where but one runs.
    transaction_id: Option<String>,
}

/// A session as a whole: plug, authorize, start.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct StartSessionEvent {
    /// The tag it is for.
    id_tag: Tag,
    /// The connector.
    connector_id: Option<Number>,
    /// Seconds after which it stops by itself.
    duration_seconds: Option<Whole<1, 31_536_000>>,
    /// Energy after which it stops by itself, in kWh.
    target_energy_kwh: Option<Energy>,
}

/// Energy in kWh.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Energy(f64);

/// The most energy of a session, in kWh.
const MOST_ENERGY: f64 = 100_000.0;

impl<'de> Deserialize<'de> for Energy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match f64::deserialize(deserializer)? {
            energy if energy > 0.0 && energy <= MOST_ENERGY => Ok(Self(energy)),
            energy => Err(D::Error::custom(format!("`{energy}` is not more than 0 and at most {MOST_ENERGY}"))),
        }
    }
}

impl JsonSchema for Energy {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Energy".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number", "exclusiveMinimum": 0, "maximum": MOST_ENERGY})
    }
}

/// A session is to end: stop the transaction, unplug.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct StopSessionEvent {
    /// The connector.
    connector_id: Option<Number>,
}

/// A tag is presented.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct AuthorizeEvent {
    /// The tag.
    id_tag: Tag,
}

/// The power that flows while charging.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct PowerEvent {
    /// Watts.
    power_w: Whole<0, 10_000_000>,
    /// The EVSE.
    evse_id: Option<Number>,
    /// The connector.
    connector_id: Option<Number>,
}

/// New values for OCPP configuration keys.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct ConfigurationEvent {
    /// Value by key, one or more.
    #[schemars(extend("minProperties" = 1))]
    #[serde(deserialize_with = "one_or_more")]
    pub configuration: BTreeMap<String, String>,
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values = BTreeMap::deserialize(deserializer)?;
    if values.is_empty() { Err(D::Error::custom("at least one configuration key is needed")) } else { Ok(values) }
}

/// A whole local authorization list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct LocalListEvent {
    /// Must be later than that of the list in force.
    pub list_version: Whole<0, 2_147_483_647>,
    /// The tags.
    pub entries: Vec<Object<ListedTag>>,
}

/// A tag of the list; those in it are accepted until they expire.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct ListedTag {
    /// The tag.
    id_tag: Tag,
    /// Until when.
    expiry_date: Option<Moment>,
    /// Its group.
    parent_id_tag: Option<Tag>,
}

/// A message from the charger to its CSMS.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ProxyEvent {
    /// The action in snake case, such as `boot_notification`.
    pub action: String,
    /// Must be that of the charger.
    pub ocpp_version: OcppVersion,
    /// The message.
    pub payload: Map<String, Value>,
}

impl JsonSchema for ProxyEvent {
    fn schema_name() -> Cow<'static, str> {
        "ProxyEvent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let of = |version: OcppVersion| {
            json_schema!({
                "type": "object",
                "required": ["action", "ocpp_version", "payload"],
                "properties": {
                    "action": {"type": "string", "enum": super::actions::names(version)},
                    "ocpp_version": {"type": "string", "const": version.name()},
                    "payload": {"type": "object"}
                }
            })
        };
        json_schema!({
            "description": "A message from the charger to its CSMS, in the charger's version of OCPP.",
            "oneOf": [of(OcppVersion::Ocpp16), of(OcppVersion::Ocpp201)]
        })
    }
}

impl StartTransactionEvent {
    /// What it asks of a charge point.
    pub fn into_request(self) -> Request {
        let at = Where { evse: number(self.evse_id), connector: number(self.connector_id) };
        Request::StartTransaction { at, id_tag: self.id_tag.0 }
    }
}

impl StopTransactionEvent {
    /// What it asks of a charge point.
    pub fn into_request(self) -> Request {
        Request::StopTransaction(self.transaction_id)
    }
}

impl StartSessionEvent {
    /// What it asks of a charge point.
    pub fn into_request(self) -> Request {
        let seconds = self.duration_seconds.and_then(|seconds| u64::try_from(seconds.0).ok());
        Request::StartSession {
            at: Where { evse: None, connector: number(self.connector_id) },
            id_tag: self.id_tag.0,
            duration: seconds.map(Duration::from_secs),
            // Less than a watt-hour is one.
            energy_wh: self.target_energy_kwh.map(|energy| ((energy.0 * 1000.0).round() as u64).max(1)),
        }
    }
}

impl StopSessionEvent {
    /// What it asks of a charge point.
    pub fn into_request(self) -> Request {
        Request::StopSession(Where { evse: None, connector: number(self.connector_id) })
    }
}

impl AuthorizeEvent {
    /// What it asks of a charge point.
    pub fn into_request(self) -> Request {
        Request::Authorize(self.id_tag.0)
    }
}

impl PowerEvent {
    /// What it asks of a charge point.
    pub fn into_request(self) -> Request {
        let at = Where { evse: number(self.evse_id), connector: number(self.connector_id) };
        Request::SetPower { at, watts: u32::try_from(self.power_w.0).unwrap_or(u32::MAX) }
    }
}

impl LocalListEvent {
    /// What it asks of a charge point.
    pub fn into_request(self) -> Request {
        let entries = self.entries.into_iter().map(|Object(entry)| {
            let expiry = entry.expiry_date.map(Moment::since_epoch);
            let parent = entry.parent_id_tag.map(|tag| tag.0);
            let status = AuthorizationStatus::Accepted;
            (entry.id_tag.0, Some(TagInfo { status, expiry, parent }))
        });
        let version = i32::try_from(self.list_version.0).unwrap_or(i32::MAX);
        Request::UpdateList { kind: UpdateType::Full, version, entries: entries.collect() }
    }
}

//! What the two versions have in common: requests of a charge point, and what becomes of those of a CSMS.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::frame::ErrorCode;
use super::moment::from_rfc3339;
use super::outbox::Outbox;
use super::version::OcppVersion;
use super::{v16, v201};
use crate::auth;
use crate::station::charge_point::{Answer, ConnectorStatus, Keys, Meter, Report, Request, Scope, TagInfo};

/// A request of the charge point.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What is asked.
    pub action: &'static str,
    /// With what.
    pub payload: Value,
}

impl Call {
    pub(super) fn new(action: &'static str, payload: Value) -> Self {
        Self { action, payload }
    }
}

/// When and how something was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Occasion {
    /// When, counted from the Unix epoch.
    pub at: Duration,
    /// The number of the event within its transaction (2.0.1).
    pub seq_no: Option<i32>,
    /// Whether the CSMS was away then.
    pub is_offline: bool,
}

/// A report of the charge point in the words of a version; `None` for what no CSMS is told. `named` is what the CSMS
/// calls the transaction.
///
/// # Errors
/// When the version cannot say it.
pub fn of_report(
    version: OcppVersion,
    report: &Report,
    occasion: Occasion,
    named: Option<&str>,
) -> Option<Result<Call, String>> {
    match version {
        OcppVersion::Ocpp16 => v16::of_report(report, occasion, named),
        OcppVersion::Ocpp201 => v201::of_report(report, occasion).map(Ok),
    }
}

/// What a CSMS says of a tag, in the words of a version.
pub fn of_info(version: OcppVersion, info: &TagInfo) -> Value {
    match version {
        OcppVersion::Ocpp16 => v16::of_info(info),
        OcppVersion::Ocpp201 => v201::of_info(info),
    }
}

/// The charge point has started, or was asked to say so.
pub(super) fn boot(version: OcppVersion, vendor: &str, model: &str, reason: BootReason) -> Call {
    let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let payload = match version {
        OcppVersion::Ocpp16 => json!({"chargePointVendor": cut(vendor, 20), "chargePointModel": cut(model, 20)}),
        OcppVersion::Ocpp201 => {
            json!({"reason": reason, "chargingStation": {"vendorName": cut(vendor, 50), "model": cut(model, 20)}})
        }
    };
    Call::new("BootNotification", payload)
}

/// Why a charge point says that it has started (2.0.1, BootReasonEnumType).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum BootReason {
    PowerUp,
    RemoteReset,
    Triggered,
}

/// The state of a connector; EVSE 0 is the charge point as a whole, which 1.6 alone has.
pub(super) fn status(
    version: OcppVersion,
    evse: i32,
    status: ConnectorStatus,
    fault: Option<&str>,
    at: Duration,
) -> Call {
    match version {
        OcppVersion::Ocpp16 => v16::status(evse, status, fault, at),
        OcppVersion::Ocpp201 => v201::status(evse, status, at),
    }
}

/// Whether a version has the same word for two states.
pub(super) fn is_same(version: OcppVersion, one: ConnectorStatus, other: ConnectorStatus) -> bool {
    match version {
        OcppVersion::Ocpp16 => one == other,
        OcppVersion::Ocpp201 => v201::word(one) == v201::word(other),
    }
}

/// A meter, on request.
pub(super) fn meter(version: OcppVersion, meter: &Meter, named: Option<&str>, at: Duration) -> Call {
    match version {
        OcppVersion::Ocpp16 => v16::meter(meter, named, at),
        OcppVersion::Ocpp201 => v201::meter(meter, at),
    }
}

/// What the CSMS says in its answer to an Authorize.
pub(super) fn read_authorized(version: OcppVersion, payload: Value) -> Result<TagInfo, Refusal> {
    match version {
        OcppVersion::Ocpp16 => v16::read_authorized(payload),
        OcppVersion::Ocpp201 => v201::read_authorized(payload),
    }
}

/// What the CSMS says in its answer to the start of a transaction: its name for it, and what the tag is worth.
pub(super) fn read_started(version: OcppVersion, payload: Value) -> Result<(Option<String>, Option<TagInfo>), Refusal> {
    match version {
        OcppVersion::Ocpp16 => v16::read_started(payload).map(|(named, info)| (Some(named), Some(info))),
        OcppVersion::Ocpp201 => v201::read_event(payload).map(|info| (None, info)),
    }
}

/// What the CSMS says of the tag in its answer to another message of a transaction.
pub(super) fn read_noted(version: OcppVersion, report: &Report, payload: Value) -> Result<Option<TagInfo>, Refusal> {
    match (version, report) {
        (OcppVersion::Ocpp16, Report::TransactionStopped { .. }) => v16::read_stopped(payload),
        (OcppVersion::Ocpp16, _) => Ok(None),
        (OcppVersion::Ocpp201, _) => v201::read_event(payload),
    }
}

/// What the CSMS says in its answer to a boot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Registration {
    pub status: RegistrationStatus,
    /// Seconds: between heartbeats, or until the next try.
    pub interval: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum RegistrationStatus {
    Accepted,
    Pending,
    Rejected,
}

/// What the session knows when the CSMS asks for something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation<'a> {
    pub keys: &'a Keys,
    pub evses: u8,
    pub vendor: &'a str,
    /// The transactions that run, by EVSE.
    pub busy: &'a BTreeMap<i32, String>,
    pub outbox: &'a Outbox,
    /// The states of connectors.
    pub states: &'a BTreeMap<i32, (ConnectorStatus, Option<String>)>,
    pub now: Duration,
}

/// How what came of a request becomes an answer.
pub(super) type Translation = Box<dyn FnOnce(Result<Answer, String>) -> Value + Send>;

/// A request of the CSMS that makes sense.
pub(super) enum Incoming {
    /// The charge point does it.
    Ask(Request, Translation),
    /// It is answered with this.
    Tell(Value),
    /// It is answered with this, and these requests follow.
    TellThen(Value, Vec<Call>),
    /// The charge point sends a message; an EVSE that is named exists.
    Trigger(Trigger, Option<i32>),
    /// The charge point restarts.
    Reset(Reset),
}

/// A message that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    Boot,
    Heartbeat,
    Status,
    Meter,
}

impl Trigger {
    /// By the name of the message.
    pub fn find(name: &str) -> Option<Self> {
        Some(match name {
            "BootNotification" => Trigger::Boot,
            "Heartbeat" => Trigger::Heartbeat,
            "StatusNotification" => Trigger::Status,
            "MeterValues" => Trigger::Meter,
            _ => return None,
        })
    }
}

/// How a charge point restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reset {
    Soft,
    Hard,
    /// Once no transaction runs.
    OnIdle,
}

/// Why a request is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub code: ErrorCode,
    pub why: String,
}

/// What a request of the CSMS means.
pub(super) fn read(
    version: OcppVersion,
    action: &str,
    payload: Value,
    situation: Situation<'_>,
) -> Result<Incoming, Refusal> {
    match version {
        OcppVersion::Ocpp16 => v16::read(action, payload, situation),
        OcppVersion::Ocpp201 => v201::read(action, payload, situation),
    }
}

/// Actions that are not here: known ones and others.
pub(super) fn refused(action: &str, known: &[&str]) -> Refusal {
    let code = if known.contains(&action) { ErrorCode::NotSupported } else { ErrorCode::NotImplemented };
    Refusal { code, why: format!("a simulated charge point has no {action}") }
}

/// Reads a payload; what is wrong with it by the words of serde.
pub(super) fn read_as<T: DeserializeOwned>(payload: Value) -> Result<T, Refusal> {
    serde_json::from_value(payload).map_err(|error| {
        let why = error.to_string();
        let code = match () {
            () if why.starts_with("missing field") => ErrorCode::Occurrence,
            () if why.starts_with("invalid type") => ErrorCode::Type,
            () => ErrorCode::Property,
        };
        Refusal { code, why }
    })
}

/// A moment in a payload.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Moment(pub Duration);

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        from_rfc3339(&text).map(Self).ok_or_else(|| format!("`{}` is no moment", text.escape_debug()))
    }
}

/// An answer that is a status.
pub(super) fn of_status(status: &str) -> Value {
    json!({"status": status})
}

/// An answer that is one of two statuses.
pub(super) fn done_or(done: &'static str, not: &'static str) -> Translation {
    Box::new(move |outcome| of_status(if outcome.is_ok() { done } else { not }))
}

/// The answer to ClearCache. Without a cache there is none to be reset (2.0.1, C11).
pub(super) fn clear_cache() -> Incoming {
    Incoming::Ask(Request::ResetCache, done_or("Accepted", "Rejected"))
}

/// The answer to ReserveNow.
pub(super) fn reserve(reservation: auth::Reservation) -> Incoming {
    let translate = |outcome| match outcome {
        Ok(Answer::Reserved(status)) => json!({"status": status}),
        _ => of_status("Rejected"),
    };
    Incoming::Ask(Request::Reserve(reservation), Box::new(translate))
}

/// The answer to DataTransfer: a charge point knows nothing but messages of its own vendor, and none of these.
pub(super) fn transfer(payload: Value, situation: Situation<'_>) -> Result<Incoming, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct DataTransfer {
        vendor_id: String,
        message_id: Option<String>,
    }
    let DataTransfer { vendor_id, message_id } = read_as(payload)?;
    Ok(Incoming::Tell(of_status(match message_id {
        _ if vendor_id != situation.vendor => "UnknownVendorId",
        Some(_) => "UnknownMessageId",
        None => "Rejected",
    })))
}

/// The answer to ChangeAvailability.
pub(super) fn change_availability(of: Scope, is_operative: bool) -> Incoming {
    let translate: Translation = Box::new(|outcome| {
        of_status(match outcome {
            Ok(Answer::Scheduled) => "Scheduled",
            Ok(_) => "Accepted",
            Err(_) => "Rejected",
        })
    });
    Incoming::Ask(Request::ChangeAvailability { of, is_operative }, translate)
}

/// The answer to TriggerMessage.
pub(super) fn trigger(name: &str, evse: Option<i32>, situation: Situation<'_>) -> Incoming {
    match Trigger::find(name) {
        None => Incoming::Tell(of_status("NotImplemented")),
        Some(_) if evse.is_some_and(|evse| !is_evse(evse, situation)) => Incoming::Tell(of_status("Rejected")),
        Some(trigger) => Incoming::Trigger(trigger, evse),
    }
}

pub(super) fn is_evse(evse: i32, situation: Situation<'_>) -> bool {
    (1..=i32::from(situation.evses)).contains(&evse)
}

//! Requests and answers of OCPP 1.6 (edition 2, sections 4 to 7). An EVSE is a connector of the same number.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{
    self, Call, Incoming, Moment, Occasion, Refusal, Reset, Situation, change_availability, clear_cache, done_or,
    of_status, read_as, refused,
};
use super::frame::ErrorCode;
use super::moment::rfc3339;
use crate::auth;
use crate::protocol::types::AuthorizationStatus;
use crate::station::charge_point::{
    Answer, ConnectorStatus, IdTag, Meter, Report, Request, Scope, SetResult, TagInfo, UpdateStatus, UpdateType, Where,
    keys,
};

/// The most characters of an id tag (section 7.28, IdToken).
const LONGEST_TAG: usize = 20;
/// What other charge points have.
const KNOWN: [&str; 14] = [
    "CertificateSigned",
    "ClearChargingProfile",
    "DeleteCertificate",
    "ExtendedTriggerMessage",
    "GetCompositeSchedule",
    "GetDiagnostics",
    "GetInstalledCertificateIds",
    "GetLog",
    "InstallCertificate",
    "SetChargingProfile",
    "SignedUpdateFirmware",
    "UpdateFirmware",
    "StartTransaction",
    "StopTransaction",
];

pub fn of_report(report: &Report, occasion: Occasion, named: Option<&str>) -> Option<Result<Call, String>> {
    let at = occasion.at;
    let call = match report {
        // The state of the connector says how it charges.
        Report::ReservationEnded { .. }
        | Report::Booted { .. }
        | Report::Configured(_)
        | Report::ChargingState { .. } => return None,
        Report::Authorize { id_tag, .. } => {
            fitting(id_tag).map(|id_tag| Call::new("Authorize", json!({"idTag": id_tag})))
        }
        Report::Status { evse, status: now, fault } => Ok(status(*evse, *now, fault.as_deref(), at)),
        Report::TransactionStarted { evse, transaction } => fitting(&transaction.id_tag).map(|id_tag| {
            let mut payload = json!({"connectorId": evse, "idTag": id_tag, "meterStart": transaction.meter_start_wh,
                "timestamp": rfc3339(transaction.started_at)});
            if let Some(id) = transaction.reservation_id {
                payload["reservationId"] = json!(id);
            }
            Call::new("StartTransaction", payload)
        }),
        Report::MeterValue { evse, transaction_id, meter_wh, power_w } => {
            let id = number(named.unwrap_or(transaction_id));
            let value = meter_value(*meter_wh, *power_w, "Sample.Periodic", at);
            Ok(Call::new("MeterValues", json!({"connectorId": evse, "transactionId": id, "meterValue": value})))
        }
        Report::TransactionStopped { transaction, meter_wh, reason, .. } => {
            let mut payload = json!({"transactionId": number(named.unwrap_or(&transaction.id)), "meterStop": meter_wh,
                "reason": reason, "timestamp": rfc3339(at)});
            if let Ok(id_tag) = fitting(&transaction.id_tag) {
                payload["idTag"] = json!(id_tag);
            }
            Ok(Call::new("StopTransaction", payload))
        }
    };
    Some(call)
}

pub fn status(evse: i32, status: ConnectorStatus, fault: Option<&str>, at: Duration) -> Call {
    let code = match fault {
        Some(fault) => error_code(fault),
        None if status == ConnectorStatus::Faulted => "OtherError",
        None => "NoError",
    };
    let payload = json!({"connectorId": evse, "errorCode": code, "status": status, "timestamp": rfc3339(at)});
    Call::new("StatusNotification", payload)
}

pub fn meter(meter: &Meter, named: Option<&str>, at: Duration) -> Call {
    let value = meter_value(meter.meter_wh, meter.power_w, "Trigger", at);
    let mut payload = json!({"connectorId": meter.evse, "meterValue": value});
    if let Some(id) = named.or(meter.transaction_id.as_deref()) {
        payload["transactionId"] = json!(number(id));
    }
    Call::new("MeterValues", payload)
}

pub fn of_info(info: &TagInfo) -> Value {
    use AuthorizationStatus::{Accepted, Blocked, ConcurrentTx, Expired, Invalid};
    // 1.6 has no other words.
    let status = match info.status {
        status @ (Accepted | Blocked | ConcurrentTx | Expired) => status,
        _ => Invalid,
    };
    let mut value = json!({"status": status});
    if let Some(expiry) = info.expiry {
        value["expiryDate"] = json!(rfc3339(expiry));
    }
    if let Some(parent) = &info.parent {
        value["parentIdTag"] = json!(parent);
    }
    json!({"idTagInfo": value})
}

/// A tag that 1.6 can carry.
fn fitting(tag: &IdTag) -> Result<&IdTag, String> {
    let length = tag.as_str().len();
    if length > LONGEST_TAG {
        return Err(format!("an id tag of OCPP 1.6 has at most {LONGEST_TAG} characters, not {length}"));
    }
    Ok(tag)
}

/// The id of a transaction; those that the CSMS never named are -1.
fn number(id: &str) -> i32 {
    id.parse().unwrap_or(-1)
}

fn meter_value(meter_wh: u64, power_w: u32, context: &str, at: Duration) -> Value {
    json!([{"timestamp": rfc3339(at), "sampledValue": [
        {"measurand": "Energy.Active.Import.Register", "unit": "Wh", "context": context, "value": meter_wh.to_string()},
        {"measurand": "Power.Active.Import", "unit": "W", "context": context, "value": power_w.to_string()},
    ]}])
}

/// The fault as ChargePointErrorCode.
fn error_code(fault: &str) -> &str {
    match fault {
        "GroundFault" => "GroundFailure",
        "OverCurrent" => "OverCurrentFailure",
        "OverTemperature" => "HighTemperature",
        "ConnectorLockFailure"
        | "EVCommunicationError"
        | "InternalError"
        | "OverVoltage"
        | "PowerMeterFailure"
        | "UnderVoltage"
        | "WeakSignal" => fault,
        _ => "OtherError",
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdTagInfo {
    status: AuthorizationStatus,
    expiry_date: Option<Moment>,
    parent_id_tag: Option<IdTag>,
}

impl From<IdTagInfo> for TagInfo {
    fn from(info: IdTagInfo) -> Self {
        TagInfo { status: info.status, expiry: info.expiry_date.map(|it| it.0), parent: info.parent_id_tag }
    }
}

pub fn read_authorized(payload: Value) -> Result<TagInfo, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Authorized {
        id_tag_info: IdTagInfo,
    }
    read_as::<Authorized>(payload).map(|answer| answer.id_tag_info.into())
}

pub fn read_started(payload: Value) -> Result<(String, TagInfo), Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Started {
        id_tag_info: IdTagInfo,
        transaction_id: i32,
    }
    read_as::<Started>(payload).map(|answer| (answer.transaction_id.to_string(), answer.id_tag_info.into()))
}

pub fn read_stopped(payload: Value) -> Result<Option<TagInfo>, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Stopped {
        id_tag_info: Option<IdTagInfo>,
    }
    read_as::<Stopped>(payload).map(|answer| answer.id_tag_info.map(TagInfo::from))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendLocalList {
    list_version: i32,
    update_type: Update,
    #[serde(default)]
    local_authorization_list: Vec<Entry>,
}

#[derive(Deserialize)]
pub(super) enum Update {
    Full,
    Differential,
}

impl From<Update> for UpdateType {
    fn from(update: Update) -> Self {
        match update {
            Update::Full => UpdateType::Full,
            Update::Differential => UpdateType::Differential,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id_tag: IdTag,
    id_tag_info: Option<IdTagInfo>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoteStart {
    id_tag: IdTag,
    connector_id: Option<i32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoteStop {
    transaction_id: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connector {
    connector_id: i32,
}

#[derive(Deserialize)]
struct ChangeConfiguration {
    key: String,
    value: String,
}

#[derive(Deserialize)]
struct GetConfiguration {
    key: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct ResetRequest {
    r#type: ResetType,
}

#[derive(Deserialize)]
enum ResetType {
    Soft,
    Hard,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangeAvailability {
    connector_id: i32,
    r#type: Availability,
}

#[derive(Deserialize, PartialEq)]
pub(super) enum Availability {
    Operative,
    Inoperative,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TriggerMessage {
    requested_message: String,
    connector_id: Option<i32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReserveNow {
    connector_id: i32,
    expiry_date: Moment,
    id_tag: IdTag,
    parent_id_tag: Option<IdTag>,
    reservation_id: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CancelReservation {
    reservation_id: i32,
}

pub fn read(action: &str, payload: Value, situation: Situation<'_>) -> Result<Incoming, Refusal> {
    Ok(match action {
        "ClearCache" => clear_cache(),
        "SendLocalList" => {
            let list: SendLocalList = read_as(payload)?;
            let entries = list.local_authorization_list.into_iter();
            let entries: Vec<_> = entries.map(|entry| (entry.id_tag, entry.id_tag_info.map(TagInfo::from))).collect();
            for (tag, _) in &entries {
                fits(tag)?;
            }
            let request = Request::UpdateList { kind: list.update_type.into(), version: list.list_version, entries };
            Incoming::Ask(request, Box::new(|outcome| of_status(of_update(&outcome).unwrap_or("NotSupported"))))
        }
        "GetLocalListVersion" => Incoming::Ask(
            Request::ReadListVersion,
            Box::new(|outcome| match outcome {
                Ok(Answer::ListVersion(Some(version))) => json!({"listVersion": version}),
                _ => json!({"listVersion": -1}),
            }),
        ),
        "RemoteStartTransaction" => {
            let RemoteStart { id_tag, connector_id } = read_as(payload)?;
            fits(&id_tag)?;
            let request = Request::RemoteStart { evse: connector_id, id_tag, remote_start_id: None };
            Incoming::Ask(request, done_or("Accepted", "Rejected"))
        }
        "RemoteStopTransaction" => {
            let RemoteStop { transaction_id } = read_as(payload)?;
            let request = Request::StopTransaction(Some(transaction_id.to_string()));
            Incoming::Ask(request, done_or("Accepted", "Rejected"))
        }
        "UnlockConnector" => {
            let Connector { connector_id } = read_as(payload)?;
            let request = Request::Unlock(Where { evse: Some(connector_id), connector: None });
            Incoming::Ask(request, done_or("Unlocked", "NotSupported"))
        }
        "ChangeConfiguration" => {
            let ChangeConfiguration { key, value } = read_as(payload)?;
            let translate = |outcome| {
                let result = match outcome {
                    Ok(Answer::Configured(results)) => results.into_values().next(),
                    _ => None,
                };
                of_status(result.map_or("Rejected", of_set))
            };
            Incoming::Ask(Request::Configure(BTreeMap::from([(key, value)])), Box::new(translate))
        }
        "GetConfiguration" => Incoming::Tell(configuration(read_as(payload)?, situation)),
        "Reset" => Incoming::Reset(match read_as(payload)? {
            ResetRequest { r#type: ResetType::Soft } => Reset::Soft,
            ResetRequest { r#type: ResetType::Hard } => Reset::Hard,
        }),
        "ChangeAvailability" => {
            let ChangeAvailability { connector_id, r#type } = read_as(payload)?;
            let of = if connector_id == 0 { Scope::WholeAndEach } else { Scope::Evse(connector_id) };
            change_availability(of, r#type == Availability::Operative)
        }
        "TriggerMessage" => {
            let TriggerMessage { requested_message, connector_id } = read_as(payload)?;
            call::trigger(&requested_message, connector_id, situation)
        }
        "ReserveNow" => {
            let wanted: ReserveNow = read_as(payload)?;
            fits(&wanted.id_tag)?;
            wanted.parent_id_tag.as_ref().map_or(Ok(()), fits)?;
            call::reserve(auth::Reservation {
                reservation_id: wanted.reservation_id,
                id_token: wanted.id_tag.into(),
                parent_id_token: wanted.parent_id_tag.map(String::from),
                // As `ReserveConnectorZeroSupported` says.
                evse_id: Some(wanted.connector_id).filter(|connector| *connector != 0),
                connector_type: None,
                expires: Some(wanted.expiry_date.0),
            })
        }
        "CancelReservation" => {
            let CancelReservation { reservation_id } = read_as(payload)?;
            Incoming::Ask(Request::CancelReservation(reservation_id), done_or("Accepted", "Rejected"))
        }
        "DataTransfer" => call::transfer(payload, situation)?,
        _ => return Err(refused(action, &KNOWN)),
    })
}

fn fits(tag: &IdTag) -> Result<(), Refusal> {
    fitting(tag).map(|_| ()).map_err(|why| Refusal { code: ErrorCode::Property, why })
}

/// What became of an update of the list; `None` where there is no list.
pub(super) fn of_update(outcome: &Result<Answer, String>) -> Option<&'static str> {
    match outcome {
        Ok(Answer::List { status: UpdateStatus::Accepted, .. }) => Some("Accepted"),
        Ok(Answer::List { status: UpdateStatus::Failed, .. }) => Some("Failed"),
        Ok(Answer::List { status: UpdateStatus::VersionMismatch, .. }) => Some("VersionMismatch"),
        _ => None,
    }
}

fn of_set(result: SetResult) -> &'static str {
    match result {
        SetResult::Accepted => "Accepted",
        SetResult::RebootRequired => "RebootRequired",
        SetResult::Rejected => "Rejected",
        SetResult::NotSupported => "NotSupported",
    }
}

/// The keys that were asked for, or all (section 5.8).
fn configuration(request: GetConfiguration, situation: Situation<'_>) -> Value {
    let of_key =
        |key: &keys::Key| json!({"key": key.name, "readonly": key.is_read_only, "value": situation.keys.get(key)});
    match request.key.filter(|names| !names.is_empty()) {
        None => json!({"configurationKey": keys::TABLE.iter().map(of_key).collect::<Vec<_>>()}),
        Some(names) => {
            let (mut known, mut unknown) = (Vec::new(), Vec::new());
            for name in names {
                match keys::find(&name) {
                    Some(key) => known.push(of_key(key)),
                    None => unknown.push(name),
                }
            }
            json!({"configurationKey": known, "unknownKey": unknown})
        }
    }
}

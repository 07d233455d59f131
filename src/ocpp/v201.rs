//! Requests and answers of OCPP 2.0.1 (edition 2, part 2). An EVSE has one connector.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::base_report::GetBaseReport;
use super::call::{
    self, Call, Incoming, Moment, Occasion, Refusal, Reset, Situation, change_availability, clear_cache, done_or,
    is_evse, of_status, read_as, refused,
};
use super::moment::rfc3339;
use super::v16::{Availability, Update, of_update};
use crate::auth;
use crate::protocol::types::{AuthorizationStatus, ConnectorType};
use crate::station::charge_point::{
    Answer, ConnectorStatus, IdTag, Meter, Report, Request, Scope, SetResult, StopReason, TagInfo, Where, keys,
};

/// What other charging stations have.
const KNOWN: [&str; 31] = [
    "CertificateSigned",
    "ClearChargingProfile",
    "ClearDisplayMessage",
    "ClearVariableMonitoring",
    "CostUpdated",
    "CustomerInformation",
    "DeleteCertificate",
    "GetChargingProfiles",
    "GetCompositeSchedule",
    "GetDisplayMessages",
    "GetInstalledCertificateIds",
    "GetLog",
    "GetMonitoringReport",
    "GetReport",
    "InstallCertificate",
    "PublishFirmware",
    "SetChargingProfile",
    "SetDisplayMessage",
    "SetMonitoringBase",
    "SetMonitoringLevel",
    "SetNetworkProfile",
    "SetVariableMonitoring",
    "UnpublishFirmware",
    "UpdateFirmware",
    "Authorize",
    "BootNotification",
    "Heartbeat",
    "MeterValues",
    "NotifyEvent",
    "StatusNotification",
    "TransactionEvent",
];

pub fn of_report(report: &Report, occasion: Occasion) -> Option<Call> {
    let at = occasion.at;
    Some(match report {
        // The charging station as a whole has no status of its own.
        Report::Booted { .. } | Report::Configured(_) | Report::Status { evse: 0, .. } => return None,
        Report::Authorize { id_tag, .. } => Call::new("Authorize", json!({"idToken": token(id_tag)})),
        Report::Status { evse, status: now, .. } => status(*evse, *now, at),
        Report::TransactionStarted { evse, transaction } => {
            let trigger = if transaction.remote_start_id.is_some() { "RemoteStart" } else { "Authorized" };
            let mut info = json!({"transactionId": transaction.id, "chargingState": "Charging"});
            if let Some(id) = transaction.remote_start_id {
                info["remoteStartId"] = json!(id);
            }
            let mut payload = event("Started", trigger, info, *evse, occasion);
            if let Some(id) = transaction.reservation_id {
                payload["reservationId"] = json!(id);
            }
            payload["timestamp"] = json!(rfc3339(transaction.started_at));
            payload["idToken"] = token(&transaction.id_tag);
            payload["meterValue"] = meter_value(transaction.meter_start_wh, None, "Transaction.Begin", at);
            Call::new("TransactionEvent", payload)
        }
        Report::ReservationEnded { id, how } => {
            let payload = json!({"reservationId": id, "reservationUpdateStatus": how});
            Call::new("ReservationStatusUpdate", payload)
        }
        Report::ChargingState { evse, transaction_id, status } => {
            let info = json!({"transactionId": transaction_id, "chargingState": status});
            Call::new("TransactionEvent", event("Updated", "ChargingStateChanged", info, *evse, occasion))
        }
        Report::MeterValue { evse, transaction_id, meter_wh, power_w } => {
            let info = json!({"transactionId": transaction_id});
            let mut payload = event("Updated", "MeterValuePeriodic", info, *evse, occasion);
            payload["meterValue"] = meter_value(*meter_wh, Some(*power_w), "Sample.Periodic", at);
            Call::new("TransactionEvent", payload)
        }
        Report::TransactionStopped { evse, transaction, meter_wh, reason } => {
            let (trigger, stopped) = match reason {
                StopReason::DeAuthorized => ("Deauthorized", "DeAuthorized"),
                StopReason::EVDisconnected => ("EVDeparted", "EVDisconnected"),
                StopReason::HardReset | StopReason::SoftReset => ("ResetCommand", "ImmediateReset"),
                StopReason::Reboot => ("AbnormalCondition", "Reboot"),
                StopReason::Local => ("StopAuthorized", "Local"),
                StopReason::Remote => ("RemoteStop", "Remote"),
                StopReason::UnlockCommand => ("UnlockCommand", "Other"),
            };
            let info = json!({"transactionId": transaction.id, "stoppedReason": stopped});
            let mut payload = event("Ended", trigger, info, *evse, occasion);
            payload["meterValue"] = meter_value(*meter_wh, None, "Transaction.End", at);
            Call::new("TransactionEvent", payload)
        }
    })
}

fn event(kind: &str, trigger: &str, info: Value, evse: i32, occasion: Occasion) -> Value {
    let mut payload = json!({"eventType": kind, "timestamp": rfc3339(occasion.at), "triggerReason": trigger,
        "transactionInfo": info, "evse": {"id": evse, "connectorId": 1}});
    if let Some(seq_no) = occasion.seq_no {
        payload["seqNo"] = json!(seq_no);
    }
    if occasion.is_offline {
        payload["offline"] = json!(true);
    }
    payload
}

/// The state of a connector as ConnectorStatusEnumType.
pub fn word(status: ConnectorStatus) -> &'static str {
    match status {
        ConnectorStatus::Available => "Available",
        ConnectorStatus::Unavailable => "Unavailable",
        ConnectorStatus::Faulted => "Faulted",
        ConnectorStatus::Reserved => "Reserved",
        _ => "Occupied",
    }
}

pub fn status(evse: i32, status: ConnectorStatus, at: Duration) -> Call {
    let payload = json!({"timestamp": rfc3339(at), "connectorStatus": word(status), "evseId": evse, "connectorId": 1});
    Call::new("StatusNotification", payload)
}

pub fn meter(meter: &Meter, at: Duration) -> Call {
    let value = meter_value(meter.meter_wh, Some(meter.power_w), "Trigger", at);
    Call::new("MeterValues", json!({"evseId": meter.evse, "meterValue": value}))
}

pub fn of_info(info: &TagInfo) -> Value {
    let mut value = json!({"status": info.status});
    if let Some(expiry) = info.expiry {
        value["cacheExpiryDateTime"] = json!(rfc3339(expiry));
    }
    if let Some(parent) = &info.parent {
        value["groupIdToken"] = json!({"idToken": parent, "type": "Central"});
    }
    json!({"idTokenInfo": value})
}

fn token(tag: &IdTag) -> Value {
    json!({"idToken": tag, "type": "ISO14443"})
}

fn meter_value(meter_wh: u64, power_w: Option<u32>, context: &str, at: Duration) -> Value {
    let sample = |measurand: &str, unit: &str, value: u64| json!({"measurand": measurand, "unitOfMeasure": {"unit": unit}, "context": context, "value": value});
    let register = sample("Energy.Active.Import.Register", "Wh", meter_wh);
    let power = power_w.map(|power| sample("Power.Active.Import", "W", power.into()));
    let samples: Vec<Value> = [Some(register), power].into_iter().flatten().collect();
    json!([{"timestamp": rfc3339(at), "sampledValue": samples}])
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdToken {
    id_token: IdTag,
}

/// A type of connectors (ConnectorEnumType) in EVerest's spelling.
fn connector_type(name: &str) -> Result<ConnectorType, Refusal> {
    let name = if name == "sCEE-7-7" { "sCEE-7_7".to_owned() } else { name.replace('-', "_") };
    read_as(Value::String(name))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdTokenInfo {
    status: AuthorizationStatus,
    cache_expiry_date_time: Option<Moment>,
    group_id_token: Option<IdToken>,
}

impl From<IdTokenInfo> for TagInfo {
    fn from(info: IdTokenInfo) -> Self {
        TagInfo {
            status: info.status,
            expiry: info.cache_expiry_date_time.map(|it| it.0),
            parent: info.group_id_token.map(|token| token.id_token),
        }
    }
}

pub fn read_authorized(payload: Value) -> Result<TagInfo, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Authorized {
        id_token_info: IdTokenInfo,
    }
    read_as::<Authorized>(payload).map(|answer| answer.id_token_info.into())
}

pub fn read_event(payload: Value) -> Result<Option<TagInfo>, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Noted {
        id_token_info: Option<IdTokenInfo>,
    }
    read_as::<Noted>(payload).map(|answer| answer.id_token_info.map(TagInfo::from))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendLocalList {
    version_number: i32,
    update_type: Update,
    #[serde(default)]
    local_authorization_list: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id_token: IdToken,
    id_token_info: Option<IdTokenInfo>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestStart {
    id_token: IdToken,
    remote_start_id: i32,
    evse_id: Option<i32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestStop {
    transaction_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connector {
    evse_id: i32,
    connector_id: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResetRequest {
    r#type: ResetType,
    evse_id: Option<i32>,
}

#[derive(Deserialize)]
enum ResetType {
    Immediate,
    OnIdle,
}

#[derive(Deserialize)]
struct Evse {
    id: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangeAvailability {
    operational_status: Availability,
    evse: Option<Evse>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TriggerMessage {
    requested_message: String,
    evse: Option<Evse>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReserveNow {
    id: i32,
    expiry_date_time: Moment,
    id_token: IdToken,
    evse_id: Option<i32>,
    group_id_token: Option<IdToken>,
    connector_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CancelReservation {
    reservation_id: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GetTransactionStatus {
    transaction_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetVariables {
    set_variable_data: Vec<Variable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GetVariables {
    get_variable_data: Vec<Variable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Variable {
    attribute_type: Option<String>,
    attribute_value: Option<String>,
    component: Named,
    variable: Named,
}

/// A component or a variable.
#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    instance: Option<String>,
}

impl Named {
    fn to_value(&self) -> Value {
        match &self.instance {
            Some(instance) => json!({"name": self.name, "instance": instance}),
            None => json!({"name": self.name}),
        }
    }
}

impl Variable {
    /// The key behind it, or what is wrong with it.
    fn key(&self) -> Result<&'static keys::Key, &'static str> {
        if self.attribute_type.as_deref().is_some_and(|kind| kind != "Actual") {
            return Err("NotSupportedAttributeType");
        }
        keys::find_variable(&self.component.name, &self.variable.name).ok_or_else(|| {
            let is_component =
                |key: &keys::Key| key.variable.is_some_and(|(name, _)| name.eq_ignore_ascii_case(&self.component.name));
            if keys::TABLE.iter().any(is_component) { "UnknownVariable" } else { "UnknownComponent" }
        })
    }

    fn result(&self, status: &str) -> Value {
        let kind = self.attribute_type.as_deref().unwrap_or("Actual");
        json!({"attributeType": kind, "attributeStatus": status, "component": self.component.to_value(),
            "variable": self.variable.to_value()})
    }
}

pub fn read(action: &str, payload: Value, situation: Situation<'_>) -> Result<Incoming, Refusal> {
    Ok(match action {
        "ClearCache" => clear_cache(),
        "SendLocalList" => {
            let list: SendLocalList = read_as(payload)?;
            let entries = list.local_authorization_list.into_iter();
            let entries = entries.map(|entry| (entry.id_token.id_token, entry.id_token_info.map(TagInfo::from)));
            let (kind, version) = (list.update_type.into(), list.version_number);
            let request = Request::UpdateList { kind, version, entries: entries.collect() };
            Incoming::Ask(request, Box::new(|outcome| of_status(of_update(&outcome).unwrap_or("Failed"))))
        }
        "GetLocalListVersion" => Incoming::Ask(
            Request::ReadListVersion,
            Box::new(|outcome| match outcome {
                Ok(Answer::ListVersion(Some(version))) => json!({"versionNumber": version}),
                _ => json!({"versionNumber": 0}),
            }),
        ),
        "RequestStartTransaction" => {
            let request: RequestStart = read_as(payload)?;
            let request = Request::RemoteStart {
                evse: request.evse_id,
                id_tag: request.id_token.id_token,
                remote_start_id: Some(request.remote_start_id),
            };
            Incoming::Ask(request, done_or("Accepted", "Rejected"))
        }
        "RequestStopTransaction" => {
            let RequestStop { transaction_id } = read_as(payload)?;
            Incoming::Ask(Request::StopTransaction(Some(transaction_id)), done_or("Accepted", "Rejected"))
        }
        "UnlockConnector" => {
            let Connector { evse_id, connector_id } = read_as(payload)?;
            match () {
                () if !is_evse(evse_id, situation) || connector_id != 1 => {
                    Incoming::Tell(of_status("UnknownConnector"))
                }
                () if situation.busy.contains_key(&evse_id) => {
                    Incoming::Tell(of_status("OngoingAuthorizedTransaction"))
                }
                () => {
                    let request = Request::Unlock(Where { evse: Some(evse_id), connector: None });
                    Incoming::Ask(request, done_or("Unlocked", "UnlockFailed"))
                }
            }
        }
        "SetVariables" => set_variables(read_as(payload)?),
        "GetVariables" => {
            let GetVariables { get_variable_data } = read_as(payload)?;
            let results = get_variable_data.iter().map(|variable| match variable.key() {
                Ok(key) => {
                    let mut result = variable.result("Accepted");
                    result["attributeValue"] = json!(situation.keys.get(key));
                    result
                }
                Err(status) => variable.result(status),
            });
            Incoming::Tell(json!({"getVariableResult": results.collect::<Vec<_>>()}))
        }
        "Reset" => match read_as(payload)? {
            // An EVSE alone does not restart.
            ResetRequest { evse_id: Some(_), .. } => Incoming::Tell(of_status("Rejected")),
            ResetRequest { r#type: ResetType::Immediate, .. } => Incoming::Reset(Reset::Soft),
            ResetRequest { r#type: ResetType::OnIdle, .. } => Incoming::Reset(Reset::OnIdle),
        },
        "ChangeAvailability" => {
            let ChangeAvailability { operational_status, evse } = read_as(payload)?;
            change_availability(
                evse.map_or(Scope::Whole, |evse| Scope::Evse(evse.id)),
                operational_status == Availability::Operative,
            )
        }
        "TriggerMessage" => {
            let TriggerMessage { requested_message, evse } = read_as(payload)?;
            call::trigger(&requested_message, evse.map(|evse| evse.id), situation)
        }
        "ReserveNow" => {
            let wanted: ReserveNow = read_as(payload)?;
            let named = wanted.connector_type.as_deref();
            let connector_type = named.map(connector_type).transpose()?;
            call::reserve(auth::Reservation {
                reservation_id: wanted.id,
                id_token: wanted.id_token.id_token.into(),
                parent_id_token: wanted.group_id_token.map(|token| token.id_token.into()),
                // Any, as ReservationCtrlr.NonEvseSpecific says.
                evse_id: wanted.evse_id,
                connector_type,
                expires: Some(wanted.expiry_date_time.0),
            })
        }
        "CancelReservation" => {
            let CancelReservation { reservation_id } = read_as(payload)?;
            Incoming::Ask(Request::CancelReservation(reservation_id), done_or("Accepted", "Rejected"))
        }
        "GetTransactionStatus" => {
            let GetTransactionStatus { transaction_id } = read_as(payload)?;
            let id = transaction_id.as_deref();
            let mut answer = json!({"messagesInQueue": situation.outbox.has(id)});
            if let Some(id) = id {
                answer["ongoingIndicator"] = json!(situation.busy.values().any(|running| running == id));
            }
            Incoming::Tell(answer)
        }
        "GetBaseReport" => {
            let request: GetBaseReport = read_as(payload)?;
            let calls = request.calls(situation);
            Incoming::TellThen(of_status(if calls.is_empty() { "EmptyResultSet" } else { "Accepted" }), calls)
        }
        "DataTransfer" => call::transfer(payload, situation)?,
        _ => return Err(refused(action, &KNOWN)),
    })
}

fn set_variables(request: SetVariables) -> Incoming {
    let data = request.set_variable_data;
    let mut values = BTreeMap::new();
    for variable in &data {
        if let (Ok(key), Some(value)) = (variable.key(), &variable.attribute_value) {
            values.insert(key.name.to_owned(), value.clone());
        }
    }
    let translate = move |outcome| {
        let results = match outcome {
            Ok(Answer::Configured(results)) => results,
            _ => BTreeMap::new(),
        };
        let of = |variable: &Variable| {
            variable.result(match variable.key() {
                Err(status) => status,
                Ok(key) => match results.get(key.name) {
                    Some(SetResult::Accepted) => "Accepted",
                    Some(SetResult::RebootRequired) => "RebootRequired",
                    Some(SetResult::Rejected | SetResult::NotSupported) | None => "Rejected",
                },
            })
        };
        json!({"setVariableResult": data.iter().map(of).collect::<Vec<_>>()})
    };
    Incoming::Ask(Request::Configure(values), Box::new(translate))
}

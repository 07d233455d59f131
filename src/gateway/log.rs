//! What a charger and its CSMS said to each other, and what the gateway told the charger: the last of it, in words of
//! the charger's version of OCPP.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::chargers::OcppVersion;
use super::feed::Feed;
use crate::sim::everest::Said;
use crate::station::charge_point::{ConnectorStatus, CsmsInput, IdTag, Report, StopReason, TagInfo};

/// Entries that are kept; older ones are forgotten.
pub const CAPACITY: usize = 200;
/// The most bytes of a message that is kept.
const LARGEST_MESSAGE: usize = 2048;

/// The last that was said.
#[derive(Debug, Default)]
pub struct Log {
    entries: Mutex<VecDeque<Kept>>,
    /// The charger's id, and who watches.
    watched: Option<(String, Feed)>,
}

#[derive(Debug)]
struct Kept {
    direction: Direction,
    action: String,
    /// As JSON, which takes less room than its value.
    message: String,
    at: Duration,
}

/// From whom to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the charger to its CSMS.
    Outgoing,
    /// From the CSMS to the charger.
    Incoming,
    /// From the gateway to the charger.
    Command,
}

/// An entry as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LogEntry {
    /// From whom to whom.
    pub direction: Direction,
    /// The action in OCPP, or the command.
    pub action: String,
    /// What was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Value>,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub timestamp: String,
}

impl Log {
    /// The empty log of a charger, which shows each entry to whoever watches.
    pub fn watched(charger_id: &str, feed: &Feed) -> Self {
        Self { entries: Mutex::default(), watched: Some((charger_id.to_owned(), feed.clone())) }
    }

    /// Takes note of something; `at` counts from the Unix epoch.
    pub fn note(&self, direction: Direction, action: impl Into<String>, message: &Value, at: Duration) {
        let text = message.to_string();
        let message = match text.len() {
            length if length > LARGEST_MESSAGE => json!({"omitted_bytes": length}).to_string(),
            _ => text,
        };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= CAPACITY {
            entries.pop_front();
        }
        let kept = Kept { direction, action: action.into(), message, at };
        if let Some((charger_id, feed)) = &self.watched {
            feed.note_entry(charger_id, || kept.shown());
        }
        entries.push_back(kept);
    }

    /// Takes note of what passed between charger and CSMS.
    pub fn note_csms(&self, version: OcppVersion, said: &Said, at: Duration) {
        let (direction, action, message) = match said {
            Said::ByChargePoint(report) => {
                let (action, message) = match version {
                    OcppVersion::Ocpp16 => in_1_6(report, at),
                    OcppVersion::Ocpp201 => in_2_0_1(report, at),
                };
                (Direction::Outgoing, action, message)
            }
            Said::ByCsms(CsmsInput::Authorized { info, .. }) => {
                let info = match version {
                    OcppVersion::Ocpp16 => json!({"idTagInfo": in_1_6_info(info)}),
                    OcppVersion::Ocpp201 => json!({"idTokenInfo": in_2_0_1_info(info)}),
                };
                (Direction::Incoming, "Authorize", info)
            }
            // These are notices of the link, which nobody said.
            Said::ByCsms(CsmsInput::Online(_) | CsmsInput::TransactionNoted { .. }) => return,
        };
        self.note(direction, action, &message, at);
    }

    /// Some entries, the latest first, and how many there are.
    pub fn page(&self, offset: usize, limit: usize) -> (Vec<LogEntry>, usize) {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let page = entries.iter().rev().skip(offset).take(limit).map(Kept::shown);
        (page.collect(), entries.len())
    }

    /// When something was last said.
    pub fn last(&self) -> Option<Duration> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).back().map(|kept| kept.at)
    }
}

impl Kept {
    fn shown(&self) -> LogEntry {
        LogEntry {
            direction: self.direction,
            action: self.action.clone(),
            message: serde_json::from_str(&self.message).ok(),
            timestamp: rfc3339(self.at),
        }
    }
}

/// A moment counted from the Unix epoch, as RFC 3339 has it.
pub fn rfc3339(at: Duration) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    let moment = DateTime::from_timestamp(seconds, at.subsec_nanos()).unwrap_or(DateTime::UNIX_EPOCH);
    moment.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn in_1_6(report: &Report, at: Duration) -> (&'static str, Value) {
    match report {
        Report::Authorize { id_tag, .. } => ("Authorize", json!({"idTag": id_tag})),
        Report::Status { evse, status, fault } => {
            let code = fault.as_deref().map_or("NoError", error_code);
            let message = json!({"connectorId": evse, "errorCode": code, "status": status, "timestamp": rfc3339(at)});
            ("StatusNotification", message)
        }
        Report::TransactionStarted { evse, transaction } => {
            let (id_tag, start) = (&transaction.id_tag, transaction.meter_start_wh);
            let at = rfc3339(transaction.started_at);
            ("StartTransaction", json!({"connectorId": evse, "idTag": id_tag, "meterStart": start, "timestamp": at}))
        }
        Report::MeterValue { evse, transaction_id, meter_wh, power_w } => {
            let id = number_or_text(transaction_id);
            let value = meter_value(*meter_wh, Some(*power_w), at);
            ("MeterValues", json!({"connectorId": evse, "transactionId": id, "meterValue": value}))
        }
        Report::TransactionStopped { transaction, meter_wh, reason, .. } => {
            let id = number_or_text(&transaction.id);
            let message = json!({"transactionId": id, "idTag": transaction.id_tag, "meterStop": meter_wh,
                "reason": reason, "timestamp": rfc3339(at)});
            ("StopTransaction", message)
        }
    }
}

fn in_2_0_1(report: &Report, at: Duration) -> (&'static str, Value) {
    let token = |tag: &IdTag| json!({"idToken": tag, "type": "ISO14443"});
    match report {
        Report::Authorize { id_tag, .. } => ("Authorize", json!({"idToken": token(id_tag)})),
        Report::Status { evse, status, .. } => {
            let status = match status {
                ConnectorStatus::Available => "Available",
                ConnectorStatus::Unavailable => "Unavailable",
                ConnectorStatus::Faulted => "Faulted",
                _ => "Occupied",
            };
            let message =
                json!({"timestamp": rfc3339(at), "connectorStatus": status, "evseId": evse, "connectorId": 1});
            ("StatusNotification", message)
        }
        Report::TransactionStarted { evse, transaction } => {
            let message = json!({"eventType": "Started", "timestamp": rfc3339(transaction.started_at),
                "transactionInfo": {"transactionId": transaction.id}, "evse": {"id": evse, "connectorId": 1},
                "idToken": token(&transaction.id_tag),
                "meterValue": meter_value(transaction.meter_start_wh, None, at)});
            ("TransactionEvent", message)
        }
        Report::MeterValue { evse, transaction_id, meter_wh, power_w } => {
            let message = json!({"eventType": "Updated", "timestamp": rfc3339(at),
                "transactionInfo": {"transactionId": transaction_id}, "evse": {"id": evse, "connectorId": 1},
                "meterValue": meter_value(*meter_wh, Some(*power_w), at)});
            ("TransactionEvent", message)
        }
        Report::TransactionStopped { evse, transaction, meter_wh, reason } => {
            let reason = match reason {
                StopReason::UnlockCommand => json!("Other"),
                reason => json!(reason),
            };
            let message = json!({"eventType": "Ended", "timestamp": rfc3339(at),
                "transactionInfo": {"transactionId": transaction.id, "stoppedReason": reason},
                "evse": {"id": evse, "connectorId": 1}, "meterValue": meter_value(*meter_wh, None, at)});
            ("TransactionEvent", message)
        }
    }
}

fn in_1_6_info(info: &TagInfo) -> Value {
    let mut value = json!({"status": info.status});
    if let Some(expiry) = info.expiry {
        value["expiryDate"] = json!(rfc3339(expiry));
    }
    if let Some(parent) = &info.parent {
        value["parentIdTag"] = json!(parent);
    }
    value
}

fn in_2_0_1_info(info: &TagInfo) -> Value {
    let mut value = json!({"status": info.status});
    if let Some(expiry) = info.expiry {
        value["cacheExpiryDateTime"] = json!(rfc3339(expiry));
    }
    if let Some(parent) = &info.parent {
        value["groupIdToken"] = json!({"idToken": parent, "type": "Central"});
    }
    value
}

fn meter_value(meter_wh: u64, power_w: Option<u32>, at: Duration) -> Value {
    let register = json!({"measurand": "Energy.Active.Import.Register", "value": meter_wh});
    let power = power_w.map(|power| json!({"measurand": "Power.Active.Import", "value": power}));
    let samples: Vec<Value> = [Some(register), power].into_iter().flatten().collect();
    json!([{"timestamp": rfc3339(at), "sampledValue": samples}])
}

/// Ids of transactions are numbers in 1.6.
fn number_or_text(id: &str) -> Value {
    id.parse::<i32>().map_or_else(|_| json!(id), |number| json!(number))
}

/// The fault as 1.6 has it (ChargePointErrorCode).
fn error_code(fault: &str) -> &str {
    match fault {
        "GroundFault" => "GroundFailure",
        "OverCurrent" => "OverCurrentFailure",
        "OverTemperature" => "HighTemperature",
        same => same,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_last_is_kept_and_the_latest_comes_first() {
        let log = Log::default();
        let count = CAPACITY as u64 + 3;
        for number in 0..count {
            log.note(Direction::Command, "plug_connector", &json!({"n": number}), Duration::from_secs(number));
        }
        let (page, total) = log.page(1, 2);
        assert_eq!((page.len(), total), (2, CAPACITY));
        assert_eq!(page[0].message, Some(json!({"n": count - 2})));
        assert_eq!(page[0].timestamp, "1970-01-01T00:03:21.000Z");
        assert_eq!(log.page(CAPACITY, 9).0, []);
        assert_eq!(log.last(), Some(Duration::from_secs(count - 1)));
    }

    #[test]
    fn a_large_message_is_left_out() {
        let log = Log::default();
        log.note(Direction::Command, "proxy_message", &json!("x".repeat(LARGEST_MESSAGE)), Duration::ZERO);
        assert_eq!(log.page(0, 1).0[0].message, Some(json!({"omitted_bytes": LARGEST_MESSAGE + 2})));
    }

    #[test]
    fn reports_are_in_the_version_s_words() {
        let log = Log::default();
        let said = Said::ByChargePoint(Report::Status {
            evse: 2,
            status: ConnectorStatus::Charging,
            fault: Some("GroundFault".to_owned()),
        });
        log.note_csms(OcppVersion::Ocpp16, &said, Duration::ZERO);
        log.note_csms(OcppVersion::Ocpp201, &said, Duration::ZERO);
        let (page, _) = log.page(0, 2);
        let message = |number: usize| page[number].message.clone().unwrap();
        assert_eq!((&message(1)["status"], &message(1)["errorCode"]), (&json!("Charging"), &json!("GroundFailure")));
        assert_eq!(message(0)["connectorStatus"], "Occupied");
        assert!(page.iter().all(|entry| entry.action == "StatusNotification"));
    }
}

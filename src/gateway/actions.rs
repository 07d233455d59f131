//! The messages that a charge point may send to its CSMS, by their names in commands.

use serde_json::Value;

use super::chargers::OcppVersion;

/// A message: its name in snake case, its action in OCPP, and whether 1.6 and 2.0.1 have it.
type Row = (&'static str, &'static str, bool, bool);

/// OCPP 1.6 with its security extension, and OCPP 2.0.1: requests of the charge point.
#[rustfmt::skip]
const TABLE: [Row; 29] = [
    ("authorize", "Authorize", true, true),
    ("boot_notification", "BootNotification", true, true),
    ("cleared_charging_limit", "ClearedChargingLimit", false, true),
    ("data_transfer", "DataTransfer", true, true),
    ("diagnostics_status_notification", "DiagnosticsStatusNotification", true, false),
    ("firmware_status_notification", "FirmwareStatusNotification", true, true),
    ("get_15118_ev_certificate", "Get15118EVCertificate", false, true),
    ("get_certificate_status", "GetCertificateStatus", false, true),
    ("heartbeat", "Heartbeat", true, true),
    ("log_status_notification", "LogStatusNotification", true, true),
    ("meter_values", "MeterValues", true, true),
    ("notify_charging_limit", "NotifyChargingLimit", false, true),
    ("notify_customer_information", "NotifyCustomerInformation", false, true),
    ("notify_display_messages", "NotifyDisplayMessages", false, true),
    ("notify_ev_charging_needs", "NotifyEVChargingNeeds", false, true),
    ("notify_ev_charging_schedule", "NotifyEVChargingSchedule", false, true),
    ("notify_event", "NotifyEvent", false, true),
    ("notify_monitoring_report", "NotifyMonitoringReport", false, true),
    ("notify_report", "NotifyReport", false, true),
    ("publish_firmware_status_notification", "PublishFirmwareStatusNotification", false, true),
    ("report_charging_profiles", "ReportChargingProfiles", false, true),
    ("reservation_status_update", "ReservationStatusUpdate", false, true),
    ("security_event_notification", "SecurityEventNotification", true, true),
    ("sign_certificate", "SignCertificate", true, true),
    ("signed_firmware_status_notification", "SignedFirmwareStatusNotification", true, false),
    ("start_transaction", "StartTransaction", true, false),
    ("status_notification", "StatusNotification", true, true),
    ("stop_transaction", "StopTransaction", true, false),
    ("transaction_event", "TransactionEvent", false, true),
];

fn rows(version: OcppVersion) -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(move |row| match version {
        OcppVersion::Ocpp16 => row.2,
        OcppVersion::Ocpp201 => row.3,
    })
}

/// The names of a version's messages.
pub fn names(version: OcppVersion) -> Vec<&'static str> {
    rows(version).map(|row| row.0).collect()
}

/// The action of this name in a version.
pub fn find(version: OcppVersion, name: &str) -> Option<&'static str> {
    rows(version).find(|row| row.0 == name).map(|row| row.1)
}

/// Members whose content is the sender's own business.
const FREE: [&str; 2] = ["customData", "data"];

/// A message whose members may have names in snake case, as the API's clients write them, as OCPP has them.
pub fn in_camel_case(message: Value) -> Value {
    match message {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (camel_case(&name), value))
                .map(|(name, value)| match FREE.contains(&name.as_str()) {
                    true => (name, value),
                    false => (name, in_camel_case(value)),
                })
                .collect(),
        ),
        Value::Array(values) => values.into_iter().map(in_camel_case).collect(),
        value => value,
    }
}

fn camel_case(name: &str) -> String {
    // The one name that is written otherwise.
    if name == "responder_url" {
        return "responderURL".to_owned();
    }
    let is_snake_case = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.starts_with('_') || !name.chars().all(is_snake_case) {
        return name.to_owned();
    }
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        name + &initial.to_ascii_uppercase() + rest
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_become_those_of_ocpp() {
        let message = json!({
            "id_tag": "A_b", "connectorId": 1, "iccid": "x", "limit_L3": 1, "_": 2, "": 3,
            "meter_value": [{"sampled_value": [{"unit_of_measure": {"unit": "Wh"}}]}],
            "custom_data": {"vendor_id": "k"}, "data": {"any_name": 1}, "iso15118_certificate_hash_data": [{"responder_url": "u"}],
        });
        let expected = json!({
            "idTag": "A_b", "connectorId": 1, "iccid": "x", "limit_L3": 1, "_": 2, "": 3,
            "meterValue": [{"sampledValue": [{"unitOfMeasure": {"unit": "Wh"}}]}],
            "customData": {"vendor_id": "k"}, "data": {"any_name": 1}, "iso15118CertificateHashData": [{"responderURL": "u"}],
        });
        assert_eq!(in_camel_case(message), expected);
    }
}

//! The messages that a charge point may send to its CSMS, by their names in commands.

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

//! The last status, on request.

use super::*;

const REPLY: &str = "everest_api/1/auth_consumer/api/e2m/get/1";

fn asked() -> Wire {
    let mut wire = Wire::everest();
    wire.harness(Channel::GET_TOKEN_VALIDATION_STATUS, get(REPLY));
    wire
}

#[test]
fn what_was_published_is_repeated() {
    let status = status_of("T1", "ISO14443", "Processing", &[]);
    let text = r#"{"token":{"authorization_type":"RFID","id_token":{"type":"ISO14443","value":"T1"}},"status":"Processing","messages":[]}"#;
    asked().status("Processing", &[]).sends("module", REPLY, text).is_clean();
    // The reply may overtake the status.
    asked().sends("module", REPLY, status.to_string()).status("Processing", &[]).is_clean();
    // An older one is for expectations to judge, and `null` is what there is before the first.
    asked().status("Processing", &[]).status("Rejected", &[]).sends("module", REPLY, status.to_string()).is_clean();
    asked().sends("module", REPLY, "null").is_clean();
}

#[test]
fn another_status_fails() {
    let mut other = status_of("T1", "ISO14443", "Processing", &[]);
    other["token"]["request_id"] = json!(99);
    let mut bare = status_of("T1", "ISO14443", "Processing", &[]);
    bare.as_object_mut().unwrap().remove("messages");
    for status in [other, bare, status_of("T1", "ISO14443", "Rejected", &[])] {
        asked()
            .status("Processing", &[])
            .sends("module", REPLY, status.to_string())
            .fails("monitor/other-status", "LV-2");
    }
}

#[test]
fn whose_statuses_were_not_all_seen_is_not_judged() {
    let status = status_of("T1", "ISO14443", "Rejected", &[]).to_string();
    let mut wire = asked();
    wire.monitors.module_cut_off();
    wire.status("Processing", &[]).sends("module", REPLY, &status).is_clean();
    let mut attached = Wire::with(Context { from_start: false, ..Context::new(topics(), Side::Everest) });
    attached.harness(Channel::GET_TOKEN_VALIDATION_STATUS, get(REPLY)).sends("module", REPLY, &status).is_clean();
}

//! Every requirement that binds EVerest can fail: a stand-in that breaks it, and nothing else, fails a scenario of the suite.
//!
//! The stand-ins are those of `fixtures/modules/faulty_everest.py`. Without its fault it passes: `ci/test` plays it.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use khumbu::conformance::requirements::{self, Binds};

use crate::{clients, printed};

/// A requirement and the scenario of `scenarios/everest` that finds whoever breaks it.
type Broken = (&'static str, &'static str);

rows! { fails(&Broken):
    hb_1: ("HB-1", "heartbeat_from_zero"),
    hb_2: ("HB-2", "heartbeat_keeps_pace"),
    hb_3: ("HB-3", "heartbeat_from_zero"),
    hb_4: ("HB-4", "heartbeat_keeps_pace"),
    hb_5: ("HB-5", "heartbeat_off"),
    cc_5: ("CC-5", "check_ended"),
    cc_6: ("CC-6", "check_not_boolean"),
    cc_7: ("CC-7", "check_switched_off"),
    cc_10: ("CC-10", "wire_checks"),
    rr_1: ("RR-1", "withdraw_by_evse"),
    rr_2: ("RR-2", "bad_request_without_headers"),
    rr_3: ("RR-3", "bad_request_reply_to_unusable"),
    rr_4: ("RR-4", "bad_request_reply_to_no_string"),
    rr_5: ("RR-5", "bad_request_without_payload"),
    rr_6: ("RR-6", "withdraw_everything"),
    rr_8: ("RR-8", "bad_request_evse_id"),
    rr_9: ("RR-9", "bad_request_unknown_fields"),
    rr_10: ("RR-10", "bad_request_not_json"),
    rr_12: ("RR-12", "request_in_order"),
    rr_16: ("RR-16", "heartbeat_from_zero"),
    sc_1: ("SC-1", "status_plug_in_then_token"),
    sc_2: ("SC-2", "status_plug_in_then_token"),
    wd_1: ("WD-1", "withdraw_unknown_evse"),
    wd_2: ("WD-2", "withdraw_by_evse"),
    wd_3: ("WD-3", "withdraw_nothing_authorized"),
    wd_4: ("WD-4", "withdraw_during_transaction"),
    wd_5: ("WD-5", "wire_requests"),
    wd_6: ("WD-6", "withdraw_token_at_two_evses"),
    wd_7: ("WD-7", "withdraw_everything"),
    wd_8: ("WD-8", "withdraw_value_ignores_case"),
    wd_9: ("WD-9", "withdraw_other_type_or_group"),
    wd_10: ("WD-10", "withdraw_waiting_for_plug_in"),
    wd_11: ("WD-11", "withdraw_during_validation"),
    wd_14: ("WD-14", "withdraw_twice"),
    wd_15: ("WD-15", "withdraw_status_names_the_token"),
    tv_1: ("TV-1", "status_plug_in_then_token"),
    tv_2: ("TV-2", "status_plug_in_then_token"),
    tv_3: ("TV-3", "status_rejected"),
    tv_4: ("TV-4", "status_plug_in_then_token"),
    tv_5: ("TV-5", "status_rejected"),
    tv_6: ("TV-6", "status_plug_in_then_token"),
    tv_7: ("TV-7", "status_reswipe_stops"),
    tv_8: ("TV-8", "status_double_swipe_ignored"),
    tv_9: ("TV-9", "status_timed_out"),
    tv_10: ("TV-10", "status_waits_in_vain"),
    tv_11: ("TV-11", "validator_not_asked"),
    tv_12: ("TV-12", "status_reswipe_reauthorizes"),
    tv_13: ("TV-13", "status_first_plug_in"),
    tv_14: ("TV-14", "status_tariff_messages"),
    tv_16: ("TV-16", "status_plug_in_timed_out"),
    lv_1: ("LV-1", "latched_get_before_first"),
    lv_2: ("LV-2", "latched_get_last_status"),
    lv_3: ("LV-3", "latched_get_disabled"),
    lv_4: ("LV-4", "latched_get_under_m2e"),
    lv_5: ("LV-5", "latched_get_payload_ignored"),
    di_1: ("DI-1", "discovery_every_module"),
    di_2: ("DI-2", "discovery_by_type"),
    di_3: ("DI-3", "discovery_unknown_type"),
    di_4: ("DI-4", "discovery_without_reply_to"),
    di_5: ("DI-5", "discovery_beacon"),
    di_7: ("DI-7", "discovery_periods"),
    tp_2: ("TP-2", "provider_token_presented"),
    tp_5: ("TP-5", "provider_unreadable_token"),
    va_1: ("VA-1", "validator_asked"),
    va_6: ("VA-6", "validator_silent"),
    va_7: ("VA-7", "validator_unreadable"),
    va_9: ("VA-9", "validator_updates"),
}

/// Requirements that no scenario can fail by itself, and why.
#[rustfmt::skip]
const ELSEWHERE: &[(&str, &str)] = &[
    ("CC-1", "the fault shows inside EVerest only"),
    ("CC-2", "the fault shows inside EVerest only"),
    ("CC-3", "the fault shows inside EVerest only"),
    ("CC-4", "the fault shows inside EVerest only"),
    ("RR-7", "a quirk, which the specification does not ask for"),
    ("RR-11", "a quirk, which the specification does not ask for"),
    ("WD-16", "a quirk, which the specification does not ask for"),
    ("VA-2", "Auth asks about one token after the other; `monitors::asking` has two questions at once"),
];

/// Whoever breaks a requirement fails the scenario that finds it.
fn fails((requirement, scenario): &Broken) {
    let Some(python) = clients::python() else { return };
    let python = python.display();
    let module = format!(
        "{python} fixtures/modules/faulty_everest.py --host {{host}} --port {{port}} --module-id {{module_id}} \
         --api-version {{api_version}} --breaks {requirement}"
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_khumbu"));
    command
        .args(["run", &format!("scenarios/everest/{scenario}.yaml"), "--module", &module])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    let output = printed::output(&mut command).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn every_requirement_that_binds_everest_is_broken_once() {
    let listed: Vec<&str> = ROWS.iter().chain(ELSEWHERE).map(|(requirement, _)| *requirement).collect();
    let unique: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(unique.len(), listed.len(), "a requirement stands twice");
    let binding = requirements::all().iter().filter(|it| it.binds != Binds::Client);
    let binding: BTreeSet<&str> = binding.map(|it| it.id).collect();
    // What breaks MQTT itself is provoked on raw sockets in `run_mqtt`.
    let mqtt: BTreeSet<&str> = binding.iter().copied().filter(|id| id.starts_with("MQ-")).collect();
    assert_eq!(unique, &binding - &mqtt);
}

//! Every requirement that binds EVerest can fail: a stand-in that breaks it, and nothing else, fails a scenario of the suite.
//!
//! The stand-ins are those of `fixtures/modules/faulty_everest.py`. Without its fault it passes: `ci/test` plays it.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use khumbu::conformance::requirements::{self, Binds};

use crate::clients;

/// A requirement and the scenario of `scenarios/everest` that finds whoever breaks it.
#[rustfmt::skip]
const BROKEN: &[(&str, &str)] = &[
    ("HB-1", "heartbeat_from_zero"),
    ("HB-2", "heartbeat_keeps_pace"),
    ("HB-3", "heartbeat_from_zero"),
    ("HB-4", "heartbeat_keeps_pace"),
    ("HB-5", "heartbeat_off"),
    ("CC-5", "check_ended"),
    ("CC-6", "check_not_boolean"),
    ("CC-7", "check_switched_off"),
    ("CC-10", "wire_checks"),
    ("RR-1", "withdraw_by_evse"),
    ("RR-2", "bad_request_without_headers"),
    ("RR-3", "bad_request_reply_to_unusable"),
    ("RR-4", "bad_request_reply_to_no_string"),
    ("RR-5", "bad_request_without_payload"),
    ("RR-6", "withdraw_everything"),
    ("RR-8", "bad_request_evse_id"),
    ("RR-9", "bad_request_unknown_fields"),
    ("RR-10", "bad_request_not_json"),
    ("RR-12", "request_in_order"),
    ("RR-16", "heartbeat_from_zero"),
    ("SC-1", "status_plug_in_then_token"),
    ("SC-2", "status_plug_in_then_token"),
    ("WD-1", "withdraw_unknown_evse"),
    ("WD-2", "withdraw_by_evse"),
    ("WD-3", "withdraw_nothing_authorized"),
    ("WD-4", "withdraw_during_transaction"),
    ("WD-5", "wire_requests"),
    ("WD-6", "withdraw_token_at_two_evses"),
    ("WD-7", "withdraw_everything"),
    ("WD-8", "withdraw_value_ignores_case"),
    ("WD-9", "withdraw_other_type_or_group"),
    ("WD-10", "withdraw_waiting_for_plug_in"),
    ("WD-11", "withdraw_during_validation"),
    ("WD-14", "withdraw_twice"),
    ("WD-15", "withdraw_status_names_the_token"),
    ("TV-1", "status_plug_in_then_token"),
    ("TV-2", "status_plug_in_then_token"),
    ("TV-3", "status_rejected"),
    ("TV-4", "status_plug_in_then_token"),
    ("TV-5", "status_rejected"),
    ("TV-6", "status_plug_in_then_token"),
    ("TV-7", "status_reswipe_stops"),
    ("TV-8", "status_double_swipe_ignored"),
    ("TV-9", "status_timed_out"),
    ("TV-10", "status_waits_in_vain"),
    ("TV-11", "validator_not_asked"),
    ("TV-12", "status_reswipe_reauthorizes"),
    ("TV-13", "status_first_plug_in"),
    ("TV-14", "status_tariff_messages"),
    ("TV-16", "status_plug_in_timed_out"),
    ("LV-1", "latched_get_before_first"),
    ("LV-2", "latched_get_last_status"),
    ("LV-3", "latched_get_disabled"),
    ("LV-4", "latched_get_under_m2e"),
    ("LV-5", "latched_get_payload_ignored"),
    ("DI-1", "discovery_every_module"),
    ("DI-2", "discovery_by_type"),
    ("DI-3", "discovery_unknown_type"),
    ("DI-4", "discovery_without_reply_to"),
    ("DI-5", "discovery_beacon"),
    ("DI-7", "discovery_periods"),
    ("TP-2", "provider_token_presented"),
    ("TP-5", "provider_unreadable_token"),
    ("VA-1", "validator_asked"),
    ("VA-6", "validator_silent"),
    ("VA-7", "validator_unreadable"),
    ("VA-9", "validator_updates"),
];

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

#[test]
fn whoever_breaks_a_requirement_fails() {
    let Some(python) = clients::python() else { return };
    let next = Mutex::new(BROKEN.iter());
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let Some((requirement, scenario)) = next.lock().unwrap().next() else { return };
                    if let Err(why) = fails(requirement, scenario, python.to_str().unwrap()) {
                        wrong.lock().unwrap().push(format!("{requirement} in {scenario}: {why}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn fails(requirement: &str, scenario: &str, python: &str) -> Result<(), String> {
    let module = format!(
        "{python} fixtures/modules/faulty_everest.py --host {{host}} --port {{port}} --module-id {{module_id}} \
         --api-version {{api_version}} --breaks {requirement}"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_khumbu"))
        .args(["run", &format!("scenarios/everest/{scenario}.yaml"), "--module", &module])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    match output.status.code() {
        Some(1) => Ok(()),
        _ => Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stdout))),
    }
}

#[test]
fn every_requirement_that_binds_everest_is_broken_once() {
    let listed: Vec<&str> = BROKEN.iter().chain(ELSEWHERE).map(|(requirement, _)| *requirement).collect();
    let unique: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(unique.len(), listed.len(), "a requirement stands twice");
    let binding = requirements::all().iter().filter(|it| it.binds != Binds::Client);
    let binding: BTreeSet<&str> = binding.map(|it| it.id).collect();
    // What breaks MQTT itself is provoked on raw sockets in `run_mqtt`.
    let mqtt: BTreeSet<&str> = binding.iter().copied().filter(|id| id.starts_with("MQ-")).collect();
    assert_eq!(unique, &binding - &mqtt);
}

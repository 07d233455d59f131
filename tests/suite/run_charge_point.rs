//! Steps at the charge point, its CSMS and its gateway: what passes, and whose fault it is if something does not.

use std::fs;
use std::path::Path;

use crate::project::{Project, python_module};

/// The steps of a scenario whose first line is line 9, what it must earn, and what must be said.
struct Case {
    name: &'static str,
    steps: &'static str,
    exit: i32,
    failures: &'static [&'static str],
    says: &'static [&'static str],
}

const FRAME: &str = "\
description: A case.
under_test: client
within: 300ms
station:
  charge_point: {}
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
steps:";

const CONTRADICTED: &[&str] = &["scenario/contradicted"];

#[rustfmt::skip]
rows! { does_as_it_says(&Case):
    reads: Case { name: "reads", exit: 0, failures: &[], says: &[], steps: "
  - gateway: {path: \"/ocpp/chargers?limit=5\", method: GET, reply: {total: 1, data: $capture:items}}
  - gateway: {path: /ocpp/chargers/dep-1, method: GET, reply: $object}
  - gateway: {path: /, method: GET, reply: \"$/(?s).*<html.*/\"}
  - gateway: {path: /ocpp/chargers, method: DELETE, status: 405}
  - gateway: {path: /nowhere, method: PUT, status: 404}
" },
    // What was captured is sent, not its name.
    sends_captured: Case { name: "sends_captured", exit: 0, failures: &[], says: &[], steps: "
  - gateway: {path: /ocpp/chargers, method: GET, token: wrong, status: 401, reply: {detail: $capture:words}}
  - gateway: {path: /ocpp/commands/cache/reset, body: {target: {charger_id: $captured:words}}, status: 404, reply: {detail: $/.*bearer.*/}}
" },
    // Each is a stimulus: what was told before it no longer counts, nor what has met an expectation.
    marks: Case { name: "marks", exit: 0, failures: &[], says: &[], steps: "
  - plug_in: {evse: 1}
  - expect_csms: {message: status_notification, payload: {status: Preparing}}
  - expect_none: {csms: status_notification, for: 50ms}
  - unplug: {evse: 1}
  - reset_cache: {}
  - expect_none: {csms: status_notification, for: 50ms}
" },
    stays_away: Case { name: "stays_away", exit: 0, failures: &[], says: &[], steps: "
  - csms: offline
  - restart_everest
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Rejected]}
  - expect_none: {csms: authorize, for: 50ms}
" },
    keeps_its_cache: Case { name: "keeps_its_cache", exit: 0, failures: &[], says: &[], steps: "
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}
  - restart_everest
  - gateway: {path: /ocpp/commands/cache/reset, body: {target: {charger_id: dep-1}}, reply: {cleared_entries: 1}}
" },

    other_status: Case { name: "other_status", exit: 3, failures: CONTRADICTED,
        says: &["other_status.yaml:9:80", "the gateway answered with status 401, expected 403", "bearer token"], steps: "
  - gateway: {path: /ocpp/commands/cache/reset, body: {}, token: none, status: 403}
" },
    not_200: Case { name: "not_200", exit: 3, failures: CONTRADICTED,
        says: &["not_200.yaml:9:21", "status 404, expected 200"], steps: "
  - gateway: {path: /nowhere}
" },
    other_reply: Case { name: "other_reply", exit: 3, failures: CONTRADICTED,
        says: &["other_reply.yaml:12:32", "answered `0` to `/ocpp/commands/cache/reset`, expected `1`"], steps: "
  - gateway:
      path: /ocpp/commands/cache/reset
      body: {target: {charger_id: dep-1}}
      reply: {cleared_entries: 1}
" },
    not_told: Case { name: "not_told", exit: 3, failures: CONTRADICTED,
        says: &["not_told.yaml:10:18", "the simulated charge point told its CSMS no matching authorize within 300ms",
                "meanwhile it told: authorize {\"id_tag\":\"04A2F3B1\"}"], steps: "
  - present_token: ALICE
  - expect_csms: {message: authorize, payload: {id_tag: BOB}}
" },
    told_nothing: Case { name: "told_nothing", exit: 3, failures: CONTRADICTED,
        says: &["told its CSMS no meter_values within 100ms", "meanwhile it told nothing"], steps: "
  - expect_csms: {message: meter_values, within: 100ms}
" },
    told: Case { name: "told", exit: 3, failures: CONTRADICTED,
        says: &["told.yaml:10:25", "told its CSMS authorize where it may not"], steps: "
  - present_token: ALICE
  - expect_none: {csms: authorize, for: 300ms}
" },
    old_list: Case { name: "old_list", exit: 3, failures: &["scenario/ignored-stimulus"],
        says: &["`send_local_list` came to nothing: version 1 is no later than 1"], steps: "
  - send_local_list: {version: 1, entries: {ALICE: Blocked}}
  - send_local_list: {version: 1, entries: {ALICE: Blocked}}
" },
    endless: Case { name: "endless", exit: 3, failures: CONTRADICTED,
        says: &["endless.yaml:9:21", "the gateway gave no whole answer within 300ms", "a stream of events has none"], steps: "
  - gateway: {path: /events, method: GET}
" },
}

fn does_as_it_says(case: &Case) {
    let project = Project::new();
    let file = format!("{}.yaml", case.name);
    // The charge point is khumbu's own: something must be asked of the module, too.
    let asked =
        if case.exit == 0 { "  - expect: {message: communication_check, payload: true, within: 5s}\n" } else { "" };
    project.write(&file, &format!("{FRAME}{}{asked}", case.steps));
    let ran = project.play(&[&file]).exits(case.exit);
    assert_eq!(ran.failures(), case.failures, "{}", ran.stderr);
    case.says.iter().fold(ran, |ran, part| ran.says(part));
    project.assert_nothing_left();
}

/// What a provider has the charge point ask is the provider's doing; what the gateway thinks of a token is not.
#[test]
fn a_provider_under_test_answers_for_what_the_charge_point_asks() {
    const PROVIDER: &str = "\
description: A case.
under_test: client
api: auth_token_provider
within: 300ms
station:
  charge_point: {}
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
steps:
  - present_token: ALICE
";
    let project = Project::new();
    for (name, step, exit, id) in [
        ("right", "expect_csms: {message: authorize, payload: {id_tag: \"04A2F3B1\"}}", 0, None),
        ("told", "expect_csms: {message: authorize, payload: {id_tag: BOB}}", 1, Some("expect/outcome")),
        ("untold", "expect_none: {csms: authorize, for: 300ms}", 1, Some("expect/outcome")),
        ("reply", "gateway: {path: /ocpp/chargers, method: GET, reply: {total: 2}}", 1, Some("expect/outcome")),
        ("status", "gateway: {path: /ocpp/chargers, method: GET, status: 401}", 3, Some("scenario/contradicted")),
    ] {
        let file = format!("{name}.yaml");
        project.write(&file, &format!("{PROVIDER}  - {step}\n"));
        let ran = project.play(&[&file]);
        assert_eq!(ran.status.code(), Some(exit), "{name}\n{}", ran.stderr);
        assert_eq!(ran.failures(), Vec::from_iter(id), "{name}\n{}", ran.stderr);
    }
}

#[test]
fn the_scenarios_of_the_charge_point_pass_under_every_release() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/client");
    let project = Project::new();
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("charge_point_") {
            project.write(&name, &fs::read_to_string(&path).unwrap());
            files.push(name);
        }
    }
    assert!(files.len() >= 4, "{files:?}");
    let arguments = || files.iter().map(String::as_str).chain(["--release", "all"]).collect::<Vec<_>>();
    for module in [Some("builtin:client".to_owned()), python_module("consumer.py")].into_iter().flatten() {
        let ran = project.play(&[arguments(), vec!["--module", &module]].concat()).exits(0);
        let report = ran.report();
        let verdicts = report["scenarios"].as_array().unwrap().iter().map(|it| it["verdict"].as_str().unwrap());
        assert_eq!(verdicts.filter(|verdict| *verdict == "pass").count(), 4 * files.len(), "{}", ran.stdout);
    }
}

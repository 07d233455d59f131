//! `khumbu everest`: what it writes, what it refuses, and the manager that it runs, here a script in EVerest's place.

use std::os::unix::fs::PermissionsExt;

use khumbu::station::config::{ProviderConfig, StationConfig, ValidatorConfig};
use khumbu::station::told;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::project::{Project, REPLY, wait_for};

/// A scenario with a station of its own.
const SCENARIO: &str = "\
description: EVerest's side answers.
under_test: everest
station:
  evses: 2
  auth: {selection_algorithm: PlugEvents, connection_timeout: 8s}
  auth_token_validator: {module_id: backend, cfg_request_reply_to_s: 20}
steps:
  - withdraw: {evse_id: 1}
  - expect_reply: AuthorizationNotFound
";

/// What stands in EVerest's place: it says what it was given, and has children in its group and out of it.
const MANAGER: &str = "#!/bin/sh
echo \"arguments $1 $3\"
grep -c EvseStandIn \"$4\"
echo \"in the environment: ${MQTT_SERVER_ADDRESS-nothing}; libraries: ${LD_LIBRARY_PATH%%:*}\"
sleep 600 &
setsid sleep 600 &
setsid sh -c 'setsid sleep 600 & exec sleep 600' &
echo started >&2
wait
";

/// One that ends as EVerest's manager does when a module of it has died.
const DYING: &str = "#!/bin/sh
echo '2026-01-01 [\x1b[1;37mINFO\x1b[0m] manager: Starting 6 modules'
echo '2026-01-01 [\x1b[1;31mCRIT\x1b[0m] manager: Module evse1 (pid: 77) exited with status: 1. Terminating all modules.'
echo '2026-01-01 [\x1b[1;37mINFO\x1b[0m] manager: Module auth (pid: 78) exited'
exit 3
";

/// A project in which a manager is installed.
fn installed(manager: &str, scenario: &str) -> Project {
    let project = Project::with(&[("s.yaml", scenario), ("opt/bin/manager", manager)]);
    std::fs::set_permissions(project.path("opt/bin/manager"), PermissionsExt::from_mode(0o755)).unwrap();
    project
}

/// `khumbu everest --run` as a module.
fn module() -> String {
    format!("{} everest --run opt/bin/manager", env!("CARGO_BIN_EXE_khumbu"))
}

/// Whether the scripts can leave their process group.
fn has_setsid() -> bool {
    let has = std::process::Command::new("setsid").arg("true").status().is_ok();
    if !has {
        println!("skipped: there is no setsid");
    }
    has
}

#[test]
fn what_is_written_is_the_scenarios_station() {
    let project = Project::with(&[("s.yaml", SCENARIO)]);
    let arguments = ["everest", "s.yaml", "--broker", "mqtt://broker:1884", "--external-prefix", "depot/"];
    let shown = project.run(&arguments).exits(0);
    project.run(&[&arguments[..], &["--config", "everest.yaml"]].concat()).exits(0);
    assert_eq!(project.read("everest.yaml"), shown.stdout);
    insta::assert_snapshot!("everest_main", shown.stdout);
    let older = [&arguments[..], &["--release", "2025.10", "--evse-module", "TestEvse"]].concat();
    insta::assert_snapshot!("everest_2025_10", project.run(&older).exits(0).stdout);
}

#[test]
fn what_cannot_be_written_is_said() {
    let project = Project::with(&[
        ("s.yaml", SCENARIO),
        ("lifo.yaml", &SCENARIO.replace("PlugEvents", "PlugEventsLIFO")),
        ("half.yaml", &SCENARIO.replace("8s", "500ms")),
    ]);
    let refuses = |arguments: &[&str], told: &str| {
        project.run(&[&["everest"], arguments].concat()).exits(2).says(told);
    };
    refuses(&[], "error[usage/no-station]: nothing says which station EVerest is to be");
    refuses(&["lifo.yaml", "--release", "2026.02"], "EVerest 2026.02 has no `selection_algorithm: PlugEventsLIFO`");
    refuses(&["half.yaml"], "error[release/no-such-everest]: EVerest's `connection_timeout` has whole seconds");
    refuses(&["s.yaml", "--config", "no/such/file"], "error[file/unwritable]");
    refuses(&["s.yaml", "--run", "no/manager"], "error[usage/no-manager]: EVerest's manager `no/manager`");
    for (name, value, told) in [
        ("KHUMBU_STATION", "{\"evsse\": 1}", "unknown field `evsse`"),
        ("MQTT_SERVER_PORT", "mqtt", "error[usage/bad-value]: MQTT_SERVER_PORT is `mqtt`, which is no port"),
    ] {
        let mut command = project.command(&["everest"]);
        command.env("KHUMBU_STATION", "{}").env(name, value);
        crate::project::Running::start(command).finish().exits(2).says(told);
    }
}

#[test]
fn a_manager_is_told_its_station_and_ended_with_its_children() {
    if !has_setsid() {
        return;
    }
    let project = installed(MANAGER, SCENARIO);
    let ran = project.play(&["s.yaml", "--module", &module(), "--ready-within", "2s"]).exits(3);
    let output = ran.report()["scenarios"][0]["output"].clone();
    let lines: Vec<_> = output.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let prefix = std::fs::canonicalize(project.path("opt")).unwrap();
    let libraries = format!("in the environment: nothing; libraries: {}/lib", prefix.display());
    for line in ["arguments --prefix --config", "2", libraries.as_str(), "started"] {
        assert!(lines.contains(&line), "no `{line}` in {lines:#?}");
    }
    project.assert_nothing_left();
}

#[test]
fn a_manager_that_is_run_by_hand_ends_with_its_children_on_a_signal() {
    if !has_setsid() {
        return;
    }
    let project = installed(MANAGER, SCENARIO);
    let mut command = project.command(&["everest", "s.yaml", "--run", "opt/bin/manager"]);
    command.env("TMPDIR", project.path("")).stderr(std::process::Stdio::null());
    let running = crate::project::Running::start(command);
    // The script itself, three that sleep in its group or out of it, and khumbu.
    wait_for("its children", || (project.left_behind().len() >= 6).then_some(()));
    running.signal(Signal::SIGTERM);
    running.signal(Signal::SIGTERM);
    running.finish().exits(128 + Signal::SIGTERM as i32);
    project.assert_nothing_left();
    let entries: Vec<_> =
        std::fs::read_dir(project.path("")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(entries.len(), 2, "something stays among the temporary files: {entries:?}");
}

#[test]
fn a_manager_that_is_killed_with_its_keeper_leaves_nothing() {
    if !has_setsid() {
        return;
    }
    // It does not end when it is told to, so that its keeper is killed.
    let stubborn = MANAGER
        .replace("echo started", "trap '' TERM; echo started")
        .replace("\nwait", "\nwhile :; do wait; sleep 1; done");
    let project = installed(&stubborn, SCENARIO);
    let flags = ["--ready-within", "1s", "--stop-within", "200ms"];
    let module = format!("env TMPDIR={} {}", project.path("").display(), module());
    let ran = project.play(&[&["s.yaml", "--module", &module], &flags[..]].concat()).exits(3);
    let notes = ran.notes();
    assert!(notes.contains(&"module/left-processes".to_owned()), "{notes:?}");
    project.assert_nothing_left();
}

#[test]
fn a_manager_that_dies_says_why() {
    let project = installed(DYING, REPLY);
    let ran = project.play(&["s.yaml", "--module", &module()]).exits(3);
    let failure = ran.report()["scenarios"][0]["failures"][0].clone();
    assert!(failure["id"].as_str().unwrap().starts_with("module/"), "{failure}");
    let told =
        "it wrote: 2026-01-01 [CRIT] manager: Module evse1 (pid: 77) exited with status: 1. Terminating all modules.";
    let evidence = failure["evidence"].as_array().unwrap();
    let at = evidence.iter().position(|line| line == told);
    // Right behind what was started: a manager has more connections than are shown.
    assert!(at.is_some_and(|at| at <= 3), "{failure:#}");
    assert!(failure["message"].as_str().unwrap().contains("code 3"), "{failure:#}");
}

/// The page that shows the way.
const PAGE: &str = include_str!("../../docs/everest.md");

#[test]
fn the_files_that_the_page_shows_are_read() {
    let blocks: Vec<_> = PAGE.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```")).collect();
    let [(config, _), (station, _), (attached, _)] = blocks[..] else { panic!("other blocks than these") };
    let project = Project::with(&[("s.yaml", REPLY), ("khumbu.yaml", config), ("station.yaml", station)]);
    project.run(&["run", "s.yaml", "--module", "builtin"]).exits(0);
    let (_, bindings) = station.split_once("bindings:").unwrap();
    project.write("station.yaml", &format!("{attached}bindings:{bindings}"));
    project.run(&["run", "s.yaml", "--module", "builtin"]).exits(0);
    project.write("station.yaml", &station.replace("of:", "off:"));
    project.run(&["run", "s.yaml", "--module", "builtin"]).exits(2).says("station.yaml:");
}

#[test]
fn every_key_of_the_station_is_explained() {
    let station = StationConfig {
        connectors: [(1, Vec::new())].into(),
        auth_token_provider: Some(ProviderConfig::default()),
        auth_token_validator: Some(ValidatorConfig::default()),
        ..StationConfig::default()
    };
    let (_, table) = PAGE.split_once("## KHUMBU_STATION").unwrap();
    for (key, value) in told::to_json(&station).as_object().unwrap() {
        for key in std::iter::once(key).chain(value.as_object().into_iter().flat_map(|members| members.keys())) {
            assert!([format!("`{key}"), format!(".{key}")].iter().any(|name| table.contains(name)), "{key}");
        }
    }
}

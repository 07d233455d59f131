//! Khumbu inside the test suites of others: a display in Python, in JavaScript and in Rust, each as its author would test it, once
//! right and once wrong.

use std::path::Path;
use std::process::Command;

use crate::clients;
use crate::project::{Project, Ran, Running, fixture, python_module};

/// Where a package of khumbu for another language is.
fn package(language: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(language).display().to_string()
}

/// Has pytest run in a project, with khumbu's plugin.
fn pytest(project: &Project, arguments: &[&str]) -> Option<Ran> {
    let mut command = Command::new(clients::pytest()?);
    command
        .args([
            "-m",
            "pytest",
            "-p",
            "khumbu.pytest_plugin",
            "-p",
            "no:cacheprovider",
            "--tb=short",
            "-rA",
            "-q",
            "-c",
            "pytest.ini",
            "--rootdir",
            ".",
        ])
        .args(arguments)
        .current_dir(project.path(""))
        .env("PYTHONPATH", package("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("KHUMBU", env!("CARGO_BIN_EXE_khumbu"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    Some(Running::start(command).finish())
}

/// What a run has printed has all of these, in this order.
#[track_caller]
fn prints(ran: &Ran, parts: &[&str]) {
    let mut rest = ran.stdout.as_str();
    for part in parts {
        let at =
            rest.find(part).unwrap_or_else(|| panic!("no `{part}` in its place in\n{}\n{}", ran.stdout, ran.stderr));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn pytest_passes_a_display_that_does_right() {
    let project = Project::with(&[("pytest.ini", "[pytest]\n")]);
    let Some(ran) = pytest(&project, &[&fixture("suites/python/test_display.py")]) else { return };
    prints(&ran, &["4 passed"]);
    ran.exits(0);
}

#[test]
fn pytest_fails_one_that_does_wrong_with_what_khumbu_has_to_say() {
    let project = Project::with(&[("pytest.ini", "[pytest]\n")]);
    let Some(ran) = pytest(&project, &[&fixture("suites/python/test_wrong_display.py")]) else { return };
    // What no step asks for comes at the end of the test, and a step that was not met is said once.
    prints(&ran, &["ERROR at teardown of test_what_no_step_asks_for", "fail[monitor/not-json]: ", "requirement: CC-8"]);
    prints(
        &ran,
        &[
            "test_it_withdraws_at_the_right_evse",
            "StepFailed: fail[expect/missing]: module `auth_api` sent no matching",
        ],
    );
    prints(&ran, &["but `payload.evse_id` is `0`, expected `1`"]);
    prints(&ran, &["1 failed, 1 passed, 1 error"]);
    assert!(!ran.stdout.contains("concurrent/futures"), "{}", ran.stdout);
    ran.exits(1);
}

#[test]
fn pytest_plays_scenario_files() {
    let Some(module) = python_module("consumer.py") else { return };
    let passes = "\
description: A display sees heartbeats.
under_test: client
steps:
  - expect: {message: heartbeat}
  - expect: {message: communication_check, payload: true}
";
    let fails = passes.replace("payload: true", "payload: false, within: 200ms");
    let older = "\
description: The last status can be asked for.
under_test: client
station: {release: 2025.10}
steps:
  - get_status: {}
  - expect_reply: null
";
    let ini = format!("[pytest]\nkhumbu_scenarios = checks\nkhumbu_module = {module}\n");
    let project = Project::with(&[
        ("pytest.ini", &ini),
        ("checks/passes.yaml", passes),
        ("checks/fails.yaml", &fails),
        ("checks/older.yaml", older),
        ("others/no_scenario.yaml", "a: b\n"),
    ]);
    let Some(ran) = pytest(&project, &["."]) else { return };
    prints(
        &ran,
        &[
            "fails",
            "fail[expect/missing]: module `auth_api` sent no matching communication_check",
            "FAILED checks/fails.yaml::fails",
        ],
    );
    prints(&ran, &["PASSED checks/passes.yaml::passes", "SKIPPED", "the release has no latched get of the status"]);
    assert!(!ran.stdout.contains("no_scenario"), "{}", ran.stdout);
    ran.exits(1);
    // Without a module, khumbu's own would be played, and all would pass.
    project.write("pytest.ini", "[pytest]\nkhumbu_scenarios = checks\n");
    let ran = pytest(&project, &["checks/passes.yaml"]).unwrap();
    prints(&ran, &["scenario files need a module under test"]);
    project.write("khumbu.yaml", &format!("module: {{command: {module}}}\n"));
    pytest(&project, &["checks/passes.yaml"]).unwrap().exits(0);
}

#[test]
fn pytest_says_where_khumbu_is_not() {
    let project = Project::with(&[("pytest.ini", "[pytest]\nkhumbu_binary = nowhere/khumbu\n")]);
    let Some(ran) = pytest(&project, &[&fixture("suites/python/test_display.py")]) else { return };
    prints(&ran, &["khumbu is said to be `nowhere/khumbu`, and there is no such program"]);
    ran.exits(1);
}

//! Khumbu inside the test suites of others: a display in Python, in JavaScript and in Rust, each as its author would test it, once
//! right and once wrong.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use khumbu::testing::{Failure, Station};
use rumqttc::{Client, MqttOptions, QoS};

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
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
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

/// Has Node's own runner run a file of tests; `None` where there is no Node, or no MQTT.js where its modules look for it.
fn node_test(project: &Project, name: &str) -> Option<Ran> {
    let (node, _) = clients::node()?;
    if !Path::new(&fixture("node_modules")).exists() {
        println!("skipped: no link to MQTT.js in fixtures/node_modules; run ci/provision");
        return None;
    }
    let mut command = Command::new(node);
    command
        .args(["--test", "--test-reporter=spec"])
        .arg(fixture(&format!("suites/node/{name}")))
        .current_dir(project.path(""))
        .env("KHUMBU", env!("CARGO_BIN_EXE_khumbu"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Some(Running::start(command).finish())
}

#[test]
fn node_passes_a_display_that_does_right() {
    let Some(ran) = node_test(&Project::new(), "display.test.mjs") else { return };
    prints(&ran, &["pass 3", "fail 0"]);
    ran.exits(0);
}

#[test]
fn node_fails_one_that_does_wrong_with_what_khumbu_has_to_say() {
    let Some(ran) = node_test(&Project::new(), "wrong_display.test.mjs") else { return };
    prints(&ran, &["it withdraws at the right EVSE", "fail[expect/missing]: module `auth_api` sent no matching"]);
    prints(&ran, &["but `payload.evse_id` is `0`, expected `1`", "suites/node/wrong_display.test.mjs:12"]);
    prints(&ran, &["what no step asks for is judged as well", "fail[monitor/not-json]: ", "requirement: CC-8"]);
    prints(&ran, &["pass 0", "fail 2"]);
    ran.exits(1);
}

#[test]
fn node_plays_scenario_files() {
    let Some(module) = python_module("consumer.py") else { return };
    let passes =
        "description: x\nunder_test: client\nsteps:\n  - expect: {message: communication_check, payload: true}\n";
    let project = Project::with(&[
        ("checks/passes.yaml", passes),
        ("checks/deeper/fails.yaml", &passes.replace("true", "false, within: 200ms")),
    ]);
    let package = package("node");
    let text = format!(
        "import {{ test }} from \"node:test\";\nimport {{ scenarios }} from \"{package}/khumbu.mjs\";\n\
         await scenarios(test, \"checks\", {{ module: {module:?} }});\n"
    );
    project.write("scenarios.test.mjs", &text);
    let Some((node, _)) = clients::node() else { return };
    let mut command = Command::new(node);
    command.args(["--test", "--test-reporter=spec", "scenarios.test.mjs"]).current_dir(project.path(""));
    command.env("KHUMBU", env!("CARGO_BIN_EXE_khumbu")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = Running::start(command).finish();
    prints(&ran, &["checks/deeper/fails.yaml", "fail[expect/missing]: ", "checks/passes.yaml", "pass 1", "fail 1"]);
    ran.exits(1);
}

/// Says something on a topic, once it is connected.
fn say(station: &Station, topic: &str, payload: &str) {
    let address = station.address();
    let (client, mut connection) = Client::new(MqttOptions::new("a", address.ip().to_string(), address.port()), 10);
    client.subscribe(station.e2m("heartbeat"), QoS::AtMostOnce).unwrap();
    client.publish(topic, QoS::AtLeastOnce, false, payload).unwrap();
    std::thread::spawn(move || connection.iter().take_while(Result::is_ok).count());
}

#[test]
fn what_a_client_in_rust_gets_wrong_is_in_the_verdict_and_cannot_be_dropped() -> Result<(), Failure> {
    for is_dropped in [false, true] {
        let station = Station::open("requirements: [CC-8]")?;
        say(&station, &station.m2e("communication_check"), "yes");
        let met = station.play("expect: {topic: \"{m2e}/communication_check\"}")?;
        assert_eq!((met.payloads(), met.topics()), (vec![&"yes".into()], vec![&*station.m2e("communication_check")]));
        let text = match is_dropped {
            false => {
                let failure = station.close().unwrap_err();
                assert_eq!((failure.id(), failure.requirement()), ("monitor/not-json", Some("CC-8")), "{failure}");
                format!("{failure:?}")
            }
            true => {
                let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(station)));
                *dropped.unwrap_err().downcast::<String>().unwrap()
            }
        };
        assert!(text.contains("fail[monitor/not-json]: module sent a communication check that is not JSON"), "{text}");
    }
    Ok(())
}

#[test]
fn what_makes_no_sense_in_rust_is_said_as_of_a_file() -> Result<(), Failure> {
    for (head, id) in [
        ("evses: 2", "scenario/unknown-field"),
        ("station: [", "config/invalid"),
        ("release: 1999", "usage/bad-session"),
        ("module_id: a/b", "usage/bad-topic"),
        ("steps: []", "usage/bad-session"),
    ] {
        assert_eq!(Station::open(head).err().unwrap().id(), id, "{head}");
    }
    let station = Station::open("ready_within: 100ms")?;
    assert_eq!(station.play("plugin: {evse: 1}").unwrap_err().id(), "scenario/unknown-step");
    assert_eq!(station.play("plug_in: {evse").unwrap_err().id(), "config/invalid");
    assert_eq!(station.ready().unwrap_err().id(), "module/never-connected");
    assert_eq!(station.play("note: x").unwrap_err().id(), "serve/over");
    let verdict = station.close()?;
    assert!(!verdict.is_pass && verdict.text.starts_with("inconclusive[module/never-connected]"), "{}", verdict.text);
    Ok(())
}

/// Nothing in it may ask for a thread that an asynchronous test has not.
#[tokio::test]
async fn an_asynchronous_test_may_have_a_station_as_well() -> Result<(), Failure> {
    let station = Station::open("{name: here, release: \"2025.10\"}")?;
    say(&station, &station.m2e("communication_check"), "true");
    station.play("expect: {message: communication_check, payload: true}")?;
    // It keeps its keep-alive meanwhile, and is heard again.
    tokio::time::timeout(Duration::from_secs(60), async { station.play("expect: {message: heartbeat}") })
        .await
        .unwrap()?;
    assert!(
        station.environment()["MQTT_SERVER_PORT"].parse::<u16>().is_ok_and(|port| port == station.address().port())
    );
    assert!(station.close()?.is_pass);
    Ok(())
}

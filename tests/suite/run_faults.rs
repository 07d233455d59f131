//! Faults of a run: laid over scenarios, and before another broker.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::broker_wire::Bench;
use crate::printed;

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_khumbu"));
    command.arg("run").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    printed::output(&mut command).unwrap()
}

fn reported(arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--json", "-"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn a_fault_is_laid_over_a_scenario() {
    let scenario = "scenarios/client/withdraw_not_found.yaml";
    let report =
        reported(&[scenario, "--fault", "duplicate: {message: reply}", "--fault", "drop: {message: heartbeat}"]);
    let played = &report["scenarios"][0];
    assert_eq!(played["verdict"], "pass", "{played:#}");
    assert_eq!(played["evidence"]["injected"]["reply duplicated"], json!(1), "{played:#}");
}

#[test]
fn a_fault_that_befalls_nothing_is_a_note_where_no_scenario_asks_for_it() {
    let report = reported(&["scenarios/client/withdraw_not_found.yaml", "--fault", "drop: {message: provided_token}"]);
    let played = &report["scenarios"][0];
    assert_eq!(
        (&played["verdict"], &played["notes"][0]["id"]),
        (&json!("pass"), &json!("scenario/idle-fault")),
        "{played:#}"
    );
}

#[test]
fn what_is_no_fault_is_refused() {
    for (fault, says) in [
        ("plug_in: {evse: 1}", "usage/bad-fault"),
        ("drop: {message: reply}\n  - lift_faults", "usage/bad-fault"),
        ("drop: {message: reply, next: 0}", "scenario/fault-count"),
        ("dorp: {message: reply}", "scenario/unknown-step"),
    ] {
        let output = run(&["scenarios/client/withdraw_not_found.yaml", "--fault", fault]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(says), "{fault}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_broker_passes_messages_on_and_khumbu_can_still_be_away() {
    let bench = Bench::start().await;
    let broker = format!("mqtt://{}", bench.address());
    let played = tokio::task::spawn_blocking(move || {
        let refused = run(&["scenarios/client", "--broker", &broker, "--fault", "drop: {message: reply}"]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(2) && said.contains("usage/bad-fault"), "{said}");
        reported(&["scenarios/client", "--keyword", "fault_", "--broker", &broker])
    });
    let report = played.await.unwrap();
    for played in report["scenarios"].as_array().unwrap() {
        let path = played["path"].as_str().unwrap();
        let is_of_connections = ["broker_away", "half_open", "connect_refused"].iter().any(|name| path.contains(name));
        let (verdict, note) = (&played["verdict"], &played["notes"][0]["id"]);
        match is_of_connections {
            true => assert_eq!(verdict, "pass", "{played:#}"),
            false => assert_eq!((verdict, note), (&json!("not_applicable"), &json!("broker/passes-on")), "{played:#}"),
        }
    }
    bench.stop().await;
}

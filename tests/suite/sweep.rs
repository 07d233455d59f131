//! `khumbu conform --sweep`: who dies under one fault is named with its requirement, and who conforms is not accused.

#![allow(clippy::unwrap_used)]

use serde_json::Value;

use crate::project::{Project, Ran, fixture, python_module};
use crate::run_module::{attach, free_port, mosquitto};
use crate::{clients, printed};

fn sweep(arguments: &[&str]) -> Ran {
    Project::new().run(&[&["conform", "--sweep", "--side", "client", "--json", "-"], arguments].concat())
}

fn rows(ran: &Ran, state: &str) -> Vec<Value> {
    let report = ran.report();
    report["requirements"].as_array().unwrap().iter().filter(|row| row["state"] == state).cloned().collect()
}

fn misbehaving(behaviour: &str) -> Option<String> {
    let module = python_module("misbehaving.py")?;
    Some(format!("{module} --host {{host}} --port {{port}} --behaviour {behaviour} --side client"))
}

#[rustfmt::skip]
rows! { is_named(&[&str; 4]):
    who_dies_of_broken_json: ["dies-of-no-json", "CN-2", "consumer/statuses", "corrupt"],
    who_takes_no_status_twice: ["nothing-twice", "CN-3", "consumer/statuses", "duplicate"],
    who_stays_away: ["stays-away", "CN-1", "consumer/statuses", "broker_away"],
    who_forgets_its_subscriptions: ["subscribes-once", "CN-1", "consumer/statuses", "broker_away"],
    who_never_pings: ["never-pings", "CN-1", "consumer/cut_off", "half_open"],
}

/// The module conforms without a fault, and breaks this requirement in this play under this fault; what the report says
/// shows it again.
fn is_named([behaviour, requirement, play, fault]: &[&str; 4]) {
    let Some(module) = misbehaving(behaviour) else { return };
    let flags = ["--only", requirement, "-k", play, "--ready-within", "3s", "--module", &module];
    let ran = sweep(&flags).exits(1);
    let broken = rows(&ran, "broken");
    let ids: Vec<_> = broken.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [*requirement], "{}", ran.stdout);
    let failure = &broken[0]["failures"][0];
    assert!(failure["faults"].to_string().contains(fault), "{failure:#}");
    assert!(failure["evidence"].to_string().contains("under the fault `"), "{failure:#}");
    let again = shell_words::split(broken[0]["again"].as_str().unwrap()).unwrap();
    let again: Vec<_> = again[1..].iter().map(String::as_str).chain(["--json", "-"]).collect();
    let ran = Project::new().run(&again).exits(1);
    assert_eq!(rows(&ran, "broken")[0]["id"], *requirement, "{again:?}: {}", ran.stdout);
}

#[test]
fn the_built_in_client_survives_what_it_has_to() {
    let ran =
        sweep(&["--only", "CN-2", "--only", "CN-3", "--only", "WD-12", "-k", "withdraw", "--api", "auth_consumer"]);
    let ran = ran.exits(0);
    let met: Vec<_> = rows(&ran, "met").iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(met, ["WD-12", "CN-2"]);
    // It subscribes at QoS 2, and so is handed nothing twice.
    assert_eq!(rows(&ran, "not_exercised")[0]["id"], "CN-3", "{}", ran.stdout);
}

#[test]
fn what_fails_without_a_fault_or_has_no_occasion_is_played_under_none() {
    let ran = sweep(&["-k", "plays/consumer/checks", "--only", "CN-3", "--module", "builtin:client?bug=never_checks"]);
    let ran = ran.exits(1);
    assert!(!ran.stdout.contains("under the fault"), "{}", ran.stdout);
    // For people, the table has the reason; a report has the message.
    let found = khumbu::report::read("-", &ran.stdout).unwrap().results;
    let told = printed::told(found.iter().flat_map(|result| &result.findings)).concat();
    assert!(told.contains("inconclusive[run/not-swept]"), "{told}");
    // Nobody told it to ask, so nobody can lose the reply.
    let Some(module) = python_module("stranger.py") else { return };
    let module = format!("{module} --way at-once");
    let ran = sweep(&["-k", "plays/consumer/unanswered", "--only", "RR-14", "--module", &module]);
    let open = rows(&ran, "not_exercised");
    assert_eq!(open[0]["id"], "RR-14", "{}", ran.stdout);
    assert!(open[0]["reason"].as_str().unwrap().contains("let it follow `get_status`"), "{open:#?}");
}

#[test]
fn faults_and_plays_are_listed() {
    let project = Project::new();
    let list = ["conform", "--list", "--sweep", "--only", "CN-2"];
    let text = project.run(&list).exits(0).stdout;
    for words in ["CN-2    a message that is broken", "--fault 'corrupt: {message: heartbeat, how: truncate}'"] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    let listed: Value =
        serde_json::from_str(&project.run(&[&list[..], &["--json", "-"]].concat()).exits(0).stdout).unwrap();
    let pair = &listed[0];
    assert_eq!((&pair["requirement"], pair["fault"].is_array()), (&Value::from("CN-2"), true), "{pair:#}");
    assert!(pair["play"].as_str().unwrap().starts_with("scenarios/plays/"), "{pair:#}");
    project.run(&["conform", "--list", "--side", "everest", "--sweep"]).exits(2).says("usage/other-side");
}

/// Another broker passes messages on as they are: that is said, and is no pass; the connection to it breaks as ever.
#[test]
fn on_another_broker_connections_fail_and_messages_do_not() {
    let project = Project::new();
    let Some((_broker, port)) = mosquitto(&project) else { return };
    let broker = format!("mqtt://127.0.0.1:{port}");
    let only = ["--only", "CN-1", "--only", "CN-2", "-k", "plays/consumer/checks", "--api", "auth_consumer"];
    let ran = sweep(&[&only[..], &["--broker", &broker]].concat()).exits(0);
    assert_eq!(rows(&ran, "met")[0]["id"], "CN-1", "{}", ran.stdout);
    let open = &rows(&ran, "not_applicable")[0];
    assert_eq!(open["id"], "CN-2", "{}", ran.stdout);
    assert!(open["reason"].as_str().unwrap().contains("own broker only"), "{open:#}");
    let report = ran.report();
    let scenarios = report["scenarios"].as_array().unwrap();
    let passed_on = scenarios.iter().filter(|it| it["notes"].to_string().contains("broker/passes-on"));
    let verdicts: Vec<_> = passed_on.map(|it| it["verdict"].as_str().unwrap()).collect();
    assert!(verdicts.iter().all(|it| *it == "not_applicable") && !verdicts.is_empty(), "{verdicts:?}");
}

/// One that runs already stays for all of it.
#[test]
fn an_attached_module_is_swept() {
    let project = Project::new();
    let Some(python) = clients::python() else { return };
    let port = free_port();
    let consumer = fixture("modules/consumer.py");
    let (python, port) = (python.display().to_string(), port.to_string());
    let arguments = [&consumer, "--host", "127.0.0.1", "--port", &port, "--module-id", "auth_api"];
    let _module = attach(&project, &python, &arguments);
    let listen = format!("127.0.0.1:{port}");
    let only = ["--only", "CN-1", "--only", "CN-2", "-k", "plays/consumer/checks", "--api", "auth_consumer"];
    let ran = sweep(&[&only[..], &["--attach", "--listen", &listen, "--ready-within", "30s"]].concat()).exits(0);
    let met: Vec<_> = rows(&ran, "met").iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(met, ["CN-1", "CN-2"], "{}", ran.stdout);
}

/// What is survived under every release is met once in each.
#[test]
fn every_release_is_swept() {
    let ran = sweep(&["--only", "CN-2", "-k", "plays/consumer/checks", "--release", "all", "--api", "auth_consumer"]);
    let report = ran.exits(0).report();
    let swept = report["scenarios"].as_array().unwrap().iter().filter(|it| it["faults"].is_array());
    let releases: std::collections::BTreeSet<_> = swept.map(|it| it["release"].as_str().unwrap().to_owned()).collect();
    assert_eq!(releases.into_iter().collect::<Vec<_>>(), ["2025.10", "2025.12", "2026.02", "main"]);
}

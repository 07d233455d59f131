//! `khumbu conform` with real modules.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use khumbu::conformance::requirements;
use serde_json::{Value, json};

use crate::clients;
use crate::project::{Project, Ran, fixture, python_module};
use crate::run_module::{attach, free_port, mosquitto};

fn conform(project: &Project, arguments: &[&str]) -> Ran {
    project.run(&[&["conform"], arguments, &["--json", "-"]].concat())
}

/// The requirements in a state.
fn in_state(ran: &Ran, state: &str) -> Vec<String> {
    let report = ran.report();
    let rows = report["requirements"].as_array().unwrap().iter().filter(|row| row["state"] == state);
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_built_in_modules_break_nothing() {
    let project = Project::new();
    for (api, met) in [("auth_token_provider", "TP-1"), ("auth_token_validator", "VA-3")] {
        let ran = conform(&project, &["--side", "client", "--api", api]).exits(0);
        assert!(in_state(&ran, "met").contains(&met.to_owned()), "{}", ran.stdout);
    }
    // What is watched everywhere needs no scenario of its own.
    let ran =
        conform(&project, &["--side", "everest", "--only", "WD-2", "--only", "MQ-4", "-k", "withdraw_by"]).exits(0);
    assert_eq!(in_state(&ran, "met"), ["WD-2", "MQ-4"]);
}

#[test]
fn a_faulty_module_breaks_its_requirement() {
    let Some(module) = python_module("misbehaving.py") else { return };
    let project = Project::new();
    for (behaviour, requirement) in [("knows-its-fields", "RR-9"), ("same-reply-topic", "RR-13")] {
        let module = format!("{module} --host {{host}} --port {{port}} --behaviour {behaviour} --side client");
        let ran = conform(&project, &["--side", "client", "--only", requirement, "--module", &module]).exits(1);
        assert!(in_state(&ran, "broken").contains(&requirement.to_owned()), "{}", ran.stdout);
        let report = ran.report();
        let row = report["requirements"].as_array().unwrap().iter().find(|row| row["id"] == requirement).unwrap();
        assert!(row["again"].as_str().unwrap().ends_with(&format!("--only {requirement}")), "{row:#}");
        assert!(!row["failures"][0]["messages"].as_array().unwrap().is_empty(), "{row:#}");
    }
}

/// It conforms, and has never heard of khumbu.
#[test]
fn a_module_that_nobody_prepared_is_not_accused() {
    let Some(module) = python_module("stranger.py") else { return };
    let project = Project::new();
    let module = format!("{module} --way at-once");
    let ran = conform(&project, &["--side", "client", "--module", &module]).exits(0);
    assert!(
        in_state(&ran, "broken").is_empty() && in_state(&ran, "met").contains(&"CC-8".to_owned()),
        "{}",
        ran.stdout
    );
    let report = ran.report();
    let rows = report["requirements"].as_array().unwrap();
    // Nobody said whose client it is.
    assert!(ran.stderr.starts_with("note[run/api-assumed]: no `--api` is given"), "{}", ran.stderr);
    let untold = rows.iter().find(|row| row["id"] == "WD-18").unwrap();
    assert_eq!(untold["state"], "not_exercised");
    assert!(untold["reason"].as_str().unwrap().contains("`withdraw`"), "{untold:#}");
    assert!(ran.took < Duration::from_secs(60) || std::env::var_os("CI").is_none(), "{:?}", ran.took);
}

#[test]
fn a_module_that_cannot_be_judged_is_told_so() {
    let project = Project::new();
    let ran = conform(&project, &["--side", "client", "-k", "heartbeat", "--module", "true", "--ready-within", "2s"]);
    let ran = ran.exits(3).says("module/ended-early").says("1 scenario undecided in ");
    assert_eq!(ran.report()["other_failures"][0]["id"], "module/ended-early");
}

#[test]
fn the_extracted_suite_gives_the_same_verdicts() {
    let project = Project::new();
    project.run(&["conform", "--extract", "scenarios"]).exits(0);
    // Once more changes nothing.
    project.run(&["conform", "--extract", "scenarios"]).exits(0);
    let verdicts = |ran: &Ran| {
        let report = ran.report();
        let scenarios = report["scenarios"].as_array().unwrap().iter();
        scenarios.map(|it| (it["path"].to_string(), it["verdict"].to_string())).collect::<BTreeMap<_, _>>()
    };
    let within = conform(&project, &["--side", "client", "--api", "auth_token_validator"]).exits(0);
    let outside = project.play(&["scenarios/validator", "scenarios/plays/validator"]).exits(0);
    let mut outside = verdicts(&outside);
    // It has other topics, of which nobody has told a client.
    let of_other_topics = outside.remove("\"scenarios/validator/version_1_0_token_accepted.yaml\"");
    assert_eq!((of_other_topics.as_deref(), verdicts(&within)), (Some("\"pass\""), outside));
    let name = "scenarios/client/heartbeat_wraps.yaml";
    project.write(name, "description: mine\n");
    project.run(&["conform", "--extract", "scenarios"]).exits(2).says("usage/other-file").says(name);
    assert_eq!(project.read(name), "description: mine\n");
    project.run(&["conform", "--extract", "/proc/nowhere"]).exits(3).says("file/unwritable");
}

#[test]
fn the_list_has_every_requirement() {
    let project = Project::new();
    let listed: Value =
        serde_json::from_str(&project.run(&["conform", "--list", "--json", "-"]).exits(0).stdout).unwrap();
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, requirements::ids().collect::<Vec<_>>());
    assert_eq!(listed[0].as_object().unwrap().len(), 6);
    let text = project.run(&["conform", "--list", "--side", "client", "--only", "NX-1"]).exits(0).stdout;
    assert!(text.starts_with("NX-1    client   must    next\n        a client takes"), "{text}");
    assert!(project.run(&["conform", "--list"]).stdout.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let project = Project::new();
    for (arguments, says) in [
        (&["conform"][..], "--side"),
        (&["conform", "--side", "client", "--only", "TV-99"], "no such requirement"),
        (&["conform", "--side", "client", "--only", "HB-1"], "usage/other-side"),
        (&["conform", "--side", "everest", "--sweep"], "`--sweep` is for clients"),
        (&["conform", "--side", "client", "--api", "auth"], "auth_token_provider"),
        (&["conform", "--side", "client", "--report", "x.pdf"], ".md"),
        (&["conform", "--side", "client", "-k", "nothing is called so"], "run/nothing-selected"),
        (&["conform", "--side", "client", "--json", "x", "--junit", "x"], "usage/same-report"),
    ] {
        project.run(arguments).exits(2).says(says);
    }
}

#[test]
fn a_requirement_may_be_known_to_be_broken() {
    let Some(module) = python_module("misbehaving.py") else { return };
    let module = format!("{module} --host {{host}} --port {{port}} --behaviour knows-its-fields --side client");
    let flags = ["--side", "client", "--only", "TV-15", "-k", "from_the_future", "--module", &module];
    for (until, code, state) in
        [("", 0, "excused"), (", until: 2999-12-31", 0, "excused"), (", until: 2024-01-01", 1, "broken")]
    {
        let known = format!("known_failures: [{{requirement: TV-15, reason: ticket 7{until}}}]\n");
        let project = Project::with(&[("khumbu.yaml", &known)]);
        let ran = conform(&project, &flags).exits(code);
        assert_eq!(in_state(&ran, state), ["TV-15"], "{until}: {}", ran.stdout);
        assert_eq!(ran.stdout.contains("known-failure/expired"), code == 1);
    }
}

/// A client that runs already is played twice: what it need not be told goes ahead.
#[test]
fn a_module_that_runs_already_is_judged() {
    let Some(python) = clients::python() else { return };
    let (project, port) = (Project::new(), free_port().to_string());
    let consumer = fixture("modules/consumer.py");
    let _module = attach(
        &project,
        &python.display().to_string(),
        &[&consumer, "--host", "127.0.0.1", "--port", &port, "--module-id", "auth_api"],
    );
    let listen = format!("127.0.0.1:{port}");
    let flags = ["--side", "client", "--attach", "--listen", &listen, "--ready-within", "60s", "-k", "withdraw_by"];
    let ran = conform(&project, &flags).exits(0);
    assert!(in_state(&ran, "met").contains(&"WD-18".to_owned()), "{}", ran.stdout);
    assert!(in_state(&ran, "not_exercised").is_empty(), "{}", ran.stdout);
}

/// What only khumbu's own broker can do is not applicable beside another, and the rest is judged.
#[test]
fn a_broker_of_somebody_else_may_stand_behind() {
    let project = Project::new();
    let Some((_broker, port)) = mosquitto(&project) else { return };
    let broker = format!("mqtt://127.0.0.1:{port}");
    let flags = ["--side", "client", "--api", "auth_consumer", "--broker", &broker, "-k", "status_"];
    let ran = conform(&project, &flags).exits(0);
    assert!(in_state(&ran, "met").contains(&"TV-17".to_owned()), "{}", ran.stdout);
    let report = ran.report();
    let verdict = |name: &str| {
        let mut scenarios = report["scenarios"].as_array().unwrap().iter();
        scenarios.find(|it| it["path"].as_str().unwrap().contains(name)).map(|it| it["verdict"].clone())
    };
    assert_eq!(verdict("fault_status_twice"), Some(json!("not_applicable")));
    assert_eq!(verdict("status_every_kind"), Some(json!("pass")));
}

/// Each scenario under each release, in one matrix; what is broken says under which.
#[test]
fn all_releases_are_judged_together() {
    let project = Project::new();
    let module = "builtin:client?bug=checks_under_e2m";
    let flags = ["conform", "--side", "client", "-k", "withdraw_by", "--release", "all"];
    let ran = project.run(&[&flags[..], &["--json", "-"]].concat()).exits(0);
    let releases = json!(["2025.10", "2025.12", "2026.02", "main"]);
    assert_eq!(ran.report()["releases"], releases);
    let ran = project.run(&[&flags[..], &["--module", module, "--report", "r.md"]].concat()).exits(1);
    assert!(ran.stdout.contains("\n  under 2025.10, 2025.12, 2026.02, main\n"), "{}", ran.stdout);
    assert!(project.read("r.md").contains("\nUnder 2025.10, 2025.12, 2026.02, main.\n"));
}

//! The profile `next` from outside: it is played where it is asked for, told as a forecast, and warns of what is to come.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::project::{Project, python_module};
use crate::sim::Sim;

/// Every status has what the validators said; a bank card stops its transaction.
const NEXT: &str = r#"
description: What comes next.
releases: [next]
under_test: everest
station:
  tokens:
    CARD: {value: "4111-02F3", type: Local, authorization_type: BankCard, tariff_messages: [{content: hello}]}
steps:
  - plug_in: {evse: 1}
  - present_token: CARD
  - expect_status: {token: CARD, status: Processing, payload: {validation_results: [], messages: []}}
  - expect_status: {token: CARD, status: Accepted, payload: {validation_results: [{authorization_status: Accepted}]}}
  - expect_status: {token: CARD, status: UsedToStart, payload: {messages: [{content: hello}]}}
  - start_transaction: {evse: 1}
  - present_token: CARD
  - expect_status: {token: CARD, sequence: [Processing, UsedToStop], payload: {validation_results: []}}
"#;

const FORECAST: &str = "a forecast: main with EVerest's pull requests #2167, #2613 and #2637";

#[test]
fn it_is_played_where_it_is_asked_for_and_told_as_a_forecast() {
    let project = Project::with(&[("s.yaml", NEXT)]);
    let ran = project.run(&["run", "s.yaml", "--release", "next", "--junit", "r.xml", "--json", "r.json"]).exits(0);
    assert!(ran.stderr.contains(&format!("note[release/forecast]: `next` is {FORECAST}")), "{}", ran.stderr);
    assert!(ran.stdout.contains("s.yaml  next (forecast)  "), "{}", ran.stdout);
    let junit = project.read("r.xml");
    assert!(junit.contains("s.yaml [next (forecast)]") && junit.contains("name=\"forecast\""), "{junit}");
    let report: Value = serde_json::from_str(&project.read("r.json")).unwrap();
    let played = &report["scenarios"][0];
    assert_eq!((&played["release"], &played["verdict"]), (&"next".into(), &"pass".into()));
    assert!(played["forecast"].as_str().unwrap().starts_with(FORECAST), "{played}");

    // Nobody gets it who has not asked for it, and what is none is not told as one.
    for arguments in [&["run", "s.yaml"][..], &["run", "s.yaml", "--release", "all"]] {
        let ran = project.run(arguments).exits(0);
        let is_silent = !ran.stderr.contains("forecast") && !ran.stdout.contains("(forecast)");
        assert!(is_silent && ran.stdout.contains("the scenario holds for next only"), "{}", ran.stdout);
    }
    project.write("s.yaml", &NEXT.replace("station:\n", "station:\n  release: next\n"));
    project.run(&["run", "s.yaml"]).exits(0).says("release/forecast");

    let sim = Sim::start(&project, &["--release", "next"]);
    assert!(sim.out().starts_with("mqtt://") && sim.err().contains("release/forecast"));
    assert_eq!(sim.end(Signal::SIGTERM), Some(0));
}

#[test]
fn an_everest_is_judged_by_it() {
    // The head: a bank card stops nothing, and nobody tells what validators said.
    let Some(module) = python_module("everest.py") else { return };
    let project = Project::with(&[("s.yaml", NEXT)]);
    let ran = project.play(&["s.yaml", "--release", "next", "--module", &format!("{module} --release main")]).exits(1);
    let played = &ran.report()["scenarios"][0];
    let text = played.to_string();
    assert!(text.contains("without `validation_results`, which EVerest next always has"), "{text}");
    assert_eq!(played["failures"][0]["id"], "expect/payload-mismatch", "{text}");
}

/// Scenarios of the suite whose requirements are forecasts name no other: what else they judged would be a warning.
#[test]
fn forecasts_have_scenarios_of_their_own() {
    let mut seen = 0;
    for path in glob() {
        let text = std::fs::read_to_string(&path).unwrap();
        let Some(line) = text.lines().find(|line| line.starts_with("requirements: ")) else { continue };
        let ids = line.trim_start_matches("requirements: ").trim_matches(['[', ']']).split(", ");
        let forecasts = ids.clone().filter(|id| id.starts_with("NX-")).count();
        assert!(forecasts == 0 || forecasts == ids.count(), "{path:?}: {line}");
        seen += forecasts;
    }
    assert_eq!(seen, 2);
}

fn glob() -> Vec<std::path::PathBuf> {
    ["client", "everest", "provider", "validator"]
        .into_iter()
        .flat_map(|side| std::fs::read_dir(format!("{}/scenarios/{side}", env!("CARGO_MANIFEST_DIR"))).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect()
}

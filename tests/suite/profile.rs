//! `api_version: "1.0"` from outside: what was before the releases is played, judged and told as such, wherever a station is.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::project::{PASS, Project, Ran, fixture, python_module, wait_for};
use crate::sim::Sim;

/// A token starts and stops a transaction, told in the words of every profile; a heartbeat is `{}` here and there.
const SESSION: &str = r#"
description: A token starts and stops a transaction.
under_test: everest
station:
  auth_consumer: {cfg_heartbeat_interval_ms: 100}
  tokens:
    ALICE: {value: "04A2F3B1", type: ISO14443}
within: 1s
steps:
  - plug_in: {evse: 1}
  - present_token: ALICE
  - only:
      releases: ["1.0"]
      steps:
        - expect_status: {token: ALICE, sequence: [Processing, Accepted], payload: {token: {connectors: $absent}}}
  - only:
      releases: ["2025.10", "2025.12", "2026.02", main]
      steps:
        - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart], connectors: [1]}
  - start_transaction: {evse: 1}
  - present_token: ALICE
  - only:
      releases: ["1.0"]
      steps:
        - expect_status: {token: ALICE, sequence: [Processing, Accepted]}
  - only:
      releases: ["2025.10", "2025.12", "2026.02", main]
      steps:
        - expect_status: {token: ALICE, sequence: [Processing, UsedToStop], connectors: [1]}
  - only: {releases: ["1.0", "2025.10"], steps: [expect: {message: heartbeat, payload: {}}]}
  - expect_none: {message: token_validation_status, for: 100ms}
"#;

/// The release and the verdict of each play.
fn played(ran: &Ran) -> Vec<(String, String)> {
    let report = ran.report();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    report["scenarios"].as_array().unwrap().iter().map(|it| (text(&it["release"]), text(&it["verdict"]))).collect()
}

fn passes_as(release: &str) -> Vec<(String, String)> {
    vec![(release.to_owned(), "pass".to_owned())]
}

#[test]
fn the_version_stands_for_a_profile_unless_a_release_is_named() {
    let project = Project::with(&[("s.yaml", SESSION)]);
    for (config, arguments, release, version) in [
        ("", &["--api-version", "1.0"][..], "1.0", "1.0"),
        ("", &["--release", "1.0"], "1.0", "1.0"),
        ("", &["--api-version", "1"], "main", "1"),
        ("", &["--api-version", "1.0", "--release", "2025.12"], "2025.12", "1.0"),
        ("api_version: \"1.0\"\n", &[], "1.0", "1.0"),
        ("api_version: \"1.0\"\nrelease: \"2025.10\"\n", &[], "2025.10", "1.0"),
        ("api_version: \"1.0\"\n", &["--release", "2025.10"], "2025.10", "1.0"),
        // Flags win.
        ("api_version: \"1\"\n", &["--release", "1.0"], "1.0", "1.0"),
        ("release: main\n", &["--api-version", "1.0"], "1.0", "1.0"),
        ("api_version: \"1.0\"\n", &["--api-version", "1"], "main", "1"),
    ] {
        project.write("khumbu.yaml", config);
        let ran = project.play(&[&["s.yaml", "--record", "r.jsonl"], arguments].concat()).exits(0);
        assert_eq!(played(&ran), passes_as(release), "{config} {arguments:?}");
        assert!(ran.notes().is_empty(), "{}", ran.stdout);
        let recording = project.read("r.jsonl");
        let topics = format!("everest_api/{version}/auth_consumer/auth_api/");
        assert!(recording.contains(&format!("{topics}e2m/heartbeat")), "{recording}");
        assert_eq!(recording.matches("/auth_consumer/").count(), recording.matches(&topics).count(), "{recording}");
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let station = "release: \"1.0\"\napi_version: \"1\"\n";
    let project = Project::with(&[("s.yaml", SESSION), ("station.yaml", station), ("own.yaml", "release: \"1.0\"\n")]);
    let why = "release `1.0` has `1.0` in its topics, not `1`";
    let flags = ["--release", "1.0", "--api-version", "1"];
    project.run(&[&["run", "s.yaml"], &flags[..]].concat()).exits(2).says("usage/bad-topic").says(why);
    project.run(&[&["sim"], &flags[..]].concat()).exits(2).says(why);
    project.run(&["sim", "--station", "own.yaml", "--api-version", "1"]).exits(2).says(why);
    project.run(&["sim", "--station", "station.yaml"]).exits(2).says(why);
    project.write("khumbu.yaml", "release: \"1.0\"\napi_version: \"1\"\n");
    project.run(&["run", "s.yaml"]).exits(2).says(why);
}

#[test]
fn an_everest_is_judged_by_what_was_before_the_releases() {
    let Some(module) = python_module("everest.py") else { return };
    let project = Project::with(&[("s.yaml", SESSION)]);
    // It is what it is asked to be.
    let play = |module: &str| project.play(&["s.yaml", "--api-version", "1.0", "--module", module]);
    let right = play(&module).exits(0);
    assert_eq!((played(&right), right.notes()), (passes_as("1.0"), vec![]));
    // One of the first release says too much, one of main counts and is surer of itself besides.
    for (release, failures, notes) in [
        ("2025.10", &["expect/payload-mismatch", "monitor/schema-violation"][..], &[][..]),
        ("main", &["expect/payload-mismatch", "monitor/qos", "monitor/schema-violation"], &["monitor/messages"]),
    ] {
        let wrong = play(&format!("{module} --release {release}")).exits(1);
        let distinct = |mut ids: Vec<String>| {
            ids.retain(|id| id != "monitor/repeated");
            ids.sort();
            ids.dedup();
            ids
        };
        assert_eq!(distinct(wrong.failures()), failures, "{}", wrong.stdout);
        assert_eq!(distinct(wrong.notes()), notes, "{}", wrong.stdout);
    }
    // And one of 1.0 is none of 2025.10.
    let ran = project.play(&["s.yaml", "--release", "2025.10", "--module", &format!("{module} --release 1.0")]);
    ran.exits(1);
}

#[test]
fn clients_of_all_apis_find_their_topics() {
    let project = Project::new();
    for (file, scenario) in [
        ("consumer.py", "../scenarios/client/version_1_0_statuses.yaml"),
        ("token_reader.py", "../scenarios/provider/version_1_0_token_presented.yaml"),
        ("token_validator.py", "../scenarios/validator/version_1_0_token_accepted.yaml"),
    ] {
        let scenario = fixture(scenario);
        let mut modules = vec!["builtin".to_owned()];
        modules.extend(python_module(file));
        for module in modules {
            // The scenario is about 1.0, so that nobody has to say it.
            let ran = project.play(&[&scenario, "--module", &module]).exits(0);
            assert_eq!(played(&ran), passes_as("1.0"), "{module}\n{}", ran.stdout);
        }
    }
    // One that looks elsewhere is not ready for anything.
    let Some(module) = python_module("consumer.py") else { return };
    project.write("c.yaml", PASS);
    let ran = project.play(&["c.yaml", "--release", "1.0", "--module", &format!("{module} --api-version 1")]);
    assert_eq!(played(&ran)[0].0, "1.0");
    assert_ne!(ran.status.code(), Some(0));
}

#[test]
fn what_came_later_does_not_apply_and_is_told_as_such() {
    let later = "description: x\nunder_test: everest\nsteps:\n  - get_status: {}\n  - expect_reply: $any\n";
    let start = "description: x\nunder_test: everest\nstation:\n  tokens:\n    ALICE: {value: A, type: ISO14443}\nsteps:\n  \
                 - present_token: ALICE\n  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}\n";
    let stop = start.replace("UsedToStart", "UsedToStop");
    let by_deviation = start.replace("station:\n", "station:\n  deviations: {no-used-to-start: false}\n");
    let project = Project::with(&[
        ("s/later.yaml", later),
        ("s/session.yaml", SESSION),
        ("s/start.yaml", start),
        ("s/stop.yaml", &stop),
        ("t/switched.yaml", &by_deviation),
    ]);
    let ran = project.run(&["run", "s", "--api-version", "1.0"]).exits(0);
    for why in [
        "the release has no latched get of the status",
        "the release has no status UsedToStart",
        "no-used-to-start: it is not",
        "the release has no status UsedToStop",
        "stop-says-accepted: a token that stops",
    ] {
        assert!(ran.stderr.contains(why) || ran.stdout.contains(why), "{why}\n{}{}", ran.stdout, ran.stderr);
    }
    // What is no release is named, also where it is alone.
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("s/session.yaml  1.0  "), "{}{}", ran.stdout, ran.stderr);
    let verdicts: Vec<_> = played(&project.play(&["s", "--api-version", "1.0"]));
    assert!(verdicts.iter().all(|(release, _)| release == "1.0"));
    let junit = project.run(&["run", "s", "--api-version", "1.0", "--junit", "-"]).exits(0);
    assert!(junit.stdout.contains(r#"<property name="release" value="1.0"/>"#), "{}", junit.stdout);
    // It is no release, and so not among all of them.
    let all = project.play(&["s/session.yaml", "--release", "all"]).exits(0);
    let releases: Vec<_> = played(&all).into_iter().map(|(release, _)| release).collect();
    assert_eq!(releases, ["2025.10", "2025.12", "2026.02", "main"]);
    let matrix = project
        .run(&["run", "s/later.yaml", "s/session.yaml", "s/start.yaml", "--release", "all", "--api-version", "1.0"])
        .exits(0);
    let told = format!("{}{}", matrix.stdout, matrix.stderr);
    let line = |start: &str| told.lines().find(|line| line.trim_start().starts_with(start)).unwrap_or_default();
    assert_eq!(line("scenario ").split_whitespace().nth(1), Some("1.0"), "{told}");
    assert_eq!(line("later ").split_whitespace().collect::<Vec<_>>()[1..3], ["n/a", "1"], "{told}");
    assert_eq!(
        line("session ").split_whitespace().collect::<Vec<_>>(),
        ["session", "pass", "pass", "pass", "pass", "pass"]
    );
    assert_eq!(line("1.0 ").split_whitespace().collect::<Vec<_>>(), ["1.0", "1", "0", "0", "0", "2"], "{told}");
    // On request it says what later releases say.
    let ran = project.play(&["t", "--api-version", "1.0"]).exits(0);
    assert_eq!((played(&ran), ran.notes()), (passes_as("1.0"), vec![]));
}

/// What a simulation published, as `--trace` shows it: topic, QoS and payload, up to and with the first line that has this.
fn traced(sim: &Sim, last: &str) -> Vec<String> {
    let mut lines = Vec::new();
    wait_for(last, || {
        let line = sim.err();
        let told = line.split_whitespace().skip(2).collect::<Vec<_>>().join(" ");
        let is_last = told.contains(last);
        lines.push(told);
        is_last.then_some(())
    });
    lines
}

#[test]
fn a_simulated_station_speaks_as_it_was_before_the_releases() {
    let station = "api_version: \"1.0\"\ntokens: {ALICE: {value: A, type: ISO14443}}\n";
    let project = Project::with(&[
        ("station.yaml", station),
        ("named.yaml", &format!("release: \"2025.12\"\n{station}")),
        ("only.yaml", "release: \"1.0\"\ntokens: {ALICE: {value: A, type: ISO14443}}\n"),
    ]);
    let base = "everest_api/1.0/auth_consumer/auth_api/e2m";
    for arguments in [&["--api-version", "1.0"][..], &["--station", "station.yaml"], &["--station", "only.yaml"]] {
        let mut sim = Sim::start(&project, &[&["--trace"], arguments].concat());
        sim.out();
        for line in ["plug_in 1", "present_token ALICE", "start_transaction 1", "present_token ALICE"] {
            sim.type_line(line);
        }
        let statuses = format!("{base}/token_validation_status q0");
        let mut seen = Vec::new();
        while seen.len() < 4 {
            let lines = traced(&sim, &statuses);
            assert!(lines.iter().all(|line| line.starts_with(base)), "{lines:?}");
            seen.push(lines.last().unwrap().clone());
        }
        for (line, status) in seen.iter().zip(["Processing", "Accepted", "Processing", "Accepted"]) {
            assert!(line.contains(&format!("\\\"status\\\": \\\"{status}\\\"")), "{line}");
            assert!(!line.contains("connectors") && !line.contains("messages"), "{line}");
        }
        assert!(traced(&sim, "heartbeat").last().unwrap().ends_with("/heartbeat q0 {}"));
        assert_eq!(sim.end(Signal::SIGTERM), Some(0));
    }
    // A release that is named beside it stays what it is.
    let mut sim = Sim::start(&project, &["--trace", "--station", "named.yaml"]);
    sim.out();
    sim.type_line("present_token ALICE");
    assert!(traced(&sim, "UsedToStart").last().unwrap().starts_with(base));
    assert_eq!(sim.end(Signal::SIGTERM), Some(0));
    let listed = project.run(&["sim", "--list-deviations"]).stdout;
    for id in ["no-used-to-start", "stop-says-accepted", "connectors-as-provided"] {
        let entry = listed.split("\n\n").find(|entry| entry.starts_with(id)).unwrap();
        assert!(entry.contains("\n  releases   1.0\n"), "{entry}");
    }
}

#[test]
fn chargers_behind_a_gateway_have_their_own_profiles() {
    let chargers = "chargers:\n  old: {station: {release: \"1.0\"}}\n  new: {}\n";
    let project = Project::with(&[("chargers.yaml", chargers)]);
    let gateway = ["--gateway", "127.0.0.1:0", "--trace"];
    for (arguments, old, new) in [
        (&["--chargers", "chargers.yaml"][..], ("1.0", "q0 {}"), ("1", "q2 ")),
        (&["--chargers", "chargers.yaml", "--api-version", "1.0"], ("1.0", "q0 {}"), ("1.0", "q0 {}")),
    ] {
        let sim = Sim::start(&project, &[&gateway, arguments].concat());
        let described: Vec<_> =
            std::iter::repeat_with(|| sim.out()).skip_while(|line| !line.contains("charger ")).take(2).collect();
        for (charger, (version, heartbeat)) in [("old", old), ("new", new)] {
            let base = format!("everest_api/{version}/auth_consumer/{charger}");
            assert!(described.contains(&format!("charger {charger} {base}")), "{described:?}");
            traced(&sim, &format!("{base}/e2m/heartbeat {heartbeat}"));
        }
        assert_eq!(sim.end(Signal::SIGTERM), Some(0));
    }
}

#[test]
fn a_recording_says_by_its_topics_what_it_is_of() {
    let Some(wrong) = python_module("everest.py") else { return };
    let project = Project::with(&[("s.yaml", SESSION)]);
    project.play(&["s.yaml", "--api-version", "1.0", "--record", "r.jsonl"]).exits(0);
    let replay = |arguments: &[&str]| {
        project.run(&[&["replay", "r.jsonl", "--speed", "max", "--json", "-"], arguments].concat())
    };
    let report = replay(&[]).exits(0).report();
    assert_eq!((&report["outcomes"], &report["reproduced"]), (&json!(4), &json!(4)), "{report:#}");
    assert_eq!(report["findings"], json!([]));
    // What differs is a difference, and not allowed either.
    let report = replay(&["--module", &format!("{wrong} --release 2025.10")]).exits(1).report();
    let ids: Vec<_> = report["findings"].as_array().unwrap().iter().map(|found| found["id"].clone()).collect();
    assert!(ids.contains(&json!("monitor/schema-violation")), "{report:#}");
    assert!(ids.contains(&json!("recording/not-reproduced")), "{report:#}");
    replay(&["--api-version", "1"]).exits(2).says("release `1.0` has `1.0` in its topics, not `1`");
    let station = "api_version: \"1.0\"\nstart: {everest: starting}\nauth_consumer: {cfg_heartbeat_interval_ms: 100}\n";
    project.write("station.yaml", station);
    project.run(&["parity", "r.jsonl", "--station", "station.yaml"]).exits(0);
}

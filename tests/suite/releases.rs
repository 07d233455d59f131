//! Releases of EVerest from outside: what is right in one and wrong in another, what does not apply, and how it is told.

use serde_json::{Value, json};

use crate::project::{PASS, Project, Ran, python_module};

const RELEASES: [&str; 4] = ["2025.10", "2025.12", "2026.02", "main"];

/// Withdrawing a granted token: with a status in main, without before.
const WITHDRAW: &str = r#"
description: Withdrawing a granted token.
under_test: everest
station:
  auth_consumer: {cfg_heartbeat_interval_ms: 100}
  tokens:
    ALICE: {value: "04A2F3B1", type: ISO14443}
within: 1s
steps:
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}
  - withdraw: {evse_id: 1}
  - any_order:
      - expect_reply: Accepted
      - only: {releases: [main], steps: [expect_status: {token: ALICE, status: Withdrawn}]}
  - repeat:
      times: 2
      steps:
        - only: {releases: ["2025.10"], steps: [expect: {message: heartbeat, payload: {}}]}
        - only: {releases: ["2025.12", "2026.02", main], steps: [expect: {message: heartbeat, payload: $integer}]}
"#;

/// What main alone has.
const LATCHED: &str = r#"
description: Asking for the last status.
under_test: everest
steps:
  - get_status: {}
  - expect_reply: $any
"#;

/// Holds for two releases.
const LISTED: &str = r#"
description: Requests without headers are ignored.
releases: ["2025.12", "2025.10"]
under_test: everest
station:
  tokens:
    ALICE: {value: "04A2F3B1", type: ISO14443}
steps:
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}
  - publish: {topic: "{m2e}/withdraw_authorization", payload: {payload: {}}}
  - withdraw: {}
  - expect_reply: Accepted
"#;

/// Verdicts by release, as the JSON report has them.
fn verdicts(ran: &Ran) -> Vec<(String, String, String)> {
    let report = ran.report();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let scenarios = report["scenarios"].as_array().unwrap().iter();
    scenarios.map(|it| (text(&it["path"]), text(&it["release"]), text(&it["verdict"]))).collect()
}

/// Ids of failures and of warnings, each once.
fn ids(scenario: &Value, key: &str) -> Vec<String> {
    let mut ids: Vec<_> =
        scenario[key].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids.dedup();
    ids
}

#[test]
fn an_everest_of_one_release_is_judged_under_each() {
    let Some(module) = python_module("everest.py") else { return };
    let project = Project::with(&[("w.yaml", WITHDRAW)]);
    // It is what it is asked to be.
    let ran = project.play(&["w.yaml", "--release", "all", "--module", &module]).exits(0);
    assert!(verdicts(&ran).iter().all(|(_, _, verdict)| verdict == "pass"), "{}", ran.stdout);
    assert!(ran.notes().is_empty(), "{}", ran.stdout);
    // A module of each release, judged under each, from 2025.10 to main.
    let counts = "expect/missing monitor/schema-violation";
    for (own, failures, notes) in [
        (
            "2025.10",
            ["", counts, counts, "expect/missing monitor/qos monitor/schema-violation"],
            ["", "", "monitor/messages", "monitor/messages"],
        ),
        ("2025.12", [counts, "", "", "expect/missing monitor/qos"], ["", "", "monitor/messages", "monitor/messages"]),
        ("2026.02", [counts, "", "", "expect/missing monitor/qos"], ["monitor/messages", "monitor/messages", "", ""]),
        (
            "main",
            [
                "expect/missing monitor/illegal-transition monitor/qos monitor/schema-violation",
                "monitor/illegal-transition monitor/qos",
                "monitor/illegal-transition monitor/qos",
                "",
            ],
            ["monitor/messages", "monitor/messages", "", ""],
        ),
    ] {
        let module = format!("{module} --release {own}");
        let ran = project.play(&["w.yaml", "--release", "all", "--module", &module]).exits(1);
        for (index, release) in RELEASES.into_iter().enumerate() {
            let scenario = &ran.report()["scenarios"][index];
            let told = format!("{own} under {release}: {scenario:#}");
            let verdict = if failures[index].is_empty() { "pass" } else { "fail" };
            assert_eq!((&scenario["release"], &scenario["verdict"]), (&json!(release), &json!(verdict)), "{told}");
            assert_eq!(ids(scenario, "failures").join(" "), failures[index], "{told}");
            let notes_found: Vec<_> =
                ids(scenario, "notes").into_iter().filter(|id| id != "monitor/repeated").collect();
            assert_eq!(notes_found.join(" "), notes[index], "{told}");
        }
    }
}

#[test]
fn a_client_of_one_release_is_judged_under_each() {
    let Some(python) = python_module("consumer.py") else { return };
    // It asks for no reply at all, which is carried out since 2026.02.
    let module = "\
import json, consumer
class Terse(consumer.Consumer):
    def request(self, operation, payload):
        self.publish(f'{self.base}/m2e/{operation}', json.dumps({'payload': payload}))
Terse(consumer.arguments('').parse_args()).run()
";
    let scenario = r#"
description: A client that wants no reply.
under_test: client
station:
  evses: 2
  auth: {selection_algorithm: PlugEvents}
  tokens:
    ALICE: {value: "04A2F3B1", type: ISO14443}
steps:
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted]}
  - withdraw: {}
  - only: {releases: ["2026.02", main], steps: [expect_status: {token: ALICE, status: Withdrawn}]}
  - only: {releases: ["2025.10", "2025.12"], steps: [expect_none: {message: token_validation_status, for: 100ms}]}
"#;
    let project = Project::with(&[("c.yaml", scenario), ("terse.py", module)]);
    let command = format!("{} terse.py", python.split(' ').next().unwrap());
    let ran = project.play(&["c.yaml", "--release", "all", "--module", &command]).exits(0);
    let warned: Vec<_> = (0..4).map(|index| ids(&ran.report()["scenarios"][index], "notes")).collect();
    let ignored = vec!["monitor/request-ignored".to_owned()];
    assert_eq!(warned, [ignored.clone(), ignored, vec![], vec![]], "{}", ran.stdout);
}

#[test]
fn the_matrix_says_who_passes_where_and_why_not() {
    let fails = "description: x\nunder_test: client\nsteps:\n  - expect: {message: communication_check}\n  - only:\n      releases: [main]\n      steps:\n        \
                 - expect: {message: communication_check, payload: false, within: 100ms}\n";
    let long = format!("s/{}.yaml", "long_name_".repeat(8));
    let project = Project::with(&[
        ("s/latched.yaml", LATCHED),
        ("s/listed.yaml", LISTED),
        ("s/withdraw.yaml", WITHDRAW),
        ("t/fails.yaml", fails),
        (&long, PASS),
    ]);
    let ran = project.run(&["run", "s", "t", "--release", "all", "-j", "4"]).exits(1);
    let at = ran.stdout.find("\nrelease ").unwrap();
    let (before, matrix) = ran.stdout.split_at(at);
    // In every line of a scenario its release; reasons only once, at the end.
    for release in RELEASES {
        assert!(before.contains(&format!("s/withdraw.yaml  {release}  ")), "{before}");
    }
    assert!(!before.contains("release/no-feature"), "{before}");
    assert!(matrix.lines().all(|line| line.chars().count() <= 80), "{matrix}");
    let (matrix, summary) = matrix.trim_end().rsplit_once("\n\n").unwrap();
    assert!(summary.starts_with("14 passed, 1 failed, 0 inconclusive, 0 errors, 5 not applicable in "), "{summary}");
    insta::assert_snapshot!(matrix);
}

#[test]
fn of_many_scenarios_the_matrix_shows_those_that_do_not_pass_everywhere() {
    let names: Vec<String> = (0..21).map(|n| format!("s/{n:02}.yaml")).collect();
    let mut files: Vec<_> = names.iter().map(|name| (name.as_str(), PASS)).collect();
    files.push(("s/latched.yaml", LATCHED));
    let project = Project::with(&files);
    let ran = project.run(&["run", "s", "--release", "all", "-j", "8"]).exits(0);
    let (_, matrix) = ran.stdout.split_once("\nscenario").unwrap();
    assert!(matrix.contains("  latched  n/a 1    n/a 1    n/a 1    pass\n"), "{matrix}");
    assert!(!matrix.contains("  07"), "{matrix}");
    assert!(matrix.contains("\n21 more scenarios pass under every release\n"), "{matrix}");
}

#[test]
fn reports_tell_releases_apart() {
    let project = Project::with(&[("l.yaml", LATCHED), ("p.yaml", PASS)]);
    let ran = project.play(&["l.yaml", "p.yaml", "--release", "all", "--junit", "junit.xml"]).exits(0);
    let report = ran.report();
    assert_eq!(report["schema_version"], 1);
    assert_eq!(
        report["summary"],
        json!({"pass": 5, "fail": 0, "inconclusive": 0, "error": 0, "not_applicable": 3, "excused": 0, "flaky": 0})
    );
    let expected = ["l.yaml", "p.yaml"].into_iter().flat_map(|path| RELEASES.map(|release| (path, release)));
    let found = verdicts(&ran);
    let found: Vec<_> = found.iter().map(|(path, release, _)| (path.as_str(), release.as_str())).collect();
    assert_eq!(found, expected.collect::<Vec<_>>());
    let note = &report["scenarios"][0]["notes"][0];
    assert_eq!((&note["id"], &note["line"]), (&json!("release/no-feature"), &json!(5)), "{note}");
    assert_eq!(note["evidence"], json!(["no-latched-get: nobody listens there"]));
    let junit = project.read("junit.xml");
    for release in RELEASES {
        assert_eq!(junit.matches(&format!(r#"name="p.yaml [{release}]""#)).count(), 1, "{junit}");
    }
    assert_eq!(junit.matches(r#"<skipped message="the release has no latched get of the status""#).count(), 3);
    // Names are as they were where there is one release.
    project.run(&["run", "p.yaml", "--release", "2025.12", "--junit", "junit.xml"]).exits(0);
    let junit = project.read("junit.xml");
    assert!(junit.contains(r#"name="p.yaml""#) && junit.contains(r#"value="2025.12""#), "{junit}");
}

#[test]
fn who_chooses_the_release() {
    let station = PASS.replace("under_test: client\n", "under_test: client\nstation: {release: \"2026.02\"}\n");
    let project = Project::with(&[("listed.yaml", LISTED), ("p.yaml", PASS), ("station.yaml", &station)]);
    let played = |arguments: &[&str]| {
        let ran = project.play(arguments).exits(0);
        verdicts(&ran).into_iter().map(|(_, release, verdict)| format!("{release} {verdict}")).collect::<Vec<_>>()
    };
    let all = ["listed.yaml", "p.yaml", "station.yaml"];
    assert_eq!(played(&all), ["2025.12 pass", "main pass", "2026.02 pass"]);
    let flag = [&all[..], &["--release", "main"]].concat();
    assert_eq!(played(&flag), ["main not_applicable", "main pass", "main pass"]);
    project.write("khumbu.yaml", "release: 2025.10\n");
    assert_eq!(played(&all), ["2025.10 pass"; 3]);
    assert_eq!(played(&flag), ["main not_applicable", "main pass", "main pass"]);
    project.write("khumbu.yaml", "release: all\n");
    assert_eq!(played(&["p.yaml"]).len(), 4);
}

#[test]
fn an_unknown_release_is_refused_with_the_list() {
    let project = Project::with(&[("p.yaml", PASS)]);
    project.run(&["run", "p.yaml", "--release", "2025.11"]).exits(2).says("2025.10, 2025.12, 2026.02, main, next, all");
    project.run(&["run", "p.yaml", "--release", "mian"]).exits(2).says("'main'");
    project.write("khumbu.yaml", "release: \"2025.21\"\n");
    project.run(&["run", "p.yaml"]).exits(2).says("did you mean `2025.12`?").says("2026.02, main, next, all");
}

#[test]
fn a_scenario_that_does_not_hold_is_not_applicable_and_says_why() {
    let project = Project::with(&[("listed.yaml", LISTED)]);
    let ran = project.run(&["run", "listed.yaml", "--release", "main"]).exits(0);
    assert!(
        ran.stdout.contains("note[release/not-listed]: the scenario holds for 2025.10, 2025.12 only"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("listed.yaml:3:11") && ran.stdout.contains("1 not applicable"), "{}", ran.stdout);
}

/// One step, and the features it needs: what is not applicable where.
#[test]
fn what_a_release_lacks_as_a_whole_is_found() {
    let scenario = |station: &str, steps: &str| {
        let tokens = "tokens: {ALICE: {value: \"04A2F3B1\", type: ISO14443}}";
        format!(
            "description: x\nunder_test: everest\nwithin: 300ms\nstation:\n  {tokens}\n{station}steps:\n  \
             - withdraw: {{evse_id: 9}}\n  - expect_reply: EvseNotFound\n  - present_token: ALICE\n{steps}"
        )
    };
    let reauthorizes = "  auth: {stop_transaction_on_reswipe: false}\n";
    let cases = [
        ("", "  - get_status: {}\n  - expect_reply: $any\n", [true, true, true, false]),
        ("", "  - repeat: {times: 2, steps: [get_status: {}]}\n", [true, true, true, false]),
        // What is only not answered is no feature that is missed.
        (
            "",
            "  - publish: {topic: \"{m2e}/token_validation_status/get\", payload: {headers: {replyTo: \"{reply}\"}}}\n",
            [false, false, false, false],
        ),
        (
            "",
            "  - publish: {topic: \"{m2e}/token_validation_status/get\", payload: {headers: {replyTo: \"{reply}\"}}, as: g}\n  \
             - withdraw: {evse_id: 9}\n  - any_order:\n      - expect_reply: EvseNotFound\n      - expect_reply: {to: g, payload: $any}\n",
            [true, true, true, false],
        ),
        ("", "  - restart_everest\n  - expect: {topic: everest_api/ready_beacon}\n", [true, true, true, false]),
        ("", "  - discover: {}\n", [true, true, true, false]),
        ("", "  - query_modules: x\n", [true, true, true, false]),
        ("", "  - restart_everest\n  - expect: {message: ready_beacon}\n", [true, true, true, false]),
        ("", "  - only: {releases: [main], steps: [get_status: {}]}\n", [false, false, false, false]),
        (reauthorizes, "  - note: x\n", [true, true, true, false]),
        ("  auth: {selection_algorithm: PlugEventsLIFO}\n", "  - note: x\n", [true, true, true, false]),
        (
            "",
            "  - only: {releases: [2025.10, 2026.02], steps: [expect_status: {token: ALICE, status: \
              UsedToReauthorize}]}\n",
            [true, false, true, false],
        ),
        (
            "",
            "  - any_order:\n      - expect: {message: token_validation_status}\n      - only: {releases: [2025.12], \
              steps: [expect: {message: token_validation_status, payload: {messages: [{content: x}]}}]}\n",
            [false, true, false, false],
        ),
        (
            "  release: next\n",
            "  - expect_status: {token: ALICE, status: Processing}\n  \
             - expect_status: {token: ALICE, status: Accepted, payload: {validation_results: $any}}\n",
            [true; 4],
        ),
        // On request it is like another release.
        ("  deviations: {no-latched-get: false}\n", "  - get_status: {}\n  - expect_reply: $any\n", [false; 4]),
        ("  deviations: {no-latched-get: true}\n", "  - get_status: {}\n  - expect_reply: $any\n", [true; 4]),
        (
            "  deviations: {unlisted-statuses: false}\n",
            "  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}\n",
            [true, true, false, false],
        ),
    ];
    for (index, (station, steps, expected)) in cases.into_iter().enumerate() {
        let project = Project::with(&[("x.yaml", &scenario(station, steps))]);
        let ran = project.play(&["x.yaml", "--release", "all"]).exits(0);
        let found: Vec<bool> = verdicts(&ran).iter().map(|(_, _, verdict)| verdict == "not_applicable").collect();
        assert_eq!(found, expected, "case {index}\n{}", ran.stdout);
    }
}

#[test]
fn a_golden_belongs_to_one_release() {
    let golden = PASS.replace("under_test: client\n", "under_test: client\ngolden: true\n");
    let project = Project::with(&[("g.yaml", &golden)]);
    project.run(&["run", "g.yaml", "--update"]).exits(0);
    let accepted = project.read("g.snap");
    project.write("g.snap.new", "waits for review");
    let ran = project.play(&["g.yaml", "--release", "2025.10"]).exits(0);
    assert_eq!(ran.notes(), ["golden/not-compared"]);
    assert_eq!((project.read("g.snap"), project.read("g.snap.new")), (accepted.clone(), "waits for review".to_owned()));
    project.run(&["run", "g.yaml", "--release", "all", "--update"]).exits(0);
    assert_eq!(project.read("g.snap"), accepted);
}

#[test]
fn a_known_failure_may_be_one_of_some_releases() {
    let fails = "description: x\nunder_test: client\nsteps:\n  - expect: {message: communication_check}\n  - only:\n      \
                 releases: [main]\n      steps:\n        - expect: {message: communication_check, payload: false, \
                 within: 100ms}\n";
    let project = Project::with(&[("f.yaml", fails)]);
    project.run(&["run", "f.yaml", "--release", "all"]).exits(1);
    project.write("khumbu.yaml", "known_failures: [{scenario: f.yaml, reason: ticket 4711}]\n");
    project.play(&["f.yaml", "--release", "all"]).exits(1).fails_with(&["known-failure/passed"]);
    project.write("khumbu.yaml", "known_failures: [{scenario: f.yaml, releases: [main], reason: ticket 4711}]\n");
    project.run(&["run", "f.yaml", "--release", "all"]).exits(0);
}

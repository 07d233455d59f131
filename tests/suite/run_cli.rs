//! `khumbu run` from outside: exit codes, reports, what is selected, and what is refused before anything is started.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::project::{ERROR, FAIL, PASS, Project, REPLY};

/// A module that leaves a file behind if it is ever started.
const TELLTALE: &str = "touch started";

#[test]
fn exit_codes_tell_verdicts() {
    let project = Project::with(&[("p.yaml", PASS), ("f.yaml", FAIL), ("e.yaml", ERROR), ("broken.yaml", "steps: [")]);
    project.run(&["run", "p.yaml"]).exits(0);
    project.run(&["run", "f.yaml"]).exits(1);
    project.run(&["run", "broken.yaml"]).exits(2);
    project.run(&["run", "e.yaml"]).exits(3);
    project.run(&["run", "p.yaml", "f.yaml"]).exits(1);
    // Failed wins over not judged, and both are said.
    let all = project.run(&["run", "p.yaml", "f.yaml", "e.yaml"]).exits(1);
    assert!(all.stdout.contains("1 passed, 1 failed, 0 inconclusive, 1 error"), "{}", all.stdout);
    project.run(&["run", "p.yaml", "--module", "sleep 60", "--ready-within", "200ms"]).exits(3);
    project.assert_nothing_left();
}

#[test]
fn json_report_has_the_promised_keys_and_stands_alone_on_stdout() {
    let project = Project::with(&[("f.yaml", FAIL), ("p.yaml", PASS), ("e.yaml", ERROR)]);
    let ran = project.run(&["run", "p.yaml", "f.yaml", "e.yaml", "--json", "-", "--junit", "junit.xml"]).exits(1);
    let report = ran.report();
    assert_eq!(report["schema_version"], 1);
    assert_eq!(
        report["summary"],
        json!({"pass": 1, "fail": 1, "inconclusive": 0, "error": 1, "not_applicable": 0, "excused": 0, "flaky": 0})
    );
    let scenarios = report["scenarios"].as_array().unwrap();
    let all: Vec<_> = scenarios.iter().map(|s| (s["path"].as_str().unwrap(), s["verdict"].as_str().unwrap())).collect();
    assert_eq!(all, [("p.yaml", "pass"), ("f.yaml", "fail"), ("e.yaml", "error")]);
    assert_eq!(scenarios[0]["requirements"], json!(["CC-8"]));
    assert_eq!(scenarios[0]["failures"], json!([]));
    assert!(scenarios.iter().all(|scenario| scenario["duration_ms"].is_u64()));
    let failure = &scenarios[1]["failures"][0];
    assert_eq!(failure["id"], "expect/missing");
    assert_eq!(failure["line"], 5);
    assert!(failure["message"].as_str().unwrap().contains("within 200ms"), "{failure}");
    assert!(failure.as_object().unwrap().contains_key("requirement"));
    // The other report says the same, and people read theirs on standard error.
    let junit = project.read("junit.xml");
    assert!(junit.contains("<failure") && junit.contains("<error") && junit.contains("expect/missing"), "{junit}");
    assert!(ran.stderr.contains("1 passed, 1 failed"), "{}", ran.stderr);
}

#[test]
fn junit_report_stands_alone_on_stdout_and_json_goes_to_a_file() {
    let project = Project::with(&[("f.yaml", FAIL), ("p.yaml", PASS)]);
    let ran = project.run(&["run", "f.yaml", "p.yaml", "--junit", "-", "--json", "report.json"]).exits(1);
    assert!(ran.stdout.starts_with("<?xml") && ran.stdout.trim_end().ends_with("</testsuites>"), "{}", ran.stdout);
    let report: Value = serde_json::from_str(&project.read("report.json")).unwrap();
    assert_eq!(report["summary"]["fail"], 1);
}

#[test]
fn reports_that_cannot_be_written_are_refused_before_anything_is_started() {
    let project = Project::with(&[("p.yaml", PASS)]);
    let run = |arguments: &[&str]| project.run(&[&["run", "p.yaml", "--module", TELLTALE], arguments].concat());
    run(&["--json", "-", "--junit", "-"]).exits(2).says("usage/same-report");
    run(&["--json", "same", "--junit", "same"]).exits(2).says("usage/same-report");
    run(&["--json", "no/such/directory.json"]).exits(2).says("usage/unwritable-report");
    run(&["--junit", "."]).exits(2).says("usage/unwritable-report");
    assert!(!project.path("started").exists());
}

#[test]
fn a_report_that_gets_lost_is_an_error() {
    let project = Project::with(&[("p.yaml", PASS)]);
    project.run(&["run", "p.yaml", "--json", "/dev/full"]).exits(3).says("run/report-lost");
    let mut command = project.command(&["run", "p.yaml", "--json", "-"]);
    command.stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
    crate::project::Running::start(command).finish().exits(3).says("run/report-lost");
}

#[test]
fn an_old_report_survives_a_run_that_does_not_begin() {
    let project = Project::with(&[("broken.yaml", "steps: ["), ("report.json", "old")]);
    project.run(&["run", "broken.yaml", "--json", "report.json"]).exits(2);
    assert_eq!(project.read("report.json"), "old");
}

#[test]
fn keyword_side_and_shard_choose() {
    let project = Project::new();
    for name in ["a", "b", "c", "d", "e"] {
        project.write(&format!("scenarios/{name}_client.yaml"), PASS);
    }
    project.write("scenarios/x_everest.yaml", REPLY);
    let paths = |arguments: &[&str]| -> Vec<String> {
        let report = project.play(arguments).exits(0).report();
        let scenarios = report["scenarios"].as_array().unwrap();
        scenarios.iter().map(|scenario| scenario["path"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(paths(&["-k", "b_cl"]), ["scenarios/b_client.yaml"]);
    assert_eq!(paths(&["-k", "EVerest's side answers"]), ["scenarios/x_everest.yaml"]);
    // By what they are about, and not by what only begins so.
    for (name, requirement) in [("one", "RR-1"), ("twelve", "RR-12")] {
        project.write(&format!("about/{name}.yaml"), &format!("requirements: [{requirement}]\n{REPLY}"));
    }
    assert_eq!(paths(&["about", "-k", "RR-1"]), ["about/one.yaml"]);
    assert_eq!(paths(&["--side", "everest"]), ["scenarios/x_everest.yaml"]);
    assert_eq!(paths(&["--side", "client", "-k", "a"]).len(), 5);
    let whole = paths(&[]);
    assert_eq!(whole.len(), 6);
    for n in [1, 2, 4, 6] {
        let mut parts: Vec<_> = (1..=n).flat_map(|i| paths(&["--shard", &format!("{i}/{n}")])).collect();
        parts.sort();
        assert_eq!(parts, whole, "{n} parts");
    }
    project.run(&["run", "-k", "nothing is called so"]).exits(2).says("run/nothing-selected");
    project.run(&["run", "--shard", "7/7"]).exits(2).says("run/nothing-selected");
}

#[test]
fn wrong_usage_is_refused_before_anything_is_started() {
    let project = Project::with(&[("p.yaml", PASS)]);
    for arguments in [
        &["--no-such-flag"][..],
        &["--shard", "0/3"],
        &["--shard", "4/3"],
        &["--shard", "1"],
        &["--shard", "1/0"],
        &["--side", "charger"],
        &["-j", "0"],
        &["-j", "many"],
        &["--ready", "soon"],
        &["--ready", "topic:a/#/b"],
        &["--ready-within", "5"],
        &["--stop-within", "-1s"],
        &["--broker", "localhost:1883"],
        &["--broker", "mqtts://localhost"],
        &["--broker", "mqtt://localhost:99999"],
        &["--listen", "everywhere"],
        &["--attach"],
        &["--module-id", "a/b"],
        &["--module-id", ""],
        &["--api-version", "+"],
        &["--external-prefix", "#"],
        &["--config", "missing.yaml"],
        &["missing.yaml"],
        &["."],
    ] {
        let ran = project.run(&[&["run", "p.yaml"], arguments, &["--module", TELLTALE]].concat());
        if arguments != ["."] {
            assert_eq!(ran.status.code(), Some(2), "{arguments:?}\n{}", ran.stderr);
            assert_eq!(ran.stdout, "", "{arguments:?}");
            assert!(!ran.stderr.is_empty() && !project.path("started").exists(), "{arguments:?}");
        }
    }
    project.run(&["run", "--module", TELLTALE]).exits(2).says("there is no directory `scenarios` here");
    project.run(&["run", "p.yaml", "--module-id", "a/b"]).exits(2).says("usage/bad-topic");
    project.run(&["fly"]).exits(2);
    project.run(&[]).exits(2);
}

#[test]
fn module_commands_that_make_no_sense_are_refused() {
    let project = Project::with(&[("p.yaml", PASS)]);
    project.run(&["run", "p.yaml", "--module", ""]).exits(2).says("usage/bad-value").says("command line is empty");
    project.run(&["run", "p.yaml", "--module", "  "]).exits(2).says("command line is empty");
    project.run(&["run", "p.yaml", "--module", "echo 'half"]).exits(2).says("usage/bad-value");
    let ran = project.play(&["p.yaml", "--module", "no-such-program --flag"]).exits(3);
    ran.fails_with(&["module/not-started"]).says("module `no-such-program` cannot be started");
    // A directory, and a file that is no program.
    project.play(&["p.yaml", "--module", "/tmp"]).exits(3).fails_with(&["module/not-started"]);
    project.play(&["p.yaml", "--module", "./p.yaml"]).exits(3).fails_with(&["module/not-started"]);
    // The side may be named, but not the wrong one.
    project.run(&["run", "p.yaml", "--module", "builtin:client"]).exits(0);
    project.run(&["run", "p.yaml", "--module", "builtin:everest"]).exits(2).says("usage/wrong-side").says("p.yaml:3");
    project.run(&["run", "p.yaml", "--module", "builtin:toaster"]).exits(2).says("usage/bad-value");
}

#[test]
fn one_broken_scenario_keeps_all_from_being_played() {
    let project =
        Project::with(&[("scenarios/a.yaml", PASS), ("scenarios/b.yaml", &PASS.replace("expect:", "expct:"))]);
    let ran = project.run(&["run", "--module", TELLTALE]).exits(2);
    ran.says("scenario/unknown-step").says("scenarios/b.yaml:5");
    // Also one that would not have been chosen.
    project.run(&["run", "-k", "a.yaml", "--module", TELLTALE]).exits(2);
    assert!(!project.path("started").exists());
}

#[test]
fn an_address_that_is_taken_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let project = Project::with(&[("p.yaml", PASS)]);
    let ran = project.play(&["p.yaml", "--listen", &address, "--module", TELLTALE]).exits(3);
    let ran = ran.fails_with(&["harness/no-broker"]).says(&format!("cannot listen on {address}"));
    ran.says("in use");
    assert!(!project.path("started").exists());
}

#[test]
fn a_failed_expectation_shows_where_what_instead_and_what_the_module_wrote() {
    let project = Project::with(&[(
        "w.yaml",
        &crate::project::WITHDRAW.replace("evse_id: 1", "evse_id: 2, token: ALICE").replace(
            "steps:",
            "station:\n  evses: 2\n  tokens:\n    ALICE: {value: \"04A2F3B1\", type: ISO14443}\nsteps:",
        ),
    )]);
    project.write(
        "forgetful.py",
        "\
from consumer import Consumer, arguments
class Forgetful(Consumer):
    def on_command(self, name, value):
        print('asked for', value['evse_id'], flush=True)
        super().on_command(name, {'evse_id': value['evse_id']})
Forgetful(arguments('').parse_args()).run()
",
    );
    let Some(python) = crate::clients::python() else { return };
    let ran = project.run(&["run", "w.yaml", "--module", &format!("{} forgetful.py", python.display())]).exits(1);
    let all = format!("{}{}", ran.stdout, ran.stderr);
    for part in [
        "fail[expect/payload-mismatch]",
        "w.yaml:8",
        "withdraw",
        "without `id_token`",
        "output of the module",
        "| asked for 2",
    ] {
        assert!(all.contains(part), "no `{part}` in\n{all}");
    }
}

//! `khumbu run` while somebody works: only what failed, until something fails, again and again, and what took long.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::project::{ERROR, FAIL, PASS, Project, wait_for};

/// No release before main has numbers in its heartbeats.
const HEARTBEAT: &str = "\
description: EVerest numbers its heartbeats.
under_test: everest
steps:
  - expect: {message: heartbeat, payload: $number, within: 300ms}
";

fn project() -> Project {
    Project::with(&[("a.yaml", PASS), ("e.yaml", ERROR), ("f.yaml", FAIL), ("p.yaml", PASS), ("q.yaml", PASS)])
}

#[test]
fn only_what_did_not_pass_is_played_again() {
    let project = project();
    project.run(&["run", "a.yaml", "e.yaml", "f.yaml", "p.yaml", "--json", "first.json"]).exits(1);
    let ran = project.run(&["run", "a.yaml", "e.yaml", "f.yaml", "p.yaml", "--failed", "first.json"]).exits(1);
    assert!(ran.stdout.contains("\n0 passed, 1 failed, 0 inconclusive, 1 error, "), "{}", ran.stdout);
    // All is well by now: there is nothing left, and that is no pass.
    project.run(&["run", "a.yaml", "--json", "second.json"]).exits(0);
    let nothing = project.run(&["run", "a.yaml", "--failed", "second.json"]).exits(2);
    let all_passed = "error[run/nothing-selected]: no scenario is left to be played: all passed in `second.json`";
    assert!(nothing.stderr.starts_with(all_passed), "{}", nothing.stderr);
    // What failed and is not there any more is no pass.
    let gone = project.run(&["run", "a.yaml", "e.yaml", "--failed", "first.json"]).exits(3);
    assert!(gone.stderr.starts_with("warning[run/left-out]: `f.yaml` did not pass in `first.json`"), "{}", gone.stderr);
    let gone = project.run(&["run", "a.yaml", "--failed", "first.json"]).exits(2);
    assert!(gone.stderr.contains("error[run/nothing-selected]"), "{}", gone.stderr);
    let no_report = project.run(&["run", "a.yaml", "--failed", "a.yaml"]).exits(2);
    assert!(no_report.stderr.contains("error[file/no-report]"), "{}", no_report.stderr);
}

#[test]
fn a_scenario_is_played_again_under_the_releases_that_it_failed_under() {
    let project = Project::with(&[("h.yaml", HEARTBEAT)]);
    let flags = ["--module", "builtin:everest", "--json"];
    project.run(&[&["run", "h.yaml", "--release", "all"], &flags[..], &["first.json"]].concat()).exits(1);
    let played = |more: &[&str]| {
        let report =
            project.run(&[&["run", "h.yaml", "--failed", "first.json"], more, &flags, &["-"]].concat()).report();
        let scenarios = report["scenarios"].as_array().unwrap().clone();
        scenarios.iter().map(|it| it["release"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let failed = played(&[]);
    assert!(!failed.is_empty() && !failed.contains(&"main".to_owned()), "{failed:?}");
    assert_eq!(played(&["--release", "all"]), failed);
    assert_eq!(played(&["--release", &failed[0]]), failed[..1]);
    project.run(&["run", "h.yaml", "--failed", "first.json", "--release", "main"]).exits(2);
}

#[test]
fn a_release_that_a_run_did_not_come_to_is_left() {
    let project = Project::with(&[("a.yaml", PASS)]);
    let mut cut = project.run(&["run", "a.yaml", "--release", "all", "--json", "-"]).exits(0).report();
    cut["interrupted"] = json!(true);
    let left = cut["scenarios"].as_array_mut().unwrap().pop().unwrap();
    project.write("cut.json", &cut.to_string());
    let flags = ["run", "a.yaml", "--failed", "cut.json", "--release"];
    let again = project.run(&[&flags[..], &["all", "--json", "-"]].concat()).exits(0).report();
    let played = again["scenarios"].as_array().unwrap();
    assert_eq!((played.len(), &played[0]["release"]), (1, &left["release"]));
    let other = cut["scenarios"][0]["release"].as_str().unwrap();
    project.run(&[&flags[..], &[other]].concat()).exits(2);
}

#[test]
fn nothing_more_begins_after_a_failure_and_what_was_not_played_is_left() {
    let project = project();
    let all = ["run", "f.yaml", "a.yaml", "p.yaml", "q.yaml"];
    let ran = project.run(&[&all[..], &["-j", "1", "--fail-fast", "--json", "ff.json"]].concat()).exits(1);
    assert!(ran.stdout.contains("ended at the first failure, as `--fail-fast` says: "), "{}", ran.stdout);
    let report: Value = serde_json::from_str(&project.read("ff.json")).unwrap();
    assert_eq!((&report["interrupted"], &report["summary"]["inconclusive"]), (&json!(true), &json!(0)));
    let count = report["scenarios"].as_array().unwrap().len();
    assert!(count < 4, "{report}");
    // The one that failed, and those that nobody has come to.
    let again = project.run(&[&all[..], &["--failed", "ff.json", "--json", "-"]].concat()).exits(1).report();
    assert_eq!(again["scenarios"].as_array().unwrap().len(), 1 + 4 - count, "{again}");
    // What passes is played to its end.
    let ran = project.run(&["run", "a.yaml", "p.yaml", "q.yaml", "-j", "1", "--fail-fast"]).exits(0);
    assert!(ran.stdout.contains("\n3 passed, ") && !ran.stdout.contains("--fail-fast"), "{}", ran.stdout);
    // Nor does another round begin.
    let ran = project.run(&["run", "f.yaml", "--repeat", "3", "--fail-fast"]).exits(1);
    assert!(!ran.stdout.contains("round 2 of 3"), "{}", ran.stdout);
}

#[test]
fn all_is_played_as_often_as_wanted() {
    let ran = project().run(&["run", "a.yaml", "f.yaml", "--repeat", "3"]).exits(1);
    assert!(ran.stdout.contains("it passed in all 3 plays"), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("it failed in all 3 plays"), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("\nround 3 of 3:\n") && !ran.stdout.contains("at most"), "{}", ran.stdout);
    // What nothing could judge in the first round is played again, too.
    let late = ["run", "a.yaml", "--module", "sleep 60", "--ready-within", "100ms", "--repeat", "2"];
    let ran = project().run(&late).exits(3);
    assert!(ran.stdout.contains("it was judged in none of 2 plays"), "{}{}", ran.stdout, ran.stderr);
    project().run(&["run", "a.yaml", "--repeat", "2", "--retries", "2"]).exits(2);
    project().run(&["run", "a.yaml", "--repeat", "0"]).exits(2);
}

#[test]
fn the_slowest_are_told() {
    let ran = project().run(&["run", "a.yaml", "p.yaml", "q.yaml", "--slowest", "2"]).exits(0);
    let told = ran.stdout.split("\nslowest:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    assert_eq!(told.lines().count(), 2, "{}", ran.stdout);
    assert!(told.lines().all(|line| line.starts_with("pass")), "{told}");
}

#[test]
fn what_has_changed_is_played_again() {
    let project = Project::with(&[("scenarios/a.yaml", PASS), ("scenarios/b.yaml", PASS), ("khumbu.yaml", "{}")]);
    let told = project.path("told");
    let mut command = project.command(&["run", "--watch"]);
    command.stdout(std::fs::File::create(&told).unwrap()).stderr(std::fs::File::create(project.path("err")).unwrap());
    let mut child = command.spawn().unwrap();
    // Each time it is over before the next change.
    let wait = |times: usize| {
        wait_for("the next time", || {
            (project.read("err").matches("waiting for a change").count() == times).then(|| project.read("told"))
        })
    };
    let last = |told: &str| told.rsplit("\n\n").next().unwrap().to_owned();
    assert!(last(&wait(1)).starts_with("2 passed, 0 failed"), "{}", project.read("told"));
    project.write("scenarios/b.yaml", FAIL);
    assert!(last(&wait(2)).starts_with("0 passed, 1 failed"), "{}", project.read("told"));
    // What khumbu or an editor leaves beside it is nobody's change.
    project.write("scenarios/.b.yaml.swp", "x");
    project.write("scenarios/b.snap.new", "x");
    project.write("notes.txt", "x");
    project.write("khumbu.yaml", "{module_id: other}");
    assert!(last(&wait(3)).starts_with("1 passed, 1 failed"), "{}", project.read("told"));
    let id = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(id, Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "as the last time");
    project.assert_nothing_left();
}

#[test]
fn what_was_not_played_stands_in_junit_and_in_the_summary() {
    let project = project();
    let all = ["run", "f.yaml", "a.yaml", "p.yaml", "q.yaml", "-j", "1", "--fail-fast", "--junit", "ff.xml"];
    let ran = project.run(&all).exits(1);
    assert!(ran.stdout.contains("as `--fail-fast` says: 3 scenarios of 4 not played"), "{}", ran.stdout);
    let junit = project.read("ff.xml");
    assert_eq!(junit.matches("not played: the run ended before").count(), 3, "{junit}");
    assert!(junit.contains("name=\"q.yaml\"") && junit.contains("skipped=\"3\""), "{junit}");
    // So it is where the user ends it.
    project.write(
        "slow.yaml",
        &FAIL.replace("note: A conforming client does not.", "run: {command: touch begun}").replace("200ms", "50s"),
    );
    let running = project.start(&["run", "slow.yaml", "a.yaml", "-j", "1", "--junit", "cut.xml"]);
    wait_for("the first step", || project.path("begun").exists().then_some(()));
    running.signal(Signal::SIGINT);
    let ran = running.finish().exits(3);
    assert!(ran.stdout.contains("\ninterrupted: 1 scenario of 2 not played\n"), "{}", ran.stdout);
    assert_eq!(project.read("cut.xml").matches("not played: the run ended before").count(), 1);
}

#[test]
fn no_other_round_begins_after_a_failure() {
    let project = project();
    let ran = project.run(&["run", "f.yaml", "--repeat", "3", "--fail-fast"]).exits(1);
    assert!(ran.stdout.contains("as `--fail-fast` says: 1 of 3 rounds played"), "{}", ran.stdout);
}

#[test]
fn a_report_of_what_failed_can_be_merged() {
    let project = Project::with(&[("h.yaml", HEARTBEAT)]);
    let flags = ["run", "h.yaml", "--module", "builtin:everest"];
    project.run(&[&flags[..], &["--release", "all", "--json", "first.json"]].concat()).exits(1);
    project.run(&[&flags[..], &["--failed", "first.json", "--json", "again.json"]].concat()).exits(1);
    let merged = project.run(&["merge", "again.json"]).exits(1);
    assert!(!merged.stderr.contains("run/missing-results"), "{}", merged.stderr);
}

#[test]
fn the_command_that_plays_again_says_not_how_many_at_once() {
    let project = project();
    project.run(&["run", "f.yaml", "-j16", "--html", "page.html"]).exits(1);
    let page = project.read("page.html");
    let again = page.lines().find(|line| line.contains("khumbu run")).unwrap_or_default();
    assert!(page.contains("khumbu run f.yaml") && !again.contains("run -j16"), "{again}");
}

/// A scenario in which khumbu alone does something.
const IDLE: &str = "\
description: EVerest beats.
under_test: client
steps:
  - expect: {message: heartbeat}
";

#[test]
fn a_pass_of_a_scenario_that_asks_nothing_is_remarked() {
    let project = Project::with(&[("idle.yaml", IDLE), ("p.yaml", PASS)]);
    let ran = project.run(&["run", "idle.yaml", "p.yaml"]).exits(0);
    let remark = "warning[scenario/demands-nothing]: no step asks anything of the module: whatever listens passes";
    assert_eq!(ran.stdout.matches(remark).count(), 1, "{}", ran.stdout);
    assert!(ran.stdout.contains(" --> idle.yaml:4:3") && ran.stdout.contains(", 1 warning"), "{}", ran.stdout);
}

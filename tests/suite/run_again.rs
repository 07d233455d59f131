//! `khumbu run` while somebody works: only what failed, until something fails, again and again, and what took long.

use serde_json::json;

use crate::project::{ERROR, FAIL, PASS, Project, wait_for};

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
    assert!(nothing.stderr.contains("error[run/nothing-selected]"), "{}", nothing.stderr);
    let no_report = project.run(&["run", "a.yaml", "--failed", "a.yaml"]).exits(2);
    assert!(no_report.stderr.contains("error[file/no-report]"), "{}", no_report.stderr);
}

#[test]
fn nothing_more_begins_after_a_failure() {
    let ran = project().run(&["run", "f.yaml", "a.yaml", "p.yaml", "q.yaml", "-j", "1", "--fail-fast", "--json", "-"]);
    let report = ran.exits(1).report();
    assert_eq!((&report["interrupted"], &report["summary"]["fail"]), (&json!(true), &json!(1)));
    assert!(report["scenarios"].as_array().unwrap().len() < 4, "{report}");
    let ran = project().run(&["run", "f.yaml", "a.yaml", "p.yaml", "q.yaml", "-j", "1", "--fail-fast"]).exits(1);
    assert!(ran.stdout.contains("ended at the first failure, as `--fail-fast` says: "), "{}", ran.stdout);
    // What passes is played to its end.
    let ran = project().run(&["run", "a.yaml", "p.yaml", "q.yaml", "-j", "1", "--fail-fast"]).exits(0);
    assert!(ran.stdout.contains("\n3 passed, ") && !ran.stdout.contains("--fail-fast"), "{}", ran.stdout);
}

#[test]
fn all_is_played_as_often_as_wanted() {
    let ran = project().run(&["run", "a.yaml", "f.yaml", "--repeat", "3"]).exits(1);
    assert!(ran.stdout.contains("it passed in all 3 plays"), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("it failed in all 3 plays"), "{}{}", ran.stdout, ran.stderr);
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
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "as the last time");
    project.assert_nothing_left();
}

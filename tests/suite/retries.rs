//! `--retries`: what is flaky is told from what is broken, in every report, and nothing that a module did wrong is lost.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use khumbu::diagnostic::{Diagnostic, Severity, Style};
use khumbu::report::annotations::github;
use khumbu::report::html::Made;
use khumbu::report::{self, KnownFailure, Listed};
use khumbu::suite::{self, State};
use khumbu::verdict::{Again, ScenarioResult, Verdict};

use crate::matrix::scope;
use crate::project::{PASS, Project, python_module};

const TOOK: Duration = Duration::from_millis(1500);

/// The result of a play, with what was found: a pass if nothing was.
fn play(findings: Vec<Diagnostic>) -> Arc<ScenarioResult> {
    Arc::new(ScenarioResult {
        path: "a.yaml".to_owned(),
        verdict: findings.iter().map(Verdict::of).max().unwrap_or(Verdict::Pass),
        findings,
        requirements: vec!["TV-15".to_owned()],
        occasions: BTreeMap::from([("TV-17", 1)]),
        ..ScenarioResult::default()
    })
}

fn pass() -> Arc<ScenarioResult> {
    play(Vec::new())
}

fn fail(requirement: &'static str) -> Arc<ScenarioResult> {
    play(vec![Diagnostic::new(Severity::Fail, "module/ended", "it ended").breaking(requirement)])
}

fn unready() -> Arc<ScenarioResult> {
    play(vec![Diagnostic::new(Severity::Inconclusive, "module/never-ready", "it was not there")])
}

fn untold() -> Arc<ScenarioResult> {
    let why = Diagnostic::new(Severity::Inconclusive, "module/not-drivable", "no ears");
    play(vec![why.unexercised("a binding")])
}

fn together(plays: &[Arc<ScenarioResult>]) -> Arc<ScenarioResult> {
    report::together(plays.to_vec(), false).unwrap()
}

/// The state of a requirement, and how the process would end.
fn judged(results: &[Arc<ScenarioResult>], id: &str) -> (State, u8) {
    let scope = scope();
    let matrix = suite::matrix(results, &scope, false);
    let row = matrix.rows.iter().find(|row| row.requirement.id == id).unwrap();
    (row.state, suite::exit_code(&matrix, false))
}

#[test]
fn a_pass_after_a_fail_is_flaky_and_fails_unless_that_may_pass() {
    let mut results = [together(&[fail("TV-15"), pass()])];
    assert_eq!(results[0].again, Some(Again { plays: 2, failed: 1, passed: 1 }));
    assert_eq!(results[0].verdict, Verdict::Fail);
    assert_eq!(judged(&results, "TV-15"), (State::Flaky, 1));
    // What the play that passed has shown counts.
    assert_eq!(results[0].occasions["TV-17"], 2);
    let told = results[0].findings.last().unwrap();
    assert_eq!((told.id, told.evidence.as_slice()), ("run/played-again", &["play 2: pass".to_owned()][..]));
    report::let_flaky_pass(&mut results);
    assert_eq!(results[0].verdict, Verdict::Flaky);
    assert_eq!(judged(&results, "TV-15"), (State::Flaky, 0));
    assert_eq!(report::exit_code([Verdict::Flaky], false), 0);
    // Nor does it fail, or leave open, what breaks no requirement.
    let nameless = play(vec![Diagnostic::new(Severity::Fail, "module/ended", "it ended")]);
    let mut results = [together(&[nameless, pass()])];
    assert_eq!(judged(&results, "TV-17"), (State::Met, 1));
    report::let_flaky_pass(&mut results);
    assert_eq!(judged(&results, "TV-17"), (State::Met, 0));
}

#[test]
fn every_report_shows_what_is_flaky_with_its_first_failure() {
    for (may_pass, of_run, of_suite) in [(false, "<failure ", "<failure "), (true, "<flakyFailure ", "<flakyFailure ")]
    {
        let mut results = [together(&[fail("TV-15"), pass()])];
        if may_pass {
            report::let_flaky_pass(&mut results);
        }
        let scope = scope();
        let matrix = suite::matrix(&results, &scope, false);
        let json = suite::json(&matrix, &results, 0, TOOK);
        let made = Made { command: "khumbu".to_owned(), at: DateTime::UNIX_EPOCH, took: TOOK, host: None };
        let page = suite::html(&matrix, &results, &made);
        let of_run = (report::junit(&results, &[], &made), of_run);
        for (report, words) in [
            of_run,
            (page.clone(), "1 requirement is flaky"),
            (page, "it failed in 1 of 2 plays"),
            (report::html::html(&results, &made, false, "khumbu run"), "flaky"),
            (
                github(&suite::annotations(&matrix, &|_| None)),
                if may_pass { "::warning title=" } else { "::error title=" },
            ),
            (suite::junit(&matrix, &made), of_suite),
            (json.clone(), "\"state\": \"flaky\""),
            (json, "\"other_plays\": ["),
            (suite::markdown(&matrix, TOOK), "## TV-15 is flaky"),
            (suite::markdown(&matrix, TOOK), "In `a.yaml`, it failed in 1 of 2 plays"),
            (suite::text(&matrix, TOOK, Style::Plain), "TV-15 is flaky (should)"),
            (suite::text(&matrix, TOOK, Style::Plain), "1 flaky"),
            (report::terminal::findings(&results[0], false, Style::Plain), "flaky: 1 of 2 plays failed"),
            (report::terminal::findings(&results[0], false, Style::Plain), "fail[module/ended]"),
        ] {
            assert!(report.contains(words), "no `{words}` in {report}");
        }
        // A merge has all of it.
        let text = report::json(&results, &scope.part, false, TOOK, "khumbu run");
        assert_eq!(report::read("r.json", &text).unwrap().results, results);
    }
}

#[test]
fn what_another_play_broke_is_broken_too() {
    let results = [together(&[fail("TV-15"), fail("TV-17")])];
    assert_eq!(judged(&results, "TV-15"), (State::Broken, 1));
    assert_eq!(judged(&results, "TV-17"), (State::Broken, 1));
    // Broken anywhere else is not flaky.
    let results = [together(&[fail("TV-15"), pass()]), fail("TV-15")];
    assert_eq!(judged(&results, "TV-15"), (State::Broken, 1));
}

#[test]
fn a_play_that_judged_nothing_takes_nothing_back() {
    for (plays, verdict, told) in [
        (vec![fail("TV-15"), unready()], Verdict::Fail, "it failed in 1 of 2 plays, and passed in none"),
        (vec![unready(), fail("TV-15"), pass()], Verdict::Fail, "it is flaky: it failed in 1 of 3 plays"),
        (vec![fail("TV-15"), fail("TV-15")], Verdict::Fail, "it failed in all 2 plays"),
        (vec![unready(), pass()], Verdict::Pass, "it was judged in 1 of 2 plays"),
        (vec![unready(), unready()], Verdict::Inconclusive, "it was judged in none of 2 plays"),
    ] {
        let result = together(&plays);
        assert_eq!((result.verdict, result.findings.last().unwrap().headline.as_str()), (verdict, told));
        assert_eq!(result.plays().count(), plays.len());
    }
    assert!(together(&[pass()]).again.is_none());
    assert!(report::together(Vec::new(), false).is_none());
}

#[test]
fn what_no_play_changes_is_not_played_again() {
    let error = play(vec![Diagnostic::new(Severity::Error, "harness/broken", "no")]);
    for (result, is_worth_it) in
        [(fail("TV-15"), true), (unready(), true), (error, true), (untold(), false), (pass(), false)]
    {
        assert_eq!(report::is_worth_another(&result), is_worth_it, "{result:?}");
    }
}

#[test]
fn known_failures_are_no_news_and_an_entry_that_expired_still_fails() {
    let day = |text: &str| Some(text.parse().unwrap());
    let known =
        |until| KnownFailure { what: Listed::Requirement("TV-15"), releases: None, reason: "ticket".to_owned(), until };
    let today = "2026-06-01".parse().unwrap();
    let excused = report::excuse(&fail("TV-15"), &[known(None)], today);
    assert!(!report::is_worth_another(&excused));
    // Known or not, it is broken: nobody says that the entry is out of date.
    let results = [together(&[fail("TV-17"), fail("TV-15"), pass()])];
    let whole = report::excuse_all(&results, &[known(None)], today, true);
    assert!(!format!("{whole:?}").contains("known-failure/passed"));
    let mut expired =
        report::excuse_all(&[together(&[fail("TV-15"), pass()])], &[known(day("2026-01-01"))], today, true);
    report::let_flaky_pass(&mut expired);
    assert_eq!(expired[0].verdict, Verdict::Fail);
}

/// A module that does wrong when it is started for the first time.
fn flaky_once(project: &Project, module: &str) -> String {
    let flags = "--host {host} --port {port}";
    let bad = format!("{module} {flags} --behaviour retained-communication-check --side client");
    let good = format!("{} {flags}", module.replace("misbehaving.py", "consumer.py"));
    let mark = project.path("started").display().to_string();
    format!("sh -c 'if mkdir {mark} 2>/dev/null; then exec {bad}; else exec {good}; fi'")
}

#[test]
fn a_module_that_does_wrong_once_is_flaky() {
    let Some(module) = python_module("misbehaving.py") else { return };
    for (flags, code, verdict) in [
        (&["--retries", "2"][..], 1, "fail"),
        (&["--retries", "2", "--flaky", "pass"], 0, "flaky"),
        (&[][..], 1, "fail"),
    ] {
        let project = Project::with(&[("p.yaml", PASS)]);
        let module = flaky_once(&project, &module);
        let ran = project.play(&[&["p.yaml", "--module", &module], flags].concat()).exits(code);
        let report = ran.report();
        let scenario = &report["scenarios"][0];
        assert_eq!(scenario["verdict"], verdict, "{scenario:#}");
        assert_eq!(scenario["again"]["plays"].as_u64(), if flags.is_empty() { None } else { Some(2) }, "{scenario:#}");
        assert!(ran.failures().contains(&"monitor/retained".to_owned()), "{scenario:#}");
        assert_eq!(ran.stderr.contains("again, 1 of at most 2 times"), !flags.is_empty(), "{}", ran.stderr);
    }
}

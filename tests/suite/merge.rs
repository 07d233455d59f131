//! `khumbu merge`: shards put together are the whole, and what is no whole is refused.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use khumbu::diagnostic::{Diagnostic, Place, Severity, Source, Subject};
use khumbu::protocol::release::Release;
use khumbu::report::{self, KnownFailure, Listed, Part, Report, Shard};
use khumbu::suite::{self, Scope};
use khumbu::verdict::{Evidence, Passed, ScenarioResult, Verdict};
use serde_json::{Value, json};

use crate::matrix::scope;
use crate::printed;
use crate::project::{FAIL, PASS, Project};

const TOOK: Duration = Duration::from_millis(2500);

fn result(path: &str, verdict: Verdict, findings: Vec<Diagnostic>) -> Arc<ScenarioResult> {
    Arc::new(ScenarioResult { path: path.to_owned(), verdict, findings, ..ScenarioResult::default() })
}

/// One with something in every field that reports show.
fn full() -> Arc<ScenarioResult> {
    let source = Arc::new(Source { path: "a.yaml".to_owned(), text: "description: é\nsteps:\n".to_owned() });
    let place = Place { source, range: 13..15, label: "here".to_owned() };
    let fail = Diagnostic {
        at_record: Some(7),
        ..Diagnostic::new(Severity::Fail, "expect/late", "it was `late`")
            .at(place)
            .with_evidence("1.2 s")
            .with_help("hurry")
            .breaking("RR-1")
    };
    let note = Diagnostic::new(Severity::Note, "run/note", "so it is");
    let untold = Diagnostic::new(Severity::Inconclusive, "module/not-drivable", "no ears").unexercised("a binding");
    Arc::new(ScenarioResult {
        description: "all of it".to_owned(),
        release: Release::V2025_12,
        duration: TOOK,
        requirements: vec!["RR-1".to_owned(), "an unknown one".to_owned()],
        output: vec!["\u{1b}[31mred".to_owned(), "end".to_owned()],
        last_lines: 1,
        evidence: Evidence {
            shown: BTreeMap::from([("heartbeat", 3)]),
            did: BTreeMap::from([("withdraw", 1)]),
            not_shown: BTreeMap::from([("reply", 1)]),
            injected: BTreeMap::from([("drop".to_owned(), 2)]),
        },
        occasions: BTreeMap::from([("RR-1", 2)]),
        messages: vec![Passed {
            seq: 7,
            at: TOOK,
            is_by_module: true,
            name: "reply",
            topic: "…/reply".to_owned(),
            payload: "\"<b>\u{fffd}".to_owned(),
            qos: 2,
            retain: true,
        }],
        ..result("a.yaml", Verdict::Fail, vec![fail, untold, note]).as_ref().clone()
    })
}

/// The part of a run of two scenarios.
fn part(shard: Option<Shard>) -> Part {
    let known =
        KnownFailure { what: Listed::Requirement("TV-15"), releases: None, reason: "ticket 7".to_owned(), until: None };
    Part::new([("a.yaml", "a", Release::Main), ("b.yaml", "b", Release::Main)].into_iter(), shard, &[known])
}

fn shard(index: usize) -> Option<Shard> {
    Some(Shard { index, of: 2 })
}

fn written(index: usize, result: &Arc<ScenarioResult>) -> Value {
    let text = report::json(std::slice::from_ref(result), &part(shard(index)), false, TOOK, "khumbu run -j 2");
    serde_json::from_str(&text).unwrap()
}

fn read(value: &Value) -> Result<Report, String> {
    let text = serde_json::to_string_pretty(value).unwrap();
    report::read("r.json", &text).map_err(|found| printed::told([&*found]).concat())
}

/// Both shards.
fn both() -> [Value; 2] {
    [written(1, &full()), written(2, &result("b.yaml", Verdict::Pass, Vec::new()))]
}

#[test]
fn what_is_written_is_read_again() {
    let results = [full(), result("b.yaml", Verdict::NotApplicable, Vec::new())];
    let text = report::json(&results, &part(None), true, TOOK, "khumbu run -j 2");
    let read = report::read("r.json", &text).unwrap();
    assert_eq!(read.results, results);
    assert_eq!((read.part, read.is_interrupted, read.duration), (part(None), true, TOOK));
    assert_eq!((read.conform, read.command.as_str()), (None, "khumbu run -j 2"));
}

#[test]
fn shards_put_together_are_the_whole() {
    let reports: Vec<_> = both().iter().rev().map(|it| read(it).unwrap()).collect();
    let whole = report::merge(reports).unwrap();
    assert_eq!(whole.results.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(), ["a.yaml", "b.yaml"]);
    assert_eq!((whole.results[0].clone(), whole.part, whole.is_interrupted), (full(), part(None), false));
}

/// One that the module has ended in, over one of these.
fn ended(path: &str, over: &[&'static str]) -> Arc<ScenarioResult> {
    let found = Diagnostic::new(Severity::Fail, "module/ended", "it has ended").about(Subject::ModuleEnd);
    let found = Diagnostic { requirement: over.first().copied(), suspects: over.to_vec(), ..found };
    result(path, Verdict::Fail, vec![found])
}

fn passed(path: &str, occasion: &'static str) -> Arc<ScenarioResult> {
    let occasions = BTreeMap::from([(occasion, 1)]);
    Arc::new(ScenarioResult { occasions, ..result(path, Verdict::Pass, Vec::new()).as_ref().clone() })
}

/// Fails in a play and passes in another.
fn flaky(path: &str) -> Arc<ScenarioResult> {
    let late = Diagnostic::new(Severity::Fail, "expect/late", "late").breaking("CC-8");
    let plays = [result(path, Verdict::Fail, vec![late]), result(path, Verdict::Pass, Vec::new())];
    report::together(plays.into(), false).unwrap()
}

/// A report of `conform` as data, and how it ends.
fn judged(played: &[Arc<ScenarioResult>], shard: Option<Shard>, known: &[KnownFailure], flaky: bool) -> (Value, u8) {
    let plays = ["a.yaml", "b.yaml", "c.yaml", "d.yaml", "e.yaml"].map(|path| (path, "", Release::default()));
    let part = Part { flaky_passes: flaky, ..Part::new(plays.into_iter(), shard, known) };
    let scope = Scope { part, ..scope() };
    let settled = suite::settle(played.to_vec());
    let today = "2026-12-01".parse().unwrap();
    let mut results = report::excuse_all(&settled, known, today, shard.is_none());
    if flaky {
        report::let_flaky_pass(&mut results);
    }
    let matrix = suite::matrix(&results, &scope, false);
    let code = suite::exit_code(&matrix, false);
    (serde_json::from_str(&suite::json(&matrix, &results, code, TOOK)).unwrap(), code)
}

/// What a shard made of its results by itself is taken back: the whole is asked what explains a failure, what is known of
/// it, and whether that is met after all.
#[test]
fn shards_come_to_what_one_run_comes_to_whatever_each_made_of_its_results() {
    let project = Project::new();
    let known = |what, until: Option<&str>| KnownFailure {
        what,
        releases: None,
        reason: "ticket 7".to_owned(),
        until: until.map(|day| day.parse().unwrap()),
    };
    let (lv6, rr15) = (|| Listed::Requirement("LV-6"), || Listed::Requirement("RR-15"));
    let (first, often) = (|| ended("a.yaml", &["LV-6", "DI-6"]), || ended("c.yaml", &["CN-1", "LV-6"]));
    let alone = || ended("b.yaml", &["RR-15", "LV-6"]);
    let scenario = |path: &str| Listed::Scenario(path.to_owned());
    let cases = [
        (vec![], false, 1),
        (vec![known(lv6(), None)], false, 0),
        (vec![known(lv6(), Some("2000-01-01"))], false, 1),
        // What a shard excused as broken is not what the whole finds broken.
        (vec![known(rr15(), None)], false, 1),
        (vec![known(scenario("a.yaml"), None), known(scenario("d.yaml"), None)], false, 1),
        (vec![known(lv6(), None), known(Listed::Requirement("HB-6"), None)], true, 1),
        (vec![known(lv6(), None)], true, 0),
    ];
    for (known, flaky_passes, code) in cases {
        let last = if flaky_passes { flaky("d.yaml") } else { passed("d.yaml", "HB-6") };
        let e = if flaky_passes { passed("e.yaml", "HB-6") } else { passed("e.yaml", "RR-15") };
        let shards = [vec![first(), often(), e], vec![alone(), last]];
        for (index, played) in shards.iter().enumerate() {
            let shard = Some(Shard { index: index + 1, of: 2 });
            let (report, _) = judged(played, shard, &known, flaky_passes);
            project.write(&format!("{index}.json"), &report.to_string());
        }
        let mut played = shards.concat();
        played.sort_by(|a, b| a.path.cmp(&b.path));
        let (whole, ends) = judged(&played, None, &known, flaky_passes);
        assert_eq!(ends, code, "{known:?}");
        let merged = project.run(&["merge", "0.json", "1.json", "--json", "-"]).exits(i32::from(code)).report();
        for key in ["requirements", "other_failures", "scenarios", "summary", "part"] {
            assert_eq!(merged[key], whole[key], "{key} with {known:?}");
        }
    }
}

/// What was changed in the second of two reports, the id of what is wrong with that, and words about it.
struct Case(fn(&mut Value), &'static str, &'static str);

fn is_refused(Case(change, id, says): &Case) {
    let [mut second, first] = both();
    change(&mut second);
    let told = match read(&second) {
        Err(told) => told,
        Ok(mut second) => {
            second.path = "other.json".to_owned();
            let found = report::merge(vec![read(&first).unwrap(), second]).unwrap_err();
            assert_eq!(found.len(), 1, "{found:?}");
            printed::told(&found).concat()
        }
    };
    assert!(told.contains(id) && told.contains(says), "no {id} with `{says}` in {told}");
}

#[test]
fn the_same_file_twice_is_said_to_be_that() {
    let [second, _] = both().map(|report| read(&report).unwrap());
    let found = report::merge(vec![second.clone(), second]).unwrap_err();
    assert_eq!(found[0].headline, "`r.json` is given twice");
}

rows! { is_refused(&Case):
    the_same_shard_twice: Case(|it| it["part"]["shard"]["index"] = json!(2), "run/same-shard", "both of shard 2 of 2"),
    other_counts_of_shards: Case(|it| it["part"]["shard"]["of"] = json!(3), "run/other-whole", "3 shards"),
    a_whole_beside_a_shard: Case(|it| it["part"]["shard"] = json!(null), "run/other-whole", "no shard"),
    other_scenarios: Case(|it| it["part"]["suite"] = json!("0"), "run/other-whole", "other scenarios"),
    other_known_failures: Case(
        |it| it["part"]["known_failures"] = json!([]),
        "run/other-whole",
        "known_failures"
    ),
    no_fault: Case(
        |it| it["part"]["faults"] = json!(["drop: {message: reply}"]),
        "run/other-whole",
        "was played under `drop: {message: reply}`, and that was under no fault"
    ),
    no_sweep: Case(|it| it["part"]["sweep"] = json!(true), "run/other-whole", "was played with `--sweep`"),
    another_choice: Case(|it| it["part"]["selected"] = json!(true), "run/other-whole", "chosen otherwise"),
    another_word_on_flaky: Case(|it| it["part"]["flaky_passes"] = json!(true), "run/other-whole", "another `--flaky`"),
    no_known_failure: Case(
        |it| it["part"]["known_failures"][0]["scenario"] = json!("a.yaml"),
        "file/no-report",
        "either a `scenario` or a `requirement`"
    ),
    no_day: Case(|it| it["part"]["known_failures"][0]["until"] = json!("soon"), "file/no-report", "`soon` is no day"),
    another_command: Case(|it| it["side"] = json!("everest"), "run/other-whole", "side everest"),
    a_result_too_few: Case(|it| it["scenarios"] = json!([]), "run/missing-results", "1 of 2"),
    another_version: Case(|it| it["part"]["khumbu"] = json!("9.9.9"), "file/other-version", "9.9.9"),
    another_schema: Case(|it| it["schema_version"] = json!(2), "file/other-version", "is of schema 2"),
    no_part: Case(|it| drop(it.as_object_mut().unwrap().remove("part")), "file/no-report", "missing field `part`"),
    an_unknown_verdict: Case(
        |it| it["scenarios"][0]["verdict"] = json!("fine"),
        "file/no-report",
        "unknown variant `fine`"
    ),
    an_unknown_requirement: Case(
        |it| it["scenarios"][0]["failures"][0]["requirement"] = json!("XX-1"),
        "file/no-report",
        "no requirement `XX-1`"
    ),
    a_name_that_drives_terminals: Case(
        |it| it["scenarios"][0]["failures"][0]["id"] = json!("a\u{1b}[2J"),
        "file/no-report",
        "no name that khumbu gives"
    ),
    a_place_outside_its_file: Case(
        |it| it["scenarios"][0]["failures"][0]["span"]["end"] = json!(999),
        "file/no-report",
        "no part of the text of `a.yaml`"
    ),
    a_place_within_a_character: Case(
        |it| it["scenarios"][0]["failures"][0]["span"]["start"] = json!(14),
        "file/no-report",
        "no part of the text of `a.yaml`"
    ),
    a_place_without_its_file: Case(|it| it["sources"] = json!({}), "file/no-report", "not in `sources`"),
}

#[test]
fn a_missing_shard_is_no_whole() {
    let [first, second] = both();
    for reports in [vec![], vec![first], vec![second]] {
        let found = report::merge(reports.iter().map(|it| read(it).unwrap()).collect()).unwrap_err();
        assert_eq!(found[0].id, "run/missing-shard", "{found:?}");
    }
}

#[test]
fn text_that_is_no_report_is_told_with_its_place() {
    for (text, place) in [
        ("", "r.json:1:1"),
        ("{\n  \"schema_version\": 1,\n  \"part\": é}", "r.json:3:11"),
        ("{}", "r.json:1:2"),
        ("[]", "r.json:1:2"),
        ("{\"schema_version\": 1", "r.json:1:20"),
    ] {
        let found = report::read("r.json", text).unwrap_err();
        assert_eq!(found.id, "file/no-report");
        let told = printed::told([&*found]).concat();
        assert!(told.contains(place), "no {place} in {told}");
    }
}

/// The states of all requirements, with how often they could have been broken.
fn states(report: &Value) -> BTreeMap<String, String> {
    let rows = report["requirements"].as_array().unwrap().iter();
    rows.map(|row| (row["id"].to_string(), format!("{} {}", row["state"], row["reason"]))).collect()
}

#[test]
fn shards_of_conform_come_to_what_the_whole_comes_to() {
    let project = Project::new();
    let flags = ["conform", "--side", "client", "--api", "auth_token_validator"];
    let whole = project.run(&[&flags[..], &["--json", "-"]].concat()).exits(0).report();
    for index in ["1/2", "2/2"] {
        let name = format!("{}.json", index.replace('/', "of"));
        project.run(&[&flags[..], &["--shard", index, "--strict", "--json", &name]].concat()).exits(0);
        let shard: Value = serde_json::from_str(&project.read(&name)).unwrap();
        assert!(shard["summary"]["in_another_shard"].as_u64() > Some(0), "{:#}", shard["summary"]);
        assert_eq!(shard["summary"]["not_exercised"], 0, "{:#}", shard["summary"]);
    }
    let reports = ["merge", "1of2.json", "2of2.json"];
    let merged =
        project.run(&[&reports[..], &["--json", "-", "--junit", "j.xml", "--report", "r.md"]].concat()).exits(0);
    assert_eq!(states(&merged.report()), states(&whole));
    assert!(project.read("j.xml").contains("name=\"requirement\" value=\"VA-3\""));
    assert!(project.read("r.md").starts_with("# Conformance: 0 broken"));
    assert!(project.run(&reports).exits(0).stdout.contains(" met"), "text");
    // The whole is a report like any other.
    project.write("whole.json", &merged.stdout);
    project.run(&["merge", "whole.json"]).exits(0);
    let other = project.read("2of2.json").replace("conform --side client", "conform --wire compact --side client");
    project.write("other.json", &other);
    project.run(&["merge", "1of2.json", "other.json"]).exits(0).says("run/other-command").says("--wire compact");
    project.run(&["merge", "1of2.json"]).exits(2).says("run/missing-shard").says("1 of 2 shards are missing: 2");
    project.run(&["merge", "1of2.json", "nowhere.json"]).exits(2).says("file/not-found");
}

/// Broken anywhere is broken, and shown as the shard showed it.
#[test]
fn what_one_shard_broke_is_broken() {
    let project = Project::new();
    let module = "builtin:client?bug=checks_under_e2m";
    let flags = ["conform", "--side", "client", "-k", "withdraw_by", "--only", "SC-2", "--module", module];
    let codes = ["1/2", "2/2"].map(|index| {
        let name = format!("{}.json", index.replace('/', "of"));
        project.run(&[&flags[..], &["--shard", index, "--json", &name]].concat()).status.code()
    });
    assert!(codes.contains(&Some(1)), "{codes:?}");
    let merged = project.run(&["merge", "1of2.json", "2of2.json"]).exits(1);
    for words in [
        "SC-2 is broken",
        "fail[monitor/wrong-direction]",
        "again: khumbu conform --side client --module 'builtin:client?bug",
    ] {
        assert!(merged.stdout.contains(words), "no `{words}` in {}", merged.stdout);
    }
    project.run(&[&flags[..], &["--shard", "999/999"]].concat()).exits(2).says("for 999 shards");
}

/// What was left out may break it.
#[test]
fn nobody_says_of_a_choice_that_a_requirement_is_met_after_all() {
    let project = Project::new();
    for (selected, code) in [(false, 1), (true, 0)] {
        let part = Part { selected, ..part(None) };
        let met = [passed("a.yaml", "TV-15"), passed("b.yaml", "TV-15")];
        project.write("r.json", &report::json(&met, &part, false, TOOK, "khumbu run"));
        project.run(&["merge", "r.json"]).exits(code);
    }
}

#[test]
fn shards_of_run_come_to_what_the_whole_comes_to() {
    let project = Project::with(&[("s/a.yaml", PASS), ("s/b.yaml", FAIL), ("s/c.yaml", PASS)]);
    let fault = "delay: {message: heartbeat, by: 1ms}";
    for index in ["1/2", "2/2"] {
        let name = format!("{}.json", index.replace('/', "of"));
        project.run(&["run", "s", "--fault", fault, "-j", "1", "--shard", index, "--json", &name]);
    }
    project.run(&["run", "s", "--shard", "2/2", "--json", "bare.json"]);
    project.run(&["merge", "1of2.json", "bare.json"]).exits(2).says("run/other-whole").says("under no fault");
    let merged = project.run(&["merge", "1of2.json", "2of2.json", "--junit", "j.xml", "--report", "r.html"]).exits(1);
    let page = project.read("r.html").replace("&#39;", "'");
    for again in ["khumbu run s/b.yaml --release", " --fault 'delay: {message: heartbeat, by: 1ms}'"] {
        assert!(page.contains(again), "no `{again}` in {page}");
    }
    for words in ["s/b.yaml:5", "2 passed, 1 failed"] {
        assert!(merged.stdout.contains(words), "no `{words}` in {}", merged.stdout);
    }
    assert!(project.read("j.xml").contains("s/c.yaml"));
    let reports = ["merge", "1of2.json", "2of2.json"];
    project.run(&[&reports[..], &["--report", "r.md"]].concat()).exits(2).says("usage/no-requirements");
    project.run(&[&reports[..], &["--strict"]].concat()).exits(2).says("usage/no-requirements");
}

//! The matrix of `khumbu conform`: what results come to, and how that is told.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use khumbu::conformance::occasions;
use khumbu::diagnostic::{Diagnostic, Severity, Style, Subject};
use khumbu::protocol::channel::ApiType;
use khumbu::protocol::release::Release;
use khumbu::protocol::side::Side;
use khumbu::report::html::Made;
use khumbu::report::{Part, Shard};
use khumbu::suite::{self, Scope, State};
use khumbu::verdict::{Passed, ScenarioResult, Verdict};
use serde_json::{Value, json};

const TOOK: Duration = Duration::from_millis(12_345);

/// A whole of a client of `auth_consumer`.
pub fn scope() -> Scope {
    Scope {
        side: Side::Client,
        apis: vec![ApiType::AUTH_CONSUMER],
        only: Vec::new(),
        is_partial: false,
        part: Part::new(std::iter::empty(), None, &[]),
        elsewhere: BTreeSet::new(),
        command: "khumbu conform --side client --module x".to_owned(),
    }
}

fn result(path: &str, named: &[&str], occasions: &[(&'static str, usize)], verdict: Verdict) -> ScenarioResult {
    ScenarioResult {
        path: path.to_owned(),
        requirements: named.iter().map(|id| (*id).to_owned()).collect(),
        occasions: occasions.iter().copied().collect(),
        verdict,
        ..ScenarioResult::default()
    }
}

fn found(severity: Severity, id: &'static str) -> Diagnostic {
    Diagnostic::new(severity, id, "it did something `<script>`")
}

/// One result of each kind.
fn results() -> Vec<Arc<ScenarioResult>> {
    let met = result("a.yaml", &["TV-17"], &[("TV-17", 3), ("CC-8", 2)], Verdict::Pass);
    let broken = ScenarioResult {
        findings: vec![found(Severity::Fail, "module/ended").breaking("TV-15")],
        output: vec!["Traceback```".to_owned()],
        messages: vec![Passed {
            seq: 7,
            at: Duration::from_millis(1500),
            is_by_module: false,
            name: "token_validation_status",
            topic: "…/e2m/token_validation_status".to_owned(),
            payload: "{\"status\":\"Reserved\"}".to_owned(),
            qos: 2,
            retain: false,
        }],
        ..result("b.yaml", &["TV-15", "RR-9"], &[("CC-8", 1)], Verdict::Fail)
    };
    let untold = ScenarioResult {
        findings: vec![found(Severity::Inconclusive, "module/not-drivable").unexercised("a binding for `withdraw`")],
        ..result("c.yaml", &["WD-18", "RR-13"], &[], Verdict::Inconclusive)
    };
    let lacks = ScenarioResult {
        findings: vec![found(Severity::Note, "release/no-feature")],
        ..result("d.yaml", &["LV-6"], &[], Verdict::NotApplicable)
    };
    [met, broken, untold, lacks].into_iter().map(Arc::new).collect()
}

fn states(results: &[Arc<ScenarioResult>], scope: &Scope) -> BTreeMap<&'static str, (State, usize, String)> {
    let matrix = suite::matrix(results, scope, false);
    matrix.rows.iter().map(|row| (row.requirement.id, (row.state, row.occasions, row.reason.clone()))).collect()
}

/// The command that shows a requirement again is under what was laid over it.
#[test]
fn what_judges_a_requirement_again_is_under_the_same_faults() {
    let drop = "drop: {message: reply}".to_owned();
    let part = |sweep, faults: &[String]| Part { sweep, faults: faults.to_vec(), ..scope().part };
    let failed = |faults: &[String]| {
        let findings = vec![found(Severity::Fail, "module/ended").breaking("TV-15")];
        let result = result("b.yaml", &["TV-15"], &[], Verdict::Fail);
        vec![Arc::new(ScenarioResult { findings, faults: faults.to_vec(), ..result })]
    };
    let faults = [drop];
    let mut revised = found(Severity::Warning, "module/reads-no-more");
    revised.revise(Severity::Fail, Some("TV-15"));
    let shown = ScenarioResult { findings: vec![revised], ..result("b.yaml", &["TV-15"], &[], Verdict::Fail) };
    let laid = " --fault 'drop: {message: reply}'";
    for (part, results, again) in [
        (part(false, &[]), failed(&[]), " --only TV-15".to_owned()),
        (part(false, &faults), failed(&faults), format!(" --keyword b.yaml{laid}")),
        (part(true, &[]), failed(&faults), format!(" --keyword b.yaml{laid}")),
        (part(true, &[]), failed(&[]), " --keyword b.yaml".to_owned()),
        // Other scenarios have shown what it is.
        (part(false, &[]), vec![Arc::new(shown)], String::new()),
        (part(true, &[]), Vec::new(), " --sweep --only TV-15".to_owned()),
        (part(false, &faults), Vec::new(), format!("{laid} --only TV-15")),
    ] {
        let scope = Scope { part, ..scope() };
        let matrix = suite::matrix(&results, &scope, false);
        let row = matrix.rows.iter().find(|row| row.requirement.id == "TV-15").unwrap();
        assert_eq!(row.again(&scope), format!("{}{again}", scope.command));
    }
}

#[test]
fn a_requirement_is_met_broken_not_exercised_or_not_applicable() {
    let states = states(&results(), &scope());
    for (id, state, occasions, reason) in [
        ("TV-17", State::Met, 3, ""),
        ("CC-8", State::Met, 3, ""),
        ("TV-15", State::Broken, 0, ""),
        ("RR-9", State::NotExercised, 0, "ended early"),
        ("WD-18", State::NotExercised, 0, "a binding for `withdraw`"),
        ("RR-13", State::NotExercised, 0, "a binding for `withdraw`"),
        ("SC-1", State::NotExercised, 0, "an occasion"),
        ("LV-6", State::NotApplicable, 0, "it did something"),
        ("NX-1", State::NotApplicable, 0, "next"),
        ("WD-12", State::NotApplicable, 0, "no scenario"),
    ] {
        let (is, count, why) = &states[id];
        assert_eq!((*is, *count), (state, occasions), "{id}: {why}");
        assert!(if reason.is_empty() { why.is_empty() } else { why.contains(reason) }, "{id}: {why}");
    }
    // Other sides' and other APIs' are none of this module's.
    for id in ["HB-1", "TP-1", "VA-3"] {
        assert!(!states.contains_key(id), "{id}");
    }
}

/// A mere absence says least of what is wrong, and how a module ended most.
#[test]
fn of_a_broken_requirement_the_most_telling_failure_is_shown_first() {
    let of = |path, id, subject, faults: &[&str]| {
        let findings = vec![found(Severity::Fail, id).about(subject).breaking("TV-15")];
        let faults = faults.iter().map(|fault| (*fault).to_owned()).collect();
        Arc::new(ScenarioResult { findings, faults, ..result(path, &["TV-15"], &[], Verdict::Fail) })
    };
    let results = [
        of("a.yaml", "expect/missing", Subject::Expectation, &[]),
        of("b.yaml", "monitor/stray-reply", Subject::Requirement, &[]),
        of("c.yaml", "expect/payload-mismatch", Subject::Expectation, &[]),
        of("d.yaml", "module/ended", Subject::ModuleEnd, &[]),
        of("e.yaml", "module/ended", Subject::ModuleEnd, &["disconnect"]),
    ];
    let scope = scope();
    let matrix = suite::matrix(&results, &scope, false);
    let row = matrix.rows.iter().find(|row| row.requirement.id == "TV-15").unwrap();
    let order: String = row.failures.iter().map(|it| &it.result.path[..1]).collect();
    assert_eq!(order, "dbcae", "without a fault first");
    let text = suite::text(&matrix, TOOK, Style::Plain);
    assert!(text.contains("fail[module/ended]") && !text.contains("fail[expect/missing]"), "{text}");
}

/// Nobody need tell a module anything that would only have to subscribe.
#[test]
fn what_a_module_would_only_have_to_listen_to_is_advised_before_what_it_would_be_told() {
    let untold = found(Severity::Inconclusive, "module/not-drivable").unexercised("a binding for `withdraw`");
    let headline = "HB-6 was not put to the test: module `auth_api` was shown no heartbeat";
    let unheard = Diagnostic::new(Severity::Inconclusive, "scenario/no-occasion", headline);
    let unheard = unheard.unexercised("a module that subscribes to heartbeats");
    let of = |path, found: &Diagnostic| {
        let findings = vec![found.clone()];
        let result = result(path, &["HB-6", "WD-18"], &[], Verdict::Inconclusive);
        Arc::new(ScenarioResult { findings, ..result })
    };
    let states = states(&[of("a.yaml", &untold), of("b.yaml", &unheard)], &scope());
    for (id, reason) in [("HB-6", "a module that subscribes to heartbeats"), ("WD-18", "a binding for `withdraw`")] {
        assert_eq!(states[id], (State::NotExercised, 0, reason.to_owned()));
    }
}

#[test]
fn what_may_be_patience_or_waiting_for_ever_is_not_met() {
    let occasions = &[("RR-14", 2)];
    let went_on = || Arc::new(result("a.yaml", &["RR-14"], occasions, Verdict::Pass));
    let silent = |id, requirement| {
        let found = found(Severity::Inconclusive, id).unexercised("another one").breaking(requirement);
        let result = result("b.yaml", &["RR-14"], &[], Verdict::Inconclusive);
        Arc::new(ScenarioResult { findings: vec![found], ..result })
    };
    let state = |other| states(&[went_on(), other], &scope())["RR-14"].clone();
    assert_eq!(state(silent("module/waits-for-reply", "RR-14")), (State::NotExercised, 0, "another one".to_owned()));
    assert_eq!(state(silent("module/waits-for-reply", "RR-13")).0, State::Met);
    assert_eq!(state(silent("module/acts-by-itself", "RR-14")).0, State::Met);
}

/// What a binding for something else would do is no advice.
#[test]
fn what_would_exercise_a_requirement_is_what_it_is_about() {
    let untold = |id, commands: &str| found(Severity::Inconclusive, id).unexercised(format!("let it {commands}"));
    let of = |named: &[&str], findings: Vec<Diagnostic>| {
        Arc::new(ScenarioResult { findings, ..result("a.yaml", named, &[], Verdict::Inconclusive) })
    };
    let results = [
        of(&["DI-6", "DI-8", "RR-14"], vec![untold("module/not-drivable", "`query_modules` or `withdraw`")]),
        of(&["DI-8", "RR-13"], vec![untold("module/not-drivable", "`discover` and `withdraw`")]),
        of(&["DI-6", "DI-8"], vec![untold("module/not-exercised", "`discover`")]),
        of(&["WD-13", "CC-9"], vec![untold("module/not-drivable", "`withdraw` by an order")]),
        of(&["WD-13"], vec![untold("module/not-exercised", "`withdraw` by itself")]),
        of(&["TV-17"], vec![untold("module/not-exercised", "`get_status` by itself")]),
    ];
    let states = states(&results, &scope());
    for (id, reason) in [
        ("DI-6", "let it `discover`"),
        ("DI-8", "let it `discover`"),
        ("RR-14", "let it `query_modules` or `withdraw`"),
        ("WD-13", "let it `withdraw` by itself"),
        // It is watched in every scenario.
        ("LV-4", "let it `get_status` by itself"),
        ("CC-9", "an occasion: a communication check `false` before it is told to end, of the module's own accord"),
        // What it would only have to be shown.
        ("TV-17", "let it `get_status` by itself"),
    ] {
        assert_eq!(states[id], (State::NotExercised, 0, reason.to_owned()), "{id}");
    }
}

#[test]
fn why_scenarios_are_inconclusive_is_said_once_for_all() {
    let of = |path, headline: &str, findings: &[Diagnostic]| {
        let why = Diagnostic::new(Severity::Inconclusive, "module/not-exercised", headline).unexercised("x");
        let findings = [&[why], findings].concat();
        let result = result(path, &["WD-13"], &[], Verdict::Inconclusive);
        Arc::new(ScenarioResult { findings, duration: Duration::from_secs(1), ..result })
    };
    let stopped = found(Severity::Inconclusive, "module/never-ready");
    let results = [
        of("a.yaml", "it sent no withdraw", &[]),
        of("b.yaml", "it sent no discover", &[]),
        of("c.yaml", "it sent no withdraw", &[]),
        // It is told of elsewhere.
        of("d.yaml", "it sent no withdraw", &[stopped]),
        // It was not started.
        Arc::new(ScenarioResult { duration: Duration::ZERO, ..ScenarioResult::clone(&of("e.yaml", "no ears", &[])) }),
    ];
    let text = suite::text(&suite::matrix(&results, &scope(), false), TOOK, Style::Plain);
    let told = "\ninconclusive, and why:\n  a.yaml, c.yaml: it sent no withdraw\n  b.yaml: it sent no discover\n\n";
    assert!(text.contains(told), "{text}");
}

/// A line that stood there before all was known is put right.
#[test]
fn a_scenario_that_others_make_fail_is_told_again() {
    let again = |path| {
        let findings = vec![found(Severity::Warning, "monitor/handed-in-again").breaking("TP-4")];
        Arc::new(ScenarioResult { findings, ..result(path, &["TP-4"], &[], Verdict::Pass) })
    };
    let once = [again("a.yaml"), Arc::new(result("b.yaml", &[], &[], Verdict::Pass))];
    let told = |results: &[Arc<ScenarioResult>]| {
        suite::settled_otherwise(results, &suite::settle(results.to_vec()), false, Style::Plain)
    };
    assert_eq!(told(&once), "");
    let text = told(&[&once[..], &[again("c.yaml")]].concat());
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    assert_eq!(
        lines,
        [
            "",
            "other verdicts, now that all scenarios are known:",
            "fail          a.yaml  0ms",
            "fail          c.yaml  0ms"
        ]
    );
}

/// A forecast's requirement is met under the forecast alone, whatever else was played.
#[test]
fn what_holds_from_a_release_on_is_met_under_that() {
    let met = |release| {
        Arc::new(ScenarioResult { release, ..result("a.yaml", &["NX-1"], &[("NX-1", 2), ("TV-17", 1)], Verdict::Pass) })
    };
    let (both, next, scope) = ([met(Release::Main), met(Release::Next)], [met(Release::Next)], scope());
    let matrix = suite::matrix(&both, &scope, false);
    let reason = |id: &str| matrix.rows.iter().find(|row| row.requirement.id == id).unwrap().reason.as_str();
    assert_eq!((reason("NX-1"), reason("TV-17")), ("under next (forecast) alone", ""));
    let text = suite::text(&matrix, TOOK, Style::Plain).replace('\n', " ");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("(under next (forecast) alone)"), "{text}");
    let page = suite::markdown(&matrix, TOOK);
    assert!(page.contains("(under next (forecast) alone)"), "{page}");
    assert!(!suite::text(&suite::matrix(&next, &scope, false), TOOK, Style::Plain).contains(") alone"));
}

#[test]
fn what_decides_nothing_is_told_once_and_what_kept_from_judging_is_no_advice() {
    let warned = |path: &str| {
        let findings = vec![found(Severity::Warning, "module/ended-by-itself")];
        Arc::new(ScenarioResult { findings, ..result(path, &[], &[("TV-17", 1)], Verdict::Pass) })
    };
    let stopped = ScenarioResult {
        findings: vec![found(Severity::Inconclusive, "module/ended")],
        ..result("c.yaml", &["RR-9"], &[], Verdict::Inconclusive)
    };
    let excuse = found(Severity::Note, "known-failure/excused").about(Subject::Excuse);
    let excused = ScenarioResult {
        findings: vec![found(Severity::Warning, "expect/missing"), excuse],
        ..result("d.yaml", &[], &[], Verdict::Excused)
    };
    let (results, scope) = ([warned("a.yaml"), warned("b.yaml"), Arc::new(stopped), Arc::new(excused)], scope());
    let text = suite::text(&suite::matrix(&results, &scope, false), TOOK, Style::Plain);
    for words in [
        "why scenarios judged less than they could:\n",
        "\n  warning[module/ended-by-itself]: it did something `<script>`; in a.yaml and\n    1 more\n",
        "\n  inconclusive[module/ended]: it did something `<script>`; in c.yaml\n",
        "not exercised, and why:\n  RR-9: it did something `<script>`\n",
    ] {
        assert!(text.contains(words), "no {words} in {text}");
    }
    assert!(!text.contains("expect/missing"), "{text}");
}

#[test]
fn a_module_that_was_not_ready_in_one_scenario_has_not_been_judged_in_all() {
    let unready = ScenarioResult {
        findings: vec![found(Severity::Inconclusive, "module/never-ready").about(Subject::NotReady)],
        ..result("e.yaml", &["TV-17"], &[], Verdict::Inconclusive)
    };
    let mut results = results();
    let without_failure = |results: &[Arc<ScenarioResult>]| {
        let kept: Vec<_> = results.iter().filter(|result| result.path != "b.yaml").cloned().collect();
        let scope = scope();
        let matrix = suite::matrix(&kept, &scope, false);
        (suite::exit_code(&matrix, false), matrix.others.iter().map(|it| it.finding.id).collect::<Vec<_>>())
    };
    assert_eq!(without_failure(&results), (0, Vec::new()));
    results.push(Arc::new(unready));
    assert_eq!(without_failure(&results), (3, vec!["module/never-ready"]));
    let scope = scope();
    let matrix = suite::matrix(&results, &scope, false);
    assert_eq!(suite::exit_code(&matrix, false), 1, "what is broken is not hidden by it");
    let text = suite::text(&matrix, Duration::ZERO, Style::Plain);
    assert!(text.contains("inconclusive[module/never-ready]") && text.contains("in e.yaml"), "{text}");
}

#[test]
fn what_is_broken_is_shown_wanted_or_not() {
    let only = Scope { only: vec!["TV-17"], ..scope() };
    assert_eq!(states(&results(), &only).into_keys().collect::<Vec<_>>(), ["TV-15", "TV-17"]);
    let partial = Scope { is_partial: true, ..scope() };
    let shown = states(&results(), &partial);
    assert!(!shown.contains_key("WD-12") && !shown.contains_key("SC-1") && shown.contains_key("WD-18"), "{shown:?}");
    let of_provider = Scope { apis: vec![ApiType::AUTH_TOKEN_PROVIDER], ..scope() };
    assert_eq!(states(&results(), &of_provider)["TV-15"].0, State::Broken);
}

/// What another shard may judge is not called untested here, and `--strict` leaves it to the merge.
#[test]
fn what_another_shard_may_judge_is_left_to_it() {
    let sharded = Scope {
        elsewhere: BTreeSet::from(["TV-17", "TV-15", "WD-18", "SC-1"]),
        part: Part::new(std::iter::empty(), Some(Shard { index: 1, of: 2 }), &[]),
        ..scope()
    };
    let states = states(&results(), &sharded);
    for (id, state) in [
        ("TV-17", State::Met),
        ("TV-15", State::Broken),
        ("WD-18", State::Elsewhere),
        ("SC-1", State::Elsewhere),
        ("RR-13", State::NotExercised),
    ] {
        assert_eq!(states[id].0, state, "{id}");
    }
    let results = [results()[0].clone()];
    let open = |elsewhere: &[&'static str]| {
        let scope =
            Scope { only: vec!["TV-17", "SC-1"], elsewhere: elsewhere.iter().copied().collect(), ..sharded.clone() };
        suite::exit_code(&suite::matrix(&results, &scope, false), true)
    };
    assert_eq!((open(&["SC-1"]), open(&[])), (0, 3));
    let matrix = suite::matrix(&results, &sharded, false);
    let text = suite::text(&matrix, TOOK, Style::Plain);
    assert!(
        text.contains("  in another shard     -  ") && text.contains("in 12.3s\nshard 1/2; `khumbu merge`"),
        "{text}"
    );
    assert!(suite::markdown(&matrix, TOOK).contains("This is shard 1/2"));
}

#[test]
fn exit_codes() {
    let all = results();
    let error = Arc::new(ScenarioResult {
        findings: vec![found(Severity::Error, "harness/broken")],
        ..result("e.yaml", &[], &[], Verdict::Error)
    });
    let nameless = Arc::new(ScenarioResult {
        findings: vec![found(Severity::Fail, "known-failure/passed")],
        ..result("f.yaml", &[], &[], Verdict::Fail)
    });
    let (met, broken, untold) = (&all[0], &all[1], &all[2]);
    let never = Arc::new(ScenarioResult {
        findings: vec![found(Severity::Inconclusive, "module/never-connected")],
        ..result("g.yaml", &["TV-17"], &[], Verdict::Inconclusive)
    });
    // Its checks are seen, and the scenario never begins.
    let unready = Arc::new(ScenarioResult {
        findings: vec![found(Severity::Inconclusive, "module/never-ready")],
        ..result("h.yaml", &["TV-17"], &[("CC-8", 7)], Verdict::Inconclusive)
    });
    for (results, is_strict, is_interrupted, code) in [
        (vec![met], false, false, 0),
        (vec![&unready], false, false, 3),
        (vec![&unready, met], false, false, 0),
        (vec![met, untold], false, false, 0),
        (vec![met, untold], true, false, 3),
        (vec![met, broken, &error], false, false, 1),
        (vec![met, &nameless], false, false, 1),
        (vec![met, &error], false, false, 3),
        (vec![met], false, true, 3),
        (vec![untold], false, false, 3),
        (vec![&never], false, false, 3),
        (vec![], false, false, 3),
    ] {
        let results: Vec<_> = results.into_iter().cloned().collect();
        let scope = scope();
        let matrix = suite::matrix(&results, &scope, is_interrupted);
        assert_eq!(suite::exit_code(&matrix, is_strict), code, "{results:?}");
    }
    // Why nothing was judged is told.
    let (never, scope) = ([never], scope());
    assert_eq!(suite::matrix(&never, &scope, false).others[0].finding.id, "module/never-connected");
}

#[test]
fn the_text_is_eighty_columns_wide_and_begins_with_what_is_broken() {
    let (mut results, scope) = (results(), scope());
    // Once more, in the same scenario.
    results.push(results[1].clone());
    let text = suite::text(&suite::matrix(&results, &scope, false), TOOK, Style::Plain);
    assert!(text.contains("\n  in b.yaml\nfail[module/ended]") && !text.contains("also in"), "{text}");
    assert!(text.starts_with("\nTV-15 is broken (should): a client tolerates status values"), "{text}");
    for words in ["fail[module/ended]", "again: khumbu conform --side client --module x --only TV-15", "Traceback"] {
        assert!(text.contains(words), "no {words} in {text}");
    }
    assert!(
        text.contains("\n  WD-18, RR-13: a binding for `withdraw`\n") || text.contains("RR-13, WD-18: a binding"),
        "{text}"
    );
    assert!(text.ends_with(" not applicable in 12.3s\n"), "{text}");
    let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:#?}");
}

/// Who reads the report of a machine relies on these keys.
#[test]
fn the_json_has_the_documented_keys() {
    let (results, scope) = (results(), scope());
    let text = suite::json(&suite::matrix(&results, &scope, false), &results, 1, TOOK);
    let report: Value = serde_json::from_str(&text).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let named = |names: &str| names.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(
        keys(&report),
        named(
            "schema_version part interrupted side apis only chosen_by_keyword releases command exit_code summary \
             duration_ms requirements other_failures scenarios sources"
        )
    );
    assert_eq!(
        keys(&report["summary"]),
        named("broken flaky excused met in_another_shard not_exercised not_applicable")
    );
    let broken = report["requirements"].as_array().unwrap().iter().find(|it| it["state"] == "broken").unwrap();
    assert_eq!(keys(broken), named("id level statement source state occasions reason again failures"));
    let failure = &broken["failures"][0];
    assert_eq!(keys(failure), named("id severity message scenario release line evidence help messages output"));
    assert_eq!(keys(&failure["messages"][0]), named("at_ms from name topic payload qos retain"));
    assert_eq!(
        (&report["schema_version"], &report["exit_code"], &broken["id"]),
        (&json!(1), &json!(1), &json!("TV-15"))
    );
    assert_eq!(report["scenarios"].as_array().unwrap().len(), results.len());
}

#[test]
fn junit_has_a_case_a_requirement_and_markdown_fences_what_is_foreign() {
    let (results, scope) = (results(), scope());
    let matrix = suite::matrix(&results, &scope, false);
    let made = Made {
        command: "khumbu conform".to_owned(),
        at: DateTime::UNIX_EPOCH,
        took: TOOK,
        host: Some("a&b".to_owned()),
    };
    let xml = suite::junit(&matrix, &made);
    assert!(xml.contains("hostname=\"a&amp;b\"") && xml.contains("timestamp=\"1969-12-31T23:59:47"), "{xml}");
    assert_eq!(xml.matches("<testcase ").count(), matrix.rows.len());
    for words in ["<property name=\"requirement\" value=\"TV-15\"/>", "<failure message=", "type=\"module/ended\""] {
        assert!(xml.contains(words), "no {words} in {xml}");
    }
    let tap = suite::tap(&matrix);
    assert!(tap.starts_with(&format!("TAP version 14\n1..{}\n", matrix.rows.len() + matrix.others.len())), "{tap}");
    for words in [" - TV-15 ", "\n  ---\n  id: \"module/ended\"\n", " - TV-17 ", " # SKIP "] {
        assert!(tap.contains(words), "no {words} in {tap}");
    }
    let markdown = suite::markdown(&matrix, TOOK);
    for words in
        ["## TV-15 is broken", "````text\nTraceback```", "| TV-17 | met | 3 | must |", "--only TV-15", "Reserved"]
    {
        assert!(markdown.contains(words), "no {words} in {markdown}");
    }
}

/// What monitors watch for stands in a list, because nobody can ask them; their table says the same.
#[test]
fn what_is_watched_stands_in_the_table_of_monitors() {
    let table = include_str!("../../src/conformance/monitors/mod.rs");
    let named: BTreeSet<_> = table.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
    for id in [Side::Client, Side::Everest].into_iter().flat_map(occasions::watched) {
        assert!(named.contains(id) || id.starts_with("MQ-"), "{id}");
    }
}

/// A failure of an expectation, in a scenario about this.
fn unmet(path: &str, broken: &'static str, owed_by: Option<&'static str>) -> Arc<ScenarioResult> {
    let found = found(Severity::Fail, "expect/missing").about(Subject::Expectation).breaking(broken);
    let findings = vec![Diagnostic { owed_by, ..found }];
    Arc::new(ScenarioResult { findings, ..result(path, &[broken], &[], Verdict::Fail) })
}

#[test]
fn what_a_module_never_does_breaks_one_requirement() {
    let broken = |results: Vec<Arc<ScenarioResult>>| -> Vec<_> {
        suite::settle(results)
            .iter()
            .flat_map(|result| &result.findings)
            .map(|found| found.requirement.unwrap())
            .collect()
    };
    let about = |id| unmet("about.yaml", id, Some("CC-8"));
    assert_eq!(broken(vec![about("RR-9"), about("CC-8"), about("TV-15")]), ["CC-8", "CC-8", "CC-8"]);
    // Where nothing else is shown it does so.
    assert_eq!(broken(vec![about("RR-9"), about("TV-15")]), ["RR-9", "TV-15"]);
    // What it does not owe is another matter, and so is what it ends over.
    assert_eq!(broken(vec![about("CC-8"), unmet("b.yaml", "WD-18", None)]), ["CC-8", "WD-18"]);
    let ended = Diagnostic { subject: Subject::ModuleEnd, ..found(Severity::Fail, "module/ended").breaking("CC-8") };
    let ended = Arc::new(ScenarioResult { findings: vec![ended], ..result("c.yaml", &["CC-8"], &[], Verdict::Fail) });
    assert_eq!(broken(vec![about("RR-9"), ended]), ["RR-9", "CC-8"]);
    // A monitor's word is no such scenario: whoever hangs sends no checks either.
    let late = found(Severity::Fail, "monitor/communication-check-late").about(Subject::Requirement).breaking("CC-8");
    let late = Arc::new(ScenarioResult { findings: vec![late], ..result("d.yaml", &["RR-9"], &[], Verdict::Fail) });
    assert_eq!(broken(vec![about("RR-9"), late]), ["RR-9", "CC-8"]);
}

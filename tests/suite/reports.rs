//! Reports: results in, text out.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use khumbu::diagnostic::{Diagnostic, Place, Severity, Source, Style};
use khumbu::protocol::release::Release;
use khumbu::report::annotations::annotations;
use khumbu::report::code_quality::code_quality;
use khumbu::report::html::Made;
use khumbu::report::tap::tap;
use khumbu::report::{KnownFailure, Listed, Part, Summary, excuse_all, exit_code, junit, matrix, terminal};
use khumbu::verdict::{ScenarioResult, Verdict};
use serde_json::Value;

use crate::printed;

fn result(path: &str, verdict: Verdict, millis: u64) -> ScenarioResult {
    ScenarioResult { path: path.into(), verdict, duration: Duration::from_millis(millis), ..ScenarioResult::default() }
}

fn mismatch() -> Diagnostic {
    let text = "description: x\nsteps:\n  - expect_reply: Accepted\n";
    let range = text.find("Accepted").unwrap()..text.find("Accepted").unwrap() + "Accepted".len();
    let source = Arc::new(Source { path: "scenarios/client/b.yaml".into(), text: text.into() });
    Diagnostic::new(Severity::Fail, "expect/payload-mismatch", "module replied `Rejected`, expected `Accepted`")
        .at(Place { source, range, label: "actual `Rejected`".into() })
        .with_evidence("…/e2m/withdraw/1, QoS 1, after 41ms")
        .with_help("khumbu run scenarios/client/b.yaml")
        .breaking("RR-1")
}

fn made() -> Made {
    let at = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    Made { command: "khumbu run".to_owned(), at, took: TOOK, host: Some("runner".to_owned()) }
}

fn json(results: &[Arc<ScenarioResult>], took: Duration) -> String {
    let plays = results.iter().map(|result| (result.path.as_str(), "", result.release));
    khumbu::report::json(results, &Part::new(plays, None, &[]), false, took, "khumbu run -j 2")
}

/// One of each verdict.
fn results() -> Vec<Arc<ScenarioResult>> {
    let passed = ScenarioResult {
        description: "withdraws by EVSE".into(),
        requirements: vec!["WD-2".into(), "RR-1".into()],
        findings: vec![Diagnostic::new(Severity::Warning, "monitor/qos", "module sent a heartbeat at QoS 0")],
        output: vec!["ready".into()],
        ..result("scenarios/everest/a.yaml", Verdict::Pass, 41)
    };
    let failed = ScenarioResult {
        description: "takes <any> reply & goes on".into(),
        findings: vec![mismatch(), Diagnostic::new(Severity::Note, "monitor/repeated", "module did more of the same")],
        output: (1..=23).map(|n| format!("line {n}")).chain(["\u{1b}[31mred\u{0}".into()]).collect(),
        ..result("scenarios/client/b.yaml", Verdict::Fail, 2345)
    };
    let never = Diagnostic::new(Severity::Inconclusive, "module/never-connected", "module sent no CONNECT within 5s");
    let inconclusive = ScenarioResult {
        findings: vec![Diagnostic::new(Severity::Note, "x/note", "a note before"), never],
        ..result("scenarios/client/c.yaml", Verdict::Inconclusive, 5001)
    };
    let error = ScenarioResult {
        findings: vec![Diagnostic::new(Severity::Error, "harness/port", "harness found no free port")],
        ..result("d.yaml", Verdict::Error, 0)
    };
    let not_applicable = ScenarioResult {
        findings: vec![Diagnostic::new(Severity::Note, "release/no-feature", "release `2025.12` has no latched get")],
        ..result("scenarios/client/e.yaml", Verdict::NotApplicable, 0)
    };
    [passed, failed, inconclusive, error, not_applicable].into_iter().map(Arc::new).collect()
}

#[test]
fn junit_holds_nothing_that_xml_forbids() {
    let forbidden = "\u{1}\u{b}\u{1f}\u{fffe}\u{ffff}";
    let finding = Diagnostic::new(Severity::Fail, "expect/missing", format!("module wrote `{forbidden}`"));
    let result = ScenarioResult {
        description: forbidden.into(),
        findings: vec![finding, Diagnostic::new(Severity::Warning, "monitor/qos", forbidden)],
        output: vec![format!("so\u{fffd}\u{10ffff}{forbidden}")],
        requirements: vec![forbidden.into()],
        ..result(&format!("a{forbidden}/b{forbidden}.yaml"), Verdict::Fail, 1)
    };
    let text = junit(&[Arc::new(result)], &[], &made());
    let is_xml = |c: char| matches!(u32::from(c), 0x9 | 0xa | 0xd | 0x20..=0xd7ff | 0xe000..=0xfffd | 0x10000..);
    assert!(text.chars().all(is_xml), "{text:?}");
    assert!(text.contains("so\u{fffd}\u{10ffff}"), "{text:?}");
}

const TOOK: Duration = Duration::from_millis(7412);

mod as_json {
    use super::*;

    #[test]
    fn has_the_promised_keys_and_values() {
        let report: Value = serde_json::from_str(&json(&results(), TOOK)).unwrap();
        assert_eq!(report["schema_version"], 1);
        let counts = serde_json::json!({"pass": 1, "fail": 1, "inconclusive": 1, "error": 1, "not_applicable": 1, "excused": 0, "flaky": 0});
        assert_eq!(report["summary"], counts);
        let scenario = &report["scenarios"][1];
        assert_eq!(scenario["path"], "scenarios/client/b.yaml");
        assert_eq!(scenario["verdict"], "fail");
        assert_eq!(scenario["duration_ms"], 2345);
        assert_eq!(scenario["requirements"], serde_json::json!([]));
        let failure = &scenario["failures"][0];
        assert_eq!(failure["id"], "expect/payload-mismatch");
        assert_eq!(failure["message"], "module replied `Rejected`, expected `Accepted`");
        assert_eq!(failure["line"], 3);
        assert_eq!(failure["requirement"], "RR-1");
        assert_eq!(scenario["failures"].as_array().unwrap().len(), 1);
        assert_eq!(scenario["notes"][0]["id"], "monitor/repeated");
    }

    #[test]
    fn a_pass_has_no_failures_and_absent_places_are_null() {
        let report: Value = serde_json::from_str(&json(&results(), TOOK)).unwrap();
        let passed = &report["scenarios"][0];
        assert_eq!(passed["failures"], serde_json::json!([]));
        assert_eq!(passed["notes"][0]["severity"], "warning");
        assert_eq!(passed["requirements"], serde_json::json!(["WD-2", "RR-1"]));
        let error = &report["scenarios"][3]["failures"][0];
        assert!(error["line"].is_null() && error["requirement"].is_null() && error.get("line").is_some());
        assert_eq!(report["scenarios"][4]["verdict"], "not_applicable");
    }

    #[test]
    fn an_empty_run_is_a_report_too() {
        insta::assert_snapshot!(json(&[], Duration::ZERO), @r#"
        {
          "schema_version": 1,
          "part": {
            "khumbu": "0.1.0",
            "suite": "cbf29ce484222325",
            "plays": 0,
            "shard": null,
            "known_failures": [],
            "flaky_passes": false,
            "faults": [],
            "sweep": false,
            "selected": false
          },
          "interrupted": false,
          "command": "khumbu run -j 2",
          "summary": {
            "pass": 0,
            "fail": 0,
            "inconclusive": 0,
            "error": 0,
            "not_applicable": 0,
            "excused": 0,
            "flaky": 0
          },
          "duration_ms": 0,
          "scenarios": [],
          "sources": {}
        }
        "#);
    }
}

mod as_junit {
    use super::*;

    #[test]
    fn every_verdict_has_its_element() {
        insta::assert_snapshot!(junit(&results(), &[], &made()));
    }

    #[test]
    fn a_verdict_without_a_reason_is_still_told() {
        let xml = junit(&[Arc::new(result("a.yaml", Verdict::Error, 1))], &[], &made());
        let (_, text) = xml.split_once(r#" type="harness/no-reason">"#).unwrap_or_else(|| panic!("{xml}"));
        assert!(
            text.starts_with("error[harness/no-reason]: khumbu gives no reason for the verdict `error`\n"),
            "{text}"
        );
        printed::keep(text.split_once("</").unwrap().0);
    }

    #[test]
    fn what_xml_cannot_hold_is_left_out() {
        let xml = junit(&results(), &[], &made());
        assert!(!xml.contains(['\u{1b}', '\u{0}']), "{xml}");
        assert!(
            xml.contains("takes &lt;any> reply &amp; goes on") || xml.contains("takes &lt;any&gt; reply &amp; goes on")
        );
    }
}

mod as_tap {
    use super::*;

    #[test]
    fn every_verdict_has_its_line() {
        insta::assert_snapshot!(tap(&results()));
    }

    #[test]
    fn nothing_in_a_name_is_taken_for_a_directive() {
        let what = Listed::Scenario("a # b.yaml".into());
        let known = KnownFailure { what, releases: None, reason: "issue # 17".into(), until: None };
        let failed = ScenarioResult { findings: vec![mismatch()], ..result("a # b.yaml", Verdict::Fail, 1) };
        let today = "2026-12-01".parse().unwrap();
        let text = tap(&excuse_all(&[Arc::new(failed)], &[known], today, false));
        assert!(text.starts_with("TAP version 14\n1..1\nnot ok 1 - a \\# b.yaml # TODO "), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}

mod as_code_quality {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_wrong_stands_at_its_line() {
        let results = results();
        let annotated =
            annotations(results.iter().map(AsRef::as_ref), &|source| Some(format!("below/{}", source.path)));
        insta::assert_snapshot!(code_quality(&annotated));
    }

    /// GitLab shows what has the same fingerprint once.
    #[test]
    fn each_issue_has_a_fingerprint_that_stays_where_lines_move() {
        let failed = |release| ScenarioResult {
            findings: vec![mismatch()],
            release,
            ..result("scenarios/client/b.yaml", Verdict::Fail, 1)
        };
        let fingerprints = |results: &[ScenarioResult]| -> BTreeSet<String> {
            let text = code_quality(&annotations(results, &|_| None));
            let issues: Vec<Value> = serde_json::from_str(&text).unwrap();
            issues.iter().map(|issue| issue["fingerprint"].as_str().unwrap().to_owned()).collect()
        };
        let both = [failed(Release::Main), failed(Release::V2025_12)];
        assert_eq!(fingerprints(&both).len(), 2);
        let mut moved = failed(Release::Main);
        let place = moved.findings[0].place.as_mut().unwrap();
        let source = Source { path: place.source.path.clone(), text: format!("# more\n{}", place.source.text) };
        *place =
            Place { source: Arc::new(source), range: place.range.start + 7..place.range.end + 7, label: String::new() };
        assert_eq!(fingerprints(&[moved]), fingerprints(&both[..1]));
    }
}

mod on_a_terminal {
    use super::*;

    #[test]
    fn a_run_reads_like_this() {
        let mut text = String::new();
        for result in results() {
            text.push_str(&terminal::line(&result, false, Style::Plain));
            text.push('\n');
        }
        for result in results() {
            text.push_str(&terminal::findings(&result, false, Style::Plain));
        }
        text.push_str(&terminal::unsuccessful(&results(), Style::Plain));
        text.push_str(&terminal::summary(&results(), TOOK, Style::Plain));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn colours_add_nothing_but_colours() {
        let strip = |text: String| {
            let mut plain = String::new();
            let mut rest = text.as_str();
            while let Some((before, after)) = rest.split_once("\u{1b}[") {
                plain.push_str(before);
                rest = after.split_once('m').unwrap().1;
            }
            plain + rest
        };
        for result in results() {
            let coloured = terminal::line(&result, false, Style::Coloured);
            assert!(coloured.contains('\u{1b}'));
            assert_eq!(strip(coloured), terminal::line(&result, false, Style::Plain));
            let coloured = terminal::findings(&result, false, Style::Coloured);
            assert_eq!(strip(coloured), terminal::findings(&result, false, Style::Plain));
        }
        let coloured = terminal::summary(&results(), TOOK, Style::Coloured);
        assert_eq!(strip(coloured), terminal::summary(&results(), TOOK, Style::Plain));
    }

    #[test]
    fn the_module_cannot_drive_the_terminal() {
        let hostile = ScenarioResult {
            output: vec!["\u{1b}]0;title\u{7}".into()],
            findings: vec![mismatch()],
            ..result("a\u{1b}[2J.yaml", Verdict::Fail, 1)
        };
        let text = terminal::line(&hostile, false, Style::Plain) + &terminal::findings(&hostile, false, Style::Plain);
        assert!(text.contains("title") && !text.contains(['\u{1b}', '\u{7}']), "{text:?}");
    }

    #[test]
    fn a_scenario_without_findings_takes_one_line() {
        let quiet = ScenarioResult { output: vec!["chatter".into()], ..result("a.yaml", Verdict::Pass, 59_949) };
        assert_eq!(terminal::line(&quiet, false, Style::Plain), "pass          a.yaml  59.9s");
        assert_eq!(terminal::findings(&quiet, false, Style::Plain), "");
    }
}

mod outcome {
    use super::*;
    use Verdict::{Error, Excused, Fail, Inconclusive, NotApplicable, Pass};

    #[test]
    fn exit_codes() {
        for (verdicts, interrupted, code) in [
            (&[Pass, Pass][..], false, 0),
            (&[Pass, NotApplicable], false, 0),
            (&[NotApplicable], false, 0),
            (&[Pass, Fail], false, 1),
            (&[Pass, Excused], false, 0),
            (&[Inconclusive, Excused], false, 3),
            // What a module did wrong is never hidden.
            (&[Fail, Inconclusive], false, 1),
            (&[Fail, Error, Pass], false, 1),
            (&[Error, Fail], false, 1),
            (&[], false, 2),
            (&[], true, 3),
            (&[Pass], true, 3),
            (&[Fail], true, 1),
        ] {
            assert_eq!(exit_code(verdicts.iter().copied(), interrupted), code, "{verdicts:?} {interrupted}");
        }
    }

    fn excuse(results: &[Arc<ScenarioResult>], known: &[KnownFailure]) -> Vec<Arc<ScenarioResult>> {
        excuse_all(results, known, day("2026-11-28"), true)
    }

    fn known(scenario: &str) -> Vec<KnownFailure> {
        let what = Listed::Scenario(scenario.into());
        vec![KnownFailure { what, releases: None, reason: "issue 17".into(), until: None }]
    }

    fn day(text: &str) -> chrono::NaiveDate {
        text.parse().unwrap()
    }

    fn known_requirement(until: Option<&str>) -> Vec<KnownFailure> {
        let what = Listed::Requirement("RR-1");
        vec![KnownFailure { what, releases: None, reason: "issue 17".into(), until: until.map(day) }]
    }

    #[test]
    fn a_requirement_is_excused_until_its_day_is_over() {
        for until in [None, Some("2026-11-28"), Some("2027-01-01")] {
            let judged = excuse(&results(), &known_requirement(until));
            assert_eq!(judged[1].verdict, Excused, "{until:?}");
            let told = judged[1].findings.last().unwrap();
            assert_eq!((told.id, told.requirement), ("known-failure/excused", Some("RR-1")));
        }
        let judged = excuse(&results(), &known_requirement(Some("2026-11-27")));
        assert_eq!(judged[1].verdict, Fail);
        assert_eq!(judged[1].findings[0].id, "known-failure/expired");
        assert!(judged[1].findings[0].headline.contains("2026-11-27"));
    }

    #[test]
    fn what_breaks_another_requirement_beside_it_is_not_excused() {
        let mut both = results()[1].as_ref().clone();
        both.findings.push(Diagnostic::new(Severity::Fail, "module/ended", "it ended").breaking("WD-2"));
        let judged = excuse(&[Arc::new(both)], &known_requirement(None));
        assert_eq!(judged[0].verdict, Fail);
        assert_eq!(judged[0].findings[0].severity, Severity::Warning);
    }

    #[test]
    fn a_requirement_that_is_met_after_all_fails_where_nothing_was_left_out() {
        let met = |occasions: &[(&'static str, usize)]| {
            let occasions = occasions.iter().copied().collect();
            vec![Arc::new(ScenarioResult { occasions, ..result("scenarios/everest/a.yaml", Pass, 1) })]
        };
        let judged = excuse(&met(&[("RR-1", 1)]), &known_requirement(None));
        assert_eq!(judged[0].verdict, Fail);
        assert_eq!(
            (judged[0].findings[0].id, judged[0].findings[0].requirement),
            ("known-failure/passed", Some("RR-1"))
        );
        // It was not judged, or not by everything.
        assert_eq!(excuse(&met(&[]), &known_requirement(None))[0].verdict, Pass);
        let part = excuse_all(&met(&[("RR-1", 1)]), &known_requirement(None), day("2026-11-28"), false);
        assert_eq!(part[0].verdict, Pass);
    }

    #[test]
    fn a_known_failure_is_excused_and_keeps_its_findings_as_warnings() {
        for path in ["scenarios/client/b.yaml", "./scenarios/client/b.yaml", ".//./scenarios/client/b.yaml"] {
            let excused = excuse(&results(), &known(path));
            assert_eq!(excused[1].verdict, Excused, "{path}");
            let severities: Vec<_> = excused[1].findings.iter().map(|finding| finding.severity).collect();
            assert_eq!(severities, [Severity::Warning, Severity::Note, Severity::Note]);
            let told = excused[1].findings.last().unwrap();
            assert_eq!(told.id, "known-failure/excused");
            assert!(told.headline.contains("issue 17"));
            let report: Value = serde_json::from_str(&json(&excused, TOOK)).unwrap();
            assert_eq!(report["scenarios"][1]["failures"], serde_json::json!([]));
            let summary = Summary::of(excused.iter().map(|result| result.verdict));
            assert_eq!((summary.pass, summary.fail, summary.excused), (1, 0, 1));
            // Every report says so.
            assert_eq!(report["scenarios"][1]["verdict"], "excused");
            assert_eq!(report["summary"]["excused"], 1);
            assert!(junit(&excused, &[], &made()).contains(" type=\"known-failure/excused\""));
            assert!(terminal::line(&excused[1], false, Style::Plain).starts_with("excused "));
            assert!(terminal::summary(&excused, TOOK, Style::Plain).contains("1 excused"));
        }
    }

    #[test]
    fn a_known_failure_excuses_no_error_beside_it() {
        let mut both = results()[1].as_ref().clone();
        both.findings.push(Diagnostic::new(Severity::Error, "scenario/contradicted", "the scenario is wrong, too"));
        let judged = excuse(&[Arc::new(both)], &known("scenarios/client/b.yaml"));
        assert_eq!(judged[0].verdict, Error);
    }

    #[test]
    fn a_known_failure_that_passes_fails() {
        let judged = excuse(&results(), &known("scenarios/everest/a.yaml"));
        assert_eq!(judged[0].verdict, Fail);
        assert_eq!(judged[0].findings[0].id, "known-failure/passed");
        assert!(judged[0].findings[0].headline.contains("issue 17"));
        assert_eq!(judged[0].findings[1].id, "monitor/qos", "what was found stays");
    }

    #[test]
    fn nothing_else_is_excused() {
        for (index, path) in [(2, "scenarios/client/c.yaml"), (3, "d.yaml"), (4, "scenarios/client/e.yaml")] {
            let judged = excuse(&results(), &known(path));
            assert_eq!(judged[index].verdict, results()[index].verdict, "{path}");
            assert_eq!(judged[index].findings, results()[index].findings, "{path}");
        }
        let judged = excuse(&results(), &known("b.yaml"));
        assert_eq!(judged[1].verdict, Fail, "another path is another scenario");
    }
}

mod as_matrix {
    use super::*;

    fn under(release: Release, path: &str, verdict: Verdict) -> Arc<ScenarioResult> {
        Arc::new(ScenarioResult { release, ..result(path, verdict, 1) })
    }

    #[test]
    fn one_release_has_none() {
        assert_eq!(matrix(&results()), "");
        // Not even if scenarios name releases of their own.
        let mixed = [under(Release::Main, "a.yaml", Verdict::Pass), under(Release::V2025_10, "b.yaml", Verdict::Pass)];
        assert_eq!(matrix(&mixed), "");
        assert_eq!(matrix(&[]), "");
    }

    #[test]
    fn every_verdict_has_a_word_and_what_was_not_played_a_dash() {
        let played = [
            under(Release::V2025_12, "a.yaml", Verdict::Inconclusive),
            under(Release::Main, "a.yaml", Verdict::Error),
            under(Release::V2025_12, "b.yaml", Verdict::Fail),
            under(Release::V2025_12, "c.yaml", Verdict::NotApplicable),
            under(Release::Main, "c.yaml", Verdict::Pass),
        ];
        insta::assert_snapshot!(matrix(&played), @r"

        release     passed  failed  inconclusive   error  not applicable
        2025.12          0       1             1       0               1
        main             1       0             0       1               0

        scenario  2025.12  main
        .
          a       inconcl. error
          b       fail     -
          c       n/a      pass
        ");
    }
}

//! The JUnit report, for continuous integration.
//!
//! One suite a directory, one case a scenario, or several with the name of the release behind the path, where it was
//! played under several, or under a forecast. A fail is a `failure`; inconclusive and error are an `error`, because
//! the module was not judged; what does not apply, or fails as it is known to, is `skipped`; what is flaky and may be
//! has a `flakyFailure`. The `type` is the id of the first finding, so that a
//! dashboard can group by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};

use super::html::Made;
use crate::diagnostic::{Diagnostic, Severity, Style, Subject};
use crate::protocol::release::{FORECAST, Release};
use crate::verdict::{ScenarioResult, Verdict};

/// The whole report as XML.
///
/// What was not played, because the run ended before, is `skipped`.
pub fn junit(results: &[Arc<ScenarioResult>], unplayed: &[(String, Release)], made: &Made) -> String {
    let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
    let mut played: BTreeMap<&str, usize> = BTreeMap::new();
    for path in results.iter().map(|result| &result.path).chain(unplayed.iter().map(|(path, _)| path)) {
        *played.entry(path).or_default() += 1;
    }
    for result in results {
        let directory = result.path.rsplit_once('/').map_or(".", |(directory, _)| directory);
        let suite = suites.entry(directory).or_insert_with(|| TestSuite::new(directory));
        suite.add_test_case(case(result, directory, played[result.path.as_str()] > 1));
    }
    for (path, release) in unplayed {
        let directory = path.rsplit_once('/').map_or(".", |(directory, _)| directory);
        let several = played[path.as_str()] > 1 || release.is_forecast();
        let name = if several { format!("{path} [{}]", release.label()) } else { path.clone() };
        let mut status = TestCaseStatus::skipped();
        status.set_message("not played: the run ended before");
        let mut case = TestCase::new(name, status);
        case.set_classname(directory);
        case.extra.insert("file".into(), path.as_str().into());
        suites.entry(directory).or_insert_with(|| TestSuite::new(directory)).add_test_case(case);
    }
    let mut report = Report::new("khumbu");
    report.set_time(made.took);
    for (_, mut suite) in suites {
        suite.set_time(suite.test_cases.iter().filter_map(|case| case.time).sum());
        of_run(&mut suite, made);
        report.add_test_suite(suite);
    }
    to_xml(&report)
}

/// Says of a suite when and where it was played, and by which khumbu.
pub fn of_run(suite: &mut TestSuite, made: &Made) {
    suite.set_timestamp(made.at - made.took);
    suite.add_property(("khumbu", env!("CARGO_PKG_VERSION")));
    if let Some(host) = &made.host {
        suite.extra.insert("hostname".into(), host.as_str().into());
    }
}

/// A report as XML that every reader takes.
pub fn to_xml(report: &Report) -> String {
    // Writing to memory cannot fail.
    let text = report.to_string().expect("XML in memory");
    if text.chars().all(is_xml) { text } else { text.replace(|c| !is_xml(c), "\u{fffd}") }
}

/// What a document may hold (XML 1.0, 2.2); quick-junit leaves the last two of a plane's first 65536 in.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn case(result: &ScenarioResult, directory: &str, names_release: bool) -> TestCase {
    let names_release = names_release || result.release.is_forecast();
    let release = result.release.label();
    let name = if names_release { format!("{} [{release}]", result.title()) } else { result.title().into_owned() };
    let mut case = TestCase::new(name, status(result));
    case.set_classname(directory);
    case.set_time(result.duration);
    case.add_property(("release", result.release.name()));
    if result.release.is_forecast() {
        case.add_property(("forecast", FORECAST));
    }
    if !result.requirements.is_empty() {
        case.add_property(("requirements", result.requirements.join(" ").as_str()));
    }
    let failures = result.findings.iter().filter(|finding| finding.severity == Severity::Fail);
    for requirement in failures.filter_map(|finding| finding.requirement).collect::<BTreeSet<_>>() {
        case.add_property(("broken", requirement));
    }
    let evidence = result.evidence.in_words();
    if !evidence.is_empty() {
        case.add_property(("evidence", evidence.as_str()));
    }
    if !result.description.is_empty() {
        case.add_property(("description", result.description.as_str()));
    }
    case.extra.insert("file".into(), result.path.as_str().into());
    if let Some(place) = worst(result).and_then(|finding| finding.place.as_ref()) {
        case.extra.insert("file".into(), place.source.path.as_str().into());
        case.extra.insert("line".into(), place.line().to_string().into());
    }
    if !result.output.is_empty() {
        case.set_system_out(result.output.join("\n"));
    }
    let notes: String = told(result, |severity| severity <= Severity::Warning);
    if !notes.is_empty() {
        case.set_system_err(notes);
    }
    case
}

fn status(result: &ScenarioResult) -> TestCaseStatus {
    let mut status = match result.verdict {
        Verdict::Pass => return TestCaseStatus::success(),
        Verdict::Flaky => {
            let mut status = TestCaseStatus::success();
            let failed = result.plays().filter(|play| play.verdict == Verdict::Flaky);
            status.add_reruns(
                failed.flat_map(|play| &play.findings).filter(|it| it.severity == Severity::Fail).map(rerun),
            );
            return status;
        }
        Verdict::NotApplicable => {
            let mut status = TestCaseStatus::skipped();
            if let Some(why) = result.findings.first() {
                status.set_type(why.id).set_message(&why.headline);
            }
            return status;
        }
        Verdict::Excused => {
            let mut status = TestCaseStatus::skipped();
            if let Some(why) = result.findings.iter().find(|finding| finding.subject == Subject::Excuse) {
                status.set_type(why.id).set_message(&why.headline);
            }
            return status;
        }
        Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Inconclusive | Verdict::Error => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if let Some(finding) = worst(result) {
        status.set_type(finding.id).set_message(&finding.headline);
        status.set_description(told(result, |severity| severity > Severity::Warning));
    } else {
        let headline = format!("khumbu gives no reason for the verdict `{}`", result.verdict.word());
        let unsaid = Diagnostic::new(Severity::Error, "harness/no-reason", headline)
            .with_help("this is a fault of khumbu; please report it with the scenario");
        status.set_type(unsaid.id).set_message(&unsaid.headline).set_description(unsaid.render(Style::Plain));
    }
    status
}

/// A failure that another play did not have.
pub fn rerun(finding: &Diagnostic) -> TestRerun {
    let mut rerun = TestRerun::new(NonSuccessKind::Failure);
    rerun.set_type(finding.id).set_message(&finding.headline).set_description(finding.render(Style::Plain));
    rerun
}

/// The first finding that made the verdict what it is.
fn worst(result: &ScenarioResult) -> Option<&Diagnostic> {
    result.findings.iter().find(|finding| Verdict::of(finding) == result.verdict && result.verdict > Verdict::Pass)
}

/// Findings as text, one after the other.
fn told(result: &ScenarioResult, which: impl Fn(Severity) -> bool) -> String {
    let told = result.findings.iter().filter(|finding| which(finding.severity));
    told.map(|finding| finding.render(Style::Plain)).collect::<Vec<_>>().join("\n")
}

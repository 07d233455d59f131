//! The matrix as JUnit: a case a requirement, in one suite a subject.
//!
//! Broken is a `failure`, and so is flaky unless that may pass, which has a `flakyFailure`; excused, not exercised and not applicable are `skipped`, and say why. The properties `requirement`,
//! `level`, `source` and `occasions` are those of the requirement. What breaks no requirement is an `error` of its own.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::matrix::{Broken, Matrix, Row, State};
use crate::diagnostic::{Severity, Style};
use crate::report;
use crate::report::html::Made;

/// The whole report as XML.
pub fn junit(matrix: &Matrix<'_>, made: &Made) -> String {
    let mut report = Report::new("khumbu conform");
    report.set_time(made.took);
    let mut suites: Vec<TestSuite> = Vec::new();
    for row in &matrix.rows {
        let subject = row.requirement.subject();
        if suites.last().is_none_or(|suite| suite.name.as_str() != subject) {
            suites.push(TestSuite::new(subject));
        }
        if let Some(suite) = suites.last_mut() {
            suite.add_test_case(case(row));
        }
    }
    if !matrix.others.is_empty() {
        let mut suite = TestSuite::new("other");
        suite.add_test_cases(matrix.others.iter().map(other));
        suites.push(suite);
    }
    suites.iter_mut().for_each(|suite| report::of_run(suite, made));
    report.add_test_suites(suites);
    report::to_xml(&report)
}

fn case(row: &Row<'_>) -> TestCase {
    let requirement = row.requirement;
    let mut case = TestCase::new(requirement.id, status(row));
    case.set_classname(format!("khumbu.{}", requirement.subject()));
    let occasions = row.occasions.to_string();
    for property in [
        ("requirement", requirement.id),
        ("level", requirement.level.word()),
        ("statement", requirement.statement),
        ("source", requirement.source),
        ("state", row.state.word()),
        ("occasions", &occasions),
    ] {
        case.add_property(property);
    }
    if let Some(place) = row.failures.first().and_then(|it| it.finding.place.as_ref()) {
        case.extra.insert("file".into(), place.source.path.as_str().into());
        case.extra.insert("line".into(), place.line().to_string().into());
    }
    if let Some(Broken { result, .. }) = row.failures.first().filter(|it| !it.result.output.is_empty()) {
        case.set_system_out(result.output.join("\n"));
    }
    case
}

fn status(row: &Row<'_>) -> TestCaseStatus {
    let mut status = match row.state {
        State::Met => return TestCaseStatus::success(),
        State::Flaky if !row.is_fatal() => {
            let mut status = TestCaseStatus::success();
            status.add_reruns(row.failures.iter().map(|it| report::rerun(it.finding)));
            return status;
        }
        State::Broken | State::Flaky => TestCaseStatus::non_success(NonSuccessKind::Failure),
        State::Excused | State::Elsewhere | State::NotExercised | State::NotApplicable => TestCaseStatus::skipped(),
    };
    match row.failures.first() {
        Some(Broken { finding, .. }) => status.set_type(finding.id).set_message(&finding.headline),
        None if row.reason.is_empty() => status.set_type(row.state.key()).set_message(row.state.word()),
        None => status.set_type(row.state.key()).set_message(&row.reason),
    };
    if row.is_fatal() {
        status.set_description(row.failures.iter().map(told).collect::<Vec<_>>().join("\n"));
    }
    status
}

fn other(broken: &Broken<'_>) -> TestCase {
    let kind = match broken.finding.severity {
        Severity::Fail => NonSuccessKind::Failure,
        _ => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(broken.finding.id).set_message(&broken.finding.headline).set_description(told(broken));
    TestCase::new(broken.result.title().as_ref(), status)
}

fn told(broken: &Broken<'_>) -> String {
    format!("{}  in {}\n", broken.finding.render(Style::Plain), broken.result.title())
}

//! What is wrong between a scenario and the charge point that khumbu plays.
//!
//! It is khumbu's own, so the scenario is at fault; unless a token provider or validator under test has led it there.

use std::time::Duration;

use super::Told;
use crate::conformance::judge::Case;
use crate::diagnostic::words::{actual, cut, shown};
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::runner::http::Answer;
use crate::scenario::Pointer;
use crate::scenario::model::{ExpectCsms, Gateway};
use crate::scenario::pattern;

/// Messages to the CSMS shown as evidence.
const SHOWN: usize = 6;

/// Who is to blame for what the charge point did.
fn blame(case: &Case<'_>) -> (Severity, &'static str, String) {
    match case.is_other_api() {
        true => (Severity::Fail, "expect/outcome", format!("given what {} sent, the charge point", case.culprit())),
        false => (Severity::Error, "scenario/contradicted", "the simulated charge point".to_owned()),
    }
}

/// The gateway answered with another status. No module has a say in that.
pub fn other_status(case: &Case<'_>, pointer: &Pointer, step: &Gateway, answer: &Answer) -> Diagnostic {
    let headline = format!("the gateway answered with status {}, expected {}", answer.status, step.status);
    let written = pointer.key("status");
    let pointer = if case.scenario.has(&written) { written } else { pointer.key("path") };
    Diagnostic::new(Severity::Error, "scenario/contradicted", headline)
        .at(case.scenario.labelled(&pointer, &format!("actual `{}`", answer.status)))
        .otherwise()
        .with_evidence(answered(answer))
}

/// The gateway answered with another body.
pub fn other_answer(
    case: &Case<'_>,
    pointer: &Pointer,
    step: &Gateway,
    answer: &Answer,
    mismatch: &pattern::Mismatch,
) -> Diagnostic {
    let (severity, id, who) = blame(case);
    let came = actual(mismatch.actual.as_ref());
    let headline = format!("{who} answered {came} to `{}`, expected {}", step.path, cut(&mismatch.expected, 120));
    Diagnostic::new(severity, id, headline)
        .about(Subject::Expectation)
        .at(case.scenario.labelled(&pointer.key("reply").below(&mismatch.pointer), &format!("actual {came}")))
        .otherwise()
        .with_evidence(answered(answer))
}

/// The gateway did not come to the end of an answer.
pub fn no_whole_answer(case: &Case<'_>, pointer: &Pointer, within: Duration) -> Diagnostic {
    let headline = format!("the gateway gave no whole answer within {}", shown(within));
    Diagnostic::new(Severity::Error, "scenario/contradicted", headline)
        .at(case.scenario.place(&pointer.key("path")))
        .otherwise()
        .with_help("ask for something that has an end; a stream of events has none")
}

/// The charge point did not tell its CSMS something.
pub fn not_told(case: &Case<'_>, at: &Pointer, expect: &ExpectCsms, within: Duration, told: &[Told]) -> Diagnostic {
    let (severity, id, who) = blame(case);
    let matching = if expect.payload.is_some() { "matching " } else { "" };
    let headline = format!("{who} told its CSMS no {matching}{} within {}", expect.message.name(), shown(within));
    let lines: Vec<_> = told.iter().map(|told| format!("meanwhile it told: {}", cut(&told.to_string(), 160))).collect();
    let evidence = match lines.len() {
        0 => vec!["meanwhile it told nothing".to_owned()],
        count => lines[count.saturating_sub(SHOWN)..].to_vec(),
    };
    Diagnostic::new(severity, id, headline)
        .about(Subject::Expectation)
        .at(case.scenario.place(&at.key("expect_csms")))
        .otherwise()
        .with_lines(evidence)
}

/// The charge point told its CSMS what it must not tell.
pub fn told_in_vain(case: &Case<'_>, at: &Pointer, told: &Told) -> Diagnostic {
    let (severity, id, who) = blame(case);
    let headline = format!("{who} told its CSMS {} where it may not", told.message.name());
    Diagnostic::new(severity, id, headline)
        .about(Subject::Expectation)
        .at(case.scenario.place(&at.key("expect_none").key("csms")))
        .otherwise()
        .with_evidence(cut(&told.to_string(), 160))
}

fn answered(answer: &Answer) -> String {
    format!("answered: {} {}", answer.status, cut(&answer.body.to_string(), 300))
}

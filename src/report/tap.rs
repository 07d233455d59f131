//! Results as the Test Anything Protocol, version 14 (testanything.org): a line for each, and a block of YAML for what went wrong.

use std::sync::Arc;

use serde_json::json;

use super::has_several_releases;
use crate::diagnostic::{Diagnostic, Style};
use crate::verdict::{ScenarioResult, Verdict};

/// How a test point ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<'d> {
    /// It is as it should be.
    Ok,
    /// It was not judged, and need not be: `# SKIP`.
    Skipped(String),
    /// It is known to be wrong: `# TODO`.
    Excused(String),
    /// It is wrong, or could not be judged.
    NotOk(Option<&'d Diagnostic>),
}

/// Test points, each with its name, as a document.
pub fn document<'d>(points: impl ExactSizeIterator<Item = (String, Outcome<'d>)>) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", points.len());
    for (number, (name, outcome)) in (1..).zip(points) {
        let name = line(&name);
        text.push_str(&match outcome {
            Outcome::Ok => format!("ok {number} - {name}\n"),
            Outcome::Skipped(why) => format!("ok {number} - {name} # SKIP {}\n", line(&why)),
            Outcome::Excused(why) => format!("not ok {number} - {name} # TODO {}\n", line(&why)),
            Outcome::NotOk(found) => {
                let block = found.map(block).unwrap_or_default();
                format!("not ok {number} - {name}\n{block}")
            }
        });
    }
    text
}

/// Scenarios as test points.
pub fn tap(results: &[Arc<ScenarioResult>]) -> String {
    let several = has_several_releases(results);
    document(results.iter().map(|result| {
        let release = if several { format!(" [{}]", result.release.label()) } else { String::new() };
        let why = || result.findings.first().map(|found| found.headline.clone()).unwrap_or_default();
        let decides = result.findings.iter().find(|found| Verdict::of(found) == result.verdict);
        let outcome = match result.verdict {
            Verdict::Pass | Verdict::Flaky => Outcome::Ok,
            Verdict::NotApplicable => Outcome::Skipped(why()),
            Verdict::Excused => Outcome::Excused(why()),
            Verdict::Fail | Verdict::Inconclusive | Verdict::Error => Outcome::NotOk(decides),
        };
        (format!("{}{release}", result.path), outcome)
    }))
}

/// What was found, as YAML. JSON is YAML, whatever stands in it.
fn block(found: &Diagnostic) -> String {
    let mut lines = vec![
        format!("id: {}", json!(found.id)),
        format!("severity: {}", json!(found.severity.word())),
        format!("message: {}", json!(found.headline)),
    ];
    lines.extend(found.requirement.map(|requirement| format!("requirement: {}", json!(requirement))));
    lines.extend(found.place.as_ref().map(|place| {
        format!("at: {}", json!({"file": place.source.path, "line": place.line(), "column": place.column()}))
    }));
    lines.push(format!("details: {}", json!(found.render(Style::Plain))));
    format!("  ---\n  {}\n  ...\n", lines.join("\n  "))
}

/// A text in one line, in which nothing is taken for a directive.
fn line(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('\\', "\\\\").replace('#', "\\#")
}

//! The JSON report, for machines.
//!
//! Stable: `schema_version` 1 has `summary` and `scenarios` with `path`, `verdict`, `duration_ms`, `requirements` and
//! `failures`, each failure with `id`, `message`, `line` and `requirement`; one with
//! `not_exercised` put nothing to the test. Readers must ignore keys they do not know.
//! A scenario that was played under several releases is there once for each, told apart by `release`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::release::FORECAST;
use crate::verdict::ScenarioResult;

use super::outcome::Summary;

/// The version of the format; it grows when a key changes its meaning or goes away.
const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    schema_version: u32,
    summary: Counts,
    duration_ms: u64,
    scenarios: Vec<Scenario<'a>>,
}

#[derive(Serialize)]
struct Counts {
    pass: usize,
    fail: usize,
    inconclusive: usize,
    error: usize,
    not_applicable: usize,
    excused: usize,
}

#[derive(Serialize)]
struct Scenario<'a> {
    path: &'a str,
    description: &'a str,
    release: &'static str,
    /// What makes it none.
    #[serde(skip_serializing_if = "Option::is_none")]
    forecast: Option<&'static str>,
    verdict: &'static str,
    duration_ms: u64,
    requirements: &'a [String],
    evidence: Proof<'a>,
    failures: Vec<Finding<'a>>,
    notes: Vec<Finding<'a>>,
    output: &'a [String],
}

/// How many messages of which name.
#[derive(Serialize)]
struct Proof<'a> {
    shown: &'a BTreeMap<&'static str, usize>,
    not_shown: &'a BTreeMap<&'static str, usize>,
    did: &'a BTreeMap<&'static str, usize>,
    /// What injected faults befell, where there are any.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    injected: &'a BTreeMap<String, usize>,
}

#[derive(Serialize)]
struct Finding<'a> {
    id: &'static str,
    severity: &'static str,
    message: &'a str,
    file: Option<&'a str>,
    line: Option<usize>,
    requirement: Option<&'static str>,
    /// Nothing was put to the test; `help` says what would do that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    not_exercised: bool,
    evidence: &'a [String],
    help: Option<&'a str>,
}

/// The whole report, ending with a newline; `duration` is the wall time of the run.
///
/// `failures` are findings that make a verdict, `notes` those that do not.
pub fn json(results: &[Arc<ScenarioResult>], duration: Duration) -> String {
    let Summary { pass, fail, inconclusive, error, not_applicable, excused } =
        Summary::of(results.iter().map(|result| result.verdict));
    let report = Report {
        schema_version: SCHEMA_VERSION,
        summary: Counts { pass, fail, inconclusive, error, not_applicable, excused },
        duration_ms: millis(duration),
        scenarios: results.iter().map(|result| scenario(result)).collect(),
    };
    let mut text = serde_json::to_string_pretty(&report).expect("a report has text keys only");
    text.push('\n');
    text
}

/// One scenario, as the report has it.
pub fn scenario_json(result: &ScenarioResult) -> Value {
    serde_json::to_value(scenario(result)).expect("a report has text keys only")
}

fn scenario(result: &ScenarioResult) -> Scenario<'_> {
    let (failures, notes) = result.findings.iter().partition::<Vec<_>, _>(|f| f.severity > Severity::Warning);
    Scenario {
        path: &result.path,
        description: &result.description,
        release: result.release.name(),
        forecast: result.release.is_forecast().then_some(FORECAST),
        verdict: result.verdict.word(),
        duration_ms: millis(result.duration),
        requirements: &result.requirements,
        evidence: Proof {
            shown: &result.evidence.shown,
            not_shown: &result.evidence.not_shown,
            did: &result.evidence.did,
            injected: &result.evidence.injected,
        },
        failures: failures.into_iter().map(finding).collect(),
        notes: notes.into_iter().map(finding).collect(),
        output: &result.output,
    }
}

fn finding(diagnostic: &Diagnostic) -> Finding<'_> {
    Finding {
        id: diagnostic.id,
        severity: diagnostic.severity.word(),
        message: &diagnostic.headline,
        file: diagnostic.place.as_ref().map(|place| place.source.path.as_str()),
        line: diagnostic.place.as_ref().map(crate::diagnostic::Place::line),
        requirement: diagnostic.requirement,
        not_exercised: diagnostic.is_unexercised,
        evidence: &diagnostic.evidence,
        help: diagnostic.help.as_deref(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! The JSON report, for machines.
//!
//! Stable: `schema_version` 1 has `summary` and `scenarios` with `path`, `verdict`, `duration_ms`, `requirements`,
//! `occasions`, `failures` and `notes`, each of these with `id`, `message`, `line` and `requirement`; one with
//! `not_exercised` put nothing to the test. Readers must ignore keys they do not know.
//! A scenario that was played under several releases is there once for each, told apart by `release`. One that was played again has `again` and
//! `other_plays`. `part`, `command` and
//! `sources` are for `khumbu merge`.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::data::{self, Finding, Scenario, Sources, millis};
use super::outcome::Summary;
use super::part::Part;
use crate::diagnostic::Diagnostic;
use crate::verdict::ScenarioResult;

/// The version of the format; it grows when a key changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    schema_version: u32,
    part: &'a Part,
    interrupted: bool,
    command: &'a str,
    summary: Counts,
    duration_ms: u64,
    scenarios: Vec<Scenario>,
    sources: Sources,
}

#[derive(Serialize)]
struct Counts {
    pass: usize,
    fail: usize,
    inconclusive: usize,
    error: usize,
    not_applicable: usize,
    excused: usize,
    flaky: usize,
}

/// The whole report, ending with a newline; `duration` is the wall time of the run, and `again` the command line that plays a
/// scenario again, once its path is added.
///
/// `failures` are findings that make a verdict, `notes` those that do not.
pub fn json(
    results: &[Arc<ScenarioResult>],
    part: &Part,
    is_interrupted: bool,
    duration: Duration,
    again: &str,
) -> String {
    let Summary { pass, fail, inconclusive, error, not_applicable, excused, flaky } =
        Summary::of(results.iter().map(|result| result.verdict));
    let report = Report {
        schema_version: SCHEMA_VERSION,
        part,
        interrupted: is_interrupted,
        command: again,
        summary: Counts { pass, fail, inconclusive, error, not_applicable, excused, flaky },
        duration_ms: millis(duration),
        scenarios: scenarios(results),
        sources: data::sources(results),
    };
    let mut text = serde_json::to_string_pretty(&report).expect("a report has text keys only");
    text.push('\n');
    text
}

/// Every scenario as data.
pub fn scenarios(results: &[Arc<ScenarioResult>]) -> Vec<Scenario> {
    results.iter().map(|result| Scenario::from(result.as_ref())).collect()
}

/// A finding as data.
pub fn finding(found: &Diagnostic) -> Finding {
    Finding::from(found)
}

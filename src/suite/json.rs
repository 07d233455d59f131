//! The matrix as JSON, for machines.
//!
//! Stable: `schema_version` 1 has `side`, `apis`, `releases`, `command`, `exit_code`, `summary` (how many are `broken`,
//! `flaky`, `excused`, `met`, `in_another_shard`, `not_exercised` and `not_applicable`), `duration_ms`, `requirements`,
//! `other_failures`, and `scenarios`, `part`, `interrupted` and `sources` as the report of `khumbu run` has them. A requirement has `id`, `side` is that of the module, `level`, `statement`,
//! `source`, `state`, `occasions`, `reason`, `again` and `failures`, each of these with `id`, `severity`, `message`,
//! `scenario`, `release`, `line`, `evidence`, `help`, `messages` and `output`. Readers must ignore keys they do not know.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::matrix::{Broken, Matrix, Row, State};
use crate::diagnostic::Place;
use crate::protocol::channel::ApiType;
use crate::protocol::release::Release;
use crate::report::data::{self, Scenario, Sources, millis};
use crate::report::{self, Part, SCHEMA_VERSION};
use crate::verdict::{Passed, ScenarioResult};

#[derive(Serialize)]
struct Report<'a> {
    schema_version: u32,
    part: &'a Part,
    interrupted: bool,
    side: &'static str,
    apis: Vec<&'static str>,
    /// The requirements that somebody asked for; all if there are none.
    only: &'a [&'static str],
    chosen_by_keyword: bool,
    releases: Vec<&'static str>,
    command: &'a str,
    exit_code: u8,
    summary: Counts,
    duration_ms: u64,
    requirements: Vec<Requirement<'a>>,
    other_failures: Vec<Failure<'a>>,
    scenarios: Vec<Scenario>,
    sources: Sources,
}

#[derive(Serialize)]
struct Counts {
    broken: usize,
    flaky: usize,
    excused: usize,
    met: usize,
    in_another_shard: usize,
    not_exercised: usize,
    not_applicable: usize,
}

#[derive(Serialize)]
struct Requirement<'a> {
    id: &'static str,
    level: &'static str,
    statement: &'static str,
    source: &'static str,
    state: &'static str,
    occasions: usize,
    reason: Option<&'a str>,
    again: String,
    failures: Vec<Failure<'a>>,
}

#[derive(Serialize)]
struct Failure<'a> {
    id: &'static str,
    severity: &'static str,
    message: &'a str,
    scenario: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    faults: &'a [String],
    release: &'static str,
    line: Option<usize>,
    evidence: &'a [String],
    help: Option<&'a str>,
    messages: Vec<Message<'a>>,
    output: &'a [String],
}

#[derive(Serialize)]
struct Message<'a> {
    at_ms: u64,
    from: &'static str,
    name: &'static str,
    topic: &'a str,
    payload: &'a str,
    qos: u8,
    retain: bool,
}

/// The whole report, ending with a newline.
pub fn json(matrix: &Matrix<'_>, results: &[Arc<ScenarioResult>], exit_code: u8, duration: Duration) -> String {
    let scope = matrix.scope;
    let count = |state| matrix.count(state);
    let report = Report {
        schema_version: SCHEMA_VERSION,
        part: &scope.part,
        interrupted: matrix.is_interrupted,
        side: scope.side.name(),
        apis: scope.apis.iter().copied().map(ApiType::name).collect(),
        only: &scope.only,
        chosen_by_keyword: scope.is_partial,
        releases: matrix.releases.iter().copied().map(Release::name).collect(),
        command: &scope.command,
        exit_code,
        summary: Counts {
            broken: count(State::Broken),
            flaky: count(State::Flaky),
            excused: count(State::Excused),
            met: count(State::Met),
            in_another_shard: count(State::Elsewhere),
            not_exercised: count(State::NotExercised),
            not_applicable: count(State::NotApplicable),
        },
        duration_ms: millis(duration),
        requirements: matrix.rows.iter().map(|row| requirement(row, matrix)).collect(),
        other_failures: matrix.others.iter().map(failure).collect(),
        scenarios: report::scenarios(results),
        sources: data::sources(results),
    };
    serde_json::to_string_pretty(&report).expect("a report has text keys only") + "\n"
}

fn requirement<'a>(row: &'a Row<'_>, matrix: &Matrix<'_>) -> Requirement<'a> {
    let requirement = row.requirement;
    Requirement {
        id: requirement.id,
        level: requirement.level.word(),
        statement: requirement.statement,
        source: requirement.source,
        state: row.state.key(),
        occasions: row.occasions,
        reason: Some(row.reason.as_str()).filter(|reason| !reason.is_empty()),
        again: row.again(matrix.scope),
        failures: row.failures.iter().map(failure).collect(),
    }
}

fn failure<'a>(broken: &Broken<'a>) -> Failure<'a> {
    let Broken { result, finding } = broken;
    Failure {
        id: finding.id,
        severity: finding.severity.word(),
        message: &finding.headline,
        scenario: &result.path,
        faults: &result.faults,
        release: result.release.name(),
        line: finding.place.as_ref().map(Place::line),
        evidence: &finding.evidence,
        help: finding.help.as_deref(),
        messages: result.around(finding).iter().map(message).collect(),
        output: &result.output,
    }
}

fn message(passed: &Passed) -> Message<'_> {
    Message {
        at_ms: millis(passed.at),
        from: passed.sender(),
        name: passed.name,
        topic: &passed.topic,
        payload: &passed.payload,
        qos: passed.qos,
        retain: passed.retain,
    }
}

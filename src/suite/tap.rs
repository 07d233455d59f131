//! The matrix as the Test Anything Protocol: a test point a requirement, then what breaks none.

use super::matrix::{Matrix, Row, State};
use crate::report::tap::{Outcome, document};

/// The whole report.
pub fn tap(matrix: &Matrix<'_>) -> String {
    let rows =
        matrix.rows.iter().map(|row| (format!("{} {}", row.requirement.id, row.requirement.statement), outcome(row)));
    let others = matrix.others.iter().map(|it| {
        let found = it.finding;
        (format!("{} in {}", found.id, it.result.path), Outcome::NotOk(Some(found)))
    });
    document(rows.chain(others).collect::<Vec<_>>().into_iter())
}

fn outcome<'r>(row: &Row<'r>) -> Outcome<'r> {
    match row.state {
        State::Met => Outcome::Ok,
        State::Flaky if !row.is_fatal() => Outcome::Ok,
        State::Broken | State::Flaky => Outcome::NotOk(row.failures.first().map(|it| it.finding)),
        State::Excused => Outcome::Excused(row.reason.clone()),
        State::Elsewhere | State::NotExercised | State::NotApplicable => {
            let why = if row.reason.is_empty() { row.state.word().to_owned() } else { row.reason.clone() };
            Outcome::Skipped(why)
        }
    }
}

//! What a run did not come to, because it was interrupted: a result for each of these scenarios, so that no report takes
//! silence for anything else. Pure.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity};
use crate::verdict::ScenarioResult;

const ID: &str = "run/interrupted";

/// Why a scenario was not played.
pub fn not_played() -> Diagnostic {
    let why = Diagnostic::new(Severity::Inconclusive, ID, "not played, the run was interrupted");
    why.unexercised("start it again, and let it come to its end")
}

/// Why a scenario was not played, if the interrupt is why.
pub fn why_unplayed(result: &ScenarioResult) -> Option<&Diagnostic> {
    result.findings.iter().find(|found| found.id == ID && found.is_unexercised)
}

/// Adds to the results those of what was planned that has none.
pub fn fill_up(results: &mut Vec<Arc<ScenarioResult>>, planned: Vec<ScenarioResult>) {
    let is_same = |one: &ScenarioResult, other: &ScenarioResult| {
        (&one.path, one.release, &one.faults) == (&other.path, other.release, &other.faults)
    };
    let played = results.len();
    for result in planned {
        if !results[..played].iter().any(|it| is_same(it, &result)) {
            results.push(Arc::new(result));
        }
    }
}

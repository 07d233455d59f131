//! What one scenario shows of another one's failure.
//!
//! A scenario that asks for what a module owes, and shows it nothing else, tells whether the module does that at all. If it
//! does not, other scenarios say no more by its absence, whatever they are about.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::verdict::ScenarioResult;

/// The results, where what a module fails to do at all breaks that requirement alone.
pub fn settle(results: Vec<Arc<ScenarioResult>>) -> Vec<Arc<ScenarioResult>> {
    let is_unmet = |found: &&Diagnostic| found.severity == Severity::Fail && found.subject == Subject::Expectation;
    let unmet = results.iter().flat_map(|result| &result.findings).filter(is_unmet);
    let broken: BTreeSet<_> = unmet.filter_map(|found| found.requirement).collect();
    let owed = |found: &Diagnostic| found.owed_by.filter(|id| found.severity == Severity::Fail && broken.contains(id));
    let settled = results.iter().map(|result| {
        if !result.findings.iter().any(|found| owed(found).is_some()) {
            return result.clone();
        }
        let mut result = ScenarioResult::clone(result);
        for found in &mut result.findings {
            found.requirement = owed(found).or(found.requirement);
        }
        Arc::new(result)
    });
    settled.collect()
}

//! What only a forecast asks of a module is a warning before.

use super::settings::Scene;
use crate::conformance::requirements::{self, Requirement};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::release::FORECAST;

/// Makes warnings of the failures of a scenario all of whose requirements are not in force yet: what the scenario shows the
/// module cannot come to it from an EVerest of the release that is played.
///
/// What stands beside such a requirement is judged in other scenarios, which name it.
pub fn soften(scene: &Scene<'_>, findings: &mut [Diagnostic]) {
    let release = scene.station.release;
    let named: Vec<_> = scene.scenario.model.requirements.iter().filter_map(|id| requirements::find(id)).collect();
    if named.is_empty() || named.iter().any(|requirement| requirement.is_in_force(release)) {
        return;
    }
    for found in findings.iter_mut().filter(|found| found.severity == Severity::Fail) {
        found.severity = Severity::Warning;
        for Requirement { id, statement, from, .. } in &named {
            let name = from.map_or("", |from| from.name());
            found.evidence.push(format!("EVerest {release} asks no {id}, `{name}` will: {statement}"));
        }
        found.evidence.push(format!("`next` is {FORECAST}"));
    }
}

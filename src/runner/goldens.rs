//! The golden of a scenario, held against what passed.

use std::sync::Arc;

use super::settings::Scene;
use crate::diagnostic::{Diagnostic, Severity, Source, Subject};
use crate::transcript::record::Record;
use crate::transcript::{golden, snapshot};
use crate::verdict::ScenarioResult;

/// Compares the record with the golden that was accepted; what differs becomes a pending golden.
pub fn compare(
    scene: &Scene<'_>,
    records: &[Record],
    accepted: Option<&Arc<Source>>,
    findings: &mut Vec<Diagnostic>,
    result: &mut ScenarioResult,
) {
    let Scene { scenario, settings, topics, other_apis, wire, .. } = scene;
    let own = scenario.release();
    if own != scene.station.release {
        let headline = format!("the golden was not compared: it belongs to release `{own}`");
        return findings
            .push(Diagnostic::new(Severity::Note, "golden/not-compared", headline).about(Subject::GoldenNotCompared));
    }
    // Where the scenario itself asks for more fields, its golden has them.
    if wire.adds_fields() && scenario.model.wire.is_none() {
        let headline = format!("the golden was not compared: the wire form `{wire}` has more fields");
        return findings
            .push(Diagnostic::new(Severity::Note, "golden/not-compared", headline).about(Subject::GoldenNotCompared));
    }
    let names = golden::Names { topics, other_apis, clients: &[] };
    let transcript = golden::transcript(records, &names);
    if let Err(difference) = snapshot::compare(accepted, &transcript, &scenario.source) {
        if !settings.is_updating_goldens {
            findings.push(*difference);
        }
        result.pending_golden =
            Some(snapshot::pending(&scenario.source.path, &scenario.model.description, &transcript));
    }
}

//! What passed the broker around the failures of a scenario, as reports show it. Looks and keeps; judges nothing.

use std::collections::BTreeMap;

use crate::conformance::sighting::{Party, Sighting};
use crate::diagnostic::words::{cut, elide};
use crate::diagnostic::{Diagnostic, Severity};
use crate::verdict::{Passed, around};

/// The messages around what the module did wrong, in order, each once. `base` is what topics of the API module begin with.
pub fn passed(messages: &[Sighting], findings: &[Diagnostic], base: &str) -> Vec<Passed> {
    let failures = findings.iter().filter(|found| found.severity == Severity::Fail);
    let seen: BTreeMap<u64, &Sighting> =
        failures.flat_map(|found| around(messages, |seen| seen.seq, found)).map(|seen| (seen.seq, seen)).collect();
    seen.into_values().map(|seen| to_passed(seen, base)).collect()
}

fn to_passed(seen: &Sighting, base: &str) -> Passed {
    Passed {
        seq: seen.seq,
        at: seen.at,
        is_by_module: seen.from == Party::Module,
        name: seen.kind.name(),
        topic: elide(base, &seen.publish.topic),
        payload: cut(&String::from_utf8_lossy(&seen.publish.payload), Passed::LONGEST),
        qos: seen.publish.qos,
        retain: seen.publish.retain,
    }
}

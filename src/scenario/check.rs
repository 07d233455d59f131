//! The sense of a scenario.

use super::Scenario;
use crate::diagnostic::Diagnostic;

/// All that makes no sense.
pub fn check(_scenario: &Scenario, _known_requirements: &[&str]) -> Vec<Diagnostic> {
    Vec::new()
}

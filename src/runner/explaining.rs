//! What else is known of the finding that ends the steps of a scenario: what became of the module's connections, what was lost on
//! the way, whether EVerest's threads may do so, and which requirement it breaks.

use std::time::Duration;

use super::faults::Fault;
use super::losses;
use super::races;
use super::stage::Stage;
use crate::conformance::judge::Blame;
use crate::diagnostic::{Diagnostic, Severity};

impl Stage<'_> {
    /// Adds to a finding what the record has to say of it.
    pub async fn explain(&self, found: &mut Diagnostic) {
        let records = &self.lookout.observer.records;
        let now = records.last().map_or(Duration::ZERO, |record| record.at);
        found.at_record = found.at_record.or(records.last().map(|record| record.seq));
        found.evidence.extend(self.lookout.observer.cuts.story(now, |topic| self.case().elided(topic)));
        if found.severity != Severity::Inconclusive {
            found.evidence.extend(losses::story(self.case(), &self.lookout));
        }
        races::consider(self.scene, &self.lookout, found).await;
        let traces = self.judging.traces(&self.lookout);
        self.judging.findings(&self.lookout, &traces).let_off(found);
        self.proof().explain_by_unasked(found);
    }

    /// What failures break that do not say so themselves. Whatever the steps are about, what fails under a fault is held against
    /// the requirement that says it is survived.
    pub fn blame(&self, fault: Option<&Fault>) -> Blame {
        match fault.and_then(|fault| fault.requirement).map(|requirement| requirement.id) {
            Some(survived) => Blame { about: Some(survived), is_exercised: true, ..Blame::default() },
            None => self.proof().blame(self.about),
        }
    }
}

//! Which requirement a failure breaks: its own if it has one, as monitors' findings have; otherwise that of what led to it;
//! otherwise the one that the scenario is about.
//!
//! One fault makes many scenarios fail, whatever they are about. What leads to a failure is the message in the place of the
//! expected one, if a monitor has objected to that; a breach of MQTT, after which the broker has cut the module off; or what
//! the module was handed last, if it has ended.

use super::evidence::Proof;
use crate::conformance::occasions;
use crate::conformance::requirements::Requirement;
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::side::Side;

/// What the failures of a scenario break that do not say so themselves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Blame {
    /// What the scenario is about, at the step that failed.
    pub about: Option<&'static str>,
    /// Whether it was put to the test by then.
    pub is_exercised: bool,
    /// What a module breaks that has ended: what it was handed last was an occasion for it.
    pub fatal: Option<&'static str>,
}

impl Proof<'_> {
    /// What failures break here that do not say so themselves, where this is what is judged.
    pub fn blame(&self, about: Option<&'static Requirement>) -> Blame {
        let about = about.map(|requirement| requirement.id);
        if self.case.side() == Side::Everest {
            return Blame { about, is_exercised: true, fatal: None };
        }
        let cut_off_since = self.past.cut_off_since;
        let before = cut_off_since.map_or(0, |since| self.handed(&self.view.messages[..self.view.since(since)]).len());
        let handed = self.handed(self.view.messages);
        let facts = self.facts(&handed);
        let is_exercised = about.is_some_and(|id| occasions::lacking(id, facts).is_none());
        // What was handed nothing since it lost its connection has ended over that.
        let fatal = occasions::fatal(about, facts, before).or(cut_off_since.map(|_| "CN-1"));
        Blame { about, is_exercised, fatal }
    }
}

impl Blame {
    /// Names the requirement that each failure breaks.
    pub fn name(self, findings: &mut [Diagnostic]) {
        let is_objection =
            |found: &&Diagnostic| found.severity == Severity::Fail && found.subject == Subject::Requirement;
        let objections = findings.iter().filter(is_objection);
        let objections: Vec<_> = objections.filter_map(|found| Some((found.at_record?, found.requirement?))).collect();
        for found in findings.iter_mut().filter(|found| found.severity == Severity::Fail) {
            found.requirement = self.of_cause(found, &objections).or(found.requirement).or_else(|| self.own(found));
        }
    }

    /// What a monitor objects to that has led to a failure of an expectation.
    fn of_cause(self, found: &Diagnostic, objections: &[(u64, &'static str)]) -> Option<&'static str> {
        if found.subject != Subject::Expectation {
            return None;
        }
        let is_cause = |(at, requirement): &&(u64, &'static str)| {
            let is_breach = requirement.starts_with("MQ-") && found.at_record.is_none_or(|failed| *at <= failed);
            found.instead == Some(*at) || is_breach
        };
        objections.iter().find(is_cause).map(|(_, requirement)| *requirement)
    }

    fn own(self, found: &Diagnostic) -> Option<&'static str> {
        match found.subject {
            Subject::ModuleEnd => self.fatal,
            _ if self.is_exercised => None,
            _ => found.owed_by,
        }
        .or(self.about)
    }
}

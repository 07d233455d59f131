//! Which requirement a failure breaks: its own if it has one, as monitors' findings have; otherwise that of what led to it;
//! otherwise the one that the scenario is about.
//!
//! One fault makes many scenarios fail, whatever they are about. What leads to a failure is the message in the place of the
//! expected one, if a monitor has objected to that; a breach of MQTT, after which the broker has cut the module off; or what
//! the module was handed last, if it has ended. That may be several messages: the likeliest requirement is named, and
//! [`crate::suite::settle`] looks what other scenarios say of all of them.

use std::collections::BTreeSet;

use super::evidence::Proof;
use crate::conformance::monitors::{NOT_RESUMED, NOT_SUBSCRIBED_AGAIN};
use crate::conformance::requirements::Requirement;
use crate::conformance::{occasions, risks};
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::side::Side;

/// A client that does not connect again.
pub const STAYED_AWAY: &str = "module/stayed-away";
/// The same, or one that does not listen again to what it listened to.
pub const STAYS_AWAY: [&str; 2] = [NOT_SUBSCRIBED_AGAIN, STAYED_AWAY];
/// A request of a client that does not listen for the reply.
const REPLIES_UNHEARD: &str = "monitor/reply-topic-not-subscribed";

/// What the failures of a scenario break that do not say so themselves.
#[derive(Debug, Clone, Default)]
pub struct Blame {
    /// What the scenario is about, at the step that failed.
    pub about: Option<&'static str>,
    /// Whether it was put to the test by then.
    pub is_exercised: bool,
    /// Whether the module was handed what it can stumble over there, and end.
    pub is_risked: bool,
    /// Whether a request of the module was not answered, and it still listens for the reply.
    pub waits: bool,
    /// What a module may have broken that has ended, the likeliest first: what it was handed last was an occasion for it.
    pub suspects: Vec<&'static str>,
}

impl Proof<'_> {
    /// What failures break here that do not say so themselves, where this is what is judged.
    pub fn blame(&self, about: Option<&'static Requirement>) -> Blame {
        let about = about.map(|requirement| requirement.id);
        if self.case.side() == Side::Everest {
            return Blame { about, is_exercised: true, ..Blame::default() };
        }
        let handed = self.handed(self.view.messages);
        let facts = self.facts(&handed);
        // Who is at a loss over a message may not acknowledge it any more.
        let taken: Vec<_> = handed.iter().map(|fact| fact.if_taken()).collect();
        let is_exercised = about.is_some_and(|id| occasions::lacking(id, self.facts(&taken)).is_none());
        let is_risked = about.is_some_and(|id| risks::survived(self.facts(&taken)).contains(id));
        let waits = self.view.waits_for_reply().is_some();
        let Some(cut_off) = self.past.cut_off_since else {
            return Blame {
                about,
                is_exercised,
                is_risked,
                waits,
                suspects: risks::suspects(about, facts, 0, self.gone_at),
            };
        };
        // What was handed nothing since it lost its connection has ended over that, or before.
        let before = self.handed(&self.view.messages[..self.view.since(cut_off)]);
        let since = risks::suspects(about, facts, before.len(), self.gone_at);
        let before = risks::suspects(about, self.facts(&before), 0, None);
        let mut suspects = since;
        for id in ["CN-1"].into_iter().chain(before) {
            if !suspects.contains(&id) {
                suspects.push(id);
            }
        }
        Blame { about, is_exercised, is_risked, waits, suspects }
    }

    /// What the module could have broken by ending over what it was handed, whether it took that or not.
    pub fn risked(&self) -> BTreeSet<&'static str> {
        let taken: Vec<_> = self.handed(self.view.messages).iter().map(|fact| fact.if_taken()).collect();
        match self.case.side() {
            Side::Client => risks::survived(self.facts(&taken)),
            Side::Everest => BTreeSet::new(),
        }
    }

    /// What the module could have broken by ending over what it was shown, and has not.
    pub fn survived(&self) -> BTreeSet<&'static str> {
        match self.case.side() {
            Side::Client => risks::survived(self.facts(&self.messages())),
            Side::Everest => BTreeSet::new(),
        }
    }
}

impl Blame {
    /// Names the requirement that each failure breaks.
    pub fn name(&self, findings: &mut [Diagnostic]) {
        // The subscription to its replies went with the others.
        if findings.iter().any(|found| is_failure(found) && found.id == NOT_SUBSCRIBED_AGAIN) {
            let is_of_replies = |found: &&mut Diagnostic| is_failure(found) && found.id == REPLIES_UNHEARD;
            findings.iter_mut().filter(is_of_replies).for_each(|found| found.severity = Severity::Warning);
        }
        // What reads may have ended over what the scenario is about, and not see that the connection is lost.
        if let Some(id) = self.about.filter(|_| self.is_risked) {
            let stays_away = |found: &&mut Diagnostic| is_failure(found) && STAYS_AWAY.contains(&found.id);
            findings.iter_mut().filter(stays_away).for_each(|found| found.requirement = Some(id));
        }
        let is_objection =
            |found: &&Diagnostic| found.severity == Severity::Fail && found.subject == Subject::Requirement;
        let objections = findings.iter().filter(is_objection);
        let objections: Vec<_> = objections.filter_map(|found| Some((found.at_record?, found.requirement?))).collect();
        let silent = findings.iter().find(|found| found.id == NOT_RESUMED).and_then(|found| found.requirement);
        for found in findings.iter_mut().filter(|found| is_failure(found)) {
            // Whoever is back and listens again has kept what a lost connection asks, but for its silence.
            let not_resumed = || silent.filter(|_| found.owed_by == silent && self.about == Some("CN-1"));
            let cause = self.of_cause(found, &objections).or(found.requirement);
            match (cause, not_resumed()) {
                (None, Some(id)) => found.requirement = Some(id),
                (cause, _) => {
                    found.requirement = cause.or_else(|| self.own(found));
                    found.suspects = self.suspects_of(found);
                }
            }
        }
        let missed = findings.iter().filter(|found| is_failure(found) && found.subject == Subject::Expectation);
        let missed: BTreeSet<_> =
            missed.filter(|it| it.requirement != it.owed_by).filter_map(|it| it.owed_by).collect();
        // What a step has waited for in vain, and why, is not missed once more at the end.
        let is_told = |found: &&mut Diagnostic| {
            let is_silence = ["monitor/communication-check-late", NOT_RESUMED].contains(&found.id);
            let is_silence = is_silence && found.at_record.is_none();
            is_failure(found) && is_silence && found.requirement.is_some_and(|id| missed.contains(id))
        };
        findings.iter_mut().filter(is_told).for_each(|found| found.severity = Severity::Warning);
    }

    /// A finding that may break any of these, what the scenario is about before the others; nobody knows since when.
    pub fn over_any_of(&self, found: Diagnostic, ids: BTreeSet<&'static str>) -> Diagnostic {
        let mut suspects: Vec<_> = ids.into_iter().collect();
        suspects.sort_by_key(|id| self.about != Some(*id));
        Diagnostic { requirement: suspects.first().copied(), suspects, ..found }
    }

    /// What a monitor objects to that has led to a failure of an expectation.
    fn of_cause(&self, found: &Diagnostic, objections: &[(u64, &'static str)]) -> Option<&'static str> {
        if found.subject != Subject::Expectation {
            return None;
        }
        let is_cause = |(at, requirement): &&(u64, &'static str)| {
            let is_breach = requirement.starts_with("MQ-") && found.at_record.is_none_or(|failed| *at <= failed);
            found.instead == Some(*at) || is_breach
        };
        objections.iter().find(is_cause).map(|(_, requirement)| *requirement)
    }

    /// What other scenarios may say more of: first what the scenario is about.
    fn suspects_of(&self, found: &Diagnostic) -> Vec<&'static str> {
        match found.subject {
            Subject::ModuleEnd => {
                let mut suspects = self.suspects.clone();
                // Stable: the others stay in their order.
                suspects.sort_by_key(|id| self.about != Some(*id));
                suspects
            }
            // Or it waits for a reply, and does nothing else.
            Subject::Expectation if found.owed_by.is_some() => {
                let others = self.waits.then_some("RR-14").into_iter().chain(found.suspects.iter().copied());
                let others = others.filter(|id| self.about != Some(*id));
                self.about.into_iter().chain(others).collect()
            }
            _ => Vec::new(),
        }
    }

    fn own(&self, found: &Diagnostic) -> Option<&'static str> {
        match found.subject {
            Subject::ModuleEnd => self.suspects.first().copied(),
            _ if self.is_exercised => None,
            _ => found.owed_by,
        }
        .or(self.about)
    }
}

fn is_failure(found: &Diagnostic) -> bool {
    found.severity == Severity::Fail
}

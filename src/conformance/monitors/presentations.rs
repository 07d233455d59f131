//! A token provider under test that acts by itself: one token a presentation.
//!
//! Nobody presents a card again within [`AT_ONCE`], so tokens that come together are of one presentation. A provider that
//! hands each of its tokens in several times so does it by itself; one that does so now and then may have made up for a
//! pause of the machine or of its connection, and is not accused. Where a scenario shows one presentation and no more, that
//! is a warning, and [`crate::suite::settle`] looks whether it was so in others. What it is told to hand in, the scenario
//! judges.

use std::time::Duration;

use crate::diagnostic::{Diagnostic, Severity, printable};

use super::wording::{Worded, time};

/// The same token within so long is of one presentation: nobody takes a card away and brings it back so fast.
pub(in crate::conformance) const AT_ONCE: Duration = Duration::from_millis(500);

/// So many presentations, each of several tokens, are no accident.
const NO_ACCIDENT: u32 = 2;

/// Nor are so many tokens of one presentation.
const BURST: u32 = 3;

/// The tokens that the module under test hands in.
#[derive(Debug)]
pub(super) struct Presentations {
    /// Whether none was of one token alone, and the module was told none.
    is_each_repeated: bool,
    last: Option<Presentation>,
    /// How many were of several tokens, but for those with which a module makes up for a lost connection.
    repeated: u32,
    /// What is to be said of the first of these, unless more is.
    once: Option<Diagnostic>,
    /// Whether the module may hand in now what it could not before.
    makes_up: bool,
}

#[derive(Debug)]
struct Presentation {
    token: String,
    tokens: u32,
    last: Duration,
}

impl Presentations {
    pub(super) fn new(from_start: bool) -> Self {
        Self { is_each_repeated: true, last: None, repeated: 0, once: None, makes_up: !from_start }
    }

    /// The module is told, by whatever way, to hand a token in.
    pub(super) fn told(&mut self) {
        self.is_each_repeated = false;
    }

    /// The module has lost its connection.
    pub(super) fn lost(&mut self) {
        self.last = None;
        self.makes_up = true;
    }

    /// Judges a token that the module has not sent for the second time for the sake of its QoS.
    pub(super) fn observe(&mut self, seen: &Worded<'_>) -> Option<Diagnostic> {
        let token = seen.as_sent().ok()?.pointer("/id_token/value")?.as_str()?;
        // EVerest tells tokens apart as text without case.
        let is_again = |last: &&mut Presentation| {
            last.token.eq_ignore_ascii_case(token) && seen.at.saturating_sub(last.last) < AT_ONCE
        };
        let Some(last) = self.last.as_mut().filter(is_again) else {
            let next = Presentation { token: token.to_owned(), tokens: 1, last: seen.at };
            if let Some(over) = self.last.replace(next) {
                self.is_each_repeated &= over.tokens > 1;
                self.makes_up = false;
            }
            return None;
        };
        let gap = seen.at.saturating_sub(last.last);
        (last.tokens, last.last) = (last.tokens + 1, seen.at);
        if self.makes_up || !self.is_each_repeated {
            return None;
        }
        self.repeated += u32::from(last.tokens == 2);
        // A second one again, or a third one at once; each is told once.
        let is_no_accident = last.tokens == 2 && self.repeated == NO_ACCIDENT;
        let is_burst = last.tokens == BURST && self.repeated == 1;
        let headline = format!("module handed token `{}` in again {} later", printable(token), time(gap));
        if is_no_accident || is_burst {
            self.once = None;
            let finding = seen.fail("monitor/handed-in-again", headline).breaking("TP-4");
            return Some(finding.with_evidence("so it did before, by itself: nobody presents a card so fast"));
        }
        if self.repeated == 1 && last.tokens == 2 {
            let finding = seen.finding(Severity::Warning, "monitor/handed-in-again", headline).breaking("TP-4");
            let why = "nobody presents a card so fast: once that is an accident, again and again it breaks TP-4";
            self.once = Some(finding.with_evidence(why));
        }
        None
    }

    /// What is left to say of a module that has handed in one token several times, and no other one.
    pub(super) fn finish(&mut self, at: Duration) -> Option<Diagnostic> {
        let is_alone =
            |last: &Presentation| last.tokens == 1 && !self.makes_up && at.saturating_sub(last.last) >= AT_ONCE;
        self.is_each_repeated &= !self.last.as_ref().is_some_and(is_alone);
        self.once.take().filter(|_| self.is_each_repeated)
    }
}

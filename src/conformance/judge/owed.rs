//! What a module owes whatever a scenario is about, and what its other messages say of what does not come.

use std::time::Duration;

use super::expectation::{Expectation, What, is_of_kind};
use super::findings::Findings;
use crate::conformance::sighting::{Kind, Party, Sighting};
use crate::protocol::side::Side;
use crate::scenario::channel_of;
use crate::scenario::pattern::Captures;

/// What comes sooner may have been on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

impl Findings<'_> {
    /// The requirement by which a client under test owes what is expected, whatever the scenario is about.
    pub(super) fn owed(&self, expectation: &Expectation) -> Option<&'static str> {
        let is_reply = matches!(expectation.what, What::Reply { .. });
        let of_client = self.case.side() == Side::Client && expectation.by == Party::Module;
        let reply = || self.case.topics.api.behaviour().reply_requirement(Side::Client, None);
        if of_client && is_reply { Some(reply()) } else { self.owed_told_or_not(expectation) }
    }

    /// The same of what it sends without being asked or told.
    pub(super) fn owed_told_or_not(&self, expectation: &Expectation) -> Option<&'static str> {
        let What::Message { kind: Some(kind), api, payload, .. } = &expectation.what else { return None };
        let channel = channel_of(*kind, *api).filter(|_| expectation.by == Party::Module)?;
        let (owed, requirement) = api.behaviour().owed(channel)?;
        let takes = payload.as_ref().is_none_or(|it| it.matches(&owed, &mut Captures::new()).is_ok());
        takes.then_some(requirement)
    }

    /// What the module has sent last, by itself, in the place of what it owes: it says that it owes nothing any more.
    pub(super) fn has_ended(&self, expectation: &Expectation) -> Option<(u64, &'static str)> {
        self.owed_told_or_not(expectation)?;
        let What::Message { kind: Some(kind), api, .. } = &expectation.what else { return None };
        let (end, requirement) = api.behaviour().ends(channel_of(*kind, *api)?)?;
        let is_it = |seen: &&Sighting| seen.from == Party::Module && is_of_kind(seen, *kind, *api);
        let last = self.view.messages.iter().rev().find(is_it)?;
        let is_end = last.json.as_ref() == Some(&end) && self.claims.of(last.seq).is_none();
        is_end.then_some((last.seq, requirement))
    }

    /// What the module has sent of its own accord some time after it was waited for to do what it owes.
    pub(super) fn goes_on(&self, expectation: &Expectation) -> Option<String> {
        let What::Message { kind: Some(kind), api, .. } = &expectation.what else { return None };
        self.owed_told_or_not(expectation)?;
        let is_it = |seen: &Sighting| seen.from == Party::Module && is_of_kind(seen, *kind, *api);
        let (before, since): (Vec<_>, Vec<_>) =
            self.view.messages.iter().partition(|seen| seen.seq < expectation.since || is_it(seen));
        let began = before.last().map_or(Duration::ZERO, |seen| seen.at);
        let is_own = |seen: &&&Sighting| seen.from == Party::Module && self.claims.of(seen.seq).is_none();
        let last = since.iter().rev().find(is_own)?;
        (last.at.saturating_sub(began) > ON_ITS_WAY).then(|| self.line(last.seq)).flatten()
    }

    /// Whether a client has discovered, and neither listens nor says anything else.
    pub(super) fn has_not_found(&self) -> bool {
        let base = format!("{}/", self.case.topics.base());
        let has_asked = |seen: &Sighting| seen.from == Party::Module && matches!(seen.kind, Kind::EntryPoint(_));
        let speaks = |seen: &Sighting| seen.from == Party::Module && !has_asked(seen);
        let listens = |filter: &String| filter.starts_with(&base);
        let is_answered = |seen: &Sighting| seen.from == Party::Harness && matches!(seen.kind, Kind::Answer(_));
        let messages = self.view.messages;
        self.case.side() == Side::Client
            && messages.iter().any(has_asked)
            && messages.iter().any(is_answered)
            && !messages.iter().any(speaks)
            && !self.view.subscriptions.values().flatten().any(listens)
    }

    /// Whether the module has sent what is expected before, as it should be.
    pub(super) fn has_ever(&self, expectation: &Expectation) -> bool {
        let What::Message { kind: Some(kind), api, payload, .. } = &expectation.what else { return false };
        let is_it = |seen: &&Sighting| seen.from == Party::Module && is_of_kind(seen, *kind, *api);
        let takes = |seen: &Sighting| {
            let json = seen.json.as_ref();
            json.is_some_and(|json| payload.as_ref().is_none_or(|it| it.matches(json, &mut Captures::new()).is_ok()))
        };
        self.view.messages.iter().filter(is_it).any(takes)
    }

    /// The requirement that a client under test breaks which sends something where it does not belong.
    pub(super) fn of_its_place(&self, expectation: &Expectation) -> Option<&'static str> {
        match &expectation.what {
            _ if self.case.side() != Side::Client => None,
            What::Reply { .. } => self.owed(expectation),
            _ => Some("DI-8"),
        }
    }
}

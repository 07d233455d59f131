//! Silence: a time in which no message of a kind may come.

use std::time::Duration;

use serde_json::{Value, json};

use super::Moment;
use super::case::{Case, View};
use super::claims::{Claims, Lane};
use super::expectation::{is_of_kind, matches, sender, told};
use crate::conformance::sighting::{Kind, Party, Sighting};
use crate::diagnostic::Diagnostic;
use crate::protocol::channel::ApiType;
use crate::protocol::control::Deed;
use crate::protocol::topic;
use crate::scenario::api_of;
use crate::scenario::model::{ExpectNone, MessageKind};
use crate::scenario::pattern::{Captures, Pattern};

/// A silence that is demanded.
#[derive(Debug, Clone)]
pub struct Silence {
    /// Where it stands in the scenario.
    pub pointer: String,
    /// When it is over.
    pub until: Duration,
    /// Whether the module had ended before it began.
    pub had_ended: bool,
    /// Whether it forbids a call to an EVSE.
    pub is_of_calls: bool,
    /// The first message that was not looked at.
    next: usize,
    message: Option<(MessageKind, ApiType)>,
    /// What makes a call one that is forbidden.
    called: Vec<(&'static str, Value)>,
    filter: Option<String>,
    payload: Option<Pattern>,
    /// What its pattern captures is nobody else's.
    captures: Captures,
}

impl Silence {
    /// Silence for this time, and since the message at `from`.
    ///
    /// # Errors
    /// When its pattern cannot be used; the checker has looked at it before.
    pub fn new(
        none: &ExpectNone,
        at: &str,
        from: usize,
        moment: Moment,
        case: &Case<'_>,
        captures: Captures,
    ) -> Result<Self, Box<Diagnostic>> {
        let payload = none.payload.as_ref().map(Pattern::compile).transpose();
        let evse = none.evse.map(|evse| ("evse", json!(evse)));
        let call = none.call.map(|call| ("call", json!(call)));
        Ok(Self {
            pointer: format!("{at}/expect_none"),
            until: moment.now + none.r#for.0,
            had_ended: moment.has_ended,
            is_of_calls: call.is_some(),
            next: from,
            message: none.message.map(|kind| (kind, api_of(kind, none.api, case.topics.api))),
            called: evse.into_iter().chain(call).collect(),
            filter: none.topic.as_ref().map(|topic| case.filled(topic)),
            payload: payload.map_err(|error| Diagnostic::broken(&error.message))?,
            captures,
        })
    }

    /// The first message that breaks it, of those that no step has claimed.
    pub fn broken_by<'a>(&mut self, case: &Case<'_>, claims: &Claims, view: View<'a>) -> Option<&'a Sighting> {
        while let Some(index) = claims.next_free(self.lane(), self.next) {
            self.next = index + 1;
            let seen = &view.messages[index];
            if self.is_broken_by(seen, case, claims, view) {
                return Some(seen);
            }
        }
        None
    }

    fn lane(&self) -> Lane<'static> {
        match self.message {
            _ if self.is_of_calls => Lane::Kind(Kind::Did(Deed::EvseCall).name()),
            Some((kind, _)) => Lane::Kind(kind.name()),
            None => Lane::All,
        }
    }

    fn is_broken_by(&mut self, seen: &Sighting, case: &Case<'_>, claims: &Claims, view: View<'_>) -> bool {
        let is_on_topic = self.filter.as_deref().is_none_or(|filter| topic::matches(filter, &seen.publish.topic));
        if !is_on_topic || self.message.is_some_and(|(kind, api)| !is_meant(seen, kind, api, case, claims, view)) {
            return false;
        }
        if self.is_of_calls {
            let Some(told) = told(seen, Deed::EvseCall, &self.called) else { return false };
            return self.payload.as_ref().is_none_or(|it| it.matches(&told["arguments"], &mut self.captures).is_ok());
        }
        seen.kind != Kind::Control
            && (self.message.is_some() || !matches!(seen.kind, Kind::Did(_)))
            && self.payload.as_ref().is_none_or(|pattern| matches(pattern, seen, &mut self.captures).is_ok())
    }
}

/// Whether a message is of a kind that is forbidden. Replies pass in both directions where khumbu is a token validator,
/// too; and what the module asks of its own accord is its own affair.
fn is_meant(
    seen: &Sighting,
    kind: MessageKind,
    api: ApiType,
    case: &Case<'_>,
    claims: &Claims,
    view: View<'_>,
) -> bool {
    let is_asked_for = || match seen.kind {
        Kind::Reply(index) | Kind::Answer(index) => {
            let request = &view.requests[index];
            request.from == Party::Harness || claims.of(request.seq).is_some()
        }
        _ => true,
    };
    let is_wanted = || seen.from == sender(kind, api, case.side(), case.topics.api) && is_asked_for();
    is_of_kind(seen, kind, api) && (kind != MessageKind::Reply || is_wanted())
}

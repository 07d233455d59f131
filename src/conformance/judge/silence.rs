//! Silence: a time in which no message of a kind may come.

use std::time::Duration;

use serde_json::{Value, json};

use super::Moment;
use super::case::{Case, View};
use super::claims::{Claims, Lane};
use super::expectation::{is_of_kind, sender, told};
use super::past::{Past, Replies};
use crate::conformance::sighting::{Kind, Party, Sighting};
use crate::diagnostic::Diagnostic;
use crate::protocol::channel::ApiType;
use crate::protocol::control::Deed;
use crate::protocol::topic;
use crate::scenario::model::{ExpectNone, MessageKind};
use crate::scenario::pattern::{Captures, Pattern};
use crate::scenario::{Pointer, api_of};

/// A silence that is demanded.
#[derive(Debug, Clone)]
pub struct Silence {
    /// Where it stands in the scenario.
    pub pointer: Pointer,
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
    /// Where the replies pass of the only request that is meant.
    replies: Option<Replies>,
    payload: Option<Pattern>,
}

impl Silence {
    /// Silence for this time, and since the message at `from`.
    ///
    /// # Errors
    /// When its pattern cannot be used; the checker has looked at it before.
    pub fn new(
        none: &ExpectNone,
        at: &Pointer,
        from: usize,
        moment: Moment,
        (case, past): (&Case<'_>, &Past),
    ) -> Result<Self, Box<Diagnostic>> {
        let payload = none.payload.as_ref().map(Pattern::compile).transpose();
        let evse = none.evse.map(|evse| ("evse", json!(evse)));
        let call = none.call.map(|call| ("call", json!(call)));
        Ok(Self {
            pointer: at.key("expect_none"),
            until: moment.now + none.r#for.0,
            had_ended: moment.has_ended,
            is_of_calls: call.is_some(),
            next: from,
            message: none.message.map(|kind| (kind, api_of(kind, none.api, case.topics.api))),
            called: evse.into_iter().chain(call).collect(),
            filter: none.topic.as_ref().map(|topic| case.filled(topic)),
            replies: none.to.as_deref().and_then(|name| past.replies(Some(name))).cloned(),
            payload: payload.map_err(|error| Diagnostic::broken(&error.message))?,
        })
    }

    /// The first message that breaks it, of those that no step has claimed.
    pub fn broken_by<'a>(
        &mut self,
        case: &Case<'_>,
        claims: &Claims,
        captures: &Captures,
        view: View<'a>,
    ) -> Option<&'a Sighting> {
        while let Some(index) = claims.next_free(self.lane(), self.next) {
            self.next = index + 1;
            let seen = &view.messages[index];
            if self.is_of_its_kind(seen, case, claims, view) && self.fits(seen, captures) {
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

    fn is_of_its_kind(&self, seen: &Sighting, case: &Case<'_>, claims: &Claims, view: View<'_>) -> bool {
        if self.is_of_calls {
            return told(seen, Deed::EvseCall, &self.called).is_some();
        }
        let is_told = match self.message {
            Some((kind, api)) => is_meant(seen, kind, api, case, claims, view),
            None => !matches!(seen.kind, Kind::Control | Kind::Did(_)),
        };
        let is_to_it = |replies: &Replies| *seen.publish.topic == *replies.topic && seen.seq > replies.since;
        let is_told = is_told && self.replies.as_ref().is_none_or(is_to_it);
        is_told && self.filter.as_deref().is_none_or(|filter| topic::matches(filter, &seen.publish.topic))
    }

    /// Whether it says what is forbidden; the checker has seen to it that nothing is captured here.
    fn fits(&self, seen: &Sighting, captures: &Captures) -> bool {
        let Some(pattern) = &self.payload else { return true };
        let said =
            seen.json.as_ref().and_then(|json| if self.is_of_calls { json.get("arguments") } else { Some(json) });
        said.is_some_and(|said| pattern.differences(said, captures).is_empty())
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
    if !is_of_kind(seen, kind, api) {
        return false;
    }
    let (Kind::Reply(index) | Kind::Answer(index)) = seen.kind else { return true };
    let request = &view.requests[index];
    let is_asked_for = request.from == Party::Harness || claims.of(request.seq).is_some();
    is_asked_for && seen.from == sender(kind, api, case.side(), case.topics.api)
}

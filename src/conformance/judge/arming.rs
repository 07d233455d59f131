//! From a step of a scenario to an expectation that messages can be held against.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::Judge;
use super::case::{Case, View};
use super::expectation::{Expectation, What, sender};
use super::findings;
use super::past::Replies;
use crate::conformance::sighting::{Party, Request};
use crate::diagnostic::Diagnostic;
use crate::protocol::channel::Topics;
use crate::protocol::control::Deed;
use crate::protocol::side::Side;
use crate::scenario::model::{Expect, ExpectEvse, ExpectReply, ExpectStatus};
use crate::scenario::pattern::Pattern;
use crate::scenario::step::Step;
use crate::scenario::{Pointer, api_of};
use crate::timespan::Timespan;

impl<'s> Judge<'s> {
    /// The expectation of a message that may come of the module's own accord.
    ///
    /// # Errors
    /// When it can never come.
    pub fn own_expectation(&self, step: &Step, at: &Pointer, view: View<'_>) -> Result<Expectation, Box<Diagnostic>> {
        self.expectation(step, at, view)
    }

    /// Makes a step's expectation ready.
    ///
    /// # Errors
    /// When it can never be met.
    pub(super) fn expectation(
        &self,
        step: &Step,
        at: &Pointer,
        view: View<'_>,
    ) -> Result<Expectation, Box<Diagnostic>> {
        let Self { case, past, .. } = self;
        let everest = if case.side() == Side::Everest { Party::Module } else { Party::Harness };
        let within = |own: &Option<Timespan>| own.map_or_else(|| case.within(), |span| span.0);
        Ok(match step {
            Step::Expect(Expect { message, api, topic, payload, qos, retain, within: own }) => {
                let filter = topic.as_ref().map(|topic| case.filled(topic));
                let under_test = case.topics.api;
                let api = message.map_or(under_test, |kind| api_of(kind, *api, under_test));
                let by = match (message, &filter) {
                    (Some(kind), _) => sender(*kind, api, case.side(), under_test),
                    (None, Some(filter)) => publisher_of(filter, case),
                    (None, None) => Party::Module,
                };
                // What the module was not there for, it was not shown.
                let is_shown = case.side() == Side::Client && by == Party::Harness;
                let since = if is_shown { past.mark.max(past.ready_since) } else { past.mark };
                let payload = optional(payload)?;
                let what = What::Message { kind: *message, api, filter, payload, qos: *qos, retain: *retain };
                Expectation { pointer: at.key("expect"), within: within(own), since, by, what }
            }
            Step::ExpectStatus(ExpectStatus { token: name, status, sequence, connectors, payload, within: own }) => {
                let pointer = at.key("expect_status");
                let value = case.token(name)?.value.clone();
                let (remaining, place) = match (sequence, status) {
                    (Some(sequence), _) => (sequence.iter().copied().collect(), (pointer.key("sequence"), Some(0))),
                    (None, Some(status)) => (VecDeque::from([*status]), (pointer.key("status"), None)),
                    (None, None) => (VecDeque::new(), (pointer.clone(), None)),
                };
                let since = past.presented_since(&value).unwrap_or(past.mark);
                let channel = step.row(case.scenario.model.frame()).shows;
                let what = What::Status {
                    channel: channel.ok_or_else(|| Diagnostic::broken("a status that is on no channel"))?,
                    name: name.clone(),
                    value,
                    remaining,
                    at: place,
                    connectors: optional(connectors)?,
                    payload: optional(payload)?,
                };
                Expectation { pointer, within: within(own), since, by: everest, what }
            }
            Step::ExpectEvse(ExpectEvse { evse, call, payload, within: own }) => {
                let pointer = at.key("expect_evse");
                let payload = optional(payload)?.map(|pattern| (pointer.key("payload"), pattern));
                let which = vec![("evse", json!(evse)), ("call", json!(call))];
                let what = What::Did { deed: Deed::EvseCall, which, member: "arguments", payload };
                Expectation { pointer, within: within(own), since: past.mark, by: everest, what }
            }
            Step::ExpectReply(ExpectReply { payload, to, within: own }) => {
                let pointer = at.key("expect_reply");
                let asked = || {
                    let question = self.question(to.as_deref(), view)?;
                    Some(Replies { topic: question.reply_topic.clone(), since: question.seq })
                };
                let Replies { topic, since } = past
                    .replies(to.as_deref())
                    .cloned()
                    .or_else(asked)
                    .filter(|replies| !replies.topic.is_empty())
                    .ok_or_else(|| findings::no_reply_asked_for(case, view, &self.claims, &pointer))?;
                let scenario = case.scenario;
                let long = pointer.key("payload");
                let is_long = scenario.place(&long).range != scenario.place(&pointer).range;
                let place = if is_long { long } else { pointer.clone() };
                let what = What::Reply { topic, payload: compiled(payload)?, at: place };
                let by = if case.is_asked() { Party::Module } else { everest };
                Expectation { pointer, within: within(own), since, by, what }
            }
            _ => return Err(Diagnostic::broken("a step that is no expectation stands where one is expected").into()),
        })
    }

    /// What EVerest asked the validator under test about a token since it was presented; about the last one if none is
    /// named.
    fn question<'a>(&self, name: Option<&str>, view: View<'a>) -> Option<&'a Request> {
        let (value, since) = self.question_sought(name)?;
        view.question(value, since)
    }

    /// About which token, and since which record, a question of EVerest counts: of the token of this name, or of any.
    pub fn question_sought(&self, name: Option<&str>) -> Option<(Option<&'s str>, u64)> {
        let value = match name {
            Some(name) => Some(self.case.token(name).ok()?.value.as_str()),
            None => None,
        };
        Some((value, self.past.asked_since(value)?))
    }
}

/// A pattern of the scenario.
///
/// # Errors
/// When it is none; the checker has looked at all of them before.
fn compiled(value: &Value) -> Result<Pattern, Box<Diagnostic>> {
    Pattern::compile(value).map_err(|error| Diagnostic::broken(&error.message).into())
}

fn optional(value: &Option<Value>) -> Result<Option<Pattern>, Box<Diagnostic>> {
    value.as_ref().map(compiled).transpose()
}

/// Who should publish on topics of this filter.
fn publisher_of(filter: &str, case: &Case<'_>) -> Party {
    let below = |topics: &Topics| filter.strip_prefix(&topics.base()).map(|rest| rest.starts_with("/e2m"));
    if let Some(from_everest) = below(case.topics) {
        return if from_everest == (case.side() == Side::Client) { Party::Harness } else { Party::Module };
    }
    match case.other_apis.iter().find_map(below) {
        Some(from_everest) if case.side() == Side::Client || !from_everest => Party::Harness,
        _ => Party::Module,
    }
}

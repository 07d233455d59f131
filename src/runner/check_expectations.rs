//! Holds the expectations of a scenario against the record: met, broken, out of order, late, or missing.
//!
//! Only messages that no earlier expectation has claimed count. Nothing here acts on the wire.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::expectation::{Expectation, Mismatch, Offer, What, is_of_kind, matches, sender, told};
use super::findings;
use super::observer::Observer;
use super::played::Played;
use super::settings::ModuleSource;
use super::stage::{Patience, Stage, Stop, Wake, broken};
use super::steps::{Memory, token};
use crate::conformance::sighting::{Claim, Kind, Party, Request, Sighting};
use crate::parity;
use crate::parity::station_file::Meaning;
use crate::protocol::channel::{ApiType, Channel, Topics};
use crate::protocol::control::Deed;
use crate::protocol::side::Side;
use crate::protocol::topic;
use crate::scenario::api_of;
use crate::scenario::model::{Expect, ExpectEvse, ExpectNone, ExpectReply, ExpectStatus, MessageKind};
use crate::scenario::pattern::Pattern;
use crate::scenario::step::Step;

/// An expectation that is not met yet.
struct Open {
    expectation: Expectation,
    /// Since the expectation was armed, or since its last status came: each has the whole time.
    patience: Patience,
    is_over: bool,
}

/// How long is waited at most for a message whose time is over, to tell late from never. What is not there after three
/// times its time counts as never, so that short limits stay short.
const LATE: Duration = Duration::from_secs(2);

impl Stage<'_> {
    /// Makes a step's expectation ready.
    ///
    /// # Errors
    /// When it can never be met.
    pub fn expectation(&self, step: &Step, at: &str, memory: &Memory) -> Result<Expectation, Stop> {
        let compile = |value: &Value| Pattern::compile(value).map_err(|error| Stop::from(broken(&error.message)));
        let optional = |value: &Option<Value>| value.as_ref().map(compile).transpose();
        let side = self.scenario.model.under_test;
        let everest = if side == Side::Everest { Party::Module } else { Party::Harness };
        Ok(match step {
            Step::Expect(Expect { message, api, topic, payload, qos, retain, within }) => {
                let filter = topic.as_ref().map(|topic| self.filled(topic));
                let under_test = self.scene.topics.api;
                let api = message.map_or(under_test, |kind| api_of(kind, *api, under_test));
                let by = match (message, &filter) {
                    (Some(kind), _) => sender(*kind, api, side, under_test),
                    (None, Some(filter)) => self.publisher_of(filter),
                    (None, None) => Party::Module,
                };
                // What the module was not there for, it was not shown.
                let is_shown = side == Side::Client && by == Party::Harness;
                let since = if is_shown { memory.mark.max(self.ready_since) } else { memory.mark };
                let payload = optional(payload)?;
                let what = What::Message { kind: *message, api, filter, payload, qos: *qos, retain: *retain };
                let within = within.map_or_else(|| self.within(), |span| span.0);
                Expectation { pointer: format!("{at}/expect"), within, since, by, what }
            }
            Step::ExpectStatus(ExpectStatus { token: name, status, sequence, connectors, payload, within }) => {
                let pointer = format!("{at}/expect_status");
                let value = token(memory, name)?.value.clone();
                let (remaining, place) = match (sequence, status) {
                    (Some(sequence), _) => {
                        (sequence.iter().copied().collect(), (format!("{pointer}/sequence"), Some(0)))
                    }
                    (None, Some(status)) => (VecDeque::from([*status]), (format!("{pointer}/status"), None)),
                    (None, None) => (VecDeque::new(), (pointer.clone(), None)),
                };
                let since = memory.presented_since(&value).map_or(memory.mark, |seq| memory.mark.min(seq));
                let what = What::Status {
                    name: name.clone(),
                    value,
                    remaining,
                    at: place,
                    connectors: optional(connectors)?,
                    payload: optional(payload)?,
                };
                let within = within.map_or_else(|| self.within(), |span| span.0);
                Expectation { pointer, within, since, by: everest, what }
            }
            Step::ExpectEvse(ExpectEvse { evse, call, payload, within }) => {
                let pointer = format!("{at}/expect_evse");
                let payload = optional(payload)?.map(|pattern| (format!("{pointer}/payload"), pattern));
                let which = vec![("evse", json!(evse)), ("call", json!(call))];
                let what = What::Did { deed: Deed::EvseCall, which, member: "arguments", payload };
                let within = within.map_or_else(|| self.within(), |span| span.0);
                Expectation { pointer, within, since: memory.mark, by: everest, what }
            }
            Step::ExpectReply(ExpectReply { payload, to, within }) => {
                let pointer = format!("{at}/expect_reply");
                let lane = match to {
                    Some(name) => memory.named.get(name).cloned(),
                    None => memory.last_request.clone(),
                };
                let topic = lane
                    .or_else(|| Some(self.question(to.as_deref(), memory)?.reply_topic.clone()))
                    .filter(|topic| !topic.is_empty())
                    .ok_or_else(|| findings::no_reply_asked_for(self, &pointer))?;
                let is_long =
                    self.scenario.place(&format!("{pointer}/payload")).range != self.scenario.place(&pointer).range;
                let place = if is_long { format!("{pointer}/payload") } else { pointer.clone() };
                let what = What::Reply { topic, payload: compile(payload)?, at: place };
                let within = within.map_or_else(|| self.within(), |span| span.0);
                let by = if self.scene.is_client_of(ApiType::AUTH_TOKEN_VALIDATOR) { Party::Module } else { everest };
                Expectation { pointer, within, since: 0, by, what }
            }
            _ => return Err(broken("a step that is no expectation stands where one is expected").into()),
        })
    }

    /// Who should publish on topics of this filter.
    fn publisher_of(&self, filter: &str) -> Party {
        let side = self.scenario.model.under_test;
        let below = |topics: &Topics| filter.strip_prefix(&topics.base()).map(|rest| rest.starts_with("/e2m"));
        if let Some(from_everest) = below(&self.scene.topics) {
            return if from_everest == (side == Side::Client) { Party::Harness } else { Party::Module };
        }
        match self.scene.sisters.iter().find_map(below) {
            Some(from_everest) if side == Side::Client || !from_everest => Party::Harness,
            _ => Party::Module,
        }
    }

    /// What EVerest asked the validator under test about a token since it was presented; about the last one if none is
    /// named.
    fn question(&self, name: Option<&str>, memory: &Memory) -> Option<&Request> {
        let value = match name {
            Some(name) => Some(token(memory, name).ok()?.value.as_str()),
            None => None,
        };
        self.observer.question(value, memory.asked_since(value)?)
    }

    /// Waits until EVerest has asked the validator under test what the replies of these steps are to answer.
    ///
    /// # Errors
    /// When it does not ask: then the scenario is wrong.
    pub async fn wait_for_questions(&mut self, steps: &[&Step], at: &str, memory: &Memory) -> Result<(), Stop> {
        if !self.scene.is_client_of(ApiType::AUTH_TOKEN_VALIDATOR) {
            return Ok(());
        }
        for step in steps {
            let Step::ExpectReply(ExpectReply { to, within, .. }) = step else { continue };
            let is_published = match to {
                Some(name) => memory.named.contains_key(name),
                None => memory.last_request.is_some(),
            };
            if is_published {
                continue;
            }
            let within = within.map_or_else(|| self.within(), |span| span.0);
            let mut patience = Patience::new(&self.lag);
            let mut is_over = false;
            while self.question(to.as_deref(), memory).is_none() {
                if self.module.has_ended() {
                    return Err(findings::ended_while(self, at, "while a question to it was expected").into());
                }
                if is_over {
                    return Err(findings::nothing_asked(self.scenario, at).into());
                }
                is_over = self.waits_in_vain(&mut patience, within).await?;
            }
        }
        Ok(())
    }

    /// Meets a single expectation that may not be reachable by telling the module; returns the message's number.
    ///
    /// # Errors
    /// When it is not met.
    pub async fn meet_request(&mut self, expectation: &mut Expectation, is_told: bool) -> Result<u64, Stop> {
        let within = expectation.within;
        let mut patience = Patience::new(&self.lag);
        let mut next = 0;
        let mut is_over = false;
        loop {
            while let Some(seen) = self.observer.messages.get(next) {
                if seen.claim.is_none() && seen.seq >= expectation.since {
                    match expectation.offer(seen, &mut self.captures) {
                        Offer::Met | Offer::Step => {
                            let seq = seen.seq;
                            let pointer = expectation.pointer.clone();
                            self.observer.messages[next].claim = Some(Claim { pointer, is_demand: true });
                            return Ok(seq);
                        }
                        Offer::Broken(mismatch) => {
                            let seen = seen.clone();
                            return Err(findings::mismatch(self, expectation, &seen, &mismatch, &patience).into());
                        }
                        Offer::Foreign => {}
                    }
                }
                next += 1;
            }
            if self.module.has_ended() {
                return Err(findings::ended(self, expectation).into());
            }
            match (is_over, is_told) {
                (false, _) => {}
                (true, true)
                    if matches!(expectation.what, What::Request { .. })
                        && let Some(open) = self.observer.waits_for_reply() =>
                {
                    return Err(findings::waits_for_reply(self, expectation, open).into());
                }
                (true, true) => return Err(self.missing(expectation, &patience, next, None).await),
                (true, false) => return Err(findings::not_drivable(self, expectation).into()),
            }
            is_over = self.waits_in_vain(&mut patience, within).await?;
        }
    }

    /// Meets all of these, in any order among themselves.
    ///
    /// # Errors
    /// When one is not met.
    pub async fn meet(&mut self, expectations: Vec<Expectation>, memory: &mut Memory) -> Result<(), Stop> {
        let floor = memory.floor;
        let armed = |expectation| Open { expectation, patience: Patience::new(&self.lag), is_over: false };
        let mut open: Vec<Open> = expectations.into_iter().map(armed).collect();
        let mut next = 0;
        loop {
            while next < self.observer.messages.len() && !open.is_empty() {
                let met = self.offer(&mut open, next, floor)?;
                memory.floor = memory.floor.max(met);
                next += 1;
            }
            // Each expectation has a deadline of its own; the earliest one that is open counts.
            let Some(first) = open.iter_mut().min_by_key(|open| open.patience.deadline(open.expectation.within)) else {
                return Ok(());
            };
            let is_modules =
                first.expectation.by == Party::Module || findings::follows_from_module(self, &first.expectation);
            if self.module.has_ended() && is_modules {
                return Err(findings::ended(self, &first.expectation).into());
            }
            if first.is_over {
                return Err(self.missing(&first.expectation, &first.patience, next, floor).await);
            }
            first.is_over = self.waits_in_vain(&mut first.patience, first.expectation.within).await?;
        }
    }

    /// Waits for something new; `true` if the time is over, with everything taken that had come by then.
    ///
    /// # Errors
    /// As [`Stage::wait`].
    pub async fn waits_in_vain(&mut self, patience: &mut Patience, within: Duration) -> Result<bool, Stop> {
        match self.wait(patience.deadline(within)).await? {
            Wake::Record | Wake::Ended => Ok(false),
            Wake::Deadline if !patience.is_over(within, &self.lag).await => Ok(false),
            Wake::Deadline => {
                self.observer.drain();
                Ok(true)
            }
        }
    }

    /// Whether nobody says which of two messages of an EVerest under test comes first. It answers requests one after the
    /// other, but each token has a thread of its own, and so have requests.
    fn may_be_either_way(&self, floor: u64, index: usize) -> bool {
        let (messages, seen) = (&self.observer.messages, &self.observer.messages[index]);
        let is_everests = self.scenario.model.under_test == Side::Everest && seen.from == Party::Module;
        let is_reply = |seen: &Sighting| matches!(seen.kind, Kind::Reply(_));
        let is_of_thread =
            |seen: &Sighting| is_reply(seen) || seen.kind == Kind::Channel(Channel::TOKEN_VALIDATION_STATUS);
        let Some(other) = messages.iter().find(|other| other.seq == floor) else { return false };
        is_everests
            && is_of_thread(seen)
            && is_of_thread(other)
            && !(is_reply(seen) && is_reply(other))
            && other.at.abs_diff(seen.at) <= parity::TOLERANCE + self.lag.total().min(parity::TOLERANCE)
    }

    /// Whether khumbu's own side has waited for nothing by coming before this message: a request that a step has had the
    /// module make. When it makes it is its own affair; it may have waited for the reply to another.
    fn is_made_to_come(&self, floor: u64, by: Party) -> bool {
        let is_demanded = |seen: &Sighting| seen.claim.as_ref().is_some_and(|claim| claim.is_demand);
        let mut messages = self.observer.messages.iter();
        by == Party::Harness && messages.any(|seen| seen.seq == floor && is_demanded(seen))
    }

    /// Offers one message to the open expectations; the number of the message if it completed one.
    fn offer(&mut self, open: &mut Vec<Open>, index: usize, floor: Option<u64>) -> Result<Option<u64>, Stop> {
        let seen = &self.observer.messages[index];
        let seq = seen.seq;
        let is_demanded = match &seen.claim {
            None => false,
            // What the step before has had the module send can be looked at more closely.
            Some(claim) if claim.is_demand && floor == Some(seq) => true,
            Some(_) => return Ok(None),
        };
        let mut broken: Option<(usize, Mismatch)> = None;
        for (at, Open { expectation, patience, is_over }) in open.iter_mut().enumerate() {
            if seq < expectation.since {
                continue;
            }
            if is_demanded && !expectation.may_take_demanded() {
                continue;
            }
            let is_early = floor.is_some_and(|floor| seq <= floor) && !is_demanded;
            // An expectation off the lanes looks for a message in the right order; one on a lane has no choice.
            if is_early && matches!(expectation.what, What::Message { .. }) {
                continue;
            }
            match expectation.offer(seen, &mut self.captures) {
                Offer::Foreign => {}
                Offer::Broken(mismatch) => broken = broken.or(Some((at, mismatch))),
                Offer::Step => {
                    self.observer.messages[index].claim = Some(expectation.claim());
                    (*patience, *is_over) = (Patience::new(&self.lag), false);
                    return Ok(None);
                }
                Offer::Met => {
                    let met = open.remove(at).expectation;
                    self.observer.messages[index].claim = Some(met.claim());
                    // Nobody says how calls to EVSEs stand to messages of the API.
                    if matches!(met.what, What::Did { .. }) {
                        return Ok(None);
                    }
                    let is_lawful = |floor| self.may_be_either_way(floor, index) || self.is_made_to_come(floor, met.by);
                    if is_early && !floor.is_some_and(is_lawful) {
                        let seen = self.observer.messages[index].clone();
                        return Err(findings::out_of_order(self, &met, &seen).into());
                    }
                    return Ok(Some(seq));
                }
            }
        }
        match broken {
            Some((at, mismatch)) => {
                let seen = self.observer.messages[index].clone();
                let Open { expectation, patience, .. } = &open[at];
                Err(findings::mismatch(self, expectation, &seen, &mismatch, patience).into())
            }
            None => Ok(None),
        }
    }

    /// The expected message did not come in time. Waits a little more, to tell late from never, if it can still come: not
    /// from a module without a connection, nor if it went elsewhere.
    async fn missing(
        &mut self,
        expectation: &Expectation,
        patience: &Patience,
        from: usize,
        floor: Option<u64>,
    ) -> Stop {
        let waited = patience.waited();
        let is_hopeless = findings::astray(self, expectation).is_some()
            || expectation.by == Party::Module && !self.observer.connections.is_connected();
        let late = if is_hopeless { Duration::ZERO } else { LATE.min(expectation.within * 2) };
        let deadline = Instant::now() + late;
        let mut scratch = self.captures.clone();
        let mut next = from;
        let mut again = expectation.clone();
        let mut is_over = false;
        loop {
            while let Some(seen) = self.observer.messages.get(next) {
                if seen.claim.is_none()
                    && seen.seq >= again.since
                    && matches!(again.offer(seen, &mut scratch), Offer::Met | Offer::Step)
                {
                    let seen = seen.clone();
                    return findings::late(self, expectation, &seen, patience.waited()).into();
                }
                next += 1;
            }
            if is_over {
                break;
            }
            match self.wait(deadline).await {
                Ok(wake) => is_over = wake != Wake::Record,
                Err(stop) => return stop,
            }
        }
        if matches!(expectation.what, What::Did { deed: Deed::EvseCall, .. }) && !self.shows_calls() {
            return findings::shows_no_calls(self, &expectation.pointer).into();
        }
        if let What::Did { deed: Deed::Reserve | Deed::CancelReservation, .. } = expectation.what
            && expectation.by == Party::Module
            && self.settings.module != ModuleSource::Builtin
        {
            return findings::does_not_answer(self, expectation).into();
        }
        findings::missing(self, &again, waited, floor).into()
    }

    /// Whether calls to EVSEs can be seen: khumbu's own EVerest tells of them, of others a binding or one of them shows.
    pub fn shows_calls(&self) -> bool {
        matches!(self.played, Played::Everest { .. })
            || self.settings.module == ModuleSource::Builtin
            || self.scene.bindings().iter().any(|binding| matches!(binding.is, Meaning::EvseCall(_)))
            || self.observer.messages.iter().any(|seen| seen.kind == Kind::Did(Deed::EvseCall))
    }

    /// Demands silence.
    ///
    /// # Errors
    /// When a forbidden message came.
    pub async fn expect_none(&mut self, none: &ExpectNone, at: &str, memory: &Memory) -> Result<(), Stop> {
        let pointer = format!("{at}/expect_none");
        let filter = none.topic.as_ref().map(|topic| self.filled(topic));
        let payload = none.payload.as_ref().map(Pattern::compile).transpose();
        let payload = payload.map_err(|error| broken(&error.message))?;
        let mut scratch = self.captures.clone();
        let (side, under_test) = (self.scenario.model.under_test, self.scene.topics.api);
        let is_meant = |observer: &Observer, seen: &Sighting, kind| {
            let api = api_of(kind, none.api, under_test);
            // Replies pass in both directions where khumbu is a token validator, too.
            let is_wanted = kind != MessageKind::Reply
                || seen.from == sender(kind, api, side, under_test) && observer.is_asked_for(seen);
            is_of_kind(seen, kind, api) && is_wanted
        };
        let evse = none.evse.map(|evse| ("evse", json!(evse)));
        let called = none.call.map(|call| evse.into_iter().chain([("call", json!(call))]).collect::<Vec<_>>());
        let mut is_it = |observer: &Observer, seen: &Sighting| {
            seen.claim.is_none()
                && seen.seq >= memory.mark
                && match &called {
                    Some(which) => told(seen, Deed::EvseCall, which).is_some_and(|told| {
                        payload.as_ref().is_none_or(|it| it.matches(&told["arguments"], &mut scratch).is_ok())
                    }),
                    None => {
                        seen.kind != Kind::Control && (none.message.is_some() || !matches!(seen.kind, Kind::Did(_)))
                    }
                }
                && none.message.is_none_or(|kind| is_meant(observer, seen, kind))
                && filter.as_deref().is_none_or(|filter| topic::matches(filter, &seen.publish.topic))
                && (none.call.is_some()
                    || payload.as_ref().is_none_or(|pattern| matches(pattern, seen, &mut scratch).is_ok()))
        };
        let deadline = Instant::now() + none.r#for.0;
        let mut next = 0;
        let mut is_over = false;
        loop {
            while let Some(seen) = self.observer.messages.get(next) {
                if is_it(&self.observer, seen) {
                    let seen = seen.clone();
                    return Err(findings::unexpected(self, &pointer, &seen).into());
                }
                next += 1;
            }
            if is_over && none.call.is_some() && !self.shows_calls() {
                return Err(findings::shows_no_calls(self, &pointer).into());
            }
            if is_over {
                return Ok(());
            }
            match self.wait(deadline).await? {
                Wake::Deadline => {
                    self.observer.drain();
                    is_over = true;
                }
                Wake::Record => {}
                Wake::Ended => {
                    return Err(findings::ended_while(self, &pointer, "while silence was demanded of it").into());
                }
            }
        }
    }
}

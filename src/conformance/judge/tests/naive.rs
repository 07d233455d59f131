//! What the judge is held against: the same rules, without a cursor and without lanes. Every step begins with the first
//! message, and every claim is looked up in a list.

use std::time::Duration;

use serde_json::json;

use super::super::expectation::{Mismatch, Offer, is_of_kind, matches, sender, told};
use super::super::{
    After, Case, Deadline, Decision, Demand, Expectation, Fault, Input, Judge, Moment, NotMet, Past, Prompt, View,
    What, Why,
};
use super::court::Decides;
use crate::conformance::sighting::{Kind, Party, Request, Sighting};
use crate::diagnostic::Diagnostic;
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::Deed;
use crate::protocol::side::Side;
use crate::protocol::topic;
use crate::scenario::model::{ExpectNone, MessageKind};
use crate::scenario::pattern::{Captures, Pattern};
use crate::scenario::step::Step;
use crate::scenario::{Pointer, api_of, channel_of};

/// Judges by looking at everything again each time.
pub struct Naive<'s> {
    case: Case<'s>,
    /// Reads steps, and remembers what they leave behind; it judges nothing.
    reader: Judge<'s>,
    captures: Captures,
    claims: Vec<(u64, String, bool)>,
    armed: Option<Armed>,
}

#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
enum Armed {
    Steps {
        open: Vec<Open>,
        floor: Option<u64>,
        offered: Vec<u64>,
        demand: Option<(Prompt, After)>,
    },
    Late {
        open: Open,
        until: Duration,
        waited: Duration,
        floor: Option<u64>,
        from: u64,
        had_ended: bool,
        scratch: Captures,
    },
    Silence {
        none: ExpectNone,
        at: Pointer,
        mark: u64,
        until: Duration,
        had_ended: bool,
        scratch: Captures,
    },
}

#[derive(Clone)]
struct Open {
    expectation: Expectation,
    began: Duration,
    held_up: Duration,
    prolonged: Duration,
    is_over: bool,
}

impl Open {
    fn deadline(&self) -> Duration {
        self.began + self.expectation.within + self.prolonged
    }
}

impl<'s> Naive<'s> {
    pub fn new(case: Case<'s>) -> Self {
        let reader = Judge::new(case, Captures::new());
        Self { case, reader, captures: Captures::new(), claims: Vec::new(), armed: None }
    }

    fn claim(&self, seq: u64) -> Option<&(u64, String, bool)> {
        self.claims.iter().rev().find(|(claimed, ..)| *claimed == seq)
    }

    fn follows(&self, expectation: &Expectation, requests: &[Request]) -> bool {
        let is_other_api = self.case.side() == Side::Client && self.case.topics.api != ApiType::AUTH_CONSUMER;
        expectation.by == Party::Harness
            && match &expectation.what {
                What::Status { .. } | What::Did { .. } => is_other_api,
                What::Message { kind, .. } => {
                    *kind == Some(MessageKind::on(Channel::TOKEN_VALIDATION_STATUS)) && is_other_api
                }
                What::Reply { topic, .. } => {
                    self.case.side() == Side::Client
                        && requests.iter().filter(|request| request.reply_topic == *topic).count() > 1
                }
                What::Request { .. } => false,
            }
    }

    fn is_lawful(&self, floor: u64, seen: &Sighting, moment: Moment, view: View<'_>) -> bool {
        let tolerance = Duration::from_millis(300);
        let is_reply = |seen: &Sighting| matches!(seen.kind, Kind::Reply(_));
        let is_of_thread =
            |seen: &Sighting| is_reply(seen) || seen.kind == Kind::Channel(Channel::TOKEN_VALIDATION_STATUS);
        let other = view.messages.iter().find(|other| other.seq == floor);
        let either_way = other.is_some_and(|other| {
            self.case.side() == Side::Everest
                && seen.from == Party::Module
                && is_of_thread(seen)
                && is_of_thread(other)
                && !(is_reply(seen) && is_reply(other))
                && other.at.abs_diff(seen.at) <= tolerance + moment.held_up.min(tolerance)
        });
        either_way || self.claim(floor).is_some_and(|(.., is_demand)| *is_demand)
    }

    fn steps(
        &mut self,
        mut open: Vec<Open>,
        floor: Option<u64>,
        mut offered: Vec<u64>,
        demand: Option<(Prompt, After)>,
        (moment, input, view): (Moment, Input, View<'_>),
    ) -> Result<Decision, NotMet> {
        let not_met = |open: Open, fault| NotMet {
            pointer: open.expectation.pointer.clone(),
            why: Why::Expected(Box::new(open.expectation), fault),
        };
        if let Some((Prompt::Never, _)) = demand {
            let fault = if moment.has_ended { Fault::Ended } else { Fault::NotDrivable };
            return Err(not_met(open.remove(0), fault));
        }
        if input == Input::Over
            && let Some(first) = open.iter_mut().min_by_key(|open| open.deadline())
        {
            first.prolonged = moment.held_up - first.held_up;
            first.is_over = moment.now >= first.deadline();
        }
        'messages: for seen in view.messages {
            if open.is_empty() || offered.contains(&seen.seq) {
                continue;
            }
            offered.push(seen.seq);
            let seq = seen.seq;
            let is_demanded = match self.claim(seq) {
                None => false,
                Some((.., true)) if demand.is_none() && floor == Some(seq) => true,
                Some(_) => continue,
            };
            let is_early = floor.is_some_and(|floor| seq <= floor) && !is_demanded;
            let mut broken: Option<(usize, Mismatch)> = None;
            for at in 0..open.len() {
                let expectation = &mut open[at].expectation;
                if seq < expectation.since {
                    continue;
                }
                if is_early && matches!(expectation.what, What::Message { .. }) {
                    continue;
                }
                match expectation.offer(seen, &mut self.captures) {
                    Offer::Foreign => {}
                    Offer::Broken(mismatch) => broken = broken.or(Some((at, mismatch))),
                    Offer::Step => {
                        let pointer = expectation.pointer.clone();
                        self.claims.push((seq, pointer.to_string(), demand.is_some()));
                        open[at].began = moment.now;
                        open[at].held_up = moment.held_up;
                        open[at].prolonged = Duration::ZERO;
                        open[at].is_over = false;
                        continue 'messages;
                    }
                    Offer::Met => {
                        let met = open.remove(at);
                        self.claims.push((seq, met.expectation.pointer.to_string(), demand.is_some()));
                        if let Some((_, after)) = demand {
                            match after {
                                After::InOrder => self.reader.past.floor = Some(seq),
                                After::Stimulus => self.reader.past.mark = seq,
                                After::Nothing => {}
                            }
                            return Ok(Decision::Met(Some(seq)));
                        }
                        if matches!(met.expectation.what, What::Did { .. }) {
                            continue 'messages;
                        }
                        if is_early && !floor.is_some_and(|floor| self.is_lawful(floor, seen, moment, view)) {
                            return Err(not_met(met, Fault::OutOfOrder(seq)));
                        }
                        self.reader.past.floor = self.reader.past.floor.max(Some(seq));
                        continue 'messages;
                    }
                }
            }
            if let Some((at, mismatch)) = broken {
                let open = open.swap_remove(at);
                let waited = moment.now - open.began;
                return Err(not_met(open, Fault::Mismatch(seq, Box::new(mismatch), waited)));
            }
        }
        let Some(first) = open.iter().min_by_key(|open| open.deadline()).cloned() else {
            return Ok(Decision::Met(None));
        };
        let is_modules = demand.is_some()
            || first.expectation.by == Party::Module
            || self.follows(&first.expectation, view.requests);
        if moment.has_ended && is_modules {
            return Err(not_met(first, Fault::Ended));
        }
        if !first.is_over {
            let deadline = Deadline { at: first.deadline(), is_prolonged: true };
            self.armed = Some(Armed::Steps { open, floor, offered, demand });
            return Ok(Decision::Waiting(deadline));
        }
        if let Some((prompt, _)) = demand {
            match prompt {
                Prompt::Told => {}
                Prompt::Awaited(_) => {
                    let is_such = |kind: &Kind| match (&first.expectation.what, kind) {
                        (What::Message { kind: Some(wanted), api, .. }, Kind::Channel(channel)) => {
                            channel_of(*wanted, *api) == Some(*channel)
                        }
                        (What::Request { kind: wanted, .. }, kind) => wanted == kind,
                        _ => false,
                    };
                    let mut open = view.requests.iter().rev().filter(|request| {
                        let mut filters = view.subscriptions.values().flatten();
                        request.from == Party::Module
                            && !request.is_answered
                            && request.seq < self.reader.past.mark
                            && filters.any(|filter| topic::matches(filter, &request.reply_topic))
                    });
                    let open = open.find(|request| is_such(&request.kind));
                    let fault = open.map_or(Fault::NotDone, |open| Fault::NotAskedAgain(open.seq));
                    return Err(not_met(first, fault));
                }
                Prompt::ByItself(_) | Prompt::Never => return Err(not_met(first, Fault::NotDrivable)),
            }
            let waits = view.requests.iter().rev().find(|request| {
                let mut filters = view.subscriptions.values().flatten();
                request.from == Party::Module
                    && !request.is_answered
                    && filters.any(|filter| topic::matches(filter, &request.reply_topic))
            });
            if let (What::Request { .. }, Some(waits)) = (&first.expectation.what, waits) {
                return Err(not_met(first, Fault::WaitsForReply(waits.seq)));
            }
        }
        let is_astray = first.expectation.by == Party::Module
            && view.messages.iter().any(|seen| {
                seen.seq >= first.expectation.since
                    && self.claim(seen.seq).is_none()
                    && first.expectation.is_met_on_another_topic(seen)
            });
        let is_away = first.expectation.by == Party::Module && view.subscriptions.is_empty();
        let late = match is_astray || is_away {
            true => Duration::ZERO,
            false => Duration::from_secs(2).min(first.expectation.within * 2),
        };
        let until = moment.now + late;
        self.armed = Some(Armed::Late {
            waited: moment.now - first.began,
            open: first,
            until,
            floor,
            from: view.messages.last().map_or(0, |seen| seen.seq + 1),
            had_ended: moment.has_ended,
            scratch: self.captures.clone(),
        });
        Ok(Decision::Waiting(Deadline { at: until, is_prolonged: false }))
    }

    fn is_forbidden(
        &self,
        seen: &Sighting,
        none: &ExpectNone,
        mark: u64,
        scratch: &mut Captures,
        requests: &[Request],
    ) -> bool {
        let payload = none.payload.as_ref().map(|payload| Pattern::compile(payload).unwrap());
        let mut fits = |seen: &Sighting| payload.as_ref().is_none_or(|it| matches(it, seen, scratch).is_ok());
        if self.claim(seen.seq).is_some() || seen.seq < mark {
            return false;
        }
        if let Some(called) = none.call {
            let mut which = vec![("call", json!(called))];
            which.extend(none.evse.map(|evse| ("evse", json!(evse))));
            let Some(told) = told(seen, Deed::EvseCall, &which) else { return false };
            return payload.as_ref().is_none_or(|it| it.matches(&told["arguments"], scratch).is_ok());
        }
        if let Some(filter) = &none.topic {
            let filter = self.case.filled(filter);
            let is_one = !matches!(seen.kind, Kind::Control | Kind::Did(_));
            return is_one && topic::matches(&filter, &seen.publish.topic) && fits(seen);
        }
        let Some(kind) = none.message else { return false };
        let api = api_of(kind, none.api, self.case.topics.api);
        let is_wanted = kind != MessageKind::Reply
            || seen.from == sender(kind, api, self.case.side(), self.case.topics.api)
                && match seen.kind {
                    Kind::Reply(index) | Kind::Answer(index) => {
                        requests[index].from == Party::Harness || self.claim(requests[index].seq).is_some()
                    }
                    _ => true,
                };
        let is_to_it = none.to.as_deref().is_none_or(|name| {
            let replies = self.reader.past.replies(Some(name));
            replies.is_some_and(|it| *it.topic == *seen.publish.topic && it.since < seen.seq)
        });
        is_of_kind(seen, kind, api) && is_wanted && is_to_it && fits(seen)
    }

    fn shows_calls(&self, view: View<'_>) -> bool {
        let is_bound = |topic: &str| self.case.shown_on().any(|binding| binding.evse_of(topic).is_some());
        let mut messages = view.messages.iter();
        self.case.shows_calls
            || messages.any(|seen| match seen.from {
                Party::Harness => seen.kind == Kind::Did(Deed::EvseCall),
                _ => seen.kind == Kind::Did(Deed::EvseCall) || is_bound(&seen.publish.topic),
            })
    }
}

impl Decides for Naive<'_> {
    fn expect(&mut self, steps: &[(Pointer, &Step)], moment: Moment, view: View<'_>) -> Result<(), Box<Diagnostic>> {
        let (began, held_up) = (moment.now, moment.held_up);
        let mut open = Vec::new();
        for (at, step) in steps {
            let expectation = self.reader.expectation(step, at, view)?;
            open.push(Open { expectation, began, held_up, prolonged: Duration::ZERO, is_over: false });
        }
        self.armed = Some(Armed::Steps { open, floor: self.reader.past.floor, offered: Vec::new(), demand: None });
        Ok(())
    }

    fn demand(&mut self, demand: Demand, moment: Moment, _: View<'_>) {
        let Demand { pointer, within, by, what, prompt, after } = demand;
        let within = if let Prompt::ByItself(within) | Prompt::Awaited(within) = prompt { within } else { within };
        let expectation = Expectation { pointer, within, since: self.reader.past.mark, by, what };
        let (began, held_up) = (moment.now, moment.held_up);
        let open = vec![Open { expectation, began, held_up, prolonged: Duration::ZERO, is_over: false }];
        self.armed = Some(Armed::Steps { open, floor: None, offered: Vec::new(), demand: Some((prompt, after)) });
    }

    fn forbid(&mut self, none: &ExpectNone, at: &Pointer, moment: Moment, _: View<'_>) -> Result<(), Box<Diagnostic>> {
        self.armed = Some(Armed::Silence {
            none: none.clone(),
            at: at.clone(),
            mark: self.reader.past.mark,
            until: moment.now + none.r#for.0,
            had_ended: moment.has_ended,
            scratch: self.captures.clone(),
        });
        Ok(())
    }

    fn apply(&mut self, moment: Moment, input: Input, view: View<'_>) -> Decision {
        let decided = match self.armed.take() {
            None => Ok(Decision::Met(None)),
            Some(Armed::Steps { open, floor, offered, demand }) => {
                self.steps(open, floor, offered, demand, (moment, input, view))
            }
            Some(Armed::Late { mut open, until, waited, floor, from, had_ended, mut scratch }) => {
                let mut late = None;
                for seen in view.messages.iter().filter(|seen| seen.seq >= from && self.claim(seen.seq).is_none()) {
                    let is_reply = matches!(open.expectation.what, What::Reply { .. });
                    let offer = open.expectation.offer(seen, &mut scratch);
                    if matches!(offer, Offer::Met | Offer::Step) || is_reply && matches!(offer, Offer::Broken(_)) {
                        late = Some(Fault::Late(seen.seq, moment.now - open.began));
                        break;
                    }
                }
                let expectation = open.expectation.clone();
                let is_over = input == Input::Over || moment.has_ended && !had_ended;
                let fault = match (late, &expectation.what) {
                    (Some(late), _) => late,
                    (None, _) if !is_over => {
                        let from = view.messages.last().map_or(from, |seen| seen.seq + 1);
                        self.armed = Some(Armed::Late { open, until, waited, floor, from, had_ended, scratch });
                        return Decision::Waiting(Deadline { at: until, is_prolonged: false });
                    }
                    (None, What::Did { deed: Deed::EvseCall, .. }) if !self.shows_calls(view) => {
                        let not_met = NotMet { pointer: expectation.pointer, why: Why::CallsUnseen };
                        return Decision::NotMet(Box::new(not_met));
                    }
                    (None, What::Did { deed, .. })
                        if *deed != Deed::EvseCall && expectation.by == Party::Module && !self.case.is_builtin =>
                    {
                        Fault::NoAnswer
                    }
                    (None, _) => Fault::Missing { waited, floor },
                };
                Err(NotMet { pointer: expectation.pointer.clone(), why: Why::Expected(Box::new(expectation), fault) })
            }
            Some(Armed::Silence { none, at, mark, until, had_ended, mut scratch }) => {
                let pointer = at.key("expect_none");
                let mut messages = view.messages.iter();
                let found = messages.find(|seen| self.is_forbidden(seen, &none, mark, &mut scratch, view.requests));
                if moment.has_ended && !had_ended {
                    Err(NotMet { pointer, why: Why::EndedInSilence })
                } else if let Some(seen) = found {
                    Err(NotMet { pointer, why: Why::Unexpected(seen.seq) })
                } else if input == Input::Seen {
                    self.armed = Some(Armed::Silence { none, at, mark, until, had_ended, scratch });
                    Ok(Decision::Waiting(Deadline { at: until, is_prolonged: false }))
                } else if none.call.is_some() && !self.shows_calls(view) {
                    Err(NotMet { pointer, why: Why::CallsUnseen })
                } else {
                    Ok(Decision::Met(None))
                }
            }
        };
        decided.unwrap_or_else(|not_met| Decision::NotMet(Box::new(not_met)))
    }

    fn past(&mut self) -> &mut Past {
        &mut self.reader.past
    }

    fn captures(&self) -> &Captures {
        &self.captures
    }

    fn claimed_by(&self, seq: u64) -> Option<String> {
        self.claim(seq).map(|(_, pointer, _)| pointer.clone())
    }

    fn is_demanded(&self, seq: u64) -> bool {
        self.claim(seq).is_some_and(|(.., is_demand)| *is_demand)
    }

    fn wanted_reply_topic(&self, view: View<'_>) -> Option<String> {
        let (mut last, mut meant) = (None, None);
        for seen in view.messages.iter().filter(|seen| seen.from == Party::Module) {
            let topic = view.request(seen.seq).map(|request| request.reply_topic.clone());
            last = topic.clone().or(last);
            let is_question = topic.is_some() && seen.kind == Kind::Channel(Channel::VALIDATE_TOKEN);
            if is_question || seen.kind.is_request() && self.claim(seen.seq).is_some() {
                meant = Some(topic.unwrap_or_default());
            }
        }
        meant.or(last).filter(|topic| !topic.is_empty())
    }
}

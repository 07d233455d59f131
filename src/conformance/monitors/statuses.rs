//! EVerest's side under test: the statuses of each token, one after the other.
//!
//! Source: EVerest `AuthHandler.cpp`. A token goes through attempts (`Processing`, perhaps `Accepted`, an end), and each
//! EVSE that it was granted has a tail of its own (`Withdrawn`, `TimedOut`, a validator's update as `Accepted`), which
//! may come in the middle of a later attempt. One status can therefore be read in several ways; all readings are
//! followed, and only a status that fits none of them is a fault.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::Value;

use crate::conformance::sighting::Repeat;
use crate::diagnostic::{Diagnostic, Severity, printable};
use crate::protocol::deviations::{Deviation, Deviations};
use crate::protocol::types::TokenValidationStatus as Status;

use super::wording::{Worded, time};

/// More readings than any real course of events has; a token with more is not judged any longer.
const READINGS: usize = 64;
/// How many earlier statuses are shown.
const SHOWN: usize = 5;

/// Every status.
const STATUSES: [Status; 8] = [
    Status::Processing,
    Status::Accepted,
    Status::Rejected,
    Status::TimedOut,
    Status::UsedToStart,
    Status::UsedToStop,
    Status::Withdrawn,
    Status::UsedToReauthorize,
];

/// Where the current attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Attempt {
    Closed,
    Processing,
    Accepted,
}

/// What became of a token at an EVSE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tail {
    /// `UsedToStart` was the last word.
    Granted,
    /// `Withdrawn` was; it may be repeated or time out until the EVSE confirms.
    Withdrawn,
    /// The token stopped or reauthorized the transaction; only updates can follow.
    Used,
}

/// One way to read the statuses so far.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Reading {
    attempt: Attempt,
    tails: BTreeMap<i64, Tail>,
    /// Whether there may be tails that were not seen to begin.
    unseen: bool,
    /// Whether it may have been granted an EVSE without a word, see [`Deviation::NoUsedToStart`].
    untold: bool,
    /// Whether a validator may have sent an update, which says `Accepted` of what was granted.
    updated: bool,
}

impl Reading {
    fn fresh(unseen: bool, updated: bool) -> Self {
        Self { attempt: Attempt::Closed, tails: BTreeMap::new(), unseen, untold: false, updated }
    }

    fn with_attempt(&self, attempt: Attempt) -> Self {
        Self { attempt, ..self.clone() }
    }

    /// Every reading that this status leads to; none if it does not fit.
    fn next(&self, status: Status, evses: &[i64], in_force: Deviations) -> Vec<Reading> {
        let is_silent = status == Status::Withdrawn && in_force.is_on(Deviation::NoWithdrawnForGranted);
        let is_no_update = status == Status::Accepted && !self.updated && !self.untold;
        let is_no_tail = (is_silent || is_no_update) && !self.unseen;
        let mut next = if is_no_tail { Vec::new() } else { self.next_in_tail(status, evses) };
        match (self.attempt, status) {
            (Attempt::Closed, Status::Processing) => next.push(self.with_attempt(Attempt::Processing)),
            (Attempt::Processing | Attempt::Accepted, Status::Accepted) => {
                next.push(self.with_attempt(Attempt::Accepted));
                if in_force.is_on(Deviation::NoUsedToStart) {
                    next.push(Self { untold: true, ..self.with_attempt(Attempt::Closed) });
                }
                if in_force.is_on(Deviation::StopSaysAccepted) {
                    next.push(self.with_attempt(Attempt::Closed));
                }
            }
            (Attempt::Processing | Attempt::Accepted, Status::Rejected)
            | (Attempt::Accepted, Status::TimedOut | Status::Withdrawn) => {
                next.push(self.with_attempt(Attempt::Closed));
            }
            (Attempt::Accepted, Status::UsedToStart) => next.push(self.ended_at(evses, Tail::Granted)),
            (Attempt::Processing, Status::UsedToStop | Status::UsedToReauthorize) => {
                next.push(self.ended_at(evses, Tail::Used));
            }
            _ => {}
        }
        next
    }

    fn ended_at(&self, evses: &[i64], tail: Tail) -> Self {
        let mut next = self.with_attempt(Attempt::Closed);
        next.tails.extend(evses.iter().map(|evse| (*evse, tail)));
        next.unseen |= evses.is_empty() && tail == Tail::Granted;
        next
    }

    /// The readings in which a status is about EVSEs that the token was granted before.
    fn next_in_tail(&self, status: Status, evses: &[i64]) -> Vec<Reading> {
        if !matches!(status, Status::Accepted | Status::TimedOut | Status::Withdrawn) {
            return Vec::new();
        }
        let mut next = Vec::new();
        if self.unseen || self.untold {
            next.push(self.clone());
        }
        if evses.is_empty() {
            // A stand-in may leave the EVSE out: any of them may be meant.
            next.extend(self.tails.keys().filter_map(|evse| self.continued(status, &[*evse])));
        } else {
            next.extend(self.continued(status, evses));
        }
        next
    }

    fn continued(&self, status: Status, evses: &[i64]) -> Option<Self> {
        let mut next = self.clone();
        for evse in evses {
            match (status, self.tails.get(evse)?) {
                (Status::Accepted, Tail::Granted | Tail::Used) => {}
                (Status::TimedOut, Tail::Granted | Tail::Withdrawn) => {
                    next.tails.remove(evse);
                }
                (Status::Withdrawn, Tail::Granted | Tail::Withdrawn) => {
                    next.tails.insert(*evse, Tail::Withdrawn);
                }
                _ => return None,
            }
        }
        Some(next)
    }

    /// What can be said after a status that fitted nothing, or came out of the blue.
    fn after(status: Status, evses: &[i64], in_force: Deviations, updated: bool) -> BTreeSet<Self> {
        let fresh = Self::fresh(true, updated);
        if status == Status::Accepted {
            // An attempt that goes on, unless the release says no more than this.
            let ended = in_force.is_on(Deviation::NoUsedToStart).then(|| fresh.clone());
            return ended.into_iter().chain([fresh.with_attempt(Attempt::Accepted)]).collect();
        }
        BTreeSet::from([match status {
            Status::Processing => fresh.with_attempt(Attempt::Processing),
            Status::UsedToStart => fresh.ended_at(evses, Tail::Granted),
            Status::UsedToStop | Status::UsedToReauthorize => fresh.ended_at(evses, Tail::Used),
            Status::Accepted | Status::Rejected | Status::TimedOut | Status::Withdrawn => fresh,
        }])
    }
}

/// The statuses of one token value, byte for byte.
#[derive(Debug)]
struct History {
    readings: BTreeSet<Reading>,
    /// Messages may have been lost: the next status may be any.
    gap: bool,
    /// Not judged any longer: EVerest tells values apart, not types, and so two tokens share this history.
    mixed: bool,
    token_type: String,
    shown: VecDeque<(Status, Vec<i64>, Duration)>,
}

/// The statuses of all tokens.
#[derive(Debug)]
pub(super) struct Statuses {
    tokens: BTreeMap<String, History>,
    /// Whether statuses may have been missed so far.
    gap: bool,
    in_force: Deviations,
    /// Whether a validator may have sent an update.
    updated: bool,
    /// Whether something was said of `messages` that are there, or are not.
    remarked: bool,
}

impl Statuses {
    pub(super) fn new(from_start: bool, in_force: Deviations) -> Self {
        Self { tokens: BTreeMap::new(), gap: !from_start, in_force, updated: !from_start, remarked: false }
    }

    /// A validator sends an update of a verdict, by whatever way.
    pub(super) fn updated(&mut self) {
        self.updated = true;
        for history in self.tokens.values_mut() {
            let readings = std::mem::take(&mut history.readings);
            history.readings = readings.into_iter().map(|reading| Reading { updated: true, ..reading }).collect();
        }
    }

    /// EVerest has started again, or may have: tokens begin anew, or go on while the last messages arrive.
    pub(super) fn restarted(&mut self) {
        for history in self.tokens.values_mut() {
            let unseen = history.readings.iter().any(|reading| reading.unseen);
            history.readings.insert(Reading::fresh(unseen, self.updated));
        }
    }

    /// Messages of EVerest may have been lost.
    pub(super) fn lost(&mut self) {
        self.gap = true;
        for history in self.tokens.values_mut() {
            history.gap = true;
        }
    }

    /// Judges a status message.
    pub(super) fn observe(&mut self, seen: &Worded<'_>) -> Vec<Diagnostic> {
        let Ok(json) = seen.as_sent() else { return Vec::new() };
        let Some(value) = json.pointer("/token/id_token/value").and_then(Value::as_str) else { return Vec::new() };
        let Ok(status) = serde_json::from_value::<Status>(json["status"].clone()) else {
            // A status that this release does not have: the schema has spoken, and what follows cannot be judged.
            if let Some(history) = self.tokens.get_mut(value) {
                history.gap = true;
            }
            return Vec::new();
        };
        let names_evses = !self.in_force.is_on(Deviation::ConnectorsAsProvided);
        let mut found = Vec::from_iter(named_evses(seen, json, status).filter(|_| names_evses));
        found.extend(match self.in_force.is_on(Deviation::ValidationResults) {
            true => mirrored_texts(seen, json, status),
            false => shown_texts(seen, json, status),
        });
        found.extend(self.unusual_messages(seen, json));
        if seen.repeat != Repeat::Yes {
            found.extend(self.follow(seen, json, value, status));
        }
        found
    }

    /// Whether there are `messages` and `validation_results` differs between releases; the specification allows all.
    fn unusual_messages(&mut self, seen: &Worded<'_>, json: &Value) -> Option<Diagnostic> {
        let is_on = |deviation| self.in_force.is_on(deviation);
        let differs = match json.get("messages") {
            Some(_) if is_on(Deviation::NoMessages) => Some("with `messages`, which EVerest {} never has"),
            None if is_on(Deviation::MessagesAlwaysPresent) && !is_on(Deviation::NoMessages) => {
                Some("without `messages`, which EVerest {} always has")
            }
            _ if json.get("validation_results").is_none() && is_on(Deviation::ValidationResults) => {
                Some("without `validation_results`, which EVerest {} always has")
            }
            _ => None,
        };
        let differs = differs.filter(|_| !std::mem::replace(&mut self.remarked, true))?;
        let headline = format!("module sent a status {}", differs.replace("{}", self.in_force.release().name()));
        Some(seen.finding(Severity::Warning, "monitor/messages", headline).breaking("TV-14"))
    }

    fn follow(&mut self, seen: &Worded<'_>, json: &Value, value: &str, status: Status) -> Option<Diagnostic> {
        let token_type = json.pointer("/token/id_token/type").and_then(Value::as_str).unwrap_or_default();
        let evses = connectors(json).unwrap_or_default();
        let history = self.tokens.entry(value.to_owned()).or_insert_with(|| History {
            readings: BTreeSet::from([Reading::fresh(self.gap, self.updated)]),
            gap: self.gap,
            mixed: false,
            token_type: token_type.to_owned(),
            shown: VecDeque::new(),
        });
        history.mixed |= history.token_type != token_type;
        let in_force = self.in_force;
        let mut next: BTreeSet<Reading> =
            history.readings.iter().flat_map(|reading| reading.next(status, &evses, in_force)).collect();
        let excused = std::mem::take(&mut history.gap) || seen.repeat == Repeat::Maybe || history.mixed;
        let finding = if next.is_empty() && !excused {
            Some(history.illegal(seen, value, status, &evses, in_force))
        } else {
            None
        };
        if seen.repeat == Repeat::Maybe {
            next.extend(history.readings.iter().cloned());
        }
        let after = || Reading::after(status, &evses, in_force, self.updated);
        if next.is_empty() {
            next = after();
        }
        history.mixed |= next.len() > READINGS;
        history.readings = if history.mixed { after() } else { next };
        if history.shown.len() == SHOWN {
            history.shown.pop_front();
        }
        history.shown.push_back((status, evses, seen.at));
        finding
    }
}

impl History {
    fn illegal(
        &self,
        seen: &Worded<'_>,
        value: &str,
        status: Status,
        evses: &[i64],
        in_force: Deviations,
    ) -> Diagnostic {
        let token = format!("token `{}`", printable(value));
        let (headline, requirement) = match self.shown.back() {
            None => (format!("module sent `{status:?}` as the first status of {token}"), "TV-2"),
            Some((last, last_evses, _)) => {
                let (this, last) = (at_evses(status, evses), at_evses(*last, last_evses));
                (format!("module sent {this} for {token} after {last}"), "TV-4")
            }
        };
        let allowed: Vec<String> = STATUSES
            .into_iter()
            .filter(|status| self.readings.iter().any(|reading| !reading.next(*status, evses, in_force).is_empty()))
            .map(|status| format!("`{status:?}`"))
            .collect();
        let mut finding = seen.fail("monitor/illegal-transition", headline).breaking(requirement);
        if !self.shown.is_empty() {
            let before =
                self.shown.iter().map(|(status, evses, at)| format!("{} {}", at_evses(*status, evses), time(*at)));
            finding = finding.with_evidence(format!("before it: {}", before.collect::<Vec<_>>().join(", ")));
        }
        finding = finding.with_evidence(format!("possible here: {}", allowed.join(", ")));
        let fits_otherwise = |reading: &Reading| {
            !reading.next(status, evses, in_force.with(Deviation::NoWithdrawnForGranted, false)).is_empty()
        };
        if self.readings.iter().any(fits_otherwise) {
            let release = in_force.release();
            finding =
                finding.with_evidence(format!("EVerest {release} says nothing of a granted token that is withdrawn"));
        }
        finding
    }
}

/// A status and the EVSEs it names.
fn at_evses(status: Status, evses: &[i64]) -> String {
    if evses.is_empty() { format!("`{status:?}`") } else { format!("`{status:?}` {evses:?}") }
}

/// `token.connectors`, which holds EVSE ids.
pub(super) fn connectors(json: &Value) -> Option<Vec<i64>> {
    Some(json.pointer("/token/connectors")?.as_array()?.iter().filter_map(Value::as_i64).collect())
}

/// Statuses about the use of an EVSE say which.
fn named_evses(seen: &Worded<'_>, json: &Value, status: Status) -> Option<Diagnostic> {
    let evses = connectors(json);
    let count = evses.as_ref().map(Vec::len);
    let (wanted, requirement) = match status {
        Status::UsedToStart if count != Some(1) => ("exactly the selected EVSE", "TV-6"),
        // A master pass token that stopped nothing has an empty list.
        Status::UsedToStop if count.is_none() => ("the EVSEs of the transactions", "TV-7"),
        Status::UsedToReauthorize if count.unwrap_or(0) == 0 => ("the EVSE of the transaction", "TV-7"),
        _ => return None,
    };
    let headline = match evses {
        None => format!("module sent `{status:?}` without `connectors`, expected {wanted}"),
        Some(evses) => format!("module sent `{status:?}` with connectors `{evses:?}`, expected {wanted}"),
    };
    Some(seen.fail("monitor/connectors", headline).breaking(requirement))
}

/// Only an accepted token has something to show.
fn shown_texts(seen: &Worded<'_>, json: &Value, status: Status) -> Option<Diagnostic> {
    let texts = json.get("messages")?.as_array()?.len();
    if texts == 0 || status == Status::Accepted {
        return None;
    }
    let sent = if texts == 1 { "a message".to_owned() } else { format!("{texts} messages") };
    let headline = format!("module sent {sent} for a display with `{status:?}`, expected none");
    Some(seen.fail("monitor/messages", headline).breaking("TV-14"))
}

/// What is shown is what the validators said, all of them, whatever became of the token.
fn mirrored_texts(seen: &Worded<'_>, json: &Value, status: Status) -> Option<Diagnostic> {
    let messages = json.get("messages")?.as_array()?;
    let results = json.get("validation_results")?.as_array()?;
    let texts = results.iter().filter_map(|result| result.get("tariff_messages")?.as_array()).flatten();
    if texts.clone().eq(messages) {
        return None;
    }
    let (shown, said) = (messages.len(), texts.count());
    let headline = match shown == said {
        true => format!("module sent other `messages` with `{status:?}` than its `validation_results` have"),
        false => format!("module sent {shown} `messages` with `{status:?}`, its `validation_results` have {said}"),
    };
    Some(seen.fail("monitor/messages", headline).breaking("TV-14"))
}

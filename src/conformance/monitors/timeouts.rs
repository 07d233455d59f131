//! When `TimedOut` comes: one `connection_timeout` after the authorization, or after the wait for a plug-in began.
//!
//! Source: EVerest `AuthHandler.cpp`. Both timers begin just before the status that shows it is sent, so that a slow way
//! makes the time that is seen longer or a little shorter. Only an early one is a fault here: a slow machine makes late ones,
//! for which expectations have a time limit. What the record does not show from its beginning is not judged.
//!
//! A broker that was held up reads the status late, so that the timer may have begun as early as what moved EVerest to it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::auth::{AuthConfig, SelectionAlgorithm};
use crate::diagnostic::{Diagnostic, printable};
use crate::protocol::types::TokenValidationStatus as Status;

use super::statuses::connectors;
use super::wording::{Worded, time};

/// A `TimedOut` is early before this part of the timeout, less what its beginning may be shown late by.
const EARLY: f64 = 0.75;
const SHOWN_LATE: Duration = Duration::from_millis(250);
/// Longer than this no broker was held up.
const HELD_UP: Duration = Duration::from_secs(2);

/// Watches how long authorizations of EVerest's side last.
#[derive(Debug)]
pub(super) struct Timeouts {
    /// `connection_timeout`, where it is known.
    timeout: Option<Duration>,
    /// Whether an accepted token may wait for a plug-in.
    waits: bool,
    /// Since when a token value waits for a plug-in: the first `Accepted`; each validator that accepts it has one.
    waiting: BTreeMap<String, Duration>,
    /// Since when a token value is granted an EVSE.
    granted: BTreeMap<(String, i64), Duration>,
    /// When the harness last sent something that may have moved EVerest.
    moved: Option<Duration>,
}

impl Timeouts {
    pub(super) fn new(auth: Option<&AuthConfig>) -> Self {
        Self {
            timeout: auth.map(|auth| auth.connection_timeout.0),
            waits: auth.is_some_and(|auth| auth.selection_algorithm != SelectionAlgorithm::FindFirst),
            waiting: BTreeMap::new(),
            granted: BTreeMap::new(),
            moved: None,
        }
    }

    /// The harness sent something that may move EVerest.
    pub(super) fn moved(&mut self, at: Duration) {
        self.moved = Some(at);
    }

    /// When what is seen now can have begun.
    fn begun(&self, at: Duration) -> Duration {
        self.moved.map_or(at, |moved| moved.max(at.saturating_sub(HELD_UP)))
    }

    /// EVerest has started again, or messages of it may have been lost.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
        self.granted.clear();
    }

    /// The timeout was set to something else.
    pub(super) fn changed(&mut self) {
        self.timeout = None;
    }

    /// Judges a status message that is no repetition.
    pub(super) fn observe(&mut self, seen: &Worded<'_>) -> Option<Diagnostic> {
        let timeout = self.timeout?;
        let json = seen.as_sent().ok()?;
        let value = json.pointer("/token/id_token/value").and_then(Value::as_str)?.to_owned();
        let status = serde_json::from_value::<Status>(json["status"].clone()).ok()?;
        let evses = connectors(json).unwrap_or_default();
        let at = seen.at;
        match status {
            Status::Processing => {
                self.waiting.remove(&value);
                None
            }
            Status::Accepted => {
                let begun = self.begun(at);
                self.waiting.entry(value).or_insert(begun);
                None
            }
            Status::UsedToStart => {
                self.waiting.remove(&value);
                let begun = self.begun(at);
                self.granted.extend(evses.iter().map(|evse| ((value.clone(), *evse), begun)));
                None
            }
            // The timer of a granted authorization goes on until the EVSE confirms.
            Status::Withdrawn | Status::Rejected | Status::UsedToStop | Status::UsedToReauthorize => {
                self.waiting.remove(&value);
                None
            }
            Status::TimedOut => {
                let granted = evses.iter().find_map(|evse| self.granted.remove(&(value.clone(), *evse)));
                let (since, requirement) = match granted {
                    Some(since) => (since, "TV-9"),
                    None => (self.waiting.remove(&value).filter(|_| self.waits)?, "TV-10"),
                };
                let lasted = at.saturating_sub(since);
                let is_early = lasted + SHOWN_LATE < timeout.mul_f64(EARLY);
                is_early.then(|| early(seen, &value, timeout, lasted).breaking(requirement))
            }
        }
    }
}

fn early(seen: &Worded<'_>, value: &str, timeout: Duration, lasted: Duration) -> Diagnostic {
    let headline = format!(
        "module sent `TimedOut` for token `{}` after {}, `connection_timeout` is {}",
        printable(value),
        time(lasted),
        time(timeout)
    );
    seen.fail("monitor/timed-out-early", headline)
}

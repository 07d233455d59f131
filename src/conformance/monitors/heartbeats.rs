//! The numbers and the spacing of heartbeats.
//!
//! EVerest counts from 0 at every start, adds 1, and wraps at 2^64, on 32-bit builds at 2^32. 2025.10 does not count.

use std::time::Duration;

use serde_json::Value;

use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::deviations::{Deviation, Deviations};

use super::redelivery::Repeat;
use super::seen::Seen;
use super::wording::time;

/// Fewer intervals say nothing about their mean.
const INTERVALS: u32 = 10;
/// By how much the mean may differ: EVerest drifts by the time a publish takes, and machines are busy.
const TOLERANCE: f64 = 0.2;
/// What the first and the last heartbeat of a measurement may be late by.
const SLACK: Duration = Duration::from_millis(500);

/// Watches heartbeats of EVerest's side.
#[derive(Debug)]
pub(super) struct Heartbeats {
    from_start: bool,
    interval: Option<Duration>,
    /// Whether heartbeats are `{}`; the schema judges that, and here only their spacing is.
    is_empty: bool,
    last: Option<(u64, Duration)>,
    /// The first of an unbroken row, and how many intervals it has.
    row: Option<(Duration, u32)>,
    /// Restarted by the harness; the next number is 0, or one more from before.
    restarted: bool,
    /// Told to go on from another number.
    renumbered: bool,
    /// Connections since the last heartbeat; messages may be lost between them.
    connections: u32,
}

impl Heartbeats {
    pub(super) fn new(from_start: bool, interval: Option<Duration>, in_force: Deviations) -> Self {
        let is_empty = in_force.is_on(Deviation::EmptyHeartbeat);
        let (restarted, renumbered) = (false, false);
        Self { from_start, interval, is_empty, last: None, row: None, restarted, renumbered, connections: 0 }
    }

    pub(super) fn restarted(&mut self) {
        self.restarted = true;
        self.connections = 0;
        self.row = None;
    }

    /// Heartbeats were told to pause, to resume, to change their interval or their number.
    pub(super) fn changed(&mut self) {
        self.renumbered = true;
        self.interval = None;
        self.row = None;
    }

    pub(super) fn connected(&mut self) {
        self.connections += 1;
        self.row = None;
    }

    /// Judges a heartbeat that has the right shape.
    pub(super) fn observe(&mut self, seen: &Seen<'_>, repeat: Repeat) -> Option<Diagnostic> {
        if repeat == Repeat::Yes {
            return None;
        }
        let at = seen.record.at;
        let number = match seen.json().ok().map(number)? {
            _ if self.is_empty => 0,
            Number::Counts(number) => number,
            Number::No => {
                let headline = "module sent a heartbeat that is no unsigned 64-bit integer".to_owned();
                return Some(seen.fail("monitor/heartbeat-value", headline).breaking("HB-1"));
            }
            Number::NotEven => return None,
        };
        let finding = if self.is_empty { None } else { self.judge(number, seen) };
        if let (Some((start, intervals)), None) = (self.row, &finding) {
            self.row = Some((start, intervals + 1));
        } else {
            self.row = Some((at, 0));
        }
        self.last = Some((number, at));
        // After a possible redelivery the next one may go on from either.
        self.connections = u32::from(repeat == Repeat::Maybe);
        finding
    }

    fn judge(&mut self, number: u64, seen: &Seen<'_>) -> Option<Diagnostic> {
        let at = seen.record.at;
        let Some((last, last_at)) = self.last else {
            let as_it_should_be = number == 0 || !self.from_start || self.connections > 1;
            if as_it_should_be || std::mem::take(&mut self.renumbered) {
                return None;
            }
            let headline = format!("module sent `{number}` as its first heartbeat, expected `0`");
            return Some(seen.fail("monitor/heartbeat-first", headline).breaking("HB-3"));
        };
        let wrapped_32_bits = last == u64::from(u32::MAX) && number == 0;
        if number == last.wrapping_add(1) || wrapped_32_bits {
            return None;
        }
        if self.restarted && self.connections <= 1 {
            self.restarted = false;
            if number == 0 || std::mem::take(&mut self.renumbered) {
                return None;
            }
            let headline = format!("module sent `{number}` as its first heartbeat after a restart, expected `0`");
            return Some(seen.fail("monitor/heartbeat-first", headline).breaking("HB-3"));
        }
        if self.connections > 0 || std::mem::take(&mut self.renumbered) {
            self.row = None;
            return None;
        }
        let expected = last.wrapping_add(1);
        let headline = format!("module sent heartbeat `{number}` after `{last}`, expected `{expected}`");
        let since = time(at.saturating_sub(last_at));
        Some(
            seen.fail("monitor/heartbeat-sequence", headline)
                .with_evidence(format!("{since} after heartbeat `{last}`, on the same connection"))
                .breaking("HB-2"),
        )
    }

    /// Judges the mean spacing of the last unbroken row.
    pub(super) fn finish(&self) -> Option<Diagnostic> {
        let (interval, (start, intervals), (_, end)) = (self.interval?, self.row?, self.last?);
        if intervals < INTERVALS {
            return None;
        }
        let took = end.saturating_sub(start);
        let due = interval * intervals;
        if took.abs_diff(due) <= due.mul_f64(TOLERANCE) + SLACK {
            return None;
        }
        let mean = time(took / intervals);
        let headline = format!("module sent heartbeats every {mean} on average, configured are {}", time(interval));
        Some(
            Diagnostic::new(Severity::Warning, "monitor/heartbeat-spacing", headline)
                .with_evidence(format!("{intervals} intervals in {}", time(took)))
                .breaking("HB-4"),
        )
    }
}

enum Number {
    Counts(u64),
    /// An integer, but none that a heartbeat can have.
    No,
    /// Not a number at all: the schema has spoken.
    NotEven,
}

fn number(json: &Value) -> Number {
    let Value::Number(number) = json else { return Number::NotEven };
    if let Some(number) = number.as_u64() {
        return Number::Counts(number);
    }
    match number.as_f64() {
        // `1.0` is an integer to JSON Schema.
        Some(float) if float.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&float) => {
            Number::Counts(float as u64)
        }
        Some(float) if float.fract() != 0.0 => Number::NotEven,
        _ => Number::No,
    }
}

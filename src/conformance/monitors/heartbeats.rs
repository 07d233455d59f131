//! The numbers and the spacing of heartbeats.
//!
//! EVerest counts from 0 at every start, adds 1, and wraps at 2^64. 2025.10 does not count. The next heartbeat is due one
//! interval after the last was sent. A busy machine makes single ones late, so that the usual interval shows the pace; where
//! it was so busy that many came at once, still none of them came before the module could have sent it.
//!
//! That tells bursts from a busy machine as well: a heartbeat that comes behind the reply to a question was sent after that
//! question was asked, whatever held both up, and the next one is sent an interval later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::conformance::sighting::Repeat;
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::deviations::{Deviation, Deviations};

use super::wording::{Worded, time};

/// Fewer intervals say nothing about the usual one.
const INTERVALS: usize = 5;
/// More intervals say nothing new.
const MEASURED: usize = 1000;
/// Three quarters of the intervals may not be shorter than the configured one by this factor.
const FAST: f64 = 0.75;
/// Nor may three quarters be longer by this factor, and by what a busy machine adds to each.
const SLOW: f64 = 1.25;
const BUSY: Duration = Duration::from_millis(400);
/// A client that has long been connected may have been held up so long before its first heartbeat came.
const HELD_UP: Duration = Duration::from_secs(2);
/// A heartbeat that comes sooner than so much of an interval after the one before it can have been sent is hurried. One of
/// EVerest's threads may overtake another by what is left.
const HURRIED: f64 = 0.5;
/// So many of them, and half of all, are bursts.
const BURSTS: usize = 3;
/// By so much clocks may run fast.
const CLOCK: f64 = 0.95;
/// So many intervals, and what one may be late by, without a heartbeat are their end.
const SILENT_INTERVALS: u32 = 3;
const SILENCE: Duration = Duration::from_secs(2);

/// The heartbeat before the next one.
#[derive(Debug)]
struct Last {
    client: Arc<str>,
    at: Duration,
    /// When it was sent at the earliest.
    earliest: Duration,
}

/// Watches heartbeats of EVerest's side.
#[derive(Debug)]
pub(super) struct Heartbeats {
    from_start: bool,
    interval: Option<Duration>,
    /// Whether heartbeats are `{}`; the schema judges that, and here only their spacing is.
    is_empty: bool,
    last: Option<(u64, Duration)>,
    /// Who sent the last one, and when, unless something came between that explains a pause.
    unbroken: Option<Last>,
    /// The time from each heartbeat to the next, where nothing explains a pause.
    intervals: Vec<Duration>,
    /// The time in which their heartbeats can have been sent: the intervals, and what passed between each connection and
    /// its first heartbeat.
    room: Duration,
    /// When the latest question was asked to which each client has replied: what it sends now, it sends after that.
    answered: BTreeMap<Arc<str>, Duration>,
    /// How many heartbeats were hurried.
    hurried: usize,
    /// When clients that have sent no heartbeat since were connected.
    online: BTreeMap<Arc<str>, Duration>,
    /// How long the harness itself was held up, all in all; whoever sends on the same machine may have been, too.
    held_up: Duration,
    /// Restarted by the harness; the next number is 0, or one more from before.
    restarted: bool,
    /// Told to go on from another number.
    renumbered: bool,
    /// Connections of each client since it sent its last heartbeat; messages may be lost between them. Other API modules
    /// of the same EVerest connect whenever they like.
    connections: BTreeMap<Arc<str>, u32>,
}

impl Heartbeats {
    pub(super) fn new(from_start: bool, interval: Option<Duration>, in_force: Deviations) -> Self {
        let is_empty = in_force.is_on(Deviation::EmptyHeartbeat);
        Self {
            from_start,
            interval,
            is_empty,
            last: None,
            unbroken: None,
            intervals: Vec::new(),
            room: Duration::ZERO,
            answered: BTreeMap::new(),
            hurried: 0,
            held_up: Duration::ZERO,
            online: BTreeMap::new(),
            restarted: false,
            renumbered: false,
            connections: BTreeMap::new(),
        }
    }

    pub(super) fn restarted(&mut self) {
        self.restarted = true;
        self.connections.clear();
        self.unbroken = None;
    }

    /// Heartbeats were told to pause, to resume, to change their interval or their number.
    pub(super) fn changed(&mut self) {
        self.renumbered = true;
        self.interval = None;
        self.unbroken = None;
    }

    /// The harness was held up so long, all in all.
    pub(super) fn held_up(&mut self, held_up: Duration) {
        self.held_up = held_up;
    }

    pub(super) fn connected(&mut self, client: &Arc<str>, at: Duration) {
        self.online.insert(client.clone(), at);
        *self.connections.entry(client.clone()).or_default() += 1;
        self.unbroken.take_if(|last| last.client == *client);
        self.answered.remove(client);
    }

    /// A client has replied to a question that was asked then.
    pub(super) fn answered(&mut self, client: &Arc<str>, asked_at: Duration) {
        let latest = self.answered.entry(client.clone()).or_default();
        *latest = asked_at.max(*latest);
    }

    /// Judges a heartbeat that has the right shape.
    pub(super) fn observe(&mut self, seen: &Worded<'_>) -> Option<Diagnostic> {
        if seen.repeat == Repeat::Yes {
            return None;
        }
        let at = seen.at;
        let number = match seen.as_sent().ok().map(number)? {
            _ if self.is_empty => 0,
            Number::Counts(number) => number,
            Number::No => {
                let headline = "module sent a heartbeat that is no unsigned 64-bit integer".to_owned();
                return Some(seen.fail("monitor/heartbeat-value", headline).breaking("HB-1"));
            }
            Number::NotEven => return None,
        };
        let client = &seen.client;
        let is_other = self.unbroken.as_ref().is_some_and(|last| last.client != *client);
        let connections = self.connections.get(client).copied().unwrap_or(0).max(u32::from(is_other));
        let finding = if self.is_empty { None } else { self.judge(number, connections, seen) };
        if let Some(last) = self.unbroken.take_if(|_| connections == 0 && self.intervals.len() < MEASURED) {
            self.intervals.push(at.saturating_sub(last.at));
            self.room += at.saturating_sub(last.at);
            let next = self.interval.map(|interval| last.earliest + interval.mul_f64(HURRIED));
            self.hurried += usize::from(next.is_some_and(|next| at < next));
        } else {
            self.room += self.online.remove(client).map_or(HELD_UP, |online| at.saturating_sub(online));
        }
        let earliest = self.answered.get(client).copied().unwrap_or_default();
        self.unbroken = Some(Last { client: client.clone(), at, earliest });
        self.last = Some((number, at));
        // After a possible redelivery the next one may go on from either.
        self.connections.insert(client.clone(), u32::from(seen.repeat == Repeat::Maybe));
        finding
    }

    fn judge(&mut self, number: u64, connections: u32, seen: &Worded<'_>) -> Option<Diagnostic> {
        let at = seen.at;
        let Some((last, last_at)) = self.last else {
            let as_it_should_be = number == 0 || !self.from_start || connections > 1;
            if as_it_should_be || std::mem::take(&mut self.renumbered) {
                return None;
            }
            let headline = format!("module sent `{number}` as its first heartbeat, expected `0`");
            return Some(seen.fail("monitor/heartbeat-first", headline).breaking("HB-3"));
        };
        if number == last.wrapping_add(1) {
            return None;
        }
        if self.restarted && connections <= 1 {
            self.restarted = false;
            if number == 0 || std::mem::take(&mut self.renumbered) {
                return None;
            }
            let headline = format!("module sent `{number}` as its first heartbeat after a restart, expected `0`");
            return Some(seen.fail("monitor/heartbeat-first", headline).breaking("HB-3"));
        }
        if connections > 0 || std::mem::take(&mut self.renumbered) {
            return None;
        }
        let expected = last.wrapping_add(1);
        let headline = format!("module sent heartbeat `{number}` after `{last}`, expected `{expected}`");
        let since = time(at.saturating_sub(last_at));
        let finding = seen
            .fail("monitor/heartbeat-sequence", headline)
            .with_evidence(format!("{since} after heartbeat `{last}`, on the same connection"))
            .breaking("HB-2");
        if last == u64::from(u32::MAX) && number == 0 {
            return Some(finding.with_help("count with 64 bits on machines of 32 bits, too"));
        }
        Some(finding)
    }

    /// Judges the usual interval, and whether heartbeats have ended; `is_online` says whether the module is connected.
    pub(super) fn finish(&mut self, at: Duration, is_online: bool) -> Vec<Diagnostic> {
        let Some(interval) = self.interval else { return Vec::new() };
        let found = self.spacing(interval).or_else(|| self.bursts(interval));
        Vec::from_iter(found.or_else(|| self.stopped(interval, at).filter(|_| is_online)))
    }

    /// A busy machine delays single heartbeats, which makes one interval longer and the next one shorter: a pace of their
    /// own shows in most of them.
    fn spacing(&mut self, interval: Duration) -> Option<Diagnostic> {
        let count = self.intervals.len();
        if count < INTERVALS {
            return None;
        }
        self.intervals.sort_unstable();
        let at = |quarters: usize| self.intervals.get((count - 1) * quarters / 4).copied();
        let (short, usual, long) = (at(1)?, at(2)?, at(3)?);
        let needed = interval.mul_f64(CLOCK * count as f64);
        let is_fast = long < interval.mul_f64(FAST) && self.room < needed;
        let held_up = self.held_up.div_f64(count as f64);
        if !is_fast && short <= interval.mul_f64(SLOW) + BUSY + held_up {
            return None;
        }
        let headline = format!("module sent a heartbeat every {}, configured are {}", time(usual), time(interval));
        Some(
            Diagnostic::new(Severity::Fail, "monitor/heartbeat-spacing", headline)
                .with_evidence(format!("half of {count} intervals took {} to {}", time(short), time(long)))
                .breaking("HB-4"),
        )
    }

    fn bursts(&self, interval: Duration) -> Option<Diagnostic> {
        let (hurried, count) = (self.hurried, self.intervals.len());
        if hurried < BURSTS || hurried * 2 < count {
            return None;
        }
        let headline = format!("module sent {hurried} of {} heartbeats in bursts", count + 1);
        let interval = time(interval);
        let finding = Diagnostic::new(Severity::Fail, "monitor/heartbeat-burst", headline).with_evidence(format!(
            "each came less than half an interval ({interval}) after a question that was answered before the heartbeat before it"
        ));
        Some(finding.with_help("send a heartbeat when it is due, or leave it out").breaking("HB-4"))
    }

    fn stopped(&self, interval: Duration, at: Duration) -> Option<Diagnostic> {
        let last_at = self.unbroken.as_ref()?.at;
        let silence = at.saturating_sub(last_at);
        if silence <= interval * SILENT_INTERVALS + SILENCE + self.held_up {
            return None;
        }
        let headline =
            format!("module sent no more heartbeats for {}, configured is one every {}", time(silence), time(interval));
        Some(
            Diagnostic::new(Severity::Fail, "monitor/heartbeats-stopped", headline)
                .with_evidence(format!("the last one came at {}", time(last_at)))
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

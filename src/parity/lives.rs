//! When EVerest ran, as far as a recording shows it: whoever starts it or ends it leaves no message.
//!
//! A start shows in the initial CommunicationFault, in a beacon, and in heartbeats that count from 0 again or go on after
//! a pause. An end before another start shows in silence.

use super::roles::{Roles, Sign};
use super::station_file::{Everest, StationFile};
use crate::recording::{Message, Recording};

/// So many heartbeats before the recording are played; earlier ones are only counted.
const WARM_UP: i64 = 10_000;
/// How long EVerest has run where no heartbeat tells.
const UNKNOWN_MS: i64 = 60_000;
/// What starts together does so within this time.
const SPREAD_MS: i64 = 2000;
/// A heartbeat 0 that comes so long after another is of another start; sooner it is the same, heard twice.
const AGAIN_MS: i64 = 100;

/// An EVerest has ended that is silent for more than so many times the interval of its heartbeats.
const SILENT_INTERVALS: i64 = 2;

/// EVerest from one start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    /// When it was ready, relative to the recording.
    pub ready_ms: i64,
    /// How many heartbeats came before that.
    pub skipped: u64,
    /// Whether it begins in the recording.
    pub begins: bool,
    /// How it ends, if the recording shows that it does.
    pub end: Option<End>,
}

/// An end of EVerest lies between these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// The last sign of it.
    pub after_ms: i64,
    /// A little before the heartbeat that did not come.
    pub before_ms: i64,
}

/// What the recording shows of one life.
struct Span<'a> {
    begins: bool,
    first_ms: i64,
    /// Of all but the heartbeats.
    last_ms: i64,
    beats: Vec<&'a Message>,
}

impl Span<'_> {
    fn last_ms(&self) -> i64 {
        self.beats.last().map_or(self.last_ms, |beat| beat.at_ms().max(self.last_ms))
    }
}

/// The lives of EVerest in a recording, one at least, in their order.
pub(super) fn lives(recording: &Recording, file: &StationFile, roles: &Roles<'_>) -> Vec<Life> {
    let interval = i64::from(file.station.auth_consumer.cfg_heartbeat_interval_ms).max(0);
    let mut spans: Vec<Span<'_>> = Vec::new();
    for message in &recording.messages {
        let Some(sign) = roles.sign(message) else { continue };
        let at = message.at_ms();
        match spans.last_mut() {
            Some(span) if begins(span, sign, message, interval) => {
                // Its first heartbeat may have come just before what shows the start.
                let early = span.beats.pop_if(|beat| is_early(beat, at));
                let first_ms = early.map_or(at, Message::at_ms);
                spans.push(Span { begins: true, first_ms, last_ms: first_ms, beats: early.into_iter().collect() });
            }
            Some(span) => {
                span.begins |= sign == Sign::Start && at - span.first_ms <= SPREAD_MS;
            }
            None => {
                let begins = sign == Sign::Start || message.payload == 0 && sign == Sign::Heartbeat;
                spans.push(Span { begins, first_ms: at, last_ms: at, beats: Vec::new() });
            }
        }
        match (sign, spans.last_mut()) {
            (Sign::Heartbeat, Some(span)) => span.beats.push(message),
            (_, Some(span)) => span.last_ms = at,
            (_, None) => {}
        }
    }
    let is_starting = file.start.everest == Some(Everest::Starting);
    let Some(first) = spans.first_mut() else {
        return vec![Life { ready_ms: -UNKNOWN_MS, skipped: 0, begins: false, end: None }];
    };
    if is_starting && !first.begins {
        // What shows no start is an answer, or a heartbeat that gives no number: EVerest was there before.
        first.begins = true;
        if first.beats.is_empty() {
            first.first_ms = 0;
        }
    }
    let mut lives: Vec<Life> = spans.iter().map(|span| life(span, interval)).collect();
    if let Some(last) = lives.last_mut() {
        // Nobody heard of it again; without heartbeats, that need mean nothing.
        let is_silent = |end: &End| recording.end_ms() - end.after_ms > SILENT_INTERVALS * interval;
        let beats = spans.last().is_some_and(|span| !span.beats.is_empty()) && interval > 0;
        last.end = last.end.filter(|end| beats && is_silent(end));
    }
    lives
}

/// Whether a message shows that EVerest was started anew.
fn begins(span: &Span<'_>, sign: Sign, message: &Message, interval: i64) -> bool {
    let at = message.at_ms();
    let is_young = at - span.first_ms <= SPREAD_MS;
    match (sign, span.beats.last()) {
        (Sign::Start, _) => !is_young,
        (Sign::Heartbeat, Some(last)) => match (last.payload.as_u64(), message.payload.as_u64()) {
            // A start leaves time for so many only; the greatest numbers are followed by 0 without one.
            (Some(before), Some(now)) => {
                let since = u64::try_from((at - last.at_ms() + SPREAD_MS) / interval.max(1)).unwrap_or(0);
                // It may have ended before its second heartbeat.
                let again = now == 0 && before == 0 && at - last.at_ms() >= AGAIN_MS;
                again || now < before && now <= since && before != u64::MAX && before != u64::from(u32::MAX)
            }
            _ => at - last.at_ms() > 3 * interval + SPREAD_MS,
        },
        _ => false,
    }
}

/// Whether a heartbeat belongs to the start that shows at `at`.
fn is_early(beat: &Message, at: i64) -> bool {
    !beat.payload.is_number() && at - beat.at_ms() < 100
}

/// Heartbeats come at a fixed pace from the start on, so each tells when that was; the median is believed.
fn life(span: &Span<'_>, interval: i64) -> Life {
    let after_ms = span.last_ms();
    let before_ms = span.beats.last().map_or(after_ms, |beat| beat.at_ms() + interval - interval / 4);
    let alive = Life { ready_ms: 0, skipped: 0, begins: span.begins, end: Some(End { after_ms, before_ms }) };
    let Some(first) = span.beats.first().filter(|_| interval > 0) else {
        return Life { ready_ms: if span.begins { span.first_ms } else { -UNKNOWN_MS }, ..alive };
    };
    let unnumbered = if span.begins { 0 } else { (first.at_ms() + UNKNOWN_MS) / interval + 1 };
    let number_of = |beat: &Message| {
        let since = (beat.at_ms() - first.at_ms() + interval / 2).div_euclid(interval);
        // More would be decades, and no product of it and an interval may overflow.
        beat.payload.as_i64().filter(|number| (0..1 << 31).contains(number)).unwrap_or(unnumbered + since)
    };
    let mut starts: Vec<i64> = span.beats.iter().map(|beat| beat.at_ms() - interval * number_of(beat)).collect();
    starts.sort_unstable();
    let believed = starts[starts.len() / 2];
    // Whoever shows a sign of life has started.
    let start = if span.begins { believed.min(span.first_ms) } else { believed };
    let skipped = (-start / interval - WARM_UP).max(0);
    Life { ready_ms: start + skipped * interval, skipped: skipped.unsigned_abs(), ..alive }
}

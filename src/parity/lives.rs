//! When EVerest ran, as far as a recording shows it: whoever starts it or ends it leaves no message.
//!
//! A start shows in the initial CommunicationFault, in a beacon, and in heartbeats that count from 0 again or go on after
//! a pause. An end before another start shows in silence.

use std::collections::BTreeMap;

use super::roles::{Roles, Sign};
use super::station_file::{Everest, StationFile};
use crate::recording::{Message, Recording};

/// So many heartbeats before the recording are played; earlier ones are only counted.
const WARM_UP: i64 = 10_000;
/// How long EVerest has run where no heartbeat tells.
const UNKNOWN_MS: i64 = 60_000;
/// What starts together does so within this time, if nothing starts twice.
const SPREAD_MS: i64 = 2000;
/// A heartbeat 0, or an initial fault, that comes so long after another is of another start; sooner it is the same, heard
/// twice.
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
    /// When it showed anything else, but for heartbeats.
    alive_ms: Vec<i64>,
    /// When it showed that it starts.
    starts_ms: Vec<i64>,
    /// When the module on a topic raised its initial fault, which it does once.
    initial_ms: BTreeMap<&'a str, i64>,
    beats: Vec<&'a Message>,
}

impl<'a> Span<'a> {
    fn new(begins: bool, first_ms: i64) -> Self {
        let (alive_ms, starts_ms, initial_ms, beats) = (Vec::new(), Vec::new(), BTreeMap::new(), Vec::new());
        Self { begins, first_ms, alive_ms, starts_ms, initial_ms, beats }
    }

    fn last_ms(&self) -> i64 {
        let beat = self.beats.last().map(|beat| beat.at_ms());
        let others = [self.alive_ms.last().copied(), self.starts_ms.last().copied()];
        others.into_iter().chain([beat]).flatten().fold(self.first_ms, i64::max)
    }

    /// Takes away what showed that the next one starts, which is found to have done so by `at`: when it was first seen to.
    /// Modules show it one after the other, and the longest pause lies between two starts.
    fn take_next(&mut self, at: i64) -> i64 {
        let ends = self.starts_ms.iter().skip(1).chain([&at]);
        let pauses = self.starts_ms.iter().zip(ends).map(|(from, to)| to - from).enumerate();
        let kept = pauses.max_by_key(|(_, pause)| *pause).map_or(0, |(last, _)| last + 1);
        let shown_ms = self.starts_ms.split_off(kept).first().copied().unwrap_or(at);
        // Modules also say something else as soon as they start, and none is started anew in so short a time.
        let kept = self.alive_ms.partition_point(|alive| *alive <= shown_ms - AGAIN_MS);
        self.alive_ms.split_off(kept).first().copied().unwrap_or(at).min(shown_ms)
    }

    fn add(&mut self, sign: Sign, message: &'a Message) {
        let at = message.at_ms();
        match sign {
            Sign::Heartbeat => self.beats.push(message),
            Sign::Start | Sign::Initial => self.starts_ms.push(at),
            Sign::Alive => self.alive_ms.push(at),
        }
        if sign == Sign::Initial {
            self.initial_ms.insert(&message.topic, at);
        }
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
                let first_ms = early.map_or(at, Message::at_ms).min(span.take_next(at));
                let mut next = Span::new(true, first_ms);
                next.beats.extend(early);
                spans.push(next);
            }
            Some(span) => {
                span.begins |= sign.is_start() && at - span.first_ms <= SPREAD_MS;
            }
            None => {
                let begins = sign.is_start() || message.payload == 0 && sign == Sign::Heartbeat;
                spans.push(Span::new(begins, at));
            }
        }
        if let Some(span) = spans.last_mut() {
            span.add(sign, message);
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
        (Sign::Initial, _) => {
            !is_young || span.initial_ms.get(message.topic.as_str()).is_some_and(|before| at - before >= AGAIN_MS)
        }
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

//! Which of the things that EVerest may do it did: where it may go on in more than one way, the recording decides.
//!
//! The station is played again with other choices near what differs, and what makes less differ is kept. A choice is
//! only ever one that EVerest has: what none of them explains stays a difference.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::play::{Movable, Played};
use super::{Kind, Report};
use crate::auth::{Chosen, Race};

/// So much earlier or later than recorded a stimulus may reach EVerest: Nagle's algorithm held it, or the recorder's.
pub(super) const MOVED_MS: i64 = 60;
/// A choice may show so much later.
const SHOWS_WITHIN_MS: i64 = 1500;
/// So many choices are tried for one difference, the nearest first.
const SINGLE: usize = 28;
/// Among so many of them also two together.
const PAIRED: usize = 6;
/// So many ways are tried to take all choices of one instant together; it has several where many tokens wake at once.
const TOGETHER: usize = 48;
/// What makes so many more differences, but later, is gone after.
const HARDLY_MORE: usize = 2;
/// The comparison gives up looking after so many plays for nothing.
const FRUITLESS: usize = 240;
/// And in long recordings after so many messages and outcomes for nothing.
const FRUITLESS_MESSAGES: usize = 400_000;

/// What EVerest is taken to have done where it had a choice; what is absent is what the station does by itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Choices {
    /// Of EVerest's threads.
    pub inside: Chosen,
    /// By how many milliseconds stimuli came earlier or later, by their place in the recording.
    pub moved: BTreeMap<usize, i64>,
}

/// One choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Way { at: Duration, nth: u32, way: usize },
    Move { index: usize, by_ms: i64 },
}

impl Choices {
    fn with(&self, options: &[Choice]) -> Self {
        let mut choices = self.clone();
        for option in options {
            match *option {
                Choice::Way { at, nth, way } => drop(choices.inside.insert((at, nth), way)),
                Choice::Move { index, by_ms } => drop(choices.moved.insert(index, by_ms)),
            }
        }
        choices
    }

    fn count(&self) -> usize {
        let (chosen, moved) = (self.inside.values(), self.moved.values());
        chosen.filter(|way| **way != 0).count() + moved.filter(|by_ms| **by_ms != 0).count()
    }
}

/// The report with the fewest differences that can be found, and the choices that it takes.
pub(super) fn explain(
    messages: usize,
    play: impl Fn(&Choices) -> Played,
    judge: impl Fn(&Played) -> Report,
) -> (Report, Choices) {
    let mut choices = Choices::default();
    let mut played = play(&choices);
    let mut report = judge(&played);
    let mut best = report.clone();
    let mut best_choices = choices.clone();
    let mut fruitless = FRUITLESS.min(FRUITLESS_MESSAGES / (messages + played.outcomes.len()).max(1));
    // Differences until this time have no explanation.
    let mut given_up_ms = i64::MIN;
    // Where the next may stand: nobody explains a day of heartbeats, and to look at them again for each takes hours.
    let mut from = 0;
    while let Some((place, at_ms)) = first_after(&report, given_up_ms, from) {
        let singles = options(&played, &choices, at_ms);
        let nearest = &singles[..singles.len().min(PAIRED)];
        let pairs =
            nearest.iter().enumerate().flat_map(|(at, one)| nearest[at + 1..].iter().map(|other| vec![*one, *other]));
        let mut found = None;
        let together = together(&played, &choices, at_ms);
        for tried in singles.iter().map(|one| vec![*one]).chain(together).chain(pairs) {
            if fruitless == 0 {
                return (best, best_choices);
            }
            let other = choices.with(&tried);
            let other_played = play(&other);
            let other_report = judge(&other_played);
            if is_better(&other_report, &report, at_ms, given_up_ms) {
                found = Some((other, other_played, other_report));
                break;
            }
            fruitless -= 1;
        }
        match found {
            Some(better) => {
                (choices, played, report) = better;
                from = 0;
                if report.differences.len() < best.differences.len() {
                    best = Report { other_ways: choices.count(), ..report.clone() };
                    best_choices = choices.clone();
                }
            }
            None => (given_up_ms, from) = (at_ms, place + 1),
        }
    }
    (best, best_choices)
}

/// Whether the station would do something else around its last outcomes if one choice were another.
pub(super) fn is_open(choices: &Choices, play: impl Fn(&Choices) -> Played) -> bool {
    let played = play(choices);
    let Some(last) = played.outcomes.iter().rfind(|outcome| !outcome.is_heartbeat()) else { return false };
    let done = done(&played);
    options(&played, choices, last.t_ms).iter().any(|option| self::done(&play(&choices.with(&[*option]))) != done)
}

/// What the station does, but for heartbeats and times.
fn done(played: &Played) -> BTreeMap<&str, Vec<&Value>> {
    let mut done: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for outcome in played.outcomes.iter().filter(|outcome| !outcome.is_heartbeat()) {
        done.entry(&outcome.lane).or_default().push(&outcome.payload);
    }
    done
}

/// The first difference from this place on that another order may explain, with its place; that something came at another
/// time, none explains.
fn first_after(report: &Report, given_up_ms: i64, from: usize) -> Option<(usize, i64)> {
    let of_order = report.differences.iter().enumerate().skip(from).filter(|(_, found)| found.kind != Kind::Time);
    of_order.map(|(place, found)| (place, found.t_ms())).find(|(_, at_ms)| *at_ms > given_up_ms)
}

/// Whether there are fewer differences, or those that there are begin later and are hardly more: one choice may only
/// make sense together with the next.
fn is_better(new: &Report, old: &Report, at_ms: i64, given_up_ms: i64) -> bool {
    let (now, before) = (new.differences.len(), old.differences.len());
    now < before
        || now <= before + HARDLY_MORE && first_after(new, given_up_ms, 0).is_none_or(|(_, first)| first > at_ms)
}

/// Whether a choice at this time may show in a difference around that one.
fn is_near(at_ms: i64, around_ms: i64) -> bool {
    (around_ms - SHOWS_WITHIN_MS..=around_ms + SHOWS_WITHIN_MS / 2).contains(&at_ms)
}

/// Ways to take several choices of one instant, the nearest instant first.
fn together(played: &Played, choices: &Choices, around_ms: i64) -> Vec<Vec<Choice>> {
    let mut instants: BTreeMap<(u64, i64), Vec<Race>> = BTreeMap::new();
    for (at_ms, race) in played.races.iter().filter(|(at_ms, _)| is_near(*at_ms, around_ms)) {
        instants.entry((at_ms.abs_diff(around_ms), *at_ms)).or_default().push(*race);
    }
    let mut all = Vec::new();
    for races in instants.into_values().filter(|races| races.len() > 1) {
        let chosen = |race: &Race| choices.inside.get(&(race.at, race.nth)).copied().unwrap_or(0);
        let before: Vec<usize> = races.iter().map(chosen).collect();
        // Whoever is passed over again and again comes last, however many there are.
        let runs = (0..races.len()).flat_map(|first| (first + 1..races.len()).map(move |last| first..=last));
        let held_back = runs.map(|run| (0..races.len()).map(|at| usize::from(run.contains(&at))).collect::<Vec<_>>());
        // Then all of them, in the order of numbers whose first digit counts least.
        let most = races.iter().map(|race| race.ways).fold(1_usize, usize::saturating_mul).min(TOGETHER);
        let counted = (0..most).map(|number| {
            let mut left = number;
            races.iter().map(|race| (left % race.ways, left /= race.ways).0).collect::<Vec<_>>()
        });
        for ways in held_back.chain(counted) {
            let changed = races.iter().zip(&ways).zip(&before).filter(|((_, way), before)| way != before);
            let changed: Vec<_> =
                changed.map(|((race, way), _)| Choice::Way { at: race.at, nth: race.nth, way: *way }).collect();
            // One alone was tried.
            if changed.len() > 1 && !all.contains(&changed) {
                all.push(changed);
            }
        }
    }
    all.truncate(TOGETHER);
    all
}

/// The choices that there are around a time, the nearest first.
fn options(played: &Played, choices: &Choices, around_ms: i64) -> Vec<Choice> {
    let is_near = |at_ms: i64| is_near(at_ms, around_ms);
    let mut all: Vec<(u64, Choice)> = Vec::new();
    for (at_ms, race) in played.races.iter().filter(|(at_ms, _)| is_near(*at_ms)) {
        let chosen = choices.inside.get(&(race.at, race.nth)).copied().unwrap_or(0);
        for way in (0..race.ways).filter(|way| *way != chosen) {
            all.push((at_ms.abs_diff(around_ms), Choice::Way { at: race.at, nth: race.nth, way }));
        }
    }
    for movable in played.movable.iter().filter(|movable| is_near(movable.at_ms)) {
        let Movable { at_ms, index, earlier_ms, later_ms } = *movable;
        let by_now = choices.moved.get(&index).copied().unwrap_or(0);
        // Just before, or just after, the next thing to either side; what would have happened later shows in no event.
        let before = played.events.range(at_ms - earlier_ms..at_ms).next_back().map_or(-1, |event| event - 1 - at_ms);
        let after = played.events.range(at_ms + 1..=at_ms + later_ms).next().map_or(1, |event| event + 1 - at_ms);
        let moves = [before, after, -earlier_ms, later_ms].map(|by_ms| by_now + by_ms);
        let moves = moves.into_iter().filter(|by_ms| (-earlier_ms..=later_ms).contains(by_ms));
        all.extend(moves.map(|by_ms| (at_ms.abs_diff(around_ms), Choice::Move { index, by_ms })));
    }
    all.sort_by_key(|(distance, _)| *distance);
    all.truncate(SINGLE);
    all.into_iter().map(|(_, option)| option).collect()
}

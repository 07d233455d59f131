//! Recorded and simulated outcomes beside each other: same content as JSON, same order within a lane, and nearly the
//! same time. One fault in a recording is one difference: what follows it finds its partner again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use super::Outcome;
use super::exits;
use super::left_out::{Counter, LeftOut, Why};
use crate::protocol::release::Release;

/// What two outcomes cost that belong together but differ. Less than leaving out one and adding another.
const CHANGED: u32 = 3;
/// What an outcome costs that has no partner.
const ALONE: u32 = 2;
/// A table of more cells is not filled; what is left of both lanes is then paired in order.
const LARGEST_TABLE: usize = 4_000_000;

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How many outcomes were recorded.
    pub outcomes: usize,
    /// How many of them the station had too.
    pub reproduced: usize,
    /// What differs, in the order of time.
    pub differences: Vec<Difference>,
    /// Where EVerest may go on in more than one way: how often it is taken to have gone another way than the station does
    /// by itself.
    pub other_ways: usize,
    /// Whether EVerest might have done something else around the last outcomes, had it gone another way. Only looked at where
    /// everything is reproduced, and what was done to EVerest was done in turn.
    pub is_open: bool,
    /// What was not compared.
    pub left_out: Vec<LeftOut>,
    /// The release that the recording showed, where no file named one.
    pub assumed_release: Option<Release>,
}

/// An outcome that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// In which way.
    pub kind: Kind,
    /// The topic, as far as it has one.
    pub lane: String,
    /// What EVerest did.
    pub recorded: Option<Outcome>,
    /// What the station did.
    pub simulated: Option<Outcome>,
}

/// How an outcome differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The contents.
    Content,
    /// The times, by more than the tolerance.
    Time,
    /// The station did not do it.
    NotSimulated,
    /// EVerest did not do it.
    NotRecorded,
}

impl Kind {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Kind::Content => "the content differs",
            Kind::Time => "the time differs",
            Kind::NotSimulated => "the station does not do it",
            Kind::NotRecorded => "EVerest did not do it",
        }
    }
}

impl Difference {
    /// Whether it is about heartbeats, which nothing else depends on.
    pub fn is_of_heartbeats(&self) -> bool {
        super::is_of_heartbeats(&self.lane)
    }

    /// When it was in the recording, in milliseconds since its start; when the station did it, if nothing was recorded.
    pub fn t_ms(&self) -> i64 {
        self.recorded.as_ref().or(self.simulated.as_ref()).map_or(0, |outcome| outcome.t_ms)
    }
}

/// Where the station may do what EVerest did not: EVerest may have done it when nobody recorded, or would have if it
/// had not been ended.
pub(super) struct Edges {
    /// From when EVerest was last heard of before it was started anew, to when it had ended at the latest.
    silences_ms: Vec<(i64, i64)>,
    end_ms: i64,
    /// How far from the recording's beginning and end they reach.
    edge_ms: i64,
    tolerance_ms: i64,
    /// Topics of replies to recorded requests: none of them came before the recording.
    replies: BTreeSet<String>,
    /// When the station ended.
    exits_ms: Vec<i64>,
    /// Lanes that nobody has waited for, however the rest was sent.
    unawaited: BTreeSet<String>,
}

impl Edges {
    pub(super) fn new(
        silences_ms: Vec<(i64, i64)>,
        end_ms: i64,
        edge_ms: i64,
        tolerance_ms: i64,
        replies: BTreeSet<String>,
    ) -> Self {
        Self { silences_ms, end_ms, edge_ms, tolerance_ms, replies, exits_ms: Vec::new(), unawaited: BTreeSet::new() }
    }

    /// With the times when the station ended: EVerest takes a while to end, and does what was under way.
    pub(super) fn with_exits(self, exits_ms: Vec<i64>) -> Self {
        Self { exits_ms, ..self }
    }

    /// With lanes that nobody can wait for.
    pub(super) fn with_unawaited(self, unawaited: BTreeSet<String>) -> Self {
        Self { unawaited, ..self }
    }

    fn is_ending(&self, at_ms: i64) -> bool {
        self.exits_ms.iter().any(|exit| (0..=self.tolerance_ms).contains(&(at_ms - exit)))
    }

    fn contain(&self, lane: &str, at_ms: i64) -> bool {
        at_ms < self.edge_ms && !self.replies.contains(lane)
            || at_ms > self.end_ms - if self.unawaited.contains(lane) { self.tolerance_ms } else { self.edge_ms }
            || self.silences_ms.iter().any(|(from, to)| (*from..=*to).contains(&at_ms))
    }
}

/// Compares. What the station did alone at the edges is no difference.
pub(super) fn compare(recorded: &[Outcome], simulated: Vec<Outcome>, edges: &Edges, mut left_out: Counter) -> Report {
    let tolerance_ms = edges.tolerance_ms;
    let mut lanes: BTreeMap<String, (VecDeque<Outcome>, VecDeque<Outcome>)> = BTreeMap::new();
    for outcome in recorded {
        lanes.entry(outcome.lane.clone()).or_default().0.push_back(outcome.clone());
    }
    for outcome in simulated {
        lanes.entry(outcome.lane.clone()).or_default().1.push_back(outcome);
    }
    let mut report = Report {
        outcomes: recorded.len(),
        reproduced: 0,
        differences: Vec::new(),
        other_ways: 0,
        is_open: false,
        left_out: Vec::new(),
        assumed_release: None,
    };
    for (lane, (recorded, simulated)) in lanes {
        for (recorded, simulated) in align(recorded, simulated, tolerance_ms) {
            let kind = match (&recorded, &simulated) {
                (Some(recorded), Some(simulated)) if recorded.payload != simulated.payload => Kind::Content,
                (Some(recorded), Some(simulated)) if !is_near(recorded, simulated, tolerance_ms) => Kind::Time,
                (Some(_), Some(_)) => {
                    report.reproduced += 1;
                    continue;
                }
                (Some(alone), None) if lane != exits::LANE && edges.is_ending(alone.t_ms) => {
                    report.outcomes -= 1;
                    left_out.add(Why::Ending, &lane);
                    continue;
                }
                (Some(_), None) => Kind::NotSimulated,
                (None, Some(alone)) if edges.contain(&lane, alone.t_ms) => {
                    left_out.add(Why::AtTheEdge, &lane);
                    continue;
                }
                (None, _) => Kind::NotRecorded,
            };
            report.differences.push(Difference { kind, lane: lane.clone(), recorded, simulated });
        }
    }
    report.differences.sort_by_key(Difference::t_ms);
    report.left_out = left_out.into_list();
    report
}

type Pair = (Option<Outcome>, Option<Outcome>);

/// Gives each outcome the partner that makes the least difference altogether.
fn align(mut left: VecDeque<Outcome>, mut right: VecDeque<Outcome>, tolerance_ms: i64) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let is_same = |l: Option<&Outcome>, r: Option<&Outcome>| {
        l.zip(r).is_some_and(|(l, r)| l.payload == r.payload && is_near(l, r, tolerance_ms))
    };
    while is_same(left.front(), right.front()) {
        pairs.push((left.pop_front(), right.pop_front()));
    }
    let mut tail = Vec::new();
    while is_same(left.back(), right.back()) {
        tail.push((left.pop_back(), right.pop_back()));
    }
    let (rows, columns) = (left.len() + 1, right.len() + 1);
    if rows.saturating_mul(columns) > LARGEST_TABLE {
        while !(left.is_empty() && right.is_empty()) {
            pairs.push((left.pop_front(), right.pop_front()));
        }
    } else {
        // The cost of what is left from here on.
        let mut costs = vec![0; rows * columns];
        for row in (0..rows).rev() {
            for column in (0..columns).rev() {
                costs[row * columns + column] = match (left.get(row), right.get(column)) {
                    (None, None) => 0,
                    (Some(_), None) => costs[(row + 1) * columns + column] + ALONE,
                    (None, Some(_)) => costs[row * columns + column + 1] + ALONE,
                    (Some(l), Some(r)) => {
                        let alone = costs[(row + 1) * columns + column].min(costs[row * columns + column + 1]) + ALONE;
                        let paired = costs[(row + 1) * columns + column + 1];
                        cost(l, r, tolerance_ms).map_or(alone, |cost| alone.min(paired + cost))
                    }
                };
            }
        }
        let (mut row, mut column) = (0, 0);
        while let Some(pair) = match (left.front(), right.front()) {
            (None, None) => None,
            (Some(l), Some(r)) => {
                let here = costs[row * columns + column];
                let paired = costs[(row + 1) * columns + column + 1];
                if cost(l, r, tolerance_ms).is_some_and(|cost| paired + cost == here) {
                    Some((left.pop_front(), right.pop_front()))
                } else if costs[(row + 1) * columns + column] + ALONE == here {
                    Some((left.pop_front(), None))
                } else {
                    Some((None, right.pop_front()))
                }
            }
            (Some(_), None) => Some((left.pop_front(), None)),
            (None, Some(_)) => Some((None, right.pop_front())),
        } {
            row += usize::from(pair.0.is_some());
            column += usize::from(pair.1.is_some());
            pairs.push(pair);
        }
    }
    pairs.extend(tail.into_iter().rev());
    pairs
}

/// What it costs to take two outcomes for the same; `None` if they have nothing in common.
fn cost(l: &Outcome, r: &Outcome, tolerance_ms: i64) -> Option<u32> {
    match (l.payload == r.payload, is_near(l, r, tolerance_ms)) {
        (true, true) => Some(0),
        (false, false) => None,
        _ => Some(CHANGED),
    }
}

fn is_near(l: &Outcome, r: &Outcome, tolerance_ms: i64) -> bool {
    l.t_ms.abs_diff(r.t_ms) <= tolerance_ms.unsigned_abs()
}

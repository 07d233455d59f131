//! Ends of EVerest as outcomes. Nobody sends them: the station says that it ends, and of EVerest a recording shows it by
//! silence.
//!
//! An EVerest that is started again may have been ended by hand. That counts as an outcome only where the station ends
//! too, or where a request stands that has ended some EVerest.

use serde_json::{Value, json};

use super::Outcome;
use super::left_out::{Counter, Why};
use super::lives::{End, Life};
use super::roles::Roles;
use crate::recording::{Message, Recording};

/// Where ends stand.
pub(super) const LANE: &str = "the end of EVerest";

/// The content of an end. Why it came to it, only the station knows: that is not compared.
pub(super) fn content() -> Value {
    json!("EVerest ends")
}

/// The ends of EVerest in a recording, and those of the station beside it.
pub(super) struct Exits {
    recorded: Vec<Outcome>,
    by_hand: Vec<End>,
    simulated_ms: Vec<i64>,
}

impl Exits {
    pub(super) fn new(
        recording: &Recording,
        roles: &Roles<'_>,
        lives: &[Life],
        simulated: &[Outcome],
        tolerance_ms: i64,
    ) -> Self {
        let simulated_ms: Vec<i64> =
            simulated.iter().filter(|outcome| outcome.lane == LANE).map(|outcome| outcome.t_ms).collect();
        let fatal: Vec<i64> =
            recording.messages.iter().filter(|it| roles.has_ended_some_everest(it)).map(Message::at_ms).collect();
        let mut exits = Self { recorded: Vec::new(), by_hand: Vec::new(), simulated_ms };
        for (index, life) in lives.iter().enumerate() {
            let Some(end) = life.end else { continue };
            let End { after_ms, before_ms } = end;
            let is_near = |at: &&i64| (after_ms - tolerance_ms..=before_ms + tolerance_ms).contains(*at);
            let station_ms = exits.simulated_ms.iter().find(is_near).copied();
            let is_last = index + 1 == lives.len();
            if !is_last && station_ms.is_none() && !fatal.iter().any(|at| is_near(&at)) {
                exits.by_hand.push(end);
                continue;
            }
            // It came some time between the two; that EVerest went on for too long shows in what it did.
            let in_life = || exits.simulated_ms.iter().find(|at| **at >= life.ready_ms).copied();
            let t_ms = station_ms.or_else(in_life).unwrap_or(after_ms);
            exits.recorded.push(Outcome { lane: LANE.to_owned(), line: None, t_ms, payload: content() });
        }
        exits
    }

    /// Whether nothing that was asked of EVerest explains an end: somebody ended it while it was silent.
    pub(super) fn is_by_hand(&self, end: &End) -> bool {
        self.by_hand.contains(end)
    }

    /// When the station ended.
    pub(super) fn simulated(&self) -> Vec<i64> {
        self.simulated_ms.clone()
    }

    pub(super) fn add_to(self, recorded: &mut Vec<Outcome>, left_out: &mut Counter) {
        recorded.extend(self.recorded);
        for _ in self.by_hand {
            left_out.add(Why::EndedByHand, LANE);
        }
    }
}

//! What EVerest's threads may do in one order or another, or a little later.
//!
//! In EVerest each token, timer and request has a thread of its own, and they share one lock that goes to whoever comes
//! first. Here the oldest comes first and times are kept exactly, unless a driver that is to follow a given EVerest
//! chooses otherwise. Decides nothing itself. Main type: [`Races`].

use std::collections::BTreeMap;
use std::time::Duration;

/// How late a timer may be, in milliseconds; which of them is a choice.
pub(super) const LATE_MS: [u64; 4] = [0, 15, 30, 50];
/// How many inputs may come before a withdraw request that waited for a token goes on; so long at most it waits for them.
pub(super) const OVERTAKERS: usize = 4;
pub(super) const OVERTAKEN_FOR: Duration = Duration::from_millis(50);

/// Choices by when they are met, and the how manieth at that time they are.
pub type Chosen = BTreeMap<(Duration, u32), usize>;

/// A point where EVerest may go on in more than one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Race {
    /// When.
    pub at: Duration,
    /// The how manieth at that time, from 0.
    pub nth: u32,
    /// In how many ways; the first is the one that is taken without a choice.
    pub ways: usize,
}

/// The choices of a driver, and where it has one.
#[derive(Debug, Clone, Default)]
pub(super) struct Races {
    chosen: Chosen,
    met: Vec<Race>,
    /// Whether anybody wants to know.
    is_watched: bool,
}

impl Races {
    pub(super) fn watched(chosen: Chosen) -> Self {
        Self { chosen, met: Vec::new(), is_watched: true }
    }

    /// Which of several ways is taken.
    pub(super) fn choose(&mut self, at: Duration, ways: usize) -> usize {
        if !self.is_watched || ways < 2 {
            return 0;
        }
        let nth = self.met.last().filter(|last| last.at == at).map_or(0, |last| last.nth + 1);
        self.met.push(Race { at, nth, ways });
        self.chosen.get(&(at, nth)).copied().filter(|way| *way < ways).unwrap_or(0)
    }

    pub(super) fn met(&self) -> &[Race] {
        &self.met
    }
}

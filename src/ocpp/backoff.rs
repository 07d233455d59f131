//! How long to wait before the next connection: longer each time, never for ever, and not all chargers at once.

use std::time::Duration;

/// The waits of one charger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    seed: u64,
    attempts: u32,
}

/// The first wait is at most so long; each next one twice as long.
const FIRST: Duration = Duration::from_secs(1);
/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(60);

impl Backoff {
    /// The same seed waits the same.
    pub fn new(seed: u64) -> Self {
        Self { seed, attempts: 0 }
    }

    /// The next wait: from half its length to the whole.
    pub fn next_wait(&mut self) -> Duration {
        let most = FIRST.saturating_mul(1 << self.attempts.min(16)).min(LONGEST);
        let jitter = mixed(self.seed.wrapping_add(self.attempts.into()));
        self.attempts = self.attempts.saturating_add(1);
        let half = u64::try_from(most.as_millis() / 2).unwrap_or(u64::MAX);
        Duration::from_millis(half + jitter % (half + 1))
    }

    /// It worked: the next wait is a short one.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// SplitMix64's finalizer (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
fn mixed(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_grow_within_their_bounds(seed: u64) {
            let mut backoff = Backoff::new(seed);
            let mut most = FIRST;
            for _ in 0..100 {
                let wait = backoff.next_wait();
                prop_assert!(wait >= most / 2 && wait <= most, "{wait:?} of {most:?}");
                most = (most * 2).min(LONGEST);
            }
            backoff.reset();
            prop_assert!(backoff.next_wait() <= FIRST);
        }
    }

    #[test]
    fn chargers_do_not_come_back_together() {
        let waits: std::collections::BTreeSet<_> = (0..100).map(|seed| Backoff::new(seed).next_wait()).collect();
        assert!(waits.len() > 80, "{}", waits.len());
        assert_eq!(Backoff::new(7).next_wait(), Backoff::new(7).next_wait());
    }
}

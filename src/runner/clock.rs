//! The time of a recording while it is played: as fast as recorded, faster, slower, or as fast as can be.

use std::time::Duration;

use tokio::time::Instant;

/// How fast a recording is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// So many times as fast as it was recorded; more than 0.
    Times(f64),
    /// Nothing is waited for but what the other side did in the recording.
    Max,
}

impl Speed {
    fn factor(self) -> f64 {
        match self {
            Speed::Times(factor) => factor,
            Speed::Max => 1.0,
        }
    }
}

/// Which time of the recording it is.
#[derive(Debug, Clone)]
pub struct Clock {
    speed: Speed,
    /// Where it was set, in the order of time: when, and to what; never empty.
    set: Vec<(Instant, i64)>,
}

impl Clock {
    /// At `at` it is `t_ms`.
    pub fn start(at: Instant, t_ms: i64, speed: Speed) -> Self {
        Self { speed, set: vec![(at, t_ms)] }
    }

    /// Whether it went at `at` already.
    pub fn has_begun(&self, at: Instant) -> bool {
        at >= self.set[0].0
    }

    /// Goes forward to `t_ms` at once.
    pub fn skip_to(&mut self, now: Instant, t_ms: i64) {
        self.set.push((now, t_ms));
    }

    /// When it will be `t_ms` at the latest, whatever is skipped until then. Not before the clock was first set.
    pub fn due(&self, t_ms: i64) -> Instant {
        let (at, from_ms) = self.set[0];
        at + self.span(t_ms - from_ms)
    }

    /// How long something takes now that took so many milliseconds then.
    pub fn span(&self, millis: i64) -> Duration {
        let millis = u64::try_from(millis).unwrap_or(0);
        Duration::from_millis(millis).div_f64(self.speed.factor())
    }

    /// How many milliseconds of the recording are as long as this.
    pub fn recorded_span(&self, span: Duration) -> i64 {
        (span.as_secs_f64() * 1000.0 * self.speed.factor()) as i64
    }

    /// What time of the recording it was. Where nothing is waited for, time stands still between what is done.
    pub fn recorded(&self, at: Instant) -> i64 {
        let before = self.set.iter().rev().find(|(set, _)| *set <= at).unwrap_or(&self.set[0]);
        let (set, t_ms) = *before;
        match at.checked_duration_since(set) {
            Some(_) if self.speed == Speed::Max => t_ms,
            Some(after) => t_ms + self.recorded_span(after),
            None => t_ms - self.recorded_span(set.duration_since(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_fast_as_it_is_told_to_be() {
        let now = Instant::now();
        let clock = Clock::start(now, 1000, Speed::Times(4.0));
        assert_eq!(clock.due(3000), now + Duration::from_millis(500));
        assert_eq!(clock.due(0), now);
        assert_eq!(clock.recorded(now + Duration::from_millis(500)), 3000);
        assert_eq!(clock.recorded(now - Duration::from_millis(100)), 600);
        let mut clock = Clock::start(now, 0, Speed::Max);
        let skipped = now + Duration::from_millis(10);
        clock.skip_to(skipped, 5000);
        assert_eq!((clock.recorded(now), clock.recorded(skipped)), (0, 5000));
        assert_eq!(clock.recorded(skipped + Duration::from_secs(9)), 5000);
        assert_eq!(clock.due(6000), now + Duration::from_secs(6));
    }
}

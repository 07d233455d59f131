//! How much later than asked for the harness itself is woken, so that a busy machine is not held against a module.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Time between two looks.
const TICK: Duration = Duration::from_millis(20);
/// Below this a late wake-up is no hold-up.
const TOLERATED: Duration = Duration::from_millis(20);

/// A meter; clones read the same one.
#[derive(Debug, Clone)]
pub struct Lag {
    measured: Arc<Mutex<Measured>>,
    _task: Arc<AbortOnDrop>,
}

#[derive(Debug)]
struct Measured {
    /// The hold-ups until the last look.
    total: Duration,
    /// When that was.
    last: Instant,
}

impl Measured {
    /// What a look is late by now.
    fn late(&self) -> Duration {
        Some(self.last.elapsed().saturating_sub(TICK)).filter(|late| *late > TOLERATED).unwrap_or_default()
    }
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Lag {
    /// Starts to measure on the current runtime.
    pub fn start() -> Self {
        let measured = Arc::new(Mutex::new(Measured { total: Duration::ZERO, last: Instant::now() }));
        let look = measured.clone();
        let task = tokio::spawn(async move {
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let mut measured = look.lock().unwrap_or_else(PoisonError::into_inner);
                let late = measured.late();
                measured.total += late;
                measured.last = Instant::now();
            }
        });
        Self { measured, _task: Arc::new(AbortOnDrop(task.abort_handle())) }
    }

    /// Waits until a hold-up that has just ended is counted.
    pub async fn settle(&self) {
        tokio::time::sleep(TICK * 2).await;
    }

    /// All hold-ups since the start, added up, with one that may just have ended.
    pub fn total(&self) -> Duration {
        let measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.total + measured.late()
    }
}

//! How much later than asked for the harness itself is woken, so that a busy machine is not held against a module.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    micros: Arc<AtomicU64>,
    _task: Arc<AbortOnDrop>,
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
        let micros = Arc::new(AtomicU64::new(0));
        let sum = micros.clone();
        let task = tokio::spawn(async move {
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            let mut last = Instant::now();
            loop {
                ticks.tick().await;
                let late = last.elapsed().saturating_sub(TICK);
                if late > TOLERATED {
                    sum.fetch_add(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
                }
                last = Instant::now();
            }
        });
        Self { micros, _task: Arc::new(AbortOnDrop(task.abort_handle())) }
    }

    /// Waits until a hold-up that has just ended is counted.
    pub async fn settle(&self) {
        tokio::time::sleep(TICK * 2).await;
    }

    /// All hold-ups since the start, added up.
    pub fn total(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }
}

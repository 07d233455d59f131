//! The heartbeat of an API module (`CommCheckHandler.hpp`, `heartbeat`; `ApiHelper.hpp`, `hb_id`). Publishes nothing
//! itself.

use std::time::Duration;

use crate::protocol::control::HeartbeatControl;
use crate::protocol::deviations::{Deviation, Deviations};

#[derive(Debug, Clone)]
pub(super) struct Heartbeat {
    /// `None` where the configuration has 0 or less.
    interval: Option<Duration>,
    next: u64,
    at: Option<Duration>,
    started: bool,
    paused: bool,
    /// The greatest number.
    last: u64,
}

impl Heartbeat {
    pub(super) fn new(interval_ms: i32, deviations: Deviations) -> Self {
        let last = if deviations.is_on(Deviation::NarrowHeartbeat) { u64::from(u32::MAX) } else { u64::MAX };
        let interval = u64::try_from(interval_ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis);
        Self { interval, next: 0, at: None, started: false, paused: false, last }
    }

    /// The first one comes at once.
    pub(super) fn start(&mut self, now: Duration) {
        self.started = true;
        self.at = self.interval.filter(|_| !self.paused).map(|_| now);
    }

    pub(super) fn at(&self) -> Option<Duration> {
        self.at
    }

    /// The number of the next one.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Takes the number of the one that is due and counts on, from the greatest to 0. A late one is not made up for.
    pub(super) fn beat(&mut self, now: Duration) -> u64 {
        let number = self.next;
        self.next = if number >= self.last { 0 } else { number + 1 };
        self.at = self.interval.map(|interval| now.saturating_add(interval));
        number
    }

    /// Changes it; says why if that means nothing.
    pub(super) fn control(&mut self, now: Duration, control: HeartbeatControl) -> Result<(), &'static str> {
        match control {
            HeartbeatControl::Pause => {
                self.paused = true;
                self.at = None;
            }
            HeartbeatControl::Resume if self.interval.is_none() => {
                return Err("heartbeats are switched off: they have no interval");
            }
            HeartbeatControl::Resume if !self.paused => return Err("heartbeats are not paused"),
            HeartbeatControl::Resume => {
                self.paused = false;
                self.at = Some(now).filter(|_| self.started);
            }
            HeartbeatControl::Every(0) => return Err("an interval of 0 ms between heartbeats"),
            HeartbeatControl::Every(ms) => {
                let interval = Duration::from_millis(ms);
                self.interval = Some(interval);
                self.at = Some(now.saturating_add(interval)).filter(|_| self.started && !self.paused);
            }
            HeartbeatControl::Next(number) => self.next = number.min(self.last),
        }
        Ok(())
    }
}

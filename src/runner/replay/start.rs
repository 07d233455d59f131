//! What comes before a recording is played to an EVerest: it is brought where EVerest was when the recording began, and
//! the recorded time is laid upon the live one.

use std::time::Duration;

use tokio::time::Instant;

use super::Player;
use crate::parity::Outcome;
use crate::parity::station_file::Everest;
use crate::protocol::channel::Channel;
use crate::protocol::side::Side;
use crate::runner::clock::{Clock, Speed};
use crate::runner::stop::Stop;

/// How long EVerest's state from before the recording may take to settle, beyond its own limits.
const SETTLES: Duration = Duration::from_millis(500);
/// How much longer than its interval a heartbeat may take.
const LATE: Duration = Duration::from_secs(5);

impl Player<'_, '_> {
    /// Brings the module where EVerest was at the beginning of the recording, and starts the clock.
    ///
    /// # Errors
    /// As [`Player::step`].
    pub(super) async fn begin(&mut self) -> Result<(), Stop> {
        self.look();
        if self.side == Side::Client {
            self.clock = Clock::start(Instant::now(), 0, self.replay.speed);
            return Ok(());
        }
        let (everest, checked) = self.replay.script.start(self.tolerance_ms());
        let consumer = &self.replay.script.file.station.auth_consumer;
        let check = u64::try_from(consumer.cfg_communication_check_to_s).unwrap_or(0);
        if everest == Everest::Running {
            match checked {
                Some(check) => {
                    let topic = self.stage.scene.topics.topic(Channel::COMMUNICATION_CHECK);
                    self.publish(&topic, check.to_string().into(), 0, false).await?;
                    self.pass(Instant::now() + SETTLES).await?;
                }
                // The fault that no check ever came was raised before.
                None if check > 0 => self.pass(Instant::now() + Duration::from_secs(check) + SETTLES).await?,
                None => {}
            }
        }
        let interval = u64::try_from(consumer.cfg_heartbeat_interval_ms).unwrap_or(0);
        if interval > 0 && self.has_beats() {
            // Then the live heartbeats can be laid upon the recorded ones.
            let deadline = Instant::now() + Duration::from_millis(interval) + LATE;
            while self.first(true).is_none() && Instant::now() < deadline {
                self.step(deadline).await?;
            }
        }
        let now = Instant::now();
        self.lag = self.stage.lookout.held_up();
        self.clock = match (everest, self.replay.speed) {
            (Everest::Starting, speed) => {
                let recorded = self.witness.recorded();
                let beat = recorded.iter().find(|outcome| self.witness.is_heartbeat(outcome)).map(|beat| beat.t_ms);
                match (self.first(true).zip(beat), self.first(false).zip(recorded.first())) {
                    (Some((at, t_ms)), _) => Clock::start(at, t_ms, speed),
                    (None, Some((at, first))) => Clock::start(at, first.t_ms, speed),
                    (None, None) => Clock::start(now, 0, speed),
                }
            }
            (Everest::Running, Speed::Times(1.0)) => {
                let interval = Duration::from_millis(interval);
                match self.first(true).zip(self.phase(interval)) {
                    // The next heartbeat but one at the latest has the place of a recorded one.
                    Some((at, phase)) => {
                        let mut at = at;
                        while at < now + phase {
                            at += interval;
                        }
                        Clock::start(at - phase, 0, self.replay.speed)
                    }
                    None => Clock::start(now, 0, self.replay.speed),
                }
            }
            (Everest::Running, speed) => Clock::start(now, 0, speed),
        };
        Ok(())
    }

    /// Whether there are heartbeats in the recording.
    fn has_beats(&self) -> bool {
        self.witness.recorded().iter().any(|outcome| self.witness.is_heartbeat(outcome))
    }

    /// When the first live heartbeat came, or the first outcome of all.
    fn first(&self, is_beat: bool) -> Option<Instant> {
        let is_it = |outcome: &Outcome| !is_beat || self.witness.is_heartbeat(outcome);
        self.live.iter().find_map(|(at, outcome)| is_it(outcome).then_some(*at))
    }

    /// Where in the interval the recorded heartbeats lie; most of them tell.
    fn phase(&self, interval: Duration) -> Option<Duration> {
        let interval = i64::try_from(interval.as_millis()).ok().filter(|interval| *interval > 0)?;
        let beats = self.witness.recorded().iter().filter(|outcome| self.witness.is_heartbeat(outcome));
        let times: Vec<i64> = beats.map(|beat| beat.t_ms).collect();
        let first = *times.first()?;
        let mut offsets: Vec<i64> =
            times.iter().map(|t_ms| (t_ms - first + interval / 2).rem_euclid(interval) - interval / 2).collect();
        offsets.sort_unstable();
        let phase = (first + offsets[offsets.len() / 2]).rem_euclid(interval);
        u64::try_from(phase).ok().map(Duration::from_millis)
    }
}

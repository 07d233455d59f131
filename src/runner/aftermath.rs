//! Waits, once the last step is over, until the module has taken what it was shown, and gathers what the judge needs to say
//! what that proves. Decides nothing itself.

use std::time::Duration;

use tokio::time::Instant;

use super::judging::view;
use super::observer::Observer;
use super::stage::{Stage, Stop, Wake};
use crate::conformance::judge::{Proof, WITHIN};
use crate::protocol::side::Side;

/// So many of its round trips a module gets to stumble over what it was shown last.
const AFTERMATH: u32 = 4;
/// And never more than this, unless the machine was busy.
const LONGEST_AFTERMATH: Duration = Duration::from_millis(100);
/// A process of its own needs as long to end as this, however fast it subscribed.
const LEAST_AFTERMATH: Duration = Duration::from_millis(25);
/// What a busy machine may add.
const BUSY: Duration = Duration::from_secs(1);

impl Stage<'_> {
    /// Waits until the module has taken what the scenario showed it, so that one that ends over the last message has
    /// ended within the scenario.
    ///
    /// # Errors
    /// As [`Stage::wait`].
    pub async fn let_it_take_in(&mut self) -> Result<(), Stop> {
        if self.scenario.model.under_test == Side::Everest {
            return self.let_it_speak_out().await;
        }
        self.observer.drain();
        let waiting = self.proof().yet_to_be_shown();
        let within = self.judge.case().within().max(WITHIN);
        let is_taken =
            |observer: &Observer| waiting.iter().all(|index| observer.deliveries.is_shown(&observer.messages[*index]));
        let taken = self.wait_until(within, is_taken).await?;
        let unacknowledged = self.observer.never_acknowledged();
        if taken.is_none() && !self.module.has_ended() && unacknowledged > 0 {
            return Err(super::findings::never_acknowledges(self, unacknowledged, within).into());
        }
        let least = if self.settings.module.is_builtin() { Duration::ZERO } else { LEAST_AFTERMATH };
        let aftermath = (self.round_trip * AFTERMATH).clamp(least, LONGEST_AFTERMATH) + self.lag.total().min(BUSY);
        let deadline = Instant::now() + aftermath;
        while self.wait(deadline).await? == Wake::Record {}
        Ok(())
    }

    /// All that is known of what was put to the test.
    pub fn proof(&self) -> Proof<'_> {
        let station = &self.scene.station;
        let interval = station.cadence(self.scene.topics.api).map_or(0, |cadence| cadence.heartbeat_ms);
        Proof {
            case: self.judge.case(),
            view: view(&self.observer),
            claims: self.judge.claims(),
            past: &self.judge.past,
            deliveries: &self.observer.deliveries,
            came_back: self.observer.connections.came_back,
            heartbeat_interval: Duration::from_millis(u64::try_from(interval).unwrap_or(0)),
            in_force: station.in_force(),
        }
    }
}

//! Waits, once the last step is over, until the module has taken what it was shown, and gathers what the judge needs to say
//! what that proves. Decides nothing itself.

use std::time::Duration;

use tokio::time::Instant;

use super::findings::{self, Stuck};
use super::lookout::Wake;
use super::observer::Observer;
use super::stage::Stage;
use super::stop::Stop;
use crate::conformance::judge::{Proof, WITHIN};
use crate::conformance::sighting::Sighting;
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
    /// As [`Lookout::wait`](super::lookout::Lookout::wait).
    pub async fn let_it_take_in(&mut self) -> Result<(), Stop> {
        self.lookout.awaited.phase(self.scene.scenario, "the module is to take in what it was sent");
        if self.scene.scenario.model.under_test == Side::Everest {
            return self.let_it_speak_out().await;
        }
        self.lookout.observer.drain();
        let waiting = self.proof().yet_to_be_shown();
        let within = self.case().within().max(WITHIN);
        let is_taken =
            |observer: &Observer| waiting.iter().all(|index| observer.deliveries.is_shown(&observer.messages[*index]));
        let taken = self.lookout.wait_until(within, is_taken).await?;
        let unacknowledged = self.lookout.observer.never_acknowledged();
        if taken.is_none() && !self.lookout.module.has_ended() && unacknowledged > 0 {
            return Err(findings::never_acknowledges(self.case(), unacknowledged, within).into());
        }
        if let Some(stuck) = self.stuck_at(&waiting).filter(|_| taken.is_none()) {
            let deliveries = &self.lookout.observer.deliveries;
            let stuck = Stuck { message: stuck, is_uncompleted: deliveries.is_uncompleted(stuck) };
            let finding = match deliveries.is_overtaken(stuck.message) {
                true => findings::skipped_acknowledgement,
                false => findings::stopped_acknowledging,
            };
            return Err(finding(self.case(), stuck, within).into());
        }
        let least = if self.scene.settings.module.is_builtin() { Duration::ZERO } else { LEAST_AFTERMATH };
        let aftermath =
            (self.learnt.round_trip * AFTERMATH).clamp(least, LONGEST_AFTERMATH) + self.lookout.held_up().min(BUSY);
        let deadline = Instant::now() + aftermath;
        while self.lookout.wait(deadline).await? == Wake::Record {}
        Ok(())
    }

    /// The first of these messages that the module was handed over the connection that it has now, and has not
    /// acknowledged, if no fault of the wire explains that.
    fn stuck_at(&self, waiting: &[usize]) -> Option<&Sighting> {
        let observer = &self.lookout.observer;
        if self.lookout.module.has_ended() || self.lookout.faults.is_any || !observer.connections.is_connected() {
            return None;
        }
        let mut waiting = waiting.iter().map(|index| &observer.messages[*index]);
        waiting.find(|seen| observer.deliveries.is_delivered(seen) && !observer.deliveries.is_shown(seen))
    }

    /// All that is known of what was put to the test.
    pub fn proof(&self) -> Proof<'_> {
        let station = &self.scene.station;
        let interval = station.cadence(self.scene.topics.api).map_or(0, |cadence| cadence.heartbeat_ms);
        Proof {
            case: self.case(),
            view: self.lookout.observer.view(),
            claims: self.judging.judge.claims(),
            past: &self.judging.judge.past,
            deliveries: &self.lookout.observer.deliveries,
            came_back: self.lookout.observer.connections.came_back,
            gone_at: self.lookout.observer.connections.gone_at,
            heartbeat_interval: Duration::from_millis(u64::try_from(interval).unwrap_or(0)),
            in_force: station.in_force(),
        }
    }
}

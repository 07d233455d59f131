//! Whether a client that is never ready waits for the beacon, which EVerest says at its own start alone: it is said again
//! to see whether that wakes the client.
//!
//! Judges nothing else. What ready means is for [`super::readiness`].

use std::time::Duration;

use super::observer::{Observer, is_own};
use super::stage::Stage;
use super::stop::Stop;
use crate::diagnostic::words::shown;
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::channel::EntryPoint;
use crate::protocol::deviations::Deviation;
use crate::sim::everest::Order;
use crate::transcript::record::{Direction, Event, Record};

/// Who subscribes within this of a beacon, after long doing nothing of the kind, does it for the beacon.
const REACTION: Duration = Duration::from_secs(1);

impl Stage<'_> {
    /// What is to be said of a client that did not become ready in all of its time, which it was `waited` for, and does when it has
    /// seen a beacon. `is_ready` is what ready means.
    ///
    /// # Errors
    /// As [`Lookout::wait`](super::lookout::Lookout::wait).
    pub(super) async fn wake_by_beacon(
        &mut self,
        is_ready: impl Fn(&Observer) -> bool,
        waited: Duration,
    ) -> Result<Option<Diagnostic>, Stop> {
        let within = self.scene.settings.ready_within;
        let topic = EntryPoint::beacon_topic(&self.scene.topics.external_prefix);
        let waits = !self.lookout.module.has_ended() && self.lookout.observer.connections.is_subscribed(&topic);
        if !waits || self.scene.station.in_force().is_on(Deviation::NoEntryPoint) {
            return Ok(None);
        }
        // One that is on its way would have come anyway.
        let records = &self.lookout.observer.records;
        let moved = records.iter().rev().find(|record| is_of_subscribing(record)).map_or(Duration::ZERO, |it| it.at);
        let (said, now) = (records.len(), self.judging.now());
        if now.saturating_sub(moved) < waited / 2 {
            return Ok(None);
        }
        let payload = bytes::Bytes::from_static(b"{}");
        self.cast.played.order(Order::Publish { topic, payload, qos: 2, retain: false })?;
        let reacts = |observer: &Observer| observer.records[said..].iter().any(is_of_subscribing);
        if self.lookout.wait_until(REACTION, reacts).await?.is_none() {
            return Ok(None);
        }
        if self.lookout.wait_until(within, is_ready).await?.is_none() {
            return Ok(None);
        }
        self.lookout.experience.set_asleep();
        let module = &self.scene.topics.module_id;
        let headline = format!("module `{module}` did nothing for {} and began when it saw a beacon", shown(waited));
        let help = "let the client begin when it has connected: EVerest says its beacon once, when it starts, and may \
                    have started long before";
        let finding = Diagnostic::new(Severity::Fail, "module/waits-for-beacon", headline)
            .about(Subject::NotReady)
            .at(self.scene.scenario.place("/under_test"))
            .breaking("DI-6")
            .with_evidence(format!("ran: {}", self.lookout.module.description))
            .with_evidence("the beacon was said again, and the client subscribed at once".to_owned())
            .with_help(help);
        Ok(Some(finding))
    }
}

/// Whether the module has connected or subscribes.
fn is_of_subscribing(record: &Record) -> bool {
    let is_so = match &record.event {
        Event::Packet { direction, kind, .. } => *direction == Direction::FromClient && *kind == "SUBSCRIBE",
        event => matches!(event, Event::Connected { .. }),
    };
    is_so && !is_own(&record.client)
}

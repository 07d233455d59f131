//! What a scenario proves of the module under test: what it was shown, and what it did.
//!
//! A scenario in which nothing could have gone wrong for the module has not judged it. A message of khumbu's own counts
//! only where the broker has delivered it to the module, and the module has acknowledged it.

use std::time::Duration;

use tokio::time::Instant;

use super::observer::Observer;
use super::settings::ModuleSource;
use super::stage::{Stage, Stop, Wake};
use crate::conformance::judge::WITHIN;
use crate::conformance::occasions::{Fact, Facts, Fate, lacking};
use crate::conformance::sighting::{Kind, Party, Sighting};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::{Channel, EntryPoint};
use crate::protocol::schema::Message;
use crate::protocol::side::Side;
use crate::verdict::Evidence;

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
        let observer = &self.observer;
        let waiting: Vec<usize> = (0..observer.messages.len())
            .filter(|index| {
                let seen = &observer.messages[*index];
                // What came while it was away is lost to it.
                let is_meant = self.is_for_module(seen)
                    && self.judge.claims().of(seen.seq).is_some()
                    && seen.seq >= self.judge.past.ready_since
                    && observer.connections.is_subscribed(&seen.publish.topic);
                let deliveries = &observer.deliveries;
                seen.from == Party::Harness && !deliveries.is_shown(seen) && (deliveries.is_delivered(seen) || is_meant)
            })
            .collect();
        let within = self.judge.case().within().max(WITHIN);
        let is_taken =
            |observer: &Observer| waiting.iter().all(|index| observer.deliveries.is_shown(&observer.messages[*index]));
        let taken = self.wait_until(within, is_taken).await?;
        let unacknowledged = self.observer.never_acknowledged();
        if taken.is_none() && !self.module.has_ended() && unacknowledged > 0 {
            return Err(super::findings::never_acknowledges(self, unacknowledged, within).into());
        }
        let least = if self.settings.module == ModuleSource::Builtin { Duration::ZERO } else { LEAST_AFTERMATH };
        let aftermath = (self.round_trip * AFTERMATH).clamp(least, LONGEST_AFTERMATH) + self.lag.total().min(BUSY);
        let deadline = Instant::now() + aftermath;
        while self.wait(deadline).await? == Wake::Record {}
        Ok(())
    }

    /// What the module was shown and what it did.
    pub fn evidence(&self) -> Evidence {
        let mut evidence = Evidence::default();
        for seen in &self.observer.messages {
            let list = match (seen.from, self.is_for_module(seen)) {
                (Party::Module, _) if seen.kind != Kind::Other => &mut evidence.did,
                (Party::Harness, true) if self.observer.deliveries.is_shown(seen) => &mut evidence.shown,
                (Party::Harness, true) if self.judge.claims().of(seen.seq).is_some() => &mut evidence.not_shown,
                _ => continue,
            };
            *list.entry(seen.kind.name()).or_default() += 1;
        }
        evidence
    }

    /// What a scenario that was played to its end has not put to the test.
    pub fn unproven(&self, evidence: &Evidence) -> Vec<Diagnostic> {
        let module = super::findings::culprit(self);
        if !self.could_have_gone_wrong() {
            let headline = format!(
                "nothing could have gone wrong for {module}: it was shown nothing of what the scenario is about, and nothing was asked of it"
            );
            let help = "let it subscribe to what the scenario shows, or ask something of it, for example \
                        `expect: {message: communication_check, payload: true}`";
            let diagnostic = Diagnostic::new(Severity::Inconclusive, "scenario/demands-nothing", headline)
                .at(self.scenario.place("/steps"))
                .with_lines(self.missed(evidence))
                .with_help(help);
            return vec![diagnostic];
        }
        if self.scenario.model.under_test == Side::Everest {
            return Vec::new();
        }
        let facts = self.facts();
        let station = &self.scene.station;
        let interval = station.cadence(self.scene.topics.api).map_or(0, |cadence| cadence.heartbeat_ms);
        let facts = Facts {
            messages: &facts,
            came_back: self.observer.connections.came_back,
            heartbeat_interval: Duration::from_millis(u64::try_from(interval).unwrap_or(0)),
            in_force: station.in_force(),
        };
        let requirements = self.scenario.model.requirements.iter().enumerate();
        let unproven = requirements.filter_map(|(index, id)| Some((index, id, lacking(id, facts)?)));
        let mut found: Vec<_> = unproven
            .map(|(index, id, lack)| {
                Diagnostic::new(
                    Severity::Inconclusive,
                    "scenario/no-occasion",
                    format!("{id} was not put to the test: {module} {lack}"),
                )
                .at(self.scenario.place(&format!("/requirements/{index}")))
                .with_lines(self.missed(evidence))
                .with_help("let the module subscribe to what the scenario shows it")
            })
            .collect();
        if found.is_empty() && !evidence.not_shown.is_empty() {
            let headline = format!("{module} was not shown all that the scenario expects of khumbu's own side");
            found.push(
                Diagnostic::new(Severity::Note, "scenario/not-shown", headline).with_lines(self.missed(evidence)),
            );
        }
        found
    }

    /// Whether the scenario asked something of the module, or showed it something that it could stumble over.
    fn could_have_gone_wrong(&self) -> bool {
        let is_routine = |seen: &Sighting| {
            matches!(seen.kind, Kind::Channel(Channel::HEARTBEAT | Channel::COMMUNICATION_CHECK) | Kind::Other)
        };
        let is_claimed = |seen: &Sighting| self.judge.claims().of(seen.seq).is_some();
        self.judged > 0
            || self.observer.messages.iter().any(|seen| match seen.from {
                Party::Module => is_claimed(seen) || !is_routine(seen),
                Party::Harness => {
                    let is_shown = self.is_for_module(seen) && self.observer.deliveries.is_shown(seen);
                    is_shown && (is_claimed(seen) || !is_routine(seen))
                }
            })
    }

    /// What it was not shown, in words, and what it listens to.
    fn missed(&self, evidence: &Evidence) -> Vec<String> {
        let mut lines: Vec<_> =
            evidence.not_shown.iter().map(|(name, count)| format!("not shown to it: {count} {name}")).collect();
        let filters = self.observer.connections.subscriptions.values().flatten();
        let filters: Vec<_> = filters.map(|filter| self.elided(filter)).collect();
        lines.push(match filters.as_slice() {
            [] => "it subscribes to nothing".to_owned(),
            filters => format!("it subscribes to: {}", filters.join(", ")),
        });
        lines
    }

    fn is_for_module(&self, seen: &Sighting) -> bool {
        self.observer.concerns_module(seen, self.scenario.model.under_test, self.scene.topics.api)
    }

    fn facts(&self) -> Vec<Fact<'_>> {
        let observer = &self.observer;
        let facts = observer.messages.iter().filter_map(|seen| {
            let fate = match (seen.from, self.is_for_module(seen)) {
                (Party::Module, _) => Fate::Sent,
                (Party::Harness, true) if self.observer.deliveries.is_shown(seen) => Fate::Shown,
                (Party::Harness, true) => Fate::Missed,
                (Party::Harness, false) => return None,
            };
            let message = match &seen.kind {
                Kind::Channel(channel) => Message::On(*channel),
                Kind::EntryPoint(EntryPoint::Discover | EntryPoint::QueryModules(_)) => Message::DISCOVER_REQUEST,
                Kind::Answer(_) => Message::DISCOVER_REPLY,
                Kind::Reply(index) => match &observer.requests()[*index].kind {
                    Kind::Channel(channel) => Message::reply_to(*channel)?,
                    _ => return None,
                },
                _ => return None,
            };
            let (payload, json) = (&*seen.publish.payload, seen.json.as_ref());
            Some(Fact { fate, message, at: seen.at, payload, json })
        });
        facts.collect()
    }
}

//! Whether a client under test still reads when the last step is over. What comes at QoS 0 nobody acknowledges, and what comes
//! once more was acknowledged before: where what reads has ended over that, mostly a thread, the rest of the client may speak on as
//! if nothing had happened. Who does not read does not see either that its connection is lost, and does not connect again.
//!
//! And whether one that has lost its connection before listens again: it waits for that. And whether one whose communication check
//! stays out does not send any more, or only takes its time.
//!
//! It cuts off and watches; what that proves, other scenarios say ([`crate::suite::settle`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::experience::REACTION;
use super::observer::{Observer, is_own};
use super::stage::Stage;
use crate::conformance::monitors::SETTLED;
use crate::conformance::sighting::{Kind, Party, Sighting};
use crate::diagnostic::words::shown;
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::channel::Channel;
use crate::protocol::side::Side;
use crate::transcript::record::{Direction, Event, Record};

/// What the scenarios of a run learn of it.
const CHECK: &str = "a communication check that is late";
/// An acknowledgement that is on its way comes within this.
const LAST_WORD: Duration = Duration::from_millis(200);
/// What holds a client up for longer has stopped it, as far as anybody can wait for that.
const ONLY_LATE: Duration = Duration::from_secs(15);
/// Most clients try again after a second, and few wait longer than five.
const BACK_WITHIN: Duration = Duration::from_secs(8);

impl Stage<'_> {
    /// Waits until a client that is connected again listens to what it listened to, or has had the time for it.
    pub async fn listens_again(&mut self) {
        let listens = |observer: &Observer| !observer.monitors.may_subscribe_again();
        if !listens(&self.lookout.observer) {
            self.lookout.awaited.phase(self.scene.scenario, "the module is to subscribe again to what it listened to");
            // What comes of it, the monitors say.
            let _ = self.lookout.wait_until(SETTLED, listens).await;
        }
    }

    /// Waits for a communication check that has not come in time: if it comes after all, nothing has stopped the client, and it breaks
    /// CC-8, not what the scenario is about.
    pub async fn is_only_late(&mut self, found: &mut Diagnostic) {
        let is_missed = found.id == "expect/missing" && found.requirement.is_none() && found.owed_by == Some("CC-8");
        let is_in_haste = self.scene.settings.back_within.is_some();
        let is_about_checks = self.about.is_none_or(|about| about.id == "CC-8");
        // Who has lost its connection may not have come back, or not have begun anew: monitors tell these apart.
        let has_lost = |record: &Record| !is_own(&record.client) && matches!(record.event, Event::Disconnected { .. });
        if !is_missed || is_in_haste || is_about_checks || self.lookout.observer.records.iter().any(has_lost) {
            return;
        }
        let seen = self.lookout.observer.messages.len();
        let is_check = |message: &Sighting| {
            message.from == Party::Module && message.kind == Kind::Channel(Channel::COMMUNICATION_CHECK)
        };
        let comes = |observer: &Observer| observer.messages[seen..].iter().any(is_check);
        self.lookout.awaited.phase(self.scene.scenario, "the module is to send the check that has not come in time");
        let experience = self.lookout.experience.clone();
        let came = tokio::select! {
            biased;
            came = self.lookout.wait_until(ONLY_LATE, comes) => came,
            () = experience.in_vain(CHECK, ONLY_LATE, REACTION) => return,
        };
        match came {
            Ok(Some(())) => {
                experience.has_done(CHECK.to_owned());
                (found.requirement, found.owed_by) = (Some("CC-8"), None);
                found.evidence.push("it sent one later, so that nothing has stopped it".to_owned());
            }
            Ok(None) => experience.has_not_done(CHECK.to_owned(), ONLY_LATE),
            Err(_) => {}
        }
    }

    /// Cuts the clients off of which nobody knows whether they have read what they were handed last, and says if none comes back.
    /// Nothing if there are none, or if the module ends, or nothing more can be seen.
    pub async fn stops_reading(&mut self) -> Option<Diagnostic> {
        if self.scene.scenario.model.under_test == Side::Everest || self.lookout.module.has_ended() {
            return None;
        }
        self.lookout.observer.drain();
        let reads = |observer: &Observer| in_doubt(&observer.records).is_empty();
        if !matches!(self.lookout.wait_until(LAST_WORD, reads).await, Ok(None)) {
            return None;
        }
        let in_doubt = in_doubt(&self.lookout.observer.records);
        self.lookout.awaited.phase(self.scene.scenario, "the module is to connect again, as one does that still reads");
        self.lookout.observer.monitors.module_cut_off();
        let seen = self.lookout.observer.records.len();
        for client in &in_doubt {
            self.broker.disconnect(client);
        }
        let within = BACK_WITHIN.min(self.scene.settings.ready_within);
        let is_back = self.lookout.wait_until(within, |observer| tries_again(&observer.records[seen..])).await;
        if self.lookout.module.has_ended() || !matches!(is_back, Ok(None)) {
            return None;
        }
        let headline = format!(
            "{} was cut off after the last step, and did not connect again within {}",
            self.case().culprit(),
            shown(within)
        );
        let finding = Diagnostic::new(Severity::Warning, "module/reads-no-more", headline)
            .about(Subject::ModuleEnd)
            .at(self.scene.scenario.labelled("/under_test", ""))
            .with_evidence(
                "it did not acknowledge what it was handed last, as nobody does at QoS 0, and may not have read it",
            );
        Some(finding.with_help("what reads the module's messages may have ended: look at what the module prints"))
    }
}

/// Whether a client of the module tries to connect.
fn tries_again(records: &[Record]) -> bool {
    let is_try = |event: &Event| matches!(event, Event::Connected { .. } | Event::Refused { .. });
    records.iter().any(|record| !is_own(&record.client) && is_try(&record.event))
}

/// What is known of a connection of a client.
#[derive(Debug, Default)]
struct Reading {
    /// What waits for an acknowledgement, by packet identifier, with the record by which it was handed over.
    handed: BTreeMap<u16, u64>,
    /// The last of these, or of those that need none.
    last: Option<u64>,
    /// The last record that the client has acknowledged, and so has read.
    read: Option<u64>,
}

/// The module's clients that are connected and were handed something after all that they have acknowledged.
fn in_doubt(records: &[Record]) -> Vec<Arc<str>> {
    let mut clients: BTreeMap<&Arc<str>, Reading> = BTreeMap::new();
    for record in records.iter().filter(|record| !is_own(&record.client)) {
        match &record.event {
            Event::Connected { .. } => drop(clients.insert(&record.client, Reading::default())),
            Event::Disconnected { cause, .. } if !cause.contains("taken over") => drop(clients.remove(&record.client)),
            Event::Publish { direction: Direction::ToClient, publish } => {
                let Some(reading) = clients.get_mut(&record.client) else { continue };
                reading.last = Some(record.seq);
                if publish.qos > 0 {
                    reading.handed.insert(publish.pkid, record.seq);
                }
            }
            Event::Packet { direction: Direction::FromClient, kind: "PUBACK" | "PUBREC" | "PUBCOMP", pkid } => {
                let Some(reading) = clients.get_mut(&record.client) else { continue };
                reading.read = reading.read.max(reading.handed.get(pkid).copied());
            }
            _ => {}
        }
    }
    let doubtful = clients.into_iter().filter(|(_, reading)| reading.last > reading.read);
    doubtful.map(|(client, _)| client.clone()).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::runner::observer::own_client;
    use crate::transcript::record::Publish;

    /// The clients in doubt after these events, each with its client.
    fn doubted(events: &[(&str, Event)]) -> Vec<String> {
        let records: Vec<_> = (0..)
            .zip(events)
            .map(|(seq, (client, event))| Record {
                seq,
                at: Duration::ZERO,
                client: (*client).into(),
                event: event.clone(),
            })
            .collect();
        in_doubt(&records).iter().map(ToString::to_string).collect()
    }

    fn connected() -> Event {
        Event::Connected { protocol: 4, clean: true, session_present: false, keep_alive: 1, will: None }
    }

    fn lost(cause: &str) -> Event {
        Event::Disconnected { cause: cause.to_owned(), clean: false }
    }

    fn handed(qos: u8, pkid: u16) -> Event {
        let publish = Publish { topic: "t".into(), payload: Bytes::new(), qos, retain: false, dup: false, pkid };
        Event::Publish { direction: Direction::ToClient, publish }
    }

    fn acknowledged(kind: &'static str, pkid: u16) -> Event {
        Event::Packet { direction: Direction::FromClient, kind, pkid }
    }

    #[test]
    fn what_comes_behind_all_that_is_acknowledged_may_not_be_read() {
        let puback = |pkid| ("a", acknowledged("PUBACK", pkid));
        let begins = [("a", connected()), ("a", handed(0, 0))];
        assert_eq!(doubted(&begins), ["a"]);
        let acknowledges = [&begins[..], &[("a", handed(1, 1)), puback(1)]].concat();
        assert_eq!(doubted(&acknowledges), [""; 0], "it has read on");
        assert_eq!(doubted(&[&acknowledges[..], &[("a", handed(0, 0))]].concat()), ["a"]);
        let earlier = [("a", connected()), ("a", handed(1, 1)), ("a", handed(0, 0)), puback(1)];
        assert_eq!(doubted(&earlier), ["a"], "it has acknowledged what came before");
        assert_eq!(doubted(&[&begins[..], &[("a", acknowledged("PINGREQ", 0))]].concat()), ["a"]);
        let again = [&acknowledges[..], &[("a", handed(1, 1))]].concat();
        assert_eq!(doubted(&again), ["a"], "it has acknowledged that before");
        assert_eq!(doubted(&[&again[..], &[puback(1)]].concat()), [""; 0]);
    }

    #[test]
    fn each_connection_of_the_module_is_looked_at_by_itself() {
        let begins = [("a", connected()), ("b", connected()), ("a", handed(0, 0))];
        let then = |event: (&'static str, Event)| doubted(&[&begins[..], &[event]].concat());
        assert_eq!(then(("b", handed(0, 0))), ["a", "b"]);
        assert_eq!(then(("a", lost("cut off"))), [""; 0]);
        assert_eq!(then(("a", lost("taken over"))), ["a"]);
        assert_eq!(then(("a", connected())), [""; 0], "it has read a CONNACK since");
        let own = own_client();
        assert_eq!(doubted(&[(&own, connected()), (&own, handed(0, 0))]), [""; 0]);
    }
}

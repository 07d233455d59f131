//! What became of khumbu's own messages: which of them the module was handed, and which it has acknowledged.
//!
//! Keeps count and judges nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::conformance::losses::Losses;
use crate::conformance::sighting::Sighting;
use crate::transcript::injected::{Copies, Effect};
use crate::transcript::record::{Direction, Event, Record};

/// More messages of khumbu's own than wait for their delivery at any time.
const REMEMBERED: usize = 64;

/// Khumbu's own messages, by the numbers of their records.
#[derive(Debug, Default)]
pub struct Deliveries {
    /// What injected faults befell, of everybody's messages.
    pub losses: Losses,
    /// The last ones, latest first.
    sent: VecDeque<(u64, Arc<str>, Bytes)>,
    delivered: BTreeSet<u64>,
    /// The same, with what was lost with a connection.
    handed: BTreeSet<u64>,
    shown: BTreeSet<u64>,
    /// What the module was handed at QoS 2.
    exactly_once: BTreeSet<u64>,
    /// What the module was handed with another payload, by an injected fault.
    broken: BTreeSet<u64>,
    /// What the module had yet to acknowledge when it acknowledged something that it was handed later.
    overtaken: BTreeSet<u64>,
    /// What the module has yet to acknowledge, by client and packet identifier.
    unacknowledged: BTreeMap<(Arc<str>, u16), Open>,
    /// What the module has received for good at QoS 2 and was told to release, and has not.
    uncompleted: BTreeSet<u64>,
}

/// A message that the module has yet to acknowledge: by PUBACK, or by PUBREC and then PUBCOMP.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// The record of the message.
    seq: u64,
    /// The record with which the module was last waited for: the message was handed over, or its PUBREL.
    since: u64,
    /// Whether its PUBCOMP is all that is missing.
    is_released: bool,
}

impl Deliveries {
    /// Khumbu has published a message.
    pub fn sent(&mut self, seen: &Sighting) {
        self.sent.truncate(REMEMBERED - 1);
        self.sent.push_front((seen.seq, seen.publish.topic.clone(), seen.publish.payload.clone()));
    }

    /// The module was handed a message: the latest with this topic and payload that was not, or not acknowledged.
    pub fn handed_over(&mut self, seen: &Sighting) {
        let publish = &seen.publish;
        let same = || {
            let same =
                self.sent.iter().filter(|(_, topic, payload)| (topic, payload) == (&publish.topic, &publish.payload));
            same.map(|(seq, ..)| *seq)
        };
        let anew = same().find(|seq| !self.delivered.contains(seq));
        let on_topic = self.sent.iter().rev().filter(|(_, topic, _)| *topic == publish.topic).map(|(seq, ..)| *seq);
        let is_corrupt = |seq: &u64| matches!(self.losses.of(*seq), Some((_, Effect::Corrupt(_))));
        let broken = on_topic.filter(is_corrupt).find(|seq| !self.broken.contains(seq));
        if let (None, Some(seq)) = (anew, broken) {
            self.broken.insert(seq);
            return;
        }
        let Some(seq) = anew.or_else(|| same().find(|seq| !self.shown.contains(seq))) else { return };
        self.delivered.insert(seq);
        self.handed.insert(seq);
        if publish.qos == 2 {
            self.exactly_once.insert(seq);
        }
        match publish.qos {
            0 => drop(self.shown.insert(seq)),
            _ => {
                let open = Open { seq, since: seen.seq, is_released: false };
                self.unacknowledged.insert((seen.client.clone(), publish.pkid), open);
            }
        }
    }

    /// Takes note of an acknowledgement that passed between the broker and the module.
    ///
    /// At QoS 2 a message counts as taken with PUBREC only as long as no PUBREL asks for PUBCOMP, which is when many libraries
    /// show it to their user.
    pub fn acknowledged(&mut self, record: &Record) {
        let Event::Packet { direction, kind, pkid } = record.event else { return };
        let key = (record.client.clone(), pkid);
        let Some(open) = self.unacknowledged.get_mut(&key) else { return };
        let (seq, since) = (open.seq, open.since);
        match (direction, kind) {
            (Direction::ToClient, "PUBREL") => {
                (open.since, open.is_released) = (record.seq, true);
                self.shown.remove(&seq);
                self.uncompleted.insert(seq);
                return;
            }
            (Direction::FromClient, "PUBREC") => {}
            (Direction::FromClient, "PUBACK" | "PUBCOMP") => drop(self.unacknowledged.remove(&key)),
            _ => return,
        }
        self.uncompleted.remove(&seq);
        self.shown.insert(seq);
        // Whoever is waited for longer, and has not answered, has been passed over.
        let earlier = self.unacknowledged.iter().filter(|((of, _), other)| *of == key.0 && other.since < since);
        let earlier = earlier.map(|(_, other)| other.seq).filter(|seq| !self.shown.contains(seq));
        self.overtaken.extend(earlier);
    }

    /// A connection of the module is over: what it has not acknowledged on it, it never will. What its session keeps is
    /// handed over anew, or if the module has received it, released anew.
    pub fn connection_over(&mut self, client: &Arc<str>) {
        let delivered = &mut self.delivered;
        self.unacknowledged.retain(|(of, _), open| {
            let is_over = of == client;
            if is_over {
                delivered.remove(&open.seq);
            }
            !is_over || open.is_released
        });
    }

    /// Whether the broker has handed a message to the module.
    pub fn is_delivered(&self, seen: &Sighting) -> bool {
        self.delivered.contains(&seen.seq)
    }

    /// The same, where it counts as well what was lost with a connection before the module acknowledged it.
    pub fn was_handed(&self, seen: &Sighting) -> bool {
        self.handed.contains(&seen.seq)
    }

    /// Whether the broker has handed it to the module, which has acknowledged it as its QoS asks.
    pub fn is_shown(&self, seen: &Sighting) -> bool {
        self.shown.contains(&seen.seq)
    }

    /// Whether the module has acknowledged over the same connection what it was handed later.
    pub fn is_overtaken(&self, seen: &Sighting) -> bool {
        self.overtaken.contains(&seen.seq)
    }

    /// Whether PUBCOMP is all that the module still owes for it.
    pub fn is_uncompleted(&self, seen: &Sighting) -> bool {
        self.uncompleted.contains(&seen.seq)
    }

    /// What became of a message on its way, by an injected fault. What is delivered exactly once is never redelivered.
    pub fn befell(&self, seq: u64) -> Option<Effect> {
        let (_, effect) = self.losses.of(seq)?;
        let is_none = effect == Effect::Duplicate(Copies::Redelivery) && self.exactly_once.contains(&seq);
        (!is_none).then_some(effect)
    }

    /// Whether the broker has handed a message to the module with another payload.
    pub fn is_broken(&self, seen: &Sighting) -> bool {
        self.broken.contains(&seen.seq)
    }

    /// The clients of the messages that are not acknowledged.
    pub fn unacknowledged(&self) -> impl Iterator<Item = &Arc<str>> {
        self.unacknowledged.keys().map(|(client, _)| client)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::time::Duration;

    use super::*;
    use crate::conformance::sighting::{Classifier, Party};
    use crate::protocol::channel::{ApiType, Topics};
    use crate::transcript::injected::{Corruption, Injected};
    use crate::transcript::record::Publish;

    fn passes(seq: u64, direction: Direction, payload: &'static str, qos: u8, pkid: u16) -> Sighting {
        let topics = Topics {
            api: ApiType::AUTH_CONSUMER,
            external_prefix: String::new(),
            api_version: "1".into(),
            module_id: "api".into(),
        };
        let publish = Publish { topic: "t".into(), payload: payload.into(), qos, retain: false, dup: false, pkid };
        let from = if direction == Direction::FromClient { Party::Harness } else { Party::Module };
        let record =
            Record { seq, at: Duration::ZERO, client: "c".into(), event: Event::Publish { direction, publish } };
        Classifier::new(topics, &[]).sight(&record, from).unwrap()
    }

    fn sent(seq: u64, payload: &'static str) -> Sighting {
        passes(seq, Direction::FromClient, payload, 1, 1)
    }

    fn handed(payload: &'static str, qos: u8, pkid: u16) -> Sighting {
        passes(1000 + u64::from(pkid), Direction::ToClient, payload, qos, pkid)
    }

    fn packet(seq: u64, client: &str, direction: Direction, kind: &'static str, pkid: u16) -> Record {
        let event = Event::Packet { direction, kind, pkid };
        Record { seq, at: Duration::ZERO, client: client.into(), event }
    }

    fn puback(client: &str, pkid: u16) -> Record {
        packet(2000, client, Direction::FromClient, "PUBACK", pkid)
    }

    #[test]
    fn a_message_is_shown_once_it_is_acknowledged_or_needs_not_be() {
        let mut deliveries = Deliveries::default();
        let (one, two) = (sent(1, "one"), sent(2, "two"));
        deliveries.sent(&one);
        deliveries.sent(&two);
        let state = |it: &Deliveries, seen| (it.is_delivered(seen), it.is_shown(seen));
        deliveries.handed_over(&handed("other", 1, 6));
        assert_eq!((state(&deliveries, &one), state(&deliveries, &two)), ((false, false), (false, false)));
        deliveries.handed_over(&handed("one", 1, 7));
        deliveries.handed_over(&handed("two", 0, 0));
        assert_eq!((state(&deliveries, &one), state(&deliveries, &two)), ((true, false), (true, true)));
        assert_eq!(deliveries.unacknowledged().count(), 1);
        deliveries.acknowledged(&puback("c", 8));
        deliveries.acknowledged(&puback("d", 7));
        assert!(!deliveries.is_shown(&one));
        deliveries.acknowledged(&puback("c", 7));
        assert!(deliveries.is_shown(&one) && deliveries.unacknowledged().next().is_none());
    }

    #[test]
    fn a_message_is_overtaken_by_the_acknowledgement_of_a_later_one_of_the_same_client() {
        let mut deliveries = Deliveries::default();
        let all = [sent(1, "one"), sent(2, "two"), sent(3, "three")];
        all.iter().for_each(|seen| deliveries.sent(seen));
        for (payload, pkid) in [("one", 7), ("two", 8), ("three", 9)] {
            deliveries.handed_over(&handed(payload, 1, pkid));
        }
        deliveries.acknowledged(&puback("c", 7));
        deliveries.acknowledged(&puback("d", 9));
        assert!(!all.iter().any(|seen| deliveries.is_overtaken(seen)));
        deliveries.acknowledged(&puback("c", 9));
        assert_eq!(all.each_ref().map(|seen| deliveries.is_overtaken(seen)), [false, true, false]);
    }

    /// What three messages at QoS 2 are after these packets behind the PUBLISH of each: shown, uncompleted, overtaken.
    fn exactly_once(packets: &[(Direction, &'static str, u16)]) -> [[bool; 3]; 3] {
        let mut deliveries = Deliveries::default();
        let all = [sent(1, "one"), sent(2, "two"), sent(3, "three")];
        all.iter().for_each(|seen| deliveries.sent(seen));
        let mut seq = 10;
        let mut next = || {
            seq += 1;
            seq
        };
        for (direction, kind, pkid) in packets {
            match *kind {
                "PUBLISH" => {
                    let payload = ["one", "two", "three"][usize::from(*pkid) - 1];
                    deliveries.handed_over(&passes(next(), *direction, payload, 2, *pkid));
                }
                kind => deliveries.acknowledged(&packet(next(), "c", *direction, kind, *pkid)),
            }
        }
        all.each_ref()
            .map(|seen| [deliveries.is_shown(seen), deliveries.is_uncompleted(seen), deliveries.is_overtaken(seen)])
    }

    #[test]
    fn at_qos_2_a_message_is_acknowledged_with_its_pubcomp() {
        use Direction::{FromClient, ToClient};
        let packet = |direction, kind: &'static str| move |pkid: u16| (direction, kind, pkid);
        let (publish, pubrel) = (packet(ToClient, "PUBLISH"), packet(ToClient, "PUBREL"));
        let (pubrec, pubcomp) = (packet(FromClient, "PUBREC"), packet(FromClient, "PUBCOMP"));
        let (none, shown) = ([false; 3], [true, false, false]);
        let (uncompleted, overtaken) = ([false, true, false], [false, true, true]);
        let first = |packets: &[_]| exactly_once(packets)[0];
        let one = [publish(1), pubrec(1), pubrel(1), pubcomp(1)];
        assert_eq!([1, 2, 3, 4].map(|count| first(&one[..count])), [none, shown, uncompleted, shown]);
        // It has been sent PUBREL before it was handed what it then received.
        let after = [&one[..3], &[publish(2), pubrec(2)]].concat();
        assert_eq!(first(&after), overtaken);
        assert_eq!(first(&[&after[..], &[pubcomp(1)]].concat())[..2], shown[..2]);
        // PUBREL may still have been on its way.
        let crossing = [publish(1), publish(2), pubrec(1), pubrel(1), pubrec(2), pubrel(2)];
        assert_eq!(exactly_once(&crossing), [uncompleted, uncompleted, none]);
        assert_eq!(exactly_once(&[&crossing[..], &[pubcomp(2)]].concat()), [overtaken, shown, none]);
    }

    #[test]
    fn what_was_received_may_be_completed_over_another_connection() {
        let (mut deliveries, one) = (Deliveries::default(), sent(1, "one"));
        deliveries.sent(&one);
        deliveries.handed_over(&handed("one", 2, 1));
        deliveries.acknowledged(&packet(2000, "c", Direction::FromClient, "PUBREC", 1));
        deliveries.acknowledged(&packet(2001, "c", Direction::ToClient, "PUBREL", 1));
        deliveries.connection_over(&"c".into());
        assert!(!deliveries.is_delivered(&one) && deliveries.was_handed(&one) && !deliveries.is_shown(&one));
        deliveries.acknowledged(&packet(2002, "c", Direction::ToClient, "PUBREL", 1));
        deliveries.acknowledged(&packet(2003, "c", Direction::FromClient, "PUBCOMP", 1));
        assert!(deliveries.is_shown(&one) && !deliveries.is_uncompleted(&one));
    }

    #[test]
    fn of_equal_messages_the_latest_is_meant_that_was_not_handed_over() {
        let mut deliveries = Deliveries::default();
        let same = [sent(1, "same"), sent(2, "same"), sent(3, "same")];
        same.iter().for_each(|seen| deliveries.sent(seen));
        let mut state = |payload| {
            deliveries.handed_over(&payload);
            [0, 1, 2].map(|at: usize| (deliveries.is_delivered(&same[at]), deliveries.is_shown(&same[at])))
        };
        let (no, held, yes) = ((false, false), (true, false), (true, true));
        assert_eq!(state(handed("same", 1, 1)), [no, no, held]);
        assert_eq!(state(handed("same", 0, 0)), [no, yes, held]);
        assert_eq!(state(handed("same", 0, 0)), [yes, yes, held]);
        // All were handed over: once more is a second try of what is not acknowledged.
        assert_eq!(state(handed("same", 0, 0)), [yes, yes, yes]);
        assert_eq!(state(handed("same", 1, 2)), [yes, yes, yes]);
        assert_eq!(deliveries.unacknowledged().count(), 1);
    }

    #[test]
    fn what_was_not_acknowledged_is_lost_with_its_connection() {
        let (mut deliveries, client) = (Deliveries::default(), "c".into());
        let (one, two) = (sent(1, "one"), sent(2, "two"));
        [&one, &two].into_iter().for_each(|seen| deliveries.sent(seen));
        deliveries.handed_over(&handed("one", 1, 1));
        deliveries.handed_over(&handed("two", 1, 2));
        deliveries.acknowledged(&puback("c", 1));
        deliveries.connection_over(&"d".into());
        assert!(deliveries.is_delivered(&two));
        deliveries.connection_over(&client);
        assert!(deliveries.is_shown(&one) && deliveries.is_delivered(&one) && !deliveries.is_delivered(&two));
        assert!(deliveries.was_handed(&two));
        // Its session kept it.
        deliveries.handed_over(&handed("two", 1, 1));
        deliveries.acknowledged(&puback("c", 1));
        assert!(deliveries.is_shown(&two));
    }

    #[test]
    fn what_was_broken_on_its_way_is_known_by_its_topic() {
        let mut deliveries = Deliveries::default();
        let [before, broken, other] = [sent(1, "1"), sent(2, "12"), sent(3, "13")];
        deliveries.sent(&before);
        deliveries.sent(&broken);
        let effect = Effect::Corrupt(Corruption::Truncate);
        let injected = Injected::Message { seq: 2, rule: 0, topic: "t".into(), effect };
        let event = Event::Injected(injected);
        deliveries.losses.note(&Record { seq: 2, at: Duration::ZERO, client: "c".into(), event });
        deliveries.handed_over(&handed("1", 0, 0));
        assert!(deliveries.is_shown(&before) && !deliveries.is_broken(&broken));
        // What is left of it is what came before.
        deliveries.handed_over(&handed("1", 0, 0));
        deliveries.sent(&other);
        deliveries.handed_over(&handed("13", 0, 0));
        assert!(deliveries.is_broken(&broken) && !deliveries.is_broken(&other) && deliveries.is_shown(&other));
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut deliveries = Deliveries::default();
        let old = sent(0, "old");
        deliveries.sent(&old);
        (1..REMEMBERED as u64).for_each(|seq| deliveries.sent(&sent(seq, "new")));
        deliveries.handed_over(&handed("old", 0, 0));
        assert!(deliveries.is_shown(&old));
        let older = sent(100, "older");
        deliveries.sent(&older);
        (101..=100 + REMEMBERED as u64).for_each(|seq| deliveries.sent(&sent(seq, "new")));
        deliveries.handed_over(&handed("older", 0, 0));
        assert!(!deliveries.is_delivered(&older));
    }
}

//! Tells messages from their redelivery.
//!
//! At QoS 1 and 2 a client sends again what was not acknowledged (MQTT 3.1.1, 4.3 and 4.4), with the dup flag within a
//! session; some libraries send anew, without the flag, after they had to start a new session. What a client knows to have
//! arrived, it does not send again: it has the broker's acknowledgement if it has acknowledged something that it was handed
//! behind it, for a connection keeps its order. What another connection hands it says nothing: the acknowledgement was lost
//! with its own, and the client may be cut off once more before it comes to send again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::transcript::record::{Direction, Publish};

/// More messages than any client has in flight.
const REMEMBERED: usize = 64;

/// Whether a message was sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It is new.
    No,
    /// The same was sent before the client connected anew.
    Maybe,
    /// The dup flag says so, and the original was seen.
    Yes,
}

/// What each client of the module has sent at QoS 1 and 2.
#[derive(Debug, Default)]
pub(super) struct Redelivery {
    clients: BTreeMap<Arc<str>, Sent>,
}

#[derive(Debug, Default)]
struct Sent {
    /// What it has sent on its connection.
    now: VecDeque<Message>,
    /// What it sent on earlier ones, and may send again.
    before: VecDeque<Message>,
    /// Whether it has no connection.
    is_away: bool,
    /// How many messages of the client the broker has acknowledged.
    acknowledged: u64,
    /// How many that were when the client was handed what it has not acknowledged yet, by packet identifier.
    handed: BTreeMap<u16, u64>,
    /// How many of the broker's acknowledgements the client has got for sure.
    known: u64,
}

#[derive(Debug)]
struct Message {
    pkid: u16,
    topic: Arc<str>,
    payload: Bytes,
    /// Which of the broker's acknowledgements was the one of this message.
    acknowledged: Option<u64>,
}

impl Message {
    /// Whether the client knows that the broker has it, which got so many acknowledgements for sure.
    fn has_arrived(&self, known: u64) -> bool {
        self.acknowledged.is_some_and(|number| number <= known)
    }
}

impl Sent {
    /// Keeps what may be sent again when the connection is over.
    fn leave(&mut self) {
        let known = self.known;
        self.now.retain(|message| !message.has_arrived(known));
        self.before.append(&mut self.now);
        let surplus = self.before.len().saturating_sub(REMEMBERED);
        self.before.drain(..surplus);
        self.handed.clear();
    }
}

impl Redelivery {
    /// The client has connected.
    pub(super) fn connected(&mut self, client: &Arc<str>) {
        let sent = self.clients.entry(client.clone()).or_default();
        sent.leave();
        sent.is_away = false;
    }

    /// A connection of the client has ended.
    pub(super) fn disconnected(&mut self, client: &Arc<str>) {
        if let Some(sent) = self.clients.get_mut(client) {
            sent.leave();
            sent.is_away = true;
        }
    }

    /// The client was handed a message at QoS 1 or 2.
    pub(super) fn handed_over(&mut self, client: &Arc<str>, pkid: u16) {
        let sent = self.clients.entry(client.clone()).or_default();
        sent.handed.insert(pkid, sent.acknowledged);
    }

    /// An acknowledgement passed; `kind` is its name in the standard.
    pub(super) fn acknowledged(&mut self, client: &Arc<str>, direction: Direction, kind: &str, pkid: u16) {
        let Some(sent) = self.clients.get_mut(client) else { return };
        match (direction, kind) {
            (Direction::ToClient, "PUBACK" | "PUBCOMP") => {
                let is_it = |message: &&mut Message| message.pkid == pkid && message.acknowledged.is_none();
                if let Some(message) = sent.now.iter_mut().find(is_it) {
                    sent.acknowledged += 1;
                    message.acknowledged = Some(sent.acknowledged);
                }
            }
            (Direction::FromClient, "PUBACK" | "PUBREC") => {
                let until_then = sent.handed.remove(&pkid);
                sent.known = sent.known.max(until_then.unwrap_or_default());
            }
            _ => {}
        }
    }

    /// Judges a message of the module, and remembers it.
    pub(super) fn judge(&mut self, client: &Arc<str>, publish: &Publish) -> Repeat {
        if publish.qos == 0 {
            return Repeat::No;
        }
        let same = |message: &Message| {
            (!publish.dup || message.pkid == publish.pkid)
                && message.topic == publish.topic
                && message.payload == publish.payload
        };
        // A client that leaves its name to the broker comes back under another one.
        let of_its_own = |(other, sent): &(&Arc<str>, &mut Sent)| *other == client || sent.is_away;
        let mut earlier = self.clients.iter_mut().filter(of_its_own);
        if publish.dup && earlier.any(|(_, sent)| sent.now.iter().chain(&sent.before).any(same)) {
            return Repeat::Yes;
        }
        let mut earlier = self.clients.iter_mut().filter(of_its_own);
        let before = earlier.find_map(|(_, sent)| sent.before.remove(sent.before.iter().position(same)?)).is_some();
        let sent = self.clients.entry(client.clone()).or_default();
        if sent.now.len() == REMEMBERED {
            sent.now.pop_front();
        }
        sent.now.push_back(Message {
            pkid: publish.pkid,
            topic: publish.topic.clone(),
            payload: publish.payload.clone(),
            acknowledged: None,
        });
        if before { Repeat::Maybe } else { Repeat::No }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(pkid: u16, qos: u8, dup: bool, payload: &'static str) -> Publish {
        Publish { topic: "t".into(), payload: payload.into(), qos, retain: false, dup, pkid }
    }

    #[test]
    fn only_the_flag_or_a_new_connection_makes_a_repeat() {
        let mut redelivery = Redelivery::default();
        let client: Arc<str> = "c".into();
        let mut judge = |publish| redelivery.judge(&client, &publish);
        assert_eq!(judge(publish(1, 1, false, "a")), Repeat::No);
        assert_eq!(judge(publish(2, 1, false, "a")), Repeat::No, "the same again, on purpose");
        assert_eq!(judge(publish(2, 1, true, "a")), Repeat::Yes);
        assert_eq!(judge(publish(3, 1, true, "b")), Repeat::No, "the original never arrived");
        assert_eq!(judge(publish(0, 0, true, "b")), Repeat::No, "QoS 0 is never redelivered");
        redelivery.connected(&client);
        assert_eq!(redelivery.judge(&client, &publish(2, 1, true, "a")), Repeat::Yes);
        assert_eq!(redelivery.judge(&client, &publish(9, 1, false, "a")), Repeat::Maybe);
        assert_eq!(redelivery.judge(&client, &publish(4, 1, false, "c")), Repeat::No);
    }

    #[test]
    fn each_message_is_sent_anew_once_by_its_own_client_on_its_own_topic() {
        let mut redelivery = Redelivery::default();
        let (client, other): (Arc<str>, Arc<str>) = ("c".into(), "d".into());
        let message = publish(1, 1, false, "a");
        redelivery.connected(&client);
        assert_eq!(redelivery.judge(&client, &message), Repeat::No);
        redelivery.connected(&client);
        assert_eq!(redelivery.judge(&other, &message), Repeat::No, "another client's");
        assert_eq!(redelivery.judge(&client, &Publish { topic: "u".into(), ..message.clone() }), Repeat::No);
        assert_eq!(redelivery.judge(&client, &message), Repeat::Maybe);
        assert_eq!(redelivery.judge(&client, &message), Repeat::No, "the second is meant");
        // The flag speaks of the packet that it was.
        let again = Publish { dup: true, ..message.clone() };
        assert_eq!(redelivery.judge(&client, &Publish { topic: "v".into(), ..again.clone() }), Repeat::No);
        assert_eq!(redelivery.judge(&client, &Publish { pkid: 9, ..again.clone() }), Repeat::No);
        assert_eq!(redelivery.judge(&client, &again), Repeat::Yes);
    }

    #[test]
    fn what_another_connection_hands_over_settles_nothing() {
        let client: Arc<str> = "c".into();
        for dup in [false, true] {
            let mut redelivery = Redelivery::default();
            assert_eq!(redelivery.judge(&client, &publish(1, 2, false, "a")), Repeat::No);
            // The client is cut off before it reads this.
            redelivery.acknowledged(&client, Direction::ToClient, "PUBCOMP", 1);
            redelivery.connected(&client);
            // What it sends again is not released before it is cut off again.
            redelivery.handed_over(&client, 7);
            redelivery.acknowledged(&client, Direction::FromClient, "PUBREC", 7);
            redelivery.connected(&client);
            let repeat = if dup { Repeat::Yes } else { Repeat::Maybe };
            assert_eq!(redelivery.judge(&client, &publish(1, 2, dup, "a")), repeat);
        }
    }

    #[test]
    fn whom_the_broker_names_comes_back_under_another_name() {
        let (client, other): (Arc<str>, Arc<str>) = ("auto-1".into(), "auto-2".into());
        for is_away in [true, false] {
            for dup in [false, true] {
                let mut redelivery = Redelivery::default();
                redelivery.connected(&client);
                assert_eq!(redelivery.judge(&client, &publish(1, 1, false, "a")), Repeat::No);
                if is_away {
                    redelivery.disconnected(&client);
                }
                redelivery.connected(&other);
                let repeat = match (is_away, dup) {
                    (false, _) => Repeat::No,
                    (true, false) => Repeat::Maybe,
                    (true, true) => Repeat::Yes,
                };
                assert_eq!(redelivery.judge(&other, &publish(1, 1, dup, "a")), repeat, "{is_away} {dup}");
            }
        }
    }

    #[test]
    fn what_was_open_is_forgotten_when_more_has_come_since_than_can_be_in_flight() {
        for (others, repeat) in [(REMEMBERED - 1, Repeat::Maybe), (REMEMBERED, Repeat::No)] {
            let mut redelivery = Redelivery::default();
            let client: Arc<str> = "c".into();
            redelivery.judge(&client, &publish(1, 1, false, "a"));
            redelivery.connected(&client);
            for _ in 0..others {
                redelivery.judge(&client, &publish(2, 1, false, "b"));
            }
            redelivery.connected(&client);
            assert_eq!(redelivery.judge(&client, &publish(1, 1, false, "a")), repeat, "{others}");
        }
    }

    #[test]
    fn what_a_client_knows_to_have_arrived_is_meant_when_it_comes_again() {
        let client: Arc<str> = "c".into();
        let message = publish(1, 1, false, "a");
        let (taken, handed, heard) =
            ("the broker acknowledges it", "the client is handed another", "it acknowledges that");
        let comes_again = |passed: &[&str]| {
            let mut redelivery = Redelivery::default();
            assert_eq!(redelivery.judge(&client, &message), Repeat::No);
            for what in passed {
                match *what {
                    what if what == taken => redelivery.acknowledged(&client, Direction::ToClient, "PUBACK", 1),
                    what if what == handed => redelivery.handed_over(&client, 7),
                    _ => redelivery.acknowledged(&client, Direction::FromClient, "PUBREC", 7),
                }
            }
            redelivery.connected(&client);
            redelivery.judge(&client, &message)
        };
        assert_eq!(comes_again(&[taken, handed, heard]), Repeat::No);
        // What it was handed before says nothing of what came behind it.
        for open in [
            &[] as &[&str],
            &[taken],
            &[taken, handed],
            &[handed, heard],
            &[handed, taken, heard],
            &[handed, heard, taken],
        ] {
            assert_eq!(comes_again(open), Repeat::Maybe, "{open:?}");
        }
    }

    #[test]
    fn an_acknowledgement_is_of_the_message_with_its_identifier() {
        let client: Arc<str> = "c".into();
        let mut redelivery = Redelivery::default();
        for (pkid, payload) in [(1, "a"), (2, "b")] {
            assert_eq!(redelivery.judge(&client, &publish(pkid, 1, false, payload)), Repeat::No);
        }
        redelivery.acknowledged(&client, Direction::ToClient, "PUBACK", 2);
        redelivery.handed_over(&client, 7);
        redelivery.acknowledged(&client, Direction::FromClient, "PUBACK", 7);
        redelivery.connected(&client);
        assert_eq!(redelivery.judge(&client, &publish(3, 1, false, "a")), Repeat::Maybe);
        assert_eq!(redelivery.judge(&client, &publish(4, 1, false, "b")), Repeat::No);
    }

    #[test]
    fn what_nobody_acknowledges_is_never_sent_again() {
        let mut redelivery = Redelivery::default();
        let client: Arc<str> = "c".into();
        for dup in [false, true] {
            assert_eq!(redelivery.judge(&client, &publish(0, 0, dup, "a")), Repeat::No);
        }
        redelivery.connected(&client);
        assert_eq!(redelivery.judge(&client, &publish(0, 0, false, "a")), Repeat::No);
    }

    #[test]
    fn as_many_are_remembered_as_can_be_in_flight() {
        for (others, repeat) in [(REMEMBERED - 1, Repeat::Yes), (REMEMBERED, Repeat::No)] {
            let mut redelivery = Redelivery::default();
            let client: Arc<str> = "c".into();
            assert_eq!(redelivery.judge(&client, &publish(1, 2, false, "a")), Repeat::No);
            for _ in 0..others {
                assert_eq!(redelivery.judge(&client, &publish(2, 2, false, "b")), Repeat::No);
            }
            assert_eq!(redelivery.judge(&client, &publish(1, 2, true, "a")), repeat, "{others}");
        }
    }
}

//! Tells messages from their redelivery.
//!
//! At QoS 1 and 2 a client sends again what was not acknowledged (MQTT 3.1.1, 4.3 and 4.4), with the dup flag within a
//! session; some libraries send anew, without the flag, after they had to start a new session.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::transcript::record::Publish;

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
    now: VecDeque<(u16, Arc<str>, Bytes)>,
    before: VecDeque<(u16, Arc<str>, Bytes)>,
}

impl Redelivery {
    /// The client has connected.
    pub(super) fn connected(&mut self, client: &Arc<str>) {
        if let Some(sent) = self.clients.get_mut(client) {
            sent.before = std::mem::take(&mut sent.now);
        }
    }

    /// Judges a message of the module, and remembers it.
    pub(super) fn judge(&mut self, client: &Arc<str>, publish: &Publish) -> Repeat {
        if publish.qos == 0 {
            return Repeat::No;
        }
        let sent = self.clients.entry(client.clone()).or_default();
        let same = |(pkid, topic, payload): &(u16, Arc<str>, Bytes)| {
            (!publish.dup || *pkid == publish.pkid) && *topic == publish.topic && *payload == publish.payload
        };
        if publish.dup && (sent.now.iter().any(same) || sent.before.iter().any(same)) {
            return Repeat::Yes;
        }
        let before = sent.before.iter().position(same).and_then(|at| sent.before.remove(at)).is_some();
        if sent.now.len() == REMEMBERED {
            sent.now.pop_front();
        }
        sent.now.push_back((publish.pkid, publish.topic.clone(), publish.payload.clone()));
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
        // Two connections ago nothing was in flight any more.
        redelivery.connected(&client);
        redelivery.connected(&client);
        assert_eq!(redelivery.judge(&client, &message), Repeat::No);
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

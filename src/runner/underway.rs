//! Which messages the broker has not taken yet: whoever sent them is past them, while others are not told.
//!
//! A message of QoS 2 is handed on when it is released, so that one of QoS 0 that was sent after it overtakes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::transcript::record::{Direction, Event, Record};

/// Messages of QoS 1 and 2 whose acknowledgement the broker has not finished, by client and packet identifier.
#[derive(Debug, Default)]
pub struct Underway(BTreeMap<(Arc<str>, u16), u64>);

impl Underway {
    /// Takes note of a record.
    pub fn note(&mut self, Record { seq, client, event, .. }: &Record) {
        match event {
            Event::Held { publish } => {
                self.0.entry((client.clone(), publish.pkid)).or_insert(*seq);
            }
            Event::Publish { direction: Direction::FromClient, publish } if publish.qos == 1 => {
                self.0.insert((client.clone(), publish.pkid), *seq);
            }
            Event::Packet { direction: Direction::ToClient, kind: "PUBACK" | "PUBCOMP", pkid } => {
                self.0.remove(&(client.clone(), *pkid));
            }
            // What was not finished is sent again, or never comes.
            Event::Disconnected { .. } => self.0.retain(|(of, _), _| of != client),
            _ => {}
        }
    }

    /// Whether the broker has taken all that a client had sent by then, the record with this number included.
    pub fn is_none_by(&self, client: &Arc<str>, seq: u64) -> bool {
        let of_client = (client.clone(), 0)..=(client.clone(), u16::MAX);
        self.0.range(of_client).all(|(_, sent)| *sent > seq)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::transcript::record::Publish;

    fn publish(qos: u8, pkid: u16) -> Publish {
        Publish { topic: "t".into(), payload: Bytes::new(), qos, retain: false, dup: false, pkid }
    }

    #[test]
    fn qos_0_overtakes_what_is_not_released() {
        let sent = |publish| Event::Publish { direction: Direction::FromClient, publish };
        let acknowledged = |kind, pkid| Event::Packet { direction: Direction::ToClient, kind, pkid };
        let events = [
            ("a", Event::Held { publish: publish(2, 1) }, false),
            ("a", sent(publish(0, 0)), false),
            ("b", sent(publish(1, 1)), false),
            ("a", acknowledged("PUBREC", 1), false),
            ("a", sent(publish(2, 1)), false),
            ("b", acknowledged("PUBACK", 1), false),
            ("a", acknowledged("PUBCOMP", 1), true),
            ("a", Event::Held { publish: publish(2, 2) }, true),
        ];
        let mut underway = Underway::default();
        for (seq, (client, event, is_none)) in (0..).zip(events) {
            underway.note(&Record { seq, at: Duration::ZERO, client: client.into(), event });
            // By the message of QoS 0, which is the second.
            assert_eq!(underway.is_none_by(&"a".into(), 1), is_none, "{seq}");
        }
        assert!(!underway.is_none_by(&"a".into(), 7) && underway.is_none_by(&"b".into(), 7));
        let cause = "closed by peer".to_owned();
        let ended = Event::Disconnected { cause, clean: false };
        underway.note(&Record { seq: 8, at: Duration::ZERO, client: "a".into(), event: ended });
        assert!(underway.is_none_by(&"a".into(), 8));
    }
}

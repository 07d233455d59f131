//! The last messages that passed, for whoever looks for what went wrong: what the module was handed when it ended, and how
//! khumbu's own messages were written.
//!
//! Pure: what was seen comes in, words go out. It judges nothing.

use std::sync::Arc;

use serde_json::Value;

use super::observer::is_own;
use crate::conformance::judge::Case;
use crate::conformance::sighting::{Kind, Party, Sighting};
use crate::diagnostic::words::cut;
use crate::transcript::record::{Direction, Event, Publish, Record};

/// So much of a payload is told: what a module has stumbled over may stand at its end.
const LONGEST: usize = 400;

/// What a module was handed when it ended.
#[derive(Debug, Clone, Copy)]
pub struct HandedAtEnd<'r> {
    /// The first message that it has not acknowledged, over which it has ended, if over any; or else the last one.
    pub publish: &'r Publish,
    /// The record of that.
    pub seq: u64,
    /// Whether it has not acknowledged it. What needs no acknowledgement counts as acknowledged.
    pub is_unacknowledged: bool,
    /// How many more it was handed behind that, which were on the wire perhaps and no further.
    pub more: usize,
    /// The first of these that it has not acknowledged either and that is on another topic: some libraries send the
    /// acknowledgement of one message only when the next one was read.
    pub other: Option<&'r Publish>,
}

/// A message that is not acknowledged yet.
struct Open<'r> {
    client: &'r Arc<str>,
    publish: &'r Publish,
    seq: u64,
    /// How many messages the module was handed with this one.
    number: usize,
    /// Whether the connection is over on which it was handed.
    is_lost: bool,
}

/// What the module was handed when it ended, of which these are the records until then.
///
/// At QoS 2 a message is acknowledged with its PUBCOMP: many libraries show it to their user only behind the PUBREL. What was
/// skipped long ago ended nobody, nor what was lost with a connection, once the module has come back.
pub fn handed_at_end(records: &[Record]) -> Option<HandedAtEnd<'_>> {
    let mut open: Vec<Open<'_>> = Vec::new();
    let (mut last, mut number) = (None, 0);
    for record in records.iter().filter(|record| !is_own(&record.client)) {
        let client = &record.client;
        match &record.event {
            Event::Publish { direction: Direction::ToClient, publish } => {
                number += 1;
                last = Some((publish, record.seq));
                // Once more is no other one.
                let is_again = open.iter().any(|it| it.client == client && it.publish.pkid == publish.pkid);
                if publish.qos > 0 && !is_again {
                    open.push(Open { client, publish, seq: record.seq, number, is_lost: false });
                }
            }
            Event::Packet { direction: Direction::FromClient, kind: kind @ ("PUBACK" | "PUBCOMP"), pkid } => {
                let is_it = |it: &Open<'_>| it.client == client && it.publish.pkid == *pkid;
                let Some(at) = open.iter().position(is_it) else { continue };
                let qos = if *kind == "PUBACK" { 1 } else { 2 };
                // They are acknowledged in order.
                let mut index = 0;
                open.retain(|it| {
                    index += 1;
                    index > at + 1 || it.client != client || it.publish.qos != qos
                });
            }
            Event::Connected { .. } => open.retain(|it| it.client != client && !it.is_lost),
            Event::Disconnected { .. } => {
                open.iter_mut().filter(|it| it.client == client).for_each(|it| it.is_lost = true);
            }
            _ => {}
        }
    }
    let first = open.first().map(|first| HandedAtEnd {
        publish: first.publish,
        seq: first.seq,
        is_unacknowledged: true,
        more: number - first.number,
        other: open.iter().map(|it| it.publish).find(|other| other.topic != first.publish.topic),
    });
    let of_last = |(publish, seq)| HandedAtEnd { publish, seq, is_unacknowledged: false, more: 0, other: None };
    first.or_else(|| last.map(of_last))
}

impl HandedAtEnd<'_> {
    /// How many came behind it, in words that close a line.
    pub fn followed(&self) -> String {
        if self.more > 0 { format!("; {} more followed", self.more) } else { String::new() }
    }
}

/// What the module was handed when it ended, a line each.
pub fn delivered(case: &Case<'_>, records: &[Record]) -> Vec<String> {
    let Some(handed) = handed_at_end(records) else { return Vec::new() };
    let told = |publish: &Publish| {
        let payload = match serde_json::from_slice::<Value>(&publish.payload) {
            Ok(json) => json.to_string(),
            Err(_) => String::from_utf8_lossy(&publish.payload).escape_debug().to_string(),
        };
        format!("{} q{} {}", case.elided(&publish.topic), publish.qos, cut(&payload, LONGEST))
    };
    let what = if handed.is_unacknowledged { "delivered to it, and not acknowledged" } else { "delivered to it last" };
    let first = format!("{what}: {}{}", told(handed.publish), handed.followed());
    let other = handed.other.map(|other| format!("the first of these on another topic: {}", told(other)));
    [first].into_iter().chain(other).collect()
}

/// How the last message of each kind of khumbu's own is written; nothing, if all are as EVerest's.
pub fn written(case: &Case<'_>, messages: &[Sighting]) -> Option<String> {
    let mut kinds = Vec::new();
    let mut words = Vec::new();
    for seen in messages.iter().rev() {
        // The beacon is over before a client hears anything.
        if matches!(seen.kind, Kind::Control | Kind::Beacon | Kind::Other) {
            continue;
        }
        let kind = seen.kind.name();
        if seen.from == Party::Harness && !kinds.contains(&kind) {
            kinds.push(kind);
            words.extend(case.form_of(seen).map(|form| format!("{kind} as `{}`", form.name())));
        }
    }
    words.reverse();
    let wire = case.wire;
    (!words.is_empty()).then(|| format!("wire form `{wire}`; written last: {}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::time::Duration;

    use super::*;

    const CONNECTED: Event =
        Event::Connected { protocol: 4, clean: true, session_present: false, keep_alive: 1, will: None };

    fn handed(qos: u8, pkid: u16) -> Event {
        let publish = Publish { topic: "t".into(), payload: "1".into(), qos, retain: false, dup: false, pkid };
        Event::Publish { direction: Direction::ToClient, publish }
    }

    fn says(kind: &'static str, pkid: u16) -> Event {
        Event::Packet { direction: Direction::FromClient, kind, pkid }
    }

    fn lost() -> Event {
        Event::Disconnected { cause: "closed by peer".to_owned(), clean: false }
    }

    #[test]
    fn what_is_not_acknowledged_either_on_another_topic_is_told_too() {
        let on = |topic: &str, qos, pkid| {
            let Event::Publish { direction, publish } = handed(qos, pkid) else { panic!("a message") };
            Event::Publish { direction, publish: Publish { topic: topic.into(), ..publish } }
        };
        let of = |events: &[Event]| {
            let record = |(seq, event): (u64, &Event)| Record {
                seq,
                at: Duration::ZERO,
                client: "a".into(),
                event: event.clone(),
            };
            let records: Vec<_> = (0..).zip(events).map(record).collect();
            handed_at_end(&records).unwrap().other.map(|other| other.pkid)
        };
        assert_eq!(of(&[on("t", 1, 1), on("t", 1, 2), on("x", 0, 0), on("u", 1, 3), on("v", 1, 4)]), Some(3));
        assert_eq!(of(&[on("t", 1, 1), on("u", 1, 2), says("PUBACK", 2)]), None);
    }

    #[test]
    fn the_first_that_is_not_acknowledged_is_meant_or_else_the_last() {
        let own = super::super::observer::own_client();
        let of = |events: &[(&str, Event)]| {
            let record = |(seq, (client, event)): (u64, &(&str, Event))| Record {
                seq,
                at: Duration::ZERO,
                client: (*client).into(),
                event: event.clone(),
            };
            let records: Vec<_> = (0..).zip(events).map(record).collect();
            handed_at_end(&records).map(|it| (it.seq, it.is_unacknowledged, it.more))
        };
        let [one, two, three] = [("a", handed(1, 1)), ("a", handed(1, 2)), ("a", handed(1, 3))];
        let (connected, end, plain) = (("a", CONNECTED), ("a", lost()), ("a", handed(0, 0)));
        let ack = |pkid| ("a", says("PUBACK", pkid));
        let again = one.clone();
        for (events, expected) in [
            (vec![connected.clone(), end.clone()], None),
            (vec![plain.clone(), plain.clone(), end.clone()], Some((1, false, 0))),
            (vec![one.clone(), ack(1), two.clone(), ack(2), end.clone()], Some((2, false, 0))),
            (vec![one.clone(), ack(1), two.clone(), three.clone(), plain.clone(), end.clone()], Some((2, true, 2))),
            (vec![one.clone(), plain.clone(), plain], Some((0, true, 2))),
            (vec![one.clone(), (&own, handed(1, 7)), end.clone()], Some((0, true, 0))),
            (vec![one.clone(), two.clone(), again, end.clone()], Some((0, true, 2))),
            // What it skipped was long ago.
            (vec![one.clone(), two.clone(), ack(2), three.clone(), end.clone()], Some((3, true, 0))),
            (vec![("b", handed(1, 1)), one.clone(), ack(1), end.clone()], Some((0, true, 1))),
            // It came back, perhaps by another name.
            (vec![one.clone(), end.clone(), connected, two.clone(), ack(2), end.clone()], Some((3, false, 0))),
            (vec![one.clone(), end.clone(), ("b", CONNECTED), ("b", handed(1, 1)), ("b", lost())], Some((3, true, 0))),
            (vec![one, ("b", CONNECTED), end], Some((0, true, 0))),
            // At QoS 2 the PUBREC is of the library.
            (vec![("a", handed(2, 1)), ("a", says("PUBREC", 1)), ("a", lost())], Some((0, true, 0))),
            (vec![("a", handed(2, 1)), ("a", says("PUBREC", 1)), ("a", says("PUBCOMP", 1))], Some((0, false, 0))),
            (vec![("a", handed(2, 1)), two, ack(2), ("a", lost())], Some((0, true, 1))),
        ] {
            assert_eq!(of(&events), expected, "{events:?}");
        }
    }
}

//! What the record shows of a module that did not do what it was told: whether it listened, and whether the order reached
//! it.
//!
//! Pure: records come in, words go out. It judges nothing.

use std::sync::Arc;

use super::observer::is_own;
use crate::diagnostic::words::cut;
use crate::protocol::topic;
use crate::transcript::record::{Direction, Event, Record};

/// The longest order that is shown.
const LONGEST: usize = 120;

/// Whether who subscribes to this filter wants to be told what to do; whoever listens to everything knows of nothing.
pub fn asks_for_orders(filter: &str, control: &str) -> bool {
    let first = |topic: &str| topic.split('/').next().map(str::to_owned);
    first(filter) == first(control) && topic::matches(filter, control)
}

/// How the module stands to the control topic, where it cannot be told anything.
pub fn of_listening(records: &[Record], control: &str) -> Vec<String> {
    let mut listener: Option<&Arc<str>> = None;
    let mut lost = None;
    let mut is_back = false;
    for Record { client, event, .. } in records.iter().filter(|record| !is_own(&record.client)) {
        match event {
            Event::Subscribed { filter, .. } if filter == control => (listener, lost) = (Some(client), None),
            Event::Unsubscribed { filter } if filter == control => lost = Some("it unsubscribed".to_owned()),
            Event::Disconnected { cause, .. } if listener == Some(client) && lost.is_none() => {
                (lost, is_back) = (Some(format!("its connection ended: {cause}")), false);
            }
            // A session that was kept has its subscriptions still.
            Event::Connected { session_present: true, .. } if listener == Some(client) => lost = None,
            Event::Connected { .. } => is_back = true,
            _ => {}
        }
    }
    match (listener, lost) {
        (Some(_), Some(why)) => {
            let now =
                if is_back { "it is connected, and has not subscribed again" } else { "it has not connected again" };
            vec![format!("it subscribed to `{control}` until {why}"), now.to_owned()]
        }
        _ => vec![format!("it does not subscribe to `{control}`")],
    }
}

/// What became of the last order since a record; nothing if none was given on the control topic.
pub fn of_order(records: &[Record], control: &str, since: u64) -> Option<String> {
    let is_order = |record: &&Record, wanted| match &record.event {
        Event::Publish { direction, publish } => *direction == wanted && &*publish.topic == control,
        _ => false,
    };
    let recent = || records.iter().filter(|record| record.seq >= since);
    recent().find(|record| is_order(record, Direction::FromClient))?;
    let delivered = recent().filter(|record| is_order(record, Direction::ToClient)).last();
    let Some(Record { seq, client, event: Event::Publish { publish, .. }, .. }) = delivered else {
        return Some("it was told, and nobody took the order".to_owned());
    };
    let is_answer = |event: &Event| matches!(event, Event::Packet { direction: Direction::FromClient, kind: "PUBACK" | "PUBREC", pkid } if *pkid == publish.pkid);
    let is_taken = publish.qos == 0
        || records.iter().any(|record| record.seq > *seq && record.client == *client && is_answer(&record.event));
    let order = cut(&String::from_utf8_lossy(&publish.payload), LONGEST);
    Some(match (publish.qos, is_taken) {
        (0, _) => format!("it was told `{order}`, at QoS 0"),
        (_, true) => format!("it was told `{order}`, and acknowledged that"),
        (_, false) => format!("it was told `{order}`, and has not even acknowledged that"),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transcript::record::Publish;

    const CONTROL: &str = "khumbu/auth_api/do";

    fn records(events: Vec<Event>) -> Vec<Record> {
        let record = |(seq, event)| Record { seq, at: Duration::ZERO, client: "module".into(), event };
        (0..).zip(events).map(record).collect()
    }

    fn connected() -> Event {
        Event::Connected { protocol: 5, clean: true, session_present: false, keep_alive: 20, will: None }
    }

    fn subscribed(filter: &str) -> Event {
        Event::Subscribed { filter: filter.to_owned(), qos: 1 }
    }

    fn cut_off() -> Event {
        Event::Disconnected { cause: "cut off".to_owned(), clean: false }
    }

    #[test]
    fn whether_it_listens_or_did_once() {
        let until = "it subscribed to `khumbu/auth_api/do` until its connection ended: cut off";
        let never = "it does not subscribe to `khumbu/auth_api/do`";
        let gone = Event::Unsubscribed { filter: CONTROL.to_owned() };
        for (events, said) in [
            (vec![], vec![never]),
            (vec![connected(), subscribed("other"), cut_off(), connected()], vec![never]),
            (vec![connected(), subscribed(CONTROL), cut_off()], vec![until, "it has not connected again"]),
            (
                vec![connected(), subscribed(CONTROL), cut_off(), connected(), subscribed("other")],
                vec![until, "it is connected, and has not subscribed again"],
            ),
            (
                vec![connected(), subscribed(CONTROL), gone],
                vec![
                    "it subscribed to `khumbu/auth_api/do` until it unsubscribed",
                    "it is connected, and has not subscribed again",
                ],
            ),
        ] {
            assert_eq!(of_listening(&records(events), CONTROL), said);
        }
    }

    #[test]
    fn what_became_of_an_order() {
        let order = |direction, qos| {
            let (topic, payload) = (CONTROL.into(), "{\"withdraw\":{}}".into());
            Event::Publish { direction, publish: Publish { topic, payload, qos, retain: false, dup: false, pkid: 7 } }
        };
        let told = |qos| vec![order(Direction::FromClient, 1), order(Direction::ToClient, qos)];
        let acknowledged = Event::Packet { direction: Direction::FromClient, kind: "PUBACK", pkid: 7 };
        let answered = told(1).into_iter().chain([acknowledged]).collect();
        for (events, since, said) in [
            (vec![], 0, None),
            (told(1), 2, None),
            (vec![order(Direction::FromClient, 1)], 0, Some("it was told, and nobody took the order")),
            (told(0), 0, Some("it was told `{\"withdraw\":{}}`, at QoS 0")),
            (told(1), 0, Some("it was told `{\"withdraw\":{}}`, and has not even acknowledged that")),
            (answered, 0, Some("it was told `{\"withdraw\":{}}`, and acknowledged that")),
        ] {
            assert_eq!(of_order(&records(events), CONTROL, since).as_deref(), said);
        }
    }
}

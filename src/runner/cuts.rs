//! What became of the module's connections: how each ended and by whom, which subscriptions went with it, whether its
//! client came back, and which messages were never released.
//!
//! Facts of the record in words, for findings that they explain; judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::words::{cut, shown};
use crate::transcript::record::{ASSIGNED, Direction, Event, Record};

/// So many ends are told, the last ones.
const TOLD: usize = 4;
/// A message that is held for no longer is on its way, and explains nothing.
const UNDERWAY: Duration = Duration::from_millis(100);

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The client said goodbye.
    Client,
    /// The broker, because the client broke a rule of MQTT.
    Broker,
    /// Khumbu, as the scenario says.
    Khumbu,
    /// The socket was closed, or another connection took over.
    Unknown,
}

/// The end of one connection, and what came after.
#[derive(Debug, Clone)]
pub struct Cut {
    /// The client.
    pub client: Arc<str>,
    /// Since the start of the broker.
    pub at: Duration,
    /// Who ended it.
    pub by: By,
    /// Why, in the words of the record.
    pub cause: String,
    /// The filters it was subscribed to.
    pub lost: BTreeSet<String>,
    /// When the client was connected again, and as whom.
    pub back: Option<(Duration, Arc<str>)>,
}

/// The module's connections so far.
#[derive(Debug, Clone, Default)]
pub struct Cuts {
    /// Filters by client that is connected; two connections of one client for a moment count as one.
    open: BTreeMap<Arc<str>, BTreeSet<String>>,
    ended: Vec<Cut>,
    breached: BTreeMap<Arc<str>, String>,
    /// Topics of QoS 2 messages that are not released, and since when they wait for it.
    held: BTreeMap<(Arc<str>, u16), (Arc<str>, Duration)>,
}

impl Cuts {
    /// Takes note of a record of the module's.
    pub fn note(&mut self, Record { client, at, event, .. }: &Record) {
        match event {
            Event::Connected { session_present, .. } => {
                let mut kept = BTreeSet::new();
                if let Some(cut) = self.of_whom_came_back(client) {
                    cut.back = Some((*at, client.clone()));
                    let was = cut.client.clone();
                    match *session_present {
                        true => kept.clone_from(&cut.lost),
                        false => self.held.retain(|(other, _), _| *other != was),
                    }
                }
                self.open.insert(client.clone(), kept);
            }
            Event::Subscribed { filter, .. } => {
                self.open.entry(client.clone()).or_default().insert(filter.clone());
            }
            Event::Unsubscribed { filter } => {
                self.open.entry(client.clone()).or_default().remove(filter);
            }
            Event::Held { publish } => {
                self.held.insert((client.clone(), publish.pkid), (publish.topic.clone(), *at));
            }
            Event::Publish { direction: Direction::FromClient, publish } if publish.qos == 2 => {
                self.held.remove(&(client.clone(), publish.pkid));
            }
            Event::Breach { what, .. } => drop(self.breached.insert(client.clone(), what.clone())),
            Event::Disconnected { cause, clean } => {
                let by = match self.breached.remove(client) {
                    _ if *clean => By::Client,
                    Some(what) if what == *cause => By::Broker,
                    _ if matches!(cause.as_str(), "cut off" | "broker down" | "broker stopped") => By::Khumbu,
                    _ => By::Unknown,
                };
                let lost = self.open.remove(client).unwrap_or_default();
                let (client, cause) = (client.clone(), cause.clone());
                self.ended.push(Cut { client, at: *at, by, cause, lost, back: None });
            }
            _ => {}
        }
    }

    /// The last end of a connection of a client that connects. One that leaves its id to the broker gets another one: who of
    /// them is back is known where only one is away.
    fn of_whom_came_back(&mut self, client: &Arc<str>) -> Option<&mut Cut> {
        let mut away = self.ended.iter_mut().filter(|cut| cut.back.is_none());
        if !client.starts_with(ASSIGNED) {
            return away.rfind(|cut| cut.client == *client);
        }
        let mut nameless = away.filter(|cut| cut.client.starts_with(ASSIGNED) && cut.by != By::Client);
        let only = nameless.next()?;
        nameless.next().is_none().then_some(only)
    }

    /// What there is to say at a time, one line each; `elide` shortens a topic.
    pub fn story(&self, now: Duration, elide: impl Fn(&str) -> String) -> Vec<String> {
        let first = self.ended.len().saturating_sub(TOLD);
        let ends = self.ended[first..].iter().map(|cut| self.told(cut, &elide));
        let held = self.held.iter().filter(|(_, (_, since))| now.saturating_sub(*since) > UNDERWAY);
        let held = held.take(TOLD).map(|((client, pkid), (topic, since))| {
            let (topic, since) = (elide(topic), shown(*since));
            format!(
                "client `{client}` has not released its QoS 2 message {pkid} on `{topic}` since {since}: nobody was told of it"
            )
        });
        ends.chain(held).collect()
    }

    fn told(&self, ended: &Cut, elide: &impl Fn(&str) -> String) -> String {
        let Cut { client, at, by, cause, lost, back } = ended;
        let (at, cause) = (shown(*at), cut(cause, 160));
        let end = match by {
            By::Client => format!("client `{client}` said goodbye at {at}"),
            By::Broker => format!("the broker cut client `{client}` off at {at}: {cause}"),
            By::Khumbu => format!("khumbu cut client `{client}` off at {at}"),
            By::Unknown => format!("the connection of client `{client}` ended at {at}: {cause}"),
        };
        let names = |filters: &BTreeSet<String>| {
            let names: Vec<_> = filters.iter().map(|filter| format!("`{}`", elide(filter))).collect();
            cut(&names.join(", "), 200)
        };
        let after = match back {
            None if lost.is_empty() => "it has not come back".to_owned(),
            None => format!("it has not come back, and lost its subscriptions to {}", names(lost)),
            Some((back_at, name)) => {
                let mut back = format!("it came back after {}", shown(back_at.saturating_sub(ended.at)));
                if name != client {
                    let _ = write!(back, " as `{name}`");
                }
                // Only the last connection tells what it is subscribed to now.
                let missing: BTreeSet<_> = match self.open.get(name) {
                    Some(now) => lost.difference(now).cloned().collect(),
                    None => BTreeSet::new(),
                };
                match missing.is_empty() {
                    true => back,
                    false => format!("{back}, without its subscriptions to {}", names(&missing)),
                }
            }
        };
        format!("{end}; {after}")
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::transcript::record::{Publish, Rule};

    fn story(events: Vec<(u64, Event)>) -> Vec<String> {
        let mut cuts = Cuts::default();
        for (millis, event) in events {
            cuts.note(&Record { seq: 0, at: Duration::from_millis(millis), client: "c".into(), event });
        }
        cuts.story(Duration::from_millis(1000), |topic| topic.replace("base", "…"))
    }

    fn connected(session_present: bool) -> Event {
        Event::Connected { protocol: 4, clean: !session_present, session_present, keep_alive: 0, will: None }
    }

    fn subscribed(filter: &str) -> Event {
        Event::Subscribed { filter: filter.into(), qos: 0 }
    }

    fn ended(cause: &str, clean: bool) -> Event {
        Event::Disconnected { cause: cause.into(), clean }
    }

    #[test]
    fn says_who_ended_it_and_what_was_lost() {
        let breach = Event::Breach { rule: Rule::Topic, what: "PUBLISH: bad".into(), bytes: Bytes::new() };
        let begun = [(0, connected(false)), (1, subscribed("base/a")), (2, subscribed("b"))];
        let ends = |more: Vec<(u64, Event)>| story(begun.iter().cloned().chain(more).collect());
        assert_eq!(
            ends(vec![(100, breach), (100, ended("PUBLISH: bad", false))]),
            [
                "the broker cut client `c` off at 100ms: PUBLISH: bad; it has not come back, and lost its subscriptions to `b`, `…/a`"
            ]
        );
        assert_eq!(
            ends(vec![(100, ended("cut off", false)), (300, connected(false)), (310, subscribed("b"))]),
            ["khumbu cut client `c` off at 100ms; it came back after 200ms, without its subscriptions to `…/a`"]
        );
        assert_eq!(
            ends(vec![(100, ended("closed by peer", false)), (300, connected(true))]),
            ["the connection of client `c` ended at 100ms: closed by peer; it came back after 200ms"]
        );
    }

    #[test]
    fn whom_the_broker_names_comes_back_under_another_name() {
        let told = |events: &[(u64, &str, Event)]| {
            let mut cuts = Cuts::default();
            for (millis, client, event) in events.iter().cloned() {
                cuts.note(&Record { seq: 0, at: Duration::from_millis(millis), client: client.into(), event });
            }
            cuts.story(Duration::from_millis(1000), str::to_owned)
        };
        let one = (0, "auto-1", connected(false));
        let (cut, back) = ((100, "auto-1", ended("cut off", false)), (200, "auto-3", connected(false)));
        assert_eq!(
            told(&[one.clone(), (1, "auto-1", subscribed("a")), cut.clone(), back.clone()]),
            [
                "khumbu cut client `auto-1` off at 100ms; it came back after 100ms as `auto-3`, without its subscriptions to `a`"
            ]
        );
        let away = "khumbu cut client `auto-1` off at 100ms; it has not come back";
        for (other, end) in [("auto-2", ended("cut off", false)), ("c", ended("cut off", false))] {
            let events = [one.clone(), (1, other, connected(false)), cut.clone(), (101, other, end), back.clone()];
            assert_eq!(told(&events).contains(&away.to_owned()), other == "auto-2", "{other}");
        }
        assert_eq!(told(&[one, cut, (200, "c", connected(false))]), [away]);
    }

    #[test]
    fn says_what_was_never_released() {
        let publish =
            |pkid| Publish { topic: "t".into(), payload: Bytes::new(), qos: 2, retain: false, dup: false, pkid };
        let released = Event::Publish { direction: Direction::FromClient, publish: publish(1) };
        // The third is on its way.
        let held = |pkid| Event::Held { publish: publish(pkid) };
        assert_eq!(
            story(vec![(0, held(1)), (300, held(2)), (301, released), (900, held(3))]),
            ["client `c` has not released its QoS 2 message 2 on `t` since 300ms: nobody was told of it"]
        );
    }
}

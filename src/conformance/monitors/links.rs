//! The connections of the module under test and what they have subscribed to.
//!
//! A module may use several clients: a shell script has one for listening and one for every message it sends. Their
//! subscriptions count together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::protocol::topic;
use crate::transcript::record::{Event, Record};

/// MQTT 3.1.1; its clean sessions end with the connection.
const MQTT_3_1_1: u8 = 4;

/// What a record did to the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that matters here.
    None,
    /// A client connected.
    Connected,
    /// The last client is gone; `clean` if it said goodbye.
    Alone {
        /// Whether the module itself ended the connection in good order.
        clean: bool,
    },
}

/// All clients of the module under test.
#[derive(Debug)]
pub(super) struct Links {
    /// Whether every connection was seen to begin.
    from_start: bool,
    /// Whether sessions may be older than the record, because the broker behind a relay keeps them.
    relayed: bool,
    clients: BTreeMap<Arc<str>, Link>,
    /// What clients had subscribed to in sessions that are gone, and have not unsubscribed from.
    lost: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Link {
    online: bool,
    ends_with_connection: bool,
    /// Whether there may be subscriptions that were not seen.
    unseen: bool,
    filters: BTreeSet<String>,
}

impl Links {
    pub(super) fn new(from_start: bool, relayed: bool) -> Self {
        Self { from_start, relayed, clients: BTreeMap::new(), lost: BTreeSet::new() }
    }

    /// The client sends, so it is connected, be it since before the record began.
    pub(super) fn is_alive(&mut self, client: &Arc<str>) {
        match self.clients.get_mut(client) {
            Some(link) => link.online = true,
            None => {
                self.clients.insert(client.clone(), Link { online: true, ..Link::default() });
            }
        }
    }

    /// Takes note of a record of one of the module's clients.
    pub(super) fn observe(&mut self, record: &Record) -> Change {
        match &record.event {
            Event::Connected { protocol, clean, session_present, .. } => {
                let link = self.clients.entry(record.client.clone()).or_default();
                if !session_present {
                    self.lost.append(&mut link.filters);
                }
                link.online = true;
                link.unseen = self.relayed && *session_present;
                link.ends_with_connection = *clean && *protocol == MQTT_3_1_1;
                Change::Connected
            }
            Event::Subscribed { filter, .. } => {
                self.clients.entry(record.client.clone()).or_default().filters.insert(filter.clone());
                Change::None
            }
            Event::Unsubscribed { filter } => {
                self.lost.remove(filter);
                if let Some(link) = self.clients.get_mut(&record.client) {
                    link.filters.remove(filter);
                }
                Change::None
            }
            // The new connection under the same id is there already.
            Event::Disconnected { cause, .. } if cause.contains("taken over") => Change::None,
            Event::Disconnected { clean, .. } => {
                let Some(link) = self.clients.get_mut(&record.client) else { return Change::None };
                link.online = false;
                // An MQTT 5 session may outlive its connection; the record does not tell, so it counts as alive.
                if link.ends_with_connection {
                    self.lost.append(&mut link.filters);
                }
                if self.is_online() { Change::None } else { Change::Alone { clean: *clean } }
            }
            Event::Accepted
            | Event::Refused { .. }
            | Event::Publish { .. }
            | Event::Packet { .. }
            | Event::Held { .. }
            | Event::Unheard { .. }
            | Event::Breach { .. }
            | Event::Injected(_)
            | Event::Overflow { .. } => Change::None,
        }
    }

    /// Whether any client is connected.
    pub(super) fn is_online(&self) -> bool {
        self.clients.values().any(|link| link.online)
    }

    /// How many clients are connected.
    pub(super) fn online(&self) -> usize {
        self.clients.values().filter(|link| link.online).count()
    }

    /// Whether a client that is connected gets messages on this topic.
    pub(super) fn hears(&self, topic: &str) -> bool {
        let hears = |link: &Link| link.unseen || link.filters.iter().any(|filter| covers(filter, topic));
        !self.from_start || self.clients.values().any(|link| link.online && hears(link))
    }

    /// Whether a client had subscribed to this very topic in a session that is gone.
    pub(super) fn had_subscribed(&self, topic: &str) -> bool {
        self.lost.contains(topic)
    }

    /// Whether any client would get a message on this topic, as far as one can tell.
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        if !self.from_start {
            return true;
        }
        let gets = |link: &Link| link.unseen || link.filters.iter().any(|filter| covers(filter, topic));
        self.clients.values().any(gets)
    }
}

/// Whether a subscription to this filter, shared or not, covers a topic.
pub(super) fn covers(filter: &str, name: &str) -> bool {
    topic::matches(topic::shared(filter).map_or(filter, |(_, filter)| filter), name)
}

//! The clients whose packets go to an upstream broker, and their QoS 2 messages that are not released yet.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::frame::{Fault, Kind};
use super::hub::Recorder;
use crate::transcript::record::{Event, Publish};

/// All relayed clients.
#[derive(Default)]
pub(super) struct Relayed {
    /// By the number of the connection.
    clients: HashMap<u64, Arc<str>>,
    /// What they have not released, by packet identifier.
    held: HashMap<Arc<str>, BTreeMap<u16, Held>>,
}

/// A QoS 2 message that has not been released.
struct Held {
    /// The connection that brought it.
    number: u64,
    publish: Publish,
}

impl Relayed {
    /// The upstream accepted a client, under the name it came with or another one.
    pub(super) fn connect(&mut self, number: u64, came_as: &Arc<str>, client: &Arc<str>, session_present: bool) {
        self.clients.insert(number, client.clone());
        if came_as != client
            && let Some(held) = self.held.remove(came_as)
        {
            self.held.entry(client.clone()).or_default().extend(held);
        }
        if !session_present && let Some(held) = self.held.get_mut(client) {
            held.retain(|_, held| held.number == number);
        }
    }

    /// A client sent a QoS 2 PUBLISH.
    pub(super) fn hold(&mut self, number: u64, client: &Arc<str>, publish: Publish, recorder: &mut Recorder) {
        recorder.record(client, Event::Held { publish: publish.clone() });
        let held = self.held.entry(client.clone()).or_default();
        let is_known =
            |Held { publish: known, .. }: &Held| known.topic == publish.topic && known.payload == publish.payload;
        if held.get(&publish.pkid).is_some_and(is_known) {
            return;
        }
        let pkid = publish.pkid;
        if let Some(before) = held.insert(pkid, Held { number, publish }) {
            recorder.record_breach(client, &Fault::in_use(Kind::Publish, pkid, &before.publish.topic));
        }
    }

    /// A client released a QoS 2 message, or its upstream refused it.
    pub(super) fn release(&mut self, client: &Arc<str>, pkid: u16) -> Option<Publish> {
        self.held.get_mut(client)?.remove(&pkid).map(|held| held.publish)
    }

    /// A connection is over; the client whose it was, the first time.
    pub(super) fn end(&mut self, number: u64) -> Option<Arc<str>> {
        self.clients.remove(&number)
    }

    /// All connections, and whose they are.
    pub(super) fn clients(&self) -> impl Iterator<Item = (u64, &Arc<str>)> {
        self.clients.iter().map(|(number, client)| (*number, client))
    }

    /// The newest connection of a client.
    pub(super) fn newest(&self, client: &str) -> Option<u64> {
        self.clients.iter().filter(|(_, name)| ***name == *client).map(|(number, _)| *number).max()
    }

    /// All connections, in the order of their numbers.
    pub(super) fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<_> = self.clients.keys().copied().collect();
        numbers.sort_unstable();
        numbers
    }
}

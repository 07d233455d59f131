//! Where a bug acts: between a built-in module and its connection.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Bug;
use super::packet::{Besides, Memory, Packet};
use crate::protocol::channel::Topics;
use crate::station::config::StationConfig;

/// The edge of a module: everything passes as it is, unless the module has a bug. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    running: Option<Arc<Running>>,
}

/// A bug at work.
#[derive(Debug)]
struct Running {
    bug: &'static Bug,
    born: Instant,
    memory: Mutex<Memory>,
    crashed: Notify,
}

impl Edge {
    /// The edge of a module with a bug; `station` is what is simulated, or what the module is a client of.
    pub fn of(bug: Option<&'static Bug>, topics: &Topics, station: &StationConfig) -> Self {
        let running = bug.map(|bug| {
            let memory = Mutex::new(Memory::new(topics.clone(), station.clone()));
            Arc::new(Running { bug, born: Instant::now(), memory, crashed: Notify::new() })
        });
        Self { running }
    }

    /// The station as the module simulates it.
    pub fn station(&self, mut station: StationConfig) -> StationConfig {
        if let Some(change) = self.running.as_ref().and_then(|running| running.bug.station) {
            change(&mut station);
        }
        station
    }

    /// Whether messages are acknowledged.
    pub fn acknowledges(&self) -> bool {
        self.running.as_ref().is_none_or(|running| running.bug.acknowledges)
    }

    /// The QoS to subscribe at, for one that is meant.
    pub fn qos(&self, meant: u8) -> u8 {
        self.running.as_ref().and_then(|running| running.bug.qos).unwrap_or(meant)
    }

    /// Waits until the bug has ended the module.
    pub async fn crashed(&self) {
        match &self.running {
            Some(running) => running.crashed.notified().await,
            None => pending().await,
        }
    }

    /// Another connection is there.
    pub fn connected(&self) {
        if let Some(running) = &self.running {
            running.with(|memory| memory.connections += 1);
        }
    }

    /// What is published in place of a message, and done besides.
    pub fn publish(&self, topic: &str, payload: Bytes, qos: u8, retain: bool) -> (Vec<Packet>, Vec<Besides>) {
        let Some(running) = &self.running else {
            return (Packet::new(topic, payload, qos, retain, Duration::ZERO).alone(), Vec::new());
        };
        let packet = Packet::new(topic, payload, qos, retain, running.born.elapsed());
        running.pass(packet, running.bug.publish, |memory| &mut memory.said)
    }

    /// What is heard in place of a message, and done besides.
    pub fn hear(&self, topic: String, payload: Bytes, qos: u8, retain: bool) -> (Vec<Packet>, Vec<Besides>) {
        let Some(running) = &self.running else {
            return (Packet::new(topic, payload, qos, retain, Duration::ZERO).alone(), Vec::new());
        };
        let packet = Packet::new(topic, payload, qos, retain, running.born.elapsed());
        running.pass(packet, running.bug.hear, |memory| &mut memory.heard)
    }

    /// What is subscribed to in place of these filters.
    pub fn subscribe(&self, filters: &[String]) -> Vec<String> {
        let change = self.running.as_ref().and_then(|running| Some((running, running.bug.subscribe?)));
        let Some((running, change)) = change else { return filters.to_vec() };
        let (filters, besides) = running.with(|memory| {
            let filters = filters.iter().filter_map(|filter| change(memory, filter.clone())).collect();
            (filters, std::mem::take(&mut memory.besides))
        });
        if besides.contains(&Besides::Crash) {
            running.crashed.notify_one();
        }
        filters
    }
}

impl Running {
    fn with<T>(&self, act: impl FnOnce(&mut Memory) -> T) -> T {
        act(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn pass(
        &self,
        packet: Packet,
        change: Option<super::Change>,
        kept: fn(&mut Memory) -> &mut Vec<Packet>,
    ) -> (Vec<Packet>, Vec<Besides>) {
        let (passing, mut besides) = self.with(|memory| {
            // Whether a module is ready, it answers without its bug.
            if memory.topics.is_probe(&packet.topic, &packet.payload) {
                return (packet.alone(), Vec::new());
            }
            let passing = match change {
                Some(change) => change(memory, packet.clone()),
                None => packet.clone().alone(),
            };
            kept(memory).push(packet);
            (passing, std::mem::take(&mut memory.besides))
        });
        if let Some(at) = besides.iter().position(|it| *it == Besides::Crash) {
            besides.truncate(at);
            self.crashed.notify_one();
            return (Vec::new(), besides);
        }
        (passing, besides)
    }
}

impl Packet {
    fn new(topic: impl Into<String>, payload: Bytes, qos: u8, retain: bool, time: Duration) -> Self {
        Self { topic: topic.into(), payload, qos, retain, time, after: Duration::ZERO }
    }
}

//! What passes, for whoever watches: messages over MQTT, and what chargers, CSMS and gateway say to each other.
//!
//! Nobody waits for a watcher: one that is too slow misses something and is told how much. While nobody watches, nothing
//! is copied.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::fleet::now;
use super::log::LogEntry;
use crate::ocpp::Part;
use crate::transcript::record::{Direction, Event, Record};

/// How far a watcher may fall behind, in things that passed.
const BEHIND: usize = 1024;
/// The most bytes of a payload that are kept for watchers.
pub const LONGEST_PAYLOAD: usize = 8192;

/// Where everything passes; cloning shares it.
#[derive(Debug, Clone)]
pub struct Feed {
    sender: broadcast::Sender<Arc<Passed>>,
}

/// Something that passed.
#[derive(Debug, PartialEq)]
pub enum Passed {
    /// A client published.
    Mqtt {
        /// When, counted from the Unix epoch.
        at: Duration,
        /// The client's id.
        client: Arc<str>,
        /// The topic.
        topic: Arc<str>,
        /// The payload, cut off after some bytes.
        payload: Bytes,
        /// How many bytes there were.
        bytes: usize,
    },
    /// A charger's log has a new entry.
    Said {
        /// The charger's id.
        charger_id: String,
        /// It.
        entry: LogEntry,
        /// What it is in the conversation of OCPP.
        part: Part,
    },
}

/// What comes next to a watcher.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// This.
    Passed(Arc<Passed>),
    /// So much was missed.
    Missed(u64),
    /// Nothing ever again.
    Over,
}

/// Someone who watches, from when it was made on.
#[derive(Debug)]
pub struct Watcher {
    receiver: broadcast::Receiver<Arc<Passed>>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(BEHIND) }
    }
}

impl Feed {
    /// Shows what the broker saw, if a client published; see [`crate::broker::Broker::start`].
    pub fn note_record(&self, record: &Record) {
        let Event::Publish { direction: Direction::FromClient, publish } = &record.event else { return };
        if self.is_watched() {
            // A copy, so that a small part does not hold a large whole.
            let kept = &publish.payload[..publish.payload.len().min(LONGEST_PAYLOAD)];
            self.pass(Passed::Mqtt {
                at: now(),
                client: record.client.clone(),
                topic: publish.topic.clone(),
                payload: Bytes::copy_from_slice(kept),
                bytes: publish.payload.len(),
            });
        }
    }

    /// Shows an entry of a charger's log.
    pub fn note_entry(&self, charger_id: &str, entry: impl FnOnce() -> (LogEntry, Part)) {
        if self.is_watched() {
            let (entry, part) = entry();
            self.pass(Passed::Said { charger_id: charger_id.to_owned(), entry, part });
        }
    }

    /// Watches from now on.
    pub fn watch(&self) -> Watcher {
        Watcher { receiver: self.sender.subscribe() }
    }

    fn is_watched(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    fn pass(&self, passed: Passed) {
        // The last watcher may have gone just now.
        let _ = self.sender.send(Arc::new(passed));
    }
}

impl Watcher {
    /// Waits for what comes next.
    pub async fn next(&mut self) -> Next {
        match self.receiver.recv().await {
            Ok(passed) => Next::Passed(passed),
            Err(RecvError::Lagged(count)) => Next::Missed(count),
            Err(RecvError::Closed) => Next::Over,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::transcript::record::Publish;

    fn record(direction: Direction, payload: Vec<u8>) -> Record {
        let publish =
            Publish { topic: "a/b".into(), payload: payload.into(), qos: 0, retain: false, dup: false, pkid: 0 };
        Record { seq: 0, at: Duration::ZERO, client: "c".into(), event: Event::Publish { direction, publish } }
    }

    #[tokio::test]
    async fn a_message_is_shown_once_and_cut_off() {
        let feed = Feed::default();
        feed.note_record(&record(Direction::FromClient, b"before".to_vec()));
        let mut watcher = feed.watch();
        feed.note_record(&record(Direction::ToClient, b"copy".to_vec()));
        feed.note_record(&record(Direction::FromClient, vec![b'x'; LONGEST_PAYLOAD + 1]));
        let Next::Passed(passed) = watcher.next().await else { panic!("nothing passed") };
        let Passed::Mqtt { payload, bytes, .. } = &*passed else { panic!("{passed:?}") };
        assert_eq!((payload.len(), *bytes), (LONGEST_PAYLOAD, LONGEST_PAYLOAD + 1));
        drop(feed);
        assert_eq!(watcher.next().await, Next::Over);
    }

    #[tokio::test]
    async fn who_is_too_slow_hears_how_much_was_missed() {
        let feed = Feed::default();
        let mut watcher = feed.watch();
        for _ in 0..BEHIND + 7 {
            feed.note_record(&record(Direction::FromClient, Vec::new()));
        }
        assert_eq!(watcher.next().await, Next::Missed(7));
        assert!(matches!(watcher.next().await, Next::Passed(_)));
    }
}

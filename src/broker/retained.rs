//! Retained messages: any number of them, in a bounded amount of memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use super::session::Message;
use crate::protocol::topic;

#[derive(Debug, Default)]
pub(super) struct Retained {
    messages: BTreeMap<Arc<str>, Arc<Message>>,
    bytes: usize,
}

impl Retained {
    /// Keeps a message for its topic, or deletes the one that is there if the payload is empty (MQTT-3.3.1-10). `false`
    /// if it would take more than `limit` bytes; the old message then stays.
    pub(super) fn set(&mut self, message: &Arc<Message>, limit: usize) -> bool {
        let old = self.messages.get(&message.topic).map_or(0, |old| old.size());
        if message.payload.is_empty() {
            self.messages.remove(&message.topic);
            self.bytes -= old;
            return true;
        }
        let bytes = self.bytes - old + message.size();
        if bytes > limit {
            return false;
        }
        self.bytes = bytes;
        self.messages.insert(message.topic.clone(), message.clone());
        true
    }

    /// The messages whose topics match, in the order of their topics.
    pub(super) fn matching(&self, filter: &str, now: Instant) -> Vec<Arc<Message>> {
        // Everything that can match begins with the levels before the first wildcard; `a/#` matches `a` too.
        let literal = filter.find(['+', '#']).map_or(filter, |at| filter[..at].trim_end_matches('/'));
        self.messages
            .range::<str, _>((Bound::Included(literal), Bound::Unbounded))
            .take_while(|(topic, _)| topic.starts_with(literal))
            .filter(|(topic, message)| !message.is_expired(now) && topic::matches(filter, topic))
            .map(|(_, message)| message.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(topic: &str, payload: &'static str) -> Arc<Message> {
        Arc::new(Message {
            from: "test".into(),
            topic: topic.into(),
            payload: Bytes::from(payload),
            qos: 0,
            retain: true,
            properties: None,
            expires: None,
        })
    }

    #[test]
    fn finds_by_filter() {
        let mut retained = Retained::default();
        for topic in ["a", "a/b", "a/b/c", "ab", "b", "/a", "$x/a"] {
            assert!(retained.set(&message(topic, "1"), usize::MAX));
        }
        for (filter, expected) in [
            ("a/#", &["a", "a/b", "a/b/c"][..]),
            ("a/+", &["a/b"]),
            ("#", &["/a", "a", "a/b", "a/b/c", "ab", "b"]),
            ("+", &["a", "ab", "b"]),
            ("a/b", &["a/b"]),
            ("$x/#", &["$x/a"]),
            ("c/#", &[]),
        ] {
            let found = retained.matching(filter, Instant::now());
            assert_eq!(found.iter().map(|message| &*message.topic).collect::<Vec<_>>(), expected, "{filter}");
        }
    }

    #[test]
    fn is_bounded_and_gives_room_back() {
        let mut retained = Retained::default();
        let limit = message("a", "12345678").size();
        assert!(retained.set(&message("a", "12345678"), limit));
        assert!(!retained.set(&message("b", "1"), limit));
        assert!(retained.set(&message("a", "1234567"), limit), "a replacement counts for its own size only");
        assert!(retained.set(&message("a", ""), limit));
        assert_eq!(retained.bytes, 0);
        assert!(retained.set(&message("b", "12345678"), limit));
    }
}

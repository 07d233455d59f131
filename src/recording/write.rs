//! Messages to lines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::{LATEST_MS, Message};
use crate::protocol::channel::Topics;
use crate::transcript::record::{Direction, Event, Publish, Record};

/// A line as it is written; what is absent is so by default.
#[derive(Serialize)]
struct Line<'a> {
    t_ms: u64,
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    raw: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
    qos: u8,
    retain: bool,
}

impl Message {
    /// A message as it was on the wire; `at` is the time since the start of the recording.
    pub fn new(at: Duration, topic: &str, payload: &Bytes, qos: u8, retain: bool) -> Self {
        let t_ms = u64::try_from(at.as_millis()).unwrap_or(LATEST_MS).min(LATEST_MS);
        // A reader takes U+FFFD for a byte that was no UTF-8.
        let text = std::str::from_utf8(payload).ok().filter(|text| !text.contains(char::REPLACEMENT_CHARACTER));
        let json = text.and_then(to_json).filter(|json| !json.to_string().contains(char::REPLACEMENT_CHARACTER));
        let (payload, bytes, raw, hex) = match (text, json) {
            (None, _) => (Value::Null, payload.clone(), false, Some(payload.clone())),
            (Some(text), Some(json)) => (json, Bytes::from(on_one_line(text)), false, None),
            (Some(text), None) => (Value::String(text.to_owned()), payload.clone(), true, None),
        };
        Self { line: 0, t_ms, topic: topic.to_owned(), payload, bytes, raw, hex, qos, retain }
    }

    /// The message as a line of a recording, with the line's end.
    pub fn to_line(&self) -> String {
        let hex = self.hex.as_ref().map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect());
        // A number may have more digits than a value can keep.
        let exact = self.json().and_then(|_| RawValue::from_string(String::from_utf8(self.bytes.to_vec()).ok()?).ok());
        let payload = self.hex.is_none().then(|| exact.or_else(|| to_raw_value(&self.payload).ok())).flatten();
        let Self { t_ms, raw, qos, retain, .. } = *self;
        let line = Line { t_ms, topic: &self.topic, payload, raw, hex, qos, retain };
        // Texts, numbers and JSON values can always be written.
        serde_json::to_string(&line).unwrap_or_default() + "\n"
    }
}

/// JSON without the white space between its parts, and otherwise as it is.
fn on_one_line(json: &str) -> String {
    let (mut in_string, mut is_escaped) = (false, false);
    let is_kept = |c: &char| {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => in_string = !in_string,
            ' ' | '\t' | '\n' | '\r' => return in_string,
            _ => {}
        }
        true
    };
    json.chars().filter(is_kept).collect()
}

/// The value of a text that is JSON, unless it is nested so deeply that a line with it could not be read again.
fn to_json(text: &str) -> Option<Value> {
    let [value] = serde_json::from_str::<[Value; 1]>(&format!("[{text}]")).ok()?;
    Some(value)
}

/// Makes a recording of what the front door of the broker saw: the messages that clients published, each once.
#[derive(Debug)]
pub struct Writer {
    topics: Topics,
    start: Option<Duration>,
    /// What a client published last under a packet identifier, to know a second delivery by.
    last: BTreeMap<(Arc<str>, u16), Publish>,
}

impl Writer {
    /// Nothing was written yet. What khumbu tells itself or is told, or asks an EVerest to know whether it is ready, is left
    /// out.
    pub fn new(topics: Topics) -> Self {
        Self { topics, start: None, last: BTreeMap::new() }
    }

    /// The line of a record, if it is one of a published message. The first record of all is the start.
    pub fn line(&mut self, record: &Record) -> Option<String> {
        let start = *self.start.get_or_insert(record.at);
        let Event::Publish { direction: Direction::FromClient, publish } = &record.event else { return None };
        let aside = [self.topics.mark_topic(), self.topics.did_topic()];
        let is_aside = aside.iter().any(|topic| **topic == *publish.topic)
            || self.topics.is_probe(&publish.topic, &publish.payload);
        if is_aside || self.is_again(record, publish) {
            return None;
        }
        let Publish { topic, payload, qos, retain, .. } = publish;
        Some(Message::new(record.at.saturating_sub(start), topic, payload, *qos, *retain).to_line())
    }

    /// Whether a client delivers a message a second time (MQTT 5, section 3.3.1.1).
    fn is_again(&mut self, record: &Record, publish: &Publish) -> bool {
        if publish.pkid == 0 {
            return false;
        }
        let earlier = self.last.insert((record.client.clone(), publish.pkid), publish.clone());
        publish.dup && earlier.is_some_and(|it| it.topic == publish.topic && it.payload == publish.payload)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::channel::ApiType;
    use crate::recording::Recording;

    fn read(line: &str) -> Message {
        let mut recording = Recording::parse("r", line).unwrap();
        assert_eq!(recording.messages.len(), 1, "{line}");
        Message { line: 0, ..recording.messages.remove(0) }
    }

    fn payloads() -> impl Strategy<Value = Vec<u8>> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        let json = leaf.prop_recursive(4, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop_oneof![
            json.prop_map(|value| value.to_string().into_bytes()),
            ".{0,20}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..20),
        ]
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            topic in "[^\u{0}]{1,20}", payload in payloads(), millis in 0..=LATEST_MS, qos in 0u8..3, retain: bool,
        ) {
            let payload = Bytes::from(payload);
            let message = Message::new(Duration::from_millis(millis), &topic, &payload, qos, retain);
            let line = message.to_line();
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert_eq!(&read(&line), &message);
            prop_assert_eq!((message.t_ms, &message.topic, message.qos, message.retain), (millis, &topic, qos, retain));
            match serde_json::from_slice::<Value>(&payload) {
                Ok(value) => prop_assert_eq!(serde_json::from_slice::<Value>(&message.bytes).unwrap(), value),
                Err(_) => prop_assert_eq!(message.bytes, payload),
            }
        }
    }

    #[test]
    fn what_cannot_be_a_value_in_a_line_is_kept_as_it_is() {
        for depth in [100, 126, 127, 128, 129, 1000] {
            let text = "[".repeat(depth) + &"]".repeat(depth);
            let message = Message::new(Duration::ZERO, "t", &Bytes::from(text.clone()), 0, false);
            assert_eq!(read(&message.to_line()).bytes, text.as_bytes(), "{depth}");
        }
        for (payload, line) in [
            (&b"\xff\x00"[..], "{\"t_ms\":0,\"topic\":\"t\",\"hex\":\"ff00\",\"qos\":0,\"retain\":false}\n"),
            (b"", "{\"t_ms\":0,\"topic\":\"t\",\"payload\":\"\",\"raw\":true,\"qos\":0,\"retain\":false}\n"),
            (b"1,2", "{\"t_ms\":0,\"topic\":\"t\",\"payload\":\"1,2\",\"raw\":true,\"qos\":0,\"retain\":false}\n"),
            (
                b"{\"b\" : 12345678901234567890123,\n \"a\": [1E2, 0.10000000000000000000001, \"\\u0041 \\\" \"]}",
                "{\"t_ms\":0,\"topic\":\"t\",\"payload\":{\"b\":12345678901234567890123,\"a\":[1E2,0.10000000000000000000001,\"\\u0041 \\\" \"]},\"qos\":0,\"retain\":false}\n",
            ),
            (b" 1\n", "{\"t_ms\":0,\"topic\":\"t\",\"payload\":1,\"qos\":0,\"retain\":false}\n"),
        ] {
            let message = Message::new(Duration::ZERO, "t", &Bytes::from_static(payload), 0, false);
            assert_eq!(message.to_line(), line);
            assert_eq!(read(line), message);
        }
    }

    #[test]
    fn a_message_is_written_once_and_khumbus_own_marks_are_not() {
        let mut writer = Writer::new(Topics {
            api: ApiType::AUTH_CONSUMER,
            api_version: "1".to_owned(),
            module_id: "a".to_owned(),
            external_prefix: "plant/".to_owned(),
        });
        let mut line = |millis, client: &str, direction, topic: &str, dup, pkid| {
            let payload = Bytes::from_static(b"1");
            let publish = Publish { topic: topic.into(), payload, qos: 1, retain: false, dup, pkid };
            let event = Event::Publish { direction, publish };
            writer.line(&Record { seq: 0, at: Duration::from_millis(millis), client: client.into(), event })
        };
        use Direction::{FromClient, ToClient};
        assert!(line(40, "a", FromClient, "khumbu/a/mark", false, 0).is_none());
        assert!(line(40, "a", FromClient, "plant/khumbu/a/ready/1", false, 0).is_none());
        assert!(line(41, "a", FromClient, "khumbu/a/do", false, 1).unwrap().starts_with("{\"t_ms\":1,"));
        assert!(line(42, "a", ToClient, "x", false, 1).is_none());
        assert!(line(43, "a", FromClient, "khumbu/a/do", true, 1).is_none(), "a second delivery");
        assert!(line(44, "b", FromClient, "khumbu/a/do", true, 1).is_some(), "the first one was lost on the way");
        assert!(line(45, "a", FromClient, "khumbu/a/do", false, 1).is_some(), "the same said again");
        assert!(line(46, "a", FromClient, "x", true, 1).is_some(), "another message");
    }
}

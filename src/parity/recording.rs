//! The format of recordings: one JSON object a line, one message of a broker each.
//!
//! A line has `t_ms` (milliseconds since the start), `topic`, `payload` (JSON, or a text with `"raw": true` where it was
//! no JSON), `qos` and `retain` as published. Messages stand in the order in which they passed.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Place, Severity, Source};

/// The latest time a message may have: ten days, in milliseconds.
const LATEST_MS: u64 = 10 * 24 * 60 * 60 * 1000;
/// So many bad lines are told; a file that is something else altogether has no better ones.
const MOST_ERRORS: usize = 10;

/// A recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// In the order of the file; never empty.
    pub messages: Vec<Message>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Message {
    /// The line, from 1.
    #[serde(skip)]
    pub line: usize,
    /// Milliseconds since the start of the recording.
    pub t_ms: u64,
    /// As it was on the wire.
    pub topic: String,
    /// JSON, or a text.
    pub payload: Value,
    /// Whether `payload` is a text that was no JSON.
    #[serde(default)]
    pub raw: bool,
    /// 0, 1 or 2.
    #[serde(default)]
    pub qos: u8,
    /// Whether the broker was to keep it.
    #[serde(default)]
    pub retain: bool,
}

impl Message {
    /// A payload that means the same as the one on the wire.
    pub fn bytes(&self) -> Bytes {
        match &self.payload {
            Value::String(text) if self.raw => Bytes::from(text.clone()),
            payload => Bytes::from(payload.to_string()),
        }
    }

    /// Where a request wants its reply.
    pub fn reply_to(&self) -> Option<&str> {
        self.payload["headers"]["replyTo"].as_str()
    }

    /// The time as it is reckoned with; bounded by the parser.
    pub(super) fn at_ms(&self) -> i64 {
        i64::try_from(self.t_ms).unwrap_or(i64::MAX)
    }
}

impl Recording {
    /// Reads a recording; empty lines are passed over.
    ///
    /// # Errors
    ///
    /// `recording/invalid` for each line that is no message, the first ten of them; `recording/empty`.
    pub fn parse(path: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let source = Arc::new(Source { path: path.to_owned(), text: text.to_owned() });
        let (mut messages, mut errors, mut start) = (Vec::new(), Vec::new(), 0);
        for (number, whole) in text.split_inclusive('\n').enumerate() {
            let line = whole.trim_end();
            let range = start..start + line.len();
            start += whole.len();
            if line.is_empty() {
                continue;
            }
            match read(line) {
                Ok(message) => messages.push(Message { line: number + 1, ..message }),
                Err(why) => errors.push(invalid(&source, range, number + 1, &why)),
            }
            if errors.len() == MOST_ERRORS {
                break;
            }
        }
        if messages.is_empty() && errors.is_empty() {
            let headline = format!("recording `{path}` has no messages");
            errors.push(Diagnostic::new(Severity::Error, "recording/empty", headline));
        }
        if errors.is_empty() { Ok(Self { messages }) } else { Err(errors) }
    }

    /// The time of the last message.
    pub fn end_ms(&self) -> i64 {
        self.messages.last().map_or(0, Message::at_ms)
    }
}

fn read(line: &str) -> Result<Message, String> {
    let message: Message = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if message.t_ms > LATEST_MS {
        return Err(format!("`t_ms` is {}, the most is {LATEST_MS}", message.t_ms));
    }
    if message.qos > 2 {
        return Err(format!("`qos` is {}, the most is 2", message.qos));
    }
    if message.raw && !message.payload.is_string() {
        return Err("`payload` is no text although `raw` is true".to_owned());
    }
    Ok(message)
}

fn invalid(source: &Arc<Source>, range: Range<usize>, line: usize, why: &str) -> Diagnostic {
    Diagnostic::new(Severity::Error, "recording/invalid", format!("line {line} is no message of a recording"))
        .at(Place { source: Arc::clone(source), range, label: String::new() })
        .with_evidence(why.to_owned())
        .with_help(r#"{"t_ms": 1349, "topic": "…", "payload": 0, "qos": 0, "retain": false}"#)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_message() {
        let text = "{\"t_ms\": 4, \"topic\": \"a\", \"payload\": {\"b\": 1}}\n\n\
                    {\"t_ms\": 5, \"topic\": \"c\", \"payload\": \"plug_in\", \"raw\": true, \"qos\": 1, \"retain\": true}\n";
        let recording = Recording::parse("r", text).unwrap();
        let [first, second] = recording.messages.as_slice() else { panic!("{recording:?}") };
        assert_eq!((first.line, first.bytes(), first.retain), (1, Bytes::from_static(b"{\"b\":1}"), false));
        assert_eq!((second.line, second.bytes(), second.qos), (3, Bytes::from_static(b"plug_in"), 1));
        assert_eq!(recording.end_ms(), 5);
    }

    #[test]
    fn errors_name_their_lines() {
        let good = "{\"t_ms\": 4, \"topic\": \"a\", \"payload\": null}\n";
        for bad in [
            "{\"t_ms\": -1, \"topic\": \"a\", \"payload\": 1}",
            "{\"t_ms\": 1, \"topic\": \"a\"}",
            "{\"t_ms\": 1, \"topic\": \"a\", \"payload\": 1, \"qos\": 3}",
            "{\"t_ms\": 1, \"topic\": \"a\", \"payload\": 1, \"raw\": true}",
            "{\"t_ms\": 99999999999, \"topic\": \"a\", \"payload\": 1}",
            "not JSON",
        ] {
            let errors = Recording::parse("r", &format!("{good}{bad}\n{good}")).unwrap_err();
            assert_eq!(errors.len(), 1, "{bad}");
            assert_eq!((errors[0].id, errors[0].place.as_ref().unwrap().line()), ("recording/invalid", 2), "{bad}");
        }
        assert_eq!(Recording::parse("r", &"x\n".repeat(100)).unwrap_err().len(), MOST_ERRORS);
        assert_eq!(Recording::parse("r", "\n\n").unwrap_err()[0].id, "recording/empty");
    }
}

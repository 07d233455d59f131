//! Lines to messages.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{LATEST_MS, Message, Recording};
use crate::diagnostic::{Diagnostic, Place, Severity, Source};

/// So many bad lines are told; a file that is something else altogether has no better ones.
const MOST_ERRORS: usize = 10;

/// A line as it is written.
#[derive(Deserialize)]
struct Line {
    t_ms: u64,
    topic: String,
    #[serde(default, deserialize_with = "present")]
    payload: Option<Value>,
    #[serde(default)]
    raw: bool,
    #[serde(default)]
    hex: Option<String>,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    retain: bool,
}

/// `null` is a payload; only a key that is not there is none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
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
}

fn read(line: &str) -> Result<Message, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let Line { t_ms, topic, payload, raw, hex, qos, retain } = line;
    if t_ms > LATEST_MS {
        return Err(format!("`t_ms` is {t_ms}, the most is {LATEST_MS}"));
    }
    if qos > 2 {
        return Err(format!("`qos` is {qos}, the most is 2"));
    }
    let (payload, hex) = match (payload, hex) {
        (Some(_), Some(_)) => return Err("it has both `payload` and `hex`".to_owned()),
        (None, None) => return Err("it has neither `payload` nor `hex`".to_owned()),
        (Some(payload), None) => (payload, None),
        (None, Some(hex)) => (Value::Null, Some(from_hex(&hex).ok_or("`hex` has no whole bytes in hexadecimal")?)),
    };
    if raw && !payload.is_string() {
        return Err("`payload` is no text although `raw` is true".to_owned());
    }
    Ok(Message { line: 0, t_ms, topic, payload, raw, hex, qos, retain })
}

fn from_hex(text: &str) -> Option<Bytes> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let bytes = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    });
    bytes.collect::<Option<Vec<u8>>>().map(Bytes::from)
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
            "{\"t_ms\": 1, \"topic\": \"a\", \"payload\": 1, \"hex\": \"00\"}",
            "{\"t_ms\": 1, \"topic\": \"a\", \"hex\": \"0\"}",
            "{\"t_ms\": 1, \"topic\": \"a\", \"hex\": \"0x\"}",
            "{\"t_ms\": 1, \"topic\": \"a\", \"hex\": \"00\", \"raw\": true}",
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

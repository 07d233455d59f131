//! Lines to messages.
//!
//! Recorders write what JSON has no words for: `NaN` and `Infinity`, lone surrogates, and U+FFFD or a lone surrogate
//! from U+DC80 to U+DCFF for a byte that is no UTF-8. Such a payload is read, and is as little JSON to EVerest as it was.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{LATEST_MS, Message, Recording};
use crate::diagnostic::{Diagnostic, Place, Severity, Source};
use crate::protocol::codec::json;

/// So many bad lines are told; a file that is something else altogether has no better ones.
const MOST_ERRORS: usize = 10;

/// A message that passed a broker: one line of a recording. Other keys are passed over.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(
    extend("additionalProperties" = true),
    extend("oneOf" = [{"required": ["payload"]}, {"required": ["hex"]}]),
    extend("if" = raw_is(&json!({"const": true, "description": "Whether the payload is a text that is no JSON."}))),
    extend("then" = {
        "properties": {"payload": {"type": "string", "description": "The text."}},
        "additionalProperties": true,
    })
)]
pub struct Line<'a> {
    /// Milliseconds since the start of the recording.
    #[schemars(range(min = 0, max = LATEST_MS))]
    t_ms: f64,
    /// The topic, as it was on the wire.
    topic: String,
    /// The payload, as JSON; or, with `raw`, as a text.
    #[serde(borrow, default, deserialize_with = "present")]
    #[schemars(with = "Value")]
    payload: Option<&'a RawValue>,
    /// Whether `payload` is a text that is no JSON.
    #[serde(default)]
    raw: bool,
    /// The payload, where it is no text: its bytes in hexadecimal.
    #[serde(default)]
    #[schemars(regex(pattern = "^([0-9a-fA-F]{2})*$"))]
    hex: Option<String>,
    /// The QoS as published.
    #[serde(default)]
    #[schemars(range(max = 2))]
    qos: u8,
    /// The retain flag as published.
    #[serde(default)]
    retain: bool,
}

/// What holds of lines whose `raw` is so.
fn raw_is(raw: &Value) -> Value {
    json!({"properties": {"raw": raw}, "required": ["raw"], "additionalProperties": true})
}

/// `null` is a payload; only a key that is not there is none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
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
    let tame = tamed(line);
    let read: Line<'_> = serde_json::from_str(&tame).map_err(|error| error.to_string())?;
    let Line { t_ms, topic, payload, raw, hex, qos, retain } = read;
    if !(0.0..=LATEST_MS as f64).contains(&t_ms) {
        return Err(format!("`t_ms` is {t_ms}, it has to be from 0 to {LATEST_MS}"));
    }
    if qos > 2 {
        return Err(format!("`qos` is {qos}, the most is 2"));
    }
    let (payload, bytes, hex) = match (payload, hex) {
        (Some(_), Some(_)) => return Err("it has both `payload` and `hex`".to_owned()),
        (None, None) => return Err("it has neither `payload` nor `hex`".to_owned()),
        (None, Some(hex)) => {
            let bytes = from_hex(&hex).ok_or("`hex` has no whole bytes in hexadecimal")?;
            (Value::Null, bytes.clone(), Some(bytes))
        }
        (Some(written), None) => {
            let payload = json::parse(written.get().as_bytes()).map_err(|error| error.to_string())?;
            let bytes = match &payload {
                Value::String(text) if raw => on_wire(text),
                // The same place in the line as it was, with what is no JSON.
                _ => {
                    let start = written.get().as_ptr().addr() - tame.as_ptr().addr();
                    let text = line.get(start..start + written.get().len()).unwrap_or_default();
                    on_wire(&text.replace("\\ufffd", "\u{FFFD}"))
                }
            };
            (payload, bytes, None)
        }
    };
    if raw && !payload.is_string() {
        return Err("`payload` is no text although `raw` is true".to_owned());
    }
    // What was cut off is less than anyone can measure.
    let t_ms = t_ms as u64;
    Ok(Message { line: 0, t_ms, topic, payload, bytes, raw, hex, qos, retain })
}

fn from_hex(text: &str) -> Option<Bytes> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let bytes = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    });
    bytes.collect::<Option<Vec<u8>>>().map(Bytes::from)
}

/// The line with JSON of the same length in the place of what recorders write beyond JSON.
fn tamed(line: &str) -> Cow<'_, str> {
    let mut tame = json::paired(line);
    let mut replace = |at: usize, with: &str| tame.to_mut().replace_range(at..at + with.len(), with);
    let (mut at, mut in_string) = (0, false);
    while let Some(rest) = line.as_bytes().get(at..).filter(|rest| !rest.is_empty()) {
        at += match rest[0] {
            b'"' => {
                in_string = !in_string;
                1
            }
            b'\\' if in_string => 2,
            b'N' if !in_string && rest.starts_with(b"NaN") => {
                replace(at, "0.0");
                3
            }
            b'I' if !in_string && rest.starts_with(b"Infinity") => {
                replace(at, "10000000");
                8
            }
            _ => 1,
        };
    }
    tame
}

/// U+FFFD stands for a byte that was no UTF-8.
fn on_wire(text: &str) -> Bytes {
    const REPLACED: char = '\u{FFFD}';
    let mut parts = text.split(REPLACED);
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(0xFF);
        bytes.extend_from_slice(part.as_bytes());
    }
    Bytes::from(bytes)
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
        assert_eq!((first.line, &first.bytes[..], first.retain), (1, &b"{\"b\": 1}"[..], false));
        assert_eq!((second.line, &second.bytes[..], second.qos), (3, &b"plug_in"[..], 1));
        assert_eq!(recording.end_ms(), 5);
        let errors = Recording::parse("r", "not JSON\n").unwrap_err();
        assert_eq!(errors[0].place.as_ref().map(|place| place.range.clone()), Some(0..8));
    }

    fn bytes(payload: &str) -> Vec<u8> {
        let line = format!("{{\"t_ms\": 1.5, \"topic\": \"é\", \"payload\": {payload}}}");
        Recording::parse("r", &line).unwrap().messages[0].bytes.to_vec()
    }

    #[test]
    fn what_recorders_write_beyond_json_is_as_little_json_as_it_was() {
        for no_json in [
            "NaN",
            "-Infinity",
            r#"{"evse_id": Infinity}"#,
            r#"{"v": "\ud800"}"#,
            r#"{"v": "\udc00\ud800"}"#,
            r#"["\\", "\ud83d x"]"#,
        ] {
            assert_eq!(bytes(no_json), no_json.as_bytes());
            assert!(serde_json::from_str::<Value>(no_json).is_err(), "{no_json}");
        }
        for json in [r#""NaN and \"Infinity\"""#, r#""\ud83d\ude00""#, r#"{"\\": "\\ud800"}"#, "1e300", "-0.5"] {
            assert_eq!(bytes(json), json.as_bytes());
            serde_json::from_str::<Value>(json).unwrap();
        }
        assert_eq!(bytes(r#""\u0041\udcff\ufffd", "raw": true"#), b"A\xFF\xFF");
        assert_eq!(bytes("\"\u{feff}{}\", \"raw\": true"), "\u{feff}{}".as_bytes());
        assert_eq!(bytes(r#"{"v": "\ufffd"}"#), b"{\"v\": \"\xFF\"}");
    }

    #[test]
    fn a_payload_may_be_deep() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(bytes(&deep), deep.as_bytes());
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

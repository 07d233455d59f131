//! What people do not paste into a report of an error: the values of id tokens, and certificates. Hidden in whatever is told of
//! a module, unless somebody asks to see them. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::transcript::record::{Event, Record};
use crate::verdict::ScenarioResult;

/// What stands in their place.
const HIDDEN: &str = "…";
/// A shorter value may be part of anything, and is hidden in quotes alone.
const SHORTEST: usize = 4;

/// Such values, the longest first; none where they are to be seen.
#[derive(Debug, Default)]
pub(super) struct Secrets(Option<Vec<String>>);

impl Secrets {
    /// All that pass in these records.
    pub fn of(records: &[Record]) -> Self {
        let mut found = BTreeSet::new();
        for record in records {
            let (Event::Publish { publish, .. } | Event::Held { publish }) = &record.event else { continue };
            if let Ok(json) = serde_json::from_slice(&publish.payload) {
                hidden(json, &mut |secret| found.extend([secret.to_owned()]));
            }
        }
        // In a payload that is cut off, or on standard output, they may stand as JSON writes them.
        let escaped = |text: &String| Value::from(text.as_str()).to_string().trim_matches('"').to_owned();
        let escaped: Vec<_> = found.iter().map(escaped).collect();
        found.extend(escaped);
        let mut secrets: Vec<_> = found.into_iter().filter(|secret| !secret.is_empty()).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(Some(secrets))
    }

    /// A payload in one line, without them.
    pub fn hide_in_payload(&self, payload: &[u8]) -> String {
        match serde_json::from_slice::<Value>(payload) {
            Ok(json @ (Value::Object(_) | Value::Array(_))) if self.0.is_some() => {
                hidden(json, &mut |_| {}).to_string()
            }
            Ok(json @ (Value::Object(_) | Value::Array(_))) => json.to_string(),
            _ => self.hide(&String::from_utf8_lossy(payload).escape_debug().to_string()),
        }
    }

    /// A result without them.
    pub fn hide_in(&self, mut result: ScenarioResult) -> ScenarioResult {
        for found in &mut result.findings {
            let texts = std::iter::once(&mut found.headline).chain(&mut found.evidence).chain(&mut found.help);
            texts.for_each(|text| *text = self.hide(text));
        }
        result.output.iter_mut().for_each(|line| *line = self.hide(line));
        result
    }

    /// A text without them.
    fn hide(&self, text: &str) -> String {
        self.0.iter().flatten().fold(text.to_owned(), |text, secret| hide_one(&text, secret))
    }
}

/// A text without one of them, however it is written: id tokens are the same in upper and lower case. Where the text is cut off in
/// its middle, the beginning is hidden.
fn hide_one(text: &str, secret: &str) -> String {
    let (lower, wanted) = (text.to_ascii_lowercase(), secret.to_ascii_lowercase());
    let is_short = secret.chars().count() < SHORTEST;
    let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let is_quote = |c: Option<char>| c == Some('"');
    let mut left = String::with_capacity(text.len());
    let mut end = 0;
    for (at, _) in lower.match_indices(&wanted) {
        let (before, behind) = (lower[..at].chars().next_back(), lower[at + wanted.len()..].chars().next());
        let is_it = match is_short {
            true => is_quote(before) && is_quote(behind),
            false => !is_part(before) && !is_part(behind),
        };
        if is_it {
            left.push_str(&text[end..at]);
            left.push_str(HIDDEN);
            end = at + wanted.len();
        }
    }
    left.push_str(&text[end..]);
    let Some(whole) = left.strip_suffix('…') else { return left };
    let lower = whole.to_ascii_lowercase();
    let starts = wanted.char_indices().map(|(at, _)| &wanted[..at]).rev();
    let cut = starts.filter(|start| start.chars().count() >= SHORTEST).find(|start| lower.ends_with(start));
    match cut {
        Some(start) => format!("{}{HIDDEN}", &whole[..whole.len() - start.len()]),
        None => left,
    }
}

/// A JSON text without values that stand beside a type, as those of id tokens do, and without certificates; each is told.
fn hidden(json: Value, tell: &mut impl FnMut(&str)) -> Value {
    match json {
        Value::Array(items) => items.into_iter().map(|item| hidden(item, tell)).collect(),
        Value::Object(entries) => {
            let is_typed = entries.contains_key("type");
            let is_secret = |key: &str| key == "certificate" || is_typed && key == "value";
            let mut entry = |(key, value): (String, Value)| match value {
                Value::String(secret) if is_secret(&key) => {
                    tell(&secret);
                    (key, Value::from(HIDDEN))
                }
                _ if is_secret(&key) => (key, Value::from(HIDDEN)),
                value => (key, hidden(value, tell)),
            };
            entries.into_iter().map(&mut entry).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::transcript::record::{Direction, Publish};

    fn secrets(payload: &Value) -> Secrets {
        let publish = Publish {
            topic: "t".into(),
            payload: payload.to_string().into(),
            qos: 0,
            retain: false,
            dup: false,
            pkid: 0,
        };
        let event = Event::Publish { direction: Direction::ToClient, publish };
        Secrets::of(&[Record { seq: 0, at: Duration::ZERO, client: "c".into(), event }])
    }

    #[test]
    fn what_was_seen_of_tokens_and_certificates_is_hidden_wherever_it_stands() {
        let token = json!({"id_token": {"type": "ISO14443", "value": "04A2F3B1"}, "certificate": "-----BEGIN\nx"});
        let secrets = secrets(&token);
        for (text, told) in [
            (r#"q1 {"value":"04A2F3B1"}"#, r#"q1 {"value":"…"}"#),
            ("cannot read 04a2f3b1!", "cannot read …!"),
            ("204A2F3B15", "204A2F3B15"),
            (r#"{"certificate":"-----BEGIN\nx"}"#, r#"{"certificate":"…"}"#),
            (r#"{"certificate":"-----BEG…"#, r#"{"certificate":"…"#),
            (r#"{"value":"04A2F…"#, r#"{"value":"…"#),
            ("", ""),
        ] {
            assert_eq!(secrets.hide(text), told, "{text}");
        }
        let payload = r#"{"certificate":"…","id_token":{"type":"ISO14443","value":"…"}}"#;
        assert_eq!(secrets.hide_in_payload(token.to_string().as_bytes()), payload);
        assert_eq!(secrets.hide_in_payload(b"04A2F3B1 {"), "… {");
        let shown = Secrets::default();
        assert_eq!(shown.hide_in_payload(token.to_string().as_bytes()), token.to_string());
    }

    #[test]
    fn a_short_value_is_hidden_in_quotes_alone() {
        let secrets =
            secrets(&json!([{"type": "Local", "value": "1"}, {"type": "Local", "value": 2}, {"value": "open"}]));
        assert_eq!(
            secrets.hide(r#"exited with code 1 over {"value":"1"}, open"#),
            r#"exited with code 1 over {"value":"…"}, open"#
        );
    }
}

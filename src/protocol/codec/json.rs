//! JSON of any depth: nothing that the API means lies deep, and no sender can exhaust the stack.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// What lies deeper is checked, but not kept; the parser's own limit is 128.
const DEPTH: u8 = 100;

/// Reads a document. What lies deeper than 100 levels must be JSON too, and is `null` in the value.
///
/// # Errors
///
/// Those of `serde_json`.
pub fn parse(bytes: &[u8]) -> serde_json::Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Below(DEPTH).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// A document with `\ufffd` for each half of a surrogate pair that stands alone, which JavaScript and Python write and a text cannot
/// have; as long as before.
pub fn paired(text: &str) -> Cow<'_, str> {
    let (mut whole, mut at) = (Cow::Borrowed(text), 0);
    while let Some(next) = text.as_bytes()[at..].iter().position(|byte| *byte == b'\\') {
        at += next;
        let rest = &text.as_bytes()[at..];
        at += match (unit(rest), rest.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                whole.to_mut().replace_range(at..at + 6, "\\ufffd");
                6
            }
            // The backslash, and the first byte of what it escapes.
            _ => rest.len().min(2),
        };
    }
    whole
}

/// The UTF-16 unit that a text begins with, as `\uXXXX`.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A value, with so many levels left.
#[derive(Clone, Copy)]
struct Below(u8);

impl<'de> DeserializeSeed<'de> for Below {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.0 == 0 {
            // Does without recursion.
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| Value::Null);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Below {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Below(self.0 - 1))? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            // Of equal keys the last one wins.
            members.insert(key, access.next_value_seed(Below(self.0 - 1))?);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_surrogate_pair_becomes_a_replacement_character() {
        for (text, whole) in [
            (r"a\ud83e\n", r"a\ufffd\n"),
            (r"\udd70\uD83E", r"\ufffd\ufffd"),
            (r"\ud83e\ud83e\udd70", r"\ufffd\ud83e\udd70"),
            (r"\\ud83e \u00e9 é\", r"\\ud83e \u00e9 é\"),
            (r"\ud83", r"\ud83"),
            (r"\é\u", r"\é\u"),
        ] {
            assert_eq!(paired(text), whole);
        }
    }
}

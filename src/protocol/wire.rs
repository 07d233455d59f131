//! Forms in which one message can be written: other bytes, the same meaning. Whoever reads JSON as JSON, and ignores the
//! fields that it does not know, cannot tell one from another (RR-9, RR-15).
//!
//! Pure. What is said is decided elsewhere, and what somebody else wrote is never written anew.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::codec;
use super::deviations::{Deviation, Deviations};

/// How the messages of one side are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// As EVerest writes them.
    #[default]
    Everest,
    /// In one line without blanks.
    Compact,
    /// Keys in reverse order.
    Reordered,
    /// With unknown fields in every object.
    ExtraFields,
    /// Every character of every text as an escape.
    Escaped,
    /// Blanks of all kinds wherever JSON allows them.
    Spaced,
    /// Each message in another of the forms above, in turn.
    SameMeaning,
    /// The same without those that add fields.
    SameFields,
}

/// How one message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// As [`codec::encode`].
    Everest,
    /// As [`codec::encode_compact`].
    Compact,
    /// As EVerest, with the keys of every object in reverse order.
    Reordered,
    /// As EVerest, with a field that nobody knows in every object that has any.
    ExtraFields,
    /// Compact, with every character of texts and keys as `\uXXXX`, but slashes as `\/`.
    Escaped,
    /// With some of the four kinds of blanks around every token.
    Spaced,
}

/// The field that nobody knows. It sorts before all others and holds what a reader of text may take for the real ones.
///
/// Objects without fields stay so: `{}` as the payload of a withdraw request means everything, one with none but unknown
/// fields may be a misspelt request ([`super::deviations::Deviation::WithdrawAllByTypo`]).
const EXTRA: &str = "_khumbu";

/// Blanks as JSON has them (RFC 8259, section 2).
const BLANKS: [&str; 5] = [" ", "\n", "\t", "\r\n", "   "];

impl Wire {
    /// Every wire form, the default first.
    pub const ALL: [Wire; 8] = [
        Wire::Everest,
        Wire::Compact,
        Wire::Reordered,
        Wire::ExtraFields,
        Wire::Escaped,
        Wire::Spaced,
        Wire::SameMeaning,
        Wire::SameFields,
    ];

    /// The name users write.
    pub fn name(self) -> &'static str {
        match (self.form(), self.adds_fields()) {
            (Some(form), _) => form.name(),
            (None, true) => "same_meaning",
            (None, false) => "same_fields",
        }
    }

    /// Whether messages may have fields that the default form has not.
    pub fn adds_fields(self) -> bool {
        matches!(self, Wire::ExtraFields | Wire::SameMeaning)
    }

    /// The form of every message; `None` where they take turns.
    fn form(self) -> Option<Form> {
        Some(match self {
            Wire::Everest => Form::Everest,
            Wire::Compact => Form::Compact,
            Wire::Reordered => Form::Reordered,
            Wire::ExtraFields => Form::ExtraFields,
            Wire::Escaped => Form::Escaped,
            Wire::Spaced => Form::Spaced,
            Wire::SameMeaning | Wire::SameFields => return None,
        })
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no wire form's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no wire form")]
pub struct UnknownWire(String);

impl FromStr for Wire {
    type Err = UnknownWire;

    fn from_str(name: &str) -> Result<Self, UnknownWire> {
        let found = Wire::ALL.into_iter().find(|wire| wire.name() == name);
        found.ok_or_else(|| UnknownWire(name.chars().take(40).collect()))
    }
}

impl Form {
    /// Every form, the most ordinary first.
    pub const ALL: [Form; 6] =
        [Form::Everest, Form::Compact, Form::Reordered, Form::ExtraFields, Form::Escaped, Form::Spaced];

    /// The name users write.
    pub fn name(self) -> &'static str {
        match self {
            Form::Everest => "everest",
            Form::Compact => "compact",
            Form::Reordered => "reordered",
            Form::ExtraFields => "extra_fields",
            Form::Escaped => "escaped",
            Form::Spaced => "spaced",
        }
    }

    /// Writes a message. Numbers are the same in every form: `1.0` for `1` would be another integer to many a reader.
    pub fn encode<T: Serialize>(self, message: &T) -> Bytes {
        // The types of the API have only text for keys, so that they are values.
        let value = || serde_json::to_value(message).unwrap_or_default();
        match self {
            Form::Everest => codec::encode(message),
            Form::Compact => codec::encode_compact(message),
            Form::Reordered => codec::encode(&Reversed(&value())),
            Form::ExtraFields => codec::encode(&with_extra_fields(value())),
            Form::Escaped => Speller::default().spell(&value()),
            Form::Spaced => Speller { blanks: Some(0), ..Speller::default() }.spell(&value()),
        }
    }

    /// The form in which a message is written, the most ordinary one if it looks the same in several; `None` if it is
    /// none of these.
    pub fn recognised(bytes: &[u8]) -> Option<Form> {
        let mut value = serde_json::from_slice(bytes).ok()?;
        remove_extra_fields(&mut value);
        Form::ALL.into_iter().find(|form| form.encode(&value) == bytes)
    }

    /// What it looks like, for whoever reads of it.
    pub fn in_words(self) -> &'static str {
        match self {
            Form::Everest => "over several lines, indented",
            Form::Compact => "as `compact`",
            Form::Reordered => "as `reordered`, over several lines as well",
            Form::ExtraFields => "as `extra_fields`, over several lines as well",
            Form::Escaped => "as `escaped`",
            Form::Spaced => "as `spaced`",
        }
    }

    /// The forms that take turns: those in which a value of this kind may look different.
    fn turns(value: &Value, adds_fields: bool) -> &'static [Form] {
        match value {
            Value::Object(fields) if !fields.is_empty() && adds_fields => {
                &[Form::Escaped, Form::Reordered, Form::ExtraFields, Form::Compact, Form::Spaced]
            }
            Value::Object(fields) if !fields.is_empty() => {
                &[Form::Escaped, Form::Reordered, Form::Compact, Form::Spaced]
            }
            _ => &[Form::Escaped, Form::Spaced],
        }
    }
}

/// Writes the messages of one side, one after the other; clones go on together.
///
/// What is sent by the clock has an encoder of its own, so that time does not decide which form another message has.
#[derive(Debug, Clone, Default)]
pub struct Encoder {
    wire: Wire,
    /// Whether EVerest writes compactly by itself.
    is_compact: bool,
    written: Arc<AtomicUsize>,
    /// How many there were of those that EVerest writes compactly: each looks different from it, in every form.
    written_compactly: Arc<AtomicUsize>,
}

impl Encoder {
    /// An encoder that has written nothing yet.
    pub fn new(wire: Wire) -> Self {
        Self { wire, ..Self::default() }
    }

    /// One that writes as EVerest does, where no other form is asked for.
    pub fn of_everest(wire: Wire, in_force: Deviations) -> Self {
        Self { is_compact: in_force.is_on(Deviation::CompactJson), ..Self::new(wire) }
    }

    /// The text of the next message; in the default form that of [`codec::encode`], unless EVerest writes compactly.
    pub fn encode<T: Serialize>(&self, message: &T) -> Bytes {
        if self.wire == Wire::Everest && self.is_compact {
            return codec::encode_compact(message);
        }
        if let Some(form) = self.wire.form() {
            return form.encode(message);
        }
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let value = serde_json::to_value(message).unwrap_or_default();
        let turns = Form::turns(&value, self.wire.adds_fields());
        turns[number % turns.len()].encode(&value)
    }

    /// The same, in the default form that of [`codec::encode_compact`]. Where forms take turns, that form is none of them, and the
    /// first differs from it in blanks alone: so it can be told what a reader stumbles over that reads none of the others.
    pub fn encode_compact<T: Serialize>(&self, message: &T) -> Bytes {
        match self.wire {
            Wire::Everest => codec::encode_compact(message),
            Wire::SameMeaning | Wire::SameFields => {
                let value = serde_json::to_value(message).unwrap_or_default();
                let others = Form::turns(&value, self.wire.adds_fields()).iter().filter(|form| **form != Form::Compact);
                let forms: Vec<_> = [Form::Everest].iter().chain(others).collect();
                let number = self.written_compactly.fetch_add(1, Ordering::Relaxed);
                forms[number % forms.len()].encode(&value)
            }
            _ => self.encode(message),
        }
    }
}

/// Whether there is anything that [`Form::ExtraFields`] adds.
pub fn has_extra_fields(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_extra_fields),
        Value::Object(fields) => fields.contains_key(EXTRA) || fields.values().any(has_extra_fields),
        _ => false,
    }
}

/// What [`Form::ExtraFields`] has added is taken away.
pub fn remove_extra_fields(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(remove_extra_fields),
        Value::Object(fields) => {
            fields.remove(EXTRA);
            fields.values_mut().for_each(remove_extra_fields);
        }
        _ => {}
    }
}

fn with_extra_fields(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(with_extra_fields).collect(),
        Value::Object(fields) if !fields.is_empty() => {
            let decoy = json!({
                "evse_id": 4_711, "replyTo": "nobody/listens/here", "status": "Unheard", "type": "Unheard",
                "value": "UNHEARD",
            });
            let fields = fields.into_iter().map(|(key, value)| (key, with_extra_fields(value)));
            fields.chain([(EXTRA.to_owned(), decoy)]).collect()
        }
        other => other,
    }
}

/// A value whose objects are written from their last key to their first.
struct Reversed<'v>(&'v Value);

impl Serialize for Reversed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(items) => serializer.collect_seq(items.iter().map(Reversed)),
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, value) in fields.iter().rev() {
                    map.serialize_entry(key, &Reversed(value))?;
                }
                map.end()
            }
            other => other.serialize(serializer),
        }
    }
}

/// Writes token by token: with blanks around them, or else with escapes in them.
#[derive(Default)]
struct Speller {
    text: String,
    /// How many there are so far.
    blanks: Option<usize>,
}

impl Speller {
    fn spell(mut self, value: &Value) -> Bytes {
        self.token("");
        self.value(value);
        Bytes::from(self.text)
    }

    fn token(&mut self, token: &str) {
        self.text.push_str(token);
        if let Some(number) = &mut self.blanks {
            self.text.push_str(BLANKS[*number % BLANKS.len()]);
            *number += 1;
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.string(text),
            Value::Array(items) => {
                self.token("[");
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.token(",");
                    }
                    self.value(item);
                }
                self.token("]");
            }
            Value::Object(fields) => {
                self.token("{");
                for (index, (key, value)) in fields.iter().enumerate() {
                    if index > 0 {
                        self.token(",");
                    }
                    self.string(key);
                    self.token(":");
                    self.value(value);
                }
                self.token("}");
            }
            scalar => self.token(&scalar.to_string()),
        }
    }

    fn string(&mut self, text: &str) {
        if self.blanks.is_some() {
            return self.token(&Value::from(text).to_string());
        }
        let escaped = text.encode_utf16().map(|unit| match unit {
            0x2F => "\\/".to_owned(),
            unit => format!("\\u{unit:04x}"),
        });
        let escaped: String = escaped.collect();
        self.token(&format!("\"{escaped}\""));
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;

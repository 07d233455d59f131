//! serde over the tree of [`crate::yaml`], so that every error knows its place.
//!
//! serde stops at the first error. [`super::parse`] takes what is wrong out of the tree and asks again.

use std::cell::Cell;
use std::ops::Range;

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::fault::Fault;
use crate::yaml::{Content, Entry, Node, Scalar, resolve};

/// The most nodes visited, aliases followed: what stops an alias bomb.
const VISITS: usize = 100_000;

/// Reads a value from a node that stands under a key.
pub(super) fn from_node<T: DeserializeOwned>(node: &Node, key: Option<&Range<usize>>) -> Result<T, Fault> {
    let visits = Cell::new(0);
    T::deserialize(Cursor { node, key, visits: &visits })
}

/// A node and the way to it.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    node: &'a Node,
    /// The key that holds it: where errors about a whole mapping point.
    key: Option<&'a Range<usize>>,
    visits: &'a Cell<usize>,
}

impl<'a> Cursor<'a> {
    /// Where an error about the node as a whole points: at a value if it is one word, else at its key or first line.
    fn range(&self) -> Range<usize> {
        let own = &self.node.range;
        match (self.node.content(), self.key) {
            (Content::Scalar { .. }, _) if !own.is_empty() => own.clone(),
            (_, Some(key)) => key.clone(),
            (Content::Mapping(entries), None) if !matches!(self.node.content, Content::Shared(_)) => {
                entries.first().map_or_else(|| own.clone(), |entry| entry.key_range.clone())
            }
            _ => own.clone(),
        }
    }

    fn visit(&self) -> Result<(), Fault> {
        let visits = self.visits.get() + 1;
        self.visits.set(visits);
        if visits > VISITS {
            return Err(Fault::new(
                "scenario/too-large",
                format!("scenario has more than {VISITS} values once its aliases are followed"),
                self.range(),
            )
            .fatal());
        }
        Ok(())
    }

    fn wrong(&self, expected: &str) -> Fault {
        let found = match self.node.content() {
            Content::Scalar { text, plain } if !*plain => format!("the text `{text}`"),
            Content::Scalar { text, .. } if text.is_empty() => "nothing".to_owned(),
            Content::Scalar { text, .. } => format!("`{text}`"),
            Content::List(_) => "a list".to_owned(),
            Content::Mapping(_) | Content::Shared(_) => "a mapping".to_owned(),
        };
        Fault::new("scenario/wrong-type", format!("expected {expected}, found {found}"), self.range())
    }
}

impl<'de> de::Deserializer<'de> for Cursor<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.visit()?;
        let result: Result<V::Value, Fault> = match self.node.content() {
            Content::Scalar { text, plain: false } => visitor.visit_str(text),
            Content::Scalar { text, plain: true } => as_written(
                text,
                match resolve(text) {
                    Scalar::Null => visitor.visit_unit(),
                    Scalar::Bool(value) => visitor.visit_bool(value),
                    Scalar::Unsigned(value) => visitor.visit_u64(value),
                    Scalar::Signed(value) => visitor.visit_i64(value),
                    Scalar::Float(value) => visitor.visit_f64(value),
                    Scalar::Text(text) => visitor.visit_str(text),
                    Scalar::Odd(why) => Err(Fault::new("scenario/odd-number", format!("`{text}` {why}"), self.range())
                        .help(format!("quote it if it is a text: \"{text}\""))),
                },
            ),
            Content::List(items) => visitor.visit_seq(Items { items: items.iter(), visits: self.visits }),
            Content::Mapping(entries) => {
                visitor.visit_map(Entries { entries: entries.iter(), value: None, visits: self.visits })
            }
            Content::Shared(_) => Err(self.wrong("a value")),
        };
        result.map_err(|fault| fault.at(&self.range()))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Content::Scalar { text, plain } = self.node.content() else {
            return Err(self.wrong("a text").instead(self.only_text()));
        };
        if !plain || matches!(resolve(text), Scalar::Text(_)) {
            self.visit()?;
            return visitor.visit_str(text).map_err(|fault: Fault| fault.at(&self.range()));
        }
        if text.is_empty() {
            return Err(self.wrong("a text"));
        }
        let kind = match resolve(text) {
            Scalar::Null => "nothing",
            Scalar::Bool(_) => "a boolean",
            _ => "a number",
        };
        Err(Fault::new("scenario/wrong-type", format!("expected a text, found {kind}: `{text}`"), self.range())
            .help(format!("quote it: \"{text}\"")))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    /// A value that is there counts, also if it is nothing: `payload: null` is a payload.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let Content::Mapping(entries) = self.node.content() else {
            let fault = self.wrong("a mapping").evidence(format!("fields: {}", fields.join(", ")));
            return Err(fault.instead(self.as_field(fields)));
        };
        // Types of the wire take what they do not know; a file may not.
        if let Some(entry) = entries.iter().find(|entry| !fields.contains(&entry.key.as_str())) {
            let fault: Fault = de::Error::unknown_field(&entry.key, fields);
            return Err(fault.at(&entry.key_range));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.visit()?;
        let variant = match self.node.content() {
            Content::Scalar { text, .. } if !text.is_empty() => {
                Variant { text, range: self.range(), content: None, name, visits: self.visits }
            }
            Content::Mapping(entries) => {
                let [entry] = entries.as_slice() else {
                    return Err(self.not_one_key(name, entries));
                };
                let range = entry.key_range.clone();
                Variant { text: &entry.key, range, content: Some(entry), name, visits: self.visits }
            }
            _ => {
                let what = if name == "Step" { "a step".to_owned() } else { format!("one of {}", variants.join(", ")) };
                return Err(self.wrong(&what));
            }
        };
        visitor.visit_enum(variant).map_err(|fault| fault.at(&self.range()))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier
    }
}

/// An error about a number says it as it is written.
fn as_written<T>(written: &str, result: Result<T, Fault>) -> Result<T, Fault> {
    let number = match resolve(written) {
        Scalar::Unsigned(value) => value.to_string(),
        Scalar::Signed(value) => value.to_string(),
        Scalar::Float(value) => value.to_string(),
        _ => return result,
    };
    result.map_err(|fault| fault.quoting(&number, written))
}

impl Cursor<'_> {
    /// The value as the first of these fields, where it is one word and may be that field's.
    fn as_field(&self, fields: &[&str]) -> Option<String> {
        let (Content::Scalar { text, plain: true }, [first, ..]) = (self.node.content(), fields) else { return None };
        let is_meant = match resolve(text) {
            Scalar::Unsigned(_) => first.starts_with("evse"),
            Scalar::Text(_) => !first.starts_with("evse"),
            _ => false,
        };
        is_meant.then(|| format!("{{{first}: {text}}}"))
    }

    /// The one text in a mapping that should be a text.
    fn only_text(&self) -> Option<String> {
        let Content::Mapping(entries) = self.node.content() else { return None };
        let [Entry { value, .. }] = entries.as_slice() else { return None };
        match value.content() {
            Content::Scalar { text, plain: true } if matches!(resolve(text), Scalar::Text(_)) => Some(text.clone()),
            _ => None,
        }
    }

    fn not_one_key(&self, name: &str, entries: &[Entry]) -> Fault {
        let what = if name == "Step" { "a step" } else { "it" };
        match entries {
            [first, second, ..] => Fault::new(
                "scenario/several-keys",
                format!("{what} has one key, here are {}: `{}`, `{}`", entries.len(), first.key, second.key),
                second.key_range.clone(),
            )
            .help("indent the parameters of a step deeper than its name; begin each step with `- `"),
            _ => Fault::new("scenario/wrong-type", format!("{what} has one key, here is none"), self.range()),
        }
    }
}

/// The elements of a list.
struct Items<'a> {
    items: std::slice::Iter<'a, Node>,
    visits: &'a Cell<usize>,
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.items.next() else { return Ok(None) };
        seed.deserialize(Cursor { node, key: None, visits: self.visits }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The entries of a mapping.
struct Entries<'a> {
    entries: std::slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
    visits: &'a Cell<usize>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(entry);
        let key: de::value::StrDeserializer<'_, Fault> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|fault| fault.of_keys().at(&entry.key_range))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some(entry) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(Cursor { node: &entry.value, key: Some(&entry.key_range), visits: self.visits })
            .map_err(|fault| fault.at(&entry.key_range).under(&entry.key))
    }
}

/// The name of a variant and what it holds.
struct Variant<'a> {
    text: &'a str,
    range: Range<usize>,
    content: Option<&'a Entry>,
    name: &'static str,
    visits: &'a Cell<usize>,
}

impl<'de, 'a> de::EnumAccess<'de> for Variant<'a> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let text: de::value::StrDeserializer<'_, Fault> = self.text.into_deserializer();
        let value = seed.deserialize(text).map_err(|fault| fault.named(self.name).at(&self.range))?;
        Ok((value, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.content {
            None => Ok(()),
            Some(_) => {
                Err(Fault::new("scenario/wrong-type", format!("`{}` takes no parameters", self.text), self.range)
                    .help(format!("write it alone, without a colon: `{}`", self.text)))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        match self.content {
            Some(entry) => seed
                .deserialize(Cursor { node: &entry.value, key: Some(&entry.key_range), visits: self.visits })
                .map_err(|fault| fault.at(&entry.key_range).under(&entry.key)),
            None => Err(Fault::new(
                "scenario/wrong-type",
                format!("`{}` needs a value: `{}: …`", self.text, self.text),
                self.range,
            )),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(de::Error::custom("tuples are not part of the language"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        match self.content {
            Some(entry) => de::Deserializer::deserialize_any(
                Cursor { node: &entry.value, key: Some(&entry.key_range), visits: self.visits },
                visitor,
            ),
            None => visitor.visit_unit(),
        }
    }
}

//! Names of APIs and channels, read and described as serde and schemars have it for enumerations.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, EnumAccess, Error, VariantAccess, Visitor};
use serde_json::{Value, json};

/// Reads one of several names.
pub fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
    enumeration: &'static str,
    names: &'static [&'static str],
) -> Result<&'static str, D::Error> {
    deserializer.deserialize_enum(enumeration, names, OneOf(names))
}

/// What the JSON Schema of an enumeration says of one name.
pub fn choice(name: &str, description: &str) -> Value {
    json!({"description": description, "type": "string", "const": name})
}

struct OneOf(&'static [&'static str]);

impl<'de> Visitor<'de> for OneOf {
    type Value = &'static str;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a name")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Self::Value, A::Error> {
        let (name, variant) = data.variant_seed(self)?;
        variant.unit_variant()?;
        Ok(name)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Self::Value, E> {
        self.0.iter().find(|name| **name == word).copied().ok_or_else(|| E::unknown_variant(word, self.0))
    }
}

impl<'de> DeserializeSeed<'de> for OneOf {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

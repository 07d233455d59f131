//! How large a packet may be, as people write it in files and flags: `10MiB`, `512KiB`, or bytes.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// The size of the largest packet that a broker takes, its fixed header included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PacketLimit(pub usize);

impl PacketLimit {
    /// As large as MQTT allows: a remaining length of four bytes.
    pub const MQTT: Self = Self(268_435_460);
}

impl Default for PacketLimit {
    fn default() -> Self {
        Self(10 * 1024 * 1024)
    }
}

impl FromStr for PacketLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let scale = match unit {
            "" | "B" => 1,
            "KiB" => 1024,
            "MiB" => 1024 * 1024,
            _ => return Err(format!("`{text}` is no size; write it like `10MiB`, `512KiB` or `2000`")),
        };
        let size = number.parse::<usize>().ok().and_then(|number| number.checked_mul(scale));
        match size.map(Self) {
            Some(limit) if limit.0 > 0 && limit <= Self::MQTT => Ok(limit),
            _ => Err(format!("`{text}` is not between 1 and 256MiB")),
        }
    }
}

impl JsonSchema for PacketLimit {
    fn schema_name() -> Cow<'static, str> {
        "PacketLimit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A size such as `10MiB`, `512KiB` or `2000`, which are bytes.",
            "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9]+(B|KiB|MiB)?$"}]
        })
    }
}

impl<'de> Deserialize<'de> for PacketLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = PacketLimit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as `10MiB`")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<PacketLimit, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<PacketLimit, E> {
                value.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in
            [("10MiB", 10 << 20), ("512KiB", 512 << 10), ("2000", 2000), ("7B", 7), ("255MiB", 255 << 20)]
        {
            assert_eq!(text.parse(), Ok(PacketLimit(bytes)), "{text}");
        }
        for text in ["", "0", "MiB", "10MB", "1.5MiB", "-1", "257MiB", "99999999999999999999MiB", "1 KiB"] {
            assert!(text.parse::<PacketLimit>().is_err(), "{text}");
        }
    }
}

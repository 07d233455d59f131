//! Lengths of time as people write them in files and flags: `300ms`, `1.5s`, `2m`.
//!
//! A bare number has no unit and is refused, except in [`Seconds`], where EVerest's own configuration has integers.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time between 0 and 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timespan(pub Duration);

const LONGEST: f64 = 24.0 * 60.0 * 60.0;

impl FromStr for Timespan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let scale = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(format!("`{text}` is no length of time; write it like `300ms`, `1.5s` or `2m`")),
        };
        match number.parse::<f64>() {
            Ok(value) if number.starts_with(|c: char| c.is_ascii_digit()) && value * scale <= LONGEST => {
                // Rounded to a microsecond: `1.1s` is what the author wrote, not its nearest binary fraction.
                Ok(Self(Duration::from_micros((value * scale * 1e6).round() as u64)))
            }
            Ok(_) => Err(format!("`{text}` is not between 0 and 24h")),
            Err(_) => Err(format!("`{text}` is no length of time; write it like `300ms`, `1.5s` or `2m`")),
        }
    }
}

impl fmt::Display for Timespan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0 if !self.0.is_zero() => write!(f, "{}ms", self.0.as_secs_f64() * 1000.0),
            _ if millis >= 1000 && millis.is_multiple_of(1000) => write!(f, "{}s", millis / 1000),
            0..1000 => write!(f, "{millis}ms"),
            _ => write!(f, "{}s", millis as f64 / 1000.0),
        }
    }
}

impl<'de> Deserialize<'de> for Timespan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Timespan;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time such as `300ms` or `8s`")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Timespan, E> {
                Err(E::custom(format!("`{value}` has no unit; write `{value}s` or `{value}ms`")))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Timespan, E> {
                Err(E::custom(format!("`{value}` has no unit; write `{value}s`")))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Timespan, E> {
                value.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl Serialize for Timespan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Timespan {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timespan".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$", "examples": ["300ms", "8s"]})
    }
}

/// Whole seconds as EVerest's configuration has them, less than 0 as 0, or a [`Timespan`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub Duration);

impl fmt::Debug for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Seconds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("whole seconds, or a length of time such as `8s`")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Seconds, E> {
                if value as f64 > LONGEST {
                    return Err(E::custom(format!("`{value}` seconds are more than 24h")));
                }
                Ok(Seconds(Duration::from_secs(value)))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Seconds, E> {
                // EVerest takes them: a wait that is over at once.
                self.visit_u64(u64::try_from(value).unwrap_or(0))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Seconds, E> {
                value.parse::<Timespan>().map(|span| Seconds(span.0)).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Serialize for Seconds {
    /// As EVerest's configuration has them; a fraction, which it cannot have, as the number it is.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.subsec_nanos() {
            0 => serializer.serialize_u64(self.0.as_secs()),
            _ => serializer.serialize_f64(self.0.as_secs_f64()),
        }
    }
}

impl JsonSchema for Seconds {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Seconds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"oneOf": [
            {"type": "integer", "maximum": 86400},
            {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$"}
        ]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit() {
        for (text, millis) in
            [("300ms", 300), ("1.5s", 1500), ("2m", 120_000), ("0s", 0), ("1h", 3_600_000), ("1.1s", 1100)]
        {
            assert_eq!(text.parse(), Ok(Timespan(Duration::from_millis(millis))), "{text}");
        }
    }

    #[test]
    fn refuses_what_has_no_unit_or_no_sense() {
        for text in ["", "5", "s", "-1s", "1 s", "1e9s", "25h", "nan s", "infs", "1d", "+1s"] {
            assert!(text.parse::<Timespan>().is_err(), "{text}");
        }
    }

    #[test]
    fn prints_the_shortest_form() {
        for text in ["300ms", "1.5s", "2s", "0ms"] {
            assert_eq!(text.parse::<Timespan>().map(|span| span.to_string()), Ok(text.to_owned()));
        }
    }
}

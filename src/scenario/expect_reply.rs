//! The two ways to write `expect_reply`: a bare pattern, or a mapping.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::model::ExpectReply;
use crate::timespan::Timespan;

/// The mapping form.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Long {
    /// A pattern for the reply.
    payload: Value,
    /// The name that the request was given with `as`; the last request if absent.
    #[serde(default)]
    to: Option<String>,
    /// The time limit.
    #[serde(default)]
    within: Option<Timespan>,
}

impl<'de> Deserialize<'de> for ExpectReply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        fn bare<E>(payload: impl Into<Value>) -> Result<ExpectReply, E> {
            Ok(ExpectReply { payload: payload.into(), to: None, within: None })
        }

        impl<'de> Visitor<'de> for Either {
            type Value = ExpectReply;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a reply such as `Accepted`, or a mapping with `payload`, `to` and `within`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ExpectReply, E> {
                bare(text)
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<ExpectReply, E> {
                bare(value)
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<ExpectReply, E> {
                bare(value)
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<ExpectReply, E> {
                bare(value)
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<ExpectReply, E> {
                bare(value)
            }

            fn visit_unit<E: Error>(self) -> Result<ExpectReply, E> {
                bare(Value::Null)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ExpectReply, A::Error> {
                let long = Long::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ExpectReply { payload: long.payload, to: long.to, within: long.within })
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for ExpectReply {
    fn schema_name() -> Cow<'static, str> {
        "ExpectReply".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<Long>();
        json_schema!({"oneOf": [{"type": ["string", "boolean", "number", "null"]}, long]})
    }
}

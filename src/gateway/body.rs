//! Bodies of requests: text to values, or where it is wrong, in FastAPI's words.
//!
//! Stricter than serde's derived readers, which also take lists for objects; and as lenient as FastAPI's models, which
//! ignore members they do not know and take `1.0` for a whole number.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_path_to_error::Segment;

/// What is wrong with a request, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fault {
    /// The way to the value, from `body`, `query` or `header` on.
    pub loc: Vec<Step>,
    /// What is wrong, in words.
    pub msg: String,
    /// The kind of fault.
    pub r#type: FaultKind,
}

/// A step on the way to a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Step {
    /// A member of an object.
    Name(String),
    /// An element of a list, from 0.
    Index(u64),
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It is not there.
    Missing,
    /// It is of another kind, or out of its range.
    TypeError,
    /// It has no sense beside the rest.
    ValueError,
    /// It is no JSON.
    JsonInvalid,
}

impl Fault {
    /// A value without sense at this place.
    pub fn value(loc: &[&str], msg: impl Into<String>) -> Self {
        let loc = loc.iter().map(|name| Step::Name((*name).to_owned())).collect();
        Self { loc, msg: msg.into(), r#type: FaultKind::ValueError }
    }

    /// What a reader of values says, below the place where the value stands.
    fn of(place: &[&str], error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let mut loc: Vec<Step> = place.iter().map(|name| Step::Name((*name).to_owned())).collect();
        for segment in error.path() {
            match segment {
                Segment::Seq { index } => loc.push(Step::Index(*index as u64)),
                Segment::Map { key } | Segment::Enum { variant: key } => loc.push(Step::Name(key.clone())),
                Segment::Unknown => {}
            }
        }
        let text = error.inner().to_string();
        let missing = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        match missing {
            Some(name) => {
                loc.push(Step::Name(name.to_owned()));
                Self { loc, msg: "Field required".to_owned(), r#type: FaultKind::Missing }
            }
            None => Self { loc, msg: shortened(text), r#type: FaultKind::TypeError },
        }
    }
}

/// The most characters of a message: it may quote what was sent.
const LONGEST_MESSAGE: usize = 300;

fn shortened(text: String) -> String {
    match text.char_indices().nth(LONGEST_MESSAGE) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// The value of a JSON text.
///
/// # Errors
/// It is none.
pub fn parse(bytes: &[u8]) -> Result<Value, Fault> {
    let loc = vec![Step::Name("body".to_owned())];
    if bytes.is_empty() {
        return Err(Fault { loc, msg: "Field required".to_owned(), r#type: FaultKind::Missing });
    }
    serde_json::from_slice(bytes).map_err(|error| Fault {
        loc,
        msg: shortened(format!("JSON decode error: {error}")),
        r#type: FaultKind::JsonInvalid,
    })
}

/// Reads a value that stands at `place`.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read<T: DeserializeOwned>(place: &[&str], value: &Value) -> Result<T, Fault> {
    let whole: Object<T> = serde_path_to_error::deserialize(value).map_err(|error| Fault::of(place, &error))?;
    Ok(whole.0)
}

/// An object and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Map(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Object<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A whole number in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Whole<const MIN: i64, const MAX: i64>(pub i64);

impl<const MIN: i64, const MAX: i64> Whole<MIN, MAX> {
    /// Takes a number that is in the range.
    pub fn new(value: i64) -> Option<Self> {
        (MIN..=MAX).contains(&value).then_some(Self(value))
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number<const MIN: i64, const MAX: i64>;
        impl<const MIN: i64, const MAX: i64> Visitor<'_> for Number<MIN, MAX> {
            type Value = Whole<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
                Whole::new(value).ok_or_else(|| E::custom(format!("`{value}` is no whole number from {MIN} to {MAX}")))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
                self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
                if value.fract() != 0.0 {
                    return Err(E::custom(format!("`{value}` is no whole number")));
                }
                // A number beyond the range of `i64` becomes its end, which is outside of every range here.
                self.visit_i64(value as i64)
            }
        }
        deserializer.deserialize_any(Number)
    }
}

impl<const MIN: i64, const MAX: i64> JsonSchema for Whole<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Whole".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": MIN, "maximum": MAX})
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Outer {
        inner: Object<Inner>,
        #[serde(default)]
        list: Vec<Object<Inner>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Inner {
        number: Whole<1, 9>,
    }

    fn fault(value: Value) -> (Vec<Step>, FaultKind) {
        let fault = read::<Outer>(&["body"], &value).unwrap_err();
        (fault.loc, fault.r#type)
    }

    fn loc(steps: &[&str]) -> Vec<Step> {
        let step = |text: &&str| text.parse().map_or_else(|_| Step::Name((*text).to_owned()), Step::Index);
        steps.iter().map(step).collect()
    }

    #[test]
    fn a_fault_has_its_place() {
        for (value, steps, kind) in [
            (json!([]), &["body"][..], FaultKind::TypeError),
            (json!({}), &["body", "inner"], FaultKind::Missing),
            (json!({"inner": {}}), &["body", "inner", "number"], FaultKind::Missing),
            (json!({"inner": [1]}), &["body", "inner"], FaultKind::TypeError),
            (json!({"inner": {"number": true}}), &["body", "inner", "number"], FaultKind::TypeError),
            (json!({"inner": {"number": "1"}}), &["body", "inner", "number"], FaultKind::TypeError),
            (json!({"inner": {"number": 1.5}}), &["body", "inner", "number"], FaultKind::TypeError),
            (json!({"inner": {"number": 1e300}}), &["body", "inner", "number"], FaultKind::TypeError),
            (json!({"inner": {"number": 0}}), &["body", "inner", "number"], FaultKind::TypeError),
            (json!({"inner": {"number": u64::MAX}}), &["body", "inner", "number"], FaultKind::TypeError),
            (
                json!({"inner": {"number": 1}, "list": [{"number": 2}, {}]}),
                &["body", "list", "1", "number"],
                FaultKind::Missing,
            ),
        ] {
            assert_eq!(fault(value.clone()), (loc(steps), kind), "{value}");
        }
    }

    #[test]
    fn what_is_lenient_in_fastapi_is_lenient_here() {
        let value = json!({"inner": {"number": 9.0, "more": []}, "further": 1});
        let inner = Object(Inner { number: Whole(9) });
        assert_eq!(read::<Outer>(&["body"], &value).unwrap(), Outer { inner, list: Vec::new() });
    }

    #[test]
    fn what_is_no_json_is_said_so() {
        assert_eq!(parse(b"").unwrap_err().r#type, FaultKind::Missing);
        for text in [&b"{"[..], b"{} {}", b"\xff", b"nan", "[".repeat(100_000).as_bytes()] {
            assert_eq!(parse(text).unwrap_err().r#type, FaultKind::JsonInvalid);
        }
        let long = format!("{{\"inner\": \"{}\"}}", "ü".repeat(10_000));
        let fault = read::<Outer>(&["body"], &parse(long.as_bytes()).unwrap()).unwrap_err();
        assert!(fault.msg.chars().count() <= LONGEST_MESSAGE + 1);
    }
}

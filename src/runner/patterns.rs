//! Values of a scenario on their way to patterns and payloads. The checker has looked at all of them before, so that what is
//! wrong with them now is a fault of khumbu's.

use serde_json::Value;

use super::stop::{Stop, broken};
use crate::scenario::pattern::Pattern;

/// The checker has looked at all captured names before.
pub fn not_captured(name: &str) -> Stop {
    broken(&format!("nothing was captured as `{name}`")).into()
}

/// A pattern of the scenario, or one that was made of its values.
///
/// # Errors
/// When it is none; the checker has looked at all of them before.
pub fn compiled(value: &Value) -> Result<Pattern, Stop> {
    Pattern::compile(value).map_err(|error| broken(&error.message).into())
}

/// The pattern that nothing but this value matches.
pub fn literal(value: &Value) -> Value {
    strings_filled(value, &|text| if text.starts_with('$') { format!("${text}") } else { text.to_owned() })
}

/// A value with every text in it filled in.
pub fn strings_filled(value: &Value, fill_in: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(fill_in(text)),
        Value::Array(items) => items.iter().map(|item| strings_filled(item, fill_in)).collect(),
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), strings_filled(value, fill_in))).collect()
        }
        other => other.clone(),
    }
}

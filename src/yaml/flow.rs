//! JSON as YAML in flow style, as people write it: keys that need no quotes have none.

use serde_json::Value;

/// A value on one line.
pub fn flow(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| format!("{}: {}", flow_key(key), flow(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(elements) => format!("[{}]", elements.iter().map(flow).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// A key, in quotes only if it needs them.
pub fn flow_key(key: &str) -> String {
    let is_plain = key.starts_with(|first: char| first.is_ascii_alphabetic())
        && key.chars().all(|other| other.is_ascii_alphanumeric() || other == '_')
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&&*key.to_lowercase());
    if is_plain { key.to_owned() } else { Value::from(key).to_string() }
}

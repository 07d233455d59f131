//! Scenario files that khumbu writes: values in flow style, the frame above the steps, the station, and expectations.
//!
//! Pure: text goes out. What stands in a scenario is decided elsewhere; here is only how it looks.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::protocol::channel::ApiType;
use crate::protocol::release::Release;
use crate::protocol::side::Side;
use crate::protocol::types::TokenValidationStatusMessage;
use crate::protocol::wire::Wire;
use crate::station::config::StationConfig;
use crate::timespan::Timespan;

/// What stands in a scenario above its steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame<'r> {
    /// Comes before it, as a comment.
    pub comment: String,
    /// What it shows.
    pub description: String,
    /// The requirements that it covers; the key is left out if there are none.
    pub requirements: Vec<&'r str>,
    /// The side of the module under test.
    pub under_test: Side,
    /// The API that a client under test uses.
    pub api: ApiType,
    /// The release for which it holds; all if absent.
    pub release: Option<Release>,
    /// How khumbu writes its messages.
    pub wire: Wire,
    /// EVerest's external prefix, of which a client under test is told.
    pub external_prefix: String,
    /// How long the whole may take, where the language's own limit is too short.
    pub timeout: Option<Timespan>,
    /// How long a message is waited for, in milliseconds; as the language has it, if absent.
    pub within_ms: Option<u64>,
    /// What stands below `station`, as lines without indentation.
    pub station: String,
}

impl Frame<'_> {
    /// Everything above the steps, and the key of these.
    pub fn text(&self) -> String {
        let mut text: String =
            self.comment.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect();
        text.push_str(&format!("description: {}\n", quoted(&self.description)));
        if !self.requirements.is_empty() {
            text.push_str(&format!("requirements: [{}]\n", self.requirements.join(", ")));
        }
        let side = match self.under_test {
            Side::Client => "client",
            Side::Everest => "everest",
        };
        text.push_str(&format!("under_test: {side}\n"));
        if self.under_test == Side::Client {
            text.push_str(&format!("api: {}\n", self.api.name()));
        }
        text.extend(self.release.map(|release| format!("releases: [{}]\n", word(release.name()))));
        if !self.external_prefix.is_empty() {
            text.push_str(&format!("external_prefix: {}\n", quoted(&self.external_prefix)));
        }
        if self.wire != Wire::Everest {
            text.push_str(&format!("wire: {}\n", self.wire.name()));
        }
        text.extend(self.timeout.map(|timeout| format!("timeout: {timeout}\n")));
        text.extend(self.within_ms.map(|ms| format!("within: {ms}ms\n")));
        if !self.station.is_empty() {
            text.push_str("station:\n");
            text.extend(self.station.lines().map(|line| format!("  {line}\n")));
        }
        text + "steps:\n"
    }
}

/// What a station has that is not so by default, as JSON with the keys of a station file.
pub fn station_to_json(station: &StationConfig) -> Value {
    let mut members = as_object(json!(station));
    let default = as_object(json!(StationConfig::default()));
    // EVerest's own configuration has whole seconds only; others have their unit here.
    if station.auth.connection_timeout.0.subsec_nanos() != 0 {
        members["auth"]["connection_timeout"] = json!(Timespan(station.auth.connection_timeout.0));
    }
    let module = |key: &str| match key {
        "auth_token_provider" => Some(json!(crate::station::config::ProviderConfig::default())),
        "auth_token_validator" => Some(json!(crate::station::config::ValidatorConfig::default())),
        "charge_point" => Some(json!(crate::station::charge_point::config::ChargePointConfig::default())),
        _ => default.get(key).cloned(),
    };
    members.retain(|key, value| default.get(key) != Some(value));
    for (key, value) in &mut members {
        if let (Value::Object(own), Some(Value::Object(usual))) = (&mut *value, module(key)) {
            own.retain(|key, value| usual.get(key) != Some(value));
        }
    }
    for token in members.get_mut("tokens").and_then(Value::as_object_mut).into_iter().flatten().map(|(_, token)| token)
    {
        without_defaults(token);
        for other in token["other_validators"].as_array_mut().into_iter().flatten() {
            without_defaults(other);
        }
        if token["other_validators"].is_null() {
            token.as_object_mut().map(|token| token.remove("other_validators"));
        }
    }
    Value::Object(members)
}

fn as_object(value: Value) -> Map<String, Value> {
    if let Value::Object(members) = value { members } else { Map::new() }
}

/// Takes away what a token has by itself.
fn without_defaults(token: &mut Value) {
    let Value::Object(members) = token else { return };
    let is_first = members.contains_key("value");
    members.retain(|key, value| match (key.as_str(), &*value) {
        (_, Value::Null) => false,
        (_, Value::Array(elements)) if key != "connectors" && key != "evse_ids" => !elements.is_empty(),
        ("authorization_type", value) => value != "RFID",
        ("verdict", value) => value != "Accepted" || !is_first,
        _ => true,
    });
}

/// A station as a scenario has it below `station`: each key on a line, and each token on one.
pub fn station_to_text(station: &StationConfig) -> String {
    /// For a reader's eye; what is not named follows.
    const ORDER: [&str; 8] = [
        "release",
        "evses",
        "connectors",
        "auth",
        "auth_consumer",
        "auth_token_provider",
        "auth_token_validator",
        "charge_point",
    ];
    let mut members = as_object(station_to_json(station));
    let tokens = members.remove("tokens");
    let mut text = String::new();
    let first = ORDER.iter().filter_map(|key| members.remove_entry(*key)).collect::<Vec<_>>();
    for (key, value) in first.into_iter().chain(members) {
        text.push_str(&format!("{key}: {}\n", flow(&value)));
    }
    if let Some(Value::Object(tokens)) = tokens {
        text.push_str("tokens:\n");
        text.extend(tokens.into_iter().map(|(name, token)| format!("  {name}: {}\n", token_to_text(token))));
    }
    text
}

/// A token with what tells it from others first.
fn token_to_text(token: Value) -> String {
    let mut members = as_object(token);
    let first = ["value", "type", "authorization_type", "verdict"];
    let first: Vec<_> = first.iter().filter_map(|key| members.remove_entry(*key)).collect();
    let written = |(key, value): (String, Value)| match key.as_str() {
        // What looks like a number must be quoted, and nobody should have to look twice whether it does.
        "value" => format!("{key}: {}", quoted(value.as_str().unwrap_or_default())),
        _ => format!("{key}: {}", flow(&value)),
    };
    let parts: Vec<_> = first.into_iter().chain(members).map(written).collect();
    format!("{{{}}}", parts.join(", "))
}

/// JSON as YAML in flow style: texts and keys that need no quotes have none.
pub fn flow(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| format!("{}: {}", word(key), flow(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(elements) => format!("[{}]", elements.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => word(text),
        other => other.to_string(),
    }
}

/// Whether a text stands for itself without quotes, as a name does.
pub fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|other| other.is_ascii_alphanumeric() || other == '_')
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&&*text.to_lowercase())
}

/// A text, quoted unless it is a word or a length of time.
pub fn word(text: &str) -> String {
    if is_word(text) || text.parse::<Timespan>().is_ok() { text.to_owned() } else { quoted(text) }
}

/// A text in quotes, as JSON and YAML have it: what YAML takes for no character of a text is escaped.
fn quoted(text: &str) -> String {
    let escaped = |c: char| match c {
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
            format!("\\u{:04x}", u32::from(c))
        }
        c => c.to_string(),
    };
    Value::from(text).to_string().chars().map(escaped).collect()
}

/// The step that expects statuses of a token, the last of them as it stands there.
pub fn expected_status(name: &str, statuses: &[&TokenValidationStatusMessage], within: Option<Timespan>) -> String {
    let words: Vec<_> = statuses.iter().map(|status| format!("{:?}", status.status)).collect();
    let mut arguments = match words.as_slice() {
        [word] => format!("token: {name}, status: {word}"),
        words => format!("token: {name}, sequence: [{}]", words.join(", ")),
    };
    if let Some(last) = statuses.last() {
        if let Some(connectors) = last.token.connectors.as_ref().filter(|connectors| !connectors.is_empty()) {
            arguments.push_str(&format!(", connectors: {}", flow(&json!(connectors))));
        }
        if let Some(messages) = last.messages.as_ref().filter(|messages| !messages.is_empty()) {
            arguments.push_str(&format!(", payload: {{messages: {}}}", flow(&json!(messages))));
        }
    }
    arguments.extend(within.map(|within| format!(", within: {within}")));
    format!("expect_status: {{{arguments}}}")
}

/// Expectations that are met in whatever order: one stands alone, several stand below `any_order`.
pub fn in_any_order(expectations: &[String]) -> String {
    match expectations {
        [] => String::new(),
        [one] => format!("  - {one}\n"),
        several => {
            let lines = several.iter().map(|step| format!("      - {step}\n"));
            format!("  - any_order:\n{}", lines.collect::<String>())
        }
    }
}

/// The first, and then the others in their order, each once.
pub fn each_once<'r>(first: &'r str, others: impl IntoIterator<Item = &'r str>) -> Vec<&'r str> {
    let others: BTreeSet<_> = others.into_iter().filter(|other| *other != first).collect();
    std::iter::once(first).chain(others).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::scenario::parse_station;

    /// A station with everything that one can have.
    const EVERYTHING: &str = r#"evses: 3
connectors: {"2": [sType2, cCCS2]}
auth: {connection_timeout: 1.5s, selection_algorithm: PlugEvents}
auth_consumer: {latch_variable_values: false}
auth_token_provider: {cfg_heartbeat_interval_ms: 0}
charge_point: {cache_capacity: 3}
deviations: {validation-results: true}
unlisted_verdict: Blocked
tokens:
  ALICE: {value: "04E25", type: ISO14443, verdict: Invalid, connectors: [1], verdict_after: 300ms}
  BOB: {value: "", type: eMAID, evse_ids: [], tariff_messages: [{content: "0.42 EUR"}]}
"#;
    const OTHER_VALIDATORS: &str = r#"auth_token_provider: {module_id: reader}
tokens:
  BOB: {value: "1", type: Local, prevalidated: false, other_validators: [{verdict: Accepted}, {verdict: Invalid}]}
"#;

    #[test]
    fn a_station_is_what_was_written_of_it() {
        for written in [OTHER_VALIDATORS, EVERYTHING] {
            let station = parse_station("s", written).unwrap();
            let text = station_to_text(&station);
            assert_eq!(parse_station("s", &text).unwrap(), station, "{text}");
        }
        let text = station_to_text(&parse_station("s", EVERYTHING).unwrap());
        assert_eq!(station_to_text(&StationConfig::default()), "");
        let first: Vec<_> = text.lines().take(3).collect();
        assert_eq!(first[0], "evses: 3", "{text}");
        assert!(text.contains(r#"  ALICE: {value: "04E25", type: ISO14443, verdict: Invalid,"#), "{text}");
    }

    #[test]
    fn only_plain_words_stand_without_quotes() {
        let value = json!({"a": ["Accepted", "null", "04E2", "1", "$any", "x y", ""], "null": 1, "a b": null});
        assert_eq!(flow(&json!("\u{85}\"\n")), r#""\u0085\"\n""#);
        let text = r#"{a: [Accepted, "null", "04E2", "1", "$any", "x y", ""], "a b": null, "null": 1}"#;
        assert_eq!(flow(&value), text);
    }
}

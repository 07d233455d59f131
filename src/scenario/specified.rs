//! Patterns beside the schema of the message that they describe: fields that it does not have, values that it cannot have.
//!
//! A wire message may have more fields than its schema knows; a pattern that names one is a slip of the pen, or meant for
//! a message that no specification has. The latter says so with [`pattern::UNSPECIFIED`]. Pure.

use serde_json::{Map, Value};

use super::pattern::{self, Captures, Pattern};
use super::{Pointer, suggestion};

/// Values or fields that are listed at most.
const LISTED: usize = 20;

/// What a pattern describes and no message can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where in the pattern.
    pub pointer: Pointer,
    /// Whether the key at this place is at fault, and not its value.
    pub is_key: bool,
    /// What is wrong, in one line.
    pub headline: String,
    /// What may be meant.
    pub near: Option<String>,
    /// What there is.
    pub evidence: Option<String>,
    /// What to write instead.
    pub help: Option<String>,
}

/// All that no message with this schema can be; `name` is what the message is called, with its article.
pub(super) fn faults(pattern: &Value, schema: &Value, name: &str) -> Vec<Fault> {
    let mut walk = Walk { root: schema, name, path: Vec::new(), found: Vec::new() };
    walk.value(pattern, schema);
    walk.found
}

struct Walk<'a> {
    root: &'a Value,
    name: &'a str,
    path: Vec<String>,
    found: Vec<Fault>,
}

impl<'a> Walk<'a> {
    fn value(&mut self, pattern: &Value, schema: &'a Value) {
        let schema = self.resolved(schema);
        if pattern::unspecified(pattern).is_some() || is_open(pattern) {
            return;
        }
        if let Some(values) = values_of(schema) {
            return self.one_of(pattern, &values);
        }
        let Some(kind) = kind_of(pattern) else { return };
        let types = schema["type"].as_array().map_or(std::slice::from_ref(&schema["type"]), Vec::as_slice);
        let types: Vec<_> = types.iter().filter_map(Value::as_str).collect();
        let Some(wanted) = types.iter().find(|wanted| **wanted != "null").copied() else { return };
        if !types.iter().any(|wanted| is_kind(kind, wanted, pattern)) {
            let what = self.what();
            let headline = format!("{what} is {}, {} never matches it", in_words(wanted), written(pattern));
            self.report(headline, None, None);
            if let Some(fault) = self.found.last_mut().filter(|_| wanted == "array") {
                fault.help = Some(format!("write `[{pattern}]`"));
            }
            return;
        }
        match pattern {
            Value::Object(entries) => self.fields(entries, schema),
            Value::Array(items) => self.items(items, schema),
            Value::Number(number) => self.range(number, schema),
            Value::String(text) if !is_marker(text) => self.length(text, schema),
            _ => {}
        }
    }

    fn one_of(&mut self, pattern: &Value, values: &[&Value]) {
        let compiled = Pattern::compile(pattern);
        let fits =
            |value: &&Value| compiled.as_ref().is_ok_and(|it| it.differences(value, &Captures::new()).is_empty());
        if values.iter().any(fits) {
            return;
        }
        let words: Vec<_> = values.iter().filter_map(|value| value.as_str()).collect();
        let near = pattern.as_str().and_then(|text| suggestion(text, words.iter().copied())).map(str::to_owned);
        let headline = format!("{} is never {}", self.what(), written(pattern));
        self.report(headline, near, Some(listed("values", &words)));
    }

    fn fields(&mut self, entries: &Map<String, Value>, schema: &'a Value) {
        let Some(properties) = schema["properties"].as_object() else { return };
        let known: Vec<_> = properties.keys().map(String::as_str).collect();
        for (key, value) in entries {
            let what = self.what();
            self.path.push(key.clone());
            match properties.get(key) {
                _ if pattern::unspecified(value).is_some() => {}
                None => {
                    let near = suggestion(key, known.iter().copied()).map(str::to_owned);
                    self.report(format!("{what} has no field `{key}`"), near, Some(listed("fields", &known)));
                    if let Some(fault) = self.found.last_mut() {
                        fault.is_key = true;
                    }
                }
                Some(_) if value == "$absent" => {
                    if schema["required"].as_array().is_some_and(|required| required.iter().any(|it| it == key)) {
                        self.report(format!("{what} always has `{key}`, `$absent` never matches"), None, None);
                    }
                }
                Some(schema) => self.value(value, schema),
            }
            self.path.pop();
        }
    }

    fn items(&mut self, items: &[Value], schema: &'a Value) {
        let limit = |key: &str| schema[key].as_u64().and_then(|limit| usize::try_from(limit).ok());
        let (least, most) = (limit("minItems").unwrap_or(0), limit("maxItems").unwrap_or(usize::MAX));
        if !(least..=most).contains(&items.len()) {
            let most = if most == usize::MAX { String::new() } else { format!(" to {most}") };
            let what = self.what();
            let headline = format!("{what} has {least}{most} elements or more, {} never matches it", items.len());
            self.report(headline.replace(" or more", if most.is_empty() { " or more" } else { "" }), None, None);
        }
        for (index, item) in items.iter().enumerate() {
            self.path.push(index.to_string());
            self.value(item, &schema["items"]);
            self.path.pop();
        }
    }

    fn range(&mut self, number: &serde_json::Number, schema: &Value) {
        let Some(number) = number.as_f64() else { return };
        let what = self.what();
        if let Some(least) = schema["minimum"].as_f64().filter(|least| number < *least) {
            self.report(format!("{what} is at least {least}, `{number}` never matches it"), None, None);
        } else if let Some(most) = schema["maximum"].as_f64().filter(|most| number > *most) {
            self.report(format!("{what} is at most {most}, `{number}` never matches it"), None, None);
        }
    }

    fn length(&mut self, text: &str, schema: &Value) {
        let length = text.strip_prefix('$').unwrap_or(text).chars().count() as u64;
        if let Some(most) = schema["maxLength"].as_u64().filter(|most| length > *most) {
            let headline = format!("{} has at most {most} characters, this has {length}", self.what());
            self.report(headline, None, None);
        }
    }

    fn resolved(&self, mut schema: &'a Value) -> &'a Value {
        loop {
            let refers = schema["$ref"].as_str().and_then(|path| self.root.pointer(path.strip_prefix('#')?));
            if let Some(referred) = refers {
                schema = referred;
            } else if let Some([one, other]) = schema["anyOf"].as_array().map(Vec::as_slice)
                && (one["type"] == "null" || other["type"] == "null")
            {
                // What may be absent may be `null` in a schema; a pattern says `$absent`.
                schema = if one["type"] == "null" { other } else { one };
            } else if let Some([only]) = schema["allOf"].as_array().map(Vec::as_slice) {
                schema = only;
            } else {
                return schema;
            }
        }
    }

    /// The value at the present place, in words.
    fn what(&self) -> String {
        if self.path.is_empty() { self.name.to_owned() } else { format!("`{}` of {}", self.path.join("."), self.name) }
    }

    fn report(&mut self, headline: String, near: Option<String>, evidence: Option<String>) {
        let pointer = self.path.iter().fold(Pointer::default(), |pointer, token| pointer.key(token));
        self.found.push(Fault { pointer, is_key: false, headline, near, evidence, help: None });
    }
}

/// The values that a schema lists; `None` where it lists none. Those with a description each stand in a schema of their
/// own.
fn values_of(schema: &Value) -> Option<Vec<&Value>> {
    if let Some(values) = schema["enum"].as_array() {
        return Some(values.iter().collect());
    }
    if let Some(value) = schema.get("const") {
        return Some(vec![value]);
    }
    let listed: Option<Vec<_>> = schema["oneOf"].as_array()?.iter().map(values_of).collect();
    listed.map(|listed| listed.into_iter().flatten().collect())
}

/// Whether a pattern says nothing of what the value is.
fn is_open(pattern: &Value) -> bool {
    let word = pattern.as_str().unwrap_or_default();
    word == "$any" || word.starts_with("$capture:") || word.starts_with("$captured:")
}

fn is_marker(text: &str) -> bool {
    text.starts_with('$') && !text.starts_with("$$")
}

/// The type of JSON that a pattern matches; `None` where it says none.
fn kind_of(pattern: &Value) -> Option<&str> {
    Some(match pattern {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::String(text) if is_marker(text) => match &text[1..] {
            kind @ ("string" | "integer" | "number" | "boolean" | "array" | "object" | "null") => kind,
            regex if regex.starts_with('/') => "string",
            _ => return None,
        },
        Value::String(_) => "string",
    })
}

fn is_kind(kind: &str, wanted: &str, pattern: &Value) -> bool {
    match (kind, wanted) {
        ("integer", "number") => true,
        ("number", "integer") => pattern.as_f64().is_none_or(|number| number.fract() == 0.0),
        (kind, wanted) => kind == wanted,
    }
}

fn in_words(kind: &str) -> &'static str {
    match kind {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        "array" => "an array",
        "object" => "an object",
        _ => "`null`",
    }
}

/// A pattern in a sentence: short, a text with its quotes only where it would read like something else.
fn written(pattern: &Value) -> String {
    match pattern {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::String(text) if serde_json::from_str::<Value>(text).is_err() => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

fn listed(what: &str, words: &[&str]) -> String {
    if words.is_empty() {
        return format!("{what}: none");
    }
    let more = words.len().saturating_sub(LISTED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{what}: {}{more}", words[..words.len().min(LISTED)].join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::channel::Channel;
    use crate::protocol::release::Release;
    use crate::protocol::schema::{Message, Schemas};

    fn found(message: Message, pattern: &Value) -> Vec<(String, String, Option<String>)> {
        let schema = Schemas::new(Release::Main).document(message);
        let faults = faults(pattern, &schema, "it");
        faults.into_iter().map(|fault| (fault.pointer.to_string(), fault.headline, fault.near)).collect()
    }

    #[test]
    fn what_no_message_can_be() {
        let status = Message::On(Channel::TOKEN_VALIDATION_STATUS);
        let long = "x".repeat(37);
        for (message, pattern, pointer, headline, near) in [
            (status, json!({"statsu": "Accepted"}), "/statsu", "it has no field `statsu`", Some("status")),
            (status, json!({"statsu": "$absent"}), "/statsu", "it has no field `statsu`", Some("status")),
            (
                status,
                json!({"status": "Procesing"}),
                "/status",
                "`status` of it is never `Procesing`",
                Some("Processing"),
            ),
            (status, json!({"status": "$/proc.*/"}), "/status", "`status` of it is never `$/proc.*/`", None),
            (status, json!({"status": "$integer"}), "/status", "`status` of it is never `$integer`", None),
            (status, json!({"status": "$absent"}), "/status", "it always has `status`, `$absent` never matches", None),
            (status, json!([]), "", "it is an object, an array never matches it", None),
            (
                status,
                json!({"token": {"id_token": {"valeu": "1"}}}),
                "/token/id_token/valeu",
                "`token.id_token` of it has no field `valeu`",
                Some("value"),
            ),
            (
                status,
                json!({"token": {"id_token": {"value": 1}}}),
                "/token/id_token/value",
                "`token.id_token.value` of it is a text, `1` never matches it",
                None,
            ),
            (
                status,
                json!({"token": {"id_token": {"value": long}}}),
                "/token/id_token/value",
                "`token.id_token.value` of it has at most 36 characters, this has 37",
                None,
            ),
            (
                status,
                json!({"token": {"connectors": [0]}}),
                "/token/connectors/0",
                "`token.connectors.0` of it is at least 1, `0` never matches it",
                None,
            ),
            (
                status,
                json!({"token": {"request_id": 1.5}}),
                "/token/request_id",
                "`token.request_id` of it is a whole number, `1.5` never matches it",
                None,
            ),
            (
                status,
                json!({"token": {"iso15118CertificateHashData": []}}),
                "/token/iso15118CertificateHashData",
                "`token.iso15118CertificateHashData` of it has 1 to 4 elements, 0 never matches it",
                None,
            ),
            (
                Message::ReplyTo(Channel::WITHDRAW_AUTHORIZATION),
                json!("EVSENotFound"),
                "",
                "it is never `EVSENotFound`",
                Some("EvseNotFound"),
            ),
            (Message::ReplyTo(Channel::WITHDRAW_AUTHORIZATION), json!(true), "", "it is never `true`", None),
            (Message::On(Channel::HEARTBEAT), json!("5"), "", "it is a whole number, `\"5\"` never matches it", None),
            (
                Message::On(Channel::COMMUNICATION_CHECK),
                json!("yes"),
                "",
                "it is `true` or `false`, `yes` never matches it",
                None,
            ),
        ] {
            let expected = (pointer.to_owned(), headline.to_owned(), near.map(str::to_owned));
            assert_eq!(found(message, &pattern), [expected], "{pattern}");
        }
    }

    #[test]
    fn what_a_message_can_be_or_is_marked() {
        let status = Message::On(Channel::TOKEN_VALIDATION_STATUS);
        for (message, pattern) in [
            (status, json!({"status": "$/Acc.*/", "token": {"connectors": "$array", "certificate": "$absent"}})),
            (status, json!({"status": "$capture:s", "token": {"id_token": "$captured:t", "request_id": "$number"}})),
            (status, json!({"status": {"$unspecified": "Paused"}, "since": {"$unspecified": "$string"}})),
            (status, json!({"$unspecified": ["anything"]})),
            (status, json!("$object")),
            (Message::ReplyTo(Channel::WITHDRAW_AUTHORIZATION), json!("$/Accepted|Rejected/")),
            (Message::ReplyTo(Channel::WITHDRAW_AUTHORIZATION), json!("$string")),
            (Message::On(Channel::HEARTBEAT), json!(1.0)),
            (Message::On(Channel::HEARTBEAT), json!(18_446_744_073_709_551_615_u64)),
            (Message::READY_BEACON, json!({})),
        ] {
            assert_eq!(found(message, &pattern), [], "{pattern}");
        }
    }
}

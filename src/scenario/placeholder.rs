//! `{name}` in topics, payloads and commands.

use std::ops::Range;

use crate::protocol::channel::ApiType;

/// What `expect`, `expect_none` and `ready` know in a topic: the branches of the API below the module's pathname, the
/// module's id, EVerest's external prefix, and the pathnames of the station's API modules.
pub const IN_FILTERS: [&str; 7] = ["e2m", "m2e", "module_id", "external_prefix", "consumer", "provider", "validator"];
/// What `publish` knows in a topic; in `payload` and `text` only `{reply}` means something.
pub const IN_TOPICS: [&str; 9] =
    ["e2m", "m2e", "module_id", "external_prefix", "consumer", "provider", "validator", "reply", "reply_to"];
/// What a command knows.
pub const IN_COMMANDS: [&str; 6] = ["host", "port", "api", "module_id", "api_version", "external_prefix"];

/// The API whose pathname a placeholder stands for.
pub fn api(name: &str) -> Option<ApiType> {
    ApiType::AUTH_APIS.into_iter().find(|api| last_word(*api) == name)
}

/// The name under which the id of the station's module of an API counts as captured from the start.
pub fn id_of(api: ApiType) -> String {
    format!("{}_id", last_word(api))
}

fn last_word(api: ApiType) -> &'static str {
    api.name().rsplit('_').next().unwrap_or_default()
}

/// Fills in what `value` knows by name; everything else stays as it is.
pub fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut end = 0;
    for (range, name) in find(text) {
        filled.push_str(&text[end..range.start]);
        match value(name) {
            Some(value) => filled.push_str(&value),
            None => filled.push_str(&text[range.clone()]),
        }
        end = range.end;
    }
    filled.push_str(&text[end..]);
    filled
}

/// Every `{name}` of a text, where a name is letters, digits and `_`; JSON in a text has no such thing.
pub fn find(text: &str) -> Vec<(Range<usize>, &str)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(open) = text[from..].find('{').map(|at| from + at) {
        let name_at = open + 1;
        let length = text[name_at..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(0);
        let close = name_at + length;
        if length > 0 && text[close..].starts_with('}') {
            found.push((open..close + 1, &text[name_at..close]));
        }
        from = name_at;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_what_is_known_and_leaves_the_rest() {
        let value = |name: &str| (name == "e2m").then(|| "x/e2m".to_owned());
        for (text, filled) in [
            ("{e2m}/heartbeat", "x/e2m/heartbeat"),
            ("{e2m}{e2m}", "x/e2mx/e2m"),
            ("{foo}/{e2m}", "{foo}/x/e2m"),
            (r#"{"a": {"b": 1}}"#, r#"{"a": {"b": 1}}"#),
            ("{{e2m}}", "{x/e2m}"),
            ("{e2m", "{e2m"),
            ("{}", "{}"),
            ("", ""),
        ] {
            assert_eq!(fill(text, value), filled, "{text}");
        }
    }
}

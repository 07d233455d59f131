//! `{name}` in topics, payloads and commands.

use std::ops::Range;

use super::distance;
use crate::protocol::channel::ApiType;

/// What `expect`, `expect_none` and `ready` know in a topic: the branches of the API below the module's pathname, the
/// module's id, EVerest's external prefix, and the pathnames of the station's API modules.
pub const IN_FILTERS: [&str; 7] = ["e2m", "m2e", "module_id", "external_prefix", "consumer", "provider", "validator"];
/// What `publish` knows in a topic; in `payload` and `text` only `{reply}` means something.
pub const IN_TOPICS: [&str; 9] =
    ["e2m", "m2e", "module_id", "external_prefix", "consumer", "provider", "validator", "reply", "reply_to"];
/// What a command knows, in the order in which [`crate::runner`] has the values.
pub const IN_COMMANDS: [&str; 6] = ["host", "port", "api", "module_id", "api_version", "external_prefix"];

/// What the command of a binding knows besides, and a line on standard input knows alone.
pub const OF_COMMANDS: [&str; 2] = ["command", "arguments"];
/// What to do with braces that are no placeholder and look like one.
pub const MEANT_AS_THEY_STAND: &str = "where these braces are meant as they stand, put blanks into them: `{ … }`";

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

/// The placeholders that are known, as evidence.
pub fn listed(known: &[&str]) -> String {
    format!("placeholders: {{{}}}", known.join("}, {"))
}

/// What looks like one of these placeholders in a text of somebody else's language, and is none: how it is written, and the one
/// that is meant.
///
/// Braces are also a shell's, awk's and JSON's. So only a single word in them counts, without `$` before it, and only one that is
/// nearly a placeholder, or part of the name of one.
pub fn misspelt(text: &str, known: &[&str]) -> Option<(String, String)> {
    let opened = text.match_indices('{').filter(|(at, _)| !text[..*at].ends_with('$'));
    let inside = opened.filter_map(|(at, _)| text[at + 1..].split_once('}').map(|(inside, _)| inside));
    let mut suspects = inside.filter(|inside| {
        let is_word = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '-';
        !inside.is_empty() && inside.chars().all(is_word) && !known.contains(inside)
    });
    suspects.find_map(|written| Some((format!("{{{written}}}"), format!("{{{}}}", meant(written, known)?))))
}

/// The placeholder that is meant by this word.
fn meant<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = written.to_lowercase().replace('-', "_");
    let is_near = |known: &str| {
        // Short words are near to many others, such as awk's `print`.
        let most = if known.len() < 8 { 1 } else { 2 };
        distance(&plain, known) <= most
    };
    let is_part = |known: &str| plain.len() > 1 && known.split('_').any(|part| part == plain);
    let find = |is_it: &dyn Fn(&str) -> bool| known.iter().copied().find(|known| is_it(known));
    find(&is_near).or_else(|| find(&is_part))
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

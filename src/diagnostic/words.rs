//! How messages speak of values, topics and times.

use std::time::Duration;

use serde_json::Value;

/// A topic with the base of the API module elided to `…`.
pub fn elide(base: &str, topic: &str) -> String {
    match topic.strip_prefix(base) {
        Some(rest) => format!("…{rest}"),
        None => topic.to_owned(),
    }
}

/// A name with its article.
pub fn a(name: &str) -> String {
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) && !name.starts_with("use") { "an" } else { "a" };
    format!("{article} {name}")
}

/// A length of time in a message.
pub fn shown(span: Duration) -> String {
    match span.as_millis() {
        millis if millis < 1000 => format!("{millis}ms"),
        millis if millis % 1000 == 0 => format!("{}s", millis / 1000),
        millis => format!("{:.1}s", millis as f64 / 1000.0),
    }
}

/// A text of at most `length` characters.
pub fn cut(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A value as it stands in a sentence: texts without quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value for the place of an actual value in a message.
pub fn actual(value: Option<&Value>) -> String {
    match value {
        Some(value) => format!("`{}`", cut(&plain(value), 120)),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_article_goes_by_the_sound() {
        assert_eq!(["update", "heartbeat", "used token"].map(a), ["an update", "a heartbeat", "a used token"]);
    }
}

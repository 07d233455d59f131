//! Texts of a page: code within prose, payloads in lines. Nothing of them can turn the direction of writing.

use maud::{Markup, html};
use serde::de::IgnoredAny;

use crate::diagnostic::printable;

/// A text whose code stands between backticks, if each of these has its other one.
pub fn prose(text: &str) -> Markup {
    let text = printable(text);
    let parts: Vec<_> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return html! { (text) };
    }
    html! {
        @for (number, part) in parts.iter().enumerate() {
            @if number % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A statement or headline as a sentence: its first letter is a capital one, unless it is code.
pub fn sentence(text: &str) -> Markup {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => prose(&(first.to_uppercase().collect::<String>() + letters.as_str())),
        None => html! {},
    }
}

/// Lines of a text, each safe to show.
pub fn lines(text: &str) -> String {
    text.trim_end().split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// JSON in one line broken into several, its tokens as they are; anything else stays as it is.
pub fn indented(payload: &str) -> String {
    if payload.contains('\n') || serde_json::from_str::<IgnoredAny>(payload).is_err() {
        return payload.to_owned();
    }
    let mut out = String::with_capacity(payload.len() * 2);
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    let mut rest = payload.chars().peekable();
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = rest.next() {
        if is_text {
            out.push(c);
            is_text = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
            continue;
        }
        match c {
            ' ' | '\t' | '\r' => {}
            '{' | '[' => {
                out.push(c);
                while rest.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                match rest.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        new_line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                is_text = c == '"';
                out.push(c);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_stands_between_backticks() {
        for (text, shown) in [
            ("the reply `Rejected` came", "the reply <code>Rejected</code> came"),
            ("one ` alone", "one ` alone"),
            ("`<b>` & \u{202e}", "<code>&lt;b&gt;</code> &amp; \\u{202e}"),
            ("", ""),
        ] {
            assert_eq!(prose(text).into_string(), shown);
        }
        assert_eq!(sentence("a `b`").into_string(), "A <code>b</code>");
        assert_eq!(sentence("`b` a").into_string(), "<code>b</code> a");
        assert_eq!(lines("a\u{1b}[1m\nb\n\n"), "a\\u{1b}[1m\nb");
    }

    /// Numbers, escapes and keys that stand twice are as they were sent.
    #[test]
    fn json_is_broken_into_lines_and_its_tokens_stay() {
        for (payload, shown) in [
            (r#"{"a":1.0,"a":[ ],"b":[1,{}]}"#, "{\n  \"a\": 1.0,\n  \"a\": [],\n  \"b\": [\n    1,\n    {}\n  ]\n}"),
            (r#"{"k, {": "a\"},\\"}"#, "{\n  \"k, {\": \"a\\\"},\\\\\"\n}"),
            ("true", "true"),
            ("{\"cut\": …", "{\"cut\": …"),
            ("{\n\"a\": 1}", "{\n\"a\": 1}"),
            ("", ""),
        ] {
            assert_eq!(indented(payload), shown);
        }
    }
}

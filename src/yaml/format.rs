//! YAML in one style: the same values in the same order, the same comments, in lines and indentation that are everybody's.
//!
//! The style is that of `scenarios/`: two spaces a level, lists below a key indented, what stands in braces or brackets on one
//! line if it fits and nobody has broken it, double quotes, two spaces before a comment behind something. What comes out is
//! read again, and is refused where it says anything else than what went in.

use std::ops::Range;

use pretty_yaml::config::{FormatOptions, LanguageOptions, LayoutOptions};
use pretty_yaml::format_text;
use serde_saphyr::granit_parser::{Event, Parser, Placement, ScalarStyle};

use super::{clamp, options};

/// What stands in braces or brackets is broken where its line would be longer.
const WIDTH: usize = 140;

/// What has not settled after so many rounds does not.
const MOST_ROUNDS: usize = 8;

/// Why a text stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unformatted {
    /// It is not understood, though it may be YAML.
    NotRead,
    /// It would say something else from this byte on.
    Changed(usize),
}

/// The text in the style of all, with its own kind of line ends. A text that is in it already comes out as it is.
///
/// # Errors
/// Why it stays as it is.
pub fn format(text: &str) -> Result<String, Unformatted> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let is_crlf = text.split_once('\n').is_some_and(|(first, _)| first.ends_with('\r'));
    let before = said(text).ok_or(Unformatted::NotRead)?;
    if events(text).map_while(Result::ok).any(|(event, _)| is_tabbed(&event)) {
        return Err(Unformatted::NotRead);
    }
    let mut formatted = settled(text.replace("\r\n", "\n"))?;
    if is_crlf {
        formatted = formatted.replace('\n', "\r\n");
    }
    let after = said(&formatted).unwrap_or_default();
    if before.iter().map(|(said, _)| said).eq(after.iter().map(|(said, _)| said)) {
        return Ok(formatted);
    }
    let same = before.iter().zip(&after).take_while(|((before, _), (after, _))| before == after).count();
    Err(Unformatted::Changed(before.get(same).map_or(text.len(), |(_, range)| range.start)))
}

/// What the printer makes of a text, again and again until nothing changes: it moves some comments twice.
fn settled(mut text: String) -> Result<String, Unformatted> {
    for _ in 0..MOST_ROUNDS {
        let printed = format_text(&text, &style()).map_err(|_| Unformatted::NotRead)?;
        let printed = apart(&printed);
        if printed == text {
            return Ok(text);
        }
        text = printed;
    }
    Err(Unformatted::NotRead)
}

fn style() -> FormatOptions {
    FormatOptions {
        layout: LayoutOptions { print_width: WIDTH, ..LayoutOptions::default() },
        language: LanguageOptions {
            brace_spacing: false,
            trailing_comma: false,
            // In a block of text they are part of what it says.
            trim_trailing_whitespaces: false,
            ..LanguageOptions::default()
        },
    }
}

/// Whether it is a block of text that begins with a tab, which the printer takes for indentation, and cuts off every line.
fn is_tabbed(event: &Event<'_>) -> bool {
    let Event::Scalar(text, ScalarStyle::Literal | ScalarStyle::Folded, ..) = event else { return false };
    let first = text.lines().find(|line| !line.trim().is_empty());
    first.is_some_and(|line| line.starts_with(|c: char| c != ' ' && c.is_ascii_whitespace()))
}

/// Comments behind something stand two spaces from it, as in most YAML; the printer knows one space only.
fn apart(text: &str) -> String {
    let mut whole = String::with_capacity(text.len() + 64);
    let mut copied = 0;
    for (event, range) in events(text).map_while(Result::ok) {
        let before = &text[copied..range.start.max(copied)];
        let is_behind = matches!(event, Event::Comment(_, Placement::Right)) && before.ends_with(' ');
        if is_behind && !before.ends_with("  ") {
            whole.push_str(before);
            whole.push(' ');
            copied = range.start;
        }
    }
    whole.push_str(&text[copied..]);
    whole
}

/// What a text says, whatever it looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Comment(String),
    Scalar { text: String, is_plain: bool, tag: Option<String> },
    List,
    Mapping,
    End,
    Anchor(String),
    Alias(usize),
    Directive(String),
}

/// All that a text says, each with its place; nothing if it is no YAML.
fn said(text: &str) -> Option<Vec<(Said, Range<usize>)>> {
    let mut all = Vec::new();
    for event in events(text) {
        let (event, range) = event.ok()?;
        let said = match event {
            Event::Comment(words, _) => Said::Comment(words.trim_end().to_owned()),
            // The parser calls nothing at all `~`, as it does what is written so.
            Event::Scalar(value, style, _, tag) => Said::Scalar {
                text: if range.is_empty() { String::new() } else { value.into_owned() },
                is_plain: style == ScalarStyle::Plain,
                tag: tag.map(|tag| format!("{}{}", tag.original_handle(), tag.suffix())),
            },
            Event::SequenceStart(..) => Said::List,
            Event::MappingStart(..) => Said::Mapping,
            Event::SequenceEnd | Event::MappingEnd => Said::End,
            Event::Anchor(_, name) => Said::Anchor(name.into_owned()),
            Event::Alias(of) => Said::Alias(of),
            Event::DocumentStart(_, version) => Said::Directive(format!("{version:?}")),
            _ => continue,
        };
        all.push((said, range));
    }
    Some(all)
}

/// What the parser finds, comments and the names of anchors among it.
fn events(text: &str) -> impl Iterator<Item = Result<(Event<'_>, Range<usize>), ()>> {
    let mut options = options();
    options.set_emit_comments(true);
    options.emit_anchor_events = true;
    Parser::new_from_str_with_options(text, options).map(move |event| {
        let (event, span) = event.map_err(drop)?;
        Ok((event, clamp(text, span.byte_range().unwrap_or(0..0))))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn formatted(text: &str) -> String {
        format(text).unwrap_or_else(|why| panic!("{why:?}: {text}"))
    }

    #[test]
    fn a_text_gets_the_style_of_all() {
        for (before, after) in [
            ("a:   1\nb:\n- {x: 1,y: [ 2,3 ]} # c\n", "a: 1\nb:\n  - {x: 1, y: [2, 3]}  # c\n"),
            ("a: 'it'\nb: 'say \"x\"'\n", "a: \"it\"\nb: 'say \"x\"'\n"),
            ("a: 1\n\n\n\n# c\nb: 2", "a: 1\n\n# c\nb: 2\n"),
            ("a:\r\n    b: 1 # c\r\n", "a:\r\n  b: 1  # c\r\n"),
            ("a: |\n   x  \n   y\n", "a: |\n  x  \n  y\n"),
            ("a: {\n b: 1, c: 2}\n", "a: {\n  b: 1,\n  c: 2\n}\n"),
            ("# only this", "# only this\n"),
            ("", ""),
            ("a: &x [1]\nb:   *x\n", "a: &x [1]\nb: *x\n"),
        ] {
            assert_eq!(formatted(before), after);
            assert_eq!(formatted(after), after);
        }
    }

    #[test]
    fn what_is_too_long_for_a_line_is_broken() {
        let long = format!("a: {{b: {}, c: {}}}\n", "x".repeat(70), "y".repeat(70));
        assert_eq!(formatted(&long).lines().count(), 4);
    }

    #[test]
    fn what_is_indented_beyond_what_the_printer_knows_stays_as_it_is_or_says_the_same() {
        for depth in 0..46 {
            let text: String = (0..depth).map(|level| format!("{}a:\n", " ".repeat(level * 3))).collect();
            let text = format!("{text}{}a: 1 # x\n", " ".repeat(depth * 3));
            match format(&text) {
                Ok(formatted) => assert_eq!(format(&formatted).as_deref(), Ok(&*formatted)),
                Err(_) => assert!(depth > 20, "{depth}"),
            }
        }
    }

    #[test]
    fn a_text_that_would_say_something_else_is_told_from_the_same() {
        let words = |text: &str| said(text).map(|all| all.into_iter().map(|(said, _)| said).collect::<Vec<_>>());
        for (one, other) in [
            ("a: 1", "a: 2"),
            ("a: 1", "a: \"1\""),
            ("a: ", "a: ~"),
            ("a: 1 # x", "a: 1"),
            ("a: 1 # x", "a: 1 # y"),
            ("a: # x\n  b: 1", "a:\n  b: 1 # x"),
            ("{a: 1, b: 2}", "{b: 2, a: 1}"),
            ("a: &x 1\nb: *x", "a: &y 1\nb: *y"),
            ("a: !!str 1", "a: 1"),
            ("a: |\n  x\n", "a: |-\n  x\n"),
        ] {
            assert_ne!(words(one), words(other));
        }
        for (one, other) in [("a: 'x'", "a:   \"x\""), ("a: [1]", "a:\n- 1"), ("---\na: 1\n", "a: 1")] {
            assert_eq!(words(one), words(other));
        }
    }

    /// Texts that are YAML now and then.
    fn texts() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "a", "b: ", "- ", "  ", "    ", "\n", "\n", "\n  ", "\n    ", "{", "}", "[", "]", ", ", ": ", "? ", " # c",
            "\n# c\n", "\"", "'", "|\n", ">-\n", "&x ", "*x", "~", "1", "é", "🔌", "---\n", "...\n", "\r\n", "!!str ",
            "\t", "\\n", "x y",
        ]);
        prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
    }

    /// A tree as text, in more than one style.
    fn trees() -> impl Strategy<Value = String> {
        let word =
            prop::sample::select(vec!["a", "b c", "1", "'it''s'", "\"q\\n\"", "~", "\"{x}\"", "é🔌", "''", "- x"]);
        let flow = word.clone().prop_map(str::to_owned).prop_recursive(4, 24, 4, |inner| {
            let gap = prop::sample::select(vec!["", " ", "\n   ", " # c\n   "]);
            prop_oneof![
                (gap.clone(), prop::collection::vec(inner.clone(), 0..4))
                    .prop_map(|(gap, items)| format!("[{gap}{}]", items.join(&format!(",{gap} ")))),
                (gap, prop::collection::vec(inner, 0..4)).prop_map(|(gap, items)| {
                    let pairs = items.iter().enumerate().map(|(at, item)| format!("k{at}: {item}"));
                    format!("{{{gap}{}{gap}}}", pairs.collect::<Vec<_>>().join(&format!(",{gap} ")))
                }),
            ]
        });
        let indented = |text: &str, by: &str| text.replace('\n', &format!("\n{by}"));
        flow.prop_recursive(4, 32, 4, move |inner| {
            let comment = prop::sample::select(vec!["", " # c", "  # c", "\n# c", "\n\n\n   # c"]);
            let items = prop::collection::vec((inner, comment), 1..4);
            (items, any::<bool>(), prop::sample::select(vec!["", " ", "   "])).prop_map(
                move |(items, is_list, more)| {
                    let lines = items.iter().enumerate().map(|(at, (item, comment))| {
                        let key = if is_list { "- ".to_owned() } else { format!("k{at}:\n{more}  ") };
                        format!("{key}{}{comment}\n", indented(item, "    "))
                    });
                    lines.collect()
                },
            )
        })
    }

    fn holds(text: &str) {
        if let Ok(once) = format(text) {
            assert_eq!(format(&once).as_deref(), Ok(&*once), "{text:?}");
            let words = |text: &str| said(text).map(|all| all.into_iter().map(|(said, _)| said).collect::<Vec<_>>());
            assert_eq!(words(text), words(&once));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn whatever_is_formatted_says_the_same_and_stays_so(text in prop_oneof![texts(), trees()]) {
            holds(&text);
        }
    }
}

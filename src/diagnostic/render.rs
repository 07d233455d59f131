//! A diagnostic as text, in the shape rustc made familiar.
//!
//! Nothing from the wire or from a file can drive a terminal or flood it: control characters are escaped, long lines
//! are cut around the caret, and the whole has about 20 lines.

use std::fmt::Write;

use super::{Diagnostic, Place, Severity};

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Nothing but text: for files, pipes and tests.
    Plain,
    /// With ANSI colours: for terminals.
    Coloured,
}

/// What text is rendered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Whether it is coloured.
    pub style: Style,
    /// So many columns; without, lines are as long as is good for files.
    pub columns: Option<usize>,
}

impl From<Style> for Screen {
    fn from(style: Style) -> Self {
        Self { style, columns: None }
    }
}

/// The least columns that are reckoned with.
const NARROWEST: usize = 40;
/// The most lines of a message.
const LINES: usize = 20;
/// The widest line.
const COLUMNS: usize = 116;
/// The longest headline, label or piece of evidence, in characters.
const CHARACTERS: usize = 600;

const BOLD: &str = "1";
const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const BLUE: &str = "1;34";

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Style::Plain => text.to_owned(),
            Style::Coloured if text.is_empty() => String::new(),
            Style::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

impl Severity {
    fn colour(self) -> &'static str {
        match self {
            Severity::Error | Severity::Fail => RED,
            Severity::Inconclusive | Severity::Warning => YELLOW,
            Severity::Note => BLUE,
        }
    }
}

impl Diagnostic {
    /// The message as text, with a line feed at its end.
    pub fn render(&self, screen: impl Into<Screen>) -> String {
        let Screen { style, columns } = screen.into();
        let columns = columns.map(|columns| columns.clamp(NARROWEST, COLUMNS + 8));
        let word = format!("{}[{}]", self.severity.word(), self.id);
        let headline = format!("{word}: {}", short(&printable(&self.headline)));
        // Files have no edge.
        let headline = wrapped(&headline, columns.map_or(usize::MAX, |columns| columns - 2));
        let mut out = String::new();
        for (n, line) in headline.iter().enumerate() {
            let (painted, rest) =
                if n == 0 { line.split_at(word.len().min(line.len())) } else { ("  ", line.as_str()) };
            let painted = if n == 0 { style.paint(self.severity.colour(), painted) } else { painted.to_owned() };
            let _ = writeln!(out, "{painted}{}", style.paint(BOLD, rest));
        }
        let margin = self.place.as_ref().map_or(2, |place| place.line().to_string().len());
        let room = columns.map_or(COLUMNS, |columns| columns - margin - 4);
        if let Some(place) = &self.place {
            render_place(&mut out, place, margin, room, self.severity, style);
        }
        let room = columns.map_or(COLUMNS - 8, |_| room);
        let bullet = format!("{} {} ", " ".repeat(margin), style.paint(BLUE, "="));
        let indent = " ".repeat(margin + 3);
        let mut tail: Vec<String> =
            self.evidence.iter().flat_map(|line| bulleted(line, &bullet, &indent, room)).collect();
        let mut rest = Vec::new();
        if let Some(requirement) = self.requirement {
            rest.push(format!("{bullet}requirement: {requirement}"));
        }
        if let Some(help) = &self.help {
            rest.extend(bulleted(&format!("help: {help}"), &bullet, &indent, room));
        }
        let room = LINES.saturating_sub(out.lines().count() + rest.len()).max(3);
        if tail.len() > room {
            let hidden = tail.len() + 1 - room;
            tail.truncate(room - 1);
            tail.push(format!("{bullet}… {hidden} more lines"));
        }
        for line in tail.into_iter().chain(rest) {
            out.push_str(&line);
            out.push('\n');
        }
        out
    }
}

/// One piece of evidence as lines: the first with a bullet, the rest below it.
fn bulleted(text: &str, bullet: &str, indent: &str, room: usize) -> Vec<String> {
    let lines = text.trim_end().split('\n').flat_map(|line| wrapped(&short(&printable(line)), room));
    lines.enumerate().map(|(n, line)| format!("{}{line}", if n == 0 { bullet } else { indent })).collect()
}

/// Breaks a line at blanks, for so many columns; text that has none is left as it is.
pub fn wrapped(line: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut current = String::new();
    for word in line.split_inclusive(' ') {
        if !current.trim().is_empty() && width(&current) + width(word.trim_end()) > room {
            lines.push(std::mem::take(&mut current).trim_end().to_owned());
        }
        current.push_str(word);
    }
    lines.push(current.trim_end().to_owned());
    lines
}

fn short(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS) {
        Some((at, _)) => format!("{}… ({} characters)", &text[..at], text.chars().count()),
        None => text.to_owned(),
    }
}

/// Text that is safe to print: control characters, and those that turn the direction of writing, are escaped.
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            _ if drives_terminal(c) => {
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            _ => safe.push(c),
        }
    }
    safe
}

pub(super) fn drives_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn render_place(out: &mut String, place: &Place, margin: usize, room: usize, severity: Severity, style: Style) {
    let line = place.line_in(room);
    let blank = " ".repeat(margin);
    let path = printable(&place.source.path);
    let _ = writeln!(out, "{blank}{} {path}:{}:{}", style.paint(BLUE, "-->"), line.number, place.column());
    let Some((before, marked)) = line.marked else { return };
    let (number, shown) = (line.number, line.text);
    let bar = style.paint(BLUE, "|");
    let label = short(&printable(&place.label));
    let carets = "^".repeat(marked);
    // Beside the carets if it has room there, else below.
    let beside = room.saturating_sub(before + carets.len() + 1);
    let (caret, below) = match () {
        () if label.is_empty() => (carets, Vec::new()),
        () if room == COLUMNS || width(&label) <= beside => (format!("{carets} {label}"), Vec::new()),
        () => (carets, wrapped(&label, room)),
    };
    let _ = writeln!(out, "{blank} {bar}");
    let _ = writeln!(out, "{} {bar} {shown}", style.paint(BLUE, &format!("{number:margin$}")));
    let _ = writeln!(out, "{blank} {bar} {}{}", " ".repeat(before), style.paint(severity.colour(), &caret));
    for line in below {
        // Under the carets, as far as it fits.
        let before = before.min(room.saturating_sub(width(&line)));
        let _ = writeln!(out, "{blank} {bar} {}{}", " ".repeat(before), style.paint(severity.colour(), &line));
    }
}

/// Columns on a terminal; wide East Asian characters and emoji have two.
pub(super) fn width(text: &str) -> usize {
    text.chars()
        .map(|c| match u32::from(c) {
            0x300..=0x36f => 0,
            0x1100..=0x115f
            | 0x2e80..=0xa4cf
            | 0xac00..=0xd7a3
            | 0xf900..=0xfaff
            | 0xfe30..=0xfe6f
            | 0xff00..=0xff60
            | 0x1f300..=0x1faff
            | 0x20000..=0x3fffd => 2,
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diagnostic::Source;

    fn place(text: &str, marked: &str) -> Place {
        let start = text.find(marked).unwrap_or(0);
        let source = Arc::new(Source { path: "a/b.yaml".to_owned(), text: text.to_owned() });
        Place { source, range: start..start + marked.len(), label: String::new() }
    }

    #[test]
    fn has_the_shape_that_people_know() {
        let mut at = place("steps:\n  - expct:\n      a: 1\n", "expct");
        at.label = "did you mean `expect`?".to_owned();
        let text = Diagnostic::new(Severity::Error, "scenario/unknown-step", "unknown step `expct`")
            .at(at)
            .with_evidence("steps: publish, expect")
            .with_help("khumbu check scenarios/")
            .breaking("RR-1")
            .render(Style::Plain);
        let expected = "\
error[scenario/unknown-step]: unknown step `expct`
 --> a/b.yaml:2:5
  |
2 |   - expct:
  |     ^^^^^ did you mean `expect`?
  = steps: publish, expect
  = requirement: RR-1
  = help: khumbu check scenarios/
";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_first_word_is_the_severity() {
        for (severity, word) in [
            (Severity::Note, "note[a/b]: x\n"),
            (Severity::Warning, "warning[a/b]: x\n"),
            (Severity::Inconclusive, "inconclusive[a/b]: x\n"),
            (Severity::Fail, "fail[a/b]: x\n"),
            (Severity::Error, "error[a/b]: x\n"),
        ] {
            assert_eq!(Diagnostic::new(severity, "a/b", "x").render(Style::Plain), word);
        }
    }

    #[test]
    fn a_narrow_screen_breaks_between_words_and_keeps_carets_under_their_text() {
        let words = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen";
        let long =
            format!("  - expect: {{message: token_validation_status, payload: {{statsu: Processing}}}} # {words}");
        for (text, marked) in [("steps:\n  - expct: 1\n", "expct"), (long.as_str(), "statsu")] {
            let mut at = place(text, marked);
            at.label = format!("did you mean this? {words}");
            let diagnostic =
                Diagnostic::new(Severity::Error, "a/b", words).at(at).with_evidence(words).with_help(words);
            for columns in [40, 60, 80] {
                let screen = Screen { style: Style::Plain, columns: Some(columns) };
                let rendered = diagnostic.render(screen);
                let mut lines = rendered.lines().peekable();
                assert!(lines.all(|line| width(line) <= columns), "{columns}\n{rendered}");
                let lines: Vec<&str> = rendered.lines().collect();
                let caret = lines.iter().position(|line| line.contains('^')).unwrap_or_default();
                let column = |line: &str, what: &str| line.find(what).map(|at| width(&line[..at]));
                assert_eq!(column(lines[caret - 1], marked), column(lines[caret], "^"), "{rendered}");
                let said: Vec<&str> = rendered.split_whitespace().collect();
                let said = words.split(' ').all(|word| said.iter().filter(|it| **it == word).count() >= 4);
                assert!(said, "{rendered}");
            }
        }
    }

    #[test]
    fn nothing_drives_the_terminal() {
        let nasty = "\u{1b}[2J\u{7}\u{9b}31m\u{202e}x\r\0";
        let text = format!("key: {nasty} end\n");
        let rendered = Diagnostic::new(Severity::Fail, "a/b", nasty)
            .at(place(&text, "end"))
            .with_evidence(nasty)
            .with_help(nasty)
            .render(Style::Plain);
        assert!(rendered.chars().all(|c| c == '\n' || !drives_terminal(c)), "{rendered:?}");
        assert!(rendered.contains(r"\u{1b}[2J\u{7}\u{9b}31m\u{202e}x\r\u{0}"), "{rendered}");
    }

    #[test]
    fn a_line_of_ten_megabytes_is_cut_around_the_caret() {
        let text = format!("{}HERE{}", "a".repeat(5_000_000), "b".repeat(5_000_000));
        let rendered = Diagnostic::new(Severity::Error, "a/b", "x".repeat(100_000))
            .at(place(&text, "HERE"))
            .with_evidence("y".repeat(100_000))
            .render(Style::Plain);
        assert!(rendered.len() < 3000, "{}", rendered.len());
        let line = rendered.lines().find(|line| line.contains("HERE")).unwrap_or_default();
        let caret = rendered.lines().find(|line| line.contains('^')).unwrap_or_default();
        let column = |line: &str, what: char| line.chars().position(|c| c == what);
        assert_eq!(column(line, 'H'), column(caret, '^'));
        assert!(caret.ends_with(" ^^^^"));
    }

    #[test]
    fn carets_stand_below_wide_characters_and_tabs() {
        for (text, marked) in [("日本: x\n", "x"), ("\tkey: x\n", "x"), ("ä: x", "x")] {
            let rendered = Diagnostic::new(Severity::Error, "a/b", "x").at(place(text, marked)).render(Style::Plain);
            let line = rendered.lines().nth(3).unwrap_or_default();
            let caret = rendered.lines().nth(4).unwrap_or_default();
            let before = line.split('x').next().unwrap_or_default();
            assert_eq!(width(before), caret.find('^').unwrap_or_default(), "{rendered}");
        }
    }

    #[test]
    fn has_at_most_twenty_lines_and_keeps_the_help() {
        let mut diagnostic = Diagnostic::new(Severity::Fail, "a/b", "x").at(place("a: 1\n", "1")).with_help("do it");
        for n in 0..50 {
            diagnostic = diagnostic.with_evidence(format!("fact {n}\nand more"));
        }
        let rendered = diagnostic.render(Style::Plain);
        assert_eq!(rendered.lines().count(), LINES);
        assert!(rendered.ends_with("more lines\n  = help: do it\n"), "{rendered}");
    }

    #[test]
    fn a_place_without_text_still_names_its_file() {
        let rendered = Diagnostic::new(Severity::Error, "a/b", "x").at(place("", "")).render(Style::Plain);
        assert_eq!(rendered, "error[a/b]: x\n --> a/b.yaml:1:1\n");
    }

    #[test]
    fn colours_go_around_words_only() {
        let diagnostic = Diagnostic::new(Severity::Fail, "a/b", "x").at(place("a: 1\n", "1")).with_help("h");
        let coloured = diagnostic.render(Style::Coloured);
        assert!(coloured.contains("\x1b[1;31mfail[a/b]\x1b[0m"));
        let mut plain = coloured;
        while let (Some(start), Some(length)) =
            (plain.find('\x1b'), plain.find('\x1b').and_then(|at| plain[at..].find('m')))
        {
            plain.replace_range(start..=start + length, "");
        }
        assert_eq!(plain, diagnostic.render(Style::Plain));
    }
}

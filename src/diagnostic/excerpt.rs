//! The lines of a file around a place, safe to show: tabs as blanks, controls as their pictures, long lines cut around what
//! is marked.

use super::Place;
use super::render::{drives_terminal, width};

/// A line of a file, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, counted from 1.
    pub number: usize,
    /// What it says.
    pub text: String,
    /// Where the place is: so many columns stand before it, and so many are of it. None on every other line, and on one
    /// that is blank.
    pub marked: Option<(usize, usize)>,
}

impl Place {
    /// The column of the first byte, in characters, counted from 1.
    pub fn column(&self) -> usize {
        let start = floor(&self.source.text, self.range.start);
        self.source.text[line_start(&self.source.text, start)..start].chars().count() + 1
    }

    /// The line of the place, at most some `room` columns wide.
    pub fn line_in(&self, room: usize) -> Line {
        let text = &self.source.text;
        let start = floor(text, self.range.start);
        let end = floor(text, self.range.end).max(start);
        let line_start = line_start(text, start);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let from = start - line_start;
        let to = (end - line_start).clamp(from, line.len().max(from));
        let (shown, before, marked) = cut(line, from, to, room);
        let marked = (!line.trim().is_empty()).then_some((before, marked.max(1)));
        Line { number: self.line(), text: shown, marked }
    }

    /// The line of the place, with so many before and after it.
    pub fn lines_around(&self, before: usize, after: usize, room: usize) -> Vec<Line> {
        let marked = self.line_in(room);
        let first = marked.number.saturating_sub(before).max(1);
        let shown = self.source.text.lines().enumerate().skip(first - 1).take(marked.number + after + 1 - first);
        let shown = shown.map(|(index, line)| match index + 1 {
            number if number == marked.number => marked.clone(),
            number => Line { number, text: cut(line, 0, 0, room).0, marked: None },
        });
        shown.collect()
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The part of a line around a range that fits; with the columns before the range and within it.
fn cut(line: &str, from: usize, to: usize, room: usize) -> (String, usize, usize) {
    let from = from.min(line.len());
    let to = to.clamp(from, line.len());
    let mut left: Vec<char> = line[..from].chars().rev().take(room).collect();
    let is_left_cut = from > 0 && width(&line[..from]) > room - 40.min(room * 2 / 5);
    if is_left_cut {
        left.truncate(room / 3);
    }
    left.reverse();
    let mut shown = String::new();
    if is_left_cut {
        shown.push('…');
    }
    left.into_iter().for_each(|c| show(&mut shown, c));
    let before = width(&shown);
    let mut marked = 0;
    let mut is_right_cut = false;
    for (at, c) in line[from..].char_indices() {
        if width(&shown) >= room {
            is_right_cut = true;
            break;
        }
        show(&mut shown, c);
        if from + at < to {
            marked = width(&shown) - before;
        }
    }
    let shown = if is_right_cut { format!("{shown}…") } else { shown.trim_end().to_owned() };
    (shown, before, marked)
}

/// One character of a source line: tabs as blanks, controls as their pictures, so that columns stay true.
fn show(shown: &mut String, c: char) {
    match c {
        '\t' => shown.push_str("    "),
        '\u{0}'..='\u{1f}' => shown.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
        _ if drives_terminal(c) => shown.push('\u{fffd}'),
        _ => shown.push(c),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diagnostic::Source;

    fn around(text: &str, marked: &str) -> Vec<Line> {
        let start = text.find(marked).unwrap_or(text.len());
        let source = Arc::new(Source { path: "a.yaml".to_owned(), text: text.to_owned() });
        Place { source, range: start..start + marked.len(), label: String::new() }.lines_around(2, 1, 40)
    }

    #[test]
    fn lines_around_a_place_end_with_the_file() {
        let lines = |text: &str, marked: &str| {
            let shown = |line: Line| (line.number, line.text, line.marked);
            around(text, marked).into_iter().map(shown).collect::<Vec<_>>()
        };
        let line = |number, text: &str, marked| (number, text.to_owned(), marked);
        assert_eq!(
            lines("a\nb\nc\n\td: x\ne\nf\n", "d:"),
            [line(2, "b", None), line(3, "c", None), line(4, "    d: x", Some((4, 2))), line(5, "e", None)]
        );
        assert_eq!(lines("a", "a"), [line(1, "a", Some((0, 1)))]);
        assert_eq!(lines("", "nowhere"), []);
        assert_eq!(lines("a\n", "nowhere"), [line(1, "a", None)]);
    }

    #[test]
    fn a_long_line_is_cut_around_what_is_marked() {
        let long = format!("{}{{here}}{}\nnext", "x".repeat(300), "y".repeat(300));
        let lines = around(&long, "{here}");
        let (before, marked) = lines[0].marked.unwrap_or_default();
        let shown: String = lines[0].text.chars().skip(before).take(marked).collect();
        assert_eq!((shown.as_str(), lines[0].text.chars().count() < 45, lines.len()), ("{here}", true, 2));
    }
}

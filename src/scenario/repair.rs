//! What was probably meant where a text is no YAML: a change of one line that makes it YAML. Says only what a second look
//! at the changed text confirms, and changes nothing itself.

use std::ops::Range;

use super::fault::Fault;
use crate::yaml::first_error;

/// The most changes that are tried: a wrong text costs little more than a right one.
const TRIES: usize = 60;
/// The longest text that is looked at again and again.
const LONGEST: usize = 64 * 1024;
/// So many lines above may show how a line is to be indented.
const LINES_ABOVE: usize = 20;

/// The fault, with what to do about it if that is known.
pub(super) fn advised(fault: Fault, text: &str) -> Fault {
    match fault.range().filter(|_| fault.is_about_syntax()).and_then(|range| advice(text, range.start)) {
        Some(help) => fault.help(help),
        None => fault,
    }
}

/// What to do about a text that is no YAML from this byte on; `None` if nothing is known to help.
fn advice(text: &str, at: usize) -> Option<String> {
    if text.len() > LONGEST {
        return None;
    }
    let wrong = line_at(text, at);
    let above = lines_above(text, &wrong).next();
    let mut attempts = Attempts { text, wrong: wrong.clone(), left: TRIES };
    (attempts.quoting(&wrong, at))
        .or_else(|| attempts.indenting())
        .or_else(|| attempts.blank_after_colon(&wrong))
        .or_else(|| above.and_then(|above| attempts.blank_after_colon(&above)))
}

/// Changes of a text, tried one after the other.
struct Attempts<'a> {
    text: &'a str,
    /// The line where it ceases to be YAML.
    wrong: Range<usize>,
    left: usize,
}

impl Attempts<'_> {
    /// Whether the text with this piece replaced is YAML up to the end of the wrong line at least.
    fn helps(&mut self, piece: &Range<usize>, with: &str) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let changed = format!("{}{with}{}", &self.text[..piece.start], &self.text[piece.end..]);
        let end = self.wrong.end + with.len() - piece.len();
        first_error(&changed).is_none_or(|error| error > end)
    }

    /// The line as it would be with a piece of it replaced.
    fn changed(&self, line: &Range<usize>, piece: &Range<usize>, with: &str) -> String {
        format!("{}{with}{}", &self.text[line.start..piece.start], &self.text[piece.end..line.end]).trim().to_owned()
    }

    /// A text that YAML takes for something else: a value of the line, from the innermost one that begins before the error.
    fn quoting(&mut self, line: &Range<usize>, at: usize) -> Option<String> {
        let content = &self.text[line.clone()];
        let begins = content.match_indices(": ").map(|(colon, _)| line.start + colon + 2);
        let after_dash = content.find("- ").map(|dash| line.start + dash + 2);
        let mut begins: Vec<_> = begins.chain(after_dash).filter(|begin| *begin <= at + 1).collect();
        begins.sort_unstable_by(|one, other| other.cmp(one));
        for begin in begins {
            let begin = begin + self.text[begin..line.end].find(|c| c != ' ')?;
            for end in ends(&self.text[begin..line.end]) {
                let piece = begin..begin + end;
                if let Some(quoted) = quoted(&self.text[piece.clone()])
                    && self.helps(&piece, &quoted)
                {
                    return Some(format!("quote the text: `{}`", self.changed(line, &piece, &quoted)));
                }
            }
        }
        None
    }

    /// A blank too many or too few at the beginning of the line.
    fn indenting(&mut self) -> Option<String> {
        let text = self.text;
        let wrong = self.wrong.clone();
        let now = indentation(&text[wrong.clone()]);
        for above in lines_above(text, &wrong).take(LINES_ABOVE) {
            let wanted = indentation(&text[above.clone()]);
            if wanted != now && self.helps(&(wrong.start..wrong.start + now), &" ".repeat(wanted)) {
                let (line, like) = (number(text, wrong.start), number(text, above.start));
                return Some(format!("indent line {line} like line {like}: {}, not {now}", blanks(wanted)));
            }
        }
        None
    }

    /// A colon that ends a key, and no blank behind it.
    fn blank_after_colon(&mut self, line: &Range<usize>) -> Option<String> {
        let colon = line.start + self.text[line.clone()].find(':')? + 1;
        let is_end = self.text[colon..line.end].starts_with([' ', '\r']) || colon == line.end;
        let piece = colon..colon;
        (!is_end && self.helps(&piece, " "))
            .then(|| format!("a blank belongs behind the colon: `{}`", self.changed(line, &piece, " ")))
    }
}

/// Where a value that begins here may end, the shortest first.
fn ends(rest: &str) -> Vec<usize> {
    let whole = rest.trim_end().len();
    let is_end = |(at, c): (usize, char)| (matches!(c, ',' | '}' | ']') || rest[at..].starts_with(" #")).then_some(at);
    let mut ends: Vec<_> = rest.char_indices().filter_map(is_end).filter(|end| (1..whole).contains(end)).collect();
    ends.push(whole);
    ends
}

/// The same text in quotes, if they change nothing else. A list or a mapping that is not closed is no text.
fn quoted(text: &str) -> Option<String> {
    if text.starts_with('[') && !text.contains(']') || text.starts_with('{') && !text.contains('}') {
        return None;
    }
    let within = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match within {
        Some(within) if !within.contains('\'') => Some(format!("'{within}'")),
        None if !text.contains(['"', '\\']) => Some(format!("\"{text}\"")),
        None if !text.contains('\'') => Some(format!("'{text}'")),
        _ => None,
    }
}

fn line_at(text: &str, at: usize) -> Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    start..text[start..].find('\n').map_or(text.len(), |newline| start + newline)
}

/// The lines above that say something, the nearest first.
fn lines_above<'a>(text: &'a str, line: &Range<usize>) -> impl Iterator<Item = Range<usize>> + 'a {
    let mut start = line.start;
    let above = std::iter::from_fn(move || {
        let line = line_at(text, start.checked_sub(1)?);
        start = line.start;
        Some(line)
    });
    above.filter(|line| !text[line.clone()].trim().is_empty() && !text[line.clone()].trim_start().starts_with('#'))
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn number(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn blanks(count: usize) -> String {
    if count == 1 { "1 blank".to_owned() } else { format!("{count} blanks") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advised(text: &str) -> Option<String> {
        advice(text, first_error(text)?)
    }

    #[test]
    fn says_what_makes_it_yaml() {
        for (text, help) in [
            ("description: A client: it works\nsteps: []\n", "quote the text: `description: \"A client: it works\"`"),
            ("note: \"a \"b\" c\"\n", "quote the text: `note: 'a \"b\" c'`"),
            ("- a: {$regex: [0-9]+}\n", "quote the text: `- a: {$regex: \"[0-9]+\"}`"),
            (
                "a: {b: {$regex: ^[a-z]{2}: .*$}, c: 1}\n",
                "quote the text: `a: {b: {$regex: \"^[a-z]{2}: .*$\"}, c: 1}`",
            ),
            ("a: {$regex: \"\\d+\"}\n", "quote the text: `a: {$regex: '\\d+'}`"),
            ("a: {topic: {module_id}/x, text: y}\n", "quote the text: `a: {topic: \"{module_id}/x\", text: y}`"),
            ("a:\n  topic: {module_id}/x # why\n", "quote the text: `topic: \"{module_id}/x\" # why`"),
            ("- @all\n", "quote the text: `- \"@all\"`"),
            ("a: 100%\nb: %x\n", "quote the text: `b: \"%x\"`"),
            ("a: x\n b: 1\n", "indent line 2 like line 1: 0 blanks, not 1"),
            ("a:\n  - b: 1\n\n   - c: 2\n", "indent line 4 like line 2: 2 blanks, not 3"),
            ("a:\n  b:\n    c: 1\n   d: 2\n", "indent line 4 like line 3: 4 blanks, not 3"),
            ("a:x\nb: 1\n", "a blank belongs behind the colon: `a: x`"),
        ] {
            assert_eq!(advised(text).as_deref(), Some(help), "{text}");
        }
    }

    #[test]
    fn says_nothing_that_it_does_not_know() {
        for text in ["a: [1\n", "a: {\n", "\"", "a: \"b'\" c\"\n", "]", "- - :\n- \"\n"] {
            assert_eq!(advised(text), None, "{text}");
        }
        assert_eq!(advised(&format!("{}\na: b: c\n", "#".repeat(LONGEST))), None);
    }
}

//! What may be written at a place of a text that is being written.

use std::ops::Range;

use serde_json::Value;

use super::shape::Shape;
use super::spot::{Spot, Step, What, find, tokens};
use crate::conformance::requirements;
use crate::scenario::written::word;
use crate::yaml::{self, Content, Node};

/// Stands where the cursor is, so that the text is YAML; nobody else writes it.
const MARK: &str = "khumbu0stands0here";
/// The keys whose texts are the names of tokens.
const TOKENS: [&str; 2] = ["token", "present_token"];
/// The keys whose texts are the numbers of requirements.
const REQUIREMENTS: [&str; 3] = ["requirements", "requirement", "about"];

/// What a suggestion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A key of a mapping, or the name of a step.
    Key,
    /// A value.
    Value,
    /// A token of the station.
    Token,
    /// A requirement.
    Requirement,
}

/// What may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// What the user chooses.
    pub label: String,
    /// What is written for it.
    pub insert: String,
    /// What it means.
    pub about: Option<String>,
    /// What it is.
    pub kind: Kind,
}

/// What may be written at a byte of a text whose files have this schema, and the word there that it takes the place of.
pub fn complete(text: &str, schema: &Value, byte: usize) -> (Range<usize>, Vec<Suggestion>) {
    let word = word_at(text, byte);
    let suggestions = marked(text, &word).and_then(|(root, at)| {
        let spot = find(&root, at)?;
        Some(suggested(&Shape::new(schema), &root, &spot, &Line::new(text, &word)))
    });
    (word, suggestions.unwrap_or_default())
}

/// The word around a byte, in quotes if it is.
fn word_at(text: &str, byte: usize) -> Range<usize> {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let before = text[..byte].trim_end_matches(is_part);
    let start = before.len();
    let end = text.len() - text[byte..].trim_start_matches(is_part).len();
    match (before.chars().next_back(), text[end..].chars().next()) {
        (Some(open @ ('"' | '\'')), Some(close)) if open == close => start - 1..end + 1,
        (Some('"' | '\''), _) => start - 1..end,
        _ => start..end,
    }
}

/// What stands beside the word in its line.
struct Line {
    /// Nothing stands before it but white space and the dashes of lists.
    is_first: bool,
    /// It is followed by a colon.
    is_key: bool,
}

impl Line {
    fn new(text: &str, word: &Range<usize>) -> Self {
        let start = text[..word.start].rfind(['\n', '\r']).map_or(0, |end| end + 1);
        let before = &text[start..word.start];
        Self { is_first: before.chars().all(|c| c == ' ' || c == '-'), is_key: text[word.end..].starts_with(':') }
    }
}

/// The tree of the text with the mark in the place of the word, and where the mark stands. What makes it no YAML is taken for
/// unfinished, least of it first: brackets of the line that are open, the rest of the line, the rest of the text.
fn marked(text: &str, word: &Range<usize>) -> Option<(Node, usize)> {
    let (before, after) = (&text[..word.start], &text[word.end..]);
    let line = &before[before.rfind(['\n', '\r']).map_or(0, |end| end + 1)..];
    let rest = after.find(['\n', '\r']).map_or("", |end| &after[end..]);
    let closed = closers(line);
    let attempts = [after.to_owned(), format!("{closed}{rest}"), closed];
    attempts.iter().find_map(|after| {
        [MARK.to_owned(), format!("{MARK}:")].iter().find_map(|mark| {
            let root = yaml::read(&format!("{before}{mark}{after}")).ok()?;
            find(&root, before.len()).is_some().then_some((root, before.len()))
        })
    })
}

/// What closes the brackets and quotes that are open at the end of a line.
fn closers(line: &str) -> String {
    let (mut open, mut quote) = (Vec::new(), None);
    for character in line.chars() {
        match (quote, character) {
            (Some(begun), _) if begun == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '{') => open.push('}'),
            (None, '[') => open.push(']'),
            (None, '}' | ']') => drop(open.pop()),
            _ => {}
        }
    }
    quote.into_iter().chain(open.into_iter().rev()).collect()
}

fn suggested(schema: &Shape<'_>, root: &Node, spot: &Spot<'_>, line: &Line) -> Vec<Suggestion> {
    let shape = schema.at(&spot.path);
    match spot.what {
        What::Key(_, mapping) => keys(&shape, mapping, line),
        What::Value(_) => {
            let mut all = values(&shape, root, &spot.path);
            // Behind a key, a mapping would have to begin in a line of its own.
            if line.is_first || matches!(spot.path.last(), Some(Step::Index(_))) {
                all.extend(shape.keys(&[]).into_iter().map(|key| as_key(key.name, key.about, line)));
            }
            all
        }
    }
}

fn keys(shape: &Shape<'_>, mapping: &Node, line: &Line) -> Vec<Suggestion> {
    let Content::Mapping(entries) = mapping.content() else { return Vec::new() };
    let there: Vec<&str> = entries.iter().map(|entry| &*entry.key).filter(|key| *key != MARK).collect();
    shape.keys(&there).into_iter().map(|key| as_key(key.name, key.about, line)).collect()
}

fn as_key(name: &str, about: Option<&str>, line: &Line) -> Suggestion {
    let name = word(name);
    let insert = if line.is_key { name.clone() } else { format!("{name}: ") };
    Suggestion { label: name, insert, about: about.map(str::to_owned), kind: Kind::Key }
}

fn values(shape: &Shape<'_>, root: &Node, path: &[Step]) -> Vec<Suggestion> {
    let mut all: Vec<Suggestion> = Vec::new();
    let mut add = |label: String, about: Option<String>, kind| {
        if !all.iter().any(|it| it.label == label) {
            all.push(Suggestion { insert: label.clone(), label, about, kind });
        }
    };
    for (value, about) in shape.values() {
        let text = value.as_str().map_or_else(|| value.to_string(), word);
        add(text, about.map(str::to_owned), Kind::Value);
    }
    let key = path.iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Index(_) => None,
    });
    if shape.takes_text() && key.is_some_and(|key| TOKENS.contains(&key)) {
        tokens(root).into_iter().for_each(|(name, _)| add(word(name), None, Kind::Token));
    }
    if shape.takes_text() && key.is_some_and(|key| REQUIREMENTS.contains(&key)) {
        for requirement in requirements::all() {
            add(requirement.id.to_owned(), Some(super::about_requirement(requirement)), Kind::Requirement);
        }
    }
    all
}

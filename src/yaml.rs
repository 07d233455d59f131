//! YAML text to a tree of nodes, each with its place in the text.
//!
//! Only what files of scenarios and descriptions of APIs need: one document, text keys, no tags but `!!str`, no merge
//! keys. Anchors are shared, not copied, so that an alias bomb costs nothing here; whoever walks the tree counts its
//! steps. Pure; the words of a [`Problem`] are here, the ids belong to whoever reads.

mod format;
mod pointer;
mod scalar;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, ScanError};

pub use format::{Unformatted, format};
pub use pointer::{Pointer, escaped};
pub use scalar::{Scalar, resolve};

/// The deepest nesting of lists and mappings.
const DEPTH: usize = 48;
/// The most nodes in one file, before aliases are followed.
const NODES: usize = 100_000;

/// A node of the tree.
#[derive(Debug, Clone)]
pub struct Node {
    /// Bytes of the text; the alias, where the node is one.
    pub range: Range<usize>,
    /// What it holds.
    pub content: Content,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// A text, a number, a boolean or nothing.
    Scalar {
        /// After escapes were resolved.
        text: String,
        /// Not quoted: may be a number, a boolean or nothing.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Mapping(Vec<Entry>),
    /// An anchored node, or an alias of one.
    Shared(Arc<Node>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Bytes of the key.
    pub key_range: Range<usize>,
    /// The value.
    pub value: Node,
}

impl Node {
    /// What it holds, with aliases followed.
    pub fn content(&self) -> &Content {
        let mut node = self;
        while let Content::Shared(shared) = &node.content {
            node = shared;
        }
        &node.content
    }

    /// The child under one token of a JSON pointer, with the range of its key.
    pub fn child(&self, token: &str) -> Option<(&Node, Option<&Range<usize>>)> {
        match self.content() {
            Content::List(items) => items.get(token.parse::<usize>().ok()?).map(|node| (node, None)),
            Content::Mapping(entries) => {
                entries.iter().find(|entry| entry.key == token).map(|entry| (&entry.value, Some(&entry.key_range)))
            }
            Content::Scalar { .. } | Content::Shared(_) => None,
        }
    }
}

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub kind: ProblemKind,
    /// Bytes of the text.
    pub range: Range<usize>,
    /// Where the quote stands that is not closed, lines above what the parser notices.
    pub open_quote: Option<usize>,
}

/// What can be wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemKind {
    /// It says nothing.
    Empty,
    /// It has more than one document.
    SeveralDocuments,
    /// It has a tag other than `!!str`.
    Tag(String),
    /// A key is given again.
    DuplicateKey {
        /// Which.
        key: String,
        /// Where it was given first, in bytes.
        first: usize,
    },
    /// An alias is a key.
    AliasAsKey,
    /// A list or a mapping is a key.
    CollectionAsKey,
    /// An alias stands in what it stands for.
    CircularAlias,
    /// An alias has no anchor.
    UnknownAlias,
    /// It is nested too deep.
    TooDeep,
    /// It has too many values.
    TooLarge,
    /// It is indented with a tab.
    Tab,
    /// It is no YAML; the parser's words.
    Syntax(String),
}

impl Problem {
    fn new(kind: ProblemKind, range: Range<usize>) -> Self {
        Self { kind, range, open_quote: None }
    }

    /// One line that says it; `what` is the kind of file.
    pub fn headline(&self, what: &str) -> String {
        match &self.kind {
            ProblemKind::Empty => format!("{what} is empty"),
            ProblemKind::SeveralDocuments => format!("{what} has more than one document"),
            ProblemKind::Tag(tag) => format!("tag `{tag}` is not understood"),
            ProblemKind::DuplicateKey { key, .. } => format!("key `{key}` is given twice"),
            ProblemKind::AliasAsKey => "a key must be a plain text, not an alias".to_owned(),
            ProblemKind::CollectionAsKey => "a key must be a plain text, not a list or a mapping".to_owned(),
            ProblemKind::CircularAlias => "an alias stands inside of what it stands for".to_owned(),
            ProblemKind::UnknownAlias => "an alias has no anchor before it".to_owned(),
            ProblemKind::TooDeep => format!("lists and mappings are nested more than {DEPTH} deep"),
            ProblemKind::TooLarge => format!("{what} has more than {NODES} values"),
            ProblemKind::Tab => "a tab cannot indent YAML".to_owned(),
            ProblemKind::Syntax(words) => format!("{what} is no valid YAML: {words}"),
        }
    }

    /// What stands beside the caret; may be empty.
    pub fn label(&self) -> &'static str {
        match self.kind {
            ProblemKind::SeveralDocuments => "the second one begins here",
            ProblemKind::Tab => "a tab",
            _ => "",
        }
    }

    /// What to do about it, if there is anything to say.
    pub fn help(&self, what: &str) -> Option<String> {
        match self.kind {
            ProblemKind::SeveralDocuments => Some(format!("one file, one {what}: move it to a file of its own")),
            ProblemKind::Tag(_) => Some("leave it out, or quote the text".to_owned()),
            ProblemKind::CollectionAsKey => Some("a text that begins with `{` or `[` must be quoted".to_owned()),
            ProblemKind::UnknownAlias => Some("a text that begins with `*` must be quoted".to_owned()),
            ProblemKind::Tab => Some("indent with spaces, two a level".to_owned()),
            _ => None,
        }
    }
}

/// A collection that is still open.
struct Open {
    start: usize,
    anchor: usize,
    content: Content,
    key: Option<(String, Range<usize>)>,
    /// Where each key of a mapping was given.
    keys: BTreeMap<String, usize>,
}

/// Builds the tree.
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Arc<Node>>,
    root: Option<Node>,
    /// End of the last token that was not white space; a block collection ends there.
    end: usize,
    nodes: usize,
    problems: Vec<Problem>,
}

/// Reads the one document of a text.
pub fn read(text: &str) -> Result<Node, Vec<Problem>> {
    let mut builder =
        Builder { open: Vec::new(), anchors: BTreeMap::new(), root: None, end: 0, nodes: 0, problems: Vec::new() };
    for event in Parser::new_from_str_with_options(text, options()) {
        let taken = match event {
            Ok((event, span)) => {
                let range = clamp(text, span.byte_range().unwrap_or(builder.end..builder.end));
                builder.take(event, range)
            }
            Err(error) => Err(from_scan_error(text, &error, builder.end)),
        };
        if let Err(problem) = taken {
            builder.problems.push(problem);
            return Err(builder.problems);
        }
    }
    match builder.root {
        _ if !builder.problems.is_empty() => Err(builder.problems),
        Some(root) if !is_empty(&root) => Ok(root),
        _ => Err(vec![Problem::new(ProblemKind::Empty, 0..0)]),
    }
}

/// Where a text ceases to be YAML.
pub fn first_error(text: &str) -> Option<usize> {
    let error = Parser::new_from_str_with_options(text, options()).find_map(Result::err)?;
    Some(clamp(text, error.marker().byte_offset().unwrap_or(0)..text.len()).start)
}

fn options() -> Options {
    let mut options = Options::default();
    options.flow_nesting_limit = DEPTH + 1;
    options.block_nesting_limit = DEPTH + 1;
    options.set_emit_comments(false);
    options
}

fn is_empty(node: &Node) -> bool {
    matches!(node.content(), Content::Scalar { text, plain: true } if text.is_empty() || text == "~" || text == "null")
}

impl Builder {
    fn take(&mut self, event: Event<'_>, range: Range<usize>) -> Result<(), Problem> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => Err(Problem::new(ProblemKind::SeveralDocuments, range)),
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = match tag {
                    Some(tag) if tag.core_suffix() == Some("str") => true,
                    Some(tag) => return Err(tagged(&format!("{}{}", tag.original_handle(), tag.suffix()), range)),
                    None => false,
                };
                if let Some(Open { content: Content::Mapping(_), key: key @ None, keys, .. }) = self.open.last_mut() {
                    if let Some(first) = keys.insert(text.clone().into_owned(), range.start) {
                        let kind = ProblemKind::DuplicateKey { key: text.clone().into_owned(), first };
                        self.problems.push(Problem::new(kind, range.clone()));
                    }
                    self.end = range.end;
                    *key = Some((text.into_owned(), range));
                    return Ok(());
                }
                let plain = style == ScalarStyle::Plain && !is_text;
                // The parser calls nothing at all `~`, which would puzzle whoever wrote nothing.
                let text = if range.is_empty() { String::new() } else { text.into_owned() };
                let node = Node { range, content: Content::Scalar { text, plain } };
                self.end = self.end.max(node.range.end);
                self.close(node, anchor)
            }
            Event::Alias(anchor) => {
                if matches!(self.open.last(), Some(Open { content: Content::Mapping(_), key: None, .. })) {
                    return Err(Problem::new(ProblemKind::AliasAsKey, range));
                }
                let Some(target) = self.anchors.get(&anchor) else {
                    return Err(Problem::new(ProblemKind::CircularAlias, range));
                };
                self.end = range.end;
                let node = Node { range, content: Content::Shared(Arc::clone(target)) };
                self.close(node, 0)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(range, anchor, tag.map(|tag| tag.suffix().to_owned()), Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.open(range, anchor, tag.map(|tag| tag.suffix().to_owned()), Content::Mapping(Vec::new()))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                // A flow collection ends with its bracket, a block collection with the last thing in it.
                self.end = if range.is_empty() { self.end } else { self.end.max(range.end) };
                let node = Node { range: open.start..self.end.max(open.start), content: open.content };
                self.close(node, open.anchor)
            }
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        range: Range<usize>,
        anchor: usize,
        tag: Option<String>,
        content: Content,
    ) -> Result<(), Problem> {
        if let Some(tag) = tag {
            return Err(tagged(&tag, range));
        }
        if matches!(self.open.last(), Some(Open { content: Content::Mapping(_), key: None, .. })) {
            return Err(Problem::new(ProblemKind::CollectionAsKey, range));
        }
        if self.open.len() >= DEPTH {
            return Err(Problem::new(ProblemKind::TooDeep, range));
        }
        self.open.push(Open { start: range.start, anchor, content, key: None, keys: BTreeMap::new() });
        Ok(())
    }

    fn close(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes > NODES {
            return Err(Problem::new(ProblemKind::TooLarge, node.range));
        }
        let node = if anchor == 0 {
            node
        } else {
            let range = node.range.clone();
            let shared = Arc::new(node);
            self.anchors.insert(anchor, Arc::clone(&shared));
            Node { range, content: Content::Shared(shared) }
        };
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { content: Content::List(items), .. }) => items.push(node),
            Some(Open { content: Content::Mapping(entries), key, .. }) => {
                if let Some((key, key_range)) = key.take() {
                    entries.push(Entry { key, key_range, value: node });
                }
            }
            Some(_) => {}
        }
        Ok(())
    }
}

fn tagged(tag: &str, range: Range<usize>) -> Problem {
    Problem::new(ProblemKind::Tag(tag.to_owned()), range)
}

/// Puts a range on character boundaries of the text.
fn clamp(text: &str, range: Range<usize>) -> Range<usize> {
    let mut start = range.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = range.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    start..end
}

/// What the parser says; `read` is the end of what it could read.
fn from_scan_error(text: &str, error: &ScanError, read: usize) -> Problem {
    let at = error.marker().byte_offset().unwrap_or(0);
    let range = clamp(text, at..at + 1);
    let words = error.info();
    if words.contains("nesting") || words.contains("recursion") {
        return Problem::new(ProblemKind::TooDeep, range);
    }
    let line_start = text[..range.start].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let indentation = &line[..line.len() - line.trim_start().len()];
    // The scanner stops where the token before the tab ends.
    let tab = match indentation.find('\t') {
        Some(tab) => Some(line_start + tab),
        None if words.contains("tab") => text[range.start..].find('\t').map(|tab| range.start + tab),
        None => None,
    };
    if let Some(at) = tab {
        return Problem::new(ProblemKind::Tab, at..at + 1);
    }
    if words.contains("unknown anchor") {
        return Problem::new(ProblemKind::UnknownAlias, range);
    }
    let is_in_quotes = words.contains("multiline quoted scalar");
    let open_quote = if is_in_quotes { open_quote(text, read, range.start) } else { None };
    Problem { open_quote, ..Problem::new(ProblemKind::Syntax(words.to_owned()), range) }
}

/// The first quote between two places that none closes before the second one.
fn open_quote(text: &str, from: usize, to: usize) -> Option<usize> {
    let mut open: Option<(usize, char)> = None;
    let mut characters = text.get(from..to)?.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match open {
            None if matches!(character, '"' | '\'') => open = Some((from + at, character)),
            Some((_, '"')) if character == '\\' => drop(characters.next()),
            // A quote within single quotes is written twice.
            Some((_, '\'')) if character == '\'' && characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                characters.next();
            }
            Some((_, quote)) if character == quote => open = None,
            _ => {}
        }
    }
    open.map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_that_is_not_closed_is_found_where_it_opens() {
        for (before, quote, after) in
            [("a:\n  b: 'it''s'\n  c: ", "'", "etc.''\n  d: e\n"), ("a:\n  b: \"x\\\"\"\n  c: ", "\"", "x\n  d: e\n")]
        {
            let text = format!("{before}{quote}{after}");
            let opens = read(&text).map_err(|problems| problems[0].open_quote);
            assert_eq!(opens.err(), Some(Some(before.len())), "{text}");
        }
    }
}

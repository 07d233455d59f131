//! What is wrong at a place of a file, before the file is known: a diagnostic in the making, and serde's error.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de;

use super::suggest::suggestion;
use crate::diagnostic::{Diagnostic, Place, Severity, Source};
use crate::yaml::{Problem, ProblemKind};

/// Steps that other languages have, and this one has not.
const PAUSES: [&str; 8] = ["sleep", "sleep_ms", "wait", "wait_for", "pause", "delay", "timeout", "after"];
/// What there is instead.
const WAITS: &str =
    "wait for what happens, `expect: {…, within: 2s}`, or let nothing happen, `expect_none: {…, for: 2s}`";

/// Something wrong in a file; boxed, because it travels in many a `Result`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault(Box<Body>);

/// What a fault is, where somebody has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// A key that need not be there.
    UnknownKey,
    /// The text is no YAML.
    Syntax,
    /// To look for more would be a waste.
    Fatal,
    /// None of these.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Body {
    id: &'static str,
    nature: Nature,
    headline: String,
    /// Absent while a deserializer has not yet said where it stands.
    range: Option<Range<usize>>,
    label: String,
    evidence: Vec<String>,
    help: Option<String>,
    also: Option<(usize, &'static str)>,
    /// What belongs under the key instead.
    instead: Option<String>,
    /// What might have stood there, of an unknown variant.
    unknown: Option<(String, &'static [&'static str])>,
}

impl Fault {
    /// Something wrong at a place.
    pub fn new(id: &'static str, headline: impl Into<String>, range: Range<usize>) -> Self {
        Self::nowhere(id, headline).at(&range)
    }

    fn nowhere(id: &'static str, headline: impl Into<String>) -> Self {
        Self(Box::new(Body {
            id,
            nature: Nature::Other,
            headline: headline.into(),
            range: None,
            label: String::new(),
            evidence: Vec::new(),
            help: None,
            also: None,
            instead: None,
            unknown: None,
        }))
    }

    /// Words beside the caret.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.0.label = label.into();
        self
    }

    /// A line of evidence.
    pub fn evidence(mut self, line: impl Into<String>) -> Self {
        self.0.evidence.push(line.into());
        self
    }

    /// What to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// A value that is meant; the help once the key is known.
    pub fn instead(mut self, value: Option<String>) -> Self {
        self.0.instead = value;
        self
    }

    /// The key whose value is wrong.
    pub fn under(mut self, key: &str) -> Self {
        if let Some(value) = self.0.instead.take() {
            self.0.help = Some(format!("{key}: {value}"));
        }
        self
    }

    /// A number is quoted as it is written, not as it is read.
    pub fn quoting(mut self, number: &str, written: &str) -> Self {
        let opening = format!("`{number}");
        let mut headline = String::new();
        let mut rest = self.0.headline.as_str();
        while let Some(at) = rest.find(&opening) {
            let (before, after) = (&rest[..=at], &rest[at + opening.len()..]);
            let is_it = !after.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            headline.push_str(before);
            headline.push_str(if is_it { written } else { number });
            rest = after;
        }
        self.0.headline = headline + rest;
        self
    }

    /// Another line of the file that has to do with it.
    pub fn also_at(mut self, byte: usize, what: &'static str) -> Self {
        self.0.also = Some((byte, what));
        self
    }

    /// To look for more would be a waste.
    pub fn fatal(self) -> Self {
        self.of_nature(Nature::Fatal)
    }

    fn of_nature(mut self, nature: Nature) -> Self {
        self.0.nature = nature;
        self
    }

    /// Whether a key is at fault that need not be there.
    pub fn is_about_key(&self) -> bool {
        self.0.nature == Nature::UnknownKey
    }

    /// Whether to look for more would be a waste.
    pub fn is_fatal(&self) -> bool {
        self.0.nature == Nature::Fatal
    }

    /// Whether the text is no YAML.
    pub fn is_about_syntax(&self) -> bool {
        self.0.nature == Nature::Syntax
    }

    /// Where it is.
    pub fn range(&self) -> Option<&Range<usize>> {
        self.0.range.as_ref()
    }

    /// Says where, unless that is known already: the innermost place counts.
    pub fn at(mut self, range: &Range<usize>) -> Self {
        if self.0.range.is_none() {
            self.0.range = Some(range.clone());
        }
        self
    }

    /// Whether this is about an unknown variant whose kind of thing has no name yet.
    pub fn named(mut self, enumeration: &str) -> Self {
        if let Some((word, known)) = self.0.unknown.take() {
            let (id, one, several) = match enumeration {
                "Step" => ("scenario/unknown-step", "step", "steps"),
                "Side" => ("scenario/unknown-value", "side", "sides"),
                "MessageKind" => ("scenario/unknown-value", "message", "messages"),
                "TokenValidationStatus" => ("scenario/unknown-value", "status", "statuses"),
                "AuthorizationStatus" => ("scenario/unknown-value", "verdict", "verdicts"),
                "IdTokenType" => ("scenario/unknown-value", "token type", "token types"),
                "AuthorizationType" => ("scenario/unknown-value", "authorization type", "authorization types"),
                "Release" => ("scenario/unknown-value", "release", "releases"),
                "SelectionAlgorithm" => ("scenario/unknown-value", "selection algorithm", "selection algorithms"),
                "Wire" => ("scenario/unknown-value", "wire form", "wire forms"),
                _ => ("scenario/unknown-value", "value", "values"),
            };
            self.0.id = id;
            self.0.headline = format!("unknown {one} `{word}`");
            if enumeration == "Step" && PAUSES.contains(&word.to_lowercase().as_str()) {
                self.0.label = "there are no sleeps".to_owned();
                self.0.help = Some(WAITS.to_owned());
            } else {
                self.0.evidence.push(format!("{several}: {}", known.join(", ")));
            }
        }
        self
    }

    /// Whether this is about a key that is none of a set: says which there are.
    pub fn of_keys(mut self) -> Self {
        if let Some((_, known)) = self.0.unknown.take() {
            self.0.evidence.push(format!("known: {}", known.join(", ")));
        }
        self
    }

    /// The diagnostic, in a file.
    pub fn into_diagnostic(self, source: &Arc<Source>) -> Diagnostic {
        let range = self.0.range.unwrap_or(0..0);
        let place = Place { source: Arc::clone(source), range, label: self.0.label };
        let mut diagnostic = Diagnostic::new(Severity::Error, self.0.id, self.0.headline).at(place);
        if let Some((byte, what)) = self.0.also {
            let line = Place { source: Arc::clone(source), range: byte..byte, label: String::new() }.line();
            diagnostic = diagnostic.with_evidence(format!("{what} in line {line}"));
        }
        diagnostic.evidence.extend(self.0.evidence);
        diagnostic.help = self.0.help;
        diagnostic
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        let id = match &problem.kind {
            ProblemKind::Empty => "scenario/empty",
            ProblemKind::SeveralDocuments => "scenario/several-documents",
            ProblemKind::Tag(_) => "scenario/tag",
            ProblemKind::DuplicateKey { .. } => "scenario/duplicate-key",
            ProblemKind::AliasAsKey | ProblemKind::CollectionAsKey => "scenario/odd-key",
            ProblemKind::CircularAlias | ProblemKind::UnknownAlias => "scenario/alias",
            ProblemKind::TooDeep => "scenario/too-deep",
            ProblemKind::TooLarge => "scenario/too-large",
            ProblemKind::Tab => "scenario/tab",
            ProblemKind::Syntax(_) => "scenario/syntax",
        };
        let mut fault = Self::new(id, problem.headline("scenario"), problem.range.clone()).label(problem.label());
        fault.0.help = problem.help("scenario");
        match problem.kind {
            ProblemKind::Empty => fault.help("start with `description:`, `under_test:` and `steps:`"),
            ProblemKind::DuplicateKey { first, .. } => fault.also_at(first, "first given"),
            ProblemKind::TooLarge => fault.fatal(),
            ProblemKind::Syntax(_) => fault.of_nature(Nature::Syntax),
            _ => fault,
        }
    }
}

/// Ends a label with a question, if a known word is near.
fn did_you_mean(word: &str, known: &[&str]) -> String {
    suggestion(word, known.iter().copied()).map(|known| format!("did you mean `{known}`?")).unwrap_or_default()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.headline)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::nowhere("scenario/bad-value", message.to_string())
    }

    fn invalid_type(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::nowhere("scenario/wrong-type", format!("expected {}, found {}", in_words(expected), found(&unexpected)))
    }

    fn invalid_value(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::nowhere(
            "scenario/bad-value",
            format!("{} is out of range: expected {}", found(&unexpected), in_words(expected)),
        )
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let mut fault = Self::nowhere("scenario/unknown-value", format!("unknown value `{variant}`"))
            .label(did_you_mean(variant, expected));
        fault.0.unknown = Some((variant.to_owned(), expected));
        fault
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::nowhere("scenario/unknown-field", format!("unknown field `{field}`"))
            .of_nature(Nature::UnknownKey)
            .label(did_you_mean(field, expected))
            .evidence(format!("fields: {}", if expected.is_empty() { "none".to_owned() } else { expected.join(", ") }))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::nowhere("scenario/missing-field", format!("field `{field}` is missing"))
    }
}

/// What was expected, in the words of somebody who writes YAML, not Rust.
fn in_words(expected: &dyn de::Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "a string" | "string" => "a text".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        "u8" | "u16" => "a small whole number".to_owned(),
        "i32" | "i64" => "a whole number".to_owned(),
        "u32" | "u64" => "a whole number from 0".to_owned(),
        _ if text.starts_with("struct ") => "a mapping".to_owned(),
        _ => text,
    }
}

fn found(unexpected: &de::Unexpected<'_>) -> String {
    match unexpected {
        de::Unexpected::Bool(value) => format!("`{value}`"),
        de::Unexpected::Unsigned(value) => format!("the number `{value}`"),
        de::Unexpected::Signed(value) => format!("the number `{value}`"),
        de::Unexpected::Float(value) => format!("the number `{value}`"),
        de::Unexpected::Str(value) => format!("the text `{value}`"),
        de::Unexpected::Unit | de::Unexpected::Option => "nothing".to_owned(),
        de::Unexpected::Seq => "a list".to_owned(),
        de::Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

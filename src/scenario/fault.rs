//! What is wrong at a place of a file, before the file is known: a diagnostic in the making, and serde's error.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de;

use super::suggest::suggestion;
use crate::diagnostic::{Diagnostic, Place, Severity, Source};

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    id: &'static str,
    headline: String,
    /// Absent while a deserializer has not yet said where it stands.
    range: Option<Range<usize>>,
    label: String,
    evidence: Vec<String>,
    help: Option<String>,
    also: Option<(usize, &'static str)>,
    /// What might have stood there, of an unknown variant.
    unknown: Option<(String, &'static [&'static str])>,
}

impl Fault {
    /// Something wrong at a place.
    pub fn new(id: &'static str, headline: impl Into<String>, range: Range<usize>) -> Self {
        Self { range: Some(range), ..Self::nowhere(id, headline) }
    }

    fn nowhere(id: &'static str, headline: impl Into<String>) -> Self {
        Self {
            id,
            headline: headline.into(),
            range: None,
            label: String::new(),
            evidence: Vec::new(),
            help: None,
            also: None,
            unknown: None,
        }
    }

    /// Words beside the caret.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// A line of evidence.
    pub fn evidence(mut self, line: impl Into<String>) -> Self {
        self.evidence.push(line.into());
        self
    }

    /// What to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Another line of the file that has to do with it.
    pub fn also_at(mut self, byte: usize, what: &'static str) -> Self {
        self.also = Some((byte, what));
        self
    }

    /// Whether a key is at fault that need not be there.
    pub fn is_about_key(&self) -> bool {
        self.id == "scenario/unknown-field"
    }

    /// Where it is.
    pub fn range(&self) -> Option<&Range<usize>> {
        self.range.as_ref()
    }

    /// Says where, unless that is known already: the innermost place counts.
    pub fn at(mut self, range: &Range<usize>) -> Self {
        if self.range.is_none() {
            self.range = Some(range.clone());
        }
        self
    }

    /// Whether this is about an unknown variant whose kind of thing has no name yet.
    pub fn named(mut self, enumeration: &str) -> Self {
        if let Some((word, known)) = self.unknown.take() {
            let (id, one, several) = match enumeration {
                "Step" => ("scenario/unknown-step", "step", "steps"),
                "Side" => ("scenario/unknown-value", "side", "sides"),
                "MessageKind" => ("scenario/unknown-value", "message", "messages"),
                "TokenValidationStatus" => ("scenario/unknown-value", "status", "statuses"),
                "AuthorizationStatus" => ("scenario/unknown-value", "verdict", "verdicts"),
                "IdTokenType" => ("scenario/unknown-value", "token type", "token types"),
                "AuthorizationType" => ("scenario/unknown-value", "authorization type", "authorization types"),
                "SelectionAlgorithm" => ("scenario/unknown-value", "selection algorithm", "selection algorithms"),
                _ => ("scenario/unknown-value", "value", "values"),
            };
            self.id = id;
            self.headline = format!("unknown {one} `{word}`");
            self.evidence.push(format!("{several}: {}", known.join(", ")));
        }
        self
    }

    /// The diagnostic, in a file.
    pub fn into_diagnostic(self, source: &Arc<Source>) -> Diagnostic {
        let range = self.range.unwrap_or(0..0);
        let place = Place { source: Arc::clone(source), range, label: self.label };
        let mut diagnostic = Diagnostic::new(Severity::Error, self.id, self.headline).at(place);
        if let Some((byte, what)) = self.also {
            let line = Place { source: Arc::clone(source), range: byte..byte, label: String::new() }.line();
            diagnostic = diagnostic.with_evidence(format!("{what} in line {line}"));
        }
        diagnostic.evidence.extend(self.evidence);
        diagnostic.help = self.help;
        diagnostic
    }
}

/// Ends a label with a question, if a known word is near.
fn did_you_mean(word: &str, known: &[&str]) -> String {
    suggestion(word, known.iter().copied()).map(|known| format!("did you mean `{known}`?")).unwrap_or_default()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline)
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
        Self {
            unknown: Some((variant.to_owned(), expected)),
            label: did_you_mean(variant, expected),
            ..Self::nowhere("scenario/unknown-value", format!("unknown value `{variant}`"))
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::nowhere("scenario/unknown-field", format!("unknown field `{field}`"))
            .label(did_you_mean(field, expected))
            .evidence(format!("fields: {}", expected.join(", ")))
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

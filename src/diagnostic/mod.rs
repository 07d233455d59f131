//! One shape for every message that tells somebody what went wrong.
//!
//! A diagnostic names the culprit first, then the place, then the evidence, then at most one thing to do. It is data
//! until [`Diagnostic::render`] turns it into text; printing is the business of [`crate::cli`].

pub mod catalogue;
mod excerpt;
mod render;
pub mod words;

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use excerpt::Line;
pub use render::{Screen, Style, printable, wrapped};

/// How grave a diagnostic is; its word opens the rendered message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something worth knowing that changes no verdict.
    Note,
    /// Something suspicious that changes no verdict.
    Warning,
    /// The module was never judged.
    Inconclusive,
    /// The module under test did wrong.
    Fail,
    /// The scenario, the command line or the harness is at fault.
    Error,
}

impl Severity {
    /// The word that opens a rendered message.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Inconclusive => "inconclusive",
            Severity::Fail => "fail",
            Severity::Error => "error",
        }
    }
}

/// What a diagnostic is about, for whoever has more to say of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// None of the following.
    #[default]
    Other,
    /// What a step expects.
    Expectation,
    /// A requirement that is watched in every scenario.
    Requirement,
    /// That the module under test has ended, which may have to do with what it was handed last.
    ModuleEnd,
    /// That the module did not become ready, so that nothing of the scenario was judged.
    NotReady,
    /// How else it stands with the module: it does not listen, cannot be told.
    Module,
    /// Khumbu's own side, which broke down.
    Harness,
    /// A golden that was not compared.
    GoldenNotCompared,
    /// What a list of known failures says of a failure.
    Excuse,
    /// That a scenario is flaky.
    Flaky,
}

impl Subject {
    /// Whether it is the module itself, and not what it says.
    pub fn is_module(self) -> bool {
        matches!(self, Subject::Module | Subject::ModuleEnd | Subject::NotReady)
    }
}

/// A file that diagnostics point into.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The path as the user wrote it.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// A byte range in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub source: Arc<Source>,
    /// Bytes of `source.text`; never outside it, always on character boundaries.
    pub range: Range<usize>,
    /// What stands beside the caret; may be empty.
    pub label: String,
}

impl Place {
    /// The line of the first byte, counted from 1.
    pub fn line(&self) -> usize {
        let start = self.range.start.min(self.source.text.len());
        self.source.text.as_bytes()[..start].iter().filter(|b| **b == b'\n').count() + 1
    }
}

/// One message: what is wrong, where, by what evidence, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How grave it is.
    pub severity: Severity,
    /// Stable kebab-case id `area/id`, also the type in JUnit and the anchor in the documentation.
    pub id: &'static str,
    /// One line, lowercase, no full stop, real values in backticks.
    pub headline: String,
    /// Where; scenario lines are preferred over anything else.
    pub place: Option<Place>,
    /// `= …` lines, each a fact that was observed.
    pub evidence: Vec<String>,
    /// One thing that can be done or pasted.
    pub help: Option<String>,
    /// The requirement that was broken, for example `RR-1`.
    pub requirement: Option<&'static str>,
    /// What it is about.
    pub subject: Subject,
    /// Whether a side did something else than a scenario expects: the whole record may have a reason for that.
    pub is_otherwise: bool,
    /// Whether something was not put to the test at all, and so nothing is held against the module; `help` says what would
    /// do that.
    pub is_unexercised: bool,
    /// The number of the record at which it was found; the last one if absent.
    pub at_record: Option<u64>,
    /// The number of the record of the message that stands in the place of an expected one: whatever is wrong with that
    /// is what is wrong here.
    pub instead: Option<u64>,
    /// The requirement by which the module owes what did not come, whatever the scenario is about.
    pub owed_by: Option<&'static str>,
    /// The requirements that a module may have broken which has ended, or does not do what it owes: first what the scenario is
    /// about, then the likeliest.
    pub suspects: Vec<&'static str>,
    /// How grave it was, and which requirement it broke, before more than its own scenario was asked, where that changed it.
    pub at_first: Option<(Severity, Option<&'static str>)>,
}

impl Diagnostic {
    /// A diagnostic with nothing but its headline.
    pub fn new(severity: Severity, id: &'static str, headline: impl Into<String>) -> Self {
        Self {
            severity,
            id,
            headline: headline.into(),
            place: None,
            evidence: Vec::new(),
            help: None,
            requirement: None,
            subject: Subject::Other,
            is_otherwise: false,
            is_unexercised: false,
            at_record: None,
            instead: None,
            owed_by: None,
            suspects: Vec::new(),
            at_first: None,
        }
    }

    /// Says how grave it is and which requirement it breaks, now that more than its own scenario was asked; what it was is
    /// kept.
    pub fn revise(&mut self, severity: Severity, requirement: Option<&'static str>) {
        let was = *self.at_first.get_or_insert((self.severity, self.requirement));
        (self.severity, self.requirement) = (severity, requirement);
        self.at_first = Some(was).filter(|was| *was != (severity, requirement));
    }

    /// The harness itself is at fault.
    pub fn broken(why: &str) -> Self {
        Self::new(Severity::Error, "harness/broken", format!("khumbu's own side broke down: {why}"))
            .about(Subject::Harness)
    }

    /// The harness itself is at fault, and what it did was lost.
    pub fn panicked(why: &str) -> Self {
        Self::new(Severity::Error, "harness/panic", format!("khumbu itself panicked: {why}"))
            .with_help("this is a fault of khumbu; please report it with the scenario")
    }

    /// Points at a place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Adds one line of evidence.
    #[must_use]
    pub fn with_evidence(mut self, line: impl Into<String>) -> Self {
        self.evidence.push(line.into());
        self
    }

    /// Adds lines of evidence.
    #[must_use]
    pub fn with_lines(mut self, lines: Vec<String>) -> Self {
        self.evidence.extend(lines);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what it is about.
    #[must_use]
    pub fn about(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    /// A side did something else than a scenario expects.
    #[must_use]
    pub fn otherwise(mut self) -> Self {
        self.is_otherwise = true;
        self
    }

    /// Nothing was put to the test; this would do that.
    #[must_use]
    pub fn unexercised(mut self, what_would: impl Into<String>) -> Self {
        self.is_unexercised = true;
        self.with_help(what_would)
    }

    /// Names the requirement that was broken.
    #[must_use]
    pub fn breaking(mut self, requirement: &'static str) -> Self {
        self.requirement = Some(requirement);
        self
    }

    /// Names the message that stands in the place of the expected one, if there is one.
    #[must_use]
    pub fn instead_of(mut self, seq: impl Into<Option<u64>>) -> Self {
        self.instead = seq.into();
        self
    }
}

//! A result as data: what reports for machines write of it, and read again.
//!
//! One description for both ways, so that `khumbu merge` has what the run had. What comes from a file is taken for what
//! it says, but nothing of it can break an invariant: words are short and safe to print, requirements are there, and places
//! lie in their files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::conformance::requirements;
use crate::diagnostic::{Diagnostic, Place, Severity, Source, Subject};
use crate::protocol::release::{FORECAST, Release};
use crate::verdict::{Again, Evidence, Passed, ScenarioResult, Verdict};

/// The texts of files that findings point into, by path.
pub type Sources = BTreeMap<String, String>;

/// No name that khumbu gives to anything is longer, in bytes.
const LONGEST_WORD: usize = 100;

/// A name that khumbu gives: of a finding, or of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Word(pub &'static str);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Few different ones are ever read, and none more than once is kept.
        static KEPT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
        let text = String::deserialize(deserializer)?;
        if text.len() > LONGEST_WORD || !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(D::Error::custom("this is no name that khumbu gives"));
        }
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let word = kept.get(text.as_str()).copied().unwrap_or_else(|| text.leak());
        kept.insert(word);
        Ok(Word(word))
    }
}

/// The id of a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Id(pub &'static str);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        let found = requirements::find(&id);
        found.map(|it| Self(it.id)).ok_or_else(|| D::Error::custom(format!("there is no requirement `{id}`")))
    }
}

/// A scenario that was played.
#[derive(Debug, Serialize, Deserialize)]
pub struct Scenario {
    path: String,
    description: String,
    /// What was laid over it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    faults: Vec<String>,
    release: Release,
    /// What makes it none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forecast: Option<String>,
    verdict: Verdict,
    duration_ms: u64,
    requirements: Vec<String>,
    evidence: Proof,
    occasions: BTreeMap<Id, usize>,
    /// What the module could have broken by ending, and has not.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    survived: BTreeSet<Id>,
    #[serde(default)]
    acknowledges: bool,
    failures: Vec<Finding>,
    notes: Vec<Finding>,
    output: Vec<String>,
    last_lines: usize,
    messages: Vec<Message>,
    messages_in_all: usize,
    /// How it went in all plays, where it was played again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    again: Option<Again>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    other_plays: Vec<Scenario>,
}

/// How many messages of which name.
#[derive(Debug, Serialize, Deserialize)]
struct Proof {
    shown: BTreeMap<Word, usize>,
    not_shown: BTreeMap<Word, usize>,
    did: BTreeMap<Word, usize>,
    /// What injected faults befell, where there are any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    injected: BTreeMap<String, usize>,
}

/// A finding.
#[derive(Debug, Serialize, Deserialize)]
pub struct Finding {
    id: Word,
    severity: Severity,
    message: String,
    file: Option<String>,
    line: Option<usize>,
    /// Where in the text of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    span: Option<Span>,
    requirement: Option<Id>,
    /// By which the module owes what did not come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owed_by: Option<Id>,
    /// What it may have broken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    suspects: Vec<Id>,
    /// What it was before more than its own scenario was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_first: Option<AtFirst>,
    /// Nothing was put to the test; `help` says what would do that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    not_exercised: bool,
    subject: Subject,
    evidence: Vec<String>,
    help: Option<String>,
    /// The number of the message at which it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_message: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AtFirst {
    severity: Severity,
    requirement: Option<Id>,
}

/// Bytes of a text, and what stands beside their caret.
#[derive(Debug, Serialize, Deserialize)]
struct Span {
    start: usize,
    end: usize,
    label: String,
}

/// A message that passed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Message {
    number: u64,
    at_ms: u64,
    from: Sender,
    name: Word,
    topic: String,
    payload: String,
    qos: u8,
    retain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sender {
    Module,
    Khumbu,
}

impl From<&ScenarioResult> for Scenario {
    fn from(result: &ScenarioResult) -> Self {
        let (failures, notes) =
            result.findings.iter().partition::<Vec<_>, _>(|found| found.severity > Severity::Warning);
        let findings = |list: Vec<&Diagnostic>| list.into_iter().map(Finding::from).collect();
        let words =
            |list: &BTreeMap<&'static str, usize>| list.iter().map(|(word, count)| (Word(word), *count)).collect();
        Self {
            path: result.path.clone(),
            description: result.description.clone(),
            faults: result.faults.clone(),
            release: result.release,
            forecast: result.release.is_forecast().then(|| FORECAST.to_owned()),
            verdict: result.verdict,
            duration_ms: millis(result.duration),
            requirements: result.requirements.clone(),
            evidence: Proof {
                shown: words(&result.evidence.shown),
                not_shown: words(&result.evidence.not_shown),
                did: words(&result.evidence.did),
                injected: result.evidence.injected.clone(),
            },
            occasions: result.occasions.iter().map(|(id, count)| (Id(id), *count)).collect(),
            survived: result.survived.iter().copied().map(Id).collect(),
            acknowledges: result.acknowledges,
            failures: findings(failures),
            notes: findings(notes),
            output: result.output.clone(),
            last_lines: result.last_lines,
            messages: result.messages.iter().map(Message::from).collect(),
            messages_in_all: result.messages_in_all,
            again: result.again,
            other_plays: result.other_plays.iter().map(|play| Self::from(play.as_ref())).collect(),
        }
    }
}

impl From<&Diagnostic> for Finding {
    fn from(found: &Diagnostic) -> Self {
        let span = |place: &Place| Span { start: place.range.start, end: place.range.end, label: place.label.clone() };
        Self {
            id: Word(found.id),
            severity: found.severity,
            message: found.headline.clone(),
            file: found.place.as_ref().map(|place| place.source.path.clone()),
            line: found.place.as_ref().map(Place::line),
            span: found.place.as_ref().map(span),
            requirement: found.requirement.map(Id),
            owed_by: found.owed_by.map(Id),
            suspects: found.suspects.iter().copied().map(Id).collect(),
            at_first: found
                .at_first
                .map(|(severity, requirement)| AtFirst { severity, requirement: requirement.map(Id) }),
            not_exercised: found.is_unexercised,
            subject: found.subject,
            evidence: found.evidence.clone(),
            help: found.help.clone(),
            at_message: found.at_record,
        }
    }
}

impl From<&Passed> for Message {
    fn from(passed: &Passed) -> Self {
        Self {
            number: passed.seq,
            at_ms: millis(passed.at),
            from: if passed.is_by_module { Sender::Module } else { Sender::Khumbu },
            name: Word(passed.name),
            topic: passed.topic.clone(),
            payload: passed.payload.clone(),
            qos: passed.qos,
            retain: passed.retain,
        }
    }
}

impl Scenario {
    /// The result that was written, with places in these files.
    ///
    /// # Errors
    /// Which place lies in none of them.
    pub fn result(self, sources: &BTreeMap<String, Arc<Source>>) -> Result<ScenarioResult, String> {
        fn words(list: BTreeMap<Word, usize>) -> BTreeMap<&'static str, usize> {
            list.into_iter().map(|(word, count)| (word.0, count)).collect()
        }
        let findings = self.failures.into_iter().chain(self.notes).map(|finding| finding.diagnostic(sources));
        let other_plays = self.other_plays.into_iter().map(|play| play.result(sources).map(Arc::new));
        Ok(ScenarioResult {
            path: self.path,
            description: self.description,
            faults: self.faults,
            release: self.release,
            verdict: self.verdict,
            duration: Duration::from_millis(self.duration_ms),
            requirements: self.requirements,
            findings: findings.collect::<Result<_, _>>()?,
            output: self.output,
            last_lines: self.last_lines,
            evidence: Evidence {
                shown: words(self.evidence.shown),
                not_shown: words(self.evidence.not_shown),
                did: words(self.evidence.did),
                injected: self.evidence.injected,
            },
            occasions: self.occasions.into_iter().map(|(id, count)| (id.0, count)).collect(),
            survived: self.survived.into_iter().map(|id| id.0).collect(),
            acknowledges: self.acknowledges,
            messages: self.messages.into_iter().map(Message::passed).collect(),
            messages_in_all: self.messages_in_all,
            again: self.again,
            other_plays: other_plays.collect::<Result<_, _>>()?,
            // What only the run itself needs.
            risked: BTreeSet::new(),
            hears_orders: false,
            stopped_at: None,
            pending_golden: None,
        })
    }
}

impl Finding {
    fn diagnostic(self, sources: &BTreeMap<String, Arc<Source>>) -> Result<Diagnostic, String> {
        let place = match (self.file, self.span) {
            (Some(file), Some(span)) => Some(span.place(&file, sources)?),
            _ => None,
        };
        Ok(Diagnostic {
            place,
            evidence: self.evidence,
            help: self.help,
            requirement: self.requirement.map(|id| id.0),
            owed_by: self.owed_by.map(|id| id.0),
            suspects: self.suspects.into_iter().map(|id| id.0).collect(),
            at_first: self.at_first.map(|it| (it.severity, it.requirement.map(|id| id.0))),
            subject: self.subject,
            is_unexercised: self.not_exercised,
            at_record: self.at_message,
            ..Diagnostic::new(self.severity, self.id.0, self.message)
        })
    }
}

impl Span {
    fn place(self, file: &str, sources: &BTreeMap<String, Arc<Source>>) -> Result<Place, String> {
        let range = self.start..self.end;
        match sources.get(file) {
            Some(source) if source.text.get(range.clone()).is_some() => {
                Ok(Place { source: source.clone(), range, label: self.label })
            }
            Some(_) => Err(format!("bytes {} to {} are no part of the text of `{file}`", self.start, self.end)),
            None => Err(format!("the text of `{file}` is not in `sources`")),
        }
    }
}

impl Message {
    fn passed(self) -> Passed {
        Passed {
            seq: self.number,
            at: Duration::from_millis(self.at_ms),
            is_by_module: self.from == Sender::Module,
            name: self.name.0,
            topic: self.topic,
            payload: self.payload,
            qos: self.qos,
            retain: self.retain,
        }
    }
}

/// The files that the findings of these results point into.
pub fn sources<'r>(results: impl IntoIterator<Item = &'r Arc<ScenarioResult>>) -> Sources {
    let findings = results.into_iter().flat_map(|result| result.plays()).flat_map(|play| &play.findings);
    let places = findings.filter_map(|found| found.place.as_ref());
    let files: BTreeMap<&str, &str> = places.map(|it| (it.source.path.as_str(), it.source.text.as_str())).collect();
    files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

/// Whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

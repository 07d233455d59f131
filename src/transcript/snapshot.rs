//! Goldens as files, in the format of the `insta` crate: front matter between `---` lines, then the text. `khumbu
//! review` and `cargo insta review` both find and accept them.
//!
//! Storage is literal, comparison is tolerant: line ends, blanks at the end of a line and of the text do not count.

use std::ops::Range;
use std::sync::Arc;

use similar::{ChangeTag, TextDiff};

use crate::diagnostic::{Diagnostic, Place, Severity, Source};

/// The most lines of a difference in a message; the pending golden has all of it.
const DIFF_LINES: usize = 11;

/// A golden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The scenario it belongs to.
    pub source: String,
    /// What the scenario says of itself.
    pub description: String,
    /// The transcript.
    pub body: String,
}

impl Snapshot {
    /// Reads the text of a `.snap` or `.snap.new` file.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (head, body) = split(text).ok_or("it has no front matter between two `---` lines")?;
        let field = |name: &str| {
            let value = text[head.clone()].lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            unquoted(value.unwrap_or_default().trim())
        };
        Ok(Self { source: field("source"), description: field("description"), body: text[body].to_owned() })
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let body = self.body.trim_end();
        format!("---\nsource: {}\ndescription: {}\n---\n{body}\n", quoted(&self.source), quoted(&self.description))
    }

    /// Whether a transcript is the one of the golden.
    pub fn is_same(&self, body: &str) -> bool {
        lines(&self.body) == lines(body)
    }
}

/// Compares a transcript with the golden beside its scenario; `golden` is the file, if there is one.
///
/// # Errors
///
/// `golden/missing`, `golden/unreadable` or `golden/mismatch`.
pub fn compare(golden: Option<&Arc<Source>>, transcript: &str, scenario: &Arc<Source>) -> Result<(), Box<Diagnostic>> {
    const ACCEPT: &str = "khumbu review";
    let Some(golden) = golden else {
        let place = Place { source: Arc::clone(scenario), range: golden_key(&scenario.text), label: String::new() };
        return Err(Box::new(
            Diagnostic::new(Severity::Fail, "golden/missing", "scenario has no golden yet").at(place).with_help(ACCEPT),
        ));
    };
    let place = |range| Place { source: Arc::clone(golden), range, label: String::new() };
    let snapshot = Snapshot::parse(&golden.text).map_err(|why| {
        let headline = format!("golden cannot be read: {why}");
        Box::new(Diagnostic::new(Severity::Error, "golden/unreadable", headline).at(place(0..0)))
    })?;
    if snapshot.is_same(transcript) {
        return Ok(());
    }
    let (old, new) = (lines(&snapshot.body), lines(transcript));
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let is_subscription = |line: &&str| *line == "subscriptions" || line.starts_with("  q");
    let is_message = |line: &&&str| line.starts_with("  ") && !is_subscription(line);
    let what = if old.get(same).or(new.get(same)).is_some_and(is_subscription) {
        "in its subscriptions".to_owned()
    } else if same >= old.len() {
        "after its end".to_owned()
    } else {
        let number = old.iter().take(same + 1).filter(is_message).count().max(1);
        format!("at message {number} of {}", old.iter().filter(is_message).count())
    };
    Err(Box::new(
        Diagnostic::new(Severity::Fail, "golden/mismatch", format!("transcript differs from its golden {what}"))
            .at(place(line_range(&golden.text, same)))
            .with_evidence(format!("golden (-), this run (+):\n{}", difference(&snapshot.body, transcript, DIFF_LINES)))
            .with_help(format!("{ACCEPT}   (or `khumbu run --update` to accept)")),
    ))
}

/// The text of a pending golden, `.snap.new`.
pub fn pending(scenario: &str, description: &str, transcript: &str) -> String {
    let snapshot =
        Snapshot { source: scenario.to_owned(), description: description.to_owned(), body: transcript.to_owned() };
    snapshot.to_text()
}

/// A golden that no scenario claims.
pub fn orphan(path: &str) -> Diagnostic {
    Diagnostic::new(
        Severity::Fail,
        "golden/orphan",
        format!("golden `{path}` belongs to no scenario with `golden: true`"),
    )
    .with_help(format!("rm {path}"))
}

/// What differs between two texts, with a line around each change; at most so many lines.
pub fn difference(old: &str, new: &str, most: usize) -> String {
    let text = |text: &str| lines(text).into_iter().flat_map(|line| [line, "\n"]).collect::<String>();
    let (old, new) = (text(old), text(new));
    let diff = TextDiff::from_lines(&old, &new);
    let mut shown = Vec::new();
    for (n, group) in diff.grouped_ops(1).iter().enumerate() {
        if n > 0 {
            shown.push("  …".to_owned());
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            shown.push(format!("{sign} {}", change.value().trim_end()));
        }
    }
    if shown.len() > most {
        let hidden = shown.len() + 1 - most;
        shown.truncate(most - 1);
        shown.push(format!("… {hidden} more lines"));
    }
    shown.join("\n")
}

/// Where the front matter and the body stand.
fn split(text: &str) -> Option<(Range<usize>, Range<usize>)> {
    let start = text.find('\n')? + 1;
    if text[..start].trim_end() != "---" {
        return None;
    }
    let mut at = start;
    for line in text[start..].split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Some((start..at, at + line.len()..text.len()));
        }
        at += line.len();
    }
    None
}

/// The lines that count.
fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    while lines.first().is_some_and(|line| line.is_empty()) {
        lines.remove(0);
    }
    lines
}

/// The nth line that counts in a golden's file; its end if there is none.
fn line_range(text: &str, n: usize) -> Range<usize> {
    let body = split(text).map_or(0, |(_, body)| body.start);
    let mut at = body;
    let mut counted = 0;
    for line in text[body..].split_inclusive('\n') {
        let is_leading_blank = counted == 0 && line.trim_end().is_empty();
        if !is_leading_blank && counted == n {
            break;
        }
        counted += usize::from(!is_leading_blank);
        at += line.len();
    }
    let line = text[at..].lines().next().unwrap_or_default().trim_end();
    let indent = line.len() - line.trim_start().len();
    // Direction and name say enough; the payload may be long.
    let words = line[indent..].find(" q").unwrap_or(line.len() - indent);
    at + indent..at + indent + line[indent..indent + words].trim_end().len()
}

fn golden_key(text: &str) -> Range<usize> {
    let at = text.find("\ngolden:").map_or(0, |at| at + 1);
    at..at + "golden".len().min(text.len() - at)
}

/// A text as YAML and JSON both quote it.
fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

fn unquoted(text: &str) -> String {
    serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())
}

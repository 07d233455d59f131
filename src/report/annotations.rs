//! Results as annotations of a CI system: what is wrong, at the lines that found it.
//!
//! GitHub's are workflow commands, lines of output that its runner reads
//! (docs.github.com, "Workflow commands for GitHub Actions"). It shows at most ten errors and ten warnings of a step, and drops the rest
//! without a word; so the tenth says how many are left.

use crate::diagnostic::{Diagnostic, Place, Severity, Source, Style};
use crate::verdict::{ScenarioResult, Verdict};

/// So many of each kind are shown.
const MOST: usize = 10;
/// The longest message, in characters.
const LONGEST: usize = 4000;

/// Where a file is in the checkout, as a path from its root; `None` if it is not there, or says something else.
pub type Locate<'l> = &'l dyn Fn(&Source) -> Option<String>;

/// What is shown at a line, or for the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Whether it makes the run fail.
    pub is_error: bool,
    /// The id of the message.
    pub id: &'static str,
    /// What it is about, in a line.
    pub about: String,
    /// The same, with its place where that is not in the checkout.
    pub title: String,
    /// All of it.
    pub message: String,
    /// Where, if that is in the checkout.
    pub at: Option<Line>,
    /// Where, as the file is called that it stands in; the first line of the scenario, if the finding has no place.
    pub stands_at: Line,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The path; of a file in the checkout, from its root.
    pub file: String,
    /// The line, from 1 on.
    pub line: usize,
    /// The column, from 1 on, in characters.
    pub column: usize,
}

impl Annotation {
    /// What a finding about a scenario says, at its line if that is in the checkout; else the title says where.
    pub fn new(is_error: bool, about: &str, scenario: &str, finding: &Diagnostic, locate: Locate<'_>) -> Self {
        let place = finding.place.as_ref();
        let line = |place: &Place| {
            let file = locate(&place.source)?;
            Some(Line { file, line: place.line(), column: place.column() })
        };
        let at = place.and_then(line);
        let named =
            |place: &Place| Line { file: place.source.path.clone(), line: place.line(), column: place.column() };
        let title = match place.filter(|_| at.is_none()) {
            Some(place) => format!("{about}, at {}:{}", place.source.path, place.line()),
            None => about.to_owned(),
        };
        let stands_at = place.map_or_else(|| Line { file: scenario.to_owned(), line: 1, column: 1 }, named);
        let (id, about) = (finding.id, about.to_owned());
        Self { is_error, id, about, title, message: finding.render(Style::Plain), at, stands_at }
    }
}

/// Of each scenario that did not pass, the finding that decides.
pub fn annotations<'r>(results: impl IntoIterator<Item = &'r ScenarioResult>, locate: Locate<'_>) -> Vec<Annotation> {
    let of_result = |result: &ScenarioResult| {
        let (is_error, decides) = match result.verdict {
            Verdict::Fail => (true, Severity::Fail),
            Verdict::Error => (true, Severity::Error),
            Verdict::Flaky => (false, Severity::Fail),
            Verdict::Inconclusive => (false, Severity::Inconclusive),
            Verdict::Pass | Verdict::Excused | Verdict::NotApplicable => return None,
        };
        let finding = result.findings.iter().find(|finding| finding.severity == decides)?;
        let word = if result.is_flaky() { "flaky" } else { result.verdict.word() };
        let title = format!("{} is {word}", result.path);
        Some(Annotation::new(is_error, &title, &result.path, finding, locate))
    };
    results.into_iter().filter_map(of_result).collect()
}

/// Annotations as GitHub's workflow commands, a line each.
pub fn github(annotations: &[Annotation]) -> String {
    let (errors, warnings): (Vec<_>, Vec<_>) = annotations.iter().partition(|it| it.is_error);
    [(errors, "error"), (warnings, "warning")].into_iter().map(|(list, kind)| commands(&list, kind)).collect()
}

fn commands(list: &[&Annotation], kind: &str) -> String {
    let shown = if list.len() > MOST { MOST - 1 } else { list.len() };
    let mut text: String = list[..shown].iter().map(|annotation| command(annotation, kind)).collect();
    if shown < list.len() {
        let left = list.len() - shown;
        text.push_str(&format!(
            "::{kind} title={left} more::GitHub shows {MOST} of a step; the report has all of them\n"
        ));
    }
    text
}

fn command(annotation: &Annotation, kind: &str) -> String {
    let mut properties = Vec::new();
    if let Some(Line { file, line, column }) = &annotation.at {
        properties.push(format!("file={},line={line},col={column}", property(file)));
    }
    properties.push(format!("title={}", property(&annotation.title)));
    let message: String = annotation.message.trim_end().chars().take(LONGEST).collect();
    format!("::{kind} {}::{}\n", properties.join(","), data(&message))
}

/// The text of a command: what would end it is escaped.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property, in which a colon and a comma end something, too.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

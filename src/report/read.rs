//! Reports for machines, read again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::data::{Id, Scenario, Sources};
use super::json::SCHEMA_VERSION;
use super::part::{Part, VERSION};
use crate::diagnostic::{Diagnostic, Place, Severity, Source};
use crate::protocol::channel::ApiType;
use crate::protocol::side::Side;
use crate::verdict::ScenarioResult;

/// A report of a run, or of a part of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Where it was read.
    pub path: String,
    /// What it is of.
    pub part: Part,
    /// Whether the user ended the run before its end.
    pub is_interrupted: bool,
    /// The wall time of the run, to the millisecond.
    pub duration: Duration,
    /// What was judged, if requirements were.
    pub conform: Option<Conform>,
    /// The command that plays again what is named to it besides: a requirement, or the path of a scenario.
    pub command: String,
    /// What became of each scenario.
    pub results: Vec<Arc<ScenarioResult>>,
}

/// What `khumbu conform` judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conform {
    /// The side of the module.
    pub side: Side,
    /// The APIs whose client it is, or that it serves.
    pub apis: Vec<ApiType>,
    /// The requirements that somebody asked for; all if empty.
    pub only: Vec<&'static str>,
    /// Whether scenarios were chosen by a word.
    pub is_partial: bool,
}

/// What every version has to have for the next to be understood.
#[derive(Deserialize)]
#[serde(expecting = "a report")]
struct Header {
    schema_version: u32,
    part: Written,
}

#[derive(Deserialize)]
struct Written {
    khumbu: String,
}

#[derive(Deserialize)]
struct File {
    part: Part,
    interrupted: bool,
    duration_ms: u64,
    scenarios: Vec<Scenario>,
    sources: Sources,
    side: Option<Side>,
    #[serde(default)]
    apis: Vec<ApiType>,
    #[serde(default)]
    only: Vec<Id>,
    #[serde(default)]
    chosen_by_keyword: bool,
    command: String,
}

/// Reads a report; `path` is where it is from.
///
/// # Errors
/// `file/no-report` with the place, `file/other-version`.
pub fn read(path: &str, text: &str) -> Result<Report, Box<Diagnostic>> {
    let Header { schema_version, part } = parse(path, text)?;
    if schema_version != SCHEMA_VERSION || part.khumbu != VERSION {
        let headline = match part.khumbu == VERSION {
            true => {
                format!("`{path}` is of schema {schema_version}, and khumbu {VERSION} reads schema {SCHEMA_VERSION}")
            }
            false => format!("`{path}` was written by khumbu {}, and this is khumbu {VERSION}", part.khumbu),
        };
        let diagnostic = Diagnostic::new(Severity::Error, "file/other-version", headline);
        return Err(Box::new(diagnostic.with_help("use the khumbu that played, or play again with this one")));
    }
    let file: File = parse(path, text)?;
    let no_place = |why| {
        let headline = format!("`{path}` is no whole report of khumbu: {why}");
        Box::new(Diagnostic::new(Severity::Error, "file/no-report", headline))
    };
    let sources: BTreeMap<String, Arc<Source>> =
        file.sources.into_iter().map(|(path, text)| (path.clone(), Arc::new(Source { path, text }))).collect();
    let results = file.scenarios.into_iter().map(|scenario| scenario.result(&sources).map(Arc::new));
    let conform = file.side.map(|side| Conform {
        side,
        apis: file.apis,
        only: file.only.into_iter().map(|id| id.0).collect(),
        is_partial: file.chosen_by_keyword,
    });
    Ok(Report {
        path: path.to_owned(),
        part: file.part,
        is_interrupted: file.interrupted,
        duration: Duration::from_millis(file.duration_ms),
        conform,
        command: file.command,
        results: results.collect::<Result<_, _>>().map_err(no_place)?,
    })
}

fn parse<T: DeserializeOwned>(path: &str, text: &str) -> Result<T, Box<Diagnostic>> {
    serde_json::from_str(text).map_err(|error| {
        let headline = format!("`{path}` is no report of `khumbu run --json` or `khumbu conform --json`");
        let diagnostic = Diagnostic::new(Severity::Error, "file/no-report", headline);
        let diagnostic = diagnostic.with_evidence(error.to_string());
        let source = Arc::new(Source { path: path.to_owned(), text: text.to_owned() });
        let start = offset(text, error.line(), error.column());
        let label = if error.is_eof() { "it ends here" } else { "" };
        Box::new(diagnostic.at(Place { source, range: start..start, label: label.to_owned() }))
    })
}

/// The byte at a line and a column, both counted from 1, as serde_json counts them: in bytes, and 0 before the first.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let mut at = (before + column.saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

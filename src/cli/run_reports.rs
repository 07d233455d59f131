//! The reports of scenarios, for whoever has results: what was played, and what was merged.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::annotate::located;
use super::output::{Output, beside};
use super::playing::open_reports;
use super::print;
use super::report_files::{Form, ReportFiles};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::release::Release;
use crate::report::code_quality::code_quality;
use crate::report::html::Made;
use crate::report::{self, Part};
use crate::verdict::{ScenarioResult, Verdict};

/// More scenarios than this scroll their verdicts off the screen.
const SCREEN: usize = 20;

/// How a run ended.
#[derive(Clone, Copy)]
pub struct End<'a> {
    /// Whether before everything was played.
    pub is_interrupted: bool,
    /// What was not played, as far as that is known.
    pub unplayed: &'a [(String, Release)],
}

/// Reports that are open.
pub struct Reports(Vec<(Form, Output)>);

impl Reports {
    /// Opens them.
    ///
    /// # Errors
    /// `usage/same-report`, `usage/unwritable-report`.
    pub fn open(files: &ReportFiles, pages: &[PathBuf]) -> Result<Self, Vec<Diagnostic>> {
        open_reports(files.wanted().chain(pages.iter().map(|path| (Form::Html, path.clone())))).map(Self)
    }

    /// Where results for people go.
    pub fn beside(&self) -> fn(&str) {
        beside(self.0.iter().map(|(_, output)| output))
    }

    /// Writes them; `again` is the command line that plays a scenario again, once its path is added.
    pub fn write(self, results: &[Arc<ScenarioResult>], part: &Part, end: End<'_>, made: &Made, again: &str) {
        let End { is_interrupted, unplayed } = end;
        for (form, output) in self.0 {
            output.write(&match form {
                Form::Json => report::json(results, part, is_interrupted, made.took, again),
                Form::JUnit => report::junit(results, unplayed, made),
                Form::Tap => report::tap::tap(results),
                Form::CodeQuality => {
                    let results = results.iter().map(AsRef::as_ref);
                    code_quality(&located(|locate| report::annotations::annotations(results, locate)))
                }
                Form::Html | Form::Markdown => report::html::html(results, made, is_interrupted, again),
            });
        }
    }
}

/// Says for people what there is to say of these results.
pub fn tell(results: &[Arc<ScenarioResult>], duration: Duration, say: fn(&str)) {
    let style = print::style();
    let matrix = report::matrix(results);
    // The matrix gives the reason once for all that are not applicable.
    let is_told = |result: &ScenarioResult| matrix.is_empty() || result.verdict != Verdict::NotApplicable;
    let names_release = report::has_several_releases(results);
    for result in results.iter().filter(|result| !result.findings.is_empty() && is_told(result)) {
        // The line of a scenario that was played alone stands right above.
        say(&match results.len() {
            1 => report::terminal::details(result, print::screen()),
            _ => report::terminal::findings(result, names_release, print::screen()),
        });
    }
    let findings = || results.iter().flat_map(|result| &result.findings);
    if let Some(worst) = findings().max_by_key(|found| found.severity).filter(|it| it.severity > Severity::Warning) {
        say(&format!(
            "\n`khumbu explain {}` says what leads to this, and what to do; so for every message\n",
            worst.id
        ));
    }
    if results.len() > SCREEN {
        say(&report::terminal::unsuccessful(results, style));
    }
    say(&matrix);
    say(&report::terminal::summary(results, duration, style));
}

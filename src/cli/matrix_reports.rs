//! The reports of requirements, for whoever has a matrix: what was played, and what was merged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::annotate::located;
use super::output::{Output, beside};
use super::playing::open_reports;
use super::report_files::{Form, ReportFiles};
use crate::diagnostic::Diagnostic;
use crate::report::code_quality::code_quality;
use crate::report::html::Made;
use crate::suite::{self, Matrix};
use crate::verdict::ScenarioResult;

/// Reports that are open.
pub struct Reports(Vec<(Form, Output)>);

/// A file for people, whose name says in which form.
///
/// # Errors
/// What it has to be.
pub fn report_file(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    if form(&path).is_some() { Ok(path) } else { Err("its name ends in `.html` or `.md`".to_owned()) }
}

/// Whether it is to be a page.
pub fn is_page(path: &Path) -> bool {
    form(path) == Some(Form::Html)
}

fn form(path: &Path) -> Option<Form> {
    match path.extension()?.to_str()? {
        "html" => Some(Form::Html),
        "md" => Some(Form::Markdown),
        _ => None,
    }
}

impl Reports {
    /// Opens them; `people` are for people, and their names say in which form.
    ///
    /// # Errors
    /// `usage/same-report`, `usage/unwritable-report`.
    pub fn open(files: &ReportFiles, people: &[PathBuf]) -> Result<Self, Vec<Diagnostic>> {
        let people = people.iter().filter_map(|path| Some((form(path)?, path.clone())));
        open_reports(files.wanted().chain(people)).map(Self)
    }

    /// Where results for people go.
    pub fn beside(&self) -> fn(&str) {
        beside(self.0.iter().map(|(_, output)| output))
    }

    /// Writes them.
    pub fn write(self, matrix: &Matrix<'_>, results: &[Arc<ScenarioResult>], code: u8, made: &Made) {
        for (form, output) in self.0 {
            output.write(&match form {
                Form::Json => suite::json(matrix, results, code, made.took),
                Form::JUnit => suite::junit(matrix, made),
                Form::Tap => suite::tap(matrix),
                Form::CodeQuality => code_quality(&located(|locate| suite::annotations(matrix, locate))),
                Form::Markdown => suite::markdown(matrix, made.took),
                Form::Html => suite::html(matrix, results, made),
            });
        }
    }
}

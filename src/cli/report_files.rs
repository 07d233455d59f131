//! The flags for reports that machines read, and the forms that reports have.

use std::path::PathBuf;

/// Reports for machines.
#[derive(Debug, Clone, clap::Args)]
pub struct ReportFiles {
    /// Write a JUnit report; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write a JSON report; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a report of the Test Anything Protocol; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub tap: Option<PathBuf>,
    /// Write what is wrong as GitLab's Code Quality report; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub code_quality: Option<PathBuf>,
}

/// A form of report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Everything, for programs.
    Json,
    /// For continuous integration.
    JUnit,
    /// The Test Anything Protocol.
    Tap,
    /// For merge requests of GitLab.
    CodeQuality,
    /// A page.
    Html,
    /// For pull requests.
    Markdown,
}

impl ReportFiles {
    /// Which are wanted.
    pub fn wanted(&self) -> impl Iterator<Item = (Form, PathBuf)> {
        let Self { junit, json, tap, code_quality } = self.clone();
        let all = [(Form::Json, json), (Form::JUnit, junit), (Form::Tap, tap), (Form::CodeQuality, code_quality)];
        all.into_iter().filter_map(|(form, path)| Some((form, path?)))
    }
}

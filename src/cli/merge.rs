//! `khumbu merge`: the reports of the shards of a run as one.

use std::path::{Path, PathBuf};

use super::config::today;
use super::matrix_reports::{Reports, is_page, report_file};
use super::playing::made;
use super::report_files::ReportFiles;
use super::{Exit, files, print, run_reports};
use crate::diagnostic::{Diagnostic, Severity};
use crate::report::{self, Part, Report};
use crate::suite::{self, Scope};

/// No report of a run is larger, in bytes.
const LARGEST: usize = 64 * 1024 * 1024;
/// More shards than anybody plays.
const MOST: usize = 1024;

/// Merges the reports of the shards of a run (`--shard`) into one verdict.
///
/// Each shard has to be there once. Ends as the run would have ended without shards.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::MERGE)]
pub struct Arguments {
    /// The JSON reports of all shards, of `khumbu conform` or of `khumbu run`
    #[arg(value_name = "REPORT", required = true, num_args = 1..=MOST)]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    files: ReportFiles,
    /// Write a report for people: a page that stands alone if FILE ends in `.html`; Markdown if in `.md`, of `khumbu conform`
    /// only; may be repeated
    #[arg(long, value_name = "FILE", value_parser = report_file)]
    report: Vec<PathBuf>,
    /// What no shard put to the test ends khumbu with 3
    #[arg(long)]
    strict: bool,
}

/// Reads, merges, writes.
pub fn run(arguments: &Arguments) -> Exit {
    merged(arguments).map_or_else(print::refused, |whole| match whole.conform.clone() {
        Some(conform) => {
            let scope = Scope {
                side: conform.side,
                apis: conform.apis,
                only: conform.only,
                is_partial: conform.is_partial,
                part: whole.part.clone(),
                elsewhere: Default::default(),
                command: whole.command.clone(),
            };
            judged(arguments, &whole, &scope)
        }
        None => played(arguments, &whole),
    })
}

/// The whole.
fn merged(arguments: &Arguments) -> Result<Report, Vec<Diagnostic>> {
    let mut reports = Vec::with_capacity(arguments.inputs.len());
    let mut errors = Vec::new();
    for path in &arguments.inputs {
        match read(path) {
            Ok(report) => reports.push(report),
            Err(found) => errors.extend(found),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    print::diagnostics(other_command(&reports).as_slice());
    report::merge(reports).map(decided)
}

/// What the results of the whole come to, asked as the run itself would have asked it.
fn decided(mut whole: Report) -> Report {
    let Part { known_failures, flaky_passes, selected, .. } = &whole.part;
    let is_cut = *selected || whole.conform.as_ref().is_some_and(|it| !it.only.is_empty() || it.is_partial);
    if whole.conform.is_some() {
        whole.results = suite::settle(whole.results);
    }
    whole.results = report::excuse_all(&whole.results, known_failures, today(), !is_cut && !whole.is_interrupted);
    if *flaky_passes {
        report::let_flaky_pass(&mut whole.results);
    }
    whole
}

/// Paths in commands may differ from machine to machine, but so may modules.
fn other_command(reports: &[Report]) -> Option<Diagnostic> {
    let (first, others) = reports.split_first()?;
    let other = others.iter().find(|other| other.command != first.command)?;
    let headline = format!("`{}` was made by another command than `{}`", other.path, first.path);
    let shown = [first, other].map(|it| format!("{}: {}", it.path, it.command));
    let warning = Diagnostic::new(Severity::Warning, "run/other-command", headline).with_lines(shown.to_vec());
    Some(warning.with_help("nothing, if both play the same module in the same way"))
}

/// Reads the JSON report of a run.
///
/// # Errors
/// `file/unreadable`, `file/too-large`, `file/no-report`, `file/other-version`.
pub(super) fn read(path: &Path) -> Result<Report, Vec<Diagnostic>> {
    let text = files::read_text(path, LARGEST)?;
    report::read(&path.display().to_string(), &text).map_err(|diagnostic| vec![*diagnostic])
}

fn judged(arguments: &Arguments, whole: &Report, scope: &Scope) -> Exit {
    let reports = match Reports::open(&arguments.files, &arguments.report) {
        Ok(reports) => reports,
        Err(found) => return print::refused(found),
    };
    let matrix = suite::matrix(&whole.results, scope, whole.is_interrupted);
    let code = suite::exit_code(&matrix, arguments.strict);
    reports.beside()(&suite::text(&matrix, whole.duration, print::screen()));
    reports.write(&matrix, &whole.results, code, &made(whole.duration));
    Exit::from(code)
}

fn played(arguments: &Arguments, whole: &Report) -> Exit {
    let refuse = |flag: &str| {
        let headline = format!("{flag} is for reports of `khumbu conform`, and these are of `khumbu run`");
        print::refused(vec![Diagnostic::new(Severity::Error, "usage/no-requirements", headline)])
    };
    match () {
        () if !arguments.report.iter().all(|path| is_page(path)) => return refuse("Markdown"),
        () if arguments.strict => return refuse("`--strict`"),
        () => {}
    }
    let reports = match run_reports::Reports::open(&arguments.files, &arguments.report) {
        Ok(reports) => reports,
        Err(found) => return print::refused(found),
    };
    run_reports::tell(&whole.results, whole.duration, reports.beside());
    let end = run_reports::End { is_interrupted: whole.is_interrupted, unplayed: &[] };
    reports.write(&whole.results, &whole.part, end, &made(whole.duration), &whole.command);
    Exit::from(report::exit_code(whole.results.iter().map(|result| result.verdict), whole.is_interrupted))
}

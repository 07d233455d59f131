//! `khumbu fmt`: YAML files in the style of all. What a file says stays the same, or the file stays as it is.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use similar::TextDiff;

use super::config::{self, Config};
use super::{Exit, files, print};
use crate::diagnostic::{Diagnostic, Severity};
use crate::scenario::{self, LARGEST};

/// The path that stands for standard input.
const STDIN: &str = "-";
/// What standard input is called in messages.
const STDIN_NAME: &str = "standard input";
/// A difference that is not found within this is a larger one than need be.
const PATIENCE: Duration = Duration::from_secs(2);

/// Formats scenario files, and every other YAML file that khumbu reads; comments stay, and what a file says stays the same.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::FMT)]
pub struct Arguments {
    /// Files, or directories with such files; - is standard input [default: as `khumbu run`, and khumbu.yaml]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Change nothing, print what would change, and end with 1 if anything would
    #[arg(long)]
    check: bool,
}

/// Formats, and says what has changed.
pub fn run(arguments: &Arguments) -> Exit {
    if arguments.paths.iter().any(|path| path == Path::new(STDIN)) {
        return from_stdin(arguments);
    }
    let (files, mut errors) = match chosen(&arguments.paths) {
        Ok(chosen) => chosen,
        Err(errors) => return print::refused(errors),
    };
    let mut changed = 0;
    for path in &files {
        let name = path.display().to_string();
        let formatted = files::read_text(path, LARGEST)
            .and_then(|text| scenario::format(&name, &text).map(|formatted| (text, formatted)));
        match formatted {
            Err(found) => errors.extend(found),
            Ok((text, formatted)) if text == formatted => {}
            Ok((text, formatted)) if arguments.check => {
                changed += 1;
                print::out(&difference(&name, &text, &formatted));
                print::err(&format!("{name} is not formatted\n"));
            }
            Ok((_, formatted)) => match files::replace(path, &formatted) {
                Ok(()) => {
                    changed += 1;
                    print::out(&format!("{name}\n"));
                }
                Err(error) => {
                    let headline = format!("`{name}` cannot be written: {error}");
                    errors.push(Diagnostic::new(Severity::Error, "file/unwritable", headline));
                }
            },
        }
    }
    print::diagnostics(&errors);
    let (count, is_good) = (print::count(files.len(), "file"), errors.is_empty());
    match (arguments.check, changed) {
        (true, 0) if is_good => print::out(&format!("{count} checked, all formatted\n")),
        (true, _) => print::err(&format!("{count} checked, {changed} not formatted{}\n", besides(&errors))),
        (false, _) => print::err(&format!("{count} read, {changed} formatted{}\n", besides(&errors))),
    }
    match (is_good, arguments.check && changed > 0) {
        (false, _) => Exit::Usage,
        (true, true) => Exit::Fail,
        (true, false) => Exit::Pass,
    }
}

/// What has gone wrong, behind the counts.
fn besides(errors: &[Diagnostic]) -> String {
    if errors.is_empty() { String::new() } else { format!(", {}", print::count(errors.len(), "error")) }
}

/// The files of these paths; without any, those that `khumbu run` plays, and the configuration with its station.
fn chosen(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<Diagnostic>), Vec<Diagnostic>> {
    if !paths.is_empty() {
        return Ok(files::find(paths));
    }
    let config = Config::load(None)?;
    let (mut found, errors) = files::find(&config.scenarios);
    let configuration = Some(PathBuf::from(config::DEFAULT)).filter(|path| path.exists());
    for path in configuration.into_iter().chain(config.module.station) {
        if !found.contains(&path) {
            found.push(path);
        }
    }
    Ok((found, errors))
}

/// Formats standard input alone. What cannot be formatted is not written, so that an editor keeps what it has.
fn from_stdin(arguments: &Arguments) -> Exit {
    let refused = |id, headline: String| Diagnostic::new(Severity::Error, id, headline);
    if arguments.paths.len() > 1 {
        let headline = "standard input is formatted alone, without other files".to_owned();
        return print::refused(vec![refused("usage/bad-value", headline).with_help("khumbu fmt -")]);
    }
    let mut bytes = Vec::new();
    if let Err(error) = io::stdin().lock().take(LARGEST as u64 + 1).read_to_end(&mut bytes) {
        let headline = format!("{STDIN_NAME} cannot be read");
        return print::refused(vec![refused("file/unreadable", headline).with_evidence(error.to_string())]);
    }
    let mark = if bytes.starts_with(files::BYTE_ORDER_MARK.as_bytes()) { files::BYTE_ORDER_MARK } else { "" };
    let formatted = files::to_text(Path::new(STDIN_NAME), bytes)
        .and_then(|text| scenario::format(STDIN_NAME, &text).map(|formatted| (text, formatted)));
    match formatted {
        Err(errors) => print::refused(errors),
        Ok((_, formatted)) if !arguments.check => {
            print::report(&format!("{mark}{formatted}"));
            Exit::Pass
        }
        Ok((text, formatted)) if text == formatted => Exit::Pass,
        Ok((text, formatted)) => {
            print::out(&difference(STDIN_NAME, &text, &formatted));
            print::err(&format!("{STDIN_NAME} is not formatted\n"));
            Exit::Fail
        }
    }
}

/// What would change, as `patch` takes it.
fn difference(name: &str, text: &str, formatted: &str) -> String {
    let lines = TextDiff::configure().timeout(PATIENCE).diff_lines(text, formatted);
    lines.unified_diff().header(name, name).to_string()
}

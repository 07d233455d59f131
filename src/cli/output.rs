//! Where a report goes: to a file that could be opened before anything began, or to standard output.
//!
//! A file appears whole or not at all: it is written beside its place and then renamed, so that whoever ends khumbu before
//! finds the report of an earlier run, or none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::print;
use crate::diagnostic::{Diagnostic, Severity};

/// The place of one report.
pub enum Output {
    /// Standard output, which then belongs to the report alone.
    Stdout,
    /// A file: where it is to be, links followed, and its path as it was given.
    File(PathBuf, PathBuf),
    /// What is there and no file, such as a pipe, by its path.
    Stream(File, PathBuf),
}

impl Output {
    /// Makes sure that a path can be written to; `-` is standard output.
    ///
    /// # Errors
    /// `usage/unwritable-report`.
    pub fn open(path: &Path) -> Result<Self, Box<Diagnostic>> {
        if path == Path::new("-") {
            return Ok(Output::Stdout);
        }
        Self::file(path).map_err(|error| {
            let headline = format!("report `{}` cannot be written: {error}", path.display());
            Box::new(Diagnostic::new(Severity::Error, "usage/unwritable-report", headline))
        })
    }

    fn file(path: &Path) -> io::Result<Self> {
        let is_new = !path.exists();
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        if !file.metadata()?.is_file() {
            return Ok(Output::Stream(file, path.to_owned()));
        }
        // Through a link the file itself is meant.
        let real = fs::canonicalize(path)?;
        if is_new {
            fs::remove_file(&real)?;
        }
        Ok(Output::File(real, path.to_owned()))
    }

    /// Writes the report.
    pub fn write(self, text: &str) {
        let (written, path) = match self {
            Output::Stdout => return print::report(text),
            Output::File(real, path) => (replace(&real, text), path),
            Output::Stream(mut file, path) => (file.write_all(text.as_bytes()), path),
        };
        if let Err(error) = written {
            print::lost("run/report-lost", &format!("report `{}`", path.display()), &error);
        }
    }
}

/// Puts a text in the place of a file, and what went before stays until it is whole.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_file_name(format!(".khumbu-{}", Uuid::new_v4().simple()));
    let Ok(mut file) = File::create_new(&beside) else {
        // A file that may be written in a directory that may not.
        return fs::write(path, text);
    };
    let rights = fs::metadata(path).map(|there| there.permissions());
    let written = file.write_all(text.as_bytes()).and_then(|()| rights.map_or(Ok(()), |it| file.set_permissions(it)));
    let renamed = written.map(|()| fs::rename(&beside, path));
    if !matches!(renamed, Ok(Ok(()))) {
        let _ = fs::remove_file(&beside);
    }
    match renamed? {
        Ok(()) => Ok(()),
        // A file that is mounted by itself cannot be another one.
        Err(_) => fs::write(path, text),
    }
}

/// Where results for people go: not between the lines of a report.
pub fn beside<'a>(outputs: impl IntoIterator<Item = &'a Output>) -> fn(&str) {
    let is_taken = outputs.into_iter().any(|output| matches!(output, Output::Stdout));
    if is_taken { print::err } else { print::out }
}

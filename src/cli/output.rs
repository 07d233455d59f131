//! Where a report goes: to a file that was opened before anything began, or to standard output.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::print;
use crate::diagnostic::{Diagnostic, Severity};

/// The place of one report.
pub enum Output {
    /// Standard output, which then belongs to the report alone.
    Stdout,
    /// A file, by its path.
    File(File, PathBuf),
}

impl Output {
    /// Opens a path; `-` is standard output.
    ///
    /// # Errors
    /// `usage/unwritable-report`.
    pub fn open(path: &Path) -> Result<Self, Box<Diagnostic>> {
        if path == Path::new("-") {
            return Ok(Output::Stdout);
        }
        match File::create(path) {
            Ok(file) => Ok(Output::File(file, path.to_owned())),
            Err(error) => {
                let headline = format!("report `{}` cannot be written: {error}", path.display());
                Err(Box::new(Diagnostic::new(Severity::Error, "usage/unwritable-report", headline)))
            }
        }
    }

    /// Writes the report.
    pub fn write(self, text: &str) {
        match self {
            Output::Stdout => print::report(text),
            Output::File(mut file, path) => {
                if let Err(error) = file.write_all(text.as_bytes()) {
                    print::lost("run/report-lost", &format!("report `{}`", path.display()), &error);
                }
            }
        }
    }
}

/// Where results for people go: not between the lines of a report.
pub fn beside<'a>(outputs: impl IntoIterator<Item = &'a Output>) -> fn(&str) {
    let is_taken = outputs.into_iter().any(|output| matches!(output, Output::Stdout));
    if is_taken { print::err } else { print::out }
}

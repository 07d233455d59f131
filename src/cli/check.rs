//! `khumbu check`: all errors of all files; starts nothing.

use std::path::PathBuf;

use super::{Exit, files, print};
use crate::scenario::idle;

/// Checks scenario files without playing them.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Scenario files, or directories with such files [default: scenarios]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Checks and says what is wrong.
pub fn run(arguments: &Arguments, known_requirements: &[&str]) -> Exit {
    let loaded = files::load_all(&arguments.paths, known_requirements);
    let checked = print::count(loaded.files, "scenario");
    let warnings: Vec<_> = loaded.scenarios.iter().filter_map(idle).collect();
    print::diagnostics(&loaded.errors);
    print::diagnostics(&warnings);
    if loaded.errors.is_empty() {
        print::out(&format!("{checked} checked, no errors\n"));
        return Exit::Pass;
    }
    print::err(&format!("{checked} checked, {}\n", print::count(loaded.errors.len(), "error")));
    Exit::Usage
}

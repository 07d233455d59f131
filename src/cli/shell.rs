//! `khumbu completions` and `khumbu man`: what a shell and `man` know of khumbu.

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Exit, examples, print};
use crate::diagnostic::{Diagnostic, Severity};

/// Prints completions for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::COMPLETIONS)]
pub struct Completions {
    /// Which
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Writes manual pages.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::MAN)]
pub struct Man {
    /// Where they go; made if it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Prints completions.
pub fn completions(arguments: &Completions) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "khumbu", &mut text);
    print::out(&String::from_utf8_lossy(&text));
    Exit::Pass
}

/// Writes manual pages.
pub fn man(Man { directory }: &Man) -> Exit {
    let written = fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(Cli::command(), directory));
    if let Err(error) = written {
        let headline = format!("manual pages cannot be written to `{}`: {error}", directory.display());
        return print::refused(vec![Diagnostic::new(Severity::Error, "usage/no-directory", headline)]);
    }
    Exit::Pass
}

//! `khumbu completions` and `khumbu man`: what a shell and `man` know of khumbu.

use std::path::PathBuf;
use std::{fs, io};

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
    let written = || {
        fs::create_dir_all(directory)?;
        clap_mangen::generate_to(Cli::command(), directory)?;
        for page in fs::read_dir(directory)? {
            let path = page?.path();
            // Others have pages there, too.
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("khumbu") && name.ends_with(".1") {
                fs::write(&path, as_written(&fs::read_to_string(&path)?))?;
            }
        }
        Ok::<_, io::Error>(())
    };
    if let Err(error) = written() {
        let headline = format!("manual pages cannot be written to `{}`: {error}", directory.display());
        return print::refused(vec![Diagnostic::new(Severity::Error, "usage/no-directory", headline)]);
    }
    Exit::Pass
}

/// A page whose examples keep their lines: `man` fills what stands in a section of its own.
fn as_written(page: &str) -> String {
    const EXTRA: &str = ".SH EXTRA\n";
    let Some((before, after)) = page.split_once(EXTRA) else { return page.to_owned() };
    let end = after.find("\n.").map_or(after.len(), |at| at + 1);
    let (examples, rest) = after.split_at(end);
    format!("{before}.SH EXAMPLES\n.nf\n{}\n.fi\n{rest}", examples.trim_end())
}

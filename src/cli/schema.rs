//! `khumbu schema`: the language for editors, and for people.

use super::{Exit, print};
use crate::scenario;

/// Prints the JSON Schema of scenario files, or the reference of the language.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::SCHEMA)]
pub struct Arguments {
    /// Print every key and step with its description, as Markdown
    #[arg(long)]
    markdown: bool,
}

/// Prints it.
pub fn run(arguments: &Arguments) -> Exit {
    print::out(&if arguments.markdown { scenario::reference() } else { format!("{:#}\n", scenario::schema()) });
    Exit::Pass
}

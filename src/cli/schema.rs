//! `khumbu schema`: the language for editors.

use super::{Exit, print};
use crate::scenario;

/// Prints the JSON Schema of scenario files.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::SCHEMA)]
pub struct Arguments {}

/// Prints it.
pub fn run(_: &Arguments) -> Exit {
    print::out(&format!("{:#}\n", scenario::schema()));
    Exit::Pass
}

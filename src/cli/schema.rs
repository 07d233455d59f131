//! `khumbu schema`: the files that khumbu reads, for editors, and the language of scenarios for people.

use serde_json::Value;

use super::config::Config;
use super::{Exit, print};
use crate::gateway::chargers::Chargers;
use crate::gateway::tokens;
use crate::parity::StationFile;
use crate::scenario;

/// Prints the JSON Schema of files that khumbu reads, or the reference of the language.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::SCHEMA)]
pub struct Arguments {
    /// Which files: scenarios, `khumbu.yaml`, station files, or a gateway's chargers or bearer tokens
    #[arg(
        value_name = "scenario|config|station|chargers|tokens",
        value_enum,
        default_value = "scenario",
        hide_possible_values = true,
        hide_default_value = true
    )]
    of: Of,
    /// Print every key and step of scenarios with its description, as Markdown
    #[arg(long, conflicts_with = "of")]
    markdown: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Of {
    Scenario,
    Config,
    Station,
    Chargers,
    Tokens,
}

/// Prints it.
pub fn run(arguments: &Arguments) -> Exit {
    print::out(&match arguments.markdown {
        true => scenario::reference(),
        false => format!("{:#}\n", arguments.of.schema()),
    });
    Exit::Pass
}

impl Of {
    fn schema(self) -> Value {
        match self {
            Of::Scenario => scenario::schema(),
            Of::Config => scenario::schema_of::<Config>(),
            Of::Station => scenario::schema_of::<StationFile>(),
            Of::Chargers => scenario::schema_of::<Chargers>(),
            Of::Tokens => tokens::schema(),
        }
    }
}

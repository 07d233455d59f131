//! `khumbu schema`: the files that khumbu reads, for editors, and the language of scenarios for people.

use serde_json::Value;

use super::config::Config;
use super::{Exit, print};
use crate::gateway::chargers::Chargers;
use crate::gateway::tokens;
use crate::parity::StationFile;
use crate::recording::Line;
use crate::scenario;

/// Prints the JSON Schema of files that khumbu reads, or the reference of the language.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::SCHEMA)]
pub struct Arguments {
    /// Which files: scenarios, `khumbu.yaml`, station files, a gateway's chargers or bearer tokens, or each line of a recording
    #[arg(
        value_name = "scenario|config|station|chargers|tokens|recording",
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
pub(super) enum Of {
    Scenario,
    Config,
    Station,
    Chargers,
    Tokens,
    Recording,
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
    /// Those that are YAML.
    pub(super) const YAML: [Self; 5] = [Of::Scenario, Of::Config, Of::Station, Of::Chargers, Of::Tokens];

    /// The schema of a file; of a recording, that of a line.
    pub(super) fn schema(self) -> Value {
        match self {
            Of::Scenario => scenario::schema(),
            Of::Config => scenario::schema_of::<Config>(),
            Of::Station => scenario::schema_of::<StationFile>(),
            Of::Chargers => scenario::schema_of::<Chargers>(),
            Of::Tokens => tokens::schema(),
            Of::Recording => scenario::schema_of::<Line<'_>>(),
        }
    }
}

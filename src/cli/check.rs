//! `khumbu check`: all errors of all files, and of khumbu.yaml; starts nothing.

use std::path::PathBuf;

use super::config::Config;
use super::{Exit, apis, files, print};
use crate::scenario::{Scenario, idle, near_topics};

/// Checks scenario files without playing them, and khumbu.yaml, if there is one.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::CHECK)]
pub struct Arguments {
    /// Scenario files, or directories with such files [default: scenarios]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// EVerest's AsyncAPI document of an API that khumbu has no description of; scenarios may then name it
    #[arg(long, value_name = "FILE")]
    asyncapi: Vec<PathBuf>,
    /// Also list the steps that a module has to be told: one that cannot be told is not put to the test by them
    #[arg(long)]
    told: bool,
}

/// Checks and says what is wrong.
pub fn run(arguments: &Arguments, known_requirements: &[&str]) -> Exit {
    let unjudged = match apis::take_in(&arguments.asyncapi) {
        Ok(unjudged) => unjudged,
        Err(faults) => {
            print::diagnostics(&faults);
            return Exit::Usage;
        }
    };
    print::diagnostics(&unjudged);
    let loaded = files::load_all(&arguments.paths, known_requirements);
    let checked = print::count(loaded.files, "scenario");
    let warned = loaded.scenarios.iter().flat_map(|scenario| idle(scenario).into_iter().chain(near_topics(scenario)));
    let warnings: Vec<_> = warned.collect();
    // With these defaults they would be played.
    let errors = [Config::load(None).err().unwrap_or_default(), loaded.errors].concat();
    print::diagnostics(&errors);
    print::diagnostics(&warnings);
    if errors.is_empty() {
        if arguments.told {
            print::out(&told(&loaded.scenarios));
        }
        print::out(&format!("{checked} checked, no errors\n"));
        return Exit::Pass;
    }
    print::err(&format!("`khumbu explain {}` says what leads to this, and what to do\n", errors[0].id));
    print::err(&format!("{checked} checked, {}\n", print::count(errors.len(), "error")));
    Exit::Usage
}

/// The steps that a module has to be told, a line each, and how many scenarios have any.
fn told(scenarios: &[Scenario]) -> String {
    let (mut text, mut needing) = (String::new(), 0);
    for scenario in scenarios {
        let rows = scenario.rows(scenario.model.frame(), scenario.release());
        let follows = rows.iter().filter_map(|(at, row)| Some((scenario.line(&at.key(row.key)), row.follows?)));
        let lines: Vec<_> =
            follows.map(|(line, command)| format!("{}:{line}: {command}\n", scenario.source.path)).collect();
        needing += usize::from(!lines.is_empty());
        text.extend(lines);
    }
    format!(
        "{text}{needing} of {} need a module that can be told what to do\n",
        print::count(scenarios.len(), "scenario")
    )
}

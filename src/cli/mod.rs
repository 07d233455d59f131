//! Arguments, files, printing, exit codes. The only module that prints, reads scenario files and golden files, and
//! decides how the process ends.

mod annotate;
mod apis;
mod built_in;
mod campaign;
pub mod check;
pub mod config;
pub mod conform;
pub mod doctor;
pub mod drift;
pub mod everest;
mod examples;
pub mod explain;
mod faults;
pub mod files;
mod finds;
pub mod fmt;
pub mod fuzz;
pub mod goldens;
pub mod lsp;
mod matrix_reports;
pub mod merge;
mod module_flags;
pub mod new;
mod output;
pub mod parity;
mod playing;
pub mod print;
mod progress;
pub mod record;
mod recorder;
mod release;
pub mod replay;
mod report_files;
pub mod review;
pub mod run;
mod run_reports;
pub mod scenario;
pub mod schema;
pub mod serve;
pub mod shell;
mod signals;
pub mod sim;
mod sweep;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use tokio::runtime::{Builder, Runtime};

use crate::conformance::requirements;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Everything passed.
    Pass = 0,
    /// A module failed, or a golden waits for review.
    Fail = 1,
    /// Wrong usage, a bad scenario file, or an unreadable golden.
    Usage = 2,
    /// A scenario was inconclusive, or the harness is at fault.
    Error = 3,
}

impl From<u8> for Exit {
    fn from(code: u8) -> Self {
        match code {
            0 => Exit::Pass,
            1 => Exit::Fail,
            2 => Exit::Usage,
            _ => Exit::Error,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Threads that play: one module that floods must not hold up what judges the others.
const WORKERS: usize = 2;

/// The runtime of a command that plays.
///
/// # Errors
/// When there is none; said on standard error.
fn playing_runtime() -> Result<Runtime, Exit> {
    built(Builder::new_multi_thread().worker_threads(WORKERS))
}

/// The runtime of a command that only listens and answers, on one thread: nothing is handed from thread to thread.
///
/// # Errors
/// As [`playing_runtime`].
fn quiet_runtime() -> Result<Runtime, Exit> {
    built(&mut Builder::new_current_thread())
}

fn built(builder: &mut Builder) -> Result<Runtime, Exit> {
    builder.enable_all().build().map_err(|error| {
        print::err(&format!("error[harness/broken]: no runtime: {error}\n"));
        Exit::Error
    })
}

/// The version, and the commit where whoever built it said which.
const VERSION: &str = match option_env!("KHUMBU_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// Plays scenario files against modules that speak EVerest's auth API, and tells whether they conform.
#[derive(Debug, Parser)]
#[command(name = "khumbu", version = VERSION, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
#[command(defer = true)]
enum Command {
    Run(Box<run::Arguments>),
    Conform(Box<conform::Arguments>),
    Merge(merge::Arguments),
    Sim(sim::Arguments),
    Check(check::Arguments),
    Fmt(fmt::Arguments),
    Lsp(lsp::Arguments),
    Schema(schema::Arguments),
    Serve(serve::Arguments),
    Review(review::Arguments),
    Parity(parity::Arguments),
    Record(record::Arguments),
    Replay(Box<replay::Arguments>),
    Scenario(scenario::Arguments),
    Everest(everest::Arguments),
    Drift(drift::Arguments),
    Fuzz(Box<fuzz::Arguments>),
    Explain(explain::Arguments),
    Doctor(Box<doctor::Arguments>),
    New(new::Arguments),
    Completions(shell::Completions),
    Man(shell::Man),
}

/// What a command line says. Of all commands only the one that it names is described to the parser; where it names none, all
/// of them are, to be listed.
///
/// # Errors
/// What is wrong with it; also where it asks for help or the version.
fn parsed(line: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut commands = Cli::command();
    if line.get(1).is_none_or(|word| word.as_encoded_bytes().starts_with(b"-")) {
        commands.build();
    }
    let mut matches = commands.try_get_matches_from_mut(line)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut commands))
}

/// Runs the program with these arguments, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match parsed(arguments.into_iter().collect()) {
        Ok(cli) => cli,
        Err(error) => {
            let text = error.render().to_string();
            if error.use_stderr() {
                print::err(&text)
            } else {
                print::out(&text)
            }
            return print::exit(if error.use_stderr() { Exit::Usage } else { Exit::Pass }).into();
        }
    };
    let exit = match cli.command {
        Command::Run(arguments) => run::run(*arguments),
        Command::Conform(arguments) => conform::run(*arguments),
        Command::Merge(arguments) => merge::run(&arguments),
        Command::Sim(arguments) => sim::run(arguments),
        Command::Check(arguments) => check::run(&arguments, &requirements::ids().collect::<Vec<_>>()),
        Command::Fmt(arguments) => fmt::run(&arguments),
        Command::Lsp(arguments) => lsp::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Review(arguments) => review::run(&arguments),
        Command::Parity(arguments) => parity::run(&arguments),
        Command::Record(arguments) => record::run(&arguments),
        Command::Replay(arguments) => replay::run(*arguments),
        Command::Scenario(arguments) => scenario::run(&arguments),
        Command::Everest(arguments) => return everest::run(&arguments),
        Command::Drift(arguments) => drift::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(*arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::New(arguments) => new::run(arguments),
        Command::Completions(arguments) => shell::completions(&arguments),
        Command::Man(arguments) => shell::man(&arguments),
    };
    print::exit(exit).into()
}

/// Whether khumbu would take this command line, the first word of which is its own name; nothing is run.
///
/// # Errors
/// What is wrong with it, as it would be printed; also where it asks for help or the version.
pub fn usage(words: impl IntoIterator<Item = String>) -> Result<(), clap::Error> {
    parsed(words.into_iter().map(OsString::from).collect()).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_examples_that_can_be_read() {
        let mut commands = Cli::command();
        commands.build();
        for command in commands.get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  khumbu ")).collect();
            assert!(!examples.is_empty(), "{}", command.get_name());
            for example in examples {
                let words = shell_words::split(&format!("khumbu {example}")).expect("as a shell would split it");
                assert_eq!(words[1], command.get_name());
                if let Err(error) = usage(words) {
                    panic!("{example}: {error}");
                }
            }
        }
    }
}

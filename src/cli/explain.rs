//! `khumbu explain`: what is behind a message, and what a requirement asks.

use super::{Exit, print};
use crate::conformance::requirements;
use crate::diagnostic::words::cut;
use crate::diagnostic::{Diagnostic, Severity, catalogue, printable, wrapped};
use crate::scenario::suggestion;
use crate::suite;

/// Lines are no longer where the terminal does not say how wide it is.
const COLUMNS: usize = 100;

/// Explains a message by its id, with what leads to it, an example, and what to do; or a requirement by its number.
/// Without either it lists all messages.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::EXPLAIN)]
pub struct Arguments {
    /// Such as monitor/second-reply, the word in brackets at the beginning of a message; or such as VA-3
    #[arg(value_name = "ID")]
    id: Option<String>,
}

/// Prints what is known of it.
pub fn run(arguments: &Arguments) -> Exit {
    let columns = print::screen().columns.unwrap_or(COLUMNS).min(COLUMNS);
    let Some(id) = &arguments.id else {
        for entry in catalogue::entries() {
            let lines = wrapped(&entry.summary(), columns - 4);
            print::out(&format!("{}\n    {}\n", entry.id, lines.join("\n    ")));
        }
        return Exit::Pass;
    };
    // As it stands in a message, with its word and its headline.
    let in_brackets = id.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(id, _)| id);
    let asked =
        in_brackets.unwrap_or(id).trim_matches(|c: char| c.is_whitespace() || "[]:`".contains(c)).to_lowercase();
    let asked = asked.as_str();
    if let Some(entry) = catalogue::find(asked) {
        print::out(&format!("{}\n\n{}", entry.id, entry.plain(columns)));
        return Exit::Pass;
    }
    if let Some(requirement) = requirements::find(&asked.to_uppercase()) {
        let how = format!("khumbu conform --only {} plays what puts it to the test", requirement.id);
        print::out(&format!("{}\n{how}\n", suite::list([requirement])));
        return Exit::Pass;
    }
    let known = catalogue::entries().map(|entry| entry.id).chain(requirements::ids());
    let by_name = catalogue::entries().map(|entry| entry.id).find(|id| id.split('/').any(|part| part == asked));
    let near = by_name.or_else(|| suggestion(asked, known)).map(|near| format!("did you mean `{near}`? "));
    let headline = format!("`{}` is neither a message nor a requirement", printable(&cut(id, 80)));
    let help = format!(
        "{}`khumbu explain` lists all messages, `khumbu conform --list` all requirements",
        near.unwrap_or_default()
    );
    print::refused(vec![Diagnostic::new(Severity::Error, "usage/unknown-id", headline).with_help(help)])
}

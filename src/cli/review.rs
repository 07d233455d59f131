//! `khumbu review`: looks at goldens that wait, and accepts or rejects them.

use std::fs;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use super::{Exit, goldens, print};
use crate::diagnostic::{Diagnostic, Severity, Style, printable};
use crate::transcript::snapshot::{Snapshot, difference};

/// Shows what changed in goldens, and accepts or rejects it.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::REVIEW)]
pub struct Arguments {
    /// Scenarios, goldens, or directories with such files [default: scenarios]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Accept all of them
    #[arg(long, conflicts_with_all = ["reject", "list"])]
    accept: bool,
    /// Reject all of them
    #[arg(long, conflicts_with = "list")]
    reject: bool,
    /// Show all of them and change nothing
    #[arg(long)]
    list: bool,
}

/// What becomes of a golden that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Accept,
    Reject,
    Skip,
}

/// Reviews.
pub fn run(arguments: &Arguments) -> Exit {
    let pending = goldens::all_pending(&arguments.paths);
    if pending.is_empty() {
        print::out("no goldens wait for review\n");
        return Exit::Pass;
    }
    let is_interactive = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let mut answers = std::io::stdin().lock();
    let mut waiting = 0;
    let (mut failed, mut unwritable) = (false, false);
    for (n, path) in pending.iter().enumerate() {
        let name = printable(&path.display().to_string());
        match shown(path) {
            Ok(change) => print::out(&format!("{name} ({} of {})\n{change}\n", n + 1, pending.len())),
            Err(errors) => {
                print::diagnostics(&errors);
                failed = true;
                // What cannot be read can still be thrown away.
                if !arguments.reject {
                    continue;
                }
            }
        }
        let decision = match arguments {
            Arguments { accept: true, .. } => Decision::Accept,
            Arguments { reject: true, .. } => Decision::Reject,
            Arguments { list: false, .. } if is_interactive => ask(&mut answers),
            _ => Decision::Skip,
        };
        let (done, word) = match decision {
            Decision::Accept => (goldens::accept(path), "accepted"),
            Decision::Reject => (fs::remove_file(path), "rejected"),
            Decision::Skip => {
                waiting += 1;
                continue;
            }
        };
        match done {
            Ok(()) => print::out(&format!("{word} {name}\n")),
            Err(error) => {
                let headline = format!("golden `{name}` cannot be {word}");
                let diagnostic = Diagnostic::new(Severity::Error, "golden/unwritable", headline);
                print::diagnostics(&[diagnostic.with_evidence(error.to_string())]);
                unwritable = true;
            }
        }
    }
    if waiting > 0 {
        print::out(&format!("{} for review\n", waits(waiting)));
        if !is_interactive {
            print::out("khumbu review --accept | --reject [PATH…], or khumbu review on a terminal\n");
        }
    }
    match (unwritable, failed, waiting) {
        (true, ..) => Exit::Error,
        (_, true, _) => Exit::Usage,
        (_, _, 0) => Exit::Pass,
        _ => Exit::Fail,
    }
}

fn waits(goldens: usize) -> String {
    let verb = if goldens == 1 { "waits" } else { "wait" };
    format!("{} {verb}", print::count(goldens, "golden"))
}

/// What would change; a golden that is new is shown as a whole.
fn shown(pending: &Path) -> Result<String, Vec<Diagnostic>> {
    let read = |path: &Path| -> Result<Option<Snapshot>, Vec<Diagnostic>> {
        let Some(source) = goldens::read_file(path)? else { return Ok(None) };
        Snapshot::parse(&source.text).map(Some).map_err(|why| {
            let headline = format!("golden `{}` cannot be read: {why}", path.display());
            vec![Diagnostic::new(Severity::Error, "golden/unreadable", headline)]
        })
    };
    let new = read(pending)?.map(|snapshot| snapshot.body).unwrap_or_default();
    // A broken golden is about to be replaced: that is shown as if there were none.
    let old = read(&pending.with_extension("")).ok().flatten().map(|snapshot| snapshot.body).unwrap_or_default();
    let style = print::style_of(&std::io::stdout());
    let change = difference(&old, &new, usize::MAX);
    Ok(change.lines().map(|line| coloured(&printable(line), style)).collect())
}

fn coloured(line: &str, style: Style) -> String {
    match (style, line.chars().next()) {
        (Style::Coloured, Some('-')) => format!("\x1b[31m{line}\x1b[0m\n"),
        (Style::Coloured, Some('+')) => format!("\x1b[32m{line}\x1b[0m\n"),
        _ => format!("{line}\n"),
    }
}

/// Asks until there is an answer; the end of the input skips.
fn ask(answers: &mut impl BufRead) -> Decision {
    loop {
        print::out("accept, reject or skip? [a/r/s] ");
        let mut answer = String::new();
        match answers.read_line(&mut answer) {
            Ok(0) | Err(_) => return Decision::Skip,
            Ok(_) => match answer.trim() {
                "a" | "accept" => return Decision::Accept,
                "r" | "reject" => return Decision::Reject,
                "s" | "skip" => return Decision::Skip,
                _ => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_until_there_is_an_answer() {
        for (typed, decision) in [
            ("a\n", Decision::Accept),
            ("x\n\nreject\n", Decision::Reject),
            ("s", Decision::Skip),
            ("what\n", Decision::Skip),
            ("", Decision::Skip),
        ] {
            assert_eq!(ask(&mut typed.as_bytes()), decision, "{typed:?}");
        }
    }
}

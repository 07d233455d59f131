//! Standard output and standard error, and whether everything that was to be written, there and in files, was.
//!
//! Output that gets lost, be it by a full disk or a reader that went away, is said once and makes the process end with
//! [`Exit::Error`]: what did not arrive must not be taken for a pass.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use terminal_size::{Width, terminal_size_of};

use super::Exit;
use crate::diagnostic::{Diagnostic, Screen, Style};

/// Whether any output is lost.
static IS_LOST: AtomicBool = AtomicBool::new(false);
/// Whether some of standard output is.
static IS_STDOUT_LOST: AtomicBool = AtomicBool::new(false);

/// Shows a text above the line that somebody types at the terminal; `false` where nobody does.
pub type Above = Box<dyn Fn(&str) -> bool + Send>;

/// Who does that.
static ABOVE: Mutex<Option<Above>> = Mutex::new(None);

/// From now on, what is written to the terminal appears above the line that is typed there; with `None`, as it comes.
pub fn above_the_line(above: Option<Above>) {
    *ABOVE.lock().unwrap_or_else(PoisonError::into_inner) = above;
}

/// Whether a text is shown above the line that is typed.
fn is_shown_above(text: &str, stream: &impl IsTerminal) -> bool {
    let above = ABOVE.lock().unwrap_or_else(PoisonError::into_inner);
    above.as_ref().is_some_and(|above| stream.is_terminal() && above(text))
}

/// Writes results.
pub fn out(text: &str) {
    to_stdout("run/output-lost", "standard output", text);
}

/// Writes a report.
pub fn report(text: &str) {
    to_stdout("run/report-lost", "a report on standard output", text);
}

fn to_stdout(id: &str, what: &str, text: &str) {
    if text.is_empty() || is_shown_above(text, &io::stdout()) {
        return;
    }
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        && !IS_STDOUT_LOST.swap(true, Ordering::Relaxed)
    {
        lost(id, what, &error);
    }
}

/// Writes messages.
pub fn err(text: &str) {
    if is_shown_above(text, &io::stderr()) {
        return;
    }
    if io::stderr().lock().write_all(text.as_bytes()).is_err() {
        IS_LOST.store(true, Ordering::Relaxed);
    }
}

/// Says what is wrong with what was asked for, and ends the process accordingly.
#[must_use]
pub fn refused(diagnostics: Vec<Diagnostic>) -> Exit {
    self::diagnostics(&diagnostics);
    Exit::Usage
}

/// Says that an output is lost, which the end of the process will show.
pub fn lost(id: &str, what: &str, error: &io::Error) {
    IS_LOST.store(true, Ordering::Relaxed);
    err(&format!("error[{id}]: {what} could not be written: {error}\n"));
}

/// Whether an output is lost.
pub fn is_lost() -> bool {
    IS_LOST.load(Ordering::Relaxed)
}

/// How the process ends that would end so if all its output has arrived.
pub fn exit(exit: Exit) -> Exit {
    if is_lost() { Exit::Error } else { exit }
}

/// Writes diagnostics, each followed by an empty line.
pub fn diagnostics(diagnostics: &[Diagnostic]) {
    let screen = screen();
    for diagnostic in diagnostics {
        err(&format!("{}\n", diagnostic.render(screen)));
    }
}

/// The style of messages.
pub fn style() -> Style {
    style_of(&io::stderr())
}

/// What messages are rendered for. `COLUMNS` stands above what the terminal says of itself.
pub fn screen() -> Screen {
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
    let columns = told.or_else(|| terminal_size_of(io::stderr()).map(|(Width(columns), _)| columns.into()));
    Screen { style: style(), columns }
}

/// Colours on a terminal, unless the user wants none (<https://no-color.org>, <https://bixense.com/clicolors>) or the terminal has
/// none.
pub fn style_of(stream: &impl IsTerminal) -> Style {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is = |name, wanted: &str| std::env::var_os(name).is_some_and(|value| value == wanted);
    let is_wanted = !(is_unwanted || is("CLICOLOR", "0") || is("TERM", "dumb"));
    if is_wanted && stream.is_terminal() { Style::Coloured } else { Style::Plain }
}

/// `1 error`, `2 errors`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

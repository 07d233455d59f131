//! Standard output and standard error. A reader that went away is no error.

use std::io::{IsTerminal, Write};

use crate::diagnostic::{Diagnostic, Style};

/// Writes results.
pub fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes a report.
///
/// # Errors
/// When it is lost; not when its reader went away, as `head` does.
pub fn report(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes messages.
pub fn err(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Writes diagnostics, each followed by an empty line.
pub fn diagnostics(diagnostics: &[Diagnostic]) {
    let style = style();
    for diagnostic in diagnostics {
        err(&format!("{}\n", diagnostic.render(style)));
    }
}

/// The style of messages.
pub fn style() -> Style {
    style_of(&std::io::stderr())
}

/// Colours on a terminal, unless the user wants none (<https://no-color.org>).
pub fn style_of(stream: &impl IsTerminal) -> Style {
    let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if is_wanted && stream.is_terminal() { Style::Coloured } else { Style::Plain }
}

/// `1 error`, `2 errors`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

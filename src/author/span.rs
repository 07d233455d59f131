//! Which part of a recording is meant.

use std::str::FromStr;
use std::time::Duration;

use super::heading::Heading;
use crate::diagnostic::words::shown;
use crate::diagnostic::{Diagnostic, Severity};
use crate::parity::Script;
use crate::recording::Recording;
use crate::timespan::Timespan;

/// Where a part begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// So long after the start of the recording.
    Time(Duration),
    /// At this line, from 1.
    Line(usize),
}

/// A part, ends included; open where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Where it begins.
    pub from: Option<Bound>,
    /// Where it ends.
    pub to: Option<Bound>,
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) => Err("lines count from 1".to_owned()),
            Ok(line) => Ok(Bound::Line(line)),
            Err(_) => text.parse::<Timespan>().map(|span| Bound::Time(span.0)).map_err(|_| {
                format!("`{text}` is neither a time of the recording, such as `1.5s`, nor a line of it, such as `40`")
            }),
        }
    }
}

/// A part of a recording.
pub(super) struct Part {
    pub script: Script,
    /// How it was chosen, for people; `None` if it is the whole.
    pub words: Option<String>,
    /// When it begins, in milliseconds.
    pub begins_ms: u64,
}

impl Span {
    /// The part of a recording; a heading belongs to every part.
    ///
    /// # Errors
    /// `recording/empty-span`.
    pub(super) fn of(self, path: &str, script: Script) -> Result<Part, Box<Diagnostic>> {
        if self == Self::default() {
            return Ok(Part { script, words: None, begins_ms: 0 });
        }
        let words = |bound: Option<Bound>, open: &str| match bound {
            None => open.to_owned(),
            Some(Bound::Time(time)) => shown(time),
            Some(Bound::Line(line)) => format!("line {line}"),
        };
        let words = format!("from {} to {}", words(self.from, "its start"), words(self.to, "its end"));
        let Script { recording, file } = script;
        let (last_ms, last_line) = recording.messages.last().map_or((0, 0), |last| (last.t_ms, last.line));
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let messages: Vec<_> = recording
            .messages
            .into_iter()
            .filter(|message| {
                let is_behind = match self.from {
                    None => true,
                    Some(Bound::Time(time)) => message.t_ms >= millis(time),
                    Some(Bound::Line(line)) => message.line >= line,
                };
                let is_before = match self.to {
                    None => true,
                    Some(Bound::Time(time)) => message.t_ms <= millis(time),
                    Some(Bound::Line(line)) => message.line <= line,
                };
                is_behind && is_before || Heading::is_in(message)
            })
            .collect();
        match messages.iter().find(|message| !Heading::is_in(message)).map(|first| first.t_ms) {
            Some(begins_ms) => {
                Ok(Part { script: Script { recording: Recording { messages }, file }, words: Some(words), begins_ms })
            }
            None => {
                let headline = format!("recording `{path}` has no message {words}");
                let until = shown(Duration::from_millis(last_ms));
                let evidence = format!("its last message is line {last_line}, after {until}");
                Err(Box::new(
                    Diagnostic::new(Severity::Error, "recording/empty-span", headline).with_evidence(evidence),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_time_or_a_line() {
        assert_eq!("1.5s".parse(), Ok(Bound::Time(Duration::from_millis(1500))));
        assert_eq!("40".parse(), Ok(Bound::Line(40)));
        for wrong in ["", "0", "-1", "4x", "1.5", "s"] {
            assert!(wrong.parse::<Bound>().is_err(), "{wrong}");
        }
    }
}

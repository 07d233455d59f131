//! The last messages that passed, for whoever looks for what went wrong: what the module was handed last, and how khumbu's
//! own messages were written.
//!
//! Pure: what was seen comes in, words go out. It judges nothing.

use serde_json::Value;

use super::observer::is_own;
use crate::conformance::judge::Case;
use crate::conformance::sighting::{Kind, Party, Sighting};
use crate::diagnostic::words::cut;
use crate::transcript::record::{Direction, Event, Record};

/// So much of a payload is told: what a module has stumbled over may stand at its end.
const LONGEST: usize = 400;

/// The last message that the broker has handed to the module, in one line.
pub fn delivered(case: &Case<'_>, records: &[Record]) -> Option<String> {
    let last = records.iter().rev().find_map(|record| match &record.event {
        Event::Publish { direction: Direction::ToClient, publish } if !is_own(&record.client) => Some(publish),
        _ => None,
    })?;
    let payload = match serde_json::from_slice::<Value>(&last.payload) {
        Ok(json) => json.to_string(),
        Err(_) => String::from_utf8_lossy(&last.payload).escape_debug().to_string(),
    };
    Some(format!("delivered to it last: {} q{} {}", case.elided(&last.topic), last.qos, cut(&payload, LONGEST)))
}

/// How the last message of each kind of khumbu's own is written; nothing, if all are as EVerest's.
pub fn written(case: &Case<'_>, messages: &[Sighting]) -> Option<String> {
    let mut kinds = Vec::new();
    let mut words = Vec::new();
    for seen in messages.iter().rev() {
        // The beacon is over before a client hears anything.
        if matches!(seen.kind, Kind::Control | Kind::Beacon | Kind::Other) {
            continue;
        }
        let kind = seen.kind.name();
        if seen.from == Party::Harness && !kinds.contains(&kind) {
            kinds.push(kind);
            words.extend(case.form_of(seen).map(|form| format!("{kind} as `{}`", form.name())));
        }
    }
    words.reverse();
    let wire = case.wire;
    (!words.is_empty()).then(|| format!("wire form `{wire}`; written last: {}", words.join(", ")))
}

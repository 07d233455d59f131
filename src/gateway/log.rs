//! What a charger and its CSMS said to each other, and what the gateway told the charger: the last of it, in words of
//! the charger's version of OCPP.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::chargers::OcppVersion;
use super::feed::Feed;
use crate::ocpp::Part;
use crate::ocpp::call::{self, Occasion};
pub use crate::ocpp::rfc3339;
use crate::sim::everest::Said;
use crate::station::charge_point::{CsmsInput, Report};

/// Entries that are kept; older ones are forgotten.
pub const CAPACITY: usize = 200;
/// The most bytes of a message that is kept.
const LARGEST_MESSAGE: usize = 2048;

/// The last that was said.
#[derive(Debug, Default)]
pub struct Log {
    entries: Mutex<VecDeque<Kept>>,
    /// The charger's id, and who watches.
    watched: Option<(String, Feed)>,
}

/// Which entries are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// With this action.
    pub action: Option<String>,
    /// Noted then, counted from the Unix epoch.
    pub at: RangeInclusive<Duration>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { action: None, at: Duration::ZERO..=Duration::MAX }
    }
}

impl Wanted {
    fn is(&self, kept: &Kept) -> bool {
        self.action.as_ref().is_none_or(|action| *action == kept.action) && self.at.contains(&kept.at)
    }
}

#[derive(Debug)]
struct Kept {
    direction: Direction,
    action: String,
    /// As JSON, which takes less room than its value.
    message: String,
    at: Duration,
}

/// From whom to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the charger to its CSMS.
    Outgoing,
    /// From the CSMS to the charger.
    Incoming,
    /// From the gateway to the charger.
    Command,
}

/// An entry as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LogEntry {
    /// From whom to whom.
    pub direction: Direction,
    /// The action in OCPP, or the command.
    pub action: String,
    /// What was said, as JSON in a text: so the API's clients read it.
    pub message: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub timestamp: String,
}

impl Log {
    /// The empty log of a charger, which shows each entry to whoever watches.
    pub fn watched(charger_id: &str, feed: &Feed) -> Self {
        Self { entries: Mutex::default(), watched: Some((charger_id.to_owned(), feed.clone())) }
    }

    /// Takes note of something that is no message of OCPP; `at` counts from the Unix epoch.
    pub fn note(&self, direction: Direction, action: impl Into<String>, message: &Value, at: Duration) {
        self.note_part(direction, action, message, Part::Notice, at);
    }

    /// Takes note of something that is this part of the conversation; `at` counts from the Unix epoch.
    pub fn note_part(
        &self,
        direction: Direction,
        action: impl Into<String>,
        message: &Value,
        part: Part,
        at: Duration,
    ) {
        let text = message.to_string();
        let message = match text.len() {
            length if length > LARGEST_MESSAGE => json!({"omitted_bytes": length}).to_string(),
            _ => text,
        };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= CAPACITY {
            entries.pop_front();
        }
        // As precise as it is shown.
        let at = Duration::new(at.as_secs(), at.subsec_millis() * 1_000_000);
        let kept = Kept { direction, action: action.into(), message, at };
        if let Some((charger_id, feed)) = &self.watched {
            feed.note_entry(charger_id, || (kept.shown(), part));
        }
        entries.push_back(kept);
    }

    /// Takes note of what passed between charger and CSMS.
    pub fn note_csms(&self, version: OcppVersion, said: &Said, at: Duration) {
        let (direction, action, message, part) = match said {
            Said::ByChargePoint(report) => {
                let occasion = Occasion { at, ..Occasion::default() };
                // The CSMS inside answers nothing else.
                let part = match report {
                    Report::Authorize { request, .. } => Part::Call(request.0.to_string()),
                    _ => Part::Notice,
                };
                match call::of_report(version, report, occasion, None) {
                    Some(Ok(call)) => (Direction::Outgoing, call.action, call.payload, part),
                    Some(Err(_)) | None => return,
                }
            }
            Said::ByCsms(CsmsInput::Authorized { request, info }) => {
                (Direction::Incoming, "Authorize", call::of_info(version, info), Part::Answer(request.0.to_string()))
            }
            // These are notices of the link, which nobody said.
            Said::ByCsms(
                CsmsInput::Online(_)
                | CsmsInput::Unanswered(_)
                | CsmsInput::TagNoted { .. }
                | CsmsInput::TransactionNoted { .. },
            ) => return,
        };
        self.note_part(direction, action, &message, part, at);
    }

    /// Some of the entries that are wanted, the latest first, and how many of these there are.
    pub fn page(&self, wanted: &Wanted, offset: usize, limit: usize) -> (Vec<LogEntry>, usize) {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let found = || entries.iter().rev().filter(|kept| wanted.is(kept));
        (found().skip(offset).take(limit).map(Kept::shown).collect(), found().count())
    }

    /// When something was last said.
    pub fn last(&self) -> Option<Duration> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).back().map(|kept| kept.at)
    }
}

impl Kept {
    fn shown(&self) -> LogEntry {
        LogEntry {
            direction: self.direction,
            action: self.action.clone(),
            message: self.message.clone(),
            timestamp: rfc3339(self.at),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::station::charge_point::ConnectorStatus;

    #[test]
    fn only_the_last_is_kept_and_the_latest_comes_first() {
        let log = Log::default();
        let count = CAPACITY as u64 + 3;
        for number in 0..count {
            log.note(Direction::Command, "plug_connector", &json!({"n": number}), Duration::from_secs(number));
        }
        let all = Wanted::default();
        let (page, total) = log.page(&all, 1, 2);
        assert_eq!((page.len(), total), (2, CAPACITY));
        assert_eq!(page[0].message, json!({"n": count - 2}).to_string());
        assert_eq!(page[0].timestamp, "1970-01-01T00:03:21.000Z");
        assert_eq!(log.page(&all, CAPACITY, 9).0, []);
        assert_eq!(log.last(), Some(Duration::from_secs(count - 1)));
    }

    #[test]
    fn a_large_message_is_left_out() {
        let log = Log::default();
        log.note(Direction::Command, "proxy_message", &json!("x".repeat(LARGEST_MESSAGE)), Duration::ZERO);
        let message = &log.page(&Wanted::default(), 0, 1).0[0].message;
        assert_eq!(*message, json!({"omitted_bytes": LARGEST_MESSAGE + 2}).to_string());
    }

    #[test]
    fn what_is_not_wanted_is_left_out() {
        let log = Log::default();
        for (number, action) in (1..).zip(["Authorize", "Heartbeat", "Authorize", "Authorize"]) {
            log.note(Direction::Outgoing, action, &json!(number), Duration::from_secs(number));
        }
        let messages = |action: Option<&str>, from: u64, to: u64| {
            let at = Duration::from_secs(from)..=Duration::from_secs(to);
            let (page, total) = log.page(&Wanted { action: action.map(str::to_owned), at }, 0, 2);
            (page.into_iter().map(|entry| entry.message).collect::<Vec<_>>().join(" "), total)
        };
        assert_eq!(messages(Some("Authorize"), 0, 9), ("4 3".to_owned(), 3));
        assert_eq!(messages(None, 2, 3), ("3 2".to_owned(), 2));
        assert_eq!(messages(Some("authorize"), 3, 2), (String::new(), 0));
    }

    #[test]
    fn reports_are_in_the_version_s_words() {
        let log = Log::default();
        let said = Said::ByChargePoint(Report::Status {
            evse: 2,
            status: ConnectorStatus::Charging,
            fault: Some("GroundFault".to_owned()),
        });
        log.note_csms(OcppVersion::Ocpp16, &said, Duration::ZERO);
        log.note_csms(OcppVersion::Ocpp201, &said, Duration::ZERO);
        let (page, _) = log.page(&Wanted::default(), 0, 2);
        let message = |number: usize| serde_json::from_str::<Value>(&page[number].message).unwrap();
        assert_eq!((&message(1)["status"], &message(1)["errorCode"]), (&json!("Charging"), &json!("GroundFailure")));
        assert_eq!(message(0)["connectorStatus"], "Occupied");
        assert!(page.iter().all(|entry| entry.action == "StatusNotification"));
    }
}

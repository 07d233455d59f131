//! One published message, decoded at most once.

use std::cell::OnceCell;

use serde_json::Value;

use crate::diagnostic::{Diagnostic, Severity};
use crate::transcript::record::{Publish, Record};

use super::wording::Wording;

/// A message, its record, and how to speak of it.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) record: &'a Record,
    pub(super) publish: &'a Publish,
    pub(super) wording: &'a Wording,
    json: OnceCell<Result<Value, String>>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(record: &'a Record, publish: &'a Publish, wording: &'a Wording) -> Self {
        Self { record, publish, wording, json: OnceCell::new() }
    }

    /// The payload as JSON, or why it is none.
    pub(super) fn json(&self) -> Result<&Value, &str> {
        self.json
            .get_or_init(|| serde_json::from_slice(&self.publish.payload).map_err(|error| error.to_string()))
            .as_ref()
            .map_err(String::as_str)
    }

    /// `headers.replyTo` of a request, where it is a text.
    pub(super) fn reply_to(&self) -> Option<&str> {
        self.json().ok()?.pointer("/headers/replyTo")?.as_str()
    }

    /// Whether EVerest may find a reply topic where we find none: it skips a byte order mark, and reads what is nested
    /// deeper than we do.
    pub(super) fn hides_reply_to(&self) -> bool {
        self.json().is_err() && self.publish.payload.windows(7).any(|bytes| bytes == b"replyTo")
    }

    /// A finding against this message, with the message as evidence.
    pub(super) fn finding(&self, severity: Severity, id: &'static str, headline: String) -> Diagnostic {
        Diagnostic::new(severity, id, headline)
            .with_evidence(self.wording.place(self.record, self.publish))
            .with_evidence(self.wording.payload(&self.publish.payload))
    }

    /// A failure of the module under test.
    pub(super) fn fail(&self, id: &'static str, headline: String) -> Diagnostic {
        self.finding(Severity::Fail, id, headline)
    }
}

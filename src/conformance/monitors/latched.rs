//! EVerest's side under test: the last status that it repeats on request is one that it has published.
//!
//! Whether it is the latest is for expectations: status and reply may overtake each other. A reply may even come before the
//! status that it repeats, so that the last word is spoken at the end. Nothing is held against an EVerest whose statuses
//! were not all seen.

use std::collections::BTreeSet;

use serde_json::Value;

use super::wording::Worded;
use crate::diagnostic::Diagnostic;

/// The statuses that were published, and the replies that repeat none of them so far.
#[derive(Debug)]
pub(super) struct Latched {
    /// Whether all statuses were seen.
    is_complete: bool,
    published: BTreeSet<String>,
    open: Vec<(String, Diagnostic)>,
}

impl Latched {
    pub(super) fn new(from_start: bool) -> Self {
        Self { is_complete: from_start, published: BTreeSet::new(), open: Vec::new() }
    }

    /// Statuses may have been lost: nothing is judged any more.
    pub(super) fn lost(&mut self) {
        self.is_complete = false;
        self.open.clear();
    }

    /// A status was published.
    pub(super) fn published(&mut self, seen: &Worded<'_>) {
        if let Ok(json) = seen.as_sent() {
            self.published.insert(json.to_string());
        }
    }

    /// A request for the last status was answered.
    pub(super) fn replied(&mut self, seen: &Worded<'_>) {
        let Ok(json) = seen.as_sent() else { return };
        // Before the first status there is nothing to repeat; what has no shape was told already.
        if !self.is_complete || !json.is_object() || json.get("status").is_none_or(Value::is_null) {
            return;
        }
        let headline = "module replied with a status that it has not published like that".to_owned();
        self.open.push((json.to_string(), seen.fail("monitor/other-status", headline)));
    }

    /// The last word.
    pub(super) fn finish(&mut self) -> Vec<Diagnostic> {
        let open = std::mem::take(&mut self.open);
        let other = open.into_iter().filter(|(status, _)| !self.published.contains(status));
        // Where there was no status at all, none could be repeated.
        let requirement = if self.published.is_empty() { "LV-1" } else { "LV-2" };
        other.map(|(_, finding)| finding.breaking(requirement)).collect()
    }
}

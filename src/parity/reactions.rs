//! What EVSEs reported because Auth called them.
//!
//! In EVerest such reports reach Auth before anything else does; in a recording they stand wherever the network let
//! them. So they are taken when the station makes the call; they wait for it a little, and no longer.

use std::collections::BTreeMap;

use serde_json::Value;

use super::roles::{Roles, Stimulus};
use crate::protocol::control::EvseCommand;
use crate::recording::Recording;

/// A report further behind the one before has another reason. Longer than Nagle's algorithm delays a message.
const BEHIND_MS: i64 = 60;

/// The calls of a recording, each with what it brought.
#[derive(Clone)]
pub(super) struct Reactions {
    /// In the order of time.
    calls: Vec<Call>,
    /// By the place of a report, its call.
    of_report: BTreeMap<usize, usize>,
}

#[derive(Clone)]
struct Call {
    evse: i32,
    payload: Value,
    at_ms: i64,
    /// Where the reports stand in the recording.
    reports: Vec<usize>,
    /// Whether the station made it too.
    made: bool,
}

impl Reactions {
    pub(super) fn new(recording: &Recording, roles: &Roles<'_>) -> Self {
        let mut all = Self { calls: Vec::new(), of_report: BTreeMap::new() };
        // By EVSE: its latest call, and when it last reported.
        let mut latest: BTreeMap<i32, (usize, i64)> = BTreeMap::new();
        let mut now = 0;
        for (index, message) in recording.messages.iter().enumerate() {
            now = message.at_ms().max(now);
            if let Some((evse, payload)) = roles.recorded_call(message) {
                latest.insert(evse, (all.calls.len(), now));
                all.calls.push(Call { evse, payload, at_ms: now, reports: Vec::new(), made: false });
                continue;
            }
            match roles.stimulus(message) {
                // What is reported from now on, this brought.
                Some(Stimulus::Command(evse, _)) => drop(latest.remove(&evse)),
                Some(Stimulus::Session(evse, _)) => {
                    let Some((call, last_ms)) = latest.get_mut(&evse) else { continue };
                    if now - *last_ms <= BEHIND_MS {
                        all.calls[*call].reports.push(index);
                        all.of_report.insert(index, *call);
                        *last_ms = now;
                    } else {
                        latest.remove(&evse);
                    }
                }
                _ => {}
            }
        }
        all
    }

    /// Whether a report was brought by a call, and so comes with it.
    pub(super) fn has(&self, report: usize) -> bool {
        self.of_report.contains_key(&report)
    }

    /// When the call that a report belongs to was made, unless the station has made it.
    pub(super) fn awaited(&self, report: usize) -> Option<i64> {
        let call = &self.calls[*self.of_report.get(&report)?];
        (!call.made).then_some(call.at_ms)
    }

    /// Whether a report was brought by the answer to a token: a session that starts so starts because of it, even if the
    /// authorization has timed out by the time that the report is taken.
    pub(super) fn is_of_authorization(&self, report: usize) -> bool {
        self.of_report
            .get(&report)
            .is_some_and(|call| self.calls[*call].payload["call"] == EvseCommand::AuthorizeResponse.name())
    }

    /// Takes what a call brought that the station makes at about the same time.
    pub(super) fn take(&mut self, evse: i32, payload: &Value, at_ms: i64, tolerance_ms: i64) -> Vec<usize> {
        let first = self.calls.partition_point(|call| call.at_ms < at_ms.saturating_sub(tolerance_ms));
        let last_ms = at_ms.saturating_add(tolerance_ms);
        let mut near = self.calls[first..].iter_mut().take_while(|call| call.at_ms <= last_ms);
        let found = near.find(|call| !call.made && call.evse == evse && call.payload == *payload);
        found.map_or_else(Vec::new, |call| {
            call.made = true;
            call.reports.clone()
        })
    }
}

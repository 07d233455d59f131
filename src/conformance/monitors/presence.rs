//! A client under test: the cadence of its communication checks.
//!
//! EVerest raises a fault when `cfg_communication_check_to_s` pass without `true`, in whole seconds and late under
//! load (CommCheckHandler.hpp). The count begins with the first `true`, and ends for good with `false`.

use std::time::Duration;

use crate::diagnostic::{Diagnostic, Severity};

use super::seen::Seen;
use super::wording::time;

/// What a `true` may be late by before it counts: half a second and a tenth of the timeout. A module that keeps half
/// the timeout, as it should, is then never accused because the machine was busy.
fn slack(timeout: Duration) -> Duration {
    Duration::from_millis(500) + timeout / 10
}

/// So many heartbeats must fail to come before a client may think that EVerest is gone, and stop its checks.
const MISSED_HEARTBEATS: u32 = 3;

/// The communication checks of the module under test.
#[derive(Debug)]
pub(super) struct Presence {
    timeout: Option<Duration>,
    heartbeat_interval: Option<Duration>,
    last_true: Option<Duration>,
    /// After `false` EVerest does not check any more.
    ended: bool,
    /// Whether a `true` after `false` needs no remark: the harness asked for it, or it has been made.
    remarked: bool,
    last_heartbeat: Option<Duration>,
    /// The longest time without a heartbeat since the last `true`.
    silence: Duration,
}

impl Presence {
    pub(super) fn new(timeout: Option<Duration>, heartbeat_interval: Option<Duration>) -> Self {
        Self {
            timeout,
            heartbeat_interval,
            last_true: None,
            ended: false,
            remarked: false,
            last_heartbeat: None,
            silence: Duration::ZERO,
        }
    }

    /// The module was cut off, or EVerest is new: the count begins anew with the next `true`.
    pub(super) fn begin_anew(&mut self) {
        self.last_true = None;
        self.last_heartbeat = None;
    }

    /// EVerest started again: `false` from before is forgotten there.
    pub(super) fn everest_restarted(&mut self) {
        self.begin_anew();
        self.ended = false;
        self.remarked = false;
    }

    /// The harness told the module to send checks again.
    pub(super) fn told_to_check(&mut self) {
        self.remarked = true;
    }

    /// A heartbeat of the harness.
    pub(super) fn heartbeat(&mut self, at: Duration) {
        self.silence = self.silence.max(self.silent_for(at));
        self.last_heartbeat = Some(at);
    }

    fn silent_for(&self, at: Duration) -> Duration {
        self.last_heartbeat.map_or(Duration::ZERO, |last| at.saturating_sub(last))
    }

    /// Judges a communication check that has the right shape.
    pub(super) fn observe(&mut self, seen: &Seen<'_>) -> Option<Diagnostic> {
        let at = seen.record.at;
        if !seen.json().ok()?.as_bool()? {
            self.ended = true;
            self.last_true = None;
            return None;
        }
        if self.ended {
            if std::mem::replace(&mut self.remarked, true) {
                return None;
            }
            let headline = "module sent `true` after `false`: EVerest has ended the checking for good".to_owned();
            return Some(seen.finding(Severity::Warning, "monitor/checks-stopped", headline).breaking("CC-9"));
        }
        let silence = self.silence.max(self.silent_for(at));
        let previous = self.last_true.replace(at);
        self.silence = Duration::ZERO;
        let (timeout, gap) = (self.timeout?, at.saturating_sub(previous?));
        let headline = format!("module sent `true` {} after the one before", time(gap));
        self.late(gap, timeout, silence).map(|severity| {
            let finding = seen.finding(severity, "monitor/communication-check-late", headline);
            Self::explained(finding, timeout, silence, severity)
        })
    }

    /// Judges the silence at the end, while the module is still connected.
    pub(super) fn finish(&self, at: Duration) -> Option<Diagnostic> {
        let (timeout, last) = (self.timeout?, self.last_true?);
        let gap = at.saturating_sub(last);
        let silence = self.silence.max(self.silent_for(at));
        let headline = format!("module sent no communication check in the last {}", time(gap));
        self.late(gap, timeout, silence).map(|severity| {
            let finding = Diagnostic::new(severity, "monitor/communication-check-late", headline);
            Self::explained(finding, timeout, silence, severity)
        })
    }

    fn late(&self, gap: Duration, timeout: Duration, silence: Duration) -> Option<Severity> {
        if gap <= timeout + slack(timeout) {
            return None;
        }
        let everest_seemed_gone =
            self.heartbeat_interval.is_some_and(|interval| silence > interval * MISSED_HEARTBEATS);
        Some(if everest_seemed_gone { Severity::Warning } else { Severity::Fail })
    }

    fn explained(finding: Diagnostic, timeout: Duration, silence: Duration, severity: Severity) -> Diagnostic {
        let allowed = format!("allowed {}, tolerated {}", time(timeout), time(timeout + slack(timeout)));
        let finding = finding.with_evidence(allowed).breaking("CC-8");
        if severity == Severity::Warning {
            return finding
                .with_evidence(format!("no heartbeat came for {}, EVerest may have seemed gone", time(silence)));
        }
        finding
    }
}

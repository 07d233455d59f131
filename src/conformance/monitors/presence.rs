//! A client under test: the cadence of its communication checks.
//!
//! EVerest raises a fault when `cfg_communication_check_to_s` pass without `true`, in whole seconds and late under
//! load (CommCheckHandler.hpp). The count begins with the first `true`, and ends for good with `false`.

use std::time::Duration;

use crate::diagnostic::{Diagnostic, Severity};

use super::resubscription::SETTLED;
use super::wording::{Worded, time};

/// A client that is connected again, and sends no communication check any more.
pub const NOT_RESUMED: &str = "monitor/checks-not-resumed";

/// What comes as soon after the connection is back may have been queued before, by a library that knows nothing of its loss.
const QUEUED: Duration = Duration::from_millis(500);

/// What a `true` may be late by before it counts: half a second and a tenth of the timeout. A module that keeps half
/// the timeout, as it should, is then never accused because the machine was busy.
fn slack(timeout: Duration) -> Duration {
    Duration::from_millis(500) + timeout / 10
}

/// Gaps that differ by less are those of one timer: what keeps a module from being in time is not the same twice.
const SAME_TIMER: Duration = Duration::from_millis(100);

/// The communication checks of the module under test.
#[derive(Debug)]
pub(super) struct Presence {
    timeout: Option<Duration>,
    /// When the module was told the timeout.
    told: Duration,
    heartbeat_interval: Option<Duration>,
    last_true: Option<Duration>,
    /// The last gap, if it took the whole timeout.
    whole_timeout: Option<Duration>,
    /// What it had said last before the count began anew, if anything.
    said: Option<bool>,
    /// Whether it has lost its connection, and sent no `true` since but what may have been queued.
    is_lost: bool,
    /// Since when it has its connections again, and hears again what it listened to.
    back: Option<Duration>,
    /// How many connections it had before it lost them.
    links: usize,
    /// Until when nothing more has come, if that is known.
    silent_until: Duration,
    /// After `false` EVerest does not check any more.
    ended: bool,
    /// Whether a `true` after `false` needs no remark: the harness asked for it, or it has been made.
    remarked: bool,
    /// Whether a `true` has followed a `false` of the module's own accord.
    resumed: bool,
    /// Whether the harness has told the module to end.
    is_over: bool,
    last_heartbeat: Option<Duration>,
    /// The lag and the last heartbeat, as they stood before the last one.
    before: (Duration, Option<Duration>),
    /// What the harness's own heartbeats were late by, since the last `true`.
    lag: Duration,
    /// How long the harness has been held up until now, and until the last `true`.
    held_up: (Duration, Duration),
}

impl Presence {
    pub(super) fn new(timeout: Option<Duration>, heartbeat_interval: Option<Duration>) -> Self {
        Self {
            timeout,
            told: Duration::ZERO,
            heartbeat_interval,
            last_true: None,
            whole_timeout: None,
            said: None,
            is_lost: false,
            back: None,
            links: 0,
            silent_until: Duration::ZERO,
            ended: false,
            remarked: false,
            resumed: false,
            is_over: false,
            last_heartbeat: None,
            before: (Duration::ZERO, None),
            lag: Duration::ZERO,
            held_up: (Duration::ZERO, Duration::ZERO),
        }
    }

    /// How long the harness has been held up until now, all in all.
    pub(super) fn held_up(&mut self, held_up: Duration) {
        self.held_up.0 = held_up;
    }

    /// Nothing more has come by then.
    pub(super) fn silent_until(&mut self, at: Duration) {
        self.silent_until = at;
    }

    /// The module lost its connection: the count begins anew with the next `true`, which it owes once it is back.
    pub(super) fn lost(&mut self) {
        self.begin_anew();
        self.is_lost = true;
        self.back = None;
    }

    /// So many connections the module has now, and it hears again what it listened to, or does not.
    pub(super) fn linked(&mut self, at: Duration, links: usize, hears_again: bool) {
        if !self.is_lost {
            self.links = links;
        } else if !hears_again || links < self.links.max(1) {
            self.back = None;
        } else if self.back.is_none() {
            self.back = Some(at);
            // While no heartbeat comes, a client may take EVerest for gone.
            self.last_heartbeat.get_or_insert(at);
        }
    }

    /// The module was cut off, or EVerest is new: the count begins anew with the next `true`.
    fn begin_anew(&mut self) {
        self.said = self.last_true.take().map(|_| true).or(self.said);
        self.last_heartbeat = None;
    }

    /// EVerest started again: `false` from before is forgotten there.
    pub(super) fn everest_restarted(&mut self) {
        self.begin_anew();
        self.ended = false;
        self.remarked = false;
        self.resumed = false;
    }

    /// A reply to a discovery told the module the timeout: 0 or less is none.
    pub(super) fn told(&mut self, seconds: i64, at: Duration) {
        let timeout = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
        if timeout != self.timeout {
            self.timeout = timeout;
            self.told = at;
        }
    }

    /// The harness tells the module to end.
    pub(super) fn told_to_end(&mut self) {
        self.is_over = true;
    }

    /// The harness told the module to send checks again.
    pub(super) fn told_to_check(&mut self) {
        self.remarked = true;
    }

    /// A heartbeat of the harness.
    pub(super) fn heartbeat(&mut self, at: Duration) {
        self.before = (self.lag, self.last_heartbeat);
        self.lag = self.late_until(at);
        self.last_heartbeat = Some(at);
    }

    /// The last heartbeat was kept from the module: to it the one before is the last.
    pub(super) fn heartbeat_kept(&mut self) {
        (self.lag, self.last_heartbeat) = self.before;
    }

    /// What kept the harness from running since the last `true`, or its heartbeats from coming, whichever is more.
    fn lag_until(&self, at: Duration) -> Duration {
        self.late_until(at).max(self.held_up.0.saturating_sub(self.held_up.1))
    }

    /// What heartbeats were late by: while a machine is paused nobody is on time, and while a scenario pauses them a
    /// client may take EVerest for gone and stop its checks.
    fn late_until(&self, at: Duration) -> Duration {
        let (Some(interval), Some(last)) = (self.heartbeat_interval, self.last_heartbeat) else { return self.lag };
        self.lag + at.saturating_sub(last).saturating_sub(interval)
    }

    /// Judges a communication check that has the right shape.
    pub(super) fn observe(&mut self, seen: &Worded<'_>) -> Option<Diagnostic> {
        let at = seen.at;
        let is_good = seen.as_sent().ok()?.as_bool()?;
        if self.is_over {
            return None;
        }
        if !is_good {
            self.ended = true;
            self.last_true = None;
            self.said = Some(false);
            if !std::mem::take(&mut self.resumed) {
                return None;
            }
            // Whoever goes on may have thought better of it, once.
            let headline = "module sent `false`, went on with `true`, and sent `false` again".to_owned();
            let finding = seen.finding(Severity::Fail, "monitor/checks-stopped", headline).breaking("CC-9");
            return Some(
                finding.with_evidence("the first `false` has ended EVerest's checking until EVerest restarts"),
            );
        }
        if self.ended {
            if std::mem::replace(&mut self.remarked, true) {
                return None;
            }
            self.resumed = true;
            let headline = "module sent `true` after `false`: EVerest has ended the checking for good".to_owned();
            return Some(seen.finding(Severity::Warning, "monitor/checks-stopped", headline).breaking("CC-9"));
        }
        let lag = self.lag_until(at);
        self.lag = Duration::ZERO;
        self.held_up.1 = self.held_up.0;
        if self.last_heartbeat.is_some() {
            // The lag so far is spent; a heartbeat still to come is late from here.
            self.last_heartbeat = self.last_heartbeat.max(at.checked_sub(self.heartbeat_interval.unwrap_or_default()));
        }
        let back = self.back.filter(|_| self.said == Some(true));
        let previous = self.last_true.replace(at);
        if !self.is_lost || self.back.is_some_and(|back| at.saturating_sub(back) >= QUEUED) {
            (self.is_lost, self.back) = (false, None);
        }
        let timeout = self.timeout?;
        // Whoever is just back has other things to do first.
        let (since, settling, what) = match (previous, back) {
            (Some(previous), _) => (previous, Duration::ZERO, "after the one before"),
            (None, back) => (back?, SETTLED, "after it had come back"),
        };
        let gap = at.saturating_sub(since.max(self.told));
        let headline = format!("module sent `true` {} {what}", time(gap));
        let is_again =
            self.takes_the_timeout_again(gap, timeout, lag, previous.is_some_and(|previous| previous >= self.told));
        let severity = severity(gap, timeout, lag + settling).or(is_again.then_some(Severity::Fail))?;
        let finding = seen.finding(severity, "monitor/communication-check-late", headline);
        let finding = match is_again {
            true => finding.with_evidence("so it was before: its timer has the timeout itself"),
            false => finding,
        };
        Some(explained(finding, timeout, lag, settling))
    }

    /// Whether a gap takes the whole timeout, as the one before: that is not more often than the timeout.
    fn takes_the_timeout_again(&mut self, gap: Duration, timeout: Duration, lag: Duration, is_whole: bool) -> bool {
        let before = self.whole_timeout.take();
        if gap < timeout || !is_whole || !lag.is_zero() || severity(gap, timeout, lag).is_some() {
            return false;
        }
        self.whole_timeout = Some(gap);
        before.is_some_and(|before| before.abs_diff(gap) < SAME_TIMER)
    }

    /// Judges a communication check that the module leaves as its last will: that is sent when it does not mean to stop.
    pub(super) fn will(&self, seen: &Worded<'_>) -> Option<Diagnostic> {
        let is_end = !seen.as_sent().ok()?.as_bool()?;
        let headline = "module left `false` as its last will: EVerest ends its checking when the connection is lost";
        is_end.then(|| {
            let found = seen.fail("monitor/checks-stopped", headline.to_owned()).breaking("CC-9");
            found.with_help("leave no will, or another one: EVerest sees by itself that checks stay out")
        })
    }

    /// Judges the silence at the end, while the module is still connected.
    pub(super) fn finish(&self, at: Duration) -> Option<Diagnostic> {
        let (timeout, lag) = (self.timeout?, self.lag_until(at));
        if let Some(back) = self.back.filter(|_| self.said != Some(false)) {
            // Where EVerest says nothing, the client's silence is all that there is.
            let queued = self.last_true.filter(|queued| *queued > back);
            let since = back.max(queued.unwrap_or_default()).max(self.told);
            let gap = at.max(self.silent_until).saturating_sub(since);
            let headline = match queued {
                None => format!("module sent no communication check in the {} since it came back", time(gap)),
                Some(_) => {
                    format!("module sent no communication check for {} behind the one as it came back", time(gap))
                }
            };
            let severity = severity(gap, timeout, lag + SETTLED)?;
            // Who has sent none before has not ceased to: a step that expects one says more.
            let severity = if self.said.is_some() { severity } else { Severity::Warning };
            let finding = Diagnostic::new(severity, NOT_RESUMED, headline)
                .with_evidence("it lost its connection, has connected again, and listens again to what it listened to")
                .with_help("send `true` again once the connection is back, whatever was sent on the one before");
            return Some(explained(finding, timeout, lag, SETTLED));
        }
        let gap = at.saturating_sub(self.last_true?.max(self.told));
        let headline = format!("module sent no communication check in the last {}", time(gap));
        let finding = Diagnostic::new(severity(gap, timeout, lag)?, "monitor/communication-check-late", headline);
        Some(explained(finding, timeout, lag, Duration::ZERO))
    }
}

/// How grave a gap is, if it matters; one that the lag of the harness explains is no fault.
fn severity(gap: Duration, timeout: Duration, lag: Duration) -> Option<Severity> {
    let tolerated = timeout + slack(timeout);
    match gap {
        gap if gap > tolerated + lag => Some(Severity::Fail),
        gap if gap > tolerated => Some(Severity::Warning),
        _ => None,
    }
}

fn explained(finding: Diagnostic, timeout: Duration, lag: Duration, settling: Duration) -> Diagnostic {
    let tolerated = time(timeout + slack(timeout) + lag + settling);
    let mut finding = finding.with_evidence(format!("allowed {}, tolerated {tolerated}", time(timeout)));
    if !lag.is_zero() {
        finding = finding.with_evidence(format!("khumbu was held up, or did not send heartbeats, for {}", time(lag)));
    }
    finding.breaking("CC-8")
}

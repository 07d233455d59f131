//! The communication check of an API module (`CommCheckHandler.hpp`, `communication_check_handler`).
//!
//! EVerest hands messages over through a mailbox for one, where a second message at once may replace the first; here
//! every message is handled.

use std::time::Duration;

use super::CommunicationFault;
use crate::protocol::deviations::{Deviation, Deviations};

#[derive(Debug, Clone)]
pub(super) struct CommunicationCheck {
    timeout: Duration,
    state: State,
    /// See [`Deviation::CheckEndedByFalse`].
    ends_for_good: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not begun, switched off by the configuration, or ended for good by a `false`.
    Off,
    /// Stopped by a `false` until the next `true`.
    Stopped,
    /// The next message is due.
    Good { until: Duration },
    /// A fault is active; no second one is raised on top.
    Faulty(CommunicationFault),
}

impl CommunicationCheck {
    pub(super) fn new(timeout_s: i32, deviations: Deviations) -> Self {
        let timeout = Duration::from_secs(u64::try_from(timeout_s).unwrap_or(0));
        Self { timeout, state: State::Off, ends_for_good: deviations.is_on(Deviation::CheckEndedByFalse) }
    }

    /// Begins with a fault, unless it is switched off.
    pub(super) fn start(&mut self) -> Option<CommunicationFault> {
        if self.timeout.is_zero() {
            return None;
        }
        self.state = State::Faulty(CommunicationFault::Initial);
        Some(CommunicationFault::Initial)
    }

    pub(super) fn at(&self) -> Option<Duration> {
        match self.state {
            State::Good { until } => Some(until),
            State::Off | State::Stopped | State::Faulty(_) => None,
        }
    }

    /// The time has come: a fault is raised.
    pub(super) fn run_out(&mut self) -> CommunicationFault {
        self.state = State::Faulty(CommunicationFault::ConnectionLost);
        CommunicationFault::ConnectionLost
    }

    /// Takes a message; gives the fault that it clears, or why it has no effect.
    pub(super) fn message(&mut self, now: Duration, good: bool) -> Result<Option<CommunicationFault>, &'static str> {
        let cleared = match self.state {
            State::Off => return Err("the communication check is off"),
            State::Good { .. } | State::Stopped => None,
            State::Faulty(fault) => Some(fault),
        };
        self.state = match good {
            true => State::Good { until: now.saturating_add(self.timeout) },
            false if self.ends_for_good => State::Off,
            false => State::Stopped,
        };
        Ok(cleared)
    }

    /// One word for people.
    pub(super) fn describe(&self) -> &'static str {
        match self.state {
            State::Off | State::Stopped => "off",
            State::Good { .. } => "good",
            State::Faulty(fault) => fault.sub_type(),
        }
    }
}

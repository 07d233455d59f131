//! One EVSE and the session at it, as EVerest's EvseManager reports it (`modules/EVSE/EvseManager/Charger.cpp`), but
//! with transactions that begin on command only. Decides nothing about tokens.

use crate::auth::{EvseCall, SessionEvent};
use crate::protocol::types::AuthorizationStatus;

/// An EVSE with its connector.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Evse {
    pub plugged_in: bool,
    pub session: bool,
    pub authorized: bool,
    pub transaction: bool,
    pub faulted: bool,
}

type Events = &'static [SessionEvent];

/// How a transaction ends.
const TRANSACTION_ENDS: Events =
    &[SessionEvent::StoppingCharging, SessionEvent::ChargingFinished, SessionEvent::TransactionFinished];

/// How a transaction ends that the EV ends by leaving.
const EV_LEAVES: Events = &[
    SessionEvent::StoppingCharging,
    SessionEvent::ChargingFinished,
    SessionEvent::TransactionFinished,
    SessionEvent::SessionFinished,
];

impl Evse {
    pub(super) fn plug_in(&mut self) -> Result<Events, &'static str> {
        if std::mem::replace(&mut self.plugged_in, true) {
            return Err("an EV is plugged in already");
        }
        // Where a token was authorized first, the session runs already and Auth learns nothing of the EV.
        if std::mem::replace(&mut self.session, true) {
            return Ok(&[]);
        }
        Ok(&[SessionEvent::SessionStartedByPlugIn, SessionEvent::AuthRequired])
    }

    /// Ends the session, also one that was authorized and waits for an EV.
    pub(super) fn unplug(&mut self) -> Result<Events, &'static str> {
        if !self.plugged_in && !self.session {
            return Err("no EV is plugged in");
        }
        let before = std::mem::replace(self, Evse { faulted: self.faulted, ..Evse::default() });
        Ok(match before {
            Evse { transaction: true, .. } => EV_LEAVES,
            Evse { session: true, .. } => &[SessionEvent::SessionFinished],
            _ => &[],
        })
    }

    pub(super) fn start_transaction(&mut self) -> Result<Events, &'static str> {
        if !self.plugged_in {
            return Err("no EV is plugged in");
        }
        if self.transaction {
            return Err("a transaction runs already");
        }
        if !self.authorized {
            return Err("no token is authorized");
        }
        self.transaction = true;
        Ok(&[SessionEvent::PrepareCharging, SessionEvent::TransactionStarted])
    }

    pub(super) fn stop_transaction(&mut self) -> Result<Events, &'static str> {
        if !self.transaction {
            return Err("no transaction runs");
        }
        self.transaction = false;
        self.authorized = false;
        Ok(TRANSACTION_ENDS)
    }

    pub(super) fn inject_fault(&mut self) -> Result<Events, &'static str> {
        if std::mem::replace(&mut self.faulted, true) {
            return Err("the EVSE is faulted already");
        }
        Ok(&[SessionEvent::Faulted])
    }

    pub(super) fn clear_fault(&mut self) -> Result<Events, &'static str> {
        if !std::mem::replace(&mut self.faulted, false) {
            return Err("the EVSE is not faulted");
        }
        Ok(&[SessionEvent::FaultCleared])
    }

    /// Takes over what a restart does not change: the EV and the fault.
    pub(super) fn survive(&mut self, before: &Evse) {
        self.plugged_in = before.plugged_in;
        self.faulted = before.faulted;
    }

    /// Reports what it finds when EVerest starts.
    pub(super) fn wake(&mut self) -> Events {
        let is_new = self.plugged_in && !std::mem::replace(&mut self.session, self.plugged_in);
        match (self.faulted, is_new) {
            (false, false) => &[],
            (false, true) => &[SessionEvent::SessionStartedByPlugIn, SessionEvent::AuthRequired],
            (true, false) => &[SessionEvent::Faulted],
            (true, true) => &[SessionEvent::Faulted, SessionEvent::SessionStartedByPlugIn, SessionEvent::AuthRequired],
        }
    }

    /// Does what Auth asks, and reports.
    pub(super) fn obey(&mut self, call: &EvseCall) -> Events {
        match call {
            EvseCall::AuthorizeResponse(response) => {
                if response.1.authorization_status != AuthorizationStatus::Accepted {
                    return &[];
                }
                self.authorized = true;
                if std::mem::replace(&mut self.session, true) {
                    &[SessionEvent::Authorized]
                } else {
                    &[SessionEvent::SessionStartedByAuthorization, SessionEvent::Authorized]
                }
            }
            EvseCall::WithdrawAuthorization => self.deauthorize(),
            EvseCall::StopTransaction { .. } => self.stop_transaction().unwrap_or_default(),
        }
    }

    /// Takes note of what an EVSE reports that somebody else moves.
    pub(super) fn note(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::SessionStartedByPlugIn => {
                self.plugged_in = true;
                self.session = true;
            }
            SessionEvent::SessionStartedByAuthorization => self.session = true,
            SessionEvent::Authorized => self.authorized = true,
            SessionEvent::Deauthorized => self.authorized = false,
            SessionEvent::TransactionStarted => self.transaction = true,
            SessionEvent::TransactionFinished => {
                self.transaction = false;
                self.authorized = false;
            }
            SessionEvent::SessionFinished => *self = Evse { faulted: self.faulted, ..Evse::default() },
            SessionEvent::Faulted => self.faulted = true,
            SessionEvent::FaultCleared => self.faulted = false,
            SessionEvent::AuthRequired
            | SessionEvent::PluginTimeout
            | SessionEvent::PrepareCharging
            | SessionEvent::StoppingCharging
            | SessionEvent::ChargingFinished
            | SessionEvent::Disabled
            | SessionEvent::Enabled => {}
        }
    }

    /// `Charger::deauthorize_internal`: an unused authorization ends the session even if an EV is plugged in; without
    /// authorization the plug-in has timed out.
    fn deauthorize(&mut self) -> Events {
        if !self.session {
            return &[];
        }
        if self.transaction {
            return &[SessionEvent::Deauthorized];
        }
        if !std::mem::replace(&mut self.authorized, false) {
            return &[SessionEvent::Deauthorized, SessionEvent::PluginTimeout];
        }
        self.session = false;
        &[SessionEvent::Deauthorized, SessionEvent::SessionFinished]
    }
}

//! One EVSE and the session at it, as EVerest's EvseManager reports it (`modules/EVSE/EvseManager/Charger.cpp`), but
//! with transactions that begin on command only. Decides nothing about tokens. Of several connectors one can be in use.

use crate::auth::{EvseCall, GLOBAL, SessionEvent};
use crate::protocol::control::PausedBy;
use crate::protocol::types::AuthorizationStatus;

/// An EVSE with its connectors.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Evse {
    pub plugged_in: bool,
    pub session: bool,
    pub authorized: bool,
    pub transaction: bool,
    /// Who has paused charging.
    pub paused: Option<PausedBy>,
    /// Whether any connector is faulted.
    pub faulted: bool,
    /// Faulted connectors, and those out of service, one bit each.
    pub faults: u64,
    pub disabled: u64,
    /// The connector in use.
    pub connector: i32,
    /// Under which id it is reserved.
    pub reserved: Option<i32>,
    /// The reservation that the transaction uses.
    pub used: Option<i32>,
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
    /// The connector that reports of the session are about.
    pub(super) fn connector(&self) -> i32 {
        self.connector.max(1)
    }

    pub(super) fn plug_in(&mut self) -> Result<Events, &'static str> {
        self.plug_in_at(1)
    }

    pub(super) fn plug_in_at(&mut self, connector: i32) -> Result<Events, &'static str> {
        if std::mem::replace(&mut self.plugged_in, true) {
            return Err("an EV is plugged in already");
        }
        self.connector = connector;
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
        let before = *self;
        self.end_session();
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
        self.paused = None;
        self.authorized = false;
        Ok(TRANSACTION_ENDS)
    }

    /// The session is over; what concerns the hardware, and a reservation that nobody has used, stays. In EVerest whoever
    /// is authorized uses it: a transaction begins at once.
    fn end_session(&mut self) {
        let Evse { faulted, faults, disabled, .. } = *self;
        let reserved = self.reserved.filter(|_| !self.authorized);
        *self = Evse { faulted, faults, disabled, reserved, ..Evse::default() };
    }

    /// Charging pauses: the EV wants no energy, or the EVSE gives none.
    pub(super) fn pause_charging(&mut self, by: PausedBy) -> Result<Events, &'static str> {
        if !self.transaction {
            return Err("no transaction runs");
        }
        if self.paused.replace(by).is_some() {
            return Err("charging pauses already");
        }
        Ok(match by {
            PausedBy::Ev => &[SessionEvent::ChargingPausedEV],
            PausedBy::Evse => &[SessionEvent::ChargingPausedEVSE],
        })
    }

    pub(super) fn resume_charging(&mut self) -> Result<Events, &'static str> {
        self.paused.take().ok_or("charging does not pause")?;
        Ok(&[SessionEvent::ChargingStarted])
    }

    /// Somebody other than Auth authorizes the EVSE, such as EvseManager itself with `disable_authentication`.
    pub(super) fn authorize(&mut self) -> Result<Events, &'static str> {
        if std::mem::replace(&mut self.authorized, true) {
            return Err("it is authorized already");
        }
        Ok(self.authorized_events())
    }

    fn authorized_events(&mut self) -> Events {
        if std::mem::replace(&mut self.session, true) {
            &[SessionEvent::Authorized]
        } else {
            &[SessionEvent::SessionStartedByAuthorization, SessionEvent::Authorized]
        }
    }

    pub(super) fn inject_fault(&mut self) -> Result<Events, &'static str> {
        self.inject_fault_at(1)
    }

    pub(super) fn inject_fault_at(&mut self, connector: i32) -> Result<Events, &'static str> {
        if !set(&mut self.faults, connector, true) {
            return Err("the EVSE is faulted already");
        }
        self.faulted = true;
        Ok(&[SessionEvent::Faulted])
    }

    pub(super) fn clear_fault(&mut self) -> Result<Events, &'static str> {
        self.clear_fault_at(1)
    }

    pub(super) fn clear_fault_at(&mut self, connector: i32) -> Result<Events, &'static str> {
        if !set(&mut self.faults, connector, false) {
            return Err("the EVSE is not faulted");
        }
        self.faulted = self.faults != 0;
        Ok(&[SessionEvent::FaultCleared])
    }

    /// Takes over what a restart does not change: the EV and the fault.
    pub(super) fn survive(&mut self, before: &Evse) {
        self.plugged_in = before.plugged_in;
        self.connector = before.connector;
        self.faulted = before.faulted;
        self.faults = before.faults;
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

    pub(super) fn disable(&mut self, connector: i32) -> Result<Events, &'static str> {
        match set(&mut self.disabled, connector, true) {
            true => Ok(&[SessionEvent::Disabled]),
            false => Err("the connector is out of service already"),
        }
    }

    pub(super) fn enable(&mut self, connector: i32) -> Result<Events, &'static str> {
        match set(&mut self.disabled, connector, false) {
            true => Ok(&[SessionEvent::Enabled]),
            false => Err("the connector is in service"),
        }
    }

    /// `EvseManager::reserve`: whether it is reserved now, and whether that is news.
    pub(super) fn reserve(&mut self, id: i32) -> (bool, Events) {
        let is_idle = !self.plugged_in && !self.faulted && self.disabled == 0;
        let own = self.reserved.unwrap_or(GLOBAL);
        if !is_idle || own != GLOBAL && own != id {
            return (false, &[]);
        }
        let is_again = own == id && id != GLOBAL;
        self.reserved = Some(if id >= 0 { id } else { own });
        (true, if is_again { &[] } else { &[SessionEvent::ReservationStart] })
    }

    /// `EvseManager::cancel_reservation`.
    fn cancel_reservation(&mut self) -> Events {
        if self.reserved.take().is_some() { &[SessionEvent::ReservationEnd] } else { &[] }
    }

    /// What a report means to the reservation of the EVSE: a session uses it up, a fault ends it.
    pub(super) fn after(&mut self, event: SessionEvent) -> Events {
        match event {
            SessionEvent::SessionStartedByAuthorization => {
                self.reserved = None;
                &[]
            }
            SessionEvent::TransactionStarted => {
                self.used = self.reserved.take().filter(|id| *id != GLOBAL);
                &[]
            }
            SessionEvent::Disabled | SessionEvent::Faulted => self.cancel_reservation(),
            _ => &[],
        }
    }

    /// What a call of Auth means to the reservation, before anything else: one that was to be used and is not, is over.
    pub(super) fn before(&mut self, call: &EvseCall) -> Events {
        match call {
            EvseCall::WithdrawAuthorization if self.authorized => self.cancel_reservation(),
            _ => &[],
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
                self.authorized_events()
            }
            EvseCall::WithdrawAuthorization => self.deauthorize(),
            EvseCall::StopTransaction { .. } => self.stop_transaction().unwrap_or_default(),
            EvseCall::Reserve { .. } => &[],
            EvseCall::CancelReservation => self.cancel_reservation(),
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
            SessionEvent::SessionFinished => self.end_session(),
            SessionEvent::Faulted => self.faulted = true,
            SessionEvent::FaultCleared => self.faulted = false,
            SessionEvent::ChargingPausedEV => self.paused = Some(PausedBy::Ev),
            SessionEvent::ChargingPausedEVSE => self.paused = Some(PausedBy::Evse),
            SessionEvent::ChargingStarted => self.paused = None,
            SessionEvent::ReservationStart
            | SessionEvent::ReservationEnd
            | SessionEvent::AuthRequired
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

/// Sets or clears the bit of a connector; `false` if it stood so already.
fn set(bits: &mut u64, connector: i32, on: bool) -> bool {
    let bit = 1 << connector.clamp(0, 63);
    let was = *bits & bit != 0;
    *bits = if on { *bits | bit } else { *bits & !bit };
    was != on
}

//! One EVSE as the auth manager sees it: its identifier, its connector and its one timer. Decides nothing.

use std::time::Duration;

use crate::protocol::types::{AuthorizationType, IdToken, ProvidedIdToken};

/// The token that an EVSE was granted to.
#[derive(Debug, Clone)]
pub(super) struct Identifier {
    pub token: IdToken,
    pub authorization_type: AuthorizationType,
    /// The group as the validator knows it; the provider's own is not kept.
    pub parent: Option<IdToken>,
}

/// The state of the one connector (EVerest `ConnectorStateMachine.cpp`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connector {
    Available,
    Unavailable,
    Faulted,
    Occupied,
    FaultedOccupied,
    UnavailableFaulted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectorEvent {
    Enable,
    Disable,
    Faulted,
    ErrorCleared,
    TransactionStarted,
    SessionFinished,
}

impl Connector {
    /// The next state; events that mean nothing in a state leave it.
    fn after(self, event: ConnectorEvent) -> Connector {
        match (self, event) {
            (Connector::Available, ConnectorEvent::TransactionStarted) => Connector::Occupied,
            (Connector::Available, ConnectorEvent::Disable) => Connector::Unavailable,
            (Connector::Available, ConnectorEvent::Faulted) => Connector::Faulted,
            (Connector::Unavailable, ConnectorEvent::Enable) => Connector::Available,
            (Connector::Unavailable, ConnectorEvent::Faulted) => Connector::UnavailableFaulted,
            (Connector::Faulted, ConnectorEvent::ErrorCleared) => Connector::Available,
            (Connector::Faulted, ConnectorEvent::Disable) => Connector::UnavailableFaulted,
            (Connector::Occupied, ConnectorEvent::SessionFinished) => Connector::Available,
            (Connector::Occupied, ConnectorEvent::Faulted) => Connector::FaultedOccupied,
            (Connector::FaultedOccupied, ConnectorEvent::ErrorCleared) => Connector::Occupied,
            (Connector::FaultedOccupied, ConnectorEvent::SessionFinished) => Connector::Faulted,
            (Connector::UnavailableFaulted, ConnectorEvent::Enable) => Connector::Faulted,
            (Connector::UnavailableFaulted, ConnectorEvent::ErrorCleared) => Connector::Unavailable,
            (state, _) => state,
        }
    }
}

/// What happens when the timer of an EVSE runs out.
#[derive(Debug, Clone)]
pub(super) enum TimerKind {
    /// No transaction began with the authorization of this token.
    Authorization(Box<ProvidedIdToken>),
    /// No token came for the EV.
    PlugIn,
}

#[derive(Debug, Clone)]
pub(super) struct Timer {
    pub at: Duration,
    pub kind: TimerKind,
    /// Whether it has been decided how late it is.
    pub is_final: bool,
}

impl Timer {
    pub(super) fn new(at: Duration, kind: TimerKind) -> Self {
        Self { at, kind, is_final: false }
    }
}

/// One EVSE.
#[derive(Debug, Clone)]
pub(super) struct Evse {
    pub identifier: Option<Identifier>,
    pub transaction_active: bool,
    /// No token came in time; only the end of the session lifts it.
    pub plug_in_timeout: bool,
    connector: Connector,
    /// One timer serves both purposes: starting it again replaces what it was for.
    pub timer: Option<Timer>,
}

impl Evse {
    pub(super) fn new() -> Self {
        Self {
            identifier: None,
            transaction_active: false,
            plug_in_timeout: false,
            connector: Connector::Available,
            timer: None,
        }
    }

    pub(super) fn submit(&mut self, event: ConnectorEvent) {
        self.connector = self.connector.after(event);
    }

    /// Whether a token may be authorized here (`EVSEContext::is_available`).
    ///
    /// A connector that is out of service and faulted at once counts as usable there; such an EVSE is not referenced by
    /// any token that comes, so it matters only if it fails while a validator thinks.
    pub(super) fn is_available(&self) -> bool {
        !self.plug_in_timeout
            && self.identifier.is_none()
            && matches!(self.connector, Connector::Available | Connector::UnavailableFaulted)
    }

    /// Whether it is out of service, so that tokens cannot refer to it.
    pub(super) fn is_disabled(&self) -> bool {
        matches!(self.connector, Connector::Unavailable | Connector::UnavailableFaulted)
    }

    /// Whether an authorization was granted and no transaction runs.
    pub(super) fn is_granted(&self) -> bool {
        self.identifier.is_some() && !self.transaction_active
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_does_not_end_an_occupation() {
        let mut evse = Evse::new();
        for event in [ConnectorEvent::TransactionStarted, ConnectorEvent::Faulted, ConnectorEvent::ErrorCleared] {
            evse.submit(event);
            assert!(!evse.is_available(), "{event:?}");
        }
        evse.submit(ConnectorEvent::SessionFinished);
        assert!(evse.is_available());
    }

    #[test]
    fn a_fault_outlives_a_session() {
        let mut evse = Evse::new();
        for event in [ConnectorEvent::TransactionStarted, ConnectorEvent::Faulted, ConnectorEvent::SessionFinished] {
            evse.submit(event);
            assert!(!evse.is_available(), "{event:?}");
        }
        evse.submit(ConnectorEvent::ErrorCleared);
        assert!(evse.is_available());
    }

    #[test]
    fn out_of_service_and_faulted_have_to_be_lifted_both() {
        let mut evse = Evse::new();
        evse.submit(ConnectorEvent::Disable);
        evse.submit(ConnectorEvent::Faulted);
        assert!(evse.is_disabled());
        evse.submit(ConnectorEvent::ErrorCleared);
        assert!(evse.is_disabled());
        evse.submit(ConnectorEvent::Enable);
        assert!(evse.is_available());
    }
}

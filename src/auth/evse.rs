//! One EVSE as the auth manager sees it: its identifier, its connectors and its one timer. Decides nothing.

use std::time::Duration;

use crate::protocol::types::{AuthorizationType, ConnectorType, IdToken, ProvidedIdToken};

/// The token that an EVSE was granted to.
#[derive(Debug, Clone)]
pub(super) struct Identifier {
    pub token: IdToken,
    pub authorization_type: AuthorizationType,
    /// The group as the validator knows it; the provider's own is not kept.
    pub parent: Option<IdToken>,
}

/// A connector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connector {
    pub kind: ConnectorType,
    pub state: ConnectorState,
}

/// The state of a connector (EVerest `ConnectorStateMachine.cpp`), in EVerest's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ConnectorState {
    Available,
    Unavailable,
    Faulted,
    Occupied,
    UnavailableFaulted,
    FaultedOccupied,
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

impl ConnectorState {
    /// The next state; events that mean nothing in a state leave it.
    fn after(self, event: ConnectorEvent) -> ConnectorState {
        match (self, event) {
            (ConnectorState::Available, ConnectorEvent::TransactionStarted) => ConnectorState::Occupied,
            (ConnectorState::Available, ConnectorEvent::Disable) => ConnectorState::Unavailable,
            (ConnectorState::Available, ConnectorEvent::Faulted) => ConnectorState::Faulted,
            (ConnectorState::Unavailable, ConnectorEvent::Enable) => ConnectorState::Available,
            (ConnectorState::Unavailable, ConnectorEvent::Faulted) => ConnectorState::UnavailableFaulted,
            (ConnectorState::Faulted, ConnectorEvent::ErrorCleared) => ConnectorState::Available,
            (ConnectorState::Faulted, ConnectorEvent::Disable) => ConnectorState::UnavailableFaulted,
            (ConnectorState::Occupied, ConnectorEvent::SessionFinished) => ConnectorState::Available,
            (ConnectorState::Occupied, ConnectorEvent::Faulted) => ConnectorState::FaultedOccupied,
            (ConnectorState::FaultedOccupied, ConnectorEvent::ErrorCleared) => ConnectorState::Occupied,
            (ConnectorState::FaultedOccupied, ConnectorEvent::SessionFinished) => ConnectorState::Faulted,
            (ConnectorState::UnavailableFaulted, ConnectorEvent::Enable) => ConnectorState::Faulted,
            (ConnectorState::UnavailableFaulted, ConnectorEvent::ErrorCleared) => ConnectorState::Unavailable,
            (state, _) => state,
        }
    }
}

impl Connector {
    pub(super) fn new(kind: ConnectorType) -> Self {
        Self { kind, state: ConnectorState::Available }
    }

    pub(super) fn is_occupied(&self) -> bool {
        matches!(self.state, ConnectorState::Occupied | ConnectorState::FaultedOccupied)
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
    /// Whether an EV is there, as far as session events say.
    pub plugged_in: bool,
    /// Connector `n` stands at index `n - 1`.
    pub connectors: Vec<Connector>,
    /// One timer serves both purposes: starting it again replaces what it was for.
    pub timer: Option<Timer>,
}

impl Evse {
    pub(super) fn new() -> Self {
        Self {
            identifier: None,
            transaction_active: false,
            plug_in_timeout: false,
            plugged_in: false,
            connectors: vec![Connector::new(ConnectorType::Unknown)],
            timer: None,
        }
    }

    /// Something happens to a connector; which it is and how it stands then, if there is one with this id.
    pub(super) fn submit(&mut self, connector: i32, event: ConnectorEvent) -> Option<Connector> {
        let connector = self.connectors.get_mut(usize::try_from(connector).ok()?.checked_sub(1)?)?;
        connector.state = connector.state.after(event);
        Some(*connector)
    }

    /// Whether a token may be authorized here (`EVSEContext::is_available`).
    ///
    /// One occupied connector keeps the others from being used. One that is out of service and faulted at once counts as
    /// usable there; an EVSE with no other is not referenced by any token that comes, so it matters only if it fails
    /// while a validator thinks.
    pub(super) fn is_available(&self) -> bool {
        let out_of_use = |it: &Connector| matches!(it.state, ConnectorState::Unavailable | ConnectorState::Faulted);
        !self.plug_in_timeout
            && self.identifier.is_none()
            && !self.connectors.iter().any(Connector::is_occupied)
            && !self.connectors.iter().all(out_of_use)
    }

    /// Whether it is out of service, so that tokens cannot refer to it.
    pub(super) fn is_disabled(&self) -> bool {
        let is_disabled =
            |it: &Connector| matches!(it.state, ConnectorState::Unavailable | ConnectorState::UnavailableFaulted);
        self.connectors.iter().all(is_disabled)
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
            evse.submit(1, event);
            assert!(!evse.is_available(), "{event:?}");
        }
        evse.submit(1, ConnectorEvent::SessionFinished);
        assert!(evse.is_available());
    }

    #[test]
    fn a_fault_outlives_a_session() {
        let mut evse = Evse::new();
        for event in [ConnectorEvent::TransactionStarted, ConnectorEvent::Faulted, ConnectorEvent::SessionFinished] {
            evse.submit(1, event);
            assert!(!evse.is_available(), "{event:?}");
        }
        evse.submit(1, ConnectorEvent::ErrorCleared);
        assert!(evse.is_available());
    }

    #[test]
    fn out_of_service_and_faulted_have_to_be_lifted_both() {
        let mut evse = Evse::new();
        evse.submit(1, ConnectorEvent::Disable);
        evse.submit(1, ConnectorEvent::Faulted);
        assert!(evse.is_disabled());
        evse.submit(1, ConnectorEvent::ErrorCleared);
        assert!(evse.is_disabled());
        evse.submit(1, ConnectorEvent::Enable);
        assert!(evse.is_available());
    }
}

//! Reservations of a CSMS: an EVSE is kept for a tag until a moment (OCPP 1.6, 5.3 and 5.13; 2.0.1, H01 to H04). Knows no
//! clock and no EVSE: whether one is free, others say.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::connector::ConnectorStatus;
use super::tag::IdTag;

/// A reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Its number; another one of the same number takes its place.
    pub id: i32,
    /// The EVSE.
    pub evse: i32,
    /// For whom.
    pub id_tag: IdTag,
    /// For whose group besides.
    pub parent: Option<IdTag>,
    /// Until when, counted from the Unix epoch.
    pub expiry: Duration,
}

/// What became of the wish for one (ReservationStatus, ReserveNowStatusEnumType).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ReservationStatus {
    /// It is made.
    Accepted,
    /// The connector is faulted.
    Faulted,
    /// The connector is occupied, or reserved already.
    Occupied,
    /// None is made.
    Rejected,
    /// The connector is out of service.
    Unavailable,
}

/// How a reservation ended that was not used (2.0.1, ReservationUpdateStatusEnumType).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ReservationEnd {
    /// Its time was over.
    Expired,
    /// What was reserved cannot be used any more.
    Removed,
}

impl ReservationStatus {
    /// What becomes of a wish for a connector in this state, where nobody else has reserved it.
    pub(super) fn at(status: ConnectorStatus) -> Self {
        match status {
            ConnectorStatus::Available | ConnectorStatus::Reserved => ReservationStatus::Accepted,
            ConnectorStatus::Faulted => ReservationStatus::Faulted,
            ConnectorStatus::Unavailable => ReservationStatus::Unavailable,
            _ => ReservationStatus::Occupied,
        }
    }
}

/// The reservations in force, one at most for an EVSE.
#[derive(Debug, Clone, Default)]
pub(super) struct Reservations(BTreeMap<i32, Reservation>);

impl Reservations {
    /// That of an EVSE.
    pub fn of(&self, evse: i32) -> Option<&Reservation> {
        self.0.values().find(|reservation| reservation.evse == evse)
    }

    pub fn put(&mut self, reservation: Reservation) {
        self.0.insert(reservation.id, reservation);
    }

    /// Ends one; `false` if there is none of this number.
    pub fn cancel(&mut self, id: i32) -> bool {
        self.0.remove(&id).is_some()
    }

    /// When the first one ends by itself.
    pub fn at(&self) -> Option<Duration> {
        self.0.values().map(|reservation| reservation.expiry).min()
    }

    /// Takes one out whose time is over.
    pub fn expired(&mut self, now: Duration) -> Option<i32> {
        let id = self.0.values().find(|reservation| reservation.expiry <= now)?.id;
        self.cancel(id).then_some(id)
    }
}

impl Reservation {
    /// Whether a tag may use it.
    pub(super) fn is_for(&self, tag: &IdTag, parent: Option<&IdTag>) -> bool {
        self.id_tag == *tag || self.parent.as_ref().is_some_and(|mine| parent == Some(mine))
    }
}

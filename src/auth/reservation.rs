//! Reservations (`ReservationHandler.cpp`): of an EVSE, or global ones, of any EVSE with a connector of a type. They decide
//! which tokens an EVSE may be granted to, and end by use, cancellation, expiry, or when they cannot be kept any more.
//!
//! EVerest may keep them in a store; here they end with the auth manager.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::evse::{Connector, ConnectorState, Evse};
use super::manager::AuthManager;
use super::{Effect, EvseCall};
use crate::protocol::types::{ConnectorType, ReservationResult, ReservationStatus};

/// The id under which an EVSE is reserved for no reservation of its own, but because global ones need it.
pub(crate) const GLOBAL: i32 = -1;

/// A reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Chosen by whoever makes it; a later one with the same id takes its place.
    pub reservation_id: i32,
    /// The value of the token that may use it.
    pub id_token: String,
    /// The value of the group whose tokens may use it.
    pub parent_id_token: Option<String>,
    /// The EVSE; absent means that it is a global one.
    pub evse_id: Option<i32>,
    /// The type of the connector; absent means any.
    pub connector_type: Option<ConnectorType>,
    /// When it ends; `None` means that this was before.
    pub expires: Option<Duration>,
}

impl Reservation {
    /// Whether a token of this value, with this group, may use it.
    fn is_for(&self, token: &str, parent: Option<&str>) -> bool {
        let is_group = self.parent_id_token.as_deref().zip(parent).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b));
        self.id_token.eq_ignore_ascii_case(token) || is_group
    }

    fn wanted(&self) -> ConnectorType {
        self.connector_type.unwrap_or_default()
    }
}

/// All reservations.
#[derive(Debug, Clone, Default)]
pub(super) struct Reservations {
    by_evse: BTreeMap<i32, Reservation>,
    global: Vec<Reservation>,
    /// EVSEs that were last told to be reserved for global ones.
    reserved: BTreeSet<i32>,
}

impl Reservations {
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        // Mostly there are none, and this is asked several times for every input.
        if self.by_evse.is_empty() && self.global.is_empty() {
            return None;
        }
        self.by_evse.values().chain(&self.global).filter_map(|reservation| reservation.expires).min()
    }

    /// Takes one away; the EVSE it was for, if it was for one.
    fn remove(&mut self, id: i32) -> Option<Option<i32>> {
        let evse = self.by_evse.iter().find(|(_, reservation)| reservation.reservation_id == id).map(|(evse, _)| *evse);
        if let Some(evse) = evse {
            self.by_evse.remove(&evse);
            return Some(Some(evse));
        }
        let position = self.global.iter().position(|reservation| reservation.reservation_id == id)?;
        self.global.remove(position);
        Some(None)
    }
}

impl AuthManager {
    /// Command `reserve_now`.
    pub(super) fn reserve(&mut self, now: Duration, reservation: Reservation, out: &mut Vec<Effect>) {
        let (id, evse) = (reservation.reservation_id, reservation.evse_id);
        let result = self.make_reservation(now, reservation);
        match evse {
            // The EVSE has its say.
            Some(evse) if result == ReservationResult::Accepted => {
                out.push(Effect::Call { evse, call: EvseCall::Reserve { reservation_id: id } });
            }
            None if result == ReservationResult::Accepted => self.reservation_placed(id, out),
            _ => out.push(Effect::ReservationResult { reservation_id: id, result }),
        }
    }

    /// An EVSE has answered a call `reserve`.
    pub(super) fn evse_reserved(&mut self, id: i32, is_accepted: bool, out: &mut Vec<Effect>) {
        match is_accepted {
            true if id == GLOBAL => out.push(update(id, ReservationStatus::Placed)),
            true => self.reservation_placed(id, out),
            false if id == GLOBAL => {}
            false => {
                self.reservations.remove(id);
                out.push(Effect::ReservationResult { reservation_id: id, result: ReservationResult::Rejected });
            }
        }
    }

    fn reservation_placed(&mut self, id: i32, out: &mut Vec<Effect>) {
        out.push(update(id, ReservationStatus::Placed));
        self.check_reserved(out);
        out.push(Effect::ReservationResult { reservation_id: id, result: ReservationResult::Accepted });
    }

    /// Command `cancel_reservation`; whoever cancels is not told so by an update.
    pub(super) fn cancel_reservation(&mut self, id: i32, out: &mut Vec<Effect>) {
        let removed = self.reservations.remove(id);
        if let Some(evse) = removed {
            self.reservation_ended(evse, out);
        }
        out.push(Effect::ReservationCancelled { reservation_id: id, is_cancelled: removed.is_some() });
    }

    /// Ends reservations whose time was over by `due`.
    pub(super) fn reservations_run_out(&mut self, due: Duration, out: &mut Vec<Effect>) {
        let all = self.reservations.by_evse.values().chain(&self.reservations.global);
        let is_over = |it: &&Reservation| it.expires == Some(due);
        let over: Vec<i32> = all.filter(is_over).map(|it| it.reservation_id).collect();
        for id in over {
            self.end_reservation(id, ReservationStatus::Expired, out);
        }
    }

    /// An EVSE says that it is reserved no longer.
    pub(super) fn evse_ended_reservation(&mut self, evse: i32, out: &mut Vec<Effect>) {
        if let Some(id) = self.reservations.by_evse.get(&evse).map(|reservation| reservation.reservation_id) {
            self.end_reservation(id, ReservationStatus::Removed, out);
        }
    }

    /// Something but a command has ended a reservation: EVSE and world are told.
    fn end_reservation(&mut self, id: i32, status: ReservationStatus, out: &mut Vec<Effect>) {
        let Some(evse) = self.reservations.remove(id) else { return };
        if let Some(evse) = evse {
            out.push(Effect::Call { evse, call: EvseCall::CancelReservation });
        }
        out.push(update(id, status));
        self.check_reserved(out);
    }

    fn reservation_ended(&mut self, evse: Option<i32>, out: &mut Vec<Effect>) {
        if let Some(evse) = evse {
            out.push(Effect::Call { evse, call: EvseCall::CancelReservation });
        }
        self.check_reserved(out);
    }

    /// A token used a reservation; neither the EVSE nor the world is told.
    pub(super) fn reservation_used(&mut self, id: i32) {
        self.reservations.remove(id);
    }

    /// The reservation by which a token may use an EVSE: that of the EVSE, and if it has none, a global one.
    pub(super) fn matching_reservation(&self, token: &str, evse: i32, parent: Option<&str>) -> Option<i32> {
        let found = match self.reservations.by_evse.get(&evse) {
            Some(reservation) => Some(reservation).filter(|it| it.is_for(token, parent)),
            None => self.reservations.global.iter().find(|it| it.is_for(token, parent)),
        };
        found.map(|reservation| reservation.reservation_id)
    }

    pub(super) fn is_reserved(&self, evse: i32) -> bool {
        self.reservations.by_evse.contains_key(&evse)
    }

    /// Whether all reservations could be kept if somebody without one charged here.
    pub(super) fn is_charging_possible(&self, evse: i32) -> bool {
        if self.is_reserved(evse) || self.evse(evse).is_none() {
            return false;
        }
        let mut used = self.reserved_evses();
        used.insert(evse);
        self.is_possible(&global_types(&self.reservations.global), &used)
    }

    /// Whether all EVSEs are reserved for others, as far as can be told before a validator has named the token's group.
    pub(super) fn is_reserved_for_others(&self, token: &str, referenced: &[i32]) -> bool {
        !referenced.iter().any(|evse| {
            self.is_charging_possible(*evse)
                || self.matching_reservation(token, *evse, None).is_some()
                || self.has_reservation_parent(*evse)
        })
    }

    /// Whether an EVSE may be granted to a token, for all that is known: a group that nobody knows yet may do.
    pub fn may_be_for(&self, evse: i32, token: &str, parent: Option<&str>) -> bool {
        self.is_charging_possible(evse)
            || self.matching_reservation(token, evse, parent).is_some()
            || parent.is_none() && self.has_reservation_parent(evse)
    }

    /// Takes over the reservations from before a restart.
    pub fn keep_reservations(&mut self, before: &AuthManager) {
        self.reservations = before.reservations.clone();
    }

    fn has_reservation_parent(&self, evse: i32) -> bool {
        match self.reservations.by_evse.get(&evse) {
            Some(reservation) => reservation.parent_id_token.is_some(),
            None => self.reservations.global.iter().any(|reservation| reservation.parent_id_token.is_some()),
        }
    }

    fn make_reservation(&mut self, now: Duration, reservation: Reservation) -> ReservationResult {
        if reservation.expires.is_none_or(|expires| now > expires) {
            return ReservationResult::Rejected;
        }
        // One with the same id makes room, whatever comes of the new one; its EVSE is not told.
        self.reservations.remove(reservation.reservation_id);
        let wanted = reservation.wanted();
        let types = global_types(&self.reservations.global);
        let Some(id) = reservation.evse_id else {
            if reservation.connector_type.is_some() && !self.evses.iter().any(|evse| has_type(evse, wanted)) {
                return ReservationResult::Rejected;
            }
            let types: Vec<_> = types.into_iter().chain([wanted]).collect();
            if !self.is_possible(&types, &self.reserved_evses()) {
                return self.why_impossible(wanted);
            }
            self.reservations.global.push(reservation);
            return ReservationResult::Accepted;
        };
        if self.is_reserved(id) {
            return ReservationResult::Occupied;
        }
        let Some(evse) = self.evse(id) else { return ReservationResult::Rejected };
        if !has_type(evse, wanted) {
            return ReservationResult::Rejected;
        }
        let state = Some(occupation(evse)).filter(|result| *result != ReservationResult::Accepted);
        let state = state.unwrap_or_else(|| availability(evse, wanted));
        if state != ReservationResult::Accepted {
            return state;
        }
        let mut used = self.reserved_evses();
        used.insert(id);
        if !types.is_empty() && !self.is_possible(&types, &used) {
            return self.why_impossible(wanted);
        }
        self.reservations.by_evse.insert(id, reservation);
        ReservationResult::Accepted
    }

    /// A connector has a new state, `None` if there is no such connector. One that cannot be used any more ends the
    /// reservation of its EVSE, or those that cannot be kept without it.
    pub(super) fn connector_changed(&mut self, evse: i32, connector: Option<Connector>, out: &mut Vec<Effect>) {
        let Some(connector) = connector.filter(|it| it.state != ConnectorState::Available) else { return };
        if let Some(reservation) = self.reservations.by_evse.get(&evse)
            && reservation.connector_type.is_some_and(|wanted| connector.kind.serves(wanted))
        {
            let id = reservation.reservation_id;
            return self.end_reservation(id, ReservationStatus::Removed, out);
        }
        let (mut used, mut types, mut lost) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (evse, reservation) in &self.reservations.by_evse {
            used.insert(*evse);
            if !self.is_possible(&types, &used) {
                lost.push(reservation.reservation_id);
                used.remove(evse);
            }
        }
        for reservation in &self.reservations.global {
            // Without a type of its own a reservation is not counted when it is looked at.
            let with: Vec<_> = types.iter().copied().chain(reservation.connector_type).collect();
            match self.is_possible(&with, &used) {
                true => types.push(reservation.wanted()),
                false => lost.push(reservation.reservation_id),
            }
        }
        for id in lost {
            self.end_reservation(id, ReservationStatus::Removed, out);
        }
    }

    /// Tells the EVSEs that global reservations need, or need no longer (AuthHandler
    /// `check_evse_reserved_and_send_updates`).
    pub(super) fn check_reserved(&mut self, out: &mut Vec<Effect>) {
        let specific = self.reserved_evses();
        let is_free = |(id, evse): &(i32, &Evse)| {
            occupation(evse) == ReservationResult::Accepted
                && !specific.contains(id)
                && availability(evse, ConnectorType::Unknown) == ReservationResult::Accepted
        };
        let available: BTreeSet<i32> = (1..).zip(&self.evses).filter(is_free).map(|(id, _)| id).collect();
        let global = &self.reservations.global;
        let mut needed = BTreeSet::new();
        if available.len() == global.len() {
            needed.clone_from(&available);
        } else {
            for reservation in global {
                let mut types = global_types(global);
                types.extend(reservation.connector_type);
                if !self.is_possible(&types, &specific) {
                    let serves = |id: &&i32| self.evse(**id).is_some_and(|evse| has_type(evse, reservation.wanted()));
                    needed.extend(available.iter().filter(serves));
                }
            }
        }
        let before = std::mem::replace(&mut self.reservations.reserved, needed.clone());
        for &evse in available.iter().filter(|evse| before.contains(evse) && !needed.contains(evse)) {
            out.push(Effect::Call { evse, call: EvseCall::CancelReservation });
        }
        for &evse in needed.difference(&before) {
            out.push(Effect::Call { evse, call: EvseCall::Reserve { reservation_id: GLOBAL } });
        }
    }

    fn reserved_evses(&self) -> BTreeSet<i32> {
        self.reservations.by_evse.keys().copied().collect()
    }

    /// Whether cars that want these connectors all find an EVSE, in whatever order they come and wherever each of them
    /// goes, if those in `used` are taken.
    ///
    /// EVerest tries every order and every way. A car finds nothing exactly if the others can take all EVSEs that would
    /// do for it.
    fn is_possible(&self, cars: &[ConnectorType], used: &BTreeSet<i32>) -> bool {
        if cars.len() + used.len() > self.evses.len() {
            return false;
        }
        let usable = |wanted: ConnectorType| -> Vec<i32> {
            let is_usable = |(id, evse): &(i32, &Evse)| {
                !used.contains(id)
                    && occupation(evse) == ReservationResult::Accepted
                    && has_type(evse, wanted)
                    && availability(evse, wanted) == ReservationResult::Accepted
            };
            (1..).zip(&self.evses).filter(is_usable).map(|(id, _)| id).collect()
        };
        let choices: Vec<Vec<i32>> = cars.iter().map(|car| usable(*car)).collect();
        (0..cars.len()).all(|car| {
            let wanted = &choices[car];
            let others: Vec<&[i32]> =
                choices.iter().enumerate().filter(|(other, _)| *other != car).map(|(_, it)| it.as_slice()).collect();
            !can_take_all(wanted, &others)
        })
    }

    /// Why no reservation can be made for a connector of this type (`get_reservation_evse_connector_state`).
    fn why_impossible(&self, wanted: ConnectorType) -> ReservationResult {
        if !self.reservations.global.is_empty() || !self.reservations.by_evse.is_empty() {
            return ReservationResult::Occupied;
        }
        if self.evses.iter().any(|evse| evse.plugged_in) {
            return ReservationResult::Occupied;
        }
        let evses: Vec<&Evse> = self.evses.iter().filter(|evse| has_type(evse, wanted)).collect();
        if evses.is_empty() {
            return ReservationResult::Rejected;
        }
        let connectors = evses.iter().flat_map(|evse| &evse.connectors).filter(|it| it.kind.serves(wanted));
        let states = connectors.map(|it| it.state).filter(|state| *state != ConnectorState::Available);
        in_words(states.fold(ConnectorState::Unavailable, worse))
    }
}

fn update(reservation_id: i32, status: ReservationStatus) -> Effect {
    Effect::ReservationUpdate { reservation_id, status }
}

fn global_types(global: &[Reservation]) -> Vec<ConnectorType> {
    global.iter().map(Reservation::wanted).collect()
}

fn has_type(evse: &Evse, wanted: ConnectorType) -> bool {
    wanted == ConnectorType::Unknown || evse.connectors.iter().any(|connector| connector.kind.serves(wanted))
}

/// Whether somebody is at an EVSE.
fn occupation(evse: &Evse) -> ReservationResult {
    if evse.plugged_in {
        return ReservationResult::Occupied;
    }
    let occupied = evse.connectors.iter().find(|connector| connector.is_occupied());
    occupied.map_or(ReservationResult::Accepted, |connector| in_words(connector.state))
}

/// Whether an EVSE has a connector of a type that can be used, or why not.
fn availability(evse: &Evse, wanted: ConnectorType) -> ReservationResult {
    let mut states = evse.connectors.iter().filter(|it| it.kind.serves(wanted)).map(|it| it.state);
    let state = states.try_fold(ConnectorState::Unavailable, |worst, state| match state {
        ConnectorState::Available => Err(state),
        state => Ok(worse(worst, state)),
    });
    in_words(state.unwrap_or_else(|available| available))
}

/// Which of two states is the one to be told (`get_new_connector_state`).
fn worse(current: ConnectorState, new: ConnectorState) -> ConnectorState {
    match new {
        ConnectorState::Occupied => ConnectorState::Occupied,
        _ if new <= current => current,
        ConnectorState::FaultedOccupied => ConnectorState::Occupied,
        ConnectorState::UnavailableFaulted if current != ConnectorState::Occupied => ConnectorState::Faulted,
        ConnectorState::UnavailableFaulted => current,
        new => new,
    }
}

fn in_words(state: ConnectorState) -> ReservationResult {
    match state {
        ConnectorState::Available => ReservationResult::Accepted,
        ConnectorState::Unavailable => ReservationResult::Unavailable,
        ConnectorState::Occupied => ReservationResult::Occupied,
        ConnectorState::Faulted | ConnectorState::UnavailableFaulted | ConnectorState::FaultedOccupied => {
            ReservationResult::Faulted
        }
    }
}

/// Whether each of these EVSEs can be given to another of the cars, which have the choice among some.
fn can_take_all(evses: &[i32], cars: &[&[i32]]) -> bool {
    fn give(evse: i32, cars: &[&[i32]], given: &mut [Option<i32>], seen: &mut [bool]) -> bool {
        for car in 0..cars.len() {
            if seen[car] || !cars[car].contains(&evse) {
                continue;
            }
            seen[car] = true;
            if given[car].is_none_or(|other| give(other, cars, given, seen)) {
                given[car] = Some(evse);
                return true;
            }
        }
        false
    }
    let mut given = vec![None; cars.len()];
    evses.iter().all(|evse| give(*evse, cars, &mut given, &mut vec![false; cars.len()]))
}

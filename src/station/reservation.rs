//! Reservations: whoever reserves asks Auth, be it a step of a scenario or a CSMS, and Auth alone keeps them.

use std::time::Duration;

use super::charge_point::{Answer, IdTag};
use super::machine::ignored;
use super::{Effect, Station};
use crate::auth;
use crate::protocol::control::Reserve;

impl Station {
    /// Somebody reserves for a time from now.
    pub(super) fn ask_auth_to_reserve(&mut self, wish: Reserve, out: &mut Vec<Effect>) {
        let Reserve { reservation_id, id_token, parent_id_token, evse_id, connector_type, expires_in_ms } = wish;
        let expires = u64::try_from(expires_in_ms).ok().map(|ms| self.now.saturating_add(Duration::from_millis(ms)));
        let reservation =
            auth::Reservation { reservation_id, id_token, parent_id_token, evse_id, connector_type, expires };
        if self.ready {
            self.tell_auth(auth::Input::Reserve(reservation), None, out);
        } else {
            out.push(ignored("EVerest is not ready: it reserves nothing"));
        }
    }

    /// The CSMS reserves (OCPP 1.6, 5.13; 2.0.1, H01).
    pub(super) fn reserve(&mut self, reservation: auth::Reservation, out: &mut Vec<Effect>) -> Result<Answer, String> {
        let id = reservation.reservation_id;
        let result = |effect: &Effect| match effect {
            Effect::ReservationResult { reservation_id, result } if *reservation_id == id => Some(*result),
            _ => None,
        };
        self.answer_of_auth(auth::Input::Reserve(reservation), result, out).map(Answer::Reserved)
    }

    /// The CSMS cancels a reservation (OCPP 1.6, 5.2; 2.0.1, H02).
    pub(super) fn cancel_reservation(&mut self, id: i32, out: &mut Vec<Effect>) -> Result<Answer, String> {
        let result = |effect: &Effect| match effect {
            Effect::ReservationCancelled { reservation_id, is_cancelled } if *reservation_id == id => {
                Some(*is_cancelled)
            }
            _ => None,
        };
        match self.answer_of_auth(auth::Input::CancelReservation { reservation_id: id }, result, out)? {
            true => Ok(Answer::Done),
            false => Err(format!("there is no reservation {id}")),
        }
    }

    /// # Errors
    /// If Auth does not answer at once. Then it takes no notice either.
    fn answer_of_auth<A>(
        &mut self,
        input: auth::Input,
        read: impl Fn(&Effect) -> Option<A>,
        out: &mut Vec<Effect>,
    ) -> Result<A, String> {
        if !self.ready {
            return Err("EVerest is not ready".to_owned());
        }
        let before = out.len();
        self.tell_auth(input.clone(), None, out);
        let answer = out[before..].iter().find_map(read);
        answer.ok_or_else(|| {
            self.for_auth.retain(|(waiting, _)| *waiting != input);
            "Auth is busy with a withdraw request".to_owned()
        })
    }

    /// # Errors
    /// If an EVSE is kept for other tokens. Of a token whose group is not known that is seen when it is validated.
    pub(super) fn check_reserved(&self, evse: i32, id_tag: &IdTag) -> Result<(), String> {
        let parent = self.parent_of(id_tag);
        let parent = parent.as_ref().map(IdTag::as_str);
        if self.evse(evse).is_none() || self.auth.may_be_for(evse, id_tag.as_str(), parent) {
            return Ok(());
        }
        Err(format!("EVSE {evse}: it is reserved for another token"))
    }

    /// The group of a token, where an EVSE is kept for the group.
    pub(super) fn group_that_needs(&self, evse: i32, id_tag: &IdTag) -> Option<IdTag> {
        // A token of no group would not get it.
        self.parent_of(id_tag).filter(|_| !self.auth.may_be_for(evse, id_tag.as_str(), Some("")))
    }

    fn parent_of(&self, id_tag: &IdTag) -> Option<IdTag> {
        self.charge_point.as_ref()?.authorization.parent(id_tag)
    }
}

//! What happens at an EVSE, because somebody acts there or because Auth asks, and how Auth hears of it.

use std::iter;

use super::config::EvseManager;
use super::evse::Evse;
use super::machine::ignored;
use super::{Effect, Station};
use crate::auth::{self, EvseCall, SessionEvent};
use crate::protocol::control::{AtConnector, Command};
use crate::protocol::types::AuthorizationStatus;

impl Station {
    /// Something happens at an EVSE; the EVSE reports it, of the connector in use.
    pub(super) fn at_evse(
        &mut self,
        id: i32,
        act: impl FnOnce(&mut Evse) -> Result<&'static [SessionEvent], &'static str>,
        out: &mut Vec<Effect>,
    ) {
        let connector = evse_mut(&mut self.evses, id).map(|evse| evse.connector());
        self.at_connector(AtConnector { evse: id, connector }, |evse, _| act(evse), out);
    }

    /// The same at one of its connectors.
    pub(super) fn at_connector(
        &mut self,
        AtConnector { evse: id, connector }: AtConnector,
        act: impl FnOnce(&mut Evse, i32) -> Result<&'static [SessionEvent], &'static str>,
        out: &mut Vec<Effect>,
    ) {
        let connector = connector.unwrap_or(1);
        let Some(evse) = evse_mut(&mut self.evses, id) else {
            return out.push(ignored(format!("there is no EVSE {id}")));
        };
        match act(evse, connector) {
            Ok(events) => {
                let events: Vec<_> =
                    events.iter().flat_map(|event| iter::once(event).chain(evse.after(*event))).collect();
                for &&event in &events {
                    out.push(Effect::SessionEvent { evse: id, event });
                }
                for &event in events {
                    self.tell_auth(auth::Input::Session { evse: id, connector, event }, None, out);
                }
            }
            Err(why) => out.push(ignored(format!("EVSE {id}: {why}"))),
        }
    }

    /// Whether a command that moves an EVSE would have an effect now; `None` if it is no such command.
    pub fn would_move(&self, command: &Command) -> Option<bool> {
        let at = |evse: i32| usize::try_from(evse - 1).ok().and_then(|index| self.evses.get(index)).cloned();
        let by = |it: AtConnector| at(it.evse).map(|evse| (evse, it.connector.unwrap_or(1)));
        let moved = match command {
            Command::PlugIn(it) => by(*it).map(|(mut evse, connector)| evse.plug_in_at(connector).is_ok()),
            Command::InjectFault(it) => by(*it).map(|(mut evse, connector)| evse.inject_fault_at(connector).is_ok()),
            Command::ClearFault(it) => by(*it).map(|(mut evse, connector)| evse.clear_fault_at(connector).is_ok()),
            Command::Unplug(it) => at(it.evse).map(|mut evse| evse.unplug().is_ok()),
            Command::StartTransaction(it) => at(it.evse).map(|mut evse| evse.start_transaction().is_ok()),
            Command::StopTransaction(it) => at(it.evse).map(|mut evse| evse.stop_transaction().is_ok()),
            _ => return None,
        };
        Some(moved.unwrap_or(false))
    }

    /// An EVSE that somebody else moves reports.
    pub(super) fn session_reported(&mut self, id: i32, event: SessionEvent, out: &mut Vec<Effect>) {
        if self.evse_manager != EvseManager::External {
            return out.push(ignored("the EVSEs are moved by the station itself"));
        }
        let Some(evse) = evse_mut(&mut self.evses, id) else {
            return out.push(ignored(format!("there is no EVSE {id}")));
        };
        evse.note(event);
        self.tell_auth(auth::Input::Session { evse: id, connector: 1, event }, None, out);
    }

    /// An EVSE does what Auth asks, answers, and reports.
    pub(super) fn obey_call(&mut self, id: i32, call: EvseCall, out: &mut Vec<Effect>) {
        let is_simulated = self.evse_manager == EvseManager::Simulated;
        let evse = evse_mut(&mut self.evses, id).filter(|_| is_simulated);
        let mut connector = 1;
        let mut events = Vec::new();
        let mut is_reserved = true;
        if let Some(evse) = evse {
            connector = evse.connector();
            events.extend(evse.before(&call));
            if let EvseCall::Reserve { reservation_id } = call {
                let (is_accepted, begins) = evse.reserve(reservation_id);
                is_reserved = is_accepted;
                events.extend(begins);
            } else {
                for event in evse.obey(&call) {
                    events.extend(iter::once(event).chain(evse.after(*event)));
                }
                if let EvseCall::AuthorizeResponse(response) = &call
                    && response.1.authorization_status == AuthorizationStatus::Accepted
                    && let Some(reservation_id) = response.1.reservation_id
                {
                    // The EVSE is to know it when the transaction begins; that is no news.
                    evse.reserve(reservation_id);
                }
            }
        }
        if let EvseCall::Reserve { reservation_id } = call {
            let answer = auth::Input::EvseReserved { reservation_id, is_accepted: is_reserved };
            self.for_auth.push_back((answer, None));
        }
        out.push(Effect::EvseCall { evse: id, call });
        for &event in events {
            out.push(Effect::SessionEvent { evse: id, event });
            self.for_auth.push_back((auth::Input::Session { evse: id, connector, event }, None));
        }
    }
}

fn evse_mut(evses: &mut [Evse], id: i32) -> Option<&mut Evse> {
    evses.get_mut(usize::try_from(id).ok()?.checked_sub(1)?)
}

//! Which EVSEs a token may concern, and which of them it gets (AuthHandler `get_referenced_evses`, `select_evse`).

use super::config::SelectionAlgorithm;
use super::manager::AuthManager;
use crate::protocol::deviations::Deviation;
use crate::protocol::types::ProvidedIdToken;

/// The outcome of looking for an EVSE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selection {
    /// This one.
    Evse(i32),
    /// The authorization was withdrawn.
    Withdrawn,
    /// There is none, and waiting is no use.
    None,
    /// There is none yet.
    Wait,
}

impl AuthManager {
    /// The EVSEs that a token may concern, in its own order: those it names that exist and are in service, or all in
    /// service.
    pub(super) fn referenced(&self, token: &ProvidedIdToken) -> Vec<i32> {
        match &token.connectors {
            Some(named) => named.iter().copied().filter(|id| self.is_in_service(*id)).collect(),
            None => (1..=self.evses.len() as i32).filter(|id| self.is_in_service(*id)).collect(),
        }
    }

    /// Whether a token may concern an EVSE.
    pub(super) fn references(&self, token: &ProvidedIdToken, id: i32) -> bool {
        token.connectors.as_ref().is_none_or(|named| named.contains(&id)) && self.is_in_service(id)
    }

    pub(super) fn any_available(&self, evses: &[i32]) -> bool {
        evses.iter().any(|id| self.is_available(*id))
    }

    /// Selects an EVSE for an accepted token. A single candidate is taken by every algorithm, withdrawn or not.
    pub(super) fn select(&self, candidates: &[i32], token: &ProvidedIdToken) -> Selection {
        if let [only] = candidates {
            return Selection::Evse(*only);
        }
        match self.config.selection_algorithm {
            SelectionAlgorithm::FindFirst => {
                let takes_any = self.deviations.is_on(Deviation::FindFirstTakesUnavailable);
                let free = |id: &i32| self.evse(*id).is_some_and(|evse| !evse.transaction_active);
                let usable = |id: &i32| if takes_any { free(id) } else { self.is_available(*id) };
                self.oldest_plug_in(candidates)
                    .filter(free)
                    .or_else(|| candidates.iter().copied().find(usable))
                    .map_or(Selection::None, Selection::Evse)
            }
            SelectionAlgorithm::PlugEvents => self.await_plug_in(self.oldest_plug_in(candidates), candidates, token),
            SelectionAlgorithm::PlugEventsLIFO => {
                self.await_plug_in(self.latest_plug_in(candidates), candidates, token)
            }
        }
    }

    fn await_plug_in(&self, plugged: Option<i32>, candidates: &[i32], token: &ProvidedIdToken) -> Selection {
        if self.standing_withdraw_matches(candidates, token) {
            return Selection::Withdrawn;
        }
        plugged.map_or(Selection::Wait, Selection::Evse)
    }

    fn oldest_plug_in(&self, candidates: &[i32]) -> Option<i32> {
        self.plug_ins.iter().copied().find(|id| candidates.contains(id))
    }

    fn latest_plug_in(&self, candidates: &[i32]) -> Option<i32> {
        self.plug_ins.iter().rev().copied().find(|id| candidates.contains(id))
    }

    fn is_available(&self, id: i32) -> bool {
        self.evse(id).is_some_and(|evse| evse.is_available())
    }

    fn is_in_service(&self, id: i32) -> bool {
        self.evse(id).is_some_and(|evse| !evse.is_disabled())
    }
}

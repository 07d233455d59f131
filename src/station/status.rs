//! What a station looks like from outside, for people and for tests. Changes nothing.

use serde::Serialize;

use super::Station;
use crate::protocol::types::{IdToken, ProvidedIdToken, TokenValidationStatusMessage};

/// A station at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StationStatus {
    /// Whether [`super::Input::Ready`] came.
    pub ready: bool,
    /// Whether it has ended, see [`super::Effect::Exit`].
    pub ended: bool,
    /// By id.
    pub evses: Vec<EvseStatus>,
    /// Tokens between `Processing` and their terminal status, as they were provided.
    pub tokens_in_process: Vec<ProvidedIdToken>,
    /// The status that a get would bring.
    pub latched: Option<TokenValidationStatusMessage>,
    /// The number of the next heartbeat.
    pub next_heartbeat: u64,
    /// `off`, `good`, or the sub type of the active communication fault.
    pub communication_check: &'static str,
    /// Messages that wait behind a withdraw request.
    pub waiting_messages: usize,
}

/// An EVSE at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvseStatus {
    /// Its id, from 1.
    pub evse: i32,
    /// `available`, `granted`, `transaction`, or `unavailable` for every other reason.
    pub state: &'static str,
    /// Whether an EV is plugged in.
    pub plugged_in: bool,
    /// Whether a session runs.
    pub session: bool,
    /// Whether it is faulted.
    pub faulted: bool,
    /// The token it was granted to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<IdToken>,
    /// The group of that token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id_token: Option<IdToken>,
}

impl Station {
    /// What it looks like now.
    pub fn status(&self) -> StationStatus {
        let evses = (1..).zip(&self.evses).filter_map(|(id, evse)| {
            let view = self.auth.evse_view(id)?;
            let state = match view.identifier {
                Some(_) if view.transaction_active => "transaction",
                Some(_) => "granted",
                None if view.available => "available",
                None => "unavailable",
            };
            Some(EvseStatus {
                evse: id,
                state,
                plugged_in: evse.plugged_in,
                session: evse.session,
                faulted: evse.faulted,
                identifier: view.identifier.cloned(),
                parent_id_token: view.parent.cloned(),
            })
        });
        StationStatus {
            ready: self.ready,
            ended: self.ended.is_some(),
            evses: evses.collect(),
            tokens_in_process: self.auth.tokens_in_process().cloned().collect(),
            latched: self.api.latched().cloned(),
            next_heartbeat: self.modules.first().map_or(0, |module| module.heartbeat.next()),
            communication_check: self.modules.first().map_or("off", |module| module.communication.describe()),
            waiting_messages: self.api.waiting(),
        }
    }
}

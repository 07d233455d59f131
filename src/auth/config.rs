//! Configuration of EVerest's Auth module, in EVerest's own key names. Data only.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::timespan::Seconds;

/// Configuration of EVerest's Auth module (`modules/EVSE/Auth/manifest.yaml`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// How an EVSE is found for an accepted token.
    pub selection_algorithm: SelectionAlgorithm,
    /// How long an authorization waits for a plug-in or a transaction.
    pub connection_timeout: Seconds,
    /// Present in EVerest's manifest and without effect there: Auth does not read it.
    pub master_pass_group_id: String,
    /// Whether a token is authorized at a free EVSE before it may stop a transaction by its parent.
    pub prioritize_authorization_over_stopping_transaction: bool,
    /// Whether faulted EVSEs count as usable.
    pub ignore_connector_faults: bool,
    /// Whether a plug-in without authorization times out.
    pub plug_in_timeout_enabled: bool,
    /// Whether a token presented again stops its transaction.
    pub stop_transaction_on_reswipe: bool,
}

/// How an EVSE is found for an accepted token (EVerest Auth documentation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectionAlgorithm {
    /// The EVSE with the earliest pending plug-in, else the first free one; never waits.
    FindFirst,
    /// The EVSE with the earliest pending plug-in; waits for one.
    PlugEvents,
    /// The EVSE with the latest pending plug-in; waits for one.
    PlugEventsLIFO,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            selection_algorithm: SelectionAlgorithm::FindFirst,
            connection_timeout: Seconds(Duration::from_secs(30)),
            master_pass_group_id: String::new(),
            prioritize_authorization_over_stopping_transaction: true,
            ignore_connector_faults: false,
            plug_in_timeout_enabled: false,
            stop_transaction_on_reswipe: true,
        }
    }
}

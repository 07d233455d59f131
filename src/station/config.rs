//! The station as a file describes it, in EVerest's own key names, so that a fragment of an EVerest configuration can
//! be pasted.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::protocol::control::{Command, Validation};
use crate::protocol::deviations::{Behaviour, Deviation, Deviations};
use crate::protocol::release::Release;
use crate::protocol::types::{
    AuthorizationStatus, AuthorizationType, IdToken, IdTokenType, MessageContent, ProvidedIdToken,
};
use crate::timespan::Timespan;

pub use crate::auth::{AuthConfig, SelectionAlgorithm};

/// A charging station around the auth manager.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StationConfig {
    /// How many EVSEs there are, with ids from 1.
    #[schemars(range(min = 1, max = 64))]
    pub evses: u8,
    /// Configuration of EVerest's Auth module.
    pub auth: AuthConfig,
    /// Configuration of EVerest's auth_consumer_API module.
    pub auth_consumer: ApiConfig,
    /// Tokens by name; the names are for steps and messages.
    pub tokens: BTreeMap<String, TokenConfig>,
    /// The release of EVerest.
    pub release: Release,
    /// What is followed where specification and running EVerest differ.
    pub behaviour: Behaviour,
    /// Single deviations by id, switched on or off; `khumbu sim --list-deviations` lists them.
    pub deviations: BTreeMap<Deviation, bool>,
}

impl StationConfig {
    /// The deviations in force.
    pub fn in_force(&self) -> Deviations {
        Deviations::new(self.release, self.behaviour, &self.deviations)
    }
}

/// Configuration of an API module (`modules/API/EVerestAPI/auth_consumer_API/manifest.yaml`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Seconds without a communication check until a fault is raised; 0 or less switches the check off.
    pub cfg_communication_check_to_s: i32,
    /// Milliseconds between heartbeats; 0 or less switches them off.
    pub cfg_heartbeat_interval_ms: i32,
    /// Whether the last status can be asked for.
    pub latch_variable_values: bool,
}

/// A token and what validators say of it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// Printable ASCII, 0 to 36 characters, compared ignoring case.
    #[schemars(length(max = 36))]
    pub value: String,
    /// The kind.
    pub r#type: IdTokenType,
    /// How it comes to the station.
    #[serde(default = "rfid")]
    pub authorization_type: AuthorizationType,
    /// What validators say.
    #[serde(default = "accepted")]
    pub verdict: AuthorizationStatus,
    /// How long validators take.
    #[serde(default)]
    pub verdict_after: Option<Timespan>,
    /// The EVSEs that the validator allows; absent means all.
    #[serde(default)]
    pub evse_ids: Option<Vec<i32>>,
    /// The group that the validator reports.
    #[serde(default)]
    pub parent_id_token: Option<IdToken>,
    /// The tariff messages that the validator reports.
    #[serde(default)]
    pub tariff_messages: Vec<MessageContent>,
    /// The EVSEs it is presented for; absent means any.
    #[serde(default)]
    pub connectors: Option<Vec<i32>>,
    /// Whether it comes with the provider's own validation.
    #[serde(default)]
    pub prevalidated: Option<bool>,
    /// Id of the request that brought it.
    #[serde(default)]
    pub request_id: Option<i32>,
}

impl TokenConfig {
    /// The id token alone.
    pub fn id_token(&self) -> IdToken {
        IdToken { additional_info: None, r#type: self.r#type, value: self.value.clone() }
    }

    /// The command that presents it, with what validators will say.
    pub fn to_command(&self) -> Command {
        Command::PresentToken { token: self.to_provided(), validation: self.to_validation() }
    }

    /// The token as a provider hands it in.
    pub fn to_provided(&self) -> ProvidedIdToken {
        ProvidedIdToken {
            authorization_type: self.authorization_type,
            certificate: None,
            certificate_hash_data: None,
            connectors: self.connectors.clone(),
            id_token: self.id_token(),
            parent_id_token: None,
            prevalidated: self.prevalidated,
            request_id: self.request_id,
        }
    }

    /// What validators answer when they are asked about it.
    pub fn to_validation(&self) -> Validation {
        let after_ms = self.verdict_after.map_or(0, |after| u64::try_from(after.0.as_millis()).unwrap_or(u64::MAX));
        Validation {
            after_ms,
            authorization_status: self.verdict,
            evse_ids: self.evse_ids.clone(),
            parent_id_token: self.parent_id_token.clone(),
            tariff_messages: self.tariff_messages.clone(),
        }
    }
}

fn rfid() -> AuthorizationType {
    AuthorizationType::RFID
}

fn accepted() -> AuthorizationStatus {
    AuthorizationStatus::Accepted
}

impl Default for StationConfig {
    fn default() -> Self {
        Self {
            evses: 1,
            auth: AuthConfig::default(),
            auth_consumer: ApiConfig::default(),
            tokens: BTreeMap::new(),
            release: Release::default(),
            behaviour: Behaviour::default(),
            deviations: BTreeMap::new(),
        }
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self { cfg_communication_check_to_s: 5, cfg_heartbeat_interval_ms: 1000, latch_variable_values: true }
    }
}

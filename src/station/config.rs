//! The station as a file describes it, in EVerest's own key names, so that a fragment of an EVerest configuration can
//! be pasted.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use super::charge_point::config::ChargePointConfig;
use crate::protocol::channel::ApiType;
use crate::protocol::control::{Command, Validation};
use crate::protocol::deviations::{Behaviour, Deviation, Deviations};
use crate::protocol::release::Release;
use crate::protocol::types::{
    AuthorizationStatus, AuthorizationType, ConnectorType, IdToken, IdTokenType, MessageContent, ProvidedIdToken,
};
use crate::timespan::Timespan;

pub use crate::auth::{AuthConfig, SelectionAlgorithm};

/// A charging station around the auth manager.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StationConfig {
    /// How many EVSEs there are, with ids from 1; at most 64.
    #[schemars(range(min = 1, max = 64))]
    pub evses: u8,
    /// The types of an EVSE's connectors, by its id, as in `{2: [sType2, cCCS2]}`. One that is not named has one connector
    /// of the type `Unknown`, which does for every type.
    #[serde(deserialize_with = "by_evse")]
    pub connectors: BTreeMap<u8, Vec<ConnectorType>>,
    /// Configuration of EVerest's Auth module.
    pub auth: AuthConfig,
    /// Configuration of EVerest's auth_consumer_API module.
    pub auth_consumer: ApiConfig,
    /// Configuration of EVerest's auth_token_provider_API module; absent means that there is none, and `{}` that there is
    /// one.
    pub auth_token_provider: Option<ProviderConfig>,
    /// Configuration of EVerest's auth_token_validator_API module; absent means that verdicts come with the tokens.
    pub auth_token_validator: Option<ValidatorConfig>,
    /// Modules of APIs that EVerest has and that are not Auth's; no file says so, a scenario that is about one does.
    #[serde(skip)]
    pub others: Vec<OtherConfig>,
    /// A charge point with an authorization cache, a local list and a simulated CSMS; absent means that there is none, and
    /// `{}` that there is one.
    pub charge_point: Option<ChargePointConfig>,
    /// Who moves the EVSEs, `simulated` if absent.
    pub evse_manager: EvseManager,
    /// Tokens by name: steps call a token by its name.
    pub tokens: BTreeMap<String, TokenConfig>,
    /// What validators say of tokens that are not listed here, and that a token provider under test hands in; `Unknown` if
    /// absent.
    pub unlisted_verdict: Option<AuthorizationStatus>,
    /// The release of EVerest.
    pub release: Release,
    /// What is followed where specification and running EVerest differ.
    pub behaviour: Behaviour,
    /// Single deviations by id, switched on or off; `khumbu sim --list-deviations` lists them.
    pub deviations: BTreeMap<Deviation, bool>,
}

impl AsRef<StationConfig> for StationConfig {
    fn as_ref(&self) -> &StationConfig {
        self
    }
}

impl StationConfig {
    /// How communication with the module of an API is watched over; `None` if there is no such module.
    pub fn cadence(&self, api: ApiType) -> Option<Cadence<'_>> {
        let cadence = |module_id, check_s, heartbeat_ms| Cadence { module_id, check_within_s: check_s, heartbeat_ms };
        match api {
            ApiType::AUTH_CONSUMER => {
                let ApiConfig { module_id, cfg_communication_check_to_s, cfg_heartbeat_interval_ms, .. } =
                    &self.auth_consumer;
                Some(cadence(module_id, *cfg_communication_check_to_s, *cfg_heartbeat_interval_ms))
            }
            ApiType::AUTH_TOKEN_PROVIDER => self.auth_token_provider.as_ref().map(|config| {
                cadence(&config.module_id, config.cfg_communication_check_to_s, config.cfg_heartbeat_interval_ms)
            }),
            ApiType::AUTH_TOKEN_VALIDATOR => self.auth_token_validator.as_ref().map(|config| {
                cadence(&config.module_id, config.cfg_communication_check_to_s, config.cfg_heartbeat_interval_ms)
            }),
            _ => self.others.iter().find(|other| other.api == api).map(|other| {
                let config = &other.config;
                cadence(&config.module_id, config.cfg_communication_check_to_s, config.cfg_heartbeat_interval_ms)
            }),
        }
    }

    /// Gives the station a module of an API with this id.
    pub fn add_module(&mut self, api: ApiType, module_id: &str) {
        let id = match api {
            ApiType::AUTH_CONSUMER => &mut self.auth_consumer.module_id,
            ApiType::AUTH_TOKEN_PROVIDER => &mut self.auth_token_provider.get_or_insert_default().module_id,
            ApiType::AUTH_TOKEN_VALIDATOR => &mut self.auth_token_validator.get_or_insert_default().module_id,
            _ => {
                self.others.retain(|other| other.api != api);
                self.others.push(OtherConfig { api, config: ProviderConfig::default() });
                return self.others.iter_mut().for_each(|other| {
                    if other.api == api {
                        module_id.clone_into(&mut other.config.module_id);
                    }
                });
            }
        };
        module_id.clone_into(id);
    }

    /// The deviations in force.
    pub fn in_force(&self) -> Deviations {
        Deviations::new(self.release, self.behaviour, &self.deviations)
    }
}

/// How communication with an API module is watched over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence<'a> {
    /// The id of the module.
    pub module_id: &'a str,
    /// `cfg_communication_check_to_s`; 0 or less: no check.
    pub check_within_s: i32,
    /// `cfg_heartbeat_interval_ms`; 0 or less: no heartbeats.
    pub heartbeat_ms: i32,
}

/// Configuration of an API module (`modules/API/EVerestAPI/auth_consumer_API/manifest.yaml`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// The id of the module, as topics and discovery have it; what is said elsewhere about topics wins.
    pub module_id: String,
    /// Seconds without a communication check until a fault is raised; 0 or less switches the check off.
    pub cfg_communication_check_to_s: i32,
    /// Milliseconds between heartbeats; 0 or less switches them off.
    pub cfg_heartbeat_interval_ms: i32,
    /// Whether the last status can be asked for.
    pub latch_variable_values: bool,
}

/// Configuration of an API module (`modules/API/EVerestAPI/auth_token_provider_API/manifest.yaml`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderConfig {
    /// The id of the module, as topics and discovery have it.
    pub module_id: String,
    /// Seconds without a communication check until a fault is raised; 0 or less switches the check off.
    pub cfg_communication_check_to_s: i32,
    /// Milliseconds between heartbeats; 0 or less switches them off.
    pub cfg_heartbeat_interval_ms: i32,
}

/// Configuration of an API module (`modules/API/EVerestAPI/auth_token_validator_API/manifest.yaml`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ValidatorConfig {
    /// The id of the module, as topics and discovery have it.
    pub module_id: String,
    /// Seconds without a communication check until a fault is raised; 0 or less switches the check off.
    pub cfg_communication_check_to_s: i32,
    /// Milliseconds between heartbeats; 0 or less switches them off.
    pub cfg_heartbeat_interval_ms: i32,
    /// Seconds that EVerest waits for a validator's answer; 0 or less means 999999.
    pub cfg_request_reply_to_s: i32,
}

/// A module of an API that is not one of Auth's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherConfig {
    /// The API.
    pub api: ApiType,
    /// What every API module has.
    pub config: ProviderConfig,
}

/// Who moves the EVSEs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvseManager {
    /// The station itself, on command.
    #[default]
    Simulated,
    /// Somebody outside, who reports what happens as session events.
    External,
}

/// A token and what validators say of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// Printable ASCII, 0 to 36 characters, compared ignoring case.
    #[schemars(length(max = 36))]
    pub value: String,
    /// The kind of token.
    pub r#type: IdTokenType,
    /// How it comes to the station.
    #[serde(default = "rfid")]
    pub authorization_type: AuthorizationType,
    /// What validators say of it.
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
    /// What the validators say that are asked after the first, in their order. A station with `auth_token_validator` or
    /// `charge_point` has none.
    #[serde(default)]
    pub other_validators: Vec<OtherValidator>,
    /// A certificate that comes with it (PEM), as with `PlugAndCharge`.
    #[serde(default)]
    #[schemars(length(max = 5500))]
    pub certificate: Option<String>,
    /// Whether it comes with the provider's own validation.
    #[serde(default)]
    pub prevalidated: Option<bool>,
    /// Id of the request that brought it.
    #[serde(default)]
    pub request_id: Option<i32>,
}

/// What a validator says of a token that is not the first to be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtherValidator {
    /// The result.
    pub verdict: AuthorizationStatus,
    /// How long it takes.
    #[serde(default)]
    pub verdict_after: Option<Timespan>,
    /// The EVSEs that it allows; absent means all.
    #[serde(default)]
    pub evse_ids: Option<Vec<i32>>,
    /// The group that it reports.
    #[serde(default)]
    pub parent_id_token: Option<IdToken>,
    /// The tariff messages that it reports.
    #[serde(default)]
    pub tariff_messages: Vec<MessageContent>,
}

impl OtherValidator {
    fn to_validation(&self) -> Validation {
        Validation {
            after_ms: millis(self.verdict_after),
            authorization_status: self.verdict,
            evse_ids: self.evse_ids.clone(),
            parent_id_token: self.parent_id_token.clone(),
            tariff_messages: self.tariff_messages.clone(),
            others: Vec::new(),
        }
    }
}

fn millis(span: Option<Timespan>) -> u64 {
    span.map_or(0, |span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX))
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

    /// The command that makes validators say this of it.
    pub fn to_verdict(&self) -> Command {
        Command::SetVerdict { token: self.to_provided(), validation: self.to_validation() }
    }

    /// The token as a provider hands it in.
    pub fn to_provided(&self) -> ProvidedIdToken {
        ProvidedIdToken {
            authorization_type: self.authorization_type,
            certificate: self.certificate.clone(),
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
        Validation {
            after_ms: millis(self.verdict_after),
            authorization_status: self.verdict,
            evse_ids: self.evse_ids.clone(),
            parent_id_token: self.parent_id_token.clone(),
            tariff_messages: self.tariff_messages.clone(),
            others: self.other_validators.iter().map(OtherValidator::to_validation).collect(),
        }
    }
}

/// A map whose keys are ids of EVSEs; keys are texts by themselves.
fn by_evse<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u8, Vec<ConnectorType>>, D::Error> {
    let named = BTreeMap::<String, Vec<ConnectorType>>::deserialize(deserializer)?;
    let to_id = |(name, types): (String, _)| match name.parse() {
        Ok(id) => Ok((id, types)),
        Err(_) => Err(D::Error::custom(format!("`{name}` is no id of an EVSE"))),
    };
    named.into_iter().map(to_id).collect()
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
            connectors: BTreeMap::new(),
            auth: AuthConfig::default(),
            auth_consumer: ApiConfig::default(),
            auth_token_provider: None,
            auth_token_validator: None,
            others: Vec::new(),
            charge_point: None,
            evse_manager: EvseManager::default(),
            tokens: BTreeMap::new(),
            unlisted_verdict: None,
            release: Release::default(),
            behaviour: Behaviour::default(),
            deviations: BTreeMap::new(),
        }
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            module_id: "auth_api".to_owned(),
            cfg_communication_check_to_s: 5,
            cfg_heartbeat_interval_ms: 1000,
            latch_variable_values: true,
        }
    }
}

impl Default for ProviderConfig {
    fn default() -> Self {
        Self {
            module_id: "token_provider_api".to_owned(),
            cfg_communication_check_to_s: 5,
            cfg_heartbeat_interval_ms: 1000,
        }
    }
}

impl Default for ValidatorConfig {
    fn default() -> Self {
        Self {
            module_id: "token_validator_api".to_owned(),
            cfg_communication_check_to_s: 5,
            cfg_heartbeat_interval_ms: 1000,
            cfg_request_reply_to_s: 550,
        }
    }
}

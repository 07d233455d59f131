//! What every API module has: a heartbeat, a communication check, and what it says of itself when it is asked
//! (`ApiHelper.cpp`, `init_entrypoint_API`).

use std::sync::Arc;

use serde::Serialize;

use super::communication::CommunicationCheck;
use super::config::{OtherConfig, StationConfig, ValidatorConfig};
use super::heartbeat::Heartbeat;
use crate::protocol::channel::ApiType;
use crate::protocol::deviations::Deviations;

/// The version of every API, as discovery has it.
const VERSION: u32 = 1;

#[derive(Debug, Clone)]
pub(super) struct ApiModule {
    pub api: ApiType,
    pub heartbeat: Heartbeat,
    pub communication: CommunicationCheck,
    module_id: Arc<str>,
    monitoring: CommunicationMonitoring,
}

/// The reply to `discover` and `query-modules`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Discovery {
    /// One entry: every module answers for itself.
    pub apis: [ApiParameter; 1],
}

/// What an API module says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiParameter {
    /// Its periods.
    pub communication_monitoring: CommunicationMonitoring,
    /// Its id, as topics have it.
    pub module_id: String,
    /// Its API, as topics have it.
    pub r#type: &'static str,
    /// The version of its API.
    pub version: u32,
}

/// The periods of an API module, as they stand in its configuration, 0 and less included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommunicationMonitoring {
    /// Seconds between communication checks, at most.
    pub communication_check_period_s: i32,
    /// Milliseconds between heartbeats.
    pub heartbeat_period_ms: i32,
    /// Seconds for a reply to EVerest; only where EVerest makes requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_reply_timeout_s: Option<i32>,
}

impl ApiModule {
    /// The modules of a station, `auth_consumer` first.
    pub(super) fn all(config: &StationConfig, deviations: Deviations) -> Vec<Self> {
        let module = |api, module_id: &str, check_s: i32, heartbeat_ms: i32, reply_s: Option<i32>| Self {
            api,
            heartbeat: Heartbeat::new(heartbeat_ms, deviations),
            communication: CommunicationCheck::new(check_s, deviations),
            module_id: module_id.into(),
            monitoring: CommunicationMonitoring {
                communication_check_period_s: check_s,
                heartbeat_period_ms: heartbeat_ms,
                request_reply_timeout_s: reply_s,
            },
        };
        let consumer = &config.auth_consumer;
        let mut modules = vec![module(
            ApiType::AUTH_CONSUMER,
            &consumer.module_id,
            consumer.cfg_communication_check_to_s,
            consumer.cfg_heartbeat_interval_ms,
            None,
        )];
        modules.extend(config.auth_token_provider.as_ref().map(|provider| {
            module(
                ApiType::AUTH_TOKEN_PROVIDER,
                &provider.module_id,
                provider.cfg_communication_check_to_s,
                provider.cfg_heartbeat_interval_ms,
                None,
            )
        }));
        modules.extend(config.auth_token_validator.as_ref().map(|validator| {
            module(
                ApiType::AUTH_TOKEN_VALIDATOR,
                &validator.module_id,
                validator.cfg_communication_check_to_s,
                validator.cfg_heartbeat_interval_ms,
                Some(validator.cfg_request_reply_to_s),
            )
        }));
        modules.extend(config.others.iter().map(|other| {
            let OtherConfig { api, config } = other;
            let reply_s = api.asks_clients().then_some(ValidatorConfig::default().cfg_request_reply_to_s);
            let (check_s, heartbeat_ms) = (config.cfg_communication_check_to_s, config.cfg_heartbeat_interval_ms);
            module(*api, &config.module_id, check_s, heartbeat_ms, reply_s)
        }));
        modules
    }

    /// What it answers.
    pub(super) fn discovery(&self) -> Discovery {
        Discovery {
            apis: [ApiParameter {
                communication_monitoring: self.monitoring.clone(),
                module_id: self.module_id.to_string(),
                r#type: self.api.name(),
                version: VERSION,
            }],
        }
    }
}

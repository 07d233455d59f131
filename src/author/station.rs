//! The station of a scenario: as somebody says, or as a recording shows it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::reading::{Act, Event, Seen, What};
use crate::parity::Script;
use crate::protocol::channel::ApiType;
use crate::protocol::control::{Command, Validation};
use crate::protocol::types::{AuthorizationStatus, ProvidedIdToken, TokenValidationStatus, ValidationResult};
use crate::station::config::{EvseManager, StationConfig, TokenConfig};
use crate::timespan::Seconds;

/// What is known of a token that is presented.
pub(super) fn as_config(token: &ProvidedIdToken) -> TokenConfig {
    TokenConfig {
        value: token.id_token.value.clone(),
        r#type: token.id_token.r#type,
        authorization_type: token.authorization_type,
        verdict: AuthorizationStatus::Accepted,
        verdict_after: None,
        evse_ids: None,
        parent_id_token: None,
        tariff_messages: Vec::new(),
        connectors: token.connectors.clone(),
        other_validators: Vec::new(),
        certificate: token.certificate.clone(),
        prevalidated: token.prevalidated,
        request_id: token.request_id,
    }
}

/// The EVSE that a command moves.
pub(super) fn evse_of(command: &Command) -> Option<i64> {
    let command = serde_json::to_value(command).ok()?;
    command.as_object()?.values().next()?.get("evse")?.as_i64()
}

/// The station, as far as it is known, with these tokens; where nobody says what it is like, as the recording shows it.
pub(super) fn station(
    script: &Script,
    events: &[Event],
    tokens: BTreeMap<String, TokenConfig>,
    is_known: bool,
) -> StationConfig {
    let mut station = script.file.station.clone();
    station.evse_manager = EvseManager::default();
    station.tokens = tokens;
    if is_known {
        return station;
    }
    let statuses = || {
        events.iter().filter_map(|event| match &event.what {
            What::Seen(Seen::Status(status)) => Some((event.at_ms, status)),
            _ => None,
        })
    };
    let of_statuses = statuses().flat_map(|(_, status)| status.token.connectors.iter().flatten().copied());
    let of_commands = events.iter().filter_map(|event| match &event.what {
        What::Act(Act::Command(command)) => evse_of(command),
        _ => None,
    });
    let most = of_statuses.map(i64::from).chain(of_commands).max().unwrap_or(1);
    station.evses = u8::try_from(most.clamp(1, 64)).unwrap_or(1);
    for module in events.iter().flat_map(|event| match &event.what {
        What::Seen(Seen::Reply { payload, .. }) => payload["apis"].as_array().map_or(&[][..], Vec::as_slice),
        _ => &[],
    }) {
        add_module(&mut station, module);
    }
    // How long EVerest waited in vain.
    let mut since: BTreeMap<&str, i64> = BTreeMap::new();
    for (at_ms, status) in statuses() {
        let value = status.token.id_token.value.as_str();
        match status.status {
            TokenValidationStatus::TimedOut => {
                if let Some(since) = since.get(value) {
                    let seconds = u64::try_from((at_ms - since + 500) / 1000).unwrap_or(0).max(1);
                    station.auth.connection_timeout = Seconds(Duration::from_secs(seconds));
                    break;
                }
            }
            _ => drop(since.insert(value, at_ms)),
        }
    }
    station
}

/// A module that tells what it is when clients ask for modules.
fn add_module(station: &mut StationConfig, module: &Value) {
    let api = module["type"].as_str().and_then(ApiType::known);
    let (Some(api), Some(id)) = (api.filter(|api| ApiType::AUTH_APIS.contains(api)), module["module_id"].as_str())
    else {
        return;
    };
    station.add_module(api, id);
    let period = |name: &str| module["communication_monitoring"][name].as_i64().and_then(|it| i32::try_from(it).ok());
    let (check_s, heartbeat_ms) = (period("communication_check_period_s"), period("heartbeat_period_ms"));
    let periods = match api {
        ApiType::AUTH_CONSUMER => {
            let own = &mut station.auth_consumer;
            (&mut own.cfg_communication_check_to_s, &mut own.cfg_heartbeat_interval_ms)
        }
        ApiType::AUTH_TOKEN_PROVIDER => {
            let own = station.auth_token_provider.get_or_insert_default();
            (&mut own.cfg_communication_check_to_s, &mut own.cfg_heartbeat_interval_ms)
        }
        _ => {
            let reply_s = period("request_reply_timeout_s");
            let own = station.auth_token_validator.get_or_insert_default();
            own.cfg_request_reply_to_s = reply_s.unwrap_or(own.cfg_request_reply_to_s);
            (&mut own.cfg_communication_check_to_s, &mut own.cfg_heartbeat_interval_ms)
        }
    };
    *periods.0 = check_s.unwrap_or(*periods.0);
    *periods.1 = heartbeat_ms.unwrap_or(*periods.1);
}

/// What a validator said, as far as it can be read.
pub(super) fn as_validation(answer: &Value, after_ms: u64) -> Option<Validation> {
    let result: ValidationResult = serde_json::from_value(answer.clone()).ok()?;
    Some(Validation {
        after_ms,
        authorization_status: result.authorization_status,
        evse_ids: result.evse_ids,
        parent_id_token: result.parent_id_token,
        tariff_messages: result.tariff_messages,
        others: Vec::new(),
    })
}

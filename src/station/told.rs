//! The station as `KHUMBU_STATION` tells it to a program that takes EVerest's place: one JSON object, whose keys are those
//! of a station file and of EVerest's own configuration, in EVerest's units. Text both ways; it starts and asks nothing.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::config::{StationConfig, TokenConfig};

/// The station, for `KHUMBU_STATION`. What only a simulated EVerest could be is left out.
pub fn to_json(station: &StationConfig) -> Value {
    let StationConfig {
        evses,
        connectors,
        auth,
        auth_consumer,
        auth_token_provider,
        auth_token_validator,
        tokens,
        release,
        charge_point: _,
        evse_manager: _,
        behaviour: _,
        deviations: _,
        others: _,
        // Whoever validates the tokens of a reader under test is khumbu.
        unlisted_verdict: _,
    } = station;
    let told = |token: &TokenConfig| json!({"token": token.to_provided(), "validation": token.to_validation()});
    let mut json = json!({
        "release": release,
        "evses": evses,
        "auth": auth,
        "auth_consumer": auth_consumer,
        "tokens": tokens.iter().map(|(name, token)| (name.clone(), told(token))).collect::<Map<_, _>>(),
    });
    if !connectors.is_empty() {
        json["connectors"] = json!(connectors);
    }
    if let Some(provider) = auth_token_provider {
        json["auth_token_provider"] = json!(provider);
    }
    if let Some(validator) = auth_token_validator {
        json["auth_token_validator"] = json!(validator);
    }
    json
}

/// The station that `KHUMBU_STATION` tells of, without its tokens, which are for validators.
///
/// # Errors
/// When the text is no such object, or asks for what no EVerest can be configured to, as half a second.
pub fn from_json(text: &str) -> Result<StationConfig, serde_json::Error> {
    let mut members: Map<String, Value> = serde_json::from_str(text)?;
    members.remove("tokens");
    StationConfig::deserialize(Value::Object(members))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::time::Duration;

    use super::super::config::{ProviderConfig, ValidatorConfig};
    use super::*;
    use crate::protocol::release::Release;
    use crate::timespan::Seconds;

    #[test]
    fn the_keys_and_units_are_everests() {
        let mut station = StationConfig { evses: 2, release: Release::V2025_12, ..StationConfig::default() };
        station.auth.connection_timeout = Seconds(Duration::from_secs(8));
        station.auth_token_validator = Some(ValidatorConfig::default());
        let told = json!({
            "release": "2025.12",
            "evses": 2,
            "auth": {
                "selection_algorithm": "FindFirst",
                "connection_timeout": 8,
                "master_pass_group_id": "",
                "prioritize_authorization_over_stopping_transaction": true,
                "ignore_connector_faults": false,
                "plug_in_timeout_enabled": false,
                "stop_transaction_on_reswipe": true,
            },
            "auth_consumer": {
                "module_id": "auth_api",
                "cfg_communication_check_to_s": 5,
                "cfg_heartbeat_interval_ms": 1000,
                "latch_variable_values": true,
            },
            "auth_token_validator": {
                "module_id": "token_validator_api",
                "cfg_communication_check_to_s": 5,
                "cfg_heartbeat_interval_ms": 1000,
                "cfg_request_reply_to_s": 550,
            },
            "tokens": {},
        });
        assert_eq!(to_json(&station), told);
    }

    #[test]
    fn what_was_told_is_understood() {
        let station = StationConfig {
            evses: 3,
            release: Release::V2026_02,
            auth_token_provider: Some(ProviderConfig { cfg_heartbeat_interval_ms: 0, ..ProviderConfig::default() }),
            ..StationConfig::default()
        };
        assert_eq!(from_json(&to_json(&station).to_string()).unwrap(), station);
    }

    #[test]
    fn half_a_second_is_told_and_refused() {
        let mut station = StationConfig::default();
        station.auth.connection_timeout = Seconds(Duration::from_millis(500));
        let told = to_json(&station);
        assert_eq!(told["auth"]["connection_timeout"], json!(0.5));
        let why = from_json(&told.to_string()).unwrap_err().to_string();
        assert_eq!(why, "invalid type: floating point `0.5`, expected whole seconds, or a length of time such as `8s`");
    }
}

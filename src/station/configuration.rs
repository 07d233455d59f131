//! EVerest's own configuration for a station: modules, `config_module`, connections, broker, external prefix.
//!
//! Which keys a release has, [`crate::protocol::deviations`] knows. What a release cannot be configured to is said, never
//! left out: an EVerest of another station would be judged for what nobody asked of it. It writes and starts nothing.

use serde_json::{Map, Value, json};

use super::config::{ApiConfig, ProviderConfig, SelectionAlgorithm, StationConfig, ValidatorConfig};
use crate::protocol::deviations::{Behaviour, Deviation, Deviations};

/// The module that moves the EVSEs where no other is named.
pub const EVSE_MODULE: &str = "EvseStandIn";
/// The id of EVerest's Auth module.
const AUTH: &str = "auth";

/// What the station does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// Where the broker is.
    pub broker_host: String,
    /// Its port.
    pub broker_port: u16,
    /// EVerest's external MQTT prefix.
    pub external_prefix: String,
    /// The module that takes EvseManager's place.
    pub evse_module: String,
}

/// The configuration; or all that this station's release of EVerest cannot be, each in a sentence.
///
/// # Errors
/// When there is no such EVerest.
pub fn configuration(station: &StationConfig, around: &Surroundings) -> Result<Value, Vec<String>> {
    let faults = faults(station);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut modules = Map::new();
    let consumer = &station.auth_consumer;
    let mut module = json!({"module": "auth_consumer_API", "config_module": of_consumer(consumer, station)});
    module["connections"] = json!({"auth": [implementation(AUTH, "main")]});
    modules.insert(consumer.module_id.clone(), module);
    // Auth does not start without them: of those that the station lacks nobody is to notice.
    let quiet = ProviderConfig { cfg_communication_check_to_s: 0, cfg_heartbeat_interval_ms: 0, ..Default::default() };
    let provider = station.auth_token_provider.as_ref().unwrap_or(&quiet);
    let quiet = ValidatorConfig { cfg_communication_check_to_s: 0, cfg_heartbeat_interval_ms: 0, ..Default::default() };
    let validator = station.auth_token_validator.as_ref().unwrap_or(&quiet);
    for (module_id, module, config) in [
        (&provider.module_id, "auth_token_provider_API", keys(provider)),
        (&validator.module_id, "auth_token_validator_API", keys(validator)),
    ] {
        modules.insert(module_id.clone(), json!({"module": module, "config_module": config}));
    }
    let evses: Vec<_> = (1..=station.evses).map(|number| (number, format!("evse{number}"))).collect();
    let auth = json!({
        "module": "Auth",
        "config_module": of_auth(station),
        "connections": {
            "token_provider": [implementation(&provider.module_id, "main")],
            "token_validator": [implementation(&validator.module_id, "main")],
            "evse_manager": evses.iter().map(|(_, id)| implementation(id, "evse")).collect::<Vec<_>>(),
        },
    });
    modules.insert(AUTH.to_owned(), auth);
    for (number, id) in evses {
        modules.insert(id, json!({"module": around.evse_module, "mapping": {"module": {"evse": number}}}));
    }
    let mut settings = json!({"mqtt_broker_host": around.broker_host, "mqtt_broker_port": around.broker_port});
    if !around.external_prefix.is_empty() {
        settings["mqtt_external_prefix"] = json!(around.external_prefix);
    }
    Ok(json!({"settings": settings, "active_modules": modules}))
}

/// What EVerest of this release does, whatever a simulated one is asked to do.
fn of_release(station: &StationConfig) -> Deviations {
    Deviations::new(station.release, Behaviour::AsRunning, &[].into())
}

fn faults(station: &StationConfig) -> Vec<String> {
    let (release, auth, has) = (station.release, &station.auth, of_release(station));
    let mut faults = Vec::new();
    if auth.connection_timeout.0.subsec_nanos() != 0 {
        faults.push("EVerest's `connection_timeout` has whole seconds".to_owned());
    }
    if !auth.stop_transaction_on_reswipe && has.is_on(Deviation::NoReauthorization) {
        faults.push(format!("EVerest {release} has no `stop_transaction_on_reswipe: false`"));
    }
    if auth.selection_algorithm == SelectionAlgorithm::PlugEventsLIFO && has.is_on(Deviation::NoPlugEventsLifo) {
        faults.push(format!("EVerest {release} has no `selection_algorithm: PlugEventsLIFO`"));
    }
    if !station.connectors.is_empty() {
        faults.push("the stand-in for EvseManager has one connector, and the station names others".to_owned());
    }
    let mut ids = vec![AUTH.to_owned()];
    ids.extend((1..=station.evses).map(|number| format!("evse{number}")));
    let provider = station.auth_token_provider.clone().unwrap_or_default().module_id;
    let validator = station.auth_token_validator.clone().unwrap_or_default().module_id;
    for id in [&station.auth_consumer.module_id, &provider, &validator] {
        if ids.contains(id) {
            faults.push(format!("two modules of EVerest would have the id `{id}`"));
        }
        ids.push(id.clone());
    }
    faults
}

fn of_auth(station: &StationConfig) -> Map<String, Value> {
    let mut config = keys(&station.auth);
    let has = of_release(station);
    if has.is_on(Deviation::NoReauthorization) {
        config.remove("stop_transaction_on_reswipe");
    }
    if has.is_on(Deviation::PlugInAlwaysTimed) {
        config.remove("plug_in_timeout_enabled");
    }
    config
}

fn of_consumer(consumer: &ApiConfig, station: &StationConfig) -> Map<String, Value> {
    let mut config = keys(consumer);
    if of_release(station).is_on(Deviation::NoLatchedGet) {
        config.remove("latch_variable_values");
    }
    config
}

/// What stands under `config_module`: everything but the module's id.
fn keys(config: &impl serde::Serialize) -> Map<String, Value> {
    // A struct of plain members is an object.
    let mut keys = json!(config).as_object().cloned().unwrap_or_default();
    keys.remove("module_id");
    keys
}

fn implementation(module_id: &str, implementation_id: &str) -> Value {
    json!({"module_id": module_id, "implementation_id": implementation_id})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::time::Duration;

    use super::*;
    use crate::protocol::release::Release;
    use crate::timespan::Seconds;

    fn around() -> Surroundings {
        Surroundings {
            broker_host: "127.0.0.1".to_owned(),
            broker_port: 1883,
            external_prefix: String::new(),
            evse_module: EVSE_MODULE.to_owned(),
        }
    }

    fn station(release: Release) -> StationConfig {
        let mut station = StationConfig { evses: 2, release, ..StationConfig::default() };
        station.auth.connection_timeout = Seconds(Duration::from_secs(8));
        station
    }

    #[test]
    fn head_has_every_key() {
        let validator =
            ValidatorConfig { module_id: "backend".to_owned(), cfg_request_reply_to_s: 20, ..Default::default() };
        let station = StationConfig { auth_token_validator: Some(validator), ..station(Release::Main) };
        let around = Surroundings { external_prefix: "depot/".to_owned(), ..around() };
        let wanted = json!({
            "settings": {
                "mqtt_broker_host": "127.0.0.1", "mqtt_broker_port": 1883, "mqtt_external_prefix": "depot/",
            },
            "active_modules": {
                "auth_api": {
                    "module": "auth_consumer_API",
                    "config_module": {
                        "cfg_communication_check_to_s": 5, "cfg_heartbeat_interval_ms": 1000, "latch_variable_values": true,
                    },
                    "connections": {"auth": [{"module_id": "auth", "implementation_id": "main"}]},
                },
                "token_provider_api": {
                    "module": "auth_token_provider_API",
                    "config_module": {"cfg_communication_check_to_s": 0, "cfg_heartbeat_interval_ms": 0},
                },
                "backend": {
                    "module": "auth_token_validator_API",
                    "config_module": {
                        "cfg_communication_check_to_s": 5, "cfg_heartbeat_interval_ms": 1000, "cfg_request_reply_to_s": 20,
                    },
                },
                "auth": {
                    "module": "Auth",
                    "config_module": {
                        "selection_algorithm": "FindFirst",
                        "connection_timeout": 8,
                        "master_pass_group_id": "",
                        "prioritize_authorization_over_stopping_transaction": true,
                        "ignore_connector_faults": false,
                        "plug_in_timeout_enabled": false,
                        "stop_transaction_on_reswipe": true,
                    },
                    "connections": {
                        "token_provider": [{"module_id": "token_provider_api", "implementation_id": "main"}],
                        "token_validator": [{"module_id": "backend", "implementation_id": "main"}],
                        "evse_manager": [
                            {"module_id": "evse1", "implementation_id": "evse"},
                            {"module_id": "evse2", "implementation_id": "evse"},
                        ],
                    },
                },
                "evse1": {"module": "EvseStandIn", "mapping": {"module": {"evse": 1}}},
                "evse2": {"module": "EvseStandIn", "mapping": {"module": {"evse": 2}}},
            },
        });
        assert_eq!(configuration(&station, &around), Ok(wanted));
    }

    #[test]
    fn a_release_gets_the_keys_that_its_manifests_have() {
        let optional = ["plug_in_timeout_enabled", "stop_transaction_on_reswipe", "latch_variable_values"];
        for (release, has) in [
            (Release::V1_0, [false, false, false]),
            (Release::V2025_10, [false, false, false]),
            (Release::V2025_12, [true, false, false]),
            (Release::V2026_02, [true, false, false]),
            (Release::Main, [true, true, true]),
        ] {
            let written = configuration(&station(release), &around()).unwrap()["active_modules"].to_string();
            assert_eq!(optional.map(|key| written.contains(key)), has, "{release}");
            assert!(written.contains("master_pass_group_id"), "{release}");
        }
    }

    #[test]
    fn what_a_release_cannot_be_is_said() {
        let told = |change: fn(&mut StationConfig), release| {
            let mut station = station(release);
            change(&mut station);
            configuration(&station, &around()).map(|_| ()).map_err(|faults| faults.join("; "))
        };
        let refused = |why: &str| Err(why.to_owned());
        let reswipe: fn(&mut StationConfig) = |station| station.auth.stop_transaction_on_reswipe = false;
        let lifo: fn(&mut StationConfig) =
            |station| station.auth.selection_algorithm = SelectionAlgorithm::PlugEventsLIFO;
        let latch: fn(&mut StationConfig) = |station| station.auth_consumer.latch_variable_values = false;
        let half: fn(&mut StationConfig) =
            |station| station.auth.connection_timeout = Seconds(Duration::from_millis(500));
        let two: fn(&mut StationConfig) = |station| drop(station.connectors.insert(1, Vec::new()));
        let same: fn(&mut StationConfig) = |station| station.auth_consumer.module_id = "evse2".to_owned();
        for (change, release, wanted) in [
            (reswipe, Release::Main, Ok(())),
            (reswipe, Release::V2026_02, refused("EVerest 2026.02 has no `stop_transaction_on_reswipe: false`")),
            (lifo, Release::Main, Ok(())),
            (lifo, Release::V2025_12, refused("EVerest 2025.12 has no `selection_algorithm: PlugEventsLIFO`")),
            // Nothing is latched there, whether or not somebody wants it.
            (latch, Release::V2025_12, Ok(())),
            (half, Release::Main, refused("EVerest's `connection_timeout` has whole seconds")),
            (same, Release::Main, refused("two modules of EVerest would have the id `evse2`")),
            (
                two,
                Release::Main,
                refused("the stand-in for EvseManager has one connector, and the station names others"),
            ),
        ] {
            assert_eq!(told(change, release), wanted);
        }
    }
}

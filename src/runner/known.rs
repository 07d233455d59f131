//! What is known of an EVerest under test besides what the scenario says: its station file, brought together with the
//! scenario's station. The file adds, it replaces nothing that the scenario says.

use crate::auth::AuthConfig;
use crate::protocol::release::Release;
use crate::scenario::step::Start;
use crate::scenario::{Pointer, Scenario};
use crate::station::config::{ApiConfig, ProviderConfig, StationConfig, ValidatorConfig};

/// A setting that the scenario asks for, and that is another in the EVerest that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// Where the scenario says so, as a JSON pointer.
    pub pointer: String,
    /// What the scenario says.
    pub wanted: String,
    /// What is known of the EVerest that runs.
    pub running: String,
}

/// The station of a scenario for EVerest, completed by what a station file says of the one under test, if there is one; and
/// what the two say differently.
///
/// An EVerest that is started is told what to be, so that only its other API modules are taken from the file. One that
/// runs already is what the file says, and EVerest's defaults where it says nothing. What the scenario does not say, it
/// means as the default.
pub fn settle(
    scenario: &Scenario,
    file: Option<&StationConfig>,
    is_attached: bool,
) -> (StationConfig, Vec<Contradiction>) {
    let own = scenario.model.station.clone();
    let known = match file {
        Some(file) => file.clone(),
        None if is_attached => StationConfig::default(),
        None => return (own, Vec::new()),
    };
    let mut settling = Settling { scenario, is_attached, contradictions: Vec::new() };
    let mut station = StationConfig {
        auth_token_provider: match (own.auth_token_provider.clone(), &known.auth_token_provider) {
            (Some(own), Some(known)) => Some(settling.provider(own, known)),
            (own, known) => own.or_else(|| known.clone()),
        },
        auth_token_validator: match (own.auth_token_validator.clone(), &known.auth_token_validator) {
            (Some(own), Some(known)) => Some(settling.validator(own, known)),
            (own, known) => own.or_else(|| known.clone()),
        },
        ..own
    };
    if is_attached {
        settling.other_apis(&station, &known);
        station.evses = settling.pick("/evses", station.evses, &known.evses);
        station.auth = settling.auth(station.auth, &known.auth);
        station.auth_consumer = settling.consumer(station.auth_consumer, &known.auth_consumer);
        return (station, settling.contradictions);
    }
    (station, Vec::new())
}

/// Settles fields of a part of the station, in this order.
macro_rules! pick {
    ($settling:ident, $part:literal, $own:ident, $known:ident: $($field:ident),+) => {
        $($own.$field = $settling.pick(concat!($part, "/", stringify!($field)), $own.$field, &$known.$field);)+
    };
}

/// Where a scenario begins with what EVerest says at its start alone; one that runs already has said it before.
pub fn needs_start(scenario: &Scenario, release: Release) -> Option<Pointer> {
    for (at, row) in scenario.rows(scenario.model.frame(), release) {
        match row.start {
            Start::Only => return Some(at),
            Start::Open => {}
            // From here on it is about what follows from its own steps.
            Start::Past => return None,
        }
    }
    None
}

/// Whether a setting may be another than the scenario's default without a difference to what it expects: names, and times,
/// which it names if they matter.
fn is_free(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key);
    name.starts_with("cfg_") || matches!(name, "module_id" | "connection_timeout")
}

struct Settling<'s> {
    scenario: &'s Scenario,
    is_attached: bool,
    contradictions: Vec<Contradiction>,
}

impl Settling<'_> {
    /// The scenario's own value where it is written there, else the one that is known. EVerest's defaults are the
    /// scenario's word, too, where an EVerest that runs cannot be asked to have them: what is expected follows from them.
    fn pick<T: Clone + PartialEq + std::fmt::Debug>(&mut self, key: &str, own: T, known: &T) -> T {
        let pointer = format!("/station{key}");
        let is_meant = self.scenario.has(&pointer) || self.is_attached && !is_free(key);
        if !is_meant {
            return known.clone();
        }
        if own != *known {
            let (wanted, running) = (format!("{own:?}"), format!("{known:?}"));
            self.contradictions.push(Contradiction { pointer, wanted, running });
        }
        own
    }

    /// As [`Settling::pick`]; but no heartbeats at all are another thing than heartbeats of another interval.
    fn pick_interval(&mut self, part: &str, own: &mut i32, known: i32) {
        let key = format!("{part}/cfg_heartbeat_interval_ms");
        let pointer = format!("/station{key}");
        if self.is_attached && !self.scenario.has(&pointer) && (*own > 0) != (known > 0) {
            let [wanted, running] = [*own, known].map(|interval| interval.to_string());
            self.contradictions.push(Contradiction { pointer, wanted, running });
        }
        *own = self.pick(&key, *own, &known);
    }

    /// The API modules that the scenario wants and the station file does not have.
    fn other_apis(&mut self, own: &StationConfig, known: &StationConfig) {
        let missing = [
            ("auth_token_provider", own.auth_token_provider.is_some() && known.auth_token_provider.is_none()),
            ("auth_token_validator", own.auth_token_validator.is_some() && known.auth_token_validator.is_none()),
        ];
        for (name, _) in missing.into_iter().filter(|(_, is_missing)| *is_missing) {
            let (wanted, running) = ("there".to_owned(), "absent".to_owned());
            self.contradictions.push(Contradiction { pointer: format!("/station/{name}"), wanted, running });
        }
    }

    fn auth(&mut self, mut own: AuthConfig, known: &AuthConfig) -> AuthConfig {
        // `master_pass_group_id` is without effect in EVerest.
        pick!(self, "/auth", own, known: selection_algorithm, connection_timeout);
        pick!(self, "/auth", own, known: prioritize_authorization_over_stopping_transaction, ignore_connector_faults);
        pick!(self, "/auth", own, known: plug_in_timeout_enabled, stop_transaction_on_reswipe);
        own
    }

    fn consumer(&mut self, mut own: ApiConfig, known: &ApiConfig) -> ApiConfig {
        // What flags and configuration say about topics wins anyway.
        pick!(self, "/auth_consumer", own, known: cfg_communication_check_to_s);
        self.pick_interval("/auth_consumer", &mut own.cfg_heartbeat_interval_ms, known.cfg_heartbeat_interval_ms);
        pick!(self, "/auth_consumer", own, known: latch_variable_values);
        own
    }

    fn provider(&mut self, mut own: ProviderConfig, known: &ProviderConfig) -> ProviderConfig {
        pick!(self, "/auth_token_provider", own, known: module_id, cfg_communication_check_to_s);
        self.pick_interval("/auth_token_provider", &mut own.cfg_heartbeat_interval_ms, known.cfg_heartbeat_interval_ms);
        own
    }

    fn validator(&mut self, mut own: ValidatorConfig, known: &ValidatorConfig) -> ValidatorConfig {
        pick!(self, "/auth_token_validator", own, known: module_id, cfg_communication_check_to_s);
        self.pick_interval(
            "/auth_token_validator",
            &mut own.cfg_heartbeat_interval_ms,
            known.cfg_heartbeat_interval_ms,
        );
        pick!(self, "/auth_token_validator", own, known: cfg_request_reply_to_s);
        own
    }
}

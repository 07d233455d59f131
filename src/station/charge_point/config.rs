//! A charge point as a station file describes it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The charge point that validates tokens; absent in a station without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChargePointConfig {
    /// OCPP 1.6 configuration keys that differ from their defaults.
    pub configuration: BTreeMap<String, String>,
    /// How many answers the authorization cache keeps.
    pub cache_capacity: usize,
    /// Watts that flow while charging.
    pub max_charging_power: u32,
    /// Where its CSMS is, `inside` if absent.
    pub csms: CsmsLink,
}

/// Where the CSMS of a charge point is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CsmsLink {
    /// A simulated one answers what the station's tokens say.
    #[default]
    Inside,
    /// Somebody outside answers.
    Outside,
}

impl Default for ChargePointConfig {
    fn default() -> Self {
        Self { configuration: BTreeMap::new(), cache_capacity: 100, max_charging_power: 11_000, csms: CsmsLink::Inside }
    }
}

//! The versions of OCPP.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a charger speaks to its CSMS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum OcppVersion {
    /// OCPP-J 1.6.
    #[default]
    #[serde(rename = "ocpp1.6")]
    Ocpp16,
    /// OCPP 2.0.1.
    #[serde(rename = "ocpp2.0.1")]
    Ocpp201,
}

impl OcppVersion {
    /// As it is written, also as a sub-protocol of WebSocket.
    pub fn name(self) -> &'static str {
        match self {
            OcppVersion::Ocpp16 => "ocpp1.6",
            OcppVersion::Ocpp201 => "ocpp2.0.1",
        }
    }
}

//! The two sides of an API.

use schemars::JsonSchema;
use serde::Deserialize;

/// The side of the API on which a program stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// An API client: a display, a reader, a backend link.
    Client,
    /// EVerest, or a program that takes its place.
    Everest,
}

impl Side {
    /// Its name, as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Everest => "everest",
        }
    }
}

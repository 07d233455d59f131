//! Releases of EVerest. The wire changed without a version number: what a release speaks differently stands in
//! [`super::deviations`], one entry each.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::TokenValidationStatus;

/// A release of EVerest; later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum Release {
    /// 2025.10.0.
    #[serde(rename = "2025.10")]
    V2025_10,
    /// 2025.12.0.
    #[serde(rename = "2025.12")]
    V2025_12,
    /// 2026.02.0 and 2026.02.1.
    #[serde(rename = "2026.02")]
    V2026_02,
    /// The head of development, as of 2026-08.
    #[default]
    #[serde(rename = "main")]
    Main,
}

impl Release {
    /// Every release, earliest first.
    pub const ALL: [Release; 4] = [Release::V2025_10, Release::V2025_12, Release::V2026_02, Release::Main];

    /// The name users write.
    pub fn name(self) -> &'static str {
        match self {
            Release::V2025_10 => "2025.10",
            Release::V2025_12 => "2025.12",
            Release::V2026_02 => "2026.02",
            Release::Main => "main",
        }
    }

    /// Whether the specification of this release lists a status (142adf82c, 03f2a41c6).
    pub fn lists(self, status: TokenValidationStatus) -> bool {
        match status {
            TokenValidationStatus::Processing
            | TokenValidationStatus::Accepted
            | TokenValidationStatus::Rejected
            | TokenValidationStatus::TimedOut => true,
            TokenValidationStatus::UsedToStart
            | TokenValidationStatus::UsedToStop
            | TokenValidationStatus::Withdrawn => self >= Release::V2026_02,
            TokenValidationStatus::UsedToReauthorize => self >= Release::Main,
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no release's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no release; there are 2025.10, 2025.12, 2026.02 and main")]
pub struct UnknownRelease(String);

impl FromStr for Release {
    type Err = UnknownRelease;

    fn from_str(name: &str) -> Result<Self, UnknownRelease> {
        Release::ALL
            .into_iter()
            .find(|release| release.name() == name)
            .ok_or_else(|| UnknownRelease(name.chars().take(40).collect()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_in_both_ways() {
        for release in Release::ALL {
            assert_eq!(release.name().parse(), Ok(release));
            assert_eq!(serde_json::to_value(release).unwrap(), release.name());
            assert_eq!(serde_json::from_value::<Release>(release.name().into()).unwrap(), release);
        }
        let error = "2024.09".parse::<Release>().unwrap_err();
        assert_eq!(error.to_string(), "`2024.09` is no release; there are 2025.10, 2025.12, 2026.02 and main");
    }

    #[test]
    fn later_releases_list_more_statuses() {
        use TokenValidationStatus::{Processing, UsedToReauthorize, Withdrawn};
        let lists = |status| Release::ALL.map(|release| release.lists(status));
        assert_eq!(lists(Processing), [true; 4]);
        assert_eq!(lists(Withdrawn), [false, false, true, true]);
        assert_eq!(lists(UsedToReauthorize), [false, false, false, true]);
    }
}

//! Releases of EVerest. The wire changed without a version number: what a release speaks differently stands in
//! [`super::deviations`], one entry each.
//!
//! What was before the first of them, with `1.0` in its topics, is a profile like a release: [`Release::V1_0`]. So is what
//! may come after the last, a forecast: [`Release::Next`].

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::TokenValidationStatus;
use crate::diagnostic::{Diagnostic, Severity};

/// The version in topics before the first release (`Topics.cpp`, 5d684690c).
const API_VERSION_1_0: &str = "1.0";

/// What the profile `next` is, to be read after "it is".
pub const FORECAST: &str = "a forecast: main with EVerest's pull requests #2167, #2613 and #2637, as they stood in 2026-08; nothing of it is released";

/// A release of EVerest, or what was before the first and may come after the last; later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum Release {
    /// The head of development from 2025-10-09 (5d684690c) to 2025-10-28 (a5ed89fc8), with `1.0` in its topics; in no
    /// release.
    #[serde(rename = "1.0")]
    V1_0,
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
    /// What the head would be with pull requests #2167 (6ef952015), #2613 (b7feeb3ca) and #2637 (c0c630b1c): a forecast,
    /// and no release.
    #[serde(rename = "next")]
    Next,
}

impl Release {
    /// Every release, earliest first; [`Release::V1_0`] and [`Release::Next`] are none.
    pub const ALL: [Release; 4] = [Release::V2025_10, Release::V2025_12, Release::V2026_02, Release::Main];

    /// All that can be played, earliest first.
    pub const PROFILES: [Release; 6] =
        [Release::V1_0, Release::V2025_10, Release::V2025_12, Release::V2026_02, Release::Main, Release::Next];

    /// Whether it says what EVerest may become rather than what it is or was.
    pub fn is_forecast(self) -> bool {
        self > Release::Main
    }

    /// What a person is shown: the name, and whether it is a forecast.
    pub fn label(self) -> &'static str {
        if self.is_forecast() { "next (forecast)" } else { self.name() }
    }

    /// The profile that a version in topics stands for by itself; `1` stands for none, since every release has it.
    pub fn of_api_version(version: &str) -> Option<Release> {
        (version == API_VERSION_1_0).then_some(Release::V1_0)
    }

    /// The only version that may stand in its topics; releases that may be played with either have none.
    pub fn own_api_version(self) -> Option<&'static str> {
        (self == Release::V1_0).then_some(API_VERSION_1_0)
    }

    /// Whether a version may stand in its topics.
    ///
    /// # Errors
    /// `usage/bad-topic`.
    pub fn check_api_version(self, api_version: &str) -> Result<(), Box<Diagnostic>> {
        match self.own_api_version().filter(|own| *own != api_version) {
            None => Ok(()),
            Some(own) => {
                let headline = format!("release `{self}` has `{own}` in its topics, not `{api_version}`");
                let help = "leave the API version out";
                Err(Box::new(Diagnostic::new(Severity::Error, "usage/bad-topic", headline).with_help(help)))
            }
        }
    }

    /// The name users write.
    pub fn name(self) -> &'static str {
        match self {
            Release::V1_0 => API_VERSION_1_0,
            Release::V2025_10 => "2025.10",
            Release::V2025_12 => "2025.12",
            Release::V2026_02 => "2026.02",
            Release::Main => "main",
            Release::Next => "next",
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
#[error("`{0}` is no release; there are 2025.10, 2025.12, 2026.02 and main, 1.0 before them, and the forecast next")]
pub struct UnknownRelease(String);

impl FromStr for Release {
    type Err = UnknownRelease;

    fn from_str(name: &str) -> Result<Self, UnknownRelease> {
        Release::PROFILES
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
        for release in Release::PROFILES {
            assert_eq!(release.name().parse(), Ok(release));
            assert_eq!(serde_json::to_value(release).unwrap(), release.name());
            assert_eq!(serde_json::from_value::<Release>(release.name().into()).unwrap(), release);
        }
        let error = "2024.09".parse::<Release>().unwrap_err();
        let told = "`2024.09` is no release; there are 2025.10, 2025.12, 2026.02 and main, 1.0 before them, and the \
                    forecast next";
        assert_eq!(error.to_string(), told);
    }

    #[test]
    fn later_releases_list_more_statuses() {
        use TokenValidationStatus::{Processing, UsedToReauthorize, Withdrawn};
        let lists = |status| Release::PROFILES.map(|release| release.lists(status));
        assert_eq!(lists(Processing), [true; 6]);
        assert_eq!(lists(Withdrawn), [false, false, false, true, true, true]);
        assert_eq!(lists(UsedToReauthorize), [false, false, false, false, true, true]);
    }

    #[test]
    fn only_what_was_before_the_releases_is_known_by_its_topics() {
        assert_eq!(Release::PROFILES[1..5], Release::ALL);
        assert_eq!(Release::of_api_version("1.0"), Some(Release::V1_0));
        assert_eq!(Release::of_api_version("1"), None);
        assert_eq!(Release::V1_0.own_api_version(), Some("1.0"));
        assert!(Release::ALL.iter().all(|release| release.own_api_version().is_none()));
        assert!(Release::PROFILES.is_sorted());
        let forecasts = Release::PROFILES.into_iter().filter(|release| release.is_forecast());
        assert_eq!(forecasts.map(Release::label).collect::<Vec<_>>(), ["next (forecast)"]);
    }
}

//! Which releases of EVerest are played, as flags and `khumbu.yaml` say it.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::release::{FORECAST, Release};

/// A release, or each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema, ValueEnum)]
#[allow(missing_docs)]
pub enum ReleaseChoice {
    #[serde(rename = "1.0")]
    #[value(name = "1.0")]
    V1_0,
    #[serde(rename = "2025.10")]
    #[value(name = "2025.10")]
    V2025_10,
    #[serde(rename = "2025.12")]
    #[value(name = "2025.12")]
    V2025_12,
    #[serde(rename = "2026.02")]
    #[value(name = "2026.02")]
    V2026_02,
    #[serde(rename = "main")]
    Main,
    /// A forecast, no release: main with EVerest's pull requests #2167, #2613 and #2637.
    #[serde(rename = "next")]
    Next,
    /// Each release; 1.0 was none, and next is none, see [`ReleaseChoice::releases`].
    #[serde(rename = "all")]
    All,
}

impl ReleaseChoice {
    /// The releases, earliest first. With `1.0` in the topics, what was before them is among all of them; a forecast never
    /// is.
    pub fn releases(self, api_version: &str) -> Vec<Release> {
        match self.one() {
            Some(release) => vec![release],
            None => Release::of_api_version(api_version).into_iter().chain(Release::ALL).collect(),
        }
    }

    /// The release, if it is one.
    pub fn one(self) -> Option<Release> {
        match self {
            ReleaseChoice::V1_0 => Some(Release::V1_0),
            ReleaseChoice::V2025_10 => Some(Release::V2025_10),
            ReleaseChoice::V2025_12 => Some(Release::V2025_12),
            ReleaseChoice::V2026_02 => Some(Release::V2026_02),
            ReleaseChoice::Main => Some(Release::Main),
            ReleaseChoice::Next => Some(Release::Next),
            ReleaseChoice::All => None,
        }
    }

    /// What one place, such as the flags, says: the release it names, or else the one that its API version stands for.
    ///
    /// # Errors
    /// `usage/bad-topic` if it names both and they exclude each other.
    pub fn of(release: Option<Self>, api_version: Option<&str>) -> Result<Option<Self>, Box<Diagnostic>> {
        if let (Some(release), Some(version)) = (release.and_then(Self::one), api_version) {
            release.check_api_version(version)?;
        }
        let implied = api_version.and_then(Release::of_api_version).map(|_| ReleaseChoice::V1_0);
        Ok(release.or(implied))
    }
}

/// What is said where a forecast is played.
pub fn forecast(release: Release) -> Option<Diagnostic> {
    let headline = format!("`{release}` is {FORECAST}");
    release.is_forecast().then(|| Diagnostic::new(Severity::Note, "release/forecast", headline))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn flags_and_files_know_every_release_by_its_name() {
        for release in Release::PROFILES {
            let flag = ReleaseChoice::from_str(release.name(), false).unwrap();
            let file: ReleaseChoice = serde_json::from_value(release.name().into()).unwrap();
            assert_eq!((flag.releases("1"), file), (vec![release], flag));
        }
        let all = ReleaseChoice::from_str("all", false).unwrap();
        assert_eq!(all.releases("1"), Release::ALL);
        assert_eq!(all.releases("1.0"), Release::PROFILES[..5], "a forecast is no release");
    }

    #[test]
    fn a_version_stands_for_a_release_where_none_is_named() {
        let of = |release, version| ReleaseChoice::of(release, version).map_err(|why| why.headline);
        assert_eq!(of(None, None), Ok(None));
        assert_eq!(of(None, Some("1")), Ok(None));
        assert_eq!(of(None, Some("1.0")), Ok(Some(ReleaseChoice::V1_0)));
        for named in [ReleaseChoice::V2025_12, ReleaseChoice::All] {
            assert_eq!(of(Some(named), Some("1.0")), Ok(Some(named)));
        }
        let why = "release `1.0` has `1.0` in its topics, not `1`";
        assert_eq!(of(Some(ReleaseChoice::V1_0), Some("1")), Err(why.to_owned()));
    }
}

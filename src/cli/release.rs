//! Which releases of EVerest a run plays, as flags and `khumbu.yaml` say it.

use clap::ValueEnum;
use serde::Deserialize;

use crate::protocol::release::Release;

/// A release, or each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[allow(missing_docs)]
pub enum ReleaseChoice {
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
    /// Each of them.
    #[serde(rename = "all")]
    All,
}

impl ReleaseChoice {
    /// The releases, earliest first.
    pub fn releases(self) -> Vec<Release> {
        vec![match self {
            ReleaseChoice::V2025_10 => Release::V2025_10,
            ReleaseChoice::V2025_12 => Release::V2025_12,
            ReleaseChoice::V2026_02 => Release::V2026_02,
            ReleaseChoice::Main => Release::Main,
            ReleaseChoice::All => return Release::ALL.to_vec(),
        }]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn flags_and_files_know_every_release_by_its_name() {
        for release in Release::ALL {
            let flag = ReleaseChoice::from_str(release.name(), false).unwrap();
            let file: ReleaseChoice = serde_json::from_value(release.name().into()).unwrap();
            assert_eq!((flag.releases(), file), (vec![release], flag));
        }
        assert_eq!(ReleaseChoice::from_str("all", false).unwrap().releases(), Release::ALL);
    }
}

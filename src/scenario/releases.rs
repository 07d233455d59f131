//! For which releases a scenario holds, and what of it each of them plays.

use super::step::Step;
use super::{Pointer, Scenario};
use crate::protocol::release::Release;

impl Scenario {
    /// The releases for which it holds, earliest first.
    pub fn releases(&self) -> Vec<Release> {
        Release::PROFILES.into_iter().filter(|release| self.holds_for(*release)).collect()
    }

    /// Whether it holds for a release.
    pub fn holds_for(&self, release: Release) -> bool {
        self.model.releases.as_ref().is_none_or(|releases| releases.contains(&release))
    }

    /// The release it is written for: the station's, or else the newest for which it holds; a forecast only if it holds for
    /// nothing else.
    pub fn release(&self) -> Release {
        let station = self.model.station.release;
        let releases = self.releases();
        let newest = releases.iter().rev().find(|release| !release.is_forecast()).or(releases.last());
        match newest {
            Some(newest) if !self.holds_for(station) => *newest,
            _ => station,
        }
    }

    /// The release that is played if nobody chooses. Nobody gets a forecast who has not asked for it.
    pub fn release_unasked(&self) -> Release {
        let station = self.model.station.release;
        Some(self.release()).filter(|release| !release.is_forecast()).unwrap_or(station)
    }
}

/// The steps that a release plays, each with its pointer: what `only` holds stands in the place of `only`.
pub fn played<'s>(steps: &'s [Step], base: &Pointer, release: Release) -> Vec<(Pointer, &'s Step)> {
    let mut played = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let at = base.index(index);
        match step {
            Step::Only(only) if only.releases.contains(&release) => {
                played.extend(self::played(&only.steps, &at.key("only").key("steps"), release));
            }
            Step::Only(_) => {}
            step => played.push((at, step)),
        }
    }
    played
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::scenario::{Known, parse};

    fn scenario(frame: &str, steps: &str) -> Scenario {
        let text = format!("description: x\nunder_test: client\n{frame}steps:\n{steps}");
        parse("x.yaml", &text, Known::default()).unwrap()
    }

    #[test]
    fn a_scenario_that_names_no_release_holds_for_all() {
        let note = "  - note: x\n";
        for (frame, releases, release) in [
            ("", Release::PROFILES.as_slice(), Release::Main),
            ("station: {release: 2025.12}\n", &Release::PROFILES, Release::V2025_12),
            ("releases: [1.0]\n", &[Release::V1_0], Release::V1_0),
            ("releases: [2025.12, \"2025.10\"]\n", &[Release::V2025_10, Release::V2025_12], Release::V2025_12),
            ("releases: [2025.10, main]\n", &[Release::V2025_10, Release::Main], Release::Main),
            ("releases: [2025.12, next]\n", &[Release::V2025_12, Release::Next], Release::V2025_12),
            ("releases: [next]\n", &[Release::Next], Release::Next),
            ("releases: [next]\nstation: {release: next}\n", &[Release::Next], Release::Next),
            ("releases: [2025.10, main]\nstation: {release: 2025.10}\n", &[Release::V2025_10, Release::Main], {
                Release::V2025_10
            }),
        ] {
            let scenario = scenario(frame, note);
            assert_eq!((scenario.releases().as_slice(), scenario.release()), (releases, release), "{frame}");
            let unasked = if frame == "releases: [next]\n" { Release::Main } else { release };
            assert_eq!(scenario.release_unasked(), unasked, "{frame}");
        }
    }

    #[test]
    fn only_is_taken_apart_and_keeps_its_places() {
        let steps = "  - note: a
  - only:
      releases: [main, 2026.02]
      steps:
        - note: b
        - only: {releases: [main], steps: [note: c]}
  - note: d
";
        let scenario = scenario("", steps);
        let pointers = |release| {
            let played = played(&scenario.model.steps, &Pointer::from("/steps"), release);
            played.into_iter().map(|(pointer, _)| pointer.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(pointers(Release::V2025_10), ["/steps/0", "/steps/2"]);
        assert_eq!(pointers(Release::V2026_02), ["/steps/0", "/steps/1/only/steps/0", "/steps/2"]);
        let inner = "/steps/1/only/steps/1/only/steps/0";
        assert_eq!(pointers(Release::Main), ["/steps/0", "/steps/1/only/steps/0", inner, "/steps/2"]);
        assert_eq!(scenario.line(inner), 9);
    }
}

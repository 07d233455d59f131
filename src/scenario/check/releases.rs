//! The sense of `releases` and `only`, and of what each release plays.

use super::Checker;
use crate::diagnostic::Diagnostic;
use crate::protocol::release::Release;
use crate::scenario::step::{Frame, Step};
use crate::scenario::{Known, Pointer, Scenario};

/// What is wrong with the steps: each release plays its own, in which names and captured values must make sense.
pub(super) fn check_played(scenario: &Scenario, known: Known<'_>) -> Vec<Diagnostic> {
    let steps = scenario.model.steps.as_slice();
    let releases = match scenario.releases() {
        releases if releases.len() > 1 && has_only(steps, scenario.model.frame()) => releases,
        _ => vec![scenario.release()],
    };
    let mut found: Vec<(Diagnostic, Vec<&str>)> = Vec::new();
    for release in &releases {
        let mut checker = Checker::new(scenario, *release, known);
        checker.collect_names();
        checker.check_steps(steps, &Pointer::from("/steps"), 0);
        for new in checker.found {
            match found.iter_mut().find(|(known, _)| *known == new) {
                Some((_, under)) => under.push(release.name()),
                None => found.push((new, vec![release.name()])),
            }
        }
    }
    let told = found.into_iter().map(|(diagnostic, under)| match under.len() == releases.len() {
        true => diagnostic,
        false => diagnostic.with_evidence(format!("under release {}", under.join(", "))),
    });
    told.collect()
}

fn has_only(steps: &[Step], frame: Frame) -> bool {
    steps.iter().any(|step| {
        let inner = step.row(frame).inner;
        matches!(step, Step::Only(_)) || inner.is_some_and(|(_, steps)| has_only(steps, frame))
    })
}

/// How many steps stand there, those of `only` in its place.
pub(super) fn written(steps: &[Step]) -> usize {
    let count = |step: &Step| if let Step::Only(only) = step { written(&only.steps) } else { 1 };
    steps.iter().map(count).sum()
}

impl Checker<'_> {
    pub(super) fn check_releases(&mut self) {
        let scenario = self.scenario;
        let Some(releases) = &scenario.model.releases else { return };
        if releases.is_empty() {
            self.report_key("scenario/no-release", "/releases", "releases is empty").help =
                Some("leave it out if the scenario holds for all releases".to_owned());
            return;
        }
        let station = scenario.model.station.release;
        if scenario.has("/station/release") && !scenario.holds_for(station) {
            let headline = format!("the station is of release `{station}`, for which the scenario does not hold");
            self.report("scenario/other-release", "/station/release", headline)
                .evidence
                .push(format!("releases: {}", names(&scenario.releases())));
        }
    }

    /// The frames of `only`, wherever they stand.
    pub(super) fn check_only(&mut self, steps: &[Step], base: &Pointer) {
        for (index, step) in steps.iter().enumerate() {
            let row = step.row(self.scenario.model.frame());
            let at = base.index(index).key(row.key);
            if let Step::Only(only) = step {
                if only.releases.is_empty() {
                    self.report_key("scenario/no-release", &at.key("releases"), "releases is empty");
                }
                if only.steps.is_empty() {
                    self.report_key("scenario/no-steps", &at.key("steps"), "only has no steps");
                }
                for (index, release) in only.releases.iter().enumerate() {
                    if !self.scenario.holds_for(*release) {
                        let headline = format!("the scenario does not hold for release `{release}`");
                        let listed = format!("releases: {}", names(&self.scenario.releases()));
                        self.report("scenario/other-release", &at.key("releases").index(index), headline)
                            .evidence
                            .push(listed);
                    }
                }
            }
            if let Some((below, steps)) = row.inner {
                self.check_only(steps, &at.below(below));
            }
        }
    }
}

fn names(releases: &[Release]) -> String {
    releases.iter().map(|release| release.name()).collect::<Vec<_>>().join(", ")
}

//! Tells whoever watches a run what is waited for, and until when. Waits for nothing itself.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::diagnostic::words::cut;
use crate::scenario::{Pointer, Scenario};
use crate::verdict::RunEvent;

/// What is over sooner need not be told.
const SHORT: Duration = Duration::from_secs(1);
/// A deadline that is prolonged by less is the same.
const SAME: Duration = Duration::from_millis(500);
/// The longest step that is told as it stands in the file, in characters.
const LONGEST: usize = 100;

/// Tells of one scenario.
#[derive(Debug)]
pub struct Awaited {
    to: Option<(mpsc::UnboundedSender<RunEvent>, String)>,
    what: String,
    /// Until when, of what began last.
    told: Option<Instant>,
}

impl Awaited {
    /// Tells these listeners of the scenario with this title.
    pub fn of(to: mpsc::UnboundedSender<RunEvent>, title: String) -> Self {
        // To find the line of a step takes time.
        let to = (!to.is_closed()).then_some((to, title));
        Self { to, what: String::new(), told: None }
    }

    /// Tells nobody.
    pub fn untold() -> Self {
        Self { to: None, what: String::new(), told: None }
    }

    /// A step begins.
    pub fn step(&mut self, scenario: &Scenario, at: &Pointer) {
        if let Some((to, title)) = &self.to {
            let line = scenario.line(at);
            // Nobody listening is in their right, here and below.
            let _ = to.send(RunEvent::StepBegan { path: title.clone(), line });
            let written = scenario.source.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
            let written = written.trim().trim_start_matches("- ");
            self.what = format!("{}:{line} {}", scenario.source.path, cut(written, LONGEST));
            self.told = None;
        }
    }

    /// Something begins that is no step.
    pub fn phase(&mut self, scenario: &Scenario, what: &str) {
        if self.to.is_some() {
            self.what = format!("{} {what}", scenario.source.path);
            self.told = None;
        }
    }

    /// It is waited for until then.
    pub fn until(&mut self, deadline: Instant) {
        let Some((to, title)) = &self.to else { return };
        let within = deadline.saturating_duration_since(Instant::now());
        let is_told = |told: &Instant| {
            deadline.saturating_duration_since(*told).max(told.saturating_duration_since(deadline)) < SAME
        };
        if within < SHORT || self.what.is_empty() || self.told.as_ref().is_some_and(is_told) {
            return;
        }
        let is_prolonged = self.told.replace(deadline).is_some();
        let event = RunEvent::Awaited { path: title.clone(), what: self.what.clone(), within, is_prolonged };
        let _ = to.send(event);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::scenario::{Known, parse};

    #[tokio::test]
    async fn what_is_waited_for_is_told_once() {
        let text =
            "description: x\nunder_test: client\nsteps:\n  - note: a\n  - expect: {message: communication_check}\n";
        let scenario = parse("x.yaml", text, Known::default()).unwrap();
        let (to, mut told) = mpsc::unbounded_channel();
        let mut awaited = Awaited::of(to, "x.yaml".to_owned());
        let now = Instant::now();
        let of = |millis| now + Duration::from_millis(millis);
        awaited.until(of(900_000));
        awaited.step(&scenario, &"/steps/1".into());
        for deadline in [500_000, 500_200, 300, 500_100, 800_000] {
            awaited.until(of(deadline));
        }
        // The same step again, as in a `repeat`.
        awaited.step(&scenario, &"/steps/1".into());
        awaited.until(of(800_000));
        drop(awaited);
        let mut all = Vec::new();
        while let Some(event) = told.recv().await {
            match event {
                RunEvent::StepBegan { line: 5, .. } => all.push(None),
                RunEvent::Awaited { what, is_prolonged, .. } => {
                    assert_eq!(what, "x.yaml:5 expect: {message: communication_check}");
                    all.push(Some(is_prolonged));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            all,
            [None, Some(false), Some(true), None, Some(false)],
            "nothing is told before a step, of what is over at once, and of what was told"
        );
    }
}

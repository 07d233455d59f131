//! `khumbu conform --sweep`: every play once under each fault that its requirements say a module survives.
//!
//! First the plays without a fault: what fails there, no fault has to explain, and what has no occasion there has none
//! under a fault either.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::faults;
use crate::conformance::survived::{Over, Survived};
use crate::diagnostic::{Diagnostic, Severity};
use crate::runner::{Fault, Piece, Settings};
use crate::scenario::Scenario;
use crate::suite::{self, Pair};
use crate::verdict::{ScenarioResult, Verdict};

/// Every play under each fault, as it is to be played, or why it is not.
#[derive(Default)]
pub struct Sweep {
    /// What is played.
    pub pieces: Vec<Piece>,
    /// What is not, and why.
    pub unplayed: Vec<Arc<ScenarioResult>>,
}

/// The faults over these plays, which were played without any.
///
/// # Errors
/// What is wrong with a fault, which the tests of khumbu rule out.
pub fn sweep(
    plays: &[Play],
    results: &[Arc<ScenarioResult>],
    only: &[&'static str],
    settings: &Settings,
) -> Result<Sweep, Vec<Diagnostic>> {
    let bare: BTreeMap<_, _> = results.iter().map(|result| ((result.path.as_str(), result.release), result)).collect();
    let mut sweep = Sweep::default();
    for Pair { play, fault } in suite::pairs(plays, |play| &play.scenario.model, only) {
        let key = (play.scenario.source.path.as_str(), play.release);
        let Some(result) = bare.get(&key).filter(|result| result.verdict != Verdict::NotApplicable) else { continue };
        let steps = Arc::new(faults::read(&fault.steps(play.scenario.model.api))?);
        let is_passed_on = settings.upstream.is_some() && faults::befalls_messages(&steps);
        let piece = play.under(steps);
        match why_not(result, fault) {
            _ if is_passed_on => {
                let unplayed = piece.unplayed(passed_on());
                sweep.unplayed.push(Arc::new(ScenarioResult { verdict: Verdict::NotApplicable, ..unplayed }));
            }
            Some(why) => sweep.unplayed.push(Arc::new(piece.unplayed(why))),
            None => sweep.pieces.push(piece),
        }
    }
    Ok(sweep)
}

/// A play under a release.
pub struct Play {
    scenario: Arc<Scenario>,
    release: crate::protocol::release::Release,
}

impl Play {
    /// The play that a piece is.
    pub fn of(piece: &Piece) -> Self {
        Self { scenario: piece.scenario.clone(), release: piece.release }
    }

    fn under(&self, fault: Arc<Fault>) -> Piece {
        Piece::new(self.scenario.clone(), self.release).under(fault)
    }
}

fn passed_on() -> Diagnostic {
    let headline = "faults befall messages at khumbu's own broker only; another one passes them on unchanged";
    Diagnostic::new(Severity::Note, "broker/passes-on", headline)
}

/// Why a fault is not laid over a play with this result.
fn why_not(bare: &ScenarioResult, fault: &Survived) -> Option<Diagnostic> {
    if let Some(why) = suite::why_unplayed(bare) {
        return Some(why.clone());
    }
    let new = |headline: String| Some(Diagnostic::new(Severity::Inconclusive, "run/not-swept", headline));
    let stopped = |it: &&Diagnostic| it.severity >= Severity::Inconclusive && !it.is_unexercised;
    if let Some(found) = bare.findings.iter().find(stopped) {
        let headline = format!("the play ends otherwise than it should without a fault: {}", found.headline);
        return new(headline).map(|why| why.unexercised(format!("a module that plays `{}` to its end", bare.path)));
    }
    if let Some(untold) = bare.findings.iter().find(|it| it.is_unexercised && bare.evidence.shown.is_empty()) {
        // It took no part in the play, and would not under a fault either.
        let why = new(format!("the play has nothing to show without a fault: {}", untold.headline));
        return why.map(|why| why.unexercised(untold.help.clone().unwrap_or_default()));
    }
    let id = fault.requirement;
    if fault.over == Over::Naming && !bare.occasions.contains_key(id) {
        let why = bare.findings.iter().find_map(|found| found.help.clone().filter(|_| found.is_unexercised));
        let what = why.unwrap_or_else(|| format!("a module that gives `{}` an occasion for {id}", bare.path));
        return new(format!("the play has no occasion for {id} without a fault")).map(|why| why.unexercised(what));
    }
    None
}

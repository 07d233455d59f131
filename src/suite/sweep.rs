//! The sweep: which play is played under which fault, because a requirement says that a client survives it.

use serde::Serialize;

use crate::conformance::requirements;
use crate::conformance::survived::{self, Over, Survived};
use crate::diagnostic::wrapped;
use crate::scenario::Scenario;
use crate::scenario::model::Model;

use super::files::ROOT;

/// The width of the whole.
const WIDTH: usize = 80;

/// A play under a fault.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'s, S> {
    /// The play.
    pub play: &'s S,
    /// The fault.
    pub fault: &'static Survived,
}

#[derive(Serialize)]
struct Entry<'s> {
    requirement: &'static str,
    fault: Vec<String>,
    play: &'s str,
}

/// Whether a scenario of the suite is a play: it demands nothing of the module, and so can be played under any fault.
pub fn is_play(scenario: &Scenario) -> bool {
    let below = scenario.source.path.strip_prefix(ROOT);
    below.is_some_and(|below| below.starts_with("/plays/"))
}

/// Each of these plays under each fault that a requirement says is survived, by fault. `only` are the requirements that
/// somebody asked for; all if empty.
pub fn pairs<'s, S>(plays: &'s [S], model: impl Fn(&S) -> &Model, only: &[&str]) -> Vec<Pair<'s, S>> {
    let is_laid = |fault: &Survived, play: &Model| {
        let concerns = requirements::find(fault.requirement).is_some_and(|it| it.concerns(play.api));
        concerns && (fault.over == Over::Every || play.requirements.iter().any(|id| id == fault.requirement))
    };
    let faults = survived::all().iter().filter(|fault| only.is_empty() || only.contains(&fault.requirement));
    let pairs = faults.flat_map(|fault| plays.iter().map(move |play| Pair { play, fault }));
    pairs.filter(|pair| is_laid(pair.fault, model(pair.play))).collect()
}

/// Pairs as text, at most 80 columns wide where paths and faults leave it at that: each fault of an API with the
/// requirement that says that it is survived, and the plays over which it is laid.
pub fn sweep_list(pairs: &[Pair<'_, Scenario>]) -> String {
    let mut text = String::new();
    let mut last = None;
    for Pair { play, fault } in pairs {
        let steps = fault.steps(play.model.api);
        if last.replace((fault, steps.clone())) != Some((fault, steps.clone())) {
            let statement = requirements::find(fault.requirement).map_or("", |it| it.statement);
            for (number, line) in wrapped(statement, WIDTH - 8).iter().enumerate() {
                let id = if number == 0 { fault.requirement } else { "" };
                text.push_str(&format!("{id:<8}{line}\n"));
            }
            for step in steps {
                text.push_str(&format!("        --fault '{step}'\n"));
            }
        }
        text.push_str(&format!("            {}\n", play.source.path));
    }
    text
}

/// The same for machines: a list of objects with `requirement`, `fault` (its steps) and `play`.
pub fn sweep_list_json(pairs: &[Pair<'_, Scenario>]) -> String {
    let entries = pairs.iter().map(|pair| Entry {
        requirement: pair.fault.requirement,
        fault: pair.fault.steps(pair.play.model.api),
        play: &pair.play.source.path,
    });
    let entries: Vec<_> = entries.collect();
    // Maps and lists of texts.
    serde_json::to_string_pretty(&entries).expect("texts only") + "\n"
}

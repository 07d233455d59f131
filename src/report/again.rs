//! What several plays of one scenario come to, where it was played again (`--retries`).
//!
//! What a module did wrong once it did: a pass after a fail does not take it back, but tells that it is *flaky* and not
//! broken throughout. A play that judged nothing is no such thing: the first that judges counts.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::verdict::{Again, ScenarioResult, Verdict};

/// Whether a result that a scenario had so far is worth another play. Not if it was put to no test, which no play
/// changes.
pub fn is_worth_another(result: &ScenarioResult) -> bool {
    match result.verdict {
        Verdict::Fail | Verdict::Error => true,
        Verdict::Inconclusive => {
            let mut open = result.findings.iter().filter(|found| found.severity == Severity::Inconclusive);
            open.any(|found| !found.is_unexercised)
        }
        Verdict::NotApplicable | Verdict::Excused | Verdict::Flaky | Verdict::Pass => false,
    }
}

/// All plays of a scenario, in their order, as one result: the first that failed, else the last, or the worst where all of them
/// were wanted, with the others beside it.
/// What a single play showed stays as it is.
pub fn together(plays: Vec<Arc<ScenarioResult>>, is_repeat: bool) -> Option<Arc<ScenarioResult>> {
    let count = |verdict| plays.iter().filter(|play| play.verdict == verdict).count();
    let again = Again { plays: plays.len(), failed: count(Verdict::Fail), passed: count(Verdict::Pass) };
    let worst = || plays.iter().enumerate().max_by_key(|(index, play)| (play.verdict, usize::MAX - index));
    let last = plays.len().checked_sub(1)?;
    let else_chosen = worst().filter(|_| is_repeat).map_or(last, |(index, _)| index);
    let chosen = plays.iter().position(|play| play.verdict == Verdict::Fail).unwrap_or(else_chosen);
    if plays.len() == 1 {
        return plays.into_iter().next();
    }
    let told = told(&plays, chosen, again);
    let of_play = |play: &Arc<ScenarioResult>| ScenarioResult { again: Some(again), ..play.as_ref().clone() };
    let mut result = of_play(&plays[chosen]);
    result.findings.push(told);
    for (_, play) in plays.iter().enumerate().filter(|(index, _)| *index != chosen) {
        for (id, count) in &play.occasions {
            *result.occasions.entry(id).or_default() += count;
        }
        result.hears_orders |= play.hears_orders;
        result.other_plays.push(Arc::new(of_play(play)));
    }
    Some(Arc::new(result))
}

/// What is said of it.
fn told(plays: &[Arc<ScenarioResult>], chosen: usize, again: Again) -> Diagnostic {
    let Again { plays: all, failed, .. } = again;
    let (severity, headline) = match () {
        () if again.is_flaky() => (Severity::Warning, format!("it is flaky: {}", again.in_words())),
        () if failed == all => (Severity::Note, format!("it failed in all {all} plays")),
        () if again.passed == all => (Severity::Note, format!("it passed in all {all} plays")),
        () if failed > 0 => (Severity::Note, format!("{}, and passed in none", again.in_words())),
        () if again.passed > 0 => (Severity::Note, format!("it was judged in {} of {all} plays", again.passed)),
        () => (Severity::Note, format!("it was judged in none of {all} plays")),
    };
    let others = plays.iter().enumerate().filter(|(index, _)| *index != chosen);
    // Of plays that all passed there is nothing more to say.
    let others = others.filter(|_| again.passed < all);
    let lines = others.map(|(index, play)| format!("play {}: {}", index + 1, in_a_line(play))).collect();
    let told = Diagnostic::new(severity, "run/played-again", headline).with_lines(lines);
    if again.is_flaky() { told.about(Subject::Flaky) } else { told }
}

fn in_a_line(play: &ScenarioResult) -> String {
    match play.findings.iter().find(|found| Verdict::of(found) == play.verdict && play.verdict > Verdict::Pass) {
        Some(found) => {
            let requirement = found.requirement.map(|id| format!(", {id}")).unwrap_or_default();
            format!("{}[{}]{requirement}: {}", found.severity.word(), found.id, found.headline)
        }
        None => play.verdict.word().to_owned(),
    }
}

/// Lets what is flaky pass: it is shown as such, and fails nothing. What `known_failures` says stays.
pub fn let_flaky_pass(results: &mut [Arc<ScenarioResult>]) {
    let says_list = |found: &Diagnostic| found.severity == Severity::Fail && found.subject == Subject::Excuse;
    for result in results.iter_mut().filter(|it| it.is_flaky() && it.verdict == Verdict::Fail) {
        if result.plays().any(|play| play.findings.iter().any(says_list)) {
            continue;
        }
        let pass = |play: &ScenarioResult| match play.verdict {
            Verdict::Fail => ScenarioResult { verdict: Verdict::Flaky, ..play.clone() },
            _ => play.clone(),
        };
        let mut passed = pass(result);
        passed.other_plays = result.other_plays.iter().map(|play| Arc::new(pass(play))).collect();
        *result = Arc::new(passed);
    }
}

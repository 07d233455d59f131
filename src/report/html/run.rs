//! The page of a run: what did not pass in full, and all scenarios.

use std::collections::BTreeSet;
use std::sync::Arc;

use maud::{Markup, html};

use super::Made;
use super::finding::{findings, where_};
use super::page::{Page, Tone, command, icon, page, played, tone_of};
use super::scenarios::{self, ID};
use super::text::{prose, sentence};
use crate::conformance::requirements;
use crate::diagnostic::{Diagnostic, Severity};
use crate::verdict::{ScenarioResult, Verdict, fault_flags};

/// So many of what did not pass are unfolded, each the first with its finding.
const OPEN: usize = 10;

/// The whole page; `again` is the command line that plays a scenario again, once its path is added.
pub fn html(results: &[Arc<ScenarioResult>], made: &Made, is_interrupted: bool, again: &str) -> String {
    let counts = scenarios::counts(results);
    let worst = results.iter().map(|result| result.verdict).max();
    let count = |verdict| results.iter().filter(|result| result.verdict == verdict).count();
    let of = |number: usize| format!("{number} of {}", number_of(results.len()));
    let (sentence, tone) = match worst {
        Some(Verdict::Fail) => (format!("{} failed", of(count(Verdict::Fail))), Tone::Bad),
        Some(Verdict::Error) => (format!("{} ended in an error", of(count(Verdict::Error))), Tone::Bad),
        Some(Verdict::Inconclusive) => (format!("{} inconclusive", of(count(Verdict::Inconclusive))), Tone::Open),
        None => ("Nothing was played".to_owned(), Tone::Open),
        Some(_) if is_interrupted => ("The run was interrupted".to_owned(), Tone::Open),
        Some(Verdict::Pass) if count(Verdict::Pass) == results.len() => {
            (format!("All {} passed", number_of(results.len())), Tone::Good)
        }
        Some(_) => ("Nothing failed".to_owned(), Tone::Good),
    };
    let lead = is_interrupted.then(|| "The run was interrupted before its end.".to_owned()).into_iter().collect();
    let mut told: Vec<(usize, &Arc<ScenarioResult>)> =
        results.iter().enumerate().filter(|(_, result)| is_told(result)).collect();
    told.sort_by_key(|(_, result)| std::cmp::Reverse(result.verdict));
    let releases: BTreeSet<_> = results.iter().map(|result| result.release).collect();
    let releases: Vec<_> = releases.into_iter().map(|release| release.label()).collect();
    let facts = vec![("Releases of EVerest", releases.join(", ")), ("Scenarios", played(results.len(), made.took))];
    let body = html! {
        @if !told.is_empty() {
            h2 { "What did not pass" }
            @let kinds = kinds(&told);
            @if kinds.len() < told.len() {
                ul.kinds { @for Kind { id, first, count } in &kinds {
                    li { a href={"#" (anchor(*first))} { code { (id) } } " " span.dim { (number_of(*count)) } }
                } }
            }
            @for (index, result) in &told {
                @let is_open = kinds.iter().take(OPEN).any(|kind| kind.first == *index);
                (card(result, &anchor(*index), is_open, again))
            }
        }
        h2 { "Scenarios" }
        (scenarios::table(results, |index| is_told(&results[index]).then(|| anchor(index))))
    };
    let head = Page { kind: "test report", sentence, tone, lead, facts, counts: &counts, table: ID, made };
    page(&head, &body)
}

/// What was found first in so many results, and the index of the first of them.
struct Kind<'a> {
    id: &'a str,
    first: usize,
    count: usize,
}

fn kinds<'a>(told: &[(usize, &'a Arc<ScenarioResult>)]) -> Vec<Kind<'a>> {
    let mut kinds: Vec<Kind<'a>> = Vec::new();
    for (index, result) in told {
        let id = decisive(result).map_or(result.verdict.word(), |finding| finding.id);
        match kinds.iter_mut().find(|kind| kind.id == id) {
            Some(kind) => kind.count += 1,
            None => kinds.push(Kind { id, first: *index, count: 1 }),
        }
    }
    kinds
}

/// The finding that says most about why a result is what it is.
fn decisive(result: &ScenarioResult) -> Option<&Diagnostic> {
    result.findings.iter().find(|it| makes_verdict(it))
}

fn number_of(scenarios: usize) -> String {
    if scenarios == 1 { "1 scenario".to_owned() } else { format!("{scenarios} scenarios") }
}

fn anchor(index: usize) -> String {
    format!("result-{}", index + 1)
}

/// Whether there is more to say of a result than its row has.
fn is_told(result: &ScenarioResult) -> bool {
    match result.verdict {
        Verdict::Fail | Verdict::Error | Verdict::Flaky | Verdict::Excused => true,
        Verdict::Inconclusive => result.findings.iter().any(|it| makes_verdict(it) && !it.is_unexercised),
        Verdict::Pass | Verdict::NotApplicable => false,
    }
}

fn makes_verdict(finding: &Diagnostic) -> bool {
    finding.severity > Severity::Warning
}

fn card(result: &ScenarioResult, id: &str, is_open: bool, again: &str) -> Markup {
    let word = result.verdict.word();
    let mut broken: Vec<_> = result.findings.iter().filter_map(|it| it.requirement).collect();
    broken.dedup();
    html! {
        details.card.(tone_of(word)) id=(id) open[is_open] {
            summary {
                span.badge { (icon(word)) " " (word.replace('_', " ")) }
                @if result.description.is_empty() {
                    " " h3.place { (where_(result)) }
                } @else {
                    " " (where_(result))
                    h3 { (sentence(&result.description)) }
                }
                @if let Some(finding) = decisive(result) { p.glance { (sentence(&finding.headline)) " " code { (finding.id) } } }
            }
            @for requirement in broken.into_iter().filter_map(requirements::find) {
                p.requirement {
                    strong { (requirement.id) } " " span.level { (requirement.level.word()) } " "
                    (sentence(requirement.statement)) " " span.dim { "Source: " (prose(requirement.source)) }
                }
            }
            (findings(result, &result.findings))
            h4 { "To see it again" }
            (command(&format!(
                "{again} {} --release {}{}",
                shell_words::quote(&result.path),
                result.release.name(),
                fault_flags(&result.faults)
            )))
        }
    }
}

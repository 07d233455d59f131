//! The scenarios of a run as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use maud::{Markup, html};

use super::page::{Choice, Count, filters, icon};
use super::text::{prose, sentence};
use crate::diagnostic::printable;
use crate::report::outcome::{Summary, has_several_releases};
use crate::report::terminal;
use crate::verdict::{ScenarioResult, Verdict};

/// The id of the table.
pub const ID: &str = "scenarios";

/// How many scenarios had each verdict, the worst first.
pub fn counts(results: &[Arc<ScenarioResult>]) -> Vec<Count> {
    let Summary { pass, fail, inconclusive, error, not_applicable, excused, flaky } =
        Summary::of(results.iter().map(|result| result.verdict));
    let count = |verdict: Verdict, word, number| Count { key: verdict.word(), word, number };
    let mut counts = vec![
        count(Verdict::Fail, "failed", fail),
        count(Verdict::Error, if error == 1 { "error" } else { "errors" }, error),
        count(Verdict::Inconclusive, "inconclusive", inconclusive),
        count(Verdict::Pass, "passed", pass),
        count(Verdict::NotApplicable, "not applicable", not_applicable),
    ];
    if flaky > 0 {
        counts.insert(2, count(Verdict::Flaky, "flaky", flaky));
    }
    if excused > 0 {
        counts.insert(2, count(Verdict::Excused, "excused", excused));
    }
    counts
}

/// The table with its filters. `link` is the id of the element that says more of the result of this index.
pub fn table(results: &[Arc<ScenarioResult>], link: impl Fn(usize) -> Option<String>) -> Markup {
    let names_release = has_several_releases(results);
    let options = |words: BTreeSet<&str>| words.into_iter().map(|word| (word.to_owned(), word.to_owned())).collect();
    let choices = [
        Choice {
            name: "release",
            label: "Release",
            options: options(results.iter().map(|result| result.release.name()).collect()),
        },
        Choice {
            name: "directory",
            label: "Directory",
            options: options(results.iter().map(|result| split(&result.path).0).collect()),
        },
    ];
    html! {
        (filters(ID, "scenarios", &counts(results), &choices))
        table id=(ID) {
            thead { tr {
                th scope="col" { "Verdict" }
                th scope="col" { "Scenario" }
                @if names_release { th scope="col" { "EVerest" } }
                th scope="col" { "Requirements" }
                th.number scope="col" { "Shown to it" }
                th.number scope="col" { "Sent by it" }
                th.number scope="col" { "Took" }
            } }
            tbody {
                @for (index, result) in results.iter().enumerate() {
                    (row(result, link(index), names_release))
                }
            }
        }
    }
}

fn row(result: &ScenarioResult, link: Option<String>, names_release: bool) -> Markup {
    let (directory, name) = split(&result.path);
    let word = result.verdict.word();
    let messages = |list: &BTreeMap<&'static str, usize>| list.values().sum::<usize>();
    html! {
        tr data-state=(word) data-release=(result.release.name()) data-directory=(directory) {
            td.state { span { (icon(word)) " " (word.replace('_', " ")) } }
            th scope="row" {
                @let path = html! { code { span.dim { (printable(directory)) "/" } (printable(name)) } };
                @match &link { Some(id) => a href={"#" (id)} { (path) }, None => { (path) } }
                @for fault in &result.faults { p.reason { "under " code { (printable(fault)) } } }
                @if !result.description.is_empty() { p.reason { (prose(&result.description)) } }
                @if link.is_none() {
                    @for finding in &result.findings {
                        p.reason {
                            (icon(finding.severity.word())) " " (sentence(&finding.headline))
                            @if let (true, Some(help)) = (finding.is_unexercised, &finding.help) { ". To exercise it: " (prose(help)) }
                        }
                    }
                }
            }
            @if names_release { td { (result.release.label()) } }
            td { (result.requirements.join(" ")) }
            td.number data-unit="shown" { (messages(&result.evidence.shown)) }
            td.number data-unit="sent" { (messages(&result.evidence.did)) }
            td.number { (terminal::time(result.duration)) }
        }
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or((".", path))
}

//! The matrix as a page of HTML: what came out, what is broken in full, all requirements, and the scenarios.

use std::sync::Arc;

use maud::{Markup, html};

use super::list::side_of;
use super::matrix::{Broken, Matrix, Row, State};
use super::unplayed::why_unplayed;
use crate::conformance::requirements::Level;
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::ApiType;
use crate::protocol::side::Side;
use crate::report::html::{
    Choice, Count, Made, Page, Tone, command, filters, findings, icon, more, page, played, prose, sentence, table,
    where_,
};
use crate::verdict::ScenarioResult;

/// The id of the table of requirements.
const ID: &str = "requirements";
/// So many numbers are listed at the top.
const LISTED: usize = 8;
/// So many of what is broken are unfolded.
const OPEN: usize = 10;

/// The whole page.
pub fn html(matrix: &Matrix<'_>, results: &[Arc<ScenarioResult>], made: &Made) -> String {
    let counts = counts(matrix);
    let (sentence, tone) = outcome(matrix);
    let results: Vec<_> = results.iter().filter(|result| why_unplayed(result).is_none()).cloned().collect();
    let broken: Vec<_> = matrix.rows.iter().filter(|row| !row.failures.is_empty()).collect();
    let body = html! {
        @if !broken.is_empty() {
            h2 { "What is broken" }
            @for (number, row) in broken.iter().enumerate() { (card(row, matrix, number < OPEN)) }
        }
        @if !matrix.others.is_empty() {
            h2 { (if matrix.is_judged { "What else went wrong" } else { "What stood in the way" }) }
            @for (number, it) in matrix.others.iter().enumerate() { (other(it, number < OPEN)) }
        }
        h2 { "Requirements" }
        (requirements(matrix, &counts))
        (legend(matrix))
        details.section {
            summary { h2 { "Scenarios that were played" } }
            (table(&results, |_| None))
        }
    };
    let head = Page {
        kind: "conformance report",
        sentence,
        tone,
        lead: lead(matrix),
        facts: facts(matrix, &results, made),
        counts: &counts,
        table: ID,
        made,
    };
    page(&head, &body)
}

fn counts(matrix: &Matrix<'_>) -> Vec<Count> {
    let shown = State::ALL.into_iter().filter(|state| state.is_always_counted() || matrix.count(*state) > 0);
    shown.map(|state| Count { key: state.key(), word: state.word(), number: matrix.count(state) }).collect()
}

fn requirements_in_words(count: usize) -> String {
    if count == 1 { "1 requirement is".to_owned() } else { format!("{count} requirements are") }
}

fn outcome(matrix: &Matrix<'_>) -> (String, Tone) {
    let has = |severity| matrix.others.iter().any(|it| it.finding.severity == severity);
    let flaky = || format!("{} flaky", requirements_in_words(matrix.count(State::Flaky)));
    match matrix.count(State::Broken) {
        0 if matrix.rows.iter().any(Row::is_fatal) => (flaky(), Tone::Bad),
        0 if matrix.others.iter().any(Broken::is_failure) => {
            ("Something failed that breaks no requirement".to_owned(), Tone::Bad)
        }
        0 if has(Severity::Error) => ("Khumbu could not judge everything".to_owned(), Tone::Open),
        0 if !matrix.is_judged => ("The module could not be judged".to_owned(), Tone::Open),
        0 if matrix.is_interrupted => ("Nothing is broken so far".to_owned(), Tone::Open),
        0 if matrix.count(State::Flaky) > 0 => (flaky(), Tone::Open),
        0 => ("Nothing is broken".to_owned(), Tone::Good),
        broken => (format!("{} broken", requirements_in_words(broken)), Tone::Bad),
    }
}

/// What the sentence at the top does not say, and whoever decides should know.
fn lead(matrix: &Matrix<'_>) -> Vec<String> {
    let mut lead = Vec::new();
    for level in [Level::Must, Level::Should, Level::Quirk] {
        let rows = matrix.rows.iter().filter(|row| row.state == State::Broken && row.requirement.level == level);
        let ids: Vec<_> = rows.map(|row| row.requirement.id).collect();
        let listed = match ids.len() {
            0 => continue,
            count if count > LISTED => format!("{} and {} more", ids[..LISTED].join(", "), count - LISTED),
            _ => ids.join(", "),
        };
        let verb = if ids.len() == 1 { "is" } else { "are" };
        lead.push(format!("{} {verb} a {} ({listed}): {}.", ids.len(), level.word(), hangs_on(level)));
    }
    if matrix.is_judged {
        let met = matrix.rows.iter().filter(|row| row.state == State::Met);
        let occasions: usize = met.map(|row| row.occasions).sum();
        let counted = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        let met = counted(matrix.count(State::Met), "is met", "are met");
        let mut line = format!("{met}, on {} in all.", counted(occasions, "occasion", "occasions"));
        if matrix.count(State::NotExercised) > 0 {
            let open = counted(matrix.count(State::NotExercised), "was", "were");
            line.push_str(&format!(" {open} not put to the test; the table says what would do that."));
        }
        lead.push(line);
    }
    if matrix.is_interrupted {
        lead.push("The run was interrupted before its end.".to_owned());
    }
    if matrix.scope.is_partial || !matrix.scope.only.is_empty() || !matrix.scope.part.is_whole() {
        lead.push("Only a part of the suite was chosen.".to_owned());
    }
    lead
}

fn facts(matrix: &Matrix<'_>, results: &[Arc<ScenarioResult>], made: &Made) -> Vec<(&'static str, String)> {
    let apis: Vec<_> = matrix.scope.apis.iter().map(|api| api.name()).collect();
    let releases: Vec<_> = matrix.releases.iter().map(|release| release.label()).collect();
    let module = match matrix.scope.side {
        Side::Client => format!("client of {}", apis.join(", ")),
        Side::Everest => format!("EVerest with {}", apis.join(", ")),
    };
    vec![
        ("Module under test", module),
        ("Releases of EVerest", releases.join(", ")),
        ("Scenarios", played(results.len(), made.took)),
    ]
}

fn card(row: &Row<'_>, matrix: &Matrix<'_>, is_open: bool) -> Markup {
    let requirement = row.requirement;
    let key = row.state.key();
    html! {
        details.card.(if row.state == State::Broken { "bad" } else { "excused" }) id=(requirement.id) open[is_open] {
            summary {
                span.badge { (icon(key)) " " (row.state.word()) }
                " " strong.id { (requirement.id) } " " span.level { (requirement.level.word()) }
                h3 { (sentence(requirement.statement)) }
                p.source { "Source: " (prose(requirement.source)) }
            }
            @if let Some((first, others)) = row.failures.split_first() {
                p.where { "In " (where_(first.result)) }
                @if let Some(again) = first.result.again { p { (again.in_words()) } }
                (findings(first.result, [first.finding]))
                h4 { "To see it again" }
                (command(&row.again(matrix.scope)))
                @if !others.is_empty() {
                    h4 { "Also broken in" }
                    (more(&others.iter().map(|it| (it.result, it.finding)).collect::<Vec<(&ScenarioResult, &Diagnostic)>>()))
                }
            }
        }
    }
}

fn other(it: &Broken<'_>, is_open: bool) -> Markup {
    let word = it.finding.severity.word();
    html! {
        details.card.(if it.finding.severity == Severity::Inconclusive { "open" } else { "bad" }) open[is_open] {
            summary {
                span.badge { (icon(word)) " " (word) } " " h3.place { (where_(it.result)) }
                p.glance { (sentence(&it.finding.headline)) " " code { (it.finding.id) } }
            }
            (findings(it.result, [it.finding]))
        }
    }
}

fn requirements(matrix: &Matrix<'_>, counts: &[Count]) -> Markup {
    let option = |word: &str| (word.to_owned(), word.to_owned());
    let mut levels: Vec<_> = matrix.rows.iter().map(|row| row.requirement.level).collect();
    levels.sort_unstable();
    levels.dedup();
    let mut sides: Vec<_> = matrix.rows.iter().map(|row| side_of(row.requirement.binds)).collect();
    sides.sort_unstable();
    sides.dedup();
    let choices = [
        Choice { name: "level", label: "Level", options: levels.iter().map(|level| option(level.word())).collect() },
        Choice { name: "side", label: "Binds", options: sides.into_iter().map(option).collect() },
        Choice { name: "api", label: "API", options: matrix.scope.apis.iter().map(|api| option(api.name())).collect() },
    ];
    html! {
        (filters(ID, "requirements", counts, &choices))
        table id=(ID) {
            thead { tr {
                th scope="col" { "Requirement" }
                th scope="col" { "Outcome" }
                th scope="col" { "Level" }
                th.number scope="col" { "Occasions" }
                th scope="col" { "What it says" }
            } }
            @for group in matrix.rows.chunk_by(|a, b| a.requirement.subject() == b.requirement.subject()) {
                tbody {
                    tr.subject { th colspan="5" scope="rowgroup" { (subject(group[0].requirement.subject())) } }
                    @for row in group { (line(row)) }
                }
            }
        }
    }
}

fn line(row: &Row<'_>) -> Markup {
    let requirement = row.requirement;
    let apis = ApiType::AUTH_APIS.into_iter().filter(|api| requirement.concerns(*api)).map(ApiType::name);
    let level = requirement.level.word();
    html! {
        tr data-state=(row.state.key()) data-level=(level) data-side=(side_of(requirement.binds)) data-api=(apis.collect::<Vec<_>>().join(" ")) {
            th scope="row" {
                @if row.failures.is_empty() { (requirement.id) } @else { a href={"#" (requirement.id)} { (requirement.id) } }
            }
            td.state { span { (icon(row.state.key())) " " (row.state.word()) } }
            td { (level) }
            td.number data-unit=(if row.occasions == 1 { "occasion" } else { "occasions" }) { @if row.occasions > 0 { (row.occasions) } }
            td {
                (sentence(requirement.statement))
                @if !row.reason.is_empty() {
                    p.reason { @if row.is_advice { strong { "To exercise it: " } (prose(&row.reason)) } @else { (sentence(&row.reason)) } }
                }
                p.source { (prose(requirement.source)) }
            }
        }
    }
}

/// What the words mean.
fn legend(matrix: &Matrix<'_>) -> Markup {
    let words = State::ALL.into_iter().filter(|state| state.is_always_counted() || matrix.count(*state) > 0);
    html! {
        dl.legend {
            @for state in words { div { dt { (icon(state.key())) " " (state.word()) } dd { (state.in_words()) } } }
            @for level in [Level::Must, Level::Should, Level::Quirk] {
                div { dt { (level.word()) } dd { (hangs_on(level)) } }
            }
        }
    }
}

/// What hangs on a requirement of this level.
fn hangs_on(level: Level) -> &'static str {
    match level {
        Level::Must => "whoever breaks it does not work with the other side, or does harm",
        Level::Should => "whoever breaks it works until something goes wrong, or EVerest changes",
        Level::Quirk => "what running EVerest does rather than what its specification asks",
    }
}

/// What requirements are about whose numbers begin like this.
fn subject(subject: &'static str) -> &'static str {
    match subject {
        "HB" => "Heartbeats",
        "CC" => "Communication checks",
        "RR" => "Requests and replies",
        "WD" => "Withdrawing an authorization",
        "TV" => "Token validation statuses",
        "LV" => "The latched status",
        "DI" => "Discovery",
        "TP" => "Token providers",
        "VA" => "Token validators",
        "CN" => "Connections",
        "MQ" => "MQTT",
        "NX" => "What may come next",
        "SC" => "Shapes and topics of messages",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::requirements;

    #[test]
    fn every_subject_has_words() {
        for requirement in requirements::all() {
            assert_ne!(subject(requirement.subject()), requirement.subject());
        }
    }
}

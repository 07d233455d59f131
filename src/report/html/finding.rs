//! A finding in full: what was found, the lines of the scenario, the messages around it, what the module wrote.

use maud::{Markup, html};

use super::diagram::diagram;
use super::page::icon;
use super::text::{lines, prose, sentence};
use crate::diagnostic::words::cut;
use crate::diagnostic::{Diagnostic, Place, Severity, printable};
use crate::verdict::ScenarioResult;

/// So many lines of the scenario stand before the marked one.
const LINES_BEFORE: usize = 5;
/// And so many after it.
const LINES_AFTER: usize = 3;
/// The widest line of a scenario.
const COLUMNS: usize = 160;
/// The longest piece of evidence, in characters.
const EVIDENCE: usize = 4000;
/// So many of the last lines that the module wrote are shown.
const TAIL: usize = 60;
/// So many further findings are shown in full.
const MORE: usize = 4;

/// Findings of one result, the first with all that is around it.
pub fn findings<'r>(result: &'r ScenarioResult, findings: impl IntoIterator<Item = &'r Diagnostic>) -> Markup {
    let mut findings = findings.into_iter();
    html! {
        @if let Some(first) = findings.next() { (finding(result, first)) }
        @for other in findings.by_ref().take(MORE) { (what(other)) }
        @let left = findings.count();
        @if left > 0 { p.left-out { "… and " (left) " more, which the JSON report has." } }
        (output(result))
    }
}

/// Further findings, wherever they came about: to be unfolded, the first ones in full.
pub fn more<'r>(others: &[(&'r ScenarioResult, &'r Diagnostic)]) -> Markup {
    html! {
        @for (result, other) in others.iter().take(MORE) {
            details.further {
                summary { (where_(result)) " " span.dim { (prose(&other.headline)) } }
                (finding(result, other))
                (output(result))
            }
        }
        @if others.len() > MORE {
            details.further {
                summary { (others.len() - MORE) " more" }
                ul { @for (result, other) in &others[MORE..] {
                    li { (where_(result)) " " span.dim { (prose(&other.headline)) } }
                } }
            }
        }
    }
}

/// The scenario and the release of a result.
pub fn where_(result: &ScenarioResult) -> Markup {
    html! { code { (printable(&result.title())) } " " span.release { "EVerest " (result.release.label()) } }
}

fn finding(result: &ScenarioResult, finding: &Diagnostic) -> Markup {
    html! {
        (what(finding))
        @let messages = result.around(finding);
        @if !messages.is_empty() && finding.severity == Severity::Fail {
            h4 { "The messages around it" }
            (diagram(messages, result.messages_in_all, finding))
        }
    }
}

/// What was found, and where.
fn what(finding: &Diagnostic) -> Markup {
    html! {
        div.finding {
            p.headline { (icon(finding.severity.word())) " " (sentence(&finding.headline)) " " code.id { (finding.id) } }
            @if !finding.evidence.is_empty() {
                ul.evidence { @for line in &finding.evidence { li { (evidence(line)) } } }
            }
            @if let Some(place) = &finding.place { (excerpt(place)) }
            @if let Some(help) = &finding.help {
                p.help { strong { (if finding.is_unexercised { "To exercise it:" } else { "What to do:" }) } " " (prose(help)) }
            }
        }
    }
}

fn evidence(text: &str) -> Markup {
    let text = cut(text, EVIDENCE);
    let is_of_wire = text.contains('\n') || text.contains('{') && !text.contains('`');
    html! { @if is_of_wire { pre { (lines(&text)) } } @else { (prose(text.trim_end())) } }
}

/// The lines of a file around a place, with carets below what is meant.
fn excerpt(place: &Place) -> Markup {
    let shown = place.lines_around(LINES_BEFORE, LINES_AFTER, COLUMNS);
    let margin = shown.last().map_or(1, |line| line.number.to_string().len());
    html! {
        figure.excerpt {
            figcaption { code { (printable(&place.source.path)) ":" (place.line()) ":" (place.column()) } }
            @if !shown.is_empty() {
                // Its lines may be longer than there is room.
                pre tabindex="0" aria-label="Lines of the file" {
                    @for line in &shown {
                        span.line.marked[line.number == place.line()] {
                            span.number { (format!("{:>margin$} ", line.number)) } (line.text) "\n"
                        }
                        @if let Some((before, marked)) = line.marked {
                            span.caret {
                                span.number { (" ".repeat(margin + 1)) }
                                (" ".repeat(before)) (format!("{} {}", "^".repeat(marked), printable(&place.label)).trim_end()) "\n"
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The last lines that the module wrote.
fn output(result: &ScenarioResult) -> Markup {
    let said = result.last_words(TAIL);
    if said.lines.is_empty() {
        return html! {};
    }
    html! {
        h4 {
            "What the module wrote"
            @if said.is_until_ended { " until khumbu ended it" }
            @if said.lines.len() < said.of { span.dim { " (its last " (said.lines.len()) " of " (said.of) " lines)" } }
        }
        pre.output tabindex="0" { @for line in said.lines { (printable(line)) "\n" } }
    }
}

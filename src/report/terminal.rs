//! What a person reads: a line a scenario, failures in full, a summary.
//!
//! Text only; where it goes, and whether it may have colours, is for [`crate::cli`] to say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::{Screen, Severity, Style, printable};
use crate::protocol::release::Release;
use crate::timespan::Timespan;
use crate::verdict::{ScenarioResult, Verdict};

use super::outcome::{Summary, has_several_releases};

/// So many of the last lines that the module wrote are shown.
const TAIL: usize = 20;

/// The width of the longest verdict word.
const WORD: usize = "inconclusive".len();

/// What is as it should be.
pub const GREEN: &str = "32";
/// What is not judged.
pub const YELLOW: &str = "1;33";
/// What is wrong.
pub const RED: &str = "1;31";
/// What is of less weight.
pub const DIM: &str = "2";

/// One line for a scenario that ended: verdict, path, the release where there are several or it is none, time, and how many
/// messages the module was shown and sent. Without a line feed.
pub fn line(result: &ScenarioResult, names_release: bool, style: Style) -> String {
    let word = format!("{:<WORD$}", word(result.verdict));
    let took = paint(style, DIM, &time(result.duration));
    let names_release = names_release || !Release::ALL.contains(&result.release);
    let release = if names_release { format!("  {}", result.release.label()) } else { String::new() };
    let evidence = match (sum_of(&result.evidence.shown), sum_of(&result.evidence.did)) {
        (0, 0) => String::new(),
        (shown, did) => paint(style, DIM, &format!("  shown {shown}, did {did}")),
    };
    let evidence = match sum_of(&result.evidence.injected) {
        0 => evidence,
        injected => format!("{evidence}{}", paint(style, DIM, &format!(", injected {injected}"))),
    };
    let again = match result.again {
        Some(again) if again.is_flaky() => format!("  flaky: {} of {} plays failed", again.failed, again.plays),
        _ => String::new(),
    };
    format!(
        "{}  {}{release}  {took}{evidence}{again}",
        paint(style, colour(result.verdict), &word),
        printable(&result.title())
    )
}

fn sum_of<K>(list: &BTreeMap<K, usize>) -> usize {
    list.values().sum()
}

/// Everything there is to say about a scenario: its line, its findings, and if it did not pass, what the module wrote
/// last. Empty for a scenario without findings; otherwise it begins with an empty line.
pub fn findings(result: &ScenarioResult, names_release: bool, screen: impl Into<Screen>) -> String {
    let screen = screen.into();
    match details(result, screen) {
        text if text.is_empty() => text,
        text => format!("\n{}\n{}", line(result, names_release, screen.style), text.trim_start_matches('\n')),
    }
}

/// As [`findings`], below a line of the scenario that stands there already.
pub fn details(result: &ScenarioResult, screen: impl Into<Screen>) -> String {
    let screen = screen.into();
    let style = screen.style;
    if result.findings.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n");
    text.extend(result.findings.iter().map(|finding| finding.render(screen)));
    let is_judged = matches!(result.verdict, Verdict::Pass | Verdict::NotApplicable | Verdict::Excused);
    if !is_judged {
        text.push_str(&module_output(result, style));
    }
    text
}

/// The last lines that the module wrote, safe to print; empty if it wrote nothing.
pub fn module_output(result: &ScenarioResult, style: Style) -> String {
    let said = result.last_words(TAIL);
    if said.lines.is_empty() {
        return String::new();
    }
    let when = if said.is_until_ended { " until khumbu ended it" } else { "" };
    let mut text = match said.of - said.lines.len() {
        0 => format!("  = output of the module{when}:\n"),
        _ => format!("  = output of the module{when}, its last {TAIL} of {} lines:\n", said.of),
    };
    for line in said.lines {
        let line = printable(&line.replace('\t', "    "));
        text.push_str(&format!("    {} {line}\n", paint(style, DIM, "|")));
    }
    text
}

/// The last line of a run, after an empty one: how many scenarios had each verdict, and the wall time.
pub fn summary(results: &[Arc<ScenarioResult>], duration: Duration, style: Style) -> String {
    let counts = Summary::of(results.iter().map(|result| result.verdict));
    let parts = [
        (counts.pass, "passed", Verdict::Pass),
        (counts.fail, "failed", Verdict::Fail),
        (counts.inconclusive, "inconclusive", Verdict::Inconclusive),
        (counts.error, if counts.error == 1 { "error" } else { "errors" }, Verdict::Error),
        (counts.not_applicable, "not applicable", Verdict::NotApplicable),
        (counts.excused, "excused", Verdict::Excused),
        (counts.flaky, "flaky", Verdict::Flaky),
    ];
    // Only who lists known failures, or lets what is flaky pass, has to know of them.
    let is_always = |verdict: &Verdict| !matches!(verdict, Verdict::Excused | Verdict::Flaky);
    let parts = parts.into_iter().filter(|(count, _, verdict)| is_always(verdict) || *count > 0);
    let parts = parts.map(|(count, word, verdict)| {
        let text = format!("{count} {word}");
        if count == 0 { text } else { paint(style, colour(verdict), &text) }
    });
    let warnings = results.iter().flat_map(|result| &result.findings);
    let warnings = match warnings.filter(|finding| finding.severity == Severity::Warning).count() {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        count => format!(", {count} warnings"),
    };
    format!("\n{} in {}{warnings}\n", parts.collect::<Vec<_>>().join(", "), time(duration))
}

/// The lines of those scenarios that took longest, so many, after an empty one.
pub fn slowest(results: &[Arc<ScenarioResult>], count: usize, style: Style) -> String {
    let mut sorted: Vec<_> = results.iter().collect();
    sorted.sort_by_key(|result| std::cmp::Reverse(result.duration));
    let names_release = has_several_releases(results);
    let lines: String = sorted.iter().take(count).map(|result| line(result, names_release, style) + "\n").collect();
    format!("\nslowest:\n{lines}")
}

/// The lines of scenarios that did not pass, worst first, after an empty one; nothing if all did. For the end of long
/// runs.
pub fn unsuccessful(results: &[Arc<ScenarioResult>], style: Style) -> String {
    let mut left: Vec<_> = results.iter().filter(|result| result.verdict > Verdict::Pass).collect();
    left.sort_by_key(|result| std::cmp::Reverse(result.verdict));
    let names_release = has_several_releases(results);
    let lines: String = left.iter().map(|result| line(result, names_release, style) + "\n").collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// What a verdict is called at the beginning of a line.
fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NotApplicable => "n/a",
        other => other.word(),
    }
}

fn colour(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => GREEN,
        Verdict::NotApplicable => DIM,
        Verdict::Inconclusive | Verdict::Excused | Verdict::Flaky => YELLOW,
        Verdict::Fail | Verdict::Error => RED,
    }
}

/// Text in a colour, one of those above, if there are colours.
pub fn paint(style: Style, code: &str, text: &str) -> String {
    match style {
        Style::Plain => text.to_owned(),
        Style::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
    }
}

/// `41ms`, `3.4s`: as exact as anybody reads it.
pub fn time(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let shown = if millis < 1000 { millis } else { millis.saturating_add(50) / 100 * 100 };
    Timespan(Duration::from_millis(shown)).to_string()
}

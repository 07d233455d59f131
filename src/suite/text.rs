//! The matrix as text: what is broken in full, the requirements by subject, what would exercise the rest, and counts.
//! At most 80 columns, but for findings, which are as wide as the screen.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::matrix::{Broken, Matrix, Row, State};
use crate::diagnostic::{Screen, Style, printable, wrapped};
use crate::report::terminal;
use crate::timespan::Timespan;
use crate::verdict::ScenarioResult;

/// The width of the whole.
const WIDTH: usize = 80;
/// The width of what stands before a statement: id, level, state and occasions.
const BEFORE: usize = 2 + 7 + 8 + 17 + 7;

/// So many scenarios are named that show the same failure.
const LISTED: usize = 5;

/// The matrix; `duration` is the wall time of the run.
pub fn text(matrix: &Matrix<'_>, duration: Duration, screen: impl Into<Screen>) -> String {
    let screen = screen.into();
    let mut text = String::new();
    for row in matrix.rows.iter().filter(|row| row.state <= State::Flaky) {
        text.push_str(&broken(row, matrix, screen));
    }
    text.push_str(&others(matrix, screen));
    text.push_str(&table(matrix, screen.style));
    text.push_str(&asides(matrix));
    text.push_str(&unexercised(matrix));
    let rows = |state| matrix.rows.iter().filter(move |row| row.state == state);
    let (advised, kept): (Vec<_>, Vec<_>) = rows(State::NotExercised).partition(|row| row.is_advice);
    text.push_str(&reasons(kept, "not exercised, and why"));
    text.push_str(&reasons(advised, "not exercised, and what would exercise it"));
    text.push_str(&reasons(rows(State::NotApplicable), "not applicable"));
    text + &counts(matrix, duration, screen.style)
}

/// A broken requirement: what it says, the first failure in full, where else, and how to see it again.
fn broken(row: &Row<'_>, matrix: &Matrix<'_>, screen: Screen) -> String {
    let requirement = row.requirement;
    let title =
        format!("{} is {} ({}): {}", requirement.id, row.state.word(), requirement.level.word(), requirement.statement);
    let mut lines = wrapped(&title, WIDTH - 2);
    lines.extend(wrapped(&format!("source: {}", requirement.source), WIDTH - 2));
    let mut text = String::from("\n");
    for (number, line) in lines.iter().enumerate() {
        let line = if number == 0 { terminal::paint(screen.style, terminal::RED, line) } else { format!("  {line}") };
        text.push_str(&format!("{line}\n"));
    }
    let Some(Broken { result, finding }) = row.failures.first() else { return text };
    if let Some(again) = result.again {
        text.push_str(&format!("  {}: {}\n", printable(&result.path), again.in_words()));
    }
    if matrix.releases.len() > 1 {
        text.push_str(&format!("  under {}\n", row.releases().join(", ")));
    }
    let first = result.title();
    if finding.place.is_none() {
        text.push_str(&format!("  in {}\n", printable(&first)));
    }
    text.push_str(&finding.render(screen));
    text.push_str(&terminal::module_output(result, screen.style));
    let mut others: BTreeMap<Cow<'_, str>, usize> = BTreeMap::new();
    for Broken { result, .. } in row.failures[1..].iter().filter(|it| it.result.title() != first) {
        *others.entry(result.title()).or_default() += 1;
    }
    let more = others.len().saturating_sub(LISTED);
    for (path, count) in others.into_iter().take(LISTED) {
        let times = if count > 1 { format!(" ({count} times)") } else { String::new() };
        text.push_str(&format!("  also in {}{times}\n", printable(&path)));
    }
    if more > 0 {
        text.push_str(&format!("  and in {more} more\n"));
    }
    text + &format!("  again: {}\n", printable(&row.again(matrix.scope)))
}

/// What breaks no requirement, and decides: the first that says so in full, and where else.
fn others(matrix: &Matrix<'_>, screen: Screen) -> String {
    let mut told: Vec<(&Broken<'_>, String)> = Vec::new();
    for it in &matrix.others {
        let is_same = |(other, _): &&mut (&Broken<'_>, String)| {
            other.finding.id == it.finding.id && other.finding.headline == it.finding.headline
        };
        let title = it.result.title();
        match told.iter_mut().find(is_same) {
            Some((_, text)) => text.push_str(&format!("  also in {}\n", printable(&title))),
            None => told.push((it, format!("\n{}  in {}\n", it.finding.render(screen), printable(&title)))),
        }
    }
    told.into_iter().map(|(_, text)| text).collect()
}

fn table(matrix: &Matrix<'_>, style: Style) -> String {
    if matrix.rows.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n  requirement    state          occasions\n");
    let mut last = None;
    for row in &matrix.rows {
        let requirement = row.requirement;
        if last.replace(requirement.subject()).is_some_and(|last| last != requirement.subject()) {
            text.push('\n');
        }
        let occasions = if row.occasions == 0 { "-".to_owned() } else { row.occasions.to_string() };
        let state = terminal::paint(style, colour(row.state), &format!("{:<17}", row.state.word()));
        let before = format!("  {:<7}{:<8}{state}{occasions:>5}  ", requirement.id, requirement.level.word());
        let statement = match row.state {
            State::Met if !row.reason.is_empty() => Cow::from(format!("{} ({})", requirement.statement, row.reason)),
            _ => Cow::from(requirement.statement),
        };
        let mut lines = wrapped(&statement, WIDTH - BEFORE).into_iter();
        text.push_str(&format!("{before}{}\n", lines.next().unwrap_or_default()));
        for line in lines {
            text.push_str(&format!("{:BEFORE$}{line}\n", ""));
        }
    }
    text
}

/// What decides nothing, each with the scenarios that say it.
fn asides(matrix: &Matrix<'_>) -> String {
    let mut by_words: Vec<(String, Vec<Cow<'_, str>>)> = Vec::new();
    for Broken { result, finding } in &matrix.asides {
        let words = format!("{}[{}]: {}", finding.severity.word(), finding.id, finding.headline);
        match by_words.iter_mut().find(|(other, _)| *other == words) {
            Some((_, titles)) if titles.contains(&result.title()) => {}
            Some((_, titles)) => titles.push(result.title()),
            None => by_words.push((words, vec![result.title()])),
        }
    }
    if by_words.is_empty() {
        return String::new();
    }
    let mut text = "\nwarnings, and why scenarios judged less than they could:\n".to_owned();
    for (words, titles) in by_words {
        let more = if titles.len() > 1 { format!(" and {} more", titles.len() - 1) } else { String::new() };
        text.push_str(&indented(&format!("{}; in {}{more}", printable(&words), printable(&titles[0]))));
    }
    text
}

/// Why scenarios are inconclusive that were played to their end.
fn unexercised(matrix: &Matrix<'_>) -> String {
    let mut by_words: Vec<(&str, Vec<Cow<'_, str>>)> = Vec::new();
    for Broken { result, finding } in &matrix.unexercised {
        match by_words.iter_mut().find(|(words, _)| *words == finding.headline) {
            Some((_, titles)) => titles.push(result.title()),
            None => by_words.push((&finding.headline, vec![result.title()])),
        }
    }
    let entries = by_words.iter().map(|(words, titles)| {
        let titles: Vec<_> = titles.iter().map(|title| printable(title)).collect();
        indented(&format!("{}: {}", titles.join(", "), printable(words)))
    });
    let entries: String = entries.collect();
    if entries.is_empty() { entries } else { format!("\ninconclusive, and why:\n{entries}") }
}

/// The lines of scenarios of which all results together say another verdict than they did alone; nothing if there are none.
pub fn settled_otherwise(
    before: &[Arc<ScenarioResult>],
    after: &[Arc<ScenarioResult>],
    names_release: bool,
    style: Style,
) -> String {
    let changed = before.iter().zip(after).filter(|(before, after)| before.verdict != after.verdict);
    let lines: String = changed.map(|(_, after)| terminal::line(after, names_release, style) + "\n").collect();
    if lines.is_empty() { lines } else { format!("\nother verdicts, now that all scenarios are known:\n{lines}") }
}

/// An entry of a list, in lines.
fn indented(entry: &str) -> String {
    let lines = wrapped(entry, WIDTH - 4).into_iter().enumerate();
    lines.map(|(number, line)| format!("{}{line}\n", if number == 0 { "  " } else { "    " })).collect()
}

/// Requirements by their reasons.
fn reasons<'m>(rows: impl IntoIterator<Item = &'m Row<'m>>, title: &str) -> String {
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for row in rows {
        match by_reason.iter_mut().find(|(reason, _)| *reason == row.reason) {
            Some((_, ids)) => ids.push(row.requirement.id),
            None => by_reason.push((&row.reason, vec![row.requirement.id])),
        }
    }
    if by_reason.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{title}:\n");
    for (reason, ids) in by_reason {
        text.push_str(&indented(&format!("{}: {}", ids.join(", "), printable(reason))));
    }
    text
}

fn counts(matrix: &Matrix<'_>, duration: Duration, style: Style) -> String {
    let parts = State::ALL.into_iter().filter(|state| state.is_always_counted() || matrix.count(*state) > 0);
    let parts = parts.map(|state| match matrix.count(state) {
        0 => format!("0 {}", state.word()),
        count => terminal::paint(style, colour(state), &format!("{count} {}", state.word())),
    });
    let undecided: BTreeSet<_> =
        matrix.others.iter().filter(|it| !it.is_failure()).map(|it| it.result.title()).collect();
    let undecided = match undecided.len() {
        0 => String::new(),
        1 => ", 1 scenario undecided".to_owned(),
        count => format!(", {count} scenarios undecided"),
    };
    let interrupted = if matrix.is_interrupted { ", interrupted" } else { "" };
    let took = Timespan(Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) / 100 * 100));
    let shard = match matrix.scope.part.shard {
        Some(shard) => format!("shard {shard}; `khumbu merge` puts the reports of all shards together\n"),
        None => String::new(),
    };
    format!("\n{}{undecided} in {took}{interrupted}\n{shard}", parts.collect::<Vec<_>>().join(", "))
}

fn colour(state: State) -> &'static str {
    match state {
        State::Broken | State::Flaky => terminal::RED,
        State::Met => terminal::GREEN,
        State::Excused | State::Elsewhere | State::NotExercised => terminal::YELLOW,
        State::NotApplicable => terminal::DIM,
    }
}

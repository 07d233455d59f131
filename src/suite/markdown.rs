//! The matrix as Markdown, for whoever reads a pull request or an archive.
//!
//! What comes from the wire or from the module stands in blocks of code, whose fence is longer than any in it.

use std::fmt::Write as _;
use std::time::Duration;

use super::matrix::{Broken, Matrix, Row, State};
use crate::diagnostic::{Style, printable};
use crate::timespan::Timespan;

/// So many of the last lines that the module wrote are shown.
const TAIL: usize = 40;

/// The whole report; `duration` is the wall time of the run.
pub fn markdown(matrix: &Matrix<'_>, duration: Duration) -> String {
    let apis: Vec<_> = matrix.scope.apis.iter().map(|api| api.name()).collect();
    let releases: Vec<_> = matrix.releases.iter().map(|release| release.label()).collect();
    let counts: Vec<_> = State::ALL
        .into_iter()
        .filter(|state| state.is_always_counted() || matrix.count(*state) > 0)
        .map(|state| format!("{} {}", matrix.count(state), state.word()))
        .collect();
    let took = Timespan(Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) / 100 * 100));
    let mut text = format!("# Conformance: {}\n\n", counts.join(", "));
    let _ = writeln!(text, "`{}`\n", printable(&matrix.scope.command).replace('`', "'"));
    let _ =
        writeln!(text, "APIs: {}. Releases of EVerest: {}. It took {took}.\n", apis.join(", "), releases.join(", "));
    if let Some(shard) = matrix.scope.part.shard {
        let _ = writeln!(text, "This is shard {shard}; `khumbu merge` puts the reports of all shards together.\n");
    }
    for row in matrix.rows.iter().filter(|row| row.state <= State::Flaky) {
        text.push_str(&broken(row, matrix));
    }
    if !matrix.others.is_empty() {
        text.push_str("## What breaks no requirement\n\n");
        for it in &matrix.others {
            let _ = write!(text, "In `{}`:\n\n{}", it.result.title(), fenced("text", &it.finding.render(Style::Plain)));
        }
    }
    text + &table(matrix)
}

fn broken(row: &Row<'_>, matrix: &Matrix<'_>) -> String {
    let requirement = row.requirement;
    let mut text = format!("## {} is {}\n\n", requirement.id, row.state.word());
    let _ = writeln!(
        text,
        "*{}*: {}. Source: {}.\n",
        requirement.level.word(),
        escaped(requirement.statement),
        escaped(requirement.source)
    );
    let Some(Broken { result, finding }) = row.failures.first() else { return text };
    if let Some(again) = result.again {
        let _ = writeln!(text, "In `{}`, {}.\n", result.path, again.in_words());
    }
    if matrix.releases.len() > 1 {
        let _ = writeln!(text, "Under {}.\n", row.releases().join(", "));
    }
    text.push_str(&fenced("text", &finding.render(Style::Plain)));
    let messages: String = result.around(finding).iter().map(|passed| passed.line() + "\n").collect();
    if !messages.is_empty() {
        let _ = write!(text, "The messages around it:\n\n{}", fenced("text", &messages));
    }
    if !result.output.is_empty() {
        let lines = &result.output[result.output.len().saturating_sub(TAIL)..];
        let lines: String = lines.iter().map(|line| printable(line).to_string() + "\n").collect();
        let _ = write!(text, "The module wrote:\n\n{}", fenced("text", &lines));
    }
    let others: Vec<_> =
        row.failures[1..].iter().map(|it| format!("`{}`", it.result.title().replace('`', "'"))).collect();
    if !others.is_empty() {
        let _ = writeln!(text, "Also in {}.\n", others.join(", "));
    }
    text + &format!("To see it again:\n\n{}", fenced("sh", &format!("{}\n", row.again(matrix.scope))))
}

fn table(matrix: &Matrix<'_>) -> String {
    let mut text =
        String::from("## Requirements\n\n| | state | occasions | level | |\n| --- | --- | ---: | --- | --- |\n");
    for row in &matrix.rows {
        let requirement = row.requirement;
        let state = if row.state == State::Broken { "**broken**" } else { row.state.word() };
        let occasions = if row.occasions == 0 { String::new() } else { row.occasions.to_string() };
        let reason = if row.reason.is_empty() { String::new() } else { format!(" ({})", escaped(&row.reason)) };
        let level = requirement.level.word();
        let statement = escaped(requirement.statement);
        let _ = writeln!(text, "| {} | {state} | {occasions} | {level} | {statement}{reason} |", requirement.id);
    }
    text
}

/// A block of code that its content cannot end.
fn fenced(language: &str, content: &str) -> String {
    let (mut longest, mut run) = (2, 0);
    for c in content.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    format!("{fence}{language}\n{}\n{fence}\n\n", content.trim_end())
}

/// Text that is no markup, in one line. Code spans of statements stay.
fn escaped(text: &str) -> String {
    printable(text).replace('|', "\\|").replace('<', "&lt;")
}

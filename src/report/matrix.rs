//! The matrix of a run under several releases: who passes where. At most 80 columns, words and no colours.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use super::outcome::Summary;
use crate::diagnostic::printable;
use crate::protocol::release::Release;
use crate::verdict::{ScenarioResult, Verdict};

/// So many scenarios are all shown; of more, those that do not pass everywhere.
const ROWS: usize = 20;
/// The width of a cell.
const CELL: usize = 9;
/// The width of the whole.
const WIDTH: usize = 80;
/// What stands before the name of a scenario.
const INDENT: usize = 2;

/// The results of one scenario by release.
type Row<'r> = BTreeMap<Release, &'r ScenarioResult>;

/// The matrix, beginning with an empty line; nothing if no scenario was played under several releases.
///
/// Totals by release come first, then the scenarios by directory, then why some are not applicable.
pub fn matrix(results: &[Arc<ScenarioResult>]) -> String {
    let mut rows: BTreeMap<&str, Row<'_>> = BTreeMap::new();
    for result in results {
        rows.entry(&result.path).or_default().insert(result.release, result);
    }
    if rows.values().all(|row| row.len() < 2) {
        return String::new();
    }
    let releases: BTreeSet<Release> = results.iter().map(|result| result.release).collect();
    let passes = |row: &Row<'_>| {
        releases.iter().all(|release| row.get(release).is_some_and(|result| result.verdict == Verdict::Pass))
    };
    let shown: Vec<_> = rows.iter().filter(|(_, row)| rows.len() <= ROWS || !passes(row)).collect();
    let (table, reasons) = table(&shown, &releases);
    let more = match rows.len() - shown.len() {
        0 => String::new(),
        1 => "\n1 more scenario passes under every release\n".to_owned(),
        more => format!("\n{more} more scenarios pass under every release\n"),
    };
    totals(results, &releases) + &table + &more + &reasons
}

fn totals(results: &[Arc<ScenarioResult>], releases: &BTreeSet<Release>) -> String {
    let mut text = format!(
        "\n{:<10}{:>8}{:>8}{:>14}{:>8}{:>16}",
        "release", "passed", "failed", "inconclusive", "error", "not applicable"
    );
    // Only who lists known failures, or lets what is flaky pass, has to know of them.
    let has = |verdict| results.iter().any(|result| result.verdict == verdict);
    let (has_excused, has_flaky) = (has(Verdict::Excused), has(Verdict::Flaky));
    text.push_str(if has_excused { "   excused" } else { "" });
    text.push_str(if has_flaky { " flaky\n" } else { "\n" });
    for release in releases {
        let of_release = results.iter().filter(|result| result.release == *release);
        let Summary { pass, fail, inconclusive, error, not_applicable, excused, flaky } =
            Summary::of(of_release.map(|result| result.verdict));
        let name = release.name();
        write!(text, "{name:<10}{pass:>8}{fail:>8}{inconclusive:>14}{error:>8}{not_applicable:>16}")
            .expect("a text takes everything");
        text.push_str(&if has_excused { format!("{excused:>10}") } else { String::new() });
        text.push_str(&if has_flaky { format!("{flaky:>6}\n") } else { "\n".to_owned() });
    }
    text
}

/// The rows, and the reasons to which their cells refer.
fn table(rows: &[(&&str, &Row<'_>)], releases: &BTreeSet<Release>) -> (String, String) {
    if rows.is_empty() {
        return Default::default();
    }
    let most = WIDTH - INDENT - releases.len() * CELL;
    let names = rows.iter().map(|(path, _)| split(path));
    let width = names.map(|(directory, name)| (name.chars().count() + INDENT).max(directory.chars().count()));
    let width = width.max().unwrap_or_default().clamp("scenario".len(), most) + INDENT;
    let columns: String = releases.iter().map(|release| format!("{:<CELL$}", release.name())).collect();
    let mut text = format!("\n{:<width$}{}\n", "scenario", columns.trim_end());
    let (mut last, mut reasons) = (None, Vec::new());
    for (path, row) in rows {
        let (directory, name) = split(path);
        if last.replace(directory) != Some(directory) {
            text.push_str(&format!("{}\n", shortened(&printable(directory), WIDTH)));
        }
        let cells: String =
            releases.iter().map(|release| format!("{:<CELL$}", cell(row, *release, &mut reasons))).collect();
        let name = shortened(&printable(name), width - 2 * INDENT);
        text.push_str(&format!("{:INDENT$}{name:<rest$}{}\n", "", cells.trim_end(), rest = width - INDENT));
    }
    let reasons = reasons.iter().enumerate().map(|(number, reason)| {
        let lead = if number == 0 { "\n" } else { "" };
        format!("{lead}n/a {}: {}\n", number + 1, printable(reason))
    });
    (text, reasons.collect())
}

/// A verdict in a word, with the number of the reason where it is not applicable.
fn cell<'r>(row: &Row<'r>, release: Release, reasons: &mut Vec<&'r str>) -> String {
    let Some(result) = row.get(&release) else { return "-".to_owned() };
    match (result.verdict, result.findings.first()) {
        (Verdict::NotApplicable, Some(why)) => {
            let known = reasons.iter().position(|reason| *reason == why.headline);
            let number = known.unwrap_or_else(|| {
                reasons.push(&why.headline);
                reasons.len() - 1
            });
            format!("n/a {}", number + 1)
        }
        (Verdict::NotApplicable, None) => "n/a".to_owned(),
        (Verdict::Inconclusive, _) => "inconcl.".to_owned(),
        (verdict, _) => verdict.word().to_owned(),
    }
}

/// A path's directory, and its name without what all have.
fn split(path: &str) -> (&str, &str) {
    let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
    (directory, name.strip_suffix(".yaml").unwrap_or(name))
}

/// A text of at most so many characters, its middle left out.
fn shortened(text: &str, most: usize) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= most {
        return text.to_owned();
    }
    let (head, tail) = ((most - 1).div_ceil(2), (most - 1) / 2);
    let part = |range: &[char]| range.iter().collect::<String>();
    format!("{}…{}", part(&characters[..head]), part(&characters[characters.len() - tail..]))
}

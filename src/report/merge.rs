//! Several reports as one: the shards of a run, each exactly once.
//!
//! Nothing is decided here about a module: the results are put together as if one run had had them, and what they come to is
//! asked again: what each had made of them by itself, as far as its own scenarios said it, is taken back. What cannot be a whole is refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::outcome::as_played;
use super::part::Part;
use super::read::Report;
use crate::diagnostic::{Diagnostic, Severity};

/// The whole that these reports are parts of, with results as they were played: nothing is settled or excused yet.
///
/// # Errors
/// `run/other-whole` if they are parts of different ones, `run/same-shard`, `run/missing-shard`, `run/missing-results`.
pub fn merge(reports: Vec<Report>) -> Result<Report, Vec<Diagnostic>> {
    let Some(first) = reports.first() else {
        return Err(vec![refused("run/missing-shard", "there is no report to merge".to_owned())]);
    };
    let others: Vec<_> = reports[1..].iter().filter_map(|other| differs(first, other)).collect();
    if !others.is_empty() {
        return Err(others);
    }
    whole(&reports)?;
    let played = reports.iter().flat_map(|report| &report.results).map(|result| Arc::new(as_played(result)));
    let mut results: Vec<_> = played.collect();
    results.sort_by(|a, b| (&a.path, a.release, &a.faults).cmp(&(&b.path, b.release, &b.faults)));
    let is_interrupted = reports.iter().any(|report| report.is_interrupted);
    // A sweep plays more.
    if results.len() < first.part.plays && !is_interrupted {
        let headline = format!("the reports have {} of {} results", results.len(), first.part.plays);
        return Err(vec![
            refused("run/missing-results", headline)
                .with_help("one of them was changed or cut after it was written: play that shard again"),
        ]);
    }
    Ok(Report {
        path: String::new(),
        part: Part { shard: None, ..first.part.clone() },
        is_interrupted,
        // They ran side by side.
        duration: reports.iter().map(|report| report.duration).max().unwrap_or(Duration::ZERO),
        conform: first.conform.clone(),
        command: first.command.clone(),
        results,
    })
}

fn refused(id: &'static str, headline: String) -> Diagnostic {
    Diagnostic::new(Severity::Error, id, headline)
}

/// In what a report is of another whole than the first one, if it is.
fn differs(first: &Report, other: &Report) -> Option<Diagnostic> {
    let names = |report: &Report| match &report.conform {
        Some(conform) => {
            let apis: Vec<_> = conform.apis.iter().map(|api| api.name()).collect();
            (format!("side {}", conform.side.name()), format!("the API {}", apis.join(", ")))
        }
        None => ("scenarios, and no requirements".to_owned(), String::new()),
    };
    let of = |report: &Report| report.part.shard.map_or("no shard".to_owned(), |it| format!("{} shards", it.of));
    let (side, apis) = names(first);
    let (other_side, other_apis) = names(other);
    let command = |report: &Report| report.conform.as_ref().map(|it| (it.only.clone(), it.is_partial));
    let what = match () {
        () if side != other_side => format!("is of {other_side}, and that is of {side}"),
        () if apis != other_apis => format!("is of {other_apis}, and that is of {apis}"),
        () if under(&first.part) != under(&other.part) => {
            format!("was played {}, and that was {}", under(&other.part), under(&first.part))
        }
        () if command(first) != command(other) => "is of other requirements".to_owned(),
        () if first.part.suite != other.part.suite || first.part.plays != other.part.plays => {
            "is of other scenarios, of other texts of them, or of other releases".to_owned()
        }
        () if first.part.selected != other.part.selected => "is of scenarios that were chosen otherwise".to_owned(),
        () if first.part.known_failures != other.part.known_failures => {
            "was made with other `known_failures` in khumbu.yaml".to_owned()
        }
        () if first.part.flaky_passes != other.part.flaky_passes => "was made with another `--flaky`".to_owned(),
        () if of(first) != of(other) => format!("is of {}, and that is of {}", of(other), of(first)),
        () => return None,
    };
    let headline = format!("`{}` cannot be merged with `{}`: it {what}", other.path, first.path);
    Some(refused("run/other-whole", headline).with_help("give every shard the same flags and files, but for `--shard`"))
}

/// Under which faults a part was played.
fn under(part: &Part) -> String {
    match (part.faults.as_slice(), part.sweep) {
        ([], false) => "under no fault".to_owned(),
        ([], true) => "with `--sweep`".to_owned(),
        (faults, _) => {
            format!("under {}", faults.iter().map(|step| format!("`{step}`")).collect::<Vec<_>>().join(" and "))
        }
    }
}

/// Whether every shard is there, once.
fn whole(reports: &[Report]) -> Result<(), Vec<Diagnostic>> {
    let index = |report: &Report| report.part.shard.map_or(1, |shard| shard.index);
    let of = reports[0].part.shard.map_or(1, |shard| shard.of);
    let mut found: BTreeMap<usize, &str> = BTreeMap::new();
    for report in reports {
        let index = index(report);
        if let Some(other) = found.insert(index, &report.path) {
            let headline = match *other == report.path {
                true => format!("`{other}` is given twice"),
                false => format!("`{other}` and `{}` are both of shard {index} of {of}", report.path),
            };
            return Err(vec![refused("run/same-shard", headline).with_help("give each shard once")]);
        }
    }
    let missing: Vec<_> =
        (1..=of).filter(|index| !found.contains_key(index)).take(10).map(|it| it.to_string()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let headline = format!("{} of {of} shards are missing: {}", of - found.len(), missing.join(", "));
    let help = "a shard without a report has not ended: see its job; without it there is no verdict";
    Err(vec![refused("run/missing-shard", headline).with_help(help)])
}

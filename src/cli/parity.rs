//! `khumbu parity`: recordings of genuine EVerest beside the simulated station.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::output::{Output, beside};
use super::{Exit, files, print};
use crate::diagnostic::{Diagnostic, Severity, printable};
use crate::parity::{self, Difference, LeftOut, Outcome, Report, Sending, StationFile};
use crate::recording::Recording;
use crate::scenario;
use crate::timespan::Timespan;

/// Plays what was done in recordings to the simulated station, and compares what comes out with what was recorded:
/// content, order within a topic, and time; not QoS and retain flag, which many taps do not see as they were published.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::PARITY)]
pub struct Arguments {
    /// Recordings: JSON Lines with `t_ms`, `topic`, `payload`, `qos` and `retain`
    #[arg(value_name = "RECORDING", required = true)]
    recordings: Vec<PathBuf>,
    /// The station, as under `station:` of a scenario, with `bindings` and `start`
    #[arg(long, value_name = "FILE")]
    station: PathBuf,
    /// How far apart in time the same outcome may lie [default: 300ms]
    #[arg(long, value_name = "TIME")]
    tolerance: Option<Timespan>,
    /// Write the result as JSON; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// More than hours of a busy EVerest need.
const LARGEST_RECORDING: usize = 64 * 1024 * 1024;
/// More than any station needs.
const LARGEST_STATION: usize = 256 * 1024;

/// Compares.
pub fn run(arguments: &Arguments) -> Exit {
    let (recordings, station, report) = match prepare(arguments) {
        Ok(prepared) => prepared,
        Err(diagnostics) => return print::refused(diagnostics),
    };
    let tolerance = arguments.tolerance.map_or(parity::TOLERANCE, |tolerance| tolerance.0);
    let mut results = Vec::new();
    for (path, recording) in arguments.recordings.iter().zip(&recordings) {
        results
            .push((path.display().to_string(), parity::compare(recording, &station, tolerance, Sending::Overlapping)));
    }
    if let Some((path, _)) = results.iter().find(|(_, report)| report.outcomes == 0) {
        let headline = format!("recording `{path}` has nothing that EVerest did");
        let help = "compare its topics with module ids, `api_version` and `external_prefix` of the station file";
        print::diagnostics(&[Diagnostic::new(Severity::Error, "recording/no-outcomes", headline).with_help(help)]);
        return Exit::Usage;
    }
    let text = to_text(&results);
    beside(&report)(&text);
    if let Some(output) = report {
        output.write(&to_json(&results));
    }
    if results.iter().all(|(_, report)| report.differences.is_empty()) { Exit::Pass } else { Exit::Fail }
}

/// The recordings, the station, and where the report goes.
type Prepared = (Vec<Recording>, StationFile, Option<Output>);

fn prepare(arguments: &Arguments) -> Result<Prepared, Vec<Diagnostic>> {
    let station = read_station(&arguments.station)?;
    let (mut recordings, mut errors) = (Vec::new(), Vec::new());
    for path in &arguments.recordings {
        match read_recording(path) {
            Ok(recording) => recordings.push(recording),
            Err(found) => errors.extend(found),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let report = arguments.json.as_deref().map(Output::open).transpose().map_err(|diagnostic| vec![*diagnostic])?;
    Ok((recordings, station, report))
}

/// Reads a recording.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read_recording(path: &Path) -> Result<Recording, Vec<Diagnostic>> {
    let text = files::read_text(path, LARGEST_RECORDING)?;
    Recording::parse(&path.display().to_string(), &text)
}

/// Reads a station file.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read_station(path: &Path) -> Result<StationFile, Vec<Diagnostic>> {
    let text = files::read_text(path, LARGEST_STATION)?;
    scenario::parse_around_station(&path.display().to_string(), &text)
}

fn to_text(results: &[(String, Report)]) -> String {
    let mut text = String::new();
    for (path, report) in results {
        let path = printable(path);
        for difference in &report.differences {
            text.push_str(&difference_to_text(&path, difference, "simulated"));
        }
        if results.len() > 1 {
            text.push_str(&format!("{path}: {} of {} outcomes reproduced\n", report.reproduced, report.outcomes));
        }
    }
    for (path, release) in results.iter().filter_map(|(path, report)| Some((path, report.assumed_release?))) {
        let path = printable(path);
        text.push_str(&format!(
            "{path}: of {release}: its heartbeats show it, and the station file names no release\n"
        ));
    }
    let (outcomes, reproduced) = sums(results);
    text.push_str(&format!("{reproduced} of {outcomes} outcomes reproduced{}\n", more(results)));
    match results.iter().map(|(_, report)| report.other_ways).sum() {
        0 => {}
        ways => text.push_str(&format!(
            "{}: where EVerest may go on in more than one way, it went another than the station does by itself\n",
            print::count(ways, "time")
        )),
    }
    for LeftOut { why, count, topics } in &left_out(results) {
        let topics: Vec<_> = topics.iter().map(|topic| printable(topic)).collect();
        text.push_str(&format!("not compared: {count} {} ({})\n", why.words(), topics.join(", ")));
    }
    text
}

fn left_out(results: &[(String, Report)]) -> Vec<LeftOut> {
    parity::left_out::sum(results.iter().flat_map(|(_, report)| &report.left_out))
}

/// What the station did besides, in words.
fn more(results: &[(String, Report)]) -> String {
    let differences = results.iter().flat_map(|(_, report)| &report.differences);
    match differences.filter(|difference| difference.recorded.is_none()).count() {
        0 => String::new(),
        count => format!(", and {count} simulated that EVerest did not have"),
    }
}

/// A difference with both sides below each other; `other` names the one that was not recorded.
pub(super) fn difference_to_text(path: &str, difference: &Difference, other: &str) -> String {
    let line = difference.recorded.as_ref().and_then(|outcome| outcome.line);
    let place = line.map_or_else(|| path.to_owned(), |line| format!("{path}:{line}"));
    let side = |outcome: &Option<Outcome>| match outcome {
        None => "nothing".to_owned(),
        Some(outcome) => format!("{:>8} ms  {}", outcome.t_ms, printable(&outcome.payload.to_string())),
    };
    format!(
        "{place}: {}\n  on         {}\n  recorded   {}\n  {other:9}  {}\n\n",
        difference.kind.words(),
        printable(&difference.lane),
        side(&difference.recorded),
        side(&difference.simulated),
    )
}

fn to_json(results: &[(String, Report)]) -> String {
    let (outcomes, reproduced) = sums(results);
    let mut differences = Vec::new();
    for (path, report) in results {
        for difference in &report.differences {
            let mut value = json!(difference);
            value["recording"] = json!(path);
            differences.push(value);
        }
    }
    let recording = |(path, report): &(String, Report)| {
        json!({
            "recording": path,
            "outcomes": report.outcomes,
            "reproduced": report.reproduced,
            "other_ways": report.other_ways,
            "left_out": report.left_out,
            "assumed_release": report.assumed_release,
        })
    };
    let recordings: Vec<_> = results.iter().map(recording).collect();
    let report = json!({
        "outcomes": outcomes,
        "reproduced": reproduced,
        "differences": differences,
        "left_out": left_out(results),
        "recordings": recordings,
    });
    format!("{report:#}\n")
}

fn sums(results: &[(String, Report)]) -> (usize, usize) {
    results.iter().fold((0, 0), |(outcomes, reproduced), (_, report)| {
        (outcomes + report.outcomes, reproduced + report.reproduced)
    })
}

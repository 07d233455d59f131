//! `khumbu replay`: one side of a recording, played to a live module of the other side.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::config::Config;
use super::module_flags::{ModuleFlags, side};
use super::output::{Output, beside};
use super::parity::{difference_to_text, read_recording, read_station};
use super::{Exit, playing_runtime, print, progress, recorder, signals};
use crate::diagnostic::{Diagnostic, printable};
use crate::parity::{self, Script, StationFile};
use crate::protocol::side::Side;
use crate::report;
use crate::runner::{self, Piece, Replay, Replayed, Requests, Settings, Speed};
use crate::scenario::model::Ready;
use crate::scenario::{self, Known, Scenario};
use crate::timespan::Timespan;
use crate::verdict::ScenarioResult;

/// Plays one side of a recording to a live module of the other side: to an EVerest what clients, token provider,
/// validator and EVSEs did, and compares its answers; to a client what EVerest published, and answers its requests.
/// Limits of the module itself, such as connection timeouts, stay as long as they are at any speed.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::REPLAY)]
pub struct Arguments {
    /// A recording: JSON Lines with `t_ms`, `topic`, `payload`, `qos` and `retain`
    #[arg(value_name = "RECORDING")]
    recording: PathBuf,
    #[command(flatten)]
    module: ModuleFlags,
    /// The side on which the module stands [default: everest]
    #[arg(long, value_name = "client|everest", value_parser = side)]
    side: Option<Side>,
    /// How fast: 1 is as recorded, 10 ten times as fast, max waits only for what EVerest or the client did in the
    /// recording; heartbeats are compared at 1 only, and times not at max [default: 1]
    #[arg(long, value_name = "N|max", value_parser = speed)]
    speed: Option<Speed>,
    /// The station, as for `khumbu parity` [default: one that has the API modules of the recording]
    #[arg(long, value_name = "FILE")]
    station: Option<PathBuf>,
    /// How far apart in time the same outcome may lie [default: 300ms]
    #[arg(long, value_name = "TIME")]
    tolerance: Option<Timespan>,
    /// Write the result as JSON; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Record what passes the broker
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

fn speed(text: &str) -> Result<Speed, String> {
    match text.parse::<f64>() {
        _ if text == "max" => Ok(Speed::Max),
        Ok(factor) if (0.01..=1000.0).contains(&factor) => Ok(Speed::Times(factor)),
        _ => Err("it is a number from 0.01 to 1000, or `max`".to_owned()),
    }
}

/// What a replay may take beyond the recording, besides the module's start.
const MARGIN: Duration = Duration::from_secs(60);

/// Plays.
pub fn run(arguments: Arguments) -> Exit {
    prepare(arguments).map_or_else(print::refused, Prepared::perform)
}

struct Prepared {
    path: String,
    piece: Piece,
    replay: Arc<Replay>,
    settings: Settings,
    recordings: Vec<Arc<recorder::RecordingFile>>,
    report: Option<Output>,
}

fn prepare(arguments: Arguments) -> Result<Prepared, Vec<Diagnostic>> {
    let mut flags = arguments.module;
    let config = Config::load(flags.topics.config.as_deref())?;
    let recording = read_recording(&arguments.recording)?;
    let file = match &arguments.station {
        Some(path) => read_station(path)?,
        None => StationFile::of(&recording),
    };
    let one = |diagnostic: Box<Diagnostic>| vec![*diagnostic];
    // The names of the recording, unless a flag says otherwise.
    flags.topics.module_id.get_or_insert_with(|| file.station.auth_consumer.module_id.clone());
    flags.topics.api_version.get_or_insert_with(|| file.api_version.clone());
    flags.topics.external_prefix.get_or_insert_with(|| file.external_prefix.clone());
    let mut settings = flags.settings(&config).map_err(one)?;
    file.station.release.check_api_version(&settings.topics.api_version).map_err(one)?;
    settings.inside = Some(file.bindings.clone());
    let side = arguments.side.unwrap_or(Side::Everest);
    if side == Side::Everest {
        // A recording says itself when EVerest was spoken to, and has no other questions.
        settings.ready.get_or_insert(Ready::Subscribed);
    }
    let speed = arguments.speed.unwrap_or(Speed::Times(1.0));
    let path = arguments.recording.display().to_string();
    let mut scenario = frame(&path, side, file.station.clone())?;
    flags.check_sides(std::slice::from_ref(&scenario), &config).map_err(one)?;
    let tolerance = arguments.tolerance.map_or(parity::TOLERANCE, |tolerance| tolerance.0);
    let script = Script { recording, file };
    let length = Duration::from_millis(script.length_ms());
    let length = if let Speed::Times(factor) = speed { length.div_f64(factor) } else { length };
    scenario.model.timeout = Some(Timespan(length * 2 + settings.ready_within + tolerance + MARGIN));
    let replay =
        Arc::new(Replay { script, speed, tolerance, replayed: Mutex::new(None), position_ms: AtomicU64::new(0) });
    let (scenario, release) = (Arc::new(scenario), replay.script.file.station.release);
    let mut pieces = [Piece::new(scenario, release)];
    pieces[0].replay = Some(Arc::clone(&replay));
    let report = arguments.json.as_deref().map(Output::open).transpose().map_err(one)?;
    let recordings = match arguments.record {
        Some(path) => recorder::open(vec![path], &mut pieces, &settings.topics).map_err(one)?,
        None => Vec::new(),
    };
    let [piece] = pieces;
    Ok(Prepared { path, piece, replay, settings, recordings, report })
}

/// A scenario without steps, so that a module is started, watched and ended as in a run.
fn frame(path: &str, side: Side, station: crate::station::config::StationConfig) -> Result<Scenario, Vec<Diagnostic>> {
    let under_test = if side == Side::Client { "client" } else { "everest" };
    let text = format!("description: A recording.\nunder_test: {under_test}\nsteps:\n  - note: replay\n");
    let mut scenario = scenario::parse(path, &text, Known::default())?;
    scenario.model.station = station;
    Ok(scenario)
}

impl Prepared {
    fn perform(self) -> Exit {
        let runtime = match playing_runtime() {
            Ok(runtime) => runtime,
            Err(exit) => return exit,
        };
        let (piece, settings) = (self.piece, self.settings);
        print::err(&announcement(&self.path, &self.replay));
        let (results, is_interrupted) = runtime.block_on(async {
            let interrupt = signals::interrupt();
            // There is one scenario, which has no events of its own.
            let (events, _) = mpsc::unbounded_channel();
            let shown = tokio::spawn(progress::show_position(Arc::clone(&self.replay)));
            let results = runner::run(vec![piece], settings, events, interrupt.clone(), |_| false).await;
            shown.abort();
            // The bar is taken away when its task has ended.
            let _ = shown.await;
            (results, *interrupt.borrow())
        });
        signals::give_way();
        runtime.shutdown_background();
        let results: Vec<ScenarioResult> = results.iter().map(|result| without_places(result)).collect();
        let exit = Exit::from(report::exit_code(results.iter().map(|result| result.verdict), is_interrupted));
        let replayed = self.replay.replayed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let text = replayed.as_ref().map(|replayed| to_text(&self.path, replayed)).unwrap_or_default();
        let say = beside(&self.report);
        for result in results.iter().filter(|result| !result.findings.is_empty()) {
            print::err(&report::terminal::findings(result, false, print::screen()));
        }
        say(&text);
        let json = to_json(&self.path, &results, replayed.as_ref());
        if let Some(output) = self.report {
            output.write(&json);
        }
        for recording in self.recordings {
            recording.finish();
        }
        exit
    }
}

/// What is played, and for how long: at full speed the module decides.
fn announcement(path: &str, replay: &Replay) -> String {
    let recording = &replay.script.recording;
    let (factor, bound) = match replay.speed {
        Speed::Times(factor) => (factor, ""),
        Speed::Max => (1.0, "at most "),
    };
    let seconds = Duration::from_millis(replay.script.length_ms()).div_f64(factor).as_secs();
    let messages = print::count(recording.messages.len(), "message");
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    format!("{}: {messages}, {bound}{minutes}m {seconds:02}s once the module is ready\n", printable(path))
}

/// A result of a scenario that nobody wrote, so that no place in it tells anything.
pub(super) fn without_places(result: &ScenarioResult) -> ScenarioResult {
    let mut result = result.clone();
    for found in &mut result.findings {
        found.place = None;
    }
    result
}

fn to_text(path: &str, replayed: &Replayed) -> String {
    match replayed {
        Replayed::ToEverest { report, raced, hidden, undelivered } => {
            let path = printable(path);
            let differences = report.differences.iter().map(|it| difference_to_text(&path, it, "module"));
            let mut text: String = differences.collect();
            if *hidden > 0 {
                text.push_str(&format!(
                    "{hidden} outcomes inside EVerest were left out: the module does not show them\n"
                ));
            }
            if !undelivered.is_empty() {
                let count = print::count(undelivered.len(), "message");
                text.push_str(&format!("{count} could not be delivered\n"));
            }
            if !raced.is_empty() {
                let count = print::count(raced.len(), "outcome");
                text.push_str(&format!("{count} otherwise than recorded, as EVerest may do either\n"));
            }
            text + &format!("{} of {} outcomes reproduced\n", report.reproduced, report.outcomes)
        }
        Replayed::ToClient(Requests { recorded, made, others, .. }) => {
            format!("{made} of {recorded} requests made, and {} others\n", others.len())
        }
    }
}

fn to_json(path: &str, results: &[ScenarioResult], replayed: Option<&Replayed>) -> String {
    let verdict = results.first().map(|result| result.verdict.word());
    let findings = results.iter().flat_map(|result| &result.findings);
    let findings: Vec<Value> = findings
        .map(|found| json!({"id": found.id, "severity": found.severity.word(), "headline": found.headline, "evidence": found.evidence}))
        .collect();
    let mut report = json!({"recording": path, "verdict": verdict, "findings": findings});
    match replayed {
        None => {}
        Some(Replayed::ToEverest { report: compared, raced, hidden, undelivered }) => {
            report["outcomes"] = json!(compared.outcomes);
            report["reproduced"] = json!(compared.reproduced);
            report["differences"] = json!(compared.differences);
            report["raced"] = json!(raced);
            report["hidden"] = json!(hidden);
            let lost = undelivered.iter();
            report["undelivered"] =
                lost.map(|it| json!({"line": it.line, "t_ms": it.t_ms, "topic": it.topic})).collect();
        }
        Some(Replayed::ToClient(requests)) => {
            report["requests"] = json!(requests.recorded);
            report["made"] = json!(requests.made);
            let missing = requests.missing.iter();
            report["missing"] = missing
                .map(|it| json!({"line": it.line, "topic": it.topic, "content": it.content, "told": it.is_told}))
                .collect();
            let others = requests.others.iter();
            report["others"] = others.map(|(topic, content)| json!({"topic": topic, "content": content})).collect();
        }
    }
    format!("{report:#}\n")
}

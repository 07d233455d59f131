//! `khumbu replay`: one side of a recording, played to a live module of the other side.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::config::Config;
use super::parity::{difference_to_text, read_recording, read_station};
use super::run::{self, WORKERS, ready, side};
use super::{Exit, print, recorder, signals};
use crate::broker::Upstream;
use crate::diagnostic::{Diagnostic, Severity, printable};
use crate::parity::{self, Script, StationFile};
use crate::report;
use crate::runner::{self, Piece, Replay, Replayed, Requests, Settings, Speed};
use crate::scenario::model::{Ready, Side};
use crate::scenario::{self, Scenario};
use crate::timespan::Timespan;
use crate::verdict::ScenarioResult;

/// Plays one side of a recording to a live module of the other side: to an EVerest what clients, token provider,
/// validator and EVSEs did, and compares its answers; to a client what EVerest published, and answers its requests.
/// Limits of the module itself, such as connection timeouts, stay as long as they are at any speed.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A recording: JSON Lines with `t_ms`, `topic`, `payload`, `qos` and `retain`
    #[arg(value_name = "RECORDING")]
    recording: PathBuf,
    /// Command line of the module under test; {host}, {port}, {module_id}, {api_version} and {external_prefix} are
    /// filled in [default: the built-in module of that side]
    #[arg(long, value_name = "CMD")]
    module: Option<String>,
    /// The module runs already and connects to --listen by itself
    #[arg(long, conflicts_with = "module", requires = "listen")]
    attach: bool,
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
    /// Use this broker instead of our own: mqtt://host:port
    #[arg(long, value_name = "URL")]
    broker: Option<Upstream>,
    /// Where our broker listens [default: 127.0.0.1:0, a free port]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Id of the API module in EVerest's configuration [default: that of the recording]
    #[arg(long, value_name = "ID")]
    module_id: Option<String>,
    /// Version in the topics [default: that of the recording]
    #[arg(long, value_name = "1|1.0")]
    api_version: Option<String>,
    /// EVerest's external MQTT prefix [default: that of the recording]
    #[arg(long, value_name = "PREFIX")]
    external_prefix: Option<String>,
    /// What the wire must show before the recording begins: connected, subscribed, communication_check, or topic:FILTER
    /// [default: subscribed]
    #[arg(long, value_name = "WHAT", value_parser = ready)]
    ready: Option<Ready>,
    /// How long the module may take to be ready [default: 10s]
    #[arg(long, value_name = "TIME")]
    ready_within: Option<Timespan>,
    /// How long the module may take to end after SIGTERM [default: 2s]
    #[arg(long, value_name = "TIME")]
    stop_within: Option<Timespan>,
    /// Configuration file, for the module and its bindings [default: khumbu.yaml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
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
    match prepare(arguments) {
        Ok(prepared) => prepared.perform(),
        Err(diagnostics) => {
            print::diagnostics(&diagnostics);
            Exit::Usage
        }
    }
}

struct Prepared {
    path: String,
    piece: Piece,
    replay: Arc<Replay>,
    settings: Settings,
    recordings: Vec<Arc<recorder::RecordingFile>>,
    /// Where the report goes: a file, or standard output.
    report: Option<Option<File>>,
}

fn prepare(arguments: Arguments) -> Result<Prepared, Vec<Diagnostic>> {
    let config = Config::load(arguments.config.as_deref())?;
    let recording = read_recording(&arguments.recording)?;
    let file = match &arguments.station {
        Some(path) => read_station(path)?,
        None => StationFile::of(&recording),
    };
    let one = |diagnostic: Box<Diagnostic>| vec![*diagnostic];
    let own = |flag: &Option<String>, recorded: &String| flag.clone().or_else(|| Some(recorded.clone()));
    let mut of_run = run::Arguments::default();
    of_run.module = arguments.module;
    of_run.attach = arguments.attach;
    of_run.broker = arguments.broker;
    of_run.listen = arguments.listen;
    of_run.module_id = own(&arguments.module_id, &file.station.auth_consumer.module_id);
    of_run.api_version = own(&arguments.api_version, &file.api_version);
    of_run.external_prefix = own(&arguments.external_prefix, &file.external_prefix);
    of_run.ready = arguments.ready;
    of_run.ready_within = arguments.ready_within;
    of_run.stop_within = arguments.stop_within;
    let mut settings = run::settings(&of_run, &config).map_err(one)?;
    settings.inside = Some(file.bindings.clone());
    let side = arguments.side.unwrap_or(Side::Everest);
    let speed = arguments.speed.unwrap_or(Speed::Times(1.0));
    let path = arguments.recording.display().to_string();
    let mut scenario = frame(&path, side, file.station.clone())?;
    run::check_sides(std::slice::from_ref(&scenario), &of_run, &config).map_err(one)?;
    let tolerance = arguments.tolerance.map_or(parity::TOLERANCE, |tolerance| tolerance.0);
    let script = Script { recording, file };
    let length = Duration::from_millis(u64::try_from(script.recording.end_ms()).unwrap_or(0));
    let length = if let Speed::Times(factor) = speed { length.div_f64(factor) } else { length };
    scenario.model.timeout = Some(Timespan(length * 2 + settings.ready_within + tolerance + MARGIN));
    let replay = Arc::new(Replay { script, speed, tolerance, replayed: Mutex::new(None) });
    let (scenario, release) = (Arc::new(scenario), replay.script.file.station.release);
    let mut pieces = [Piece { scenario, release, golden: None, recorder: None, replay: Some(Arc::clone(&replay)) }];
    let report = match arguments.json.as_deref() {
        None => None,
        Some(path) if path == Path::new("-") => Some(None),
        Some(path) => Some(Some(File::create(path).map_err(|error| {
            let headline = format!("report `{}` cannot be written: {error}", path.display());
            vec![Diagnostic::new(Severity::Error, "usage/unwritable-report", headline)]
        })?)),
    };
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
    let mut scenario = scenario::parse(path, &text, &[])?;
    scenario.model.station = station;
    Ok(scenario)
}

impl Prepared {
    fn perform(self) -> Exit {
        let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                print::err(&format!("error[harness/broken]: no runtime: {error}\n"));
                return Exit::Error;
            }
        };
        let (piece, settings) = (self.piece, self.settings);
        let (results, is_interrupted) = runtime.block_on(async {
            let interrupt = signals::interrupt();
            // Nobody watches: there is one scenario.
            let (events, _) = mpsc::unbounded_channel();
            let results = runner::run(vec![piece], settings, events, interrupt.clone()).await;
            (results, *interrupt.borrow())
        });
        runtime.shutdown_background();
        let results: Vec<ScenarioResult> = results.iter().map(|result| without_places(result)).collect();
        let mut exit = report::exit_code(results.iter().map(|result| result.verdict), is_interrupted);
        let replayed = self.replay.replayed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let text = replayed.as_ref().map(|replayed| to_text(&self.path, replayed)).unwrap_or_default();
        let is_json_alone = matches!(self.report, Some(None));
        let say = if is_json_alone { print::err } else { print::out };
        for result in results.iter().filter(|result| !result.findings.is_empty()) {
            print::err(&report::terminal::findings(result, false, print::style()));
        }
        say(&text);
        let json = to_json(&self.path, &results, replayed.as_ref());
        let written = match self.report {
            None => Ok(()),
            Some(None) => print::report(&json),
            Some(Some(mut file)) => file.write_all(json.as_bytes()),
        };
        if let Err(error) = written {
            print::err(&format!("error[run/report-lost]: a report could not be written: {error}\n"));
            exit = Exit::Error as u8;
        }
        for recording in self.recordings {
            if let Err(error) = recording.finish() {
                print::err(&format!("error[run/recording-lost]: a recording could not be written: {error}\n"));
                exit = Exit::Error as u8;
            }
        }
        match exit {
            0 => Exit::Pass,
            1 => Exit::Fail,
            2 => Exit::Usage,
            _ => Exit::Error,
        }
    }
}

/// Nobody wrote the scenario, so that no place in it tells anything.
fn without_places(result: &ScenarioResult) -> ScenarioResult {
    let mut result = result.clone();
    for found in &mut result.findings {
        found.place = None;
    }
    result
}

fn to_text(path: &str, replayed: &Replayed) -> String {
    match replayed {
        Replayed::ToEverest { report, hidden } => {
            let path = printable(path);
            let differences = report.differences.iter().map(|it| difference_to_text(&path, it, "module"));
            let mut text: String = differences.collect();
            if *hidden > 0 {
                text.push_str(&format!(
                    "{hidden} outcomes inside EVerest were left out: the module does not show them\n"
                ));
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
        Some(Replayed::ToEverest { report: compared, hidden }) => {
            report["outcomes"] = json!(compared.outcomes);
            report["reproduced"] = json!(compared.reproduced);
            report["differences"] = json!(compared.differences);
            report["hidden"] = json!(hidden);
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

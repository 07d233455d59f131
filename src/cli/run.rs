//! `khumbu run`: plays scenarios, prints what happened, writes reports, picks the exit code.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::config::{Config, wire_forms};
use super::recorder::{self, RecordingFile};
use super::release::ReleaseChoice;
use super::{Exit, files, goldens, print, progress, signals};
use crate::broker::Upstream;
use crate::conformance::requirements;
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::topic;
use crate::protocol::wire::Wire;
use crate::report;
use crate::runner::{self, ModuleSource, Piece, Settings};
use crate::scenario::Scenario;
use crate::scenario::model::{Ready, Side};
use crate::timespan::Timespan;
use crate::verdict::{RunEvent, ScenarioResult, Verdict};

/// Plays scenarios against a module under test.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Scenario files, or directories with such files [default: scenarios]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Command line of the module under test; {host}, {port}, {module_id}, {api_version} and {external_prefix} are
    /// filled in [default: the built-in module of that side]
    #[arg(long, value_name = "CMD")]
    pub(super) module: Option<String>,
    /// The module runs already and connects to --listen by itself
    #[arg(long, conflicts_with = "module", requires = "listen")]
    pub(super) attach: bool,
    /// The release of EVerest to play, over what scenarios say; `all` plays each scenario under each release
    #[arg(long, value_name = "2025.10|2025.12|2026.02|main|all", hide_possible_values = true)]
    release: Option<ReleaseChoice>,
    /// Only scenarios that test this side
    #[arg(long, value_name = "client|everest", value_parser = side)]
    side: Option<Side>,
    /// Only scenarios whose path or description contains this text
    #[arg(short, long, value_name = "TEXT")]
    keyword: Option<String>,
    /// Only the i-th of n parts, for runs on several machines
    #[arg(long, value_name = "i/n", value_parser = shard)]
    shard: Option<(usize, usize)>,
    /// How many scenarios are played at once [default: twice the processors; eight times, if the module is built in]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Use this broker instead of our own: mqtt://host:port
    #[arg(long, value_name = "URL")]
    pub(super) broker: Option<Upstream>,
    /// Where our broker listens [default: 127.0.0.1:0, a free port]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<SocketAddr>,
    /// Id of the API module in EVerest's configuration [default: auth_api]
    #[arg(long, value_name = "ID")]
    pub(super) module_id: Option<String>,
    /// Version in the topics [default: 1]
    #[arg(long, value_name = "1|1.0")]
    pub(super) api_version: Option<String>,
    /// EVerest's external MQTT prefix [default: none]
    #[arg(long, value_name = "PREFIX")]
    pub(super) external_prefix: Option<String>,
    /// What the wire must show before the first step: connected, subscribed, communication_check, or topic:FILTER
    /// [default: subscribed]
    #[arg(long, value_name = "WHAT", value_parser = ready)]
    pub(super) ready: Option<Ready>,
    /// How long the module may take to be ready [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub(super) ready_within: Option<Timespan>,
    /// How long the module may take to end after SIGTERM [default: 2s]
    #[arg(long, value_name = "TIME")]
    pub(super) stop_within: Option<Timespan>,
    /// How khumbu writes its own messages, where a scenario does not say [default: everest]
    #[arg(long, value_name = "NAME", value_parser = wire_forms())]
    wire: Option<Wire>,
    /// Write a JUnit report; `-` is standard output
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a JSON report; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Record what passes the broker: a file if one scenario is played; a directory, which ends in `/` or exists, for one
    /// file a scenario
    #[arg(long, value_name = "PATH")]
    record: Option<PathBuf>,
    /// Accept every transcript that differs from its golden
    #[arg(long)]
    update: bool,
    /// Configuration file [default: khumbu.yaml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn side(text: &str) -> Result<Side, String> {
    match text {
        "client" => Ok(Side::Client),
        "everest" => Ok(Side::Everest),
        _ => Err("it is `client` or `everest`".to_owned()),
    }
}

fn shard(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parts {
        Some((i, n)) if 1 <= i && i <= n => Ok((i, n)),
        _ => Err("write it like `2/5`: the second of five parts".to_owned()),
    }
}

pub(super) fn ready(text: &str) -> Result<Ready, String> {
    match text {
        "connected" => Ok(Ready::Connected),
        "subscribed" => Ok(Ready::Subscribed),
        "communication_check" => Ok(Ready::CommunicationCheck),
        _ => match text.strip_prefix("topic:") {
            Some(filter) => topic::check_filter(filter).map(|()| Ready::Topic(filter.to_owned())),
            None => Err("it is `connected`, `subscribed`, `communication_check` or `topic:FILTER`".to_owned()),
        },
    }
}

/// Time for a module's start, also of an interpreter on a busy machine.
const READY_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
/// Time for a module's end.
const STOP_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// Threads that play: one module that floods must not hold up what judges the others.
pub(super) const WORKERS: usize = 2;
/// More scenarios than this scroll their verdicts off the screen.
const SCREEN: usize = 20;

/// Plays, prints, writes.
pub fn run(arguments: Arguments) -> Exit {
    match prepare(arguments) {
        Ok(prepared) => prepared.perform(),
        Err(diagnostics) => {
            print::diagnostics(&diagnostics);
            Exit::Usage
        }
    }
}

/// Everything that can be known to be wrong is known before the first scenario starts.
struct Prepared {
    pieces: Vec<Piece>,
    settings: Settings,
    config: Config,
    reports: Vec<Report>,
    recordings: Vec<Arc<RecordingFile>>,
    /// Whole directories were played, so that a golden without a scenario can be told.
    orphans: Vec<Diagnostic>,
}

struct Report {
    form: Form,
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    JUnit,
}

enum Output {
    Stdout,
    File(File, PathBuf),
}

fn prepare(arguments: Arguments) -> Result<Prepared, Vec<Diagnostic>> {
    let config = Config::load(arguments.config.as_deref())?;
    let mut settings = settings(&arguments, &config).map_err(|diagnostic| vec![*diagnostic])?;
    settings.station = config.station()?;
    let paths = if arguments.paths.is_empty() { &config.scenarios } else { &arguments.paths };
    let known: Vec<_> = requirements::ids().collect();
    let scenarios = files::load(paths, &known)?;
    let orphans = goldens::orphans(paths, &scenarios);
    let selected = select(scenarios, &arguments);
    if selected.is_empty() {
        let nothing = Diagnostic::new(Severity::Error, "run/nothing-selected", "no scenario is left to be played")
            .with_help("widen --keyword, --side or --shard");
        return Err(vec![nothing]);
    }
    check_sides(&selected, &arguments, &config).map_err(|diagnostic| vec![*diagnostic])?;
    let mut pieces = Vec::with_capacity(selected.len());
    let mut errors = Vec::new();
    let choice = arguments.release.or(config.release);
    for scenario in selected.into_iter().map(Arc::new) {
        let releases = choice.map_or_else(|| vec![scenario.release()], ReleaseChoice::releases);
        for release in releases {
            let golden = match scenario.model.golden && release == scenario.release() {
                true => goldens::read(Path::new(&scenario.source.path)),
                false => Ok(None),
            };
            let scenario = scenario.clone();
            match golden.and_then(|golden| if arguments.update { Ok(golden) } else { goldens::check(golden) }) {
                Ok(golden) => pieces.push(Piece { scenario, release, golden, recorder: None, replay: None }),
                Err(found) => errors.extend(found),
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let paths = match &arguments.record {
        Some(path) => recorder::paths(path, &pieces).map_err(|diagnostic| vec![*diagnostic])?,
        None => Vec::new(),
    };
    // Last, so that a run that does not begin leaves old reports as they are.
    let reports = open_reports(&arguments).map_err(|diagnostic| vec![*diagnostic])?;
    let recordings = recorder::open(paths, &mut pieces, &settings.topics).map_err(|diagnostic| vec![*diagnostic])?;
    Ok(Prepared { pieces, settings, config, reports, recordings, orphans })
}

pub(super) fn settings(arguments: &Arguments, config: &Config) -> Result<Settings, Box<Diagnostic>> {
    let usage = |headline: String| Box::new(Diagnostic::new(Severity::Error, "usage/bad-value", headline));
    let command = arguments.module.as_ref().or(config.module.command.as_ref());
    let module = match command {
        _ if arguments.attach => ModuleSource::Attached,
        None => ModuleSource::Builtin,
        Some(name) if name == "builtin" || built_in_side(name).is_some() => ModuleSource::Builtin,
        Some(name) if name.starts_with("builtin:") => {
            return Err(usage(format!("there is no module `{name}`, only `builtin:client` and `builtin:everest`")));
        }
        Some(command) => match shell_words::split(command) {
            Ok(words) if !words.is_empty() => ModuleSource::Command(words),
            Ok(_) => return Err(usage("the module's command line is empty".to_owned())),
            Err(error) => return Err(usage(format!("the module's command line `{command}` has {error}"))),
        },
    };
    let upstream = match (&arguments.broker, &config.broker) {
        (Some(upstream), _) => Some(upstream.clone()),
        (None, Some(url)) => Some(url.parse().map_err(|error| usage(format!("broker `{url}`: {error}")))?),
        (None, None) => None,
    };
    let topics = config.topics(&arguments.module_id, &arguments.api_version, &arguments.external_prefix)?;
    // Scenarios wait more than they work; a module that is a process has to be started besides.
    let is_builtin = module == ModuleSource::Builtin;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let span = |flag: Option<Timespan>, default: Option<Timespan>, otherwise| {
        flag.or(default).map_or(otherwise, |span| span.0)
    };
    Ok(Settings {
        module,
        topics,
        listen: arguments.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
        upstream,
        ready: arguments.ready.clone().or_else(|| config.module.ready.clone()),
        ready_within: span(arguments.ready_within, config.module.ready_within, READY_WITHIN),
        stop_within: span(arguments.stop_within, config.module.stop_within, STOP_WITHIN),
        bindings: config.module.bindings.iter().map(|(d, binding)| (d.name().to_owned(), binding.clone())).collect(),
        station: None,
        lacks: config.module.lacks.clone(),
        cannot: config.module.cannot.iter().map(|drive| drive.name().to_owned()).collect(),
        wire: arguments.wire.or(config.wire).unwrap_or_default(),
        is_updating_goldens: arguments.update,
        inside: None,
        jobs: arguments
            .jobs
            .map(usize::from)
            .or(config.jobs.map(|jobs| usize::from(jobs.get())))
            .unwrap_or(processors * if is_builtin { 8 } else { 2 }),
    })
}

/// The side of a built-in module that was named with its side.
fn built_in_side(command: &str) -> Option<Side> {
    command.strip_prefix("builtin:").and_then(|name| side(name).ok())
}

/// A module that was named with its side cannot stand on the other one.
pub(super) fn check_sides(
    selected: &[Scenario],
    arguments: &Arguments,
    config: &Config,
) -> Result<(), Box<Diagnostic>> {
    let command = arguments.module.as_ref().or(config.module.command.as_ref()).filter(|_| !arguments.attach);
    let Some((command, side)) = command.and_then(|command| Some((command, built_in_side(command)?))) else {
        return Ok(());
    };
    let Some(other) = selected.iter().find(|scenario| scenario.model.under_test != side) else { return Ok(()) };
    let headline = format!("`{command}` stands on the other side than `{}` tests", other.source.path);
    let diagnostic = Diagnostic::new(Severity::Error, "usage/wrong-side", headline);
    Err(Box::new(
        diagnostic
            .at(other.place("/under_test"))
            .with_help("--module builtin   (each scenario then gets its own side)"),
    ))
}

fn select(scenarios: Vec<Scenario>, arguments: &Arguments) -> Vec<Scenario> {
    let keyword = arguments.keyword.as_deref().unwrap_or_default();
    let chosen = scenarios
        .into_iter()
        .filter(|scenario| arguments.side.is_none_or(|side| scenario.model.under_test == side))
        .filter(|scenario| scenario.source.path.contains(keyword) || scenario.model.description.contains(keyword));
    match arguments.shard {
        None => chosen.collect(),
        Some((i, n)) => chosen.enumerate().filter(|(index, _)| index % n == i - 1).map(|(_, s)| s).collect(),
    }
}

/// Opens every report before the first scenario, so that a bad path fails at once.
fn open_reports(arguments: &Arguments) -> Result<Vec<Report>, Box<Diagnostic>> {
    let wanted = [(Form::Json, &arguments.json), (Form::JUnit, &arguments.junit)];
    let mut reports = Vec::new();
    if let (Some(json), Some(junit)) = (&arguments.json, &arguments.junit)
        && json == junit
    {
        let to = if json == Path::new("-") { "standard output" } else { "the same file" };
        let headline = format!("two reports cannot go to {to}");
        return Err(Box::new(Diagnostic::new(Severity::Error, "usage/same-report", headline)));
    }
    for (form, path) in wanted.into_iter().filter_map(|(form, path)| Some((form, path.as_ref()?))) {
        let output = if path == Path::new("-") {
            Output::Stdout
        } else {
            let file = File::create(path).map_err(|error| {
                let headline = format!("report `{}` cannot be written: {error}", path.display());
                Box::new(Diagnostic::new(Severity::Error, "usage/unwritable-report", headline))
            })?;
            Output::File(file, path.clone())
        };
        reports.push(Report { form, output });
    }
    Ok(reports)
}

impl Prepared {
    fn perform(self) -> Exit {
        let started = Instant::now();
        // Standard output belongs to the report that was asked for there.
        let say = if self.reports.iter().any(|report| matches!(report.output, Output::Stdout)) {
            print::err
        } else {
            print::out
        };
        let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                print::err(&format!("error[harness/broken]: no runtime: {error}\n"));
                return Exit::Error;
            }
        };
        let is_update = self.settings.is_updating_goldens;
        let (pieces, settings) = (self.pieces, self.settings);
        let (results, is_interrupted) = runtime.block_on(async {
            let interrupt = signals::interrupt();
            let (events, received) = mpsc::unbounded_channel();
            let shown = tokio::spawn(progress::show(received, say));
            let results = runner::run(pieces, settings, events, interrupt.clone()).await;
            // The display ends with the last event.
            let _ = shown.await;
            (results, *interrupt.borrow())
        });
        runtime.shutdown_background();
        let results = report::excuse(&results, &self.config.known_failures());
        let mut exit = report::exit_code(results.iter().map(|result| result.verdict), is_interrupted);
        let duration = started.elapsed();
        let style = print::style();
        let matrix = report::matrix(&results);
        // The matrix gives the reason once for all that are not applicable.
        let is_told = |result: &ScenarioResult| matrix.is_empty() || result.verdict != Verdict::NotApplicable;
        let names_release = report::has_several_releases(&results);
        for result in results.iter().filter(|result| !result.findings.is_empty() && is_told(result)) {
            say(&report::terminal::findings(result, names_release, style));
        }
        if results.len() > SCREEN {
            say(&report::terminal::unsuccessful(&results, style));
        }
        say(&matrix);
        say(&report::terminal::summary(&results, duration, style));
        exit = exit.max(finish_goldens(&results, is_update, &self.orphans));
        for recording in self.recordings {
            if let Err(error) = recording.finish() {
                print::err(&format!("error[run/recording-lost]: a recording could not be written: {error}\n"));
                exit = Exit::Error as u8;
            }
        }
        for report in self.reports {
            if let Err(error) = write_report(report, &results, duration) {
                print::err(&format!("error[run/report-lost]: a report could not be written: {error}\n"));
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

fn write_report(report: Report, results: &[Arc<ScenarioResult>], duration: std::time::Duration) -> std::io::Result<()> {
    let text = match report.form {
        Form::Json => report::json(results, duration),
        Form::JUnit => report::junit(results, duration),
    };
    match report.output {
        Output::Stdout => print::report(&text),
        Output::File(mut file, path) => file
            .write_all(text.as_bytes())
            .map_err(|error| std::io::Error::other(format!("{}: {error}", path.display()))),
    }
}

/// Writes pending goldens, or accepts them; says what waits for review. The exit code that this asks for.
fn finish_goldens(results: &[Arc<ScenarioResult>], is_update: bool, orphans: &[Diagnostic]) -> u8 {
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    let mut exit = Exit::Pass as u8;
    for result in results {
        let scenario = Path::new(&result.path);
        let written = match &result.pending_golden {
            Some(text) if is_update => goldens::update(scenario, text),
            // Nobody reviews what a CI job leaves behind.
            Some(_) if is_ci => Ok(()),
            Some(text) => goldens::write_pending(scenario, text).map(|_| ()),
            None => {
                let is_open = result.findings.iter().any(|found| found.id == "golden/not-compared");
                if result.verdict == Verdict::Pass && !is_open && !is_ci {
                    goldens::drop_pending(scenario);
                }
                Ok(())
            }
        };
        if let Err(error) = written {
            let headline = format!("the golden of `{}` cannot be written: {error}", result.path);
            print::diagnostics(&[Diagnostic::new(Severity::Error, "golden/unwritable", headline)]);
            exit = Exit::Error as u8;
        }
    }
    print::diagnostics(orphans);
    if is_ci && !orphans.is_empty() {
        exit = exit.max(Exit::Fail as u8);
    }
    exit
}

/// Whether somebody watches.
pub fn is_watched() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("CI").is_none()
}

/// The events that a display cares for.
pub type Events = mpsc::UnboundedReceiver<RunEvent>;

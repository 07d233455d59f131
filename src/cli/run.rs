//! `khumbu run`: plays scenarios, prints what happened, writes reports, picks the exit code.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::config::{Config, wire_forms};
use super::module_flags::{ModuleFlags, side};
use super::output::{Output, beside};
use super::recorder::{self, RecordingFile};
use super::release::{ReleaseChoice, forecast};
use super::{Exit, apis, files, goldens, playing_runtime, print, progress, signals};
use crate::conformance::requirements;
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::side::Side;
use crate::protocol::wire::Wire;
use crate::report::{self, KnownFailure};
use crate::runner::{self, ModuleSource, Piece, Settings};
use crate::scenario::Scenario;
use crate::verdict::{RunEvent, ScenarioResult, Verdict};

/// Plays scenarios against a module under test.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Scenario files, or directories with such files [default: scenarios]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    module: ModuleFlags,
    /// The release of EVerest to play, over what scenarios say; `all` plays each scenario under each release, and 1.0 is
    /// what was before the first [default: 1.0, if that is the version in the topics]; `next` is a forecast, no release:
    /// main with EVerest's pull requests #2167, #2613 and #2637
    #[arg(long, value_name = "1.0|2025.10|2025.12|2026.02|main|next|all", hide_possible_values = true)]
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
    /// How many scenarios are played at once [default: twice the processors; sixteen times, if the module is built in]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// EVerest's AsyncAPI document of an API that khumbu has no description of; scenarios may then name it
    #[arg(long, value_name = "FILE")]
    asyncapi: Vec<PathBuf>,
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
}

fn shard(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parts {
        Some((i, n)) if 1 <= i && i <= n => Ok((i, n)),
        _ => Err("write it like `2/5`: the second of five parts".to_owned()),
    }
}

/// More scenarios than this scroll their verdicts off the screen.
const SCREEN: usize = 20;

/// Plays, prints, writes.
pub fn run(arguments: Arguments) -> Exit {
    prepare(arguments).map_or_else(print::refused, Prepared::perform)
}

/// Everything that can be known to be wrong is known before the first scenario starts.
struct Prepared {
    pieces: Vec<Piece>,
    settings: Settings,
    known_failures: Vec<KnownFailure>,
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

fn prepare(arguments: Arguments) -> Result<Prepared, Vec<Diagnostic>> {
    print::diagnostics(&apis::take_in(&arguments.asyncapi)?);
    let config = Config::load(arguments.module.topics.config.as_deref())?;
    let mut settings = arguments.module.settings(&config).map_err(|diagnostic| vec![*diagnostic])?;
    settings.station = config.station()?;
    settings.wire = arguments.wire.unwrap_or(settings.wire);
    settings.jobs = arguments.jobs.map_or(settings.jobs, usize::from);
    settings.is_updating_goldens = arguments.update;
    let paths = if arguments.paths.is_empty() { &config.scenarios } else { &arguments.paths };
    let known: Vec<_> = requirements::ids().collect();
    let scenarios = files::load(paths, &known)?;
    let orphans = goldens::orphans(paths, &scenarios);
    let known_failures = config.known_failures(&scenarios);
    let selected = select(scenarios, &arguments);
    if selected.is_empty() {
        let nothing = Diagnostic::new(Severity::Error, "run/nothing-selected", "no scenario is left to be played")
            .with_help("widen --keyword, --side or --shard");
        return Err(vec![nothing]);
    }
    arguments.module.check_sides(&selected, &config).map_err(|diagnostic| vec![*diagnostic])?;
    if settings.module == ModuleSource::Builtin {
        check_built_in(&selected).map_err(|diagnostic| vec![*diagnostic])?;
    }
    let choice = chosen(&arguments, &config).map_err(|diagnostic| vec![*diagnostic])?;
    if settings.module == ModuleSource::Attached && choice == Some(ReleaseChoice::All) {
        check_attached(&selected).map_err(|diagnostic| vec![*diagnostic])?;
    }
    let mut pieces = Vec::with_capacity(selected.len());
    let mut errors = Vec::new();
    for scenario in selected.into_iter().map(Arc::new) {
        let releases = match choice {
            Some(choice) => choice.releases(&settings.topics.api_version),
            None => vec![scenario.release_unasked()],
        };
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
    if let (Some(jobs @ 2..), Some(why)) = (arguments.jobs, runner::one_at_a_time(&settings)) {
        let headline = format!("scenarios are played one at a time, whatever `-j {jobs}` says: {why}");
        print::diagnostics(&[Diagnostic::new(Severity::Note, "run/one-at-a-time", headline)]);
    }
    // Last, so that a run that does not begin leaves old reports as they are.
    let reports = open_reports(&arguments).map_err(|diagnostic| vec![*diagnostic])?;
    let recordings = recorder::open(paths, &mut pieces, &settings.topics).map_err(|diagnostic| vec![*diagnostic])?;
    Ok(Prepared { pieces, settings, known_failures, reports, recordings, orphans })
}

/// The releases that somebody wants: the flags, or else `khumbu.yaml`.
fn chosen(arguments: &Arguments, config: &Config) -> Result<Option<ReleaseChoice>, Box<Diagnostic>> {
    let version = arguments.module.topics.api_version.as_deref();
    match ReleaseChoice::of(arguments.release, version)? {
        Some(choice) => Ok(Some(choice)),
        None => ReleaseChoice::of(config.release, version.or(config.api_version.as_deref())),
    }
}

/// Of an API of which only a document is known, there is no module here.
fn check_built_in(selected: &[Scenario]) -> Result<(), Box<Diagnostic>> {
    let Some(scenario) = selected.iter().find(|scenario| !scenario.model.api.is_of_auth()) else { return Ok(()) };
    let headline = format!("khumbu has no built-in module for `{}`", scenario.model.api.name());
    let diagnostic = Diagnostic::new(Severity::Error, "usage/no-built-in-module", headline);
    Err(Box::new(diagnostic.at(scenario.place("/api")).with_help("name yours: `--module COMMAND`")))
}

/// A client that runs already meets the EVerest of any release; an EVerest that runs already is one.
fn check_attached(selected: &[Scenario]) -> Result<(), Box<Diagnostic>> {
    let Some(scenario) = selected.iter().find(|scenario| scenario.model.under_test == Side::Everest) else {
        return Ok(());
    };
    let headline = format!("an EVerest that is attached is of one release, and `{}` tests one", scenario.source.path);
    let diagnostic = Diagnostic::new(Severity::Error, "usage/one-release", headline);
    let help = "name its release with `--release`, or let khumbu start it with `--module` once for each";
    Err(Box::new(diagnostic.at(scenario.place("/under_test")).with_help(help)))
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
        reports.push(Report { form, output: Output::open(path)? });
    }
    Ok(reports)
}

impl Prepared {
    fn perform(self) -> Exit {
        let started = Instant::now();
        print::diagnostics(self.pieces.iter().find_map(|piece| forecast(piece.release)).as_slice());
        let say = beside(self.reports.iter().map(|report| &report.output));
        let runtime = match playing_runtime() {
            Ok(runtime) => runtime,
            Err(exit) => return exit,
        };
        let is_update = self.settings.is_updating_goldens;
        let (pieces, settings, known) = (self.pieces, self.settings, self.known_failures);
        let shown_known = known.clone();
        let (results, is_interrupted) = runtime.block_on(async {
            let interrupt = signals::interrupt();
            let (events, received) = mpsc::unbounded_channel();
            let shown = tokio::spawn(progress::show(received, shown_known, say));
            let results = runner::run(pieces, settings, events, interrupt.clone()).await;
            // The display ends with the last event.
            let _ = shown.await;
            (results, *interrupt.borrow())
        });
        signals::give_way();
        runtime.shutdown_background();
        let results: Vec<_> = results.iter().map(|result| report::excuse(result, &known)).collect();
        let mut exit = Exit::from(report::exit_code(results.iter().map(|result| result.verdict), is_interrupted));
        let duration = started.elapsed();
        let style = print::style();
        let matrix = report::matrix(&results);
        // The matrix gives the reason once for all that are not applicable.
        let is_told = |result: &ScenarioResult| matrix.is_empty() || result.verdict != Verdict::NotApplicable;
        let names_release = report::has_several_releases(&results);
        for result in results.iter().filter(|result| !result.findings.is_empty() && is_told(result)) {
            // The line of a scenario that was played alone stands right above.
            say(&match results.len() {
                1 => report::terminal::details(result, print::screen()),
                _ => report::terminal::findings(result, names_release, print::screen()),
            });
        }
        if results.len() > SCREEN {
            say(&report::terminal::unsuccessful(&results, style));
        }
        say(&matrix);
        say(&report::terminal::summary(&results, duration, style));
        exit = exit.max(finish_goldens(&results, is_update, &self.orphans));
        for recording in self.recordings {
            recording.finish();
        }
        for Report { form, output } in self.reports {
            let text = match form {
                Form::Json => report::json(&results, duration),
                Form::JUnit => report::junit(&results, duration),
            };
            output.write(&text);
        }
        exit
    }
}

/// Writes pending goldens, or accepts them; says what waits for review. How the process should end for it.
fn finish_goldens(results: &[Arc<ScenarioResult>], is_update: bool, orphans: &[Diagnostic]) -> Exit {
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    let mut exit = Exit::Pass;
    for result in results {
        let scenario = Path::new(&result.path);
        let written = match &result.pending_golden {
            Some(text) if is_update => goldens::update(scenario, text),
            // Nobody reviews what a CI job leaves behind.
            Some(_) if is_ci => Ok(()),
            Some(text) => goldens::write_pending(scenario, text).map(|_| ()),
            None => {
                let is_open = result.findings.iter().any(|found| found.subject == Subject::GoldenNotCompared);
                if result.verdict == Verdict::Pass && !is_open && !is_ci {
                    goldens::drop_pending(scenario);
                }
                Ok(())
            }
        };
        if let Err(error) = written {
            let headline = format!("the golden of `{}` cannot be written: {error}", result.path);
            print::diagnostics(&[Diagnostic::new(Severity::Error, "golden/unwritable", headline)]);
            exit = Exit::Error;
        }
    }
    print::diagnostics(orphans);
    if is_ci && !orphans.is_empty() {
        exit = exit.max(Exit::Fail);
    }
    exit
}

/// Whether somebody watches.
pub fn is_watched() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("CI").is_none()
}

/// The events that a display cares for.
pub type Events = mpsc::UnboundedReceiver<RunEvent>;

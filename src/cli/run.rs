//! `khumbu run`: plays scenarios, prints what happened, writes reports, picks the exit code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::annotate::Annotations;
use super::built_in::list_bugs;
use super::config::{self, Config, today};
use super::module_flags::side;
use super::playing::{Flaky, PlayFlags, Playing, Selection, made, perform, without};
use super::recorder::RecordingFile;
use super::release::forecast;
use super::run_reports::{End, Reports, tell};
use super::watch::Watch;
use super::{Exit, apis, faults, files, goldens, merge, print};
use crate::conformance::requirements;
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::release::Release;
use crate::protocol::side::Side;
use crate::report::{self, KnownFailure, Part, Report};
use crate::runner::{ModuleSource, Piece, Settings};
use crate::scenario;
use crate::verdict::{ScenarioResult, Verdict};

/// Plays scenarios against a module under test.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::RUN)]
pub struct Arguments {
    /// Scenario files, or directories with such files [default: scenarios]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    play: PlayFlags,
    /// Only scenarios that test this side
    #[arg(long, value_name = "client|everest", value_parser = side)]
    side: Option<Side>,
    /// EVerest's AsyncAPI document of an API that khumbu has no description of; scenarios may then name it
    #[arg(long, value_name = "FILE")]
    asyncapi: Vec<PathBuf>,
    /// Write a page for people, which stands alone; `-` is standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Accept every transcript that differs from its golden
    #[arg(long)]
    update: bool,
    /// Only what did not pass in this JSON report of an earlier run
    #[arg(long, value_name = "FILE")]
    failed: Option<PathBuf>,
    /// Begin nothing more when something has failed, no other scenario and no other round; not with `--retries`
    #[arg(long, conflicts_with = "retries")]
    fail_fast: bool,
    /// Play each scenario N times, at most 100, one round after the other: what passes in one and fails in another is flaky;
    /// not with `--retries`
    #[arg(long, value_name = "N", default_value_t = 1, hide_default_value = true, conflicts_with = "retries", value_parser = clap::value_parser!(u8).range(1..=100))]
    repeat: u8,
    /// Print the N scenarios that took longest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    slowest: Option<u16>,
    /// Play again whenever a scenario, the module or khumbu.yaml has changed; of scenarios only those that have
    #[arg(long)]
    watch: bool,
    /// Print the deliberate faults that the built-in modules can have, and end
    #[arg(long)]
    list_bugs: bool,
}

/// Plays, prints, writes.
pub fn run(arguments: Arguments) -> Exit {
    if arguments.list_bugs {
        print::out(&list_bugs());
        return Exit::Pass;
    }
    if arguments.watch {
        return watched(&arguments).map_or_else(print::refused, Watch::run);
    }
    prepare(arguments).map_or_else(print::refused, Prepared::perform)
}

/// What is to be watched.
fn watched(arguments: &Arguments) -> Result<Watch, Vec<Diagnostic>> {
    let flags = &arguments.play;
    let config_file = flags.module.topics.config.clone().unwrap_or_else(|| PathBuf::from(config::DEFAULT));
    let config = Config::load(flags.module.topics.config.as_deref())?;
    let settings = flags.settings(&config)?;
    let command = match &settings.module {
        ModuleSource::Command(words) => words.as_slice(),
        ModuleSource::Builtin(_) | ModuleSource::Untold(_) | ModuleSource::Attached => &[],
    };
    let module = command.iter().map(PathBuf::from).filter(|path| path.is_file());
    let reports = flags.files.wanted().map(|(_, path)| path);
    let written = reports.chain([&arguments.html, &flags.record].into_iter().flatten().cloned());
    let given: Vec<_> = std::env::args().skip(1).filter(|word| word != "--watch").collect();
    Ok(Watch {
        scenarios: match (arguments.paths.as_slice(), config.scenarios.as_slice()) {
            ([], []) => vec![PathBuf::from(files::DEFAULT)],
            ([], scenarios) | (scenarios, _) => scenarios.to_vec(),
        },
        others: module.chain([config_file]).collect(),
        written: written.collect(),
        arguments: without_paths(given, &arguments.paths),
    })
}

/// Everything that can be known to be wrong is known before the first scenario starts.
struct Prepared {
    pieces: Vec<Piece>,
    settings: Settings,
    known_failures: Vec<KnownFailure>,
    part: Part,
    retries: u8,
    repeat: u8,
    fails_fast: bool,
    slowest: Option<u16>,
    flaky: Flaky,
    annotations: Option<Annotations>,
    reports: Reports,
    recordings: Vec<Arc<RecordingFile>>,
    /// The command line that plays a scenario again, once its path is added.
    again: String,
    /// Whole directories were played, so that a golden without a scenario can be told.
    orphans: Vec<Diagnostic>,
}

fn prepare(arguments: Arguments) -> Result<Prepared, Vec<Diagnostic>> {
    print::diagnostics(&apis::take_in(&arguments.asyncapi)?);
    let flags = &arguments.play;
    let config = Config::load(flags.module.topics.config.as_deref())?;
    let mut settings = flags.settings(&config)?;
    settings.is_updating_goldens = arguments.update;
    let fault = faults::over(&flags.fault, &settings)?;
    let paths = if arguments.paths.is_empty() { &config.scenarios } else { &arguments.paths };
    let known: Vec<_> = requirements::ids().collect();
    let scenarios = files::load(paths, &known)?;
    let orphans = goldens::orphans(paths, &scenarios);
    let known_failures = config.known_failures(&scenarios);
    let left = arguments.failed.as_deref().map(Left::read).transpose()?;
    if let Some(left) = &left {
        print::diagnostics(left.gone(&scenarios).as_slice());
        if !scenarios.iter().any(|scenario| left.wants(&scenario.source.path)) {
            return Err(vec![left.nothing()]);
        }
    }
    let is_wanted = |scenario: &scenario::Scenario| {
        arguments.side.is_none_or(|side| scenario.model.under_test == side)
            && left.as_ref().is_none_or(|left| left.wants(&scenario.source.path))
    };
    let Selection { scenarios: selected, mut part, .. } =
        flags.select(scenarios, is_wanted, (&config, &settings), &known_failures)?;
    part.selected |= arguments.side.is_some() || left.is_some();
    let choice = flags.release(&config)?;
    let mut pieces = Vec::with_capacity(selected.len());
    let mut errors = Vec::new();
    for scenario in selected.into_iter().map(Arc::new) {
        let mut releases = PlayFlags::releases(choice, &scenario, &settings);
        if let Some(left) = &left {
            releases = left.releases(&scenario.source.path, releases, choice.is_some());
        }
        for release in releases {
            let golden = match scenario.model.golden && release == scenario.release() {
                true => goldens::read(Path::new(&scenario.source.path)),
                false => Ok(None),
            };
            let scenario = scenario.clone();
            match golden.and_then(|golden| if arguments.update { Ok(golden) } else { goldens::check(golden) }) {
                Ok(golden) => {
                    let mut piece = Piece::new(scenario, release);
                    piece.golden = golden;
                    pieces.push(match &fault {
                        Some(fault) => piece.under(fault.clone()),
                        None => piece,
                    });
                }
                Err(found) => errors.extend(found),
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    // Under some releases a scenario may have passed.
    if left.is_some() && flags.shard.is_none() {
        part.plays = pieces.len();
    }
    if let Some(left) = left.filter(|_| pieces.is_empty()) {
        return Err(vec![left.nothing()]);
    }
    let open = || Reports::open(&flags.files, arguments.html.as_slice());
    let (reports, recordings) = flags.record(&mut pieces, &settings, open)?;
    let again = again(std::env::args().skip(1), &arguments.paths);
    Ok(Prepared {
        pieces,
        settings,
        known_failures,
        part,
        retries: flags.retries,
        repeat: arguments.repeat,
        fails_fast: arguments.fail_fast,
        slowest: arguments.slowest,
        flaky: flags.flaky,
        annotations: flags.annotations,
        reports,
        recordings,
        again,
        orphans,
    })
}

impl Prepared {
    fn perform(self) -> Exit {
        let started = Instant::now();
        print::diagnostics(self.pieces.iter().find_map(|piece| forecast(piece.release)).as_slice());
        let say = self.reports.beside();
        let is_update = self.settings.is_updating_goldens;
        let (pieces, settings, known, retries) = (self.pieces, self.settings, self.known_failures, self.retries);
        let (repeat, fails_fast, all) = (self.repeat, self.fails_fast, pieces.len());
        let idle: BTreeMap<_, _> = pieces.iter().filter_map(|piece| of_idle(&piece.scenario)).collect();
        let planned: Vec<_> = pieces.iter().map(|piece| (piece.scenario.source.path.clone(), piece.release)).collect();
        let shown_known = known.clone();
        let experience = Arc::default();
        let played = perform(|interrupt| async move {
            Playing { settings, experience, known: shown_known, retries, repeat, fails_fast, say, interrupt }
                .play(pieces)
                .await
        });
        let (results, mut is_interrupted) = match played {
            Ok(played) => played,
            Err(exit) => return exit,
        };
        let unplayed = unplayed(planned, &results);
        if !unplayed.is_empty() {
            let left = print::count(unplayed.len(), "scenario");
            let why = if is_interrupted { "interrupted" } else { "ended at the first failure, as `--fail-fast` says" };
            say(&format!("\n{why}: {left} of {all} not played\n"));
            is_interrupted = true;
        }
        let is_whole = !self.part.selected && self.part.is_whole() && !is_interrupted;
        let mut results = report::excuse_all(&results, &known, today(), is_whole);
        remark(&mut results, &idle);
        if self.flaky == Flaky::Pass {
            report::let_flaky_pass(&mut results);
        }
        let mut exit = Exit::from(report::exit_code(results.iter().map(|result| result.verdict), is_interrupted));
        let duration = started.elapsed();
        if let Some(count) = self.slowest {
            say(&report::terminal::slowest(&results, count.into(), print::style()));
        }
        tell(&results, duration, say);
        if let Some(annotations) = self.annotations {
            say(&annotations.text(|locate| report::annotations::annotations(results.iter().map(AsRef::as_ref), locate)));
        }
        exit = exit.max(finish_goldens(&results, is_update, &self.orphans));
        for recording in self.recordings {
            recording.finish();
        }
        let end = End { is_interrupted, unplayed: &unplayed };
        self.reports.write(&results, &self.part, end, &made(duration), &self.again);
        exit
    }
}

/// What is to be remarked of a scenario that asks nothing of the module.
fn of_idle(scenario: &scenario::Scenario) -> Option<(String, Diagnostic)> {
    scenario::idle(scenario).map(|remark| (scenario.source.path.clone(), remark))
}

/// Says of scenarios that have passed that whatever listens passes them.
fn remark(results: &mut [Arc<ScenarioResult>], idle: &BTreeMap<String, Diagnostic>) {
    for result in results.iter_mut().filter(|result| result.verdict == Verdict::Pass) {
        if let Some(remark) = idle.get(&result.path) {
            Arc::make_mut(result).findings.push(remark.clone());
        }
    }
}

/// What was to be played, and has no result.
fn unplayed(mut planned: Vec<(String, Release)>, results: &[Arc<ScenarioResult>]) -> Vec<(String, Release)> {
    for result in results {
        if let Some(at) = planned.iter().position(|(path, release)| (path, *release) == (&result.path, result.release))
        {
            planned.remove(at);
        }
    }
    planned
}

/// What an earlier run has left to be played.
struct Left {
    report: Report,
}

impl Left {
    /// # Errors
    /// What is wrong with the report.
    fn read(path: &Path) -> Result<Self, Vec<Diagnostic>> {
        Ok(Self { report: merge::read(path)? })
    }

    /// The results that did not pass.
    fn not_passed(&self) -> impl Iterator<Item = &ScenarioResult> {
        let is_left = |verdict| verdict > Verdict::Pass || verdict == Verdict::Flaky;
        self.report.results.iter().map(AsRef::as_ref).filter(move |result| is_left(result.verdict))
    }

    /// The releases under which a scenario is to be played again, of those that are wanted; nobody has to say again which they
    /// were. What a run that was cut short has not come to is left, too.
    fn releases(&self, path: &str, wanted: Vec<Release>, is_chosen: bool) -> Vec<Release> {
        let mut left: Vec<_> =
            self.not_passed().filter(|result| result.path == path).map(|result| result.release).collect();
        if is_chosen {
            left.retain(|release| wanted.contains(release));
        }
        let has_come_to =
            |release| self.report.results.iter().any(|result| result.path == path && result.release == release);
        if self.report.is_interrupted {
            left.extend(wanted.into_iter().filter(|release| !has_come_to(*release)));
        }
        left
    }

    /// Whether some release of a scenario may be left.
    fn wants(&self, path: &str) -> bool {
        self.report.is_interrupted || self.not_passed().any(|result| result.path == path)
    }

    /// What did not pass and is not there any more.
    fn gone(&self, scenarios: &[scenario::Scenario]) -> Option<Diagnostic> {
        let is_there = |path: &str| scenarios.iter().any(|scenario| scenario.source.path == path);
        let gone: BTreeSet<_> = self.not_passed().map(|result| &*result.path).filter(|path| !is_there(path)).collect();
        let (first, others) = (gone.first()?, gone.len() - 1);
        let more = if others == 0 { String::new() } else { format!(", and {others} more") };
        let headline =
            format!("`{first}`{more} did not pass in `{}`, and is not among what is played", self.report.path);
        let help = "give the same paths as then, or play all without `--failed`";
        Some(Diagnostic::new(Severity::Warning, "run/left-out", headline).with_help(help))
    }

    /// Why there is nothing to be played.
    fn nothing(&self) -> Diagnostic {
        let headline = match self.not_passed().next() {
            None => format!("no scenario is left to be played: all passed in `{}`", self.report.path),
            Some(_) => format!("no scenario is left to be played of those that did not pass in `{}`", self.report.path),
        };
        let nothing = Diagnostic::new(Severity::Error, "run/nothing-selected", headline);
        nothing.with_help("give the same paths as then, or play all without `--failed`")
    }
}

/// The command line without what it plays.
fn again(given: impl Iterator<Item = String>, paths: &[PathBuf]) -> String {
    let words = without(
        given,
        &["--shard", "--keyword", "-k", "--side", "--release", "--fault", "--failed", "--jobs", "-j"],
        &["--update", "--fail-fast"],
    );
    shell_words::join(["khumbu".to_owned()].into_iter().chain(without_paths(words, paths)))
}

/// Words of a command line without these paths, where they stand for themselves.
fn without_paths(words: Vec<String>, paths: &[PathBuf]) -> Vec<String> {
    // What was named by its place stands where no option does.
    let is_value = |index: usize| index > 0 && words[index - 1].starts_with('-') && !words[index - 1].contains('=');
    let is_path = |word: &str| paths.iter().any(|path| path.as_os_str() == word);
    let left = words.iter().enumerate().filter(|(index, word)| is_value(*index) || !is_path(word));
    left.map(|(_, word)| word.clone()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_played_is_left_out_of_the_command_line() {
        let words =
            "run scenarios --module scenarios -k word --fault disconnect a.yaml --release all --html=x.html -j 2";
        let given = words.split(' ').map(str::to_owned);
        let left = again(given, &["scenarios".into(), "a.yaml".into()]);
        assert_eq!(left, "khumbu run --module scenarios");
        let given = ["run", "a.yaml", "-j16", "--jobs=4", "-kword", "--attach"].map(str::to_owned);
        assert_eq!(again(given.into_iter(), &["a.yaml".into()]), "khumbu run --attach");
    }
}

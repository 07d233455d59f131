//! What `khumbu run` and `khumbu conform` have in common: flags, pieces, the playing itself, and where reports go.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::annotate::Annotations;
use super::config::{Config, now, today, wire_forms};
use super::module_flags::ModuleFlags;
use super::output::Output;
use super::recorder::{self, RecordingFile};
use super::release::ReleaseChoice;
use super::report_files::ReportFiles;
use super::{Exit, playing_runtime, print, progress, signals};
use crate::conformance::requirements;
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::protocol::release::Release;
use crate::protocol::side::Side;
use crate::protocol::wire::Wire;
use crate::report::html::Made;
use crate::report::{self, KnownFailure, Part, Shard};
use crate::runner::{self, Experience, ModuleSource, Piece, Settings};
use crate::scenario::Scenario;
use crate::verdict::{RunEvent, ScenarioResult, Verdict};

/// Flags about what is played, and how.
#[derive(Debug, clap::Args)]
pub struct PlayFlags {
    #[command(flatten)]
    pub module: ModuleFlags,
    /// The release of EVerest to play, over what scenarios say; `all` plays each scenario under each release, and 1.0 is
    /// what was before the first [default: 1.0, if that is the version in the topics]; `next` is a forecast, no release:
    /// main with EVerest's pull requests #2167, #2613 and #2637
    #[arg(long, value_name = "1.0|2025.10|2025.12|2026.02|main|next|all", hide_possible_values = true)]
    pub release: Option<ReleaseChoice>,
    /// Only scenarios whose path or description contains this text, in upper and lower case as it stands there, or that are
    /// about the requirement of this id
    #[arg(short, long, value_name = "TEXT")]
    pub keyword: Option<String>,
    /// Only the i-th of n parts, for runs on several machines
    #[arg(long, value_name = "i/n", value_parser = shard)]
    pub shard: Option<Shard>,
    /// How many scenarios are played at once [default: twice the processors; sixteen times, if the module is built in]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// Play a scenario that did not pass again, up to N times: a pass after a fail is flaky, and shown as such; not what could
    /// not be put to the test. `--record` keeps the first play [default: 0]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(u8).range(0..=10))]
    pub retries: u8,
    /// What becomes of the run where something is flaky: what a module did wrong once it did
    #[arg(long, value_enum, value_name = "fail|pass", default_value_t = Flaky::Fail, hide_possible_values = true)]
    pub flaky: Flaky,
    /// How khumbu writes its own messages, where a scenario does not say [default: everest]
    #[arg(long, value_name = "NAME", value_parser = wire_forms())]
    pub wire: Option<Wire>,
    /// A fault to lay over each scenario, as a step says it: `drop: {message: heartbeat, next: 3}`, or `delay`, `duplicate`,
    /// `reorder`, `corrupt`, `refuse_connect`, `half_open`, `broker_away`, `disconnect`; may be repeated. What it may explain
    /// is inconclusive
    #[arg(long, value_name = "STEP")]
    pub fault: Vec<String>,
    /// Print what is wrong as annotations of a CI system, at the lines of scenario files that are in the checkout
    #[arg(long, value_enum, value_name = "github", hide_possible_values = true)]
    pub annotations: Option<Annotations>,
    #[command(flatten)]
    pub files: ReportFiles,
    /// Record what passes the broker: a file if one scenario is played; a directory, which ends in `/` or exists, for one
    /// file a scenario
    #[arg(long, value_name = "PATH")]
    pub record: Option<PathBuf>,
}

/// What becomes of a run where something is flaky.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Flaky {
    /// It fails.
    Fail,
    /// It passes.
    Pass,
}

/// Reads the value of `--shard`.
///
/// # Errors
/// How to write it.
pub fn shard(text: &str) -> Result<Shard, String> {
    let parts = text.split_once('/').and_then(|(i, n)| Some(Shard { index: i.parse().ok()?, of: n.parse().ok()? }));
    match parts {
        Some(shard) if 1 <= shard.index && shard.index <= shard.of => Ok(shard),
        _ => Err("write it like `2/5`: the second of five parts".to_owned()),
    }
}

/// What is to be played.
pub struct Selection {
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
    /// The requirements that scenarios in other shards name.
    pub elsewhere: BTreeSet<&'static str>,
    /// What part of the whole it is.
    pub part: Part,
}

impl PlayFlags {
    /// The settings of the run.
    ///
    /// # Errors
    /// What is wrong with flags, `khumbu.yaml` or the station file.
    pub fn settings(&self, config: &Config) -> Result<Settings, Vec<Diagnostic>> {
        let mut settings = self.module.settings(config).map_err(|diagnostic| vec![*diagnostic])?;
        settings.station = config.station()?;
        settings.wire = self.wire.unwrap_or(settings.wire);
        if let Some(jobs) = self.jobs {
            (settings.jobs, settings.jobs_meanwhile) = (usize::from(jobs), 0);
        }
        Ok(settings)
    }

    /// Those of these scenarios that the flags leave, and that somebody wants besides.
    ///
    /// # Errors
    /// `run/nothing-selected`; what the module cannot be played with.
    pub fn select(
        &self,
        scenarios: Vec<Scenario>,
        is_wanted: impl Fn(&Scenario) -> bool,
        (config, settings): (&Config, &Settings),
        known: &[KnownFailure],
    ) -> Result<Selection, Vec<Diagnostic>> {
        let keyword = self.keyword.as_deref().unwrap_or_default();
        let is_about = |it: &Scenario| it.model.requirements.iter().any(|id| id == keyword);
        let has_word =
            |it: &Scenario| it.source.path.contains(keyword) || it.model.description.contains(keyword) || is_about(it);
        let chosen: Vec<_> =
            scenarios.into_iter().filter(|scenario| is_wanted(scenario) && has_word(scenario)).collect();
        let choice = self.release(config)?;
        let plays = chosen.iter().flat_map(|scenario| {
            let releases = Self::releases(choice, scenario, settings);
            let Source { path, text } = scenario.source.as_ref();
            releases.into_iter().map(|release| (path.as_str(), text.as_str(), release))
        });
        let flaky_passes = self.flaky == Flaky::Pass;
        let selected = self.keyword.is_some();
        let faults = self.fault.clone();
        let part = Part { flaky_passes, faults, selected, ..Part::new(plays, self.shard, known) };
        let is_here = |index| self.shard.is_none_or(|shard| index % shard.of == shard.index - 1);
        let (here, others): (Vec<_>, Vec<_>) = chosen.into_iter().enumerate().partition(|(index, _)| is_here(*index));
        let named = others.iter().flat_map(|(_, scenario)| &scenario.model.requirements);
        let elsewhere = named.filter_map(|id| requirements::find(id)).map(|it| it.id).collect();
        let selected: Vec<_> = here.into_iter().map(|(_, scenario)| scenario).collect();
        if selected.is_empty() {
            let headline = match (self.shard, others.len()) {
                (Some(shard), 1..) => {
                    format!("no scenario is left for shard {shard}: there are {} for {} shards", others.len(), shard.of)
                }
                _ => "no scenario is left to be played".to_owned(),
            };
            let nothing = Diagnostic::new(Severity::Error, "run/nothing-selected", headline);
            return Err(vec![nothing.with_help("name more with --keyword, another --side, or fewer shards")]);
        }
        self.module.check_sides(&selected, config).map_err(|diagnostic| vec![*diagnostic])?;
        if settings.module.is_builtin() {
            check_built_in(&selected).map_err(|diagnostic| vec![*diagnostic])?;
        }
        if settings.module == ModuleSource::Attached && choice == Some(ReleaseChoice::All) {
            check_attached(&selected).map_err(|diagnostic| vec![*diagnostic])?;
        }
        Ok(Selection { scenarios: selected, elsewhere, part })
    }

    /// The releases that somebody wants: the flags, or else `khumbu.yaml`.
    ///
    /// # Errors
    /// `usage/bad-topic`.
    pub fn release(&self, config: &Config) -> Result<Option<ReleaseChoice>, Vec<Diagnostic>> {
        let version = self.module.topics.api_version.as_deref();
        let choice = match ReleaseChoice::of(self.release, version) {
            Ok(None) => ReleaseChoice::of(config.release, version.or(config.api_version.as_deref())),
            of_flags => of_flags,
        };
        choice.map_err(|diagnostic| vec![*diagnostic])
    }

    /// The releases under which a scenario is played.
    pub fn releases(choice: Option<ReleaseChoice>, scenario: &Scenario, settings: &Settings) -> Vec<Release> {
        match choice {
            Some(choice) => choice.releases(&settings.topics.api_version),
            None => vec![scenario.release_unasked()],
        }
    }

    /// Opens the recordings of these pieces, and says how many are played at once, if that is not what was asked for.
    /// The paths are looked at by `before`, the last thing that may still go wrong.
    ///
    /// # Errors
    /// What cannot be recorded.
    pub fn record<T>(
        &self,
        pieces: &mut [Piece],
        settings: &Settings,
        before: impl FnOnce() -> Result<T, Vec<Diagnostic>>,
    ) -> Result<(T, Vec<Arc<RecordingFile>>), Vec<Diagnostic>> {
        let paths = match &self.record {
            Some(path) => recorder::paths(path, pieces).map_err(|diagnostic| vec![*diagnostic])?,
            None => Vec::new(),
        };
        if let (Some(jobs @ 2..), Some(why)) = (self.jobs, runner::one_at_a_time(settings)) {
            let headline = format!("scenarios are played one at a time, whatever `-j {jobs}` says: {why}");
            print::diagnostics(&[Diagnostic::new(Severity::Note, "run/one-at-a-time", headline)]);
        }
        // Last, so that a run that does not begin leaves old reports as they are.
        let opened = before()?;
        let recordings = recorder::open(paths, pieces, &settings.topics).map_err(|diagnostic| vec![*diagnostic])?;
        Ok((opened, recordings))
    }
}

/// Of an API of which only a document is known, there is no module here.
fn check_built_in(selected: &[Scenario]) -> Result<(), Box<Diagnostic>> {
    let Some(scenario) = selected.iter().find(|scenario| !scenario.model.api.behaviour().is_known()) else {
        return Ok(());
    };
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

/// Opens every report before the first scenario, so that a bad path fails at once.
///
/// # Errors
/// `usage/same-report`, `usage/unwritable-report`.
pub fn open_reports<F>(wanted: impl IntoIterator<Item = (F, PathBuf)>) -> Result<Vec<(F, Output)>, Vec<Diagnostic>> {
    let mut reports: Vec<(F, Output)> = Vec::new();
    let mut paths: Vec<PathBuf> = Vec::new();
    for (form, path) in wanted {
        if paths.contains(&path) {
            let to = if path == Path::new("-") { "standard output" } else { "the same file" };
            let headline = format!("two reports cannot go to {to}");
            return Err(vec![Diagnostic::new(Severity::Error, "usage/same-report", headline)]);
        }
        paths.push(path);
        reports.push((form, Output::Stdout));
    }
    for ((_, output), path) in reports.iter_mut().zip(paths) {
        *output = Output::open(&path).map_err(|diagnostic| vec![*diagnostic])?;
    }
    Ok(reports)
}

/// Has something played to its end, or until the user interrupts; whether he did.
///
/// # Errors
/// When it cannot begin; said on standard error.
pub fn perform<T, F: Future<Output = T>>(play: impl FnOnce(watch::Receiver<bool>) -> F) -> Result<(T, bool), Exit> {
    let runtime = playing_runtime()?;
    let played = runtime.block_on(async {
        let interrupt = signals::interrupt();
        let played = play(interrupt.clone()).await;
        (played, *interrupt.borrow())
    });
    signals::give_way();
    runtime.shutdown_background();
    Ok(played)
}

/// How pieces are played.
#[derive(Clone)]
pub struct Playing {
    /// The settings of the run.
    pub settings: Settings,
    /// What was learnt of the module so far.
    pub experience: Arc<Experience>,
    /// What is known to fail, and so is not played again.
    pub known: Vec<KnownFailure>,
    /// How often what does not pass is played again.
    pub retries: u8,
    /// How often everything is played at least.
    pub repeat: u8,
    /// Whether nothing more begins when something has failed.
    pub fails_fast: bool,
    /// Where results for people go.
    pub say: fn(&str),
    /// Whether the user wants it to end.
    pub interrupt: watch::Receiver<bool>,
}

impl Playing {
    /// Plays pieces, those that do not pass again, and shows how far it is.
    pub async fn play(&self, pieces: Vec<Piece>) -> Vec<Arc<ScenarioResult>> {
        let spare: Vec<_> = pieces.iter().map(unrecorded).collect();
        let mut plays: Vec<_> = self.once(pieces).await.into_iter().map(|result| vec![result]).collect();
        let has_judged = |plays: &Vec<Arc<ScenarioResult>>| matches!(plays[0].verdict, Verdict::Pass | Verdict::Fail);
        // A module that nothing could judge will not be judged by more of the same.
        let is_all = plays.len() == spare.len() && plays.iter().any(has_judged);
        let (least, is_repeat) = (self.repeat.saturating_sub(1), self.repeat > 1);
        let rounds = if is_repeat {
            least
        } else if is_all {
            self.retries
        } else {
            0
        };
        for round in 1..=rounds {
            let again = plays.iter().zip(&spare).filter(|(plays, _)| is_repeat || self.wants_another(plays));
            let pieces: Vec<_> = again.map(|(_, piece)| unrecorded(piece)).collect();
            let has_failed = || plays.iter().flatten().any(|result| self.is_failure(result));
            if pieces.is_empty() || *self.interrupt.borrow() {
                break;
            }
            if self.fails_fast && has_failed() {
                (self.say)(&format!(
                    "\nended at the first failure, as `--fail-fast` says: {round} of {} rounds played\n",
                    rounds + 1
                ));
                break;
            }
            (self.say)(&match is_repeat {
                true => format!("\nround {} of {}:\n", round + 1, rounds + 1),
                false => format!("again, {round} of at most {rounds} times:\n"),
            });
            for result in self.once(pieces).await {
                if let Some(plays) = plays.iter_mut().find(|plays| is_same(&plays[0], &result)) {
                    plays.push(result);
                }
            }
        }
        plays.into_iter().filter_map(|plays| report::together(plays, is_repeat)).collect()
    }

    /// What is known to fail is no news.
    fn wants_another(&self, plays: &[Arc<ScenarioResult>]) -> bool {
        plays.last().is_some_and(|last| report::is_worth_another(&report::excuse(last, &self.known, today())))
    }

    async fn once(&self, pieces: Vec<Piece>) -> Vec<Arc<ScenarioResult>> {
        let (events, received) = mpsc::unbounded_channel();
        let shown = tokio::spawn(progress::show(received, self.known.clone(), today(), self.say));
        let (settings, interrupt) = (self.settings.clone(), self.interrupt.clone());
        let is_enough = |result: &Arc<ScenarioResult>| self.fails_fast && self.is_failure(result);
        let results = runner::run_on(pieces, (settings, self.experience.clone()), events, interrupt, is_enough).await;
        // The display ends with the last event.
        let _ = shown.await;
        results
    }

    fn is_failure(&self, result: &Arc<ScenarioResult>) -> bool {
        matches!(report::excuse(result, &self.known, today()).verdict, Verdict::Fail | Verdict::Error)
    }
}

/// The same piece, for another play: what is recorded is the first.
fn unrecorded(piece: &Piece) -> Piece {
    let (golden, replay, fault) = (piece.golden.clone(), piece.replay.clone(), piece.fault.clone());
    let mut again = Piece::new(piece.scenario.clone(), piece.release);
    (again.golden, again.replay, again.fault) = (golden, replay, fault);
    again
}

/// Whether two results are of the same piece.
fn is_same(one: &ScenarioResult, other: &ScenarioResult) -> bool {
    (&one.path, one.release, &one.faults) == (&other.path, other.release, &other.faults)
}

/// The command line of this process without its reports, and without these options and switches.
pub fn command_without(options: &[&str], switches: &[&str]) -> String {
    shell_words::join(["khumbu".to_owned()].into_iter().chain(without(std::env::args().skip(1), options, switches)))
}

/// Arguments without those that only report or play again, and without these options, which have a value each, and switches.
pub fn without(mut arguments: impl Iterator<Item = String>, options: &[&str], switches: &[&str]) -> Vec<String> {
    const REPORTS: [&str; 12] = [
        "--report",
        "--html",
        "--json",
        "--junit",
        "--tap",
        "--code-quality",
        "--record",
        "--annotations",
        "--retries",
        "--repeat",
        "--flaky",
        "--slowest",
    ];
    let mut words = Vec::new();
    while let Some(word) = arguments.next() {
        let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
        // `-j16`
        let is_attached = |option: &&str| option.len() == 2 && word.len() > 2 && word.starts_with(*option);
        if !word.starts_with("--") && options.iter().any(is_attached) {
            continue;
        }
        match REPORTS.contains(&name) || options.contains(&name) {
            true if name == word => drop(arguments.next()),
            true => {}
            false if switches.contains(&word.as_str()) => {}
            false => words.push(word),
        }
    }
    words
}

/// How a report comes about: now, after so long, by this command line.
pub fn made(took: Duration) -> Made {
    let command = shell_words::join(["khumbu".to_owned()].into_iter().chain(std::env::args().skip(1)));
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    Made { command, at: now(), took, host }
}

/// Whether somebody watches.
pub fn is_watched() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("CI").is_none()
}

/// The events that a display cares for.
pub type Events = mpsc::UnboundedReceiver<RunEvent>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_chooses_or_reports_is_left_out() {
        let words =
            "conform --side client --only TV-15 --json=x --strict -k a --module 'sh -c \"a b\"' --report r.html -j 2";
        let words = shell_words::split(words).unwrap_or_default().into_iter();
        let left = without(words, &["--only", "-k"], &["--strict"]);
        assert_eq!(shell_words::join(left), "conform --side client --module 'sh -c \"a b\"' -j 2");
    }
}

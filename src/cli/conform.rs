//! `khumbu conform`: judges a module by the suite that is in the binary, requirement by requirement.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::config::{Config, today};
use super::matrix_reports::{Reports, report_file};
use super::module_flags::{api, side};
use super::output::Output;
use super::playing::{Flaky, PlayFlags, Playing, Selection, command_without, made, perform};
use super::recorder::RecordingFile;
use super::release::forecast;
use super::sweep::{Play, Sweep, sweep};
use super::{Exit, faults, print};
use crate::conformance::occasions;
use crate::conformance::requirements::{self, Requirement};
use crate::diagnostic::{Diagnostic, Severity};
use crate::gateway;
use crate::protocol::channel::ApiType;
use crate::protocol::release::Release;
use crate::protocol::side::Side;
use crate::report::{self, KnownFailure};
use crate::runner::{ModuleSource, Piece, Settings};
use crate::scenario::{self, Known, Scenario};
use crate::suite::{self, Scope};
use crate::verdict::{ScenarioResult, Verdict};

/// Judges a module by the scenarios that are in the binary, requirement by requirement.
///
/// Ends with 0 if nothing is broken, 1 if something is, 2 for wrong usage, and 3 if the module could not be judged, in a
/// scenario in which it was never ready or at all, or if khumbu is at fault.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::CONFORM)]
pub struct Arguments {
    /// The side on which the module stands
    #[arg(long, value_name = "client|everest", value_parser = side, required_unless_present_any = ["list", "extract"])]
    side: Option<Side>,
    /// The API whose client the module is, or that an EVerest serves; may be repeated [default: auth_consumer of a client,
    /// all of an EVerest and of what is built in]
    #[arg(long, value_name = "NAME", value_parser = api)]
    api: Vec<ApiType>,
    /// Only this requirement; may be repeated
    #[arg(long, value_name = "ID", value_parser = requirement)]
    only: Vec<&'static Requirement>,
    #[command(flatten)]
    play: PlayFlags,
    /// What was not put to the test ends khumbu with 3
    #[arg(long)]
    strict: bool,
    /// Write a report for people: a page that stands alone if FILE ends in `.html`, Markdown if in `.md`; may be repeated
    #[arg(long, value_name = "FILE", value_parser = report_file)]
    report: Vec<PathBuf>,
    /// Instead of the suite, play scenarios that demand nothing of the module (`scenarios/plays`): each first without a fault, and
    /// then under every fault on the wire that its requirements say a module survives, such as a lost connection
    #[arg(long, conflicts_with_all = ["fault", "record"])]
    sweep: bool,
    /// Print the requirements, and play nothing; with `--sweep`, faults and plays; `--json` prints them for machines
    #[arg(long)]
    list: bool,
    /// With `--list`: print all requirements as a page of Markdown
    #[arg(long, requires = "list", conflicts_with_all = ["sweep", "json", "side", "api", "only"])]
    markdown: bool,
    /// Write the scenarios of the suite into this directory, and play nothing; other files there stay as they are
    #[arg(long, value_name = "DIR", conflicts_with = "list")]
    extract: Option<PathBuf>,
}

fn requirement(id: &str) -> Result<&'static Requirement, String> {
    requirements::find(id).ok_or_else(|| match scenario::suggestion(id, requirements::ids()) {
        Some(near) => format!("there is no such requirement; did you mean {near}?"),
        None => "there is no such requirement; `khumbu conform --list` has them all".to_owned(),
    })
}

/// Lists, extracts, or judges.
pub fn run(arguments: Arguments) -> Exit {
    match (&arguments.extract, arguments.side) {
        (Some(directory), _) => extract(directory),
        (None, Some(Side::Everest)) if arguments.sweep => print::refused(vec![unswept()]),
        (None, _) if arguments.list && arguments.sweep => list_sweep(&arguments).unwrap_or_else(print::refused),
        (None, _) if arguments.markdown => {
            print::out(&suite::list_markdown());
            Exit::Pass
        }
        (None, _) if arguments.list => list(&arguments),
        (None, Some(side)) => {
            prepare(&arguments, side).map_or_else(print::refused, |prepared| prepared.perform(&arguments))
        }
        (None, None) => Exit::Usage,
    }
}

fn list(arguments: &Arguments) -> Exit {
    let is_wanted = |it: &&Requirement| {
        arguments.side.is_none_or(|side| it.binds.is_side(side))
            && (arguments.api.is_empty() || arguments.api.iter().any(|api| it.concerns(*api)))
            && (arguments.only.is_empty() || arguments.only.contains(it))
    };
    let wanted = || requirements::all().iter().filter(is_wanted);
    told(arguments, || suite::list(wanted()), || suite::list_json(wanted())).unwrap_or_else(print::refused)
}

/// Prints a list for people, or writes it for machines.
fn told(
    arguments: &Arguments,
    text: impl FnOnce() -> String,
    json: impl FnOnce() -> String,
) -> Result<Exit, Vec<Diagnostic>> {
    match &arguments.play.files.json {
        None => print::out(&text()),
        Some(path) => Output::open(path).map_err(|diagnostic| vec![*diagnostic])?.write(&json()),
    }
    Ok(Exit::Pass)
}

fn list_sweep(arguments: &Arguments) -> Result<Exit, Vec<Diagnostic>> {
    let is_wanted = |it: &Scenario| {
        suite::is_play(it)
            && arguments.side.is_none_or(|side| it.model.under_test == side)
            && (arguments.api.is_empty() || arguments.api.contains(&it.model.api))
    };
    let plays: Vec<_> = scenarios()?.into_iter().filter(is_wanted).collect();
    let only: Vec<_> = arguments.only.iter().map(|it| it.id).collect();
    // By API, as what befalls each message is another fault in each.
    let of = |api: ApiType| {
        suite::pairs(&plays, |it| &it.model, &only).into_iter().filter(move |it| it.play.model.api == api)
    };
    let pairs: Vec<_> = ApiType::AUTH_APIS.into_iter().flat_map(of).collect();
    told(arguments, || suite::sweep_list(&pairs), || suite::sweep_list_json(&pairs))
}

/// Writes the files of the suite. One that is there already and says something else stops it before anything is written.
fn extract(directory: &Path) -> Exit {
    let target = |file: &suite::File| {
        let below = Path::new(file.path);
        directory.join(below.strip_prefix(suite::ROOT).unwrap_or(below))
    };
    let differs = |file: &&suite::File| match fs::read(target(file)) {
        Ok(there) => there != file.text.as_bytes(),
        Err(error) => error.kind() != ErrorKind::NotFound,
    };
    if let Some(file) = suite::FILES.iter().find(differs) {
        let headline = format!("`{}` is there already, and is another file", target(file).display());
        let diagnostic = Diagnostic::new(Severity::Error, "usage/other-file", headline);
        return print::refused(vec![diagnostic.with_help("name a directory that is empty or not there yet")]);
    }
    for file in suite::FILES {
        let path = target(file);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut opened) => opened.write_all(file.text.as_bytes()),
                // It says the same.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                Err(error) => Err(error),
            }
        });
        if let Err(error) = written {
            let headline = format!("`{}` cannot be written: {error}", path.display());
            print::diagnostics(&[Diagnostic::new(Severity::Error, "file/unwritable", headline)]);
            return Exit::Error;
        }
    }
    print::out(&format!("{} in {}\n", print::count(suite::FILES.len(), "scenario"), directory.display()));
    Exit::Pass
}

/// Everything that can be known to be wrong is known before the first scenario starts.
struct Prepared {
    pieces: Vec<Piece>,
    settings: Settings,
    known_failures: Vec<KnownFailure>,
    scope: Scope,
    /// Whether somebody said which release is played.
    is_release_chosen: bool,
    reports: Reports,
    recordings: Vec<Arc<RecordingFile>>,
}

fn prepare(arguments: &Arguments, side: Side) -> Result<Prepared, Vec<Diagnostic>> {
    let flags = &arguments.play;
    let config = Config::load(flags.module.topics.config.as_deref())?;
    let settings = Settings { sees_reading: side == Side::Client, ..flags.settings(&config)? };
    if let Some(other) = arguments.only.iter().find(|requirement| !requirement.binds.is_side(side)) {
        let headline = format!("{} does not bind this side: {}", other.id, other.statement);
        return Err(vec![Diagnostic::new(Severity::Error, "usage/other-side", headline)]);
    }
    let apis = match (arguments.api.as_slice(), side) {
        ([], Side::Client) if let Some(api) = config.module.api => vec![api],
        ([], Side::Client) if !settings.module.is_builtin() => {
            print::diagnostics(&[assumed()]);
            vec![ApiType::AUTH_CONSUMER]
        }
        ([], _) => ApiType::AUTH_APIS.to_vec(),
        (apis, _) => apis.to_vec(),
    };
    let scenarios = scenarios()?;
    let known_failures = config.known_failures(&scenarios);
    // What is watched everywhere can be judged by any scenario.
    let is_anywhere = arguments.only.iter().any(|it| occasions::is_watched(it.id, side));
    let names = |scenario: &Scenario, is_it: &dyn Fn(&Requirement) -> bool| {
        scenario.model.requirements.iter().filter_map(|id| requirements::find(id)).any(is_it)
    };
    let choice = flags.release(&config)?;
    // Nobody has told a client that there are other topics than those of its EVerest.
    let has_its_topics = |scenario: &Scenario| {
        let own = scenario.release_unasked().own_api_version();
        choice.is_some() || side == Side::Everest || own.is_none_or(|own| own == settings.topics.api_version)
    };
    let is_wanted = |scenario: &Scenario| {
        let is_of_api = match side {
            Side::Client => apis.contains(&scenario.model.api),
            Side::Everest => names(scenario, &|it| apis.iter().any(|api| it.concerns(*api))),
        };
        let is_about = arguments.only.is_empty() || is_anywhere || names(scenario, &|it| arguments.only.contains(&it));
        let is_about = match arguments.sweep {
            // Which of them a requirement is about under a fault, the faults say.
            true => suite::is_play(scenario),
            false => is_about,
        };
        scenario.model.under_test == side && is_of_api && is_about && has_its_topics(scenario)
    };
    let Selection { scenarios: selected, mut elsewhere, mut part } =
        flags.select(scenarios, is_wanted, (&config, &settings), &known_failures)?;
    part.sweep = arguments.sweep;
    if !part.is_whole() {
        elsewhere.extend(occasions::watched(side));
    }
    let pieces = selected.into_iter().map(Arc::new).flat_map(|scenario| {
        let releases = PlayFlags::releases(choice, &scenario, &settings);
        releases.into_iter().map(move |release| Piece::new(scenario.clone(), release))
    });
    let fault = faults::over(&flags.fault, &settings)?;
    let laid = |piece: Piece| match &fault {
        Some(fault) => piece.under(fault.clone()),
        None => piece,
    };
    let mut pieces: Vec<_> = pieces.map(laid).collect();
    let open = || Reports::open(&flags.files, &arguments.report);
    let (reports, recordings) = flags.record(&mut pieces, &settings, open)?;
    let scope = Scope {
        side,
        apis,
        only: arguments.only.iter().map(|it| it.id).collect(),
        is_partial: arguments.sweep || fault.is_some() || flags.keyword.is_some(),
        part,
        elsewhere,
        command: command_without(
            &["--only", "--shard", "--keyword", "-k", "--fault", "--jobs", "-j"],
            &["--strict", "--sweep"],
        ),
    };
    let is_release_chosen = choice.is_some();
    Ok(Prepared { pieces, settings, known_failures, scope, is_release_chosen, reports, recordings })
}

/// That no play is laid under faults on EVerest's side.
fn unswept() -> Diagnostic {
    let headline = "`--sweep` is for clients: no requirement says which faults on the wire an EVerest survives";
    let diagnostic = Diagnostic::new(Severity::Error, "usage/other-side", headline);
    diagnostic.with_help("lay a fault of your choice over the suite: `--fault STEP`")
}

/// That nobody said what the module is a client of.
fn assumed() -> Diagnostic {
    let headline = "no `--api` is given, so the module is judged as a client of `auth_consumer`, such as a display";
    Diagnostic::new(Severity::Note, "run/api-assumed", headline).with_help(
        "`--api auth_token_provider` judges what hands in tokens, `--api auth_token_validator` what validates them",
    )
}

/// The scenarios of the suite.
///
/// # Errors
/// What is wrong with them, which the tests of khumbu rule out.
fn scenarios() -> Result<Vec<Scenario>, Vec<Diagnostic>> {
    let ids: Vec<_> = requirements::ids().collect();
    let known = Known { requirements: &ids, answers: Some(gateway::answer_schema) };
    suite::FILES.iter().map(|file| scenario::parse(file.path, file.text, known)).collect()
}

impl Prepared {
    fn perform(self, arguments: &Arguments) -> Exit {
        let started = Instant::now();
        print::diagnostics(self.pieces.iter().find_map(|piece| forecast(piece.release)).as_slice());
        let Self { pieces, settings, known_failures, scope, is_release_chosen, reports, recordings } = self;
        let say = reports.beside();
        let (known, retries) = (known_failures.clone(), arguments.play.retries);
        let only = scope.only.clone();
        let played = perform(|interrupt| async move {
            let experience = Arc::default();
            let playing =
                Playing { settings, experience, known, retries, repeat: 1, fails_fast: false, say, interrupt };
            match arguments.sweep {
                true => sweep_all(pieces, &only, &playing).await,
                false => Ok(play_all(pieces, &playing).await),
            }
        });
        let (results, is_interrupted) = match played {
            Ok((Ok(results), is_interrupted)) => (results, is_interrupted),
            Ok((Err(diagnostics), _)) => return print::refused(diagnostics),
            Err(exit) => return exit,
        };
        let is_whole = scope.only.is_empty() && !scope.is_partial && scope.part.is_whole() && !is_interrupted;
        let results = if is_release_chosen { results } else { results.into_iter().map(without_release).collect() };
        let alone = results;
        let results = suite::settle(alone.clone());
        // What is known to fail was shown as such.
        let excused = |it: &[Arc<ScenarioResult>]| {
            it.iter().map(|result| report::excuse(result, &known_failures, today())).collect::<Vec<_>>()
        };
        let releases = results.iter().map(|result| result.release).collect::<BTreeSet<_>>();
        say(&suite::settled_otherwise(&excused(&alone), &excused(&results), releases.len() > 1, print::style()));
        let mut results = report::excuse_all(&results, &known_failures, today(), is_whole);
        if arguments.play.flaky == Flaky::Pass {
            report::let_flaky_pass(&mut results);
        }
        let duration = started.elapsed();
        let matrix = suite::matrix(&results, &scope, is_interrupted);
        let code = suite::exit_code(&matrix, arguments.strict);
        say(&suite::text(&matrix, duration, print::screen()));
        if let Some(annotations) = arguments.play.annotations {
            say(&annotations.text(|locate| suite::annotations(&matrix, locate)));
        }
        for recording in recordings {
            recording.finish();
        }
        reports.write(&matrix, &results, code, &made(duration));
        Exit::from(code)
    }
}

/// A result without what is odd only in the release that was played: nobody has told the module of one that is over.
fn without_release(result: Arc<ScenarioResult>) -> Arc<ScenarioResult> {
    let is_odd = |found: &Diagnostic| found.severity == Severity::Warning && found.id == "monitor/unknown-topic";
    if result.release == Release::default() || !result.findings.iter().any(is_odd) {
        return result;
    }
    let mut result = ScenarioResult::clone(&result);
    result.findings.retain(|found| !is_odd(found));
    Arc::new(result)
}

/// Plays first what demands nothing of the module that it would have to be told: that shows whether it can be told
/// anything. What it then would have to be told in vain is not started.
async fn play_all(pieces: Vec<Piece>, playing: &Playing) -> Vec<Arc<ScenarioResult>> {
    let settings = &playing.settings;
    let planned = planned(&pieces);
    let can_be_told = matches!(settings.module, ModuleSource::Builtin(_)) || settings.station.is_some();
    let (mut first, mut rest): (Vec<_>, Vec<_>) =
        pieces.into_iter().partition(|piece| can_be_told || untold(piece, settings).is_empty());
    if first.is_empty() {
        // Somebody has to go ahead and see.
        first.extend((!rest.is_empty()).then(|| rest.remove(0)));
    }
    // What has most steps begins first, so that nothing long is left for the end.
    let length = |piece: &Piece| piece.scenario.rows(piece.scenario.model.frame(), piece.release).len();
    first.sort_by_key(|piece| Reverse(length(piece)));
    let mut results = playing.play(first).await;
    if !rest.is_empty() && !*playing.interrupt.borrow() {
        if results.iter().any(|result| result.hears_orders) {
            results.extend(playing.play(rest).await);
        } else {
            let why = why_nothing_was_judged(&results);
            let not_started = |piece: &Piece| match &why {
                Some(why) => piece.unplayed(why.clone()),
                None => not_told(piece, settings),
            };
            results.extend(rest.iter().map(not_started).map(Arc::new));
        }
    }
    if *playing.interrupt.borrow() {
        suite::fill_up(&mut results, planned);
    }
    results.sort_by(|a, b| (&a.path, a.release).cmp(&(&b.path, b.release)));
    results
}

/// The results of these pieces, should the run be interrupted before it comes to them.
fn planned(pieces: &[Piece]) -> Vec<ScenarioResult> {
    pieces.iter().map(|piece| piece.unplayed(suite::not_played())).collect()
}

/// Plays first the plays without a fault, then under the faults.
async fn sweep_all(
    pieces: Vec<Piece>,
    only: &[&'static str],
    playing: &Playing,
) -> Result<Vec<Arc<ScenarioResult>>, Vec<Diagnostic>> {
    let plays: Vec<_> = pieces.iter().map(Play::of).collect();
    let mut results = play_all(pieces, playing).await;
    let Sweep { pieces, unplayed } = sweep(&plays, &results, only, &playing.settings)?;
    results.extend(unplayed);
    let planned = planned(&pieces);
    if !*playing.interrupt.borrow() {
        results.extend(playing.play(pieces).await);
    }
    if *playing.interrupt.borrow() {
        suite::fill_up(&mut results, planned);
    }
    Ok(results)
}

/// What a module would have to be told that has no binding for it.
fn untold(piece: &Piece, settings: &Settings) -> BTreeSet<&'static str> {
    let scenario = &piece.scenario;
    let rows = scenario.rows(scenario.model.frame(), piece.release);
    rows.iter().filter_map(|(_, row)| row.follows).filter(|name| !settings.bindings.contains_key(*name)).collect()
}

/// What kept every one of these scenarios from judging the module, where none has.
fn why_nothing_was_judged(results: &[Arc<ScenarioResult>]) -> Option<Diagnostic> {
    if results.iter().any(|result| matches!(result.verdict, Verdict::Pass | Verdict::Fail)) {
        return None;
    }
    let mut findings = results.iter().flat_map(|result| &result.findings);
    findings.find(|finding| finding.severity == Severity::Inconclusive && !finding.is_unexercised).cloned()
}

/// The result of a scenario that a module without ears would be told in vain.
fn not_told(piece: &Piece, settings: &Settings) -> ScenarioResult {
    let names: Vec<_> = untold(piece, settings).into_iter().map(|name| format!("`{name}`")).collect();
    let id = &settings.topics.module_id;
    let headline = format!("module `{id}` cannot be told to {}, so the scenario was not started", names.join(", "));
    let help = format!(
        "bindings for {} in khumbu.yaml (`module: {{bindings: …}}`), or a module that listens to `khumbu/{id}/do`",
        names.join(", ")
    );
    let why = Diagnostic::new(Severity::Inconclusive, "module/not-drivable", headline);
    piece.unplayed(why.at(piece.scenario.place("/steps")).unexercised(help))
}

//! Plays the scenarios of the suite against every deliberate fault of the built-in modules, driven and undriven, and prints the
//! kill table. `ci/mutants` starts it.
//!
//! `mutants [-j N] [NAME…]`: of the faults whose names contain one of these texts, or of all; so many at once. A fault is
//! killed by a failure that names the requirement that it breaks. The scenarios that cover the requirement are played first,
//! the others only if none of these has killed it.
//!
//! Driven, a module is told what to do. Undriven, it takes no orders and acts of its own accord, as a module does that knows
//! nothing of khumbu; it is shown what demands nothing of it. What nobody makes it do cannot be seen then: killed is what is
//! killed driven, and the undriven column says what is left of that.
//!
//! `--fuzz` has `khumbu fuzz` look for each instead, 60 s each, with one seed; it closes with `found N of M`.
//!
//! Exit code 1 if a fault survives, or if a scenario fails with no fault: such a test tests nothing.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot be made has nothing to say"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use khumbu::cli::files;
use khumbu::conformance::requirements;
use khumbu::diagnostic::{Diagnostic, Severity};
use khumbu::protocol::channel::{ApiType, Topics};
use khumbu::protocol::side::Side;
use khumbu::runner::{self, ModuleSource, Piece, Settings};
use khumbu::scenario::Scenario;
use khumbu::sim::bugs::{self, Bug};
use khumbu::suite;
use khumbu::verdict::ScenarioResult;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// How many faults are played at once: most of the time each of them waits.
const AT_ONCE: usize = 4;
/// How many scenarios of each.
const JOBS: usize = 16;
/// An EVerest with an external prefix shows more than one without.
const PREFIX: &str = "site/";

type Scenarios = Vec<Arc<Scenario>>;

/// A fault at work, driven or not.
type Source = fn(Option<&'static Bug>) -> ModuleSource;

/// What became of a fault in one mode.
#[derive(Default)]
struct Fate {
    /// By which scenario it was killed, and with which id.
    killed: Option<(String, &'static str)>,
    /// What failed besides: ids, each with the requirement that it names.
    other: BTreeSet<(&'static str, Option<&'static str>)>,
    /// Whether the module ever came to where it could have broken the requirement.
    is_exercised: bool,
    /// What would have exercised it.
    missing: Option<String>,
    played: usize,
}

/// What became of it in both.
struct Row {
    bug: &'static Bug,
    driven: Fate,
    undriven: Fate,
}

/// The scenarios that have failed with any fault, by path.
type Failed = Arc<Mutex<BTreeSet<String>>>;

fn main() -> ExitCode {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    let is_fuzzed = names.iter().any(|name| name == "--fuzz");
    names.retain(|name| name != "--fuzz");
    let mut at_once = if is_fuzzed { campaigns_at_once() } else { AT_ONCE };
    if let Some(at) = names.iter().position(|name| name == "-j") {
        at_once = names[at + 1].parse().unwrap();
        names.drain(at..at + 2);
    }
    let wanted: Vec<_> =
        bugs::all().filter(|bug| names.is_empty() || names.iter().any(|name| bug.name.contains(name))).collect();
    if is_fuzzed {
        // What holds for a forecast alone is no fault of today's.
        let is_of_today = |bug: &&Bug| requirements::find(bug.breaks).is_none_or(|it| it.from.is_none());
        let wanted: Vec<_> = wanted.into_iter().filter(is_of_today).collect();
        return fuzz_all(&wanted, at_once.max(1));
    }
    let known: Vec<_> = requirements::ids().collect();
    let paths: Vec<_> = suite::FILES.iter().map(|file| Path::new(file.path).to_owned()).collect();
    let Ok(scenarios) = files::load(&paths, &known) else { panic!("scenarios/ cannot be read: start it at the root") };
    let scenarios: Arc<Scenarios> = Arc::new(scenarios.into_iter().map(Arc::new).collect());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let began = Instant::now();
    let (rows, idle) = runtime.block_on(async {
        let failed = Failed::default();
        let rows = play_all(&wanted, &scenarios, at_once.max(1), &failed).await;
        let idle = if names.is_empty() { never_failing(&wanted, &scenarios, &failed).await } else { Vec::new() };
        (rows, idle)
    });
    print!("{}", table(&rows));
    let killed = |fate: fn(&Row) -> &Fate| rows.iter().filter(|row| fate(row).killed.is_some()).count();
    let (driven, undriven) = (killed(|row| &row.driven), killed(|row| &row.undriven));
    println!("\nundriven, {undriven} of them are killed too; the table says what keeps the others from showing");
    for path in &idle {
        println!("no fault makes {path} fail");
    }
    eprintln!("played in {:.0} s", began.elapsed().as_secs_f64());
    println!("killed {driven} of {}", rows.len());
    if driven == rows.len() && driven > 0 && idle.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A campaign keeps two cores busy.
fn campaigns_at_once() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

/// Has each fault looked for by `khumbu fuzz`, through every API that has it, and prints in how many inputs it was found.
fn fuzz_all(bugs: &[&'static Bug], at_once: usize) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let rows = runtime.block_on(async {
        let room = Arc::new(Semaphore::new(at_once));
        let mut looking = JoinSet::new();
        for (index, bug) in bugs.iter().copied().enumerate() {
            let room = room.clone();
            looking.spawn(async move {
                let _permit = room.acquire().await.unwrap();
                let found = look_for(bug).await;
                let what = match &found {
                    Some((requirement, inputs)) => format!("found: {requirement} by {inputs} inputs"),
                    None => "not found".to_owned(),
                };
                eprintln!("{:<8}{:<30}  {:<6}  {what}", bug.side.name(), bug.name, bug.breaks);
                (index, found)
            });
        }
        looking.join_all().await
    });
    let found = rows.iter().filter_map(|(_, found)| found.as_ref());
    let longest = found.clone().map(|(_, inputs)| *inputs).max().unwrap_or_default();
    let named = rows.iter().filter(|(index, found)| found.as_ref().is_some_and(|(id, _)| *id == bugs[*index].breaks));
    println!("{} name the requirement that is broken; the longest find has {longest} inputs", named.count());
    println!("found {} of {}", found.count(), rows.len());
    ExitCode::SUCCESS
}

/// The requirement that a find breaks, and its inputs.
async fn look_for(bug: &'static Bug) -> Option<(String, usize)> {
    let khumbu = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("khumbu");
    let module = format!("builtin:{}?bug={}", bug.side.name(), bug.name);
    let apis = if bug.side == Side::Everest { &[ApiType::AUTH_CONSUMER][..] } else { bug.apis };
    for api in apis {
        let mut command = tokio::process::Command::new(&khumbu);
        command.args(["fuzz", "--side", bug.side.name(), "--api", api.name(), "--module", &module]);
        command.args(["--seed", "1", "--for", "60s", "--finds", "1", "--json", "-"]);
        command.args(["--external-prefix", PREFIX]);
        let ran = command.stderr(std::process::Stdio::null()).output().await.unwrap();
        let report: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        let Some(find) = report["found"].as_array().and_then(|found| found.iter().find(|it| it["reproduced"] == 3))
        else {
            continue;
        };
        let requirement = find["requirement"].as_str().unwrap_or("no requirement").to_owned();
        return Some((requirement, find["inputs"].as_array().map_or(0, Vec::len)));
    }
    None
}

async fn play_all(bugs: &[&'static Bug], scenarios: &Arc<Scenarios>, at_once: usize, failed: &Failed) -> Vec<Row> {
    let room = Arc::new(Semaphore::new(at_once));
    let mut playing = JoinSet::new();
    for (index, bug) in bugs.iter().copied().enumerate() {
        let (room, scenarios, failed) = (room.clone(), scenarios.clone(), failed.clone());
        playing.spawn(async move {
            let _permit = room.acquire().await.unwrap();
            let shown: Scenarios = scenarios.iter().filter(|scenario| shows(bug, scenario)).cloned().collect();
            let driven = play(bug, ModuleSource::Builtin, shown.clone(), &failed).await;
            let demanding_nothing = shown.into_iter().filter(|scenario| is_untold(scenario)).collect();
            let undriven = play(bug, ModuleSource::Untold, demanding_nothing, &failed).await;
            let row = Row { bug, driven, undriven };
            eprint!("{}", line(&row, 0));
            (index, row)
        });
    }
    let rows: BTreeMap<usize, Row> = playing.join_all().await.into_iter().collect();
    rows.into_values().collect()
}

/// Whether a fault can show in a scenario.
fn shows(bug: &Bug, scenario: &Scenario) -> bool {
    scenario.model.under_test == bug.side && (bug.side == Side::Everest || bug.apis.contains(&scenario.model.api))
}

/// Whether nothing in a scenario has to be told to the module.
fn is_untold(scenario: &Scenario) -> bool {
    let rows = scenario.rows(scenario.model.frame(), scenario.release_unasked());
    rows.iter().all(|(_, row)| row.follows.is_none())
}

async fn play(bug: &'static Bug, source: Source, scenarios: Scenarios, failed: &Failed) -> Fate {
    let (mut fate, mut played) = (Fate::default(), Vec::new());
    let covers = |scenario: &Arc<Scenario>| scenario.model.requirements.iter().any(|id| id == bug.breaks);
    let (first, rest): (Scenarios, Scenarios) = scenarios.into_iter().partition(covers);
    for scenarios in [first, rest] {
        if fate.killed.is_some() {
            break;
        }
        // What one scenario shows may explain another one's failure, whenever it was played.
        played.extend(results(bug, source, scenarios).await);
        fate = Fate { played: played.len(), ..Fate::default() };
        for result in suite::settle(played.clone()) {
            judge(&mut fate, bug, &result);
            if failures(&result).next().is_some() {
                failed.lock().unwrap().insert(result.path.clone());
            }
        }
    }
    fate
}

/// The scenarios that fail with no fault whatever.
async fn never_failing(bugs: &[&'static Bug], scenarios: &Scenarios, failed: &Failed) -> Vec<String> {
    let open = |bug: Option<&Bug>| -> Scenarios {
        let failed = failed.lock().unwrap();
        let is_open = |scenario: &&Arc<Scenario>| {
            !failed.contains(&scenario.source.path) && bug.is_none_or(|bug| shows(bug, scenario))
        };
        scenarios.iter().filter(is_open).cloned().collect()
    };
    for bug in bugs {
        let open = open(Some(bug));
        if open.is_empty() {
            continue;
        }
        for result in results(bug, ModuleSource::Builtin, open).await {
            if failures(&result).next().is_some() {
                failed.lock().unwrap().insert(result.path.clone());
            }
        }
    }
    open(None).iter().map(|scenario| scenario.source.path.clone()).collect()
}

async fn results(bug: &'static Bug, source: Source, scenarios: Scenarios) -> Vec<Arc<ScenarioResult>> {
    let forecast = requirements::find(bug.breaks).and_then(|requirement| requirement.from);
    let piece = |scenario: Arc<Scenario>| {
        // What holds for a forecast alone is played under it.
        let release = forecast.unwrap_or_else(|| scenario.release());
        Piece::new(scenario, release)
    };
    let pieces = scenarios.into_iter().map(piece).collect();
    // Nobody listens, and nobody interrupts.
    let (events, _) = mpsc::unbounded_channel();
    let (_interrupt, interrupted) = watch::channel(false);
    runner::run(pieces, settings(source(Some(bug))), events, interrupted, |_| false).await
}

fn failures(result: &ScenarioResult) -> impl Iterator<Item = &Diagnostic> {
    result.findings.iter().filter(|found| found.severity == Severity::Fail)
}

fn judge(fate: &mut Fate, bug: &Bug, result: &ScenarioResult) {
    fate.is_exercised |= result.occasions.get(bug.breaks).is_some_and(|count| *count > 0);
    let unexercised = result.findings.iter().find(|found| found.is_unexercised);
    fate.missing = fate.missing.take().or(unexercised.map(|found| found.headline.clone()));
    for found in result.findings.iter().filter(|found| found.severity > Severity::Warning) {
        if found.severity != Severity::Fail || found.requirement != Some(bug.breaks) {
            fate.other.insert((found.id, found.requirement));
        } else if fate.killed.is_none() {
            let name = result.path.trim_start_matches("scenarios/").trim_end_matches(".yaml");
            fate.killed = Some((name.to_owned(), found.id));
        }
    }
}

fn settings(module: ModuleSource) -> Settings {
    let settings = Settings::new(module);
    let topics = Topics { external_prefix: PREFIX.to_owned(), ..settings.topics };
    Settings { topics, jobs: JOBS, ..settings }
}

/// What killed a fault, or what else came of it, with what else is named besides.
fn fate(fate: &Fate) -> String {
    let named = |(id, requirement): &(&str, Option<&str>)| format!("{id} {}", requirement.unwrap_or("-"));
    let other: Vec<_> = fate.other.iter().map(named).collect();
    let besides: BTreeSet<_> = fate.other.iter().filter_map(|(_, requirement)| *requirement).collect();
    match (&fate.killed, fate.is_exercised) {
        (Some((scenario, id)), _) if besides.is_empty() => format!("killed by {scenario} ({id})"),
        (Some((scenario, id)), _) => {
            let besides: Vec<_> = besides.into_iter().collect();
            format!("killed by {scenario} ({id}), named besides: {}", besides.join(" "))
        }
        (None, false) => {
            let missing = fate.missing.as_deref().unwrap_or("it does nothing that the requirement is about");
            format!("not exercised: {missing}")
        }
        (None, true) => format!("SURVIVED {} scenarios: {}", fate.played, other.join(", ")),
    }
}

/// A fault: its side, name and requirement, and what became of it driven and undriven.
fn line(row: &Row, width: usize) -> String {
    let Bug { name, breaks, side, .. } = row.bug;
    let (driven, undriven) = (fate(&row.driven), fate(&row.undriven));
    format!("{:<8}{name:<width$}  {breaks:<6}  driven: {driven}; undriven: {undriven}\n", side.name())
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.bug.name.len()).max().unwrap_or_default();
    rows.iter().map(|row| line(row, width)).collect()
}

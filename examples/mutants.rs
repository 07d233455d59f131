//! Plays the scenarios of the suite against every deliberate fault of the built-in modules, and prints the kill table.
//! `ci/mutants` starts it.
//!
//! `mutants [-j N] [NAME…]`: of the faults whose names contain one of these texts, or of all; so many at once. A fault is
//! killed by a failure that names the requirement that it breaks. The scenarios that cover the requirement are played first,
//! the others only if none of these has killed it. Exit code 1 if one survives.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot be made has nothing to say"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use khumbu::broker::PacketLimit;
use khumbu::cli::files;
use khumbu::conformance::requirements;
use khumbu::diagnostic::Severity;
use khumbu::protocol::channel::{ApiType, Topics};
use khumbu::protocol::side::Side;
use khumbu::protocol::wire::Wire;
use khumbu::runner::{self, ModuleSource, Piece, Settings};
use khumbu::scenario::Scenario;
use khumbu::sim::bugs::{self, Bug};
use khumbu::verdict::ScenarioResult;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// Where the scenarios are that are no transcripts: a golden names no requirement.
const FOLDERS: [&str; 4] = ["client", "provider", "validator", "everest"];
/// How many faults are played at once.
const AT_ONCE: usize = 4;
/// How many scenarios of each.
const JOBS: usize = 16;
/// An EVerest with an external prefix shows more than one without.
const PREFIX: &str = "site/";

/// What became of a fault.
struct Fate {
    bug: &'static Bug,
    /// By which scenario it was killed, and with which id.
    killed: Option<(String, &'static str)>,
    /// What failed besides: ids, each with the requirement that it names.
    other: BTreeSet<(&'static str, Option<&'static str>)>,
    played: usize,
}

fn main() -> ExitCode {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    let mut at_once = AT_ONCE;
    if let Some(at) = names.iter().position(|name| name == "-j") {
        at_once = names[at + 1].parse().unwrap();
        names.drain(at..at + 2);
    }
    let wanted: Vec<_> =
        bugs::all().filter(|bug| names.is_empty() || names.iter().any(|name| bug.name.contains(name))).collect();
    let paths: Vec<PathBuf> = FOLDERS.iter().map(|folder| Path::new("scenarios").join(folder)).collect();
    let known: Vec<_> = requirements::ids().collect();
    let Ok(scenarios) = files::load(&paths, &known) else { panic!("scenarios/ cannot be read: start it at the root") };
    let scenarios: Arc<Vec<Arc<Scenario>>> = Arc::new(scenarios.into_iter().map(Arc::new).collect());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let began = Instant::now();
    let fates = runtime.block_on(play_all(&wanted, scenarios, at_once.max(1)));
    print!("{}", table(&fates));
    let killed = fates.iter().filter(|fate| fate.killed.is_some()).count();
    eprintln!("played in {:.0} s", began.elapsed().as_secs_f64());
    println!("killed {killed} of {}", fates.len());
    if killed == fates.len() && killed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn play_all(bugs: &[&'static Bug], scenarios: Arc<Vec<Arc<Scenario>>>, at_once: usize) -> Vec<Fate> {
    let room = Arc::new(Semaphore::new(at_once));
    let mut playing = JoinSet::new();
    for (index, bug) in bugs.iter().copied().enumerate() {
        let (room, scenarios) = (room.clone(), scenarios.clone());
        playing.spawn(async move {
            let _permit = room.acquire().await.unwrap();
            let fate = play(bug, &scenarios).await;
            eprint!("{}", line(&fate, 0));
            (index, fate)
        });
    }
    let fates: BTreeMap<usize, Fate> = playing.join_all().await.into_iter().collect();
    fates.into_values().collect()
}

async fn play(bug: &'static Bug, scenarios: &[Arc<Scenario>]) -> Fate {
    let mut fate = Fate { bug, killed: None, other: BTreeSet::new(), played: 0 };
    let shows = |scenario: &&Arc<Scenario>| {
        scenario.model.under_test == bug.side && (bug.side == Side::Everest || bug.apis.contains(&scenario.model.api))
    };
    let covers = |scenario: &Arc<Scenario>| scenario.model.requirements.iter().any(|id| id == bug.breaks);
    let (first, rest): (Vec<_>, Vec<_>) = scenarios.iter().filter(shows).cloned().partition(covers);
    for scenarios in [first, rest] {
        if fate.killed.is_some() {
            break;
        }
        fate.played += scenarios.len();
        for result in results(bug, scenarios).await {
            judge(&mut fate, &result);
        }
    }
    fate
}

async fn results(bug: &'static Bug, scenarios: Vec<Arc<Scenario>>) -> Vec<Arc<ScenarioResult>> {
    let forecast = requirements::find(bug.breaks).and_then(|requirement| requirement.from);
    let piece = |scenario: Arc<Scenario>| {
        let release = forecast.unwrap_or_else(|| scenario.release_unasked());
        Piece { scenario, release, golden: None, recorder: None, replay: None, fault: None }
    };
    let pieces = scenarios.into_iter().map(piece).collect();
    // Nobody listens, and nobody interrupts.
    let (events, _) = mpsc::unbounded_channel();
    let (_interrupt, interrupted) = watch::channel(false);
    runner::run(pieces, settings(bug), events, interrupted).await
}

fn judge(fate: &mut Fate, result: &ScenarioResult) {
    for found in result.findings.iter().filter(|found| found.severity > Severity::Warning) {
        if found.severity != Severity::Fail || found.requirement != Some(fate.bug.breaks) {
            fate.other.insert((found.id, found.requirement));
        } else if fate.killed.is_none() {
            let name = result.path.trim_start_matches("scenarios/").trim_end_matches(".yaml");
            fate.killed = Some((name.to_owned(), found.id));
        }
    }
}

fn settings(bug: &'static Bug) -> Settings {
    Settings {
        module: ModuleSource::Builtin(Some(bug)),
        topics: Topics {
            api: ApiType::default(),
            external_prefix: PREFIX.to_owned(),
            api_version: "1".to_owned(),
            module_id: "auth_api".to_owned(),
        },
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        upstream: None,
        max_packet: PacketLimit::default(),
        ready: None,
        ready_within: Duration::from_secs(10),
        stop_within: Duration::from_secs(2),
        bindings: BTreeMap::new(),
        station: None,
        cannot: BTreeSet::new(),
        lacks: BTreeSet::new(),
        wire: Wire::Everest,
        is_updating_goldens: false,
        inside: None,
        jobs: JOBS,
    }
}

/// A fault: its side, name and requirement, and what killed it or what else came of it.
fn line(fate: &Fate, width: usize) -> String {
    let Bug { name, breaks, side, .. } = fate.bug;
    let end = match &fate.killed {
        Some((scenario, id)) => format!("killed by {scenario} ({id})"),
        None => {
            let named = |(id, requirement): &(&str, Option<&str>)| format!("{id} {}", requirement.unwrap_or("-"));
            let other: Vec<_> = fate.other.iter().map(named).collect();
            format!("SURVIVED {} scenarios: {}", fate.played, other.join(", "))
        }
    };
    format!("{:<8}{name:<width$}  {breaks:<6}  {end}\n", side.name())
}

fn table(fates: &[Fate]) -> String {
    let width = fates.iter().map(|fate| fate.bug.name.len()).max().unwrap_or_default();
    fates.iter().map(|fate| line(fate, width)).collect()
}

//! Plays scenarios against a module under test: one broker and one module each, several at once.
//!
//! What happens is told as a stream of [`RunEvent`]s; nothing is printed here, and no file is read or written.

mod aftermath;
mod applicable;
mod arriving;
mod awaited;
mod beacon;
mod beginning;
mod charge_point;
mod clock;
mod cuts;
mod drive;
mod ending;
mod experience;
mod explaining;
mod faults;
mod findings;
mod forecast;
mod fresh;
mod goldens;
mod http;
mod judging;
mod known;
mod lag;
mod last_passed;
mod last_words;
mod learnt;
mod lookout;
mod losses;
mod module;
mod near_topics;
mod observer;
mod other_clients;
mod other_settings;
mod passed;
mod patterns;
mod play;
mod played;
mod presence;
mod probe;
mod process;
mod races;
mod readiness;
mod reading;
mod replay;
mod requests;
mod reservation;
mod session;
mod settings;
mod stage;
mod steps;
mod stimulus;
mod stop;
mod tokens;
mod underway;
mod waits;
mod when;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::broker::{self, Broker, StartError};
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::protocol::release::Release;
use crate::scenario::Scenario;
use crate::transcript::record::Record;
use crate::verdict::{RunEvent, ScenarioResult, Verdict};
use arriving::Arriving;
use awaited::Awaited;
use lookout::Others;
use waits::{Room, Waits};

pub use arriving::{Message, Met, Outcome, TooMany};
pub use clock::Speed;
pub use experience::Experience;
pub use faults::Fault;
pub use last_passed::{HandedAtEnd, handed_at_end};
pub use observer::is_own;
pub use presence::asks_for_orders;
pub use process::{Process, kill_all_groups};
pub use replay::{Missing, Replay, Replayed, Requests};
pub use session::{Closed, Session, Wanted, keys, outcome};
pub use settings::{Binding, BoundPublish, ModuleSource, Settings};

/// A scenario to be played under a release, with its accepted golden.
pub struct Piece {
    /// The scenario. For a replay it has no steps that matter.
    pub scenario: Arc<Scenario>,
    /// The release.
    pub release: Release,
    /// The file of its accepted golden, if there is one.
    pub golden: Option<Arc<Source>>,
    /// Is shown everything that the front door of the broker sees of this scenario, as it happens.
    pub recorder: Option<Recorder>,
    /// The recording that is played instead of the scenario's steps.
    pub replay: Option<Arc<Replay>>,
    /// The fault that is laid over the scenario.
    pub fault: Option<Arc<Fault>>,
    /// Where steps come from that are played besides the scenario's own.
    arriving: Option<Arc<Arriving>>,
}

/// Takes records; must be quick.
pub type Recorder = Arc<dyn Fn(&Record) + Send + Sync>;

impl Piece {
    /// A scenario under a release, and nothing else.
    pub fn new(scenario: Arc<Scenario>, release: Release) -> Self {
        Self { scenario, release, golden: None, recorder: None, replay: None, fault: None, arriving: None }
    }

    /// The same with a fault laid over it: about the requirement that says that a module survives it, if one does, and
    /// no other, for the fault may have taken the occasion of those.
    pub fn under(mut self, fault: Arc<Fault>) -> Self {
        if let Some(requirement) = fault.requirement {
            Arc::make_mut(&mut self.scenario).model.requirements = vec![requirement.id.to_owned()];
        }
        self.fault = Some(fault);
        self
    }

    /// The result of a piece that is not played, and why.
    pub fn unplayed(&self, why: Diagnostic) -> ScenarioResult {
        ScenarioResult { verdict: Verdict::of(&why), findings: vec![why], ..self.to_result() }
    }

    /// A result that says what was played, and nothing yet of how it went.
    fn to_result(&self) -> ScenarioResult {
        ScenarioResult {
            path: self.scenario.source.path.clone(),
            description: self.scenario.model.description.clone(),
            requirements: self.scenario.model.requirements.clone(),
            release: self.release,
            faults: self.fault.as_ref().map(|fault| fault.texts.clone()).unwrap_or_default(),
            ..ScenarioResult::default()
        }
    }
}

/// Plays all pieces, and returns their results in the order of the pieces; those that had not begun when the user
/// interrupted have none.
pub async fn run(
    pieces: Vec<Piece>,
    settings: Settings,
    events: mpsc::UnboundedSender<RunEvent>,
    interrupt: watch::Receiver<bool>,
    is_enough: impl Fn(&Arc<ScenarioResult>) -> bool,
) -> Vec<Arc<ScenarioResult>> {
    run_on(pieces, (settings, Arc::default()), events, interrupt, is_enough).await
}

/// The same, where something is known of the module already.
pub async fn run_on(
    pieces: Vec<Piece>,
    (settings, experience): (Settings, Arc<Experience>),
    events: mpsc::UnboundedSender<RunEvent>,
    interrupt: watch::Receiver<bool>,
    is_enough: impl Fn(&Arc<ScenarioResult>) -> bool,
) -> Vec<Arc<ScenarioResult>> {
    let started = Instant::now();
    let settings = Arc::new(settings);
    let is_attached = settings.module == ModuleSource::Attached;
    let (jobs, meanwhile) = match one_at_a_time(&settings) {
        Some(_) => (1, 0),
        None => (settings.jobs.max(1), settings.jobs_meanwhile),
    };
    let room = Room::default();
    let mut makes_room = room.changes();
    // Nobody listening is in his right, here and below.
    let releases = pieces.iter().map(|piece| piece.release).collect::<BTreeSet<_>>().len();
    let _ = events.send(RunEvent::Started { scenarios: pieces.len(), releases, jobs });
    let pieces: Vec<Arc<Piece>> = pieces.into_iter().map(Arc::new).collect();
    let mut results = BTreeMap::new();
    let mut playing = JoinSet::new();
    let mut names = BTreeMap::new();
    let mut waiting = pieces.iter().cloned().enumerate();
    let (mut kept, mut is_over) = (None, false);
    loop {
        while playing.len() < jobs + room.waiting().min(meanwhile) && !is_over && !*interrupt.borrow() {
            let Some((index, piece)) = waiting.next() else { break };
            let path = piece.to_result().title().into_owned();
            let _ = events.send(RunEvent::ScenarioStarted { path: path.clone() });
            let awaited = Awaited::of(events.clone(), path);
            let (settings, interrupt, waits) = (settings.clone(), interrupt.clone(), Waits::new(room.clone()));
            // What a module does not do under a fault says nothing of the others.
            let experience = if piece.fault.is_some() { Arc::new(experience.apart()) } else { experience.clone() };
            let open = kept.take();
            let handle = playing.spawn(async move {
                (index, perform(&piece, &settings, open, interrupt, (awaited, waits, experience)).await)
            });
            names.insert(handle.id(), index);
        }
        let joined = tokio::select! {
            joined = playing.join_next_with_id() => joined,
            // It cannot fail: the sender is here.
            _ = makes_room.changed() => continue,
        };
        let Some(joined) = joined else { break };
        let (index, result) = match joined {
            Ok((_, (index, (result, open)))) => {
                match open {
                    Some(open) if is_attached => kept = Some(open),
                    Some(open) => open.broker.stop().await,
                    None => {}
                }
                (index, Arc::new(result))
            }
            Err(error) => {
                let index = names.get(&error.id()).copied().unwrap_or_default();
                let why = match error.try_into_panic() {
                    Ok(panic) => panic
                        .downcast_ref::<String>()
                        .cloned()
                        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                        .unwrap_or_else(|| "no message".to_owned()),
                    Err(error) => error.to_string(),
                };
                (index, play::panicked(&pieces[index], &why))
            }
        };
        is_over |= is_enough(&result);
        let _ = events.send(RunEvent::ScenarioFinished(result.clone()));
        results.insert(index, result);
    }
    if let Some(open) = kept {
        open.broker.stop().await;
    }
    if *interrupt.borrow() {
        let _ = events.send(RunEvent::Interrupted);
    }
    let _ = events.send(RunEvent::Finished { duration: started.elapsed() });
    results.into_values().collect()
}

/// Why scenarios are played one at a time, however many are wanted at once; `None` where they need not be.
pub fn one_at_a_time(settings: &Settings) -> Option<String> {
    match settings {
        Settings { module: ModuleSource::Attached, .. } => Some("the module that runs plays one at a time".to_owned()),
        Settings { upstream: Some(upstream), .. } => {
            Some(format!("on the broker `{upstream}` they would hear each other"))
        }
        Settings { listen, .. } if listen.port() != 0 => Some(format!("the port {} is one broker's", listen.port())),
        _ => None,
    }
}

async fn perform(
    piece: &Piece,
    settings: &Settings,
    open: Option<play::OpenBroker>,
    interrupt: watch::Receiver<bool>,
    others: Others,
) -> (ScenarioResult, Option<play::OpenBroker>) {
    let open = match open {
        Some(open) => open,
        None => match open_broker(settings).await {
            Ok(open) => open,
            Err(error) => return (no_broker(piece, &error), None),
        },
    };
    play::play(piece, settings, open, interrupt, others).await
}

async fn open_broker(settings: &Settings) -> Result<play::OpenBroker, StartError> {
    let (sender, records) = mpsc::unbounded_channel();
    let config = broker::Config {
        listen: settings.listen,
        upstream: settings.upstream.clone(),
        max_packet: settings.max_packet,
        ..broker::Config::default()
    };
    // A record that nobody takes any more belongs to a scenario that is over.
    let broker = Broker::start(config, move |record| drop(sender.send(record))).await?;
    Ok(play::OpenBroker { broker, records, connections: observer::Connections::default() })
}

fn no_broker(piece: &Piece, error: &StartError) -> ScenarioResult {
    let help = "choose another address with `--listen`, or leave it away for a free port";
    piece.unplayed(no_broker_at(error).with_help(help))
}

fn no_broker_at(error: &StartError) -> Diagnostic {
    let diagnostic = Diagnostic::new(Severity::Error, "harness/no-broker", error.to_string());
    diagnostic.with_evidence(error.source.to_string())
}

//! Steps that arrive one by one while their scenario is played. What comes of a step is told before the next one is played.
//!
//! A step is read as the next one of the scenario that is written so far, and played as any other. The first one that is not met
//! ends the scenario, as in a file; broker and station stay until whoever sends steps has had enough.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::applicable::not_applicable;
use super::forecast::soften;
use super::settings::Scene;
use super::stage::Stage;
use super::stop::{Stop, broken};
use crate::conformance::requirements;
use crate::conformance::sighting::{Party, Sighting};
use crate::diagnostic::Diagnostic;
use crate::gateway;
use crate::scenario::step::Injects;
use crate::scenario::{Draft, Known, Pointer, Scenario, played};

/// So many steps may wait to be played.
const MOST_WAITING: usize = 256;

/// What is to be done next, and where its outcome is told.
pub struct Order {
    what: What,
    done: oneshot::Sender<Outcome>,
}

enum What {
    /// Nothing, once the module is ready.
    Begin,
    /// This step.
    Play(Value),
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// It was met.
    Met(Met),
    /// It makes no sense here, and nothing was played.
    Refused(Vec<Diagnostic>),
    /// It was not met, and ends the scenario.
    NotMet(Box<Diagnostic>),
    /// The scenario has ended before.
    Over,
}

/// What has met a step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Met {
    /// The messages, in their order.
    pub messages: Vec<Message>,
    /// What its patterns have captured.
    pub captured: BTreeMap<String, Value>,
}

/// A message that met a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Whether the module under test sent it; khumbu otherwise.
    pub is_by_module: bool,
    /// What it is, in a word.
    pub name: &'static str,
    /// Its topic.
    pub topic: String,
    /// Its payload; a text if it is no JSON.
    pub payload: Value,
    /// 0, 1 or 2.
    pub qos: u8,
    /// The retain flag.
    pub retain: bool,
}

/// What a scenario may speak of.
pub fn known<'a>(ids: &'a [&'static str]) -> Known<'a> {
    Known { requirements: ids, answers: Some(gateway::answer_schema) }
}

/// The end at which steps arrive.
pub struct Arriving {
    orders: tokio::sync::Mutex<mpsc::Receiver<Order>>,
    draft: Mutex<Draft>,
}

/// The end at which steps are sent. Without one, the scenario is over.
#[derive(Debug)]
pub struct Sending(mpsc::Sender<Order>);

/// More steps wait than may.
#[derive(Debug)]
pub struct TooMany;

impl Sending {
    /// Has the module be ready; what came of it.
    ///
    /// # Errors
    /// When too many steps wait.
    pub fn begin(&self) -> Result<oneshot::Receiver<Outcome>, TooMany> {
        self.send(What::Begin)
    }

    /// Has a step played; what came of it.
    ///
    /// # Errors
    /// When too many steps wait.
    pub fn play(&self, step: Value) -> Result<oneshot::Receiver<Outcome>, TooMany> {
        self.send(What::Play(step))
    }

    fn send(&self, what: What) -> Result<oneshot::Receiver<Outcome>, TooMany> {
        let (done, outcome) = oneshot::channel();
        match self.0.try_send(Order { what, done }) {
            Err(mpsc::error::TrySendError::Full(_)) => Err(TooMany),
            // Where nobody takes it, nobody answers either.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(outcome),
        }
    }
}

impl Arriving {
    /// Steps for this scenario.
    pub fn new(draft: Draft) -> (Sending, Self) {
        let (sender, orders) = mpsc::channel(MOST_WAITING);
        (Sending(sender), Self { orders: tokio::sync::Mutex::new(orders), draft: Mutex::new(draft) })
    }

    /// The scenario as it is written so far.
    pub fn draft(&self) -> Draft {
        self.draft.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, draft: Draft) {
        *self.draft.lock().unwrap_or_else(PoisonError::into_inner) = draft;
    }
}

/// Plays steps as they arrive, until no more can.
///
/// # Errors
/// The first step that cannot be met, or what else ends the scenario.
pub async fn play(stage: &mut Stage<'_>, arriving: &Arriving) -> Result<(), Stop> {
    let mut orders = arriving.orders.lock().await;
    let ids: Vec<_> = requirements::ids().collect();
    // Whoever sends the steps has the module at hand, and may tell it anything between them.
    stage.judging.judge.past.is_told_by_hand = true;
    let mut has_begun = false;
    let mut ended = None;
    while let Some(Order { what, done }) = next(stage, &mut orders).await? {
        let outcome = match (&ended, what) {
            (Some(_), _) => Ok(Outcome::Over),
            (None, What::Begin) => begin(stage, &mut has_begun).await.map(|()| Outcome::Met(Met::default())),
            (None, What::Play(step)) => {
                let draft = arriving.draft().with(&step);
                match read(stage, &draft, known(&ids)) {
                    Err(found) => Ok(Outcome::Refused(found)),
                    Ok(longer) => {
                        let begun = begin(stage, &mut has_begun).await;
                        arriving.write(draft);
                        match begun {
                            Ok(()) => play_last(stage, &longer).await.map(Outcome::Met),
                            Err(stop) => Err(stop),
                        }
                    }
                }
            }
        };
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(stop @ (Stop::Enough(_) | Stop::Interrupted)) => return Err(stop),
            Err(Stop::Found(mut found)) => {
                let told = told(stage, &found).await;
                // What comes until the end of the session was not there when it was found.
                (found.at_record, found.requirement) = (told.at_record, told.requirement);
                ended = Some(found);
                Outcome::NotMet(Box::new(told))
            }
        };
        // Whoever does not wait for it does not want it.
        let _ = done.send(outcome);
    }
    match ended {
        Some(found) => Err(Stop::Found(found)),
        None if has_begun => stage.let_it_take_in().await,
        None => Ok(()),
    }
}

/// The next order; what passes until then is seen.
async fn next(stage: &mut Stage<'_>, orders: &mut mpsc::Receiver<Order>) -> Result<Option<Order>, Stop> {
    loop {
        tokio::select! {
            () = stage.lookout.interrupted() => return Err(Stop::Interrupted),
            order = orders.recv() => return Ok(order),
            is_open = stage.lookout.observer.next() => if !is_open {
                return Err(broken("the broker has stopped").into());
            },
        }
    }
}

async fn begin(stage: &mut Stage<'_>, has_begun: &mut bool) -> Result<(), Stop> {
    if !std::mem::replace(has_begun, true) {
        stage.begin(None).await?;
    }
    Ok(())
}

/// The scenario with its new step, if that makes sense and can be played with this module.
fn read(stage: &Stage<'_>, draft: &Draft, known: Known<'_>) -> Result<Scenario, Vec<Diagnostic>> {
    let longer = draft.read(known)?;
    let scene = Scene { scenario: &longer, ..stage.scene.clone() };
    match not_applicable(&scene) {
        Some(why) => Err(vec![why]),
        None => Ok(longer),
    }
}

/// Plays the last step of a scenario whose other steps were played before.
async fn play_last(stage: &mut Stage<'_>, longer: &Scenario) -> Result<Met, Stop> {
    let (steps, release) = (&longer.model.steps, stage.scene.station.release);
    let (all, Some(last)) = (Pointer::from("/steps"), steps.len().checked_sub(1)) else { return Ok(Met::default()) };
    let at = all.index(last);
    let is_last =
        |pointer: &Pointer| pointer.strip_prefix(&*at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    stage.scene.scenario.grow(longer);
    let rows = longer.rows(stage.scene.frame(), release);
    stage.lookout.faults.is_any |= rows.iter().any(|(at, row)| is_last(at) && row.injects != Injects::Nothing);
    let captured_before = stage.judging.judge.captures.clone();
    for (pointer, step) in played(steps, &all, release).into_iter().filter(|(pointer, _)| is_last(pointer)) {
        stage.play_one(step, &pointer).await?;
    }
    let view = stage.lookout.observer.view();
    let met = stage.judging.judge.claims().by(&at).filter_map(|seq| view.message(seq));
    let captures = stage.judging.judge.captures.iter();
    let is_new = |(name, value): &(&String, &Value)| captured_before.get(*name) != Some(*value);
    Ok(Met {
        messages: met.map(Message::of).collect(),
        captured: captures.filter(is_new).map(|(name, value)| (name.clone(), value.clone())).collect(),
    })
}

/// What ends the steps, with all that is known of it by now.
async fn told(stage: &Stage<'_>, found: &Diagnostic) -> Diagnostic {
    let mut told = found.clone();
    stage.explain(&mut told).await;
    // A monitor's objection may be what has led to it.
    let mut findings = [vec![told], stage.lookout.observer.findings.clone()].concat();
    soften(stage.scene, &mut findings);
    stage.blame(None).name(&mut findings);
    findings.swap_remove(0)
}

impl Message {
    fn of(seen: &Sighting) -> Self {
        let text = || String::from_utf8_lossy(&seen.publish.payload).into_owned().into();
        Self {
            is_by_module: seen.from == Party::Module,
            name: seen.kind.name(),
            topic: seen.publish.topic.to_string(),
            payload: seen.json.clone().unwrap_or_else(text),
            qos: seen.publish.qos,
            retain: seen.publish.retain,
        }
    }
}

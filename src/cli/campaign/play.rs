//! Plays cases: many with one module, if all goes well, and what fails by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::{Campaign, at_once, is_alone, processors};
use crate::conformance::judge::STAYED_AWAY;
use crate::conformance::requirements;
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::fuzz::{Case, Find, Head, Joined};
use crate::protocol::release::Release;
use crate::protocol::side::Side;
use crate::runner::{self, Piece, Settings};
use crate::scenario::{self, Known, Scenario};
use crate::verdict::{RunEvent, ScenarioResult, Verdict};

/// How long a message of EVerest is waited for where cases are played together, in milliseconds: what does not pass is played
/// again.
const TOGETHER: u64 = 1000;

/// How long one module plays cases together: others are played then, so that what comes of these is known by the end of the campaign.
const TOGETHER_FOR: Duration = Duration::from_secs(15);

/// How long a client that was cut off may stay away meanwhile: libraries that try again after a fixed time take 10 s at most.
const BACK_TOGETHER: Duration = Duration::from_secs(12);
/// The same while a find is made small: nearly all that come back have come by then.
const BACK_IN_HASTE: Duration = Duration::from_secs(5);

/// Those for modules that play at once.
#[derive(Debug, Clone)]
pub struct Places {
    free: Arc<Semaphore>,
    all: u32,
}

/// So many modules for each processor play on while a find is made small: more make slow what somebody waits for.
const FEW: usize = 2;
/// So many modules may play that are no processes: what they cost is their work alone, and most of them wait.
const BUILT_IN: usize = 1 << 16;

impl Places {
    /// As many as the settings have.
    pub fn new(settings: &Settings) -> Self {
        let is_many = settings.module.is_builtin() && !is_alone(settings);
        let count = if is_many { BUILT_IN } else { at_once(settings) };
        Self { free: Arc::new(Semaphore::new(count)), all: u32::try_from(count).unwrap_or(u32::MAX) }
    }

    async fn one(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.free.acquire().await
    }

    /// Leaves few of them to others, once these have done with theirs, for as long as it is kept.
    pub(super) fn most(&self) -> Most {
        let few = u32::try_from(processors() * FEW).unwrap_or(u32::MAX);
        let (free, count) = (self.free.clone(), self.all.saturating_sub(few));
        Most(tokio::spawn(async move {
            let _held = free.acquire_many_owned(count).await;
            std::future::pending().await
        }))
    }

    /// Nothing else plays but what does not wait for a place. Nobody may keep most of them meanwhile.
    pub(super) async fn all(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.free.acquire_many(self.all).await
    }
}

/// Most places, kept from others.
pub(super) struct Most(JoinHandle<()>);

impl Drop for Most {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// When something is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// As soon as there is a place for its module.
    Waits,
    /// The same; what does not pass is played again, so that nobody is waited for long.
    WaitsInHaste,
    /// At once, beside what plays.
    Beside,
}

/// A case that was played.
pub(super) struct Outcome {
    /// Its number.
    pub number: u64,
    /// For how many cases that were drawn it stands: for none, where these have come out already.
    pub count: u64,
    /// What was done.
    pub case: Case,
    /// What came of it.
    pub result: Arc<ScenarioResult>,
}

/// Takes the outcome of one case after the other.
pub(super) type Take<'t> = &'t (dyn Fn(Outcome) + Send + Sync);

impl Campaign {
    /// Plays cases with one module, as many as can be played so and pass, and in smaller groups otherwise; whether one fails.
    pub(super) async fn play_batch(&self, cases: Vec<(u64, Case)>, take: Take<'_>) -> bool {
        let joined = Case::joined(&cases.iter().map(|(_, case)| case).collect::<Vec<_>>());
        let heads: Vec<_> = joined.iter().map(head).collect();
        let wholes = heads.iter().zip(joined.iter().map(|joined| &joined.whole));
        let turn = if cases.len() > 1 { Turn::WaitsInHaste } else { Turn::Waits };
        let results = self.play_as(wholes, turn).await;
        let (mut cases, mut is_failed) = (cases.into_iter(), false);
        for ((joined, head), result) in joined.into_iter().zip(&heads).zip(results) {
            let mut of_it: Vec<_> = cases.by_ref().take(joined.ends.len()).collect();
            let is_pass = result.verdict == Verdict::Pass;
            if let Some(at) = stopped_in(&joined, head, &result).filter(|_| is_pass) {
                // One that takes as long by itself must not be begun for ever.
                let mut rest = of_it.split_off(at);
                for (number, case) in of_it {
                    take(Outcome { number, count: 1, case, result: result.clone() });
                }
                if at == 0 {
                    let others = rest.split_off(1);
                    is_failed |= Box::pin(self.play_batch(rest, take)).await;
                    rest = others;
                }
                if !rest.is_empty() {
                    is_failed |= Box::pin(self.play_batch(rest, take)).await;
                }
            } else if of_it.len() == 1 || is_pass {
                is_failed |= Find::of(&result).is_some();
                for (number, case) in of_it {
                    take(Outcome { number, count: 1, case, result: result.clone() });
                }
            } else {
                is_failed |= self.play_apart(of_it, joined, (head, result), take).await;
            }
        }
        is_failed
    }

    /// Plays the case by itself that did not pass together with others, and these without it; each by itself, where nobody
    /// knows which it was.
    async fn play_apart(
        &self,
        cases: Vec<(u64, Case)>,
        joined: Joined,
        (head, result): (&Head<'_>, Arc<ScenarioResult>),
        take: Take<'_>,
    ) -> bool {
        let number = cases.first().map_or(0, |(number, _)| *number);
        let is_fail = result.verdict == Verdict::Fail;
        // What came too late for one who is in haste may yet come.
        let is_missed = |found: &Diagnostic| {
            found.id == STAYED_AWAY || head.within_ms.is_some() && found.subject == Subject::Expectation
        };
        let is_hasty =
            is_fail && result.findings.iter().filter(|found| found.severity == Severity::Fail).all(is_missed);
        if self.is_late() {
            // As they are, all together.
            let result = if is_hasty { self.play(std::iter::once(&joined.whole)).await.pop() } else { Some(result) };
            let Some(result) = result else { return false };
            let is_failed = Find::of(&result).is_some();
            take(Outcome { number, count: cases.len() as u64, case: joined.whole, result });
            return is_failed;
        }
        let culprit = culprit(&joined, head, &result);
        let mut is_failed = false;
        if let Some(at) = culprit {
            let mut before = cases.clone();
            let mut itself = before.split_off(at);
            let after = itself.split_off(1);
            for group in [before, itself].into_iter().filter(|group| !group.is_empty()) {
                is_failed |= Box::pin(self.play_batch(group, take)).await;
            }
            if is_fail && !is_failed {
                // What shows where the station is brought to rest.
                let inputs = joined.whole.inputs[..joined.ends[at]].to_vec();
                let case = Case { ground: joined.whole.ground.clone(), inputs };
                is_failed |= self.play_again(number, case, take).await;
            }
            if !after.is_empty() {
                is_failed |= Box::pin(self.play_batch(after, take)).await;
            }
        }
        // Nobody knows which it was, or it showed at another one.
        if culprit.is_none() || is_fail && !is_failed {
            let results = self.play(cases.iter().map(|(_, case)| case)).await;
            for ((number, case), result) in cases.into_iter().zip(results) {
                let is_one = Find::of(&result).is_some();
                is_failed |= is_one;
                // The others are known to pass.
                if is_one || culprit.is_none() {
                    take(Outcome { number, count: u64::from(culprit.is_none()), case, result });
                }
            }
        }
        // What takes more than one case to show.
        if is_fail && !is_failed {
            is_failed |= self.play_again(number, joined.whole.clone(), take).await;
        }
        // What fails but once.
        if is_fail && !is_failed && !is_hasty {
            take(Outcome { number, count: 0, case: joined.whole, result });
            is_failed = true;
        }
        is_failed
    }

    /// Plays what several cases are together that have come out already, which matters if it fails.
    async fn play_again(&self, number: u64, case: Case, take: Take<'_>) -> bool {
        let Some(result) = self.play(std::iter::once(&case)).await.pop() else { return false };
        let is_failed = Find::of(&result).is_some();
        if is_failed {
            take(Outcome { number, count: 0, case, result });
        }
        is_failed
    }

    /// Plays cases, and returns their results in order.
    pub(super) async fn play(&self, cases: impl Iterator<Item = &Case>) -> Vec<Arc<ScenarioResult>> {
        self.play_as(std::iter::repeat(&Head::AS_PLAYED).zip(cases), Turn::Waits).await
    }

    /// The same, each in its own way.
    pub(super) async fn play_as<'c>(
        &self,
        cases: impl Iterator<Item = (&'c Head<'c>, &'c Case)>,
        turn: Turn,
    ) -> Vec<Arc<ScenarioResult>> {
        let (mut pieces, mut results, mut settings) = (Vec::new(), Vec::new(), self.settings.clone());
        for (head, case) in cases {
            if turn == Turn::WaitsInHaste {
                (settings.back_within, settings.stops_after) = (Some(BACK_TOGETHER), Some(TOGETHER_FOR));
            } else if head.within_ms.is_some() {
                settings.back_within = Some(BACK_IN_HASTE);
            }
            let read = read("case.yaml", &case.scenario(head));
            results.push(read.as_ref().err().map(|why| Arc::new(unread(why))));
            pieces.extend(read.ok().map(|scenario| piece(scenario, case.ground.release())));
        }
        let mut played = self.play_pieces(pieces, settings, turn).await.into_iter();
        results.into_iter().map_while(|unread| unread.or_else(|| played.next())).collect()
    }

    pub(super) async fn play_pieces(
        &self,
        pieces: Vec<Piece>,
        settings: Settings,
        turn: Turn,
    ) -> Vec<Arc<ScenarioResult>> {
        let interrupt = if turn == Turn::Beside { self.interrupt.clone() } else { self.halt.subscribe() };
        // It goes from one to the next by itself.
        if is_alone(&settings) {
            let _place = self.places.one().await;
            return run(pieces, settings, interrupt).await;
        }
        if turn == Turn::Beside {
            return run(pieces, settings, interrupt).await;
        }
        let mut playing = JoinSet::new();
        for (index, piece) in pieces.into_iter().enumerate() {
            let (places, settings, interrupt) = (self.places.clone(), settings.clone(), interrupt.clone());
            playing.spawn(async move {
                let _place = places.one().await;
                (index, run(vec![piece], settings, interrupt).await.pop())
            });
        }
        let results: BTreeMap<_, _> = playing.join_all().await.into_iter().collect();
        // Where the user wants an end, nobody knows of the rest.
        results.into_values().map_while(|result| result).collect()
    }
}

async fn run(pieces: Vec<Piece>, settings: Settings, interrupt: watch::Receiver<bool>) -> Vec<Arc<ScenarioResult>> {
    // Nobody watches each of them.
    let (events, _) = mpsc::unbounded_channel();
    run_told(pieces, settings, events, interrupt).await
}

/// Plays pieces, and tells what happens.
pub(super) async fn run_told(
    pieces: Vec<Piece>,
    settings: Settings,
    events: mpsc::UnboundedSender<RunEvent>,
    interrupt: watch::Receiver<bool>,
) -> Vec<Arc<ScenarioResult>> {
    runner::run(pieces, settings, events, interrupt, |_| false).await
}

/// How cases are played together, or one by itself.
fn head(joined: &Joined) -> Head<'static> {
    let ground = &joined.whole.ground;
    // When a client checks that all is well is its affair.
    if joined.ends.len() > 1 && ground.under_test == Side::Everest {
        ground.in_haste(TOGETHER)
    } else {
        Head::AS_PLAYED
    }
}

/// The number of the case, from 0, in which several cases ended for the time that they had taken.
fn stopped_in(joined: &Joined, head: &Head<'_>, result: &ScenarioResult) -> Option<usize> {
    let input = joined.whole.input_at(result.stopped_at.as_ref()?, head).unwrap_or(0);
    joined.ends.iter().position(|end| input < *end)
}

/// The number of the case, from 0, in which what several cases came to begins to show.
fn culprit(joined: &Joined, head: &Head<'_>, result: &ScenarioResult) -> Option<usize> {
    let grave = result.findings.iter().filter(|found| found.severity > Severity::Warning);
    let places = grave.map(|found| found.place.as_ref().or(result.stopped_at.as_ref()));
    let inputs = places.map(|place| joined.whole.input_at(place?, head));
    let first = inputs.min().flatten()?;
    joined.ends.iter().position(|end| first < *end)
}

/// The result of a case that is no scenario, which is khumbu's fault.
fn unread(why: &[Diagnostic]) -> ScenarioResult {
    ScenarioResult { verdict: Verdict::Error, findings: why.to_vec(), ..ScenarioResult::default() }
}

/// Reads a scenario.
///
/// # Errors
/// What is wrong with it.
pub fn read(path: &str, text: &str) -> Result<Scenario, Vec<Diagnostic>> {
    let ids: Vec<_> = requirements::ids().collect();
    scenario::parse(path, text, Known { requirements: &ids, answers: None })
}

pub(super) fn piece(scenario: Scenario, release: Release) -> Piece {
    Piece::new(Arc::new(scenario), release)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::diagnostic::Place;
    use crate::fuzz::{Ground, Input};
    use crate::protocol::channel::ApiType;
    use crate::protocol::control::{AtConnector, Command};

    #[test]
    fn the_case_is_known_in_which_it_begins_to_show() {
        for side in [Side::Client, Side::Everest] {
            let ground = Ground::all(side, ApiType::AUTH_CONSUMER, Release::default()).remove(0);
            let plug_in = |evse| Input::Command(Command::PlugIn(AtConnector { evse, connector: None }));
            let case = |evse| Case { ground: ground.clone(), inputs: vec![plug_in(evse)] };
            let joined = Case::joined(&[&case(1), &case(2)]).remove(0);
            assert_eq!(joined.ends.len(), 2);
            let scenario = read("case.yaml", &joined.whole.scenario(&Head::AS_PLAYED)).unwrap();
            let at = |text: &str| {
                let start = scenario.source.text.find(text).unwrap();
                Place { source: scenario.source.clone(), range: start..start + 1, label: String::new() }
            };
            let found = |texts: &[&str]| {
                let fail = |text: &&str| Diagnostic {
                    place: Some(at(text)),
                    ..Diagnostic::new(Severity::Fail, "expect/missing", "something")
                };
                ScenarioResult { findings: texts.iter().map(fail).collect(), ..ScenarioResult::default() }
            };
            let (first, second) = ("plug_in: {evse: 1}", "plug_in: {evse: 2}");
            assert_eq!(culprit(&joined, &Head::AS_PLAYED, &found(&[first])), Some(0));
            assert_eq!(culprit(&joined, &Head::AS_PLAYED, &found(&[second])), Some(1));
            assert_eq!(culprit(&joined, &Head::AS_PLAYED, &found(&[second, first])), Some(0));
            assert_eq!(culprit(&joined, &Head::AS_PLAYED, &found(&["description"])), None);
            assert_eq!(culprit(&joined, &Head::AS_PLAYED, &found(&[])), None);
            // What monitors find stands at no step; where the scenario ended for it does.
            let stopped = |text: &str, result: ScenarioResult| ScenarioResult { stopped_at: Some(at(text)), ..result };
            let mut monitored = found(&[first]);
            monitored.findings[0].place = None;
            assert_eq!(culprit(&joined, &Head::AS_PLAYED, &stopped(second, monitored)), Some(1));
            let in_time = |text| stopped_in(&joined, &Head::AS_PLAYED, &stopped(text, ScenarioResult::default()));
            assert_eq!([first, second, "description"].map(in_time), [Some(0), Some(1), Some(0)]);
            assert_eq!(stopped_in(&joined, &Head::AS_PLAYED, &ScenarioResult::default()), None);
        }
    }
}

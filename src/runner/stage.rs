//! The stage of one scenario: broker, observer, the side that khumbu plays, the module under test, and every way of
//! waiting. Every wait has a deadline and can be interrupted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::faults::Laid;
use super::lag::Lag;
use super::module::Module;
use super::observer::{Observer, is_own};
use super::other_clients::OtherClients;
use super::played::Played;
use super::probe::Answered;
use super::settings::{ModuleSource, Scene, Settings};
use crate::broker::Broker;
use crate::conformance::judge::Judge;
use crate::conformance::requirements::Requirement;
use crate::conformance::sighting::{Kind, Party, Sighting};
use crate::diagnostic::words::cut;
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::scenario::Scenario;
use crate::sim::everest::Order;
use crate::sim::link::LinkError;
use crate::station::config::TokenConfig;
use crate::transcript::record::{Direction, Event};

/// The stage.
pub struct Stage<'s> {
    /// The scenario.
    pub scenario: &'s Scenario,
    /// The settings of the run.
    pub settings: &'s Settings,
    /// The topics and the station.
    pub scene: &'s Scene<'s>,
    /// The broker of this scenario.
    pub broker: &'s Broker,
    /// What is known of the wire.
    pub observer: Observer,
    /// The side that khumbu plays.
    pub played: Played,
    /// The clients that khumbu plays at other API modules.
    pub other_apis: OtherClients,
    /// The module under test.
    pub module: Module,
    /// What judges the expectations.
    pub judge: Judge<'s>,
    /// When the judge's time began.
    pub epoch: Instant,
    /// Tokens as validators see them now.
    pub tokens: BTreeMap<String, TokenConfig>,
    /// Whether stimuli come at the same instant.
    pub is_at_once: bool,
    /// Whether the user wants to stop.
    pub interrupt: watch::Receiver<bool>,
    /// How late the harness itself is woken.
    pub lag: Lag,
    /// What an EVerest under test answered when it was asked whether it is ready.
    pub answered: Option<Answered>,
    /// How long the module took from an answer of the broker to its next subscription.
    pub round_trip: Duration,
    /// Topics of bindings on which somebody was told something whom khumbu does not see, if anybody.
    pub unseen: BTreeSet<String>,
    /// The requirement that is judged now: what fails breaks it, unless it names its own.
    pub about: Option<&'static Requirement>,
    /// The faults that were injected.
    pub faults: Laid,
}

/// Why a scenario cannot go on.
#[derive(Debug)]
pub enum Stop {
    /// Something was found.
    Found(Box<Diagnostic>),
    /// The user interrupted the run.
    Interrupted,
}

impl From<Box<Diagnostic>> for Stop {
    fn from(diagnostic: Box<Diagnostic>) -> Self {
        Stop::Found(diagnostic)
    }
}

impl From<Diagnostic> for Stop {
    fn from(diagnostic: Diagnostic) -> Self {
        Stop::Found(Box::new(diagnostic))
    }
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// There is something new in the record.
    Record,
    /// The module has ended, and all it had sent is in the record.
    Ended,
    /// The deadline has passed.
    Deadline,
}

/// How long past its deadline a wait goes on taking what comes in; it may never stop coming.
const CROWDED: Duration = Duration::from_millis(100);
/// More packets than this may not wait to be judged.
const SWAMPED: usize = 100_000;
/// How long a message of khumbu's own may take to the broker.
const OWN_MESSAGE: Duration = Duration::from_secs(10);
/// How long bytes of a module that has ended may take through the sockets.
const LAST_BYTES: Duration = Duration::from_millis(500);

impl Stage<'_> {
    /// Waits for something new, until `deadline`.
    ///
    /// # Errors
    /// When the user interrupts, or when the side that khumbu plays has broken down.
    pub async fn wait(&mut self, deadline: Instant) -> Result<Wake, Stop> {
        let has_ended = self.module.has_ended();
        if self.observer.waiting() > SWAMPED {
            return Err(super::findings::flooded(self, SWAMPED).into());
        }
        let is_crowded = Instant::now() >= deadline + CROWDED;
        tokio::select! {
            biased;
            () = is_true(&mut self.interrupt) => Err(Stop::Interrupted),
            () = std::future::ready(()), if is_crowded => {
                self.observer.drain();
                Ok(Wake::Deadline)
            }
            is_open = self.observer.next() => match is_open {
                true => Ok(Wake::Record),
                false => Err(broken("the broker has stopped").into()),
            },
            () = is_over(&mut self.module.ended), if !has_ended => {
                self.drain_after_end().await;
                Ok(Wake::Ended)
            }
            () = sleep_until(deadline) => Ok(Wake::Deadline),
        }
    }

    /// Takes what a module that has ended had sent before.
    pub async fn drain_after_end(&mut self) {
        let deadline = Instant::now() + LAST_BYTES;
        while self.observer.connections.is_connected() {
            tokio::select! {
                is_open = self.observer.next() => if !is_open { break },
                () = sleep_until(deadline) => break,
            }
        }
    }

    /// Waits until `condition` holds. `None` when it did not within the time.
    ///
    /// # Errors
    /// As [`Stage::wait`].
    pub async fn wait_until(
        &mut self,
        within: Duration,
        condition: impl Fn(&Observer) -> bool,
    ) -> Result<Option<()>, Stop> {
        let mut patience = Patience::new(&self.lag);
        let mut is_over = false;
        loop {
            if condition(&self.observer) {
                return Ok(Some(()));
            }
            if is_over || self.module.has_ended() {
                return Ok(None);
            }
            is_over = self.waits_in_vain(&mut patience, within).await?;
        }
    }

    /// Waits for something new; `true` if the time is over, with everything taken that had come by then.
    ///
    /// # Errors
    /// As [`Stage::wait`].
    pub async fn waits_in_vain(&mut self, patience: &mut Patience, within: Duration) -> Result<bool, Stop> {
        match self.wait(patience.deadline(within)).await? {
            Wake::Record | Wake::Ended => Ok(false),
            Wake::Deadline if !patience.is_over(within, &self.lag).await => Ok(false),
            Wake::Deadline => {
                self.observer.drain();
                Ok(true)
            }
        }
    }

    /// A topic with the base of the API module elided.
    pub fn elided(&self, topic: &str) -> String {
        self.judge.case().elided(topic)
    }

    /// A message in one line.
    pub fn line(&self, seen: &Sighting) -> String {
        self.judge.case().line(seen)
    }

    /// The last message that the broker has handed to the module, in one line.
    pub fn delivered_last(&self) -> Option<String> {
        let last = self.observer.records.iter().rev().find_map(|record| match &record.event {
            Event::Publish { direction: Direction::ToClient, publish } if !is_own(&record.client) => Some(publish),
            _ => None,
        })?;
        let payload = match serde_json::from_slice::<Value>(&last.payload) {
            Ok(json) => json.to_string(),
            Err(_) => String::from_utf8_lossy(&last.payload).escape_debug().to_string(),
        };
        Some(format!("delivered to it last: {} q{} {}", self.elided(&last.topic), last.qos, cut(&payload, 160)))
    }

    /// How the last message of each kind of khumbu's own is written; nothing, if all are as EVerest's.
    pub fn written_last(&self) -> Option<String> {
        let mut kinds = Vec::new();
        let mut words = Vec::new();
        for seen in self.observer.messages.iter().rev() {
            // The beacon is over before a client hears anything.
            if matches!(seen.kind, Kind::Control | Kind::Beacon | Kind::Other) {
                continue;
            }
            let kind = seen.kind.name();
            if seen.from == Party::Harness && !kinds.contains(&kind) {
                kinds.push(kind);
                words.extend(self.judge.case().form_of(seen).map(|form| format!("{kind} as `{}`", form.name())));
            }
        }
        words.reverse();
        let wire = self.scene.wire;
        (!words.is_empty()).then(|| format!("wire form `{wire}`; written last: {}", words.join(", ")))
    }

    /// Restarts the side that khumbu plays, if it is EVerest's.
    ///
    /// # Errors
    /// When it does not come up again.
    pub async fn restart_played(&mut self) -> Result<(), Stop> {
        if let Played::Everest { orders, .. } = &self.played {
            let (done, again) = oneshot::channel();
            // A closed channel shows in the answer.
            let _ = orders.send(Order::Restart(done));
            again.await.unwrap_or(Err(LinkError::Lost)).map_err(|error| broken(&error.to_string()))?;
        }
        Ok(())
    }

    /// Ends the module under test and starts it anew, until it is ready again.
    ///
    /// # Errors
    /// When it does not come up again.
    pub async fn restart_module(&mut self) -> Result<(), Stop> {
        if self.settings.module == ModuleSource::Attached {
            let why = "a module that is attached cannot be restarted";
            let diagnostic =
                Diagnostic::new(Severity::Inconclusive, "module/not-restartable", why).about(Subject::Module);
            return Err(diagnostic.at(self.scenario.place("/steps")).into());
        }
        if !self.module.restart_everest().await {
            self.module.end(self.settings).await;
            self.drain_after_end().await;
            self.module = Module::start(self.scene, self.broker.address())
                .map_err(|error| super::findings::not_started(self.settings, &error))?;
        }
        self.wait_ready().await
    }

    /// Waits until everything that the simulated EVerest has sent by now is in the record, so that a mark that is set
    /// later stands behind it.
    ///
    /// # Errors
    /// As [`Stage::wait`].
    pub async fn reach_record(&mut self) -> Result<(), Stop> {
        let topic = self.scene.topics.mark_topic();
        let from = self.observer.messages.len();
        self.order(Order::Publish { topic: topic.clone(), payload: Bytes::new(), qos: 0, retain: false })?;
        self.reach_broker(from, &topic).await
    }

    /// Waits until the broker has taken a message of khumbu's own on this topic, the first behind message `from`. What
    /// khumbu says next may go over another connection, and must not overtake it.
    ///
    /// # Errors
    /// As [`Stage::wait`].
    pub async fn reach_broker(&mut self, from: usize, topic: &str) -> Result<(), Stop> {
        let mut patience = Patience::new(&self.lag);
        while !self.observer.is_taken(from, topic) {
            if self.wait(patience.deadline(OWN_MESSAGE)).await? == Wake::Deadline
                && patience.is_over(OWN_MESSAGE, &self.lag).await
            {
                return Err(broken(&format!("its message on `{topic}` does not reach the broker")).into());
            }
        }
        if self.settings.upstream.is_some()
            && let Played::Client(client) = &self.played
        {
            // Behind a relay QoS 0 says nothing of its arrival; what comes later on the connection is answered later.
            let mark = self.scene.topics.mark_topic();
            client.link().subscribe(&[mark], 0).await.map_err(|error| broken(&error.to_string()))?;
        }
        Ok(())
    }

    /// Sends an order to the simulated EVerest.
    ///
    /// # Errors
    /// When it has broken down.
    pub fn order(&self, order: Order) -> Result<(), Stop> {
        match &self.played {
            Played::Everest { orders, .. } => {
                orders.send(order).map_err(|_| broken("the simulated EVerest has ended").into())
            }
            Played::Client(_) => Err(broken("there is no simulated EVerest on this side").into()),
        }
    }
}

/// Returns when the user wants to stop; never, if nobody can say so any more.
pub async fn is_true(interrupt: &mut watch::Receiver<bool>) {
    if interrupt.wait_for(|wanted| *wanted).await.is_err() {
        std::future::pending().await
    }
}

/// Returns when the module has ended; never, if nobody can say so any more.
async fn is_over(ended: &mut watch::Receiver<Option<String>>) {
    if ended.wait_for(Option::is_some).await.is_err() {
        std::future::pending().await
    }
}

/// A wait that is prolonged by as much as the harness itself was held up: a busy machine is not the module's fault.
pub struct Patience {
    started: Instant,
    lag: Duration,
    held_up: Duration,
}

impl Patience {
    /// From now on.
    pub fn new(lag: &Lag) -> Self {
        Self { started: Instant::now(), lag: lag.total(), held_up: Duration::ZERO }
    }

    /// The deadline as it stands for something that may take this long.
    pub fn deadline(&self, within: Duration) -> Instant {
        self.started + within + self.held_up
    }

    /// Whether that time is over, once the hold-ups since are known.
    pub async fn is_over(&mut self, within: Duration, lag: &Lag) -> bool {
        // A process that was held up is woken by its deadline before it has read its sockets.
        lag.settle().await;
        self.held_up = lag.total().saturating_sub(self.lag);
        Instant::now() >= self.deadline(within)
    }

    /// How long has been waited.
    pub fn waited(&self) -> Duration {
        self.started.elapsed()
    }
}

/// The harness is at fault.
pub fn broken(why: &str) -> Diagnostic {
    Diagnostic::broken(why)
}

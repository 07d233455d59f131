//! Injected faults: whom and what they befall, and the steps that inject them.
//!
//! What becomes of a message is decided by `broker::faults`; here is told which messages a step means. What has to do with
//! khumbu itself, its orders to the module and its questions whether it is ready, is never befallen.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::observer::is_own;
use super::settings::Scene;
use super::stage::{Stage, Stop, Wake, broken};
use crate::broker::{Broker, Rule, Sieve};
use crate::conformance::judge::{is_of_kind, matches};
use crate::conformance::sighting::{Classifier, Kind, Party, Place, Sighting};
use crate::diagnostic::words::shown;
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::channel::ApiType;
use crate::protocol::side::Side;
use crate::protocol::topic;
use crate::scenario::model::{MessageKind, RefuseConnect, Way, Which};
use crate::scenario::pattern::{Captures, Pattern};
use crate::scenario::step::{Injects, Step};
use crate::scenario::{Pointer, api_of};
use crate::transcript::injected::Injected;
use crate::transcript::record::{Direction, Event, Publish, Record};

/// The messages that one rule means.
struct Target {
    rule: usize,
    way: Option<Way>,
    kind: Option<(MessageKind, ApiType)>,
    filter: Option<String>,
    payload: Option<Pattern>,
    /// What patterns had captured when the rule was laid.
    captures: Captures,
}

impl Target {
    fn is_met_by(&self, seen: &Sighting) -> bool {
        let way = if seen.from == Party::Harness { Way::ToModule } else { Way::FromModule };
        self.way.is_none_or(|wanted| wanted == way)
            && self.kind.is_none_or(|(kind, api)| is_of_kind(seen, kind, api))
            && self.filter.as_deref().is_none_or(|filter| topic::matches(filter, &seen.publish.topic))
            && self.payload.as_ref().is_none_or(|pattern| matches(pattern, seen, &mut self.captures.clone()).is_ok())
    }
}

/// Tells what rules mean. It reads each message as it is published, for the next one may already be befallen.
pub struct Targets {
    classifier: Mutex<Classifier>,
    targets: Mutex<Vec<Target>>,
}

impl Sieve for Targets {
    fn is_own(&self, client: &str) -> bool {
        is_own(client)
    }

    fn sift(&self, from: &str, publish: &Publish) -> Vec<usize> {
        let event = Event::Publish { direction: Direction::FromClient, publish: publish.clone() };
        let record = Record { seq: 0, at: Duration::ZERO, client: from.into(), event };
        let party = if is_own(from) { Party::Harness } else { Party::Module };
        let Some(seen) = locked(&self.classifier).sight(&record, party) else { return Vec::new() };
        if seen.kind == Kind::Control || matches!(seen.place, Place::Aside { .. }) {
            return Vec::new();
        }
        locked(&self.targets).iter().filter(|target| target.is_met_by(&seen)).map(|target| target.rule).collect()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The faults of a scenario.
#[derive(Default)]
pub struct Laid {
    targets: Option<Arc<Targets>>,
    /// Rules by number, where they stand in the scenario if they are its own, and whether each must befall something.
    rules: Vec<(usize, Option<Pointer>, bool)>,
    /// Where connects are refused.
    refusals: Vec<Pointer>,
}

impl Laid {
    /// Makes the broker ready for the faults of a scenario, if it has any.
    pub fn prepare(scene: &Scene<'_>, broker: &Broker) -> Self {
        let rows = scene.scenario.rows(scene.frame(), scene.station.release);
        let is_any = rows.iter().any(|(_, row)| row.injects != Injects::Nothing) || !scene.settings.faults.is_empty();
        let targets = is_any.then(|| {
            let (classifier, targets) = (Mutex::new(scene.classifier()), Mutex::default());
            Arc::new(Targets { classifier, targets })
        });
        broker.inject(targets.clone().map(|targets| targets as Arc<dyn Sieve>));
        Self { targets, ..Self::default() }
    }

    /// Whether a rule is the scenario's own, and not laid over it.
    pub fn is_of_scenario(&self, rule: usize) -> bool {
        self.rules.iter().any(|(number, at, _)| *number == rule && at.is_some())
    }
}

/// Ends every fault, so that the module can end, and what plays next on the broker finds it whole.
pub async fn end(broker: &Broker) {
    broker.lift_faults();
    // A port that somebody else has taken is told by whoever listens next.
    let _ = broker.come_back().await;
}

impl Stage<'_> {
    /// Lays the faults of the run over the scenario.
    ///
    /// # Errors
    /// When the broker cannot inject them.
    pub fn lay_faults(&mut self) -> Result<(), Stop> {
        let settings = self.settings;
        settings.faults.iter().try_for_each(|step| self.lay(step, None))
    }

    /// Refuses the module when it connects.
    pub fn refuse_connect(&mut self, refuse: &RefuseConnect, at: &Pointer) {
        let most = (!refuse.until_lifted).then(|| refuse.next.unwrap_or(1));
        self.broker.refuse_connects(refuse.reason, most);
        self.faults.refusals.push(at.key("refuse_connect"));
    }

    /// Ends every fault.
    pub fn lift_faults(&mut self) {
        self.set_mark();
        self.broker.lift_faults();
    }

    /// Lays a fault that befalls messages; `at` is where it stands in the scenario, if it is its own.
    ///
    /// # Errors
    /// When the broker cannot inject it.
    pub fn lay(&mut self, step: &Step, at: Option<&Pointer>) -> Result<(), Stop> {
        let Some((effect, which)) = step.befalls() else { return Err(broken("nobody plays this step").into()) };
        let target = |rule| self.target(rule, &which);
        let (most, seed) = (which.most(), which.seed);
        let rule = Rule { effect, most, probability: which.probability.unwrap_or(1.0), seed };
        let (Some(targets), Some(number)) = (&self.faults.targets, self.broker.add_fault(rule)) else {
            return Err(broken("its broker does not inject faults").into());
        };
        locked(&targets.targets).push(target(number)?);
        self.faults.rules.push((number, at.cloned(), at.is_some() && which.probability.is_none()));
        Ok(())
    }

    fn target(&self, rule: usize, which: &Which<'_>) -> Result<Target, Stop> {
        let case = self.judge.case();
        let payload = which.payload.map(super::steps::compiled).transpose()?;
        let kind = which.message.map(|kind| (kind, api_of(kind, which.api, case.topics.api)));
        let filter = which.topic.map(|topic| case.filled(topic));
        Ok(Target { rule, way: which.way, kind, filter, payload, captures: self.judge.captures.clone() })
    }

    /// Lets nothing pass the module's connections: for a time, or until it has noticed.
    ///
    /// # Errors
    /// When it does not notice, or does not come back.
    pub async fn half_open(&mut self, span: Option<Duration>) -> Result<(), Stop> {
        self.set_mark();
        self.begin_outage();
        let heard = self.heard_topics();
        let mark = self.observer.mark();
        self.broker.stall();
        match span {
            Some(span) => self.let_pass(span).await?,
            None => self.wait_noticed(mark).await?,
        }
        self.broker.flow();
        self.observer.drain();
        self.begin_outage();
        if span.is_none() && self.scenario.model.under_test == Side::Client && !self.module.has_ended() {
            // What the old connection listens to says nothing of the new one.
            self.wait_until(self.settings.ready_within, |observer| stalled_are_over(&observer.records, mark)).await?;
            self.wait_back(&heard).await?;
            self.judge.past.is_judged = true;
        }
        Ok(())
    }

    /// Takes the broker away for a time, and waits until a client is back.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn broker_away(&mut self, span: Duration) -> Result<(), Stop> {
        self.set_mark();
        self.begin_outage();
        let heard = self.heard_topics();
        let is_connected = self.observer.connections.is_connected();
        self.broker.go_away().await;
        self.let_pass(span).await?;
        self.broker.come_back().await.map_err(|error| broken(&format!("{error}: {}", error.source)))?;
        if !is_connected || self.scenario.model.under_test == Side::Everest {
            return Ok(());
        }
        self.observer.drain();
        self.wait_back(&heard).await?;
        self.judge.past.is_judged = true;
        Ok(())
    }

    /// What the module has under way may be lost, or come in a burst, and not by its fault.
    fn begin_outage(&mut self) {
        self.observer.drain();
        self.observer.monitors.module_cut_off();
        if self.scenario.model.under_test == Side::Everest {
            self.observer.monitors.heartbeats_changed();
        }
    }

    async fn let_pass(&mut self, span: Duration) -> Result<(), Stop> {
        let deadline = Instant::now() + span;
        while self.wait(deadline).await? != Wake::Deadline {}
        Ok(())
    }

    /// Waits until the module has given its connection up and connected anew.
    async fn wait_noticed(&mut self, mark: u64) -> Result<(), Stop> {
        let is_modules = |record: &&Record| !is_own(&record.client);
        let connects = self.observer.records.iter().filter(is_modules);
        let keep_alive = connects.filter_map(|record| match &record.event {
            Event::Connected { keep_alive, .. } => Some(*keep_alive),
            _ => None,
        });
        let module = super::findings::culprit(self);
        let place = self.scenario.place("/steps");
        let Some(keep_alive) = keep_alive.max().filter(|keep_alive| *keep_alive > 0) else {
            let headline =
                format!("{module} asked for no keep-alive: it cannot notice that nothing passes its connection");
            let diagnostic = Diagnostic::new(Severity::Inconclusive, "module/no-keep-alive", headline);
            let diagnostic = diagnostic.about(Subject::Module).at(place);
            return Err(diagnostic.with_help("connect with a keep-alive of some seconds").into());
        };
        // It asks whether the broker is there after one keep-alive, and may wait as long for an answer.
        let within = Duration::from_secs(keep_alive.into()) * 2 + self.settings.ready_within;
        let is_back = |observer: &super::observer::Observer| {
            let since = observer.records.partition_point(|record| record.seq < mark);
            let mut records = observer.records[since..].iter().filter(is_modules);
            records.any(|record| matches!(record.event, Event::Connected { .. }))
        };
        if self.wait_until(within, is_back).await?.is_some() || self.module.has_ended() {
            return Ok(());
        }
        let within = shown(within);
        let headline =
            format!("{module} did not notice within {within} that nothing passes its connection, and connect again");
        let diagnostic = Diagnostic::new(Severity::Fail, "module/unaware", headline).about(Subject::Module).at(place);
        let diagnostic = diagnostic.with_evidence(format!("its keep-alive is {keep_alive}s"));
        Err(diagnostic.breaking("CN-1").with_help("give a connection up when the answer to a PINGREQ stays out").into())
    }

    /// The faults that befell nothing: what the scenario wants to show, it has not shown.
    pub fn idle_faults(&self) -> Vec<Diagnostic> {
        let injected = || {
            self.observer.records.iter().filter_map(|record| match &record.event {
                Event::Injected(injected) => Some(injected),
                _ => None,
            })
        };
        let befell = |rule: usize| injected().any(|it| matches!(it, Injected::Message { rule: by, .. } if *by == rule));
        let idle = self.faults.rules.iter().filter(|(rule, ..)| !befell(*rule));
        let messages = idle.map(|(_, at, is_needed)| {
            let severity = if *is_needed { Severity::Inconclusive } else { Severity::Note };
            (severity, at.as_ref(), "an injected fault befell no message")
        });
        let is_refused = injected().any(|it| matches!(it, Injected::ConnectRefused(_)));
        let refusals = self.faults.refusals.iter().filter(|_| !is_refused);
        let refusals = refusals.map(|at| (Severity::Inconclusive, Some(at), "no CONNECT came that was to be refused"));
        let told = messages.chain(refusals).map(|(severity, at, headline)| {
            let diagnostic = Diagnostic::new(severity, "scenario/idle-fault", headline);
            match at {
                Some(at) => diagnostic.at(self.scenario.place(at)),
                None => diagnostic,
            }
        });
        told.collect()
    }
}

/// Whether every connection that was stalled since a mark has ended since.
fn stalled_are_over(records: &[Record], mark: u64) -> bool {
    let since = &records[records.partition_point(|record| record.seq < mark)..];
    let is_over = |stalled: &Record| {
        since.iter().any(|it| it.client == stalled.client && matches!(it.event, Event::Disconnected { .. }))
    };
    since.iter().filter(|record| matches!(record.event, Event::Injected(Injected::Stalled))).all(is_over)
}

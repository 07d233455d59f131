//! The steps that inject faults.

use std::time::Duration;

use tokio::time::Instant;

use super::{Fault, Target, locked};
use crate::broker::Rule;
use crate::diagnostic::words::shown;
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::side::Side;
use crate::runner::lookout::Wake;
use crate::runner::observer::{Observer, is_own};
use crate::runner::patterns::compiled;
use crate::runner::stage::Stage;
use crate::runner::stop::{Stop, broken};
use crate::scenario::model::{BrokerAway, RefuseConnect, Which};
use crate::scenario::step::Step;
use crate::scenario::{Pointer, api_of};
use crate::transcript::injected::Injected;
use crate::transcript::record::{Event, Record};

impl Stage<'_> {
    /// Lays a fault over the scenario. What befalls connections is over when this is.
    ///
    /// # Errors
    /// When the broker cannot inject it; when the module does not survive it.
    pub async fn lay_over(&mut self, fault: &Fault) -> Result<(), Stop> {
        for step in &fault.steps {
            match step {
                Step::RefuseConnect(refuse) => self.refuse_connect(refuse, None),
                step if step.befalls().is_some() => self.lay(step, None)?,
                step => self.step(step, &Pointer::from("/steps")).await?,
            }
        }
        Ok(())
    }

    /// Refuses the module when it connects.
    pub fn refuse_connect(&mut self, refuse: &RefuseConnect, at: Option<&Pointer>) {
        let most = (!refuse.until_lifted).then(|| refuse.next.unwrap_or(1));
        self.broker.refuse_connects(refuse.reason, most);
        self.lookout.faults.refusals.push(at.map(|at| at.key("refuse_connect")));
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
        let (Some(targets), Some(number)) = (&self.lookout.faults.targets, self.broker.add_fault(rule)) else {
            return Err(broken("its broker does not inject faults").into());
        };
        locked(&targets.targets).push(target(number)?);
        self.lookout.faults.rules.push((number, at.cloned(), at.is_some() && which.probability.is_none()));
        Ok(())
    }

    fn target(&self, rule: usize, which: &Which<'_>) -> Result<Target, Stop> {
        let case = self.case();
        let payload = which.payload.map(compiled).transpose()?;
        let kind = which.message.map(|kind| (kind, api_of(kind, which.api, case.topics.api)));
        let filter = which.topic.map(|topic| case.filled(topic));
        Ok(Target { rule, way: which.way, kind, filter, payload, captures: self.judging.judge.captures.clone() })
    }

    /// Lets nothing pass the module's connections: for a time, or until it has noticed.
    ///
    /// # Errors
    /// When it does not notice, or does not come back.
    pub async fn half_open(&mut self, span: Option<Duration>, at: &str) -> Result<(), Stop> {
        self.set_mark();
        self.begin_outage();
        let heard = self.heard();
        let mark = self.lookout.observer.mark();
        self.broker.stall();
        match span {
            Some(span) => self.let_pass(span).await?,
            None => self.wait_noticed(mark).await?,
        }
        self.broker.flow();
        self.lookout.observer.drain();
        self.begin_outage();
        if span.is_none() && self.scene.scenario.model.under_test == Side::Client && !self.lookout.module.has_ended() {
            // What the old connection listens to says nothing of the new one.
            let within = self.scene.settings.ready_within;
            self.lookout.wait_until(within, |observer| stalled_are_over(&observer.records, mark)).await?;
            self.wait_back(&heard, at).await?;
            self.judging.judge.past.is_judged = true;
        }
        Ok(())
    }

    /// Takes the broker away for a time, and waits until a client is back.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn broker_away(&mut self, away: BrokerAway, at: &str) -> Result<(), Stop> {
        self.set_mark();
        self.begin_outage();
        let heard = self.heard();
        let is_connected = self.lookout.observer.connections.is_connected();
        self.broker.go_away().await;
        self.let_pass(away.r#for.0).await?;
        if away.forgets_sessions {
            self.broker.forget_sessions();
        }
        self.broker.come_back().await.map_err(|error| broken(&format!("{error}: {}", error.source)))?;
        if !is_connected || self.scene.scenario.model.under_test == Side::Everest {
            return Ok(());
        }
        self.lookout.observer.drain();
        self.wait_back(&heard, at).await?;
        self.judging.judge.past.is_judged = true;
        Ok(())
    }

    /// What the module has under way may be lost, or come in a burst, and not by its fault.
    fn begin_outage(&mut self) {
        self.lookout.observer.drain();
        self.judging.judge.past.cut_off_since = Some(self.lookout.observer.mark());
        self.lookout.observer.monitors.module_cut_off();
        if self.scene.scenario.model.under_test == Side::Everest {
            self.lookout.observer.monitors.heartbeats_changed();
        }
    }

    async fn let_pass(&mut self, span: Duration) -> Result<(), Stop> {
        let deadline = Instant::now() + span;
        while self.lookout.wait(deadline).await? != Wake::Deadline {}
        Ok(())
    }

    /// Waits until the module has given its connection up and connected anew.
    async fn wait_noticed(&mut self, mark: u64) -> Result<(), Stop> {
        let is_modules = |record: &&Record| !is_own(&record.client);
        let connects = self.lookout.observer.records.iter().filter(is_modules);
        let keep_alive = connects.filter_map(|record| match &record.event {
            Event::Connected { keep_alive, .. } => Some(*keep_alive),
            _ => None,
        });
        let module = self.case().culprit();
        let place = self.scene.scenario.place("/steps");
        let Some(keep_alive) = keep_alive.max().filter(|keep_alive| *keep_alive > 0) else {
            let headline =
                format!("{module} asked for no keep-alive: it cannot notice that nothing passes its connection");
            let diagnostic = Diagnostic::new(Severity::Inconclusive, "module/no-keep-alive", headline);
            let diagnostic = diagnostic.about(Subject::Module).at(place);
            return Err(diagnostic.with_help("connect with a keep-alive of some seconds").into());
        };
        // It asks whether the broker is there after one keep-alive, and may wait as long for an answer.
        let within = Duration::from_secs(keep_alive.into()) * 2 + self.scene.settings.ready_within;
        let limit = self.scene.limit();
        if within > limit {
            let headline = format!(
                "{module} may take {} to notice that nothing passes its connection, and the scenario ends after {}",
                shown(within),
                shown(limit)
            );
            let diagnostic = Diagnostic::new(Severity::Inconclusive, "module/long-keep-alive", headline);
            let diagnostic = diagnostic.about(Subject::Module).at(place);
            let diagnostic = diagnostic.with_evidence(format!("its keep-alive is {keep_alive}s"));
            return Err(diagnostic.with_help("connect with a keep-alive of some seconds, or raise `timeout:`").into());
        }
        let is_back = |observer: &Observer| {
            let since = observer.records.partition_point(|record| record.seq < mark);
            let mut records = observer.records[since..].iter().filter(is_modules);
            records.any(|record| matches!(record.event, Event::Connected { .. }))
        };
        if self.lookout.wait_until(within, is_back).await?.is_some() || self.lookout.module.has_ended() {
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
            self.lookout.observer.records.iter().filter_map(|record| match &record.event {
                Event::Injected(injected) => Some(injected),
                _ => None,
            })
        };
        let befell = |rule: usize| injected().any(|it| matches!(it, Injected::Message { rule: by, .. } if *by == rule));
        let idle = self.lookout.faults.rules.iter().filter(|(rule, ..)| !befell(*rule));
        let messages = idle.map(|(_, at, is_needed)| {
            let severity = if *is_needed { Severity::Inconclusive } else { Severity::Note };
            (severity, at.as_ref(), "an injected fault befell no message")
        });
        let is_refused = injected().any(|it| matches!(it, Injected::ConnectRefused(_)));
        let refusals = self.lookout.faults.refusals.iter().filter(|_| !is_refused);
        let refusals =
            refusals.map(|at| (Severity::Inconclusive, at.as_ref(), "no CONNECT came that was to be refused"));
        let told = messages.chain(refusals).map(|(severity, at, headline)| {
            let diagnostic = Diagnostic::new(severity, "scenario/idle-fault", headline);
            match at {
                Some(at) => diagnostic.at(self.scene.scenario.place(at)),
                None => diagnostic,
            }
        });
        told.collect()
    }
}

/// Whether a refusal that was injected is the last that a module has seen of the broker.
pub fn is_refused_last(records: &[Record]) -> bool {
    let mut records = records.iter().rev().filter(|record| !is_own(&record.client));
    let last = records.find_map(|record| match &record.event {
        Event::Injected(Injected::ConnectRefused(_)) => Some(true),
        Event::Connected { .. } | Event::Disconnected { .. } => Some(false),
        _ => None,
    });
    last == Some(true)
}

/// Whether every connection that was stalled since a mark has ended since.
fn stalled_are_over(records: &[Record], mark: u64) -> bool {
    let since = &records[records.partition_point(|record| record.seq < mark)..];
    let is_over = |stalled: &Record| {
        since.iter().any(|it| it.client == stalled.client && matches!(it.event, Event::Disconnected { .. }))
    };
    since.iter().filter(|record| matches!(record.event, Event::Injected(Injected::Stalled))).all(is_over)
}

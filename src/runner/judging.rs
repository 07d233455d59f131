//! Drives the judge: tells it what was seen and what time it is, waits as long as it says, and has its findings told.

use std::time::Duration;

use tokio::time::Instant;

use super::findings;
use super::lookout::{Lookout, Wake};
use super::losses;
use super::observer::{Observer, is_own};
use super::presence;
use super::settings::Scene;
use super::stop::Stop;
use crate::conformance::judge::findings::{Findings, ModuleTraces, no_reply_asked_for};
use crate::conformance::judge::{Decision, Demand, Input, Judge, Means, Moment, NotMet, Why};
use crate::diagnostic::Diagnostic;
use crate::scenario::Pointer;
use crate::scenario::model::{ExpectNone, ExpectReply};
use crate::scenario::step::Step;
use crate::transcript::record::Event;

/// The judge and its clock.
pub struct Judging<'s> {
    scene: &'s Scene<'s>,
    /// The judge.
    pub(super) judge: Judge<'s>,
    /// When its time began.
    epoch: Instant,
}

impl<'s> Judging<'s> {
    /// The time of this judge begins.
    pub fn new(scene: &'s Scene<'s>, judge: Judge<'s>) -> Self {
        Self { scene, judge, epoch: Instant::now() }
    }

    /// What time it is for the judge.
    pub fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Has these expectations met, in any order among themselves. `at` is where they stand as a whole.
    ///
    /// # Errors
    /// When one is not met.
    pub async fn expect(
        &mut self,
        lookout: &mut Lookout<'_>,
        steps: &[(Pointer, &Step)],
        at: &str,
    ) -> Result<(), Stop> {
        self.wait_for_questions(lookout, steps, at).await?;
        let moment = self.moment(lookout);
        self.judge.expect(steps, moment, lookout.observer.view())?;
        self.decide(lookout).await?;
        self.judge.past.end_presentations();
        Ok(())
    }

    /// Has a message come that the module under test has to send; the number of it.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn have_sent(&mut self, lookout: &mut Lookout<'_>, demand: Demand) -> Result<Option<u64>, Stop> {
        let moment = self.moment(lookout);
        self.judge.demand(demand, moment, lookout.observer.view());
        self.decide(lookout).await
    }

    /// The same of what it may do of its own accord: it is waited for no longer than until `in_vain` returns.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn have_done(
        &mut self,
        lookout: &mut Lookout<'_>,
        demand: Demand,
        in_vain: impl Future<Output = ()>,
    ) -> Result<Option<u64>, Stop> {
        let moment = self.moment(lookout);
        self.judge.demand(demand, moment, lookout.observer.view());
        tokio::select! {
            biased;
            decided = self.decide(lookout) => return decided,
            () = in_vain => {}
        }
        self.judge.give_up(self.now());
        self.decide(lookout).await
    }

    /// Has silence kept.
    ///
    /// # Errors
    /// When a forbidden message came.
    pub async fn expect_none(
        &mut self,
        lookout: &mut Lookout<'_>,
        none: &ExpectNone,
        at: &Pointer,
    ) -> Result<(), Stop> {
        let moment = self.moment(lookout);
        self.judge.forbid(none, at, moment, lookout.observer.view())?;
        self.decide(lookout).await.map(drop)
    }

    /// No reply can come, because nobody asked for one.
    pub fn no_reply_asked_for(&self, observer: &Observer, pointer: &str) -> Diagnostic {
        no_reply_asked_for(self.judge.case(), observer.view(), self.judge.claims(), pointer)
    }

    /// Waits until the judge has decided.
    async fn decide(&mut self, lookout: &mut Lookout<'_>) -> Result<Option<u64>, Stop> {
        let mut input = Input::Seen;
        loop {
            let moment = self.moment(lookout);
            let deadline = match self.judge.apply(moment, input, lookout.observer.view()) {
                Decision::Met(seq) => return Ok(seq),
                Decision::NotMet(not_met) => return Err(self.explained(lookout, &not_met).into()),
                Decision::Waiting(deadline) => deadline,
            };
            input = match lookout.wait(self.epoch + deadline.at).await? {
                Wake::Record | Wake::Ended => Input::Seen,
                Wake::Deadline => {
                    lookout.catch_up(deadline.is_prolonged).await;
                    Input::Over
                }
            };
        }
    }

    fn moment(&self, lookout: &Lookout<'_>) -> Moment {
        let (now, held_up) = (self.now(), lookout.held_up());
        Moment { now, held_up, has_ended: lookout.module.has_ended() }
    }

    fn explained(&self, lookout: &Lookout<'_>, not_met: &NotMet) -> Diagnostic {
        let case = self.judge.case();
        let order = match &not_met.why {
            Why::Expected(expectation, _) => {
                presence::of_order(&lookout.observer.records, &case.topics.control_topic(), expectation.since)
            }
            _ => None,
        };
        let traces = ModuleTraces { order, ..self.traces(lookout) };
        let mut found = self.findings(lookout, &traces).explain(not_met);
        losses::consider(case, self.judge.past.mark, lookout, not_met, &mut found);
        found
    }

    /// All that findings are told with.
    pub fn findings<'a>(&'a self, lookout: &'a Lookout<'_>, module: &'a ModuleTraces) -> Findings<'a> {
        Findings {
            case: self.judge.case(),
            view: lookout.observer.view(),
            claims: self.judge.claims(),
            captures: &self.judge.captures,
            module,
        }
    }

    /// What is known of the module besides its messages.
    pub fn traces(&self, lookout: &Lookout<'_>) -> ModuleTraces {
        let control = self.scene.topics.control_topic();
        ModuleTraces {
            end: lookout.module.ended.borrow().clone(),
            ran: lookout.module.description.clone(),
            listening: presence::of_listening(&lookout.observer.records, &control),
            order: None,
            means: self.means(lookout),
        }
    }

    /// How the module can be told what to do.
    pub fn means(&self, lookout: &Lookout<'_>) -> Means {
        let control = self.scene.topics.control_topic();
        let listens = |event: &Event| matches!(event, Event::Subscribed { filter, .. } if presence::asks_for_orders(filter, &control));
        let mut records = lookout.observer.records.iter().filter(|record| !is_own(&record.client));
        Means {
            listens: records.any(|record| listens(&record.event)),
            bound: self.scene.settings.bindings.keys().cloned().collect(),
            by_hand: self.judge.past.is_told_by_hand,
        }
    }

    /// The module ended in the middle of the scenario.
    pub fn ended_while(&self, lookout: &Lookout<'_>, pointer: &str, when: &str) -> Diagnostic {
        self.traces(lookout).ended_while(self.judge.case(), pointer, when)
    }

    /// The module cannot be told to do something at its station.
    pub fn cannot_be_told(&self, lookout: &Lookout<'_>, pointer: &str, command: &str) -> Diagnostic {
        self.traces(lookout).undrivable(self.judge.case(), pointer, command)
    }

    /// Waits until EVerest has asked the validator under test what the replies of these steps are to answer.
    ///
    /// # Errors
    /// When it does not ask: then the scenario is wrong.
    async fn wait_for_questions(
        &self,
        lookout: &mut Lookout<'_>,
        steps: &[(Pointer, &Step)],
        at: &str,
    ) -> Result<(), Stop> {
        let case = self.judge.case();
        if !case.is_asked() {
            return Ok(());
        }
        for (_, step) in steps {
            let Step::ExpectReply(ExpectReply { to, within, .. }) = step else { continue };
            if self.judge.past.replies(to.as_deref()).is_some() {
                continue;
            }
            let within = within.map_or_else(|| case.within(), |span| span.0);
            let question = self.judge.question_sought(to.as_deref());
            let is_asked = |observer: &Observer| {
                question.is_some_and(|(value, since)| observer.view().question(value, since).is_some())
            };
            if lookout.wait_until(within, is_asked).await?.is_none() {
                if lookout.module.has_ended() {
                    return Err(self.ended_while(lookout, at, "while a question to it was expected").into());
                }
                return Err(findings::nothing_asked(case, at).into());
            }
        }
        Ok(())
    }
}

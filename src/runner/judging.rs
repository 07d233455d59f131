//! Drives the judge: tells it what was seen and what time it is, waits as long as it says, and has its findings told.

use super::drive::asks_for_orders;
use super::findings;
use super::losses;
use super::observer::{Observer, is_own};
use super::presence;
use super::stage::{Stage, Stop, Wake};
use crate::conformance::judge::findings::{Findings, ModuleTraces, no_reply_asked_for};
use crate::conformance::judge::{Decision, Demand, Input, Means, Moment, NotMet, View, Why};
use crate::diagnostic::Diagnostic;
use crate::scenario::Pointer;
use crate::scenario::model::{ExpectNone, ExpectReply};
use crate::scenario::step::Step;
use crate::transcript::record::Event;

impl Stage<'_> {
    /// Has these expectations met, in any order among themselves. `at` is where they stand as a whole.
    ///
    /// # Errors
    /// When one is not met.
    pub async fn expect(&mut self, steps: &[(Pointer, &Step)], at: &str) -> Result<(), Stop> {
        self.wait_for_questions(steps, at).await?;
        let moment = self.moment();
        self.judge.expect(steps, moment, view(&self.observer))?;
        self.decide().await?;
        self.judge.past.end_presentations();
        Ok(())
    }

    /// Has a message come that the module under test has to send; the number of it.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn have_sent(&mut self, demand: Demand) -> Result<Option<u64>, Stop> {
        let moment = self.moment();
        self.judge.demand(demand, moment, view(&self.observer));
        self.decide().await
    }

    /// Has silence kept.
    ///
    /// # Errors
    /// When a forbidden message came.
    pub async fn expect_none(&mut self, none: &ExpectNone, at: &Pointer) -> Result<(), Stop> {
        let moment = self.moment();
        self.judge.forbid(none, at, moment, view(&self.observer))?;
        self.decide().await.map(drop)
    }

    /// No reply can come, because nobody asked for one.
    pub fn no_reply_asked_for(&self, pointer: &str) -> Diagnostic {
        no_reply_asked_for(self.judge.case(), view(&self.observer), self.judge.claims(), pointer)
    }

    /// Waits until the judge has decided.
    async fn decide(&mut self) -> Result<Option<u64>, Stop> {
        let mut input = Input::Seen;
        loop {
            let moment = self.moment();
            let deadline = match self.judge.apply(moment, input, view(&self.observer)) {
                Decision::Met(seq) => return Ok(seq),
                Decision::NotMet(not_met) => return Err(self.explained(&not_met).into()),
                Decision::Waiting(deadline) => deadline,
            };
            input = match self.wait(self.epoch + deadline.at).await? {
                Wake::Record | Wake::Ended => Input::Seen,
                Wake::Deadline => {
                    if deadline.is_prolonged {
                        // A process that was held up is woken by its deadline before it has read its sockets.
                        self.lag.settle().await;
                    }
                    self.observer.drain();
                    Input::Over
                }
            };
        }
    }

    fn moment(&self) -> Moment {
        let (now, held_up) = (self.epoch.elapsed(), self.lag.total());
        Moment { now, held_up, has_ended: self.module.has_ended() }
    }

    fn explained(&self, not_met: &NotMet) -> Diagnostic {
        let control = self.scene.topics.control_topic();
        let order = match &not_met.why {
            Why::Expected(expectation, _) => presence::of_order(&self.observer.records, &control, expectation.since),
            _ => None,
        };
        let mut found = self.findings(&ModuleTraces { order, ..self.traces() }).explain(not_met);
        losses::consider(self, not_met, &mut found);
        found
    }

    /// All that findings are told with.
    pub fn findings<'a>(&'a self, module: &'a ModuleTraces) -> Findings<'a> {
        Findings {
            case: self.judge.case(),
            view: view(&self.observer),
            claims: self.judge.claims(),
            captures: &self.judge.captures,
            module,
        }
    }

    /// What is known of the module besides its messages.
    pub fn traces(&self) -> ModuleTraces {
        ModuleTraces {
            end: self.module.ended.borrow().clone(),
            ran: self.module.description.clone(),
            listening: presence::of_listening(&self.observer.records, &self.scene.topics.control_topic()),
            order: None,
            means: self.means(),
        }
    }

    /// How the module can be told what to do.
    pub fn means(&self) -> Means {
        let control = self.scene.topics.control_topic();
        let listens =
            |event: &Event| matches!(event, Event::Subscribed { filter, .. } if asks_for_orders(filter, &control));
        let mut records = self.observer.records.iter().filter(|record| !is_own(&record.client));
        Means {
            listens: records.any(|record| listens(&record.event)),
            bound: self.settings.bindings.keys().cloned().collect(),
            by_hand: self.judge.past.is_told_by_hand,
        }
    }

    /// Waits until EVerest has asked the validator under test what the replies of these steps are to answer.
    ///
    /// # Errors
    /// When it does not ask: then the scenario is wrong.
    async fn wait_for_questions(&mut self, steps: &[(Pointer, &Step)], at: &str) -> Result<(), Stop> {
        if !self.judge.case().is_asked() {
            return Ok(());
        }
        for (_, step) in steps {
            let Step::ExpectReply(ExpectReply { to, within, .. }) = step else { continue };
            if self.judge.past.reply_topic(to.as_deref()).is_some() {
                continue;
            }
            let within = within.map_or_else(|| self.judge.case().within(), |span| span.0);
            let question = self.judge.question_sought(to.as_deref());
            let is_asked = |observer: &Observer| {
                question.is_some_and(|(value, since)| view(observer).question(value, since).is_some())
            };
            if self.wait_until(within, is_asked).await?.is_none() {
                if self.module.has_ended() {
                    return Err(findings::ended_while(self, at, "while a question to it was expected").into());
                }
                return Err(findings::nothing_asked(self.scenario, at).into());
            }
        }
        Ok(())
    }
}

/// The wire as it was seen until now.
pub fn view(observer: &Observer) -> View<'_> {
    let subscriptions = &observer.connections.subscriptions;
    View { messages: &observer.messages, requests: observer.requests(), subscriptions }
}

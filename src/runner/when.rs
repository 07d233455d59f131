//! `when`: what a module may do of its own accord, and what is judged if it does.
//!
//! A section of a play. If the module does not do it, or what follows hangs on what it was not told, the section is not
//! exercised, and the play goes on behind it.

use std::time::Duration;

use super::experience::REACTION;
use super::settings::{Binding as Told, ModuleSource};
use super::stage::Stage;
use super::stop::Stop;
use crate::conformance::judge::{After, Demand, Expectation, Prompt, Replies};
use crate::conformance::sighting::{Party, Request};
use crate::scenario::Pointer;
use crate::scenario::model::When;
use crate::scenario::step::Step;

impl Stage<'_> {
    /// Plays a section.
    ///
    /// # Errors
    /// What fails in it.
    pub async fn when(&mut self, when: &When, at: &Pointer) -> Result<(), Stop> {
        let at = at.key("when");
        match Box::pin(self.section(when, &at)).await {
            Err(Stop::Found(mut found)) => {
                let traces = self.judging.traces(&self.lookout);
                self.judging.findings(&self.lookout, &traces).let_off(&mut found);
                if !found.is_unexercised {
                    return Err(Stop::Found(found));
                }
                self.lookout.observer.findings.push(*found);
                Ok(())
            }
            outcome => outcome,
        }
    }

    async fn section(&mut self, when: &When, at: &Pointer) -> Result<(), Stop> {
        let expect = Step::Expect(when.expect.clone());
        if self.follows(&when.told).await? {
            self.play(&when.told, &at.key("told")).await?;
            // What it was told to say is looked at more closely.
            self.judging.expect(&mut self.lookout, &[(at.clone(), &expect)], at).await?;
        } else {
            let expectation = self.judging.judge.own_expectation(&expect, at, self.lookout.observer.view())?;
            let seq = self.await_accord(expectation, &when.told).await?;
            let request = seq.and_then(|seq| self.lookout.observer.view().request(seq));
            if let Some(Request { reply_topic, seq, .. }) = request {
                let replies = Replies { topic: reply_topic.clone(), since: *seq };
                self.judging.judge.past.request(None, replies);
            }
        }
        self.play(&when.steps, &at.key("steps")).await
    }

    /// Waits for what the module may do of its own accord, or for what follows from that.
    async fn await_accord(&mut self, expectation: Expectation, told: &[Step]) -> Result<Option<u64>, Stop> {
        let what = expectation.in_words();
        let Expectation { pointer, within, by, what: sought, .. } = expectation;
        let frame = self.scene.frame();
        let by_itself = told.iter().filter_map(|step| step.row(frame).follows).filter_map(|command| {
            match self.scene.settings.bindings.get(command) {
                Some(Told::ByItself(within)) => Some(within.0),
                _ => None,
            }
        });
        // Its user knows how long it may take.
        let by_itself = by_itself.max();
        let within = by_itself.map_or(within, |known| known.max(within));
        let prompt = Prompt::Awaited(within);
        let demand = Demand { pointer, within, by, what: sought, prompt, after: After::InOrder };
        // One that runs on is of another age in each scenario.
        let is_ageless = self.scene.settings.module == ModuleSource::Attached;
        if by != Party::Module || is_ageless || by_itself.is_some() {
            return self.judging.have_sent(&mut self.lookout, demand).await;
        }
        let experience = self.lookout.experience.clone();
        let until = self.age() + within;
        let outcome =
            self.judging.have_done(&mut self.lookout, demand, experience.in_vain(&what, until, REACTION)).await;
        match &outcome {
            Ok(_) => experience.has_done(what),
            // Who waits for a reply to its last request says nothing of whether it makes one.
            Err(Stop::Found(found)) if found.id == "module/not-exercised" => {
                experience.has_not_done(what, self.age());
            }
            Err(_) => {}
        }
        outcome
    }

    /// How long the module has been ready.
    fn age(&self) -> Duration {
        self.judging.now().saturating_sub(self.judging.judge.past.ready_at)
    }

    /// Whether there is something to tell the module, and it can be told.
    async fn follows(&mut self, told: &[Step]) -> Result<bool, Stop> {
        for step in told {
            let Some(command) = step.row(self.scene.frame()).follows else { continue };
            if self.scene.settings.cannot.contains(command) || !self.can_be_told(command).await? {
                return Ok(false);
            }
        }
        Ok(!told.is_empty())
    }
}

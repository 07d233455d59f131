//! `when`: what a module may do of its own accord, and what is judged if it does.
//!
//! A section of a play. If the module does not do it, or what follows hangs on what it was not told, the section is not
//! exercised, and the play goes on behind it.

use super::stage::Stage;
use super::stop::Stop;
use crate::conformance::judge::{After, Demand, Prompt, Replies};
use crate::conformance::sighting::Request;
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
            let prompt = Prompt::Awaited(expectation.within);
            let demand = Demand {
                pointer: expectation.pointer,
                within: expectation.within,
                by: expectation.by,
                what: expectation.what,
                prompt,
                after: After::InOrder,
            };
            let seq = self.judging.have_sent(&mut self.lookout, demand).await?;
            let request = seq.and_then(|seq| self.lookout.observer.view().request(seq));
            if let Some(Request { reply_topic, seq, .. }) = request {
                let replies = Replies { topic: reply_topic.clone(), since: *seq };
                self.judging.judge.past.request(None, replies);
            }
        }
        self.play(&when.steps, &at.key("steps")).await
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

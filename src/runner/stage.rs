//! The stage of one scenario: who plays on it, what is seen from it, and who judges. It sends, and waits until the broker has
//! what was sent; the steps are played by the files that are named after them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::judging::Judging;
use super::learnt::Learnt;
use super::lookout::{Lookout, Wake};
use super::played::{Cast, Played};
use super::settings::Scene;
use super::stop::{Stop, broken};
use crate::broker::Broker;
use crate::conformance::judge::{Case, Judge};
use crate::conformance::requirements::{self, Requirement};
use crate::conformance::sighting::{Sighting, Way};
use crate::sim::everest::Order;
use crate::station::config::TokenConfig;

/// How long a message of khumbu's own may take to the broker.
const OWN_MESSAGE: Duration = Duration::from_secs(10);

/// The stage.
pub struct Stage<'s> {
    /// What is played with: scenario, settings, topics and station.
    pub(super) scene: &'s Scene<'s>,
    /// The broker of this scenario.
    pub(super) broker: &'s Broker,
    /// What happens: the record and the module under test.
    pub(super) lookout: Lookout<'s>,
    /// What judges the expectations.
    pub(super) judging: Judging<'s>,
    /// Everyone whom khumbu plays.
    pub(super) cast: Cast,
    /// What was learnt of the module.
    pub(super) learnt: Learnt,
    /// Tokens as validators see them now.
    pub(super) tokens: BTreeMap<String, TokenConfig>,
    /// The simulated EVerest has taken in what is before the message of this number.
    taken_in: usize,
    /// Whether stimuli come at the same instant.
    pub(super) is_at_once: bool,
    /// The requirement that is judged now: what fails breaks it, unless it names its own.
    pub(super) about: Option<&'static Requirement>,
}

impl<'s> Stage<'s> {
    /// A stage on which nothing was played.
    pub fn new(scene: &'s Scene<'s>, broker: &'s Broker, lookout: Lookout<'s>, judge: Judge<'s>, cast: Cast) -> Self {
        let (judging, learnt, tokens) = (Judging::new(scene, judge), Learnt::default(), scene.station.tokens.clone());
        let about = requirements::first_of(&scene.scenario.model.requirements);
        Self { scene, broker, lookout, judging, cast, learnt, tokens, taken_in: 0, is_at_once: false, about }
    }

    /// The scenario as it is judged.
    pub fn case(&self) -> &Case<'s> {
        self.judging.judge.case()
    }

    /// A token of the station as validators see it now.
    ///
    /// # Errors
    /// When there is none of that name; the checker has looked at all names before.
    pub fn token(&self, name: &str) -> Result<&TokenConfig, Stop> {
        self.tokens.get(name).ok_or_else(|| unknown_token(name))
    }

    /// The same, to be changed.
    ///
    /// # Errors
    /// As [`Stage::token`].
    pub fn token_mut(&mut self, name: &str) -> Result<&mut TokenConfig, Stop> {
        self.tokens.get_mut(name).ok_or_else(|| unknown_token(name))
    }

    /// A stimulus comes: what is seen from now on counts.
    pub fn set_mark(&mut self) {
        self.judging.judge.past.set_mark(self.lookout.observer.mark());
        if let Played::Everest { charge_point: Some(charge_point), .. } = &mut self.cast.played {
            charge_point.set_mark();
        }
    }

    /// Waits until everything that the simulated EVerest has sent by now is in the record, so that a mark that is set
    /// later stands behind it.
    ///
    /// # Errors
    /// As [`Lookout::wait`].
    pub async fn reach_record(&mut self) -> Result<(), Stop> {
        let topic = self.scene.topics.mark_topic();
        let from = self.lookout.observer.messages.len();
        let mark = Order::Publish { topic: topic.clone(), payload: Bytes::new(), qos: 0, retain: false };
        self.cast.played.order(mark)?;
        self.reach_broker(from, &topic).await
    }

    /// Waits until the simulated EVerest has taken in what others have said by now: what happens to it next goes another
    /// way, and must not overtake that.
    ///
    /// # Errors
    /// When it has broken down.
    pub async fn catch_up(&mut self) -> Result<(), Stop> {
        self.lookout.observer.drain();
        let Played::Everest { client_id, .. } = &self.cast.played else { return Ok(()) };
        let messages = &self.lookout.observer.messages;
        let from = std::mem::replace(&mut self.taken_in, messages.len());
        let is_news = |seen: &Sighting| seen.way == Way::Sent && *seen.client != **client_id;
        if messages[from..].iter().any(is_news) {
            let (done, is_done) = oneshot::channel();
            self.cast.played.order(Order::CatchUp(done))?;
            is_done.await.map_err(|_| broken("the simulated EVerest has ended"))?;
        }
        Ok(())
    }

    /// Waits until the broker has taken a message of khumbu's own on this topic, the first behind message `from`. What
    /// khumbu says next may go over another connection, and must not overtake it.
    ///
    /// # Errors
    /// As [`Lookout::wait`].
    pub async fn reach_broker(&mut self, from: usize, topic: &str) -> Result<(), Stop> {
        let mut patience = self.lookout.patience();
        while !self.lookout.observer.is_taken(from, topic) {
            if self.lookout.wait(patience.deadline(OWN_MESSAGE)).await? == Wake::Deadline
                && patience.is_over(OWN_MESSAGE).await
            {
                return Err(broken(&format!("its message on `{topic}` does not reach the broker")).into());
            }
        }
        if self.scene.settings.upstream.is_some()
            && let Played::Client(client) = &self.cast.played
        {
            // Behind a relay QoS 0 says nothing of its arrival; what comes later on the connection is answered later.
            let mark = self.scene.topics.mark_topic();
            client.link().subscribe(&[mark], 0).await.map_err(|error| broken(&error.to_string()))?;
        }
        Ok(())
    }
}

fn unknown_token(name: &str) -> Stop {
    broken(&format!("the station has no token `{name}`")).into()
}

//! What happens to the station or to the module: commands, a restart, a lost connection. Each is a stimulus, from which on
//! expectations count.

use serde_json::{Value, json};

use super::findings;
use super::played::Played;
use super::stage::Stage;
use super::stop::{Stop, broken};
use crate::conformance::judge::Prompt;
use crate::protocol::control::{Command, DISCONNECT, RESTART_EVEREST, command_name};
use crate::protocol::side::Side;
use crate::sim::everest::Order;

impl Stage<'_> {
    /// Does something at the station: ours, or the one of the module under test.
    ///
    /// # Errors
    /// When it comes to nothing, or the module cannot be told.
    pub async fn stimulate(&mut self, command: Command, at: &str) -> Result<(), Stop> {
        self.set_mark();
        if !self.is_at_once {
            self.catch_up().await?;
        }
        match &self.cast.played {
            Played::Everest { .. } => {
                let name = command_name(&command);
                let is_token = matches!(command, Command::PresentToken { .. });
                self.note_deed(&json!(command));
                let (answer, ignored) = tokio::sync::oneshot::channel();
                self.cast.played.order(Order::Command(Box::new(command), answer))?;
                match ignored.await {
                    Ok(None) => self.reach_record().await,
                    // Whoever presents a token twice at once means to have one of them ignored.
                    Ok(Some(_)) if self.is_at_once && is_token => self.reach_record().await,
                    Ok(Some(why)) => Err(findings::ignored(self.case(), at, &name, &why).into()),
                    Err(_) => Err(broken("the simulated EVerest has ended").into()),
                }
            }
            Played::Client(_) => self.demand_silently(command, at).await,
        }
    }

    /// Has the recording, if there is one, say what no message shows.
    pub(super) fn note_deed(&mut self, what: &Value) {
        let topic = self.scene.topics.control_topic();
        self.lookout.observer.note_deed(&topic, what);
    }

    /// Tells the module under test something that no message shows.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn demand_silently(&mut self, command: Command, at: &str) -> Result<(), Stop> {
        match self.tell(&command, at).await? {
            Prompt::Told | Prompt::ByItself(_) | Prompt::Awaited(_) => Ok(()),
            Prompt::Never => Err(self.judging.cannot_be_told(&self.lookout, at, &command_name(&command)).into()),
        }
    }

    /// EVerest ends and starts again, be it khumbu's or the module under test.
    ///
    /// # Errors
    /// When it does not come up again.
    pub async fn restart_everest(&mut self) -> Result<(), Stop> {
        self.set_mark();
        self.judging.judge.past.end_presentations();
        self.catch_up().await?;
        self.note_deed(&json!({RESTART_EVEREST: {}}));
        self.lookout.observer.monitors.everest_restarted();
        match &self.cast.played {
            Played::Everest { .. } => {
                self.cast.played.restart().await?;
                self.remind_of_csms()?;
                self.teach_station().await
            }
            Played::Client(_) => {
                self.restart_module().await?;
                self.judging.judge.past.is_judged = true;
                Ok(())
            }
        }
    }

    /// The module under test is cut off, and comes back if it is a client.
    ///
    /// # Errors
    /// When it stays away.
    pub async fn disconnect(&mut self, at: &str) -> Result<(), Stop> {
        self.set_mark();
        self.judging.judge.past.cut_off_since = Some(self.lookout.observer.mark());
        self.lookout.observer.monitors.module_cut_off();
        self.note_deed(&json!({DISCONNECT: {}}));
        let heard = self.heard();
        let clients: Vec<_> = self.lookout.observer.connections.subscriptions.keys().cloned().collect();
        for client in &clients {
            self.broker.disconnect(client);
        }
        if clients.is_empty() || self.scene.scenario.model.under_test == Side::Everest {
            return Ok(());
        }
        self.lookout.observer.drain();
        self.wait_back(&heard, at).await?;
        self.judging.judge.past.is_judged = true;
        Ok(())
    }
}

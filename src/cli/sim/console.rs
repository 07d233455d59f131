//! Follows the commands of `khumbu sim`: each goes to the station, and into the recording if there is one.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::commands::{self, Words};
use crate::cli::recorder::RecordingFile;
use crate::protocol::control::{AtConnector, AtEvse, Command, HeartbeatControl, RESTART_EVEREST, control_topic_of};
use crate::protocol::types::AuthorizationStatus;
use crate::sim::everest::Order;
use crate::station::config::TokenConfig;
use crate::timespan::Timespan;
use crate::transcript::record::Record;

/// Follows commands that an author types.
pub struct Console {
    /// Of the station that it is for.
    pub module_id: String,
    /// Where commands go.
    pub orders: mpsc::UnboundedSender<Order>,
    /// The tokens of the station, with what validators will say of them.
    pub tokens: BTreeMap<String, TokenConfig>,
    /// How many EVSEs the station has.
    pub evses: u8,
    /// What is typed stands in it, with the time since then.
    pub recording: Option<(Arc<RecordingFile>, Instant)>,
}

impl Console {
    /// The words that may be typed.
    pub fn words(&self) -> Words {
        Words { tokens: self.tokens.keys().cloned().collect(), evses: self.evses }
    }

    /// Follows one line; what it answers, or what is wrong with it.
    pub async fn follow(&mut self, line: &str) -> Result<String, String> {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let [name, arguments @ ..] = &words[..] else { return Ok(String::new()) };
        let command = match (*name, arguments) {
            ("help", []) => return Ok(commands::list()),
            ("help", [name]) => return commands::help(name),
            ("status", []) => return self.status().await,
            ("restart_everest", []) => return self.restart().await,
            ("set_verdict", [token, verdict]) => return self.set_verdict(token, verdict),
            ("present_token", [token]) => self.token(token)?.to_command(),
            ("plug_in", [evse]) => Command::PlugIn(AtConnector { evse: self.evse(evse)?, connector: None }),
            ("unplug", [evse]) => Command::Unplug(AtEvse { evse: self.evse(evse)? }),
            ("start_transaction", [evse]) => Command::StartTransaction(AtEvse { evse: self.evse(evse)? }),
            ("stop_transaction", [evse]) => Command::StopTransaction(AtEvse { evse: self.evse(evse)? }),
            ("inject_fault", [evse]) => Command::InjectFault(AtConnector { evse: self.evse(evse)?, connector: None }),
            ("clear_fault", [evse]) => Command::ClearFault(AtConnector { evse: self.evse(evse)?, connector: None }),
            ("heartbeats", ["pause"]) => Command::Heartbeats(HeartbeatControl::Pause),
            ("heartbeats", ["resume"]) => Command::Heartbeats(HeartbeatControl::Resume),
            ("heartbeats", ["every", span]) => {
                let span: Timespan = span.parse()?;
                let millis = u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX).max(1);
                Command::Heartbeats(HeartbeatControl::Every(millis))
            }
            ("heartbeats", ["next", value]) => {
                let value = value.parse().map_err(|_| format!("`{value}` is no 64-bit number"))?;
                Command::Heartbeats(HeartbeatControl::Next(value))
            }
            _ => return Err(commands::misused(name)),
        };
        let (answer, ignored) = oneshot::channel();
        self.note(&json!(command));
        self.order(Order::Command(Box::new(command), answer))?;
        match ignored.await {
            Ok(None) => Ok(String::new()),
            Ok(Some(why)) => Err(format!("`{line}` came to nothing: {why}")),
            Err(_) => Err("the simulation has ended".to_owned()),
        }
    }

    /// Has the recording say what no message shows.
    fn note(&self, what: &Value) {
        if let Some((recording, started)) = &self.recording {
            let topic = control_topic_of(&self.module_id);
            recording.take(&Record::of_deed(started.elapsed(), &topic, what));
        }
    }

    fn order(&self, order: Order) -> Result<(), String> {
        self.orders.send(order).map_err(|_| "the simulation has ended".to_owned())
    }

    async fn status(&self) -> Result<String, String> {
        let (answer, status) = oneshot::channel();
        self.order(Order::Status(answer))?;
        let status = status.await.map_err(|_| "the simulation has ended".to_owned())?;
        Ok(format!("{status:#}\n"))
    }

    async fn restart(&self) -> Result<String, String> {
        let (done, again) = oneshot::channel();
        self.note(&json!({RESTART_EVEREST: {}}));
        self.order(Order::Restart(done))?;
        match again.await {
            Ok(Ok(())) => Ok(String::new()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the simulation has ended".to_owned()),
        }
    }

    fn set_verdict(&mut self, token: &str, verdict: &str) -> Result<String, String> {
        let known = || {
            let meant = commands::meant(verdict, commands::VERDICTS);
            format!("`{verdict}` is no verdict; {meant}there are {}", commands::VERDICTS.join(", "))
        };
        let verdict: AuthorizationStatus = serde_json::from_value(json!(verdict)).map_err(|_| known())?;
        self.token(token)?;
        if let Some(config) = self.tokens.get_mut(token) {
            config.verdict = verdict;
        }
        Ok(String::new())
    }

    fn token(&self, name: &str) -> Result<&TokenConfig, String> {
        self.tokens.get(name).ok_or_else(|| {
            let names: Vec<_> = self.tokens.keys().map(String::as_str).collect();
            let meant = commands::meant(name, names.iter().copied());
            format!("the station has no token `{name}`; {meant}it has {}", names.join(", "))
        })
    }

    fn evse(&self, text: &str) -> Result<i32, String> {
        text.parse().map_err(|_| match self.evses {
            1 => format!("`{text}` is no EVSE id; the station has EVSE 1"),
            evses => format!("`{text}` is no EVSE id; the station has EVSEs 1 to {evses}"),
        })
    }
}

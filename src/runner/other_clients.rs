//! The other API modules of a station: the clients that khumbu plays at them.
//!
//! For an EVerest under test these are its token provider and its token validator. For a client under test it is the
//! validator alone, because the simulated EVerest asks it and can do without the others.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::module::verdicts;
use super::observer::own_client;
use super::settings::Scene;
use super::stop::{Stop, broken};
use crate::broker::Broker;
use crate::protocol::channel::{ApiType, Topics};
use crate::protocol::control::Command;
use crate::sim::bugs::edge::Edge;
use crate::sim::client::check_period;
use crate::sim::link::LinkError;
use crate::sim::player::{Part, run_played};

/// How long a client may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(1);

/// The clients, by their API.
#[derive(Debug, Default)]
pub struct OtherClients(BTreeMap<ApiType, OtherClient>);

#[derive(Debug)]
struct OtherClient {
    topics: Topics,
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<Result<(), LinkError>>,
}

impl Drop for OtherClient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl OtherClients {
    /// Connects them; they have subscribed when this is over.
    ///
    /// # Errors
    /// When one has no connection.
    pub async fn open(scene: &Scene<'_>, broker: &Broker) -> Result<Self, LinkError> {
        let mut other_apis = Self::default();
        for topics in scene.played_other_apis() {
            let seconds = scene.station.cadence(topics.api).map_or(0, |cadence| cadence.check_within_s);
            let part = Part {
                address: broker.address(),
                client_id: own_client(),
                topics: topics.clone(),
                period: check_period(seconds),
                verdicts: verdicts(&scene.station),
                wire: scene.wire,
                edge: Edge::default(),
            };
            let (commands, received) = mpsc::unbounded_channel();
            let (ready, is_ready) = oneshot::channel();
            let task = tokio::spawn(run_played(part, received, ready));
            other_apis.0.insert(topics.api, OtherClient { topics: topics.clone(), commands, task });
            is_ready.await.unwrap_or(Err(LinkError::Lost))?;
        }
        Ok(other_apis)
    }

    /// Begins the communication checks of those whose module asks for them.
    ///
    /// # Errors
    /// As [`OtherClients::tell`].
    pub fn begin_checks(&self, scene: &Scene<'_>) -> Result<(), Stop> {
        for api in self.0.keys() {
            if scene.station.cadence(*api).is_some_and(|cadence| cadence.check_within_s > 0) {
                self.tell(*api, Command::CommunicationCheck(true))?;
            }
        }
        Ok(())
    }

    /// Whether khumbu plays the client of this API.
    pub fn has(&self, api: ApiType) -> bool {
        self.0.contains_key(&api)
    }

    /// Tells the client of an API what to do; the topics on which it will do it.
    ///
    /// # Errors
    /// When it has broken down, or there is none.
    pub fn tell(&self, api: ApiType, command: Command) -> Result<&Topics, Stop> {
        let told = self.0.get(&api).filter(|other_api| other_api.commands.send(command).is_ok());
        let ended = || broken(&format!("the simulated {} has ended", api.name())).into();
        told.map(|other_api| &other_api.topics).ok_or_else(ended)
    }

    /// Ends them.
    pub async fn close(self) {
        for mut other_api in self.0.into_values() {
            // Nothing is sent any more: they say goodbye.
            (other_api.commands, _) = mpsc::unbounded_channel();
            // Its outcome says no more than what the record showed.
            let _ = timeout(FAREWELL, &mut other_api.task).await;
        }
    }
}

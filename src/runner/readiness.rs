//! When the module under test is ready, so that nothing is lost that a scenario says to it.
//!
//! A client is ready when it listens, EVerest when it serves: two questions, both answered here and nowhere else. Nothing
//! here speaks to the module.

use std::time::Duration;

use super::observer::{Kind, Observer, Party, is_own};
use super::stage::{Stage, Stop, shown};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::topic;
use crate::scenario::model::{Ready, Side};
use crate::transcript::record::Event;

/// How long a token provider that says nothing may go on saying nothing before the scenario begins.
const SETTLED: Duration = Duration::from_secs(1);

impl Stage<'_> {
    /// Waits until the module is ready.
    ///
    /// # Errors
    /// `inconclusive` when it does not become ready.
    pub async fn wait_ready(&mut self) -> Result<(), Stop> {
        let told = self.scenario.model.ready.clone().or_else(|| self.settings.ready.clone());
        match (told, self.scenario.model.under_test) {
            (Some(Ready::Connected), _) => {
                self.ready_when("connected", |observer| observer.connections.is_connected()).await
            }
            (Some(Ready::CommunicationCheck), _) => {
                let is_check = |kind: &Kind| *kind == Kind::Channel(Channel::CommunicationCheck);
                self.ready_when("a communication check came", |observer| {
                    observer.messages.iter().any(|seen| seen.from == Party::Module && is_check(&seen.kind))
                })
                .await
            }
            (Some(Ready::Topic(filter)), _) => {
                let filter = self.filled(&filter);
                self.ready_when(&format!("a message came on `{filter}`"), |observer| {
                    let mut messages = observer.messages.iter().filter(|seen| seen.from == Party::Module);
                    messages.any(|seen| topic::matches(&filter, &seen.publish.topic))
                })
                .await
            }
            // Such a client has nothing that it must listen to.
            (None, Side::Client) if self.scene.topics.api == ApiType::AuthTokenProvider => {
                self.wait_provider_begun().await
            }
            (Some(Ready::Subscribed) | None, Side::Client) => self.wait_client_listens().await,
            (Some(Ready::Subscribed) | None, Side::Everest) => self.wait_everest_serves().await,
        }
    }

    /// A client is ready when it has subscribed to anything that EVerest says.
    async fn wait_client_listens(&mut self) -> Result<(), Stop> {
        let topics = &self.scene.topics;
        let heard = topics.api.channels().iter().filter(|channel| channel.is_from_everest());
        let is_asked = topics.api == ApiType::AuthTokenValidator;
        // A validator that hears no questions is none.
        let heard = heard.filter(|channel| !is_asked || **channel == Channel::ValidateToken);
        let wanted: Vec<_> = heard.map(|channel| topics.topic(*channel)).collect();
        let meaning = format!("subscribed to {}", last_levels(&wanted).join(" or "));
        self.ready_when(&meaning, |observer| wanted.iter().any(|topic| observer.connections.is_subscribed(topic))).await
    }

    /// A token provider has begun when it has subscribed or sent something; one that does neither, a moment after it has
    /// connected.
    async fn wait_provider_begun(&mut self) -> Result<(), Stop> {
        self.ready_when("connected", |observer| observer.connections.is_connected()).await?;
        let (control, heartbeat) = (self.scene.topics.control_topic(), self.scene.topics.topic(Channel::Heartbeat));
        let has_begun = |observer: &Observer| {
            let connections = &observer.connections;
            connections.is_subscribed(&control)
                || connections.is_subscribed(&heartbeat)
                || observer.messages.iter().any(|seen| seen.from == Party::Module)
        };
        self.wait_until(SETTLED, has_begun).await?;
        Ok(())
    }

    /// EVerest is ready when it has subscribed to all that clients may ask it.
    async fn wait_everest_serves(&mut self) -> Result<(), Stop> {
        let mut wanted = vec![self.scene.topics.topic(Channel::WithdrawAuthorization)];
        for sister in self.scene.played_sisters() {
            wanted.push(sister.topic(match sister.api {
                ApiType::AuthTokenProvider => Channel::ProvidedToken,
                _ => Channel::ValidateResultUpdate,
            }));
        }
        let meaning = format!("subscribed to {}", last_levels(&wanted).join(" and "));
        self.ready_when(&meaning, |observer| wanted.iter().all(|topic| observer.connections.is_subscribed(topic))).await
    }

    /// Waits until this holds, which is what ready means.
    async fn ready_when(&mut self, meaning: &str, condition: impl Fn(&Observer) -> bool) -> Result<(), Stop> {
        match self.wait_until(self.settings.ready_within, condition).await? {
            Some(()) => Ok(()),
            None => Err(self.not_ready(meaning).into()),
        }
    }

    fn not_ready(&self, meaning: &str) -> Diagnostic {
        let module = &self.scene.topics.module_id;
        let within = shown(self.settings.ready_within);
        let connections = &self.observer.connections;
        let ended = self.module.ended.borrow().clone();
        let is_connection = |event: &Event, client: &str| matches!(event, Event::Connected { .. }) && !is_own(client);
        let connected_once = self.observer.records.iter().any(|record| is_connection(&record.event, &record.client));
        let mut diagnostic = match (&ended, connected_once) {
            (Some(how), _) => Diagnostic::new(
                Severity::Inconclusive,
                "module/ended-early",
                format!("module `{module}` {how} before it was ready"),
            )
            .with_help("start the command by hand and read what it says"),
            (None, false) => Diagnostic::new(
                Severity::Inconclusive,
                "module/never-connected",
                format!("module `{module}` had no connection accepted within {within}"),
            )
            .with_help(
                "pass `{host}` and `{port}` to the module, or let it read MQTT_SERVER_ADDRESS and MQTT_SERVER_PORT",
            ),
            (None, true) => Diagnostic::new(
                Severity::Inconclusive,
                "module/never-ready",
                format!("module `{module}` connected but was not ready within {within}"),
            )
            .with_evidence(format!("ready means: {meaning}"))
            .with_help("say what ready means for this module with `--ready connected`, or `ready:` in khumbu.yaml"),
        };
        diagnostic.place = Some(self.scenario.place("/under_test"));
        diagnostic = diagnostic.with_evidence(format!("ran: {}", self.module.description)).with_evidence(format!(
            "broker {}: {} TCP connections, {} MQTT clients now",
            self.broker.address(),
            connections.accepted,
            connections.subscriptions.len()
        ));
        for why in &connections.refused {
            diagnostic = diagnostic.with_evidence(format!("refused: {why}"));
        }
        for (client, filters) in &connections.subscriptions {
            let filters: Vec<_> = filters.iter().map(|filter| self.elided(filter)).collect();
            diagnostic = diagnostic.with_evidence(format!("client `{client}` subscribes to: {}", filters.join(", ")));
        }
        diagnostic
    }
}

fn last_levels(topics: &[String]) -> Vec<&str> {
    topics.iter().map(|topic| topic.rsplit('/').next().unwrap_or_default()).collect()
}

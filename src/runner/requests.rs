//! Requests of a client: khumbu makes them where it plays the client, and demands them of a client under test.

use std::time::Duration;

use serde_json::{Value, json};

use super::judging::view;
use super::played::Played;
use super::stage::{Stage, Stop, broken};
use super::steps::strings_filled;
use crate::conformance::judge::{After, Demand, What};
use crate::conformance::sighting::{Kind, Party};
use crate::protocol::channel::{Channel, EntryPoint};
use crate::protocol::control::Command;
use crate::protocol::types::WithdrawAuthorizationRequest;
use crate::scenario::model::{MessageKind, Request, Withdraw};
use crate::scenario::pattern::Pattern;
use crate::sim::client::{fresh_discovery_topic, fresh_reply_topic};

impl Stage<'_> {
    /// Makes or demands a withdraw request.
    pub async fn withdraw(&mut self, withdraw: &Withdraw, at: &str) -> Result<(), Stop> {
        let id_token = match &withdraw.token {
            Some(name) => Some(self.token(name)?.id_token()),
            None => withdraw.id_token.clone(),
        };
        let request = WithdrawAuthorizationRequest { evse_id: withdraw.evse_id, id_token };
        let payload = json!(request);
        let (name, within) = (withdraw.r#as.as_deref(), withdraw.within.map(|span| span.0));
        let channel = Channel::WITHDRAW_AUTHORIZATION;
        let pointer = format!("{at}/withdraw");
        self.request(channel, Some(payload), Command::Withdraw(request), name, within, &pointer).await
    }

    /// Makes a request as the client, or demands it of the module.
    pub async fn request(
        &mut self,
        channel: Channel,
        payload: Option<Value>,
        command: Command,
        name: Option<&str>,
        within: Option<Duration>,
        at: &str,
    ) -> Result<(), Stop> {
        self.set_mark();
        let topics = self.scene.topics.clone();
        let reply_topic = match &self.played {
            Played::Client(client) => {
                let reply_to = fresh_reply_topic(&topics, channel);
                let from = self.observer.messages.len();
                client.request(channel, payload, &reply_to).await.map_err(|error| broken(&error.to_string()))?;
                self.reach_broker(from, &topics.topic(channel)).await?;
                topics.reply_topic_on_wire(&reply_to)
            }
            Played::Everest { .. } => {
                let payload = request_pattern(payload.as_ref())?;
                let what = What::Request { kind: Kind::Channel(channel), payload, at: at.to_owned() };
                self.demand_request(&command, what, within, at).await?
            }
        };
        self.judge.past.request(name, reply_topic);
        Ok(())
    }

    /// Asks API modules what they are as the client, or demands it of the module.
    pub async fn discover(
        &mut self,
        entry_point: EntryPoint,
        command: Command,
        request: &Request,
        at: String,
    ) -> Result<(), Stop> {
        self.set_mark();
        let topics = self.scene.topics.clone();
        let reply_topic = match &self.played {
            Played::Client(client) => {
                let reply_to = fresh_discovery_topic(&topics);
                let from = self.observer.messages.len();
                client.discover(&entry_point, &reply_to).await.map_err(|error| broken(&error.to_string()))?;
                self.reach_broker(from, &entry_point.topic(&topics.external_prefix)).await?;
                topics.reply_topic_on_wire(&reply_to)
            }
            Played::Everest { .. } => {
                let kind = Kind::EntryPoint(entry_point);
                let what = What::Request { kind, payload: request_pattern(None)?, at: at.clone() };
                self.demand_request(&command, what, request.within.map(|span| span.0), &at).await?
            }
        };
        self.judge.past.request(request.r#as.as_deref(), reply_topic);
        Ok(())
    }

    /// Demands a request of the module; where its reply will pass.
    async fn demand_request(
        &mut self,
        command: &Command,
        what: What,
        within: Option<Duration>,
        at: &str,
    ) -> Result<String, Stop> {
        let is_told = self.tell(command, at).await?;
        let within = within.unwrap_or_else(|| self.judge.case().within());
        let (pointer, by, after) = (at.to_owned(), Party::Module, After::InOrder);
        let seq = self.have_sent(Demand { pointer, within, by, what, is_told, after }).await?;
        let request = seq.and_then(|seq| view(&self.observer).request(seq));
        // A request that asks for no reply is in its right; there is no lane then.
        Ok(request.map(|request| request.reply_topic.clone()).unwrap_or_default())
    }

    /// Begins or ends the communication checks, or demands it.
    pub async fn communication_check(&mut self, on: bool, at: &str) -> Result<(), Stop> {
        self.set_mark();
        if let Played::Client(client) = &mut self.played {
            let from = self.observer.messages.len();
            client.communication_check(on).await.map_err(|error| broken(&error.to_string()))?;
            return self.reach_broker(from, &self.scene.topics.topic(Channel::COMMUNICATION_CHECK)).await;
        }
        let pointer = format!("{at}/communication_check");
        let is_told = self.tell(&Command::CommunicationCheck(on), at).await?;
        let kind = MessageKind::on(Channel::COMMUNICATION_CHECK);
        let payload = Pattern::compile(&json!(on)).map_err(|error| broken(&error.message))?;
        let api = self.scene.topics.api;
        let what =
            What::Message { kind: Some(kind), api, filter: None, payload: Some(payload), qos: None, retain: None };
        let (within, by, after) = (self.judge.case().within(), Party::Module, After::Stimulus);
        self.have_sent(Demand { pointer, within, by, what, is_told, after }).await.map(drop)
    }
}

/// A demanded request must name exactly what the scenario names: a field too many or too few is another request.
fn request_pattern(payload: Option<&Value>) -> Result<Pattern, Stop> {
    let pattern = match payload {
        None => json!("$object"),
        Some(payload) => {
            let mut wanted = json!({"evse_id": "$absent", "id_token": "$absent"});
            let literal = |text: &str| if text.starts_with('$') { format!("${text}") } else { text.to_owned() };
            for (key, value) in payload.as_object().into_iter().flatten() {
                wanted[key] = strings_filled(value, &literal);
            }
            json!({"payload": wanted})
        }
    };
    Pattern::compile(&pattern).map_err(|error| broken(&error.message).into())
}

//! Requests of a client: khumbu makes them where it plays the client, and demands them of a client under test.

use serde_json::{Value, json};

use super::patterns::{compiled, literal};
use super::played::Played;
use super::stage::Stage;
use super::stop::{Stop, broken};
use crate::conformance::judge::{After, Demand, Replies, What};
use crate::conformance::sighting::{Kind, Party};
use crate::protocol::channel::Channel;
use crate::protocol::control::Command;
use crate::protocol::types::WithdrawAuthorizationRequest;
use crate::scenario::Pointer;
use crate::scenario::model::{MessageKind, Withdraw};
use crate::scenario::pattern::Pattern;
use crate::scenario::step::{Exchange, Row};
use crate::sim::client::{fresh_discovery_topic, fresh_reply_topic};
use crate::timespan::Timespan;

impl Stage<'_> {
    /// Makes or demands a withdraw request.
    pub async fn withdraw(&mut self, withdraw: &Withdraw, row: &Row<'_>, at: &Pointer) -> Result<(), Stop> {
        let id_token = match &withdraw.token {
            Some(name) => Some(self.token(name)?.id_token()),
            None => withdraw.id_token.clone(),
        };
        let request = WithdrawAuthorizationRequest { evse_id: withdraw.evse_id, id_token };
        let payload = json!(request);
        self.request(Kind::Channel(said(row)?), Some(payload), Command::Withdraw(request), row, at).await
    }

    /// Makes the request of a step as the client, or demands it of the module.
    pub async fn request(
        &mut self,
        kind: Kind,
        payload: Option<Value>,
        command: Command,
        row: &Row<'_>,
        at: &Pointer,
    ) -> Result<(), Stop> {
        self.set_mark();
        let topics = self.scene.topics.clone();
        let from = self.lookout.observer.messages.len();
        let mut since = self.judging.judge.past.mark;
        let topic = match (&self.cast.played, kind) {
            (Played::Client(client), Kind::Channel(channel)) => {
                let reply_to = fresh_reply_topic(&topics, channel);
                client.request(channel, payload, &reply_to).await.map_err(|error| broken(&error.to_string()))?;
                self.reach_broker(from, &topics.topic(channel)).await?;
                topics.reply_topic_on_wire(&reply_to)
            }
            (Played::Client(client), Kind::EntryPoint(entry_point)) => {
                let reply_to = fresh_discovery_topic(&topics);
                client.discover(&entry_point, &reply_to).await.map_err(|error| broken(&error.to_string()))?;
                self.reach_broker(from, &entry_point.topic(&topics.external_prefix)).await?;
                topics.reply_topic_on_wire(&reply_to)
            }
            (_, kind) => {
                let payload = request_pattern(payload.as_ref())?;
                let seq = self.demand(kind, payload, &command, row.within, at.key(row.key)).await?;
                let request = seq.and_then(|seq| self.lookout.observer.view().request(seq));
                // A request that asks for no reply is in its right; there is no lane then.
                since = request.map_or(since, |request| request.seq);
                request.map(|request| request.reply_topic.clone()).unwrap_or_default()
            }
        };
        let name = match row.exchange {
            Some(Exchange::Asks { name, .. }) => name,
            _ => None,
        };
        self.judging.judge.past.request(name, Replies { topic, since });
        Ok(())
    }

    /// Demands a message of the module under test, which is told to send it; the number of it.
    pub async fn demand(
        &mut self,
        kind: Kind,
        payload: Pattern,
        command: &Command,
        within: Option<Timespan>,
        at: Pointer,
    ) -> Result<Option<u64>, Stop> {
        let prompt = self.tell(command, &at).await?;
        if prompt.is_told() && matches!(command, Command::PresentToken { .. }) {
            self.lookout.observer.monitors.told_to_present();
        }
        let within = within.map_or_else(|| self.case().within(), |span| span.0);
        let what = What::Request { kind, payload, at: at.clone() };
        let (pointer, by, after) = (at, Party::Module, After::InOrder);
        self.judging.have_sent(&mut self.lookout, Demand { pointer, within, by, what, prompt, after }).await
    }

    /// Begins or ends the communication checks, or demands it.
    pub async fn communication_check(&mut self, on: bool, at: &Pointer) -> Result<(), Stop> {
        self.set_mark();
        if let Played::Client(client) = &mut self.cast.played {
            let from = self.lookout.observer.messages.len();
            client.communication_check(on).await.map_err(|error| broken(&error.to_string()))?;
            return self.reach_broker(from, &self.scene.topics.topic(Channel::COMMUNICATION_CHECK)).await;
        }
        let pointer = at.key("communication_check");
        let prompt = self.tell(&Command::CommunicationCheck(on), at).await?;
        let kind = MessageKind::on(Channel::COMMUNICATION_CHECK);
        let payload = compiled(&json!(on))?;
        let api = self.scene.topics.api;
        let what =
            What::Message { kind: Some(kind), api, filter: None, payload: Some(payload), qos: None, retain: None };
        let (within, by, after) = (self.case().within(), Party::Module, After::Stimulus);
        self.judging.have_sent(&mut self.lookout, Demand { pointer, within, by, what, prompt, after }).await.map(drop)
    }
}

/// Where a step has a client say something.
///
/// # Errors
/// When it has no client say anything.
pub fn said(row: &Row<'_>) -> Result<Channel, Stop> {
    row.says.ok_or_else(|| broken(&format!("`{}` has no client say anything", row.key)).into())
}

/// A demanded request must name exactly what the scenario names: a field too many or too few is another request.
fn request_pattern(payload: Option<&Value>) -> Result<Pattern, Stop> {
    let pattern = match payload {
        None => json!("$object"),
        Some(payload) => {
            let mut wanted = json!({"evse_id": "$absent", "id_token": "$absent"});
            for (key, value) in payload.as_object().into_iter().flatten() {
                wanted[key] = literal(value);
            }
            json!({"payload": wanted})
        }
    };
    compiled(&pattern)
}

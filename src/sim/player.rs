//! Conforming clients of the three APIs that do what they are told: the built-in module, which takes commands on the
//! control topic, or acts of its own accord, and connects again when it is cut off, and the clients that khumbu plays beside it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::bugs::edge::Edge;
use super::client::{Client, fresh_discovery_topic, fresh_reply_topic};
use super::link::{LinkError, Message};
use super::validator::Validator;
use crate::protocol::channel::{ApiType, Channel, EntryPoint, Topics};
use crate::protocol::control::Command;
use crate::protocol::wire::Wire;

pub use super::validator::Verdicts;

/// What a client is to be.
#[derive(Debug, Clone)]
pub struct Part {
    /// The broker.
    pub address: SocketAddr,
    /// The MQTT client id.
    pub client_id: String,
    /// The topics of its API module.
    pub topics: Topics,
    /// The time between communication checks.
    pub period: Duration,
    /// What it says of tokens, if it is a token validator.
    pub verdicts: Verdicts,
    /// How its messages are written.
    pub wire: Wire,
    /// Where they pass.
    pub edge: Edge,
}

/// A client and what it knows.
struct Player {
    client: Client,
    messages: mpsc::UnboundedReceiver<Message>,
    validator: Validator,
    /// Where the replies to the last discovery come in, of which there is no last one.
    discovering: VecDeque<String>,
    part: Part,
}

/// How often the built-in module tries to connect before it gives up.
const ATTEMPTS: u32 = 6;
/// To the replies of so many discoveries it listens at a time.
const DISCOVERIES: usize = 16;
/// And where nobody listens though it has been connected before: a broker may be away for some seconds.
const ATTEMPTS_WHILE_AWAY: u32 = 180;
/// How much longer it waits after each attempt.
const PAUSE: Duration = Duration::from_millis(20);
/// How long it waits where nobody listens.
const PAUSE_WHILE_AWAY: Duration = Duration::from_millis(50);

/// How often the built-in module that nobody tells anything does something of its own accord.
const OWN_ACCORD: Duration = Duration::from_millis(700);

/// The built-in module: sends communication checks, follows commands on the control topic if it is driven, and acts of its own
/// accord if it is not; connects again when it is cut off. Ends when `stop` does, after saying that it leaves on purpose.
///
/// # Errors
/// When it cannot connect.
pub async fn run_module(part: Part, is_driven: bool, mut stop: oneshot::Receiver<()>) -> Result<(), LinkError> {
    let control = part.topics.control_topic();
    let filters = if is_driven { vec![control.clone()] } else { Vec::new() };
    let own = if is_driven { Vec::new() } else { own_accord(part.topics.api) };
    let mut own = own.into_iter().cycle();
    let mut moments = tokio::time::interval(OWN_ACCORD);
    moments.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut player = Player::open(part, &filters, ATTEMPTS).await?;
    // A lost connection shows at the next receive, here and below.
    let _ = player.client.communication_check(true).await;
    loop {
        let received = tokio::select! {
            biased;
            received = player.messages.recv() => received,
            _ = moments.tick(), if !is_driven => {
                if let Some(command) = own.next() {
                    let _ = player.obey(command).await;
                }
                continue;
            }
            _ = &mut stop => {
                player.client.communication_check(false).await?;
                player.client.close().await;
                return Ok(());
            }
        };
        let _ = match received {
            Some(message) if message.topic == control => match serde_json::from_slice(&message.payload) {
                Ok(command) => player.obey(command).await,
                Err(_) => Ok(()),
            },
            Some(message) => player.take(message).await,
            None => {
                tokio::select! {
                    again = player.connect_again(&filters) => again?,
                    _ = &mut stop => return Ok(()),
                }
                player.client.communication_check(true).await
            }
        };
    }
}

/// What a client does that nobody tells anything, as it would be told: a display looks around and asks for the last status, at
/// a reader people hand in their cards, and a backend waits to be asked. Nobody withdraws anything without a reason.
fn own_accord(api: ApiType) -> Vec<Command> {
    let commands: &[&str] = match api {
        ApiType::AUTH_CONSUMER => &[r#"{"discover": {}}"#, r#"{"get_status": {}}"#],
        ApiType::AUTH_TOKEN_PROVIDER => &[
            r#"{"present_token": {"token": {"id_token": {"value": "04C0FFEE", "type": "ISO14443"}, "authorization_type": "RFID"},
                "validation": {"authorization_status": "Accepted"}}}"#,
            r#"{"present_token": {"token": {"id_token": {"value": "4111", "type": "Local"}, "authorization_type": "BankCard"},
                "validation": {"authorization_status": "Accepted"}}}"#,
        ],
        _ => &[],
    };
    commands.iter().filter_map(|command| serde_json::from_str(command).ok()).collect()
}

/// A client that khumbu plays beside the one under test, or for EVerest under test: follows `commands` until they end.
///
/// `ready` is told when it has subscribed.
///
/// # Errors
/// When it cannot connect, or is cut off.
pub async fn run_played(
    part: Part,
    mut commands: mpsc::UnboundedReceiver<Command>,
    ready: oneshot::Sender<Result<(), LinkError>>,
) -> Result<(), LinkError> {
    let mut player = match Player::open(part, &[], 1).await {
        Ok(player) => player,
        Err(error) => {
            // Nobody may be waiting.
            let _ = ready.send(Err(error.clone()));
            return Err(error);
        }
    };
    let _ = ready.send(Ok(()));
    loop {
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(command) => player.obey(command).await?,
                None => {
                    player.client.close().await;
                    return Ok(());
                }
            },
            message = player.messages.recv() => match message {
                Some(message) => player.take(message).await?,
                None => return Err(LinkError::Lost),
            },
        }
    }
}

impl Player {
    async fn open(part: Part, more: &[String], attempts: u32) -> Result<Self, LinkError> {
        let (client, messages) = connect(&part, more, attempts, false).await?;
        let validator = Validator::new(part.topics.clone(), part.verdicts.clone());
        Ok(Self { client, messages, validator, discovering: VecDeque::new(), part })
    }

    /// As client libraries do; what it knows, it keeps.
    async fn connect_again(&mut self, more: &[String]) -> Result<(), LinkError> {
        (self.client, self.messages) = connect(&self.part, more, ATTEMPTS, true).await?;
        Ok(())
    }

    /// What EVerest says.
    async fn take(&mut self, message: Message) -> Result<(), LinkError> {
        match self.part.topics.channel(&message.topic) {
            Some(Channel::VALIDATE_TOKEN) => {
                let (link, encoder) = (self.client.link(), self.client.encoder());
                self.validator.answer(&message.payload, link, encoder).await
            }
            Some(_) => Ok(()),
            None if self.discovering.contains(&message.topic) => Ok(()),
            // A reply: its topic has done its work.
            None => self.client.link().unsubscribe(&message.topic).await,
        }
    }

    async fn discover(&mut self, entry_point: &EntryPoint) -> Result<(), LinkError> {
        let reply_to = fresh_discovery_topic(&self.part.topics);
        let topic = self.part.topics.reply_topic_on_wire(&reply_to);
        self.discovering.push_back(topic);
        // Who answers the last few of them may take his time.
        if self.discovering.len() > DISCOVERIES
            && let Some(oldest) = self.discovering.pop_front()
        {
            self.client.link().unsubscribe(&oldest).await?;
        }
        self.client.discover(entry_point, &reply_to).await
    }

    /// Does what it is told, as far as its API has the means.
    async fn obey(&mut self, command: Command) -> Result<(), LinkError> {
        let (client, topics) = (&mut self.client, &self.part.topics);
        match (topics.api, command) {
            (_, Command::CommunicationCheck(on)) => client.communication_check(on).await,
            (_, Command::Discover {}) => self.discover(&EntryPoint::Discover).await,
            (_, Command::QueryModules(api)) => self.discover(&EntryPoint::QueryModules(api)).await,
            (ApiType::AUTH_CONSUMER, Command::Withdraw(request)) => {
                let channel = Channel::WITHDRAW_AUTHORIZATION;
                client.request(channel, Some(json!(request)), &fresh_reply_topic(topics, channel)).await
            }
            (ApiType::AUTH_CONSUMER, Command::GetStatus {}) => {
                let channel = Channel::GET_TOKEN_VALIDATION_STATUS;
                client.request(channel, None, &fresh_reply_topic(topics, channel)).await
            }
            (ApiType::AUTH_TOKEN_PROVIDER, Command::PresentToken { token, .. }) => {
                let topic = topics.topic(Channel::PROVIDED_TOKEN);
                client.link().publish(&topic, client.encoder().encode(&token), 1, false).await
            }
            (ApiType::AUTH_TOKEN_VALIDATOR, Command::SetVerdict { token, validation }) => {
                self.validator.learn(token.id_token.value, validation);
                Ok(())
            }
            (ApiType::AUTH_TOKEN_VALIDATOR, Command::UpdateVerdict(update)) => {
                let topic = topics.topic(Channel::VALIDATE_RESULT_UPDATE);
                client.link().publish(&topic, client.encoder().encode(&update), 1, false).await
            }
            _ => Ok(()),
        }
    }
}

type Connected = (Client, mpsc::UnboundedReceiver<Message>);

/// Connects and subscribes; again, if it is cut off in the middle, which shows that the broker `is_known` to be there.
async fn connect(part: &Part, more: &[String], attempts: u32, mut is_known: bool) -> Result<Connected, LinkError> {
    let Part { address, client_id, topics, period, edge, .. } = part;
    let (mut attempt, mut away) = (0, 0);
    loop {
        attempt += 1;
        match Client::open_at(*address, client_id, topics.clone(), *period, more, edge.clone()).await {
            Err(LinkError::Connect { is_closed: true, .. }) if is_known && away < ATTEMPTS_WHILE_AWAY => {
                (attempt, away) = (0, away + 1);
                tokio::time::sleep(PAUSE_WHILE_AWAY).await;
            }
            Err(error) if attempt < attempts => {
                is_known |= !matches!(error, LinkError::Connect { .. });
                tokio::time::sleep(PAUSE * attempt).await;
            }
            opened => return opened.map(|(client, messages)| (client.writing(part.wire), messages)),
        }
    }
}

/// A client id that nobody else has.
pub fn fresh_client_id(api: ApiType) -> String {
    format!("{}-{}", api.name(), Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_does_of_its_own_accord_can_be_read() {
        let counts = ApiType::AUTH_APIS.map(|api| own_accord(api).len());
        assert_eq!(counts, [2, 2, 0]);
    }
}

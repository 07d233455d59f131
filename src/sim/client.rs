//! The client's side: communication checks, requests with a unique and subscribed reply topic, and the built-in client
//! module that does what it is told on the control topic.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::link::{Link, LinkError, Message};
use crate::protocol::channel::{Channel, Topics};
use crate::protocol::control::Command;
use crate::protocol::wire::{Encoder, Wire};

/// A client of the auth_consumer API.
#[derive(Debug)]
pub struct Client {
    link: Link,
    topics: Topics,
    period: Duration,
    /// Writes the communication checks, which go by the clock.
    check_encoder: Encoder,
    /// Writes the requests.
    encoder: Encoder,
    checks: Option<JoinHandle<()>>,
}

impl Client {
    /// Connects and subscribes to everything EVerest says on this API module.
    ///
    /// `period` is the time between communication checks, once [`Client::communication_check`] has begun them.
    ///
    /// # Errors
    /// As [`Link::open`] and [`Link::subscribe`].
    pub async fn open(
        address: SocketAddr,
        client_id: &str,
        topics: Topics,
        period: Duration,
        more: &[String],
    ) -> Result<(Self, mpsc::UnboundedReceiver<Message>), LinkError> {
        let (link, messages) = Link::open(address, client_id).await?;
        let mut filters = more.to_vec();
        filters.extend(Channel::ALL.into_iter().filter(|c| c.is_from_everest()).map(|c| topics.topic(c)));
        link.subscribe(&filters, 2).await?;
        let (check_encoder, encoder) = (Encoder::default(), Encoder::default());
        Ok((Self { link, topics, period, check_encoder, encoder, checks: None }, messages))
    }

    /// The same client, writing its messages in this form.
    pub fn writing(mut self, wire: Wire) -> Self {
        (self.check_encoder, self.encoder) = (Encoder::new(wire), Encoder::new(wire));
        self
    }

    /// The connection.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Makes a request: subscribes to `reply_to`, then publishes the envelope.
    ///
    /// # Errors
    /// As [`Link::subscribe`] and [`Link::publish`].
    pub async fn request(&self, channel: Channel, payload: Option<Value>, reply_to: &str) -> Result<(), LinkError> {
        // EVerest puts its external prefix before the reply topic too (framework, external_mqtt_publish).
        self.link.subscribe(&[self.topics.reply_topic_on_wire(reply_to)], 2).await?;
        let mut envelope = json!({"headers": {"replyTo": reply_to}});
        if let Some(payload) = payload {
            envelope["payload"] = payload;
        }
        self.link.publish(&self.topics.topic(channel), self.encoder.encode(&envelope), 0, false).await
    }

    /// `true`: a check now, and one every period; `false`: one `false`, and no more (CC-8, CC-9).
    ///
    /// # Errors
    /// As [`Link::publish`].
    pub async fn communication_check(&mut self, on: bool) -> Result<(), LinkError> {
        if let Some(checks) = self.checks.take() {
            checks.abort();
        }
        let topic = self.topics.topic(Channel::CommunicationCheck);
        if !on {
            return self.link.publish(&topic, self.check_encoder.encode(&false), 0, false).await;
        }
        self.link.publish(&topic, self.check_encoder.encode(&true), 0, false).await?;
        let (link, encoder, period) = (self.link.clone(), self.check_encoder.clone(), self.period);
        self.checks = Some(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(period);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                if link.publish(&topic, encoder.encode(&true), 0, false).await.is_err() {
                    return;
                }
            }
        }));
        Ok(())
    }

    /// Stops the checks without a word, as a client that dies does.
    pub fn fall_silent(&mut self) {
        if let Some(checks) = self.checks.take() {
            checks.abort();
        }
    }

    /// Ends the connection.
    pub async fn close(mut self) {
        self.fall_silent();
        self.link.clone().close().await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.fall_silent();
    }
}

/// A topic nobody else asks for a reply on.
pub fn fresh_reply_topic(topics: &Topics, channel: Channel) -> String {
    let operation = channel.address().trim_start_matches("m2e/").replace('/', "_");
    topics.reply_topic(&operation, &Uuid::new_v4().to_string())
}

/// The time between checks for a check interval of EVerest: well below it, and at most a second.
pub fn check_period(cfg_communication_check_to_s: i32) -> Duration {
    let interval = Duration::from_secs(u64::try_from(cfg_communication_check_to_s).unwrap_or(0));
    if interval.is_zero() { Duration::from_secs(1) } else { (interval / 3).min(Duration::from_secs(1)) }
}

/// The built-in client module: a conforming client that is driven over the control topic, and connects again when it is
/// cut off. Ends when `stop` does, after saying that it leaves on purpose.
///
/// # Errors
/// When it cannot connect.
pub async fn run_module(
    address: SocketAddr,
    topics: Topics,
    period: Duration,
    mut stop: tokio::sync::oneshot::Receiver<()>,
) -> Result<(), LinkError> {
    let id = format!("client-{}", Uuid::new_v4().simple());
    let control = topics.control_topic();
    let mut opened = open_module(address, &id, &topics, period, &control).await?;
    loop {
        let (client, messages) = &mut opened;
        let received = tokio::select! {
            biased;
            received = messages.recv() => received,
            _ = &mut stop => {
                client.communication_check(false).await?;
                opened.0.close().await;
                return Ok(());
            }
        };
        match received {
            Some(message) if message.topic == control => {
                if let Ok(command) = serde_json::from_slice(&message.payload) {
                    // A lost connection shows at the next receive.
                    let _ = obey(client, &topics, command).await;
                }
            }
            // A reply: its topic has done its work.
            Some(message) if topics.channel(&message.topic).is_none() => {
                let _ = client.link().unsubscribe(&message.topic).await;
            }
            Some(_) => {}
            None => opened = open_module(address, &id, &topics, period, &control).await?,
        }
    }
}

type Opened = (Client, mpsc::UnboundedReceiver<Message>);

/// How often the built-in client tries to connect before it gives up.
const ATTEMPTS: u32 = 6;
/// How much longer it waits after each attempt.
const PAUSE: Duration = Duration::from_millis(20);

/// Opens the module's connection; again, if it is cut off in the middle, as client libraries do.
async fn open_module(
    address: SocketAddr,
    id: &str,
    topics: &Topics,
    period: Duration,
    control: &str,
) -> Result<Opened, LinkError> {
    let more = [control.to_owned()];
    let mut attempt = 0;
    loop {
        let opened = async {
            let (mut client, messages) = Client::open(address, id, topics.clone(), period, &more).await?;
            client.communication_check(true).await?;
            Ok((client, messages))
        };
        attempt += 1;
        match opened.await {
            Err(_) if attempt < ATTEMPTS => tokio::time::sleep(PAUSE * attempt).await,
            opened => return opened,
        }
    }
}

async fn obey(client: &mut Client, topics: &Topics, command: Command) -> Result<(), LinkError> {
    match command {
        Command::Withdraw(request) => {
            let channel = Channel::WithdrawAuthorization;
            let payload = serde_json::to_value(request).unwrap_or_else(|_| json!({}));
            client.request(channel, Some(payload), &fresh_reply_topic(topics, channel)).await
        }
        Command::GetStatus {} => {
            let channel = Channel::GetTokenValidationStatus;
            client.request(channel, None, &fresh_reply_topic(topics, channel)).await
        }
        Command::CommunicationCheck(on) => client.communication_check(on).await,
        // The rest is for EVerest's side.
        _ => Ok(()),
    }
}

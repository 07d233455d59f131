//! A client of any API module: its connection, its communication checks, and requests with a unique and subscribed reply
//! topic. What it is told to do is carried out in [`super::player`].

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::bugs::edge::Edge;
use super::link::{Link, LinkError, Message};
use crate::protocol::channel::{Channel, EntryPoint, Topics};
use crate::protocol::wire::{Encoder, Wire};

/// A client of an API module.
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
        Self::open_at(address, client_id, topics, period, more, Edge::default()).await
    }

    /// The same for a module that may have a bug.
    ///
    /// # Errors
    /// As [`Client::open`].
    pub async fn open_at(
        address: SocketAddr,
        client_id: &str,
        topics: Topics,
        period: Duration,
        more: &[String],
        edge: Edge,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Message>), LinkError> {
        let (link, messages) = Link::open_at(address, client_id, edge).await?;
        let mut filters = more.to_vec();
        let heard = topics.api.channels().filter(|channel| channel.is_from_everest());
        filters.extend(heard.map(|channel| topics.topic(channel)));
        link.subscribe(&filters, 2).await?;
        let (check_encoder, encoder) = (Encoder::default(), Encoder::default());
        Ok((Self { link, topics, period, check_encoder, encoder, checks: None }, messages))
    }

    /// The same client, writing its messages in this form.
    pub fn writing(mut self, wire: Wire) -> Self {
        (self.check_encoder, self.encoder) = (Encoder::new(wire), Encoder::new(wire));
        self
    }

    /// What writes its messages, other than communication checks.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
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
        self.send_request(&self.topics.topic(channel), payload, reply_to).await
    }

    /// Asks API modules what they are: each replies for itself.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn discover(&self, entry_point: &EntryPoint, reply_to: &str) -> Result<(), LinkError> {
        self.send_request(&entry_point.topic(&self.topics.external_prefix), None, reply_to).await
    }

    async fn send_request(&self, topic: &str, payload: Option<Value>, reply_to: &str) -> Result<(), LinkError> {
        // EVerest puts its external prefix before the reply topic too (framework, external_mqtt_publish).
        self.link.subscribe(&[self.topics.reply_topic_on_wire(reply_to)], 2).await?;
        let mut envelope = json!({"headers": {"replyTo": reply_to}});
        if let Some(payload) = payload {
            envelope["payload"] = payload;
        }
        self.link.publish(topic, self.encoder.encode(&envelope), 0, false).await
    }

    /// `true`: a check now, and one every period; `false`: one `false`, and no more (CC-8, CC-9).
    ///
    /// # Errors
    /// As [`Link::publish`].
    pub async fn communication_check(&mut self, on: bool) -> Result<(), LinkError> {
        if let Some(checks) = self.checks.take() {
            checks.abort();
        }
        let topic = self.topics.topic(Channel::COMMUNICATION_CHECK);
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

/// A topic nobody else asks for the replies to a discovery on.
pub fn fresh_discovery_topic(topics: &Topics) -> String {
    topics.reply_topic("discover", &Uuid::new_v4().to_string())
}

/// The time between checks for a check interval of EVerest: well below it, and at most a second.
pub fn check_period(cfg_communication_check_to_s: i32) -> Duration {
    let interval = Duration::from_secs(u64::try_from(cfg_communication_check_to_s).unwrap_or(0));
    if interval.is_zero() { Duration::from_secs(1) } else { (interval / 3).min(Duration::from_secs(1)) }
}

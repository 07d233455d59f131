//! EVerest's side in real time: a [`Station`] behind an MQTT connection.
//!
//! The station decides everything; this module brings it messages, commands and the time, and carries out its effects.

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::link::{Link, LinkError, Message};
use crate::protocol::channel::{Channel, Topics};
use crate::protocol::codec;
use crate::protocol::control::Command;
use crate::station::config::StationConfig;
use crate::station::{Address, Effect, Input, Station};

/// What is simulated, and where.
#[derive(Debug, Clone)]
pub struct Everest {
    /// The broker.
    pub address: SocketAddr,
    /// The MQTT client id.
    pub client_id: String,
    /// The topics of the API module.
    pub topics: Topics,
    /// The station.
    pub station: StationConfig,
    /// Whether commands are taken on the control topic.
    pub is_driven: bool,
}

/// What a running simulation can be asked.
#[derive(Debug)]
pub enum Order {
    /// Something happens at the station; answered with why it came to nothing, if it did.
    Command(Box<Command>, oneshot::Sender<Option<String>>),
    /// Publishes exactly this, as EVerest's side.
    Publish {
        /// Any topic without wildcards.
        topic: String,
        /// Any bytes.
        payload: bytes::Bytes,
        /// 0, 1 or 2.
        qos: u8,
        /// The retain flag.
        retain: bool,
    },
    /// Ends and starts again, with nothing remembered; answered when it is ready again.
    Restart(oneshot::Sender<Result<(), LinkError>>),
    /// A description of the state as JSON.
    Status(oneshot::Sender<serde_json::Value>),
}

/// One connection's worth of simulation.
struct Life {
    link: Link,
    messages: mpsc::UnboundedReceiver<Message>,
    station: Station,
    born: Instant,
}

/// QoS of EVerest's subscriptions (framework, `create_external_handler`).
const SUBSCRIBE_QOS: u8 = 0;
/// QoS of EVerest's publishes since bb5d4182f.
const PUBLISH_QOS: u8 = 2;

impl Everest {
    /// Connects, becomes ready, and runs until the orders end or the broker is lost; a lost broker ends EVerest.
    ///
    /// `ready` is told when the first heartbeat has been handed to the socket.
    ///
    /// # Errors
    /// When the connection cannot be made, or is lost.
    pub async fn run(
        self,
        mut orders: mpsc::UnboundedReceiver<Order>,
        ready: oneshot::Sender<Result<(), LinkError>>,
    ) -> Result<(), LinkError> {
        let mut life = match self.begin().await {
            Ok(life) => {
                // Nobody may be waiting.
                let _ = ready.send(Ok(()));
                life
            }
            Err(error) => {
                let _ = ready.send(Err(error.clone()));
                return Err(error);
            }
        };
        loop {
            let deadline = life.station.next_deadline().map(|at| life.born + at);
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Command(command, answer)) => {
                        let ignored = self.apply(&mut life, Input::Command(*command)).await?;
                        let _ = answer.send(ignored);
                    }
                    Some(Order::Publish { topic, payload, qos, retain }) => {
                        life.link.publish(&topic, payload, qos, retain).await?;
                    }
                    Some(Order::Restart(done)) => {
                        life.link.clone().close().await;
                        let begun = self.begin().await;
                        let outcome = begun.map(|again| life = again);
                        let _ = done.send(outcome.clone());
                        outcome?;
                    }
                    Some(Order::Status(answer)) => {
                        // The types of a station's status are plain data.
                        let _ = answer.send(serde_json::to_value(life.station.status()).unwrap_or_default());
                    }
                    None => {
                        life.link.close().await;
                        return Ok(());
                    }
                },
                message = life.messages.recv() => {
                    let message = message.ok_or(LinkError::Lost)?;
                    if let Some(input) = self.input(message) {
                        self.apply(&mut life, input).await?;
                    }
                }
                () = until(deadline) => {
                    self.apply(&mut life, Input::Deadline).await?;
                }
            }
        }
    }

    async fn begin(&self) -> Result<Life, LinkError> {
        let (link, messages) = Link::open(self.address, &self.client_id).await?;
        let mut filters = Vec::new();
        if self.is_driven {
            filters.push(self.topics.control_topic());
        }
        let latched = self.station.auth_consumer.latch_variable_values;
        filters.extend(
            Channel::ALL
                .into_iter()
                .filter(|channel| !channel.is_from_everest())
                .filter(|channel| latched || *channel != Channel::GetTokenValidationStatus)
                .map(|channel| self.topics.topic(channel)),
        );
        link.subscribe(&filters, SUBSCRIBE_QOS).await?;
        let mut life = Life { link, messages, station: Station::new(&self.station), born: Instant::now() };
        self.apply(&mut life, Input::Ready).await?;
        Ok(life)
    }

    fn input(&self, message: Message) -> Option<Input> {
        match self.topics.channel(&message.topic) {
            Some(channel) => Some(Input::Received { channel, payload: message.payload }),
            None if self.is_driven => serde_json::from_slice(&message.payload).ok().map(Input::Command),
            None => None,
        }
    }

    /// Brings the station an input and carries out its effects; says why the input came to nothing, if it did.
    async fn apply(&self, life: &mut Life, input: Input) -> Result<Option<String>, LinkError> {
        let now: Duration = life.born.elapsed();
        let mut ignored = None;
        for effect in life.station.apply(now, input) {
            match effect {
                Effect::Publish { to, payload } => {
                    let topic = match to {
                        Address::Channel(channel) => self.topics.topic(channel),
                        Address::Reply(reply_to) => self.topics.reply_topic_on_wire(&reply_to),
                    };
                    life.link.publish(&topic, codec::encode(&payload), PUBLISH_QOS, false).await?;
                }
                Effect::Ignored { why } => ignored = Some(why.into_owned()),
                // No topic of the API shows these.
                Effect::Fault { .. } | Effect::EvseCall { .. } | Effect::SessionEvent { .. } => {}
            }
        }
        Ok(ignored)
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

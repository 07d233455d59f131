//! One MQTT connection of khumbu's own: subscribe, publish, receive, and know when a subscription is in force.
//!
//! A lost connection ends the link; whoever wants another opens another. A broker hands a message of QoS 2 on when the
//! client releases it, one of lower QoS at once; so that what one link says keeps its order, the latter waits here for the
//! former.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Filter, Packet, PubRec, PubRecReason, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::bugs::edge::Edge;
use super::bugs::packet::{Besides, Packet as Passing};

/// Why a link could not be opened or used.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum LinkError {
    /// No accepted connection.
    #[error("cannot connect to the broker at {address}: {why}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// What the socket or the broker said.
        why: String,
        /// Whether nobody listens there.
        is_closed: bool,
    },
    /// The broker refused a subscription.
    #[error("the broker refused the subscription to `{filter}`")]
    Refused {
        /// The filters, joined.
        filter: String,
    },
    /// The topic cannot be published on.
    #[error("`{}` is no topic that can be published on", topic.chars().take(100).collect::<String>())]
    Topic {
        /// The topic.
        topic: String,
    },
    /// The connection is gone.
    #[error("the connection to the broker is lost")]
    Lost,
}

/// A message that came in.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Bytes,
    /// The QoS of its delivery.
    pub qos: u8,
    /// Whether the broker had kept it for whoever subscribes; for [`Link::overhear`] also whether it is to keep it.
    pub retain: bool,
    /// When it came in.
    pub at: Instant,
}

/// The open connection; cloning shares it. It closes when the last clone is closed or dropped.
#[derive(Debug, Clone)]
pub struct Link {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: AsyncClient,
    /// Where everything passes.
    edge: Edge,
    /// Who waits for a SUBACK, in the order of the SUBSCRIBEs; the broker answers in that order. The lock is held while
    /// the SUBSCRIBE is handed over, so that the two orders cannot differ.
    subscribing: tokio::sync::Mutex<()>,
    waiting: Arc<Mutex<VecDeque<oneshot::Sender<bool>>>>,
    /// Messages of QoS 1 and 2 whose handshake is not over.
    open: Arc<watch::Sender<usize>>,
    poll: AbortHandle,
    /// Closed when polling has ended.
    polling: watch::Receiver<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.poll.abort();
    }
}

/// Time for the TCP connection and for CONNACK, each.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Time for what is still to be said at the end.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);
/// Requests that may wait for the socket.
const QUEUE: usize = 256;
/// As EVerest has it (`mosquitto_cpp.cpp`).
const KEEP_ALIVE: Duration = Duration::from_secs(20);

impl Link {
    /// Connects with MQTT 5 and a clean start. Messages come out of the receiver; it ends when the connection does.
    ///
    /// # Errors
    /// When there is no accepted connection within some seconds.
    pub async fn open(
        address: SocketAddr,
        client_id: &str,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Message>), LinkError> {
        Self::open_at(address, client_id, Edge::default()).await
    }

    /// The same for a module that may have a bug.
    ///
    /// # Errors
    /// As [`Link::open`].
    pub async fn open_at(
        address: SocketAddr,
        client_id: &str,
        edge: Edge,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Message>), LinkError> {
        let mut options = MqttOptions::new(client_id, address.ip().to_string(), address.port());
        if address.is_ipv6() {
            options = MqttOptions::new(client_id, format!("[{}]", address.ip()), address.port());
        }
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(CONNECT_WITHIN.as_secs());
        let mut properties = ConnectProperties::new();
        properties.max_packet_size = Some(u32::MAX >> 4);
        properties.receive_maximum = Some(1024);
        options
            .set_network_options(network)
            .set_connect_properties(properties)
            .set_connection_timeout(CONNECT_WITHIN.as_secs())
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_start(true)
            .set_manual_acks(!edge.acknowledges())
            .set_outgoing_inflight_upper_limit(128);
        let (client, mut events) = AsyncClient::new(options, QUEUE);
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => break,
                Ok(_) => {}
                Err(error) => {
                    let is_closed =
                        matches!(&error, ConnectionError::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused);
                    return Err(LinkError::Connect { address, why: error.to_string(), is_closed });
                }
            }
        }
        edge.connected();
        let (messages, incoming) = mpsc::unbounded_channel();
        let waiting = Arc::new(Mutex::new(VecDeque::new()));
        let (ended, polling) = watch::channel(());
        let open = Arc::new(watch::Sender::new(0));
        let heard = Heard { edge: edge.clone(), client: client.clone(), messages };
        let polled = poll(events, heard, waiting.clone(), open.clone());
        let poll = tokio::spawn(async move {
            polled.await;
            drop(ended);
        })
        .abort_handle();
        let shared = Shared { client, edge, subscribing: tokio::sync::Mutex::new(()), waiting, open, poll, polling };
        Ok((Self { shared: Arc::new(shared) }, incoming))
    }

    /// Subscribes and waits until the broker has acknowledged it.
    ///
    /// # Errors
    /// When the broker refuses a filter or the connection is lost.
    pub async fn subscribe(&self, filters: &[String], qos: u8) -> Result<(), LinkError> {
        let qos = quality(self.shared.edge.qos(qos));
        self.subscribe_with(filters, |filter| Filter::new(filter, qos)).await
    }

    /// Subscribes like this to what is meant for others: QoS and retain flag come as they were published (MQTT 5,
    /// section 3.8.3.1, Retain As Published).
    ///
    /// # Errors
    /// As [`Link::subscribe`].
    pub async fn overhear(&self, filters: &[String]) -> Result<(), LinkError> {
        let filter = |filter| {
            let mut filter = Filter::new(filter, QoS::ExactlyOnce);
            filter.preserve_retain = true;
            filter
        };
        self.subscribe_with(filters, filter).await
    }

    async fn subscribe_with(&self, filters: &[String], to: impl Fn(String) -> Filter) -> Result<(), LinkError> {
        let filters = self.shared.edge.subscribe(filters);
        if filters.is_empty() {
            return Ok(());
        }
        let wanted = filters.iter().cloned().map(to);
        let acknowledged = {
            let _order = self.shared.subscribing.lock().await;
            let (sender, acknowledged) = oneshot::channel();
            self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(sender);
            self.shared.client.subscribe_many(wanted).await.map_err(|_| LinkError::Lost)?;
            acknowledged
        };
        match acknowledged.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(LinkError::Refused { filter: filters.join("`, `") }),
            Err(_) => Err(LinkError::Lost),
        }
    }

    /// Gives up a subscription; does not wait.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn unsubscribe(&self, filter: &str) -> Result<(), LinkError> {
        self.shared.client.unsubscribe(filter).await.map_err(|_| LinkError::Lost)
    }

    /// Hands a message to the socket's queue. Messages leave in the order of the calls.
    ///
    /// # Errors
    /// When the topic has wildcards or the connection is lost.
    pub async fn publish(
        &self,
        topic: &str,
        payload: impl Into<Bytes>,
        qos: u8,
        retain: bool,
    ) -> Result<(), LinkError> {
        let (passing, besides) = self.shared.edge.publish(topic, payload.into(), qos, retain);
        for packet in passing {
            self.send(packet).await?;
        }
        besides.into_iter().for_each(|it| self.shared.client.do_besides(it));
        Ok(())
    }

    async fn send(&self, packet: Passing) -> Result<(), LinkError> {
        if packet.after.is_zero() {
            return self.send_now(packet).await;
        }
        let link = self.clone();
        tokio::spawn(async move {
            sleep(packet.after).await;
            // Whoever is cut off by then says nothing.
            let _ = link.send_now(packet).await;
        });
        Ok(())
    }

    async fn send_now(&self, Passing { topic, payload, qos, retain, .. }: Passing) -> Result<(), LinkError> {
        if qos < 2 {
            self.settle().await;
        }
        if qos > 0 {
            self.shared.open.send_modify(|open| *open += 1);
        }
        let published = self.shared.client.publish(topic.as_str(), quality(qos), retain, payload).await;
        if qos > 0 && published.is_err() {
            self.shared.open.send_modify(|open| *open = open.saturating_sub(1));
        }
        published.map_err(|error| match error {
            rumqttc::v5::ClientError::Request(_) if topic.contains(['+', '#']) => LinkError::Topic { topic },
            _ => LinkError::Lost,
        })
    }

    /// Waits until the broker has taken everything for good, or the connection is lost.
    pub async fn settle(&self) {
        let (mut open, mut polling) = (self.shared.open.subscribe(), self.shared.polling.clone());
        tokio::select! {
            // Neither ends with an error before this link does.
            _ = open.wait_for(|open| *open == 0) => {}
            _ = polling.changed() => {}
        }
    }

    /// Says goodbye; everything published before is brought to its end first.
    pub async fn close(self) {
        let mut polling = self.shared.polling.clone();
        let goodbye = async {
            self.settle().await;
            // An error means that there is nobody left to say goodbye to.
            if self.shared.client.disconnect().await.is_ok() {
                // Nothing is ever sent there; it closes when all is said.
                let _ = polling.changed().await;
            }
        };
        let _ = timeout(GOODBYE_WITHIN, goodbye).await;
    }
}

/// Where messages that come in go.
struct Heard {
    edge: Edge,
    client: AsyncClient,
    messages: mpsc::UnboundedSender<Message>,
}

impl Heard {
    fn take(&self, topic: String, payload: Bytes, qos: u8, retain: bool) {
        let at = Instant::now();
        let (passing, besides) = self.edge.hear(topic, payload, qos, retain);
        for Passing { topic, payload, qos, retain, .. } in passing {
            // Nobody listening is no reason to stop: acknowledgements must go on.
            let _ = self.messages.send(Message { topic, payload, qos, retain, at });
        }
        besides.into_iter().for_each(|it| self.client.do_besides(it));
    }
}

/// Does what a bug does of its own accord; waits for nothing.
trait DoBesides {
    fn do_besides(&self, what: Besides);
}

impl DoBesides for AsyncClient {
    fn do_besides(&self, what: Besides) {
        // What does not get through is no bug's loss.
        let _ = match what {
            Besides::Publish(Passing { topic, payload, qos, retain, .. }) => {
                self.try_publish(topic, quality(qos), retain, payload)
            }
            Besides::Unsubscribe(filter) => self.try_unsubscribe(filter),
            Besides::Crash => Ok(()),
        };
    }
}

/// Drives the connection until it ends.
async fn poll(
    mut events: EventLoop,
    heard: Heard,
    waiting: Arc<Mutex<VecDeque<oneshot::Sender<bool>>>>,
    open: Arc<watch::Sender<usize>>,
) {
    // Polling again after an error would connect again; a link is one connection.
    while let Ok(event) = events.poll().await {
        match event {
            Event::Incoming(Packet::Publish(publish)) => {
                let Ok(topic) = String::from_utf8(publish.topic.to_vec()) else { continue };
                heard.take(topic, publish.payload, publish.qos as u8, publish.retain);
            }
            Event::Incoming(Packet::SubAck(suback)) => {
                let granted = suback.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_)));
                let waiter = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                if let Some(waiter) = waiter {
                    let _ = waiter.send(granted);
                }
            }
            Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => done(&open),
            Event::Incoming(Packet::PubRec(PubRec { reason, .. }))
                if !matches!(reason, PubRecReason::Success | PubRecReason::NoMatchingSubscribers) =>
            {
                done(&open);
            }
            Event::Outgoing(rumqttc::Outgoing::Disconnect) => break,
            _ => {}
        }
    }
    // Whoever still waits learns that the link is lost.
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

fn done(open: &watch::Sender<usize>) {
    open.send_modify(|open| *open = open.saturating_sub(1));
}

fn quality(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

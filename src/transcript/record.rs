//! One thing that the front door of the broker saw.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::injected::Injected;

/// How the ids begin that the broker gives to clients that send none.
pub const ASSIGNED: &str = "auto-";

/// An entry of the record. Entries are numbered in the order in which the broker handled them; that order, not the
/// time, is the truth about before and after.
#[derive(Debug, Clone)]
pub struct Record {
    /// Position, from 0, without gaps.
    pub seq: u64,
    /// Since the start of the broker.
    pub at: Duration,
    /// The client id; assigned by the broker where the client sent none.
    pub client: Arc<str>,
    /// What happened.
    pub event: Event,
}

impl Record {
    /// Something that khumbu did without a message, as a message: `what` stands on a topic of khumbu's own. It is no entry of
    /// the broker, and for recordings alone.
    pub fn of_deed(at: Duration, topic: &str, what: &serde_json::Value) -> Self {
        let payload = Bytes::from(what.to_string());
        let publish = Publish { topic: topic.into(), payload, qos: 0, retain: false, dup: false, pkid: 0 };
        let event = Event::Publish { direction: Direction::FromClient, publish };
        Self { seq: 0, at, client: "khumbu".into(), event }
    }
}

/// What happened to a client's connection.
#[derive(Debug, Clone)]
pub enum Event {
    /// A TCP connection was accepted; nothing is known of it yet, `client` is the peer's address.
    Accepted,
    /// A CONNECT was answered with success.
    Connected {
        /// 4 for MQTT 3.1.1, 5 for MQTT 5.
        protocol: u8,
        /// Clean session, or clean start.
        clean: bool,
        /// Whether the broker has kept the client's session, and with it its subscriptions.
        session_present: bool,
        /// Seconds.
        keep_alive: u16,
        /// The will, as it would be published; without packet identifier.
        will: Option<Publish>,
    },
    /// A connection ended before it was accepted: no CONNECT, garbage, or refused.
    Refused {
        /// Why, in words.
        why: String,
    },
    /// A QoS 2 PUBLISH came from the client and waits for its PUBREL; nobody has been told of it. One entry a packet,
    /// repetitions included.
    Held {
        /// The packet.
        publish: Publish,
    },
    /// A PUBLISH passed. From the client: as it sent it; with QoS 2 when its PUBREL came, once however often it was
    /// sent, since that is when a broker hands it on. To the client: when it was handed to the socket.
    Publish {
        /// Who sent it.
        direction: Direction,
        /// The packet.
        publish: Publish,
    },
    /// A SUBSCRIBE was granted; one entry a filter, written when the SUBACK was handed to the socket.
    Subscribed {
        /// The filter.
        filter: String,
        /// The QoS granted.
        qos: u8,
    },
    /// An UNSUBSCRIBE was answered; one entry a filter.
    Unsubscribed {
        /// The filter.
        filter: String,
    },
    /// Any other packet after CONNACK: acknowledgements and pings, and also SUBSCRIBE, UNSUBSCRIBE and DISCONNECT, whose
    /// effects have entries of their own.
    Packet {
        /// Who sent it.
        direction: Direction,
        /// The name in the standard, for example `PUBACK`.
        kind: &'static str,
        /// The packet identifier; 0 for packets without one.
        pkid: u16,
    },
    /// Another broker says that nobody subscribes to what the client has published under this packet identifier (reason
    /// 0x10 of MQTT 5); its acknowledgement follows. Not every broker says so.
    Unheard {
        /// The packet identifier.
        pkid: u16,
    },
    /// A client broke a rule of MQTT. A broker cuts it off or refuses it, which are entries of their own; a packet
    /// identifier that is still in use it lets pass, and what another broker makes of it is that broker's.
    Breach {
        /// Which rule.
        rule: Rule,
        /// The packet and what was wrong with it, for example ``PUBLISH: topic `a/+` has a wildcard``.
        what: String,
        /// How the packet begins; empty where no single packet is to blame.
        bytes: Bytes,
    },
    /// A message could not be delivered: the client's queue was full, or the packet larger than the client wants. Also
    /// a will that could not be retained for lack of memory.
    Overflow {
        /// The topic of the lost message.
        topic: String,
    },
    /// Khumbu made the wire fail, as it was told to. What follows from that is nobody else's fault.
    Injected(Injected),
    /// The connection ended.
    Disconnected {
        /// Why, in words, for example `DISCONNECT`, `closed by peer`, `taken over`, `cut off`.
        cause: String,
        /// Whether the client said goodbye.
        clean: bool,
    },
}

/// A rule of MQTT that a broker can see broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Every packet is whole and well formed, and its texts are UTF-8.
    Form,
    /// Topics and filters are such.
    Topic,
    /// A connection begins with a CONNECT and has no second one.
    Connect,
    /// Only what a client may send at this point.
    Order,
    /// Packet identifiers are not 0, and not in use for something else.
    Identifier,
    /// Nothing is larger than the broker takes.
    Limit,
    /// A client is heard of in time.
    KeepAlive,
}

/// Who sent a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the client to the broker.
    FromClient,
    /// From the broker to the client.
    ToClient,
}

/// A PUBLISH packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The topic, resolved where MQTT 5 used an alias.
    pub topic: Arc<str>,
    /// The payload exactly as sent.
    pub payload: Bytes,
    /// 0, 1 or 2.
    pub qos: u8,
    /// The retain flag as it stood in the packet.
    pub retain: bool,
    /// The dup flag; of a QoS 2 message as it stood in the first packet that the session holds of it.
    pub dup: bool,
    /// The packet identifier; 0 for QoS 0.
    pub pkid: u16,
}

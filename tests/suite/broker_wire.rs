//! What the broker's tests share: a broker with its record, and a client that says exactly the bytes it is told to.
//!
//! The client is deliberately dumb: no codec of ours or of rumqttd is on its side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use khumbu::broker::{Broker, Config};
use khumbu::transcript::record::{Direction, Event, Publish, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A broker and its record.
pub struct Bench {
    pub broker: Broker,
    records: UnboundedReceiver<Record>,
    /// Everything that was looked at.
    pub seen: Vec<Record>,
}

impl Bench {
    pub async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        let (sender, records) = unbounded_channel();
        let broker = Broker::start(config, move |record| drop(sender.send(record))).await.unwrap();
        Self { broker, records, seen: Vec::new() }
    }

    pub fn address(&self) -> SocketAddr {
        self.broker.address()
    }

    /// Waits for the first entry that satisfies, beginning with the first that was never looked at.
    pub async fn wait(&mut self, what: &str, matches: impl Fn(&Record) -> bool) -> Record {
        let seen = self.seen.len();
        let found = timeout(PATIENCE, async {
            loop {
                let record = self.records.recv().await.unwrap();
                self.seen.push(record.clone());
                if matches(&record) {
                    return record;
                }
            }
        });
        match found.await {
            Ok(record) => record,
            Err(_) => panic!("no record of {what}; since then: {:#?}", &self.seen[seen..]),
        }
    }

    /// Waits for the end of a client's connection; says why it ended.
    pub async fn disconnected(&mut self, client: &str) -> String {
        let record = self
            .wait(&format!("the end of {client}"), |record| {
                *record.client == *client && matches!(record.event, Event::Disconnected { .. })
            })
            .await;
        match record.event {
            Event::Disconnected { cause, .. } => cause,
            _ => unreachable!(),
        }
    }

    /// Waits for a refusal; says why.
    pub async fn refused(&mut self) -> String {
        match self.wait("a refusal", |record| matches!(record.event, Event::Refused { .. })).await.event {
            Event::Refused { why } => why,
            _ => unreachable!(),
        }
    }

    /// Stops the broker and returns the whole record.
    pub async fn stop(mut self) -> Vec<Record> {
        self.broker.stop().await;
        while let Some(record) = self.records.recv().await {
            self.seen.push(record);
        }
        for (at, record) in self.seen.iter().enumerate() {
            assert_eq!(record.seq, at as u64, "the record has no gap and no disorder");
        }
        self.seen
    }
}

/// The PUBLISH packets of a record in one direction, with the client.
pub fn publishes(records: &[Record], wanted: Direction) -> Vec<(Arc<str>, Publish)> {
    let publishes = records.iter().filter_map(|record| match &record.event {
        Event::Publish { direction, publish } if *direction == wanted => Some((record.client.clone(), publish.clone())),
        _ => None,
    });
    publishes.collect()
}

/// A TCP connection that speaks bytes.
pub struct Wire {
    pub stream: TcpStream,
    buffer: BytesMut,
}

impl Wire {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: BytesMut::new() }
    }

    /// Connects with MQTT 3.1.1 and a clean session.
    pub async fn v4(address: SocketAddr, client: &str) -> Self {
        Self::connected(address, &connect4(client, 2, 0)).await
    }

    /// Connects with MQTT 5, a clean start and no properties.
    pub async fn v5(address: SocketAddr, client: &str) -> Self {
        Self::connected(address, &connect5(client, 2, 0, &[])).await
    }

    /// Sends a CONNECT and wants to be accepted.
    pub async fn connected(address: SocketAddr, connect: &[u8]) -> Self {
        let mut wire = Self::open(address).await;
        wire.send(connect).await;
        let connack = wire.packet().await;
        assert_eq!((connack[0], connack[3]), (0x20, 0), "{connack:x?}");
        wire
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next packet, or `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        let packet = timeout(PATIENCE, async {
            loop {
                if let Some(packet) = self.take() {
                    return Some(packet);
                }
                if self.stream.read_buf(&mut self.buffer).await.is_ok_and(|read| read > 0) {
                    continue;
                }
                return None;
            }
        });
        packet.await.expect("a packet, or the end, within the test's patience")
    }

    pub async fn packet(&mut self) -> Vec<u8> {
        self.next().await.expect("a packet, not the end")
    }

    pub async fn expect(&mut self, bytes: &[u8]) {
        let packet = self.packet().await;
        assert_eq!(packet, bytes, "got {packet:x?}, expected {bytes:x?}");
    }

    /// Everything else that comes until the broker closes.
    pub async fn rest(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        while let Some(packet) = self.next().await {
            packets.push(packet);
        }
        packets
    }

    /// Asserts that nothing has come: a ping is the next thing to be answered.
    pub async fn expect_silence(&mut self) {
        self.send(&[0xc0, 0]).await;
        self.expect(&[0xd0, 0]).await;
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let (mut length, mut at) = (0, 1);
        loop {
            let byte = *self.buffer.get(at)?;
            length |= usize::from(byte & 0x7f) << (7 * (at - 1));
            at += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if self.buffer.len() < at + length {
            return None;
        }
        Some(self.buffer.split_to(at + length).to_vec())
    }

    /// Subscribes to one filter, and takes the SUBACK.
    pub async fn subscribe4(&mut self, filter: &str, qos: u8) {
        self.send(&packet(0x82, &[&[0, 1], &text(filter), &[qos]])).await;
        self.expect(&[0x90, 3, 0, 1, qos]).await;
    }

    /// Subscribes to one filter with options and properties, and takes the SUBACK.
    pub async fn subscribe5(&mut self, filter: &str, options: u8, properties: &[u8]) {
        self.send(&packet(0x82, &[&[0, 1, properties.len() as u8], properties, &text(filter), &[options]])).await;
        self.expect(&[0x90, 4, 0, 1, 0, options & 3]).await;
    }
}

/// A packet from its first byte and the parts of its body.
pub fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut packet = vec![first];
    let mut left = body.len();
    loop {
        let byte = (left % 128) as u8;
        left /= 128;
        packet.push(if left > 0 { byte | 0x80 } else { byte });
        if left == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

/// A length-prefixed string, or bytes.
pub fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [&(text.len() as u16).to_be_bytes()[..], text].concat()
}

/// CONNECT of MQTT 3.1.1.
pub fn connect4(client: &str, flags: u8, keep_alive: u16) -> Vec<u8> {
    packet(0x10, &[b"\0\x04MQTT\x04", &[flags], &keep_alive.to_be_bytes(), &text(client)])
}

/// CONNECT of MQTT 5 with properties.
pub fn connect5(client: &str, flags: u8, keep_alive: u16, properties: &[u8]) -> Vec<u8> {
    let length = [properties.len() as u8];
    packet(0x10, &[b"\0\x04MQTT\x05", &[flags], &keep_alive.to_be_bytes(), &length, properties, &text(client)])
}

/// PUBLISH of MQTT 3.1.1; `flags` are the low half of the first byte, `pkid` is left out for QoS 0.
pub fn publish4(flags: u8, topic: &str, pkid: u16, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let identifier = pkid.to_be_bytes();
    let identifier = if flags & 0x06 == 0 { &[][..] } else { &identifier[..] };
    packet(0x30 | flags, &[&text(topic), identifier, payload.as_ref()])
}

/// PUBLISH of MQTT 5.
pub fn publish5(flags: u8, topic: &str, pkid: u16, properties: &[u8], payload: impl AsRef<[u8]>) -> Vec<u8> {
    let identifier = pkid.to_be_bytes();
    let identifier = if flags & 0x06 == 0 { &[][..] } else { &identifier[..] };
    packet(0x30 | flags, &[&text(topic), identifier, &[properties.len() as u8], properties, payload.as_ref()])
}

//! A connection whose client talks to another broker through us.
//!
//! Bytes pass unchanged, both ways; packets are read only to be recorded. Where a packet cannot be read, the rest of
//! that direction passes unread: the other side is the one to judge it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::PacketLimit;
use super::connection::{Reader, resolve_alias};
use super::frame::{self, Fault, Frame, Kind, Place};
use super::hub::Hub;
use super::packet::{self, Connect, Packet, Refusal, Version, Will, read_connect, read_packet, read_publish};
use super::pipe::Pipe;
use crate::transcript::record::{Direction, Event, Publish};

/// What is read at once.
const READ: usize = 16 * 1024;

/// Serves a connection whose first packet is there.
pub(super) async fn serve(hub: &Hub, reader: &mut Reader, first: Frame, pipe: &Pipe, peer: SocketAddr, number: u64) {
    let Some(upstream) = &hub.config.upstream else { return };
    if let Ok(Connect { version, client_id, .. }) = read_connect(first.clone())
        && let Some(refusal) = hub.refusal(&client_id)
    {
        let refusal = Refusal::injected(version, refusal, &client_id);
        pipe.push(|out| out.extend_from_slice(&refusal.answer));
        pipe.flush();
        return hub.refuse(peer, &refusal.fault);
    }
    let limit = hub.config.connect_timeout;
    let connecting = timeout(limit, TcpStream::connect((upstream.host.as_str(), upstream.port)));
    let connected = tokio::select! {
        outcome = connecting => outcome.map_err(|_| format!("no connection within {limit:?}")),
        () = closing(pipe) => return hub.refuse(peer, &Fault::blameless("broker down before CONNACK")),
    };
    let connected = connected.and_then(|outcome| outcome.map_err(|error| error.to_string()));
    // Without no-delay the relay adds 40 ms where a direct connection has none.
    let connected = connected.and_then(|s| s.set_nodelay(true).map(|()| s).map_err(|error| error.to_string()));
    let (from_upstream, to_upstream) = match connected {
        Ok(stream) => stream.into_split(),
        Err(why) => return hub.refuse(peer, &Fault::blameless(format!("upstream {upstream}: {why}"))),
    };
    let bytes = first.bytes.clone();
    let tap = Mutex::new(Tap::new(hub, first, peer, number));
    let cause = tokio::select! {
        cause = up(&tap, reader, pipe, to_upstream, bytes) => cause,
        cause = down(&tap, from_upstream, pipe) => format!("{cause} upstream {upstream}"),
        () = closing(pipe) => "cut off".to_owned(),
    };
    tap.into_inner().unwrap_or_else(PoisonError::into_inner).end(&cause);
}

/// Waits until the connection is to be closed.
async fn closing(pipe: &Pipe) {
    while !pipe.is_closing() {
        pipe.attention.notified().await;
    }
}

/// From the client to the upstream broker, until the end; says why it ended.
async fn up(tap: &Mutex<Tap<'_>>, reader: &mut Reader, pipe: &Pipe, mut to: OwnedWriteHalf, first: BytesMut) -> String {
    let sent: io::Result<()> = async {
        to.write_all(&first).await?;
        loop {
            pipe.flowing().await;
            let bytes = reader.buffer.split();
            // The record comes before the effect.
            with(tap, |tap| tap.see(Direction::FromClient, &bytes));
            to.write_all(&bytes).await?;
            if reader.read().await? == 0 {
                return Ok(());
            }
        }
    }
    .await;
    sent.map_or_else(|error| format!("connection lost: {error}"), |()| "closed by peer".to_owned())
}

/// From the upstream broker to the client, until the end; says why it ended, but for the name of the upstream.
async fn down(tap: &Mutex<Tap<'_>>, mut from: OwnedReadHalf, pipe: &Pipe) -> String {
    let mut bytes = BytesMut::new();
    loop {
        bytes.clear();
        bytes.reserve(READ);
        let read = from.read_buf(&mut bytes).await;
        pipe.flowing().await;
        match read {
            Ok(0) => return "closed by".to_owned(),
            Err(error) => return format!("connection lost ({error}) to"),
            Ok(_) => {}
        }
        with(tap, |tap| tap.see(Direction::ToClient, &bytes));
        pipe.push(|out| out.extend_from_slice(&bytes));
        while pipe.flush() {
            if let Err(error) = pipe.writable().await {
                return format!("connection lost ({error}) behind");
            }
        }
    }
}

fn with<R>(tap: &Mutex<Tap<'_>>, step: impl FnOnce(&mut Tap<'_>) -> R) -> R {
    step(&mut tap.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Packets of one direction, put together from what was read.
#[derive(Debug, Default)]
struct Stream {
    buffer: BytesMut,
    aliases: HashMap<u16, Arc<str>>,
    /// Why nothing more is read.
    fault: Option<Fault>,
}

/// What is known of a CONNECT until its CONNACK comes.
#[derive(Debug)]
struct Asked {
    clean: bool,
    keep_alive: u16,
    will: Option<Publish>,
}

/// How far a relayed client has come.
#[derive(Debug)]
enum Stage {
    Asked(Asked),
    Accepted,
    Over,
}

/// Reads along and records.
struct Tap<'a> {
    hub: &'a Hub,
    peer: SocketAddr,
    number: u64,
    client: Arc<str>,
    version: Version,
    stage: Stage,
    from_client: Stream,
    to_client: Stream,
    subscribing: VecDeque<(u16, Vec<String>)>,
    unsubscribing: VecDeque<(u16, Vec<String>)>,
    /// The DISCONNECT that passed, of either side.
    goodbye: Option<(Direction, String)>,
}

/// The reason code for "No matching subscribers" (MQTT 5, 3.4.2.1 and 3.5.2.1).
const UNHEARD: u8 = 0x10;

impl<'a> Tap<'a> {
    fn new(hub: &'a Hub, first: Frame, peer: SocketAddr, number: u64) -> Self {
        let mut tap = Self {
            hub,
            peer,
            number,
            client: peer.to_string().into(),
            version: Version::V4,
            stage: Stage::Asked(Asked { clean: true, keep_alive: 0, will: None }),
            from_client: Stream::default(),
            to_client: Stream::default(),
            subscribing: VecDeque::new(),
            unsubscribing: VecDeque::new(),
            goodbye: None,
        };
        match read_connect(first) {
            Ok(connect) => {
                tap.version = connect.version;
                if !connect.client_id.is_empty() {
                    tap.client = connect.client_id.into();
                }
                let will = connect.will.as_ref().map(Will::as_publish);
                tap.stage = Stage::Asked(Asked { clean: connect.clean, keep_alive: connect.keep_alive, will });
            }
            Err(refusal) => {
                hub.record_breach(&tap.client, &refusal.fault);
                tap.from_client.fault = Some(refusal.fault);
            }
        }
        tap
    }

    fn stream(&mut self, direction: Direction) -> &mut Stream {
        match direction {
            Direction::FromClient => &mut self.from_client,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// Records the packets that these bytes complete.
    fn see(&mut self, direction: Direction, bytes: &[u8]) {
        let stream = self.stream(direction);
        if stream.fault.is_some() {
            return;
        }
        stream.buffer.extend_from_slice(bytes);
        loop {
            let seen = match frame::next(&mut self.stream(direction).buffer, PacketLimit::MQTT.0) {
                Ok(None) => return,
                Ok(Some(frame)) if direction == Direction::FromClient => self.see_from_client(frame),
                Ok(Some(frame)) => self.see_to_client(frame),
                Err(fault) => Err(fault),
            };
            if let Err(fault) = seen {
                if direction == Direction::FromClient {
                    self.hub.record_breach(&self.client, &fault);
                }
                let stream = self.stream(direction);
                stream.fault = Some(fault);
                stream.buffer = BytesMut::new();
                return;
            }
        }
    }

    fn record(&self, event: Event) {
        self.hub.record(&self.client, event);
    }

    fn record_packet(&self, direction: Direction, kind: Kind, pkid: u16) {
        self.record(Event::Packet { direction, kind: kind.name(), pkid });
    }

    fn record_publish(&mut self, direction: Direction, frame: Frame) -> Result<(), Fault> {
        let place = match direction {
            Direction::FromClient => Place::PublishFromClient,
            Direction::ToClient => Place::PublishToClient,
        };
        let mut publish = read_publish(self.version, frame, place)?;
        resolve_alias(&mut self.stream(direction).aliases, &mut publish, u16::MAX)?;
        let packet::Publish { topic, payload, qos, retain, dup, pkid, .. } = publish;
        let publish = Publish { topic, payload, qos, retain, dup, pkid };
        match (direction, qos) {
            (Direction::FromClient, 2) => self.hub.hold_relayed(self.number, &self.client, publish),
            _ => self.record(Event::Publish { direction, publish }),
        }
        Ok(())
    }

    fn see_from_client(&mut self, frame: Frame) -> Result<(), Fault> {
        let (kind, direction) = (frame.kind, Direction::FromClient);
        if kind == Kind::Publish {
            return self.record_publish(direction, frame);
        }
        if kind == Kind::Auth {
            self.record_packet(direction, kind, 0);
            return Ok(());
        }
        match read_packet(self.version, frame)? {
            Packet::Publish(_) => {}
            Packet::Acknowledge { kind, pkid, .. } => {
                self.record_packet(direction, kind, pkid);
                if kind == Kind::PubRel {
                    self.hub.release_relayed(&self.client, pkid, false);
                }
            }
            Packet::Subscribe { pkid, filters, .. } => {
                self.record_packet(direction, kind, pkid);
                self.subscribing.push_back((pkid, filters.into_iter().map(|filter| filter.path).collect()));
            }
            Packet::Unsubscribe { pkid, filters } => {
                self.record_packet(direction, kind, pkid);
                self.unsubscribing.push_back((pkid, filters));
            }
            Packet::Ping => self.record_packet(direction, kind, 0),
            Packet::Disconnect { reason, .. } => {
                self.record_packet(direction, kind, 0);
                let words = if reason == 0 { String::new() } else { format!(" with reason {reason:#04x}") };
                self.goodbye = Some((direction, format!("DISCONNECT{words}")));
            }
        }
        Ok(())
    }

    fn see_to_client(&mut self, frame: Frame) -> Result<(), Fault> {
        let (kind, direction) = (frame.kind, Direction::ToClient);
        let v5 = self.version == Version::V5;
        match kind {
            Kind::ConnAck => return self.see_connack(&frame),
            Kind::Publish => return self.record_publish(direction, frame),
            _ => {}
        }
        let mut cursor = frame.cursor();
        let pkid = match kind {
            Kind::PingResp | Kind::Disconnect | Kind::Auth => 0,
            _ => cursor.packet_id()?,
        };
        if v5 && matches!(kind, Kind::PubAck | Kind::PubRec) && cursor.rest.first() == Some(&UNHEARD) {
            self.record(Event::Unheard { pkid });
        }
        self.record_packet(direction, kind, pkid);
        match kind {
            Kind::SubAck => {
                if v5 {
                    cursor.properties(Place::Acknowledgement)?;
                }
                if let Some(filters) = take(&mut self.subscribing, pkid) {
                    for (filter, code) in filters.into_iter().zip(cursor.rest) {
                        if *code <= 2 {
                            self.record(Event::Subscribed { filter, qos: *code });
                        }
                    }
                }
            }
            // An upstream of MQTT 5 may refuse a message here.
            Kind::PubRec if v5 && cursor.rest.first().is_some_and(|reason| *reason >= 0x80) => {
                self.hub.release_relayed(&self.client, pkid, true);
            }
            Kind::UnsubAck => {
                for filter in take(&mut self.unsubscribing, pkid).unwrap_or_default() {
                    self.record(Event::Unsubscribed { filter });
                }
            }
            Kind::Disconnect => {
                let reason = if cursor.rest.is_empty() { 0 } else { cursor.u8("the reason code")? };
                let mut words = format!("DISCONNECT with reason {reason:#04x}");
                if !cursor.rest.is_empty()
                    && let Some(why) = cursor.properties(Place::Disconnect)?.reason
                {
                    words = format!("{words} ({why})");
                }
                self.goodbye = Some((direction, words));
            }
            _ => {}
        }
        Ok(())
    }

    fn see_connack(&mut self, frame: &Frame) -> Result<(), Fault> {
        let mut cursor = frame.cursor();
        let session_present = cursor.u8("the acknowledge flags")? & 1 == 1;
        let code = cursor.u8("the return code")?;
        let mut assigned = None;
        if self.version == Version::V5 && !cursor.rest.is_empty() {
            assigned = cursor.properties(Place::ConnAck)?.assigned_id;
        }
        let Stage::Asked(asked) = std::mem::replace(&mut self.stage, Stage::Over) else { return Ok(()) };
        if code != 0 {
            let client = &self.client;
            let why = format!("client `{client}`: CONNACK of the upstream: {}", refusal_name(self.version, code));
            self.hub.refuse(self.peer, &Fault::blameless(why));
            return Ok(());
        }
        let came_as = self.client.clone();
        if let Some(assigned) = assigned {
            self.client = assigned.into();
        }
        self.stage = Stage::Accepted;
        let Asked { clean, keep_alive, will } = asked;
        let protocol = self.version.level();
        let event = Event::Connected { protocol, clean, session_present, keep_alive, will };
        self.hub.connect_relayed(self.number, &came_as, &self.client, session_present, event);
        Ok(())
    }

    /// Records the end of the connection.
    fn end(self, cause: &str) {
        let mut cause = match &self.goodbye {
            Some((Direction::FromClient, words)) => words.clone(),
            Some((Direction::ToClient, words)) => format!("{words} from the upstream"),
            None => cause.to_owned(),
        };
        if let Some(fault) = &self.from_client.fault {
            cause = format!("{cause}, after {}", fault.why);
        } else if let Some(fault) = &self.to_client.fault {
            cause = format!("{cause}; the upstream had sent a broken packet: {}", fault.why);
        }
        match self.stage {
            Stage::Asked(_) => self.hub.refuse(self.peer, &Fault::blameless(format!("{cause}, before CONNACK"))),
            Stage::Accepted => {
                let clean = matches!(self.goodbye, Some((Direction::FromClient, _)));
                self.hub.end_relayed(self.number, &cause, clean);
            }
            Stage::Over => {}
        }
    }
}

/// Takes out what was asked with this packet identifier.
fn take(asked: &mut VecDeque<(u16, Vec<String>)>, pkid: u16) -> Option<Vec<String>> {
    let at = asked.iter().position(|(id, _)| *id == pkid)?;
    asked.remove(at).map(|(_, filters)| filters)
}

/// A return code of CONNACK in words (MQTT 3.1.1, table 3.1; MQTT 5, table 3-1).
fn refusal_name(version: Version, code: u8) -> String {
    let words = match (version, code) {
        (Version::V4, 1) | (Version::V5, 0x84) => "unsupported protocol version",
        (Version::V4, 2) | (Version::V5, 0x85) => "client identifier not valid",
        (Version::V4, 3) | (Version::V5, 0x88) => "server unavailable",
        (Version::V4, 4) | (Version::V5, 0x86) => "bad user name or password",
        (Version::V4, 5) | (Version::V5, 0x87) => "not authorized",
        (Version::V5, 0x81) => "malformed packet",
        (Version::V5, 0x82) => "protocol error",
        (Version::V5, 0x89) => "server busy",
        (Version::V5, 0x8a) => "banned",
        (Version::V5, 0x8c) => "bad authentication method",
        (Version::V5, 0x95) => "packet too large",
        (Version::V5, 0x97) => "quota exceeded",
        _ => "refused",
    };
    format!("{words} ({code:#04x})")
}

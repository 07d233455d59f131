//! One accepted TCP connection: its first packet, its packets, its end.
//!
//! One task a connection reads; it writes only what others could not write at once ([`super::pipe`]).

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rumqttd::protocol::DisconnectReasonCode as Reason;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{Instant, sleep_until, timeout};

use super::frame::{self, Fault, Frame};
use super::hub::{Ending, Hub, Next, Seat, TOPIC_ALIASES};
use super::packet::{Packet, Publish, Version, read_connect, read_packet};
use super::pipe::Pipe;
use super::relay;
use crate::transcript::record::Rule;

/// What is read at once; doubled while a client fills it, up to [`MOST_READ`].
const LEAST_READ: usize = 2 * 1024;
const MOST_READ: usize = 32 * 1024;

/// A broker that is woken later than this for a client that fell silent was held up itself.
const HELD_UP: Duration = Duration::from_millis(100);

/// How long a client that was refused may take to read why.
const FAREWELL: Duration = Duration::from_millis(250);

/// Reads the socket of a connection.
pub(super) struct Reader {
    pub(super) half: OwnedReadHalf,
    pub(super) buffer: BytesMut,
    size: usize,
}

impl Reader {
    /// Reads something; 0 at the end. Nothing is lost if this is dropped before it is done.
    pub(super) async fn read(&mut self) -> io::Result<usize> {
        self.buffer.reserve(self.size);
        let read = self.half.read_buf(&mut self.buffer).await?;
        if read >= self.size {
            self.size = (self.size * 2).min(MOST_READ);
        }
        Ok(read)
    }
}

/// A connection from its acceptance to its end.
pub(super) async fn serve(hub: Arc<Hub>, half: OwnedReadHalf, pipe: Arc<Pipe>, peer: SocketAddr, number: u64) {
    let mut reader = Reader { half, buffer: BytesMut::new(), size: LEAST_READ };
    match first_frame(&hub, &mut reader, &pipe).await {
        Err(fault) => hub.refuse(peer, &fault),
        Ok(frame) => {
            if hub.config.upstream.is_some() {
                relay::serve(&hub, &mut reader, frame, &pipe, peer, number).await;
            } else {
                welcome(&hub, &mut reader, frame, &pipe, peer, number).await;
            }
            farewell(reader, &pipe).await;
        }
    }
    hub.forget(number);
}

/// Answers a CONNECT, and serves the client if it is accepted.
async fn welcome(hub: &Hub, reader: &mut Reader, frame: Frame, pipe: &Arc<Pipe>, peer: SocketAddr, number: u64) {
    let accepted = read_connect(frame).and_then(|connect| {
        let (version, keep_alive) = (connect.version, connect.keep_alive);
        let seat = hub.connect(number, pipe, connect)?;
        Ok(Client { seat, version, keep_alive, aliases: HashMap::new() })
    });
    match accepted {
        Ok(client) => client.serve(hub, reader, pipe).await,
        Err(refusal) => {
            pipe.push(|out| out.extend_from_slice(&refusal.answer));
            pipe.flush();
            hub.refuse(peer, &refusal.fault);
        }
    }
}

/// The first whole packet.
async fn first_frame(hub: &Hub, reader: &mut Reader, pipe: &Pipe) -> Result<Frame, Fault> {
    let limit = hub.config.connect_timeout;
    let deadline = Instant::now() + limit;
    loop {
        // Others are turned away before they can make us wait for the rest of a packet.
        match reader.buffer.first() {
            Some(first) if first >> 4 != 1 => {
                let why = format!("no CONNECT: first byte {first:#04x}");
                return Err(Fault::malformed(why).of(Rule::Connect).begun_with(&reader.buffer));
            }
            _ => {}
        }
        match frame::next(&mut reader.buffer, hub.config.max_packet.0) {
            Ok(Some(frame)) => return Ok(frame),
            Ok(None) => {}
            Err(fault) => return Err(fault.begun_with(&reader.buffer)),
        }
        let received = reader.buffer.len();
        tokio::select! {
            read = reader.read() => match read {
                Ok(0) if received == 0 => return Err(Fault::blameless("closed by peer before CONNECT")),
                Ok(0) => {
                    return Err(Fault::blameless(format!("closed by peer within CONNECT, after {received} bytes")));
                }
                Ok(_) => {}
                Err(error) => return Err(Fault::blameless(format!("connection lost before CONNECT: {error}"))),
            },
            () = sleep_until(deadline) => {
                return Err(Fault::blameless(format!("no CONNECT within {limit:?}, {received} bytes received")));
            }
            () = pipe.attention.notified() => if pipe.is_closing() {
                return Err(Fault::blameless("broker down before CONNECT"));
            },
        }
    }
}

/// Closes so that the client can still read the last packet: closing with unread input would reset the connection.
async fn farewell(mut reader: Reader, pipe: &Pipe) {
    pipe.shut_down();
    let read_on = async {
        while !pipe.is_abandoned() {
            tokio::select! {
                read = reader.read() => match read {
                    Ok(1..) => reader.buffer.clear(),
                    _ => break,
                },
                () = pipe.attention.notified() => {}
            }
        }
    };
    // Whether it has read everything or not, its time is over.
    let _ = timeout(FAREWELL, read_on).await;
}

/// A client that was accepted.
struct Client {
    seat: Seat,
    version: Version,
    keep_alive: u16,
    aliases: HashMap<u16, Arc<str>>,
}

/// Why a client's loop ended.
enum End {
    /// The hub knows already.
    Known,
    Fault(Fault),
    Lost(String),
    Silent,
}

impl Client {
    async fn serve(mut self, hub: &Hub, reader: &mut Reader, pipe: &Pipe) {
        let cause = match self.run(hub, reader, pipe).await {
            End::Known => return,
            End::Fault(fault) => return hub.fail(self.seat, &fault),
            End::Silent => {
                let why = format!("keep-alive: nothing received for 1.5 × {}s", self.keep_alive);
                return hub.fail(self.seat, &Fault::silent(why));
            }
            End::Lost(cause) => cause,
        };
        hub.end(self.seat, &Ending { cause: &cause, clean: false, will: true });
    }

    async fn run(&mut self, hub: &Hub, reader: &mut Reader, pipe: &Pipe) -> End {
        let patience = Duration::from_secs(self.keep_alive.into()) * 3 / 2;
        let mut heard = Instant::now();
        let silence = sleep_until(heard + patience);
        tokio::pin!(silence);
        let mut packets = Vec::new();
        let mut was_stalled = false;
        loop {
            let is_stalled = pipe.is_stalled();
            if std::mem::replace(&mut was_stalled, is_stalled) && !is_stalled {
                // What it has sent meanwhile is still to be read.
                heard = Instant::now();
            }
            // Everything that has come is handled in one step, and written in one.
            let fault = match is_stalled {
                true => Ok(()),
                false => self.take_packets(hub, &mut reader.buffer, &mut packets),
            };
            if !packets.is_empty() {
                heard = Instant::now();
                match hub.handle(self.seat, packets.drain(..)) {
                    Ok(Next::Continue) => {}
                    Ok(Next::Ended) => return End::Known,
                    Err(fault) => return End::Fault(fault),
                }
            }
            if let Err(fault) = fault {
                return End::Fault(fault);
            }
            let mut unsent = pipe.flush();
            while !unsent && pipe.has_backlog() && hub.pump(self.seat) {
                unsent = pipe.flush();
            }
            if pipe.is_closing() {
                return End::Known;
            }
            tokio::select! {
                read = reader.read(), if !is_stalled && !pipe.is_stuck() => match read {
                    Ok(0) => return End::Lost("closed by peer".to_owned()),
                    Ok(_) => {}
                    Err(error) => return End::Lost(format!("connection lost: {error}")),
                },
                _ = pipe.writable(), if unsent => {}
                () = pipe.attention.notified() => {}
                () = &mut silence, if self.keep_alive > 0 && !is_stalled => {
                    let held_up = silence.deadline().elapsed();
                    if heard.elapsed() < patience {
                        silence.as_mut().reset(heard + patience);
                    } else if held_up > HELD_UP {
                        // What the client has sent meanwhile may still have to be read.
                        silence.as_mut().reset(Instant::now() + held_up.min(patience));
                    } else {
                        return End::Silent;
                    }
                }
            }
        }
    }

    /// Takes every whole packet out of the buffer, up to the first one that is wrong.
    fn take_packets(&mut self, hub: &Hub, buffer: &mut BytesMut, packets: &mut Vec<Packet>) -> Result<(), Fault> {
        loop {
            let frame = match frame::next(buffer, hub.config.max_packet.0) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                Err(fault) => return Err(fault.begun_with(buffer)),
            };
            let (beginning, length) = (frame.beginning(), frame.bytes.len());
            let begun = |fault: Fault| fault.begun_with(&beginning[..length.min(beginning.len())]);
            let mut packet = read_packet(self.version, frame).map_err(begun)?;
            if let Packet::Publish(publish) = &mut packet
                && publish.alias.is_some()
            {
                resolve_alias(&mut self.aliases, publish, TOPIC_ALIASES).map_err(begun)?;
            }
            packets.push(packet);
        }
    }
}

/// Puts in the topic that an alias stands for, or learns the alias (MQTT 5, section 3.3.2.3.4).
pub(super) fn resolve_alias(
    aliases: &mut HashMap<u16, Arc<str>>,
    publish: &mut Publish,
    most: u16,
) -> Result<(), Fault> {
    let Some(alias) = publish.alias else { return Ok(()) };
    if alias > most {
        let why = format!("PUBLISH: topic alias {alias} is larger than {most}");
        return Err(Fault::limit(Reason::TopicAliasInvalid, why));
    }
    if !publish.topic.is_empty() {
        aliases.insert(alias, publish.topic.clone());
        return Ok(());
    }
    match aliases.get(&alias) {
        Some(topic) => publish.topic = topic.clone(),
        None => return Err(Fault::protocol(format!("PUBLISH: topic alias {alias} was never given a topic"))),
    }
    Ok(())
}

/// Prepares an accepted socket.
pub(super) fn split(stream: TcpStream) -> io::Result<(OwnedReadHalf, Arc<Pipe>)> {
    // Without it a small answer waits for the acknowledgement of the one before: 40 ms.
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    Ok((read, Arc::new(Pipe::new(write))))
}

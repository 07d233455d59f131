//! The one place where everything meets: sessions, subscriptions, retained messages and the record.
//!
//! All state stands behind one lock. Whatever a packet causes (its record, the records of its deliveries, the bytes
//! appended to each pipe) happens under it, so the record's order is the truth; sockets are written after it is released.
//! Nothing here waits.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rumqttd::protocol as codec;
use tokio::sync::Notify;

use super::Config;
use super::frame::{Fault, Kind};
use super::injection::Injection;
use super::packet::{Connect, Packet, Refusal, Version, Will, write};
use super::pipe::Pipe;
use super::relayed::Relayed;
use super::retained::Retained;
use super::session::{Link, Message, Out, PendingWill, QueueLimits, Session};
use super::tree::{Route, Tree};
use crate::transcript::record::{ASSIGNED, Direction, Event, Publish, Record, Rule};

/// Pipes that have something to write.
pub(super) type Flushes = Vec<Arc<Pipe>>;

/// Topic aliases that an MQTT 5 client may use.
pub(super) const TOPIC_ALIASES: u16 = 64;

/// Numbers the entries of the record and hands them on.
pub(super) struct Recorder {
    sink: Box<dyn Fn(Record) + Send + Sync>,
    seq: u64,
    /// Since the start; of the packet that is being handled.
    at: Duration,
}

impl Recorder {
    /// Writes an entry; its place.
    pub(super) fn record(&mut self, client: &Arc<str>, event: Event) -> u64 {
        let seq = self.seq;
        self.seq += 1;
        (self.sink)(Record { seq, at: self.at, client: client.clone(), event });
        seq
    }

    pub(super) fn record_breach(&mut self, client: &Arc<str>, Fault { rule, why, bytes, .. }: &Fault) {
        if let Some(rule) = *rule {
            self.record(client, Event::Breach { rule, what: why.clone(), bytes: bytes.clone() });
        }
    }
}

pub(super) struct Hub {
    pub(super) config: Config,
    core: Mutex<Core>,
    /// Something will be due: a will, or the end of a session.
    pub(super) due: Notify,
}

/// Where a connected client's session stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    pub(super) slot: usize,
    pub(super) number: u64,
}

/// Why and how a connection ended.
pub(super) struct Ending<'a> {
    pub(super) cause: &'a str,
    /// Whether the client said goodbye.
    pub(super) clean: bool,
    /// Whether the will is published.
    pub(super) will: bool,
}

/// Whether a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Continue,
    /// The client said goodbye, or was taken over or cut off meanwhile.
    Ended,
}

/// All state of a broker.
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) recorder: Recorder,
    started: Instant,
    pub(super) sessions: Vec<Option<Session>>,
    /// Slots of `sessions` that may be used again.
    free: Vec<usize>,
    clients: HashMap<Arc<str>, usize>,
    pub(super) tree: Tree,
    pub(super) retained: Retained,
    /// Every open connection by number.
    pub(super) links: HashMap<u64, Arc<Pipe>>,
    /// The clients whose packets go to an upstream broker.
    pub(super) relayed: Relayed,
    /// Faults that are injected, if any may be.
    pub(super) injection: Option<Injection>,
    last_link: u64,
    last_id: u64,
    pub(super) routes: Vec<Route>,
    pub(super) flushes: Flushes,
    pub(super) now: Instant,
    pub(super) has_deadlines: bool,
}

impl Hub {
    pub(super) fn new(config: Config, sink: Box<dyn Fn(Record) + Send + Sync>) -> Self {
        let now = Instant::now();
        let core = Core {
            config: config.clone(),
            recorder: Recorder { sink, seq: 0, at: Duration::ZERO },
            started: now,
            sessions: Vec::new(),
            free: Vec::new(),
            clients: HashMap::new(),
            tree: Tree::default(),
            retained: Retained::default(),
            links: HashMap::new(),
            relayed: Relayed::default(),
            injection: None,
            last_link: 0,
            last_id: 0,
            routes: Vec::new(),
            flushes: Vec::new(),
            now,
            has_deadlines: false,
        };
        Self { config, core: Mutex::new(core), due: Notify::new() }
    }

    /// Runs a step under the lock, then writes what it appended.
    pub(super) fn with<R>(&self, step: impl FnOnce(&mut Core) -> R) -> R {
        let (result, flushes, due) = {
            // A panic under the lock is a bug of ours; the other connections go on all the same.
            let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
            core.tell_time();
            let result = step(&mut core);
            (result, std::mem::take(&mut core.flushes), std::mem::take(&mut core.has_deadlines))
        };
        for pipe in flushes {
            pipe.flush_for_owner();
        }
        if due {
            self.due.notify_one();
        }
        result
    }

    /// Takes in a new connection; `None` if there are too many.
    pub(super) fn accept(&self, peer: SocketAddr, pipe: &Arc<Pipe>) -> Option<u64> {
        self.with(|core| {
            let name: Arc<str> = peer.to_string().into();
            core.recorder.record(&name, Event::Accepted);
            let limit = core.config.max_connections;
            if core.links.len() >= limit {
                core.recorder.record(&name, Event::Refused { why: format!("more than {limit} connections") });
                return None;
            }
            core.last_link += 1;
            core.links.insert(core.last_link, pipe.clone());
            Some(core.last_link)
        })
    }

    /// Forgets a connection once its task is done.
    pub(super) fn forget(&self, number: u64) {
        self.with(|core| core.links.remove(&number));
    }

    /// Records that a connection ended before it was accepted.
    pub(super) fn refuse(&self, peer: SocketAddr, fault: &Fault) {
        let peer = peer.to_string().into();
        self.with(|core| {
            core.recorder.record_breach(&peer, fault);
            core.recorder.record(&peer, Event::Refused { why: fault.why.clone() });
        });
    }

    /// Records what a client did wrong where somebody else is the judge.
    pub(super) fn record_breach(&self, client: &Arc<str>, fault: &Fault) {
        self.with(|core| core.recorder.record_breach(client, fault));
    }

    /// What time it is for the next record.
    pub(super) fn now(&self) -> Duration {
        self.with(|core| core.recorder.at)
    }

    pub(super) fn record(&self, client: &Arc<str>, event: Event) {
        self.with(|core| core.recorder.record(client, event));
    }

    pub(super) fn forget_sessions(&self) {
        self.with(Core::forget_sessions);
    }

    /// Accepts a client, or says why not.
    pub(super) fn connect(&self, number: u64, pipe: &Arc<Pipe>, connect: Connect) -> Result<Seat, Refusal> {
        self.with(|core| core.connect(number, pipe, connect))
    }

    /// Carries out packets of one client, in order.
    pub(super) fn handle(&self, seat: Seat, packets: impl Iterator<Item = Packet>) -> Result<Next, Fault> {
        self.with(|core| {
            for packet in packets {
                core.tell_time();
                if core.session(seat).is_none() || core.handle(seat, packet)? == Next::Ended {
                    return Ok(Next::Ended);
                }
            }
            Ok(Next::Continue)
        })
    }

    /// Sends what waits in the client's queue; `true` if it sent something.
    pub(super) fn pump(&self, seat: Seat) -> bool {
        self.with(|core| {
            let Core { sessions, recorder, flushes, now, .. } = core;
            seated(sessions, seat).is_some_and(|session| session.pump(&mut Out { recorder, flushes, now: *now }))
        })
    }

    /// Ends a client that broke the rules.
    pub(super) fn fail(&self, seat: Seat, fault: &Fault) {
        self.with(|core| {
            if let Some(client) = core.session(seat).map(|session| session.client.clone()) {
                core.recorder.record_breach(&client, fault);
            }
            core.say_goodbye(seat, fault.reason, &fault.why);
            core.end(seat, &Ending { cause: &fault.why, clean: false, will: true });
        });
    }

    pub(super) fn end(&self, seat: Seat, ending: &Ending<'_>) {
        self.with(|core| core.end(seat, ending));
    }

    /// Cuts a client off.
    pub(super) fn disconnect(&self, client: &str) -> bool {
        self.with(|core| {
            let cause = "cut off";
            if let Some(seat) = core.clients.get(client).and_then(|slot| core.seat(*slot)) {
                core.end(seat, &Ending { cause, clean: false, will: true });
                return true;
            }
            core.relayed.newest(client).is_some_and(|number| core.end_relayed(number, cause, false))
        })
    }

    /// Cuts everybody off. Wills are not published: there is nobody left to hear them.
    pub(super) fn close_all(&self, cause: &str) {
        self.with(|core| {
            for slot in 0..core.sessions.len() {
                if let Some(seat) = core.seat(slot) {
                    core.say_goodbye(seat, codec::DisconnectReasonCode::ServerShuttingDown, cause);
                    core.end(seat, &Ending { cause, clean: false, will: false });
                }
            }
            for number in core.relayed.numbers() {
                core.end_relayed(number, cause, false);
            }
            for pipe in core.links.values() {
                pipe.abandon();
            }
        });
    }

    /// Publishes the wills and ends the sessions that are due; returns when the next are.
    pub(super) fn tick(&self) -> Option<Instant> {
        self.with(Core::tick)
    }

    /// An upstream broker accepted a client, under the name it came with or another one. Without a session from before
    /// only what this connection brought is left to be released.
    pub(super) fn connect_relayed(
        &self,
        number: u64,
        came_as: &Arc<str>,
        client: &Arc<str>,
        session_present: bool,
        event: Event,
    ) {
        self.with(|core| {
            core.relayed.connect(number, came_as, client, session_present);
            core.recorder.record(client, event);
        });
    }

    /// A relayed client sent a QoS 2 PUBLISH.
    pub(super) fn hold_relayed(&self, number: u64, client: &Arc<str>, publish: Publish) {
        self.with(|core| core.relayed.hold(number, client, publish, &mut core.recorder));
    }

    /// A relayed client released a QoS 2 message, or its upstream refused it.
    pub(super) fn release_relayed(&self, client: &Arc<str>, pkid: u16, is_refused: bool) {
        self.with(|core| {
            let released = core.relayed.release(client, pkid).filter(|_| !is_refused);
            if let Some(publish) = released {
                core.recorder.record(client, Event::Publish { direction: Direction::FromClient, publish });
            }
        });
    }

    /// The connection of a relayed client ended; recorded once, whoever is first.
    pub(super) fn end_relayed(&self, number: u64, cause: &str, clean: bool) {
        self.with(|core| core.end_relayed(number, cause, clean));
    }
}

/// The session of a client that is still connected.
pub(super) fn seated(sessions: &mut [Option<Session>], seat: Seat) -> Option<&mut Session> {
    let session = sessions.get_mut(seat.slot)?.as_mut()?;
    session.link.as_ref().is_some_and(|link| link.number == seat.number).then_some(session)
}

impl Core {
    /// Sets the time for everything that one packet causes.
    fn tell_time(&mut self) {
        self.now = Instant::now();
        self.recorder.at = self.now - self.started;
    }

    fn session(&mut self, seat: Seat) -> Option<&mut Session> {
        seated(&mut self.sessions, seat)
    }

    /// The seat of the client that is connected with this session.
    pub(super) fn seat(&self, slot: usize) -> Option<Seat> {
        let number = self.sessions.get(slot)?.as_ref()?.link.as_ref()?.number;
        Some(Seat { slot, number })
    }

    fn connect(&mut self, number: u64, pipe: &Arc<Pipe>, connect: Connect) -> Result<Seat, Refusal> {
        let version = connect.version;
        if let Some(refusal) = self.refusal(&connect.client_id) {
            return Err(Refusal::injected(version, refusal, &connect.client_id));
        }
        if let Some(method) = &connect.authentication_method {
            let why = format!("client `{}` wants authentication method `{method}`", connect.client_id);
            return Err(Refusal::with_code(version, 5, 0x8c, why));
        }
        if let Some(wanted) = &self.config.credentials {
            let password = connect.password.as_deref();
            if connect.username.as_deref() != Some(&*wanted.username) || password != Some(wanted.password.as_bytes()) {
                let why = format!("client `{}` has a wrong user name or password", connect.client_id);
                return Err(Refusal::with_code(version, 4, 0x86, why));
            }
        }
        let assigned = connect.client_id.is_empty();
        if assigned && !connect.clean && version == Version::V4 {
            // MQTT-3.1.3-8.
            let why = "empty client identifier without clean session";
            return Err(Refusal::with_code(version, 2, 0x85, why).of(Rule::Connect));
        }
        let client: Arc<str> = if assigned { self.assign_id() } else { connect.client_id.as_str().into() };

        let mut old = self.clients.get(&client).copied();
        if let Some(seat) = old.and_then(|slot| self.seat(slot)) {
            self.say_goodbye(seat, codec::DisconnectReasonCode::SessionTakenOver, "taken over");
            // The will of the old connection, even if the session goes on; a delay may save it.
            self.end(seat, &Ending { cause: "taken over", clean: false, will: true });
            old = self.clients.get(&client).copied();
        }
        if let Some(slot) = old
            && connect.clean
        {
            self.end_session(slot);
            old = None;
        }
        let session_present = old.is_some();
        let slot = old.unwrap_or_else(|| self.new_session(&client));
        let seat = Seat { slot, number };
        let Some(session) = self.sessions[slot].as_mut() else {
            return Err(Refusal::with_code(version, 3, 0x83, "the session is gone"));
        };
        session.will_at = None;
        session.ends_at = None;
        session.expiry = connect.session_expiry;
        session.link = Some(Link {
            number,
            pipe: pipe.clone(),
            version,
            window: usize::from(connect.receive_maximum.min(self.config.inflight)),
            max_packet: connect.max_packet,
        });
        let event = Event::Connected {
            protocol: version.level(),
            clean: connect.clean,
            session_present,
            keep_alive: connect.keep_alive,
            will: connect.will.as_ref().map(Will::as_publish),
        };
        session.will = connect.will.map(|will| {
            let mut properties = will.properties;
            let expiry = properties.as_mut().and_then(|properties| properties.message_expiry_interval.take());
            let message = Message {
                from: client.clone(),
                topic: will.topic.into(),
                payload: will.payload,
                qos: will.qos,
                retain: will.retain,
                properties,
                expires: None,
            };
            PendingWill { message, delay: Duration::from_secs(will.delay.into()), expiry }
        });
        self.recorder.record(&client, event);
        let properties = codec::ConnAckProperties {
            assigned_client_identifier: assigned.then(|| client.to_string()),
            topic_alias_max: Some(TOPIC_ALIASES),
            max_packet_size: u32::try_from(self.config.max_packet.0).ok(),
            ..Default::default()
        };
        let connack = codec::ConnAck { session_present, code: codec::ConnectReturnCode::Success };
        let packet = codec::Packet::ConnAck(connack, (version == Version::V5).then_some(properties));
        if pipe.push(|out| write(version, packet, out)) {
            self.flushes.push(pipe.clone());
        }
        let Core { sessions, recorder, flushes, now, .. } = self;
        if let Some(session) = seated(sessions, seat) {
            session.resume(&mut Out { recorder, flushes, now: *now });
        }
        Ok(seat)
    }

    fn assign_id(&mut self) -> Arc<str> {
        loop {
            self.last_id += 1;
            let id = format!("{ASSIGNED}{}", self.last_id);
            if !self.clients.contains_key(id.as_str()) {
                return id.into();
            }
        }
    }

    fn new_session(&mut self, client: &Arc<str>) -> usize {
        let limits = QueueLimits { messages: self.config.queue_limit, bytes: self.config.queue_bytes };
        let session = Session::new(client.clone(), limits);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.sessions[slot] = Some(session);
                slot
            }
            None => {
                self.sessions.push(Some(session));
                self.sessions.len() - 1
            }
        };
        self.clients.insert(client.clone(), slot);
        slot
    }

    fn forget_sessions(&mut self) {
        for slot in 0..self.sessions.len() {
            if let Some(session) = self.sessions[slot].as_mut().filter(|session| session.link.is_none()) {
                session.will_at = None;
                self.end_session(slot);
            }
        }
    }

    /// Ends a session for good; a will that was waiting is published now (MQTT 5, section 3.1.3.2.2).
    fn end_session(&mut self, slot: usize) {
        let Some(mut session) = self.sessions[slot].take() else { return };
        for filter in session.subscriptions.keys() {
            self.tree.remove(filter, slot);
        }
        self.clients.remove(&session.client);
        self.free.push(slot);
        if session.will_at.is_some()
            && let Some(will) = session.will.take()
        {
            self.publish_will(will);
        }
    }

    fn publish_will(&mut self, will: PendingWill) {
        let expires = will.expiry.map(|seconds| self.now + Duration::from_secs(seconds.into()));
        let message = Arc::new(Message { expires, ..will.message });
        if message.retain && !self.retained.set(&message, self.config.retained_bytes) {
            let topic = message.topic.as_ref().to_owned();
            self.recorder.record(&message.from, Event::Overflow { topic });
        }
        self.route(&message, |_| true);
    }

    fn tick(&mut self) -> Option<Instant> {
        let mut next = self.hand_over_delayed();
        for slot in 0..self.sessions.len() {
            let Some(session) = self.sessions[slot].as_mut() else { continue };
            if session.will_at.is_some_and(|at| at <= self.now) {
                session.will_at = None;
                if let Some(will) = session.will.take() {
                    self.publish_will(will);
                }
            }
            let Some(session) = self.sessions[slot].as_ref() else { continue };
            if session.ends_at.is_some_and(|at| at <= self.now) {
                self.end_session(slot);
                continue;
            }
            next = [next, session.will_at, session.ends_at].into_iter().flatten().min();
        }
        next
    }

    /// Tells an MQTT 5 client why it is disconnected.
    fn say_goodbye(&mut self, seat: Seat, reason_code: codec::DisconnectReasonCode, why: &str) {
        let Core { sessions, recorder, flushes, now, .. } = self;
        let Some(session) = seated(sessions, seat) else { return };
        let Some(link) = session.link.as_ref().filter(|link| link.version == Version::V5) else { return };
        let why: String = why.chars().take(200).collect();
        // Left out where the client does not want packets of that size (MQTT-3.14.2-3).
        let reason_string = (why.len() + 16 <= link.max_packet).then_some(why);
        // The codec writes a wrong length where a reason stands without properties.
        let properties = codec::DisconnectProperties {
            session_expiry_interval: None,
            reason_string,
            user_properties: Vec::new(),
            server_reference: None,
        };
        let packet = codec::Packet::Disconnect(codec::Disconnect { reason_code }, Some(properties));
        session.send_packet(Kind::Disconnect, 0, packet, &mut Out { recorder, flushes, now: *now });
    }

    /// Takes a client off its session. The session goes on if it was asked to.
    pub(super) fn end(&mut self, seat: Seat, ending: &Ending<'_>) {
        let now = self.now;
        let Some(session) = self.session(seat) else { return };
        let Some(link) = session.link.take() else { return };
        link.pipe.close();
        let expiry = session.expiry;
        let client = session.client.clone();
        let mut due = None;
        if !ending.will {
            session.will = None;
        } else if let Some(will) = session.will.take() {
            if will.delay.is_zero() {
                due = Some(will);
            } else {
                session.will_at = Some(now + will.delay);
                session.will = Some(will);
            }
        }
        if expiry != u32::MAX {
            session.ends_at = Some(now + Duration::from_secs(expiry.into()));
        }
        self.has_deadlines = true;
        let event = Event::Disconnected { cause: ending.cause.to_owned(), clean: ending.clean };
        self.recorder.record(&client, event);
        if expiry == 0 {
            self.end_session(seat.slot);
        }
        if let Some(will) = due {
            self.publish_will(will);
        }
    }

    pub(super) fn end_relayed(&mut self, number: u64, cause: &str, clean: bool) -> bool {
        let Some(client) = self.relayed.end(number) else { return false };
        self.recorder.record(&client, Event::Disconnected { cause: cause.to_owned(), clean });
        if let Some(pipe) = self.links.get(&number) {
            pipe.close();
        }
        true
    }

    fn handle(&mut self, seat: Seat, packet: Packet) -> Result<Next, Fault> {
        let Core { sessions, recorder, flushes, now, .. } = self;
        let Some(session) = seated(sessions, seat) else { return Ok(Next::Ended) };
        let mut out = Out { recorder, flushes, now: *now };
        let client = session.client.clone();
        let mut received = |kind: Kind, pkid| {
            let event = Event::Packet { direction: Direction::FromClient, kind: kind.name(), pkid };
            out.recorder.record(&client, event);
            // All that a client sends under an identifier shares them (MQTT 5, 2.2.1).
            let is_new = matches!(kind, Kind::Subscribe | Kind::Unsubscribe);
            if let Some(held) = session.held.of(pkid).filter(|_| is_new) {
                out.recorder.record_breach(&client, &Fault::in_use(kind, pkid, &held.topic));
            }
        };
        match packet {
            Packet::Publish(publish) => self.publish(seat, publish)?,
            Packet::Acknowledge { kind: Kind::PubRel, pkid, .. } => {
                received(Kind::PubRel, pkid);
                self.release(seat, pkid)?;
            }
            Packet::Acknowledge { kind, pkid, failed } => {
                received(kind, pkid);
                session.acknowledge(kind, pkid, failed, &mut out)?;
            }
            Packet::Subscribe { pkid, id, filters } => {
                received(Kind::Subscribe, pkid);
                self.subscribe(seat, pkid, id, filters);
            }
            Packet::Unsubscribe { pkid, filters } => {
                received(Kind::Unsubscribe, pkid);
                self.unsubscribe(seat, pkid, &filters);
            }
            Packet::Ping => {
                received(Kind::PingReq, 0);
                session.send_packet(Kind::PingResp, 0, codec::Packet::PingResp(codec::PingResp), &mut out);
            }
            Packet::Disconnect { reason, session_expiry } => {
                received(Kind::Disconnect, 0);
                if let Some(expiry) = session_expiry {
                    if session.expiry == 0 && expiry != 0 {
                        let why = "DISCONNECT: a session expiry interval after CONNECT had none";
                        return Err(Fault::protocol(why));
                    }
                    session.expiry = expiry;
                }
                let cause = match reason {
                    0 => "DISCONNECT".to_owned(),
                    reason => format!("DISCONNECT with reason {reason:#04x}"),
                };
                self.end(seat, &Ending { cause: &cause, clean: true, will: reason != 0 });
                return Ok(Next::Ended);
            }
        }
        Ok(Next::Continue)
    }
}

//! What the broker keeps for one client identifier: its subscriptions, what it has yet to be told, and what it has yet
//! to acknowledge.
//!
//! Decides nothing about routing. All messages of a session stand in one queue, so that a client sees one order across
//! topics, subscriptions and QoS levels; a message that has to wait holds back those behind it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttd::protocol::{self as codec, PublishProperties};

use super::frame::{Fault, Kind};
use super::hub::{Flushes, Recorder};
use super::packet::{FirstByte, Form, Version, write, write_publish};
use super::pipe::Pipe;
use super::tree::Subscription;
use crate::transcript::record::{Direction, Event, Publish};

/// A message on its way, shared by all who get it.
#[derive(Debug)]
pub(super) struct Message {
    /// The client that sent it.
    pub(super) from: Arc<str>,
    pub(super) topic: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) qos: u8,
    /// As published.
    pub(super) retain: bool,
    /// Without topic alias, subscription identifiers and expiry.
    pub(super) properties: Option<Box<PublishProperties>>,
    pub(super) expires: Option<Instant>,
}

impl Message {
    /// What it takes of memory, roughly.
    pub(super) fn size(&self) -> usize {
        let properties = self.properties.as_ref().map_or(0, |properties| {
            let users = properties.user_properties.iter().map(|(key, value)| key.len() + value.len() + 48);
            256 + users.sum::<usize>() + properties.correlation_data.as_ref().map_or(0, Bytes::len)
        });
        128 + self.topic.len() + self.payload.len() + properties
    }

    /// The same with another payload.
    pub(super) fn with_payload(&self, payload: Bytes) -> Self {
        let Self { from, topic, properties, .. } = self;
        Self { from: from.clone(), topic: topic.clone(), properties: properties.clone(), payload, ..*self }
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn encode(&self, version: Version, first: FirstByte, ids: &[usize], now: Instant) -> Form {
        let mut properties = None;
        if version == Version::V5 && (self.properties.is_some() || self.expires.is_some() || !ids.is_empty()) {
            let mut all = self.properties.as_deref().cloned().unwrap_or_default();
            // The receiver is told what is left (MQTT-3.3.2-6); a rest of less than a second counts as one.
            all.message_expiry_interval = self.expires.map(|at| seconds_until(at, now));
            all.subscription_identifiers = ids.to_vec();
            properties = Some(all);
        }
        write_publish(version, &self.topic, &self.payload, first, properties)
    }
}

fn seconds_until(at: Instant, now: Instant) -> u32 {
    u32::try_from(at.saturating_duration_since(now).as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

/// One message for one client.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) message: Arc<Message>,
    /// The lower of what was published and what was granted.
    pub(super) qos: u8,
    /// The flag as this client is to see it.
    pub(super) retain: bool,
    /// The identifiers of the subscriptions that matched.
    pub(super) ids: Vec<usize>,
}

/// The encoded forms of one message, made once however many clients get it.
#[derive(Debug, Default)]
pub(super) struct Forms {
    made: [Option<Form>; 12],
}

impl Forms {
    fn get(&mut self, version: Version, delivery: &Delivery, now: Instant) -> &Form {
        let at = usize::from(version == Version::V5) * 6 + usize::from(delivery.retain) * 3 + usize::from(delivery.qos);
        let first = FirstByte { qos: delivery.qos, retain: delivery.retain, dup: false };
        self.made[at].get_or_insert_with(|| delivery.message.encode(version, first, &[], now))
    }
}

/// The connection of a session.
#[derive(Debug)]
pub(super) struct Link {
    /// The number of the connection.
    pub(super) number: u64,
    pub(super) pipe: Arc<Pipe>,
    pub(super) version: Version,
    /// How many messages may wait for their acknowledgement.
    pub(super) window: usize,
    /// The largest packet the client wants.
    pub(super) max_packet: usize,
}

/// A message that the client has not yet acknowledged for good.
#[derive(Debug)]
struct Flight {
    pkid: u16,
    /// `None` once PUBREC has come.
    delivery: Option<Delivery>,
}

/// QoS 2 messages of a client, by packet identifier, until their PUBREL.
///
/// They are handed on then and not before (MQTT 3.1.1, figure 4.3, method A), as mosquitto does: a client may subscribe
/// to the topic of an answer between its PUBLISH and its PUBREL.
#[derive(Debug, Default)]
pub(super) struct Held {
    messages: BTreeMap<u16, (Arc<Message>, bool)>,
    bytes: usize,
}

impl Held {
    /// Keeps a message, and whether it came with DUP. One that is there already stays as it is; another message under
    /// the same identifier takes its place, and the one before is given back.
    pub(super) fn keep(&mut self, pkid: u16, message: Message, dup: bool) -> Option<Arc<Message>> {
        let is_known =
            |(known, _): &(Arc<Message>, bool)| known.topic == message.topic && known.payload == message.payload;
        if self.messages.get(&pkid).is_some_and(is_known) {
            return None;
        }
        let before = self.release(pkid);
        self.bytes += message.size();
        self.messages.insert(pkid, (Arc::new(message), dup));
        before.map(|(message, _)| message)
    }

    /// The message under this identifier.
    pub(super) fn of(&self, pkid: u16) -> Option<&Arc<Message>> {
        self.messages.get(&pkid).map(|(message, _)| message)
    }

    /// Takes a message out to be handed on.
    pub(super) fn release(&mut self, pkid: u16) -> Option<(Arc<Message>, bool)> {
        let (message, dup) = self.messages.remove(&pkid)?;
        self.bytes -= message.size();
        Some((message, dup))
    }

    /// What they take of memory, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A will that waits for the end of its client.
#[derive(Debug)]
pub(super) struct PendingWill {
    pub(super) message: Message,
    pub(super) delay: Duration,
    /// Seconds from its publication.
    pub(super) expiry: Option<u32>,
}

/// How much a session's queue may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueLimits {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Arc<str>,
    pub(super) link: Option<Link>,
    pub(super) subscriptions: BTreeMap<String, Subscription>,
    pub(super) will: Option<PendingWill>,
    /// When the will is due, while the client is away.
    pub(super) will_at: Option<Instant>,
    /// Seconds that the session outlives its connection; `u32::MAX` is for ever.
    pub(super) expiry: u32,
    /// When the session ends, while the client is away.
    pub(super) ends_at: Option<Instant>,
    /// QoS 2 messages that the client has not yet released.
    pub(super) held: Held,
    limits: QueueLimits,
    queue: VecDeque<Delivery>,
    queued_bytes: usize,
    flights: VecDeque<Flight>,
    last_pkid: u16,
}

impl Session {
    pub(super) fn new(client: Arc<str>, limits: QueueLimits) -> Self {
        Self {
            client,
            link: None,
            subscriptions: BTreeMap::new(),
            will: None,
            will_at: None,
            expiry: 0,
            ends_at: None,
            held: Held::default(),
            limits,
            queue: VecDeque::new(),
            queued_bytes: 0,
            flights: VecDeque::new(),
            last_pkid: 0,
        }
    }

    /// Sends a message now, or queues it.
    pub(super) fn deliver(&mut self, delivery: Delivery, forms: &mut Forms, out: &mut Out<'_>) {
        if self.queue.is_empty() && self.can_send(delivery.qos) {
            self.send(delivery, Some(forms), out);
        } else if self.link.is_some() || delivery.qos > 0 {
            self.enqueue(delivery, out.recorder);
        }
    }

    /// Queues a message behind everything else, whatever the limits say; for retained messages, whose number has a
    /// limit of its own. [`Session::pump`] sends it.
    pub(super) fn deliver_retained(&mut self, delivery: Delivery) {
        self.queued_bytes += delivery.message.size();
        self.queue.push_back(delivery);
        self.mark_backlog();
    }

    fn enqueue(&mut self, delivery: Delivery, recorder: &mut Recorder) {
        let size = delivery.message.size();
        if self.queue.len() >= self.limits.messages || self.queued_bytes + size > self.limits.bytes {
            recorder.record(&self.client, Event::Overflow { topic: delivery.message.topic.as_ref().to_owned() });
            return;
        }
        self.queued_bytes += size;
        self.queue.push_back(delivery);
        self.mark_backlog();
    }

    fn mark_backlog(&self) {
        if let Some(link) = &self.link {
            link.pipe.set_backlog(!self.queue.is_empty());
        }
    }

    fn can_send(&self, qos: u8) -> bool {
        self.link.as_ref().is_some_and(|link| (qos == 0 || self.flights.len() < link.window) && link.pipe.has_room())
    }

    /// Sends what is queued as far as the socket and the client's window allow; `true` if anything was taken.
    pub(super) fn pump(&mut self, out: &mut Out<'_>) -> bool {
        let before = self.queue.len();
        while let Some(qos) = self.queue.front().map(|next| next.qos)
            && self.can_send(qos)
            && let Some(delivery) = self.queue.pop_front()
        {
            self.queued_bytes -= delivery.message.size();
            self.send(delivery, None, out);
        }
        self.mark_backlog();
        self.queue.len() < before
    }

    fn send(&mut self, delivery: Delivery, forms: Option<&mut Forms>, out: &mut Out<'_>) {
        if delivery.message.is_expired(out.now) {
            return;
        }
        let pkid = if delivery.qos > 0 { self.next_pkid() } else { 0 };
        let Some(link) = &self.link else { return };
        let encoded;
        let form = match forms {
            Some(forms) if delivery.ids.is_empty() => forms.get(link.version, &delivery, out.now),
            _ => {
                let first = FirstByte { qos: delivery.qos, retain: delivery.retain, dup: false };
                encoded = delivery.message.encode(link.version, first, &delivery.ids, out.now);
                &encoded
            }
        };
        if form.bytes.len() > link.max_packet {
            let topic = delivery.message.topic.as_ref().to_owned();
            out.recorder.record(&self.client, Event::Overflow { topic });
            return;
        }
        out.recorder.record(&self.client, to_client(&delivery, pkid, false));
        if link.pipe.push_form(form, pkid) {
            out.flushes.push(link.pipe.clone());
        }
        if delivery.qos > 0 {
            self.flights.push_back(Flight { pkid, delivery: Some(delivery) });
        }
    }

    /// Sends a message again that the client has yet to acknowledge, as if its answer were lost; `false` if there is none, or
    /// if that must not be done: MQTT 5 sends nothing again on the same connection (section 4.4), and a client that releases
    /// a QoS 2 message twice may take the second PUBREL for one of nothing.
    pub(super) fn redeliver(&mut self, message: &Arc<Message>, out: &mut Out<'_>) -> bool {
        let Some(link) = self.link.as_ref().filter(|link| link.version == Version::V4) else { return false };
        let is_it = |flight: &&Flight| {
            flight.delivery.as_ref().is_some_and(|it| it.qos == 1 && Arc::ptr_eq(&it.message, message))
        };
        let Some(Flight { pkid, delivery: Some(delivery) }) = self.flights.iter().rfind(is_it) else { return false };
        self.send_again(link, *pkid, delivery, out);
        true
    }

    /// Whether it is handed a message at QoS 2.
    pub(super) fn has_exactly_once(&self, message: &Arc<Message>) -> bool {
        let deliveries = self.flights.iter().filter_map(|flight| flight.delivery.as_ref());
        deliveries.filter(|it| it.qos == 2).any(|it| Arc::ptr_eq(&it.message, message))
    }

    fn send_again(&self, link: &Link, pkid: u16, delivery: &Delivery, out: &mut Out<'_>) {
        let first = FirstByte { qos: delivery.qos, retain: delivery.retain, dup: true };
        let form = delivery.message.encode(link.version, first, &delivery.ids, out.now);
        out.recorder.record(&self.client, to_client(delivery, pkid, true));
        if link.pipe.push_form(&form, pkid) {
            out.flushes.push(link.pipe.clone());
        }
    }

    fn next_pkid(&mut self) -> u16 {
        loop {
            self.last_pkid = self.last_pkid.checked_add(1).unwrap_or(1);
            // The window is far smaller than the number of identifiers, so one is free.
            if self.flights.iter().all(|flight| flight.pkid != self.last_pkid) {
                return self.last_pkid;
            }
        }
    }

    /// An acknowledgement of a message that was sent to this client. One for an unknown identifier is answered as far
    /// as the standard asks for it: it may stem from a session that is gone.
    pub(super) fn acknowledge(&mut self, kind: Kind, pkid: u16, failed: bool, out: &mut Out<'_>) -> Result<(), Fault> {
        let at = self.flights.iter().position(|flight| flight.pkid == pkid);
        let qos = at.and_then(|at| self.flights[at].delivery.as_ref()).map(|delivery| delivery.qos);
        match (kind, at, qos) {
            (Kind::PubAck, Some(at), Some(1)) => drop(self.flights.remove(at)),
            (Kind::PubRec, Some(at), Some(2)) if failed => drop(self.flights.remove(at)),
            (Kind::PubRec, Some(at), Some(2)) => {
                self.flights[at].delivery = None;
                self.send_acknowledgement(Kind::PubRel, pkid, true, out);
            }
            (Kind::PubRec, Some(_), None) => self.send_acknowledgement(Kind::PubRel, pkid, true, out),
            (Kind::PubRec, None, _) => self.send_acknowledgement(Kind::PubRel, pkid, false, out),
            (Kind::PubComp, Some(at), None) => drop(self.flights.remove(at)),
            (_, None, _) => {}
            (_, Some(_), Some(qos)) => {
                let why = format!("{} for packet {pkid}, which was sent with QoS {qos}", kind.name());
                return Err(Fault::protocol(why));
            }
            (_, Some(_), None) => {
                return Err(Fault::protocol(format!("{} for packet {pkid} after its PUBREC", kind.name())));
            }
        }
        if !self.queue.is_empty() {
            self.pump(out);
        }
        Ok(())
    }

    /// Sends PUBACK, PUBREC, PUBREL or PUBCOMP; `known` tells an MQTT 5 client whether the identifier is in use.
    pub(super) fn send_acknowledgement(&self, kind: Kind, pkid: u16, known: bool, out: &mut Out<'_>) {
        let packet = match kind {
            Kind::PubAck => codec::Packet::PubAck(codec::PubAck { pkid, reason: codec::PubAckReason::Success }, None),
            Kind::PubRec => codec::Packet::PubRec(codec::PubRec { pkid, reason: codec::PubRecReason::Success }, None),
            Kind::PubRel => {
                use codec::PubRelReason::{PacketIdentifierNotFound, Success};
                let reason = if known { Success } else { PacketIdentifierNotFound };
                codec::Packet::PubRel(codec::PubRel { pkid, reason }, None)
            }
            _ => {
                use codec::PubCompReason::{PacketIdentifierNotFound, Success};
                let reason = if known { Success } else { PacketIdentifierNotFound };
                codec::Packet::PubComp(codec::PubComp { pkid, reason }, None)
            }
        };
        self.send_packet(kind, pkid, packet, out);
    }

    /// Sends and records any packet but a PUBLISH.
    pub(super) fn send_packet(&self, kind: Kind, pkid: u16, packet: codec::Packet, out: &mut Out<'_>) {
        let Some(link) = &self.link else { return };
        let event = Event::Packet { direction: Direction::ToClient, kind: kind.name(), pkid };
        out.recorder.record(&self.client, event);
        if link.pipe.push(|bytes| write(link.version, packet, bytes)) {
            out.flushes.push(link.pipe.clone());
        }
    }

    /// Sends again what the client has not acknowledged, in the old order and with the old identifiers (MQTT-4.4.0-1),
    /// then what was queued.
    pub(super) fn resume(&mut self, out: &mut Out<'_>) {
        let flights = std::mem::take(&mut self.flights);
        for flight in &flights {
            let Some(link) = &self.link else { break };
            let Some(delivery) = &flight.delivery else {
                self.send_acknowledgement(Kind::PubRel, flight.pkid, true, out);
                continue;
            };
            self.send_again(link, flight.pkid, delivery, out);
        }
        self.flights = flights;
        self.pump(out);
    }
}

fn to_client(delivery: &Delivery, pkid: u16, dup: bool) -> Event {
    let publish = Publish {
        topic: delivery.message.topic.clone(),
        payload: delivery.message.payload.clone(),
        qos: delivery.qos,
        retain: delivery.retain,
        dup,
        pkid,
    };
    Event::Publish { direction: Direction::ToClient, publish }
}

/// Where the effects of one step go.
pub(super) struct Out<'a> {
    pub(super) recorder: &'a mut Recorder,
    /// The pipes to be flushed once the hub is released.
    pub(super) flushes: &'a mut Flushes,
    pub(super) now: Instant,
}

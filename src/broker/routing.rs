//! What happens to publications and subscriptions.
//!
//! Runs under the hub's lock; touches no socket.

use std::sync::Arc;
use std::time::Duration;

use rumqttd::protocol as codec;

use super::frame::{Fault, Kind};
use super::hub::{Core, Seat, seated};
use super::packet::{Publish, Version};
use super::session::{Delivery, Forms, Message, Out};
use super::tree::{Route, Subscription};
use crate::protocol::topic;
use crate::transcript::record::{self, Direction, Event};

impl Core {
    /// Takes a PUBLISH in: publishes it and acknowledges it; with QoS 2 it is kept until it is released.
    pub(super) fn publish(&mut self, seat: Seat, publish: Publish) -> Result<(), Fault> {
        let Publish { topic, payload, qos, retain, dup, pkid, mut properties, .. } = publish;
        let Core { sessions, recorder, now, config, .. } = self;
        let Some(session) = seated(sessions, seat) else { return Ok(()) };
        let expiry = properties.as_mut().and_then(|properties| properties.message_expiry_interval.take());
        let message = Message {
            from: session.client.clone(),
            topic,
            payload,
            qos,
            retain,
            properties,
            expires: expiry.map(|seconds| *now + Duration::from_secs(seconds.into())),
        };
        if qos == 2 {
            recorder.record(&session.client, Event::Held { publish: seen(&message, dup, pkid) });
            if let Some(before) = session.held.keep(pkid, message, dup) {
                recorder.record_breach(&session.client, &Fault::in_use(Kind::Publish, pkid, &before.topic));
            }
            if session.held.bytes() > config.queue_bytes {
                let limit = config.queue_bytes;
                let why = format!("PUBLISH: unreleased QoS 2 messages would take more than {limit} bytes");
                return Err(Fault::limit(codec::DisconnectReasonCode::QuotaExceeded, why));
            }
        } else {
            self.hand_on(&Arc::new(message), dup, pkid)?;
        }
        match qos {
            1 => self.acknowledge(seat, Kind::PubAck, pkid, true),
            2 => self.acknowledge(seat, Kind::PubRec, pkid, true),
            _ => {}
        }
        Ok(())
    }

    /// Takes a PUBREL in: the message is published now.
    pub(super) fn release(&mut self, seat: Seat, pkid: u16) -> Result<(), Fault> {
        let Some(session) = seated(&mut self.sessions, seat) else { return Ok(()) };
        let held = session.held.release(pkid);
        if let Some((message, dup)) = &held {
            self.hand_on(message, *dup, pkid)?;
        }
        self.acknowledge(seat, Kind::PubComp, pkid, held.is_some());
        Ok(())
    }

    /// Publishes a message of a client: records it, keeps it if it is to be retained, routes it.
    fn hand_on(&mut self, message: &Arc<Message>, dup: bool, pkid: u16) -> Result<(), Fault> {
        let event = Event::Publish { direction: Direction::FromClient, publish: seen(message, dup, pkid) };
        let seq = self.recorder.record(&message.from, event);
        let limit = self.config.retained_bytes;
        if message.retain && !self.retained.set(message, limit) {
            let why = format!("PUBLISH: retained messages would take more than {limit} bytes");
            return Err(Fault::limit(codec::DisconnectReasonCode::QuotaExceeded, why));
        }
        self.pass_on(message, seq);
        Ok(())
    }

    fn acknowledge(&mut self, seat: Seat, kind: Kind, pkid: u16, known: bool) {
        let Core { sessions, recorder, flushes, now, .. } = self;
        if let Some(session) = seated(sessions, seat) {
            session.send_acknowledgement(kind, pkid, known, &mut Out { recorder, flushes, now: *now });
        }
    }

    /// Hands a message to everybody of these who subscribed to it: one copy a client, with the highest QoS of its
    /// subscriptions, and one for each share.
    pub(super) fn route(&mut self, message: &Arc<Message>, is_meant: impl Fn(&str) -> bool) {
        let mut routes = std::mem::take(&mut self.routes);
        let sessions = &self.sessions;
        let is_online = |slot: usize| sessions[slot].as_ref().is_some_and(|session| session.link.is_some());
        self.tree.collect(&message.topic, is_online, &mut routes);
        if routes.len() > 1 {
            routes.sort_by_key(|route| (route.session, route.shared));
        }
        let Core { sessions, recorder, flushes, now, .. } = self;
        let mut out = Out { recorder, flushes, now: *now };
        let mut forms = Forms::default();
        let mut left = &routes[..];
        while let Some(first) = left.first() {
            let alike = match first.shared {
                true => 1,
                false => left.iter().take_while(|r| r.session == first.session && !r.shared).count(),
            };
            let (same, others) = left.split_at(alike);
            left = others;
            let Some(session) = sessions.get_mut(first.session).and_then(Option::as_mut) else { continue };
            if !is_meant(&session.client) {
                continue;
            }
            let mut granted = None;
            let mut retain = false;
            let mut ids = Vec::new();
            for Route { subscription, .. } in same {
                if subscription.no_local && message.from == session.client {
                    continue;
                }
                granted = granted.max(Some(subscription.qos));
                retain |= subscription.retain_as_published && message.retain;
                ids.extend(subscription.id);
            }
            let Some(granted) = granted else { continue };
            let delivery = Delivery { message: message.clone(), qos: message.qos.min(granted), retain, ids };
            session.deliver(delivery, &mut forms, &mut out);
        }
        routes.clear();
        self.routes = routes;
    }

    pub(super) fn subscribe(&mut self, seat: Seat, pkid: u16, id: Option<usize>, filters: Vec<codec::Filter>) {
        let Core { sessions, tree, retained, recorder, flushes, now, .. } = self;
        let Some(session) = seated(sessions, seat) else { return };
        let Some(version) = session.link.as_ref().map(|link| link.version) else { return };
        let mut out = Out { recorder, flushes, now: *now };
        let mut return_codes = Vec::with_capacity(filters.len());
        let mut wanted = Vec::new();
        for filter in &filters {
            let subscription = Subscription {
                qos: filter.qos as u8,
                no_local: filter.nolocal,
                retain_as_published: filter.preserve_retain,
                id,
            };
            tree.insert(&filter.path, seat.slot, subscription);
            let is_new = session.subscriptions.insert(filter.path.clone(), subscription).is_none();
            let wants_retained = match filter.retain_forward_rule {
                codec::RetainForwardRule::OnEverySubscribe => true,
                codec::RetainForwardRule::OnNewSubscribe => is_new,
                codec::RetainForwardRule::Never => false,
            };
            if wants_retained && topic::shared(&filter.path).is_none() {
                wanted.push((filter.path.as_str(), subscription));
            }
            return_codes.push(match version {
                Version::V4 => codec::SubscribeReasonCode::Success(filter.qos),
                Version::V5 if filter.qos == codec::QoS::AtMostOnce => codec::SubscribeReasonCode::QoS0,
                Version::V5 if filter.qos == codec::QoS::AtLeastOnce => codec::SubscribeReasonCode::QoS1,
                Version::V5 => codec::SubscribeReasonCode::QoS2,
            });
        }
        let suback = codec::Packet::SubAck(codec::SubAck { pkid, return_codes }, None);
        session.send_packet(Kind::SubAck, pkid, suback, &mut out);
        for filter in &filters {
            let event = Event::Subscribed { filter: filter.path.clone(), qos: filter.qos as u8 };
            out.recorder.record(&session.client, event);
        }
        for (filter, subscription) in wanted {
            for message in retained.matching(filter, *now) {
                if subscription.no_local && message.from == session.client {
                    continue;
                }
                let qos = message.qos.min(subscription.qos);
                let ids = subscription.id.into_iter().collect();
                session.deliver_retained(Delivery { message, qos, retain: true, ids });
            }
        }
        session.pump(&mut out);
    }

    pub(super) fn unsubscribe(&mut self, seat: Seat, pkid: u16, filters: &[String]) {
        let Core { sessions, tree, recorder, flushes, now, .. } = self;
        let Some(session) = seated(sessions, seat) else { return };
        let mut out = Out { recorder, flushes, now: *now };
        let mut reasons = Vec::with_capacity(filters.len());
        for filter in filters {
            tree.remove(filter, seat.slot);
            reasons.push(match session.subscriptions.remove(filter) {
                Some(_) => codec::UnsubAckReason::Success,
                None => codec::UnsubAckReason::NoSubscriptionExisted,
            });
        }
        let unsuback = codec::Packet::UnsubAck(codec::UnsubAck { pkid, reasons }, None);
        session.send_packet(Kind::UnsubAck, pkid, unsuback, &mut out);
        for filter in filters {
            out.recorder.record(&session.client, Event::Unsubscribed { filter: filter.clone() });
        }
    }
}

/// A message as the record has it.
pub(super) fn seen(message: &Message, dup: bool, pkid: u16) -> record::Publish {
    let Message { topic, payload, qos, retain, .. } = message;
    record::Publish { topic: topic.clone(), payload: payload.clone(), qos: *qos, retain: *retain, dup, pkid }
}

//! Packets as the core handles them, read and written with rumqttd's codecs.
//!
//! Every packet is checked field by field ([`super::frame`]) before a codec sees it, and a codec that panics all the
//! same ends one connection, not the broker. What the checks have already taken apart (acknowledgements, a PUBLISH
//! without properties) is not parsed twice.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rumqttd::protocol::{self as codec, Protocol, PublishProperties};

use super::frame::{Fault, Frame, Kind, Place};
use crate::protocol::topic;
use crate::transcript::injected::ConnectRefusal;
use crate::transcript::record::{self, Rule};

/// The protocol level in CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// MQTT 3.1.1.
    V4,
    /// MQTT 5.
    V5,
}

impl Version {
    pub(super) fn level(self) -> u8 {
        match self {
            Version::V4 => 4,
            Version::V5 => 5,
        }
    }
}

/// A CONNECT that may be accepted.
#[derive(Debug)]
pub(super) struct Connect {
    pub(super) version: Version,
    pub(super) client_id: String,
    pub(super) clean: bool,
    pub(super) keep_alive: u16,
    pub(super) username: Option<String>,
    pub(super) password: Option<Bytes>,
    pub(super) will: Option<Will>,
    /// Seconds the session outlives its connection; `u32::MAX` is for ever.
    pub(super) session_expiry: u32,
    pub(super) receive_maximum: u16,
    pub(super) max_packet: usize,
    pub(super) authentication_method: Option<String>,
}

/// What is published for a client that goes without a goodbye.
#[derive(Debug)]
pub(super) struct Will {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// Seconds.
    pub(super) delay: u32,
    pub(super) properties: Option<Box<PublishProperties>>,
}

impl Will {
    /// As it would be published.
    pub(super) fn as_publish(&self) -> record::Publish {
        let Self { payload, qos, retain, .. } = self;
        let topic = self.topic.as_str().into();
        record::Publish { topic, payload: payload.clone(), qos: *qos, retain: *retain, dup: false, pkid: 0 }
    }
}

/// A CONNECT that is answered and closed: the CONNACK code for each version, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Empty where the standard wants the connection closed without an answer.
    pub(super) answer: Vec<u8>,
    pub(super) fault: Fault,
}

impl Refusal {
    /// Refused with a CONNACK; `v4` is the return code of 3.1.1, `v5` the reason code of 5.
    pub(super) fn with_code(version: Version, v4: u8, v5: u8, why: impl Into<String>) -> Self {
        let answer = match version {
            Version::V4 => vec![0x20, 2, 0, v4],
            Version::V5 => vec![0x20, 3, 0, v5, 0],
        };
        Self { answer, fault: Fault::blameless(why) }
    }

    /// Refused because a fault is injected.
    pub(super) fn injected(version: Version, refusal: ConnectRefusal, client: &str) -> Self {
        let (v4, v5) = refusal.codes();
        Self::with_code(version, v4, v5, format!("client `{client}`: `{}`, an injected fault", refusal.name()))
    }

    /// The same, as a breach of this rule.
    pub(super) fn of(self, rule: Rule) -> Self {
        Self { fault: self.fault.of(rule), ..self }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { answer: Vec::new(), fault }
    }
}

/// Reads a CONNECT of either version.
pub(super) fn read_connect(mut frame: Frame) -> Result<Connect, Refusal> {
    let (version, password) = check_connect(&frame)?;
    // The codec wants passwords to be UTF-8, the standard does not (MQTT 3.1.1, section 3.1.3.5).
    let secret = password.map(|range| {
        let secret = Bytes::copy_from_slice(&frame.bytes[range.clone()]);
        frame.bytes[range].fill(b'x');
        secret
    });
    let named = frame.bytes[frame.head + 7] & 0x80 != 0;
    match read(version, frame.bytes) {
        Ok(codec::Packet::Connect(connect, properties, will, will_properties, login)) => {
            let will = will.map(|will| Will {
                topic: String::from_utf8_lossy(&will.topic).into_owned(),
                payload: Bytes::copy_from_slice(&will.message),
                qos: will.qos as u8,
                retain: will.retain,
                delay: will_properties.as_ref().and_then(|p| p.delay_interval).unwrap_or(0),
                properties: will_properties.map(|p| {
                    Box::new(PublishProperties {
                        payload_format_indicator: p.payload_format_indicator,
                        message_expiry_interval: p.message_expiry_interval,
                        topic_alias: None,
                        response_topic: p.response_topic,
                        correlation_data: p.correlation_data,
                        user_properties: p.user_properties,
                        subscription_identifiers: Vec::new(),
                        content_type: p.content_type,
                    })
                }),
            });
            let own = properties.as_ref();
            let default_expiry = if version == Version::V4 && !connect.clean_session { u32::MAX } else { 0 };
            Ok(Connect {
                version,
                client_id: connect.client_id,
                clean: connect.clean_session,
                keep_alive: connect.keep_alive,
                username: named.then(|| login.map(|login| login.username).unwrap_or_default()),
                password: secret,
                will,
                session_expiry: own.and_then(|p| p.session_expiry_interval).unwrap_or(default_expiry),
                receive_maximum: own.and_then(|p| p.receive_maximum).unwrap_or(u16::MAX),
                max_packet: own.and_then(|p| p.max_packet_size).map_or(usize::MAX, |size| size as usize),
                authentication_method: properties.and_then(|p| p.authentication_method),
            })
        }
        Ok(_) => Err(Fault::blameless("the codec: it read something else than CONNECT").into()),
        Err(fault) => Err(fault.into()),
    }
}

/// The version, and where the password stands.
fn check_connect(frame: &Frame) -> Result<(Version, Option<Range<usize>>), Refusal> {
    if frame.kind != Kind::Connect {
        return Err(Fault::protocol(format!("{} before CONNECT", frame.kind.name())).of(Rule::Connect).into());
    }
    let mut cursor = frame.cursor();
    let name = cursor.binary("the protocol name")?;
    let level = cursor.u8("the protocol level")?;
    let version = match (name, level) {
        (b"MQTT", 4) => Version::V4,
        (b"MQTT", 5) => Version::V5,
        (b"MQTT" | b"MQIsdp", level) => {
            let shown = if name == b"MQIsdp" && level == 3 { "MQTT 3.1".to_owned() } else { format!("{level:#04x}") };
            let why = format!("protocol level {shown} is not spoken here; MQTT 3.1.1 (4) and MQTT 5 (5) are");
            let answer = if (6..0x80).contains(&level) { Version::V5 } else { Version::V4 };
            return Err(Refusal::with_code(answer, 1, 0x84, why));
        }
        _ => {
            let shown = name.escape_ascii().to_string();
            let why = format!("CONNECT: protocol name `{shown:.40}` is not `MQTT`");
            return Err(Fault::malformed(why).of(Rule::Connect).into());
        }
    };
    let refuse = |fault: Fault| match version {
        Version::V4 => Refusal::from(fault),
        Version::V5 => {
            let code = if fault.reason == codec::DisconnectReasonCode::ProtocolError { 0x82 } else { 0x81 };
            Refusal { fault: fault.clone(), ..Refusal::with_code(version, 0, code, fault.why) }
        }
    };
    check_connect_fields(frame, version).map(|password| (version, password)).map_err(refuse)
}

fn check_connect_fields(frame: &Frame, version: Version) -> Result<Option<Range<usize>>, Fault> {
    let mut cursor = frame.cursor();
    cursor.binary("the protocol name")?;
    cursor.u8("the protocol level")?;
    let flags = cursor.u8("the connect flags")?;
    let (will, username, password) = (flags & 0x04 != 0, flags & 0x80 != 0, flags & 0x40 != 0);
    if flags & 0x01 != 0 {
        return Err(Fault::malformed("CONNECT: the reserved connect flag is set"));
    }
    if !will && flags & 0x38 != 0 {
        return Err(Fault::malformed("CONNECT: will QoS or will retain without a will"));
    }
    if flags & 0x18 == 0x18 {
        return Err(Fault::malformed("CONNECT: will QoS 3"));
    }
    if version == Version::V4 && password && !username {
        return Err(Fault::malformed("CONNECT: a password without a user name"));
    }
    cursor.u16("the keep-alive")?;
    if version == Version::V5 {
        cursor.properties(Place::Connect)?;
    }
    cursor.text("the client identifier")?;
    if will {
        if version == Version::V5 {
            cursor.properties(Place::Will)?;
        }
        let name = cursor.text("the will topic")?;
        topic::check_name(name).map_err(|why| Fault::malformed(format!("CONNECT: will {why}")).of(Rule::Topic))?;
        cursor.binary("the will payload")?;
    }
    if username {
        cursor.text("the user name")?;
    }
    let mut secret = None;
    if password {
        let length = cursor.binary("the password")?.len();
        let end = frame.bytes.len() - cursor.rest.len();
        secret = Some(end - length..end);
    }
    cursor.end()?;
    Ok(secret)
}

/// A packet of an accepted client.
#[derive(Debug)]
pub(super) enum Packet {
    Publish(Publish),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP; `failed` where MQTT 5 gave a reason of 0x80 or more.
    Acknowledge {
        kind: Kind,
        pkid: u16,
        failed: bool,
    },
    Subscribe {
        pkid: u16,
        /// The subscription identifier.
        id: Option<usize>,
        filters: Vec<codec::Filter>,
    },
    Unsubscribe {
        pkid: u16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect {
        reason: u8,
        session_expiry: Option<u32>,
    },
}

/// A PUBLISH as a client sent it.
#[derive(Debug)]
pub(super) struct Publish {
    /// Empty where a topic alias stands for it.
    pub(super) topic: Arc<str>,
    pub(super) alias: Option<u16>,
    pub(super) payload: Bytes,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) dup: bool,
    pub(super) pkid: u16,
    pub(super) properties: Option<Box<PublishProperties>>,
}

/// Reads a packet of an accepted client.
pub(super) fn read_packet(version: Version, frame: Frame) -> Result<Packet, Fault> {
    match frame.kind {
        Kind::Publish => read_publish(version, frame, Place::PublishFromClient).map(Packet::Publish),
        Kind::PubAck | Kind::PubRec | Kind::PubRel | Kind::PubComp => read_acknowledgement(version, &frame),
        Kind::Subscribe => read_subscribe(version, frame),
        Kind::Unsubscribe => read_unsubscribe(version, frame),
        Kind::PingReq => frame.cursor().end().map(|()| Packet::Ping),
        Kind::Disconnect => read_disconnect(version, &frame),
        Kind::Connect => Err(Fault::protocol("a second CONNECT").of(Rule::Connect)),
        Kind::Auth => Err(Fault::protocol("AUTH without an authentication method in CONNECT")),
        kind => Err(Fault::protocol(format!("{} is not for clients to send", kind.name()))),
    }
}

/// Reads a PUBLISH of either direction.
pub(super) fn read_publish(version: Version, frame: Frame, place: Place) -> Result<Publish, Fault> {
    let flags = frame.flags();
    let (dup, qos, retain) = (flags & 0x08 != 0, (flags >> 1) & 0x03, flags & 0x01 != 0);
    if qos == 3 {
        return Err(Fault::malformed("PUBLISH: QoS 3"));
    }
    if dup && qos == 0 {
        return Err(Fault::malformed("PUBLISH: DUP with QoS 0"));
    }
    let mut cursor = frame.cursor();
    let name = cursor.text("the topic")?;
    let pkid = if qos == 0 { 0 } else { cursor.packet_id()? };
    let mut alias = None;
    let mut has_properties = false;
    if version == Version::V5 {
        has_properties = cursor.rest.first().is_some_and(|length| *length != 0);
        alias = cursor.properties(place)?.alias;
    }
    if !name.is_empty() || alias.is_none() {
        topic::check_name(name).map_err(|why| Fault::malformed(format!("PUBLISH: {why}")).of(Rule::Topic))?;
    }
    let topic = Arc::from(name);
    // Copied: a slice would keep the whole read buffer alive for as long as the record lives.
    let payload = Bytes::copy_from_slice(cursor.rest);
    let properties = if has_properties {
        match read(version, frame.bytes)? {
            codec::Packet::Publish(_, properties) => properties.map(|mut properties| {
                properties.topic_alias = None;
                properties.subscription_identifiers.clear();
                properties.correlation_data = properties.correlation_data.map(|data| Bytes::copy_from_slice(&data));
                Box::new(properties)
            }),
            _ => None,
        }
    } else {
        None
    };
    Ok(Publish { topic, alias, payload, qos, retain, dup, pkid, properties })
}

fn read_acknowledgement(version: Version, frame: &Frame) -> Result<Packet, Fault> {
    let mut cursor = frame.cursor();
    let pkid = cursor.packet_id()?;
    let mut failed = false;
    // Reason code and property length may both be left out (MQTT 5, section 3.4.2.1).
    if version == Version::V5 && !cursor.rest.is_empty() {
        failed = cursor.u8("the reason code")? >= 0x80;
        if !cursor.rest.is_empty() {
            cursor.properties(Place::Acknowledgement)?;
        }
    }
    cursor.end()?;
    Ok(Packet::Acknowledge { kind: frame.kind, pkid, failed })
}

fn read_subscribe(version: Version, frame: Frame) -> Result<Packet, Fault> {
    let mut cursor = frame.cursor();
    cursor.packet_id()?;
    if version == Version::V5 {
        cursor.properties(Place::Subscribe)?;
    }
    if cursor.rest.is_empty() {
        return Err(Fault::protocol("SUBSCRIBE without a filter"));
    }
    while !cursor.rest.is_empty() {
        let filter = cursor.text("a filter")?;
        topic::check_filter(filter).map_err(|why| Fault::malformed(format!("SUBSCRIBE: {why}")).of(Rule::Topic))?;
        let options = cursor.u8("the subscription options")?;
        let reserved = if version == Version::V4 { 0xfc } else { 0xc0 };
        if options & reserved != 0 || options & 0x03 == 3 || options & 0x30 == 0x30 {
            return Err(Fault::malformed(format!("SUBSCRIBE: subscription options {options:#04x}")));
        }
        if options & 0x04 != 0 && topic::shared(filter).is_some() {
            return Err(Fault::protocol("SUBSCRIBE: no-local on a shared subscription"));
        }
    }
    match read(version, frame.bytes)? {
        codec::Packet::Subscribe(subscribe, properties) => {
            let id = properties.and_then(|properties| properties.id);
            Ok(Packet::Subscribe { pkid: subscribe.pkid, id, filters: subscribe.filters })
        }
        _ => Err(Fault::blameless("the codec: it read something else than SUBSCRIBE")),
    }
}

fn read_unsubscribe(version: Version, frame: Frame) -> Result<Packet, Fault> {
    let mut cursor = frame.cursor();
    cursor.packet_id()?;
    if version == Version::V5 {
        cursor.properties(Place::Unsubscribe)?;
    }
    if cursor.rest.is_empty() {
        return Err(Fault::protocol("UNSUBSCRIBE without a filter"));
    }
    while !cursor.rest.is_empty() {
        let filter = cursor.text("a filter")?;
        topic::check_filter(filter).map_err(|why| Fault::malformed(format!("UNSUBSCRIBE: {why}")).of(Rule::Topic))?;
    }
    match read(version, frame.bytes)? {
        codec::Packet::Unsubscribe(unsubscribe, _) => {
            Ok(Packet::Unsubscribe { pkid: unsubscribe.pkid, filters: unsubscribe.filters })
        }
        _ => Err(Fault::blameless("the codec: it read something else than UNSUBSCRIBE")),
    }
}

fn read_disconnect(version: Version, frame: &Frame) -> Result<Packet, Fault> {
    let mut cursor = frame.cursor();
    let (mut reason, mut session_expiry) = (0, None);
    if version == Version::V5 && !cursor.rest.is_empty() {
        reason = cursor.u8("the reason code")?;
        // The codec does not know that the property length may be left out (MQTT 5, section 3.14.2.2.1).
        if !cursor.rest.is_empty() {
            session_expiry = cursor.properties(Place::Disconnect)?.session_expiry;
        }
    }
    cursor.end()?;
    Ok(Packet::Disconnect { reason, session_expiry })
}

/// Hands one whole packet to the codec.
fn read(version: Version, mut bytes: BytesMut) -> Result<codec::Packet, Fault> {
    let size = bytes.len();
    let outcome = catch_unwind(AssertUnwindSafe(|| match version {
        Version::V4 => codec::v4::V4.read_mut(&mut bytes, size),
        Version::V5 => codec::v5::V5.read_mut(&mut bytes, size),
    }));
    match outcome {
        Ok(Ok(packet)) => Ok(packet),
        Ok(Err(error)) => Err(Fault::blameless(format!("the codec: {error}"))),
        Err(_) => Err(Fault::blameless("the codec: it panicked")),
    }
}

/// Appends one packet. The packet must be one that the version has; that is for the caller to see to.
pub(super) fn write(version: Version, packet: codec::Packet, out: &mut BytesMut) {
    let written = match version {
        Version::V4 => codec::v4::V4.write(packet, out),
        Version::V5 => codec::v5::V5.write(packet, out),
    };
    debug_assert!(written.is_ok(), "the codec could not write: {written:?}");
}

/// A PUBLISH ready to be sent to any number of clients; only the packet identifier differs between them.
#[derive(Debug, Clone)]
pub(super) struct Form {
    pub(super) bytes: Bytes,
    /// Where the packet identifier stands; nothing is there for QoS 0.
    pub(super) pkid_at: usize,
}

/// Encodes a PUBLISH. `properties` are for MQTT 5 only.
pub(super) fn write_publish(
    version: Version,
    topic: &str,
    payload: &Bytes,
    first: FirstByte,
    properties: Option<PublishProperties>,
) -> Form {
    let properties = properties.filter(|_| version == Version::V5);
    // QoS and DUP are private to the codec; its own serialised form is the way to set them.
    let identifier = u8::from(first.qos > 0);
    let mut publish = codec::Publish::deserialize(Bytes::copy_from_slice(&[first.to_byte(), 0, identifier, 0, 0]));
    publish.topic = Bytes::copy_from_slice(topic.as_bytes());
    publish.payload = payload.clone();
    let mut out = BytesMut::with_capacity(topic.len() + payload.len() + 16);
    write(version, codec::Packet::Publish(publish, properties), &mut out);
    let mut length_bytes = 1;
    while out[length_bytes] & 0x80 != 0 {
        length_bytes += 1;
    }
    Form { pkid_at: 1 + length_bytes + 2 + topic.len(), bytes: out.freeze() }
}

/// What the first byte of a PUBLISH says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FirstByte {
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) dup: bool,
}

impl FirstByte {
    fn to_byte(self) -> u8 {
        0x30 | u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame;
    use super::*;

    /// Bodies that get past the first checks more often than noise does.
    fn body() -> impl Strategy<Value = Vec<u8>> {
        let name = prop_oneof![Just(b"\0\x04MQTT\x04".to_vec()), Just(b"\0\x04MQTT\x05".to_vec()), Just(Vec::new())];
        let byte = prop_oneof![3 => 0..8_u8, 2 => prop::sample::select(&[0x0b_u8, 0x11, 0x21, 0x23, 0x26, b'a'][..]), 1 => any::<u8>()];
        (name, prop::collection::vec(byte, 0..40)).prop_map(|(name, rest)| [name, rest].concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn the_codec_never_has_to_refuse(first in any::<u8>(), body in body()) {
            let mut bytes = BytesMut::from(&[first, body.len() as u8][..]);
            bytes.extend_from_slice(&body);
            let Ok(Some(frame)) = frame::next(&mut bytes, 1024) else { return Ok(()) };
            let refused = match frame.kind {
                Kind::Connect => read_connect(frame).err().map(|refusal| refusal.fault.why),
                _ => {
                    let copy = Frame { kind: frame.kind, bytes: frame.bytes.clone(), head: frame.head };
                    let four = read_packet(Version::V4, frame).err();
                    let five = read_packet(Version::V5, copy).err();
                    Some(format!("{four:?} {five:?}"))
                }
            };
            let refused = refused.unwrap_or_default();
            prop_assert!(!refused.contains("the codec"), "{}", refused);
        }
    }

    #[test]
    fn a_publish_is_encoded_with_its_identifier_where_it_is_said_to_be() {
        for (size, version) in [(0, Version::V4), (200, Version::V4), (20_000, Version::V5)] {
            let first = FirstByte { qos: 1, retain: true, dup: true };
            let form = write_publish(version, "a/b", &Bytes::from(vec![b'x'; size]), first, None);
            assert_eq!(form.bytes[0], 0x3b);
            assert_eq!(form.bytes[form.pkid_at - 3..form.pkid_at + 2], *b"a/b\0\x01");
            let frame = frame::next(&mut BytesMut::from(&form.bytes[..]), usize::MAX);
            assert!(matches!(frame, Ok(Some(frame)) if frame.bytes.len() == form.bytes.len()));
        }
    }
}

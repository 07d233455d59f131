//! From bytes to whole packets, and the checks that rumqttd's codecs leave out.
//!
//! The codecs of rumqttd 0.20 see a packet only after it stood here: they take a property list that runs over its end,
//! accept reserved bits, doubled properties, U+0000 and trailing bytes, ask for more bytes in the middle of a whole
//! packet, and reach `unreachable!()` on some packet types. Nothing here touches a socket.

use bytes::{Bytes, BytesMut};
use rumqttd::protocol::DisconnectReasonCode as Reason;

use crate::protocol::topic;
use crate::transcript::record::Rule;

/// Why a packet was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The rule that the client broke; `None` where it is not to blame.
    pub(super) rule: Option<Rule>,
    /// The code for an MQTT 5 client.
    pub(super) reason: Reason,
    /// The words for the record.
    pub(super) why: String,
    /// How the packet begins, for the record.
    pub(super) bytes: Bytes,
}

/// So many bytes of a packet show what is wrong with it.
const SHOWN: usize = 32;

impl Fault {
    fn new(rule: Option<Rule>, reason: Reason, why: impl Into<String>) -> Self {
        Self { rule, reason, why: why.into(), bytes: Bytes::new() }
    }

    pub(super) fn malformed(why: impl Into<String>) -> Self {
        Self::new(Some(Rule::Form), Reason::MalformedPacket, why)
    }

    pub(super) fn protocol(why: impl Into<String>) -> Self {
        Self::new(Some(Rule::Order), Reason::ProtocolError, why)
    }

    /// More than the broker takes.
    pub(super) fn limit(reason: Reason, why: impl Into<String>) -> Self {
        Self::new(Some(Rule::Limit), reason, why)
    }

    pub(super) fn silent(why: impl Into<String>) -> Self {
        Self::new(Some(Rule::KeepAlive), Reason::KeepAliveTimeout, why)
    }

    /// A packet identifier that still belongs to another message. Brokers let the new one take its place.
    pub(super) fn in_use(kind: Kind, pkid: u16, topic: &str) -> Self {
        let why = format!("{}: packet identifier {pkid} is still in use for a message on `{topic}`", kind.name());
        Self::protocol(why).of(Rule::Identifier)
    }

    /// What happens without anybody breaking a rule.
    pub(super) fn blameless(why: impl Into<String>) -> Self {
        Self::new(None, Reason::UnspecifiedError, why)
    }

    /// The same, as a breach of this rule.
    pub(super) fn of(self, rule: Rule) -> Self {
        Self { rule: Some(rule), ..self }
    }

    /// The same, of a packet that begins like this.
    pub(super) fn begun_with(self, bytes: &[u8]) -> Self {
        Self { bytes: Bytes::copy_from_slice(&bytes[..bytes.len().min(SHOWN)]), ..self }
    }
}

/// The kinds of control packets, by their number in the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Connect = 1,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    PingReq,
    PingResp,
    Disconnect,
    Auth,
}

impl Kind {
    const ALL: [Kind; 15] = [
        Kind::Connect,
        Kind::ConnAck,
        Kind::Publish,
        Kind::PubAck,
        Kind::PubRec,
        Kind::PubRel,
        Kind::PubComp,
        Kind::Subscribe,
        Kind::SubAck,
        Kind::Unsubscribe,
        Kind::UnsubAck,
        Kind::PingReq,
        Kind::PingResp,
        Kind::Disconnect,
        Kind::Auth,
    ];

    /// The name in the standard.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Connect => "CONNECT",
            Kind::ConnAck => "CONNACK",
            Kind::Publish => "PUBLISH",
            Kind::PubAck => "PUBACK",
            Kind::PubRec => "PUBREC",
            Kind::PubRel => "PUBREL",
            Kind::PubComp => "PUBCOMP",
            Kind::Subscribe => "SUBSCRIBE",
            Kind::SubAck => "SUBACK",
            Kind::Unsubscribe => "UNSUBSCRIBE",
            Kind::UnsubAck => "UNSUBACK",
            Kind::PingReq => "PINGREQ",
            Kind::PingResp => "PINGRESP",
            Kind::Disconnect => "DISCONNECT",
            Kind::Auth => "AUTH",
        }
    }
}

/// One whole packet.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// Everything, with the fixed header.
    pub(super) bytes: BytesMut,
    /// Length of the fixed header.
    pub(super) head: usize,
}

impl Frame {
    /// The low half of the first byte.
    pub(super) fn flags(&self) -> u8 {
        self.bytes[0] & 0x0f
    }

    /// What follows the fixed header.
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[self.head..]
    }

    /// How it begins, kept apart from the bytes that a codec takes over.
    pub(super) fn beginning(&self) -> [u8; SHOWN] {
        let mut beginning = [0; SHOWN];
        let shown = self.bytes.len().min(SHOWN);
        beginning[..shown].copy_from_slice(&self.bytes[..shown]);
        beginning
    }

    /// Reads the body field by field.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor { rest: self.body(), packet: self.kind.name() }
    }
}

/// Takes the next whole packet off the front; `None` if more bytes are needed. `limit` is for the whole packet.
pub(super) fn next(buffer: &mut BytesMut, limit: usize) -> Result<Option<Frame>, Fault> {
    let Some(first) = buffer.first().copied() else { return Ok(None) };
    let kind = match usize::from(first >> 4) {
        0 => return Err(Fault::malformed(format!("first byte {first:#04x} is no MQTT packet"))),
        number => Kind::ALL[number - 1],
    };
    let flags = first & 0x0f;
    let expected = match kind {
        Kind::PubRel | Kind::Subscribe | Kind::Unsubscribe => 2,
        Kind::Publish => flags,
        _ => 0,
    };
    if flags != expected {
        return Err(Fault::malformed(format!("{} with reserved flags {flags:#03x}", kind.name())));
    }
    let mut length = 0;
    let mut head = 1;
    loop {
        let Some(byte) = buffer.get(head).copied() else { return Ok(None) };
        length |= usize::from(byte & 0x7f) << (7 * (head - 1));
        head += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if head == 5 {
            return Err(Fault::malformed(format!("{} with a remaining length of more than 4 bytes", kind.name())));
        }
    }
    let total = head + length;
    if total > limit {
        let why = format!("{} of {total} bytes is larger than the limit of {limit} bytes", kind.name());
        return Err(Fault::limit(Reason::PacketTooLarge, why));
    }
    if buffer.len() < total {
        buffer.reserve(total - buffer.len());
        return Ok(None);
    }
    Ok(Some(Frame { kind, bytes: buffer.split_to(total), head }))
}

/// Reads fields, and says which one is wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) rest: &'a [u8],
    packet: &'static str,
}

impl<'a> Cursor<'a> {
    fn fault(&self, why: &str) -> Fault {
        Fault::malformed(format!("{}: {why}", self.packet))
    }

    fn take(&mut self, length: usize, what: &str) -> Result<&'a [u8], Fault> {
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or_else(|| self.fault(&format!("ends within {what}")))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self, what: &str) -> Result<u8, Fault> {
        Ok(self.take(1, what)?[0])
    }

    pub(super) fn u16(&mut self, what: &str) -> Result<u16, Fault> {
        let bytes = self.take(2, what)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, Fault> {
        let bytes = self.take(4, what)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn varint(&mut self, what: &str) -> Result<usize, Fault> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8(what)?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.fault(&format!("{what} is longer than 4 bytes")))
    }

    pub(super) fn binary(&mut self, what: &str) -> Result<&'a [u8], Fault> {
        let length = self.u16(what)?;
        self.take(usize::from(length), what)
    }

    /// A string: UTF-8 without U+0000 (MQTT-1.5.4-1, -2).
    pub(super) fn text(&mut self, what: &str) -> Result<&'a str, Fault> {
        let bytes = self.binary(what)?;
        let text = std::str::from_utf8(bytes)
            .map_err(|error| self.fault(&format!("{what} is not UTF-8 at byte {}", error.valid_up_to())))?;
        match text.find('\0') {
            Some(at) => Err(self.fault(&format!("{what} contains U+0000 at byte {at}"))),
            None => Ok(text),
        }
    }

    pub(super) fn packet_id(&mut self) -> Result<u16, Fault> {
        match self.u16("the packet identifier")? {
            0 => Err(Fault::protocol(format!("{}: the packet identifier is 0", self.packet)).of(Rule::Identifier)),
            id => Ok(id),
        }
    }

    pub(super) fn end(&self) -> Result<(), Fault> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(self.fault(&format!("{left} bytes too many"))),
        }
    }

    /// Walks an MQTT 5 property list (section 2.2.2): only what may stand in this packet, nothing twice but user
    /// properties and, on their way to a client, subscription identifiers.
    pub(super) fn properties(&mut self, place: Place) -> Result<Properties<'a>, Fault> {
        let length = self.varint("the property length")?;
        let mut list = Cursor { rest: self.take(length, "the properties")?, packet: self.packet };
        let mut found = Properties::default();
        let mut seen = 0_u64;
        while !list.rest.is_empty() {
            let id = list.u8("a property")?;
            let bit = 1_u64.checked_shl(u32::from(id)).unwrap_or(0);
            if place.allowed() & bit == 0 {
                return Err(Fault::protocol(format!("{}: property {id:#04x} is not allowed here", self.packet)));
            }
            let repeats = id == 0x26 || (id == 0x0b && place == Place::PublishToClient);
            if seen & bit != 0 && !repeats {
                return Err(Fault::protocol(format!("{}: property {id:#04x} stands twice", self.packet)));
            }
            seen |= bit;
            list.property(id, &mut found)?;
        }
        Ok(found)
    }

    fn property(&mut self, id: u8, found: &mut Properties<'a>) -> Result<(), Fault> {
        let packet = self.packet;
        let wrong = |what: &str| Err(Fault::protocol(format!("{packet}: {what}")));
        match id {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => {
                if self.u8("a property")? > 1 {
                    return wrong(&format!("property {id:#04x} is neither 0 nor 1"));
                }
            }
            0x13 | 0x22 => drop(self.u16("a property")?),
            0x21 => {
                if self.u16("the receive maximum")? == 0 {
                    return wrong("the receive maximum is 0");
                }
            }
            0x23 => match self.u16("the topic alias")? {
                0 => return Err(Fault::limit(Reason::TopicAliasInvalid, format!("{packet}: topic alias 0"))),
                alias => found.alias = Some(alias),
            },
            0x02 | 0x18 => drop(self.u32("a property")?),
            0x11 => found.session_expiry = Some(self.u32("the session expiry interval")?),
            0x27 => {
                if self.u32("the maximum packet size")? == 0 {
                    return wrong("the maximum packet size is 0");
                }
            }
            0x0b => {
                if self.varint("the subscription identifier")? == 0 {
                    return wrong("the subscription identifier is 0");
                }
            }
            0x09 | 0x16 => drop(self.binary("a property")?),
            0x08 => {
                let response = self.text("the response topic")?;
                if let Err(why) = topic::check_name(response) {
                    return wrong(&format!("response {why}"));
                }
            }
            0x12 => found.assigned_id = Some(self.text("the assigned client identifier")?),
            0x1f => found.reason = Some(self.text("the reason string")?),
            0x26 => {
                self.text("the name of a user property")?;
                self.text("the value of a user property")?;
            }
            _ => drop(self.text("a property")?),
        }
        Ok(())
    }
}

/// Properties that are read from the list itself; the codecs read the others.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Properties<'a> {
    pub(super) alias: Option<u16>,
    pub(super) session_expiry: Option<u32>,
    pub(super) assigned_id: Option<&'a str>,
    pub(super) reason: Option<&'a str>,
}

/// Where a property list stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Connect,
    Will,
    ConnAck,
    PublishFromClient,
    PublishToClient,
    Acknowledgement,
    Subscribe,
    Unsubscribe,
    Disconnect,
}

impl Place {
    /// Bit n for property n (MQTT 5, table 2-4).
    fn allowed(self) -> u64 {
        let ids: &[u8] = match self {
            Place::Connect => &[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27],
            Place::Will => &[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26],
            Place::ConnAck => {
                &[0x11, 0x12, 0x13, 0x15, 0x16, 0x1a, 0x1c, 0x1f, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a]
            }
            Place::PublishFromClient => &[0x01, 0x02, 0x03, 0x08, 0x09, 0x23, 0x26],
            Place::PublishToClient => &[0x01, 0x02, 0x03, 0x08, 0x09, 0x0b, 0x23, 0x26],
            Place::Acknowledgement => &[0x1f, 0x26],
            Place::Subscribe => &[0x0b, 0x26],
            Place::Unsubscribe => &[0x26],
            Place::Disconnect => &[0x11, 0x1c, 0x1f, 0x26],
        };
        ids.iter().fold(0, |mask, id| mask | 1 << id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Frame>, Fault> {
        next(&mut BytesMut::from(bytes), 1024)
    }

    #[test]
    fn waits_for_the_rest_of_a_packet() {
        for part in [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 0x05, 0x00]] {
            assert!(matches!(read(part), Ok(None)), "{part:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_packet() {
        for (bytes, why) in [
            (&[0x00, 0x00][..], "first byte 0x00 is no MQTT packet"),
            (&[0x81, 0x00], "SUBSCRIBE with reserved flags 0x1"),
            (&[0x30, 0xff, 0xff, 0xff, 0xff], "PUBLISH with a remaining length of more than 4 bytes"),
            (&[0x30, 0xff, 0x7f], "PUBLISH of 16386 bytes is larger than the limit of 1024 bytes"),
        ] {
            assert_eq!(read(bytes).map(|_| ()).map_err(|fault| fault.why), Err(why.to_owned()));
        }
    }

    #[test]
    fn walks_property_lists() {
        let walk = |bytes: &[u8], place| {
            let mut cursor = Cursor { rest: bytes, packet: "TEST" };
            cursor.properties(place).map(|found| (found.alias, cursor.rest.len())).map_err(|fault| fault.why)
        };
        assert_eq!(walk(&[3, 0x23, 0, 7, 9], Place::PublishFromClient), Ok((Some(7), 1)));
        for (bytes, why) in [
            (&[4, 0x23, 0, 7][..], "TEST: ends within the properties"),
            (&[2, 0x23, 0], "TEST: ends within the topic alias"),
            (&[3, 0x23, 0, 0], "TEST: topic alias 0"),
            (&[6, 0x23, 0, 1, 0x23, 0, 1], "TEST: property 0x23 stands twice"),
            (&[2, 0x0b, 1], "TEST: property 0x0b is not allowed here"),
            (&[2, 0x01, 2], "TEST: property 0x01 is neither 0 nor 1"),
            (&[6, 0x26, 0, 1, b'a', 0, 1], "TEST: ends within the value of a user property"),
            (&[4, 0x08, 0, 1, b'#'], "TEST: response topic `#` contains the wildcard `#`"),
            (&[2, 0xff, 0], "TEST: property 0xff is not allowed here"),
        ] {
            assert_eq!(walk(bytes, Place::PublishFromClient), Err(why.to_owned()));
        }
    }
}

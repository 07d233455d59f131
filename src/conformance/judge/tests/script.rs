//! A script of what passes on the wire and happens to the module, each at its time.

use serde_json::{Value, json};

use crate::conformance::sighting::Party;
use crate::protocol::channel::Channel;
use crate::protocol::control::Deed;

/// The value of the token `ALICE`.
pub const ALICE: &str = "04A2F3B1";
/// The value of the token `BOB`.
pub const BOB: &str = "00123456";

/// Something that happens on the wire or to the module.
#[derive(Debug, Clone)]
pub enum Event {
    /// A message passes.
    Message(Message),
    /// Several pass before anybody looks.
    Burst(Vec<Message>),
    /// Khumbu is held up for so many milliseconds.
    HeldUp(u64),
    /// The module ends.
    Ends,
    /// The module loses its connection.
    Leaves,
    /// The module listens to this alone.
    Listens(&'static str),
}

/// A message on its way.
#[derive(Debug, Clone)]
pub struct Message {
    pub from: Party,
    pub kind: Sort,
    pub json: Option<Value>,
    pub qos: u8,
    pub retain: bool,
}

/// Where a message passes, and what it is by that.
#[derive(Debug, Clone, PartialEq)]
pub enum Sort {
    Channel(Channel),
    Discover,
    Beacon,
    /// On this topic; a reply, if a request has named it.
    Topic(String),
    Did(Deed),
    Control,
}

impl Message {
    /// The same from the module under test.
    pub fn by_module(self) -> Self {
        Self { from: Party::Module, ..self }
    }

    /// At another QoS.
    pub fn at_qos(self, qos: u8) -> Self {
        Self { qos, ..self }
    }

    /// With the retain flag.
    pub fn retained(self) -> Self {
        Self { retain: true, ..self }
    }
}

/// A message of khumbu's own on a channel.
pub fn on(channel: Channel, json: Value) -> Message {
    Message { from: Party::Harness, kind: Sort::Channel(channel), json: Some(json), qos: 2, retain: false }
}

/// A status of a token, by its value.
pub fn status(token: &str, status: &str) -> Message {
    let token = json!({"id_token": {"value": token, "type": "ISO14443"}, "connectors": [1]});
    on(Channel::TOKEN_VALIDATION_STATUS, json!({"token": token, "status": status}))
}

/// A heartbeat.
pub fn beat(number: u64) -> Message {
    on(Channel::HEARTBEAT, json!(number))
}

/// Something on any topic.
pub fn stray(topic: &str, json: Value) -> Message {
    Message { from: Party::Harness, kind: Sort::Topic(topic.to_owned()), json: Some(json), qos: 2, retain: false }
}

/// A request on a channel that wants its reply here.
pub fn request(channel: Channel, reply_to: &str, payload: &Value) -> Message {
    on(channel, json!({"headers": {"replyTo": reply_to}, "payload": payload})).by_module()
}

/// A withdraw request of the module that wants its reply here.
pub fn withdraw(reply_to: &str) -> Message {
    request(Channel::WITHDRAW_AUTHORIZATION, reply_to, &json!({}))
}

/// A discovery of the module that wants its replies here.
pub fn discover(reply_to: &str) -> Message {
    Message { kind: Sort::Discover, ..request(Channel::HEARTBEAT, reply_to, &Value::Null) }
}

/// A call to an EVSE.
pub fn call(evse: i32, call: &str, arguments: Value) -> Message {
    did(Deed::EvseCall, json!({"evse": evse, "call": call, "arguments": arguments}))
}

/// Something that EVerest did inside.
pub fn did(deed: Deed, what: Value) -> Message {
    Message { from: Party::Harness, kind: Sort::Did(deed), json: Some(what), qos: 1, retain: false }
}

/// At a time in milliseconds.
pub fn at(millis: u64, message: Message) -> (u64, Event) {
    (millis, Event::Message(message))
}

/// Several at a time in milliseconds, at which the judge looks once.
pub fn at_once(millis: u64, messages: &[Message]) -> (u64, Event) {
    (millis, Event::Burst(messages.to_vec()))
}

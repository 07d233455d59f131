//! What a bug sees of the messages that pass, and what it remembers of them. Pure.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::protocol::channel::{Channel, Topics};
use crate::protocol::codec;
use crate::station::config::StationConfig;

/// A message on its way, to the broker or from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Bytes,
    /// Its QoS.
    pub qos: u8,
    /// The retain flag.
    pub retain: bool,
    /// When it was sent or came in, counted from the start of the module.
    pub time: Duration,
    /// How long it is held back before it is sent.
    pub after: Duration,
}

/// What has passed since the module was started, over all its connections.
#[derive(Debug)]
pub struct Memory {
    /// The topics of the module's own API.
    pub topics: Topics,
    /// The station that is simulated, or to which the module is a client.
    pub station: StationConfig,
    /// What was heard, without the message in question.
    pub heard: Vec<Packet>,
    /// What was meant to be said, without the message in question.
    pub said: Vec<Packet>,
    /// What is held back.
    pub held: Vec<Packet>,
    /// Whether it waits for something before it goes on.
    pub waits: bool,
    /// How many connections there were, with this one.
    pub connections: u32,
    /// What is to be done besides.
    pub besides: Vec<Besides>,
}

/// What a bug does of its own accord.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Besides {
    /// It publishes this.
    Publish(Packet),
    /// It gives up this subscription.
    Unsubscribe(String),
    /// The module ends, without a word.
    Crash,
}

impl Packet {
    /// Whether it passes on a channel, of whatever module.
    pub fn is_on(&self, channel: Channel) -> bool {
        self.topic.strip_suffix(channel.address()).is_some_and(|base| base.ends_with('/'))
    }

    /// The payload; `null` where it is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }

    /// The value at a pointer; `null` where there is none.
    pub fn at(&self, pointer: &str) -> Value {
        self.json().pointer(pointer).cloned().unwrap_or_default()
    }

    /// The text at a pointer.
    pub fn text(&self, pointer: &str) -> Option<String> {
        self.at(pointer).as_str().map(str::to_owned)
    }

    /// The payload as text.
    pub fn raw(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap_or_default()
    }

    /// The same with another payload, laid out as before.
    #[must_use]
    pub fn with(mut self, payload: &Value) -> Self {
        let has_lines = self.payload.contains(&b'\n');
        self.payload = if has_lines { codec::encode(payload) } else { codec::encode_compact(payload) };
        self
    }

    /// The same with a payload that may be anything.
    #[must_use]
    pub fn with_text(mut self, payload: impl Into<String>) -> Self {
        self.payload = payload.into().into();
        self
    }

    /// The same with its JSON changed.
    #[must_use]
    pub fn changed(self, change: impl FnOnce(&mut Value)) -> Self {
        let mut json = self.json();
        change(&mut json);
        self.with(&json)
    }

    /// The same on another topic.
    #[must_use]
    pub fn on(mut self, topic: impl Into<String>) -> Self {
        self.topic = topic.into();
        self
    }

    /// The same with the retain flag.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// The same, so much later.
    #[must_use]
    pub fn later(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    /// What passes in its place if this holds of it; otherwise it does.
    pub fn when(self, is_it: impl FnOnce(&Self) -> bool, change: impl FnOnce(Self) -> Vec<Self>) -> Vec<Self> {
        if is_it(&self) { change(self) } else { self.alone() }
    }

    /// What passes in its place on a channel; elsewhere it does.
    pub fn when_on(self, channel: Channel, change: impl FnOnce(Self) -> Vec<Self>) -> Vec<Self> {
        self.when(|it| it.is_on(channel), change)
    }

    /// Whether it asks the entry point which API modules there are.
    pub fn is_discovery(&self) -> bool {
        ["everest_api/discover", "everest_api/query-modules/"].iter().any(|topic| self.topic.contains(topic))
    }

    /// It alone.
    pub fn alone(self) -> Vec<Packet> {
        vec![self]
    }

    /// It, and the same again.
    pub fn twice(self) -> Vec<Packet> {
        vec![self.clone(), self]
    }
}

impl Memory {
    pub(super) fn new(topics: Topics, station: StationConfig) -> Self {
        let (heard, said, held, besides) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { topics, station, heard, said, held, waits: false, connections: 0, besides }
    }

    /// The module ends here: nothing of the message is left.
    pub fn crash(&mut self) -> Vec<Packet> {
        self.besides.push(Besides::Crash);
        Vec::new()
    }

    /// The message ends the module if it is fatal to it, and passes otherwise.
    pub fn crash_if(&mut self, is_fatal: bool, packet: Packet) -> Vec<Packet> {
        if is_fatal { self.crash() } else { packet.alone() }
    }

    /// The request of the other side that a message replies to.
    pub fn request_of(&self, reply: &Packet) -> Option<&Packet> {
        replied(&self.heard, reply)
    }

    /// The request of the module's own that a message replies to.
    pub fn question_of(&self, reply: &Packet) -> Option<&Packet> {
        replied(&self.said, reply)
    }

    /// Whether a message that is published replies to a request on a channel.
    pub fn replies_to(&self, channel: Channel, reply: &Packet) -> bool {
        self.request_of(reply).is_some_and(|request| request.is_on(channel))
    }

    /// Whether a message that is heard replies to a request on a channel.
    pub fn is_reply_from(&self, channel: Channel, reply: &Packet) -> bool {
        self.question_of(reply).is_some_and(|request| request.is_on(channel))
    }

    /// Of what was said on a channel, the latest first.
    pub fn said_on(&self, channel: Channel) -> impl Iterator<Item = &Packet> {
        self.said.iter().rev().filter(move |packet| packet.is_on(channel))
    }

    /// Of what was heard on a channel, the latest first.
    pub fn heard_on(&self, channel: Channel) -> impl Iterator<Item = &Packet> {
        self.heard.iter().rev().filter(move |packet| packet.is_on(channel))
    }
}

/// The latest of these requests whose `replyTo` is the topic of a message, with or without EVerest's prefix before it.
fn replied<'m>(requests: &'m [Packet], reply: &Packet) -> Option<&'m Packet> {
    requests.iter().rev().find(|request| {
        let topic = request.text("/headers/replyTo").filter(|topic| !topic.is_empty());
        topic.is_some_and(|topic| reply.topic.ends_with(&topic))
    })
}

/// Whether an object has other keys than these.
pub fn has_more(value: &Value, known: &[&str]) -> bool {
    value.as_object().is_some_and(|object| object.keys().any(|key| !known.contains(&key.as_str())))
}

/// Takes a key out of the object at a pointer, if it is there.
pub fn remove(value: &mut Value, at: &str, key: &str) {
    if let Some(object) = value.pointer_mut(at).and_then(Value::as_object_mut) {
        object.remove(key);
    }
}

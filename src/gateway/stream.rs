//! `GET /events`: what passes, live, as server-sent events (WHATWG HTML, 9.2).
//!
//! A client that reads slowly slows down nobody: it is told how much it missed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::body::Fault;
use super::conversation::{Conversation, Manner, Party, Placed};
use super::error::ApiError;
use super::feed::{Next, Passed, Watcher};
use super::log::{LogEntry, rfc3339};
use super::routes::{Asked, Gateway, Shared, parameter};
use super::schemas;
use super::tokens::Caller;
use crate::protocol::schema::{Message, Violation};

/// A comment goes out after so much silence, so that a client that has gone is noticed.
const SILENCE: Duration = Duration::from_secs(15);

/// An event as it is sent.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StreamEvent {
    /// A client published over MQTT.
    Mqtt {
        /// When.
        #[schemars(extend("format" = "date-time"))]
        timestamp: String,
        /// The charger it belongs to, if it can be told.
        charger_id: Option<String>,
        /// The id of the client.
        client: String,
        /// The topic.
        topic: String,
        /// The payload as text, cut off after 8192 bytes.
        payload: String,
        /// How many bytes the payload has.
        bytes: usize,
        /// Its place in the conversation.
        place: Place,
        /// What EVerest's specification says of it, if it is a message of the API.
        specified: Option<Specified>,
    },
    /// The log of a charger has a new entry.
    Log {
        /// The charger.
        charger_id: String,
        /// It.
        entry: LogEntry,
        /// Its place in the conversation.
        place: Place,
    },
    /// The client is too slow; so many events were left out here.
    LeftOut {
        /// How many.
        count: u64,
    },
}

/// The place of a message in the conversation.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Place {
    /// Its number in this stream, from 1.
    number: u64,
    /// Who sent it; absent if its address does not say so.
    from: Option<Party>,
    /// To whom.
    to: Option<Party>,
    /// How it passes; absent if it belongs to no API.
    manner: Option<Manner>,
    /// The number of the request or call that it answers, if that was in this stream.
    answers: Option<u64>,
}

/// What EVerest's specification says of a message.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Specified {
    /// Its API.
    api: &'static str,
    /// Its channel.
    channel: &'static str,
    /// What it is called in a sentence.
    called: &'static str,
    /// Where its JSON Schema is, below the gateway's address, in the charger's release; absent if it is of no charger.
    schema: Option<String>,
    /// How its payload violates that; nothing if it was cut off.
    violations: Vec<String>,
}

/// What a stream needs.
struct Sender {
    gateway: Arc<Gateway>,
    caller: Caller,
    with_heartbeats: bool,
    watcher: Watcher,
    conversation: Conversation,
    /// Given back when the stream ends.
    _place: OwnedSemaphorePermit,
}

/// Answers with a stream that ends when the client does.
pub async fn show(State(gateway): Shared, Asked { caller, query }: Asked) -> Result<Response, ApiError> {
    let with_heartbeats = match parameter(&query, "heartbeats") {
        None => true,
        Some(value) => {
            value.parse().map_err(|_| Fault::value(&["query", "heartbeats"], "neither `true` nor `false`"))?
        }
    };
    let place = gateway.places.clone().try_acquire_owned();
    let place = place.map_err(|_| ApiError::TooMany("too many streams of events are open; close one".to_owned()))?;
    let watcher = gateway.fleet.feed.watch();
    let conversation = Conversation::default();
    let sender = Sender { gateway, caller, with_heartbeats, watcher, conversation, _place: place };
    let body = Body::from_stream(stream::unfold(sender, async |mut sender| {
        let text = sender.next().await?;
        Some((Ok::<_, Infallible>(text), sender))
    }));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

impl Place {
    fn of(placed: &Placed) -> Self {
        let Placed { number, from, to, manner, answers, .. } = *placed;
        Self { number, from, to, manner, answers }
    }
}

fn in_words(Violation { pointer, message, .. }: Violation) -> String {
    if pointer.is_empty() { message } else { format!("{pointer}: {message}") }
}

impl Sender {
    /// What is to be sent next.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let event = match timeout(SILENCE, self.watcher.next()).await {
                Err(_) => return Some(Bytes::from_static(b":\n\n")),
                Ok(Next::Over) => return None,
                Ok(Next::Missed(count)) => Some(StreamEvent::LeftOut { count }),
                Ok(Next::Passed(passed)) => self.shown(&passed),
            };
            // The types of events are plain data; JSON has no line breaks.
            if let Some(text) = event.and_then(|event| serde_json::to_string(&event).ok()) {
                return Some(format!("data: {text}\n\n").into());
            }
        }
    }

    /// As the client may see it, if it may.
    fn shown(&mut self, passed: &Passed) -> Option<StreamEvent> {
        match passed {
            Passed::Mqtt { topic, .. } if !self.with_heartbeats && topic.ends_with("/heartbeat") => None,
            Passed::Mqtt { at, client, topic, payload, bytes } => {
                let owners = &self.gateway.fleet.owners;
                let charger_id = owners.of(topic, client);
                if !charger_id.map_or_else(|| self.caller.may_all(), |id| self.may_see(id)) {
                    return None;
                }
                let placed = self.conversation.published(owners, topic, payload);
                let whole = (payload.len() == *bytes).then_some(&payload[..]);
                Some(StreamEvent::Mqtt {
                    timestamp: rfc3339(*at),
                    charger_id: charger_id.map(str::to_owned),
                    client: client.to_string(),
                    topic: topic.to_string(),
                    payload: String::from_utf8_lossy(payload).into_owned(),
                    bytes: *bytes,
                    specified: placed.message.map(|message| self.specified(message, charger_id, whole)),
                    place: Place::of(&placed),
                })
            }
            Passed::Said { charger_id, entry, part } => {
                if !self.may_see(charger_id) {
                    return None;
                }
                let place = Place::of(&self.conversation.said(charger_id, entry.direction, part));
                Some(StreamEvent::Log { charger_id: charger_id.clone(), entry: entry.clone(), place })
            }
        }
    }

    fn specified(&self, message: Message, charger_id: Option<&str>, payload: Option<&[u8]>) -> Specified {
        let charger = charger_id.and_then(|id| Some((id, self.gateway.fleet.chargers.get(id)?)));
        // What is no JSON violates every schema.
        let violations = charger.zip(payload).map(|((_, charger), payload)| match serde_json::from_slice(payload) {
            Ok(payload) => charger.schemas.check(message, &payload).into_iter().map(in_words).collect(),
            Err(_) => vec!["it is no JSON".to_owned()],
        });
        let channel = message.channel();
        Specified {
            api: channel.api().name(),
            channel: channel.name(),
            called: message.name(),
            schema: charger.map(|(id, _)| schemas::path(id, message)),
            violations: violations.unwrap_or_default(),
        }
    }

    fn may_see(&self, id: &str) -> bool {
        self.gateway.fleet.chargers.get(id).is_some_and(|charger| self.caller.may(id, &charger.config))
    }
}

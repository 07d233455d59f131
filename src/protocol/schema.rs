//! What the specification allows in each message: JSON Schemas, and the check of a payload against them.
//!
//! The shapes are those of the descriptions (`src/protocol/apis`), the schemas what these are under given deviations.
//! Unknown extra fields are valid everywhere (`additionalProperties: true`); unknown enum values are not. How EVerest
//! *decodes* what violates a schema is another question, see [`super::codec`].
//!
//! Pure. A schema is compiled on its first use: where a payload does not fit at first sight (`fit`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, ValidationError, Validator};
use serde_json::Value;

use super::api::{self, Api, Pattern, Shape};
use super::channel::{ApiType, Channel};
use super::control::EvseCommand;
use super::deviations::{Behaviour, Deviations};
use super::release::Release;

mod document;
mod fit;

/// The latched get answers `null` before the first status; running EVerest sends `true` instead, because the text
/// "null" takes the boolean overload of its publish function. Both are accepted: a module that stands in for EVerest
/// may follow either.
pub const EMPTY_LATCH: [Value; 2] = [Value::Null, Value::Bool(true)];

/// A kind of message that has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Message {
    /// A message on a channel.
    On(Channel),
    /// The reply to a request on a channel.
    ReplyTo(Channel),
}

/// What the arguments of a call to an EVSE can be (interface `evse_manager`), by the names that tell of it.
pub fn evse_call(call: EvseCommand) -> Value {
    let api = api::of("evse_manager").expect("it is described");
    let shape = api.named(call.name()).expect("every call is described");
    document::document(api, shape, Deviations::default())
}

impl Message {
    /// Every kind that there is at [`Release::Main`], in the order of the descriptions.
    pub fn all() -> BTreeSet<Self> {
        let channels = ApiType::all().flat_map(ApiType::channels);
        channels.flat_map(|channel| [Some(Message::On(channel)), Message::reply_to(channel)]).flatten().collect()
    }

    /// The reply to a request on this channel; `None` for channels that carry no requests.
    pub fn reply_to(channel: Channel) -> Option<Self> {
        channel.is_request().then_some(Message::ReplyTo(channel))
    }

    /// What it is called in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Message::On(channel) => &channel.description().called,
            Message::ReplyTo(channel) => channel.description().reply.as_ref().map_or("reply", |reply| &reply.called),
        }
    }

    /// Whether [`EMPTY_LATCH`] may stand in its place.
    pub fn may_be_empty_latch(self) -> bool {
        matches!(self, Message::ReplyTo(channel) if channel.description().pattern == Pattern::LatchedGet)
    }

    /// The channel that it belongs to.
    pub fn channel(self) -> Channel {
        let (Message::On(channel) | Message::ReplyTo(channel)) = self;
        channel
    }

    fn shape(self) -> &'static Shape {
        match self {
            Message::On(channel) => &channel.description().payload,
            Message::ReplyTo(channel) => {
                let described = channel.description();
                match described.reply.as_ref().map(|reply| &reply.payload) {
                    // What stands for a value that was never told is not judged by its shape.
                    Some(Shape::OrNull(told)) if described.pattern == Pattern::LatchedGet => told,
                    Some(shape) => shape,
                    None => &Shape::Any,
                }
            }
        }
    }

    fn api(self) -> &'static Api {
        self.channel().api().description()
    }
}

/// Every violation of a shape that stands in a description, in the order of its schema.
pub fn violations(api: &Api, shape: &Shape, in_force: Deviations, payload: &Value) -> Vec<Violation> {
    let validator = compile(&document::document(api, shape, in_force));
    validator.iter_errors(payload).map(|error| violation(&error)).collect()
}

/// The validator of the schema of a shape.
fn compile(schema: &Value) -> Validator {
    let validator = jsonschema::options().with_draft(Draft::Draft7).build(schema);
    validator.expect("the schema of every shape is valid")
}

/// One way in which a payload violates its schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// JSON pointer to the offending value; empty for the whole payload.
    pub pointer: String,
    /// What is wrong with it, in words.
    pub message: String,
    /// Whether that is all: it is none of the values that are listed.
    pub is_unlisted: bool,
}

/// The schemas of one release.
#[derive(Debug, Default)]
pub struct Schemas {
    in_force: Deviations,
    compiled: Mutex<BTreeMap<Message, Arc<Validator>>>,
}

impl Schemas {
    /// The schemas of a release; nothing is compiled yet.
    pub fn new(release: Release) -> Self {
        Self::of(Deviations::new(release, Behaviour::AsRunning, &BTreeMap::new()))
    }

    /// The schemas of a release in which single deviations are switched.
    pub fn of(in_force: Deviations) -> Self {
        Self { in_force, ..Self::default() }
    }

    /// Every violation, in the order of the schema; empty for a valid payload.
    pub fn check(&self, message: Message, payload: &Value) -> Vec<Violation> {
        if message.may_be_empty_latch() && EMPTY_LATCH.contains(payload) {
            return Vec::new();
        }
        if fit::fits(message.api(), message.shape(), self.in_force, payload) {
            return Vec::new();
        }
        let validator = self.validator(message);
        validator.iter_errors(payload).map(|error| violation(&error)).collect()
    }

    /// The schema of a kind of message; of a reply with the latched status, where there is one.
    pub fn document(&self, message: Message) -> Value {
        document::document(message.api(), message.shape(), self.in_force)
    }

    /// The validator of a kind of message, compiled on first use.
    fn validator(&self, message: Message) -> Arc<Validator> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(compiled.entry(message).or_insert_with(|| Arc::new(compile(&self.document(message)))))
    }
}

// Longer messages quote whole objects, which helps nobody.
const LONGEST_MESSAGE: usize = 120;

fn violation(error: &ValidationError<'_>) -> Violation {
    let full = error.to_string();
    let message = if full.len() > LONGEST_MESSAGE { error.masked_with("the value").to_string() } else { full };
    let is_unlisted = matches!(error.kind(), ValidationErrorKind::Enum { .. });
    Violation { pointer: error.instance_path().to_string(), message, is_unlisted }
}

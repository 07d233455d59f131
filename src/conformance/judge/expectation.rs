//! An expectation of a scenario, made ready to be held against messages.
//!
//! A *lane* is the statuses of one token, or the replies to one request. An expectation on a lane is strict: the next
//! message of the lane must be the expected one. Any other expectation takes the first message that fits, as does one of
//! a reply to a discovery, which each API module sends.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use super::claims::Lane;
use crate::conformance::sighting::{Kind, Party, Sighting};
use crate::diagnostic::words::plain;
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::Deed;
use crate::protocol::side::Side;
use crate::protocol::topic;
use crate::protocol::types::TokenValidationStatus;
use crate::scenario::model::MessageKind;
use crate::scenario::pattern::{Captures, Pattern};
use crate::scenario::{Pointer, channel_of};

/// What a message means to an expectation.
#[derive(Debug)]
pub enum Offer {
    /// Nothing.
    Foreign,
    /// One of several that are expected.
    Step,
    /// The last that was expected.
    Met,
    /// It stands where another was expected.
    Broken(Mismatch),
}

/// How a message differs from the expected one.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    /// Where in the scenario the differing value stands.
    pub pointer: Pointer,
    /// The value expected.
    pub expected: String,
    /// The value seen; `None` if there is none.
    pub actual: Option<Value>,
    /// The member of the message that differs; none if it is the whole message.
    pub member: Option<String>,
    /// Whether the status as such differs, and not a value within the message.
    pub is_whole: bool,
}

/// An expectation.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// Where it stands in the scenario.
    pub pointer: Pointer,
    /// How long it may take.
    pub within: Duration,
    /// The oldest record that counts.
    pub since: u64,
    /// Whether khumbu was told or the module: by whom the message should have come.
    pub by: Party,
    /// What is expected.
    pub what: What,
}

/// What is expected.
#[derive(Debug, Clone)]
pub enum What {
    /// A message by kind or topic.
    Message {
        /// The kind.
        kind: Option<MessageKind>,
        /// The API, for kinds that are in every one.
        api: ApiType,
        /// The filter.
        filter: Option<String>,
        /// The payload.
        payload: Option<Pattern>,
        /// The QoS.
        qos: Option<u8>,
        /// The retain flag.
        retain: Option<bool>,
    },
    /// The next statuses of a token.
    Status {
        /// Where they pass.
        channel: Channel,
        /// The token's name in the scenario.
        name: String,
        /// The token's value, compared exactly: re-presentation in other letters is another attempt.
        value: String,
        /// What is still to come.
        remaining: VecDeque<TokenValidationStatus>,
        /// Where the first of them stands, and whether it is an element of a list.
        at: (Pointer, Option<usize>),
        /// Of the last status.
        connectors: Option<Pattern>,
        /// Of the last status.
        payload: Option<Pattern>,
    },
    /// The next of those that are alike of what EVerest does inside.
    Did {
        /// What kind.
        deed: Deed,
        /// What makes it one of those.
        which: Vec<(&'static str, Value)>,
        /// The member that is looked at, and how it must be.
        member: &'static str,
        /// Where that stands in the scenario, and the pattern.
        payload: Option<(Pointer, Pattern)>,
    },
    /// The reply to a request, by the topic on the wire.
    Reply {
        /// Where the reply passes.
        topic: String,
        /// The payload.
        payload: Pattern,
        /// Where the payload's pattern stands.
        at: Pointer,
    },
    /// The next request of the module of a kind.
    Request {
        /// The kind.
        kind: Kind,
        /// The whole message.
        payload: Pattern,
        /// Where the step's arguments stand.
        at: Pointer,
    },
}

impl Expectation {
    /// Holds a message against the expectation. The message was not claimed yet, and is not older than `since`.
    pub fn offer(&mut self, seen: &Sighting, captures: &mut Captures) -> Offer {
        let pointer = &self.pointer;
        // What the other party sends is judged elsewhere; it meets nothing.
        if seen.from != self.by {
            return Offer::Foreign;
        }
        match &mut self.what {
            What::Message { kind, api, filter, payload, qos, retain } => {
                let is_it = kind.is_none_or(|kind| is_of_kind(seen, kind, *api))
                    && filter.as_deref().is_none_or(|filter| topic::matches(filter, &seen.publish.topic))
                    && (seen.kind != Kind::Control && (kind.is_some() || !matches!(seen.kind, Kind::Did(_))))
                    && qos.is_none_or(|qos| qos == seen.publish.qos)
                    && retain.is_none_or(|retain| retain == seen.publish.retain)
                    && payload.as_ref().is_none_or(|pattern| matches(pattern, seen, captures).is_ok());
                if is_it { Offer::Met } else { Offer::Foreign }
            }
            What::Status { channel, value, remaining, at, connectors, payload, .. } => {
                if seen.kind != Kind::Channel(*channel) || seen.told_of() != Some(value) {
                    return Offer::Foreign;
                }
                let Some(expected) = remaining.front().copied() else { return Offer::Foreign };
                let status = seen.json.as_ref().and_then(|json| json.get("status"));
                let expected_word = json!(expected);
                if status != Some(&expected_word) {
                    return Offer::Broken(Mismatch {
                        pointer: at.1.map_or_else(|| at.0.clone(), |index| at.0.index(index)),
                        expected: format!("`{}`", plain(&expected_word)),
                        actual: status.cloned(),
                        member: None,
                        is_whole: true,
                    });
                }
                if remaining.len() > 1 {
                    remaining.pop_front();
                    at.1 = at.1.map(|index| index + 1);
                    return Offer::Step;
                }
                if let Some(pattern) = connectors {
                    let found = seen.json.as_ref().and_then(|json| json.pointer("/token/connectors"));
                    if let Err(mut mismatch) = matches_value(pattern, found, captures) {
                        mismatch.member.get_or_insert_with(|| "connectors".to_owned());
                        return Offer::Broken(mismatch.below(&pointer.key("connectors")));
                    }
                }
                if let Some(pattern) = payload
                    && let Err(mismatch) = matches(pattern, seen, captures)
                {
                    return Offer::Broken(mismatch.below(&pointer.key("payload")));
                }
                Offer::Met
            }
            What::Did { deed, which, member, payload } => {
                let Some(told) = told(seen, *deed, which) else { return Offer::Foreign };
                let Some((at, pattern)) = payload else { return Offer::Met };
                match matches_value(pattern, told.get(*member), captures) {
                    Ok(()) => Offer::Met,
                    Err(mismatch) => Offer::Broken(mismatch.below(at)),
                }
            }
            What::Reply { topic, payload, at } => {
                if &*seen.publish.topic != topic.as_str() {
                    return Offer::Foreign;
                }
                match matches(payload, seen, captures) {
                    Ok(()) => Offer::Met,
                    // Another API module may have sent it.
                    Err(_) if matches!(seen.kind, Kind::Answer(_)) => Offer::Foreign,
                    Err(mismatch) => Offer::Broken(mismatch.below(at)),
                }
            }
            What::Request { kind, payload, at } => {
                if seen.kind != *kind {
                    return Offer::Foreign;
                }
                match matches(payload, seen, captures) {
                    Ok(()) => Offer::Met,
                    Err(mismatch) => {
                        let mut mismatch = mismatch;
                        // The step's arguments stand where the message has its payload.
                        mismatch.pointer = at.below(mismatch.pointer.strip_prefix("/payload").unwrap_or_default());
                        Offer::Broken(mismatch)
                    }
                }
            }
        }
    }

    /// Where it looks for its message: what is not there means nothing to it.
    pub fn lane(&self) -> Lane<'_> {
        match &self.what {
            What::Message { kind: Some(kind), .. } => Lane::Kind(kind.name()),
            What::Message { kind: None, .. } => Lane::All,
            What::Status { value, .. } => Lane::Token(value),
            What::Did { deed, .. } => Lane::Kind(Kind::Did(*deed).name()),
            What::Reply { topic, .. } => Lane::Topic(topic),
            What::Request { kind, .. } => Lane::Kind(kind.name()),
        }
    }

    /// Whether a client that was told its topics meets the expectation on one of another version.
    pub fn is_met_under_another_version(&self, seen: &Sighting) -> bool {
        let What::Message { kind: Some(kind), api, payload, .. } = &self.what else { return false };
        let channel = channel_of(*kind, *api).filter(|_| seen.from == self.by);
        channel.is_some_and(|channel| seen.names_what_there_is_not(*api, channel))
            && payload.as_ref().is_none_or(|payload| matches(payload, seen, &mut Captures::new()).is_ok())
    }

    /// Whether a message would meet the expectation if it had another topic: the most telling near miss.
    pub fn is_met_on_another_topic(&self, seen: &Sighting) -> bool {
        let scratch = &mut Captures::new();
        match &self.what {
            What::Message { kind: Some(kind), api, payload, .. } => {
                let channel = channel_of(*kind, *api).filter(|_| seen.from == self.by);
                channel.is_some_and(|channel| seen.names_another_module(*api, channel))
                    && payload.as_ref().is_none_or(|payload| matches(payload, seen, scratch).is_ok())
            }
            What::Message { .. } | What::Did { .. } => false,
            What::Status { channel, value, remaining, .. } => {
                seen.from == self.by
                    && seen.kind == Kind::Other
                    && seen.json.as_ref().and_then(|json| channel.subject(json)) == Some(value)
                    && remaining.front().is_some_and(|status| {
                        seen.json.as_ref().and_then(|json| json.get("status")) == Some(&json!(status))
                    })
            }
            What::Reply { payload, .. } => {
                seen.from == self.by && seen.kind == Kind::Other && matches(payload, seen, scratch).is_ok()
            }
            What::Request { payload, .. } => {
                seen.from == self.by && seen.kind == Kind::Other && matches(payload, seen, scratch).is_ok()
            }
        }
    }

    /// The expectation in words, after "module sent no".
    pub fn in_words(&self) -> String {
        match &self.what {
            What::Message { kind: Some(kind), payload: None, .. } => kind.name().to_owned(),
            What::Message { kind: Some(kind), .. } => format!("matching {}", kind.name()),
            What::Message { filter, .. } => format!("message on `{}`", filter.as_deref().unwrap_or("#")),
            What::Status { name, remaining, .. } => match remaining.front() {
                Some(status) => format!("status `{status:?}` for token `{name}`"),
                None => format!("status for token `{name}`"),
            },
            What::Did { deed: Deed::EvseCall, which, .. } => match which.as_slice() {
                [(_, evse), (_, call)] => format!("call `{}` to EVSE {evse}", plain(call)),
                _ => "call to an EVSE".to_owned(),
            },
            What::Did { deed, .. } => format!("answer to `{}`", deed.name()),
            What::Reply { .. } => "reply".to_owned(),
            What::Request { kind, .. } if kind.is_request() => format!("{} request", kind.name()),
            What::Request { kind, .. } => kind.name().to_owned(),
        }
    }
}

impl Mismatch {
    fn below(self, base: &Pointer) -> Self {
        Self { pointer: base.below(&self.pointer), ..self }
    }
}

impl What {
    /// Whether it is a message or a request of this kind.
    pub(super) fn is_of_kind(&self, kind: &Kind) -> bool {
        match self {
            What::Message { kind: Some(wanted), api, .. } => {
                channel_of(*wanted, *api).is_some_and(|channel| *kind == Kind::Channel(channel))
            }
            What::Request { kind: wanted, .. } => wanted == kind,
            _ => false,
        }
    }
}

/// Who has to send a message of this kind of this API, for a module under test on `side` with the API `under_test`.
pub fn sender(kind: MessageKind, api: ApiType, side: Side, under_test: ApiType) -> Party {
    let is_clients = match channel_of(kind, api) {
        Some(channel) => !channel.is_from_everest(),
        None if matches!(kind, MessageKind::ReadyBeacon | MessageKind::ReservationUpdate) => false,
        None => (side == Side::Client) == api.has_replies_of(side),
    };
    match side {
        Side::Everest if !is_clients => Party::Module,
        Side::Client if is_clients && api == under_test => Party::Module,
        _ => Party::Harness,
    }
}

/// Whether a message is of a kind, and of this API where that matters.
pub fn is_of_kind(seen: &Sighting, kind: MessageKind, api: ApiType) -> bool {
    match channel_of(kind, api) {
        Some(channel) => seen.kind == Kind::Channel(channel) && seen.api == api,
        None if kind == MessageKind::ReservationUpdate => seen.kind == Kind::Did(Deed::ReservationUpdate),
        None if kind == MessageKind::ReadyBeacon => seen.kind == Kind::Beacon,
        None => matches!(seen.kind, Kind::Reply(_) | Kind::Answer(_)),
    }
}

/// What a message tells of what EVerest did inside, if it is of this kind and has these members.
pub fn told<'s>(seen: &'s Sighting, deed: Deed, which: &[(&str, Value)]) -> Option<&'s Value> {
    let told = seen.json.as_ref().filter(|_| seen.kind == Kind::Did(deed))?;
    which.iter().all(|(member, value)| told[*member] == *value).then_some(told)
}

/// Holds the payload of a message against a pattern.
pub fn matches(pattern: &Pattern, seen: &Sighting, captures: &mut Captures) -> Result<(), Mismatch> {
    matches_value(pattern, seen.json.as_ref(), captures).map_err(|mut mismatch| {
        if seen.json.is_none() {
            // No JSON: what came is shown as it is.
            "a JSON value".clone_into(&mut mismatch.expected);
            mismatch.actual = Some(Value::String(String::from_utf8_lossy(&seen.publish.payload).into_owned()));
        }
        mismatch
    })
}

fn matches_value(pattern: &Pattern, value: Option<&Value>, captures: &mut Captures) -> Result<(), Mismatch> {
    let Some(value) = value else {
        return Err(Mismatch {
            pointer: Pointer::default(),
            expected: pattern.in_words(),
            actual: None,
            member: None,
            is_whole: false,
        });
    };
    pattern.matches(value, captures).map_err(|mismatch| Mismatch {
        member: member(&mismatch.pointer),
        pointer: mismatch.pointer.as_str().into(),
        // A text stands there in JSON's quotes, which say no more than the backticks.
        expected: mismatch.expected.replace("`\"", "`").replace("\"`", "`"),
        actual: mismatch.actual,
        is_whole: false,
    })
}

/// The key that a JSON pointer leads to, as it is written in the message.
fn member(pointer: &str) -> Option<String> {
    let (_, token) = pointer.rsplit_once('/')?;
    Some(token.replace("~1", "/").replace("~0", "~"))
}

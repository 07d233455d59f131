//! What a comparison leaves out, by reason: nothing in a recording is passed over in silence.
//!
//! Only counts; what is compared is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::roles::Roles;
use crate::protocol::channel::EntryPoint;
use crate::recording::{Message, Recording};

/// So many topics are named.
const NAMED: usize = 5;

/// Why something is not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// An error of a module that the API modules do not raise.
    OtherError,
    /// A message between EVerest's modules.
    InternalBus,
    /// Something at an EVSE that no binding knows by its name.
    UnknownName,
    /// A message of a client where EVerest does not listen.
    NotHeard,
    /// A message on a topic that is not EVerest's.
    Foreign,
    /// EVerest did it while it ended.
    Ending,
    /// EVerest ended and was started again, for no reason that the recording has.
    EndedByHand,
    /// The station raised or cleared a fault, and nobody heard the internal bus.
    BusNotRecorded,
    /// The station did it so near to where the recording or EVerest begins or ends that it may not have been recorded.
    AtTheEdge,
}

impl Why {
    /// In words, after a count.
    pub fn words(self) -> &'static str {
        match self {
            Why::OtherError => "recorded: errors on EVerest's internal bus of another type than CommunicationFault",
            Why::InternalBus => "recorded: messages between EVerest's modules",
            Why::UnknownName => "recorded: at EVSEs, of names that the bindings do not have",
            Why::NotHeard => "recorded: on topics of the API where EVerest neither speaks nor listens",
            Why::Foreign => "recorded: on topics that are not EVerest's, and that no binding names",
            Why::Ending => "recorded: within the tolerance after what ended EVerest",
            Why::EndedByHand => "recorded: ends of EVerest before another start, for no reason that is recorded",
            Why::BusNotRecorded => "simulated: faults, where the recorder did not hear EVerest's internal bus",
            Why::AtTheEdge => "simulated: where EVerest or the recording begins or ends",
        }
    }
}

/// What was left out for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The reason.
    pub why: Why,
    /// How many messages or outcomes.
    pub count: usize,
    /// Some of their topics.
    pub topics: BTreeSet<String>,
}

/// Counts by reason.
#[derive(Debug, Clone, Default)]
pub(super) struct Counter(BTreeMap<Why, (usize, BTreeSet<String>)>);

impl Counter {
    pub(super) fn add(&mut self, why: Why, topic: &str) {
        let (count, topics) = self.0.entry(why).or_default();
        *count += 1;
        if topics.len() < NAMED {
            topics.insert(topic.to_owned());
        }
    }

    /// The messages of a recording that are neither done to EVerest nor done by it.
    pub(super) fn add_recorded(&mut self, recording: &Recording, roles: &Roles<'_>) {
        for message in &recording.messages {
            if roles.stimulus(message).is_none() && roles.outcome_of(message, 0).is_none() {
                self.add(why_not(message, roles), &message.topic);
            }
        }
    }

    pub(super) fn into_list(self) -> Vec<LeftOut> {
        self.0.into_iter().map(|(why, (count, topics))| LeftOut { why, count, topics }).collect()
    }
}

fn why_not(message: &Message, roles: &Roles<'_>) -> Why {
    let topic = message.topic.as_str();
    let is_of_api = roles.api_of(topic).is_some() || EntryPoint::from_topic(roles.external_prefix(), topic).is_some();
    if roles.meaning(message).is_some() {
        Why::UnknownName
    } else if topic.starts_with("everest/") && topic.contains("/error") {
        Why::OtherError
    } else if topic.starts_with("everest/") {
        Why::InternalBus
    } else if is_of_api {
        Why::NotHeard
    } else {
        Why::Foreign
    }
}

/// The sum of what several comparisons left out.
pub fn sum<'a>(all: impl IntoIterator<Item = &'a LeftOut>) -> Vec<LeftOut> {
    let mut counter = Counter::default();
    for LeftOut { why, count, topics } in all {
        let entry = counter.0.entry(*why).or_default();
        entry.0 += count;
        entry.1.extend(topics.iter().take(NAMED.saturating_sub(entry.1.len())).cloned());
    }
    counter.into_list()
}

//! Which messages have met a step, and where those are that have met none yet.
//!
//! Messages are filed once, by what an expectation may ask for; so finding the next one costs the same however many there
//! are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::conformance::sighting::Sighting;
use crate::scenario::Pointer;

/// A step's claim to a message, which no other expectation can be met by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Where the step stands in the scenario.
    pub pointer: Pointer,
    /// Whether the step has the module send the message, such as `withdraw`; an expectation may look at it again.
    pub is_demand: bool,
}

/// Where an expectation looks for its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane<'a> {
    /// Among all messages.
    All,
    /// Among those of a kind, by its name.
    Kind(&'static str),
    /// Among those on a topic.
    Topic(&'a str),
    /// Among the statuses of a token, by its value.
    Token(&'a str),
}

/// Indexes of messages.
type Indexes = BTreeSet<usize>;

/// The claims of a scenario's steps.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// How many messages were filed.
    filed: usize,
    /// By the number of the message.
    made: BTreeMap<u64, Claim>,
    /// What nobody has claimed.
    all: Indexes,
    kinds: BTreeMap<&'static str, Indexes>,
    topics: BTreeMap<Arc<str>, Indexes>,
    tokens: BTreeMap<String, Indexes>,
}

impl Claims {
    /// Files the messages that are new.
    pub fn file(&mut self, messages: &[Sighting]) {
        for (index, seen) in messages.iter().enumerate().skip(self.filed) {
            self.all.insert(index);
            self.kinds.entry(seen.kind.name()).or_default().insert(index);
            self.topics.entry(seen.publish.topic.clone()).or_default().insert(index);
            if let Some(token) = seen.told_of() {
                self.tokens.entry(token.to_owned()).or_default().insert(index);
            }
        }
        self.filed = messages.len();
    }

    /// The first message on a lane, from `from` on, that nobody has claimed.
    pub fn next_free(&self, lane: Lane<'_>, from: usize) -> Option<usize> {
        let indexes = match lane {
            Lane::All => Some(&self.all),
            Lane::Kind(name) => self.kinds.get(name),
            Lane::Topic(topic) => self.topics.get(topic),
            Lane::Token(token) => self.tokens.get(token),
        };
        indexes?.range(from..).next().copied()
    }

    /// Claims a message that was filed.
    pub fn claim(&mut self, index: usize, seen: &Sighting, claim: Claim) {
        self.made.insert(seen.seq, claim);
        self.all.remove(&index);
        let lanes = [
            self.kinds.get_mut(seen.kind.name()),
            self.topics.get_mut(&seen.publish.topic),
            seen.told_of().and_then(|token| self.tokens.get_mut(token)),
        ];
        for lane in lanes.into_iter().flatten() {
            lane.remove(&index);
        }
    }

    /// The numbers of the messages that have met a step, which stands at `at` or below, in their order.
    pub fn by(&self, at: &str) -> impl Iterator<Item = u64> {
        let is_below = move |claim: &Claim| {
            claim.pointer.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.made.iter().filter(move |(_, claim)| is_below(claim)).map(|(seq, _)| *seq)
    }

    /// The claim to the message of this number.
    pub fn of(&self, seq: u64) -> Option<&Claim> {
        self.made.get(&seq)
    }
}

//! What injected faults did to messages, of everybody's.
//!
//! Pure: records come in. It judges nothing.

use std::collections::BTreeMap;

use crate::transcript::injected::{Effect, Injected};
use crate::transcript::record::{Event, Record};

/// What befell messages, and by which rule, by the place of their publication.
#[derive(Debug, Clone, Default)]
pub struct Losses(BTreeMap<u64, (usize, Effect)>);

impl Losses {
    /// Takes note of a record.
    pub fn note(&mut self, record: &Record) {
        if let Event::Injected(Injected::Message { seq, rule, effect, .. }) = &record.event {
            self.0.insert(*seq, (*rule, *effect));
        }
    }

    /// What befell a message, and by which rule.
    pub fn of(&self, seq: u64) -> Option<(usize, Effect)> {
        self.0.get(&seq).copied()
    }

    /// Whether a message never arrives as it was sent.
    pub fn is_lost(&self, seq: u64) -> bool {
        self.of(seq).is_some_and(|(_, effect)| effect.is_loss())
    }

    /// Whether nothing was befallen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

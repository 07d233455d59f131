//! Replies that a harness has chosen in EVerest's place: which requests get them, and when.
//!
//! Knows no topics: where a reply goes stands in the request.

use std::time::Duration;

use serde_json::Value;

use crate::protocol::channel::Channel;
use crate::protocol::control::SetReply;

/// What was chosen, and what of it is still to be sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Replies {
    chosen: Vec<(Channel, Chosen)>,
    /// In the order of the requests.
    waiting: Vec<Waiting>,
}

/// A reply that is sent later.
#[derive(Debug, Clone)]
struct Waiting {
    /// The channel of the request.
    to: Channel,
    due: Duration,
    reply_to: String,
    payload: Value,
}

/// What requests on a channel get.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chosen {
    /// The reply; none at all if absent.
    pub payload: Option<Value>,
    /// How long after the request.
    pub after: Duration,
}

impl Replies {
    /// Chooses what requests on a channel get from now on. If nothing is chosen, EVerest's own replies again, and what
    /// waits to be sent there is due `now`.
    pub fn choose(&mut self, channel: Channel, set: SetReply, now: Duration) {
        self.chosen.retain(|(of, _)| *of != channel);
        if set.never || set.payload.is_some() {
            let chosen = Chosen { payload: set.payload, after: Duration::from_millis(set.after_ms) };
            self.chosen.push((channel, chosen));
        } else {
            self.waiting.iter_mut().filter(|waiting| waiting.to == channel).for_each(|waiting| waiting.due = now);
        }
    }

    /// What requests on a channel get in place of EVerest's own reply.
    pub fn of(&self, channel: Channel) -> Option<&Chosen> {
        self.chosen.iter().find(|(of, _)| *of == channel).map(|(_, chosen)| chosen)
    }

    /// A reply is sent later.
    pub fn put_off(&mut self, to: Channel, due: Duration, reply_to: String, payload: Value) {
        self.waiting.push(Waiting { to, due, reply_to, payload });
    }

    /// When the next one is sent.
    pub fn at(&self) -> Option<Duration> {
        self.waiting.iter().map(|waiting| waiting.due).min()
    }

    /// The next one, if it is due.
    pub fn due(&mut self, now: Duration) -> Option<(String, Value)> {
        let first = self.at().filter(|at| *at <= now)?;
        let position = self.waiting.iter().position(|waiting| waiting.due == first)?;
        let Waiting { reply_to, payload, .. } = self.waiting.remove(position);
        Some((reply_to, payload))
    }

    /// What a harness has chosen stays so when EVerest starts again; what waits to be sent is lost.
    pub fn after_restart(&self) -> Self {
        Self { chosen: self.chosen.clone(), waiting: Vec::new() }
    }
}

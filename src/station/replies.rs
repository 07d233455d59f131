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
    /// Where a reply goes and what it says, by when it is due; in the order of the requests.
    waiting: Vec<(Duration, String, Value)>,
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
    /// Chooses what requests on a channel get from now on; EVerest's own replies again if nothing is chosen.
    pub fn choose(&mut self, channel: Channel, set: SetReply) {
        self.chosen.retain(|(of, _)| *of != channel);
        if set.never || set.payload.is_some() {
            let chosen = Chosen { payload: set.payload, after: Duration::from_millis(set.after_ms) };
            self.chosen.push((channel, chosen));
        }
    }

    /// What requests on a channel get in place of EVerest's own reply.
    pub fn of(&self, channel: Channel) -> Option<&Chosen> {
        self.chosen.iter().find(|(of, _)| *of == channel).map(|(_, chosen)| chosen)
    }

    /// A reply is sent later.
    pub fn put_off(&mut self, until: Duration, reply_to: String, payload: Value) {
        self.waiting.push((until, reply_to, payload));
    }

    /// When the next one is sent.
    pub fn at(&self) -> Option<Duration> {
        self.waiting.iter().map(|(at, ..)| *at).min()
    }

    /// The next one, if it is due.
    pub fn due(&mut self, now: Duration) -> Option<(String, Value)> {
        let first = self.at().filter(|at| *at <= now)?;
        let position = self.waiting.iter().position(|(at, ..)| *at == first)?;
        let (_, reply_to, payload) = self.waiting.remove(position);
        Some((reply_to, payload))
    }

    /// What a harness has chosen stays so when EVerest starts again; what waits to be sent is lost.
    pub fn after_restart(&self) -> Self {
        Self { chosen: self.chosen.clone(), waiting: Vec::new() }
    }
}

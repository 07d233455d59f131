//! Requests to the API module `auth_consumer_API`: one thread takes all its messages strictly one after the other, so
//! that a withdraw request that has to wait keeps everything behind it waiting (`message_handler.cpp` of the framework).
//!
//! Holds the queue and the latch; what a message does is decided in [`super::machine`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Payload;
use crate::auth::WithdrawId;
use crate::protocol::channel::Channel;
use crate::protocol::types::TokenValidationStatusMessage;

/// How long the framework waits for the result of a command; afterwards nobody replies.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Debug, Clone)]
pub(super) struct Api {
    queue: VecDeque<(Channel, Bytes)>,
    busy: Option<Busy>,
    next_withdraw: u64,
    /// Whether the last status is kept.
    latching: bool,
    latched: Option<Arc<TokenValidationStatusMessage>>,
}

/// The withdraw request that Auth is at.
#[derive(Debug, Clone)]
struct Busy {
    id: WithdrawId,
    reply_to: Option<String>,
    until: Duration,
}

impl Api {
    pub(super) fn new(latching: bool) -> Self {
        Self { queue: VecDeque::new(), busy: None, next_withdraw: 0, latching, latched: None }
    }

    pub(super) fn push(&mut self, channel: Channel, payload: Bytes) {
        self.queue.push_back((channel, payload));
    }

    /// The next message, unless the last one still keeps the thread.
    pub(super) fn next_message(&mut self) -> Option<(Channel, Bytes)> {
        if self.busy.is_some() { None } else { self.queue.pop_front() }
    }

    /// Keeps the thread until Auth has a result.
    pub(super) fn begin_withdraw(&mut self, now: Duration, reply_to: Option<String>) -> WithdrawId {
        let id = WithdrawId(self.next_withdraw);
        self.next_withdraw += 1;
        self.busy = Some(Busy { id, reply_to, until: now.saturating_add(COMMAND_TIMEOUT) });
        id
    }

    /// Where the result of a request goes; `None` if it was given up.
    pub(super) fn end_withdraw(&mut self, id: WithdrawId) -> Option<Option<String>> {
        let busy = self.busy.take_if(|busy| busy.id == id)?;
        Some(busy.reply_to)
    }

    /// When the request at work is given up.
    pub(super) fn at(&self) -> Option<Duration> {
        self.busy.as_ref().map(|busy| busy.until)
    }

    pub(super) fn give_up(&mut self) {
        self.busy = None;
    }

    /// Messages that wait, the one at work not counted.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_latching(&self) -> bool {
        self.latching
    }

    pub(super) fn latch(&mut self, message: &Arc<TokenValidationStatusMessage>) {
        if self.latching {
            self.latched = Some(Arc::clone(message));
        }
    }

    pub(super) fn latched(&self) -> Option<&TokenValidationStatusMessage> {
        self.latched.as_deref()
    }

    pub(super) fn latch_reply(&self) -> Payload {
        self.latched.clone().map_or_else(empty_latch, Payload::Status)
    }
}

/// The reply to a get before the first status.
///
/// The specification has `null` (LV-1); in running EVerest the text meant for it takes the overload of `publish` for
/// booleans, and `true` is sent.
fn empty_latch() -> Payload {
    Payload::EmptyLatch(Some(true))
}

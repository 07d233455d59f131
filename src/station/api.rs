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
use crate::protocol::deviations::{Deviation, Deviations};
use crate::protocol::types::TokenValidationStatusMessage;

/// How long the framework waits for the result of a command; afterwards nobody replies.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Debug, Clone)]
pub(super) struct Api {
    queue: VecDeque<(Request, Bytes)>,
    /// Withdraw requests that Auth is at, in the order in which they came; one at most while they keep the thread.
    busy: Vec<Busy>,
    /// See [`Deviation::WithdrawBlocksMessages`].
    blocks: bool,
    /// Whether a withdraw request keeps the thread until the driver says that it is done, and whether one does so.
    is_driven: bool,
    lingers: bool,
    /// See [`Deviation::ChecksBesideWithdraws`].
    checks_pass: bool,
    /// See [`Deviation::EmptyLatchTrue`].
    empty: Option<bool>,
    next_withdraw: u64,
    /// Whether the last status is kept.
    latching: bool,
    latched: Option<Arc<TokenValidationStatusMessage>>,
}

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// What its channel is for.
    On(Channel),
    /// That the module says what it is.
    Discover,
}

/// A withdraw request that Auth is at.
#[derive(Debug, Clone)]
struct Busy {
    id: WithdrawId,
    reply_to: Option<String>,
    until: Duration,
}

impl Api {
    pub(super) fn new(latching: bool, deviations: Deviations) -> Self {
        Self {
            queue: VecDeque::new(),
            busy: Vec::new(),
            blocks: deviations.is_on(Deviation::WithdrawBlocksMessages),
            is_driven: false,
            lingers: false,
            checks_pass: deviations.is_on(Deviation::ChecksBesideWithdraws),
            empty: deviations.is_on(Deviation::EmptyLatchTrue).then_some(true),
            next_withdraw: 0,
            latching,
            latched: None,
        }
    }

    pub(super) fn push(&mut self, request: Request, payload: Bytes) {
        self.queue.push_back((request, payload));
    }

    /// The next message, unless the last one still keeps the thread.
    pub(super) fn next_message(&mut self) -> Option<(Request, Bytes)> {
        if !self.blocks || self.busy.is_empty() && !self.lingers {
            return self.queue.pop_front();
        }
        let is_check = |(request, _): &(Request, Bytes)| *request == Request::On(Channel::COMMUNICATION_CHECK);
        let check = self.queue.iter().position(is_check).filter(|_| self.checks_pass)?;
        self.queue.remove(check)
    }

    /// Keeps the thread until Auth has a result.
    pub(super) fn begin_withdraw(&mut self, now: Duration, reply_to: Option<String>) -> WithdrawId {
        let id = WithdrawId(self.next_withdraw);
        self.next_withdraw += 1;
        self.busy.push(Busy { id, reply_to, until: now.saturating_add(COMMAND_TIMEOUT) });
        id
    }

    /// Where the result of a request goes; `None` if it was given up.
    pub(super) fn end_withdraw(&mut self, id: WithdrawId) -> Option<Option<String>> {
        let position = self.busy.iter().position(|busy| busy.id == id)?;
        self.lingers = self.is_driven && self.blocks;
        Some(self.busy.remove(position).reply_to)
    }

    pub(super) fn be_driven(&mut self) {
        self.is_driven = true;
    }

    pub(super) fn lingers(&self) -> bool {
        self.lingers
    }

    pub(super) fn end_request(&mut self) {
        self.lingers = false;
    }

    /// When the oldest request at work is given up.
    pub(super) fn at(&self) -> Option<Duration> {
        self.busy.first().map(|busy| busy.until)
    }

    pub(super) fn give_up(&mut self) {
        if !self.busy.is_empty() {
            self.busy.remove(0);
        }
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
        self.latched.clone().map_or(Payload::EmptyLatch(self.empty), Payload::Status)
    }
}

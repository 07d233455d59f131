//! Questions to a token validator behind `auth_token_validator_API`, and who waits for their answers
//! (`AsyncApiRequestReply.hpp`). Knows no topics: a question has a number.

use std::collections::VecDeque;
use std::time::Duration;

use super::RequestId;
use super::config::ValidatorConfig;
use crate::auth::AttemptId;
use crate::protocol::deviations::{Deviation, Deviations};
use crate::protocol::types::ProvidedIdToken;

/// How long the framework waits for the result of a command, here of Auth's to the module.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);

/// Instead of a time-out of 0 or less.
const ENDLESS: u64 = 999_999;

#[derive(Debug, Clone)]
pub(super) struct Inquiry {
    within: Duration,
    /// Tokens that nobody was asked about yet.
    waiting: VecDeque<(AttemptId, ProvidedIdToken)>,
    open: Vec<Open>,
    /// What Auth waits for, and until when; see [`Deviation::ValidatorCallTime`].
    calls: Vec<(AttemptId, Duration)>,
    next: u64,
    one_at_a_time: bool,
    calls_end: bool,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    id: RequestId,
    attempt: AttemptId,
    until: Duration,
}

impl Inquiry {
    pub(super) fn new(config: &ValidatorConfig, deviations: Deviations) -> Self {
        let check_s = config.cfg_communication_check_to_s;
        let seconds = if deviations.is_on(Deviation::ValidatorReplyTime) || check_s < 1 {
            config.cfg_request_reply_to_s
        } else {
            check_s
        };
        let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).unwrap_or(ENDLESS);
        Self {
            within: Duration::from_secs(seconds),
            waiting: VecDeque::new(),
            open: Vec::new(),
            calls: Vec::new(),
            next: 0,
            one_at_a_time: deviations.is_on(Deviation::SerialValidation),
            calls_end: deviations.is_on(Deviation::ValidatorCallTime),
        }
    }

    pub(super) fn ask(&mut self, now: Duration, attempt: AttemptId, token: ProvidedIdToken) {
        if self.calls_end {
            self.calls.push((attempt, now.saturating_add(COMMAND_TIMEOUT)));
        }
        self.waiting.push_back((attempt, token));
    }

    /// The next question to be sent.
    pub(super) fn next_question(&mut self, now: Duration) -> Option<(RequestId, ProvidedIdToken)> {
        if self.one_at_a_time && !self.open.is_empty() {
            return None;
        }
        let (attempt, token) = self.waiting.pop_front()?;
        let id = RequestId(self.next);
        self.next += 1;
        self.open.push(Open { id, attempt, until: now.saturating_add(self.within) });
        Some((id, token))
    }

    pub(super) fn is_open(&self, id: RequestId) -> bool {
        self.open.iter().any(|open| open.id == id)
    }

    /// Ends a question; gives who waits for its answer.
    pub(super) fn close(&mut self, id: RequestId) -> Option<AttemptId> {
        let position = self.open.iter().position(|open| open.id == id)?;
        let attempt = self.open.remove(position).attempt;
        self.calls.retain(|(waits, _)| *waits != attempt);
        Some(attempt)
    }

    /// When the wait for the first of them ends, or Auth's.
    pub(super) fn at(&self) -> Option<Duration> {
        let call = self.calls.first().map(|(_, until)| *until);
        self.open.iter().map(|open| open.until).chain(call).min()
    }

    /// What Auth waits for no longer; its question stays open, or is still asked.
    pub(super) fn ended_call(&mut self, now: Duration) -> Option<AttemptId> {
        let (attempt, until) = *self.calls.first()?;
        (until <= now).then(|| {
            self.calls.remove(0);
            attempt
        })
    }

    /// The question whose wait ends first, if it has ended.
    pub(super) fn first_due(&self, now: Duration) -> Option<RequestId> {
        self.open.iter().filter(|open| open.until <= now).min_by_key(|open| open.until).map(|open| open.id)
    }
}

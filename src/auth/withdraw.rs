//! Withdraw requests (AuthHandler `handle_withdraw_authorization`): one after the other, each waiting for the tokens in
//! process that it matches.

use std::time::Duration;

use super::manager::{AuthManager, status};
use super::races::{OVERTAKEN_FOR, OVERTAKERS};
use super::{Effect, EvseCall, StopTransactionReason, WithdrawId};
use crate::protocol::deviations::Deviation;
use crate::protocol::types::{
    IdToken, ProvidedIdToken, TokenValidationStatus, WithdrawAuthorizationRequest, WithdrawAuthorizationResult,
};

/// A request that was not answered yet.
#[derive(Debug, Clone)]
pub(super) struct PendingWithdraw {
    id: WithdrawId,
    request: WithdrawAuthorizationRequest,
    begun: Option<Begun>,
    /// It has waited for a token, and what comes first may overtake it: how many inputs had come, and until when.
    overtaken: Option<Overtaken>,
}

/// What a request lets pass before it goes on.
#[derive(Debug, Clone, Copy)]
struct Overtaken {
    inputs: u64,
    until: Duration,
}

/// How things stood when it was a request's turn.
#[derive(Debug, Clone, Copy)]
struct Begun {
    /// Whether a token in process matched.
    matched: bool,
    /// How many tokens in process had been withdrawn.
    withdrawn: u64,
    /// How many tokens had been dealt with when it last looked whether one in process matches.
    dealt_with: u64,
}

impl PendingWithdraw {
    pub(super) fn new(id: WithdrawId, request: WithdrawAuthorizationRequest) -> Self {
        Self { id, request, begun: None, overtaken: None }
    }
}

impl AuthManager {
    /// Answers requests until one has to wait or none is left; see [`Deviation::WithdrawBlocksMessages`].
    pub(super) fn work_on_withdraws(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let mut position = 0;
        while let Some(pending) = self.withdraws.get(position) {
            let PendingWithdraw { id, begun, overtaken, .. } = *pending;
            if pending.request.evse_id.is_some_and(|evse| self.evse(evse).is_none()) {
                self.withdraws.remove(position);
                out.push(Effect::WithdrawResult { id, result: WithdrawAuthorizationResult::EvseNotFound });
                continue;
            }
            let begun = match begun {
                Some(begun) => begun,
                None => self.begin_withdraw(now, position, out),
            };
            let keeps = |auth: &mut Self| overtaken.is_none() && auth.still_matches(position);
            if begun.matched && (keeps(self) || self.is_overtaken(now, position)) {
                if self.deviations.is_on(Deviation::WithdrawBlocksMessages) {
                    return;
                }
                position += 1;
                continue;
            }
            let Some(pending) = self.withdraws.remove(position) else { return };
            let found = if self.deviations.is_on(Deviation::WithdrawAcceptsRejected) {
                begun.matched
            } else {
                self.withdrawn_in_process > begun.withdrawn
            };
            let result = self.withdraw_granted(&pending.request, found, out);
            out.push(Effect::WithdrawResult { id, result });
        }
    }

    /// It is a request's turn: it is in force from now on, and tokens without an EVSE look at it.
    fn begin_withdraw(&mut self, now: Duration, position: usize, out: &mut Vec<Effect>) -> Begun {
        let request = self.withdraws.get(position).map(|pending| &pending.request);
        let matched = request.is_some_and(|request| self.matches_in_process(request));
        let begun = Begun { matched, withdrawn: self.withdrawn_in_process, dealt_with: self.dealt_with() };
        if let Some(pending) = self.withdraws.get_mut(position) {
            pending.begun = Some(begun);
            if self.deviations.is_on(Deviation::StickyWithdraw) {
                self.standing_withdraw = Some(pending.request.clone());
            }
        }
        if matched {
            self.wake_waiting(now, out);
        }
        begun
    }

    /// Whether something else comes first, now that no token keeps a request waiting: both want Auth's lock.
    fn is_overtaken(&mut self, now: Duration, position: usize) -> bool {
        let Some(PendingWithdraw { request, overtaken, .. }) = self.withdraws.get(position) else { return false };
        let passes = match *overtaken {
            Some(passes) => passes,
            None => {
                let passed = self.races.choose(now, OVERTAKERS + 1);
                if passed == 0 {
                    return false;
                }
                Overtaken { inputs: self.inputs + passed as u64, until: now.saturating_add(OVERTAKEN_FOR) }
            }
        };
        let goes_on = passes.inputs > self.inputs && now < passes.until;
        // Then it looks again.
        let waits = goes_on || self.matches_in_process(request);
        if let Some(pending) = self.withdraws.get_mut(position) {
            pending.overtaken = goes_on.then_some(passes);
        }
        waits
    }

    /// When the last of the requests that are overtaken goes on at the latest.
    pub(super) fn overtaken_until(&self) -> Option<Duration> {
        self.withdraws.iter().filter_map(|pending| Some(pending.overtaken?.until)).min()
    }

    /// Whether a request that waits goes on waiting. It looks only when some token was dealt with: an EVSE that goes out
    /// of service meanwhile is not noticed before.
    fn still_matches(&mut self, position: usize) -> bool {
        let dealt_with = self.dealt_with();
        let Some(PendingWithdraw { request, begun: Some(begun), .. }) = self.withdraws.get(position) else {
            return false;
        };
        let matches = begun.dealt_with == dealt_with || self.matches_in_process(request);
        if let Some(PendingWithdraw { begun: Some(begun), .. }) = self.withdraws.get_mut(position) {
            begun.dealt_with = dealt_with;
        }
        matches
    }

    /// Whether a token in process keeps a request waiting: it needs only be able to use the EVSE that is named.
    fn matches_in_process(&self, request: &WithdrawAuthorizationRequest) -> bool {
        self.in_process.iter().any(|attempt| {
            token_matches(request, &attempt.token.id_token)
                && request
                    .evse_id
                    .is_none_or(|id| self.references(&attempt.token, id) && self.concerns(&attempt.token, id))
        })
    }

    /// Whether an accepted token without an EVSE is withdrawn: by a request at work, or by the latest one, see
    /// [`Deviation::StickyWithdraw`].
    pub(super) fn standing_withdraw_matches(&self, candidates: &[i32], token: &ProvidedIdToken) -> bool {
        let at_work = self.withdraws.iter().filter(|pending| pending.begun.is_some()).map(|pending| &pending.request);
        self.standing_withdraw.iter().chain(at_work).any(|request| {
            token_matches(request, &token.id_token)
                && request.evse_id.is_none_or(|id| candidates.contains(&id) && self.concerns(token, id))
        })
    }

    /// Whether a request for an EVSE is about a token that has none yet, see [`Deviation::WithdrawByReference`].
    fn concerns(&self, token: &ProvidedIdToken, evse: i32) -> bool {
        self.deviations.is_on(Deviation::WithdrawByReference) || token.connectors.as_deref() == Some(&[evse])
    }

    /// Takes back what was granted, in ascending order of EVSEs. The identifier stays until the EVSE reports.
    fn withdraw_granted(
        &mut self,
        request: &WithdrawAuthorizationRequest,
        mut found: bool,
        out: &mut Vec<Effect>,
    ) -> WithdrawAuthorizationResult {
        for (id, evse) in (1..).zip(&self.evses) {
            let Some(identifier) = &evse.identifier else { continue };
            if request.evse_id.is_some_and(|wanted| wanted != id) || !token_matches(request, &identifier.token) {
                continue;
            }
            found = true;
            if evse.transaction_active {
                let reason = StopTransactionReason::DeAuthorized;
                out.push(Effect::Call { evse: id, call: EvseCall::StopTransaction { reason, id_tag: None } });
            } else {
                out.push(Effect::Call { evse: id, call: EvseCall::WithdrawAuthorization });
                if self.deviations.is_on(Deviation::NoWithdrawnForGranted) {
                    continue;
                }
                out.push(status(identifier.to_provided(id), TokenValidationStatus::Withdrawn));
            }
        }
        if found { WithdrawAuthorizationResult::Accepted } else { WithdrawAuthorizationResult::AuthorizationNotFound }
    }
}

fn token_matches(request: &WithdrawAuthorizationRequest, token: &IdToken) -> bool {
    request.id_token.as_ref().is_none_or(|wanted| wanted.matches(token))
}

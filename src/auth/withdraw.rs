//! Withdraw requests (AuthHandler `handle_withdraw_authorization`): one after the other, each waiting for the tokens in
//! process that it matches.

use std::time::Duration;

use super::manager::{AuthManager, status};
use super::{Effect, EvseCall, StopTransactionReason, WithdrawId};
use crate::protocol::types::{
    IdToken, TokenValidationStatus, WithdrawAuthorizationRequest, WithdrawAuthorizationResult,
};

/// A request that was not answered yet.
#[derive(Debug, Clone)]
pub(super) struct PendingWithdraw {
    id: WithdrawId,
    request: WithdrawAuthorizationRequest,
    /// Set once it is this request's turn: whether a token in process matched then.
    matched_in_process: Option<bool>,
}

impl PendingWithdraw {
    pub(super) fn new(id: WithdrawId, request: WithdrawAuthorizationRequest) -> Self {
        Self { id, request, matched_in_process: None }
    }
}

impl AuthManager {
    /// Answers requests until one has to wait or none is left.
    pub(super) fn work_on_withdraws(&mut self, now: Duration, out: &mut Vec<Effect>) {
        while let Some(mut pending) = self.withdraws.pop_front() {
            if pending.request.evse_id.is_some_and(|id| self.evse(id).is_none()) {
                out.push(Effect::WithdrawResult { id: pending.id, result: WithdrawAuthorizationResult::EvseNotFound });
                continue;
            }
            let matched = match pending.matched_in_process {
                Some(matched) => matched,
                None => {
                    self.standing_withdraw = Some(pending.request.clone());
                    let matched = self.matches_in_process(&pending.request);
                    if matched {
                        self.wake_waiting(now, out);
                    }
                    matched
                }
            };
            if self.matches_in_process(&pending.request) {
                pending.matched_in_process = Some(matched);
                self.withdraws.push_front(pending);
                return;
            }
            let result = self.withdraw_granted(&pending.request, matched, out);
            out.push(Effect::WithdrawResult { id: pending.id, result });
        }
    }

    /// Whether a token in process keeps a request waiting: it needs only be able to use the EVSE that is named.
    fn matches_in_process(&self, request: &WithdrawAuthorizationRequest) -> bool {
        self.in_process.iter().any(|attempt| {
            token_matches(request, &attempt.token.id_token)
                && request.evse_id.is_none_or(|id| self.references(&attempt.token, id))
        })
    }

    /// Whether an accepted token without an EVSE is withdrawn by the latest request.
    ///
    /// A defect of EVerest: the request is never forgotten, so that it also ends tokens that come long after it was
    /// answered, until another request takes its place.
    pub(super) fn standing_withdraw_matches(&self, candidates: &[i32], token: &IdToken) -> bool {
        self.standing_withdraw.as_ref().is_some_and(|request| {
            token_matches(request, token) && request.evse_id.is_none_or(|id| candidates.contains(&id))
        })
    }

    /// Takes back what was granted, in ascending order of EVSEs. The identifier stays until the EVSE reports.
    fn withdraw_granted(
        &mut self,
        request: &WithdrawAuthorizationRequest,
        matched_in_process: bool,
        out: &mut Vec<Effect>,
    ) -> WithdrawAuthorizationResult {
        let mut found = matched_in_process;
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
                out.push(status(identifier.to_provided(id), TokenValidationStatus::Withdrawn));
            }
        }
        if found { WithdrawAuthorizationResult::Accepted } else { WithdrawAuthorizationResult::AuthorizationNotFound }
    }
}

fn token_matches(request: &WithdrawAuthorizationRequest, token: &IdToken) -> bool {
    request.id_token.as_ref().is_none_or(|wanted| wanted.matches(token))
}

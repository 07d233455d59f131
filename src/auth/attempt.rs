//! One presented token on its way from `Processing` to its terminal status (AuthHandler `on_token`, `handle_token`).

use std::time::Duration;

use super::manager::{AuthManager, status};
use super::selection::Selection;
use super::{AttemptId, Effect, EvseCall, StopTransactionReason};
use crate::protocol::deviations::Deviation;
use crate::protocol::types::{
    AuthorizationStatus, AuthorizationType, IdToken, ProvidedIdToken, TokenValidationStatus, ValidationResult,
};

/// A token in process.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub id: AttemptId,
    /// As provided; only its parent is filled in while it is in process.
    pub token: ProvidedIdToken,
    /// What the validators said, as they said it.
    pub results: Vec<ValidationResult>,
    pub stage: Stage,
}

/// What a token in process waits for.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// The validators; `referenced` are the EVSEs it may concern, in the order of the token.
    Validating { referenced: Vec<i32> },
    /// A plug-in at one of several candidates.
    WaitingForPlugIn(Waiting),
    /// Nothing, ever: [`Deviation::StuckToken`]. The token was accepted, its group holds a granted EVSE without
    /// transaction, and `handle_token` reports "already in process", so that it is neither given a status nor forgotten.
    Stuck,
}

/// An accepted token without an EVSE.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub candidates: Vec<i32>,
    pub results: Vec<ValidationResult>,
    /// The accepted result that was announced last.
    pub accepted: usize,
    pub until: Duration,
    /// Whether it has been decided how late it ends.
    pub is_final: bool,
}

impl Attempt {
    pub(super) fn waits_until(&self) -> Option<Duration> {
        match &self.stage {
            Stage::WaitingForPlugIn(waiting) => Some(waiting.until),
            Stage::Validating { .. } | Stage::Stuck => None,
        }
    }

    /// A status that tells what the validators said, and ends it.
    fn told(self, status: TokenValidationStatus) -> Effect {
        Effect::Status { token: self.token, status, messages: Vec::new(), results: self.results }
    }
}

impl AuthManager {
    pub(super) fn present(&mut self, now: Duration, mut token: ProvidedIdToken, out: &mut Vec<Effect>) {
        let id = self.new_attempt_id();
        let referenced = self.referenced(&token);
        if self.is_in_process(&token, &referenced) {
            out.push(Effect::Ignored { why: "the token is in process or was granted already" });
            return;
        }
        out.push(status(token.clone(), TokenValidationStatus::Processing));

        if self.may_stop_by_itself(&token)
            && let Some(evse) = self.used_at(&referenced, &token.id_token.value)
        {
            let parent = self.evse(evse).and_then(|evse| evse.identifier.as_ref()?.parent.clone());
            let terminal = if self.stops_on_reswipe() {
                out.push(stop(evse, StopTransactionReason::Local, Some(&token)));
                self.stopped()
            } else {
                TokenValidationStatus::UsedToReauthorize
            };
            token.parent_id_token = parent.or(token.parent_id_token);
            self.name_evses(&mut token, vec![evse]);
            out.push(status(token, terminal));
            return;
        }

        // Validators are asked only if their answer can make a difference. A token that refers to no EVSE is refused as one
        // that finds all of them reserved.
        let asks = self.any_available(&referenced) || self.any_parent(&referenced) || self.master_pass_group.is_some();
        if !asks || self.is_reserved_for_others(&token.id_token.value, &referenced) {
            out.push(status(token, TokenValidationStatus::Rejected));
            return;
        }

        if token.prevalidated == Some(true) {
            let parent_id_token = token.parent_id_token.clone();
            let result = ValidationResult { parent_id_token, ..ValidationResult::new(AuthorizationStatus::Accepted) };
            let attempt = Attempt { id, token, results: Vec::new(), stage: Stage::Stuck };
            self.decide(now, attempt, referenced, vec![result], out);
        } else {
            out.push(Effect::Validate { attempt: id, token: token.clone() });
            self.in_process.push(Attempt { id, token, results: Vec::new(), stage: Stage::Validating { referenced } });
        }
    }

    pub(super) fn validated(
        &mut self,
        now: Duration,
        id: AttemptId,
        results: Vec<ValidationResult>,
        out: &mut Vec<Effect>,
    ) {
        let asked = |attempt: &Attempt| attempt.id == id && matches!(attempt.stage, Stage::Validating { .. });
        let Some(position) = self.in_process.iter().position(asked) else {
            out.push(Effect::Ignored { why: "a validation result that nobody waits for" });
            return;
        };
        let mut attempt = self.in_process.remove(position);
        if let Stage::Validating { referenced } = std::mem::replace(&mut attempt.stage, Stage::Stuck) {
            self.decide(now, attempt, referenced, results, out);
        }
    }

    /// Everything that follows validation: stopping by the parent, then authorizing.
    fn decide(
        &mut self,
        now: Duration,
        mut attempt: Attempt,
        referenced: Vec<i32>,
        results: Vec<ValidationResult>,
        out: &mut Vec<Effect>,
    ) {
        attempt.results.clone_from(&results);
        let may_stop = !self.config.prioritize_authorization_over_stopping_transaction;
        if may_stop || !self.any_available(&referenced) {
            let accepted = results.iter().filter(|r| r.authorization_status == AuthorizationStatus::Accepted);
            for parent in accepted.filter_map(|result| result.parent_id_token.as_ref()) {
                if self.is_master_pass(Some(parent)) {
                    self.stop_all(attempt, parent, &referenced, out);
                    return;
                }
                let Some(evse) = self.used_at(&referenced, &parent.value) else { continue };
                if !self.evse(evse).is_some_and(|evse| evse.transaction_active) {
                    if !self.deviations.is_on(Deviation::StuckToken) {
                        out.push(attempt.told(TokenValidationStatus::Rejected));
                        return;
                    }
                    attempt.stage = Stage::Stuck;
                    self.keep_in_process(attempt);
                    return;
                }
                self.name_evses(&mut attempt.token, vec![evse]);
                if self.stops_on_reswipe() {
                    out.push(stop(evse, StopTransactionReason::Local, Some(&attempt.token)));
                    attempt.token.parent_id_token = Some(parent.clone());
                    out.push(attempt.told(self.stopped()));
                } else {
                    attempt.token.parent_id_token = Some(parent.clone());
                    out.push(status(attempt.token, TokenValidationStatus::UsedToReauthorize));
                }
                return;
            }
        }

        if !self.any_available(&referenced) {
            out.push(attempt.told(TokenValidationStatus::Rejected));
            return;
        }
        let mut candidates = referenced;
        candidates.retain(|id| self.evse(*id).is_some_and(|evse| evse.identifier.is_none()));
        self.authorize(now, attempt, candidates, results, 0, out);
    }

    /// A token of the master pass group ends every transaction it refers to, and none is an answer too.
    fn stop_all(&mut self, mut attempt: Attempt, parent: &IdToken, referenced: &[i32], out: &mut Vec<Effect>) {
        let mut stopped = Vec::new();
        for &id in referenced {
            if self.evse(id).is_some_and(|evse| evse.transaction_active) {
                out.push(stop(id, StopTransactionReason::MasterPass, Some(&attempt.token)));
                stopped.push(id);
            }
        }
        attempt.token.parent_id_token = Some(parent.clone());
        self.name_evses(&mut attempt.token, stopped);
        out.push(attempt.told(self.stopped()));
    }

    /// Goes through the results from `first` on until one of them leads to an EVSE.
    fn authorize(
        &mut self,
        now: Duration,
        mut attempt: Attempt,
        mut candidates: Vec<i32>,
        mut results: Vec<ValidationResult>,
        first: usize,
        out: &mut Vec<Effect>,
    ) {
        for position in first..results.len() {
            let result = &mut results[position];
            if result.authorization_status != AuthorizationStatus::Accepted {
                continue;
            }
            if self.is_master_pass(result.parent_id_token.as_ref()) {
                out.push(attempt.told(TokenValidationStatus::Rejected));
                return;
            }
            if let Some(parent) = &result.parent_id_token {
                attempt.token.parent_id_token = Some(parent.clone());
            }
            out.push(Effect::Status {
                token: attempt.token.clone(),
                status: TokenValidationStatus::Accepted,
                messages: result.tariff_messages.clone(),
                results: attempt.results.clone(),
            });
            match self.select(&candidates, &attempt.token) {
                Selection::Evse(id) => {
                    if self.grant(now, &mut attempt.token, id, &mut candidates, result, out) {
                        self.tell_granted(attempt, out);
                        return;
                    }
                }
                Selection::Withdrawn => {
                    self.tell_withdrawn(attempt, candidates, out);
                    return;
                }
                Selection::None => {
                    out.push(attempt.told(TokenValidationStatus::TimedOut));
                    return;
                }
                Selection::Wait => {
                    let until = now.saturating_add(self.connection_timeout);
                    let waiting = Waiting { candidates, results, accepted: position, until, is_final: false };
                    attempt.stage = Stage::WaitingForPlugIn(waiting);
                    self.keep_in_process(attempt);
                    return;
                }
            }
        }
        self.reject(now, attempt, results, out);
    }

    /// No result led to an EVSE: every EVSE that the token names learns it, so that Plug&Charge does not wait on.
    fn reject(&mut self, now: Duration, attempt: Attempt, mut results: Vec<ValidationResult>, out: &mut Vec<Effect>) {
        // Without any validator EVerest notifies nobody.
        if let Some(last) = results.pop() {
            for id in attempt.token.connectors.iter().flatten() {
                if self.evse(*id).is_none() && self.deviations.is_on(Deviation::ExitOnUnknownConnector) {
                    return out.push(Effect::Exit { why: "Auth told an EVSE that does not exist of a rejected token" });
                }
                self.notify_evse(now, *id, &attempt.token, last.clone(), out);
            }
        }
        out.push(attempt.told(TokenValidationStatus::Rejected));
    }

    /// Grants an EVSE to a token unless the validator allows none of the candidates, or the EVSE is reserved for another;
    /// the result says which, as the EVSE gets it.
    ///
    /// EVerest asks whether the allowed EVSEs and the candidates overlap, not whether the selected one is allowed.
    fn grant(
        &mut self,
        now: Duration,
        token: &mut ProvidedIdToken,
        id: i32,
        candidates: &mut [i32],
        result: &mut ValidationResult,
        out: &mut Vec<Effect>,
    ) -> bool {
        if let Some(allowed) = &mut result.evse_ids {
            // The intersection sorts both in place, which the EVSE and later selections see.
            allowed.sort_unstable();
            candidates.sort_unstable();
        }
        let parent = result.parent_id_token.as_ref().map(|parent| parent.value.as_str());
        let reservation = self.matching_reservation(&token.id_token.value, id, parent);
        if result.evse_ids.as_ref().is_some_and(|allowed| !allowed.iter().any(|id| candidates.contains(id))) {
            result.authorization_status = AuthorizationStatus::NotAtThisLocation;
        } else if let Some(reservation) = reservation {
            self.reservation_used(reservation);
            result.reservation_id = Some(reservation);
        } else if !self.is_charging_possible(id) {
            result.authorization_status = AuthorizationStatus::NotAtThisTime;
        }
        let granted = result.authorization_status == AuthorizationStatus::Accepted;
        if granted {
            self.name_evses(token, vec![id]);
        }
        self.notify_evse(now, id, token, result.clone(), out);
        granted
    }

    /// An EVSE was granted to a token; see [`Deviation::UsedToStartBeforeSession`] for when that is told, and
    /// [`Deviation::NoUsedToStart`] for whether it is.
    fn tell_granted(&self, attempt: Attempt, out: &mut Vec<Effect>) {
        let is_told = !self.deviations.is_on(Deviation::NoUsedToStart);
        if is_told && self.deviations.is_on(Deviation::UsedToStartBeforeSession) {
            out.push(attempt.told(TokenValidationStatus::UsedToStart));
        }
    }

    /// The status of a token that stopped a transaction, see [`Deviation::StopSaysAccepted`].
    fn stopped(&self) -> TokenValidationStatus {
        if self.deviations.is_on(Deviation::StopSaysAccepted) {
            TokenValidationStatus::Accepted
        } else {
            TokenValidationStatus::UsedToStop
        }
    }

    /// Statuses say which EVSEs a token was used at, but see [`Deviation::ConnectorsAsProvided`].
    fn name_evses(&self, token: &mut ProvidedIdToken, evses: Vec<i32>) {
        if !self.deviations.is_on(Deviation::ConnectorsAsProvided) {
            token.connectors = Some(evses);
        }
    }

    /// A token was withdrawn before it had an EVSE.
    fn tell_withdrawn(&mut self, mut attempt: Attempt, candidates: Vec<i32>, out: &mut Vec<Effect>) {
        self.withdrawn_in_process += 1;
        let connectors = &mut attempt.token.connectors;
        if connectors.is_none() && !self.deviations.is_on(Deviation::WithdrawnWithoutConnectors) {
            *connectors = Some(candidates);
        }
        out.push(attempt.told(TokenValidationStatus::Withdrawn));
    }

    /// Lets every waiting token look again, the oldest first; in EVerest, threads race for that.
    pub(super) fn wake_waiting(&mut self, now: Duration, out: &mut Vec<Effect>) {
        loop {
            let looks = self.in_process.iter().enumerate().map(|(position, attempt)| match &attempt.stage {
                Stage::WaitingForPlugIn(waiting) => (position, self.select(&waiting.candidates, &attempt.token)),
                Stage::Validating { .. } | Stage::Stuck => (position, Selection::Wait),
            });
            let ready: Vec<_> = looks.filter(|(_, selection)| *selection != Selection::Wait).collect();
            if ready.is_empty() {
                return;
            }
            self.contests += u64::from(ready.len() > 1);
            let (position, selection) = ready[self.races.choose(now, ready.len())];
            let mut attempt = self.in_process.remove(position);
            // It may begin to wait anew, for another validator's result.
            if let Stage::WaitingForPlugIn(waiting) = std::mem::replace(&mut attempt.stage, Stage::Stuck) {
                self.stop_waiting(now, attempt, waiting, selection, out);
            }
        }
    }

    fn stop_waiting(
        &mut self,
        now: Duration,
        mut attempt: Attempt,
        waiting: Waiting,
        selection: Selection,
        out: &mut Vec<Effect>,
    ) {
        let Waiting { mut candidates, mut results, accepted, .. } = waiting;
        match selection {
            Selection::Evse(id) => {
                let result = &mut results[accepted];
                if self.grant(now, &mut attempt.token, id, &mut candidates, result, out) {
                    self.tell_granted(attempt, out);
                } else {
                    self.authorize(now, attempt, candidates, results, accepted + 1, out);
                }
            }
            Selection::Withdrawn => self.tell_withdrawn(attempt, candidates, out),
            Selection::None | Selection::Wait => out.push(attempt.told(TokenValidationStatus::TimedOut)),
        }
    }

    /// Ends the waits that were to last until `due`, each with a last look: what came without waking it counts.
    pub(super) fn waits_ran_out(&mut self, due: Duration, out: &mut Vec<Effect>) {
        let is_due = |attempt: &Attempt| attempt.waits_until() == Some(due);
        while let Some(position) = self.in_process.iter().position(is_due) {
            let is_final = matches!(&self.in_process[position].stage, Stage::WaitingForPlugIn(it) if it.is_final);
            if let Some(late) = self.late(due, is_final) {
                if let Stage::WaitingForPlugIn(waiting) = &mut self.in_process[position].stage {
                    (waiting.until, waiting.is_final) = (late, true);
                }
                continue;
            }
            let mut attempt = self.in_process.remove(position);
            if let Stage::WaitingForPlugIn(waiting) = std::mem::replace(&mut attempt.stage, Stage::Stuck) {
                let selection = self.select(&waiting.candidates, &attempt.token);
                self.stop_waiting(due, attempt, waiting, selection, out);
            }
        }
    }

    /// Puts an attempt (back) in its place, by age.
    fn keep_in_process(&mut self, attempt: Attempt) {
        let position = self.in_process.partition_point(|other| other.id < attempt.id);
        self.in_process.insert(position, attempt);
    }

    /// AuthHandler `is_token_already_in_process`: among tokens in process the value alone counts, byte by byte; among
    /// granted EVSEs value and type, ignoring case.
    fn is_in_process(&self, token: &ProvidedIdToken, referenced: &[i32]) -> bool {
        self.in_process.iter().any(|attempt| attempt.token.id_token.value == token.id_token.value)
            || referenced.iter().filter_map(|id| self.evse(*id)).any(|evse| {
                evse.is_granted()
                    && evse.identifier.as_ref().is_some_and(|identifier| identifier.token.matches(&token.id_token))
            })
    }

    /// AuthHandler `used_for_transaction`: the first EVSE whose token or its parent has this value, whatever the type
    /// and whether or not a transaction runs.
    fn used_at(&self, evses: &[i32], value: &str) -> Option<i32> {
        evses.iter().copied().find(|id| {
            self.evse(*id).and_then(|evse| evse.identifier.as_ref()).is_some_and(|identifier| {
                identifier.token.value.eq_ignore_ascii_case(value)
                    || identifier.parent.as_ref().is_some_and(|parent| parent.value.eq_ignore_ascii_case(value))
            })
        })
    }

    fn any_parent(&self, evses: &[i32]) -> bool {
        evses.iter().filter_map(|id| self.evse(*id)?.identifier.as_ref()).any(|identifier| identifier.parent.is_some())
    }

    /// Whether a token stops the transaction that it started, by its own value.
    fn may_stop_by_itself(&self, token: &ProvidedIdToken) -> bool {
        match token.authorization_type {
            AuthorizationType::RFID => true,
            AuthorizationType::BankCard => self.deviations.is_on(Deviation::BankCardStops),
            AuthorizationType::OCPP | AuthorizationType::Autocharge | AuthorizationType::PlugAndCharge => false,
        }
    }

    fn stops_on_reswipe(&self) -> bool {
        self.config.stop_transaction_on_reswipe || self.deviations.is_on(Deviation::NoReauthorization)
    }

    fn is_master_pass(&self, parent: Option<&IdToken>) -> bool {
        match (&self.master_pass_group, parent) {
            (Some(group), Some(parent)) => parent.value.eq_ignore_ascii_case(group),
            _ => false,
        }
    }
}

fn stop(evse: i32, reason: StopTransactionReason, id_tag: Option<&ProvidedIdToken>) -> Effect {
    let id_tag = id_tag.cloned().map(Box::new);
    Effect::Call { evse, call: EvseCall::StopTransaction { reason, id_tag } }
}

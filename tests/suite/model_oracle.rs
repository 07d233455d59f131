//! What EVerest's behaviour reference says of statuses and withdraw requests, as tables over what can be seen from
//! outside. Shares no code with the station.

use std::collections::BTreeMap;

use khumbu::auth::{EvseCall, SessionEvent, StopTransactionReason};
use khumbu::protocol::release::Release;
use khumbu::protocol::types::{
    AuthorizationStatus, IdToken, ProvidedIdToken, TokenValidationStatus as Status, TokenValidationStatusMessage,
    WithdrawAuthorizationResult as Reply,
};
use khumbu::station::{Address, Effect, EvseStatus, Payload, StationStatus};

/// How far an attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Processing,
    Accepted,
}

/// Follows every value and every EVSE through its statuses.
pub(crate) struct Monitor {
    open: BTreeMap<String, Phase>,
    /// By EVSE: the value it was granted to, and whether a transaction runs.
    evses: Vec<(Option<String>, bool)>,
    /// An authorization that Auth took back, whose status has to come next.
    owed: Option<(i32, String)>,
    /// The token that Auth just stopped a transaction with, if the release calls that Accepted.
    stopping: Option<String>,
    release: Release,
}

impl Monitor {
    pub(crate) fn new(evses: u8, release: Release) -> Self {
        Self {
            open: BTreeMap::new(),
            evses: vec![(None, false); usize::from(evses)],
            owed: None,
            stopping: None,
            release,
        }
    }

    /// Says what rule an effect breaks.
    pub(crate) fn see(&mut self, effect: &Effect) -> Result<(), String> {
        match effect {
            Effect::Publish { to: Address::Channel(_), payload: Payload::Status(message) } => self.status(message),
            Effect::EvseCall { evse, call: EvseCall::WithdrawAuthorization } => {
                // A withdraw request may have kept from Auth that a transaction has begun.
                let may_not_know = self.release == Release::V2025_12;
                if let (Some(value), in_transaction) = self.evse(*evse).clone()
                    && (!in_transaction || may_not_know)
                {
                    self.owed = Some((*evse, value));
                }
                Ok(())
            }
            Effect::EvseCall { evse, call: EvseCall::AuthorizeResponse(response) } => {
                let accepted = response.1.authorization_status == AuthorizationStatus::Accepted;
                let taken = self.evse(*evse).0.is_some();
                check(!accepted || !taken, || format!("EVSE {evse} is granted twice"))?;
                if accepted && self.release == Release::V1_0 {
                    // No status says so.
                    let value = response.0.id_token.value.clone();
                    check(self.open.remove(&value) == Some(Phase::Accepted), || format!("`{value}` is granted"))?;
                    self.evse(*evse).0 = Some(value);
                }
                Ok(())
            }
            Effect::EvseCall { call: EvseCall::StopTransaction { id_tag, .. }, .. } => {
                let by = id_tag.as_ref().map(|token| token.id_token.value.clone());
                self.stopping = by.filter(|_| self.release == Release::V1_0);
                Ok(())
            }
            Effect::SessionEvent { evse, event } => {
                match event {
                    SessionEvent::TransactionStarted => self.evse(*evse).1 = true,
                    SessionEvent::TransactionFinished => *self.evse(*evse) = (None, false),
                    SessionEvent::Deauthorized | SessionEvent::SessionFinished => self.evse(*evse).0 = None,
                    _ => {}
                }
                Ok(())
            }
            Effect::Publish { .. }
            | Effect::Ask { .. }
            | Effect::Asked { .. }
            | Effect::Exit { .. }
            | Effect::Fault { .. }
            | Effect::Csms(_)
            | Effect::CsmsInside(_)
            | Effect::EvseCall { call: EvseCall::Reserve { .. } | EvseCall::CancelReservation, .. }
            | Effect::ReservationResult { .. }
            | Effect::ReservationCancelled { .. }
            | Effect::ReservationUpdate { .. }
            | Effect::Ignored { .. } => Ok(()),
        }
    }

    fn status(&mut self, message: &TokenValidationStatusMessage) -> Result<(), String> {
        let TokenValidationStatusMessage { messages, status, token, validation_results } = message;
        let value = &token.id_token.value;
        let phase = self.open.get(value).copied();
        let broken = || format!("`{value}` {status:?} {:?} after {phase:?}", token.connectors);

        check(messages.is_some() == (self.release >= Release::V2026_02), || format!("`messages` is {messages:?}"))?;
        let has_tariff = messages.as_ref().is_some_and(|messages| !messages.is_empty());
        match validation_results {
            Some(results) => {
                let of_results: Vec<_> = results.iter().flat_map(|result| &result.tariff_messages).collect();
                let are_theirs = messages.iter().flatten().eq(of_results);
                check(are_theirs, || format!("`messages` is {messages:?}, with {results:?}"))?;
                let is_before = *status == Status::Processing;
                check(!is_before || results.is_empty(), || format!("{results:?} before validation"))?;
                let accepts = results.iter().any(|result| result.authorization_status == AuthorizationStatus::Accepted);
                check(accepts || *status != Status::Accepted, || format!("accepted by {results:?}"))?;
            }
            None => check(!has_tariff || *status == Status::Accepted, || format!("tariff messages with {status:?}"))?,
        }
        let is_next = self.release == Release::Next;
        check(validation_results.is_some() == is_next, || format!("`validation_results` is {validation_results:?}"))?;

        if let Some((evse, owed)) = self.owed.take() {
            let names_evse = token.connectors.as_deref() == Some(&[evse]) || self.release == Release::V1_0;
            let names_it = names_evse && *value == owed;
            if self.release >= Release::Main {
                let fits = matches!(status, Status::TimedOut | Status::Withdrawn);
                return check(fits && names_it, || format!("{} instead of an end for EVSE {evse}", broken()));
            }
            // Earlier releases tell of a time-out, and not of a withdrawal.
            if names_it && *status == Status::TimedOut {
                return Ok(());
            }
        }
        if self.release == Release::V1_0 {
            let is_known = !matches!(status, Status::UsedToStart | Status::UsedToStop | Status::UsedToReauthorize);
            check(is_known, broken)?;
            if self.stopping.take_if(|stopping| *status == Status::Accepted && stopping == value).is_some() {
                check(phase == Some(Phase::Processing), broken)?;
                self.open.remove(value);
                return Ok(());
            }
        }
        match (phase, status) {
            (None, Status::Processing) => {
                self.open.insert(value.clone(), Phase::Processing);
                return Ok(());
            }
            (Some(_), Status::Accepted) => {
                self.open.insert(value.clone(), Phase::Accepted);
                return Ok(());
            }
            (Some(_), Status::Rejected)
            | (Some(Phase::Processing), Status::UsedToStop | Status::UsedToReauthorize)
            | (Some(Phase::Accepted), Status::UsedToStart | Status::TimedOut | Status::Withdrawn) => {
                self.open.remove(value);
            }
            _ => return Err(broken()),
        }
        if *status == Status::UsedToStart {
            let Some([evse]) = token.connectors.as_deref() else { return Err(broken()) };
            let (granted_to, _) = self.evse(*evse);
            check(granted_to.is_none(), || format!("EVSE {evse} has a token already"))?;
            *granted_to = Some(value.clone());
        }
        Ok(())
    }

    fn evse(&mut self, id: i32) -> &mut (Option<String>, bool) {
        &mut self.evses[usize::try_from(id).expect("ids are positive") - 1]
    }
}

fn check(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

/// The decision table of withdraw requests, over the state before one.
pub(crate) struct WithdrawTable<'a> {
    pub(crate) before: &'a StationStatus,
    pub(crate) evse_id: Option<i32>,
    pub(crate) id_token: Option<&'a IdToken>,
    pub(crate) release: Release,
}

/// What a request does to one EVSE.
#[derive(Debug, PartialEq, Eq)]
enum Deed {
    /// Authorization withdrawn.
    Withdraw(i32),
    /// Its status, with value and EVSE.
    Withdrawn(String, i32),
    /// Transaction stopped.
    Stop(i32),
}

impl WithdrawTable<'_> {
    /// Compares the effects of the request with the table.
    pub(crate) fn check(&self, topic: &str, effects: &[Effect]) -> Result<(), String> {
        let replies: Vec<_> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Publish { to: Address::Reply(to), payload: Payload::WithdrawResult(result) } if to == topic => {
                    Some(*result)
                }
                _ => None,
            })
            .collect();
        let of_request = format!("withdraw of evse {:?}, token {:?}", self.evse_id, self.id_token);
        if self.is_unknown_evse() {
            let alone = effects.len() == 1 && replies == [Reply::EvseNotFound];
            // Behind a request that waits for a token in process there is no reply yet.
            let waits = effects.is_empty() && !self.before.tokens_in_process.is_empty();
            return check(alone || waits, || format!("{of_request} of no EVSE: {effects:?}"));
        }
        if self.before.tokens_in_process.iter().any(|token| self.targets(token)) {
            let fits = replies.iter().all(|result| *result == Reply::Accepted);
            return check(fits, || format!("{of_request} with a token in process: {replies:?}"));
        }
        if !self.before.tokens_in_process.is_empty() && effects.is_empty() {
            // A request before this one may wait for them.
            return Ok(());
        }
        let expected = self.deeds();
        let result = if expected.is_empty() { Reply::AuthorizationNotFound } else { Reply::Accepted };
        let seen: Vec<_> = effects.iter().filter_map(deed).collect();
        check(seen == expected, || format!("{of_request}: {seen:?}, expected {expected:?}"))?;
        check(replies == [result], || format!("{of_request}: {replies:?}, expected {result:?}"))
    }

    fn is_unknown_evse(&self) -> bool {
        self.evse_id.is_some_and(|id| !self.before.evses.iter().any(|evse| evse.evse == id))
    }

    /// A token in process counts if the request's token is its own and it may use the request's EVSE.
    fn targets(&self, token: &ProvidedIdToken) -> bool {
        let may_use = |id: i32| token.connectors.as_ref().is_none_or(|named| named.contains(&id));
        self.evse_id.is_none_or(may_use) && self.is_own(&token.id_token)
    }

    fn is_own(&self, token: &IdToken) -> bool {
        self.id_token.is_none_or(|own| own.value.eq_ignore_ascii_case(&token.value) && own.r#type == token.r#type)
    }

    /// G: withdrawn, with a status since 0616fa15d. T: stopped, without. N: nothing.
    fn deeds(&self) -> Vec<Deed> {
        let concerned = |evse: &&EvseStatus| self.evse_id.is_none_or(|id| id == evse.evse);
        let mut deeds = Vec::new();
        for evse in self.before.evses.iter().filter(concerned) {
            let Some(token) = evse.identifier.as_ref().filter(|token| self.is_own(token)) else { continue };
            match evse.state {
                "granted" => {
                    deeds.push(Deed::Withdraw(evse.evse));
                    if self.release >= Release::Main {
                        deeds.push(Deed::Withdrawn(token.value.clone(), evse.evse));
                    }
                }
                "transaction" => deeds.push(Deed::Stop(evse.evse)),
                _ => {}
            }
        }
        deeds
    }
}

fn deed(effect: &Effect) -> Option<Deed> {
    match effect {
        Effect::EvseCall { evse, call: EvseCall::WithdrawAuthorization } => Some(Deed::Withdraw(*evse)),
        Effect::EvseCall { evse, call: EvseCall::StopTransaction { reason, id_tag: None } }
            if *reason == StopTransactionReason::DeAuthorized =>
        {
            Some(Deed::Stop(*evse))
        }
        Effect::Publish { payload: Payload::Status(message), .. } if message.status == Status::Withdrawn => {
            let evse = *message.token.connectors.as_deref()?.first()?;
            Some(Deed::Withdrawn(message.token.id_token.value.clone(), evse))
        }
        _ => None,
    }
}

//! The charge point as a part of the station: a validator of Auth, and a bookkeeper of connectors and transactions.
//!
//! Everything is done at EVSEs and in Auth as without a charge point; this part answers Auth's questions about tokens,
//! reads the meters, and tells the CSMS what has changed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::evse::Evse;
use super::super::machine::ignored;
use super::super::{Effect, RequestId, Station};
use super::authorization::{Authorization, Decision};
use super::cache::Cache;
use super::config::{ChargePointConfig, CsmsLink};
use super::connector::{Connector, ConnectorStatus, Transaction};
use super::keys::Keys;
use super::report::{CsmsInput, Report, StopReason};
use super::tag::{IdTag, TagInfo};
use crate::auth::{self, AttemptId, EvseCall, SessionEvent};
use crate::protocol::control::Validation;
use crate::protocol::types::{
    AuthorizationStatus, IdToken, IdTokenType, ProvidedIdToken, ReservationStatus, TokenValidationStatus,
    ValidationResult,
};

/// A charge point.
#[derive(Debug, Clone)]
pub(in crate::station) struct ChargePoint {
    pub authorization: Authorization,
    /// That of EVSE `n` at index `n - 1`.
    pub connectors: Vec<Connector>,
    /// What is to be done at an EVSE once it is authorized.
    pub plans: BTreeMap<i32, Plan>,
    /// Whether it is in service as a whole.
    pub is_operative: bool,
    /// What was last told of it as a whole.
    pub told: ConnectorStatus,
    /// Whether the CSMS is there.
    pub is_online: bool,
    pub link: CsmsLink,
    /// Questions that a CSMS outside has not answered.
    asked: Vec<Asked>,
    /// What was decided and Auth does not know yet.
    decided: Vec<(AttemptId, ValidationResult)>,
    /// Attempts whose answer comes from the CSMS inside, and the question that was put to it.
    inside: BTreeMap<AttemptId, RequestId>,
    next_request: u64,
    next_transaction: u64,
    /// Why transactions are about to end.
    reasons: BTreeMap<i32, StopReason>,
}

/// A session that was asked for as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::station) struct Plan {
    pub id_tag: IdTag,
    /// How long the transaction may last.
    pub duration: Option<Duration>,
    /// How much energy may flow, in watt-hours.
    pub energy_wh: Option<u64>,
    /// The number of the CSMS's request.
    pub remote_start_id: Option<i32>,
}

#[derive(Debug, Clone)]
struct Asked {
    request: RequestId,
    attempt: AttemptId,
    tag: IdTag,
    until: Duration,
}

/// How long a CSMS outside may take for its answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(30);

impl ChargePoint {
    pub fn new(config: &ChargePointConfig, evses: u8) -> Self {
        let mut keys = Keys::default();
        for (name, value) in &config.configuration {
            // The checker of station files has refused what is no value.
            keys.set(name, value);
        }
        let mut authorization = Authorization::new(keys, Cache::new(config.cache_capacity));
        authorization.state_connectors(evses.into());
        Self {
            authorization,
            connectors: vec![Connector::new(config.max_charging_power); evses.into()],
            plans: BTreeMap::new(),
            is_operative: true,
            told: ConnectorStatus::Available,
            is_online: config.csms == CsmsLink::Inside,
            link: config.csms,
            asked: Vec::new(),
            decided: Vec::new(),
            inside: BTreeMap::new(),
            next_request: 1,
            next_transaction: 1,
            reasons: BTreeMap::new(),
        }
    }

    /// When something happens by itself.
    pub fn at(&self, now: Duration, evses: &[Evse]) -> Option<Duration> {
        let decided = (!self.decided.is_empty()).then_some(now);
        let asked = self.asked.iter().map(|asked| asked.until).min();
        let connectors = self.connectors.iter().zip(evses).filter_map(|(connector, evse)| {
            let sample = connector.transaction.as_ref().and_then(|transaction| transaction.sample_at);
            [sample, connector.ends_at(evse)].into_iter().flatten().min()
        });
        [decided, asked].into_iter().flatten().chain(connectors).min()
    }

    /// The state of a connector.
    pub fn status_of(&self, connector: &Connector, evse: &Evse) -> ConnectorStatus {
        connector.status(evse, self.is_operative && connector.is_operative)
    }

    pub fn give_reason(&mut self, evse: i32, reason: StopReason) {
        self.reasons.entry(evse).or_insert(reason);
    }

    pub fn connector_mut(&mut self, evse: i32) -> Option<&mut Connector> {
        self.connectors.get_mut(usize::try_from(evse).ok()?.checked_sub(1)?)
    }
}

impl Station {
    /// Takes over what outlives a restart: the replies that a harness has chosen, the EVs that are plugged in and the faults; of the charge point the
    /// configuration, the local list, the cache, the reservations, the meters, what is in service (OCPP 1.6, 5.2), and which ids of
    /// transactions were given. A transaction that ran has ended.
    pub fn remember(&mut self, before: &Station) {
        self.replies = before.replies.after_restart();
        if self.charge_point.is_some() {
            self.auth.keep_reservations(&before.auth);
            for (evse, before) in self.evses.iter_mut().zip(&before.evses) {
                evse.reserved = before.reserved;
            }
        }
        for (evse, before) in self.evses.iter_mut().zip(&before.evses) {
            evse.survive(before);
        }
        if let (Some(charge_point), Some(before)) = (&mut self.charge_point, &before.charge_point) {
            charge_point.authorization = before.authorization.clone();
            charge_point.next_transaction = before.next_transaction;
            charge_point.is_operative = before.is_operative;
            for ((evse, connector), before) in (1..).zip(&mut charge_point.connectors).zip(&before.connectors) {
                connector.survive(before);
                if let Some(transaction) = &before.transaction {
                    connector.transaction = Some(transaction.to_be_ended());
                    charge_point.reasons.insert(evse, StopReason::Reboot);
                }
            }
        }
    }

    /// Answers Auth's question about a token, or asks the CSMS. `carried` is what the CSMS inside says of it.
    pub(in crate::station) fn charge_point_asked(
        &mut self,
        attempt: AttemptId,
        token: ProvidedIdToken,
        carried: Option<Validation>,
        out: &mut Vec<Effect>,
    ) {
        let now = self.now;
        let Some(charge_point) = &mut self.charge_point else { return };
        let value = token.id_token.value;
        let Ok(tag) = IdTag::new(value.clone()) else {
            // No CSMS can be asked about a text that is no id tag.
            let result = ValidationResult::new(AuthorizationStatus::Invalid);
            return charge_point.decided.push((attempt, result));
        };
        match charge_point.authorization.decide(&tag, now, charge_point.is_online) {
            Decision::Decided { info, .. } => charge_point.decided.push((attempt, to_result(&info))),
            Decision::AskCsms => {
                let request = RequestId(charge_point.next_request);
                charge_point.next_request += 1;
                out.push(Effect::Csms(Report::Authorize { request, id_tag: tag.clone() }));
                match charge_point.link {
                    CsmsLink::Outside => {
                        let until = now.saturating_add(PATIENCE);
                        charge_point.asked.push(Asked { request, attempt, tag, until });
                    }
                    CsmsLink::Inside => {
                        let carried = carried.unwrap_or_else(|| self.validators.verdict(&value));
                        charge_point.inside.insert(attempt, request);
                        self.validators.ask(now, attempt, value, carried);
                    }
                }
            }
        }
    }

    /// Takes note of what the CSMS inside says of a token.
    pub(in crate::station) fn csms_inside_said(
        &mut self,
        attempt: AttemptId,
        value: &str,
        result: &ValidationResult,
        out: &mut Vec<Effect>,
    ) {
        let now = self.now;
        let Some(charge_point) = &mut self.charge_point else { return };
        if let Some(request) = charge_point.inside.remove(&attempt)
            && let Ok(tag) = IdTag::new(value)
        {
            let info = to_info(result);
            charge_point.authorization.answered(&tag, &info, now);
            out.push(Effect::CsmsInside(CsmsInput::Authorized { request, info }));
        }
    }

    /// Takes what a CSMS says or does.
    pub(in crate::station) fn csms_said(&mut self, input: CsmsInput, out: &mut Vec<Effect>) {
        let now = self.now;
        let Some(charge_point) = &mut self.charge_point else { return out.push(ignored("there is no charge point")) };
        match input {
            CsmsInput::Online(is_online) => {
                charge_point.is_online = is_online;
                if !is_online {
                    self.decide_without_csms(|_| true);
                }
            }
            CsmsInput::Authorized { request, info } => {
                let Some(position) = charge_point.asked.iter().position(|asked| asked.request == request) else {
                    return out.push(ignored("the answer to a question that nobody waits for"));
                };
                let asked = charge_point.asked.remove(position);
                charge_point.authorization.answered(&asked.tag, &info, now);
                charge_point.decided.push((asked.attempt, to_result(&info)));
            }
            CsmsInput::Unanswered(request) => self.decide_without_csms(|asked| asked.request == request),
            CsmsInput::TagNoted { id_tag, info } => charge_point.authorization.answered(&id_tag, &info, now),
            CsmsInput::TransactionNoted { transaction, id_tag, named, info } => {
                if let Some(info) = &info {
                    charge_point.authorization.answered(&id_tag, info, now);
                }
                let mut to_stop = None;
                for (evse, connector) in (1..).zip(&mut charge_point.connectors) {
                    let Some(running) = connector.transaction.as_mut().filter(|running| running.id == transaction)
                    else {
                        continue;
                    };
                    if let Some(info) = &info {
                        let stops = charge_point.authorization.keys.is_on("StopTransactionOnInvalidId");
                        to_stop = (stops && !info.is_accepted()).then_some(evse);
                    }
                    if let Some(named) = &named {
                        running.id.clone_from(named);
                    }
                }
                if let Some(evse) = to_stop {
                    charge_point.give_reason(evse, StopReason::DeAuthorized);
                    self.at_evse(evse, Evse::stop_transaction, out);
                }
            }
        }
    }

    /// Decides some of what the CSMS was asked about, as if it were away.
    fn decide_without_csms(&mut self, is_over: impl Fn(&Asked) -> bool) {
        let now = self.now;
        let Some(charge_point) = &mut self.charge_point else { return };
        let (over, open): (Vec<_>, Vec<_>) = charge_point.asked.drain(..).partition(is_over);
        charge_point.asked = open;
        for asked in over {
            let info = match charge_point.authorization.decide(&asked.tag, now, false) {
                Decision::Decided { info, .. } => info,
                Decision::AskCsms => TagInfo::of(AuthorizationStatus::Invalid),
            };
            charge_point.decided.push((asked.attempt, to_result(&info)));
        }
    }

    /// Brings all meters forward, before anything changes.
    pub(in crate::station) fn read_meters(&mut self) {
        if let Some(charge_point) = &mut self.charge_point {
            for (connector, evse) in charge_point.connectors.iter_mut().zip(&self.evses) {
                connector.read(self.now, evse);
            }
        }
    }

    /// Does what is due at the charge point.
    pub(in crate::station) fn charge_point_ran_out(&mut self, out: &mut Vec<Effect>) {
        let now = self.now;
        self.decide_without_csms(|asked| asked.until <= now);
        let Some(charge_point) = &mut self.charge_point else { return };
        for (attempt, result) in std::mem::take(&mut charge_point.decided) {
            self.tell_auth(auth::Input::Validated { attempt, results: vec![result] }, None, out);
        }
        let Some(charge_point) = &mut self.charge_point else { return };
        let interval = charge_point.authorization.keys.seconds("MeterValueSampleInterval");
        let mut to_stop = Vec::new();
        for ((evse_id, connector), evse) in (1..).zip(&mut charge_point.connectors).zip(&self.evses) {
            if connector.ends_at(evse).is_some_and(|at| at <= now) {
                to_stop.push(evse_id);
            }
            let (meter_wh, power_w) = (connector.meter_wh(), connector.flowing(evse));
            if let Some(transaction) = &mut connector.transaction
                && transaction.sample_at.is_some_and(|at| at <= now)
            {
                let transaction_id = transaction.id.clone();
                out.push(Effect::Csms(Report::MeterValue { evse: evse_id, transaction_id, meter_wh, power_w }));
                transaction.sample_at = interval.map(|interval| now.saturating_add(interval));
            }
        }
        for evse in to_stop {
            self.at_evse(evse, Evse::stop_transaction, out);
        }
    }

    /// Keeps the plans in step with what became of their tokens.
    pub(in crate::station) fn note_status(&mut self, token: &ProvidedIdToken, status: TokenValidationStatus) {
        use TokenValidationStatus::{Rejected, TimedOut, Withdrawn};
        if let (Some(charge_point), Rejected | TimedOut | Withdrawn) = (&mut self.charge_point, status) {
            charge_point.plans.retain(|_, plan| !plan.id_tag.as_str().eq_ignore_ascii_case(&token.id_token.value));
        }
    }

    /// The CSMS hears of reservations that ended otherwise than by use or on its own behalf (`OCPP201.cpp`).
    pub(in crate::station) fn note_reservation(&mut self, id: i32, how: ReservationStatus, out: &mut Vec<Effect>) {
        if let (Some(_), ReservationStatus::Expired | ReservationStatus::Removed) = (&self.charge_point, how) {
            out.push(Effect::Csms(Report::ReservationEnded { id, how }));
        }
    }

    /// Notes why Auth has a transaction stopped.
    pub(in crate::station) fn note_call(&mut self, evse: i32, call: &EvseCall) {
        if let (Some(charge_point), EvseCall::StopTransaction { reason, .. }) = (&mut self.charge_point, call) {
            charge_point.give_reason(evse, (*reason).into());
        }
    }

    /// Starts what waits for its authorization, and tells the CSMS what has changed.
    pub(in crate::station) fn settle_charge_point(&mut self, out: &mut Vec<Effect>) {
        let Some(charge_point) = &self.charge_point else { return };
        let ready: Vec<_> = charge_point.plans.keys().copied().filter(|evse| self.may_start(*evse)).collect();
        for evse in ready {
            self.at_evse(evse, Evse::start_transaction, out);
        }
        let status = self.whole_status();
        if let Some(charge_point) = &mut self.charge_point
            && std::mem::replace(&mut charge_point.told, status) != status
        {
            out.push(Effect::Csms(Report::Status { evse: 0, status, fault: None }));
        }
        for evse in 1.. {
            if !self.settle_connector(evse, out) {
                return;
            }
        }
    }

    fn may_start(&self, evse: i32) -> bool {
        let index = usize::try_from(evse).ok().and_then(|evse| evse.checked_sub(1));
        index
            .and_then(|index| self.evses.get(index))
            .is_some_and(|evse| evse.plugged_in && evse.authorized && !evse.transaction && !evse.faulted)
    }

    /// `false` if there is no such EVSE.
    fn settle_connector(&mut self, id: i32, out: &mut Vec<Effect>) -> bool {
        let now = self.now;
        let identifier = self.auth.evse_view(id).and_then(|view| view.identifier.map(|it| it.value.clone()));
        let index = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        let Some((charge_point, index)) = self.charge_point.as_mut().zip(index) else { return false };
        let Some(evse) = self.evses.get(index) else { return false };
        let interval = charge_point.authorization.keys.seconds("MeterValueSampleInterval");
        let connector = &mut charge_point.connectors[index];
        if evse.transaction && connector.transaction.is_none() {
            let id_tag = identifier.and_then(|value| IdTag::new(value).ok());
            let plan = charge_point.plans.remove(&id);
            let Some(id_tag) = id_tag.or_else(|| plan.as_ref().map(|plan| plan.id_tag.clone())) else { return true };
            // For a CSMS outside no two are the same, also from one start to the next (2.0.1, E01).
            let transaction_id = match charge_point.link {
                CsmsLink::Inside => charge_point.next_transaction.to_string(),
                CsmsLink::Outside => format!("{:x}-{}", now.as_millis(), charge_point.next_transaction),
            };
            let transaction = Transaction {
                reservation_id: evse.used,
                id: transaction_id,
                id_tag,
                started_at: now,
                meter_start_wh: connector.meter_wh(),
                remote_start_id: plan.as_ref().and_then(|plan| plan.remote_start_id),
                ends_at: plan.as_ref().and_then(|plan| plan.duration).map(|duration| now.saturating_add(duration)),
                ends_with: None,
                sample_at: interval.map(|interval| now.saturating_add(interval)),
                told: ConnectorStatus::Charging,
            };
            charge_point.next_transaction += 1;
            connector.ev_takes = true;
            out.push(Effect::Csms(Report::TransactionStarted { evse: id, transaction: transaction.clone() }));
            connector.begin(transaction);
            if let Some(energy_wh) = plan.and_then(|plan| plan.energy_wh) {
                connector.end_after(energy_wh);
            }
        }
        if !evse.transaction
            && let Some(transaction) = connector.end()
        {
            let otherwise = if evse.plugged_in { StopReason::Local } else { StopReason::EVDisconnected };
            let reason = charge_point.reasons.remove(&id).unwrap_or(otherwise);
            // A charge point that has started anew knows nothing of what was before.
            connector.is_finishing = reason != StopReason::Reboot;
            let meter_wh = connector.meter_wh();
            out.push(Effect::Csms(Report::TransactionStopped { evse: id, transaction, meter_wh, reason }));
        }
        if !evse.transaction {
            charge_point.reasons.remove(&id);
        }
        if !evse.plugged_in {
            connector.is_finishing = false;
        }
        if !evse.faulted {
            connector.fault = None;
        }
        let is_in_service = charge_point.is_operative && connector.is_operative;
        let status = connector.status(evse, is_in_service);
        if std::mem::replace(&mut connector.told, status) != status {
            let fault = connector.fault.clone();
            out.push(Effect::Csms(Report::Status { evse: id, status, fault }));
        }
        if let Some(transaction_id) = connector.charging_state(status) {
            out.push(Effect::Csms(Report::ChargingState { evse: id, transaction_id, status }));
        }
        let is_disabled = !is_in_service && !evse.transaction;
        if std::mem::replace(&mut connector.is_disabled, is_disabled) != is_disabled {
            self.at_evse(
                id,
                |_| Ok(if is_disabled { &[SessionEvent::Disabled] } else { &[SessionEvent::Enabled] }),
                out,
            );
        }
        true
    }
}

/// What Auth learns of a decision.
fn to_result(info: &TagInfo) -> ValidationResult {
    let parent = info.parent.as_ref();
    let parent_id_token = parent.map(|tag| IdToken {
        additional_info: None,
        r#type: IdTokenType::Central,
        value: tag.as_str().to_owned(),
    });
    ValidationResult { parent_id_token, ..ValidationResult::new(info.status) }
}

/// What is kept of the answer of the CSMS inside.
fn to_info(result: &ValidationResult) -> TagInfo {
    let parent = result.parent_id_token.as_ref().and_then(|token| IdTag::new(token.value.clone()).ok());
    TagInfo { parent, ..TagInfo::of(result.authorization_status) }
}

//! The auth manager's state, and how session events and time change it. Tokens and withdraw requests are next door.

use std::collections::VecDeque;
use std::time::Duration;

use super::attempt::{Attempt, Stage};
use super::config::AuthConfig;
use super::evse::{Connector, ConnectorEvent, Evse, Identifier, Timer, TimerKind};
use super::races::{Chosen, LATE_MS, Race, Races};
use super::reservation::Reservations;
use super::withdraw::PendingWithdraw;
use super::{AttemptId, Effect, EvseCall, Input, SessionEvent};
use crate::protocol::deviations::{Deviation, Deviations};
use crate::protocol::types::{
    AuthorizationStatus, ConnectorType, IdToken, ProvidedIdToken, TokenValidationStatus, ValidationResult,
    WithdrawAuthorizationRequest,
};

/// EVerest's auth manager.
#[derive(Debug, Clone)]
pub struct AuthManager {
    pub(super) config: AuthConfig,
    /// Where `set_connection_timeout` leaves its value.
    pub(super) connection_timeout: Duration,
    /// Set by command, and by the configuration unless [`Deviation::ConfiguredMasterPassIgnored`].
    pub(super) master_pass_group: Option<String>,
    /// EVSE `n` stands at index `n - 1`.
    pub(super) evses: Vec<Evse>,
    pub(super) reservations: Reservations,
    /// EVSEs whose EV waits for a token, earliest first.
    pub(super) plug_ins: Vec<i32>,
    /// Tokens between `Processing` and their terminal status, in the order in which they came.
    pub(super) in_process: Vec<Attempt>,
    pub(super) next_attempt: u64,
    /// Withdraw requests not yet answered; only the first one is being worked on.
    pub(super) withdraws: VecDeque<PendingWithdraw>,
    /// The latest withdraw request that named a known EVSE or none; see `standing_withdraw_matches`.
    pub(super) standing_withdraw: Option<WithdrawAuthorizationRequest>,
    /// How many tokens in process were withdrawn so far.
    pub(super) withdrawn_in_process: u64,
    pub(super) deviations: Deviations,
    pub(super) races: Races,
    /// How often several waiting tokens could go on at once.
    pub(super) contests: u64,
    /// How many inputs there were.
    pub(super) inputs: u64,
}

/// What can be seen of an EVSE from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvseView<'a> {
    /// The token it was granted to.
    pub identifier: Option<&'a IdToken>,
    /// The group of that token, as the validator knows it.
    pub parent: Option<&'a IdToken>,
    /// Whether a transaction runs.
    pub transaction_active: bool,
    /// Whether a token may be authorized here.
    pub available: bool,
}

impl AuthManager {
    /// An auth manager that is ready and knows `evses` EVSEs with ids from 1, all of them free; as the head of EVerest
    /// runs.
    pub fn new(config: &AuthConfig, evses: u8) -> Self {
        Self::with_deviations(config, evses, Deviations::default())
    }

    /// The same as another release runs, or as specified.
    pub fn with_deviations(config: &AuthConfig, evses: u8, deviations: Deviations) -> Self {
        let configured = config.master_pass_group_id.clone();
        let master_pass_is_read = !deviations.is_on(Deviation::ConfiguredMasterPassIgnored) && !configured.is_empty();
        Self {
            connection_timeout: config.connection_timeout.0,
            config: config.clone(),
            master_pass_group: Some(configured).filter(|_| master_pass_is_read),
            evses: (0..evses).map(|_| Evse::new()).collect(),
            reservations: Reservations::default(),
            plug_ins: Vec::new(),
            in_process: Vec::new(),
            next_attempt: 0,
            withdraws: VecDeque::new(),
            standing_withdraw: None,
            withdrawn_in_process: 0,
            deviations,
            races: Races::default(),
            contests: 0,
            inputs: 0,
        }
    }

    /// Follows these choices from now on; [`AuthManager::races`] tells where there are any.
    pub fn follow(&mut self, chosen: Chosen) {
        self.races = Races::watched(chosen);
    }

    /// The points met so far where EVerest may go on in more than one way; none unless choices are followed.
    pub fn races(&self) -> &[Race] {
        self.races.met()
    }

    /// How often several waiting tokens could go on at once so far, of which EVerest takes any first.
    pub fn contests(&self) -> u64 {
        self.contests
    }

    /// The same with an EVSE that has connectors of these types; by itself each has one of unknown type.
    #[must_use]
    pub fn with_connectors(mut self, evse: i32, types: &[ConnectorType]) -> Self {
        if let Some(evse) = self.evse_mut(evse) {
            evse.connectors = types.iter().map(|kind| Connector::new(*kind)).collect();
        }
        self
    }

    /// Takes one input; total, never fails.
    ///
    /// Timers that were due before `now` run out before the input is looked at; those due at `now` wait for
    /// [`Input::Deadline`], so that what an EVSE reports at once is never overtaken by a timer without length.
    pub fn apply(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        self.run_out(now, input == Input::Deadline, &mut out);
        self.inputs += u64::from(input != Input::Deadline);
        if !out.is_empty() {
            self.work_on_withdraws(now, &mut out);
        }
        match input {
            Input::Token(token) => self.present(now, token, &mut out),
            Input::Validated { attempt, results } => self.validated(now, attempt, results, &mut out),
            Input::ResultUpdate { evse, result } => self.update_result(evse, result, &mut out),
            Input::Session { evse, connector, event } => self.session_event(now, evse, connector, event, &mut out),
            Input::Reserve(reservation) => self.reserve(now, reservation, &mut out),
            Input::CancelReservation { reservation_id } => self.cancel_reservation(reservation_id, &mut out),
            Input::EvseReserved { reservation_id, is_accepted } => {
                self.evse_reserved(reservation_id, is_accepted, &mut out);
            }
            Input::Withdraw { id, request } => self.withdraws.push_back(PendingWithdraw::new(id, request)),
            Input::SetConnectionTimeout(timeout) => self.connection_timeout = timeout,
            Input::SetMasterPassGroup(group) => {
                self.master_pass_group = Some(group).filter(|group| !group.is_empty());
            }
            Input::Deadline => {}
        }
        self.work_on_withdraws(now, &mut out);
        out
    }

    /// When [`Input::Deadline`] is due; `None` if nothing waits for time to pass.
    pub fn next_deadline(&self) -> Option<Duration> {
        earlier(self.next_timer(), self.overtaken_until())
    }

    /// Asked several times for every input, and so without detours.
    fn next_timer(&self) -> Option<Duration> {
        let mut first = self.reservations.next_deadline();
        for evse in &self.evses {
            first = earlier(first, evse.timer.as_ref().map(|timer| timer.at));
        }
        for attempt in &self.in_process {
            first = earlier(first, attempt.waits_until());
        }
        first
    }

    /// Whether a withdraw request waits for a token in process.
    pub fn is_withdrawing(&self) -> bool {
        !self.withdraws.is_empty()
    }

    /// An EVSE as seen from outside; `None` for unknown ids.
    pub fn evse_view(&self, id: i32) -> Option<EvseView<'_>> {
        self.evse(id).map(|evse| EvseView {
            identifier: evse.identifier.as_ref().map(|identifier| &identifier.token),
            parent: evse.identifier.as_ref().and_then(|identifier| identifier.parent.as_ref()),
            transaction_active: evse.transaction_active,
            available: evse.is_available(),
        })
    }

    /// Tokens between `Processing` and their terminal status, as they were provided, in the order in which they came.
    pub fn tokens_in_process(&self) -> impl Iterator<Item = &ProvidedIdToken> {
        self.in_process.iter().map(|attempt| &attempt.token)
    }

    pub(super) fn evse(&self, id: i32) -> Option<&Evse> {
        self.evses.get(index(id)?)
    }

    pub(super) fn evse_mut(&mut self, id: i32) -> Option<&mut Evse> {
        self.evses.get_mut(index(id)?)
    }

    fn run_out(&mut self, now: Duration, inclusive: bool, out: &mut Vec<Effect>) {
        while let Some(due) = self.next_timer().filter(|due| *due < now || inclusive && *due == now) {
            let timed = self.evses.iter_mut().position(|evse| evse.timer.as_ref().is_some_and(|timer| timer.at == due));
            match timed {
                Some(position) => self.evse_timer_ran_out(due, position, out),
                None => {
                    self.waits_ran_out(due, out);
                    self.reservations_run_out(due, out);
                }
            }
        }
    }

    fn evse_timer_ran_out(&mut self, due: Duration, position: usize, out: &mut Vec<Effect>) {
        let id = position as i32 + 1;
        let Some(mut timer) = self.evses[position].timer.take() else { return };
        if let Some(late) = self.late(due, timer.is_final) {
            timer.at = late;
            timer.is_final = true;
            self.evses[position].timer = Some(timer);
            return;
        }
        let evse = &mut self.evses[position];
        out.push(Effect::Call { evse: id, call: EvseCall::WithdrawAuthorization });
        match timer.kind {
            TimerKind::Authorization(token) => {
                evse.identifier = None;
                out.push(status(*token, TokenValidationStatus::TimedOut));
            }
            TimerKind::PlugIn => {
                evse.plug_in_timeout = true;
                self.plug_ins.retain(|plugged| *plugged != id);
            }
        }
        self.wake_waiting(due, out);
    }

    /// When a timer that is due runs out, if not now.
    pub(super) fn late(&mut self, due: Duration, is_final: bool) -> Option<Duration> {
        let way = if is_final { 0 } else { self.races.choose(due, LATE_MS.len()) };
        (way > 0).then(|| due.saturating_add(Duration::from_millis(LATE_MS[way])))
    }

    /// AuthHandler `handle_session_event`.
    fn session_event(&mut self, now: Duration, id: i32, connector: i32, event: SessionEvent, out: &mut Vec<Effect>) {
        let times_plug_ins = self.evses.len() > 1 && self.config.plug_in_timeout_enabled
            || self.deviations.is_on(Deviation::PlugInAlwaysTimed);
        let timeout = self.connection_timeout;
        let tells_grants_late = !self.deviations.is_on(Deviation::UsedToStartBeforeSession)
            && !self.deviations.is_on(Deviation::NoUsedToStart);
        let Some(evse) = self.evse_mut(id) else {
            out.push(Effect::Ignored { why: "a session event of an unknown EVSE" });
            return;
        };
        match event {
            SessionEvent::SessionStartedByPlugIn => {
                evse.plugged_in = true;
                if times_plug_ins {
                    evse.timer = Some(Timer::new(now.saturating_add(timeout), TimerKind::PlugIn));
                }
                self.plug_ins.push(id);
                self.wake_waiting(now, out);
            }
            SessionEvent::TransactionStarted => {
                evse.plugged_in = true;
                evse.transaction_active = true;
                if let Some(Timer { kind: TimerKind::Authorization(token), .. }) = evse.timer.take()
                    && tells_grants_late
                {
                    out.push(status(*token, TokenValidationStatus::UsedToStart));
                }
            }
            SessionEvent::TransactionFinished => {
                evse.transaction_active = false;
                evse.identifier = None;
            }
            SessionEvent::SessionFinished => {
                evse.plugged_in = false;
                evse.plug_in_timeout = false;
                evse.identifier = None;
                evse.timer = None;
                self.plug_ins.retain(|plugged| *plugged != id);
            }
            SessionEvent::Deauthorized => {
                evse.identifier = None;
                evse.timer = None;
            }
            SessionEvent::ReservationEnd => self.evse_ended_reservation(id, out),
            SessionEvent::Disabled
            | SessionEvent::Enabled
            | SessionEvent::Faulted
            | SessionEvent::FaultCleared
            | SessionEvent::ReservationStart
            | SessionEvent::SessionStartedByAuthorization
            | SessionEvent::AuthRequired
            | SessionEvent::Authorized
            | SessionEvent::PluginTimeout
            | SessionEvent::PrepareCharging
            | SessionEvent::ChargingStarted
            | SessionEvent::ChargingPausedEV
            | SessionEvent::ChargingPausedEVSE
            | SessionEvent::StoppingCharging
            | SessionEvent::ChargingFinished => {}
        }
        self.tell_connector(id, connector, event, out);
    }

    /// What an event means to a connector, and to the reservations that count on it.
    fn tell_connector(&mut self, id: i32, connector: i32, event: SessionEvent, out: &mut Vec<Effect>) {
        let faults_count = !self.config.ignore_connector_faults;
        let (submitted, is_fault) = match event {
            SessionEvent::TransactionStarted => (ConnectorEvent::TransactionStarted, false),
            SessionEvent::SessionFinished => (ConnectorEvent::SessionFinished, false),
            SessionEvent::Disabled => (ConnectorEvent::Disable, false),
            SessionEvent::Enabled => (ConnectorEvent::Enable, false),
            SessionEvent::Faulted if faults_count => (ConnectorEvent::Faulted, true),
            SessionEvent::FaultCleared if faults_count => (ConnectorEvent::ErrorCleared, true),
            _ => return,
        };
        let changed = self.evse_mut(id).and_then(|evse| evse.submit(connector, submitted));
        self.connector_changed(id, changed, out);
        // After a fault nobody looks.
        if !is_fault {
            self.check_reserved(out);
        }
    }

    /// AuthHandler `handle_token_validation_result_update`, see [`Deviation::UpdateSaysAccepted`].
    fn update_result(&mut self, id: i32, result: ValidationResult, out: &mut Vec<Effect>) {
        let Some(identifier) = self.evse_mut(id).and_then(|evse| evse.identifier.as_mut()) else {
            out.push(Effect::Ignored { why: "a validation update for an EVSE without a token" });
            return;
        };
        identifier.parent = result.parent_id_token.clone();
        let token = identifier.to_provided(id);
        let is_accepted = result.authorization_status == AuthorizationStatus::Accepted;
        if !is_accepted && !self.deviations.is_on(Deviation::UpdateSaysAccepted) {
            out.push(Effect::Ignored { why: "a validation update that does not accept" });
            return;
        }
        out.push(Effect::Status {
            token,
            status: TokenValidationStatus::Accepted,
            messages: result.tariff_messages.clone(),
            results: vec![result],
        });
    }

    /// AuthHandler `notify_evse`; an id that is no EVSE's is dealt with by the caller.
    pub(super) fn notify_evse(
        &mut self,
        now: Duration,
        id: i32,
        token: &ProvidedIdToken,
        result: ValidationResult,
        out: &mut Vec<Effect>,
    ) {
        let until = now.saturating_add(self.connection_timeout);
        let Some(evse) = self.evse_mut(id) else { return };
        if result.authorization_status == AuthorizationStatus::Accepted {
            evse.identifier = Some(Identifier {
                token: token.id_token.clone(),
                authorization_type: token.authorization_type,
                parent: result.parent_id_token.clone(),
            });
            evse.timer = Some(Timer::new(until, TimerKind::Authorization(Box::new(token.clone()))));
            self.plug_ins.retain(|plugged| *plugged != id);
        }
        out.push(Effect::Call { evse: id, call: EvseCall::AuthorizeResponse(Box::new((token.clone(), result))) });
    }

    /// How many tokens were dealt with so far, those that were ignored included; what
    /// AuthHandler's `processing_finished_cv` announces.
    pub(super) fn dealt_with(&self) -> u64 {
        let in_hand = self.in_process.iter().filter(|attempt| !matches!(attempt.stage, Stage::Stuck)).count();
        self.next_attempt - in_hand as u64
    }

    pub(super) fn new_attempt_id(&mut self) -> AttemptId {
        let id = AttemptId(self.next_attempt);
        self.next_attempt += 1;
        id
    }
}

impl Identifier {
    /// The token as statuses carry it once the presentation is forgotten: what was not kept is lost.
    pub(super) fn to_provided(&self, evse: i32) -> ProvidedIdToken {
        ProvidedIdToken {
            authorization_type: self.authorization_type,
            certificate: None,
            certificate_hash_data: None,
            connectors: Some(vec![evse]),
            id_token: self.token.clone(),
            parent_id_token: self.parent.clone(),
            prevalidated: None,
            request_id: None,
        }
    }
}

/// A status without what validators said.
pub(super) fn status(token: ProvidedIdToken, status: TokenValidationStatus) -> Effect {
    Effect::Status { token, status, messages: Vec::new(), results: Vec::new() }
}

/// The earlier of two times, either of which there may not be.
fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, None) => one,
        (None, other) => other,
    }
}

fn index(id: i32) -> Option<usize> {
    usize::try_from(id).ok()?.checked_sub(1)
}

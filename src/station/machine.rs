//! The station's parts at work: every input to the part it concerns, and what one part does to the others.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::iter;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::api::Api;
use super::charge_point::{Answer, ChargePoint, Request};
use super::config::{EvseManager, SelectionAlgorithm, StationConfig};
use super::evse::Evse;
use super::inquiry::Inquiry;
use super::module::ApiModule;
use super::replies::Replies;
use super::validators::Validators;
use super::{Address, Effect, Input, Payload};
use crate::auth::{self, AuthManager, SessionEvent};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::{Command, Validation};
use crate::protocol::deviations::{Deviation, Deviations};
use crate::protocol::types::{
    MessageContent, ProvidedIdToken, TokenValidationStatus, TokenValidationStatusMessage, ValidationResult,
};

/// A charging station with EVerest in it.
#[derive(Debug, Clone)]
pub struct Station {
    pub(super) auth: AuthManager,
    /// EVSE `n` stands at index `n - 1`.
    pub(super) evses: Vec<Evse>,
    /// Who moves them.
    pub(super) evse_manager: EvseManager,
    pub(super) validators: Validators,
    /// The token validator behind an API module, if there is one; it stands above the above.
    pub(super) inquiry: Option<Inquiry>,
    /// It stands above both, if there is one.
    pub(super) charge_point: Option<ChargePoint>,
    /// Requests to `auth_consumer`.
    pub(super) api: Api,
    /// What is replied in its place.
    pub(super) replies: Replies,
    /// `auth_consumer` first.
    pub(super) modules: Vec<ApiModule>,
    pub(super) ready: bool,
    /// Whether the selection algorithm is `PlugEventsLIFO`.
    selects_last: bool,
    /// Why it has ended by itself, if it has.
    pub(super) ended: Option<&'static str>,
    /// What was sent to Auth and not taken yet, with what validators say of tokens.
    pub(super) for_auth: VecDeque<(auth::Input, Option<Validation>)>,
    /// What the broker holds for when EVerest subscribes.
    retained: Vec<Input>,
    pub(super) deviations: Deviations,
    /// The latest time seen; time does not run backwards.
    pub(super) now: Duration,
}

/// Which part a deadline belongs to; the first one goes first among equal times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Of the module at this index.
    Heartbeat(usize),
    /// Of the module at this index.
    Communication(usize),
    Validators,
    Inquiry,
    ChargePoint,
    Auth,
    Api,
    Replies,
}

impl Station {
    /// A station before [`Input::Ready`], with no EV plugged in.
    pub fn new(config: &StationConfig) -> Self {
        let deviations = config.in_force();
        let inquiry = config.auth_token_validator.as_ref();
        let is_latching = config.auth_consumer.latch_variable_values;
        let is_latching = is_latching && Channel::GET_TOKEN_VALIDATION_STATUS.runs(deviations);
        Self {
            auth: config
                .connectors
                .iter()
                .fold(AuthManager::with_deviations(&config.auth, config.evses, deviations), |auth, (evse, types)| {
                    auth.with_connectors(i32::from(*evse), types)
                }),
            evses: vec![Evse::default(); usize::from(config.evses)],
            evse_manager: config.evse_manager,
            validators: Validators::new(&config.tokens, config.unlisted_verdict),
            inquiry: inquiry.map(|config| Inquiry::new(config, deviations)),
            charge_point: config.charge_point.as_ref().map(|it| ChargePoint::new(it, config.evses)),
            api: Api::new(is_latching, deviations),
            replies: Replies::default(),
            modules: ApiModule::all(config, deviations),
            ready: false,
            selects_last: config.auth.selection_algorithm == SelectionAlgorithm::PlugEventsLIFO,
            ended: None,
            for_auth: VecDeque::new(),
            retained: Vec::new(),
            deviations,
            now: Duration::ZERO,
        }
    }

    /// Has the station do what a given EVerest did where EVerest may do more than one thing: which of its threads come
    /// first, and how long the thread of `auth_consumer` takes for a withdraw request ([`Input::RequestDone`] ends it;
    /// otherwise no time at all).
    pub fn follow(&mut self, chosen: auth::Chosen) {
        self.auth.follow(chosen);
        self.api.be_driven();
    }

    /// The points where there was a choice so far.
    pub fn races(&self) -> &[auth::Race] {
        self.auth.races()
    }

    /// See [`AuthManager::contests`].
    pub fn contests(&self) -> u64 {
        self.auth.contests()
    }

    /// Whether the thread of `auth_consumer` waits for [`Input::RequestDone`].
    pub fn awaits_request_done(&self) -> bool {
        self.ended.is_none() && self.api.lingers()
    }

    /// Takes one input; total: what cannot be is [`Effect::Ignored`].
    ///
    /// `now` counts from any fixed moment. Whatever was due by then happens first; a time before the last one counts as
    /// the last one.
    pub fn apply(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        let now = self.now.max(now);
        let mut out = Vec::new();
        self.run_out(now, &mut out);
        if self.ended.is_some() {
            out.push(ignored("EVerest has ended"));
            return out;
        }
        self.take(input, &mut out);
        self.work_on_messages(&mut out);
        self.settle_charge_point(&mut out);
        self.run_out(now, &mut out);
        out
    }

    /// As [`Station::apply`], for what is asked of the charge point by somebody who waits for an answer.
    ///
    /// # Errors
    /// Why it was not done, in words; nothing has changed then.
    pub fn request(&mut self, now: Duration, request: Request) -> (Result<Answer, String>, Vec<Effect>) {
        let mut out = self.apply(now, Input::Deadline);
        let answer = match self.ended {
            Some(why) => Err(format!("EVerest has ended: {why}")),
            None => self.fulfil(request, &mut out),
        };
        self.settle_charge_point(&mut out);
        self.run_out(self.now, &mut out);
        (answer, out)
    }

    fn take(&mut self, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::Ready => self.start(out),
            Input::Deadline => {}
            Input::Received { channel, payload } => self.receive(ApiType::AUTH_CONSUMER, channel, payload, out),
            Input::ReceivedAt { api, channel, payload } => self.receive(api, channel, payload, out),
            Input::Queried { entry_point, payload } => self.discover(&entry_point, &payload, out),
            Input::ValidatorReply { request, payload } => self.validator_replied(request, &payload, out),
            Input::Retained(_) if !self.deviations.is_on(Deviation::RetainedExecuted) => {
                out.push(ignored("a retained message"));
            }
            // The broker hands it over once somebody subscribes.
            Input::Retained(input) if !self.ready && comes_with_ready(&input) => self.retained.push(*input),
            Input::Retained(input) => self.take(*input, out),
            Input::Session { evse, event } => self.session_reported(evse, event, out),
            Input::Command(command) => self.obey(command, out),
            Input::RequestDone => self.api.end_request(),
            Input::Csms(input) => self.csms_said(input, out),
            Input::SetVerdict { value, validation } => self.validators.set_verdict(self.now, value, validation),
            Input::ResultUpdate { evse, result } => {
                self.tell_auth(auth::Input::ResultUpdate { evse, result }, None, out);
            }
        }
    }

    /// What a report of an EVSE means that has this name, such as those of `evse_manager`'s `session_event`; `None` for
    /// names that mean nothing to Auth.
    ///
    /// A session that starts at an EVSE that a token was granted to starts because of that token.
    pub fn session_event(&self, evse: i32, name: &str) -> Option<SessionEvent> {
        if name == SessionEvent::SessionStartedByPlugIn.name() {
            let is_granted = self.auth.evse_view(evse).is_some_and(|view| view.identifier.is_some());
            return Some(if is_granted {
                SessionEvent::SessionStartedByAuthorization
            } else {
                SessionEvent::SessionStartedByPlugIn
            });
        }
        SessionEvent::ALL.into_iter().find(|event| event.name() == name)
    }

    /// When [`Input::Deadline`] is due; `None` if nothing waits for time to pass.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.next_part().map(|(at, _)| at)
    }

    /// The first part that time does something to. Asked before and after every input, and so without detours.
    fn next_part(&self) -> Option<(Duration, Part)> {
        if self.ended.is_some() {
            return None;
        }
        let mut first: Option<(Duration, Part)> = None;
        // In the order of `Part`: the first of equal times stays.
        let mut offer = |at: Option<Duration>, part: Part| {
            if let Some(at) = at
                && first.is_none_or(|(earliest, _)| at < earliest)
            {
                first = Some((at, part));
            }
        };
        for (index, module) in self.modules.iter().enumerate() {
            offer(module.heartbeat.at(), Part::Heartbeat(index));
        }
        for (index, module) in self.modules.iter().enumerate() {
            offer(module.communication.at(), Part::Communication(index));
        }
        offer(self.validators.at(), Part::Validators);
        offer(self.inquiry.as_ref().and_then(Inquiry::at), Part::Inquiry);
        offer(self.charge_point.as_ref().and_then(|it| it.at(self.now, &self.evses)), Part::ChargePoint);
        offer(self.auth.next_deadline(), Part::Auth);
        offer(self.api.at(), Part::Api);
        offer(self.replies.at(), Part::Replies);
        first
    }

    /// Does what is due by `until`, each at its own time, so that a driver that is late changes nothing.
    fn run_out(&mut self, until: Duration, out: &mut Vec<Effect>) {
        while let Some((at, part)) = self.next_part().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            self.read_meters();
            match part {
                // Heartbeats alone are not made up for.
                Part::Heartbeat(index) => self.beat(index, until, out),
                Part::Communication(index) => {
                    let module = &mut self.modules[index];
                    let fault = module.communication.run_out();
                    out.push(Effect::Fault { api: module.api, fault, raised: true });
                }
                Part::Validators => {
                    if let Some((attempt, value, results)) = self.validators.answer() {
                        if let Some(result) = results.first() {
                            self.csms_inside_said(attempt, &value, result, out);
                        }
                        self.tell_auth(auth::Input::Validated { attempt, results }, None, out);
                    }
                }
                Part::Inquiry => self.validator_ran_out(out),
                Part::ChargePoint => self.charge_point_ran_out(out),
                Part::Auth => self.tell_auth(auth::Input::Deadline, None, out),
                Part::Api => {
                    self.api.give_up();
                    out.push(ignored("no reply: the withdraw request took longer than 300 s"));
                }
                Part::Replies => {
                    if let Some((reply_to, payload)) = self.replies.due(self.now) {
                        self.reply(Some(reply_to), Payload::Chosen(payload), out);
                    }
                }
            }
            self.work_on_messages(out);
            self.settle_charge_point(out);
        }
        self.now = until;
        self.read_meters();
    }

    /// EVerest ends by itself.
    pub(super) fn exit(&mut self, why: &'static str, out: &mut Vec<Effect>) {
        self.ended = Some(why);
        out.push(Effect::Exit { why });
    }

    fn start(&mut self, out: &mut Vec<Effect>) {
        if mem::replace(&mut self.ready, true) {
            out.push(ignored("the station is ready already"));
            return;
        }
        if self.selects_last && self.deviations.is_on(Deviation::NoPlugEventsLifo) {
            return self.exit("Auth has no selection algorithm PlugEventsLIFO", out);
        }
        for id in (1..).take(self.evses.len()) {
            self.at_evse(id, |evse| Ok(evse.wake()), out);
        }
        self.tell_boot(out);
        for module in &mut self.modules {
            module.heartbeat.start(self.now);
        }
        self.run_out(self.now, out);
        for module in &mut self.modules {
            if let Some(fault) = module.communication.start() {
                out.push(Effect::Fault { api: module.api, fault, raised: true });
            }
        }
        if !self.deviations.is_on(Deviation::NoEntryPoint) {
            let beacons = if self.deviations.is_on(Deviation::BeaconPerModule) { self.modules.len() } else { 1 };
            let beacon = Effect::Publish { to: Address::ReadyBeacon, payload: Payload::Empty {} };
            out.extend(iter::repeat_n(beacon, beacons));
        }
        for input in mem::take(&mut self.retained) {
            self.take(input, out);
        }
    }

    fn beat(&mut self, index: usize, now: Duration, out: &mut Vec<Effect>) {
        let module = &mut self.modules[index];
        let number = module.heartbeat.beat(now);
        let is_empty = self.deviations.is_on(Deviation::EmptyHeartbeat);
        let payload = if is_empty { Payload::Empty {} } else { Payload::Heartbeat(number) };
        let to = match module.api {
            ApiType::AUTH_CONSUMER => Address::Channel(Channel::HEARTBEAT),
            api => Address::ChannelOf(api, Channel::HEARTBEAT),
        };
        out.push(Effect::Publish { to, payload });
    }

    fn obey(&mut self, command: Command, out: &mut Vec<Effect>) {
        match command {
            _ if self.evse_manager == EvseManager::External && moves_evse(&command) => {
                out.push(ignored("the EVSEs are moved by somebody else, who reports it"));
            }
            Command::PlugIn(it) => self.at_connector(it, Evse::plug_in_at, out),
            Command::Unplug(it) => self.at_evse(it.evse, Evse::unplug, out),
            Command::StartTransaction(it) => self.at_evse(it.evse, Evse::start_transaction, out),
            Command::StopTransaction(it) => self.at_evse(it.evse, Evse::stop_transaction, out),
            Command::InjectFault(it) => self.at_connector(it, Evse::inject_fault_at, out),
            Command::ClearFault(it) => self.at_connector(it, Evse::clear_fault_at, out),
            Command::Disable(it) => self.at_connector(it, Evse::disable, out),
            Command::Enable(it) => self.at_connector(it, Evse::enable, out),
            Command::PauseCharging(it) => self.at_evse(it.evse, |evse| evse.pause_charging(it.by), out),
            Command::ResumeCharging(it) => self.at_evse(it.evse, Evse::resume_charging, out),
            Command::Authorize(it) => self.at_evse(it.evse, Evse::authorize, out),
            Command::Reserve(wish) => self.ask_auth_to_reserve(wish, out),
            Command::CancelReservation { reservation_id } => {
                self.tell_auth(auth::Input::CancelReservation { reservation_id }, None, out);
            }
            Command::PresentToken { token, validation } => self.present(token, validation, out),
            Command::SetVerdict { token, validation } => {
                self.validators.set_verdict(self.now, token.id_token.value, validation);
            }
            Command::UpdateVerdict(update) => {
                let (evse, result) = (update.connector_id, update.validation_result);
                self.tell_auth(auth::Input::ResultUpdate { evse, result }, None, out);
            }
            Command::Heartbeats(control) => {
                // Modules without heartbeats are no reason to complain as long as one has them.
                let outcomes: Vec<_> =
                    self.modules.iter_mut().map(|module| module.heartbeat.control(self.now, control)).collect();
                if let (Some(Err(why)), true) = (outcomes.first(), outcomes.iter().all(Result::is_err)) {
                    out.push(ignored(*why));
                }
            }
            Command::SetReply(set) => self.choose_reply(set, out),
            Command::Withdraw(_)
            | Command::GetStatus {}
            | Command::Discover {}
            | Command::QueryModules(_)
            | Command::CommunicationCheck(_) => {
                out.push(ignored("a command for a client, not for EVerest's side"));
            }
        }
    }

    pub(super) fn present(&mut self, mut token: ProvidedIdToken, validation: Validation, out: &mut Vec<Effect>) {
        token.certificate_hash_data.take_if(|_| self.deviations.is_on(Deviation::CertificateHashDataDropped));
        if self.ready {
            self.tell_auth(auth::Input::Token(token), Some(validation), out);
        } else {
            out.push(ignored("EVerest is not ready: the token is discarded"));
        }
    }

    /// The tariff messages, and what the validators said, as a status carries them.
    fn told(
        &self,
        messages: Vec<MessageContent>,
        results: Vec<ValidationResult>,
    ) -> (Option<Vec<MessageContent>>, Option<Vec<ValidationResult>>) {
        let is_on = |deviation| self.deviations.is_on(deviation);
        let results = Some(results).filter(|_| is_on(Deviation::ValidationResults));
        let messages = match &results {
            Some(results) => results.iter().flat_map(|result| result.tariff_messages.iter().cloned()).collect(),
            None => messages,
        };
        let always = is_on(Deviation::MessagesAlwaysPresent);
        let is_there = !is_on(Deviation::NoMessages) && (always || !messages.is_empty());
        (is_there.then_some(messages), results)
    }

    /// Hands an input to Auth and carries out what it does. What EVSEs report meanwhile reaches Auth afterwards, as it
    /// does in EVerest, where Auth holds its lock until it is done; see also [`Deviation::WithdrawBlocksAuth`].
    ///
    /// `validation` is what the validators say if they are asked about the token of this input.
    pub(super) fn tell_auth(&mut self, input: auth::Input, validation: Option<Validation>, out: &mut Vec<Effect>) {
        match input {
            // Results of commands and timers come by threads of their own.
            auth::Input::Validated { .. } | auth::Input::Deadline => self.auth_takes(input, None, out),
            message => self.for_auth.push_back((message, validation)),
        }
        while let Some((message, validation)) = self.next_for_auth() {
            self.auth_takes(message, validation, out);
        }
    }

    /// The next message for Auth, unless nobody takes it.
    fn next_for_auth(&mut self) -> Option<(auth::Input, Option<Validation>)> {
        let waits = self.deviations.is_on(Deviation::WithdrawBlocksAuth) && self.auth.is_withdrawing();
        if self.ended.is_some() || waits { None } else { self.for_auth.pop_front() }
    }

    fn auth_takes(&mut self, input: auth::Input, mut validation: Option<Validation>, out: &mut Vec<Effect>) {
        let mut effects = self.auth.apply(self.now, input);
        if self.deviations.is_on(Deviation::ReplyBeforeWithdrawn) {
            effects = with_replies_first(effects);
        }
        for effect in effects {
            match effect {
                auth::Effect::Status { token, status, messages, results } => {
                    if !self.deviations.is_on(Deviation::UnlistedStatuses) && !self.deviations.release().lists(status) {
                        continue;
                    }
                    self.note_status(&token, status);
                    let (messages, validation_results) = self.told(messages, results);
                    let message = TokenValidationStatusMessage { messages, status, token, validation_results };
                    let message = Arc::new(message);
                    self.api.latch(&message);
                    out.push(publish(Channel::TOKEN_VALIDATION_STATUS, Payload::Status(message)));
                }
                auth::Effect::Validate { attempt, token } => {
                    if self.charge_point.is_some() {
                        self.charge_point_asked(attempt, token, validation.take(), out);
                    } else if let Some(inquiry) = &mut self.inquiry {
                        inquiry.ask(self.now, attempt, token);
                        self.ask_validator(out);
                    } else if let Some(carried) = validation.take() {
                        self.validators.ask(self.now, attempt, token.id_token.value, carried);
                    }
                }
                auth::Effect::Call { evse: id, call } => {
                    self.note_call(id, &call);
                    self.obey_call(id, call, out);
                }
                auth::Effect::ReservationResult { reservation_id, result } => {
                    out.push(Effect::ReservationResult { reservation_id, result });
                }
                auth::Effect::ReservationCancelled { reservation_id, is_cancelled } => {
                    out.push(Effect::ReservationCancelled { reservation_id, is_cancelled });
                }
                auth::Effect::ReservationUpdate { reservation_id, status } => {
                    self.note_reservation(reservation_id, status, out);
                    out.push(Effect::ReservationUpdate { reservation_id, status });
                }
                auth::Effect::WithdrawResult { id, result } => match self.api.end_withdraw(id) {
                    Some(reply_to) => self.reply(reply_to, Payload::WithdrawResult(result), out),
                    None => out.push(ignored("the result of a withdraw request that was given up")),
                },
                auth::Effect::Exit { why } => self.exit(why, out),
                auth::Effect::Ignored { why } => out.push(ignored(why)),
            }
            if self.ended.is_some() {
                return;
            }
        }
    }
}

fn publish(channel: Channel, payload: Payload) -> Effect {
    Effect::Publish { to: Address::Channel(channel), payload }
}

/// Whether EVerest hears this once it is ready, and not before.
fn comes_with_ready(input: &Input) -> bool {
    match input {
        Input::Received { channel, .. } | Input::ReceivedAt { channel, .. } => {
            *channel != Channel::GET_TOKEN_VALIDATION_STATUS
        }
        _ => false,
    }
}

/// Whether a command is about an EVSE, its EV or its session, of which session events tell; of faults they do not.
fn moves_evse(command: &Command) -> bool {
    match command {
        Command::PlugIn(_)
        | Command::Unplug(_)
        | Command::StartTransaction(_)
        | Command::StopTransaction(_)
        | Command::PauseCharging(_)
        | Command::ResumeCharging(_)
        | Command::Authorize(_)
        | Command::Disable(_)
        | Command::Enable(_) => true,
        Command::InjectFault(_)
        | Command::ClearFault(_)
        | Command::PresentToken { .. }
        | Command::SetVerdict { .. }
        | Command::UpdateVerdict(_)
        | Command::Reserve(_)
        | Command::CancelReservation { .. }
        | Command::Heartbeats(_)
        | Command::SetReply(_)
        | Command::Withdraw(_)
        | Command::GetStatus {}
        | Command::Discover {}
        | Command::QueryModules(_)
        | Command::CommunicationCheck(_) => false,
    }
}

/// The `Withdrawn` statuses that a reply announces come after it.
fn with_replies_first(effects: Vec<auth::Effect>) -> Vec<auth::Effect> {
    let is_withdrawn =
        |effect: &auth::Effect| matches!(effect, auth::Effect::Status { status: TokenValidationStatus::Withdrawn, .. });
    let (withdrawn, mut effects): (Vec<_>, Vec<_>) = effects.into_iter().partition(is_withdrawn);
    effects.extend(withdrawn);
    effects
}

pub(super) fn ignored(why: impl Into<Cow<'static, str>>) -> Effect {
    Effect::Ignored { why: why.into() }
}

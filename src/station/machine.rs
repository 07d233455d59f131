//! The station's parts at work: every input to the part it concerns, and what one part does to the others.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::api::Api;
use super::communication::CommunicationCheck;
use super::config::StationConfig;
use super::evse::Evse;
use super::heartbeat::Heartbeat;
use super::validators::Validators;
use super::{Address, Effect, Input, Payload};
use crate::auth::{self, AuthManager, SessionEvent};
use crate::protocol::channel::Channel;
use crate::protocol::codec::{self, Decoded};
use crate::protocol::control::{Command, Validation};
use crate::protocol::deviations::{Deviation, Deviations};
use crate::protocol::types::{MessageContent, ProvidedIdToken, TokenValidationStatusMessage};

/// A charging station with EVerest in it.
#[derive(Debug, Clone)]
pub struct Station {
    pub(super) auth: AuthManager,
    /// EVSE `n` stands at index `n - 1`.
    pub(super) evses: Vec<Evse>,
    validators: Validators,
    pub(super) api: Api,
    pub(super) heartbeat: Heartbeat,
    pub(super) communication: CommunicationCheck,
    pub(super) ready: bool,
    pub(super) deviations: Deviations,
    /// The latest time seen; time does not run backwards.
    now: Duration,
}

/// Which part a deadline belongs to; the first one goes first among equal times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Heartbeat,
    Communication,
    Validators,
    Auth,
    Api,
}

impl Station {
    /// A station before [`Input::Ready`], with no EV plugged in.
    pub fn new(config: &StationConfig) -> Self {
        Self {
            auth: AuthManager::with_deviations(&config.auth, config.evses, config.in_force()),
            evses: vec![Evse::default(); usize::from(config.evses)],
            validators: Validators::default(),
            api: Api::new(config.auth_consumer.latch_variable_values),
            heartbeat: Heartbeat::new(config.auth_consumer.cfg_heartbeat_interval_ms),
            communication: CommunicationCheck::new(config.auth_consumer.cfg_communication_check_to_s),
            ready: false,
            deviations: config.in_force(),
            now: Duration::ZERO,
        }
    }

    /// Takes one input; total: what cannot be is [`Effect::Ignored`].
    ///
    /// `now` counts from any fixed moment. Whatever was due by then happens first; a time before the last one counts as
    /// the last one.
    pub fn apply(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        let now = self.now.max(now);
        let mut out = Vec::new();
        self.run_out(now, &mut out);
        match input {
            Input::Ready => self.start(&mut out),
            Input::Deadline => {}
            Input::Received { channel, payload } => self.receive(channel, payload, &mut out),
            Input::Command(command) => self.obey(command, &mut out),
            Input::SetVerdict { value, validation } => self.validators.set_verdict(self.now, value, validation),
            Input::ResultUpdate { evse, result } => {
                self.tell_auth(auth::Input::ResultUpdate { evse, result }, None, &mut out);
            }
        }
        self.work_on_messages(&mut out);
        self.run_out(now, &mut out);
        out
    }

    /// When [`Input::Deadline`] is due; `None` if nothing waits for time to pass.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.next_part().map(|(at, _)| at)
    }

    fn next_part(&self) -> Option<(Duration, Part)> {
        [
            (self.heartbeat.at(), Part::Heartbeat),
            (self.communication.at(), Part::Communication),
            (self.validators.at(), Part::Validators),
            (self.auth.next_deadline(), Part::Auth),
            (self.api.at(), Part::Api),
        ]
        .into_iter()
        .filter_map(|(at, part)| Some((at?, part)))
        .min()
    }

    /// Does what is due by `until`, each at its own time, so that a driver that is late changes nothing.
    fn run_out(&mut self, until: Duration, out: &mut Vec<Effect>) {
        while let Some((at, part)) = self.next_part().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            match part {
                Part::Heartbeat => {
                    // Heartbeats alone are not made up for.
                    let number = self.heartbeat.beat(until);
                    out.push(publish(Channel::Heartbeat, Payload::Heartbeat(number)));
                }
                Part::Communication => {
                    out.push(Effect::Fault { fault: self.communication.run_out(), raised: true });
                }
                Part::Validators => {
                    if let Some((attempt, result)) = self.validators.answer() {
                        self.tell_auth(auth::Input::Validated { attempt, results: vec![result] }, None, out);
                    }
                }
                Part::Auth => self.tell_auth(auth::Input::Deadline, None, out),
                Part::Api => {
                    self.api.give_up();
                    out.push(ignored("no reply: the withdraw request took longer than 300 s"));
                }
            }
            self.work_on_messages(out);
        }
        self.now = until;
    }

    fn start(&mut self, out: &mut Vec<Effect>) {
        if std::mem::replace(&mut self.ready, true) {
            out.push(ignored("the station is ready already"));
            return;
        }
        self.heartbeat.start(self.now);
        self.run_out(self.now, out);
        if let Some(fault) = self.communication.start() {
            out.push(Effect::Fault { fault, raised: true });
        }
    }

    fn receive(&mut self, channel: Channel, payload: Bytes, out: &mut Vec<Effect>) {
        match channel {
            Channel::TokenValidationStatus | Channel::Heartbeat => {
                out.push(ignored("EVerest publishes on this channel and does not listen"));
            }
            // The getter is subscribed before EVerest is ready, the others with it.
            Channel::GetTokenValidationStatus if !self.api.is_latching() => {
                out.push(ignored("latch_variable_values is off: nobody listens"));
            }
            Channel::WithdrawAuthorization | Channel::CommunicationCheck if !self.ready => {
                out.push(ignored("EVerest is not ready: nobody listens yet"));
            }
            _ => self.api.push(channel, payload),
        }
    }

    /// Handles messages of clients until one has to wait.
    fn work_on_messages(&mut self, out: &mut Vec<Effect>) {
        while let Some((channel, payload)) = self.api.next_message() {
            match channel {
                Channel::WithdrawAuthorization => self.withdraw(&payload, out),
                Channel::GetTokenValidationStatus => match codec::decode_get(&payload, self.deviations) {
                    Decoded::Execute { reply_to, .. } => reply(reply_to, self.api.latch_reply(), out),
                    Decoded::NotExecuted { why } => out.push(ignored(why)),
                },
                Channel::CommunicationCheck => self.check_communication(&payload, out),
                Channel::TokenValidationStatus | Channel::Heartbeat => {}
            }
        }
    }

    fn withdraw(&mut self, payload: &[u8], out: &mut Vec<Effect>) {
        match codec::decode_withdraw(payload, self.deviations) {
            Decoded::Execute { request, reply_to } => {
                let id = self.api.begin_withdraw(self.now, reply_to);
                self.tell_auth(auth::Input::Withdraw { id, request }, None, out);
            }
            Decoded::NotExecuted { why } => out.push(ignored(why)),
        }
    }

    fn check_communication(&mut self, payload: &[u8], out: &mut Vec<Effect>) {
        let good = match codec::decode_communication_check(payload, self.deviations) {
            Ok(good) => good,
            Err(why) => return out.push(ignored(why)),
        };
        match self.communication.message(self.now, good) {
            Ok(Some(fault)) => out.push(Effect::Fault { fault, raised: false }),
            Ok(None) => {}
            Err(why) => out.push(ignored(why)),
        }
    }

    fn obey(&mut self, command: Command, out: &mut Vec<Effect>) {
        match command {
            Command::PlugIn { evse } => self.at_evse(evse, Evse::plug_in, out),
            Command::Unplug { evse } => self.at_evse(evse, Evse::unplug, out),
            Command::StartTransaction { evse } => self.at_evse(evse, Evse::start_transaction, out),
            Command::StopTransaction { evse } => self.at_evse(evse, Evse::stop_transaction, out),
            Command::InjectFault { evse } => self.at_evse(evse, Evse::inject_fault, out),
            Command::ClearFault { evse } => self.at_evse(evse, Evse::clear_fault, out),
            Command::PresentToken { token, validation } => self.present(token, validation, out),
            Command::Heartbeats(control) => {
                if let Err(why) = self.heartbeat.control(self.now, control) {
                    out.push(ignored(why));
                }
            }
            Command::Withdraw(_) | Command::GetStatus {} | Command::CommunicationCheck(_) => {
                out.push(ignored("a command for a client, not for EVerest's side"));
            }
        }
    }

    fn present(&mut self, mut token: ProvidedIdToken, validation: Validation, out: &mut Vec<Effect>) {
        token.certificate_hash_data.take_if(|_| self.deviations.is_on(Deviation::CertificateHashDataDropped));
        if self.ready {
            self.tell_auth(auth::Input::Token(token), Some(validation), out);
        } else {
            out.push(ignored("EVerest is not ready: the token is discarded"));
        }
    }

    /// The tariff messages as a status carries them.
    fn told(&self, messages: Vec<MessageContent>) -> Option<Vec<MessageContent>> {
        if self.deviations.is_on(Deviation::NoMessages) {
            return None;
        }
        Some(messages)
            .filter(|messages| self.deviations.is_on(Deviation::MessagesAlwaysPresent) || !messages.is_empty())
    }

    /// Something happens at an EVSE; the EVSE reports it.
    fn at_evse(
        &mut self,
        id: i32,
        act: impl FnOnce(&mut Evse) -> Result<&'static [SessionEvent], &'static str>,
        out: &mut Vec<Effect>,
    ) {
        let Some(evse) = evse_mut(&mut self.evses, id) else {
            return out.push(ignored(format!("there is no EVSE {id}")));
        };
        match act(evse) {
            Ok(events) => {
                for &event in events {
                    out.push(Effect::SessionEvent { evse: id, event });
                }
                for &event in events {
                    self.tell_auth(auth::Input::Session { evse: id, event }, None, out);
                }
            }
            Err(why) => out.push(ignored(format!("EVSE {id}: {why}"))),
        }
    }

    /// Hands an input to Auth and carries out what it does. What EVSEs report meanwhile reaches Auth afterwards, as it
    /// does in EVerest, where Auth holds its lock until it is done.
    ///
    /// `validation` is what the validators say if they are asked about the token of this input.
    fn tell_auth(&mut self, input: auth::Input, mut validation: Option<Validation>, out: &mut Vec<Effect>) {
        let mut reports = VecDeque::new();
        let mut next = Some(input);
        while let Some(input) = next {
            for effect in self.auth.apply(self.now, input) {
                match effect {
                    auth::Effect::Status { token, status, messages } => {
                        if !self.deviations.is_on(Deviation::UnlistedStatuses)
                            && !self.deviations.release().lists(status)
                        {
                            continue;
                        }
                        let messages = self.told(messages);
                        let message = Arc::new(TokenValidationStatusMessage { messages, status, token });
                        self.api.latch(&message);
                        out.push(publish(Channel::TokenValidationStatus, Payload::Status(message)));
                    }
                    auth::Effect::Validate { attempt, token } => {
                        if let Some(carried) = validation.take() {
                            self.validators.ask(self.now, attempt, token.id_token.value, carried);
                        }
                    }
                    auth::Effect::Call { evse: id, call } => {
                        let events = evse_mut(&mut self.evses, id).map(|evse| evse.obey(&call)).unwrap_or_default();
                        out.push(Effect::EvseCall { evse: id, call });
                        for &event in events {
                            out.push(Effect::SessionEvent { evse: id, event });
                            reports.push_back((id, event));
                        }
                    }
                    auth::Effect::WithdrawResult { id, result } => match self.api.end_withdraw(id) {
                        Some(reply_to) => reply(reply_to, Payload::WithdrawResult(result), out),
                        None => out.push(ignored("the result of a withdraw request that was given up")),
                    },
                    auth::Effect::Ignored { why } => out.push(ignored(why)),
                }
            }
            next = reports.pop_front().map(|(evse, event)| auth::Input::Session { evse, event });
        }
    }
}

fn evse_mut(evses: &mut [Evse], id: i32) -> Option<&mut Evse> {
    evses.get_mut(usize::try_from(id).ok()?.checked_sub(1)?)
}

fn publish(channel: Channel, payload: Payload) -> Effect {
    Effect::Publish { to: Address::Channel(channel), payload }
}

fn reply(reply_to: Option<String>, payload: Payload, out: &mut Vec<Effect>) {
    let Some(topic) = reply_to else { return out.push(ignored("executed without reply: no `headers.replyTo`")) };
    out.push(match codec::unusable_topic(&topic) {
        Some(why) => ignored(format!("executed without reply: {why}")),
        None => Effect::Publish { to: Address::Reply(topic), payload },
    });
}

fn ignored(why: impl Into<Cow<'static, str>>) -> Effect {
    Effect::Ignored { why: why.into() }
}

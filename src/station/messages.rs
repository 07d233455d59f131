//! Messages of clients, and what the API modules make of them (`auth_consumer_API.cpp`, `auth_token_provider_API.cpp`,
//! `auth_token_validator_API.cpp`, `ApiHelper.cpp`).

use std::time::Duration;

use bytes::Bytes;

use super::api::Request;
use super::machine::{Station, ignored};
use super::replies::Chosen;
use super::{Address, Effect, Payload, RequestId};
use crate::auth;
use crate::protocol::channel::{ApiType, Channel, EntryPoint};
use crate::protocol::codec::{self, Decoded};
use crate::protocol::control::SetReply;
use crate::protocol::deviations::Deviation;
use crate::protocol::types::{AuthorizationStatus, ValidationResult};

impl Station {
    pub(super) fn receive(&mut self, api: ApiType, channel: Channel, payload: Bytes, out: &mut Vec<Effect>) {
        let Some(index) = self.modules.iter().position(|module| module.api == api) else {
            return out.push(ignored(format!("there is no module with the API {}", api.name())));
        };
        if let Err(why) = self.is_heard(api, channel) {
            return out.push(ignored(why));
        }
        if let Some(chosen) = self.replies.of(channel).cloned() {
            return self.reply_as_chosen(channel, &payload, chosen, out);
        }
        match (api, channel) {
            (ApiType::AUTH_CONSUMER, _) => self.api.push(Request::On(channel), payload),
            (_, Channel::COMMUNICATION_CHECK) => self.check_communication(index, &payload, out),
            (_, Channel::PROVIDED_TOKEN) => self.token_provided(&payload, out),
            _ if !api.behaviour().is_known() => out.push(ignored("it is not known what EVerest makes of this message")),
            _ => match codec::decode_result_update(&payload, self.deviations) {
                Ok(update) => {
                    let (evse, result) = (update.connector_id, update.validation_result);
                    self.tell_auth(auth::Input::ResultUpdate { evse, result }, None, out);
                }
                Err(why) => out.push(ignored(why)),
            },
        }
    }

    /// Whether EVerest has subscribed to a channel by now, or why not.
    fn is_heard(&self, api: ApiType, channel: Channel) -> Result<(), &'static str> {
        if channel.is_from_everest() {
            return Err("EVerest publishes on this channel and does not listen");
        }
        let is_former = api.former_channels().any(|former| former == channel);
        if !is_former && !api.has(channel) {
            return Err("this API has no such channel");
        }
        if is_former && !channel.runs(self.deviations) {
            return Err("this release has no such command");
        }
        if channel == Channel::SET_MASTER_PASS_GROUP_ID && !self.deviations.is_on(Deviation::MasterPassAddress) {
            return Err("the specification has another address for this command");
        }
        // The getter is subscribed before EVerest is ready, the others with it.
        if channel == Channel::GET_TOKEN_VALIDATION_STATUS {
            return match self.api.is_latching() {
                true => Ok(()),
                false if !channel.runs(self.deviations) => Err("this release has no latched getter"),
                false => Err("latch_variable_values is off: nobody listens"),
            };
        }
        if self.ready { Ok(()) } else { Err("EVerest is not ready: nobody listens yet") }
    }

    /// Handles messages of clients until one has to wait.
    pub(super) fn work_on_messages(&mut self, out: &mut Vec<Effect>) {
        while self.ended.is_none()
            && let Some((request, payload)) = self.api.next_message()
        {
            match request {
                Request::On(Channel::WITHDRAW_AUTHORIZATION) => self.withdraw(&payload, out),
                Request::On(Channel::GET_TOKEN_VALIDATION_STATUS) => {
                    let reply = self.api.latch_reply();
                    self.answer(&payload, reply, out);
                }
                Request::On(Channel::COMMUNICATION_CHECK) => self.check_communication(0, &payload, out),
                Request::On(Channel::SET_CONNECTION_TIMEOUT) => self.set_connection_timeout(&payload, out),
                Request::On(Channel::SET_MASTER_PASS_GROUP_ID) => self.set_master_pass_group(&payload, out),
                Request::On(_) => {}
                Request::Discover => {
                    let discovery = Payload::Discovery(Box::new(self.modules[0].discovery()));
                    self.answer(&payload, discovery, out);
                }
            }
        }
    }

    /// Every module that is meant answers; `auth_consumer` when it comes to it.
    pub(super) fn discover(&mut self, entry_point: &EntryPoint, payload: &Bytes, out: &mut Vec<Effect>) {
        if self.deviations.is_on(Deviation::NoEntryPoint) {
            return out.push(ignored("this release has no entry point"));
        }
        if !self.modules.iter().any(|module| entry_point.concerns(module.api)) {
            return out.push(ignored("there is no module with that API"));
        }
        for index in (1..self.modules.len()).rev() {
            if entry_point.concerns(self.modules[index].api) {
                let discovery = Payload::Discovery(Box::new(self.modules[index].discovery()));
                self.answer(payload, discovery, out);
            }
        }
        if entry_point.concerns(ApiType::AUTH_CONSUMER) {
            self.api.push(Request::Discover, payload.clone());
        }
    }

    /// Answers a request whose payload does not matter.
    fn answer(&mut self, request: &[u8], reply: Payload, out: &mut Vec<Effect>) {
        match codec::decode_get(request, self.deviations) {
            Decoded::Execute { reply_to, .. } => self.reply(reply_to, reply, out),
            Decoded::NotExecuted { why } => out.push(ignored(why)),
        }
    }

    /// Chooses what requests on a channel get.
    pub(super) fn choose_reply(&mut self, set: SetReply, out: &mut Vec<Effect>) {
        let channels = self.modules.iter().filter_map(|module| module.api.channel(&set.to));
        match channels.into_iter().find(|channel| channel.is_request() && !channel.is_from_everest()) {
            Some(channel) => self.replies.choose(channel, set, self.now),
            None => out.push(ignored(format!("no module of EVerest takes requests on `{}`", set.to))),
        }
    }

    /// Has a request get a reply that somebody has chosen; nobody does what it asks for.
    fn reply_as_chosen(&mut self, channel: Channel, request: &[u8], chosen: Chosen, out: &mut Vec<Effect>) {
        let reply_to = match codec::decode_get(request, self.deviations) {
            Decoded::Execute { reply_to, .. } => reply_to,
            Decoded::NotExecuted { why } => return out.push(ignored(why)),
        };
        match (chosen.payload, reply_to) {
            (None, _) => out.push(ignored("nobody replies: so it was chosen")),
            (Some(payload), Some(reply_to)) if !chosen.after.is_zero() => {
                self.replies.put_off(channel, self.now.saturating_add(chosen.after), reply_to, payload);
            }
            (Some(payload), reply_to) => self.reply(reply_to, Payload::Chosen(payload), out),
        }
    }

    fn withdraw(&mut self, payload: &[u8], out: &mut Vec<Effect>) {
        if self.deviations.is_on(Deviation::ExitOnMissingReplyTo)
            && codec::lacks_reply_address(payload, self.deviations)
        {
            return self.exit("an assertion failed: a request without `headers.replyTo`", out);
        }
        match codec::decode_withdraw(payload, self.deviations) {
            Decoded::Execute { request, reply_to } => {
                let id = self.api.begin_withdraw(self.now, reply_to);
                self.tell_auth(auth::Input::Withdraw { id, request }, None, out);
            }
            Decoded::NotExecuted { why } => out.push(ignored(why)),
        }
    }

    fn check_communication(&mut self, index: usize, payload: &[u8], out: &mut Vec<Effect>) {
        let good = match codec::decode_communication_check(payload, self.deviations) {
            Ok(good) => good,
            Err(why) => return out.push(ignored(why)),
        };
        let module = &mut self.modules[index];
        match module.communication.message(self.now, good) {
            Ok(Some(fault)) => out.push(Effect::Fault { api: module.api, fault, raised: false }),
            Ok(None) => {}
            Err(why) => out.push(ignored(why)),
        }
    }

    fn set_connection_timeout(&mut self, payload: &[u8], out: &mut Vec<Effect>) {
        match codec::decode_connection_timeout(payload, self.deviations) {
            Ok(seconds) => {
                let timeout = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
                self.tell_auth(auth::Input::SetConnectionTimeout(timeout), None, out);
            }
            // One address for both commands: what is no number is meant for the other.
            Err(_) if !self.deviations.is_on(Deviation::MasterPassAddress) => self.set_master_pass_group(payload, out),
            Err(why) => out.push(ignored(why)),
        }
    }

    fn set_master_pass_group(&mut self, payload: &[u8], out: &mut Vec<Effect>) {
        match codec::decode_master_pass_group(payload, self.deviations) {
            Ok(group) => self.tell_auth(auth::Input::SetMasterPassGroup(group), None, out),
            Err(why) => out.push(ignored(why)),
        }
    }

    /// A token provider hands in a token.
    fn token_provided(&mut self, payload: &[u8], out: &mut Vec<Effect>) {
        match codec::decode_provided_token(payload, self.deviations) {
            Ok(token) => {
                let validation = self.validators.verdict(&token.id_token.value);
                self.present(token, validation, out);
            }
            Err(why) => out.push(ignored(why)),
        }
    }

    /// Sends the questions to the token validator that may be sent by now.
    pub(super) fn ask_validator(&mut self, out: &mut Vec<Effect>) {
        let Some(inquiry) = &mut self.inquiry else { return };
        while let Some((request, token)) = inquiry.next_question(self.now) {
            out.push(Effect::Ask { request, token: Box::new(token) });
        }
    }

    pub(super) fn validator_replied(&mut self, request: RequestId, payload: &[u8], out: &mut Vec<Effect>) {
        if !self.inquiry.as_ref().is_some_and(|inquiry| inquiry.is_open(request)) {
            return out.push(ignored("a reply that nobody waits for"));
        }
        match codec::decode_validation_reply(payload, self.deviations) {
            Ok(result) => self.end_inquiry(request, result, out),
            Err(why) if self.deviations.is_on(Deviation::BadReplyAwaitsAnother) => out.push(ignored(why)),
            Err(_) => self.end_inquiry(request, ValidationResult::new(AuthorizationStatus::Invalid), out),
        }
    }

    /// The token validator took too long, for its module or for Auth.
    pub(super) fn validator_ran_out(&mut self, out: &mut Vec<Effect>) {
        let Some(inquiry) = &mut self.inquiry else { return };
        if let Some(request) = inquiry.first_due(self.now) {
            self.end_inquiry(request, ValidationResult::new(AuthorizationStatus::Invalid), out);
        } else if let Some(attempt) = inquiry.ended_call(self.now) {
            let results = vec![ValidationResult::new(AuthorizationStatus::Unknown)];
            self.tell_auth(auth::Input::Validated { attempt, results }, None, out);
        }
    }

    fn end_inquiry(&mut self, request: RequestId, result: ValidationResult, out: &mut Vec<Effect>) {
        let Some(attempt) = self.inquiry.as_mut().and_then(|inquiry| inquiry.close(request)) else { return };
        out.push(Effect::Asked { request });
        self.tell_auth(auth::Input::Validated { attempt, results: vec![result] }, None, out);
        self.ask_validator(out);
    }

    /// Replies, unless the topic is none (`ValidatingMqttProxy.cpp`); earlier releases try all the same.
    pub(super) fn reply(&mut self, reply_to: Option<String>, payload: Payload, out: &mut Vec<Effect>) {
        let Some(mut topic) = reply_to else {
            return out.push(ignored("executed without reply: no `headers.replyTo`"));
        };
        if let Some(nul) = topic.find('\0').filter(|_| self.deviations.is_on(Deviation::NulCutsReplyTo)) {
            topic.truncate(nul);
        }
        let ends = topic.is_empty() && self.deviations.is_on(Deviation::ExitOnEmptyReplyTo)
            || topic.contains(['+', '#']) && self.deviations.is_on(Deviation::ExitOnWildcardReplyTo);
        if ends {
            return self.exit("the broker cut the API module off: it replied on an invalid topic", out);
        }
        out.push(match codec::unusable_topic(&topic) {
            Some(why) => ignored(format!("executed without reply: {why}")),
            None => Effect::Publish { to: Address::Reply(topic), payload },
        });
    }
}

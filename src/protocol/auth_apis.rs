//! The auth APIs: the names of them, of their channels and of their messages, for what is behaviour, and what of that is
//! about single messages. What these are stands in their descriptions alone.

use serde_json::Value;

use super::api::{Behaviour, Described, RETAINED, place_of};
use super::channel::{ApiType, Channel, channel};
use super::codec::{self, Decoded};
use super::deviations::Deviations;
use super::schema::Message;
use super::side::Side;

impl ApiType {
    /// Follows tokens and withdraws authorizations.
    pub const AUTH_CONSUMER: ApiType = ApiType(place_of!("auth_consumer"));
    /// Hands tokens in.
    pub const AUTH_TOKEN_PROVIDER: ApiType = ApiType(place_of!("auth_token_provider"));
    /// Says what tokens are worth.
    pub const AUTH_TOKEN_VALIDATOR: ApiType = ApiType(place_of!("auth_token_validator"));
    /// Those of them that a station may have modules of.
    pub const AUTH_APIS: [ApiType; 3] =
        [ApiType::AUTH_CONSUMER, ApiType::AUTH_TOKEN_PROVIDER, ApiType::AUTH_TOKEN_VALIDATOR];

    /// What is known of it beyond its description.
    pub fn behaviour(self) -> &'static dyn Behaviour {
        if ApiType::AUTH_APIS.contains(&self) { &Auth } else { &Described }
    }
}

impl Default for ApiType {
    fn default() -> Self {
        Self::AUTH_CONSUMER
    }
}

impl Channel {
    /// `e2m/token_validation_status`, EVerest to client.
    pub const TOKEN_VALIDATION_STATUS: Channel = channel!(ApiType::AUTH_CONSUMER, "token_validation_status");
    /// `m2e/withdraw_authorization`, a request of the client.
    pub const WITHDRAW_AUTHORIZATION: Channel = channel!(ApiType::AUTH_CONSUMER, "withdraw_authorization");
    /// `m2e/token_validation_status/get`, a request of the client for the latched status.
    pub const GET_TOKEN_VALIDATION_STATUS: Channel = channel!(ApiType::AUTH_CONSUMER, "get_token_validation_status");
    /// `m2e/set_connection_timeout`, client to EVerest, until 2025-11-20.
    pub const SET_CONNECTION_TIMEOUT: Channel = channel!(ApiType::AUTH_CONSUMER, "set_connection_timeout");
    /// `m2e/set_master_pass_group_id`, client to EVerest, until 2025-11-20.
    pub const SET_MASTER_PASS_GROUP_ID: Channel = channel!(ApiType::AUTH_CONSUMER, "set_master_pass_group_id");
    /// `m2e/provided_token`, token provider to EVerest.
    pub const PROVIDED_TOKEN: Channel = channel!(ApiType::AUTH_TOKEN_PROVIDER, "provided_token");
    /// `e2m/validate_token`, a request of EVerest to a token validator.
    pub const VALIDATE_TOKEN: Channel = channel!(ApiType::AUTH_TOKEN_VALIDATOR, "validate_token");
    /// `m2e/validate_result_update`, token validator to EVerest.
    pub const VALIDATE_RESULT_UPDATE: Channel = channel!(ApiType::AUTH_TOKEN_VALIDATOR, "validate_result_update");
}

/// What EVerest's Auth and its API modules make of messages.
struct Auth;

impl Behaviour for Auth {
    fn is_known(&self) -> bool {
        true
    }

    fn why_not_executed(&self, channel: Channel, payload: &[u8], in_force: Deviations) -> Option<String> {
        match (channel, codec::decode_withdraw(payload, in_force)) {
            (Channel::WITHDRAW_AUTHORIZATION, Decoded::NotExecuted { why }) => Some(why),
            _ => None,
        }
    }

    /// TV-14: only `Accepted` has texts.
    fn lawful(&self, on: Channel, mut message: Value) -> Value {
        let is_accepted = message.get("status").is_none_or(|status| status == "Accepted");
        if let Some(texts) =
            message.get_mut("messages").filter(|_| on == Channel::TOKEN_VALIDATION_STATUS && !is_accepted)
        {
            *texts = Value::Array(Vec::new());
        }
        message
    }

    fn requirement(&self, message: Message) -> &'static str {
        match message {
            Message::On(Channel::TOKEN_VALIDATION_STATUS) => "TV-1",
            Message::On(Channel::PROVIDED_TOKEN) => "TP-1",
            Message::On(Channel::VALIDATE_TOKEN) => "VA-1",
            Message::On(Channel::VALIDATE_RESULT_UPDATE) => "VA-8",
            Message::On(_) => "SC-1",
            Message::ReplyTo(Channel::VALIDATE_TOKEN) => "VA-4",
            Message::ReplyTo(Channel::GET_TOKEN_VALIDATION_STATUS) => "LV-2",
            Message::ReplyTo(_) => "RR-1",
        }
    }

    fn reply_requirement(&self, by: Side, to: Option<Channel>) -> &'static str {
        match (by, to) {
            (Side::Client, _) => "VA-3",
            (Side::Everest, Some(Channel::GET_TOKEN_VALIDATION_STATUS)) => "LV-2",
            (Side::Everest, _) => "RR-1",
        }
    }

    fn meant(&self, on: Channel) -> Option<&'static str> {
        match on {
            Channel::WITHDRAW_AUTHORIZATION => Some("WD-18"),
            Channel::VALIDATE_RESULT_UPDATE => Some("VA-8"),
            _ => None,
        }
    }

    fn question_requirement(&self) -> &'static str {
        "VA-2"
    }

    fn late_answer_requirement(&self) -> &'static str {
        "VA-5"
    }

    /// A request for the latched status is not answered where latching is off.
    fn owes_reply(&self, to: Channel) -> bool {
        to == Channel::WITHDRAW_AUTHORIZATION
    }

    fn command(&self, of: Message) -> Option<&'static str> {
        Some(match of {
            Message::On(Channel::WITHDRAW_AUTHORIZATION) => "withdraw",
            Message::On(Channel::GET_TOKEN_VALIDATION_STATUS) => "get_status",
            Message::On(Channel::PROVIDED_TOKEN) => "present_token",
            Message::On(Channel::VALIDATE_RESULT_UPDATE) => "update_verdict",
            Message::On(Channel::COMMUNICATION_CHECK) => "communication_check",
            Message::ReplyTo(Channel::VALIDATE_TOKEN) => "set_verdict",
            Message::On(_) | Message::ReplyTo(_) => return None,
        })
    }

    fn owed(&self, on: Channel) -> Option<(Value, &'static str)> {
        (on == Channel::COMMUNICATION_CHECK).then_some((Value::Bool(true), "CC-8"))
    }

    fn ends(&self, on: Channel) -> Option<(Value, &'static str)> {
        (on == Channel::COMMUNICATION_CHECK).then_some((Value::Bool(false), "CC-9"))
    }

    fn leads(&self, by: Message) -> bool {
        matches!(
            by,
            Message::On(Channel::WITHDRAW_AUTHORIZATION | Channel::PROVIDED_TOKEN | Channel::VALIDATE_RESULT_UPDATE)
                | Message::ReplyTo(Channel::VALIDATE_TOKEN)
        )
    }

    fn retained(&self, message: Message) -> (&'static str, &'static str) {
        match message {
            Message::On(Channel::PROVIDED_TOKEN) => {
                ("publish it without the flag: a retained token is presented again each time EVerest starts", "TP-3")
            }
            Message::ReplyTo(Channel::VALIDATE_TOKEN) | Message::On(Channel::VALIDATE_RESULT_UPDATE) => {
                ("publish it without the flag: it is for one moment only", "VA-10")
            }
            _ => RETAINED,
        }
    }
}

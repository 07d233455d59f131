//! The names of the auth APIs, of their channels and of their messages, for what is behaviour: what these are stands in their
//! descriptions alone.

use super::channel::{ApiType, Channel};
use super::schema::Message;

impl ApiType {
    /// Follows tokens and withdraws authorizations.
    pub const AUTH_CONSUMER: ApiType = ApiType::of("auth_consumer");
    /// Hands tokens in.
    pub const AUTH_TOKEN_PROVIDER: ApiType = ApiType::of("auth_token_provider");
    /// Says what tokens are worth.
    pub const AUTH_TOKEN_VALIDATOR: ApiType = ApiType::of("auth_token_validator");
    /// Those of them that a station may have modules of.
    pub const AUTH_APIS: [ApiType; 3] =
        [ApiType::AUTH_CONSUMER, ApiType::AUTH_TOKEN_PROVIDER, ApiType::AUTH_TOKEN_VALIDATOR];

    /// Whether it is one of them: of others, what EVerest makes of a message is not known.
    pub fn is_of_auth(self) -> bool {
        ApiType::AUTH_APIS.contains(&self)
    }
}

impl Default for ApiType {
    fn default() -> Self {
        Self::AUTH_CONSUMER
    }
}

impl Channel {
    /// `e2m/token_validation_status`, EVerest to client.
    pub const TOKEN_VALIDATION_STATUS: Channel = Channel::of(ApiType::AUTH_CONSUMER, "token_validation_status");
    /// `m2e/withdraw_authorization`, a request of the client.
    pub const WITHDRAW_AUTHORIZATION: Channel = Channel::of(ApiType::AUTH_CONSUMER, "withdraw_authorization");
    /// `m2e/token_validation_status/get`, a request of the client for the latched status.
    pub const GET_TOKEN_VALIDATION_STATUS: Channel = Channel::of(ApiType::AUTH_CONSUMER, "get_token_validation_status");
    /// `m2e/set_connection_timeout`, client to EVerest, until 2025-11-20.
    pub const SET_CONNECTION_TIMEOUT: Channel = Channel::of(ApiType::AUTH_CONSUMER, "set_connection_timeout");
    /// `m2e/set_master_pass_group_id`, client to EVerest, until 2025-11-20.
    pub const SET_MASTER_PASS_GROUP_ID: Channel = Channel::of(ApiType::AUTH_CONSUMER, "set_master_pass_group_id");
    /// `m2e/provided_token`, token provider to EVerest.
    pub const PROVIDED_TOKEN: Channel = Channel::of(ApiType::AUTH_TOKEN_PROVIDER, "provided_token");
    /// `e2m/validate_token`, a request of EVerest to a token validator.
    pub const VALIDATE_TOKEN: Channel = Channel::of(ApiType::AUTH_TOKEN_VALIDATOR, "validate_token");
    /// `m2e/validate_result_update`, token validator to EVerest.
    pub const VALIDATE_RESULT_UPDATE: Channel = Channel::of(ApiType::AUTH_TOKEN_VALIDATOR, "validate_result_update");
}

impl Message {
    /// The reply to a withdraw request.
    pub const WITHDRAW_REPLY: Message = Message::ReplyTo(Channel::WITHDRAW_AUTHORIZATION);
    /// The reply to a request for the latched status.
    pub const GET_REPLY: Message = Message::ReplyTo(Channel::GET_TOKEN_VALIDATION_STATUS);
    /// The reply of a token validator.
    pub const VALIDATE_REPLY: Message = Message::ReplyTo(Channel::VALIDATE_TOKEN);
}

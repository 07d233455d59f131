//! Channels of the API and their topics.
//!
//! Source: AsyncAPI `auth_consumer_API.yaml` (addresses), EVerest `everest_api_types/utilities/Topics.cpp` (pathname).

/// A place where messages of one kind pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// `e2m/token_validation_status`, EVerest to client.
    TokenValidationStatus,
    /// `e2m/heartbeat`, EVerest to client.
    Heartbeat,
    /// `m2e/withdraw_authorization`, a request of the client.
    WithdrawAuthorization,
    /// `m2e/token_validation_status/get`, a request of the client for the latched status.
    GetTokenValidationStatus,
    /// `m2e/communication_check`, client to EVerest.
    CommunicationCheck,
}

impl Channel {
    /// All channels, in the order of the specification.
    pub const ALL: [Channel; 5] = [
        Channel::WithdrawAuthorization,
        Channel::TokenValidationStatus,
        Channel::GetTokenValidationStatus,
        Channel::Heartbeat,
        Channel::CommunicationCheck,
    ];

    /// The address below the pathname, as the specification has it.
    pub fn address(self) -> &'static str {
        match self {
            Channel::TokenValidationStatus => "e2m/token_validation_status",
            Channel::Heartbeat => "e2m/heartbeat",
            Channel::WithdrawAuthorization => "m2e/withdraw_authorization",
            Channel::GetTokenValidationStatus => "m2e/token_validation_status/get",
            Channel::CommunicationCheck => "m2e/communication_check",
        }
    }

    /// The name used in scenarios and reports.
    pub fn name(self) -> &'static str {
        match self {
            Channel::TokenValidationStatus => "token_validation_status",
            Channel::Heartbeat => "heartbeat",
            Channel::WithdrawAuthorization => "withdraw_authorization",
            Channel::GetTokenValidationStatus => "get_token_validation_status",
            Channel::CommunicationCheck => "communication_check",
        }
    }

    /// Whether EVerest publishes here; otherwise the client does.
    pub fn is_from_everest(self) -> bool {
        matches!(self, Channel::TokenValidationStatus | Channel::Heartbeat)
    }

    /// Whether a message here asks for a reply on its `headers.replyTo`.
    pub fn is_request(self) -> bool {
        matches!(self, Channel::WithdrawAuthorization | Channel::GetTokenValidationStatus)
    }
}

/// The topics of one API module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// EVerest's external MQTT prefix, put before every topic as it is; default empty.
    pub external_prefix: String,
    /// `1`, or `1.0` as releases before 2025-10-28 had it.
    pub api_version: String,
    /// The id of the module in EVerest's configuration.
    pub module_id: String,
}

impl Topics {
    /// The pathname of the API module, without a slash at the end.
    pub fn base(&self) -> String {
        format!("{}everest_api/{}/auth_consumer/{}", self.external_prefix, self.api_version, self.module_id)
    }

    /// The topic of a channel.
    pub fn topic(&self, channel: Channel) -> String {
        format!("{}/{}", self.base(), channel.address())
    }

    /// The channel that a topic belongs to; `None` for replies and everything foreign.
    pub fn channel(&self, topic: &str) -> Option<Channel> {
        let address = topic
            .strip_prefix(self.external_prefix.as_str())?
            .strip_prefix("everest_api/")?
            .strip_prefix(self.api_version.as_str())?
            .strip_prefix("/auth_consumer/")?
            .strip_prefix(self.module_id.as_str())?
            .strip_prefix('/')?;
        Channel::ALL.into_iter().find(|channel| channel.address() == address)
    }

    /// Where a client that khumbu plays wants its replies; `id` must be unique.
    ///
    /// The specification's examples use this shape; any topic is allowed.
    pub fn reply_topic(&self, operation: &str, id: &str) -> String {
        format!("everest_api/{}/auth_consumer/{}/e2m/{operation}/{id}", self.api_version, self.module_id)
    }

    /// The topic on which a reply for `reply_to` passes: EVerest puts its external prefix before that too
    /// (framework, `Everest::external_mqtt_publish`).
    pub fn reply_topic_on_wire(&self, reply_to: &str) -> String {
        format!("{}{reply_to}", self.external_prefix)
    }

    /// Where a module under test can be told what to do, see [`crate::protocol::control`].
    pub fn control_topic(&self) -> String {
        format!("khumbu/{}/do", self.module_id)
    }

    /// Where the harness publishes to itself: once such a message is in the record, so is all it sent before.
    pub fn mark_topic(&self) -> String {
        format!("khumbu/{}/mark", self.module_id)
    }
}

//! APIs, their channels and the topics of these.
//!
//! Source: AsyncAPI `auth_consumer_API.yaml`, `auth_token_provider_API.yaml`, `auth_token_validator_API.yaml` and
//! `entrypoint_API.yaml` (addresses), EVerest `everest_api_types/utilities/Topics.cpp` (pathname).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::release::Release;

/// The kind of an API module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApiType {
    /// Follows tokens and withdraws authorizations.
    #[default]
    AuthConsumer,
    /// Hands tokens in.
    AuthTokenProvider,
    /// Says what tokens are worth.
    AuthTokenValidator,
}

impl ApiType {
    /// Every kind.
    pub const ALL: [ApiType; 3] = [ApiType::AuthConsumer, ApiType::AuthTokenProvider, ApiType::AuthTokenValidator];

    /// Its level in topics, and its name in discovery.
    pub fn name(self) -> &'static str {
        match self {
            ApiType::AuthConsumer => "auth_consumer",
            ApiType::AuthTokenProvider => "auth_token_provider",
            ApiType::AuthTokenValidator => "auth_token_validator",
        }
    }

    /// Its channels, in the order of its specification.
    pub fn channels(self) -> &'static [Channel] {
        match self {
            ApiType::AuthConsumer => &Channel::ALL,
            ApiType::AuthTokenProvider => &[Channel::ProvidedToken, Channel::Heartbeat, Channel::CommunicationCheck],
            ApiType::AuthTokenValidator => &[
                Channel::ValidateToken,
                Channel::ValidateResultUpdate,
                Channel::Heartbeat,
                Channel::CommunicationCheck,
            ],
        }
    }

    /// The channels it had in earlier releases and has no longer.
    pub fn former_channels(self) -> &'static [Channel] {
        match self {
            ApiType::AuthConsumer => &[Channel::SetConnectionTimeout, Channel::SetMasterPassGroupId],
            ApiType::AuthTokenProvider | ApiType::AuthTokenValidator => &[],
        }
    }
}

/// A place where messages of one kind pass. Each API has its own; heartbeat and communication check are in all.
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
    /// `m2e/set_connection_timeout`, client to EVerest, until 2025-11-20.
    SetConnectionTimeout,
    /// `m2e/set_master_pass_group_id`, client to EVerest, until 2025-11-20.
    SetMasterPassGroupId,
    /// `m2e/provided_token`, token provider to EVerest.
    ProvidedToken,
    /// `e2m/validate_token`, a request of EVerest to a token validator.
    ValidateToken,
    /// `m2e/validate_result_update`, token validator to EVerest.
    ValidateResultUpdate,
}

impl Channel {
    /// All channels of `auth_consumer`, in the order of the specification; see [`ApiType::channels`].
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
            Channel::SetConnectionTimeout => "m2e/set_connection_timeout",
            Channel::SetMasterPassGroupId => "m2e/set_master_pass_group_id",
            Channel::ProvidedToken => "m2e/provided_token",
            Channel::ValidateToken => "e2m/validate_token",
            Channel::ValidateResultUpdate => "m2e/validate_result_update",
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
            Channel::SetConnectionTimeout => "set_connection_timeout",
            Channel::SetMasterPassGroupId => "set_master_pass_group_id",
            Channel::ProvidedToken => "provided_token",
            Channel::ValidateToken => "validate_token",
            Channel::ValidateResultUpdate => "validate_result_update",
        }
    }

    /// Whether EVerest publishes here; otherwise the client does.
    pub fn is_from_everest(self) -> bool {
        matches!(self, Channel::TokenValidationStatus | Channel::Heartbeat | Channel::ValidateToken)
    }

    /// Whether a message here asks for a reply on its `headers.replyTo`.
    pub fn is_request(self) -> bool {
        matches!(self, Channel::WithdrawAuthorization | Channel::GetTokenValidationStatus | Channel::ValidateToken)
    }
}

/// A request of a client to whatever API modules there are; no module id stands in its topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryPoint {
    /// `everest_api/discover`: every API module answers.
    Discover,
    /// `everest_api/query-modules/{type}`: those of one type answer; the type may be anything.
    QueryModules(String),
}

impl EntryPoint {
    /// The topic of a request, behind EVerest's external prefix.
    pub fn topic(&self, external_prefix: &str) -> String {
        match self {
            EntryPoint::Discover => format!("{external_prefix}everest_api/discover"),
            EntryPoint::QueryModules(api) => format!("{external_prefix}everest_api/query-modules/{api}"),
        }
    }

    /// The request that a topic stands for.
    pub fn from_topic(external_prefix: &str, topic: &str) -> Option<Self> {
        match topic.strip_prefix(external_prefix)?.strip_prefix("everest_api/")? {
            "discover" => Some(EntryPoint::Discover),
            rest => rest.strip_prefix("query-modules/").map(|api| EntryPoint::QueryModules(api.to_owned())),
        }
    }

    /// Whether modules of this type answer.
    pub fn concerns(&self, api: ApiType) -> bool {
        match self {
            EntryPoint::Discover => true,
            EntryPoint::QueryModules(name) => name == api.name(),
        }
    }

    /// The topic of the beacon that says that EVerest's API is there.
    pub fn beacon_topic(external_prefix: &str) -> String {
        format!("{external_prefix}everest_api/ready_beacon")
    }
}

/// Versions that EVerest ever had in the topics of these APIs.
pub const API_VERSIONS: [&str; 2] = ["1", "1.0"];

/// The topics of one API module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// What it serves.
    pub api: ApiType,
    /// EVerest's external MQTT prefix, put before every topic as it is; default empty.
    pub external_prefix: String,
    /// `1`, or `1.0` as it was before the first release.
    pub api_version: String,
    /// The id of the module in EVerest's configuration.
    pub module_id: String,
}

impl Topics {
    /// The pathname of the API module, without a slash at the end.
    pub fn base(&self) -> String {
        format!("{}{}", self.external_prefix, self.bare_base())
    }

    /// The same without EVerest's external prefix, as it stands in replies' addresses.
    fn bare_base(&self) -> String {
        format!("everest_api/{}/{}/{}", self.api_version, self.api.name(), self.module_id)
    }

    /// The topics of a sister module at the same EVerest.
    #[must_use]
    pub fn of(&self, api: ApiType, module_id: &str) -> Self {
        Self { api, module_id: module_id.to_owned(), ..self.clone() }
    }

    /// The same in a release: its own version stands in the topics, if it has one.
    #[must_use]
    pub fn under(self, release: Release) -> Self {
        match release.own_api_version() {
            Some(version) => Self { api_version: version.to_owned(), ..self },
            None => self,
        }
    }

    /// The topic of a channel.
    pub fn topic(&self, channel: Channel) -> String {
        format!("{}/{}", self.base(), channel.address())
    }

    /// The channel that a topic belongs to; `None` for replies and everything foreign.
    pub fn channel(&self, topic: &str) -> Option<Channel> {
        let address = self.address_of(topic)?;
        self.api.channels().iter().copied().find(|channel| channel.address() == address)
    }

    /// The channel of an earlier release that a topic belonged to.
    pub fn former_channel(&self, topic: &str) -> Option<Channel> {
        let address = self.address_of(topic)?;
        self.api.former_channels().iter().copied().find(|channel| channel.address() == address)
    }

    /// What follows the pathname.
    fn address_of<'a>(&self, topic: &'a str) -> Option<&'a str> {
        topic
            .strip_prefix(self.external_prefix.as_str())?
            .strip_prefix("everest_api/")?
            .strip_prefix(self.api_version.as_str())?
            .strip_prefix('/')?
            .strip_prefix(self.api.name())?
            .strip_prefix('/')?
            .strip_prefix(self.module_id.as_str())?
            .strip_prefix('/')
    }

    /// Where a client that khumbu plays wants its replies; `id` must be unique.
    ///
    /// The specification's examples use this shape; any topic is allowed.
    pub fn reply_topic(&self, operation: &str, id: &str) -> String {
        format!("{}/e2m/{operation}/{id}", self.bare_base())
    }

    /// Where EVerest wants the reply to a request of its own, as it writes it into the request: without its external
    /// prefix (`Topics.cpp`, `reply_to_everest`). `id` must be unique.
    pub fn reply_topic_to_everest(&self, id: &str) -> String {
        format!("{}/m2e/reply/{id}", self.bare_base())
    }

    /// The topic on which a reply for `reply_to` passes: EVerest puts its external prefix before that too
    /// (framework, `Everest::external_mqtt_publish`).
    pub fn reply_topic_on_wire(&self, reply_to: &str) -> String {
        format!("{}{reply_to}", self.external_prefix)
    }

    /// The topic on which the reply to a question of EVerest passes: its `replyTo` has no external prefix, which the
    /// client must put before it; where EVerest follows its specification, the prefix stands there already.
    pub fn reply_topic_of_question(&self, reply_to: &str) -> String {
        match reply_to.strip_prefix(self.external_prefix.as_str()) {
            Some(rest) if rest.starts_with("everest_api/") => reply_to.to_owned(),
            _ => self.reply_topic_on_wire(reply_to),
        }
    }

    /// Where a module under test can be told what to do, see [`crate::protocol::control`].
    pub fn control_topic(&self) -> String {
        format!("khumbu/{}/do", self.module_id)
    }

    /// Where a module in EVerest's place tells what it did inside, see [`crate::protocol::control`].
    pub fn did_topic(&self) -> String {
        format!("khumbu/{}/did", self.module_id)
    }

    /// Whether a topic is none of the conversation: khumbu and the module under test talk about it there.
    pub fn is_aside(&self, topic: &str) -> bool {
        [self.control_topic(), self.did_topic(), self.mark_topic()].iter().any(|aside| aside == topic)
    }

    /// Where the harness publishes to itself: once such a message is in the record, so is all it sent before.
    pub fn mark_topic(&self) -> String {
        format!("khumbu/{}/mark", self.module_id)
    }

    /// Where the harness wants the reply when it asks an EVerest whether it is ready; `id` must be unique.
    pub fn probe_reply_topic(&self, id: &str) -> String {
        format!("{}{id}", self.probe())
    }

    /// Whether a message is such a question or a reply to it. They belong to no scenario, recording or golden.
    pub fn is_probe(&self, topic: &str, payload: &[u8]) -> bool {
        let bare = topic.strip_prefix(self.external_prefix.as_str()).unwrap_or(topic);
        let is_request = || topic.ends_with(Channel::WithdrawAuthorization.address());
        bare.starts_with(&self.probe()) || is_request() && String::from_utf8_lossy(payload).contains(&self.probe())
    }

    fn probe(&self) -> String {
        format!("khumbu/{}/ready/", self.module_id)
    }
}

//! APIs, their channels and the topics of these.
//!
//! What an API and a channel are stands in their descriptions, see [`super::api`]; here are the handles to these, which are
//! copied and compared freely, and find their description at once. Source of the pathname: EVerest `everest_api_types/utilities/Topics.cpp`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::api::{self, Api, Pattern, When, names, place_of};
use super::deviations::Deviations;
use super::release::Release;
use super::schema::Message;
use super::side::Side;
use crate::diagnostic::{Diagnostic, Severity};

/// An API, by the place of its description.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiType(pub(super) u32);

impl ApiType {
    /// The API of this name, if it has a description and modules of its own.
    pub fn known(name: &str) -> Option<Self> {
        Self::all().find(|api| api.name() == name && api.description().pathname.is_none())
    }

    /// Those that have a description, the entry point as well.
    pub fn all() -> impl Iterator<Item = Self> {
        api::places().map(Self)
    }

    /// Takes in the description of another API; `None` if there is another one of this name.
    pub fn add(api: Api) -> Option<Self> {
        let added = api::add(api)?;
        Self::all().find(|api| api.name() == added.name)
    }

    /// Its description.
    pub fn description(self) -> &'static Api {
        api::at(self.0)
    }

    /// Its level in topics, and its name in discovery.
    pub fn name(self) -> &'static str {
        api::name_at(self.0)
    }

    /// Its channels, in the order of its description.
    pub fn channels(self) -> impl Iterator<Item = Channel> {
        self.channels_when(true)
    }

    /// The channels it had in earlier releases and has no longer.
    pub fn former_channels(self) -> impl Iterator<Item = Channel> {
        self.channels_when(false)
    }

    /// The channel of this name.
    pub fn channel(self, name: &str) -> Option<Channel> {
        self.channels().find(|channel| channel.name() == name)
    }

    /// Whether EVerest asks its clients something.
    pub fn asks_clients(self) -> bool {
        self.channels().any(Channel::is_question)
    }

    /// Whether replies are what a module on a side has to send.
    pub fn has_replies_of(self, side: Side) -> bool {
        match side {
            Side::Client => self.asks_clients(),
            Side::Everest => !self.asks_clients() || self.channels().any(|own| own.is_request() && !own.is_question()),
        }
    }

    /// Whether a channel is one of those it has.
    pub fn has(self, channel: Channel) -> bool {
        self.channels().any(|own| own == channel)
    }

    fn channels_when(self, at_present: bool) -> impl Iterator<Item = Channel> {
        let channels = (0..).zip(&self.description().channels);
        let channels = channels.filter(move |(_, channel)| channel.when.is_specified(Release::Main) == at_present);
        channels.map(move |(place, channel)| match channel.pattern {
            Pattern::Heartbeat => Channel::HEARTBEAT,
            Pattern::CommunicationCheck => Channel::COMMUNICATION_CHECK,
            _ => Channel { api: self, place },
        })
    }
}

impl fmt::Debug for ApiType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Serialize for ApiType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for ApiType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = names::deserialize(deserializer, "ApiType", api::module_names())?;
        Self::known(name).ok_or_else(|| D::Error::custom("it has just been found"))
    }
}

impl JsonSchema for ApiType {
    fn schema_name() -> Cow<'static, str> {
        "ApiType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let choices = api::of_modules().map(|api| names::choice(&api.name, &format!("{}.", api.title)));
        json_schema!({"description": "The kind of an API module.", "oneOf": choices.collect::<Vec<_>>()})
    }
}

/// A place where messages of one kind pass, by its API and its place among the channels of that. Heartbeat and
/// communication check are in all APIs, and the same in each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Channel {
    pub(super) api: ApiType,
    pub(super) place: u32,
}

/// The channel of this name of an API that is part of the program.
macro_rules! channel {
    ($api:expr, $name:literal) => {
        $crate::protocol::channel::Channel { api: $api, place: $crate::protocol::api::place_of_channel!($api.0, $name) }
    };
}

pub(super) use channel;

impl Channel {
    /// `e2m/heartbeat` of any API, EVerest to client.
    pub const HEARTBEAT: Channel = channel!(ApiType(place_of!("every_api")), "heartbeat");
    /// `m2e/communication_check` of any API, client to EVerest.
    pub const COMMUNICATION_CHECK: Channel = channel!(ApiType(place_of!("every_api")), "communication_check");

    /// The API that it belongs to.
    pub fn api(self) -> ApiType {
        self.api
    }

    /// Where a message here says what it is about.
    pub fn about(self) -> Option<&'static str> {
        self.description().about.as_deref()
    }

    /// What a message here is about; messages about different things have no order among each other.
    pub fn subject(self, message: &Value) -> Option<&str> {
        message.pointer(self.about()?)?.as_str()
    }

    /// Whether it tells of several things, each of which has a lane of its own. A request is in that of its replies.
    pub fn has_lanes(self) -> bool {
        self.about().is_some() && !self.is_request()
    }

    /// Whether it is there under these deviations.
    pub fn runs(self, in_force: Deviations) -> bool {
        self.description().when.runs(in_force)
    }

    /// Whether it is there whatever the release and its deviations.
    pub fn is_in_every_release(self) -> bool {
        self.description().when == When::ALWAYS
    }

    /// Its description.
    pub fn description(self) -> &'static api::Channel {
        &self.api.description().channels[self.place as usize]
    }

    /// The address below the pathname, as the specification has it.
    pub fn address(self) -> &'static str {
        &self.description().address
    }

    /// The name used in scenarios and reports.
    pub fn name(self) -> &'static str {
        &self.description().name
    }

    /// Whether EVerest publishes here; otherwise the client does.
    pub fn is_from_everest(self) -> bool {
        self.description().is_from_everest
    }

    /// Whether a message here asks for a reply on its `headers.replyTo`.
    pub fn is_request(self) -> bool {
        self.description().reply.is_some()
    }

    /// Whether EVerest asks a client here.
    pub fn is_question(self) -> bool {
        self.is_from_everest() && self.is_request()
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.api.name(), self.name())
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

impl Channel {
    const DISCOVER: Channel = channel!(ApiType(place_of!("entrypoint")), "discover");
    const BEACON: Channel = channel!(ApiType(place_of!("entrypoint")), "ready_beacon");
}

impl Message {
    /// A request to the entry point.
    pub const DISCOVER_REQUEST: Message = Message::On(Channel::DISCOVER);
    /// The reply to these.
    pub const DISCOVER_REPLY: Message = Message::ReplyTo(Channel::DISCOVER);
    /// The beacon that says that EVerest's API is there.
    pub const READY_BEACON: Message = Message::On(Channel::BEACON);
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
    /// Whether these values can stand in topics of EVerest.
    ///
    /// # Errors
    /// `usage/bad-topic`.
    pub fn check(&self) -> Result<(), Box<Diagnostic>> {
        let refuse = |name: &str, value: &str, why: &str| {
            let headline = format!("{name} `{value}` {why}");
            Err(Box::new(Diagnostic::new(Severity::Error, "usage/bad-topic", headline)))
        };
        if self.module_id.is_empty() || self.module_id.contains(['+', '#', '/', '\0']) {
            return refuse("module id", &self.module_id, "cannot be a level of a topic");
        }
        if !API_VERSIONS.contains(&self.api_version.as_str()) {
            return refuse("API version", &self.api_version, "is none of EVerest: 1, or 1.0 before its first release");
        }
        if self.external_prefix.contains(['+', '#', '\0']) {
            return refuse("external prefix", &self.external_prefix, "cannot begin a topic");
        }
        Ok(())
    }

    /// The pathname of the API module, without a slash at the end.
    pub fn base(&self) -> String {
        format!("{}{}", self.external_prefix, self.bare_base())
    }

    /// The same without EVerest's external prefix, as it stands in replies' addresses.
    fn bare_base(&self) -> String {
        format!("everest_api/{}/{}/{}", self.api_version, self.api.name(), self.module_id)
    }

    /// The topics of a other API module at the same EVerest.
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
        self.api.channels().find(|channel| channel.address() == address)
    }

    /// The channel of an earlier release that a topic belonged to.
    pub fn former_channel(&self, topic: &str) -> Option<Channel> {
        let address = self.address_of(topic)?;
        self.api.former_channels().find(|channel| channel.address() == address)
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
        super::control::control_topic_of(&self.module_id)
    }

    /// Where a module in EVerest's place tells what it did inside, see [`crate::protocol::control`].
    pub fn did_topic(&self) -> String {
        format!("khumbu/{}/did", self.module_id)
    }

    /// Whether a topic is none of the conversation: khumbu and the module under test talk about it there.
    pub fn is_aside(&self, topic: &str) -> bool {
        [self.control_topic(), self.did_topic(), self.mark_topic()].iter().any(|aside| aside == topic)
    }

    /// Where the harness publishes to itself: once such a message is in the record, so is all it sent before; and once it has
    /// subscribed, it has all that the broker had for it before.
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
        bare.starts_with(&self.probe())
            || topic.contains("/m2e/") && String::from_utf8_lossy(payload).contains(&self.probe())
    }

    fn probe(&self) -> String {
        format!("khumbu/{}/ready/", self.module_id)
    }
}

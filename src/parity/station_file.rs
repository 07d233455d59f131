//! The station file: a station, and how a recording of EVerest is to be read beside it.
//!
//! The keys of a station stand at the top, as in a scenario; those of [`StationFile`] beside them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use crate::protocol::channel::{API_VERSIONS, ApiType, Channel};
use crate::protocol::control::{self, AtConnector, Command, PauseCharging, PausedBy};
use crate::protocol::release::Release;
use crate::recording::Recording;
use crate::station::config::StationConfig;

/// A station and the recording around it.
#[derive(Debug, Clone, PartialEq)]
pub struct StationFile {
    /// The station.
    pub station: StationConfig,
    /// Whether the file says of which release the station is; otherwise the version in the topics does, if it can.
    pub names_release: bool,
    /// How topics that are not EVerest's API are to be understood; the first binding that fits counts.
    pub bindings: Vec<Binding>,
    /// How EVerest was when the recording began.
    pub start: Start,
    /// Version in the topics.
    pub api_version: String,
    /// EVerest's external MQTT prefix.
    pub external_prefix: String,
}

/// How EVerest was when the recording began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Start {
    /// Whether it ran; absent means what the recording shows. The number of the first heartbeat says for how long, in
    /// releases that number them.
    pub everest: Option<Everest>,
    /// The last communication check before; absent means what the first fault in the recording shows, if there is any.
    pub communication_check: Option<bool>,
}

/// Whether EVerest ran when the recording began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Everest {
    /// It ran, unless the recording begins with the signs of a start.
    Running,
    /// It starts in the recording.
    Starting,
}

/// What messages on a foreign topic mean.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The topic, with `{evse}` in the place of the number of the EVSE.
    pub topic: String,
    /// Members that the payload must have, with these values.
    #[serde(default)]
    pub when: BTreeMap<String, Value>,
    /// What the message is.
    pub is: Meaning,
}

/// What a message on a foreign topic is.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// A stimulus: something is done at the EVSE. The payload is a text, which is looked up here.
    Command(BTreeMap<String, AtEvse>),
    /// A stimulus: the EVSE reports a session event, named as `evse_manager` names it.
    SessionEvent(Event),
    /// An outcome: Auth calls the EVSE.
    EvseCall(Call),
    /// The EVSE shows that it has done what it was told. Neither stimulus nor outcome: a live run waits for it.
    Effect(Effect),
}

/// Where a message has the name of a session event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Event {
    /// The member; absent means that the payload as a whole is the name.
    pub name: Option<String>,
}

impl Event {
    /// The name in a payload.
    pub fn name_in<'p>(&self, payload: &'p Value) -> Option<&'p str> {
        self.name.as_ref().map_or(payload, |member| &payload[member.as_str()]).as_str()
    }
}

/// Where a message has what Auth asked of an EVSE; one with another name is none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The member with `authorize_response`, `withdraw_authorization` or `stop_transaction`.
    pub name: String,
    /// The member with the arguments, as JSON or as a text that is JSON.
    pub arguments: String,
}

/// Where a message has the name of what an EVSE has done, and what that is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// The member; absent means that the payload as a whole is the name.
    #[serde(default)]
    pub name: Option<String>,
    /// What was done, by the name.
    pub of: BTreeMap<String, AtEvse>,
}

/// Something done at an EVSE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AtEvse {
    /// An EV is plugged in.
    PlugIn,
    /// It is unplugged.
    Unplug,
    /// Energy flows.
    StartTransaction,
    /// The transaction ends.
    StopTransaction,
    /// The EVSE becomes unusable.
    InjectFault,
    /// And usable again.
    ClearFault,
    /// It goes out of service.
    Disable,
    /// And is in service again.
    Enable,
    /// Charging pauses, because the EVSE wants it so.
    PauseCharging,
    /// And goes on.
    ResumeCharging,
}

impl AtEvse {
    /// The station's command for it.
    pub fn to_command(self, evse: i32) -> Command {
        let (evse, connector) = (control::AtEvse { evse }, AtConnector { evse, connector: None });
        match self {
            AtEvse::PlugIn => Command::PlugIn(connector),
            AtEvse::Unplug => Command::Unplug(evse),
            AtEvse::StartTransaction => Command::StartTransaction(evse),
            AtEvse::StopTransaction => Command::StopTransaction(evse),
            AtEvse::InjectFault => Command::InjectFault(connector),
            AtEvse::ClearFault => Command::ClearFault(connector),
            AtEvse::Disable => Command::Disable(connector),
            AtEvse::Enable => Command::Enable(connector),
            AtEvse::PauseCharging => Command::PauseCharging(PauseCharging { evse: evse.evse, by: PausedBy::Evse }),
            AtEvse::ResumeCharging => Command::ResumeCharging(evse),
        }
    }
}

impl Binding {
    /// The EVSE that a topic is about; `None` if the topic is another one.
    pub fn evse_of(&self, topic: &str) -> Option<i32> {
        let (before, after) = self.topic.split_once(EVSE)?;
        topic.strip_prefix(before)?.strip_suffix(after)?.parse().ok()
    }

    /// The message by which a command is given, its topic and its payload; `None` if this binding has no word for it.
    pub fn message_of(&self, command: &Command) -> Option<(String, String)> {
        let Meaning::Command(words) = &self.is else { return None };
        let evse = evse_of_command(command)?;
        let (word, _) = words.iter().find(|(_, meaning)| meaning.to_command(evse) == *command)?;
        Some((self.topic_of(evse), word.clone()))
    }

    /// Whether messages on its topic can show what an EVSE has done.
    pub fn shows_effects(&self) -> bool {
        matches!(self.is, Meaning::SessionEvent(_) | Meaning::Effect(_))
    }

    /// The command that a message shows as done; `None` if it shows none.
    pub fn effect_in(&self, topic: &str, payload: &Value) -> Option<Command> {
        let evse = self.evse_of(topic)?;
        if !self.when.iter().all(|(member, value)| payload.get(member) == Some(value)) {
            return None;
        }
        let done = match &self.is {
            Meaning::SessionEvent(event) => match event.name_in(payload)? {
                "SessionStarted" => AtEvse::PlugIn,
                "SessionFinished" => AtEvse::Unplug,
                "TransactionStarted" => AtEvse::StartTransaction,
                "TransactionFinished" => AtEvse::StopTransaction,
                _ => return None,
            },
            Meaning::Effect(Effect { name, of }) => {
                let word = name.as_ref().map_or(payload, |member| &payload[member.as_str()]).as_str()?;
                *of.get(word)?
            }
            Meaning::Command(_) | Meaning::EvseCall(_) => return None,
        };
        Some(done.to_command(evse))
    }

    /// Whether a level of a topic has the place of the number.
    pub(super) fn names_evse(level: &str) -> bool {
        level.contains(EVSE)
    }

    /// The topic about an EVSE.
    pub fn topic_of(&self, evse: i32) -> String {
        self.topic.replacen(EVSE, &evse.to_string(), 1)
    }
}

/// The EVSE that a command moves.
fn evse_of_command(command: &Command) -> Option<i32> {
    match command {
        Command::PlugIn(it) | Command::InjectFault(it) | Command::ClearFault(it) => Some(it.evse),
        Command::Disable(it) | Command::Enable(it) => Some(it.evse),
        Command::Unplug(it) | Command::StartTransaction(it) | Command::StopTransaction(it) => Some(it.evse),
        Command::PauseCharging(it) => Some(it.evse),
        Command::ResumeCharging(it) => Some(it.evse),
        _ => None,
    }
}

impl StationFile {
    /// A station with the API modules that stand in the topics of a recording, and nothing else known of it.
    pub fn of(recording: &Recording) -> Self {
        let mut file = Self {
            station: StationConfig::default(),
            names_release: false,
            bindings: Vec::new(),
            start: Start::default(),
            api_version: "1".to_owned(),
            external_prefix: String::new(),
        };
        let mut found = BTreeSet::new();
        for message in &recording.messages {
            let Some((prefix, rest)) = message.topic.split_once("everest_api/") else { continue };
            let levels: Vec<&str> = rest.split('/').collect();
            let [version, api, module_id, "e2m" | "m2e", ..] = levels[..] else { continue };
            let Some(api) = ApiType::AUTH_APIS.into_iter().find(|known| known.name() == api) else { continue };
            if !found.insert(api) {
                continue;
            }
            file.station.add_module(api, module_id);
            version.clone_into(&mut file.api_version);
            prefix.clone_into(&mut file.external_prefix);
        }
        file.station.release = Release::of_api_version(&file.api_version).unwrap_or_default();
        file
    }
}

impl StationFile {
    /// The release that a recording shows where no file names one: only up to 2025.10 heartbeats are `{}`.
    pub fn shown_release(&self, recording: &Recording) -> Option<Release> {
        let heartbeat = super::roles::modules(self)[0].topic(Channel::HEARTBEAT);
        let mut beats = recording.messages.iter().filter(|message| message.topic == heartbeat).peekable();
        let is_open = !self.names_release && self.station.release > Release::V2025_10;
        (is_open && beats.peek().is_some() && beats.all(|beat| beat.payload == json!({}))).then_some(Release::V2025_10)
    }
}

/// Stands for the number of an EVSE.
const EVSE: &str = "{evse}";

impl AsRef<StationConfig> for StationFile {
    fn as_ref(&self) -> &StationConfig {
        &self.station
    }
}

impl<'de> Deserialize<'de> for StationFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FileVisitor)
    }
}

impl JsonSchema for StationFile {
    fn schema_name() -> Cow<'static, str> {
        "StationFile".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut station = StationConfig::json_schema(generator);
        let about = "A station, and how a recording of EVerest is to be read beside it, or how its EVSEs are moved.";
        station.insert("description".to_owned(), about.into());
        let own = Own::json_schema(generator).to_value();
        let own = own["properties"].as_object().cloned().unwrap_or_default();
        if let Some(properties) = station.get_mut("properties").and_then(Value::as_object_mut) {
            properties.extend(own);
        }
        station
    }
}

struct FileVisitor;

impl<'de> Visitor<'de> for FileVisitor {
    type Value = StationFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<StationFile, M::Error> {
        let mut own = Own::default();
        // serde's `flatten` would lose the places of errors.
        let mut station = StationConfig::deserialize(MapAccessDeserializer::new(Rest { map, own: &mut own }))?;
        if let Some(version) = own.api_version.as_ref().filter(|version| !API_VERSIONS.contains(&version.as_str())) {
            return Err(M::Error::custom(format!("EVerest never had API version `{version}`, only `1` and `1.0`")));
        }
        let implied = own.api_version.as_deref().and_then(Release::of_api_version);
        if let (Some(release), false) = (implied, own.names_release) {
            station.release = release;
        }
        let release = station.release;
        let api_version = match (release.own_api_version(), own.api_version) {
            (Some(theirs), Some(version)) if version != theirs => {
                let why = format!("release `{release}` has `{theirs}` in its topics, not `{version}`");
                return Err(M::Error::custom(why));
            }
            (Some(theirs), _) => theirs.to_owned(),
            (None, version) => version.unwrap_or_else(|| "1".to_owned()),
        };
        if let Some(binding) = own.bindings.iter().find(|binding| !binding.topic.contains(EVSE)) {
            return Err(M::Error::custom(format!("binding `{}` does not say where `{EVSE}` stands", binding.topic)));
        }
        Ok(StationFile {
            station,
            names_release: own.names_release,
            bindings: own.bindings,
            start: own.start,
            api_version,
            external_prefix: own.external_prefix.unwrap_or_default(),
        })
    }
}

/// The keys that are not the station's.
#[derive(Default, JsonSchema)]
struct Own {
    /// How topics that are not EVerest's API are to be understood; the first binding that fits counts.
    bindings: Vec<Binding>,
    /// How EVerest was when the recording began.
    start: Start,
    /// Version in the topics: `1`, or `1.0`.
    api_version: Option<String>,
    /// EVerest's external MQTT prefix.
    external_prefix: Option<String>,
    /// Whether the station's `release` is among the keys.
    #[schemars(skip)]
    names_release: bool,
}

/// All keys of a station file; first those that are not the station's.
const KEYS: [&str; 17] = [
    "bindings",
    "start",
    "api_version",
    "external_prefix",
    "evses",
    "connectors",
    "auth",
    "auth_consumer",
    "auth_token_provider",
    "auth_token_validator",
    "charge_point",
    "evse_manager",
    "tokens",
    "unlisted_verdict",
    "release",
    "behaviour",
    "deviations",
];

impl Own {
    const KEYS: &[&str] = KEYS.split_at(4).0;
}

/// The keys of the station; the others are put aside.
struct Rest<'a, M> {
    map: M,
    own: &'a mut Own,
}

impl<'de, M: MapAccess<'de>> MapAccess<'de> for Rest<'_, M> {
    type Error = M::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, mut seed: S) -> Result<Option<S::Value>, M::Error> {
        loop {
            let own = match self.map.next_key_seed(Unless(seed))? {
                None => return Ok(None),
                Some(Key::Station(value, is_release)) => {
                    self.own.names_release |= is_release;
                    return Ok(Some(value));
                }
                Some(Key::Own(key, given_back)) => {
                    seed = given_back;
                    key
                }
            };
            match own.as_str() {
                "bindings" => self.own.bindings = self.map.next_value()?,
                "start" => self.own.start = self.map.next_value()?,
                "api_version" => self.own.api_version = Some(self.map.next_value()?),
                _ => self.own.external_prefix = Some(self.map.next_value()?),
            }
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, M::Error> {
        self.map.next_value_seed(seed)
    }
}

/// Takes a key unless it is one of [`Own::KEYS`].
struct Unless<S>(S);

/// What came of it.
enum Key<V, S> {
    /// Whether it is `release`, besides.
    Station(V, bool),
    Own(String, S),
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Unless<S> {
    type Value = Key<S::Value, S>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let key = String::deserialize(deserializer)?;
        if Own::KEYS.contains(&key.as_str()) {
            return Ok(Key::Own(key, self.0));
        }
        if !KEYS.contains(&key.as_str()) {
            return Err(D::Error::unknown_field(&key, &KEYS));
        }
        let is_release = key == "release";
        let key: StringDeserializer<D::Error> = key.into_deserializer();
        self.0.deserialize(key).map(|value| Key::Station(value, is_release))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn all_keys_of_a_station_are_known() {
        let schema = serde_json::to_value(schemars::schema_for!(StationConfig)).unwrap();
        let mut stations: Vec<_> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut known = KEYS[Own::KEYS.len()..].to_vec();
        stations.sort_unstable();
        known.sort_unstable();
        assert_eq!(known, stations);
    }
}

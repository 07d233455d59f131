//! `khumbu.yaml`: the defaults of a project. Flags win.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, NaiveDate, Utc};
use clap::builder::TypedValueParser as _;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, VariantAccess, Visitor};
use serde_json::Value;

use super::files;
use super::release::ReleaseChoice;
use crate::broker::PacketLimit;
use crate::conformance::requirements;
use crate::diagnostic::Diagnostic;
use crate::parity::station_file::StationFile;
use crate::protocol::channel::{ApiType, Topics};
use crate::protocol::release::Release;
use crate::protocol::wire::Wire;
use crate::report::{KnownFailure, Listed};
use crate::runner::{Binding, BoundPublish};
use crate::scenario::model::Ready;
use crate::scenario::placeholder::{IN_COMMANDS, OF_COMMANDS, misspelt};
use crate::scenario::step::driven_by;
use crate::scenario::{self, Pointer, Scenario};
use crate::timespan::Timespan;

/// The file that is read where no other is named.
pub const DEFAULT: &str = "khumbu.yaml";
/// The module id of EVerest's own examples.
const MODULE_ID: &str = "auth_api";
/// More than any such file needs.
const LARGEST: usize = 256 * 1024;

/// The defaults of a project: `khumbu.yaml`. Flags win.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Scenario files and directories, relative to this file's directory.
    pub scenarios: Vec<PathBuf>,
    /// The module under test.
    pub module: Module,
    /// The id of the API module in EVerest's configuration.
    pub module_id: Option<String>,
    /// `1`, or `1.0`.
    pub api_version: Option<String>,
    /// EVerest's external MQTT prefix.
    pub external_prefix: Option<String>,
    /// The release that is played, or `all`.
    pub release: Option<ReleaseChoice>,
    /// How many scenarios are played at once.
    pub jobs: Option<NonZeroU8>,
    /// An existing broker.
    pub broker: Option<String>,
    /// The largest packet that our own broker takes.
    pub max_packet: Option<PacketLimit>,
    /// How khumbu's own messages are written.
    pub wire: Option<Wire>,
    /// What is known to fail.
    pub known_failures: Vec<Known>,
}

/// The module under test.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Module {
    /// Its command line.
    pub command: Option<String>,
    /// The API whose client it is, for `conform` and `doctor`, where no `--api` says so.
    pub api: Option<ApiType>,
    /// When it counts as ready; `topic:FILTER` as on the command line, or `{topic: FILTER}` as in a scenario.
    #[serde(deserialize_with = "ready")]
    #[schemars(schema_with = "ready_schema")]
    pub ready: Option<Ready>,
    /// How long it may take to be ready.
    pub ready_within: Option<Timespan>,
    /// How long it may take to end after SIGTERM.
    pub stop_within: Option<Timespan>,
    /// Commands that it cannot follow.
    pub cannot: BTreeSet<Drive>,
    /// API modules that an EVerest does not have.
    pub lacks: BTreeSet<ApiType>,
    /// The station file of an EVerest: its other API modules, and how its EVSEs are moved.
    pub station: Option<PathBuf>,
    /// How it is told what to do.
    #[schemars(schema_with = "bindings_schema")]
    pub bindings: BTreeMap<Drive, Binding>,
}

/// What is wrong at a place of the file.
type Astray = (&'static str, Pointer, String);

impl Module {
    /// Words in braces that are nearly placeholders, and would be left as they stand.
    fn misspelt(&self) -> Vec<Astray> {
        let of_run = [&IN_COMMANDS[..], &OF_COMMANDS].concat();
        let mut texts: Vec<(Pointer, String, &str, &[&str])> = Vec::new();
        if let Some(command) = &self.command {
            texts.push((
                Pointer::from("/module/command"),
                "the module's command line".to_owned(),
                command,
                &IN_COMMANDS,
            ));
        }
        for (Drive(name), binding) in &self.bindings {
            let at = Pointer::from("/module/bindings").key(name);
            let what = format!("the binding for `{name}`");
            match binding {
                Binding::Stdin(line) => texts.push((at.key("stdin"), what, line, &OF_COMMANDS)),
                Binding::Run(command) => texts.push((at.key("run"), what, command, &of_run)),
                Binding::Publish(BoundPublish { topic, payload }) => {
                    let at = at.key("publish");
                    texts.push((at.key("topic"), what.clone(), topic, &IN_COMMANDS));
                    let mut payloads = Vec::new();
                    payload.iter().for_each(|payload| strings(payload, &at.key("payload"), &mut payloads));
                    texts.extend(payloads.into_iter().map(|(at, text)| (at, what.clone(), text, &OF_COMMANDS[..])));
                }
                Binding::ByItself(_) => {}
            }
        }
        let found = texts.into_iter().filter_map(|(at, what, text, known)| {
            let (written, meant) = misspelt(text, known)?;
            Some(("config/invalid", at, format!("`{written}` in {what} is no placeholder; did you mean `{meant}`?")))
        });
        found.collect()
    }
}

/// Every text of a JSON value, with its place.
fn strings<'v>(value: &'v Value, at: &Pointer, found: &mut Vec<(Pointer, &'v str)>) {
    match value {
        Value::String(text) => found.push((at.clone(), text)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| strings(item, &at.index(index), found));
        }
        Value::Object(entries) => entries.iter().for_each(|(key, value)| strings(value, &at.key(key), found)),
        _ => {}
    }
}

/// Reads what ready means, in the words of the command line or of scenarios.
fn ready<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Ready>, D::Error> {
    struct Either;
    impl<'de> Visitor<'de> for Either {
        type Value = Ready;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`connected`, `subscribed`, `communication_check` or `topic:FILTER`")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Ready, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Ready, M::Error> {
            Ready::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_any(Either).map(Some)
}

fn ready_schema(generator: &mut SchemaGenerator) -> Schema {
    let topic = json_schema!({"type": "string", "pattern": "^topic:.", "description": "`topic:FILTER`, as on the command line."});
    json_schema!({"anyOf": [generator.subschema_for::<Ready>(), topic]})
}

/// Each command by its name, so that editors know them all.
fn bindings_schema(generator: &mut SchemaGenerator) -> Schema {
    let binding = generator.subschema_for::<Binding>();
    let properties: serde_json::Map<_, _> =
        driven_by().into_iter().map(|name| (name.to_owned(), binding.clone().to_value())).collect();
    json_schema!({"type": "object", "additionalProperties": false, "properties": properties})
}

/// What a module can be told to do, or to show, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drive(pub &'static str);

impl<'de> Deserialize<'de> for Drive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        static NAMES: LazyLock<Vec<&str>> = LazyLock::new(driven_by);
        struct Name;
        impl<'de> Visitor<'de> for Name {
            type Value = Drive;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a command")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Drive, E> {
                let known = NAMES.iter().find(|name| **name == text);
                known.map(|name| Drive(name)).ok_or_else(|| E::unknown_variant(text, &NAMES))
            }

            fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Drive, A::Error> {
                let (drive, nothing) = data.variant_seed(self)?;
                nothing.unit_variant()?;
                Ok(drive)
            }
        }
        impl<'de> DeserializeSeed<'de> for Name {
            type Value = Drive;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Drive, D::Error> {
                deserializer.deserialize_identifier(self)
            }
        }
        deserializer.deserialize_enum("Drive", &NAMES, Name)
    }
}

impl JsonSchema for Drive {
    fn schema_name() -> Cow<'static, str> {
        "Command".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"description": "What a module can be told to do, or to show.", "enum": driven_by()})
    }
}

/// A scenario that is known to fail, or a requirement that is known to be broken.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The path of the scenario, relative to this file's directory or to the current one.
    #[serde(default)]
    pub scenario: Option<PathBuf>,
    /// The requirement, instead.
    #[serde(default)]
    pub requirement: Option<String>,
    /// The releases under which it fails; all if absent.
    #[serde(default)]
    pub releases: Option<Vec<Release>>,
    /// The last day on which it is excused, as `2026-12-31`.
    #[serde(default)]
    pub until: Option<String>,
    /// Why it fails.
    pub reason: String,
}

/// The values of `--wire`.
pub fn wire_forms() -> impl clap::builder::TypedValueParser<Value = Wire> {
    clap::builder::PossibleValuesParser::new(Wire::ALL.map(Wire::name)).try_map(|name| name.parse::<Wire>())
}

impl Config {
    /// Reads the file that the user named, or [`DEFAULT`] if there is one.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn load(named: Option<&Path>) -> Result<Self, Vec<Diagnostic>> {
        let path = match named {
            Some(path) => path,
            None if Path::new(DEFAULT).exists() => Path::new(DEFAULT),
            None => return Ok(Self::default()),
        };
        Self::read(path, &files::read_text(path, LARGEST)?)
    }

    /// Reads the text of a file at a path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(path: &Path, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let directory = path.parent().unwrap_or(Path::new(""));
        let mut config: Config = scenario::parse_checked(&path.display().to_string(), text, |config: &Self| {
            config.module.misspelt().into_iter().chain(config.astray(directory)).collect()
        })?;
        for known in &mut config.known_failures {
            known.scenario = known.scenario.as_deref().and_then(|scenario| found(directory, scenario));
        }
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            for scenario in &mut config.scenarios {
                *scenario = directory.join(&*scenario);
            }
            if let Some(station) = &mut config.module.station {
                *station = directory.join(&*station);
            }
        }
        Ok(config)
    }

    /// The station file of the EVerest under test, if one is named.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn station(&self) -> Result<Option<StationFile>, Vec<Diagnostic>> {
        let Some(path) = &self.module.station else { return Ok(None) };
        let text = files::read_text(path, LARGEST)?;
        scenario::parse_around_station(&path.display().to_string(), &text).map(Some)
    }

    /// The topics, from flags, this file and defaults.
    ///
    /// # Errors
    /// When a value cannot stand in a topic.
    pub fn topics(
        &self,
        module_id: &Option<String>,
        api_version: &Option<String>,
        external_prefix: &Option<String>,
    ) -> Result<Topics, Box<Diagnostic>> {
        let pick = |flag: &Option<String>, own: &Option<String>, otherwise: &str| {
            flag.clone().or_else(|| own.clone()).unwrap_or_else(|| otherwise.to_owned())
        };
        let topics = Topics {
            api: ApiType::AUTH_CONSUMER,
            external_prefix: pick(external_prefix, &self.external_prefix, ""),
            api_version: pick(api_version, &self.api_version, "1"),
            module_id: pick(module_id, &self.module_id, MODULE_ID),
        };
        topics.check()?;
        Ok(topics)
    }

    /// What is wrong with the known failures: one that names no file and no requirement excuses nothing.
    fn astray(&self, directory: &Path) -> Vec<Astray> {
        let known = self.known_failures.iter().enumerate();
        let at = |index: usize| Pointer::from("/known_failures").index(index);
        let faults = known.flat_map(|(index, known)| {
            let mut faults = Vec::new();
            match (&known.scenario, &known.requirement) {
                (Some(scenario), None) if found(directory, scenario).is_none() => {
                    let near = near(directory, scenario);
                    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                    let headline = format!("there is no scenario `{}`{near}", scenario.display());
                    faults.push((at(index).key("scenario"), headline));
                }
                (None, Some(id)) if requirements::find(id).is_none() => {
                    let near = scenario::suggestion(id, requirements::ids());
                    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                    faults.push((at(index).key("requirement"), format!("there is no requirement `{id}`{near}")));
                }
                (Some(_), None) | (None, Some(_)) => {}
                _ => {
                    let headline = "a known failure has either a `scenario` or a `requirement`".to_owned();
                    faults.push((at(index), headline));
                }
            }
            if let Some(until) = known.until.as_ref().filter(|until| day(until).is_none()) {
                let headline = format!("`{until}` is no day; write it like `2026-12-31`");
                faults.push((at(index).key("until"), headline));
            }
            faults
        });
        faults.map(|(pointer, headline)| ("config/invalid", pointer, headline)).collect()
    }

    /// The known failures as reports have them: by the paths of these scenarios, however they are written.
    pub fn known_failures(&self, scenarios: &[Scenario]) -> Vec<KnownFailure> {
        let real = |path: &Path| fs::canonicalize(path).ok();
        let known = |Known { scenario, requirement, releases, until, reason }: &Known| {
            let what = match (scenario, requirement) {
                (_, Some(id)) => Listed::Requirement(requirements::find(id)?.id),
                (scenario, None) => {
                    let scenario = real(scenario.as_deref()?);
                    let played = scenarios.iter().find(|it| real(Path::new(&it.source.path)) == scenario);
                    Listed::Scenario(played?.source.path.clone())
                }
            };
            let until = until.as_deref().and_then(day);
            Some(KnownFailure { what, releases: releases.clone(), reason: reason.clone(), until })
        };
        self.known_failures.iter().filter_map(known).collect()
    }
}

/// A day as RFC 3339 has it (full-date).
fn day(text: &str) -> Option<NaiveDate> {
    // Chrono alone would take fewer digits.
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| text.len() == "2026-12-31".len())
}

/// Today, in UTC.
pub fn today() -> NaiveDate {
    now().date_naive()
}

/// Now, to the second.
pub fn now() -> DateTime<Utc> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

/// Where a scenario that the file names is: from the file's directory, else from the current one.
fn found(directory: &Path, scenario: &Path) -> Option<PathBuf> {
    [directory.join(scenario), scenario.to_owned()].into_iter().find(|path| path.is_file())
}

/// The file beside it that may be meant.
fn near(directory: &Path, scenario: &Path) -> Option<String> {
    let wanted = scenario.file_name()?.to_str()?;
    // A path of a bare name has an empty directory.
    let beside = fs::read_dir(Path::new(".").join(directory).join(scenario).parent()?).ok()?;
    let names: BTreeSet<String> = beside.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    let near = scenario::suggestion(wanted, names.iter().map(String::as_str))?;
    Some(scenario.with_file_name(near).display().to_string())
}

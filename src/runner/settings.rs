//! How scenarios are played: everything that comes from flags and from `khumbu.yaml`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::Piece;
use super::known::{self, Contradiction};
use crate::broker::{PacketLimit, Upstream};
use crate::conformance::judge::Case;
use crate::conformance::monitors::{ApiModule, Context};
use crate::conformance::sighting::Classifier;
use crate::parity::inside;
use crate::parity::station_file::{self, StationFile};
use crate::protocol::channel::{ApiType, Topics};
use crate::protocol::side::Side;
use crate::protocol::wire::Wire;
use crate::scenario::Scenario;
use crate::scenario::model::Ready;
use crate::scenario::step::Frame;
use crate::sim::bugs::Bug;
use crate::station::config::StationConfig;
use crate::timespan::Timespan;

/// The default time limit of a scenario.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The communication check timeout of an EVerest that is configured like most.
const DEFAULT_CHECK: Duration = Duration::from_secs(5);

/// How long a module may take to be ready, and to end.
const READY_WITHIN: Duration = Duration::from_secs(10);
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// So many times as long as to start, a client may take to come back: many wait longer after each attempt.
const BACK_WITHIN: u32 = 3;

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The module under test.
    pub module: ModuleSource,
    /// The topics of the API module, where the scenario asks for no other API.
    pub topics: Topics,
    /// Where the broker listens.
    pub listen: SocketAddr,
    /// An existing broker to be used instead of our own.
    pub upstream: Option<Upstream>,
    /// The largest packet that our own broker takes.
    pub max_packet: PacketLimit,
    /// When the module counts as ready, where the scenario does not say.
    pub ready: Option<Ready>,
    /// How long the module may take to be ready.
    pub ready_within: Duration,
    /// How long a client may take to come back that was cut off, if not three times as long as to be ready.
    pub back_within: Option<Duration>,
    /// Whether a scenario ends with the step by whose end monitors have found a failure, or it has taken as long as this.
    pub stops_after: Option<Duration>,
    /// How long the module may take to end after SIGTERM.
    pub stop_within: Duration,
    /// How the module is told what to do, by the name of the command.
    pub bindings: BTreeMap<String, Binding>,
    /// What is known of an EVerest under test: its other API modules, and how its EVSEs are moved.
    pub station: Option<StationFile>,
    /// Commands that the module cannot follow; scenarios that need them are not applicable.
    pub cannot: BTreeSet<String>,
    /// API modules that an EVerest under test does not have; scenarios that need them are not applicable.
    pub lacks: BTreeSet<ApiType>,
    /// How khumbu's own messages are written, where the scenario does not say.
    pub wire: Wire,
    /// Whether a transcript that differs from its golden is to become the golden, and no failure.
    pub is_updating_goldens: bool,
    /// What the built-in EVerest lets be seen and done inside; see [`crate::sim::everest::Everest::inside`].
    pub inside: Option<Vec<station_file::Binding>>,
    /// How many scenarios are played at once.
    pub jobs: usize,
    /// How many more of them, while so many others wait for long.
    pub jobs_meanwhile: usize,
    /// Whether a client that acknowledges nothing is cut off at the end of each scenario, to see whether it still reads.
    pub sees_reading: bool,
}

impl Settings {
    /// Those of a run of nothing but this module, on a broker of our own, as `khumbu run` has them without flags.
    pub fn new(module: ModuleSource) -> Self {
        let topics = Topics {
            api: ApiType::default(),
            external_prefix: String::new(),
            api_version: "1".to_owned(),
            module_id: "auth_api".to_owned(),
        };
        Self {
            module,
            topics,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            upstream: None,
            max_packet: PacketLimit::default(),
            ready: None,
            ready_within: READY_WITHIN,
            back_within: None,
            stops_after: None,
            stop_within: STOP_WITHIN,
            bindings: BTreeMap::new(),
            station: None,
            cannot: BTreeSet::new(),
            lacks: BTreeSet::new(),
            wire: Wire::Everest,
            is_updating_goldens: false,
            inside: None,
            jobs: 1,
            jobs_meanwhile: 0,
            sees_reading: false,
        }
    }

    /// How long a client may take to come back that was cut off.
    pub fn back_within(&self) -> Duration {
        self.back_within.unwrap_or(self.ready_within * BACK_WITHIN)
    }
}

/// What one scenario is played with: what the run settles and what the scenario asks for, brought together.
#[derive(Debug, Clone)]
pub struct Scene<'s> {
    /// The scenario.
    pub scenario: &'s Scenario,
    /// The settings of the run.
    pub settings: &'s Settings,
    /// The topics of the API module that the module under test uses or is.
    pub topics: Topics,
    /// The station that khumbu plays, or that the module under test is asked to be.
    pub station: StationConfig,
    /// Where an EVerest that runs already is another one than the scenario asks for.
    pub contradictions: Vec<Contradiction>,
    /// The topics of the station's other API modules.
    pub other_apis: Vec<Topics>,
    /// How the side that khumbu plays writes its messages.
    pub wire: Wire,
}

impl<'s> Scene<'s> {
    /// The scene of a scenario under a release.
    pub fn new(piece: &'s Piece, settings: &'s Settings) -> Self {
        let (scenario, release) = (&*piece.scenario, piece.release);
        let model = &scenario.model;
        let external_prefix = match &model.external_prefix {
            Some(prefix) if settings.topics.external_prefix.is_empty() => prefix.clone(),
            _ => settings.topics.external_prefix.clone(),
        };
        let topics = Topics { api: model.api, external_prefix, ..settings.topics.clone() }.under(release);
        let (station, contradictions) = match model.under_test {
            // The station of a recording is what is known.
            Side::Everest if piece.replay.is_none() => {
                let file = settings.station.as_ref().map(|file| &file.station);
                known::settle(scenario, file, settings.module == ModuleSource::Attached)
            }
            Side::Everest | Side::Client => (model.station.clone(), Vec::new()),
        };
        let mut station = StationConfig { release, ..station };
        station.add_module(topics.api, &topics.module_id);
        // An EVerest that is tested with another API need not have Auth's.
        let has_auth = model.under_test == Side::Client || topics.api.behaviour().is_known();
        let others = ApiType::AUTH_APIS.into_iter().filter(|api| has_auth && *api != topics.api);
        let other_apis = others.filter_map(|api| Some(topics.of(api, station.cadence(api)?.module_id))).collect();
        // A scenario that names a wire form is about that form.
        let wire = model.wire.unwrap_or(settings.wire);
        Self { scenario, settings, topics, station, contradictions, other_apis, wire }
    }

    /// The API modules besides the one under test whose client khumbu is.
    pub fn played_other_apis(&self) -> impl Iterator<Item = &Topics> {
        let side = self.scenario.model.under_test;
        let is_played = move |api| side == Side::Everest || api == ApiType::AUTH_TOKEN_VALIDATOR;
        self.other_apis.iter().filter(move |topics| is_played(topics.api))
    }

    /// Whether EVerest has an external prefix that the run does not know of.
    pub fn has_prefix_of_its_own(&self) -> bool {
        self.topics.external_prefix != self.settings.topics.external_prefix
    }

    /// The time limit of the whole scenario.
    pub fn limit(&self) -> Duration {
        self.scenario.model.timeout.map_or(TIMEOUT, |span| span.0)
    }

    /// The scene as far as it says how expectations are judged.
    pub fn case(&self) -> Case<'_> {
        // One with a deliberate fault is judged as anybody's.
        let is_builtin = matches!(self.settings.module, ModuleSource::Builtin(None) | ModuleSource::Untold(None));
        Case {
            scenario: self.scenario,
            topics: &self.topics,
            other_apis: &self.other_apis,
            tokens: &self.station.tokens,
            wire: self.wire,
            is_builtin,
            answer_within: self.answer_within(),
            // Khumbu's own EVerest tells of them.
            shows_calls: self.scenario.model.under_test == Side::Client || self.settings.module.is_builtin(),
            bindings: self.bindings(),
        }
    }

    /// How long EVerest waits for an answer.
    fn answer_within(&self) -> Duration {
        let seconds = self.station.auth_token_validator.as_ref().map(|validator| validator.cfg_request_reply_to_s);
        Duration::from_secs(seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default())
    }

    /// What messages on foreign topics mean, where the module under test is an EVerest that a station file describes.
    pub fn bindings(&self) -> &[station_file::Binding] {
        let file = self.settings.station.as_ref().filter(|_| self.scenario.model.under_test == Side::Everest);
        file.map(|file| file.bindings.as_slice()).unwrap_or_default()
    }

    /// What tells messages apart.
    pub fn classifier(&self) -> Classifier {
        let bindings = self.bindings().to_vec();
        Classifier::new(self.topics.clone(), &self.other_apis).with_calls(move |topic, payload| {
            let (evse, call, arguments) = inside::call_of(&bindings, topic, payload)?;
            Some(inside::call_told(evse, call, &arguments))
        })
    }

    /// What the monitors need to know.
    pub fn context(&self) -> Context {
        let Scene { scenario, settings, topics, station, other_apis, .. } = self;
        let under_test = scenario.model.under_test;
        // No client knows of a shorter one until a discovery tells it.
        let untold = match under_test {
            Side::Client => DEFAULT_CHECK,
            Side::Everest => Duration::ZERO,
        };
        let positive = |value: i32| u64::try_from(value).ok().filter(|value| *value > 0);
        let module = |topics: &Topics| {
            let cadence = station.cadence(topics.api);
            let check = cadence.and_then(|cadence| positive(cadence.check_within_s));
            let heartbeat = cadence.and_then(|cadence| positive(cadence.heartbeat_ms));
            ApiModule {
                topics: topics.clone(),
                communication_check_timeout: check.map(Duration::from_secs).map(|check| check.max(untold)),
                heartbeat_interval: heartbeat.map(Duration::from_millis),
            }
        };
        let ApiModule { topics, communication_check_timeout, heartbeat_interval } = module(topics);
        let everests = other_apis.iter().filter(|_| under_test == Side::Everest);
        Context {
            in_force: station.in_force(),
            from_start: settings.module != ModuleSource::Attached,
            relayed: settings.upstream.is_some(),
            communication_check_timeout,
            heartbeat_interval,
            auth: Some(station.auth.clone()),
            other_apis: everests.map(module).collect(),
            ..Context::new(topics, under_test)
        }
    }

    /// What the meaning of a step hangs on.
    pub fn frame(&self) -> Frame {
        let has_provider = self.station.auth_token_provider.is_some();
        Frame { has_provider, ..self.scenario.model.frame() }
    }

    /// Whether the module under test is the client of this API.
    pub fn is_client_of(&self, api: ApiType) -> bool {
        self.scenario.model.under_test == Side::Client && self.topics.api == api
    }
}

/// Where the module under test comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleSource {
    /// Khumbu's own module of that side, with a deliberate fault or without.
    Builtin(Option<&'static Bug>),
    /// The same, as somebody who knows nothing of khumbu would have written it: it takes no orders, and does of its own accord
    /// what such a module does.
    Untold(Option<&'static Bug>),
    /// A command line, with placeholders, started for each scenario.
    Command(Vec<String>),
    /// It runs already, and connects to the broker by itself.
    Attached,
}

impl ModuleSource {
    /// Whether it is khumbu's own.
    pub fn is_builtin(&self) -> bool {
        matches!(self, ModuleSource::Builtin(_) | ModuleSource::Untold(_))
    }
}

/// How a module is told to do one thing, where it does not listen on the control topic.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// A line on its standard input. `{command}` is the command as JSON, `{arguments}` its arguments.
    Stdin(String),
    /// A message.
    Publish(BoundPublish),
    /// A command line, with the placeholders of the module's command line and the two above.
    Run(String),
    /// Nothing: it does so by itself, or somebody presses its button. How long that may take.
    ByItself(Timespan),
}

/// A message that tells a module to do one thing.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BoundPublish {
    /// The topic, with the placeholders of the module's command line.
    pub topic: String,
    /// A JSON payload; the text `{arguments}` stands for the arguments, `{command}` for the whole command. The
    /// arguments if absent.
    #[serde(default)]
    pub payload: Option<Value>,
}

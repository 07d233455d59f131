//! A session: a scenario whose steps arrive one by one, on a broker of its own, against a module that connects by itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::applicable::not_applicable;
use super::arriving::{Arriving, Outcome, Sending, TooMany, known};
use super::awaited::Awaited;
use super::module::environment;
use super::play::play;
use super::settings::{ModuleSource, Scene, Settings};
use super::waits::{Room, Waits};
use super::{Piece, Recorder, no_broker_at, open_broker};
use crate::conformance::requirements;
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::Topics;
use crate::protocol::release::Release;
use crate::recording::Writer;
use crate::scenario::{self, Draft};
use crate::timespan::Timespan;
use crate::verdict::{ScenarioResult, Verdict};

/// The longest session, unless it has a `timeout`.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Keys of a scenario that a session has no use for.
const OF_FILES: [&str; 2] = ["steps", "golden"];

/// What a session may say besides the keys of a scenario.
const OWN: [&str; 8] =
    ["name", "module_id", "api_version", "external_prefix", "release", "listen", "ready_within", "record"];

/// The keys that a session may have, and those that its station may have.
pub fn keys() -> (Vec<String>, Vec<String>) {
    let (mut head, station) = scenario::keys();
    head.retain(|key| !OF_FILES.contains(&key.as_str()) && !OWN.contains(&key.as_str()));
    head.extend(OWN.map(str::to_owned));
    (head, station)
}

/// The session that somebody wants.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// What it is called where something is wrong, in the place of a file.
    pub name: String,
    /// The keys of a scenario besides `steps`.
    pub head: Map<String, Value>,
    /// The id of the API module; `auth_api` if absent.
    pub module_id: Option<String>,
    /// The version in topics; `1` if absent.
    pub api_version: Option<String>,
    /// EVerest's external MQTT prefix; none if absent.
    pub external_prefix: Option<String>,
    /// The release; what the scenario says if absent.
    pub release: Option<Release>,
    /// Where the broker listens; a free port of 127.0.0.1 if absent.
    pub listen: Option<SocketAddr>,
    /// How long the module may take to be ready.
    pub ready_within: Option<Duration>,
    /// Whether a recording is wanted of what passes the broker.
    pub is_recorded: bool,
}

/// A session that is open.
pub struct Session {
    /// Where the broker listens.
    pub address: SocketAddr,
    /// The topics of the API module that the module under test uses or is.
    pub topics: Topics,
    /// The release that is played.
    pub release: Release,
    /// What a module that is started by hand should find in its environment.
    pub environment: BTreeMap<&'static str, String>,
    sending: Sending,
    arriving: Arc<Arriving>,
    recording: Option<Arc<Mutex<String>>>,
    task: JoinHandle<ScenarioResult>,
}

/// What came of a session.
#[derive(Debug)]
pub struct Closed {
    /// The result, as of any scenario.
    pub result: ScenarioResult,
    /// All its steps as a scenario, which can be played again.
    pub scenario: String,
    /// What passed the broker, where that was wanted, as lines of a recording.
    pub recording: Option<String>,
}

impl Wanted {
    /// A session as one mapping has it: the keys of a scenario besides `steps`, and those of the session itself.
    ///
    /// # Errors
    /// Which of its own keys is wrong, and why.
    pub fn of_keys(mut keys: Map<String, Value>) -> Result<Self, String> {
        let listen = |text: String| match text.parse() {
            Ok(address) => Ok(address),
            Err(error) => Err(format!("`listen` is `{text}`, no address like 127.0.0.1:1883: {error}")),
        };
        Ok(Self {
            name: taken(&mut keys, "name")?.unwrap_or_else(|| "session".to_owned()),
            module_id: taken(&mut keys, "module_id")?,
            api_version: taken(&mut keys, "api_version")?,
            external_prefix: taken(&mut keys, "external_prefix")?,
            release: taken(&mut keys, "release")?,
            listen: taken(&mut keys, "listen")?.map(listen).transpose()?,
            ready_within: taken(&mut keys, "ready_within")?.map(|span: Timespan| span.0),
            is_recorded: taken(&mut keys, "record")?.unwrap_or_default(),
            head: keys,
        })
    }
}

/// Takes a key out of a mapping.
fn taken<T: DeserializeOwned>(keys: &mut Map<String, Value>, key: &str) -> Result<Option<T>, String> {
    let Some(value) = keys.remove(key) else { return Ok(None) };
    serde_json::from_value(value).map(Some).map_err(|error| format!("`{key}`: {error}"))
}

impl Session {
    /// Opens it: when this returns, the broker listens.
    ///
    /// # Errors
    /// What is wrong with what is wanted, or `harness/no-broker`.
    pub async fn open(wanted: Wanted, interrupt: watch::Receiver<bool>) -> Result<Self, Vec<Diagnostic>> {
        let one = |diagnostic: Box<Diagnostic>| vec![*diagnostic];
        if let Some(key) = OF_FILES.into_iter().find(|key| wanted.head.contains_key(*key)) {
            let headline = format!("a session has no `{key}` in its head");
            let help = "send steps one by one, and compare goldens with `khumbu run`";
            return Err(vec![Diagnostic::new(Severity::Error, "usage/bad-session", headline).with_help(help)]);
        }
        let mut settings = Settings::new(ModuleSource::Attached);
        let topics = &mut settings.topics;
        topics.module_id = wanted.module_id.unwrap_or_else(|| topics.module_id.clone());
        topics.api_version = wanted.api_version.clone().unwrap_or_else(|| topics.api_version.clone());
        topics.external_prefix = wanted.external_prefix.unwrap_or_default();
        topics.check().map_err(one)?;
        settings.listen = wanted.listen.unwrap_or(settings.listen);
        settings.ready_within = wanted.ready_within.unwrap_or(settings.ready_within);
        let draft = Draft::new(&wanted.name, &wanted.head);
        let ids: Vec<_> = requirements::ids().collect();
        let mut scenario = draft.read(known(&ids))?;
        scenario.model.timeout.get_or_insert(Timespan(LONGEST));
        let named = wanted.release.or_else(|| Release::of_api_version(wanted.api_version.as_deref()?));
        let release = named.unwrap_or_else(|| scenario.release_unasked());
        if let Some(version) = &wanted.api_version {
            release.check_api_version(version).map_err(one)?;
        }
        let (sending, arriving) = Arriving::new(draft);
        let arriving = Arc::new(arriving);
        let mut piece = Piece::new(Arc::new(scenario), release);
        piece.arriving = Some(arriving.clone());
        let recording = wanted.is_recorded.then(Arc::default);
        piece.recorder = recording.clone().map(|recording| recorder(recording, settings.topics.clone()));
        let scene = Scene::new(&piece, &settings);
        if let Some(why) = not_applicable(&scene) {
            return Err(vec![why]);
        }
        let topics = scene.topics.clone();
        let open = open_broker(&settings).await.map_err(|error| vec![no_broker_at(&error)])?;
        let address = open.broker.address();
        let environment = environment(&scene, address);
        let task = tokio::spawn(async move {
            let (result, open) = play(
                &piece,
                &settings,
                open,
                interrupt,
                (Awaited::untold(), Waits::new(Room::default()), Arc::default()),
            )
            .await;
            if let Some(open) = open {
                open.broker.stop().await;
            }
            result
        });
        Ok(Self { address, topics, release, environment, sending, arriving, recording, task })
    }

    /// Has the module be ready; what came of it.
    ///
    /// # Errors
    /// When too much waits.
    pub fn begin(&self) -> Result<oneshot::Receiver<Outcome>, TooMany> {
        self.sending.begin()
    }

    /// Has a step played, after all that were sent before; what came of it.
    ///
    /// # Errors
    /// When too much waits.
    pub fn play(&self, step: Value) -> Result<oneshot::Receiver<Outcome>, TooMany> {
        self.sending.play(step)
    }

    /// Ends it once all steps that were sent are over, and says what came of it.
    pub async fn close(self) -> Closed {
        let Self { sending, arriving, recording, task, .. } = self;
        drop(sending);
        let result = task.await.unwrap_or_else(|error| {
            let panicked = Diagnostic::panicked(&error.to_string());
            ScenarioResult { verdict: Verdict::of(&panicked), findings: vec![panicked], ..ScenarioResult::default() }
        });
        let recording = recording.map(|recording| std::mem::take(&mut *locked(&recording)));
        Closed { result, scenario: arriving.draft().text(), recording }
    }
}

/// Keeps what passes as lines of a recording.
fn recorder(recording: Arc<Mutex<String>>, topics: Topics) -> Recorder {
    let writer = Mutex::new(Writer::new(topics));
    Arc::new(move |record| {
        let line = locked(&writer).line(record).unwrap_or_default();
        locked(&recording).push_str(&line);
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came of an order; whatever ends the scenario leaves it without an answer.
pub async fn outcome(order: Result<oneshot::Receiver<Outcome>, TooMany>) -> Result<Outcome, TooMany> {
    Ok(order?.await.unwrap_or(Outcome::Over))
}

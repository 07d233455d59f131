//! The module under test as the runner handles it: built in, a process, or running already.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitStatus;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::process::{Ending, Output, Process};
use super::settings::{ModuleSource, Scene, Settings};
use crate::protocol::channel::Topics;
use crate::protocol::side::Side;
use crate::protocol::wire::Wire;
use crate::scenario::placeholder::IN_COMMANDS;
use crate::sim::bugs::Bug;
use crate::sim::bugs::edge::Edge;
use crate::sim::client::check_period;
use crate::sim::everest::{Everest, Order};
use crate::sim::link::LinkError;
use crate::sim::player::{Part, Verdicts, fresh_client_id, run_module};
use crate::station::config::StationConfig;
use crate::station::told;

/// A module under test that was started.
#[derive(Debug)]
pub struct Module {
    body: Body,
    is_over: bool,
    /// Becomes `Some` when the module has ended by itself; the text says how.
    pub ended: watch::Receiver<Option<String>>,
    /// What was run, in words.
    pub description: String,
}

#[derive(Debug)]
enum Body {
    Client {
        stop: Option<oneshot::Sender<()>>,
        task: JoinHandle<()>,
    },
    Everest {
        orders: Option<mpsc::UnboundedSender<Order>>,
        task: JoinHandle<()>,
    },
    Process(Box<Process>),
    /// Its end cannot be seen, so that nobody ever says so.
    Attached {
        _never: watch::Sender<Option<String>>,
    },
}

impl Drop for Body {
    fn drop(&mut self) {
        match self {
            Body::Client { task, .. } | Body::Everest { task, .. } => task.abort(),
            Body::Process(_) | Body::Attached { .. } => {}
        }
    }
}

impl Module {
    /// Starts the module.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn start(scene: &Scene<'_>, broker: SocketAddr) -> io::Result<Self> {
        let settings = scene.settings;
        match &settings.module {
            ModuleSource::Attached => {
                let (never, ended) = watch::channel(None);
                Ok(Self {
                    body: Body::Attached { _never: never },
                    is_over: false,
                    ended,
                    description: "attached module".to_owned(),
                })
            }
            ModuleSource::Builtin(bug) => Ok(Self::start_builtin(scene, broker, *bug, true)),
            ModuleSource::Untold(bug) => Ok(Self::start_builtin(scene, broker, *bug, false)),
            ModuleSource::Command(words) => {
                let environment = environment(scene, broker);
                let command: Vec<String> = words.iter().map(|word| fill(word, &scene.topics, broker)).collect();
                let with_stdin = settings.bindings.values().any(|b| matches!(b, super::settings::Binding::Stdin(_)));
                let process = Process::start(&command, &environment, with_stdin)?;
                let description = format!("{} (pid {})", shell_words::join(&command), process.id());
                let (sender, ended) = watch::channel(None);
                let mut exit = process.exit();
                tokio::spawn(async move {
                    if let Ok(status) = exit.wait_for(Option::is_some).await {
                        sender.send_replace(status.map(in_words));
                    }
                });
                Ok(Self { body: Body::Process(Box::new(process)), is_over: false, ended, description })
            }
        }
    }

    fn start_builtin(scene: &Scene<'_>, broker: SocketAddr, bug: Option<&'static Bug>, is_driven: bool) -> Self {
        let side = scene.scenario.model.under_test;
        let (sender, ended) = watch::channel(None);
        let (topics, station) = (scene.topics.clone(), &scene.station);
        let edge = Edge::of(bug.filter(|bug| bug.side == side), &topics, station);
        let at = edge.clone();
        let run = async move |life: Pin<Box<dyn Future<Output = Result<(), LinkError>> + Send>>| {
            let how = tokio::select! {
                outcome = life => outcome.err().map(|error| format!("ended, because {error},")),
                () = at.crashed() => Some("crashed".to_owned()),
            };
            if how.is_some() {
                sender.send_replace(how);
            }
        };
        let body = match side {
            Side::Client => {
                let (stop, stopped) = oneshot::channel();
                let seconds = station.cadence(topics.api).map_or(0, |cadence| cadence.check_within_s);
                let part = Part {
                    address: broker,
                    client_id: fresh_client_id(topics.api),
                    topics,
                    period: check_period(seconds),
                    verdicts: verdicts(station),
                    wire: Wire::Everest,
                    edge,
                };
                let task = tokio::spawn(async move { run(Box::pin(run_module(part, is_driven, stopped))).await });
                Body::Client { stop: Some(stop), task }
            }
            Side::Everest => {
                let client_id = format!("everest-{}", uuid::Uuid::new_v4().simple());
                let (station, inside) = (edge.station(station.clone()), scene.settings.inside.clone());
                let (address, wire, csms, ends) = (broker, Wire::Everest, None, None);
                let tells = is_driven;
                let everest =
                    Everest { address, client_id, topics, station, is_driven, tells, inside, wire, csms, ends, edge };
                let (orders, received) = mpsc::unbounded_channel();
                let (ready, _) = oneshot::channel();
                let task = tokio::spawn(async move { run(Box::pin(everest.run(received, ready))).await });
                Body::Everest { orders: Some(orders), task }
            }
        };
        let name = match side {
            Side::Client => "builtin:client",
            Side::Everest => "builtin:everest",
        };
        Self { body, is_over: false, ended, description: name.to_owned() }
    }

    /// Has an EVerest that is built in restart, if it is one: the EVs that are plugged in are not part of it, and are found
    /// again. `false` if it is none, or does not come up.
    pub async fn restart_everest(&self) -> bool {
        let Body::Everest { orders: Some(orders), .. } = &self.body else { return false };
        let (done, again) = oneshot::channel();
        orders.send(Order::Restart(done)).is_ok() && again.await.is_ok_and(|outcome| outcome.is_ok())
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// What it wrote, if it is a process.
    pub fn output(&self) -> Option<&Output> {
        match &self.body {
            Body::Process(process) => Some(process.output()),
            _ => None,
        }
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    /// When there is none, or it does not take it.
    pub async fn write_line(&mut self, line: &str) -> io::Result<()> {
        match &mut self.body {
            Body::Process(process) => process.write_line(line).await,
            _ => Err(io::Error::other("it is no process of ours")),
        }
    }

    /// Tells it to end, without waiting.
    pub fn terminate(&mut self) {
        match &mut self.body {
            Body::Client { stop, .. } => drop(stop.take().map(|stop| stop.send(()))),
            Body::Everest { orders, .. } => drop(orders.take()),
            Body::Process(process) => process.terminate(),
            Body::Attached { .. } => {}
        }
    }

    /// Ends it, and everything it started.
    ///
    /// Once is enough: another time does nothing.
    pub async fn end(&mut self, settings: &Settings) -> Ending {
        if std::mem::replace(&mut self.is_over, true) {
            return Ending::default();
        }
        if !matches!(self.body, Body::Process(_)) {
            self.terminate();
        }
        match &mut self.body {
            // It is told once.
            Body::Process(process) => process.end(settings.stop_within).await,
            Body::Client { task, .. } | Body::Everest { task, .. } => {
                // Ours ends at once; dropping the body ends it otherwise.
                let _ = tokio::time::timeout(settings.stop_within, task).await;
                Ending::default()
            }
            Body::Attached { .. } => Ending::default(),
        }
    }
}

/// How a process ended, in words.
pub fn in_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => match nix::sys::signal::Signal::try_from(signal) {
            Ok(name) => format!("was ended by signal {name}"),
            Err(_) => format!("was ended by signal {signal}"),
        },
        (None, None) => "ended".to_owned(),
    }
}

/// Fills the placeholders of a command line, which [`IN_COMMANDS`] lists.
pub fn fill(word: &str, topics: &Topics, broker: SocketAddr) -> String {
    let Topics { api, module_id, api_version, external_prefix } = topics;
    let (host, port) = (broker.ip().to_string(), broker.port().to_string());
    let values = [&host, &port, api.name(), module_id, api_version, external_prefix];
    let filled = IN_COMMANDS.into_iter().zip(values);
    filled.fold(word.to_owned(), |word, (name, value)| word.replace(&format!("{{{name}}}"), value))
}

/// What a module finds in its environment: the names that EVerest people use, and ours.
pub fn environment(scene: &Scene<'_>, broker: SocketAddr) -> BTreeMap<&'static str, String> {
    let Scene { topics, station, .. } = scene;
    let (host, port) = (broker.ip().to_string(), broker.port().to_string());
    BTreeMap::from([
        ("MQTT_SERVER_ADDRESS", host.clone()),
        ("MQTT_SERVER_PORT", port.clone()),
        ("EV_MQTT_BROKER_HOST", host),
        ("EV_MQTT_BROKER_PORT", port),
        ("EV_MQTT_EXTERNAL_PREFIX", topics.external_prefix.clone()),
        ("KHUMBU_API", topics.api.name().to_owned()),
        ("KHUMBU_MODULE_ID", topics.module_id.clone()),
        ("KHUMBU_API_VERSION", topics.api_version.clone()),
        ("KHUMBU_STATION", told::to_json(station).to_string()),
    ])
}

/// What a token validator is to know.
pub fn verdicts(station: &StationConfig) -> Verdicts {
    station.tokens.values().map(|token| (token.value.clone(), token.to_validation())).collect()
}

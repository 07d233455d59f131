//! `khumbu everest`: EVerest's configuration for a station, written, and EVerest's manager run with it.
//!
//! What stands in the configuration says [`crate::station::configuration`]. Here are files, environment and the process.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::process::Command;

use super::{Exit, files, print, quiet_runtime, signals};
use crate::broker::Upstream;
use crate::conformance::requirements;
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::release::Release;
use crate::runner::Process;
use crate::scenario::{self, Known, LARGEST};
use crate::station::config::StationConfig;
use crate::station::configuration::{EVSE_MODULE, Surroundings, configuration};
use crate::station::told;

/// Writes EVerest's configuration for the station that KHUMBU_STATION or a scenario describes, and runs EVerest with it.
///
/// As a module under test: khumbu run scenarios/everest --module 'khumbu everest --run /opt/everest/bin/manager'
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::EVEREST)]
pub struct Arguments {
    /// The scenario whose station it is [default: what KHUMBU_STATION says]
    scenario: Option<PathBuf>,
    /// Where the configuration is written; `-` is standard output [default: `-`, unless EVerest is run]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// EVerest's `manager`, as it is installed in PREFIX/bin; it is run until it ends, or a signal comes
    #[arg(long, value_name = "MANAGER")]
    run: Option<PathBuf>,
    /// Where EVerest is installed [default: two levels above the manager]
    #[arg(long, value_name = "DIRECTORY", requires = "run")]
    prefix: Option<PathBuf>,
    /// The module that takes EvseManager's place, with an implementation `evse`
    #[arg(long, value_name = "NAME", default_value = EVSE_MODULE)]
    evse_module: String,
    /// The release of EVerest, over what the station says
    #[arg(long, value_name = "2025.10|2025.12|2026.02|main", hide_possible_values = true)]
    release: Option<Release>,
    /// The broker, over MQTT_SERVER_ADDRESS and MQTT_SERVER_PORT [default: mqtt://127.0.0.1:1883]
    #[arg(long, value_name = "URL")]
    broker: Option<Upstream>,
    /// EVerest's external MQTT prefix, over EV_MQTT_EXTERNAL_PREFIX [default: none]
    #[arg(long, value_name = "PREFIX")]
    external_prefix: Option<String>,
}

/// What khumbu tells a module in its environment, and EVerest reads there as well, over its configuration.
const ALSO_EVERESTS: [&str; 5] = [
    "MQTT_SERVER_ADDRESS",
    "MQTT_SERVER_PORT",
    "EV_MQTT_BROKER_HOST",
    "EV_MQTT_BROKER_PORT",
    "EV_MQTT_EXTERNAL_PREFIX",
];
/// What shells add to the number of the signal that has ended a program.
const BY_SIGNAL: i32 = 128;

/// Writes, or writes and runs.
pub fn run(arguments: &Arguments) -> ExitCode {
    try_run(arguments).unwrap_or_else(|diagnostics| print::refused(diagnostics).into())
}

fn try_run(arguments: &Arguments) -> Result<ExitCode, Vec<Diagnostic>> {
    let text = written(arguments)?;
    let Some(manager) = &arguments.run else {
        write(arguments.config.as_deref().unwrap_or(Path::new("-")), &text)?;
        return Ok(Exit::Pass.into());
    };
    // EVerest works there, whatever it leaves behind.
    let scratch = Scratch::new().map_err(|error| {
        let headline = "there is no room for EVerest among the temporary files";
        vec![Diagnostic::new(Severity::Error, "file/unwritable", headline).with_evidence(error.to_string())]
    })?;
    let path = arguments.config.clone().unwrap_or_else(|| scratch.0.join("config.yaml"));
    write(&path, &text)?;
    manage(arguments, manager, &path, &scratch.0).map_err(|diagnostic| vec![*diagnostic])
}

/// The configuration as text.
fn written(arguments: &Arguments) -> Result<String, Vec<Diagnostic>> {
    let fail = |id, headline: String| Diagnostic::new(Severity::Error, id, headline);
    let mut station = station(arguments)?;
    station.release = arguments.release.unwrap_or(station.release);
    let (broker_host, broker_port) = match &arguments.broker {
        Some(Upstream { host, port }) => (host.clone(), *port),
        None => (variable("MQTT_SERVER_ADDRESS").unwrap_or_else(|| "127.0.0.1".to_owned()), port()?),
    };
    let external_prefix = arguments.external_prefix.clone().or_else(|| variable("EV_MQTT_EXTERNAL_PREFIX"));
    let around = Surroundings {
        broker_host,
        broker_port,
        external_prefix: external_prefix.unwrap_or_default(),
        evse_module: arguments.evse_module.clone(),
    };
    let config = configuration(&station, &around).map_err(|faults| {
        let faults = faults.into_iter().map(|fault| fail("release/no-such-everest", fault));
        faults.collect::<Vec<_>>()
    })?;
    serde_saphyr::to_string(&config)
        .map_err(|error| vec![fail("harness/broken", format!("the configuration cannot be written: {error}"))])
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn port() -> Result<u16, Vec<Diagnostic>> {
    let Some(text) = variable("MQTT_SERVER_PORT") else { return Ok(1883) };
    text.parse().map_err(|_| {
        let headline = format!("MQTT_SERVER_PORT is `{text}`, which is no port");
        vec![Diagnostic::new(Severity::Error, "usage/bad-value", headline)]
    })
}

/// The station of the scenario, or that of the environment.
fn station(arguments: &Arguments) -> Result<StationConfig, Vec<Diagnostic>> {
    if let Some(path) = &arguments.scenario {
        let text = files::read_text(path, LARGEST)?;
        let known: Vec<_> = requirements::ids().collect();
        let scenario =
            scenario::parse(&path.display().to_string(), &text, Known { requirements: &known, answers: None })?;
        return Ok(StationConfig { release: scenario.release(), ..scenario.model.station });
    }
    let Some(told) = variable("KHUMBU_STATION") else {
        let headline = "nothing says which station EVerest is to be";
        let help = "name a scenario: khumbu everest scenarios/everest/withdraw_by_evse.yaml";
        let diagnostic = Diagnostic::new(Severity::Error, "usage/no-station", headline)
            .with_evidence("KHUMBU_STATION is not set; `khumbu run` sets it for the module that it starts");
        return Err(vec![diagnostic.with_help(help)]);
    };
    told::from_json(&told).map_err(|error| {
        let headline = "KHUMBU_STATION holds no station that EVerest can be".to_owned();
        vec![Diagnostic::new(Severity::Error, "usage/no-station", headline).with_evidence(error.to_string())]
    })
}

fn write(path: &Path, text: &str) -> Result<(), Vec<Diagnostic>> {
    if path == Path::new("-") {
        print::report(text);
        return Ok(());
    }
    std::fs::write(path, text).map_err(|error| {
        let headline = format!("EVerest's configuration cannot be written to `{}`: {error}", path.display());
        vec![Diagnostic::new(Severity::Error, "file/unwritable", headline)]
    })
}

/// A directory that is gone when this is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("khumbu-everest-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&path).map(|()| Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays; nobody reads it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the manager until it ends, or a signal comes; how it has ended is how this ends.
fn manage(arguments: &Arguments, manager: &Path, config: &Path, directory: &Path) -> Result<ExitCode, Box<Diagnostic>> {
    let not_started = |error: io::Error| {
        let headline = format!("EVerest's manager `{}` cannot be started: {error}", manager.display());
        let help = "--run names the program, as in `--run /opt/everest/bin/manager`";
        Box::new(Diagnostic::new(Severity::Error, "usage/no-manager", headline).with_help(help))
    };
    // Relative paths are those of whoever calls, wherever EVerest works.
    let manager = std::fs::canonicalize(manager).map_err(not_started)?;
    let config = std::fs::canonicalize(config).map_err(not_started)?;
    let prefix = match &arguments.prefix {
        Some(prefix) => std::fs::canonicalize(prefix).map_err(not_started)?,
        None => manager.ancestors().nth(2).unwrap_or(Path::new("/")).to_owned(),
    };
    let mut command = Command::new(&manager);
    command.arg("--prefix").arg(&prefix).arg("--config").arg(&config).env("LD_LIBRARY_PATH", libraries(&prefix));
    command.current_dir(directory).stdin(std::process::Stdio::null());
    for name in ALSO_EVERESTS {
        command.env_remove(name);
    }
    let runtime = match quiet_runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return Ok(exit.into()),
    };
    runtime.block_on(async {
        let mut wishes = signals::wishes().map_err(not_started)?;
        let mut process = Process::start_prepared(command).map_err(not_started)?;
        let mut exit = process.exit();
        loop {
            tokio::select! {
                _ = exit.wait_for(Option::is_some) => break,
                // However often: how long EVerest may take to end is for whoever waits to say.
                () = wishes.next() => process.terminate(),
            }
        }
        let ending = process.end(Duration::ZERO).await;
        Ok(ending.status.map_or(Exit::Error.into(), to_exit_code))
    })
}

/// EVerest's own libraries first, as its run scripts have it.
fn libraries(prefix: &Path) -> String {
    let own = prefix.join("lib").display().to_string();
    variable("LD_LIBRARY_PATH").map_or(own.clone(), |others| format!("{own}:{others}"))
}

fn to_exit_code(status: std::process::ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or(status.signal().map(|signal| BY_SIGNAL + signal)).unwrap_or(BY_SIGNAL);
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

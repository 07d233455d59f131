//! The flags about the module under test and its topics, and what they and `khumbu.yaml` settle together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr as _;

use super::built_in::BuiltIn;
use super::config::Config;
use crate::broker::{PacketLimit, Upstream};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::{ApiType, Topics};
use crate::protocol::side::Side;
use crate::runner::{ModuleSource, Settings};
use crate::scenario::Scenario;
use crate::scenario::model::Ready;
use crate::scenario::placeholder::{IN_COMMANDS, MEANT_AS_THEY_STAND, listed, misspelt};
use crate::timespan::Timespan;

/// So many times as many scenarios as are played at once may be played besides, while they wait for long.
const MEANWHILE: usize = 2;

/// Flags about topics.
#[derive(Debug, clap::Args)]
pub struct TopicFlags {
    /// Id of the API module in EVerest's configuration [default: auth_api, or that of a recording]
    #[arg(long, value_name = "ID")]
    pub module_id: Option<String>,
    /// Version in the topics; 1.0 also means `--release 1.0` where no release is named [default: 1, or that of a recording]
    #[arg(long, value_name = "1|1.0")]
    pub api_version: Option<String>,
    /// EVerest's external MQTT prefix [default: none, or that of a recording]
    #[arg(long, value_name = "PREFIX")]
    pub external_prefix: Option<String>,
    /// Configuration file [default: khumbu.yaml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl TopicFlags {
    /// The topics; a flag wins over the configuration, and that over what is otherwise known.
    ///
    /// # Errors
    /// `usage/bad-topic`.
    pub fn topics(&self, config: &Config) -> Result<Topics, Box<Diagnostic>> {
        config.topics(&self.module_id, &self.api_version, &self.external_prefix)
    }
}

/// Flags about the module under test.
#[derive(Debug, clap::Args)]
pub struct ModuleFlags {
    /// Command line of the module under test; {host}, {port}, {module_id}, {api_version} and {external_prefix} are
    /// filled in [default: the built-in module of that side]. `builtin:SIDE?bug=NAME` is the built-in module with a
    /// deliberate fault, see `khumbu run --list-bugs`
    #[arg(long, value_name = "CMD")]
    pub module: Option<String>,
    /// The module runs already and connects to --listen by itself
    #[arg(long, conflicts_with = "module", requires = "listen")]
    pub attach: bool,
    /// Use this broker instead of our own: mqtt://host:port
    #[arg(long, value_name = "URL")]
    pub broker: Option<Upstream>,
    /// Where our broker listens [default: 127.0.0.1:0, a free port]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// The largest packet that our broker takes, such as 512KiB; a module that sends a larger one fails [default: 10MiB]
    #[arg(long, value_name = "SIZE")]
    pub max_packet: Option<PacketLimit>,
    #[command(flatten)]
    pub topics: TopicFlags,
    /// What the wire must show before anything is played: connected, subscribed, communication_check, or topic:FILTER
    /// [default: subscribed]
    #[arg(long, value_name = "WHAT", value_parser = Ready::from_str)]
    pub ready: Option<Ready>,
    /// How long the module may take to be ready [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub ready_within: Option<Timespan>,
    /// How long the module may take to end after SIGTERM [default: 2s]
    #[arg(long, value_name = "TIME")]
    pub stop_within: Option<Timespan>,
}

impl ModuleFlags {
    /// The settings of a run as far as the module goes; the rest is as by default.
    ///
    /// # Errors
    /// `usage/bad-value`, `usage/bad-topic`.
    pub fn settings(&self, config: &Config) -> Result<Settings, Box<Diagnostic>> {
        let usage = |headline: String| Box::new(Diagnostic::new(Severity::Error, "usage/bad-value", headline));
        let module = match self.command(config) {
            _ if self.attach => ModuleSource::Attached,
            None => ModuleSource::Builtin(None),
            Some(name) if BuiltIn::is_meant(name) => ModuleSource::Builtin(BuiltIn::read(name)?.bug),
            Some(command) => match shell_words::split(command) {
                Ok(words) if !words.is_empty() => {
                    check_placeholders(&words)?;
                    ModuleSource::Command(words)
                }
                Ok(_) => return Err(usage("the module's command line is empty".to_owned())),
                Err(error) => return Err(usage(format!("the module's command line `{command}` has {error}"))),
            },
        };
        let upstream = match (&self.broker, &config.broker) {
            (Some(upstream), _) => Some(upstream.clone()),
            (None, Some(url)) => Some(url.parse().map_err(|error| usage(format!("broker `{url}`: {error}")))?),
            (None, None) => None,
        };
        let span = |flag: Option<Timespan>, default: Option<Timespan>, otherwise| {
            flag.or(default).map_or(otherwise, |span| span.0)
        };
        // Scenarios wait more than they work; a module that is a process has to be started besides.
        let at_once = if module.is_builtin() { 16 } else { 2 };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        // Who says how many wants no more.
        let (jobs, jobs_meanwhile) = match config.jobs {
            Some(jobs) => (usize::from(jobs.get()), 0),
            None => (processors * at_once, processors * at_once * MEANWHILE),
        };
        let plain = Settings::new(module);
        Ok(Settings {
            topics: self.topics.topics(config)?,
            listen: self.listen.unwrap_or(plain.listen),
            upstream,
            max_packet: self.max_packet.or(config.max_packet).unwrap_or_default(),
            ready: self.ready.clone().or_else(|| config.module.ready.clone()),
            ready_within: span(self.ready_within, config.module.ready_within, plain.ready_within),
            stop_within: span(self.stop_within, config.module.stop_within, plain.stop_within),
            bindings: config
                .module
                .bindings
                .iter()
                .map(|(drive, binding)| (drive.0.to_owned(), binding.clone()))
                .collect(),
            lacks: config.module.lacks.clone(),
            cannot: config.module.cannot.iter().map(|drive| drive.0.to_owned()).collect(),
            wire: config.wire.unwrap_or_default(),
            jobs,
            jobs_meanwhile,
            ..plain
        })
    }

    /// A module that was named with its side cannot stand on the other one.
    ///
    /// # Errors
    /// `usage/wrong-side`.
    pub fn check_sides(&self, selected: &[Scenario], config: &Config) -> Result<(), Box<Diagnostic>> {
        let command = self.command(config).filter(|_| !self.attach);
        let built_in = command.filter(|command| BuiltIn::is_meant(command));
        let Some((command, side)) = built_in.and_then(|it| Some((it, BuiltIn::read(it).ok()?.side?))) else {
            return Ok(());
        };
        let Some(other) = selected.iter().find(|scenario| scenario.model.under_test != side) else { return Ok(()) };
        let headline = format!("`{command}` stands on the other side than `{}` tests", other.source.path);
        let diagnostic = Diagnostic::new(Severity::Error, "usage/wrong-side", headline);
        let help = "--module builtin   (each scenario then gets its own side)";
        Err(Box::new(diagnostic.at(other.place("/under_test")).with_help(help)))
    }

    fn command<'a>(&'a self, config: &'a Config) -> Option<&'a String> {
        self.module.as_ref().or(config.module.command.as_ref())
    }
}

/// Whether a command line has no placeholder that is nearly one, and would be left as it stands.
///
/// # Errors
/// `usage/bad-value`.
pub fn check_placeholders(words: &[String]) -> Result<(), Box<Diagnostic>> {
    let Some((written, meant)) = words.iter().find_map(|word| misspelt(word, &IN_COMMANDS)) else { return Ok(()) };
    let headline = format!("`{written}` in the module's command line is no placeholder; did you mean `{meant}`?");
    let diagnostic = Diagnostic::new(Severity::Error, "usage/bad-value", headline);
    Err(Box::new(diagnostic.with_evidence(listed(&IN_COMMANDS)).with_help(MEANT_AS_THEY_STAND)))
}

/// Reads the name of an auth API.
///
/// # Errors
/// What it has to be.
pub fn api(name: &str) -> Result<ApiType, String> {
    let names = || ApiType::AUTH_APIS.map(ApiType::name).join(", ");
    ApiType::AUTH_APIS.into_iter().find(|api| api.name() == name).ok_or_else(|| format!("it is one of {}", names()))
}

/// Reads `client` or `everest`.
///
/// # Errors
/// What it has to be.
pub fn side(text: &str) -> Result<Side, String> {
    match text {
        "client" => Ok(Side::Client),
        "everest" => Ok(Side::Everest),
        _ => Err("it is `client` or `everest`".to_owned()),
    }
}

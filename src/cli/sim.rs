//! `khumbu sim`: a broker and a simulated station to develop against, until a signal comes.

mod commands;
mod console;
mod history;
mod input;
mod line_editor;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use self::console::Console;
use self::input::{Input, Next};
use super::config::{Config, wire_forms};
use super::module_flags::TopicFlags;
use super::recorder::RecordingFile;
use super::{Exit, files, print, quiet_runtime, release, signals};
use crate::author::Heading;
use crate::broker::{self, Broker, PacketLimit};
use crate::diagnostic::{Diagnostic, Severity};
use crate::gateway::{Chargers, Feed, Fleet, Server, Tokens};
use crate::parity::StationFile;
use crate::parity::station_file::Binding;
use crate::protocol::channel::Topics;
use crate::protocol::deviations::TABLE;
use crate::protocol::release::Release;
use crate::protocol::side::Side;
use crate::protocol::wire::Wire;
use crate::scenario;
use crate::sim::bugs::edge::Edge;
use crate::sim::everest::{End, Everest};
use crate::station::config::StationConfig;
use crate::transcript::record::{Direction, Event, Record};

/// Simulates EVerest's side, with a broker of its own, until it is interrupted.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::SIM)]
pub struct Arguments {
    /// Where the broker listens [default: 127.0.0.1:0, a free port]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The largest packet that the broker takes, such as 512KiB [default: 10MiB]
    #[arg(long, value_name = "SIZE")]
    max_packet: Option<PacketLimit>,
    /// The station, as under `station:` of a scenario, also with the `bindings` of recordings [default: two EVSEs and the tokens ALICE and BOB]
    #[arg(long, value_name = "FILE")]
    station: Option<PathBuf>,
    /// Takes commands over HTTP for two chargers, or those described, such as 127.0.0.1:0
    #[arg(long, value_name = "ADDRESS")]
    gateway: Option<SocketAddr>,
    /// The chargers of the gateway [default: two, or the one of --station]
    #[arg(long, value_name = "FILE", requires = "gateway", conflicts_with_all = ["station", "module_id"])]
    chargers: Option<PathBuf>,
    /// Bearer tokens of the gateway [default: one for everything, printed at start]
    #[arg(long, value_name = "FILE", requires = "gateway")]
    tokens: Option<PathBuf>,
    /// `-` prints one JSON object with the key `mqtt`, and `gateway` and `token` if there are, instead of the first lines
    #[arg(long, value_name = "-", value_parser = ["-"])]
    json: Option<String>,
    /// Release of EVerest, over what the station says; `next` is a forecast, no release [default: main]
    #[arg(long, value_name = "1.0|2025.10|2025.12|2026.02|main|next")]
    release: Option<Release>,
    /// How the station writes its messages [default: everest]
    #[arg(long, value_name = "NAME", value_parser = wire_forms())]
    wire: Option<Wire>,
    /// Print where running EVerest differs from its specification, and end
    #[arg(long)]
    list_deviations: bool,
    /// Record what passes, and what is typed, in the form of `khumbu run --record`, in a file that is not there yet; `khumbu
    /// scenario` makes a scenario of it
    #[arg(long, value_name = "FILE", conflicts_with = "gateway")]
    record: Option<PathBuf>,
    /// Print every message that passes, on standard error
    #[arg(long)]
    trace: bool,
    #[command(flatten)]
    topics: TopicFlags,
}

/// The station without `--station`.
const STATION: &str = include_str!("station.yaml");
/// More than any station needs.
const LARGEST: usize = 256 * 1024;
/// Enough for a thousand chargers.
const LARGEST_CHARGERS: usize = 1024 * 1024;
/// Time for the chargers to say goodbye.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);

/// Simulates.
pub fn run(arguments: Arguments) -> Exit {
    if arguments.list_deviations {
        print::out(&list_deviations());
        return Exit::Pass;
    }
    match prepare(&arguments) {
        Ok(plan) => {
            let runtime = match quiet_runtime() {
                Ok(runtime) => runtime,
                Err(exit) => return exit,
            };
            let exit = match runtime.block_on(simulate(arguments, plan)) {
                Ok(()) => Exit::Pass,
                Err(diagnostic) => {
                    print::diagnostics(&[*diagnostic]);
                    Exit::Error
                }
            };
            // A read of standard input may still be under way.
            runtime.shutdown_background();
            exit
        }
        Err(diagnostics) => print::refused(diagnostics),
    }
}

/// What is simulated.
struct Plan {
    topics: Topics,
    station: StationConfig,
    /// What messages on foreign topics do at EVSEs.
    inside: Option<Vec<Binding>>,
    wire: Wire,
    gateway: Option<GatewayPlan>,
    recording: Option<Arc<RecordingFile>>,
}

impl Plan {
    fn forecast(&self) -> Option<Diagnostic> {
        let chargers = self.gateway.iter().flat_map(|gateway| gateway.chargers.chargers.values());
        let mut stations = chargers.map(|charger| &charger.station).chain([&self.station]);
        stations.find_map(|station| release::forecast(station.release))
    }
}

/// What is served over HTTP.
struct GatewayPlan {
    listen: SocketAddr,
    chargers: Chargers,
    tokens: Tokens,
    /// The token that was made, to be printed once.
    made: Option<String>,
}

fn prepare(arguments: &Arguments) -> Result<Plan, Vec<Diagnostic>> {
    let config = Config::load(arguments.topics.config.as_deref())?;
    let mut file: StationFile = match &arguments.station {
        None => scenario::parse_as("station.yaml", STATION)?,
        Some(path) => {
            let text = files::read_text(path, LARGEST)?;
            scenario::parse_around_station(&path.display().to_string(), &text)?
        }
    };
    // What the file says by default is no wish.
    let said = |value: &String, default: &str| (value != default).then(|| value.clone());
    let api_version = arguments.topics.api_version.clone().or_else(|| said(&file.api_version, "1"));
    let external_prefix = arguments.topics.external_prefix.clone().or_else(|| said(&file.external_prefix, ""));
    let topics =
        config.topics(&arguments.topics.module_id, &api_version, &external_prefix).map_err(|error| vec![*error])?;
    let named = &arguments.topics.api_version;
    let wanted = arguments.release.or_else(|| Release::of_api_version(named.as_deref()?));
    let implied = Release::of_api_version(&topics.api_version);
    if !file.names_release {
        file.station.release = implied.unwrap_or_default();
    }
    file.station.release = wanted.unwrap_or(file.station.release);
    if let Some(version) = named {
        file.station.release.check_api_version(version).map_err(|error| vec![*error])?;
    }
    let topics = topics.under(file.station.release);
    // What stands in a station file was dealt with.
    let of_chargers = wanted.or(implied.filter(|_| arguments.station.is_none()));
    let StationFile { station, bindings, .. } = file;
    let inside = (!bindings.is_empty()).then_some(bindings);
    let gateway = match arguments.gateway {
        Some(listen) => Some(prepare_gateway(arguments, listen, &station, &topics, of_chargers)?),
        None => None,
    };
    let wire = arguments.wire.or(config.wire).unwrap_or_default();
    let recording = match &arguments.record {
        Some(path) => {
            // A simulation stands for EVerest: who is under test are its clients, whichever they are.
            let heading = Heading { under_test: Side::Client, api: None, station: station.clone() };
            let file = RecordingFile::create_new(path.clone(), &topics, &heading).map_err(|error| vec![*error])?;
            Some(Arc::new(file))
        }
        None => None,
    };
    Ok(Plan { topics, station, inside, wire, gateway, recording })
}

fn prepare_gateway(
    arguments: &Arguments,
    listen: SocketAddr,
    station: &StationConfig,
    topics: &Topics,
    release: Option<Release>,
) -> Result<GatewayPlan, Vec<Diagnostic>> {
    let mut chargers = match (&arguments.chargers, &arguments.station) {
        (Some(path), _) => Chargers::parse(&path.display().to_string(), &files::read_text(path, LARGEST_CHARGERS)?)?,
        (None, Some(_)) => Chargers::one(station.clone(), &topics.module_id),
        (None, None) => Chargers::two(&topics.module_id)?,
    };
    for charger in chargers.chargers.values_mut() {
        charger.station.release = release.unwrap_or(charger.station.release);
    }
    let (tokens, made) = match &arguments.tokens {
        Some(path) => {
            let text = files::read_text(path, LARGEST)?;
            let is_charger = |id: &str| chargers.chargers.contains_key(id);
            (Tokens::parse(&path.display().to_string(), &text, is_charger)?, None)
        }
        None => {
            let (tokens, made) = Tokens::generate().map_err(|error| {
                let no_token = Diagnostic::new(Severity::Error, "harness/no-gateway", "no token can be made");
                vec![no_token.with_evidence(error.to_string())]
            })?;
            (tokens, Some(made))
        }
    };
    Ok(GatewayPlan { listen, chargers, tokens, made })
}

/// The table as text; the words stand under each other so that they can be searched for.
fn list_deviations() -> String {
    let mut text = String::new();
    for entry in &TABLE {
        let releases: Vec<_> = entry.releases.iter().map(|release| release.label()).collect();
        let releases = if releases.is_empty() { "on request".to_owned() } else { releases.join(", ") };
        for (name, value) in [
            ("", entry.id),
            ("  runs       ", entry.runs),
            ("  specified  ", entry.specified),
            ("  releases   ", &releases),
            ("  source     ", entry.source),
        ] {
            text.push_str(name);
            text.push_str(value);
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

async fn simulate(arguments: Arguments, plan: Plan) -> Result<(), Box<Diagnostic>> {
    print::diagnostics(plan.forecast().as_slice());
    let broken = |why: String| Box::new(Diagnostic::new(Severity::Error, "harness/no-broker", why));
    let listen = arguments.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let is_traced = arguments.trace;
    let feed = Feed::default();
    let watched = feed.clone();
    let (recording, recorded) = (plan.recording.clone(), plan.recording.clone());
    let record = move |record: Record| {
        watched.note_record(&record);
        if let Some(recording) = &recorded {
            recording.take(&record);
        }
        if is_traced {
            trace(&record);
        }
    };
    let mut interrupt = signals::interrupt();
    let max_packet = arguments.max_packet.unwrap_or_default();
    let config = broker::Config { listen, max_packet, ..broker::Config::default() };
    let broker = Broker::start(config, record)
        .await
        .map_err(|error| Box::new(broken(error.to_string()).with_evidence(error.source.to_string())))?;
    let started = Instant::now();
    let url = format!("mqtt://{}", broker.address());
    let (ends, mut ended) = mpsc::unbounded_channel();
    let Simulated { mut simulations, mut console, server } = match plan.gateway {
        None => {
            let Plan { station, topics, inside, wire, .. } = plan;
            let everest = Everest {
                address: broker.address(),
                client_id: "everest".to_owned(),
                topics,
                station,
                is_driven: true,
                tells: false,
                inside,
                wire,
                csms: None,
                ends: Some(ends),
                edge: Edge::default(),
            };
            let mut simulated = start_station(everest).await.map_err(broken)?;
            simulated.console.recording = recording.clone().map(|file| (file, started));
            match arguments.json {
                Some(_) => print::out(&format!("{}\n", json!({"mqtt": url}))),
                None => print::out(&format!("{url}\n")),
            }
            simulated
        }
        Some(gateway) => {
            let is_json = arguments.json.is_some();
            let GatewayPlan { listen, chargers, tokens, made } = gateway;
            let fleet = Fleet::start(broker.address(), &plan.topics, plan.wire, chargers, feed, &ends).await?;
            start_gateway(fleet, listen, tokens, made, &plan.topics, &url, is_json).await?
        }
    };
    // Where it can be reached nobody has learnt.
    if print::is_lost() {
        return Ok(());
    }
    let mut input = Input::open(console.words());
    loop {
        tokio::select! {
            _ = interrupt.wait_for(|wanted| *wanted) => break,
            Some(ended) = simulations.join_next() => {
                return Err(broken(ended.unwrap_or_else(|error| error.to_string())));
            }
            Some(end) = ended.recv() => print::diagnostics(&[has_ended(&end, &console)]),
            next = input.next() => match next {
                Next::End => break,
                Next::Line(line) => {
                    let followed = console.follow(&line).await;
                    let is_followed = followed.is_ok();
                    match followed {
                        Ok(answer) => print::out(&answer),
                        Err(why) => {
                            let wrong = Diagnostic::new(Severity::Error, "sim/command", why);
                            print::err(&wrong.render(print::screen()));
                        }
                    }
                    input.go_on(is_followed);
                }
            },
        }
    }
    drop((input, console, server));
    // Their outcome is of no interest any more; a request that is still answered may hold them.
    let _ = timeout(GOODBYE_WITHIN, async { while simulations.join_next().await.is_some() {} }).await;
    broker.stop().await;
    if let Some(recording) = recording {
        recording.finish();
    }
    Ok(())
}

/// What runs.
struct Simulated {
    /// They end with why, in words.
    simulations: JoinSet<String>,
    /// That of the first charger.
    console: Console,
    server: Option<Server>,
}

async fn start_station(everest: Everest) -> Result<Simulated, String> {
    let (module_id, tokens) = (everest.topics.module_id.clone(), everest.station.tokens.clone());
    let evses = everest.station.evses;
    let (orders, received) = mpsc::unbounded_channel();
    let (ready, is_ready) = oneshot::channel();
    let mut simulations = JoinSet::new();
    simulations.spawn(async {
        let ended = everest.run(received, ready).await;
        ended.map_or_else(|error| error.to_string(), |()| "the simulation has ended".to_owned())
    });
    match is_ready.await {
        Ok(Ok(())) => {
            let console = Console { module_id, orders, tokens, evses, recording: None };
            Ok(Simulated { simulations, console, server: None })
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the simulation has ended".to_owned()),
    }
}

async fn start_gateway(
    (fleet, simulations): (Fleet, JoinSet<String>),
    listen: SocketAddr,
    tokens: Tokens,
    made: Option<String>,
    topics: &Topics,
    mqtt: &str,
    is_json: bool,
) -> Result<Simulated, Box<Diagnostic>> {
    let mut described = String::new();
    for (id, charger) in &fleet.chargers {
        described.push_str(&format!("charger {id} {}\n", charger.config.topics(id, topics).base()));
    }
    // A file without chargers is refused.
    let first = fleet.chargers.iter().next().map(|(id, charger)| Console {
        module_id: charger.config.module_id(id).to_owned(),
        orders: charger.orders(),
        tokens: charger.config.station.tokens.clone(),
        evses: charger.config.station.evses,
        recording: None,
    });
    let no_gateway = |error: std::io::Error| {
        let headline = format!("no gateway can listen at {listen}");
        Box::new(Diagnostic::new(Severity::Error, "harness/no-gateway", headline).with_evidence(error.to_string()))
    };
    let server = Server::start(listen, fleet, tokens).await.map_err(no_gateway)?;
    let gateway = format!("http://{}", server.address());
    if is_json {
        print::out(&format!("{}\n", json!({"mqtt": mqtt, "gateway": gateway, "token": made})));
    } else {
        let token = made.map_or_else(String::new, |token| format!("token {token}\n"));
        print::out(&format!("{mqtt}\ngateway {gateway}\n{token}{described}"));
    }
    let nobody = || Console {
        module_id: String::new(),
        orders: mpsc::unbounded_channel().0,
        tokens: BTreeMap::new(),
        evses: 0,
        recording: None,
    };
    let console = first.unwrap_or_else(nobody);
    Ok(Simulated { simulations, console, server: Some(server) })
}

/// Some releases end on requests that others survive; whoever waits for a reply should know.
fn has_ended(end: &End, console: &Console) -> Diagnostic {
    let headline = format!("the simulated EVerest `{}` has ended: {}", end.module_id, end.why);
    let help = match console.module_id == end.module_id {
        true => "type `restart_everest` to start it again",
        false => "end `khumbu sim` and start it again: what is typed is for the first charger",
    };
    Diagnostic::new(Severity::Warning, "sim/ended", headline)
        .with_evidence("it answers nothing any more, as that release of EVerest would not")
        .with_help(help)
}

fn trace(record: &Record) {
    if let Event::Publish { direction: Direction::FromClient, publish } = &record.event {
        let payload = String::from_utf8_lossy(&publish.payload);
        // On one line, and harmless for a terminal.
        let payload: String = payload.split_ascii_whitespace().collect::<Vec<_>>().join(" ").escape_debug().collect();
        let retain = if publish.retain { " retain" } else { "" };
        let at = record.at.as_secs_f64();
        print::err(&format!("{at:9.3} {} {} q{}{retain} {payload}\n", record.client, publish.topic, publish.qos));
    }
}

//! `khumbu sim`: a broker and a simulated station to develop against, until a signal comes.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{mpsc, oneshot};

use super::config::{Config, wire_forms};
use super::{Exit, files, print, signals};
use crate::broker::{self, Broker};
use crate::diagnostic::{Diagnostic, Severity, printable};
use crate::protocol::channel::Topics;
use crate::protocol::control::{Command, HeartbeatControl};
use crate::protocol::deviations::TABLE;
use crate::protocol::release::Release;
use crate::protocol::types::AuthorizationStatus;
use crate::protocol::wire::Wire;
use crate::scenario;
use crate::sim::everest::{Everest, Order};
use crate::station::config::{StationConfig, TokenConfig};
use crate::timespan::Timespan;
use crate::transcript::record::{Direction, Event, Record};

/// Simulates EVerest's side, with a broker of its own, until it is interrupted.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where the broker listens [default: 127.0.0.1:0, a free port]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The station, as under `station:` of a scenario [default: two EVSEs and the tokens ALICE and BOB]
    #[arg(long, value_name = "FILE")]
    station: Option<PathBuf>,
    /// `-` prints one JSON object with the key `mqtt` instead of the first line
    #[arg(long, value_name = "-", value_parser = ["-"])]
    json: Option<String>,
    /// Release of EVerest, over what the station says [default: main]
    #[arg(long, value_name = "2025.10|2025.12|2026.02|main")]
    release: Option<Release>,
    /// How the station writes its messages [default: everest]
    #[arg(long, value_name = "NAME", value_parser = wire_forms())]
    wire: Option<Wire>,
    /// Print where running EVerest differs from its specification, and end
    #[arg(long)]
    list_deviations: bool,
    /// Print every message that passes, on standard error
    #[arg(long)]
    trace: bool,
    /// Id of the API module in EVerest's configuration [default: auth_api]
    #[arg(long, value_name = "ID")]
    module_id: Option<String>,
    /// Version in the topics [default: 1]
    #[arg(long, value_name = "1|1.0")]
    api_version: Option<String>,
    /// EVerest's external MQTT prefix [default: none]
    #[arg(long, value_name = "PREFIX")]
    external_prefix: Option<String>,
    /// Configuration file [default: khumbu.yaml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The station without `--station`.
const STATION: &str = include_str!("station.yaml");
/// More than any station needs.
const LARGEST: usize = 256 * 1024;

const HELP: &str = "\
plug_in EVSE              an EV is plugged in
unplug EVSE               the EV is unplugged
present_token NAME        a token of the station is presented
set_verdict NAME VERDICT  what validators will say of it
start_transaction EVSE    energy flows
stop_transaction EVSE     the transaction ends
inject_fault EVSE         the EVSE becomes unusable
clear_fault EVSE          the EVSE becomes usable again
heartbeats WHAT           pause, resume, every TIME, next NUMBER
restart_everest           everything starts anew
status                    the station as JSON
help                      this
";

/// Simulates.
pub fn run(arguments: Arguments) -> Exit {
    if arguments.list_deviations {
        print::out(&list_deviations());
        return Exit::Pass;
    }
    match prepare(&arguments) {
        Ok((station, topics, wire)) => {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    print::err(&format!("error[harness/broken]: no runtime: {error}\n"));
                    return Exit::Error;
                }
            };
            let exit = match runtime.block_on(simulate(arguments, station, topics, wire)) {
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
        Err(diagnostics) => {
            print::diagnostics(&diagnostics);
            Exit::Usage
        }
    }
}

fn prepare(arguments: &Arguments) -> Result<(StationConfig, Topics, Wire), Vec<Diagnostic>> {
    let config = Config::load(arguments.config.as_deref())?;
    let mut station: StationConfig = match &arguments.station {
        None => scenario::parse_as("station.yaml", STATION)?,
        Some(path) => {
            let text = files::read_text(path, LARGEST)?;
            scenario::parse_station(&path.display().to_string(), &text)?
        }
    };
    station.release = arguments.release.unwrap_or(station.release);
    let topics = config.topics(&arguments.module_id, &arguments.api_version, &arguments.external_prefix);
    let wire = arguments.wire.or(config.wire).unwrap_or_default();
    Ok((station, topics.map_err(|error| vec![*error])?, wire))
}

/// The table as text; the words stand under each other so that they can be searched for.
fn list_deviations() -> String {
    let mut text = String::new();
    for entry in &TABLE {
        let releases: Vec<_> = entry.releases.iter().map(|release| release.name()).collect();
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

async fn simulate(
    arguments: Arguments,
    station: StationConfig,
    topics: Topics,
    wire: Wire,
) -> Result<(), Box<Diagnostic>> {
    let broken = |why: String| Box::new(Diagnostic::new(Severity::Error, "harness/no-broker", why));
    let listen = arguments.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let is_traced = arguments.trace;
    let record = move |record: Record| {
        if is_traced {
            trace(&record);
        }
    };
    let mut interrupt = signals::interrupt();
    let config = broker::Config { listen, ..broker::Config::default() };
    let broker = Broker::start(config, record)
        .await
        .map_err(|error| Box::new(broken(error.to_string()).with_evidence(error.source.to_string())))?;
    let tokens = station.tokens.clone();
    let address = broker.address();
    let client_id = "everest".to_owned();
    let everest = Everest { address, client_id, topics, station, is_driven: true, wire };
    let (orders, received) = mpsc::unbounded_channel();
    let (ready, is_ready) = oneshot::channel();
    let mut simulation = tokio::spawn(everest.run(received, ready));
    match is_ready.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(broken(error.to_string())),
        Err(_) => return Err(broken("the simulation has ended".to_owned())),
    }
    let url = format!("mqtt://{address}");
    match arguments.json {
        Some(_) => print::out(&format!("{}\n", json!({"mqtt": url}))),
        None => print::out(&format!("{url}\n")),
    }
    let mut console = Console { orders, tokens };
    // Not by text lines: what is no UTF-8 is a bad command, not the end.
    let mut lines = BufReader::new(tokio::io::stdin()).split(b'\n');
    let mut is_open = true;
    loop {
        tokio::select! {
            _ = interrupt.wait_for(|wanted| *wanted) => break,
            ended = &mut simulation => {
                let why = match ended {
                    Ok(Ok(())) => "the simulation has ended".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.to_string(),
                };
                return Err(broken(why));
            }
            line = lines.next_segment(), if is_open => match line {
                Ok(Some(line)) => match console.follow(&String::from_utf8_lossy(&line)).await {
                    Ok(answer) => print::out(&answer),
                    Err(why) => print::err(&format!("error[sim/command]: {}\n", printable(&why))),
                },
                // The end of standard input is no wish to stop.
                Ok(None) | Err(_) => is_open = false,
            },
        }
    }
    drop(console);
    // Its outcome is of no interest any more.
    let _ = simulation.await;
    broker.stop().await;
    Ok(())
}

/// Follows commands that an author types.
struct Console {
    orders: mpsc::UnboundedSender<Order>,
    tokens: std::collections::BTreeMap<String, TokenConfig>,
}

impl Console {
    /// Follows one line; what it answers, or what is wrong with it.
    async fn follow(&mut self, line: &str) -> Result<String, String> {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let [name, arguments @ ..] = &words[..] else { return Ok(String::new()) };
        let command = match (*name, arguments) {
            ("help", []) => return Ok(HELP.to_owned()),
            ("status", []) => return self.status().await,
            ("restart_everest", []) => return self.restart().await,
            ("set_verdict", [token, verdict]) => return self.set_verdict(token, verdict),
            ("present_token", [token]) => self.token(token)?.to_command(),
            ("plug_in", [evse]) => Command::PlugIn { evse: number(evse)? },
            ("unplug", [evse]) => Command::Unplug { evse: number(evse)? },
            ("start_transaction", [evse]) => Command::StartTransaction { evse: number(evse)? },
            ("stop_transaction", [evse]) => Command::StopTransaction { evse: number(evse)? },
            ("inject_fault", [evse]) => Command::InjectFault { evse: number(evse)? },
            ("clear_fault", [evse]) => Command::ClearFault { evse: number(evse)? },
            ("heartbeats", ["pause"]) => Command::Heartbeats(HeartbeatControl::Pause),
            ("heartbeats", ["resume"]) => Command::Heartbeats(HeartbeatControl::Resume),
            ("heartbeats", ["every", span]) => {
                let span: Timespan = span.parse()?;
                let millis = u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX).max(1);
                Command::Heartbeats(HeartbeatControl::Every(millis))
            }
            ("heartbeats", ["next", value]) => {
                let value = value.parse().map_err(|_| format!("`{value}` is no 64-bit number"))?;
                Command::Heartbeats(HeartbeatControl::Next(value))
            }
            _ => {
                let known = HELP.lines().find(|known| known.split(' ').next() == Some(name));
                return Err(match known {
                    Some(usage) => format!("write it like this: {usage}"),
                    None => format!("unknown command `{name}`; `help` lists them"),
                });
            }
        };
        let (answer, ignored) = oneshot::channel();
        self.order(Order::Command(Box::new(command), answer))?;
        match ignored.await {
            Ok(None) => Ok(String::new()),
            Ok(Some(why)) => Err(format!("`{line}` came to nothing: {why}")),
            Err(_) => Err("the simulation has ended".to_owned()),
        }
    }

    fn order(&self, order: Order) -> Result<(), String> {
        self.orders.send(order).map_err(|_| "the simulation has ended".to_owned())
    }

    async fn status(&self) -> Result<String, String> {
        let (answer, status) = oneshot::channel();
        self.order(Order::Status(answer))?;
        let status = status.await.map_err(|_| "the simulation has ended".to_owned())?;
        Ok(format!("{status:#}\n"))
    }

    async fn restart(&self) -> Result<String, String> {
        let (done, again) = oneshot::channel();
        self.order(Order::Restart(done))?;
        match again.await {
            Ok(Ok(())) => Ok(String::new()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the simulation has ended".to_owned()),
        }
    }

    fn set_verdict(&mut self, token: &str, verdict: &str) -> Result<String, String> {
        let verdict: AuthorizationStatus = serde_json::from_value(json!(verdict))
            .map_err(|_| format!("`{verdict}` is no verdict; try Accepted, Blocked, Expired or Invalid"))?;
        self.token(token)?;
        if let Some(config) = self.tokens.get_mut(token) {
            config.verdict = verdict;
        }
        Ok(String::new())
    }

    fn token(&self, name: &str) -> Result<&TokenConfig, String> {
        self.tokens.get(name).ok_or_else(|| {
            let names: Vec<_> = self.tokens.keys().map(String::as_str).collect();
            format!("the station has no token `{name}`; it has {}", names.join(", "))
        })
    }
}

fn number(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("`{text}` is no EVSE id"))
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

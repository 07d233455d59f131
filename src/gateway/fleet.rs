//! The chargers while they run: each an EVerest of its own at the broker.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::chargers::{ChargerConfig, Chargers, OcppVersion};
use super::feed::Feed;
use super::log::{Direction, Log};
use super::owners::Owners;
use crate::diagnostic::{Diagnostic, Severity};
use crate::ocpp::{self, Identity};
use crate::protocol::channel::Topics;
use crate::protocol::schema::Schemas;
use crate::protocol::wire::Wire;
use crate::sim::bugs::edge::Edge;
use crate::sim::csms::{Connection, Endpoint, Proxied};
use crate::sim::everest::{CsmsMessage, End, Everest, Order};
use crate::station::charge_point::{Answer, Request};

/// The most messages that wait to be handed to a link.
const PROXIED: usize = 16;
/// So many characters of a message id tell one start of the program from the next.
const ID_PREFIX: usize = 12;

/// Every charger. They run until this and all clones of their orders are dropped.
#[derive(Debug)]
pub struct Fleet {
    /// By id.
    pub chargers: BTreeMap<String, Charger>,
    /// When it started, counted from the Unix epoch.
    pub started_at: Duration,
    /// What passes.
    pub feed: Feed,
    /// Which charger a message belongs to.
    pub owners: Owners,
}

/// A charger that runs.
#[derive(Debug, Clone)]
pub struct Charger {
    /// As it was described.
    pub config: Arc<ChargerConfig>,
    /// What was said.
    pub log: Arc<Log>,
    /// The shapes of messages in its release.
    pub schemas: Arc<Schemas>,
    orders: mpsc::UnboundedSender<Order>,
    /// Takes messages for a CSMS outside; absent where it is inside.
    csms: Option<mpsc::Sender<Proxied>>,
}

impl Charger {
    /// Has it send a message to its CSMS. The one inside hears nothing but what the charge point asks it.
    ///
    /// # Errors
    /// Why it cannot be sent, in words.
    pub async fn send(&self, action: &'static str, payload: Value) -> Result<(), String> {
        let Some(csms) = &self.csms else {
            self.log.note(Direction::Outgoing, action, &payload, now());
            return Ok(());
        };
        let gone = || "the charger does not run any more".to_owned();
        let (answer, answered) = oneshot::channel();
        csms.send(Proxied { action, payload, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Asks the charge point; the answer comes later.
    pub fn ask(&self, request: Request) -> impl Future<Output = Result<Answer, String>> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let sent = self.orders.send(Order::Request(request, answer));
        async move {
            let gone = || "the charger does not run any more".to_owned();
            sent.map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?
        }
    }

    /// What else can be asked of it.
    pub fn orders(&self) -> mpsc::UnboundedSender<Order> {
        self.orders.clone()
    }
}

impl Fleet {
    /// A single charger that somebody else runs and who passes on what it and its CSMS say.
    pub fn of_one(
        id: &str,
        config: ChargerConfig,
        orders: mpsc::UnboundedSender<Order>,
        said: mpsc::UnboundedReceiver<CsmsMessage>,
    ) -> Self {
        let log = Arc::new(Log::default());
        // Ends when nothing is passed on any more.
        tokio::spawn(listen(log.clone(), config.ocpp_version, said));
        let schemas = Arc::new(Schemas::of(config.station.in_force()));
        let charger = Charger { config: Arc::new(config), log, schemas, orders, csms: None };
        let chargers = BTreeMap::from([(id.to_owned(), charger)]);
        Self { chargers, started_at: now(), feed: Feed::default(), owners: Owners::default() }
    }

    /// Starts every charger at the broker; `topics` is the pattern of their topics, `wire` how they write, and `feed` shows
    /// what passes. Returns when all are ready. The tasks end with why, in words; `ends` hears when the EVerest of a charger
    /// has ended by itself.
    ///
    /// # Errors
    /// When one of them cannot connect.
    pub async fn start(
        broker: SocketAddr,
        topics: &Topics,
        wire: Wire,
        chargers: Chargers,
        feed: Feed,
        ends: &mpsc::UnboundedSender<End>,
    ) -> Result<(Self, JoinSet<String>), Box<Diagnostic>> {
        let mut fleet = Self { chargers: BTreeMap::new(), started_at: now(), feed, owners: Owners::default() };
        let (mut simulations, mut waiting) = (JoinSet::new(), Vec::new());
        for (id, config) in chargers.chargers {
            let topics = config.topics(&id, topics);
            let client_id = format!("everest-{}", topics.module_id);
            let (csms, said) = mpsc::unbounded_channel();
            fleet.owners.add(&id, &config, &topics, &client_id);
            let station = config.station.clone();
            let everest = Everest {
                address: broker,
                client_id,
                topics,
                station,
                is_driven: true,
                tells: false,
                inside: None,
                wire,
                csms: Some(csms),
                ends: Some(ends.clone()),
                edge: Edge::default(),
            };
            let (orders, received) = mpsc::unbounded_channel();
            let (ready, is_ready) = oneshot::channel();
            let name = id.clone();
            simulations.spawn(async move {
                match everest.run(received, ready).await {
                    Ok(()) => format!("charger `{name}` has ended"),
                    Err(error) => format!("charger `{name}`: {error}"),
                }
            });
            waiting.push((id.clone(), is_ready));
            let log = Arc::new(Log::watched(&id, &fleet.feed));
            // Both end with the charger.
            let csms = match connection(&id, &config) {
                Some(connection) => {
                    let (csms, proxied) = mpsc::channel(PROXIED);
                    let noted = log.clone();
                    let note = move |note: ocpp::Note| {
                        let direction = match note.direction {
                            ocpp::Direction::ToCsms => Direction::Outgoing,
                            ocpp::Direction::FromCsms => Direction::Incoming,
                        };
                        noted.note_part(direction, note.action, &note.message, note.part, now());
                    };
                    tokio::spawn(connection.run(said, orders.downgrade(), proxied, note));
                    Some(csms)
                }
                None => {
                    tokio::spawn(listen(log.clone(), config.ocpp_version, said));
                    None
                }
            };
            let schemas = Arc::new(Schemas::of(config.station.in_force()));
            fleet.chargers.insert(id, Charger { config: Arc::new(config), log, schemas, orders, csms });
        }
        for (id, is_ready) in waiting {
            let why = match is_ready.await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it has ended".to_owned(),
            };
            let headline = format!("charger `{id}` does not start: {why}");
            return Err(Box::new(Diagnostic::new(Severity::Error, "harness/no-broker", headline)));
        }
        Ok((fleet, simulations))
    }
}

/// The connection of a charger to a CSMS outside.
fn connection(id: &str, config: &ChargerConfig) -> Option<Connection> {
    let identity = config.identity(id);
    let prefix = Uuid::new_v4().simple().to_string();
    Some(Connection {
        // The checker of files has refused what is no address.
        endpoint: Endpoint::new(config.csms.as_deref()?, identity).ok()?,
        password: config.csms_password.clone(),
        identity: Identity {
            version: config.ocpp_version,
            vendor: config.vendor_name.clone().unwrap_or_else(|| "Khumbu".to_owned()),
            model: config.model.clone().unwrap_or_else(|| "Simulated".to_owned()),
            evses: config.station.evses,
            id_prefix: prefix[..ID_PREFIX].to_owned(),
            seed: id.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into())),
        },
    })
}

/// Keeps what a charger and its CSMS say.
async fn listen(log: Arc<Log>, version: OcppVersion, mut said: mpsc::UnboundedReceiver<CsmsMessage>) {
    while let Some(message) = said.recv().await {
        log.note_csms(version, &message.said, message.at);
    }
}

/// Now, counted from the Unix epoch; a clock that stands before counts as then.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

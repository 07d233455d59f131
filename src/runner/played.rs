//! Everyone whom khumbu plays in a scenario: one side, which is EVerest's for a client under test and the client's for an
//! EVerest under test, and clients at the station's other API modules. They are opened before the module starts, and closed
//! after that has ended.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::Piece;
use super::charge_point::ChargePoint;
use super::observer::{Observer, is_own, own_client};
use super::other_clients::OtherClients;
use super::settings::{Scene, Settings};
use super::stop::{Stop, broken};
use crate::broker::Broker;
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::side::Side;
use crate::scenario::looks_inside;
use crate::sim::bugs::edge::Edge;
use crate::sim::client::{Client, check_period};
use crate::sim::everest::{CsmsMessage, Everest, Order};
use crate::sim::link::LinkError;
use crate::transcript::record::{Direction, Event, Record};

/// How long whoever was told to end may take to close its connections.
pub const FAREWELL: Duration = Duration::from_secs(1);

/// Everyone whom khumbu plays.
pub struct Cast {
    /// One side.
    pub(super) played: Played,
    /// The clients at other API modules.
    pub(super) other_apis: OtherClients,
}

/// The side that khumbu plays.
pub enum Played {
    /// EVerest's side, for a client under test.
    Everest {
        /// Its MQTT client id.
        client_id: String,
        /// Its orders.
        orders: mpsc::UnboundedSender<Order>,
        /// Its task.
        task: JoinHandle<Result<(), LinkError>>,
        /// Its charge point, if it has one.
        charge_point: Option<Box<ChargePoint>>,
    },
    /// The client's side, for an EVerest under test.
    Client(Client),
}

impl Played {
    /// Sends an order to the simulated EVerest.
    ///
    /// # Errors
    /// When it has broken down, or is not played.
    pub fn order(&self, order: Order) -> Result<(), Stop> {
        match self {
            Played::Everest { orders, .. } => {
                orders.send(order).map_err(|_| broken("the simulated EVerest has ended").into())
            }
            Played::Client(_) => Err(broken("there is no simulated EVerest on this side").into()),
        }
    }

    /// Restarts the simulated EVerest.
    ///
    /// # Errors
    /// When it does not come up again, or is not played.
    pub async fn restart(&self) -> Result<(), Stop> {
        let (done, again) = oneshot::channel();
        // That nobody takes orders shows in the answer.
        let _ = self.order(Order::Restart(done));
        again.await.unwrap_or(Err(LinkError::Lost)).map_err(|error| broken(&error.to_string()).into())
    }

    /// The charge point of the simulated EVerest.
    ///
    /// # Errors
    /// When it has none.
    pub fn charge_point(&mut self) -> Result<&mut ChargePoint, Stop> {
        let charge_point = match self {
            Played::Everest { charge_point, .. } => charge_point.as_deref_mut(),
            Played::Client(_) => None,
        };
        charge_point.ok_or_else(|| broken("there is no charge point").into())
    }
}

/// Opens the side, and the clients at other API modules.
///
/// # Errors
/// When one of them cannot reach the broker.
pub async fn open(scene: &Scene<'_>, piece: &Piece, broker: &Broker) -> Result<Cast, Diagnostic> {
    let settings = scene.settings;
    let other_apis = match &piece.replay {
        // The recording has what they say.
        Some(_) => OtherClients::default(),
        // The simulated EVerest may ask its validator from the start.
        None => OtherClients::open(scene, broker).await.map_err(|error| no_link(settings, &error))?,
    };
    open_side(scene, piece, broker).await.map(|played| Cast { played, other_apis })
}

async fn open_side(scene: &Scene<'_>, piece: &Piece, broker: &Broker) -> Result<Played, Diagnostic> {
    let Scene { scenario, settings, .. } = *scene;
    let client_id = own_client();
    let (topics, station) = (scene.topics.clone(), scene.station.clone());
    match scenario.model.under_test {
        // A recording says all by itself, whichever side it plays; what plays it needs no more than a connection.
        Side::Client if piece.replay.is_none() => {
            let (csms, said) = mpsc::unbounded_channel();
            let (address, wire, csms) = (broker.address(), scene.wire, Some(csms));
            // A step that is still to come may look inside, too.
            let tells = piece.arriving.is_some() || looks_inside(&scenario.model.steps, scene.frame());
            let (is_driven, inside, ends, edge) = (false, None, None, Edge::default());
            let everest = Everest {
                address,
                client_id: client_id.clone(),
                topics,
                station,
                is_driven,
                tells,
                inside,
                wire,
                csms,
                ends,
                edge,
            };
            let (orders, received) = mpsc::unbounded_channel();
            let (ready, is_ready) = oneshot::channel();
            let task = tokio::spawn(everest.run(received, ready));
            match is_ready.await {
                Ok(Ok(())) => {
                    let charge_point = open_charge_point(scene, &orders, said).await?;
                    Ok(Played::Everest { client_id, orders, task, charge_point })
                }
                Ok(Err(error)) => Err(no_link(settings, &error)),
                Err(_) => Err(broken("the simulated EVerest has ended")),
            }
        }
        Side::Client | Side::Everest => {
            let period = check_period(station.auth_consumer.cfg_communication_check_to_s);
            match Client::open(broker.address(), &client_id, topics, period, &[]).await {
                // What comes in is read from the record.
                Ok((client, _)) => Ok(Played::Client(client.writing(scene.wire))),
                Err(error) => Err(no_link(settings, &error)),
            }
        }
    }
}

/// The charge point of the station, if it has one.
async fn open_charge_point(
    scene: &Scene<'_>,
    orders: &mpsc::UnboundedSender<Order>,
    said: mpsc::UnboundedReceiver<CsmsMessage>,
) -> Result<Option<Box<ChargePoint>>, Diagnostic> {
    let station = &scene.station;
    if station.charge_point.is_none() {
        return Ok(None);
    }
    match ChargePoint::open(station.clone(), &scene.topics.module_id, orders.clone(), said).await {
        Ok(charge_point) => Ok(Some(Box::new(charge_point))),
        Err(error) => Err(broken(&format!("the gateway does not start: {error}"))),
    }
}

/// Khumbu's own side has no connection: its own broker is a fault of khumbu, another's is not.
fn no_link(settings: &Settings, error: &LinkError) -> Diagnostic {
    let Some(upstream) = &settings.upstream else { return broken(&error.to_string()) };
    Diagnostic::new(Severity::Error, "harness/no-broker", format!("broker `{upstream}` cannot be used: {error}"))
        .with_help("start it, or leave `--broker` away to use khumbu's own")
}

/// On a broker that goes on, nothing may be left for the next scenario.
pub async fn forget_retained(played: &Played, observer: &mut Observer) {
    let mut topics = BTreeSet::new();
    for seen in observer.messages.iter().filter(|seen| seen.publish.retain) {
        match seen.publish.payload.is_empty() {
            true => topics.remove(&seen.publish.topic),
            false => topics.insert(seen.publish.topic.clone()),
        };
    }
    let (from, wanted) = (observer.records.len(), topics.len());
    for topic in topics {
        // Whoever has no connection any more can leave nothing better either.
        match played {
            Played::Client(client) => drop(client.link().publish(&topic, "", 1, true).await),
            Played::Everest { orders, .. } => {
                let (topic, payload) = (topic.to_string(), bytes::Bytes::new());
                drop(orders.send(Order::Publish { topic, payload, qos: 1, retain: true }));
            }
        }
    }
    // The way to another broker may be cut off before it is through; an acknowledgement says that it is.
    let is_acknowledgement = |record: &&Record| {
        is_own(&record.client)
            && matches!(record.event, Event::Packet { direction: Direction::ToClient, kind: "PUBACK", .. })
    };
    let deadline = Instant::now() + FAREWELL;
    while observer.records[from..].iter().filter(is_acknowledgement).count() < wanted {
        tokio::select! {
            is_open = observer.next() => if !is_open { break },
            () = tokio::time::sleep_until(deadline) => break,
        }
    }
}

/// Closes the side, and the clients at other API modules.
pub async fn close(Cast { played, other_apis }: Cast) {
    other_apis.close().await;
    match played {
        Played::Client(client) => client.close().await,
        Played::Everest { orders, task, charge_point, .. } => {
            drop((orders, charge_point));
            // Its outcome says no more than what the record showed.
            let _ = timeout(FAREWELL, task).await;
        }
    }
}

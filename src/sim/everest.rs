//! EVerest's side in real time: a [`Station`] behind an MQTT connection.
//!
//! The station decides everything; this module brings it messages, commands and the time, and carries out its effects.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::SocketAddr;
use std::slice;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::bugs::edge::Edge;
use super::link::{Link, LinkError, Message};
use crate::parity::inside::{self, Doing};
use crate::parity::station_file::Binding;
use crate::protocol::channel::{ApiType, Channel, EntryPoint, Topics};
use crate::protocol::codec;
use crate::protocol::control::{Command, Deed};
use crate::protocol::deviations::Deviation;
use crate::protocol::wire::{Encoder, Wire};
use crate::station::charge_point::{Answer, CsmsInput, Report, Request};
use crate::station::config::StationConfig;
use crate::station::{Address, Effect, Input, Payload, RequestId, Station};

/// What is simulated, and where.
#[derive(Debug, Clone)]
pub struct Everest {
    /// The broker.
    pub address: SocketAddr,
    /// The MQTT client id.
    pub client_id: String,
    /// The topics of the API module.
    pub topics: Topics,
    /// The station.
    pub station: StationConfig,
    /// Whether commands are taken on the control topic.
    pub is_driven: bool,
    /// Whether it tells from the start what it did inside; otherwise from the first command on the control topic on.
    pub tells: bool,
    /// What can be seen and done inside: these topics move EVSEs, and calls to EVSEs and faults are published, too.
    pub inside: Option<Vec<Binding>>,
    /// How its messages are written.
    pub wire: Wire,
    /// Hears what the charge point and its CSMS say to each other.
    pub csms: Option<mpsc::UnboundedSender<CsmsMessage>>,
    /// Hears when EVerest has ended by itself, as some releases do; [`Order::Restart`] starts it again.
    pub ends: Option<mpsc::UnboundedSender<End>>,
    /// Where its messages pass.
    pub edge: Edge,
}

/// An EVerest has ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The id of its API module.
    pub module_id: String,
    /// Why, in words.
    pub why: &'static str,
}

/// What passed between a charge point and its CSMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsmsMessage {
    /// When, counted from the Unix epoch.
    pub at: Duration,
    /// What.
    pub said: Said,
}

/// Who said what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The charge point.
    ByChargePoint(Report),
    /// The CSMS.
    ByCsms(CsmsInput),
}

/// What a running simulation can be asked.
#[derive(Debug)]
pub enum Order {
    /// Something happens at the station; answered with why it came to nothing, if it did.
    Command(Box<Command>, oneshot::Sender<Option<String>>),
    /// Something is asked of the charge point; answered with what came of it, or why nothing did.
    Request(Request, oneshot::Sender<Result<Answer, String>>),
    /// A CSMS outside says or does something.
    Csms(CsmsInput),
    /// Publishes exactly this, as EVerest's side.
    Publish {
        /// Any topic without wildcards.
        topic: String,
        /// Any bytes.
        payload: bytes::Bytes,
        /// 0, 1 or 2.
        qos: u8,
        /// The retain flag.
        retain: bool,
    },
    /// Takes in all that the broker has for it by now, so that no later order overtakes that; answered when it has.
    CatchUp(oneshot::Sender<()>),
    /// Ends and starts again, with nothing remembered but what a charge point keeps; answered when it is ready again.
    Restart(oneshot::Sender<Result<(), LinkError>>),
    /// A description of the state as JSON.
    Status(oneshot::Sender<Value>),
}

/// One connection's worth of simulation.
struct Life {
    link: Link,
    messages: mpsc::UnboundedReceiver<Message>,
    station: Station,
    born: Instant,
    /// The same moment, counted from the Unix epoch, as the times of the station are.
    epoch: Duration,
    /// Writes heartbeats and the beacon, which come when it is time for them.
    heartbeats: Encoder,
    /// Writes everything else.
    encoder: Encoder,
    /// The topics on which replies of a token validator are awaited.
    asked: BTreeMap<String, RequestId>,
    /// EVerest has ended: the connection is closed, and only a restart helps.
    has_ended: bool,
    /// Whether somebody drives it on the control topic, over restarts.
    has_driver: bool,
}

/// QoS of EVerest's publishes since bb5d4182f.
const PUBLISH_QOS: u8 = 2;
/// Where the tutorial has the latched getter.
const GETTER_OF_TUTORIAL: &str = "e2m/token_validation_status/get";

impl Life {
    fn now(&self) -> Duration {
        self.epoch.saturating_add(self.born.elapsed())
    }
}

impl Everest {
    /// Connects, becomes ready, and runs until the orders end or the broker is lost; a lost broker ends EVerest.
    ///
    /// `ready` is told when the first heartbeat has been handed to the socket.
    ///
    /// # Errors
    /// When the connection cannot be made, or is lost.
    pub async fn run(
        self,
        mut orders: mpsc::UnboundedReceiver<Order>,
        ready: oneshot::Sender<Result<(), LinkError>>,
    ) -> Result<(), LinkError> {
        let mut life = match self.begin(None).await {
            Ok(life) => {
                // Nobody may be waiting.
                let _ = ready.send(Ok(()));
                life
            }
            Err(error) => {
                let _ = ready.send(Err(error.clone()));
                return Err(error);
            }
        };
        loop {
            let deadline = life.station.next_deadline().map(|at| life.born + at.saturating_sub(life.epoch));
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Command(command, answer)) => {
                        let ignored = self.apply(&mut life, Input::Command(*command)).await?;
                        let _ = answer.send(ignored);
                    }
                    Some(Order::Request(request, answer)) => {
                        let (outcome, effects) = life.station.request(life.now(), request);
                        self.carry_out(&mut life, effects).await?;
                        // Whoever asked may have gone away.
                        let _ = answer.send(outcome);
                    }
                    Some(Order::Csms(said)) => {
                        self.apply(&mut life, Input::Csms(said)).await?;
                    }
                    Some(Order::Publish { .. }) if life.has_ended => {}
                    Some(Order::Publish { topic, payload, qos, retain }) => {
                        life.link.publish(&topic, payload, qos, retain).await?;
                    }
                    Some(Order::CatchUp(done)) => {
                        self.catch_up(&mut life).await?;
                        let _ = done.send(());
                    }
                    Some(Order::Restart(done)) => {
                        life.link.clone().close().await;
                        let begun = self.begin(Some(&life)).await;
                        let outcome = begun.map(|again| life = again);
                        let _ = done.send(outcome.clone());
                        outcome?;
                    }
                    Some(Order::Status(answer)) => {
                        // The types of a station's status are plain data.
                        let _ = answer.send(serde_json::to_value(life.station.status()).unwrap_or_default());
                    }
                    None => {
                        life.link.close().await;
                        return Ok(());
                    }
                },
                message = life.messages.recv(), if !life.has_ended => match message {
                    Some(message) => self.take_in(&mut life, message).await?,
                    None if self.is_on(Deviation::BrokerLossEndsEverest) => return Err(LinkError::Lost),
                    None => life = self.begin(Some(&life)).await?,
                },
                () = until(deadline) => {
                    self.apply(&mut life, Input::Deadline).await?;
                }
            }
        }
    }

    async fn take_in(&self, life: &mut Life, message: Message) -> Result<(), LinkError> {
        life.has_driver |= self.is_driven && message.topic == self.topics.control_topic();
        if let Some(input) = self.input(life, message) {
            self.apply(life, input).await?;
        }
        Ok(())
    }

    /// Takes in all that the broker has for it by now: what it answers comes behind that.
    async fn catch_up(&self, life: &mut Life) -> Result<(), LinkError> {
        // A lost connection shows where messages are received.
        let is_there = !life.has_ended && life.link.subscribe(&[self.topics.mark_topic()], 0).await.is_ok();
        while is_there
            && !life.has_ended
            && let Ok(message) = life.messages.try_recv()
        {
            self.take_in(life, message).await?;
        }
        Ok(())
    }

    async fn begin(&self, before: Option<&Life>) -> Result<Life, LinkError> {
        let (link, messages) = Link::open_at(self.address, &self.client_id, self.edge.clone()).await?;
        let mut config = self.station.clone();
        config.add_module(self.topics.api, &self.topics.module_id);
        let (mut station, born) = (Station::new(&config), Instant::now());
        if let Some(before) = before {
            station.remember(&before.station);
        }
        let encoder = || Encoder::of_everest(self.wire, self.station.in_force());
        let (heartbeats, encoder) = (encoder(), encoder());
        // A clock that stands before 1970 is no reason to stop.
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (asked, has_ended) = (BTreeMap::new(), false);
        let has_driver = before.is_some_and(|before| before.has_driver);
        let mut life = Life { link, messages, station, born, epoch, heartbeats, encoder, asked, has_ended, has_driver };
        let (early, late) = self.filters();
        let qos = if self.is_on(Deviation::SubscribeQos0) { 0 } else { 2 };
        if self.is_on(Deviation::LateSubscriptions) {
            if !early.is_empty() {
                life.link.subscribe(&early, qos).await?;
            }
            self.apply(&mut life, Input::Ready).await?;
            // A setting that it does not know ends it at once.
            if !life.has_ended {
                // What it has said by then is heard by then.
                life.link.settle().await;
                life.link.subscribe(&late, qos).await?;
            }
        } else {
            life.link.subscribe(&[early, late].concat(), qos).await?;
            self.apply(&mut life, Input::Ready).await?;
        }
        Ok(life)
    }

    fn is_on(&self, deviation: Deviation) -> bool {
        self.station.in_force().is_on(deviation)
    }

    /// The topics of each API module that the station has.
    fn modules(&self) -> Vec<Topics> {
        let station = &self.station;
        let topics = ApiType::AUTH_APIS.into_iter().filter_map(|api| match api == self.topics.api {
            true => Some(self.topics.clone()),
            false => Some(self.topics.of(api, station.cadence(api)?.module_id)),
        });
        // What a scenario is about is there, be it Auth's or not.
        topics.chain((!self.topics.api.behaviour().is_known()).then(|| self.topics.clone())).collect()
    }

    /// What EVerest's modules subscribe to before they are ready, and what with it.
    fn filters(&self) -> (Vec<String>, Vec<String>) {
        let in_force = self.station.in_force();
        let prefix = &self.topics.external_prefix;
        let (mut early, mut late) = (Vec::new(), Vec::new());
        if self.is_driven {
            early.push(self.topics.control_topic());
        }
        early.extend(inside::filters(self.inside.as_deref().unwrap_or_default()));
        if !self.is_on(Deviation::NoEntryPoint) {
            early.push(EntryPoint::Discover.topic(prefix));
        }
        for topics in self.modules() {
            if !self.is_on(Deviation::NoEntryPoint) {
                early.push(EntryPoint::QueryModules(topics.api.name().to_owned()).topic(prefix));
            }
            let heard = topics.api.channels().chain(topics.api.former_channels());
            for channel in heard.filter(|channel| !channel.is_from_everest() && channel.runs(in_force)) {
                match channel {
                    Channel::GET_TOKEN_VALIDATION_STATUS if !self.station.auth_consumer.latch_variable_values => {}
                    Channel::GET_TOKEN_VALIDATION_STATUS => {
                        early.push(topics.topic(channel));
                        if !self.is_on(Deviation::GetterBelowM2e) {
                            early.push(format!("{}/{GETTER_OF_TUTORIAL}", topics.base()));
                        }
                    }
                    _ => late.push(topics.topic(channel)),
                }
            }
        }
        (early, late)
    }

    fn input(&self, life: &Life, message: Message) -> Option<Input> {
        let Message { topic, payload, retain, .. } = message;
        if self.is_driven && topic == self.topics.control_topic() {
            return serde_json::from_slice(&payload).ok().map(Input::Command);
        }
        let bindings = self.inside.as_deref().unwrap_or_default();
        let input = if let Some((evse, doing)) = inside::doing(bindings, &topic, &payload) {
            match doing {
                Doing::Session(name) => Input::Session { evse, event: life.station.session_event(evse, &name)? },
                Doing::Command(what) => Input::Command(what.to_command(evse)),
            }
        } else if let Some(&request) = life.asked.get(&topic) {
            Input::ValidatorReply { request, payload }
        } else if let Some(entry_point) = EntryPoint::from_topic(&self.topics.external_prefix, &topic) {
            Input::Queried { entry_point, payload }
        } else {
            let (api, channel) = self.modules().into_iter().find_map(|module| {
                let channel = module.channel(&topic).or_else(|| module.former_channel(&topic));
                let getter = || topic.strip_suffix(GETTER_OF_TUTORIAL)?.strip_prefix(&module.base());
                Some((module.api, channel.or_else(|| getter().map(|_| Channel::GET_TOKEN_VALIDATION_STATUS))?))
            })?;
            Input::ReceivedAt { api, channel, payload }
        };
        Some(if retain { Input::Retained(Box::new(input)) } else { input })
    }

    /// Brings the station an input and carries out its effects; says why the input came to nothing, if it did.
    async fn apply(&self, life: &mut Life, input: Input) -> Result<Option<String>, LinkError> {
        let mut effects = life.station.apply(life.now(), input);
        // The order of API modules is nobody's promise: whoever wants this one has to wait for its reply.
        effects.sort_by_key(|effect| is_discovery_of(effect, self.topics.api));
        self.carry_out(life, effects).await
    }

    async fn carry_out(&self, life: &mut Life, effects: Vec<Effect>) -> Result<Option<String>, LinkError> {
        let mut ignored = None;
        let bindings = self.inside.as_deref().unwrap_or_default();
        let qos = if self.is_on(Deviation::PublishQos0) { 0 } else { PUBLISH_QOS };
        for effect in effects {
            match effect {
                Effect::Publish { to, payload } => {
                    let encoder = match to {
                        Address::Channel(Channel::HEARTBEAT)
                        | Address::ChannelOf(_, Channel::HEARTBEAT)
                        | Address::ReadyBeacon => &life.heartbeats,
                        _ => &life.encoder,
                    };
                    let payload = encoder.encode(&payload);
                    let topic = match to {
                        Address::Channel(channel) => self.topic(ApiType::AUTH_CONSUMER, channel),
                        Address::ChannelOf(api, channel) => self.topic(api, channel),
                        Address::ReadyBeacon => EntryPoint::beacon_topic(&self.topics.external_prefix),
                        Address::Reply(reply_to) => self.topics.reply_topic_on_wire(&reply_to),
                    };
                    life.link.publish(&topic, payload, qos, false).await?;
                }
                Effect::Ask { request, token } => {
                    let Some(validator) = self.modules().into_iter().find(|it| it.api == ApiType::AUTH_TOKEN_VALIDATOR)
                    else {
                        continue;
                    };
                    let bare = validator.reply_topic_to_everest(&Uuid::new_v4().to_string());
                    let topic = validator.reply_topic_on_wire(&bare);
                    life.link.subscribe(slice::from_ref(&topic), 0).await?;
                    let reply_to = if self.is_on(Deviation::ReplyToWithoutPrefix) { &bare } else { &topic };
                    let question = life.encoder.encode_compact(&codec::Question::new(reply_to, &token));
                    life.link.publish(&validator.topic(Channel::VALIDATE_TOKEN), question, qos, false).await?;
                    life.asked.insert(topic, request);
                }
                Effect::Asked { request } => {
                    let topic = life.asked.iter().find(|(_, asked)| **asked == request).map(|(topic, _)| topic.clone());
                    if let Some(topic) = topic {
                        life.asked.remove(&topic);
                        life.link.unsubscribe(&topic).await?;
                    }
                }
                Effect::Exit { why } => {
                    life.link.clone().close().await;
                    life.has_ended = true;
                    if let Some(ends) = &self.ends {
                        // Nobody may be listening any more.
                        let _ = ends.send(End { module_id: self.topics.module_id.clone(), why });
                    }
                    return Ok(Some(format!("EVerest has ended: {why}")));
                }
                Effect::Ignored { why } => ignored = Some(why.into_owned()),
                Effect::Csms(report) => self.pass_on(life, Said::ByChargePoint(report)),
                Effect::CsmsInside(answer) => self.pass_on(life, Said::ByCsms(answer)),
                // No topic of the API shows these.
                Effect::Fault { api, fault, raised } => {
                    let module = self.modules().into_iter().find(|module| module.api == api);
                    if let Some(module) = module.filter(|_| self.inside.is_some()) {
                        let (topic, payload) = inside::fault_message(&module, self.station.release, fault, raised);
                        life.link.publish(&topic, codec::encode_compact(&payload), qos, false).await?;
                    }
                }
                Effect::ReservationResult { reservation_id, result } => {
                    let did = Deed::Reserve.tell(json!({"reservation_id": reservation_id, "result": result}));
                    self.tell(life, &did).await?;
                }
                Effect::ReservationCancelled { reservation_id, is_cancelled } => {
                    let did = json!({"reservation_id": reservation_id, "result": is_cancelled});
                    self.tell(life, &Deed::CancelReservation.tell(did)).await?;
                }
                Effect::ReservationUpdate { reservation_id, status } => {
                    let did = json!({"reservation_id": reservation_id, "reservation_status": status});
                    self.tell(life, &Deed::ReservationUpdate.tell(did)).await?;
                }
                Effect::EvseCall { evse, call } => {
                    self.tell(life, &inside::did(evse, &call)).await?;
                    if let Some((topic, payload)) = inside::call_message(bindings, evse, &call) {
                        life.link.publish(&topic, codec::encode_compact(&payload), qos, false).await?;
                    }
                }
                Effect::SessionEvent { .. } => {}
            }
        }
        Ok(ignored)
    }

    /// Tells what it did inside, if somebody wants to know.
    async fn tell(&self, life: &Life, did: &Value) -> Result<(), LinkError> {
        match self.tells || life.has_driver {
            true => life.link.publish(&self.topics.did_topic(), codec::encode_compact(did), 0, false).await,
            false => Ok(()),
        }
    }

    fn pass_on(&self, life: &Life, said: Said) {
        if let Some(csms) = &self.csms {
            // Nobody may be listening any more.
            let _ = csms.send(CsmsMessage { at: life.now(), said });
        }
    }

    fn topic(&self, api: ApiType, channel: Channel) -> String {
        let module = self.modules().into_iter().find(|module| module.api == api);
        module.unwrap_or_else(|| self.topics.clone()).topic(channel)
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
/// Whether an API module says of itself that it is there.
fn is_discovery_of(effect: &Effect, api: ApiType) -> bool {
    match effect {
        Effect::Publish { payload: Payload::Discovery(discovery), .. } => discovery.apis[0].r#type == api.name(),
        _ => false,
    }
}

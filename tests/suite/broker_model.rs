//! The broker beside a model of MQTT: sessions, subscriptions, retained messages, QoS 0 to 2 both ways, wills, take-overs
//! and what waits for whoever is away (MQTT 3.1.1, sections 3.1.2.4, 3.3, 3.8.4 and 4.3 to 4.7; MQTT 5, also 3.1.2.11.2 and
//! 3.8.3.1).
//!
//! The model is written from the standard, and shares nothing with the broker, not even the matching of topics. It takes no
//! position where the standard leaves a choice, but for two that `broker` promises: one copy a client however many of its
//! filters match, and one order for each client. The clients speak bytes; after each transition all of them are read up to the
//! answer to a ping, and what has come is what the model says, neither more nor less.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use tokio::runtime::{Builder, Runtime};

use crate::broker_wire::{Bench, Wire, packet, publish4, publish5, text};

/// Few, so that they meet: the first speaks 3.1.1, the others MQTT 5.
const CLIENTS: [&str; 3] = ["a", "b", "c"];
const TOPICS: [&str; 6] = ["t", "t/x", "t/x/y", "u/x", "/", "$t/x"];
const FILTERS: [&str; 10] = ["t", "t/x", "t/+", "t/#", "+/x", "+", "#", "+/+", "$t/#", "/+"];

fn is_v5(client: &str) -> bool {
    client != "a"
}

/// Whether a client has all its subscriptions keep the retain flag.
fn keeps_retain(client: &str) -> bool {
    client == "b"
}

/// Whether a client has all its subscriptions leave out what it says itself.
fn is_deaf_to_itself(client: &str) -> bool {
    client == "c"
}

/// What a client sees of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    topic: &'static str,
    payload: u16,
    qos: u8,
    retain: bool,
    dup: bool,
}

/// A message that was sent and not acknowledged for good.
#[derive(Debug, Clone)]
struct Flight {
    seen: Seen,
    /// Whether PUBREC was sent for it.
    is_received: bool,
}

#[derive(Debug, Clone, Default)]
struct Session {
    /// Whether it ends with its connection.
    is_short: bool,
    /// Topic, payload, QoS, retain.
    will: Option<(&'static str, u16, u8, bool)>,
    subscriptions: BTreeMap<&'static str, u8>,
    /// What the client has not acknowledged, in the order of sending.
    flights: VecDeque<Flight>,
    /// What waits while the client is away.
    waiting: VecDeque<Seen>,
    /// QoS 2 messages of its own that it has not released: topic, payload, retain.
    held: VecDeque<(&'static str, u16, bool)>,
}

#[derive(Debug, Clone, Default)]
struct Model {
    sessions: BTreeMap<&'static str, Session>,
    online: BTreeMap<&'static str, bool>,
    /// Payload, QoS, and who sent it.
    retained: BTreeMap<&'static str, (u16, u8, &'static str)>,
    /// What each client is to see because of the last transition, and whether it found its session.
    seen: BTreeMap<&'static str, Vec<Heard>>,
    payload: u16,
    /// Whether there was a subscription to be ended.
    was_subscribed: bool,
}

/// What a client is to hear, but for answers to what it sent itself.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Publication(Seen),
    /// PUBREL once more, for a message that it has received and not finished.
    Release,
}

#[derive(Debug, Clone)]
enum Step {
    /// Of 3.1.1, a clean session is a short one.
    Connect {
        client: &'static str,
        is_clean: bool,
        is_short: bool,
        will: Option<(&'static str, u8, bool)>,
    },
    /// With DISCONNECT, or by closing the socket.
    Leave {
        client: &'static str,
        is_polite: bool,
    },
    /// `handling` says when retained messages are wanted: 0 always, 1 by a new subscription, 2 never.
    Subscribe {
        client: &'static str,
        filter: &'static str,
        qos: u8,
        handling: u8,
    },
    Unsubscribe {
        client: &'static str,
        filter: &'static str,
    },
    /// Of QoS 2, released at once or not. Empty if `is_empty`.
    Publish {
        client: &'static str,
        topic: &'static str,
        qos: u8,
        retain: bool,
        is_empty: bool,
        is_released: bool,
    },
    /// The first QoS 2 message that was not released: sent again, with DUP.
    Repeat {
        client: &'static str,
    },
    Release {
        client: &'static str,
    },
    /// The client acknowledges the first message that it has not, one step further.
    Acknowledge {
        client: &'static str,
    },
}

/// Written from section 4.7.
fn matches(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) => true,
            ([], []) => true,
            ([one, filter @ ..], [level, topic @ ..]) => (*one == "+" || one == level) && levels(filter, topic),
            _ => false,
        }
    }
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    levels(&filter.split('/').collect::<Vec<_>>(), &topic.split('/').collect::<Vec<_>>())
}

impl Model {
    fn is_online(&self, client: &str) -> bool {
        self.online.contains_key(client)
    }

    fn tell(&mut self, client: &'static str, seen: Seen) {
        let is_online = self.is_online(client);
        let session = self.sessions.get_mut(client).expect("it has a session");
        if !is_online {
            if seen.qos > 0 {
                session.waiting.push_back(seen);
            }
            return;
        }
        if seen.qos > 0 {
            session.flights.push_back(Flight { seen: seen.clone(), is_received: false });
        }
        self.seen.entry(client).or_default().push(Heard::Publication(seen));
    }

    /// Hands a message on.
    fn publish(&mut self, from: &'static str, topic: &'static str, payload: u16, qos: u8, retain: bool) {
        if retain && payload == 0 {
            self.retained.remove(topic);
        } else if retain {
            self.retained.insert(topic, (payload, qos, from));
        }
        for client in CLIENTS {
            if client == from && is_deaf_to_itself(client) {
                continue;
            }
            let Some(session) = self.sessions.get(client) else { continue };
            let granted =
                session.subscriptions.iter().filter(|(filter, _)| matches(filter, topic)).map(|(_, qos)| *qos);
            if let Some(granted) = granted.max() {
                let retain = retain && keeps_retain(client);
                self.tell(client, Seen { topic, payload, qos: qos.min(granted), retain, dup: false });
            }
        }
    }

    /// The connection of a client ends.
    fn leave(&mut self, client: &'static str, has_will: bool) {
        self.online.remove(client);
        let session = self.sessions.get_mut(client).expect("it has a session");
        let will = session.will.take().filter(|_| has_will);
        if session.is_short {
            self.sessions.remove(client);
        }
        if let Some((topic, payload, qos, retain)) = will {
            self.publish(client, topic, payload, qos, retain);
        }
    }

    fn connect(
        &mut self,
        client: &'static str,
        is_clean: bool,
        is_short: bool,
        will: Option<(&'static str, u8, bool)>,
    ) {
        if self.is_online(client) {
            self.leave(client, true);
        }
        // Whatever the old connection was told.
        self.seen.remove(client);
        if is_clean {
            self.sessions.remove(client);
        }
        let payload = self.payload;
        self.online.insert(client, self.sessions.contains_key(client));
        let session = self.sessions.entry(client).or_default();
        session.is_short = is_short;
        session.will = will.map(|(topic, qos, retain)| (topic, payload, qos, retain));
        let mut heard = Vec::new();
        for flight in &session.flights {
            heard.push(match flight.is_received {
                true => Heard::Release,
                false => Heard::Publication(Seen { dup: true, ..flight.seen.clone() }),
            });
        }
        for seen in std::mem::take(&mut session.waiting) {
            heard.push(Heard::Publication(seen.clone()));
            session.flights.push_back(Flight { seen, is_received: false });
        }
        self.seen.insert(client, heard);
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Model::default()).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        let online: Vec<_> = state.online.keys().copied().collect();
        let topic = || select(TOPICS.to_vec());
        let will = proptest::option::weighted(0.3, (topic(), 0..3_u8, any::<bool>()));
        let connect = (select(CLIENTS.to_vec()), any::<bool>(), any::<bool>(), will).prop_map(
            |(client, is_clean, is_short, will)| {
                let is_short = if is_v5(client) { is_short } else { is_clean };
                Step::Connect { client, is_clean, is_short, will }
            },
        );
        if online.is_empty() {
            return connect.boxed();
        }
        let client = || select(online.clone());
        prop_oneof![
            3 => connect,
            2 => (client(), any::<bool>()).prop_map(|(client, is_polite)| Step::Leave { client, is_polite }),
            4 => (client(), select(FILTERS.to_vec()), 0..3_u8, 0..3_u8).prop_map(|(client, filter, qos, handling)| {
                let handling = if is_v5(client) { handling } else { 0 };
                Step::Subscribe { client, filter, qos, handling }
            }),
            1 => (client(), select(FILTERS.to_vec()))
                .prop_map(|(client, filter)| Step::Unsubscribe { client, filter }),
            6 => (client(), topic(), 0..3_u8, any::<bool>(), proptest::bool::weighted(0.2), any::<bool>()).prop_map(
                |(client, topic, qos, retain, is_empty, is_released)| {
                    Step::Publish { client, topic, qos, retain, is_empty, is_released }
                }
            ),
            1 => client().prop_map(|client| Step::Repeat { client }),
            2 => client().prop_map(|client| Step::Release { client }),
            3 => client().prop_map(|client| Step::Acknowledge { client }),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        let session = |client| state.sessions.get(client).filter(|_| state.is_online(client));
        match step {
            Step::Connect { .. } => true,
            Step::Leave { client, .. } | Step::Subscribe { client, .. } | Step::Unsubscribe { client, .. } => {
                state.is_online(client)
            }
            Step::Publish { client, .. } => state.is_online(client),
            Step::Repeat { client } | Step::Release { client } => {
                session(client).is_some_and(|session| !session.held.is_empty())
            }
            Step::Acknowledge { client } => session(client).is_some_and(|session| !session.flights.is_empty()),
        }
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.seen.clear();
        state.payload += 1;
        let payload = state.payload;
        match *step {
            Step::Connect { client, is_clean, is_short, will } => state.connect(client, is_clean, is_short, will),
            Step::Leave { client, is_polite } => state.leave(client, !is_polite),
            Step::Subscribe { client, filter, qos, handling } => {
                let session = state.sessions.get_mut(client).expect("it is online");
                let is_new = session.subscriptions.insert(filter, qos).is_none();
                if handling == 0 || handling == 1 && is_new {
                    for (topic, (payload, of_message, from)) in state.retained.clone() {
                        if matches(filter, topic) && !(from == client && is_deaf_to_itself(client)) {
                            let qos = qos.min(of_message);
                            state.tell(client, Seen { topic, payload, qos, retain: true, dup: false });
                        }
                    }
                }
            }
            Step::Unsubscribe { client, filter } => {
                let session = state.sessions.get_mut(client).expect("it is online");
                state.was_subscribed = session.subscriptions.remove(filter).is_some();
            }
            Step::Publish { client, topic, qos, retain, is_empty, is_released } => {
                let payload = if is_empty { 0 } else { payload };
                if qos == 2 && !is_released {
                    let session = state.sessions.get_mut(client).expect("it is online");
                    session.held.push_back((topic, payload, retain));
                } else {
                    state.publish(client, topic, payload, qos, retain);
                }
            }
            Step::Repeat { .. } => {}
            Step::Release { client } => {
                let held = state.sessions.get_mut(client).and_then(|session| session.held.pop_front());
                let (topic, payload, retain) = held.expect("there is one");
                state.publish(client, topic, payload, 2, retain);
            }
            Step::Acknowledge { client } => {
                let flights = &mut state.sessions.get_mut(client).expect("it is online").flights;
                let first = flights.front_mut().expect("there is one");
                if first.seen.qos == 2 && !first.is_received {
                    first.is_received = true;
                    state.seen.insert(client, vec![Heard::Release]);
                } else {
                    flights.pop_front();
                }
            }
        }
        state
    }
}

/// A client as the wire has it, with what it keeps of a session.
#[derive(Default)]
struct Client {
    wire: Option<Wire>,
    /// The last identifier that it gave.
    pkid: u16,
    /// Of each message that it has not acknowledged for good: the identifier, and what it says next.
    flights: VecDeque<(u16, u8)>,
    /// Its QoS 2 messages that it has not released.
    held: VecDeque<(u16, Vec<u8>)>,
}

struct Clients {
    runtime: Rc<Runtime>,
    bench: Bench,
    clients: BTreeMap<&'static str, Client>,
}

const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

struct Sessions;

impl StateMachineTest for Sessions {
    type SystemUnderTest = Clients;
    type Reference = Model;

    fn init_test(_: &Model) -> Clients {
        let runtime = Rc::new(Builder::new_current_thread().enable_all().build().unwrap());
        let bench = runtime.block_on(Bench::start());
        let clients = CLIENTS.into_iter().map(|client| (client, Client::default())).collect();
        Clients { runtime, bench, clients }
    }

    fn apply(mut clients: Clients, model: &Model, step: Step) -> Clients {
        let runtime = clients.runtime.clone();
        runtime.block_on(clients.play(model, &step));
        clients
    }

    fn teardown(Clients { runtime, bench, .. }: Clients, _: Model) {
        runtime.block_on(bench.stop());
    }
}

fn payload(number: u16) -> Vec<u8> {
    if number == 0 { Vec::new() } else { number.to_string().into_bytes() }
}

fn short(first: u8, pkid: u16) -> Vec<u8> {
    packet(first, &[&pkid.to_be_bytes()])
}

impl Clients {
    async fn play(&mut self, model: &Model, step: &Step) {
        let actor = step.client();
        let client = self.clients.get_mut(actor).unwrap();
        // What the actor is told of what it says itself.
        let mut answers = Vec::new();
        let is_new = !matches!(step, Step::Repeat { .. } | Step::Release { .. } | Step::Acknowledge { .. });
        client.pkid += u16::from(is_new);
        let pkid = client.pkid;
        let properties: &[u8] = if is_v5(actor) { &[0] } else { &[] };
        let said = match step {
            Step::Connect { is_clean, is_short, will, .. } => {
                let mut flags = u8::from(*is_clean) << 1;
                let mut tail = Vec::new();
                if let Some((topic, qos, retain)) = will {
                    flags |= 4 | qos << 3 | u8::from(*retain) << 5;
                    tail = [text(topic), text(payload(model.payload))].concat();
                }
                // A session that is to last has a minute for it.
                let lasts: &[u8] = if *is_short { &[0] } else { &[5, 0x11, 0, 0, 0, 60] };
                let (level, own, of_will): (_, _, &[u8]) = match is_v5(actor) {
                    true => (5, lasts, if will.is_some() { &[0] } else { &[] }),
                    false => (4, &[][..], &[]),
                };
                let mut wire = Wire::open(self.bench.address()).await;
                let head = [b"\0\x04MQTT", &[level, flags, 0, 0][..], own].concat();
                wire.send(&packet(0x10, &[&head, &text(actor), of_will, &tail])).await;
                let is_present = model.online[actor];
                let connack = wire.packet().await;
                assert_eq!((connack[0], &connack[2..4]), (0x20, &[is_present.into(), 0][..]), "{connack:x?}");
                // The one before was closed by the broker, and its end is no later one's.
                if client.wire.replace(wire).is_some() {
                    self.bench.disconnected(actor).await;
                }
                if !is_present {
                    client.flights.clear();
                    client.held.clear();
                }
                Vec::new()
            }
            Step::Leave { is_polite, .. } => {
                let mut wire = client.wire.take().unwrap();
                if *is_polite {
                    wire.send(&[0xe0, 0]).await;
                }
                drop(wire);
                self.bench.disconnected(actor).await;
                Vec::new()
            }
            Step::Subscribe { filter, qos, handling, .. } => {
                answers.push(packet(0x90, &[&pkid.to_be_bytes(), properties, &[*qos]]));
                let (deaf, keeps) = (u8::from(is_deaf_to_itself(actor)), u8::from(keeps_retain(actor)));
                let options = qos | deaf << 2 | keeps << 3 | handling << 4;
                packet(0x82, &[&pkid.to_be_bytes(), properties, &text(filter), &[options]])
            }
            Step::Unsubscribe { filter, .. } => {
                let reason: &[u8] = match (is_v5(actor), model.was_subscribed) {
                    (false, _) => &[],
                    (true, true) => &[0],
                    (true, false) => &[0x11],
                };
                answers.push(packet(0xb0, &[&pkid.to_be_bytes(), properties, reason]));
                packet(0xa2, &[&pkid.to_be_bytes(), properties, &text(filter)])
            }
            Step::Publish { topic, qos, retain, is_empty, is_released, .. } => {
                let body = payload(if *is_empty { 0 } else { model.payload });
                let flags = qos << 1 | u8::from(*retain);
                let mut said = match is_v5(actor) {
                    true => publish5(flags, topic, pkid, &[], body),
                    false => publish4(flags, topic, pkid, body),
                };
                match qos {
                    0 => {}
                    1 => answers.push(short(PUBACK, pkid)),
                    _ => answers.push(short(PUBREC, pkid)),
                }
                if *qos == 2 && *is_released {
                    answers.push(short(PUBCOMP, pkid));
                    said.extend(short(PUBREL, pkid));
                } else if *qos == 2 {
                    client.held.push_back((pkid, said.clone()));
                }
                said
            }
            Step::Repeat { .. } => {
                let (pkid, bytes) = &client.held[0];
                answers.push(short(PUBREC, *pkid));
                [&[bytes[0] | 8], &bytes[1..]].concat()
            }
            Step::Release { .. } => {
                let (pkid, _) = client.held.pop_front().unwrap();
                answers.push(short(PUBCOMP, pkid));
                short(PUBREL, pkid)
            }
            Step::Acknowledge { .. } => {
                let (pkid, next) = client.flights[0];
                match next {
                    PUBREC => client.flights[0].1 = PUBCOMP,
                    _ => drop(client.flights.pop_front()),
                }
                short(next, pkid)
            }
        };
        if let Some(wire) = &mut client.wire {
            wire.send(&said).await;
        }
        // The actor first: once it has its answer, the others have been told.
        for name in [actor].into_iter().chain(CLIENTS.into_iter().filter(|name| *name != actor)) {
            let client = self.clients.get_mut(name).unwrap();
            if client.wire.is_some() {
                let expected = model.seen.get(name).map_or(&[][..], Vec::as_slice);
                let (heard, answered) = client.hears(is_v5(name)).await;
                assert_eq!(heard, expected, "what {name} hears after {step:?}");
                assert_eq!(
                    answered,
                    if name == actor { answers.clone() } else { Vec::new() },
                    "to {name} after {step:?}"
                );
            }
        }
    }
}

impl Client {
    /// Everything up to the answer to a ping: what comes of others, and what answers it.
    async fn hears(&mut self, is_v5: bool) -> (Vec<Heard>, Vec<Vec<u8>>) {
        let (mut heard, mut answers) = (Vec::new(), Vec::new());
        let wire = self.wire.as_mut().unwrap();
        wire.send(&[0xc0, 0]).await;
        // Where those stand that come again after a reconnect.
        let mut again = 0;
        loop {
            let packet = wire.packet().await;
            match packet[0] {
                0xd0 => return (heard, answers),
                PUBREL => {
                    assert!(
                        self.flights.contains(&(u16::from_be_bytes([packet[2], packet[3]]), PUBCOMP)),
                        "{packet:x?}"
                    );
                    heard.push(Heard::Release);
                    again += 1;
                }
                first if first >> 4 == 3 => {
                    let (seen, pkid) = read(&packet, is_v5);
                    let next = if seen.qos == 1 { PUBACK } else { PUBREC };
                    if seen.dup {
                        assert_eq!(self.flights.get(again), Some(&(pkid, next)), "sent again in the old order");
                        again += 1;
                    } else if seen.qos > 0 {
                        assert!(self.flights.iter().all(|(other, _)| *other != pkid), "{pkid} is in use");
                        self.flights.push_back((pkid, next));
                    }
                    heard.push(Heard::Publication(seen));
                }
                _ => answers.push(packet),
            }
        }
    }
}

/// A PUBLISH that is shorter than 128 bytes, and its identifier.
fn read(packet: &[u8], is_v5: bool) -> (Seen, u16) {
    let (qos, length) = (packet[0] >> 1 & 3, usize::from(packet[3]));
    let (topic, rest) = packet[4..].split_at(length);
    let topic = TOPICS.into_iter().find(|known| known.as_bytes() == topic).expect("a topic that somebody has used");
    let (pkid, body) = match qos {
        0 => (0, rest),
        _ => (u16::from_be_bytes([rest[0], rest[1]]), &rest[2..]),
    };
    let body = if is_v5 { body.strip_prefix(&[0]).expect("no properties") } else { body };
    let payload = std::str::from_utf8(body).unwrap();
    let payload = if payload.is_empty() { 0 } else { payload.parse().unwrap() };
    (Seen { topic, payload, qos, retain: packet[0] & 1 == 1, dup: packet[0] & 8 == 8 }, pkid)
}

impl Step {
    fn client(&self) -> &'static str {
        match self {
            Step::Connect { client, .. }
            | Step::Leave { client, .. }
            | Step::Subscribe { client, .. }
            | Step::Unsubscribe { client, .. }
            | Step::Publish { client, .. }
            | Step::Repeat { client }
            | Step::Release { client }
            | Step::Acknowledge { client } => client,
        }
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 1000, ..ProptestConfig::default() })]

    #[test]
    fn clients_hear_what_the_model_says(sequential 1..40 => Sessions);
}

//! QoS 2 from client to broker: a message is handed on when it is released, by our broker, through the relay, and by
//! mosquitto alike.

use std::net::SocketAddr;

use khumbu::broker::Config;
use khumbu::transcript::record::{Direction, Event, Record};

use crate::broker_relay::{Mosquitto, relay_to};
use crate::broker_wire::{Bench, Wire, connect4, publish4};

const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;
const DUP: u8 = 8;
const QOS2: u8 = 4;
const RETAIN: u8 = 1;

fn acknowledgement(first: u8, pkid: u8) -> Vec<u8> {
    vec![first, 2, 0, pkid]
}

/// Sends a QoS 2 PUBLISH and takes its PUBREC.
async fn hold(client: &mut Wire, flags: u8, topic: &str, pkid: u8, payload: &str) {
    client.send(&publish4(QOS2 | flags, topic, pkid.into(), payload)).await;
    client.expect(&acknowledgement(PUBREC, pkid)).await;
}

async fn release(client: &mut Wire, pkid: u8) {
    client.send(&acknowledgement(PUBREL, pkid)).await;
    client.expect(&acknowledgement(PUBCOMP, pkid)).await;
}

/// Connects with a session that lasts; `present` says whether there is one.
async fn lasting(address: SocketAddr, client: &str, present: bool) -> Wire {
    let mut wire = Wire::open(address).await;
    wire.send(&connect4(client, 0, 0)).await;
    wire.expect(&[0x20, 2, u8::from(present), 0]).await;
    wire
}

/// What every broker does, as long as `hears` is connected to the same one.
async fn released_and_not_before(address: SocketAddr) {
    let mut hears = Wire::v4(address, "hears").await;
    hears.subscribe4("t/#", 0).await;
    let mut asks = Wire::v4(address, "asks").await;

    // EVerest asks first, then subscribes to the topic of the answer, then releases its question.
    hold(&mut asks, 0, "t/question", 1, "?").await;
    hears.expect_silence().await;
    asks.subscribe4("answer", 0).await;
    release(&mut asks, 1).await;
    hears.expect(&publish4(0, "t/question", 0, "?")).await;
    hears.send(&publish4(0, "answer", 0, "!")).await;
    asks.expect(&publish4(0, "answer", 0, "!")).await;

    // The order of release is the order of messages, and lower QoS overtakes.
    hold(&mut asks, 0, "t/1", 1, "held first").await;
    hold(&mut asks, RETAIN, "t/2", 2, "held second").await;
    asks.send(&publish4(0, "t/3", 0, "at once")).await;
    hears.expect(&publish4(0, "t/3", 0, "at once")).await;
    let mut late = Wire::v4(address, "late").await;
    late.subscribe4("t/2", 0).await;
    late.expect_silence().await;
    release(&mut asks, 2).await;
    release(&mut asks, 1).await;
    hears.expect(&publish4(0, "t/2", 0, "held second")).await;
    hears.expect(&publish4(0, "t/1", 0, "held first")).await;
    late.expect(&publish4(0, "t/2", 0, "held second")).await;
    late.subscribe4("t/2", 0).await;
    late.expect(&publish4(RETAIN, "t/2", 0, "held second")).await;

    // Sent again, it stays one message; another one under the same identifier takes its place.
    hold(&mut asks, 0, "t/4", 3, "once").await;
    hold(&mut asks, DUP, "t/4", 3, "once").await;
    release(&mut asks, 3).await;
    hold(&mut asks, 0, "t/4", 4, "given up").await;
    hold(&mut asks, 0, "t/4", 4, "instead").await;
    release(&mut asks, 4).await;
    hears.expect(&publish4(0, "t/4", 0, "once")).await;
    hears.expect(&publish4(0, "t/4", 0, "instead")).await;

    // A session that lasts keeps what is not released, whichever packet comes again.
    let mut gone = lasting(address, "gone", false).await;
    hold(&mut gone, 0, "t/5", 1, "repeated").await;
    hold(&mut gone, 0, "t/6", 2, "released").await;
    drop(gone);
    let mut back = lasting(address, "gone", true).await;
    hold(&mut back, DUP, "t/5", 1, "repeated").await;
    release(&mut back, 1).await;
    release(&mut back, 2).await;
    hears.expect(&publish4(0, "t/5", 0, "repeated")).await;
    hears.expect(&publish4(0, "t/6", 0, "released")).await;

    // A clean one does not: nobody ever gets it.
    hold(&mut back, 0, "t/7", 3, "never").await;
    drop(back);
    let mut clean = Wire::v4(address, "gone").await;
    release(&mut clean, 3).await;
    hears.expect_silence().await;
}

/// What the record says of QoS 2 messages that clients sent.
fn told(records: &[Record]) -> Vec<String> {
    let told = records.iter().filter_map(|record| match &record.event {
        Event::Held { publish: p } => Some(format!("{} holds {} #{} d{}", record.client, p.topic, p.pkid, p.dup)),
        Event::Publish { direction: Direction::FromClient, publish: p } => {
            Some(format!("{} q{} {} #{} d{}", record.client, p.qos, p.topic, p.pkid, p.dup))
        }
        _ => None,
    });
    told.collect()
}

const TOLD: [&str; 20] = [
    "asks holds t/question #1 dfalse",
    "asks q2 t/question #1 dfalse",
    "hears q0 answer #0 dfalse",
    "asks holds t/1 #1 dfalse",
    "asks holds t/2 #2 dfalse",
    "asks q0 t/3 #0 dfalse",
    "asks q2 t/2 #2 dfalse",
    "asks q2 t/1 #1 dfalse",
    "asks holds t/4 #3 dfalse",
    "asks holds t/4 #3 dtrue",
    "asks q2 t/4 #3 dfalse",
    "asks holds t/4 #4 dfalse",
    "asks holds t/4 #4 dfalse",
    "asks q2 t/4 #4 dfalse",
    "gone holds t/5 #1 dfalse",
    "gone holds t/6 #2 dfalse",
    "gone holds t/5 #1 dtrue",
    "gone q2 t/5 #1 dfalse",
    "gone q2 t/6 #2 dfalse",
    "gone holds t/7 #3 dfalse",
];

#[tokio::test]
async fn a_message_is_handed_on_when_it_is_released() {
    let bench = Bench::start().await;
    released_and_not_before(bench.address()).await;
    assert_eq!(told(&bench.stop().await), TOLD);
}

#[tokio::test]
async fn mosquitto_does_so_too_and_the_relay_tells_the_same() {
    let Some(mosquitto) = Mosquitto::start("allow_anonymous true").await else { return };
    released_and_not_before(mosquitto.address).await;
    let Some(mosquitto) = Mosquitto::start("allow_anonymous true").await else { return };
    let bench = Bench::with(relay_to(mosquitto.address)).await;
    released_and_not_before(bench.address()).await;
    assert_eq!(told(&bench.stop().await), TOLD);
}

#[tokio::test]
async fn what_is_not_released_is_bounded() {
    let mut bench = Bench::with(Config { queue_bytes: 5_000, ..Config::default() }).await;
    let mut client = Wire::v4(bench.address(), "client").await;
    for pkid in 1..4 {
        client.send(&publish4(QOS2, "t", pkid, [b'x'; 2_000])).await;
    }
    let why = "PUBLISH: unreleased QoS 2 messages would take more than 5000 bytes";
    assert_eq!(bench.disconnected("client").await, why);
    // The session is gone, and what it held with it.
    let mut client = Wire::v4(bench.address(), "client").await;
    for pkid in [1, 1, 1, 2, 2] {
        client.send(&publish4(QOS2, "t", pkid, [b'x'; 2_000])).await;
        client.expect(&acknowledgement(PUBREC, pkid as u8)).await;
    }
    bench.stop().await;
}

//! What ordinary and hostile clients can do to a broker. The first six brought rumqttd's own broker down; after each
//! of them the broker must still serve.

use std::time::{Duration, Instant};

use khumbu::broker::Config;
use khumbu::transcript::record::Event;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::broker_wire::{Bench, Wire, connect4, connect5, packet, publish4, publish5, text};

/// Bytes that look random and are the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.next() as usize % most;
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// The broker still carries a message from one client to another.
async fn still_serves(bench: &Bench) {
    let mut subscriber = Wire::v5(bench.address(), "check-subscriber").await;
    subscriber.subscribe5("check/#", 2, &[]).await;
    let mut publisher = Wire::v4(bench.address(), "check-publisher").await;
    publisher.send(&publish4(2, "check/it", 1, "x")).await;
    publisher.expect(&[0x40, 2, 0, 1]).await;
    subscriber.expect(&publish5(2, "check/it", 1, &[], "x")).await;
}

#[tokio::test]
async fn survives_a_topic_that_does_not_begin_with_ascii() {
    let bench = Bench::start().await;
    let mut client = Wire::v4(bench.address(), "client").await;
    for filter in ["é/+", "#", "+/x"] {
        client.subscribe4(filter, 0).await;
    }
    client.send(&publish4(1, "é/x", 0, "1")).await;
    client.expect(&publish4(0, "é/x", 0, "1")).await;
    still_serves(&bench).await;
    bench.stop().await;
}

#[tokio::test]
async fn survives_subscribers_that_leave_or_acknowledge_wrongly_under_load() {
    let bench = Bench::start().await;
    let address = bench.address();
    let mut publisher = Wire::v4(address, "publisher").await;
    let load = tokio::spawn(async move {
        for number in 0..600_u16 {
            publisher.send(&publish4(2, "load", number % 100 + 1, [b'x'; 100])).await;
            publisher.packet().await;
        }
    });
    let mut noise = Noise(7);
    let mut round = 0;
    while !load.is_finished() {
        round += 1;
        let mut subscriber = Wire::connected(address, &connect4(&format!("s{}", round % 3), 0, 0)).await;
        subscriber.send(&packet(0x82, &[&[0, 1], &text("load"), &[2]])).await;
        for _ in 0..20 {
            let kind = [0x40, 0x50, 0x62, 0x70][noise.next() as usize % 4];
            let pkid = (noise.next() % 300) as u16 + 1;
            // The broker may have had enough already.
            if subscriber.stream.write_all(&[&[kind, 2][..], &pkid.to_be_bytes()].concat()).await.is_err() {
                break;
            }
        }
    }
    load.await.unwrap();
    assert!(round > 3);
    still_serves(&bench).await;
    bench.stop().await;
}

#[tokio::test]
async fn says_what_was_wrong_with_an_acknowledgement() {
    let mut bench = Bench::start().await;
    for (qos, acknowledgement, why) in [
        (1, vec![0x50, 2, 0, 1], "PUBREC for packet 1, which was sent with QoS 1"),
        (2, vec![0x40, 2, 0, 1], "PUBACK for packet 1, which was sent with QoS 2"),
        (2, vec![0x70, 2, 0, 1], "PUBCOMP for packet 1, which was sent with QoS 2"),
        (2, vec![0x50, 2, 0, 1, 0x40, 2, 0, 1], "PUBACK for packet 1 after its PUBREC"),
    ] {
        let mut client = Wire::v4(bench.address(), "client").await;
        client.subscribe4("t", qos).await;
        client.send(&publish4(4, "t", 1, "x")).await;
        client.send(&[0x62, 2, 0, 1]).await;
        client.send(&acknowledgement).await;
        assert_eq!(bench.disconnected("client").await, why);
    }
    bench.stop().await;
}

#[tokio::test]
async fn survives_rejected_identifiers_and_the_connection_limit() {
    let mut bench = Bench::with(Config { max_connections: 10, ..Config::default() }).await;
    for id in ["a+", "#", "$SYS", "a/b", "ü", " "] {
        let mut client = Wire::v4(bench.address(), id).await;
        client.expect_silence().await;
        client.send(&[0xe0, 0]).await;
        assert_eq!(client.next().await, None);
    }
    let mut nobody = Wire::open(bench.address()).await;
    nobody.send(&connect4("", 0, 0)).await;
    nobody.rest().await;
    drop(nobody);
    assert_eq!(bench.refused().await, "empty client identifier without clean session");

    let mut open = Vec::new();
    while open.len() < 40 {
        open.push(Wire::open(bench.address()).await);
    }
    for _ in 0..30 {
        assert_eq!(bench.refused().await, "more than 10 connections");
    }
    for _ in 0..10 {
        let mut client = Wire::open(bench.address()).await;
        assert_eq!(client.next().await, None);
    }
    drop(open);
    // Room again, as soon as the broker has seen the others go.
    for _ in 0..10 {
        bench
            .wait("the end of the others", |r| matches!(&r.event, Event::Refused { why } if why.starts_with("closed")))
            .await;
    }
    let mut again = loop {
        let mut client = Wire::open(bench.address()).await;
        client.send(&connect4("again", 2, 0)).await;
        if client.next().await.is_some() {
            break client;
        }
    };
    again.expect_silence().await;
    drop(again);
    bench.stop().await;
}

#[tokio::test]
async fn survives_a_lasting_member_of_a_share_leaving_with_unacknowledged_messages() {
    let mut bench = Bench::start().await;
    let mut member = Wire::connected(bench.address(), &connect4("member", 0, 0)).await;
    member.subscribe4("$share/g/t", 1).await;
    let mut publisher = Wire::v4(bench.address(), "publisher").await;
    for number in 0..50 {
        publisher.send(&publish4(2, "t", 1, number.to_string())).await;
        publisher.expect(&[0x40, 2, 0, 1]).await;
    }
    member.packet().await;
    drop(member);
    bench.disconnected("member").await;
    publisher.send(&publish4(2, "t", 1, "50")).await;
    publisher.expect(&[0x40, 2, 0, 1]).await;
    still_serves(&bench).await;
    let mut member = Wire::open(bench.address()).await;
    member.send(&connect4("member", 0, 0)).await;
    member.expect(&[0x20, 2, 1, 0]).await;
    for number in 0..50 {
        member.expect(&publish4(2 | 8, "t", number + 1, number.to_string())).await;
    }
    member.expect(&publish4(2, "t", 51, "50")).await;
    bench.stop().await;
}

#[tokio::test]
async fn survives_a_take_over_under_load() {
    let bench = Bench::start().await;
    let address = bench.address();
    let mut workers = Vec::new();
    for worker in 0..4 {
        workers.push(tokio::spawn(async move {
            for round in 0..50_u32 {
                let connect = match (worker + round) % 2 {
                    0 => connect4("same", 0, 0),
                    _ => connect5("same", 0, 0, &[0x11, 0, 0, 0, 9]),
                };
                let mut client = Wire::open(address).await;
                client.send(&connect).await;
                let mut bytes = Vec::new();
                if (worker + round) % 2 == 0 {
                    bytes.extend(packet(0x82, &[&[0, 1], &text("x/#"), &[2]]));
                    bytes.extend(publish4(2, "x/y", 1, [b'x'; 500]).repeat(20));
                } else {
                    bytes.extend(packet(0x82, &[&[0, 1, 0], &text("x/#"), &[2]]));
                    bytes.extend(publish5(4, "x/y", 1, &[], [b'x'; 500]).repeat(20));
                }
                // Others take the identifier over at any moment.
                let _ = client.stream.write_all(&bytes).await;
                let _ = client.next().await;
            }
        }));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    still_serves(&bench).await;
    bench.stop().await;
}

#[tokio::test]
async fn survives_10_000_garbage_connections() {
    const LANES: u64 = 8;
    let bench = Bench::start().await;
    let address = bench.address();
    let began = Instant::now();
    let mut lanes = Vec::new();
    for lane in 1..=LANES {
        lanes.push(tokio::spawn(async move {
            let mut noise = Noise(lane);
            for round in 0..10_000 / LANES {
                let bytes = match round % 5 {
                    0 => noise.bytes(300),
                    // A CONNECT of MQTT 5, then noise; a CONNECT with noise in it; a packet type with noise in it.
                    1 => [connect5("garbage", 2, 0, &[]), noise.bytes(300)].concat(),
                    2 => packet(0x10, &[b"\0\x04MQTT\x05", &noise.bytes(60)]),
                    3 => {
                        let first = noise.next() as u8;
                        [connect5("garbage", 2, 0, &[]), packet(first, &[&noise.bytes(60)])].concat()
                    }
                    _ => {
                        let mut bytes = [connect4("g", 2, 0), publish4(2, "a/b", 1, "x")].concat();
                        let at = noise.next() as usize % bytes.len();
                        bytes[at] = noise.next() as u8;
                        bytes
                    }
                };
                let mut stream = TcpStream::connect(address).await.unwrap();
                // The broker may close in the middle of it.
                let _ = stream.write_all(&bytes).await;
            }
        }));
    }
    for lane in lanes {
        lane.await.unwrap();
    }
    still_serves(&bench).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
    let records = bench.stop().await;
    let accepted = records.iter().filter(|record| matches!(record.event, Event::Accepted)).count();
    let refused = records.iter().filter(|record| matches!(record.event, Event::Refused { .. })).count();
    let connected = records.iter().filter(|record| matches!(record.event, Event::Connected { .. })).count();
    let ended = records.iter().filter(|record| matches!(record.event, Event::Disconnected { .. })).count();
    assert_eq!(accepted, 10_002);
    assert_eq!((accepted, connected), (refused + connected, ended), "every connection has its end");
    for record in &records {
        if let Event::Disconnected { cause: why, .. } | Event::Refused { why } = &record.event {
            assert!(!why.contains("the codec"), "{why}");
        }
    }
}

#[tokio::test]
async fn gives_up_on_a_connection_that_says_nothing() {
    let connect_timeout = Duration::from_millis(200);
    let mut bench = Bench::with(Config { connect_timeout, ..Config::default() }).await;
    let mut silent = Wire::open(bench.address()).await;
    assert_eq!(bench.refused().await, "no CONNECT within 200ms, 0 bytes received");
    assert_eq!(silent.next().await, None);
    let mut halting = Wire::open(bench.address()).await;
    halting.send(&connect4("client", 2, 0)[..9]).await;
    assert_eq!(bench.refused().await, "no CONNECT within 200ms, 9 bytes received");
    assert_eq!(halting.next().await, None);
    bench.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_no_answers_is_not_listened_to_for_ever() {
    let bench = Bench::start().await;
    let mut deaf = Wire::v4(bench.address(), "deaf").await;
    // Answers are as large as the pings: if the broker read on, it would have to keep all of them.
    let pings = [0xc0, 0].repeat(64 * 1024);
    let stuck = loop {
        let sent = tokio::time::timeout(Duration::from_secs(1), deaf.stream.write_all(&pings)).await;
        if sent.is_err() {
            break true;
        }
    };
    assert!(stuck);
    still_serves(&bench).await;
    bench.stop().await;
}

#[tokio::test]
async fn serves_a_thousand_clients() {
    const CLIENTS: usize = 1_000;
    let bench = Bench::start().await;
    let mut clients = Vec::with_capacity(CLIENTS);
    for number in 0..CLIENTS {
        let mut client = Wire::v4(bench.address(), &format!("client-{number}")).await;
        client.send(&packet(0x82, &[&[0, 1], &text("all/#"), &[1], &text(format!("own/{number}")), &[0]])).await;
        client.expect(&[0x90, 4, 0, 1, 1, 0]).await;
        clients.push(client);
    }
    clients[0].send(&publish4(2, "all/x", 1, "x")).await;
    for (number, client) in clients.iter_mut().enumerate() {
        let to = CLIENTS - 1 - number;
        client.send(&publish4(0, &format!("own/{to}"), 0, "y")).await;
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let mut got = vec![client.packet().await, client.packet().await];
        if number == 0 {
            got.push(client.packet().await);
        }
        assert!(got.contains(&publish4(2, "all/x", 1, "x")), "{number}");
        assert!(got.contains(&publish4(0, &format!("own/{number}"), 0, "y")), "{number}");
    }
    drop(clients);
    bench.stop().await;
}

//! The front door before another broker: the bytes pass unchanged, the record is the same.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use khumbu::broker::{Config, Upstream};
use khumbu::transcript::record::{Direction, Event};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::broker_wire::{Bench, PATIENCE, Wire, connect4, connect5, packet, publish4, publish5, publishes, text};
use crate::clients;

/// A front door before another broker.
pub fn relay_to(address: SocketAddr) -> Config {
    let upstream = Upstream { host: address.ip().to_string(), port: address.port() };
    Config { upstream: Some(upstream), ..Config::default() }
}

#[tokio::test]
async fn passes_bytes_unchanged_and_records_packets() {
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut bench = Bench::with(relay_to(upstream.local_addr().unwrap())).await;
    let mut client = Wire::open(bench.address()).await;
    // The reserved bits and the odd order are the upstream's business.
    let asked = [connect5("", 2, 9, &[]), packet(0x82, &[&[0, 4, 0], &text("a/#"), &[1], &text("b"), &[2]])].concat();
    client.send(&asked).await;
    let (mut server, _) = upstream.accept().await.unwrap();
    let mut got = vec![0; asked.len()];
    server.read_exact(&mut got).await.unwrap();
    assert_eq!(got, asked);

    let assigned = [&[0x12][..], &text("given")].concat();
    let connack = packet(0x20, &[&[0, 0, assigned.len() as u8], &assigned]);
    let suback = vec![0x90, 5, 0, 4, 0, 1, 0x87];
    let aliased = publish5(2, "a/b", 7, &[0x23, 0, 1, 0x0b, 3], "one");
    let alias = publish5(1, "", 0, &[0x23, 0, 1], "two");
    let answers = [connack, suback, aliased, alias, vec![0xd0, 0], vec![0xe0, 2, 0x8e, 0]].concat();
    for byte in &answers {
        server.write_all(&[*byte]).await.unwrap();
    }
    drop(server);
    assert_eq!(client.rest().await.concat(), answers);
    let cause = bench.disconnected("given").await;
    assert_eq!(cause, "DISCONNECT with reason 0x8e from the upstream");
    let records = bench.stop().await;
    let granted: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Subscribed { filter, qos } => Some((filter.as_str(), *qos)),
            _ => None,
        })
        .collect();
    assert_eq!(granted, [("a/#", 1)], "what the upstream did not grant is not recorded as granted");
    let got: Vec<_> = publishes(&records, Direction::ToClient)
        .into_iter()
        .map(|(client, p)| (client.to_string(), p.topic.to_string(), p.payload, p.qos, p.retain, p.pkid))
        .collect();
    let expected = [("one", 1, false, 7), ("two", 0, true, 0)]
        .map(|(payload, qos, retain, pkid)| ("given".to_owned(), "a/b".to_owned(), payload.into(), qos, retain, pkid));
    assert_eq!(got, expected);
}

#[tokio::test]
async fn says_why_the_upstream_did_not_accept() {
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = upstream.local_addr().unwrap();
    let mut bench = Bench::with(relay_to(address)).await;
    let mut client = Wire::open(bench.address()).await;
    client.send(&connect4("client", 2, 0)).await;
    let (mut server, _) = upstream.accept().await.unwrap();
    server.write_all(&[0x20, 2, 0, 5]).await.unwrap();
    drop(server);
    client.expect(&[0x20, 2, 0, 5]).await;
    assert_eq!(bench.refused().await, "client `client`: CONNACK of the upstream: not authorized (0x05)");

    let mut client = Wire::open(bench.address()).await;
    client.send(&connect4("client", 2, 0)).await;
    drop(upstream.accept().await.unwrap());
    assert_eq!(client.next().await, None);
    let why = bench.refused().await;
    assert!(why.ends_with(&format!("upstream mqtt://{address}, before CONNACK")), "{why}");

    bench.stop().await;

    // Bound and not listening: a port that is given back may be another's at once.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    let mut bench = Bench::with(relay_to(address)).await;
    let mut client = Wire::open(bench.address()).await;
    client.send(&connect4("client", 2, 0)).await;
    assert_eq!(client.next().await, None);
    let why = bench.refused().await;
    assert!(why.starts_with(&format!("upstream mqtt://{address}: ")) && why.contains("refused"), "{why}");
    bench.stop().await;
}

#[tokio::test]
async fn passes_on_what_cannot_be_read() {
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut bench = Bench::with(relay_to(upstream.local_addr().unwrap())).await;
    let mut client = Wire::open(bench.address()).await;
    client.send(&connect4("client", 2, 0)).await;
    let (mut server, _) = upstream.accept().await.unwrap();
    server.write_all(&[0x20, 2, 0, 0]).await.unwrap();
    client.expect(&[0x20, 2, 0, 0]).await;
    let broken = packet(0x30, &[&text("a/+"), b"x"]);
    client.send(&broken).await;
    let mut got = vec![0; connect4("client", 2, 0).len() + broken.len()];
    server.read_exact(&mut got).await.unwrap();
    assert!(got.ends_with(&broken), "{got:x?}");
    drop(server);
    let why = bench.disconnected("client").await;
    assert!(why.ends_with(", after PUBLISH: topic `a/+` contains the wildcard `+`"), "{why}");
    bench.stop().await;
}

#[tokio::test]
async fn cuts_off_and_goes_down_as_a_relay_too() {
    // Our own broker is as good an upstream as any.
    let upstream = Bench::start().await;
    let mut bench = Bench::with(relay_to(upstream.address())).await;
    let mut one = Wire::v4(bench.address(), "one").await;
    let mut two = Wire::v4(bench.address(), "two").await;
    assert!(bench.broker.disconnect("one"));
    assert!(!bench.broker.disconnect("one"));
    assert_eq!(one.next().await, None);
    assert_eq!(bench.disconnected("one").await, "cut off");
    bench.broker.suspend().await;
    assert_eq!(two.next().await, None);
    assert_eq!(bench.disconnected("two").await, "broker down");
    bench.broker.resume().await.unwrap();
    one = Wire::v4(bench.address(), "one").await;
    one.send(&[0xe0, 0]).await;
    assert_eq!(bench.disconnected("one").await, "DISCONNECT");
    bench.stop().await;
    upstream.stop().await;
}

/// A mosquitto of our own, on a port of its own, with nothing on disk but its configuration.
pub struct Mosquitto {
    _child: Child,
    _folder: tempfile::TempDir,
    pub address: SocketAddr,
}

impl Mosquitto {
    pub async fn start(lines: &str) -> Option<Self> {
        let program = clients::mosquitto("mosquitto")?;
        let folder = tempfile::tempdir().unwrap();
        // Bound and given back: mosquitto cannot tell which port it took.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
        let config = folder.path().join("mosquitto.conf");
        let port = address.port();
        std::fs::write(&config, format!("listener {port} 127.0.0.1\npersistence false\n{lines}\n")).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.kill_on_drop(true).spawn().unwrap();
        let up = timeout(PATIENCE, async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        up.await.expect("mosquitto listens within the test's patience");
        Some(Self { _child: child, _folder: folder, address })
    }
}

#[tokio::test]
async fn relays_to_mosquitto() {
    let Some(mosquitto) = Mosquitto::start("allow_anonymous true").await else { return };
    let bench = Bench::with(relay_to(mosquitto.address)).await;
    let mut subscriber = Wire::v5(bench.address(), "subscriber").await;
    subscriber.send(&packet(0x82, &[&[0, 1, 0], &text("t/#"), &[2]])).await;
    subscriber.expect(&[0x90, 4, 0, 1, 0, 2]).await;
    let mut publisher = Wire::v4(bench.address(), "publisher").await;
    // One that is not relayed hears the relayed ones, and the other way round.
    let mut direct = Wire::v4(mosquitto.address, "direct").await;
    direct.subscribe4("t/#", 0).await;
    publisher.send(&publish4(2 | 1, "t/x", 5, "kept")).await;
    publisher.expect(&[0x40, 2, 0, 5]).await;
    subscriber.expect(&publish5(2, "t/x", 1, &[], "kept")).await;
    direct.expect(&publish4(0, "t/x", 0, "kept")).await;
    direct.send(&publish4(0, "t/y", 0, "direct")).await;
    subscriber.expect(&publish5(0, "t/y", 0, &[], "direct")).await;
    publisher.send(&[0xe0, 0]).await;
    assert_eq!(publisher.next().await, None);
    let records = bench.stop().await;
    let lines: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Connected { protocol, .. } => Some(format!("{} connected {protocol}", record.client)),
            Event::Subscribed { filter, qos } => Some(format!("{} subscribed {filter} {qos}", record.client)),
            Event::Publish { direction, publish: p } => {
                Some(format!("{} {direction:?} {} q{} r{}", record.client, p.topic, p.qos, p.retain))
            }
            Event::Disconnected { cause, clean } => Some(format!("{} disconnected {cause} {clean}", record.client)),
            _ => None,
        })
        .collect();
    assert_eq!(
        lines,
        [
            "subscriber connected 5",
            "subscriber subscribed t/# 2",
            "publisher connected 4",
            "publisher FromClient t/x q1 rtrue",
            "subscriber ToClient t/x q1 rfalse",
            "subscriber ToClient t/y q0 rfalse",
            "publisher disconnected DISCONNECT true",
            "subscriber disconnected broker stopped false",
        ]
    );
}

#[tokio::test]
async fn credentials_pass_to_mosquitto() {
    let Some(mosquitto) = Mosquitto::start("allow_anonymous false").await else { return };
    let mut bench = Bench::with(relay_to(mosquitto.address)).await;
    let mut client = Wire::open(bench.address()).await;
    client.send(&packet(0x10, &[b"\0\x04MQTT\x04\xc2\0\0", &text("client"), &text("user"), &text("wrong")])).await;
    client.expect(&[0x20, 2, 0, 5]).await;
    assert_eq!(bench.refused().await, "client `client`: CONNACK of the upstream: not authorized (0x05)");
    bench.stop().await;
}

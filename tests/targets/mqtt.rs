//! What a client of MQTT sends, from its first byte on, at a broker of its own.
//!
//! Two others have subscribed to everything, one of 3.1.1 and one of MQTT 5. What the broker sends is read by readers that
//! share no code with it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use khumbu::broker::{Broker, Config, PacketLimit};
use khumbu::transcript::record::{Event, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
}

/// CONNECT and SUBSCRIBE to `#` with QoS 2, and an assigned client identifier.
const WATCHER_4: &[u8] = b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0\x82\x06\0\x01\0\x01#\x02";
const WATCHER_5: &[u8] = b"\x10\x0d\0\x04MQTT\x05\x02\0\0\0\0\0\x82\x07\0\x01\0\0\x01#\x02";
/// SUBACK of 3.1.1 and of MQTT 5.
const SUBSCRIBED: [&[u8]; 2] = [b"\x90\x03\0\x01\x02", b"\x90\x04\0\x01\0\x02"];

pub fn run(bytes: &[u8]) {
    RUNTIME.with(|runtime| runtime.block_on(play(bytes)));
}

async fn play(bytes: &[u8]) {
    let record = Arc::new(Mutex::new(Vec::new()));
    let kept = record.clone();
    let max_packet = PacketLimit(64 * 1024);
    let config = Config { listen: elsewhere(), max_packet, queue_limit: 100, ..Config::default() };
    let keep = move |entry| kept.lock().expect("nobody panics here").push(entry);
    let broker = Broker::start(config, keep).await.expect("a free port");
    let (mut four, mut five) =
        (watch(&broker, WATCHER_4, SUBSCRIBED[0]).await, watch(&broker, WATCHER_5, SUBSCRIBED[1]).await);

    let mut client = TcpStream::connect(broker.address()).await.expect("it is taken in");
    client.set_nodelay(true).expect("a socket");
    // The broker may have closed before it has read everything.
    let _ = client.write_all(bytes).await;
    let _ = client.shutdown().await;
    let said = rest(&mut client).await;
    let version = if bytes.get(8) == Some(&5) || said.len() > 1 && said[0] == 0x20 && said[1] > 2 { 5 } else { 4 };
    drop(client);

    broker.stop().await;
    whole(&said, version);
    whole(&rest(&mut four).await, 4);
    whole(&rest(&mut five).await, 5);
    is_complete(&record.lock().expect("nobody panics here"));
}

/// A port at another address of this machine each time: connections that have ended keep theirs for a minute, and the kernel
/// looks longer and longer for a free one.
fn elsewhere() -> SocketAddr {
    static NUMBER: AtomicU16 = AtomicU16::new(0);
    let [high, low] = NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let address = if cfg!(target_os = "linux") { Ipv4Addr::new(127, 1, high, low) } else { Ipv4Addr::LOCALHOST };
    SocketAddr::from((address, 0))
}

async fn watch(broker: &Broker, hello: &[u8], subscribed: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(broker.address()).await.expect("it is taken in");
    stream.set_nodelay(true).expect("a socket");
    stream.write_all(hello).await.expect("it listens");
    let mut heard = Vec::new();
    while !heard.ends_with(subscribed) {
        assert!(stream.read_buf(&mut heard).await.expect("it answers") > 0, "{heard:x?}");
    }
    stream
}

async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    // A connection that is reset has been read to where that was.
    while stream.read_buf(&mut heard).await.is_ok_and(|read| read > 0) {}
    heard
}

/// Every connection has an end, and so nothing has panicked on its way.
fn is_complete(record: &[Record]) {
    let count = |wanted: fn(&Event) -> bool| record.iter().filter(|entry| wanted(&entry.event)).count();
    let accepted = count(|event| matches!(event, Event::Accepted));
    let connected = count(|event| matches!(event, Event::Connected { .. }));
    let refused = count(|event| matches!(event, Event::Refused { .. }));
    let ended = count(|event| matches!(event, Event::Disconnected { .. }));
    assert_eq!((accepted, connected + refused, ended), (3, 3, connected), "{record:#?}");
    for (at, entry) in record.iter().enumerate() {
        assert_eq!(entry.seq, at as u64);
    }
}

/// Whole packets that a server may send, up to where the connection may have been cut.
fn whole(mut bytes: &[u8], version: u8) {
    while let Some((first, body, rest)) = packet(bytes) {
        match first >> 4 {
            2 | 4 | 5 | 7 | 9 | 11 | 13 => assert_eq!(first & 15, 0, "{first:#x} {body:x?}"),
            6 => assert_eq!(first, 0x62),
            14 => assert_eq!((first, version), (0xe0, 5), "only MQTT 5 takes leave: {body:x?}"),
            3 => publication(first, body, version),
            _ => panic!("no server sends {first:#x} {body:x?}"),
        }
        bytes = rest;
    }
}

fn publication(first: u8, body: &[u8], version: u8) {
    let (length, rest) = body.split_first_chunk().expect("the length of a topic");
    let (topic, rest) = rest.split_at(u16::from_be_bytes(*length).into());
    let topic = std::str::from_utf8(topic).expect("a topic is text");
    assert!(!topic.is_empty() && !topic.contains(['+', '#', '\0']), "topic {topic:?}");
    let qos = first >> 1 & 3;
    assert!(qos < 3, "QoS 3");
    let rest = if qos == 0 { rest } else { rest.split_at(2).1 };
    if version == 5 {
        let (length, after) = varint(rest).expect("the length of properties");
        assert!(length <= after.len(), "properties beyond the end: {body:x?}");
    }
}

/// The first byte of a packet, its body, and what follows.
fn packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = varint(rest)?;
    let (body, rest) = rest.split_at_checked(length)?;
    Some((*first, body, rest))
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

//! Life and death of a broker: many at once, down and back, one after another on the same port; and the order of things
//! when many clients speak at once.

use std::time::{Duration, Instant};

use khumbu::broker::{Broker, Config, StartError, Upstream};
use khumbu::transcript::record::{Direction, Event};
use tokio::net::{TcpSocket, TcpStream};

use crate::broker_wire::{Bench, PATIENCE, Wire, connect4, publish4, publishes};

#[tokio::test]
async fn goes_down_and_comes_back_within_100_ms() {
    let mut bench = Bench::start().await;
    let address = bench.address();
    let mut clean = Wire::v4(address, "clean").await;
    let mut lasting = Wire::connected(address, &connect4("lasting", 0, 0)).await;
    lasting.subscribe4("t", 1).await;
    // The shortest of a few: a busy machine may hold any of them up.
    let mut shortest = Duration::MAX;
    for _ in 0..5 {
        let mut waiting = Wire::open(address).await;
        let peer = waiting.stream.local_addr().unwrap().to_string();
        bench.wait("the one that says nothing", |record| *record.client == *peer).await;
        let began = Instant::now();
        bench.broker.suspend().await;
        assert_eq!(clean.next().await, None);
        assert_eq!(lasting.next().await, None);
        assert_eq!(waiting.next().await, None);
        assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
        bench.broker.resume().await.unwrap();
        lasting = Wire::open(address).await;
        lasting.send(&connect4("lasting", 0, 0)).await;
        lasting.expect(&[0x20, 2, 1, 0]).await;
        shortest = shortest.min(began.elapsed());
        clean = Wire::v4(address, "clean").await;
        clean.send(&publish4(0, "t", 0, "x")).await;
        lasting.expect(&publish4(0, "t", 0, "x")).await;
    }
    assert!(shortest < Duration::from_millis(100), "{shortest:?}");

    let records = bench.stop().await;
    let ends: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Disconnected { cause, .. } => Some(format!("{} {cause}", record.client)),
            Event::Refused { why } => Some(why.clone()),
            _ => None,
        })
        .collect();
    for (end, times) in [("clean broker down", 5), ("lasting broker down", 5), ("broker down before CONNECT", 5)] {
        assert_eq!(ends.iter().filter(|seen| *seen == end).count(), times, "{ends:?}");
    }
    assert_eq!(ends.iter().filter(|end| end.ends_with("broker stopped")).count(), 2, "{ends:?}");
}

#[tokio::test]
async fn its_port_is_kept_while_it_is_down() {
    let bench = Bench::start().await;
    let address = bench.address();
    let closed = async || {
        let taken = TcpSocket::new_v4().unwrap().bind(address);
        assert!(taken.is_err() && TcpStream::connect(address).await.is_err());
    };
    bench.broker.suspend().await;
    closed().await;
    bench.broker.resume().await.unwrap();
    bench.broker.go_away().await;
    closed().await;
    bench.broker.come_back().await.unwrap();
    Wire::v4(address, "client").await;
    bench.stop().await;
}

#[tokio::test]
async fn another_broker_takes_the_port_at_once() {
    let mut bench = Bench::start().await;
    let address = bench.address();
    let mut shortest = Duration::MAX;
    for _ in 0..5 {
        let mut client = Wire::v4(address, "client").await;
        let taken = Broker::start(Config { listen: address, ..Config::default() }, drop).await;
        assert!(matches!(taken, Err(StartError { address: at, .. }) if at == address));
        let began = Instant::now();
        bench.stop().await;
        bench = Bench::with(Config { listen: address, ..Config::default() }).await;
        shortest = shortest.min(began.elapsed());
        assert_eq!(client.next().await, None);
    }
    assert!(shortest < Duration::from_millis(100), "{shortest:?}");
    bench.stop().await;
}

#[tokio::test]
async fn dropping_a_broker_closes_everything() {
    let bench = Bench::start().await;
    let address = bench.address();
    let mut client = Wire::v4(address, "client").await;
    drop(bench);
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn many_brokers_live_in_one_process() {
    let began = Instant::now();
    let mut benches = Vec::new();
    for _ in 0..32 {
        benches.push(Bench::start().await);
    }
    let mut ports: Vec<_> = benches.iter().map(|bench| bench.address().port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 32);
    assert!(!ports.contains(&0));
    for bench in &benches {
        let mut client = Wire::v4(bench.address(), "same").await;
        client.subscribe4("t", 0).await;
        client.send(&publish4(0, "t", 0, "x")).await;
        client.expect(&publish4(0, "t", 0, "x")).await;
    }
    for bench in benches {
        bench.stop().await;
    }
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn urls_of_brokers() {
    for (url, host, port) in [
        ("mqtt://localhost:1884", "localhost", 1884),
        ("mqtt://10.0.0.1", "10.0.0.1", 1883),
        ("mqtt://[::1]:1885/", "::1", 1885),
        ("mqtt://[fe80::1]", "fe80::1", 1883),
    ] {
        assert_eq!(url.parse(), Ok(Upstream { host: host.to_owned(), port }));
    }
    assert_eq!("mqtt://[::1]:9".parse::<Upstream>().map(|url| url.to_string()), Ok("mqtt://[::1]:9".to_owned()));
    let help = "; write it like `mqtt://localhost:1883`";
    for (url, why) in [
        ("localhost:1883", "has no scheme"),
        ("http://localhost", "has the scheme `http`, not `mqtt`"),
        ("mqtts://localhost", "wants TLS or WebSocket, which are not spoken here"),
        ("mqtt://", "has no host"),
        ("mqtt://:1883", "has no host"),
        ("mqtt://h:0", "has no port between 1 and 65535"),
        ("mqtt://h:70000", "has no port between 1 and 65535"),
        ("mqtt://h:", "has no port between 1 and 65535"),
        ("mqtt://u:p@h", "has a user name; the module under test sends its own through"),
        ("mqtt://h/x", "has a path"),
        ("mqtt://::1", "has an IPv6 address without brackets"),
        ("mqtt://[::1", "has no `]`"),
        ("mqtt://[::1]x", "has something else than a port after `]`"),
    ] {
        assert_eq!(url.parse::<Upstream>(), Err(format!("broker `{url}` {why}{help}")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_subscribers_see_the_order_of_the_record() {
    const PUBLISHERS: usize = 8;
    const EACH: usize = 400;
    let bench = Bench::start().await;
    let address = bench.address();
    let mut subscribers = Vec::new();
    for number in 0..4 {
        let mut wire = Wire::v4(address, &format!("subscriber-{number}")).await;
        // The filters differ, the topics are many: the order is one all the same.
        wire.subscribe4(["t/#", "t/+", "+/+", "#"][number], (number % 2) as u8).await;
        subscribers.push(tokio::spawn(async move {
            let mut got = Vec::new();
            while got.len() < PUBLISHERS * EACH {
                let packet = wire.packet().await;
                let identifier = if packet[0] & 6 == 0 { 0..0 } else { 7..9 };
                if !identifier.is_empty() {
                    wire.send(&[0x40, 2, packet[7], packet[8]]).await;
                }
                got.push(String::from_utf8(packet[7 + identifier.len()..].to_vec()).unwrap());
            }
            got
        }));
    }
    let mut publishers = Vec::new();
    for number in 0..PUBLISHERS {
        let mut wire = Wire::v4(address, &format!("publisher-{number}")).await;
        publishers.push(tokio::spawn(async move {
            for message in 0..EACH {
                let payload = format!("{number}:{message}");
                wire.send(&publish4(2, &format!("t/{}", message % 10), 1, payload)).await;
                wire.expect(&[0x40, 2, 0, 1]).await;
            }
        }));
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let mut got = Vec::new();
    for subscriber in subscribers {
        got.push(subscriber.await.unwrap());
    }
    let records = bench.stop().await;
    let sent = publishes(&records, Direction::FromClient).into_iter();
    let sent: Vec<_> = sent.map(|(_, publish)| String::from_utf8(publish.payload.to_vec()).unwrap()).collect();
    assert_eq!(sent.len(), PUBLISHERS * EACH);
    for (number, got) in got.iter().enumerate() {
        assert!(*got == sent, "subscriber {number} saw another order than the record has");
    }
    for number in 0..PUBLISHERS {
        let prefix = format!("{number}:");
        let own: Vec<_> = sent.iter().filter(|payload| payload.starts_with(&prefix)).cloned().collect();
        assert_eq!(own, (0..EACH).map(|message| format!("{number}:{message}")).collect::<Vec<_>>());
    }
}

//! Sessions and wills: what outlives a connection, what ends it, and what is said then.

use std::time::{Duration, Instant};

use khumbu::broker::Config;
use khumbu::transcript::record::{Direction, Event};

use crate::broker_wire::{Bench, Wire, connect4, connect5, packet, publish4, publish5, publishes, text};

/// CONNECT of 3.1.1 with a will of QoS 1 and a clean session.
fn connect4_with_will(client: &str, topic: &str, payload: &str, retain: bool, keep_alive: u16) -> Vec<u8> {
    let flags = 0x02 | 0x04 | 0x08 | u8::from(retain) << 5;
    let keep_alive = keep_alive.to_be_bytes();
    packet(0x10, &[b"\0\x04MQTT\x04", &[flags], &keep_alive, &text(client), &text(topic), &text(payload)])
}

/// CONNECT of MQTT 5 with a will of QoS 0.
fn connect5_with_will(client: &str, clean: bool, session_expiry: u8, delay: u8, topic: &str) -> Vec<u8> {
    let flags = 0x04 | u8::from(clean) << 1;
    let own = [5, 0x11, 0, 0, 0, session_expiry];
    let will = [5, 0x18, 0, 0, 0, delay];
    packet(0x10, &[b"\0\x04MQTT\x05", &[flags], &[0, 0], &own, &text(client), &will, &text(topic), &text("gone")])
}

#[tokio::test]
async fn a_lasting_session_gets_what_it_missed() {
    let mut bench = Bench::start().await;
    let address = bench.address();
    let mut lasting = Wire::open(address).await;
    lasting.send(&connect4("lasting", 0, 0)).await;
    lasting.expect(&[0x20, 2, 0, 0]).await;
    lasting.subscribe4("t", 2).await;
    drop(lasting);
    assert_eq!(bench.disconnected("lasting").await, "closed by peer");
    let mut publisher = Wire::v4(address, "publisher").await;
    for (number, qos) in [0_u8, 1, 2].into_iter().enumerate() {
        publisher.send(&publish4(qos << 1, "t", 5 + number as u16, number.to_string())).await;
    }
    publisher.expect(&[0x40, 2, 0, 6]).await;
    publisher.expect(&[0x50, 2, 0, 7]).await;
    publisher.send(&[0x62, 2, 0, 7]).await;
    publisher.expect(&[0x70, 2, 0, 7]).await;
    publisher.send(&publish4(2, "t", 8, "3")).await;
    publisher.expect(&[0x40, 2, 0, 8]).await;

    let mut lasting = Wire::open(address).await;
    lasting.send(&connect4("lasting", 0, 0)).await;
    lasting.expect(&[0x20, 2, 1, 0]).await;
    // QoS 0 is not kept for a client that is away.
    lasting.expect(&publish4(2, "t", 1, "1")).await;
    lasting.expect(&publish4(4, "t", 2, "2")).await;
    lasting.expect(&publish4(2, "t", 3, "3")).await;
    lasting.send(&[0x50, 2, 0, 2]).await;
    lasting.expect(&[0x62, 2, 0, 2]).await;
    drop(lasting);
    bench.disconnected("lasting").await;

    // What was not acknowledged comes again, in order: PUBLISH with DUP, and PUBREL where PUBREC had come.
    let mut lasting = Wire::open(address).await;
    lasting.send(&connect4("lasting", 0, 0)).await;
    lasting.expect(&[0x20, 2, 1, 0]).await;
    lasting.expect(&publish4(2 | 8, "t", 1, "1")).await;
    lasting.expect(&[0x62, 2, 0, 2]).await;
    lasting.expect(&publish4(2 | 8, "t", 3, "3")).await;
    lasting.send(&[0x40, 2, 0, 1, 0x70, 2, 0, 2, 0x40, 2, 0, 3]).await;
    lasting.expect_silence().await;

    // A clean session forgets.
    let mut clean = Wire::open(address).await;
    clean.send(&connect4("lasting", 2, 0)).await;
    clean.expect(&[0x20, 2, 0, 0]).await;
    publisher.send(&publish4(0, "t", 0, "x")).await;
    publisher.expect_silence().await;
    clean.expect_silence().await;
    bench.stop().await;
}

#[tokio::test]
async fn a_session_of_mqtt_5_lasts_as_long_as_it_asked_for() {
    let bench = Bench::start().await;
    let address = bench.address();
    let expiry = |seconds: u8| [0x11, 0, 0, 0, seconds];
    // Present while it lasts, absent when it was not asked for.
    for (seconds, present) in [(0, 0), (60, 1)] {
        let mut client = Wire::connected(address, &connect5("client", 2, 0, &expiry(seconds))).await;
        client.send(&[0xe0, 0]).await;
        assert_eq!(client.next().await, None);
        let mut client = Wire::open(address).await;
        client.send(&connect5("client", 0, 0, &[])).await;
        assert_eq!(client.packet().await[2], present, "{seconds} s");
        client.send(&[0xe0, 0]).await;
        assert_eq!(client.next().await, None);
    }
    // DISCONNECT may shorten it.
    let mut client = Wire::connected(address, &connect5("client", 2, 0, &expiry(60))).await;
    client.send(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0]).await;
    assert_eq!(client.next().await, None);
    let mut client = Wire::open(address).await;
    client.send(&connect5("client", 0, 0, &[])).await;
    assert_eq!(client.packet().await[2], 0);
    // … but not bring one about.
    client.send(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 1]).await;
    assert_eq!(client.packet().await[2], 0x82);
    bench.stop().await;
}

#[tokio::test]
async fn a_session_ends_when_its_time_is_over() {
    let mut bench = Bench::start().await;
    let mut client = Wire::connected(bench.address(), &connect5_with_will("client", true, 1, 60, "will")).await;
    client.subscribe5("t", 1, &[]).await;
    let mut watcher = Wire::v4(bench.address(), "watcher").await;
    watcher.subscribe4("will", 0).await;
    let began = Instant::now();
    drop(client);
    bench.disconnected("client").await;
    // The end of the session brings the will before its delay is over.
    watcher.expect(&publish4(0, "will", 0, "gone")).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    let mut client = Wire::open(bench.address()).await;
    client.send(&connect5("client", 0, 0, &[])).await;
    assert_eq!(client.packet().await[2], 0, "no session is left");
    bench.stop().await;
}

#[tokio::test]
async fn wills_are_published_unless_the_client_says_goodbye() {
    let mut bench = Bench::start().await;
    let address = bench.address();
    let mut watcher = Wire::v4(address, "watcher").await;
    watcher.subscribe4("will/#", 1).await;

    let mut polite = Wire::connected(address, &connect4_with_will("polite", "will/polite", "x", false, 0)).await;
    polite.send(&[0xe0, 0]).await;
    assert_eq!(polite.next().await, None);
    let rude = Wire::connected(address, &connect4_with_will("rude", "will/rude", "x", true, 0)).await;
    drop(rude);
    watcher.expect(&publish4(2, "will/rude", 1, "x")).await;
    let mut late = Wire::v4(address, "late").await;
    late.subscribe4("will/rude", 0).await;
    late.expect(&publish4(1, "will/rude", 0, "x")).await;

    let mut broken = Wire::connected(address, &connect4_with_will("broken", "will/broken", "x", false, 0)).await;
    broken.send(&[0x36, 0]).await;
    watcher.expect(&publish4(2, "will/broken", 2, "x")).await;

    let _cut = Wire::connected(address, &connect4_with_will("cut", "will/cut", "x", false, 0)).await;
    assert!(bench.broker.disconnect("cut"));
    assert!(!bench.broker.disconnect("cut"));
    watcher.expect(&publish4(2, "will/cut", 3, "x")).await;

    // MQTT 5: reason 4 says goodbye and wants the will; one byte is all it takes.
    let mut wanted = Wire::connected(address, &connect5_with_will("wanted", true, 0, 0, "will/wanted")).await;
    wanted.send(&[0xe0, 1, 4]).await;
    watcher.expect(&publish4(0, "will/wanted", 0, "gone")).await;

    // On take-over it is the old connection's will.
    let _old = Wire::connected(address, &connect4_with_will("twice", "will/old", "x", false, 0)).await;
    let _new = Wire::connected(address, &connect4_with_will("twice", "will/new", "x", false, 0)).await;
    watcher.expect(&publish4(2, "will/old", 4, "x")).await;

    let silent = Wire::connected(address, &connect4_with_will("silent", "will/silent", "x", false, 1)).await;
    watcher.expect(&publish4(2, "will/silent", 5, "x")).await;
    assert_eq!(bench.disconnected("silent").await, "keep-alive: nothing received for 1.5 × 1s");
    drop(silent);
    watcher.expect_silence().await;
    bench.stop().await;
}

#[tokio::test]
async fn a_delayed_will_is_called_off_by_coming_back() {
    let mut bench = Bench::start().await;
    let address = bench.address();
    let mut watcher = Wire::v4(address, "watcher").await;
    watcher.subscribe4("will", 0).await;
    let connect = connect5_with_will("client", false, 60, 1, "will");
    drop(Wire::connected(address, &connect).await);
    bench.disconnected("client").await;
    let mut back = Wire::connected(address, &connect5("client", 0, 0, &[0x11, 0, 0, 0, 60])).await;
    back.send(&[0xe0, 0]).await;
    assert_eq!(back.next().await, None);
    // The second time nobody comes back: what arrives is this will, after its delay.
    let client = Wire::connected(address, &connect).await;
    let began = Instant::now();
    drop(client);
    watcher.expect(&publish4(0, "will", 0, "gone")).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    // A clean start ends the old session, and with it the wait.
    drop(Wire::connected(address, &connect5_with_will("waiting", false, 60, 60, "will")).await);
    bench.disconnected("waiting").await;
    drop(Wire::v5(address, "waiting").await);
    watcher.expect(&publish4(0, "will", 0, "gone")).await;
    watcher.expect_silence().await;
    bench.stop().await;
}

#[tokio::test]
async fn a_client_takes_over_its_own_connection() {
    let mut bench = Bench::start().await;
    let mut old = Wire::v5(bench.address(), "same").await;
    let mut new = Wire::v5(bench.address(), "same").await;
    let goodbye = old.packet().await;
    assert_eq!((goodbye[0], goodbye[2]), (0xe0, 0x8e));
    assert_eq!(old.next().await, None);
    new.expect_silence().await;
    assert_eq!(bench.disconnected("same").await, "taken over");
    bench.stop().await;
}

#[tokio::test]
async fn the_record_tells_who_was_cut_off() {
    let mut bench = Bench::start().await;
    let mut client = Wire::v4(bench.address(), "client").await;
    assert!(!bench.broker.disconnect("other"));
    assert!(bench.broker.disconnect("client"));
    assert_eq!(client.next().await, None);
    assert_eq!(bench.disconnected("client").await, "cut off");
    // It may come back at once.
    drop(Wire::v4(bench.address(), "client").await);
    bench.stop().await;
}

#[tokio::test]
async fn messages_expire() {
    let mut bench = Bench::start().await;
    let address = bench.address();
    let lasting = [0x11, 0, 0, 0, 60];
    let mut away = Wire::connected(address, &connect5("away", 2, 0, &lasting)).await;
    away.subscribe5("t", 1, &[]).await;
    drop(away);
    bench.disconnected("away").await;
    let mut publisher = Wire::v5(address, "publisher").await;
    publisher.send(&publish5(2, "t", 1, &[0x02, 0, 0, 0, 1], "short")).await;
    publisher.send(&publish5(2 | 1, "t", 2, &[0x02, 0, 0, 0, 1], "short and retained")).await;
    publisher.send(&publish5(2, "t", 3, &[0x02, 0, 0, 0, 60], "long")).await;
    // A bell that rings after the messages have expired: the will of a session that lasts as long as they do.
    let mut watcher = Wire::v5(address, "watcher").await;
    watcher.subscribe5("bell", 0, &[]).await;
    drop(Wire::connected(address, &connect5_with_will("bell", true, 1, 60, "bell")).await);
    watcher.expect(&publish5(0, "bell", 0, &[], "gone")).await;

    let mut away = Wire::connected(address, &connect5("away", 0, 0, &lasting)).await;
    let got = away.packet().await;
    // The rest of the time is told; a packet identifier of 1, for the others were never sent.
    let (head, left, payload) = (&got[..12], got[12], &got[13..]);
    assert_eq!((head, payload), (&[0x32, 15, 0, 1, b't', 0, 1, 5, 2, 0, 0, 0][..], &b"long"[..]), "{got:x?}");
    assert!((50..60).contains(&left), "{left} s");
    away.subscribe5("t", 1, &[]).await;
    away.expect_silence().await;
    bench.stop().await;
}

#[tokio::test]
async fn keeps_to_the_receive_maximum() {
    let bench = Bench::start().await;
    let mut client = Wire::connected(bench.address(), &connect5("client", 2, 0, &[0x21, 0, 2])).await;
    client.subscribe5("t", 1, &[]).await;
    let mut publisher = Wire::v4(bench.address(), "publisher").await;
    for number in 0..4 {
        publisher.send(&publish4(2, "t", 1, number.to_string())).await;
        publisher.expect(&[0x40, 2, 0, 1]).await;
    }
    client.expect(&publish5(2, "t", 1, &[], "0")).await;
    client.expect(&publish5(2, "t", 2, &[], "1")).await;
    client.expect_silence().await;
    client.send(&[0x40, 2, 0, 1]).await;
    client.expect(&publish5(2, "t", 3, &[], "2")).await;
    client.expect_silence().await;
    bench.stop().await;
}

#[tokio::test]
async fn keeps_to_the_maximum_packet_size_and_tells() {
    let mut bench = Bench::start().await;
    let mut client = Wire::connected(bench.address(), &connect5("client", 2, 0, &[0x27, 0, 0, 0, 50])).await;
    client.subscribe5("t", 0, &[]).await;
    let mut publisher = Wire::v4(bench.address(), "publisher").await;
    publisher.send(&publish4(0, "t", 0, [b'x'; 50])).await;
    publisher.send(&publish4(0, "t", 0, [b'x'; 20])).await;
    client.expect(&publish5(0, "t", 0, &[], [b'x'; 20])).await;
    bench.wait("an overflow", |record| matches!(&record.event, Event::Overflow { topic } if topic == "t")).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_slow_subscriber_loses_nothing_in_silence() {
    const SENT: usize = 3_000;
    let payload = vec![b'x'; 10_000];
    let mut bench = Bench::with(Config { queue_limit: 1_000, ..Config::default() }).await;
    let mut slow = Wire::v4(bench.address(), "slow").await;
    slow.subscribe4("t", 0).await;
    let mut publisher = Wire::v4(bench.address(), "publisher").await;
    // 30 MB: more than the sockets and the queue hold together. Others are served meanwhile.
    for _ in 0..SENT {
        publisher.send(&publish4(0, "t", 0, &payload)).await;
    }
    publisher.expect_silence().await;
    publisher.send(&publish4(0, "other", 0, "x")).await;
    bench.wait("the last", |r| matches!(&r.event, Event::Publish { publish, .. } if &*publish.topic == "other")).await;
    let lost = bench.seen.iter().filter(|record| matches!(record.event, Event::Overflow { .. })).count();
    assert!(lost > 0 && lost < SENT - 1_000, "{lost} lost");
    for _ in 0..SENT - lost {
        assert_eq!(slow.packet().await.len(), publish4(0, "t", 0, &payload).len());
    }
    slow.expect_silence().await;
    let records = bench.stop().await;
    assert_eq!(publishes(&records, Direction::ToClient).len(), SENT - lost);
}

#[tokio::test]
async fn retained_messages_are_bounded_and_the_client_is_told() {
    let mut bench = Bench::with(Config { retained_bytes: 5_000, ..Config::default() }).await;
    let mut client = Wire::v5(bench.address(), "client").await;
    for number in 0..6 {
        client.send(&publish5(1, &format!("r/{number}"), 0, &[], [b'x'; 1000])).await;
    }
    let why = "PUBLISH: retained messages would take more than 5000 bytes";
    assert_eq!(bench.disconnected("client").await, why);
    let goodbye = client.packet().await;
    assert_eq!((goodbye[0], goodbye[2]), (0xe0, 0x97));
    bench.stop().await;
}

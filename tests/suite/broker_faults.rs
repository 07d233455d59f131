//! Injected faults on the wire: what a broker's clients see of each, and what the record has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use khumbu::broker::{Rule, Sieve};
use khumbu::transcript::injected::{ConnectRefusal, Copies, Corruption, Effect, Injected};
use khumbu::transcript::record::{Direction, Event, Publish, Record};

use crate::broker_relay::relay_to;
use crate::broker_wire::{Bench, Wire, connect4, connect5, packet, publish4, publish5, publishes};

/// Messages on `t` meet the first rules; clients whose names begin with `own` are khumbu.
struct OnT;

impl Sieve for OnT {
    fn is_own(&self, client: &str) -> bool {
        client.starts_with("own")
    }

    fn sift(&self, _: &str, publish: &Publish) -> Vec<usize> {
        if &*publish.topic == "t" { vec![0, 1] } else { Vec::new() }
    }
}

/// A broker with a rule for the next messages on `t`.
async fn bench(effect: Effect, most: u32) -> Bench {
    let bench = Bench::start().await;
    bench.broker.inject(Some(Arc::new(OnT)));
    assert_eq!(bench.broker.add_fault(Rule { effect, most: Some(most), probability: 1.0, seed: 0 }), Some(0));
    bench
}

/// A client that listens to everything with QoS 2, and another one of khumbu's.
async fn listeners(bench: &Bench) -> (Wire, Wire) {
    let mut module = Wire::v4(bench.address(), "module").await;
    module.subscribe4("#", 2).await;
    let mut own = Wire::v4(bench.address(), "own-ear").await;
    own.subscribe4("#", 0).await;
    (module, own)
}

/// Publishes with QoS 1, and takes the acknowledgement.
async fn say(from: &mut Wire, topic: &str, payload: &str) {
    from.send(&publish4(2, topic, 1, payload)).await;
    from.expect(&[0x40, 2, 0, 1]).await;
}

fn injected(records: &[Record]) -> Vec<(String, Injected)> {
    let injected = records.iter().filter_map(|record| match &record.event {
        Event::Injected(injected) => Some((record.client.to_string(), injected.clone())),
        _ => None,
    });
    injected.collect()
}

/// What a client was handed, in the record.
fn handed(records: &[Record], to: &str) -> Vec<(String, u8, bool)> {
    let all = publishes(records, Direction::ToClient).into_iter().filter(|(client, _)| &**client == to);
    all.map(|(_, publish)| (String::from_utf8_lossy(&publish.payload).into_owned(), publish.qos, publish.dup)).collect()
}

#[tokio::test]
async fn a_message_of_khumbu_is_acknowledged_and_lost_for_others() {
    let bench = bench(Effect::Drop, 1).await;
    let (mut module, mut ear) = listeners(&bench).await;
    let mut own = Wire::v4(bench.address(), "own").await;
    say(&mut own, "t", "lost").await;
    say(&mut own, "u", "other").await;
    say(&mut own, "t", "next").await;
    // The packet identifiers have no gap: the lost one never had one.
    module.expect(&publish4(2, "u", 1, "other")).await;
    module.expect(&publish4(2, "t", 2, "next")).await;
    for payload in ["lost", "other", "next"] {
        let topic = if payload == "other" { "u" } else { "t" };
        ear.expect(&publish4(0, topic, 0, payload)).await;
    }
    let records = bench.stop().await;
    let [(client, Injected::Message { seq, rule: 0, topic, effect: Effect::Drop })] = &injected(&records)[..] else {
        panic!("{records:?}")
    };
    assert_eq!((client.as_str(), &**topic), ("own", "t"));
    let Event::Publish { direction: Direction::FromClient, publish } = &records[*seq as usize].event else {
        panic!("{records:?}")
    };
    assert_eq!(publish.payload, "lost");
    assert!(matches!(records[*seq as usize + 1].event, Event::Injected(_)), "it stands right behind what it befell");
}

#[tokio::test]
async fn a_message_of_others_is_acknowledged_and_lost_for_all_with_every_qos() {
    let bench = bench(Effect::Drop, 3).await;
    let (_module, mut ear) = listeners(&bench).await;
    let mut other = Wire::v4(bench.address(), "other").await;
    other.send(&publish4(0, "t", 0, "0")).await;
    say(&mut other, "t", "1").await;
    other.send(&publish4(4, "t", 2, "2")).await;
    other.expect(&[0x50, 2, 0, 2]).await;
    other.send(&[0x62, 2, 0, 2]).await;
    other.expect(&[0x70, 2, 0, 2]).await;
    say(&mut other, "t", "3").await;
    ear.expect(&publish4(0, "t", 0, "3")).await;
    let records = bench.stop().await;
    let sent: Vec<_> = publishes(&records, Direction::FromClient).into_iter().map(|(_, it)| it.payload).collect();
    assert_eq!(sent, ["0", "1", "2", "3"], "what was sent is in the record, lost or not");
    assert_eq!(injected(&records).len(), 3);
}

#[tokio::test]
async fn a_late_message_is_overtaken_and_comes() {
    let by = Duration::from_millis(300);
    let bench = bench(Effect::Delay(by), 1).await;
    let (mut module, _ear) = listeners(&bench).await;
    let mut own = Wire::v4(bench.address(), "own").await;
    let began = Instant::now();
    say(&mut own, "t", "late").await;
    say(&mut own, "t", "next").await;
    module.expect(&publish4(2, "t", 1, "next")).await;
    module.expect(&publish4(2, "t", 2, "late")).await;
    assert!(began.elapsed() >= by);
    bench.stop().await;
}

#[tokio::test]
async fn a_second_message_has_an_identifier_of_its_own_and_a_redelivery_has_not() {
    for (copies, second) in [
        (Copies::Message, publish4(2, "t", 2, "x")),
        // DUP, and the identifier from before (MQTT 3.1.1, 3.3.1.1).
        (Copies::Redelivery, publish4(2 | 8, "t", 1, "x")),
    ] {
        let bench = bench(Effect::Duplicate(copies), 1).await;
        let (mut module, mut ear) = listeners(&bench).await;
        let mut own = Wire::v4(bench.address(), "own").await;
        say(&mut own, "t", "x").await;
        module.expect(&publish4(2, "t", 1, "x")).await;
        module.expect(&second).await;
        // The acknowledgement of a redelivery frees the identifier, a second one is of nothing.
        for _ in 0..2 {
            module.send(&[0x40, 2, 0, 1]).await;
        }
        module.expect_silence().await;
        ear.expect(&publish4(0, "t", 0, "x")).await;
        ear.expect_silence().await;
        let records = bench.stop().await;
        let is_again = copies == Copies::Redelivery;
        assert_eq!(handed(&records, "module"), [("x".to_owned(), 1, false), ("x".to_owned(), 1, is_again)]);
        assert!(!records.iter().any(|record| matches!(record.event, Event::Breach { .. })), "{records:?}");
    }
}

#[tokio::test]
async fn mqtt_5_and_qos_2_know_no_redelivery_on_one_connection() {
    let bench = bench(Effect::Duplicate(Copies::Redelivery), 2).await;
    let mut five = Wire::v5(bench.address(), "five").await;
    five.subscribe5("t", 1, &[]).await;
    let mut four = Wire::v4(bench.address(), "four").await;
    four.subscribe4("t", 2).await;
    let mut own = Wire::v4(bench.address(), "own").await;
    say(&mut own, "t", "x").await;
    for pkid in [1, 2] {
        five.expect(&publish5(2, "t", pkid, &[], "x")).await;
    }
    for dup in [0, 8] {
        four.expect(&publish4(2 | dup, "t", 1, "x")).await;
    }
    own.send(&publish4(4, "t", 2, "y")).await;
    own.expect(&[0x50, 2, 0, 2]).await;
    own.send(&[0x62, 2, 0, 2]).await;
    four.expect(&publish4(4, "t", 2, "y")).await;
    four.expect_silence().await;
    bench.stop().await;
}

#[tokio::test]
async fn qos_0_is_redelivered_as_a_message_of_its_own() {
    let bench = bench(Effect::Duplicate(Copies::Redelivery), 1).await;
    let (mut module, _ear) = listeners(&bench).await;
    let mut own = Wire::v4(bench.address(), "own").await;
    own.send(&publish4(0, "t", 0, "x")).await;
    module.expect(&publish4(0, "t", 0, "x")).await;
    module.expect(&publish4(0, "t", 0, "x")).await;
    module.expect_silence().await;
    bench.stop().await;
}

#[tokio::test]
async fn a_message_that_is_held_back_follows_the_next_one_or_the_lifting() {
    let bench = bench(Effect::Reorder, 2).await;
    let (mut module, _ear) = listeners(&bench).await;
    let mut own = Wire::v4(bench.address(), "own").await;
    for payload in ["1", "2", "3"] {
        say(&mut own, "t", payload).await;
    }
    module.expect(&publish4(2, "t", 1, "2")).await;
    module.expect(&publish4(2, "t", 2, "1")).await;
    module.expect_silence().await;
    bench.broker.lift_faults();
    module.expect(&publish4(2, "t", 3, "3")).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_corrupt_message_is_recorded_as_it_was_sent_and_as_it_was_handed_over() {
    let bench = bench(Effect::Corrupt(Corruption::Truncate), 1).await;
    let (mut module, mut ear) = listeners(&bench).await;
    let mut own = Wire::v4(bench.address(), "own").await;
    say(&mut own, "t", "[1, 2, 3]").await;
    let got = module.packet().await;
    ear.expect(&publish4(0, "t", 0, "[1, 2, 3]")).await;
    let records = bench.stop().await;
    let [(payload, 1, false)] = &handed(&records, "module")[..] else { panic!("{records:?}") };
    assert!("[1, 2, 3]".starts_with(payload) && payload.len() < 9, "{payload}");
    assert_eq!(got, publish4(2, "t", 1, payload));
}

#[tokio::test]
async fn connects_of_others_are_refused_with_the_code_of_their_version() {
    let mut bench = Bench::start().await;
    bench.broker.inject(Some(Arc::new(OnT)));
    bench.broker.refuse_connects(ConnectRefusal::NotAuthorized, Some(2));
    Wire::v4(bench.address(), "own").await;
    let mut four = Wire::open(bench.address()).await;
    four.send(&connect4("four", 2, 0)).await;
    assert_eq!(four.rest().await, [vec![0x20, 2, 0, 5]]);
    let mut five = Wire::open(bench.address()).await;
    five.send(&connect5("five", 2, 0, &[])).await;
    assert_eq!(five.rest().await, [vec![0x20, 3, 0, 0x87, 0]]);
    Wire::v4(bench.address(), "four").await;
    assert_eq!(bench.refused().await, "client `four`: `not_authorized`, an injected fault");
    let records = bench.stop().await;
    let refused = Injected::ConnectRefused(ConnectRefusal::NotAuthorized);
    assert_eq!(injected(&records), [("four".to_owned(), refused.clone()), ("five".to_owned(), refused)]);
}

#[tokio::test]
async fn a_broker_that_is_away_closes_its_port_and_keeps_khumbu() {
    let mut bench = Bench::start().await;
    let address = bench.address();
    bench.broker.inject(Some(Arc::new(OnT)));
    let mut own = Wire::v4(address, "own").await;
    own.subscribe4("t", 0).await;
    let mut lasting = Wire::connected(address, &connect4("lasting", 0, 0)).await;
    lasting.subscribe4("t", 1).await;
    let mut waiting = Wire::open(address).await;
    let peer = waiting.stream.local_addr().unwrap().to_string();
    bench.wait("the one that says nothing", |record| *record.client == *peer).await;
    bench.broker.go_away().await;
    assert_eq!((lasting.next().await, waiting.next().await), (None, None));
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the port is closed");
    own.send(&publish4(2, "t", 1, "meanwhile")).await;
    own.expect(&publish4(0, "t", 0, "meanwhile")).await;
    own.expect(&[0x40, 2, 0, 1]).await;
    bench.broker.come_back().await.unwrap();
    let mut lasting = Wire::open(address).await;
    lasting.send(&connect4("lasting", 0, 0)).await;
    lasting.expect(&[0x20, 2, 1, 0]).await;
    lasting.expect(&publish4(2, "t", 1, "meanwhile")).await;
    own.expect_silence().await;
    let records = bench.stop().await;
    let faults: Vec<_> = injected(&records).into_iter().map(|(_, injected)| injected).collect();
    assert_eq!(faults, [Injected::BrokerAway, Injected::BrokerBack]);
}

#[tokio::test]
async fn a_half_open_connection_passes_nothing_until_it_flows_again() {
    let bench = Bench::start().await;
    let address = bench.address();
    bench.broker.inject(Some(Arc::new(OnT)));
    let mut own = Wire::v4(address, "own").await;
    own.subscribe4("m2e", 0).await;
    // A keep-alive of a second, which nobody can hold against it meanwhile.
    let mut module = Wire::connected(address, &connect4("module", 2, 1)).await;
    module.subscribe4("t", 1).await;
    bench.broker.stall();
    say(&mut own, "t", "to it").await;
    module.send(&publish4(0, "m2e", 0, "from it")).await;
    let silence = tokio::time::timeout(Duration::from_millis(1700), module.stream.readable()).await;
    assert!(silence.is_err(), "neither bytes nor an end come");
    own.expect_silence().await;
    // A new connection is whole.
    let mut second = Wire::v4(address, "second").await;
    second.expect_silence().await;
    bench.broker.lift_faults();
    module.expect(&publish4(2, "t", 1, "to it")).await;
    own.expect(&publish4(0, "m2e", 0, "from it")).await;
    let records = bench.stop().await;
    let at = |is_it: &dyn Fn(&Event) -> bool| records.iter().position(|record| is_it(&record.event)).unwrap();
    let flows = at(&|event| matches!(event, Event::Injected(Injected::Flows)));
    let handed = at(
        &|event| matches!(event, Event::Publish { direction: Direction::ToClient, publish } if &*publish.topic == "t"),
    );
    assert!(handed > flows, "it is recorded when it passes");
}

#[tokio::test]
async fn a_client_that_gives_a_half_open_connection_up_takes_its_session_along() {
    let bench = Bench::start().await;
    let address = bench.address();
    bench.broker.inject(Some(Arc::new(OnT)));
    let mut own = Wire::v4(address, "own").await;
    let mut module = Wire::connected(address, &connect4("module", 0, 0)).await;
    module.subscribe4("t", 1).await;
    bench.broker.stall();
    say(&mut own, "t", "missed").await;
    let mut again = Wire::open(address).await;
    again.send(&connect4("module", 0, 0)).await;
    again.expect(&[0x20, 2, 1, 0]).await;
    again.expect(&publish4(2, "t", 1, "missed")).await;
    bench.broker.lift_faults();
    again.expect_silence().await;
    bench.stop().await;
}

#[tokio::test]
async fn before_another_broker_messages_pass_and_connections_are_befallen() {
    let upstream = Bench::start().await;
    let mut bench = Bench::with(relay_to(upstream.address())).await;
    bench.broker.inject(Some(Arc::new(OnT)));
    let drop = Rule { effect: Effect::Drop, most: None, probability: 1.0, seed: 0 };
    assert_eq!(bench.broker.add_fault(drop), None);
    let mut own = Wire::v4(bench.address(), "own").await;
    let mut module = Wire::v4(bench.address(), "module").await;
    module.subscribe4("t", 0).await;
    bench.broker.stall();
    own.send(&packet(0x30, &[&[0, 1], b"t", b"1"])).await;
    own.expect_silence().await;
    let silence = tokio::time::timeout(Duration::from_millis(300), module.stream.readable()).await;
    assert!(silence.is_err(), "nothing comes");
    bench.broker.lift_faults();
    module.expect(&publish4(0, "t", 0, "1")).await;
    bench.broker.go_away().await;
    assert_eq!(module.next().await, None);
    assert_eq!(bench.disconnected("module").await, "broker down");
    own.expect_silence().await;
    bench.broker.come_back().await.unwrap();
    bench.broker.refuse_connects(ConnectRefusal::ServerUnavailable, Some(1));
    let mut module = Wire::open(bench.address()).await;
    module.send(&connect4("module", 2, 0)).await;
    assert_eq!(module.rest().await, [vec![0x20, 2, 0, 3]]);
    Wire::v4(bench.address(), "module").await;
    bench.stop().await;
    upstream.stop().await;
}

//! The broker on the wire: versions, QoS, retained messages, filters, refusals.

use khumbu::broker::{Config, Credentials, PacketLimit};
use khumbu::transcript::record::{Direction, Event};

use crate::broker_wire::{Bench, Wire, connect4, connect5, packet, publish4, publish5, publishes, text};

#[tokio::test]
async fn speaks_both_versions_on_one_port() {
    let bench = Bench::start().await;
    let mut four = Wire::v4(bench.address(), "four").await;
    let mut five = Wire::v5(bench.address(), "five").await;
    four.subscribe4("a/+", 0).await;
    five.subscribe5("a/#", 0, &[]).await;
    // A user property passes to MQTT 5 and is left out for 3.1.1.
    let property = [&[0x26][..], &text("k"), &text("v")].concat();
    five.send(&publish5(0, "a/b", 0, &property, "x")).await;
    four.expect(&publish4(0, "a/b", 0, "x")).await;
    five.expect(&publish5(0, "a/b", 0, &property, "x")).await;
    four.send(&publish4(0, "a/c", 0, "y")).await;
    five.expect(&publish5(0, "a/c", 0, &[], "y")).await;
    four.expect(&publish4(0, "a/c", 0, "y")).await;
    bench.stop().await;
}

#[tokio::test]
async fn delivers_with_the_lower_qos() {
    let bench = Bench::start().await;
    let mut publisher = Wire::v4(bench.address(), "publisher").await;
    for granted in 0..3 {
        let mut subscriber = Wire::v4(bench.address(), "subscriber").await;
        subscriber.subscribe4("t", granted).await;
        for sent in 0..3_u8 {
            publisher.send(&publish4(sent << 1, "t", 9, "x")).await;
            match sent {
                1 => publisher.expect(&[0x40, 2, 0, 9]).await,
                2 => {
                    publisher.expect(&[0x50, 2, 0, 9]).await;
                    publisher.send(&[0x62, 2, 0, 9]).await;
                    publisher.expect(&[0x70, 2, 0, 9]).await;
                }
                _ => {}
            }
            let got = subscriber.packet().await;
            assert_eq!((got[0] >> 1) & 3, sent.min(granted), "published with {sent}, granted {granted}");
        }
    }
    bench.stop().await;
}

#[tokio::test]
async fn takes_a_qos_2_message_once_however_often_it_is_sent() {
    let mut bench = Bench::start().await;
    let mut publisher = Wire::v4(bench.address(), "publisher").await;
    let mut subscriber = Wire::v4(bench.address(), "subscriber").await;
    subscriber.subscribe4("t", 2).await;
    publisher.send(&publish4(4, "t", 7, "x")).await;
    publisher.expect(&[0x50, 2, 0, 7]).await;
    publisher.send(&publish4(4 | 8, "t", 7, "x")).await;
    publisher.expect(&[0x50, 2, 0, 7]).await;
    publisher.send(&[0x62, 2, 0, 7]).await;
    publisher.expect(&[0x70, 2, 0, 7]).await;
    // Released, the identifier may be used for another message.
    publisher.send(&publish4(4, "t", 7, "y")).await;
    publisher.expect(&[0x50, 2, 0, 7]).await;
    publisher.send(&[0x62, 2, 0, 7]).await;
    publisher.expect(&[0x70, 2, 0, 7]).await;

    subscriber.expect(&publish4(4, "t", 1, "x")).await;
    subscriber.expect(&publish4(4, "t", 2, "y")).await;
    for pkid in [1, 2] {
        subscriber.send(&[0x50, 2, 0, pkid]).await;
        subscriber.expect(&[0x62, 2, 0, pkid]).await;
        subscriber.send(&[0x70, 2, 0, pkid]).await;
    }
    subscriber.expect_silence().await;
    bench
        .wait("the last PUBCOMP", |record| {
            matches!(record.event, Event::Packet { direction: Direction::FromClient, kind: "PUBCOMP", pkid: 2 })
        })
        .await;
    bench.stop().await;
}

#[tokio::test]
async fn sends_one_copy_where_filters_overlap_and_all_their_identifiers() {
    let bench = Bench::start().await;
    let mut four = Wire::v4(bench.address(), "four").await;
    for (filter, qos) in [("a/#", 0), ("a/+", 1), ("a/b", 0)] {
        four.subscribe4(filter, qos).await;
    }
    let mut five = Wire::v5(bench.address(), "five").await;
    five.subscribe5("a/#", 1, &[0x0b, 7]).await;
    five.subscribe5("a/b", 0, &[0x0b, 0x80, 1]).await;
    let mut publisher = Wire::v4(bench.address(), "publisher").await;
    publisher.send(&publish4(2, "a/b", 1, "x")).await;
    four.expect(&publish4(2, "a/b", 1, "x")).await;
    let got = five.packet().await;
    let ids = |first: &[u8], second: &[u8]| publish5(2, "a/b", 1, &[first, second].concat(), "x");
    let (seven, many) = (&[0x0b, 7][..], &[0x0b, 0x80, 1][..]);
    assert!(got == ids(seven, many) || got == ids(many, seven), "{got:x?}");
    four.expect_silence().await;
    five.expect_silence().await;
    bench.stop().await;
}

#[tokio::test]
async fn keeps_retained_messages() {
    let bench = Bench::start().await;
    let mut publisher = Wire::v4(bench.address(), "publisher").await;
    let mut live = Wire::v4(bench.address(), "live").await;
    live.subscribe4("r/#", 1).await;
    for (flags, topic, payload) in [(1, "r/a", "1"), (1, "r/b", "2"), (1, "r/a", "3"), (1, "r/b", ""), (0, "r/a", "")] {
        publisher.send(&publish4(flags, topic, 0, payload)).await;
        // Live messages do not carry the flag (MQTT-3.3.1-9).
        live.expect(&publish4(0, topic, 0, payload)).await;
    }
    // The empty one that was not retained deletes nothing.
    let mut late = Wire::v4(bench.address(), "late").await;
    late.subscribe4("r/+", 1).await;
    late.expect(&publish4(1, "r/a", 0, "3")).await;
    // Subscribing again sends it again.
    late.subscribe4("r/+", 1).await;
    late.expect(&publish4(1, "r/a", 0, "3")).await;
    late.expect_silence().await;
    bench.stop().await;
}

#[tokio::test]
async fn sends_every_retained_message_however_many() {
    const MANY: usize = 5_000;
    let bench = Bench::with(Config { queue_limit: 100, inflight: 10, ..Config::default() }).await;
    let mut publisher = Wire::v4(bench.address(), "publisher").await;
    for number in 0..MANY {
        publisher.send(&publish4(3, &format!("r/{number:05}"), 1, "x")).await;
        publisher.expect(&[0x40, 2, 0, 1]).await;
    }
    let mut late = Wire::v4(bench.address(), "late").await;
    late.subscribe4("r/#", 1).await;
    for number in 0..MANY {
        let got = late.packet().await;
        assert_eq!(&got[4..11], format!("r/{number:05}").as_bytes());
        let pkid = [got[11], got[12]];
        late.send(&[&[0x40, 2][..], &pkid].concat()).await;
    }
    let records = bench.stop().await;
    assert!(!records.iter().any(|record| matches!(record.event, Event::Overflow { .. })));
}

#[tokio::test]
async fn obeys_the_subscription_options_of_mqtt_5() {
    let bench = Bench::start().await;
    let mut client = Wire::v5(bench.address(), "client").await;
    client.send(&publish5(1, "r", 0, &[], "old")).await;
    // Retain handling 2: never; 1: for a new subscription only; 0: always.
    client.subscribe5("r", 0x20, &[]).await;
    client.expect_silence().await;
    client.subscribe5("r", 0x10, &[]).await;
    client.expect_silence().await;
    client.subscribe5("r", 0x00, &[]).await;
    client.expect(&publish5(1, "r", 0, &[], "old")).await;
    client.send(&packet(0xa2, &[&[0, 5, 0], &text("r")])).await;
    client.expect(&[0xb0, 4, 0, 5, 0, 0]).await;
    client.subscribe5("r", 0x10, &[]).await;
    client.expect(&publish5(1, "r", 0, &[], "old")).await;
    // Retain as published keeps the flag of live messages.
    client.subscribe5("r", 0x28, &[]).await;
    client.send(&publish5(1, "r", 0, &[], "new")).await;
    client.expect(&publish5(1, "r", 0, &[], "new")).await;
    // No-local keeps one's own messages away, and nobody else's.
    client.subscribe5("r", 0x24, &[]).await;
    client.send(&publish5(0, "r", 0, &[], "own")).await;
    client.expect_silence().await;
    let mut other = Wire::v5(bench.address(), "other").await;
    other.send(&publish5(0, "r", 0, &[], "other")).await;
    client.expect(&publish5(0, "r", 0, &[], "other")).await;
    bench.stop().await;
}

#[tokio::test]
async fn resolves_topic_aliases() {
    let mut bench = Bench::start().await;
    let mut subscriber = Wire::v4(bench.address(), "subscriber").await;
    subscriber.subscribe4("a/b", 0).await;
    let mut client = Wire::v5(bench.address(), "client").await;
    client.send(&publish5(0, "a/b", 0, &[0x23, 0, 1], "1")).await;
    client.send(&publish5(0, "", 0, &[0x23, 0, 1], "2")).await;
    subscriber.expect(&publish4(0, "a/b", 0, "1")).await;
    subscriber.expect(&publish4(0, "a/b", 0, "2")).await;
    client.send(&publish5(0, "", 0, &[0x23, 0, 2], "3")).await;
    assert_eq!(bench.disconnected("client").await, "PUBLISH: topic alias 2 was never given a topic");
    let mut client = Wire::v5(bench.address(), "client").await;
    client.send(&publish5(0, "a/b", 0, &[0x23, 1, 0], "4")).await;
    assert_eq!(bench.disconnected("client").await, "PUBLISH: topic alias 256 is larger than 64");
    assert_eq!(client.packet().await[2], 0x94);
    bench.stop().await;
}

#[tokio::test]
async fn passes_the_properties_of_a_publication_on() {
    let bench = Bench::start().await;
    let mut subscriber = Wire::v5(bench.address(), "subscriber").await;
    subscriber.subscribe5("t", 0, &[]).await;
    let mut publisher = Wire::v5(bench.address(), "publisher").await;
    let properties = [
        &[0x01, 1][..],
        &[0x02, 0, 0, 0, 60],
        &[0x08],
        &text("reply/to"),
        &[0x09],
        &text([0, 255, 7]),
        &[0x26],
        &text("k"),
        &text("v1"),
        &[0x26],
        &text("k"),
        &text("v2"),
        &[0x03],
        &text("application/json"),
    ]
    .concat();
    publisher.send(&publish5(0, "t", 0, &properties, "{}")).await;
    subscriber.expect(&publish5(0, "t", 0, &properties, "{}")).await;
    bench.stop().await;
}

#[tokio::test]
async fn keeps_one_order_for_a_client_across_topics_subscriptions_and_qos() {
    const COUNT: usize = 2_000;
    let bench = Bench::start().await;
    let mut subscriber = Wire::v4(bench.address(), "subscriber").await;
    for topic in 0..10 {
        subscriber.subscribe4(&format!("o/{topic}"), (topic % 3) as u8).await;
    }
    let mut publisher = Wire::v4(bench.address(), "publisher").await;
    let sender = tokio::spawn(async move {
        for number in 0..COUNT {
            let flags = if number % 2 == 0 { 0 } else { 2 };
            publisher.send(&publish4(flags, &format!("o/{}", number % 10), 1, number.to_string())).await;
            if flags == 2 {
                publisher.expect(&[0x40, 2, 0, 1]).await;
            }
        }
        publisher
    });
    for number in 0..COUNT {
        let got = subscriber.packet().await;
        let pkid = if got[0] & 6 == 0 { &[][..] } else { &got[7..9] };
        assert_eq!(&got[7 + pkid.len()..], number.to_string().as_bytes());
        if !pkid.is_empty() {
            subscriber.send(&[&[0x40, 2][..], pkid].concat()).await;
        }
    }
    drop(sender.await.unwrap());
    let records = bench.stop().await;
    let deliveries = publishes(&records, Direction::ToClient);
    let numbers: Vec<_> = deliveries.iter().map(|(_, p)| String::from_utf8_lossy(&p.payload).into_owned()).collect();
    assert_eq!(numbers, (0..COUNT).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn records_causes_before_effects() {
    let bench = Bench::start().await;
    let mut one = Wire::v4(bench.address(), "one").await;
    one.subscribe4("t", 1).await;
    let mut two = Wire::v4(bench.address(), "two").await;
    two.send(&publish4(2 | 1, "t", 3, "x")).await;
    two.expect(&[0x40, 2, 0, 3]).await;
    one.expect(&publish4(2, "t", 1, "x")).await;
    one.send(&[0x40, 2, 0, 1]).await;
    one.send(&[0xe0, 0]).await;
    assert_eq!(one.next().await, None);
    let records = bench.stop().await;
    let lines: Vec<_> = records
        .iter()
        .filter(|record| matches!(&*record.client, "one" | "two"))
        .map(|record| match &record.event {
            Event::Connected { protocol, .. } => format!("{} connected {protocol}", record.client),
            Event::Subscribed { filter, qos } => format!("{} subscribed {filter} {qos}", record.client),
            Event::Packet { direction, kind, pkid } => format!("{} {direction:?} {kind} {pkid}", record.client),
            Event::Publish { direction, publish: p } => {
                let flags = format!("q{} r{} d{} #{}", p.qos, p.retain, p.dup, p.pkid);
                format!("{} {direction:?} PUBLISH {} {flags}", record.client, p.topic)
            }
            Event::Disconnected { cause, clean } => format!("{} disconnected {cause} {clean}", record.client),
            other => format!("{} {other:?}", record.client),
        })
        .collect();
    assert_eq!(
        lines,
        [
            "one connected 4",
            "one FromClient SUBSCRIBE 1",
            "one ToClient SUBACK 1",
            "one subscribed t 1",
            "two connected 4",
            "two FromClient PUBLISH t q1 rtrue dfalse #3",
            "one ToClient PUBLISH t q1 rfalse dfalse #1",
            "two ToClient PUBACK 3",
            "one FromClient PUBACK 1",
            "one FromClient DISCONNECT 0",
            "one disconnected DISCONNECT true",
            "two disconnected broker stopped false",
        ]
    );
}

#[tokio::test]
async fn refuses_with_the_proper_answer_and_says_why() {
    let mut bench = Bench::with(Config {
        credentials: Some(Credentials { username: "u".to_owned(), password: "p".to_owned() }),
        ..Config::default()
    })
    .await;
    let address = bench.address();
    let named = |level: u8, secret: &[u8]| {
        let properties: &[u8] = if level == 5 { &[0] } else { &[] };
        let tail = [&[0xc2, 0, 0][..], properties, &text("c"), &text("u"), &text(secret)].concat();
        packet(0x10, &[b"\0\x04MQTT", &[level], &tail])
    };
    let cases: &[(&str, Vec<u8>, &[u8], &str)] = &[
        (
            "MQTT 3.1",
            packet(0x10, &[b"\0\x06MQIsdp\x03\x02\0\0", &text("c")]),
            &[0x20, 2, 0, 1],
            "protocol level MQTT 3.1 is not spoken here; MQTT 3.1.1 (4) and MQTT 5 (5) are",
        ),
        (
            "level 6",
            packet(0x10, &[b"\0\x04MQTT\x06\x02\0\0\0", &text("c")]),
            &[0x20, 3, 0, 0x84, 0],
            "protocol level 0x06 is not spoken here; MQTT 3.1.1 (4) and MQTT 5 (5) are",
        ),
        (
            "a mosquitto bridge",
            packet(0x10, &[b"\0\x04MQTT\x84\x02\0\0", &text("c")]),
            &[0x20, 2, 0, 1],
            "protocol level 0x84 is not spoken here; MQTT 3.1.1 (4) and MQTT 5 (5) are",
        ),
        ("wrong password, 4", named(4, b"x"), &[0x20, 2, 0, 4], "client `c` has a wrong user name or password"),
        (
            "binary password, 5",
            named(5, &[255]),
            &[0x20, 3, 0, 0x86, 0],
            "client `c` has a wrong user name or password",
        ),
        ("no user name", connect4("c", 2, 0), &[0x20, 2, 0, 4], "client `c` has a wrong user name or password"),
        ("reserved flag", connect4("c", 3, 0), &[], "CONNECT: the reserved connect flag is set"),
        (
            "broken MQTT 5",
            connect5("c", 2, 0, &[0x21, 0, 0]),
            &[0x20, 3, 0, 0x82, 0],
            "CONNECT: the receive maximum is 0",
        ),
        (
            "authentication",
            packet(0x10, &[b"\0\x04MQTT\x05\x02\0\0\x06\x15", &text("SCR"), &text("c")]),
            &[0x20, 3, 0, 0x8c, 0],
            "client `c` wants authentication method `SCR`",
        ),
        (
            "other protocol",
            packet(0x10, &[b"\0\x04AMQP\x04\x02\0\0", &text("c")]),
            &[],
            "CONNECT: protocol name `AMQP` is not `MQTT`",
        ),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), &[], "no CONNECT: first byte 0x47"),
        ("no CONNECT", vec![0xc0, 0], &[], "no CONNECT: first byte 0xc0"),
    ];
    for (case, sent, answer, why) in cases {
        let mut wire = Wire::open(address).await;
        wire.send(sent).await;
        assert_eq!(bench.refused().await, *why, "{case}");
        let got = wire.rest().await;
        assert_eq!(got.concat(), *answer, "{case}");
    }
    // The right ones are let in.
    drop(Wire::connected(address, &named(4, b"p")).await);
    drop(Wire::connected(address, &named(5, b"p")).await);
    bench.stop().await;
}

#[tokio::test]
async fn handles_empty_client_identifiers() {
    let mut bench = Bench::start().await;
    let mut wire = Wire::open(bench.address()).await;
    wire.send(&connect4("", 0, 0)).await;
    wire.expect(&[0x20, 2, 0, 2]).await;
    assert_eq!(bench.refused().await, "empty client identifier without clean session");
    let one = Wire::connected(bench.address(), &connect4("", 2, 0)).await;
    let mut five = Wire::open(bench.address()).await;
    five.send(&connect5("", 2, 0, &[])).await;
    let connack = five.packet().await;
    let id = [&[0x12][..], &text("auto-2")].concat();
    assert!(connack.windows(id.len()).any(|window| window == id), "the assigned identifier is told: {connack:x?}");
    bench.wait("both", |record| &*record.client == "auto-2").await;
    drop(one);
    bench.stop().await;
}

#[tokio::test]
async fn disconnects_what_breaks_the_rules_and_says_why() {
    let mut bench = Bench::with(Config { max_packet: PacketLimit(1000), ..Config::default() }).await;
    let subscribe = |filter: &str, options: u8| packet(0x82, &[&[0, 1], &text(filter), &[options]]);
    let bad_topic = |topic: &[u8]| packet(0x30, &[&text(topic), b"x"]);
    let cases: Vec<(Vec<u8>, u8, &str)> = vec![
        (subscribe("a/#/b", 0), 0x81, "SUBSCRIBE: filter `a/#/b` has `#` before its last level"),
        (subscribe("a+", 0), 0x81, "SUBSCRIBE: filter `a+` has a wildcard that is not a whole level: `a+`"),
        (subscribe("", 0), 0x81, "SUBSCRIBE: filter is empty"),
        (subscribe("a", 3), 0x81, "SUBSCRIBE: subscription options 0x03"),
        (vec![0x82, 2, 0, 1], 0x82, "SUBSCRIBE without a filter"),
        (packet(0x82, &[&[0, 0], &text("a"), &[0]]), 0x82, "SUBSCRIBE: the packet identifier is 0"),
        (packet(0x80, &[&[0, 1], &text("a"), &[0]]), 0x81, "SUBSCRIBE with reserved flags 0x0"),
        (packet(0xa2, &[&[0, 1], &text("a/#/b")]), 0x81, "UNSUBSCRIBE: filter `a/#/b` has `#` before its last level"),
        (bad_topic(b"a/+"), 0x81, "PUBLISH: topic `a/+` contains the wildcard `+`"),
        (bad_topic(b"#"), 0x81, "PUBLISH: topic `#` contains the wildcard `#`"),
        (bad_topic(b"a\0b"), 0x81, "PUBLISH: the topic contains U+0000 at byte 1"),
        (bad_topic(b"ab\xff"), 0x81, "PUBLISH: the topic is not UTF-8 at byte 2"),
        (bad_topic(b"\xed\xa0\x80"), 0x81, "PUBLISH: the topic is not UTF-8 at byte 0"),
        (bad_topic(b""), 0x81, "PUBLISH: topic is empty"),
        (packet(0x36, &[&text("a"), &[0, 1]]), 0x81, "PUBLISH: QoS 3"),
        (packet(0x38, &[&text("a")]), 0x81, "PUBLISH: DUP with QoS 0"),
        (packet(0x32, &[&text("a"), &[0, 0]]), 0x82, "PUBLISH: the packet identifier is 0"),
        (vec![0x30, 1, 0], 0x81, "PUBLISH: ends within the topic"),
        (publish4(0, "a", 0, [b'x'; 1000]), 0x95, "PUBLISH of 1006 bytes is larger than the limit of 1000 bytes"),
        (connect4("again", 2, 0), 0x82, "a second CONNECT"),
        (vec![0x20, 2, 0, 0], 0x82, "CONNACK is not for clients to send"),
        (vec![0x40, 1, 0], 0x81, "PUBACK: ends within the packet identifier"),
        (vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x7f], 0x81, "PUBLISH with a remaining length of more than 4 bytes"),
        (vec![0xf0, 0], 0x82, "AUTH without an authentication method in CONNECT"),
    ];
    for (bytes, _, why) in &cases {
        let mut client = Wire::v4(bench.address(), "client").await;
        client.send(bytes).await;
        assert_eq!(bench.disconnected("client").await, *why);
        assert_eq!(client.rest().await, Vec::<Vec<u8>>::new(), "3.1.1 has no word for it");
    }
    // MQTT 5 is told the reason; of the bodies above these are the same in both versions.
    for at in [12, 14, 15, 16, 17, 19, 20, 21, 22, 23] {
        let (bytes, reason, why) = &cases[at];
        let mut client = Wire::v5(bench.address(), "client").await;
        client.send(bytes).await;
        assert_eq!(bench.disconnected("client").await, *why);
        let got = client.rest().await;
        assert_eq!((got.len(), got[0][0], got[0][2]), (1, 0xe0, *reason), "{why}");
        assert!(got[0].windows(why.len()).any(|window| window == why.as_bytes()), "the reason string says so too");
    }
    bench.stop().await;
}

#[tokio::test]
async fn answers_what_is_unknown() {
    let bench = Bench::start().await;
    let mut four = Wire::v4(bench.address(), "four").await;
    four.send(&packet(0xa2, &[&[0, 7], &text("never/subscribed")])).await;
    four.expect(&[0xb0, 2, 0, 7]).await;
    four.send(&[0x62, 2, 0, 8]).await;
    four.expect(&[0x70, 2, 0, 8]).await;
    four.send(&[0x40, 2, 0, 9]).await;
    four.subscribe4("$SYS/#", 0).await;
    four.expect_silence().await;
    let mut five = Wire::v5(bench.address(), "five").await;
    five.send(&packet(0xa2, &[&[0, 7, 0], &text("never/subscribed")])).await;
    five.expect(&[0xb0, 4, 0, 7, 0, 0x11]).await;
    five.send(&[0x62, 2, 0, 8]).await;
    five.expect(&[0x70, 4, 0, 8, 0x92, 0]).await;
    five.send(&[0x50, 2, 0, 9]).await;
    five.expect(&[0x62, 4, 0, 9, 0x92, 0]).await;
    bench.stop().await;
}

#[tokio::test]
async fn shares_subscriptions_among_a_group() {
    let bench = Bench::start().await;
    let mut members = [Wire::v5(bench.address(), "m0").await, Wire::v5(bench.address(), "m1").await];
    for member in &mut members {
        member.subscribe5("$share/g/t", 1, &[]).await;
    }
    let mut alone = Wire::v4(bench.address(), "alone").await;
    alone.subscribe4("$share/h/t", 0).await;
    let mut publisher = Wire::v4(bench.address(), "publisher").await;
    for number in 0..4 {
        publisher.send(&publish4(0, "t", 0, number.to_string())).await;
        members[number % 2].expect(&publish5(0, "t", 0, &[], number.to_string())).await;
        alone.expect(&publish4(0, "t", 0, number.to_string())).await;
    }
    bench.stop().await;
}

//! The broker with clients that nobody here wrote: paho-mqtt, MQTT.js, mosquitto's tools, rumqttc.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use khumbu::transcript::record::{Direction, Event};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::broker_wire::{Bench, PATIENCE, publishes};
use crate::clients;

/// Interpreters start slowly on a busy machine.
const LONG: Duration = Duration::from_secs(60);

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/clients").join(name)
}

/// A driver's command, if the client is there.
fn driver(name: &str) -> Option<Command> {
    let mut command = match name {
        "paho" => {
            let mut command = Command::new(clients::python()?);
            command.arg(fixture("drive_paho.py"));
            command
        }
        _ => {
            let (node, folder) = clients::node()?;
            let mut command = Command::new(node);
            command.arg(fixture("drive_mqttjs.cjs")).current_dir(folder);
            command
        }
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Some(command)
}

async fn exercise(name: &str, version: &str) {
    let Some(mut command) = driver(name) else { return };
    let bench = Bench::start().await;
    command.args(["exercise", &bench.address().port().to_string(), version]);
    let output = timeout(LONG, command.spawn().unwrap().wait_with_output()).await.unwrap().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), "ok", "{errors}");
    let records = bench.stop().await;
    for record in &records {
        match &record.event {
            Event::Connected { protocol, .. } => assert_eq!(protocol.to_string(), version),
            Event::Overflow { .. } | Event::Refused { .. } => panic!("{record:?}"),
            _ => {}
        }
    }
    // What the broker says it delivered is what the driver says it got.
    let numbered = |direction, client: &str| {
        publishes(&records, direction)
            .into_iter()
            .filter(|(who, p)| &**who == client && p.topic.starts_with("t/"))
            .count()
    };
    assert!(numbered(Direction::ToClient, "subscriber") >= 304);
    assert!(numbered(Direction::FromClient, "publisher") >= 304);
}

#[tokio::test]
async fn serves_paho_3_1_1() {
    exercise("paho", "4").await;
}

#[tokio::test]
async fn serves_paho_5() {
    exercise("paho", "5").await;
}

#[tokio::test]
async fn serves_mqttjs_3_1_1() {
    exercise("mqttjs", "4").await;
}

#[tokio::test]
async fn serves_mqttjs_5() {
    exercise("mqttjs", "5").await;
}

/// Waits for a line of a driver.
async fn expect_line(lines: &mut tokio::io::Lines<BufReader<tokio::process::ChildStdout>>, expected: &str) {
    let line = timeout(LONG, lines.next_line()).await.unwrap().unwrap();
    assert_eq!(line.as_deref(), Some(expected));
}

#[tokio::test]
async fn every_client_sees_the_broker_go_and_come_back() {
    for name in ["paho", "mqttjs"] {
        for version in ["4", "5"] {
            let Some(mut command) = driver(name) else { continue };
            let bench = Bench::start().await;
            let mut child = command.args(["watch", &bench.address().port().to_string(), version]).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            expect_line(&mut lines, "connected").await;
            bench.broker.suspend().await;
            expect_line(&mut lines, "lost").await;
            bench.broker.resume().await.unwrap();
            expect_line_after_retries(&mut lines).await;
            assert!(bench.broker.disconnect("watch"));
            expect_line(&mut lines, "lost").await;
            child.kill().await.unwrap();
            bench.stop().await;
        }
    }
}

/// Waits for `connected`; attempts before the broker was back may have failed with `lost`.
async fn expect_line_after_retries(lines: &mut tokio::io::Lines<BufReader<tokio::process::ChildStdout>>) {
    loop {
        let line = timeout(LONG, lines.next_line()).await.unwrap().unwrap();
        match line.as_deref() {
            Some("lost") => {}
            line => return assert_eq!(line, Some("connected")),
        }
    }
}

/// Starts `mosquitto_sub` and waits until it has subscribed.
async fn mosquitto_sub(bench: &mut Bench, arguments: &[&str]) -> Option<Child> {
    let mut command = Command::new(clients::mosquitto("mosquitto_sub")?);
    command.args(["-p", &bench.address().port().to_string()]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().unwrap();
    bench.wait("a subscription", |record| matches!(record.event, Event::Subscribed { .. })).await;
    Some(child)
}

/// Starts `mosquitto_pub` with something to publish, line by line. Nobody waits for its end: at QoS 0 it may hang once it
/// has sent everything (eclipse-mosquitto/mosquitto#1448).
async fn mosquitto_pub(bench: &Bench, arguments: &[&str], lines: &str) -> Option<Child> {
    let mut command = Command::new(clients::mosquitto("mosquitto_pub")?);
    command.args(["-p", &bench.address().port().to_string(), "-l"]).args(arguments);
    let mut child = command.stdin(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).await.unwrap();
    drop(input);
    Some(child)
}

#[tokio::test]
async fn serves_mosquitto_tools_in_both_versions_and_every_qos() {
    for subscriber in ["mqttv311", "mqttv5"] {
        for publisher in ["mqttv311", "mqttv5"] {
            for qos in ["0", "1", "2"] {
                let mut bench = Bench::start().await;
                let lines: String = (0..100).map(|number| format!("{number}\n")).collect();
                let wanted = ["-V", subscriber, "-q", qos, "-t", "a/#", "-C", "100"];
                let Some(child) = mosquitto_sub(&mut bench, &wanted).await else { return };
                let sent = ["-V", publisher, "-q", qos, "-t", "a/b"];
                let Some(_publisher) = mosquitto_pub(&bench, &sent, &lines).await else { return };
                let output = timeout(LONG, child.wait_with_output()).await.unwrap().unwrap();
                assert_eq!(String::from_utf8_lossy(&output.stdout), lines, "{subscriber} {publisher} {qos}");
                bench.stop().await;
            }
        }
    }
}

#[tokio::test]
async fn refuses_mqtt_3_1_so_that_mosquitto_tools_say_so() {
    let Some(tool) = clients::mosquitto("mosquitto_pub") else { return };
    let mut bench = Bench::start().await;
    let port = bench.address().port().to_string();
    let mut command = Command::new(tool);
    command.args(["-p", &port, "-V", "mqttv31", "-t", "a", "-m", "x"]).kill_on_drop(true);
    let output = timeout(LONG, command.output()).await.unwrap().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("unacceptable protocol version"), "{said}");
    assert!(bench.refused().await.contains("MQTT 3.1 "));
    bench.stop().await;
}

/// Each third message has QoS 2 and comes when it is released; the others come in order, and these as well.
fn assert_in_order(got: &[bytes::Bytes]) {
    let numbers: Vec<u32> = got.iter().map(|payload| std::str::from_utf8(payload).unwrap().parse().unwrap()).collect();
    for exactly_once in [false, true] {
        let those = |number: &u32| (number % 3 == 2) == exactly_once;
        let in_order: Vec<_> = (0..30).filter(those).collect();
        assert_eq!(numbers.iter().copied().filter(those).collect::<Vec<_>>(), in_order);
    }
}

#[tokio::test]
async fn serves_rumqttc_3_1_1() {
    use rumqttc::{AsyncClient, Event as Seen, Incoming, MqttOptions, NetworkOptions, QoS};

    let bench = Bench::start().await;
    let mut options = MqttOptions::new("rumqttc", "127.0.0.1", bench.address().port());
    options.set_max_packet_size(1 << 20, 1 << 20);
    let (client, mut events) = AsyncClient::new(options, 100);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    client.subscribe("t/#", QoS::ExactlyOnce).await.unwrap();
    for (number, qos) in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce].into_iter().cycle().take(30).enumerate()
    {
        client.publish("t/x", qos, false, number.to_string()).await.unwrap();
    }
    let mut got = Vec::new();
    let done = timeout(PATIENCE, async {
        let mut released = 0;
        while got.len() < 30 || released < 10 {
            match events.poll().await.unwrap() {
                Seen::Incoming(Incoming::Publish(publish)) => got.push(publish.payload),
                Seen::Incoming(Incoming::PubRel(_)) => released += 1,
                _ => {}
            }
        }
    });
    done.await.unwrap();
    assert_in_order(&got);
    bench.stop().await;
}

#[tokio::test]
async fn serves_rumqttc_5() {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::PublishProperties;
    use rumqttc::v5::{AsyncClient, Event as Seen, Incoming, MqttOptions};

    let bench = Bench::start().await;
    let mut options = MqttOptions::new("rumqttc", "127.0.0.1", bench.address().port());
    options.set_clean_start(true);
    let (client, mut events) = AsyncClient::new(options, 100);
    client.subscribe("t/#", QoS::ExactlyOnce).await.unwrap();
    let user_properties = vec![("k".to_owned(), "v".to_owned())];
    for (number, qos) in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce].into_iter().cycle().take(30).enumerate()
    {
        let properties = PublishProperties { user_properties: user_properties.clone(), ..Default::default() };
        client.publish_with_properties("t/x", qos, false, number.to_string(), properties).await.unwrap();
    }
    let mut got = Vec::new();
    let done = timeout(PATIENCE, async {
        while got.len() < 30 {
            if let Seen::Incoming(Incoming::Publish(publish)) = events.poll().await.unwrap() {
                assert_eq!(publish.properties.unwrap().user_properties, user_properties);
                got.push(publish.payload);
            }
        }
    });
    done.await.unwrap();
    assert_in_order(&got);
    bench.stop().await;
}

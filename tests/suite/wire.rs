//! The form of what khumbu sends: as EVerest's by default, in others of the same meaning on request, and nobody who reads
//! JSON as JSON notices.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use khumbu::protocol::channel::{ApiType, Channel, Topics};
use khumbu::protocol::codec;
use khumbu::protocol::wire::{Form, Wire};
use khumbu::sim::bugs::edge::Edge;
use khumbu::sim::client::Client;
use khumbu::sim::everest::{Everest, Order};
use khumbu::sim::link::{Link, LinkError};
use khumbu::station::config::{ApiConfig, ProviderConfig, StationConfig, TokenConfig, ValidatorConfig};
use khumbu::transcript::record::{Direction, Event, Record};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::broker_wire::{Bench, publishes};
use crate::project::{FAIL, PASS, Project, WITHDRAW, fixture, python_module};

const EVEREST: &str = "everest";
const HEARTBEAT: &str = "e2m/heartbeat";
const STATUS: &str = "e2m/token_validation_status";
/// Everything that EVerest sent in a short session, byte by byte; no part of the project.
const RAW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/recordings/10_raw_text_forms.txt");

/// EVerest's side behind a broker of its own, and somebody who speaks to it.
struct Stand {
    bench: Bench,
    client: Link,
    orders: mpsc::UnboundedSender<Order>,
    _task: JoinHandle<Result<(), LinkError>>,
}

impl Stand {
    async fn with(station: StationConfig, wire: Wire) -> Self {
        let bench = Bench::start().await;
        let (address, client_id, topics) = (bench.address(), EVEREST.to_owned(), topics());
        let everest = Everest {
            address,
            client_id,
            topics,
            station,
            is_driven: false,
            tells: false,
            inside: None,
            wire,
            csms: None,
            ends: None,
            edge: Edge::default(),
        };
        let (orders, received) = mpsc::unbounded_channel();
        let (ready, is_ready) = oneshot::channel();
        let task = tokio::spawn(everest.run(received, ready));
        is_ready.await.unwrap().unwrap();
        let (client, _) = Link::open(bench.address(), "client").await.unwrap();
        Self { bench, client, orders, _task: task }
    }

    async fn say(&self, topic: &str, payload: impl Into<bytes::Bytes>) {
        self.client.publish(topic, payload, 1, false).await.unwrap();
    }

    /// The next message of EVerest that is wanted.
    async fn next(&mut self, is_wanted: impl Fn(&str, &[u8]) -> bool) -> (String, Vec<u8>) {
        let of = |record: &Record| match &record.event {
            Event::Publish { direction: Direction::FromClient, publish } if &*record.client == EVEREST => {
                Some((publish.topic.to_string(), publish.payload.to_vec()))
            }
            _ => None,
        };
        let is_it = |record: &Record| of(record).is_some_and(|(topic, payload)| is_wanted(&topic, &payload));
        of(&self.bench.wait("a message of EVerest", is_it).await).unwrap()
    }

    async fn next_on(&mut self, end: &str) -> Vec<u8> {
        self.next(|topic, _| topic.ends_with(end)).await.1
    }
}

/// The station of EVerest's recordings.
fn station() -> StationConfig {
    StationConfig {
        evses: 2,
        auth_token_provider: Some(ProviderConfig {
            module_id: "token_provider_api".to_owned(),
            cfg_communication_check_to_s: 0,
            cfg_heartbeat_interval_ms: 0,
        }),
        auth_token_validator: Some(ValidatorConfig {
            module_id: "token_validator_api".to_owned(),
            cfg_communication_check_to_s: 0,
            cfg_heartbeat_interval_ms: 0,
            cfg_request_reply_to_s: 20,
        }),
        ..StationConfig::default()
    }
}

fn topics() -> Topics {
    Topics {
        api: ApiType::AUTH_CONSUMER,
        external_prefix: String::new(),
        api_version: "1".to_owned(),
        module_id: "auth_api".to_owned(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Topic and payload of each recorded message, in order.
fn recorded(text: &str) -> Vec<(String, String)> {
    let messages = text.split_terminator("<<<\n").map(|message| {
        let (head, payload) = message.split_once(" payload=>>>").unwrap();
        let topic = head.split(' ').find_map(|word| word.strip_prefix("topic=")).unwrap();
        (topic.to_owned(), payload.trim_end_matches("<<<").to_owned())
    });
    messages.collect()
}

#[tokio::test]
async fn the_default_is_everests_byte_by_byte() {
    let Ok(raw) = std::fs::read_to_string(Path::new(RAW)) else {
        return println!("skipped: no recording {RAW}");
    };
    let messages = recorded(&raw);
    let mut stand = Stand::with(station(), Wire::Everest).await;
    let is_stimulus = |topic: &str| topic.contains("/m2e/") || topic.ends_with("/discover");
    // How many heartbeats there are is a matter of time, and the recording began after the first beacons; one is enough.
    let is_compared = |topic: &str, payload: &[u8]| {
        !is_stimulus(topic) && !topic.ends_with("/ready_beacon") && (!topic.ends_with(HEARTBEAT) || payload == b"0")
    };
    let mut rest = messages.as_slice();
    let mut compared = 0;
    while !rest.is_empty() {
        let answers = rest.iter().position(|(topic, _)| !is_stimulus(topic)).unwrap();
        let end =
            rest[answers..].iter().position(|(topic, _)| is_stimulus(topic)).map_or(rest.len(), |at| answers + at);
        for (topic, payload) in &rest[..answers] {
            stand.say(topic, payload.clone()).await;
        }
        let mut expected: Vec<_> = rest[answers..end]
            .iter()
            .filter(|(topic, payload)| is_compared(topic, payload.as_bytes()))
            .cloned()
            .collect();
        let mut sent = Vec::new();
        while sent.len() < expected.len() {
            let (topic, payload) = stand.next(is_compared).await;
            sent.push((topic, text(&payload)));
        }
        // Which module answers `discover` first is not laid down.
        expected.sort();
        sent.sort();
        assert_eq!(sent, expected);
        compared += sent.len();
        rest = &rest[end..];
    }
    let beacon = messages.iter().find(|(topic, _)| topic.ends_with("/ready_beacon")).unwrap();
    let sent = publishes(&stand.bench.seen, Direction::FromClient);
    let sent = sent.iter().find(|(_, publish)| publish.topic.ends_with("/ready_beacon")).unwrap();
    assert_eq!(text(&sent.1.payload), beacon.1);
    assert_eq!(compared, 11, "the recording has more to compare with than that, or less");
}

#[tokio::test]
async fn a_status_a_reply_and_a_question_look_as_everests() {
    let mut stand = Stand::with(StationConfig { auth_token_validator: None, ..station() }, Wire::Everest).await;
    let token = json!({"id_token": {"value": "Ü/1", "type": "ISO14443"}, "authorization_type": "RFID",
        "prevalidated": true, "connectors": [1]});
    stand.say("everest_api/1/auth_token_provider/token_provider_api/m2e/provided_token", token.to_string()).await;
    assert_eq!(
        text(&stand.next_on(STATUS).await),
        "{\n    \"messages\": [],\n    \"status\": \"Processing\",\n    \"token\": {\n        \
         \"authorization_type\": \"RFID\",\n        \"connectors\": [\n            1\n        ],\n        \
         \"id_token\": {\n            \"type\": \"ISO14443\",\n            \"value\": \"Ü/1\"\n        },\n        \
         \"prevalidated\": true\n    }\n}"
    );
    let request = r#"{"headers":{"replyTo":"my/reply"},"payload":{"evse_id":9}}"#;
    stand.say("everest_api/1/auth_consumer/auth_api/m2e/withdraw_authorization", request).await;
    assert_eq!(text(&stand.next_on("my/reply").await), "\"EvseNotFound\"");
    // A question to a token validator is in one line.
    let mut stand = Stand::with(station(), Wire::Everest).await;
    stand
        .say(
            "everest_api/1/auth_token_provider/token_provider_api/m2e/provided_token",
            r#"{"id_token":{"value":"A","type":"Local"},"authorization_type":"RFID"}"#,
        )
        .await;
    let question = text(&stand.next_on("e2m/validate_token").await);
    let reply_to = question.strip_prefix("{\"headers\":{\"replyTo\":\"").unwrap().split('"').next().unwrap();
    let rest = r#""},"payload":{"authorization_type":"RFID","id_token":{"type":"Local","value":"A"}}}"#;
    assert_eq!(question, format!("{{\"headers\":{{\"replyTo\":\"{reply_to}{rest}"));
}

#[tokio::test]
async fn every_kind_of_message_of_everests_side_takes_the_form() {
    let alice: TokenConfig = serde_json::from_value(json!({"value": "04A2F3B1", "type": "ISO14443"})).unwrap();
    for form in [Wire::Compact, Wire::Reordered, Wire::ExtraFields, Wire::Escaped, Wire::Spaced] {
        let mut stand = Stand::with(station(), form).await;
        let check = |what: &str, bytes: &[u8]| {
            let seen = Form::recognised(bytes).map(Form::name);
            // What can look no different in this form does not.
            let plain: Value = serde_json::from_slice(bytes).unwrap();
            let is_alike = !plain.is_object() && [Wire::Compact, Wire::Reordered, Wire::ExtraFields].contains(&form);
            let expected = if is_alike { "everest" } else { form.name() };
            assert_eq!(seen, Some(expected), "{what}: {}", text(bytes));
        };
        let (answer, done) = oneshot::channel();
        stand.orders.send(Order::Command(Box::new(alice.to_command()), answer)).unwrap();
        done.await.unwrap();
        for what in [STATUS, "e2m/validate_token"] {
            let bytes = stand.next_on(what).await;
            check(what, &bytes);
        }
        stand.say("everest_api/discover", r#"{"headers":{"replyTo":"my/discovery"}}"#).await;
        let bytes = stand.next_on("my/discovery").await;
        check("discovery", &bytes);
        let request = r#"{"headers":{"replyTo":"my/withdraw"},"payload":{"evse_id":9}}"#;
        stand.say("everest_api/1/auth_consumer/auth_api/m2e/withdraw_authorization", request).await;
        let bytes = stand.next_on("my/withdraw").await;
        check("reply", &bytes);
        // What a scenario publishes is sent as it is written there.
        let written = codec::encode(&json!({"status": "Accepted"}));
        let (topic, payload) = ("as/written".to_owned(), written.clone());
        stand.orders.send(Order::Publish { topic, payload, qos: 0, retain: false }).unwrap();
        assert_eq!(stand.next_on("as/written").await, written);
    }
}

#[tokio::test]
async fn every_kind_of_message_of_the_clients_side_takes_the_form() {
    for (wire, check, is_marked) in [
        (Wire::Everest, "true", false),
        (Wire::Escaped, "true", true),
        (Wire::Spaced, " true\n", true),
        (Wire::Reordered, "true", true),
    ] {
        let mut bench = Bench::start().await;
        let period = Duration::from_millis(5);
        let opened = Client::open(bench.address(), "client", topics(), period, &[]).await.unwrap();
        let mut client = opened.0.writing(wire);
        client.communication_check(true).await.unwrap();
        // The second comes by the clock.
        for payload in [check.to_owned(), check.to_owned(), check.replace("true", "false")] {
            if payload.contains("false") {
                client.communication_check(false).await.unwrap();
            }
            let is_it = |record: &Record| {
                matches!(&record.event, Event::Publish { publish, .. } if publish.topic.ends_with("communication_check")
                    && text(&publish.payload) == payload)
            };
            bench.wait(&payload, is_it).await;
        }
        for (channel, payload) in [
            (Channel::WITHDRAW_AUTHORIZATION, Some(json!({"evse_id": 1, "id_token": {"value": "A", "type": "Local"}}))),
            (Channel::GET_TOKEN_VALIDATION_STATUS, None),
        ] {
            client.request(channel, payload.clone(), "reply/here").await.unwrap();
            let is_it = |record: &Record| {
                matches!(&record.event, Event::Publish { publish, .. }
                if publish.topic.ends_with(channel.address()))
            };
            let Event::Publish { publish, .. } = bench.wait("a request", is_it).await.event else { unreachable!() };
            let expected =
                if is_marked && !(wire == Wire::Reordered && payload.is_none()) { wire.name() } else { "everest" };
            assert_eq!(Form::recognised(&publish.payload).map(Form::name), Some(expected));
        }
    }
}

#[tokio::test]
async fn heartbeats_do_not_decide_what_a_status_looks_like() {
    let alice: TokenConfig = serde_json::from_value(json!({"value": "04A2F3B1", "type": "ISO14443"})).unwrap();
    for interval in [0, 1] {
        let auth_consumer = ApiConfig { cfg_heartbeat_interval_ms: interval, ..ApiConfig::default() };
        let station = StationConfig { auth_consumer, ..StationConfig::default() };
        let mut stand = Stand::with(station, Wire::SameMeaning).await;
        if interval > 0 {
            stand.next(|topic, payload| topic.ends_with(HEARTBEAT) && text(payload).trim() == "7").await;
        }
        let (answer, _) = oneshot::channel();
        stand.orders.send(Order::Command(Box::new(alice.to_command()), answer)).unwrap();
        for expected in ["escaped", "reordered", "extra_fields"] {
            let bytes = stand.next_on(STATUS).await;
            assert_eq!(Form::recognised(&bytes).map(Form::name), Some(expected));
        }
    }
}

#[test]
fn every_scenario_passes_in_every_form() {
    // The default form is what all other tests play with.
    for wire in Wire::ALL.into_iter().filter(|wire| *wire != Wire::Everest) {
        let ran = Command::new(env!("CARGO_BIN_EXE_khumbu"))
            .args(["run", "--wire", wire.name()])
            .env("CI", "true")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert_eq!(ran.status.code(), Some(0), "{wire}\n{}", text(&ran.stdout));
    }
}

#[test]
fn a_scenario_wins_over_the_flag_and_the_flag_over_the_file() {
    let project = Project::with(&[("f.yaml", FAIL), ("khumbu.yaml", "wire: same_meaning\n")]);
    project.write("own.yaml", &FAIL.replace("steps:", "wire: spaced\nsteps:"));
    let of = |arguments: &[&str]| {
        let ran = project.play(arguments).exits(1).fails_with(&["expect/missing"]);
        let found = &ran.report()["scenarios"][0]["failures"][0]["evidence"];
        let lines = found.as_array().unwrap().iter().filter_map(Value::as_str);
        lines.filter_map(|line| line.strip_prefix("wire form ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let spaced = ["`spaced`; written last: heartbeat as `spaced`"];
    assert_eq!(of(&["own.yaml"]), spaced);
    assert_eq!(of(&["own.yaml", "--wire", "escaped"]), spaced);
    assert_eq!(of(&["f.yaml", "--wire", "spaced"]), spaced);
    // A module may have ended because of what it got before it was ready.
    let ended = project.play(&["own.yaml", "--module", "false"]).exits(3).fails_with(&["module/ended-early"]);
    ended.says("wire form `spaced`; written last: heartbeat as `spaced`");
    // Nothing is said of what looks as always.
    assert_eq!(of(&["f.yaml", "--wire", "everest"]), [""; 0]);
    let refused = project.run(&["run", "f.yaml", "--wire", "reorderd"]).exits(2);
    assert!(refused.stderr.contains("reordered"), "{}", refused.stderr);
    project.run(&["sim", "--wire", "pretty"]).exits(2).says("same_meaning");
    project.write("khumbu.yaml", "wire: tight\n");
    project.run(&["run", "f.yaml"]).exits(2).says("khumbu.yaml:1").says("unknown wire form `tight`");
}

/// Its golden has fields that nobody knows.
const OWN_FORM: &str = "\
description: A token, and a status that somebody else might have sent.
under_test: client
golden: true
wire: extra_fields
station:
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
steps:
  - publish: {topic: \"{e2m}/token_validation_status\", payload: {status: Accepted}}
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}
";

#[test]
fn goldens_hold_in_every_form_with_the_same_fields() {
    let golden = WITHDRAW.replace("under_test", "golden: true\nunder_test");
    let project = Project::with(&[("w.yaml", &golden)]);
    project.play(&["w.yaml", "--update"]).exits(0);
    let accepted = project.read("w.snap");
    project.write("w.snap", &accepted.replace("AuthorizationNotFound", "Accepted"));
    for wire in ["compact", "reordered", "escaped", "spaced"] {
        project.play(&["w.yaml", "--wire", wire]).exits(1).fails_with(&["golden/mismatch"]);
    }
    // A golden that was not looked at neither fails nor changes, and what waits for review goes on waiting.
    let pending = project.read("w.snap.new");
    for wire in ["extra_fields", "same_meaning"] {
        for arguments in [&["w.yaml", "--wire", wire][..], &["w.yaml", "--wire", wire, "--update"]] {
            let ran = project.play(arguments).exits(0);
            assert_eq!(ran.notes(), ["golden/not-compared"]);
            assert_eq!(project.read("w.snap.new"), pending);
        }
    }
    project.write("w.snap", &accepted);
    project.play(&["w.yaml", "--wire", "spaced"]).exits(0);
    // A scenario's own form is part of its golden; what it publishes is sent as it is written.
    project.write("own.yaml", OWN_FORM);
    project.play(&["own.yaml"]).exits(1).fails_with(&["golden/missing"]);
    let pending = project.read("own.snap.new");
    assert_eq!(pending.matches("\"_khumbu\"").count(), 9, "three statuses of three objects each\n{pending}");
    project.run(&["review", ".", "--accept"]).exits(0);
    for arguments in [&["own.yaml"][..], &["own.yaml", "--wire", "compact"]] {
        assert_eq!(project.play(arguments).exits(0).notes(), [""; 0]);
    }
}

#[test]
fn what_is_captured_of_khumbus_own_messages_is_what_they_mean() {
    let project = Project::with(&[(
        "c.yaml",
        "\
description: The token of one status is the token of the next.
under_test: client
wire: same_meaning
station:
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
steps:
  - present_token: ALICE
  - expect: {message: token_validation_status, payload: {status: Processing, token: $capture:token}}
  - expect: {message: token_validation_status, payload: {status: Accepted, token: $captured:token}}
  - expect: {message: token_validation_status, payload: {status: UsedToStart, token: {id_token: $object}}}
",
    )]);
    project.play(&["c.yaml"]).exits(0);
    project.write("p.yaml", PASS);
    project.play(&["p.yaml", "--wire", "same_meaning"]).exits(0);
}

/// A display that shows the last status in a file, and learns it from the JSON or from the text.
const DISPLAY: &str = r#"
import json, os, sys
from consumer import Consumer, arguments
by_text = sys.argv.pop() == 'text'
class Display(Consumer):
    def on_message(self, topic, payload):
        super().on_message(topic, payload)
        if topic.endswith('/token_validation_status'):
            text = payload.decode()
            status = text.partition('"status": "')[2].partition('"')[0] if by_text else json.loads(text)['status']
            with open('shown.new', 'w') as file:
                file.write(status + '\n')
            os.rename('shown.new', 'shown')
Display(arguments('').parse_args()).run()
"#;

const SHOWS: &str = "\
description: A display shows that the authorization was taken back.
under_test: client
station:
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
steps:
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}
  - withdraw: {}
  - any_order:
      - expect_reply: Accepted
      - expect_status: {token: ALICE, status: Withdrawn}
  - run: {command: \"sh -c 'until grep -x Withdrawn shown; do sleep 0.02; done'\", stdout: Withdrawn, within: 2s}
";

#[test]
fn a_display_that_reads_text_is_found_out_by_asking_what_it_shows() {
    let Some(python) = python_module("consumer.py") else { return };
    let display = python.replace(&fixture("modules/consumer.py"), "display.py");
    let project = Project::with(&[("display.py", DISPLAY), ("s.yaml", SHOWS)]);
    for (reads, wire, fails) in [
        ("json", "everest", &[][..]),
        ("json", "same_meaning", &[]),
        ("text", "everest", &[]),
        ("text", "same_meaning", &["run/timeout"]),
        ("text", "compact", &["run/timeout"]),
    ] {
        let module = format!("{display} {reads}");
        let ran = project.play(&["s.yaml", "--module", &module, "--wire", wire]);
        assert_eq!(ran.failures(), fails, "{reads} {wire}\n{}", ran.stderr);
        let names_form = ran.stdout.contains("token_validation_status as `");
        assert_eq!(names_form, !fails.is_empty(), "{}", ran.stdout);
    }
}

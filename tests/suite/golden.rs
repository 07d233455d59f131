//! Goldens: the same text whatever the protocol leaves open; and insta's file format.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use khumbu::diagnostic::Source;
use khumbu::protocol::channel::{ApiType, Topics};
use khumbu::transcript::golden::{Names, transcript};
use khumbu::transcript::injected::{Effect, Injected};
use khumbu::transcript::record::{Direction, Event, Publish, Record};
use khumbu::transcript::snapshot::{Snapshot, compare, difference, pending};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::printed;

fn topics() -> Topics {
    Topics {
        api: ApiType::AUTH_CONSUMER,
        external_prefix: String::new(),
        api_version: "1".to_owned(),
        module_id: "api_1".to_owned(),
    }
}

/// A message: the client, the topic below the pathname (or a whole one), QoS, retain and payload.
#[derive(Debug, Clone)]
struct Sent {
    client: &'static str,
    topic: String,
    qos: u8,
    retain: bool,
    payload: String,
}

fn sent(client: &'static str, address: &str, qos: u8, payload: impl Into<String>) -> Sent {
    let topic = format!("everest_api/1/auth_consumer/api_1/{address}");
    Sent { client, topic, qos, retain: false, payload: payload.into() }
}

fn record(seq: u64, client: &str, event: Event) -> Record {
    Record { seq, at: Duration::from_millis(seq * 7), client: client.into(), event }
}

/// The record of messages, each delivered to everybody and acknowledged, as a broker would write it.
fn records(messages: &[Sent]) -> Vec<Record> {
    let mut records = Vec::new();
    for (client, filter) in [("module", "e2m/#"), ("khumbu", "m2e/withdraw_authorization")] {
        let filter = format!("everest_api/1/auth_consumer/api_1/{filter}");
        records.push(record(records.len() as u64, client, Event::Subscribed { filter, qos: 1 }));
    }
    for message in messages {
        let publish = Publish {
            topic: message.topic.as_str().into(),
            payload: Bytes::from(message.payload.clone()),
            qos: message.qos,
            retain: message.retain,
            dup: false,
            pkid: 1,
        };
        let events = [
            Event::Publish { direction: Direction::FromClient, publish: publish.clone() },
            Event::Publish { direction: Direction::ToClient, publish },
            Event::Packet { direction: Direction::ToClient, kind: "PUBACK", pkid: 1 },
        ];
        for event in events {
            records.push(record(records.len() as u64, message.client, event));
        }
    }
    records
}

fn text(messages: &[Sent]) -> String {
    let topics = topics();
    transcript(
        &records(messages),
        &Names { topics: &topics, other_apis: &[], clients: &[("module", "client"), ("khumbu", "everest")] },
    )
}

fn status(token: &str, status: &str) -> Sent {
    let payload = format!(
        "{{\n    \"status\": \"{status}\",\n    \"messages\": [],\n    \"token\": {{\"id_token\": {{\"value\": \"{token}\", \"type\": \"ISO14443\"}}, \"authorization_type\": \"RFID\"}}\n}}"
    );
    sent("khumbu", "e2m/token_validation_status", 2, payload)
}

fn request(id: &str, payload: &str) -> Sent {
    let reply = format!("everest_api/1/auth_consumer/api_1/e2m/withdraw_authorization/{id}");
    let payload = format!(r#"{{"payload": {payload}, "headers": {{"replyTo": "{reply}"}}}}"#);
    sent("module", "m2e/withdraw_authorization", 1, payload)
}

fn reply(id: &str, payload: &str) -> Sent {
    sent("khumbu", &format!("e2m/withdraw_authorization/{id}"), 2, payload)
}

fn ids(salt: u64) -> [String; 2] {
    [0, 1].map(|n| format!("{salt:08x}-2fa1-11d2-883f-0016d3cca4{n:02}"))
}

/// What one scenario shows, lane by lane; `salt`, `beats` and `checks` are what differs from run to run.
fn lanes(salt: u64, beats: u64, checks: u64) -> Vec<Vec<Sent>> {
    let [first, second] = ids(salt);
    let mut beat: Vec<Sent> = (0..=beats).map(|n| sent("khumbu", "e2m/heartbeat", 2, n.to_string())).collect();
    beat.extend((0..=beats).map(|n| sent("khumbu", "e2m/heartbeat", 2, (u64::MAX - 1).wrapping_add(n).to_string())));
    vec![
        beat,
        (0..checks).map(|_| sent("module", "m2e/communication_check", 0, "true")).collect(),
        vec![status("AAAA", "Processing"), status("AAAA", "Accepted"), status("AAAA", "Withdrawn")],
        vec![status("BBBB", "Processing"), status("BBBB", "Rejected")],
        vec![request(&first, r#"{"evse_id": 1}"#), reply(&first, "\"Accepted\"")],
        vec![sent("module", "m2e/withdraw_authorization", 1, "{nonsense")],
        vec![sent(
            "module",
            "m2e/token_validation_status/get",
            1,
            format!(r#"{{"headers":{{"replyTo":"x/{second}"}}}}"#),
        )],
        vec![sent(
            "module",
            "m2e/foo",
            1,
            format!(r#"{{"b": "{first}", "a": "2026-01-02T03:04:05.678Z", "by": "module"}}"#),
        )],
    ]
}

/// Lanes into one stream, the next message taken from the lane that each choice says.
fn interleave(mut lanes: Vec<Vec<Sent>>, choices: &[usize]) -> Vec<Sent> {
    lanes.iter_mut().for_each(|lane| lane.reverse());
    let mut stream = Vec::new();
    for choice in choices.iter().cycle() {
        lanes.retain(|lane| !lane.is_empty());
        if lanes.is_empty() {
            break;
        }
        let lane = choice % lanes.len();
        stream.extend(lanes[lane].pop());
    }
    stream
}

#[test]
fn reads_like_a_conversation() {
    insta::assert_snapshot!(text(&interleave(lanes(7, 3, 2), &[0])));
}

#[test]
fn says_what_faults_befell_but_for_what_comes_by_the_clock() {
    let topics = topics();
    let [id, _] = ids(0);
    let messages =
        [status("T", "Processing"), request(&id, "{}"), reply(&id, "1"), sent("khumbu", "e2m/heartbeat", 2, "0")];
    let mut records = records(&messages);
    for (seq, message) in messages.iter().enumerate() {
        let topic = message.topic.as_str().into();
        let injected = Injected::Message { seq: seq as u64, rule: 0, topic, effect: Effect::Drop };
        records.push(record(records.len() as u64, message.client, Event::Injected(injected)));
    }
    let text = transcript(&records, &Names { topics: &topics, other_apis: &[], clients: &[] });
    let told = "injected faults\n  1 [reply:1] dropped\n  1 token_validation_status dropped\n  1 withdraw_authorization dropped\nsubscriptions\n";
    assert!(text.contains(told), "{text}");
}

#[test]
fn is_the_same_for_every_order_that_is_legal() {
    let expected = text(&interleave(lanes(7, 3, 2), &[0]));
    let strategy = (any::<u64>(), 0u64..9, 0u64..9, prop::collection::vec(0usize..100, 1..40));
    TestRunner::default()
        .run(&strategy, |(salt, beats, checks, choices)| {
            let mut lanes = lanes(salt % 0xffff_ffff, beats, checks);
            // Two requests on one channel are in the order of their client.
            let nonsense = lanes.remove(5);
            lanes[4].extend(nonsense);
            prop_assert_eq!(&text(&interleave(lanes, &choices)), &expected);
            Ok(())
        })
        .unwrap();
}

type Change<'a> = &'a dyn Fn(&mut Vec<Vec<Sent>>);

#[test]
fn shows_every_difference_that_matters() {
    let lanes = || lanes(7, 3, 2);
    let expected = text(&interleave(lanes(), &[0]));
    let changed = |change: Change| {
        let mut lanes = lanes();
        change(&mut lanes);
        text(&interleave(lanes, &[0]))
    };
    let changes: [(&str, Change); 12] = [
        ("a gap in heartbeats", &|lanes| drop(lanes[0].remove(1))),
        ("a heartbeat retained", &|lanes| lanes[0][1].retain = true),
        ("the QoS of a heartbeat", &|lanes| lanes[0][1].qos = 0),
        ("the end of checks", &|lanes| lanes[1][1].payload = "false".to_owned()),
        ("a check of a wrong type", &|lanes| lanes[1][1].payload = "1".to_owned()),
        ("order of statuses", &|lanes| lanes[2].swap(0, 1)),
        ("a status more", &|lanes| lanes[3].push(status("BBBB", "Rejected"))),
        ("a reply more", &|lanes| {
            let again = lanes[4][1].clone();
            lanes[4].push(again);
        }),
        ("no reply", &|lanes| drop(lanes[4].pop())),
        ("a reply on the wrong topic", &|lanes| lanes[4][1] = reply(&ids(8)[0], "\"Accepted\"")),
        ("a reply before its request", &|lanes| lanes[4].swap(0, 1)),
        ("text of no JSON", &|lanes| lanes[5][0].payload = "{other".to_owned()),
    ];
    for (what, change) in changes {
        assert_ne!(changed(change), expected, "{what}");
    }
}

#[test]
fn topics_of_replies_have_names_with_and_without_external_prefix() {
    let topics = Topics {
        api: ApiType::AUTH_CONSUMER,
        external_prefix: "pre/".to_owned(),
        api_version: "1".to_owned(),
        module_id: "api_1".to_owned(),
    };
    let mut request = request("1", "{}");
    request.topic = format!("pre/{}", request.topic);
    for prefix in ["", "pre/"] {
        let mut reply = reply("1", "\"Accepted\"");
        reply.topic = format!("{prefix}{}", reply.topic);
        let text =
            transcript(&records(&[request.clone(), reply]), &Names { topics: &topics, other_apis: &[], clients: &[] });
        assert!(text.contains("e2m  [reply:1] "), "{text}");
    }
}

const FILE: &str = "---\nsource: \"a/b.yaml\"\ndescription: \"Says \\\"x\\\": y.\"\n---\nfirst\n  e2m  x\n  m2e  y\n";

#[test]
fn files_are_read_and_written_as_insta_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.snap.new");
    let text = pending("a/b.yaml", "Says \"x\": y.", "first\n  e2m  x\n  m2e  y\n");
    assert_eq!(text, FILE);
    fs::write(&path, &text).unwrap();
    let snapshot = insta::Snapshot::from_file(&path).unwrap();
    assert_eq!(snapshot.metadata().source(), Some("a/b.yaml"));
    assert_eq!(snapshot.metadata().description(), Some("Says \"x\": y."));
    let insta::internals::SnapshotContents::Text(body) = snapshot.contents() else { panic!("no text") };
    assert_eq!(body.to_string(), "first\n  e2m  x\n  m2e  y");
    // And the other way round: a file that insta's own tool has written.
    let accepted = "---\nsource: a/b.yaml\nassertion_line: 7\nexpression: x\n---\nfirst\n  e2m  x\n  m2e  y\n";
    let ours = Snapshot::parse(accepted).unwrap();
    assert_eq!(ours.source, "a/b.yaml");
    assert!(ours.is_same("first\n  e2m  x\n  m2e  y\n"));
}

fn source(path: &str, text: &str) -> Arc<Source> {
    Arc::new(Source { path: path.to_owned(), text: text.to_owned() })
}

#[test]
fn comparison_forgives_line_ends_and_blanks_at_the_end() {
    let scenario = source("a/b.yaml", "description: x\ngolden: true\n");
    for golden in [FILE.to_owned(), FILE.replace('\n', "\r\n"), FILE.replace("x\n", "x  \n"), format!("{FILE}\n\n")] {
        let golden = source("a/b.snap", &golden);
        assert_eq!(compare(Some(&golden), "first\n  e2m  x\n  m2e  y\n", &scenario), Ok(()));
    }
}

#[test]
fn every_failure_of_a_golden_has_its_message() {
    let scenario = source("a/b.yaml", "description: x\ngolden: true\n");
    let golden = source("a/b.snap", FILE);
    let broken = source("a/b.snap", "first\n");
    let mut messages = String::new();
    for (golden, body) in [
        (None, "x"),
        (Some(&broken), "first"),
        (Some(&golden), "first\n  e2m  x\n  m2e  z\n"),
        (Some(&golden), "first\n  e2m  x\n"),
        (Some(&golden), "first\n  e2m  x\n  m2e  y\n  m2e  z\n"),
        (Some(&golden), ""),
        (Some(&golden), "first\n  e2m  x\n  m2e  y\nsubscriptions\n  q1 z\n"),
    ] {
        messages.push_str(&printed::told([&*compare(golden, body, &scenario).unwrap_err()]).concat());
        messages.push('\n');
    }
    messages.push_str(&printed::told([&khumbu::transcript::snapshot::orphan("a/c.snap")]).concat());
    insta::assert_snapshot!(messages);
}

#[test]
fn long_differences_are_cut() {
    let old: String = (0..100).map(|n| format!("line {n}\n")).collect();
    let new = old.replace("line", "row");
    let shown = difference(&old, &new, 10);
    assert_eq!(shown.lines().count(), 10);
    assert!(shown.ends_with("… 191 more lines"), "{shown}");
    assert_eq!(difference(&old, &old, 10), "");
}

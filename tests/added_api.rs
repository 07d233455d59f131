//! An API that nobody here has seen is one file: its description. A process of its own, since what is added stays.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use khumbu::conformance::monitors::{Context, Monitors};
use khumbu::conformance::sighting::{Classifier, Party};
use khumbu::diagnostic::Diagnostic;
use khumbu::protocol::api;
use khumbu::protocol::channel::{ApiType, Topics};
use khumbu::protocol::schema::{Message, Schemas};
use khumbu::protocol::side::Side;
use khumbu::scenario::{self, Known};
use khumbu::transcript::record::{Direction, Event, Publish, Record};
use serde_json::{Value, json};

const KETTLE: &str = "\
title: Boils water
source: kettle_API.yaml

channels:
  temperature:
    called: temperature
    address: e2m/temperature
    pattern: variable
    payload: number 0..100
  level:
    called: level of the water
    address: m2e/level
    pattern: variable
    payload: integer 0..
  boil:
    called: order to boil
    address: m2e/boil
    pattern: request
    payload:
      headers?: {replyTo?: text}
      payload: Order
    reply:
      called: answer to an order
      payload: [Boiling, Empty]
  heartbeat: every_api.heartbeat
  communication_check: every_api.communication_check

types:
  Order:
    cups: integer 1..8
    tea?: auth_consumer.IdToken
";

static API: LazyLock<ApiType> = LazyLock::new(|| ApiType::add(api::read("kettle", KETTLE).unwrap()).unwrap());

fn topics() -> Topics {
    Topics { api: *API, external_prefix: "home/".into(), api_version: "1".into(), module_id: "k1".into() }
}

#[test]
fn it_has_a_name_and_topics() {
    let kettle = *API;
    assert_eq!(ApiType::known("kettle"), Some(kettle));
    assert_eq!(serde_json::from_value::<ApiType>(json!("kettle")).unwrap(), *API);
    for channel in API.channels() {
        assert_eq!(topics().channel(&topics().topic(channel)), Some(channel));
    }
    let boil = API.channel("boil").unwrap();
    assert_eq!(topics().topic(boil), "home/everest_api/1/kettle/k1/m2e/boil");
    assert!(boil.is_request() && !boil.is_from_everest());
    // It is added once, and no other one has its name.
    assert_eq!(ApiType::add(api::read("kettle", KETTLE).unwrap()), Some(*API));
    assert_eq!(ApiType::add(api::read("kettle", &KETTLE.replace("100", "90")).unwrap()), None);
}

#[test]
fn its_messages_are_held_against_their_shapes() {
    let schemas = Schemas::default();
    let boil = API.channel("boil").unwrap();
    let violations =
        |message, payload: Value| schemas.check(message, &payload).into_iter().map(|it| it.pointer).collect();
    let none: Vec<String> = Vec::new();
    let order = |payload: Value| json!({"payload": payload});
    for (message, payload, expected) in [
        (Message::On(boil), order(json!({"cups": 2, "tea": {"value": "mint", "type": "Local"}})), none.clone()),
        (
            Message::On(boil),
            order(json!({"cups": 9, "tea": {"value": "mint"}})),
            vec!["/payload/cups", "/payload/tea"].into_iter().map(str::to_owned).collect(),
        ),
        (Message::reply_to(boil).unwrap(), json!("Boiling"), none.clone()),
        (Message::reply_to(boil).unwrap(), json!("Broken"), vec![String::new()]),
        (Message::On(API.channel("temperature").unwrap()), json!(99.5), none),
    ] {
        let found: Vec<String> = violations(message, payload.clone());
        assert_eq!(found, expected, "{payload}");
    }
}

/// What is said of a scenario with these steps.
fn said(steps: &str) -> Vec<String> {
    let text = format!("description: x\nunder_test: client\napi: {}\nsteps:\n{steps}", API.name());
    match scenario::parse("x.yaml", &text, Known::default()) {
        Ok(_) => Vec::new(),
        Err(found) => found.into_iter().map(|it| format!("{}: {}", it.id, it.headline)).collect(),
    }
}

#[test]
fn a_scenario_names_its_messages() {
    assert_eq!(
        said(
            "  - publish: {topic: \"{e2m}/temperature\", payload: 20}\n  - expect: {message: boil, payload: {payload: {cups: 2}}}\n"
        ),
        [""; 0]
    );
    assert_eq!(
        said("  - expect: {message: boil, payload: {payload: {cup: 2}}}\n"),
        ["scenario/unknown-field: `payload` of an order to boil has no field `cup`"]
    );
    assert_eq!(
        said("  - expect: {message: level, payload: -1}\n"),
        ["scenario/never-matches: a level of the water is at least 0, `-1` never matches it"]
    );
    assert_eq!(said("  - expect: {message: boyl}\n"), ["scenario/unknown-value: unknown message `boyl`"]);
}

/// What the monitors find in messages that the module under test (`true`) or the other side sent.
fn found(under_test: Side, messages: &[(bool, &str, Value, bool)]) -> Vec<String> {
    let mut classifier = Classifier::new(topics(), &[]);
    let mut monitors = Monitors::new(Context::new(topics(), under_test));
    let mut found: Vec<Diagnostic> = Vec::new();
    let connected = Event::Connected { protocol: 4, clean: true, session_present: false, keep_alive: 20, will: None };
    let events = messages.iter().enumerate().map(|(index, (by_module, topic, payload, retain))| {
        let publish = Publish {
            topic: Arc::from(*topic),
            payload: Bytes::from(payload.to_string()),
            qos: 2,
            retain: *retain,
            dup: false,
            pkid: u16::try_from(index + 1).unwrap(),
        };
        (*by_module, Event::Publish { direction: Direction::FromClient, publish })
    });
    let events = std::iter::once((true, connected)).chain(events);
    for (seq, (by_module, event)) in (0..).zip(events) {
        let client = Arc::from(if by_module { "module" } else { "harness" });
        let record = Record { seq, at: Duration::from_millis(seq * 10), client, event };
        let from = if by_module { Party::Module } else { Party::Harness };
        let seen = classifier.sight(&record, from);
        found.extend(monitors.observe(&record, from, seen.as_ref()));
    }
    found.into_iter().map(|it| format!("{}: {}", it.id, it.headline)).collect()
}

#[test]
fn its_messages_are_watched() {
    let topic = |name| topics().topic(API.channel(name).unwrap());
    let (boil, level, temperature) = (topic("boil"), topic("level"), topic("temperature"));
    let order = json!({"headers": {"replyTo": "r"}, "payload": {"cups": 1}});
    let client = |topic: &str, payload: Value, retain| found(Side::Client, &[(true, topic, payload, retain)]);
    let none = [""; 0];
    assert_eq!(client(&level, json!(3), false), none);
    assert_eq!(
        client(&level, json!("3"), false),
        ["monitor/schema-violation: module sent an invalid level of the water: \"3\" is not of type \"integer\""]
    );
    assert_eq!(
        client(&level, json!(3), true),
        ["monitor/retained: module sent a level of the water with the retain flag"]
    );
    let astray = client(&temperature, json!(3), false);
    assert!(astray.len() == 1 && astray[0].starts_with("monitor/wrong-direction"), "{astray:?}");
    let asked = |answers: &[Value]| {
        let request = std::iter::once((false, &*boil, order.clone(), false));
        let answers = answers.iter().map(|answer| (true, "home/r", answer.clone(), false));
        found(Side::Everest, &request.chain(answers).collect::<Vec<_>>())
    };
    assert_eq!(asked(&[json!("Empty")]), none);
    let wrong = asked(&[json!("Full")]);
    assert!(
        wrong.len() == 1 && wrong[0].starts_with("monitor/schema-violation: module sent an invalid answer"),
        "{wrong:?}"
    );
    assert_eq!(
        asked(&[json!("Empty"), json!("Empty")]),
        ["monitor/second-reply: module sent 2 replies to one request"]
    );
}

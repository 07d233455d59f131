//! Recordings, what a station makes of them, the scenarios that are made of them, and what monitors do of the same messages on a wire.

use std::time::Duration;

use khumbu::author::{self, Wish};
use khumbu::conformance::monitors::{ApiModule, Context, Monitors};
use khumbu::conformance::sighting::{Classifier, Party};
use khumbu::parity::{self, Sending, StationFile};
use khumbu::protocol::channel::{ApiType, Topics};
use khumbu::protocol::side::Side;
use khumbu::recording::{Message, Recording};
use khumbu::scenario;
use khumbu::transcript::record::{Direction, Event, Publish, Record};

/// With a token validator and a token provider, so that more of what comes means something.
const STATION: &str = "evses: 2\nauth_token_validator: {}\nauth_token_provider: {}\n";

/// More lines and minutes take long to play, with a heartbeat each second, and show nothing that fewer do not.
const PLAYED: usize = 24;
const PLAYED_MS: i64 = 60_000;

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let recording = match Recording::parse("x.jsonl", text) {
        Ok(recording) => recording,
        Err(diagnostics) => return super::are_inside(&diagnostics, text),
    };
    for message in &recording.messages {
        // As a recorder writes it that has seen it on the wire.
        let seen = Message::new(
            Duration::from_millis(message.t_ms),
            &message.topic,
            &message.bytes,
            message.qos,
            message.retain,
        );
        let line = seen.to_line();
        let again = Recording::parse("again.jsonl", &line);
        let [again] = &again.unwrap_or_else(|error| panic!("{line} cannot be read: {error:?}")).messages[..] else {
            panic!("{line} is not one message");
        };
        assert_eq!(again, &Message { line: 1, ..seen }, "{line}");
        assert_eq!(again.to_line(), line, "another line the second time");
    }
    if recording.messages.len() <= PLAYED && recording.end_ms() <= PLAYED_MS {
        let station: StationFile = scenario::parse_around_station("station.yaml", STATION).expect("it is valid");
        parity::compare(&recording, &station, parity::TOLERANCE, Sending::InTurn);
        parity::compare(&recording, &StationFile::of(&recording), parity::TOLERANCE, Sending::InTurn);
    }
    for side in [Side::Client, Side::Everest] {
        watch(&recording, side);
        author(&recording, side);
    }
}

/// Whatever is made of a recording is a scenario.
fn author(recording: &Recording, side: Side) {
    if recording.messages.len() > PLAYED {
        return;
    }
    let wish = Wish { side: Some(side), ..Wish::default() };
    let station: StationFile = scenario::parse_around_station("station.yaml", STATION).expect("it is valid");
    for station in [None, Some(station)] {
        if let Ok(draft) = author::scenario("x.jsonl", recording.clone(), station, &wish) {
            let made = scenario::parse("made.yaml", &draft.text, scenario::Known::default());
            made.unwrap_or_else(|errors| panic!("{errors:?}\n{}", draft.text));
        }
    }
}

/// A module of this side says what a client says, or what EVerest says.
fn watch(recording: &Recording, side: Side) {
    let file = StationFile::of(recording);
    let topics = |api: ApiType| Topics {
        api,
        external_prefix: file.external_prefix.clone(),
        api_version: file.api_version.clone(),
        module_id: file.station.cadence(api).map_or("api", |cadence| cadence.module_id).to_owned(),
    };
    let others = [ApiType::AUTH_TOKEN_PROVIDER, ApiType::AUTH_TOKEN_VALIDATOR].map(topics);
    let mut context = Context::new(topics(ApiType::AUTH_CONSUMER), side);
    context.other_apis = others
        .iter()
        .cloned()
        .map(|topics| ApiModule { topics, communication_check_timeout: None, heartbeat_interval: None })
        .collect();
    let mut classifier = Classifier::new(context.topics.clone(), &others);
    let mut monitors = Monitors::new(context);
    let mut found = Vec::new();
    let mut seq = 0;
    let mut happens = |at, client: &str, event| {
        let record = Record { seq, at, client: client.into(), event };
        seq += 1;
        let from = if client == "module" { Party::Module } else { Party::Harness };
        let seen = classifier.sight(&record, from);
        found.extend(monitors.observe(&record, from, seen.as_ref()));
    };
    let start = Duration::ZERO;
    let connected = Event::Connected { protocol: 5, clean: true, session_present: false, keep_alive: 20, will: None };
    happens(start, "module", connected);
    happens(start, "module", Event::Subscribed { filter: "#".to_owned(), qos: 1 });
    let mut end = start;
    for (pkid, message) in (1..).zip(&recording.messages) {
        let Message { topic, bytes, qos, retain, .. } = message;
        end = Duration::from_millis(message.t_ms).max(end);
        let publish = Publish {
            topic: topic.as_str().into(),
            payload: bytes.clone(),
            qos: *qos,
            retain: *retain,
            dup: false,
            pkid: if *qos == 0 { 0 } else { pkid },
        };
        let is_of_client = topic.contains("/m2e/");
        let is_module = is_of_client == (side == Side::Client);
        let client = if is_module { "module" } else { "harness" };
        happens(end, client, Event::Publish { direction: Direction::FromClient, publish: publish.clone() });
        if !is_module {
            happens(end, "module", Event::Publish { direction: Direction::ToClient, publish });
            let kind = if *qos == 2 { "PUBREC" } else { "PUBACK" };
            happens(end, "module", Event::Packet { direction: Direction::FromClient, kind, pkid });
        }
    }
    happens(end, "module", Event::Disconnected { cause: "DISCONNECT".to_owned(), clean: true });
    found.extend(monitors.finish(end));
    found.iter().for_each(super::is_fit_to_be_seen);
}

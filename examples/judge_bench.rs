//! Measures how fast a record is judged, on one core: classifier, monitors and judge alone. `ci/bench` starts it.
//!
//! `judge_bench SIGHTINGS` prints sightings a second. An EVerest under test is asked to withdraw, rejects a token, replies,
//! and sends a heartbeat, over and over; three steps of a scenario expect each of these. Nothing it does is wrong, and a
//! finding ends the measurement.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot be made has nothing to say")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use khumbu::conformance::judge::{Case, Decision, Input, Judge, Moment, Replies, View};
use khumbu::conformance::monitors::{ApiModule, Context, Monitors};
use khumbu::conformance::sighting::{Classifier, Party, Sighting};
use khumbu::protocol::channel::{ApiType, Channel, Topics};
use khumbu::protocol::wire::Wire;
use khumbu::scenario::pattern::Captures;
use khumbu::scenario::{Known, Pointer, parse, played};
use khumbu::transcript::record::{Direction, Event, Publish, Record};
use serde_json::{Value, json};

const ALICE: &str = "04A2F3B1";

const SCENARIO: &str = "\
description: What is judged.
under_test: everest
station:
  auth_token_provider: {}
  auth_token_validator: {}
  tokens:
    ALICE: {value: 04A2F3B1, type: ISO14443}
steps:
  - withdraw: {}
  - expect_status: {token: ALICE, sequence: [Processing, Rejected]}
  - expect_reply: {payload: Rejected}
  - expect: {message: heartbeat}
";

fn main() {
    let arguments: Vec<u64> = std::env::args().skip(1).map(|argument| argument.parse().unwrap()).collect();
    let [sightings] = arguments[..] else { panic!("usage: judge_bench SIGHTINGS") };
    let scenario = parse("bench.yaml", SCENARIO, Known::default()).unwrap();
    let topics = Topics {
        api: ApiType::AUTH_CONSUMER,
        external_prefix: String::new(),
        api_version: "1".into(),
        module_id: "api".into(),
    };
    let other_apis = [topics.of(ApiType::AUTH_TOKEN_PROVIDER, "tp"), topics.of(ApiType::AUTH_TOKEN_VALIDATOR, "tv")];
    let case = Case {
        scenario: &scenario,
        topics: &topics,
        other_apis: &other_apis,
        tokens: &scenario.model.station.tokens,
        wire: Wire::Everest,
        is_builtin: false,
        shows_calls: true,
        bindings: &[],
        answer_within: Duration::ZERO,
    };
    let mut court = Court::new(&topics, &other_apis);
    let mut judge = Judge::new(case, Captures::new());
    let steps = played(&scenario.model.steps, &Pointer::from("/steps"), scenario.release());
    let (mut round, mut seen) = (0, 0);
    let (mut first, mut last) = (Duration::ZERO, Duration::ZERO);
    let began = Instant::now();
    while seen < sightings {
        let begun = Instant::now();
        // As `runner` does where a token is presented and a request made.
        judge.past.set_mark(court.seq);
        judge.past.present(ALICE.to_owned());
        let reply_topic = format!("replies/{round}");
        judge.past.request(None, Replies { topic: reply_topic.clone(), since: judge.past.mark });
        let records = of_round(&topics, round, &reply_topic);
        let (mut records, mut came) = (records.into_iter(), 0);
        // The first step is the request, which is among the records.
        for step in &steps[1..] {
            judge.expect(std::slice::from_ref(step), court.moment(), court.view()).unwrap();
            loop {
                match judge.apply(court.moment(), Input::Seen, court.view()) {
                    Decision::Met(_) => break,
                    Decision::Waiting(_) => came += court.take(records.next().unwrap()),
                    Decision::NotMet(not_met) => panic!("{not_met:?}"),
                }
            }
        }
        assert!(records.next().is_none(), "all of it was waited for");
        judge.past.end_presentations();
        seen += came;
        round += 1;
        let part = if seen * 10 <= sightings { Some(&mut first) } else { None };
        let part = part.or((seen * 10 >= sightings * 9).then_some(&mut last));
        part.into_iter().for_each(|part| *part += begun.elapsed());
    }
    let took = began.elapsed().as_secs_f64();
    let found = court.monitors.finish(court.now);
    assert!(found.is_empty(), "{found:?}");
    println!("judge_sightings_per_s {:.0}", seen as f64 / took);
    // What the last tenth took against the first: 1 where the cost of a step does not grow.
    println!("judge_last_to_first {:.2}", last.as_secs_f64() / first.as_secs_f64());
}

/// What the judge and the monitors have seen.
struct Court {
    classifier: Classifier,
    monitors: Monitors,
    messages: Vec<Sighting>,
    subscriptions: BTreeMap<Arc<str>, BTreeSet<String>>,
    seq: u64,
    now: Duration,
}

impl Court {
    fn new(topics: &Topics, other_apis: &[Topics]) -> Self {
        let (communication_check_timeout, heartbeat_interval) = (None, None);
        let other_api =
            |topics: &Topics| ApiModule { topics: topics.clone(), communication_check_timeout, heartbeat_interval };
        let context = Context {
            other_apis: other_apis.iter().map(other_api).collect(),
            ..Context::new(topics.clone(), khumbu::protocol::side::Side::Everest)
        };
        let subscriptions = BTreeMap::from([("module".into(), BTreeSet::from(["#".to_owned()]))]);
        Self {
            classifier: Classifier::new(topics.clone(), other_apis),
            monitors: Monitors::new(context),
            messages: Vec::new(),
            subscriptions,
            seq: 0,
            now: Duration::ZERO,
        }
    }

    fn moment(&self) -> Moment {
        Moment { now: self.now, held_up: Duration::ZERO, has_ended: false }
    }

    fn view(&self) -> View<'_> {
        let (messages, subscriptions) = (&self.messages, &self.subscriptions);
        View { messages, requests: self.classifier.requests(), subscriptions }
    }

    /// How many sightings a record made.
    fn take(&mut self, (from, direction, publish): (Party, Direction, Publish)) -> u64 {
        let client =
            if matches!((from, direction), (Party::Harness, Direction::FromClient)) { "khumbu" } else { "module" };
        let event = Event::Publish { direction, publish };
        let record = Record { seq: self.seq, at: self.now, client: client.into(), event };
        let whose = if client == "module" { Party::Module } else { Party::Harness };
        (self.seq, self.now) = (self.seq + 1, self.now + Duration::from_millis(1));
        let seen = self.classifier.sight(&record, whose).unwrap();
        let found = self.monitors.observe(&record, whose, Some(&seen));
        assert!(found.is_empty(), "{found:?}");
        if direction == Direction::FromClient {
            self.messages.push(seen);
        }
        1
    }
}

/// What passes in a round: a request and its delivery, two statuses, the reply, a heartbeat.
fn of_round(topics: &Topics, round: u64, reply_topic: &str) -> Vec<(Party, Direction, Publish)> {
    let publish = |topic: String, payload: Value| Publish {
        topic: topic.into(),
        payload: payload.to_string().into(),
        qos: 2,
        retain: false,
        dup: false,
        pkid: (round % 60_000) as u16 + 1,
    };
    let status = |status: &str| {
        let token = json!({
            "authorization_type": "RFID",
            "id_token": {"type": "ISO14443", "value": ALICE},
        });
        let payload = json!({"messages": [], "status": status, "token": token});
        (Party::Module, Direction::FromClient, publish(topics.topic(Channel::TOKEN_VALIDATION_STATUS), payload))
    };
    let request = json!({"headers": {"replyTo": reply_topic}, "payload": {"evse_id": 1}});
    let request = publish(topics.topic(Channel::WITHDRAW_AUTHORIZATION), request);
    vec![
        (Party::Harness, Direction::FromClient, request.clone()),
        (Party::Harness, Direction::ToClient, request),
        status("Processing"),
        status("Rejected"),
        (Party::Module, Direction::FromClient, publish(reply_topic.to_owned(), json!("Rejected"))),
        (Party::Module, Direction::FromClient, publish(topics.topic(Channel::HEARTBEAT), json!(round))),
    ]
}

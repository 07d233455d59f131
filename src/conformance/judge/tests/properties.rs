//! What holds of any record: nothing here names a message or a moment that matters.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::court::Court;
use super::naive::Naive;
use super::script::{ALICE, BOB, Event, Message, Sort, at, beat, call, on, request, status, stray, withdraw};
use crate::conformance::sighting::Party;
use crate::protocol::channel::Channel;

/// Steps of which scenarios are made up. Each is at home on both sides.
const STEPS: [&str; 23] = [
    "present_token: ALICE",
    "present_token: BOB",
    "plug_in: {evse: 1}",
    "withdraw: {within: 40ms}",
    "get_status: {within: 40ms}",
    "expect_status: {token: ALICE, status: Accepted, within: 40ms}",
    "expect_status: {token: ALICE, sequence: [Processing, Accepted], within: 40ms}",
    "expect_status: {token: BOB, status: Accepted, payload: {token: {connectors: $capture:c}}, within: 40ms}",
    "expect: {message: heartbeat, within: 40ms}",
    "expect: {message: heartbeat, payload: 1, within: 40ms}",
    "expect: {message: heartbeat, payload: $capture:n, within: 40ms}",
    "expect: {message: token_validation_status, qos: 1, within: 40ms}",
    "expect: {topic: \"{e2m}/#\", within: 40ms}",
    "expect: {topic: \"replies/+\", within: 40ms}",
    "expect: {message: withdraw_authorization, within: 40ms}",
    "expect: {message: communication_check, within: 40ms}",
    "expect_evse: {evse: 1, call: authorize_response, within: 40ms}",
    "any_order: [{expect_status: {token: ALICE, status: Accepted, within: 40ms}}, {expect: {message: heartbeat, within: 60ms}}, {expect_evse: {evse: 1, call: authorize_response, within: 50ms}}]",
    "any_order: [{expect_status: {token: ALICE, sequence: [Processing, Accepted], within: 40ms}}, {expect_status: {token: BOB, status: Accepted, within: 40ms}}]",
    "expect_none: {message: heartbeat, payload: 1, for: 20ms}",
    "expect_none: {message: reply, for: 20ms}",
    "expect_none: {topic: \"{e2m}/#\", for: 10ms}",
    "expect_none: {call: authorize_response, evse: 2, for: 20ms}",
];

/// Replies need a request before them.
const REPLIES: [&str; 3] = [
    "expect_reply: {to: a, payload: Accepted, within: 40ms}",
    "expect_reply: {to: b, payload: $any, within: 40ms}",
    "expect_reply: {payload: $any, within: 40ms}",
];

/// Messages of which records are made up.
fn messages() -> Vec<Message> {
    let statuses = ["Processing", "Accepted", "Rejected"];
    let mut all: Vec<_> = statuses.iter().flat_map(|word| [status(ALICE, word), status(BOB, word)]).collect();
    all.extend([beat(0), beat(1), beat(2).at_qos(1), status(BOB, "Accepted").at_qos(1)]);
    all.extend([call(1, "authorize_response", json!({})), call(2, "authorize_response", json!({}))]);
    all.extend(["replies/0", "replies/1", "replies/2"].map(|topic| stray(topic, json!("Accepted"))));
    all.extend([stray("replies/0", json!("Rejected")), stray("elsewhere", json!("Accepted"))]);
    all.extend([withdraw("replies/0"), withdraw("replies/1")]);
    all.push(request(Channel::GET_TOKEN_VALIDATION_STATUS, "replies/1", &Value::Null));
    all.push(request(Channel::GET_TOKEN_VALIDATION_STATUS, "replies/0", &Value::Null));
    all.push(on(Channel::COMMUNICATION_CHECK, json!(true)).by_module());
    all.push(Message { kind: Sort::Control, ..stray("", json!(1)) });
    all.push(Message { json: None, ..stray("replies/0", Value::Null) });
    all
}

prop_compose! {
    /// A scenario, and whether it is for a client.
    fn scenario()(
        is_clients in any::<bool>(),
        begins in 0..3_usize,
        steps in prop::collection::vec(0..STEPS.len() + REPLIES.len(), 1..7),
    ) -> (bool, String) {
        let begin = ["withdraw: {as: a, within: 40ms}\n- get_status: {as: b, within: 40ms}", "note: x", "present_token: ALICE"][begins];
        let all: Vec<&str> = STEPS.into_iter().chain(REPLIES).collect();
        let is_reply = |step: &&str| step.starts_with("expect_reply");
        let chosen = steps.into_iter().map(|step| all[step]).filter(|step| begins == 0 || !is_reply(step));
        let lines: Vec<String> = std::iter::once(begin).chain(chosen).map(|step| format!("- {step}")).collect();
        (is_clients, lines.join("\n"))
    }
}

prop_compose! {
    /// What passes, whoever sends it, with hold-ups and ends.
    fn record()(
        picked in prop::collection::vec((0..messages().len(), 0..40_u64, any::<prop::sample::Index>(), 0..100_u8), 0..24),
    ) -> Vec<(u64, Event)> {
        let all = messages();
        let mut now = 0;
        picked.into_iter().map(|(which, gap, index, odd)| {
            now += if gap > 20 { 0 } else { gap };
            let event = match odd {
                0..=3 => Event::HeldUp(u64::try_from(index.index(60)).unwrap()),
                4..=5 => Event::Ends,
                6..=7 => Event::Leaves,
                8..=20 => Event::Burst(vec![all[which].clone(), all[index.index(all.len())].clone()]),
                _ => Event::Message(all[which].clone()),
            };
            (now, event)
        }).collect()
    }
}

/// The same record as an EVerest under test would be party to.
fn of_side(is_clients: bool, events: Vec<(u64, Event)>) -> Vec<(u64, Event)> {
    let turned = |message: Message| {
        let from = if message.from == Party::Module { Party::Harness } else { Party::Module };
        Message { from, ..message }
    };
    let turned = |event| match event {
        Event::Message(message) if !is_clients => Event::Message(turned(message)),
        Event::Burst(messages) if !is_clients => Event::Burst(messages.into_iter().map(turned).collect()),
        event => event,
    };
    events.into_iter().map(|(millis, event)| (millis, turned(event))).collect()
}

/// None, where the checker has something against the scenario.
fn court(is_clients: bool, steps: &str) -> Option<Court> {
    Court::parse(if is_clients { "client" } else { "everest" }, "auth_consumer", steps).ok()
}

/// A step that is met by messages of its own, which no other step of these cares for.
fn lanes() -> [(&'static str, Vec<Message>); 4] {
    [
        (
            "expect_status: {token: ALICE, sequence: [Processing, Accepted]}",
            vec![status(ALICE, "Processing"), status(ALICE, "Accepted")],
        ),
        (
            "expect_status: {token: BOB, sequence: [Processing, Rejected]}",
            vec![status(BOB, "Processing"), status(BOB, "Rejected")],
        ),
        ("expect_evse: {evse: 1, call: authorize_response}", vec![call(1, "authorize_response", json!({}))]),
        ("expect: {message: heartbeat, payload: 2}", vec![beat(0), beat(1), beat(2)]),
    ]
}

/// Takes the messages of lanes in an order in which each lane keeps its own.
fn merged(mut lanes: Vec<Vec<Message>>, choices: &[prop::sample::Index]) -> Vec<Message> {
    let mut merged = Vec::new();
    for choice in choices.iter().cycle() {
        lanes.retain(|lane| !lane.is_empty());
        if lanes.is_empty() {
            break;
        }
        let lane = choice.index(lanes.len());
        merged.push(lanes[lane].remove(0));
    }
    merged
}

fn timed(messages: Vec<Message>) -> Vec<(u64, Event)> {
    (1..).zip(messages).map(|(millis, message)| at(millis, message)).collect()
}

fn in_any_order() -> String {
    let steps: String = lanes().iter().map(|(step, _)| format!("\n    - {step}")).collect();
    format!("- present_token: ALICE\n- present_token: BOB\n- any_order:{steps}")
}

/// What none of the steps in [`lanes`] is about.
fn foreign() -> Vec<Message> {
    let control = Message { kind: Sort::Control, ..stray("", json!({"withdraw": {}})) };
    let check = on(Channel::COMMUNICATION_CHECK, json!(true)).by_module();
    vec![
        control,
        check,
        withdraw("r/9"),
        stray("x", json!(1)),
        status("OTHER", "Accepted"),
        beat(9),
        call(7, "authorize_response", json!({})),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_global_rejects: 50_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Lanes, claims and the cursor are short cuts: whoever looks at every message again each time says the same.
    #[test]
    fn the_judge_says_what_rescanning_says((is_clients, steps) in scenario(), events in record()) {
        let Some(court) = court(is_clients, &steps) else { return Err(TestCaseError::reject("no scenario")) };
        let events = of_side(is_clients, events);
        let judged = court.judge(&events);
        let naive = court.hear(&events, Naive::new(court.case()));
        prop_assert_eq!(judged.id(), naive.id());
        if judged.id() != "expect/no-reply-topic" {
            prop_assert_eq!(&judged.not_met, &naive.not_met);
        }
        prop_assert_eq!((judged.at, judged.claims, judged.captures), (naive.at, naive.claims, naive.captures));
        prop_assert_eq!((judged.wanted, judged.deadlines), (naive.wanted, naive.deadlines));
    }

    /// Nothing but scenario and record decides.
    #[test]
    fn an_equal_record_gives_an_equal_verdict((is_clients, steps) in scenario(), events in record()) {
        let events = of_side(is_clients, events);
        let Some(court) = court(is_clients, &steps) else { return Err(TestCaseError::reject("no scenario")) };
        prop_assert_eq!(court.judge(&events), court.judge(&events));
    }

    /// What comes after a verdict changes nothing of it.
    #[test]
    fn a_verdict_is_final((is_clients, steps) in scenario(), events in record(), more in record()) {
        let Some(court) = court(is_clients, &steps) else { return Err(TestCaseError::reject("no scenario")) };
        let mut events = of_side(is_clients, events);
        let first = court.judge(&events);
        let end = events.last().map_or(0, |(millis, _)| *millis).max(first.at) + 1;
        events.extend(of_side(is_clients, more).into_iter().map(|(millis, event)| (end + millis, event)));
        let second = court.judge(&events);
        prop_assert_eq!((first.not_met, first.told, first.at), (second.not_met, second.told, second.at));
    }

    /// However independent messages come among each other: who has sent what is wanted is right, whoever has not is wrong.
    #[test]
    fn no_verdict_changes_with_the_order_of_independent_messages(
        choices in prop::collection::vec(any::<prop::sample::Index>(), 12),
        others in prop::collection::vec(any::<prop::sample::Index>(), 12),
        faulty in prop::option::of((0..4_usize, any::<bool>())),
    ) {
        let mut of_lanes = lanes().map(|(_, messages)| messages).to_vec();
        match faulty {
            // Its last message does not come, or is another.
            Some((lane, false)) => drop(of_lanes[lane].pop()),
            Some((lane, true)) => *of_lanes[lane].last_mut().unwrap() = [
                status(ALICE, "TimedOut"), status(BOB, "Accepted"), call(1, "withdraw_authorization", json!({})), beat(8),
            ][lane].clone(),
            None => {}
        }
        let court = Court::of_client(&in_any_order());
        let judge = |choices| court.judge(&timed(merged(of_lanes.clone(), choices)));
        let (first, second) = (judge(&choices), judge(&others));
        prop_assert_eq!(first.id(), if faulty.is_some() { "scenario/contradicted" } else { "met" });
        let headline = |told: &Option<super::court::Told>| told.as_ref().map(|told| (told.id, told.headline.clone(), told.line));
        prop_assert_eq!(headline(&first.told), headline(&second.told));
    }

    /// The record of a conforming side has no finding, whatever else it says.
    #[test]
    fn a_conforming_record_has_no_finding(
        choices in prop::collection::vec(any::<prop::sample::Index>(), 12),
        more in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..8),
        gap in 1..400_u64,
    ) {
        let mut messages = merged(lanes().map(|(_, messages)| messages).to_vec(), &choices);
        for (which, place) in more {
            let foreign = foreign();
            let place = place.index(messages.len() + 1);
            messages.insert(place, foreign[which.index(foreign.len())].clone());
        }
        // The last one comes within its time still.
        let events: Vec<_> = (1..).zip(messages).map(|(number, message)| at((number * gap).min(4900), message)).collect();
        let outcome = Court::of_client(&in_any_order()).judge(&events);
        prop_assert_eq!(outcome.told, None);
    }

    /// Messages that nobody wants make no verdict better.
    #[test]
    fn no_verdict_gets_better_by_more_messages(
        choices in prop::collection::vec(any::<prop::sample::Index>(), 12),
        missing in any::<prop::sample::Index>(),
        more in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..8),
    ) {
        let mut of_lanes = lanes().map(|(_, messages)| messages).to_vec();
        let lane = missing.index(of_lanes.len());
        of_lanes[lane].pop();
        let mut messages = merged(of_lanes, &choices);
        for (which, place) in more {
            let foreign = foreign();
            messages.insert(place.index(messages.len() + 1), foreign[which.index(foreign.len())].clone());
        }
        prop_assert_eq!(Court::of_client(&in_any_order()).judge(&timed(messages)).id(), "scenario/contradicted");
    }

    /// A silence that is broken stays broken, whatever else comes.
    #[test]
    fn a_broken_silence_is_not_mended(events in record(), more in record(), which in 19..23_usize) {
        let court = Court::of_client(&format!("- note: x\n- {}", STEPS[which]));
        let only_messages = |events: Vec<(u64, Event)>| events.into_iter().filter(|(_, event)| matches!(event, Event::Message(_) | Event::Burst(_)));
        let few: Vec<_> = only_messages(events).collect();
        let mut many: Vec<_> = few.iter().cloned().chain(only_messages(more)).collect();
        many.sort_by_key(|(millis, _)| *millis);
        // A reply is one by the request before it, which more messages may bring.
        let is_mended = court.judge(&few).not_met.is_some() && court.judge(&many).not_met.is_none();
        prop_assert!(!is_mended || STEPS[which].contains("reply"));
    }
}

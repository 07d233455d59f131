//! Expectations: what meets one, what breaks one, in which order, and by when.

use serde_json::{Value, json};

use super::court::{
    ALICE, BOB, Court, Event, Message, Outcome, Sort, at, beat, call, did, discover, on, request, status, stray,
    withdraw,
};
use crate::conformance::sighting::Party;
use crate::protocol::channel::Channel;
use crate::protocol::control::Deed;

const SEQUENCE: &str =
    "- present_token: ALICE\n- expect_status: {token: ALICE, sequence: [Processing, Accepted], within: 1s}";
const ONE: &str = "- present_token: ALICE\n- expect_status: {token: ALICE, status: Accepted, within: 1s}";
const BEAT: &str = "- note: x\n- expect: {message: heartbeat, payload: 7, within: 1s}";

/// Judges the scenario of a client.
fn client(steps: &str, events: &[(u64, Event)]) -> Outcome {
    Court::of_client(steps).judge(events)
}

/// Judges the scenario of an EVerest, whose messages are all the module's.
fn everest(steps: &str, events: &[(u64, Event)]) -> Outcome {
    let is_its = |event: &Event| match event {
        Event::Message(message) if message.from == Party::Harness => Event::Message(message.clone().by_module()),
        other => other.clone(),
    };
    let events: Vec<_> = events.iter().map(|(millis, event)| (*millis, is_its(event))).collect();
    Court::of_everest(steps).judge(&events)
}

/// The claims in short: the number of the step of each message.
fn claims(outcome: &Outcome) -> Vec<Option<u32>> {
    let number = |pointer: &String| pointer.split('/').nth(2).and_then(|number| number.parse().ok());
    outcome.claims.iter().map(|claim| claim.as_ref().and_then(number)).collect()
}

#[test]
fn a_status_is_met_by_the_next_of_its_token_alone() {
    let met = client(ONE, &[at(10, status(BOB, "Rejected")), at(20, beat(0)), at(30, status(ALICE, "Accepted"))]);
    assert_eq!((met.id(), met.at), ("met", 30));
    assert_eq!(claims(&met), [None, None, Some(1)]);
    // Re-presentation in other letters is another attempt.
    let other = client(ONE, &[at(10, status("04a2f3b1", "Accepted"))]);
    assert_eq!(other.id(), "scenario/contradicted");
}

#[test]
fn a_wrong_status_breaks_at_once_whoever_sends_it() {
    let events = [at(10, status(ALICE, "Rejected")), at(20, status(ALICE, "Accepted"))];
    let khumbus = client(ONE, &events);
    assert_eq!((khumbus.id(), khumbus.at), ("scenario/contradicted", 10));
    let told = khumbus.told.unwrap();
    assert_eq!((told.verdict, told.line), ("error", 13));
    assert_eq!(told.headline, "the simulated EVerest published status `Rejected`, expected `Accepted`");
    let modules = everest(ONE, &events);
    assert_eq!((modules.id(), modules.at), ("expect/payload-mismatch", 10));
    assert_eq!(modules.told.unwrap().headline, "module `api` published status `Rejected`, expected `Accepted`");
}

#[test]
fn each_status_of_a_sequence_has_the_whole_time() {
    for (first, second, id, over) in [
        (900, 1800, "met", 1800),
        (1000, 2000, "met", 2000),
        (900, 1901, "expect/late", 1901),
        (900, 3899, "expect/late", 3899),
        // After three times its time it counts as never.
        (900, 3901, "expect/missing", 3900),
        (1001, 1002, "expect/late", 1001),
    ] {
        let outcome =
            everest(SEQUENCE, &[at(first, status(ALICE, "Processing")), at(second, status(ALICE, "Accepted"))]);
        assert_eq!((outcome.id(), outcome.at), (id, over), "{first} {second}");
    }
}

#[test]
fn a_sequence_names_the_element_that_differs() {
    let outcome = client(SEQUENCE, &[at(1, status(ALICE, "Processing")), at(2, status(ALICE, "TimedOut"))]);
    let told = outcome.told.unwrap();
    assert_eq!(told.headline, "the simulated EVerest published status `TimedOut`, expected `Accepted`");
    assert!(outcome.not_met.unwrap().contains("/steps/1/expect_status/sequence/1"));
    assert_eq!(
        told.evidence[1],
        "before it: …/e2m/token_validation_status q2 {\"status\":\"Processing\",\"token\":{\"connectors\":[1],\"id_token\":{\"type\":\"ISO14443\",\"value\":\"04A2F3B1\"}}}"
    );
}

#[test]
fn connectors_and_payload_are_those_of_the_last_status() {
    let steps = |more: &str| {
        format!("- present_token: ALICE\n- expect_status: {{token: ALICE, sequence: [Processing, Accepted], {more}}}")
    };
    let events = [at(1, status(ALICE, "Processing")), at(2, status(ALICE, "Accepted"))];
    for (more, pointer) in [
        ("connectors: [1]", None),
        ("connectors: [2]", Some("/steps/1/expect_status/connectors/0")),
        ("connectors: [1, 2]", Some("/steps/1/expect_status/connectors")),
        ("payload: {status: Accepted}", None),
        ("payload: {status: Processing}", Some("/steps/1/expect_status/payload/status")),
        ("payload: {token: {connectors: $absent}}", Some("/steps/1/expect_status/payload/token/connectors")),
    ] {
        let outcome = client(&steps(more), &events);
        assert_eq!(outcome.not_met.is_some(), pointer.is_some(), "{more}");
        if let Some(pointer) = pointer {
            assert!(outcome.not_met.as_ref().unwrap().contains(&format!("\"{pointer}\"")), "{more}: {outcome:?}");
        }
    }
    let json = json!({"status": "Accepted", "token": {"id_token": {"value": ALICE}}});
    let without =
        client(&steps("connectors: [1]"), &[events[0].clone(), at(2, on(Channel::TOKEN_VALIDATION_STATUS, json))]);
    assert_eq!(
        without.told.unwrap().headline,
        "the simulated EVerest published a status without `connectors`, expected an array like [1]"
            .replace("an array like [1]", &array())
    );
}

/// How a pattern of one connector is told.
fn array() -> String {
    crate::scenario::pattern::Pattern::compile(&json!([1])).unwrap().in_words()
}

#[test]
fn off_the_lanes_the_first_that_fits_is_taken() {
    let met = client(BEAT, &[at(1, beat(5)), at(2, beat(6)), at(3, beat(7)), at(4, beat(7))]);
    assert_eq!((met.id(), met.at), ("met", 3));
    assert_eq!(claims(&met), [None, None, Some(1), None]);
    let missing = client(BEAT, &[at(1, beat(6))]);
    assert_eq!((missing.id(), missing.at), ("scenario/contradicted", 3000));
    let told = missing.told.unwrap();
    assert_eq!(told.headline, "the simulated EVerest sent no matching heartbeat within 1s");
    assert_eq!(
        told.evidence,
        [
            "waited 1s",
            "nearest: …/e2m/heartbeat q2 6",
            "but the payload is `6`, expected `7`",
            "meanwhile: nothing else but heartbeats and communication checks"
        ]
    );
}

#[test]
fn a_message_is_told_by_kind_topic_qos_and_flag() {
    let events = [at(1, beat(7).at_qos(1)), at(2, status(ALICE, "Accepted").retained())];
    for (expected, first) in [
        ("{message: heartbeat}", Some(0)),
        ("{message: heartbeat, qos: 1}", Some(0)),
        ("{message: heartbeat, qos: 2}", None),
        ("{message: heartbeat, retain: false}", Some(0)),
        ("{message: heartbeat, retain: true}", None),
        ("{message: heartbeat, api: auth_consumer}", Some(0)),
        ("{message: heartbeat, api: auth_token_provider}", None),
        ("{message: token_validation_status, retain: true}", Some(1)),
        ("{topic: \"{e2m}/#\"}", Some(0)),
        ("{topic: \"{e2m}/token_validation_status\"}", Some(1)),
        ("{topic: \"{e2m}/#\", retain: true}", Some(1)),
        ("{topic: \"elsewhere\"}", None),
    ] {
        let outcome = client(&format!("- note: x\n- expect: {expected}"), &events);
        let claimed = outcome.claims.iter().position(Option::is_some);
        assert_eq!((claimed, outcome.not_met.is_none()), (first, first.is_some()), "{expected}");
    }
}

#[test]
fn a_topic_alone_means_neither_commands_nor_what_everest_does_inside() {
    let control = Message { kind: Sort::Control, ..stray("", json!({"withdraw": {}})) };
    let inside = did(Deed::ReservationUpdate, json!({"reservation_id": 1, "reservation_status": "Used"}));
    for (topic, message) in [("khumbu/api/do", control), ("khumbu/api/did", inside.clone())] {
        let steps = format!("- note: x\n- expect: {{topic: {topic}, within: 1s}}");
        let events = [at(1, message.by_module())];
        assert_eq!(client(&steps, &events).id(), "expect/missing", "{topic}");
    }
    let steps = "- note: x\n- expect: {message: reservation_update, payload: {reservation_status: Used}}";
    assert_eq!(client(steps, &[at(1, inside)]).id(), "met");
}

#[test]
fn who_has_to_publish_on_a_topic_follows_from_it() {
    let on = |topic: &str| [at(1, stray(topic, json!(1))), at(2, stray(topic, json!(2)).by_module())];
    let base = "everest_api/1/auth_consumer/api";
    for (side, topic, first) in [
        ("client", format!("{base}/e2m/x"), 0),
        ("client", format!("{base}/m2e/x"), 1),
        ("client", "everest_api/1/auth_token_provider/other_api/e2m/x".to_owned(), 0),
        ("client", "everest_api/1/auth_token_provider/other_api/m2e/x".to_owned(), 0),
        ("client", "elsewhere".to_owned(), 1),
        ("everest", format!("{base}/e2m/x"), 1),
        ("everest", format!("{base}/m2e/x"), 0),
        ("everest", "everest_api/1/auth_token_provider/other_api/e2m/x".to_owned(), 1),
        ("everest", "everest_api/1/auth_token_provider/other_api/m2e/x".to_owned(), 0),
    ] {
        let outcome =
            Court::of(side, "auth_consumer", &format!("- note: x\n- expect: {{topic: {topic}}}")).judge(&on(&topic));
        assert_eq!(outcome.claims.iter().position(Option::is_some), Some(first), "{side} {topic}");
    }
}

#[test]
fn what_follows_must_come_after() {
    let steps = "- present_token: ALICE\n- expect_status: {token: ALICE, status: Accepted}\n- expect: {message: heartbeat, within: 1s}";
    let before = client(steps, &[at(1, beat(1)), at(2, status(ALICE, "Accepted"))]);
    assert_eq!(before.id(), "scenario/contradicted");
    assert!(before.told.unwrap().evidence.contains(&"but it came before what the step above was met by".to_owned()));
    let after = client(steps, &[at(1, beat(1)), at(2, status(ALICE, "Accepted")), at(3, beat(2))]);
    assert_eq!(claims(&after), [None, Some(1), Some(2)]);
}

#[test]
fn on_a_lane_what_comes_before_the_step_above_is_out_of_order() {
    let steps = "- present_token: ALICE\n- present_token: BOB\n- expect_status: {token: ALICE, status: Accepted}\n- expect_status: {token: BOB, status: Accepted}";
    let events = [at(1, status(BOB, "Accepted")), at(2, status(ALICE, "Accepted"))];
    let khumbus = client(steps, &events);
    assert_eq!((khumbus.id(), khumbus.at), ("expect/out-of-order", 2));
    let told = khumbus.told.unwrap();
    assert_eq!((told.verdict, told.headline.as_str()), ("error", "the simulated EVerest sent the status too early"));
    // Nobody says which thread of an EVerest comes first, unless they are far apart.
    assert_eq!(everest(steps, &events).id(), "met");
    for (apart, held_up, id) in
        [(300, 0, "met"), (301, 0, "expect/out-of-order"), (600, 300, "met"), (601, 900, "expect/out-of-order")]
    {
        let events =
            [at(1, status(BOB, "Accepted")), (2, Event::HeldUp(held_up)), at(1 + apart, status(ALICE, "Accepted"))];
        assert_eq!(everest(steps, &events).id(), id, "{apart} {held_up}");
    }
    assert_eq!(everest(steps, &[events[1].clone(), at(3, status(BOB, "Accepted"))]).id(), "met");
}

#[test]
fn in_any_order_each_takes_its_own() {
    let steps = "- present_token: ALICE\n- any_order:\n    - expect_status: {token: ALICE, status: Accepted, within: 1s}\n    - expect: {message: heartbeat, within: 2s}\n    - expect_evse: {evse: 1, call: authorize_response, within: 3s}\n- expect: {message: heartbeat}";
    let three = [status(ALICE, "Accepted"), beat(1), call(1, "authorize_response", json!({}))];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut events: Vec<_> = (1..).zip(order).map(|(millis, which)| at(millis, three[which].clone())).collect();
        events.push(at(9, beat(2)));
        let outcome = client(steps, &events);
        assert_eq!((outcome.id(), outcome.at), ("met", 9), "{order:?}");
        assert!(outcome.claims.iter().all(Option::is_some));
    }
    // The earliest deadline that is open counts.
    let late = client(steps, &[at(1, status(ALICE, "Accepted"))]);
    assert_eq!((late.id(), late.at), ("scenario/contradicted", 4000));
    assert!(late.not_met.unwrap().contains("/steps/1/any_order/1/expect"));
    let later = client(steps, &[at(1, status(ALICE, "Accepted")), at(2, beat(1))]);
    assert_eq!(later.at, 5000);
    // What comes before the last of them does not count for what follows.
    let events = [
        at(1, beat(1)),
        at(2, beat(2)),
        at(3, call(1, "authorize_response", json!({}))),
        at(4, status(ALICE, "Accepted")),
    ];
    assert_eq!(client(steps, &events).id(), "scenario/contradicted");
}

#[test]
fn in_any_order_a_mismatch_on_one_lane_is_none_where_another_takes_the_message() {
    let steps = "- present_token: ALICE\n- any_order:\n    - expect_status: {token: ALICE, status: Accepted}\n    - expect_status: {token: ALICE, status: Rejected}";
    assert_eq!(client(steps, &[at(1, status(ALICE, "Rejected")), at(2, status(ALICE, "Accepted"))]).id(), "met");
    let neither = client(steps, &[at(1, status(ALICE, "TimedOut"))]);
    assert!(neither.not_met.unwrap().contains("/steps/1/any_order/0/expect_status/status"), "the first is named");
}

#[test]
fn what_was_said_before_the_stimulus_does_not_count() {
    let steps = "- expect: {message: communication_check}\n- present_token: ALICE\n- expect_status: {token: ALICE, status: Accepted, within: 1s}";
    let check = on(Channel::COMMUNICATION_CHECK, json!(true)).by_module();
    let early = client(steps, &[at(1, status(ALICE, "Accepted")), at(2, check.clone())]);
    assert_eq!((early.id(), claims(&early)), ("scenario/contradicted", vec![None, Some(0)]));
    assert!(early.told.unwrap().evidence.contains(&"but it came before the last stimulus".to_owned()));
    assert_eq!(client(steps, &[at(1, check), at(2, status(ALICE, "Accepted"))]).id(), "met");
}

#[test]
fn statuses_count_from_the_first_presentation_in_a_row() {
    let beats = "- expect: {message: heartbeat}";
    let in_a_row =
        "- present_token: ALICE\n- present_token: ALICE\n- expect_status: {token: ALICE, status: Accepted, within: 1s}";
    assert_eq!(client(in_a_row, &[at(0, status(ALICE, "Accepted"))]).id(), "scenario/contradicted", "before the first");
    // What a plugged EV has to do with it moves the mark, but not the row.
    let between = format!(
        "- present_token: ALICE\n{beats}\n- plug_in: {{evse: 1}}\n- expect_status: {{token: ALICE, status: Accepted, within: 1s}}"
    );
    assert_eq!(
        client(&between, &[at(1, status(ALICE, "Accepted")), at(2, beat(1))]).id(),
        "expect/out-of-order".replace("expect/out-of-order", "met")
    );
    // An expectation that was met ends the row.
    let anew = format!(
        "- present_token: ALICE\n{beats}\n- present_token: ALICE\n- expect_status: {{token: ALICE, status: Accepted, within: 1s}}"
    );
    assert_eq!(client(&anew, &[at(1, status(ALICE, "Accepted")), at(2, beat(1))]).id(), "scenario/contradicted");
}

#[test]
fn what_khumbu_said_before_the_module_was_ready_it_was_not_shown() {
    let court = Court::of_client("- expect: {message: heartbeat, payload: 1, within: 1s}");
    let ready = |since| {
        let mut judge = super::super::Judge::new(court.case(), super::super::Captures::new());
        judge.past.ready_since = since;
        court.hear(&[at(0, beat(1))], judge).id()
    };
    assert_eq!((ready(0), ready(10), ready(11)), ("met", "met", "scenario/contradicted"));
}

#[test]
fn a_reply_is_the_next_on_the_topic_of_its_request() {
    let steps = "- withdraw: {as: first}\n- get_status: {as: second}\n- expect_reply: {to: first, payload: Accepted, within: 1s}\n- expect_reply: {payload: {status: Accepted}, within: 1s}";
    let get = request(Channel::GET_TOKEN_VALIDATION_STATUS, "r/2", &Value::Null);
    let asked = [at(1, withdraw("r/1")), at(2, get)];
    let with = |more: &[(u64, Event)]| client(steps, &[asked.as_slice(), more].concat());
    let met = with(&[at(3, stray("r/1", json!("Accepted"))), at(4, stray("r/2", json!({"status": "Accepted"})))]);
    assert_eq!((met.id(), claims(&met)), ("met", vec![Some(0), Some(1), Some(2), Some(3)]));
    let swapped = with(&[at(3, stray("r/2", json!({"status": "Accepted"}))), at(4, stray("r/1", json!("Accepted")))]);
    assert_eq!(swapped.id(), "expect/out-of-order");
    let other = with(&[at(3, stray("r/1", json!("Rejected")))]);
    assert_eq!(other.id(), "scenario/contradicted");
    assert_eq!(other.told.unwrap().headline, "the simulated EVerest replied `Rejected`, expected `Accepted`");
    let elsewhere = with(&[at(3, stray("r/3", json!("Accepted")))]);
    assert_eq!(
        (elsewhere.id(), elsewhere.at),
        ("scenario/contradicted", 3002),
        "khumbu's own is not looked for elsewhere"
    );
}

#[test]
fn a_reply_of_an_everest_on_another_topic_is_told() {
    let steps = "- withdraw: {}\n- expect_reply: {payload: Accepted, within: 1s}";
    let astray = everest(steps, &[at(3, stray("elsewhere", json!("Accepted")))]);
    assert_eq!((astray.id(), astray.at), ("expect/wrong-topic", 1000), "nothing is waited for");
    let told = astray.told.unwrap();
    assert_eq!(told.headline, "module `api` sent the reply on another topic");
    assert_eq!(told.evidence, ["expected on: replies/0", "seen: elsewhere q2 \"Accepted\""]);
    let missing = everest(steps, &[at(3, stray("elsewhere", json!("Rejected")))]);
    assert_eq!((missing.id(), missing.at), ("expect/missing", 3000));
    assert_eq!(everest(steps, &[at(3, stray("replies/0", json!("Accepted")))]).id(), "met");
}

#[test]
fn replies_to_a_discovery_are_no_lane() {
    let steps = "- discover: {}\n- expect_reply: {payload: {apis: [{type: auth_consumer}]}, within: 1s}";
    let discover = discover("r/1");
    let replies = [
        at(2, stray("r/1", json!({"apis": [{"type": "auth_token_provider"}]}))),
        at(3, stray("r/1", json!({"apis": [{"type": "auth_consumer"}]}))),
    ];
    let met = client(steps, &[[at(1, discover.clone())].as_slice(), &replies].concat());
    assert_eq!((met.id(), claims(&met)), ("met", vec![Some(0), None, Some(1)]));
    let missing = client(steps, &[at(1, discover), replies[0].clone()]);
    let told = missing.told.unwrap();
    assert_eq!(told.headline, "the simulated EVerest sent no matching reply within 1s");
    assert!(told.evidence.contains(&"but `apis.0.type` is `auth_token_provider`, expected `auth_consumer`".to_owned()));
}

#[test]
fn replies_on_one_topic_are_the_modules_own_doing() {
    let steps = "- get_status: {as: a}\n- get_status: {as: b}\n- expect_reply: {to: b, payload: {status: Accepted}, within: 1s}";
    let get = || request(Channel::GET_TOKEN_VALIDATION_STATUS, "r", &Value::Null);
    let outcome = client(steps, &[at(1, get()), at(2, get()), at(3, stray("r", json!("Rejected")))]);
    assert_eq!(outcome.id(), "expect/outcome");
    let told = outcome.told.unwrap();
    assert_eq!(told.headline, "given what module `api` sent, EVerest replied `Rejected`, expected an object");
    assert_eq!(told.verdict, "fail");
    assert_eq!(told.evidence.iter().filter(|line| line.starts_with("the module sent: ")).count(), 2);
    let steps = steps.replace("- expect_reply", "- expect: {message: heartbeat}\n- expect_reply");
    let early =
        client(&steps, &[at(1, get()), at(1, stray("r", json!({"status": "Accepted"}))), at(2, get()), at(3, beat(1))]);
    assert_eq!(early.told.unwrap().headline, "given what module `api` sent, EVerest sent the reply too early");
}

#[test]
fn a_call_to_an_evse_has_no_order_with_messages() {
    let steps = "- present_token: ALICE\n- expect_status: {token: ALICE, status: Accepted}\n- expect_evse: {evse: 2, call: withdraw_authorization, within: 1s}\n- expect: {message: heartbeat}";
    let called = call(2, "withdraw_authorization", json!({"a": 1}));
    let met = client(steps, &[at(1, called.clone()), at(2, status(ALICE, "Accepted")), at(3, beat(1))]);
    assert_eq!(claims(&met), [Some(2), Some(1), Some(3)]);
    for other in [call(1, "withdraw_authorization", json!({})), call(2, "authorize_response", json!({}))] {
        let missing = client(steps, &[at(1, other), at(2, status(ALICE, "Accepted"))]);
        assert_eq!((missing.id(), missing.at), ("scenario/contradicted", 3002));
        assert!(missing.told.unwrap().headline.contains("sent no call `withdraw_authorization` to EVSE 2 within 1s"));
    }
    let exact = steps.replace("within: 1s}", "payload: {$unspecified: {a: 2}}}");
    let differs = client(&exact, &[at(1, called), at(2, status(ALICE, "Accepted"))]);
    assert_eq!(differs.told.unwrap().headline, "the simulated EVerest called an EVSE with `1`, expected `2`");
}

#[test]
fn where_calls_are_not_shown_nobody_can_say_that_one_is_missing() {
    let steps = "- note: x\n- expect_evse: {evse: 1, call: authorize_response, within: 1s}";
    let mut court = Court::of_everest(steps);
    assert_eq!(court.judge(&[]).id(), "expect/missing");
    court.shows_calls = false;
    let unseen = court.judge(&[]);
    assert_eq!((unseen.id(), unseen.at), ("module/calls-unseen", 3000));
    let told = unseen.told.unwrap();
    assert_eq!(
        (told.verdict, told.headline.as_str()),
        ("inconclusive", "module `api` does not show what it asks of EVSEs")
    );
    let another = call(2, "authorize_response", json!({})).by_module();
    assert_eq!(court.judge(&[at(1, another)]).id(), "expect/missing", "one shows them");
}

#[test]
fn time_that_khumbu_is_held_up_is_added() {
    for (held_up, when, id, over) in [
        (0, 1000, "met", 1000),
        (500, 1500, "met", 1500),
        (500, 1501, "expect/late", 1501),
        (500, 9000, "expect/missing", 3500),
    ] {
        let events = [(10, Event::HeldUp(held_up)), at(when, status(ALICE, "Accepted"))];
        let outcome = everest(ONE, &events);
        assert_eq!((outcome.id(), outcome.at), (id, over), "{held_up} {when}");
    }
    // What was before the expectation is not added.
    let before = everest(ONE, &[(0, Event::HeldUp(700)), at(1001, status(ALICE, "Accepted"))]);
    assert_eq!(before.id(), "expect/late");
    // Each status has its own.
    let second = [(10, Event::HeldUp(700)), at(20, status(ALICE, "Processing")), at(1021, status(ALICE, "Accepted"))];
    assert_eq!(everest(SEQUENCE, &second).id(), "expect/late");
    let longer = [at(20, status(ALICE, "Processing")), (30, Event::HeldUp(700)), at(1720, status(ALICE, "Accepted"))];
    assert_eq!(everest(SEQUENCE, &longer).id(), "met");
}

#[test]
fn late_is_told_from_never_for_two_seconds_at_most() {
    let within = |within: &str| {
        format!("- present_token: ALICE\n- expect_status: {{token: ALICE, status: Accepted, within: {within}}}")
    };
    for (allowed, when, id, over) in [
        ("100ms", 300, "expect/late", 300),
        ("100ms", 301, "expect/missing", 300),
        ("5s", 7000, "expect/late", 7000),
        ("5s", 7001, "expect/missing", 7000),
    ] {
        let outcome = everest(&within(allowed), &[at(when, status(ALICE, "Accepted"))]);
        assert_eq!((outcome.id(), outcome.at), (id, over), "{allowed} {when}");
    }
    let late = everest(&within("100ms"), &[at(300, status(ALICE, "Accepted"))]).told.unwrap();
    assert_eq!(late.headline, "module `api` sent the status after 300ms, allowed 100ms");
    // What breaks the lane after its time is not what was awaited.
    assert_eq!(everest(&within("100ms"), &[at(200, status(ALICE, "Rejected"))]).id(), "expect/missing");
}

#[test]
fn nothing_more_is_waited_for_where_it_cannot_come() {
    let leaves = [(10, Event::Leaves), at(1500, status(ALICE, "Accepted"))];
    let outcome = everest(ONE, &leaves);
    assert_eq!((outcome.id(), outcome.at), ("expect/missing", 1000));
    assert_eq!(client(ONE, &leaves).at, 1500, "khumbu's own side is still there");
}

#[test]
fn a_module_that_ends_ends_what_is_expected_of_it() {
    let ends = [at(5, beat(1)), (10, Event::Ends), at(20, status(ALICE, "Accepted"))];
    let modules = everest(ONE, &ends);
    assert_eq!((modules.id(), modules.at), ("module/ended", 10));
    let told = modules.told.unwrap();
    assert_eq!(
        told.headline,
        "module `api` exited with code 3 while a status `Accepted` for token `ALICE` was expected"
    );
    assert_eq!(told.evidence, ["ran: prog (pid 7)", "meanwhile: nothing but heartbeats and communication checks"]);
    assert_eq!(client(ONE, &ends).id(), "met", "khumbu goes on");
    let last = everest(ONE, &[at(10, status(ALICE, "Accepted")), (10, Event::Ends)]);
    assert_eq!(last.id(), "met", "what came before its end counts");
    let in_vain = everest(ONE, &[(1200, Event::Ends)]);
    assert_eq!((in_vain.id(), in_vain.at), ("expect/missing", 1200), "then nothing more is waited for");
    let mut court = Court::of_everest(ONE);
    court.is_builtin = true;
    let own = court.judge(&ends[1..2]).told.unwrap();
    assert_eq!((own.id, own.verdict), ("harness/broken", "error"));
}

#[test]
fn what_follows_from_a_provider_ends_with_it() {
    let steps = "- note: x\n- expect_status: {token: ALICE, status: Accepted, within: 1s}";
    let court = Court::of("client", "auth_token_provider", steps);
    assert_eq!(court.judge(&[(10, Event::Ends)]).id(), "module/ended");
    let missing = court.judge(&[]);
    assert_eq!(missing.id(), "expect/outcome");
    let told = missing.told.unwrap();
    assert_eq!(
        told.headline,
        "given what module `api` sent, EVerest sent no status `Accepted` for token `ALICE` within 1s"
    );
    assert_eq!(told.evidence.last().unwrap(), "the module sent nothing but communication checks");
    let provided = |n: i32| on(Channel::PROVIDED_TOKEN, json!(n)).by_module();
    let many = court.judge(&[at(1, provided(1)), at(2, provided(2)), at(3, provided(3)), at(4, provided(4))]);
    let evidence = many.told.unwrap().evidence;
    let sent: Vec<_> = evidence.iter().filter(|line| line.starts_with("the module sent: ")).collect();
    assert_eq!(sent.len(), 3, "the last ones: {evidence:?}");
    assert!(sent[2].ends_with(" 4"));
}

#[test]
fn captures_are_kept_where_a_message_is_taken() {
    let steps = "- note: x\n- expect: {message: heartbeat, payload: $capture:n}\n- expect: {message: heartbeat, payload: $captured:n, within: 1s}";
    let met = client(steps, &[at(1, beat(4)), at(2, beat(5)), at(3, beat(4))]);
    assert_eq!((met.id(), claims(&met)), ("met", vec![Some(1), None, Some(2)]));
    assert_eq!(met.captures["n"], json!(4));
    assert_eq!(client(steps, &[at(1, beat(4)), at(2, beat(5))]).id(), "scenario/contradicted");
}

#[test]
fn what_is_no_json_is_shown_as_it_is() {
    let steps = "- withdraw: {}\n- expect_reply: {payload: Accepted, within: 1s}";
    let torn = Message { json: None, ..stray("replies/0", Value::Null) };
    let told = everest(steps, &[at(3, torn)]).told.unwrap();
    assert_eq!(
        (told.id, told.headline.as_str()),
        ("expect/payload-mismatch", "module `api` replied `no json`, expected a JSON value")
    );
}

#[test]
fn a_text_that_reads_like_what_is_expected_has_its_quotes() {
    let steps = "- withdraw: {}\n- expect_reply: {payload: {$unspecified: true}, within: 1s}";
    let told = everest(steps, &[at(3, stray("replies/0", json!("true")))]).told.unwrap();
    assert_eq!(told.headline, "module `api` replied `\"true\"`, expected `true`");
}

#[test]
fn what_a_held_up_status_was_given_ends_with_it() {
    let events = [(10, Event::HeldUp(700)), at(1500, status(ALICE, "Processing")), at(2501, status(ALICE, "Accepted"))];
    let outcome = everest(SEQUENCE, &events);
    assert_eq!((outcome.id(), outcome.at), ("expect/late", 2501));
}

#[test]
fn only_threads_of_an_everest_may_come_either_way() {
    let reply = "- withdraw: {as: a}\n- get_status: {as: b}\n- expect_reply: {to: a, payload: $any}\n\
                 - expect_reply: {to: b, payload: $any}";
    let early = [at(1, stray("replies/1", json!({}))), at(2, stray("replies/0", json!("x")))];
    assert_eq!(everest(reply, &early).id(), "expect/out-of-order", "requests are answered one after the other");
    let discovery = reply.replace("get_status", "discover");
    assert_eq!(everest(&discovery, &early).id(), "expect/out-of-order", "whoever answers a discovery has no thread");
    let both = "- present_token: ALICE\n- withdraw: {}\n- expect_reply: {payload: $any}\n\
                - expect_status: {token: ALICE, status: Accepted}";
    let early = [at(1, status(ALICE, "Accepted")), at(2, stray("replies/0", json!("x")))];
    assert_eq!(everest(both, &early).id(), "met");
    let beats =
        "- present_token: ALICE\n- expect: {message: heartbeat}\n- expect_status: {token: ALICE, status: Accepted}";
    assert_eq!(everest(beats, &[early[0].clone(), at(2, beat(1))]).id(), "expect/out-of-order");
    let validator =
        "- present_token: ALICE\n- expect_status: {token: ALICE, status: Accepted}\n- expect_reply: {payload: $any}";
    let question = request(Channel::VALIDATE_TOKEN, "q/1", &json!({"id_token": {"value": ALICE}}));
    let question = Message { from: Party::Harness, ..question };
    let answer = stray("q/1", json!({"authorization_status": "Accepted"})).by_module();
    let events = [at(1, question), at(2, answer), at(3, status(ALICE, "Accepted"))];
    let outcome = Court::of("client", "auth_token_validator", validator).judge(&events);
    assert_eq!(outcome.id(), "expect/out-of-order", "a client has none");
}

#[test]
fn what_may_come_either_way_lets_nothing_earlier_count() {
    let steps = "- present_token: ALICE\n- present_token: BOB\n- expect_status: {token: ALICE, status: Accepted}\n\
                 - expect_status: {token: BOB, status: Accepted}\n- expect: {message: heartbeat, within: 1s}";
    let events = [at(1, status(BOB, "Accepted")), at(2, beat(1)), at(3, status(ALICE, "Accepted"))];
    assert_eq!(everest(steps, &events).id(), "expect/missing");
}

#[test]
fn in_any_order_too_each_begins_where_it_may() {
    let steps = "- present_token: ALICE\n- withdraw: {}\n- expect_reply: {payload: $any}\n- any_order:\n    \
                 - expect: {message: token_validation_status}\n    - expect_status: {token: ALICE, status: Processing}";
    let events =
        [at(1, status(ALICE, "Processing")), at(2, stray("replies/0", json!("x"))), at(3, status(ALICE, "Accepted"))];
    assert_eq!(everest(steps, &events).id(), "met");
}

#[test]
fn the_status_of_a_token_that_was_not_presented_counts_from_the_stimulus() {
    let steps = "- expect: {message: communication_check}\n- plug_in: {evse: 1}\n\
                 - expect_status: {token: ALICE, status: Accepted, within: 1s}";
    let check = on(Channel::COMMUNICATION_CHECK, json!(true)).by_module();
    let early = client(steps, &[at(1, status(ALICE, "Accepted")), at(2, check.clone())]);
    assert_eq!(early.id(), "scenario/contradicted");
    assert_eq!(client(steps, &[at(2, check), at(3, status(ALICE, "Accepted"))]).id(), "met");
}

//! What findings say: the evidence, in its order, and how much of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::super::{Claims, Past, Replies, View};
use super::court::Court;
use super::script::{ALICE, BOB, Message, Sort, at, at_once, beat, status, stray, withdraw};
use crate::conformance::sighting::{Kind, Party, Request};
use crate::diagnostic::words::{actual, cut, elide, plain, shown};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::wire::Wire;

#[test]
fn values_topics_and_times_in_a_sentence() {
    assert_eq!((elide("a/b", "a/b/c"), elide("a/b", "b/a/b")), ("…/c".to_owned(), "b/a/b".to_owned()));
    for (millis, words) in [(0, "0ms"), (999, "999ms"), (1000, "1s"), (1049, "1.0s"), (1500, "1.5s"), (61_000, "61s")] {
        assert_eq!(shown(Duration::from_millis(millis)), words);
    }
    assert_eq!((cut("äöü", 3), cut("äöü", 2)), ("äöü".to_owned(), "äö…".to_owned()));
    assert_eq!((plain(&json!("a")), plain(&json!({"a": "b"}))), ("a".to_owned(), "{\"a\":\"b\"}".to_owned()));
    assert_eq!((actual(None), actual(Some(&json!("a")))), ("nothing".to_owned(), "`a`".to_owned()));
    assert_eq!(actual(Some(&json!("x".repeat(200)))).chars().count(), 123);
}

#[test]
fn what_was_meanwhile_is_the_last_six_that_tell_something() {
    let steps = "- present_token: ALICE\n- expect_status: {token: ALICE, status: Accepted, within: 1s}";
    let events: Vec<_> = (0..9).flat_map(|n| [at(n, beat(n)), at(n, stray(&format!("t/{n}"), json!(n)))]).collect();
    let evidence = Court::of_client(steps).judge(&events).told.unwrap().evidence;
    let wanted: Vec<_> = (3..9).map(|n| format!("meanwhile: t/{n} q2 {n}")).collect();
    assert_eq!(evidence[1..], wanted);
}

#[test]
fn before_a_mismatch_the_last_three_are_told_since_the_stimulus() {
    let steps = "- present_token: ALICE\n- expect_status: {token: ALICE, status: Accepted, within: 1s}";
    let mut events: Vec<_> = (0..5).map(|n| at(n, stray(&format!("t/{n}"), json!(n)))).collect();
    events.extend([at(6, status(ALICE, "Rejected")), at(7, stray("t/7", json!(7)))]);
    let evidence = Court::of_client(steps).judge(&events).told.unwrap().evidence;
    assert!(evidence[0].ends_with(", after 6ms (allowed 1s)"), "{}", evidence[0]);
    assert_eq!(evidence[1..], [2, 3, 4].map(|n| format!("before it: t/{n} q2 {n}")));
}

#[test]
fn the_nearest_says_what_differs_four_times_at_most() {
    let steps = "- note: x\n- expect: {message: token_validation_status, qos: 1, payload: {status: Rejected, token: {connectors: [2], id_token: {value: x, type: Local}}}, within: 1s}";
    let evidence = Court::of_everest(steps).judge(&[at(1, status(BOB, "Accepted").by_module())]).told.unwrap().evidence;
    assert_eq!(evidence.iter().filter(|line| line.starts_with("but ")).count(), 4, "{evidence:?}");
    assert!(evidence.contains(&"and it differs in 1 more".to_owned()), "{evidence:?}");
    assert_eq!(evidence.last().unwrap(), "meanwhile: nothing else but heartbeats and communication checks");
    let other = "- note: x\n- expect: {message: heartbeat, payload: 1, within: 1s}";
    let evidence = Court::of_client(other).judge(&[at(1, beat(1).by_module())]).told.unwrap().evidence;
    assert!(evidence.contains(&"but module `api` has sent it".to_owned()), "{evidence:?}");
    let evidence = Court::of_everest(other).judge(&[at(1, beat(1))]).told.unwrap().evidence;
    assert!(evidence.contains(&"but the simulated client has sent it".to_owned()), "{evidence:?}");
}

#[test]
fn the_nearest_is_looked_for_where_the_step_looks() {
    let nearest = |expected: &str, messages: &[Message]| {
        let steps = format!("- note: x\n- {expected}");
        let told = Court::of_client(&steps).judge(&[at_once(1, messages)]).told.unwrap();
        let about = |line: &&String| line.starts_with("nearest: ") || line.starts_with("but ");
        told.evidence.iter().filter(about).cloned().collect::<Vec<_>>()
    };
    let (x, y) = (stray("x/1", json!(2)).by_module(), stray("y/1", json!(2)).by_module());
    let differs = "but the payload is `2`, expected `1`";
    let of_topic = "expect: {topic: x/+, payload: 1, within: 1s}";
    assert_eq!(nearest(of_topic, &[x.clone(), y.clone()]), ["nearest: x/1 q2 2", differs]);
    assert_eq!(nearest(of_topic, &[y]), [""; 0]);
    let control = Message { kind: Sort::Control, ..stray("", json!(2)).by_module() };
    let of_all = "expect: {topic: \"#\", payload: 1, within: 1s}";
    assert_eq!(nearest(of_all, &[x, control]), ["nearest: x/1 q2 2", differs], "a command is none");
    let flag = |retain: bool| {
        nearest(&format!("expect: {{message: heartbeat, qos: 1, retain: {retain}, within: 1s}}"), &[beat(1)])
    };
    let qos = "but it was sent at QoS 2, expected 1";
    assert_eq!(flag(false)[1..], [qos]);
    assert_eq!(flag(true)[1..], [qos, "but its retain flag is false, expected true"]);
    // The payload is that of the last status.
    let of_status = |status: &str| {
        let expected =
            format!("expect_status: {{token: ALICE, {status}, payload: {{token: {{connectors: [2]}}}}, within: 1s}}");
        nearest(&expected, &[self::status(BOB, "Accepted")])
    };
    let token = "but `token.id_token.value` is `00123456`, expected `04A2F3B1`";
    assert_eq!(of_status("sequence: [Accepted, UsedToStart]")[1..], [token]);
    assert_eq!(of_status("status: Accepted")[1..], [token, "but `token.connectors.0` is `1`, expected `2`"]);
}

#[test]
fn a_message_in_a_line() {
    let court = Court::of_client("- note: x");
    let line = |wire: Wire, message| {
        let court = Court { wire, ..Court::of_client("- expect_none: {topic: \"#\", for: 1s}") };
        court.judge(&[at(1, message)]).told.unwrap().evidence[0].clone()
    };
    assert_eq!(line(Wire::Everest, beat(1).retained().at_qos(0)), "…/e2m/heartbeat q0 retain 1");
    let long = line(Wire::Everest, stray("t", json!("x".repeat(300))));
    assert_eq!(long.chars().count(), "t q2 ".len() + 160 + 1);
    assert_eq!(court.case().elided("everest_api/1/auth_consumer/api/e2m/x"), "…/e2m/x");
    assert_eq!(court.case().filled("{e2m}/{module_id}{external_prefix}"), "everest_api/1/auth_consumer/api/e2m/api");
    assert_eq!(
        court.case().filled("{consumer} {provider} {validator} {unknown}"),
        "everest_api/1/auth_consumer/api everest_api/1/auth_token_provider/other_api \
         everest_api/1/auth_token_validator/other_api {unknown}"
    );
}

#[test]
fn khumbus_own_message_is_told_with_the_form_that_everest_would_not_write() {
    let control = Message { kind: Sort::Control, ..stray("", json!({"a": 1})) };
    for (wire, message, form) in [
        (Wire::Everest, status(ALICE, "Accepted"), None),
        (Wire::Compact, status(ALICE, "Accepted"), Some("compact")),
        (Wire::SameMeaning, status(ALICE, "Accepted"), Some("compact")),
        // A number looks the same in both.
        (Wire::Compact, beat(1), None),
        (Wire::Compact, status(ALICE, "Accepted").by_module(), None),
        (Wire::Compact, stray("x", json!({"a": 1})), None),
        (Wire::Compact, control, None),
    ] {
        let court = Court { wire, ..Court::of_client("- note: x") };
        let line = court.case().line(&court.sightings(std::slice::from_ref(&message))[0]);
        let written = line.split_once(" (written as `").and_then(|(_, rest)| rest.strip_suffix("`)"));
        assert_eq!(written, form, "{wire} {message:?}: {line}");
    }
}

#[test]
fn who_is_asked_and_what_follows_is_a_matter_of_side_and_api() {
    for (side, api, is_asked, is_other_api) in [
        ("client", ApiType::AUTH_CONSUMER, false, false),
        ("client", ApiType::AUTH_TOKEN_PROVIDER, false, true),
        ("client", ApiType::AUTH_TOKEN_VALIDATOR, true, true),
        // EVerest answers what it is asked, whichever of its APIs is under test, and what it does is its own doing.
        ("everest", ApiType::AUTH_CONSUMER, false, false),
        ("everest", ApiType::AUTH_TOKEN_PROVIDER, false, false),
        ("everest", ApiType::AUTH_TOKEN_VALIDATOR, false, false),
    ] {
        let mut court = Court::of(side, "auth_consumer", "- note: x");
        court.topics = court.topics.of(api, "api");
        let case = court.case();
        assert_eq!((case.is_asked(), case.is_other_api()), (is_asked, is_other_api), "{side} {api:?}");
    }
}

#[test]
fn a_number_between_two_messages_is_none_of_either() {
    let court = Court::of_client("- note: x");
    let messages = court.sightings(&[withdraw("r/1"), withdraw("r/2")]);
    let requests = [(10, "r/1"), (13, "r/2")].map(|(seq, reply_topic)| Request {
        seq,
        from: Party::Module,
        kind: Kind::Channel(Channel::WITHDRAW_AUTHORIZATION),
        token: None,
        reply_topic: reply_topic.to_owned(),
        is_answered: false,
    });
    let subscriptions = BTreeMap::new();
    let view = View { messages: &messages, requests: &requests, subscriptions: &subscriptions };
    for (seq, found) in [(9, None), (10, Some(10)), (11, None), (12, None), (13, Some(13)), (14, None)] {
        assert_eq!(view.message(seq).map(|seen| seen.seq), found);
        assert_eq!(view.request(seq).map(|request| request.seq), found);
    }
    assert_eq!([0, 10, 11, 13, 14].map(|seq| view.since(seq)), [0, 0, 1, 1, 2]);
    let questions = requests.clone().map(|request| Request { kind: Kind::Channel(Channel::VALIDATE_TOKEN), ..request });
    let view = View { requests: &questions, ..view };
    assert_eq!([0, 13, 14].map(|seq| view.question(None, seq).map(|it| it.seq)), [Some(13), Some(13), None]);
}

#[test]
fn a_row_of_presentations_begins_anew_after_an_expectation() {
    let mut past = Past::default();
    assert_eq!((past.presented_since("a"), past.asked_since(None)), (None, None));
    for (mark, is_over, since) in [(1, false, 1), (2, false, 1), (3, true, 1), (4, false, 4), (5, false, 4)] {
        past.set_mark(mark);
        past.present("a".to_owned());
        if is_over {
            past.end_presentations();
        }
        assert_eq!((past.presented_since("a"), past.asked_since(None)), (Some(since), Some(since)), "{mark}");
        assert_eq!((past.asked_since(Some("a")), past.asked_since(Some("b"))), (Some(since), None));
    }
    past.floor = Some(9);
    past.set_mark(6);
    assert_eq!((past.mark, past.floor), (6, None));
}

#[test]
fn requests_are_remembered_by_name_and_the_last_by_itself() {
    let mut past = Past::default();
    let replies = |topic: &str| Replies { topic: topic.to_owned(), since: 1 };
    past.request(Some("a"), replies("t/1"));
    past.request(None, replies("t/2"));
    past.name(Some("b"), replies("t/3"));
    let topics = |past: &Past| {
        [Some("a"), Some("b"), Some("c"), None].map(|name| past.replies(name).map(|replies| replies.topic.clone()))
    };
    let some = |topic: &str| Some(topic.to_owned());
    assert_eq!(topics(&past), [some("t/1"), some("t/3"), None, some("t/2")]);
    past.forget_last_request();
    assert_eq!(topics(&past), [some("t/1"), some("t/3"), None, None]);
}

#[test]
fn claims_begin_with_none() {
    assert_eq!(Claims::default().of(3), None);
}

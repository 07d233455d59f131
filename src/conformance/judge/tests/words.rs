//! What findings say: the evidence, in its order, and how much of it.

use std::time::Duration;

use serde_json::json;

use super::super::{Claims, Past};
use super::court::{ALICE, BOB, Court, at, beat, status, stray};
use crate::diagnostic::words::{actual, cut, elide, plain, shown};
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
    let other = "- note: x\n- expect: {message: heartbeat, payload: 1, within: 1s}";
    let evidence = Court::of_client(other).judge(&[at(1, beat(1).by_module())]).told.unwrap().evidence;
    assert!(evidence.contains(&"but module `api` has sent it".to_owned()), "{evidence:?}");
    let evidence = Court::of_everest(other).judge(&[at(1, beat(1))]).told.unwrap().evidence;
    assert!(evidence.contains(&"but the simulated client has sent it".to_owned()), "{evidence:?}");
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
    past.request(Some("a"), "t/1".to_owned());
    past.request(None, "t/2".to_owned());
    past.name(Some("b"), "t/3");
    let topics =
        |past: &Past| [Some("a"), Some("b"), Some("c"), None].map(|name| past.reply_topic(name).map(str::to_owned));
    let some = |topic: &str| Some(topic.to_owned());
    assert_eq!(topics(&past), [some("t/1"), some("t/3"), None, some("t/2")]);
    past.forget_last_request();
    assert_eq!(topics(&past), [some("t/1"), some("t/3"), None, None]);
}

#[test]
fn claims_begin_with_none() {
    assert_eq!(Claims::default().of(3), None);
}

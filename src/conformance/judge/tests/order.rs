//! Order: from where on messages count, which has to come first, and what may come either way.

use serde_json::{Value, json};

use super::court::{BEAT, Court, ONE, claims, client, everest};
use super::script::{
    ALICE, BOB, Event, Message, Sort, at, at_once, beat, call, did, on, request, status, stray, withdraw,
};
use crate::conformance::sighting::Party;
use crate::protocol::channel::Channel;
use crate::protocol::control::Deed;

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
    assert!(told.is_otherwise, "an unasked request of the module may have led there");
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
fn in_any_order_each_takes_its_own_kind_alone() {
    let alike = json!({"evse": 1, "call": "authorize_response", "status": "Rejected", "reservation_status": "Used",
        "token": {"id_token": {"value": ALICE}}});
    let update = did(Deed::ReservationUpdate, json!({"reservation_id": 1, "reservation_status": "Used"}));
    let bobs = status(BOB, "Accepted");
    for (step, own) in [
        ("expect_status: {token: ALICE, status: Accepted}", status(ALICE, "Accepted")),
        ("expect_status: {token: BOB, status: Accepted}", bobs),
        ("expect_evse: {evse: 1, call: authorize_response}", call(1, "authorize_response", json!({}))),
        ("expect: {message: reservation_update}", update),
        ("expect: {message: ready_beacon}", Message { kind: Sort::Beacon, ..beat(1) }),
        ("expect: {message: reply}", stray("r/1", json!("Accepted"))),
        ("expect_reply: {payload: Accepted}", stray("r/1", json!("Accepted"))),
    ] {
        let steps = format!(
            "- withdraw: {{}}\n- any_order:\n    - {step}\n    \
             - expect: {{topic: everest_api/1/auth_consumer/api/e2m/x, payload: {{$unspecified: {{last: true}}}}}}"
        );
        // One that nobody takes, and one that the other takes.
        let other = |json: &Value| stray("everest_api/1/auth_consumer/api/e2m/x", json.clone());
        let mut last = alike.clone();
        last["last"] = json!(true);
        let events = [at(1, withdraw("r/1")), at(2, other(&alike)), at(3, other(&last)), at(4, own)];
        let met = client(&steps, &events);
        assert_eq!((met.id(), met.at, &met.claims[1]), ("met", 4, &None), "{step}");
        assert!(met.claims[2].as_ref().unwrap().ends_with("/1/expect"), "{step}: {:?}", met.claims);
    }
    // Statuses of two tokens, and replies to two requests, have a lane each.
    let two = "- present_token: ALICE\n- any_order:\n    - expect_status: {token: ALICE, status: Accepted}\n    \
               - expect_status: {token: BOB, status: Rejected}";
    assert_eq!(client(two, &[at(1, status(BOB, "Rejected")), at(2, status(ALICE, "Accepted"))]).id(), "met");
    let bobs = client(two, &[at(1, status(BOB, "TimedOut"))]);
    assert!(
        bobs.not_met.unwrap().contains("/steps/1/any_order/1/expect_status/status"),
        "the token's own step is named"
    );
    let two = "- withdraw: {as: a}\n- get_status: {as: b}\n- any_order:\n    - expect_reply: {to: a, payload: Accepted}\n    \
               - expect_reply: {to: b, payload: {status: Accepted}}";
    let get = request(Channel::GET_TOKEN_VALIDATION_STATUS, "r/2", &Value::Null);
    let replies = [at(3, stray("r/2", json!({"status": "Accepted"}))), at(4, stray("r/1", json!("Accepted")))];
    let met = client(two, &[[at(1, withdraw("r/1")), at(2, get)], replies].concat());
    assert_eq!(met.id(), "met");
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
    assert_eq!(client(&between, &[at(1, status(ALICE, "Accepted")), at(2, beat(1))]).id(), "met");
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
fn what_the_module_itself_said_before_it_was_ready_counts() {
    let steps = "- expect: {message: communication_check, within: 1s}";
    let court = Court::of_client(steps);
    let mut judge = super::super::Judge::new(court.case(), super::super::Captures::new());
    judge.past.ready_since = 11;
    let check = on(Channel::COMMUNICATION_CHECK, json!(true)).by_module();
    assert_eq!(court.hear(&[at(0, check)], judge).id(), "met");
    // An EVerest is shown whatever a client says.
    let court = Court::of_everest("- expect: {message: communication_check, within: 1s}");
    let mut judge = super::super::Judge::new(court.case(), super::super::Captures::new());
    judge.past.ready_since = 11;
    assert_eq!(court.hear(&[at(0, on(Channel::COMMUNICATION_CHECK, json!(true)))], judge).id(), "met");
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
    let turned = "- present_token: ALICE\n- withdraw: {}\n- expect_status: {token: ALICE, status: Accepted}\n\
                  - expect_reply: {payload: $any}";
    let early = [at(1, stray("replies/0", json!("x"))), at(2, status(ALICE, "Accepted"))];
    assert_eq!(everest(turned, &early).id(), "met");
    let early = [at(1, status(ALICE, "Accepted")), at(2, stray("replies/0", json!("x")))];
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

#[test]
fn however_many_come_at_once_each_is_looked_at() {
    let other = status(BOB, "Rejected");
    let in_time = everest(ONE, &[at_once(10, &[other.clone(), other.clone(), status(ALICE, "Accepted")])]);
    assert_eq!(in_time.id(), "met");
    let beats = everest(BEAT, &[at_once(10, &[beat(5), beat(6), beat(7)])]);
    assert_eq!((beats.id(), claims(&beats)), ("met", vec![None, None, Some(1)]));
    // Late ones as well.
    for nth in 0..3 {
        let mut several = [beat(5), beat(6), beat(8)];
        several[nth] = beat(7);
        let late = everest(BEAT, &[at_once(1500, &several)]);
        assert_eq!((late.id(), late.at), ("expect/late", 1500), "{nth}");
    }
    // And where silence was demanded.
    let silence = "- note: x\n- expect_none: {message: heartbeat, payload: 7, for: 1s}";
    for nth in 0..3 {
        let mut several = [beat(5), beat(6), beat(8)];
        several[nth] = beat(7);
        assert_eq!(everest(silence, &[at_once(10, &several)]).id(), "expect/unexpected", "{nth}");
    }
}

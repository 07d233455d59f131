//! Demands: what the module under test has to send because a step wants it to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::court::Court;
use super::script::{
    ALICE, BOB, Event, Message, at, at_once, beat, did, discover, on, request, status, stray, withdraw,
};
use crate::conformance::judge::{After, Claim, Decision, Demand, Fault, Input, Judge, Moment, Prompt, View, What, Why};
use crate::conformance::sighting::{Kind, Party, Request};
use crate::protocol::channel::Channel;
use crate::protocol::control::Deed;
use crate::scenario::pattern::{Captures, Pattern};

const WITHDRAW: &str = "- withdraw: {evse_id: 1, within: 1s}";

fn of_evse(evse: i32) -> Message {
    request(Channel::WITHDRAW_AUTHORIZATION, "r/1", &json!({"evse_id": evse}))
}

#[test]
fn a_demand_is_met_by_the_next_of_its_kind_since_the_step() {
    let court = Court::of_client(WITHDRAW);
    let met = court.judge(&[at(1, beat(1)), at(2, of_evse(1))]);
    assert_eq!((met.id(), met.at), ("met", 2));
    assert_eq!(met.claims, [None, Some("/steps/0/withdraw".to_owned())]);
    // Before the step it was nobody's doing.
    let steps = format!("- expect: {{message: heartbeat}}\n{WITHDRAW}");
    assert_eq!(Court::of_client(&steps).judge(&[at(1, of_evse(1)), at(2, beat(1))]).id(), "module/waits-for-reply");
}

#[test]
fn what_was_done_by_itself_before_it_was_clear_that_nobody_can_be_told_is_not_meant() {
    let court = Court::of_client("- note: x");
    let (messages, subscriptions) = (court.sightings(&[of_evse(1)]), BTreeMap::new());
    let view = View { messages: &messages, requests: &[], subscriptions: &subscriptions };
    let moment = Moment { now: Duration::ZERO, held_up: Duration::ZERO, has_ended: false };
    for (prompt, is_met) in [(Prompt::Told, true), (Prompt::Never, false)] {
        let kind = Kind::Channel(Channel::WITHDRAW_AUTHORIZATION);
        let what = What::Request { kind, payload: Pattern::compile(&json!("$any")).unwrap(), at: "/steps/0".into() };
        let (pointer, within, by, after) = ("/steps/0".into(), Duration::ZERO, Party::Module, After::InOrder);
        let mut judge = Judge::new(court.case(), Captures::new());
        judge.demand(Demand { pointer, within, by, what, prompt, after }, moment, view);
        let decision = judge.apply(moment, Input::Seen, view);
        assert_eq!(matches!(decision, Decision::Met(_)), is_met, "{decision:?}");
    }
}

#[test]
fn nobody_asks_again_without_a_new_reason() {
    let court = Court::of_client("- note: x");
    let messages = court.sightings(&[of_evse(1)]);
    let kind = || Kind::Channel(Channel::WITHDRAW_AUTHORIZATION);
    let (from, seq, reply_topic) = (Party::Module, messages[0].seq, "r/1".to_owned());
    let requests = [Request { seq, from, kind: kind(), reply_topic, is_answered: false, token: None }];
    let subscriptions = BTreeMap::from([("module".into(), BTreeSet::from(["r/1".to_owned()]))]);
    let view = View { messages: &messages, requests: &requests, subscriptions: &subscriptions };
    let moment = |millis| Moment { now: Duration::from_millis(millis), held_up: Duration::ZERO, has_ended: false };
    for (mark, has_reason) in [(seq, false), (seq + 1, true)] {
        let what = What::Request { kind: kind(), payload: Pattern::compile(&json!("$any")).unwrap(), at: "/x".into() };
        let (pointer, within, by, after) = ("/x".into(), Duration::ZERO, Party::Module, After::InOrder);
        let prompt = Prompt::Awaited(Duration::from_secs(1));
        let mut judge = Judge::new(court.case(), Captures::new());
        let claim = Claim { pointer: "/w".into(), is_demand: false };
        judge.claims.file(&messages);
        judge.claims.claim(0, &messages[0], claim);
        judge.past.set_mark(mark);
        judge.demand(Demand { pointer, within, by, what, prompt, after }, moment(0), view);
        let Decision::NotMet(not_met) = judge.apply(moment(1000), Input::Over, view) else { panic!("{mark}") };
        let Why::Expected(_, fault) = not_met.why else { panic!("{mark}") };
        assert_eq!(fault, if has_reason { Fault::NotAskedAgain(seq) } else { Fault::NotDone });
    }
}

#[test]
fn a_demand_names_exactly_what_it_wants() {
    let differs = Court::of_client(WITHDRAW).judge(&[at(2, of_evse(2))]);
    assert!(differs.not_met.unwrap().contains("\"/steps/0/withdraw/evse_id\""), "where the step says it");
    let told = differs.told.unwrap();
    assert_eq!(
        (told.id, told.headline.as_str()),
        ("expect/payload-mismatch", "module `api` requested `2`, expected `1`")
    );
    let more = Court::of_client("- withdraw: {}").judge(&[at(2, of_evse(2))]).told.unwrap();
    assert_eq!(more.headline, "module `api` requested `2`, expected nothing");
}

#[test]
fn whoever_does_so_by_itself_is_waited_for_and_not_blamed() {
    let mut court = Court::of_client(WITHDRAW);
    court.prompt = Prompt::ByItself(Duration::from_secs(3));
    assert_eq!(court.judge(&[at(2500, of_evse(1))]).id(), "met", "longer than the step itself allows");
    let other = court.judge(&[at(500, of_evse(2))]);
    assert_eq!(other.id(), "expect/payload-mismatch", "a binding says that it is meant");
    let undrivable = court.judge(&[]);
    assert_eq!((undrivable.id(), undrivable.at), ("module/not-drivable", 3000));
    let told = undrivable.told.unwrap();
    assert_eq!(told.verdict, "inconclusive");
    assert_eq!(told.headline, "module `api` cannot be told to `withdraw`");
    assert_eq!(told.evidence, ["it does not subscribe", "it did not do so by itself within 3s"]);
    assert!(told.is_unexercised);
}

#[test]
fn whoever_was_told_and_does_not_is_late_or_missing() {
    let court = Court::of_client(WITHDRAW);
    let missing = court.judge(&[]);
    assert_eq!((missing.id(), missing.at), ("expect/missing", 3000));
    let told = missing.told.unwrap();
    assert_eq!(told.headline, "module `api` sent no withdraw_authorization request within 1s");
    assert_eq!(told.evidence[..2], ["waited 1s", "it was told"]);
    let late = court.judge(&[at(1500, of_evse(1))]);
    assert_eq!(late.told.unwrap().headline, "module `api` sent the request after 1.5s, allowed 1s");
    assert_eq!(court.judge(&[(10, Event::Leaves)]).at, 1000, "it cannot come from nowhere");
    let ended = court.judge(&[(10, Event::Ends)]);
    assert_eq!((ended.id(), ended.at), ("module/ended", 10));
}

#[test]
fn one_request_at_a_time_is_nobodys_fault() {
    let steps = format!("- get_status: {{}}\n{WITHDRAW}");
    let get = request(Channel::GET_TOKEN_VALIDATION_STATUS, "r/0", &Value::Null);
    let court = Court::of_client(&steps);
    let waits = court.judge(&[at(1, get.clone())]);
    assert_eq!((waits.id(), waits.at), ("module/waits-for-reply", 1001));
    let told = waits.told.unwrap();
    assert_eq!(told.verdict, "inconclusive");
    assert!(told.evidence[0].starts_with("not answered: …/m2e/token_validation_status/get q2 "), "{told:?}");
    // Answered, or given up, it is no reason.
    assert_eq!(court.judge(&[at(1, get.clone()), at(2, stray("r/0", json!([])))]).id(), "expect/missing");
    assert_eq!(court.judge(&[at(1, get.clone()), (2, Event::Leaves)]).id(), "expect/missing");
    assert_eq!(court.judge(&[at(1, get.clone()), (2, Event::Listens("r/1"))]).id(), "expect/missing");
    assert_eq!(court.judge(&[at(1, get.clone()), (2, Event::Listens("r/+"))]).id(), "module/waits-for-reply");
    // Nor is it one for what is no request.
    let steps = "- get_status: {}\n- communication_check: true";
    assert_eq!(Court::of_client(steps).judge(&[at(1, get)]).id(), "expect/missing");
}

#[test]
fn a_token_that_is_provided_is_no_request() {
    let court = Court::of("client", "auth_token_provider", "- present_token: ALICE");
    let provided = |value: &str| on(Channel::PROVIDED_TOKEN, json!({"id_token": {"value": value}})).by_module();
    assert_eq!(court.judge(&[at(1, provided(ALICE))]).id(), "met");
    for (events, headline) in [
        (vec![at(1, provided(BOB))], "module `api` sent `00123456`, expected `04A2F3B1`"),
        (vec![at(6000, provided(ALICE))], "module `api` sent the provided_token after 6s, allowed 5s"),
        (vec![], "module `api` sent no provided_token within 5s"),
    ] {
        assert_eq!(court.judge(&events).told.unwrap().headline, headline);
    }
}

#[test]
fn a_query_is_for_the_modules_of_one_api() {
    let query = |api: &str| stray(&format!("everest_api/query-modules/{api}"), json!({"headers": {"replyTo": "r/1"}}));
    let court = Court::of_client("- query_modules: auth_consumer");
    let both = [at(1, query("display_message").by_module()), at(2, query("auth_consumer").by_module())];
    let met = court.judge(&both);
    assert_eq!((met.id(), met.at), ("met", 2));
}

#[test]
fn it_waits_for_the_last_request_of_its_own() {
    let get = |topic: &str| request(Channel::GET_TOKEN_VALIDATION_STATUS, topic, &Value::Null);
    let steps = format!("- get_status: {{}}\n{WITHDRAW}");
    let told = Court::of_client(&steps).judge(&[at(1, get("r/1")), at(2, get("r/2"))]).told.unwrap();
    assert_eq!(told.id, "module/waits-for-reply");
    assert!(told.evidence[0].contains("r/2"), "{:?}", told.evidence);
    // What EVerest asks keeps nobody from asking.
    let court = Court::of("client", "auth_token_validator", "- note: x\n- discover: {within: 1s}");
    let question = request(Channel::VALIDATE_TOKEN, "q/1", &json!({"id_token": {"value": ALICE}}));
    let question = Message { from: Party::Harness, ..question };
    assert_eq!(court.judge(&[at(1, question.clone())]).id(), "expect/missing");
    let own = Message { from: Party::Module, ..question };
    assert_eq!(court.judge(&[at(1, own)]).id(), "module/waits-for-reply");
}

#[test]
fn what_a_step_has_had_sent_can_be_looked_at_more_closely() {
    let with =
        |expected: &str| format!("{WITHDRAW}\n- expect: {{message: withdraw_authorization, {expected}, within: 1s}}");
    let events = [at(1, of_evse(1))];
    let met = Court::of_client(&with("qos: 2")).judge(&events);
    assert_eq!((met.id(), met.claims), ("met", vec![Some("/steps/1/expect".to_owned())]));
    let differs = Court::of_client(&with("qos: 1")).judge(&events).told.unwrap();
    assert_eq!(differs.id, "expect/missing");
    assert!(differs.evidence.contains(&"but it was sent at QoS 2, expected 1".to_owned()), "{differs:?}");
    // Only by the next one.
    let twice = format!("{}\n- expect: {{message: withdraw_authorization, within: 1s}}", with("qos: 2"));
    let again = Court::of_client(&twice).judge(&events);
    assert_eq!(again.id(), "expect/missing");
    assert!(again.told.unwrap().evidence.contains(&"but it has met the step in line 13".to_owned()));
}

#[test]
fn khumbus_own_side_need_not_wait_for_what_is_demanded() {
    let steps = format!(
        "- present_token: ALICE\n- get_status: {{as: a}}\n{WITHDRAW}\n- expect_reply: {{to: a, payload: $any}}"
    );
    let get = request(Channel::GET_TOKEN_VALIDATION_STATUS, "r/0", &Value::Null);
    let early = [at(1, get), at(2, stray("r/0", json!([]))), at(3, of_evse(1))];
    assert_eq!(Court::of_client(&steps).judge(&early).id(), "met");
    // What has only been expected has to come before.
    let steps = "- withdraw: {as: a}\n- expect: {message: heartbeat}\n- expect_reply: {to: a, payload: $any}";
    let early = [at(1, withdraw("r/0")), at(2, stray("r/0", json!("x"))), at(3, beat(1))];
    assert_eq!(Court::of_client(steps).judge(&early).id(), "expect/out-of-order");
}

#[test]
fn what_a_module_is_asked_it_may_answer_before_it_makes_a_request() {
    let steps = "- present_token: ALICE\n- expect: {message: validate_token}\n- discover: {}\n\
                 - expect_reply: {to: ALICE, payload: $any}";
    let court = |steps: &str| Court::of("client", "auth_token_validator", steps);
    let question = request(Channel::VALIDATE_TOKEN, "q/1", &json!({"id_token": {"value": ALICE}}));
    let question = Message { from: Party::Harness, ..question };
    let answer = stray("q/1", json!({"authorization_status": "Accepted"})).by_module();
    for between in [[answer.clone(), discover("r/1")], [discover("r/1"), answer.clone()]] {
        let [first, second] = between;
        assert_eq!(court(steps).judge(&[at(1, question.clone()), at(2, first), at(3, second)]).id(), "met");
    }
    // Where the scenario has waited for something in between, it has said what comes first.
    let waits = steps.replace("- expect_reply", "- expect: {message: heartbeat}\n- expect_reply");
    let events = [at(1, question), at(2, answer), at(3, discover("r/1")), at(4, beat(1))];
    let early = court(&waits).judge(&events);
    assert_eq!(early.id(), "expect/out-of-order");
    assert!(!early.told.unwrap().is_otherwise, "nobody else has a part in it");
}

#[test]
fn a_communication_check_that_is_demanded_is_the_last_stimulus() {
    let check = |good: bool| on(Channel::COMMUNICATION_CHECK, json!(good)).by_module();
    let steps = "- communication_check: false\n- expect: {message: heartbeat, within: 1s}\n- expect: {message: communication_check, payload: false, within: 1s}";
    let court = Court::of_client(steps);
    let met = court.judge(&[at(1, check(true)), at(2, check(false)), at(3, beat(1)), at(4, check(false))]);
    assert_eq!(met.id(), "met");
    assert_eq!(met.claims.iter().filter(|claim| claim.is_some()).count(), 3);
    // Another one is meant than the one that was demanded.
    assert_eq!(court.judge(&[at(2, check(false)), at(3, beat(1))]).id(), "expect/missing");
    assert_eq!(court.judge(&[at(1, beat(1)), at(2, check(false))]).id(), "scenario/contradicted", "before it");
}

#[test]
fn an_answer_that_never_comes_is_an_everest_that_cannot_be_driven() {
    let steps = "- reserve: {reservation_id: 7, token: ALICE, result: Accepted}";
    let reserved =
        |id: i32, result: &str| did(Deed::Reserve, json!({"reservation_id": id, "result": result})).by_module();
    let mut court = Court::of_everest(steps);
    assert_eq!(court.judge(&[at(1, reserved(8, "Rejected")), at(2, reserved(7, "Accepted"))]).id(), "met");
    let other = court.judge(&[at(1, reserved(7, "Rejected"))]).told.unwrap();
    assert_eq!(
        (other.id, other.headline.as_str()),
        ("expect/payload-mismatch", "module `api` answered `Rejected`, expected `Accepted`")
    );
    let silent = court.judge(&[]);
    assert_eq!((silent.id(), silent.at), ("module/not-drivable", 7000));
    assert_eq!(silent.told.unwrap().headline, "module `api` gave no answer to `reserve` within 5s");
    court.is_builtin = true;
    assert_eq!(court.judge(&[]).id(), "expect/missing", "ours does answer");
    let client = Court::of_client(steps);
    assert_eq!(client.judge(&[]).id(), "scenario/contradicted");
    assert_eq!(client.judge(&[(5, Event::Ends)]).id(), "module/ended", "whoever had to answer");
}

#[test]
fn an_answer_that_was_demanded_says_nothing_of_the_order() {
    let steps = "- reserve: {reservation_id: 7, token: ALICE, result: Accepted}\n- expect_status: {token: ALICE, status: Accepted, within: 1s}";
    let reserved = did(Deed::Reserve, json!({"reservation_id": 7, "result": "Accepted"}));
    let events = [at(1, status(ALICE, "Accepted")), at(2, reserved)];
    assert_eq!(Court::of_client(steps).judge(&events).id(), "met");
}

#[test]
fn a_request_without_a_topic_for_its_reply_has_no_lane() {
    let steps = "- withdraw: {}\n- expect_reply: {payload: Accepted}";
    let without = on(Channel::WITHDRAW_AUTHORIZATION, json!({"payload": {}})).by_module();
    let told = Court::of_client(steps).judge(&[at(1, without)]).told.unwrap();
    assert_eq!((told.id, told.verdict), ("expect/no-reply-topic", "inconclusive"));
    assert_eq!(told.headline, "the request named no reply topic");
    assert_eq!(told.evidence, ["the request: …/m2e/withdraw_authorization q2 {\"payload\":{}}"]);
    let without = on(Channel::WITHDRAW_AUTHORIZATION, json!({"payload": {}})).by_module();
    let others = [at(2, beat(1)), at(3, withdraw("r/1")), at(4, beat(2))];
    let heard = steps.replace("- expect_reply", "- expect: {message: heartbeat, payload: 2}\n- expect_reply");
    let told = Court::of_client(&heard).judge(&[&[at(1, without)], others.as_slice()].concat()).told.unwrap();
    assert_eq!(told.evidence, ["the request: …/m2e/withdraw_authorization q2 {\"payload\":{}}"], "no other message");
    // Nor is it the lane of the next request.
    let without = on(Channel::WITHDRAW_AUTHORIZATION, json!({"payload": {}})).by_module();
    let both = at_once(1, &[without, withdraw("r/1"), stray("r/1", json!("Accepted"))]);
    assert_eq!(Court::of_client(steps).judge(&[both]).id(), "expect/no-reply-topic");
}

#[test]
fn a_validator_answers_the_last_question_since_the_token_was_presented() {
    let steps = "- present_token: ALICE\n- expect: {message: validate_token}\n- expect_reply: {payload: {authorization_status: Accepted}, within: 1s}";
    let court = Court::of("client", "auth_token_validator", steps);
    let question = |reply_to: &str| {
        let mut question = request(Channel::VALIDATE_TOKEN, reply_to, &json!({"id_token": {"value": ALICE}}));
        question.from = Party::Harness;
        question
    };
    let answer = |topic: &str| stray(topic, json!({"authorization_status": "Accepted"})).by_module();
    assert_eq!(court.judge(&[at(1, question("q/1")), at(2, answer("q/1"))]).id(), "met");
    let last = [at(1, question("q/1")), at(1, question("q/2")), at(3, answer("q/2"))];
    assert_eq!(court.judge(&last).id(), "met", "the last one is meant");
    let silent = court.judge(&[at(1, question("q/1"))]);
    assert_eq!((silent.id(), silent.at), ("expect/missing", 3001));
}

#[test]
fn a_question_is_about_the_token_and_since_it_was_presented() {
    let question = |reply_to: &str, token: &str| {
        let question = request(Channel::VALIDATE_TOKEN, reply_to, &json!({"id_token": {"value": token}}));
        Message { from: Party::Harness, ..question }
    };
    let answer = |topic: &str| stray(topic, json!({"authorization_status": "Accepted"})).by_module();
    let of = |steps: &str| Court::of("client", "auth_token_validator", steps);
    let two = of("- present_token: ALICE\n- present_token: BOB\n- expect: {message: validate_token}\n\
                  - expect: {message: validate_token}\n- expect_reply: {to: ALICE, payload: $any, within: 1s}");
    let asked = [at(1, question("q/1", ALICE)), at(2, question("q/2", BOB))];
    assert_eq!(two.judge(&[asked.as_slice(), &[at(3, answer("q/1"))]].concat()).id(), "met");
    assert_eq!(two.judge(&[asked.as_slice(), &[at(3, answer("q/2"))]].concat()).id(), "expect/missing");
    let any =
        of("- present_token: ALICE\n- expect: {message: validate_token}\n- expect_reply: {payload: $any, within: 1s}");
    let asks_too = discover("r/1");
    let at_last = [at_once(1, &[question("q/1", ALICE), asks_too]), at(3, answer("q/1"))];
    assert_eq!(any.judge(&at_last).id(), "met", "a discovery is no question");
    let before = of("- expect: {message: validate_token}\n- present_token: ALICE\n- expect_reply: {payload: $any}");
    assert_eq!(before.judge(&asked[..1]).id(), "expect/no-reply-topic");
}

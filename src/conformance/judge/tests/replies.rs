//! Replies: which request one belongs to, whoever sends it, and what went to another topic.

use serde_json::{Value, json};

use super::court::{Court, ONE, claims, client, everest};
use super::script::{ALICE, BOB, Event, Message, at, at_once, beat, discover, on, request, status, stray, withdraw};
use crate::conformance::sighting::Party;
use crate::protocol::channel::Channel;

#[test]
fn the_place_of_a_reply_is_that_of_its_pattern() {
    let judge = |reply: &str| {
        let steps = format!("- withdraw: {{}}\n- expect_reply: {reply}");
        client(&steps, &[at(1, withdraw("r/1")), at(2, stray("r/1", json!("Accepted")))])
    };
    for (reply, pointer) in [
        ("Rejected", "/steps/1/expect_reply"),
        ("{payload: Rejected}", "/steps/1/expect_reply/payload"),
        ("{payload: Rejected, within: 1s}", "/steps/1/expect_reply/payload"),
    ] {
        let not_met = judge(reply).not_met.unwrap();
        assert!(not_met.contains(&format!("Mismatch {{ pointer: Pointer({pointer:?})")), "{reply}: {not_met}");
    }
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
fn a_reply_topic_in_use_again_has_what_came_since_the_request() {
    let steps = "- withdraw: {}\n- expect_reply: {payload: Accepted, within: 1s}";
    let get = || request(Channel::GET_TOKEN_VALIDATION_STATUS, "r/1", &Value::Null);
    let again = |more: &[(u64, Event)]| {
        let before = [at(1, get()), at(2, stray("r/1", Value::Null)), at(3, withdraw("r/1"))];
        client(steps, &[before.as_slice(), more].concat())
    };
    assert_eq!(again(&[at(4, stray("r/1", json!("Accepted")))]).id(), "met");
    assert_eq!(again(&[]).id(), "scenario/contradicted");
    // Nobody knows which of two is meant that wait at once.
    let both = [at(1, get()), at(2, withdraw("r/1")), at(3, stray("r/1", json!("Accepted")))];
    assert_eq!(client(steps, &both).id(), "met");
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
    assert_eq!(missing.told.unwrap().headline, "module `api` sent no reply within 1s");
    assert_eq!(everest(steps, &[at(3, stray("replies/0", json!("Accepted")))]).id(), "met");
}

#[test]
fn only_what_would_have_met_a_step_is_on_another_topic() {
    let alices = status(ALICE, "Accepted").json.unwrap();
    let asks = json!({"headers": {"replyTo": "r/2"}, "payload": {"evse_id": 1}});
    let on = |topic: &str, json: &Value| stray(topic, json.clone()).by_module();
    let withdraw_of_1 = "- withdraw: {evse_id: 1, within: 1s}";
    let asked = request(Channel::GET_TOKEN_VALIDATION_STATUS, "r/1", &Value::Null);
    for (side, steps, first, stray, is_astray) in [
        ("everest", ONE, None, on("x", &alices), true),
        ("everest", ONE, None, Message { from: Party::Harness, ..on("x", &alices) }, false),
        ("everest", ONE, None, on("everest_api/discover", &alices), false),
        ("everest", ONE, None, on("x", &status(BOB, "Accepted").json.unwrap()), false),
        ("everest", ONE, None, on("x", &status(ALICE, "Rejected").json.unwrap()), false),
        ("everest", ONE, None, on("x", &json!("Accepted")), false),
        ("client", withdraw_of_1, None, on("x", &asks), true),
        ("client", withdraw_of_1, None, Message { from: Party::Harness, ..on("x", &asks) }, false),
        ("client", withdraw_of_1, Some(asked), on("r/1", &asks), false),
        ("client", withdraw_of_1, None, on("x", &json!({"payload": {"evse_id": 2}})), false),
    ] {
        let events: Vec<_> = first.into_iter().chain([stray]).map(|message| at(1, message)).collect();
        let judged = Court::of(side, "auth_consumer", steps).judge(&events);
        assert_eq!(judged.id() == "expect/wrong-topic", is_astray, "{side} {events:?}: {judged:?}");
    }
    // Nor is a reply astray that khumbu itself sends.
    let steps = "- withdraw: {}\n- expect_reply: {payload: Accepted, within: 1s}";
    let own = Court::of_everest(steps).judge(&[at(3, stray("elsewhere", json!("Accepted")))]);
    assert_eq!(own.id(), "expect/missing");
}

#[test]
fn what_has_met_a_step_did_not_go_astray() {
    let steps = |first: &str| format!("- withdraw: {{}}\n{first}- expect_reply: {{payload: Accepted, within: 1s}}");
    let elsewhere = [at(3, stray("elsewhere", json!("Accepted")))];
    assert_eq!(everest(&steps(""), &elsewhere).id(), "expect/wrong-topic");
    let claimed = everest(&steps("- expect: {topic: elsewhere}\n"), &elsewhere);
    assert_eq!((claimed.id(), claimed.at), ("expect/missing", 3003));
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
    // One to another discovery is not near, and what a lane was met by before is not either.
    let two = "- discover: {as: a}\n- discover: {}\n- expect_reply: {payload: $any, within: 1s}";
    let discoveries = [at(1, super::script::discover("r/1")), at(2, super::script::discover("r/2"))];
    let other = client(two, &[discoveries.as_slice(), &[at(3, stray("r/1", json!({"apis": []})))]].concat());
    let reply = "- expect_reply: {payload: Accepted, within: 1s}";
    let twice = format!("- withdraw: {{}}\n{reply}\n{reply}");
    let met = client(&twice, &[at(1, withdraw("r/1")), at(2, stray("r/1", json!("Accepted")))]);
    for missing in [other, met] {
        let told = missing.told.unwrap();
        assert_eq!(told.headline, "the simulated EVerest sent no reply within 1s");
        assert!(!told.evidence.iter().any(|line| line.starts_with("nearest: ")), "{:?}", told.evidence);
    }
    let told = client(steps, &[at(1, super::script::discover("r/1")), replies[0].clone()]).told.unwrap();
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
    assert_eq!((told.verdict, told.requirement), ("fail", Some("RR-13")));
    assert_eq!(told.evidence.iter().filter(|line| line.starts_with("the module sent: ")).count(), 2);
    let steps = steps.replace("- expect_reply", "- expect: {message: heartbeat}\n- expect_reply");
    let answered = stray("r", json!({"status": "Accepted"}));
    let early = client(&steps, &[at(1, get()), at(2, get()), at(3, answered), at(4, beat(1))]);
    assert_eq!(early.told.unwrap().headline, "given what module `api` sent, EVerest sent the reply too early");
    let missing = client(&steps, &[at(1, get()), at(2, get()), at(4, beat(1))]).told.unwrap();
    assert_eq!((missing.id, missing.requirement), ("expect/outcome", Some("RR-13")));
}

#[test]
fn what_the_module_itself_replies_follows_from_nothing_that_it_sent() {
    let steps = "- present_token: ALICE\n- expect: {message: validate_token}\n- expect: {message: validate_token}\n\
                 - expect_reply: {payload: {authorization_status: Accepted}, within: 1s}";
    let question = request(Channel::VALIDATE_TOKEN, "q", &json!({"id_token": {"value": ALICE}}));
    let question = Message { from: Party::Harness, ..question };
    let answer = stray("q", json!({"authorization_status": "Invalid"})).by_module();
    let court = Court::of("client", "auth_token_validator", steps);
    let told = court.judge(&[at(1, question.clone()), at(2, question), at(3, answer)]).told.unwrap();
    assert_eq!((told.id, told.verdict), ("expect/payload-mismatch", "fail"));
    assert!(!told.evidence.iter().any(|line| line.starts_with("the module sent: ")), "{:?}", told.evidence);
}

#[test]
fn a_reply_is_wanted_where_the_last_question_or_the_last_request_of_a_step_says() {
    let of = |side: &str, steps: &str, messages: &[Message]| {
        Court::of(side, "auth_consumer", &format!("- note: x\n{steps}")).judge(&[at_once(1, messages)]).wanted
    };
    let get = |topic: &str| request(Channel::GET_TOKEN_VALIDATION_STATUS, topic, &Value::Null);
    let question = |topic: &str| request(Channel::VALIDATE_TOKEN, topic, &json!({"id_token": {"value": ALICE}}));
    let khumbus = |message: Message| Message { from: Party::Harness, ..message };
    let without = on(Channel::WITHDRAW_AUTHORIZATION, json!({"payload": {}})).by_module();
    let takes_withdraws = "- expect: {message: withdraw_authorization}";
    for (side, steps, messages, wanted) in [
        ("client", "", vec![], None),
        ("client", "", vec![withdraw("r/1"), get("r/2")], Some("r/2")),
        ("client", "", vec![withdraw("r/1"), without.clone()], Some("r/1")),
        ("client", "", vec![withdraw("r/1"), withdraw("")], None),
        // What a step was met by is meant, whatever the module asks besides.
        ("client", takes_withdraws, vec![get("r/1"), withdraw("r/2"), get("r/3")], Some("r/2")),
        ("client", takes_withdraws, vec![withdraw("r/1"), withdraw("r/2")], Some("r/1")),
        ("client", &[takes_withdraws; 2].join("\n"), vec![withdraw("r/1"), withdraw("r/2"), get("r/3")], Some("r/2")),
        ("client", takes_withdraws, vec![get("r/1"), without.clone(), get("r/3")], None),
        // What khumbu asks is its own affair.
        ("everest", "", vec![khumbus(withdraw("r/1"))], None),
        ("client", "", vec![withdraw("r/1"), khumbus(question("q/1"))], Some("r/1")),
        // EVerest asks a validator, and no step has to say so.
        ("everest", "", vec![question("q/1"), question("q/2"), discover("r/1")], Some("q/2")),
    ] {
        assert_eq!(of(side, steps, &messages).as_deref(), wanted, "{side} {steps} {messages:?}");
    }
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

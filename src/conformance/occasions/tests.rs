//! What is and what is not an occasion.

use serde_json::json;

use super::*;
use crate::conformance::requirements;

/// What is missing for a requirement, given messages of the client and what it was shown.
fn lack(requirement: &str, messages: &[(Fate, Message, Value)]) -> bool {
    on_facts(messages, |facts| lacking(requirement, facts).is_some())
}

/// Asks about messages that passed 50 ms apart.
fn on_facts<T>(messages: &[(Fate, Message, Value)], ask: impl Fn(Facts<'_>) -> T) -> T {
    let bytes: Vec<_> = messages.iter().map(|(.., json)| json.to_string().into_bytes()).collect();
    let facts: Vec<_> = messages
        .iter()
        .zip(&bytes)
        .enumerate()
        .map(|(index, ((fate, message, json), payload))| Fact {
            seq: index as u64,
            answers: None,
            fate: *fate,
            message: *message,
            at: Duration::from_millis(index as u64 * 50),
            payload,
            json: Some(json),
            form: Form::recognised(payload),
            befell: None,
        })
        .collect();
    let heartbeat_interval = Duration::from_millis(50);
    let (came_back, cut_off_since, in_force) = (false, None, Deviations::default());
    ask(Facts { messages: &facts, came_back, cut_off_since, heartbeat_interval, in_force })
}

#[test]
fn heartbeats_must_be_shown_and_out_of_turn() {
    let shown =
        |numbers: &[u64]| -> Vec<_> { numbers.iter().map(|number| (Fate::Shown, HEARTBEAT, json!(number))).collect() };
    for (numbers, has) in [(&[][..], false), (&[0], false), (&[7, 8, 9], false), (&[7, 0], true), (&[3, 3], true)] {
        assert_eq!(!lack("HB-6", &shown(numbers)), has, "{numbers:?}");
    }
    assert!(!lack("HB-6", &shown(&[u64::MAX, 0])));
    assert!(!lack("HB-6", &shown(&[1 << 32])) && lack("HB-6", &shown(&[(1 << 32) - 1])), "no counter has got there");
    assert!(!lack("HB-6", &[(Fate::Shown, HEARTBEAT, json!({}))]));
    // It was not there when they were in turn.
    assert!(lack("HB-6", &[(Fate::Missed, HEARTBEAT, json!(8)), (Fate::Shown, HEARTBEAT, json!(0))]));
    assert!(lack("HB-7", &shown(&[1, 2, 3])));
    assert!(!lack("HB-7", &shown(&[1, 2, 2])));
    let check = (Fate::Sent, CHECK, json!(true));
    assert!(!lack("HB-7", &[shown(&[1]), vec![check], shown(&[2])].concat()));
}

#[test]
fn what_is_watched_binds_that_side() {
    for side in [Side::Client, Side::Everest] {
        for id in watched(side) {
            assert!(requirements::find(id).is_some_and(|it| it.binds.is_side(side)), "{id}");
        }
    }
}

#[test]
fn a_message_that_the_client_missed_is_no_occasion() {
    let status = json!({"status": "Withdrawn"});
    let reply = (Fate::Shown, WITHDRAW_REPLY, json!("Accepted"));
    assert!(lack("TV-4", &[(Fate::Missed, STATUS, status.clone())]));
    assert!(!lack("TV-4", &[(Fate::Shown, STATUS, status.clone())]));
    assert!(lack("TV-15", &[(Fate::Shown, STATUS, status.clone())]));
    assert!(!lack("TV-15", &[(Fate::Shown, STATUS, json!({"status": "Reserved"}))]));
    for none in [json!([1]), json!(null)] {
        let shown = [(Fate::Shown, STATUS, none)];
        assert!(lack("TV-15", &shown) && !lack("CN-2", &shown));
    }
    assert!(lack("CN-2", &[(Fate::Shown, STATUS, status.clone())]));
    assert!(!lack("CN-2", &[(Fate::Shown, STATUS, json!({"status": "Rejected", "token": "04A2F3B1"}))]));
    let question = |payload: Value| [(Fate::Shown, QUESTION, json!({"headers": {}, "payload": payload}))];
    assert!(lack("CN-2", &question(json!({"id_token": {}}))));
    assert!(!lack("CN-2", &question(json!({"id_token": "04A2F3B1"}))) && !lack("CN-2", &question(json!([1]))));
    // A field that no release has is of the future, too.
    let with_more = json!({"status": "Rejected", "validation_results": [], "messages": []});
    assert!(!lack("TV-15", &[(Fate::Shown, STATUS, with_more.clone())]));
    assert!(lack("NX-1", &[(Fate::Shown, STATUS, with_more)]));
    let text = |status: &str| json!({"status": status, "messages": [{"content": "x"}]});
    assert!(lack("NX-1", &[(Fate::Shown, STATUS, text("Accepted")), (Fate::Missed, STATUS, text("Rejected"))]));
    assert!(!lack("NX-1", &[(Fate::Shown, STATUS, text("Rejected"))]));
    let token = |kind: &str| (Fate::Sent, Message::On(Channel::PROVIDED_TOKEN), json!({"authorization_type": kind}));
    assert!(lack("NX-2", &[token("RFID")]) && !lack("NX-2", &[token("BankCard")]));
    assert!(lack("WD-12", &[reply.clone(), (Fate::Missed, STATUS, status.clone())]));
    let both = [reply.clone(), (Fate::Shown, STATUS, status.clone())];
    assert!(!lack("WD-12", &both) && !lack("WD-12", &both[..1]));
    let not_found = (Fate::Shown, WITHDRAW_REPLY, json!("AuthorizationNotFound"));
    assert!(lack("WD-12", &[not_found.clone(), both[1].clone()]));
    let occasions = |messages: &[(Fate, Message, Value)]| on_facts(messages, |facts| count("WD-12", facts));
    let other = [not_found, both[1].clone()];
    assert_eq!([&both[..], &both[..1], &other].map(occasions), [1, 0, 0]);
    assert!(lack("WD-13", std::slice::from_ref(&reply)));
    assert!(lack("WD-19", std::slice::from_ref(&reply)));
    assert!(!lack("WD-19", &[(Fate::Shown, WITHDRAW_REPLY, json!("EvseNotFound"))]));
    assert!(!lack("WD-17", &[reply]));
}

/// A message that passed after so many milliseconds, and the one that it replies to.
type Passed = (u64, Fate, Message, Option<u64>);

#[test]
fn whoever_goes_on_without_a_reply_does_not_wait_for_it_for_ever() {
    use Fate::{Missed, Sent, Shown};
    let body = json!({"headers": {"replyTo": "a"}});
    let asks = |passed: &[Passed], change: &dyn Fn(&mut Fact<'_>), cut_off_since, came_back| {
        let facts = passed.iter().zip(0..).map(|((millis, fate, message, answers), seq)| {
            let (at, answers) = (Duration::from_millis(*millis), *answers);
            let mut fact = Fact {
                seq,
                answers,
                fate: *fate,
                message: *message,
                at,
                payload: b"",
                json: Some(&body),
                form: None,
                befell: None,
            };
            change(&mut fact);
            fact
        });
        let (messages, in_force) = (&facts.collect::<Vec<_>>()[..], Deviations::default());
        let facts = Facts { messages, came_back, cut_off_since, heartbeat_interval: Duration::ZERO, in_force };
        (facts.unanswered(), count("RR-14", facts))
    };
    let plain = |passed: &[Passed]| asks(passed, &|_| (), None, false);
    let (asked, check) = ((0, Sent, GET, None), |millis| (millis, Sent, CHECK, None));
    let reply = |millis| (millis, Shown, GET_REPLY, Some(0));
    for (passed, expected) in [
        (&[][..], (0, 0)),
        // It was answered, and so has not waited.
        (&[asked, reply(20), check(3000)], (0, 0)),
        // The reply is late or never comes, and it does nothing meanwhile.
        (&[asked], (1, 0)),
        (&[asked, check(900)], (1, 0)),
        (&[asked, reply(2000), check(3000)], (1, 0)),
        (&[asked, reply(300)], (1, 0)),
        // It does something.
        (&[asked, check(1000)], (1, 1)),
        (&[asked, check(1900), reply(2000)], (1, 1)),
        (&[asked, (2000, Sent, WITHDRAW, None)], (2, 1)),
        (&[asked, (2000, Shown, HEARTBEAT, None)], (1, 0)),
        // What another request gets, and what it is not shown, is no reply.
        (&[asked, (20, Shown, GET_REPLY, Some(9)), check(1500)], (1, 1)),
        (&[asked, (20, Missed, GET_REPLY, Some(0)), check(1500)], (1, 1)),
        // Nobody has asked for one.
        (&[(0, Shown, STATUS, None), check(3000)], (0, 0)),
    ] {
        assert_eq!(plain(passed), expected, "{passed:?}");
    }
    let held_back = |fact: &mut Fact<'_>| {
        fact.befell = (fact.message == GET_REPLY).then_some(Effect::Delay(Duration::from_secs(2)));
    };
    assert_eq!(asks(&[asked, reply(20), check(1500)], &held_back, None, false), (1, 1));
    // With its connection it may have given the request up.
    let lost = [asked, check(1500), check(3000)];
    let cut = |cut_off, passed: &[Passed]| asks(passed, &|_| (), cut_off, true).1;
    assert_eq!([None, Some(0), Some(1), Some(2)].map(|cut_off| cut(cut_off, &lost)), [0, 1, 0, 1]);
}

#[test]
fn what_the_client_must_do_it_must_have_done() {
    let request = json!({"headers": {"replyTo": "a"}, "payload": {}});
    assert!(lack("RR-13", &[(Fate::Sent, WITHDRAW, json!({"payload": {}}))]));
    assert!(!lack("RR-13", &[(Fate::Sent, WITHDRAW, request.clone())]));
    assert!(lack("LV-3", &[(Fate::Sent, WITHDRAW, request.clone())]));
    assert!(!lack("LV-3", &[(Fate::Sent, GET, request)]));
    assert!(lack("WD-18", &[(Fate::Sent, GET, json!({}))]));
    assert!(!lack("WD-18", &[(Fate::Sent, WITHDRAW, json!({}))]));
    assert!(lack("CC-8", &[(Fate::Sent, CHECK, json!(false))]));
    assert!(!lack("CC-9", &[(Fate::Sent, CHECK, json!(false))]));
    assert!(lack("VA-3", &[(Fate::Sent, VALIDATE_REPLY, json!({}))]));
    let latched = (Fate::Shown, STATUS, json!({"status": "Rejected"}));
    assert!(lack("LV-6", std::slice::from_ref(&latched)) && !lack("LV-6", &[latched.clone(), latched]));
    assert!(lack("CN-1", &[]));
    assert!(lack("CN-2", &[(Fate::Shown, STATUS, json!({}))]));
    assert!(!lack("CN-2", &[(Fate::Broken, STATUS, json!({}))]));
    let [one, two] = [1, 2].map(|number| (Fate::Shown, HEARTBEAT, json!(number)));
    assert!(lack("CN-3", &[one.clone(), two.clone()]));
    assert!(!lack("CN-3", &[one.clone(), (Fate::Shown, STATUS, json!(1)), one]));
    let beat = |payload: Value| (Fate::Shown, HEARTBEAT, payload);
    assert!(lack("CN-3", &[beat(json!({})), beat(json!({}))]) && !lack("CN-3", &[beat(json!(1)), beat(json!(1))]));
    let token = (Fate::Sent, TOKEN, json!({}));
    let ends_after = |more| [std::slice::from_ref(&token), &vec![(Fate::Sent, CHECK, json!(true)); more]].concat();
    assert!(!lack("TP-4", &ends_after(0)), "whoever was told is judged by the steps");
    assert_eq!([9, 10].map(|more| on_facts(&ends_after(more), |facts| count("TP-4", facts))), [0, 1]);
    let discovers = [
        (Fate::Sent, Message::DISCOVER_REQUEST, json!({})),
        (Fate::Shown, Message::DISCOVER_REPLY, json!({})),
        (Fate::Sent, CHECK, json!(true)),
    ];
    let finds = |messages: &[(Fate, Message, Value)]| on_facts(messages, |facts| count("DI-8", facts));
    assert_eq!([&discovers[..], &discovers[..2], &discovers[2..]].map(finds), [1, 0, 0]);
    // EVerest's own requirements have no occasion here.
    assert!(!lack("HB-1", &[]));
}

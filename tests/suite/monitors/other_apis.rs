//! Token providers, token validators, and EVerest's side of both.

use khumbu::conformance::monitors::ApiModule;
use khumbu::protocol::wire::{Encoder, Wire as Written};
use khumbu::transcript::record::Rule;

use super::*;

fn of(api: ApiType) -> Topics {
    Topics { api, ..topics() }
}

fn under_test(api: ApiType, prefix: &str) -> (Wire, Topics) {
    let topics = Topics { external_prefix: prefix.to_owned(), ..of(api) };
    (Wire::with(Context::new(topics.clone(), Side::Client)), topics)
}

fn provider() -> (Wire, Topics) {
    under_test(ApiType::AUTH_TOKEN_PROVIDER, "")
}

fn token() -> Value {
    json!({"id_token": {"value": "T1", "type": "ISO14443"}, "authorization_type": "RFID"})
}

fn question(reply_to: &str) -> String {
    json!({"headers": {"replyTo": reply_to}, "payload": token()}).to_string()
}

const RESULT: &str = r#"{"authorization_status": "Accepted", "tariff_messages": []}"#;

/// A validator that was asked, with the topic that the question names and the topic for its answer.
fn asked(prefix: &str) -> (Wire, Topics, String, String) {
    let (mut wire, topics) = under_test(ApiType::AUTH_TOKEN_VALIDATOR, prefix);
    let reply_to = topics.reply_topic_to_everest("1");
    ask(&mut wire, &topics, &reply_to);
    let wire_topic = format!("{prefix}{reply_to}");
    (wire, topics, reply_to, wire_topic)
}

fn ask(wire: &mut Wire, topics: &Topics, reply_to: &str) {
    let topic = topics.topic(Channel::VALIDATE_TOKEN);
    wire.sends("harness", &topic, question(reply_to));
    let delivery = message(&topic, question(reply_to), 1);
    wire.packet("module", Direction::ToClient, delivery);
}

fn unsubscribed(wire: &mut Wire, topic: &str) {
    wire.event("harness", Event::Unsubscribed { filter: topic.to_owned() });
}

#[test]
fn bare_tokens_pass() {
    let (mut wire, topics) = provider();
    for _ in 0..2 {
        wire.after(1000).sends("module", &topics.topic(Channel::PROVIDED_TOKEN), token().to_string());
    }
    wire.is_clean();
}

#[test]
fn tokens_of_another_shape_fail() {
    for payload in [
        json!({"headers": {}, "payload": token()}),
        json!({"id_token": {"value": "T1", "type": "Iso14443"}, "authorization_type": "RFID"}),
        json!({"id_token": "T1", "authorization_type": "RFID"}),
        json!({"id_token": {"value": "T1", "type": "ISO14443"}}),
    ] {
        let (mut wire, topics) = provider();
        wire.sends("module", &topics.topic(Channel::PROVIDED_TOKEN), payload.to_string());
        wire.found(Severity::Fail, "monitor/schema-violation", "TP-1");
    }
}

/// A provider that hands tokens in, so many together each time, after so many milliseconds each.
fn hands_in(presentations: &[&[u64]]) -> Wire {
    let (mut wire, topics) = provider();
    for together in presentations {
        wire.after(1000);
        for gap in *together {
            wire.after(*gap).sends("module", &topics.topic(Channel::PROVIDED_TOKEN), token().to_string());
        }
    }
    wire
}

#[test]
fn a_provider_that_hands_each_token_in_again_fails() {
    let mut wire = hands_in(&[&[0, 10], &[0, 490], &[0, 0]]);
    let finding = wire.fails("monitor/handed-in-again", "TP-4");
    assert!(finding.headline.contains("`T1` in again 490ms later"), "{}", finding.headline);
    for burst in [&[&[0, 150, 151][..]][..], &[&[0, 10, 10, 10], &[0], &[0, 10]]] {
        hands_in(burst).fails("monitor/handed-in-again", "TP-4");
    }
}

#[test]
fn a_provider_that_hands_each_token_in_in_either_case_fails() {
    let (mut wire, topics) = provider();
    for value in ["0a", "0A", "0b", "0B"] {
        let token = json!({"id_token": {"value": value, "type": "ISO14443"}, "authorization_type": "RFID"});
        wire.after(if value.ends_with(char::is_lowercase) { 1000 } else { 1 });
        wire.sends("module", &topics.topic(Channel::PROVIDED_TOKEN), token.to_string());
    }
    wire.fails("monitor/handed-in-again", "TP-4");
}

#[test]
fn a_provider_that_hands_its_only_token_in_twice_is_warned() {
    let finding = hands_in(&[&[0, 150]]).warns("monitor/handed-in-again", "TP-4").clone();
    assert!(finding.headline.contains("`T1` in again 150ms later"), "{}", finding.headline);
    // Another one, that may yet come again.
    hands_in(&[&[0, 150], &[0]]).warns("monitor/handed-in-again", "TP-4");
    hands_in(&[&[0, 150], &[0]]).after(500).is_clean();
}

#[test]
fn a_provider_that_may_mean_what_it_hands_in_is_not_accused() {
    for presentations in [&[&[0, 510][..], &[0, 510]][..], &[&[0], &[0, 10], &[0, 10], &[0, 10]]] {
        hands_in(presentations).is_clean();
    }
    let (mut wire, topics) = provider();
    let topic = topics.topic(Channel::PROVIDED_TOKEN);
    // One after another, be they as fast as they like.
    for value in ["T1", "T2", "T1", "T2", "T1"] {
        let token = json!({"id_token": {"value": value, "type": "ISO14443"}, "authorization_type": "RFID"});
        wire.sends("module", &topic, token.to_string());
    }
    wire.is_clean();
    let twice = |wire: &mut Wire| {
        wire.after(1000).sends("module", &topic, token().to_string()).sends("module", &topic, token().to_string());
    };
    // It makes up for what it could not hand in.
    let (mut wire, _) = provider();
    for _ in 0..3 {
        wire.disconnect("module", false).connect("module");
        twice(&mut wire);
    }
    twice(&mut wire);
    wire.is_clean();
    // It was told to.
    let (mut wire, _) = provider();
    wire.monitors.told_to_present();
    (0..3).for_each(|_| twice(&mut wire));
    wire.is_clean();
    // Somebody has to acknowledge it.
    let (mut wire, _) = provider();
    for number in 1..4 {
        let publish = message(&topic, token().to_string(), number);
        wire.after(1000).packet("module", Direction::FromClient, publish.clone());
        wire.packet("module", Direction::FromClient, Publish { dup: true, ..publish });
    }
    wire.is_clean();
}

#[test]
fn a_retained_token_fails() {
    let (mut wire, topics) = provider();
    let publish = message(&topics.topic(Channel::PROVIDED_TOKEN), token().to_string(), 1);
    wire.packet("module", Direction::FromClient, Publish { retain: true, ..publish });
    let finding = wire.fails("monitor/retained", "TP-3");
    assert!(finding.help.as_ref().is_some_and(|help| help.contains("presented again")), "{finding:#?}");
}

#[test]
fn a_provider_keeps_to_its_own_side() {
    let (mut wire, topics) = provider();
    wire.sends("module", &topics.topic(Channel::HEARTBEAT), "1").found(
        Severity::Fail,
        "monitor/wrong-direction",
        "SC-2",
    );
    let (mut wire, topics) = provider();
    let topic = format!("{}/m2e/token", topics.base());
    wire.sends("module", &topic, token().to_string());
    let finding = wire.found(Severity::Fail, "monitor/unknown-topic", "SC-2");
    assert!(finding.evidence.iter().any(|line| line.contains("m2e/provided_token")), "{finding:#?}");
}

#[test]
fn one_answer_each_passes_with_and_without_prefix() {
    for prefix in ["", "site/"] {
        let (mut wire, topics, _, topic) = asked(prefix);
        wire.sends("module", &topic, RESULT);
        unsubscribed(&mut wire, &topic);
        let second = topics.reply_topic_to_everest("2");
        ask(&mut wire, &topics, &second);
        wire.sends("module", &format!("{prefix}{second}"), RESULT).is_clean();
    }
}

#[test]
fn a_question_that_has_the_prefix_gets_no_second_one() {
    let (mut wire, topics) = under_test(ApiType::AUTH_TOKEN_VALIDATOR, "site/");
    let topic = format!("site/{}", topics.reply_topic_to_everest("1"));
    ask(&mut wire, &topics, &topic);
    wire.sends("module", &topic, RESULT).is_clean();
}

#[test]
fn a_second_answer_fails_also_when_everest_listens_no_more() {
    let (mut wire, _, _, topic) = asked("");
    wire.sends("module", &topic, RESULT);
    unsubscribed(&mut wire, &topic);
    wire.after(20).sends("module", &topic, RESULT).fails("monitor/second-reply", "VA-3");
}

#[test]
fn an_answer_without_the_prefix_fails() {
    let (mut wire, _, bare, _) = asked("site/");
    wire.sends("module", &bare, RESULT).fails("monitor/reply-without-prefix", "VA-3");
}

#[test]
fn an_answer_to_no_question_fails() {
    let (mut wire, topics, _, topic) = asked("");
    wire.sends("module", &topics.reply_topic_to_everest("7"), RESULT).sends("module", &topic, RESULT);
    wire.fails("monitor/stray-reply", "VA-3");
}

#[test]
fn an_answer_that_everest_waits_for_no_longer_fails() {
    let (mut wire, _, _, topic) = asked("");
    unsubscribed(wire.after(1000), &topic);
    wire.after(800).sends("module", &topic, RESULT).fails("monitor/late-reply", "VA-5");
    // A busy machine explains a little.
    let (mut wire, _, _, topic) = asked("");
    unsubscribed(wire.after(1000), &topic);
    wire.after(300).sends("module", &topic, RESULT).warns("monitor/late-reply", "VA-5");
}

#[test]
fn no_answer_fails_once_everest_has_given_up() {
    let (mut wire, _, _, topic) = asked("");
    unsubscribed(wire.after(1000), &topic);
    let finding = wire.fails("monitor/missing-reply", "VA-3");
    assert!(finding.headline.contains("within 1s"), "{finding:#?}");
    asked("").0.after(60_000).is_clean();
}

#[test]
fn a_question_that_is_written_otherwise_and_not_answered_breaks_what_its_form_asks() {
    let not_answered = |form: Written, is_other_answered: bool| {
        let (mut wire, topics, _, first) = asked("");
        if is_other_answered {
            wire.sends("module", &first, RESULT);
        }
        let second = topics.reply_topic_to_everest("2");
        let question: Value = serde_json::from_str(&question(&second)).unwrap();
        let (topic, text) = (topics.topic(Channel::VALIDATE_TOKEN), Encoder::new(form).encode(&question));
        wire.sends("harness", &topic, &text).packet("module", Direction::ToClient, message(&topic, &text, 1));
        unsubscribed(wire.after(1000), &second);
        wire.fails("monitor/missing-reply", if is_other_answered { form_requirement(form) } else { "VA-3" }).clone()
    };
    for form in [Written::Compact, Written::Everest, Written::Reordered, Written::ExtraFields, Written::Spaced] {
        let finding = not_answered(form, true);
        let evidence = finding.evidence.concat();
        assert_eq!(evidence.contains("compact ones were answered"), form != Written::Compact, "{finding:#?}");
        // What has other keys, or another order, differs from compact ones by its lines as well.
        let is_of_lines = [Written::Everest, Written::Reordered, Written::ExtraFields].contains(&form);
        assert_eq!(evidence.contains("over several lines"), is_of_lines, "{finding:#?}");
        not_answered(form, false);
    }
}

/// What breaks who answers questions in EVerest's form, and none in this one.
fn form_requirement(form: Written) -> &'static str {
    match form {
        Written::Compact => "VA-3",
        Written::ExtraFields => "RR-9",
        _ => "RR-15",
    }
}

#[test]
fn whoever_is_too_slow_is_not_taken_for_one_that_does_not_answer() {
    let (mut wire, topics, _, topic) = asked("");
    unsubscribed(wire.after(1000), &topic);
    let second = topics.reply_topic_to_everest("2");
    ask(&mut wire, &topics, &second);
    wire.after(800).sends("module", &topic, RESULT);
    unsubscribed(wire.after(1000), &second);
    wire.found.extend(wire.monitors.finish(wire.at));
    assert_eq!(wire.ids(), ["monitor/late-reply", "monitor/missing-reply"]);
    assert!(wire.found.iter().all(|found| found.requirement == Some("VA-5")), "{:#?}", wire.found);
}

#[test]
fn an_answer_that_arrived_and_comes_again_with_a_new_connection_is_a_second_one() {
    let again = |knows: bool| {
        let (mut wire, topics, _, topic) = asked("");
        let (answer, next) = (message(&topic, RESULT, 1), message(&topics.topic(Channel::HEARTBEAT), "1", 9));
        let passes = |direction, kind, pkid| Event::Packet { direction, kind, pkid };
        wire.packet("module", Direction::FromClient, answer.clone());
        wire.event("module", passes(Direction::ToClient, "PUBCOMP", 1)).packet("module", Direction::ToClient, next);
        if knows {
            wire.event("module", passes(Direction::FromClient, "PUBREC", 9));
        }
        wire.monitors.module_cut_off();
        wire.disconnect("module", false).connect("module").packet("module", Direction::FromClient, answer);
        wire
    };
    again(true).fails("monitor/second-reply", "VA-3");
    // A library may send again what it does not know to have arrived.
    again(false).is_clean();
}

#[test]
fn a_validator_that_the_harness_cut_off_owes_no_answer() {
    for late in [false, true] {
        let (mut wire, _, _, topic) = asked("");
        wire.monitors.module_cut_off();
        wire.disconnect("module", false).connect("module");
        unsubscribed(wire.after(1000), &topic);
        if late {
            wire.after(2000).sends("module", &topic, RESULT);
        }
        wire.is_clean();
    }
    // One that leaves by itself does.
    let (mut wire, _, _, topic) = asked("");
    wire.disconnect("module", false).connect("module");
    unsubscribed(wire.after(1000), &topic);
    wire.fails("monitor/missing-reply", "VA-3");
}

#[test]
fn a_validator_that_was_cut_off_for_breaking_mqtt_breaks_that_alone() {
    let (mut wire, _, _, topic) = asked("");
    let what = String::from("PUBACK for packet 1, which was sent with QoS 2");
    wire.event("module", Event::Breach { rule: Rule::Order, what, bytes: Bytes::new() });
    wire.disconnect("module", false).connect("module");
    unsubscribed(wire.after(1000), &topic);
    wire.fails("monitor/broke-mqtt", "MQ-4");
    // What it is asked from then on, it owes.
    let (mut wire, topics, _, first) = asked("");
    wire.sends("module", &first, RESULT);
    wire.event("module", Event::Breach { rule: Rule::Order, what: "x".to_owned(), bytes: Bytes::new() });
    wire.disconnect("module", false).connect("module");
    let second = topics.reply_topic_to_everest("2");
    ask(&mut wire, &topics, &second);
    unsubscribed(wire.after(1000), &second);
    wire.found.extend(wire.monitors.finish(wire.at));
    assert_eq!(wire.ids(), ["monitor/broke-mqtt", "monitor/missing-reply"]);
}

#[test]
fn answers_of_another_shape_fail() {
    for payload in [
        json!({"authorization_status": "Accepted"}),
        json!({"authorization_status": "accepted", "tariff_messages": []}),
        json!({"payload": {"authorization_status": "Accepted", "tariff_messages": []}}),
        json!("Accepted"),
    ] {
        let (mut wire, _, _, topic) = asked("");
        wire.sends("module", &topic, payload.to_string()).found(Severity::Fail, "monitor/schema-violation", "VA-4");
    }
    let (mut wire, _, _, topic) = asked("");
    wire.sends("module", &topic, "Accepted").found(Severity::Fail, "monitor/not-json", "VA-4");
}

#[test]
fn retained_answers_and_updates_fail() {
    let (mut wire, topics, _, topic) = asked("");
    wire.packet("module", Direction::FromClient, Publish { retain: true, ..message(&topic, RESULT, 1) });
    let update =
        json!({"connector_id": 1, "validation_result": {"authorization_status": "Accepted", "tariff_messages": []}});
    let update = message(&topics.topic(Channel::VALIDATE_RESULT_UPDATE), update.to_string(), 2);
    wire.packet("module", Direction::FromClient, Publish { retain: true, ..update });
    assert_eq!(wire.ids(), ["monitor/retained"; 2]);
    assert!(wire.found.iter().all(|finding| finding.requirement == Some("VA-10")), "{:#?}", wire.found);
}

#[test]
fn an_update_of_another_shape_fails() {
    let (mut wire, topics) = under_test(ApiType::AUTH_TOKEN_VALIDATOR, "");
    let update =
        json!({"connector_id": "1,", "validation_result": {"authorization_status": "Accepted", "tariff_messages": []}});
    wire.sends("module", &topics.topic(Channel::VALIDATE_RESULT_UPDATE), update.to_string());
    wire.found(Severity::Fail, "monitor/schema-violation", "VA-8");
}

/// EVerest with a token provider's and a token validator's API module.
fn everest() -> Wire {
    let other_api = |api| ApiModule { topics: of(api), communication_check_timeout: None, heartbeat_interval: None };
    let other_apis = vec![other_api(ApiType::AUTH_TOKEN_PROVIDER), other_api(ApiType::AUTH_TOKEN_VALIDATOR)];
    Wire::with(Context { other_apis, ..Context::new(topics(), Side::Everest) })
}

#[test]
fn everest_counts_the_heartbeats_of_each_api() {
    let mut wire = everest();
    let beats = |wire: &mut Wire, api, number: u32| {
        wire.sends("module", &of(api).topic(Channel::HEARTBEAT), number.to_string());
    };
    for number in 0..3 {
        for api in ApiType::AUTH_APIS {
            beats(&mut wire, api, number);
        }
    }
    assert_eq!(wire.ids(), [""; 0], "{:#?}", wire.found);
    beats(&mut wire, ApiType::AUTH_TOKEN_PROVIDER, 4);
    wire.found(Severity::Fail, "monitor/heartbeat-sequence", "HB-2");
}

#[test]
fn everest_may_subscribe_after_it_has_asked_but_not_after_the_answer() {
    let topics = of(ApiType::AUTH_TOKEN_VALIDATOR);
    let (topic, reply_to) = (topics.topic(Channel::VALIDATE_TOKEN), topics.reply_topic_to_everest("1"));
    // EVerest's framework sends PUBLISH, PUBREC comes, then SUBSCRIBE and PUBREL, which hands the question on.
    let mut wire = everest();
    wire.sends("module", &topic, question(&reply_to)).subscribe("module", &reply_to);
    wire.sends("harness", &reply_to, RESULT).is_clean();
    // A scenario may be over, or a validator silent, before anything is lost.
    everest().sends("module", &topic, question(&reply_to)).is_clean();
    let mut wire = everest();
    wire.sends("module", &topic, question(&reply_to)).monitors.everest_restarted();
    wire.sends("harness", &reply_to, RESULT).is_clean();
    let mut wire = everest();
    wire.sends("module", &topic, question(&reply_to)).sends("harness", &reply_to, RESULT);
    wire.after(5).subscribe("module", &reply_to);
    let finding = wire.fails("monitor/reply-topic-not-subscribed", "VA-2");
    assert!(finding.headline.contains("missed the answer"), "{finding:#?}");
    let mut wire = everest();
    wire.sends("module", &topic, question(&reply_to)).sends("harness", &reply_to, RESULT);
    wire.fails("monitor/reply-topic-not-subscribed", "VA-2");
}

#[test]
fn everest_gives_two_questions_two_reply_topics() {
    let topics = of(ApiType::AUTH_TOKEN_VALIDATOR);
    let (topic, reply_to) = (topics.topic(Channel::VALIDATE_TOKEN), topics.reply_topic_to_everest("1"));
    let mut wire = everest();
    wire.subscribe("module", &reply_to).sends("module", &topic, question(&reply_to));
    wire.after(20).sends("module", &topic, question(&reply_to)).fails("monitor/reply-topic-reused", "VA-2");
}

#[test]
fn a_question_of_another_shape_fails() {
    let topic = of(ApiType::AUTH_TOKEN_VALIDATOR).topic(Channel::VALIDATE_TOKEN);
    everest().sends("module", &topic, token().to_string()).fails("monitor/schema-violation", "VA-1");
}

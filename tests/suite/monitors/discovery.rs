//! The entry point: discoveries, their replies, and the beacon.

use khumbu::conformance::monitors::ApiModule;

use super::*;

const DISCOVER: &str = "everest_api/discover";
const QUERY: &str = "everest_api/query-modules/auth_consumer";
/// Below the consumer's own branch, where a message that nobody asked for is a stray reply.
const REPLIES: &str = "everest_api/1/auth_consumer/api/e2m/discover/1";

/// EVerest's side with a token provider beside the consumer.
fn everest() -> Wire {
    let topics = topics();
    let provider = ApiModule {
        topics: topics.of(ApiType::AUTH_TOKEN_PROVIDER, "provider_api"),
        communication_check_timeout: None,
        heartbeat_interval: None,
    };
    Wire::with(Context { other_apis: vec![provider], ..Context::new(topics, Side::Everest) })
}

fn asks(wire: &mut Wire, topic: &str) {
    wire.sends("harness", topic, json!({"headers": {"replyTo": REPLIES}}).to_string());
}

fn answers(wire: &mut Wire, kind: &str, id: &str) {
    let api = json!({"type": kind, "module_id": id, "version": 1, "communication_monitoring": {}});
    wire.sends("module", REPLIES, json!({"apis": [api]}).to_string());
}

#[test]
fn every_module_may_answer_each_discovery_once() {
    let mut wire = everest();
    for _ in 0..2 {
        asks(&mut wire, DISCOVER);
        for (kind, id) in [("auth_consumer", "api"), ("auth_consumer", "other"), ("display_message", "api")] {
            answers(&mut wire, kind, id);
        }
    }
    wire.is_clean();
}

#[test]
fn a_second_answer_of_the_same_module_fails() {
    let mut wire = everest();
    asks(&mut wire, DISCOVER);
    for id in ["api", "other", "api"] {
        answers(&mut wire, "auth_consumer", id);
    }
    let finding = wire.found(Severity::Fail, "monitor/second-reply", "DI-1");
    assert!(finding.headline.contains("2 replies") && finding.headline.contains("`api`"), "{finding:#?}");
}

#[test]
fn a_redelivered_or_retained_discovery_is_answered_again() {
    for retain in [false, true] {
        let mut wire = everest();
        let request = message(DISCOVER, json!({"headers": {"replyTo": REPLIES}}).to_string(), 1);
        wire.packet("harness", Direction::FromClient, Publish { retain, ..request.clone() });
        for _ in 0..2 {
            if !retain {
                wire.packet("module", Direction::ToClient, request.clone());
            }
            answers(&mut wire, "auth_consumer", "api");
        }
        wire.is_clean();
    }
}

#[test]
fn only_modules_that_are_asked_for_answer_a_query() {
    let mut wire = everest();
    asks(&mut wire, QUERY);
    answers(&mut wire, "auth_consumer", "api");
    wire.is_clean();
    answers(&mut wire, "auth_token_provider", "provider_api");
    wire.found(Severity::Fail, "monitor/wrong-type", "DI-2");

    // With both on one topic either may be meant.
    let mut wire = everest();
    asks(&mut wire, QUERY);
    asks(&mut wire, DISCOVER);
    answers(&mut wire, "auth_token_provider", "provider_api");
    wire.is_clean();
}

#[test]
fn answers_and_beacon_have_their_shape() {
    for (topic, payload, requirement) in [
        (REPLIES, json!({"apis": [{"type": "auth_consumer", "module_id": "api"}]}), "DI-1"),
        (REPLIES, json!([]), "DI-1"),
        ("everest_api/ready_beacon", json!(true), "DI-5"),
    ] {
        let mut wire = everest();
        asks(&mut wire, DISCOVER);
        wire.sends("module", topic, payload.to_string());
        wire.found(Severity::Fail, "monitor/schema-violation", requirement);
    }
    let mut wire = everest();
    wire.sends("module", "everest_api/ready_beacon", "{}").is_clean();
    let beacon = message("everest_api/ready_beacon", "{}", 9);
    wire.packet("module", Direction::FromClient, Publish { retain: true, ..beacon });
    wire.found(Severity::Fail, "monitor/retained", "RR-16");
}

#[test]
fn nobody_answers_where_there_is_no_entry_point() {
    let mut wire =
        Wire::with(Context { in_force: running(Release::V2026_02), ..Context::new(topics(), Side::Everest) });
    asks(&mut wire, DISCOVER);
    let apis = json!({"apis": []}).to_string();
    let reply = Publish { qos: 0, ..message(REPLIES, apis, 1) };
    wire.packet("module", Direction::FromClient, reply);
    wire.found(Severity::Fail, "monitor/stray-reply", "DI-1");
}

#[test]
fn an_answer_where_nobody_asked_is_stray() {
    let mut wire = everest();
    answers(&mut wire, "auth_consumer", "api");
    wire.found(Severity::Fail, "monitor/stray-reply", "RR-1");
}

#[test]
fn a_client_asks_as_it_makes_any_request() {
    let request = |reply_to: &str| json!({"headers": {"replyTo": reply_to}}).to_string();
    let mut wire = Wire::client();
    wire.sends("module", DISCOVER, request(REPLIES));
    for _ in 0..3 {
        wire.sends("harness", REPLIES, json!({"apis": []}).to_string());
    }
    wire.is_clean();
    wire.sends("module", QUERY, request("not/subscribed"));
    wire.found(Severity::Fail, "monitor/reply-topic-not-subscribed", "RR-13");

    let mut wire = Wire::client();
    wire.sends("module", DISCOVER, request(REPLIES)).sends("module", QUERY, request(REPLIES));
    wire.found(Severity::Fail, "monitor/reply-topic-reused", "RR-13");

    let mut wire = Wire::client();
    wire.sends("module", DISCOVER, "[]");
    wire.found(Severity::Fail, "monitor/schema-violation", "SC-1");
}

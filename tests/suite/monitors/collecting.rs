//! Clients that listen on for later replies to their discovery, and those that do not.

use super::*;

const DISCOVER: &str = "everest_api/discover";
const REPLIES: &str = "replies/1";

fn ask(wire: &mut Wire, topic: &str) {
    wire.subscribe("module", REPLIES);
    wire.sends("module", topic, json!({"headers": {"replyTo": REPLIES}}).to_string());
    wire.after(10);
}

fn reply(wire: &mut Wire) -> &mut Wire {
    wire.sends("harness", REPLIES, json!({"apis": []}).to_string())
}

fn stop(wire: &mut Wire, after_ms: u64) {
    wire.after(after_ms).event("module", Event::Unsubscribed { filter: REPLIES.into() });
}

#[test]
fn whoever_takes_the_first_reply_for_the_last_loses_the_others() {
    let mut wire = Wire::client();
    ask(&mut wire, DISCOVER);
    reply(&mut wire);
    stop(&mut wire, 2);
    wire.after(300);
    reply(&mut wire);
    // Once is enough.
    reply(&mut wire);
    let finding = wire.fails("monitor/discovery-cut-short", "DI-6");
    assert!(finding.headline.contains("12ms"), "{finding:#?}");
}

#[test]
fn a_client_of_one_connection_for_each_request_is_no_exception() {
    let mut wire = Wire::client();
    wire.connect("module-2").subscribe("module-2", REPLIES);
    wire.sends("module-2", DISCOVER, json!({"headers": {"replyTo": REPLIES}}).to_string());
    wire.after(10).disconnect("module-2", true);
    reply(wire.after(300));
    wire.fails("monitor/discovery-cut-short", "DI-6");
}

#[test]
fn nobody_is_blamed_who_lost_nothing_or_could_not_help_it() {
    // Nothing comes later.
    let mut wire = Wire::client();
    ask(&mut wire, DISCOVER);
    reply(&mut wire);
    stop(&mut wire, 2);
    wire.is_clean();

    // It waited.
    let mut wire = Wire::client();
    ask(&mut wire, DISCOVER);
    stop(&mut wire, 300);
    reply(&mut wire);
    wire.is_clean();

    // What comes later answers something else that it asked for on the same topic.
    let mut wire = Wire::client();
    ask(&mut wire, DISCOVER);
    reply(&mut wire);
    stop(&mut wire, 2);
    wire.subscribe("module", REPLIES).module(Channel::WITHDRAW_AUTHORIZATION, withdraw(REPLIES));
    stop(&mut wire, 2);
    wire.sends("harness", REPLIES, json!("Accepted").to_string()).is_clean();

    // It asked for modules of one type, and knows which.
    let mut wire = Wire::client();
    ask(&mut wire, "everest_api/query-modules/auth_consumer");
    stop(&mut wire, 2);
    reply(&mut wire);
    wire.is_clean();

    // It listens with another filter, too.
    let mut wire = Wire::client();
    wire.subscribe("module", "replies/#");
    ask(&mut wire, DISCOVER);
    stop(&mut wire, 2);
    reply(&mut wire);
    wire.is_clean();

    // It was cut off, or EVerest was.
    for cut in [Monitors::module_cut_off, Monitors::everest_restarted] {
        let mut wire = Wire::client();
        ask(&mut wire, DISCOVER);
        cut(&mut wire.monitors);
        stop(&mut wire, 2);
        reply(&mut wire);
        wire.is_clean();
    }
}

/// A client that is told of a butler of version 3, and listens to this.
fn finds(filter: &str) -> Wire {
    let mut wire = Wire::client();
    ask(&mut wire, DISCOVER);
    let apis = json!({"apis": [{"type": "butler", "module_id": "b1", "version": 3}, {"type": "auth_token_provider", "module_id": "p1", "version": 1}]});
    let reply = message(REPLIES, apis.to_string(), 1);
    wire.packet("harness", Direction::FromClient, reply.clone()).packet("module", Direction::ToClient, reply);
    wire.subscribe("module", filter);
    wire
}

#[test]
fn whoever_makes_other_topics_of_what_it_finds_fails() {
    for filter in ["everest_api/1/auth_consumer/b1/e2m/#", "everest_api/1/butler/b1/e2m/heartbeat"] {
        let mut wire = finds(filter);
        let finding = wire.fails("monitor/topic-not-discovered", "DI-8");
        assert!(finding.evidence.concat().contains("of `b1`: type `butler`, version `3`"), "{finding:#?}");
    }
}

#[test]
fn whoever_listens_to_what_it_found_or_knows_otherwise_is_not_accused() {
    for filter in [
        "everest_api/3/butler/b1/e2m/heartbeat",
        "everest_api/+/auth_consumer/b1/e2m/heartbeat",
        "everest_api/1/auth_consumer/b2/e2m/heartbeat",
        // It may have been told of another API module with this id.
        "everest_api/1/auth_token_validator/p1/e2m/validate_token",
        "everest_api/#",
        "b1",
    ] {
        finds(filter).is_clean();
    }
}

/// A client that is told a version of its own API module, and sends under these one after the other.
fn sends_under(told: u8, versions: &[&str]) -> Wire {
    let mut wire = Wire::client();
    ask(&mut wire, DISCOVER);
    let own = topics().topic(Channel::COMMUNICATION_CHECK);
    let id = own.split('/').nth(3).unwrap().to_owned();
    let apis = json!({"apis": [{"type": "auth_consumer", "module_id": id, "version": told}]});
    let reply = message(REPLIES, apis.to_string(), 1);
    wire.packet("harness", Direction::FromClient, reply.clone()).packet("module", Direction::ToClient, reply);
    for version in versions {
        wire.after(200).sends("module", &own.replace("/1/", &format!("/{version}/")), "true");
    }
    wire
}

#[test]
fn whoever_sends_under_another_version_than_it_found_fails() {
    let wire = sends_under(1, &["1.0", "1.0", "1.0"]);
    let finding = wire.found.iter().find(|found| found.id == "monitor/topic-not-discovered").unwrap();
    printed::told([finding]);
    assert_eq!((finding.severity, finding.requirement), (Severity::Fail, Some("DI-8")));
    assert!(finding.evidence.concat().contains("type `auth_consumer`, version `1`"), "{finding:#?}");
    // It speaks to several releases, has just begun, or was told something else that khumbu does not know of.
    for versions in [&["1.0", "1", "1.0", "1.0"][..], &["1.0", "1.0"], &["1", "1.0", "1.0", "1.0"], &["9", "9", "9"]] {
        let ids = sends_under(1, versions).ids();
        assert!(!ids.contains(&"monitor/topic-not-discovered"), "{versions:?} {ids:?}");
    }
    // There is no such version: what it was told is broken.
    let ids = sends_under(9, &["1", "1", "1"]).ids();
    assert!(!ids.contains(&"monitor/topic-not-discovered"), "{ids:?}");
}

//! What is right with `1.0` in the topics, where statuses say less than in any release.

use super::*;

fn wire(side: Side) -> Wire {
    let topics = topics().under(Release::V1_0);
    let mut wire = Wire::with(Context { in_force: running(Release::V1_0), ..Context::new(topics, side) });
    if side == Side::Client {
        wire.subscribe("module", "everest_api/1.0/auth_consumer/api/e2m/#");
    }
    wire
}

/// A message of the module's at QoS 0.
fn sends(wire: &mut Wire, channel: Channel, payload: &Value) {
    let topic = topics().under(Release::V1_0).topic(channel);
    let publish = Publish { qos: 0, ..message(&topic, payload.to_string(), 1) };
    wire.after(10).packet("module", Direction::FromClient, publish);
}

/// An EVerest that sends these statuses of one token, as they were presented.
fn tells(statuses: &[&str]) -> Wire {
    let mut wire = wire(Side::Everest);
    for status in statuses {
        let mut payload = status_of("T1", "ISO14443", status, &[]);
        payload.as_object_mut().unwrap().remove("messages");
        sends(&mut wire, Channel::TOKEN_VALIDATION_STATUS, &payload);
    }
    wire
}

#[test]
fn accepted_is_how_a_session_begins_and_how_it_ends() {
    for statuses in [
        // Granted and used; then stopped.
        &["Processing", "Accepted", "Processing", "Accepted"][..],
        &["Processing", "Accepted", "TimedOut", "Processing", "Accepted"],
        // An update, and a second validator.
        &["Processing", "Accepted", "Accepted", "Processing", "Accepted", "Accepted"],
        &["Processing", "Accepted", "Rejected", "Processing", "Rejected"],
        &["Processing", "Accepted", "Withdrawn", "Processing", "Accepted", "Withdrawn"],
        // Granted at two EVSEs.
        &["Processing", "Accepted", "Processing", "Accepted", "TimedOut", "TimedOut"],
        // Granted at one, and refused another time.
        &["Processing", "Accepted", "Processing", "Rejected", "TimedOut"],
    ] {
        tells(statuses).is_clean();
    }
}

#[test]
fn what_is_wrong_in_every_release_is_wrong_here() {
    tells(&["Accepted"]).fails("monitor/illegal-transition", "TV-2");
    for statuses in [
        &["Processing", "Processing"][..],
        &["Processing", "TimedOut"],
        &["Processing", "Withdrawn"],
        &["Processing", "Rejected", "Accepted"],
        &["Processing", "Accepted", "Rejected", "Rejected"],
        &["Processing", "Rejected", "TimedOut"],
    ] {
        tells(statuses).fails("monitor/illegal-transition", "TV-4");
    }
    // A granted token that is withdrawn has no status, so that only one that waits can have had it.
    tells(&["Processing", "Accepted", "Withdrawn", "Withdrawn"]).fails("monitor/illegal-transition", "TV-4");
    let mut twice = tells(&["Processing", "Accepted", "Processing", "Accepted", "Withdrawn", "Withdrawn"]);
    let evidence = twice.fails("monitor/illegal-transition", "TV-4").evidence.join("\n");
    assert!(evidence.contains("EVerest 1.0 says nothing of a granted token that is withdrawn"), "{evidence}");
}

#[test]
fn what_a_token_was_used_for_was_told_later() {
    for status in ["UsedToStart", "UsedToStop", "UsedToReauthorize"] {
        let before: &[&str] = if status == "UsedToStart" { &["Processing", "Accepted"] } else { &["Processing"] };
        let mut wire = tells(&[before, &[status]].concat());
        let found: Vec<_> = wire.found.drain(..).map(|it| (it.id, it.headline)).collect();
        // Without `connectors` besides, which belong to these statuses where they are.
        assert!(found.iter().any(|(id, headline)| *id == "monitor/schema-violation" && headline.contains(status)));
        assert!(found.iter().all(|(id, _)| *id == "monitor/schema-violation"), "{found:?}");
    }
}

#[test]
fn heartbeats_are_empty_and_nothing_is_published_at_qos_2() {
    let mut right = wire(Side::Everest);
    sends(&mut right, Channel::HEARTBEAT, &json!({}));
    right.is_clean();
    let mut counted = wire(Side::Everest);
    sends(&mut counted, Channel::HEARTBEAT, &json!(0));
    counted.fails("monitor/schema-violation", "HB-1");
    let mut sure = wire(Side::Everest);
    let publish = Publish { qos: 2, ..message("everest_api/1.0/auth_consumer/api/e2m/heartbeat", "{}", 1) };
    sure.packet("module", Direction::FromClient, publish);
    sure.fails("monitor/qos", "RR-16");
}

#[test]
fn other_topics_and_later_requests_are_heard_by_nobody() {
    let mut elsewhere = wire(Side::Everest);
    let publish = Publish { qos: 0, ..message(&topics().topic(Channel::HEARTBEAT), "{}", 1) };
    elsewhere.packet("module", Direction::FromClient, publish);
    assert_eq!(elsewhere.ids(), ["monitor/unknown-topic"]);
    let mut asks = wire(Side::Client);
    asks.subscribe("module", "r");
    sends(&mut asks, Channel::GET_TOKEN_VALIDATION_STATUS, &get("r"));
    asks.warns("monitor/unknown-topic", "SC-2");
    // What was taken away later is there.
    let mut sets = wire(Side::Client);
    sends(&mut sets, Channel::SET_CONNECTION_TIMEOUT, &json!(30));
    sets.is_clean();
    let mut terse = wire(Side::Client);
    sends(&mut terse, Channel::WITHDRAW_AUTHORIZATION, &json!({"payload": {}}));
    terse.warns("monitor/request-ignored", "RR-2");
}

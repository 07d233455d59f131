//! What is right in one release and wrong in another, with each monitor's exact finding.

use super::*;

/// A finding by severity, id and requirement; `None` where there is none.
type Found = Option<(Severity, &'static str, &'static str)>;

const WRONG_SHAPE: Found = Some((Severity::Fail, "monitor/schema-violation", "HB-1"));
const OTHER_QOS: Found = Some((Severity::Fail, "monitor/qos", "RR-16"));

fn everest(release: Release) -> Wire {
    Wire::with(Context { in_force: running(release), ..Context::new(topics(), Side::Everest) })
}

fn client(release: Release) -> Wire {
    let mut wire = Wire::with(Context { in_force: running(release), ..Context::new(topics(), Side::Client) });
    wire.subscribe("module", &format!("{BASE}/e2m/#"));
    wire
}

/// Plays the same under each release, and compares what is found, from 2025.10 to main.
#[track_caller]
fn judged(wire: fn(Release) -> Wire, play: impl Fn(&mut Wire, Release), expected: [Found; 4]) {
    for (release, expected) in Release::ALL.into_iter().zip(expected) {
        let mut wire = wire(release);
        play(&mut wire, release);
        match expected {
            None => wire.is_clean(),
            Some((severity, id, requirement)) => drop(wire.found(severity, id, requirement).clone()),
        }
    }
}

/// A message of EVerest's side, at the QoS of the release.
fn publishes(wire: &mut Wire, release: Release, channel: Channel, payload: &Value) {
    let qos = if release >= Release::Main { 2 } else { 0 };
    let publish = Publish { qos, ..message(&topics().topic(channel), payload.to_string(), 1) };
    wire.packet("module", Direction::FromClient, publish);
}

/// A status, with `messages` as the release has them.
fn publishes_status(wire: &mut Wire, release: Release, status: &str, connectors: &[i64]) {
    let mut status = status_of("T1", "ISO14443", status, connectors);
    if release < Release::V2026_02 {
        status.as_object_mut().unwrap().remove("messages");
    }
    publishes(wire.after(10), release, Channel::TOKEN_VALIDATION_STATUS, &status);
}

#[test]
fn heartbeats_count_since_2025_12() {
    let one = |payload: Value| move |wire: &mut Wire, release| publishes(wire, release, Channel::HEARTBEAT, &payload);
    judged(everest, one(json!({})), [None, WRONG_SHAPE, WRONG_SHAPE, WRONG_SHAPE]);
    judged(everest, one(json!(0)), [WRONG_SHAPE, None, None, None]);
    let first = Some((Severity::Fail, "monitor/heartbeat-first", "HB-3"));
    judged(everest, one(json!(7)), [WRONG_SHAPE, first, first, first]);
}

#[test]
fn heartbeats_without_a_number_have_a_spacing_all_the_same() {
    for (millis, is_right) in [(1000, true), (2000, false)] {
        let context = Context { in_force: running(Release::V2025_10), ..Context::new(topics(), Side::Everest) };
        let mut wire = Wire::with(Context { heartbeat_interval: Some(Duration::from_secs(1)), ..context });
        for _ in 0..12 {
            publishes(wire.after(millis), Release::V2025_10, Channel::HEARTBEAT, &json!({}));
        }
        match is_right {
            true => wire.is_clean(),
            false => drop(wire.fails("monitor/heartbeat-spacing", "HB-4").clone()),
        }
    }
}

#[test]
fn everest_publishes_at_qos_0_before_main() {
    for (qos, expected) in
        [(0, [None, None, None, OTHER_QOS]), (1, [OTHER_QOS; 4]), (2, [OTHER_QOS, OTHER_QOS, OTHER_QOS, None])]
    {
        let play = move |wire: &mut Wire, release| {
            let payload = if release == Release::V2025_10 { "{}" } else { "0" };
            let publish = Publish { qos, ..message(&topics().topic(Channel::HEARTBEAT), payload, 1) };
            wire.packet("module", Direction::FromClient, publish);
        };
        judged(everest, play, expected);
    }
}

#[test]
fn statuses_have_messages_since_2026_02() {
    let other = Some((Severity::Warning, "monitor/messages", "TV-14"));
    let with = |wire: &mut Wire, release| {
        for status in ["Processing", "Rejected"] {
            publishes(wire, release, Channel::TOKEN_VALIDATION_STATUS, &status_of("T1", "ISO14443", status, &[]));
        }
    };
    judged(everest, with, [other, other, None, None]);
    let without = |wire: &mut Wire, release| {
        for status in ["Processing", "Rejected"] {
            let mut status = status_of("T1", "ISO14443", status, &[]);
            status.as_object_mut().unwrap().remove("messages");
            publishes(wire, release, Channel::TOKEN_VALIDATION_STATUS, &status);
        }
    };
    judged(everest, without, [None, None, other, other]);
}

#[test]
fn next_tells_what_validators_said_and_all_their_texts() {
    let text = |content: &str| json!({"content": content});
    let result = |texts: &[Value]| json!({"authorization_status": "Invalid", "tariff_messages": texts});
    let rejected = |messages: &[Value], results: Option<Value>| {
        let mut wire = everest(Release::Next);
        for (status, messages, results) in
            [("Processing", &[][..], results.as_ref().map(|_| json!([]))), ("Rejected", messages, results)]
        {
            let mut status = status_of("T1", "ISO14443", status, &[]);
            status["messages"] = json!(messages);
            if let Some(results) = results {
                status["validation_results"] = results;
            }
            publishes(&mut wire, Release::Next, Channel::TOKEN_VALIDATION_STATUS, &status);
        }
        wire
    };
    let (a, b) = (text("a"), text("b"));
    let both = json!([result(std::slice::from_ref(&a)), result(std::slice::from_ref(&b))]);
    rejected(&[a.clone(), b.clone()], Some(both.clone())).is_clean();
    rejected(&[], Some(json!([]))).is_clean();
    rejected(&[], Some(json!([result(&[])]))).is_clean();
    for (messages, results, headline) in [
        (vec![a.clone()], both.clone(), "module sent 1 `messages` with `Rejected`, its `validation_results` have 2"),
        (vec![], both.clone(), "module sent 0 `messages` with `Rejected`, its `validation_results` have 2"),
        (vec![b, a.clone()], both, "module sent other `messages` with `Rejected` than its `validation_results` have"),
        (vec![a], json!([]), "module sent 1 `messages` with `Rejected`, its `validation_results` have 0"),
    ] {
        let mut wire = rejected(&messages, Some(results));
        assert_eq!(wire.fails("monitor/messages", "TV-14").headline, headline);
    }
    rejected(&[], Some(json!([{"tariff_messages": []}]))).fails("monitor/schema-violation", "TV-1");
    let without = "module sent a status without `validation_results`, which EVerest next always has";
    assert_eq!(rejected(&[], None).found(Severity::Warning, "monitor/messages", "TV-14").headline, without);
    // As it is announced for 2027.04.
    let mut wire = Wire::with(Context {
        in_force: running(Release::Next).with(Deviation::NoMessages, true),
        ..Context::new(topics(), Side::Everest)
    });
    let mut status = status_of("T1", "ISO14443", "Processing", &[]);
    status.as_object_mut().unwrap().remove("messages");
    status["validation_results"] = json!([]);
    publishes(&mut wire, Release::Next, Channel::TOKEN_VALIDATION_STATUS, &status);
    wire.is_clean();
}

#[test]
fn used_to_reauthorize_is_a_status_of_main() {
    let unknown = Some((Severity::Fail, "monitor/schema-violation", "TV-1"));
    let play = |wire: &mut Wire, release| {
        publishes_status(wire, release, "Processing", &[]);
        publishes_status(wire, release, "UsedToReauthorize", &[1]);
    };
    judged(everest, play, [unknown, unknown, unknown, None]);
    // Published long before the specification listed them.
    let play = |wire: &mut Wire, release| {
        for (status, evses) in [("Processing", vec![]), ("Accepted", vec![]), ("UsedToStart", vec![1])] {
            publishes_status(wire, release, status, &evses);
        }
        publishes_status(wire, release, "Processing", &[]);
        publishes_status(wire, release, "UsedToStop", &[1]);
    };
    judged(everest, play, [None; 4]);
}

#[test]
fn a_granted_token_that_is_withdrawn_has_a_status_in_main() {
    let illegal = Some((Severity::Fail, "monitor/illegal-transition", "TV-4"));
    let granted = |wire: &mut Wire, release| {
        for (status, evses) in [("Processing", vec![]), ("Accepted", vec![]), ("UsedToStart", vec![1])] {
            publishes_status(wire, release, status, &evses);
        }
        publishes_status(wire, release, "Withdrawn", &[1]);
    };
    judged(everest, granted, [illegal, illegal, illegal, None]);
    let mut wire = everest(Release::V2026_02);
    granted(&mut wire, Release::V2026_02);
    let evidence = wire.fails("monitor/illegal-transition", "TV-4").evidence.join("\n");
    assert!(evidence.contains("EVerest 2026.02 says nothing of a granted token that is withdrawn"), "{evidence}");
    // A token that waits for a plug-in has one in all, and so has a second validation result.
    let waiting = |wire: &mut Wire, release| {
        for status in ["Processing", "Accepted", "Accepted", "Withdrawn"] {
            publishes_status(wire, release, status, &[]);
        }
    };
    judged(everest, waiting, [None; 4]);
    // What the release specifies counts where it is asked to follow its specification.
    let specified = Deviations::new(Release::V2026_02, Behaviour::AsSpecified, &BTreeMap::new());
    let mut wire = Wire::with(Context { in_force: specified, ..Context::new(topics(), Side::Everest) });
    granted(&mut wire, Release::V2026_02);
    wire.is_clean();
}

#[test]
fn the_last_status_can_be_asked_for_in_main() {
    let answered = |wire: &mut Wire, release: Release| {
        let reply = format!("{BASE}/e2m/get/1");
        wire.harness(Channel::GET_TOKEN_VALIDATION_STATUS, get(&reply));
        let qos = if release >= Release::Main { 2 } else { 0 };
        wire.packet("module", Direction::FromClient, Publish { qos, ..message(&reply, "null", 1) });
    };
    let stray = Some((Severity::Fail, "monitor/stray-reply", "LV-3"));
    judged(everest, answered, [stray, stray, stray, None]);
    let asks = |wire: &mut Wire, _| {
        wire.subscribe("module", "r");
        wire.module(Channel::GET_TOKEN_VALIDATION_STATUS, get("r"));
    };
    let unheard = Some((Severity::Warning, "monitor/unknown-topic", "SC-2"));
    judged(client, asks, [unheard, unheard, unheard, None]);
}

#[test]
fn setters_are_commands_of_2025_10() {
    let unheard = Some((Severity::Warning, "monitor/unknown-topic", "SC-2"));
    let sets = |payload: Value| {
        move |wire: &mut Wire, _| {
            wire.module(Channel::SET_CONNECTION_TIMEOUT, payload.clone());
        }
    };
    judged(client, sets(json!(30)), [None, unheard, unheard, unheard]);
    let invalid = Some((Severity::Fail, "monitor/schema-violation", "SC-1"));
    judged(client, sets(json!("30")), [invalid, unheard, unheard, unheard]);
}

#[test]
fn a_client_tells_where_the_reply_goes_or_is_ignored_before_2026_02() {
    let ignored = Some((Severity::Warning, "monitor/request-ignored", "RR-2"));
    for headers in [json!(null), json!({})] {
        let asks = |wire: &mut Wire, _| {
            let mut request = json!({"payload": {"evse_id": 1}});
            if headers.is_object() {
                request["headers"] = headers.clone();
            }
            wire.module(Channel::WITHDRAW_AUTHORIZATION, request);
        };
        judged(client, asks, [ignored, ignored, None, None]);
    }
}

#[test]
fn a_reply_topic_may_end_everest() {
    let unusable = Some((Severity::Fail, "monitor/reply-topic-unusable", "RR-13"));
    let asks = |reply_to: &'static str| {
        move |wire: &mut Wire, _| {
            wire.module(Channel::WITHDRAW_AUTHORIZATION, withdraw(reply_to));
        }
    };
    judged(client, asks(""), [unusable, unusable, None, None]);
    judged(client, asks("a/#"), [unusable; 4]);
    for (release, reply_to, ends) in [
        (Release::V2025_12, "", true),
        (Release::V2026_02, "a/#", true),
        (Release::V2026_02, "a\0", false),
        (Release::Main, "a/#", false),
    ] {
        let mut wire = client(release);
        wire.module(Channel::WITHDRAW_AUTHORIZATION, withdraw(reply_to));
        let evidence = wire.fails("monitor/reply-topic-unusable", "RR-13").evidence.join("\n");
        assert_eq!(evidence.contains("ends when it tries"), ends, "{release} {reply_to:?}: {evidence}");
    }
}

//! Getter, heartbeat, check, setters, entry point, and what was retained.

use super::*;

#[test]
fn empty_latch_true() {
    differs(Deviation::EmptyLatchTrue, &quiet(), |desk| desk.get("r"), &["r: true"], &["r: null"]);
}

#[test]
fn no_latched_get() {
    differs(Deviation::NoLatchedGet, &quiet(), |desk| desk.get("r"), &[], &["r: true"]);
}

/// The statuses of a token whose validator sends a tariff, as JSON.
fn with_tariff(config: StationConfig) -> Vec<Value> {
    let mut desk = Desk::ready(&config);
    let tariff = vec![MessageContent { content: "0.4".into(), format: None, language: None }];
    present(&mut desk, token("A"), Validation { tariff_messages: tariff, ..accepted_after(0) });
    desk.statuses.iter().map(|status| status["messages"].clone()).collect()
}

#[test]
fn no_messages() {
    let tariff = json!([{"content": "0.4"}]);
    let messages = |is_on| with_tariff(switched(quiet(), Deviation::NoMessages, is_on));
    assert_eq!(messages(true), [Value::Null, Value::Null, Value::Null]);
    assert_eq!(messages(false), [json!([]), tariff, json!([])]);
}

#[test]
fn messages_always_present() {
    let tariff = json!([{"content": "0.4"}]);
    let messages = |is_on| with_tariff(switched(quiet(), Deviation::MessagesAlwaysPresent, is_on));
    assert_eq!(messages(true), [json!([]), tariff.clone(), json!([])]);
    assert_eq!(messages(false), [Value::Null, tariff, Value::Null]);
}

#[test]
fn empty_heartbeat() {
    let act = |desk: &mut Desk| desk.pass(secs(2));
    differs(
        Deviation::EmptyHeartbeat,
        &with_heartbeat(1000),
        act,
        &["heartbeat {}", "heartbeat {}"],
        &["heartbeat 1", "heartbeat 2"],
    );
}

#[test]
fn narrow_heartbeat() {
    let act = |desk: &mut Desk| {
        desk.command(Command::Heartbeats(HeartbeatControl::Next(u32::MAX.into())));
        desk.pass(secs(2));
    };
    differs(
        Deviation::NarrowHeartbeat,
        &with_heartbeat(1000),
        act,
        &["heartbeat 4294967295", "heartbeat 0"],
        &["heartbeat 4294967295", "heartbeat 4294967296"],
    );
}

#[test]
fn check_ended_by_false() {
    let act = |desk: &mut Desk| {
        desk.check("false");
        desk.pass(secs(20));
        desk.check("true");
        desk.pass(secs(20));
    };
    differs(
        Deviation::CheckEndedByFalse,
        &with_check(5),
        act,
        &["cleared Initial communication check"],
        &["cleared Initial communication check", "raised Bridge to implementation connection lost"],
    );
}

#[test]
fn setter_commands() {
    let ends = pair(&quiet(), Deviation::SetterCommands).map(|mut desk| {
        // Without SetterLimitsIgnored the limits of the specification hold.
        desk.send(Channel::SET_CONNECTION_TIMEOUT, "12");
        desk.present("A", 0);
        desk.seen();
        desk.pass(secs(10));
        desk.seen_publications()
    });
    assert_eq!(ends, [vec![], vec!["A TimedOut [1]"]]);
}

/// Seconds until an authorization times out, after a command to set that; 8 is what the configuration has.
fn timeout_after(deviations: &[(Deviation, bool)], payload: &str) -> u64 {
    let deviations = BTreeMap::from_iter(deviations.iter().copied());
    let mut desk = Desk::ready(&StationConfig { release: Release::V2025_10, deviations, ..quiet() });
    desk.send(Channel::SET_CONNECTION_TIMEOUT, payload);
    desk.present("A", 0);
    desk.station.next_deadline().unwrap().as_secs()
}

#[test]
fn setter_limits_ignored() {
    for (payload, with, without) in [
        ("12", 12, 12),
        ("2.7", 2, 8),
        ("true", 1, 8),
        ("4294967298", 2, 8),
        ("\"3\"", 8, 8),
        ("301", 301, 8),
        ("9", 9, 8),
    ] {
        let seconds = [true, false].map(|is_on| timeout_after(&[(Deviation::SetterLimitsIgnored, is_on)], payload));
        assert_eq!(seconds, [with, without], "{payload}");
    }
    let long = json!("X".repeat(37)).to_string();
    let is_refused = [true, false].map(|is_on| {
        let config = StationConfig { release: Release::V2025_10, ..quiet() };
        let mut desk = Desk::ready(&switched(config, Deviation::SetterLimitsIgnored, is_on));
        desk.send(Channel::SET_MASTER_PASS_GROUP_ID, &long);
        present(&mut desk, token("P"), of_group(&"X".repeat(37)));
        desk.seen_publications().contains(&"P Rejected".to_owned())
    });
    assert_eq!(is_refused, [true, false]);
}

#[test]
fn master_pass_address() {
    let refused = |is_on: bool, channel: Channel| {
        let config = StationConfig { release: Release::V2025_10, ..quiet() };
        let mut desk = Desk::ready(&switched(config, Deviation::MasterPassAddress, is_on));
        desk.send(channel, "\"POLICE\"");
        present(&mut desk, token("P"), of_group("POLICE"));
        desk.seen_publications() == ["P Processing", "P Rejected"]
    };
    assert_eq!([true, false].map(|is_on| refused(is_on, Channel::SET_MASTER_PASS_GROUP_ID)), [true, false]);
    assert_eq!([true, false].map(|is_on| refused(is_on, Channel::SET_CONNECTION_TIMEOUT)), [false, true]);
}

#[test]
fn a_master_pass_group_is_switched_off_by_an_empty_text() {
    let mut desk = of_release(Release::V2025_10, quiet());
    desk.send(Channel::SET_MASTER_PASS_GROUP_ID, "\"POLICE\"");
    desk.send(Channel::SET_MASTER_PASS_GROUP_ID, "\"\"");
    present(&mut desk, token("P"), of_group("POLICE"));
    assert_eq!(desk.seen_publications(), ["P Processing", "P Accepted", "P UsedToStart [1]"]);
}

fn ask(desk: &mut Desk, entry_point: EntryPoint, text: &str) {
    desk.feed(Input::Queried { entry_point, payload: Bytes::copy_from_slice(text.as_bytes()) });
}

const REPLY_TO_R: &str = r#"{"headers": {"replyTo": "r"}}"#;

#[test]
fn no_entry_point() {
    let [mut with, mut without] = pair(&with_other_apis(), Deviation::NoEntryPoint);
    assert_eq!((with.beacons, without.beacons), (0, 3));
    for desk in [&mut with, &mut without] {
        ask(desk, EntryPoint::Discover, REPLY_TO_R);
    }
    assert_eq!((with.seen().len(), without.seen().len()), (0, 3));
}

#[test]
fn beacon_per_module() {
    let beacons = pair(&with_other_apis(), Deviation::BeaconPerModule).map(|desk| desk.beacons);
    assert_eq!(beacons, [3, 1]);
}

#[test]
fn retained_executed() {
    let act = |desk: &mut Desk| {
        let payload = Bytes::from_static(br#"{"headers": {"replyTo": "r"}, "payload": {}}"#);
        let request = Input::Received { channel: Channel::WITHDRAW_AUTHORIZATION, payload };
        desk.feed(Input::Retained(Box::new(request)));
    };
    differs(Deviation::RetainedExecuted, &quiet(), act, &["r: \"AuthorizationNotFound\""], &[]);
    // Left there before EVerest starts, it is executed when EVerest starts.
    for (is_on, expected) in [(true, &["r: \"AuthorizationNotFound\""][..]), (false, &[])] {
        let mut desk = Desk::new(&switched(quiet(), Deviation::RetainedExecuted, is_on));
        act(&mut desk);
        assert_eq!(desk.seen(), NOTHING);
        desk.feed(Input::Ready);
        assert_eq!(desk.seen(), expected);
    }
}

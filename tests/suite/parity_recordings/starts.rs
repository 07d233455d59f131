//! Starts and ends of EVerest in a recording, and what clients left for it.

use super::*;

#[test]
fn a_start_shows_without_being_told() {
    for release in RELEASES {
        let mut tape = Tape::new(release, "");
        tape.start(1300, 5);
        tape.request(3000, "communication_check", "true", "");
        tape.fault(3040, "Initial communication check", "ClearedByModule");
        plain_life(&mut tape, 4000);
        tape.is_reproduced(14);
    }
}

/// What is started anew at once may miss the first check, and raises its fault again; beacons come before it or after.
#[test]
fn two_starts_may_follow_closely() {
    for (beacons, beat, fault) in [(1300, 1302, 1305), (1305, 1300, 1302), (1300, 1305, 1303)] {
        for (checked, again) in [(160, 1900), (700, 1900), (1298, 2600)] {
            let mut tape = Tape::new("main", "");
            tape.start(100, 1).request(checked, "communication_check", "true", "");
            for _ in 0..3 {
                tape.message(beacons, "everest_api/ready_beacon", json!({}));
            }
            // Another module is a little quicker.
            tape.station = tape.station.replacen("interval_ms: 0", "interval_ms: 1000", 1);
            for (at, number) in [(100, 0), (1299, 0), (2299, 1), (3299, 2), (4299, 3)] {
                tape.message(at, &format!("{}/e2m/heartbeat", tape::PROVIDER), json!(number));
            }
            tape.beats(beat, 0, 4).fault(fault, "Initial communication check", "Active");
            tape.request(again, "communication_check", "true", "");
            tape.fault(again + 20, "Initial communication check", "ClearedByModule");
            plain_life(&mut tape, 3000);
            tape.is_reproduced(20);
            assert_eq!(tape.report_of(Sending::InTurn).differences, [], "{beacons} {beat} {fault} {checked}");
            // Without another start it would have had to clear the fault.
            tape.lines.retain(|(at, line)| !(1300..1310).contains(at) && *at != again + 20 || line.contains("m2e"));
            assert!(!tape.report().differences.is_empty());
        }
    }
}

/// A scenario is over when it likes, whatever a check has just brought.
#[test]
fn what_the_last_check_brings_may_not_be_seen_any_more() {
    let mut tape = Tape::new("main", "");
    tape.start(100, 3).request(2200, "communication_check", "true", "");
    assert_eq!(tape.report_of(Sending::InTurn).differences, []);
    tape.message(2900, "harness/step", json!("goes on"));
    assert!(!tape.report_of(Sending::InTurn).differences.is_empty());
}

/// Nothing that was asked in the recording was answered before it.
#[test]
fn a_reply_to_an_early_request_is_missed() {
    let mut tape = Tape::new("main", "");
    tape.station.push_str("start: {communication_check: false}\n");
    tape.withdraw(40, json!({"evse_id": 9}), 85, "EvseNotFound").beats(500, 40, 3);
    tape.is_reproduced(4);
    tape.lines.retain(|(at, _)| *at != 85);
    let kinds: Vec<_> = tape.report().differences.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [Kind::NotRecorded]);
}

/// Every start raises a fault: where none was recorded, nobody listened.
#[test]
fn faults_are_compared_where_they_were_recorded() {
    let mut tape = Tape::new("main", "");
    tape.start(1300, 9);
    tape.is_reproduced(5);
    tape.lines.retain(|(_, line)| !line.contains("CommunicationFault"));
    tape.is_reproduced(5);
    // It lacks the end of the fault, and that the check was not repeated.
    let mut tape = Tape::new("main", "");
    tape.start(1300, 9);
    tape.request(3000, "communication_check", "true", "");
    let differences = tape.report().differences;
    let states: Vec<_> = differences.iter().map(|it| &it.simulated.as_ref().unwrap().payload["state"]).collect();
    assert_eq!(states, ["ClearedByModule", "Active"]);
}

#[test]
fn an_everest_that_exits_is_silent_until_it_is_started_again() {
    for (release, reply_to, exits) in [
        ("2025.10", "", true),
        ("2025.12", "", true),
        ("2025.12", "x/+/y", true),
        ("2026.02", "", false),
        ("2026.02", "x/#", true),
        ("main", "", false),
        ("main", "x/#", false),
    ] {
        for pause in [1500, 7000] {
            let mut tape = Tape::new(release, "");
            tape.start(1000, if exits { 3 } else { 10 });
            let request = json!({"headers": {"replyTo": reply_to}, "payload": {}}).to_string();
            tape.request(3500, "withdraw_authorization", &request, "");
            // Nobody hears these, or the initial fault is cleared.
            tape.request(3700, "communication_check", "true", "");
            tape.withdraw(3800, json!({"evse_id": 9}), 3840, "EvseNotFound");
            if exits {
                tape.lines.retain(|(at, line)| *at != 3840 || !line.contains("EvseNotFound"));
                tape.start(3500 + pause, 4);
                plain_life(&mut tape, 5000 + pause);
            } else {
                tape.fault(3741, "Initial communication check", "ClearedByModule");
                tape.fault(8741, "Bridge to implementation connection lost", "Active");
                plain_life(&mut tape, 9000);
            }
            tape.is_reproduced(15);
        }
    }
}

#[test]
fn an_end_before_the_second_heartbeat() {
    let mut tape = Tape::new("2025.12", "");
    let request = json!({"headers": {"replyTo": "x/+/y"}, "payload": {}}).to_string();
    tape.start(1000, 1).request(1200, "withdraw_authorization", &request, "");
    tape.start(2400, 4);
    plain_life(&mut tape, 4000);
    tape.is_reproduced(12);
    // Twice at once is no start, but a message too many.
    let mut tape = Tape::new("2025.12", "");
    tape.start(1000, 4).beats(1000, 0, 1);
    let kinds: Vec<_> = tape.report().differences.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [Kind::NotSimulated]);
}

#[test]
fn a_start_that_no_message_shows() {
    for release in RELEASES {
        let mut tape = Tape::new(release, "");
        tape.station = tape.station.replace("ms: 1000", "ms: 0") + "start: {everest: starting}\n";
        tape.withdraw(400, json!({"evse_id": 1}), 440, "AuthorizationNotFound");
        plain_life(&mut tape, 1000);
        tape.is_reproduced(7);
    }
}

#[test]
fn what_a_client_asks_on_topics_of_everest_is_not_everests() {
    let mut tape = Tape::new("main", "");
    tape.start(1000, 4);
    let astray = json!({"headers": {"replyTo": "r"}, "payload": {}});
    tape.message(2500, &format!("{}/e2m/token_validation_status/get", tape::CONSUMER), astray);
    tape.is_reproduced(8);
}

#[test]
fn what_was_retained_is_executed_at_every_start() {
    for release in RELEASES {
        let mut tape = Tape::new(release, "");
        let request = |topic: &str| json!({"headers": {"replyTo": topic}, "payload": {"evse_id": 2}}).to_string();
        let retained = r#", "qos": 1, "retain": true"#;
        // Of one topic the last message is kept, and an empty one deletes it.
        tape.request(100, "withdraw_authorization", &request("lost"), retained);
        tape.request(200, "withdraw_authorization", &request("r"), retained);
        tape.request(300, "communication_check", "false", retained);
        tape.request(400, "communication_check", r#""""#, r#", "raw": true, "retain": true"#);
        tape.start(1500, 4).message(1540, "r", json!("AuthorizationNotFound"));
        tape.request(2000, "communication_check", "true", retained);
        tape.fault(2040, "Initial communication check", "ClearedByModule");
        // It ends and starts anew by hand.
        tape.start(8000, 4).message(8045, "r", json!("AuthorizationNotFound"));
        tape.fault(8046, "Initial communication check", "ClearedByModule");
        tape.is_reproduced(14);
    }
}

#[test]
fn an_exit_is_not_taken_for_an_end_by_hand() {
    let mut tape = Tape::new("2025.12", "");
    let request = json!({"headers": {"replyTo": ""}, "payload": {}}).to_string();
    tape.start(1000, 3).request(3400, "withdraw_authorization", &request, "");
    tape.request(3700, "communication_check", "true", "").start(9000, 3);
    tape.is_reproduced(8);
    tape.station.push_str("deviations: {exit-on-empty-reply-to: false}\n");
    let kinds: Vec<Kind> = tape.report().differences.into_iter().map(|difference| difference.kind).collect();
    assert_eq!(kinds, [Kind::NotSimulated, Kind::NotRecorded]);
}

#[test]
fn an_end_without_a_reason_is_a_difference_if_nobody_starts_it_again() {
    let mut tape = Tape::new("main", "");
    tape.start(1000, 3).message(6000, "harness/step", json!("end"));
    let kinds: Vec<Kind> = tape.report().differences.into_iter().map(|difference| difference.kind).collect();
    assert_eq!(kinds, [Kind::NotSimulated]);
}

//! Ends of EVerest as outcomes, and what else a recording has that is no message of the API.

use khumbu::parity::left_out::Why;

use super::*;

/// A request on which EVerest ends, or not, and what it does until then.
fn fatal(release: &'static str, request: &Value, beats: u64, more: &str) -> Tape {
    let mut tape = Tape::new(release, "");
    tape.station.push_str(more);
    tape.start(1000, beats).request(3500, "withdraw_authorization", &request.to_string(), "");
    tape.message(9000, "harness/step", json!("end"));
    tape
}

fn kinds(tape: &Tape) -> Vec<(Kind, String)> {
    tape.report().differences.into_iter().map(|found| (found.kind, found.lane)).collect()
}

#[test]
fn an_end_counts_whether_or_not_it_is_reproduced() {
    let empty = json!({"headers": {"replyTo": ""}, "payload": {}});
    let end = "the end of EVerest".to_owned();
    let ends = fatal("2025.12", &empty, 3, "");
    let report = ends.report();
    assert_eq!((report.outcomes, report.reproduced, report.differences), (5, 5, vec![]));
    // One that goes on does not do what EVerest did, and that is one difference.
    let goes_on = fatal("2025.12", &empty, 3, "deviations: {exit-on-empty-reply-to: false}\n");
    assert_eq!(kinds(&goes_on), [(Kind::NotSimulated, end.clone())]);
    assert_eq!(goes_on.report().reproduced, 4);
    // The other way round, EVerest does what the station does not.
    let mut lives = fatal("2026.02", &empty, 9, "deviations: {exit-on-empty-reply-to: true}\n");
    lives.fault(6004, "Initial communication check", "Active");
    assert!(kinds(&lives).contains(&(Kind::NotRecorded, end)), "{:?}", kinds(&lives));
}

#[test]
fn a_build_with_assertions_ends_on_a_request_without_a_reply_address() {
    let missing = json!({"payload": {"evse_id": 1}});
    fatal("2025.10", &missing, 3, "deviations: {exit-on-missing-reply-to: true}\n").is_reproduced(5);
    assert_eq!(kinds(&fatal("2025.10", &missing, 3, "")).len(), 1);
    fatal("2025.10", &missing, 8, "").is_reproduced(9);
    // Started again at once, it has ended by itself all the same.
    let mut again = fatal("2025.10", &missing, 3, "");
    again.start(7000, 3);
    assert_eq!(kinds(&again).iter().filter(|(kind, _)| *kind == Kind::NotSimulated).count(), 1);
}

#[test]
fn what_was_under_way_when_everest_ended_is_no_difference() {
    let empty = json!({"headers": {"replyTo": ""}, "payload": {}});
    let mut tape = fatal("2025.12", &empty, 3, "");
    tape.withdraw(3490, json!({"evse_id": 9}), 3560, "EvseNotFound");
    tape.withdraw(3510, json!({"evse_id": 9}), 3570, "EvseNotFound");
    let report = tape.report();
    assert_eq!((report.outcomes, report.reproduced, &report.differences), (6, 6, &vec![]));
    assert!(report.left_out.iter().any(|it| it.why == Why::Ending && it.count == 1), "{:?}", report.left_out);
    // Later it is one.
    tape.message(4500, "reply/3510", json!("EvseNotFound"));
    assert_eq!(kinds(&tape), [(Kind::NotSimulated, "reply/3510".to_owned())]);
}

#[test]
fn faults_are_understood_in_either_form() {
    for release in ["2025.10", "2025.12", "main"] {
        for is_early in [true, false] {
            let mut tape = Tape::new(release, "");
            tape.beats(100, 0, 9).fault_in_form(is_early, 101, "Initial communication check", "Active");
            tape.is_reproduced(10);
            // Raised seconds too early.
            tape.request(1000, "communication_check", "true", "");
            tape.fault_in_form(is_early, 1005, "Initial communication check", "ClearedByModule");
            tape.fault_in_form(is_early, 2000, "Bridge to implementation connection lost", "Active");
            let report = tape.report();
            assert_eq!((report.outcomes, report.reproduced), (12, 11), "{release}");
        }
    }
}

#[test]
fn a_restart_of_2025_10_shows_in_its_fault() {
    let mut tape = Tape::new("2025.10", "");
    tape.start(100, 6).start(7500, 4).is_reproduced(12);
    let by_hand = tape.report().left_out;
    assert!(by_hand.iter().any(|it| it.why == Why::EndedByHand && it.count == 1), "{by_hand:?}");
    // No file need say of which release it is.
    tape.station = tape.station.replace("release: \"2025.10\"\n", "");
    tape.is_reproduced(12);
    assert_eq!(tape.report().assumed_release.map(|release| release.name()), Some("2025.10"));
}

#[test]
fn a_reply_may_go_where_everest_listens() {
    for channel in ["withdraw_authorization", "token_validation_status/get", "communication_check"] {
        let mut tape = Tape::new("main", "");
        tape.station.push_str("start: {communication_check: false}\n");
        let topic = format!("{}/m2e/{channel}", tape::CONSUMER);
        let request = json!({"headers": {"replyTo": topic}, "payload": {"evse_id": 1}});
        tape.beats(100, 40, 4).request(1200, "withdraw_authorization", &request.to_string(), "");
        tape.message(1240, &topic, json!("AuthorizationNotFound"));
        tape.is_reproduced(5);
        let at = tape.lines.len() - 1;
        tape.lines[at].1 = tape.lines[at].1.replace("AuthorizationNotFound", "Accepted");
        assert_eq!(kinds(&tape), [(Kind::Content, topic.clone())]);
        tape.lines.pop();
        assert_eq!(kinds(&tape), [(Kind::NotRecorded, topic)]);
    }
}

#[test]
fn what_is_left_out_is_counted() {
    let mut tape = Tape::new("main", "");
    tape.start(1000, 3);
    for (topic, payload) in [
        ("harness/step", json!("x")),
        ("everest/modules/auth/impl/main/var", json!({})),
        ("everest/modules/auth_api/impl/main/error/generic/VendorError", json!({"data": {}})),
        ("everest_test/evse1/log", json!({"what": "other", "detail": ""})),
        ("everest_api/1/auth_consumer/auth_api/m2e/unheard_of", json!(1)),
    ] {
        tape.message(1500, topic, payload);
    }
    let left_out: Vec<_> = tape.report().left_out.into_iter().map(|it| (it.why, it.count)).collect();
    let expected = [Why::OtherError, Why::InternalBus, Why::UnknownName, Why::NotHeard].map(|why| (why, 1));
    assert_eq!((&left_out[..4], left_out[4]), (&expected[..], (Why::Foreign, 2)), "{left_out:?}");
}

//! Where EVerest may go on in more than one way, the recording decides; what EVerest cannot do stays a difference.

use super::*;

/// Tokens that wait for an EV, each accepted at its time, the first of EVerest's outcomes 150 ms before.
fn waiting(tokens: &[(&str, u64)]) -> Tape {
    let mut tape = Tape::new("main", "selection_algorithm: PlugEvents");
    tape.station = tape.station.replace("evses: 2", "evses: 3");
    tape.station.push_str("start: {communication_check: false}\n");
    tape.beats(100, 40, 14);
    for (token, at) in tokens {
        tape.token(at - 156, token).status(at - 151, token, "Processing", None);
        tape.validated(at - 150, token, *at, accepted()).status(at + 4, token, "Accepted", None);
    }
    tape
}

#[test]
fn whichever_token_waits_may_get_the_ev() {
    let tokens = [("A", 600), ("B", 1000), ("C", 1400)];
    for (winner, _) in tokens {
        let mut tape = waiting(&tokens);
        tape.events(2000, 2, &["SessionStarted", "AuthRequired"]);
        tape.granted(2005, winner, 2, &["Authorized", "PrepareCharging", "TransactionStarted"]);
        for (token, at) in tokens.iter().filter(|(token, _)| *token != winner) {
            tape.status(at + 8030, token, "TimedOut", None);
        }
        tape.is_reproduced(20);
        // The others may not have it too, nor anybody else.
        let mut double = tape.clone();
        let loser = tokens.iter().find(|(token, _)| *token != winner).unwrap().0;
        double.granted(2100, loser, 2, &[]);
        assert!(!double.report().differences.is_empty());
        for (_, line) in tape.lines.iter_mut().filter(|(at, _)| (2005..2100).contains(at)) {
            *line = line.replace(&format!(r#""value":"{winner}""#), r#""value":"Z""#);
            *line = line.replace(&format!(r#"\"value\":\"{winner}\""#), r#"\"value\":\"Z\""#);
        }
        assert!(!tape.report().differences.is_empty());
    }
}

#[test]
fn all_orders_of_three_tokens_and_three_evs() {
    let tokens = ["A", "B", "C"];
    for first in 0..3 {
        for second in (0..3).filter(|second| *second != first) {
            let order = [first, second, 3 - first - second].map(|index| tokens[index]);
            let mut tape = waiting(&[("A", 600), ("B", 1000), ("C", 1400)]);
            for (at, token, evse) in [(2000, order[0], 3), (2500, order[1], 1), (3000, order[2], 2)] {
                tape.events(at, evse, &["SessionStarted", "AuthRequired"]);
                tape.granted(at + 5, token, evse, &["Authorized", "PrepareCharging", "TransactionStarted"]);
            }
            tape.is_reproduced(20);
        }
    }
}

/// An EV that comes at `plugged`, beside a wait that ends at 8600.
fn beside_the_end_of_a_wait(plugged: u64, times_out: bool) -> Tape {
    let mut tape = waiting(&[("A", 600)]);
    tape.events(plugged, 2, &["SessionStarted", "AuthRequired"]);
    if times_out {
        tape.status(8612, "A", "TimedOut", None);
    } else {
        tape.granted(plugged + 5, "A", 2, &["Authorized", "PrepareCharging", "TransactionStarted"]);
    }
    tape
}

#[test]
fn what_coincides_with_a_time_limit_may_go_either_way() {
    for plugged in [8560, 8590, 8600, 8610, 8640] {
        beside_the_end_of_a_wait(plugged, true).is_reproduced(17);
        beside_the_end_of_a_wait(plugged, false).is_reproduced(17);
    }
    assert!(!beside_the_end_of_a_wait(8300, true).report().differences.is_empty());
    assert!(!beside_the_end_of_a_wait(8900, false).report().differences.is_empty());
}

#[test]
fn waits_that_end_together_end_in_any_order() {
    for order in [["A", "B"], ["B", "A"]] {
        let mut tape = waiting(&[("A", 600), ("B", 780)]);
        // The second waits as long as the first, but is told of it less late.
        tape.lines.retain(|(_, line)| !line.contains("\"value\":\"B\""));
        tape.token(606, "B").status(609, "B", "Processing", None);
        tape.validated(610, "B", 612, accepted()).status(616, "B", "Accepted", None);
        tape.status(8630, order[0], "TimedOut", None).status(8635, order[1], "TimedOut", None);
        tape.is_reproduced(20);
    }
    // What one thread does is in its order: of one token first this, then that.
    let mut tape = waiting(&[("A", 600)]);
    tape.status(8612, "A", "TimedOut", None);
    for (at, line) in tape.lines.iter_mut().filter(|(_, line)| line.contains("token_validation_status")) {
        let (here, there) = if *at < 600 { ("Processing", "Accepted") } else { ("Accepted", "Processing") };
        *line = line.replace(here, there);
    }
    assert!(!tape.report().differences.is_empty());
}

#[test]
fn tokens_of_the_same_instant_have_no_order_among_each_other() {
    // Each has its own, and what becomes of it does not depend on the other.
    for (first, second) in [("A", "B"), ("B", "A")] {
        let mut tape = Tape::new("main", "selection_algorithm: PlugEvents");
        tape.station = tape.station.replace("evses: 2", "evses: 3");
        tape.station.push_str("start: {communication_check: false}\n");
        tape.beats(100, 40, 4).token(500, "A").token(500, "B");
        for (token, at) in [(first, 505), (second, 515)] {
            tape.status(at, token, "Processing", None).validated(at + 1, token, 700, accepted());
            tape.status(at + 200, token, "Accepted", None);
        }
        tape.is_reproduced(10);
        let mut swapped = tape.clone();
        for (_, line) in swapped.lines.iter_mut().filter(|(_, line)| line.contains(r#""value":"A""#)) {
            let (processing, accepted) = (r#""status":"Processing""#, r#""status":"Accepted""#);
            *line = line.replace(processing, "X").replace(accepted, processing).replace('X', accepted);
        }
        assert!(!swapped.report().differences.is_empty());
    }
}

/// Withdraw requests sent at once, of which EVerest answers one every `step` milliseconds.
fn storm(step: u64) -> Tape {
    let mut tape = Tape::new("main", "");
    tape.station.push_str("start: {communication_check: false}\n");
    tape.beats(100, 40, 8).token(500, "A").status(505, "A", "Processing", None);
    tape.validated(506, "A", 656, accepted()).status(660, "A", "Accepted", None);
    tape.granted(665, "A", 1, &["SessionStarted", "Authorized"]);
    tape.log(2040, 1, "withdraw_authorization", json!("")).events(2041, 1, &["Deauthorized", "SessionFinished"]);
    tape.status(2050, "A", "Withdrawn", Some(&[1]));
    for index in 0..20 {
        let asked = match index % 4 {
            0 => json!({}),
            1 => json!({"evse_id": 9}),
            2 => json!({"id_token": {"value": "A", "type": "ISO14443"}}),
            _ => json!({"evse_id": 1}),
        };
        let result = match index {
            0 => "Accepted",
            _ if index % 4 == 1 => "EvseNotFound",
            _ => "AuthorizationNotFound",
        };
        tape.withdraw(2000 + index, asked, 2090 + step * index, result);
    }
    tape
}

#[test]
fn everest_takes_a_while_for_each_request_and_no_longer() {
    for step in [0, 20, 44, 55] {
        storm(step).is_reproduced(33);
    }
    let slow = storm(110).report();
    assert!(slow.differences.len() > 5, "{:?}", slow.differences);
    assert!(slow.differences.iter().all(|found| found.kind == Kind::Time));
    for index in [0, 1, 5, 19] {
        let mut tape = storm(44);
        let reply = format!("\"topic\": \"reply/{}\"", 2000 + index);
        let (_, line) = tape.lines.iter_mut().find(|(_, line)| line.contains(&reply)).unwrap();
        *line = line.replace("AuthorizationNotFound", "X").replace("EvseNotFound", "AuthorizationNotFound");
        *line = line.replace("\"Accepted\"", "\"AuthorizationNotFound\"").replace("\"X\"", "\"Accepted\"");
        let kinds: Vec<_> = tape.report().differences.iter().map(|found| found.kind).collect();
        assert_eq!(kinds, [Kind::Content], "{index}");
    }
}

#[test]
fn a_request_that_waited_and_what_the_evse_reports_race() {
    // The EV is there: a transaction begins with the authorization, before or after the request goes on.
    for is_overtaken in [true, false] {
        let mut tape = Tape::new("main", "");
        tape.station.push_str("start: {communication_check: false}\n");
        tape.beats(100, 40, 6).events(300, 1, &["SessionStarted", "AuthRequired"]);
        tape.token(500, "A").status(505, "A", "Processing", None);
        tape.validated(506, "A", 1500, accepted()).status(1504, "A", "Accepted", None);
        tape.withdraw(800, json!({"evse_id": 1}), 1640, "Accepted");
        tape.granted(1505, "A", 1, &["Authorized", "PrepareCharging", "TransactionStarted"]);
        if is_overtaken {
            tape.log(1560, 1, "stop_transaction", json!({"reason": "DeAuthorized"}));
            tape.events(1561, 1, &["StoppingCharging", "ChargingFinished", "TransactionFinished"]);
        } else {
            tape.log(1560, 1, "withdraw_authorization", json!("")).status(1580, "A", "Withdrawn", Some(&[1]));
        }
        tape.is_reproduced(12);
    }
}

#[test]
fn what_waits_behind_a_request_that_a_time_limit_lets_go_is_answered() {
    // Nothing is done to EVerest any more when the validation ends, which the first request has waited for.
    let mut tape = Tape::new("main", "");
    tape.station =
        tape.station.lines().filter(|line| !line.contains("auth_token_")).map(|line| format!("{line}\n")).collect();
    tape.station.push_str("start: {communication_check: false}\n");
    let validation = json!({"after_ms": 1500, "authorization_status": "Accepted"});
    let told = json!({"present_token": {"token": bare("A"), "validation": validation}});
    tape.beats(100, 4, 2).message(500, "khumbu/auth_api/do", told).status(501, "A", "Processing", None);
    tape.withdraw(600, json!({"id_token": {"value": "A", "type": "ISO14443"}}), 2010, "Accepted");
    tape.status(2001, "A", "Accepted", None).granted(1962, "A", 1, &[]);
    tape.log(2003, 1, "withdraw_authorization", json!("")).status(2004, "A", "Withdrawn", Some(&[1]));
    tape.withdraw(601, json!({"evse_id": 9}), 2050, "EvseNotFound");
    tape.is_reproduced(10);
}

/// Every order of these.
fn orders(tokens: &[&'static str]) -> Vec<Vec<&'static str>> {
    if tokens.is_empty() {
        return vec![Vec::new()];
    }
    let first = |at: usize| {
        let others: Vec<_> = tokens.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, it)| *it).collect();
        orders(&others).into_iter().map(move |rest| [vec![tokens[at]], rest].concat())
    };
    (0..tokens.len()).flat_map(first).collect()
}

#[test]
fn tokens_that_one_request_withdraws_wake_in_any_order() {
    for tokens in [&["A", "B", "C"][..], &["A", "B", "C", "D"]] {
        let waits: Vec<_> = tokens.iter().zip(0_u64..).map(|(token, nth)| (*token, 600 + 400 * nth)).collect();
        for order in orders(tokens) {
            let mut tape = waiting(&waits);
            for (token, at) in order.iter().zip((4006..).step_by(2)) {
                tape.status(at, token, "Withdrawn", None);
            }
            tape.withdraw(4000, json!({}), 4020, "Accepted");
            let last = json!({"messages": [], "status": "Withdrawn", "token": bare(order[order.len() - 1])});
            let get = json!({"headers": {"replyTo": "reply/latched"}}).to_string();
            tape.request(4100, "token_validation_status/get", &get, "").message(4110, "reply/latched", last);
            tape.is_reproduced(14 + 4 * tokens.len() + 2);
            let report = tape.report_of(Sending::InTurn);
            assert_eq!((report.differences, report.is_open), (Vec::new(), true), "{order:?}");
            // Nobody else was withdrawn last.
            for (_, line) in tape.lines.iter_mut().filter(|(_, line)| line.contains("\"topic\": \"reply/latched\"")) {
                *line = line.replace(r#""value":""#, r#""value":"Z"#);
            }
            assert_eq!(tape.report().differences.len(), 1);
        }
    }
}

#[test]
fn what_an_evse_says_may_reach_auth_after_what_is_asked_next_and_not_long_after() {
    for (later, is_race) in [(0, true), (5, true), (40, true), (90, false), (300, false)] {
        let mut tape = Tape::new("main", "");
        tape.station.push_str("start: {communication_check: false}\n");
        tape.beats(100, 40, 4).token(500, "A").status(505, "A", "Processing", None);
        tape.validated(506, "A", 656, accepted()).status(660, "A", "Accepted", None);
        tape.granted(665, "A", 1, &["SessionStarted", "Authorized"]);
        tape.events(1500, 1, &["PrepareCharging", "TransactionStarted"]);
        tape.log(1520 + later, 1, "withdraw_authorization", json!(""));
        tape.withdraw(1500 + later, json!({"evse_id": 1}), 1540 + later, "Accepted");
        tape.status(1530 + later, "A", "Withdrawn", Some(&[1]));
        let report = tape.report_of(Sending::InTurn);
        assert_eq!((report.differences.is_empty(), report.is_open), (is_race, is_race), "{later} ms");
        // It is not heard before it is said.
        let mut tape = Tape::new("main", "");
        tape.station.push_str("start: {communication_check: false}\n");
        tape.beats(100, 40, 4).token(500, "A").status(505, "A", "Processing", None);
        tape.validated(506, "A", 656, accepted()).status(660, "A", "Accepted", None);
        tape.granted(665, "A", 1, &["SessionStarted", "Authorized"]);
        tape.withdraw(1500, json!({"evse_id": 1}), 1560, "Accepted");
        tape.events(1510 + later, 1, &["PrepareCharging", "TransactionStarted"]);
        tape.log(1520 + later, 1, "stop_transaction", json!({"reason": "DeAuthorized"}));
        assert!(!tape.report_of(Sending::InTurn).differences.is_empty(), "{later} ms");
    }
}

#[test]
fn a_call_without_arguments_may_say_so_in_any_way() {
    for detail in [json!(""), json!(null), json!("{}"), json!("null"), json!({})] {
        let mut tape = Tape::new("main", "");
        plain_life(tape.beats(100, 40, 3), 500);
        for (_, line) in tape.lines.iter_mut().filter(|(_, line)| line.contains("\"what\":\"withdraw_authorization\""))
        {
            *line = line.replace(r#""detail":"""#, &format!(r#""detail":{detail}"#));
        }
        tape.station.push_str("start: {communication_check: false}\n");
        tape.is_reproduced(8);
        for (_, line) in &mut tape.lines {
            *line = line.replace(&format!(r#""detail":{detail},"#), "");
        }
        tape.is_reproduced(8);
    }
}

#[test]
fn what_was_sent_in_turn_is_not_heard_the_other_way_round() {
    // Two EVs come, and the token gets the later one.
    let mut tape = Tape::new("main", "selection_algorithm: PlugEvents");
    tape.station.push_str("start: {communication_check: false}\n");
    tape.beats(100, 40, 4).events(1000, 2, &["SessionStarted", "AuthRequired"]);
    tape.events(1020, 1, &["SessionStarted", "AuthRequired"]);
    tape.token(2000, "A").status(2005, "A", "Processing", None);
    tape.validated(2006, "A", 2010, accepted()).status(2015, "A", "Accepted", None).granted(
        2020,
        "A",
        1,
        &["Authorized"],
    );
    assert_eq!(tape.report().differences, []);
    assert!(tape.report().other_ways > 0);
    assert!(!tape.report_of(Sending::InTurn).differences.is_empty());
    // A time limit of EVerest's own may come between, and threads race all the same.
    for (tape, is_raced, is_open) in [
        (beside_the_end_of_a_wait(8590, true), true, true),
        (beside_the_end_of_a_wait(8610, false), true, true),
        // The station does the same by itself, and might have done otherwise, but not when the limit is far.
        (beside_the_end_of_a_wait(8590, false), false, true),
        (beside_the_end_of_a_wait(8610, true), false, true),
        (beside_the_end_of_a_wait(8300, false), false, false),
        (beside_the_end_of_a_wait(8900, true), false, false),
    ] {
        let report = tape.report_of(Sending::InTurn);
        assert_eq!((report.differences, report.other_ways > 0, report.is_open), (Vec::new(), is_raced, is_open));
    }
    assert!(!beside_the_end_of_a_wait(8900, false).report_of(Sending::InTurn).is_open, "that no EVerest does");
}

#[test]
fn what_an_ev_does_right_after_a_token_was_answered_is_its_own_doing() {
    // Within the time in which an EVSE reports what a token brings, and told by a command.
    let mut tape = Tape::new("main", "");
    let command = "  - {topic: \"everest_test/evse{evse}/cmd\", is: {command: {start_transaction: start_transaction, unplug: unplug, inject_fault: inject_fault}}}\nstart: {communication_check: false}\n";
    tape.station.push_str(command);
    let cmd = |tape: &mut Tape, at: u64, evse: i32, what: &str| {
        tape.message(at, &format!("everest_test/evse{evse}/cmd"), json!(what));
    };
    tape.beats(100, 40, 3).events(300, 1, &["SessionStarted", "AuthRequired"]);
    tape.token(500, "A").status(505, "A", "Processing", None);
    tape.validated(506, "A", 510, accepted()).status(512, "A", "Accepted", None);
    tape.granted(515, "A", 1, &["Authorized"]);
    cmd(&mut tape, 556, 1, "start_transaction");
    tape.events(557, 1, &["PrepareCharging", "TransactionStarted"]);
    tape.token(560, "B").status(561, "B", "Processing", None);
    tape.validated(562, "B", 563, accepted()).status(564, "B", "Accepted", None);
    tape.granted(565, "B", 2, &["SessionStarted", "Authorized"]);
    tape.token(607, "C").status(608, "C", "Processing", None).status(609, "C", "Rejected", None);
    cmd(&mut tape, 611, 1, "unplug");
    tape.events(612, 1, &["TransactionFinished", "SessionFinished"]);
    // Of a fault no session event tells.
    cmd(&mut tape, 900, 1, "inject_fault");
    tape.token(1000, "D").status(1005, "D", "Processing", None).status(1010, "D", "Rejected", None);
    tape.is_reproduced(14);
}

/// What three EVSEs of a genuine EVerest did, the n-th line of which with one text has another in its place.
fn genuine(name: &str, falsified: Option<(usize, &str, &str)>) -> Option<parity::Report> {
    let path = format!("{}/../shared/recordings/three_evses/{name}", env!("CARGO_MANIFEST_DIR"));
    let Ok(text) = std::fs::read_to_string(format!("{path}.jsonl")) else {
        println!("skipped: no recording ../shared/recordings/three_evses/{name}.jsonl");
        return None;
    };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Some((nth, right, wrong)) = falsified {
        let line = lines.iter_mut().filter(|line| line.contains(right)).nth(nth).unwrap();
        *line = line.replace(right, wrong);
    }
    let recording = Recording::parse("r.jsonl", &lines.join("\n")).unwrap();
    let station = std::fs::read_to_string(format!("{path}.yaml")).unwrap();
    let station: StationFile = scenario::parse_around_station("station.yaml", &station).unwrap();
    Some(parity::compare(&recording, &station, parity::TOLERANCE, Sending::Overlapping))
}

#[test]
fn three_evses_of_a_genuine_everest_are_reproduced_and_nothing_else() {
    for (name, outcomes) in [("random_findfirst_seed1", 171), ("three_evses_withdraw_storm", 207)] {
        let Some(report) = genuine(name, None) else { return };
        assert_eq!((report.outcomes, report.reproduced, report.differences), (outcomes, outcomes, vec![]), "{name}");
        for falsified in [
            (1, r#""status":"Withdrawn""#, r#""status":"TimedOut""#),
            (2, r#""payload":"AuthorizationNotFound""#, r#""payload":"Accepted""#),
        ] {
            let report = genuine(name, Some(falsified)).unwrap();
            assert_eq!(report.reproduced, outcomes - 1, "{name}: {falsified:?}: {:?}", report.differences);
        }
    }
}

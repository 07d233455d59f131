//! Statuses of tokens.

use super::*;

/// `P`, `A1`, `S1`, … for `Processing`, `Accepted` at EVSE 1, and so on.
fn parse(short: &str) -> (&'static str, Vec<i64>) {
    let (letters, evses) = short.split_at(short.find(|c: char| c.is_ascii_digit()).unwrap_or(short.len()));
    let status = match letters {
        "P" => "Processing",
        "A" => "Accepted",
        "R" => "Rejected",
        "TO" => "TimedOut",
        "S" => "UsedToStart",
        "X" => "UsedToStop",
        "W" => "Withdrawn",
        "RE" => "UsedToReauthorize",
        other => panic!("{other}"),
    };
    (status, evses.chars().map(|c| i64::from(c.to_digit(10).unwrap())).collect())
}

fn play(wire: &mut Wire, course: &str) {
    for short in course.split_whitespace() {
        let (status, evses) = parse(short);
        wire.status(status, &evses);
    }
}

#[test]
fn courses_of_real_everest_pass() {
    for course in [
        "P A S1",
        "P R",
        "P R P R P A S1",
        "P A R",
        "P A A S1",
        "P A A R",
        "P A TO",
        "P A W",
        "P A W2",
        "P A S1 TO1 P A S1",
        "P A S1 W1 P A S1",
        "P A S1 W1 W1 TO1 P",
        "P A S1 P X1 P A S1",
        "P A S1 P RE1 P RE1 P X1",
        "P A S1 P R P R",
        "P X12",
        // The same token at two EVSEs, whose tails interleave with attempts.
        "P A S1 P A S2 W1 W2",
        "P A S1 P A S2 TO2 P A W1 S2 W2",
        "P A S1 P TO1 R",
        "P A S1 P W1 A S2",
        // A tail that leaves its EVSE out.
        "P A S1 W P A S1 TO",
    ] {
        let mut wire = Wire::everest();
        play(&mut wire, course);
        wire.found.extend(wire.monitors.finish(wire.at));
        assert!(wire.found.is_empty(), "{course}: {:#?}", wire.found);
    }
}

/// A validator that thinks better of it has `Accepted` said again.
#[test]
fn accepted_comes_again_with_an_update_only() {
    for (first, second) in
        [("P A S1", "A1 A1 W1"), ("P A S1 P RE1", "A1 P X1"), ("P A S1 P X1", "A1"), ("P A S1 P R", "A1")]
    {
        let mut wire = Wire::everest();
        play(&mut wire, first);
        wire.monitors.verdict_updated();
        play(&mut wire, second);
        wire.is_clean();
        let mut wire = Wire::everest();
        play(&mut wire, &format!("{first} A1"));
        wire.fails("monitor/illegal-transition", "TV-4");
    }
    let mut wire = Wire::everest();
    play(&mut wire, "P A S1");
    wire.sends("harness", "everest_api/1/auth_token_validator/v/m2e/validate_result_update", "{}");
    play(&mut wire, "A1");
    wire.is_clean();
}

#[test]
fn courses_that_cannot_be_fail_once() {
    for (course, requirement) in [
        ("A", "TV-2"),
        ("S1", "TV-2"),
        ("R", "TV-2"),
        ("W1", "TV-2"),
        ("P P", "TV-4"),
        ("P S1", "TV-4"),
        ("P TO", "TV-4"),
        ("P W", "TV-4"),
        ("P A P", "TV-4"),
        ("P A X1", "TV-4"),
        ("P A RE1", "TV-4"),
        ("P R A", "TV-4"),
        ("P R S1", "TV-4"),
        ("P A TO TO", "TV-4"),
        ("P A S1 S1", "TV-4"),
        ("P A S1 R", "TV-4"),
        ("P A S1 X1", "TV-4"),
        ("P A S1 W2", "TV-4"),
        ("P A S1 TO1 TO1", "TV-4"),
        ("P A S1 TO1 W1", "TV-4"),
        ("P A S1 W1 S1", "TV-4"),
        ("P A S1 P X1 W1", "TV-4"),
        ("P A S1 P RE1 TO1", "TV-4"),
        ("P A S1 P W2", "TV-4"),
        ("P A W W", "TV-4"),
    ] {
        let mut wire = Wire::everest();
        play(&mut wire, course);
        let found: Vec<_> = wire.found.iter().map(|finding| (finding.id, finding.requirement)).collect();
        assert_eq!(found, [("monitor/illegal-transition", Some(requirement))], "{course}");
    }
}

#[test]
fn a_finding_says_what_was_before_and_what_could_have_been() {
    let mut wire = Wire::everest();
    play(&mut wire, "P S1");
    let finding = wire.fails("monitor/illegal-transition", "TV-4");
    assert_eq!(finding.headline, "module sent `UsedToStart` [1] for token `T1` after `Processing`");
    assert!(finding.evidence.iter().any(|line| line == "before it: `Processing` 10ms"), "{finding:#?}");
    let possible = "possible here: `Accepted`, `Rejected`, `UsedToStop`, `UsedToReauthorize`";
    assert!(finding.evidence.iter().any(|line| line == possible), "{finding:#?}");
}

#[test]
fn tokens_are_told_apart_byte_for_byte() {
    let mut wire = Wire::everest();
    for value in ["aa", "AA", "bb"] {
        wire.module(Channel::TOKEN_VALIDATION_STATUS, status_of(value, "ISO14443", "Processing", &[]));
    }
    for value in ["AA", "bb", "aa"] {
        wire.module(Channel::TOKEN_VALIDATION_STATUS, status_of(value, "ISO14443", "Rejected", &[]));
    }
    wire.is_clean();
}

#[test]
fn one_value_with_two_types_is_not_judged() {
    let mut wire = Wire::everest();
    for kind in ["ISO14443", "KeyCode"] {
        wire.module(Channel::TOKEN_VALIDATION_STATUS, status_of("aa", kind, "Processing", &[]));
    }
    wire.is_clean();
}

#[test]
fn everest_starting_again_forgets_its_tokens() {
    let mut wire = Wire::everest();
    play(&mut wire, "P A");
    wire.monitors.everest_restarted();
    // The last word of the old process, then the new one.
    play(&mut wire, "S1 P R");
    wire.is_clean();
    let mut wire = Wire::everest();
    play(&mut wire, "P");
    wire.monitors.everest_restarted();
    play(&mut wire, "P A S1");
    wire.is_clean();
}

#[test]
fn statuses_lost_while_offline_are_no_fault() {
    let mut wire = Wire::everest();
    play(&mut wire, "P");
    wire.disconnect("module", false).connect("module");
    play(&mut wire, "S1 W1 TO2");
    wire.is_clean();
}

#[test]
fn redelivery_is_no_repetition() {
    let mut wire = Wire::everest();
    play(&mut wire, "P");
    let topic = topics().topic(Channel::TOKEN_VALIDATION_STATUS);
    let text = status_of("T1", "ISO14443", "Processing", &[]).to_string();
    let again = Publish { dup: true, ..message(&topic, &text, wire.pkid) };
    wire.packet("module", Direction::FromClient, again);
    wire.connect("module").sends("module", &topic, &text);
    play(&mut wire, "A S1");
    wire.is_clean();
}

#[test]
fn an_attached_module_may_be_in_the_middle() {
    let attached = Context { from_start: false, ..Context::new(topics(), Side::Everest) };
    let mut wire = Wire::with(attached);
    play(&mut wire, "S1 W1 P A S1");
    wire.is_clean();
}

#[test]
fn a_status_of_the_future_ends_the_judgement_of_what_follows() {
    let mut wire = Wire::everest();
    play(&mut wire, "P");
    wire.status("Suspended", &[]);
    play(&mut wire, "S1 W1");
    wire.fails("monitor/schema-violation", "TV-1");
}

#[test]
fn statuses_about_an_evse_name_it() {
    for (course, requirement) in [("P A S", "TV-6"), ("P A S12", "TV-6"), ("P X", "TV-7"), ("P RE", "TV-7")] {
        let mut wire = Wire::everest();
        play(&mut wire, course);
        wire.fails("monitor/connectors", requirement);
    }
    let mut master_pass = status_of("T1", "ISO14443", "UsedToStop", &[]);
    master_pass["token"]["connectors"] = json!([]);
    let mut wire = Wire::everest();
    play(&mut wire, "P");
    wire.module(Channel::TOKEN_VALIDATION_STATUS, master_pass).is_clean();
}

#[test]
fn only_accepted_has_texts_to_show() {
    let text = json!([{"content": "0.49 EUR/kWh"}]);
    let mut wire = Wire::everest();
    play(&mut wire, "P");
    let mut accepted = status_of("T1", "ISO14443", "Accepted", &[]);
    accepted["messages"] = text.clone();
    wire.module(Channel::TOKEN_VALIDATION_STATUS, accepted).is_clean();
    let mut rejected = status_of("T1", "ISO14443", "Rejected", &[]);
    rejected["messages"] = text;
    wire.module(Channel::TOKEN_VALIDATION_STATUS, rejected).fails("monitor/messages", "TV-14");
}

/// A token that is handed in over the API of token providers, or by a command.
fn handed_in(wire: &mut Wire, token: &Value, is_command: bool) {
    if is_command {
        wire.sends("harness", "khumbu/api/do", json!({"present_token": {"token": token}}).to_string());
    } else {
        let provider = Topics { api: ApiType::AUTH_TOKEN_PROVIDER, module_id: "provider".into(), ..topics() };
        wire.sends("harness", &provider.topic(Channel::PROVIDED_TOKEN), token.to_string());
    }
}

#[test]
fn an_attempt_begins_with_the_token_as_it_was_handed_in() {
    let token = |connectors: &[i64]| status_of("T1", "ISO14443", "Processing", connectors)["token"].take();
    for (is_command, requirement) in [(false, "TP-2"), (true, "TV-2")] {
        // Of a token that nobody was seen to hand in nothing is known.
        Wire::everest().status("Processing", &[]).is_clean();
        let mut wire = Wire::everest();
        handed_in(&mut wire, &token(&[1, 2]), is_command);
        wire.status("Processing", &[1, 2]).status("Accepted", &[]).status("UsedToStart", &[2]).is_clean();
        for other in [&[][..], &[1], &[2, 1]] {
            let mut wire = Wire::everest();
            handed_in(&mut wire, &token(&[1, 2]), is_command);
            let finding = wire.status("Processing", other).fails("monitor/other-token", requirement);
            assert_eq!(finding.headline, "module sent `Processing` for token `T1` otherwise than it was handed in");
        }
        // It may be presented in one way or another.
        let mut wire = Wire::everest();
        handed_in(&mut wire, &token(&[1]), is_command);
        handed_in(&mut wire, &token(&[2]), is_command);
        wire.status("Processing", &[1]).status("Rejected", &[]).status("Processing", &[2]).is_clean();
        // What was handed in before the record began, nobody knows.
        let mut wire = Wire::with(Context { from_start: false, ..Context::new(topics(), Side::Everest) });
        handed_in(&mut wire, &token(&[1]), is_command);
        wire.status("Processing", &[]).is_clean();
    }
}

/// Fields of the future and the certificates of a contract are no part of what EVerest presents.
#[test]
fn a_token_is_compared_as_everest_reads_it() {
    let mut wire = Wire::everest();
    let mut token = status_of("T1", "ISO14443", "Processing", &[1])["token"].take();
    token["mood"] = json!("cheerful");
    token["iso15118CertificateHashData"] = json!([]);
    handed_in(&mut wire, &token, false);
    wire.status("Processing", &[1]).is_clean();
}

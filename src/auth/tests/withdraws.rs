//! Withdraw requests in every state (reference table "Withdraw semantics").

use super::*;

const NOTHING: [&str; 1] = ["reply AuthorizationNotFound"];

#[test]
fn an_unknown_evse_is_not_found_and_nothing_happens() {
    for evse in [0, -1, 3, 99, i32::MIN, i32::MAX] {
        for token in [None, Some(id_token("A"))] {
            let mut bench = Bench::new(2, &config());
            bench.grant(1, "A");
            bench.withdraw(Some(evse), token);
            assert_eq!(bench.seen(), ["reply EvseNotFound"], "{evse}");
        }
    }
}

#[test]
fn by_evse_without_authorization() {
    let mut bench = Bench::new(2, &config());
    bench.grant(1, "A");
    bench.withdraw(Some(2), None);
    assert_eq!(bench.seen(), NOTHING);
}

#[test]
fn by_evse_with_a_granted_authorization() {
    let mut bench = Bench::new(2, &config());
    bench.grant(1, "A");
    bench.withdraw(Some(1), None);
    assert_eq!(bench.seen(), ["evse 1: withdraw", "A Withdrawn [1]", "reply Accepted"]);
}

#[test]
fn by_evse_with_a_transaction_there_is_no_status() {
    let mut bench = Bench::new(2, &config());
    bench.transact(1, "A");
    bench.withdraw(Some(1), None);
    assert_eq!(bench.seen(), ["evse 1: stop DeAuthorized", "reply Accepted"]);
}

#[test]
fn by_evse_and_token_both_must_match() {
    let mut bench = Bench::new(2, &config());
    bench.grant(1, "A");
    bench.withdraw(Some(2), Some(id_token("A")));
    bench.withdraw(Some(1), Some(id_token("B")));
    assert_eq!(bench.seen(), [NOTHING, NOTHING].concat());
    bench.withdraw(Some(1), Some(id_token("a")));
    assert_eq!(bench.seen(), ["evse 1: withdraw", "A Withdrawn [1]", "reply Accepted"]);
}

#[test]
fn by_evse_and_token_in_a_transaction() {
    let mut bench = Bench::new(2, &config());
    bench.transact(2, "A");
    bench.withdraw(Some(2), Some(id_token("A")));
    assert_eq!(bench.seen(), ["evse 2: stop DeAuthorized", "reply Accepted"]);
}

#[test]
fn by_token_that_nobody_has() {
    let mut bench = Bench::new(2, &config());
    bench.grant(1, "A");
    bench.withdraw(None, Some(id_token("B")));
    assert_eq!(bench.seen(), NOTHING);
}

#[test]
fn by_token_every_evse_that_has_it_in_ascending_order() {
    let mut bench = Bench::new(3, &config());
    bench.grant(3, "A");
    bench.transact(2, "A");
    bench.grant(1, "A");
    bench.withdraw(None, Some(id_token("A")));
    let expected = [
        "evse 1: withdraw",
        "A Withdrawn [1]",
        "evse 2: stop DeAuthorized",
        "evse 3: withdraw",
        "A Withdrawn [3]",
        "reply Accepted",
    ];
    assert_eq!(bench.seen(), expected);
}

#[test]
fn of_everything_where_there_is_nothing() {
    let mut bench = Bench::new(2, &config());
    bench.plug_in(1);
    bench.withdraw(None, None);
    assert_eq!(bench.seen(), NOTHING);
}

#[test]
fn of_everything_in_ascending_order() {
    let mut bench = Bench::new(3, &config());
    bench.grant(3, "C");
    bench.grant(1, "A");
    bench.transact(2, "B");
    bench.withdraw(None, None);
    let expected = [
        "evse 1: withdraw",
        "A Withdrawn [1]",
        "evse 2: stop DeAuthorized",
        "evse 3: withdraw",
        "C Withdrawn [3]",
        "reply Accepted",
    ];
    assert_eq!(bench.seen(), expected);
}

#[test]
fn a_transaction_without_token_is_nothing_to_withdraw() {
    let mut bench = Bench::new(1, &config());
    bench.transact(1, "A");
    bench.report(1, SessionEvent::Deauthorized);
    bench.withdraw(Some(1), None);
    assert_eq!(bench.seen(), NOTHING);
}

#[test]
fn a_token_that_waits_for_a_plug_in_is_withdrawn_as_it_was_provided() {
    for request in [(None, None), (Some(2), None), (None, Some(id_token("a"))), (Some(1), Some(id_token("A")))] {
        let mut bench = Bench::new(2, &plug_events());
        bench.present(rfid("A"));
        bench.answer(&[accepted()]);
        assert_eq!(bench.seen(), ["A Processing", "ask A", "A Accepted"]);
        bench.withdraw(request.0, request.1);
        assert_eq!(bench.seen(), ["A Withdrawn", "reply Accepted"]);
        bench.plug_in(1);
        assert_eq!(bench.seen(), [""; 0]);
    }
}

#[test]
fn a_token_in_validation_is_withdrawn_once_it_would_wait() {
    let mut bench = Bench::new(2, &plug_events());
    bench.present(rfid("A"));
    bench.withdraw(None, Some(id_token("A")));
    assert_eq!(bench.seen(), ["A Processing", "ask A"]);
    bench.answer(&[accepted()]);
    assert_eq!(bench.seen(), ["A Accepted", "A Withdrawn", "reply Accepted"]);
}

#[test]
fn a_token_in_validation_is_granted_first_if_nothing_makes_it_wait() {
    for (evses, config) in [(1, plug_events()), (2, config())] {
        let mut bench = Bench::new(evses, &config);
        bench.present(rfid("A"));
        bench.withdraw(None, None);
        assert_eq!(bench.seen(), ["A Processing", "ask A"]);
        bench.answer(&[accepted()]);
        let expected = [
            "A Accepted",
            "evse 1: response Accepted",
            "A UsedToStart [1]",
            "evse 1: withdraw",
            "A Withdrawn [1]",
            "reply Accepted",
        ];
        assert_eq!(bench.seen(), expected);
    }
}

#[test]
fn a_token_that_validators_reject_makes_the_withdraw_accepted_all_the_same() {
    let mut bench = Bench::new(2, &config());
    bench.present(rfid("A"));
    bench.withdraw(None, Some(id_token("A")));
    bench.answer(&[result(AuthorizationStatus::Invalid)]);
    assert_eq!(bench.seen(), ["A Processing", "ask A", "A Rejected", "reply Accepted"]);
}

#[test]
fn an_evse_that_is_no_candidate_any_more_delays_the_reply_and_interrupts_nobody() {
    let mut bench = Bench::new(3, &plug_events());
    bench.grant(1, "B");
    bench.present(rfid("A"));
    bench.answer(&[accepted()]);
    bench.seen();
    bench.withdraw(Some(1), None);
    assert_eq!(bench.seen(), [""; 0]);
    bench.plug_in(2);
    let granted = ["evse 2: response Accepted", "A UsedToStart [2]"];
    let withdrawn = ["evse 1: withdraw", "B Withdrawn [1]", "reply Accepted"];
    assert_eq!(bench.seen(), [&granted[..], &withdrawn[..]].concat());
}

#[test]
fn the_delay_ends_with_the_wait() {
    let mut bench = Bench::new(3, &plug_events());
    bench.transact(1, "B");
    bench.present(rfid("A"));
    bench.answer(&[accepted()]);
    bench.seen();
    bench.withdraw(Some(1), None);
    bench.pass(seconds(8));
    assert_eq!(bench.seen(), ["A TimedOut", "evse 1: stop DeAuthorized", "reply Accepted"]);
}

#[test]
fn an_evse_that_a_waiting_token_could_use_is_enough() {
    let mut bench = Bench::new(2, &plug_events());
    bench.present(rfid("A"));
    bench.answer(&[accepted()]);
    bench.seen();
    bench.withdraw(Some(1), Some(id_token("B")));
    assert_eq!(bench.seen(), NOTHING);
    bench.withdraw(Some(1), None);
    assert_eq!(bench.seen(), ["A Withdrawn", "reply Accepted"]);
}

#[test]
fn requests_are_answered_one_after_the_other() {
    let mut bench = Bench::new(2, &config());
    bench.present(rfid("A"));
    bench.withdraw(None, Some(id_token("A")));
    bench.withdraw(Some(99), None);
    bench.withdraw(Some(2), None);
    assert_eq!(bench.seen(), ["A Processing", "ask A"]);
    bench.answer(&[result(AuthorizationStatus::Blocked)]);
    assert_eq!(bench.seen(), ["A Rejected", "reply Accepted", "reply EvseNotFound", "reply AuthorizationNotFound"]);
}

#[test]
fn a_token_that_comes_while_a_withdraw_waits_prolongs_the_wait() {
    let mut bench = Bench::new(2, &config());
    bench.present(rfid("A"));
    bench.withdraw(None, None);
    bench.present(rfid("B"));
    bench.seen();
    bench.answer(&[result(AuthorizationStatus::Blocked)]);
    assert_eq!(bench.seen(), ["A Rejected"]);
    bench.answer(&[result(AuthorizationStatus::Blocked)]);
    assert_eq!(bench.seen(), ["B Rejected", "reply Accepted"]);
}

#[test]
fn an_evse_that_goes_out_of_service_is_noticed_when_the_next_token_was_dealt_with() {
    let mut bench = Bench::new(2, &config());
    bench.present(rfid("A"));
    bench.withdraw(Some(2), None);
    bench.seen();
    bench.report(2, SessionEvent::Disabled);
    assert_eq!(bench.seen(), [""; 0]);
    // It is ignored, and that is enough.
    bench.present(rfid("A"));
    assert_eq!(bench.seen(), ["reply Accepted"]);
}

#[test]
fn a_request_for_an_evse_out_of_service_withdraws_at_the_end_of_the_wait() {
    let mut bench = Bench::new(2, &plug_events());
    bench.present(rfid("A"));
    bench.answer(&[accepted()]);
    bench.report(2, SessionEvent::Disabled);
    bench.seen();
    bench.withdraw(Some(2), None);
    assert_eq!(bench.seen(), NOTHING);
    bench.pass(seconds(8));
    assert_eq!(bench.seen(), ["A Withdrawn"]);
}

#[test]
fn a_request_for_an_evse_out_of_service_withdraws_when_the_timer_of_another_wakes_the_token() {
    let mut bench = Bench::new(3, &plug_events());
    bench.grant(1, "B");
    bench.pass(seconds(5));
    bench.present(rfid("A"));
    bench.answer(&[accepted()]);
    bench.report(3, SessionEvent::Disabled);
    bench.withdraw(Some(3), None);
    bench.seen();
    bench.pass(seconds(8));
    assert_eq!(bench.seen(), ["evse 1: withdraw", "B TimedOut [1]", "A Withdrawn"]);
}

#[test]
fn the_group_does_not_match_nor_does_another_type() {
    let mut bench = Bench::new(1, &config());
    bench.grant_of_group(1, "A", "PARENT");
    bench.withdraw(None, Some(id_token("PARENT")));
    bench.withdraw(None, Some(IdToken { r#type: IdTokenType::Central, ..id_token("A") }));
    assert_eq!(bench.seen(), [NOTHING, NOTHING].concat());
}

#[test]
fn the_withdrawn_token_keeps_what_was_stored_and_loses_the_rest() {
    let mut bench = Bench::new(1, &config());
    let certificate = Some("PEM".to_owned());
    let token = ProvidedIdToken { request_id: Some(7), certificate, ..rfid("A") };
    bench.present(ProvidedIdToken { parent_id_token: Some(id_token("PROVIDED")), ..token });
    bench.answer(&[of_group("VALIDATED")]);
    let id = WithdrawId(0);
    let effects = bench.auth.apply(seconds(0), Input::Withdraw { id, request: Default::default() });
    let parent_id_token = Some(id_token("VALIDATED"));
    let token = ProvidedIdToken { connectors: Some(vec![1]), parent_id_token, ..rfid("A") };
    let status = TokenValidationStatus::Withdrawn;
    assert_eq!(effects[1], Effect::Status { token, status, messages: Vec::new(), results: Vec::new() });
}

#[test]
fn until_the_evse_reports_a_repetition_is_accepted_again() {
    let mut bench = Bench::new(1, &config());
    bench.grant(1, "A");
    bench.withdraw(Some(1), None);
    bench.withdraw(Some(1), None);
    let once = ["evse 1: withdraw", "A Withdrawn [1]", "reply Accepted"];
    assert_eq!(bench.seen(), [once, once].concat());
    bench.report(1, SessionEvent::Deauthorized);
    bench.withdraw(Some(1), None);
    assert_eq!(bench.seen(), NOTHING);
}

#[test]
fn until_the_evse_reports_the_end_of_a_transaction_a_repetition_stops_again() {
    for end in [SessionEvent::TransactionFinished, SessionEvent::SessionFinished] {
        let mut bench = Bench::new(1, &config());
        bench.transact(1, "A");
        bench.withdraw(None, None);
        bench.withdraw(None, None);
        let once = ["evse 1: stop DeAuthorized", "reply Accepted"];
        assert_eq!(bench.seen(), [once, once].concat());
        bench.report(1, end);
        bench.withdraw(None, None);
        assert_eq!(bench.seen(), NOTHING, "{end:?}");
    }
}

#[test]
fn without_a_report_the_authorization_times_out_although_withdrawn() {
    let mut bench = Bench::new(1, &config());
    bench.grant(1, "A");
    bench.withdraw(Some(1), None);
    bench.seen();
    bench.pass(seconds(8));
    assert_eq!(bench.seen(), ["evse 1: withdraw", "A TimedOut [1]"]);
}

#[test]
fn defect_the_request_stays_in_force_after_its_answer() {
    let mut bench = Bench::new(2, &plug_events());
    bench.withdraw(None, Some(id_token("A")));
    assert_eq!(bench.seen(), NOTHING);
    // Even an EV that is plugged in is no help.
    bench.plug_in(1);
    for _ in 0..2 {
        bench.present(rfid("A"));
        bench.answer(&[accepted()]);
        assert_eq!(bench.seen(), ["A Processing", "ask A", "A Accepted", "A Withdrawn"]);
    }
    bench.withdraw(Some(99), None);
    bench.present(rfid("A"));
    bench.answer(&[accepted()]);
    assert_eq!(bench.seen().pop().as_deref(), Some("A Withdrawn"), "an unknown EVSE replaces nothing");
    bench.withdraw(Some(2), Some(id_token("B")));
    bench.present(rfid("A"));
    bench.answer(&[accepted()]);
    assert_eq!(bench.seen().pop().as_deref(), Some("A UsedToStart [1]"), "another request takes its place");
}

#[test]
fn defect_a_request_in_force_does_not_touch_a_single_candidate_nor_find_first() {
    for (evses, config) in [(1, plug_events()), (2, config())] {
        let mut bench = Bench::new(evses, &config);
        bench.withdraw(None, None);
        bench.present(rfid("A"));
        bench.answer(&[accepted()]);
        assert_eq!(bench.seen().pop().as_deref(), Some("A UsedToStart [1]"));
    }
}

#[test]
fn defect_a_stuck_token_keeps_every_request_that_matches_it_waiting_for_ever() {
    let mut bench = Bench::new(1, &config());
    bench.grant_of_group(1, "G1", "GROUP");
    bench.present(rfid("G2"));
    bench.answer(&[of_group("GROUP")]);
    assert_eq!(bench.seen(), ["G2 Processing", "ask G2"]);
    bench.present(rfid("G2"));
    bench.withdraw(None, None);
    bench.withdraw(Some(99), None);
    bench.pass(seconds(7));
    assert_eq!(bench.seen(), [""; 0]);
    bench.pass(seconds(1000));
    assert_eq!(bench.seen(), ["evse 1: withdraw", "G1 TimedOut [1] of GROUP"]);
}

//! Tokens and what becomes of them (reference tables "Stimulus to statuses" and "Selection, timers").

use std::collections::BTreeMap;

use super::*;
use crate::protocol::deviations::{Behaviour, Deviations};
use crate::protocol::release::Release;

const NONE: [&str; 0] = [];

/// What an accepted token brings that is granted EVSE 1 at once.
fn granted(value: &str, provided: &str) -> Vec<String> {
    [
        format!("{value} Processing{provided}"),
        format!("ask {value}"),
        format!("{value} Accepted{provided}"),
        "evse 1: response Accepted".to_owned(),
        format!("{value} UsedToStart [1]"),
    ]
    .to_vec()
}

#[test]
fn plug_in_then_token() {
    for config in [config(), plug_events()] {
        let mut bench = Bench::new(2, &config);
        bench.plug_in(2);
        bench.present(rfid("A"));
        bench.answer(&[accepted()]);
        assert_eq!(bench.seen().last().map(String::as_str), Some("A UsedToStart [2]"));
    }
}

#[test]
fn token_before_plug_in_is_granted_and_times_out_without_a_transaction() {
    for (evses, config) in [(2, config()), (1, plug_events())] {
        let mut bench = Bench::new(evses, &config);
        bench.present(rfid("A"));
        bench.answer(&[accepted()]);
        assert_eq!(bench.seen(), granted("A", ""));
        bench.pass(seconds(8) - Duration::from_millis(1));
        assert_eq!(bench.seen(), NONE);
        bench.pass(seconds(8));
        assert_eq!(bench.seen(), ["evse 1: withdraw", "A TimedOut [1]"]);
        bench.pass(seconds(100));
        assert_eq!(bench.seen(), NONE);
    }
}

#[test]
fn the_timer_is_stopped_by_every_event_that_ends_the_wait() {
    for event in [SessionEvent::TransactionStarted, SessionEvent::SessionFinished, SessionEvent::Deauthorized] {
        let mut bench = Bench::new(1, &config());
        bench.grant(1, "A");
        bench.report(1, event);
        bench.pass(seconds(100));
        assert_eq!(bench.seen(), NONE, "{event:?}");
    }
}

#[test]
fn token_before_plug_in_waits_for_one_with_plug_events() {
    let mut bench = Bench::new(2, &plug_events());
    bench.present(rfid("A"));
    bench.answer(&[accepted()]);
    assert_eq!(bench.seen(), ["A Processing", "ask A", "A Accepted"]);
    bench.pass(seconds(5));
    bench.plug_in(2);
    assert_eq!(bench.seen(), ["evse 2: response Accepted", "A UsedToStart [2]"]);
    bench.pass(seconds(13));
    assert_eq!(bench.seen(), ["evse 2: withdraw", "A TimedOut [2]"]);
}

#[test]
fn a_wait_without_plug_in_times_out_and_nothing_is_started() {
    let mut bench = Bench::new(2, &plug_events());
    bench.present(rfid("A"));
    bench.answer(&[accepted()]);
    bench.seen();
    bench.pass(seconds(8));
    assert_eq!(bench.seen(), ["A TimedOut"]);
}

#[test]
fn several_waiting_tokens_get_the_plug_ins_in_the_order_in_which_they_came() {
    let mut bench = Bench::new(2, &plug_events());
    for value in ["A", "B"] {
        bench.present(rfid(value));
        bench.answer(&[accepted()]);
    }
    bench.seen();
    bench.plug_in(2);
    assert_eq!(bench.seen(), ["evse 2: response Accepted", "A UsedToStart [2]"]);
    bench.plug_in(1);
    assert_eq!(bench.seen(), ["evse 1: response Accepted", "B UsedToStart [1]"]);
}

#[test]
fn pending_plug_ins_are_taken_first_in_first_out_or_last_in_first_out() {
    for (algorithm, expected) in [
        (SelectionAlgorithm::FindFirst, "A UsedToStart [3]"),
        (SelectionAlgorithm::PlugEvents, "A UsedToStart [3]"),
        (SelectionAlgorithm::PlugEventsLIFO, "A UsedToStart [1]"),
    ] {
        let mut bench = Bench::new(3, &AuthConfig { selection_algorithm: algorithm, ..config() });
        for evse in [3, 2, 1] {
            bench.plug_in(evse);
        }
        bench.present(rfid("A"));
        bench.answer(&[accepted()]);
        assert_eq!(bench.seen().last().map(String::as_str), Some(expected));
    }
}

#[test]
fn find_first_takes_the_first_free_one_in_the_order_of_the_token() {
    let mut bench = Bench::new(3, &config());
    bench.present(rfid_for("A", &[3, 1, 2]));
    bench.answer(&[accepted()]);
    assert_eq!(bench.seen().last().map(String::as_str), Some("A UsedToStart [3]"));
}

#[test]
fn find_first_of_2025_10_passes_over_transactions_and_nothing_else() {
    for (release, expected) in [(Release::V2025_10, "A UsedToStart [2]"), (Release::V2025_12, "A UsedToStart [1]")] {
        let mut bench = Bench::new(3, &config());
        let deviations = Deviations::new(release, Behaviour::AsRunning, &BTreeMap::new());
        bench.auth = AuthManager::with_deviations(&config(), 3, deviations);
        // A session that ends while its transaction goes on.
        bench.report(1, SessionEvent::TransactionStarted);
        bench.report(1, SessionEvent::SessionFinished);
        bench.report(2, SessionEvent::Faulted);
        bench.present(rfid_for("A", &[1, 2, 3]));
        bench.answer(&[accepted()]);
        assert_eq!(bench.seen().last().map(String::as_str), Some(expected));
    }
}

#[test]
fn a_plug_in_is_consumed_by_a_grant_and_by_the_end_of_the_session() {
    let mut bench = Bench::new(3, &config());
    bench.plug_in(3);
    bench.grant(3, "A");
    bench.plug_in(2);
    bench.report(2, SessionEvent::SessionFinished);
    bench.present(rfid("B"));
    bench.answer(&[accepted()]);
    assert_eq!(bench.seen().last().map(String::as_str), Some("B UsedToStart [1]"));
}

#[test]
fn the_same_token_again_is_ignored_in_process_and_while_granted() {
    let mut bench = Bench::new(2, &config());
    bench.present(rfid("A"));
    bench.seen();
    let other_type = IdToken { r#type: IdTokenType::Local, ..id_token("A") };
    for again in [rfid("A"), ProvidedIdToken { id_token: other_type, ..rfid("A") }] {
        bench.present(again);
        assert_eq!(bench.seen(), NONE);
    }
    bench.answer(&[accepted()]);
    bench.seen();
    for again in [rfid("A"), rfid("a"), rfid_for("A", &[1])] {
        bench.present(again);
        assert_eq!(bench.seen(), NONE);
    }
    // Elsewhere it may be used once more.
    bench.present(rfid_for("A", &[2]));
    bench.answer(&[accepted()]);
    assert_eq!(bench.seen().last().map(String::as_str), Some("A UsedToStart [2]"));
}

#[test]
fn the_same_value_in_other_letters_is_an_attempt_of_its_own() {
    let mut bench = Bench::new(2, &plug_events());
    for value in ["A", "a"] {
        bench.present(rfid(value));
        bench.answer(&[accepted()]);
    }
    assert_eq!(bench.seen(), ["A Processing", "ask A", "A Accepted", "a Processing", "ask a", "a Accepted"]);
}

#[test]
fn rfid_again_during_its_transaction_stops_it_without_validation() {
    let mut bench = Bench::new(2, &config());
    bench.grant_of_group(1, "A", "GROUP");
    bench.report(1, SessionEvent::TransactionStarted);
    bench.present(rfid("a"));
    assert_eq!(bench.seen(), ["a Processing", "evse 1: stop Local by a", "a UsedToStop [1] of GROUP"]);
}

#[test]
fn rfid_again_may_reauthorize_instead_as_often_as_one_likes() {
    let mut bench = Bench::new(2, &AuthConfig { stop_transaction_on_reswipe: false, ..config() });
    bench.transact(1, "A");
    for _ in 0..2 {
        bench.present(rfid("A"));
        assert_eq!(bench.seen(), ["A Processing", "A UsedToReauthorize [1]"]);
    }
}

#[test]
fn another_kind_of_token_does_not_stop_a_transaction() {
    let mut bench = Bench::new(1, &config());
    bench.transact(1, "A");
    bench.present(ProvidedIdToken { authorization_type: AuthorizationType::OCPP, ..rfid("A") });
    assert_eq!(bench.seen(), ["A Processing", "A Rejected"]);
}

#[test]
fn a_token_of_the_group_stops_the_transaction_where_nothing_is_free() {
    for (reswipe, stop, terminal) in [
        (true, Some("evse 1: stop Local by B"), "B UsedToStop [1] of GROUP"),
        (false, None, "B UsedToReauthorize [1] of GROUP"),
    ] {
        let mut bench = Bench::new(1, &AuthConfig { stop_transaction_on_reswipe: reswipe, ..config() });
        bench.grant_of_group(1, "A", "GROUP");
        bench.report(1, SessionEvent::TransactionStarted);
        bench.present(ProvidedIdToken { authorization_type: AuthorizationType::Autocharge, ..rfid("B") });
        bench.answer(&[of_group("group"), of_group("GROUP")]);
        let expected = ["B Processing", "ask B"].into_iter().chain(stop).chain([terminal]);
        let seen: Vec<_> = bench.seen().iter().map(|line| line.replace("group", "GROUP")).collect();
        assert_eq!(seen, expected.collect::<Vec<_>>());
    }
}

#[test]
fn a_token_of_the_group_is_authorized_at_a_free_evse_unless_stopping_comes_first() {
    for (prioritize, expected) in [(true, "B UsedToStart [2] of GROUP"), (false, "B UsedToStop [1] of GROUP")] {
        let auth = AuthConfig { prioritize_authorization_over_stopping_transaction: prioritize, ..config() };
        let mut bench = Bench::new(2, &auth);
        bench.grant_of_group(1, "A", "GROUP");
        bench.report(1, SessionEvent::TransactionStarted);
        bench.present(rfid("B"));
        bench.answer(&[of_group("GROUP")]);
        assert_eq!(bench.seen().last().map(String::as_str), Some(expected));
    }
}

#[test]
fn rfid_with_the_value_of_the_group_itself_stops_without_validation_even_without_a_transaction() {
    for transaction in [false, true] {
        let mut bench = Bench::new(1, &config());
        bench.grant_of_group(1, "A", "GROUP");
        if transaction {
            bench.report(1, SessionEvent::TransactionStarted);
        }
        bench.present(rfid("group"));
        let expected = ["group Processing", "evse 1: stop Local by group", "group UsedToStop [1] of GROUP"];
        assert_eq!(bench.seen(), expected);
    }
}

#[test]
fn an_unrelated_token_is_rejected_unasked_where_nothing_is_free() {
    for transaction in [false, true] {
        let mut bench = Bench::new(1, &config());
        bench.grant(1, "A");
        if transaction {
            bench.report(1, SessionEvent::TransactionStarted);
        }
        bench.present(rfid("B"));
        assert_eq!(bench.seen(), ["B Processing", "B Rejected"]);
    }
}

#[test]
fn an_unrelated_token_is_asked_about_where_a_group_is_known_and_rejected_then() {
    let mut bench = Bench::new(1, &config());
    bench.grant_of_group(1, "A", "GROUP");
    bench.present(rfid("B"));
    bench.answer(&[accepted()]);
    assert_eq!(bench.seen(), ["B Processing", "ask B", "B Rejected"]);
}

#[test]
fn an_evse_stays_occupied_until_the_session_ends() {
    let mut bench = Bench::new(1, &config());
    bench.transact(1, "A");
    bench.report(1, SessionEvent::TransactionFinished);
    bench.present(rfid("A"));
    assert_eq!(bench.seen(), ["A Processing", "A Rejected"]);
    bench.report(1, SessionEvent::SessionFinished);
    bench.present(rfid("A"));
    bench.answer(&[accepted()]);
    assert_eq!(bench.seen(), granted("A", ""));
}

#[test]
fn an_unrelated_token_uses_another_evse() {
    let mut bench = Bench::new(2, &config());
    bench.transact(1, "A");
    bench.present(rfid("B"));
    bench.answer(&[accepted()]);
    assert_eq!(bench.seen().last().map(String::as_str), Some("B UsedToStart [2]"));
}

#[test]
fn a_prevalidated_token_is_not_asked_about() {
    let mut bench = Bench::new(2, &config());
    bench.present(ProvidedIdToken { prevalidated: Some(true), parent_id_token: Some(id_token("P")), ..rfid("A") });
    let expected = ["A Processing of P", "A Accepted of P", "evse 1: response Accepted", "A UsedToStart [1] of P"];
    assert_eq!(bench.seen(), expected);
}

#[test]
fn no_validator_accepts_and_every_named_evse_learns_it() {
    for status in [
        AuthorizationStatus::Blocked,
        AuthorizationStatus::ConcurrentTx,
        AuthorizationStatus::Expired,
        AuthorizationStatus::Invalid,
        AuthorizationStatus::NoCredit,
        AuthorizationStatus::NotAllowedTypeEVSE,
        AuthorizationStatus::NotAtThisLocation,
        AuthorizationStatus::NotAtThisTime,
        AuthorizationStatus::Unknown,
        AuthorizationStatus::PinRequired,
        AuthorizationStatus::Timeout,
    ] {
        let mut bench = Bench::new(3, &config());
        bench.present(rfid_for("A", &[2, 3]));
        bench.answer(&[result(AuthorizationStatus::Invalid), result(status)]);
        let [two, three] = [2, 3].map(|evse| format!("evse {evse}: response {status:?}"));
        assert_eq!(bench.seen(), ["A Processing [2, 3]", "ask A", &two, &three, "A Rejected [2, 3]"]);
        bench.present(rfid("A"));
        bench.answer(&[result(status)]);
        assert_eq!(bench.seen(), ["A Processing", "ask A", "A Rejected"]);
    }
}

#[test]
fn without_validators_a_token_is_rejected_and_nobody_told() {
    let mut bench = Bench::new(2, &config());
    bench.present(rfid_for("A", &[1]));
    bench.answer(&[]);
    assert_eq!(bench.seen(), ["A Processing [1]", "ask A", "A Rejected [1]"]);
}

#[test]
fn the_first_validator_that_accepts_with_a_usable_evse_wins_and_each_acceptance_is_announced() {
    let mut bench = Bench::new(2, &config());
    let elsewhere = ValidationResult { evse_ids: Some(vec![7]), ..of_group("P") };
    bench.present(rfid("A"));
    bench.answer(&[result(AuthorizationStatus::Unknown), elsewhere, accepted(), of_group("Q")]);
    let expected = [
        "A Processing",
        "ask A",
        "A Accepted of P",
        "evse 1: response NotAtThisLocation",
        "A Accepted of P",
        "evse 1: response Accepted",
        "A UsedToStart [1] of P",
    ];
    assert_eq!(bench.seen(), expected);
}

#[test]
fn a_validator_that_allows_no_candidate_leads_to_rejection() {
    let mut bench = Bench::new(2, &config());
    bench.present(rfid_for("A", &[1]));
    bench.answer(&[ValidationResult { evse_ids: Some(vec![2]), ..accepted() }]);
    let expected = [
        "A Processing [1]",
        "ask A",
        "A Accepted [1]",
        "evse 1: response NotAtThisLocation",
        "evse 1: response NotAtThisLocation",
        "A Rejected [1]",
    ];
    assert_eq!(bench.seen(), expected);
}

#[test]
fn after_a_wait_in_vain_the_next_validator_has_its_turn() {
    let mut bench = Bench::new(2, &plug_events());
    bench.present(rfid("A"));
    bench.answer(&[ValidationResult { evse_ids: Some(vec![7]), ..accepted() }, accepted()]);
    bench.seen();
    bench.plug_in(1);
    let expected =
        ["evse 1: response NotAtThisLocation", "A Accepted", "evse 1: response Accepted", "A UsedToStart [1]"];
    assert_eq!(bench.seen(), expected);
}

#[test]
fn tariff_messages_come_with_accepted_only() {
    let mut bench = Bench::new(1, &config());
    bench.present(rfid("A"));
    let messages = vec![MessageContent { content: "0.40 EUR/kWh".into(), format: None, language: None }];
    let results = vec![ValidationResult { tariff_messages: messages.clone(), ..accepted() }];
    let effects = bench.auth.apply(seconds(0), Input::Validated { attempt: AttemptId(0), results });
    let with_messages: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Status { status, messages, .. } => Some((*status, messages.clone())),
            _ => None,
        })
        .collect();
    let expected = [(TokenValidationStatus::Accepted, messages), (TokenValidationStatus::UsedToStart, Vec::new())];
    assert_eq!(with_messages, expected);
}

#[test]
fn the_master_pass_stops_everything_where_nothing_is_free_whatever_reswiping_means() {
    let mut bench = Bench::new(2, &AuthConfig { stop_transaction_on_reswipe: false, ..config() });
    bench.feed(Input::SetMasterPassGroup("MASTER".into()));
    bench.transact(1, "A");
    bench.transact(2, "B");
    bench.present(rfid("POLICE"));
    bench.answer(&[of_group("master")]);
    let expected = [
        "POLICE Processing",
        "ask POLICE",
        "evse 1: stop MasterPass by POLICE",
        "evse 2: stop MasterPass by POLICE",
        "POLICE UsedToStop [1, 2] of master",
    ];
    assert_eq!(bench.seen(), expected);
}

#[test]
fn the_master_pass_is_used_even_if_there_is_nothing_to_stop() {
    let auth = AuthConfig { prioritize_authorization_over_stopping_transaction: false, ..config() };
    let mut bench = Bench::new(2, &auth);
    bench.feed(Input::SetMasterPassGroup("MASTER".into()));
    bench.present(rfid("POLICE"));
    bench.answer(&[of_group("MASTER")]);
    assert_eq!(bench.seen(), ["POLICE Processing", "ask POLICE", "POLICE UsedToStop [] of MASTER"]);
}

#[test]
fn the_master_pass_starts_nothing() {
    let mut bench = Bench::new(2, &config());
    bench.feed(Input::SetMasterPassGroup("MASTER".into()));
    bench.present(rfid("POLICE"));
    bench.answer(&[of_group("MASTER")]);
    assert_eq!(bench.seen(), ["POLICE Processing", "ask POLICE", "POLICE Rejected"]);
    bench.feed(Input::SetMasterPassGroup(String::new()));
    bench.present(rfid("POLICE"));
    bench.answer(&[of_group("MASTER")]);
    assert_eq!(bench.seen().last().map(String::as_str), Some("POLICE UsedToStart [1] of MASTER"));
}

#[test]
fn the_master_pass_of_the_configuration_has_no_effect() {
    let mut bench = Bench::new(1, &AuthConfig { master_pass_group_id: "MASTER".into(), ..config() });
    bench.present(rfid("POLICE"));
    bench.answer(&[of_group("MASTER")]);
    assert_eq!(bench.seen().last().map(String::as_str), Some("POLICE UsedToStart [1] of MASTER"));
}

#[test]
fn tokens_for_evses_that_do_not_exist_or_serve_are_rejected_unasked() {
    for master_pass in ["", "MASTER"] {
        let mut bench = Bench::new(2, &config());
        bench.feed(Input::SetMasterPassGroup(master_pass.into()));
        bench.report(2, SessionEvent::Disabled);
        for (evses, text) in [(&[9][..], "[9]"), (&[], "[]"), (&[2], "[2]"), (&[0, -1], "[0, -1]")] {
            bench.present(rfid_for("A", evses));
            assert_eq!(bench.seen(), [format!("A Processing {text}"), format!("A Rejected {text}")]);
        }
        bench.report(2, SessionEvent::Enabled);
        bench.present(rfid_for("A", &[9, 2]));
        bench.answer(&[accepted()]);
        assert_eq!(bench.seen().last().map(String::as_str), Some("A UsedToStart [2]"));
    }
}

#[test]
fn faulted_evses_are_no_use_unless_faults_are_ignored() {
    let mut bench = Bench::new(1, &config());
    bench.report(1, SessionEvent::Faulted);
    bench.present(rfid("A"));
    assert_eq!(bench.seen(), ["A Processing", "A Rejected"]);
    bench.report(1, SessionEvent::FaultCleared);
    bench.present(rfid("A"));
    bench.answer(&[accepted()]);
    assert_eq!(bench.seen(), granted("A", ""));

    let mut bench = Bench::new(1, &AuthConfig { ignore_connector_faults: true, ..config() });
    bench.report(1, SessionEvent::Faulted);
    bench.present(rfid("A"));
    bench.answer(&[accepted()]);
    assert_eq!(bench.seen(), granted("A", ""));
}

#[test]
fn a_validation_update_says_accepted_whatever_it_says() {
    let mut bench = Bench::new(2, &config());
    let update = |evse| Input::ResultUpdate {
        evse,
        result: ValidationResult { authorization_status: AuthorizationStatus::Blocked, ..of_group("NEW") },
    };
    bench.feed(update(1));
    assert_eq!(bench.seen(), NONE);
    bench.grant_of_group(1, "A", "OLD");
    bench.feed(update(1));
    bench.feed(update(2));
    bench.feed(update(3));
    assert_eq!(bench.seen(), ["A Accepted [1] of NEW"]);
    bench.report(1, SessionEvent::TransactionStarted);
    bench.present(rfid("NEW"));
    assert_eq!(bench.seen().last().map(String::as_str), Some("NEW UsedToStop [1] of NEW"));
}

#[test]
fn the_end_of_a_transaction_or_session_brings_no_status() {
    let mut bench = Bench::new(1, &config());
    bench.transact(1, "A");
    bench.report(1, SessionEvent::TransactionFinished);
    bench.report(1, SessionEvent::SessionFinished);
    assert_eq!(bench.seen(), NONE);
}

#[test]
fn defect_an_accepted_token_is_stuck_where_its_group_holds_a_granted_evse() {
    let mut bench = Bench::new(1, &config());
    bench.grant_of_group(1, "G1", "GROUP");
    bench.present(rfid("G2"));
    bench.answer(&[of_group("GROUP")]);
    assert_eq!(bench.seen(), ["G2 Processing", "ask G2"]);
    bench.report(1, SessionEvent::SessionFinished);
    for again in [rfid("G2"), rfid_for("G2", &[1])] {
        bench.present(again);
        assert_eq!(bench.seen(), NONE);
    }
}

#[test]
fn a_plug_in_without_token_times_out_silently_and_wants_a_new_plug_in() {
    let mut bench = Bench::new(2, &AuthConfig { plug_in_timeout_enabled: true, ..config() });
    bench.report(2, SessionEvent::Disabled);
    bench.plug_in(1);
    bench.pass(seconds(8));
    assert_eq!(bench.seen(), ["evse 1: withdraw"]);
    bench.present(rfid("A"));
    assert_eq!(bench.seen(), ["A Processing", "A Rejected"]);
    bench.report(1, SessionEvent::SessionFinished);
    bench.plug_in(1);
    bench.present(rfid("A"));
    bench.answer(&[accepted()]);
    assert_eq!(bench.seen(), granted("A", ""));
}

#[test]
fn a_plug_in_does_not_time_out_at_a_single_evse_nor_if_that_is_off() {
    for (evses, enabled) in [(1, true), (2, false)] {
        let mut bench = Bench::new(evses, &AuthConfig { plug_in_timeout_enabled: enabled, ..config() });
        bench.plug_in(1);
        bench.pass(seconds(100));
        assert_eq!(bench.seen(), NONE);
        assert_eq!(bench.auth.next_deadline(), None);
    }
}

#[test]
fn a_new_connection_timeout_leaves_running_timers_alone() {
    let mut bench = Bench::new(2, &plug_events());
    bench.present(rfid("A"));
    bench.answer(&[accepted()]);
    bench.seen();
    bench.feed(Input::SetConnectionTimeout(seconds(2)));
    bench.pass(seconds(7));
    assert_eq!(bench.seen(), NONE);
    bench.pass(seconds(8));
    assert_eq!(bench.seen(), ["A TimedOut"]);
    bench.present(rfid("B"));
    bench.answer(&[accepted()]);
    bench.pass(seconds(10));
    assert_eq!(bench.seen().last().map(String::as_str), Some("B TimedOut"));
}

#[test]
fn the_status_of_a_time_out_carries_the_whole_token() {
    let mut bench = Bench::new(1, &config());
    bench.present(ProvidedIdToken { request_id: Some(7), ..rfid("A") });
    bench.answer(&[accepted()]);
    let effects = bench.auth.apply(seconds(8), Input::Deadline);
    let token = ProvidedIdToken { request_id: Some(7), ..rfid_for("A", &[1]) };
    let status = TokenValidationStatus::TimedOut;
    assert_eq!(effects[1], Effect::Status { token, status, messages: Vec::new(), results: Vec::new() });
}

#[test]
fn an_answer_that_nobody_waits_for_is_ignored() {
    let mut bench = Bench::new(1, &config());
    bench.feed(Input::Validated { attempt: AttemptId(3), results: vec![accepted()] });
    bench.report(7, SessionEvent::TransactionStarted);
    assert_eq!(bench.seen(), NONE);
}

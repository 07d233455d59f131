//! What Auth does with tokens, EVSEs and withdraw requests.

use super::*;

#[test]
fn sticky_withdraw() {
    let act = |desk: &mut Desk| {
        desk.withdraw("r", json!({}));
        desk.present("A", 0);
        desk.pass(secs(1));
    };
    differs(
        Deviation::StickyWithdraw,
        &plug_events(),
        act,
        &["r: \"AuthorizationNotFound\"", "A Processing", "A Accepted", "A Withdrawn"],
        &["r: \"AuthorizationNotFound\"", "A Processing", "A Accepted"],
    );
}

#[test]
fn without_sticky_withdraw_a_waiting_token_is_withdrawn_all_the_same() {
    let mut desk = Desk::ready(&switched(plug_events(), Deviation::StickyWithdraw, false));
    desk.present("A", 0);
    desk.seen();
    desk.withdraw("r", json!({}));
    assert_eq!(desk.seen(), ["A Withdrawn", "r: \"Accepted\""]);
}

#[test]
fn stuck_token() {
    let act = |desk: &mut Desk| {
        present(desk, token("G1"), of_group("G"));
        desk.seen();
        present(desk, token("G2"), of_group("G"));
    };
    let config = StationConfig { evses: 1, ..quiet() };
    differs(Deviation::StuckToken, &config, act, &["G2 Processing"], &["G2 Processing", "G2 Rejected"]);
}

#[test]
fn withdraw_by_reference() {
    let act = |desk: &mut Desk| {
        desk.present("A", 0);
        desk.seen();
        desk.withdraw("r", json!({"evse_id": 1}));
    };
    differs(
        Deviation::WithdrawByReference,
        &plug_events(),
        act,
        &["A Withdrawn", "r: \"Accepted\""],
        &["r: \"AuthorizationNotFound\""],
    );
}

#[test]
fn withdraw_accepts_rejected() {
    let act = |desk: &mut Desk| {
        present(desk, token("A"), rejected_after(100));
        desk.withdraw("r", json!({}));
        desk.pass(secs(1));
    };
    differs(
        Deviation::WithdrawAcceptsRejected,
        &quiet(),
        act,
        &["A Processing", "A Rejected", "r: \"Accepted\""],
        &["A Processing", "A Rejected", "r: \"AuthorizationNotFound\""],
    );
    // One that is withdrawn while it waits is found in either case.
    for mut desk in pair(&plug_events(), Deviation::WithdrawAcceptsRejected) {
        desk.present("A", 0);
        desk.withdraw("r", json!({}));
        assert_eq!(desk.seen().last().unwrap(), "r: \"Accepted\"");
    }
}

#[test]
fn withdrawn_without_connectors() {
    let act = |desk: &mut Desk| {
        desk.present("A", 0);
        desk.seen();
        desk.withdraw("r", json!({}));
    };
    differs(
        Deviation::WithdrawnWithoutConnectors,
        &plug_events(),
        act,
        &["A Withdrawn", "r: \"Accepted\""],
        &["A Withdrawn [1,2]", "r: \"Accepted\""],
    );
}

#[test]
fn no_withdrawn_for_granted() {
    let act = |desk: &mut Desk| {
        desk.present("A", 0);
        desk.seen();
        desk.withdraw("r", json!({}));
    };
    let with = ["1 Deauthorized", "1 SessionFinished", "r: \"Accepted\""];
    let without = ["1 Deauthorized", "1 SessionFinished", "A Withdrawn [1]", "r: \"Accepted\""];
    for (mut desk, expected) in pair(&quiet(), Deviation::NoWithdrawnForGranted).into_iter().zip([&with[..], &without])
    {
        act(&mut desk);
        let mut seen = desk.seen();
        seen.sort_by_key(|line| expected.iter().position(|expected| expected == line));
        assert_eq!(seen, expected);
    }
}

#[test]
fn reply_before_withdrawn() {
    for (mut desk, first) in
        pair(&quiet(), Deviation::ReplyBeforeWithdrawn).into_iter().zip(["r: \"Accepted\"", "A Withdrawn [1]"])
    {
        desk.present("A", 0);
        desk.seen();
        desk.withdraw("r", json!({}));
        let seen = desk.seen();
        let told: Vec<_> = seen.iter().filter(|line| line.starts_with(['r', 'A'])).collect();
        assert_eq!((told.len(), told[0].as_str()), (2, first), "{seen:?}");
    }
}

#[test]
fn used_to_start_before_session() {
    let [mut with, mut without] = pair(&quiet(), Deviation::UsedToStartBeforeSession);
    with.present("A", 0);
    assert_eq!(with.seen_publications(), ["A Processing", "A Accepted", "A UsedToStart [1]"]);
    without.present("A", 0);
    assert_eq!(without.seen_publications(), ["A Processing", "A Accepted"]);
    for (desk, expected) in [(&mut with, &[][..]), (&mut without, &["A UsedToStart [1]"])] {
        desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
        assert_eq!(desk.seen_publications(), NOTHING);
        desk.command(Command::StartTransaction(AtEvse { evse: 1 }));
        assert_eq!(desk.seen_publications(), expected);
    }
}

#[test]
fn no_used_to_start() {
    let config = StationConfig { release: Release::V1_0, ..quiet() };
    let [mut with, mut without] = pair(&config, Deviation::NoUsedToStart);
    for (desk, expected) in [(&mut with, &[][..]), (&mut without, &["A UsedToStart"])] {
        desk.present("A", 0);
        assert_eq!(desk.seen_publications(), [&["A Processing", "A Accepted"][..], expected].concat());
        // It is granted all the same.
        desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
        desk.command(Command::StartTransaction(AtEvse { evse: 1 }));
        assert_eq!(desk.seen_publications(), NOTHING);
        assert_eq!(desk.station.status().evses[0].state, "transaction");
    }
    // Neither is it told later, where that is asked for.
    let mut late = Desk::ready(&switched(config, Deviation::UsedToStartBeforeSession, false));
    late.present("A", 0);
    late.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
    late.command(Command::StartTransaction(AtEvse { evse: 1 }));
    assert_eq!(late.seen_publications(), ["A Processing", "A Accepted"]);
}

#[test]
fn stop_says_accepted() {
    let master = Command::PresentToken { token: token("M"), validation: of_group("POLICE") };
    let by_token = |desk: &mut Desk| desk.present("A", 0);
    let by_group = |desk: &mut Desk| {
        desk.send(Channel::SET_MASTER_PASS_GROUP_ID, "\"POLICE\"");
        desk.command(master.clone());
    };
    let auth = AuthConfig { prioritize_authorization_over_stopping_transaction: false, ..quiet().auth };
    let config = StationConfig { release: Release::V1_0, auth, ..quiet() };
    for stop in [&by_token as &dyn Fn(&mut Desk), &by_group] {
        let ends = pair(&config, Deviation::StopSaysAccepted).map(|mut desk| {
            desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
            desk.present("A", 0);
            desk.command(Command::StartTransaction(AtEvse { evse: 1 }));
            desk.seen();
            stop(&mut desk);
            assert_eq!(desk.station.status().evses[0].identifier, None);
            let told: Vec<_> = desk.statuses[2..].iter().map(|status| status["status"].clone()).collect();
            told
        });
        assert_eq!(ends, [["Processing", "Accepted"], ["Processing", "UsedToStop"]]);
    }
}

#[test]
fn connectors_as_provided() {
    let config = StationConfig { release: Release::V1_0, ..quiet() };
    let act = |desk: &mut Desk| {
        desk.present("A", 0);
        desk.pass(secs(8));
        let provided = ProvidedIdToken { connectors: Some(vec![2, 1]), ..token("B") };
        present(desk, provided, accepted_after(0));
        desk.pass(secs(8));
    };
    let told = pair(&config, Deviation::ConnectorsAsProvided).map(|mut desk| {
        act(&mut desk);
        desk.seen_publications()
    });
    let of_b = ["B Processing [2,1]", "B Accepted [2,1]"];
    assert_eq!(told[0], [&["A Processing", "A Accepted", "A TimedOut"][..], &of_b, &["B TimedOut [2,1]"]].concat());
    assert_eq!(told[1], [&["A Processing", "A Accepted", "A TimedOut [1]"][..], &of_b, &["B TimedOut [2]"]].concat());
}

#[test]
fn update_says_accepted() {
    let update = ValidationResult::new(AuthorizationStatus::Blocked);
    let act = |desk: &mut Desk| {
        desk.present("A", 0);
        desk.seen();
        desk.feed(Input::ResultUpdate { evse: 1, result: update.clone() });
    };
    differs(Deviation::UpdateSaysAccepted, &quiet(), act, &["A Accepted [1]"], &[]);
}

#[test]
fn configured_master_pass_ignored() {
    let auth = AuthConfig { master_pass_group_id: "POLICE".into(), ..quiet().auth };
    let config = StationConfig { auth, ..quiet() };
    // Where an EVSE is free, a token of the group is refused.
    let act = |desk: &mut Desk| present(desk, token("P"), of_group("police"));
    let [with, without] = pair(&config, Deviation::ConfiguredMasterPassIgnored).map(|mut desk| {
        act(&mut desk);
        desk.seen_publications()
    });
    assert_eq!(with, ["P Processing", "P Accepted", "P UsedToStart [1]"]);
    assert_eq!(without, ["P Processing", "P Rejected"]);
}

#[test]
fn plug_in_always_timed() {
    let act = |desk: &mut Desk| {
        desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
        desk.seen();
        desk.pass(secs(8));
        desk.present("A", 0);
    };
    let alone = StationConfig { evses: 1, ..quiet() };
    let timed_out = ["1 Deauthorized", "1 PluginTimeout", "A Processing", "A Rejected"];
    let granted = ["A Processing", "A Accepted", "1 Authorized", "A UsedToStart [1]"];
    differs(Deviation::PlugInAlwaysTimed, &alone, act, &timed_out, &granted);
    // The option of later releases has no effect on it, and a token in time stops it.
    let mut desk = of_release(Release::V2025_10, alone);
    desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
    desk.pass(secs(7));
    desk.present("A", 0);
    desk.command(Command::StartTransaction(AtEvse { evse: 1 }));
    desk.seen();
    desk.pass(secs(20));
    assert_eq!(desk.seen(), NOTHING);
}

#[test]
fn find_first_takes_unavailable() {
    let act = |desk: &mut Desk| {
        desk.command(Command::InjectFault(AtConnector { evse: 1, connector: None }));
        desk.seen();
        desk.present("A", 0);
    };
    let of = |evse: i32| {
        let [started, authorized] = ["SessionStarted", "Authorized"].map(|event| format!("{evse} {event}"));
        ["A Processing".to_owned(), "A Accepted".to_owned(), started, authorized, format!("A UsedToStart [{evse}]")]
    };
    let (with, without) = (of(1), of(2));
    differs(
        Deviation::FindFirstTakesUnavailable,
        &quiet(),
        act,
        &with.each_ref().map(String::as_str),
        &without.each_ref().map(String::as_str),
    );
}

#[test]
fn exit_on_unknown_connector() {
    let act = |connectors: Vec<i32>, validation: Validation| {
        move |desk: &mut Desk| {
            let token = ProvidedIdToken { connectors: Some(connectors.clone()), ..token("A") };
            present(desk, token, validation.clone());
            desk.present("B", 0);
        }
    };
    let of_b = ["B Processing", "B Accepted", "1 SessionStarted", "1 Authorized", "B UsedToStart [1]"];
    let rejected = [&["A Processing [1,99]", "A Rejected [1,99]"][..], &of_b].concat();
    let deviation = Deviation::ExitOnUnknownConnector;
    differs(deviation, &quiet(), act(vec![1, 99], rejected_after(0)), &["A Processing [1,99]", "exit"], &rejected);
    // Who names no other EVSE is not even validated, and who is accepted needs nobody told.
    for connectors in [vec![99], vec![]] {
        let [mut with, mut without] = pair(&quiet(), deviation);
        [&mut with, &mut without].into_iter().for_each(act(connectors.clone(), rejected_after(0)));
        assert_eq!(with.seen(), without.seen(), "{connectors:?}");
    }
    let [mut with, mut without] = pair(&quiet(), deviation);
    [&mut with, &mut without].into_iter().for_each(act(vec![2, 99], accepted_after(0)));
    assert_eq!(with.seen(), without.seen());
}

#[test]
fn no_plug_events_lifo() {
    let auth = AuthConfig { selection_algorithm: SelectionAlgorithm::PlugEventsLIFO, ..quiet().auth };
    let config = StationConfig { auth, ..quiet() };
    let outcomes = pair(&config, Deviation::NoPlugEventsLifo).map(|mut desk| {
        desk.present("A", 0);
        desk.seen()
    });
    assert_eq!(outcomes, [vec![], vec!["A Processing", "A Accepted"]]);
}

#[test]
fn no_reauthorization() {
    let auth = AuthConfig { stop_transaction_on_reswipe: false, ..quiet().auth };
    let config = StationConfig { auth, ..quiet() };
    let outcomes = pair(&config, Deviation::NoReauthorization).map(|mut desk| {
        desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
        desk.present("A", 0);
        desk.command(Command::StartTransaction(AtEvse { evse: 1 }));
        desk.seen();
        desk.present("A", 0);
        desk.seen_publications()
    });
    assert_eq!(outcomes, [["A Processing", "A UsedToStop [1]"], ["A Processing", "A UsedToReauthorize [1]"]]);
}

#[test]
fn unlisted_statuses() {
    let config = StationConfig { release: Release::V2025_12, ..quiet() };
    let outcomes = pair(&config, Deviation::UnlistedStatuses).map(|mut desk| {
        desk.present("A", 0);
        desk.seen_publications()
    });
    assert_eq!(outcomes[0], ["A Processing", "A Accepted", "A UsedToStart [1]"]);
    assert_eq!(outcomes[1], ["A Processing", "A Accepted"]);
}

#[test]
fn bank_card_stops() {
    let card = |kind| ProvidedIdToken { authorization_type: kind, ..token("CARD") };
    let used = |kind, reswipe: bool| {
        let auth = AuthConfig { stop_transaction_on_reswipe: reswipe, ..quiet().auth };
        pair(&StationConfig { evses: 1, auth, ..quiet() }, Deviation::BankCardStops).map(|mut desk| {
            desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
            present(&mut desk, card(kind), accepted_after(0));
            desk.command(Command::StartTransaction(AtEvse { evse: 1 }));
            desk.seen();
            // Nobody is asked again: what the validator would say now makes no difference.
            present(&mut desk, card(kind), rejected_after(0));
            desk.seen_publications().pop().unwrap()
        })
    };
    use AuthorizationType::{Autocharge, BankCard, OCPP, PlugAndCharge, RFID};
    assert_eq!(used(BankCard, true), ["CARD UsedToStop [1]", "CARD Rejected"]);
    assert_eq!(used(BankCard, false), ["CARD UsedToReauthorize [1]", "CARD Rejected"]);
    assert_eq!(used(RFID, true), ["CARD UsedToStop [1]"; 2]);
    for other in [OCPP, Autocharge, PlugAndCharge] {
        assert_eq!(used(other, true), ["CARD Rejected"; 2], "{other:?}");
    }
}

/// What validators say, told with a status.
fn told(results: &[(&str, &[&str])]) -> Value {
    let texts = |texts: &[&str]| texts.iter().map(|content| json!({"content": content})).collect::<Value>();
    let result =
        |(status, said): &(&str, &[&str])| json!({"authorization_status": status, "tariff_messages": texts(said)});
    results.iter().map(result).collect()
}

#[test]
fn validation_results() {
    use AuthorizationStatus::{Accepted, Blocked, Invalid};
    let says = |authorization_status, texts: &[&str]| Validation {
        authorization_status,
        tariff_messages: texts
            .iter()
            .map(|content| MessageContent { content: (*content).to_owned(), format: None, language: None })
            .collect(),
        ..accepted_after(0)
    };
    let both = Validation { others: vec![says(Accepted, &["b", "c"])], ..says(Invalid, &["a"]) };
    let last = |desk: &mut Desk, how_many: usize| {
        let of =
            |status: &Value| [&status["status"], &status["messages"], &status["validation_results"]].map(Value::clone);
        desk.statuses.iter().rev().take(how_many).rev().map(of).collect::<Vec<_>>()
    };
    let status = |name: &str, messages: &[&str], results: &[(&str, &[&str])]| {
        let texts = messages.iter().map(|content| json!({"content": content})).collect::<Value>();
        [json!(name), texts, told(results)]
    };
    let [mut with, mut without] = pair(&plug_events(), Deviation::ValidationResults);

    // All of them are told, also those before the one that decides, and after it was used.
    let theirs: [(&str, &[&str]); 2] = [("Invalid", &["a"]), ("Accepted", &["b", "c"])];
    for desk in [&mut with, &mut without] {
        desk.command(Command::PlugIn(AtConnector { evse: 2, connector: None }));
        present(desk, token("A"), both.clone());
    }
    let started = [
        status("Processing", &[], &[]),
        status("Accepted", &["a", "b", "c"], &theirs),
        status("UsedToStart", &["a", "b", "c"], &theirs),
    ];
    assert_eq!(last(&mut with, 3), started);
    let is_absent = |status: &Value| status.get("validation_results").is_none();
    assert!(without.statuses.iter().all(is_absent));
    assert_eq!(without.statuses.iter().map(|status| status["messages"].as_array().unwrap().len()).sum::<usize>(), 2);

    // Also with those that come to nothing.
    let blocked: [(&str, &[&str]); 1] = [("Blocked", &["no"])];
    present(&mut with, token("B"), says(Blocked, &["no"]));
    assert_eq!(last(&mut with, 1), [status("Rejected", &["no"], &blocked)]);
    with.pass(secs(8));
    // The timer of an EVSE knows of no validator.
    assert_eq!(last(&mut with, 1), [status("TimedOut", &[], &[])]);
    let waits: [(&str, &[&str]); 1] = [("Accepted", &["free"])];
    let mut with = Desk::ready(&switched(plug_events(), Deviation::ValidationResults, true));
    present(&mut with, token("C"), says(Accepted, &["free"]));
    with.pass(secs(8));
    assert_eq!(last(&mut with, 1), [status("TimedOut", &["free"], &waits)]);
    present(&mut with, token("D"), says(Accepted, &["free"]));
    with.withdraw("r", json!({"id_token": {"value": "D", "type": "ISO14443"}}));
    assert_eq!(last(&mut with, 1), [status("Withdrawn", &["free"], &waits)]);

    // Nothing is told where nobody was asked, by a withdrawal of what was granted, or of what stops by itself.
    let mut desk = Desk::ready(&switched(quiet(), Deviation::ValidationResults, true));
    present(&mut desk, token("A"), says(Accepted, &["free"]));
    desk.withdraw("r", json!({"evse_id": 1}));
    assert_eq!(last(&mut desk, 1), [status("Withdrawn", &[], &[])]);
    desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
    present(&mut desk, token("A"), says(Accepted, &["free"]));
    desk.command(Command::StartTransaction(AtEvse { evse: 1 }));
    present(&mut desk, token("A"), says(Accepted, &["free"]));
    assert_eq!(last(&mut desk, 1), [status("UsedToStop", &[], &[])]);
    let prevalidated = ProvidedIdToken { prevalidated: Some(true), ..token("P") };
    present(&mut desk, prevalidated, rejected_after(0));
    assert_eq!(last(&mut desk, 1), [status("UsedToStart", &[], &[("Accepted", &[])])]);
}

#[test]
fn results_are_told_as_the_validators_gave_them() {
    // Auth refuses the EVSE, and sorts for itself: neither shows.
    let mut desk = Desk::ready(&switched(quiet(), Deviation::ValidationResults, true));
    present(&mut desk, token("A"), Validation { evse_ids: Some(vec![9, 7]), ..accepted_after(0) });
    let told = desk.statuses.last().unwrap();
    assert_eq!(told["status"], "Rejected");
    let result = json!([{"authorization_status": "Accepted", "evse_ids": [9, 7], "tariff_messages": []}]);
    assert_eq!(told["validation_results"], result);
    // As in 2027.04: without messages, and with the rest.
    let config = StationConfig { release: Release::Next, ..switched(quiet(), Deviation::NoMessages, true) };
    let mut desk = Desk::ready(&config);
    desk.present("B", 0);
    let has = |key: &str| desk.statuses.iter().filter(|status| status.get(key).is_some()).count();
    assert_eq!([has("validation_results"), has("messages")], [3, 0]);
}

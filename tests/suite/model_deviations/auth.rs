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
        desk.command(Command::PlugIn { evse: 1, connector: None });
        assert_eq!(desk.seen_publications(), NOTHING);
        desk.command(Command::StartTransaction { evse: 1 });
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
        desk.command(Command::PlugIn { evse: 1, connector: None });
        desk.command(Command::StartTransaction { evse: 1 });
        assert_eq!(desk.seen_publications(), NOTHING);
        assert_eq!(desk.station.status().evses[0].state, "transaction");
    }
    // Neither is it told later, where that is asked for.
    let mut late = Desk::ready(&switched(config, Deviation::UsedToStartBeforeSession, false));
    late.present("A", 0);
    late.command(Command::PlugIn { evse: 1, connector: None });
    late.command(Command::StartTransaction { evse: 1 });
    assert_eq!(late.seen_publications(), ["A Processing", "A Accepted"]);
}

#[test]
fn stop_says_accepted() {
    let master = Command::PresentToken { token: token("M"), validation: of_group("POLICE") };
    let by_token = |desk: &mut Desk| desk.present("A", 0);
    let by_group = |desk: &mut Desk| {
        desk.send(Channel::SetMasterPassGroupId, "\"POLICE\"");
        desk.command(master.clone());
    };
    let auth = AuthConfig { prioritize_authorization_over_stopping_transaction: false, ..quiet().auth };
    let config = StationConfig { release: Release::V1_0, auth, ..quiet() };
    for stop in [&by_token as &dyn Fn(&mut Desk), &by_group] {
        let ends = pair(&config, Deviation::StopSaysAccepted).map(|mut desk| {
            desk.command(Command::PlugIn { evse: 1, connector: None });
            desk.present("A", 0);
            desk.command(Command::StartTransaction { evse: 1 });
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
        desk.command(Command::PlugIn { evse: 1, connector: None });
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
    desk.command(Command::PlugIn { evse: 1, connector: None });
    desk.pass(secs(7));
    desk.present("A", 0);
    desk.command(Command::StartTransaction { evse: 1 });
    desk.seen();
    desk.pass(secs(20));
    assert_eq!(desk.seen(), NOTHING);
}

#[test]
fn find_first_takes_unavailable() {
    let act = |desk: &mut Desk| {
        desk.command(Command::InjectFault { evse: 1, connector: None });
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
        desk.command(Command::PlugIn { evse: 1, connector: None });
        desk.present("A", 0);
        desk.command(Command::StartTransaction { evse: 1 });
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

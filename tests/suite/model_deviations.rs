//! One test for each entry of the table of deviations: what happens with it, and what without.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use khumbu::protocol::channel::{ApiType, Channel, EntryPoint};
use khumbu::protocol::codec;
use khumbu::protocol::control::{Command, HeartbeatControl, Validation};
use khumbu::protocol::deviations::{Deviation, Deviations, TABLE};
use khumbu::protocol::release::Release;
use khumbu::protocol::types::{
    AuthorizationStatus, CertificateHashData, HashAlgorithm, IdToken, IdTokenType, MessageContent, ProvidedIdToken,
    ValidationResult,
};
use khumbu::station::config::{AuthConfig, ProviderConfig, SelectionAlgorithm, StationConfig, ValidatorConfig};
use khumbu::station::{Input, RequestId};
use serde_json::{Value, json};

use super::model_desk::{
    Desk, NOTHING, accepted_after, millis, plug_events, quiet, secs, token, with_check, with_heartbeat,
};

/// The head as it runs, with one entry switched.
fn switched(config: StationConfig, deviation: Deviation, is_on: bool) -> StationConfig {
    StationConfig { deviations: BTreeMap::from([(deviation, is_on)]), ..config }
}

/// A ready station with one entry on, and another with it off.
fn pair(config: &StationConfig, deviation: Deviation) -> [Desk; 2] {
    [true, false].map(|is_on| Desk::ready(&switched(config.clone(), deviation, is_on)))
}

fn of_release(release: Release, config: StationConfig) -> Desk {
    Desk::ready(&StationConfig { release, ..config })
}

/// What `act` brings with the entry, and what without.
#[track_caller]
fn differs(deviation: Deviation, config: &StationConfig, act: impl Fn(&mut Desk), with: &[&str], without: &[&str]) {
    for (mut desk, expected) in pair(config, deviation).into_iter().zip([with, without]) {
        act(&mut desk);
        assert_eq!(desk.seen(), expected, "{}", deviation.id());
    }
}

fn rejected_after(after_ms: u64) -> Validation {
    Validation { authorization_status: AuthorizationStatus::Invalid, ..accepted_after(after_ms) }
}

fn of_group(group: &str) -> Validation {
    Validation { parent_id_token: Some(id_token(group)), ..accepted_after(0) }
}

fn id_token(value: &str) -> IdToken {
    IdToken { additional_info: None, r#type: IdTokenType::ISO14443, value: value.to_owned() }
}

fn present(desk: &mut Desk, token: ProvidedIdToken, validation: Validation) {
    desk.command(Command::PresentToken { token, validation });
}

fn withdraw_text(desk: &mut Desk, text: &str) {
    desk.send(Channel::WithdrawAuthorization, text);
}

/// A provider and a validator, quiet ones.
fn with_sisters() -> StationConfig {
    StationConfig {
        auth_token_provider: Some(ProviderConfig {
            cfg_communication_check_to_s: 0,
            cfg_heartbeat_interval_ms: 0,
            ..ProviderConfig::default()
        }),
        auth_token_validator: Some(ValidatorConfig {
            cfg_communication_check_to_s: 0,
            cfg_heartbeat_interval_ms: 0,
            cfg_request_reply_to_s: 20,
            ..ValidatorConfig::default()
        }),
        ..quiet()
    }
}

fn provide(desk: &mut Desk, payload: Value) {
    at(desk, ApiType::AuthTokenProvider, Channel::ProvidedToken, &payload.to_string());
}

fn at(desk: &mut Desk, api: ApiType, channel: Channel, payload: &str) {
    desk.feed(Input::ReceivedAt { api, channel, payload: Bytes::copy_from_slice(payload.as_bytes()) });
}

fn reply(desk: &mut Desk, request: u64, payload: &str) {
    desk.feed(Input::ValidatorReply {
        request: RequestId(request),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    });
}

fn bare_token(value: &str) -> Value {
    json!({"id_token": {"value": value, "type": "ISO14443"}, "authorization_type": "RFID"})
}

/// A withdraw request that is executed, or not.
fn is_executed(deviation: Deviation, text: &str) -> [bool; 2] {
    pair(&quiet(), deviation).map(|mut desk| {
        desk.present("A", 0);
        desk.seen();
        withdraw_text(&mut desk, text);
        desk.seen().contains(&"A Withdrawn [1]".to_owned())
    })
}

#[test]
fn withdraw_all_by_any_payload() {
    for payload in ["null", "5", "false", "\"x\"", "[]"] {
        let text = format!(r#"{{"headers": {{"replyTo": "r"}}, "payload": {payload}}}"#);
        assert_eq!(is_executed(Deviation::WithdrawAllByAnyPayload, &text), [true, false], "{payload}");
    }
}

#[test]
fn withdraw_all_by_typo() {
    assert_eq!(is_executed(Deviation::WithdrawAllByTypo, r#"{"payload": {"evseId": 2}}"#), [true, false]);
    for good in [r#"{"payload": {}}"#, r#"{"payload": {"evse_id": 1, "x": 2}}"#] {
        assert_eq!(is_executed(Deviation::WithdrawAllByTypo, good), [true, true], "{good}");
    }
}

#[test]
fn evse_id_cast() {
    for value in ["1.9", "true", "4294967297"] {
        let text = format!(r#"{{"payload": {{"evse_id": {value}}}}}"#);
        assert_eq!(is_executed(Deviation::EvseIdCast, &text), [true, false], "{value}");
    }
    assert_eq!(is_executed(Deviation::EvseIdCast, r#"{"payload": {"evse_id": 1.0}}"#), [true, true]);
    // Beyond 32 bits it is an EVSE that there is not, not an error.
    let mut desk = Desk::ready(&switched(quiet(), Deviation::EvseIdCast, false));
    desk.withdraw("r", json!({"evse_id": 4_294_967_297_i64}));
    assert_eq!(desk.seen(), ["r: \"EvseNotFound\""]);
}

#[test]
fn long_token_value() {
    let request =
        |characters: usize| json!({"payload": {"id_token": {"value": "ü".repeat(characters), "type": "Local"}}});
    for (characters, with, without) in [(36, true, true), (37, true, false)] {
        let executed = [true, false].map(|is_on| {
            let deviations = Deviations::default().with(Deviation::LongTokenValue, is_on);
            let decoded = codec::decode_withdraw(request(characters).to_string().as_bytes(), deviations);
            matches!(decoded, codec::Decoded::Execute { .. })
        });
        assert_eq!(executed, [with, without], "{characters}");
    }
}

#[test]
fn arrays_of_any_kind() {
    for info in ["null", "{}", r#"{"k": {"value": "v", "type": "t"}}"#] {
        let text = format!(
            r#"{{"payload": {{"id_token": {{"value": "A", "type": "ISO14443", "additional_info": {info}}}}}}}"#
        );
        assert_eq!(is_executed(Deviation::ArraysOfAnyKind, &text), [true, false], "{info}");
    }
}

#[test]
fn headers_of_any_kind() {
    for headers in ["null", "\"x\"", "[]"] {
        let text = format!(r#"{{"headers": {headers}, "payload": {{}}}}"#);
        assert_eq!(is_executed(Deviation::HeadersOfAnyKind, &text), [true, false], "{headers}");
    }
}

#[test]
fn lenient_json() {
    for text in ["\u{feff}{\"payload\": {}}", "{\"payload\": {}}\0x"] {
        assert_eq!(is_executed(Deviation::LenientJson, text), [true, false], "{text:?}");
    }
}

#[test]
fn missing_payload_dropped() {
    assert_eq!(is_executed(Deviation::MissingPayloadDropped, r#"{"headers": {"replyTo": "r"}}"#), [false, true]);
    assert_eq!(is_executed(Deviation::MissingPayloadDropped, "[]"), [false, false]);
}

#[test]
fn reply_address_required() {
    for text in [r#"{"payload": {}}"#, r#"{"headers": {}, "payload": {}}"#] {
        assert_eq!(is_executed(Deviation::ReplyAddressRequired, text), [false, true], "{text}");
    }
}

#[test]
fn exit_on_empty_reply_to() {
    exits(Deviation::ExitOnEmptyReplyTo, "");
}

#[test]
fn exit_on_wildcard_reply_to() {
    exits(Deviation::ExitOnWildcardReplyTo, "my/+/reply");
    exits(Deviation::ExitOnWildcardReplyTo, "my/#");
}

#[track_caller]
fn exits(deviation: Deviation, reply_to: &str) {
    let [mut with, mut without] = pair(&quiet(), deviation);
    for desk in [&mut with, &mut without] {
        desk.present("A", 0);
        desk.seen();
        desk.withdraw(reply_to, json!({}));
    }
    assert_eq!(with.seen_publications(), ["A Withdrawn [1]", "exit"]);
    assert_eq!(without.seen_publications(), ["A Withdrawn [1]"]);
    assert_eq!(with.station.next_deadline(), None);
    with.present("B", 0);
    assert_eq!(with.why(), "EVerest has ended");
    without.present("B", 0);
    assert!(!without.seen().is_empty());
}

#[test]
fn nul_cuts_reply_to() {
    let act = |desk: &mut Desk| desk.withdraw("r\0+", json!({}));
    differs(Deviation::NulCutsReplyTo, &quiet(), act, &["r: \"AuthorizationNotFound\""], &[]);
}

#[test]
fn withdraw_blocks_messages() {
    let act = |desk: &mut Desk| {
        desk.present("A", 9000);
        desk.withdraw("a", json!({"id_token": {"value": "A", "type": "ISO14443"}}));
        desk.check("true");
        desk.withdraw("b", json!({"evse_id": 99}));
        desk.withdraw("c", json!({"id_token": {"value": "C", "type": "ISO14443"}}));
        desk.get("g");
        desk.pass(millis(4900));
        desk.check("true");
        desk.seen_publications()
    };
    let [with, without] = pair(&with_check(5), Deviation::WithdrawBlocksMessages).map(|mut desk| act(&mut desk));
    assert_eq!(with, ["A Processing"]);
    let latched = json!({"messages": [], "status": "Processing", "token": token("A")});
    assert_eq!(
        without,
        [
            "A Processing",
            "cleared Initial communication check",
            "b: \"EvseNotFound\"",
            "c: \"AuthorizationNotFound\"",
            &format!("g: {latched}"),
        ]
    );
}

#[test]
fn checks_beside_withdraws() {
    let act = |desk: &mut Desk| {
        desk.present("A", 9000);
        desk.withdraw("a", json!({"id_token": {"value": "A", "type": "ISO14443"}}));
        desk.withdraw("b", json!({"evse_id": 99}));
        desk.check("true");
    };
    let cleared = "cleared Initial communication check";
    differs(Deviation::ChecksBesideWithdraws, &with_check(5), act, &["A Processing", cleared], &["A Processing"]);
}

#[test]
fn withdraw_blocks_auth() {
    let act = |desk: &mut Desk| {
        desk.present("A", 3000);
        desk.withdraw("a", json!({"evse_id": 1}));
        desk.command(Command::InjectFault { evse: 1 });
        desk.present("B", 0);
        desk.pass(secs(2));
        desk.seen_publications()
    };
    let outcomes = pair(&quiet(), Deviation::WithdrawBlocksAuth).map(|mut desk| {
        let before = act(&mut desk);
        desk.pass(secs(4));
        [before, desk.seen_publications()]
    });
    // The fault reaches Auth when the request was answered, and the other token after it.
    let of_a = ["A Accepted", "A UsedToStart [1]", "A Withdrawn [1]", "a: \"Accepted\""];
    let of_b = ["B Processing", "B Accepted", "B UsedToStart [2]"];
    assert_eq!(outcomes[0][0], ["A Processing"]);
    assert_eq!(outcomes[0][1], [&of_a[..], &of_b].concat());
    assert_eq!(outcomes[1][0], [&["A Processing"][..], &of_b].concat());
    assert_eq!(outcomes[1][1], ["A Rejected", "a: \"Accepted\""]);
}

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
        desk.command(Command::PlugIn { evse: 1 });
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
        desk.command(Command::PlugIn { evse: 1 });
        desk.command(Command::StartTransaction { evse: 1 });
        assert_eq!(desk.seen_publications(), NOTHING);
        assert_eq!(desk.station.status().evses[0].state, "transaction");
    }
    // Neither is it told later, where that is asked for.
    let mut late = Desk::ready(&switched(config, Deviation::UsedToStartBeforeSession, false));
    late.present("A", 0);
    late.command(Command::PlugIn { evse: 1 });
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
            desk.command(Command::PlugIn { evse: 1 });
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
        desk.command(Command::PlugIn { evse: 1 });
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
    desk.command(Command::PlugIn { evse: 1 });
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
        desk.command(Command::InjectFault { evse: 1 });
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
        desk.command(Command::PlugIn { evse: 1 });
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
        desk.send(Channel::SetConnectionTimeout, "12");
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
    desk.send(Channel::SetConnectionTimeout, payload);
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
        desk.send(Channel::SetMasterPassGroupId, &long);
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
    assert_eq!([true, false].map(|is_on| refused(is_on, Channel::SetMasterPassGroupId)), [true, false]);
    assert_eq!([true, false].map(|is_on| refused(is_on, Channel::SetConnectionTimeout)), [false, true]);
}

#[test]
fn a_master_pass_group_is_switched_off_by_an_empty_text() {
    let mut desk = of_release(Release::V2025_10, quiet());
    desk.send(Channel::SetMasterPassGroupId, "\"POLICE\"");
    desk.send(Channel::SetMasterPassGroupId, "\"\"");
    present(&mut desk, token("P"), of_group("POLICE"));
    assert_eq!(desk.seen_publications(), ["P Processing", "P Accepted", "P UsedToStart [1]"]);
}

fn ask(desk: &mut Desk, entry_point: EntryPoint, text: &str) {
    desk.feed(Input::Queried { entry_point, payload: Bytes::copy_from_slice(text.as_bytes()) });
}

const REPLY_TO_R: &str = r#"{"headers": {"replyTo": "r"}}"#;

#[test]
fn no_entry_point() {
    let [mut with, mut without] = pair(&with_sisters(), Deviation::NoEntryPoint);
    assert_eq!((with.beacons, without.beacons), (0, 3));
    for desk in [&mut with, &mut without] {
        ask(desk, EntryPoint::Discover, REPLY_TO_R);
    }
    assert_eq!((with.seen().len(), without.seen().len()), (0, 3));
}

#[test]
fn beacon_per_module() {
    let beacons = pair(&with_sisters(), Deviation::BeaconPerModule).map(|desk| desk.beacons);
    assert_eq!(beacons, [3, 1]);
}

#[test]
fn retained_executed() {
    let act = |desk: &mut Desk| {
        let payload = Bytes::from_static(br#"{"headers": {"replyTo": "r"}, "payload": {}}"#);
        let request = Input::Received { channel: Channel::WithdrawAuthorization, payload };
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

#[test]
fn certificate_hash_data_dropped() {
    let hash = CertificateHashData {
        hash_algorithm: HashAlgorithm::SHA256,
        issuer_key_hash: "k".into(),
        issuer_name_hash: "n".into(),
        responder_url: "http://ocsp.example".into(),
        serial_number: "1".into(),
    };
    let mut provided = bare_token("A");
    provided["iso15118CertificateHashData"] = json!([hash]);
    let outcomes = pair(&with_sisters(), Deviation::CertificateHashDataDropped).map(|mut desk| {
        provide(&mut desk, provided.clone());
        present(
            &mut desk,
            ProvidedIdToken { certificate_hash_data: Some(vec![hash.clone()]), ..token("B") },
            accepted_after(0),
        );
        desk.statuses.iter().map(|status| status["token"]["iso15118CertificateHashData"].clone()).collect::<Vec<_>>()
    });
    assert_eq!(outcomes, [[Value::Null, Value::Null], [json!([hash]), json!([hash])]]);
    // A malformed one spoils the token in either case.
    provided["iso15118CertificateHashData"] = json!([{"hashAlgorithm": "MD5"}]);
    for mut desk in pair(&with_sisters(), Deviation::CertificateHashDataDropped) {
        provide(&mut desk, provided.clone());
        assert_eq!(desk.seen(), NOTHING);
    }
}

#[test]
fn validator_reply_time() {
    let mut config = with_sisters();
    config.auth_token_validator.as_mut().unwrap().cfg_communication_check_to_s = 7;
    let times = pair(&config, Deviation::ValidatorReplyTime).map(|mut desk| {
        at(&mut desk, ApiType::AuthTokenValidator, Channel::CommunicationCheck, "false");
        provide(&mut desk, bare_token("A"));
        desk.station.next_deadline().unwrap()
    });
    assert_eq!(times, [secs(20), secs(7)]);
}

#[test]
fn validator_call_time() {
    let mut config = with_sisters();
    config.auth_token_validator.as_mut().unwrap().cfg_request_reply_to_s = 550;
    let act = |desk: &mut Desk| {
        provide(desk, bare_token("A"));
        provide(desk, bare_token("B"));
        desk.seen();
        desk.pass(secs(301));
    };
    differs(Deviation::ValidatorCallTime, &config, act, &["A Rejected", "B Rejected"], &[]);
    // The module goes on: it waits for the reply, and asks about the other token.
    let mut desk = Desk::ready(&config);
    act(&mut desk);
    desk.seen();
    reply(&mut desk, 0, r#"{"authorization_status": "Accepted", "tariff_messages": []}"#);
    assert_eq!(desk.seen(), ["asked 0", "ask 1 B"]);
}

#[test]
fn bad_reply_awaits_another() {
    let act = |desk: &mut Desk| {
        provide(desk, bare_token("A"));
        reply(desk, 0, r#"{"authorization_status": "Perhaps", "tariff_messages": []}"#);
        desk.pass(secs(1));
    };
    differs(
        Deviation::BadReplyAwaitsAnother,
        &with_sisters(),
        act,
        &["A Processing", "ask 0 A"],
        &["A Processing", "ask 0 A", "asked 0", "A Rejected"],
    );
}

#[test]
fn unknown_pin_required() {
    for status in ["PinRequired", "Timeout"] {
        let act = |desk: &mut Desk| {
            provide(desk, bare_token("A"));
            desk.seen();
            reply(desk, 0, &json!({"authorization_status": status, "tariff_messages": []}).to_string());
            desk.pass(secs(1));
        };
        differs(Deviation::UnknownPinRequired, &with_sisters(), act, &[], &["asked 0", "A Rejected"]);
    }
}

/// A result with a mode that may be unknown.
#[track_caller]
fn differs_by_mode(deviation: Deviation, modes: [&str; 2]) {
    for mode in modes {
        let act = |desk: &mut Desk| {
            provide(desk, bare_token("A"));
            desk.seen();
            let modes = ["DC", mode];
            let result = json!({
                "allowed_energy_transfer_modes": modes,
                "authorization_status": "Blocked",
                "tariff_messages": [],
            });
            reply(desk, 0, &result.to_string());
        };
        differs(deviation, &with_sisters(), act, &[], &["asked 0", "A Rejected"]);
    }
}

#[test]
fn unknown_mcs_modes() {
    differs_by_mode(Deviation::UnknownMcsModes, ["MCS", "MCS_BPT"]);
}

#[test]
fn unknown_der_modes() {
    differs_by_mode(Deviation::UnknownDerModes, ["AC_DER_IEC", "AC_DER_SAE"]);
}

#[test]
fn tariff_messages_required() {
    let answers = pair(&with_sisters(), Deviation::TariffMessagesRequired).map(|mut desk| {
        provide(&mut desk, bare_token("A"));
        desk.seen();
        reply(&mut desk, 0, r#"{"authorization_status": "Accepted"}"#);
        desk.seen_publications()
    });
    assert_eq!(answers, [vec![], vec!["asked 0", "A Accepted", "A UsedToStart [1]"]]);
}

#[test]
fn serial_validation() {
    let act = |desk: &mut Desk| {
        provide(desk, bare_token("A"));
        provide(desk, bare_token("B"));
    };
    differs(
        Deviation::SerialValidation,
        &with_sisters(),
        act,
        &["A Processing", "ask 0 A", "B Processing"],
        &["A Processing", "ask 0 A", "B Processing", "ask 1 B"],
    );
    let mut desk = Desk::ready(&with_sisters());
    act(&mut desk);
    desk.seen();
    reply(&mut desk, 0, r#"{"authorization_status": "Blocked", "tariff_messages": []}"#);
    assert_eq!(desk.seen(), ["asked 0", "A Rejected", "ask 1 B"]);
}

/// Those that only the edge knows are tested there, where messages really pass.
#[test]
fn every_entry_has_a_test_of_its_name() {
    let tests = [include_str!("model_deviations.rs"), include_str!("sim_releases.rs")].concat();
    let missing: BTreeSet<_> = TABLE
        .iter()
        .map(|entry| entry.id.replace('-', "_"))
        .filter(|name| !tests.contains(&format!("fn {name}() {{")))
        .collect();
    assert_eq!(missing, BTreeSet::new());
}

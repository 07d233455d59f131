//! Sessions, tokens and commands at the station by name; in virtual time.
#![allow(clippy::unwrap_used)]

use khumbu::protocol::control::{AtConnector, AtEvse, Command, Validation};
use khumbu::protocol::types::{AuthorizationStatus, WithdrawAuthorizationRequest};
use khumbu::station::Input;
use khumbu::station::config::{AuthConfig, StationConfig};
use serde_json::json;

use crate::model_desk::{Desk, NOTHING, accepted_after, millis, plug_events, quiet, secs, with_heartbeat};

#[test]
fn a_plugged_in_ev_and_a_token_wait_for_the_transaction_and_can_be_withdrawn() {
    let mut desk = Desk::ready(&quiet());
    desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
    assert_eq!(desk.seen(), ["1 SessionStarted", "1 AuthRequired"]);
    desk.present("A", 150);
    assert_eq!(desk.seen(), ["A Processing"]);
    desk.pass(millis(150));
    assert_eq!(desk.seen(), ["A Accepted", "1 Authorized", "A UsedToStart [1]"]);
    desk.withdraw("r", json!({"evse_id": 1}));
    let withdrawn = ["1 Deauthorized", "1 SessionFinished", "A Withdrawn [1]", "r: \"Accepted\""];
    assert_eq!(desk.seen(), withdrawn);
    desk.withdraw("r", json!({"evse_id": 1}));
    assert_eq!(desk.seen(), ["r: \"AuthorizationNotFound\""]);
    // The EV is still there and may charge with the next token.
    desk.present("A", 0);
    desk.command(Command::StartTransaction(AtEvse { evse: 1 }));
    let expected = [
        "A Processing",
        "A Accepted",
        "1 SessionStarted",
        "1 Authorized",
        "A UsedToStart [1]",
        "1 PrepareCharging",
        "1 TransactionStarted",
    ];
    assert_eq!(desk.seen(), expected);
}

#[test]
fn a_transaction_is_withdrawn_without_a_status() {
    let mut desk = Desk::ready(&quiet());
    desk.present("A", 0);
    desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
    desk.command(Command::StartTransaction(AtEvse { evse: 1 }));
    desk.seen();
    desk.withdraw("r", json!({"id_token": {"type": "ISO14443", "value": "a"}}));
    let stopped =
        ["1 stop DeAuthorized", "1 StoppingCharging", "1 ChargingFinished", "1 TransactionFinished", "r: \"Accepted\""];
    assert_eq!(desk.seen(), stopped);
    desk.command(Command::Unplug(AtEvse { evse: 1 }));
    assert_eq!(desk.seen(), ["1 SessionFinished"]);
}

#[test]
fn a_transaction_ends_by_command_and_by_unplugging() {
    let mut desk = Desk::ready(&quiet());
    for (command, expected) in [
        (
            Command::StopTransaction(AtEvse { evse: 1 }),
            &["StoppingCharging", "ChargingFinished", "TransactionFinished"][..],
        ),
        (Command::Unplug(AtEvse { evse: 1 }), &["SessionFinished"]),
    ] {
        if matches!(command, Command::StopTransaction(_)) {
            desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
            desk.present("A", 0);
            desk.command(Command::StartTransaction(AtEvse { evse: 1 }));
            desk.seen();
        }
        desk.command(command);
        assert_eq!(desk.seen(), expected.iter().map(|event| format!("1 {event}")).collect::<Vec<_>>());
    }
    desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
    desk.present("A", 0);
    desk.command(Command::StartTransaction(AtEvse { evse: 1 }));
    desk.seen();
    desk.command(Command::Unplug(AtEvse { evse: 1 }));
    let all = ["1 StoppingCharging", "1 ChargingFinished", "1 TransactionFinished", "1 SessionFinished"];
    assert_eq!(desk.seen(), all);
}

#[test]
fn a_token_that_waits_for_a_plug_in_gets_it() {
    let mut desk = Desk::ready(&plug_events());
    desk.present("A", 0);
    assert_eq!(desk.seen(), ["A Processing", "A Accepted"]);
    desk.command(Command::PlugIn(AtConnector { evse: 2, connector: None }));
    assert_eq!(desk.seen(), ["2 SessionStarted", "2 AuthRequired", "2 Authorized", "A UsedToStart [2]"]);
}

#[test]
fn a_plug_in_that_times_out_has_to_be_repeated() {
    let auth = AuthConfig { plug_in_timeout_enabled: true, ..quiet().auth };
    let mut desk = Desk::ready(&StationConfig { auth, ..quiet() });
    desk.command(Command::PlugIn(AtConnector { evse: 2, connector: None }));
    desk.seen();
    desk.pass(secs(8));
    assert_eq!(desk.seen(), ["2 Deauthorized", "2 PluginTimeout"]);
    desk.present("A", 0);
    assert_eq!(desk.seen().last().map(String::as_str), Some("A UsedToStart [1]"));
    desk.present("B", 0);
    assert_eq!(desk.seen(), ["B Processing", "B Rejected"]);
    desk.command(Command::Unplug(AtEvse { evse: 2 }));
    desk.command(Command::PlugIn(AtConnector { evse: 2, connector: None }));
    desk.present("B", 0);
    assert_eq!(desk.seen().last().map(String::as_str), Some("B UsedToStart [2]"));
}

#[test]
fn a_faulted_evse_is_not_used() {
    let mut desk = Desk::ready(&quiet());
    desk.command(Command::InjectFault(AtConnector { evse: 1, connector: None }));
    desk.present("A", 0);
    assert_eq!(desk.seen().last().map(String::as_str), Some("A UsedToStart [2]"));
    desk.command(Command::ClearFault(AtConnector { evse: 1, connector: None }));
    desk.present("B", 0);
    assert_eq!(desk.seen().last().map(String::as_str), Some("B UsedToStart [1]"));
}

#[test]
fn commands_that_mean_nothing_say_why() {
    let mut desk = Desk::ready(&quiet());
    for (command, why) in [
        (Command::PlugIn(AtConnector { evse: 3, connector: None }), "there is no EVSE 3"),
        (Command::PlugIn(AtConnector { evse: 0, connector: None }), "there is no EVSE 0"),
        (Command::PlugIn(AtConnector { evse: i32::MIN, connector: None }), "there is no EVSE -2147483648"),
        (Command::Unplug(AtEvse { evse: 1 }), "EVSE 1: no EV is plugged in"),
        (Command::StartTransaction(AtEvse { evse: 1 }), "EVSE 1: no EV is plugged in"),
        (Command::StopTransaction(AtEvse { evse: 1 }), "EVSE 1: no transaction runs"),
        (Command::ClearFault(AtConnector { evse: 1, connector: None }), "EVSE 1: the EVSE is not faulted"),
        (Command::Withdraw(WithdrawAuthorizationRequest::default()), "a command for a client, not for EVerest's side"),
        (Command::GetStatus {}, "a command for a client, not for EVerest's side"),
        (Command::CommunicationCheck(true), "a command for a client, not for EVerest's side"),
    ] {
        desk.command(command);
        assert_eq!(desk.why(), why);
    }
    desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
    desk.command(Command::InjectFault(AtConnector { evse: 1, connector: None }));
    desk.seen();
    for (command, why) in [
        (Command::PlugIn(AtConnector { evse: 1, connector: None }), "EVSE 1: an EV is plugged in already"),
        (Command::InjectFault(AtConnector { evse: 1, connector: None }), "EVSE 1: the EVSE is faulted already"),
        (Command::StartTransaction(AtEvse { evse: 1 }), "EVSE 1: no token is authorized"),
    ] {
        desk.command(command);
        assert_eq!(desk.why(), why);
    }
    desk.present("A", 0);
    desk.present("A", 0);
    assert_eq!(desk.ignored, ["the token is in process or was granted already"]);
}

#[test]
fn a_new_verdict_stands_above_presentations_and_answers_open_questions() {
    let mut desk = Desk::ready(&quiet());
    let verdict = |status, after_ms| {
        let validation = Validation { authorization_status: status, ..accepted_after(after_ms) };
        Input::SetVerdict { value: "A".into(), validation }
    };
    desk.present("A", 60_000);
    desk.present("B", 60_000);
    desk.pass(secs(1));
    desk.feed(verdict(AuthorizationStatus::Blocked, 500));
    desk.seen();
    desk.pass(millis(499));
    assert_eq!(desk.seen(), NOTHING);
    desk.pass(millis(1));
    assert_eq!(desk.seen(), ["A Rejected"]);
    desk.present("A", 0);
    desk.pass(millis(500));
    assert_eq!(desk.seen(), ["A Processing", "A Rejected"]);
}

#[test]
fn the_status_tells_what_everything_is_about() {
    let mut desk = Desk::ready(&StationConfig { evses: 3, ..quiet() });
    desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
    desk.present("A", 0);
    desk.command(Command::StartTransaction(AtEvse { evse: 1 }));
    desk.present("B", 0);
    desk.command(Command::InjectFault(AtConnector { evse: 3, connector: None }));
    let status = serde_json::to_value(desk.station.status()).unwrap();
    let states: Vec<_> = (0..3).map(|evse| status["evses"][evse]["state"].clone()).collect();
    assert_eq!(states, ["transaction", "granted", "unavailable"]);
    assert_eq!(status["evses"][1]["identifier"], json!({"type": "ISO14443", "value": "B"}));
    assert_eq!(status["evses"][0]["plugged_in"], json!(true));
    assert_eq!(status["latched"]["status"], json!("UsedToStart"));
    assert_eq!(status["communication_check"], json!("off"));
}

#[test]
fn time_does_not_run_backwards() {
    let mut desk = Desk::ready(&with_heartbeat(1000));
    desk.pass(secs(5));
    desk.seen();
    desk.now = secs(1);
    desk.feed(Input::Deadline);
    assert_eq!(desk.seen(), NOTHING);
    assert_eq!(desk.station.next_deadline(), Some(secs(6)));
}

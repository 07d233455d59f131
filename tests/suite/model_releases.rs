//! Releases side by side: what each was seen to do, row by row, and what their histories say.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use khumbu::auth::EvseCall;
use khumbu::protocol::channel::{Channel, EntryPoint};
use khumbu::protocol::control::{AtConnector, AtEvse, Command};
use khumbu::protocol::deviations::{Behaviour, Deviation, Deviations, Entry, TABLE};
use khumbu::protocol::release::Release;
use khumbu::protocol::schema::{Message, Schemas};
use khumbu::protocol::types::{AuthorizationStatus, TokenValidationStatus as Status};
use khumbu::station::config::{AuthConfig, StationConfig, ValidatorConfig};
use khumbu::station::{Address, Effect, Input, Payload, RequestId};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::model::{Act, cases, config, played, steps};
use super::model_desk::{Desk, accepted_after, millis, plug_events, quiet, secs, token, with_heartbeat};

/// What a release does.
fn of(release: Release, config: StationConfig) -> Desk {
    Desk::ready(&StationConfig { release, ..config })
}

/// What each release makes of the same, earliest first.
fn each<T>(config: &StationConfig, look: impl Fn(Desk) -> T) -> [T; 4] {
    Release::ALL.map(|release| look(of(release, config.clone())))
}

/// A request in a station where A is granted: whether it is executed, replied to, and ends EVerest.
fn outcome(mut desk: Desk, request: &Value) -> (bool, bool, bool) {
    desk.present("A", 0);
    desk.seen();
    desk.send(Channel::WITHDRAW_AUTHORIZATION, request.to_string());
    let seen = desk.seen();
    let is = |wanted: &str| seen.iter().any(|line| line.contains(wanted));
    (is("Deauthorized"), is("\"Accepted\""), is("exit"))
}

const IGNORED: (bool, bool, bool) = (false, false, false);
const SILENT: (bool, bool, bool) = (true, false, false);
const REPLIED: (bool, bool, bool) = (true, true, false);
const ENDED: (bool, bool, bool) = (true, false, true);

#[test]
fn heartbeats() {
    let beats = each(&with_heartbeat(1000), |mut desk| {
        desk.pass(secs(2));
        desk.seen()
    });
    let counted = ["heartbeat 1", "heartbeat 2"];
    assert_eq!(beats, [["heartbeat {}"; 2], counted, counted, counted]);
}

#[test]
fn messages_of_a_status() {
    let messages = each(&quiet(), |mut desk| {
        desk.present("A", 0);
        desk.statuses.iter().map(|status| status.get("messages").cloned()).collect::<Vec<_>>()
    });
    let (absent, present) = (vec![None; 3], vec![Some(json!([])); 3]);
    assert_eq!(messages, [absent.clone(), absent, present.clone(), present]);
}

#[test]
fn withdrawn_for_a_granted_token() {
    let told = each(&quiet(), |mut desk| {
        desk.present("A", 0);
        desk.seen();
        desk.withdraw("r", json!({}));
        desk.seen_publications()
    });
    let untold = vec!["r: \"Accepted\""];
    assert_eq!(told, [untold.clone(), untold.clone(), untold, vec!["A Withdrawn [1]", "r: \"Accepted\""]]);
}

#[test]
fn withdrawn_for_a_token_that_waits() {
    let told = each(&plug_events(), |mut desk| {
        desk.present("A", 0);
        desk.seen();
        desk.withdraw("r", json!({}));
        desk.seen()
    });
    assert_eq!(told, [["A Withdrawn", "r: \"Accepted\""]; 4].map(|lines| lines.map(str::to_owned).to_vec()));
}

#[test]
fn discovery_and_the_latched_getter() {
    let answered = each(&quiet(), |mut desk| {
        let beacons = desk.beacons;
        desk.get("get");
        for entry_point in [EntryPoint::Discover, EntryPoint::QueryModules("auth_consumer".to_owned())] {
            let payload = Bytes::from_static(br#"{"headers": {"replyTo": "found"}}"#);
            desk.feed(Input::Queried { entry_point, payload });
        }
        let topics = desk.seen().iter().map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>();
        (beacons, topics)
    });
    let silence = (0, vec![]);
    let all = (1, ["get", "found", "found"].map(str::to_owned).to_vec());
    assert_eq!(answered, [silence.clone(), silence.clone(), silence, all]);
}

#[test]
fn requests_without_a_reply_address() {
    for request in [json!({"payload": {}}), json!({"headers": {}, "payload": {}})] {
        assert_eq!(each(&quiet(), |desk| outcome(desk, &request)), [IGNORED, IGNORED, SILENT, SILENT], "{request}");
    }
    let request = json!({"headers": {"replyTo": "r"}, "payload": {}});
    assert_eq!(each(&quiet(), |desk| outcome(desk, &request)), [REPLIED; 4]);
}

#[test]
fn unusable_reply_addresses() {
    let to = |topic: &str| {
        let request = json!({"headers": {"replyTo": topic}, "payload": {}});
        each(&quiet(), |desk| outcome(desk, &request))
    };
    assert_eq!(to(""), [ENDED, ENDED, SILENT, SILENT]);
    assert_eq!(to("my/#"), [ENDED, ENDED, ENDED, SILENT]);
    assert_eq!(to("my/+/reply"), [ENDED, ENDED, ENDED, SILENT]);
}

#[test]
fn setters() {
    let timeouts = each(&quiet(), |mut desk| {
        // A token that waits already keeps its time.
        desk.present("A", 0);
        desk.send(Channel::SET_CONNECTION_TIMEOUT, "15");
        let kept = desk.station.next_deadline().unwrap();
        desk.command(Command::Unplug(AtEvse { evse: 1 }));
        desk.present("B", 0);
        (kept.as_secs(), desk.station.next_deadline().unwrap().as_secs())
    });
    assert_eq!(timeouts, [(8, 15), (8, 8), (8, 8), (8, 8)]);
}

#[test]
fn pin_required_and_timeout() {
    let validator = ValidatorConfig {
        cfg_communication_check_to_s: 0,
        cfg_heartbeat_interval_ms: 0,
        cfg_request_reply_to_s: 20,
        ..ValidatorConfig::default()
    };
    let config = StationConfig { auth_token_validator: Some(validator), ..quiet() };
    for status in [AuthorizationStatus::PinRequired, AuthorizationStatus::Timeout] {
        let times = each(&config, |mut desk| {
            desk.present("A", 0);
            let reply = json!({"authorization_status": status, "tariff_messages": []});
            desk.feed(Input::ValidatorReply { request: RequestId(0), payload: Bytes::from(reply.to_string()) });
            let mut waited = 0;
            while !desk.seen().contains(&"A Rejected".to_owned()) {
                waited += 1;
                desk.pass(secs(1));
            }
            waited
        });
        assert_eq!(times, [20, 0, 0, 0], "{status:?}");
    }
}

#[test]
fn the_configured_master_pass_has_no_effect_anywhere() {
    let auth = AuthConfig { master_pass_group_id: "POLICE".into(), ..quiet().auth };
    let seen = each(&StationConfig { auth, ..quiet() }, |mut desk| {
        let mut validation = accepted_after(0);
        validation.parent_id_token = Some(token("POLICE").id_token);
        desk.command(Command::PresentToken { token: token("P"), validation });
        desk.seen_publications()
    });
    assert!(seen.iter().all(|seen| seen.last().unwrap() == "P UsedToStart [1]"), "{seen:?}");
}

#[test]
fn a_token_presented_again() {
    let auth = AuthConfig { stop_transaction_on_reswipe: false, ..quiet().auth };
    let ends = each(&StationConfig { auth, ..quiet() }, |mut desk| {
        desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
        desk.present("A", 0);
        desk.command(Command::StartTransaction(AtEvse { evse: 1 }));
        desk.present("A", 0);
        desk.statuses.last().unwrap()["status"].clone()
    });
    assert_eq!(ends, ["UsedToStop", "UsedToStop", "UsedToStop", "UsedToReauthorize"]);
}

#[test]
fn what_is_the_same_in_all() {
    let seen = each(&plug_events(), |mut desk| {
        desk.withdraw("none", json!({}));
        // Sticky withdraw.
        desk.present("A", 0);
        desk.withdraw("unknown", json!({"evse_id": 99}));
        desk.send(Channel::WITHDRAW_AUTHORIZATION, r#"{"headers": {"replyTo": "any"}, "payload": [1]}"#);
        desk.send(Channel::WITHDRAW_AUTHORIZATION, r#"{"headers": {"replyTo": "cast"}, "payload": {"evse_id": 1.9}}"#);
        desk.present("B", 100);
        desk.withdraw("blocked", json!({}));
        desk.pass(millis(200));
        desk.seen()
    });
    assert!(seen.iter().all(|other| *other == seen[3]), "{seen:#?}");
    assert!(seen[0].contains(&"A Withdrawn".to_owned()) && seen[0].contains(&"blocked: \"Accepted\"".to_owned()));
}

#[test]
fn as_specified_an_earlier_release_does_what_its_own_specification_says() {
    let specified = |release| StationConfig { release, behaviour: Behaviour::AsSpecified, ..quiet() };
    // Four statuses, headers optional.
    let mut desk = Desk::ready(&specified(Release::V2025_12));
    desk.present("A", 0);
    assert_eq!(desk.seen_publications(), ["A Processing", "A Accepted"]);
    desk.send(Channel::WITHDRAW_AUTHORIZATION, r#"{"payload": {}}"#);
    assert_eq!(desk.seen(), ["1 Deauthorized", "1 SessionFinished"]);
    // No getter either: it was specified later.
    desk.get("r");
    assert_eq!(desk.why(), "this release has no latched getter");
    let mut desk = Desk::ready(&specified(Release::Main));
    desk.get("r");
    assert_eq!(desk.seen(), ["r: null"]);
}

#[test]
fn before_the_releases_a_status_says_less() {
    let mut desk = of(Release::V1_0, with_heartbeat(1000));
    desk.command(Command::PlugIn(AtConnector { evse: 1, connector: None }));
    desk.present("A", 0);
    desk.command(Command::StartTransaction(AtEvse { evse: 1 }));
    desk.present("A", 0);
    assert_eq!(desk.seen_publications(), ["A Processing", "A Accepted", "A Processing", "A Accepted"]);
    assert!(desk.statuses.iter().all(|status| status.get("messages").is_none()));
    desk.get("get");
    assert_eq!((desk.why().as_str(), desk.beacons), ("this release has no latched getter", 0));
    desk.pass(secs(1));
    assert_eq!(desk.seen(), ["heartbeat {}"]);
    desk.send(Channel::SET_CONNECTION_TIMEOUT, "15");
    desk.present("B", 0);
    assert_eq!(desk.station.next_deadline(), Some(secs(2)));
    desk.pass(secs(15));
    assert!(desk.seen().contains(&"B TimedOut".to_owned()));
}

#[test]
fn schemas_follow_the_releases() {
    let valid =
        |message, payload: Value| Release::ALL.map(|release| Schemas::new(release).check(message, &payload).is_empty());
    let heartbeat = Message::On(Channel::HEARTBEAT);
    assert_eq!(valid(heartbeat, json!({})), [true, false, false, false]);
    assert_eq!(valid(heartbeat, json!(7)), [false, true, true, true]);
    let withdraw = Message::On(Channel::WITHDRAW_AUTHORIZATION);
    assert_eq!(valid(withdraw, json!({})), [true, true, false, false]);
    let status = |status| json!({"token": token("A"), "status": status});
    let channel = Message::On(Channel::TOKEN_VALIDATION_STATUS);
    assert_eq!(valid(channel, status("Withdrawn")), [true; 4]);
    assert_eq!(valid(channel, status("UsedToReauthorize")), [false, false, false, true]);
    let schemas = Schemas::new(Release::V1_0);
    let used = ["Accepted", "Withdrawn", "UsedToStart", "UsedToStop", "UsedToReauthorize"];
    let known = used.map(|name| schemas.check(channel, &status(name)).is_empty());
    assert_eq!(known, [true, true, false, false, false]);
    assert!(schemas.check(heartbeat, &json!({})).is_empty() && !schemas.check(heartbeat, &json!(7)).is_empty());
    // What is switched counts.
    let switched = [(Deviation::NoUsedToStart, false), (Deviation::EmptyHeartbeat, false)].into();
    let schemas = Schemas::of(Deviations::new(Release::V1_0, Behaviour::AsRunning, &switched));
    assert!(schemas.check(channel, &status("UsedToStart")).is_empty());
    assert!(schemas.check(heartbeat, &json!(7)).is_empty());
}

#[test]
fn the_forecast_is_the_head_with_three_pull_requests() {
    let differs = |entry: &&Entry| entry.releases.contains(&Release::Main) != entry.releases.contains(&Release::Next);
    let named: Vec<_> = TABLE.iter().filter(differs).map(|entry| (entry.id, entry.agreed.len())).collect();
    // The specification of the API says nothing of the new field.
    assert_eq!(named, [("bank-card-stops", 1), ("validation-results", 0), ("compact-json", 1)]);
    let sources = ["#2613, b7feeb3ca", "#2167, 6ef952015", "#2637, c0c630b1c"];
    for (entry, source) in TABLE.iter().filter(differs).zip(sources) {
        assert!(entry.source.starts_with(&format!("pull request {source}, not released")), "{}", entry.source);
    }
    let check = |release, results: Value| {
        let status = json!({"token": token("A"), "status": "Rejected", "validation_results": results});
        Schemas::new(release).check(Message::On(Channel::TOKEN_VALIDATION_STATUS), &status).is_empty()
    };
    let right = json!([{"authorization_status": "Invalid", "tariff_messages": []}]);
    let wrong = [json!({}), json!([{"authorization_status": "Invalid"}]), json!([{"tariff_messages": []}])];
    assert!(check(Release::Next, right) && check(Release::Next, json!([])));
    for wrong in wrong {
        assert!(!check(Release::Next, wrong.clone()), "{wrong}");
        assert!(check(Release::Main, wrong), "today it is a field that nobody knows");
    }
}

#[test]
fn a_station_file_names_release_behaviour_and_single_deviations() {
    let text = "release: 2025.12\nbehaviour: as_specified\ndeviations: {sticky-withdraw: true}\n";
    let config: StationConfig = khumbu::scenario::parse_as("station.yaml", text).unwrap();
    let deviations = config.in_force();
    assert_eq!(deviations.release(), Release::V2025_12);
    assert!(deviations.is_on(Deviation::StickyWithdraw) && !deviations.is_on(Deviation::StuckToken));
    let text = "release: \"2025.10\"\nauth_token_validator: {cfg_request_reply_to_s: 20}\nevse_manager: external\n";
    let config: StationConfig = khumbu::scenario::parse_as("station.yaml", text).unwrap();
    assert_eq!((config.release, config.auth_token_validator.unwrap().cfg_request_reply_to_s), (Release::V2025_10, 20));
    for (text, word) in [
        ("release: 2024.1\n", "2024.1"),
        ("behaviour: as_wished\n", "as_wished"),
        ("deviations: {sticky: true}\n", "sticky"),
        ("deviations: {stuck-token: maybe}\n", "maybe"),
    ] {
        let errors = khumbu::scenario::parse_as::<StationConfig>("station.yaml", text).unwrap_err();
        assert!(format!("{errors:?}").contains(word), "{text} {errors:?}");
    }
}

fn in_any_release() -> impl Strategy<Value = StationConfig> {
    let deviations =
        prop::collection::btree_map((0..TABLE.len()).prop_map(|index| TABLE[index].deviation), any::<bool>(), 0..6);
    let behaviour = select(vec![Behaviour::AsRunning, Behaviour::AsSpecified]);
    (config(), select(Release::PROFILES.to_vec()), behaviour, deviations)
        .prop_map(|(config, release, behaviour, deviations)| StationConfig { release, behaviour, deviations, ..config })
}

/// What happened, without which EVSEs a token names and without what only releases say.
fn as_before_the_releases(log: Vec<(Duration, Effect)>) -> Vec<(Duration, Value)> {
    let told = log.into_iter().filter_map(|(at, effect)| {
        let mut seen = match effect {
            Effect::Publish { to, payload: Payload::Status(message) } => {
                let message = serde_json::to_value(&*message).unwrap();
                json!({"status": format!("{to:?}"), "message": message})
            }
            Effect::EvseCall { evse, call: EvseCall::AuthorizeResponse(response) } => {
                json!({"granted": evse, "token": response.0, "result": format!("{:?}", response.1)})
            }
            Effect::EvseCall { evse, call: EvseCall::StopTransaction { reason, id_tag } } => {
                json!({"stopped": evse, "reason": format!("{reason:?}"), "token": id_tag})
            }
            other => return Some((at, json!(format!("{other:?}")))),
        };
        for token in ["/message/token", "/token"] {
            if let Some(token) = seen.pointer_mut(token).and_then(Value::as_object_mut) {
                token.remove("connectors");
            }
        }
        match seen.pointer_mut("/message/status") {
            Some(status) if *status == "UsedToStart" => return None,
            Some(status) if *status == "UsedToStop" => *status = json!("Accepted"),
            _ => {}
        }
        Some((at, seen))
    });
    told.collect()
}

proptest! {
    #![proptest_config(cases(400))]

    /// It does what 2025.10 does; only some statuses say less.
    #[test]
    fn before_the_releases_all_but_the_words_is_as_in_2025_10(config in config(), steps in steps()) {
        let [before, first] = [Release::V1_0, Release::V2025_10].map(|release| {
            as_before_the_releases(played(&StationConfig { release, ..config.clone() }, &steps).log)
        });
        prop_assert_eq!(before, first);
    }

    /// Nothing is said of what a token was used for, nor where.
    #[test]
    fn before_the_releases_no_status_says_what_became_of_a_token(config in config(), steps in steps()) {
        let config = StationConfig { release: Release::V1_0, ..config };
        for (_, effect) in played(&config, &steps).log {
            let Effect::Publish { payload: Payload::Status(message), .. } = effect else { continue };
            let (token, status) = (&message.token, message.status);
            prop_assert!(message.messages.is_none());
            prop_assert!(!matches!(status, Status::UsedToStart | Status::UsedToStop | Status::UsedToReauthorize));
            let presented = steps.iter().any(|(_, act)| matches!(
                act,
                Act::Command(Command::PresentToken { token: other, .. })
                    if other.id_token.value == token.id_token.value && other.connectors == token.connectors
            ));
            prop_assert!(presented, "{} {status:?} {:?}", token.id_token.value, token.connectors);
        }
    }

    /// No release and no mixture of deviations panics, has a mind of its own, or answers a request twice.
    #[test]
    fn every_release_is_deterministic_and_answers_once(config in in_any_release(), steps in steps()) {
        let first = played(&config, &steps);
        prop_assert_eq!(&first.log, &played(&config, &steps).log);
        let mut replies: Vec<_> = first
            .log
            .iter()
            .filter_map(|(_, effect)| match effect {
                Effect::Publish { to: Address::Reply(topic), .. } => Some(topic),
                _ => None,
            })
            .collect();
        prop_assert!(replies.iter().all(|topic| first.requests.contains(*topic)));
        let count = replies.len();
        replies.sort();
        replies.dedup();
        prop_assert_eq!(replies.len(), count);
    }
}

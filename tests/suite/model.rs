//! The station under random inputs, in virtual time: what must hold whatever happens.
//!
//! The oracles here know EVerest's behaviour as tables and share no code with the station.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use khumbu::auth::{Chosen, EvseCall};
use khumbu::protocol::channel::{ApiType, Channel};
use khumbu::protocol::control::{AtConnector, AtEvse, Command, HeartbeatControl, Validation};
use khumbu::protocol::deviations::Deviation;
use khumbu::protocol::release::Release;
use khumbu::protocol::types::{
    AuthorizationStatus, AuthorizationType, IdToken, IdTokenType, MessageContent, ProvidedIdToken,
    WithdrawAuthorizationRequest, WithdrawAuthorizationResult,
};
use khumbu::station::config::{ApiConfig, AuthConfig, SelectionAlgorithm, StationConfig};
use khumbu::station::{Address, Effect, Input, Payload, Station, StationStatus};
use khumbu::timespan::Seconds;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use crate::model_oracle::{Monitor, WithdrawTable};

/// One thing to do to a station, without the names that only a run can give.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Command(Command),
    Verdict(String, Validation),
    Withdraw(Option<i32>, Option<IdToken>),
    Get,
    Check(bool),
    Raw(Channel, Vec<u8>),
    Deadline,
}

/// An act, and how long after the one before it.
pub(crate) type Step = (Duration, Act);

pub(crate) fn config() -> impl Strategy<Value = StationConfig> {
    let algorithm =
        select(vec![SelectionAlgorithm::FindFirst, SelectionAlgorithm::PlugEvents, SelectionAlgorithm::PlugEventsLIFO]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let api = (select(vec![0, 1, 3]), select(vec![-1, 0, 100, 1000]), proptest::bool::weighted(0.9));
    let evses = prop_oneof![6 => 1..=2_u8, 3 => 3..=4_u8, 2 => 5..=8_u8];
    let release = prop_oneof![3 => Just(Release::Main), 3 => select(Release::PROFILES.to_vec())];
    (evses, algorithm, 0..6_u64, flags, api, release).prop_map(
        |(evses, selection_algorithm, timeout, flags, api, release)| {
            let auth = AuthConfig {
                selection_algorithm,
                connection_timeout: Seconds(Duration::from_secs(timeout)),
                master_pass_group_id: String::new(),
                prioritize_authorization_over_stopping_transaction: flags.0,
                ignore_connector_faults: flags.1,
                plug_in_timeout_enabled: flags.2,
                stop_transaction_on_reswipe: flags.3,
            };
            let auth_consumer = ApiConfig {
                cfg_communication_check_to_s: api.0,
                cfg_heartbeat_interval_ms: api.1,
                latch_variable_values: api.2,
                ..ApiConfig::default()
            };
            // Of a station that has ended there is nothing to tell.
            let deviations =
                BTreeMap::from([(Deviation::ExitOnUnknownConnector, false), (Deviation::NoPlugEventsLifo, false)]);
            StationConfig { evses, auth, auth_consumer, release, deviations, ..StationConfig::default() }
        },
    )
}

/// Few values, so that they meet again: also in other letters, of another type, and as each other's group.
fn id_token() -> impl Strategy<Value = IdToken> {
    (select(vec!["A", "a", "B", "C", "GROUP", ""]), select(vec![IdTokenType::ISO14443, IdTokenType::Central]))
        .prop_map(|(value, r#type)| IdToken { additional_info: None, r#type, value: value.to_owned() })
}

fn provided() -> impl Strategy<Value = ProvidedIdToken> {
    let kind = prop_oneof![3 => Just(AuthorizationType::RFID), 1 => Just(AuthorizationType::OCPP)];
    let connectors = option::of(vec(prop_oneof![8 => 1..=4_i32, 1 => Just(9), 1 => Just(0)], 0..4));
    (id_token(), kind, connectors, option::weighted(0.2, id_token()), option::weighted(0.2, any::<bool>())).prop_map(
        |(id_token, authorization_type, connectors, parent_id_token, prevalidated)| ProvidedIdToken {
            authorization_type,
            certificate: None,
            certificate_hash_data: None,
            connectors,
            id_token,
            parent_id_token,
            prevalidated,
            request_id: None,
        },
    )
}

fn validation() -> impl Strategy<Value = Validation> {
    let status = prop_oneof![
        4 => Just(AuthorizationStatus::Accepted),
        1 => Just(AuthorizationStatus::Blocked),
    ];
    let after = prop_oneof![2 => Just(0), 2 => 0..4000_u64];
    let evse_ids = option::weighted(0.2, vec(1..=8_i32, 0..3));
    (status, after, evse_ids, option::weighted(0.3, id_token()), 0..2_usize).prop_map(
        |(authorization_status, after_ms, evse_ids, parent_id_token, messages)| {
            let message = MessageContent { content: "0.40 EUR/kWh".into(), format: None, language: None };
            let tariff_messages = vec![message; messages];
            Validation {
                after_ms,
                authorization_status,
                evse_ids,
                parent_id_token,
                tariff_messages,
                others: Vec::new(),
            }
        },
    )
}

fn command() -> impl Strategy<Value = Command> {
    let evse = prop_oneof![12 => 1..=4_i32, 2 => 5..=8_i32, 1 => select(vec![0, -1, 9, i32::MIN])];
    prop_oneof![
        3 => evse.clone().prop_map(|evse| Command::PlugIn(AtConnector { evse, connector: None })),
        2 => evse.clone().prop_map(|evse| Command::Unplug(AtEvse { evse })),
        6 => (provided(), validation()).prop_map(|(token, validation)| Command::PresentToken { token, validation }),
        3 => evse.clone().prop_map(|evse| Command::StartTransaction(AtEvse { evse })),
        1 => evse.clone().prop_map(|evse| Command::StopTransaction(AtEvse { evse })),
        1 => evse.clone().prop_map(|evse| Command::InjectFault(AtConnector { evse, connector: None })),
        1 => evse.prop_map(|evse| Command::ClearFault(AtConnector { evse, connector: None })),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let raw = (select(ApiType::AUTH_CONSUMER.channels().collect::<Vec<_>>()), vec(any::<u8>(), 0..40));
    prop_oneof![
        12 => command().prop_map(Act::Command),
        5 => (option::of(-1..=9_i32), option::of(id_token())).prop_map(|(evse, token)| Act::Withdraw(evse, token)),
        2 => Just(Act::Get),
        2 => proptest::bool::weighted(0.95).prop_map(Act::Check),
        1 => raw.prop_map(|(channel, bytes)| Act::Raw(channel, bytes)),
        1 => (id_token(), validation()).prop_map(|(token, validation)| Act::Verdict(token.value, validation)),
    ]
}

/// An EV comes, charges with a token, and stays.
fn charge() -> impl Strategy<Value = Vec<Act>> {
    (1..=2_i32, provided(), validation()).prop_map(|(evse, token, validation)| {
        let token = ProvidedIdToken { connectors: Some(vec![evse]), ..token };
        let accepted = Validation { after_ms: 0, authorization_status: AuthorizationStatus::Accepted, ..validation };
        let present = Command::PresentToken { token, validation: accepted };
        [Command::PlugIn(AtConnector { evse, connector: None }), present, Command::StartTransaction(AtEvse { evse })]
            .map(Act::Command)
            .to_vec()
    })
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let delay = prop_oneof![3 => Just(0), 4 => 0..1500_u64, 1 => 0..8000_u64].prop_map(Duration::from_millis);
    let acts = prop_oneof![12 => act().prop_map(|act| vec![act]), 1 => charge()];
    vec((delay, acts), 1..40).prop_map(|groups| {
        let mut steps = Vec::new();
        for (mut delay, acts) in groups {
            for act in acts {
                steps.push((std::mem::take(&mut delay), act));
            }
        }
        steps
    })
}

/// What came of a sequence.
pub(crate) struct Played {
    pub(crate) log: Vec<(Duration, Effect)>,
    station: Station,
    /// Reply topics of well-formed requests.
    pub(crate) requests: Vec<String>,
}

/// Plays a sequence, firing every deadline at its time, and shows `look` each act with the state before it, the reply
/// topic that it got, and its effects.
fn play(config: &StationConfig, steps: &[Step], look: impl FnMut(&Act, &StationStatus, &str, &[Effect])) -> Played {
    play_following(config, steps, None, look)
}

/// The same with these choices where EVerest's threads race.
fn play_following(
    config: &StationConfig,
    steps: &[Step],
    chosen: Option<Chosen>,
    mut look: impl FnMut(&Act, &StationStatus, &str, &[Effect]),
) -> Played {
    let mut station = Station::new(config);
    if let Some(chosen) = chosen {
        station.follow(chosen);
    }
    let apply = |station: &mut Station, now, input| {
        let mut effects = station.apply(now, input);
        while station.awaits_request_done() {
            effects.extend(station.apply(now, Input::RequestDone));
        }
        effects
    };
    let mut log = Vec::new();
    let mut requests = Vec::new();
    let mut now = Duration::ZERO;
    log.extend(apply(&mut station, now, Input::Ready).into_iter().map(|effect| (now, effect)));
    let pass = |station: &mut Station, log: &mut Vec<_>, until: Duration| {
        while let Some(due) = station.next_deadline().filter(|due| *due <= until) {
            log.extend(apply(station, due, Input::Deadline).into_iter().map(|effect| (due, effect)));
        }
    };
    for (delay, act) in steps {
        now += *delay;
        pass(&mut station, &mut log, now);
        let topic = format!("reply/{}", requests.len());
        let envelope = |payload| Bytes::from(json!({"headers": {"replyTo": topic}, "payload": payload}).to_string());
        let input = match act.clone() {
            Act::Command(command) => Input::Command(command),
            Act::Verdict(value, validation) => Input::SetVerdict { value, validation },
            Act::Withdraw(evse_id, id_token) => {
                let payload = json!(WithdrawAuthorizationRequest { evse_id, id_token });
                Input::Received { channel: Channel::WITHDRAW_AUTHORIZATION, payload: envelope(payload) }
            }
            Act::Get => {
                Input::Received { channel: Channel::GET_TOKEN_VALIDATION_STATUS, payload: envelope(json!(null)) }
            }
            Act::Check(good) => {
                let payload = Bytes::from(good.to_string());
                Input::Received { channel: Channel::COMMUNICATION_CHECK, payload }
            }
            Act::Raw(channel, bytes) => Input::Received { channel, payload: Bytes::from(bytes) },
            Act::Deadline => Input::Deadline,
        };
        let expects_reply = matches!(act, Act::Withdraw(..)) || matches!(act, Act::Get) && has_getter(config);
        let before = station.status();
        let effects = apply(&mut station, now, input);
        look(act, &before, &topic, &effects);
        log.extend(effects.into_iter().map(|effect| (now, effect)));
        if expects_reply {
            requests.push(topic);
        }
    }
    pass(&mut station, &mut log, now + Duration::from_secs(20));
    Played { log, station, requests }
}

/// Releases before the latest have none.
fn has_getter(config: &StationConfig) -> bool {
    config.auth_consumer.latch_variable_values && !config.in_force().is_on(Deviation::NoLatchedGet)
}

pub(crate) fn played(config: &StationConfig, steps: &[Step]) -> Played {
    play(config, steps, |_, _, _, _| {})
}

/// The same where EVerest's threads come in one order or another, as the noise has it; without noise as the station does
/// by itself.
pub(crate) fn raced(config: &StationConfig, steps: &[Step], noise: &[usize]) -> Played {
    let follow = |chosen| play_following(config, steps, Some(chosen), |_, _, _, _| {});
    let mut played = played(config, steps);
    // Another way leads to other races.
    for _ in 0..if noise.is_empty() { 0 } else { 3 } {
        let noise = noise.iter().cycle();
        let chosen =
            played.station.races().iter().zip(noise).map(|(race, noise)| ((race.at, race.nth), noise % race.ways));
        played = follow(chosen.collect());
    }
    played
}

pub(crate) fn cases(cases: u32) -> ProptestConfig {
    // A find becomes a test of its own; files of seeds would rot.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn statuses_follow_the_table_of_transitions(config in config(), steps in steps()) {
        let mut monitor = Monitor::new(config.evses, config.release);
        for (at, effect) in played(&config, &steps).log {
            if let Err(broken) = monitor.see(&effect) {
                return Err(TestCaseError::fail(format!("{broken}, at {at:?}")));
            }
        }
    }

    #[test]
    fn withdraws_are_answered_as_the_table_says(config in config(), steps in steps()) {
        let mut broken = None;
        play(&config, &steps, |act, before, topic, effects| {
            if let Act::Withdraw(evse_id, id_token) = act
                && before.waiting_messages == 0
            {
                let release = config.release;
                let table = WithdrawTable { before, evse_id: *evse_id, id_token: id_token.as_ref(), release };
                broken = broken.take().or(table.check(topic, effects).err());
            }
        });
        prop_assert_eq!(broken, None);
    }

    #[test]
    fn every_request_is_answered_once_at_most_and_in_order(config in config(), steps in steps()) {
        let played = played(&config, &steps);
        let replies: Vec<_> = played
            .log
            .iter()
            .filter_map(|(_, effect)| match effect {
                Effect::Publish { to: Address::Reply(topic), .. } => Some(topic.clone()),
                _ => None,
            })
            .collect();
        // One after the other: the replies are the requests, up to the one that still waits.
        prop_assert_eq!(&replies[..], &played.requests[..replies.len()]);
        if played.station.status().tokens_in_process.is_empty() {
            prop_assert_eq!(replies.len(), played.requests.len());
        }
    }

    #[test]
    fn a_get_brings_the_last_status_or_true(config in config(), steps in steps()) {
        let mut last = Payload::EmptyLatch(Some(true));
        for (_, effect) in played(&config, &steps).log {
            match effect {
                Effect::Publish { to: Address::Channel(Channel::TOKEN_VALIDATION_STATUS), payload } => last = payload,
                Effect::Publish { to: Address::Reply(_), payload: Payload::WithdrawResult(result) } => {
                    prop_assert_ne!(result, WithdrawAuthorizationResult::Rejected);
                }
                Effect::Publish { to: Address::Reply(_), payload } => prop_assert_eq!(&payload, &last),
                _ => {}
            }
        }
    }

    #[test]
    fn heartbeats_count_from_0_at_their_interval(config in config(), steps in steps()) {
        let interval = config.auth_consumer.cfg_heartbeat_interval_ms;
        let beats: Vec<_> = played(&config, &steps)
            .log
            .into_iter()
            .filter_map(|(at, effect)| match effect {
                Effect::Publish { to: Address::Channel(Channel::HEARTBEAT), payload } => Some((at, payload)),
                _ => None,
            })
            .collect();
        prop_assert_eq!(beats.is_empty(), interval <= 0);
        for (position, (at, payload)) in (0_u64..).zip(beats) {
            prop_assert_eq!(at, Duration::from_millis(position * u64::from(interval.unsigned_abs())));
            let is_numbered = config.release > Release::V2025_10;
            prop_assert_eq!(payload, if is_numbered { Payload::Heartbeat(position) } else { Payload::Empty {} });
        }
    }

    #[test]
    fn equal_inputs_have_equal_effects_and_needless_deadlines_none(config in config(), steps in steps()) {
        let first = played(&config, &steps);
        prop_assert_eq!(&first.log, &played(&config, &steps).log);
        let with_deadlines: Vec<_> = steps
            .iter()
            .flat_map(|(delay, act)| [(*delay, act.clone()), (Duration::ZERO, Act::Deadline)])
            .collect();
        prop_assert_eq!(&first.log, &played(&config, &with_deadlines).log);
    }

    #[test]
    fn a_driver_that_is_late_changes_nothing_but_heartbeats(config in config(), steps in steps()) {
        let mut station = Station::new(&config);
        let mut log = station.apply(Duration::ZERO, Input::Ready);
        let mut now = Duration::ZERO;
        let commands: Vec<_> =
            steps.into_iter().filter(|(_, act)| matches!(act, Act::Command(_) | Act::Verdict(..))).collect();
        for (delay, act) in &commands {
            now += *delay;
            log.extend(station.apply(now, match act.clone() {
                Act::Command(command) => Input::Command(command),
                Act::Verdict(value, validation) => Input::SetVerdict { value, validation },
                _ => continue,
            }));
            prop_assert!(station.next_deadline().is_none_or(|due| due > now), "nothing due is left");
        }
        log.extend(station.apply(now + Duration::from_secs(20), Input::Deadline));
        let heartbeat = |effect: &Effect| matches!(effect, Effect::Publish { to: Address::Channel(Channel::HEARTBEAT), .. });
        log.retain(|effect| !heartbeat(effect));
        let punctual = played(&config, &commands).log.into_iter().map(|(_, effect)| effect);
        prop_assert_eq!(log, punctual.filter(|effect| !heartbeat(effect)).collect::<Vec<_>>());
    }

    #[test]
    fn no_bytes_on_any_channel_hurt(bytes in vec(any::<u8>(), 0..200), channel in select(ApiType::AUTH_CONSUMER.channels().collect::<Vec<_>>())) {
        survives(channel, bytes)?;
    }

    #[test]
    fn no_damaged_request_hurts(position in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let good = r#"{"headers":{"replyTo":"r"},"payload":{"evse_id":1.5e0,"id_token":{"value":"A\u00e9","type":"Local",
            "additional_info":[{"value":"v","type":"t"}]}}}"#;
        let mut bytes = good.as_bytes().to_vec();
        let position = position.index(bytes.len());
        bytes[position] = byte;
        bytes.truncate(if cut { position } else { bytes.len() });
        for channel in ApiType::AUTH_CONSUMER.channels() {
            survives(channel, bytes.clone())?;
        }
    }

    #[test]
    fn the_communication_check_raises_and_clears_as_its_table_says(
        timeout in -1..4_i32,
        messages in vec((0..5000_u64, prop_oneof![8 => Just("true"), 1 => Just("false"), 2 => Just("1")]), 0..20),
    ) {
        let auth_consumer = ApiConfig {
            cfg_communication_check_to_s: timeout,
            cfg_heartbeat_interval_ms: 0,
            latch_variable_values: true,
            ..ApiConfig::default()
        };
        let config = StationConfig { auth_consumer, ..StationConfig::default() };
        let steps: Vec<Step> = messages
            .iter()
            .map(|(delay, text)| {
                (Duration::from_millis(*delay), Act::Raw(Channel::COMMUNICATION_CHECK, text.as_bytes().to_vec()))
            })
            .collect();
        let seen: Vec<_> = played(&config, &steps)
            .log
            .into_iter()
            .filter_map(|(at, effect)| match effect {
                Effect::Fault { fault, raised, .. } => Some((at, raised, fault.sub_type())),
                _ => None,
            })
            .collect();
        prop_assert_eq!(seen, expected_faults(timeout, &messages));
    }

    #[test]
    fn heartbeat_commands_never_break_the_count(
        controls in vec((0..3000_u64, prop_oneof![
            Just(HeartbeatControl::Pause),
            Just(HeartbeatControl::Resume),
            (0..2000_u64).prop_map(HeartbeatControl::Every),
            any::<u64>().prop_map(HeartbeatControl::Next),
        ]), 1..20),
    ) {
        let mut next = 0_u64;
        let mut station = Station::new(&StationConfig::default());
        let mut now = Duration::ZERO;
        continue_count(station.apply(now, Input::Ready), &mut next)?;
        for (delay, control) in controls {
            now += Duration::from_millis(delay);
            continue_count(station.apply(now, Input::Deadline), &mut next)?;
            if let HeartbeatControl::Next(number) = control {
                next = number;
            }
            continue_count(station.apply(now, Input::Command(Command::Heartbeats(control))), &mut next)?;
        }
    }
}

/// Every heartbeat has the number that is next.
fn continue_count(effects: Vec<Effect>, next: &mut u64) -> Result<(), TestCaseError> {
    for effect in effects {
        if let Effect::Publish { payload: Payload::Heartbeat(number), .. } = effect {
            prop_assert_eq!(number, *next);
            *next = next.wrapping_add(1);
        }
    }
    Ok(())
}

/// After any message the station still answers, and the answer is the right one.
fn survives(channel: Channel, bytes: Vec<u8>) -> Result<(), TestCaseError> {
    let mut station = Station::new(&StationConfig::default());
    station.apply(Duration::ZERO, Input::Ready);
    station.apply(Duration::ZERO, Input::Received { channel, payload: Bytes::from(bytes) });
    let request = Bytes::from_static(br#"{"headers":{"replyTo":"well"},"payload":{"evse_id":99}}"#);
    let input = Input::Received { channel: Channel::WITHDRAW_AUTHORIZATION, payload: request };
    let payload = Payload::WithdrawResult(WithdrawAuthorizationResult::EvseNotFound);
    let expected = [Effect::Publish { to: Address::Reply("well".into()), payload }];
    prop_assert_eq!(station.apply(Duration::ZERO, input), expected);
    Ok(())
}

/// The table of the communication check, from the times of its messages: `true` counts until the first `false`, and
/// whoever was silent for the time limit has a fault until the next message.
fn expected_faults(timeout: i32, messages: &[(u64, &str)]) -> Vec<(Duration, bool, &'static str)> {
    const INITIAL: &str = "Initial communication check";
    const LOST: &str = "Bridge to implementation connection lost";
    if timeout <= 0 {
        return Vec::new();
    }
    let limit = Duration::from_secs(u64::from(timeout.unsigned_abs()));
    let mut now = Duration::ZERO;
    let timed = messages.iter().map(|(delay, text)| {
        now += Duration::from_millis(*delay);
        (now, *text)
    });
    let mut counting: Vec<_> = timed.filter(|(_, text)| *text != "1").collect();
    if let Some(end) = counting.iter().position(|(_, text)| *text == "false") {
        counting.truncate(end + 1);
    }
    let mut faults = vec![(Duration::ZERO, true, INITIAL)];
    if let Some((at, _)) = counting.first() {
        faults.push((*at, false, INITIAL));
    }
    for (position, (at, text)) in counting.iter().enumerate() {
        let next = counting.get(position + 1).map(|(at, _)| *at);
        let lost = *at + limit;
        if *text == "true" && next.is_none_or(|next| next >= lost) {
            faults.push((lost, true, LOST));
            faults.extend(next.map(|next| (next, false, LOST)));
        }
    }
    faults
}

/// The random sequences reach what they are meant to reach; otherwise the properties above would say little.
#[test]
fn random_sequences_reach_every_status_and_result() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut reached: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..800 {
        let (config, steps) = (config(), steps()).new_tree(&mut runner).unwrap().current();
        for (_, effect) in played(&config, &steps).log {
            let what = match effect {
                Effect::Publish { payload: Payload::Status(message), .. } => format!("{:?}", message.status),
                Effect::Publish { payload: Payload::WithdrawResult(result), .. } => format!("reply {result:?}"),
                Effect::Publish { payload, to } => {
                    format!("{} {}", matches!(to, Address::Reply(_)), matches!(payload, Payload::EmptyLatch(_)))
                }
                Effect::EvseCall { call: EvseCall::StopTransaction { reason, .. }, .. } => reason.name().to_owned(),
                _ => continue,
            };
            *reached.entry(what).or_default() += 1;
        }
    }
    for what in [
        "Processing",
        "Accepted",
        "Rejected",
        "TimedOut",
        "UsedToStart",
        "UsedToStop",
        "Withdrawn",
        "UsedToReauthorize",
        "reply Accepted",
        "reply AuthorizationNotFound",
        "reply EvseNotFound",
        "DeAuthorized",
        "Local",
        "true true",
    ] {
        assert!(reached.get(what).is_some_and(|times| *times >= 20), "{what}: {reached:?}");
    }
}

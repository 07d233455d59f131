//! One test for each entry of the table of deviations: what happens with it, and what without.
#![allow(clippy::unwrap_used)]

mod apis;
mod auth;
mod requests;
mod validators;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use khumbu::protocol::channel::{ApiType, Channel, EntryPoint};
use khumbu::protocol::codec;
use khumbu::protocol::control::{AtConnector, AtEvse, Command, HeartbeatControl, Validation};
use khumbu::protocol::deviations::{Deviation, Deviations, TABLE};
use khumbu::protocol::release::Release;
use khumbu::protocol::types::{
    AuthorizationStatus, AuthorizationType, CertificateHashData, HashAlgorithm, IdToken, IdTokenType, MessageContent,
    ProvidedIdToken, ValidationResult,
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
    desk.send(Channel::WITHDRAW_AUTHORIZATION, text);
}

/// A provider and a validator, quiet ones.
fn with_other_apis() -> StationConfig {
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
    at(desk, ApiType::AUTH_TOKEN_PROVIDER, Channel::PROVIDED_TOKEN, &payload.to_string());
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

/// Those that only the edge knows are tested there, where messages really pass.
#[test]
fn every_entry_has_a_test_of_its_name() {
    let tests = [
        include_str!("model_deviations/apis.rs"),
        include_str!("model_deviations/auth.rs"),
        include_str!("model_deviations/requests.rs"),
        include_str!("model_deviations/validators.rs"),
        include_str!("sim_releases.rs"),
    ]
    .concat();
    let missing: BTreeSet<_> = TABLE
        .iter()
        .map(|entry| entry.id.replace('-', "_"))
        .filter(|name| !tests.contains(&format!("fn {name}() {{")))
        .collect();
    assert_eq!(missing, BTreeSet::new());
}

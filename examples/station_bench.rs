//! Measures the simulated station in virtual time: cases of 30 random inputs, on one core. `ci/bench` starts it.
//!
//! `station_bench CASES [SEED]` prints cases a second for each release. A case is a new station of 1 to 8 EVSEs and 30
//! inputs with their effects; what is published is encoded, as a fuzzer would have to.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot be made has nothing to say")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use khumbu::protocol::channel::Channel;
use khumbu::protocol::codec;
use khumbu::protocol::control::{AtConnector, AtEvse, Command, Validation};
use khumbu::protocol::release::Release;
use khumbu::protocol::types::{AuthorizationStatus, AuthorizationType, IdToken, IdTokenType, ProvidedIdToken};
use khumbu::station::config::{AuthConfig, SelectionAlgorithm, StationConfig};
use khumbu::station::{Effect, Input, Station};
use khumbu::timespan::Seconds;

const INPUTS: usize = 30;

fn main() {
    let arguments: Vec<u64> = std::env::args().skip(1).map(|argument| argument.parse().unwrap()).collect();
    let (cases, seed) = match arguments[..] {
        [cases] => (cases, 1),
        [cases, seed] => (cases, seed),
        _ => panic!("usage: station_bench CASES [SEED]"),
    };
    for release in Release::ALL {
        let mut dice = Dice(seed);
        let (mut effects, mut bytes) = (0, 0);
        let began = Instant::now();
        for _ in 0..cases {
            let (seen, written) = play(release, &mut dice);
            effects += seen;
            bytes += written;
        }
        let took = began.elapsed().as_secs_f64();
        println!("station_cases_per_s_{} {:.0}", release.name(), cases as f64 / took);
        assert!(effects > cases as usize * INPUTS / 4, "{effects} effects in {cases} cases are no test");
        black_box(bytes);
    }
}

/// One case: how many effects it had, and how many bytes were published.
fn play(release: Release, dice: &mut Dice) -> (usize, usize) {
    let algorithms = [SelectionAlgorithm::FindFirst, SelectionAlgorithm::PlugEvents];
    let config = StationConfig {
        evses: 1 + dice.below(8) as u8,
        auth: AuthConfig {
            selection_algorithm: algorithms[dice.below(2) as usize],
            connection_timeout: Seconds(Duration::from_secs(dice.below(6))),
            ..AuthConfig::default()
        },
        release,
        ..StationConfig::default()
    };
    let mut station = Station::new(&config);
    let mut now = Duration::ZERO;
    let mut seen = publish(station.apply(now, Input::Ready));
    for _ in 0..INPUTS {
        now += Duration::from_millis(dice.below(1500));
        while let Some(due) = station.next_deadline().filter(|due| *due <= now) {
            add(&mut seen, publish(station.apply(due, Input::Deadline)));
        }
        add(&mut seen, publish(station.apply(now, input(dice, config.evses))));
    }
    seen
}

fn add(sum: &mut (usize, usize), more: (usize, usize)) {
    sum.0 += more.0;
    sum.1 += more.1;
}

fn publish(effects: Vec<Effect>) -> (usize, usize) {
    let written = |effect: &Effect| match effect {
        Effect::Publish { payload, .. } => codec::encode(payload).len(),
        _ => 0,
    };
    (effects.len(), effects.iter().map(written).sum())
}

fn input(dice: &mut Dice, evses: u8) -> Input {
    let evse = 1 + dice.below(u64::from(evses) + 1) as i32;
    let value = ["A", "B", "a", "C"][dice.below(4) as usize];
    match dice.below(10) {
        0..=2 => Input::Command(Command::PresentToken {
            token: ProvidedIdToken {
                authorization_type: AuthorizationType::RFID,
                certificate: None,
                certificate_hash_data: None,
                connectors: None,
                id_token: IdToken { additional_info: None, r#type: IdTokenType::ISO14443, value: value.to_owned() },
                parent_id_token: None,
                prevalidated: None,
                request_id: None,
            },
            validation: Validation {
                after_ms: dice.below(2000),
                authorization_status: AuthorizationStatus::Accepted,
                evse_ids: None,
                parent_id_token: None,
                tariff_messages: Vec::new(),
                others: Vec::new(),
            },
        }),
        3 => Input::Command(Command::PlugIn(AtConnector { evse, connector: None })),
        4 => Input::Command(Command::Unplug(AtEvse { evse })),
        5 => Input::Command(Command::StartTransaction(AtEvse { evse })),
        6 => received(Channel::COMMUNICATION_CHECK, "true".to_owned()),
        7 => received(Channel::GET_TOKEN_VALIDATION_STATUS, r#"{"headers":{"replyTo":"get"}}"#.to_owned()),
        _ => {
            let payload = match dice.below(3) {
                0 => "{}".to_owned(),
                1 => format!(r#"{{"evse_id":{evse}}}"#),
                _ => format!(r#"{{"id_token":{{"value":"{value}","type":"ISO14443"}}}}"#),
            };
            received(Channel::WITHDRAW_AUTHORIZATION, format!(r#"{{"headers":{{"replyTo":"r"}},"payload":{payload}}}"#))
        }
    }
}

fn received(channel: Channel, payload: String) -> Input {
    Input::Received { channel, payload: Bytes::from(payload) }
}

/// Good enough to reach everything, and the same everywhere (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

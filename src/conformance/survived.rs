//! Which faults on the wire a client survives, as its requirements say: `khumbu conform --sweep` plays them.
//!
//! Data: a fault is written in the language of scenarios, and played by whoever reads it. What a requirement does not say
//! is not here: no requirement asks a client to do right by a message whose bits were changed and that still is JSON, nor by
//! messages on one topic out of order, which MQTT rules out.

use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::side::Side;

/// Stands in a step for the name of each message that EVerest sends to a client: there is a step for each.
const EACH: &str = "$each";
/// Stands for each that is no question: EVerest asks nobody before one that was asked in vain has run out of time.
const TOLD: &str = "$told";

/// A fault that a client survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survived {
    /// The number of the requirement that says so; a client that fails under the fault breaks it.
    pub requirement: &'static str,
    /// Over which plays.
    pub over: Over,
    steps: &'static [&'static str],
}

/// Over which plays a fault is laid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Whatever a client does, it survives it.
    Every,
    /// Those that name the requirement: they have what the fault befalls.
    Naming,
}

impl Survived {
    /// The steps that make the fault for a client of an API.
    pub fn steps(&self, api: ApiType) -> Vec<String> {
        let replies = api.has_replies_of(Side::Everest).then_some("reply");
        let names = |is_meant: fn(&Channel) -> bool| {
            let channels = api.channels().filter(|channel| channel.is_from_everest()).filter(is_meant);
            channels.map(Channel::name).chain(replies).collect::<Vec<_>>()
        };
        let each = |step: &&str| match *step {
            step if step.contains(EACH) => names(|_| true).iter().map(|name| step.replace(EACH, name)).collect(),
            step if step.contains(TOLD) => {
                names(|it| !it.is_question()).iter().map(|name| step.replace(TOLD, name)).collect()
            }
            step => vec![step.to_owned()],
        };
        self.steps.iter().flat_map(each).collect()
    }
}

/// Every fault, by requirement.
pub fn all() -> &'static [Survived] {
    TABLE
}

/// The requirement that says that a client of some API survives these steps.
pub fn by(steps: &[String]) -> Option<&'static str> {
    let is_it = |row: &&Survived| ApiType::all().any(|api| row.steps(api) == steps);
    TABLE.iter().find(is_it).map(|row| row.requirement)
}

const fn every(requirement: &'static str, steps: &'static [&'static str]) -> Survived {
    Survived { requirement, over: Over::Every, steps }
}

const fn naming(requirement: &'static str, steps: &'static [&'static str]) -> Survived {
    Survived { requirement, over: Over::Naming, steps }
}

// What takes longest is first.
static TABLE: &[Survived] = &[
    naming("CN-1", &["half_open: {}"]),
    naming("HB-6", &["drop: {message: heartbeat, probability: 0.5, seed: 1}"]),
    naming("HB-7", &["drop: {message: heartbeat, next: 20}"]),
    naming("HB-7", &["delay: {message: heartbeat, by: 500ms, next: 5}"]),
    naming("HB-7", &["duplicate: {message: heartbeat, until_lifted: true}"]),
    naming("RR-14", &["drop: {message: reply, until_lifted: true}"]),
    naming("RR-14", &["delay: {message: reply, by: 2s, until_lifted: true}"]),
    naming("WD-12", &["delay: {message: reply, by: 500ms, until_lifted: true}"]),
    naming("WD-12", &["delay: {message: token_validation_status, by: 500ms, until_lifted: true}"]),
    naming("LV-6", &["duplicate: {message: reply, until_lifted: true}"]),
    naming("DI-6", &["delay: {message: reply, by: 1s, until_lifted: true}"]),
    naming("VA-3", &["delay: {message: validate_token, by: 500ms, until_lifted: true}"]),
    every("CN-1", &["broker_away: {for: 1s}"]),
    naming("CN-1", &["refuse_connect: {next: 2}", "disconnect"]),
    every("CN-2", &["corrupt: {message: $told, how: truncate}"]),
    every("CN-2", &["corrupt: {message: $told, how: encoding}"]),
    every("CN-3", &["duplicate: {message: $each, as: redelivery, next: 3}"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::requirements::{self, Binds};

    #[test]
    fn every_row_has_a_requirement_that_binds_clients() {
        for row in all() {
            let requirement = requirements::find(row.requirement).expect(row.requirement);
            assert_ne!(requirement.binds, Binds::Everest, "{}", row.requirement);
        }
    }

    #[test]
    fn a_fault_is_found_by_its_steps_in_every_api() {
        for row in all() {
            for api in ApiType::AUTH_APIS {
                assert_eq!(by(&row.steps(api)), Some(row.requirement));
            }
        }
        assert_eq!(by(&[]), None);
        assert_eq!(by(&["drop: {message: reply}".to_owned()]), None);
    }

    #[test]
    fn each_message_that_everest_sends_has_a_step() {
        let row = Survived { requirement: "CN-2", over: Over::Every, steps: &["corrupt: {message: $each}"] };
        let of = |api| row.steps(api).join("; ");
        for (api, names) in [
            (ApiType::AUTH_CONSUMER, &["heartbeat", "token_validation_status", "reply"][..]),
            (ApiType::AUTH_TOKEN_PROVIDER, &["heartbeat"]),
            (ApiType::AUTH_TOKEN_VALIDATOR, &["heartbeat", "validate_token"]),
        ] {
            for name in names {
                assert!(of(api).contains(&format!("{{message: {name}}}")), "{name}: {}", of(api));
            }
        }
        assert!(!of(ApiType::AUTH_TOKEN_VALIDATOR).contains("reply"), "a validator replies itself");
    }
}

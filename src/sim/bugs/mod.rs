//! Deliberate faults of the built-in modules, by name: `--module 'builtin:client?bug=same_reply_topic'`.
//!
//! Each breaks one requirement, and so shows whether the suite notices. A bug is a row of a table: what it does stands beside
//! its name, as a change of what passes between the module and its broker, or of the station that is simulated. The modules
//! themselves know nothing of bugs, and stay as right as they are.
//!
//! The table is pure: [`edge`] has the clock and the connection.

mod client;
pub mod edge;
mod everest;
mod everest_auth;
pub mod packet;

use std::fmt;

use crate::protocol::channel::ApiType;
use crate::protocol::side::Side;
use crate::station::config::StationConfig;
use packet::{Memory, Packet};

/// A deliberate fault.
pub struct Bug {
    /// What it is called; no other bug is.
    pub name: &'static str,
    /// The built-in module that has it.
    pub side: Side,
    /// The APIs in which it shows.
    pub apis: &'static [ApiType],
    /// The number of the requirement that it breaks.
    pub breaks: &'static str,
    /// What the module does, in one sentence without a subject.
    pub does: &'static str,
    publish: Option<Change>,
    hear: Option<Change>,
    subscribe: Option<Filter>,
    /// The QoS at which it subscribes, where that is another.
    qos: Option<u8>,
    station: Option<fn(&mut StationConfig)>,
    acknowledges: bool,
}

/// Makes of a message what passes in its place: nothing, the same, or others.
type Change = fn(&mut Memory, Packet) -> Vec<Packet>;
/// Makes of a filter the one that is subscribed to in its place, if any.
type Filter = fn(&mut Memory, String) -> Option<String>;

/// The APIs with a single client.
const CONSUMER: &[ApiType] = &[ApiType::AUTH_CONSUMER];
const PROVIDER: &[ApiType] = &[ApiType::AUTH_TOKEN_PROVIDER];
const VALIDATOR: &[ApiType] = &[ApiType::AUTH_TOKEN_VALIDATOR];
const ANY: &[ApiType] = &ApiType::AUTH_APIS;

/// Every bug, by side and subject.
pub fn all() -> impl Iterator<Item = &'static Bug> {
    client::BUGS.iter().chain(everest::BUGS).chain(everest_auth::BUGS)
}

/// Those that the built-in module of a side can have.
pub fn of(side: Side) -> impl Iterator<Item = &'static Bug> {
    all().filter(move |bug| bug.side == side)
}

impl Bug {
    const fn new(
        side: Side,
        apis: &'static [ApiType],
        name: &'static str,
        breaks: &'static str,
        does: &'static str,
    ) -> Self {
        let (publish, hear, subscribe, qos, station) = (None, None, None, None, None);
        Self { name, side, apis, breaks, does, publish, hear, subscribe, qos, station, acknowledges: true }
    }

    /// Changes what is published.
    const fn publishing(self, change: Change) -> Self {
        Self { publish: Some(change), ..self }
    }

    /// Changes what is heard.
    const fn hearing(self, change: Change) -> Self {
        Self { hear: Some(change), ..self }
    }

    /// Changes what is subscribed to.
    const fn subscribing(self, change: Filter) -> Self {
        Self { subscribe: Some(change), ..self }
    }

    /// Subscribes at another QoS: only what comes at QoS 2 comes once.
    const fn subscribing_at(self, qos: u8) -> Self {
        Self { qos: Some(qos), ..self }
    }

    /// Changes the station that is simulated.
    const fn simulating(self, change: fn(&mut StationConfig)) -> Self {
        Self { station: Some(change), ..self }
    }

    /// Has no message acknowledged.
    const fn never_acknowledging(self) -> Self {
        Self { acknowledges: false, ..self }
    }
}

impl fmt::Debug for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bug({})", self.name)
    }
}

impl PartialEq for Bug {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Bug {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::conformance::requirements::{self, Binds};

    #[test]
    fn a_name_means_one_bug_and_is_written_as_a_name() {
        let mut names = BTreeSet::new();
        for bug in all() {
            assert!(names.insert(bug.name), "{} stands twice", bug.name);
            assert!(bug.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{}", bug.name);
            assert!(
                bug.does.chars().next().is_some_and(char::is_lowercase) && !bug.does.ends_with('.'),
                "{}",
                bug.name
            );
            assert!(!bug.apis.is_empty(), "{}", bug.name);
        }
    }

    #[test]
    fn every_bug_breaks_a_requirement_of_its_side() {
        for bug in all() {
            let requirement = requirements::find(bug.breaks).expect(bug.name);
            let other = if bug.side == Side::Client { Binds::Everest } else { Binds::Client };
            assert_ne!(requirement.binds, other, "{} cannot break {}", bug.name, bug.breaks);
        }
    }

    #[test]
    fn every_bug_does_something() {
        for bug in all() {
            let changes = [bug.publish.is_some(), bug.hear.is_some(), bug.subscribe.is_some(), bug.station.is_some()];
            assert!(changes.contains(&true) || !bug.acknowledges, "{}", bug.name);
        }
    }

    const INSIDE: &str = "the fault shows inside EVerest only";
    const QUIRK: &str = "a quirk, which the specification does not ask for";
    const LIBRARY: &str =
        "the MQTT library keeps it whatever its user does; raw sockets break it in the suite's `run_mqtt`";

    /// Requirements that no bug breaks, the side that they bind, and why.
    #[rustfmt::skip]
    const NONE: &[(&str, Side, &str)] = &[
        ("MQ-3", Side::Client, LIBRARY),
        ("MQ-5", Side::Client, LIBRARY),
        ("MQ-6", Side::Client, LIBRARY),
        ("MQ-7", Side::Client, LIBRARY),
        ("CC-1", Side::Everest, INSIDE),
        ("CC-2", Side::Everest, INSIDE),
        ("CC-3", Side::Everest, INSIDE),
        ("CC-4", Side::Everest, INSIDE),
        ("RR-7", Side::Everest, QUIRK),
        ("RR-11", Side::Everest, QUIRK),
        ("WD-16", Side::Everest, QUIRK),
        ("SC-1", Side::Everest, "every message of EVerest has a requirement about its own shape, which is named instead"),
        ("MQ-3", Side::Everest, LIBRARY),
        ("MQ-4", Side::Everest, "EVerest subscribes at QoS 0, where nothing is acknowledged"),
        ("MQ-5", Side::Everest, LIBRARY),
        ("MQ-6", Side::Everest, LIBRARY),
        ("MQ-7", Side::Everest, LIBRARY),
    ];

    #[test]
    fn every_requirement_of_a_side_is_broken_or_says_why_not() {
        for (side, other) in [(Side::Client, Binds::Everest), (Side::Everest, Binds::Client)] {
            let broken: BTreeSet<_> = of(side).map(|bug| bug.breaks).collect();
            let excused: BTreeSet<_> = NONE.iter().filter(|(_, of, _)| *of == side).map(|(id, ..)| *id).collect();
            assert!(broken.is_disjoint(&excused), "{:?}", &broken & &excused);
            let binding: BTreeSet<_> =
                requirements::all().iter().filter(|it| it.binds != other).map(|it| it.id).collect();
            assert_eq!(&broken | &excused, binding, "{side:?}");
        }
    }
}

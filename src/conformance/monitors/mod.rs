//! Monitors: what is watched in every scenario, asked or not.
//!
//! [`Monitors`] is fed every record of the broker, and the message that it shows, and gives back what the module under test did wrong. Only what the
//! module sent itself can count against it. A wrong accusation is worse than a missed one: where a restart, a
//! redelivery, a lost connection or a slow machine explains what was seen, nothing is said. What is right follows from the
//! release and its deviations in force, [`Context::in_force`].
//!
//! | id | requirement | |
//! | --- | --- | --- |
//! | `monitor/not-json`, `monitor/schema-violation` | SC-1, HB-1, CC-8, TV-1, RR-1, LV-2, TP-1, VA-1, VA-4, VA-8, DI-1, DI-5 | shape of every message |
//! | `monitor/wrong-direction` | SC-2, LV-4 | who publishes where |
//! | `monitor/unknown-topic` | SC-2 | a topic that nobody reads: a fail of a client where no release has it, else a warning |
//! | `monitor/retained` | RR-16, RR-17, TP-3, VA-10 | retain flag |
//! | `monitor/qos` | RR-16 | the QoS at which EVerest of this release sends |
//! | `monitor/heartbeat-value`, `-first`, `-sequence` | HB-1, HB-3, HB-2 | heartbeat numbers |
//! | `monitor/heartbeat-spacing`, `monitor/heartbeats-stopped` | HB-4 | the usual interval, and the end of heartbeats |
//! | `monitor/heartbeat-burst` | HB-4 | heartbeats that were held back |
//! | `monitor/second-reply`, `monitor/stray-reply`, `monitor/missing-reply` | RR-1, RR-5, RR-8, RR-9, RR-15, LV-2, VA-3, VA-5, DI-1 | one reply a request, of each module to a discovery |
//! | `monitor/other-status` | LV-1, LV-2 | a latched status that was never published |
//! | `monitor/wrong-type` | DI-2, DI-3 | a module that was not asked for |
//! | `monitor/late-reply` | VA-5 | a reply that EVerest waits for no longer |
//! | `monitor/reply-without-prefix` | VA-3 | the reply topic of a token validator |
//! | `monitor/reply-topic-reused`, `-not-subscribed`, `-unusable` | RR-13, VA-2 | how requests are made |
//! | `monitor/discovery-cut-short` | DI-6 | a client that takes the first reply to a discovery for the last |
//! | `monitor/topic-not-discovered` | DI-8 | a client that makes other topics of what it has found than the replies say |
//! | `monitor/request-ignored` | RR-2 | warning: a request without reply address, in releases that ignore it |
//! | `monitor/communication-check-late` | CC-8 | cadence of communication checks |
//! | `monitor/checks-not-resumed` | CC-8 | a client that is back after a lost connection, and checks no more |
//! | `monitor/not-subscribed-again` | CN-1 | what a client does not listen to any more after a lost connection |
//! | `monitor/checks-stopped` | CC-9 | `false` as the last will ends the checks of whoever is lost; whoever sends `false` again does not mean to stop; warning: `true` after `false` has no effect |
//! | `monitor/illegal-transition` | TV-2, TV-4 | status after status |
//! | `monitor/other-token` | TV-2, TP-2 | the token of `Processing` against the one that was handed in |
//! | `monitor/misspelt` | WD-18, VA-8 | a field that EVerest does not know in place of one that it does |
//! | `monitor/handed-in-again` | TP-4 | a provider that acts by itself and hands each token in several times; warning: one token, and no other |
//! | `monitor/timed-out-early` | TV-9, TV-10 | `TimedOut` against `connection_timeout` |
//! | `monitor/connectors` | TV-6, TV-7 | EVSEs named in a status |
//! | `monitor/messages` | TV-14 | texts for a display without `Accepted`; warning: `messages` unlike the release |
//! | `monitor/broke-mqtt` | MQ-1 to MQ-7 | MQTT itself |
//! | `monitor/repeated` | | note: how often more |

mod answers;
mod api_module;
mod asking;
mod collecting;
mod discovery;
mod finding;
mod heartbeats;
mod latched;
mod links;
mod misspelt;
mod mqtt;
mod presence;
mod presentations;
mod provided;
mod resubscription;
mod shape;
mod statuses;
mod timeouts;
mod wording;

use std::time::Duration;

use super::sighting::{Party, Sighting};
use crate::auth::AuthConfig;
use crate::diagnostic::{Diagnostic, Subject};
use crate::protocol::channel::Topics;
use crate::protocol::deviations::Deviations;
use crate::protocol::side::Side;
use crate::transcript::record::{Direction, Event, Record};
use api_module::ModuleMonitors;
use links::{Change, Links};
pub use presence::NOT_RESUMED;
pub(in crate::conformance) use presentations::AT_ONCE;
pub use resubscription::{NOT_SUBSCRIBED_AGAIN, SETTLED};

/// What the monitors need to know of the scenario.
#[derive(Debug, Clone)]
pub struct Context {
    /// The topics of the API module.
    pub topics: Topics,
    /// The side of the module under test.
    pub under_test: Side,
    /// The release that is spoken, and what of it is switched.
    pub in_force: Deviations,
    /// Whether the record begins before the module started, so that its very first message is seen. Otherwise nothing
    /// is held against the module that something from before the record may explain.
    pub from_start: bool,
    /// Whether the module's packets are relayed to a broker that is not ours. A subscription is then recorded when that
    /// broker acknowledges it, which may be after a request that was sent in one go with it.
    pub relayed: bool,
    /// The communication check timeout that the client keeps to until a reply to a discovery tells it another; `None`
    /// where it is off or unknown.
    pub communication_check_timeout: Option<Duration>,
    /// The heartbeat interval that EVerest's side was told; `None` where it is off or unknown.
    pub heartbeat_interval: Option<Duration>,
    /// The configuration of Auth; `None` where it is not known.
    pub auth: Option<AuthConfig>,
    /// How long a delivered, well-formed withdraw request may stay unanswered when the scenario ends; `None` leaves
    /// absent replies to expectations, because EVerest itself may take 300 s.
    pub reply_grace: Option<Duration>,
    /// The other API modules that the module under test serves or uses.
    pub other_apis: Vec<ApiModule>,
}

/// Another API module.
#[derive(Debug, Clone)]
pub struct ApiModule {
    /// Its topics.
    pub topics: Topics,
    /// As in [`Context`].
    pub communication_check_timeout: Option<Duration>,
    /// As in [`Context`].
    pub heartbeat_interval: Option<Duration>,
}

impl Context {
    /// A context in which the module is started by this run, nothing is timed, and no reply is missed.
    pub fn new(topics: Topics, under_test: Side) -> Self {
        Self {
            topics,
            under_test,
            in_force: Deviations::default(),
            from_start: true,
            relayed: false,
            communication_check_timeout: None,
            heartbeat_interval: None,
            auth: None,
            reply_grace: None,
            other_apis: Vec::new(),
        }
    }
}

/// Watches the record of one scenario.
#[derive(Debug)]
pub struct Monitors {
    links: Links,
    /// Those of each API module, the one under test first.
    modules: Vec<ModuleMonitors>,
}

impl Monitors {
    /// Monitors for one scenario.
    pub fn new(mut context: Context) -> Self {
        let links = Links::new(context.from_start, context.relayed);
        let other_apis = std::mem::take(&mut context.other_apis);
        let other_apis =
            other_apis.into_iter().map(|ApiModule { topics, communication_check_timeout, heartbeat_interval }| {
                Context { topics, communication_check_timeout, heartbeat_interval, ..context.clone() }
            });
        let contexts: Vec<_> = std::iter::once(context.clone()).chain(other_apis).collect();
        let modules = contexts.into_iter().enumerate().map(|(number, context)| ModuleMonitors::new(number, context));
        Self { links, modules: modules.collect() }
    }

    /// Takes note of a record, in the order of the broker; `from` says whose client's it is, and `seen` what message it
    /// shows. Gives back what the module did wrong.
    pub fn observe(&mut self, record: &Record, from: Party, seen: Option<&Sighting>) -> Vec<Diagnostic> {
        let change = match (from, &record.event) {
            (Party::Module, Event::Publish { direction: Direction::FromClient, .. }) => {
                self.links.is_alive(&record.client);
                Change::None
            }
            (Party::Module, _) => self.links.observe(record),
            (Party::Harness, _) => Change::None,
        };
        let links = &self.links;
        let found = self.modules.iter_mut().flat_map(|module| module.observe(record, from, seen, (links, change)));
        found.map(|found| found.about(Subject::Requirement)).collect()
    }

    /// EVerest has been ended and started again, be it the harness or the module under test. Call it no later than the
    /// new one can connect.
    pub fn everest_restarted(&mut self) {
        self.modules.iter_mut().for_each(ModuleMonitors::everest_restarted);
    }

    /// The harness is about to cut the module under test off, or the broker goes down.
    pub fn module_cut_off(&mut self) {
        self.modules.iter_mut().for_each(ModuleMonitors::module_cut_off);
    }

    /// The harness told EVerest's side under test, by whatever way, to change its heartbeats.
    pub fn heartbeats_changed(&mut self) {
        self.modules.iter_mut().for_each(ModuleMonitors::heartbeats_changed);
    }

    /// How long the harness itself was held up, all in all: a busy machine is not the module's fault.
    pub fn held_up(&mut self, held_up: Duration) {
        self.modules.iter_mut().for_each(|module| module.held_up(held_up));
    }

    /// What has not come by this time of the record's clock has stayed out; the last record may be much older.
    pub fn silent_until(&mut self, at: Duration) {
        self.modules.iter_mut().for_each(|module| module.silent_until(at));
    }

    /// The harness told the module under test, by whatever way, to hand a token in.
    pub fn told_to_present(&mut self) {
        self.modules.iter_mut().for_each(ModuleMonitors::told_to_present);
    }

    /// A token validator sends an update of its verdict, by whatever way.
    pub fn verdict_updated(&mut self) {
        self.modules.iter_mut().for_each(ModuleMonitors::verdict_updated);
    }

    /// The harness ends the module under test: what it says of its presence from now on is its farewell.
    pub fn told_to_end(&mut self) {
        self.modules.iter_mut().for_each(ModuleMonitors::told_to_end);
    }

    /// Whether a client under test is connected again, does not listen yet to all that it listened to, and has not been connected
    /// for as long as that may take.
    pub fn may_subscribe_again(&self) -> bool {
        self.modules.iter().any(ModuleMonitors::may_subscribe_again)
    }

    /// Whether a client under test has been connected again for so long that it listens to less than before for good.
    pub fn misses_subscriptions(&self, at: Duration) -> bool {
        self.modules.iter().any(|module| module.misses_subscriptions(at))
    }

    /// The last word, before the harness ends the module; `at` is the time of the record's clock.
    pub fn finish(&mut self, at: Duration) -> Vec<Diagnostic> {
        let is_online = self.links.is_online();
        let found = self.modules.iter_mut().flat_map(|module| module.finish(at, is_online));
        found.map(|found| found.about(Subject::Requirement)).collect()
    }
}

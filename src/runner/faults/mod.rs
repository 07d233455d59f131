//! Injected faults: whom and what they befall.
//!
//! What becomes of a message is decided by `broker::faults`; here is told which messages a step means. What has to do with
//! khumbu itself, its orders to the module and its questions whether it is ready, is never befallen.

mod steps;

pub use steps::is_refused_last;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Piece;
use super::observer::is_own;
use super::settings::Scene;
use crate::broker::{Broker, Sieve};
use crate::conformance::judge::{is_of_kind, matches};
use crate::conformance::requirements::Requirement;
use crate::conformance::sighting::{Classifier, Kind, Party, Place, Sighting};
use crate::protocol::channel::ApiType;
use crate::protocol::topic;
use crate::scenario::Pointer;
use crate::scenario::model::{MessageKind, Way};
use crate::scenario::pattern::{Captures, Pattern};
use crate::scenario::step::{Injects, Step};
use crate::transcript::record::{Direction, Event, Publish, Record};

/// The messages that one rule means.
struct Target {
    rule: usize,
    way: Option<Way>,
    kind: Option<(MessageKind, ApiType)>,
    filter: Option<String>,
    payload: Option<Pattern>,
    /// What patterns had captured when the rule was laid.
    captures: Captures,
}

impl Target {
    fn is_met_by(&self, seen: &Sighting) -> bool {
        let way = if seen.from == Party::Harness { Way::ToModule } else { Way::FromModule };
        self.way.is_none_or(|wanted| wanted == way)
            && self.kind.is_none_or(|(kind, api)| is_of_kind(seen, kind, api))
            && self.filter.as_deref().is_none_or(|filter| topic::matches(filter, &seen.publish.topic))
            && self.payload.as_ref().is_none_or(|pattern| matches(pattern, seen, &mut self.captures.clone()).is_ok())
    }
}

/// Tells what rules mean. It reads each message as it is published, for the next one may already be befallen.
pub struct Targets {
    classifier: Mutex<Classifier>,
    targets: Mutex<Vec<Target>>,
}

impl Sieve for Targets {
    fn is_own(&self, client: &str) -> bool {
        is_own(client)
    }

    fn sift(&self, from: &str, publish: &Publish) -> Vec<usize> {
        let event = Event::Publish { direction: Direction::FromClient, publish: publish.clone() };
        let record = Record { seq: 0, at: Duration::ZERO, client: from.into(), event };
        let party = if is_own(from) { Party::Harness } else { Party::Module };
        let Some(seen) = locked(&self.classifier).sight(&record, party) else { return Vec::new() };
        if seen.kind == Kind::Control || matches!(seen.place, Place::Aside { .. }) {
            return Vec::new();
        }
        locked(&self.targets).iter().filter(|target| target.is_met_by(&seen)).map(|target| target.rule).collect()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A fault that is laid over a scenario from outside.
#[derive(Debug)]
pub struct Fault {
    /// Its steps as they are written.
    pub texts: Vec<String>,
    /// They themselves: faults on the wire, and `disconnect`.
    pub steps: Vec<Step>,
    /// The requirement that says that a module survives it, if one does.
    pub requirement: Option<&'static Requirement>,
}

/// The faults of a scenario.
#[derive(Default)]
pub struct Laid {
    targets: Option<Arc<Targets>>,
    /// Whether anything can fail on the wire.
    pub is_any: bool,
    /// Whether a fault is laid over the scenario.
    pub is_over: bool,
    /// Rules by number, where they stand in the scenario if they are its own, and whether each must befall something.
    rules: Vec<(usize, Option<Pointer>, bool)>,
    /// Where connects are refused, if the scenario says so itself.
    refusals: Vec<Option<Pointer>>,
}

impl Laid {
    /// Makes the broker ready for the faults of a scenario, if it has any.
    pub fn prepare(scene: &Scene<'_>, broker: &Broker, piece: &Piece) -> Self {
        let rows = scene.scenario.rows(scene.frame(), scene.station.release);
        let is_over = piece.fault.is_some();
        let is_any = rows.iter().any(|(_, row)| row.injects != Injects::Nothing) || is_over;
        // Of steps that are still to come, nobody knows.
        let targets = (is_any || piece.arriving.is_some()).then(|| {
            let (classifier, targets) = (Mutex::new(scene.classifier()), Mutex::default());
            Arc::new(Targets { classifier, targets })
        });
        broker.inject(targets.clone().map(|targets| targets as Arc<dyn Sieve>));
        Self { targets, is_any, is_over, ..Self::default() }
    }

    /// Whether a rule is the scenario's own, and not laid over it.
    pub fn is_of_scenario(&self, rule: usize) -> bool {
        self.rules.iter().any(|(number, at, _)| *number == rule && at.is_some())
    }
}

/// Ends every fault, so that the module can end, and what plays next on the broker finds it whole.
pub async fn end(broker: &Broker) {
    broker.lift_faults();
    // A port that somebody else has taken is told by whoever listens next.
    let _ = broker.come_back().await;
}

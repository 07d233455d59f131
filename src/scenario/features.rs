//! What a scenario needs of EVerest that a release may lack as a whole. Such a scenario is not applicable there.
//!
//! Behaviour that merely differs is no feature: for that a scenario has `releases` and `only`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::model::{MessageKind, Only, Repeat, Step};
use super::{Scenario, played};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::deviations::Deviation;
use crate::protocol::types::TokenValidationStatus as Status;
use crate::station::config::{SelectionAlgorithm, StationConfig};

/// Something that EVerest has or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feature {
    /// The last status can be asked for.
    LatchedGet,
    /// discover, query-modules, ready_beacon.
    EntryPoint,
    /// A token presented again need not stop its transaction.
    Reauthorization,
    /// The EVSE that was plugged in last is selected.
    PlugEventsLifo,
    /// Texts for a display in a status.
    Messages,
    /// What the validators said in a status.
    ValidationResults,
    /// A status that is published at all.
    Status(Status),
}

impl Feature {
    /// What it is called.
    fn name(self) -> String {
        match self {
            Feature::LatchedGet => "latched get of the status".to_owned(),
            Feature::EntryPoint => "entry point".to_owned(),
            Feature::Reauthorization => "stop_transaction_on_reswipe".to_owned(),
            Feature::PlugEventsLifo => "PlugEventsLIFO".to_owned(),
            Feature::Messages => "messages in a status".to_owned(),
            Feature::ValidationResults => "validation_results in a status".to_owned(),
            Feature::Status(status) => format!("status {status:?}"),
        }
    }

    /// Why a station has it not.
    fn lack(self, station: &StationConfig) -> Option<String> {
        let in_force = station.in_force();
        let deviation = match self {
            Feature::LatchedGet => Deviation::NoLatchedGet,
            Feature::EntryPoint => Deviation::NoEntryPoint,
            Feature::Reauthorization | Feature::Status(Status::UsedToReauthorize) => Deviation::NoReauthorization,
            Feature::PlugEventsLifo => Deviation::NoPlugEventsLifo,
            Feature::Messages => Deviation::NoMessages,
            Feature::ValidationResults => {
                let deviation = Deviation::ValidationResults;
                let lack = || format!("{}: {}", deviation.id(), deviation.entry().specified);
                return (!in_force.is_on(deviation)).then(lack);
            }
            Feature::Status(Status::UsedToStart) if in_force.is_on(Deviation::NoUsedToStart) => {
                Deviation::NoUsedToStart
            }
            Feature::Status(Status::UsedToStop) if in_force.is_on(Deviation::StopSaysAccepted) => {
                Deviation::StopSaysAccepted
            }
            Feature::Status(status) => {
                let is_published = in_force.release().lists(status) || in_force.is_on(Deviation::UnlistedStatuses);
                return (!is_published).then(|| "its specification does not list it".to_owned());
            }
        };
        in_force.is_on(deviation).then(|| format!("{}: {}", deviation.id(), deviation.entry().runs))
    }
}

/// What makes a scenario not applicable to a station: the first feature it needs and the station lacks, with the place
/// of the need.
pub fn lacking(scenario: &Scenario, station: &StationConfig) -> Option<Diagnostic> {
    let mut needed = Vec::new();
    if !station.auth.stop_transaction_on_reswipe {
        needed.push(("/station/auth/stop_transaction_on_reswipe".to_owned(), Feature::Reauthorization));
    }
    if station.auth.selection_algorithm == SelectionAlgorithm::PlugEventsLIFO {
        needed.push(("/station/auth/selection_algorithm".to_owned(), Feature::PlugEventsLifo));
    }
    Requests::default().search(&scenario.model.steps, "/steps", station, &mut needed);
    needed.into_iter().find_map(|(pointer, feature)| {
        let why = feature.lack(station)?;
        let headline = format!("the release has no {}", feature.name());
        let diagnostic = Diagnostic::new(Severity::Note, "release/no-feature", headline);
        Some(diagnostic.at(scenario.place(&pointer)).with_evidence(why))
    })
}

/// Whether a step looks at what EVerest does inside, which no topic of the API shows.
pub fn looks_inside(steps: &[Step]) -> bool {
    steps.iter().any(|step| match step {
        Step::ExpectEvse(_) | Step::Reserve(_) | Step::CancelReservation(_) => true,
        Step::Expect(expect) => expect.message == Some(MessageKind::ReservationUpdate),
        Step::ExpectNone(none) => none.call.is_some() || none.message == Some(MessageKind::ReservationUpdate),
        Step::Repeat(Repeat { steps, .. }) | Step::Only(Only { steps, .. }) | Step::AnyOrder(steps) => {
            looks_inside(steps)
        }
        _ => false,
    })
}

/// The features of the requests so far: nobody misses what does not answer until a reply is expected.
#[derive(Default)]
struct Requests<'s> {
    last: Option<Feature>,
    named: BTreeMap<&'s str, Option<Feature>>,
}

impl<'s> Requests<'s> {
    fn search(&mut self, steps: &'s [Step], base: &str, station: &StationConfig, needed: &mut Vec<(String, Feature)>) {
        for (at, step) in played(steps, base, station.release) {
            match step {
                Step::Repeat(repeat) => self.search(&repeat.steps, &format!("{at}/repeat/steps"), station, needed),
                Step::AnyOrder(steps) => self.search(steps, &format!("{at}/any_order"), station, needed),
                Step::Withdraw(withdraw) => {
                    self.last = None;
                    self.named.extend(withdraw.r#as.as_deref().map(|name| (name, None)));
                }
                Step::Publish(publish) => {
                    let feature = of_topic(&publish.topic);
                    // A message elsewhere does not become the last request.
                    self.last = if publish.topic.contains("{m2e}") { feature } else { self.last };
                    self.named.extend(publish.r#as.as_deref().map(|name| (name, feature)));
                }
                Step::ExpectReply(reply) => {
                    let feature = match &reply.to {
                        Some(name) => self.named.get(name.as_str()).copied().flatten(),
                        None => self.last,
                    };
                    needed.extend(feature.map(|feature| (at, feature)));
                }
                step => needed.extend(of_step(step).into_iter().map(|feature| (at.clone(), feature))),
            }
        }
    }
}

/// The features that a step needs by itself.
fn of_step(step: &Step) -> Vec<Feature> {
    match step {
        Step::GetStatus(_) => vec![Feature::LatchedGet],
        Step::Discover(_) | Step::QueryModules(_) => vec![Feature::EntryPoint],
        Step::Expect(expect) => {
            let by_kind = match expect.message {
                Some(MessageKind::GetTokenValidationStatus) => Some(Feature::LatchedGet),
                Some(MessageKind::ReadyBeacon) => Some(Feature::EntryPoint),
                _ => expect.topic.as_deref().and_then(of_topic),
            };
            let is_status = expect.message == Some(MessageKind::TokenValidationStatus);
            let payload = expect.payload.as_ref().filter(|_| is_status);
            by_kind.into_iter().chain(payload.into_iter().flat_map(of_payload)).collect()
        }
        Step::ExpectStatus(expect) => {
            let statuses = expect.status.iter().chain(expect.sequence.iter().flatten());
            let payload = expect.payload.iter().flat_map(of_payload);
            statuses.map(|status| Feature::Status(*status)).chain(payload).collect()
        }
        _ => Vec::new(),
    }
}

/// The features that the pattern of a status needs.
fn of_payload(payload: &Value) -> Vec<Feature> {
    let status = payload.get("status").and_then(|status| serde_json::from_value(status.clone()).ok());
    // An empty list is the absence of texts in another form.
    let texts = payload.get("messages").and_then(Value::as_array).filter(|texts| !texts.is_empty());
    let results = payload.get("validation_results").map(|_| Feature::ValidationResults);
    status.map(Feature::Status).into_iter().chain(texts.map(|_| Feature::Messages)).chain(results).collect()
}

fn of_topic(topic: &str) -> Option<Feature> {
    if topic.ends_with("m2e}/token_validation_status/get") || topic.ends_with("/m2e/token_validation_status/get") {
        Some(Feature::LatchedGet)
    } else if ["/discover", "/ready_beacon"].iter().any(|end| topic.ends_with(&format!("everest_api{end}")))
        || topic.contains("everest_api/query-modules/")
    {
        Some(Feature::EntryPoint)
    } else {
        None
    }
}

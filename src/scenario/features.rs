//! What a scenario needs of EVerest that a release may lack as a whole. Such a scenario is not applicable there.
//!
//! Behaviour that merely differs is no feature: for that a scenario has `releases` and `only`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::model::MessageKind;
use super::step::{Exchange, Frame, Step};
use super::{Pointer, Scenario};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::api::{self, Runs};
use crate::protocol::channel::Channel;
use crate::protocol::deviations::Deviation;
use crate::protocol::types::TokenValidationStatus as Status;
use crate::station::config::{SelectionAlgorithm, StationConfig};

/// Something that EVerest has or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feature {
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
    pub(super) fn name(self) -> String {
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
        needed.push((Pointer::from("/station/auth/stop_transaction_on_reswipe"), Feature::Reauthorization));
    }
    if station.auth.selection_algorithm == SelectionAlgorithm::PlugEventsLIFO {
        needed.push((Pointer::from("/station/auth/selection_algorithm"), Feature::PlugEventsLifo));
    }
    needed.extend(of_steps(scenario, station));
    needed.into_iter().find_map(|(pointer, feature)| {
        let why = feature.lack(station)?;
        let headline = format!("the release has no {}", feature.name());
        let diagnostic = Diagnostic::new(Severity::Note, "release/no-feature", headline);
        Some(diagnostic.at(scenario.place(&pointer)).with_evidence(why))
    })
}

/// Whether one of these steps, or of the steps within them, looks at what EVerest does inside.
pub fn looks_inside(steps: &[Step], frame: Frame) -> bool {
    steps.iter().any(|step| {
        let row = step.row(frame);
        row.looks_inside || row.inner.is_some_and(|(_, steps)| looks_inside(steps, frame))
    })
}

/// The features that the steps of a scenario need, each with its place. Nobody misses what does not answer until a reply is
/// expected.
fn of_steps(scenario: &Scenario, station: &StationConfig) -> Vec<(Pointer, Feature)> {
    let mut needed = Vec::new();
    let (mut last, mut named) = (None, BTreeMap::new());
    for (at, row) in scenario.rows(scenario.model.frame(), station.release) {
        needed.extend(row.features.into_iter().map(|feature| (at.clone(), feature)));
        match row.exchange {
            Some(Exchange::Asks { name, topic }) => {
                let feature = topic.and_then(of_topic);
                // A message elsewhere does not become the last request.
                last = if topic.is_none_or(|topic| topic.contains("{m2e}")) { feature } else { last };
                named.extend(name.map(|name| (name, feature)));
            }
            Some(Exchange::Answers { to }) => {
                let feature = to.map_or(last, |to| named.get(to).copied().flatten());
                needed.extend(feature.map(|feature| (at, feature)));
            }
            None => {}
        }
    }
    needed
}

/// The features that the expectation of a message needs.
pub(super) fn of_message(kind: Option<MessageKind>, topic: Option<&str>, payload: Option<&Value>) -> Vec<Feature> {
    let by_kind = match kind {
        Some(MessageKind::On(name)) => {
            api::channels().into_iter().find(|channel| channel.name == name).and_then(of_channel)
        }
        Some(MessageKind::ReadyBeacon) => Some(Feature::EntryPoint),
        _ => topic.and_then(of_topic),
    };
    let payload = payload.filter(|_| kind == Some(MessageKind::on(Channel::TOKEN_VALIDATION_STATUS)));
    by_kind.into_iter().chain(payload.into_iter().flat_map(of_payload)).collect()
}

/// The features that the expectation of statuses needs.
pub(super) fn of_statuses<'s>(statuses: impl Iterator<Item = &'s Status>, payload: Option<&Value>) -> Vec<Feature> {
    statuses.map(|status| Feature::Status(*status)).chain(payload.into_iter().flat_map(of_payload)).collect()
}

/// The features that the pattern of a status needs.
fn of_payload(payload: &Value) -> Vec<Feature> {
    let status = payload.get("status").and_then(|status| serde_json::from_value(status.clone()).ok());
    // An empty list is the absence of texts in another form.
    let texts = payload.get("messages").and_then(Value::as_array).filter(|texts| !texts.is_empty());
    let results = payload.get("validation_results").map(|_| Feature::ValidationResults);
    status.map(Feature::Status).into_iter().chain(texts.map(|_| Feature::Messages)).chain(results).collect()
}

/// The feature without which there is no such channel.
fn of_channel(channel: &api::Channel) -> Option<Feature> {
    match channel.when.runs {
        Runs::Unless(Deviation::NoLatchedGet) => Some(Feature::LatchedGet),
        Runs::Unless(Deviation::NoEntryPoint) => Some(Feature::EntryPoint),
        _ => None,
    }
}

fn of_topic(topic: &str) -> Option<Feature> {
    api::known().find_map(|api| {
        let mut channels = api.channels.iter().filter_map(|channel| Some((&*channel.address, of_channel(channel)?)));
        channels.find(|(address, _)| leads_to(topic, api.pathname.as_deref(), address)).map(|(_, feature)| feature)
    })
}

/// Whether a topic of a scenario, in which `{m2e}` and the like may stand, is that of an address.
fn leads_to(topic: &str, pathname: Option<&str>, address: &str) -> bool {
    match (pathname, address.split_once('{')) {
        (Some(pathname), Some((fixed, _))) => topic.contains(&format!("{pathname}/{fixed}")),
        (Some(pathname), None) => topic.ends_with(&format!("{pathname}/{address}")),
        (None, _) => topic.ends_with(&address.replacen('/', "}/", 1)) || topic.ends_with(&format!("/{address}")),
    }
}

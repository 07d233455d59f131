//! What an EVerest under test did otherwise than a scenario expects or a recording has, though an EVerest may: it is not to
//! blame then.
//!
//! The record is held against the simulated station, as `khumbu parity` does. Only where the station does the same, all of
//! it, by one of the ways that EVerest has, and something else by another, a failure is none. The order that a scenario gave
//! its own steps is known, and stays; only what an EVSE said may have reached Auth a little later.

use std::time::Duration;

use super::lookout::Lookout;
use super::settings::{ModuleSource, Scene};
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::parity::station_file::{Everest, Meaning, Start};
use crate::parity::{self, Difference, Script, Sending, StationFile};
use crate::protocol::side::Side;
use crate::recording::{Recording, Writer};
use crate::station::config::{EvseManager, StationConfig};
use crate::transcript::record::Record;

/// Makes a failure of an EVerest under test inconclusive if EVerest may do what it did.
pub async fn consider(scene: &Scene<'_>, lookout: &Lookout<'_>, found: &mut Diagnostic) {
    let is_everests = scene.scenario.model.under_test == Side::Everest;
    // The station does not know what faults befell.
    let is_whole = lookout.observer.deliveries.losses.is_empty();
    if !is_everests || !is_whole || found.severity != Severity::Fail || !found.is_otherwise {
        return;
    }
    let tolerance = parity::TOLERANCE + lookout.held_up().min(parity::TOLERANCE);
    let Some(recording) = recorded(scene, &lookout.observer.records) else { return };
    let file = station_file(scene);
    // Many ways may be tried.
    let compared = tokio::task::spawn_blocking(move || explained(&recording, &file, tolerance));
    if compared.await.unwrap_or(false) {
        *found = raced(found);
    }
}

/// Whether the station does all that was recorded, and might have done something else.
fn explained(recording: &Recording, file: &StationFile, tolerance: Duration) -> bool {
    parity::compare(recording, file, tolerance, Sending::InTurn).is_open
}

/// Whether EVerest may do what it did in a recording, and also what it has done now that the recording was played to it.
pub async fn are_both_right(scene: &Scene<'_>, records: &[Record], script: &Script, tolerance: Duration) -> bool {
    let Some(live) = recorded(scene, records) else { return false };
    let topics = &scene.topics;
    let mut file = StationFile {
        start: Start::default(),
        api_version: topics.api_version.clone(),
        external_prefix: topics.external_prefix.clone(),
        ..script.file.clone()
    };
    file.station.auth_consumer.module_id.clone_from(&topics.module_id);
    let script = script.clone();
    let compared = tokio::task::spawn_blocking(move || {
        let is_right = |recording: &Recording, file: &StationFile| {
            let report = parity::compare(recording, file, tolerance, Sending::Overlapping);
            report.differences.iter().all(Difference::is_of_heartbeats)
        };
        is_right(&script.recording, &script.file) && is_right(&live, &file)
    });
    compared.await.unwrap_or(false)
}

fn raced(found: &Diagnostic) -> Diagnostic {
    let headline = format!("{}; EVerest may do either, and a run cannot tell which it will", found.headline);
    let raced = Diagnostic { severity: Severity::Inconclusive, id: "scenario/race", headline, ..found.clone() };
    raced
        .about(Subject::Other)
        .with_evidence("everything else that it did fits: only the order in which its threads came was another".to_owned())
        .with_help("expect what both ways have in common, as in `payload: {token: {id_token: {value: $/A|B/}}}`, or let what must come first be seen first")
}

/// What passed the front door, as a recording.
fn recorded(scene: &Scene<'_>, records: &[Record]) -> Option<Recording> {
    let mut writer = Writer::new(scene.topics.clone());
    let lines: String = records.iter().filter_map(|record| writer.line(record)).collect();
    Recording::parse("the record", &lines).ok()
}

/// The station of a scene, and how its record is to be read.
fn station_file(scene: &Scene<'_>) -> StationFile {
    let bindings = scene.bindings().to_vec();
    let reports = bindings.iter().any(|binding| matches!(binding.is, Meaning::SessionEvent(_)));
    let is_running = scene.settings.module == ModuleSource::Attached;
    let everest = if is_running { Everest::Running } else { Everest::Starting };
    StationFile {
        station: StationConfig {
            evse_manager: if reports { EvseManager::External } else { scene.station.evse_manager },
            ..scene.station.clone()
        },
        names_release: true,
        bindings,
        start: Start { everest: Some(everest), communication_check: None },
        api_version: scene.topics.api_version.clone(),
        external_prefix: scene.topics.external_prefix.clone(),
    }
}

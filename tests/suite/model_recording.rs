//! The station against recordings of genuine EVerest: the same stimuli at the same times, in virtual time, and what came
//! out beside what EVerest did, as `khumbu parity` compares it. The station files say what the recordings' own
//! description says.
//!
//! The recordings are not part of the project; where they are absent the tests say so and do nothing.

use std::path::Path;

use serde_json::json;

use crate::project::{Project, fixture};

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/recordings");

/// Plays a recording; all its outcomes must be reproduced, and there must be so many.
#[track_caller]
fn reproduces(name: &str, outcomes: usize) {
    let recording = format!("{RECORDINGS}/{name}.jsonl");
    if !Path::new(&recording).is_file() {
        println!("skipped: no recording ../shared/recordings/{name}.jsonl");
        return;
    }
    let beside = format!("{RECORDINGS}/{name}.yaml");
    let station = if Path::new(&beside).is_file() { beside } else { fixture(&format!("stations/{name}.yaml")) };
    let report = Project::new().run(&["parity", &recording, "--station", &station, "--json", "-"]).exits(0).report();
    assert_eq!(report["outcomes"], outcomes, "{name}");
    assert_eq!(report["reproduced"], outcomes, "{name}");
    assert_eq!(report["differences"], json!([]), "{name}");
}

#[test]
fn everest_starts_and_is_discovered() {
    reproduces("00_startup", 22);
}

#[test]
fn everest_checks_the_communication() {
    reproduces("01_communication_check", 62);
}

#[test]
fn everest_follows_tokens() {
    reproduces("02_tokens", 201);
}

#[test]
fn everest_withdraws() {
    reproduces("03_withdraw", 184);
}

#[test]
fn an_earlier_everest_starts_and_is_not_discovered() {
    reproduces("2025.12.0/00_startup", 16);
}

#[test]
fn an_earlier_everest_checks_the_communication() {
    reproduces("2025.12.0/01_communication_check", 61);
}

#[test]
fn an_earlier_everest_withdraws() {
    reproduces("2025.12.0/03_withdraw", 169);
}

#[test]
fn three_evses_by_chance() {
    reproduces("three_evses/random_findfirst_seed1", 171);
}

#[test]
fn many_withdraw_requests_at_once() {
    reproduces("three_evses/three_evses_withdraw_storm", 207);
}

//! What reads bytes that somebody else wrote, one function a surface. Each takes any bytes, and panics where something
//! does not hold that must hold for all.
//!
//! `tests/suite/fuzz_targets.rs` runs them over the files in `fixtures/corpus` and over bytes made of these, in every run of
//! the tests; `examples/fuzz_target.rs` has libFuzzer make the bytes, guided by what they reach (`ci/fuzz`). No state outlives
//! an input, so that each finding can be found again.

mod gateway;
mod mqtt;
mod ocpp;
mod payload;
mod recording;
mod scenario;

use khumbu::diagnostic::{Diagnostic, Style};

/// A surface.
pub struct Target {
    /// Also the name of its folder in `fixtures/corpus`.
    pub name: &'static str,
    pub run: fn(&[u8]),
}

pub const ALL: [Target; 6] = [
    Target { name: "gateway", run: gateway::run },
    Target { name: "mqtt", run: mqtt::run },
    Target { name: "ocpp", run: ocpp::run },
    Target { name: "payload", run: payload::run },
    Target { name: "recording", run: recording::run },
    Target { name: "scenario", run: scenario::run },
];

/// Something is wrong, and it is said where in the text that is.
fn are_inside(diagnostics: &[Diagnostic], text: &str) {
    assert!(!diagnostics.is_empty(), "refused without a reason");
    for diagnostic in diagnostics {
        if let Some(place) = &diagnostic.place {
            assert!(text.get(place.range.clone()).is_some(), "no place in the text: {diagnostic:?}");
        }
        is_fit_to_be_seen(diagnostic);
    }
}

fn is_fit_to_be_seen(diagnostic: &Diagnostic) {
    assert!(!diagnostic.headline.is_empty(), "{diagnostic:?}");
    let shown = diagnostic.render(Style::Plain);
    assert!(shown.contains(diagnostic.id), "{shown}");
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?} drives a terminal");
}

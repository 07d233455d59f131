//! Scenario files, and files of a station alone.

use khumbu::gateway;
use khumbu::protocol::release::Release;
use khumbu::scenario::{self, Known, Pointer};

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let known = || Known { answers: Some(gateway::answer_schema), ..Known::default() };
    match scenario::parse("x.yaml", text, known()) {
        Ok(scenario) => {
            for release in Release::PROFILES {
                let steps = scenario::played(&scenario.model.steps, &Pointer::from("/steps"), release);
                for (pointer, _) in steps {
                    let place = scenario.place(&pointer.to_string());
                    assert!(text.get(place.range.clone()).is_some(), "{pointer:?} has no place: {place:?}");
                }
            }
            let again = scenario::parse("x.yaml", text, known());
            assert_eq!(Ok(format!("{:?}", scenario.model)), again.map(|again| format!("{:?}", again.model)));
        }
        Err(diagnostics) => {
            super::are_inside(&diagnostics, text);
            assert!(diagnostics.iter().all(|it| it.place.is_some() || it.id == "scenario/empty"), "{diagnostics:?}");
            assert_eq!(scenario::parse("x.yaml", text, known()).err(), Some(diagnostics));
        }
    }
    if let Err(diagnostics) = scenario::parse_station("station.yaml", text) {
        super::are_inside(&diagnostics, text);
    }
}

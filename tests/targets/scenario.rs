//! Scenario files, and files of a station alone.

use std::time::Duration;

use khumbu::gateway;
use khumbu::protocol::release::Release;
use khumbu::scenario::{self, Known, Pointer};
use khumbu::station::config::StationConfig;
use khumbu::station::configuration::{EVSE_MODULE, Surroundings, configuration};
use khumbu::station::{Input, Station};

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let known = || Known { answers: Some(gateway::answer_schema), ..Known::default() };
    match scenario::parse("x.yaml", text, known()) {
        Ok(scenario) => {
            for release in Release::PROFILES {
                let station = StationConfig { release, ..scenario.model.station.clone() };
                scenario::lacking(&scenario, &station);
                runs(&station);
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
    match scenario::format("x.yaml", text) {
        Ok(formatted) => assert_eq!(scenario::format("x.yaml", &formatted).as_ref(), Ok(&formatted)),
        Err(diagnostics) => super::are_inside(&diagnostics, text),
    }
    match scenario::parse_station("station.yaml", text) {
        Ok(station) => runs(&station),
        Err(diagnostics) => super::are_inside(&diagnostics, text),
    }
}

/// An EVerest can be configured like that, or not; a station starts, and does what comes by itself.
fn runs(config: &StationConfig) {
    let around = Surroundings {
        broker_host: "localhost".to_owned(),
        broker_port: 1883,
        external_prefix: String::new(),
        evse_module: EVSE_MODULE.to_owned(),
    };
    if let Err(why) = configuration(config, &around) {
        assert!(why.iter().all(|why| !why.is_empty()) && !why.is_empty(), "refused without a reason");
    }
    let mut station = Station::new(config);
    let mut now = Duration::from_secs(1_790_000_000);
    station.apply(now, Input::Ready);
    for _ in 0..20 {
        let Some(at) = station.next_deadline() else { return };
        assert!(at >= now, "{at:?} was before {now:?}");
        now = at;
        station.apply(now, Input::Deadline);
    }
}

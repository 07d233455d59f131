//! Fuzzing in process: the station as EVerest runs beside the one that the specification describes.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use khumbu::fuzz::{Ground, Input, Model, Shrink, strategies, without_some};
use khumbu::protocol::channel::ApiType;
use khumbu::protocol::deviations::{Behaviour, Deviation, TABLE};
use khumbu::protocol::release::Release;
use khumbu::protocol::side::Side;
use khumbu::station::config::StationConfig;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// Cases on each ground.
const CASES: usize = 100;
/// And more where times run out: what waits shows what waits behind it.
const SLOW_CASES: usize = 500;

/// What was found, by id: the inputs that show it alone.
type Found = BTreeMap<Deviation, Vec<Input>>;

/// A station of a ground that does as is specified, but for these deviations.
fn specified(ground: &Ground, but_for: impl IntoIterator<Item = Deviation>) -> Model {
    let deviations = but_for.into_iter().map(|deviation| (deviation, true)).collect();
    let behaviour = Behaviour::AsSpecified;
    let config = StationConfig { behaviour, deviations, ..ground.site.config().as_ref().clone() };
    Model::new(Side::Everest, ground.api, false, Arc::new(config))
}

/// The inputs that it takes for two stations to differ at the last of them.
fn shrunk(running: &Model, specified: &Model, inputs: Vec<Input>) -> Vec<Input> {
    let differs_at_last = |inputs: &Vec<Input>| {
        let is_possible = Arc::new(specified.clone()).through(inputs).is_some();
        is_possible
            && running.clone().first_difference(specified.clone(), inputs).map(|at| at + 1) == Some(inputs.len())
    };
    let mut shrink = Shrink::new(inputs);
    loop {
        let candidates = shrink.candidates();
        if candidates.is_empty() {
            // What holds only where something else does not goes with it.
            let Some(fewer) = without_some(shrink.least()).into_iter().find(&differs_at_last) else {
                return shrink.least().to_vec();
            };
            shrink = Shrink::new(fewer);
            continue;
        }
        shrink.failed(candidates.into_iter().enumerate().filter(|(_, inputs)| differs_at_last(inputs)).collect());
    }
}

/// Looks for the deviations of a release in which the station does not do as is specified. One that was found is left to the
/// specified station from then on: so it hides no other one.
fn found(release: Release) -> Found {
    let mut found = Found::new();
    for ground in Ground::all(Side::Everest, ApiType::AUTH_CONSUMER, release) {
        let ground = Ground { behaviour: Behaviour::AsSpecified, ..ground };
        let running = Ground { behaviour: Behaviour::AsRunning, ..ground.clone() }.model();
        let (drawn, mut runner) = (strategies::inputs(&ground, 1..20), TestRunner::deterministic());
        for _ in 0..if ground.site.is_slow() { SLOW_CASES } else { CASES } {
            let mut inputs = drawn.new_tree(&mut runner).unwrap().current();
            let right = specified(&ground, found.keys().copied());
            let Some(at) = running.clone().first_difference(right.clone(), &inputs) else { continue };
            inputs.truncate(at + 1);
            let inputs = shrunk(&running, &right, inputs);
            // What alone makes the two the same again is what they differ in.
            let explains = |deviation: &Deviation| {
                let switched = specified(&ground, found.keys().copied().chain([*deviation]));
                running.clone().first_difference(switched, &inputs).is_none()
            };
            let deviation = TABLE.iter().map(|entry| entry.deviation).find(explains);
            found.extend(deviation.map(|deviation| (deviation, inputs.clone())));
        }
    }
    found
}

#[test]
fn genuine_defects_are_found_in_the_station_as_it_runs() {
    let found: BTreeMap<_, Vec<_>> = [Release::V2026_02, Release::Main]
        .into_iter()
        .flat_map(found)
        .map(|(id, inputs)| (id.id(), inputs.iter().map(Input::step).collect()))
        .collect();
    let wanted =
        ["empty-latch-true", "exit-on-wildcard-reply-to", "sticky-withdraw", "stuck-token", "withdraw-blocks-messages"];
    let ids: BTreeSet<_> = found.keys().copied().collect();
    assert!(wanted.iter().all(|id| ids.contains(id)), "{found:#?}");
    for id in wanted {
        assert!(found[id].len() <= 5, "{id}: {:#?}", found[id]);
    }
}

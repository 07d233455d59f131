//! Whatever happens to the simulated station, the monitors have nothing against what it sends.

use khumbu::protocol::codec;
use khumbu::station::config::StationConfig;
use khumbu::station::{Address, Effect};
use proptest::prelude::*;

use super::*;
use crate::model::{cases, config, raced, steps};

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn the_simulated_station_is_never_accused_however_its_threads_race(
        config in config(),
        release in prop::sample::select(Release::PROFILES.as_slice()),
        steps in steps(),
        noise in prop::collection::vec(0..20_usize, 0..8),
    ) {
        let config = StationConfig { release, ..config };
        let (in_force, qos) = (config.in_force(), if release >= Release::Main { 2 } else { 0 });
        let interval = u64::try_from(config.auth_consumer.cfg_heartbeat_interval_ms).ok().filter(|millis| *millis > 0);
        let heartbeat_interval = interval.map(Duration::from_millis);
        let mut wire = Wire::with(Context { heartbeat_interval, in_force, ..Context::new(topics(), Side::Everest) });
        for (at, effect) in raced(&config, &steps, &noise).log {
            if let Effect::Publish { to: Address::Channel(channel), payload } = effect {
                wire.at = at;
                let publish = message(&topics().topic(channel), codec::encode(&payload), 0);
                wire.packet("module", Direction::FromClient, Publish { qos, ..publish });
            }
        }
        wire.found.extend(wire.monitors.finish(wire.at));
        // Tokens are handed in for EVSE 0 too, which the schema forbids and EVerest passes on.
        let is_expected =
            |text: &str| text.contains("`/token/connectors/") || text.contains("`monitor/schema-violation`");
        wire.found.retain(|finding| !is_expected(&finding.headline));
        prop_assert!(wire.found.is_empty(), "{:#?}", wire.found);
    }
}

/// Records of any kind, by anybody, do not bring the monitors down.
fn event() -> impl Strategy<Value = Event> {
    let topic = prop::sample::select(vec![
        format!("{BASE}/e2m/token_validation_status"),
        format!("{BASE}/e2m/heartbeat"),
        format!("{BASE}/m2e/withdraw_authorization"),
        format!("{BASE}/m2e/token_validation_status/get"),
        format!("{BASE}/m2e/communication_check"),
        format!("{BASE}/e2m/reply"),
        format!("{BASE}/"),
        "khumbu/api/do".to_owned(),
        "reply".to_owned(),
        "é".to_owned(),
    ]);
    let payload = prop::sample::select(vec![
        "true".to_owned(),
        "false".to_owned(),
        "0".to_owned(),
        "18446744073709551615".to_owned(),
        "null".to_owned(),
        "\"Accepted\"".to_owned(),
        "{".to_owned(),
        withdraw("reply").to_string(),
        withdraw(&format!("{BASE}/e2m/reply")).to_string(),
        withdraw(&format!("{BASE}/e2m/heartbeat")).to_string(),
        get("").to_string(),
        status_of("T", "Local", "Processing", &[1]).to_string(),
        status_of("T", "Local", "Accepted", &[2, 1]).to_string(),
        status_of("T", "Local", "UsedToStart", &[1]).to_string(),
        status_of("T", "Local", "Withdrawn", &[i64::MAX]).to_string(),
        r#"{"heartbeats": 1, "communication_check": 1}"#.to_owned(),
    ]);
    let direction = prop::sample::select(vec![Direction::FromClient, Direction::ToClient]);
    let flags = (0..3_u8, any::<bool>(), any::<bool>(), 0..4_u16);
    let publish = (topic.clone(), payload, direction, flags).prop_map(|(topic, payload, direction, flags)| {
        let (qos, retain, dup, pkid) = flags;
        let publish = Publish { qos, retain, dup, ..message(&topic, payload, pkid) };
        Event::Publish { direction, publish }
    });
    prop_oneof![
        12 => publish,
        1 => any::<bool>().prop_map(|present| connected(5, !present, present)),
        1 => any::<bool>().prop_map(|clean| Event::Disconnected { cause: "closed by peer".into(), clean }),
        1 => Just(Event::Disconnected { cause: "taken over".into(), clean: false }),
        1 => topic.clone().prop_map(|filter| Event::Subscribed { filter, qos: 1 }),
        1 => topic.prop_map(|filter| Event::Unsubscribed { filter }),
        1 => Just(Event::Accepted),
    ]
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn anything_may_be_recorded(
        is_client in any::<bool>(),
        events in prop::collection::vec((0..3000_u64, prop::sample::select(vec!["module", "harness"]), event()), 0..80),
    ) {
        let mut wire = if is_client { Wire::client() } else { Wire::everest() };
        for (delay, by, event) in &events {
            wire.after(*delay).event(by, event.clone());
        }
        wire.found.extend(wire.monitors.finish(wire.at));
        for finding in &wire.found {
            let is_known = finding.requirement.is_none_or(|id| khumbu::conformance::requirements::find(id).is_some());
            prop_assert!(is_known && !finding.headline.contains(BASE), "{:#?}", finding);
        }
    }

    #[test]
    fn the_harness_is_never_accused(
        is_client in any::<bool>(),
        events in prop::collection::vec((0..3000_u64, event()), 0..80),
    ) {
        let mut wire = if is_client { Wire::client() } else { Wire::everest() };
        for (delay, event) in events {
            wire.after(delay).event("harness", event);
        }
        wire.is_clean();
    }
}

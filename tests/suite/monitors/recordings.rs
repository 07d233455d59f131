//! Genuine EVerest does nothing that a monitor calls a failure.

#![allow(clippy::print_stdout)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;

const RECORDINGS: &str = "../shared/recordings";

/// Plays a recording as EVerest's side under test, judged as this release; gives back what was found, and how many
/// messages EVerest sent.
fn play(file: &str, release: Release) -> (Vec<Diagnostic>, usize) {
    let topics = Topics {
        api: ApiType::AUTH_CONSUMER,
        external_prefix: String::new(),
        api_version: "1".into(),
        module_id: "auth_api".into(),
    };
    let mut wire = Wire::with(Context { in_force: running(release), ..Context::new(topics, Side::Everest) });
    // Every recording begins without a token in process; heartbeats may have gone on from the one before.
    if !file.ends_with("00_startup.jsonl") || file.starts_with("2025.12.0") {
        wire.monitors.heartbeats_changed();
    }
    let mut sent = 0;
    for line in fs::read_to_string(Path::new(RECORDINGS).join(file)).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let topic = line["topic"].as_str().unwrap();
        let by_driver = ["/m2e/", "everest_test/", "harness/", "everest_api/discover", "everest_api/query-modules"]
            .iter()
            .any(|part| topic.contains(part));
        wire.at = Duration::from_millis(line["t_ms"].as_u64().unwrap());
        let payload = match &line["payload"] {
            Value::String(text) if line["raw"] == json!(true) => text.clone(),
            payload => payload.to_string(),
        };
        let publish = Publish {
            qos: u8::try_from(line["qos"].as_u64().unwrap()).unwrap(),
            retain: line["retain"] == json!(true),
            ..message(topic, payload, 0)
        };
        sent += usize::from(!by_driver);
        wire.packet(if by_driver { "driver" } else { "module" }, Direction::FromClient, publish);
    }
    wire.found.extend(wire.monitors.finish(wire.at));
    (wire.found, sent)
}

#[test]
fn genuine_everest_is_never_accused() {
    if !Path::new(RECORDINGS).is_dir() {
        println!("skipped: {RECORDINGS} is not there");
        return;
    }
    for (file, release) in [
        ("00_startup.jsonl", Release::Main),
        ("01_communication_check.jsonl", Release::Main),
        ("02_tokens.jsonl", Release::Main),
        ("03_withdraw.jsonl", Release::Main),
        ("2025.12.0/00_startup.jsonl", Release::V2025_12),
        ("2025.12.0/01_communication_check.jsonl", Release::V2025_12),
        ("2025.12.0/03_withdraw.jsonl", Release::V2025_12),
    ] {
        let (found, sent) = play(file, release);
        assert!(sent > 5, "{file}: {sent} messages");
        assert!(found.is_empty(), "{file}: {found:#?}");
        // Judged as another release, it fails.
        let other = if release == Release::Main { Release::V2025_12 } else { Release::Main };
        let (found, _) = play(file, other);
        assert!(found.iter().any(|finding| finding.id == "monitor/qos"), "{file}: {found:#?}");
        let mut warned = found.iter().filter(|finding| finding.severity == Severity::Warning);
        assert!(warned.all(|finding| finding.id == "monitor/messages"), "{file}: {found:#?}");
        let failed: BTreeSet<_> = found.iter().filter(|f| f.severity == Severity::Fail).map(|f| f.id).collect();
        // Main has a status for a granted token that is withdrawn, and answers what 2025.12 does not hear.
        let is_main = release == Release::Main && file == "03_withdraw.jsonl";
        assert_eq!(failed.contains("monitor/illegal-transition"), is_main, "{file}: {found:#?}");
    }
}

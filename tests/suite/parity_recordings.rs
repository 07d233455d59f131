//! Recordings written out by hand, as EVerest's behaviour reference says that EVerest of each release behaves: what
//! parity makes of them must be every outcome. No output of the station went into them.
#![allow(clippy::unwrap_used)]

mod exits;
mod histories;
mod races;
mod starts;
mod tape;

use khumbu::parity::{self, Kind, Sending, StationFile};
use khumbu::recording::Recording;
use khumbu::scenario;
use proptest::prelude::*;
use serde_json::{Value, json};

use tape::{Tape, VALIDATOR, accepted, bare};

const RELEASES: [&str; 4] = ["2025.10", "2025.12", "2026.02", "main"];

/// A token at the EVSE that is free, ended by its withdrawal.
fn plain_life(tape: &mut Tape, at: u64) {
    tape.token(at, "A").status(at + 5, "A", "Processing", None);
    tape.validated(at + 6, "A", at + 156, accepted()).status(at + 160, "A", "Accepted", None);
    tape.granted(at + 165, "A", 1, &["SessionStarted", "Authorized"]);
    tape.log(at + 410, 1, "withdraw_authorization", json!(""));
    tape.events(at + 411, 1, &["Deauthorized", "SessionFinished"]);
    if tape.release == "main" {
        tape.status(at + 420, "A", "Withdrawn", Some(&[1]));
    }
    tape.withdraw(at + 400, json!({"evse_id": 1}), at + 450, "Accepted");
}

#[test]
fn tokens_wait_for_plug_ins_and_the_withdraw_sticks() {
    for release in RELEASES {
        let mut tape = Tape::new(release, "selection_algorithm: PlugEvents");
        tape.station.push_str("start: {communication_check: false}\n");
        tape.beats(100, 40, 13);
        // Two wait; the first one gets the plug-in, at the EVSE where it comes.
        for (at, value) in [(500, "A"), (900, "B")] {
            tape.token(at, value).status(at + 5, value, "Processing", None);
            tape.validated(at + 6, value, at + 156, accepted()).status(at + 160, value, "Accepted", None);
        }
        tape.events(1500, 2, &["SessionStarted", "AuthRequired"]);
        tape.granted(1510, "A", 2, &["Authorized", "PrepareCharging", "TransactionStarted"]);
        // Withdrawn where it merely could go, without connectors; then the transaction, without status.
        tape.withdraw(3000, json!({"evse_id": 1, "id_token": {"value": "b", "type": "ISO14443"}}), 3045, "Accepted");
        tape.status(3043, "B", "Withdrawn", None);
        tape.log(4005, 2, "stop_transaction", json!({"reason": "DeAuthorized"}));
        tape.withdraw(4000, json!({}), 4045, "Accepted");
        tape.events(4010, 2, &["StoppingCharging", "ChargingFinished", "TransactionFinished"]);
        tape.events(4500, 2, &["SessionFinished"]);
        // The last request named everything, and every token falls to it, though an EV is there; not with one candidate.
        tape.events(5000, 1, &["SessionStarted", "AuthRequired"]);
        tape.token(5500, "C").status(5505, "C", "Processing", None);
        tape.validated(5506, "C", 5656, accepted()).status(5660, "C", "Accepted", None);
        tape.status(5663, "C", "Withdrawn", None);
        tape.withdraw(
            6000,
            json!({"evse_id": 1, "id_token": {"value": "Z", "type": "Local"}}),
            6044,
            "AuthorizationNotFound",
        );
        tape.token(7000, "C").status(7005, "C", "Processing", None);
        tape.validated(7006, "C", 7156, accepted()).status(7160, "C", "Accepted", None);
        tape.granted(7165, "C", 1, &["Authorized", "PrepareCharging", "TransactionStarted"]);
        // The one candidate that is left does not wait.
        tape.token(8000, "D").status(8005, "D", "Processing", None);
        tape.validated(8006, "D", 8156, accepted()).status(8160, "D", "Accepted", None);
        tape.granted(8165, "D", 2, &["SessionStarted", "Authorized"]);
        tape.is_reproduced(35);
    }
}

/// Most differences have no explanation, and to look for one does not take longer and longer.
#[test]
fn a_day_of_which_nothing_was_recorded_is_compared_once() {
    let fixture = |name: &str| std::fs::read_to_string(crate::project::fixture(name)).unwrap();
    let topic = "everest_api/1/auth_consumer/auth_api/e2m/heartbeat";
    let late = json!({"t_ms": 24 * 60 * 60 * 1000, "topic": topic, "payload": 99, "qos": 2, "retain": false});
    let text = format!("{}{late}\n", fixture("recordings/withdraw.jsonl"));
    let recording = Recording::parse("gap.jsonl", &text).unwrap();
    let station = fixture("recordings/withdraw.yaml");
    let station: StationFile = scenario::parse_around_station("station.yaml", &station).unwrap();
    let report = parity::compare(&recording, &station, parity::TOLERANCE, Sending::Overlapping);
    let is_beat = |it: &&parity::Difference| it.is_of_heartbeats() && it.kind == Kind::NotRecorded;
    let beats = report.differences.iter().filter(is_beat).count();
    assert!((86_000..86_500).contains(&beats), "{beats} of {}", report.differences.len());
}

#[test]
fn a_wait_for_a_plug_in_ends_and_lifo_takes_the_last() {
    let mut tape = Tape::new("main", "selection_algorithm: PlugEventsLIFO");
    tape.station.push_str("start: {communication_check: false}\n");
    tape.beats(100, 40, 13);
    tape.token(500, "A").status(505, "A", "Processing", None);
    tape.validated(506, "A", 656, accepted()).status(660, "A", "Accepted", None);
    tape.status(8700, "A", "TimedOut", None);
    tape.events(9000, 1, &["SessionStarted", "AuthRequired"]).events(9300, 2, &["SessionStarted", "AuthRequired"]);
    tape.token(10_000, "B").status(10_005, "B", "Processing", None);
    tape.validated(10_006, "B", 10_156, accepted()).status(10_160, "B", "Accepted", None);
    tape.granted(10_165, "B", 2, &["Authorized"]);
    tape.is_reproduced(20);
}

#[test]
fn checks_starve_behind_a_withdraw_that_waits_for_a_validator() {
    for release in RELEASES {
        let mut tape = Tape::new(release, "");
        tape.station.push_str("start: {communication_check: true}\n");
        tape.beats(100, 7, 15);
        for second in 1..15 {
            tape.request(1000 * second - 500, "communication_check", "true", "");
        }
        tape.token(1000, "A").status(1005, "A", "Processing", None);
        tape.validated(1006, "A", 10_200, accepted()).status(10_205, "A", "Accepted", None);
        tape.withdraw(1200, json!({}), 10_260, "Accepted");
        tape.withdraw(2200, json!({"evse_id": 77}), 10_300, "EvseNotFound");
        // In 2025.10, every topic has a thread of its own.
        let starve = release != "2025.10";
        if starve {
            tape.fault(5520, "Bridge to implementation connection lost", "Active");
        }
        tape.granted(10_206, "A", 1, &["SessionStarted", "Authorized"]);
        tape.log(10_250, 1, "withdraw_authorization", json!(""));
        tape.events(10_251, 1, &["Deauthorized", "SessionFinished"]);
        if release == "main" {
            tape.status(10_255, "A", "Withdrawn", Some(&[1]));
        }
        if starve {
            tape.fault(10_320, "Bridge to implementation connection lost", "ClearedByModule");
        }
        tape.is_reproduced(if starve { 25 } else { 23 });
    }
}

#[test]
fn how_the_check_stood_shows_in_the_first_fault() {
    let lost = "Bridge to implementation connection lost";
    let first = |release| {
        let mut tape = Tape::new(release, "");
        tape.beats(100, 70, 12);
        tape
    };
    for release in RELEASES {
        // The last one came 4 s before.
        first(release).fault(1010, lost, "Active").is_reproduced(13);
        // Checks went on, and then stopped.
        let mut tape = first(release);
        tape.request(500, "communication_check", "true", "").request(3000, "communication_check", "true", "");
        tape.fault(8040, lost, "Active").is_reproduced(13);
        // None had come for long.
        let mut tape = first(release);
        tape.request(1000, "communication_check", "true", "").fault(1040, lost, "ClearedByModule");
        tape.fault(6040, lost, "Active").is_reproduced(14);
        // There never was one.
        let mut tape = first(release);
        tape.request(1000, "communication_check", "true", "");
        tape.fault(1040, "Initial communication check", "ClearedByModule")
            .fault(6040, lost, "Active")
            .is_reproduced(14);
        // It had been ended.
        first(release).request(1000, "communication_check", "true", "").is_reproduced(12);
        first(release).is_reproduced(12);
    }
}

#[test]
fn requests_in_a_pipeline_find_what_the_first_one_left() {
    for release in RELEASES {
        let mut tape = Tape::new(release, "");
        tape.station.push_str("start: {communication_check: false}\n");
        tape.beats(100, 3, 5).token(500, "A").status(505, "A", "Processing", None);
        tape.validated(506, "A", 656, accepted()).status(660, "A", "Accepted", None);
        tape.granted(665, "A", 1, &["SessionStarted", "Authorized"]);
        // All are sent before the EVSE has told anybody, yet EVerest takes them one after the other.
        tape.withdraw(2000, json!({}), 2045, "Accepted");
        for at in 2001..2009 {
            tape.withdraw(at, json!({}), at + 50, "AuthorizationNotFound");
        }
        tape.log(2020, 1, "withdraw_authorization", json!(""));
        tape.events(2020, 1, &["Deauthorized"]).events(2064, 1, &["SessionFinished"]);
        if release == "main" {
            tape.status(2040, "A", "Withdrawn", Some(&[1]));
        }
        tape.is_reproduced(20);
    }
}

#[test]
fn what_an_evse_says_of_a_time_out_waits_for_it() {
    for release in RELEASES {
        let mut tape = Tape::new(release, "");
        tape.station.push_str("start: {communication_check: false}\n");
        tape.beats(100, 3, 10).token(500, "A").status(505, "A", "Processing", None);
        // EVerest had the reply 44 ms before it was recorded.
        tape.validated(506, "A", 700, accepted()).status(704, "A", "Accepted", None);
        tape.granted(705, "A", 1, &["SessionStarted", "Authorized"]);
        tape.log(8656, 1, "withdraw_authorization", json!(""));
        tape.events(8656, 1, &["Deauthorized", "SessionFinished"]).status(8690, "A", "TimedOut", Some(&[1]));
        tape.is_reproduced(16);
    }
}

#[test]
fn an_authorization_that_ends_at_once_is_withdrawn_once() {
    for (release, enabled) in [("2025.10", ""), ("main", "plug_in_timeout_enabled: true")] {
        for timeout in ["0", "-3"] {
            let mut tape = Tape::new(release, enabled);
            tape.station = tape.station.replace("connection_timeout: 8", &format!("connection_timeout: {timeout}"));
            tape.station.push_str("start: {communication_check: false}\n");
            tape.beats(100, 3, 5).token(500, "A").status(505, "A", "Processing", None);
            tape.validated(506, "A", 656, accepted()).status(660, "A", "Accepted", None);
            tape.granted(665, "A", 1, &["SessionStarted", "Authorized"]);
            tape.log(710, 1, "withdraw_authorization", json!("")).status(711, "A", "TimedOut", Some(&[1]));
            tape.events(712, 1, &["Deauthorized", "SessionFinished"]);
            tape.is_reproduced(12);
        }
    }
}

#[test]
fn a_token_presented_again() {
    for release in RELEASES {
        let mut tape = Tape::new(release, "stop_transaction_on_reswipe: false");
        tape.station.push_str("start: {communication_check: false}\n");
        tape.beats(100, 3, 5).token(500, "A").status(505, "A", "Processing", None);
        tape.validated(506, "A", 656, accepted()).status(660, "A", "Accepted", None);
        tape.granted(665, "A", 1, &["SessionStarted", "Authorized", "PrepareCharging", "TransactionStarted"]);
        tape.token(2000, "a").status(2005, "a", "Processing", None);
        if release == "main" {
            tape.status(2010, "a", "UsedToReauthorize", Some(&[1]));
            tape.token(3000, "A").status(3005, "A", "Processing", None).status(
                3010,
                "A",
                "UsedToReauthorize",
                Some(&[1]),
            );
        } else {
            tape.log(2006, 1, "stop_transaction", json!({"reason": "Local", "id_tag": bare("a")}));
            tape.events(2008, 1, &["StoppingCharging", "ChargingFinished", "TransactionFinished"]);
            tape.status(2012, "a", "UsedToStop", Some(&[1]));
        }
        tape.is_reproduced(13);
    }
}

#[test]
fn a_plug_in_of_2025_10_times_out() {
    for (release, times_out) in [("2025.10", true), ("2025.12", false)] {
        let mut tape = Tape::new(release, "");
        tape.station.push_str("start: {communication_check: false}\n");
        tape.beats(100, 3, 13).events(500, 1, &["SessionStarted", "AuthRequired"]);
        if times_out {
            tape.log(8510, 1, "withdraw_authorization", json!("")).events(8511, 1, &["Deauthorized", "PluginTimeout"]);
        }
        tape.token(9500, "A").status(9505, "A", "Processing", None);
        tape.validated(9506, "A", 9656, accepted()).status(9660, "A", "Accepted", None);
        // The one whose plug-in timed out has no transaction, and 2025.10 asks no more than that.
        tape.granted(9665, "A", 1, &["Authorized"]);
        tape.is_reproduced(18);
    }
}

#[test]
fn bad_requests_are_answered_as_everest_answers_them() {
    for release in RELEASES {
        let (oldest, is_main) = (release.starts_with("2025"), release == "main");
        let mut tape = Tape::new(release, "");
        tape.station.push_str("start: {communication_check: false}\n");
        tape.beats(100, 3, 40);
        let mut at = 500;
        let mut ask = |envelope: &str, more: &str, result: Option<&str>| {
            at += 400;
            let topic = format!("my/{at}");
            tape.request(at, "withdraw_authorization", &envelope.replace("TOPIC", &topic), more);
            if let Some(result) = result {
                tape.message(at + 44, &topic, json!(result));
            }
        };
        let deep = format!("{}{}", "[".repeat(3000), "]".repeat(3000));
        let none = Some("AuthorizationNotFound");
        let payloads = [
            ("null", none),
            ("5", none),
            (r#""text""#, none),
            ("[1]", none),
            ("{}", none),
            (r#"{"evseId": 2}"#, none),
            (r#"{"evse_id": "1"}"#, None),
            (r#"{"evse_id": null}"#, None),
            (r#"{"evse_id": []}"#, None),
            (r#"{"evse_id": 1.0}"#, none),
            (r#"{"evse_id": 1.9}"#, none),
            (r#"{"evse_id": true}"#, none),
            (r#"{"evse_id": -0.5}"#, Some("EvseNotFound")),
            (r#"{"evse_id": 4294967297}"#, none),
            (r#"{"evse_id": 2147483648}"#, Some("EvseNotFound")),
            (r#"{"evse_id": 18446744073709551617}"#, Some("EvseNotFound")),
            (r#"{"evse_id": 1e+300}"#, Some("EvseNotFound")),
            (r#"{"evse_id": Infinity}"#, None),
            (r#"{"evse_id": NaN}"#, None),
            (r#"{"evse_id": 0}"#, Some("EvseNotFound")),
            (r#"{"id_token": {"value": "A"}}"#, None),
            (r#"{"id_token": {"value": "A", "type": "iso14443"}}"#, None),
            (r#"{"id_token": {"value": "\ud800", "type": "Local"}}"#, None),
            (r#"{"id_token": {"value": "", "type": "Local"}}"#, none),
            (&deep, none),
            (r#"{"id_token": {"value": "A", "type": "Local", "additional_info": {}}}"#, none),
        ];
        for (payload, result) in payloads {
            ask(&format!(r#"{{"headers": {{"replyTo": "TOPIC"}}, "payload": {payload}}}"#), "", result);
        }
        let raw = r#", "raw": true"#;
        for (text, more, result) in [
            (r#"{"headers": {"replyTo": "TOPIC"}}"#, "", None),
            (r#"{"headers": {"replyTo": null}, "payload": {}}"#, "", None),
            (r#"{"headers": {"replyTo": 7}, "payload": {}}"#, "", None),
            (r#"{"payload": {}}"#, "", None),
            (r#"{"headers": {"replyTo": "TOPIC\u0000x"}, "payload": {}}"#, "", none.filter(|_| !is_main)),
            ("[]", "", None),
            (r#""{\"headers\": {\"replyTo\": \"TOPIC\"}, \"payload\": {}} x""#, raw, None),
            (r#""{\"headers\": {\"replyTo\": \"TOPIC\"}, \"payload\": {\"x\": \"\ufffd\"}}""#, raw, None),
            (r#""{\"headers\": {\"replyTo\": \"TOPIC\"}, \"payload\": {\"x\": \"\udcff\"}}""#, raw, None),
            (r#""\ufeff{\"headers\": {\"replyTo\": \"TOPIC\"}, \"payload\": {}}""#, raw, none),
            (r#""""#, raw, None),
        ] {
            ask(text, more, result);
        }
        // Nobody would know of these, were it not for the withdrawal of what is granted.
        let at = 17_000;
        tape.token(at, "A").status(at + 5, "A", "Processing", None);
        tape.validated(at + 6, "A", at + 156, accepted()).status(at + 160, "A", "Accepted", None);
        tape.granted(at + 165, "A", 1, &["SessionStarted", "Authorized"]);
        tape.request(at + 400, "withdraw_authorization", r#"{"payload": {"evse_id": 1}}"#, "");
        if !oldest {
            tape.log(at + 410, 1, "withdraw_authorization", json!(""));
            tape.events(at + 411, 1, &["Deauthorized", "SessionFinished"]);
        } else {
            tape.log(at + 8165, 1, "withdraw_authorization", json!(""));
            tape.events(at + 8166, 1, &["Deauthorized", "SessionFinished"]).status(
                at + 8170,
                "A",
                "TimedOut",
                Some(&[1]),
            );
        }
        if is_main {
            tape.status(at + 415, "A", "Withdrawn", Some(&[1]));
            tape.request(30_000, "token_validation_status/get", r#"{"headers": {"replyTo": 1}}"#, "");
            let get = r#"{"headers": {"replyTo": "my/get"}, "payload": [[]]}"#;
            tape.request(31_000, "token_validation_status/get", get, "");
            let token = json!({"authorization_type": "RFID", "id_token": {"type": "ISO14443", "value": "A"}, "connectors": [1]});
            tape.message(31_040, "my/get", json!({"messages": [], "status": "Withdrawn", "token": token}));
        }
        tape.is_reproduced(60);
    }
}

#[test]
fn validators_that_answer_late_badly_or_never() {
    for release in RELEASES {
        let mut tape = Tape::new(release, "");
        tape.station.push_str("start: {communication_check: false}\n");
        tape.beats(100, 3, 60).token(500, "A").status(505, "A", "Processing", None);
        // Malformed: the wait goes on; the late reply finds nobody; meanwhile B waits for its turn.
        tape.validated(506, "A", 700, json!({"authorization_status": "Sure", "tariff_messages": []}));
        tape.token(1000, "B").status(1005, "B", "Processing", None);
        tape.status(20_550, "A", "Rejected", None);
        tape.message(20_900, &format!("{VALIDATOR}/m2e/reply/1"), accepted());
        let pin_required = json!({"authorization_status": "PinRequired", "tariff_messages": []});
        tape.validated(20_552, "B", 21_000, pin_required);
        let rejected = if release == "2025.10" { 40_560 } else { 21_045 };
        tape.status(rejected, "B", "Rejected", None);
        tape.is_reproduced(66);
    }
}

#[test]
fn setters_of_2025_10_and_silence_after() {
    for (release, times_out) in [("2025.10", 4_660), ("2025.12", 9_160)] {
        let mut tape = Tape::new(release, "");
        tape.station.push_str("start: {communication_check: false}\n");
        tape.beats(100, 3, 13);
        tape.request(300, "set_connection_timeout", "3.5", "").request(400, "set_connection_timeout", r#""3""#, "");
        tape.token(1000, "A").status(1005, "A", "Processing", None);
        tape.validated(1006, "A", 1156, accepted()).status(1160, "A", "Accepted", None);
        tape.granted(1165, "A", 1, &["SessionStarted", "Authorized"]);
        let at = if times_out == 4_660 { 4_165 } else { 9_165 };
        tape.log(at, 1, "withdraw_authorization", json!("")).events(at + 1, 1, &["Deauthorized", "SessionFinished"]);
        tape.status(at + 40, "A", "TimedOut", Some(&[1]));
        tape.is_reproduced(19);
    }
}

/// As everything would be called with `1.0` in the topics, and a prefix.
fn renamed(tape: &mut Tape) {
    for (_, line) in &mut tape.lines {
        *line = line.replace("\"topic\": \"everest_api/1/", "\"topic\": \"site7/everest_api/1.0/");
        *line = line
            .replace("\"topic\": \"reply/", "\"topic\": \"site7/reply/")
            .replace("everest_api/1/", "everest_api/1.0/");
    }
    tape.station.push_str("external_prefix: site7/\n");
}

#[test]
fn prefixed_topics_of_version_1_0() {
    let mut tape = Tape::new("2025.10", "");
    plain_life(tape.start(1000, 4), 2500);
    renamed(&mut tape);
    tape.station.push_str("api_version: \"1.0\"\n");
    tape.is_reproduced(12);
}

#[test]
fn version_1_0_alone_says_how_everest_was() {
    let mut tape = Tape::new("1.0", "");
    plain_life(tape.start(1000, 12), 2500);
    // Used, and used again to stop: a token says no more of it than that it is accepted.
    tape.token(4000, "B").status(4005, "B", "Processing", None);
    tape.validated(4006, "B", 4010, accepted()).status(4015, "B", "Accepted", None);
    tape.granted(4020, "B", 1, &["SessionStarted", "Authorized", "TransactionStarted"]);
    tape.token(5000, "B").status(5005, "B", "Processing", None);
    let stop = json!({"id_tag": bare("B"), "reason": "Local"});
    tape.log(5006, 1, "stop_transaction", stop).events(5007, 1, &["TransactionFinished", "SessionFinished"]);
    tape.status(5010, "B", "Accepted", None);
    renamed(&mut tape);
    let named = tape.station.clone();
    for station in [
        named.clone() + "api_version: \"1.0\"\n",
        named.replace("release: \"1.0\"\n", "api_version: \"1.0\"\n"),
        // The other way round, too.
        named.clone(),
    ] {
        tape.station = station;
        tape.is_reproduced(26);
    }
    // No release did so, even on these topics.
    tape.station = named.replace("release: \"1.0\"\n", "release: \"2025.10\"\napi_version: \"1.0\"\n");
    assert!(!tape.report().differences.is_empty());
    for station in ["release: \"1.0\"\napi_version: \"1\"\n", "api_version: \"1\"\nrelease: \"1.0\"\n"] {
        let refused = scenario::parse_around_station::<StationFile>("station.yaml", station).unwrap_err();
        assert!(format!("{refused:?}").contains("release `1.0` has `1.0` in its topics, not `1`"), "{refused:?}");
    }
}

proptest! {
    #![proptest_config(super::model::cases(24))]

    /// Whatever is done to a recording, there is a report or a reason.
    #[test]
    fn no_recording_hurts(
        release in prop::sample::select(RELEASES.to_vec()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..7_u8, any::<u32>()), 0..12),
    ) {
        let mut tape = Tape::new(release, "selection_algorithm: PlugEvents");
        tape.start(1000, 6);
        plain_life(&mut tape, 3000);
        plain_life(tape.start(9000, 3), 9500);
        tape.lines.sort_by_key(|(at, _)| *at);
        let mut lines: Vec<String> = tape.lines.iter().map(|(_, line)| line.clone()).collect();
        for (index, kind, noise) in damage {
            if lines.is_empty() {
                break;
            }
            let at = index.index(lines.len());
            match kind {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, lines[at].clone()),
                2 => {
                    let other = noise as usize % lines.len();
                    lines.swap(at, other);
                }
                3 => lines[at] = lines[at].replacen("\"t_ms\": ", &format!("\"t_ms\": {}", noise % 1000), 1),
                4 => lines[at] = lines[at].replace("true", "false").replace("Accepted", "Blocked"),
                5 => lines[at] = lines[at].replace("\"payload\": ", &format!("\"retain\": true, \"payload\": {noise}, \"x\": ")),
                _ => {
                    let cut = lines[at].char_indices().nth(noise as usize % 80).map_or(0, |(cut, _)| cut);
                    lines[at].truncate(cut);
                }
            }
        }
        let station: StationFile = scenario::parse_around_station("station.yaml", &tape.station).unwrap();
        match Recording::parse("r", &lines.join("\n")) {
            Ok(recording) => {
                let report = parity::compare(&recording, &station, parity::TOLERANCE, Sending::Overlapping);
                prop_assert!(report.reproduced <= report.outcomes);
            }
            Err(errors) => prop_assert!(!errors.is_empty()),
        }
    }
}

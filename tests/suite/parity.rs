//! `khumbu parity` with a recording of the project's own: what was falsified is found, and nothing else.

use serde_json::{Value, json};

use crate::project::{Project, Ran, fixture};

const HEARTBEAT: &str = "everest_api/1/auth_consumer/auth_api/e2m/heartbeat";
const STATUS: &str = "everest_api/1/auth_consumer/auth_api/e2m/token_validation_status";
const QUESTION: &str = "everest_api/1/auth_token_validator/token_validator_api/e2m/validate_token";
const OUTCOMES: usize = 14;

fn recorded() -> Vec<Value> {
    let text = std::fs::read_to_string(fixture("recordings/withdraw.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Where a topic stands for the n-th time.
fn find(messages: &[Value], topic: &str, nth: usize) -> usize {
    let mut found = messages.iter().enumerate().filter(|(_, message)| message["topic"] == topic);
    found.nth(nth).unwrap().0
}

fn play(messages: &[Value]) -> Ran {
    let lines: Vec<String> = messages.iter().map(Value::to_string).collect();
    let project = Project::with(&[("r.jsonl", &lines.join("\n"))]);
    project.run(&["parity", "r.jsonl", "--station", &fixture("recordings/withdraw.yaml"), "--json", "-"])
}

/// A recording falsified like this has this one difference.
#[track_caller]
fn finds(falsify: impl Fn(&mut Vec<Value>), outcomes: usize, reproduced: usize, kind: &str, topic: &str) -> Value {
    let mut messages = recorded();
    falsify(&mut messages);
    let report = play(&messages).exits(1).report();
    let counted = (report["outcomes"].as_u64().unwrap(), report["reproduced"].as_u64().unwrap());
    assert_eq!(counted, (outcomes as u64, reproduced as u64), "{report:#}");
    let differences = report["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 1, "{report:#}");
    assert_eq!(differences[0]["kind"], kind, "{report:#}");
    let lane = differences[0]["lane"].as_str().unwrap();
    assert_eq!(lane.split_once(" of ").map_or(lane, |(lane, _)| lane), topic, "{report:#}");
    differences[0].clone()
}

#[test]
fn a_true_recording_is_reproduced() {
    let report = play(&recorded()).exits(0).report();
    assert_eq!(report["outcomes"], OUTCOMES);
    assert_eq!(report["reproduced"], OUTCOMES);
    assert_eq!(report["differences"], json!([]));
}

#[test]
fn everest_may_have_run_for_long_or_not_number_its_heartbeats() {
    let mut messages = recorded();
    for message in messages.iter_mut().filter(|message| message["topic"] == HEARTBEAT) {
        message["payload"] = json!(message["payload"].as_u64().unwrap() + 1_000_000);
    }
    assert_eq!(play(&messages).exits(0).report()["reproduced"], OUTCOMES);
    for message in messages.iter_mut().filter(|message| message["topic"] == HEARTBEAT) {
        message["payload"] = json!({});
    }
    let lines: Vec<String> = messages.iter().map(Value::to_string).collect();
    let station = std::fs::read_to_string(fixture("recordings/withdraw.yaml")).unwrap();
    let early = format!("release: \"2025.10\"\n{station}");
    let project = Project::with(&[("r.jsonl", &lines.join("\n")), ("station.yaml", &early)]);
    let report = project.run(&["parity", "r.jsonl", "--station", "station.yaml", "--json", "-"]).report();
    let of_heartbeats = report["differences"].as_array().unwrap().iter().filter(|found| found["lane"] == HEARTBEAT);
    assert_eq!(of_heartbeats.count(), 0, "{report:#}");
}

#[test]
fn a_changed_outcome_is_one_difference() {
    let difference = finds(
        |messages| {
            let at = find(messages, STATUS, 1);
            messages[at]["payload"]["status"] = json!("Rejected");
        },
        OUTCOMES,
        OUTCOMES - 1,
        "content",
        STATUS,
    );
    assert_eq!(difference["recorded"]["payload"]["status"], "Rejected");
    assert_eq!(difference["simulated"]["payload"]["status"], "Accepted");
    assert_eq!(difference["recorded"]["line"], 9);
    let number = |messages: &mut Vec<Value>| {
        let at = find(messages, HEARTBEAT, 0);
        messages[at]["payload"] = json!(99);
    };
    finds(number, OUTCOMES, OUTCOMES - 1, "content", HEARTBEAT);
}

#[test]
fn a_dropped_outcome_is_one_difference() {
    for (topic, nth) in [(STATUS, 1), (QUESTION, 0), (HEARTBEAT, 3), ("stand_in/1/log", 0)] {
        let drop = |messages: &mut Vec<Value>| drop(messages.remove(find(messages, topic, nth)));
        let difference = finds(drop, OUTCOMES - 1, OUTCOMES - 1, "not_recorded", topic);
        assert_eq!(difference["recorded"], Value::Null);
    }
}

#[test]
fn an_added_outcome_is_one_difference() {
    let add = |messages: &mut Vec<Value>| {
        let at = find(messages, STATUS, 2);
        messages.insert(at, messages[at].clone());
    };
    let difference = finds(add, OUTCOMES + 1, OUTCOMES, "not_simulated", STATUS);
    assert_eq!(difference["simulated"], Value::Null);
}

#[test]
fn a_moved_outcome_is_one_difference() {
    for (topic, nth) in [(HEARTBEAT, 0), (HEARTBEAT, 2), (STATUS, 3), ("reply/here", 0)] {
        let shift = |messages: &mut Vec<Value>| {
            let at = find(messages, topic, nth);
            messages[at]["t_ms"] = json!(messages[at]["t_ms"].as_u64().unwrap() + 400);
        };
        finds(shift, OUTCOMES, OUTCOMES - 1, "time", topic);
    }
}

#[test]
fn differences_stand_side_by_side_and_recordings_are_summed_up() {
    let mut messages = recorded();
    let at = find(&messages, "reply/here", 0);
    messages[at]["payload"] = json!("AuthorizationNotFound");
    let lines: Vec<String> = messages.iter().map(Value::to_string).collect();
    let project = Project::with(&[("false.jsonl", &lines.join("\n"))]);
    let (truth, station) = (fixture("recordings/withdraw.jsonl"), fixture("recordings/withdraw.yaml"));
    let run = project.run(&["parity", "false.jsonl", &truth, "--station", &station, "--json", "report.json"]).exits(1);
    for expected in [
        "false.jsonl:16: the content differs\n",
        "  recorded       3040 ms  \"AuthorizationNotFound\"\n  simulated      3040 ms  \"Accepted\"\n",
        "false.jsonl: 13 of 14 outcomes reproduced\n",
        "withdraw.jsonl: 14 of 14 outcomes reproduced\n27 of 28 outcomes reproduced\n",
    ] {
        assert!(run.stdout.contains(expected), "no {expected:?} in\n{}", run.stdout);
    }
    let report: Value = serde_json::from_str(&project.read("report.json")).unwrap();
    assert_eq!((&report["outcomes"], &report["reproduced"]), (&json!(28), &json!(27)));
}

#[test]
fn bad_files_are_refused() {
    let project = Project::with(&[
        ("text.jsonl", "{\"t_ms\": 1, \"topic\": \"a\", \"payload\": 1}\nnot JSON\n"),
        ("empty.jsonl", ""),
        ("typo.yaml", "evses: 1\nbindigs: []\n"),
        ("binding.yaml", "bindings:\n  - topic: a\n    is: {session_event: {}}\n"),
    ]);
    let (good, station) = (fixture("recordings/withdraw.jsonl"), fixture("recordings/withdraw.yaml"));
    let run = |recording: &str, station: &str| project.run(&["parity", recording, "--station", station]).exits(2);
    run("absent.jsonl", &station).says("file/not-found");
    run("text.jsonl", &station).says("recording/invalid").says("text.jsonl:2");
    run("empty.jsonl", &station).says("recording/empty");
    project.write("foreign.jsonl", "{\"t_ms\": 4, \"topic\": \"a\", \"payload\": null}\n");
    run("foreign.jsonl", &station).says("recording/no-outcomes");
    run(&good, "absent.yaml").says("file/not-found");
    run(&good, "typo.yaml").says("config/invalid").says("typo.yaml:2");
    run(&good, "binding.yaml").says("config/invalid").says("{evse}");
    project.run(&["parity", &good]).exits(2).says("--station");
    project.run(&["parity", "--station", &station]).exits(2).says("RECORDING");
    let to = project.run(&["parity", &good, "--station", &station, "--json", "no/such/file.json"]);
    to.exits(2).says("usage/unwritable-report");
}

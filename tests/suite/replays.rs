//! `khumbu replay`: one side of a recording, played to a live module of the other side.

use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::clients;
use crate::project::{Project, fixture, python_module, wait_for};
use crate::recordings::{Tap, messages, publish};
use crate::run_module::{attach, free_port, mosquitto};
use crate::sim::Sim;

const HEARTBEAT: &str = "everest_api/1/auth_consumer/auth_api/e2m/heartbeat";
const STATUS: &str = "everest_api/1/auth_consumer/auth_api/e2m/token_validation_status";
const WITHDRAW: &str = "everest_api/1/auth_consumer/auth_api/m2e/withdraw_authorization";
const REPLY_TO: &str =
    "everest_api/1/auth_consumer/auth_api/e2m/withdraw_authorization/0b7e4f7c-6f0c-4e5e-9b11-1f1d2a0c9e01";

/// What passes with two withdraw requests, one of them after a token was granted.
fn conversation() -> Vec<Value> {
    let token = json!({"authorization_type": "RFID", "id_token": {"type": "ISO14443", "value": "ALICE"}});
    let granted = json!({"authorization_type": "RFID", "connectors": [1], "id_token": token["id_token"]});
    let status = |token: &Value, status: &str| json!({"messages": [], "status": status, "token": token});
    let other = REPLY_TO.replace("9e01", "9e02");
    let request = |reply_to: &str, evse: i32| json!({"headers": {"replyTo": reply_to}, "payload": {"evse_id": evse}});
    let tell = |command: Value| ("khumbu/auth_api/do", command);
    let told = json!({"token": token, "validation": {"after_ms": 0, "authorization_status": "Accepted"}});
    let lines = [
        (300, (HEARTBEAT, json!(4))),
        (400, (WITHDRAW, request(&other, 1))),
        (410, (other.as_str(), json!("AuthorizationNotFound"))),
        (500, tell(json!({"plug_in": {"evse": 1}}))),
        (600, tell(json!({"present_token": told}))),
        (601, (STATUS, status(&token, "Processing"))),
        (602, (STATUS, status(&token, "Accepted"))),
        (603, (STATUS, status(&granted, "UsedToStart"))),
        (900, (WITHDRAW, request(REPLY_TO, 1))),
        (910, (STATUS, status(&granted, "Withdrawn"))),
        (911, (REPLY_TO, json!("Accepted"))),
        (1300, (HEARTBEAT, json!(5))),
        (1800, ("nobody/knows", json!(null))),
    ];
    let line =
        |(t_ms, (topic, payload)): (u64, (&str, Value))| json!({"t_ms": t_ms, "topic": topic, "payload": payload});
    lines.into_iter().map(line).collect()
}

const STATION: &str = "evses: 1\nauth: {connection_timeout: 8}\n";

fn project(messages: &[Value]) -> Project {
    let lines: Vec<String> = messages.iter().map(Value::to_string).collect();
    Project::with(&[("r.jsonl", &lines.join("\n")), ("station.yaml", STATION)])
}

/// The ids of what was found.
fn ids(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|found| found["id"].as_str().unwrap()).collect()
}

fn replay(project: &Project, arguments: &[&str]) -> crate::project::Ran {
    project.run(&[&["replay", "r.jsonl", "--station", "station.yaml", "--json", "-"], arguments].concat())
}

#[test]
fn an_everest_that_does_as_recorded_passes() {
    let project = project(&conversation());
    let report = replay(&project, &[]).exits(0).report();
    assert_eq!((&report["outcomes"], &report["reproduced"]), (&json!(8), &json!(8)), "{report:#}");
    // Without heartbeats, and in no time.
    let ran = replay(&project, &["--speed", "max"]).exits(0);
    assert_eq!(ran.report()["reproduced"], 6);
    assert!(
        ran.stderr.starts_with("r.jsonl: 13 messages, at most 0m 01s once the module is ready\n"),
        "{}",
        ran.stderr
    );
    let slow = replay(&project, &["--speed", "0.5"]).exits(0);
    assert!(slow.stderr.starts_with("r.jsonl: 13 messages, 0m 03s once the module is ready\n"), "{}", slow.stderr);
    assert_eq!(slow.report()["reproduced"], 6);
    assert!(slow.took.as_millis() > 3600, "{:?}", slow.took);
}

#[test]
fn an_everest_that_does_otherwise_fails() {
    let mut falsified = conversation();
    falsified[10]["payload"] = json!("AuthorizationNotFound");
    let report = replay(&project(&falsified), &["--speed", "max"]).exits(1).report();
    assert_eq!((&report["outcomes"], &report["reproduced"]), (&json!(6), &json!(5)));
    assert_eq!(ids(&report), ["recording/not-reproduced"]);
    let [difference] = report["differences"].as_array().unwrap().as_slice() else { panic!("{report:#}") };
    assert_eq!((&difference["kind"], &difference["lane"]), (&json!("content"), &json!(REPLY_TO)));
    assert_eq!(
        (&difference["recorded"]["payload"], &difference["simulated"]["payload"]),
        (&json!("AuthorizationNotFound"), &json!("Accepted"))
    );
    let mut late = conversation();
    for message in &mut late[9..11] {
        message["t_ms"] = json!(message["t_ms"].as_u64().unwrap() + 600);
    }
    late.swap(10, 11);
    late.swap(9, 10);
    let text = project(&late).run(&["replay", "r.jsonl", "--station", "station.yaml"]).exits(1);
    assert!(
        text.stdout.contains("the time differs") && text.stdout.ends_with("6 of 8 outcomes reproduced\n"),
        "{}",
        text.stdout
    );
}

/// The conversation with an EV that is plugged in by a message that no API knows.
fn plugged_in_by(topic: &str, payload: Value) -> Vec<Value> {
    let mut messages = conversation();
    // Of another token: EVerest holds a request that it could not follow against the next token that fits.
    messages[1]["payload"]["payload"]["id_token"] = json!({"type": "ISO14443", "value": "BOB"});
    messages[3]["topic"] = json!(topic);
    messages[3]["payload"] = payload;
    messages
}

/// As [`STATION`], where a token waits until an EV is plugged in.
const WAITING: &str =
    "evses: 2\nauth: {connection_timeout: 8, selection_algorithm: PlugEvents}\nstart: {communication_check: false}\n";

#[test]
fn what_follows_a_stimulus_that_finds_nobody_is_not_judged() {
    // Nobody says what the topic means.
    let waiting = |messages: &[Value], more: &str| {
        let project = project(messages);
        project.write("station.yaml", &format!("{WAITING}{more}"));
        project
    };
    let unbound = plugged_in_by("stand_in/1/cmd", json!("plug_in"));
    let ran = replay(&waiting(&unbound, ""), &["--speed", "max"]).exits(3);
    assert!(ran.stderr.contains("2 messages could not be delivered"), "{}", ran.stderr);
    let report = ran.report();
    assert_eq!(ids(&report), ["recording/not-delivered"], "{report:#}");
    assert_eq!(report["undelivered"][0], json!({"line": 4, "t_ms": 500, "topic": "stand_in/1/cmd"}));
    // What was before it is judged.
    let mut falsified = unbound;
    falsified[2]["payload"] = json!("Accepted");
    let report = replay(&waiting(&falsified, ""), &["--speed", "max"]).exits(1).report();
    assert_eq!(ids(&report), ["recording/not-reproduced", "recording/not-delivered"], "{report:#}");
    // An EVSE's own report moves khumbu's own EVerest, and no other.
    let Some(right) = python_module("everest.py") else { return };
    let bindings = "evse_manager: external\nbindings:\n  - topic: log/{evse}\n    is: {session_event: {}}\n";
    let reported = waiting(&plugged_in_by("log/1", json!("SessionStarted")), bindings);
    replay(&reported, &["--speed", "max"]).exits(0);
    let report = replay(&reported, &["--speed", "max", "--module", &right]).exits(3).report();
    assert_eq!(ids(&report), ["recording/not-delivered"], "{report:#}");
    // One that hears what moves its EVSEs needs no reports, and is judged.
    let mut moved = plugged_in_by("log/1", json!("SessionStarted"));
    moved.insert(3, json!({"t_ms": 499, "topic": "stand_in/1/cmd", "payload": "plug_in"}));
    for (verdict, (code, found)) in [("Accepted", (0, &[][..])), ("Rejected", (1, &["recording/not-reproduced"][..]))] {
        let last = moved.len() - 3;
        moved[last]["payload"] = json!(verdict);
        let project = waiting(&moved, bindings);
        project.write("moved.py", MOVED);
        let module = right.replace(&fixture("modules/everest.py"), "moved.py");
        let report = replay(&project, &["--speed", "max", "--module", &module]).exits(code).report();
        assert_eq!(ids(&report), found, "{report:#}");
    }
}

/// An EVerest whose EVs are plugged in on a topic of its own.
const MOVED: &str = "
import everest
class Moved(everest.Everest):
    def topics(self):
        return [*super().topics(), ('stand_in/+/cmd', 1)]
    def on_message(self, topic, payload):
        if topic.startswith('stand_in/'):
            self.on_command('plug_in', {'evse': int(topic.split('/')[1])})
        else:
            super().on_message(topic, payload)
everest.Everest = Moved
everest.main()
";

#[test]
fn an_everest_of_somebody_else_is_told_and_compared() {
    let (Some(right), Some(wrong)) = (python_module("everest.py"), python_module("misbehaving.py")) else { return };
    let project = project(&conversation());
    let report = replay(&project, &["--module", &right]).exits(0).report();
    assert_eq!((&report["outcomes"], &report["reproduced"]), (&json!(8), &json!(8)), "{report:#}");
    let twice = format!("{wrong} --side everest --behaviour reply-twice");
    let report = replay(&project, &["--module", &twice, "--speed", "max"]).exits(1).report();
    assert_eq!(ids(&report)[0], "monitor/second-reply", "{report:#}");
    assert_eq!(report["reproduced"], 6);
    let crash = format!("{wrong} --side everest --behaviour crash-when-connected");
    let report = replay(&project, &["--module", &crash]).report();
    assert_ne!(report["verdict"], "pass");
    project.assert_nothing_left();
}

#[test]
fn a_module_that_runs_already_is_played_to() {
    for (side, module, made) in [("everest", "everest.py", "reproduced"), ("client", "consumer.py", "made")] {
        let Some(command) = python_module(module) else { return };
        let project = project(&conversation());
        let (program, script) = command.split_once(' ').unwrap();
        let port = free_port().to_string();
        let arguments = [script, "--host", "127.0.0.1", "--port", &port, "--module-id", "auth_api"];
        let _module = attach(&project, program, &arguments);
        let listen = format!("127.0.0.1:{port}");
        // It is still there afterwards.
        for _ in 0..2 {
            let flags = ["--attach", "--listen", &listen, "--ready-within", "30s", "--speed", "max", "--side", side];
            let report = replay(&project, &flags).exits(0).report();
            assert_eq!(report[made], if side == "client" { 2 } else { 6 }, "{report:#}");
        }
    }
}

#[test]
fn a_recording_is_played_over_another_broker() {
    let project = project(&conversation());
    let Some((_broker, port)) = mosquitto(&project) else { return };
    let url = format!("mqtt://127.0.0.1:{port}");
    for (side, made) in [("everest", "reproduced"), ("client", "made")] {
        let report = replay(&project, &["--broker", &url, "--speed", "max", "--side", side]).exits(0).report();
        assert_eq!(report[made], if side == "client" { 2 } else { 6 }, "{report:#}");
    }
}

#[test]
fn a_recording_is_played_under_other_names() {
    let project = project(&conversation());
    let names = ["--module-id", "mine", "--api-version", "1.0", "--external-prefix", "here/", "--record", "live.jsonl"];
    let report = replay(&project, &[&names[..], &["--speed", "max"]].concat()).exits(0).report();
    assert_eq!(report["reproduced"], 6);
    let live = messages(&project.read("live.jsonl"));
    let of_api = |it: &&Value| it["topic"].as_str().unwrap().contains("everest_api/1");
    for message in live.iter().filter(of_api) {
        let topic = message["topic"].as_str().unwrap();
        assert!(topic.starts_with("here/everest_api/1.0/auth_consumer/mine/"), "{topic}");
    }
    let text = project.read("live.jsonl");
    assert!(!text.contains("9b11-1f1d2a0c9e01") && text.matches("\"replyTo\"").count() == 2, "fresh UUIDs: {text}");
    // A token may have a UUID for its value, and is told of under the same name.
    let token = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    let text = project.read("r.jsonl").replace("ALICE", token);
    project.write("r.jsonl", &text);
    assert_eq!(replay(&project, &["--speed", "max"]).exits(0).report()["reproduced"], 6);
    // Nobody has to say what the recording says itself.
    let report = project.run(&["replay", "r.jsonl", "--speed", "max", "--json", "-"]).exits(0).report();
    assert_eq!(report["reproduced"], 6);
}

#[test]
fn a_recording_in_which_everest_does_nothing_judges_nobody() {
    let check =
        json!({"t_ms": 0, "topic": "everest_api/1/auth_consumer/auth_api/m2e/communication_check", "payload": true});
    let project = project(&[check]);
    replay(&project, &["--speed", "max"]).exits(3).says("recording/nothing-judged");
}

#[test]
fn a_client_is_told_to_ask_and_answered_as_recorded() {
    let project = project(&conversation());
    let report = replay(&project, &["--side", "client", "--record", "live.jsonl"]).exits(0).report();
    assert_eq!((&report["requests"], &report["made"]), (&json!(2), &json!(2)), "{report:#}");
    assert_eq!((&report["missing"], &report["others"]), (&json!([]), &json!([])));
    let live = messages(&project.read("live.jsonl"));
    let of = |topic: &str| live.iter().filter(|it| it["topic"] == topic).map(|it| &it["payload"]).collect::<Vec<_>>();
    assert_eq!(of(HEARTBEAT), [&json!(4), &json!(5)]);
    assert_eq!(of(STATUS).len(), 4);
    // To the topics that the client asked for.
    let replies: Vec<_> = of(WITHDRAW).iter().map(|it| of(it["headers"]["replyTo"].as_str().unwrap())).collect();
    assert_eq!(replies, [[&json!("AuthorizationNotFound")], [&json!("Accepted")]]);
    let Some(module) = python_module("consumer.py") else { return };
    for speed in ["1", "max"] {
        let arguments = ["--side", "client", "--module", &module, "--speed", speed];
        let report = replay(&project, &arguments).exits(0).report();
        assert_eq!((&report["made"], ids(&report).len()), (&json!(2), 0), "{speed}: {report:#}");
    }
}

#[test]
fn a_client_that_asks_otherwise_is_told_of() {
    let Some(wrong) = python_module("misbehaving.py") else { return };
    let project = project(&conversation());
    let play = |behaviour: &str| {
        let module = format!("{wrong} --side client --behaviour {behaviour}");
        replay(&project, &["--side", "client", "--speed", "max", "--module", &module])
    };
    let report = play("never-withdraws").exits(1).report();
    assert_eq!(ids(&report), ["recording/request-not-made"; 2], "{report:#}");
    assert_eq!((&report["missing"][0]["line"], &report["missing"][0]["told"]), (&json!(2), &json!(true)));
    let report = play("withdraw-wrong-evse").exits(1).report();
    assert_eq!(report["others"][0]["content"], json!({"evse_id": 2}), "{report:#}");
    assert!(ids(&report).contains(&"recording/other-request"), "{report:#}");
    // What it cannot be told is no fault of it.
    let mut odd = conversation();
    odd[1]["payload"]["payload"] = json!({"evse_id": "one"});
    let project = self::project(&odd);
    let report = replay(&project, &["--side", "client", "--speed", "max"]).exits(0).report();
    assert_eq!((&report["verdict"], &report["made"]), (&json!("pass"), &json!(1)));
    assert_eq!((ids(&report), &report["missing"][0]["told"]), (vec!["recording/request-not-made"], &json!(false)));
}

#[test]
fn a_replay_can_be_interrupted_and_says_what_is_wrong_with_its_files() {
    let project = project(&conversation());
    let module = "sh -c 'echo started; sleep 600'";
    let ran = replay(&project, &["--module", module, "--ready-within", "300ms"]).exits(3);
    assert_eq!(ids(&ran.report()), ["module/never-connected"]);
    let running = project.start(&["replay", "r.jsonl", "--speed", "0.01", "--record", "live.jsonl"]);
    wait_for("its beginning", || {
        project
            .path("live.jsonl")
            .exists()
            .then(|| project.read("live.jsonl").contains("heartbeat").then_some(()))
            .flatten()
    });
    running.signal(Signal::SIGINT);
    running.finish().exits(3).says("interrupted");
    project.assert_nothing_left();
    project.run(&["replay", "absent.jsonl"]).exits(2).says("file/not-found");
    project.run(&["replay", "station.yaml"]).exits(2).says("recording/invalid");
    project.run(&["replay", "r.jsonl", "--speed", "0"]).exits(2).says("max");
    project
        .run(&["replay", "r.jsonl", "--side", "client", "--module", "builtin:everest"])
        .exits(2)
        .says("usage/wrong-side");
    project.run(&["replay", "r.jsonl", "--record", "station.yaml/x"]).exits(2).says("usage/unwritable-recording");
}

#[test]
fn a_simulation_lets_be_done_and_seen_what_bindings_say() {
    let Some(tool) = clients::mosquitto("mosquitto_pub") else { return };
    let project = Project::new();
    let sim = Sim::start(&project, &["--station", &fixture("recordings/withdraw.yaml")]);
    let url = sim.out();
    let port: u16 = url.rsplit_once(':').unwrap().1.parse().unwrap();
    let tap = Tap::start(&project, &["--broker", &url, "--filter", "stand_in/#", "--filter", "everest/#", "r.jsonl"]);
    let base = "everest_api/1";
    publish(&tool, port, &["-t", "stand_in/1/cmd", "-m", "plug_in", "-q", "1"]);
    let token =
        json!({"authorization_type": "RFID", "prevalidated": true, "id_token": {"type": "ISO14443", "value": "A"}});
    let topic = format!("{base}/auth_token_provider/token_provider_api/m2e/provided_token");
    publish(&tool, port, &["-t", &topic, "-m", &token.to_string(), "-q", "1"]);
    wait_for("the call", || project.read("r.jsonl").contains("authorize_response").then_some(()));
    let topic = format!("{base}/auth_consumer/auth_api/m2e/communication_check");
    publish(&tool, port, &["-t", &topic, "-m", "true", "-q", "1"]);
    wait_for("the fault", || project.read("r.jsonl").contains("CommunicationFault").then_some(()));
    assert_eq!(tap.end(Some(Signal::SIGTERM)).0, Some(0));
}

/// Genuine EVerest's recordings, against the built-in EVerest.
#[track_caller]
fn reproduces(name: &str, speed: &str, outcomes: usize) {
    let recording = format!("{}/../shared/recordings/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    if !Path::new(&recording).is_file() {
        println!("skipped: no recording ../shared/recordings/{name}.jsonl");
        return;
    }
    let station = fixture(&format!("stations/{name}.yaml"));
    let arguments = ["replay", &recording, "--station", &station, "--speed", speed, "--json", "-"];
    let report = Project::new().run(&arguments).exits(0).report();
    assert_eq!((&report["outcomes"], &report["reproduced"]), (&json!(outcomes), &json!(outcomes)), "{report:#}");
}

#[test]
fn genuine_everest_starts_and_so_does_ours() {
    reproduces("00_startup", "1", 22);
}

#[test]
fn what_clients_withdrew_from_genuine_everest_they_withdraw_from_ours() {
    reproduces("03_withdraw", "max", 148);
}

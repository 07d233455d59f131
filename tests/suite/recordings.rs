//! Recordings that khumbu writes: of scenarios, and of a broker that others use; and that `khumbu parity` reads them.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::project::{FAIL, PASS, Project, REPLY, fixture, wait_for};
use crate::sim::Sim;
use crate::{clients, printed};

/// EVerest starts a second time; a client publishes where only EVerest does; heartbeats go on from a number that nobody
/// sent; or only the forecast is played; or a message is lost, broken or doubled on the way, which a recording does not tell.
const NOT_TO_BE_HAD: [&str; 7] =
    ["restart_everest", "wrong_get", "heartbeats: {next", "releases: [next]", "drop: {", "corrupt: {", "duplicate: {"];

fn is_not_to_be_had(scenario: &Path) -> bool {
    let text = std::fs::read_to_string(scenario).unwrap();
    NOT_TO_BE_HAD.iter().any(|word| text.contains(word))
}

pub fn messages(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The station of a scenario as a station file.
fn station_of(scenario: &str) -> String {
    let mut lines = scenario.lines().skip_while(|line| !line.starts_with("station:"));
    lines.next();
    let own = lines.take_while(|line| line.starts_with("  ")).map(|line| format!("{}\n", &line[2..]));
    let release = khumbu::scenario::parse("s", scenario, khumbu::scenario::Known::default()).unwrap().release();
    own.collect::<String>() + &format!("release: \"{release}\"\nstart: {{everest: starting}}\n")
}

#[test]
fn a_recorded_scenario_is_reproduced_by_parity() {
    let project = Project::new();
    let entries = std::fs::read_dir(fixture("../scenarios/everest")).unwrap().map(|entry| entry.unwrap().path());
    let scenarios: Vec<_> = entries.filter(|path| !is_not_to_be_had(path)).collect();
    assert!(scenarios.len() > 60, "{scenarios:?}");
    for scenario in &scenarios {
        std::fs::copy(scenario, project.path(&scenario.file_name().unwrap().to_string_lossy())).unwrap();
    }
    project.play(&[".", "--module", "builtin", "--record", "out/"]).exits(0);
    for scenario in &scenarios {
        let text = std::fs::read_to_string(scenario).unwrap();
        project.write("station.yaml", &station_of(&text));
        let recording = format!("out/{}.jsonl", scenario.file_stem().unwrap().to_string_lossy());
        // It was played in real time, beside all the other tests.
        let arguments = ["parity", &recording, "--station", "station.yaml", "--tolerance", "2s", "--json", "-"];
        let report = project.run(&arguments).exits(0).report();
        assert!(report["outcomes"].as_u64().unwrap() >= 1, "{recording}: {report:#}");
        assert_eq!(report["outcomes"], report["reproduced"], "{recording}");
    }
}

#[test]
fn a_recording_has_what_clients_published_and_also_of_a_scenario_that_fails() {
    let project = Project::with(&[("pass.yaml", PASS), ("fail.yaml", FAIL), ("reply.yaml", REPLY)]);
    project.run(&["run", "fail.yaml", "--record", "fail.jsonl"]).exits(1);
    let checks = messages(&project.read("fail.jsonl"));
    let check = checks.iter().find(|message| message["topic"].as_str().unwrap().ends_with("communication_check"));
    assert_eq!(check.unwrap()["payload"], true);
    assert!(checks.iter().any(|message| message["topic"].as_str().unwrap().ends_with("e2m/heartbeat")));
    project.run(&["run", "reply.yaml", "--record", "reply.jsonl"]).exits(0);
    let request = messages(&project.read("reply.jsonl"));
    let of = |end: &str| request.iter().filter(|it| it["topic"].as_str().unwrap().ends_with(end)).count();
    assert_eq!((of("m2e/withdraw_authorization"), of("/mark")), (1, 0), "each message once");
    let reply_to = request.iter().find_map(|it| it["payload"]["headers"]["replyTo"].as_str()).unwrap();
    let reply = request.iter().find(|it| it["topic"] == reply_to).unwrap();
    assert_eq!((&reply["payload"], &reply["qos"]), (&json!("AuthorizationNotFound"), &json!(2)));
    let times: Vec<_> = request.iter().map(|it| it["t_ms"].as_u64().unwrap()).collect();
    assert!(times.is_sorted() && times[0] < 5000, "{times:?}");
}

#[test]
fn several_scenarios_want_a_directory() {
    let project = Project::with(&[("s/a.yaml", PASS), ("s/b.yaml", PASS), ("s/b.yml", PASS)]);
    project.run(&["run", "s/a.yaml", "s/b.yaml", "--record", "r.jsonl"]).exits(2).says("usage/one-recording");
    assert!(!project.path("r.jsonl").exists());
    project.run(&["run", "s/b.yaml", "s/b.yml", "--record", "r/"]).exits(2).says("usage/one-recording");
    project.run(&["run", "s/a.yaml", "s/b.yaml", "--record", "r/"]).exits(0);
    for name in ["r/s/a.jsonl", "r/s/b.jsonl"] {
        assert!(!messages(&project.read(name)).is_empty(), "{name}");
    }
    // Played under each release, each has a recording of its own.
    project.run(&["run", "s/a.yaml", "--release", "all", "--record", "r.jsonl"]).exits(2).says("usage/one-recording");
    project.run(&["run", "s/a.yaml", "--release", "all", "--record", "all/"]).exits(0);
    for release in ["2025.10", "2025.12", "2026.02", "main"] {
        assert!(!messages(&project.read(&format!("all/{release}/s/a.jsonl"))).is_empty(), "{release}");
    }
    // A directory that is there needs no slash.
    project.run(&["run", "s/a.yaml", "--record", "s"]).exits(0);
    assert!(!messages(&project.read("s/s/a.jsonl")).is_empty());
    project.run(&["run", "s/a.yaml", "--record", "s/a.yaml/x"]).exits(2).says("usage/unwritable-recording");
}

/// `khumbu record` while it listens.
pub struct Tap {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Tap {
    pub fn start(project: &Project, arguments: &[&str]) -> Self {
        let mut child = project.command(&[&["record"], arguments].concat()).spawn().unwrap();
        let mut tap = Self { stderr: BufReader::new(child.stderr.take().unwrap()), child };
        let ready = tap.line();
        assert!(ready.starts_with("recording `"), "{ready}");
        tap
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line
    }

    /// Waits for its end; the exit code and what it said last.
    #[track_caller]
    pub fn end(mut self, signal: Option<Signal>) -> (Option<i32>, String) {
        if let Some(signal) = signal {
            kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
        }
        let status = wait_for("its end", || self.child.try_wait().unwrap());
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.stderr, &mut rest).unwrap();
        printed::keep(&rest);
        (status.code(), rest)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Publishes with mosquitto's tool, to the end.
pub fn publish(tool: &Path, port: u16, arguments: &[&str]) {
    let run = Command::new(tool).args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", "5"]).args(arguments).output();
    let run = run.unwrap();
    assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
}

/// A mosquitto server of the test's own.
struct Mosquitto {
    child: Child,
    port: u16,
}

impl Mosquitto {
    fn start(server: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(server);
        let child =
            command.args(["-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mosquitto = Self { child, port };
        wait_for("mosquitto", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        mosquitto
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_tap_on_a_broker_of_others_hears_everything_as_it_was_published() {
    let (Some(server), Some(tool)) = (clients::mosquitto("mosquitto"), clients::mosquitto("mosquitto_pub")) else {
        return;
    };
    let broker = Mosquitto::start(&server);
    let url = format!("mqtt://localhost:{}", broker.port);
    let project = Project::new();
    std::fs::write(project.path("bytes"), b"\xff\x00").unwrap();
    let bytes = project.path("bytes").display().to_string();
    publish(&tool, broker.port, &["-t", "kept", "-m", "before", "-r", "-q", "1"]);
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let tap = Tap::start(&project, &["--broker", &url, "r.jsonl"]);
        for qos in ["0", "1", "2"] {
            publish(&tool, broker.port, &["-t", "json", "-m", "{\"q\": [1.5, null]}", "-q", qos]);
        }
        publish(&tool, broker.port, &["-t", "text", "-m", "plug_in", "-r", "-q", "1"]);
        publish(&tool, broker.port, &["-t", "bytes", "-f", &bytes, "-q", "1"]);
        publish(&tool, broker.port, &["-t", "text", "-n", "-r", "-q", "1"]);
        let lines: String = (0..3000).map(|n| format!("{n}\n")).collect();
        std::fs::write(project.path("lines"), lines).unwrap();
        let many = std::fs::File::open(project.path("lines")).unwrap();
        let port = broker.port.to_string();
        let run = ["-h", "127.0.0.1", "-p", &port, "-t", "many", "-l", "-q", "1"];
        assert!(Command::new(&tool).args(run).stdin(many).status().unwrap().success());
        // Everything was acknowledged to its publishers before; so it is in the recording.
        let (code, said) = tap.end(Some(signal));
        assert_eq!(code, Some(0), "{said}");
        assert!(said.ends_with("3007 messages recorded in `r.jsonl`\n"), "{said}");
        let recorded = messages(&project.read("r.jsonl"));
        let seen: Vec<_> = recorded
            .iter()
            .map(|it| (it["topic"].as_str().unwrap(), it["qos"].as_u64().unwrap(), it["retain"] == true))
            .collect();
        assert_eq!(seen[0], ("kept", 1, true), "what was kept comes first");
        assert_eq!(seen[1..4], [("json", 0, false), ("json", 1, false), ("json", 2, false)]);
        assert_eq!(seen[4..7], [("text", 1, true), ("bytes", 1, false), ("text", 1, true)]);
        assert_eq!(recorded[1]["payload"], json!({"q": [1.5, null]}));
        assert_eq!((&recorded[4]["payload"], &recorded[4]["raw"]), (&json!("plug_in"), &json!(true)));
        assert_eq!(recorded[5]["hex"], "ff00");
        assert_eq!(recorded[6]["payload"], "");
        let numbers: Vec<_> = recorded[7..].iter().map(|it| it["payload"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..3000).collect::<Vec<_>>());
    }
    let tap =
        Tap::start(&project, &["--broker", &url, "--filter", "a/#", "--filter", "b/+", "--for", "20s", "f.jsonl"]);
    for topic in ["a/b/c", "b/c", "b/c/d", "c"] {
        publish(&tool, broker.port, &["-t", topic, "-m", "1", "-q", "1"]);
    }
    assert_eq!(tap.end(Some(Signal::SIGTERM)).0, Some(0));
    let topics: Vec<_> = messages(&project.read("f.jsonl")).iter().map(|it| it["topic"].clone()).collect();
    assert_eq!(topics, ["a/b/c", "b/c"]);
}

#[test]
fn a_tap_ends_by_itself_and_says_what_is_wrong() {
    let project = Project::new();
    let sim = Sim::start(&project, &[]);
    let url = sim.out();
    let tap = Tap::start(&project, &["--broker", &url, "--for", "1200ms", "-"]);
    let (code, said) = tap.end(None);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(" recorded in standard output"), "{said}");
    project.run(&["record", "--broker", &url, "no/such/r.jsonl"]).exits(2).says("usage/unwritable-recording");
    project.run(&["record", "--broker", &url, "/dev/full"]).exits(3).says("run/recording-lost");
    project.write("pass.yaml", PASS);
    project.run(&["run", "pass.yaml", "--record", "/dev/full"]).exits(3).says("run/recording-lost");
    let twice = ["record", "--broker", &url, "--filter", "a/#", "--filter", "+/b", "r.jsonl"];
    project.run(&twice).exits(2).says("usage/overlapping-filters");
    project.run(&["record", "--broker", &url, "--filter", "a#", "r.jsonl"]).exits(2);
    let tap = Tap::start(&project, &["--broker", &url, "r.jsonl"]);
    wait_for("a heartbeat", || project.read("r.jsonl").contains("heartbeat").then_some(()));
    assert_eq!(sim.end(Signal::SIGTERM), Some(0));
    let (code, said) = tap.end(None);
    assert_eq!(code, Some(3));
    assert!(said.contains("broker/lost") && said.contains("recorded in `r.jsonl`"), "{said}");
    assert!(!messages(&project.read("r.jsonl")).is_empty());
    project.run(&["record", "--broker", &url, "r.jsonl"]).exits(3).says("harness/no-broker").says(&url);
    assert!(project.read("r.jsonl").contains("heartbeat"), "an old recording stays where a new one cannot begin");
}

#[test]
fn what_was_tapped_from_a_simulation_is_reproduced_by_parity() {
    let Some(tool) = clients::mosquitto("mosquitto_pub") else { return };
    let project =
        Project::with(&[("station.yaml", "evses: 2\nauth: {connection_timeout: 8}\nauth_token_validator: {}\n")]);
    let sim = Sim::start(&project, &["--station", "station.yaml"]);
    let url = sim.out();
    let port: u16 = url.rsplit_once(':').unwrap().1.parse().unwrap();
    let tap = Tap::start(&project, &["--broker", &url, "r.jsonl"]);
    let base = "everest_api/1/auth_consumer/auth_api";
    let reply_to = format!("{base}/e2m/withdraw_authorization/1");
    let say =
        |topic: &str, payload: &Value| publish(&tool, port, &["-t", topic, "-m", &payload.to_string(), "-q", "1"]);
    let recorded = || messages(&project.read("r.jsonl"));
    let has = |what: &str| wait_for(what, || project.read("r.jsonl").contains(what).then_some(()));
    has("heartbeat");
    say("khumbu/auth_api/do", &json!({"plug_in": {"evse": 1}}));
    let token = json!({"authorization_type": "RFID", "id_token": {"value": "ALICE", "type": "ISO14443"}});
    say(
        "khumbu/auth_api/do",
        &json!({"present_token": {"token": token, "validation": {"authorization_status": "Accepted"}}}),
    );
    // A validator that nobody here wrote.
    let question = wait_for("the question", || {
        recorded().iter().find_map(|it| it["payload"]["headers"]["replyTo"].as_str().map(str::to_owned))
    });
    say(&question, &json!({"authorization_status": "Accepted", "tariff_messages": []}));
    has("UsedToStart");
    say(
        &format!("{base}/m2e/withdraw_authorization"),
        &json!({"headers": {"replyTo": reply_to}, "payload": {"evse_id": 1}}),
    );
    has("Withdrawn");
    wait_for("the reply", || recorded().iter().any(|it| it["topic"] == reply_to.as_str()).then_some(()));
    say("everest_api/discover", &json!({"headers": {"replyTo": "who/is/there"}}));
    wait_for("two modules", || {
        (recorded().iter().filter(|it| it["topic"] == "who/is/there").count() == 2).then_some(())
    });
    assert_eq!(tap.end(Some(Signal::SIGINT)).0, Some(0));
    let report = project.run(&["parity", "r.jsonl", "--station", "station.yaml", "--json", "-"]).exits(0).report();
    assert!(report["outcomes"].as_u64().unwrap() >= 8, "{report:#}");
    assert_eq!(report["outcomes"], report["reproduced"]);
}

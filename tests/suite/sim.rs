//! `khumbu sim` as an author uses it: a broker, a station, and a console.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::project::{DEADLINE, Project, wait_for};
use crate::recordings::publish;
use crate::{clients, printed};

/// A simulation that runs.
pub struct Sim {
    pub child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Sim {
    pub fn start(project: &Project, arguments: &[&str]) -> Self {
        let mut command = project.command(&[&["sim"], arguments].concat());
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Self { stdin: child.stdin.take(), child, stdout, stderr }
    }

    pub fn type_line(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    #[track_caller]
    pub fn out(&self) -> String {
        self.stdout.recv_timeout(DEADLINE).unwrap()
    }

    #[track_caller]
    pub fn err(&self) -> String {
        self.stderr.recv_timeout(DEADLINE).unwrap()
    }

    /// Tells it to end; its exit code.
    #[track_caller]
    pub fn end(mut self, signal: Signal) -> Option<i32> {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
        wait_for("its end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        // A message ends with an empty line.
        let mut message = String::new();
        for line in BufReader::new(pipe).lines() {
            let Ok(line) = line else { break };
            message.extend([line.as_str(), "\n"]);
            if line.is_empty() {
                printed::keep(&std::mem::take(&mut message));
            }
            // Whoever waited for lines may have gone.
            let _ = sender.send(line);
        }
        printed::keep(&message);
    });
    receiver
}

#[test]
fn the_first_line_is_the_address_and_a_signal_ends_it() {
    let project = Project::new();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut sim = Sim::start(&project, &[]);
        let url = sim.out();
        let port: u16 = url.strip_prefix("mqtt://127.0.0.1:").unwrap().parse().unwrap();
        // The end of standard input is no end.
        drop(sim.stdin.take());
        std::thread::sleep(Duration::from_millis(200));
        assert!(sim.child.try_wait().unwrap().is_none());
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert_eq!(sim.end(signal), Some(0));
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}

#[test]
fn json_is_one_object_and_the_address_can_be_chosen() {
    let project = Project::new();
    let sim = Sim::start(&project, &["--json", "-"]);
    let first: Value = serde_json::from_str(&sim.out()).unwrap();
    let address = first["mqtt"].as_str().unwrap().strip_prefix("mqtt://").unwrap().to_owned();
    assert_eq!(first.as_object().unwrap().len(), 1);
    // Taken, so a second one is refused.
    project.run(&["sim", "--listen", &address]).exits(3).says("harness/no-broker").says(&address).says("in use");
    assert_eq!(sim.end(Signal::SIGTERM), Some(0));
    let sim = Sim::start(&project, &["--listen", &address]);
    assert_eq!(sim.out(), format!("mqtt://{address}"));
}

#[test]
fn bad_stations_and_flags_are_refused() {
    let project = Project::with(&[
        ("unknown.yaml", "evses: 1\nevse: 2\n"),
        ("many.yaml", "evses: 1000000\n"),
        ("none.yaml", "evses: 0\n"),
        ("long.yaml", &format!("tokens:\n  A: {{value: \"{}\", type: Central}}\n", "x".repeat(100))),
        ("broken.yaml", "evses: [\n"),
    ]);
    let all = "fields: bindings, start, api_version, external_prefix, evses";
    project.run(&["sim", "--station", "unknown.yaml"]).exits(2).says(all).says("did you mean `evses`?");
    project.write("misspelt.yaml", "bindngs: []\n");
    project.run(&["sim", "--station", "misspelt.yaml"]).exits(2).says("did you mean `bindings`?");
    project.write("deviation.yaml", "deviations: {everything: true}\n");
    project.run(&["sim", "--station", "deviation.yaml"]).exits(2).says("known: ").says("sticky-withdraw");
    for (file, line) in [("unknown.yaml", 2), ("many.yaml", 1), ("none.yaml", 1), ("long.yaml", 2), ("broken.yaml", 1)]
    {
        project.run(&["sim", "--station", file]).exits(2).says(&format!("{file}:{line}"));
    }
    project.run(&["sim", "--station", "missing.yaml"]).exits(2).says("file/not-found");
    project.run(&["sim", "--station", "."]).exits(2).says("file/directory");
    project.run(&["sim", "--json", "file"]).exits(2);
    project.run(&["sim", "--listen", "here"]).exits(2);
    project.run(&["sim", "--module-id", "a/b"]).exits(2).says("usage/bad-topic");
}

#[test]
fn the_console_does_what_it_is_told_and_says_what_is_wrong() {
    let project = Project::with(&[("station.yaml", "evses: 2\ntokens:\n  CAROL: {value: \"00\", type: Central}\n")]);
    let mut sim = Sim::start(&project, &["--station", "station.yaml"]);
    sim.out();
    for (line, wrong) in [
        ("fly", "unknown command `fly`"),
        ("plug_in", "write it like this: `plug_in EVSE`: an EV is plugged in"),
        ("plug_in one", "`one` is no EVSE id"),
        ("plug_in 9", "came to nothing"),
        ("unplug 1", "came to nothing"),
        ("present_token ALICE", "it has CAROL"),
        ("set_verdict CAROL Perhaps", "`Perhaps` is no verdict"),
        ("heartbeats next -1", "64-bit"),
        ("heartbeats every 5", ""),
        ("heartbeats", "write it like this"),
        ("present_token \u{1b}[2J", ""),
    ] {
        sim.type_line(line);
        let said = sim.err();
        assert!(said.starts_with("error[sim/command]") && said.contains(wrong), "{line}: {said}");
        assert!(!said.contains('\u{1b}'), "{line}");
    }
    // What is no text is an error like any other.
    sim.stdin.as_mut().unwrap().write_all(b"\xff\xfe\n").unwrap();
    assert!(sim.err().starts_with("error[sim/command]"));
    sim.type_line("");
    sim.type_line("help");
    assert!(sim.out().starts_with("plug_in EVSE"));
    sim.type_line("plug_in 1");
    sim.type_line("set_verdict CAROL Blocked");
    sim.type_line("heartbeats pause");
    sim.type_line("restart_everest");
    sim.type_line("status");
    wait_for("the status", || (sim.out() == "{").then_some(()));
    assert_eq!(sim.end(Signal::SIGTERM), Some(0));
}

/// Prints what a subscriber gets, one line each.
const LISTENER: &str = r#"
import os, sys
import paho.mqtt.client as mqtt
host, port = sys.argv[1].removeprefix('mqtt://').split(':')
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
client.on_connect = lambda c, *_: c.subscribe('everest_api/1/auth_consumer/auth_api/e2m/#')
client.on_subscribe = lambda *_: print('ready', flush=True)
client.on_message = lambda _c, _u, m: print(m.topic.rpartition('/')[2], ' '.join(m.payload.decode().split()), flush=True)
client.connect(host, int(port))
client.loop_forever()
"#;

#[test]
fn a_client_gets_heartbeats_and_the_status_of_a_token() {
    let Some(python) = clients::python() else { return };
    let project = Project::new();
    let mut sim = Sim::start(&project, &[]);
    let url = sim.out();
    let mut listener =
        std::process::Command::new(python).args(["-c", LISTENER, &url]).stdout(Stdio::piped()).spawn().unwrap();
    let heard = lines(listener.stdout.take().unwrap());
    let hear = |what: &str| wait_for(what, || heard.recv_timeout(DEADLINE).ok().filter(|line| line.starts_with(what)));
    hear("ready");
    hear("heartbeat");
    sim.type_line("present_token ALICE");
    let statuses: Vec<_> = (0..2).map(|_| hear("token_validation_status")).collect();
    assert!(statuses[0].contains("Processing") && statuses[1].contains("Accepted"), "{statuses:?}");
    sim.type_line("heartbeats next 18446744073709551615");
    hear("heartbeat 18446744073709551615");
    hear("heartbeat 0");
    assert_eq!(sim.end(Signal::SIGINT), Some(0));
    listener.kill().unwrap();
    listener.wait().unwrap();
}

#[test]
fn an_everest_that_ends_at_its_start_says_why() {
    let project = Project::new();
    project.write("lifo.yaml", "auth: {selection_algorithm: PlugEventsLIFO}\n");
    for release in ["2025.10", "2026.02"] {
        let sim = Sim::start(&project, &["--release", release, "--station", "lifo.yaml"]);
        sim.out();
        let said = sim.err();
        assert!(said.ends_with("has ended: Auth has no selection algorithm PlugEventsLIFO"), "{said}");
        assert_eq!(sim.end(Signal::SIGINT), Some(0));
    }
}

#[test]
fn an_everest_that_ends_by_itself_is_told_of_and_can_be_started_again() {
    let Some(tool) = clients::mosquitto("mosquitto_pub") else { return };
    let project = Project::new();
    let topic = "everest_api/1/auth_consumer/auth_api/m2e/withdraw_authorization";
    let mut sim = Sim::start(&project, &["--release", "2025.12"]);
    let port: u16 = sim.out().rsplit_once(':').unwrap().1.parse().unwrap();
    let wildcard = r#"{"headers": {"replyTo": "a/#"}, "payload": {}}"#;
    publish(&tool, port, &["-t", topic, "-m", wildcard, "-q", "1"]);
    let said: Vec<String> = (0..3).map(|_| sim.err()).collect();
    assert!(said[0].starts_with("warning[sim/ended]: the simulated EVerest `auth_api` has ended: "), "{said:?}");
    assert!(said[2].contains("type `restart_everest`"), "{said:?}");
    sim.type_line("status");
    wait_for("its end in the status", || (sim.out().trim() == "\"ended\": true,").then_some(()));
    sim.type_line("help");
    wait_for("the way on", || sim.out().contains("also an EVerest that has ended").then_some(()));
    sim.type_line("restart_everest");
    sim.type_line("status");
    wait_for("its start in the status", || (sim.out().trim() == "\"ended\": false,").then_some(()));
    assert_eq!(sim.end(Signal::SIGTERM), Some(0));
}

#[test]
fn the_station_writes_as_it_is_told() {
    let project = Project::new();
    for (wire, status) in [("everest", r#"\"status\": \"Accepted\""#), ("compact", r#"\"status\":\"Accepted\""#)] {
        let mut sim = Sim::start(&project, &["--wire", wire, "--trace"]);
        sim.out();
        sim.type_line("present_token ALICE");
        wait_for(status, || sim.err().contains(status).then_some(()));
        assert_eq!(sim.end(Signal::SIGTERM), Some(0));
    }
}

#[test]
fn deviations_are_listed_and_releases_known() {
    let project = Project::new();
    let listed = printed::output(&mut project.command(&["sim", "--list-deviations"])).unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.status.code(), Some(0));
    for entry in &khumbu::protocol::deviations::TABLE {
        assert!(text.contains(&format!("{}\n  runs       {}\n", entry.id, entry.runs)), "{}", entry.id);
    }
    assert!(text.contains("  releases   1.0, 2025.10, 2025.12, 2026.02, main, next (forecast)\n"));
    assert!(text.contains("  releases   next (forecast)\n"));
    assert!(text.contains("  releases   on request\n"));
    let sim = Sim::start(&project, &["--release", "2025.10"]);
    assert!(sim.out().starts_with("mqtt://"));
    assert_eq!(sim.end(Signal::SIGTERM), Some(0));
    let refused = printed::output(&mut project.command(&["sim", "--release", "2024.1"])).unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("`2024.1` is no release; there are 2025.10"));
}

#[test]
fn what_it_does_inside_is_told_to_whoever_drives_it() {
    let Some(tool) = clients::mosquitto("mosquitto_pub") else { return };
    let project = Project::with(&[("station.yaml", "tokens: {ALICE: {value: A, type: ISO14443}}\n")]);
    let mut sim = Sim::start(&project, &["--trace", "--station", "station.yaml"]);
    let port = sim.out().rsplit(':').next().unwrap().parse().unwrap();
    let until = |sim: &Sim, last: &str| {
        let mut lines = vec![sim.err()];
        while !lines.last().unwrap().contains(last) {
            lines.push(sim.err());
        }
        lines
    };
    sim.type_line("plug_in 1");
    sim.type_line("present_token ALICE");
    let lines = [until(&sim, "UsedToStart"), until(&sim, "heartbeat")].concat();
    assert!(!lines.iter().any(|line| line.contains("khumbu/")), "{lines:#?}");
    publish(
        &tool,
        port,
        &["-t", "khumbu/auth_api/do", "-m", "{\"cancel_reservation\":{\"reservation_id\":7}}", "-q", "1"],
    );
    until(&sim, "khumbu/auth_api/did");
    assert_eq!(sim.end(Signal::SIGTERM), Some(0));
}

#[test]
fn a_recording_overwrites_nothing_and_makes_no_directory() {
    let project = Project::with(&[("old.jsonl", "mine\n")]);
    let refused = project.run(&["sim", "--record", "old.jsonl"]).exits(2);
    let why = "error[usage/other-file]: `old.jsonl` is there already, and no recording is overwritten";
    assert!(refused.stderr.starts_with(why), "{}", refused.stderr);
    assert_eq!(project.read("old.jsonl"), "mine\n");
    project.run(&["sim", "--record", "nowhere/new.jsonl"]).exits(2).says("usage/unwritable-recording");
    assert!(!project.path("nowhere").exists());
    let sim = Sim::start(&project, &["--record", "new.jsonl"]);
    sim.out();
    assert_eq!(sim.end(Signal::SIGTERM), Some(0));
    assert!(project.read("new.jsonl").contains("khumbu/recording"));
}

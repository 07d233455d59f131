//! The end of a run in every way it can come: signals, stubborn modules, processes that hide.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::clients;
use crate::project::{PASS, Project, REPLY, wait_for};

/// A client in the middle of whose scenario the run is interrupted.
const LONG: &str = "\
description: Waits for what never comes.
under_test: client
steps:
  - expect: {message: communication_check, payload: true}
  - expect: {message: withdraw_authorization, within: 10m}
timeout: 11m
";

/// Ignores TERM and INT; so does its child, and so does another that has left the group.
const STUBBORN: &str = r#"
import signal, subprocess, sys
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
deaf = [sys.executable, '-c', 'import signal\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\nwhile True: signal.pause()']
subprocess.Popen(deaf)
subprocess.Popen(deaf, start_new_session=True)
from consumer import Consumer, arguments
class Stubborn(Consumer):
    def on_ready(self):
        super().on_ready()
        open('ready', 'w').close()
    def stop(self):
        print('no', flush=True)
Stubborn(arguments('').parse_args()).run()
"#;

fn stubborn() -> Option<(Project, String)> {
    let python = clients::python()?;
    let project = Project::with(&[("s/a.yaml", LONG), ("s/b.yaml", PASS), ("stubborn.py", STUBBORN)]);
    Some((project, format!("{} stubborn.py", python.display())))
}

#[test]
fn a_first_signal_ends_everything_in_order() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let Some((project, module)) = stubborn() else { return };
        let arguments = ["run", "s", "-j", "1", "--module", &module, "--stop-within", "300ms", "--json", "report.json"];
        let running = project.start(&[&arguments[..], &["--junit", "junit.xml"]].concat());
        wait_for("the module", || project.path("ready").exists().then_some(()));
        running.signal(signal);
        let ran = running.finish().exits(3).says("interrupted");
        assert!(ran.took < Duration::from_secs(60));
        project.assert_nothing_left();
        // What was begun is in the reports, what was not is not.
        let report: Value = serde_json::from_str(&project.read("report.json")).unwrap();
        assert_eq!(report["summary"]["inconclusive"], 1, "{report:#}");
        assert_eq!(report["scenarios"].as_array().unwrap().len(), 1);
        assert_eq!(report["scenarios"][0]["failures"][0]["id"], "run/interrupted");
        assert!(project.read("junit.xml").contains("run/interrupted"));
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let Some((project, module)) = stubborn() else { return };
    project.write("old.json", "{\"old\": 1}");
    let reports = ["--json", "old.json", "--junit", "junit.xml"];
    let running =
        project.start(&[&["run", "s/a.yaml", "--module", &module, "--stop-within", "10m"], &reports[..]].concat());
    wait_for("the module", || project.path("ready").exists().then_some(()));
    running.signal(Signal::SIGINT);
    // A second signal of the same kind that comes too early is one with the first.
    let ran = {
        let mut running = running;
        let mut ended = None;
        wait_for("khumbu's end", || {
            running.signal(Signal::SIGINT);
            std::thread::sleep(Duration::from_millis(20));
            ended = running.child.try_wait().unwrap();
            ended
        });
        running.finish()
    };
    ran.exits(130);
    wait_for("the processes to go", || project.left_behind().is_empty().then_some(()));
    // An old report or none, and no half of one.
    assert_eq!(project.read("old.json"), "{\"old\": 1}");
    let files = std::fs::read_dir(project.path(".")).unwrap().map(|file| file.unwrap().file_name());
    let files: Vec<_> = files.map(|file| file.into_string().unwrap()).collect();
    assert!(!files.iter().any(|file| file == "junit.xml" || file.starts_with(".khumbu")), "{files:?}");
}

/// One that says when it is there.
const READY: &str = "
from consumer import Consumer, arguments
class Ready(Consumer):
    def on_ready(self):
        super().on_ready()
        open('ready', 'w').close()
Ready(arguments('').parse_args()).run()
";

#[test]
fn what_an_interrupted_conform_did_not_come_to_was_not_played() {
    let Some(python) = clients::python() else { return };
    let project = Project::with(&[("display.py", READY)]);
    let module = format!("{} display.py", python.display());
    let reports = ["--json", "r.json", "--junit", "r.xml", "--report", "r.md", "--report", "r.html"];
    let running =
        project.start(&[&["conform", "--side", "client", "--module", &module, "-j", "1"], &reports[..]].concat());
    wait_for("the module", || project.path("ready").exists().then_some(()));
    running.signal(Signal::SIGINT);
    let ran = running.finish().exits(3).says("interrupted");
    let not_played = "not played, the run was interrupted";
    let report: Value = serde_json::from_str(&project.read("r.json")).unwrap();
    let requirements = report["requirements"].as_array().unwrap();
    for id in ["CN-3", "TV-15", "DI-6", "CC-9"] {
        let row = requirements.iter().find(|row| row["id"] == id).unwrap();
        assert_eq!((&row["state"], &row["reason"]), (&"not_exercised".into(), &not_played.into()), "{id}");
    }
    let scenarios = report["scenarios"].as_array().unwrap();
    assert_eq!(scenarios.len(), report["part"]["plays"], "each has a result");
    let is_unplayed = |it: &&Value| it["failures"][0]["message"] == not_played;
    assert!(scenarios.iter().filter(is_unplayed).count() + 3 > scenarios.len());
    for text in [&ran.stdout, &project.read("r.xml"), &project.read("r.md"), &project.read("r.html")] {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        assert!(text.contains(not_played) && !text.contains("did nothing"), "{text}");
    }
    // No scenario judges these, played or not.
    let is_other = |row: &&Value| row["reason"] == "no scenario that was chosen judges it";
    let others: Vec<_> = requirements.iter().filter(is_other).map(|row| row["id"].as_str().unwrap()).collect();
    assert!(!others.contains(&"WD-12") && others.len() < 10, "{others:?}");
}

#[test]
fn an_interrupt_reaches_every_kind_of_wait() {
    let Some(python) = clients::python() else { return };
    let project = Project::with(&[
        ("wait.yaml", LONG),
        (
            "none.yaml",
            "\
description: Silence.
under_test: client
steps:
  - run: {command: touch ready}
  - expect_none: {message: withdraw_authorization, for: 10m}
timeout: 11m
",
        ),
        (
            "run.yaml",
            "\
description: A long command.
under_test: client
steps:
  - run: {command: \"sh -c 'touch ready; sleep 600'\", within: 10m}
timeout: 11m
",
        ),
        // The module never reads its standard input, and the pipe is full in the end.
        (
            "stdin.yaml",
            "\
description: A module is told on standard input and does not listen.
under_test: client
steps:
  - run: {command: touch ready}
  - withdraw: {evse_id: 1, within: 10m}
timeout: 11m
",
        ),
        ("khumbu.yaml", &format!("module:\n  bindings:\n    withdraw: {{stdin: \"{}\"}}\n", "x".repeat(100_000))),
    ]);
    let consumer = format!("{} {}", python.display(), crate::project::fixture("modules/consumer.py"));
    for (scenario, module) in [
        ("none.yaml", "builtin"),
        ("run.yaml", "builtin"),
        ("stdin.yaml", &consumer),
        ("wait.yaml", "sh -c 'touch ready; sleep 600'"),
    ] {
        let _ = std::fs::remove_file(project.path("ready"));
        let running = project.start(&["run", scenario, "--module", module, "--ready-within", "10m", "--json", "-"]);
        wait_for("the step", || project.path("ready").exists().then_some(()));
        running.signal(Signal::SIGTERM);
        let ran = running.finish().exits(3);
        assert!(ran.took < Duration::from_secs(60), "{scenario}: {:?}", ran.took);
        ran.fails_with(&["run/interrupted"]);
        project.assert_nothing_left();
    }
}

#[test]
fn a_signal_before_the_first_scenario_or_after_the_last_is_no_accident() {
    let project = Project::with(&[("p.yaml", PASS)]);
    for delay in 0..20 {
        let running = project.start(&["run", "p.yaml"]);
        std::thread::sleep(Duration::from_millis(delay * 3));
        // It may be over.
        let _ =
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(running.child.id().try_into().unwrap()), Signal::SIGTERM);
        let ran = running.finish();
        assert!(matches!(ran.status.code(), Some(0 | 3) | None), "{}\n{}", ran.status, ran.stderr);
        project.assert_nothing_left();
    }
}

#[test]
fn a_module_that_breeds_is_rooted_out() {
    let Some(python) = clients::python() else { return };
    let project = Project::with(&[("p.yaml", PASS)]);
    project.write(
        "breed.py",
        "
import os, signal, subprocess, sys
for _ in range(25):
    subprocess.Popen(['sleep', '600'])
    subprocess.Popen(['sleep', '600'], start_new_session=True)
# One that is always a new one; it gives up in the end, should the test be ended before it is.
subprocess.Popen([sys.executable, '-c', '''
import os, time
os.setsid()
end = time.monotonic() + 30
while time.monotonic() < end:
    if os.fork():
        os._exit(0)
    time.sleep(0.002)
'''])
from consumer import Consumer, arguments
Consumer(arguments('').parse_args()).run()
",
    );
    let ran = project.play(&["p.yaml", "--module", &format!("{} breed.py", python.display())]).exits(0);
    assert_eq!(ran.notes(), ["module/left-processes"]);
    project.assert_nothing_left();
}

#[test]
fn a_module_that_daemonizes_is_told_as_ended_and_rooted_out() {
    let project = Project::with(&[("p.yaml", PASS)]);
    let ran = project.play(&["p.yaml", "--module", "setsid -f sleep 600", "--ready-within", "5s"]).exits(3);
    ran.fails_with(&["module/ended-early"]);
    project.assert_nothing_left();
}

/// Takes its time to end, and says that it stops each time that it is told.
const SLOW: &str = "
from consumer import Consumer, arguments
class Slow(Consumer):
    def stop(self):
        with open('told', 'a') as file:
            file.write('x')
        self.send_check(False)
        self.send_check(True)
        self.after(1.4, super().stop)
Slow(arguments('').parse_args()).run()
";

#[test]
fn a_module_is_told_once_to_end_and_may_take_its_time() {
    let Some(python) = clients::python() else { return };
    let project = Project::with(&[("s.yaml", PASS), ("slow.py", SLOW)]);
    let ran = project.play(&["s.yaml", "--module", &format!("{} slow.py", python.display())]).fails_with(&[]).exits(0);
    assert_eq!((project.read("told").as_str(), ran.notes()), ("x", Vec::new()));
}

#[test]
fn what_a_module_says_at_its_end_hides_nothing_that_was_before() {
    let project = Project::with(&[
        ("s.yaml", REPLY),
        ("talks.sh", "trap 'seq 100 130; exit' TERM\necho before\nwhile :; do sleep 0.05; done\n"),
    ]);
    let ran = project.play(&["s.yaml", "--module", "sh talks.sh", "--ready-within", "1s"]).exits(3);
    let report = ran.report();
    let output = report["scenarios"][0]["output"].as_array().unwrap();
    // The shell may add that its `sleep` was terminated.
    assert!(output[0] == "before" && output.contains(&"130".into()), "{output:?}");
    ran.says("output of the module until khumbu ended it:\n    | before\n\n");
}

/// One that acknowledges nothing, and ends over the first status.
const ENDS: &str = "
import os, sys
import paho.mqtt.client as mqtt
STATUSES = 'everest_api/1/auth_consumer/auth_api/e2m/token_validation_status'
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, manual_ack=True)
client.on_connect = lambda *_: client.subscribe(STATUSES, 1)
def on_message(*_):
    print('fatal: no such status', flush=True)
    os._exit(7)
client.on_message = on_message
client.connect(sys.argv[1], int(sys.argv[2]))
client.loop_forever()
";

#[test]
fn a_module_that_ends_is_shown_with_what_it_has_not_acknowledged() {
    const SCENARIO: &str = "description: A display shows whatever status comes.\nunder_test: client\nstation:\n  tokens:\n    \
                            ALICE: {value: \"04A2F3B1\", type: ISO14443, verdict_after: 2s}\nsteps:\n  \
                            - present_token: ALICE\n  - expect: {message: communication_check, payload: true}\n";
    let Some(python) = clients::python() else { return };
    let project = Project::with(&[("display.py", ENDS), ("scenario.yaml", SCENARIO)]);
    let command = format!("{} display.py {{host}} {{port}}", python.display());
    let ran = project.run(&["run", "scenario.yaml", "--module", &command]).exits(1);
    let told = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = "= delivered to it, and not acknowledged: …/e2m/token_validation_status q1 {\"messages\":[]";
    assert!(told.contains(words) && !told.contains("more followed"), "{}", ran.stdout);
}

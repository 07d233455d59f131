//! How a module gets to know where it is, is told what to do, and is reached: command lines, `khumbu.yaml`, `--attach`,
//! other brokers.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::clients;
use crate::project::{ERROR, FAIL, PASS, Project, REPLY, Running, WITHDRAW, fixture, python_module, wait_for};

/// A child of the test that ends with it.
pub struct Companion(Child);

impl Drop for Companion {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts mosquitto on a free port; `None` if it is not there.
pub fn mosquitto(project: &Project) -> Option<(Companion, u16)> {
    let program = clients::mosquitto("mosquitto")?;
    let port = free_port();
    let config = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n");
    project.write("mosquitto.conf", &config);
    let mut broker = Command::new(program);
    broker
        .arg("-c")
        .arg(project.path("mosquitto.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let broker = Companion(broker.spawn().unwrap());
    wait_for("mosquitto", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    Some((broker, port))
}

/// A module that the user has started.
pub fn attach(project: &Project, program: &str, arguments: &[&str]) -> Companion {
    let log = std::fs::File::create(project.path("log")).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    Companion(command.spawn().unwrap())
}

/// The lines that the module of the only scenario wrote.
fn output(report: &Value) -> Vec<String> {
    let lines = report["scenarios"][0]["output"].as_array().unwrap();
    lines.iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

#[test]
fn placeholders_are_filled_in_and_names_exported() {
    let project = Project::with(&[("p.yaml", PASS)]);
    let module =
        "sh -c 'echo \"arguments $*\"; env' sh {host} {port} {module_id} {api_version} {external_prefix} x{port}x";
    let ran = project.play(&[
        "p.yaml",
        "--module",
        module,
        "--module-id",
        "door",
        "--api-version",
        "1.0",
        "--external-prefix",
        "plant7/",
    ]);
    let output = output(&ran.exits(3).fails_with(&["module/ended-early"]).report());
    let has = |wanted: &str| assert!(output.iter().any(|line| line == wanted), "no `{wanted}` in {output:#?}");
    let port = output.iter().find_map(|line| line.strip_prefix("MQTT_SERVER_PORT=")).unwrap();
    assert!(port.parse::<u16>().unwrap() > 0);
    has(&format!("arguments 127.0.0.1 {port} door 1.0 plant7/ x{port}x"));
    has("MQTT_SERVER_ADDRESS=127.0.0.1");
    has("EV_MQTT_BROKER_HOST=127.0.0.1");
    has(&format!("EV_MQTT_BROKER_PORT={port}"));
    has("EV_MQTT_EXTERNAL_PREFIX=plant7/");
}

#[test]
fn versions_and_prefixes_reach_the_topics_of_both_sides() {
    let project = Project::with(&[("client.yaml", WITHDRAW), ("everest.yaml", REPLY)]);
    let mut modules = vec![("client.yaml", "builtin".to_owned()), ("everest.yaml", "builtin".to_owned())];
    modules.extend(python_module("consumer.py").map(|command| ("client.yaml", command)));
    modules.extend(python_module("everest.py").map(|command| ("everest.yaml", command)));
    for (scenario, module) in modules {
        for arguments in [
            &["--api-version", "1.0"][..],
            &["--external-prefix", "plant7/"],
            &["--api-version", "1.0", "--external-prefix", "a b", "--module-id", "c"],
        ] {
            let ran = project.play(&[&[scenario, "--module", &module], arguments].concat());
            assert_eq!(ran.status.code(), Some(0), "{module} {arguments:?}\n{}", ran.stderr);
        }
    }
}

/// Does what it is told on standard input, on its own channel, and by a file; never on the control topic.
const BOUND: &str = r#"
import json, os, sys, threading, time
from consumer import Consumer, arguments
class Bound(Consumer):
    def __init__(self, args):
        super().__init__(args)
        self.control = 'doorbell/' + args.module_id
        threading.Thread(target=self.listen, daemon=True).start()
    def listen(self):
        for line in sys.stdin:
            print('told', line.strip(), flush=True)
            word, _, rest = line.partition(' ')
            if word == 'withdraw':
                value = json.loads(rest)
                self.inbox.put((lambda _: self.on_command('withdraw', value), None))
    def received(self, message):
        if message.topic == self.control:
            print('rung', message.payload.decode(), flush=True)
            self.on_command('get_status', None)
        else:
            super().received(message)
Bound(arguments('').parse_args()).run()
"#;

#[test]
fn khumbu_yaml_binds_commands_in_three_ways() {
    let Some(python) = clients::python() else { return };
    let python = python.display().to_string();
    let project = Project::with(&[("bound.py", BOUND)]);
    project.write(
        "scenarios/all.yaml",
        "\
description: Three commands, bound in three ways.
under_test: client
station:
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
steps:
  - withdraw: {token: ALICE, evse_id: 1}
  - expect_reply: AuthorizationNotFound
  - get_status: {}
  - expect_reply: $any
  - communication_check: true
",
    );
    project.write(
        "poke.sh",
        "\
echo \"$2\" > poked
exec mosquitto_pub -h 127.0.0.1 -p \"$1\" -t everest_api/1/auth_consumer/auth_api/m2e/communication_check -m \"$3\"
",
    );
    project.write(
        "khumbu.yaml",
        &format!(
            "\
module:
  command: {python} bound.py
  ready_within: 20s
  bindings:
    withdraw: {{stdin: \"withdraw {{arguments}}\"}}
    get_status: {{publish: {{topic: \"doorbell/{{module_id}}\", payload: {{do: \"{{command}}\"}}}}}}
    communication_check: {{run: \"sh poke.sh {{port}} '{{command}}' {{arguments}}\"}}
"
        ),
    );
    if clients::mosquitto("mosquitto_pub").is_none() {
        return;
    }
    let report = project.play(&[]).exits(0).report();
    let output = output(&report);
    assert!(output.iter().any(|line| line.starts_with("told withdraw {") && line.contains("04A2F3B1")), "{output:#?}");
    assert!(output.contains(&r#"rung {"do":{"get_status":{}}}"#.to_owned()), "{output:#?}");
    assert_eq!(project.read("poked").trim(), r#"{"communication_check":true}"#);
    // Flags win over the file.
    project.play(&["--module", "builtin"]).exits(3).fails_with(&["module/binding-failed"]);
    project.play(&["--module", "sleep 60", "--ready-within", "100ms"]).exits(3).fails_with(&["module/never-connected"]);
}

/// Takes orders on a topic of its own, behind EVerest's external prefix.
const BEHIND_A_PREFIX: &str = "
import os
from consumer import Consumer, arguments
class Behind(Consumer):
    def __init__(self, args):
        super().__init__(args)
        self.control = os.environ['EV_MQTT_EXTERNAL_PREFIX'] + 'doorbell/' + args.module_id
Behind(arguments('').parse_args()).run()
";

#[test]
fn topics_of_bindings_have_the_placeholders_of_command_lines() {
    let Some(python) = clients::python() else { return };
    let project = Project::with(&[("behind.py", BEHIND_A_PREFIX), ("w.yaml", WITHDRAW)]);
    let module = format!("{} behind.py", python.display());
    let with = |topic: &str| {
        let publish = format!("{{publish: {{topic: \"{topic}\", payload: \"{{command}}\"}}}}");
        project.write("khumbu.yaml", &format!("module: {{bindings: {{withdraw: {publish}}}}}\n"));
        project.play(&["w.yaml", "--module", &module, "--external-prefix", "plant7/"])
    };
    with("{external_prefix}doorbell/{module_id}").exits(0);
    with("doorbell/{module_id}").exits(3).says("write `plant7/doorbell/auth_api` into the binding");
    with("{external_prefiks}doorbell/{module_id}").exits(2).says("did you mean `{external_prefix}`");
}

#[test]
fn bindings_that_fail_are_errors() {
    let project = Project::with(&[("w.yaml", WITHDRAW)]);
    let Some(module) = python_module("consumer.py") else { return };
    for (binding, why) in [
        ("run: \"false\"", "exited with code 1"),
        ("run: no-such-program", "No such file"),
        ("run: \"half 'quoted\"", "missing closing quote"),
    ] {
        project
            .write("khumbu.yaml", &format!("module:\n  command: {module}\n  bindings:\n    withdraw: {{{binding}}}\n"));
        project.play(&["w.yaml"]).exits(3).fails_with(&["module/binding-failed"]).says(why);
    }
    // One that closed its standard input.
    project.write(
        "deaf.py",
        "\
import os
os.close(0)
from consumer import Consumer, arguments
Consumer(arguments('').parse_args()).run()
",
    );
    let python = clients::python().unwrap();
    project.write(
        "khumbu.yaml",
        &format!("module:\n  command: {} deaf.py\n  bindings:\n    withdraw: {{stdin: now}}\n", python.display()),
    );
    project.play(&["w.yaml"]).exits(3).fails_with(&["module/binding-failed"]);
}

#[test]
fn what_a_module_cannot_do_is_not_asked_of_it() {
    let project = Project::with(&[
        ("scenarios/p.yaml", PASS),
        ("scenarios/w.yaml", WITHDRAW),
        ("khumbu.yaml", "module:\n  command: touch started\n  cannot: [withdraw]\n"),
    ]);
    let report = project.play(&["-k", "w.yaml"]).exits(0).report();
    assert_eq!(report["summary"]["not_applicable"], 1);
    assert_eq!(report["scenarios"][0]["verdict"], "not_applicable");
    assert_eq!(report["scenarios"][0]["notes"][0]["id"], "module/cannot");
    assert!(!project.path("started").exists());
}

#[test]
fn known_failures_excuse_a_fail_and_nothing_else() {
    let known = |scenario: &str| format!("known_failures:\n  - {{scenario: ./{scenario}, reason: issue 7}}\n");
    let project = Project::with(&[("p.yaml", PASS), ("f.yaml", FAIL), ("e.yaml", ERROR)]);
    project.write("khumbu.yaml", &known("f.yaml"));
    // From the first line on: nowhere does it look like a failure.
    let ran = project.play(&["f.yaml", "p.yaml"]).exits(0).says("issue 7").says("excused       f.yaml");
    assert!(!ran.stderr.contains("fail  "), "{}", ran.stderr);
    assert_eq!((&ran.report()["summary"]["pass"], &ran.report()["summary"]["excused"]), (&json!(1), &json!(1)));
    // However the path is written.
    let absolute = project.path("f.yaml").display().to_string();
    project.play(&[&absolute]).exits(0);
    project.write("khumbu.yaml", &known("p.yaml"));
    project.play(&["p.yaml"]).exits(1).fails_with(&["known-failure/passed"]);
    project.write("khumbu.yaml", &known("e.yaml"));
    project.play(&["e.yaml"]).exits(3).fails_with(&["scenario/contradicted"]);
}

#[test]
fn errors_in_khumbu_yaml_point_at_the_line_and_nothing_is_started() {
    let project = Project::with(&[("p.yaml", PASS)]);
    for (text, line, what) in [
        ("jobs: 2\nmodul:\n  command: x\n", 2, "modul"),
        ("module:\n  command: [x]\n", 2, ""),
        ("module:\n  bindings:\n    withdrawal: {stdin: x}\n", 3, "withdrawal"),
        ("module:\n  bindings:\n    withdraw: {send: x}\n", 3, "send"),
        ("module:\n  cannot: [fly]\n", 2, "fly"),
        ("module:\n  ready_within: soon\n", 2, "soon"),
        ("known_failures:\n  - {scenario: p.yaml}\n", 2, "reason"),
        ("known_failures:\n  - {reason: x}\n", 2, "either a `scenario` or a `requirement`"),
        ("known_failures:\n  - {requirement: RR-99, reason: x}\n", 2, "no requirement `RR-99`"),
        ("known_failures:\n  - {requirement: RR-1, until: 2026-2-30, reason: x}\n", 2, "`2026-2-30` is no day"),
        ("known_failures:\n  - {scenario: pp.yaml, reason: x}\n", 2, "no scenario `pp.yaml`; did you mean `p.yaml`?"),
        ("jobs: -1\n", 1, ""),
        ("jobs: 0\n", 1, ""),
        ("a: [\n", 1, "unclosed"),
    ] {
        project.write("khumbu.yaml", text);
        let ran = project.run(&["run", "p.yaml", "--module", "touch started"]);
        assert_eq!(ran.status.code(), Some(2), "{text}\n{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("khumbu.yaml:{line}")), "{text}\n{}", ran.stderr);
        assert!(ran.stderr.contains(what), "{text}\n{}", ran.stderr);
    }
    assert!(!project.path("started").exists());
    for (text, id) in [
        ("broker: localhost:1883\n", "usage/bad-value"),
        ("module_id: a/b\n", "usage/bad-topic"),
        ("module: {command: ''}\n", "usage/bad-value"),
    ] {
        project.write("khumbu.yaml", text);
        project.run(&["run", "p.yaml"]).exits(2).says(id);
    }
}

#[test]
fn a_configuration_elsewhere_names_scenarios_beside_it() {
    let project = Project::with(&[
        ("there/suite/p.yaml", PASS),
        ("there/khumbu.yaml", "scenarios: [suite]\nmodule_id: elsewhere\njobs: 1\n"),
    ]);
    let report = project.play(&["--config", "there/khumbu.yaml"]).exits(0).report();
    assert_eq!(report["scenarios"][0]["path"], "there/suite/p.yaml");
}

/// A client that acts on its own as soon as it is ready, and cannot be told anything.
const SELF_ACTING: &str = r#"
import sys
from consumer import Consumer, arguments
class Own(Consumer):
    def __init__(self, args):
        super().__init__(args)
        self.control = 'nothing/here'
    def on_ready(self):
        super().on_ready()
        if sys.argv[-1] == 'act':
            self.after(0.3, lambda: self.request('withdraw_authorization', {'evse_id': 1}))
parser = arguments('')
parser.add_argument('what')
Own(parser.parse_args()).run()
"#;

#[test]
fn a_module_that_acts_by_itself_is_waited_for_where_a_binding_says_so() {
    let Some(python) = clients::python() else { return };
    let project = Project::with(&[("own.py", SELF_ACTING), ("w.yaml", WITHDRAW)]);
    let module = |what: &str| format!("{} own.py {what}", python.display());
    for what in ["act", "sit"] {
        let ran = project.play(&["w.yaml", "--module", &module(what)]).exits(3).fails_with(&["module/not-drivable"]);
        let ran = ran
            .says("w.yaml:4")
            .says("cannot be told to `withdraw`")
            .says("let it follow `withdraw` on `khumbu/auth_api/do`");
        let scenario = ran.report()["scenarios"][0].clone();
        assert_eq!(scenario["failures"][0]["not_exercised"], true, "{scenario:#}");
        let took = scenario["duration_ms"].as_u64().unwrap();
        assert!(took < 3000, "the step allows 5 s, and nobody waits for it: {took} ms");
    }
    project.write("khumbu.yaml", "module: {bindings: {withdraw: {by_itself: 3s}}}\n");
    project.play(&["w.yaml", "--module", &module("act")]).exits(0);
    let ran = project.play(&["w.yaml", "--module", &module("sit")]).exits(3).fails_with(&["module/not-drivable"]);
    ran.says("it did not do so by itself within 3s");
}

#[test]
fn an_everest_that_cannot_be_told_is_not_judged() {
    let Some(python) = clients::python() else { return };
    let project = Project::with(&[
        (
            "own.py",
            "
from everest import Everest, arguments
class Own(Everest):
    def __init__(self, args, station):
        super().__init__(args, station)
        self.control = 'nothing/here'
Own(arguments('').parse_args(), {}).run()
",
        ),
        ("r.yaml", REPLY),
        (
            "s.yaml",
            "\
description: A token is presented.
under_test: everest
station:
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
steps:
  - present_token: ALICE
",
        ),
    ]);
    let module = format!("{} own.py", python.display());
    project.play(&["s.yaml", "--module", &module]).exits(3).fails_with(&["module/not-drivable"]);
    project.play(&["r.yaml", "--module", &module]).exits(0);
}

#[test]
fn an_attached_module_plays_one_scenario_after_the_other() {
    let project = Project::with(&[("s/a.yaml", WITHDRAW), ("s/b.yaml", PASS), ("s/c.yaml", WITHDRAW)]);
    project.write("e/a.yaml", REPLY);
    project.write(
        "e/b.yaml",
        "\
description: EVerest is started again.
under_test: everest
steps:
  - restart_everest
",
    );
    for (module, paths, code) in [("consumer.py", "s", 0), ("everest.py", "e", 3)] {
        let Some(command) = python_module(module) else { return };
        let (program, script) = command.split_once(' ').unwrap();
        let port = free_port().to_string();
        let arguments = [script, "--host", "127.0.0.1", "--port", &port, "--module-id", "auth_api"];
        let _module = attach(&project, program, &arguments);
        let ran = project.play(&[paths, "--attach", "--listen", &format!("127.0.0.1:{port}"), "--ready-within", "30s"]);
        let ran = ran.exits(code);
        match code {
            0 => assert_eq!(ran.report()["summary"]["pass"], 3),
            _ => {
                let ran = ran.fails_with(&["module/not-restartable"]);
                assert_eq!(ran.report()["summary"]["pass"], 1);
            }
        }
    }
}

#[test]
fn an_attached_client_meets_every_release_and_an_attached_everest_is_one() {
    let Some(command) = python_module("consumer.py") else { return };
    let project = Project::with(&[("c/a.yaml", WITHDRAW), ("c/b.yaml", PASS), ("e/a.yaml", REPLY)]);
    let port = free_port().to_string();
    let listen = format!("127.0.0.1:{port}");
    let attached = ["--attach", "--listen", &listen, "--release", "all"];
    let refused = project.run(&[&["run", "c", "e"], &attached[..]].concat()).exits(2);
    refused.says("error[usage/one-release]").says("--> e/a.yaml:2:13").says("help: name its release");
    project.write("khumbu.yaml", "release: all\n");
    project.run(&["run", "e", "--attach", "--listen", &listen]).exits(2).says("usage/one-release");
    let (program, script) = command.split_once(' ').unwrap();
    let _module =
        attach(&project, program, &[script, "--host", "127.0.0.1", "--port", &port, "--module-id", "auth_api"]);
    let ran = project.play(&[&["c", "--ready-within", "30s"], &attached[..]].concat()).exits(0);
    assert_eq!(ran.report()["summary"]["pass"], 8);
}

#[test]
fn nobody_attached_is_inconclusive() {
    let project = Project::with(&[("p.yaml", PASS)]);
    let listen = format!("127.0.0.1:{}", free_port());
    let ran = project.play(&["p.yaml", "--attach", "--listen", &listen, "--ready-within", "300ms"]).exits(3);
    ran.fails_with(&["module/never-connected"]);
}

/// Who was waited for once is not there in the next scenario either.
#[test]
fn nobody_attached_is_waited_for_once() {
    let names = ["s/a.yaml", "s/b.yaml", "s/c.yaml"];
    let project = Project::with(&names.map(|name| (name, PASS)));
    let listen = format!("127.0.0.1:{}", free_port());
    let ran = project.play(&["s", "--attach", "--listen", &listen, "--ready-within", "2s"]).exits(3);
    let report = ran.fails_with(&["module/never-connected"]).report();
    let took: Vec<_> = (0..3).map(|it| report["scenarios"][it]["duration_ms"].as_u64().unwrap()).collect();
    assert!(took[0] >= 2000 && took[1..].iter().all(|ms| *ms < 1500), "{took:?}");
    let evidence = |index: usize| report["scenarios"][index]["failures"][0]["evidence"].to_string();
    let known = [0, 1, 2].map(|index| evidence(index).contains("an earlier scenario has waited so long"));
    assert_eq!(known, [false, true, true]);
}

#[test]
fn another_broker_carries_a_directory_of_scenarios() {
    let project = Project::new();
    let Some((_broker, port)) = mosquitto(&project) else { return };
    for n in 0..4 {
        project.write(&format!("client/{n}.yaml"), WITHDRAW);
        project.write(&format!("everest/{n}.yaml"), REPLY);
    }
    let url = format!("mqtt://127.0.0.1:{port}");
    let ran = project.play(&["client", "everest", "--broker", &url, "-j", "4"]).exits(0);
    assert_eq!(ran.report()["summary"]["pass"], 8);
    let ran = project.play(&["client/0.yaml", "everest/0.yaml", "--broker", &url, "--release", "all"]).exits(0);
    assert_eq!(ran.report()["summary"]["pass"], 8);
    for (module, side) in [("consumer.py", "client"), ("everest.py", "everest")] {
        let Some(module) = python_module(module) else { return };
        project.play(&[side, "--broker", &url, "--module", &module]).exits(0);
    }
}

#[test]
fn a_broker_that_is_not_there_is_told() {
    let project = Project::with(&[("p.yaml", PASS)]);
    let url = format!("mqtt://127.0.0.1:{}", free_port());
    let ran = project.play(&["p.yaml", "--broker", &url, "--module", "touch started"]).exits(3);
    ran.fails_with(&["harness/no-broker"]).says(&url);
    assert!(!project.path("started").exists());
    // One that accepts connections and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", mute.local_addr().unwrap());
    project
        .play(&["p.yaml", "--broker", &url, "--module", "touch started"])
        .exits(3)
        .fails_with(&["harness/no-broker"]);
}

#[test]
fn scenarios_run_where_fixture_modules_pass() {
    let project = Project::new();
    let Some(consumer) = python_module("consumer.py") else { return };
    let mut command = project.command(&["run", &fixture("verdicts/client.yaml"), "--module", &consumer]);
    command.env("CI", "true");
    Running::start(command).finish().exits(0);
}

#[test]
fn what_was_retained_on_another_broker_is_gone_with_its_scenario() {
    let project = Project::new();
    let Some((_broker, port)) = mosquitto(&project) else { return };
    if clients::mosquitto("mosquitto_sub").is_none() {
        return;
    }
    let nothing = "  - run: {command: \"mosquitto_sub -h {host} -p {port} -t left/# -W 1\", exit: 27, stdout: \"\"}\n";
    for side in ["client", "everest"] {
        let head = format!("description: One after the other.\nunder_test: {side}\nsteps:\n");
        project.write(&format!("s/{side}_1.yaml"), &format!(
            "{head}  - publish: {{topic: left/khumbu, text: x, retain: true}}\n  - run: {{command: \"mosquitto_pub -h {{host}} -p \
             {{port}} -t left/module -m x -r\"}}\n  - run: {{command: \"mosquitto_sub -h {{host}} -p {{port}} -t left/# -C 2 -W 9\"}}\n"
        ));
        project.write(&format!("s/{side}_2.yaml"), &format!("{head}{nothing}"));
    }
    project.play(&["s", "--broker", &format!("mqtt://127.0.0.1:{port}")]).exits(0);
}

#[test]
fn a_broker_that_dies_in_the_middle_is_nobody_elses_fault() {
    let project = Project::new();
    let Some((broker, port)) = mosquitto(&project) else { return };
    let text = WITHDRAW.replace("steps:\n", &format!("steps:\n  - run: {{command: kill {}}}\n", broker.0.id()));
    project.write("w.yaml", &text);
    let ran = project.play(&["w.yaml", "--broker", &format!("mqtt://127.0.0.1:{port}")]);
    assert_eq!(ran.status.code(), Some(3), "{}", ran.stderr);
    assert!(ran.failures().contains(&"harness/broken".to_owned()), "{}", ran.stderr);
}

#[test]
fn a_module_that_cannot_be_started_again_is_told() {
    let Some(python) = clients::python() else { return };
    let project = Project::with(&[(
        "r.yaml",
        "\
description: EVerest is started again.
under_test: everest
steps:
  - restart_everest
",
    )]);
    let script = format!("#!/bin/sh\nrm -f once\nexec {} {}\n", python.display(), fixture("modules/everest.py"));
    project.write("once", &script);
    std::fs::set_permissions(project.path("once"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    project.play(&["r.yaml", "--module", "./once"]).exits(3).fails_with(&["module/not-started"]);
    project.assert_nothing_left();
}

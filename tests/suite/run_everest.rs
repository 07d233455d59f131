//! How an EVerest under test is met: when it counts as ready, what its station file adds, how its EVSEs are reached, and
//! what one that runs already may be asked.

use crate::broker_relay::Mosquitto;
use crate::broker_wire::Wire;
use crate::clients;
use crate::project::{Project, fixture};
use crate::run_module::{attach, free_port};

/// Stand-ins for EVerest with one way of their own each, the only argument.
const EVEREST: &str = "\
import json, os, socket
from everest import Everest, arguments
class Slow(Everest):
    'Serves before its Auth knows its EVSEs, as EVerest does.'
    knows = False
    def on_ready(self):
        super().on_ready()
        self.after(0.7, self.know)
    def know(self):
        self.knows = True
    def withdraw(self, reply_to, evse_id, id_token):
        if self.knows or evse_id is None:
            super().withdraw(reply_to, evse_id, id_token)
        else:
            self.reply(reply_to, '\"EvseNotFound\"')
    def on_command(self, name, value):
        if self.knows or name != 'present_token':
            super().on_command(name, value)
class Never(Slow):
    def know(self):
        pass
class Silent(Everest):
    def withdraw(self, reply_to, evse_id, id_token):
        pass
class Bench(Everest):
    'Is told by its bench, follows after a while, and then says so.'
    def topics(self):
        self.control = 'nowhere'
        return [*super().topics(), (f'{self.prefix}everest_test/+/cmd', 1)]
    def on_message(self, topic, payload):
        if '/cmd' not in topic:
            return super().on_message(topic, payload)
        self.after(0.4, lambda: self.follow(int(topic.split('/')[-2].removeprefix('evse')), payload.decode()))
    def follow(self, number, word):
        getattr(self.auth, word)(self.auth.evses[number - 1])
        self.publish(f'{self.prefix}everest_test/evse{number}/log', json.dumps({'what': 'done', 'detail': word}))
class Hearsay(Bench):
    'Its Auth hears a moment later what its EVSE has said.'
    def follow(self, number, word):
        self.after(0.07, lambda: getattr(self.auth, word)(self.auth.evses[number - 1]))
        self.publish(f'{self.prefix}everest_test/evse{number}/log', json.dumps({'what': 'done', 'detail': word}))
class Overtaken(Bench):
    'Its EVSE says outside, at QoS 0, what it has done, before the broker hands on what it says inside, at QoS 2.'
    def topics(self):
        return [*super().topics(), ('inside', 0)]
    def on_message(self, topic, payload):
        if topic == 'inside':
            return self.auth.inject_fault(self.auth.evses[0])
        if '/cmd' not in topic:
            return super().on_message(topic, payload)
        evse = socket.create_connection((args.host, args.port))
        inside, done = bytes.fromhex('0002'), json.dumps({'what': 'done', 'detail': 'inject_fault'}).encode()
        said = lambda flags, topic, rest: packet(0x30 | flags, len(topic).to_bytes(2, 'big') + topic + rest)
        evse.sendall(packet(0x10, bytes.fromhex('00044d5154540402003c000465767365')))
        evse.recv(4)
        evse.sendall(said(4, b'inside', inside) + said(0, b'everest_test/evse1/log', done))
        self.after(0.4, lambda: evse.sendall(bytes.fromhex('62020002')))
def packet(head, body):
    return bytes([head, len(body)]) + body
parser = arguments('')
parser.add_argument('way')
args = parser.parse_args()
ways = {'slow': Slow, 'never': Never, 'silent': Silent, 'bench': Bench, 'hearsay': Hearsay, 'overtaken': Overtaken, 'plain': Everest}
ways[args.way](args, json.loads(os.environ.get('KHUMBU_STATION', '{}'))).run()
";

const TOKEN: &str = "\
description: A token right after the start, and right after another one.
under_test: everest
within: 1s
station:
  evses: 2
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
steps:
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}
  - restart_everest
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}
";

fn project() -> Option<(Project, String)> {
    let python = clients::python()?;
    let path = format!("import sys\nsys.path.insert(0, {:?})\n", fixture("modules"));
    let project = Project::with(&[("t.yaml", TOKEN), ("own.py", &(path + EVEREST))]);
    Some((project, format!("{} own.py", python.display())))
}

#[test]
fn everest_is_ready_when_its_auth_knows_its_evses() {
    let Some((project, module)) = project() else { return };
    project.play(&["t.yaml", "--module", &format!("{module} slow")]).exits(0);
    project.play(&["t.yaml", "--module", &format!("{module} slow"), "--ready", "subscribed"]).exits(1);
    // The question leaves no trace where the scenario is kept.
    project.play(&["t.yaml", "--module", &format!("{module} plain"), "--record", "r.jsonl"]).exits(0);
    let recording = project.read("r.jsonl");
    assert!(recording.contains("token_validation_status") && !recording.contains("withdraw"), "{recording}");
}

#[test]
fn an_everest_that_never_shows_that_it_is_ready_is_judged_and_it_is_said() {
    let Some((project, module)) = project() else { return };
    let silent = TOKEN.split("  - restart_everest").next().unwrap();
    project.write("silent.yaml", silent);
    let ran = project.play(&["silent.yaml", "--module", &format!("{module} silent")]).exits(0);
    assert_eq!(ran.notes(), ["module/readiness-unknown"]);
    let never = ["t.yaml", "--module", &format!("{module} never"), "--ready-within", "1200ms"];
    let ran = project.play(&never).exits(1).fails_with(&["expect/missing"]);
    assert_eq!(ran.notes(), ["module/readiness-unknown"]);
    ran.says("at EVSE 2 with `EvseNotFound` for 1.");
}

#[test]
fn what_reaches_nobody_is_no_failure_of_everest() {
    let Some((project, module)) = project() else { return };
    let fault = "\
description: A fault shows before the next step.
under_test: everest
station:
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
  auth_token_provider: {}
steps:
  - inject_fault: {evse: 1}
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Rejected]}
";
    project.write("f.yaml", fault);
    let station = "\
bindings:
  - topic: everest_test/evse{evse}/cmd
    is: {command: {inject_fault: inject_fault}}
  - topic: everest_test/evse{evse}/log
    when: {what: done}
    is: {effect: {name: detail, of: {inject_fault: inject_fault}}}
";
    project.write("station.yaml", station);
    project.write("khumbu.yaml", &format!("module:\n  command: {module} bench\n  station: station.yaml\n"));
    project.play(&["f.yaml"]).exits(0);
    for way in ["overtaken", "hearsay"] {
        project.write("other.yaml", &format!("module:\n  command: {module} {way}\n  station: station.yaml\n"));
        project.play(&["f.yaml", "--config", "other.yaml"]).exits(0);
    }
    let ran = project.play(&["f.yaml", "--external-prefix", "plant/"]).exits(3).fails_with(&["module/not-drivable"]);
    ran.says("nobody subscribes to `everest_test/evse1/cmd`").says("write `plant/everest_test/evse1/cmd` into");
    let bindings = "  bindings:\n    inject_fault: {publish: {topic: no/where}}\n";
    project.write("khumbu.yaml", &format!("module:\n  command: {module} bench\n{bindings}"));
    let ran = project.play(&["f.yaml"]).exits(3).fails_with(&["module/not-drivable"]);
    ran.says("nobody subscribes to `no/where`");
}

#[test]
fn a_station_file_adds_to_what_a_scenario_says() {
    let project = Project::new();
    project.write("khumbu.yaml", "module: {command: 'builtin:everest', station: station.yaml}\n");
    project.write(
        "station.yaml",
        "auth_token_provider: {module_id: reader}\nauth_token_validator: {module_id: backend}\n",
    );
    let scenarios = ["discovery_every_module", "discovery_periods", "validator_silent", "second_validator"];
    let scenarios = scenarios.map(|name| format!("{}/scenarios/everest/{name}.yaml", env!("CARGO_MANIFEST_DIR")));
    let ran = project.play(&scenarios.each_ref().map(String::as_str)).exits(0);
    let report = ran.report();
    assert_eq!(report["summary"]["pass"], 3);
    // Khumbu plays one validator, so that there is no second one.
    assert_eq!(report["scenarios"][3]["notes"][0]["id"], "module/lacks");
}

#[test]
fn an_everest_that_runs_begins_each_scenario_in_a_known_state() {
    let Some((project, _)) = project() else { return };
    let head =
        "description: x\nunder_test: everest\nstation:\n  tokens:\n    ALICE: {value: \"04A2F3B1\", type: ISO14443}\n";
    let grant = "  - plug_in: {evse: 1}\n  - present_token: ALICE\n  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}\n";
    project.write("s/a.yaml", &format!("{head}steps:\n{grant}"));
    // What a scenario leaves behind does not reach the next one.
    project.write(
        "s/ab.yaml",
        &format!(
            "{head}steps:\n  - inject_fault: {{evse: 1}}\n  - withdraw: {{}}\n  - expect_reply: AuthorizationNotFound\n"
        ),
    );
    project.write(
        "s/b.yaml",
        &format!("{head}steps:\n  - withdraw: {{}}\n  - expect_reply: AuthorizationNotFound\n{grant}"),
    );
    project.write("s/c.yaml", &format!("{head}  auth: {{selection_algorithm: PlugEvents}}\nsteps:\n{grant}"));
    project.write("s/d.yaml", &format!("{head}  evses: 1\nsteps:\n{grant}"));
    let beats =
        "  - any_order:\n      - expect: {message: heartbeat, payload: 0}\n      - expect: {message: ready_beacon}\n";
    project.write("s/e.yaml", &format!("{head}steps:\n  - note: x\n{beats}"));
    project.write("s/f.yaml", &format!("{head}steps:\n  - expect: {{message: heartbeat, payload: $integer}}\n"));
    let python = clients::python().unwrap();
    let run = |way: &str, code| {
        let port = free_port().to_string();
        let script = project.path("own.py").display().to_string();
        let arguments = [&script, "--host", "127.0.0.1", "--port", &port, "--module-id", "auth_api", way];
        let _module = attach(&project, &python.display().to_string(), &arguments);
        let listen = format!("127.0.0.1:{port}");
        project.play(&["s", "--attach", "--listen", &listen, "--ready-within", "30s"]).exits(code)
    };
    let report = run("plain", 0).report();
    let verdicts: Vec<_> = report["scenarios"].as_array().unwrap().iter().map(|it| it["verdict"].clone()).collect();
    assert_eq!(verdicts, ["pass", "pass", "pass", "not_applicable", "pass", "not_applicable", "pass"]);
    assert_eq!(report["scenarios"][5]["notes"][0]["id"], "module/runs-already");
    assert_eq!(report["scenarios"][3]["notes"][0]["id"], "module/other-station");
    // A scenario that says nothing of EVSEs means one, and not the two of an EVerest that has them.
    project.write("two.yaml", "evses: 2\nauth_token_provider: {cfg_heartbeat_interval_ms: 0}\n");
    project.write("khumbu.yaml", "module: {station: two.yaml}\n");
    project.write("s/g.yaml", &format!("{head}  evses: 2\n  auth_token_provider: {{}}\nsteps:\n{grant}"));
    project.write("s/h.yaml", &format!("{head}  evses: 2\n  auth_token_validator: {{}}\nsteps:\n{grant}"));
    let port = free_port();
    let attached = ["s", "--attach", "--listen", &format!("127.0.0.1:{port}")];
    let report = project.play(&attached).exits(0).report();
    assert_eq!(report["summary"]["not_applicable"], 9, "{report:#}");
    for name in ["khumbu.yaml", "s/g.yaml", "s/h.yaml"] {
        std::fs::remove_file(project.path(name)).unwrap();
    }
    std::fs::remove_file(project.path("s/b.yaml")).unwrap();
    std::fs::remove_file(project.path("s/d.yaml")).unwrap();
    run("silent", 3).fails_with(&["module/unknown-state"]);
}

#[test]
fn ready_is_written_in_khumbu_yaml_as_on_the_command_line() {
    let project = Project::with(&[("t.yaml", TOKEN)]);
    for ready in ["topic:never/+/said", "{topic: never/+/said}"] {
        project.write("khumbu.yaml", &format!("module:\n  ready: {ready}\n  ready_within: 200ms\n"));
        project.play(&["t.yaml"]).exits(3).says("a message came on `never/+/said`");
    }
    project.write("khumbu.yaml", "module: {ready: asleep}\n");
    project.run(&["run", "t.yaml"]).exits(2).says("khumbu.yaml:1:17").says("`topic:FILTER`");
}

#[tokio::test]
async fn on_another_broker_its_word_counts_for_who_hears() {
    let Some(mosquitto) = Mosquitto::start("allow_anonymous true").await else { return };
    let broker = format!("mqtt://{}", mosquitto.address);
    let mut other = Wire::v4(mosquitto.address, "other").await;
    other.subscribe4("everest_test/+/heard", 0).await;
    let run = move || {
        let (project, module) = project()?;
        let fault = "\
description: A fault shows before the next step.
under_test: everest
steps:
  - inject_fault: {evse: 1}
  - expect: {topic: \"everest_test/evse1/log\", within: 500ms}
";
        project.write("f.yaml", fault);
        let binding = "{topic: 'everest_test/evse{evse}/cmd', is: {command: {inject_fault: inject_fault}}}";
        project.write("station.yaml", &format!("bindings:\n  - {binding}\n"));
        let bound = |way: &str| format!("module: {{command: '{module} {way}', station: station.yaml}}\n");
        project.write("khumbu.yaml", &bound("bench"));
        // The module itself hears it, through khumbu.
        let ran = project.play(&["f.yaml", "--broker", &broker, "-j", "4"]).exits(0);
        ran.says("note[run/one-at-a-time]: scenarios are played one at a time, whatever `-j 4` says: on the broker `mqtt://127.0.0.1:");
        project.play(&["f.yaml", "--broker", &broker, "-j", "1"]).exits(0);
        project.write("khumbu.yaml", &bound("plain"));
        let ran = project.play(&["f.yaml", "--broker", &broker]).exits(3).fails_with(&["module/not-drivable"]);
        ran.says("nobody subscribes to `everest_test/evse1/cmd`").says("so says the broker `mqtt://127.0.0.1:");
        // Somebody hears it whom khumbu does not see, and who does nothing.
        project.write("station.yaml", &format!("bindings:\n  - {}\n", binding.replace("/cmd", "/heard")));
        let ran = project.play(&["f.yaml", "--broker", &broker]).exits(1).fails_with(&["expect/missing"]);
        ran.says("it was told on `everest_test/evse1/heard`, where nobody was seen to subscribe");
        Some(())
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}

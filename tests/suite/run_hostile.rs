//! Modules nobody thought of. Whatever they do, a run ends, tells the truth, and leaves nothing behind.

use crate::clients;
use crate::project::{PASS, Project, REPLY, Ran, WITHDRAW};

/// Silence is demanded of the client while it does its worst.
const SILENCE: &str = "\
description: The client makes no request by itself.
under_test: client
steps:
  - expect: {message: communication_check, payload: true}
  - expect_none: {message: withdraw_authorization, for: 1s}
";

/// A client that may be busy with something else than its checks.
const UNCHECKED: &str = "\
description: A client says that it is there.
under_test: client
station:
  auth_consumer: {cfg_communication_check_to_s: 0}
steps:
  - expect: {message: communication_check, payload: true}
";

/// A message that never comes.
const NEVER: &str = "\
description: The client makes a request by itself.
under_test: client
steps:
  - expect: {message: withdraw_authorization, within: 1s}
";

/// Plays a scenario against a Python program; `None` where there is no Python.
fn play(scenario: &str, program: &str, arguments: &[&str]) -> Option<Ran> {
    let python = clients::python()?;
    let project = Project::with(&[("s.yaml", scenario), ("hostile.py", program)]);
    let module = format!("{} hostile.py", python.display());
    let ran = project.play(&[&["s.yaml", "--module", &module], arguments].concat());
    project.assert_nothing_left();
    Some(ran)
}

/// A client that does something once it is ready.
fn consumer(on_ready: &str) -> String {
    let body: String = on_ready.lines().map(|line| format!("        {line}\n")).collect();
    format!(
        "import json, os, sys, threading, time\nfrom consumer import Consumer, arguments\nclass Hostile(Consumer):\n    \
         def on_ready(self):\n        super().on_ready()\n{body}Hostile(arguments('').parse_args()).run()\n"
    )
}

/// An EVerest that does something to each request.
fn everest(on_withdraw: &str) -> String {
    let body: String = on_withdraw.lines().map(|line| format!("        {line}\n")).collect();
    format!(
        "import json, os, sys, time\nfrom everest import Everest, arguments\nclass Hostile(Everest):\n    \
         def withdraw(self, reply_to, evse_id, id_token):\n{body}Hostile(arguments('').parse_args(), {{}}).run()\n"
    )
}

#[test]
fn floods_neither_hide_the_truth_nor_hold_the_run() {
    let flood = consumer(
        "def flood():\n    for n in range(20000):\n        self.client.publish('noise/%d' % (n % 7), 'x' * 50, qos=0)\nthreading.Thread(target=flood, daemon=True).start()",
    );
    let Some(ran) = play(SILENCE, &flood, &[]) else { return };
    ran.exits(0);
    play(NEVER, &flood, &[]).unwrap().exits(1).fails_with(&["expect/missing"]);
    // And one that never stops.
    let endless = consumer(
        "def flood():\n    while True:\n        self.client.publish(self.base + '/e2m/heartbeat', '1', qos=0)\nthreading.Thread(target=flood, daemon=True).start()",
    );
    let ran = play(NEVER, &endless, &[]).unwrap().exits(1);
    // On a slow machine it is too much to be judged to the end.
    assert!(["expect/missing", "module/flood"].contains(&ran.failures()[0].as_str()), "{:?}", ran.failures());
    assert!(ran.failures().contains(&"monitor/wrong-direction".to_owned()), "{:?}", ran.failures());
    play(SILENCE, &endless, &[]).unwrap().exits(1);
}

#[test]
fn payloads_of_any_size_and_kind() {
    for (payload, in_words) in [
        ("b'x' * 5_000_000", "more than the broker takes"),
        ("b'x' * 900_000", "large"),
        ("b'\\xc3'", "half a character"),
        ("b''", "nothing"),
        ("b'[' * 100_000", "deep"),
        ("b'{\"a\":' * 50_000", "deep"),
        ("b'\"\\\\ud800\"'", "half a surrogate"),
        ("b'\\x00\\x1b[2J'", "control characters"),
    ] {
        let module = consumer(&format!(
            "for topic in ('m2e/withdraw_authorization', 'm2e/communication_check', 'x'):\n    self.client.publish(self.base + '/' + topic, {payload}, qos=1)"
        ));
        let Some(ran) = play(PASS, &module, &[]) else { return };
        assert!(matches!(ran.status.code(), Some(0 | 1)), "{in_words}: {}\n{}", ran.status, ran.stderr);
        assert!(!ran.stderr.contains('\x1b'), "{in_words}: {}", ran.stderr);
        // What is nested too deep for our reader is not judged; what the broker refuses was not sent.
        if !matches!(in_words, "more than the broker takes" | "deep") {
            assert_eq!(ran.status.code(), Some(1), "{in_words}");
        }
    }
}

#[test]
fn output_without_end_or_ends() {
    for loud in [
        "for _ in range(1_000_000): print('x' * 99)",
        "sys.stdout.write('x' * 100_000_000)",
        "os.write(2, b'\\xff\\xfe\\x00' * 1000)",
        "os.close(1); os.close(2)",
        "print('\\x1b[31mred\\x1b]0;title\\x07')",
    ] {
        let Some(ran) = play(UNCHECKED, &consumer(loud), &["--stop-within", "20s"]) else { return };
        let ran = ran.exits(0);
        assert!(ran.stdout.len() < 2_000_000, "{loud}: {} bytes", ran.stdout.len());
        assert!(!ran.stderr.contains('\x1b') && !ran.stdout.contains('\x1b'), "{loud}");
    }
}

#[test]
fn nobody_is_taken_for_khumbu() {
    // A module may call itself what it likes; it is judged all the same.
    for id in ["khumbu-display", "khumbu-", "khumbu", "everest", "client"] {
        let named = format!(
            "import sys\nfrom consumer import Consumer, arguments\nimport paho.mqtt.client as mqtt\nclass Named(Consumer):\n    \
             def __init__(self, args):\n        super().__init__(args)\n        self.client._client_id = b'{id}'\n    \
             def on_ready(self):\n        super().on_ready()\n        self.publish(self.base + '/m2e/communication_check', '\"maybe\"')\n\
             Named(arguments('').parse_args()).run()\n"
        );
        let Some(ran) = play(PASS, &named, &["--ready-within", "20s"]) else { return };
        let ran = ran.exits(1);
        assert_eq!(ran.failures(), ["monitor/schema-violation"], "{id}");
    }
}

#[test]
fn giving_orders_and_answers_out_of_turn_gains_nothing() {
    // The control topic is khumbu's.
    let bossy = consumer("self.publish('khumbu/auth_api/do', json.dumps({'withdraw': {'evse_id': 1}}))");
    let Some(ran) = play(SILENCE, &bossy, &[]) else { return };
    // The client follows its own order: what it did is what counts.
    ran.exits(1).fails_with(&["expect/unexpected"]);
    // A client that plays EVerest's part, too.
    let both = consumer(
        "def answer(topic):\n    self.publish(topic, json.dumps('AuthorizationNotFound'))\nself.give_up = lambda t: None\n\
         old = self.send_request\n\
         def send(operation, envelope):\n    answer(self.prefix + envelope['headers']['replyTo'])\n    old(operation, envelope)\n    answer(self.prefix + envelope['headers']['replyTo'])\n\
         self.send_request = send",
    );
    let ran = play(WITHDRAW, &both, &[]).unwrap().exits(1);
    assert!(ran.failures().contains(&"monitor/wrong-direction".to_owned()), "{:?}", ran.failures());
    // An EVerest that makes requests.
    let asking = everest(
        "self.publish(self.base + '/m2e/withdraw_authorization', json.dumps({'headers': {'replyTo': 'x'}, 'payload': {}}))\nself.reply(reply_to, json.dumps('AuthorizationNotFound'))",
    );
    let ran = play(REPLY, &asking, &[]).unwrap().exits(1);
    assert!(ran.failures().contains(&"monitor/wrong-direction".to_owned()), "{:?}", ran.failures());
}

#[test]
fn answers_that_only_look_right() {
    for (wrong, ids) in [
        // Before it is asked, on a topic it cannot know.
        (
            "self.publish(reply_to + 'x', '\"AuthorizationNotFound\"')",
            &["expect/wrong-topic", "monitor/stray-reply"][..],
        ),
        (
            "self.publish(reply_to, '\"AuthorizationNotFound\" ')\nself.publish(reply_to, '\"Accepted\"')",
            &["monitor/second-reply"],
        ),
        (
            "self.publish(reply_to, '\"authorizationnotfound\"')",
            &["expect/payload-mismatch", "monitor/schema-violation"],
        ),
        ("self.publish(reply_to, 'AuthorizationNotFound')", &["expect/payload-mismatch", "monitor/not-json"]),
        (
            "self.publish(reply_to, '{\"payload\": \"AuthorizationNotFound\"}')",
            &["expect/payload-mismatch", "monitor/schema-violation"],
        ),
        (
            "self.publish(reply_to, b'\\xef\\xbb\\xbf\"AuthorizationNotFound\"')",
            &["expect/payload-mismatch", "monitor/not-json"],
        ),
        ("self.publish(reply_to, '\"AuthorizationNotFound\"', retain=True)", &["monitor/retained"]),
        ("os._exit(0)", &["module/ended"]),
        ("self.publish(reply_to, '\"AuthorizationNotFound\"', 2).wait_for_publish(5)\nos._exit(1)", &["module/ended"]),
        ("os.kill(os.getpid(), 9)", &["module/ended"]),
    ] {
        // Something follows, so that the end is seen before the scenario's.
        let scenario = format!("{REPLY}  - expect_none: {{message: reply, for: 500ms}}\n");
        let Some(ran) = play(&scenario, &everest(wrong), &[]) else { return };
        let ran = ran.exits(1);
        let mut failures = ran.failures();
        failures.retain(|id| id != "expect/unexpected" && id != "monitor/qos");
        assert_eq!(failures, ids, "{wrong}\n{}", ran.stderr);
        // What ends at its first request ends before the scenario begins: what it was asked is said.
        let is_asked = ran.stderr.contains("= asked, well-formed: …/m2e/withdraw_authorization");
        assert_eq!(is_asked, ids == ["module/ended"], "{}", ran.stderr);
    }
}

#[test]
fn connections_in_a_loop() {
    let restless = "\
import os, socket, sys, time
import paho.mqtt.client as mqtt
address = (os.environ['MQTT_SERVER_ADDRESS'], int(os.environ['MQTT_SERVER_PORT']))
while True:
    socket.create_connection(address).close()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id='same')
    client.connect(*address)
    client.loop()
    client.loop()
    client._sock_close()
";
    let Some(ran) = play(NEVER, restless, &["--ready-within", "2s"]) else { return };
    ran.exits(3).fails_with(&["module/never-ready"]);
    let ran = play(NEVER, restless, &["--ready", "connected", "--ready-within", "10s"]).unwrap();
    ran.exits(3).fails_with(&["module/acts-by-itself"]);
    // Two connections that take the same name from each other again and again.
    let twins = consumer(
        "twin = Consumer(arguments('').parse_args()) if not os.environ.get('TWIN') else None\n\
         if twin:\n    os.environ['TWIN'] = '1'\n    twin.client._client_id = b'twin'\n    twin.client.loop_start()\n    \
         other = Consumer(arguments('').parse_args())\n    other.client._client_id = b'twin'\n    other.client.loop_start()",
    );
    let ran = play(SILENCE, &twins, &[]).unwrap();
    assert!(matches!(ran.status.code(), Some(0 | 1)), "{}", ran.stderr);
}

#[test]
fn ten_thousand_heartbeats_a_second() {
    let fast = "\
import threading
from everest import Everest, arguments
class Fast(Everest):
    def on_ready(self):
        threading.Thread(target=self.race, daemon=True).start()
    def race(self):
        n = 0
        while True:
            self.client.publish(self.base + '/e2m/heartbeat', str(n), qos=0)
            n += 1
Fast(arguments('').parse_args(), {}).run()
";
    let Some(ran) = play(REPLY, fast, &[]) else { return };
    // Nothing is wrong but the pace and the QoS; whoever sends so much may also answer late, get stuck in its own queue, or be
    // too much for the machine.
    let ran = ran.exits(1);
    let told = [
        "monitor/heartbeat-spacing",
        "monitor/heartbeat-burst",
        "monitor/heartbeats-stopped",
        "monitor/qos",
        "expect/late",
        "expect/missing",
        "module/flood",
    ];
    assert!(ran.failures().iter().all(|id| told.contains(&id.as_str())), "{}", ran.stdout);
}

#[test]
fn a_module_that_never_releases_what_it_sends() {
    let held = "\
import os, socket, time
s = socket.create_connection((os.environ['MQTT_SERVER_ADDRESS'], int(os.environ['MQTT_SERVER_PORT'])))
s.sendall(bytes.fromhex('100d00044d5154540402003c000161'))
s.recv(4)
s.sendall(bytes.fromhex('3408') + b'\\x00\\x03x/y\\x00\\x01' + b'1')
while True:
    time.sleep(0.3)
    s.sendall(bytes.fromhex('c000'))
";
    let scenario = NEVER.replace("within: 1s", "within: 3s");
    let Some(ran) = play(&scenario, held, &["--ready", "connected"]) else { return };
    let ran = ran.exits(1);
    assert!(ran.failures().contains(&"monitor/broke-mqtt".to_owned()), "{:?}", ran.failures());
    assert!(ran.stderr.contains("PUBREC of a message on `x/y` was never answered with PUBREL"), "{}", ran.stderr);
}

#[test]
fn a_module_that_breaks_its_pipe_to_the_broker_in_the_middle_of_a_packet() {
    let half = "\
import os, socket, time
s = socket.create_connection((os.environ['MQTT_SERVER_ADDRESS'], int(os.environ['MQTT_SERVER_PORT'])))
s.sendall(bytes.fromhex('100d00044d5154540402003c000161'))
s.recv(4)
s.sendall(bytes.fromhex('3064'))
time.sleep(600)
";
    let Some(ran) = play(NEVER, half, &["--ready-within", "1s"]) else { return };
    ran.exits(3).fails_with(&["module/never-ready"]);
}

#[test]
fn who_sends_faster_than_anybody_can_judge_is_stopped() {
    let torrent = "\
import os, socket
s = socket.create_connection((os.environ['MQTT_SERVER_ADDRESS'], int(os.environ['MQTT_SERVER_PORT'])))
s.sendall(bytes.fromhex('100d00044d5154540402003c000161'))
s.recv(4)
while True:
    s.sendall(bytes.fromhex('300900056e6f6973657878') * 5000)
";
    let scenario = NEVER.replace("within: 1s", "within: 10s").replace("under_test", "timeout: 20s\nunder_test");
    let Some(ran) = play(&scenario, torrent, &["--ready", "connected"]) else { return };
    // How soon it is too much depends on the machine; that the run ends, and passes nothing, does not.
    let failures = ran.failures();
    assert!(
        ["module/flood", "module/acts-by-itself", "scenario/timeout"].contains(&failures[0].as_str()),
        "{failures:?}"
    );
    assert_ne!(ran.status.code(), Some(0));
}

#[test]
fn a_session_that_lasts_keeps_its_subscriptions() {
    let lasting = "\
import os, threading, time
import paho.mqtt.client as mqtt
base = 'everest_api/1/auth_consumer/auth_api/'
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id='lasting', clean_session=False)
client.reconnect_delay_set(1, 1)
def connected(c, _u, flags, _r, _p):
    if not flags.session_present:
        c.subscribe([('khumbu/auth_api/do', 1), (base + 'e2m/heartbeat', 1)])
def told(c, _u, message):
    if message.topic.startswith('khumbu'):
        c.publish(base + 'm2e/withdraw_authorization', '{\"payload\": {\"evse_id\": 1}}', qos=1)
client.on_connect, client.on_message = connected, told
client.connect(os.environ['MQTT_SERVER_ADDRESS'], int(os.environ['MQTT_SERVER_PORT']))
client.loop_forever()
";
    let scenario = "\
description: A client that is cut off is told again, and needs no new subscription.
under_test: client
station:
  auth_consumer: {cfg_communication_check_to_s: 0}
steps:
  - disconnect
  - withdraw: {evse_id: 1}
";
    let Some(ran) = play(scenario, lasting, &[]) else { return };
    let failures = ran.failures();
    assert!(failures.iter().all(|id| id == "monitor/schema-violation"), "{failures:?}\n{}", ran.stderr);
}

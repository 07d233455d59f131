//! Modules that break MQTT: each breach fails whatever is played, with its requirement, and later findings tell of it.

use std::thread;

use crate::clients;
use crate::project::{Project, Ran};

/// A client on a bare socket that does one thing wrong, and does not come back.
const MODULE: &str = r#"
import os, socket, struct, sys, time
def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return struct.pack('>H', len(value)) + value
def packet(first, body):
    length, out = len(body), b''
    while True:
        out += bytes([length % 128 | (128 if length > 127 else 0)])
        length //= 128
        if not length:
            return bytes([first]) + out + body
way, module = sys.argv[1], os.environ['KHUMBU_MODULE_ID']
hello = packet(0x10, text('MQTT') + b'\x04\x02\0' + (b'\x01' if way == 'silent' else b'\x3c') + text('m1'))
wire = socket.create_connection(('127.0.0.1', int(os.environ['MQTT_SERVER_PORT'])))
if way == 'stranger':
    wire.sendall(b'GET / HTTP/1.1\r\n\r\n')
else:
    wire.sendall(hello + packet(0x82, b'\0\1' + text(f'khumbu/{module}/do') + b'\0'
        + text(f'everest_api/1/auth_consumer/{module}/e2m/#') + b'\0'))
    while len(wire.recv(100)) < 4:
        pass
    time.sleep(.3)
    wire.sendall({
        'wildcard': packet(0x30, text('a/+') + b'x'), 'empty': packet(0x30, text('') + b'x'),
        'utf8': packet(0x30, text(b'a/\xff') + b'x'), 'garbage': b'\0\0', 'dup': packet(0x38, text('a') + b'x'),
        'qos3': packet(0x36, text('a') + b'\0\1x'), 'filter': packet(0x82, b'\0\3' + text('a/#/b') + b'\0'),
        'second': hello, 'answer': b'\xd0\0', 'zero': packet(0x32, text('a') + b'\0\0x'),
        'reuse': packet(0x34, text('a/1') + b'\0\5x') + packet(0x34, text('a/2') + b'\0\5x'),
        'subscribes': packet(0x34, text('a/1') + b'\0\5x') + packet(0x82, b'\0\5' + text('a/b') + b'\0'),
        'leaves': packet(0x34, text('a/1') + b'\0\5x') + packet(0xa2, b'\0\5' + text('a/b')),
        'big': packet(0x30, text('a') + b'z' * 70000), 'silent': b'', 'none': b'\xc0\0',
    }[way])
    # Whatever else it does, it reads.
    try:
        while wire.recv(4096):
            pass
    except OSError:
        pass
time.sleep(60)
"#;

const SILENT: &str = "\
description: Nothing is asked of the module but to be there.
under_test: client
station:
  auth_consumer: {cfg_communication_check_to_s: 0}
steps:
  - expect_none: {topic: never/comes, for: 2500ms}
";

const ASKED: &str = "\
description: Something is asked of the module.
under_test: client
station:
  auth_consumer: {cfg_communication_check_to_s: 0}
steps:
  - expect_none: {topic: never/comes, for: 1s}
  - withdraw: {evse_id: 1, within: 1s}
";

const EXPECTED: &str = "\
description: A message is expected of the module.
under_test: client
station:
  auth_consumer: {cfg_communication_check_to_s: 0}
steps:
  - expect_none: {topic: never/comes, for: 1s}
  - expect: {topic: display/shown, within: 500ms}
";

/// Plays scenarios against the module in one of its ways.
fn play(way: &str, scenarios: &[(&str, &str)], arguments: &[&str]) -> Option<Ran> {
    let python = clients::python()?;
    let project = Project::with(&[("breaks.py", MODULE)]);
    scenarios.iter().for_each(|(name, text)| project.write(name, text));
    let module = format!("{} breaks.py {way}", python.display());
    Some(project.play(&[&["."], &["--module", &module, "--max-packet", "64KiB"][..], arguments].concat()))
}

#[test]
fn every_breach_fails_with_its_requirement() {
    let ways = [
        ("wildcard", "MQ-2", "PUBLISH: topic `a/+`"),
        ("empty", "MQ-2", "PUBLISH: "),
        ("filter", "MQ-2", "SUBSCRIBE: "),
        ("utf8", "MQ-1", "PUBLISH: the topic is not UTF-8 at byte 2"),
        ("garbage", "MQ-1", "first byte 0x00 is no MQTT packet"),
        ("dup", "MQ-1", "PUBLISH: DUP with QoS 0"),
        ("qos3", "MQ-1", "PUBLISH: QoS 3"),
        ("second", "MQ-3", "a second CONNECT"),
        ("stranger", "MQ-3", "no CONNECT: first byte 0x47"),
        ("answer", "MQ-4", "PINGRESP is not for clients to send"),
        ("zero", "MQ-5", "PUBLISH: the packet identifier is 0"),
        ("reuse", "MQ-5", "PUBLISH: packet identifier 5 is still in use for a message on `a/1`"),
        ("subscribes", "MQ-5", "SUBSCRIBE: packet identifier 5 is still in use for a message on `a/1`"),
        ("leaves", "MQ-5", "UNSUBSCRIBE: packet identifier 5 is still in use for a message on `a/1`"),
        ("big", "MQ-6", "PUBLISH of 70007 bytes is larger than the limit of 65536 bytes"),
        ("silent", "MQ-7", "keep-alive: nothing received for 1.5 × 1s"),
    ];
    thread::scope(|scope| {
        for (way, requirement, what) in ways {
            scope.spawn(move || {
                let Some(ran) = play(way, &[("s.yaml", SILENT)], &["--ready-within", "2s"]) else { return };
                let report = ran.exits(1).report();
                let failures = report["scenarios"][0]["failures"].as_array().unwrap().clone();
                let breach = failures.iter().find(|failure| failure["id"] == "monitor/broke-mqtt");
                let breach = breach.unwrap_or_else(|| panic!("{way}: {report:#}"));
                assert_eq!(breach["requirement"], requirement, "{way}");
                let message = breach["message"].as_str().unwrap();
                assert!(message.starts_with(&format!("module broke MQTT: {what}")), "{way}: {message}");
            });
        }
    });
    if let Some(ran) = play("none", &[("s.yaml", SILENT)], &[]) {
        let report = ran.report();
        assert_ne!(report["scenarios"][0]["verdict"], "fail", "{report:#}");
    }
}

#[test]
fn what_a_breach_explains_tells_of_it() {
    let all = [("silent.yaml", SILENT), ("asked.yaml", ASKED), ("expected.yaml", EXPECTED)];
    let Some(ran) = play("wildcard", &all, &[]) else { return };
    let report = ran.exits(1).report();
    for scenario in report["scenarios"].as_array().unwrap() {
        assert_eq!(scenario["verdict"], "fail", "{scenario:#}");
        let failures = scenario["failures"].as_array().unwrap();
        assert!(failures.iter().any(|failure| failure["id"] == "monitor/broke-mqtt"), "{scenario:#}");
        for failure in failures.iter().filter(|failure| failure["id"] != "monitor/broke-mqtt") {
            let evidence = failure["evidence"].to_string();
            assert!(evidence.contains("the broker cut client `m1` off at"), "{failure:#}");
            assert!(evidence.contains("it has not come back, and lost its subscriptions to"), "{failure:#}");
        }
    }
    let ids: Vec<_> = ["asked.yaml", "expected.yaml"]
        .iter()
        .map(|path| {
            report["scenarios"].as_array().unwrap().iter().find(|it| it["path"].as_str().unwrap().ends_with(path))
        })
        .map(|scenario| scenario.unwrap()["failures"].as_array().unwrap().len())
        .collect();
    assert!(ids.iter().all(|count| *count > 1), "{report:#}");
}

/// A client on a bare socket whose library sends a request again after it was cut off, in one of these ways: at QoS 1 with
/// DUP, or anew; at QoS 2 with DUP, in a session that lasts, and in one that does not.
const REPEATS: &str = r#"
import json, os, socket, struct, sys, threading, time, uuid
way, module = sys.argv[1], os.environ['KHUMBU_MODULE_ID']
base = f'everest_api/1/auth_consumer/{module}'
def text(value):
    return struct.pack('>H', len(value)) + value.encode()
def packet(first, body):
    length, out = len(body), b''
    while True:
        out += bytes([length % 128 | (128 if length > 127 else 0)])
        length //= 128
        if not length:
            return bytes([first]) + out + body
lasting, qos = way == 'lasting', 1 if way in ('dup', 'anew') else 2
def connect():
    wire = socket.create_connection(('127.0.0.1', int(os.environ['MQTT_SERVER_PORT'])))
    wire.sendall(packet(0x10, text('MQTT') + b'\x04' + (b'\0' if lasting else b'\x02') + b'\0\0' + text('m1')))
    topics = [f'khumbu/{module}/do', f'{base}/e2m/#']
    wire.sendall(packet(0x82, b'\0\1' + b''.join(text(topic) + b'\0' for topic in topics)))
    return wire
def request(number, argument, flags=0):
    reply_to = f'{base}/e2m/reply/{number}'
    body = json.dumps({'headers': {'replyTo': reply_to}, 'payload': argument}).encode()
    subscribe = packet(0x82, b'\0\2' + text(reply_to) + b'\0')
    return subscribe + packet(0x30 | qos << 1 | flags, text(f'{base}/m2e/withdraw_authorization') + bytes([0, 10 + number]) + body)
wire, buffer, asked = connect(), b'', []
def check():
    while True:
        time.sleep(.3)
        try:
            wire.sendall(packet(0x30, text(f'{base}/m2e/communication_check') + b'true'))
        except OSError:
            pass
threading.Thread(target=check, daemon=True).start()
while True:
    try:
        more = wire.recv(4096)
    except OSError:
        more = b''
    if not more:
        # What was begun is taken up where it was left, or from the beginning.
        wire, buffer = connect(), b''
        for number, argument in enumerate(asked):
            wire.sendall(request(number, argument, 0 if way == 'anew' else 8))
        continue
    buffer += more
    while len(buffer) > 1:
        length, at, shift = 0, 1, 0
        while at < len(buffer):
            length |= (buffer[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if buffer[at - 1] < 128:
                break
        if len(buffer) < at + length:
            break
        whole, buffer = buffer[:at + length], buffer[at + length:]
        body = whole[at:]
        if whole[0] >> 4 == 5:
            wire.sendall(b'\x62\2' + body[:2])
        if whole[0] >> 4 == 3:
            end = 2 + struct.unpack('>H', body[:2])[0]
            if body[2:end].decode() == f'khumbu/{module}/do':
                command = json.loads(body[end:])
                if 'withdraw' in command:
                    asked.append(command['withdraw'])
                    wire.sendall(request(len(asked) - 1, asked[-1]))
"#;

#[test]
fn what_a_library_sends_again_is_no_new_request() {
    let Some(python) = clients::python() else { return };
    let scenario = include_str!("../../scenarios/client/reconnect_after_request.yaml");
    thread::scope(|scope| {
        for way in ["dup", "anew", "clean", "lasting"] {
            let python = &python;
            scope.spawn(move || {
                let project = Project::with(&[("s.yaml", scenario), ("repeats.py", REPEATS)]);
                let module = format!("{} repeats.py {way}", python.display());
                let ran = project.play(&["s.yaml", "--module", &module]);
                println!("{way}");
                ran.exits(0);
            });
        }
    });
}

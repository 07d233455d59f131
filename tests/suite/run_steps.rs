//! Steps and message ids: each case is a scenario, what it is played against, and what must come of it.

use crate::project::{Project, python_module};

/// One run.
struct Case {
    name: &'static str,
    scenario: &'static str,
    exit: i32,
    failures: &'static [&'static str],
    /// What must be said.
    says: &'static [&'static str],
}

const fn case(
    name: &'static str,
    scenario: &'static str,
    exit: i32,
    failures: &'static [&'static str],
    says: &'static [&'static str],
) -> Case {
    Case { name, scenario, exit, failures, says }
}

const RUNS: &str = r#"
description: Commands of the user.
under_test: client
steps:
  - run: {command: "true"}
  - run: {command: "sh -c 'exit 7'", exit: 7}
  - run: {command: "cat", stdin: "  a\nb\n", stdout: "a\nb"}
  - run: {command: "echo {host} {module_id} {api_version}", stdout: "127.0.0.1 auth_api 1"}
  - run: {command: "echo {port}", stdout: "$/[0-9]{2,5}/"}
  - run: {command: "sh -c 'echo $MQTT_SERVER_PORT'", stdout: "$/[0-9]{2,5}/"}
  - run: {command: "sh -c 'echo no >&2'", stdout: ""}
  - run: {command: "sh -c 'exec 0<&-; sleep 0.05'", stdin: "nobody reads this"}
  - run: {command: "sh -c 'sleep 60 & echo done'", stdout: "done"}
"#;

const LOOPS: &str = r#"
description: Repetition, remarks and orders.
under_test: everest
station:
  evses: 2
  tokens:
    ALICE: {value: "04A2F3B1", type: ISO14443, connectors: [1]}
steps:
  - note: Twice times twice.
  - repeat:
      times: 2
      steps:
        - repeat:
            times: 2
            steps:
              - withdraw: {as: one}
              - withdraw: {evse_id: 2, as: two}
              - any_order:
                  - expect_reply: {to: two, payload: AuthorizationNotFound}
                  - expect_reply: {to: one, payload: AuthorizationNotFound}
        - present_token: ALICE
        - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart], connectors: [1]}
        - withdraw: {token: ALICE}
        - any_order:
            - expect_reply: Accepted
            - expect_status: {token: ALICE, status: Withdrawn}
  - expect_none: {message: token_validation_status, payload: {status: Rejected}, for: 50ms}
"#;

const CLIENT_RETURNS: &str = r#"
description: A client that is cut off comes back, twice, and works.
under_test: client
station:
  tokens:
    ALICE: {value: "04A2F3B1", type: ISO14443}
steps:
  - repeat:
      times: 2
      steps:
        - disconnect
        - expect: {message: communication_check, payload: true}
        - withdraw: {evse_id: 1}
        - expect_reply: AuthorizationNotFound
  - restart_everest
  - expect: {message: heartbeat, payload: 0}
  - withdraw: {evse_id: 1}
  - expect_reply: AuthorizationNotFound
"#;

const EVEREST_RETURNS: &str = r#"
description: EVerest is started again and remembers nothing.
under_test: everest
station:
  tokens:
    ALICE: {value: "04A2F3B1", type: ISO14443, connectors: [1]}
steps:
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}
  - restart_everest
  - expect: {message: heartbeat, payload: 0}
  - get_status: {}
  - expect_reply: true
  - withdraw: {token: ALICE}
  - expect_reply: AuthorizationNotFound
"#;

const BYTES: &str = r#"
description: Exactly these bytes.
under_test: everest
steps:
  - publish: {topic: "{m2e}/withdraw_authorization", hex: "7b 22 c3 28 22"}
  - publish: {topic: "{m2e}/withdraw_authorization", text: "{\"headers\":"}
  - publish: {topic: "{m2e}/withdraw_authorization", text: "{\"headers\": {\"replyTo\": \"{reply}\"}, \"payload\": {}}", qos: 2}
  - expect_reply: AuthorizationNotFound
  - publish:
      topic: "{m2e}/withdraw_authorization"
      payload: {headers: {replyTo: "{reply}"}, payload: {evse_id: 1}}
      as: named
      qos: 1
  - expect: {message: reply, payload: $capture:answer}
  - publish: {topic: "echo/{module_id}", payload: {answer: $captured:answer}, retain: true}
  - expect: {topic: echo/+, within: 100ms}
"#;

const PATIENT: &str = r#"
description: Each status of a sequence has the whole time.
under_test: everest
station:
  evses: 2
  auth: {selection_algorithm: PlugEvents, connection_timeout: 1}
  tokens:
    ALICE: {value: "04A2F3B1", type: ISO14443, verdict_after: 700ms}
steps:
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted, TimedOut], within: 1300ms}
"#;

const BEATS: &str = r#"
description: Heartbeats as one likes.
under_test: everest
station:
  auth_consumer: {cfg_heartbeat_interval_ms: 20}
steps:
  - expect: {message: heartbeat, payload: 0}
  - heartbeats: {next: 9007199254740992}
  - expect: {message: heartbeat, payload: 9007199254740992}
  - expect: {message: heartbeat, payload: 9007199254740993}
  - heartbeats: {next: 18446744073709551615}
  - expect: {message: heartbeat, payload: 18446744073709551615}
  - expect: {message: heartbeat, payload: 0}
  - heartbeats: pause
  - expect_none: {message: heartbeat, payload: 50, for: 100ms}
  - heartbeats: resume
  - expect: {message: heartbeat}
  - heartbeats: {every: 10ms}
  - repeat:
      times: 5
      steps:
        - expect: {message: heartbeat}
"#;

macro_rules! client {
    ($steps:literal) => {
        concat!("description: A case.\nunder_test: client\nwithin: 300ms\nsteps:\n", $steps)
    };
}

macro_rules! everest {
    ($steps:literal) => {
        concat!(
            "description: A case.\nunder_test: everest\nwithin: 300ms\nstation:\n",
            "  tokens:\n    ALICE: {value: \"04A2F3B1\", type: ISO14443, connectors: [1]}\nsteps:\n",
            $steps
        )
    };
}

/// The EV that is there is found again.
macro_rules! ev_stays {
    ($side:literal) => {
        concat!(
            "description: An EV stays plugged in while EVerest is started again.\nunder_test: ",
            $side,
            "\nstation:\n  tokens:\n    ALICE: {value: \"04A2F3B1\", type: ISO14443, connectors: [1]}\nsteps:\n",
            "  - plug_in: {evse: 1}\n  - restart_everest\n  - present_token: ALICE\n",
            "  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}\n",
            "  - start_transaction: {evse: 1}\n  - unplug: {evse: 1}\n"
        )
    };
}

// Against the built-in modules.
#[rustfmt::skip]
rows! { does_as_it_says(&Case):
    runs: case("runs", RUNS, 0, &[], &[]),
    loops: case("loops", LOOPS, 0, &[], &[]),
    client_returns: case("client_returns", CLIENT_RETURNS, 0, &[], &[]),
    everest_returns: case("everest_returns", EVEREST_RETURNS, 0, &[], &[]),
    ev_stays_at_everest: case("ev_stays_at_everest", ev_stays!("everest"), 0, &[], &[]),
    ev_stays_for_client: case("ev_stays_for_client", ev_stays!("client"), 0, &[], &[]),
    // What khumbu publishes itself meets no expectation.
    bytes: case("bytes", BYTES, 1, &["expect/missing"], &["bytes.yaml:16", r#"echo/auth_api q0 retain {"answer":"AuthorizationNotFound"}"#]),
    beats: case("beats", BEATS, 0, &[], &[]),
    own_request: case("own_request", client!("  - publish: {topic: \"khumbu/{module_id}/do\", payload: {withdraw: {evse_id: 1}}}\n  \
        - expect: {message: withdraw_authorization}\n  - expect_reply: AuthorizationNotFound\n"), 0, &[], &[]),
    patient: case("patient", PATIENT, 0, &[], &[]),

    run_exit: case("run_exit", client!("  - run: {command: \"sh -c 'echo so; exit 3'\"}\n"), 1, &["run/exit-code"],
         &["run_exit.yaml:5", "exited with code 3, expected code 0", "command wrote: so"]),
    run_signal: case("run_signal", client!("  - run: {command: \"sh -c 'kill -9 $$'\"}\n"), 1, &["run/exit-code"], &["SIGKILL"]),
    run_output: case("run_output", client!("  - run: {command: echo no, stdout: \"yes\"}\n"), 1, &["run/output"],
         &["expected: `\"yes\"`", "printed: `no`"]),
    run_timeout: case("run_timeout", client!("  - run: {command: sleep 60, within: 100ms}\n"), 1, &["run/timeout"], &["100ms"]),
    run_not_started: case("run_not_started", client!("  - run: {command: no-such-program}\n"), 3, &["run/not-started"],
         &["run_not_started.yaml:5"]),
    run_not_split: case("run_not_split", client!("  - run: {command: \"echo 'half\"}\n"), 2, &[], &["scenario/"]),

    contradicted_status: case("contradicted_status", client!("  - expect: {message: token_validation_status}\n"), 3,
         &["scenario/contradicted"], &["the simulated EVerest sent no token_validation_status"]),
    contradicted_none: case("contradicted_none", client!("  - expect_none: {message: heartbeat, for: 3s}\n"), 3,
         &["scenario/contradicted"], &["heartbeat where none may come"]),
    contradicted_reply: case("contradicted_reply", client!("  - withdraw: {evse_id: 1}\n  - expect_reply: Accepted\n"), 3,
         &["scenario/contradicted"], &["replied `AuthorizationNotFound`, expected `Accepted`"]),
    ignored_stimulus: case("ignored_stimulus", client!("  - unplug: {evse: 1}\n"), 3, &["scenario/ignored-stimulus"],
         &["`unplug` came to nothing"]),
    timeout: case("timeout", concat!("timeout: 400ms\n", client!("  - repeat:\n      times: 100\n      steps:\n        - \
          expect_none: {message: reply, for: 100ms}\n")), 3,
         &["scenario/timeout"], &["not over within 400ms", "timeout.yaml:1"]),
    unpublishable: case("unpublishable", client!("  - publish: {topic: \"a/{module_id}/\\0\", text: x}\n"), 2, &[], &["scenario/"]),
    nobody_asked: case("nobody_asked", client!("  - publish: {topic: \"{reply_to}\", payload: Rejected}\n"), 3,
         &["expect/no-reply-topic"], &["nobody_asked.yaml", "no reply can come"]),

    out_of_order: case("out_of_order", everest!("  - withdraw: {as: one}\n  - withdraw: {as: two}\n  - expect_reply: {to: two, \
          payload: $any}\n  - expect_reply: {to: one, payload: $any}\n"), 1, &["expect/out-of-order"], &["any_order"]),
    unexpected: case("unexpected", everest!("  - withdraw: {}\n  - expect_none: {message: reply, for: 2s}\n"), 1,
         &["expect/unexpected"], &["reply where none may come"]),
    missing: case("missing", everest!("  - withdraw: {}\n  - expect_status: {token: ALICE, status: Withdrawn}\n"), 1,
         &["expect/missing"], &["sent no status `Withdrawn` for token `ALICE` within 300ms"]),
    mismatch: case("mismatch", everest!("  - withdraw: {}\n  - expect_reply: Accepted\n"), 1, &["expect/payload-mismatch"],
         &["replied `AuthorizationNotFound`, expected `Accepted`"]),
    mismatch_in_sequence: case("mismatch_in_sequence", everest!("  - present_token: ALICE\n  - expect_status: {token: ALICE, sequence: \
          [Processing, Rejected]}\n"), 1, &["expect/payload-mismatch"], &["published status `Accepted`, expected `Rejected`"]),
    call_mismatch: case("call_mismatch", everest!("  - present_token: ALICE\n  - expect_evse: {evse: 1, call: authorize_response, \
          payload: {result: {authorization_status: Invalid}}}\n"), 1, &["expect/payload-mismatch"],
         &["called an EVSE with `Accepted`, expected `Invalid`", "call_mismatch.yaml:9"]),
    call_missing: case("call_missing", everest!("  - present_token: ALICE\n  - expect_evse: {evse: 1, call: stop_transaction}\n"), 1,
         &["expect/missing"], &["sent no call `stop_transaction` to EVSE 1 within 300ms"]),
    call_unexpected: case("call_unexpected", everest!("  - present_token: ALICE\n  - expect_none: {call: authorize_response, for: 2s}\n"),
         1, &["expect/unexpected"], &["call to an EVSE where none may come"]),
    call_of_another: case("call_of_another", everest!("  - present_token: ALICE\n  - expect_none: {call: authorize_response, \
          payload: {result: {authorization_status: Invalid}}, for: 100ms}\n  - expect_none: {call: stop_transaction, \
          evse: 1, for: 100ms}\n"), 0, &[], &[]),
    call_contradicted: case("call_contradicted", client!("  - expect_evse: {evse: 1, call: withdraw_authorization}\n"), 3,
         &["scenario/contradicted"], &["the simulated EVerest sent no call `withdraw_authorization` to EVSE 1"]),

    mismatch_connectors: case("mismatch_connectors", everest!("  - present_token: ALICE\n  - expect_status: {token: ALICE, sequence: \
          [Processing, Accepted], connectors: [2]}\n"), 1, &["expect/payload-mismatch"], &["published a status with"]),
}

fn does_as_it_says(case: &Case) {
    let project = Project::new();
    let file = format!("{}.yaml", case.name);
    project.write(&file, case.scenario);
    let ran = project.play(&[&file]).exits(case.exit);
    if case.exit != 2 {
        assert_eq!(ran.failures(), case.failures, "{}", ran.stderr);
    }
    case.says.iter().fold(ran, |ran, part| ran.says(part));
    project.assert_nothing_left();
}

#[test]
fn modules_of_other_hands_do_the_same() {
    let project = Project::with(&[
        ("client.yaml", CLIENT_RETURNS),
        ("everest.yaml", EVEREST_RETURNS),
        ("loops.yaml", LOOPS),
        ("beats.yaml", BEATS),
    ]);
    for (scenario, module) in [
        ("client.yaml", "consumer.py"),
        ("everest.yaml", "everest.py"),
        ("loops.yaml", "everest.py"),
        ("beats.yaml", "everest.py"),
    ] {
        let Some(module) = python_module(module) else { return };
        let ran = project.play(&[scenario, "--module", &module]);
        assert_eq!(ran.status.code(), Some(0), "{scenario}\n{}", ran.stderr);
    }
}

const CALLED: &str = everest!(
    "  - plug_in: {evse: 1}\n  - present_token: ALICE\n  - any_order:\n      - expect_status: {token: ALICE, sequence: \
     [Processing, Accepted, UsedToStart]}\n      - expect_evse: {evse: 1, call: authorize_response, payload: {result: \
     {authorization_status: Accepted}}}\n  - withdraw: {}\n  - expect_reply: Accepted\n  - expect_evse: {evse: 1, call: \
     withdraw_authorization}\n"
);
const NOT_CALLED: &str = everest!("  - expect_none: {call: stop_transaction, for: 100ms}\n");

/// A stand-in shows what it asks of its EVSEs on khumbu's topic, or where its test bench has it; or nobody can say.
#[test]
fn calls_to_evses_are_seen_where_they_are_shown() {
    const SHOWN: &str = "
import json, sys
from everest import Everest, arguments, DEFAULTS
class Shown(Everest):
    def show(self, what, detail):
        if 'bench' in sys.argv or 'log' in sys.argv and what == 'ready':
            self.publish('bench/1/log', json.dumps({'what': what, 'detail': json.dumps(detail)}))
        elif 'did' in sys.argv and what != 'ready':
            self.publish('khumbu/auth_api/did', json.dumps({'evse_call': {'evse': 1, 'call': what, 'arguments': detail}}))
    def on_ready(self):
        super().on_ready()
        self.show('ready', None)
    def publish_status(self, token, status, messages):
        if status == 'UsedToStart':
            self.show('authorize_response', {'token': token, 'result': {'authorization_status': 'Accepted'}})
        if status == 'Withdrawn':
            self.show('withdraw_authorization', None)
        super().publish_status(token, status, messages)
args, _ = arguments('x').parse_known_args()
import os
Shown(args, json.loads(os.environ['KHUMBU_STATION'])).run()
";
    const BENCH: &str =
        "bindings:\n  - topic: bench/{evse}/log\n    is: {evse_call: {name: what, arguments: detail}}\n";
    let Some(python) = crate::clients::python() else { return };
    let files = [("called.yaml", CALLED), ("not.yaml", NOT_CALLED), ("shown.py", SHOWN), ("bench.yaml", BENCH)];
    let project = Project::with(&files);
    project.write("khumbu.yaml", "module: {station: bench.yaml}\n");
    let module = |way: &str| format!("{} shown.py {way}", python.display());
    project.write("none.yaml", "{}\n");
    // Silence about everything shows nothing.
    for (config, way, called, not) in [
        ("khumbu.yaml", "bench", 0, 0),
        ("khumbu.yaml", "log", 1, 0),
        ("khumbu.yaml", "silent", 3, 3),
        ("none.yaml", "did", 0, 3),
        ("none.yaml", "silent", 3, 3),
    ] {
        for (scenario, exits) in [("called.yaml", called), ("not.yaml", not)] {
            let ran = project.play(&[scenario, "--config", config, "--module", &module(way)]);
            assert_eq!(ran.status.code(), Some(exits), "{scenario} {way}\n{}", ran.stderr);
            let failures: &[&str] = match exits {
                0 => &[],
                1 => &["expect/missing"],
                _ => &["module/calls-unseen"],
            };
            assert_eq!(ran.failures(), failures, "{scenario} {way}\n{}", ran.stderr);
        }
    }
    project.write("none.yaml", "module: {cannot: [expect_evse]}\n");
    let ran =
        project.play(&["called.yaml", "not.yaml", "--config", "none.yaml", "--module", &module("silent")]).exits(0);
    assert_eq!(ran.report()["summary"]["not_applicable"], 2, "{}", ran.stdout);
}

#[test]
fn a_step_of_any_order_is_not_above_the_others() {
    let steps = everest!(
        "  - present_token: ALICE\n  - any_order:\n      - expect: {message: token_validation_status, \
        payload: {status: UsedToStart}}\n      - expect: {message: token_validation_status, payload: {status: Accepted, \
        messages: [], token: {request_id: 5}}}\n"
    );
    let ran = Project::with(&[("any.yaml", steps)]).play(&["any.yaml"]);
    assert!(ran.stderr.contains("but `token.request_id` is missing, expected `5`"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("the step above"), "{}", ran.stderr);
}

#[test]
fn a_request_that_wants_no_reply_gets_none() {
    let project = Project::with(&[
        ("w.yaml", crate::project::WITHDRAW),
        (
            "shy.py",
            "
from consumer import Consumer, arguments
class Shy(Consumer):
    def request(self, operation, payload):
        self.send_request(operation, {'headers': {}, 'payload': payload})
Shy(arguments('').parse_args()).run()
",
        ),
    ]);
    let Some(python) = crate::clients::python() else { return };
    let ran = project.play(&["w.yaml", "--module", &format!("{} shy.py", python.display())]);
    assert!(ran.failures().contains(&"expect/no-reply-topic".to_owned()), "{}", ran.stderr);
    assert_ne!(ran.status.code(), Some(0));
}

#[test]
fn a_topic_that_is_too_long_once_filled_in_is_refused() {
    for side in ["client", "everest"] {
        let topic = format!("{{m2e}}/{}", "x".repeat(65_520));
        let scenario =
            format!("description: x\nunder_test: {side}\nsteps:\n  - publish: {{topic: \"{topic}\", text: \"\"}}\n");
        let ran = Project::with(&[("long.yaml", &scenario)]).play(&["long.yaml"]);
        assert_eq!(ran.status.code(), Some(3), "{side}\n{}", ran.stderr);
        assert_eq!(ran.failures(), ["scenario/unpublishable"], "{side}\n{}", ran.stderr);
    }
}

#[test]
fn a_module_that_leaves_by_itself_is_told() {
    const LEAVES: &str = "\
description: A client that leaves once it has been seen.
under_test: client
steps:
  - expect: {message: communication_check, payload: true}
  - publish: {topic: leave, text: now}
  - run: {command: sh -c 'tail --pid=$(cat pid) -f /dev/null'}
";
    const LEAVER: &str = "
import os, sys
from consumer import Consumer, arguments
open('pid', 'w').write(str(os.getpid()))
class Leaver(Consumer):
    def topics(self):
        return [*super().topics(), ('leave', 1)]
    def on_message(self, topic, payload):
        os._exit(int(sys.argv[1])) if topic == 'leave' else super().on_message(topic, payload)
Leaver(arguments('').parse_args([])).run()
";
    let Some(python) = crate::clients::python() else { return };
    let project = Project::with(&[("leaves.yaml", LEAVES), ("leaver.py", LEAVER)]);
    for (code, exit, failures) in [(0, 0, &[][..]), (5, 1, &["module/ended"])] {
        let ran = project.play(&["leaves.yaml", "--module", &format!("{} leaver.py {code}", python.display())]);
        assert_eq!(ran.status.code(), Some(exit), "{}", ran.stderr);
        assert_eq!(ran.failures(), failures, "{}", ran.stderr);
        assert_eq!(ran.stderr.contains("module/ended-by-itself"), code == 0, "{}", ran.stderr);
    }
}

#[test]
fn a_check_that_comes_too_late_is_late_whatever_the_scenario_is_about() {
    const STATUS: &str = "\
description: A client takes a status.
requirements: [TV-17]
under_test: client
within: 1200ms
steps:
  - expect: {message: communication_check, payload: true}
  - publish: {topic: '{e2m}/token_validation_status', payload: {status: Accepted, messages: [], token: {}}}
  - expect: {message: communication_check, payload: true}
  - expect: {message: communication_check, payload: true}
";
    // What takes the status holds up the checks.
    const SLOW: &str = "
import threading
from consumer import Consumer, arguments
class Slow(Consumer):
    def on_message(self, topic, payload):
        if topic.endswith('/token_validation_status'):
            threading.Event().wait(6)
        super().on_message(topic, payload)
Slow(arguments('').parse_args()).run()
";
    let Some(python) = crate::clients::python() else { return };
    let project = Project::with(&[("status.yaml", STATUS), ("slow.py", SLOW)]);
    let ran = project.play(&["status.yaml", "--module", &format!("{} slow.py", python.display())]);
    assert_eq!(ran.failures()[0], "expect/missing", "{}", ran.stderr);
    // So does the gap between its checks.
    assert!(ran.stderr.contains("= requirement: CC-8") && !ran.stderr.contains("TV-17"), "{}", ran.stderr);
    assert!(ran.stderr.contains("it sent one later, so that nothing has stopped it"), "{}", ran.stderr);
}

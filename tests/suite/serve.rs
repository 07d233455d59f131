//! `khumbu serve --stdio` as a test suite in another language uses it: lines in, lines out.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::project::{Project, fixture, wait_for};
use crate::{clients, printed};

/// The server, spoken to by hand.
struct Served {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: Option<JoinHandle<String>>,
    last: u64,
}

impl Served {
    fn start(project: &Project) -> Self {
        let mut child = project.command(&["serve", "--stdio"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).unwrap();
            text
        });
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { stdin: child.stdin.take(), child, stdout, stderr: Some(stderr), last: 0 }
    }

    fn write(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next line of standard output, which is a message and nothing else.
    #[track_caller]
    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}`"));
        assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
        printed::keep(answer["error"]["data"]["text"].as_str().unwrap_or_default());
        answer
    }

    fn send(&mut self, method: &str, params: &Value) -> u64 {
        self.last += 1;
        self.write(&json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params}).to_string());
        self.last
    }

    #[track_caller]
    fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.send(method, &params);
        let mut answer = self.read();
        assert_eq!(answer["id"], id, "{answer}");
        match answer["error"].take() {
            Value::Null => Ok(answer["result"].take()),
            error => Err(error),
        }
    }

    #[track_caller]
    fn step(&mut self, session: &Value, step: Value) -> Result<Value, Value> {
        self.call("step", json!({"session": session, "step": step}))
    }

    #[track_caller]
    fn close(&mut self, session: &Value) -> Value {
        self.call("close", json!({"session": session})).unwrap()
    }

    /// Ends standard input; how the server ends, and what it had to say to people.
    #[track_caller]
    fn end(mut self) -> (Option<i32>, String) {
        drop(self.stdin.take());
        let code = wait_for("its end", || self.child.try_wait().unwrap()).code();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        printed::keep(&stderr);
        (code, stderr)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that a test has started.
struct Module(Child);

impl Module {
    /// A fixture in Python, with what an answer of `open` has for its environment.
    fn start(python: &std::path::Path, name: &str, opened: &Value) -> Self {
        let mut command = Command::new(python);
        command.arg(fixture(&format!("modules/{name}"))).stdout(Stdio::null());
        for (name, value) in opened["environment"].as_object().unwrap() {
            command.env(name, value.as_str().unwrap());
        }
        Self(command.spawn().unwrap())
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn station() -> Value {
    json!({"evses": 2, "tokens": {"ALICE": {"value": "04A2F3B1", "type": "ISO14443"}}})
}

#[test]
fn a_session_is_a_scenario_whose_steps_arrive_one_by_one() {
    let Some(python) = clients::python() else { return };
    let project = Project::new();
    let mut served = Served::start(&project);
    let head = json!({"station": station(), "requirements": ["WD-2"], "name": "a test", "record": true});
    let opened = served.call("open", head).unwrap();
    let session = opened["session"].clone();
    let module = Module::start(&python, "consumer.py", &opened);
    assert_eq!(served.call("ready", json!({"session": session})).unwrap()["messages"], json!([]));
    served.step(&session, json!({"plug_in": {"evse": 1}})).unwrap();
    served.step(&session, json!({"present_token": "ALICE"})).unwrap();
    let sequence = json!(["Processing", "Accepted", "UsedToStart"]);
    let met = served.step(&session, json!({"expect_status": {"token": "ALICE", "sequence": sequence}})).unwrap();
    let told: Vec<_> = met["messages"].as_array().unwrap().iter().map(|it| it["payload"]["status"].clone()).collect();
    assert_eq!(json!(told), sequence);
    assert_eq!((&met["messages"][0]["from"], &met["messages"][0]["qos"]), (&json!("khumbu"), &json!(2)));
    let met = served.step(&session, json!({"withdraw": {"evse_id": 1}})).unwrap();
    assert_eq!(
        (&met["messages"][0]["from"], &met["messages"][0]["name"]),
        (&json!("module"), &json!("withdraw_authorization"))
    );
    // One that makes no sense is not played, and the session goes on.
    let error = served.step(&session, json!({"expect_status": {"token": "ALIC", "status": "Withdrawn"}})).unwrap_err();
    assert_eq!((&error["code"], &error["data"]["id"]), (&json!(-32602), &json!("scenario/unknown-token")));
    assert!(error["data"]["text"].as_str().unwrap().contains("--> a test:13:"), "{error:#}");
    let pattern = json!({"payload": "$capture:answer"});
    let met = served.step(&session, json!({"expect_reply": pattern})).unwrap();
    assert_eq!(met["captured"], json!({"answer": "Accepted"}));
    let closed = served.close(&session);
    assert_eq!((&closed["verdict"], &closed["text"]), (&json!("pass"), &json!("")), "{closed:#}");
    assert_eq!(closed["result"]["evidence"]["did"]["withdraw_authorization"], 1);
    assert!(closed["recording"].as_str().unwrap().lines().any(|line| line.contains("m2e/withdraw_authorization")));
    drop(module);
    assert_eq!(served.end(), (Some(0), String::new()));
    // What was played is a file that plays the same.
    project.write("again.yaml", closed["scenario"].as_str().unwrap());
    project.run(&["run", "again.yaml"]).exits(0);
}

#[test]
fn the_first_step_that_is_not_met_ends_the_steps_and_monitors_have_the_last_word() {
    let Some(python) = clients::python() else { return };
    let project = Project::new();
    let mut served = Served::start(&project);
    let opened = served.call("open", json!({"requirements": ["CC-8"]})).unwrap();
    let session = opened["session"].clone();
    let _module = Module::start(&python, "consumer.py", &opened);
    // It has to be ready by itself, before the first step.
    let wanted = json!({"message": "communication_check", "payload": false, "within": "300ms"});
    let error = served.step(&session, json!({"expect": wanted})).unwrap_err();
    assert_eq!((&error["code"], &error["data"]["id"]), (&json!(1), &json!("expect/missing")), "{error:#}");
    let finding = &error["data"]["findings"][0];
    assert_eq!((&finding["severity"], &finding["requirement"]), (&json!("fail"), &json!("CC-8")), "{finding:#}");
    assert_eq!((&finding["file"], &finding["line"]), (&json!("session"), &json!(5)), "where it is written by now");
    let error = served.step(&session, json!({"plug_in": {"evse": 1}})).unwrap_err();
    assert_eq!((&error["code"], &error["data"]["id"]), (&json!(2), &json!("serve/over")));
    let closed = served.close(&session);
    assert_eq!(closed["verdict"], "fail");
    assert_eq!(closed["result"]["failures"][0]["id"], "expect/missing");
    let error = served.step(&session, json!({"plug_in": {"evse": 1}})).unwrap_err();
    assert_eq!((&error["code"], &error["data"]["id"]), (&json!(2), &json!("serve/no-session")));
    assert_eq!(served.end().0, Some(0));
}

#[test]
fn what_a_module_gets_wrong_between_the_steps_is_in_the_verdict() {
    let Some(python) = clients::python() else { return };
    let project = Project::new();
    let mut served = Served::start(&project);
    let opened = served.call("open", json!({})).unwrap();
    let session = opened["session"].clone();
    let _module = Module::start(&python, "consumer.py", &opened);
    served.call("ready", json!({"session": session})).unwrap();
    let topic = format!("{}/communication_check", opened["topics"]["m2e"].as_str().unwrap());
    let say =
        "import paho.mqtt.publish as p, sys; p.single(sys.argv[1], 'yes', 1, False, sys.argv[2], int(sys.argv[3]))";
    let (host, port) = (opened["host"].as_str().unwrap(), opened["port"].to_string());
    assert!(Command::new(&python).args(["-c", say, &topic, host, &port]).status().unwrap().success());
    served.step(&session, json!({"plug_in": {"evse": 1}})).unwrap();
    let closed = served.close(&session);
    assert_eq!(closed["verdict"], "fail", "{closed:#}");
    let failure = &closed["result"]["failures"][0];
    assert_eq!(failure["id"], "monitor/not-json", "{failure:#}");
    assert!(closed["text"].as_str().unwrap().starts_with("fail[monitor/not-json]: "), "{closed:#}");
}

#[test]
fn a_module_that_is_not_there_is_explained_as_ever() {
    let project = Project::new();
    let mut served = Served::start(&project);
    let opened = served.call("open", json!({"ready_within": "200ms"})).unwrap();
    let error = served.call("ready", json!({"session": opened["session"]})).unwrap_err();
    assert_eq!((&error["code"], &error["data"]["id"]), (&json!(1), &json!("module/never-connected")), "{error:#}");
    assert_eq!(served.close(&opened["session"])["verdict"], "inconclusive");
}

#[test]
fn an_everest_can_be_under_test_and_the_other_apis_too() {
    let project = Project::new();
    let mut served = Served::start(&project);
    let tested = [
        (
            json!({"under_test": "everest", "external_prefix": "a/", "module_id": "x"}),
            "a/everest_api/1/auth_consumer/x/e2m",
        ),
        (json!({"api": "auth_token_validator"}), "everest_api/1/auth_token_validator/auth_api/e2m"),
        (json!({"api_version": "1.0"}), "everest_api/1.0/auth_consumer/auth_api/e2m"),
    ];
    for (head, e2m) in tested {
        let opened = served.call("open", head).unwrap();
        assert_eq!(opened["topics"]["e2m"], e2m, "{opened:#}");
        served.close(&opened["session"]);
    }
}

#[test]
fn sessions_are_apart_and_may_be_open_at_once() {
    let Some(python) = clients::python() else { return };
    let project = Project::new();
    let mut served = Served::start(&project);
    let opened: Vec<_> = (0..3).map(|_| served.call("open", json!({"station": station()})).unwrap()).collect();
    let modules: Vec<_> = opened.iter().map(|opened| Module::start(&python, "consumer.py", opened)).collect();
    // All of them wait at once; answers come as they are there.
    let asked: Vec<_> =
        opened.iter().map(|opened| served.send("ready", &json!({"session": opened["session"]}))).collect();
    let mut answered: Vec<_> =
        asked.iter().map(|_| served.read()).inspect(|it| assert!(it["error"].is_null(), "{it}")).collect();
    answered.sort_by_key(|answer| answer["id"].as_u64());
    assert_eq!(answered.iter().map(|answer| answer["id"].as_u64().unwrap()).collect::<Vec<_>>(), asked);
    served.step(&opened[1]["session"], json!({"present_token": "ALICE"})).unwrap();
    let shown = json!({"expect_status": {"token": "ALICE", "status": "Processing"}});
    served.step(&opened[1]["session"], shown).unwrap();
    let none = json!({"expect_none": {"message": "token_validation_status", "for": "50ms"}});
    served.step(&opened[0]["session"], none).unwrap();
    for opened in &opened[..2] {
        assert_ne!(served.close(&opened["session"])["verdict"], "fail");
    }
    drop(modules);
    // One was not closed: the end of standard input does that.
    let port = opened[2]["port"].as_u64().unwrap().try_into().unwrap();
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(served.end().0, Some(0));
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// A line, and the code, the id of the message and the id of the request in its answer.
type Refusal = (&'static str, i64, &'static str, &'static str);

/// Whether a server that has session 1 open refuses a line, and goes on.
#[track_caller]
fn is_refused((line, code, id, of): &Refusal) {
    let mut served = Served::start(&Project::new());
    served.call("open", json!({"ready_within": "50ms"})).unwrap();
    served.write(line);
    let answer = served.read();
    let (error, data) = (&answer["error"], &answer["error"]["data"]);
    assert_eq!((&error["code"], &data["id"]), (&json!(code), &json!(id)), "{answer:#}");
    assert_eq!(answer["id"].to_string(), *of, "{answer:#}");
    assert!(data["text"].as_str().unwrap().contains(error["message"].as_str().unwrap()), "{answer:#}");
    served.call("initialize", json!({"protocol": 1})).unwrap();
    served.step(&json!(1), json!({"note": "still there"})).unwrap_err();
    assert_eq!(served.end().0, Some(0));
}

rows! { is_refused(&Refusal):
    no_json: ("{\"jsonrpc\": \"2.0\", ", -32700, "serve/not-json", "null"),
    no_utf8_is_no_json: ("\u{fffd}", -32700, "serve/not-json", "null"),
    several_messages: (r#"[{"jsonrpc": "2.0", "id": 1, "method": "initialize"}]"#, -32600, "serve/bad-message", "null"),
    a_number: ("7", -32600, "serve/bad-message", "null"),
    another_version: (r#"{"jsonrpc": "1.0", "id": 7, "method": "initialize"}"#, -32600, "serve/bad-message", "7"),
    no_version: (r#"{"id": 7, "method": "initialize"}"#, -32600, "serve/bad-message", "7"),
    an_id_of_several: (r#"{"jsonrpc": "2.0", "id": [7], "method": "initialize"}"#, -32600, "serve/bad-message", "null"),
    no_method: (r#"{"jsonrpc": "2.0", "id": 7}"#, -32600, "serve/bad-message", "7"),
    a_method_that_is_no_text: (r#"{"jsonrpc": "2.0", "id": 7, "method": 7}"#, -32600, "serve/bad-message", "7"),
    unknown_method: (r#"{"jsonrpc": "2.0", "id": "a", "method": "opn"}"#, -32601, "serve/unknown-method", "\"a\""),
    params_in_a_list: (r#"{"jsonrpc": "2.0", "id": 7, "method": "open", "params": [1]}"#, -32602, "serve/bad-params", "7"),
    another_protocol: (
        r#"{"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {"protocol": 2}}"#, -32602, "serve/bad-params", "7"),
    unknown_param: (
        r#"{"jsonrpc": "2.0", "id": 7, "method": "close", "params": {"session": 1, "now": true}}"#, -32602, "serve/bad-params", "7"),
    no_session: (r#"{"jsonrpc": "2.0", "id": 7, "method": "ready"}"#, -32602, "serve/bad-params", "7"),
    a_session_that_is_no_number: (
        r#"{"jsonrpc": "2.0", "id": 7, "method": "ready", "params": {"session": "1"}}"#, -32602, "serve/bad-params", "7"),
    another_session: (
        r#"{"jsonrpc": "2.0", "id": 7, "method": "ready", "params": {"session": 2}}"#, 2, "serve/no-session", "7"),
    no_step: (r#"{"jsonrpc": "2.0", "id": 7, "method": "step", "params": {"session": 1}}"#, -32602, "serve/bad-params", "7"),
    unknown_step: (
        r#"{"jsonrpc": "2.0", "id": 7, "method": "step", "params": {"session": 1, "step": {"plugin": {"evse": 1}}}}"#,
        -32602, "scenario/unknown-step", "7"),
    a_step_of_another_type: (
        r#"{"jsonrpc": "2.0", "id": 7, "method": "step", "params": {"session": 1, "step": {"plug_in": {"evse": "one"}}}}"#,
        -32602, "scenario/wrong-type", "7"),
    a_step_that_is_none: (
        r#"{"jsonrpc": "2.0", "id": 7, "method": "step", "params": {"session": 1, "step": [[[]]]}}"#,
        -32602, "scenario/wrong-type", "7"),
    a_step_that_the_release_lacks: (
        r#"{"jsonrpc": "2.0", "id": 7, "method": "step", "params": {"session": 1, "step": {"expect_csms": {"message": "authorize"}}}}"#,
        -32602, "scenario/no-charge-point", "7"),
    a_head_with_steps: (
        r#"{"jsonrpc": "2.0", "id": 7, "method": "open", "params": {"steps": []}}"#, -32602, "usage/bad-session", "7"),
    a_head_with_a_golden: (
        r#"{"jsonrpc": "2.0", "id": 7, "method": "open", "params": {"golden": true}}"#, -32602, "usage/bad-session", "7"),
    a_misspelt_head: (
        r#"{"jsonrpc": "2.0", "id": 7, "method": "open", "params": {"staton": {}}}"#, -32602, "scenario/unknown-field", "7"),
    an_unknown_release: (
        r#"{"jsonrpc": "2.0", "id": 7, "method": "open", "params": {"release": "2024.01"}}"#, -32602, "serve/bad-params", "7"),
    a_module_id_of_two_levels: (
        r#"{"jsonrpc": "2.0", "id": 7, "method": "open", "params": {"module_id": "a/b"}}"#, -32602, "usage/bad-topic", "7"),
    an_address_that_is_none: (
        r#"{"jsonrpc": "2.0", "id": 7, "method": "open", "params": {"listen": "localhost"}}"#, -32602, "serve/bad-params", "7"),
    an_address_that_is_somebody_elses: (
        r#"{"jsonrpc": "2.0", "id": 7, "method": "open", "params": {"listen": "192.0.2.1:1883"}}"#, -32603, "harness/no-broker", "7"),
}

#[test]
fn a_line_may_be_long_but_not_too_long() {
    let mut served = Served::start(&Project::new());
    let padded = |length: usize| {
        let line = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize"}).to_string();
        format!("{line}{}", " ".repeat(length - line.len()))
    };
    const MOST: usize = 1024 * 1024;
    served.write(&padded(MOST));
    assert_eq!(served.read()["result"]["protocol"], 1);
    served.write(&padded(MOST + 1));
    let answer = served.read();
    assert_eq!((&answer["error"]["code"], &answer["error"]["data"]["id"]), (&json!(-32600), &json!("serve/too-large")));
    // Neither a bomb nor a session with more than a scenario may have holds it up.
    served.write(&format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000)));
    assert_eq!(served.read()["error"]["data"]["id"], "serve/not-json");
    served.call("initialize", json!({})).unwrap();
    assert_eq!(served.end().0, Some(0));
}

#[test]
fn nobody_can_open_or_ask_for_more_than_khumbu_takes() {
    let mut served = Served::start(&Project::new());
    let opened = served.call("open", json!({"ready_within": "2s"})).unwrap();
    // The first waits for a module, and the others for the first.
    let asked = (0..300).map(|_| served.send("ready", &json!({"session": opened["session"]}))).count();
    let opening = (0..64).map(|_| served.send("open", &json!({}))).count();
    let answers: Vec<_> = (0..asked + opening).map(|_| served.read()).collect();
    let refused = |code, id: &str| {
        let is_it = |it: &&Value| it["error"]["code"] == code && it["error"]["data"]["id"] == id;
        answers.iter().filter(is_it).map(|it| it["id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let too_many = refused(3, "serve/too-many");
    assert!(too_many.len() >= 2 && too_many.contains(&served.last), "{too_many:?}");
    assert!(refused(2, "serve/over").len() > 200, "those that waited for the first");
    assert_eq!(answers.iter().filter(|answer| answer["result"]["session"].is_u64()).count(), 63);
    assert_eq!(served.end().0, Some(0));
}

#[test]
fn whoever_reads_no_answers_cannot_keep_it_from_ending() {
    let mut served = Served::start(&Project::new());
    for _ in 0..100 {
        served.send("initialize", &json!({}));
    }
    let (code, said) = served.end();
    assert!(code == Some(3) && said.contains("run/output-lost"), "{code:?} {said}");
}

#[test]
fn what_wants_no_answer_is_not_carried_out_and_that_is_said_to_people() {
    let mut served = Served::start(&Project::new());
    served.write(r#"{"jsonrpc": "2.0", "method": "open", "params": {}}"#);
    served.write("");
    let error = served.call("ready", json!({"session": 1})).unwrap_err();
    assert_eq!(error["data"]["id"], "serve/no-session");
    let (code, said) = served.end();
    assert!(code == Some(0) && said.contains("serve/bad-message") && said.contains("`open`"), "{said}");
}

#[test]
fn a_signal_ends_everything_and_lost_output_is_no_good_end() {
    let mut served = Served::start(&Project::new());
    let opened = served.call("open", json!({})).unwrap();
    let waits = served.send("ready", &json!({"session": opened["session"]}));
    served.call("initialize", json!({})).unwrap();
    kill(Pid::from_raw(served.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let answer = served.read();
    assert_eq!((&answer["id"], &answer["error"]["data"]["id"]), (&json!(waits), &json!("serve/over")));
    let child = &mut served.child;
    assert_eq!(wait_for("its end", || child.try_wait().unwrap()).code(), Some(0));

    let project = Project::new();
    let mut child = project.command(&["serve", "--stdio"]).stdin(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, r#"{{"jsonrpc": "2.0", "id": 1, "method": "initialize"}}"#).unwrap();
    // It does not wait for the end of standard input.
    assert_eq!(wait_for("its end", || child.try_wait().unwrap()).code(), Some(3));
}

#[test]
fn nothing_but_the_one_way_to_speak_is_offered() {
    Project::new().run(&["serve"]).exits(2).says("--stdio");
}

/// Whether a value is what a page shows of it: `…` stands for anything, in a text for any part, and as a key for other keys. Ports are
/// never the same.
fn is_shown(shown: &Value, real: &Value) -> bool {
    match (shown, real) {
        (Value::String(shown), _) if shown == "…" => true,
        (Value::String(shown), Value::String(real)) => {
            let (first, rest) = shown.split_once('…').unwrap_or((shown, ""));
            let is_begun = real.starts_with(first);
            if shown.contains('…') { is_begun && real.contains(rest.trim_end_matches('…')) } else { shown == real }
        }
        (Value::Array(shown), Value::Array(real)) => {
            let is_open = shown.iter().any(|it| it == "…");
            is_open || shown.len() == real.len() && shown.iter().zip(real).all(|(shown, real)| is_shown(shown, real))
        }
        (Value::Object(shown), Value::Object(real)) => {
            let is_port = |key: &str| key.to_lowercase().ends_with("port");
            let is_it = |(key, value): (&String, &Value)| {
                key == "…" || real.get(key).is_some_and(|real| is_port(key) || is_shown(value, real))
            };
            shown.iter().all(is_it) && (shown.contains_key("…") || shown.len() == real.len())
        }
        (shown, real) => shown == real,
    }
}

#[test]
fn the_page_shows_what_is_really_exchanged() {
    let Some(python) = clients::python() else { return };
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/test_suites.md")).unwrap();
    let mut served = Served::start(&Project::new());
    let (mut module, mut asked, mut methods) = (None, 0, std::collections::BTreeSet::new());
    // Long lines are broken there, and go on behind blanks.
    let page = page.replace("\n    ", " ");
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(request) = line.strip_prefix("→ ") else { continue };
        let shown: Value = serde_json::from_str(lines.next().unwrap().strip_prefix("← ").unwrap()).unwrap();
        served.write(request);
        let real = served.read();
        assert!(is_shown(&shown, &real), "{request}\n-- shown\n{shown:#}\n-- real\n{real:#}");
        if real["result"]["port"].is_number() {
            module = Some(Module::start(&python, "consumer.py", &real["result"]));
        }
        asked += 1;
        let request: Value = serde_json::from_str(request).unwrap();
        methods.insert(request["method"].as_str().unwrap().to_owned());
    }
    assert!(module.is_some() && asked >= 8, "{asked}");
    let error = served.call("?", json!({})).unwrap_err();
    let known =
        error["data"]["findings"][0]["evidence"][0].as_str().unwrap().strip_prefix("methods: ").unwrap().to_owned();
    assert_eq!(methods, known.split(", ").map(str::to_owned).collect(), "each method has an example");
}

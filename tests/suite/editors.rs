//! The schemas of `khumbu schema` in an editor: yaml-language-server, which VS Code and others use, completes steps, says what
//! they mean, and finds mistakes; and files that are right have none.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use khumbu::recording::Recording;
use khumbu::scenario;
use serde_json::{Value, json};

use crate::clients;
use crate::project::Project;

/// Longer than a slow machine takes to start Node.
const PATIENCE: Duration = Duration::from_secs(60);

/// The server, and what it says.
struct Editor {
    server: Child,
    said: Receiver<Value>,
    project: Project,
    asked: u64,
}

impl Editor {
    /// One with the schemas of all files beside the files that it opens; `None` where there is no server.
    fn start() -> Option<Self> {
        let (node, folder) = clients::node()?;
        let project = Project::new();
        for of in ["scenario", "config", "station", "chargers", "tokens"] {
            project.write(&format!("{of}.json"), &project.run(&["schema", of]).exits(0).stdout);
        }
        let mut command = Command::new(node);
        command.arg(folder.join("node_modules/yaml-language-server/bin/yaml-language-server")).arg("--stdio");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().unwrap();
        let mut output = BufReader::new(server.stdout.take().unwrap());
        let (sender, said) = channel();
        thread::spawn(move || {
            while let Some(message) = read(&mut output) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut editor = Self { server, said, project, asked: 0 };
        let completion = json!({"completionItem": {"snippetSupport": true, "documentationFormat": ["markdown"]}});
        let capabilities = json!({"textDocument": {"completion": completion, "hover": {}, "publishDiagnostics": {}}});
        editor.ask("initialize", &json!({"processId": null, "rootUri": null, "capabilities": capabilities}));
        editor.tell("initialized", &json!({}));
        Some(editor)
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        write!(self.server.stdin.as_mut().unwrap(), "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
    }

    fn tell(&mut self, method: &str, params: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// The answer to a request. What the server asks meanwhile is answered with nothing.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        self.hear(|message| (message["id"] == id && message.get("method").is_none()).then(|| message["result"].clone()))
    }

    fn hear<T>(&mut self, wanted: impl Fn(&Value) -> Option<T>) -> T {
        loop {
            let message = self.said.recv_timeout(PATIENCE).unwrap();
            if let Some(found) = wanted(&message) {
                return found;
            }
            if message.get("id").is_some() && message.get("method").is_some() {
                // Settings are asked for one by one.
                let many = message["params"]["items"].as_array().map_or(0, Vec::len);
                self.send(&json!({"jsonrpc": "2.0", "id": message["id"], "result": vec![Value::Null; many]}));
            }
        }
    }

    /// Opens a file of this kind, and what is wrong with it, in words.
    fn open(&mut self, of: &str, name: &str, text: &str) -> (String, Vec<String>) {
        let schema = self.project.path(&format!("{of}.json"));
        let text = format!("# yaml-language-server: $schema=file://{}\n{text}", schema.display());
        let uri = format!("file://{}", self.project.path(name).display());
        let document = json!({"uri": uri, "languageId": "yaml", "version": 1, "text": text});
        self.tell("textDocument/didOpen", &json!({"textDocument": document}));
        let wrong = self.hear(|message| {
            let params = &message["params"];
            let is_it = message["method"] == "textDocument/publishDiagnostics" && params["uri"] == *uri;
            is_it.then(|| params["diagnostics"].as_array().unwrap().clone())
        });
        (uri, wrong.iter().map(|it| it["message"].as_str().unwrap().to_owned()).collect())
    }

    fn at(&mut self, method: &str, uri: &str, line: usize, character: usize) -> Value {
        // The line of the schema stands first.
        let position = json!({"line": line + 1, "character": character});
        self.ask(method, &json!({"textDocument": {"uri": uri}, "position": position}))
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn read(output: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim().split_once(": ") {
            Some(("Content-Length", value)) => length = value.parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    output.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

#[test]
fn steps_are_completed_by_their_names_and_explained() {
    let Some(mut editor) = Editor::start() else { return };
    let head = "description: x\nunder_test: client\nsteps:\n";
    let (uri, _) = editor.open("scenario", "new.yaml", &format!("{head}  - "));
    let offered = editor.at("textDocument/completion", &uri, 3, 4);
    let items = offered["items"].as_array().unwrap();
    let labels: BTreeSet<&str> = items.iter().filter_map(|item| item["label"].as_str()).collect();
    for name in scenario::step_names() {
        assert!(labels.contains(name.as_str()), "{name} is not among {labels:?}");
    }
    let (uri, wrong) = editor.open("scenario", "right.yaml", &format!("{head}  - plug_in: {{evse: 1}}\n"));
    assert_eq!(wrong, Vec::<String>::new());
    let hover = editor.at("textDocument/hover", &uri, 3, 6);
    assert!(hover["contents"]["value"].as_str().unwrap().contains("EV"), "{hover}");
}

#[test]
fn mistakes_are_found_in_every_kind_of_file_and_none_where_there_is_none() {
    let Some(mut editor) = Editor::start() else { return };
    let bindings =
        "module:\n  command: ./x\n  ready: \"topic:a/#\"\n  bindings:\n    withdraw: {stdin: \"w {arguments}\"}\n";
    let station = "evses: 1\nbindings:\n  - {topic: \"evse/{evse}/cmd\", is: {command: {plug: plug_in}}}\n";
    for (of, right, wrong, what) in [
        ("config", bindings, "module:\n  bindings: {withdrw: {stdin: x}}\n", "withdrw"),
        ("station", station, "evses: 1\nstart: {everst: running}\n", "everst"),
        ("chargers", include_str!("../../src/gateway/chargers.yaml"), "chargers: {a: {ocpp: \"1.6\"}}\n", "ocpp"),
        ("tokens", "tokens: [{token: abcdefghijklmnop}]\n", "tokens: [{tokn: abcdefghijklmnop}]\n", "tokn"),
        ("scenario", include_str!("../../scenarios/everest/withdraw_by_evse.yaml"), "descripton: x\n", "descripton"),
    ] {
        let (_, found) = editor.open(of, &format!("{of}_right.yaml"), right);
        assert_eq!(found, Vec::<String>::new(), "{of}");
        let (_, found) = editor.open(of, &format!("{of}_wrong.yaml"), wrong);
        assert!(found.iter().any(|message| message.contains(what)), "{of}: {found:?}");
    }
}

/// Editors warn of formats that they do not know, and show an alternative without a name as an object.
#[test]
fn schemas_have_standard_formats_titles_and_a_sentence_for_each_key() {
    let project = Project::new();
    for of in ["scenario", "config", "station", "chargers", "tokens", "recording"] {
        let schema: Value = serde_json::from_str(&project.run(&["schema", of]).exits(0).stdout).unwrap();
        let mut bare = Vec::new();
        walk(&schema, of, &mut bare);
        assert_eq!(bare, Vec::<String>::new());
        for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
            assert!(definition["title"].is_string(), "{of}: {name}");
        }
    }
    let ran = project.run(&["schema", "report"]).exits(2);
    assert!(ran.stderr.contains("scenario, config, station, chargers, tokens, recording"), "{}", ran.stderr);
}

/// What khumbu reads, the schema takes, and nothing else.
#[test]
fn lines_of_recordings_are_what_their_schema_says() {
    let schema: Value = serde_json::from_str(&Project::new().run(&["schema", "recording"]).exits(0).stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let is_read = |line: &str| Recording::parse("x.jsonl", line).is_ok();
    let is_valid = |line: &str| validator.is_valid(&serde_json::from_str(line).unwrap());
    let recorded = include_str!("../../fixtures/recordings/withdraw.jsonl");
    for line in recorded.lines().filter(|line| !line.is_empty()) {
        assert!(is_read(line) && is_valid(line), "{line}");
    }
    for (line, is_good) in [
        (r#"{"t_ms": 0.5, "topic": "a", "payload": null}"#, true),
        (r#"{"t_ms": 1, "topic": "a", "hex": "fF00", "qos": 2, "retain": true}"#, true),
        (r#"{"t_ms": 1, "topic": "a", "payload": "x", "raw": true, "client": "b"}"#, true),
        (r#"{"t_ms": 1, "topic": "a", "payload": 1, "raw": false}"#, true),
        (r#"{"t_ms": 1, "topic": "a", "payload": 1, "raw": true}"#, false),
        (r#"{"t_ms": 1, "topic": "a", "payload": 1, "hex": "00"}"#, false),
        (r#"{"t_ms": 1, "topic": "a"}"#, false),
        (r#"{"t_ms": 1, "topic": "a", "hex": "0"}"#, false),
        (r#"{"t_ms": 1, "topic": "a", "hex": "zz"}"#, false),
        (r#"{"t_ms": -1, "topic": "a", "payload": 1}"#, false),
        (r#"{"t_ms": 864000001, "topic": "a", "payload": 1}"#, false),
        (r#"{"t_ms": 1, "topic": "a", "payload": 1, "qos": 3}"#, false),
        (r#"{"t_ms": 1, "topic": 7, "payload": 1}"#, false),
        (r#"{"topic": "a", "payload": 1}"#, false),
    ] {
        assert_eq!((is_read(line), is_valid(line)), (is_good, is_good), "{line}");
    }
}

fn walk(schema: &Value, at: &str, bare: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            if members.get("format").is_some_and(Value::is_string) {
                bare.push(format!("{at}: {}", members["format"]));
            }
            for (name, property) in members.get("properties").and_then(Value::as_object).into_iter().flatten() {
                if !property["description"].is_string() && property.get("$ref").is_none() {
                    bare.push(format!("{at}/{name} says nothing"));
                }
            }
            members.iter().for_each(|(name, member)| walk(member, &format!("{at}/{name}"), bare));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, at, bare)),
        _ => {}
    }
}

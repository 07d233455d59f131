//! `khumbu lsp` as an editor meets it: by the library with which VS Code speaks to language servers, and by hand where that is too
//! polite.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use khumbu::cli::files;
use khumbu::conformance::requirements;
use khumbu::{editor, scenario};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::clients;
use crate::printed;
use crate::project::{Project, fixture};

const URI: &str = "file:///a%20b/first.yaml";
const GOOD: &str = "\
description: An emoji stands before it.
requirements: [WD-2]
under_test: everest
station:
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
steps:
  - plug_in: {evse: 1}
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted]}
  - withdraw: {evse_id: 1}
  - expect_reply: Accepted
";

/// What the server says to each part of a conversation; `None` where there is no client to have it with.
fn converse(conversation: &[Value]) -> Option<Vec<Value>> {
    let (node, folder) = clients::language_client()?;
    let mut command = Command::new(node);
    command.arg(fixture("clients/language_client.cjs")).arg(env!("CARGO_BIN_EXE_khumbu")).current_dir(folder);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(json!(conversation).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answers.len(), conversation.len() + 1);
    Some(answers.into_iter().skip(1).collect())
}

/// A text without its `|`, and where that stood, as editors count.
fn cursor(text: &str) -> (String, Value) {
    let at = text.find('|').unwrap();
    let line = text[..at].matches('\n').count();
    let before = text[..at].rsplit('\n').next().unwrap();
    (text.replacen('|', "", 1), json!({"line": line, "character": before.encode_utf16().count()}))
}

fn open(uri: &str, text: &str) -> Value {
    json!({"open": uri, "text": text})
}

fn ask(method: &str, uri: &str, position: &Value) -> Value {
    json!({"ask": format!("textDocument/{method}"), "params": {"textDocument": {"uri": uri}, "position": position}})
}

/// The answers to a method at each of these places, each in a file of its own.
fn at_each(method: &str, texts: &[String]) -> Option<Vec<Value>> {
    let parts = texts.iter().enumerate().flat_map(|(at, text)| {
        let (text, position) = cursor(text);
        let uri = format!("file:///{at}.yaml");
        [open(&uri, &text), ask(method, &uri, &position)]
    });
    let answers = converse(&parts.collect::<Vec<_>>())?;
    Some(answers.into_iter().skip(1).step_by(2).collect())
}

fn labels(completed: &Value) -> BTreeSet<&str> {
    completed.as_array().unwrap().iter().map(|item| item["label"].as_str().unwrap()).collect()
}

#[test]
fn what_check_finds_is_shown_where_it_stands_while_it_is_typed() {
    let wrong = GOOD
        .replace("An emoji stands before it.", "x")
        .replace("  - plug_in: {evse: 1}", "  - plug_in: {evse: 1}  # 🔌é");
    let wrong = wrong.replace("- expect_reply: Accepted", "- withdraw: {as: \"🔌🔌\", expct: 1}");
    let warned = "description: x\nunder_test: client\nsteps:\n  - expect: {topic: everest_api/1/auth_consumer/auth_api/e2m/hearbeat}\n";
    let Some(answers) = converse(&[
        open(URI, GOOD),
        json!({"change": URI, "text": wrong}),
        json!({"change": URI, "text": GOOD}),
        json!({"change": URI, "text": "steps: [\n"}),
        json!({"close": URI}),
        open("untitled:1", warned),
        open("file:///x/khumbu.yaml", "modul: {command: ./x}\n"),
        open("file:///x/station.yaml", "evses: 1\nstart: {everst: running}\n"),
        open("file:///x/chargers.yaml", "chargers: {a: {ocpp: \"1.6\"}}\n"),
        json!({"ask": "workspace/textDocumentContent", "params": {"uri": "khumbu:explain/scenario/unknown-step.md"}}),
        json!({"ask": "workspace/textDocumentContent", "params": {"uri": "khumbu:explain/../../etc/passwd"}}),
        open("file:///x/tokens.yaml", "tokens: [{tokn: abcdefghijklmnop}]\n"),
    ]) else {
        return;
    };
    assert_eq!(answers[0], json!([]));
    let found = &answers[1].as_array().unwrap()[0];
    assert_eq!(
        (&found["code"], &found["severity"], &found["source"]),
        (&json!("scenario/unknown-field"), &json!(1), &json!("khumbu"))
    );
    // Each 🔌 is two units.
    let start = r#"  - withdraw: {as: "🔌🔌", "#.encode_utf16().count();
    assert_eq!(
        found["range"],
        json!({"start": {"line": 11, "character": start}, "end": {"line": 11, "character": start + 5}})
    );
    assert!(found["message"].as_str().unwrap().contains("`expct`"), "{found}");
    assert_eq!(found["codeDescription"]["href"], "khumbu:explain/scenario/unknown-field.md");
    assert_eq!(answers[2], json!([]));
    assert_eq!(answers[3][0]["code"], "scenario/syntax");
    assert_eq!(answers[4], json!([]));
    let warning = answers[5].as_array().unwrap().iter().find(|it| it["code"] == "scenario/near-topic").unwrap();
    assert_eq!(warning["severity"], 2);
    for (answer, word) in
        [(&answers[6], "modul"), (&answers[7], "everst"), (&answers[8], "ocpp"), (&answers[11], "line 1")]
    {
        assert!(answer[0]["message"].as_str().unwrap().contains(word), "{answer}");
    }
    assert!(answers[9]["text"].as_str().unwrap().starts_with("# scenario/unknown-step\n"), "{}", answers[9]);
    assert_eq!(answers[10]["error"], "there is no such message");
}

#[test]
fn files_of_other_programs_are_left_alone_and_a_new_scenario_is_not() {
    let others = [
        ("docker-compose.yml", "version: \"3\"\nservices:\n  web: {image: nginx}\n"),
        (
            "mkdocs.yml",
            "site_name: x\nnav:\n  - Home: index.md\nmarkdown_extensions:\n  - x: {f: !!python/name:a.b }\n",
        ),
        (".github/workflows/ci.yml", "name: CI\non: [push]\njobs:\n  build:\n    steps:\n      - run: make\n"),
        (".pre-commit-config.yaml", "repos:\n  - repo: https://example.org/x\n    rev: v1\n"),
        ("config.yaml", "active_modules:\n  auth:\n    module: Auth\n    config_module: {connection_timeout: 10}\n"),
        ("manifest.yaml", "description: A module.\nprovides: {}\nmetadata: {license: x}\n"),
        ("k8s.yaml", "apiVersion: v1\nkind: Pod\n---\napiVersion: v1\nkind: Pod\n"),
        ("playbook.yaml", "- hosts: all\n  description: x\n"),
        ("open.yaml", "services: [\n"),
        ("empty.yaml", ""),
        ("comment.yaml", "# yet to come\n"),
        ("khumbu.yaml", ""),
    ];
    let ours = [
        ("described.yaml", "description: x\n", "scenario/missing-field"),
        ("stepped.yaml", "steps:\n  - plug_inn: {evse: 1}\n", "scenario/unknown-step"),
        ("mistyped.yaml", "descripton: x\nunder_test: client\nsteps: []\n", "scenario/unknown-field"),
        ("khumbu.yaml", "active_modules: {}\n", "config/invalid"),
    ];
    let uri = |at: usize, name: &str| format!("file:///{at}/{name}");
    let others_open = others.iter().enumerate().map(|(at, (name, text))| open(&uri(at, name), text));
    let ours_open = ours.iter().enumerate().map(|(at, (name, text, _))| open(&uri(at + others.len(), name), text));
    let empty = uri(9, "empty.yaml");
    let completion = ask("completion", &empty, &json!({"line": 0, "character": 0}));
    let Some(answers) = converse(&others_open.chain(ours_open).chain([completion]).collect::<Vec<_>>()) else { return };
    for ((name, _), answer) in others.iter().zip(&answers) {
        assert_eq!(answer, &json!([]), "{name}");
    }
    for ((name, _, id), answer) in ours.iter().zip(&answers[others.len()..]) {
        assert!(answer.as_array().unwrap().iter().any(|it| it["code"] == *id), "{name}: {answer}");
    }
    assert!(labels(&answers[others.len() + ours.len()]).contains("under_test"));
}

#[test]
fn a_message_that_cannot_be_read_does_not_end_the_server() {
    let framed = |text: &str| format!("Content-Length: {}\r\n\r\n{text}", text.len());
    let initialize = frame(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}));
    let shutdown = frame(&json!({"jsonrpc": "2.0", "id": 2, "method": "shutdown"}));
    let exit = frame(&json!({"jsonrpc": "2.0", "method": "exit"}));
    let halved = framed(
        r#"{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///a.yaml","languageId":"yaml","version":1,"text":"description: \ud83e\nstps: []\nsteps: []\n"}}}"#,
    );
    let (code, said, told) =
        raw((initialize + &framed("[]") + &framed("{\"id\"") + &halved + &shutdown + &exit).as_bytes());
    assert_eq!((code, &*told), (0, ""), "{said}");
    for what in ["-32600", "-32700", "\"id\":null", "file:///a.yaml", "`stps`"] {
        assert!(said.contains(what), "{what}: {said}");
    }
}

#[test]
fn what_stands_at_a_place_is_explained() {
    let cases = [
        (GOOD.replace("plug_in", "plug|_in"), "An EV is plugged in."),
        (GOOD.replace("evse: 1", "ev|se: 1"), "EVSE"),
        (GOOD.replace("under_test", "under|_test"), "side on which the module stands"),
        (GOOD.replace("[WD-2]", "[WD|-2]"), requirements::find("WD-2").unwrap().source),
        (GOOD.replace("present_token: ALICE", "present_token: AL|ICE"), "value: \"04A2F3B1\""),
        (GOOD.replace("  - plug_in: {evse: 1}", "  - disconn|ect"), "Cuts the module"),
        (GOOD.replace("description: An", "description: \"🔌\" #|An"), ""),
        // What is wrong there is explained, as `khumbu explain` does.
        (GOOD.replace("evse: 1", "ev|s: 1"), "**Cause.**"),
    ];
    let Some(answers) = at_each("hover", &cases.clone().map(|(text, _)| text)) else { return };
    for ((text, says), answer) in cases.iter().zip(answers) {
        match says {
            &"" => assert_eq!(answer, Value::Null, "{text}"),
            says => {
                assert!(answer["contents"]["value"].as_str().is_some_and(|it| it.contains(says)), "{text}: {answer}")
            }
        }
    }
}

#[test]
fn what_may_stand_at_a_place_is_offered() {
    let head = GOOD.split("  - plug_in").next().unwrap();
    let names = scenario::step_names();
    let steps: Vec<_> = names.iter().map(String::as_str).collect();
    let cases: Vec<(String, Vec<&str>, Vec<&str>)> = vec![
        (format!("{head}  - |"), steps.clone(), vec!["steps", "evse"]),
        (format!("{head}  - plug|\n  - note: x\n"), steps, vec![]),
        (format!("{head}  - plug_in: {{|"), vec!["evse", "connector"], vec!["plug_in"]),
        (format!("{head}  - plug_in: {{evse: 1, |}}\n"), vec!["connector"], vec!["evse"]),
        (format!("{head}  - present_token: |\n"), vec!["ALICE"], vec!["value"]),
        (format!("{head}  - expect_status: {{token: A|, status: Accepted}}\n"), vec!["ALICE"], vec!["status"]),
        (
            format!("{head}  - expect_status: {{token: ALICE, sequence: [Processing, |"),
            vec!["UsedToStart"],
            vec!["ALICE"],
        ),
        (
            format!("{head}  - expect: {{message: \"hear|\"}}\n"),
            vec!["heartbeat", "withdraw_authorization"],
            vec!["topic"],
        ),
        (GOOD.replace("[WD-2]", "[WD-2, 🔌|]"), vec!["WD-1", "VA-3"], vec!["ALICE"]),
        (GOOD.replace("station:\n", "station:\n  |\n"), vec!["evses", "auth"], vec!["tokens", "steps"]),
        (format!("|\n{GOOD}"), vec!["within", "api"], vec!["steps", "evses"]),
        ("under_test: |\n".to_owned(), vec!["client", "everest"], vec![]),
        (
            GOOD.replace("under_test: everest", "under_test: everest\nreleases: [|]"),
            vec!["main", "\"2025.10\""],
            vec![],
        ),
    ];
    let texts: Vec<_> = cases.iter().map(|(text, ..)| text.clone()).collect();
    let Some(answers) = at_each("completion", &texts) else { return };
    for ((text, offered, others), answer) in cases.iter().zip(&answers) {
        let labels = labels(answer);
        assert!(offered.iter().all(|label| labels.contains(label)), "{text}: {labels:?}");
        assert!(!others.iter().any(|label| labels.contains(label)), "{text}: {labels:?}");
    }
    // What is chosen takes the place of what was typed, and what it means stands beside it.
    let plug_in = answers[1].as_array().unwrap().iter().find(|item| item["label"] == "plug_in").unwrap();
    let range = json!({"start": {"line": 7, "character": 4}, "end": {"line": 7, "character": 8}});
    assert_eq!(plug_in["textEdit"], json!({"range": range, "newText": "plug_in: "}));
    assert!(plug_in["documentation"]["value"].as_str().unwrap().contains("EV"));
}

#[test]
fn a_file_is_formatted_or_left_as_it_is() {
    let params = |uri: &str| json!({"textDocument": {"uri": uri}, "options": {"tabSize": 8, "insertSpaces": true}});
    let formatting = |uri| json!({"ask": "textDocument/formatting", "params": params(uri)});
    let ugly = GOOD.replace("    ALICE: {", "      ALICE:    {");
    let Some(answers) = converse(&[
        open("file:///ugly.yaml", &ugly),
        formatting("file:///ugly.yaml"),
        open("file:///good.yaml", GOOD),
        formatting("file:///good.yaml"),
        open("file:///bad.yaml", "steps: [\n"),
        formatting("file:///bad.yaml"),
    ]) else {
        return;
    };
    let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 12, "character": 0}});
    assert_eq!(answers[1], json!([{"range": range, "newText": GOOD}]));
    assert_eq!(answers[3], json!([]));
    assert!(answers[5]["error"].as_str().unwrap().starts_with("not formatted: "), "{}", answers[5]);
}

/// What the server answers to these bytes, and how it ends.
fn raw(bytes: &[u8]) -> (i32, String, String) {
    let mut child = Project::new().command(&["lsp"]).stdin(Stdio::piped()).spawn().unwrap();
    // It may have ended before it has read all.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn frame(message: &Value) -> String {
    let text = message.to_string();
    format!("Content-Length: {}\r\n\r\n{text}", text.len())
}

#[test]
fn an_editor_that_goes_is_let_go_and_one_that_is_none_is_told() {
    let request = |id: i32, method: &str| frame(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {}}));
    let exit = frame(&json!({"jsonrpc": "2.0", "method": "exit"}));
    assert_eq!(raw(b"").0, 0);
    let (code, said, _) = raw((request(1, "textDocument/hover") + &exit).as_bytes());
    assert!(code == 1 && said.contains("-32002"), "{code}: {said}");
    let (code, said, _) =
        raw((request(1, "initialize") + &request(2, "no/such") + &request(3, "shutdown") + &request(4, "x") + &exit)
            .as_bytes());
    assert!(
        code == 0 && said.contains("-32601") && said.contains("-32600") && said.contains("\"id\":3,\"result\":null"),
        "{code}: {said}"
    );
    for bytes in [&b"help\n"[..], b"Content-Length: 9999999999\r\n\r\n", b"\xff\xfe\r\n"] {
        let (code, said, told) = raw(bytes);
        assert_eq!((code, &*said), (2, ""));
        printed::keep(&told);
        assert!(told.contains("error[lsp/bad-message]") && told.contains("docs/editors.md"), "{told}");
    }
    // Parameters that are none, files that are not open, and places that are not there are no harm.
    let wrong = json!({"jsonrpc": "2.0", "id": 7, "method": "textDocument/hover", "params": {"position": 1}});
    let unknown = json!({"jsonrpc": "2.0", "id": 8, "method": "textDocument/hover",
        "params": {"textDocument": {"uri": "file:///etc/passwd"}, "position": {"line": 9, "character": 9}}});
    let (code, said, _) = raw((request(1, "initialize") + &frame(&wrong) + &frame(&unknown)).as_bytes());
    assert!(code == 0 && said.contains("-32602") && said.contains("\"id\":8,\"result\":null"), "{code}: {said}");
}

/// A scenario of the suite as somebody may have it on the screen: cut off somewhere, with something typed there.
fn unfinished() -> impl Strategy<Value = (String, usize)> {
    let files = files::find_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios"), &["yaml"]);
    let texts: Vec<String> = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let typed = prop::sample::select(vec!["", "- ", "{", "\"", "🔌", "*x", "a: [", "\r\n  ", "#", "\t", "}"]);
    (prop::sample::select(texts), any::<prop::sample::Index>(), typed, any::<bool>()).prop_map(
        |(text, at, typed, ends)| {
            let mut at = at.index(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let rest = if ends { "" } else { &text[at..] };
            (format!("{}{typed}{rest}", &text[..at]), at)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_on_the_screen_can_be_asked_about((text, at) in unfinished(), aside in 0..9_usize) {
        let schema = scenario::schema();
        let (word, offered) = editor::complete(&text, &schema, at + aside);
        prop_assert!(text.get(word).is_some());
        prop_assert!(offered.iter().all(|it| !it.label.contains("khumbu0")));
        if let Some(explained) = editor::hover(&text, &schema, at + aside) {
            prop_assert!(text.get(explained.range).is_some() && !explained.about.is_empty());
        }
    }
}

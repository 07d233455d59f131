//! `khumbu drift`: what differs between two descriptions, and between ours and EVerest's.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;

use khumbu::diagnostic::Source;
use khumbu::protocol::asyncapi;
use khumbu::protocol::drift::{Described, Difference, Subject, compare};
use serde_json::{Value, json};

use crate::asyncapi::{SHARED, THING, edited};
use crate::project::Project;

fn described(path: &str, text: &str) -> Vec<Described> {
    let source = Arc::new(Source { path: path.to_owned(), text: text.to_owned() });
    let reading = asyncapi::read(&[source], &|_| true);
    assert!(reading.faults.is_empty(), "{:?}", reading.faults);
    reading.documents.into_iter().map(Described::from).collect()
}

/// A difference in one line: where, what, and both sides.
fn line(difference: &Difference) -> String {
    let place = match &difference.subject {
        Subject::Api => difference.api.clone(),
        Subject::Message(name) => name.clone(),
        Subject::Reply(name) => format!("reply to {name}"),
        Subject::Type(name) => format!("{name} ({})", difference.used_by.join(", ")),
    };
    let side = |side: &Option<String>| side.as_deref().unwrap_or("-").to_owned();
    let (left, right) = (side(&difference.left), side(&difference.right));
    format!("{place}{} {}: {left} | {right}", difference.path, difference.aspect.name())
}

fn differences(before: &str, after: &str) -> Vec<String> {
    compare(&described("thing_API.yaml", before), &described("thing_API.yaml", after)).iter().map(line).collect()
}

#[test]
fn every_kind_of_difference_is_found_once_and_in_both_directions() {
    for (from, to, expected) in [
        (
            "1/thing/{module_id}",
            "2/thing/{module_id}",
            "thing pathname: everest_api/1/thing/{module_id} | everest_api/2/thing/{module_id}",
        ),
        ("Paint'}\n    reply", "Paint'}\n      x-more: 1\n    reply", "paint remark: - | x-more: 1"),
        ("coats: {type: integer, minimum: 1}", "coats: {type: integer}", "Paint (paint).coats limit: least 1 | -"),
        (
            "coats: {type: integer, minimum: 1}",
            "coats: {type: integer, minimum: 1, maximum: 9}",
            "Paint (paint).coats limit: - | most 9",
        ),
        (
            "coats: {type: integer, minimum: 1}",
            "coats: {type: string}",
            "Paint (paint).coats type: an integer | a text",
        ),
        (
            "coats: {type: integer, minimum: 1}",
            "coats: {type: [integer, 'null'], minimum: 1}",
            "Paint (paint).coats type: an integer | an integer or null",
        ),
        ("        coats: {type: integer, minimum: 1}\n", "", "Paint (paint).coats field: optional, an integer | -"),
        (
            "        coats: {",
            "        by: {$ref: '#/components/schemas/State'}\n        coats: {",
            "Paint (paint).by field: - | optional, State",
        ),
        ("required: [colour]", "required: []", "Paint (paint).colour required: required | optional"),
        (
            "    Paint:\n",
            "    Paint:\n      additionalProperties: false\n",
            "Paint (paint) other-fields: any other fields | no other fields",
        ),
        ("[red, green]", "[red, green, blue]", "Colour (paint) word: - | `blue`"),
        ("[red, green]", "[green]", "Colour (paint) word: `red` | -"),
        ("State: {type: string}", "State: {type: string, maxLength: 9}", "State (state) limit: - | greatest length 9"),
        ("State: {type: string}", "State: {type: string, format: date}", "State (state) limit: - | format date"),
        ("State: {type: string}", "State: {type: string, pattern: x}", "State (state) limit: - | pattern x"),
        (
            "State: {type: string}",
            "State: {type: array, items: {type: string}}",
            "State (state) type: a text | a list of a text",
        ),
        ("State: {type: string}", "State: {type: string, enum: [a, b]}", "State (state) type: a text | `a` or `b`"),
        (
            "State: {type: string}",
            "State: {type: object, properties: {a: {}}}",
            "State (state) type: a text | an object of a",
        ),
        ("State: {type: string}", "State: {}", "State (state) type: a text | anything"),
        ("schemas/State'}", "schemas/Colour'}", "State (state) type: a text | `red` or `green`"),
        ("[Accepted, Rejected]", "[Accepted]", "Result (reply to paint) word: `Rejected` | -"),
        ("[payload]", "[]", "paint.payload required: required | optional"),
    ] {
        let after = edited(THING, from, to);
        let found = differences(THING, &after);
        // A type that goes by another name on the other side is named as there.
        let renamed = expected.replace("State (state) type: a text | `red`", "Colour (state) type: a text | `red`");
        assert_eq!(found, [renamed], "{to}");
        assert_eq!(differences(&after, THING).len(), 1, "back from {to}");
        assert_eq!(differences(&after, &after).len(), 0, "{to}");
    }
}

#[test]
fn channels_come_go_and_change_in_how_they_are_used() {
    let reply = "    reply:\n      address: {location: '$message.header#/replyTo'}\n      channel: {$ref: '#/channels/send_reply_paint'}\n";
    let silent = edited(THING, reply, "");
    let found = differences(THING, &silent);
    assert!(found.contains(&"paint pattern: request | command".to_owned()), "{found:?}");
    let turned = edited(
        &edited(THING, "address: m2e/state", "address: e2m/state"),
        "  send_state:\n    action: send",
        "  send_state:\n    action: receive",
    );
    assert_eq!(
        differences(THING, &turned),
        [
            "state address: m2e/state | e2m/state",
            "state direction: sent by the client | sent by EVerest",
            "state pattern: variable | command",
        ]
    );
    let gone = edited(
        &edited(
            THING,
            "  send_state:\n    address: m2e/state\n    messages: {state: {$ref: '#/components/messages/state'}}\n",
            "",
        ),
        "  send_state:\n    action: send\n    channel: {$ref: '#/channels/send_state'}\n",
        "",
    );
    assert_eq!(differences(THING, &gone), ["state channel: m2e/state, variable, State | -"]);
    assert_eq!(differences(&gone, THING), ["state channel: - | m2e/state, variable, State"]);
    let other = compare(&described("thing_API.yaml", THING), &described("other_API.yaml", THING));
    assert_eq!(
        other.iter().map(line).collect::<Vec<_>>(),
        ["other api: - | the whole API", "thing api: the whole API | -"]
    );
}

#[test]
fn what_is_called_otherwise_and_is_the_same_is_no_difference() {
    for (from, to) in [
        ("Colour", "Hue"),
        ("title: Things", "title: Some things"),
        ("send_state", "send_condition"),
        ("State: {type: string}", "State: {type: string, description: Wet or dry., examples: [wet]}"),
        ("[red, green]", "[green, red]"),
    ] {
        assert!(THING.contains(from));
        assert_eq!(differences(THING, &THING.replace(from, to)), [""; 0], "{to}");
    }
    // A type that holds itself is looked at once.
    let nested = edited(
        THING,
        "State: {type: string}",
        "State: {type: object, properties: {of: {$ref: '#/components/schemas/State'}}}",
    );
    assert_eq!(
        differences(
            &nested,
            &nested.replace("schemas/State", "schemas/Condition").replace("    State:", "    Condition:")
        ),
        [""; 0]
    );
}

#[test]
fn a_type_differs_once_however_many_messages_have_it() {
    let shared =
        edited(THING, "State: {type: string}", "State: {type: array, items: {$ref: '#/components/schemas/Colour'}}");
    let after = edited(&shared, "[red, green]", "[red, green, blue]");
    assert_eq!(differences(&shared, &after), ["Colour (paint, state) word: - | `blue`"]);
}

#[test]
fn two_directories_are_compared_and_told_by_exit_codes() {
    let after = edited(
        &edited(THING, "[red, green]", "[red, blue]"),
        "    State: {type: string}",
        "    State: {type: string, maxLength: 9}",
    );
    let project = Project::with(&[
        ("old/thing_API.yaml", THING),
        ("new/thing_API/asyncapi.yaml", &after),
        ("new/paint_API.yaml", THING),
        ("bad/thing_API.yaml", "asyncapi: ["),
        ("bad/paint_API.yaml", THING),
        ("empty/readme.yaml", "a: 1"),
    ]);
    let run = |arguments: &[&str]| project.run(&[&["drift"], arguments].concat());
    let same = run(&["--asyncapi", "old", "--asyncapi", "old"]).exits(0);
    assert_eq!(same.stdout, "no differences in 1 API\n");
    let ran = run(&["--asyncapi", "old", "--asyncapi", "new", "--json", "drift.json"]).exits(1);
    assert_eq!(
        ran.stdout,
        "\
paint
    api only in new: the whole API

thing
  Colour, in paint
    word only in old: `green`
    word only in new: `blue`
  State, in state
    limit only in new: greatest length 9

4 differences in 2 APIs
"
    );
    let report: Value = serde_json::from_str(&project.read("drift.json")).unwrap();
    assert_eq!(report["left"], "old");
    assert_eq!(report["apis"], json!(["paint", "thing"]));
    let word = json!({
        "api": "thing", "subject": {"type": "Colour"}, "path": "", "aspect": "word", "left": "`green`", "right": null,
        "used_by": ["paint"], "reason": null,
    });
    assert_eq!(report["differences"][1], word);
    // The report stands alone on standard output.
    let ran = run(&["--asyncapi", "old", "--asyncapi", "new", "--json", "-"]).exits(1);
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), report);
    assert!(ran.stderr.contains("4 differences"), "{}", ran.stderr);
    // What cannot be read has not gone, and what can be read is compared.
    let ran = run(&["--asyncapi", "old", "--asyncapi", "bad"]).exits(2).says("asyncapi/syntax");
    assert_eq!(ran.stdout, "paint\n    api only in bad: the whole API\n\n1 difference in 1 API\n");
    for (arguments, id) in [
        (&["--asyncapi", "nowhere"][..], "file/no-documents"),
        (&["--asyncapi", "empty"], "file/no-documents"),
        (&["--asyncapi", "old", "--asyncapi", "new", "--release", "main"], "usage/release-of-directories"),
        (&["--asyncapi", "old", "--asyncapi", "new", "--asyncapi", "bad"], "usage/many-directories"),
        (&["--asyncapi", "old", "--json", "no/such.json"], "usage/unwritable-report"),
        (&["--asyncapi", "old", "--release", "2024.09"], "2024.09"),
        (&[], "--asyncapi"),
    ] {
        run(arguments).exits(2).says(id);
    }
}

#[test]
fn ours_are_compared_with_a_directory() {
    // One that differs in everything, and gives an example that is none.
    let thing = edited(THING, "payload: dry", "payload: 5");
    let project = Project::with(&[
        ("docs/thing_API.yaml", THING),
        ("docs/entrypoint_API.yaml", "a: ["),
        ("bad/auth_consumer_API.yaml", &thing),
    ]);
    let ran = project.run(&["drift", "--asyncapi", "bad"]).exits(1);
    let example = "  state\n    channel only in bad: m2e/state, command, State\n    example in bad, line 43: 5 is not of type \"string\"\n";
    assert!(ran.stdout.contains(example), "{}", ran.stdout);
    let ran = project.run(&["drift", "--asyncapi", "docs"]).exits(2).says("entrypoint_API.yaml");
    assert!(ran.stdout.starts_with("auth_consumer\n    api only in khumbu: the whole API\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("3 differences in 3 APIs\n"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("not compared, since khumbu has no description: thing\n"), "{}", ran.stdout);
}

/// Zero for what Khumbu describes, in every release, but for what has a reason; and every reason is needed.
#[test]
fn nothing_that_we_describe_drifts_from_everest() {
    if !Path::new(SHARED).is_dir() {
        println!("skipped: {SHARED} is not there");
        return;
    }
    let project = Project::new();
    // Examples that break their own schema.
    let reply = ["reply validate_token"];
    let update = ["message validate_result_update"; 2];
    for (release, version, apis, others) in [
        ("2025.10", "2025.10.0", 3, &["message set_master_pass_group_id"][..]),
        ("2025.12", "2025.12.0", 3, &[]),
        ("2026.02", "2026.02.1", 3, &[]),
        ("main", "main", 4, &["message ready_beacon"]),
    ] {
        let directory = std::fs::canonicalize(Path::new(SHARED).join(version)).unwrap();
        let directory = directory.to_str().unwrap();
        let ran = project.run(&["drift", "--asyncapi", directory, "--release", release, "--json", "-"]).exits(0);
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(report["apis"].as_array().unwrap().len(), apis, "{release}");
        let differences = report["differences"].as_array().unwrap();
        assert!(differences.iter().all(|difference| difference["reason"].is_string()), "{release}");
        let subject = |difference: &Value| {
            let (kind, name) = difference["subject"].as_object().unwrap().iter().next().unwrap();
            format!("{kind} {}", name.as_str().unwrap())
        };
        let mut excused: Vec<_> = differences.iter().map(subject).collect();
        let mut expected: Vec<&str> = others.iter().chain(&reply).chain(&update).copied().collect();
        excused.sort();
        expected.sort_unstable();
        assert_eq!(excused, expected, "{release}");
    }
}

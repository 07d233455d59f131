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
        ("State: {type: string}", "State: {type: string, x-a: 1}", "State () remark: - | x-a: 1"),
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
        // Not what the types consist of: none has changed.
        ("schemas/State'}", "schemas/Colour'}", "state type: State | Colour"),
        ("schemas/Result'}", "schemas/Colour'}", "reply to paint type: Result | Colour"),
        ("[Accepted, Rejected]", "[Accepted]", "Result (reply to paint) word: `Rejected` | -"),
        ("[payload]", "[]", "paint.payload required: required | optional"),
    ] {
        let after = edited(THING, from, to);
        let found = differences(THING, &after);
        assert_eq!(found, [expected], "{to}");
        assert_eq!(differences(&after, THING).len(), 1, "back from {to}");
        assert_eq!(differences(&after, &after).len(), 0, "{to}");
    }
}

#[test]
fn channels_come_go_and_change_in_how_they_are_used() {
    let reply = "    reply:\n      address: {location: '$message.header#/replyTo'}\n      channel: {$ref: '#/channels/send_reply_paint'}\n";
    let silent = edited(THING, reply, "");
    let found = differences(THING, &silent);
    // The channel that nothing replies on any more is no difference of its own.
    assert_eq!(found, ["paint pattern: request | command"]);
    assert_eq!(differences(&silent, THING), ["paint pattern: command | request"]);
    let moved = edited(THING, "address: m2e/state", "address: m2e/condition");
    assert_eq!(differences(THING, &moved), ["condition address: m2e/state | m2e/condition"]);
    assert_eq!(differences(&moved, THING), ["state address: m2e/condition | m2e/state"]);
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

/// A document whose state may be this.
fn stated(schema: &str) -> String {
    edited(THING, "State: {type: string}", &format!("State: {schema}"))
}

#[test]
fn alternatives_are_compared_one_by_one() {
    let before = "{oneOf: [{$ref: '#/components/schemas/Paint'}, {type: string, maxLength: 5}, {type: integer}]}";
    for (from, to, expected) in [
        ("maxLength: 5", "maxLength: 6", &["State (state), shape 2 limit: greatest length 5 | greatest length 6"][..]),
        ("integer", "boolean", &["State (state), shape 3 type: an integer | a boolean"]),
        ("schemas/Paint", "schemas/Colour", &["State (state), shape 1 type: Paint | Colour"]),
        (", {type: integer}", "", &["State (state) type: an integer | -"]),
        ("{type: integer}", "{type: integer, multipleOf: 2}", &["State, shape 3 () remark: - | multipleOf: 2"]),
        ("oneOf", "anyOf", &["State (state) limit: exactly one | one or more"]),
        // Their order says nothing.
        ("{type: string, maxLength: 5}, {type: integer}", "{type: integer}, {type: string, maxLength: 5}", &[]),
    ] {
        let found = differences(&stated(before), &stated(&edited(before, from, to)));
        let expected: Vec<String> =
            expected.iter().map(|line| line.replace("State, shape 3 ()", "State (), shape 3")).collect();
        assert_eq!(found, expected, "{to}");
        let anew = edited(before, from, to);
        assert_eq!(differences(&stated(&anew), &stated(before)).len(), expected.len(), "back from {to}");
    }
    // What one of them refers to.
    let after = edited(&stated(before), "minimum: 1", "minimum: 2");
    assert_eq!(differences(&stated(before), &after), ["Paint (paint, state).coats limit: least 1 | least 2"]);
}

#[test]
fn what_the_model_cannot_hold_is_compared_by_its_whole_content() {
    let long = "x".repeat(200);
    for (schema, from, to, expected) in [
        (
            "{type: object, additionalProperties: {type: string, maxLength: 5}}",
            "maxLength: 5",
            "maxLength: 6",
            "State () remark: additionalProperties.maxLength: 5 | additionalProperties.maxLength: 6",
        ),
        (
            "{type: object, additionalProperties: {$ref: '#/components/schemas/Colour'}}",
            "enum: [red, green]",
            "enum: [red, blue]",
            "State () remark: additionalProperties.enum[1]: green | additionalProperties.enum[1]: blue",
        ),
        (
            "{type: object, patternProperties: {title: {type: array, items: {$ref: '#/components/schemas/Paint'}}}}",
            "minimum: 1",
            "minimum: 2",
            "State () remark: patternProperties.title.items.properties.coats.minimum: 1 | \
             patternProperties.title.items.properties.coats.minimum: 2",
        ),
        (
            "{allOf: [{type: string}, {type: string, minLength: 1}]}",
            "minLength: 1",
            "minLength: 2",
            "State () remark: allOf[1].minLength: 1 | allOf[1].minLength: 2",
        ),
        (
            &format!("{{not: {{enum: [{long}, a]}}}}"),
            ", a]",
            ", b]",
            "State () remark: not.enum[1]: a | not.enum[1]: b",
        ),
    ] {
        let before = stated(schema);
        let found = differences(&before, &edited(&before, from, to));
        assert!(found.contains(&expected.to_owned()), "{found:?}");
        // Names of types, and texts for people, are none of it.
        let described = edited(&before, "State: {", "State: {description: It, ").replace("Colour", "Hue");
        assert_eq!(differences(&before, &described), [""; 0], "{schema}");
    }
    // A type that holds itself.
    let nested = stated("{type: object, additionalProperties: {$ref: '#/components/schemas/State'}}");
    assert_eq!(differences(&nested, &nested), [""; 0]);
}

#[test]
fn what_is_new_as_a_whole_takes_along_what_is_said_of_it() {
    let new = edited(THING, "        coats: {", "        dry: {type: boolean, default: true}\n        coats: {");
    assert_eq!(differences(THING, &new), ["Paint (paint).dry field: - | optional, a boolean"]);
    assert_eq!(differences(&new, THING), ["Paint (paint).dry field: optional, a boolean | -"]);
}

#[test]
fn what_was_not_compared_is_named_with_the_reason() {
    let reference = edited(THING, "'#/components/schemas/State'", "'thing_API.yaml#/components/schemas/State'");
    let project = Project::with(&[
        ("old/thing_API.yaml", THING),
        ("old/user_API.yaml", &reference),
        ("old/other_API.yaml", THING),
        ("bad/thing_API.yaml", "asyncapi: 3.0.0\ninfo: ["),
        ("bad/user_API.yaml", &reference),
        ("bad/other_API.yaml", THING),
        ("ours/thing_API.yaml", THING),
    ]);
    let run = |after: &str| project.run(&["drift", "--asyncapi", "old", "--asyncapi", after, "--json", "drift.json"]);
    let ran = run("bad").exits(2).says("asyncapi/syntax");
    let said = "no differences in 1 API\nnot compared, since bad/thing_API.yaml is wrong in line 2: thing, user\n";
    assert_eq!(ran.stdout, said);
    let report: Value = serde_json::from_str(&project.read("drift.json")).unwrap();
    let why = "bad/thing_API.yaml is wrong in line 2";
    assert_eq!(report["not_compared"], json!([{"api": "thing", "why": why}, {"api": "user", "why": why}]));
    assert_eq!(report["errors"][0]["file"], "bad/thing_API.yaml");
    assert_eq!(report["errors"][0]["line"], 2);
    // No text, or too much of it.
    for (bytes, id, why) in [
        (b"asyncapi: \xff".to_vec(), "file/not-utf8", "file `bad/thing_API.yaml` is not UTF-8 text"),
        (
            vec![b'#'; asyncapi::LARGEST + 1],
            "file/too-large",
            "file `bad/thing_API.yaml` has 4194305 bytes, the most is 4194304",
        ),
    ] {
        std::fs::write(project.path("bad/thing_API.yaml"), bytes).unwrap();
        let ran = run("bad").exits(2).says(id);
        assert_eq!(ran.stdout, format!("no differences in 1 API\nnot compared, since {why}: thing, user\n"));
    }
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
    // What is said of a type, or of a channel, goes along with its name.
    let told = edited(THING, "State: {type: string}", "State: {type: string, x-a: 1}");
    let told =
        edited(&told, "    state:\n      payload", "    state:\n      bindings: {mqtt: {qos: 1}}\n      payload");
    let renamed = told.replace("schemas/State", "schemas/Condition").replace("    State:", "    Condition:");
    assert_eq!(differences(&told, &renamed), [""; 0]);
    let moved = edited(&told, "address: m2e/state", "address: m2e/condition");
    assert_eq!(differences(&told, &moved), ["condition address: m2e/state | m2e/condition"]);
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
    let said = "paint\n    api only in bad: the whole API\n\n1 difference in 1 API\n\
                not compared, since bad/thing_API.yaml is wrong in line 1: thing\n";
    assert_eq!(ran.stdout, said);
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
    let said = "not compared, since docs/entrypoint_API.yaml is wrong in line 1: entrypoint\n\
                not compared, since khumbu has no description: thing\n";
    assert!(ran.stdout.ends_with(said), "{}", ran.stdout);
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

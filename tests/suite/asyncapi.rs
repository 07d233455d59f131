//! EVerest's own descriptions, read: small ones made here, and those of every release.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use khumbu::diagnostic::{Diagnostic, Source};
use khumbu::protocol::api::{self, Api, Pattern, Shape};
use khumbu::protocol::asyncapi::{self, Document, Reading, api_of, name_of};

use crate::printed;

/// EVerest's documents, by release.
pub const SHARED: &str = "../shared/asyncapi";

/// A document of an API that no EVerest has.
pub const THING: &str = "\
asyncapi: 3.0.0
info: {title: Things}
servers:
  default: {pathname: 'everest_api/1/thing/{module_id}'}
channels:
  receive_request_paint:
    address: e2m/paint
    messages: {paint: {$ref: '#/components/messages/request_paint'}}
  send_reply_paint:
    address: null
    messages: {paint: {$ref: '#/components/messages/reply_paint'}}
  send_state:
    address: m2e/state
    messages: {state: {$ref: '#/components/messages/state'}}
operations:
  receive_request_paint:
    action: receive
    channel: {$ref: '#/channels/receive_request_paint'}
    reply:
      address: {location: '$message.header#/replyTo'}
      channel: {$ref: '#/channels/send_reply_paint'}
  send_reply_paint:
    action: send
    channel: {$ref: '#/channels/send_reply_paint'}
  send_state:
    action: send
    channel: {$ref: '#/channels/send_state'}
components:
  messages:
    request_paint:
      payload:
        type: object
        required: [payload]
        properties:
          headers: {type: object, properties: {replyTo: {type: string}}}
          payload: {$ref: '#/components/schemas/Paint'}
    reply_paint:
      payload: {$ref: '#/components/schemas/Result'}
    state:
      payload: {$ref: '#/components/schemas/State'}
      examples:
        - summary: It is dry
          payload: dry
  schemas:
    Paint:
      type: object
      required: [colour]
      properties:
        colour: {$ref: '#/components/schemas/Colour'}
        coats: {type: integer, minimum: 1}
    Colour: {type: string, enum: [red, green]}
    Result: {type: string, enum: [Accepted, Rejected]}
    State: {type: string}
";

fn source(path: &str, text: &str) -> Arc<Source> {
    Arc::new(Source { path: path.to_owned(), text: text.to_owned() })
}

/// The text with one piece of it changed; it has to be there once.
#[track_caller]
pub fn edited(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replace(from, to)
}

fn thing(text: &str) -> Reading {
    asyncapi::read(&[source("docs/thing_API.yaml", text)], &|_| true)
}

#[track_caller]
fn good(text: &str) -> Document {
    let reading = thing(text);
    assert!(reading.faults.is_empty(), "{}", texts(&reading.faults));
    reading.documents.into_iter().next().unwrap()
}

fn texts(faults: &[Diagnostic]) -> String {
    printed::told(faults).concat()
}

/// The model in the notation of Khumbu's own descriptions.
#[track_caller]
fn in_notation(text: &str) -> Api {
    api::read("thing", &format!("title: Things\nsource: docs/thing_API.yaml\n{text}")).unwrap()
}

#[test]
fn a_document_becomes_what_a_description_of_ours_would_say() {
    let document = good(THING);
    let expected = in_notation(
        "\
channels:
  paint:
    called: '`paint` request'
    address: e2m/paint
    pattern: request
    payload:
      headers?: {replyTo?: text}
      payload: Paint
    reply: {called: 'reply to `paint`', payload: Result}
  state:
    called: '`state` message'
    address: m2e/state
    pattern: variable
    payload: State
types:
  Paint: {colour: Colour, coats?: integer 1..}
  Colour: [red, green]
  Result: [Accepted, Rejected]
  State: text
",
    );
    assert_eq!(document.api, expected);
    assert_eq!(document.pathname, "everest_api/1/thing/{module_id}");
    assert_eq!(document.remarks, []);
    let [example] = &document.examples[..] else { panic!("{:?}", document.examples) };
    assert_eq!((example.channel.as_str(), example.is_reply, example.title.as_str()), ("state", false, "It is dry"));
    assert_eq!(example.payload, "dry");
    assert_eq!(example.place.line(), 43);
}

/// The shape of a schema, and what of it is a remark.
#[track_caller]
fn shape_of(schema: &str) -> (Shape, Vec<String>) {
    let document = good(&edited(THING, "State: {type: string}", &format!("State: {schema}")));
    let remarks = document.remarks.iter().map(|remark| format!("{} {}: {}", remark.subject, remark.what, remark.says));
    (document.api.named("State").unwrap().clone(), remarks.collect())
}

#[test]
fn schemas_become_shapes_and_what_a_shape_cannot_hold_is_named() {
    let remarks: [&str; 0] = [];
    for (schema, line) in [
        ("{}", "any"),
        ("{description: Whatever., title: It, examples: [1]}", "any"),
        ("{type: 'null'}", "null"),
        ("{type: boolean}", "boolean"),
        ("{type: integer, minimum: 10, maximum: 300}", "integer 10..300"),
        ("{type: number, minimum: 0.5}", "number 0.5.."),
        ("{type: string, minLength: 0, maxLength: 36}", "text ..36"),
        ("{type: string, format: date-time}", "text date-time"),
        ("{type: string, enum: [a, b], minLength: 1, maxLength: 3}", "[a, b]"),
        ("{enum: ['1', b]}", "['1', b]"),
        ("{type: array, items: {type: integer}, minItems: 1, maxItems: 4}", "list 1..4 of integer"),
        ("{type: array}", "list of any"),
        ("{type: object, additionalProperties: true}", "object"),
        ("{properties: {a: {type: boolean}}, required: [a, b]}", "{a: boolean, b: any}"),
        ("{type: object, $ref: '#/components/schemas/Paint'}", "Paint"),
        ("{type: [string, 'null']}", "text or null"),
        ("{oneOf: [{$ref: '#/components/schemas/Colour'}, {type: 'null'}]}", "Colour or null"),
        ("{allOf: [{$ref: '#/components/schemas/Colour'}]}", "Colour"),
        (
            "{allOf: [{$ref: '#/components/schemas/Paint'}, {type: object, required: [coats]}], properties: {by: {type: string}}}",
            "{colour: Colour, coats: integer 1.., by?: text}",
        ),
        (
            "{type: object, allOf: [{$ref: '#/components/schemas/Paint'}, {required: [coats]}]}",
            "{colour: Colour, coats: integer 1..}",
        ),
        ("{type: array, items: {$ref: '#/components/schemas/State'}}", "list of State"),
    ] {
        let expected = in_notation(&format!("types:\n  State: {line}\n  Colour: [red, green]\n")).types[0].1.clone();
        let (shape, told) = shape_of(schema);
        assert_eq!(shape, expected, "{schema}");
        assert_eq!(told, remarks, "{schema}");
    }
    for (schema, expected) in [
        ("{type: string, minLength: 2, enum: [a, b]}", "State minLength: 2"),
        ("{type: string, pattern: '['}", "State pattern: ["),
        ("{type: integer, multipleOf: 5}", "State multipleOf: 5"),
        ("{types: {A: {type: string}}}", "State types: {\"A\":{\"type\":\"string\"}}"),
        ("{type: [string, integer]}", "State type: string or integer"),
        ("{type: integer, maximum: 18446744073709551615}", "State maximum: 18446744073709551615"),
        ("{anyOf: [{type: string}, {type: integer, multipleOf: 5}]}", "State, shape 2 multipleOf: 5"),
        ("{allOf: [{type: string}, {type: integer}]}", "State allOf: 2 shapes"),
        ("{allOf: [{type: string}, {type: integer, multipleOf: 5}]}", "State allOf: 2 shapes"),
        (
            "{allOf: [{$ref: '#/components/schemas/Paint'}, {type: object, properties: {coats: {type: string}}}]}",
            "State.coats allOf: several shapes of one field",
        ),
        ("{type: object, properties: {a: {type: string, default: x}}}", "State.a default: x"),
        ("{type: array, items: {type: object, minProperties: 1}}", "State[] minProperties: 1"),
        ("{type: object, additionalProperties: {type: string}}", "State additionalProperties: {\"type\":\"string\"}"),
        (
            "{type: object, properties: {a: {type: object, $ref: '#/components/schemas/Colour'}}}",
            "State.a type: object",
        ),
        ("{type: integer, enum: [1, 2]}", "State enum: [1,2]"),
    ] {
        assert_eq!(shape_of(schema).1, [expected], "{schema}");
    }
}

#[test]
fn closed_objects_and_patterns_are_held() {
    let (shape, remarks) = shape_of(
        "{type: object, additionalProperties: false, properties: {a: {type: string, pattern: '^x', minLength: 3}}}",
    );
    let Shape::Object { fields, is_closed: true } = shape else { panic!("{shape:?}") };
    let Shape::Text { shortest: Some(3), longest: None, format: None, pattern: Some(pattern) } = &fields[0].shape
    else {
        panic!("{fields:?}")
    };
    assert_eq!((pattern.as_str(), remarks.len()), ("^x", 0));
}

#[test]
fn alternatives_are_held_and_a_payload_that_is_none_of_them_is_found() {
    for (keyword, is_exclusive) in [("oneOf", true), ("anyOf", false)] {
        let (shape, remarks) =
            shape_of(&format!("{{{keyword}: [{{type: string}}, {{type: 'null'}}, {{type: boolean}}]}}"));
        let text = Shape::Text { shortest: None, longest: None, format: None, pattern: None };
        let several = Shape::Alternatives { shapes: vec![text, Shape::Boolean], is_exclusive };
        assert_eq!((shape, remarks.len()), (Shape::OrNull(Box::new(several)), 0), "{keyword}");
    }
    let either = "State: {oneOf: [{type: string, format: date}, {type: string}, {$ref: '#/components/schemas/Paint'}]}";
    let document = good(&edited(THING, "State: {type: string}", either));
    let wrong = |payload: serde_json::Value| {
        let shape = document.api.named("State").unwrap();
        khumbu::protocol::schema::violations(&document.api, shape, Default::default(), &payload).len()
    };
    // That no second one fits is not judged.
    for (payload, expected) in [
        (serde_json::json!("wet"), 0),
        (serde_json::json!({"colour": "red"}), 0),
        (serde_json::json!({"colour": "blue"}), 1),
        (serde_json::json!(5), 1),
    ] {
        assert_eq!(wrong(payload.clone()), expected, "{payload}");
    }
}

#[test]
fn types_of_one_name_are_told_apart() {
    let with_units = edited(
        THING,
        "State: {type: string}",
        "State: {type: object, properties: {a: {$ref: '#/components/schemas/units/types/Colour'}, b: {$ref: '#/components/schemas/Colour'}}}\n    \
         units: {types: {Colour: {type: number}}}",
    );
    let api = good(&with_units).api;
    assert_eq!(api.named("units_types_Colour"), Some(&Shape::Number { min: None, max: None }));
    assert!(matches!(api.named("Colour"), Some(Shape::Words(_))));
}

#[test]
fn references_lead_from_file_to_file_under_both_of_everests_names() {
    let paint = "schemas: 1\ncomponents: {schemas: {Colour: {type: boolean}}}\n";
    for (path, reference) in [
        ("docs/paint_API.yaml", "paint_API.yaml"),
        ("docs/paint_API/asyncapi.yaml", "../paint_API/asyncapi.yaml"),
        ("docs/paint_API.yaml", "../paint_API/asyncapi.yaml"),
    ] {
        let text = edited(
            THING,
            "State: {type: string}",
            &format!("State: {{$ref: '{reference}#/components/schemas/Colour'}}"),
        );
        let sources = [source("docs/thing_API.yaml", &text), source(path, paint)];
        let reading = asyncapi::read(&sources, &|name| name == "thing_API");
        assert!(reading.faults.is_empty(), "{}", texts(&reading.faults));
        let api = &reading.documents[0].api;
        assert_eq!(
            api.named("paint_API_components_schemas_Colour").or(api.named("paint_API_Colour")),
            Some(&Shape::Boolean)
        );
    }
    assert_eq!(
        (name_of("a/b_API/asyncapi.yaml"), name_of("b_API.yml"), name_of(r"a\b_API.yaml")),
        ("b_API", "b_API", "b_API")
    );
    assert_eq!((api_of("b_API"), api_of("b")), ("b", "b"));
}

#[test]
fn channels_are_named_after_their_addresses_unless_two_share_one() {
    let names = |text: &str| good(text).api.channels.into_iter().map(|channel| channel.name).collect::<Vec<_>>();
    assert_eq!(names(THING), ["paint", "state"]);
    for (from, to, expected) in [
        ("address: m2e/state", "address: m2e/state/get", ["paint", "get_state"]),
        ("address: m2e/state", "address: 'look-for/{what}'", ["paint", "look_for"]),
        // Both directions, and one address for two.
        ("address: m2e/state", "address: m2e/paint", ["paint", "state"]),
        ("address: m2e/state", "address: e2m/paint", ["paint", "state"]),
    ] {
        assert_eq!(names(&edited(THING, from, to)), expected, "{to}");
    }
    // Where the keys are no better, they are taken as they stand.
    let alike = edited(THING, "address: m2e/state", "address: m2e/paint").replace("send_state", "send_paint");
    assert_eq!(names(&alike), ["receive_request_paint", "send_paint"]);
}

#[test]
fn patterns_follow_from_replies_and_addresses() {
    let pattern = |document: &str, api: &str, text: &str| {
        let reading = asyncapi::read(&[source(document, text)], &|_| true);
        assert_eq!(reading.documents[0].api.name, api);
        reading.documents[0].api.channels.last().unwrap().pattern
    };
    let state = |address: &str| edited(THING, "address: m2e/state", &format!("address: {address}"));
    for (document, api, address, expected) in [
        ("thing_API.yaml", "thing", "m2e/state", Pattern::Variable),
        ("thing_API.yaml", "thing", "e2m/state", Pattern::Command),
        ("thing_consumer_API.yaml", "thing_consumer", "m2e/state", Pattern::Command),
        ("thing_consumer_API.yaml", "thing_consumer", "e2m/state", Pattern::Variable),
        ("some.yaml", "thing", "e2m/heartbeat", Pattern::Heartbeat),
        ("some.yaml", "thing", "m2e/communication_check", Pattern::CommunicationCheck),
        ("some.yaml", "thing", "m2e/raise_error", Pattern::Error),
        ("some.yaml", "thing", "m2e/clear_error", Pattern::Error),
    ] {
        assert_eq!(pattern(document, api, &state(address)), expected, "{address}");
    }
    let latched = edited(THING, "address: e2m/paint", "address: m2e/paint/get");
    assert_eq!(good(&latched).api.channels[0].pattern, Pattern::LatchedGet);
}

#[test]
fn what_a_document_says_of_operations_and_messages_and_the_model_cannot_hold_is_named() {
    for (from, to, expected) in [
        ("    action: receive", "    action: send", "paint action: `send`, but the address is e2m/paint"),
        ("$message.header#/replyTo", "$message.payload#/to", "paint reply address: $message.payload#/to"),
        (
            "  send_reply_paint:\n    action: send",
            "  send_reply_paint:\n    bindings: {mqtt: {qos: 2}}\n    action: send",
            "send_reply_paint bindings: {\"mqtt\":{\"qos\":2}}",
        ),
        ("    reply_paint:\n", "    reply_paint:\n      traits: []\n", "reply to paint traits: []"),
        (
            "    reply_paint:\n",
            "    reply_paint:\n      contentType: text/plain\n",
            "reply to paint contentType: text/plain",
        ),
        ("address: m2e/state", "address: null", "send_state channel: no address, and no operation replies on it"),
        (
            "  send_state:\n    action: send\n    channel: {$ref: '#/channels/send_state'}\n",
            "",
            "state channel: no operation uses it",
        ),
    ] {
        let document = good(&edited(THING, from, to));
        let remarks: Vec<_> =
            document.remarks.iter().map(|r| format!("{} {}: {}", r.subject, r.what, r.says)).collect();
        assert_eq!(remarks, [expected], "{to}");
    }
}

#[test]
fn what_is_wrong_with_a_document_is_said_with_its_place() {
    let bomb = |levels: usize| {
        let levels = (1..levels)
            .map(|level| format!("a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 10].join(", ")));
        format!("x-a: {{a0: &a0 [x], {}}}\n", levels.collect::<Vec<_>>().join(", "))
    };
    for (from, to, id, at, says) in [
        ("info: {title: Things}", "info: {title: 'Things}", "asyncapi/syntax", "", "no valid YAML"),
        ("    Colour: {", "    Paint: {", "asyncapi/syntax", "Paint", "key `Paint` is given twice"),
        ("info: {title: Things}", "info: {}", "asyncapi/missing-field", "info", "field `title` is missing"),
        ("\nservers:", "\nhosts:", "asyncapi/missing-field", "", "field `servers` is missing"),
        ("asyncapi: 3.0.0", "asyncapi: 2.6.0", "asyncapi/unknown-version", "2.6.0", "AsyncAPI 2.6.0 is not understood"),
        (
            "info: {title: Things}",
            "info: {title: [1]}",
            "asyncapi/wrong-type",
            "title",
            "expected a text, found a list",
        ),
        ("    messages: {state: ", "    messages: {b: {}, state: ", "asyncapi/unsupported", "messages", "2 messages"),
        (
            "  default: {",
            "  other: {pathname: x}\n  default: {",
            "asyncapi/unsupported",
            "servers",
            "exactly one server",
        ),
        (
            "    action: receive",
            "    action: publish",
            "asyncapi/unknown-action",
            "publish",
            "unknown action `publish`",
        ),
        (
            "    channel: {$ref: '#/channels/send_state'}",
            "    channel: {$ref: '#/components/schemas/State'}",
            "asyncapi/unsupported",
            "'#/components/schemas/State'",
            "no channel of this document",
        ),
        ("State: {type: string}", "State: {type: text}", "asyncapi/unknown-type", "text", "unknown type `text`"),
        ("State: {type: string}", "State: {type: integer, minimum: x}", "asyncapi/wrong-type", "x", "a whole number"),
        ("required: [colour]", "required: colour", "asyncapi/wrong-type", "colour", "expected a list, found `colour`"),
        ("State: {type: string}", "State: 5", "asyncapi/wrong-type", "5", "expected a mapping, found `5`"),
        (
            "schemas/Result'}",
            "schemas/Reslt'}",
            "asyncapi/dangling-reference",
            "'#/components/schemas/Reslt'",
            "leads to `Reslt`, which is not there",
        ),
        (
            "'#/components/schemas/Result'}",
            "'paint_API.yaml#/a'}",
            "asyncapi/dangling-reference",
            "'paint_API.yaml#/a'",
            "put `paint_API.yaml` beside it",
        ),
        (
            "State: {type: string}",
            "State: {$ref: '#/components/schemas/State'}",
            "asyncapi/circular-reference",
            "'#/components/schemas/State'",
            "back to itself",
        ),
    ] {
        let text = edited(THING, from, to);
        let reading = thing(&text);
        assert!(reading.documents.is_empty() && reading.unread.len() == 1 && reading.unread[0].api == "thing", "{to}");
        let [fault] = &reading.faults[..] else { panic!("{to}: {}", texts(&reading.faults)) };
        assert_eq!(fault.id, id, "{to}");
        let place = fault.place.as_ref().unwrap();
        assert!(at.is_empty() || text[place.range.clone()] == *at, "{to}: {}", &text[place.range.clone()]);
        let told = texts(std::slice::from_ref(fault));
        assert!(told.contains(says), "{to}: {told}");
    }
    // What would take for ever ends.
    let text = edited(&format!("{}{THING}", bomb(9)), "payload: dry", "payload: *a8");
    let reading = thing(&text);
    let [fault] = &reading.faults[..] else { panic!("{}", texts(&reading.faults)) };
    assert!(fault.id == "asyncapi/too-large" && texts(&reading.faults).contains("50000 values"), "{fault:?}");
}

#[test]
fn two_documents_of_one_name_are_refused_and_broken_ones_matter_to_those_that_need_them() {
    let reading =
        asyncapi::read(&["docs/thing_API/asyncapi.yaml", "docs/thing_API.yaml"].map(|it| source(it, THING)), &|_| true);
    assert_eq!(reading.faults[0].id, "asyncapi/duplicate");
    assert!(texts(&reading.faults).contains("the other one is docs/thing_API/asyncapi.yaml"));
    let broken = source("broken_API.yaml", "a: [");
    let wants = |name: &str| name == "thing_API";
    assert!(asyncapi::read(&[source("thing_API.yaml", THING), broken.clone()], &wants).faults.is_empty());
    let needs = edited(THING, "'#/components/schemas/Result'", "'broken_API.yaml#/a'");
    let reading = asyncapi::read(&[source("thing_API.yaml", &needs), broken], &wants);
    assert_eq!(reading.unread.len(), 1);
    assert_eq!(reading.unread[0].api, "thing");
    assert_eq!(reading.faults[0].place.as_ref().unwrap().source.path, "broken_API.yaml");
}

/// The documents of a release; `None`, with the reason printed, where they are not there.
fn shared(release: &str) -> Option<Vec<Arc<Source>>> {
    let directory = Path::new(SHARED).join(release);
    let Ok(entries) = fs::read_dir(&directory) else {
        println!("skipped: {} is not there", directory.display());
        return None;
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    Some(paths.iter().map(|path| source(&path.display().to_string(), &fs::read_to_string(path).unwrap())).collect())
}

#[test]
fn every_document_of_every_release_is_read() {
    // Where a summary ends with two quotes instead of one, there is no YAML, and no API that needs it.
    let broken: &[&str] = &["evse_manager_consumer", "evse_board_support"];
    for (release, count, channels, unread) in [
        ("2025.10.0", 15, 95, broken),
        ("2025.12.0", 16, 99, broken),
        ("2026.02.1", 20, 181, &[]),
        ("main", 22, 231, &[]),
    ] {
        let Some(sources) = shared(release) else { return };
        let reading = asyncapi::read(&sources, &|_| true);
        let names: Vec<_> = reading.unread.iter().map(|unread| unread.api.as_str()).collect();
        assert_eq!(names, unread, "{release}");
        assert_eq!(reading.faults.len(), usize::from(!unread.is_empty()), "{}", texts(&reading.faults));
        let found: usize = reading.documents.iter().map(|document| document.api.channels.len()).sum();
        assert_eq!((reading.documents.len(), found), (count, channels), "{release}");
    }
}

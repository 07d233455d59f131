//! APIs that Khumbu has no description of, from EVerest's documents: checked, played on either side, and judged.
//!
//! No code knows them. The modules are `any_client.py` and `any_everest.py`, which know only what their command lines say.

use std::fs;
use std::path::Path;

use crate::asyncapi::{SHARED, THING, edited};
use crate::project::Project;
use crate::project::{Ran, python_module};

/// EVerest asks a client to paint; the client says that it has.
const PAINTER: &str = "\
description: A painter paints, and says so.
under_test: client
api: thing
steps:
  - publish:
      topic: \"{e2m}/paint\"
      payload: {headers: {replyTo: \"{reply}\"}, payload: {colour: red, coats: 2}}
      as: job
  - expect_reply: {to: job, payload: Accepted}
  - expect: {message: communication_check, payload: true}
";

/// The same from the other side.
const EVEREST: &str = "\
description: EVerest has something painted twice.
under_test: everest
api: thing
steps:
  - expect: {message: paint, payload: {payload: {colour: red}}}
  - publish: {topic: \"{reply_to}\", payload: Accepted}
  - expect: {message: paint, payload: {payload: {colour: green}}}
  - publish: {topic: \"{reply_to}\", payload: Accepted}
  - publish: {topic: \"{m2e}/state\", payload: dry}
";

/// A client's command line, and what its fault is called.
type Case = (&'static [&'static str], &'static [&'static str]);

/// The document of an API that no EVerest has, with what EVerest has in each.
fn thing() -> String {
    let text = edited(
        THING,
        "\nchannels:\n",
        "
channels:
  receive_heartbeat: {address: e2m/heartbeat, messages: {m: {payload: {type: integer}}}}
  send_communication_check: {address: m2e/communication_check, messages: {m: {payload: {type: boolean}}}}
",
    );
    edited(
        &text,
        "\noperations:\n",
        "
operations:
  receive_heartbeat: {action: receive, channel: {$ref: '#/channels/receive_heartbeat'}}
  send_communication_check: {action: send, channel: {$ref: '#/channels/send_communication_check'}}
",
    )
}

/// Plays a scenario of an API against a module with these arguments.
fn play(project: &Project, scenario: &str, document: &str, module: &str, arguments: &[&str]) -> Option<Ran> {
    let Some(python) = python_module(module) else {
        println!("skipped: no Python with paho-mqtt");
        return None;
    };
    let quoted: Vec<String> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
    let module = format!("{python} {}", quoted.join(" "));
    Some(project.play(&[scenario, "--asyncapi", document, "--module", &module]))
}

fn painter(case: &Case) {
    let project = Project::with(&[("thing_API.yaml", &thing()), ("s.yaml", PAINTER)]);
    let arguments = [&["--api", "thing"], case.0].concat();
    let Some(ran) = play(&project, "s.yaml", "thing_API.yaml", "any_client.py", &arguments) else { return };
    judged(ran, case.1);
}

#[track_caller]
fn judged(ran: Ran, faults: &[&str]) {
    if faults.is_empty() { drop(ran.exits(0)) } else { drop(ran.fails_with(faults)) }
}

mod client {
    use super::*;

    rows! { painter(&Case):
        conforms: (&["--answer", r#"paint="Accepted""#], &[]),
        conforms_and_tells: (&["--answer", r#"paint="Accepted""#, "--say", r#"m2e/state="wet""#], &[]),
        wrong_shape: (&["--answer", r#"paint="Done""#], &["expect/payload-mismatch", "monitor/schema-violation"]),
        wrong_shape_of_what_it_tells: (
            &["--answer", r#"paint="Accepted""#, "--say", "m2e/state=5"],
            &["monitor/schema-violation"]
        ),
        no_json: (&["--answer", r#"paint="Accepted""#, "--say", "m2e/state=wet"], &["monitor/not-json"]),
        wrong_direction: (
            &["--answer", r#"paint="Accepted""#, "--say", "e2m/heartbeat=5"],
            &["monitor/wrong-direction"]
        ),
        no_reply: (&[], &["expect/missing"]),
        second_reply: (&["--answer", r#"paint="Accepted""#, "--replies", "2"], &["monitor/second-reply"]),
        stray_reply: (
            &["--answer", r#"paint="Accepted""#, "--say", "m2e/reply/nobody=1"],
            &["monitor/stray-reply"]
        ),
        retained: (&["--answer", r#"paint="Accepted""#, "--retain"], &["monitor/retained"]),
    }
}

fn everest(case: &Case) {
    let project = Project::with(&[("thing_API.yaml", &thing()), ("s.yaml", EVEREST)]);
    let arguments = [&["--api", "thing"], case.0].concat();
    let Some(ran) = play(&project, "s.yaml", "thing_API.yaml", "any_everest.py", &arguments) else { return };
    judged(ran, case.1);
}

mod everest_side {
    use super::*;

    const RED: &str = r#"paint={"colour": "red"}"#;
    const GREEN: &str = r#"paint={"colour": "green"}"#;

    rows! { everest(&Case):
        conforms: (&["--ask", RED, "--ask", GREEN], &[]),
        wrong_shape: (
            &["--ask", r#"paint={"colour": "red", "coats": 0}"#, "--ask", GREEN],
            &["monitor/schema-violation"]
        ),
        wrong_direction: (&["--ask", RED, "--ask", GREEN, "--say", r#"m2e/state="dry""#], &["monitor/wrong-direction"]),
        asks_nothing: (&["--ask", RED], &["expect/missing"]),
        retained: (&["--ask", RED, "--ask", GREEN, "--retain"], &["monitor/retained"]),
    }
}

/// The API that EVerest has, from EVerest's own document.
#[test]
fn display_message_plays_on_either_side() {
    let document = Path::new(SHARED).join("main/display_message_API.yaml");
    let Ok(document) = fs::canonicalize(&document) else {
        println!("skipped: {} is not there", document.display());
        return;
    };
    let document = document.to_str().unwrap();
    let client = "\
description: A display shows what it is sent, and says what it shows.
under_test: client
api: display_message
steps:
  - publish:
      topic: \"{e2m}/set_display_message\"
      payload: {headers: {replyTo: \"{reply}\"}, payload: [{id: 1, message: {content: Hello}}]}
      as: shown
  - expect_reply: {to: shown, payload: {status: Accepted}}
  - publish:
      topic: \"{e2m}/get_display_message\"
      payload: {headers: {replyTo: \"{reply}\"}, payload: {}}
      as: asked
  - expect_reply: {to: asked, payload: {messages: [{id: 1}]}}
";
    let everest = "\
description: EVerest has a message shown, and takes it back.
under_test: everest
api: display_message
steps:
  - expect: {message: set_display_message, payload: {payload: [{message: {content: Hello}}]}}
  - publish: {topic: \"{reply_to}\", payload: {status: Accepted}}
  - expect: {message: clear_display_message, payload: {payload: {id: 1}}}
  - publish: {topic: \"{reply_to}\", payload: {status: Accepted}}
";
    let project = Project::with(&[("client.yaml", client), ("everest.yaml", everest)]);
    project.run(&["check", "client.yaml", "everest.yaml", "--asyncapi", document]).exits(0);
    let set = r#"set_display_message={"status": "Accepted"}"#;
    let get = r#"get_display_message={"messages": [{"id": 1, "message": {"content": "Hello"}}]}"#;
    let without_content = r#"get_display_message={"messages": [{"id": 1, "message": {}}]}"#;
    let display = |arguments: &[&str]| {
        let arguments = [&["--api", "display_message"], arguments].concat();
        play(&project, "client.yaml", document, "any_client.py", &arguments)
    };
    let Some(ran) = display(&["--answer", set, "--answer", get]) else { return };
    ran.exits(0);
    for (arguments, faults) in [
        (&["--answer", set, "--answer", without_content][..], &["monitor/schema-violation"][..]),
        (&["--answer", set, "--answer", get, "--say", "e2m/heartbeat=1"], &["monitor/wrong-direction"]),
        (&["--answer", set], &["expect/missing"]),
        (&["--answer", set, "--answer", get, "--replies", "2"], &["monitor/second-reply"]),
    ] {
        display(arguments).unwrap().fails_with(faults);
    }
    let asks = |payload: &str| {
        let set = format!("set_display_message={payload}");
        let arguments = ["--api", "display_message", "--ask", &set, "--ask", r#"clear_display_message={"id": 1}"#];
        play(&project, "everest.yaml", document, "any_everest.py", &arguments).unwrap()
    };
    asks(r#"[{"id": 1, "message": {"content": "Hello"}}]"#).exits(0);
    asks(r#"[{"id": "1", "message": {"content": "Hello"}}]"#).fails_with(&["monitor/schema-violation"]);
}

/// A text's pattern and format are judged where khumbu has no code that knows better.
#[test]
fn what_a_document_says_of_texts_is_judged() {
    let state = |says: &str| edited(&thing(), "State: {type: string}", &format!("State: {{type: string, {says}}}"));
    for (says, right, wrong) in [
        ("pattern: '^[A-F0-9]{2}$'", "\"0A\"", "\"zz\""),
        ("format: date-time", "\"2026-01-31T12:00:00Z\"", "\"yesterday\""),
    ] {
        let project = Project::with(&[("thing_API.yaml", &state(says)), ("s.yaml", PAINTER)]);
        for (told, faults) in [(right, &[][..]), (wrong, &["monitor/schema-violation"])] {
            let told = format!("m2e/state={told}");
            let arguments = ["--api", "thing", "--answer", r#"paint="Accepted""#, "--say", &told];
            let Some(ran) = play(&project, "s.yaml", "thing_API.yaml", "any_client.py", &arguments) else { return };
            judged(ran, faults);
        }
    }
}

/// Nothing was told yet, and EVerest says so; its client asks, and is asked.
#[test]
fn a_latched_value_may_be_null_and_replies_pass_both_ways() {
    let text = edited(
        &thing(),
        "\nchannels:\n",
        "
channels:
  send_request_get_level:
    address: m2e/level/get
    messages: {m: {payload: {type: object, required: [headers], properties: {headers: {type: object}}}}}
  receive_reply_get_level:
    address: null
    messages: {m: {payload: {oneOf: [{type: integer}, {type: 'null'}]}}}
",
    );
    let text = edited(
        &text,
        "\noperations:\n",
        "
operations:
  send_request_get_level:
    action: send
    channel: {$ref: '#/channels/send_request_get_level'}
    reply:
      address: {location: '$message.header#/replyTo'}
      channel: {$ref: '#/channels/receive_reply_get_level'}
",
    );
    let scenario = |expected: &str| {
        format!(
            "description: Nothing was told yet.\nunder_test: everest\napi: thing\nsteps:\n  - publish: {{topic: \"{{m2e}}/level/get\", \
             payload: {{headers: {{replyTo: \"{{reply}}\"}}}}}}\n  - {expected}\n"
        )
    };
    let project = Project::with(&[
        ("thing_API.yaml", &text),
        ("null.yaml", &scenario("expect_reply: {payload: null}")),
        ("message.yaml", &scenario("expect: {message: reply, payload: null}")),
    ]);
    project.run(&["check", "null.yaml", "message.yaml", "--asyncapi", "thing_API.yaml"]).exits(0);
    for (scenario, answer, faults) in [
        ("null.yaml", "null", &[][..]),
        ("message.yaml", "null", &[]),
        ("null.yaml", "\"much\"", &["expect/payload-mismatch", "monitor/schema-violation"]),
    ] {
        let answer = format!("level/get={answer}");
        let arguments = ["--api", "thing", "--answer", &answer];
        let Some(ran) = play(&project, scenario, "thing_API.yaml", "any_everest.py", &arguments) else { return };
        judged(ran, faults);
    }
}

#[test]
fn what_cannot_be_played_is_refused_before_anything_starts() {
    let thing = thing();
    let refers = edited(&thing, "State: {type: string}", "State: {$ref: 'paint_API.yaml#/components/schemas/Hue'}");
    let hue = "components: {schemas: {Hue: {type: string, enum: [red]}}}";
    let odd = edited(&thing, "State: {type: string}", "State: {type: string, contentEncoding: base64}");
    let project = Project::with(&[
        ("s.yaml", PAINTER),
        ("thing_API.yaml", &thing),
        ("auth_consumer_API.yaml", &thing),
        ("split/thing_API.yaml", &refers),
        ("split/paint_API.yaml", hue),
        ("moved/thing_API/asyncapi.yaml", &refers.replace("paint_API.yaml", "../paint_API/asyncapi.yaml")),
        ("moved/paint_API/asyncapi.yaml", hue),
        ("lost/thing_API.yaml", &refers),
        ("odd/thing_API.yaml", &odd),
    ]);
    let check = |document: &str| project.run(&["check", "s.yaml", "--asyncapi", document]);
    project.run(&["check", "s.yaml"]).exits(2).says("unknown value `thing`");
    for document in ["thing_API.yaml", "split/thing_API.yaml", "moved/thing_API/asyncapi.yaml"] {
        let ran = check(document).exits(0);
        assert!(ran.stderr.is_empty(), "{document}: {}", ran.stderr);
    }
    check("lost/thing_API.yaml").exits(2).says("asyncapi/dangling-reference");
    check("nowhere.yaml").exits(2).says("file/not-found");
    check("auth_consumer_API.yaml").exits(2).says("asyncapi/known-api");
    check("odd/thing_API.yaml").exits(0).says("asyncapi/not-judged");
    project.run(&["run", "s.yaml", "--asyncapi", "lost/thing_API.yaml"]).exits(2).says("asyncapi/dangling-reference");
    // Nobody here knows what a thing does.
    project.run(&["run", "s.yaml", "--asyncapi", "thing_API.yaml"]).exits(2).says("usage/no-built-in-module");
}

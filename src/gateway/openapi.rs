//! The description of the interface as OpenAPI 3.1, made from the types that read and write it.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::answers::{Charger, ChargerPage, LogPage};
use super::commands::{self, Command};
use super::error::{TextError, ValidationError};
use super::events::{ChargerTarget, CommandTarget};
use super::routes::{COMMANDS, LARGEST_BODY, LAST, MOST_CHARGERS, MOST_ENTRIES, PAGE};
use super::schemas;
use super::state::StatePage;
use super::stream::StreamEvent;
use crate::protocol::channel::ApiType;

/// The whole description.
pub fn document(commands: &[Command]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for command in commands {
        paths.insert(format!("{COMMANDS}{}", command.path), json!({"post": of_command(command, &mut generator)}));
    }
    let list = generator.subschema_for::<ChargerPage>().to_value();
    let at_location = text("location_id", &json!({}), "Only those of this location.");
    let parameters = [at_location, integer("page", 1, LAST, 1), integer("limit", 1, MOST_CHARGERS, PAGE)];
    let get = reading("list_chargers", "Chargers", &parameters, list, &["401", "403", "422"], &mut generator);
    paths.insert("/ocpp/chargers".to_owned(), json!({"get": get}));
    let one = generator.subschema_for::<Charger>().to_value();
    let errors = ["401", "403", "404"];
    let get = reading("get_charger", "A charger", &[charger_id()], one, &errors, &mut generator);
    paths.insert("/ocpp/chargers/{charger_id}".to_owned(), json!({"get": get}));
    let log = generator.subschema_for::<LogPage>().to_value();
    let moment = json!({"format": "date-time"});
    let parameters = [
        charger_id(),
        text("start_date", &moment, "Nothing earlier."),
        text("end_date", &moment, "Nothing later."),
        text("event", &json!({}), "Only this action, such as `Authorize`."),
        integer("limit", 1, MOST_ENTRIES, PAGE),
        integer("offset", 0, LAST, 0),
    ];
    let errors = ["401", "403", "404", "422"];
    let get = reading(
        "get_charger_logs",
        "What a charger and its CSMS said, the latest first",
        &parameters,
        log,
        &errors,
        &mut generator,
    );
    paths.insert("/ocpp/chargers/{charger_id}/logs".to_owned(), json!({"get": get}));
    paths.insert("/state".to_owned(), json!({"get": of_state(&mut generator)}));
    paths.insert("/events".to_owned(), json!({"get": of_events(&mut generator)}));
    paths.insert(schemas::PATH.to_owned(), json!({"get": of_schemas(&mut generator)}));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Khumbu commands gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Drives simulated chargers over HTTP."
        },
        "paths": paths,
        "security": [{"bearer": []}],
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}
        }
    })
}

/// The JSON Schema of what answers a method, at a path, with a status; `None` where the description has none.
pub fn answer_schema(method: &str, path: &str, status: u16) -> Option<Value> {
    let mut whole = document(&commands::all());
    let path = path.split('?').next()?;
    let paths = whole["paths"].as_object()?;
    let (_, operations) = paths.iter().find(|(template, _)| is_at(template, path))?;
    let response = &operations[method.to_ascii_lowercase()]["responses"][status.to_string()];
    let mut schema = response["content"]["application/json"]["schema"].clone();
    schema.as_object_mut()?.insert("components".to_owned(), whole["components"].take());
    Some(schema)
}

/// Whether a path is one that a template stands for.
fn is_at(template: &str, path: &str) -> bool {
    let (wanted, levels): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let fits = |(wanted, level): (&&str, &&str)| wanted.starts_with('{') && !level.is_empty() || wanted == level;
    wanted.len() == levels.len() && wanted.iter().zip(&levels).all(fits)
}

fn of_command(command: &Command, generator: &mut SchemaGenerator) -> Value {
    let target = match command.takes_location {
        true => generator.subschema_for::<CommandTarget>(),
        false => generator.subschema_for::<ChargerTarget>(),
    };
    let event = (command.event_schema)(generator);
    let required = if command.is_event_optional { json!(["target"]) } else { json!(["target", "event"]) };
    let answer = (command.answer_schema)(generator);
    let body = json!({"type": "object", "required": required, "properties": {"target": target, "event": event}});
    let refusal = command.is_refused_by_error.then_some("409");
    let errors: Vec<_> = ["401", "403", "404", "408", "413", "422"].into_iter().chain(refusal).collect();
    json!({
        "operationId": command.event_type,
        "summary": command.summary,
        "tags": ["Commands"],
        "parameters": [organization()],
        "requestBody": {"required": true, "content": {"application/json": {"schema": body}}},
        "responses": responses(answer.to_value(), &errors, generator)
    })
}

fn of_state(generator: &mut SchemaGenerator) -> Value {
    let answer = generator.subschema_for::<StatePage>().to_value();
    let at_location = text("location_id", &json!({}), "Only those of this location.");
    let search = text("search", &json!({}), "Only those with this in their id, identity, name or location.");
    let parameters = [at_location, search, integer("page", 1, LAST, 1), integer("limit", 1, MOST_CHARGERS, PAGE)];
    reading("get_state", "Chargers as they are now", &parameters, answer, &["401", "403", "422"], generator)
}

/// It never ends by itself, which whoever tries out all paths has to know.
fn of_events(generator: &mut SchemaGenerator) -> Value {
    let event = generator.subschema_for::<StreamEvent>().to_value();
    let description = "Server-sent events without end. The data of each is one StreamEvent as JSON.";
    let text = json!({"type": "string", "description": description, "contentMediaType": "application/json",
        "contentSchema": event});
    let parameters = [json!({"name": "heartbeats", "in": "query", "required": false,
        "schema": {"type": "boolean", "default": true}, "description": "Whether heartbeats over MQTT are shown."})];
    let errors = ["401", "403", "422", "503"];
    let mut get = reading("watch_events", "What passes, live", &parameters, Value::Null, &errors, generator);
    get["responses"]["200"]["content"] = json!({"text/event-stream": {"schema": text}});
    get
}

fn of_schemas(generator: &mut SchemaGenerator) -> Value {
    let of = |name: &str, schema: Value| json!({"name": name, "in": "path", "required": true, "schema": schema});
    let apis: Vec<_> = ApiType::all().map(ApiType::name).collect();
    let parameters = [
        charger_id(),
        of("api", json!({"type": "string", "enum": apis})),
        of("channel", json!({"type": "string"})),
        of("part", json!({"type": "string", "enum": schemas::PARTS})),
    ];
    let schema = json!({"type": "object", "description": "A JSON Schema, draft 7."});
    let summary = "The schema of a message over MQTT, in the charger's release";
    reading("get_schema", summary, &parameters, schema, &["401", "403", "404"], generator)
}

fn reading(
    id: &str,
    summary: &str,
    parameters: &[Value],
    answer: Value,
    errors: &[&str],
    generator: &mut SchemaGenerator,
) -> Value {
    let parameters: Vec<Value> = parameters.iter().cloned().chain([organization()]).collect();
    json!({
        "operationId": id,
        "summary": summary,
        "tags": ["Chargers"],
        "parameters": parameters,
        "responses": responses(answer, errors, generator)
    })
}

fn responses(answer: Value, errors: &[&str], generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    let content = |schema: Value| json!({"application/json": {"schema": schema}});
    responses.insert("200".to_owned(), json!({"description": "It was done.", "content": content(answer)}));
    for status in errors.iter().chain(&["500"]) {
        let (description, schema) = match *status {
            "401" => ("The token is missing or wrong.".to_owned(), generator.subschema_for::<TextError>()),
            "403" => ("The token is not good for this.".to_owned(), generator.subschema_for::<TextError>()),
            "404" => ("There is no such charger or location.".to_owned(), generator.subschema_for::<TextError>()),
            "408" => ("The request took too long.".to_owned(), generator.subschema_for::<TextError>()),
            "409" => ("The charger refuses it.".to_owned(), generator.subschema_for::<TextError>()),
            "413" => (format!("The body has more than {LARGEST_BODY} bytes."), generator.subschema_for::<TextError>()),
            "503" => ("Too many do this at a time.".to_owned(), generator.subschema_for::<TextError>()),
            "422" => ("The request makes no sense.".to_owned(), generator.subschema_for::<ValidationError>()),
            _ => ("The fault is the gateway's.".to_owned(), generator.subschema_for::<TextError>()),
        };
        let response = json!({"description": description, "content": content(schema.to_value())});
        responses.insert((*status).to_owned(), response);
    }
    Value::Object(responses)
}

fn charger_id() -> Value {
    json!({"name": "charger_id", "in": "path", "required": true, "schema": {"type": "string"}})
}

fn integer(name: &str, least: i64, most: i64, default: i64) -> Value {
    let schema = json!({"type": "integer", "minimum": least, "maximum": most, "default": default});
    json!({"name": name, "in": "query", "required": false, "schema": schema})
}

fn text(name: &str, more: &Value, description: &str) -> Value {
    let mut schema = more.clone();
    schema["type"] = json!("string");
    json!({"name": name, "in": "query", "required": false, "schema": schema, "description": description})
}

fn organization() -> Value {
    let description = "The tenant; must be that of the token, if the token has one.";
    json!({"name": "X-Organization-Id", "in": "header", "required": false, "schema": {"type": "string"},
        "description": description})
}

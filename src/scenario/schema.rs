//! The language as a JSON Schema, for completion and checks in editors.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::Value;

use super::model::Model;

/// The JSON Schema (2020-12) of a scenario file, made from the very structs that read it.
pub fn schema() -> Value {
    schema_of::<Model>()
}

/// The same in the order of the model, and without what only editors want.
pub(super) fn in_order() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(Strict);
    settings.into_generator().into_root_schema_for::<Model>().to_value()
}

/// The JSON Schema (2020-12) of a file, made from the very structs that read it.
pub fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(Strict).with_transform(Named);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    for (name, definition) in schema.get_mut("$defs").and_then(Value::as_object_mut).into_iter().flatten() {
        if let Some(definition) = definition.as_object_mut() {
            definition.entry("title").or_insert_with(|| name.as_str().into());
        }
    }
    schema
}

/// Makes the schema as strict as the parser: an optional key may be left out, but not be written with nothing behind
/// it; and unknown keys are errors in the types of the wire, too.
#[derive(Debug, Clone)]
struct Strict;

impl Transform for Strict {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if schema.get("properties").is_some() && schema.get("additionalProperties").is_none() {
            schema.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
        for property in properties.values_mut() {
            let Some(property) = property.as_object_mut() else { continue };
            if let Some(Value::Array(kinds)) = property.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [only] = kinds.as_slice() {
                    let only = only.clone();
                    property.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = property.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
            }
            if property.get("default").is_some_and(Value::is_null) {
                property.remove("default");
            }
        }
    }
}

/// What Rust calls the size of a number, and JSON Schema does not know.
const OF_RUST: [&str; 9] = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "uint"];

/// Has the alternatives of a type tell themselves apart in an editor: each has a title and a sentence.
#[derive(Debug, Clone)]
struct Named;

impl Transform for Named {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if schema.get("format").and_then(Value::as_str).is_some_and(|it| it == "double" || OF_RUST.contains(&it)) {
            schema.remove("format");
        }
        let Some(choices) = schema.get_mut("oneOf").and_then(Value::as_array_mut) else { return };
        // yaml-language-server forgets the objects that stand before the first text.
        choices.sort_by_key(|choice| choice.get("const").is_none());
        for choice in choices {
            let Some(choice) = choice.as_object_mut() else { continue };
            let name = match choice.get("required").and_then(Value::as_array).map(Vec::as_slice) {
                Some([name]) => Some(name.clone()),
                _ => choice.get("const").cloned(),
            };
            let Some(Value::String(name)) = name else { continue };
            let about = choice.get("description").cloned();
            let inner = choice.get_mut("properties").and_then(|it| it.get_mut(&name)).and_then(Value::as_object_mut);
            if let (Some(inner), Some(about)) = (inner, about) {
                inner.entry("description").or_insert(about);
            }
            choice.entry("title").or_insert(Value::String(name));
        }
    }
}

/// The keys of a scenario, and those of its station.
pub fn keys() -> (Vec<String>, Vec<String>) {
    let schema = schema();
    let names = |keys: Option<&Value>| {
        let keys = keys.and_then(Value::as_object).cloned().unwrap_or_default();
        keys.into_iter().map(|(key, _)| key).collect()
    };
    let station = schema.pointer("/$defs/StationConfig/properties");
    (names(schema.get("properties")), names(station))
}

/// Names of all steps, as a file has them, in the order of the model.
pub fn step_names() -> Vec<String> {
    steps().into_iter().map(|(name, _)| name).collect()
}

/// What stands behind the name of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Takes {
    /// Nothing: the step is its name alone.
    Nothing,
    /// A mapping, with these keys at least, in their order.
    Mapping(Vec<String>),
    /// Something else, or a mapping among others.
    Value,
}

/// All steps by their names, in the order of the model, and what each takes.
pub fn steps() -> Vec<(String, Takes)> {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let schema = super::step::Step::json_schema(&mut generator).to_value();
    let definitions = generator.take_definitions(true);
    let texts = |value: Option<&Value>| {
        let list = value.and_then(Value::as_array).cloned().unwrap_or_default();
        list.into_iter().filter_map(|name| name.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let takes = |argument: &Value| {
        let name = argument.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
        let argument = name.and_then(|name| definitions.get(name)).unwrap_or(argument);
        match argument.get("type").and_then(Value::as_str) {
            Some("object") => Takes::Mapping(texts(argument.get("required"))),
            _ => Takes::Value,
        }
    };
    let choices = schema.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut steps = Vec::with_capacity(choices.len());
    for choice in &choices {
        let alone = choice.get("const").and_then(Value::as_str).map(str::to_owned);
        steps.extend(texts(choice.get("enum")).into_iter().chain(alone).map(|name| (name, Takes::Nothing)));
        for name in texts(choice.get("required")) {
            let takes = choice.get("properties").and_then(|keys| keys.get(&name)).map_or(Takes::Value, takes);
            steps.push((name, takes));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_head_and_of_the_station_are_told_apart() {
        let (head, station) = keys();
        let is_there = |keys: &[String], key: &str| keys.iter().any(|it| it == key);
        assert!(is_there(&head, "under_test") && is_there(&head, "station") && !is_there(&head, "evses"));
        assert!(is_there(&station, "evses") && is_there(&station, "tokens") && !is_there(&station, "api"));
    }

    #[test]
    fn each_step_says_what_it_takes() {
        let takes = |name| steps().into_iter().find(|(step, _)| step == name).map(|(_, takes)| takes);
        let mapping = |keys: &[&str]| Some(Takes::Mapping(keys.iter().map(|key| (*key).to_owned()).collect()));
        assert_eq!(takes("plug_in"), mapping(&["evse"]));
        assert_eq!(takes("set_verdict"), mapping(&["token", "verdict"]));
        assert_eq!(takes("withdraw"), mapping(&[]));
        assert_eq!(takes("restart_everest"), Some(Takes::Nothing));
        assert_eq!(takes("present_token"), Some(Takes::Value));
        assert_eq!(takes("expect_reply"), Some(Takes::Value));
        assert_eq!(takes("plugin"), None);
    }
}

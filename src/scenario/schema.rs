//! The language as a JSON Schema, for completion and checks in editors.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
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

/// Names of all steps, as a file has them, in the order of the model.
pub fn step_names() -> Vec<String> {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let schema = super::step::Step::json_schema(&mut generator).to_value();
    let choices = schema.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    choices
        .iter()
        .flat_map(|choice| {
            let words = choice.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
            let alone = choice.get("const").cloned();
            let keys = choice.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            words.into_iter().chain(alone).chain(keys)
        })
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

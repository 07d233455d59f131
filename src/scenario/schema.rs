//! The language as a JSON Schema, for completion and checks in editors.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::model::Model;

/// The JSON Schema (2020-12) of a scenario file, made from the very structs that read it.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(Strict);
    settings.into_generator().into_root_schema_for::<Model>().to_value()
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

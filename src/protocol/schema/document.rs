//! JSON Schema of a shape, under given deviations. Named types are definitions, `API.TYPE` each.

use serde_json::{Map, Value, json};

use crate::protocol::api::{Api, Field, Shape, Word};
use crate::protocol::deviations::Deviations;

/// The schema of a shape that stands in a description.
pub(super) fn document(api: &Api, shape: &Shape, in_force: Deviations) -> Value {
    let mut maker = Maker { in_force, definitions: Map::new() };
    let shape_and_api = match shape {
        Shape::Named(name) => api.resolve(name).map(|(api, _, shape)| (api, shape)),
        _ => None,
    };
    let (api, shape) = shape_and_api.unwrap_or((api, shape));
    let mut schema = maker.schema(api, shape);
    if !maker.definitions.is_empty() {
        schema["definitions"] = Value::Object(maker.definitions);
    }
    schema
}

struct Maker {
    in_force: Deviations,
    definitions: Map<String, Value>,
}

impl Maker {
    fn schema(&mut self, api: &Api, shape: &Shape) -> Value {
        match shape {
            Shape::Any => json!({}),
            Shape::Null => json!({"type": "null"}),
            Shape::Boolean => json!({"type": "boolean"}),
            Shape::Integer { min, max } => {
                with(json!({"type": "integer"}), [("minimum", json!(min)), ("maximum", json!(max))])
            }
            Shape::Number { min, max } => {
                with(json!({"type": "number"}), [("minimum", json!(min)), ("maximum", json!(max))])
            }
            Shape::Text { shortest, longest, format, pattern } => {
                let lengths = [("minLength", json!(shortest)), ("maxLength", json!(longest))];
                with(with(json!({"type": "string"}), lengths), [("format", json!(format)), ("pattern", json!(pattern))])
            }
            Shape::Words(words) => json!({"enum": self.words(words)}),
            Shape::List { of, shortest, longest } => {
                let items = ("items", self.schema(api, of));
                with(json!({"type": "array"}), [items, ("minItems", json!(shortest)), ("maxItems", json!(longest))])
            }
            Shape::Object { fields, is_closed } => self.object(api, fields, *is_closed),
            Shape::Named(name) => self.reference(api, name),
            Shape::OrNull(shape) => match self.schema(api, shape) {
                Value::Object(mut schema) if schema.get("type").is_some_and(Value::is_string) => {
                    let kind = schema["type"].take();
                    schema.insert("type".to_owned(), json!(["null", kind]));
                    Value::Object(schema)
                }
                schema => json!({"anyOf": [{"type": "null"}, schema]}),
            },
            Shape::Alternatives { shapes, .. } => {
                json!({"anyOf": shapes.iter().map(|shape| self.schema(api, shape)).collect::<Vec<_>>()})
            }
            Shape::Varying(variants) => match variants.iter().find(|variant| variant.when.runs(self.in_force)) {
                Some(variant) => self.schema(api, &variant.shape),
                None => json!({}),
            },
        }
    }

    fn words<'a>(&self, words: &'a [Word]) -> Vec<&'a str> {
        words.iter().filter(|word| word.when.runs(self.in_force)).map(|word| word.text.as_str()).collect()
    }

    fn object(&mut self, api: &Api, fields: &[Field], is_closed: bool) -> Value {
        let mut schema = json!({"type": "object"});
        let fields: Vec<_> = fields.iter().filter(|field| field.when.runs(self.in_force)).collect();
        let must = |field: &&&Field| field.required.is_some_and(|when| when.runs(self.in_force));
        let required: Vec<_> = fields.iter().filter(must).map(|field| &field.name).collect();
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if !fields.is_empty() || is_closed {
            let properties = fields.iter().map(|field| (field.name.clone(), self.schema(api, &field.shape))).collect();
            schema["properties"] = Value::Object(properties);
        }
        if is_closed {
            schema["additionalProperties"] = json!(false);
        }
        schema
    }

    fn reference(&mut self, api: &Api, name: &str) -> Value {
        let Some((api, name, shape)) = api.resolve(name) else { return json!({}) };
        let key = format!("{}.{name}", api.name);
        if !self.definitions.contains_key(&key) {
            // It may refer to itself.
            self.definitions.insert(key.clone(), Value::Null);
            let schema = self.schema(api, shape);
            self.definitions.insert(key.clone(), schema);
        }
        json!({"$ref": format!("#/definitions/{key}")})
    }
}

/// A schema with the keywords that say something.
fn with<const N: usize>(mut schema: Value, keywords: [(&str, Value); N]) -> Value {
    for (keyword, value) in keywords.into_iter().filter(|(_, value)| !value.is_null()) {
        schema[keyword] = value;
    }
    schema
}

//! What fits a shape at first sight, so that no schema is made for it.
//!
//! Says yes only where the schema of [`super::document`] says yes. Everything else the schema decides, which alone has words
//! for what is wrong.

use serde_json::{Map, Value};

use crate::protocol::api::{Api, Field, Shape};
use crate::protocol::deviations::Deviations;

/// The most names within names: one may stand for itself, or nothing.
const DEEPEST: u32 = 64;

/// Whether a payload surely fits a shape that stands in a description.
pub(super) fn fits(api: &Api, shape: &Shape, in_force: Deviations, payload: &Value) -> bool {
    Within { api, in_force, names: 0 }.fits(shape, payload)
}

/// Where a shape stands.
#[derive(Clone, Copy)]
struct Within<'a> {
    api: &'a Api,
    in_force: Deviations,
    /// How many names led there.
    names: u32,
}

impl Within<'_> {
    fn fits(self, shape: &Shape, payload: &Value) -> bool {
        match shape {
            Shape::Any => true,
            Shape::Null => payload.is_null(),
            Shape::Boolean => payload.is_boolean(),
            Shape::Integer { min, max } => payload.as_i64().is_some_and(|it| is_within(it, *min, *max)),
            Shape::Text { shortest, longest, format: None, pattern: None } => {
                payload.as_str().is_some_and(|text| is_within(text.chars().count() as u64, *shortest, *longest))
            }
            Shape::Words(words) => {
                words.iter().any(|word| payload == word.text.as_str() && word.when.runs(self.in_force))
            }
            Shape::List { of, shortest, longest } => payload.as_array().is_some_and(|list| {
                is_within(list.len() as u64, *shortest, *longest) && list.iter().all(|item| self.fits(of, item))
            }),
            Shape::Object { fields, is_closed } => {
                payload.as_object().is_some_and(|object| self.has_fields(fields, *is_closed, object))
            }
            Shape::Named(name) => self.api.resolve(name).is_some_and(|(api, _, shape)| {
                self.names < DEEPEST && Within { api, names: self.names + 1, ..self }.fits(shape, payload)
            }),
            Shape::OrNull(shape) => payload.is_null() || self.fits(shape, payload),
            Shape::Varying(variants) => {
                let variant = variants.iter().find(|variant| variant.when.runs(self.in_force));
                variant.is_some_and(|variant| self.fits(&variant.shape, payload))
            }
            Shape::Number { .. } | Shape::Text { .. } | Shape::Alternatives { .. } => false,
        }
    }

    fn has_fields(self, fields: &[Field], is_closed: bool, object: &Map<String, Value>) -> bool {
        let mut known = 0;
        let fit = fields.iter().filter(|field| field.when.runs(self.in_force)).all(|field| {
            let value = object.get(&field.name);
            known += usize::from(value.is_some());
            match value {
                Some(value) => self.fits(&field.shape, value),
                None => !field.required.is_some_and(|when| when.runs(self.in_force)),
            }
        });
        fit && (!is_closed || known == object.len())
    }
}

fn is_within<T: PartialOrd>(it: T, min: Option<T>, max: Option<T>) -> bool {
    min.is_none_or(|min| min <= it) && max.is_none_or(|max| it <= max)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::api::read;

    #[test]
    fn what_is_closed_or_leads_back_to_itself_fits_only_where_that_is_sure() {
        let text = "title: x\nsource: x\ntypes:\n  Closed: empty object\n  Loop: Loop or null\n  Tree:\n    of?: list of Tree\n";
        let api = read("x", text).unwrap();
        for (name, payload, expected) in [
            ("Closed", json!({}), true),
            ("Closed", json!({"a": 1}), false),
            ("Loop", json!(null), true),
            ("Loop", json!(1), false),
            ("Tree", json!({"of": [{}, {"of": []}]}), true),
            ("Tree", json!({"of": [{"of": 1}]}), false),
        ] {
            let shape = Shape::Named(name.to_owned());
            assert_eq!(fits(&api, &shape, Deviations::default(), &payload), expected, "{name} {payload}");
        }
    }
}

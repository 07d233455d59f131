//! What a JSON Schema lets stand at a place: its alternatives, taken apart as far as keys, values and descriptions go.

use serde_json::Value;

use super::spot::Step;
use crate::yaml::{self, Content, Entry, Node};

/// References that lead to references; ours do so twice.
const DEPTH: usize = 16;

/// What may stand at a place: schemas, any of which may hold.
#[derive(Debug, Clone)]
pub(super) struct Shape<'s> {
    root: &'s Value,
    /// Without references and alternatives of their own.
    pub(super) choices: Vec<&'s Value>,
}

/// A key that a mapping may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key<'s> {
    pub(super) name: &'s str,
    pub(super) about: Option<&'s str>,
}

impl<'s> Shape<'s> {
    /// What may stand at the top.
    pub(super) fn new(root: &'s Value) -> Self {
        Self::of(root, [root])
    }

    fn of(root: &'s Value, schemas: impl IntoIterator<Item = &'s Value>) -> Self {
        let mut choices = Vec::new();
        schemas.into_iter().for_each(|schema| expand(root, schema, DEPTH, &mut choices));
        Self { root, choices }
    }

    /// What may stand at the end of a path.
    pub(super) fn at(&self, path: &[Step]) -> Self {
        path.iter().fold(self.clone(), |shape, step| match step {
            Step::Key(key) => Self::of(shape.root, shape.choices.iter().filter_map(|choice| property(choice, key))),
            Step::Index(_) => Self::of(shape.root, shape.choices.iter().filter_map(|choice| choice.get("items"))),
        })
    }

    /// The keys of the mappings that may stand here and may have those that are there.
    pub(super) fn keys(&self, there: &[&str]) -> Vec<Key<'s>> {
        let mut keys: Vec<Key<'s>> = Vec::new();
        for choice in &self.choices {
            let Some(properties) = choice.get("properties").and_then(Value::as_object) else { continue };
            if there.iter().any(|key| property(choice, key).is_none()) {
                continue;
            }
            for (name, schema) in properties {
                if !there.contains(&name.as_str()) && !keys.iter().any(|key| key.name == name) {
                    keys.push(Key { name, about: self.about(schema) });
                }
            }
        }
        keys
    }

    /// What is said of a key here.
    pub(super) fn about_key(&self, key: &str) -> Option<&'s str> {
        self.choices.iter().filter_map(|choice| property(choice, key)).find_map(|schema| self.about(schema))
    }

    fn about(&self, schema: &'s Value) -> Option<&'s str> {
        let own = schema.get("description").and_then(Value::as_str);
        own.or_else(|| Self::of(self.root, [schema]).choices.iter().find_map(|it| it.get("description")?.as_str()))
    }

    /// The texts, numbers and booleans that may stand here, with what is said of each.
    pub(super) fn values(&self) -> Vec<(&'s Value, Option<&'s str>)> {
        let mut values = Vec::new();
        for choice in &self.choices {
            let about = choice.get("description").and_then(Value::as_str);
            values.extend(choice.get("const").map(|value| (value, about)));
            values
                .extend(choice.get("enum").and_then(Value::as_array).into_iter().flatten().map(|value| (value, None)));
            if choice.get("type").is_some_and(|kind| kind == "boolean") {
                values.extend([&Value::Bool(true), &Value::Bool(false)].map(|value| (value, None)));
            }
        }
        values
    }

    /// Whether any text may stand here.
    pub(super) fn takes_text(&self) -> bool {
        let is_text = |it: &&Value| it.get("type").is_some_and(|kind| kind == "string");
        self.choices.iter().filter(|it| it.get("const").is_none() && it.get("enum").is_none()).any(is_text)
    }
}

fn property<'s>(schema: &'s Value, key: &str) -> Option<&'s Value> {
    let named = schema.get("properties").and_then(|properties| properties.get(key));
    named.or_else(|| schema.get("additionalProperties").filter(|it| it.is_object()))
}

fn expand<'s>(root: &'s Value, schema: &'s Value, depth: usize, choices: &mut Vec<&'s Value>) {
    if depth == 0 {
        return;
    }
    choices.push(schema);
    if let Some(target) =
        schema.get("$ref").and_then(Value::as_str).and_then(|path| root.pointer(path.strip_prefix('#')?))
    {
        expand(root, target, depth - 1, choices);
    }
    for several in ["anyOf", "oneOf", "allOf"] {
        for choice in schema.get(several).and_then(Value::as_array).into_iter().flatten() {
            expand(root, choice, depth - 1, choices);
        }
    }
}

/// Which of these schemas a text is likeliest of: the one that has most of its keys at the top, the first of equals; and
/// whether it is of that kind at all, which it is if most of its keys are. Other programs have YAML files, too.
pub fn kind_of(text: &str, schemas: &[&Value]) -> (usize, bool) {
    let root = yaml::read(text).ok();
    let entries = root.as_ref().map(Node::content);
    // The keys at the top of what is no YAML yet.
    let typed =
        || text.lines().filter(|line| !line.starts_with([' ', '\t', '#', '-'])).filter_map(|it| it.split_once(':'));
    let all = match entries {
        Some(Content::Mapping(entries)) => entries.len(),
        Some(_) => 0,
        None => typed().count(),
    };
    let known = |schema: &&Value| {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return 0 };
        match entries {
            Some(Content::Mapping(entries)) => {
                let takes = |entry: &&Entry| properties.get(&entry.key).is_some_and(|it| may_be(it, &entry.value));
                entries.iter().filter(takes).count()
            }
            Some(_) => 0,
            // It is being written.
            None => typed().filter(|(key, _)| properties.contains_key(*key)).count(),
        }
    };
    let known: Vec<usize> = schemas.iter().map(known).collect();
    let most = known.iter().copied().max().unwrap_or(0);
    (known.iter().position(|count| *count == most).unwrap_or(0), most * 2 > all)
}

/// Whether a value is of the kind that a schema names, if it names one; lists, mappings and all else are told apart.
fn may_be(schema: &Value, node: &Node) -> bool {
    let named = schema.get("type").and_then(Value::as_str);
    match (named, node.content()) {
        (None, _) => true,
        (Some(named), Content::Mapping(_)) => named == "object",
        (Some(named), Content::List(_)) => named == "array",
        // Nothing, or a word, may be what is yet to become a list.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_is_of_the_kind_that_has_most_of_its_keys() {
        let list = json!({"properties": {"steps": {}, "station": {}}});
        let (named, listed) = (
            json!({"properties": {"tokens": {"type": "object"}}}),
            json!({"properties": {"tokens": {"type": "array"}, "jobs": {"type": "integer"}}}),
        );
        let kinds = [&list, &named, &listed];
        for (text, kind) in [
            ("", (0, false)),
            ("# steps: []\n", (0, false)),
            ("x: 1\n", (0, false)),
            ("- steps: []\n", (0, false)),
            ("steps", (0, false)),
            ("steps:", (0, true)),
            ("steps: []\nstaton: {}\n", (0, false)),
            ("steps: []\nstation: {}\nstaton: {}\n", (0, true)),
            ("jobs: {build: 1}\n", (0, false)),
            ("jobs: 2\n", (2, true)),
            ("tokens: {A: 1}\n", (1, true)),
            ("tokens: [A]\n", (2, true)),
            ("tokens: {A: 1}\nsteps: []\nstation: {}\n", (0, true)),
            ("tokens: [\n", (1, true)),
            ("tokens: [\nname: x\n  steps: 1\n", (1, false)),
        ] {
            assert_eq!(kind_of(text, &kinds), kind, "{text}");
        }
    }
}

//! The language as a page of Markdown: every key and every step, from the schema and from the rows of the steps, with the
//! sentences that stand in the source. `docs/scenario_language.md` is this page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::schema::in_order;
use super::step::{Frame, Injects, Step};
use crate::protocol::channel::ApiType;
use crate::protocol::side::Side;

/// The parts of the page, each with the first of its steps; the steps stand in the order of the model.
const PARTS: [(&str, &str); 6] = [
    ("plug_in", "What happens at the station"),
    ("drop", "Faults on the wire"),
    ("csms", "The charge point"),
    ("withdraw", "What the client does"),
    ("expect", "What must be seen"),
    ("run", "Everything else"),
];

/// No more words than these stand in the cell of a table.
const IN_A_CELL: usize = 4;

/// The page.
pub fn reference() -> String {
    let schema = in_order();
    let page = Page::of(&schema);
    let mut out = String::from(
        "# Keys and steps of the scenario language\n\n\
         For whoever writes a scenario and looks a key or a step up.\n\n\
         [The manual](../scenarios/README.md) says how scenarios work, with examples. This page is made from the code that \
         reads\nscenario files; `khumbu schema --markdown` prints it, and `khumbu schema` prints the same as a JSON Schema \
         for editors.\n\n\
         A key in **bold** is required. A *time* has a unit: `300ms`, `1.5s`, `2m`, `1h`. A *pattern* is explained \
         [in the manual](../scenarios/README.md#patterns).\n",
    );
    let _ = write!(out, "\n## The file\n\n{}", page.table(&schema));
    out.push_str("\n## Steps\n\n");
    for (first, title) in PARTS {
        let keys: Vec<_> = page.steps_of(first).map(|it| format!("[`{0}`](#{0})", it.key)).collect();
        let _ = writeln!(out, "- {title}: {}", keys.join(", "));
    }
    for (first, title) in PARTS {
        let _ = writeln!(out, "\n## {title}");
        for step in page.steps_of(first) {
            out.push_str(&page.step(step));
        }
    }
    for (is_word, title) in [(false, "Groups of keys"), (true, "Words")] {
        let _ = writeln!(out, "\n## {title}");
        for (name, definition) in page.definitions.as_object().into_iter().flatten() {
            if name != "Step" && is_words(definition) == is_word && !page.by_step.contains_key(name.as_str()) {
                let _ = write!(out, "\n### {}\n\n{}\n\n", titled(name), said(definition));
                out.push_str(&if is_word { words_table(definition) } else { page.value(definition) });
            }
        }
    }
    out
}

/// A step as the schema has it.
struct Choice<'s> {
    key: String,
    description: String,
    arguments: Option<&'s Value>,
    /// What its row says, in sentences.
    facts: Vec<String>,
}

/// What the tables are made from.
struct Page<'s> {
    definitions: &'s Value,
    steps: Vec<Choice<'s>>,
    /// The definitions that stand with a step, and the first of these.
    by_step: BTreeMap<String, String>,
}

impl<'s> Page<'s> {
    fn of(schema: &'s Value) -> Self {
        let definitions = &schema["$defs"];
        let mut page = Self { definitions, steps: Vec::new(), by_step: BTreeMap::new() };
        for choice in alternatives(&definitions["Step"]) {
            let properties = choice.get("properties").and_then(Value::as_object);
            let with_arguments = properties.and_then(|all| all.iter().next());
            let bare = words(choice).into_iter().map(|word| (word, None));
            for (key, arguments) in with_arguments.map(|(key, it)| (key.clone(), Some(it))).into_iter().chain(bare) {
                let named = arguments.and_then(name_of).filter(|name| !is_words(&definitions[*name]));
                if let Some(name) = named {
                    page.by_step.entry(name.to_owned()).or_insert_with(|| key.clone());
                    for long in alternatives(&definitions[name]).into_iter().filter_map(name_of) {
                        page.by_step.entry(long.to_owned()).or_insert_with(|| key.clone());
                    }
                }
                let facts = page.facts(&key, arguments);
                page.steps.push(Choice { key, description: said(choice), arguments, facts });
            }
        }
        page
    }

    /// The steps of the part that begins with this one.
    fn steps_of(&self, first: &'static str) -> impl Iterator<Item = &Choice<'s>> {
        let is_first = |it: &Choice<'_>| PARTS.iter().any(|(key, _)| *key == it.key);
        let own = self.steps.iter().skip_while(move |it| it.key != first);
        own.enumerate().take_while(move |(at, it)| *at == 0 || !is_first(it)).map(|(_, it)| it)
    }

    fn step(&self, step: &Choice<'_>) -> String {
        let mut out = format!("\n### `{}`\n\n{}\n", step.key, step.description);
        if !step.facts.is_empty() {
            let _ = write!(out, "\n*{}*\n", step.facts.join(" "));
        }
        if let Some(arguments) = step.arguments {
            let _ = write!(out, "\n{}", self.value(self.resolved(arguments)));
        }
        out
    }

    /// What may stand behind a key: a table, a list, or a word for it.
    fn value(&self, schema: &Value) -> String {
        if schema.get("properties").is_some() {
            return self.table(schema);
        }
        let alternatives = alternatives(schema);
        if alternatives.is_empty() {
            let kind = self.kind(schema);
            return if kind == "group" { "No keys: `{}`.\n".to_owned() } else { format!("Value: {kind}.\n") };
        }
        let mut out = String::from("One of these:\n\n");
        let mut table = String::new();
        for it in alternatives {
            let it = self.resolved(it);
            let properties = it.get("properties").and_then(Value::as_object);
            let _ = match properties.and_then(|all| all.iter().next()) {
                Some((key, of)) if properties.is_some_and(|all| all.len() == 1) => {
                    writeln!(out, "- `{key}: …` ({}): {}", self.kind(of), said(it))
                }
                Some(_) => {
                    table = format!("\n{}", self.table(it));
                    writeln!(out, "- {} It has the keys below.", said(it))
                }
                None if words(it).is_empty() => writeln!(out, "- A value alone: {}.", self.kind(it)),
                None => writeln!(out, "- `{}`: {}", words(it).join("`, `"), said(it)),
            };
        }
        out + &table
    }

    /// The keys of an object.
    fn table(&self, schema: &Value) -> String {
        let required: BTreeSet<_> = list(schema, "required").iter().filter_map(Value::as_str).collect();
        let mut out = String::from("| key | value | |\n| --- | --- | --- |\n");
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let (first, then): (Vec<_>, Vec<_>) = properties.iter().partition(|(key, _)| required.contains(key.as_str()));
        for (key, it) in first.into_iter().chain(then) {
            let key = if required.contains(key.as_str()) { format!("**`{key}`**") } else { format!("`{key}`") };
            let default = match it.get("default") {
                Some(Value::Object(_) | Value::Array(_) | Value::Null) | None => String::new(),
                Some(Value::String(text)) if text.is_empty() => String::new(),
                Some(Value::String(text)) => format!(" Default: `{text}`."),
                Some(value) => format!(" Default: `{value}`."),
            };
            let _ = writeln!(out, "| {key} | {} | {}{default} |", self.kind(it), said(it).replace('|', "\\|"));
        }
        out
    }

    /// What kind of value it is, in a few words.
    fn kind(&self, schema: &Value) -> String {
        if let Some(name) = name_of(schema) {
            let definition = &self.definitions[name];
            let anchor =
                self.by_step.get(name).cloned().unwrap_or_else(|| titled(name).replace(' ', "-").to_lowercase());
            let words = words(definition);
            return match words.len() {
                _ if name == "Step" => "step".to_owned(),
                0 if alternatives(definition).is_empty() => format!("[group](#{anchor})"),
                0 => format!("[see there](#{anchor})"),
                1..=IN_A_CELL => format!("[`{}`](#{anchor})", words.join("`, `")),
                many => format!("[one of {many} words](#{anchor})"),
            };
        }
        if let [only] = alternatives(schema).as_slice() {
            return self.kind(only);
        }
        let alternatives = alternatives(schema);
        if !alternatives.is_empty() {
            return alternatives.iter().map(|it| self.kind(it)).collect::<Vec<_>>().join(" or ");
        }
        let kinds: Vec<_> = match schema.get("type") {
            Some(Value::String(kind)) => vec![kind.as_str()],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => return "JSON".to_owned(),
        };
        let named = kinds.iter().map(|kind| match *kind {
            "string" if schema.get("pattern").is_some() => "time".to_owned(),
            "string" => match schema.get("maxLength") {
                Some(most) => format!("text, at most {most} characters"),
                None => "text".to_owned(),
            },
            "integer" | "number" => format!("{kind}{}", range(schema)),
            "boolean" => "`true`, `false`".to_owned(),
            "array" => {
                let of = schema.get("items").map(|it| self.kind(it)).unwrap_or_default();
                if of == "step" { "list of steps".to_owned() } else { format!("list: {of}") }
            }
            "object" => match schema.get("additionalProperties") {
                Some(of @ Value::Object(_)) => format!("by name: {}", self.kind(of)),
                _ => {
                    match schema.get("patternProperties").and_then(Value::as_object).and_then(|all| all.values().next())
                    {
                        Some(of) => format!("by number: {}", self.kind(of)),
                        None => "group".to_owned(),
                    }
                }
            },
            "null" => "`null`".to_owned(),
            other => other.to_owned(),
        });
        let named: Vec<_> = named.collect();
        named.join(", ")
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        name_of(schema).map_or(schema, |name| &self.definitions[name])
    }

    /// What the row of a step says that a writer of scenarios has to know.
    fn facts(&self, key: &str, arguments: Option<&Value>) -> Vec<String> {
        let written = match arguments {
            Some(arguments) => json!({key: self.example(arguments)}),
            None => json!(key),
        };
        let Ok(step) = serde_json::from_value::<Step>(written) else { return Vec::new() };
        let row = |under_test, api| step.row(Frame { under_test, api, has_provider: false });
        let client = ApiType::AUTH_APIS.map(|api| (api, row(Side::Client, api)));
        let everest = row(Side::Everest, ApiType::AUTH_CONSUMER);
        let mut facts = Vec::new();
        for (may, group) in [(everest.may_be_at_once, "at_once"), (everest.may_be_any_order, "any_order")] {
            facts.extend(may.then(|| format!("May stand in `{group}`.")));
        }
        let told: Vec<_> = client.iter().filter(|(_, row)| row.follows.is_some()).map(|(api, _)| api.name()).collect();
        if told.len() == client.len() {
            facts.push("A client under test has to be told.".to_owned());
        } else if !told.is_empty() {
            facts.push(format!("A client of `{}` under test has to be told.", told.join("`, `")));
        }
        let foreign: Vec<_> = client.iter().filter(|(_, row)| !row.is_foreign).map(|(api, _)| api.name()).collect();
        if foreign.len() < client.len() {
            facts.push(format!("Only for `{}`.", foreign.join("`, `")));
        }
        if everest.looks_inside {
            facts.push("An EVerest under test has to show what it does inside.".to_owned());
        } else if everest.follows.is_some() {
            facts.push("An EVerest under test has to be told.".to_owned());
        }
        facts.extend(everest.features.iter().map(|it| format!("Needs a release with the {}.", it.name())));
        facts.extend((everest.injects == Injects::Messages).then(|| "Needs khumbu's own broker.".to_owned()));
        facts.extend((everest.charge_point == Some("")).then(|| "Needs a station with `charge_point`.".to_owned()));
        facts
    }

    /// Something that fits, with no more than what is required.
    fn example(&self, schema: &Value) -> Value {
        let schema = self.resolved(schema);
        if let Some(word) = words(schema).into_iter().next() {
            return Value::String(word);
        }
        if let Some(first) = alternatives(schema).first() {
            return self.example(first);
        }
        let kind = match schema.get("type") {
            Some(Value::Array(kinds)) => kinds.first(),
            kind => kind,
        };
        match kind.and_then(Value::as_str) {
            Some("string") if schema.get("pattern").is_some() => json!("1s"),
            Some("integer" | "number") => json!(1),
            Some("boolean") => json!(true),
            Some("array") => json!([]),
            Some("object") => {
                let keys = list(schema, "required").iter().filter_map(Value::as_str);
                let of = |key: &str| schema.get("properties").and_then(|all| all.get(key)).map(|it| self.example(it));
                keys.map(|key| (key.to_owned(), of(key).unwrap_or_default())).collect::<Map<_, _>>().into()
            }
            _ => json!("A"),
        }
    }
}

/// The description, in one line.
fn said(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The definition that a schema refers to; a reference that may be absent is written as one of one.
fn name_of(schema: &Value) -> Option<&str> {
    schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix("#/$defs/"))
}

fn list<'v>(schema: &'v Value, key: &str) -> &'v [Value] {
    schema.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn alternatives(schema: &Value) -> Vec<&Value> {
    list(schema, "oneOf").iter().chain(list(schema, "anyOf")).collect()
}

/// The words that a value may be, if it is nothing but one of some words.
fn words(schema: &Value) -> Vec<String> {
    let own = || list(schema, "enum").iter().chain(schema.get("const"));
    let alternatives = alternatives(schema);
    if alternatives.is_empty() {
        return own().filter_map(Value::as_str).map(str::to_owned).collect();
    }
    let each: Vec<_> = alternatives.into_iter().map(words).collect();
    if each.iter().any(Vec::is_empty) { Vec::new() } else { each.concat() }
}

fn is_words(schema: &Value) -> bool {
    !words(schema).is_empty()
}

fn words_table(schema: &Value) -> String {
    let alternatives = alternatives(schema);
    if alternatives.is_empty() {
        return format!("`{}`\n", words(schema).join("`, `"));
    }
    let mut out = String::from("| word | |\n| --- | --- |\n");
    for it in alternatives {
        let _ = writeln!(out, "| `{}` | {} |", words(it).join("`, `"), said(it).replace('|', "\\|"));
    }
    out
}

/// The limits of a number.
fn range(schema: &Value) -> String {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        (None, Some(most)) => format!(", at most {most}"),
        (None, None) => String::new(),
    }
}

/// The name of a definition in words.
fn titled(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        match letter.is_uppercase() && !out.is_empty() {
            true => out.extend([' '].into_iter().chain(letter.to_lowercase())),
            false => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::scenario::step_names;

    #[test]
    fn the_page_is_in_the_repository() {
        let page = include_str!("../../docs/scenario_language.md");
        assert!(
            page == reference(),
            "docs/scenario_language.md is not what the code says; \
             write it anew with `cargo run -- schema --markdown > docs/scenario_language.md`"
        );
    }

    #[test]
    fn every_step_stands_in_a_part_and_its_row_is_known() {
        let schema = in_order();
        let page = Page::of(&schema);
        let in_parts: Vec<_> =
            PARTS.iter().flat_map(|(first, _)| page.steps_of(first)).map(|it| it.key.clone()).collect();
        assert_eq!(in_parts, step_names());
        for step in &page.steps {
            let written = step.arguments.map_or(json!(step.key), |it| json!({&step.key: page.example(it)}));
            assert!(serde_json::from_value::<Step>(written.clone()).is_ok(), "{written}");
        }
    }

    #[test]
    fn every_key_step_and_word_is_described() {
        let schema = in_order();
        let page = Page::of(&schema);
        let mut silent: Vec<_> =
            page.steps.iter().filter(|it| it.description.is_empty()).map(|it| it.key.clone()).collect();
        let mut look = |name: &str, schema: &Value| {
            let keys = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
            // Of `expect_reply`, whose other form is a definition of its own.
            let is_bare = |it: &Value| it.get("type").is_some_and(Value::is_array);
            let forms = alternatives(schema).into_iter().filter(|it| name_of(it).is_none() && !is_bare(it));
            let forms = forms.map(|it| (it.to_string(), it));
            for (key, it) in keys.map(|(key, it)| (key.clone(), it)).chain(forms) {
                silent.extend(said(it).is_empty().then(|| format!("{name}: {key}")));
            }
        };
        look("file", &schema);
        for (name, definition) in page.definitions.as_object().unwrap().iter().filter(|(name, _)| *name != "Step") {
            look(name, definition);
        }
        assert!(silent.is_empty(), "without a sentence: {silent:#?}");
    }
}

//! A scenario that is written step by step: first its head, then one step after the other.
//!
//! What is written so far is a scenario like any other, as text, so that a step means what it means in a file, errors have their
//! places, and the whole can be played again. Text is only ever added: a place in an earlier one holds in a later one.

use serde_json::{Map, Value};

use super::parse::{Known, Scenario, parse_begun};
use super::written::{flow, is_word, word};
use crate::diagnostic::Diagnostic;

/// So deep a head is written with a line for each key.
const LINES_DEEP: usize = 3;

/// What is written so far.
#[derive(Debug, Clone)]
pub struct Draft {
    path: String,
    head: String,
    steps: Vec<String>,
}

impl Draft {
    /// One with this head and no steps: the keys of a scenario besides `steps`. What a file must say and this does not is
    /// filled in: a client is under test.
    pub fn new(path: &str, head: &Map<String, Value>) -> Self {
        let mut lines = String::new();
        for (key, default) in [("description", "A session."), ("under_test", "client")] {
            let default = Value::from(default);
            write_block(&mut lines, 0, key, head.get(key).unwrap_or(&default));
        }
        for (key, value) in head.iter().filter(|(key, _)| !["description", "under_test"].contains(&key.as_str())) {
            write_block(&mut lines, 0, key, value);
        }
        Self { path: path.to_owned(), head: lines, steps: Vec::new() }
    }

    /// The scenario as it stands.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(&self, known: Known<'_>) -> Result<Scenario, Vec<Diagnostic>> {
        parse_begun(&self.path, &self.text(), known)
    }

    /// The same with one step more.
    #[must_use]
    pub fn with(&self, step: &Value) -> Self {
        let mut longer = self.clone();
        longer.steps.push(match step {
            Value::Object(entries) if entries.len() == 1 => {
                entries.iter().map(|(name, value)| format!("{}: {}", word(name), flow(value))).collect()
            }
            // As people write a step that takes nothing.
            Value::String(name) if is_word(name) => name.clone(),
            other => flow(other),
        });
        longer
    }

    /// How many steps it has.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Its text, which can be a file.
    pub fn text(&self) -> String {
        let head = &self.head;
        match self.steps.as_slice() {
            [] => format!("{head}steps: []\n"),
            steps => {
                let steps: String = steps.iter().map(|step| format!("  - {step}\n")).collect();
                format!("{head}steps:\n{steps}")
            }
        }
    }
}

fn write_block(lines: &mut String, depth: usize, key: &str, value: &Value) {
    let indent = "  ".repeat(depth);
    let key = word(key);
    match value {
        Value::Object(entries) if depth + 1 < LINES_DEEP && !entries.is_empty() => {
            lines.push_str(&format!("{indent}{key}:\n"));
            entries.iter().for_each(|(key, value)| write_block(lines, depth + 1, key, value));
        }
        value => lines.push_str(&format!("{indent}{key}: {}\n", flow(value))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn head(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_is_written_so_far_is_a_scenario_that_people_can_read() {
        let station = json!({"evses": 2, "tokens": {"ALICE": {"value": "04A2", "type": "ISO14443"}}});
        let draft = Draft::new("x", &head(&json!({"station": station, "requirements": ["HB-1"]})));
        let draft = draft.with(&json!({"plug_in": {"evse": 1}})).with(&json!("restart_everest"));
        let text = "\
description: \"A session.\"
under_test: client
requirements: [\"HB-1\"]
station:
  evses: 2
  tokens:
    ALICE: {type: ISO14443, value: \"04A2\"}
steps:
  - plug_in: {evse: 1}
  - restart_everest
";
        assert_eq!(draft.text(), text);
        assert_eq!(draft.read(Known::default()).unwrap().model.steps.len(), 2);
    }

    #[test]
    fn it_may_have_no_steps_yet_and_its_mistakes_are_those_of_a_file() {
        let draft = Draft::new("x", &Map::new());
        assert!(draft.read(Known::default()).unwrap().model.steps.is_empty());
        for (step, id) in [
            (json!({"plugin": {"evse": 1}}), "scenario/unknown-step"),
            (json!({"plug_in": {"evse": 2}}), "scenario/unknown-evse"),
            (json!({"plug_in": {"evse": 1}, "unplug": {"evse": 1}}), "scenario/several-keys"),
            (json!({"repeat": {"times": 2, "steps": []}}), "scenario/no-steps"),
            (json!("a: b\n  - c"), "scenario/unknown-step"),
            (json!(null), "scenario/unknown-step"),
            (json!([1]), "scenario/wrong-type"),
        ] {
            let errors = draft.with(&step).read(Known::default()).unwrap_err();
            assert_eq!(errors[0].id, id, "{step}: {errors:?}");
        }
        let errors = Draft::new("x", &head(&json!({"evses": 2}))).read(Known::default()).unwrap_err();
        assert_eq!(errors[0].id, "scenario/unknown-field");
    }

    #[test]
    fn places_of_later_steps_are_found_once_the_scenario_has_grown() {
        let draft = Draft::new("x", &Map::new());
        let begun = draft.read(Known::default()).unwrap();
        let later = draft.with(&json!({"note": "a"})).with(&json!({"plug_in": {"evse": 1}}));
        assert_eq!(begun.line("/steps/1/plug_in/evse"), 3, "it has none yet");
        begun.grow(&later.read(Known::default()).unwrap());
        let place = begun.place("/steps/1/plug_in/evse");
        assert_eq!((place.line(), &place.source.text[place.range]), (5, "1"));
    }
}

//! JSON Schemas to [`Shape`]s.
//!
//! Keywords that only describe are left out; what narrows a value and has no place in a shape is a remark.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Remark;
use super::files::{At, Files, VISITS, in_short};
use crate::diagnostic::Diagnostic;
use crate::protocol::api::{Field, Shape, When, Word};

/// Keywords that say nothing of what is valid.
pub(super) const DESCRIBING: [&str; 6] = ["description", "title", "examples", "example", "$comment", "deprecated"];

/// Reads the shapes of one document, and collects what comes with them.
pub(super) struct Shapes<'a> {
    files: &'a Files,
    /// The names of types by where they stand.
    names: BTreeMap<(String, String), String>,
    /// The types, in the order in which they are first named.
    pub types: Vec<(String, Shape)>,
    /// What shapes cannot hold.
    pub remarks: Vec<Remark>,
    /// What is wrong.
    pub faults: Vec<Diagnostic>,
    /// How many values the contents of all remarks may still have.
    visits: usize,
}

impl<'a> Shapes<'a> {
    pub fn new(files: &'a Files) -> Self {
        Self {
            files,
            names: BTreeMap::new(),
            types: Vec::new(),
            remarks: Vec::new(),
            faults: Vec::new(),
            visits: 20 * VISITS,
        }
    }

    /// Notes what a model cannot hold, and what these words say whole.
    pub fn remark(&mut self, at: &At<'_>, subject: &str, what: &str, says: impl Into<String>) {
        let says = says.into();
        let content = Value::String(says.clone());
        self.note(at, subject, what, says, content);
    }

    /// Notes a keyword that a model cannot hold, with all that it says.
    pub fn remark_whole(&mut self, at: &At<'_>, subject: &str, what: &str) {
        let value = at.value();
        if let Some(value) = self.taken(value) {
            self.remark_content(at, subject, what, in_short(&value));
        }
    }

    /// The same in other words.
    fn remark_content(&mut self, at: &At<'_>, subject: &str, what: &str, says: String) {
        let content = self.files.content(what, at, &mut self.visits);
        if let Some(content) = self.taken(content) {
            self.note(at, subject, what, says, content);
        }
    }

    fn note(&mut self, at: &At<'_>, subject: &str, what: &str, says: String, content: Value) {
        let (subject, what) = (subject.to_owned(), what.to_owned());
        self.remarks.push(Remark { subject, what, says, content, place: at.place() });
    }

    /// The names of schemas in the documents that types come from.
    pub fn schemas(&self, document: &str) -> BTreeSet<String> {
        let documents: BTreeSet<&str> = self.names.keys().map(|(name, _)| name.as_str()).chain([document]).collect();
        documents.into_iter().flat_map(|name| self.files.schemas(name)).collect()
    }

    /// Takes what could be read; what could not is noted.
    pub fn taken<T>(&mut self, found: Result<T, Box<Diagnostic>>) -> Option<T> {
        found.map_err(|fault| self.faults.push(*fault)).ok()
    }

    /// The shape of a schema; `subject` says what it is about. What is wrong with it is in [`Self::faults`].
    pub fn read(&mut self, at: &At<'a>, subject: &str) -> Shape {
        let children = at.children();
        let Some(children) = self.taken(children) else { return Shape::Any };
        let mut schema = Schema { keys: children.into_iter().collect() };
        schema.keys.retain(|key, _| !DESCRIBING.contains(key));
        // Other fields are allowed unless it is said that they are not.
        schema.take_if("additionalProperties", |at| at.value().ok().filter(|value| *value == true));
        let shape = self.read_schema(&mut schema, subject);
        for (key, at) in &schema.keys {
            self.remark_whole(at, subject, key);
        }
        shape
    }

    fn read_schema(&mut self, schema: &mut Schema<'a>, subject: &str) -> Shape {
        if let Some(reference) = schema.keys.remove("$ref") {
            let shape = self.named(&reference);
            // What stands beside a reference has to agree with it, since not every reader looks at both.
            if let Some(kind) = schema.keys.remove("type") {
                let text = kind.text();
                let (told, meant) = (self.taken(text), word_of(self.resolved(&shape)));
                if let Some(told) = told.filter(|told| meant.is_some_and(|meant| meant != told)) {
                    self.remark(&kind, subject, "type", told);
                }
            }
            self.lengths_of_words(schema, &shape);
            return shape;
        }
        for keyword in ["oneOf", "anyOf"] {
            if let Some(choice) = schema.keys.remove(keyword) {
                return self.choice(&choice, keyword, subject);
            }
        }
        if let Some(parts) = schema.keys.remove("allOf") {
            return self.all_of(&parts, schema, subject);
        }
        let kinds = schema.keys.remove("type").and_then(|kind| {
            let texts = if kind.items().is_ok() { kind.texts() } else { kind.text().map(|text| vec![text]) };
            self.taken(texts).map(|texts| (kind, texts))
        });
        let Some((kind_at, mut kinds)) = kinds else {
            let implied = if schema.keys.contains_key("enum") {
                "string"
            } else if schema.keys.contains_key("properties") || schema.keys.contains_key("required") {
                "object"
            } else if schema.keys.contains_key("items") {
                "array"
            } else {
                return Shape::Any;
            };
            return self.of_kind(schema, implied, subject);
        };
        let count = kinds.len();
        kinds.retain(|kind| kind != "null");
        let may_be_null = kinds.len() < count;
        let shape = match &kinds[..] {
            [] => return Shape::Null,
            [kind] => match kind.as_str() {
                "string" | "boolean" | "integer" | "number" | "array" | "object" => self.of_kind(schema, kind, subject),
                other => {
                    let known = "known: array, boolean, integer, null, number, object, string";
                    let fault = kind_at.fault("asyncapi/unknown-type", format!("unknown type `{other}`"));
                    self.faults.push(fault.with_evidence(known));
                    Shape::Any
                }
            },
            _ => {
                self.remark(&kind_at, subject, "type", kinds.join(" or "));
                Shape::Any
            }
        };
        if may_be_null { Shape::OrNull(Box::new(shape)) } else { shape }
    }

    fn of_kind(&mut self, schema: &mut Schema<'a>, kind: &str, subject: &str) -> Shape {
        match kind {
            "boolean" => Shape::Boolean,
            "integer" => Shape::Integer { min: self.number(schema, "minimum"), max: self.number(schema, "maximum") },
            "number" => {
                let mut limit = |keyword| schema.take_if(keyword, |at| at.value().ok()?.as_f64());
                Shape::Number { min: limit("minimum"), max: limit("maximum") }
            }
            "string" => {
                if let Some(words) = schema.take_if("enum", |at| at.texts().ok()) {
                    let word = |text| Word { text, when: When::ALWAYS };
                    let shape = Shape::Words(words.into_iter().map(word).collect());
                    self.lengths_of_words(schema, &shape);
                    return shape;
                }
                Shape::Text {
                    shortest: self.number(schema, "minLength").filter(|least| *least > 0),
                    longest: self.number(schema, "maxLength"),
                    format: schema.take_if("format", |at| at.text().ok()),
                    pattern: schema.take_if("pattern", |at| at.text().ok().filter(|pattern| is_pattern(pattern))),
                }
            }
            "array" => {
                let of = match schema.keys.remove("items") {
                    Some(items) => self.read(&items, &format!("{subject}[]")),
                    None => Shape::Any,
                };
                let shortest = self.number(schema, "minItems").filter(|least| *least > 0);
                Shape::List { of: Box::new(of), shortest, longest: self.number(schema, "maxItems") }
            }
            _ => self.object(schema, subject),
        }
    }

    fn object(&mut self, schema: &mut Schema<'a>, subject: &str) -> Shape {
        let required = schema.keys.remove("required").map(|required| required.texts());
        let mut required = required.and_then(|required| self.taken(required)).unwrap_or_default();
        let mut fields = Vec::new();
        let properties = schema.keys.remove("properties").map(|properties| properties.children());
        for (name, at) in properties.and_then(|properties| self.taken(properties)).unwrap_or_default() {
            let is_required = required.iter().any(|required| required == name);
            required.retain(|required| required != name);
            let shape = self.read(&at, &format!("{subject}.{name}"));
            fields.push(field(name.to_owned(), is_required, shape));
        }
        // What has to be there and is not described may be anything.
        fields.extend(required.into_iter().map(|name| field(name, true, Shape::Any)));
        let others = schema.take_if("additionalProperties", |at| at.value().ok()?.as_bool());
        Shape::Object { fields, is_closed: others == Some(false) }
    }

    /// A whole number. One that the model cannot hold stays, and becomes a remark.
    fn number<T: TryFrom<i64>>(&mut self, schema: &mut Schema<'a>, keyword: &str) -> Option<T> {
        let at = schema.keys.get(keyword)?;
        let number = at.whole();
        if number.is_err() && at.value().is_ok_and(|value| value.is_number()) {
            return None;
        }
        schema.keys.remove(keyword);
        self.taken(number)
    }

    /// Limits of length that all words keep say nothing.
    fn lengths_of_words(&mut self, schema: &mut Schema<'a>, shape: &Shape) {
        let Shape::Words(words) = self.resolved(shape) else { return };
        let lengths: Vec<usize> = words.iter().map(|word| word.text.chars().count()).collect();
        schema.take_if("minLength", |at| {
            at.whole::<usize>().ok().filter(|least| lengths.iter().all(|length| length >= least))
        });
        schema.take_if("maxLength", |at| {
            at.whole::<usize>().ok().filter(|most| lengths.iter().all(|length| length <= most))
        });
    }

    /// The type that a reference names, read when it is met first.
    fn named(&mut self, reference: &At<'a>) -> Shape {
        let target = self.files.follow(reference);
        let Some(mut target) = self.taken(target) else { return Shape::Any };
        // A name for a name is no type of its own.
        let mut passed = Vec::new();
        while let Some(next) = alias(&target) {
            let place = (target.document().to_owned(), target.pointer.clone());
            if passed.contains(&place) {
                self.faults.push(reference.fault("asyncapi/circular-reference", "reference leads back to itself"));
                return Shape::Any;
            }
            passed.push(place);
            let next = self.files.follow(&next);
            match self.taken(next) {
                Some(next) => target = next,
                None => return Shape::Any,
            }
        }
        let place = (target.document().to_owned(), target.pointer.clone());
        if let Some(name) = self.names.get(&place) {
            return Shape::Named(name.clone());
        }
        let levels = target.pointer.trim_start_matches('/').trim_start_matches("components/schemas/").replace('/', "_");
        let last = target.pointer.rsplit('/').next().unwrap_or_default();
        let names = [last.to_owned(), levels.clone(), format!("{}_{levels}", target.document())];
        let is_free = |name: &String| !self.names.values().any(|known| known == name);
        let Some(name) = names.into_iter().find(is_free) else { return Shape::Any };
        self.names.insert(place, name.clone());
        // It may name itself: it has to be there before it is read.
        let index = self.types.len();
        self.types.push((name.clone(), Shape::Any));
        self.types[index].1 = self.read(&target, &name);
        Shape::Named(name)
    }

    /// A shape with its name taken away.
    fn resolved<'b>(&'b self, shape: &'b Shape) -> &'b Shape {
        match shape {
            Shape::Named(name) => {
                self.types.iter().find(|(known, _)| known == name).map_or(&Shape::Any, |(_, shape)| shape)
            }
            other => other,
        }
    }

    /// One of several.
    fn choice(&mut self, choice: &At<'a>, keyword: &str, subject: &str) -> Shape {
        let items = choice.items();
        let items = self.taken(items).unwrap_or_default();
        let below =
            |number: usize| if items.len() > 1 { format!("{subject}, shape {number}") } else { subject.to_owned() };
        let mut shapes: Vec<Shape> = (1..).zip(&items).map(|(number, item)| self.read(item, &below(number))).collect();
        let count = shapes.len();
        shapes.retain(|shape| *shape != Shape::Null);
        let may_be_null = shapes.len() < count;
        let shape = match (shapes.pop(), shapes.is_empty()) {
            (None, _) => return Shape::Null,
            (Some(shape), true) => shape,
            (Some(last), false) => {
                shapes.push(last);
                Shape::Alternatives { shapes, is_exclusive: keyword == "oneOf" }
            }
        };
        if may_be_null { Shape::OrNull(Box::new(shape)) } else { shape }
    }

    /// All of several: the fields of objects, put together.
    fn all_of(&mut self, parts: &At<'a>, schema: &mut Schema<'a>, subject: &str) -> Shape {
        let items = parts.items();
        let items = self.taken(items).unwrap_or_default();
        let before = self.remarks.len();
        let mut shapes: Vec<Shape> = items.iter().map(|item| self.read(item, subject)).collect();
        if schema.keys.contains_key("properties") || schema.keys.contains_key("required") {
            schema.keys.remove("type");
            shapes.push(self.object(schema, subject));
        }
        if let [shape] = &shapes[..] {
            return shape.clone();
        }
        let mut whole: Vec<Field> = Vec::new();
        let mut is_closed = false;
        for shape in &shapes {
            let Shape::Object { fields, is_closed: closes } = self.resolved(shape) else {
                // What the parts say by themselves is said by the whole.
                let parts_say = self.remarks.split_off(before);
                self.remarks.extend(parts_say.into_iter().filter(|remark| remark.subject != subject));
                self.remark_content(parts, subject, "allOf", format!("{} shapes", shapes.len()));
                return Shape::Any;
            };
            is_closed |= closes;
            for field in fields {
                match whole.iter_mut().find(|known| known.name == field.name) {
                    None => whole.push(field.clone()),
                    Some(known) if known.shape == field.shape || field.shape == Shape::Any => {
                        known.required = known.required.or(field.required);
                    }
                    Some(known) if known.shape == Shape::Any => {
                        *known = Field { required: known.required.or(field.required), ..field.clone() };
                    }
                    Some(_) => {
                        let says = "several shapes of one field".to_owned();
                        self.remark_content(parts, &format!("{subject}.{}", field.name), "allOf", says);
                        return Shape::Any;
                    }
                }
            }
        }
        schema.take_if("type", |at| at.text().ok().filter(|kind| kind == "object"));
        Shape::Object { fields: whole, is_closed }
    }
}

fn field(name: String, is_required: bool, shape: Shape) -> Field {
    Field { name, required: is_required.then_some(When::ALWAYS), shape, when: When::ALWAYS }
}

/// A schema, and what of it is not yet understood.
struct Schema<'a> {
    keys: BTreeMap<&'a str, At<'a>>,
}

impl<'a> Schema<'a> {
    /// Takes a keyword if it is understood; otherwise it stays, and becomes a remark.
    fn take_if<T>(&mut self, keyword: &str, read: impl FnOnce(&At<'a>) -> Option<T>) -> Option<T> {
        let value = read(self.keys.get(keyword)?)?;
        self.keys.remove(keyword);
        Some(value)
    }
}

/// Whether a text is a regular expression that payloads can be held against.
fn is_pattern(text: &str) -> bool {
    jsonschema::options().with_draft(jsonschema::Draft::Draft7).build(&json!({"pattern": text})).is_ok()
}

/// What a schema refers to that is nothing but a reference.
fn alias<'a>(at: &At<'a>) -> Option<At<'a>> {
    let children = at.children().ok()?;
    let is_bare = children.iter().all(|(key, _)| *key == "$ref" || DESCRIBING.contains(key));
    if is_bare { at.child("$ref") } else { None }
}

/// JSON Schema's word for a shape.
fn word_of(shape: &Shape) -> Option<&'static str> {
    Some(match shape {
        Shape::Any | Shape::Named(_) | Shape::OrNull(_) | Shape::Alternatives { .. } | Shape::Varying(_) => {
            return None;
        }
        Shape::Null => "null",
        Shape::Boolean => "boolean",
        Shape::Integer { .. } => "integer",
        Shape::Number { .. } => "number",
        Shape::Text { .. } | Shape::Words(_) => "string",
        Shape::List { .. } => "array",
        Shape::Object { .. } => "object",
    })
}

//! The files of a set, as trees, and where the references in them lead.

use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::shapes::DESCRIBING;
use super::{Unreadable, name_of};
use crate::diagnostic::{Diagnostic, Place, Severity, Source};
use crate::yaml::{self, Content, Entry, Node, Problem, ProblemKind, Scalar, resolve};

/// The most values that are looked at in a part of a document, aliases followed.
pub(super) const VISITS: usize = 50_000;

/// Documents by name.
pub(super) struct Files {
    files: Vec<File>,
    /// What is wrong with those that are no trees.
    broken: Vec<(String, Vec<Diagnostic>)>,
}

struct File {
    name: String,
    source: Arc<Source>,
    root: Node,
}

/// A place in one of the documents.
#[derive(Clone)]
pub(super) struct At<'a> {
    file: &'a File,
    /// What stands there.
    pub node: &'a Node,
    /// The JSON pointer to it.
    pub pointer: String,
    /// The key it stands under, in bytes.
    key: Option<Range<usize>>,
}

type Found<T> = Result<T, Box<Diagnostic>>;

impl Files {
    /// Reads them all.
    pub fn read(sources: &[Arc<Source>], unreadable: &[Unreadable]) -> Self {
        let broken = unreadable.iter().map(|file| (name_of(&file.path).to_owned(), file.faults.clone()));
        let mut files = Self { files: Vec::new(), broken: broken.collect() };
        for source in sources {
            let name = name_of(&source.path).to_owned();
            if let Some(first) = files.files.iter().find(|file| file.name == name) {
                let place = Place { source: Arc::clone(source), range: 0..0, label: String::new() };
                let headline = format!("two documents are called `{name}`");
                let fault = Diagnostic::new(Severity::Error, "asyncapi/duplicate", headline).at(place);
                files.broken.push((name, vec![fault.with_evidence(format!("the other one is {}", first.source.path))]));
                continue;
            }
            match yaml::read(&source.text) {
                Ok(root) => files.files.push(File { name, source: Arc::clone(source), root }),
                Err(problems) => {
                    let faults = problems.iter().map(|problem| syntax(problem, source)).collect();
                    files.broken.push((name, faults));
                }
            }
        }
        files
    }

    /// What is wrong with those that could not be read.
    pub fn broken(&self) -> impl Iterator<Item = (&str, &[Diagnostic])> {
        self.broken.iter().map(|(name, faults)| (name.as_str(), faults.as_slice()))
    }

    /// The names of those that could be read.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.name.as_str())
    }

    /// The whole of a document.
    pub fn root(&self, name: &str) -> Option<At<'_>> {
        let file = self.files.iter().find(|file| file.name == name)?;
        Some(At { file, node: &file.root, pointer: String::new(), key: None })
    }

    /// What a reference that stands at a place leads to.
    pub fn follow(&self, reference: &At<'_>) -> Found<At<'_>> {
        let text = reference.text()?;
        let wrong = |headline: String| Box::new(reference.fault("asyncapi/dangling-reference", headline));
        let (path, pointer) = text.split_once('#').unwrap_or((&text, ""));
        let name = if path.is_empty() { reference.document() } else { name_of(path) };
        if let Some((_, faults)) = self.broken().find(|(broken, _)| *broken == name)
            && let Some(fault) = faults.first()
        {
            return Err(Box::new(fault.clone()));
        }
        let Some(mut at) = self.root(name) else {
            let there = self.names().collect::<Vec<_>>().join(", ");
            return Err(Box::new(
                wrong(format!("reference leads to `{name}`, which is not there"))
                    .with_evidence(format!("documents: {there}"))
                    .with_help(format!("put `{name}.yaml` beside it")),
            ));
        };
        for level in pointer.split('/').skip(1) {
            let key = level.replace("~1", "/").replace("~0", "~");
            let Some(next) = at.child(&key) else {
                let there: Vec<_> = at.children().unwrap_or_default().into_iter().map(|(key, _)| key).collect();
                let fault = wrong(format!("reference leads to `{key}`, which is not there"));
                return Err(Box::new(fault.with_evidence(format!("there are: {}", there.join(", ")))));
            };
            at = next;
        }
        Ok(at)
    }

    /// The names of the schemas of a document.
    pub fn schemas(&self, name: &str) -> Vec<String> {
        let schemas = self.root(name).and_then(|root| root.child("components")?.child("schemas"));
        let children = schemas.and_then(|schemas| schemas.children().ok()).unwrap_or_default();
        children.into_iter().map(|(key, _)| key.to_owned()).collect()
    }

    /// All that a keyword says and what it refers to says, but for texts for people. What it refers to stands there once.
    pub fn content(&self, keyword: &str, at: &At<'_>, visits: &mut usize) -> Found<Value> {
        self.content_under(keyword, at, visits, &mut Vec::new())
    }

    fn content_under(
        &self,
        keyword: &str,
        at: &At<'_>,
        visits: &mut usize,
        seen: &mut Vec<(String, String)>,
    ) -> Found<Value> {
        match keyword {
            "$ref" => self.referred(at, visits, seen),
            "default" | "const" | "enum" => at.value(),
            // Below these stand names, and not keywords.
            "properties" | "patternProperties" | "definitions" | "$defs" => self.content_of(at, false, visits, seen),
            _ => self.content_of(at, true, visits, seen),
        }
    }

    fn content_of(
        &self,
        at: &At<'_>,
        is_schema: bool,
        visits: &mut usize,
        seen: &mut Vec<(String, String)>,
    ) -> Found<Value> {
        *visits = visits.checked_sub(1).ok_or_else(|| at.too_large())?;
        match at.node.content() {
            Content::Mapping(_) => {
                let mut map = Map::new();
                for (key, below) in at.children()? {
                    let value = match key {
                        _ if !is_schema => self.content_of(&below, true, visits, seen)?,
                        key if DESCRIBING.contains(&key) => continue,
                        key => self.content_under(key, &below, visits, seen)?,
                    };
                    map.insert(key.to_owned(), value);
                }
                // A reference alone is what it leads to.
                match map.remove("$ref") {
                    Some(meant) if is_schema && map.is_empty() => return Ok(meant),
                    Some(meant) => map.insert("$ref".to_owned(), meant),
                    None => None,
                };
                Ok(Value::Object(map))
            }
            Content::List(_) => {
                let items = at.items()?;
                items.iter().map(|item| self.content_of(item, true, visits, seen)).collect::<Found<_>>()
            }
            _ => at.value(),
        }
    }

    fn referred(&self, reference: &At<'_>, visits: &mut usize, seen: &mut Vec<(String, String)>) -> Found<Value> {
        let target = self.follow(reference)?;
        let place = (target.document().to_owned(), target.pointer.clone());
        if let Some(position) = seen.iter().position(|known| *known == place) {
            return Ok(Value::String(format!("as in reference {}", position + 1)));
        }
        seen.push(place);
        self.content_of(&target, true, visits, seen)
    }
}

impl<'a> At<'a> {
    /// The name of the document.
    pub fn document(&self) -> &'a str {
        &self.file.name
    }

    /// Its file.
    pub fn source(&self) -> &'a Arc<Source> {
        &self.file.source
    }

    /// The place, for people.
    pub fn place(&self) -> Place {
        let range = match (&self.key, self.node.content()) {
            // A whole block says nothing; its key does.
            (Some(key), Content::Mapping(_) | Content::List(_)) => key.clone(),
            (Some(key), _) if self.node.range.is_empty() => key.clone(),
            _ => self.node.range.clone(),
        };
        Place { source: Arc::clone(self.source()), range, label: String::new() }
    }

    /// Something wrong here.
    pub fn fault(&self, id: &'static str, headline: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, id, headline).at(self.place())
    }

    /// What stands under a key.
    pub fn child(&self, key: &str) -> Option<At<'a>> {
        let (node, key_range) = self.node.child(key)?;
        let pointer = format!("{}/{}", self.pointer, key.replace('~', "~0").replace('/', "~1"));
        Some(At { file: self.file, node, pointer, key: key_range.cloned() })
    }

    /// What stands under a key that has to be there.
    pub fn need(&self, key: &str) -> Found<At<'a>> {
        self.entries()?;
        self.child(key)
            .ok_or_else(|| Box::new(self.fault("asyncapi/missing-field", format!("field `{key}` is missing"))))
    }

    /// All keys and what stands under them.
    pub fn children(&self) -> Found<Vec<(&'a str, At<'a>)>> {
        let entries = self.entries()?;
        Ok(entries.iter().filter_map(|entry| Some((entry.key.as_str(), self.child(&entry.key)?))).collect())
    }

    /// The elements of a list.
    pub fn items(&self) -> Found<Vec<At<'a>>> {
        match self.node.content() {
            Content::List(items) => Ok((0..items.len()).filter_map(|index| self.child(&index.to_string())).collect()),
            _ => Err(self.wrong_type("a list")),
        }
    }

    fn entries(&self) -> Found<&'a [Entry]> {
        match self.node.content() {
            Content::Mapping(entries) => Ok(entries),
            _ => Err(self.wrong_type("a mapping")),
        }
    }

    /// The text here.
    pub fn text(&self) -> Found<String> {
        match self.value()? {
            Value::String(text) => Ok(text),
            _ => Err(self.wrong_type("a text")),
        }
    }

    /// The texts of a list.
    pub fn texts(&self) -> Found<Vec<String>> {
        self.items()?.iter().map(At::text).collect()
    }

    /// The whole number here.
    pub fn whole<T: TryFrom<i64>>(&self) -> Found<T> {
        let number = self.value()?.as_i64().and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| self.wrong_type("a whole number that fits"))
    }

    fn wrong_type(&self, expected: &str) -> Box<Diagnostic> {
        let found = match self.value() {
            Ok(Value::Null) => "nothing".to_owned(),
            Ok(Value::Object(_)) => "a mapping".to_owned(),
            Ok(Value::Array(_)) => "a list".to_owned(),
            Ok(value) => format!("`{}`", in_short(&value)),
            Err(fault) => return fault,
        };
        Box::new(self.fault("asyncapi/wrong-type", format!("expected {expected}, found {found}")))
    }

    /// What stands here, as JSON.
    pub fn value(&self) -> Found<Value> {
        let mut visits = VISITS;
        to_json(self.node, &mut visits).ok_or_else(|| self.too_large())
    }

    fn too_large(&self) -> Box<Diagnostic> {
        let headline = format!("more than {VISITS} values stand here, aliases followed");
        Box::new(self.fault("asyncapi/too-large", headline))
    }
}

/// The files that the references in a tree lead to, each once.
pub(super) fn references(root: &Node) -> Vec<String> {
    let (mut found, mut open): (Vec<String>, _) = (Vec::new(), vec![root]);
    let mut shared: Vec<*const Node> = Vec::new();
    while let Some(node) = open.pop() {
        match &node.content {
            Content::Scalar { .. } => {}
            Content::List(items) => open.extend(items),
            Content::Mapping(entries) => {
                open.extend(entries.iter().map(|entry| &entry.value));
                for reference in entries.iter().filter(|entry| entry.key == "$ref") {
                    let Content::Scalar { text, .. } = reference.value.content() else { continue };
                    let path = text.split('#').next().unwrap_or_default();
                    if !path.is_empty() && !found.iter().any(|known| known == path) {
                        found.push(path.to_owned());
                    }
                }
            }
            // What an anchor stands before is looked at once, however many aliases it has.
            Content::Shared(node) => {
                if !shared.contains(&Arc::as_ptr(node)) {
                    shared.push(Arc::as_ptr(node));
                    open.push(node);
                }
            }
        }
    }
    found
}

/// Why a text is no tree.
fn syntax(problem: &Problem, source: &Arc<Source>) -> Diagnostic {
    let place = |range, label: &str| Place { source: Arc::clone(source), range, label: label.to_owned() };
    let mut fault = Diagnostic::new(Severity::Error, "asyncapi/syntax", problem.headline("document"))
        .at(place(problem.open_quote.map_or(problem.range.clone(), |at| at..at + 1), problem.label()));
    if let ProblemKind::DuplicateKey { first, .. } = problem.kind {
        fault = fault.with_evidence(format!("first given in line {}", place(first..first, "").line()));
    }
    fault.help = problem.help("document");
    fault
}

fn to_json(node: &Node, visits: &mut usize) -> Option<Value> {
    *visits = visits.checked_sub(1)?;
    Some(match node.content() {
        Content::Scalar { text, plain: true } => match resolve(text) {
            Scalar::Null => Value::Null,
            Scalar::Bool(value) => value.into(),
            Scalar::Unsigned(value) => value.into(),
            Scalar::Signed(value) => value.into(),
            Scalar::Float(value) => value.into(),
            Scalar::Odd(_) | Scalar::Text(_) => text.as_str().into(),
        },
        Content::Scalar { text, .. } => text.as_str().into(),
        Content::List(items) => Value::Array(items.iter().map(|item| to_json(item, visits)).collect::<Option<_>>()?),
        Content::Mapping(entries) => {
            let mut map = Map::new();
            for entry in entries {
                map.insert(entry.key.clone(), to_json(&entry.value, visits)?);
            }
            Value::Object(map)
        }
        Content::Shared(_) => Value::Null,
    })
}

/// The most characters of a value that is quoted.
const QUOTED: usize = 60;

/// A value for a sentence.
pub(super) fn in_short(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

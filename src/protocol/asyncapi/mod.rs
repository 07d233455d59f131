//! EVerest's own descriptions of its APIs, AsyncAPI 3, read into the model of [`super::api`].
//!
//! What such a file says and the model cannot hold is a [`Remark`]: named, never lost. Pure: texts come in, documents or
//! diagnostics go out. Finding files is the business of [`crate::cli`]; this module only says which name a reference has.

mod files;
mod operations;
mod shapes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::api::Api;
use crate::diagnostic::{Diagnostic, Place, Source};
use crate::yaml;
use files::Files;

/// The largest file, in bytes.
pub const LARGEST: usize = 4 * 1024 * 1024;

/// What is said of a channel that nothing passes on.
pub(super) const NO_ADDRESS: &str = "no address, and no operation replies on it";

/// One description of an API.
#[derive(Debug, Clone)]
pub struct Document {
    /// What it describes.
    pub api: Api,
    /// Where the topics of the API begin, as it stands there.
    pub pathname: String,
    /// The file.
    pub source: Arc<Source>,
    /// What it says besides.
    pub remarks: Vec<Remark>,
    /// The messages that it gives as examples.
    pub examples: Vec<Example>,
    /// What it calls things itself.
    pub keys: Keys,
}

/// What a document calls things itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// The keys of channels, by their names in [`Api`].
    pub channels: BTreeMap<String, String>,
    /// The keys of channels for replies that some operation uses.
    pub replies: BTreeSet<String>,
    /// The schemas that it, and what its types come from, have names for.
    pub schemas: BTreeSet<String>,
}

/// Something that a document says and the model has no place for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// What it is about: a channel, a type, or a field of these.
    pub subject: String,
    /// The keyword, or what kind of thing it is.
    pub what: String,
    /// What is said, in short.
    pub says: String,
    /// All that is said, with what it refers to.
    pub content: Value,
    /// Where.
    pub place: Place,
}

/// A message that a document gives as an example.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The name of its channel in [`Api`].
    pub channel: String,
    /// Whether it is a reply there.
    pub is_reply: bool,
    /// Its own title; may be empty.
    pub title: String,
    /// The message.
    pub payload: Value,
    /// Where.
    pub place: Place,
}

/// The name of the document that a path leads to: EVerest has had `x_API/asyncapi.yaml`, and has `x_API.yaml`.
pub fn name_of(path: &str) -> &str {
    let mut levels = path.rsplit(['/', '\\']);
    let file = levels.next().unwrap_or_default();
    let stem = file.strip_suffix(".yaml").or_else(|| file.strip_suffix(".yml")).unwrap_or(file);
    match levels.next() {
        Some(directory) if stem == "asyncapi" => directory,
        _ => stem,
    }
}

/// The API that a document of this name describes: EVerest's files have it in theirs.
pub fn api_of(document: &str) -> &str {
    document.strip_suffix("_API").unwrap_or(document)
}

/// The other files that a document refers to, as it writes their paths; none if it is no YAML.
pub fn references(text: &str) -> Vec<String> {
    yaml::read(text).map_or_else(|_| Vec::new(), |root| files::references(&root))
}

/// What came of a set of files.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Those without a fault, in the order given.
    pub documents: Vec<Document>,
    /// The others.
    pub unread: Vec<Unread>,
    /// `asyncapi/…`: what is wrong with these, or with what they refer to.
    pub faults: Vec<Diagnostic>,
}

/// A document that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The API that it describes.
    pub api: String,
    /// Why not, as half a sentence: its own fault, or that of one that it refers to.
    pub why: String,
}

impl Unread {
    fn new(document: &str, faults: &[Diagnostic]) -> Self {
        let why = faults.first().map(|fault| match &fault.place {
            Some(place) => format!("{} is wrong in line {}", place.source.path, place.line()),
            None => fault.headline.clone(),
        });
        Self { api: api_of(document).to_owned(), why: why.unwrap_or_default() }
    }
}

/// A file whose text nobody has.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// Its path.
    pub path: String,
    /// Why.
    pub faults: Vec<Diagnostic>,
}

/// Reads documents that may refer to each other. Those whose [`name_of`] is wanted are read as APIs, and the rest is only
/// referred to.
pub fn read(sources: &[Arc<Source>], is_wanted: &dyn Fn(&str) -> bool) -> Reading {
    read_beside(sources, &[], is_wanted)
}

/// The same, beside files that could not be read, to which documents may refer.
pub fn read_beside(sources: &[Arc<Source>], unreadable: &[Unreadable], is_wanted: &dyn Fn(&str) -> bool) -> Reading {
    let files = Files::read(sources, unreadable);
    let mut reading = Reading::default();
    for (name, faults) in files.broken().filter(|(name, _)| is_wanted(name)) {
        reading.unread.push(Unread::new(name, faults));
        reading.faults.extend_from_slice(faults);
    }
    for name in files.names().filter(|name| is_wanted(name)) {
        match operations::read(&files, name) {
            Ok(document) => reading.documents.push(document),
            Err(faults) => {
                reading.unread.push(Unread::new(name, &faults));
                for fault in faults {
                    // What several refer to is wrong once.
                    if !reading.faults.contains(&fault) {
                        reading.faults.push(fault);
                    }
                }
            }
        }
    }
    reading
}

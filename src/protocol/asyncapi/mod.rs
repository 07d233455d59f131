//! EVerest's own descriptions of its APIs, AsyncAPI 3, read into the model of [`super::api`].
//!
//! What such a file says and the model cannot hold is a [`Remark`]: named, never lost. Pure: texts come in, documents or
//! diagnostics go out. Finding files is the business of [`crate::cli`]; this module only says which name a reference has.

mod files;
mod operations;
mod shapes;

use std::sync::Arc;

use serde_json::Value;

use super::api::Api;
use crate::diagnostic::{Diagnostic, Place, Source};
use crate::yaml;
use files::Files;

/// The largest file, in bytes.
pub const LARGEST: usize = 4 * 1024 * 1024;

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
}

/// Something that a document says and the model has no place for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// What it is about: a channel, a type, or a field of these.
    pub subject: String,
    /// The keyword, or what kind of thing it is.
    pub what: String,
    /// What is said.
    pub says: String,
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
    /// The APIs of the others.
    pub unread: Vec<String>,
    /// `asyncapi/…`: what is wrong with these, or with what they refer to.
    pub faults: Vec<Diagnostic>,
}

/// Reads documents that may refer to each other. Those whose [`name_of`] is wanted are read as APIs, and the rest is only
/// referred to.
pub fn read(sources: &[Arc<Source>], is_wanted: &dyn Fn(&str) -> bool) -> Reading {
    let files = Files::read(sources);
    let mut reading = Reading::default();
    for (name, faults) in files.broken().filter(|(name, _)| is_wanted(name)) {
        reading.unread.push(api_of(name).to_owned());
        reading.faults.extend_from_slice(faults);
    }
    for name in files.names().filter(|name| is_wanted(name)) {
        match operations::read(&files, name) {
            Ok(document) => reading.documents.push(document),
            Err(faults) => {
                reading.unread.push(api_of(name).to_owned());
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

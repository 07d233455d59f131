//! `--asyncapi FILE`: APIs that Khumbu has no description of, from EVerest's documents.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files;
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::protocol::asyncapi::{self, Document, LARGEST, name_of};
use crate::protocol::channel::ApiType;

/// Takes in the APIs that these documents describe, and gives back what of them is not judged, as warnings.
///
/// # Errors
/// All that is wrong with them.
pub fn take_in(documents: &[PathBuf]) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    let (mut warnings, mut faults) = (Vec::new(), Vec::new());
    for path in documents {
        match read(path) {
            Ok(document) => {
                let Document { api, source, remarks, .. } = document;
                let name = api.name.clone();
                warnings.extend(remarks.iter().map(|remark| {
                    let headline = format!("`{}: {}` of `{}` is not judged", remark.what, remark.says, remark.subject);
                    Diagnostic::new(Severity::Warning, "asyncapi/not-judged", headline).at(remark.place.clone())
                }));
                if ApiType::add(api).is_none() {
                    let headline = format!("khumbu has a description of `{name}` already");
                    let fault = Diagnostic::new(Severity::Error, "asyncapi/known-api", headline)
                        .with_evidence(source.path.clone())
                        .with_help("khumbu drift --asyncapi DIR     (what differs from it)");
                    faults.push(fault);
                }
            }
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(warnings) } else { Err(faults) }
}

/// Reads a document, and the files that it refers to.
fn read(path: &Path) -> Result<Document, Vec<Diagnostic>> {
    let mut sources = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        let source = Source { text: files::read_text(&path, LARGEST)?, path: path.display().to_string() };
        for reference in asyncapi::references(&source.text) {
            let Some(found) = beside(&path, &reference) else { continue };
            let name = name_of(&reference).to_owned();
            let is_known = |path: &Path| name_of(&path.display().to_string()) == name;
            if !is_known(&path)
                && !open.iter().any(|path| is_known(path))
                && !sources.iter().any(|source: &Arc<Source>| name_of(&source.path) == name)
            {
                open.push(found);
            }
        }
        sources.push(Arc::new(source));
    }
    let name = name_of(&sources[0].path).to_owned();
    let mut reading = asyncapi::read(&sources, &|document| document == name);
    match reading.documents.pop() {
        Some(document) => Ok(document),
        None => Err(reading.faults),
    }
}

/// The file that a reference leads to: where it says, or beside the document, where files were moved together.
fn beside(document: &Path, reference: &str) -> Option<PathBuf> {
    let directory = document.parent().unwrap_or(Path::new(""));
    let moved = format!("{}.yaml", name_of(reference));
    [directory.join(reference), directory.join(moved)].into_iter().find(|path| path.is_file())
}

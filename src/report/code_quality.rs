//! Results as GitLab's Code Quality report (docs.gitlab.com, "Code Quality report format"): what is wrong, at the lines of a merge
//! request. GitLab tells what is new from what was there by the fingerprint.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::annotations::Annotation;

/// The whole report as JSON.
pub fn code_quality(annotations: &[Annotation]) -> String {
    let mut alike: BTreeMap<String, usize> = BTreeMap::new();
    let issues: Vec<Value> = annotations.iter().map(|annotation| issue(annotation, &mut alike)).collect();
    format!("{:#}\n", Value::from(issues))
}

/// `alike` counts what is wrong in the same way, such as under several releases: each issue has a fingerprint of its own.
fn issue(annotation: &Annotation, alike: &mut BTreeMap<String, usize>) -> Value {
    let at = annotation.at.as_ref().unwrap_or(&annotation.stands_at);
    // The same as long as the same is wrong in the same file, wherever its line has gone.
    let way = format!("{}\n{}\n{}", annotation.id, annotation.about, at.file);
    let number = alike.entry(way.clone()).or_default();
    *number += 1;
    let fingerprint = Sha256::digest(format!("{way}\n{number}"));
    let fingerprint: String = fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "check_name": annotation.id,
        "description": format!("{}: {}", annotation.about, annotation.message.lines().next().unwrap_or_default()),
        "content": {"body": annotation.message},
        "fingerprint": fingerprint,
        "severity": if annotation.is_error { "major" } else { "minor" },
        "location": {"path": at.file, "lines": {"begin": at.line}},
    })
}

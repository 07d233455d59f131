//! What stands at a place: the sentence of a key, a step or a value, a requirement, a token.

use std::ops::Range;

use serde_json::Value;

use super::shape::Shape;
use super::spot::{Step, What, find, tokens};
use crate::conformance::requirements::{self, Requirement};
use crate::yaml;

/// What is known of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Bytes of the text.
    pub range: Range<usize>,
    /// What it means, as Markdown.
    pub about: String,
}

/// What is known of a byte of a text whose files have this schema.
pub fn hover(text: &str, schema: &Value, byte: usize) -> Option<Explained> {
    let root = yaml::read(text).ok()?;
    let spot = find(&root, byte)?;
    let schema = Shape::new(schema);
    let about = match spot.what {
        What::Key(key, _) => titled(key, schema.at(&spot.path).about_key(key)?),
        What::Value(value) => {
            let shape = schema.at(&spot.path);
            let said =
                || shape.values().into_iter().find(|(it, _)| it.as_str() == Some(value)).and_then(|(_, about)| about);
            let token = || tokens(&root).into_iter().find(|(name, _)| *name == value).map(|(_, range)| range);
            match requirements::find(value) {
                Some(requirement) => titled(requirement.id, &about_requirement(requirement)),
                None => match (said(), token()) {
                    (Some(about), _) => titled(value, about),
                    (None, Some(range)) => format!("```yaml\n{}\n```", &text[range]),
                    (None, None) => owned(&schema, &spot.path)?,
                },
            }
        }
    };
    Some(Explained { range: spot.range, about })
}

/// What is said of the key that a value belongs to.
fn owned(schema: &Shape<'_>, path: &[Step]) -> Option<String> {
    let at = path.iter().rposition(|step| matches!(step, Step::Key(_)))?;
    let Step::Key(key) = &path[at] else { return None };
    Some(titled(key, schema.at(&path[..at]).about_key(key)?))
}

fn titled(name: &str, about: &str) -> String {
    format!("**{name}**\n\n{about}")
}

/// What a requirement asks, and where that is written.
pub fn about_requirement(requirement: &Requirement) -> String {
    format!("{}\n\nSource: {}", requirement.statement, requirement.source)
}

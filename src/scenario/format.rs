//! A file of khumbu's in the style of all, with khumbu's own words for what is wrong with it.

use super::parse::{read_tree, to_source};
use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::yaml::{self, Unformatted};

/// The text of a scenario, or of any other YAML file that khumbu reads, in the style of all; it says the same.
///
/// # Errors
/// Why it is no such file, as where it is read; or `file/not-formatted`, where it cannot be written otherwise.
pub fn format(path: &str, text: &str) -> Result<String, Vec<Diagnostic>> {
    let source = to_source(path, text);
    match read_tree(&source) {
        // Other files than scenarios may say nothing.
        Err(errors) if errors.iter().any(|error| error.id != "scenario/empty") => return Err(of_any_file(errors)),
        _ => {}
    }
    yaml::format(text).map_err(|why| {
        let headline = format!("`{path}` cannot be formatted");
        let refused = Diagnostic::new(Severity::Error, "file/not-formatted", headline)
            .with_help("it is left as it is; write this in another way, and format it again");
        vec![match why {
            Unformatted::NotRead => {
                refused.with_evidence("it is YAML, and yet the formatter does not know how to write it")
            }
            Unformatted::Changed(at) => {
                let end = text[at..].find(['\n', '\r']).map_or(text.len(), |length| at + length);
                refused
                    .at(Place { source, range: at..end, label: String::new() })
                    .with_evidence("formatted, this would say something else, or lose a comment")
            }
        }]
    })
}

/// What is wrong with a file, whatever it is a file of.
fn of_any_file(mut errors: Vec<Diagnostic>) -> Vec<Diagnostic> {
    for error in &mut errors {
        if let Some(rest) = error.headline.strip_prefix("scenario ") {
            error.headline = format!("file {rest}");
        }
    }
    errors
}

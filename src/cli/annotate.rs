//! `--annotations`: which files of the checkout are meant, and in which form a CI system wants to be told.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::diagnostic::Source;
use crate::report::annotations::{self, Annotation, Locate};

/// Whose annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Annotations {
    /// GitHub's workflow commands.
    Github,
}

impl Annotations {
    /// What is printed.
    pub fn text(self, annotated: impl FnOnce(Locate<'_>) -> Vec<Annotation>) -> String {
        match self {
            Self::Github => annotations::github(&located(annotated)),
        }
    }
}

/// Annotations at the files of the checkout that this runs in.
pub fn located(annotated: impl FnOnce(Locate<'_>) -> Vec<Annotation>) -> Vec<Annotation> {
    let root = ["GITHUB_WORKSPACE", "CI_PROJECT_DIR"].into_iter().find_map(env::var_os).map(PathBuf::from);
    let root = root.or_else(|| env::current_dir().ok()).and_then(|root| fs::canonicalize(root).ok());
    annotated(&|source: &Source| root.as_deref().and_then(|root| in_checkout(source, root)))
}

/// The path of a file from the root of the checkout, if it is there and says the same: the scenarios in the binary
/// have paths, too, which mean nothing in a stranger's checkout.
fn in_checkout(source: &Source, root: &Path) -> Option<String> {
    let path = fs::canonicalize(&source.path).ok()?;
    let text = fs::read_to_string(&path).ok()?;
    let is_same = text.strip_prefix('\u{feff}').unwrap_or(&text) == source.text;
    is_same.then(|| path.strip_prefix(root).ok()?.to_str().map(str::to_owned))?
}

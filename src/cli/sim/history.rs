//! What was typed into `khumbu sim` before, kept in a file of the user's state directory.
//!
//! Only commands that could be followed are kept: they call tokens by the names that the station gives them, while a line that
//! is none may be the id of somebody's card, pasted at the wrong place.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use reedline::{FileBackedHistory, History, HistoryItem, SearchDirection, SearchQuery};

use crate::diagnostic::{Diagnostic, Severity};

/// So many lines are kept.
pub const LINES: usize = 1000;
/// A file that is larger is not of our making.
const LARGEST: u64 = 1024 * 1024;

/// The file, if there can be one.
pub struct Kept {
    file: Option<(PathBuf, FileBackedHistory)>,
}

impl Kept {
    /// What is kept where the environment says; nothing where it does not say. And what is wrong with it.
    pub fn open() -> (Self, Option<Diagnostic>) {
        let Some(path) = path(|name| std::env::var_os(name)) else { return (Self { file: None }, None) };
        match prepare(&path).and_then(|()| FileBackedHistory::with_file(LINES, path.clone()).map_err(in_words)) {
            Ok(history) => (Self { file: Some((path, history)) }, None),
            Err(why) => (Self { file: None }, Some(not_kept(&path, &why))),
        }
    }

    /// The lines, the oldest first.
    pub fn lines(&self) -> Vec<String> {
        let Some((_, history)) = &self.file else { return Vec::new() };
        let all = history.search(SearchQuery::everything(SearchDirection::Forward, None)).unwrap_or_default();
        all.into_iter().map(|item| item.command_line).collect()
    }

    /// Keeps a line; what is wrong, once.
    pub fn keep(&mut self, line: &str) -> Option<Diagnostic> {
        let (path, history) = self.file.as_mut()?;
        let kept = history.save(HistoryItem::from_command_line(line)).map_err(in_words);
        let why = kept.and_then(|_| history.sync().map_err(in_words)).err()?;
        let warning = not_kept(path, &why);
        self.file = None;
        Some(warning)
    }
}

/// Where it is, by the XDG Base Directory Specification: paths that are not absolute do not count.
fn path(environment: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("khumbu").join("sim_history"))
}

/// Makes the file, for its owner alone, if it is not there.
fn prepare(path: &Path) -> Result<(), String> {
    path.parent().map_or(Ok(()), fs::create_dir_all).map_err(in_words)?;
    // To open a pipe would wait for somebody at its other end.
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err("it is no regular file".to_owned()),
        Ok(found) if found.len() > LARGEST => {
            return Err(format!("it has {} bytes, the most is {LARGEST}", found.len()));
        }
        _ => {}
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(in_words).map(drop)
}

fn in_words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn not_kept(path: &Path, why: &str) -> Diagnostic {
    let headline = format!("what is typed cannot be kept in `{}`", path.display());
    Diagnostic::new(Severity::Warning, "sim/no-history", headline).with_evidence(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_where_the_environment_says() {
        for (state, home, wanted) in [
            (Some("/s"), Some("/h"), Some("/s/khumbu/sim_history")),
            (None, Some("/h"), Some("/h/.local/state/khumbu/sim_history")),
            (Some(""), Some("/h"), Some("/h/.local/state/khumbu/sim_history")),
            (Some("here"), None, None),
            (None, Some(""), None),
            (None, None, None),
        ] {
            let of = |name: &str| match name {
                "XDG_STATE_HOME" => state.map(OsString::from),
                "HOME" => home.map(OsString::from),
                _ => None,
            };
            assert_eq!(path(of), wanted.map(PathBuf::from), "{state:?} {home:?}");
        }
    }
}

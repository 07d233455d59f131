//! Scenario files: found, read, parsed.
//!
//! What the user names on the command line is the user's choice. What a walk through a directory finds stays in that
//! directory: a link that leads out of it is refused, and one that leads back is followed once.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Severity};
use crate::gateway;
use crate::scenario::{self, Known, LARGEST, Scenario};

/// Where scenarios are looked for if no path is given.
pub const DEFAULT: &str = "scenarios";

/// What some editors begin a UTF-8 text with; it is no part of the text.
pub(super) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// All that was found.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Those without an error, in the order of the paths given, sorted within a directory.
    pub scenarios: Vec<Scenario>,
    /// How many files could be read.
    pub files: usize,
    /// All errors of all files.
    pub errors: Vec<Diagnostic>,
}

/// Loads the scenarios of these paths, files or directories; of [`DEFAULT`] if there are none.
///
/// # Errors
///
/// All errors of all files.
pub fn load(paths: &[PathBuf], known_requirements: &[&str]) -> Result<Vec<Scenario>, Vec<Diagnostic>> {
    let loaded = load_all(paths, known_requirements);
    if loaded.errors.is_empty() { Ok(loaded.scenarios) } else { Err(loaded.errors) }
}

/// Loads what can be loaded, and collects what is wrong with the rest.
pub fn load_all(paths: &[PathBuf], known_requirements: &[&str]) -> Loaded {
    let mut loaded = Loaded::default();
    let known = Known { requirements: known_requirements, answers: Some(gateway::answer_schema) };
    let (files, errors) = find(paths);
    loaded.errors = errors;
    for path in files {
        let text = match read_text(&path, LARGEST) {
            Ok(text) => text,
            Err(errors) => {
                loaded.errors.extend(errors);
                continue;
            }
        };
        loaded.files += 1;
        match scenario::parse(&path.display().to_string(), &text, known) {
            Ok(scenario) => loaded.scenarios.push(scenario),
            Err(errors) => loaded.errors.extend(errors),
        }
    }
    loaded
}

/// Reads a text of at most so many bytes, without a byte order mark; a regular file only, so that no pipe can make this wait.
///
/// # Errors
///
/// Why it cannot be read, or is no text.
pub fn read_text(path: &Path, largest: usize) -> Result<String, Vec<Diagnostic>> {
    let name = path.display();
    let fail = |id, headline: String| Diagnostic::new(Severity::Error, id, headline);
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => vec![fail("file/not-found", format!("file `{name}` does not exist"))],
        _ => vec![fail("file/unreadable", format!("file `{name}` cannot be read")).with_evidence(error.to_string())],
    };
    let too_large =
        |bytes: u64| vec![fail("file/too-large", format!("file `{name}` has {bytes} bytes, the most is {largest}"))];
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(vec![fail("file/directory", format!("`{name}` is a directory, not a file"))]);
    }
    if !metadata.is_file() {
        return Err(vec![fail("file/no-file", format!("`{name}` is no regular file"))]);
    }
    if metadata.len() > largest as u64 {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::new();
    // The file may grow while it is read.
    File::open(path).and_then(|file| file.take(largest as u64 + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() > largest {
        return Err(too_large(bytes.len() as u64));
    }
    to_text(path, bytes)
}

/// Bytes as text, without a byte order mark; `path` is for messages.
///
/// # Errors
///
/// `file/not-utf8`.
pub fn to_text(path: &Path, mut bytes: Vec<u8>) -> Result<String, Vec<Diagnostic>> {
    let name = path.display();
    if bytes.starts_with(BYTE_ORDER_MARK.as_bytes()) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        let headline = format!("file `{name}` is not UTF-8 text");
        vec![
            Diagnostic::new(Severity::Error, "file/not-utf8", headline)
                .with_evidence(format!("byte 0x{:02x} at offset {at}, line {line}", error.as_bytes()[at])),
        ]
    })
}

/// Puts a text in the place of a file that is there, all or nothing of it. A link stays one, and so do the file's permissions
/// and its byte order mark.
///
/// # Errors
/// Why the file stays as it is; one that is read-only does.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let real = fs::canonicalize(path)?;
    let permissions = fs::metadata(&real)?.permissions();
    if permissions.readonly() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is read-only"));
    }
    let mut first = Vec::new();
    File::open(&real)?.take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut first)?;
    let mark = if first == BYTE_ORDER_MARK.as_bytes() { BYTE_ORDER_MARK } else { "" };
    // In the same directory, so that it is the same file system; hidden, so that nobody takes it for a scenario.
    let beside = real.with_file_name(format!(".khumbu-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&beside)?;
    let written = file
        .set_permissions(permissions)
        .and_then(|()| file.write_all(mark.as_bytes()))
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, &real));
    written.inspect_err(|_| drop(fs::remove_file(&beside)))
}

/// The scenario files of these paths, each once; and what is wrong with the paths.
pub fn find(paths: &[PathBuf]) -> (Vec<PathBuf>, Vec<Diagnostic>) {
    let default = [PathBuf::from(DEFAULT)];
    let is_default = paths.is_empty();
    let mut walk = Walk { extensions: &["yaml", "yml"], ..Walk::default() };
    for path in if is_default { &default } else { paths } {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                let before = walk.found.len() + walk.errors.len();
                walk.directory(path);
                if walk.found.len() + walk.errors.len() == before && !walk.has_files_of(path) {
                    let headline = format!("no scenarios in `{}`", path.display());
                    walk.errors.push(
                        Diagnostic::new(Severity::Error, "file/no-scenarios", headline)
                            .with_help("scenario files end in `.yaml` or `.yml`"),
                    );
                }
            }
            Ok(_) => walk.file(path),
            Err(error) if is_default && error.kind() == io::ErrorKind::NotFound => walk.errors.push(
                Diagnostic::new(Severity::Error, "file/not-found", format!("there is no directory `{DEFAULT}` here"))
                    .with_help("khumbu check PATH"),
            ),
            // What is wrong with a file is said when it is read, once.
            Err(_) if walk.found.contains(path) => {}
            Err(_) => walk.found.push(path.clone()),
        }
    }
    (walk.found, walk.errors)
}

/// The files with one of these extensions in a directory and all below, sorted.
pub fn find_in(directory: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut walk = Walk { extensions, ..Walk::default() };
    walk.directory(directory);
    walk.found
}

#[derive(Default)]
struct Walk<'a> {
    extensions: &'a [&'a str],
    found: Vec<PathBuf>,
    /// Where we have been, and what has been found, by real paths.
    directories: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
    errors: Vec<Diagnostic>,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Path) {
        match fs::canonicalize(directory) {
            Ok(root) => self.walk(directory, &root),
            Err(error) => self.unreadable(directory, &error),
        }
    }

    /// Whether files of a directory have been found, on this way or on another.
    fn has_files_of(&self, directory: &Path) -> bool {
        fs::canonicalize(directory).is_ok_and(|real| self.files.iter().any(|file| file.starts_with(&real)))
    }

    fn walk(&mut self, directory: &Path, root: &Path) {
        let real = match fs::canonicalize(directory) {
            Ok(real) => real,
            Err(error) => return self.unreadable(directory, &error),
        };
        if !real.starts_with(root) {
            return self.outside(directory, root);
        }
        // A link to where we have been, be it a loop or not, adds nothing.
        if !self.directories.insert(real) {
            return;
        }
        let mut entries: Vec<PathBuf> = match fs::read_dir(directory) {
            Ok(entries) => entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect(),
            Err(error) => return self.unreadable(directory, &error),
        };
        entries.sort();
        for path in entries {
            let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if is_hidden {
                continue;
            }
            if path.is_dir() {
                self.walk(&path, root);
                continue;
            }
            let extension = path.extension().unwrap_or_default().to_string_lossy();
            if !self.extensions.contains(&extension.as_ref()) {
                continue;
            }
            match fs::canonicalize(&path) {
                Ok(real) if !real.starts_with(root) => self.outside(&path, root),
                _ => self.file(&path),
            }
        }
    }

    fn file(&mut self, path: &Path) {
        let is_new = fs::canonicalize(path).map_or(true, |real| self.files.insert(real));
        if is_new {
            self.found.push(path.to_owned());
        }
    }

    fn outside(&mut self, path: &Path, root: &Path) {
        let headline = format!("`{}` leads out of its directory", path.display());
        self.errors.push(
            Diagnostic::new(Severity::Error, "file/outside", headline)
                .with_evidence(format!("directory: {}", root.display()))
                .with_help("name it on the command line if it is meant"),
        );
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        let headline = format!("directory `{}` cannot be read", path.display());
        self.errors
            .push(Diagnostic::new(Severity::Error, "file/unreadable", headline).with_evidence(error.to_string()));
    }
}

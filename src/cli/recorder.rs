//! `--record` of `khumbu run` and `khumbu sim`: where recordings go, and what writes them while something is played.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::print;
use crate::author::Heading;
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::Topics;
use crate::recording::Writer;
use crate::runner::Piece;
use crate::station::config::StationConfig;
use crate::transcript::record::Record;

/// The extension of a recording in a directory.
const EXTENSION: &str = "jsonl";

/// Where the recording of each scenario goes: to `path` itself if that is a file, and to a file below it if it is a
/// directory.
///
/// # Errors
/// `usage/one-recording` if several scenarios would go to one file.
pub fn paths(path: &Path, pieces: &[Piece]) -> Result<Vec<PathBuf>, Box<Diagnostic>> {
    let is_directory = path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
    if !is_directory {
        if let [_] = pieces {
            return Ok(vec![path.to_owned()]);
        }
        let headline = format!("{} plays cannot be recorded in the one file `{}`", pieces.len(), path.display());
        let help = format!("--record {}/   (a directory, one file a scenario)", path.display());
        return Err(Box::new(Diagnostic::new(Severity::Error, "usage/one-recording", headline).with_help(help)));
    }
    // Where a scenario is played under several releases, each has a directory of its own.
    let is_by_release = pieces.windows(2).any(|two| Arc::ptr_eq(&two[0].scenario, &two[1].scenario));
    let mut taken: BTreeMap<PathBuf, &str> = BTreeMap::new();
    let mut paths = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let scenario = piece.scenario.source.path.as_str();
        let levels = Path::new(scenario).components().filter(|level| matches!(level, Component::Normal(_)));
        let release = if is_by_release { piece.release.name() } else { "" };
        let file = path.join(release).join(levels.collect::<PathBuf>()).with_extension(EXTENSION);
        if let Some(other) = taken.insert(file.clone(), scenario) {
            let headline = format!("`{other}` and `{scenario}` would both be recorded in `{}`", file.display());
            let help = "play them one after the other, with a --record of their own";
            return Err(Box::new(Diagnostic::new(Severity::Error, "usage/one-recording", headline).with_help(help)));
        }
        paths.push(file);
    }
    Ok(paths)
}

/// Opens a recording for each piece, and lets the piece write it.
///
/// # Errors
/// `usage/unwritable-recording`.
pub fn open(
    paths: Vec<PathBuf>,
    pieces: &mut [Piece],
    topics: &Topics,
) -> Result<Vec<Arc<RecordingFile>>, Box<Diagnostic>> {
    let mut files = Vec::with_capacity(paths.len());
    for (path, piece) in paths.into_iter().zip(pieces) {
        let scenario = &piece.scenario.model;
        let station = StationConfig { release: piece.release, ..scenario.station.clone() };
        let heading = Heading { under_test: scenario.under_test, api: Some(scenario.api), station };
        let file = Arc::new(RecordingFile::create(path, topics, &heading)?);
        let recorder = Arc::clone(&file);
        piece.recorder = Some(Arc::new(move |record| recorder.take(record)));
        files.push(file);
    }
    Ok(files)
}

/// A recording that is being written.
pub struct RecordingFile {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    writer: Writer,
    file: File,
    /// The first thing that went wrong; nothing is written after it.
    failed: Option<io::Error>,
}

impl RecordingFile {
    /// Opens a file, and writes what is recorded in it.
    ///
    /// # Errors
    /// `usage/unwritable-recording`.
    pub fn create(path: PathBuf, topics: &Topics, heading: &Heading) -> Result<Self, Box<Diagnostic>> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let created = parent.map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(&path));
        let file = created.map_err(|error| unwritable(&path, &error))?;
        Ok(Self::begin(path, file, topics, heading))
    }

    /// The same for what nobody can have happen once more: overwrites nothing, and makes no directory.
    ///
    /// # Errors
    /// `usage/other-file`, `usage/unwritable-recording`.
    pub fn create_new(path: PathBuf, topics: &Topics, heading: &Heading) -> Result<Self, Box<Diagnostic>> {
        match File::create_new(&path) {
            Ok(file) => Ok(Self::begin(path, file, topics, heading)),
            // What is written to a device or a pipe takes nothing away.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !path.is_file() => {
                let file = File::options().write(true).open(&path).map_err(|error| unwritable(&path, &error))?;
                Ok(Self::begin(path, file, topics, heading))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let headline = format!("`{}` is there already, and no recording is overwritten", path.display());
                let help = "name another file, or take it away first";
                Err(Box::new(Diagnostic::new(Severity::Error, "usage/other-file", headline).with_help(help)))
            }
            Err(error) => Err(unwritable(&path, &error)),
        }
    }

    fn begin(path: PathBuf, mut file: File, topics: &Topics, heading: &Heading) -> Self {
        let writer = Writer::new(topics.clone());
        let failed = file.write_all(heading.message().to_line().as_bytes()).err();
        Self { path, state: Mutex::new(State { writer, file, failed }) }
    }

    /// Line by line: a run that is ended in haste has written what it saw.
    pub fn take(&self, record: &Record) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failed.is_none()
            && let Some(line) = state.writer.line(record)
            && let Err(error) = state.file.write_all(line.as_bytes())
        {
            state.failed = Some(error);
        }
    }

    /// Says what was not written.
    pub fn finish(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &state.failed.take() {
            print::lost("run/recording-lost", &format!("recording `{}`", self.path.display()), error);
        }
    }
}

/// A recording cannot be written there.
pub fn unwritable(path: &Path, error: &io::Error) -> Box<Diagnostic> {
    let headline = format!("recording `{}` cannot be written: {error}", path.display());
    Box::new(Diagnostic::new(Severity::Error, "usage/unwritable-recording", headline))
}

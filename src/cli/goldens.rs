//! Golden files: `scenarios/x/y.snap` beside `scenarios/x/y.yaml`, and `y.snap.new` while it waits for review.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files;
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::scenario::Scenario;
use crate::transcript::snapshot::{self, Snapshot};

/// The largest golden, in bytes.
const LARGEST: usize = 16 * 1024 * 1024;

/// The golden of a scenario.
pub fn path_of(scenario: &Path) -> PathBuf {
    scenario.with_extension("snap")
}

/// The golden of a scenario that waits for review.
pub fn pending_of(scenario: &Path) -> PathBuf {
    scenario.with_extension("snap.new")
}

/// Reads the golden of a scenario; `None` if there is none.
///
/// # Errors
///
/// Why it cannot be read.
pub fn read(scenario: &Path) -> Result<Option<Arc<Source>>, Vec<Diagnostic>> {
    read_file(&path_of(scenario))
}

/// Refuses a golden that is none.
///
/// # Errors
///
/// What is wrong with it.
pub fn check(golden: Option<Arc<Source>>) -> Result<Option<Arc<Source>>, Vec<Diagnostic>> {
    match golden.as_deref().map(|source| Snapshot::parse(&source.text).map_err(|why| (source, why))) {
        Some(Err((source, why))) => {
            let headline = format!("golden `{}` cannot be read: {why}", source.path);
            Err(vec![Diagnostic::new(Severity::Error, "golden/unreadable", headline).with_help("khumbu run --update")])
        }
        _ => Ok(golden),
    }
}

/// Reads a golden file; `None` if there is none.
pub(super) fn read_file(path: &Path) -> Result<Option<Arc<Source>>, Vec<Diagnostic>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = files::read_text(path, LARGEST)?;
    Ok(Some(Arc::new(Source { path: path.display().to_string(), text })))
}

/// Writes the golden that waits for review.
///
/// # Errors
///
/// What the file system says.
pub fn write_pending(scenario: &Path, text: &str) -> io::Result<PathBuf> {
    let path = pending_of(scenario);
    let mut file = File::create(&path)?;
    if let Err(error) = file.write_all(text.as_bytes()) {
        // Half a golden waits for nobody.
        let _ = fs::remove_file(&path);
        return Err(error);
    }
    Ok(path)
}

/// Writes the golden itself, as `--update` asks for, and drops the one that waits.
///
/// # Errors
///
/// What the file system says.
pub fn update(scenario: &Path, text: &str) -> io::Result<()> {
    accept(&write_pending(scenario, text)?)
}

/// Drops a golden that waits, once the scenario agrees with the accepted one.
pub fn drop_pending(scenario: &Path) {
    // There usually is none; and a run does not fail for one that cannot be removed.
    let _ = fs::remove_file(pending_of(scenario));
}

/// Makes a golden that waits the accepted one, in one step: nobody ever sees half of it.
///
/// # Errors
///
/// What the file system says.
pub fn accept(pending: &Path) -> io::Result<()> {
    fs::rename(pending, pending.with_extension(""))
}

/// All goldens that wait, of scenarios, of directories, or themselves.
pub fn all_pending(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    for path in or_default(paths) {
        if path.is_dir() {
            found.extend(files::find_in(&path, &["new"]).into_iter().filter(|path| is_pending(path)));
        } else if is_pending(&path) {
            found.insert(path);
        } else {
            found.insert(pending_of(&path));
        }
    }
    found.into_iter().filter(|path| path.is_file()).collect()
}

/// Goldens below these directories that no scenario with `golden: true` claims.
pub fn orphans(paths: &[PathBuf], scenarios: &[Scenario]) -> Vec<Diagnostic> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let claimed: BTreeSet<PathBuf> = scenarios
        .iter()
        .filter(|scenario| scenario.model.golden)
        .map(|scenario| real(&path_of(Path::new(&scenario.source.path))))
        .collect();
    let directories = or_default(paths).into_iter().filter(|path| path.is_dir());
    let goldens: BTreeSet<PathBuf> = directories.flat_map(|path| files::find_in(&path, &["snap"])).collect();
    let orphans = goldens.into_iter().filter(|path| !claimed.contains(&real(path)));
    orphans.map(|path| snapshot::orphan(&path.display().to_string())).collect()
}

fn or_default(paths: &[PathBuf]) -> Vec<PathBuf> {
    if paths.is_empty() { vec![PathBuf::from(files::DEFAULT)] } else { paths.to_vec() }
}

fn is_pending(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".snap.new"))
}

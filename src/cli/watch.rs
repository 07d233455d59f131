//! `khumbu run --watch`: plays again whenever a scenario, the module or `khumbu.yaml` has changed; of scenarios only those
//! that have. Each time is a process of its own, so that nothing is left of the time before.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use notify::{EventKind, RecursiveMode, Watcher};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::signals::{self, Wishes};
use super::{Exit, print, quiet_runtime};
use crate::diagnostic::{Diagnostic, Severity};

/// Editors write a file in several steps.
const SETTLED: Duration = Duration::from_millis(100);
/// What is built, installed or cached is no source of anybody's.
const IGNORED: [&str; 4] = ["target", "node_modules", "__pycache__", "venv"];

/// What is watched, and how it is played.
pub struct Watch {
    /// Scenario files and directories.
    pub scenarios: Vec<PathBuf>,
    /// Other files on which everything hangs: the module and `khumbu.yaml`.
    pub others: Vec<PathBuf>,
    /// Files that khumbu writes itself.
    pub written: Vec<PathBuf>,
    /// The command line behind `khumbu`, without paths of scenarios.
    pub arguments: Vec<String>,
}

impl Watch {
    /// Plays and watches until the user wants an end; ends as the last time did.
    pub fn run(self) -> Exit {
        let runtime = match quiet_runtime() {
            Ok(runtime) => runtime,
            Err(exit) => return exit,
        };
        runtime.block_on(self.watched()).unwrap_or_else(|error| {
            let headline = format!("files cannot be watched: {error}");
            print::diagnostics(&[Diagnostic::new(Severity::Error, "harness/broken", headline)]);
            Exit::Error
        })
    }

    async fn watched(self) -> Result<Exit, String> {
        let in_words = |error: io::Error| error.to_string();
        let mut wishes = signals::wishes().map_err(in_words)?;
        let (send, mut changes) = mpsc::unbounded_channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let event = event.ok().filter(|event| !matches!(event.kind, EventKind::Access(_)));
            event.into_iter().flat_map(|event| event.paths).for_each(|path| drop(send.send(path)));
        })
        .map_err(|error| error.to_string())?;
        let scenarios = self.scenarios.iter().map(|path| (path, RecursiveMode::Recursive));
        let others = self.others.iter().map(|path| (path, RecursiveMode::NonRecursive));
        for (path, mode) in others.chain(scenarios) {
            // The directory: many editors put a new file in the place of the old one.
            let Some(directory) = directory_of(path) else { continue };
            watcher.watch(&directory, mode).map_err(|error| error.to_string())?;
        }
        let mut next = self.scenarios.clone();
        loop {
            let mut command = Command::new(std::env::current_exe().map_err(in_words)?);
            // In a group of its own it gets each signal once, from here.
            command.args(&self.arguments).args(&next).stdin(Stdio::null()).process_group(0);
            let child = command.spawn().map_err(in_words)?;
            let (exit, is_over) = ended(child, &mut wishes).await.map_err(in_words)?;
            if is_over {
                return Ok(exit);
            }
            print::err("\nwaiting for a change; Ctrl-C ends\n\n");
            next = tokio::select! {
                next = self.changed(&mut changes) => next,
                () = wishes.next() => return Ok(exit),
            };
        }
    }

    /// Waits for a change of something that is watched; what is to be played then.
    async fn changed(&self, changes: &mut mpsc::UnboundedReceiver<PathBuf>) -> Vec<PathBuf> {
        let (mut scenarios, mut is_all, mut settled) = (BTreeSet::new(), false, None);
        loop {
            // Counted from the first, whatever else changes all the time.
            let path = match settled {
                None => changes.recv().await,
                Some(at) => tokio::time::timeout_at(at, changes.recv()).await.unwrap_or_default(),
            };
            let Some(path) = path else { break };
            match self.is_concerned(&path) {
                Some(true) => drop(scenarios.insert(path)),
                Some(false) => is_all = true,
                None => continue,
            }
            settled = settled.or(Some(Instant::now() + SETTLED));
        }
        let there: Vec<_> =
            scenarios.into_iter().filter(|path| path.exists()).map(|path| self.as_named(path)).collect();
        if is_all || there.is_empty() { self.scenarios.clone() } else { there }
    }

    /// Whether a path is a scenario (`true`) or something else that is watched; `None` if it is neither.
    fn is_concerned(&self, path: &Path) -> Option<bool> {
        let is_same = |other: &PathBuf| other.canonicalize().is_ok_and(|other| other == path);
        let is_ignored = |part: &std::ffi::OsStr| {
            let part = part.to_string_lossy();
            part.starts_with('.') || IGNORED.contains(&&*part) || part.ends_with(".snap.new")
        };
        let is_below = |root: &PathBuf| {
            let root = root.canonicalize().ok()?;
            path.strip_prefix(root).ok().map(Path::to_path_buf)
        };
        if self.written.iter().any(is_same) {
            return None;
        }
        let below = self.scenarios.iter().find_map(is_below);
        if below.is_some_and(|below| !below.iter().any(is_ignored)) {
            let is_scenario = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
            return is_scenario.then_some(true);
        }
        // Files of the same kind beside it belong to it; what it writes, such as a log, does not.
        let is_beside = |other: &PathBuf| {
            other.extension().is_some()
                && other.extension() == path.extension()
                && directory_of(other).as_deref() == path.parent()
        };
        self.others.iter().any(|other| is_same(other) || is_beside(other)).then_some(false)
    }

    /// A path as the user would write it.
    fn as_named(&self, path: PathBuf) -> PathBuf {
        let here = std::env::current_dir().and_then(|here| here.canonicalize());
        here.ok().and_then(|here| path.strip_prefix(here).map(Path::to_path_buf).ok()).unwrap_or(path)
    }
}

/// Where a file stands, or the directory itself; `None` if it is not there.
fn directory_of(path: &Path) -> Option<PathBuf> {
    let directory = if path.is_dir() { Some(path) } else { path.parent() };
    directory.map(|it| if it.as_os_str().is_empty() { Path::new(".") } else { it })?.canonicalize().ok()
}

/// Waits for the end of a process, and ends it when the user wants it to; whether he did.
async fn ended(mut child: Child, wishes: &mut Wishes) -> io::Result<(Exit, bool)> {
    let mut is_over = false;
    loop {
        tokio::select! {
            status = child.wait() => {
                let code = status?.code().and_then(|code| u8::try_from(code).ok());
                return Ok((code.map_or(Exit::Error, Exit::from), is_over));
            }
            () = wishes.next() => {
                if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
                    let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
                }
                is_over = true;
            }
        }
    }
}

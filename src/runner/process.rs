//! The process of a module under test: started in a process group of its own, its output kept, ended in every case.
//!
//! Nobody waits for the end of its output: a child that outlives the module may hold the pipes open for ever. Whatever
//! the module leaves behind is found by its process group and by a mark in its environment, and killed.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgrp};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::timeout;
use uuid::Uuid;

use super::last_words::without_colours;

/// The name in the environment that marks a module and everything it starts. Khumbu may have been started by a khumbu:
/// so there may be several marks, the outermost first.
pub const MARK: &str = "KHUMBU_PROCESS_MARK";
/// What stands between marks.
const MARKS: &str = ",";
/// Lines of output that are kept.
const KEPT_LINES: usize = 400;
/// Bytes of a line that are kept.
const KEPT_LINE: usize = 2000;
/// How long the output may still trickle in after the module's end; a leaked pipe must not hold a run.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How long children of the module may take to follow it.
const STRAGGLERS: Duration = Duration::from_millis(200);
/// How long a killed process may take to be gone.
const UNINTERRUPTIBLE: Duration = Duration::from_secs(2);

/// How often in a row nothing must be found where something was.
const LOOKS: u32 = 5;
/// How often the youngest processes are looked at after all others.
const PEEKS: u32 = 20;
/// How many processes are the youngest.
const YOUNG: i32 = 16;
/// How often a hurried exit looks for what is left.
const HURRIED_ROUNDS: usize = 20;

/// Process groups that live now, with the marks of their processes, so that a hurried exit can end them.
static GROUPS: Mutex<BTreeMap<i32, String>> = Mutex::new(BTreeMap::new());

/// Kills everything that a run has started and not yet ended.
pub fn kill_all_groups() {
    let groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for group in groups.keys() {
        // Gone already is as good.
        let _ = killpg(Pid::from_raw(*group), Signal::SIGKILL);
    }
    for _ in 0..HURRIED_ROUNDS {
        let left: Vec<_> = groups.iter().flat_map(|(group, mark)| leftovers(*group, mark)).collect();
        if left.is_empty() {
            return;
        }
        left.iter().for_each(Living::kill);
    }
}

/// What a process wrote: its last lines, both streams in order of arrival.
#[derive(Debug, Clone, Default)]
pub struct Output(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<(Stream, String)>,
    /// How many lines there were before these.
    forgotten: usize,
}

/// One of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

impl Output {
    /// The last lines.
    pub fn tail(&self, lines: usize) -> Vec<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines.iter().skip(kept.lines.len().saturating_sub(lines)).map(|(_, line)| line.clone()).collect()
    }

    /// How many lines it has written so far.
    pub fn count(&self) -> usize {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.forgotten + kept.lines.len()
    }

    /// The last lines of standard output, joined by line ends.
    pub fn stdout(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<_> =
            kept.lines.iter().filter(|(stream, _)| *stream == Stream::Stdout).map(|(_, line)| line.as_str()).collect();
        lines.join("\n")
    }

    fn push(&self, stream: Stream, line: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.lines.len() == KEPT_LINES {
            kept.lines.pop_front();
            kept.forgotten += 1;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = without_colours(&String::from_utf8_lossy(&line[..line.len().min(KEPT_LINE)]));
        kept.lines.push_back((stream, text));
    }
}

/// A running module.
#[derive(Debug)]
pub struct Process {
    group: Group,
    mark: String,
    stdin: Option<ChildStdin>,
    output: Output,
    readers: [JoinHandle<()>; 2],
    exit: watch::Receiver<Option<ExitStatus>>,
    waiter: AbortHandle,
    /// Whether it was told to end: who hears that twice may take it for another word.
    is_told: bool,
}

/// How a module ended when it was told to.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    /// Its exit status, if it could be had.
    pub status: Option<ExitStatus>,
    /// Whether it was still there after SIGTERM and the grace, and had to be killed.
    pub ignored_term: bool,
    /// Whether it had to be killed, for that or because it was given no time.
    pub killed: bool,
    /// Processes it left behind, as `pid command`; killed.
    pub left_behind: Vec<String>,
}

/// A process group that is killed when this is dropped, be it by a panic, unless it was ended properly before.
#[derive(Debug)]
struct Group {
    id: i32,
    is_ended: bool,
}

impl Drop for Group {
    fn drop(&mut self) {
        // The number of a group that is gone may be another's by now.
        if !self.is_ended {
            let _ = killpg(Pid::from_raw(self.id), Signal::SIGKILL);
        }
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl Process {
    /// Starts `command` (the program and its arguments) with additional environment.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(command: &[String], environment: &BTreeMap<&str, String>, with_stdin: bool) -> io::Result<Self> {
        let (program, arguments) =
            command.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"))?;
        let mut prepared = Command::new(program);
        prepared
            .args(arguments)
            .envs(environment)
            .stdin(if with_stdin { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self::start_prepared(prepared)
    }

    /// Starts what was prepared, with the streams that it was given; those that are piped are kept.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start_prepared(mut command: Command) -> io::Result<Self> {
        let mark = Uuid::new_v4().to_string();
        // Whoever has started this process finds what it leaves behind as well.
        let outer = std::env::var(MARK).map(|outer| outer + MARKS).unwrap_or_default();
        let mut child = command.env(MARK, format!("{outer}{mark}")).process_group(0).kill_on_drop(true).spawn()?;
        // A child that was just started has an id; without one it is gone and so is its group.
        let id = child.id().and_then(|id| i32::try_from(id).ok()).ok_or_else(|| io::Error::other("it has no id"))?;
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).insert(id, mark.clone());
        let group = Group { id, is_ended: false };
        let output = Output::default();
        let readers = [
            tokio::spawn(read_lines(child.stdout.take(), Stream::Stdout, output.clone())),
            tokio::spawn(read_lines(child.stderr.take(), Stream::Stderr, output.clone())),
        ];
        let stdin = child.stdin.take();
        let (exited, exit) = watch::channel(None);
        let waiter = tokio::spawn(async move {
            if let Ok(status) = child.wait().await {
                exited.send_replace(Some(status));
            }
        })
        .abort_handle();
        Ok(Self { group, mark, stdin, output, readers, exit, waiter, is_told: false })
    }

    /// The process id of the module.
    pub fn id(&self) -> i32 {
        self.group.id
    }

    /// What it wrote so far.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Becomes `Some` when the module has ended.
    pub fn exit(&self) -> watch::Receiver<Option<ExitStatus>> {
        self.exit.clone()
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    /// When it does not take it.
    pub async fn write_line(&mut self, line: &str) -> io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or_else(|| io::Error::other("it has no standard input"))?;
        stdin.write_all(line.as_bytes()).await?;
        stdin.write_all(b"\n").await?;
        stdin.flush().await
    }

    /// Asks the module to end, without waiting.
    pub fn terminate(&mut self) {
        self.is_told = true;
        if self.exit.borrow().is_none() {
            let _ = killpg(Pid::from_raw(self.group.id), Signal::SIGTERM);
        }
    }

    /// Ends the module: SIGTERM to its group, then SIGKILL after `grace`, and the same for whatever it left behind.
    pub async fn end(&mut self, grace: Duration) -> Ending {
        if !self.is_told {
            self.terminate();
        }
        drop(self.stdin.take());
        let mut ending = Ending::default();
        if timeout(grace, self.exit.wait_for(Option::is_some)).await.is_err() {
            (ending.ignored_term, ending.killed) = (!grace.is_zero(), true);
            let _ = killpg(Pid::from_raw(self.group.id), Signal::SIGKILL);
            // Nothing survives SIGKILL but a process in an uninterruptible call of the kernel.
            let _ = timeout(UNINTERRUPTIBLE, self.exit.wait_for(Option::is_some)).await;
        }
        ending.status = *self.exit.borrow();
        ending.left_behind = self.end_leftovers().await;
        self.group.is_ended = true;
        let [first, second] = &mut self.readers;
        let _ = timeout(LAST_WORDS, async { tokio::join!(first, second) }).await;
        ending
    }

    /// Ends what the module left behind. A child of its group that got SIGTERM with it may still be on its way out.
    async fn end_leftovers(&self) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + STRAGGLERS;
        let mut left = leftovers(self.group.id, &self.mark);
        while !left.is_empty() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(STRAGGLERS / 20).await;
            left = leftovers(self.group.id, &self.mark);
        }
        let told = left.iter().map(|found| format!("{} {}", found.pid, found.name)).collect();
        // Until nothing is left: a process may breed while its siblings are killed, and one that forks all the time may
        // slip through a look or two.
        let deadline = tokio::time::Instant::now() + UNINTERRUPTIBLE;
        let mut looks = if left.is_empty() { 0 } else { LOOKS };
        while looks > 0 && tokio::time::Instant::now() < deadline {
            left.iter().for_each(Living::kill);
            tokio::task::yield_now().await;
            left = leftovers(self.group.id, &self.mark);
            looks = if left.is_empty() { looks - 1 } else { LOOKS };
        }
        told
    }
}

/// What still lives of a module's group, or bears its mark.
fn leftovers(group: i32, mark: &str) -> Vec<Living> {
    // Each is asked for its mark as soon as it is seen: one that forks all the time is another a moment later.
    let is_left = |found: &Living| found.pid != group && (found.group == group || found.bears(mark));
    let left = living_processes(is_left);
    if left.is_empty() {
        (0..PEEKS).map(|_| newest_processes(is_left)).find(|new| !new.is_empty()).unwrap_or_default()
    } else {
        left
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.waiter.abort();
        for reader in &self.readers {
            reader.abort();
        }
    }
}

struct Living {
    pid: i32,
    group: i32,
    name: String,
}

impl Living {
    /// Kills it with its group: one that forks all the time is another by now, of the same group.
    fn kill(&self) {
        // Gone already is as good.
        let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        if self.group > 1 && Pid::from_raw(self.group) != getpgrp() {
            let _ = killpg(Pid::from_raw(self.group), Signal::SIGKILL);
        }
    }

    fn bears(&self, mark: &str) -> bool {
        let marks = |entry: &[u8]| {
            let marks = entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"=")?;
            std::str::from_utf8(marks).ok().map(|marks| marks.split(MARKS).any(|found| found == mark))
        };
        // Not readable means not ours.
        std::fs::read(format!("/proc/{}/environ", self.pid))
            .is_ok_and(|environment| environment.split(|byte| *byte == 0).find_map(marks) == Some(true))
    }
}

/// Every process of this machine that is wanted; empty where there is no `/proc`.
fn living_processes(is_wanted: impl Fn(&Living) -> bool) -> Vec<Living> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(living).filter(is_wanted).collect()
}

/// Those among the youngest processes that are wanted, newest first. Much quicker than a look at all, and so sees what
/// is another process again before all have been looked at.
fn newest_processes(is_wanted: impl Fn(&Living) -> bool) -> Vec<Living> {
    let Ok(text) = std::fs::read_to_string("/proc/loadavg") else { return Vec::new() };
    let Some(last) = text.split_ascii_whitespace().last().and_then(|pid| pid.parse::<i32>().ok()) else {
        return Vec::new();
    };
    (0..YOUNG).map(|older| last - older).filter_map(living).filter(is_wanted).collect()
}

/// A process that is no zombie.
fn living(pid: i32) -> Option<Living> {
    // `pid (name) state parent group …`; the name may hold spaces and brackets.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    let mut fields = tail.split_ascii_whitespace();
    let state = fields.next()?;
    let group = fields.nth(1)?.parse().ok()?;
    let name = head.split_once('(')?.1.to_owned();
    (!matches!(state, "Z" | "X")).then_some(Living { pid, group, name })
}

async fn read_lines(pipe: Option<impl AsyncRead + Unpin>, stream: Stream, output: Output) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = vec![0; 8192];
    let mut line = Vec::new();
    loop {
        match pipe.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                for byte in &chunk[..length] {
                    match byte {
                        b'\n' => {
                            output.push(stream, &line);
                            line.clear();
                        }
                        // A line without end costs no more than what is kept of it.
                        _ if line.len() <= KEPT_LINE => line.push(*byte),
                        _ => {}
                    }
                }
            }
        }
    }
    if !line.is_empty() {
        output.push(stream, &line);
    }
}

/// What came of a command of the user.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status; `None` if it did not end in time and was killed.
    pub status: Option<ExitStatus>,
    /// What it wrote.
    pub output: Output,
}

/// Runs a command to its end, or kills it.
///
/// # Errors
/// When it cannot be started.
pub async fn run_to_end(
    command: &[String],
    environment: &BTreeMap<&str, String>,
    stdin: &str,
    within: Duration,
) -> io::Result<Finished> {
    let mut process = Process::start(command, environment, true)?;
    let mut exit = process.exit();
    let pipe = process.stdin.take();
    let status = timeout(within, async {
        if let Some(mut pipe) = pipe {
            // A command that does not read its input is in its right.
            let _ = pipe.write_all(stdin.as_bytes()).await;
        }
        exit.wait_for(Option::is_some).await.ok().and_then(|status| *status)
    })
    .await
    .ok()
    .flatten();
    let output = process.output.clone();
    process.end(Duration::ZERO).await;
    Ok(Finished { status, output })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[tokio::test]
    async fn a_panic_of_ours_leaves_no_process() {
        let command = ["sh", "-c", "trap '' TERM; sleep 600 & wait"].map(str::to_owned);
        let process = Process::start(&command, &BTreeMap::new(), false).unwrap();
        let group = process.id();
        let panicked = tokio::spawn(async move {
            let _held = process;
            panic!("on purpose");
        });
        assert!(panicked.await.is_err());
        let gone = timeout(Duration::from_secs(10), async {
            while !living_processes(|living| living.group == group).is_empty() {
                tokio::task::yield_now().await;
            }
        });
        assert!(gone.await.is_ok(), "the group {group} outlived the panic");
    }
}

//! A user's project in a temporary directory, and khumbu run there as a user runs it: the binary, real processes, a
//! deadline on everything.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::{clients, printed};

/// No run of these tests takes this long, also on a busy machine; whatever does, hangs.
pub const DEADLINE: Duration = Duration::from_secs(300);

/// A client that is there.
pub const PASS: &str = "\
description: A client says that it is there.
requirements: [CC-8]
under_test: client
steps:
  - expect: {message: communication_check, payload: true}
";

/// What no conforming client does by itself.
pub const FAIL: &str = "\
description: A client ends the checking by itself.
under_test: client
steps:
  - note: A conforming client does not.
  - expect: {message: communication_check, payload: false, within: 200ms}
";

/// What the simulated EVerest does not do.
pub const ERROR: &str = "\
description: A status comes out of nowhere.
under_test: client
steps:
  - expect: {message: token_validation_status, within: 200ms}
";

/// A client that is told to withdraw.
pub const WITHDRAW: &str = "\
description: A client withdraws.
under_test: client
steps:
  - withdraw: {evse_id: 1, within: 1s}
  - expect_reply: AuthorizationNotFound
";

/// EVerest answers a request.
pub const REPLY: &str = "\
description: EVerest's side answers.
under_test: everest
steps:
  - withdraw: {evse_id: 1}
  - expect_reply: AuthorizationNotFound
";

/// A project.
pub struct Project {
    directory: TempDir,
    mark: String,
}

impl Project {
    /// An empty one.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { directory: TempDir::new().unwrap(), mark: format!("{}-{number}", std::process::id()) }
    }

    /// One with these files.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let project = Self::new();
        for (name, text) in files {
            project.write(name, text);
        }
        project
    }

    /// Writes a file, and the directories above it.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Where a file of the project is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file's text.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Khumbu with these arguments, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_khumbu"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_remove("CI")
            .env("PYTHONPATH", fixture("modules"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env(MARK, &self.mark)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts khumbu.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }

    /// Runs khumbu to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.start(arguments).finish()
    }

    /// `khumbu run … --json -`.
    pub fn play(&self, arguments: &[&str]) -> Ran {
        self.run(&[&["run"], arguments, &["--json", "-"]].concat())
    }

    /// Processes that a run of this project has left behind.
    pub fn left_behind(&self) -> Vec<String> {
        let entry = format!("{MARK}={}", self.mark);
        let has_mark = |process: &Path| {
            std::fs::read(process.join("environ"))
                .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes()))
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|process| process.path());
        processes
            .filter(|process| has_mark(process))
            .filter_map(|process| {
                let command = std::fs::read_to_string(process.join("cmdline")).ok()?.replace('\0', " ");
                Some(format!("{} {command}", process.file_name()?.to_string_lossy()))
            })
            .collect()
    }

    /// Nothing runs any more.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let left = self.left_behind();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

/// The name in the environment that marks a project's processes.
const MARK: &str = "KHUMBU_TEST_PROJECT";

/// A file or directory under `fixtures`.
pub fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).display().to_string()
}

/// The command line of a fixture module in Python; `None` where the packages are not there.
pub fn python_module(name: &str) -> Option<String> {
    Some(format!("{} {}", clients::python()?.display(), fixture(&format!("modules/{name}"))))
}

/// Waits until a condition holds.
#[track_caller]
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Khumbu while it runs.
pub struct Running {
    pub child: Child,
    output: [JoinHandle<Vec<u8>>; 2],
    started: Instant,
}

impl Running {
    /// Starts a command whose output is piped.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let output = [reader(child.stdout.take()), reader(child.stderr.take())];
        Self { child, output, started: Instant::now() }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Ran {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.started.elapsed() > DEADLINE {
                self.child.kill().unwrap();
                let [stdout, stderr] = self.output.map(|reader| text(reader.join().unwrap()));
                panic!("it hangs\n{stdout}\n{stderr}");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = self.started.elapsed();
        let [stdout, stderr] = self.output.map(|reader| text(reader.join().unwrap()));
        [&stdout, &stderr].into_iter().for_each(|text| printed::keep(text));
        Ran { status, stdout, stderr, took }
    }
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).unwrap();
        }
        bytes
    })
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// What came of a run.
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Ran {
    /// It ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.status.code(),
            Some(code),
            "{}\n-- stdout\n{}\n-- stderr\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Standard error has this text.
    #[track_caller]
    pub fn says(self, what: &str) -> Self {
        assert!(self.stderr.contains(what), "no `{what}` in\n{}", self.stderr);
        self
    }

    /// The report on standard output, and nothing else.
    #[track_caller]
    pub fn report(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}\n-- stdout\n{}\n-- stderr\n{}", self.stdout, self.stderr))
    }

    /// The ids of the failures of all scenarios, in order, each once.
    #[track_caller]
    pub fn failures(&self) -> Vec<String> {
        ids(&self.report(), "failures")
    }

    /// The ids of notes and warnings of all scenarios.
    #[track_caller]
    pub fn notes(&self) -> Vec<String> {
        ids(&self.report(), "notes")
    }

    /// The failures are these.
    #[track_caller]
    pub fn fails_with(self, expected: &[&str]) -> Self {
        assert_eq!(self.failures(), expected, "{}", self.stderr);
        self
    }
}

fn ids(report: &Value, key: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for scenario in report["scenarios"].as_array().unwrap() {
        for found in scenario[key].as_array().unwrap() {
            let id = found["id"].as_str().unwrap().to_owned();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    ids
}

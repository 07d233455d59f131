//! Stations of EVerest for tests written in Rust, in process: `khumbu` as a dev-dependency, and no other process.
//!
//! A [`Station`] is a broker on a free port of loopback, with a simulated EVerest behind it, or with khumbu as the client where an
//! EVerest is under test. What is tested connects to it as it would to any broker. [`Station::play`] plays a step of the scenario
//! language as it stands in a file, and [`Station::close`] has everything judged that the module has said meanwhile. It is the same
//! session that `khumbu serve` has, and means what a scenario file means. `examples/display_test.rs` is a whole test.
//!
//! Everything here blocks, and may be called from ordinary tests and from asynchronous ones. An asynchronous test whose client runs on
//! the same thread has to leave it a thread: `#[tokio::test(flavor = "multi_thread")]`.
//!
//! # What is promised
//!
//! This module keeps semantic versioning: within a major version (before 1.0, a minor one) its types and functions stay, and may gain
//! others. So does the scenario language: a step that can be read today means the same tomorrow. What is *judged* may become stricter
//! with any version, as more of the protocol is watched; texts of messages may change, their ids do not. Every other module of this
//! crate is public for those who build on khumbu itself, and promises nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::mpsc;

use serde_json::{Map, Value};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{oneshot, watch};

use crate::diagnostic::{Diagnostic, Severity, Style};
use crate::report::terminal;
use crate::runner::{Closed, Message, Met as Came, Outcome, Session, TooMany, Wanted, outcome};
use crate::scenario;
use crate::verdict::Verdict as Word;

/// Threads that play, for all stations of a process.
const WORKERS: usize = 2;

static RUNTIME: LazyLock<io::Result<Runtime>> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build());

/// Why something came to nothing, in khumbu's own words. Its `Debug` is the same text, so that `unwrap` and a test that returns it
/// show it as it should be read.
pub struct Failure {
    found: Vec<Diagnostic>,
}

impl Failure {
    fn new(id: &'static str, headline: impl Into<String>) -> Self {
        Self { found: vec![Diagnostic::new(Severity::Error, id, headline)] }
    }

    /// The id of the first message, such as `expect/missing`; `khumbu explain` has more of it.
    pub fn id(&self) -> &str {
        self.found.first().map_or("", |found| found.id)
    }

    /// The ids of all messages, in their order.
    pub fn ids(&self) -> Vec<&str> {
        self.found.iter().map(|found| found.id).collect()
    }

    /// The requirement that was broken, such as `WD-2`, if one was.
    pub fn requirement(&self) -> Option<&str> {
        self.found.iter().find_map(|found| found.requirement)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.found.iter().map(|found| found.render(Style::Plain)).collect();
        f.write_str(texts.join("\n").trim_end())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}\n")
    }
}

impl std::error::Error for Failure {}

/// What has met a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Met(Came);

impl Met {
    /// The payloads of the messages that met it, in their order; a text where one is no JSON.
    pub fn payloads(&self) -> Vec<&Value> {
        self.0.messages.iter().map(|Message { payload, .. }| payload).collect()
    }

    /// The topics of these messages.
    pub fn topics(&self) -> Vec<&str> {
        self.0.messages.iter().map(|Message { topic, .. }| topic.as_str()).collect()
    }

    /// What its patterns have captured, by name.
    pub fn captured(&self) -> &BTreeMap<String, Value> {
        &self.0.captured
    }
}

/// How a session ended that broke nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether something could have gone wrong for the module, and did not; else nothing was put to the test.
    pub is_pass: bool,
    /// What khumbu has to say of it; may be empty.
    pub text: String,
    /// All steps as a scenario file, which `khumbu run` plays again.
    pub scenario: String,
}

/// A station that is open. Dropping it closes it, and panics with khumbu's text if something was broken.
pub struct Station {
    session: Option<Session>,
    address: SocketAddr,
}

impl Station {
    /// Opens a station. `head` is the head of a scenario file, its keys besides `steps`, and may say `name`, `module_id`,
    /// `api_version`, `external_prefix`, `release`, `listen`, `ready_within` and `record` as well; it may be empty. A release that
    /// looks like a number stands in quotes: `release: "2025.10"`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(head: &str) -> Result<Self, Failure> {
        let keys: Map<String, Value> = scenario::parse_as("station", head).map_err(|found| Failure { found })?;
        let wanted = Wanted::of_keys(keys).map_err(|why| Failure::new("usage/bad-session", why))?;
        // Nobody interrupts but by ending the process.
        let (_, interrupt) = watch::channel(false);
        let opened = wait(Session::open(wanted, interrupt))?.map_err(|found| Failure { found })?;
        let address = opened.address;
        Ok(Self { session: Some(opened), address })
    }

    /// Where its broker listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The id of the API module, a level of its topics.
    pub fn module_id(&self) -> &str {
        self.session.as_ref().map_or("", |session| &session.topics.module_id)
    }

    /// A topic on which EVerest says something, such as `heartbeat`.
    pub fn e2m(&self, name: &str) -> String {
        self.topic("e2m", name)
    }

    /// A topic that EVerest reads, such as `communication_check`.
    pub fn m2e(&self, name: &str) -> String {
        self.topic("m2e", name)
    }

    fn topic(&self, way: &str, name: &str) -> String {
        let base = self.session.as_ref().map(|session| session.topics.base()).unwrap_or_default();
        format!("{base}/{way}/{name}")
    }

    /// What a module that is started as a process should find in its environment.
    pub fn environment(&self) -> BTreeMap<&'static str, String> {
        self.session.as_ref().map(|session| session.environment.clone()).unwrap_or_default()
    }

    /// Waits until the module under test is ready. The first step does so as well.
    ///
    /// # Errors
    /// When it does not become ready in time.
    pub fn ready(&self) -> Result<(), Failure> {
        self.order(Session::begin).map(drop)
    }

    /// Plays a step, as it stands in a file: `plug_in: {evse: 1}`.
    ///
    /// # Errors
    /// When it makes no sense; when it is not met, which ends the steps, as in a file.
    pub fn play(&self, step: &str) -> Result<Met, Failure> {
        let step: Value = scenario::parse_as("step", step).map_err(|found| Failure { found })?;
        self.order(|session| session.play(step))
    }

    fn order(
        &self,
        order: impl FnOnce(&Session) -> Result<oneshot::Receiver<Outcome>, TooMany>,
    ) -> Result<Met, Failure> {
        let over = || Failure::new("serve/over", "the station plays no more steps: its scenario has ended");
        let session = self.session.as_ref().ok_or_else(over)?;
        match wait(outcome(order(session)))? {
            Ok(Outcome::Met(met)) => Ok(Met(met)),
            Ok(Outcome::Refused(found)) => Err(Failure { found }),
            Ok(Outcome::NotMet(found)) => Err(Failure { found: vec![*found] }),
            Ok(Outcome::Over) => Err(over()),
            Err(TooMany) => Err(Failure::new("serve/too-many", "too many steps wait for their outcome")),
        }
    }

    /// Closes the station, and has everything judged that the module has done since it was opened.
    ///
    /// # Errors
    /// All that it, or a step, did wrong.
    pub fn close(mut self) -> Result<Verdict, Failure> {
        self.end().unwrap_or_else(|| Err(Failure::new("serve/over", "the station was closed before")))
    }

    fn end(&mut self) -> Option<Result<Verdict, Failure>> {
        let session = self.session.take()?;
        Some(wait(session.close()).and_then(|Closed { result, scenario, .. }| {
            let text = terminal::details(&result, Style::Plain).trim().to_owned();
            match result.verdict {
                Word::Fail | Word::Error => Err(Failure { found: result.findings }),
                word => Ok(Verdict { is_pass: word == Word::Pass, text, scenario }),
            }
        }))
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        if let Some(Err(failure)) = self.end()
            && !std::thread::panicking()
        {
            panic!("{failure}");
        }
    }
}

/// Waits for something that the threads of all stations do. Not `block_on`, which an asynchronous test may not call.
fn wait<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Failure> {
    let broken = |why: String| Failure { found: vec![Diagnostic::broken(&why)] };
    let runtime = RUNTIME.as_ref().map_err(|error| broken(error.to_string()))?;
    let (done, is_done) = mpsc::channel();
    // Whoever waits is there until it is done.
    runtime.spawn(async move { drop(done.send(work.await)) });
    is_done.recv().map_err(|_| broken("a thread of it has panicked".to_owned()))
}

//! What khumbu printed in the tests, held against what the book shows.
//!
//! Where `KHUMBU_PRINTED` names a directory, each process of tests appends to one file there every message that a khumbu printed
//! to it, with the name of the test. `every_example_is_what_khumbu_prints` reads them all, and so runs by itself after the others,
//! as the last step of `ci/test`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{LazyLock, Mutex};

use khumbu::diagnostic::{Diagnostic, Style, catalogue};
use regex::Regex;
use serde::{Deserialize, Serialize};

/// Names the directory of what was printed.
const DIRECTORY: &str = "KHUMBU_PRINTED";
/// Ids of messages, or their beginnings, separated by blanks: only their examples are looked at.
const ONLY: &str = "KHUMBU_EXAMPLES";
/// The most that one process keeps; all tests together print a twentieth of it.
const BYTES: usize = 16 << 20;

/// Messages that not every machine gets to see, and why. Printed otherwise than the example, they fail like all others.
const MAY_STAY_OUT: [(&str, &str); 1] =
    [("module/flood", "a machine that judges fast enough, or a module that is slow, has no flood")];

/// What a pattern of a page matches: white space is as good as other white space, and `…` is anything.
pub fn expected(text: &str) -> Regex {
    let parts = text.split('…').map(|part| {
        let words: Vec<_> = part.split_whitespace().map(regex::escape).collect();
        // A number that is left out must not end within another one.
        let first = if part.starts_with(char::is_whitespace) { r"(?:^|\s+)" } else { "" };
        let last = if part.ends_with(char::is_whitespace) { r"(?:\s+|$)" } else { "" };
        format!("{first}{}{last}", words.join(r"\s+"))
    });
    let whole = parts.collect::<Vec<_>>().join("(?s:.*?)");
    Regex::new(&format!(r"^\s*{whole}\s*$")).unwrap()
}

/// What differs from run to run has the same name in all.
pub fn settled(text: &str) -> String {
    static CHANGES: LazyLock<[(Regex, &str); 10]> = LazyLock::new(|| {
        [
            (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UUID"),
            (r"\b[0-9a-f]{32}\b", "ID"),
            (r"127\.0\.0\.1:\d+", "ADDRESS"),
            (r"\b\d+(\.\d+)?m?s\b", "TIME"),
            (r"\bpid \d+", "pid N"),
            // The book has names of its own for files; what stands there is compared.
            (r"--> \S+:(\d+:\d+)", "--> FILE:$1"),
            (r"\bshown \d+, did \d+", "shown N, did N"),
            (r"its last 20 of \d+ lines", "its last 20 of N lines"),
            // A busy machine may keep a requirement from being judged, or have a check that stays out count for another one.
            (r"\b[1-9]\d* broken, \d+ met, \d+ not exercised, \d+ not applicable", "some broken, N met"),
            (r"\b\d\d met, \d+ not exercised", "N met, N not exercised"),
        ]
        .map(|(what, name)| (Regex::new(what).unwrap(), name))
    });
    CHANGES.iter().fold(text.to_owned(), |text, (what, name)| what.replace_all(&text, *name).into_owned())
}

/// A line of the file: what a test has had printed, or why it was skipped.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Note {
    test: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    skipped: String,
}

/// What this process of tests keeps.
struct Kept {
    file: File,
    seen: HashSet<String>,
    bytes: usize,
}

impl Kept {
    fn open(directory: &Path) -> Self {
        fs::create_dir_all(directory).unwrap();
        let path = directory.join(format!("{}.jsonl", std::process::id()));
        let file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        Self { file, seen: HashSet::new(), bytes: 0 }
    }

    fn add(&mut self, note: &Note) {
        let line = serde_json::to_string(note).unwrap();
        // A message counts once, whoever had it printed; each test that was skipped does.
        if !self.seen.insert(if note.message.is_empty() { line.clone() } else { note.message.clone() }) {
            return;
        }
        self.bytes += line.len();
        assert!(self.bytes <= BYTES, "the tests print more than {BYTES} bytes of messages that differ");
        writeln!(self.file, "{line}").unwrap();
    }
}

fn note(message: &str, skipped: &str) {
    static KEPT: LazyLock<Option<Mutex<Kept>>> =
        LazyLock::new(|| std::env::var_os(DIRECTORY).map(|it| Mutex::new(Kept::open(Path::new(&it)))));
    let Some(kept) = KEPT.as_ref() else { return };
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let note = Note { test, message: message.to_owned(), skipped: skipped.to_owned() };
    kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add(&note);
}

/// Keeps the messages in what a khumbu has printed.
pub fn keep(text: &str) {
    messages(text).iter().for_each(|message| note(message, ""));
}

/// This test says nothing of the messages that it would have provoked.
pub fn skipped(why: &str) {
    note("", why);
}

/// Runs a khumbu to its end.
pub fn output(command: &mut Command) -> io::Result<Output> {
    let output = command.output()?;
    keep(&String::from_utf8_lossy(&output.stdout));
    keep(&String::from_utf8_lossy(&output.stderr));
    Ok(output)
}

/// Diagnostics as khumbu prints them.
pub fn told<'a>(found: impl IntoIterator<Item = &'a Diagnostic>) -> Vec<String> {
    let texts: Vec<_> = found.into_iter().map(|found| found.render(Style::Plain)).collect();
    texts.iter().for_each(|text| keep(text));
    texts
}

/// The id of the message that begins with this line.
fn id(line: &str) -> Option<&str> {
    let (word, rest) = line.split_once('[')?;
    let (id, _) = rest.split_once("]: ")?;
    let is_word = ["error", "fail", "inconclusive", "note", "warning"].contains(&word);
    (is_word && id.split_once('/').is_some_and(|(room, what)| !room.is_empty() && !what.is_empty())).then_some(id)
}

/// The messages in a text: those at the margin, so that `khumbu explain`, which shows examples, prints none.
fn messages(text: &str) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in text.lines() {
        // A place, a piece of the file, a piece of evidence or what goes on with it; a report may have more below.
        let text = line.trim_start();
        let is_deep = line.len() - text.len() > 3;
        let is_numbered = text.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(" |");
        // What the module printed says nothing of the message.
        let is_output = text.starts_with("= output of the module");
        let is_more = !is_output
            && (is_deep
                || is_numbered
                || ["= ", "--> ", "| "].iter().any(|sign| text.starts_with(sign))
                || text == "|");
        if id(line).is_some() {
            messages.push(format!("{line}\n"));
            is_open = true;
        } else if is_open && is_more {
            messages.last_mut().unwrap().extend([line, "\n"]);
        } else {
            is_open = false;
        }
    }
    messages
}

/// What became of an example.
#[derive(Debug, PartialEq)]
enum Example {
    Printed,
    /// Only a test that was skipped prints it, or not every machine; why that is.
    Skipped(String),
    /// Nobody printed it; what was printed that comes nearest, if khumbu has said anything by this id.
    Drifted(Option<Note>),
}

/// What was printed, and what was skipped.
#[derive(Default)]
struct Printed {
    by_id: BTreeMap<String, Vec<Note>>,
    skipped: Vec<Note>,
}

impl Printed {
    fn read(directory: &Path) -> Self {
        let files = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        let mut printed = Self::default();
        for path in paths {
            for line in fs::read_to_string(&path).unwrap().lines() {
                let note = serde_json::from_str(line);
                printed.add(note.unwrap_or_else(|error| panic!("{}: {error}: {line}", path.display())));
            }
        }
        printed
    }

    fn add(&mut self, note: Note) {
        match id(note.message.lines().next().unwrap_or_default()) {
            Some(id) => self.by_id.entry(id.to_owned()).or_default().push(note),
            None => self.skipped.push(note),
        }
    }

    /// What became of the example of this id; `names` says whether a file of tests names it.
    fn example(&self, id: &str, shown: &str, names: fn(&str, &str) -> bool) -> Example {
        let printed = self.by_id.get(id).map(Vec::as_slice).unwrap_or_default();
        let pattern = expected(&settled(shown));
        if printed.iter().any(|note| pattern.is_match(&settled(&note.message))) {
            return Example::Printed;
        }
        let file = |note: &Note| note.test.split("::").next().unwrap_or_default().to_owned();
        if let Some((_, why)) = MAY_STAY_OUT.iter().find(|(it, _)| *it == id) {
            return Example::Skipped((*why).to_owned());
        }
        if let Some(skipped) = self.skipped.iter().find(|note| names(&file(note), id)) {
            return Example::Skipped(format!("{}: {}", skipped.test, skipped.skipped));
        }
        let likeness = |note: &Note| {
            let ratio = similar::TextDiff::from_words(shown, &note.message).ratio();
            (f64::from(ratio) * 1000.0).round() as u64
        };
        Example::Drifted(printed.iter().max_by_key(|note| likeness(note)).cloned())
    }
}

/// Whether a file of the suite names an id.
fn names(file: &str, id: &str) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/suite/{file}.rs"));
    let text = fs::read_to_string(path).unwrap_or_default();
    text.contains(&format!("\"{id}\"")) || text.contains(&format!("[{id}]"))
}

#[test]
#[ignore = "reads what the other tests had printed; the last step of ci/test"]
fn every_example_is_what_khumbu_prints() {
    let directory = std::env::var_os(DIRECTORY).unwrap_or_else(|| panic!("{DIRECTORY} names no directory"));
    let only = std::env::var(ONLY).unwrap_or_default();
    let only: Vec<_> = only.split_whitespace().collect();
    let entries = catalogue::entries().filter(|it| only.is_empty() || only.iter().any(|id| it.id.starts_with(id)));
    let printed = Printed::read(Path::new(&directory));
    let (mut seen, mut wrong) = (BTreeSet::new(), String::new());
    for entry in entries {
        match printed.example(entry.id, entry.example(), names) {
            Example::Printed => {}
            Example::Skipped(why) => println!("skipped: the example of {}: {why}", entry.id),
            Example::Drifted(None) => {
                let _ = writeln!(wrong, "## {}: no test had it printed\n", entry.id);
            }
            Example::Drifted(Some(Note { test, message, .. })) => {
                let _ = writeln!(
                    wrong,
                    "## {}: the example is\n\n{}\nand the nearest that was printed, in {test}, is\n\n{message}",
                    entry.id,
                    entry.example()
                );
            }
        }
        seen.insert(entry.id);
    }
    assert!(!seen.is_empty(), "no message is called {only:?}");
    assert!(wrong.is_empty(), "docs/messages.md shows what khumbu does not print\n\n{wrong}");
}

/// What is left out fits everything.
#[test]
fn no_example_leaves_out_what_happened() {
    for entry in catalogue::entries() {
        let (_, headline) = entry.example().lines().next().unwrap().split_once("]: ").unwrap();
        let words = headline.split_whitespace().filter(|word| !word.contains('…')).count();
        assert!(words > 1, "{}: {headline}", entry.id);
    }
}

#[test]
fn messages_are_taken_out_of_what_was_printed() {
    let text = "\
fail          f.yaml  667ms

fail[a/b]: one
 --> f.yaml:5:13
  |
5 |   - expect:
  |     ^
  = so
    and so
  = output of the module:
    | ready

`khumbu explain a/b` says more
note[c/d]: two
error[c/d]: three
  = x
  = that is not[e/f]: one
error[]: nor
error: nor
";
    let found = messages(text);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].starts_with("fail[a/b]: one\n") && found[0].ends_with("  |     ^\n  = so\n    and so\n"),
        "{}",
        found[0]
    );
    assert_eq!(found[1], "note[c/d]: two\n");
    assert_eq!(found[2], "error[c/d]: three\n  = x\n  = that is not[e/f]: one\n");
    assert_eq!(messages(&catalogue::find("run/timeout").unwrap().plain(100)), Vec::<String>::new());
}

#[test]
fn an_example_that_nobody_printed_is_found() {
    let mut printed = Printed::default();
    let said = |test: &str, message: &str| Note { test: test.into(), message: message.into(), skipped: String::new() };
    let long = said("runs::long", "fail[a/b]: it sent `2` after 30ms\n  = pid 77 at 127.0.0.1:4000\n  = help: x\n");
    printed.add(long.clone());
    printed.add(said("runs::short", "fail[a/b]: it sent nothing\n"));
    printed.add(Note { test: "tools::all".into(), message: String::new(), skipped: "no cc".into() });
    fn names(file: &str, id: &str) -> bool {
        (file, id) == ("tools", "c/d")
    }
    for shown in [
        "fail[a/b]: it sent `2` after 1.5s\n  = pid 1 at 127.0.0.1:1\n  = help: x\n",
        "fail[a/b]: it sent `2` after 1s\n  …\n  = help: x\n",
        "fail[a/b]: it sent `…` after 1s\n  = pid 1 …\n",
        "fail[a/b]: it sent nothing\n",
    ] {
        assert_eq!(printed.example("a/b", shown, names), Example::Printed, "{shown}");
    }
    // Another value, a line too many, one that is missing, and no line that says so.
    for shown in [
        "fail[a/b]: it sent `3` after 30ms\n  = pid 77 at 127.0.0.1:4000\n  = help: x\n",
        "fail[a/b]: it sent `2` after 30ms\n  = pid 77 at 127.0.0.1:4000\n  = help: x\n  = y\n",
        "fail[a/b]: it sent `2` after 30ms\n  = help: x\n",
        "fail[a/b]: it sent `2` after 30ms\n  = pid 77 at 127.0.0.1:4000\n",
    ] {
        assert_eq!(printed.example("a/b", shown, names), Example::Drifted(Some(long.clone())), "{shown}");
    }
    assert_eq!(printed.example("c/d", "fail[c/d]: x\n", names), Example::Skipped("tools::all: no cc".into()));
    assert!(matches!(printed.example("module/flood", "fail[module/flood]: x\n", names), Example::Skipped(_)));
    assert_eq!(printed.example("e/f", "fail[e/f]: x\n", names), Example::Drifted(None));
}

#[test]
fn a_session_that_prints_something_else_is_found() {
    for (shown, printed, is_so) in [
        ("pass  a.yaml  2.2s  shown 5, did 2\n", "pass          a.yaml  13ms  shown 4, did 3\n", true),
        ("pass  a.yaml\n", "fail  a.yaml\n", false),
        ("pass\n", "pass\nmore\n", false),
        ("…\n0 broken, …\n", "HB-1 met\n0 broken, 3 met\n", true),
        ("…\n0 broken, …\n", "HB-1 met\n10 broken, 3 met\n", false),
    ] {
        assert_eq!(expected(&settled(shown)).is_match(&settled(printed)), is_so, "{shown} {printed}");
    }
}

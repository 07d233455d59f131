//! The targets of `tests/targets`, briefly: the files in `fixtures/corpus`, and bytes that are made of these.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestError, TestRunner};

use crate::targets::ALL;

/// How many inputs are made for a target.
const CASES: u32 = 150;

/// One change of an input.
#[derive(Debug, Clone)]
enum Edit {
    Set(Index, u8),
    Cut(Index, usize),
    Repeat(Index, usize),
    /// So much of another file, from there.
    Splice(Index, Index, Index, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"\0\x01\x7f\x80\xff{}[]\",:-0 \n".to_vec())];
    let at = any::<Index>;
    prop_oneof![
        3 => (at(), byte).prop_map(|(at, byte)| Edit::Set(at, byte)),
        1 => (at(), 1..20_usize).prop_map(|(at, length)| Edit::Cut(at, length)),
        1 => (at(), 1..60_usize).prop_map(|(at, length)| Edit::Repeat(at, length)),
        2 => (at(), at(), at(), 1..60_usize).prop_map(|(at, file, from, length)| Edit::Splice(at, file, from, length)),
    ]
}

fn edited(corpus: &[Vec<u8>], first: &Index, edits: &[Edit]) -> Vec<u8> {
    let mut bytes = first.get(corpus).clone();
    let end = |from: usize, length: usize, whole: usize| (from + length).min(whole);
    for edit in edits {
        let size = bytes.len();
        match edit {
            Edit::Set(at, byte) if size > 0 => bytes[at.index(size)] = *byte,
            Edit::Cut(at, length) if size > 0 => {
                let from = at.index(size);
                bytes.drain(from..end(from, *length, size));
            }
            Edit::Repeat(at, length) if size > 0 => {
                let from = at.index(size);
                let again = bytes[from..end(from, *length, size)].to_vec();
                bytes.splice(from..from, again);
            }
            Edit::Splice(at, file, from, length) => {
                let other = file.get(corpus);
                let from = from.index(other.len().max(1));
                let piece = other[from.min(other.len())..end(from, *length, other.len())].to_vec();
                let at = at.index(size + 1);
                bytes.splice(at..at, piece);
            }
            _ => {}
        }
    }
    bytes
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpus")
}

/// The files of a target.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(folder().join(name)).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn holds(name: &&str) {
    let target = ALL.iter().find(|target| target.name == *name).unwrap();
    let corpus = corpus(name);
    corpus.iter().for_each(|bytes| (target.run)(bytes));
    let inputs = (any::<Index>(), prop::collection::vec(edit(), 1..6));
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&inputs, |(first, edits)| {
        (target.run)(&edited(&corpus, &first, &edits));
        Ok(())
    });
    if let Err(TestError::Fail(why, (first, edits))) = outcome {
        let input = edited(&corpus, &first, &edits);
        panic!("{why}\nthe input, as a file of fixtures/corpus/{name}: {}", input.escape_ascii());
    }
}

rows! {
    holds(& &'static str):
    gateway: "gateway",
    mqtt: "mqtt",
    ocpp: "ocpp",
    payload: "payload",
    recording: "recording",
    scenario: "scenario",
}

#[test]
fn every_target_is_run_and_has_a_corpus() {
    let targets: Vec<_> = ALL.iter().map(|target| target.name).collect();
    assert_eq!(ROWS, targets);
    let folders = fs::read_dir(folder()).unwrap().map(|folder| folder.unwrap().file_name().into_string().unwrap());
    let mut folders: Vec<_> = folders.collect();
    folders.sort();
    assert_eq!(folders, targets);
}

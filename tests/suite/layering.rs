//! The rules of the source tree, held by reading it: ranks, purity, size, and a test for every message.
//!
//! The table of ranks is the one in the documentation of `src/lib.rs`; there is no second one.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use khumbu::diagnostic::catalogue;
use regex::Regex;

/// No file of code is longer.
const LINES: usize = 650;
/// Modules up to this rank are pure.
const PURE_UP_TO: u32 = 5;
/// Except this one, whose business is sockets.
const IMPURE: &str = "broker";
/// And these are pure though they stand higher.
const PURE_TOO: [&str; 5] = ["author", "editor", "fuzz", "report", "suite"];
/// What a pure module may not name: input and output, threads, clocks, randomness, maps without order.
const FORBIDDEN_IN_PURE: [&str; 14] = [
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::thread",
    "std::io",
    "tokio",
    "uuid",
    "rumqttc",
    "Instant",
    "SystemTime",
    "HashMap",
    "HashSet",
    "RandomState",
];
/// What no code may contain: loose ends, and waiting for time instead of a condition.
const FORBIDDEN: [&str; 4] = ["todo!", "unimplemented!", "dbg!", "thread::sleep"];
/// The subjects of diagnostics, the part of an id before its slash.
const AREAS: [&str; 19] = [
    "asyncapi",
    "broker",
    "config",
    "expect",
    "file",
    "fuzz",
    "golden",
    "harness",
    "known-failure",
    "lsp",
    "module",
    "monitor",
    "recording",
    "release",
    "run",
    "scenario",
    "serve",
    "sim",
    "usage",
];

/// Who may name channels of the auth APIs: what is their behaviour, file by file. Everybody else reads the descriptions.
const BEHAVIOUR: [&str; 33] = [
    // The APIs, what EVerest makes of their messages, and the words that its internals share with them.
    "protocol/auth_apis.rs",
    "protocol/control.rs",
    "protocol/deviations.rs",
    "protocol/drift/reasons.rs",
    "station/machine.rs",
    "station/messages.rs",
    // What a recording shows of Auth and its clients, as steps.
    "author/reading.rs",
    "author/weave.rs",
    "author/write.rs",
    // Who plays the side of Auth or of its clients, and asks Auth whether it is ready.
    "fuzz/case.rs",
    "fuzz/case/steps.rs",
    "fuzz/input.rs",
    "fuzz/model.rs",
    "fuzz/model/offers.rs",
    "fuzz/model/possible.rs",
    "fuzz/strategies.rs",
    "runner/probe.rs",
    "sim/bugs/client.rs",
    "sim/bugs/everest.rs",
    "sim/bugs/everest_auth.rs",
    "sim/everest.rs",
    "sim/player.rs",
    // Steps about tokens and their statuses, and what such a status may need.
    "scenario/features.rs",
    "scenario/step.rs",
    // The requirements of these APIs, and who watches for them.
    "conformance/monitors/api_module.rs",
    "conformance/monitors/shape.rs",
    "conformance/occasions.rs",
    "conformance/requirements.rs",
    "conformance/survived.rs",
    // What a client asks for of its own accord, and changes what EVerest does.
    "conformance/judge/unasked.rs",
    // What a recording shows of Auth and its clients.
    "parity/roles.rs",
    "parity/script.rs",
    // A client that users begin with, and no part of khumbu.
    "cli/new/clients/auth_consumer.rs",
];

/// Strings and characters, the only places where a comment does not begin a comment.
const TEXT: &str = r##"r#".*?"#|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)'|'\\u\{[0-9a-fA-F]+\}'"##;

static TEXTS: LazyLock<Regex> = LazyLock::new(|| Regex::new(&format!("(?s){TEXT}")).unwrap());
static TEXTS_AND_COMMENTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!(r"(?s){TEXT}|//[^\n]*|/\*.*?\*/")).unwrap());
/// Where the tests of a file begin, if they are in it.
static TESTS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"#\[cfg\(test\)\]\n(?:#\[[^\n]+\n)*mod \w+ \{").unwrap());
static USES: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?s)\buse\s+([^;]+);").unwrap());
static PATHS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b\w+(?:::\w+)*").unwrap());

type Ranks = BTreeMap<String, u32>;

/// A file of `src/`, split into what is compiled into the product and what only tests it.
struct File {
    path: String,
    /// The module at the top; empty for `lib.rs` and `main.rs`.
    module: String,
    /// How many `super` lead from here to the crate.
    depth: usize,
    code: String,
    tests: String,
    lines: usize,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        let inner = path.strip_prefix("src/").unwrap().strip_suffix(".rs").unwrap();
        let mut names: Vec<&str> = inner.split('/').collect();
        if names.last() == Some(&"mod") {
            names.pop();
        }
        let is_root = names == ["lib"] || names == ["main"];
        let is_test = names.last().is_some_and(|name| name.ends_with("tests")) || names.contains(&"tests");
        let begin = if is_test { 0 } else { TESTS.find(text).map_or(text.len(), |found| found.start()) };
        let (code, tests) = text.split_at(begin);
        Self {
            path: path.to_owned(),
            module: if is_root { String::new() } else { names[0].to_owned() },
            depth: names.len(),
            code: without_comments(code),
            tests: tests.to_owned(),
            lines: text.lines().count(),
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn source() -> Vec<File> {
    let paths = files_below(&root().join("src")).into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let name = |path: &Path| path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
    let files: Vec<File> = paths.map(|path| File::new(&name(&path), &fs::read_to_string(&path).unwrap())).collect();
    assert!(files.len() > 20, "the source is not where it should be");
    files
}

/// The text without comments; strings stay.
fn without_comments(text: &str) -> String {
    let keep = |found: &regex::Captures<'_>| {
        if found[0].starts_with('/') { String::new() } else { found[0].to_owned() }
    };
    TEXTS_AND_COMMENTS.replace_all(text, keep).into_owned()
}

/// The text without the content of its strings.
fn without_strings(code: &str) -> String {
    TEXTS.replace_all(code, "\"\"").into_owned()
}

/// The table of `lib.rs`: rows such as ``//! | 1 | [`auth`], [`transcript`] |``.
fn ranks(lib: &str) -> Ranks {
    let row = Regex::new(r"(?m)^//! \| (\d+) \| (.*) \|$").unwrap();
    let name = Regex::new(r"\[`(\w+)`\]").unwrap();
    let mut ranks = Ranks::new();
    for row in row.captures_iter(lib) {
        for name in name.captures_iter(&row[2]) {
            ranks.insert(name[1].to_owned(), row[1].parse().unwrap());
        }
    }
    ranks
}

/// The paths that a `use` tree names: `a::{b, c::{d, e}}` are `a::b`, `a::c::d`, `a::c::e`.
fn expanded(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, group)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let group = group.strip_suffix('}').unwrap_or(group);
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = group[start..at].trim();
                if !part.is_empty() {
                    found.extend(expanded(part).into_iter().map(|path| format!("{}{path}", before.trim())));
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// Every path in the code: those of `use`, and those written where they are used.
fn paths(code: &str) -> Vec<String> {
    let code = without_strings(code);
    let mut found: Vec<String> = USES
        .captures_iter(&code)
        .flat_map(|tree| expanded(&tree[1].split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    let rest = USES.replace_all(&code, "");
    found.extend(PATHS.find_iter(&rest).map(|path| path.as_str().to_owned()));
    found
}

/// The modules at the top that a file names, by `crate::` or by climbing with `super::`.
fn imports(file: &File, ranks: &Ranks) -> BTreeSet<String> {
    let climb = "super::".repeat(file.depth);
    let from_crate = |path: &String| {
        let rest = path.strip_prefix("crate::").or_else(|| path.strip_prefix(&climb))?;
        let name = rest.split("::").next()?;
        (ranks.contains_key(name) && name != file.module).then(|| name.to_owned())
    };
    paths(&file.code).iter().filter_map(from_crate).collect()
}

fn rank_violations(files: &[File], ranks: &Ranks) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !file.module.is_empty()) {
        let Some(rank) = ranks.get(&file.module) else {
            found.push(format!("{}: module `{}` has no rank in src/lib.rs", file.path, file.module));
            continue;
        };
        for name in imports(file, ranks) {
            if ranks[&name] >= *rank {
                let higher = ranks[&name];
                found.push(format!("{} (rank {rank}) imports `{name}` (rank {higher})", file.path));
            }
        }
    }
    found
}

fn purity_violations(files: &[File], ranks: &Ranks) -> Vec<String> {
    let is_pure = |file: &&File| {
        let low = ranks.get(&file.module).is_some_and(|rank| *rank <= PURE_UP_TO) && file.module != IMPURE;
        low || PURE_TOO.contains(&file.module.as_str())
    };
    let printing = Regex::new(r"\be?print(?:ln)?!|\brand\b|\bstd(?:out|err)\(\)").unwrap();
    let mut found = Vec::new();
    for file in files.iter().filter(is_pure) {
        for path in paths(&file.code) {
            let names = |word: &&&str| {
                let word = **word;
                path == word
                    || path.starts_with(&format!("{word}::"))
                    || path.ends_with(&format!("::{word}"))
                    || path.contains(&format!("::{word}::"))
            };
            if let Some(word) = FORBIDDEN_IN_PURE.iter().find(names) {
                found.push(format!("{}: `{path}`, but a pure module may not name `{word}`", file.path));
            }
        }
        if let Some(word) = printing.find(&without_strings(&file.code)) {
            found.push(format!("{}: `{}` in a pure module", file.path, word.as_str()));
        }
    }
    found
}

/// Ids of diagnostics in a file, and those whose area nobody knows.
fn diagnostic_ids(code: &str) -> (BTreeSet<String>, Vec<String>) {
    let literal = Regex::new(r#"["\[]([a-z]+(?:-[a-z]+)*)/[a-z0-9]+(?:-[a-z0-9]+)*["\]]"#).unwrap();
    let ids = literal.captures_iter(code).filter(|id| AREAS.contains(&&id[1]));
    let new = Regex::new(r#"Diagnostic::new\(\s*[\w:]+,\s*"([^"/]*)([^"]*)""#).unwrap();
    let unknown = new.captures_iter(code).filter(|id| !AREAS.contains(&&id[1]));
    (
        ids.map(|id| id[0][1..id[0].len() - 1].to_owned()).collect(),
        unknown.map(|id| format!("{}{}", &id[1], &id[2])).collect(),
    )
}

#[track_caller]
fn none(violations: &[String]) {
    assert!(violations.is_empty(), "\n  {}\n", violations.join("\n  "));
}

fn table() -> Ranks {
    ranks(&fs::read_to_string(root().join("src/lib.rs")).unwrap())
}

#[test]
fn every_module_has_a_rank_and_imports_lower_ones_only() {
    let ranks = table();
    assert!(ranks.len() >= 14 && ranks["diagnostic"] == 0 && ranks["cli"] > ranks["runner"], "{ranks:?}");
    none(&rank_violations(&source(), &ranks));
}

#[test]
fn pure_modules_are_pure() {
    none(&purity_violations(&source(), &table()));
}

/// The names of the channels that a description of an auth API has of its own.
fn auth_channels() -> BTreeSet<String> {
    let channel = Regex::new(r"(?m)^  (\w+):$").unwrap();
    let mut found = BTreeSet::new();
    for path in files_below(&root().join("src/protocol/apis")) {
        if path.file_name().unwrap().to_str().unwrap().starts_with("auth_") {
            let text = fs::read_to_string(&path).unwrap();
            let (channels, _) = text.split_once("\ntypes:").unwrap_or((&text, ""));
            found.extend(channel.captures_iter(channels).map(|name| name[1].to_owned()));
        }
    }
    assert!(found.len() > 5, "the descriptions are not where they should be");
    found
}

#[test]
fn channels_of_the_auth_apis_stand_in_descriptions_and_in_behaviour_only() {
    let names: Vec<String> = auth_channels().into_iter().collect();
    let constant = Regex::new(&format!(r"\bChannel::({})\b", names.join("|").to_uppercase())).unwrap();
    let word = Regex::new(&format!(r"\b({})\b", names.join("|"))).unwrap();
    let is_naming = |file: &&File| {
        constant.is_match(&file.code) || TEXTS.find_iter(&file.code).any(|text| word.is_match(text.as_str()))
    };
    let files = source();
    let naming = files.iter().filter(is_naming).map(|file| file.path.strip_prefix("src/").unwrap());
    let naming: BTreeSet<&str> = naming.collect();
    let known = BTreeSet::from(BEHAVIOUR);
    none(&naming.difference(&known).map(|path| format!("{path} names a channel")).collect::<Vec<_>>());
    none(&known.difference(&naming).map(|path| format!("{path} names none any more")).collect::<Vec<_>>());
}

/// The files of a module at the top, by their path below it; which others of them each one names. The module itself, of
/// which all are parts, does not count.
fn sisters(files: &[File], module: &str) -> BTreeMap<String, BTreeSet<String>> {
    let below = |file: &File| {
        let inner = file.path.strip_prefix("src/")?.strip_suffix(".rs")?.strip_prefix(module)?;
        Some(inner.trim_start_matches('/').trim_end_matches("mod").trim_end_matches('/').replace('/', "::"))
    };
    let names: BTreeMap<String, &File> =
        files.iter().filter(|file| file.module == module).filter_map(|file| Some((below(file)?, file))).collect();
    let named = |own: &str, path: &str| {
        let climbed = path.split("::").take_while(|part| *part == "super").count();
        let mut at: Vec<&str> = own.split("::").collect();
        at.truncate(at.len().checked_sub(climbed)?);
        let rest = path.strip_prefix(&format!("crate::{module}::")).map(|rest| (Vec::new(), rest));
        let (mut at, rest) = rest.or_else(|| (climbed > 0).then_some((at, path.get(climbed * 7..)?)))?;
        at.extend(rest.split("::"));
        let known = (1..=at.len()).rev().map(|length| at[..length].join("::")).find(|name| names.contains_key(name));
        known.filter(|name| name != own)
    };
    let edges = |(own, file): (&String, &&File)| {
        let others = paths(&file.code).iter().filter_map(|path| named(own, path)).collect();
        (own.clone(), others)
    };
    names.iter().filter(|(own, _)| !own.is_empty()).map(edges).collect()
}

/// Those that import each other in a circle, or lead into one and out of another.
fn in_circles(mut edges: BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    loop {
        let named: BTreeSet<String> = edges.values().flatten().cloned().collect();
        let is_in = |name: &str, others: &BTreeSet<String>| named.contains(name) && !others.is_empty();
        let count = edges.len();
        edges.retain(|name, others| is_in(name, others));
        let left: BTreeSet<String> = edges.keys().cloned().collect();
        edges.values_mut().for_each(|others| others.retain(|other| left.contains(other)));
        if edges.len() == count {
            return edges.iter().map(|(name, others)| format!("{name} imports {others:?}")).collect();
        }
    }
}

#[test]
fn files_of_the_runner_import_each_other_in_no_circle() {
    let edges = sisters(&source(), "runner");
    assert!(
        edges.len() > 30 && edges["play"].contains("stage") && edges["replay::wire"].contains("replay"),
        "{edges:?}"
    );
    none(&in_circles(edges));
}

#[test]
fn a_circle_is_found_and_what_leads_to_it_is_not() {
    let edge = |(name, others): (&str, &[&str])| (name.to_owned(), others.iter().map(|it| (*it).to_owned()).collect());
    let edges = [("a", &["b"][..]), ("b", &["c"]), ("c", &["b", "d"]), ("d", &[])].map(edge);
    assert_eq!(in_circles(edges.into()), [r#"b imports {"c"}"#, r#"c imports {"b"}"#]);
}

#[test]
fn no_file_is_too_long() {
    let long = source().into_iter().filter(|file| file.lines > LINES);
    none(&long.map(|file| format!("{} has {} lines, at most {LINES}", file.path, file.lines)).collect::<Vec<_>>());
}

#[test]
fn there_are_no_loose_ends() {
    let mut found = Vec::new();
    for file in source() {
        let code = without_strings(&file.code);
        for word in FORBIDDEN {
            let written = Regex::new(&format!(r"\b{}", regex::escape(word))).unwrap();
            if written.is_match(&code) {
                found.push(format!("{}: `{word}`", file.path));
            }
        }
    }
    none(&found);
}

/// Nobody would run it: the library is built without doctests, which cost another pass of the compiler.
#[test]
fn documentation_has_no_code() {
    let code = Regex::new(r"(?m)^\s*//[/!](?: {5}|\s*(?:```|~~~))").unwrap();
    assert!(code.is_match("    /// ```") && code.is_match("//!     let code = 1;") && !code.is_match("/// - A `list`"));
    let files = files_below(&root().join("src")).into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let with_code = files.filter(|path| code.is_match(&fs::read_to_string(path).unwrap()));
    none(&with_code.map(|path| format!("{} has code in its documentation", path.display())).collect::<Vec<_>>());
}

#[test]
fn every_diagnostic_is_provoked_by_a_test() {
    let files = source();
    let mut tested: String = files.iter().map(|file| file.tests.as_str()).collect();
    for directory in ["tests", "fixtures", "ci"] {
        for path in files_below(&root().join(directory)) {
            if !path.ends_with("layering.rs") {
                tested.push_str(&fs::read_to_string(&path).unwrap_or_default());
            }
        }
    }
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for file in &files {
        let (ids, unknown) = diagnostic_ids(&file.code);
        found.extend(unknown.into_iter().map(|id| format!("{}: `{id}` has an area that is not in AREAS", file.path)));
        let untested = ids.iter().filter(|id| !mentions(&tested, id));
        found.extend(untested.map(|id| format!("{}: no test and no fixture mentions `{id}`", file.path)));
        seen.extend(ids);
    }
    assert!(seen.contains("monitor/second-reply") && seen.len() > 30, "{seen:?}");
    none(&found);
}

#[test]
fn every_diagnostic_is_in_the_catalogue() {
    let ids: BTreeSet<_> = source().iter().flat_map(|file| diagnostic_ids(&file.code).0).collect();
    let told: BTreeSet<_> = catalogue::entries().map(|entry| entry.id.to_owned()).collect();
    let missing = ids.difference(&told).map(|id| format!("docs/messages.md has no `{id}`"));
    let surplus = told.difference(&ids).map(|id| format!("docs/messages.md has `{id}`, which nothing prints"));
    none(&missing.chain(surplus).collect::<Vec<_>>());
}

/// Whether a text names an id, and not only a longer one.
fn mentions(text: &str, id: &str) -> bool {
    let after = |at: usize| text[at + id.len()..].chars().next();
    text.match_indices(id).any(|(at, _)| !after(at).is_some_and(|c| c.is_ascii_alphanumeric() || c == '-'))
}

mod the_rules_bite {
    use super::*;

    const LIB: &str = "//! | 0 | [`protocol`] |\n//! | 1 | [`auth`], [`report`] |\n//! | 6 | [`cli`], [`sim`] |\n";

    fn broken(path: &str, text: &str) -> (usize, usize) {
        let files = [File::new(path, text)];
        let ranks = ranks(LIB);
        (rank_violations(&files, &ranks).len(), purity_violations(&files, &ranks).len())
    }

    #[test]
    fn the_table_is_read() {
        let expected = [("auth", 1), ("cli", 6), ("protocol", 0), ("report", 1), ("sim", 6)];
        assert_eq!(ranks(LIB), expected.map(|(name, rank)| (name.to_owned(), rank)).into());
    }

    #[test]
    fn on_ranks() {
        for (path, text, count) in [
            ("src/auth/mod.rs", "use crate::protocol::types::IdToken;", 0),
            ("src/auth/mod.rs", "use crate::auth::timer;", 0),
            ("src/auth/mod.rs", "use crate::report::json;", 1),
            ("src/auth/mod.rs", "pub use crate::{cli, protocol::{a, b as c}, report};", 2),
            ("src/auth/mod.rs", "fn f() { crate::cli::run() }", 1),
            ("src/auth/mod.rs", "use super::cli::run;", 1),
            ("src/auth/timer.rs", "use super::cli::run;", 0),
            ("src/auth/timer.rs", "use super::super::{cli::run, protocol};", 1),
            ("src/auth/mod.rs", "//! See [`crate::cli`].\n/* crate::cli */ const A: &str = \"crate::cli\";", 0),
            ("src/auth/mod.rs", "const A: &str = \"// no comment\"; use crate::cli::run;", 1),
            ("src/auth/mod.rs", "const A: char = '\"'; use crate::cli::run;", 1),
            ("src/other.rs", "", 1),
            ("src/lib.rs", "use crate::cli;", 0),
        ] {
            assert_eq!(broken(path, text).0, count, "{path}: {text}");
        }
    }

    #[test]
    fn on_purity() {
        for (path, text, count) in [
            ("src/auth/mod.rs", "use std::time::Duration;", 0),
            ("src/auth/mod.rs", "use std::time::{Duration, Instant};", 1),
            ("src/auth/mod.rs", "use std::{collections::{BTreeMap, HashMap}, fs};", 2),
            ("src/auth/mod.rs", "fn f() { std::env::var(\"A\"); }", 1),
            ("src/auth/mod.rs", "fn f() { tokio::spawn(g()); println!(\"\"); }", 2),
            ("src/auth/mod.rs", "struct Instantaneous; // Instant", 0),
            ("src/auth/mod.rs", "fn f() {}\n#[cfg(test)]\nmod tests { use std::fs; }", 0),
            ("src/auth/mod.rs", "#[cfg(test)]\nmod tests;\nuse std::fs;", 1),
            ("src/report/html.rs", "use std::fs::write;", 1),
            ("src/sim/mod.rs", "use std::fs::write;", 0),
        ] {
            assert_eq!(broken(path, text).1, count, "{path}: {text}");
        }
    }

    #[test]
    fn on_ids() {
        let code = r#"
            Diagnostic::new(Severity::Fail, "monitor/a-b", x); seen.fail("monitor/c", y);
            Diagnostic::new(severity, "strange/d", z); let topic = "e2m/heartbeat"; let mime = "application/json";
        "#;
        let (ids, unknown) = diagnostic_ids(code);
        assert_eq!(ids, ["monitor/a-b", "monitor/c"].map(str::to_owned).into());
        assert_eq!(unknown, ["strange/d"]);
        assert!(mentions("x `monitor/a` y", "monitor/a") && !mentions("monitor/a-b", "monitor/a"));
    }
}

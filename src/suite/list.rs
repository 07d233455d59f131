//! The requirements as a list, for people and for machines.

use serde::Serialize;

use crate::conformance::requirements::{Binds, Requirement};
use crate::diagnostic::wrapped;
use crate::protocol::release::Release;

/// The width of the whole.
const WIDTH: usize = 80;
/// What stands before a statement.
const INDENT: &str = "        ";

#[derive(Serialize)]
struct Entry {
    id: &'static str,
    side: &'static str,
    level: &'static str,
    releases: Vec<&'static str>,
    statement: &'static str,
    source: &'static str,
}

/// The side that a requirement binds, in a word.
pub(super) fn side_of(binds: Binds) -> &'static str {
    match binds {
        Binds::Client => "client",
        Binds::Everest => "everest",
        Binds::Both => "both",
    }
}

/// The releases whose EVerest makes it.
fn releases(requirement: &Requirement) -> Vec<Release> {
    Release::ALL.into_iter().chain([Release::Next]).filter(|release| requirement.is_in_force(*release)).collect()
}

/// Requirements as text, at most 80 columns wide.
pub fn list<'r>(requirements: impl IntoIterator<Item = &'r Requirement>) -> String {
    let mut text = String::new();
    for requirement in requirements {
        let Requirement { id, binds, level, statement, source, .. } = requirement;
        let in_force = releases(requirement);
        let when = match in_force.as_slice() {
            all if all.len() > Release::ALL.len() => "all releases".to_owned(),
            some => some.iter().map(|release| release.name()).collect::<Vec<_>>().join(", "),
        };
        text.push_str(&format!("{id:<8}{:<9}{:<8}{when}\n", side_of(*binds), level.word()));
        for line in wrapped(statement, WIDTH - INDENT.len()) {
            text.push_str(&format!("{INDENT}{line}\n"));
        }
        for line in wrapped(&format!("source: {source}"), WIDTH - INDENT.len()) {
            text.push_str(&format!("{INDENT}{line}\n"));
        }
    }
    text
}

/// The same for machines: a list of objects with `id`, `side` (`client`, `everest`, `both`), `level` (`must`, `should`,
/// `quirk`), `releases`, `statement` and `source`.
pub fn list_json<'r>(requirements: impl IntoIterator<Item = &'r Requirement>) -> String {
    let entry = |requirement: &'r Requirement| Entry {
        id: requirement.id,
        side: side_of(requirement.binds),
        level: requirement.level.word(),
        releases: releases(requirement).into_iter().map(Release::name).collect(),
        statement: requirement.statement,
        source: requirement.source,
    };
    let entries: Vec<_> = requirements.into_iter().map(entry).collect();
    serde_json::to_string_pretty(&entries).expect("texts only") + "\n"
}

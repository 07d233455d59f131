//! The requirements as a list, for people and for machines.

use serde::Serialize;

use crate::conformance::requirements::{self, Binds, Requirement};
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

/// What the requirements of each number are about.
const SUBJECTS: [(&str, &str); 13] = [
    ("HB", "Heartbeats"),
    ("CC", "Communication checks"),
    ("RR", "Requests and replies"),
    ("WD", "Withdrawing"),
    ("TV", "Statuses of tokens"),
    ("LV", "The latched status"),
    ("DI", "Discovery"),
    ("TP", "Token providers"),
    ("VA", "Token validators"),
    ("CN", "Connections and the wire"),
    ("MQ", "MQTT itself"),
    ("NX", "The forecast"),
    ("SC", "Shapes and directions"),
];

/// All requirements as a page of Markdown; `docs/requirements.md` is this page.
pub fn list_markdown() -> String {
    let mut text = String::from(
        "# Requirements\n\n\
         For whoever wants to know what a module must do, and where that is written.\n\n\
         `khumbu conform` judges a module by these. `khumbu explain VA-3` prints one of them. This page is made from the code.\n\
         `khumbu conform --list --markdown` prints it, and `khumbu conform --list --json -` the same for machines.\n\n\
         - *Who*: the side that a requirement binds, a client of the API, EVerest, or both, each in its own messages.\n\
         - *must*: whoever breaks it does not work with the other side, or does harm.\n\
         - *should*: whoever breaks it works until something goes wrong, or EVerest changes.\n\
         - *quirk*: what running EVerest does rather than what its specification asks.\n\n\
         Sources are documents and files of EVerest. Numbers never change.\n",
    );
    for (subject, title) in SUBJECTS {
        text.push_str(&format!(
            "\n## {subject}: {title}\n\n| number | who | | what | source |\n| --- | --- | --- | --- | --- |\n"
        ));
        for it in requirements::all().iter().filter(|it| it.subject() == subject) {
            let from = it.from.map(|release| format!(" (from {} on)", release.name())).unwrap_or_default();
            let Requirement { id, binds, level, statement, source, .. } = it;
            let cells = [*id, side_of(*binds), level.word(), &format!("{statement}{from}"), source];
            text.push_str(&format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_all_and_is_in_the_repository() {
        let page = list_markdown();
        for id in requirements::ids() {
            assert_eq!(
                page.matches(&format!("\n| {id} | ")).count(),
                1,
                "{id}: SUBJECTS has to have its first part, once"
            );
        }
        assert!(
            page == include_str!("../../docs/requirements.md"),
            "docs/requirements.md is not what the code says; \
             write it anew with `cargo run -- conform --list --markdown > docs/requirements.md`"
        );
    }
}

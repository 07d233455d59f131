//! The catalogue of messages, `docs/messages.md`: what each says, what leads to it, how it looks, and what to do.
//!
//! `tests/suite/explain.rs` holds that every message stands in it, and nothing else.

use std::fmt::Write as _;

static TEXT: &str = include_str!("../../docs/messages.md");

/// Heads of entries begin with this, and nothing else does.
const HEAD: &str = "\n## ";

/// What is said of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The id, for example `monitor/second-reply`.
    pub id: &'static str,
    /// Everything below it, as Markdown.
    text: &'static str,
}

/// Every entry, by id.
pub fn entries() -> impl Iterator<Item = Entry> {
    TEXT.split(HEAD).skip(1).map(|entry| {
        let (id, text) = entry.split_once('\n').unwrap_or((entry, ""));
        Entry { id: id.trim(), text: text.trim() }
    })
}

/// The entry of this id.
pub fn find(id: &str) -> Option<Entry> {
    entries().find(|entry| entry.id == id)
}

impl Entry {
    /// All of it, as Markdown.
    pub fn markdown(&self) -> &'static str {
        self.text
    }

    /// What it says, in one paragraph on one line.
    pub fn summary(&self) -> String {
        let first = self.text.split("\n\n").next().unwrap_or_default();
        first.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// What khumbu prints where it happens; `…` stands for what is left out.
    pub fn example(&self) -> &'static str {
        let (_, rest) = self.text.split_once("```text\n").unwrap_or_default();
        rest.split("```").next().unwrap_or_default()
    }

    /// All of it as plain text, in lines of at most so many columns where its example is not longer.
    pub fn plain(&self, columns: usize) -> String {
        let mut text = String::new();
        for (number, part) in self.text.split("```").enumerate() {
            // Every other part stands between fences, and begins with the name of its language.
            if number % 2 == 1 {
                let example = part.split_once('\n').map_or("", |(_, example)| example);
                text.extend(example.trim_end().lines().map(|line| format!("    {line}\n")));
                continue;
            }
            for paragraph in part.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
                let words = paragraph.replace("**", "").split_whitespace().collect::<Vec<_>>().join(" ");
                let gap = if text.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}{}", super::wrapped(&words, columns).join("\n"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_without_its_markup() {
        let entry = Entry {
            id: "a/b",
            text: "Something\nhappened.\n\n**Cause.** A thing.\n\n**Example.**\n\n```text\nfail[a/b]: x\n   = y\n```\n\n**Cure.** Do it.",
        };
        assert_eq!(entry.summary(), "Something happened.");
        let plain =
            "Something happened.\n\nCause. A thing.\n\nExample.\n    fail[a/b]: x\n       = y\n\nCure. Do it.\n";
        assert_eq!(entry.plain(20), plain);
    }

    #[test]
    fn every_entry_has_a_cause_an_example_and_a_cure() {
        let entries: Vec<_> = entries().collect();
        assert!(entries.len() > 100 && entries.is_sorted_by_key(|entry| entry.id));
        for entry in entries {
            let parts = ["**Cause.** ", "**Example.**", "**Cure.** "].map(|part| entry.text.matches(part).count());
            assert_eq!(parts, [1, 1, 1], "{}", entry.id);
            let first = entry.example().lines().next().unwrap_or_default();
            assert!(first.contains(&format!("[{}]", entry.id)), "{}: {first}", entry.id);
        }
    }
}

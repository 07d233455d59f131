//! The frame of a page: its policy, head, counts, filters and foot.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::Made;
use super::text::prose;
use crate::diagnostic::printable;
use crate::report::terminal;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// How good the news are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// All is as it should be.
    Good,
    /// Something is wrong.
    Bad,
    /// Nobody knows.
    Open,
}

/// How many there are of a kind.
#[derive(Debug, Clone)]
pub struct Count {
    /// Its word in data.
    pub key: &'static str,
    /// Its word for people.
    pub word: &'static str,
    /// How many.
    pub number: usize,
}

/// Something by which rows can be chosen, besides what they are counted by: `data-NAME` of a row has the keys that it fits,
/// separated by blanks.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The name of the attribute, without `data-`.
    pub name: &'static str,
    /// What it is called.
    pub label: &'static str,
    /// Keys, and what they are called.
    pub options: Vec<(String, String)>,
}

/// What a page begins with.
#[derive(Debug)]
pub struct Page<'a> {
    /// What kind of report it is.
    pub kind: &'static str,
    /// What came out, in a sentence.
    pub sentence: String,
    /// And how good that is.
    pub tone: Tone,
    /// More sentences.
    pub lead: Vec<String>,
    /// What was judged, by what.
    pub facts: Vec<(&'static str, String)>,
    /// The counts, the worst first; each leads to the rows that it counts in the table of this id.
    pub counts: &'a [Count],
    /// The id of the table that has what is counted.
    pub table: &'static str,
    /// How it came about.
    pub made: &'a Made,
}

/// The whole page, with a line feed at its end.
pub fn page(page: &Page<'_>, body: &Markup) -> String {
    let Page { kind, sentence, tone, lead, facts, counts, table, made } = page;
    let tone = match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Open => "open",
    };
    let text = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (sentence) " · " (kind) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header.(tone) {
                    p.kind {
                        strong { "khumbu" } " " (kind)
                        span { (made.at.format("%-d %B %Y, %H:%M UTC")) ", version " (env!("CARGO_PKG_VERSION")) }
                    }
                    h1 { (icon(tone)) " " (sentence) }
                    @for line in lead { p.lead { (prose(line)) } }
                    (bar(counts))
                    ul.counts {
                        @for count in *counts {
                            li.none[count.number == 0] {
                                a href={"#" (table)} data-show=(count.key) data-table=(table) {
                                    strong { (count.number) }
                                    span { (icon(count.key)) " " (count.word) }
                                }
                            }
                        }
                    }
                    dl.facts {
                        @for (name, value) in facts { div { dt { (name) } dd { (printable(value)) } } }
                    }
                    (command(&made.command))
                }
                main { (body) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    text.into_string() + "\n"
}

/// How many scenarios were played, and how long that took.
pub fn played(scenarios: usize, took: Duration) -> String {
    format!("{scenarios} in {}", terminal::time(took))
}

/// A command line, to be copied with one click.
pub fn command(line: &str) -> Markup {
    html! { pre.command { (printable(line)) } }
}

/// Nothing but the style and the script above, and no text becomes HTML or a script.
fn policy() -> String {
    let (style, script) = (digest(STYLE), digest(SCRIPT));
    format!(
        "default-src 'none'; style-src '{style}'; script-src '{script}'; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    )
}

fn digest(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

/// The shares of the counts.
fn bar(counts: &[Count]) -> Markup {
    let total = counts.iter().map(|count| count.number).sum::<usize>().max(1) as f64;
    let mut before = 0;
    let parts: Vec<_> = counts
        .iter()
        .filter(|count| count.number > 0)
        .map(|count| {
            let share = |number: usize| format!("{:.2}%", number as f64 * 100.0 / total);
            let x = share(before);
            before += count.number;
            (count.key, x, share(count.number))
        })
        .collect();
    html! {
        svg.bar width="100%" height="12" aria-hidden="true" {
            @for (key, x, width) in parts { rect.(tone_of(key)) x=(x) width=(width) height="100%" {} }
        }
    }
}

/// What rows of a table can be chosen by. Hidden until the script is there.
pub fn filters(table: &str, what: &str, counts: &[Count], choices: &[Choice]) -> Markup {
    html! {
        div.filters role="search" data-table=(table) hidden {
            input type="search" placeholder="Search" aria-label={"Search " (what)};
            span.pills role="group" aria-label="Outcome" {
                @for count in counts.iter().filter(|count| count.number > 0) {
                    label.pill {
                        input type="checkbox" value=(count.key);
                        span { (icon(count.key)) " " (count.word) " " b { (count.number) } }
                    }
                }
            }
            @for choice in choices.iter().filter(|choice| choice.options.len() > 1) {
                label.choice {
                    span { (choice.label) }
                    select data-name=(choice.name) {
                        option value="" { "all" }
                        @for (key, word) in &choice.options { option value=(key) { (word) } }
                    }
                }
            }
            output {}
            button type="button" { "Clear" }
        }
    }
}

/// A sign beside a word: of a verdict, a state, a severity, or how good news are.
pub fn icon(word: &str) -> Markup {
    const DISC: &str = "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1z";
    const RING: &str = "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 1.8a5.2 5.2 0 1 1 0 10.4A5.2 5.2 0 0 1 8 2.8z";
    let (shape, sign) = match word {
        "broken" | "fail" | "bad" => (DISC, "M5.2 5.2l5.6 5.6m0-5.6-5.6 5.6"),
        "met" | "pass" | "good" => (DISC, "M4.6 8.3l2.4 2.4 4.4-5"),
        "excused" => (RING, "M8 4.6v4m0 2v.6"),
        "flaky" => (RING, "M4.2 8.6c1.2-2.6 2.6-2.6 3.8 0s2.6 2.6 3.8 0"),
        "error" | "warning" => ("M8 .9 15.6 14.6H.4z", "M8 5.6v4.2m0 1.6v.8"),
        "inconclusive" | "not_exercised" | "open" => (RING, ""),
        "not_applicable" => ("", "M3.5 8h9"),
        "in_another_shard" => ("", "M3 8h9.4m-3.6-3.6L12.6 8 8.8 11.6"),
        _ => (RING, "M8 7.4v4M8 4.6v.8"),
    };
    html! {
        svg.icon.(tone_of(word)) viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" {
            @if !shape.is_empty() { path.shape d=(shape) fill-rule="evenodd" {} }
            @if !sign.is_empty() { path.sign.on-disc[shape == DISC || word == "error" || word == "warning"] d=(sign) {} }
        }
    }
}

/// The class that colours the same.
pub fn tone_of(word: &str) -> &'static str {
    match word {
        "broken" | "fail" | "error" | "bad" => "bad",
        "met" | "pass" | "good" => "good",
        "not_exercised" | "inconclusive" | "flaky" | "warning" | "open" => "open",
        "excused" => "excused",
        _ => "dim",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_knows_this_style_and_script_and_nothing_else() {
        // As browsers compute it.
        assert_eq!(digest(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        let policy = policy();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    }

    #[test]
    fn shares_add_up() {
        let count = |key, number| Count { key, word: key, number };
        let text = bar(&[count("broken", 1), count("excused", 0), count("met", 3)]).into_string();
        for part in [r#"class="bad" x="0.00%" width="25.00%""#, r#"class="good" x="25.00%" width="75.00%""#] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        assert_eq!(text.matches("<rect").count(), 2);
        assert_eq!(bar(&[]).into_string().matches("<rect").count(), 0);
    }

    /// An attribute would be refused by the policy, and an end of the style or script within them would be one.
    #[test]
    fn style_and_script_are_whole() {
        for text in [STYLE, SCRIPT] {
            assert!(!text.contains("</") && !text.contains("<!--"));
            assert!(!text.contains("url(") && !text.contains("@import") && !text.contains("http"));
        }
        assert!(STYLE.len() + SCRIPT.len() < 24 * 1024);
    }
}

//! The messages around a finding as a sequence diagram: two lifelines, an arrow a message, each with its payload to unfold,
//! and a line where the finding was made.
//!
//! Each arrow is a picture (SVG) of its own, as wide as there is room, so that the texts beside it stay texts: they can be
//! searched, copied and broken into lines.

use maud::{Markup, html};

use super::page::icon;
use super::text::{indented, lines};
use crate::diagnostic::words::cut;
use crate::diagnostic::{Diagnostic, printable};
use crate::verdict::Passed;

/// So many messages before the finding are shown at once; if there are a few more than these, they have to be unfolded.
const BEFORE: usize = 8;
/// So many are no reason to fold anything.
const FEW: usize = 3;
/// The name of messages that have none; their topic says more.
const OTHER: &str = "message";
/// The longest line of a payload that is folded, in characters.
const GIST: usize = 200;

/// The diagram of these messages, of which there were so many `in_all`; nothing if there are none.
pub fn diagram(messages: &[Passed], in_all: usize, finding: &Diagnostic) -> Markup {
    if messages.is_empty() {
        return html! {};
    }
    let found = finding.at_record.map_or(messages.len(), |at| messages.partition_point(|passed| passed.seq <= at));
    let (before, after) = messages.split_at(found);
    let earlier = before.len().saturating_sub(BEFORE);
    let (earlier, before) = before.split_at(if earlier > FEW { earlier } else { 0 });
    html! {
        figure.diagram {
            div.ends aria-hidden="true" { span { "khumbu" } span { "module under test" } }
            @if !earlier.is_empty() {
                details.earlier {
                    summary { (earlier.len()) " earlier messages" }
                    ol { @for passed in earlier { (message(passed)) } }
                }
            }
            ol {
                @for passed in before { (message(passed)) }
                li.found { (icon(finding.severity.word())) " found here: " code { (finding.id) } }
                @for passed in after { (message(passed)) }
            }
            @if messages.len() < in_all {
                figcaption { (messages.len()) " of " (in_all) " messages; " code { "--record" } " keeps them all." }
            }
        }
    }
}

fn message(passed: &Passed) -> Markup {
    let Passed { at, is_by_module, name, topic, payload, qos, retain, .. } = passed;
    html! {
        li.message.by-module[*is_by_module] {
            details {
                summary {
                    span.at { (format!("{:.3} s", at.as_secs_f64())) }
                    span.name { @if *name == OTHER { (printable(topic)) } @else { (name) } }
                    (arrow(*is_by_module))
                    span.gist { (printable(&cut(&passed.gist(), GIST))) }
                }
                div.payload {
                    p { "Topic " code { (printable(topic)) } ", QoS " (qos) @if *retain { ", retained" } }
                    pre { (lines(&indented(payload))) }
                    @if passed.is_cut() { p.dim { "Cut after " (Passed::LONGEST) " characters." } }
                }
            }
        }
    }
}

/// An arrow from one lifeline to the other.
fn arrow(is_by_module: bool) -> Markup {
    let label = if is_by_module { "from the module to khumbu" } else { "from khumbu to the module" };
    html! {
        svg.arrow role="img" aria-label=(label) height="10" {
            line x1="0" y1="5" x2="100%" y2="5" {}
            @if is_by_module {
                path d="M9 0 0 5l9 5z" {}
            } @else {
                // A picture within the picture has its origin at the other end.
                svg x="100%" overflow="visible" { path d="M-9 0 0 5l-9 5z" {} }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::diagnostic::Severity;

    fn passed(seq: u64, is_by_module: bool, payload: &str) -> Passed {
        Passed {
            seq,
            at: Duration::from_millis(seq * 100),
            is_by_module,
            name: "heartbeat",
            topic: "…/e2m/heartbeat".to_owned(),
            payload: payload.to_owned(),
            qos: 2,
            retain: false,
        }
    }

    fn shown(messages: &[Passed], at_record: Option<u64>) -> String {
        let finding = Diagnostic { at_record, ..Diagnostic::new(Severity::Fail, "expect/late", "too late") };
        diagram(messages, 24, &finding).into_string()
    }

    #[test]
    fn arrows_point_to_who_receives() {
        let from_khumbu = shown(&[passed(1, false, "1")], None);
        assert!(from_khumbu.contains("from khumbu to the module") && from_khumbu.contains("M-9 0 0 5l-9 5z"));
        let from_module = shown(&[passed(1, true, "1")], None);
        assert!(from_module.contains("from the module to khumbu") && from_module.contains("M9 0 0 5l9 5z"));
        assert!(from_module.contains("message by-module") && !from_khumbu.contains("by-module"));
    }

    #[test]
    fn the_finding_stands_behind_the_message_at_which_it_was_made() {
        let messages: Vec<_> = (1..=3).map(|seq| passed(seq, false, &format!("payload-{seq}"))).collect();
        for (at_record, behind) in [(Some(2), 2), (Some(0), 0), (None, 3), (Some(99), 3)] {
            let text = shown(&messages, at_record);
            let before = &text[..text.find("found here").unwrap_or(0)];
            // Each payload is there folded and unfolded.
            assert_eq!(before.matches("payload-").count(), 2 * behind, "{at_record:?}");
        }
    }

    #[test]
    fn what_is_far_from_the_finding_is_folded() {
        let messages: Vec<_> = (1..=24).map(|seq| passed(seq, false, "1")).collect();
        let text = shown(&messages, None);
        assert!(text.contains("16 earlier messages"), "{text}");
        assert_eq!(
            (text.matches("<details class=\"earlier\"").count(), text.matches("<li class=\"message\"").count()),
            (1, 24)
        );
        assert!(!text.contains("--record"), "nothing was left out");
        assert!(shown(&messages[..8], None).contains("8 of 24 messages"));
        assert!(!shown(&messages[..8], None).contains("earlier"));
        assert_eq!(shown(&[], None), "");
    }

    #[test]
    fn payloads_are_text_and_long_ones_are_cut_where_they_are_folded() {
        let text = shown(&[passed(1, true, "<script>alert(1)</script>\u{202e}")], None);
        assert!(!text.contains("<script") && text.contains("&lt;script&gt;alert(1)") && text.contains("\\u{202e}"));
        assert!(!text.contains("Cut after"));
        assert!(shown(&[passed(1, true, &format!("{}…", "x".repeat(4096)))], None).contains("Cut after 4096"));
        let long = shown(&[passed(1, true, &"x".repeat(4000))], None);
        assert_eq!(long.matches('x').count() - shown(&[passed(1, true, "")], None).matches('x').count(), 4000 + GIST);
    }
}

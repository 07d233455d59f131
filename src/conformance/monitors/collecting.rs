//! A client under test: whether it listens on for the API modules that reply to its discovery after the first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::Diagnostic;

use super::links::Links;
use super::wording::{Worded, time};

/// Whoever listens for less than this takes the first reply for the last. EVerest's documentation speaks of a second; a
/// tool that counts it from its own start may have much less left.
const AT_ONCE: Duration = Duration::from_millis(250);

/// The discoveries that the module under test has made, by the topic of their replies.
#[derive(Debug, Default)]
pub(super) struct Collecting(BTreeMap<Arc<str>, Listening>);

#[derive(Debug)]
struct Listening {
    since: Duration,
    /// Whether its subscription was seen; behind a relay it may come after the request.
    has_begun: bool,
    /// For how long the module listened.
    lasted: Option<Duration>,
}

impl Collecting {
    /// The module asks every API module what it is, and wants the replies on this topic.
    pub(super) fn asked(&mut self, topic: Arc<str>, at: Duration, links: &Links) {
        let has_begun = links.is_subscribed(&topic);
        self.0.insert(topic, Listening { since: at, has_begun, lasted: None });
    }

    /// The module's subscriptions may have changed.
    pub(super) fn look(&mut self, at: Duration, links: &Links) {
        for (topic, listening) in &mut self.0 {
            if links.is_subscribed(topic) {
                listening.has_begun = true;
                listening.lasted = None;
            } else if listening.has_begun && listening.lasted.is_none() {
                listening.lasted = Some(at.saturating_sub(listening.since));
            }
        }
    }

    /// EVerest has lost its requests, or the module its connections.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// An API module replied: the reply is lost if nobody listens any more. What has no `apis` answers something else that was
    /// asked for on the same topic.
    pub(super) fn replied(&mut self, seen: &Worded<'_>) -> Option<Diagnostic> {
        seen.json.as_ref()?.get("apis")?;
        let topic = &seen.answers.as_ref().filter(|answered| answered.has_prefix)?.topic.on_wire;
        let lasted = self.0.get(topic)?.lasted.filter(|lasted| *lasted < AT_ONCE)?;
        let Listening { since, .. } = self.0.remove(topic)?;
        let headline = format!("module stopped listening for replies to its discovery {} after it asked", time(lasted));
        let late = time(seen.at.saturating_sub(since));
        let finding = seen.fail("monitor/discovery-cut-short", headline);
        let lost = format!("this reply came {late} after the question: each API module replies for itself");
        Some(finding.with_evidence(lost).with_help("collect replies for about a second").breaking("DI-6"))
    }
}

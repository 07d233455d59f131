//! A client under test: whether it listens again to what it listened to, after it has lost its connection.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::Topics;
use crate::transcript::record::{Event, Record};

use super::links::Links;
use super::wording::{Wording, time};

/// A client that is connected again, and does not listen any more to what it listened to.
pub const NOT_SUBSCRIBED_AGAIN: &str = "monitor/not-subscribed-again";

/// Whoever has been back for as long has subscribed to all that it wants.
pub const SETTLED: Duration = Duration::from_millis(2500);

/// What the module under test has listened to, of all that EVerest says.
#[derive(Debug)]
pub(super) struct Resubscription {
    topics: Vec<String>,
    /// What it listened to and never gave up by itself.
    wanted: BTreeSet<String>,
    /// What of that it does not hear, and since when it could: the first connection after the loss.
    lost: BTreeMap<String, Option<Duration>>,
}

impl Resubscription {
    pub(super) fn new(topics: &Topics) -> Self {
        let heard = topics.api.channels().filter(|channel| channel.is_from_everest());
        let topics = heard.map(|channel| topics.topic(channel)).collect();
        Self { topics, wanted: BTreeSet::new(), lost: BTreeMap::new() }
    }

    /// The connections or subscriptions of the module have changed by this record.
    pub(super) fn look(&mut self, record: &Record, links: &Links) {
        let gave_up = matches!(record.event, Event::Unsubscribed { .. } | Event::Disconnected { clean: true, .. });
        for topic in &self.topics {
            if links.hears(topic) {
                self.wanted.insert(topic.clone());
                self.lost.remove(topic);
            } else if self.wanted.contains(topic) && !self.lost.contains_key(topic) {
                match gave_up {
                    true => drop(self.wanted.remove(topic)),
                    false => drop(self.lost.insert(topic.clone(), None)),
                }
            }
        }
        if links.is_online() {
            for since in self.lost.values_mut() {
                since.get_or_insert(record.at);
            }
        }
    }

    /// Whether the module hears all that it listened to and never gave up.
    pub(super) fn hears_again(&self) -> bool {
        self.lost.is_empty()
    }

    /// Whether the module is connected and may yet subscribe to what it listened to.
    pub(super) fn is_open(&self) -> bool {
        self.lost.values().any(Option::is_some)
    }

    /// What it does not listen to any more, and how long it has been connected again.
    pub(super) fn missed(&self, at: Duration) -> impl Iterator<Item = (&String, Duration)> {
        let missed = self.lost.iter().filter_map(move |(topic, since)| Some((topic, at.saturating_sub((*since)?))));
        missed.filter(|(_, back)| *back >= SETTLED)
    }

    /// The last word, while the module is connected.
    pub(super) fn finish(&self, at: Duration, wording: &Wording) -> Option<Diagnostic> {
        let missed: Vec<_> = self.missed(at).collect();
        let back = missed.iter().map(|(_, back)| *back).max()?;
        let topics: Vec<_> = missed.iter().map(|(topic, _)| wording.topic(topic)).collect();
        let headline =
            format!("module does not listen any more to {}, since it lost its connection", topics.join(" and "));
        let finding = Diagnostic::new(Severity::Fail, NOT_SUBSCRIBED_AGAIN, headline)
            .with_evidence(format!(
                "it has been connected again for {}, in a session without these subscriptions",
                time(back)
            ))
            .with_help("subscribe after every CONNACK that does not say `session present`, not after the first alone");
        Some(finding.breaking("CN-1"))
    }
}

//! What a judge is told of a scenario before it begins, what it sees of the wire at a moment, and how it speaks of both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::conformance::sighting::{Kind, Party, Request, Sighting};
use crate::diagnostic::words::{cut, elide};
use crate::diagnostic::{Diagnostic, Place};
use crate::parity::station_file::{Binding, Meaning};
use crate::protocol::channel::{ApiType, Topics};
use crate::protocol::side::Side;
use crate::protocol::topic;
use crate::protocol::wire::{Form, Wire};
use crate::scenario::{Scenario, placeholder};
use crate::station::config::TokenConfig;

/// The default time limit of an expectation.
pub const WITHIN: Duration = Duration::from_secs(5);

/// A scenario as it is played to one module.
#[derive(Debug, Clone, Copy)]
pub struct Case<'s> {
    /// The scenario.
    pub scenario: &'s Scenario,
    /// The topics of the API module that the module under test uses or is.
    pub topics: &'s Topics,
    /// The topics of the station's other API modules.
    pub other_apis: &'s [Topics],
    /// The tokens of the station, by name.
    pub tokens: &'s BTreeMap<String, TokenConfig>,
    /// How khumbu's own side writes its messages.
    pub wire: Wire,
    /// Whether the module under test is khumbu's own.
    pub is_builtin: bool,
    /// Whether EVerest's calls to EVSEs are shown for sure.
    pub shows_calls: bool,
    /// What messages on foreign topics mean, calls to EVSEs among them.
    pub bindings: &'s [Binding],
    /// How long EVerest waits for the answer of a module under test that it asks something.
    pub answer_within: Duration,
}

/// The wire at a moment: what was seen until then.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Every message, in order.
    pub messages: &'a [Sighting],
    /// Every request that named a reply topic, in order.
    pub requests: &'a [Request],
    /// What the module is subscribed to, by the client ids of its connections.
    pub subscriptions: &'a BTreeMap<Arc<str>, BTreeSet<String>>,
}

impl<'s> Case<'s> {
    /// The side of the module under test.
    pub fn side(&self) -> Side {
        self.scenario.model.under_test
    }

    /// Whether the module under test is a client that EVerest asks something.
    pub fn is_asked(&self) -> bool {
        self.side() == Side::Client && self.topics.api.asks_clients()
    }

    /// Whether the module under test is a client at an API whose messages EVerest's statuses follow from.
    pub fn is_other_api(&self) -> bool {
        self.side() == Side::Client && self.topics.api != ApiType::AUTH_CONSUMER
    }

    /// The topics on which a station file has EVerest's calls to EVSEs shown.
    pub fn shown_on(&self) -> impl Iterator<Item = &'s Binding> {
        self.bindings.iter().filter(|binding| matches!(binding.is, Meaning::EvseCall(_)))
    }

    /// The default time limit.
    pub fn within(&self) -> Duration {
        self.scenario.model.within.map_or(WITHIN, |span| span.0)
    }

    /// A token of the station.
    ///
    /// # Errors
    /// When there is none of that name; the checker has looked at all names before.
    pub fn token(&self, name: &str) -> Result<&'s TokenConfig, Box<Diagnostic>> {
        self.tokens.get(name).ok_or_else(|| Diagnostic::broken(&format!("the station has no token `{name}`")).into())
    }

    /// A text with the placeholders of topics filled in.
    pub fn filled(&self, text: &str) -> String {
        let topics = self.topics;
        placeholder::fill(text, |name| match name {
            "e2m" | "m2e" => Some(format!("{}/{name}", topics.base())),
            "module_id" => Some(topics.module_id.clone()),
            "external_prefix" => Some(topics.external_prefix.clone()),
            _ => {
                let wanted = placeholder::api(name)?;
                let mut all = std::iter::once(topics).chain(self.other_apis);
                all.find(|topics| topics.api == wanted).map(Topics::base)
            }
        })
    }

    /// The module under test in a headline.
    pub fn culprit(&self) -> String {
        format!("module `{}`", self.topics.module_id)
    }

    /// The side that khumbu plays in a headline.
    pub fn played(&self) -> &'static str {
        match self.side() {
            Side::Client => "the simulated EVerest",
            Side::Everest => "the simulated client",
        }
    }

    /// A place in the scenario.
    pub fn place(&self, pointer: &str, label: &str) -> Place {
        self.scenario.labelled(pointer, label)
    }

    /// A topic with the base of the API module elided.
    pub fn elided(&self, topic: &str) -> String {
        elide(&self.topics.base(), topic)
    }

    /// A message in one line.
    pub fn line(&self, seen: &Sighting) -> String {
        let mut line = self.elided(&seen.publish.topic);
        let _ = write!(line, " q{}", seen.publish.qos);
        if seen.publish.retain {
            line.push_str(" retain");
        }
        let payload = match &seen.json {
            Some(json) => json.to_string(),
            None => String::from_utf8_lossy(&seen.publish.payload).into_owned(),
        };
        let _ = write!(line, " {}", cut(&payload, 160));
        if let Some(form) = self.form_of(seen) {
            let _ = write!(line, " (written as `{}`)", form.name());
        }
        line
    }

    /// How a message of khumbu's own is written, where EVerest would not write it like this.
    pub fn form_of(&self, seen: &Sighting) -> Option<Form> {
        let is_ours = seen.from == Party::Harness && !matches!(seen.kind, Kind::Control | Kind::Other);
        if self.wire == Wire::Everest || !is_ours {
            return None;
        }
        let as_everest = if seen.kind.is_question() { Form::Compact } else { Form::Everest };
        seen.form().filter(|form| *form != as_everest)
    }
}

impl<'a> View<'a> {
    /// Whether the module has any connection.
    pub fn is_connected(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// Where the messages begin that are not older than this record.
    pub fn since(&self, seq: u64) -> usize {
        self.messages.partition_point(|seen| seen.seq < seq)
    }

    /// Whether the module is subscribed to this topic.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.subscriptions.values().flatten().any(|filter| topic::matches(filter, topic))
    }

    /// Whether a message of khumbu's own is one that the module under test has use for.
    pub fn is_for_module(&self, seen: &Sighting, case: &Case<'_>) -> bool {
        let is_client = case.side() == Side::Client;
        let is_its = !is_client || seen.api == case.topics.api;
        seen.from == Party::Harness
            && match &seen.kind {
                Kind::Channel(channel) => channel.is_from_everest() == is_client && is_its,
                Kind::EntryPoint(_) => !is_client,
                Kind::Answer(request) | Kind::Reply(request) => self.requests[*request].from == Party::Module,
                _ => false,
            }
    }

    /// The message of this number.
    pub fn message(&self, seq: u64) -> Option<&'a Sighting> {
        self.messages.get(self.since(seq)).filter(|seen| seen.seq == seq)
    }

    /// The request that the message of this number is, if it names a reply topic.
    pub fn request(&self, seq: u64) -> Option<&'a Request> {
        let at = self.requests.partition_point(|request| request.seq < seq);
        self.requests.get(at).filter(|request| request.seq == seq)
    }

    /// The last question to a token validator since a record, about any token or this one.
    pub fn question(&self, value: Option<&str>, since: u64) -> Option<&'a Request> {
        let mut requests = self.requests.iter().rev().take_while(|request| request.seq >= since);
        requests.find(|request| request.kind.is_question() && (value.is_none() || request.token.as_deref() == value))
    }

    /// How long the module under test has taken at most to answer a question, if it has answered one.
    pub fn slowest_answer(&self) -> Option<Duration> {
        let answers = self.messages.iter().filter(|seen| seen.from == Party::Module);
        let taken = answers.filter_map(|seen| {
            let Kind::Reply(index) = seen.kind else { return None };
            let request = self.requests.get(index).filter(|request| request.kind.is_question())?;
            Some(seen.at.saturating_sub(self.message(request.seq)?.at))
        });
        taken.max()
    }

    /// Whether requests with this reply topic were ever outstanding at the same time.
    pub fn has_several_outstanding(&self, topic: &str) -> bool {
        let requests: Vec<_> = self.requests.iter().filter(|request| request.reply_topic == topic).collect();
        requests.windows(2).any(|pair| {
            let between = &self.messages[self.since(pair[0].seq)..self.since(pair[1].seq)];
            between.iter().all(|seen| *seen.publish.topic != *topic)
        })
    }

    /// The module's last request of which the reply is still to come, and for which it still listens.
    pub fn waits_for_reply(&self) -> Option<&'a Request> {
        self.open_requests().next()
    }

    /// The module's requests of which the reply is still to come, and for which it still listens, the last first.
    pub fn open_requests(self) -> impl Iterator<Item = &'a Request> {
        let is_open =
            move |it: &&Request| it.from == Party::Module && !it.is_answered && self.is_subscribed(&it.reply_topic);
        self.requests.iter().rev().filter(is_open)
    }
}

//! What a scenario proves of the module under test: what it was shown, and what it did.
//!
//! A scenario in which nothing could have gone wrong for the module has not judged it. A message of khumbu's own counts
//! only where the broker has delivered it to the module, and the module has acknowledged it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::case::{Case, View};
use super::claims::Claims;
use super::past::Past;
use crate::conformance::deliveries::Deliveries;
use crate::conformance::occasions::{self, Fact, Facts, Fate, lacking};
use crate::conformance::requirements;
use crate::conformance::sighting::{Kind, Party, Sighting};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::{Channel, EntryPoint};
use crate::protocol::deviations::Deviations;
use crate::protocol::schema::Message;
use crate::protocol::side::Side;
use crate::verdict::Evidence;

/// A requirement was not put to the test by a scenario that was played to its end.
const NO_OCCASION: &str = "scenario/no-occasion";

/// Whether it is found that a module does not subscribe to what would have put this requirement to the test.
pub fn is_unheard(found: &Diagnostic, requirement: &str) -> bool {
    let is_of_it = |headline: &str| headline.strip_prefix(requirement).is_some_and(|rest| rest.starts_with(' '));
    found.id == NO_OCCASION && found.is_unexercised && is_of_it(&found.headline)
}

/// All that is known of what was put to the test.
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
    /// The scenario.
    pub case: &'a Case<'a>,
    /// The messages.
    pub view: View<'a>,
    /// Which of them have met a step.
    pub claims: &'a Claims,
    /// What the steps leave behind.
    pub past: &'a Past,
    /// What became of khumbu's own messages.
    pub deliveries: &'a Deliveries,
    /// Whether the module lost its connection and came back.
    pub came_back: bool,
    /// When it has lost its last connection, if it has none any more.
    pub gone_at: Option<Duration>,
    /// The time between heartbeats that EVerest keeps when it is left to itself.
    pub heartbeat_interval: Duration,
    /// What is right in the release.
    pub in_force: Deviations,
}

impl Proof<'_> {
    /// Which messages the module has yet to take: what it was handed and has not acknowledged, and what a step wants of
    /// khumbu's own side and the module will be handed.
    pub fn yet_to_be_shown(&self) -> Vec<usize> {
        let is_awaited = |seen: &Sighting| {
            // What came while it was away is lost to it.
            let is_meant = || {
                self.view.is_for_module(seen, self.case)
                    && self.is_claimed(seen)
                    && seen.seq >= self.past.ready_since
                    && self.view.is_subscribed(&seen.publish.topic)
            };
            // What a fault keeps from it never comes.
            let is_over = self.deliveries.is_shown(seen) || self.deliveries.losses.is_lost(seen.seq);
            seen.from == Party::Harness && !is_over && (self.deliveries.is_delivered(seen) || is_meant())
        };
        (0..self.view.messages.len()).filter(|index| is_awaited(&self.view.messages[*index])).collect()
    }

    /// What the module was shown and what it did.
    pub fn evidence(&self) -> Evidence {
        let mut evidence = Evidence::default();
        for seen in self.view.messages {
            if let Some((_, effect)) = self.deliveries.losses.of(seen.seq) {
                *evidence.injected.entry(format!("{} {effect}", seen.kind.name())).or_default() += 1;
            }
            let list = match (seen.from, self.view.is_for_module(seen, self.case)) {
                (Party::Module, _) if seen.kind != Kind::Other => &mut evidence.did,
                (Party::Harness, true) if self.deliveries.is_shown(seen) => &mut evidence.shown,
                // What a fault befell the scenario meant not to be shown.
                (Party::Harness, true) if self.is_claimed(seen) && !self.deliveries.losses.is_lost(seen.seq) => {
                    &mut evidence.not_shown
                }
                _ => continue,
            };
            *list.entry(seen.kind.name()).or_default() += 1;
        }
        evidence
    }

    /// What a scenario that was played to its end has not put to the test.
    pub fn unproven(&self, evidence: &Evidence) -> Vec<Diagnostic> {
        let module = self.case.culprit();
        if !self.could_have_gone_wrong() {
            let headline = format!(
                "nothing could have gone wrong for {module}: it was shown nothing of what the scenario is about, and nothing was asked of it"
            );
            let help = "let it subscribe to what the scenario shows, or ask something of it, for example \
                        `expect: {message: communication_check, payload: true}`";
            let diagnostic = Diagnostic::new(Severity::Inconclusive, "scenario/demands-nothing", headline)
                .at(self.case.place("/steps", ""))
                .with_lines(self.missed(evidence))
                .with_help(help);
            return vec![diagnostic];
        }
        if self.case.side() == Side::Everest {
            return Vec::new();
        }
        let messages = self.messages();
        let facts = self.facts(&messages);
        let requirements = self.case.scenario.model.requirements.iter().enumerate();
        let unproven = requirements.filter_map(|(index, id)| Some((index, id, lacking(id, facts)?)));
        let mut found: Vec<_> = unproven
            .map(|(index, id, lack)| {
                let headline = format!("{id} was not put to the test: {module} {lack}");
                let found = Diagnostic::new(Severity::Inconclusive, NO_OCCASION, headline)
                    .at(self.case.place(&format!("/requirements/{index}"), ""))
                    .with_lines(self.missed(evidence));
                match self.unheard(id, &messages) {
                    Some(topic) => found.unexercised(self.subscribing_to(&topic)),
                    None => found.with_help("let the module subscribe to what the scenario shows it"),
                }
            })
            .collect();
        if found.is_empty() && !evidence.not_shown.is_empty() {
            let headline = format!("{module} was not shown all that the scenario expects of khumbu's own side");
            found.push(
                Diagnostic::new(Severity::Note, "scenario/not-shown", headline).with_lines(self.missed(evidence)),
            );
        }
        found
    }

    /// The topic to which the module does not subscribe, and where it would have been shown what puts a requirement to the
    /// test.
    fn unheard(&self, requirement: &str, messages: &[Fact<'_>]) -> Option<String> {
        let topics = self.case.topics;
        let mut channels = topics.api.channels().filter(|channel| channel.is_from_everest());
        let is_unheard = |channel: Channel| {
            let mut messages = messages.to_vec();
            let missed = messages.iter_mut().filter(|fact| fact.fate == Fate::Missed);
            missed.filter(|fact| fact.message == Message::On(channel)).for_each(|fact| fact.fate = Fate::Shown);
            !self.view.is_subscribed(&topics.topic(channel)) && lacking(requirement, self.facts(&messages)).is_none()
        };
        channels.find(|channel| is_unheard(*channel)).map(|channel| topics.topic(channel))
    }

    /// A module that would subscribe to a topic, and what this one does instead.
    fn subscribing_to(&self, topic: &str) -> String {
        let topics = self.case.topics;
        let channels = topics.api.channels().filter(|channel| channel.is_from_everest());
        let heard = channels.map(|channel| topics.topic(channel)).filter(|topic| self.view.is_subscribed(topic));
        let heard: Vec<_> = heard.map(|topic| format!("`{}`", self.case.elided(&topic))).collect();
        let heard = if heard.is_empty() { "nothing that EVerest says".to_owned() } else { heard.join(", ") };
        format!("a module that subscribes to `{}`; this one subscribes to {heard}", self.case.elided(topic))
    }

    /// Whether the scenario asked something of the module, or showed it something that it could stumble over.
    fn could_have_gone_wrong(&self) -> bool {
        let is_routine = |seen: &Sighting| {
            matches!(seen.kind, Kind::Channel(Channel::HEARTBEAT | Channel::COMMUNICATION_CHECK) | Kind::Other)
        };
        self.past.is_judged
            || self.view.messages.iter().any(|seen| match seen.from {
                Party::Module => self.is_claimed(seen) || !is_routine(seen),
                Party::Harness => {
                    let is_shown = self.view.is_for_module(seen, self.case) && self.deliveries.is_shown(seen);
                    is_shown && (self.is_claimed(seen) || !is_routine(seen))
                }
            })
    }

    /// Whether a message has met a step.
    pub(super) fn is_claimed(&self, seen: &Sighting) -> bool {
        self.claims.of(seen.seq).is_some()
    }

    /// What it was not shown, in words, and what it listens to.
    fn missed(&self, evidence: &Evidence) -> Vec<String> {
        let mut lines: Vec<_> =
            evidence.not_shown.iter().map(|(name, count)| format!("not shown to it: {count} {name}")).collect();
        let filters = self.view.subscriptions.values().flatten();
        let filters: Vec<_> = filters.map(|filter| self.case.elided(filter)).collect();
        lines.push(match filters.as_slice() {
            [] => "it subscribes to nothing".to_owned(),
            filters => format!("it subscribes to: {}", filters.join(", ")),
        });
        lines
    }

    /// On how many occasions the module could have broken each requirement: those that monitors watch for, whatever is
    /// played; those that the scenario names, if it was played to its end.
    pub fn occasions(&self, is_complete: bool) -> BTreeMap<&'static str, usize> {
        let messages = self.messages();
        let facts = self.facts(&messages);
        let side = self.case.side();
        let named = self.case.scenario.model.requirements.iter().filter_map(|id| Some(requirements::find(id)?.id));
        let named: Vec<_> = if is_complete { named.collect() } else { Vec::new() };
        let watched = occasions::watched(side).iter().copied();
        let ids: BTreeSet<_> = named.iter().copied().chain(watched).collect();
        let counted = ids.into_iter().map(|id| match side {
            Side::Client => (id, occasions::count(id, facts)),
            Side::Everest if named.contains(&id) => (id, occasions::of_everest(id, facts) + self.demands_met(id)),
            Side::Everest => (id, occasions::of_everest(id, facts)),
        });
        counted.filter(|(_, count)| *count > 0).collect()
    }

    /// How many steps judged the module by a requirement: where steps say what they are about, those that say this one.
    fn demands_met(&self, id: &'static str) -> usize {
        match self.past.met.len() {
            0 | 1 => self.past.met.values().sum(),
            _ => self.past.met.get(&Some(id)).copied().unwrap_or_default(),
        }
    }

    pub(super) fn facts<'m>(&self, messages: &'m [Fact<'m>]) -> Facts<'m> {
        Facts {
            messages,
            came_back: self.came_back,
            cut_off_since: self.past.cut_off_since,
            heartbeat_interval: self.heartbeat_interval,
            in_force: self.in_force,
        }
    }

    /// The messages that bear on the occasions of requirements.
    pub(super) fn messages(&self) -> Vec<Fact<'_>> {
        self.facts_of(self.view.messages, Fate::Missed)
    }

    /// The same of these messages, where it is told apart what the module was handed and has not acknowledged.
    pub(super) fn handed<'m>(&self, messages: &'m [Sighting]) -> Vec<Fact<'m>> {
        self.facts_of(messages, Fate::Handed)
    }

    /// The messages, where what the module has not acknowledged had this fate.
    fn facts_of<'m>(&self, messages: &'m [Sighting], unacknowledged: Fate) -> Vec<Fact<'m>> {
        let facts = messages.iter().filter_map(|seen| {
            let fate = match (seen.from, self.view.is_for_module(seen, self.case)) {
                (Party::Module, _) => Fate::Sent,
                (Party::Harness, true) if self.deliveries.is_shown(seen) => Fate::Shown,
                (Party::Harness, true) if self.deliveries.was_handed(seen) => unacknowledged,
                (Party::Harness, true) if self.deliveries.is_broken(seen) => Fate::Broken,
                (Party::Harness, true) => Fate::Missed,
                (Party::Harness, false) => return None,
            };
            let answers = match &seen.kind {
                Kind::Answer(index) | Kind::Reply(index) => Some(self.view.requests[*index].seq),
                _ => None,
            };
            let message = match &seen.kind {
                Kind::Channel(channel) => Message::On(*channel),
                Kind::EntryPoint(EntryPoint::Discover | EntryPoint::QueryModules(_)) => Message::DISCOVER_REQUEST,
                Kind::Answer(_) => Message::DISCOVER_REPLY,
                Kind::Reply(index) => match &self.view.requests[*index].kind {
                    Kind::Channel(channel) => Message::reply_to(*channel)?,
                    _ => return None,
                },
                _ => return None,
            };
            let (payload, json) = (&*seen.publish.payload, seen.json.as_ref());
            let form = if fate == Fate::Sent { None } else { seen.form() };
            let befell = self.deliveries.befell(seen.seq);
            Some(Fact { seq: seen.seq, answers, fate, message, at: seen.at, payload, json, form, befell })
        });
        facts.collect()
    }
}

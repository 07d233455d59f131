//! What a module under test does of its own accord, which is never held against it.
//!
//! A client is told what to do on the control topic, by a binding, or by the scenario itself. One that is not acts by
//! itself: which token it hands in, which verdict it gives, and what it asks for is its own affair, and so is what EVerest
//! makes of that. What the protocol obliges it to is judged all the same: that it answers while EVerest waits, and where, its
//! communication checks, and that it lives.

use std::collections::BTreeSet;
use std::time::Duration;

use super::case::Case;
use super::expectation::{Expectation, What};
use super::findings::{Findings, astray, follows_from_module};
use super::{Fault, NotMet, Why};
use crate::conformance::sighting::{Kind, Party};
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::channel::{ApiType, EntryPoint};
use crate::protocol::schema::Message;
use crate::protocol::side::Side;
use crate::scenario::channel_of;
use crate::scenario::pattern::Captures;

/// How a module under test can be told what to do.
#[derive(Debug, Clone, Default)]
pub struct Means {
    /// Whether it has listened on the control topic.
    pub listens: bool,
    /// The commands for which there is a binding.
    pub bound: BTreeSet<String>,
    /// Whether the scenario has told it something in a way of its own.
    pub by_hand: bool,
}

/// How a module came to know of a demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// It was told.
    Told,
    /// It was not told: it does so by itself, or somebody presses its button, within this time, as a binding says.
    ByItself(Duration),
    /// It may do it of its own accord; it is waited for so long.
    Awaited(Duration),
    /// There is no way to tell it.
    Never,
}

impl Prompt {
    /// Whether it was told.
    pub fn is_told(self) -> bool {
        self == Prompt::Told
    }
}

impl Means {
    /// Whether it could have been told this.
    pub fn tell(&self, command: &str) -> bool {
        self.listens || self.by_hand || self.bound.contains(command)
    }
}

impl Findings<'_> {
    /// The command by which the module would have had to be told what is not met, if it cannot be told and the protocol
    /// does not oblige it.
    pub(super) fn own_accord(&self, not_met: &NotMet) -> Option<&'static str> {
        let case = self.case;
        let command = match &not_met.why {
            // A demand that it cannot be told of has a finding of its own.
            Why::Expected(_, Fault::Ended | Fault::NotDrivable | Fault::NotDone | Fault::NotAskedAgain(_))
            | Why::EndedInSilence
            | Why::CallsUnseen => None,
            Why::Expected(expectation, fault) => self.steers(expectation, fault),
            Why::Unexpected(seq) => {
                let seen = self.view.message(*seq)?;
                match seen.from {
                    Party::Module => asked_by(case.topics.api, &seen.kind),
                    Party::Harness if case.is_other_api() => outcome_of(case.topics.api),
                    Party::Harness => None,
                }
            }
        };
        command.filter(|command| acts_by_itself(case, &self.module.means, command))
    }

    fn steers(&self, expectation: &Expectation, fault: &Fault) -> Option<&'static str> {
        if expectation.by == Party::Harness {
            let is_outcome = !matches!(expectation.what, What::Reply { .. });
            return outcome_of(self.case.topics.api)
                .filter(|_| is_outcome && follows_from_module(self.case, self.view, expectation));
        }
        match &expectation.what {
            // That it answers is its duty; what it answers, and in which order, is not.
            What::Reply { .. } if matches!(fault, Fault::Mismatch(..) | Fault::OutOfOrder(_)) => {
                outcome_of(self.case.topics.api)
            }
            // When it answers is its own affair as long as EVerest waits for it.
            What::Reply { .. } => {
                let waited = match fault {
                    Fault::Late(_, waited) | Fault::Missing { waited, .. } => Some(*waited),
                    _ => None,
                };
                let is_elsewhere = astray(self.view, self.claims, expectation).is_some();
                let is_early = waited.is_some_and(|waited| waited < self.case.answer_within) && !is_elsewhere;
                outcome_of(self.case.topics.api).filter(|_| is_early)
            }
            What::Message { kind: Some(kind), api, payload, .. } => {
                let channel = channel_of(*kind, *api)?;
                let owed = api.behaviour().owed(channel).map(|(owed, _)| owed);
                let takes = |value| payload.as_ref().is_none_or(|it| it.matches(value, &mut Captures::new()).is_ok());
                asked_by(*api, &Kind::Channel(channel)).filter(|_| !owed.as_ref().is_some_and(takes))
            }
            // Whoever asks for a topic may mean anything.
            What::Message { .. } | What::Status { .. } | What::Did { .. } | What::Request { .. } => None,
        }
    }

    /// Lets the module off where khumbu's own side could not go on, or did something else than the scenario expects, after
    /// a module that acts by itself has done something that EVerest goes by.
    pub fn let_off(&self, found: &mut Diagnostic) {
        let Self { case, view, module, .. } = *self;
        if found.severity != Severity::Error || !found.is_otherwise {
            return;
        }
        let what = |kind: &Kind| match kind {
            Kind::Channel(channel) => Some(Message::On(*channel)),
            Kind::Reply(index) => match view.requests[*index].kind {
                Kind::Channel(channel) => Some(Message::ReplyTo(channel)),
                _ => None,
            },
            _ => None,
        };
        let leads = |kind: &Kind| {
            what(kind)
                .filter(|message| case.topics.api.behaviour().leads(*message))
                .and_then(|it| case.topics.api.behaviour().command(it))
        };
        let own = view.messages.iter().rev().filter(|seen| seen.from == Party::Module);
        let mut led = own.filter_map(|seen| Some((seen, leads(&seen.kind)?)));
        if let Some((seen, command)) = led.find(|(_, command)| acts_by_itself(case, &module.means, command)) {
            let line = format!("it did by itself: {}", case.line(seen));
            *found = self.not_held(found.clone().with_evidence(line), command);
        }
    }

    /// What is found is not held against the module.
    pub(super) fn not_held(&self, found: Diagnostic, command: &'static str) -> Diagnostic {
        let case = self.case;
        let headline = format!("not held against {}, which acts by itself: {}", case.culprit(), found.headline);
        let (severity, id) = (Severity::Inconclusive, "module/acts-by-itself");
        let subject = Subject::Module;
        Diagnostic { severity, id, headline, subject, is_otherwise: false, ..found }
            .with_lines(self.module.listening.clone())
            .unexercised(what_would_exercise(case, command))
    }
}

/// What has to be done for a module to be told this.
pub(super) fn what_would_exercise(case: &Case<'_>, command: &str) -> String {
    let binding = match command {
        "set_verdict" => "if its own table has the tokens of the scenario",
        "present_token" => "if somebody presents the token to it",
        _ => "if it does so by itself, or somebody presses its button",
    };
    format!("let it {}, or `{command}: {{by_itself: 30s}}` {binding}", ways_to_tell(case, command))
}

/// How a module can be told this.
pub(super) fn ways_to_tell(case: &Case<'_>, command: &str) -> String {
    format!(
        "follow `{command}` on `{}`, or give it a binding for `{command}` in khumbu.yaml: a line, a message or a command that tells \
         it (`stdin`, `publish`, `run`)",
        case.topics.control_topic()
    )
}

/// Whether the module is one that is not told this, and may do as it pleases.
fn acts_by_itself(case: &Case<'_>, means: &Means, command: &str) -> bool {
    case.side() == Side::Client && !means.tell(command)
}

/// The command by which a client is told to send a message of this kind, if it sends it of its own accord.
pub(super) fn asked_by(api: ApiType, kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Channel(channel) => api.behaviour().command(Message::On(*channel)),
        Kind::EntryPoint(EntryPoint::Discover) => Some("discover"),
        Kind::EntryPoint(EntryPoint::QueryModules(_)) => Some("query_modules"),
        _ => None,
    }
}

/// The command that decides what EVerest makes of the messages of a client of this API.
pub(super) fn outcome_of(api: ApiType) -> Option<&'static str> {
    let messages = api.channels().map(|channel| match channel.is_question() {
        true => Message::ReplyTo(channel),
        false => Message::On(channel),
    });
    // What a client is asked stands above what it says by itself.
    let leading = messages.filter(|message| api.behaviour().leads(*message));
    api.behaviour().command(leading.min_by_key(|message| matches!(message, Message::On(_)))?)
}

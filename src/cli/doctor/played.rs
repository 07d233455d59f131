//! What is played with a module that is looked at: it says that it is there, is shown a message of each kind, and is told what
//! bindings say how to tell. And what came of each binding. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Diagnostic, Subject};
use crate::protocol::channel::ApiType;
use crate::protocol::side::Side;
use crate::runner::Binding;
use crate::verdict::{ScenarioResult, Verdict};

/// So many heartbeats come behind each other message, so that a module has time to stumble over it before the next one.
const HEARTBEATS: &str = "  - repeat: {times: 3, steps: [expect: {message: heartbeat}]}";

/// A scenario, and which of its lines show whether a binding works.
#[derive(Debug)]
pub(super) struct Played {
    /// The scenario.
    pub text: String,
    /// The lines that are about a command, counted from 1, in the order in which they are played.
    tried: Vec<(Vec<usize>, &'static str)>,
    /// Commands with a binding that cannot be tried here.
    untried: Vec<String>,
    /// Commands that the module follows without being told.
    by_itself: Vec<String>,
}

/// What came of the bindings of `khumbu.yaml`.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    /// The commands that the module has followed.
    pub followed: Vec<String>,
    /// What is wrong with the one that led to nothing, in words.
    pub dead: Option<String>,
    /// Those of which nobody knows.
    pub untried: Vec<String>,
    /// Those that nobody tells the module.
    pub by_itself: Vec<String>,
}

impl Played {
    /// What is played with a module on a side, for a client with one of this API.
    pub fn of(side: Side, api: ApiType, bindings: &BTreeMap<String, Binding>, cannot: &BTreeSet<String>) -> Self {
        let mut played = Self { text: String::new(), tried: Vec::new(), untried: Vec::new(), by_itself: Vec::new() };
        played.line("description: A module is started.");
        if side == Side::Everest {
            played.line("under_test: everest\nsteps:\n  - expect: {message: heartbeat, within: 10s}");
            return played;
        }
        played.line(&format!("under_test: client\napi: {}", api.name()));
        let is_known = ApiType::AUTH_APIS.contains(&api);
        let is_told = |command: &str| {
            !cannot.contains(command)
                && bindings.get(command).is_some_and(|binding| !matches!(binding, Binding::ByItself(_)))
        };
        if is_known {
            played.line(&format!("station:\n  {}: {{cfg_heartbeat_interval_ms: 250}}\n  tokens:", api.name()));
            played.line("    CARD: {value: \"04A2F3B1\", type: ISO14443, verdict: Blocked}");
        }
        let token = played.lines();
        // Whoever is there says so, again and again.
        played.line("steps:\n  - expect: {message: communication_check, payload: true, within: 10s}");
        if is_known {
            played.line(HEARTBEATS);
            if api != ApiType::AUTH_TOKEN_PROVIDER {
                played.line("  - present_token: CARD");
            }
            // A validator is told of the token before the first step.
            if api == ApiType::AUTH_TOKEN_VALIDATOR && is_told("set_verdict") {
                played.line("  - expect_reply: {to: CARD, payload: {authorization_status: Blocked}}");
                played.tried.push((vec![token, played.lines()], "set_verdict"));
            }
            played.line(HEARTBEATS);
        }
        for (command, steps) in told_by(api) {
            if is_told(command) {
                let before = played.lines();
                played.line(&steps);
                played.tried.push((vec![before + 1, played.lines()], command));
            }
        }
        let is_tried = |command: &str| played.tried.iter().any(|(_, tried)| *tried == command);
        let (by_itself, untried): (Vec<_>, Vec<_>) = bindings
            .iter()
            .filter(|(command, _)| !is_tried(command) && !cannot.contains(*command))
            .partition(|(_, binding)| matches!(binding, Binding::ByItself(_)));
        let names = |list: Vec<(&String, &Binding)>| list.into_iter().map(|(command, _)| command.clone()).collect();
        (played.by_itself, played.untried) = (names(by_itself), names(untried));
        played
    }

    /// What came of the bindings.
    pub fn bindings(&self, result: Option<&ScenarioResult>) -> Bindings {
        let findings = result.map(|result| result.findings.as_slice()).unwrap_or_default();
        let mut failed = findings.iter().filter(|found| Verdict::of(found) != Verdict::Pass);
        // What a monitor found, or how the module ended behind the last step, stopped nothing.
        let is_aside = |found: &Diagnostic| matches!(found.subject, Subject::Requirement | Subject::ModuleEnd);
        let is_over = result.is_some() && failed.clone().all(|found| found.place.is_none() && is_aside(found));
        let broken = failed.find_map(|found| Some((found.place.as_ref()?.line(), found)));
        let mut bindings = Bindings { by_itself: self.by_itself.clone(), ..Bindings::default() };
        for (lines, command) in &self.tried {
            let command = (*command).to_owned();
            match broken {
                Some((line, found)) if lines.contains(&line) => {
                    bindings.dead = Some(match found.id {
                        "module/binding-failed" => found.headline.clone(),
                        _ => format!("nothing comes of the binding for `{command}`: {}", found.headline),
                    });
                }
                Some((line, _)) if lines.iter().all(|own| *own < line) => bindings.followed.push(command),
                None if is_over => bindings.followed.push(command),
                _ => bindings.untried.push(command),
            }
        }
        bindings.untried.extend(self.untried.iter().cloned());
        bindings
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// How many lines there are.
    fn lines(&self) -> usize {
        self.text.lines().count()
    }
}

/// The steps that show whether a client of this API has followed a command, one line each.
fn told_by(api: ApiType) -> Vec<(&'static str, String)> {
    let mut steps = Vec::new();
    match api {
        ApiType::AUTH_CONSUMER => {
            steps.push(("get_status", "  - get_status: {}".to_owned()));
            steps.push(("withdraw", "  - withdraw: {evse_id: 1}".to_owned()));
        }
        ApiType::AUTH_TOKEN_PROVIDER => steps.push(("present_token", "  - present_token: CARD".to_owned())),
        ApiType::AUTH_TOKEN_VALIDATOR => {}
        _ => return steps,
    }
    steps.push(("discover", "  - discover: {}".to_owned()));
    steps.push(("query_modules", format!("  - query_modules: {}", api.name())));
    // It says `true` without being told.
    steps.push(("communication_check", "  - communication_check: false\n  - communication_check: true".to_owned()));
    steps
}

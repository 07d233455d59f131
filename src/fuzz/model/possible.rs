//! Which inputs are possible: those that the station has use for, and of which khumbu can tell what becomes of them and when.

use std::sync::Arc;
use std::time::Duration;

use super::{DISCOVER, Last, Led, Model, PATIENCE, UNKNOWN_TYPE, bytes, index};
use crate::fuzz::input::{Input, Payload};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::Command;
use crate::protocol::deviations::Deviation;
use crate::protocol::side::Side;
use crate::protocol::types::TokenValidationStatus;
use crate::station;
use crate::station::config::SelectionAlgorithm;

/// Heartbeats that come faster are waited for.
const FAST_HEARTBEAT_MS: i32 = 200;

impl Model {
    /// Whether a token, or one whose value differs in case alone, may be in use as far as anybody knows.
    fn is_presented(&self, name: &str) -> bool {
        let value = |name: &str| self.config.tokens.get(name).map(|token| token.value.to_ascii_lowercase());
        self.presented.iter().any(|other| value(other) == value(name))
    }

    /// Whether the station has use for an input now, and khumbu can tell what becomes of it.
    pub fn is_possible(&self, input: &Input) -> bool {
        self.tried(input).is_some()
    }

    /// The station after an input, and what comes of it; `None` where that is not possible.
    pub fn tried(&self, input: &Input) -> Option<(Arc<Self>, Led)> {
        let is_possible = self.is_possible_untried(input);
        if is_possible == Some(false) {
            return None;
        }
        let mut after = Arc::new(self.clone());
        let led = Arc::make_mut(&mut after).led(input);
        // Of several tokens that wait, EVerest lets any go on first.
        let is_certain = self.under_test == Side::Client
            || after.station.contests() == self.station.contests() && !led.has_strangers;
        let is_possible = is_certain && (is_possible == Some(true) || self.is_possible_as(input, &after, &led));
        is_possible.then_some((after, led))
    }

    /// The station after inputs, each of which is possible after those before it.
    pub fn through(self: Arc<Self>, inputs: &[Input]) -> Option<Arc<Self>> {
        inputs.iter().try_fold(self, |model, input| model.tried(input).map(|(after, _)| after))
    }

    /// Whether an input is possible, where that can be told without trying.
    fn is_possible_untried(&self, input: &Input) -> Option<bool> {
        let interval = self.config.auth_consumer.cfg_heartbeat_interval_ms;
        let is_possible = match input {
            // What is plugged in or faulted is found so again, which is another beginning.
            Input::RestartEverest => {
                let is_at_rest = |evse: &station::EvseStatus| !evse.plugged_in && !evse.faulted;
                (self.is_settled || self.under_test == Side::Client)
                    && self.station.status().evses.iter().all(is_at_rest)
            }
            Input::AwaitHeartbeat if self.under_test == Side::Client => false,
            Input::AwaitHeartbeat => (1..=FAST_HEARTBEAT_MS).contains(&interval),
            Input::AwaitNoHeartbeat if self.under_test == Side::Client => {
                (1..=FAST_HEARTBEAT_MS).contains(&interval) && self.last == Last::Paused && !self.has_faults
            }
            Input::AwaitNoHeartbeat => interval <= 0,
            Input::AwaitCheck => self.under_test == Side::Client && self.checks && !self.has_faults,
            // Nothing has come between that would explain one.
            Input::AwaitNoCheck => self.last == Last::SaidFalse && !self.has_faults,
            Input::AwaitNoMoreOf(value) => self.last == Last::Presented(value.clone()) && !self.has_faults,
            // When exactly something runs out, nobody can tell.
            Input::Wait(ms) => {
                let led = self.clone().waited(Duration::from_millis(*ms) + PATIENCE);
                self.under_test == Side::Client || led == Led::default()
            }
            // Once in a case: it takes seconds.
            Input::AwaitTimeout if self.has_waited => false,
            Input::AwaitTimeout => return None,
            Input::DisconnectUnanswered => self.under_test == Side::Client && self.api == ApiType::AUTH_CONSUMER,
            Input::LoseHeartbeats(_) | Input::Disconnect | Input::Fault(..) => self.under_test == Side::Client,
            Input::SetVerdict { token, .. } => self.judges_tokens() && self.config.tokens.contains_key(token),
            Input::Command(Command::UpdateVerdict(_)) if self.judges_tokens() => {
                self.is_driven && !self.presented.is_empty()
            }
            Input::Command(Command::UpdateVerdict(update)) => {
                let is_it =
                    |evse: &station::EvseStatus| evse.evse == update.connector_id && evse.state == "transaction";
                let has_validator = self.under_test == Side::Client || self.config.auth_token_validator.is_some();
                has_validator && self.station.status().evses.iter().any(is_it)
            }
            Input::Command(Command::Discover {} | Command::QueryModules(_))
                if self.in_force.is_on(Deviation::NoEntryPoint) =>
            {
                false
            }
            Input::Command(Command::GetStatus {}) if !Channel::GET_TOKEN_VALIDATION_STATUS.runs(self.in_force) => false,
            Input::Command(Command::QueryModules(_)) if self.under_test == Side::Everest => return None,
            Input::Publish { topic, .. } if topic == "{reply_to}" && self.questions.len() != 1 => false,
            Input::Publish { topic, .. } if topic == DISCOVER => !self.in_force.is_on(Deviation::NoEntryPoint),
            Input::Publish { topic, .. } if topic == "{reply_to}" || self.channel(topic).is_some() => return None,
            Input::Publish { .. } if input.asks_nowhere() => self.in_force.is_on(Deviation::GetterBelowM2e),
            Input::Publish { .. } => self.under_test == Side::Client,
            Input::PresentToken(_) if self.under_test == Side::Client && self.api == ApiType::AUTH_TOKEN_PROVIDER => {
                true
            }
            Input::PresentToken(name) if self.is_presented(name) => false,
            Input::PresentToken(_) => return None,
            // What comes of a token that the module judges, only the module knows.
            Input::Command(Command::Unplug(at)) if self.judges_tokens() => {
                self.station.status().evses.get(index(at.evse)).is_some_and(|evse| evse.plugged_in)
            }
            Input::Command(Command::StartTransaction(_) | Command::StopTransaction(_)) if self.judges_tokens() => false,
            Input::WithdrawTwice(_) => self.under_test == Side::Everest,
            Input::Command(Command::Withdraw(_) | Command::CommunicationCheck(_) | Command::SetReply(_)) => true,
            Input::Command(Command::GetStatus {} | Command::Discover {} | Command::QueryModules(_)) => true,
            Input::Command(command) => return self.station.would_move(command),
        };
        Some(is_possible)
    }

    /// Whether an input is possible that leads to this.
    fn is_possible_as(&self, input: &Input, after: &Self, led: &Led) -> bool {
        match input {
            Input::AwaitTimeout => led.statuses.iter().any(|(_, status)| is_end(status.status)),
            // Its reply has no name by which it would be known later.
            Input::Command(Command::QueryModules(name)) => !led.replies.is_empty() || name == UNKNOWN_TYPE,
            Input::Publish { topic, payload } => self.is_foreseeable(topic, payload, after, led),
            Input::PresentToken(name) => {
                let last = led.statuses.last().map(|(_, status)| status.status);
                let takes_time = self.config.tokens.get(name).is_some_and(|token| token.verdict_after.is_some());
                // A token that gets stuck says nothing of when it does.
                let is_stuck = last == Some(TokenValidationStatus::Processing) && !takes_time;
                !(led.is_ignored || is_stuck && self.under_test == Side::Everest)
            }
            _ => !led.is_ignored,
        }
    }

    /// Whether khumbu knows when a message has been worked on that leads to this.
    fn is_foreseeable(&self, topic: &str, payload: &Payload, after: &Self, led: &Led) -> bool {
        if led.has_ended {
            return false;
        }
        let Some(channel) = self.channel(topic) else { return true };
        let behaviour = channel.api().behaviour();
        // Nobody can wait for what is done without a reply; what comes next may overtake it.
        let remembers = self.config.auth.selection_algorithm != SelectionAlgorithm::FindFirst;
        let is_executed = || behaviour.why_not_executed(channel, &bytes(payload, 0), self.in_force).is_none();
        let is_idle = || !remembers && after.station.status() == self.station.status();
        !behaviour.owes_reply(channel)
            || is_answerable(payload)
            || !led.statuses.is_empty()
            || !is_executed()
            || is_idle()
    }
}

/// Whether nothing follows upon this status but by somebody's doing.
fn is_end(status: TokenValidationStatus) -> bool {
    matches!(status, TokenValidationStatus::TimedOut | TokenValidationStatus::Rejected)
}

/// Whether a request says where its reply goes.
fn is_answerable(payload: &Payload) -> bool {
    let topic = payload.json().and_then(|json| json.pointer("/headers/replyTo"));
    topic.is_some_and(|topic| topic == "{reply}")
}

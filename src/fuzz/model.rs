//! What inputs lead to: the station of the simulator, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::input::{Input, Payload};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::{AtConnector, AtEvse, Command, HeartbeatControl};
use crate::protocol::side::Side;
use crate::protocol::types::{IdToken, TokenValidationStatus, WithdrawAuthorizationRequest};
use crate::station::config::StationConfig;
use crate::station::{self, Address, Effect, Station};

/// From one input to the next.
const STEP: Duration = Duration::from_millis(1);
/// An EVSE that no station of a case has.
const NO_EVSE: i32 = 9;

/// A station, and what it has been through.
#[derive(Debug, Clone)]
pub struct Model {
    under_test: Side,
    api: ApiType,
    config: Arc<StationConfig>,
    station: Station,
    now: Duration,
}

/// What an input leads to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Led {
    /// Statuses, in order, by the name of the token.
    pub statuses: Vec<(String, TokenValidationStatus)>,
    /// The reply to a request.
    pub reply: Option<Value>,
    /// Nothing has come of it.
    pub is_ignored: bool,
}

impl Model {
    /// A station that has just started.
    pub fn new(under_test: Side, api: ApiType, config: Arc<StationConfig>) -> Self {
        let mut station = Station::new(&config);
        station.apply(Duration::ZERO, station::Input::Ready);
        Self { under_test, api, config, station, now: Duration::ZERO }
    }

    /// What can be done now and has an effect, but for what is published as it stands.
    pub fn offers(&self) -> Vec<Input> {
        let mut inputs = Vec::new();
        if self.api == ApiType::AUTH_CONSUMER {
            let evses = 1..=i32::from(self.config.evses);
            let at = |evse| AtConnector { evse, connector: None };
            inputs.extend(evses.clone().flat_map(|evse| {
                let commands = [
                    Command::PlugIn(at(evse)),
                    Command::Unplug(AtEvse { evse }),
                    Command::StartTransaction(AtEvse { evse }),
                    Command::StopTransaction(AtEvse { evse }),
                    Command::InjectFault(at(evse)),
                    Command::ClearFault(at(evse)),
                ];
                commands.map(Input::Command)
            }));
            inputs.extend(self.config.tokens.keys().cloned().map(Input::PresentToken));
            if self.under_test == Side::Everest {
                inputs.extend(self.withdraws().map(Command::Withdraw).map(Input::Command));
                inputs.push(Input::Command(Command::GetStatus {}));
            }
        }
        inputs.retain(|input| self.is_possible(input));
        inputs
    }

    /// What happens to the connection, to EVerest as a whole, and to its heartbeats.
    pub fn turns(&self) -> Vec<Input> {
        if self.under_test == Side::Everest {
            return Vec::new();
        }
        let next = [0, 1, 4_294_967_296, 9_007_199_254_740_993, u64::MAX].map(HeartbeatControl::Next);
        let heartbeats = [HeartbeatControl::Pause, HeartbeatControl::Resume].into_iter().chain(next);
        let mut inputs: Vec<_> = heartbeats.map(Command::Heartbeats).map(Input::Command).collect();
        inputs.push(Input::Disconnect);
        // What is plugged in or faulted is found so again, which is another beginning.
        if self.station.status().evses.iter().all(|evse| !evse.plugged_in && !evse.faulted) {
            inputs.push(Input::RestartEverest);
        }
        inputs.retain(|input| *input == Input::RestartEverest || self.is_possible(input));
        inputs
    }

    fn withdraws(&self) -> impl Iterator<Item = WithdrawAuthorizationRequest> {
        let evses: Vec<_> = (1..=i32::from(self.config.evses)).chain([NO_EVSE]).map(Some).chain([None]).collect();
        let tokens: Vec<Option<IdToken>> =
            self.config.tokens.values().map(|token| Some(token.id_token())).chain([None]).collect();
        evses.into_iter().flat_map(move |evse_id| {
            tokens.clone().into_iter().map(move |id_token| WithdrawAuthorizationRequest { evse_id, id_token })
        })
    }

    /// Whether the station has use for an input now.
    pub fn is_possible(&self, input: &Input) -> bool {
        match input {
            Input::RestartEverest => self.turns().contains(input),
            Input::Publish { topic, payload } => self.channel(topic).is_none_or(|channel| {
                // Nobody can wait for what is done without a reply; what comes next may overtake it.
                let behaviour = channel.api().behaviour();
                let is_done = behaviour.why_not_executed(channel, &bytes(payload), self.config.in_force()).is_none();
                !behaviour.owes_reply(channel) || !is_done || self.clone().led(input).reply.is_some()
            }),
            Input::Disconnect => true,
            _ => !self.clone().led(input).is_ignored,
        }
    }

    /// The station after an input.
    #[must_use]
    pub fn after(mut self, input: &Input) -> Self {
        self.led(input);
        self
    }

    /// Takes an input, and says what comes of it.
    pub(super) fn led(&mut self, input: &Input) -> Led {
        self.now += STEP;
        let effects = match input {
            Input::PresentToken(name) => match self.config.tokens.get(name) {
                Some(token) => self.station.apply(self.now, station::Input::Command(token.to_command())),
                None => return Led { is_ignored: true, ..Led::default() },
            },
            Input::Command(Command::Withdraw(request)) => {
                self.receive(Channel::WITHDRAW_AUTHORIZATION, &json!({"headers": {"replyTo": "r"}, "payload": request}))
            }
            Input::Command(Command::GetStatus {}) => {
                self.receive(Channel::GET_TOKEN_VALIDATION_STATUS, &json!({"headers": {"replyTo": "r"}}))
            }
            Input::Disconnect => Vec::new(),
            Input::Command(command) => self.station.apply(self.now, station::Input::Command(command.clone())),
            Input::RestartEverest => {
                *self = Self::new(self.under_test, self.api, self.config.clone());
                Vec::new()
            }
            Input::Publish { topic, payload } => self.published(topic, payload),
        };
        let mut led = Led::default();
        for effect in effects {
            match effect {
                Effect::Ignored { .. } => led.is_ignored = true,
                Effect::Publish { to: Address::Reply(_), payload } => {
                    let reply = serde_json::to_value(payload).unwrap_or_default();
                    led.reply = Some(match reply.get("status") {
                        Some(status) => json!({ "status": status }),
                        None => reply,
                    });
                }
                Effect::Publish { payload: station::Payload::Status(status), .. } => {
                    let name = self.name_of(&status.token.id_token.value);
                    led.statuses.extend(name.map(|name| (name, status.status)));
                }
                _ => {}
            }
        }
        led
    }

    /// What khumbu publishes to an EVerest under test; what it publishes in EVerest's place moves no station.
    fn published(&mut self, topic: &str, payload: &Payload) -> Vec<Effect> {
        let Some(channel) = self.channel(topic) else { return Vec::new() };
        let effects = self.station.apply(self.now, station::Input::Received { channel, payload: bytes(payload) });
        effects.into_iter().filter(|effect| !matches!(effect, Effect::Ignored { .. })).collect()
    }

    /// The channel of an EVerest under test that a topic of a case means.
    fn channel(&self, topic: &str) -> Option<Channel> {
        self.api.channels().find(|channel| {
            self.under_test == Side::Everest
                && !channel.is_from_everest()
                && topic.strip_prefix("{m2e}/") == channel.address().strip_prefix("m2e/")
        })
    }

    fn receive(&mut self, channel: Channel, json: &Value) -> Vec<Effect> {
        let payload = Bytes::from(json.to_string());
        self.station.apply(self.now, station::Input::Received { channel, payload })
    }

    fn name_of(&self, value: &str) -> Option<String> {
        let named = |is_it: &dyn Fn(&str) -> bool| {
            self.config.tokens.iter().find(|(_, token)| is_it(&token.value)).map(|(name, _)| name.clone())
        };
        named(&|other| other == value).or_else(|| named(&|other| other.eq_ignore_ascii_case(value)))
    }
}

/// What is published; its reply goes somewhere.
fn bytes(payload: &Payload) -> Bytes {
    match payload {
        Payload::Json(value) => Bytes::from(value.to_string().replace("{reply}", "r")),
        Payload::Text(text) => Bytes::from(text.replace("{reply}", "r")),
        Payload::Bytes(bytes) => Bytes::from(bytes.clone()),
    }
}

//! What inputs lead to: the station of the simulator, in virtual time.

mod offers;
mod patterns;
mod possible;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

pub(super) use self::offers::Kind;
use self::offers::set_reply;
use self::patterns::{as_pattern, as_question};
use super::input::{Input, NO_EVSE, Payload, lasts_by_itself};
use crate::protocol::channel::{ApiType, Channel, EntryPoint};
use crate::protocol::control::{AtConnector, AtEvse, Command, HeartbeatControl, SetReply};
use crate::protocol::deviations::Deviations;
use crate::protocol::side::Side;
use crate::protocol::types::{TokenValidationStatusMessage, ValidationResult, WithdrawAuthorizationRequest};
use crate::protocol::wire::Encoder;
use crate::station::config::{StationConfig, TokenConfig};
use crate::station::{self, Address, CommunicationFault, Effect, RequestId, Station};

/// From one input to the next.
const STEP: Duration = Duration::from_millis(1);
/// What runs out sooner is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// A type that no API module has.
const UNKNOWN_TYPE: &str = "nothing";
/// Where clients ask which API modules there are.
pub(super) const DISCOVER: &str = "{external_prefix}everest_api/discover";
/// What topics for replies begin with.
const REPLIES: &str = "replies/";
/// The step that ends all faults.
const LIFT: &str = "lift_faults";

/// A station, and what it has been through.
#[derive(Debug, Clone)]
pub struct Model {
    under_test: Side,
    api: ApiType,
    is_driven: bool,
    config: Arc<StationConfig>,
    in_force: Deviations,
    station: Station,
    now: Duration,
    /// How many requests were made.
    requests: usize,
    /// What the validator was asked and answers later: which question, what, and when.
    questions: Vec<(RequestId, ValidationResult, Duration)>,
    /// Tokens of which a validator under test says what it wants.
    presented: BTreeSet<String>,
    /// Whether a client under test sends communication checks.
    pub(super) checks: bool,
    /// Whether messages may meet a fault.
    pub(super) has_faults: bool,
    /// Whether what came last was seen to have been done: a restart overtakes what was not.
    is_settled: bool,
    /// Whether it was waited until times have run out.
    has_waited: bool,
    /// What its requests get in place of EVerest's own reply.
    pub(super) chosen_reply: Option<SetReply>,
    /// What a client under test was told last.
    last: Last,
}

/// What came last, as far as it says what may not follow.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Last {
    /// A client was to say that it ends.
    SaidFalse,
    /// Heartbeats have paused.
    Paused,
    /// A token reader was shown the token with this value.
    Presented(String),
    Other,
}

/// What an input leads to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Led {
    /// Statuses, in order, by the name of the token.
    pub statuses: Vec<(String, Arc<TokenValidationStatusMessage>)>,
    /// Replies, each with the number of its request.
    pub replies: Vec<(usize, Value)>,
    /// Communication faults that API modules raise (`true`) or clear.
    pub faults: Vec<(ApiType, CommunicationFault, bool)>,
    /// What Auth answered to a wish to reserve, or to cancel that.
    pub reservation: Option<Value>,
    /// Whether Auth tells of a reservation.
    pub tells_of_reservation: bool,
    /// The number of the request that the input is.
    pub request: Option<usize>,
    /// What has to stand in the questions that the validator is asked.
    pub questions: Vec<Value>,
    /// Whether there are statuses that no scenario expects: of tokens that the station does not list, or at EVSEs that nobody
    /// has.
    pub has_strangers: bool,
    /// Nothing has come of it.
    pub is_ignored: bool,
    /// EVerest has ended.
    pub has_ended: bool,
}

impl Led {
    /// Whether nobody outside can tell this from another one.
    pub fn looks_like(&self, other: &Self) -> bool {
        self.statuses == other.statuses
            && self.replies == other.replies
            && self.faults == other.faults
            && self.questions == other.questions
            && self.has_strangers == other.has_strangers
            && self.has_ended == other.has_ended
    }
}

impl Model {
    /// A station that has just started.
    pub fn new(under_test: Side, api: ApiType, is_driven: bool, config: Arc<StationConfig>) -> Self {
        let mut with_api = config.as_ref().clone();
        with_api.add_module(api, "under_test");
        let mut station = Station::new(&with_api);
        station.apply(Duration::ZERO, station::Input::Ready);
        Self {
            under_test,
            api,
            is_driven,
            in_force: config.in_force(),
            config,
            station,
            now: Duration::ZERO,
            requests: 0,
            questions: Vec::new(),
            presented: BTreeSet::new(),
            checks: true,
            has_faults: false,
            is_settled: true,
            has_waited: false,
            chosen_reply: None,
            last: Last::Other,
        }
    }

    /// Whether the module under test says what tokens are worth.
    fn judges_tokens(&self) -> bool {
        self.under_test == Side::Client && self.api == ApiType::AUTH_TOKEN_VALIDATOR
    }

    fn evses(&self) -> std::ops::RangeInclusive<i32> {
        1..=i32::from(self.config.evses)
    }

    /// What brings the station back to where it began, but for what it remembers of the past: nothing plugged in, faulted,
    /// authorized, or waited for.
    pub fn rest(&self) -> Vec<Input> {
        let (mut model, mut inputs) = (self.clone(), Vec::new());
        let mut do_if_possible = |model: &mut Self, input: Input| {
            if model.is_possible(&input) {
                model.led(&input);
                inputs.push(input);
            }
        };
        if self.has_faults {
            do_if_possible(&mut model, Input::Fault(LIFT.to_owned(), Value::Null));
        }
        if !self.checks {
            do_if_possible(&mut model, Input::Command(Command::CommunicationCheck(true)));
        }
        if self.under_test == Side::Client {
            do_if_possible(&mut model, Input::Command(Command::Heartbeats(HeartbeatControl::Resume)));
        }
        if self.chosen_reply.is_some() {
            do_if_possible(&mut model, set_reply(None, false, 0));
        }
        if self.under_test == Side::Everest {
            do_if_possible(&mut model, Input::AwaitTimeout);
            let invalid = json!({"authorization_status": "Invalid", "tariff_messages": []});
            let answer = Input::Publish { topic: "{reply_to}".to_owned(), payload: Payload::Json(invalid) };
            do_if_possible(&mut model, answer);
            // What waits for an EV is withdrawn, one after the other, and then what was granted.
            for token in self.station.status().tokens_in_process {
                let request = WithdrawAuthorizationRequest { evse_id: None, id_token: Some(token.id_token) };
                do_if_possible(&mut model, Input::Command(Command::Withdraw(request)));
            }
            do_if_possible(&mut model, Input::Command(Command::Withdraw(WithdrawAuthorizationRequest::default())));
        }
        for evse in self.evses() {
            let at = AtConnector { evse, connector: None };
            do_if_possible(&mut model, Input::Command(Command::ClearFault(at)));
            let is_granted = |evse: &station::EvseStatus| evse.state == "granted";
            if model.station.status().evses.get(index(evse)).is_some_and(is_granted) {
                do_if_possible(&mut model, Input::Command(Command::PlugIn(at)));
                do_if_possible(&mut model, Input::Command(Command::StartTransaction(AtEvse { evse })));
            }
            do_if_possible(&mut model, Input::Command(Command::StopTransaction(AtEvse { evse })));
            do_if_possible(&mut model, Input::Command(Command::Unplug(AtEvse { evse })));
        }
        if self.under_test == Side::Everest {
            // Its reply says that all of the above is done.
            let nothing = WithdrawAuthorizationRequest { evse_id: Some(NO_EVSE), id_token: None };
            do_if_possible(&mut model, Input::Command(Command::Withdraw(nothing)));
        }
        // A token whose group holds a granted EVSE never ends.
        let is_stuck = self.under_test == Side::Client && !model.station.status().tokens_in_process.is_empty();
        if is_stuck || !self.presented.is_empty() {
            do_if_possible(&mut model, Input::RestartEverest);
        }
        inputs
    }

    /// Whether nothing is plugged in, faulted, authorized, or waited for.
    pub fn is_at_rest(&self) -> bool {
        let status = self.station.status();
        let is_free = |evse: &station::EvseStatus| evse.state == "available" && !evse.plugged_in && !evse.session;
        let is_idle = status.tokens_in_process.is_empty() && status.waiting_messages == 0;
        is_idle && status.evses.iter().all(is_free)
    }

    /// The station after an input.
    #[must_use]
    pub fn after(mut self, input: &Input) -> Self {
        self.led(input);
        self
    }

    /// The first of these inputs that leads to something else at another station; it is the last one that is taken.
    pub fn first_difference(mut self, mut other: Self, inputs: &[Input]) -> Option<usize> {
        inputs.iter().position(|input| !self.led(input).looks_like(&other.led(input)))
    }

    /// What the station looks like.
    pub fn status(&self) -> station::StationStatus {
        self.station.status()
    }

    /// Takes an input, and says what comes of it.
    pub fn led(&mut self, input: &Input) -> Led {
        self.now += STEP;
        let mut led = Led::default();
        match input {
            Input::PresentToken(name) => match self.config.tokens.get(name).map(|token| token.to_command()) {
                Some(command) => {
                    self.apply(station::Input::Command(command), &mut led);
                    self.presented.extend(self.judges_tokens().then(|| name.clone()));
                }
                None => led.is_ignored = true,
            },
            Input::Fault(name, _) => self.has_faults = name != LIFT && !lasts_by_itself(name),
            Input::Command(Command::Withdraw(request)) => {
                self.request(Channel::WITHDRAW_AUTHORIZATION, &json!(request), &mut led);
            }
            Input::WithdrawTwice(request) => {
                let nowhere = WithdrawAuthorizationRequest { evse_id: Some(NO_EVSE), id_token: None };
                for request in [&nowhere, request] {
                    self.request(Channel::WITHDRAW_AUTHORIZATION, &json!(request), &mut led);
                }
            }
            Input::Command(Command::GetStatus {}) => {
                self.request(Channel::GET_TOKEN_VALIDATION_STATUS, &json!({}), &mut led);
            }
            Input::Command(Command::Discover {}) => self.query(EntryPoint::Discover, &mut led),
            Input::Command(Command::QueryModules(name)) => {
                self.query(EntryPoint::QueryModules(name.clone()), &mut led);
            }
            Input::Command(Command::CommunicationCheck(is_good)) => {
                self.checks = *is_good;
                let payload = Bytes::from(is_good.to_string());
                self.apply(station::Input::Received { channel: Channel::COMMUNICATION_CHECK, payload }, &mut led);
                led.is_ignored = false;
            }
            Input::Command(command) => {
                if let Command::SetReply(set) = command {
                    self.chosen_reply = Some(set.clone()).filter(|set| set.never || set.payload.is_some());
                }
                self.apply(station::Input::Command(command.clone()), &mut led);
            }
            Input::AwaitTimeout => {
                self.has_waited = true;
                self.wait(PATIENCE, &mut led);
                led.is_ignored = false;
            }
            Input::Wait(ms) => self.wait(Duration::from_millis(*ms), &mut led),
            Input::RestartEverest => {
                let new = Self::new(self.under_test, self.api, self.is_driven, self.config.clone());
                // The module and the network go on.
                let Self { requests, checks, has_faults, has_waited, .. } = *self;
                *self = Self { requests, checks, has_faults, has_waited, ..new };
            }
            Input::Publish { topic, payload } => self.published(topic, payload, &mut led),
            Input::SetVerdict { .. } | Input::AwaitHeartbeat | Input::AwaitNoHeartbeat => {}
            Input::LoseHeartbeats(_) | Input::Disconnect | Input::DisconnectUnanswered => {}
            Input::AwaitCheck | Input::AwaitNoCheck | Input::AwaitNoMoreOf(_) => {}
        }
        self.last = match input {
            Input::Command(Command::CommunicationCheck(false)) => Last::SaidFalse,
            Input::Command(Command::Heartbeats(HeartbeatControl::Pause)) => Last::Paused,
            Input::PresentToken(name)
                if self.under_test == Side::Client && self.api == ApiType::AUTH_TOKEN_PROVIDER =>
            {
                let token = self.config.tokens.get(name);
                token.map_or(Last::Other, |token| Last::Presented(token.value.clone()))
            }
            // Nothing comes between.
            Input::Wait(_) => std::mem::replace(&mut self.last, Last::Other),
            _ => Last::Other,
        };
        let is_seen = !led.statuses.is_empty() || !led.replies.is_empty();
        let is_idle =
            matches!(input, Input::AwaitHeartbeat | Input::AwaitNoHeartbeat | Input::RestartEverest | Input::Wait(_));
        self.is_settled = is_seen || self.is_settled && is_idle;
        led
    }

    /// What comes of it that time passes.
    pub fn waited(&mut self, span: Duration) -> Led {
        let mut led = Led::default();
        self.wait(span, &mut led);
        led
    }

    /// Whether requests get another reply than EVerest's own.
    pub fn has_chosen_reply(&self) -> bool {
        self.chosen_reply.is_some()
    }

    /// Whether a command would move an EVSE now.
    pub fn would_move(&self, command: &Command) -> bool {
        self.station.would_move(command) == Some(true)
    }

    /// From now on a token of the station is this.
    pub fn set_token(&mut self, name: &str, token: TokenConfig) {
        Arc::make_mut(&mut self.config).tokens.insert(name.to_owned(), token);
    }

    fn wait(&mut self, span: Duration, led: &mut Led) {
        let until = self.now + span;
        loop {
            let deadline = self.station.next_deadline().filter(|at| *at <= until);
            let answer = self.next_answer(until);
            // A question that is asked when another one has run out is answered counted from then.
            match answer.filter(|(.., at)| deadline.is_none_or(|deadline| *at < deadline)) {
                Some((request, answer, at)) => {
                    self.now = self.now.max(at);
                    self.answer(request, &answer, led);
                    self.questions.retain(|(open, ..)| *open != request);
                }
                None => {
                    let Some(deadline) = deadline else { break };
                    self.now = self.now.max(deadline);
                    self.apply(station::Input::Deadline, led);
                }
            }
        }
        self.now = until;
        self.apply(station::Input::Deadline, led);
    }

    fn apply(&mut self, input: station::Input, led: &mut Led) {
        let effects = self.station.apply(self.now, input);
        for effect in effects {
            self.take(effect, led);
        }
    }

    fn take(&mut self, effect: Effect, led: &mut Led) {
        match effect {
            Effect::Ignored { .. } => led.is_ignored = true,
            Effect::Exit { .. } => led.has_ended = true,
            Effect::Fault { api, fault, raised } => led.faults.push((api, fault, raised)),
            Effect::ReservationResult { result, .. } => led.reservation = Some(json!(result)),
            Effect::ReservationUpdate { .. } => led.tells_of_reservation = true,
            Effect::ReservationCancelled { is_cancelled, .. } => led.reservation = Some(json!(is_cancelled)),
            Effect::Publish { to: Address::Reply(topic), payload } => {
                // What names another topic is answered where nobody listens.
                if let Some(Ok(request)) = topic.strip_prefix(REPLIES).map(str::parse) {
                    let reply = serde_json::to_value(payload).unwrap_or_default();
                    led.replies.push((request, as_pattern(reply)));
                }
            }
            Effect::Publish { payload: station::Payload::Status(status), .. } => {
                let name = self.name_of(&status.token.id_token.value);
                let evses = status.token.connectors.iter().flatten();
                led.has_strangers |= name.is_none() || evses.copied().any(|evse| evse < 1);
                led.statuses.extend(name.map(|name| (name, status)));
            }
            Effect::Ask { request, token } => {
                let listed = self.config.tokens.values().find(|listed| listed.value == token.id_token.value);
                let is_seen = self.config.auth_token_validator.is_some();
                led.questions.push(match listed {
                    Some(_) if is_seen => as_question(&token),
                    _ => json!("$any"),
                });
                let Some(listed) = listed else { return };
                let (answer, after) = (listed.to_validation().into(), listed.verdict_after.map(|span| span.0));
                match after {
                    None => self.answer(request, &answer, led),
                    Some(after) => self.questions.push((request, answer, self.now + after)),
                }
            }
            Effect::Asked { request } => self.questions.retain(|(open, ..)| *open != request),
            _ => {}
        }
    }

    fn next_answer(&self, until: Duration) -> Option<(RequestId, ValidationResult, Duration)> {
        let due = self.questions.iter().filter(|(.., at)| *at <= until);
        due.min_by_key(|(.., at)| *at).cloned()
    }

    fn answer(&mut self, request: RequestId, answer: &ValidationResult, led: &mut Led) {
        let payload = Bytes::from(serde_json::to_vec(answer).unwrap_or_default());
        self.apply(station::Input::ValidatorReply { request, payload }, led);
    }

    /// What khumbu publishes to an EVerest under test; what it publishes in EVerest's place moves no station.
    fn published(&mut self, topic: &str, payload: &Payload, led: &mut Led) {
        let input = match (topic, self.channel(topic)) {
            ("{reply_to}", _) => match self.questions.last() {
                Some((request, ..)) => station::Input::ValidatorReply { request: *request, payload: bytes(payload, 0) },
                None => return,
            },
            (DISCOVER, _) => {
                let number = self.requests;
                led.request = Some(number);
                self.requests += 1;
                station::Input::Queried { entry_point: EntryPoint::Discover, payload: bytes(payload, number) }
            }
            (_, Some(channel)) => {
                if channel.is_request() {
                    led.request = Some(self.requests);
                    self.requests += 1;
                }
                let payload = bytes(payload, led.request.unwrap_or_default());
                station::Input::ReceivedAt { api: channel.api(), channel, payload }
            }
            _ => return,
        };
        self.apply(input, led);
        led.is_ignored = false;
    }

    /// The channel of an EVerest under test that a topic of a case means.
    fn channel(&self, topic: &str) -> Option<Channel> {
        let (module, rest) = topic.split_once('/')?;
        let (api, address) = match (self.under_test, module) {
            (Side::Client, _) => return None,
            (Side::Everest, "{m2e}") => (self.api, rest),
            (Side::Everest, "{provider}") => (ApiType::AUTH_TOKEN_PROVIDER, rest.strip_prefix("m2e/")?),
            (Side::Everest, "{validator}") => (ApiType::AUTH_TOKEN_VALIDATOR, rest.strip_prefix("m2e/")?),
            _ => return None,
        };
        let is_it = |channel: &Channel| channel.address().strip_prefix("m2e/") == Some(address);
        api.channels().find(|channel| !channel.is_from_everest() && is_it(channel))
    }

    fn request(&mut self, channel: Channel, parameter: &Value, led: &mut Led) {
        let number = self.requests;
        led.request = Some(number);
        self.requests += 1;
        let payload =
            Bytes::from(json!({"headers": {"replyTo": reply_topic(number)}, "payload": parameter}).to_string());
        self.apply(station::Input::Received { channel, payload }, led);
    }

    fn query(&mut self, entry_point: EntryPoint, led: &mut Led) {
        let number = self.requests;
        led.request = Some(number);
        self.requests += 1;
        let payload = Bytes::from(json!({"headers": {"replyTo": reply_topic(number)}}).to_string());
        self.apply(station::Input::Queried { entry_point, payload }, led);
        led.is_ignored = false;
    }

    fn name_of(&self, value: &str) -> Option<String> {
        let named = |is_it: &dyn Fn(&str) -> bool| {
            self.config.tokens.iter().find(|(_, token)| is_it(&token.value)).map(|(name, _)| name.clone())
        };
        named(&|other| other == value).or_else(|| named(&|other| other.eq_ignore_ascii_case(value)))
    }
}

/// Where the reply to a request of this number goes.
fn reply_topic(number: usize) -> String {
    format!("{REPLIES}{number}")
}

/// Where an EVSE stands in lists.
fn index(evse: i32) -> usize {
    usize::try_from(evse - 1).unwrap_or_default()
}

/// What is published; its reply goes to the topic of its number.
fn bytes(payload: &Payload, request: usize) -> Bytes {
    let filled = |text: &str| Bytes::from(text.replace("{reply}", &reply_topic(request)));
    match payload {
        Payload::Json(value) => filled(&value.to_string()),
        Payload::Written(wire, value) => filled(&String::from_utf8_lossy(&Encoder::new(*wire).encode(value))),
        Payload::Text(text) => filled(text),
        Payload::Bytes(bytes) => Bytes::from(bytes.clone()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::fuzz::Ground;
    use crate::protocol::release::Release;
    use crate::protocol::types::TokenValidationStatus;

    #[test]
    fn a_question_that_waited_for_another_is_answered_counted_from_when_it_is_asked() {
        let grounds = Ground::all(Side::Everest, ApiType::AUTH_CONSUMER, Release::default());
        let has_validator = |ground: &&Ground| ground.site.config().auth_token_validator.is_some();
        let ground = grounds.iter().filter(has_validator).find(|ground| ground.site.is_slow()).unwrap();
        let mut model = ground.model();
        // The first is not answered within 2 s; the second is, asked then, after 1.5 s.
        model.led(&Input::PresentToken("GRACE".to_owned()));
        model.led(&Input::PresentToken("ERIN".to_owned()));
        let led = model.led(&Input::AwaitTimeout);
        let of = |name: &str| led.statuses.iter().find(|(of, _)| of == name).map(|(_, status)| status.status);
        assert_eq!(of("GRACE"), Some(TokenValidationStatus::Rejected));
        assert_eq!(of("ERIN"), Some(TokenValidationStatus::Accepted));
    }
}

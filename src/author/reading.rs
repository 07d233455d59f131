//! The messages of a recording as what was done, what was said, and what no step can say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::heading::Heading;
use crate::fuzz::{Input, Payload};
use crate::parity::{Script, Sense};
use crate::protocol::channel::{ApiType, Channel, EntryPoint};
use crate::protocol::codec;
use crate::protocol::control::{Command, DISCONNECT, RESTART_EVEREST, Validation};
use crate::protocol::schema::{Message as Kind, Schemas};
use crate::protocol::side::Side;
use crate::protocol::types::{
    AuthorizationStatus, ProvidedIdToken, TokenValidationStatusMessage, ValidationResult, ValidationResultUpdate,
    WithdrawAuthorizationRequest,
};
use crate::recording::Message;

/// One thing that a recording shows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub line: usize,
    pub at_ms: i64,
    pub what: What,
}

/// What it is.
#[allow(clippy::large_enum_variant, reason = "a recording has a few thousand of them at most")]
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    /// Something was done.
    Act(Act),
    /// EVerest, or somebody, said something.
    Seen(Seen),
    /// What no step can say, in words.
    Left(String),
}

/// Something that was done: it becomes a step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    /// At the station, or to how EVerest speaks.
    Command(Command),
    /// A token was presented, and this is what validators were to say of it, as far as it was told.
    Present { token: Box<ProvidedIdToken>, said: Option<Validation>, name: String },
    /// What validators say of a token from now on.
    Verdict { name: String, value: String, verdict: AuthorizationStatus, after: Option<Duration> },
    /// A client asked something, the so many-th request.
    Request(usize, Input),
    /// A client says from now on that communication is good, or that it is not.
    Check(bool),
    /// Exactly this was published.
    Publish(Input),
    /// EVerest ended and started again.
    Restart,
    /// The module lost its connection.
    Disconnect,
}

/// Something that was said: it becomes an expectation.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen {
    Status(Arc<TokenValidationStatusMessage>),
    Reply {
        request: usize,
        payload: Value,
    },
    /// What EVerest asks about: as far as the specification knows it, and with everything.
    Question {
        known: Value,
        whole: Value,
    },
    /// To the last question.
    Answer {
        value: String,
        payload: Value,
    },
    Beacon,
    /// A client said that communication is good.
    Check,
    /// A heartbeat of this number.
    Heartbeat(u64),
}

impl Event {
    /// Whether it is more than a sign of life.
    pub(super) fn is_of_conversation(&self) -> bool {
        !matches!(self.what, What::Left(_) | What::Seen(Seen::Beacon | Seen::Check | Seen::Heartbeat(_)))
    }
}

/// The API that the clients of a recording used: the first of them with a message of a client.
pub(super) fn shown_api(script: &Script) -> ApiType {
    let senses = script.senses();
    let has = |api: &ApiType| senses.iter().any(|sense| matches!(sense, Sense::Received(of, _) if of == api));
    ApiType::AUTH_APIS.into_iter().find(has).unwrap_or(ApiType::AUTH_CONSUMER)
}

/// Why a message is no expectation.
const UNKNOWN: &str = "it is nothing that the specification knows, and no step expects it";

/// Reads a recording for a module on this side; one that `tells_all` has every restart in it.
pub(super) fn read(script: &Script, side: Side, api: ApiType, tells_all: bool) -> Vec<Event> {
    let senses = script.senses();
    let is_told = senses.iter().any(|sense| matches!(sense, Sense::Done(command) if command.is_for_client()));
    let mut reader = Reader {
        script,
        schemas: Schemas::of(script.file.station.in_force()),
        side,
        api,
        is_told,
        checks: true,
        requests: BTreeMap::new(),
        count: 0,
        asked: BTreeMap::new(),
        told_token: None,
        beats: None,
        has_begun: false,
        was_restarted: tells_all,
        tells_all,
        events: Vec::new(),
    };
    // With this a client says that it leaves.
    let is_of_client = |sense: &Sense| matches!(sense, Sense::Received(of, _) if *of == api);
    let farewell = senses
        .iter()
        .rposition(is_of_client)
        .filter(|last| script.recording.messages[*last].json().and_then(Value::as_bool) == Some(false));
    for (at, (message, sense)) in script.recording.messages.iter().zip(senses).enumerate() {
        if Heading::is_in(message) || Some(at) == farewell {
            continue;
        }
        if is_deep(&message.payload) {
            reader.left(message, "it is nested more deeply than a step can be");
        } else {
            reader.take(message, sense);
        }
    }
    reader.events
}

/// Whether a message is nested more deeply than any of the API is, or could be written down.
fn is_deep(payload: &Value) -> bool {
    const MOST: usize = 32;
    let mut level: Vec<&Value> = vec![payload];
    for _ in 0..MOST {
        level = level
            .into_iter()
            .flat_map(|value| match value {
                Value::Array(elements) => elements.iter().collect::<Vec<_>>(),
                Value::Object(members) => members.values().collect(),
                _ => Vec::new(),
            })
            .collect();
        if level.is_empty() {
            return false;
        }
    }
    true
}

struct Reader<'a> {
    script: &'a Script,
    schemas: Schemas,
    side: Side,
    api: ApiType,
    /// Whether a client was told what to do.
    is_told: bool,
    /// Whether a client says that communication is good.
    checks: bool,
    /// The last request by the topic of its reply, and what is replied to it.
    requests: BTreeMap<String, (usize, Kind)>,
    count: usize,
    /// About what EVerest asked, by the topic of the answer.
    asked: BTreeMap<String, String>,
    /// What a reader was told to hand in.
    told_token: Option<(ProvidedIdToken, Validation)>,
    /// The number of the last heartbeat.
    beats: Option<u64>,
    /// Whether anything was done or said.
    has_begun: bool,
    was_restarted: bool,
    /// Whether every restart stands in the recording.
    tells_all: bool,
    events: Vec<Event>,
}

impl Reader<'_> {
    fn push(&mut self, message: &Message, what: What) {
        let event = Event { line: message.line, at_ms: message.at_ms(), what };
        self.has_begun |= event.is_of_conversation();
        self.events.push(event);
    }

    fn act(&mut self, message: &Message, act: Act) {
        self.push(message, What::Act(act));
    }

    fn seen(&mut self, message: &Message, seen: Seen) {
        self.push(message, What::Seen(seen));
    }

    fn left(&mut self, message: &Message, why: &str) {
        self.push(message, What::Left(format!("a message on `{}`: {why}", message.topic)));
    }

    /// A step can publish exactly this where khumbu is who said it.
    fn publish(&mut self, message: &Message, by: Side, topic: &str) {
        if by == self.side {
            self.left(message, "nobody can tell the module under test to say exactly this");
            return;
        }
        let payload = match (message.json(), &message.hex) {
            (Some(json), _) => Payload::Json(json.clone()),
            (None, Some(bytes)) => Payload::Bytes(bytes.to_vec()),
            (None, None) => Payload::Text(message.payload.as_str().unwrap_or_default().to_owned()),
        };
        if message.retain {
            self.left(message, "it was retained, which this step leaves out");
        }
        self.act(message, Act::Publish(Input::Publish { topic: topic.to_owned(), payload }));
    }

    fn take(&mut self, message: &Message, sense: Sense) {
        match sense {
            Sense::Done(command) => self.done(message, *command),
            Sense::Received(api, channel) => self.received(message, api, channel),
            Sense::Queried(entry_point) => {
                let command = match entry_point {
                    EntryPoint::Discover => Command::Discover {},
                    EntryPoint::QueryModules(name) => Command::QueryModules(name),
                };
                if usable_reply_to(message).is_some() {
                    self.request(message, Input::Command(command), Kind::DISCOVER_REPLY);
                } else {
                    let prefix = &self.script.file.external_prefix;
                    let bare = message.topic.strip_prefix(prefix.as_str()).unwrap_or(&message.topic);
                    self.publish(message, Side::Client, &format!("{{external_prefix}}{bare}"));
                }
            }
            Sense::Asked(reply_to) => {
                let payload = message.payload["payload"].clone();
                let value = payload["id_token"]["value"].as_str().unwrap_or_default().to_owned();
                self.asked.insert(reply_to, value);
                let is_specified =
                    message.json().is_some_and(|json| self.is_specified(Kind::On(Channel::VALIDATE_TOKEN), json));
                let token = serde_json::from_value::<ProvidedIdToken>(payload.clone()).ok();
                match token.filter(|token| is_specified && is_presentable(token)) {
                    Some(token) => self.seen(message, Seen::Question { known: json!(token), whole: payload }),
                    None => self.left(message, UNKNOWN),
                }
            }
            Sense::Answered => match self.asked.get(&message.topic).cloned() {
                Some(value) => match serde_json::from_slice::<ValidationResult>(&message.bytes) {
                    Ok(result) => self.seen(message, Seen::Answer { value, payload: json!(result) }),
                    Err(_) => self.left(message, UNKNOWN),
                },
                None => self.left(message, "it answers a question that is not in the recording"),
            },
            Sense::Said(api, Channel::HEARTBEAT) => {
                if api == ApiType::AUTH_CONSUMER {
                    self.beat(message);
                }
            }
            Sense::Said(_, channel) => self.said(message, channel),
            Sense::Beacon => {
                self.seen(message, Seen::Beacon);
                self.restarted(message);
            }
            Sense::SaidElsewhere => match self.requests.get(&message.topic).copied() {
                Some((request, to)) => match message.json().filter(|json| self.is_specified(to, json)) {
                    Some(json) => self.seen(message, Seen::Reply { request, payload: known_part(json) }),
                    None => self.left(message, UNKNOWN),
                },
                None if message.reply_to().is_some() && self.side == Side::Everest => {
                    let levels: Vec<_> = message.topic.splitn(5, "/").collect();
                    let below = levels.last().copied().unwrap_or_default();
                    self.publish(message, Side::Client, &format!("{{e2m}}/{}", below.trim_start_matches("e2m/")));
                }
                None => self.left(message, "it replies to no request of the recording"),
            },
            Sense::Inside => self.left(message, "what goes on inside EVerest"),
            Sense::Unknown => self.unknown(message),
        }
    }

    /// What khumbu did without a message, and what nobody knows.
    fn unknown(&mut self, message: &Message) {
        let is_aside = message.topic.starts_with("khumbu/");
        let deed = message.json().and_then(Value::as_object).and_then(|json| json.keys().next()).map(String::as_str);
        match deed.filter(|_| is_aside) {
            Some(RESTART_EVEREST) => {
                self.act(message, Act::Restart);
                (self.was_restarted, self.beats) = (true, None);
            }
            Some(DISCONNECT) => self.act(message, Act::Disconnect),
            Some(deed) => {
                let what = format!("a step `{deed}` was here, of which no message shows more");
                self.push(message, What::Left(what));
            }
            None if is_aside => {}
            None => self.left(message, "what it means is not known; a binding of --station may say so"),
        }
    }

    /// EVerest shows that it has started; the first time, that is where everything begins.
    fn restarted(&mut self, message: &Message) {
        if self.has_begun && !self.was_restarted && !self.tells_all {
            self.act(message, Act::Restart);
        }
        self.was_restarted = true;
    }

    fn beat(&mut self, message: &Message) {
        let Some(number) = message.json().and_then(Value::as_u64) else { return };
        if number == 0 && self.beats.is_some_and(|last| last > 0 && last < u64::from(u32::MAX)) {
            self.restarted(message);
        }
        if number > 0 {
            self.was_restarted = false;
        }
        self.beats = Some(number);
        self.seen(message, Seen::Heartbeat(number));
    }

    fn done(&mut self, message: &Message, command: Command) {
        let is_client_told = self.side == Side::Client;
        match command {
            Command::PresentToken { token, validation }
                if is_client_told && self.api == ApiType::AUTH_TOKEN_PROVIDER =>
            {
                self.told_token = Some((token, validation));
            }
            Command::PresentToken { token, .. } if !is_presentable(&token) => {
                self.left(message, "no scenario can have such a token");
            }
            Command::PresentToken { token, validation } => {
                let act = Act::Present { token: Box::new(token), said: Some(validation), name: String::new() };
                self.act(message, act);
            }
            Command::SetVerdict { token, validation } => {
                let after = Some(Duration::from_millis(validation.after_ms)).filter(|after| !after.is_zero());
                let (verdict, value) = (validation.authorization_status, token.id_token.value);
                self.act(message, Act::Verdict { name: String::new(), value, verdict, after });
            }
            Command::UpdateVerdict(_) if is_client_told && self.api == ApiType::AUTH_TOKEN_VALIDATOR => {}
            Command::CommunicationCheck(on) => {
                self.checks = on;
                self.act(message, Act::Check(on));
            }
            // The message that it leads to is in the recording, too.
            command if command.is_for_client() => {}
            command => self.act(message, Act::Command(command)),
        }
    }

    fn received(&mut self, message: &Message, api: ApiType, channel: Channel) {
        let in_force = self.script.file.station.in_force();
        let client = self.side == Side::Client;
        let address = channel.address().strip_prefix("m2e/").unwrap_or(channel.address());
        let topic = match api {
            ApiType::AUTH_TOKEN_PROVIDER => format!("{{provider}}/m2e/{address}"),
            ApiType::AUTH_TOKEN_VALIDATOR => format!("{{validator}}/m2e/{address}"),
            _ => format!("{{m2e}}/{address}"),
        };
        match channel {
            // Nobody is there who would ask.
            _ if client && channel.is_request() && api != self.api => {
                self.left(message, "another client than the one under test has asked");
            }
            Channel::COMMUNICATION_CHECK => match message.json().and_then(Value::as_bool) {
                _ if client && api != self.api || !client && api != ApiType::AUTH_CONSUMER => {}
                Some(on) => self.check(message, on),
                None => self.publish(message, Side::Client, &topic),
            },
            Channel::PROVIDED_TOKEN => match codec::decode_provided_token(&message.bytes, in_force) {
                Ok(token)
                    if token.parent_id_token.is_none()
                        && token.certificate_hash_data.is_none()
                        && is_presentable(&token) =>
                {
                    let told = self.told_token.take().filter(|(told, _)| told.id_token == token.id_token);
                    let said = told.map(|(_, validation)| validation);
                    self.act(message, Act::Present { token: Box::new(token), said, name: String::new() });
                }
                _ => self.publish(message, Side::Client, &topic),
            },
            Channel::VALIDATE_RESULT_UPDATE => match serde_json::from_slice::<ValidationResultUpdate>(&message.bytes) {
                Ok(update) => self.act(message, Act::Command(Command::UpdateVerdict(update))),
                Err(_) => self.publish(message, Side::Client, &topic),
            },
            _ if !channel.runs(in_force) || usable_reply_to(message).is_none() => {
                self.odd_request(message, &topic, reply_to(channel))
            }
            Channel::GET_TOKEN_VALIDATION_STATUS => {
                self.request(message, Input::Command(Command::GetStatus {}), reply_to(channel))
            }
            Channel::WITHDRAW_AUTHORIZATION => {
                let command = message.json().and_then(|json| {
                    let request: WithdrawAuthorizationRequest = serde_json::from_value(json["payload"].clone()).ok()?;
                    let plain = json!({"headers": {"replyTo": json["headers"]["replyTo"]}, "payload": request});
                    (plain == *json).then_some(Command::Withdraw(request))
                });
                match command {
                    Some(command) => self.request(message, Input::Command(command), reply_to(channel)),
                    None => self.odd_request(message, &topic, reply_to(channel)),
                }
            }
            _ => self.odd_request(message, &topic, reply_to(channel)),
        }
    }

    fn check(&mut self, message: &Message, on: bool) {
        if on {
            self.seen(message, Seen::Check);
        }
        // What a client was told stands in the recording, and it says `false` when it leaves.
        let is_told = self.side == Side::Client && self.is_told;
        if on != self.checks && !is_told {
            self.checks = on;
            self.act(message, Act::Check(on));
        }
    }

    fn request(&mut self, message: &Message, input: Input, kind: Kind) {
        let number = self.number(message, kind);
        self.act(message, Act::Request(number, input));
    }

    /// A request that no other step makes.
    fn odd_request(&mut self, message: &Message, topic: &str, kind: Kind) {
        let Some(wanted) = usable_reply_to(message).filter(|_| self.side == Side::Everest) else {
            return self.publish(message, Side::Client, topic);
        };
        let number = self.number(message, kind);
        let payload = match message.json() {
            Some(json) => {
                let mut json = json.clone();
                json["headers"]["replyTo"] = Value::from("{reply}");
                Payload::Json(json)
            }
            None => Payload::Text(String::from_utf8_lossy(&message.bytes).replace(&wanted, "{reply}")),
        };
        self.act(message, Act::Request(number, Input::Publish { topic: topic.to_owned(), payload }));
    }

    fn number(&mut self, message: &Message, kind: Kind) -> usize {
        let number = self.count;
        self.count += 1;
        if let Some(reply_to) = message.reply_to() {
            let on_wire = format!("{}{reply_to}", self.script.file.external_prefix);
            self.requests.insert(on_wire, (number, kind));
        }
        number
    }

    /// Whether a message is one that a step can expect.
    fn is_specified(&self, kind: Kind, message: &Value) -> bool {
        let is_empty_latch = kind.may_be_empty_latch() && (message.is_null() || *message == json!(true));
        is_empty_latch || self.schemas.check(kind, message).is_empty()
    }

    fn said(&mut self, message: &Message, channel: Channel) {
        let status = serde_json::from_slice::<TokenValidationStatusMessage>(&message.bytes);
        match (channel, status) {
            (Channel::TOKEN_VALIDATION_STATUS, Ok(status))
                if is_presentable(&status.token)
                    && message.json().is_some_and(|json| self.is_specified(Kind::On(channel), json)) =>
            {
                self.seen(message, Seen::Status(Arc::new(status)));
            }
            _ if self.side == Side::Everest => {
                self.left(message, UNKNOWN);
            }
            _ => {
                let topic = format!("{{e2m}}/{}", channel.address().trim_start_matches("e2m/"));
                self.publish(message, Side::Everest, &topic);
            }
        }
    }
}

/// A reply without what the specification does not know.
fn known_part(reply: &Value) -> Value {
    if let Ok(status) = serde_json::from_value::<TokenValidationStatusMessage>(reply.clone()) {
        return json!(status);
    }
    let keep = |value: &Value, keys: &[&str]| -> Value {
        let members = value.as_object().into_iter().flatten();
        members
            .filter(|(key, _)| keys.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    match reply["apis"].as_array() {
        None => reply.clone(),
        Some(modules) => {
            let module = |module: &Value| {
                let mut known = keep(module, &["type", "module_id", "version"]);
                let periods = ["communication_check_period_s", "heartbeat_period_ms", "request_reply_timeout_s"];
                known["communication_monitoring"] = keep(&module["communication_monitoring"], &periods);
                known
            };
            json!({"apis": modules.iter().map(module).collect::<Vec<_>>()})
        }
    }
}

/// What is replied to a message on this channel.
fn reply_to(channel: Channel) -> Kind {
    Kind::reply_to(channel).unwrap_or(Kind::On(channel))
}

/// Whether a station may have such a token.
fn is_presentable(token: &ProvidedIdToken) -> bool {
    let value = &token.id_token.value;
    value.len() <= 36
        && value.chars().all(|c| c == ' ' || c.is_ascii_graphic())
        && token.id_token.additional_info.is_none()
}

/// Where a request wants its reply, if one can be sent there.
fn usable_reply_to(message: &Message) -> Option<String> {
    message.reply_to().filter(|wanted| !wanted.is_empty() && !wanted.contains(['+', '#', '\0']))
}

//! A recording as a script for a conversation with a live module: what is said to it and when, what is answered to its
//! requests, and how what it says is compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::roles::{Roles, Stimulus};
use super::station_file::{Everest, Meaning, StationFile};
use super::{Outcome, Report, checks, compare, left_out, lives};
use crate::protocol::channel::{ApiType, Channel, EntryPoint};
use crate::protocol::control::Command;
use crate::recording::{Message, Recording};

/// A recording with the station beside which it is to be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// The recording.
    pub recording: Recording,
    /// The station.
    pub file: StationFile,
}

/// What one side has to do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Part {
    /// What is done by itself, in the order of time.
    pub cues: Vec<Cue>,
    /// What the other side, which is the module under test, asked or said.
    pub requests: Vec<Request>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Cue {
    /// Milliseconds since the start of the recording.
    pub at_ms: i64,
    /// What.
    pub act: Act,
}

/// What is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// A message is published, as it was.
    Publish(Message),
    /// An EVSE reports, which only khumbu's own EVerest does not do by itself.
    Report(Message),
    /// The module is told to do something; the message is published where it cannot be told.
    Tell(Box<Command>, Option<Message>),
    /// The module is told to make a request, by its index.
    Demand(usize, Box<Command>),
}

/// What the module under test asked or said in the recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The line of the recording.
    pub line: usize,
    /// Where.
    pub topic: String,
    /// Of which API that is; none for the entry point.
    pub api: Option<ApiType>,
    /// What, without its envelope; none matches anything.
    pub content: Option<Value>,
    /// What was answered, each so many milliseconds after the request.
    pub replies: Vec<(i64, Message)>,
}

impl Script {
    /// How EVerest was when the recording began, and its last communication check before: as the file says, or else as
    /// the recording shows.
    pub fn start(&self, tolerance_ms: i64) -> (Everest, Option<bool>) {
        let roles = Roles::new(&self.recording, &self.file);
        let lives = lives::lives(&self.recording, &self.file, &roles);
        if lives.first().is_some_and(|life| life.begins) {
            return (Everest::Starting, None);
        }
        let before = checks::before(&self.recording, &self.file, &roles, tolerance_ms);
        (Everest::Running, before.map(|before| before.check))
    }

    /// The time of the last message, in milliseconds.
    pub fn length_ms(&self) -> u64 {
        u64::try_from(self.recording.end_ms()).unwrap_or(0)
    }

    /// The part of EVerest's side, for a client under test.
    pub fn everest(&self) -> Part {
        let roles = Roles::new(&self.recording, &self.file);
        let (mut part, mut open) = (Part::default(), BTreeMap::new());
        let mut is_checking = true;
        for message in &self.recording.messages {
            let at_ms = message.at_ms();
            match roles.foreign_stimulus(message) {
                Some(Stimulus::Received(_, Channel::COMMUNICATION_CHECK)) => {
                    // Checks are what a client does by itself; only a change is a wish.
                    if let Some(on) = message.json().and_then(Value::as_bool).filter(|on| *on != is_checking) {
                        is_checking = on;
                        let command = Box::new(Command::CommunicationCheck(on));
                        part.cues.push(Cue { at_ms, act: Act::Tell(command, None) });
                    }
                }
                Some(stimulus @ (Stimulus::Received(..) | Stimulus::Queried(_) | Stimulus::ValidatorReply)) => {
                    let request = request(&roles, message);
                    if let Some(command) = demand(&stimulus, request.content.as_ref()) {
                        part.cues.push(Cue { at_ms, act: Act::Demand(part.requests.len(), Box::new(command)) });
                    }
                    if let Some(reply_to) = message.reply_to() {
                        open.insert(roles.on_wire(&reply_to), (part.requests.len(), at_ms));
                    }
                    part.requests.push(request);
                }
                _ if roles.is_everests(&message.topic) || roles.is_reply_where_it_listens(message) => {
                    match open.get(message.topic.as_str()) {
                        Some((request, since)) => {
                            part.requests[*request].replies.push((at_ms - since, message.clone()));
                        }
                        None => part.cues.push(Cue { at_ms, act: Act::Publish(message.clone()) }),
                    }
                }
                _ => {}
            }
        }
        part
    }

    /// The part of EVerest's surroundings, for an EVerest under test.
    pub fn surroundings(&self) -> Part {
        let roles = Roles::new(&self.recording, &self.file);
        let (mut part, mut open) = (Part::default(), BTreeMap::new());
        for message in &self.recording.messages {
            let at_ms = message.at_ms();
            let act = match roles.foreign_stimulus(message) {
                Some(Stimulus::Received(..) | Stimulus::Queried(_)) => Act::Publish(message.clone()),
                Some(Stimulus::Asked(topic)) => {
                    open.insert(topic, (part.requests.len(), at_ms));
                    part.requests.push(request(&roles, message));
                    continue;
                }
                Some(Stimulus::ValidatorReply) => {
                    let (request, since) = *open.entry(message.topic.clone()).or_insert_with(|| {
                        // The question was not recorded: it must have been the oldest one.
                        let topic = roles.question_topic();
                        let api = Some(ApiType::AUTH_TOKEN_VALIDATOR);
                        let (line, replies) = (message.line, Vec::new());
                        part.requests.push(Request { line, topic, api, content: None, replies });
                        (part.requests.len() - 1, at_ms)
                    });
                    part.requests[request].replies.push((at_ms - since, message.clone()));
                    continue;
                }
                Some(Stimulus::Session(..)) => Act::Report(message.clone()),
                Some(Stimulus::Command(evse, what)) => {
                    Act::Tell(Box::new(what.to_command(evse)), Some(message.clone()))
                }
                Some(Stimulus::Told(command)) => Act::Tell(command, None),
                None if is_of_surroundings(&roles, message) => Act::Publish(message.clone()),
                None => continue,
            };
            part.cues.push(Cue { at_ms, act });
        }
        part
    }

    /// Tells what a live EVerest does, message by message.
    pub fn witness(&self) -> Witness<'_> {
        let roles = Roles::new(&self.recording, &self.file);
        Witness { recorded: roles.outcomes(&self.recording), roles, end_ms: self.recording.end_ms() }
    }
}

/// Whether a message is one of EVerest's surroundings that no API knows.
fn is_of_surroundings(roles: &Roles<'_>, message: &Message) -> bool {
    let topic = message.topic.as_str();
    let is_inside = topic.starts_with("everest/") || topic.starts_with('$') || topic.starts_with("khumbu/");
    let is_log = matches!(
        roles.meaning(message),
        Some((_, Meaning::EvseCall(_) | Meaning::SessionEvent(_) | Meaning::Effect(_)))
    );
    !is_inside && !is_log && !roles.is_everests(topic) && !roles.is_reply_where_it_listens(message)
}

/// What the module asked, with nothing answered yet.
fn request(roles: &Roles<'_>, message: &Message) -> Request {
    let (topic, content) = (message.topic.clone(), Some(content(roles, message)));
    Request { line: message.line, api: roles.api_of(&topic), topic, content, replies: Vec::new() }
}

/// What a message says behind its envelope. A get and the questions of the entry point say nothing (`codec`).
fn content(roles: &Roles<'_>, message: &Message) -> Value {
    let says_nothing = matches!(
        roles.stimulus(message),
        Some(Stimulus::Received(_, Channel::GET_TOKEN_VALIDATION_STATUS) | Stimulus::Queried(_))
    );
    match message.json() {
        _ if says_nothing => Value::Null,
        Some(payload) if payload["headers"].is_object() => payload["payload"].clone(),
        Some(payload) => payload.clone(),
        None => json!(message.bytes.as_ref()),
    }
}

/// The command by which a client can be told to make a request.
fn demand(stimulus: &Stimulus<'_>, content: Option<&Value>) -> Option<Command> {
    match stimulus {
        Stimulus::Received(_, Channel::WITHDRAW_AUTHORIZATION) => {
            serde_json::from_value(content?.clone()).ok().map(Command::Withdraw)
        }
        Stimulus::Received(_, Channel::GET_TOKEN_VALIDATION_STATUS) => Some(Command::GetStatus {}),
        Stimulus::Queried(EntryPoint::Discover) => Some(Command::Discover {}),
        Stimulus::Queried(EntryPoint::QueryModules(api)) => Some(Command::QueryModules(api.clone())),
        _ => None,
    }
}

/// Holds what a live EVerest does beside a recording.
pub struct Witness<'a> {
    roles: Roles<'a>,
    /// What EVerest did in the recording.
    recorded: Vec<Outcome>,
    end_ms: i64,
}

/// How much may differ.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// How far apart in time the same outcome may lie; none leaves times out.
    pub near_ms: Option<i64>,
    /// How near to the ends of the recording something may be that has no partner.
    pub edge_ms: i64,
    /// Whether heartbeats count.
    pub heartbeats: bool,
    /// Whether EVerest has run before, and so has another number at its heartbeats.
    pub renumbers: bool,
    /// Whether everything that EVerest does inside can be seen.
    pub inside: bool,
}

impl Witness<'_> {
    /// What a message of EVerest's side is; `message` has the names of the recording.
    pub fn outcome(&self, message: &Message) -> Option<Outcome> {
        self.roles.outcome_of(message, message.at_ms())
    }

    /// What a module asks, to be held against [`Request::content`].
    pub fn content(&self, message: &Message) -> Value {
        content(&self.roles, message)
    }

    /// Whether a message of a client counts: a request, or anything else but a communication check.
    pub fn is_request(&self, message: &Message) -> bool {
        match self.roles.foreign_stimulus(message) {
            Some(Stimulus::Received(_, channel)) => channel != Channel::COMMUNICATION_CHECK,
            Some(Stimulus::Queried(_) | Stimulus::ValidatorReply) => true,
            _ => false,
        }
    }

    /// The API that a topic, or a filter that names a module, belongs to.
    pub fn api_of(&self, topic: &str) -> Option<ApiType> {
        self.roles.api_of(topic)
    }

    /// Whether a message is a question to a token validator.
    pub fn is_question(&self, message: &Message) -> bool {
        message.topic == self.roles.question_topic()
    }

    /// Whether a message is for EVerest by its topic, and not by what a binding says of it.
    pub fn is_for_api(&self, message: &Message) -> bool {
        matches!(self.roles.stimulus(message), Some(Stimulus::Received(..) | Stimulus::Queried(_)))
    }

    /// Whether a message is what an EVSE reports of itself.
    pub fn is_report(&self, message: &Message) -> bool {
        matches!(self.roles.stimulus(message), Some(Stimulus::Session(..)))
    }

    /// What EVerest did in the recording, in its order.
    pub fn recorded(&self) -> &[Outcome] {
        &self.recorded
    }

    /// Whether an outcome can only be seen inside EVerest.
    pub fn is_inside(&self, outcome: &Outcome) -> bool {
        self.roles.is_inside(&outcome.lane)
    }

    /// Whether outcomes of a lane are heartbeats.
    pub fn is_heartbeat(&self, outcome: &Outcome) -> bool {
        self.roles.heartbeat_topics().any(|topic| topic == outcome.lane)
    }

    /// Compares; tells also how many recorded outcomes were left out because they can only be seen inside EVerest.
    pub fn compare(&self, mut live: Vec<Outcome>, allowance: Allowance) -> (Report, usize) {
        let is_hidden = |outcome: &Outcome| !allowance.inside && self.roles.is_inside(&outcome.lane);
        let counts = |outcome: &Outcome| (allowance.heartbeats || !self.is_heartbeat(outcome)) && !is_hidden(outcome);
        let hidden = self.recorded.iter().filter(|outcome| is_hidden(outcome)).count();
        let recorded: Vec<Outcome> = self.recorded.iter().filter(|outcome| counts(outcome)).cloned().collect();
        live.retain(counts);
        if allowance.renumbers {
            for topic in self.roles.heartbeat_topics() {
                renumber(&topic, &recorded, &mut live);
            }
        }
        let near_ms = allowance.near_ms.unwrap_or(i64::MAX / 4);
        (
            compare::compare(
                &recorded,
                live,
                &compare::Edges::new(Vec::new(), self.end_ms, allowance.edge_ms, near_ms, BTreeSet::new()),
                left_out::Counter::default(),
            ),
            hidden,
        )
    }
}

/// Gives live heartbeats the numbers that they would have had in the recording: most of them tell by how much they are
/// apart.
fn renumber(topic: &str, recorded: &[Outcome], live: &mut [Outcome]) {
    let of_lane = |outcome: &&Outcome| outcome.lane == topic;
    let beats: Vec<(i64, i64)> =
        recorded.iter().filter(of_lane).filter_map(|beat| Some((beat.t_ms, beat.payload.as_i64()?))).collect();
    let shift = |beat: &Outcome| {
        let (_, number) = beats.iter().min_by_key(|(t_ms, _)| t_ms.abs_diff(beat.t_ms))?;
        number.checked_sub(beat.payload.as_i64()?)
    };
    let mut shifts: Vec<i64> = live.iter().filter(of_lane).filter_map(shift).collect();
    shifts.sort_unstable();
    let Some(shift) = shifts.get(shifts.len() / 2) else { return };
    for beat in live.iter_mut().filter(|beat| beat.lane == topic) {
        if let Some(number) = beat.payload.as_i64().and_then(|number| number.checked_add(*shift)) {
            beat.payload = json!(number);
        }
    }
}

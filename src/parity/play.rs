//! The stimuli of a recording, given to a station in virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::Outcome;
use super::recording::{Message, Recording};
use super::roles::{Roles, Stimulus};
use super::station_file::{Everest, StationFile};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::{Command, HeartbeatControl};
use crate::station::{Address, Effect, Input, RequestId, Station};

/// So many heartbeats before the recording are played; earlier ones are only counted.
const WARM_UP: i64 = 10_000;
/// How long EVerest has run where no heartbeat tells.
const UNKNOWN_MS: i64 = 1000;

/// What the station does, from one tolerance before the recording to one after it.
pub(super) fn play(recording: &Recording, file: &StationFile, roles: &Roles<'_>, tolerance_ms: i64) -> Vec<Outcome> {
    let beginning = Beginning::new(recording, file, roles);
    let mut player = Player {
        roles,
        station: Station::new(&file.station),
        base_ms: (-beginning.ready_ms).max(0),
        ready: Some(beginning),
        communication_check: file.start.communication_check,
        questions: Vec::new(),
        asked: BTreeMap::new(),
        outcomes: Vec::new(),
    };
    // What was checked before the recording must not show in it.
    player.advance(-tolerance_ms.min(player.base_ms));
    player.outcomes.clear();
    let mut now = 0;
    for message in &recording.messages {
        let Some(stimulus) = roles.stimulus(message) else { continue };
        now = now.max(message.at_ms());
        player.advance(now);
        player.take(now, message, stimulus);
    }
    player.advance(recording.end_ms().saturating_add(tolerance_ms));
    player.outcomes
}

/// When EVerest became ready, and which heartbeat was its first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Beginning {
    /// Relative to the recording.
    ready_ms: i64,
    /// How many heartbeats came before.
    skipped: u64,
}

impl Beginning {
    /// Heartbeats come at a fixed pace from the start on, so each tells when that was; the median is believed.
    fn new(recording: &Recording, file: &StationFile, roles: &Roles<'_>) -> Self {
        let topic = roles.heartbeat_topic();
        let interval = i64::from(file.station.auth_consumer.cfg_heartbeat_interval_ms);
        let is_starting = file.start.everest == Everest::Starting;
        let beats: Vec<&Message> = recording.messages.iter().filter(|message| message.topic == topic).collect();
        let Some(first) = beats.first().filter(|_| interval > 0) else {
            let outcomes = roles.outcomes(recording);
            let earliest = outcomes.iter().map(|outcome| outcome.t_ms).min().unwrap_or(0);
            return Self { ready_ms: if is_starting { earliest } else { -UNKNOWN_MS }, skipped: 0 };
        };
        let unnumbered = if is_starting { 0 } else { first.at_ms() / interval + 1 };
        let number_of = |beat: &Message| {
            let since = (beat.at_ms() - first.at_ms() + interval / 2).div_euclid(interval);
            // More would be decades, and no product of it and an interval may overflow.
            beat.payload.as_i64().filter(|number| (0..1 << 31).contains(number)).unwrap_or(unnumbered + since)
        };
        let mut starts: Vec<i64> = beats.iter().map(|beat| beat.at_ms() - interval * number_of(beat)).collect();
        starts.sort_unstable();
        let start = starts[starts.len() / 2];
        let skipped = (-start / interval - WARM_UP).max(0);
        Self { ready_ms: start + skipped * interval, skipped: skipped.unsigned_abs() }
    }
}

struct Player<'a> {
    roles: &'a Roles<'a>,
    station: Station,
    /// What is added to the times of the recording, so that none is negative.
    base_ms: i64,
    /// What has still to happen for the station to run.
    ready: Option<Beginning>,
    communication_check: Option<bool>,
    /// What the station asked its validator, and no recorded question has been found for.
    questions: Vec<(RequestId, Value)>,
    /// The station's questions by the topics of the recorded replies.
    asked: BTreeMap<String, RequestId>,
    outcomes: Vec<Outcome>,
}

impl Player<'_> {
    /// Lets time pass; all times are relative to the recording.
    fn advance(&mut self, until_ms: i64) {
        if let Some(beginning) = self.ready.filter(|beginning| beginning.ready_ms <= until_ms) {
            self.ready = None;
            self.feed(beginning.ready_ms, Input::Ready);
            if beginning.skipped > 0 {
                let next = Command::Heartbeats(HeartbeatControl::Next(beginning.skipped + 1));
                self.feed(beginning.ready_ms, Input::Command(next));
            }
            if let Some(check) = self.communication_check {
                // The last one came just before; one that EVerest starts with comes at once.
                let at = until_ms.min(0).max(beginning.ready_ms);
                self.run_out(at);
                let payload = Bytes::from_static(if check { b"true" } else { b"false" });
                self.feed(at, Input::Received { channel: Channel::CommunicationCheck, payload });
            }
        }
        self.run_out(until_ms);
    }

    fn run_out(&mut self, until_ms: i64) {
        while let Some(due) = self.station.next_deadline().filter(|due| *due <= self.virtual_time(until_ms)) {
            let due_ms = i64::try_from(due.as_millis()).unwrap_or(i64::MAX);
            self.feed_at(due, due_ms - self.base_ms, Input::Deadline);
        }
    }

    fn take(&mut self, at_ms: i64, message: &Message, stimulus: Stimulus<'_>) {
        let payload = message.bytes();
        let is_bus = matches!(stimulus, Stimulus::Received(..) | Stimulus::Queried(_));
        let input = match stimulus {
            Stimulus::Received(api, channel) => Input::ReceivedAt { api, channel, payload },
            Stimulus::Queried(entry_point) => Input::Queried { entry_point, payload },
            Stimulus::Asked(topic) => {
                self.match_question(topic, Some(&message.payload["payload"]));
                return;
            }
            Stimulus::ValidatorReply => {
                if !self.asked.contains_key(&message.topic) {
                    self.match_question(message.topic.clone(), None);
                }
                let Some(request) = self.asked.get(&message.topic).copied() else { return };
                Input::ValidatorReply { request, payload }
            }
            Stimulus::Session(evse, name) => {
                let Some(event) = self.station.session_event(evse, name) else { return };
                Input::Session { evse, event }
            }
            Stimulus::Command(evse, what) => Input::Command(what.to_command(evse)),
        };
        // The broker keeps it for an EVerest that is not there yet.
        let is_kept = is_bus && message.retain && self.ready.is_some();
        self.feed(at_ms, if is_kept { Input::Retained(Box::new(input)) } else { input });
    }

    /// Finds the station's question that a recorded one is, by its token; without a recorded question the oldest one.
    fn match_question(&mut self, topic: String, token: Option<&Value>) {
        let found = self.questions.iter().position(|(_, own)| token.is_none_or(|token| token == own));
        if let Some(found) = found {
            self.asked.insert(topic, self.questions.remove(found).0);
        }
    }

    fn feed(&mut self, at_ms: i64, input: Input) {
        self.feed_at(self.virtual_time(at_ms), at_ms, input);
    }

    fn feed_at(&mut self, now: Duration, t_ms: i64, input: Input) {
        for effect in self.station.apply(now, input) {
            let outcome = match effect {
                Effect::Publish { to, payload } => Some((self.roles.topic(to), json!(payload))),
                Effect::Ask { request, token } => {
                    let token = json!(token);
                    self.questions.push((request, token.clone()));
                    let question = Address::ChannelOf(ApiType::AuthTokenValidator, Channel::ValidateToken);
                    Some((self.roles.topic(question), token))
                }
                Effect::Fault { api, fault, raised } => self.roles.fault(api, fault, raised),
                Effect::EvseCall { evse, call } => self.roles.evse_call(evse, &call),
                Effect::Exit { .. }
                | Effect::SessionEvent { .. }
                | Effect::Asked { .. }
                | Effect::Csms(_)
                | Effect::CsmsInside(_)
                | Effect::Ignored { .. } => None,
            };
            if let Some((topic, payload)) = outcome {
                let lane = self.roles.lane(&topic, &payload);
                self.outcomes.push(Outcome { lane, line: None, t_ms, payload });
            }
        }
    }

    fn virtual_time(&self, at_ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(at_ms.saturating_add(self.base_ms)).unwrap_or(0))
    }
}

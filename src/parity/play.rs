//! The stimuli of a recording, given to a station in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::{Copied, Peekable};
use std::slice;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::Outcome;
use super::checks;
use super::exits;
use super::lives::Life;
use super::reactions::Reactions;
use super::roles::{Roles, Stimulus};
use super::station_file::StationFile;
use crate::auth::SessionEvent;
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::{Command, HeartbeatControl};
use crate::recording::{Message, Recording};
use crate::station::{Address, Effect, Input, RequestId, Station};

/// A station that does more has a heartbeat that no recording has; time then does nothing any more.
const MOST_OUTCOMES: usize = 2_000_000;

/// What the station does, from one tolerance before the recording to one after it.
pub(super) fn play(
    recording: &Recording,
    file: &StationFile,
    roles: &Roles<'_>,
    lives: &[Life],
    tolerance_ms: i64,
) -> Vec<Outcome> {
    let mut player = Player {
        file,
        roles,
        station: Station::new(&file.station),
        base_ms: lives.iter().map(|life| -life.ready_ms).max().unwrap_or(0).max(0),
        tolerance_ms,
        current: None,
        next: lives.iter().copied().peekable(),
        retained: BTreeMap::new(),
        recording,
        reactions: Reactions::new(recording, roles),
        reports: BTreeSet::new(),
        reported: BTreeSet::new(),
        questions: Vec::new(),
        asked: BTreeMap::new(),
        outcomes: Vec::new(),
    };
    if lives.first().is_none_or(|life| !life.begins) {
        // What was checked before the recording must not show in it.
        player.advance(-tolerance_ms.min(player.base_ms));
        player.outcomes.clear();
    }
    let mut now = 0;
    for (index, message) in recording.messages.iter().enumerate() {
        let Some(stimulus) = roles.stimulus(message) else { continue };
        now = now.max(message.at_ms());
        player.advance(now);
        match player.reactions.awaited(index) {
            Some(called_ms) if called_ms + tolerance_ms > now => {
                player.reports.insert((called_ms + tolerance_ms, index));
            }
            _ if player.reported.contains(&index) => {}
            _ => player.take(now, message, stimulus),
        }
    }
    player.advance(recording.end_ms().saturating_add(tolerance_ms));
    player.outcomes
}

struct Player<'a> {
    file: &'a StationFile,
    roles: &'a Roles<'a>,
    station: Station,
    /// What is added to the times of the recording, so that none is negative.
    base_ms: i64,
    tolerance_ms: i64,
    /// The life of the station; none before the first and between two.
    current: Option<Life>,
    next: Peekable<Copied<slice::Iter<'a, Life>>>,
    /// What the broker keeps for an EVerest that starts, by topic.
    retained: BTreeMap<String, Input>,
    recording: &'a Recording,
    reactions: Reactions,
    /// Reports that wait for the station's call, by when they wait no longer.
    reports: BTreeSet<(i64, usize)>,
    /// Those that were taken.
    reported: BTreeSet<usize>,
    /// What the station asked its validator, and no recorded question has been found for.
    questions: Vec<(RequestId, Value)>,
    /// The station's questions by the topics of the recorded replies.
    asked: BTreeMap<String, RequestId>,
    outcomes: Vec<Outcome>,
}

impl Player<'_> {
    /// Lets time pass; all times are relative to the recording.
    fn advance(&mut self, until_ms: i64) {
        while let Some((at_ms, index)) = self.reports.pop_first() {
            if at_ms > until_ms {
                self.reports.insert((at_ms, index));
                break;
            }
            self.live(at_ms);
            self.report(self.virtual_time(at_ms), at_ms, index);
        }
        self.live(until_ms);
    }

    /// The same without what EVSEs report.
    fn live(&mut self, until_ms: i64) {
        loop {
            if let Some(end) = self.current.and_then(|life| life.end) {
                let next_ms = self.next.peek().map_or(i64::MAX, |next| next.ready_ms);
                let end_ms = end.after_ms.saturating_add(self.tolerance_ms).max(end.before_ms).min(next_ms);
                if end_ms > until_ms {
                    break;
                }
                self.run_out(end_ms);
                self.current = None;
            } else if self.current.is_none()
                && let Some(life) = self.next.next_if(|life| life.ready_ms <= until_ms)
            {
                self.start(life);
            } else {
                break;
            }
        }
        self.run_out(until_ms);
    }

    fn start(&mut self, life: Life) {
        self.current = Some(life);
        self.station = Station::new(&self.file.station);
        self.questions.clear();
        self.asked.clear();
        self.feed(life.ready_ms, Input::Ready);
        if life.skipped > 0 {
            let next = Command::Heartbeats(HeartbeatControl::Next(life.skipped + 1));
            self.feed(life.ready_ms, Input::Command(next));
        }
        if life.begins {
            for input in self.retained.clone().into_values() {
                self.feed(life.ready_ms, Input::Retained(Box::new(input)));
            }
        } else if let Some(before) = checks::before(self.recording, self.file, self.roles, self.tolerance_ms) {
            let at = before.at_ms.max(life.ready_ms);
            self.run_out(at);
            let payload = Bytes::from_static(if before.check { b"true" } else { b"false" });
            self.feed(at, Input::Received { channel: Channel::CommunicationCheck, payload });
        }
    }

    fn run_out(&mut self, until_ms: i64) {
        if self.current.is_none() {
            return;
        }
        while self.outcomes.len() < MOST_OUTCOMES
            && let Some(due) = self.station.next_deadline().filter(|due| *due <= self.virtual_time(until_ms))
        {
            let due_ms = i64::try_from(due.as_millis()).unwrap_or(i64::MAX);
            self.feed_at(due, due_ms - self.base_ms, Input::Deadline);
        }
    }

    fn take(&mut self, at_ms: i64, message: &Message, stimulus: Stimulus<'_>) {
        let payload = message.bytes.clone();
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
            Stimulus::Told(command) => Input::Command(*command),
        };
        if is_bus && message.retain {
            // An empty one makes the broker forget, and would mean nothing to EVerest.
            self.retained.insert(message.topic.clone(), input.clone());
        }
        if self.current.is_some() {
            self.feed(at_ms, input);
        }
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
        let mut reports = Vec::new();
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
                Effect::EvseCall { evse, call } => self.roles.evse_call(evse, &call).inspect(|(_, payload)| {
                    reports.extend(self.reactions.take(evse, payload, t_ms, self.tolerance_ms));
                }),
                Effect::Exit { .. } => Some((exits::LANE.to_owned(), exits::content())),
                Effect::SessionEvent { .. }
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
        for index in reports {
            self.report(now, t_ms, index);
        }
    }

    /// An EVSE reports what the message at this index says, once.
    fn report(&mut self, now: Duration, t_ms: i64, index: usize) {
        if self.current.is_some()
            && self.reported.insert(index)
            && let Some(Stimulus::Session(evse, name)) = self.roles.stimulus(&self.recording.messages[index])
            && let Some(event) = self.event(index, evse, name)
        {
            self.feed_at(now, t_ms, Input::Session { evse, event });
        }
    }

    /// What a report at this index means.
    fn event(&self, index: usize, evse: i32, name: &str) -> Option<SessionEvent> {
        match self.station.session_event(evse, name)? {
            SessionEvent::SessionStartedByPlugIn if self.reactions.is_of_authorization(index) => {
                Some(SessionEvent::SessionStartedByAuthorization)
            }
            event => Some(event),
        }
    }

    fn virtual_time(&self, at_ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(at_ms.saturating_add(self.base_ms)).unwrap_or(0))
    }
}

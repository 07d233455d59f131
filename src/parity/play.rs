//! The stimuli of a recording, given to a station in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::{Copied, Peekable};
use std::slice;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::checks;
use super::exits;
use super::lives::Life;
use super::races::{Choices, MOVED_MS};
use super::reactions::Reactions;
use super::roles::{Roles, Stimulus, Thread};
use super::station_file::StationFile;
use super::{Outcome, Sending, TOLERANCE};
use crate::auth::{Race, SessionEvent};
use crate::protocol::channel::Channel;
use crate::protocol::control::{Command, HeartbeatControl};
use crate::recording::{Message, Recording};
use crate::station::{Effect, Input, Payload, RequestId, Station};

/// A station that does more has a heartbeat that no recording has; time then does nothing any more.
const MOST_OUTCOMES: usize = 2_000_000;

/// What EVerest's thread takes for a withdraw request, and for each call to an EVSE that it brings, at most: 44 ms of
/// Nagle's algorithm, and a little more.
const STEP_MS: i64 = 60;

/// What the station did, and where it could have done something else.
pub(super) struct Played {
    pub outcomes: Vec<Outcome>,
    /// Choices of the station's threads, with their times in the recording.
    pub races: Vec<(i64, Race)>,
    /// Stimuli that may have come a little earlier or later.
    pub movable: Vec<Movable>,
    /// When anything happened.
    pub events: BTreeSet<i64>,
}

/// A stimulus that may have come a little earlier or later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Movable {
    /// When it came.
    pub at_ms: i64,
    /// Its place in the recording.
    pub index: usize,
    /// By how much it may have come earlier than recorded, and later.
    pub earlier_ms: i64,
    pub later_ms: i64,
}

/// What is read from a recording once, however often it is played.
pub(super) struct Reading<'a> {
    recording: &'a Recording,
    file: &'a StationFile,
    roles: &'a Roles<'a>,
    lives: &'a [Life],
    tolerance_ms: i64,
    sending: Sending,
    /// By message.
    stimuli: Vec<Option<Stimulus<'a>>>,
    reactions: Reactions,
    before: Option<checks::Before>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        recording: &'a Recording,
        file: &'a StationFile,
        roles: &'a Roles<'a>,
        lives: &'a [Life],
        tolerance_ms: i64,
        sending: Sending,
    ) -> Self {
        Self {
            stimuli: recording.messages.iter().map(|message| roles.stimulus(message)).collect(),
            reactions: Reactions::new(recording, roles),
            before: checks::before(recording, file, roles, tolerance_ms),
            recording,
            file,
            roles,
            lives,
            tolerance_ms,
            sending,
        }
    }

    /// By how much a stimulus may have reached EVerest earlier than recorded, and later. What an EVSE has said in turn is
    /// still to reach Auth, which takes the longer the busier the machine is, and nothing tells when it has.
    fn leeway(&self, stimulus: &Stimulus<'_>) -> (i64, i64) {
        if self.sending == Sending::InTurn && stimulus.is_of_evse() {
            let held_up_ms = self.tolerance_ms.saturating_sub(i64::try_from(TOLERANCE.as_millis()).unwrap_or(0));
            return (0, MOVED_MS + held_up_ms.max(0));
        }
        (MOVED_MS, MOVED_MS)
    }
}

/// What the station does, from one tolerance before the recording to one after it, if it takes these choices.
pub(super) fn play(reading: &Reading<'_>, choices: &Choices) -> Played {
    let Reading { recording, file, roles, lives, tolerance_ms, .. } = *reading;
    let mut player = Player {
        file,
        roles,
        station: Station::new(&file.station),
        base_ms: lives.iter().map(|life| -life.ready_ms).max().unwrap_or(0).max(0),
        tolerance_ms,
        current: None,
        next: lives.iter().copied().peekable(),
        retained: BTreeMap::new(),
        reactions: reading.reactions.clone(),
        stimuli: &reading.stimuli,
        before: reading.before,
        reports: BTreeSet::new(),
        reported: BTreeSet::new(),
        questions: Vec::new(),
        asked: BTreeMap::new(),
        outcomes: Vec::new(),
        choices,
        free_ms: None,
        free_by_ms: i64::MIN,
        races: Vec::new(),
        movable: Vec::new(),
        events: BTreeSet::new(),
    };
    if lives.first().is_none_or(|life| !life.begins) {
        // What was checked before the recording must not show in it.
        player.advance(-tolerance_ms.min(player.base_ms));
        player.outcomes.clear();
    }
    let mut now = i64::MIN;
    for (at_ms, index) in schedule(reading, choices) {
        let message = &recording.messages[index];
        let Some(stimulus) = reading.stimuli[index].clone() else { continue };
        now = now.max(at_ms);
        player.advance(now);
        if stimulus.is_movable() && !player.reactions.has(index) {
            let (earlier_ms, later_ms) = reading.leeway(&stimulus);
            player.movable.push(Movable { at_ms: now, index, earlier_ms, later_ms });
        }
        match player.reactions.awaited(index) {
            Some(called_ms) if called_ms + tolerance_ms > now => {
                player.reports.insert((called_ms + tolerance_ms, index));
            }
            _ if player.reported.contains(&index) => {}
            _ => player.take(now, message, stimulus),
        }
    }
    player.advance(recording.end_ms().saturating_add(tolerance_ms));
    player.note_races();
    let Player { outcomes, races, movable, events, .. } = player;
    Played { outcomes, races, movable, events }
}

/// When each stimulus reaches EVerest, in that order: as recorded, which is in the order of the file, but for those that
/// are chosen to come earlier or later. What comes by one thread stays in its order, and what was sent in turn too; but what
/// EVSEs say reaches Auth on a way of its own, where it may be overtaken.
fn schedule(reading: &Reading<'_>, choices: &Choices) -> Vec<(i64, usize)> {
    let mut now = 0;
    let mut latest: BTreeMap<Thread, i64> = BTreeMap::new();
    // In turn: of what clients send, and of what EVSEs say.
    let (mut sent_ms, mut said_ms) = (i64::MIN, i64::MIN);
    let mut times = Vec::with_capacity(reading.stimuli.len());
    for (index, message) in reading.recording.messages.iter().enumerate() {
        now = now.max(message.at_ms());
        let mut at_ms = now + choices.moved.get(&index).copied().unwrap_or(0);
        if !choices.moved.is_empty()
            && let Some(stimulus) = &reading.stimuli[index]
        {
            match (reading.sending, stimulus.thread()) {
                (Sending::InTurn, _) if stimulus.is_of_evse() => {
                    at_ms = at_ms.max(sent_ms).max(said_ms);
                    said_ms = at_ms;
                }
                (Sending::InTurn, _) => {
                    at_ms = at_ms.max(sent_ms);
                    sent_ms = at_ms;
                }
                (Sending::Overlapping, Some(thread)) => {
                    let before = latest.entry(thread).or_insert(at_ms);
                    at_ms = at_ms.max(*before);
                    *before = at_ms;
                }
                (Sending::Overlapping, None) => {}
            }
        }
        times.push((at_ms, index));
    }
    times.sort();
    times
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
    reactions: Reactions,
    stimuli: &'a [Option<Stimulus<'a>>],
    before: Option<checks::Before>,
    /// Reports that wait for the station's call, by when they wait no longer.
    reports: BTreeSet<(i64, usize)>,
    /// Those that were taken.
    reported: BTreeSet<usize>,
    /// What the station asked its validator, and no recorded question has been found for.
    questions: Vec<(RequestId, Value)>,
    /// The station's questions by the topics of the recorded replies.
    asked: BTreeMap<String, RequestId>,
    outcomes: Vec<Outcome>,
    choices: &'a Choices,
    /// When the thread of `auth_consumer` is done with the withdraw request that was answered.
    free_ms: Option<i64>,
    /// Until when it may have taken for those whose end nobody saw.
    free_by_ms: i64,
    races: Vec<(i64, Race)>,
    movable: Vec<Movable>,
    events: BTreeSet<i64>,
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
        self.note_races();
        self.current = Some(life);
        self.station = Station::new(&self.file.station);
        self.station.follow(self.choices.inside.clone());
        self.free_ms = None;
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
        } else if let Some(before) = self.before {
            let at = before.at_ms.max(life.ready_ms);
            self.run_out(at);
            let payload = Bytes::from_static(if before.check { b"true" } else { b"false" });
            self.feed(at, Input::Received { channel: Channel::COMMUNICATION_CHECK, payload });
        }
    }

    fn run_out(&mut self, until_ms: i64) {
        if self.current.is_none() {
            return;
        }
        while self.outcomes.len() < MOST_OUTCOMES {
            // What was answered by then may have to wait for the end of a request before it, and may end one itself.
            let free_ms = self.free_ms.filter(|free_ms| *free_ms <= until_ms);
            let due_by = self.virtual_time(free_ms.unwrap_or(until_ms));
            if let Some(due) = self.station.next_deadline().filter(|due| *due <= due_by) {
                let due_ms = i64::try_from(due.as_millis()).unwrap_or(i64::MAX);
                self.feed_at(due, due_ms - self.base_ms, Input::Deadline);
            } else if let Some(free_ms) = free_ms {
                self.free_ms = None;
                self.feed(free_ms, Input::RequestDone);
            } else {
                break;
            }
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

    fn note_races(&mut self) {
        let base_ms = self.base_ms;
        let in_recording = |race: &Race| (i64::try_from(race.at.as_millis()).unwrap_or(i64::MAX) - base_ms, *race);
        self.races.extend(self.station.races().iter().map(in_recording));
    }

    /// The station answered a withdraw request at `t_ms`, and called so many EVSEs. Its thread takes as long as EVerest's
    /// did, as far as the recording shows it, and within what it may take.
    fn linger(&mut self, t_ms: i64, calls: i64, reply: Option<usize>) {
        let most_ms = self.free_by_ms.max(t_ms) + STEP_MS * (1 + calls);
        let replied_ms = reply.and_then(|reply| self.roles.replied_ms(&self.outcomes[reply].lane, t_ms));
        let (free_ms, free_by_ms) = match (reply, replied_ms) {
            (Some(reply), Some(replied_ms)) => {
                let done_ms = replied_ms.min(most_ms);
                self.outcomes[reply].t_ms = done_ms;
                (done_ms, done_ms)
            }
            _ => (t_ms, most_ms),
        };
        (self.free_ms, self.free_by_ms) = (Some(free_ms), free_by_ms);
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
        let (mut reports, mut calls, mut reply) = (Vec::new(), 0, None);
        let is_input = input != Input::Deadline;
        let before = self.outcomes.len();
        for effect in self.station.apply(now, input) {
            calls += i64::from(matches!(effect, Effect::EvseCall { .. }));
            let is_result = matches!(&effect, Effect::Publish { payload: Payload::WithdrawResult(_), .. });
            let outcome = match effect {
                Effect::Publish { to, payload } => Some((self.roles.topic(to), json!(payload))),
                Effect::Ask { request, token } => {
                    let token = json!(token);
                    self.questions.push((request, token.clone()));
                    Some((self.roles.question_topic(), token))
                }
                Effect::Fault { api, fault, raised } => self.roles.fault(api, fault, raised),
                Effect::EvseCall { evse, call } => self.roles.evse_call(evse, &call).inspect(|(_, payload)| {
                    reports.extend(self.reactions.take(evse, payload, t_ms, self.tolerance_ms));
                }),
                Effect::Exit { .. } => Some((exits::LANE.to_owned(), exits::content())),
                Effect::ReservationResult { .. }
                | Effect::ReservationCancelled { .. }
                | Effect::ReservationUpdate { .. }
                | Effect::SessionEvent { .. }
                | Effect::Asked { .. }
                | Effect::Csms(_)
                | Effect::CsmsInside(_)
                | Effect::Ignored { .. } => None,
            };
            if let Some((topic, payload)) = outcome {
                let lane = self.roles.lane(&topic, &payload);
                if is_result {
                    reply = Some(self.outcomes.len());
                }
                self.outcomes.push(Outcome { lane, line: None, t_ms, payload });
            }
        }
        if is_input || self.outcomes.len() > before {
            self.events.insert(t_ms);
        }
        if self.free_ms.is_none() && self.station.awaits_request_done() {
            self.linger(t_ms, calls, reply);
        }
        for index in reports {
            self.report(now, t_ms, index);
        }
    }

    /// An EVSE reports what the message at this index says, once.
    fn report(&mut self, now: Duration, t_ms: i64, index: usize) {
        if self.current.is_some()
            && self.reported.insert(index)
            && let Some(Stimulus::Session(evse, name)) = self.stimuli[index]
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

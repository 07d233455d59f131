//! Plays one side of a recording to the module under test, in real time.
//!
//! What the module does is read from the record, as for scenarios. Replies are not played at the recorded time, but when
//! the module has asked; nothing is demanded of a module that it cannot be told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use super::clock::{Clock, Speed};
use super::findings;
use super::observer::is_own;
use super::played::Played;
use super::races;
use super::settings::ModuleSource;
use super::stage::{Stage, Stop, Wake, broken};
use crate::conformance::judge::WITHIN;
use crate::conformance::sighting::{Kind, Party, Sighting};
use crate::parity::station_file::Everest;
use crate::parity::{Act, Allowance, Difference, Outcome, Part, Renaming, Report, Script, Witness};
use crate::protocol::channel::ApiType;
use crate::protocol::control::{Command, command_name};
use crate::protocol::side::Side;
use crate::protocol::{codec, topic};
use crate::recording::Message;
use crate::transcript::record::Event;

/// A recording that is to be played.
#[derive(Debug)]
pub struct Replay {
    /// What is played.
    pub script: Script,
    /// How fast.
    pub speed: Speed,
    /// How far apart in time the same outcome may lie.
    pub tolerance: Duration,
    /// What came of it, once it was played to its end.
    pub replayed: Mutex<Option<Replayed>>,
    /// How far it is, in milliseconds of the recording.
    pub position_ms: AtomicU64,
}

/// What came of a replay.
#[derive(Debug, Clone)]
pub enum Replayed {
    /// EVerest's side was played to a client.
    ToClient(Requests),
    /// EVerest's surroundings were played to an EVerest.
    ToEverest {
        /// Its answers beside the recorded ones.
        report: Report,
        /// Where it did otherwise than recorded, as EVerest may.
        raced: Vec<Difference>,
        /// How many recorded outcomes were not looked for, because this module does not show them.
        hidden: usize,
        /// What was done to EVerest in the recording and could not be done to the module.
        undelivered: Vec<Undelivered>,
    },
}

/// A stimulus that found nobody. What came after it in the recording may depend on it, and says nothing of the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The line of the recording.
    pub line: usize,
    /// Milliseconds since the start of the recording.
    pub t_ms: i64,
    /// The topic.
    pub topic: String,
}

/// The requests of a client beside the recorded ones.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    /// How many there are in the recording.
    pub recorded: usize,
    /// How many of them the client made.
    pub made: usize,
    /// Those of the recording that it did not make.
    pub missing: Vec<Missing>,
    /// Those that it made and that the recording does not have: topic and content.
    pub others: Vec<(String, Value)>,
}

/// A request that a client did not make.
#[derive(Debug, Clone)]
pub struct Missing {
    /// The line of the recording.
    pub line: usize,
    /// The topic.
    pub topic: String,
    /// What was asked.
    pub content: Value,
    /// Whether the client was told to ask it.
    pub is_told: bool,
}

/// How much later than recorded the last thing may come that is awaited.
const AT_LAST: Duration = WITHIN;

/// Plays a recording.
///
/// # Errors
/// When the module ends, cannot be told what the recording needs, or the user interrupts.
pub async fn replay(stage: &mut Stage<'_>, replay: &Replay) -> Result<(), Stop> {
    stage.wait_ready().await?;
    let side = stage.scenario.model.under_test;
    let part = match side {
        Side::Client => replay.script.everest(),
        Side::Everest => replay.script.surroundings(),
    };
    let renaming = Renaming::new(&replay.script.file, &stage.scene.topics);
    let mut player = Player {
        side,
        witness: replay.script.witness(),
        requests: vec![State::default(); part.requests.len()],
        part,
        renaming,
        clock: Clock::start(Instant::now(), 0, replay.speed),
        replay,
        epoch: Instant::now(),
        cue: 0,
        next: 0,
        answers: Vec::new(),
        cannot: BTreeSet::new(),
        live: Vec::new(),
        lag: Duration::ZERO,
        others: Vec::new(),
        undelivered: Vec::new(),
        reports: Vec::new(),
        moves_evses: false,
        stage,
    };
    player.begin().await?;
    while let Some(cue) = player.part.cues.get(player.cue).cloned() {
        player.wait(cue.at_ms).await?;
        replay.position_ms.store(u64::try_from(cue.at_ms).unwrap_or(0), Ordering::Relaxed);
        player.cue += 1;
        player.act(cue.act).await?;
    }
    player.end().await
}

/// Whether a difference lies before everything that could not be delivered.
fn is_before(difference: &Difference, undelivered: &[Undelivered]) -> bool {
    undelivered.first().is_none_or(|first| difference.t_ms() < first.t_ms)
}

fn undelivered(message: &Message) -> Undelivered {
    Undelivered { line: message.line, t_ms: message.at_ms(), topic: message.topic.clone() }
}

fn fresh() -> String {
    Uuid::new_v4().to_string()
}

/// How far a recorded request has come.
#[derive(Debug, Clone, Default)]
struct State {
    is_told: bool,
    is_made: bool,
}

/// A reply that is on its way.
struct Answer {
    due: Instant,
    topic: String,
    message: Message,
}

/// Who plays a recording.
pub(super) struct Player<'a, 's> {
    pub(super) stage: &'a mut Stage<'s>,
    pub(super) replay: &'a Replay,
    pub(super) side: Side,
    part: Part,
    requests: Vec<State>,
    pub(super) witness: Witness<'a>,
    renaming: Renaming,
    pub(super) clock: Clock,
    /// When the broker's clock began.
    epoch: Instant,
    /// The first cue that was not played.
    cue: usize,
    /// The first message of the record that was not looked at.
    next: usize,
    answers: Vec<Answer>,
    /// Commands that the module cannot be told.
    cannot: BTreeSet<String>,
    /// What an EVerest under test did, and when; with the names of the recording, but not yet with its times.
    pub(super) live: Vec<(Instant, Outcome)>,
    /// How long khumbu had been held up when the recording began.
    pub(super) lag: Duration,
    others: Vec<(String, Value)>,
    undelivered: Vec<Undelivered>,
    /// What EVSEs reported in the recording and the module was not told: its own may report it.
    reports: Vec<Undelivered>,
    /// Whether the EVSEs of the module are moved otherwise: by commands, by messages of others, or they report themselves.
    moves_evses: bool,
}

impl Player<'_, '_> {
    /// Lets time pass, and answers meanwhile.
    pub(super) async fn pass(&mut self, until: Instant) -> Result<(), Stop> {
        while Instant::now() < until {
            self.step(until).await?;
        }
        Ok(())
    }

    /// Waits until it is time for what was recorded at `at_ms`. What EVerest did just before that may be what it followed
    /// from, so that an EVerest that is a little late is waited for.
    async fn wait(&mut self, at_ms: i64) -> Result<(), Stop> {
        let patience = match (self.side, self.replay.speed) {
            (Side::Everest, Speed::Times(_)) => self.replay.tolerance / 2,
            _ => Duration::ZERO,
        };
        let just_before = at_ms.saturating_sub(self.tolerance_ms());
        loop {
            let due = self.clock.due(at_ms);
            let is_due = Instant::now() >= due;
            if is_due && (Instant::now() >= due + patience || self.is_settled(just_before, at_ms)) {
                return self.answer().await;
            }
            if self.replay.speed == Speed::Max && self.is_settled(i64::MIN, at_ms) {
                self.clock.skip_to(Instant::now(), at_ms);
                return Ok(());
            }
            self.step(if is_due { due + patience } else { due }).await?;
        }
    }

    /// Waits for one thing to happen, at most until `until`.
    pub(super) async fn step(&mut self, until: Instant) -> Result<(), Stop> {
        let dues = self.answers.iter().filter(|answer| self.may_answer(answer)).map(|answer| answer.due);
        let next = dues.min().map_or(until, |due| due.min(until));
        match self.stage.wait(next).await? {
            Wake::Record => self.look(),
            Wake::Deadline => {}
            Wake::Ended => return Err(findings::ended_while(self.stage, "", "in the middle of the recording").into()),
        }
        self.answer().await
    }

    /// Whether everything has come that was recorded before `at_ms`; in the lanes, that is, that say something from
    /// `since_ms` on.
    fn is_settled(&self, since_ms: i64, at_ms: i64) -> bool {
        if self.answers.iter().any(|answer| answer.message.at_ms() < at_ms) {
            return false;
        }
        match self.side {
            Side::Client => self.requests.iter().all(|request| request.is_made || !request.is_told),
            Side::Everest => {
                let mut missing: BTreeMap<&str, i64> = BTreeMap::new();
                let recorded = self.witness.recorded().iter();
                let is_builtin = self.stage.settings.module.is_builtin();
                let is_seen = |it: &Outcome| is_builtin || !self.witness.is_inside(it);
                let recorded: Vec<_> =
                    recorded.filter(|it| it.t_ms < at_ms && !self.witness.is_heartbeat(it) && is_seen(it)).collect();
                let lanes = recorded.iter().filter(|it| it.t_ms >= since_ms).map(|it| it.lane.as_str());
                missing.extend(lanes.map(|lane| (lane, 0)));
                for outcome in &recorded {
                    if let Some(missing) = missing.get_mut(outcome.lane.as_str()) {
                        *missing += 1;
                    }
                }
                for (_, outcome) in self.live.iter().filter(|(at, _)| self.clock.has_begun(*at)) {
                    if let Some(missing) = missing.get_mut(outcome.lane.as_str()) {
                        *missing -= 1;
                    }
                }
                missing.values().all(|missing| *missing <= 0)
            }
        }
    }

    async fn act(&mut self, act: Act) -> Result<(), Stop> {
        match act {
            Act::Publish(message) => {
                if self.side == Side::Everest && !self.witness.is_for_api(&message) {
                    match self.is_heard(&message) {
                        true => self.moves_evses = true,
                        // Without bindings nobody knows which topics of others move EVerest's EVSEs.
                        false if self.replay.script.file.bindings.is_empty() => {
                            self.undelivered.push(undelivered(&message));
                        }
                        false => {}
                    }
                }
                self.say(&message).await
            }
            Act::Report(message) if self.stage.settings.module.is_builtin() => self.say(&message).await,
            Act::Report(message) => {
                self.reports.push(undelivered(&message));
                Ok(())
            }
            Act::Tell(command, otherwise) => match (self.tell(&command).await?, otherwise) {
                (true, otherwise) => {
                    self.moves_evses |= otherwise.is_some();
                    Ok(())
                }
                (false, Some(message)) => {
                    match self.is_heard(&message) {
                        true => self.moves_evses = true,
                        false => self.undelivered.push(undelivered(&message)),
                    }
                    self.say(&message).await
                }
                // A client goes on as it wants; an EVerest without its EVs cannot be judged.
                (false, None) if self.side == Side::Client => Ok(()),
                (false, None) => Err(findings::cannot_be_told(self.stage, "", &command_name(&command)).into()),
            },
            Act::Demand(request, command) => {
                if !self.requests[request].is_made {
                    self.requests[request].is_told = self.tell(&command).await?;
                }
                Ok(())
            }
        }
    }

    /// Whether the module hears what passes on the topic of a recorded message, as far as khumbu can see.
    fn is_heard(&mut self, message: &Message) -> bool {
        let topic = self.renaming.topic_to_live(&message.topic, fresh);
        let is_elsewhere =
            self.stage.settings.module == ModuleSource::Attached && self.stage.settings.upstream.is_some();
        is_elsewhere || self.stage.observer.connections.is_subscribed(&topic)
    }

    async fn tell(&mut self, command: &Command) -> Result<bool, Stop> {
        let name = command_name(command);
        if self.cannot.contains(&name) {
            return Ok(false);
        }
        // A command has names in it, too; with others it is still one.
        let text = serde_json::to_string(command).unwrap_or_default();
        let renamed = serde_json::from_str(&self.renaming.to_live(&text, fresh));
        let is_told = self.stage.tell(renamed.as_ref().unwrap_or(command), "").await?.is_told();
        if !is_told {
            self.cannot.insert(name);
        }
        Ok(is_told)
    }

    /// Publishes a recorded message with the names of now; what asks for a reply has its topic subscribed before.
    async fn say(&mut self, message: &Message) -> Result<(), Stop> {
        let topic = self.renaming.topic_to_live(&message.topic, fresh);
        let payload = self.payload(message);
        if let Some(reply_to) = message.reply_to() {
            let bare = self.renaming.to_live(&reply_to, fresh);
            let live = self.stage.scene.topics.reply_topic_on_wire(&bare);
            let recorded = format!("{}{reply_to}", self.replay.script.file.external_prefix);
            if let Played::Client(client) = &self.stage.played
                && topic::check_name(&live).is_ok()
            {
                let subscribed = client.link().subscribe(std::slice::from_ref(&live), 2).await;
                subscribed.map_err(|error| broken(&error.to_string()))?;
            }
            self.renaming.pair_replies(live, recorded);
        }
        self.publish(&topic, payload, message.qos, message.retain).await
    }

    /// The payload of a recorded message with the names of now, in the form in which its publisher writes it.
    fn payload(&mut self, message: &Message) -> Bytes {
        let bytes = match (message.json(), self.side) {
            // Questions are compact at EVerest, too.
            (Some(_), Side::Client) if self.witness.is_question(message) => message.bytes.clone(),
            (Some(payload), Side::Client) => codec::encode(payload),
            _ => message.bytes.clone(),
        };
        match std::str::from_utf8(&bytes) {
            Ok(text) => self.renaming.to_live(text, fresh).into(),
            Err(_) => bytes,
        }
    }

    pub(super) async fn publish(&self, topic: &str, payload: Bytes, qos: u8, retain: bool) -> Result<(), Stop> {
        let Played::Client(client) = &self.stage.played else { return Ok(()) };
        // What cannot be published now was not published then.
        if topic::check_name(topic).is_err() {
            return Ok(());
        }
        client.link().publish(topic, payload, qos, retain).await.map_err(|error| broken(&error.to_string()).into())
    }

    /// Looks at what is new in the record.
    pub(super) fn look(&mut self) {
        if let Some(last) = self.stage.observer.records.last() {
            // The one that was read soonest tells best.
            self.epoch = self.epoch.min(Instant::now().checked_sub(last.at).unwrap_or(self.epoch));
        }
        while let Some(seen) = self.stage.observer.messages.get(self.next) {
            self.next += 1;
            if seen.from != Party::Module || seen.kind == Kind::Control {
                continue;
            }
            let seen = seen.clone();
            self.take(&seen);
        }
    }

    fn take(&mut self, seen: &Sighting) {
        let records = &self.stage.observer.records;
        let index = records.first().and_then(|first| usize::try_from(seen.seq - first.seq).ok());
        let at = index.and_then(|index| records.get(index)).map_or(Duration::ZERO, |record| record.at);
        let at = self.epoch + at;
        let topic = self.renaming.topic_to_recorded(&seen.publish.topic);
        let payload = match std::str::from_utf8(&seen.publish.payload) {
            Ok(text) => self.renaming.to_recorded(text).into(),
            Err(_) => seen.publish.payload.clone(),
        };
        let message = Message::new(Duration::ZERO, &topic, &payload, seen.publish.qos, seen.publish.retain);
        let is_asking = match self.side {
            Side::Client => self.witness.is_request(&message),
            Side::Everest => self.witness.is_question(&message),
        };
        if is_asking {
            self.take_request(seen, &message, at);
        }
        self.moves_evses |= self.side == Side::Everest && self.witness.is_report(&message);
        if self.side == Side::Everest
            && let Some(outcome) = self.witness.outcome(&message)
        {
            self.live.push((at, outcome));
        }
    }

    /// Finds the recorded request that a live one is, and has it answered as that was.
    fn take_request(&mut self, seen: &Sighting, message: &Message, at: Instant) {
        let content = self.witness.content(message);
        let found = self.part.requests.iter().zip(&self.requests).position(|(recorded, state)| {
            !state.is_made
                && recorded.topic == message.topic
                && recorded.content.as_ref().is_none_or(|recorded| *recorded == content)
        });
        let Some(found) = found else {
            self.others.push((message.topic.clone(), content));
            return;
        };
        self.requests[found].is_made = true;
        let reply_to = seen.json.as_ref().and_then(|json| json.pointer("/headers/replyTo")?.as_str());
        let Some(reply_to) = reply_to else { return };
        let topics = &self.stage.scene.topics;
        let topic = match reply_to.starts_with(&topics.external_prefix) {
            // EVerest says its own topics with the prefix, or without.
            true if self.side == Side::Everest => reply_to.to_owned(),
            _ => topics.reply_topic_on_wire(reply_to),
        };
        for (delay_ms, reply) in &self.part.requests[found].replies {
            let due = at + self.clock.span(*delay_ms);
            self.answers.push(Answer { due, topic: topic.clone(), message: reply.clone() });
        }
    }

    /// Whether everything was played that was recorded before a reply; at full speed its time may come earlier.
    fn may_answer(&self, answer: &Answer) -> bool {
        let next = self.part.cues.get(self.cue);
        self.replay.speed != Speed::Max || next.is_none_or(|cue| answer.message.at_ms() <= cue.at_ms)
    }

    /// Sends the replies that are due.
    async fn answer(&mut self) -> Result<(), Stop> {
        let is_next = |player: &Self, answer: &Answer| answer.due <= Instant::now() && player.may_answer(answer);
        while let Some(next) = self.answers.iter().position(|answer| is_next(self, answer)) {
            let Answer { topic, message, .. } = self.answers.remove(next);
            let payload = self.payload(&message);
            self.publish(&topic, payload, message.qos, message.retain).await?;
        }
        Ok(())
    }

    /// Waits for what is still to come, and judges.
    async fn end(&mut self) -> Result<(), Stop> {
        let end_ms = self.replay.script.recording.end_ms();
        self.wait(end_ms).await?;
        // What is late because khumbu itself was held up is waited for, too.
        let within = if self.side == Side::Client { AT_LAST } else { self.replay.tolerance };
        let deadline = Instant::now() + within + self.held_up();
        let is_over = |player: &Self| {
            player.answers.is_empty() && player.side == Side::Client && player.is_settled(i64::MIN, end_ms)
        };
        while !is_over(self) && Instant::now() < deadline {
            self.step(deadline).await?;
        }
        self.stage.observer.drain();
        self.look();
        let replayed = match self.side {
            Side::Client => Replayed::ToClient(self.requests_made()),
            Side::Everest => self.compared().await,
        };
        self.judge(&replayed);
        *self.replay.replayed.lock().unwrap_or_else(PoisonError::into_inner) = Some(replayed);
        Ok(())
    }

    /// How long khumbu has been held up since the recording began.
    fn held_up(&self) -> Duration {
        self.stage.lag.total().saturating_sub(self.lag)
    }

    fn requests_made(&mut self) -> Requests {
        let spoken = self.spoken();
        let mut requests = Requests { others: std::mem::take(&mut self.others), ..Requests::default() };
        for (request, state) in self.part.requests.iter().zip(&self.requests) {
            // What another client said is not asked of this one.
            if !state.is_made && !state.is_told && request.api.is_some_and(|api| !spoken.contains(&api)) {
                continue;
            }
            requests.recorded += 1;
            if state.is_made {
                requests.made += 1;
                continue;
            }
            requests.missing.push(Missing {
                line: request.line,
                topic: request.topic.clone(),
                content: request.content.clone().unwrap_or_default(),
                is_told: state.is_told,
            });
        }
        requests
    }

    /// The APIs that the client speaks: it has subscribed to something of theirs, or published there.
    fn spoken(&self) -> BTreeSet<ApiType> {
        let filters = self.stage.observer.records.iter().filter_map(|record| match &record.event {
            Event::Subscribed { filter, .. } if !is_own(&record.client) => Some(filter.as_str()),
            _ => None,
        });
        let messages = self.stage.observer.messages.iter().filter(|seen| seen.from == Party::Module);
        let said = filters.chain(messages.map(|seen| &*seen.publish.topic));
        said.filter_map(|topic| self.witness.api_of(&self.renaming.topic_to_recorded(topic))).collect()
    }

    /// How far apart in time the same outcome may lie, in milliseconds.
    pub(super) fn tolerance_ms(&self) -> i64 {
        i64::try_from(self.replay.tolerance.as_millis()).unwrap_or(i64::MAX / 4)
    }

    async fn compared(&mut self) -> Replayed {
        let (start, _) = self.replay.script.start(self.tolerance_ms());
        // A harness that was held up is no fault of the module.
        let tolerance = self.clock.recorded_span(self.replay.tolerance + self.held_up());
        let timed = |(at, outcome): (Instant, Outcome)| Outcome { t_ms: self.clock.recorded(at), ..outcome };
        let live = std::mem::take(&mut self.live).into_iter().map(timed);
        let live: Vec<Outcome> = live.filter(|it| start == Everest::Starting || it.t_ms >= -tolerance).collect();
        let is_builtin = self.stage.settings.module.is_builtin();
        let allowance = Allowance {
            near_ms: (self.replay.speed != Speed::Max).then_some(tolerance),
            edge_ms: tolerance,
            heartbeats: self.replay.speed == Speed::Times(1.0),
            renumbers: start == Everest::Running,
            inside: is_builtin || live.iter().any(|outcome| self.witness.is_inside(outcome)),
        };
        let (mut report, hidden) = self.witness.compare(live, allowance);
        let mut undelivered = std::mem::take(&mut self.undelivered);
        if !self.moves_evses {
            undelivered.append(&mut self.reports);
            undelivered.sort_by_key(|it| it.line);
        }
        // What differs because something was lost says nothing of races.
        let may_race = |it: &Difference| !it.is_of_heartbeats() && is_before(it, &undelivered);
        let tolerance = self.replay.tolerance + self.held_up();
        let differs = report.differences.iter().any(may_race);
        let raced = match differs && races::are_both_right(self.stage, &self.replay.script, tolerance).await {
            true => report.differences.extract_if(.., |it| may_race(it)).collect(),
            false => Vec::new(),
        };
        Replayed::ToEverest { report, raced, hidden, undelivered }
    }

    fn judge(&mut self, replayed: &Replayed) {
        let found = match replayed {
            Replayed::ToClient(requests) => findings::of_requests(self.stage, requests),
            Replayed::ToEverest { report, undelivered, .. } => {
                let is_heartbeat = Difference::is_of_heartbeats;
                let judged =
                    report.differences.iter().filter(|it| is_heartbeat(it) || is_before(it, undelivered)).count();
                findings::of_outcomes(self.stage, report, judged, undelivered)
            }
        };
        self.stage.observer.findings.extend(found);
    }
}

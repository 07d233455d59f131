//! Plays one side of a recording to the module under test, in real time.
//!
//! What the module does is read from the record, as for scenarios. Replies are not played at the recorded time, but when
//! the module has asked; nothing is demanded of a module that it cannot be told.

mod outcome;
mod start;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::clock::{Clock, Speed};
use super::lookout::Wake;
use super::stage::Stage;
use super::stop::Stop;
use crate::parity::{Act, Difference, Outcome, Part, Renaming, Report, Script, Witness};
use crate::protocol::control::command_name;
use crate::protocol::side::Side;
use crate::recording::Message;

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

/// Plays a recording.
///
/// # Errors
/// When the module ends, cannot be told what the recording needs, or the user interrupts.
pub async fn replay(stage: &mut Stage<'_>, replay: &Replay) -> Result<(), Stop> {
    stage.wait_ready().await?;
    let side = stage.scene.scenario.model.under_test;
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

fn undelivered(message: &Message) -> Undelivered {
    Undelivered { line: message.line, t_ms: message.at_ms(), topic: message.topic.clone() }
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
struct Player<'a, 's> {
    stage: &'a mut Stage<'s>,
    replay: &'a Replay,
    side: Side,
    part: Part,
    requests: Vec<State>,
    witness: Witness<'a>,
    renaming: Renaming,
    clock: Clock,
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
    live: Vec<(Instant, Outcome)>,
    /// How long khumbu had been held up when the recording began.
    lag: Duration,
    others: Vec<(String, Value)>,
    undelivered: Vec<Undelivered>,
    /// What EVSEs reported in the recording and the module was not told: its own may report it.
    reports: Vec<Undelivered>,
    /// Whether the EVSEs of the module are moved otherwise: by commands, by messages of others, or they report themselves.
    moves_evses: bool,
}

impl Player<'_, '_> {
    /// Lets time pass, and answers meanwhile.
    async fn pass(&mut self, until: Instant) -> Result<(), Stop> {
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
    async fn step(&mut self, until: Instant) -> Result<(), Stop> {
        let dues = self.answers.iter().filter(|answer| self.may_answer(answer)).map(|answer| answer.due);
        let next = dues.min().map_or(until, |due| due.min(until));
        match self.stage.lookout.wait(next).await? {
            Wake::Record => self.look(),
            Wake::Deadline => {}
            Wake::Ended => {
                return Err(self
                    .stage
                    .judging
                    .ended_while(&self.stage.lookout, "", "in the middle of the recording")
                    .into());
            }
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
                let is_builtin = self.stage.scene.settings.module.is_builtin();
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
            Act::Report(message) if self.stage.scene.settings.module.is_builtin() => self.say(&message).await,
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
                (false, None) => {
                    Err(self.stage.judging.cannot_be_told(&self.stage.lookout, "", &command_name(&command)).into())
                }
            },
            Act::Demand(request, command) => {
                if !self.requests[request].is_made {
                    self.requests[request].is_told = self.tell(&command).await?;
                }
                Ok(())
            }
        }
    }
}

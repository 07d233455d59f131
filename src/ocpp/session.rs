//! The session of a charge point with its CSMS: boot, heartbeat, one request at a time, and what happens when the CSMS is
//! away (OCPP 1.6, sections 4.2, 4.6, 4.8 and 4.9; OCPP-J 1.6, section 4.1; 2.0.1, B01 to B04, B11, B12, G02, J01).

mod answers;
mod incoming;

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};

use super::backoff::Backoff;
use super::call::{self, BootReason, Call, Occasion, Refusal, RegistrationStatus, Reset, Translation, of_report};
use super::frame::{ErrorCode, Frame};
use super::outbox::Outbox;
use super::version::OcppVersion;
use crate::station::RequestId;
use crate::station::charge_point::{Answer, ConnectorStatus, CsmsInput, Keys, Report, Request};

/// Who the charge point is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What it speaks.
    pub version: OcppVersion,
    /// Who made it.
    pub vendor: String,
    /// What they call it.
    pub model: String,
    /// How many EVSEs it has.
    pub evses: u8,
    /// With what message ids begin; differs from one start of the program to the next.
    pub id_prefix: String,
    /// Differs from one charger to the next.
    pub seed: u64,
}

/// What happens to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The connection is there.
    Opened,
    /// The connection is not there, or not any more; why, in words.
    Closed(String),
    /// The other side has shown that it lives.
    Heard,
    /// A text came.
    Received(String),
    /// The charge point reports.
    Reported(Report),
    /// What came of the first [`Effect::Ask`] that has no answer yet.
    Answered(Result<Answer, String>),
    /// The time of [`Session::next_deadline`] has come.
    Deadline,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Connect; [`Input::Opened`] or [`Input::Closed`] answers.
    Connect,
    /// Close the connection; nothing answers.
    Close,
    /// Send a text.
    Send(String),
    /// Send a ping.
    Ping,
    /// Tell the charge point.
    Tell(CsmsInput),
    /// Ask the charge point; [`Input::Answered`] answers.
    Ask(Request),
    /// Restart the charge point; it will report that it has booted.
    Restart,
    /// Take note of what was said.
    Note(Note),
}

/// What was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// By whom.
    pub direction: Direction,
    /// What it is in the conversation.
    pub part: Part,
    /// The action, of an answer that of its call; of a notice, what happened.
    pub action: String,
    /// The payload.
    pub message: Value,
}

/// What something is in the conversation of OCPP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A call, by its message id.
    Call(String),
    /// What answers the call of this message id, or that nothing does.
    Answer(String),
    /// What nobody said, as that the connection was lost.
    Notice,
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The charge point.
    ToCsms,
    /// The CSMS, or what stands between.
    FromCsms,
}

/// A session.
pub struct Session {
    identity: Identity,
    keys: Keys,
    phase: Phase,
    registration: Option<RegistrationStatus>,
    boot_at: Duration,
    boot_reason: BootReason,
    heartbeat_at: Option<Duration>,
    ping_at: Option<Duration>,
    is_pong_awaited: bool,
    waiting: VecDeque<Waiting>,
    outbox: Outbox,
    current: Option<Current>,
    /// What the charge point was asked and has not answered.
    asked: VecDeque<Option<Asked>>,
    statuses: BTreeMap<i32, (ConnectorStatus, Option<String>)>,
    /// What the CSMS knows of them.
    told: BTreeMap<i32, ConnectorStatus>,
    /// Where transactions run.
    busy: BTreeMap<i32, String>,
    restart: Restart,
    next_id: u64,
    backoff: Backoff,
    out: Vec<Effect>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The charge point has not booted yet.
    Idle,
    Down {
        retry_at: Duration,
    },
    Opening,
    Open,
}

/// Whether the CSMS has asked for a restart that is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restart {
    No,
    /// When the last transaction is over.
    WhenIdle,
    /// When the CSMS knows the end of all transactions, or at this time.
    WhenTold(Duration),
    /// When the CSMS has answered what it was asked last, or at this time; nothing more is asked before.
    WhenAnswered(Duration),
}

/// A request that waits for its turn.
struct Waiting {
    call: Call,
    what: What,
    /// Whether it may go before the CSMS has accepted the charge point.
    is_early: bool,
}

/// A request that waits for its answer.
struct Current {
    id: String,
    action: &'static str,
    what: What,
    until: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Boot,
    Authorize(RequestId),
    Status(i32, ConnectorStatus),
    /// The first message of the outbox.
    Kept,
    /// Nobody minds the answer.
    Other,
}

struct Asked {
    id: String,
    action: String,
    how: How,
}

/// What the answer of the charge point is for.
enum How {
    Answer(Translation),
    /// Meters that were asked for by a trigger.
    Meters,
}

/// How long the CSMS may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait where the CSMS does not say.
const BOOT_AGAIN: Duration = Duration::from_secs(60);
/// How long a restart waits until the CSMS has taken all messages of transactions, or has answered the last one.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// The most requests that wait for their turn.
const MOST_WAITING: usize = 256;

impl Session {
    /// A session that waits for the charge point to boot.
    pub fn new(identity: Identity) -> Self {
        let backoff = Backoff::new(identity.seed);
        Self {
            identity,
            keys: Keys::default(),
            phase: Phase::Idle,
            registration: None,
            boot_at: Duration::ZERO,
            boot_reason: BootReason::PowerUp,
            heartbeat_at: None,
            ping_at: None,
            is_pong_awaited: false,
            waiting: VecDeque::new(),
            outbox: Outbox::default(),
            current: None,
            asked: VecDeque::new(),
            statuses: BTreeMap::new(),
            told: BTreeMap::new(),
            busy: BTreeMap::new(),
            restart: Restart::No,
            next_id: 1,
            backoff,
            out: Vec::new(),
        }
    }

    /// Takes one input; total. `now` counts from the Unix epoch.
    pub fn apply(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        match input {
            Input::Deadline => {}
            Input::Opened if self.phase == Phase::Opening => self.opened(now),
            Input::Opened => self.out.push(Effect::Close),
            Input::Closed(why) if matches!(self.phase, Phase::Opening | Phase::Open) => {
                self.note(Direction::FromCsms, Part::Notice, "Disconnected", json!({"reason": why}));
                self.closed(now);
            }
            Input::Closed(_) => {}
            Input::Heard => self.is_pong_awaited = false,
            Input::Received(text) if self.phase == Phase::Open => self.received(now, &text),
            Input::Received(_) => {}
            Input::Reported(report) => self.reported(now, report),
            Input::Answered(outcome) => self.answered(now, outcome),
        }
        self.run(now);
        self.restart_if_due(now);
        std::mem::take(&mut self.out)
    }

    /// Sends this, as soon as it is its turn.
    ///
    /// # Errors
    /// Why it cannot be sent, in words.
    pub fn send(&mut self, now: Duration, action: &'static str, payload: Value) -> (Result<(), String>, Vec<Effect>) {
        let is_boot = action == "BootNotification";
        let refused = match () {
            () if self.phase != Phase::Open => Some("the CSMS is away"),
            () if !self.is_online() && !is_boot => Some("the CSMS has not accepted the charger"),
            () if self.waiting.len() >= MOST_WAITING => Some("too many messages wait for the CSMS"),
            () => None,
        };
        if let Some(why) = refused {
            return (Err(why.to_owned()), Vec::new());
        }
        let what = if is_boot { What::Boot } else { What::Other };
        self.push(Waiting { call: Call::new(action, payload), what, is_early: is_boot });
        self.run(now);
        (Ok(()), std::mem::take(&mut self.out))
    }

    /// When [`Input::Deadline`] is due; `None` if nothing waits for time to pass.
    pub fn next_deadline(&self) -> Option<Duration> {
        match self.phase {
            Phase::Idle | Phase::Opening => None,
            Phase::Down { retry_at } => Some(retry_at),
            Phase::Open => {
                let of_current = self.current.as_ref().map(|current| current.until);
                let is_free = self.current.is_none();
                let boot = (is_free && !self.is_online()).then_some(self.boot_at);
                let kept = if is_free && self.is_online() { self.outbox.at() } else { None };
                let heartbeat = self.heartbeat_at.filter(|_| self.is_online());
                let restart = match self.restart {
                    Restart::WhenTold(at) | Restart::WhenAnswered(at) => Some(at),
                    Restart::No | Restart::WhenIdle => None,
                };
                [of_current, boot, kept, heartbeat, self.ping_at, restart].into_iter().flatten().min()
            }
        }
    }

    /// Whether the CSMS is there and has accepted the charge point.
    fn is_online(&self) -> bool {
        self.phase == Phase::Open && self.registration == Some(RegistrationStatus::Accepted)
    }

    fn note(&mut self, direction: Direction, part: Part, action: &str, message: Value) {
        self.out.push(Effect::Note(Note { direction, part, action: action.to_owned(), message }));
    }

    fn push(&mut self, waiting: Waiting) {
        // What waits is of a moment: a full queue loses the oldest.
        if self.waiting.len() >= 2 * MOST_WAITING
            && let Some(Waiting { what: What::Authorize(request), .. }) = self.waiting.pop_front()
        {
            self.out.push(Effect::Tell(CsmsInput::Unanswered(request)));
        }
        self.waiting.push_back(waiting);
    }

    fn opened(&mut self, now: Duration) {
        self.phase = Phase::Open;
        self.is_pong_awaited = false;
        self.ping_at = self.after("WebSocketPingInterval", now);
        match self.registration {
            Some(RegistrationStatus::Accepted) => self.go_online(now),
            // The interval that the CSMS gave still counts.
            Some(RegistrationStatus::Pending | RegistrationStatus::Rejected) => {}
            None => self.boot_at = now,
        }
    }

    fn after(&self, key: &str, now: Duration) -> Option<Duration> {
        self.keys.seconds(key).map(|interval| now.saturating_add(interval))
    }

    fn go_online(&mut self, now: Duration) {
        self.backoff.reset();
        self.heartbeat_at = self.after("HeartbeatInterval", now);
        self.out.push(Effect::Tell(CsmsInput::Online(true)));
        for evse in self.places() {
            let (status, _) = self.status(evse);
            if self.told.get(&evse).is_none_or(|told| !call::is_same(self.identity.version, *told, status)) {
                self.push_status(evse, now);
            }
        }
    }

    /// What has a state of its own: the EVSEs, and in 1.6 the charge point as a whole.
    fn places(&self) -> RangeInclusive<i32> {
        let first = if self.identity.version == OcppVersion::Ocpp16 { 0 } else { 1 };
        first..=self.identity.evses.into()
    }

    fn status(&self, evse: i32) -> (ConnectorStatus, Option<String>) {
        self.statuses.get(&evse).cloned().unwrap_or((ConnectorStatus::Available, None))
    }

    fn push_status(&mut self, evse: i32, now: Duration) {
        let (status, fault) = self.status(evse);
        let call = call::status(self.identity.version, evse, status, fault.as_deref(), now);
        self.push(Waiting { call, what: What::Status(evse, status), is_early: true });
    }

    /// The connection is gone.
    fn closed(&mut self, now: Duration) {
        if self.is_online() {
            self.out.push(Effect::Tell(CsmsInput::Online(false)));
        }
        self.phase = Phase::Down { retry_at: now.saturating_add(self.backoff.next_wait()) };
        self.heartbeat_at = None;
        self.ping_at = None;
        // Answers to what it asked come too late.
        self.asked.iter_mut().for_each(|asked| *asked = None);
        let current = self.current.take().map(|current| current.what);
        let lost: Vec<_> = current.into_iter().chain(self.waiting.drain(..).map(|waiting| waiting.what)).collect();
        for what in lost {
            if let What::Authorize(request) = what {
                self.out.push(Effect::Tell(CsmsInput::Unanswered(request)));
            }
        }
    }

    /// Does what is due.
    fn run(&mut self, now: Duration) {
        if let Phase::Down { retry_at } = self.phase
            && retry_at <= now
        {
            self.phase = Phase::Opening;
            self.out.push(Effect::Connect);
        }
        if self.phase != Phase::Open {
            return;
        }
        if self.current.as_ref().is_some_and(|current| current.until <= now)
            && let Some(current) = self.current.take()
        {
            let why = format!("no answer within {} s", PATIENCE.as_secs());
            self.note(Direction::FromCsms, Part::Answer(current.id), current.action, json!({"error": why}));
            self.failed(now, current.what);
        }
        if self.ping_at.is_some_and(|at| at <= now) {
            if std::mem::replace(&mut self.is_pong_awaited, true) {
                self.note(Direction::FromCsms, Part::Notice, "Disconnected", json!({"reason": "no pong"}));
                self.out.push(Effect::Close);
                return self.closed(now);
            }
            self.out.push(Effect::Ping);
            self.ping_at = self.after("WebSocketPingInterval", now);
        }
        if self.is_online() && self.heartbeat_at.is_some_and(|at| at <= now) {
            self.heartbeat_at = self.after("HeartbeatInterval", now);
            self.push(Waiting { call: heartbeat(), what: What::Other, is_early: true });
        }
        let is_leaving = matches!(self.restart, Restart::WhenAnswered(_));
        while !is_leaving && self.current.is_none() && self.send_next(now) {}
    }

    /// Sends the next request; `false` if there is none.
    fn send_next(&mut self, now: Duration) -> bool {
        let is_online = self.is_online();
        let early = self.waiting.iter().position(|waiting| is_online || waiting.is_early);
        let is_kept_due = is_online && self.outbox.at().is_some_and(|at| at <= now);
        if let Some(waiting) = early.and_then(|position| self.waiting.remove(position)) {
            self.call(now, waiting.call, waiting.what);
        } else if !is_online && self.boot_at <= now {
            let Identity { version, vendor, model, .. } = &self.identity;
            let boot = call::boot(*version, vendor, model, self.boot_reason);
            self.call(now, boot, What::Boot);
        } else if is_kept_due && let Some((report, occasion, named)) = self.outbox.first() {
            match of_report(self.identity.version, report, occasion, named) {
                Some(Ok(call)) => self.call(now, call, What::Kept),
                Some(Err(why)) => {
                    self.note(Direction::ToCsms, Part::Notice, "Dropped", json!({"reason": why}));
                    self.outbox.drop_first();
                }
                None => drop(self.outbox.drop_first()),
            }
        } else {
            return false;
        }
        true
    }

    fn call(&mut self, now: Duration, call: Call, what: What) {
        let id = format!("{}-{}", self.identity.id_prefix, self.next_id);
        self.next_id += 1;
        let frame = Frame::Call { id: id.clone(), action: call.action.to_owned(), payload: call.payload };
        self.out.push(Effect::Send(frame.to_text()));
        if let Frame::Call { action, payload, .. } = frame {
            self.note(Direction::ToCsms, Part::Call(id.clone()), &action, payload);
        }
        let until = now.saturating_add(PATIENCE);
        self.current = Some(Current { id, action: call.action, what, until });
    }

    fn reported(&mut self, now: Duration, report: Report) {
        match &report {
            Report::Booted { keys, states } => self.booted(now, keys.clone(), states.clone()),
            Report::Configured(keys) => {
                let before = std::mem::replace(&mut self.keys, keys.clone());
                for (key, at) in
                    [("HeartbeatInterval", &mut self.heartbeat_at), ("WebSocketPingInterval", &mut self.ping_at)]
                {
                    if before.number(key) != keys.number(key) {
                        *at = keys.seconds(key).map(|interval| now.saturating_add(interval));
                    }
                }
            }
            Report::Authorize { request, .. } => {
                let call = of_report(self.identity.version, &report, Occasion { at: now, ..Occasion::default() }, None);
                match call {
                    Some(Ok(call)) if self.is_online() => {
                        self.push(Waiting { call, what: What::Authorize(*request), is_early: false });
                    }
                    Some(Err(why)) => {
                        self.note(Direction::ToCsms, Part::Notice, "Dropped", json!({"reason": why}));
                        self.out.push(Effect::Tell(CsmsInput::Unanswered(*request)));
                    }
                    _ => self.out.push(Effect::Tell(CsmsInput::Unanswered(*request))),
                }
            }
            Report::Status { evse, status, fault } => {
                let (before, _) = self.status(*evse);
                self.statuses.insert(*evse, (*status, fault.clone()));
                let is_place = self.places().contains(evse);
                if is_place && self.is_online() && !call::is_same(self.identity.version, before, *status) {
                    self.push_status(*evse, now);
                }
            }
            Report::ReservationEnded { .. } => {
                let occasion = Occasion { at: now, ..Occasion::default() };
                if let Some(Ok(call)) = of_report(self.identity.version, &report, occasion, None) {
                    self.push(Waiting { call, what: What::Other, is_early: false });
                }
            }
            Report::TransactionStarted { evse, transaction } => {
                self.busy.insert(*evse, transaction.id.clone());
                self.outbox.keep(report, now, !self.is_online());
            }
            Report::MeterValue { .. } | Report::ChargingState { .. } => {
                self.outbox.keep(report, now, !self.is_online())
            }
            Report::TransactionStopped { evse, .. } => {
                self.busy.remove(evse);
                self.outbox.keep(report, now, !self.is_online());
                if self.busy.is_empty() && self.restart == Restart::WhenIdle {
                    self.reset(now, Reset::OnIdle);
                }
            }
        }
    }

    /// The charge point has started, for the first time or again: all begins anew but the messages of transactions.
    fn booted(&mut self, now: Duration, keys: Keys, states: BTreeMap<i32, (ConnectorStatus, Option<String>)>) {
        self.keys = keys;
        if self.phase == Phase::Open {
            self.out.push(Effect::Close);
        }
        match self.phase {
            Phase::Idle => self.phase = Phase::Down { retry_at: now },
            Phase::Open | Phase::Opening => self.closed(now),
            Phase::Down { .. } => {}
        }
        self.registration = None;
        self.statuses = states;
        self.told.clear();
        self.busy.clear();
        self.restart = Restart::No;
    }

    fn received(&mut self, now: Duration, text: &str) {
        self.is_pong_awaited = false;
        match Frame::parse(text) {
            Ok(Frame::Call { id, action, payload }) => {
                self.note(Direction::FromCsms, Part::Call(id.clone()), &action, payload.clone());
                self.called(now, id, action, payload);
            }
            Ok(Frame::Result { id, payload }) => {
                if let Some(current) = self.current.take_if(|current| current.id == id) {
                    self.note(Direction::FromCsms, Part::Answer(id.clone()), current.action, payload.clone());
                    if let Err(Refusal { why, .. }) = self.succeeded(now, current.what, payload) {
                        self.note(Direction::FromCsms, Part::Answer(id), current.action, json!({"error": why}));
                        self.failed(now, current.what);
                    }
                }
            }
            Ok(Frame::Error { id, code, description }) => {
                if let Some(current) = self.current.take_if(|current| current.id == id) {
                    let message = json!({"errorCode": code, "errorDescription": description});
                    self.note(Direction::FromCsms, Part::Answer(id), current.action, message);
                    self.failed(now, current.what);
                }
            }
            Err(unreadable) => {
                self.note(Direction::FromCsms, Part::Notice, "Unreadable", json!({"reason": unreadable.why}));
                let version = self.identity.version;
                // 2.0.1, part 4, 4.2.3: what has no id is answered with -1. In 1.6 nobody could tell what was meant.
                let id = unreadable.id.or_else(|| (version == OcppVersion::Ocpp201).then(|| "-1".to_owned()));
                // OCPP-J 1.6, 4.1.3: unknown types of messages are ignored.
                let is_ignored = version == OcppVersion::Ocpp16 && unreadable.code == ErrorCode::MessageType;
                if let Some(id) = id.filter(|_| !is_ignored) {
                    let frame = Frame::error(version, id, unreadable.code, &unreadable.why);
                    self.out.push(Effect::Send(frame.to_text()));
                }
            }
        }
    }
}

fn heartbeat() -> Call {
    Call::new("Heartbeat", json!({}))
}

//! What was done, each with what was said upon it. The station of the simulator goes through it in virtual time: it tells
//! what belongs together, and what must have happened where no message shows it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Remark;
use super::hidden::{self, Wanted, is_same};
use super::reading::{Act, Event, Seen, What};
use super::station::evse_of;
use crate::fuzz::{Input, Led, Model, Payload};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::{AtConnector, Command, HeartbeatControl, SetReply};
use crate::protocol::side::Side;
use crate::protocol::types::TokenValidationStatusMessage;
use crate::station::config::StationConfig;
use crate::timespan::Timespan;

/// Statuses that come so close to each other have one cause.
const CLOSE_MS: i64 = 300;
/// So many events are tried in all; a recording of hours with nothing of the station in it asks for more.
const TRIES: usize = 20_000;

/// On what a scenario stands.
#[derive(Debug, Clone)]
pub(super) struct Ground {
    pub side: Side,
    pub api: ApiType,
    pub station: StationConfig,
    /// Whether everything that was done at the station stands in the recording.
    pub is_whole: bool,
}

impl Ground {
    /// Whether the module under test says what tokens are worth.
    pub(super) fn judges_tokens(&self) -> bool {
        self.side == Side::Client && self.api == ApiType::AUTH_TOKEN_VALIDATOR
    }
}

/// Whether EVerest asks its validator then.
fn is_asked(turn: &Turn) -> bool {
    matches!(turn.act, Some(Act::Present { .. } | Act::Publish(_)))
}

/// Something that was done, and what was said upon it.
#[derive(Debug, Clone, Default)]
pub(super) struct Turn {
    /// Nothing before the first.
    pub act: Option<Act>,
    pub at_ms: i64,
    /// Whether no message shows it.
    pub is_inferred: bool,
    /// How long it is waited before what comes next, in milliseconds: something ran out, and nothing was said of it.
    pub waits_ms: i64,
    /// Whether something did so.
    pub ran_out: bool,
    /// What was said, and when.
    pub seen: Vec<(i64, Seen)>,
    pub remarks: Vec<Remark>,
    /// What Auth answers to a wish to reserve, or to cancel that.
    pub reservation: Option<Value>,
}

impl Turn {
    fn of(act: Act, at_ms: i64) -> Self {
        Self { act: Some(act), at_ms, ..Self::default() }
    }
}

/// The step of an act, as the station takes it; none for what is no input of it.
pub(super) fn to_input(act: &Act) -> Input {
    match act {
        Act::Command(command) => Input::Command(command.clone()),
        Act::Present { name, .. } => Input::PresentToken(name.clone()),
        Act::Verdict { name, verdict, .. } => Input::SetVerdict { token: name.clone(), verdict: *verdict },
        Act::Request(_, input) | Act::Publish(input) => input.clone(),
        Act::Check(on) => Input::Command(Command::CommunicationCheck(*on)),
        Act::Restart => Input::RestartEverest,
        Act::Disconnect => Input::Disconnect,
    }
}

/// Puts together what was done and what was said.
pub(super) fn turns(ground: &Ground, events: Vec<Event>) -> Vec<Turn> {
    let mut station = ground.station.clone();
    // Heartbeats move nothing, and days have many.
    station.auth_consumer.cfg_heartbeat_interval_ms = 0;
    for own in station.auth_token_provider.iter_mut() {
        own.cfg_heartbeat_interval_ms = 0;
    }
    for own in station.auth_token_validator.iter_mut() {
        own.cfg_heartbeat_interval_ms = 0;
    }
    let station = Arc::new(station);
    let mut weaver = Weaver {
        ground,
        model: Model::new(ground.side, ground.api, true, station),
        now_ms: events.first().map_or(0, |event| event.at_ms),
        turns: vec![Turn::default()],
        due: BTreeMap::new(),
        replies: BTreeMap::new(),
        numbers: BTreeMap::new(),
        questions: VecDeque::new(),
        tries: TRIES,
    };
    for (at, event) in events.iter().enumerate() {
        weaver.take(event, &events[at..]);
    }
    weaver.note_missing();
    weaver.turns
}

struct Weaver<'a> {
    ground: &'a Ground,
    model: Model,
    now_ms: i64,
    turns: Vec<Turn>,
    /// What the station has said and the recording not yet, by token, each with its turn.
    due: BTreeMap<String, VecDeque<(usize, Arc<TokenValidationStatusMessage>)>>,
    /// The station's replies, by its own numbers of requests, each with its turn.
    replies: BTreeMap<usize, (usize, Value)>,
    /// The station's number of a request.
    numbers: BTreeMap<usize, usize>,
    /// The turns of the station's questions.
    questions: VecDeque<usize>,
    tries: usize,
}

impl Weaver<'_> {
    fn last(&self) -> usize {
        self.turns.len() - 1
    }

    fn remark(&mut self, line: usize, what: impl Into<String>) {
        let remark = Remark { line, what: what.into() };
        let last = self.last();
        self.turns[last].remarks.push(remark);
    }

    fn note(&mut self, led: Led) {
        let last = self.last();
        for (_, status) in led.statuses {
            self.due.entry(status.token.id_token.value.clone()).or_default().push_back((last, status));
        }
        for (number, reply) in led.replies {
            self.replies.insert(number, (last, reply));
        }
        self.questions.extend(led.questions.iter().map(|_| last));
    }

    /// `following` begins with the event itself.
    fn take(&mut self, event: &Event, following: &[Event]) {
        let passed = u64::try_from(event.at_ms - self.now_ms).unwrap_or(0);
        self.now_ms = self.now_ms.max(event.at_ms);
        let before = self.model.status();
        let led = self.model.waited(Duration::from_millis(passed));
        let after = self.model.status();
        let is_changed = before.evses != after.evses || before.tokens_in_process != after.tokens_in_process;
        if (is_changed || led.tells_of_reservation) && led.statuses.is_empty() && led.replies.is_empty() && passed > 0 {
            let last = self.last();
            self.turns[last].ran_out = true;
        }
        self.note(led);
        let last = self.last();
        if self.turns[last].ran_out && matches!(event.what, What::Act(_)) {
            self.turns[last].waits_ms = event.at_ms - self.turns[last].at_ms;
        }
        match &event.what {
            What::Act(act) => self.act(act, event, &following[1..]),
            What::Seen(seen) => self.seen(seen, event, following),
            What::Left(why) => self.remark(event.line, why.clone()),
        }
    }

    fn act(&mut self, act: &Act, event: &Event, following: &[Event]) {
        if let Act::Verdict { name, verdict, after, .. } = act {
            let token = self.ground.station.tokens.get(name).cloned();
            if let Some(mut token) = token {
                (token.verdict, token.verdict_after) = (*verdict, after.map(Timespan));
                self.model.set_token(name, token);
            }
            return self.turns.push(Turn::of(act.clone(), event.at_ms));
        }
        if let Act::Command(Command::Heartbeats(_)) = act {
            return self.turns.push(Turn::of(act.clone(), event.at_ms));
        }
        let input = to_input(act);
        if let Act::Command(command) = act
            && evse_of(command).is_some_and(|evse| !(1..=i64::from(self.ground.station.evses)).contains(&evse))
        {
            return self.remark(event.line, format!("`{}` names an EVSE that the station does not have", input.kind()));
        }
        if let Act::Command(command) = act {
            self.make_possible(command, event.at_ms);
        }
        self.infer(Some(&input), following, event);
        let behind = self.choose_reply(act, &input, following, event.at_ms);
        let mut after = self.model.clone();
        let led = after.led(&input);
        if led.is_ignored && self.is_refused(act) {
            let name = input.kind();
            return self.remark(event.line, format!("`{name}` came to nothing, and would be an error of the scenario"));
        }
        self.model = after;
        let reservation = led.reservation.clone();
        self.turns.push(Turn { reservation, ..Turn::of(act.clone(), event.at_ms) });
        if let (Act::Request(number, _), Some(own)) = (act, led.request) {
            self.numbers.insert(*number, own);
        }
        if *act == Act::Restart {
            self.due.clear();
        }
        self.note(led);
        if let Some(act) = behind {
            self.turns.push(Turn { is_inferred: true, ..Turn::of(act, event.at_ms) });
        }
    }

    /// A transaction that starts where no EV is plugged in shows that one is.
    fn make_possible(&mut self, command: &Command, at_ms: i64) {
        let Command::StartTransaction(at) = command else { return };
        let plug_in = Command::PlugIn(AtConnector { evse: at.evse, connector: None });
        if self.ground.is_whole || self.model.would_move(command) || !self.model.would_move(&plug_in) {
            return;
        }
        let mut after = self.model.clone();
        let led = after.led(&Input::Command(plug_in.clone()));
        if after.would_move(command) {
            self.model = after;
            self.turns.push(Turn { is_inferred: true, ..Turn::of(Act::Command(plug_in), at_ms) });
            self.note(led);
        }
    }

    /// Where khumbu's own EVerest would reply something else than was recorded, it is told what to reply; where it would not
    /// reply, what is published in its name comes back.
    fn choose_reply(&mut self, act: &Act, input: &Input, following: &[Event], at_ms: i64) -> Option<Act> {
        let Act::Request(number, Input::Command(command)) = act else { return None };
        let channel = match command {
            Command::Withdraw(_) => Channel::WITHDRAW_AUTHORIZATION,
            Command::GetStatus {} => Channel::GET_TOKEN_VALIDATION_STATUS,
            _ => return None,
        };
        if self.ground.side == Side::Everest {
            return None;
        }
        // What is done in between may bring it.
        let at_once = following.iter().take_while(|event| !matches!(event.what, What::Act(_)));
        let recorded = at_once.into_iter().find_map(|event| match &event.what {
            What::Seen(Seen::Reply { request, payload }) if request == number => Some((event.at_ms, payload)),
            _ => None,
        });
        let (replied_ms, recorded) = recorded?;
        let set = |payload: Option<Value>| {
            Act::Command(Command::SetReply(SetReply {
                to: channel.name().to_owned(),
                payload,
                never: false,
                after_ms: 0,
            }))
        };
        let took = Duration::from_millis(u64::try_from(replied_ms - at_ms + CLOSE_MS).unwrap_or(0));
        let own = |model: &Model| {
            let mut model = model.clone();
            let (at_once, later) = (model.led(input), model.waited(took));
            at_once.replies.into_iter().chain(later.replies).next().map(|(_, reply)| reply)
        };
        // A status is as good as another one; only `null` and plain words differ for sure.
        let differs = |own: &Option<Value>, recorded: &Value| {
            own.as_ref().is_some_and(|own| own != recorded && (recorded.is_null() || own.is_string()))
        };
        if own(&self.model).is_none() {
            let (topic, payload) = ("{reply_to}".to_owned(), Payload::Json(recorded.clone()));
            return Some(Act::Publish(Input::Publish { topic, payload }));
        }
        let mut plan = Vec::new();
        if differs(&own(&self.model), recorded) {
            let plain = set(None);
            if self.model.has_chosen_reply() {
                let mut model = self.model.clone();
                model.led(&to_input(&plain));
                plan.push(plain);
                if differs(&own(&model), recorded) {
                    plan = vec![set(Some(recorded.clone()))];
                }
            } else {
                plan.push(set(Some(recorded.clone())));
            }
        }
        for act in plan {
            self.model.led(&to_input(&act));
            self.turns.push(Turn { is_inferred: true, ..Turn::of(act, at_ms) });
        }
        None
    }

    /// Whether khumbu's own station says that a step comes to nothing.
    fn is_refused(&self, act: &Act) -> bool {
        let is_own = self.ground.side == Side::Client;
        match act {
            Act::Command(Command::UpdateVerdict(_)) => is_own && self.ground.api == ApiType::AUTH_CONSUMER,
            Act::Command(command) => is_own && !matches!(command, Command::SetReply(_) | Command::Heartbeats(_)),
            Act::Present { .. } => is_own && self.ground.api != ApiType::AUTH_TOKEN_PROVIDER,
            _ => false,
        }
    }

    /// Puts in what must have happened before an act, or before statuses that nothing else explains; whether anything did.
    fn infer(&mut self, act: Option<&Input>, following: &[Event], event: &Event) -> bool {
        let mut open: BTreeMap<&str, usize> = self.due.iter().map(|(value, due)| (value.as_str(), due.len())).collect();
        let (mut wanted, mut last_ms) = (Vec::new(), event.at_ms);
        for event in following {
            match &event.what {
                What::Act(_) => break,
                What::Seen(Seen::Status(_)) if event.at_ms - last_ms > CLOSE_MS => break,
                What::Seen(Seen::Status(status)) => {
                    last_ms = event.at_ms;
                    match open.get_mut(status.token.id_token.value.as_str()).filter(|open| **open > 0) {
                        Some(open) => *open -= 1,
                        None => wanted.push(status.as_ref()),
                    }
                }
                _ => {}
            }
        }
        if wanted.is_empty() || self.ground.is_whole {
            return false;
        }
        let mut evses: Vec<i32> = wanted.iter().flat_map(|it| it.token.connectors.iter().flatten().copied()).collect();
        if evses.is_empty() {
            evses = (1..=i32::from(self.ground.station.evses.min(2))).collect();
        }
        evses.sort_unstable();
        evses.dedup();
        let found = hidden::events(&self.model, act, &Wanted { statuses: &wanted, evses: &evses }, &mut self.tries);
        for command in &found.events {
            let led = self.model.led(&Input::Command(command.clone()));
            let turn = Turn { is_inferred: true, ..Turn::of(Act::Command(command.clone()), event.at_ms) };
            self.turns.push(turn);
            self.note(led);
        }
        !found.events.is_empty()
    }

    fn seen(&mut self, seen: &Seen, event: &Event, following: &[Event]) {
        let last = self.last();
        let at = match seen {
            Seen::Status(status) => return self.status(status, event, following),
            Seen::Reply { request, payload } => {
                let own = self.numbers.get(request).and_then(|own| self.replies.remove(own));
                if let Some((_, Value::String(own))) = &own
                    && payload.as_str().is_some_and(|payload| payload != own)
                {
                    self.remark(event.line, format!("EVerest replied {payload}, the built-in one replies \"{own}\""));
                }
                own.map_or(last, |(turn, _)| turn)
            }
            Seen::Question { whole, .. } => {
                let own = self.questions.pop_front();
                // Khumbu's own EVerest does not ask so by itself.
                if own.is_none() && self.ground.judges_tokens() {
                    let topic = format!("{{e2m}}/{}", Channel::VALIDATE_TOKEN.address().trim_start_matches("e2m/"));
                    let payload = Payload::Json(json!({"headers": {"replyTo": "{reply}"}, "payload": whole}));
                    self.turns.push(Turn::of(Act::Publish(Input::Publish { topic, payload }), event.at_ms));
                }
                own.unwrap_or(self.last())
            }
            Seen::Beacon if self.turns[last].act == Some(Act::Restart) => last,
            Seen::Heartbeat(number)
                if self.turns[last].act == Some(Act::Command(Command::Heartbeats(HeartbeatControl::Next(*number)))) =>
            {
                last
            }
            Seen::Answer { .. } if self.ground.judges_tokens() && !self.turns.iter().any(is_asked) => {
                return self.remark(event.line, "an answer to a question that nothing led to");
            }
            Seen::Answer { .. } | Seen::Check => last,
            Seen::Beacon | Seen::Heartbeat(_) => return,
        };
        self.turns[at].seen.push((event.at_ms, seen.clone()));
    }

    fn status(&mut self, status: &Arc<TokenValidationStatusMessage>, event: &Event, following: &[Event]) {
        let value = &status.token.id_token.value;
        let is_next = |weaver: &Self| {
            let due = weaver.due.get(value).and_then(|due| due.front());
            due.is_some_and(|(_, said)| is_same(said, status))
        };
        if !is_next(self) && self.due.get(value).is_none_or(VecDeque::is_empty) {
            self.infer(None, following, event);
        }
        if is_next(self) {
            if let Some((turn, _)) = self.due.get_mut(value).and_then(VecDeque::pop_front) {
                self.turns[turn].seen.push((event.at_ms, Seen::Status(status.clone())));
            }
            return;
        }
        let word = status.status;
        let instead = match self.due.get_mut(value).and_then(VecDeque::pop_front) {
            Some((_, said)) => format!("the built-in one says `{:?}` there", said.status),
            None => "nothing in the recording says what led to it".to_owned(),
        };
        self.remark(event.line, format!("EVerest said `{word:?}` of a token; {instead}"));
        match self.ground.side {
            Side::Everest => {
                let last = self.last();
                self.turns[last].seen.push((event.at_ms, Seen::Status(status.clone())));
            }
            // Khumbu's own EVerest does not say so by itself.
            Side::Client => {
                let topic =
                    format!("{{e2m}}/{}", Channel::TOKEN_VALIDATION_STATUS.address().trim_start_matches("e2m/"));
                let payload = Payload::Json(json!(status.as_ref()));
                self.turns.push(Turn::of(Act::Publish(Input::Publish { topic, payload }), event.at_ms));
            }
        }
    }

    /// Remarks what the station says and the recording lacks, but for what may have come after its end.
    fn note_missing(&mut self) {
        let last = self.last();
        for (turn, status) in std::mem::take(&mut self.due).into_values().flatten().filter(|(turn, _)| *turn < last) {
            let what = format!(
                "the built-in EVerest says `{:?}` of a token here, and the recorded one did not",
                status.status
            );
            self.turns[turn].remarks.push(Remark { line: 0, what });
        }
    }
}

//! A court: plays the steps of a scenario to a judge in virtual time, beside a script of what passes on the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::findings::{Findings, ModuleTraces};
use super::super::{
    After, Case, Claim, Claims, Deadline, Decision, Demand, Input, Judge, Means, Moment, NotMet, Past, Prompt, Replies,
    View, What,
};
use super::script::{ALICE, BOB, Event, Message, Sort, discover, request};
use crate::conformance::sighting::{Classifier, Kind, Party, Request, Sighting};
use crate::diagnostic::{Diagnostic, Subject};
use crate::parity::station_file::Binding;
use crate::protocol::channel::{ApiType, Channel, EntryPoint, Topics};
use crate::protocol::control::Deed;
use crate::protocol::side::Side;
use crate::protocol::wire::Wire;
use crate::scenario::model::{ExpectNone, MessageKind};
use crate::scenario::pattern::{Captures, Pattern};
use crate::scenario::step::Step;
use crate::scenario::{Known, Pointer, Scenario, parse, played};
use crate::transcript::record::{Direction, Publish, Record};

/// Two statuses of a token.
pub const SEQUENCE: &str =
    "- present_token: ALICE\n- expect_status: {token: ALICE, sequence: [Processing, Accepted], within: 1s}";
/// One status of a token.
pub const ONE: &str = "- present_token: ALICE\n- expect_status: {token: ALICE, status: Accepted, within: 1s}";
/// A certain heartbeat.
pub const BEAT: &str = "- note: x\n- expect: {message: heartbeat, payload: 7, within: 1s}";

/// What decides: the judge, or what it is held against.
pub trait Decides {
    fn expect(&mut self, steps: &[(Pointer, &Step)], moment: Moment, view: View<'_>) -> Result<(), Box<Diagnostic>>;
    fn demand(&mut self, demand: Demand, moment: Moment, view: View<'_>);
    fn forbid(
        &mut self,
        none: &ExpectNone,
        at: &Pointer,
        moment: Moment,
        view: View<'_>,
    ) -> Result<(), Box<Diagnostic>>;
    fn apply(&mut self, moment: Moment, input: Input, view: View<'_>) -> Decision;
    fn past(&mut self) -> &mut Past;
    fn captures(&self) -> &Captures;
    fn claimed_by(&self, seq: u64) -> Option<String>;
    fn is_demanded(&self, seq: u64) -> bool;
    fn wanted_reply_topic(&self, view: View<'_>) -> Option<String>;
}

impl Decides for Judge<'_> {
    fn expect(&mut self, steps: &[(Pointer, &Step)], moment: Moment, view: View<'_>) -> Result<(), Box<Diagnostic>> {
        Judge::expect(self, steps, moment, view)
    }

    fn demand(&mut self, demand: Demand, moment: Moment, view: View<'_>) {
        Judge::demand(self, demand, moment, view);
    }

    fn forbid(
        &mut self,
        none: &ExpectNone,
        at: &Pointer,
        moment: Moment,
        view: View<'_>,
    ) -> Result<(), Box<Diagnostic>> {
        Judge::forbid(self, none, at, moment, view)
    }

    fn apply(&mut self, moment: Moment, input: Input, view: View<'_>) -> Decision {
        let decision = Judge::apply(self, moment, input, view);
        let asked_for = if let Decision::Waiting(deadline) = decision { Some(deadline) } else { None };
        assert_eq!(self.next_deadline(), asked_for, "it waits for what it says, and then for nothing");
        decision
    }

    fn past(&mut self) -> &mut Past {
        &mut self.past
    }

    fn captures(&self) -> &Captures {
        &self.captures
    }

    fn claimed_by(&self, seq: u64) -> Option<String> {
        self.claims().of(seq).map(|claim| claim.pointer.to_string())
    }

    fn is_demanded(&self, seq: u64) -> bool {
        self.claims().of(seq).is_some_and(|claim| claim.is_demand)
    }

    fn wanted_reply_topic(&self, view: View<'_>) -> Option<String> {
        Judge::wanted_reply_topic(self, view).map(str::to_owned)
    }
}

/// A scenario that can be played.
pub struct Court {
    pub scenario: Scenario,
    pub topics: Topics,
    pub other_apis: Vec<Topics>,
    pub wire: Wire,
    pub is_builtin: bool,
    pub shows_calls: bool,
    /// What a station file says of foreign topics.
    pub bindings: Vec<Binding>,
    /// How long EVerest waits for an answer.
    pub answer_within: Duration,
    /// How the module comes to know what is demanded of it.
    pub prompt: Prompt,
    /// Whether the scenario has told it something in a way of its own.
    pub is_told_by_hand: bool,
}

/// How a scenario came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Why it was not met, as data; none if it was.
    pub not_met: Option<String>,
    /// The same as it is told.
    pub told: Option<Told>,
    /// When it was over, in milliseconds.
    pub at: u64,
    /// The pointers of the steps that messages have met, in the order of the messages.
    pub claims: Vec<Option<String>>,
    /// What was captured.
    pub captures: Captures,
    /// Until when was waited, in milliseconds, and whether khumbu's own hold-ups prolong that; each once in a row.
    pub deadlines: Vec<(u128, bool)>,
    /// Where the module wants its next reply, after all that passed.
    pub wanted: Option<String>,
}

/// A finding in a form that tests can name.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub verdict: &'static str,
    pub id: &'static str,
    pub subject: Subject,
    pub headline: String,
    /// The line of the scenario.
    pub line: usize,
    pub evidence: Vec<String>,
    pub help: Option<String>,
    pub is_unexercised: bool,
    /// Whether somebody may look for another explanation.
    pub is_otherwise: bool,
    /// The requirement that it breaks, if it says so itself.
    pub requirement: Option<&'static str>,
    /// The requirement by which the module owes what did not come.
    pub owed_by: Option<&'static str>,
}

impl Outcome {
    /// The id and the headline; `met` if there is nothing to tell.
    #[track_caller]
    pub fn id(&self) -> &'static str {
        self.told.as_ref().map_or("met", |told| told.id)
    }
}

impl Court {
    /// A scenario for a client of the auth consumer API, by its steps.
    pub fn of_client(steps: &str) -> Self {
        Self::of("client", "auth_consumer", steps)
    }

    /// A scenario for an EVerest, by its steps.
    pub fn of_everest(steps: &str) -> Self {
        Self::of("everest", "auth_consumer", steps)
    }

    /// A scenario for one side of an API, by its steps, one a line.
    pub fn of(side: &str, api: &str, steps: &str) -> Self {
        Self::parse(side, api, steps).unwrap_or_else(|found| panic!("{}", found[0].headline))
    }

    /// The same, if it is a scenario.
    pub fn parse(side: &str, api: &str, steps: &str) -> Result<Self, Vec<Diagnostic>> {
        let steps: String = steps.lines().map(|line| format!("  {line}\n")).collect();
        let text = format!(
            "description: x\nunder_test: {side}\napi: {api}\nstation:\n  evses: 2\n  auth_token_validator: {{}}\n  auth_token_provider: {{}}\n  \
             tokens:\n    ALICE: {{value: \"{ALICE}\", type: ISO14443}}\n    \
             BOB: {{value: \"{BOB}\", type: ISO14443}}\nsteps:\n{steps}"
        );
        let scenario = parse("court.yaml", &text, Known::default())?;
        let api = scenario.model.api;
        let topics =
            Topics { api, external_prefix: String::new(), api_version: "1".to_owned(), module_id: "api".to_owned() };
        let others = [ApiType::AUTH_CONSUMER, ApiType::AUTH_TOKEN_PROVIDER, ApiType::AUTH_TOKEN_VALIDATOR];
        let other_apis = others.into_iter().filter(|other| *other != api).map(|other| topics.of(other, "other_api"));
        Ok(Self {
            other_apis: other_apis.collect(),
            topics,
            scenario,
            wire: Wire::Everest,
            is_builtin: false,
            shows_calls: true,
            bindings: Vec::new(),
            answer_within: Duration::ZERO,
            prompt: Prompt::Told,
            is_told_by_hand: false,
        })
    }

    /// What the judge is told of it.
    pub fn case(&self) -> Case<'_> {
        Case {
            scenario: &self.scenario,
            topics: &self.topics,
            other_apis: &self.other_apis,
            tokens: &self.scenario.model.station.tokens,
            wire: self.wire,
            is_builtin: self.is_builtin,
            shows_calls: self.shows_calls,
            bindings: &self.bindings,
            answer_within: self.answer_within,
        }
    }

    /// Judges what passes.
    pub fn judge(&self, events: &[(u64, Event)]) -> Outcome {
        self.hear(events, Judge::new(self.case(), Captures::new()))
    }

    /// Has what passes decided by somebody.
    pub fn hear(&self, events: &[(u64, Event)], decides: impl Decides) -> Outcome {
        let subscriptions = BTreeMap::from([(Arc::from("module"), BTreeSet::from(["#".to_owned()]))]);
        let mut hearing = Hearing {
            court: self,
            decides,
            events,
            next: 0,
            now: Duration::ZERO,
            held_up: Duration::ZERO,
            has_ended: false,
            messages: Vec::new(),
            classifier: Classifier::new(self.topics.clone(), &self.other_apis),
            subscriptions,
            deadlines: Vec::new(),
        };
        let not_met = hearing.play(&self.scenario.model.steps, &Pointer::from("/steps")).err();
        // What comes later is in the record, too.
        hearing.pass(Duration::MAX);
        let claims = hearing.messages.iter().map(|seen| hearing.decides.claimed_by(seen.seq)).collect();
        let view = view(&hearing.messages, hearing.classifier.requests(), &hearing.subscriptions);
        let (not_met, told) = not_met.map(|Stop { not_met, told }| (not_met, *told)).unzip();
        Outcome {
            not_met,
            told,
            at: u64::try_from(hearing.now.as_millis()).unwrap_or(u64::MAX),
            claims,
            captures: hearing.decides.captures().clone(),
            deadlines: hearing.deadlines,
            wanted: hearing.decides.wanted_reply_topic(view),
        }
    }
}

/// Judges the scenario of a client.
pub fn client(steps: &str, events: &[(u64, Event)]) -> Outcome {
    Court::of_client(steps).judge(events)
}

/// Judges the scenario of an EVerest, whose messages are all the module's.
pub fn everest(steps: &str, events: &[(u64, Event)]) -> Outcome {
    let is_its = |event: &Event| match event {
        Event::Message(message) => Event::Message(message.clone().by_module()),
        Event::Burst(messages) => Event::Burst(messages.iter().cloned().map(Message::by_module).collect()),
        other => other.clone(),
    };
    let events: Vec<_> = events.iter().map(|(millis, event)| (*millis, is_its(event))).collect();
    Court::of_everest(steps).judge(&events)
}

/// The claims in short: the number of the step of each message.
pub fn claims(outcome: &Outcome) -> Vec<Option<u32>> {
    let number = |pointer: &String| pointer.split('/').nth(2).and_then(|number| number.parse().ok());
    outcome.claims.iter().map(|claim| claim.as_ref().and_then(number)).collect()
}

/// Why a scenario does not go on, as data and as it is told.
struct Stop {
    not_met: String,
    told: Box<Told>,
}

impl From<Box<Diagnostic>> for Stop {
    fn from(diagnostic: Box<Diagnostic>) -> Self {
        Stop { not_met: "never armed".to_owned(), told: Told::new(*diagnostic).into() }
    }
}

struct Hearing<'a, D> {
    court: &'a Court,
    decides: D,
    events: &'a [(u64, Event)],
    next: usize,
    now: Duration,
    held_up: Duration,
    has_ended: bool,
    messages: Vec<Sighting>,
    classifier: Classifier,
    subscriptions: BTreeMap<Arc<str>, BTreeSet<String>>,
    deadlines: Vec<(u128, bool)>,
}

impl<D: Decides> Hearing<'_, D> {
    fn moment(&self) -> Moment {
        Moment { now: self.now, held_up: self.held_up, has_ended: self.has_ended }
    }

    fn play(&mut self, steps: &[Step], base: &Pointer) -> Result<(), Stop> {
        for (at, step) in played(steps, base, self.court.scenario.release()) {
            self.pass(self.now);
            match step {
                Step::Expect(_) | Step::ExpectStatus(_) | Step::ExpectReply(_) | Step::ExpectEvse(_) => {
                    self.expect(&[(at, step)])?;
                }
                Step::AnyOrder(steps) => {
                    self.expect(&played(steps, &at.key("any_order"), self.court.scenario.release()))?;
                }
                Step::ExpectNone(none) => {
                    let (moment, view) =
                        (self.moment(), view(&self.messages, self.classifier.requests(), &self.subscriptions));
                    self.decides.forbid(none, &at, moment, view)?;
                    self.decide()?;
                }
                Step::Repeat(repeat) => {
                    for _ in 0..repeat.times {
                        self.play(&repeat.steps, &at.key("repeat").key("steps"))?;
                    }
                }
                Step::PresentToken(name) => {
                    self.set_mark();
                    let value = self.court.scenario.model.station.tokens[name].value.clone();
                    if self.court.topics.api == ApiType::AUTH_TOKEN_PROVIDER {
                        let pointer = at.key("present_token");
                        let payload = Pattern::compile(&json!({"id_token": {"value": value}})).unwrap();
                        let kind = Kind::Channel(Channel::PROVIDED_TOKEN);
                        let what = What::Request { kind, payload, at: pointer.clone() };
                        self.have_sent(&pointer, None, Party::Module, what, After::InOrder)?;
                    }
                    self.decides.past().present(value);
                }
                Step::Withdraw(withdraw) => {
                    let channel = Channel::WITHDRAW_AUTHORIZATION;
                    let payload =
                        json!({"payload": {"evse_id": withdraw.evse_id.map_or(json!("$absent"), Value::from)}});
                    let (name, within) = (withdraw.r#as.as_deref(), withdraw.within.map(|span| span.0));
                    self.ask(Kind::Channel(channel), &payload, name, within, &at.key("withdraw"))?;
                }
                Step::GetStatus(it) => {
                    let kind = Kind::Channel(Channel::GET_TOKEN_VALIDATION_STATUS);
                    let within = it.within.map(|span| span.0);
                    self.ask(kind, &json!("$object"), it.r#as.as_deref(), within, &at.key("get_status"))?;
                }
                Step::Discover(it) => {
                    let kind = Kind::EntryPoint(EntryPoint::Discover);
                    let within = it.within.map(|span| span.0);
                    self.ask(kind, &json!("$object"), it.r#as.as_deref(), within, &at.key("discover"))?;
                }
                Step::QueryModules(api) => {
                    let kind = Kind::EntryPoint(EntryPoint::QueryModules(api.clone()));
                    self.ask(kind, &json!("$object"), None, None, &at.key("query_modules"))?;
                }
                Step::CommunicationCheck(on) => {
                    self.set_mark();
                    let what = What::Message {
                        kind: Some(MessageKind::on(Channel::COMMUNICATION_CHECK)),
                        api: self.court.topics.api,
                        filter: None,
                        payload: Some(Pattern::compile(&json!(on)).unwrap()),
                        qos: None,
                        retain: None,
                    };
                    self.have_sent(&at.key("communication_check"), None, Party::Module, what, After::Stimulus)?;
                }
                Step::Reserve(reserve) => {
                    self.set_mark();
                    let pointer = at.key("reserve");
                    let pattern = Pattern::compile(&json!(reserve.result)).unwrap();
                    let payload = Some((pointer.key("result"), pattern));
                    let which = vec![("reservation_id", json!(reserve.reservation_id))];
                    let what = What::Did { deed: Deed::Reserve, which, member: "result", payload };
                    let is_everest = self.court.scenario.model.under_test == Side::Everest;
                    let by = if is_everest { Party::Module } else { Party::Harness };
                    self.have_sent(&pointer, None, by, what, After::Nothing)?;
                }
                Step::Note(_) => {}
                _ => self.set_mark(),
            }
        }
        Ok(())
    }

    fn set_mark(&mut self) {
        let seq = self.messages.last().map_or(0, |seen| seen.seq + 1);
        self.decides.past().set_mark(seq);
    }

    fn expect(&mut self, steps: &[(Pointer, &Step)]) -> Result<(), Stop> {
        let (moment, view) = (self.moment(), view(&self.messages, self.classifier.requests(), &self.subscriptions));
        self.decides.expect(steps, moment, view)?;
        self.decide()?;
        self.decides.past().end_presentations();
        Ok(())
    }

    /// A request: khumbu's own, or demanded of the module.
    fn ask(
        &mut self,
        kind: Kind,
        payload: &Value,
        name: Option<&str>,
        within: Option<Duration>,
        pointer: &Pointer,
    ) -> Result<(), Stop> {
        self.set_mark();
        let mut since = self.decides.past().mark;
        let topic = if self.court.scenario.model.under_test == Side::Everest {
            let reply_topic = format!("replies/{}", self.classifier.requests().len());
            let own = match kind {
                Kind::Channel(channel) => request(channel, &reply_topic, &json!({})),
                _ => discover(&reply_topic),
            };
            let own = Message { from: Party::Harness, ..own };
            self.take(&own);
            reply_topic
        } else {
            let payload = Pattern::compile(payload).unwrap();
            let what = What::Request { kind, payload, at: pointer.clone() };
            let seq = self.have_sent(pointer, within, Party::Module, what, After::InOrder)?;
            let view = view(&self.messages, self.classifier.requests(), &self.subscriptions);
            let request = seq.and_then(|seq| view.request(seq));
            since = request.map_or(since, |request| request.seq);
            request.map(|request| request.reply_topic.clone()).unwrap_or_default()
        };
        self.decides.past().request(name, Replies { topic, since });
        Ok(())
    }

    fn have_sent(
        &mut self,
        pointer: &Pointer,
        within: Option<Duration>,
        by: Party,
        what: What,
        after: After,
    ) -> Result<Option<u64>, Stop> {
        let within = within.unwrap_or_else(|| self.court.case().within());
        let demand = Demand { pointer: pointer.clone(), within, by, what, prompt: self.court.prompt, after };
        let (moment, view) = (self.moment(), view(&self.messages, self.classifier.requests(), &self.subscriptions));
        self.decides.demand(demand, moment, view);
        self.decide()
    }

    /// Waits until it is decided.
    fn decide(&mut self) -> Result<Option<u64>, Stop> {
        let mut input = Input::Seen;
        loop {
            let view = view(&self.messages, self.classifier.requests(), &self.subscriptions);
            let Deadline { at, is_prolonged } = match self.decides.apply(self.moment(), input, view) {
                Decision::Met(seq) => return Ok(seq),
                Decision::NotMet(not_met) => {
                    let told = Told::new(self.explained(&not_met));
                    return Err(Stop { not_met: format!("{not_met:?}"), told: told.into() });
                }
                Decision::Waiting(deadline) => deadline,
            };
            self.deadlines.push((at.as_millis(), is_prolonged));
            self.deadlines.dedup();
            input = match self.events.get(self.next) {
                Some((millis, _)) if Duration::from_millis(*millis) <= at => {
                    self.happen();
                    Input::Seen
                }
                _ => {
                    self.now = self.now.max(at);
                    Input::Over
                }
            };
        }
    }

    /// Everything happens that happens until a time.
    fn pass(&mut self, until: Duration) {
        while self.events.get(self.next).is_some_and(|(millis, _)| Duration::from_millis(*millis) <= until) {
            let now = self.now;
            self.happen();
            if until == Duration::MAX {
                self.now = now;
            }
        }
    }

    /// The next event.
    fn happen(&mut self) {
        let (millis, event) = &self.events[self.next];
        self.now = self.now.max(Duration::from_millis(*millis));
        self.next += 1;
        match event {
            Event::Message(message) => self.take(message),
            Event::Burst(messages) => messages.iter().for_each(|message| self.take(message)),
            Event::HeldUp(millis) => self.held_up += Duration::from_millis(*millis),
            Event::Ends => self.has_ended = true,
            Event::Leaves => self.subscriptions.clear(),
            Event::Listens(filter) => {
                self.subscriptions.insert("module".into(), BTreeSet::from([(*filter).to_owned()]));
            }
        }
    }

    fn take(&mut self, message: &Message) {
        // Other records lie between some messages.
        let seq = self
            .messages
            .last()
            .map_or(10, |seen| seen.seq + if self.messages.len().is_multiple_of(2) { 1 } else { 3 });
        let record = self.court.record(seq, self.now, message);
        self.messages.extend(self.classifier.sight(&record, message.from));
    }

    fn explained(&self, not_met: &NotMet) -> Diagnostic {
        let mut claims = Claims::default();
        claims.file(&self.messages);
        for (index, seen) in self.messages.iter().enumerate() {
            if let Some(pointer) = self.decides.claimed_by(seen.seq) {
                claims.claim(
                    index,
                    seen,
                    Claim { pointer: pointer.as_str().into(), is_demand: self.decides.is_demanded(seen.seq) },
                );
            }
        }
        let bound = match self.court.prompt {
            Prompt::ByItself(_) => ["withdraw", "set_verdict", "present_token"].map(str::to_owned).into(),
            Prompt::Told | Prompt::Awaited(_) | Prompt::Never => BTreeSet::new(),
        };
        let module = ModuleTraces {
            end: self.has_ended.then(|| "exited with code 3".to_owned()),
            ran: "prog (pid 7)".to_owned(),
            listening: vec!["it does not subscribe".to_owned()],
            order: Some("it was told".to_owned()),
            means: Means { listens: self.court.prompt.is_told(), bound, by_hand: self.court.is_told_by_hand },
        };
        let case = self.court.case();
        let view = view(&self.messages, self.classifier.requests(), &self.subscriptions);
        let captures = self.decides.captures();
        let findings = Findings { case: &case, view, claims: &claims, captures, module: &module };
        let mut found = findings.explain(not_met);
        findings.let_off(&mut found);
        found
    }
}

impl Told {
    fn new(diagnostic: Diagnostic) -> Self {
        let line = diagnostic.place.as_ref().map_or(0, |place| place.line());
        let verdict = diagnostic.severity.word();
        let Diagnostic {
            id,
            subject,
            headline,
            evidence,
            help,
            is_otherwise,
            is_unexercised,
            requirement,
            owed_by,
            ..
        } = diagnostic;
        Self {
            verdict,
            id,
            subject,
            headline,
            line,
            evidence,
            help,
            is_unexercised,
            is_otherwise,
            requirement,
            owed_by,
        }
    }
}

impl Court {
    /// What a monitor or a judge gets to see of messages, with numbers three apart from 10 on.
    pub fn sightings(&self, messages: &[Message]) -> Vec<Sighting> {
        let mut classifier = Classifier::new(self.topics.clone(), &self.other_apis);
        let numbered = (10..).step_by(3).zip(messages);
        numbered
            .filter_map(|(seq, message)| classifier.sight(&self.record(seq, Duration::ZERO, message), message.from))
            .collect()
    }

    /// The record of a message.
    fn record(&self, seq: u64, at: Duration, message: &Message) -> Record {
        let event = crate::transcript::record::Event::Publish {
            direction: Direction::FromClient,
            publish: self.publish(message),
        };
        let client = if message.from == Party::Module { "module" } else { "khumbu" };
        Record { seq, at, client: client.into(), event }
    }

    /// A message as it is published.
    pub fn publish(&self, message: &Message) -> Publish {
        let Message { kind, json, qos, retain, .. } = message;
        let api_modules = || std::iter::once(&self.topics).chain(&self.other_apis);
        let (topic, json) = match kind {
            Sort::Channel(channel) => {
                let topic =
                    |topics: &Topics| Some(topics.topic(*channel)).filter(|it| topics.channel(it) == Some(*channel));
                (api_modules().find_map(topic).unwrap(), json.clone())
            }
            Sort::Discover => (EntryPoint::Discover.topic(""), json.clone()),
            Sort::Beacon => (EntryPoint::beacon_topic(""), json.clone()),
            Sort::Topic(topic) => (topic.clone(), json.clone()),
            Sort::Did(deed) => (self.topics.did_topic(), json.clone().map(|what| deed.tell(what))),
            Sort::Control => (self.topics.control_topic(), json.clone()),
        };
        let payload = json.map_or_else(|| "no json".to_owned(), |json| json.to_string());
        Publish { topic: topic.into(), payload: payload.into(), qos: *qos, retain: *retain, dup: false, pkid: 0 }
    }
}

fn view<'a>(
    messages: &'a [Sighting],
    requests: &'a [Request],
    subscriptions: &'a BTreeMap<Arc<str>, BTreeSet<String>>,
) -> View<'a> {
    View { messages, requests, subscriptions }
}

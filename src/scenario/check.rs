//! The sense of a scenario: what the structure allows and nobody can mean. Finds everything in one pass.

mod charge_point;
mod expectation;
mod faults;
mod payload;
mod releases;
mod station;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::model::{HalfOpen, Heartbeats, Publish, Ready, Repeat, Run, When};
use super::rules::{from_hex, wrong_topic};
use super::step::{Exchange, Row, Step};
use super::{Known, Pointer, Scenario, api, placeholder, played, rules, suggestion};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::ApiType;
use crate::protocol::release::Release;
use crate::protocol::schema::{Message, Schemas};
use crate::protocol::side::Side;
use crate::station::config::StationConfig;
use crate::timespan::Timespan;

/// The most steps of a scenario, repeats played out.
const MOST_STEPS: u64 = 100_000;
/// How deep repeats may stand in each other.
const MOST_REPEATS: usize = 3;
/// The time limit of a scenario that names none.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Everything that makes no sense, in the order of the file; steps may be missing where they are still to come.
pub(super) fn check(scenario: &Scenario, known: Known<'_>, is_begun: bool) -> Vec<Diagnostic> {
    let steps = scenario.model.steps.as_slice();
    let mut checker = Checker::new(scenario, scenario.release(), known);
    checker.check_frame();
    if steps.is_empty() && !is_begun {
        checker.report_key("scenario/no-steps", "/steps", "scenario has no steps");
    }
    let expanded = expanded(steps);
    if expanded > MOST_STEPS {
        checker.report_key(
            "scenario/too-many-steps",
            "/steps",
            format!("scenario has {expanded} steps with its repeats played out, the most is {MOST_STEPS}"),
        );
    }
    let mut found = checker.found;
    found.extend(releases::check_played(scenario, known));
    found.sort_by_key(|diagnostic| diagnostic.place.as_ref().map(|place| place.range.start));
    found
}

fn expanded(steps: &[Step]) -> u64 {
    steps.iter().fold(0, |sum: u64, step| {
        let own = match step {
            Step::Repeat(repeat) => expanded(&repeat.steps).saturating_mul(repeat.times.into()),
            Step::Only(only) => expanded(&only.steps),
            Step::When(when) => expanded(&when.told).saturating_add(expanded(&when.steps)).saturating_add(1),
            _ => 1,
        };
        sum.saturating_add(own)
    })
}

/// The requests that the steps so far have made.
#[derive(Default)]
struct Made {
    any: bool,
    /// Whether a token was presented, which makes EVerest ask a token validator.
    presented: bool,
    /// What answers a named one; `None` where nobody can know.
    names: BTreeMap<String, Option<Message>>,
    /// What answers the last one that the scenario has made itself.
    last: Option<Option<Message>>,
}

struct Checker<'a> {
    scenario: &'a Scenario,
    known: Known<'a>,
    /// The release whose steps are looked at.
    release: Release,
    /// The schemas of that release.
    schemas: Schemas,
    found: Vec<Diagnostic>,
    captured: BTreeSet<String>,
    made: Made,
    /// Every name given with `as`, and the pointer of it.
    names: BTreeMap<String, Pointer>,
}

/// The names of what counts as captured from the start: the ids of the API modules that there are.
fn known_ids(scenario: &Scenario) -> BTreeSet<String> {
    let model = &scenario.model;
    let is_there = |api: &ApiType| *api == model.api || model.station.cadence(*api).is_some();
    ApiType::AUTH_APIS.into_iter().filter(is_there).map(placeholder::id_of).collect()
}

impl<'a> Checker<'a> {
    fn new(scenario: &'a Scenario, release: Release, known: Known<'a>) -> Self {
        let station = StationConfig { release, ..scenario.model.station.clone() };
        Self {
            scenario,
            known,
            release,
            schemas: Schemas::of(station.in_force()),
            found: Vec::new(),
            captured: known_ids(scenario),
            made: Made::default(),
            names: BTreeMap::new(),
        }
    }

    /// Reports something at a value; the caller may add to it.
    fn report(&mut self, id: &'static str, pointer: &str, headline: impl Into<String>) -> &mut Diagnostic {
        let at = self.found.len();
        self.found.push(Diagnostic::new(Severity::Error, id, headline).at(self.scenario.place(pointer)));
        &mut self.found[at]
    }

    /// Reports something at a key.
    fn report_key(&mut self, id: &'static str, pointer: &str, headline: impl Into<String>) -> &mut Diagnostic {
        let place = self.scenario.place_of_key(pointer);
        let diagnostic = self.report(id, pointer, headline);
        diagnostic.place = Some(place);
        diagnostic
    }

    fn collect_names(&mut self) {
        let scenario = self.scenario;
        for (at, row) in scenario.rows(scenario.model.frame(), self.release) {
            let Some(Exchange::Asks { name: Some(name), .. }) = row.exchange else { continue };
            let pointer = at.key(row.key).key("as");
            if let Some(first) = self.names.get(name) {
                let line = scenario.line(first);
                self.report("scenario/duplicate-name", &pointer, format!("name `{name}` is given to two requests"))
                    .evidence
                    .push(format!("first given in line {line}"));
            } else {
                self.names.insert(name.to_owned(), pointer);
            }
        }
    }

    fn check_frame(&mut self) {
        let requirements = self.known.requirements;
        let scenario = self.scenario;
        let model = &scenario.model;
        if model.description.trim().is_empty() {
            self.report("scenario/no-description", "/description", "description is empty").help =
                Some("say in one sentence what the scenario shows".to_owned());
        }
        for (index, id) in model.requirements.iter().enumerate() {
            if !requirements.is_empty() && !requirements.contains(&id.as_str()) {
                let near = suggestion(id, requirements.iter().copied());
                let pointer = format!("/requirements/{index}");
                let diagnostic =
                    self.report("scenario/unknown-requirement", &pointer, format!("unknown requirement `{id}`"));
                label(diagnostic, near);
            }
        }
        if model.under_test == Side::Everest && model.api.behaviour().is_known() && model.api != ApiType::AUTH_CONSUMER
        {
            let (name, diagnostic) =
                (model.api.name(), "EVerest's side serves every API of its station, `api` is for clients");
            self.report_key("scenario/api-side", "/api", diagnostic).help =
                Some(format!("leave `api` out, and give the station the module: `station: {{{name}: {{}}}}`"));
        }
        self.check_csms_link();
        let is_provider = model.under_test == Side::Client && model.api == ApiType::AUTH_TOKEN_PROVIDER;
        if model.station.unlisted_verdict.is_some() && !is_provider {
            let headline = "a token that the station does not list comes from a token provider under test alone";
            self.report_key("scenario/bad-station", "/station/unlisted_verdict", headline);
        }
        for (id, pointer, headline) in rules::faults_of_station(&model.station) {
            self.report(id, &Pointer::from("/station").below(&pointer), headline);
        }
        if let Some(prefix) = &model.external_prefix {
            self.check_topic(&format!("{prefix}everest_api"), &Pointer::from("/external_prefix"), &[], false);
            if model.under_test == Side::Everest {
                let headline =
                    "an EVerest has the external prefix of its own configuration: `--external-prefix` says which";
                self.report_key("scenario/other-side", "/external_prefix", headline);
            }
        }
        if let Some(Ready::Topic(filter)) = &model.ready {
            self.check_topic(filter, &Pointer::from("/ready/topic"), &placeholder::IN_FILTERS, true);
        }
        self.check_releases();
        self.check_only(&model.steps, &Pointer::from("/steps"));
        for (timespan, pointer) in [(model.timeout, "/timeout"), (model.within, "/within")] {
            self.check_wait(timespan, &Pointer::from(pointer));
        }
    }

    fn check_steps(&mut self, steps: &[Step], base: &Pointer, repeats: usize) {
        for (at, step) in played(steps, base, self.release) {
            self.check_step(step, &at, repeats);
        }
    }

    fn check_step(&mut self, step: &Step, at: &Pointer, repeats: usize) {
        let row = step.row(self.scenario.model.frame());
        let at = &at.key(row.key);
        self.check_row(&row, at);
        match step {
            Step::Reserve(reserve) => self.check_reserve(reserve, at),
            Step::AtOnce(steps) => self.check_at_once(steps, at),
            Step::PresentToken(_) => {
                self.made.presented = true;
                // From now on, what a validator is asked is the last question.
                self.made.last = None;
            }
            Step::Heartbeats(Heartbeats::Every(every)) => {
                if every.0 < Duration::from_millis(1) {
                    let headline = format!("heartbeats every `{every}`: the least is 1ms");
                    self.report("scenario/bad-timespan", &at.key("every"), headline);
                }
            }
            Step::SetReply(set) => self.check_set_reply(set, at),
            Step::Withdraw(withdraw) => {
                if withdraw.token.is_some() && withdraw.id_token.is_some() {
                    let headline = "withdraw has both `token` and `id_token`";
                    self.report_key("scenario/two-tokens", &at.key("id_token"), headline).help =
                        Some("`token` names a token of the station, `id_token` spells one out".to_owned());
                }
                self.make(withdraw.r#as.as_ref(), row.says.and_then(Message::reply_to), true);
            }
            Step::GetStatus(request) => self.make(request.r#as.as_ref(), row.says.and_then(Message::reply_to), true),
            Step::Discover(request) => self.make(request.r#as.as_ref(), Some(Message::DISCOVER_REPLY), true),
            Step::QueryModules(api) => {
                self.check_type(api, at);
                self.make(None, Some(Message::DISCOVER_REPLY), true);
            }
            Step::Publish(publish) => self.check_publish(publish, at),
            Step::Repeat(repeat) => self.check_repeat(repeat, at, repeats),
            Step::When(when) => self.check_when(when, at, repeats),
            Step::Run(run) => self.check_run(run, at),
            Step::AnyOrder(steps) => self.check_any_order(steps, at),
            step if let Some((effect, which)) = step.befalls() => self.check_fault(effect, &which, at),
            Step::RefuseConnect(refuse) => self.check_refusal(refuse, at),
            Step::BrokerAway(away) => self.check_span(away.r#for.0, "an absence", &at.key("for")),
            Step::HalfOpen(HalfOpen { r#for: Some(span) }) => self.check_span(span.0, "an outage", &at.key("for")),
            Step::Gateway(gateway) => self.check_gateway(gateway, at),
            Step::SendLocalList(list) => self.check_local_list(list, at),
            Step::About(id) => self.check_about(id, at),
            step => {
                let captured = self.check_expectation(step, &row, at);
                self.captured.extend(captured);
            }
        }
    }

    /// What steps judge, the scenario names at its top.
    fn check_about(&mut self, id: &str, at: &Pointer) {
        let named = &self.scenario.model.requirements;
        if !named.iter().any(|named| named == id) {
            let near = suggestion(id, named.iter().map(String::as_str));
            let headline = format!("requirement `{id}` is none of the scenario's");
            let diagnostic = self.report("scenario/unnamed-requirement", at, headline);
            label(diagnostic, near);
            let all: Vec<&str> = named.iter().map(String::as_str).chain([id]).collect();
            diagnostic.help = Some(format!("name it at the top: `requirements: [{}]`", all.join(", ")));
        }
    }

    /// What the row of a step says of its arguments.
    fn check_row(&mut self, row: &Row<'_>, at: &Pointer) {
        if row.is_foreign {
            let headline = format!("`{}` is no part of the API {}", row.key, self.scenario.model.api.name());
            self.report_key("scenario/foreign-step", at, headline);
        }
        if let Some(below) = row.charge_point {
            self.check_has_charge_point(row.key, at, below);
        }
        if let Some(evse) = row.evse {
            self.check_evse(evse, &at.key("evse"));
            self.check_connector(evse, row.connector, &at.key("connector"));
        }
        if let Some((below, name)) = row.token {
            self.check_token(name, &at.below(below));
        }
        self.check_wait(row.within, &at.key("within"));
    }

    /// A request is made, which this answers; it is the last one, unless it goes where only its name leads back to.
    fn make(&mut self, name: Option<&String>, reply: Option<Message>, is_last: bool) {
        self.made.any = true;
        self.made.names.extend(name.map(|name| (name.clone(), reply)));
        if is_last {
            self.made.last = Some(reply);
        }
    }

    /// The type of an API is the last level of a topic.
    fn check_type(&mut self, api: &str, pointer: &Pointer) {
        let why = if api.contains('/') { Some("is more than one level of a topic") } else { wrong_topic(api, false) };
        if let Some(why) = why {
            let api = if api.is_empty() { String::new() } else { format!(" `{api}`") };
            self.report("scenario/bad-topic", pointer, format!("type{api} {why}"));
        }
    }

    fn check_evse(&mut self, evse: i32, pointer: &Pointer) {
        let evses = i32::from(self.scenario.model.station.evses);
        if !(1..=evses).contains(&evse) {
            let has = if evses == 1 { "1 EVSE".to_owned() } else { format!("EVSEs 1 to {evses}") };
            self.report("scenario/unknown-evse", pointer, format!("unknown EVSE `{evse}`: the station has {has}"))
                .help = Some("`station: {evses: N}` sets their number".to_owned());
        }
    }

    fn check_token(&mut self, name: &str, pointer: &Pointer) {
        let scenario = self.scenario;
        let tokens = &scenario.model.station.tokens;
        if tokens.contains_key(name) {
            return;
        }
        let near = suggestion(name, tokens.keys().map(String::as_str));
        let known: Vec<&str> = tokens.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none; they stand in `station.tokens`".to_owned() } else { known.join(", ") };
        let diagnostic = self.report("scenario/unknown-token", pointer, format!("unknown token `{name}`"));
        label(diagnostic, near);
        diagnostic.evidence.push(format!("tokens: {known}"));
    }

    fn check_wait(&mut self, timespan: Option<Timespan>, pointer: &Pointer) {
        let Some(timespan) = timespan else { return };
        let timeout = self.scenario.model.timeout.map_or(TIMEOUT, |timeout| timeout.0);
        if timespan.0.is_zero() {
            self.report("scenario/bad-timespan", pointer, "a time limit of 0 can never be met");
        } else if timespan.0 > timeout {
            let timeout = Timespan(timeout);
            let headline = format!("`{timespan}` is longer than the whole scenario may take (`{timeout}`)");
            self.report("scenario/bad-timespan", pointer, headline).help =
                Some("set `timeout:` at the top of the file".to_owned());
        }
    }

    fn check_publish(&mut self, publish: &Publish, at: &Pointer) {
        let bodies =
            [("payload", publish.payload.is_some()), ("text", publish.text.is_some()), ("hex", publish.hex.is_some())];
        let given: Vec<&str> = bodies.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect();
        match given.as_slice() {
            [_] => {}
            [] => {
                self.report_key("scenario/publish-what", at, "publish has no payload").help =
                    Some("give one of `payload` (JSON), `text` or `hex`; `text: \"\"` is an empty message".to_owned());
            }
            [_, second, ..] => {
                let headline = format!("publish has {} payloads: `{}`", given.len(), given.join("`, `"));
                self.report_key("scenario/publish-what", &at.key(second), headline);
            }
        }
        if let Some(hex) = &publish.hex
            && let Err(why) = from_hex(hex)
        {
            self.report("scenario/bad-hex", &at.key("hex"), why);
        }
        self.check_qos(Some(publish.qos), &at.key("qos"));
        self.check_topic(&publish.topic, &at.key("topic"), &placeholder::IN_TOPICS, false);
        if let Some(payload) = &publish.payload {
            self.check_filling(payload, &at.key("payload"));
        }
        let mut asks =
            publish.topic.contains("{reply}") || publish.text.as_ref().is_some_and(|t| t.contains("{reply}"));
        asks |= publish.payload.as_ref().is_some_and(|payload| payload.to_string().contains("{reply}"));
        if asks {
            let (reply, is_last) = self.reply_to_publish(&publish.topic);
            self.make(publish.r#as.as_ref(), reply, is_last);
        } else if publish.r#as.is_some() {
            let headline = "publish has a name for its reply, and no place where the reply could go";
            self.report_key("scenario/no-reply-topic", &at.key("as"), headline).help = Some(
                "put `{reply}` where the topic of the reply belongs, for example `headers: {replyTo: \"{reply}\"}`"
                    .to_owned(),
            );
        }
    }

    /// A payload that is sent: the only marker it knows is `$captured:NAME`.
    fn check_filling(&mut self, payload: &Value, pointer: &Pointer) {
        match payload {
            Value::String(text) => match text.strip_prefix("$captured:") {
                Some(name) => self.check_captured(&[name], &self.captured.clone(), pointer),
                None if text.starts_with('$') && !text.starts_with("$$") => {
                    let headline =
                        format!("`{text}` cannot be sent: of the markers, only `$captured:NAME` has a value");
                    self.report("scenario/unknown-marker", pointer, headline).help =
                        Some(format!("for the text itself write \"${text}\""));
                }
                None => {}
            },
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.check_filling(item, &pointer.index(index));
                }
            }
            Value::Object(entries) => {
                for (key, value) in entries {
                    self.check_filling(value, &pointer.key(key));
                }
            }
            _ => {}
        }
    }

    fn check_repeat(&mut self, repeat: &Repeat, at: &Pointer, repeats: usize) {
        if !(1..=10_000).contains(&repeat.times) {
            let headline = format!("`{}` times: a repeat is 1 to 10000 times", repeat.times);
            self.report("scenario/repeat-times", &at.key("times"), headline);
        }
        if repeat.steps.is_empty() {
            self.report_key("scenario/no-steps", &at.key("steps"), "repeat has no steps");
        }
        if repeats == MOST_REPEATS {
            let headline = format!("repeats stand more than {MOST_REPEATS} deep in each other");
            self.report_key("scenario/nested-repeat", at, headline);
        }
        self.check_steps(&repeat.steps, &at.key("steps"), repeats + 1);
    }

    /// What is captured in a section is known in it alone: it may not be played.
    fn check_when(&mut self, when: &When, at: &Pointer, repeats: usize) {
        if when.steps.is_empty() {
            self.report_key("scenario/no-steps", &at.key("steps"), "when has no steps");
        }
        let captured = self.captured.clone();
        self.check_steps(&when.told, &at.key("told"), repeats);
        let expect = Step::Expect(when.expect.clone());
        let row = expect.row(self.scenario.model.frame());
        let of_expect = self.check_expectation(&expect, &row, &at.key("expect"));
        self.captured.extend(of_expect);
        self.check_steps(&when.steps, &at.key("steps"), repeats);
        self.captured = captured;
    }

    fn check_run(&mut self, run: &Run, at: &Pointer) {
        let pointer = at.key("command");
        match shell_words::split(&run.command) {
            Ok(words) if words.is_empty() => {
                self.report("scenario/bad-command", &pointer, "command is empty");
            }
            Ok(_) => {}
            Err(_) => {
                self.report("scenario/bad-command", &pointer, "a quote in the command is not closed");
            }
        }
        if let Some((written, meant)) = placeholder::misspelt(&run.command, &placeholder::IN_COMMANDS) {
            let diagnostic =
                self.report("scenario/unknown-placeholder", &pointer, format!("unknown placeholder `{written}`"));
            label(diagnostic, Some(&meant));
            diagnostic.evidence.push(placeholder::listed(&placeholder::IN_COMMANDS));
            diagnostic.help = Some(placeholder::MEANT_AS_THEY_STAND.to_owned());
        }
        if let Some(stdout) = &run.stdout {
            let captured = self.check_pattern(&Value::String(stdout.clone()), &at.key("stdout"));
            self.captured.extend(captured);
        }
        // The command may have made the module under test send a request.
        self.made.any = true;
    }

    fn report_no_module(&mut self, api: ApiType, pointer: &Pointer) {
        let headline = format!("the station has no module with the API {}", api.name());
        self.report("scenario/no-api-module", pointer, headline).help =
            Some(format!("give it one: `station: {{{}: {{}}}}`", api.name()));
    }

    fn check_qos(&mut self, qos: Option<u8>, pointer: &Pointer) {
        if let Some(qos) = qos.filter(|qos| *qos > 2) {
            self.report("scenario/bad-qos", pointer, format!("QoS is 0, 1 or 2, not `{qos}`"));
        }
    }

    fn check_topic(&mut self, topic: &str, pointer: &Pointer, known: &[&str], is_filter: bool) {
        for (_, name) in placeholder::find(topic) {
            if !known.contains(&name) {
                let near = suggestion(name, known.iter().copied());
                let headline = format!("unknown placeholder `{{{name}}}`");
                let diagnostic = self.report("scenario/unknown-placeholder", pointer, headline);
                label(diagnostic, near.map(|near| format!("{{{near}}}")).as_deref());
                diagnostic.evidence.push(placeholder::listed(known));
            } else if let Some(wanted) = placeholder::api(name)
                && !api::is_spoken(wanted, &self.scenario.model)
            {
                self.report_no_module(wanted, pointer);
            }
        }
        if let Some(why) = wrong_topic(topic, is_filter) {
            let topic = if topic.is_empty() { String::new() } else { format!(" `{topic}`") };
            self.report("scenario/bad-topic", pointer, format!("topic{topic} {why}"));
        }
    }
}

/// Asks beside the caret whether something near was meant.
fn label(diagnostic: &mut Diagnostic, near: Option<&str>) {
    if let (Some(place), Some(near)) = (&mut diagnostic.place, near) {
        place.label = format!("did you mean `{near}`?");
    }
}

//! What is expected: steps that can be met, patterns that mean something, and what they capture.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Checker, label, releases};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::schema::Message;
use crate::protocol::side::Side;
use crate::scenario::model::{ExpectNone, ExpectReply, ExpectStatus, MessageKind};
use crate::scenario::pattern::{MARKERS, Pattern, PatternErrorKind};
use crate::scenario::step::{Row, Step};
use crate::scenario::{Pointer, api, placeholder, played, suggestion};

impl Checker<'_> {
    pub(super) fn check_any_order(&mut self, steps: &[Step], at: &Pointer) {
        if releases::written(steps) < 2 {
            self.report_key("scenario/any-order", at, "any_order needs two expectations or more");
        }
        let mut captured = BTreeSet::new();
        for (pointer, step) in played(steps, at, self.release) {
            let row = step.row(self.scenario.model.frame());
            if row.may_be_any_order {
                let at = pointer.key(row.key);
                self.check_row(&row, &at);
                captured.extend(self.check_expectation(step, &row, &at));
            } else {
                let headline = "any_order holds `expect`, `expect_status`, `expect_reply` and `expect_evse` only";
                self.report("scenario/any-order", &pointer, headline);
            }
        }
        self.captured.extend(captured);
    }

    /// Checks one expectation and says what it captures; other steps capture nothing.
    pub(super) fn check_expectation(&mut self, step: &Step, row: &Row<'_>, at: &Pointer) -> Vec<String> {
        let payload = &at.key("payload");
        match step {
            Step::Expect(expect) => {
                self.check_what(expect.message, expect.api, expect.topic.as_deref(), at);
                self.check_qos(expect.qos, &at.key("qos"));
                // A request that the module under test makes on its own may be answered as well.
                let is_asked = |channel: Channel| channel.is_request() && !channel.is_from_everest();
                let channel = expect.message.map(|kind| self.channel(kind, expect.api));
                self.made.any |= channel.is_none_or(|channel| channel.is_some_and(is_asked));
                let described = self.described(expect.message, expect.api, expect.topic.as_deref());
                self.check_payload(expect.payload.as_ref(), payload, &described)
            }
            Step::ExpectStatus(expect) => self.check_expect_status(expect, row.shows.map(Message::On), at),
            Step::ExpectReply(expect) => self.check_expect_reply(expect, at),
            Step::ExpectEvse(expect) => self.check_call(expect.payload.as_ref(), payload, expect.call),
            Step::ExpectCsms(expect) => self.check_told(expect.payload.as_ref(), payload, expect.message),
            Step::ExpectNone(expect) => self.check_expect_none(expect, at),
            _ => Vec::new(),
        }
    }

    fn check_expect_status(&mut self, expect: &ExpectStatus, status: Option<Message>, at: &Pointer) -> Vec<String> {
        match (&expect.status, &expect.sequence) {
            (Some(_), None) => {}
            (None, Some(sequence)) if !sequence.is_empty() => {}
            (None, Some(_)) => {
                self.report_key("scenario/status-what", &at.key("sequence"), "sequence is empty");
            }
            (None, None) => {
                let headline = "expect_status has neither `status` nor `sequence`";
                self.report_key("scenario/status-what", at, headline);
            }
            (Some(_), Some(_)) => {
                let headline = "expect_status has both `status` and `sequence`";
                self.report_key("scenario/status-what", &at.key("sequence"), headline);
            }
        }
        let mut captured = self.check_connectors(expect.connectors.as_ref(), status, &at.key("connectors"));
        let described = status.map(|status| vec![status]);
        captured.extend(self.check_payload(expect.payload.as_ref(), &at.key("payload"), &described));
        captured
    }

    fn check_expect_reply(&mut self, expect: &ExpectReply, at: &Pointer) -> Vec<String> {
        let model = &self.scenario.model;
        let is_asked = model.under_test == Side::Client && model.api.asks_clients();
        if let Some(to) = &expect.to {
            self.check_request_named(to, is_asked, &at.key("to"));
        } else if !(self.made.any || is_asked && self.made.presented) {
            self.report_key("scenario/no-request", at, "expect_reply stands before any request").help =
                Some(if is_asked && model.api.behaviour().is_known() {
                    "`present_token` makes EVerest ask the validator".to_owned()
                } else if !model.api.behaviour().is_known() {
                    "a `publish` with `headers: {replyTo: \"{reply}\"}` makes a request".to_owned()
                } else {
                    "`withdraw`, `get_status`, `discover`, `query_modules` and a `publish` with `{reply}` make requests"
                        .to_owned()
                });
        }
        let described = self.answer(expect.to.as_deref(), is_asked).map(|message| vec![message]);
        self.check_payload(Some(&expect.payload), &at.key("payload"), &described)
    }

    /// `to` names a request that stands before, or, where EVerest asks the module under test, a token it asks about.
    fn check_request_named(&mut self, to: &String, is_asked: bool, pointer: &Pointer) {
        let tokens = &self.scenario.model.station.tokens;
        if self.made.names.contains_key(to) || is_asked && tokens.contains_key(to) {
            return;
        }
        let later = self.names.get(to).map(|pointer| self.scenario.line(pointer));
        let near = suggestion(to, self.made.names.keys().map(String::as_str)).map(str::to_owned);
        let diagnostic = self.report("scenario/unknown-request", pointer, format!("no request before is named `{to}`"));
        label(diagnostic, near.as_deref());
        match later {
            Some(line) => diagnostic.evidence.push(format!("it is made later, in line {line}")),
            None if is_asked => {
                diagnostic.help = Some("`to` is a token of the station, or the name of a `publish`".to_owned());
            }
            None => diagnostic.help = Some(format!("name the request: `withdraw: {{as: {to}}}`")),
        }
    }

    fn check_expect_none(&mut self, expect: &ExpectNone, at: &Pointer) -> Vec<String> {
        match (expect.csms, expect.call) {
            (Some(_), _) => self.check_alone("csms", expect, at),
            (None, Some(_)) => self.check_alone("call", expect, at),
            (None, None) => {
                self.check_what(expect.message, expect.api, expect.topic.as_deref(), at);
                if expect.evse.is_some() {
                    let headline = "`evse` says which EVSE is not called, and there is no `call`";
                    self.report_key("scenario/expect-what", &at.key("evse"), headline);
                }
            }
        }
        match &expect.to {
            Some(to) if expect.message == Some(MessageKind::Reply) => {
                self.check_request_named(to, false, &at.key("to"));
            }
            Some(_) => {
                let headline = "`to` says to which request there is no reply, and this is of something else";
                self.report_key("scenario/expect-what", &at.key("to"), headline);
            }
            None => {}
        }
        self.check_wait(Some(expect.r#for), &at.key("for"));
        let (payload, pointer) = (expect.payload.as_ref(), at.key("payload"));
        let captured = match (expect.csms, expect.call) {
            (Some(message), _) => self.check_told(payload, &pointer, message),
            (None, Some(call)) => self.check_call(payload, &pointer, call),
            (None, None) => {
                let described = self.described(expect.message, expect.api, expect.topic.as_deref());
                self.check_payload(payload, &pointer, &described)
            }
        };
        for name in captured {
            let headline = format!("`$capture:{name}` in expect_none: what must not come cannot be remembered");
            self.report("scenario/bad-capture", &at.key("payload"), headline);
        }
        Vec::new()
    }

    /// `csms` and `call` say all by themselves where a message would go; `evse` belongs to `call`.
    fn check_alone(&mut self, key: &str, expect: &ExpectNone, at: &Pointer) {
        let others = [
            ("message", expect.message.is_some()),
            ("api", expect.api.is_some()),
            ("topic", expect.topic.is_some()),
            ("call", expect.call.is_some()),
            ("evse", expect.evse.is_some() && expect.call.is_none()),
        ];
        let other = others.into_iter().find(|(other, is_there)| *is_there && *other != key);
        if let Some((other, _)) = other {
            let headline = format!("expect_none has both `{key}` and `{other}`");
            self.report_key("scenario/expect-what", &at.key(other), headline);
        }
    }

    pub(super) fn check_what(
        &mut self,
        message: Option<MessageKind>,
        named: Option<ApiType>,
        topic: Option<&str>,
        at: &Pointer,
    ) {
        let step = at.rsplit('/').next().unwrap_or_default().to_owned();
        let model = &self.scenario.model;
        if named.is_some() && !message.is_some_and(api::is_in_several_apis) {
            let headline = "`api` tells heartbeats and communication checks apart, other messages need none";
            self.report_key("scenario/expect-what", &at.key("api"), headline);
        } else if let Some(wanted) = message.map(|kind| api::api_of(kind, named, model.api))
            && !api::is_spoken(wanted, model)
        {
            let key = if named.is_some() { "api" } else { "message" };
            self.report_no_module(wanted, &at.key(key));
        }
        match (message, topic) {
            (Some(_), None) | (None, Some(_)) => {}
            (None, None) => {
                self.report_key("scenario/expect-what", at, format!("{step} has neither `message` nor `topic`"));
            }
            (Some(_), Some(_)) => {
                let headline = format!("{step} has both `message` and `topic`");
                self.report_key("scenario/expect-what", &at.key("topic"), headline);
            }
        }
        if let Some(topic) = topic {
            self.check_topic(topic, &at.key("topic"), &placeholder::IN_FILTERS, true);
        }
    }

    /// Checks a pattern and says what it captures.
    pub(super) fn check_pattern(&mut self, value: &Value, pointer: &Pointer) -> Vec<String> {
        match Pattern::compile(value) {
            Ok(pattern) => {
                self.check_captured(&pattern.needs(), &self.captured.clone(), pointer);
                pattern.captures().into_iter().map(str::to_owned).collect()
            }
            Err(error) => {
                let pointer = pointer.below(&error.pointer);
                let written = value.pointer(&error.pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
                let id = match error.kind {
                    PatternErrorKind::UnknownMarker => "scenario/unknown-marker",
                    PatternErrorKind::BadRegex => "scenario/bad-regex",
                    PatternErrorKind::BadName => "scenario/bad-capture",
                    PatternErrorKind::MisplacedAbsent => "scenario/misplaced-absent",
                };
                let diagnostic = self.report(id, &pointer, error.message);
                if error.kind == PatternErrorKind::UnknownMarker {
                    let markers = MARKERS.map(|(marker, _)| marker);
                    label(diagnostic, suggestion(&written, markers));
                    diagnostic.evidence.push(format!("markers: {}", markers.join(", ")));
                    diagnostic.help = Some(format!("for the text itself write \"${written}\""));
                }
                Vec::new()
            }
        }
    }

    pub(super) fn check_captured(&mut self, needs: &[&str], captured: &BTreeSet<String>, pointer: &Pointer) {
        for name in needs {
            if !captured.contains(*name) {
                let near = suggestion(name, captured.iter().map(String::as_str));
                let headline = format!("nothing was captured as `{name}` in a step before");
                label(self.report("scenario/not-captured", pointer, headline), near);
            }
        }
    }
}

//! Patterns for payloads beside the schemas of the messages that they are for.

use serde_json::{Value, json};

use super::{Checker, label};
use crate::protocol::channel::{ApiType, Channel, EntryPoint};
use crate::protocol::control::EvseCommand;
use crate::protocol::schema::{EMPTY_LATCH, Message, evse_call};
use crate::scenario::model::{CsmsMessage, MessageKind};
use crate::scenario::pattern::{Captures, Pattern, UNSPECIFIED};
use crate::scenario::specified::{self, Fault};
use crate::scenario::{Pointer, api_of, channel_of};
use crate::station::charge_point::report_schema;

impl Checker<'_> {
    /// The messages that an expectation may mean; `None` where nobody can know.
    pub(super) fn described(
        &self,
        kind: Option<MessageKind>,
        named: Option<ApiType>,
        topic: Option<&str>,
    ) -> Option<Vec<Message>> {
        match kind {
            Some(MessageKind::ReadyBeacon) => Some(vec![Message::READY_BEACON]),
            Some(MessageKind::Reply) => {
                let is_reply = |message: &Message| matches!(message, Message::ReplyTo(_));
                Some(Message::all().into_iter().filter(is_reply).collect())
            }
            Some(kind) => Some(vec![Message::On(self.channel(kind, named)?)]),
            None => {
                let address = ["e2m", "m2e"].into_iter().find_map(|branch| {
                    let rest = topic?.strip_prefix('{')?.strip_prefix(branch)?.strip_prefix("}/")?;
                    Some(format!("{branch}/{rest}"))
                })?;
                let mut channels = self.scenario.model.api.channels();
                channels.find(|channel| channel.address() == address).map(|channel| vec![Message::On(channel)])
            }
        }
    }

    /// The channel of a kind of message, if it has one.
    pub(super) fn channel(&self, kind: MessageKind, named: Option<ApiType>) -> Option<Channel> {
        channel_of(kind, api_of(kind, named, self.scenario.model.api))
    }

    /// What answers the request named `to`, or the last one; `None` where nobody can know. Whoever `is_asked` may answer
    /// a question of EVerest.
    pub(super) fn answer(&self, to: Option<&str>, is_asked: bool) -> Option<Message> {
        let made = match to {
            Some(to) => self.made.names.get(to).copied(),
            None => self.made.last,
        };
        let question = || self.scenario.model.api.channels().find(|channel| channel.is_question());
        made.unwrap_or_else(|| question().filter(|_| is_asked).and_then(Message::reply_to))
    }

    /// What answers a published request, and whether it becomes the last one.
    pub(super) fn reply_to_publish(&self, topic: &str) -> (Option<Message>, bool) {
        let is_last = topic.contains("{m2e}") || topic.contains("{e2m}");
        let described = self.described(None, None, Some(topic)).unwrap_or_default();
        let reply = match described.first() {
            Some(Message::On(channel)) => Message::reply_to(*channel),
            _ if topic == format!("{{external_prefix}}{}", EntryPoint::Discover.topic("")) => {
                Some(Message::DISCOVER_REPLY)
            }
            _ => None,
        };
        (reply, is_last)
    }

    /// Checks a pattern for the payload of one of these messages, and says what it captures.
    pub(super) fn check_payload(
        &mut self,
        pattern: Option<&Value>,
        pointer: &Pointer,
        messages: &Option<Vec<Message>>,
    ) -> Vec<String> {
        let Some(pattern) = pattern else { return Vec::new() };
        let found = self.found.len();
        let captured = self.check_pattern(pattern, pointer);
        if let (Some(messages), true) = (messages, found == self.found.len()) {
            let faults = messages.iter().map(|message| self.faults(pattern, *message));
            // Of several messages that may be meant, the nearest is.
            if let Some(faults) = faults.min_by_key(Vec::len) {
                self.report_faults(faults, pointer);
            }
        }
        captured
    }

    /// Checks a pattern beside the schema of what it is for, if that is known, and says what it captures.
    pub(super) fn check_beside(
        &mut self,
        pattern: Option<&Value>,
        pointer: &Pointer,
        schema: Option<&Value>,
        name: &str,
    ) -> Vec<String> {
        let Some(pattern) = pattern else { return Vec::new() };
        let found = self.found.len();
        let captured = self.check_pattern(pattern, pointer);
        if let Some(schema) = schema.filter(|_| found == self.found.len()) {
            self.report_faults(specified::faults(pattern, schema, name), pointer);
        }
        captured
    }

    /// The same for what a charge point tells its CSMS.
    pub(super) fn check_told(
        &mut self,
        pattern: Option<&Value>,
        pointer: &Pointer,
        message: CsmsMessage,
    ) -> Vec<String> {
        let name = format!("the message `{}`", message.name());
        self.check_beside(pattern, pointer, report_schema(message.report()).as_ref(), &name)
    }

    /// The same for the arguments of a call to an EVSE.
    pub(super) fn check_call(&mut self, pattern: Option<&Value>, pointer: &Pointer, call: EvseCommand) -> Vec<String> {
        let name = format!("the call `{}`", call.name());
        self.check_beside(pattern, pointer, Some(&evse_call(call)), &name)
    }

    /// Checks a pattern for the connectors of a status, and says what it captures.
    pub(super) fn check_connectors(
        &mut self,
        pattern: Option<&Value>,
        status: Option<Message>,
        pointer: &Pointer,
    ) -> Vec<String> {
        let Some(pattern) = pattern else { return Vec::new() };
        let found = self.found.len();
        let captured = self.check_pattern(pattern, pointer);
        if let Some(status) = status.filter(|_| found == self.found.len()) {
            let whole = json!({"token": {"connectors": pattern}});
            let mut faults = self.faults(&whole, status);
            for fault in &mut faults {
                fault.pointer = fault.pointer.replacen("/token/connectors", "", 1).as_str().into();
            }
            self.report_faults(faults, pointer);
        }
        captured
    }

    fn faults(&self, pattern: &Value, message: Message) -> Vec<Fault> {
        let is_empty_latch = |value| {
            Pattern::compile(pattern).is_ok_and(|pattern| pattern.differences(value, &Captures::new()).is_empty())
        };
        if message.may_be_empty_latch() && EMPTY_LATCH.iter().any(is_empty_latch) {
            return Vec::new();
        }
        let name = message.name();
        let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        specified::faults(pattern, &self.schemas.document(message), &format!("{article} {name}"))
    }

    fn report_faults(&mut self, faults: Vec<Fault>, pointer: &Pointer) {
        for Fault { pointer: below, is_key, headline, near, evidence, help } in faults {
            let pointer = pointer.below(&below);
            let diagnostic = match is_key {
                true => self.report_key("scenario/unknown-field", &pointer, headline),
                false => self.report("scenario/never-matches", &pointer, headline),
            };
            label(diagnostic, near.as_deref());
            diagnostic.evidence.extend(evidence);
            let marked = format!("what is meant to be outside the specification is marked: `{{{UNSPECIFIED}: …}}`");
            diagnostic.help = Some(help.unwrap_or(marked));
        }
    }
}

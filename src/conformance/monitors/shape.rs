//! Each message for itself: is it JSON, has it the right shape, may it be retained, does it belong there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::wording::Worded;
use crate::conformance::sighting::{Place, Sighting};
use crate::diagnostic::words::a;
use crate::diagnostic::{Diagnostic, Severity, printable};
use crate::protocol::api::RETAINED;
use crate::protocol::channel::{Channel, Topics};
use crate::protocol::deviations::{Deviation, Deviations};
use crate::protocol::schema::{Message, Schemas, Violation};
use crate::protocol::side::Side;

/// More violations of one message than this add nothing.
const LISTED: usize = 4;

/// QoS of EVerest's own publishes since bb5d4182f (framework `everest.cpp`); before, it is 0.
const EVEREST_QOS: u8 = 2;

/// Longer texts are no words, and more words than this no module repeats.
const LONGEST_WORD: usize = 64;
const MOST_WORDS: usize = 10_000;

/// What a topic under the API means for the party that published there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Territory {
    /// A channel of its own side.
    Own(Channel),
    /// A topic of the other side.
    Foreign,
    /// A topic of its own side that the specification does not know.
    Unknown,
    /// Not under this API.
    Elsewhere,
}

/// The checks of single messages.
#[derive(Debug)]
pub(super) struct Shape {
    schemas: Schemas,
    in_force: Deviations,
    under_test: Side,
    /// The number of the API module.
    module: usize,
    topics: Topics,
    odd_qos: BTreeSet<Option<Channel>>,
    /// Whether the module has sent anything below EVerest's external prefix: it was told that there is one.
    knows_prefix: bool,
    /// Words that a client under test was told: it may have to say again what no specification knows, such as the type of a token.
    told: BTreeSet<String>,
}

impl Shape {
    pub(super) fn new(module: usize, topics: Topics, under_test: Side, in_force: Deviations) -> Self {
        let schemas = Schemas::of(in_force);
        Self {
            schemas,
            in_force,
            under_test,
            module,
            topics,
            odd_qos: BTreeSet::new(),
            knows_prefix: false,
            told: BTreeSet::new(),
        }
    }

    /// Where a message of the module under test went.
    pub(super) fn territory(&self, seen: &Sighting) -> Territory {
        let (module, channel, side) = match seen.place {
            Place::Channel { module, channel, .. } => {
                let side = if channel.is_from_everest() { Side::Everest } else { Side::Client };
                (module, Some(channel).filter(|channel| channel.runs(self.in_force)), Some(side))
            }
            Place::Below { module, side, .. } => (module, None, side),
            Place::Misspelt { module } => (module, None, None),
            Place::EntryPoint(_) | Place::Beacon | Place::Aside { .. } | Place::Elsewhere => {
                return Territory::Elsewhere;
            }
        };
        match (channel, side) {
            _ if module != self.module => Territory::Elsewhere,
            (_, Some(side)) if side != self.under_test => Territory::Foreign,
            (Some(channel), _) => Territory::Own(channel),
            (None, _) => Territory::Unknown,
        }
    }

    /// Whether a message on no channel went below the own side of the module under test.
    pub(super) fn is_own(&self, seen: &Sighting) -> bool {
        match seen.place {
            Place::Channel { module, .. } => module == self.module,
            Place::Below { module, side, .. } => module == self.module && side == Some(self.under_test),
            _ => false,
        }
    }

    /// Whether it went where a token validator's replies belong.
    pub(super) fn is_place_of_replies(&self, seen: &Sighting) -> bool {
        matches!(seen.place, Place::Below { module, is_for_replies: true, .. } if module == self.module)
    }

    /// Checks a message of the module under test against every schema that fits its topic; one is enough.
    pub(super) fn check(&mut self, seen: &Worded<'_>, messages: &[Message]) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        self.knows_prefix |= seen.publish.topic.starts_with(&self.topics.external_prefix);
        found.extend(self.retained(seen, messages));
        found.extend(self.qos(seen, messages));
        let Some(first) = messages.first() else { return found };
        let json = match seen.as_sent() {
            Ok(json) => json,
            // Deep nesting is a limit of our reader, not of JSON.
            Err(why) if why.contains("recursion limit") => return found,
            Err(why) => {
                let headline = format!("module sent {} that is not JSON", a(first.name()));
                found.push(seen.fail("monitor/not-json", headline).with_evidence(why).breaking(requirement(*first)));
                return found;
            }
        };
        let mut violations = Vec::new();
        for message in messages {
            violations = self.schemas.check(*message, json);
            violations.retain(|violation| !self.repeats(violation, json));
            if violations.is_empty() {
                return found;
            }
        }
        found.push(violated(seen, *first, &violations));
        found
    }

    /// A client under test was handed a message.
    pub(super) fn told(&mut self, json: &Value) {
        match json {
            Value::String(text) if self.told.contains(text) => {}
            Value::String(text) if text.len() <= LONGEST_WORD && self.told.len() < MOST_WORDS => {
                self.told.insert(text.clone());
            }
            Value::Array(values) => values.iter().for_each(|value| self.told(value)),
            Value::Object(members) => members.values().for_each(|value| self.told(value)),
            _ => {}
        }
    }

    /// Whether a client says again what it was told, where the specification does not list that.
    fn repeats(&self, violation: &Violation, json: &Value) -> bool {
        let text = json.pointer(&violation.pointer).and_then(Value::as_str);
        violation.is_unlisted && text.is_some_and(|text| self.told.contains(text))
    }

    /// Whether a request has the shape that the specification gives it.
    pub(super) fn is_valid(&self, message: Message, seen: &Worded<'_>) -> bool {
        seen.as_sent()
            .is_ok_and(|json| self.schemas.check(message, json).iter().all(|violation| self.repeats(violation, json)))
    }

    fn retained(&self, seen: &Worded<'_>, messages: &[Message]) -> Option<Diagnostic> {
        // An empty retained message is how a retained message is taken away again (MQTT 3.1.1, 3.3.1.3).
        if !seen.publish.retain || seen.publish.payload.is_empty() {
            return None;
        }
        let name = messages.first().map_or("message", |message| message.name());
        let finding = seen.fail("monitor/retained", format!("module sent {} with the retain flag", a(name)));
        if self.under_test == Side::Everest {
            return Some(finding.breaking("RR-16"));
        }
        let known = messages.first().map(|message| message.channel().api().behaviour().retained(*message));
        let (help, requirement) = known.unwrap_or(RETAINED);
        Some(finding.with_help(help).breaking(requirement))
    }

    fn qos(&mut self, seen: &Worded<'_>, messages: &[Message]) -> Option<Diagnostic> {
        let channel = match messages.first() {
            Some(Message::On(channel)) => Some(*channel),
            _ => None,
        };
        let (qos, usual) =
            (seen.publish.qos, if self.in_force.is_on(Deviation::PublishQos0) { 0 } else { EVEREST_QOS });
        if self.under_test != Side::Everest || qos == usual || !self.odd_qos.insert(channel) {
            return None;
        }
        let name = messages.first().map_or("message", |message| message.name());
        let release = self.in_force.release();
        let headline = format!("module sent {} at QoS {qos}, EVerest {release} sends at QoS {usual}", a(name));
        let finding = seen.fail("monitor/qos", headline).breaking("RR-16");
        Some(finding.with_help("play the release that the module speaks: `--release`"))
    }

    /// A message on a topic of the other side.
    pub(super) fn foreign(&self, seen: &Worded<'_>) -> Diagnostic {
        let topic = seen.wording.topic(&seen.publish.topic);
        let owner = match self.under_test {
            Side::Client => "EVerest",
            Side::Everest => "the client",
        };
        let finding = seen.fail("monitor/wrong-direction", format!("module sent on {topic}, where only {owner} sends"));
        if seen.publish.topic.ends_with("/e2m/token_validation_status/get") {
            let right = seen.wording.elide(&self.topics.topic(Channel::GET_TOKEN_VALIDATION_STATUS));
            return finding.with_help(format!("ask for the latched status on `{right}`")).breaking("LV-4");
        }
        finding.breaking("SC-2")
    }

    /// A message of a client on a topic of its own that lacks EVerest's external prefix; a module that was told of no prefix is not
    /// accused.
    fn without_prefix(&self, seen: &Worded<'_>) -> Option<Diagnostic> {
        let Topics { external_prefix, api, .. } = &self.topics;
        let whole = format!("{external_prefix}{}", seen.publish.topic);
        let is_own = |channel: &Channel| !channel.is_from_everest() && self.topics.topic(*channel) == whole;
        if external_prefix.is_empty() || self.under_test == Side::Everest || !api.channels().any(|it| is_own(&it)) {
            return None;
        }
        let severity = if self.knows_prefix { Severity::Fail } else { Severity::Warning };
        let topic = printable(&seen.publish.topic);
        let headline = format!("module sent on `{topic}` without EVerest's external prefix `{external_prefix}`");
        let finding = seen.finding(severity, "monitor/unknown-topic", headline).breaking("SC-2");
        Some(
            finding.with_help(
                "put the prefix before every topic that is published, as before those that are subscribed to",
            ),
        )
    }

    /// A message on a topic that nobody reads.
    pub(super) fn unknown(&self, seen: &Worded<'_>) -> Diagnostic {
        let from_everest = self.under_test == Side::Everest;
        if let Some(found) = self.without_prefix(seen) {
            return found;
        }
        let topic = seen.wording.topic(&seen.publish.topic);
        let mine = self
            .topics
            .api
            .channels()
            .filter(|channel| channel.is_from_everest() == from_everest && channel.runs(self.in_force));
        let known: Vec<String> = mine.map(|channel| format!("`{}`", channel.address())).collect();
        // EVerest may have grown; and a client may speak to more than one release.
        let is_mistaken = !from_everest && matches!(seen.place, Place::Below { side: Some(_), .. });
        let (severity, headline) = match is_mistaken {
            true => (Severity::Fail, format!("module sent on {topic}, which no EVerest that khumbu knows has")),
            false => {
                let release = self.in_force.release();
                (Severity::Warning, format!("module sent on {topic}, which EVerest {release} does not have"))
            }
        };
        seen.finding(severity, "monitor/unknown-topic", headline)
            .with_evidence(format!("`…` is `{}`; below it there are {}", self.topics.base(), known.join(", ")))
            .breaking("SC-2")
    }
}

fn violated(seen: &Worded<'_>, message: Message, violations: &[Violation]) -> Diagnostic {
    let headline = match violations.first() {
        Some(first) => format!("module sent an invalid {}: {}", message.name(), seen.wording.elide(&sentence(first))),
        None => format!("module sent an invalid {}", message.name()),
    };
    let mut finding = seen.fail("monitor/schema-violation", headline).breaking(requirement(message));
    for violation in violations.iter().take(LISTED).skip(1) {
        finding = finding.with_evidence(format!("also {}", seen.wording.elide(&sentence(violation))));
    }
    if violations.len() > LISTED {
        finding = finding.with_evidence(format!("and {} more", violations.len() - LISTED));
    }
    finding
}

fn sentence(violation: &Violation) -> String {
    let message = printable(&violation.message);
    if violation.pointer.is_empty() { message } else { format!("`{}`: {message}", violation.pointer) }
}

/// What a message of the wrong shape breaks.
fn requirement(message: Message) -> &'static str {
    match message {
        Message::On(Channel::HEARTBEAT) => "HB-1",
        Message::On(Channel::COMMUNICATION_CHECK) => "CC-8",
        Message::DISCOVER_REPLY => "DI-1",
        Message::READY_BEACON => "DI-5",
        Message::On(_) | Message::ReplyTo(_) => message.channel().api().behaviour().requirement(message),
    }
}

//! The record as a text that is the same in every run: what goldens hold.
//!
//! What the protocol leaves open must not show. So there are lanes: one for heartbeats, one for communication checks,
//! one a token for its statuses, one a request with its replies, one for any other topic. Within a lane the order is
//! that of the broker; between lanes there is none, and they stand in a fixed order. Left out are deliveries,
//! acknowledgements, connections, times, the number of heartbeats, and communication checks as long as they are plain
//! `true`: a short scenario may end before the first one, as before a subscription of a client that only listens. Random names get numbers in the order in which the text
//! shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::OnceLock;

use regex::Regex;
use serde_json::Value;

use super::injected::Injected;
use super::record::{Direction, Event, Publish, Record};
use crate::protocol::channel::{ApiType, Channel, Topics};

/// What is known of the names in a record.
#[derive(Debug, Clone)]
pub struct Names<'a> {
    /// The topics of the API module; its pathname becomes `…`.
    pub topics: &'a Topics,
    /// The topics of other API modules of the same EVerest.
    pub other_apis: &'a [Topics],
    /// Client ids, and what to call them.
    pub clients: &'a [(&'a str, &'a str)],
}

/// A lane; the order of the variants is the order in the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Heartbeat(Whose),
    CommunicationCheck(Whose),
    /// The channel, and value and type of the token.
    Told(Channel, String, String),
    /// The channel, and which of its requests.
    Request(Channel, usize),
    /// The topic, with random parts left out.
    Other(String),
}

/// Whose messages of a kind that every API has: `None` for the API module itself, the API of another one.
type Whose = Option<ApiType>;

impl Names<'_> {
    /// The channel of a topic, at whatever API module.
    fn channel(&self, topic: &str) -> Option<(Whose, Channel)> {
        let own = self.topics.channel(topic).map(|channel| (None, channel));
        own.or_else(|| self.other_apis.iter().find_map(|it| Some((Some(it.api), it.channel(topic)?))))
    }
}

/// A message of the API in its lane.
struct Message<'a> {
    publish: &'a Publish,
    /// `None` if it is no JSON.
    body: Option<Value>,
    channel: Option<Channel>,
}

/// The text of a record. Give it what was recorded up to the end of the last step: what a module does when it is
/// stopped belongs to no scenario.
pub fn transcript(records: &[Record], names: &Names<'_>) -> String {
    let lanes = into_lanes(records, names);
    let mut naming = Naming::new(names);
    // Topics of replies are numbered by the lane of their request, before anything else is written.
    for messages in lanes.values() {
        for message in messages {
            if let Some(topic) = message.channel.filter(|channel| channel.is_request()).and_then(|_| message.reply_to())
            {
                naming.reply(topic);
            }
        }
    }
    let mut text = String::new();
    for (lane, messages) in &lanes {
        let lines = match lane {
            Lane::Heartbeat(_) => heartbeats(messages, &mut naming),
            Lane::CommunicationCheck(_) => {
                let odd = messages.iter().filter(|message| !message.is_plain_true());
                odd.map(|message| message.line(&mut naming)).collect()
            }
            _ => messages.iter().map(|message| message.line(&mut naming)).collect::<Vec<_>>(),
        };
        if !lines.is_empty() {
            let _ = writeln!(text, "{}", lane.title(&mut naming));
            lines.iter().for_each(|line| {
                let _ = writeln!(text, "  {line}");
            });
        }
    }
    let faults = faults(records, &mut naming);
    if !faults.is_empty() {
        let _ = writeln!(text, "injected faults");
        faults.iter().for_each(|(fault, count)| {
            let _ = writeln!(text, "  {count} {fault}");
        });
    }
    let subscriptions = subscriptions(records, &mut naming);
    if !subscriptions.is_empty() {
        let _ = writeln!(text, "subscriptions");
        subscriptions.iter().for_each(|line| {
            let _ = writeln!(text, "  {line}");
        });
    }
    text
}

impl Lane {
    fn title(&self, naming: &mut Naming<'_>) -> String {
        match self {
            Lane::Heartbeat(None) => "heartbeat".to_owned(),
            Lane::Heartbeat(Some(api)) => format!("heartbeat of {}", api.name()),
            Lane::CommunicationCheck(None) => "communication_check".to_owned(),
            Lane::CommunicationCheck(Some(api)) => format!("communication_check of {}", api.name()),
            Lane::Told(channel, value, kind) if kind.is_empty() && value.is_empty() => channel.name().to_owned(),
            Lane::Told(_, value, kind) => format!("token {} {kind}", Value::String(naming.text(value))),
            Lane::Request(channel, number) => format!("{} {number}", channel.name()),
            Lane::Other(topic) => format!("topic {topic}"),
        }
    }
}

fn into_lanes<'a>(records: &'a [Record], names: &Names<'_>) -> BTreeMap<Lane, Vec<Message<'a>>> {
    let mut lanes: BTreeMap<Lane, Vec<Message<'a>>> = BTreeMap::new();
    let mut requests: BTreeMap<Channel, usize> = BTreeMap::new();
    let mut replies: BTreeMap<String, Lane> = BTreeMap::new();
    let namespace = format!("{}everest_api/", names.topics.external_prefix);
    for publish in sent(records).filter(|publish| !names.topics.is_probe(&publish.topic, &publish.payload)) {
        let topic = publish.topic.as_ref();
        let (whose, channel) = names.channel(topic).unzip();
        let message = Message { publish, body: parse(&publish.payload), channel };
        let lane = match channel {
            Some(Channel::HEARTBEAT) => Lane::Heartbeat(whose.flatten()),
            Some(Channel::COMMUNICATION_CHECK) => Lane::CommunicationCheck(whose.flatten()),
            Some(channel) if channel.has_lanes() => message.lane(channel),
            Some(channel) => {
                let number = requests.entry(channel).or_default();
                *number += 1;
                let lane = Lane::Request(channel, *number);
                if let Some(reply_to) = message.reply_to() {
                    // A topic used twice keeps its first lane; which request a reply belongs to cannot be told.
                    replies
                        .entry(format!("{}{reply_to}", names.topics.external_prefix))
                        .or_insert_with(|| lane.clone());
                    replies.entry(reply_to.to_owned()).or_insert_with(|| lane.clone());
                }
                lane
            }
            None => match replies.get(topic) {
                Some(lane) => lane.clone(),
                None if topic.starts_with(&namespace) => Lane::Other(anonymous(topic, names)),
                None => continue,
            },
        };
        lanes.entry(lane).or_default().push(message);
    }
    lanes
}

/// What clients sent, without repetitions of the transport.
fn sent(records: &[Record]) -> impl Iterator<Item = &Publish> {
    records.iter().filter_map(|record| match &record.event {
        Event::Publish { direction: Direction::FromClient, publish } if !publish.dup => Some(publish),
        _ => None,
    })
}

fn parse(payload: &[u8]) -> Option<Value> {
    serde_json::from_slice(payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload)).ok()
}

/// A topic without its random parts and its pathname.
fn anonymous(topic: &str, names: &Names<'_>) -> String {
    uuids().replace_all(&elided(topic, names), "[uuid]").into_owned()
}

fn elided(text: &str, names: &Names<'_>) -> String {
    let base = names.topics.base();
    // The topics of replies carry no external prefix.
    let bare = base.strip_prefix(names.topics.external_prefix.as_str()).unwrap_or(&base);
    text.replace(&base, "…").replace(bare, "…")
}

fn uuids() -> &'static Regex {
    static REGEX: OnceLock<Regex> = OnceLock::new();
    #[allow(clippy::expect_used)]
    REGEX.get_or_init(|| {
        Regex::new("(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").expect("a constant expression")
    })
}

fn times() -> &'static Regex {
    static REGEX: OnceLock<Regex> = OnceLock::new();
    #[allow(clippy::expect_used)]
    REGEX.get_or_init(|| {
        Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?").expect("a constant expression")
    })
}

impl Message<'_> {
    fn reply_to(&self) -> Option<&str> {
        self.body.as_ref()?.get("headers")?.get("replyTo")?.as_str().filter(|topic| !topic.is_empty())
    }

    fn lane(&self, channel: Channel) -> Lane {
        let token = self.body.as_ref().and_then(|body| body.pointer("/token/id_token"));
        let field =
            |name| token.and_then(|token| token.get(name)).and_then(Value::as_str).unwrap_or_default().to_owned();
        Lane::Told(channel, field("value"), field("type"))
    }

    fn is_plain_true(&self) -> bool {
        self.body == Some(Value::Bool(true)) && !self.publish.retain
    }

    fn line(&self, naming: &mut Naming<'_>) -> String {
        let payload = naming.payload(&self.publish.payload, self.body.as_ref());
        self.line_with(naming, &payload)
    }

    fn line_with(&self, naming: &mut Naming<'_>, payload: &str) -> String {
        let topic = self.publish.topic.as_ref();
        let (direction, name) = match self.channel {
            Some(channel) if channel.is_from_everest() => ("e2m", channel.name().to_owned()),
            Some(channel) => ("m2e", channel.name().to_owned()),
            None => match naming.known_reply(topic) {
                Some(name) if topic.contains("/m2e/reply/") => ("m2e", name),
                Some(name) => ("e2m", name),
                None if topic.contains("/m2e/") => ("m2e", naming.text(topic)),
                None if topic.contains("/e2m/") => ("e2m", naming.text(topic)),
                None => ("   ", naming.text(topic)),
            },
        };
        let retain = if self.publish.retain { "retain" } else { "      " };
        format!("{direction}  {name:<27}  q{} {retain} {payload}", self.publish.qos)
    }
}

/// One line for every run of numbers that go up by one, however long it is.
fn heartbeats(messages: &[Message<'_>], naming: &mut Naming<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut last: Option<(&Message<'_>, u64)> = None;
    for message in messages {
        let number = message.body.as_ref().and_then(Value::as_u64);
        let goes_on = last.is_some_and(|(before, value)| {
            number == Some(value.wrapping_add(1))
                && before.publish.qos == message.publish.qos
                && before.publish.retain == message.publish.retain
        });
        if !goes_on {
            let line = match number {
                Some(number) => message.line_with(naming, &format!("{number}, increasing by 1")),
                None => message.line(naming),
            };
            // What is no number, again and again, is one line: how often depends on the time.
            if number.is_some() || lines.last() != Some(&line) {
                lines.push(line);
            }
        }
        last = number.map(|number| (message, number));
    }
    lines
}

/// The messages that faults befell, and how many of a kind. Outages of connections are left out, for a module may have
/// one connection or two.
fn faults(records: &[Record], naming: &mut Naming<'_>) -> BTreeMap<String, usize> {
    let names = naming.names;
    let mut faults = BTreeMap::new();
    for record in records {
        let Event::Injected(Injected::Message { topic, effect, .. }) = &record.event else { continue };
        let name = match names.channel(topic) {
            // These come when their time comes.
            Some((_, Channel::HEARTBEAT | Channel::COMMUNICATION_CHECK)) => continue,
            Some((_, channel)) => channel.name().to_owned(),
            None => naming.known_reply(topic).unwrap_or_else(|| anonymous(topic, names)),
        };
        *faults.entry(format!("{name} {effect}")).or_default() += 1;
    }
    faults
}

/// What was subscribed to, in order of the text and once each. A subscription counts if its client said something
/// afterwards: then it belongs to the conversation, and a short scenario cannot end before it.
fn subscriptions(records: &[Record], naming: &mut Naming<'_>) -> BTreeSet<String> {
    let (names, topics) = (naming.names, naming.names.topics);
    let mut lines = BTreeSet::new();
    let mut speakers: BTreeSet<&str> = BTreeSet::new();
    for record in records.iter().rev() {
        match &record.event {
            Event::Publish { direction: Direction::FromClient, publish } => {
                let channel = names.channel(&publish.topic).map(|(_, channel)| channel);
                // These two come when their time comes, before or after the end.
                let is_background = matches!(channel, Some(Channel::HEARTBEAT | Channel::COMMUNICATION_CHECK));
                let is_ours = topics.is_aside(&publish.topic);
                if !is_background && !is_ours {
                    speakers.insert(&record.client);
                }
            }
            Event::Subscribed { filter, qos }
                if speakers.contains(record.client.as_ref())
                    && !topics.is_aside(filter)
                    && !topics.is_probe(filter, &[]) =>
            {
                let filter = naming.known_reply(filter).unwrap_or_else(|| anonymous(filter, naming.names));
                lines.insert(format!("q{qos} {filter}"));
            }
            _ => {}
        }
    }
    lines
}

/// Names for what differs from run to run: same value, same name.
struct Naming<'a> {
    names: &'a Names<'a>,
    replies: Vec<String>,
    uuids: Vec<String>,
    times: Vec<String>,
}

impl<'a> Naming<'a> {
    fn new(names: &'a Names<'a>) -> Self {
        Self { names, replies: Vec::new(), uuids: Vec::new(), times: Vec::new() }
    }

    fn reply(&mut self, topic: &str) -> String {
        format!("[reply:{}]", number(&mut self.replies, topic))
    }

    /// The name of a topic of replies, with or without the external prefix.
    fn known_reply(&self, topic: &str) -> Option<String> {
        let bare = topic.strip_prefix(self.names.topics.external_prefix.as_str()).unwrap_or(topic);
        let index = self.replies.iter().position(|reply| reply == topic || reply == bare)?;
        Some(format!("[reply:{}]", index + 1))
    }

    fn text(&mut self, text: &str) -> String {
        if let Some(reply) = self.known_reply(text) {
            return reply;
        }
        let mut text = elided(text, self.names);
        for (id, name) in self.names.clients {
            text = with_word(&text, id, &format!("[client:{name}]"));
        }
        let known = &mut self.uuids;
        let text =
            uuids().replace_all(&text, |found: &regex::Captures<'_>| format!("[uuid:{}]", number(known, &found[0])));
        let known = &mut self.times;
        times()
            .replace_all(&text, |found: &regex::Captures<'_>| format!("[time:{}]", number(known, &found[0])))
            .into_owned()
    }

    fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.value(item)).collect()),
            // Keys are sorted already: serde_json keeps them so.
            Value::Object(entries) => {
                Value::Object(entries.iter().map(|(key, value)| (key.clone(), self.value(value))).collect())
            }
            other => other.clone(),
        }
    }

    /// Compact JSON; what is none, as quoted text; what is no text, as hexadecimal bytes.
    fn payload(&mut self, bytes: &[u8], body: Option<&Value>) -> String {
        match (body, std::str::from_utf8(bytes)) {
            (Some(body), _) => self.value(body).to_string(),
            (None, _) if bytes.is_empty() => "empty".to_owned(),
            (None, Ok(text)) => format!("text {}", Value::String(self.text(text))),
            (None, Err(_)) => bytes.iter().fold("hex ".to_owned(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            }),
        }
    }
}

/// Replaces a word where it stands alone, so that a client id such as `api` leaves `everest_api` as it is.
fn with_word(text: &str, word: &str, name: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let mut replaced = String::with_capacity(text.len());
    let mut end = 0;
    for (at, _) in text.match_indices(word).filter(|_| !word.is_empty()) {
        let stands_alone = !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part) && at >= end;
        if stands_alone {
            replaced.push_str(&text[end..at]);
            replaced.push_str(name);
            end = at + word.len();
        }
    }
    replaced.push_str(&text[end..]);
    replaced
}

/// The number of a value, from 1; a new one for a new value.
fn number(known: &mut Vec<String>, value: &str) -> usize {
    match known.iter().position(|known| known == value) {
        Some(index) => index + 1,
        None => {
            known.push(value.to_owned());
            known.len()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_replaced_only_as_a_word() {
        for (text, replaced) in
            [("api", "X"), ("a/api/b api", "a/X/b X"), ("everest_api apis api-1", "everest_api apis api-1"), ("", "")]
        {
            assert_eq!(with_word(text, "api", "X"), replaced, "{text}");
        }
        assert_eq!(with_word("abc", "", "X"), "abc");
    }
}

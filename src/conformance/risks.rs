//! The risks of messages: which requirements a client can break by stumbling over what it is handed.
//!
//! A client that ends over a message does not say over what of it. What it could have stumbled over are its suspects, the
//! likeliest first; what it was shown in a scenario and lived on, it has survived. [`crate::suite::settle`] puts the two
//! together over all scenarios.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::occasions::{
    Fact, Facts, Fate, GET_REPLY, HEARTBEAT, QUESTION, STATUS, WITHDRAW, WITHDRAW_REPLY, has_texts_without_acceptance,
    is_gap_or_repeat, is_out_of_turn, is_twice, status,
};
use crate::protocol::schema::Message;
use crate::protocol::types::{AuthorizationType, IdTokenType, TokenValidationStatus};
use crate::protocol::wire::Form;

/// So long a client may take to end over a message; what it is handed meanwhile it may not read any more.
const LAST_MOMENT: Duration = Duration::from_millis(100);

/// The requirements that a client may have broken that ended over what it was handed, the likeliest first; what it was handed
/// before the message of this number ended nobody, nor do heartbeats in turn.
///
/// Whoever ends over a message does not acknowledge it, unless its library does that first; and what it has acknowledged
/// may be lost with it. So that is one of those without an acknowledgement, rather an early one, or of those just before.
/// What is special of a message goes before what every message of its kind asks, and what is judged before others.
pub fn suspects(about: Option<&'static str>, facts: Facts<'_>, since: usize) -> Vec<&'static str> {
    let mut risks = risks(facts);
    risks.retain(|risk| risk.index >= since);
    let first = risks.iter().position(|risk| facts.messages[risk.index].fate == Fate::Handed);
    let Some(first) = first.or(risks.len().checked_sub(1)) else { return Vec::new() };
    let (before, unacknowledged) = risks.split_at(first);
    let is_near = |risk: &&Risk| risks[first].at.saturating_sub(risk.at) <= LAST_MOMENT;
    let near = || unacknowledged.iter().skip(1).chain(before.iter().rev().take_while(is_near));
    let likeliest = risks[first].special.clone();
    let special = near().flat_map(|risk| &risk.special).copied();
    let usual = risks[first].usual.into_iter().chain(near().filter_map(|risk| risk.usual));
    // What is judged first, the others stay in their order.
    let sorted = |ids: Vec<&'static str>| {
        let (judged, others): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| about == Some(*id));
        judged.into_iter().chain(others)
    };
    let mut seen = BTreeSet::new();
    let all = sorted(likeliest).chain(sorted(special.collect())).chain(sorted(usual.collect()));
    all.filter(|id| seen.insert(*id)).collect()
}

/// The requirements that a client kept which lived on: it could have stumbled over each.
pub fn survived(facts: Facts<'_>) -> BTreeSet<&'static str> {
    let survived = risks(facts).into_iter().flat_map(|risk| risk.special.into_iter().chain(risk.usual));
    survived.chain(facts.came_back.then_some("CN-1")).collect()
}

/// What a client could have broken over one message.
struct Risk {
    index: usize,
    at: Duration,
    /// Over what is special of this message, the rarest first.
    special: Vec<&'static str>,
    /// Over what every message of its kind has.
    usual: Option<&'static str>,
}

/// The risks of all messages that a client was handed, in order; those without any are left out.
fn risks(facts: Facts<'_>) -> Vec<Risk> {
    let mut before = Before::default();
    let mut risks = Vec::new();
    for (index, fact) in facts.messages.iter().enumerate() {
        let (special, usual) = match fact.fate {
            Fate::Sent => {
                before.is_waiting_for_reply |= fact.message == WITHDRAW;
                continue;
            }
            Fate::Missed => continue,
            Fate::Broken => (vec!["CN-2"], None),
            Fate::Shown | Fate::Handed => (before.special(fact, facts.heartbeat_interval), usual(fact.message)),
        };
        if !special.is_empty() || usual.is_some() {
            risks.push(Risk { index, at: fact.at, special, usual });
        }
        before.add(fact);
    }
    risks
}

/// What a client was shown until now.
#[derive(Default)]
struct Before<'a> {
    /// The last message of each kind.
    last: BTreeMap<Message, &'a Fact<'a>>,
    /// The forms of each kind.
    forms: BTreeSet<(Message, Option<Form>)>,
    /// The payloads of statuses.
    statuses: BTreeSet<&'a [u8]>,
    /// Whether the last withdraw request of the client is not answered yet.
    is_waiting_for_reply: bool,
}

impl<'a> Before<'a> {
    fn add(&mut self, fact: &'a Fact<'a>) {
        self.is_waiting_for_reply &= fact.message != WITHDRAW_REPLY;
        if !matches!(fact.fate, Fate::Shown | Fate::Handed) {
            return;
        }
        self.last.insert(fact.message, fact);
        self.forms.insert((fact.message, Form::recognised(fact.payload)));
        if fact.message == STATUS {
            self.statuses.insert(fact.payload);
        }
    }

    /// What a client could have broken over what is special of a message that it was shown, the rarest first.
    fn special(&self, fact: &Fact<'_>, heartbeat_interval: Duration) -> Vec<&'static str> {
        let Some(json) = fact.json else { return vec!["CN-2"] };
        let last = self.last.get(&fact.message).copied();
        // What it has survived in this form is no matter of the form.
        let form = Form::recognised(fact.payload);
        let form = form.filter(|_| !self.forms.contains(&(fact.message, form)));
        let has_more = form == Some(Form::ExtraFields) || has_unknown_fields(fact.message, json);
        let is_other = form.is_some_and(|form| !matches!(form, Form::Everest | Form::ExtraFields));
        let result = json.as_str();
        let is_withdrawn = status(fact) == Some("Withdrawn");
        let special = match fact.message {
            HEARTBEAT => [
                ("HB-7", last.is_some_and(|last| is_gap_or_repeat(last, fact, heartbeat_interval))),
                ("HB-6", is_out_of_turn(last, fact)),
            ]
            .to_vec(),
            STATUS => [
                ("CN-2", !json.is_object()),
                ("TV-15", is_of_the_future(json)),
                ("WD-12", is_withdrawn && self.is_waiting_for_reply),
                ("NX-1", has_texts_without_acceptance(fact)),
                ("TV-14", json.get("messages").is_none()),
            ]
            .to_vec(),
            WITHDRAW_REPLY => [
                ("WD-13", result == Some("Rejected")),
                ("WD-19", matches!(result, Some("EvseNotFound" | "AuthorizationNotFound"))),
            ]
            .to_vec(),
            // No status, and one that it has seen, are what a client may not expect.
            GET_REPLY => [("LV-6", !json.is_object() || self.statuses.contains(fact.payload))].to_vec(),
            _ => Vec::new(),
        };
        let again = fact.message != HEARTBEAT && is_twice(last, fact);
        let all = [("CN-3", again)].into_iter().chain(special).chain([("RR-9", has_more), ("RR-15", is_other)]);
        all.filter(|(_, is_it)| *is_it).map(|(id, _)| id).collect()
    }
}

/// What every message of a kind asks of a client; nothing of a heartbeat.
fn usual(message: Message) -> Option<&'static str> {
    match message {
        STATUS => Some("TV-17"),
        QUESTION => Some("VA-3"),
        WITHDRAW_REPLY => Some("WD-17"),
        GET_REPLY => Some("LV-6"),
        Message::DISCOVER_REPLY => Some("DI-6"),
        _ => None,
    }
}

/// Whether a status, or a kind of token, is one that nobody can know.
fn is_of_the_future(status: &Value) -> bool {
    let is_a = |at: &str, is_known: fn(Value) -> bool| status.pointer(at).is_none_or(|value| is_known(value.clone()));
    status.is_object() && status.get("status").is_none()
        || !is_a("/status", |value| serde_json::from_value::<TokenValidationStatus>(value).is_ok())
        || !is_a("/token/id_token/type", |value| serde_json::from_value::<IdTokenType>(value).is_ok())
        || !is_a("/token/authorization_type", |value| serde_json::from_value::<AuthorizationType>(value).is_ok())
}

/// Whether a status or a question has fields that the specification does not list, in the objects that every one has.
fn has_unknown_fields(message: Message, json: &Value) -> bool {
    const ID_TOKEN: &[&str] = &["additional_info", "type", "value"];
    let known: &[(&str, &[&str])] = match message {
        STATUS => &[("", &["messages", "status", "token"]), ("/token/id_token", ID_TOKEN)],
        QUESTION => &[("", &["headers", "payload"]), ("/headers", &["replyTo"]), ("/payload/id_token", ID_TOKEN)],
        _ => &[],
    };
    known.iter().any(|(at, known)| {
        let object = json.pointer(at).and_then(Value::as_object);
        object.is_some_and(|object| object.keys().any(|key| !known.contains(&key.as_str())))
    })
}

//! The risks of messages: which requirements a client can break by stumbling over what it is handed.
//!
//! A client that ends over a message does not say over what of it. What it could have stumbled over are its suspects, the
//! likeliest first; what it was shown in a scenario and lived on, it has survived. [`crate::suite::settle`] puts the two
//! together over all scenarios.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::monitors::AT_ONCE;
use super::occasions::{
    Fact, Facts, Fate, GET_REPLY, HEARTBEAT, QUESTION, STATUS, TOKEN, WITHDRAW, WITHDRAW_REPLY,
    has_texts_without_acceptance, is_gap_or_repeat, is_of_another_shape, is_other_form, is_out_of_turn, is_twice,
    status,
};
use crate::protocol::schema::Message;
use crate::protocol::types::{AuthorizationType, IdTokenType, TokenValidationStatus};
use crate::protocol::wire::Form;

/// So long a client may take to end over a message; what it is handed meanwhile it may not read any more.
const LAST_MOMENT: Duration = Duration::from_millis(250);

/// Whoever lives on for so long after a message that it has acknowledged has not ended over that.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// The requirements that a client may have broken that ended over what it was handed, and was gone then, the likeliest first; what
/// it was handed before the message of this number ended nobody, nor do heartbeats in turn.
///
/// Whoever ends over a message does not acknowledge it, unless its library does that first; and what it has acknowledged
/// may be lost with it. So that is one of those without an acknowledgement, rather an early one, or of those just before.
/// What is special of a message goes before what every message of its kind asks, and what is judged before others.
pub fn suspects(
    about: Option<&'static str>,
    facts: Facts<'_>,
    since: usize,
    gone_at: Option<Duration>,
) -> Vec<&'static str> {
    let mut risks = risks(facts);
    risks.retain(|risk| risk.index >= since);
    let first = risks.iter().position(|risk| facts.messages[risk.index].fate == Fate::Handed);
    let is_close = |risk: &Risk| gone_at.is_none_or(|gone_at| gone_at.saturating_sub(risk.at) <= AFTERWARDS);
    let last = || risks.len().checked_sub(1).filter(|last| is_close(&risks[*last]));
    let Some(first) = first.or_else(last) else { return Vec::new() };
    let (before, unacknowledged) = risks.split_at(first);
    let is_near = |risk: &&Risk| risks[first].at.saturating_sub(risk.at) <= LAST_MOMENT;
    let near = || unacknowledged.iter().skip(1).chain(before.iter().rev().take_while(is_near));
    let likeliest = risks[first].special.clone();
    let (of_start, special): (Vec<_>, Vec<_>) =
        near().flat_map(|risk| &risk.special).copied().partition(|id| is_of_start(id));
    // Of these, one that came before says nothing but where there was something special to it.
    let near_usual = near().filter_map(|risk| risk.usual).filter(|id| !is_of_start(id));
    let usual: Vec<_> = risks[first].usual.into_iter().chain(near_usual).collect();
    // What every reply of the start has is less than what is special of one.
    let (usual_of_start, others): (Vec<_>, Vec<_>) = usual.into_iter().partition(|id| is_of_start(id));
    let usual = [others, of_start, usual_of_start].concat();
    // What is judged first, the others stay in their order.
    let sorted = |ids: Vec<&'static str>| {
        let (judged, others): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| about == Some(*id));
        judged.into_iter().chain(others)
    };
    let mut seen = BTreeSet::new();
    let all = sorted(likeliest).chain(sorted(special)).chain(sorted(usual));
    all.filter(|id| seen.insert(*id)).collect()
}

/// Whether it is about replies that a client gets which asks at its start: it is told the same in every scenario.
fn is_of_start(id: &str) -> bool {
    matches!(id, "LV-6" | "DI-6")
}

/// The requirements that a client kept which lived on: it could have stumbled over each.
pub fn survived(facts: Facts<'_>) -> BTreeSet<&'static str> {
    // What is hard about these is not in every message of their kind.
    let survived = risks(facts)
        .into_iter()
        .flat_map(|risk| risk.special.into_iter().chain(risk.usual.filter(|id| !is_of_start(id))));
    // Whoever takes `Withdrawn` before the reply may yet stumble over it behind the reply.
    let survived = survived.filter(|id| *id != "WD-12" || takes_both_orders(facts));
    let others = [facts.came_back.then_some("CN-1"), hands_in_once(facts).then_some("TP-4")];
    survived.chain(others.into_iter().flatten()).collect()
}

/// Whether a client has taken a `Withdrawn` both before the reply that goes with it and behind it.
fn takes_both_orders(facts: Facts<'_>) -> bool {
    let mut before = Before::default();
    let (mut first, mut last) = (false, false);
    for fact in facts.messages {
        if fact.fate == Fate::Sent {
            before.asked(fact);
            continue;
        }
        if fact.fate == Fate::Shown && status(fact) == Some("Withdrawn") {
            // Another request may be open while it comes behind the reply.
            first |= before.unanswered > 0 && !before.announced;
            last |= before.announced;
        }
        before.add(fact);
    }
    first && last
}

/// Whether a client has handed in a token that it did not hand in again at once.
fn hands_in_once(facts: Facts<'_>) -> bool {
    let value = |fact: &Fact<'_>| {
        let value = fact.json.and_then(|json| json.pointer("/id_token/value"));
        value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_ascii_lowercase))
    };
    let tokens: Vec<_> =
        facts.messages.iter().filter(|fact| fact.fate == Fate::Sent && fact.message == TOKEN).collect();
    let end = facts.messages.last().map_or(Duration::ZERO, |fact| fact.at);
    tokens.iter().enumerate().any(|(index, token)| {
        let is_same = |(other, fact): (usize, &&Fact<'_>)| {
            other != index && value(fact) == value(token) && fact.at.abs_diff(token.at) < AT_ONCE
        };
        end.saturating_sub(token.at) >= AT_ONCE && !tokens.iter().enumerate().any(is_same)
    })
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
                before.asked(fact);
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
    /// How many withdraw requests of the client are not answered yet.
    unanswered: usize,
    /// Whether a request was answered with `Accepted`, and no `Withdrawn` has come since it was made.
    announced: bool,
    /// Whether a `Withdrawn` has come since the last request.
    is_withdrawn: bool,
    /// How many replies have come to the last discovery.
    found: usize,
}

impl<'a> Before<'a> {
    /// The client sends something.
    fn asked(&mut self, fact: &Fact<'_>) {
        if fact.message == WITHDRAW {
            (self.unanswered, self.is_withdrawn) = (self.unanswered + 1, false);
        }
        if fact.message == Message::DISCOVER_REQUEST {
            self.found = 0;
        }
    }

    fn add(&mut self, fact: &'a Fact<'a>) {
        let is_accepted = fact.message == WITHDRAW_REPLY && fact.json.and_then(Value::as_str) == Some("Accepted");
        self.is_withdrawn |= status(fact) == Some("Withdrawn");
        self.announced = (self.announced || is_accepted) && !self.is_withdrawn;
        self.unanswered = self.unanswered.saturating_sub(usize::from(fact.message == WITHDRAW_REPLY));
        if !matches!(fact.fate, Fate::Shown | Fate::Handed) {
            return;
        }
        self.found += usize::from(fact.message == Message::DISCOVER_REPLY);
        self.last.insert(fact.message, fact);
        if fact.json.is_some() {
            self.forms.insert((fact.message, fact.form));
        }
    }

    /// What a client could have broken over what is special of a message that it was shown, the rarest first.
    fn special(&self, fact: &Fact<'_>, heartbeat_interval: Duration) -> Vec<&'static str> {
        let Some(json) = fact.json else { return vec!["CN-2"] };
        let last = self.last.get(&fact.message).copied();
        // What it has survived in this form is no matter of the form.
        let is_new = !self.forms.contains(&(fact.message, fact.form));
        let is_extra = fact.form == Some(Form::ExtraFields);
        let has_more = is_new && is_extra || has_unknown_fields(fact.message, json);
        let is_other = is_new && !is_extra && is_other_form(fact.message, fact.form);
        let result = json.as_str();
        let is_withdrawn = status(fact) == Some("Withdrawn");
        let special = match fact.message {
            HEARTBEAT => {
                let again = ("HB-7", last.is_some_and(|last| is_gap_or_repeat(last, fact, heartbeat_interval)));
                let out_of_turn = ("HB-6", is_out_of_turn(last, fact));
                // Where they have no numbers, each says what the last one said.
                if json.is_number() { vec![again, out_of_turn] } else { vec![out_of_turn, again] }
            }
            STATUS => [
                ("TV-15", is_of_the_future(json)),
                ("WD-12", is_withdrawn && (self.unanswered > 0 || self.announced)),
                ("NX-1", has_texts_without_acceptance(fact)),
                ("TV-14", json.is_object() && json.get("messages").is_none()),
            ]
            .to_vec(),
            WITHDRAW_REPLY => [
                ("WD-13", result == Some("Rejected")),
                ("WD-19", matches!(result, Some("EvseNotFound" | "AuthorizationNotFound"))),
            ]
            .to_vec(),
            GET_REPLY => [("LV-6", !json.is_object())].to_vec(),
            Message::DISCOVER_REPLY => [("DI-6", self.found > 0 || is_twice(last, fact))].to_vec(),
            _ => Vec::new(),
        };
        let again = fact.message != HEARTBEAT && is_twice(last, fact);
        let is_broken = is_of_another_shape(fact.message, json);
        let all = [("CN-2", is_broken), ("CN-3", again)]
            .into_iter()
            .chain(special)
            .chain([("RR-9", has_more), ("RR-15", is_other)]);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::occasions::CHECK;
    use crate::protocol::deviations::Deviations;
    use crate::transcript::injected::{Copies, Effect};

    /// What became of a message, what it is, and its text.
    type Passed<'t> = (Fate, Message, &'t str);

    /// Asks about messages that passed 150 ms apart.
    fn ask<T>(passed: &[Passed<'_>], came_back: bool, ask: impl Fn(Facts<'_>) -> T) -> T {
        let parsed: Vec<_> = passed.iter().map(|(.., text)| serde_json::from_str::<Value>(text).ok()).collect();
        let facts = passed.iter().zip(&parsed).enumerate().map(|(index, ((fate, message, text), json))| Fact {
            seq: index as u64,
            answers: None,
            fate: *fate,
            message: *message,
            at: Duration::from_millis(150 * index as u64),
            payload: text.as_bytes(),
            json: json.as_ref(),
            form: Form::recognised(text.as_bytes()),
            befell: None,
        });
        let (facts, heartbeat_interval) = (facts.collect::<Vec<_>>(), Duration::from_secs(1));
        let in_force = Deviations::default();
        ask(Facts { messages: &facts, came_back, cut_off_since: None, heartbeat_interval, in_force })
    }

    fn suspects(about: &'static str, passed: &[Passed<'_>]) -> Vec<&'static str> {
        ask(passed, false, |facts| super::suspects(Some(about), facts, 0, None))
    }

    /// A status in the form of EVerest.
    fn status(what: &str, more: &str) -> String {
        format!(
            "{{\n    \"messages\": [],\n    \"status\": \"{what}\",{more}\n    \"token\": {{\n        \"authorization_type\": \"RFID\"\n    }}\n}}"
        )
    }

    use Fate::{Handed, Sent, Shown};

    #[test]
    fn what_was_not_acknowledged_is_suspect_and_what_came_just_before() {
        let (known, odd) = (status("Processing", ""), status("Hovering", ""));
        let quiet = |fate| (fate, HEARTBEAT, "1");
        assert_eq!(suspects("CC-8", &[]), <[&str; 0]>::default());
        assert_eq!(suspects("CC-8", &[(Fate::Missed, STATUS, &known), quiet(Handed)]), <[&str; 0]>::default());
        // All acknowledged: the last one.
        assert_eq!(suspects("CC-8", &[(Shown, STATUS, &known)]), ["TV-17"]);
        let long_before =
            [(Shown, STATUS, &*odd), quiet(Shown), (Sent, CHECK, "true"), (Shown, WITHDRAW_REPLY, "\"Accepted\"")];
        assert_eq!(suspects("CC-8", &long_before), ["WD-17"]);
        let later =
            [(Handed, STATUS, &*known), (Sent, CHECK, "true"), (Handed, STATUS, &*odd), (Handed, STATUS, &*known)];
        assert_eq!(suspects("CC-8", &later), ["TV-15", "TV-17"]);
        let check = (Sent, CHECK, "true");
        let slow = [(Handed, STATUS, &*odd), check, check, check, (Handed, WITHDRAW_REPLY, "\"Accepted\"")];
        assert_eq!(suspects("CC-8", &slow), ["TV-15", "TV-17", "WD-17"]);
        let earlier = [(Shown, STATUS, &*odd), (Handed, WITHDRAW_REPLY, "\"Accepted\"")];
        assert_eq!(suspects("CC-8", &earlier), ["TV-15", "WD-17", "TV-17"]);
        assert_eq!(suspects("TV-17", &earlier), ["TV-15", "TV-17", "WD-17"], "what is judged goes first");
        let start = [(Handed, GET_REPLY, &*known), (Handed, STATUS, &known)];
        assert_eq!(suspects("CC-8", &start), ["TV-17", "LV-6"]);
        let told_none = [(Shown, GET_REPLY, "true"), (Handed, STATUS, &*known)];
        assert_eq!(suspects("CC-8", &told_none), ["TV-17", "LV-6"]);
        let since = |number| ask(&earlier, false, |facts| super::suspects(None, facts, number, None));
        assert_eq!((since(1), since(2)), (vec!["WD-17"], vec![]));
    }

    #[test]
    fn what_is_special_of_a_message_is_likelier_than_what_all_have() {
        let reply = |text| (Handed, WITHDRAW_REPLY, text);
        let withdraw = (Sent, WITHDRAW, "{}");
        let (discover, found) = ((Sent, Message::DISCOVER_REQUEST, "{}"), (Shown, Message::DISCOVER_REPLY, "{}"));
        let withdrawn = status("Withdrawn", "");
        let (shown, withdrawn) = ((Shown, STATUS, &*withdrawn), (Handed, STATUS, &*withdrawn));
        let (known, text) = (status("Rejected", ""), status("Rejected", "").replace("[]", "[{\"content\": \"x\"}]"));
        for (passed, expected) in [
            (vec![reply("\"Rejected\"")], "WD-13"),
            (vec![reply("\"EvseNotFound\"")], "WD-19"),
            (vec![reply("\"Accepted\"")], "WD-17"),
            (vec![reply("torn")], "CN-2"),
            (vec![(Fate::Broken, STATUS, &*known)], "CN-2"),
            (vec![withdraw, withdrawn], "WD-12"),
            (vec![withdraw, (Handed, STATUS, &known)], "TV-17"),
            (vec![withdrawn], "TV-17"),
            (vec![(Sent, CHECK, "true"), withdrawn], "TV-17"),
            (vec![withdraw, (Shown, WITHDRAW_REPLY, "\"Accepted\""), (Shown, HEARTBEAT, "1"), withdrawn], "WD-12"),
            (vec![withdraw, (Shown, WITHDRAW_REPLY, "\"EvseNotFound\""), (Shown, HEARTBEAT, "1"), withdrawn], "TV-17"),
            (
                vec![withdraw, shown, (Shown, WITHDRAW_REPLY, "\"Accepted\""), (Shown, HEARTBEAT, "1"), withdrawn],
                "CN-3",
            ),
            (
                vec![withdraw, withdraw, (Shown, WITHDRAW_REPLY, "\"Accepted\""), (Shown, HEARTBEAT, "1"), withdrawn],
                "WD-12",
            ),
            (vec![(Shown, HEARTBEAT, "{}"), (Handed, HEARTBEAT, "{}")], "HB-6"),
            (vec![(Shown, WITHDRAW_REPLY, "\"Accepted\""), (Handed, WITHDRAW_REPLY, "\"Accepted\"")], "WD-17"),
            (vec![(Handed, STATUS, &text)], "NX-1"),
            (vec![(Handed, STATUS, "[1]")], "CN-2"),
            (vec![(Handed, QUESTION, r#"{"headers":{"replyTo":[0]},"payload":{"id_token":{}}}"#)], "CN-2"),
            (vec![(Handed, STATUS, "{\n    \"token\": {}\n}")], "TV-15"),
            (vec![(Handed, GET_REPLY, "null")], "LV-6"),
            (vec![(Shown, STATUS, &known), (Shown, HEARTBEAT, "1"), (Handed, GET_REPLY, &known)], "LV-6"),
            (vec![(Handed, STATUS, &known), (Handed, STATUS, &known)], "CN-3"),
            // One that reads doubles has seen this number before.
            (vec![(Shown, HEARTBEAT, "9007199254740992"), (Handed, HEARTBEAT, "9007199254740993")], "HB-7"),
            (vec![(Shown, HEARTBEAT, "5"), (Handed, HEARTBEAT, "7")], "HB-6"),
            (vec![found, (Handed, STATUS, &known)], "TV-17"),
            (vec![discover, (Handed, Message::DISCOVER_REPLY, "{}"), (Handed, STATUS, &known)], "TV-17"),
            (vec![discover, found, (Handed, Message::DISCOVER_REPLY, "{}"), (Handed, GET_REPLY, &known)], "DI-6"),
            (vec![discover, found, discover, found, (Handed, GET_REPLY, &known)], "LV-6"),
        ] {
            assert_eq!(suspects("CC-8", &passed)[0], expected, "{passed:?}");
        }
        assert_eq!(suspects("CC-8", &[(Handed, STATUS, "[1]")]), ["CN-2", "RR-15", "TV-17"]);
        // It is no matter of the form that another message had, nor of one that it never got.
        let compact = r#"{"messages":[],"status":"Rejected","token":{}}"#;
        assert_eq!(suspects("CC-8", &[(Handed, STATUS, compact)])[0], "RR-15");
        assert_eq!(suspects("CC-8", &[(Handed, QUESTION, r#"{"headers":{},"payload":{"id_token":{}}}"#)]), ["VA-3"]);
        let copied = ask(&[(Handed, STATUS, &known)], false, |facts| {
            let copied = [Fact { befell: Some(Effect::Duplicate(Copies::default())), ..facts.messages[0] }];
            super::suspects(None, Facts { messages: &copied, ..facts }, 0, None)
        });
        assert_eq!(copied, ["CN-3", "TV-17"]);
        let again = [(Shown, STATUS, compact), (Sent, CHECK, "true"), (Sent, CHECK, "true"), (Handed, STATUS, compact)];
        assert_eq!(suspects("CC-8", &again), ["CN-3", "TV-17"]);
        let broken =
            [(Fate::Broken, STATUS, compact), (Sent, CHECK, "true"), (Sent, CHECK, "true"), (Handed, STATUS, compact)];
        assert_eq!(suspects("CC-8", &broken)[0], "RR-15");
        let more = Form::ExtraFields.encode(&serde_json::json!({"status": "Rejected"}));
        assert_eq!(suspects("CC-8", &[(Handed, GET_REPLY, &String::from_utf8_lossy(&more))]), ["RR-9", "LV-6"]);
    }

    #[test]
    fn whoever_takes_withdrawn_in_one_order_has_not_survived_the_other() {
        let withdrawn = status("Withdrawn", "");
        let (asks, reply, status) =
            ((Sent, WITHDRAW, "{}"), (Shown, WITHDRAW_REPLY, "\"Accepted\""), (Shown, STATUS, &*withdrawn));
        let survives = |passed: &[Passed<'_>]| ask(passed, false, survived).contains("WD-12");
        let (first, last) = ([asks, status, reply], [asks, reply, status]);
        assert!(!survives(&first) && !survives(&last) && !survives(&[asks, asks, reply, status, reply, status]));
        assert!(survives(&[first, last].concat()) && survives(&[last, first].concat()));
    }

    #[test]
    fn a_token_is_handed_in_once_where_none_follows_at_once() {
        let card = |value: &str| format!("{{\"id_token\": {{\"value\": \"{value}\"}}}}");
        let (one, other) = (card("04A2F3B1"), card("0BADCAFE"));
        // 60 ms apart each.
        let quiet = [(Sent, CHECK, "true"); 5];
        let hands_in_once = |passed: &[Passed<'_>]| ask(&[passed, &quiet].concat(), false, survived).contains("TP-4");
        assert!(hands_in_once(&[(Sent, TOKEN, &one)]) && hands_in_once(&[(Sent, TOKEN, &one), (Sent, TOKEN, &other)]));
        assert!(!hands_in_once(&[(Sent, TOKEN, &one), (Sent, TOKEN, &one)]) && !hands_in_once(&[]));
        assert!(
            !ask(&[(Sent, TOKEN, &*one), (Sent, CHECK, "true")], false, survived).contains("TP-4"),
            "it may follow"
        );
    }

    #[test]
    fn whoever_lived_on_has_survived_all_of_it() {
        let odd = status("Hovering", "");
        let kept = |came_back| ask(&[(Shown, STATUS, &odd)], came_back, survived);
        assert_eq!(kept(false), ["TV-15", "TV-17"].into());
        assert_eq!(kept(true), ["CN-1", "TV-15", "TV-17"].into());
        let found = (Shown, Message::DISCOVER_REPLY, r#"{"apis": []}"#);
        let other = (Shown, Message::DISCOVER_REPLY, r#"{"apis": [{"module_id": "other"}]}"#);
        let finds = |passed: &[Passed<'_>]| ask(passed, false, survived).contains("DI-6");
        assert!(!finds(&[found]) && finds(&[found, other]), "one reply to a discovery is nothing yet");
        let missed = ask(&[(Fate::Missed, STATUS, &odd)], false, survived);
        assert!(missed.is_empty(), "{missed:?}");
    }
}

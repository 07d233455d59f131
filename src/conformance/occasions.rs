//! The occasion of a requirement that binds clients: what must have happened for a client to be able to break it.
//!
//! A scenario that names a requirement and ends without its occasion has judged nothing. What a message of EVerest is
//! worth here depends on whether the client was shown it, not on whether it was sent.

use std::time::Duration;

use serde_json::Value;

use crate::protocol::channel::Channel;
use crate::protocol::deviations::{Deviation, Deviations};
use crate::protocol::schema::Message;
use crate::protocol::types::TokenValidationStatus;
use crate::protocol::wire::Form;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The client under test sent it.
    Sent,
    /// It was delivered to the client under test, which has acknowledged it if its QoS asks for that.
    Shown,
    /// It was published for the client under test, which did not get it.
    Missed,
}

/// A message that passed between EVerest and the client under test, in the order of the broker.
#[derive(Debug, Clone, Copy)]
pub struct Fact<'a> {
    /// What became of it.
    pub fate: Fate,
    /// What it is.
    pub message: Message,
    /// When it was published.
    pub at: Duration,
    /// Its payload.
    pub payload: &'a [u8],
    /// The same, where it is JSON.
    pub json: Option<&'a Value>,
}

/// Everything that bears on the occasions of requirements.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The messages.
    pub messages: &'a [Fact<'a>],
    /// Whether the client lost its connection and came back.
    pub came_back: bool,
    /// The time between heartbeats that EVerest keeps when it is left to itself.
    pub heartbeat_interval: Duration,
    /// What is right in the release.
    pub in_force: Deviations,
}

const HEARTBEAT: Message = Message::On(Channel::HEARTBEAT);
const STATUS: Message = Message::On(Channel::TOKEN_VALIDATION_STATUS);
const QUESTION: Message = Message::On(Channel::VALIDATE_TOKEN);
const CHECK: Message = Message::On(Channel::COMMUNICATION_CHECK);
const WITHDRAW: Message = Message::On(Channel::WITHDRAW_AUTHORIZATION);
const GET: Message = Message::On(Channel::GET_TOKEN_VALIDATION_STATUS);
const VALIDATE_REPLY: Message = Message::ReplyTo(Channel::VALIDATE_TOKEN);
const WITHDRAW_REPLY: Message = Message::ReplyTo(Channel::WITHDRAW_AUTHORIZATION);
const GET_REPLY: Message = Message::ReplyTo(Channel::GET_TOKEN_VALIDATION_STATUS);

/// A gap between heartbeats is so many intervals long.
const GAP: u32 = 2;

/// What was missing for the occasion of a requirement, to be read after "the module"; nothing if there was one, or if the
/// requirement has none of its own here.
pub fn lacking(requirement: &str, facts: Facts<'_>) -> Option<&'static str> {
    let (had_one, lack) = match requirement {
        "HB-6" => (facts.has_heartbeat_out_of_turn(), "was shown no heartbeat out of turn after another one"),
        "HB-7" => (facts.has_gap_or_repeat(), "was shown neither a gap between heartbeats nor one twice"),
        "CC-8" => (facts.sent(CHECK, "true"), "sent no communication check `true`"),
        "CC-9" => (facts.sent(CHECK, "false"), "sent no communication check `false`"),
        "CN-1" => (facts.came_back, "did not lose its connection and come back"),
        "RR-9" => (facts.shown(|fact| fact.message != HEARTBEAT), "was shown no message with fields"),
        "RR-13" | "RR-14" => (facts.has_request(), "made no request that asks for a reply"),
        "RR-15" => (facts.has_other_form(), "was shown no message in another form than EVerest's"),
        "RR-17" | "SC-1" | "SC-2" | "DI-6" | "DI-8" => (facts.has_any(Fate::Sent, |_| true), "sent nothing"),
        "WD-12" => (facts.has_withdrawn(), "was not shown both a `Withdrawn` and the reply"),
        "WD-13" => (facts.replied("Rejected"), "was shown no reply `Rejected`"),
        "WD-18" => (facts.has_any(Fate::Sent, |fact| fact.message == WITHDRAW), "made no withdraw request"),
        "WD-19" => (
            facts.replied("EvseNotFound") || facts.replied("AuthorizationNotFound"),
            "was shown no reply `EvseNotFound` or `AuthorizationNotFound`",
        ),
        "WD-17" => (facts.replied("Accepted"), "was shown no reply `Accepted`"),
        "TV-15" => (facts.has_future_status(), "was shown no status that it cannot know"),
        "NX-1" => (facts.has_text_without_acceptance(), "was shown no `messages` with another status than `Accepted`"),
        "NX-2" => (facts.has_bank_card(), "handed in no bank card"),
        "LV-3" => (facts.has_any(Fate::Sent, |fact| fact.message == GET), "did not ask for the latched status"),
        _ if requirement.starts_with("LV-") => (facts.has_latched_status(), "was shown no status a second time"),
        _ if requirement.starts_with("TV-") => (facts.shown(|fact| fact.message == STATUS), "was shown no status"),
        _ if requirement.starts_with("WD-") => {
            (facts.shown(|fact| fact.message == WITHDRAW_REPLY), "was shown no reply to a withdraw request")
        }
        _ if requirement.starts_with("TP-") => (
            facts.has_any(Fate::Sent, |fact| fact.message == Message::On(Channel::PROVIDED_TOKEN)),
            "handed in no token",
        ),
        "VA-8" => (
            facts.has_any(Fate::Sent, |fact| fact.message == Message::On(Channel::VALIDATE_RESULT_UPDATE)),
            "sent no update of a validation result",
        ),
        "VA-3" | "VA-4" | "VA-5" | "VA-10" => (
            facts.shown(|fact| fact.message == QUESTION)
                && facts.has_any(Fate::Sent, |fact| fact.message == VALIDATE_REPLY),
            "was shown no question that it answered",
        ),
        _ => return None,
    };
    (!had_one).then_some(lack)
}

impl<'a> Facts<'a> {
    fn all(self, fate: Fate, message: Message) -> impl Iterator<Item = &'a Fact<'a>> {
        self.messages.iter().filter(move |fact| fact.fate == fate && fact.message == message)
    }

    fn has_any(self, fate: Fate, is_it: impl Fn(&Fact<'_>) -> bool) -> bool {
        self.messages.iter().any(|fact| fact.fate == fate && is_it(fact))
    }

    fn shown(self, is_it: impl Fn(&Fact<'_>) -> bool) -> bool {
        self.has_any(Fate::Shown, is_it)
    }

    fn sent(self, message: Message, text: &str) -> bool {
        self.all(Fate::Sent, message).any(|fact| {
            fact.json.is_some_and(|json| serde_json::from_str::<Value>(text).is_ok_and(|value| *json == value))
        })
    }

    fn replied(self, result: &str) -> bool {
        self.all(Fate::Shown, WITHDRAW_REPLY).any(|fact| fact.json.and_then(Value::as_str) == Some(result))
    }

    /// Heartbeats without a number are always out of turn: nobody can count them.
    fn has_heartbeat_out_of_turn(self) -> bool {
        let numbers: Vec<_> = self.all(Fate::Shown, HEARTBEAT).map(|fact| fact.json.and_then(Value::as_u64)).collect();
        numbers.contains(&None)
            || numbers.windows(2).any(|pair| match (pair[0], pair[1]) {
                // The step to 0 from the largest number is one that a client may not expect.
                (Some(before), Some(next)) => before.checked_add(1) != Some(next),
                _ => true,
            })
    }

    fn has_gap_or_repeat(self) -> bool {
        let shown: Vec<_> = self.all(Fate::Shown, HEARTBEAT).collect();
        let mut gaps = shown.windows(2).map(|pair| pair[1].at.saturating_sub(pair[0].at));
        gaps.any(|gap| gap >= self.heartbeat_interval * GAP)
            || shown.windows(2).any(|pair| pair[0].json == pair[1].json)
    }

    fn has_request(self) -> bool {
        self.has_any(Fate::Sent, |fact| {
            let is_request = matches!(fact.message, WITHDRAW | GET | Message::DISCOVER_REQUEST);
            is_request && fact.json.is_some_and(|json| json.pointer("/headers/replyTo").is_some())
        })
    }

    fn has_other_form(self) -> bool {
        self.shown(|fact| Form::recognised(fact.payload) != Some(Form::Everest))
    }

    /// Where EVerest says nothing of a withdrawn token, the reply has nothing to be out of order with.
    fn has_withdrawn(self) -> bool {
        let is_withdrawn = |fact: &Fact<'_>| status(fact) == Some("Withdrawn");
        let mut missed = self.all(Fate::Missed, STATUS);
        self.shown(|fact| fact.message == WITHDRAW_REPLY)
            && (self.all(Fate::Shown, STATUS).any(is_withdrawn) || !missed.any(is_withdrawn))
    }

    fn has_future_status(self) -> bool {
        self.all(Fate::Shown, STATUS).any(|fact| {
            let is_known = fact
                .json
                .and_then(|json| json.get("status"))
                .is_some_and(|status| serde_json::from_value::<TokenValidationStatus>(status.clone()).is_ok());
            let fields = fact.json.and_then(Value::as_object).into_iter().flat_map(|status| status.keys());
            let has_more = fields.into_iter().any(|key| !["messages", "status", "token"].contains(&key.as_str()));
            !is_known || has_more || Form::recognised(fact.payload) == Some(Form::ExtraFields)
        })
    }

    fn has_text_without_acceptance(self) -> bool {
        self.all(Fate::Shown, STATUS).any(|fact| {
            let texts = fact.json.and_then(|json| json.get("messages")?.as_array());
            texts.is_some_and(|texts| !texts.is_empty()) && status(fact) != Some("Accepted")
        })
    }

    fn has_bank_card(self) -> bool {
        self.all(Fate::Sent, Message::On(Channel::PROVIDED_TOKEN)).any(|fact| {
            fact.json.and_then(|json| json.get("authorization_type")).is_some_and(|kind| kind == "BankCard")
        })
    }

    fn has_latched_status(self) -> bool {
        let shown: Vec<_> = self.all(Fate::Shown, STATUS).map(|fact| fact.payload).collect();
        self.in_force.is_on(Deviation::NoLatchedGet)
            || self.shown(|fact| fact.message == GET_REPLY)
            || shown.iter().enumerate().any(|(index, payload)| shown[..index].contains(payload))
    }
}

fn status<'a>(fact: &Fact<'a>) -> Option<&'a str> {
    fact.json?.get("status")?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is missing for a requirement, given messages of the client and what it was shown.
    fn lack(requirement: &str, messages: &[(Fate, Message, Value)]) -> bool {
        let bytes: Vec<_> = messages.iter().map(|(.., json)| json.to_string().into_bytes()).collect();
        let facts: Vec<_> = messages
            .iter()
            .zip(&bytes)
            .enumerate()
            .map(|(index, ((fate, message, json), payload))| Fact {
                fate: *fate,
                message: *message,
                at: Duration::from_millis(index as u64 * 50),
                payload,
                json: Some(json),
            })
            .collect();
        let heartbeat_interval = Duration::from_millis(50);
        let facts = Facts { messages: &facts, came_back: false, heartbeat_interval, in_force: Deviations::default() };
        lacking(requirement, facts).is_some()
    }

    #[test]
    fn heartbeats_must_be_shown_and_out_of_turn() {
        let shown = |numbers: &[u64]| -> Vec<_> {
            numbers.iter().map(|number| (Fate::Shown, HEARTBEAT, json!(number))).collect()
        };
        for (numbers, has) in [(&[][..], false), (&[0], false), (&[7, 8, 9], false), (&[7, 0], true), (&[3, 3], true)] {
            assert_eq!(!lack("HB-6", &shown(numbers)), has, "{numbers:?}");
        }
        assert!(!lack("HB-6", &shown(&[u64::MAX, 0])));
        assert!(!lack("HB-6", &[(Fate::Shown, HEARTBEAT, json!({}))]));
        // It was not there when they were in turn.
        assert!(lack("HB-6", &[(Fate::Missed, HEARTBEAT, json!(8)), (Fate::Shown, HEARTBEAT, json!(0))]));
        assert!(lack("HB-7", &shown(&[1, 2, 3])));
        assert!(!lack("HB-7", &shown(&[1, 2, 2])));
        let check = (Fate::Sent, CHECK, json!(true));
        assert!(!lack("HB-7", &[shown(&[1]), vec![check], shown(&[2])].concat()));
    }

    #[test]
    fn a_message_that_the_client_missed_is_no_occasion() {
        let status = json!({"status": "Withdrawn"});
        let reply = (Fate::Shown, WITHDRAW_REPLY, json!("Accepted"));
        assert!(lack("TV-4", &[(Fate::Missed, STATUS, status.clone())]));
        assert!(!lack("TV-4", &[(Fate::Shown, STATUS, status.clone())]));
        assert!(lack("TV-15", &[(Fate::Shown, STATUS, status.clone())]));
        assert!(!lack("TV-15", &[(Fate::Shown, STATUS, json!({"status": "Reserved"}))]));
        // A field that no release has is of the future, too.
        let with_more = json!({"status": "Rejected", "validation_results": [], "messages": []});
        assert!(!lack("TV-15", &[(Fate::Shown, STATUS, with_more.clone())]));
        assert!(lack("NX-1", &[(Fate::Shown, STATUS, with_more)]));
        let text = |status: &str| json!({"status": status, "messages": [{"content": "x"}]});
        assert!(lack("NX-1", &[(Fate::Shown, STATUS, text("Accepted")), (Fate::Missed, STATUS, text("Rejected"))]));
        assert!(!lack("NX-1", &[(Fate::Shown, STATUS, text("Rejected"))]));
        let token =
            |kind: &str| (Fate::Sent, Message::On(Channel::PROVIDED_TOKEN), json!({"authorization_type": kind}));
        assert!(lack("NX-2", &[token("RFID")]) && !lack("NX-2", &[token("BankCard")]));
        assert!(lack("WD-12", &[reply.clone(), (Fate::Missed, STATUS, status.clone())]));
        assert!(!lack("WD-12", &[reply.clone(), (Fate::Shown, STATUS, status)]));
        assert!(!lack("WD-12", std::slice::from_ref(&reply)));
        assert!(lack("WD-13", std::slice::from_ref(&reply)));
        assert!(lack("WD-19", std::slice::from_ref(&reply)));
        assert!(!lack("WD-19", &[(Fate::Shown, WITHDRAW_REPLY, json!("EvseNotFound"))]));
        assert!(!lack("WD-17", &[reply]));
    }

    #[test]
    fn what_the_client_must_do_it_must_have_done() {
        let request = json!({"headers": {"replyTo": "a"}, "payload": {}});
        assert!(lack("RR-13", &[(Fate::Sent, WITHDRAW, json!({"payload": {}}))]));
        assert!(!lack("RR-13", &[(Fate::Sent, WITHDRAW, request.clone())]));
        assert!(lack("LV-3", &[(Fate::Sent, WITHDRAW, request.clone())]));
        assert!(!lack("LV-3", &[(Fate::Sent, GET, request)]));
        assert!(lack("WD-18", &[(Fate::Sent, GET, json!({}))]));
        assert!(!lack("WD-18", &[(Fate::Sent, WITHDRAW, json!({}))]));
        assert!(lack("CC-8", &[(Fate::Sent, CHECK, json!(false))]));
        assert!(!lack("CC-9", &[(Fate::Sent, CHECK, json!(false))]));
        assert!(lack("VA-3", &[(Fate::Sent, VALIDATE_REPLY, json!({}))]));
        assert!(lack("CN-1", &[]));
        // EVerest's own requirements have no occasion here.
        assert!(!lack("HB-1", &[]));
    }
}

//! The occasions of a requirement: what must have happened for a module to be able to break it.
//!
//! A scenario that names a requirement that binds clients and ends without its occasion has judged nothing. What a message
//! of EVerest is worth here depends on whether the client was shown it, not on whether it was sent. A requirement is met on
//! as many occasions as there were.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};

use super::monitors::AT_ONCE;
use crate::protocol::channel::Channel;
use crate::protocol::deviations::Deviations;
use crate::protocol::schema::Message;
use crate::protocol::side::Side;
use crate::protocol::types::TokenValidationStatus;
use crate::protocol::wire::Form;
use crate::transcript::injected::Effect;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The client under test sent it.
    Sent,
    /// It was delivered to the client under test, which has acknowledged it if its QoS asks for that.
    Shown,
    /// It was handed to the client under test, which has not acknowledged it.
    Handed,
    /// The client under test was handed it with another payload, by an injected fault.
    Broken,
    /// It was published for the client under test, which did not get it.
    Missed,
}

/// A message that passed between EVerest and the client under test, in the order of the broker.
#[derive(Debug, Clone, Copy)]
pub struct Fact<'a> {
    /// The number of its record.
    pub seq: u64,
    /// The number of the record of the request that it replies to.
    pub answers: Option<u64>,
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
    /// The form in which it is written, where it is not the client that sent it.
    pub form: Option<Form>,
    /// What became of it on its way to the client, by an injected fault.
    pub befell: Option<Effect>,
}

/// Everything that bears on the occasions of requirements.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The messages.
    pub messages: &'a [Fact<'a>],
    /// Whether the client lost its connection and came back.
    pub came_back: bool,
    /// The number of the first record since khumbu last took its connection away.
    pub cut_off_since: Option<u64>,
    /// The time between heartbeats that EVerest keeps when it is left to itself.
    pub heartbeat_interval: Duration,
    /// What is right in the release.
    pub in_force: Deviations,
}

pub(super) const HEARTBEAT: Message = Message::On(Channel::HEARTBEAT);
pub(super) const STATUS: Message = Message::On(Channel::TOKEN_VALIDATION_STATUS);
pub(super) const QUESTION: Message = Message::On(Channel::VALIDATE_TOKEN);
pub(super) const CHECK: Message = Message::On(Channel::COMMUNICATION_CHECK);
pub(super) const WITHDRAW: Message = Message::On(Channel::WITHDRAW_AUTHORIZATION);
const GET: Message = Message::On(Channel::GET_TOKEN_VALIDATION_STATUS);
pub(super) const TOKEN: Message = Message::On(Channel::PROVIDED_TOKEN);
const VALIDATE_REPLY: Message = Message::ReplyTo(Channel::VALIDATE_TOKEN);
pub(super) const WITHDRAW_REPLY: Message = Message::ReplyTo(Channel::WITHDRAW_AUTHORIZATION);
pub(super) const GET_REPLY: Message = Message::ReplyTo(Channel::GET_TOKEN_VALIDATION_STATUS);

/// A gap between heartbeats is so many intervals long.
const GAP: u32 = 2;

/// A reply that is not there by now is late.
const LATE_REPLY: Duration = Duration::from_millis(250);
/// Whoever does something so long after a request that nobody has answered goes on without the reply.
const GOES_ON: Duration = Duration::from_secs(1);

/// What was missing for the occasion of a requirement, to be read after "the module"; nothing if there was one, or if the
/// requirement has none of its own here.
pub fn lacking(requirement: &str, facts: Facts<'_>) -> Option<&'static str> {
    let (count, lack) = of_client(requirement, facts)?;
    (count == 0).then_some(lack)
}

/// On how many occasions a client could have broken a requirement, as far as messages show.
pub fn count(requirement: &str, facts: Facts<'_>) -> usize {
    match requirement {
        // One that was told its topics need not discover, and shows nothing of how it would.
        "DI-6" => facts.count(Fate::Sent, |fact| fact.message == Message::DISCOVER_REQUEST),
        "DI-8" => facts.findings(),
        // That a reply stays out shows nothing of whoever does nothing else.
        "RR-14" => facts.unanswered_and_gone_on(),
        "TP-4" => facts.presentations(),
        // A grant is withdrawn with both; for want of one, or in a transaction, there is the reply alone.
        "WD-12" => facts.replied("Accepted").min(facts.withdrawn_statuses()),
        _ => of_client(requirement, facts).map_or(0, |(count, _)| count),
    }
}

/// Requirements that monitors watch for in every scenario, whatever it names: those that bind clients.
const WATCHED_OF_CLIENTS: [&str; 25] = [
    "CC-8", "CC-9", "RR-13", "RR-17", "LV-4", "WD-18", "DI-6", "TP-1", "TP-3", "TP-4", "VA-3", "VA-4", "VA-5", "VA-8",
    "VA-10", "CN-1", "MQ-1", "MQ-2", "MQ-3", "MQ-4", "MQ-5", "MQ-6", "MQ-7", "SC-1", "SC-2",
];
/// And those that bind EVerest.
const WATCHED_OF_EVEREST: [&str; 29] = [
    "HB-1", "HB-2", "HB-3", "HB-4", "RR-1", "RR-16", "TV-1", "TV-2", "TV-4", "TV-6", "TV-7", "TV-9", "TV-10", "TV-14",
    "LV-2", "DI-1", "DI-2", "DI-5", "VA-1", "VA-2", "MQ-1", "MQ-2", "MQ-3", "MQ-4", "MQ-5", "MQ-6", "MQ-7", "SC-1",
    "SC-2",
];

/// The requirements that monitors watch for in every scenario.
pub fn watched(side: Side) -> &'static [&'static str] {
    match side {
        Side::Client => &WATCHED_OF_CLIENTS,
        Side::Everest => &WATCHED_OF_EVEREST,
    }
}

/// Whether monitors watch for a requirement.
pub fn is_watched(requirement: &str, side: Side) -> bool {
    watched(side).contains(&requirement)
}

/// On how many occasions monitors could have seen EVerest break a requirement: the messages that they judge by it.
pub fn of_everest(requirement: &str, facts: Facts<'_>) -> usize {
    /// HB-4 is judged of so many intervals.
    const INTERVALS: usize = 5;
    let sent = |message| facts.all(Fate::Sent, message).count();
    let statuses = |names: &[&str]| {
        facts.all(Fate::Sent, STATUS).filter(|fact| status(fact).is_some_and(|name| names.contains(&name))).count()
    };
    match requirement {
        "HB-1" => sent(HEARTBEAT),
        "HB-2" => sent(HEARTBEAT).saturating_sub(1),
        "HB-3" => sent(HEARTBEAT).min(1),
        "HB-4" => sent(HEARTBEAT).saturating_sub(1) / INTERVALS,
        "RR-1" => sent(WITHDRAW_REPLY),
        "TV-1" | "TV-4" | "TV-14" => sent(STATUS),
        "TV-2" => statuses(&["Processing"]),
        "TV-6" => statuses(&["UsedToStart"]),
        "TV-7" => statuses(&["UsedToStop", "UsedToReauthorize"]),
        "TV-9" | "TV-10" => statuses(&["TimedOut"]),
        "LV-2" => sent(GET_REPLY),
        "DI-1" | "DI-2" => sent(Message::DISCOVER_REPLY),
        "VA-1" | "VA-2" => sent(QUESTION),
        "RR-16" | "SC-1" | "SC-2" => facts.count(Fate::Sent, |_| true),
        _ if requirement.starts_with("MQ-") => facts.count(Fate::Sent, |_| true),
        _ => 0,
    }
}

/// How many occasions a client had, and what it is called if there was none.
fn of_client(requirement: &str, facts: Facts<'_>) -> Option<(usize, &'static str)> {
    let sent = |message| facts.all(Fate::Sent, message).count();
    Some(match requirement {
        "HB-6" => (facts.heartbeats_out_of_turn(), "was shown no heartbeat out of turn after another one"),
        "HB-7" => (facts.gaps_and_repeats(), "was shown neither a gap between heartbeats nor one twice"),
        "CC-8" => (facts.sent(CHECK, "true"), "sent no communication check `true`"),
        "CC-9" => (facts.sent(CHECK, "false"), "sent no communication check `false`"),
        "CN-1" => (usize::from(facts.came_back), "did not lose its connection and come back"),
        "CN-2" => (facts.broken(), "was shown nothing that is broken"),
        "CN-3" => (facts.twice(), "was shown no message twice"),
        "RR-9" => (facts.shown(|fact| fact.message != HEARTBEAT), "was shown no message with fields"),
        "RR-13" => (facts.requests().count(), "made no request that asks for a reply"),
        "RR-14" => (facts.unanswered(), "made no request of which the reply stayed out, or came late"),
        "RR-15" => (facts.in_other_form(), "was shown no message in another form than EVerest's"),
        "RR-17" | "SC-1" | "SC-2" | "DI-6" | "DI-8" => (facts.count(Fate::Sent, |_| true), "sent nothing"),
        _ if requirement.starts_with("MQ-") => (facts.count(Fate::Sent, |_| true), "sent nothing"),
        "WD-12" => (facts.withdrawn(), "was not shown both a `Withdrawn` and the reply `Accepted`"),
        "WD-13" => (facts.replied("Rejected"), "was shown no reply `Rejected`"),
        "WD-17" => (facts.replied("Accepted"), "was shown no reply `Accepted`"),
        "WD-18" => (sent(WITHDRAW), "made no withdraw request"),
        "WD-19" => (
            facts.replied("EvseNotFound") + facts.replied("AuthorizationNotFound"),
            "was shown no reply `EvseNotFound` or `AuthorizationNotFound`",
        ),
        "TV-15" => (facts.future_statuses(), "was shown no status that it cannot know"),
        "NX-1" => (facts.texts_without_acceptance(), "was shown no `messages` with another status than `Accepted`"),
        "NX-2" => (facts.bank_cards(), "handed in no bank card"),
        "LV-3" | "LV-4" => (sent(GET), "did not ask for the latched status"),
        _ if requirement.starts_with("LV-") => (facts.latched_statuses(), "was shown no status a second time"),
        _ if requirement.starts_with("TV-") => (facts.shown(|fact| fact.message == STATUS), "was shown no status"),
        _ if requirement.starts_with("WD-") => {
            (facts.shown(|fact| fact.message == WITHDRAW_REPLY), "was shown no reply to a withdraw request")
        }
        _ if requirement.starts_with("TP-") => (sent(TOKEN), "handed in no token"),
        "VA-8" => (sent(Message::On(Channel::VALIDATE_RESULT_UPDATE)), "sent no update of a validation result"),
        "VA-3" | "VA-4" | "VA-5" | "VA-10" => (
            facts.shown(|fact| fact.message == QUESTION).min(sent(VALIDATE_REPLY)),
            "was shown no question that it answered",
        ),
        _ => return None,
    })
}

impl Fact<'_> {
    /// The same, where what the client was handed counts as shown to it.
    #[must_use]
    pub fn if_taken(mut self) -> Self {
        if self.fate == Fate::Handed {
            self.fate = Fate::Shown;
        }
        self
    }
}

impl<'a> Facts<'a> {
    fn all(self, fate: Fate, message: Message) -> impl Iterator<Item = &'a Fact<'a>> {
        self.messages.iter().filter(move |fact| fact.fate == fate && fact.message == message)
    }

    fn count(self, fate: Fate, is_it: impl Fn(&Fact<'_>) -> bool) -> usize {
        self.messages.iter().filter(|fact| fact.fate == fate && is_it(fact)).count()
    }

    fn shown(self, is_it: impl Fn(&Fact<'_>) -> bool) -> usize {
        self.count(Fate::Shown, is_it)
    }

    fn sent(self, message: Message, text: &str) -> usize {
        let said = |fact: &&Fact<'_>| {
            fact.json.is_some_and(|json| serde_json::from_str::<Value>(text).is_ok_and(|value| *json == value))
        };
        self.all(Fate::Sent, message).filter(said).count()
    }

    fn replied(self, result: &str) -> usize {
        let said = |fact: &&Fact<'_>| fact.json.and_then(Value::as_str) == Some(result);
        self.all(Fate::Shown, WITHDRAW_REPLY).filter(said).count()
    }

    fn heartbeats_out_of_turn(self) -> usize {
        self.successions(HEARTBEAT, is_out_of_turn)
    }

    fn gaps_and_repeats(self) -> usize {
        self.successions(HEARTBEAT, |last, fact| {
            last.is_some_and(|last| is_gap_or_repeat(last, fact, self.heartbeat_interval))
        })
    }

    /// How many messages of a kind the client was shown that are such, each beside the one before it.
    fn successions(self, message: Message, is_such: impl Fn(Option<&Fact<'_>>, &Fact<'_>) -> bool) -> usize {
        let mut last = None;
        self.all(Fate::Shown, message).filter(|fact| is_such(last.replace(*fact), fact)).count()
    }

    /// What is no JSON, be it so published or broken on its way, and what stands where statuses do and is no object.
    fn broken(self) -> usize {
        self.count(Fate::Broken, |_| true)
            + self.shown(|fact| fact.json.is_none_or(|json| is_of_another_shape(fact.message, json)))
    }

    fn twice(self) -> usize {
        let kinds: BTreeSet<_> = self.messages.iter().map(|fact| fact.message).collect();
        kinds.into_iter().map(|message| self.successions(message, is_twice)).sum()
    }

    fn requests(self) -> impl Iterator<Item = &'a Fact<'a>> {
        self.messages.iter().filter(|fact| {
            let is_request = matches!(fact.message, WITHDRAW | GET | Message::DISCOVER_REQUEST);
            let asks = || fact.json.is_some_and(|json| json.pointer("/headers/replyTo").is_some());
            fact.fate == Fate::Sent && is_request && asks()
        })
    }

    /// When the client was shown the first reply to a request.
    fn answered_at(self, request: &Fact<'_>) -> Option<Duration> {
        let is_reply = |fact: &&Fact<'_>| fact.fate == Fate::Shown && fact.answers == Some(request.seq);
        let at = |fact: &Fact<'_>| match fact.befell {
            Some(Effect::Delay(by)) => fact.at + by,
            _ => fact.at,
        };
        self.messages.iter().filter(is_reply).map(at).min()
    }

    /// Requests of which the client was shown the reply late, or never.
    fn unanswered(self) -> usize {
        let is_late = |request: &&Fact<'_>| self.answered_at(request).is_none_or(|at| at > request.at + LATE_REPLY);
        self.requests().filter(is_late).count()
    }

    /// Requests of which no reply had come when the client did something else, a while later and over the same connection.
    fn unanswered_and_gone_on(self) -> usize {
        let goes_on = |request: &&Fact<'_>| {
            let answered_at = self.answered_at(request).unwrap_or(Duration::MAX);
            let is_linked = |fact: &Fact<'_>| match self.cut_off_since {
                Some(cut_off) => request.seq >= cut_off || fact.seq < cut_off,
                None => !self.came_back,
            };
            let is_while_open = |fact: &Fact<'_>| (request.at + GOES_ON..answered_at).contains(&fact.at);
            self.messages.iter().any(|fact| fact.fate == Fate::Sent && is_while_open(fact) && is_linked(fact))
        };
        self.requests().filter(goes_on).count()
    }

    fn in_other_form(self) -> usize {
        self.shown(|fact| is_other_form(fact.message, fact.form))
    }

    /// Where EVerest says nothing of a withdrawn token, the reply has nothing to be out of order with.
    fn withdrawn(self) -> usize {
        let mut missed = self.all(Fate::Missed, STATUS);
        let is_shown = self.withdrawn_statuses() > 0 || !missed.any(|fact| status(fact) == Some("Withdrawn"));
        if is_shown { self.replied("Accepted") } else { 0 }
    }

    fn withdrawn_statuses(self) -> usize {
        self.all(Fate::Shown, STATUS).filter(|fact| status(fact) == Some("Withdrawn")).count()
    }

    fn future_statuses(self) -> usize {
        let is_future = |fact: &&Fact<'_>| {
            let Some(status) = fact.json.and_then(Value::as_object) else { return false };
            let is_known = status
                .get("status")
                .is_some_and(|status| serde_json::from_value::<TokenValidationStatus>(status.clone()).is_ok());
            let has_more = status.keys().any(|key| !["messages", "status", "token"].contains(&key.as_str()));
            !is_known || has_more || fact.form == Some(Form::ExtraFields)
        };
        self.all(Fate::Shown, STATUS).filter(is_future).count()
    }

    fn texts_without_acceptance(self) -> usize {
        self.all(Fate::Shown, STATUS).filter(|fact| has_texts_without_acceptance(fact)).count()
    }

    /// Discoveries of which the client was shown a reply, if it has said something since.
    fn findings(self) -> usize {
        let is_reply = |fact: &Fact<'_>| fact.fate == Fate::Shown && fact.message == Message::DISCOVER_REPLY;
        let Some(reply) = self.messages.iter().position(is_reply) else { return 0 };
        let said = |fact: &Fact<'_>| fact.fate == Fate::Sent && fact.message != Message::DISCOVER_REQUEST;
        let has_used_it = self.messages[reply..].iter().any(said);
        let asked = self.messages[..reply].iter().filter(|fact| fact.message == Message::DISCOVER_REQUEST).count();
        if has_used_it { asked } else { 0 }
    }

    /// Whoever hands a token in several times at once does so within a moment, unless the scenario is over before.
    fn presentations(self) -> usize {
        let end = self.messages.last().map_or(Duration::ZERO, |fact| fact.at);
        self.all(Fate::Sent, TOKEN).filter(|token| end.saturating_sub(token.at) >= AT_ONCE).count()
    }

    fn bank_cards(self) -> usize {
        let is_card = |fact: &&Fact<'_>| {
            fact.json.and_then(|json| json.get("authorization_type")).is_some_and(|kind| kind == "BankCard")
        };
        self.all(Fate::Sent, TOKEN).filter(is_card).count()
    }

    fn latched_statuses(self) -> usize {
        let mut seen = BTreeSet::new();
        usize::from(!Channel::GET_TOKEN_VALIDATION_STATUS.runs(self.in_force))
            + self.shown(|fact| fact.message == GET_REPLY)
            + self.all(Fate::Shown, STATUS).filter(|fact| !seen.insert(fact.payload)).count()
    }
}

/// Whether a message has not even the objects that every one of its kind has, or no topic where one stands.
pub(super) fn is_of_another_shape(message: Message, json: &Value) -> bool {
    let lacks = |at| !json.pointer(at).is_some_and(Value::is_object);
    match message {
        // EVerest's have a number, or say nothing.
        HEARTBEAT => !json.is_u64() && !json.as_object().is_some_and(Map::is_empty),
        STATUS => lacks("") || json.get("token").is_some() && lacks("/token"),
        QUESTION => {
            let is_odd = json.pointer("/headers/replyTo").is_some_and(|topic| !topic.is_string());
            is_odd || ["/headers", "/payload", "/payload/id_token"].into_iter().any(lacks)
        }
        _ => false,
    }
}

/// Whether a message is written in another form than EVerest's, which writes questions compactly.
pub(super) fn is_other_form(message: Message, form: Option<Form>) -> bool {
    match form {
        Some(Form::Everest) => message == QUESTION,
        Some(Form::Compact) => message != QUESTION,
        _ => true,
    }
}

/// Whether a heartbeat is not the next one. One without a number is always out of turn: nobody can count them.
pub(super) fn is_out_of_turn(last: Option<&Fact<'_>>, fact: &Fact<'_>) -> bool {
    let number = |fact: &Fact<'_>| fact.json.and_then(Value::as_u64);
    match (last.and_then(number), number(fact)) {
        // The step to 0 from the largest number is one that a client may not expect.
        (Some(before), Some(next)) => before.checked_add(1) != Some(next),
        // A first one may be any number that a counter gets to in practice.
        (None, Some(next)) => next > u64::from(u32::MAX),
        (_, None) => true,
    }
}

/// Whether a heartbeat comes after a gap, or says what the last one said.
pub(super) fn is_gap_or_repeat(last: &Fact<'_>, fact: &Fact<'_>, interval: Duration) -> bool {
    // Many languages read numbers as doubles, and see the same again above 2^53.
    let read = |fact: &Fact<'_>| fact.json.and_then(Value::as_f64);
    let is_same = last.json == fact.json || read(last).is_some() && read(last) == read(fact);
    fact.at.saturating_sub(last.at) >= interval * GAP || is_same
}

/// Whether a message came again right after itself, be it so published or on its way. Replies that say the same may be to
/// several requests.
pub(super) fn is_twice(last: Option<&Fact<'_>>, fact: &Fact<'_>) -> bool {
    // Heartbeats without numbers all say the same.
    let is_counted = fact.message != HEARTBEAT || fact.json.is_none_or(Value::is_number);
    let is_told = matches!(fact.message, Message::On(_)) && is_counted;
    let is_same = |last: &Fact<'_>| last.payload == fact.payload && is_told;
    matches!(fact.befell, Some(Effect::Duplicate(_))) || last.is_some_and(is_same)
}

/// Whether a status has texts without being `Accepted`.
pub(super) fn has_texts_without_acceptance(fact: &Fact<'_>) -> bool {
    let texts = fact.json.and_then(|json| json.get("messages")?.as_array());
    texts.is_some_and(|texts| !texts.is_empty()) && status(fact) != Some("Accepted")
}

/// What a status says, if it is one.
pub(super) fn status<'a>(fact: &Fact<'a>) -> Option<&'a str> {
    fact.json?.get("status")?.as_str()
}

#[cfg(test)]
mod tests;

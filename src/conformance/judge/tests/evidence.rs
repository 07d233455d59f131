//! What a scenario proves: what is evidence, what is not, what is still to come, and which occasions were lacking.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Case, Claim, Claims, Past, Proof, View, is_unheard};
use super::court::Court;
use super::script::{ALICE, Message, Sort, beat, discover, on, request, status, stray, withdraw};
use crate::conformance::deliveries::Deliveries;
use crate::conformance::sighting::{Classifier, Party, Sighting};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::Channel;
use crate::protocol::deviations::{Deviation, Deviations};
use crate::transcript::injected::{Copies, Corruption, Effect, Injected};
use crate::transcript::record::{Direction, Event, Publish, Record};
use crate::verdict::Evidence;

/// What passed in a scenario, and what became of it.
pub struct Exhibits {
    pub court: Court,
    classifier: Classifier,
    messages: Vec<Sighting>,
    claims: Claims,
    past: Past,
    deliveries: Deliveries,
    subscriptions: BTreeMap<Arc<str>, BTreeSet<String>>,
    came_back: bool,
    gone_at: Option<Duration>,
    in_force: Deviations,
}

impl Exhibits {
    pub fn of_client() -> Self {
        Self::of(Court::of_client("- note: x"))
    }

    pub fn of_everest() -> Self {
        Self::of(Court::of_everest("- note: x"))
    }

    pub fn of(court: Court) -> Self {
        Self {
            classifier: Classifier::new(court.topics.clone(), &court.other_apis),
            court,
            messages: Vec::new(),
            claims: Claims::default(),
            past: Past::default(),
            deliveries: Deliveries::default(),
            subscriptions: BTreeMap::from([(Arc::from("module"), BTreeSet::from(["#".to_owned()]))]),
            came_back: false,
            gone_at: None,
            in_force: Deviations::default(),
        }
    }

    /// The scenario names a requirement.
    fn about(mut self, requirement: &str) -> Self {
        self.court.scenario.model.requirements.push(requirement.to_owned());
        self
    }

    /// A message is published, 50 ms after the one before.
    pub fn passes(mut self, message: Message) -> Self {
        let number = self.messages.len() as u64;
        let client = if message.from == Party::Module { "module" } else { "khumbu" };
        let event = Event::Publish { direction: Direction::FromClient, publish: self.court.publish(&message) };
        let record =
            Record { seq: 10 + 3 * number, at: Duration::from_millis(125 * number), client: client.into(), event };
        let seen = self.classifier.sight(&record, message.from).unwrap();
        if message.from == Party::Harness {
            self.deliveries.sent(&seen);
        }
        self.messages.push(seen);
        self.claims.file(&self.messages);
        self
    }

    /// The same, and the module is handed it at a QoS that asks for an acknowledgement, which does not come.
    pub fn delivered(self, message: Message) -> Self {
        self.passes(message).handed_over(1)
    }

    /// The same, and the module has nothing to acknowledge.
    pub fn shown(self, message: Message) -> Self {
        self.passes(message).handed_over(0)
    }

    fn handed_over(self, qos: u8) -> Self {
        let publish = Publish { qos, ..self.messages.last().unwrap().publish.clone() };
        self.handed(publish)
    }

    /// The module is handed this in place of the last message.
    fn handed(mut self, publish: Publish) -> Self {
        let Sighting { seq, at, .. } = self.messages.last().unwrap();
        let event = Event::Publish { direction: Direction::ToClient, publish };
        let record = Record { seq: seq + 1, at: *at, client: "module".into(), event };
        self.deliveries.handed_over(&self.classifier.sight(&record, Party::Module).unwrap());
        self
    }

    /// Khumbu takes the module's connection away.
    pub fn cut_off(mut self) -> Self {
        self.past.cut_off_since = Some(10 + 3 * self.messages.len() as u64);
        self
    }

    /// The module loses its last connection so long after the last message.
    pub fn gone_after(mut self, after: Duration) -> Self {
        self.gone_at = self.messages.last().map(|seen| seen.at + after);
        self
    }

    /// A fault befell the last message.
    fn befell(mut self, effect: Effect) -> Self {
        let Sighting { seq, at, publish, client, .. } = self.messages.last().unwrap();
        let injected = Injected::Message { seq: *seq, rule: 0, topic: publish.topic.clone(), effect };
        let (seq, client, event) = (seq + 1, client.clone(), Event::Injected(injected));
        self.deliveries.losses.note(&Record { seq, at: *at, client, event });
        self
    }

    /// The last message has met a step.
    pub fn claimed(mut self) -> Self {
        let (index, seen) = (self.messages.len() - 1, self.messages.last().unwrap());
        self.claims.claim(index, seen, Claim { pointer: "/steps/0".into(), is_demand: false });
        self
    }

    /// Asks the judge.
    pub fn ask<T>(&self, question: impl FnOnce(&Proof<'_>) -> T) -> T {
        let case: Case<'_> = self.court.case();
        let Self { classifier, messages, claims, past, deliveries, subscriptions, .. } = self;
        question(&Proof {
            case: &case,
            view: View { messages, requests: classifier.requests(), subscriptions },
            claims,
            past,
            deliveries,
            came_back: self.came_back,
            gone_at: self.gone_at,
            heartbeat_interval: Duration::from_millis(125),
            in_force: self.in_force,
        })
    }

    fn evidence(&self) -> Evidence {
        self.ask(|proof| proof.evidence())
    }

    fn unproven(&self) -> Vec<Diagnostic> {
        self.ask(|proof| proof.unproven(&proof.evidence()))
    }

    /// The ids of what was not put to the test.
    fn ids(&self) -> Vec<&'static str> {
        self.unproven().iter().map(|found| found.id).collect()
    }

    fn yet_to_be_shown(&self) -> Vec<usize> {
        self.ask(|proof| proof.yet_to_be_shown())
    }
}

fn check() -> Message {
    on(Channel::COMMUNICATION_CHECK, json!(true)).by_module()
}

fn counts(of: &[(&'static str, usize)]) -> BTreeMap<&'static str, usize> {
    of.iter().copied().collect()
}

const NOTHING: [&str; 1] = ["scenario/demands-nothing"];
const NO_OCCASION: [&str; 1] = ["scenario/no-occasion"];
const NONE: [&str; 0] = [];

#[test]
fn what_was_acknowledged_is_shown_and_what_a_step_wanted_is_not_shown_without() {
    let exhibits = Exhibits::of_client()
        .shown(beat(1))
        .shown(beat(2))
        .delivered(beat(3))
        .passes(beat(4))
        .delivered(status(ALICE, "Accepted"))
        .claimed()
        .passes(status(ALICE, "Used"))
        .claimed();
    let Evidence { shown, not_shown, did, .. } = exhibits.evidence();
    assert_eq!(shown, counts(&[("heartbeat", 2)]));
    assert_eq!(not_shown, counts(&[("token_validation_status", 2)]));
    assert_eq!(did, counts(&[]));
}

#[test]
fn what_a_fault_kept_from_the_module_is_told_and_waited_for_no_longer() {
    let twice = Effect::Duplicate(Copies::Message);
    for (effect, word, is_lost) in [(Effect::Drop, "dropped", true), (twice, "duplicated", false)] {
        let exhibits = Exhibits::of_client().passes(status(ALICE, "Accepted")).claimed().befell(effect);
        let Evidence { shown, not_shown, injected, .. } = exhibits.evidence();
        let missed = if is_lost { counts(&[]) } else { counts(&[("token_validation_status", 1)]) };
        assert_eq!((shown, not_shown), (counts(&[]), missed));
        assert_eq!(injected, BTreeMap::from([(format!("token_validation_status {word}"), 1)]));
        assert_eq!(exhibits.yet_to_be_shown().is_empty(), is_lost);
    }
}

#[test]
fn what_a_client_sends_it_did_as_far_as_it_is_of_the_api() {
    let exhibits = Exhibits::of_client()
        .passes(withdraw("r/1"))
        .passes(check())
        .passes(discover("r/2"))
        .passes(stray("x/y", json!(1)).by_module())
        .claimed();
    let Evidence { shown, not_shown, did, .. } = exhibits.evidence();
    assert_eq!(did, counts(&[("communication_check", 1), ("discover", 1), ("withdraw_authorization", 1)]));
    assert_eq!((shown, not_shown), (counts(&[]), counts(&[])));
}

#[test]
fn a_client_is_shown_messages_of_its_api_and_replies_to_its_requests_alone() {
    let control = Message { kind: Sort::Control, ..beat(1) };
    let question = request(Channel::VALIDATE_TOKEN, "r/3", &json!({}));
    let exhibits = Exhibits::of_client()
        .passes(withdraw("r/1"))
        .passes(discover("r/2"))
        .shown(stray("r/1", json!("Accepted")))
        .shown(stray("r/2", json!({"apis": []})))
        // None of these is for it.
        .shown(control)
        .shown(stray("x/y", json!(1)))
        .shown(Message { from: Party::Harness, ..question })
        .shown(stray("r/3", json!({})))
        .shown(Message { from: Party::Harness, ..check() })
        .shown(Message { from: Party::Harness, ..discover("r/4") })
        .shown(stray("r/4", json!({})));
    assert_eq!(exhibits.evidence().shown, counts(&[("reply", 2)]));
    let provider = Exhibits::of(Court::of("client", "auth_token_provider", "- note: x"));
    assert_eq!(provider.shown(status(ALICE, "Accepted")).evidence(), Evidence::default(), "it has another API");
}

#[test]
fn an_everest_is_shown_what_clients_send_of_all_apis_and_discoveries() {
    let own = |message: Message| Message { from: Party::Harness, ..message };
    let token = on(Channel::PROVIDED_TOKEN, json!({}));
    let exhibits = Exhibits::of_everest()
        .shown(own(withdraw("r/1")))
        .shown(own(discover("r/2")))
        .shown(token)
        .shown(beat(1))
        .passes(request(Channel::VALIDATE_TOKEN, "r/3", &json!({})))
        .shown(stray("r/3", json!({})));
    let Evidence { shown, did, .. } = exhibits.evidence();
    let names = [("discover", 1), ("provided_token", 1), ("reply", 1), ("withdraw_authorization", 1)];
    assert_eq!(shown, counts(&names));
    assert_eq!(did, counts(&[("validate_token", 1)]));
}

#[test]
fn nothing_goes_wrong_where_nothing_but_routine_is_shown_or_done() {
    let of = Exhibits::of_client;
    assert_eq!(of().ids(), NOTHING);
    assert_eq!(of().shown(beat(1)).ids(), NOTHING);
    assert_eq!(of().shown(beat(1)).claimed().ids(), NONE);
    assert_eq!(of().passes(beat(1)).claimed().ids(), NOTHING, "it was not shown");
    assert_eq!(of().delivered(beat(1)).claimed().ids(), NOTHING, "it has not acknowledged it");
    assert_eq!(of().shown(status(ALICE, "Accepted")).ids(), NONE);
    assert_eq!(of().passes(status(ALICE, "Accepted")).ids(), NOTHING);
    assert_eq!(of().shown(stray("x/y", json!(1))).claimed().ids(), NOTHING, "it is not for it");
    assert_eq!(of().passes(check()).ids(), NOTHING);
    assert_eq!(of().passes(check()).claimed().ids(), NONE);
    assert_eq!(of().passes(withdraw("r/1")).ids(), NONE);
    assert_eq!(of().passes(stray("x/y", json!(1)).by_module()).ids(), NOTHING);
    assert_eq!(of().passes(stray("x/y", json!(1)).by_module()).claimed().ids(), NONE);
}

#[test]
fn a_step_that_judged_the_module_otherwise_is_enough() {
    let mut exhibits = Exhibits::of_client();
    exhibits.past.is_judged = true;
    assert_eq!(exhibits.ids(), NONE);
}

#[test]
fn who_was_shown_nothing_is_told_what_and_what_it_listens_to() {
    let mut exhibits = Exhibits::of_client().passes(status(ALICE, "Accepted")).claimed();
    let everests = format!("{}/e2m/#", exhibits.court.topics.base());
    exhibits.subscriptions.insert("more".into(), BTreeSet::from([everests]));
    let found = exhibits.unproven().remove(0);
    assert_eq!((found.severity, found.place.unwrap().line()), (Severity::Inconclusive, 12));
    assert!(found.headline.starts_with("nothing could have gone wrong for module `api`: "), "{}", found.headline);
    let subscribes = "it subscribes to: #, …/e2m/#";
    assert_eq!(found.evidence, ["not shown to it: 1 token_validation_status", subscribes]);
    exhibits.subscriptions.clear();
    let found = exhibits.unproven().remove(0);
    assert_eq!(found.evidence, ["not shown to it: 1 token_validation_status", "it subscribes to nothing"]);
}

#[test]
fn a_requirement_without_its_occasion_is_not_proven() {
    let of = |requirement| Exhibits::of_client().about(requirement).passes(withdraw("r/1"));
    let missed = of("TV-4").passes(status(ALICE, "Accepted")).claimed();
    let found = missed.unproven().remove(0);
    assert_eq!((found.severity, found.id), (Severity::Inconclusive, "scenario/no-occasion"));
    assert_eq!(found.headline, "TV-4 was not put to the test: module `api` was shown no status");
    assert_eq!(found.evidence[0], "not shown to it: 1 token_validation_status");
    assert_eq!(of("TV-4").shown(status(ALICE, "Accepted")).ids(), NONE);
    assert_eq!(of("TV-4").about("WD-13").ids(), [NO_OCCASION[0]; 2], "each is told");
    assert_eq!(of("HB-1").ids(), NONE, "what binds EVerest has no occasion here");
    let mut everest = Exhibits::of_everest().about("TV-4");
    everest.past.is_judged = true;
    assert_eq!(everest.ids(), NONE, "nor has an EVerest");
    let everest = Exhibits::of_everest().about("TV-4");
    assert_eq!(everest.ids(), NOTHING, "but for an EVerest, too, something must be able to go wrong");
}

#[test]
fn what_a_module_would_only_have_to_subscribe_to_is_named() {
    let of = |requirement| Exhibits::of_client().about(requirement).passes(withdraw("r/1"));
    let mut missed = of("HB-6").passes(beat(7)).passes(beat(0)).shown(status(ALICE, "Accepted"));
    let base = missed.court.topics.base();
    let mut hears = |filter: &str| {
        missed.subscriptions.clear();
        missed.subscriptions.insert("more".into(), BTreeSet::from([format!("{base}/{filter}")]));
        let found = missed.unproven().remove(0);
        (found.is_unexercised, is_unheard(&found, "HB-6"), found.help.unwrap())
    };
    let what = |instead: &str| {
        (true, true, format!("a module that subscribes to `…/e2m/heartbeat`; this one subscribes to {instead}"))
    };
    assert_eq!(hears("e2m/token_validation_status"), what("`…/e2m/token_validation_status`"));
    assert_eq!(hears("m2e/reply/1"), what("nothing that EVerest says"));
    // It listened, and was shown none, or it would have had no occasion either.
    let other = (false, false, "let the module subscribe to what the scenario shows it".to_owned());
    assert_eq!(hears("e2m/#"), other);
    let none = of("HB-6").passes(beat(1)).passes(beat(2)).unproven().remove(0);
    assert_eq!((none.is_unexercised, none.help.unwrap()), (false, other.2));
    let mut missed = of("TV-4").passes(status(ALICE, "Accepted"));
    missed.subscriptions.clear();
    let status = missed.unproven().remove(0);
    assert!(is_unheard(&status, "TV-4") && !is_unheard(&status, "TV-40") && !is_unheard(&status, "TV"));
}

#[test]
fn each_message_is_an_occasion_as_what_it_is() {
    let of = |requirement| Exhibits::of_client().about(requirement);
    assert_eq!(of("WD-13").passes(withdraw("r/1")).shown(stray("r/1", json!("Rejected"))).ids(), NONE);
    assert_eq!(of("WD-13").passes(withdraw("r/1")).passes(stray("r/1", json!("Rejected"))).ids(), NO_OCCASION);
    let withdrawn = status(ALICE, "Withdrawn");
    let accepted = of("WD-12").passes(withdraw("r/1")).shown(stray("r/1", json!("Accepted")));
    assert_eq!(accepted.passes(withdrawn).ids(), NO_OCCASION, "it was sent, and missed");
    assert_eq!(of("RR-13").passes(discover("r/1")).ids(), NONE);
    let found = of("RR-9").passes(discover("r/1")).shown(beat(1));
    assert_eq!(found.ids(), NO_OCCASION);
    assert_eq!(found.shown(stray("r/1", json!({"apis": []}))).ids(), NONE);
    let get = request(Channel::GET_TOKEN_VALIDATION_STATUS, "r/1", &json!({}));
    let latched = of("LV-1").passes(get);
    assert_eq!(latched.ids(), NO_OCCASION);
    assert_eq!(latched.shown(stray("r/1", Value::Null)).ids(), NONE);
}

#[test]
fn what_was_broken_on_its_way_is_put_before_the_client() {
    let arrives = |payload: &'static str| {
        let exhibits = Exhibits::of_client().about("CN-2").shown(status(ALICE, "Processing"));
        let exhibits = exhibits.passes(status(ALICE, "Accepted"));
        let whole = exhibits.messages[1].publish.clone();
        let payload = if payload.is_empty() { whole.payload.clone() } else { payload.into() };
        exhibits.befell(Effect::Corrupt(Corruption::Truncate)).handed(Publish { payload, ..whole }).ids()
    };
    assert_eq!(arrives("{\"status\""), NONE);
    assert_eq!(arrives(""), NO_OCCASION, "it was left as it is");
}

#[test]
fn what_is_delivered_exactly_once_is_never_redelivered() {
    let redelivered = |copies, qos| {
        let mut exhibits = Exhibits::of_client().about("CN-3").passes(status(ALICE, "Accepted")).handed_over(qos);
        let pkid = exhibits.messages[0].publish.pkid;
        let kind = if qos == 1 { "PUBACK" } else { "PUBREC" };
        let event = Event::Packet { direction: Direction::FromClient, kind, pkid };
        let acknowledgement = Record { seq: 99, at: Duration::ZERO, client: "module".into(), event };
        exhibits.deliveries.acknowledged(&acknowledgement);
        exhibits.befell(Effect::Duplicate(copies)).ids()
    };
    assert_eq!(redelivered(Copies::Redelivery, 1), NONE);
    assert_eq!(redelivered(Copies::Redelivery, 2), NO_OCCASION);
    assert_eq!(redelivered(Copies::Message, 2), NONE);
}

#[test]
fn statuses_of_another_api_module_are_no_occasion() {
    let provider =
        |requirement| Exhibits::of(Court::of("client", "auth_token_provider", "- note: x")).about(requirement);
    let token = on(Channel::PROVIDED_TOKEN, json!({})).by_module();
    assert_eq!(provider("TV-4").passes(token.clone()).shown(status(ALICE, "Accepted")).ids(), NO_OCCASION);
    assert_eq!(provider("TP-1").passes(token).ids(), NONE);
}

#[test]
fn what_is_known_besides_messages_is_an_occasion_too() {
    let of = |requirement| Exhibits::of_client().about(requirement).passes(withdraw("r/1"));
    assert_eq!(of("CN-1").ids(), NO_OCCASION);
    assert_eq!(Exhibits { came_back: true, ..of("CN-1") }.ids(), NONE);
    assert_eq!(of("HB-7").shown(beat(1)).shown(beat(2)).ids(), NO_OCCASION);
    let gap = of("HB-7").shown(beat(1)).passes(check()).shown(beat(2));
    assert_eq!(gap.ids(), NONE, "two intervals passed");
    assert_eq!(of("LV-1").ids(), NO_OCCASION);
    let in_force = Deviations::default().with(Deviation::NoLatchedGet, true);
    assert_eq!(Exhibits { in_force, ..of("LV-1") }.ids(), NONE);
}

#[test]
fn what_a_step_wanted_to_be_shown_is_told_where_nothing_worse_is() {
    let of = || Exhibits::of_client().passes(withdraw("r/1")).claimed();
    let found = of().passes(beat(1)).claimed().unproven();
    let [note] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((note.severity, note.id), (Severity::Note, "scenario/not-shown"));
    assert_eq!(note.evidence, ["not shown to it: 1 heartbeat", "it subscribes to: #"]);
    assert_eq!(of().passes(beat(1)).ids(), NONE, "no step wanted it");
    assert_eq!(of().about("TV-4").passes(beat(1)).claimed().ids(), NO_OCCASION);
    let everest = Exhibits::of_everest().passes(Message { from: Party::Harness, ..withdraw("r/1") }).claimed();
    let everest = everest.passes(status(ALICE, "Accepted").by_module());
    assert_eq!(everest.ids(), NONE);
}

#[test]
fn what_was_handed_over_is_waited_for_and_what_a_step_wants_if_it_can_arrive() {
    let of = Exhibits::of_client;
    assert!(of().shown(beat(1)).claimed().yet_to_be_shown().is_empty());
    assert!(of().passes(withdraw("r/1")).claimed().yet_to_be_shown().is_empty(), "it comes from the module");
    assert!(of().passes(beat(1)).yet_to_be_shown().is_empty(), "no step wants it");
    assert_eq!(of().passes(check()).passes(beat(1)).claimed().delivered(beat(2)).yet_to_be_shown(), [1, 2]);
    assert_eq!(of().delivered(stray("x/y", json!(1))).yet_to_be_shown(), [0]);
    assert!(of().passes(stray("x/y", json!(1))).claimed().yet_to_be_shown().is_empty(), "it is not for the module");
    let mut away = of().passes(beat(1)).claimed().passes(beat(2)).claimed();
    away.past.ready_since = away.messages[1].seq;
    assert_eq!(away.yet_to_be_shown(), [1], "the first came while it was away");
    away.subscriptions.clear();
    assert!(away.yet_to_be_shown().is_empty(), "nobody will hand it over");
}

#[test]
fn occasions_are_those_of_what_is_watched_and_of_what_the_scenario_names_and_has_played_out() {
    let of = |exhibits: Exhibits, is_complete| exhibits.ask(|proof| proof.occasions(is_complete));
    let client = || Exhibits::of_client().about("RR-9").passes(check()).shown(status(ALICE, "Accepted"));
    let played = of(client(), true);
    assert_eq!((played.get("CC-8"), played.get("RR-9"), played.get("TP-1")), (Some(&1), Some(&1), None));
    assert_eq!(of(client(), false).get("RR-9"), None, "it was not played out");
    // Of an EVerest, steps that were met count as well.
    let everest = |met: &[(Option<&'static str>, usize)]| {
        let beats = Exhibits::of_everest().passes(beat(1).by_module()).passes(beat(2).by_module());
        let mut exhibits = beats.about("HB-1").about("WD-3");
        exhibits.past.met = met.iter().copied().collect();
        exhibits
    };
    let counted = |met, is_complete| {
        let occasions = of(everest(met), is_complete);
        ["HB-1", "HB-2", "WD-3"].map(|id| occasions.get(id).copied())
    };
    assert_eq!(counted(&[], true), [Some(2), Some(1), None]);
    assert_eq!(counted(&[(None, 3)], true), [Some(5), Some(1), Some(3)], "no step says what it is about");
    let about = [(Some("HB-1"), 2), (Some("WD-3"), 4)];
    assert_eq!(counted(&about, true), [Some(4), Some(1), Some(4)]);
    assert_eq!(counted(&[(None, 3), (Some("WD-3"), 4)], true), [Some(2), Some(1), Some(4)]);
    assert_eq!(counted(&about, false), [Some(2), Some(1), None]);
}

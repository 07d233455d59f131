//! Strategies of proptest: sequences of inputs that a station has use for, and messages of an API.
//!
//! [`Ground::model`] says what inputs lead to.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::{NewTree, SBoxedStrategy, Union, ValueTree};
use proptest::test_runner::TestRunner;
use proptest_state_machine::strategy::Sequential;
use serde_json::{Value, json};

use super::case::Ground;
use super::input::{Input, LOSS, NOWHERE, Payload, UNKNOWN_FIELD};
use super::model::{DISCOVER, Kind, Led, Model};
use super::payload;
use crate::protocol::api::Pattern;
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::deviations::Deviation;
use crate::protocol::side::Side;
use crate::protocol::wire::Wire;

/// How often a field that no release has is put into a message, and a word that none has.
const OF_THE_FUTURE: f64 = 0.15;
/// The edges of a counter, in the formats that its readers may keep it in.
const HEARTBEATS: [u64; 8] =
    [0, 1, 255, 4_294_967_295, 4_294_967_296, 9_007_199_254_740_993, 9_223_372_036_854_775_808, u64::MAX];

/// How often a request says no topic for its reply, or none that can be used.
const UNANSWERABLE: f64 = 0.2;

/// Topics for a reply that EVerest cannot publish to.
const UNUSABLE: [&str; 4] = ["", "a/+", "a/#", "#"];

/// The forms in which single messages are written; in another one than these no placeholder can be read.
const FORMS: [Wire; 4] = [Wire::Compact, Wire::Reordered, Wire::ExtraFields, Wire::Spaced];

/// What runs while a case is played must not run out.
const MOST_WHERE_TIMES_RUN_OUT: usize = 10;

/// Sequences of inputs, each possible after those before it.
pub fn inputs(ground: &Ground, count: Range<usize>) -> impl Strategy<Value = Vec<Input>> + use<> {
    sequences(ground, count).prop_map(|(_, drawn)| drawn.into_iter().map(|drawn| drawn.input).collect())
}

/// The same, each input with what it has to lead to.
pub fn foreseen(ground: &Ground, count: Range<usize>) -> impl Strategy<Value = Vec<(Input, Led)>> + use<> {
    sequences(ground, count).prop_map(|(mut model, drawn)| {
        let mut foreseen = Vec::with_capacity(drawn.len());
        for drawn in drawn {
            // Each of a sequence is possible.
            let Some(outcome) = drawn.outcome_at(&model) else { break };
            foreseen.push((drawn.input, outcome.led.clone()));
            model = outcome.after.clone();
        }
        foreseen
    })
}

/// An input, and what it leads to at the station for which it was drawn; so that this is found out once.
#[derive(Debug, Clone)]
struct Drawn {
    input: Input,
    at: Arc<Model>,
    /// `None` if it is not possible there.
    outcome: Option<Arc<Outcome>>,
}

#[derive(Debug)]
struct Outcome {
    after: Arc<Model>,
    led: Led,
}

/// What is drawn whatever the station is like.
#[derive(Debug, Clone)]
enum Choice {
    /// One of these kinds, and one of what that offers.
    Offered(Arc<[Kind]>, Index, Index),
    /// This.
    Exactly(Box<Input>),
}

impl Drawn {
    fn new(at: &Arc<Model>, choice: Choice) -> Self {
        let outcome = |(after, led)| Arc::new(Outcome { after, led });
        let (input, outcome) = match choice {
            Choice::Exactly(input) => {
                let tried = at.tried(&input).map(outcome);
                (*input, tried)
            }
            Choice::Offered(kinds, kind, which) => match at.offer(&kinds, (&kind, &which)) {
                Some((input, after, led)) => (input, Some(outcome((after, led)))),
                // Nothing is offered, and something else drawn.
                None => (Input::AwaitTimeout, None),
            },
        };
        Self { input, at: at.clone(), outcome }
    }

    /// What it leads to at a station, which is another one where something before it was taken away.
    fn outcome_at(&self, model: &Arc<Model>) -> Option<Arc<Outcome>> {
        if Arc::ptr_eq(model, &self.at) {
            return self.outcome.clone();
        }
        model.tried(&self.input).map(|(after, led)| Arc::new(Outcome { after, led }))
    }
}

/// Where they begin, and sequences.
fn sequences(ground: &Ground, count: Range<usize>) -> impl Strategy<Value = (Arc<Model>, Vec<Drawn>)> + use<> {
    let model = Arc::new(ground.model());
    let offered = |kinds: Vec<Kind>| {
        let kinds: Arc<[Kind]> = kinds.into();
        let choice = any::<(Index, Index)>().prop_map({
            let kinds = kinds.clone();
            move |(kind, which)| Choice::Offered(kinds.clone(), kind, which)
        });
        (!kinds.is_empty()).then(|| choice.sboxed())
    };
    let exactly = |inputs: SBoxedStrategy<Input>| inputs.prop_map(|input| Choice::Exactly(Box::new(input))).sboxed();
    let loses_heartbeats = ground.under_test == Side::Client;
    let loses_heartbeats = loses_heartbeats.then(|| exactly(Just(Input::LoseHeartbeats(LOSS)).sboxed()));
    let asks = ground.under_test == Side::Client && ground.api == ApiType::AUTH_CONSUMER;
    let unanswered = asks.then(|| exactly(Just(Input::DisconnectUnanswered).sboxed()));
    let weighed = [
        (720, offered(model.kinds())),
        (120, offered(model.kinds_of_turns())),
        (360, published(ground).map(exactly)),
        (120, ground.has_faults.then(|| exactly(faults(ground.api)))),
        // These take seconds.
        (6, unanswered),
        (1, loses_heartbeats),
    ];
    let there = weighed.into_iter().filter_map(|(weight, choices)| Some((weight, choices?)));
    let choices = Arc::new(Union::new_weighted(there.collect()));
    let next = move |model: &Arc<Model>| {
        let model = model.clone();
        choices.clone().prop_map(move |choice| Drawn::new(&model, choice)).sboxed()
    };
    let most = if ground.site.is_slow() { count.end.min(MOST_WHERE_TIMES_RUN_OUT) } else { count.end };
    let count = count.start.min(most.saturating_sub(1))..most;
    let begin = move || Just(model.clone()).sboxed();
    let is_possible = |model: &Arc<Model>, drawn: &Drawn| drawn.outcome_at(model).is_some();
    let after =
        |model: Arc<Model>, drawn: &Drawn| drawn.outcome_at(&model).map_or(model, |outcome| outcome.after.clone());
    Whole(Sequential::new(count.into(), begin, is_possible, next, after)).prop_map(|(begin, drawn, _)| (begin, drawn))
}

/// Sequences that proptest makes smaller although nobody says how many of their inputs were played: without that they would
/// shrink to nothing at once.
#[derive(Debug)]
struct Whole<S>(S);

struct WholeTree<T>(T);

/// What sequences of [`Sequential`] are, with a counter of what was seen of them.
type Counted<State, Transition> = (State, Vec<Transition>, Option<Arc<AtomicUsize>>);

impl<State: Debug, Transition: Debug, S: Strategy<Value = Counted<State, Transition>>> Strategy for Whole<S> {
    type Tree = WholeTree<S::Tree>;
    type Value = S::Value;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        self.0.new_tree(runner).map(WholeTree)
    }
}

impl<State: Debug, Transition: Debug, T: ValueTree<Value = Counted<State, Transition>>> ValueTree for WholeTree<T> {
    type Value = T::Value;

    fn current(&self) -> Self::Value {
        self.0.current()
    }

    fn simplify(&mut self) -> bool {
        let (_, transitions, seen) = self.0.current();
        if let Some(seen) = seen {
            seen.store(transitions.len(), Ordering::SeqCst);
        }
        self.0.simplify()
    }

    fn complicate(&mut self) -> bool {
        self.0.complicate()
    }
}

/// What may befall messages and connections on their way to a client, which survives all of it.
fn faults(api: ApiType) -> SBoxedStrategy<Input> {
    // A question that is still one may name another topic for its answer.
    let readable = if api.asks_clients() { "{e2m}/heartbeat" } else { "{e2m}/#" };
    let of_messages = |name: &'static str, more: Value| {
        (select(vec![0.3, 1.0]), 0..16_u8).prop_map(move |(probability, seed)| {
            let mut arguments = more.as_object().cloned().unwrap_or_default();
            if !arguments.contains_key("message") {
                arguments.entry("topic").or_insert_with(|| json!("{e2m}/#"));
            }
            let whether =
                [("probability", json!(probability)), ("seed", json!(seed)), ("direction", json!("to_module"))];
            arguments.extend(whether.map(|(key, value)| (key.to_owned(), value)));
            Input::Fault(name.to_owned(), Value::Object(arguments))
        })
    };
    let of_connections = |name: &'static str, arguments: Vec<Value>| {
        select(arguments).prop_map(move |arguments| Input::Fault(name.to_owned(), arguments))
    };
    let all = prop_oneof![
        of_messages("drop", json!({})),
        of_messages("delay", json!({"by": "20ms"})),
        of_messages("duplicate", json!({})),
        of_messages("duplicate", json!({"as": "redelivery"})),
        of_messages("reorder", json!({})),
        of_messages("corrupt", json!({"how": "truncate"})),
        of_messages("corrupt", json!({"how": "flip", "topic": readable})),
        of_messages("corrupt", json!({"how": "encoding", "topic": readable})),
        of_connections("half_open", vec![json!({"for": "50ms"})]),
        of_connections("broker_away", vec![json!({"for": "50ms"}), json!({"for": "50ms", "forgets_sessions": true})]),
    ];
    let asks = api.channels().any(|channel| channel.is_request() && !channel.is_from_everest());
    if !asks {
        return all.sboxed();
    }
    prop_oneof![
        9 => all,
        1 => of_messages("duplicate", json!({"message": "reply"})),
        1 => of_messages("delay", json!({"message": "reply", "by": "20ms"})),
        1 => of_messages("drop", json!({"message": "reply"})),
    ]
    .sboxed()
}

/// Messages of the side that khumbu plays, right ones and broken ones; none where it sends nothing.
pub fn published(ground: &Ground) -> Option<SBoxedStrategy<Input>> {
    let in_force = ground.in_force();
    let is_own = |channel: &Channel| channel.is_from_everest() == (ground.under_test == Side::Client);
    let mut each: Vec<_> = ground
        .api
        .channels()
        .filter(is_own)
        .filter(|channel| channel.runs(in_force))
        .filter(|channel| ground.under_test == Side::Everest || !is_check(*channel))
        .map(|channel| {
            let address = channel.address().split_once('/').map_or("", |(_, rest)| rest);
            let branch = if channel.is_from_everest() { "e2m" } else { "m2e" };
            messages(ground, channel, format!("{{{branch}}}/{address}"))
        })
        .collect();
    if ground.under_test == Side::Everest {
        each.extend(broken_by_others(ground));
        each.extend(in_the_wrong_place(ground));
    }
    (!each.is_empty()).then(|| Union::new(each).sboxed())
}

fn is_check(channel: Channel) -> bool {
    channel.description().pattern == Pattern::CommunicationCheck
}

fn messages(ground: &Ground, channel: Channel, topic: String) -> SBoxedStrategy<Input> {
    let api = channel.api().description();
    let description = channel.description();
    let valid = match description.pattern {
        // The numbers of heartbeats are those of a counter.
        Pattern::Heartbeat => select(HEARTBEATS.map(Value::from).to_vec()).sboxed(),
        _ => payload::valid(api, &description.payload, ground.in_force()),
    };
    let is_request = channel.is_request();
    let unusable = UNUSABLE.map(|topic| json!({ "replyTo": topic })).into_iter();
    let unusable: Vec<_> = unusable.chain([json!({"replyTo": 5}), json!({}), json!(null)]).collect();
    let headers = match ground.under_test {
        Side::Client => Just(json!({"replyTo": "{reply}"})).sboxed(),
        Side::Everest => (prop::bool::weighted(UNANSWERABLE), select(unusable))
            .prop_map(
                |(is_unanswerable, unusable)| if is_unanswerable { unusable } else { json!({"replyTo": "{reply}"}) },
            )
            .sboxed(),
    };
    // A request that has nothing to say may say something.
    let unasked = (prop::bool::weighted(OF_THE_FUTURE), select(vec![json!(null), json!({}), json!("a")]));
    let addressed = move |(mut value, headers, (has_payload, payload)): (Value, Value, (bool, Value))| {
        if let Some(message) = value.as_object_mut().filter(|_| is_request) {
            message.insert("headers".to_owned(), headers);
            if has_payload && !message.contains_key("payload") {
                message.insert("payload".to_owned(), payload);
            }
        }
        value
    };
    let valid = (valid, headers, unasked).prop_map(addressed).sboxed();
    let words = match description.pattern {
        Pattern::Variable => payload::words(api, &description.payload),
        _ => Vec::new(),
    };
    let of_the_future = prop::bool::weighted(OF_THE_FUTURE);
    let (field, word) = (of_the_future, (of_the_future, any::<Index>()));
    let more = (valid.clone(), field, word).prop_map(move |(mut value, has_field, (has_word, which))| {
        if let Some(members) = value.as_object_mut().filter(|_| has_field) {
            members.insert(UNKNOWN_FIELD.to_owned(), json!({"a": [1, null]}));
        }
        let there: Vec<_> = words.iter().filter(|at| has_word && value.pointer(at).is_some()).collect();
        let chosen = (!there.is_empty()).then(|| which.get(&there));
        if let Some(word) = chosen.and_then(|at| value.pointer_mut(at)) {
            *word = json!("OfTheFuture");
        }
        Payload::Json(channel.api().behaviour().lawful(channel, value))
    });
    let written = (more.clone(), select(FORMS.to_vec())).prop_map(|(payload, wire)| match payload {
        Payload::Json(value) => Payload::Written(wire, value),
        other => other,
    });
    // EVerest does what a broken request may be taken for; what that is, the station knows.
    let payload = prop_oneof![8 => more, 1 => written, 2 => payload::broken(valid)];
    payload.prop_map(move |payload| Input::Publish { topic: topic.clone(), payload }).sboxed()
}

/// A request for the latched status where EVerest itself speaks; nobody reads there.
fn in_the_wrong_place(ground: &Ground) -> Option<SBoxedStrategy<Input>> {
    let get = ground.api.channels().find(|channel| channel.description().pattern == Pattern::LatchedGet)?;
    if !ground.in_force().is_on(Deviation::GetterBelowM2e) {
        return None;
    }
    let address = get.address().strip_prefix("m2e/")?;
    let payload = Payload::Json(json!({"headers": {"replyTo": NOWHERE}, "payload": {}}));
    Some(Just(Input::Publish { topic: format!("{{e2m}}/{address}"), payload }).sboxed())
}

/// What other clients of an EVerest under test may say and must not harm it.
fn broken_by_others(ground: &Ground) -> Vec<SBoxedStrategy<Input>> {
    let config = ground.site.config();
    let broken = |topic: &'static str, channel: Channel| {
        let payload = payload::broken(payload::valid(
            channel.api().description(),
            &channel.description().payload,
            ground.in_force(),
        ));
        payload.prop_map(move |payload| Input::Publish { topic: topic.to_owned(), payload }).sboxed()
    };
    let mut each = Vec::new();
    if config.auth_token_provider.is_some() {
        each.push(broken("{provider}/m2e/provided_token", Channel::PROVIDED_TOKEN));
    }
    // Where answers take their time, one by hand comes between them.
    if config.auth_token_validator.is_some() && !ground.site.is_slow() {
        each.push(broken("{reply_to}", Channel::VALIDATE_RESULT_UPDATE));
        let answer = Channel::VALIDATE_TOKEN.description().reply.as_ref().map(|reply| {
            let api = Channel::VALIDATE_TOKEN.api().description();
            payload::valid(api, &reply.payload, ground.in_force())
                .prop_map(|answer| Input::Publish { topic: "{reply_to}".to_owned(), payload: Payload::Json(answer) })
        });
        each.extend(answer.map(Strategy::sboxed));
    }
    if !ground.in_force().is_on(Deviation::NoEntryPoint) {
        let questions = select(UNUSABLE.map(|to| json!({"headers": {"replyTo": to}})).to_vec()).sboxed();
        let payload = prop_oneof![1 => questions.clone().prop_map(Payload::Json), 1 => payload::broken(questions)];
        each.push(payload.prop_map(|payload| Input::Publish { topic: DISCOVER.to_owned(), payload }).sboxed());
    }
    each
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fuzz::{Case, Head};
    use crate::protocol::release::Release;
    use crate::scenario::{self, Known};

    fn grounds(is_driven: bool) -> impl Iterator<Item = Ground> {
        let clients = ApiType::AUTH_APIS.into_iter().flat_map(|api| Ground::all(Side::Client, api, Release::default()));
        let all = clients.chain(Ground::all(Side::Everest, ApiType::AUTH_CONSUMER, Release::default()));
        all.map(move |ground| Ground { is_driven, has_faults: ground.under_test == Side::Client, ..ground })
    }

    #[test]
    fn every_case_is_possible_and_a_scenario() {
        for ground in grounds(false).chain(grounds(true)) {
            let (drawn, mut runner) = (inputs(&ground, 1..30), TestRunner::deterministic());
            for _ in 0..60 {
                let case = Case { ground: ground.clone(), inputs: drawn.new_tree(&mut runner).unwrap().current() };
                assert!(case.is_possible(), "{case:?}");
                let text = case.scenario(&Head { description: "a case", comment: "a comment", ..Head::default() });
                let read = scenario::parse("case.yaml", &text, Known { requirements: &[], answers: None });
                assert!(read.is_ok(), "{:?}\n{text}", read.unwrap_err());
            }
        }
    }

    #[test]
    fn what_is_foreseen_is_what_the_station_does_also_where_proptest_has_made_it_smaller() {
        let mut simplified_at_all = 0;
        for ground in grounds(false).chain(grounds(true)) {
            let (drawn, mut runner) = (foreseen(&ground, 5..20), TestRunner::deterministic());
            for _ in 0..10 {
                let mut tree = drawn.new_tree(&mut runner).unwrap();
                let mut simplified = 0;
                while simplified < 30 && tree.simplify() {
                    simplified += 1;
                    let mut station = ground.model();
                    for (input, led) in tree.current() {
                        assert_eq!(station.led(&input), led, "{input:?}");
                    }
                }
                simplified_at_all += simplified;
            }
        }
        assert!(simplified_at_all > 1000, "{simplified_at_all}");
    }

    #[test]
    fn most_cases_leave_a_station_that_can_be_used_again() {
        for ground in grounds(true).filter(|ground| !ground.site.is_slow()) {
            let (drawn, mut runner) = (inputs(&ground, 1..20), TestRunner::deterministic());
            let mut case = || Case { ground: ground.clone(), inputs: drawn.new_tree(&mut runner).unwrap().current() };
            let mut joined = 0;
            for _ in 0..25 {
                let (one, other) = (case(), case());
                let cases = Case::joined(&[&one, &other]);
                assert!(cases.iter().all(|joined| joined.whole.is_possible()));
                assert_eq!(cases.iter().map(|joined| joined.ends.len()).sum::<usize>(), 2);
                joined += usize::from(cases.len() == 1);
            }
            assert!(joined > 17, "{joined} of 25 on {}", ground.site.text());
        }
    }

    #[test]
    fn all_that_a_station_has_use_for_is_drawn() {
        let station = ["plug_in", "unplug", "present_token", "start_transaction", "stop_transaction"];
        let faulted = ["inject_fault", "clear_fault"];
        let turns = ["disconnect", "restart_everest", "heartbeats", "drop", "delay", "corrupt", "broker_away"];
        let orders = ["withdraw", "get_status", "discover", "query_modules", "communication_check"];
        for (side, api, wanted) in [
            (Side::Client, ApiType::AUTH_CONSUMER, [&station[..], &faulted, &turns, &orders, &["set_reply"]].concat()),
            (Side::Client, ApiType::AUTH_TOKEN_PROVIDER, [&turns[..], &["present_token"]].concat()),
            (
                Side::Client,
                ApiType::AUTH_TOKEN_VALIDATOR,
                [&turns[..], &["present_token", "set_verdict", "update_verdict"]].concat(),
            ),
            (
                Side::Everest,
                ApiType::AUTH_CONSUMER,
                [
                    &station[..],
                    &faulted,
                    &orders,
                    &["update_verdict", "restart_everest", "wait until times have run out", "withdraw twice at once"],
                    &["expect a heartbeat", "expect no heartbeat", "publish text on {provider}/m2e/provided_token"],
                ]
                .concat(),
            ),
        ] {
            let mut kinds = BTreeSet::new();
            for ground in grounds(true).filter(|ground| (ground.under_test, ground.api) == (side, api)) {
                let (drawn, mut runner) = (inputs(&ground, 1..40), TestRunner::deterministic());
                for _ in 0..100 {
                    kinds.extend(drawn.new_tree(&mut runner).unwrap().current().iter().map(Input::kind));
                }
            }
            let missing: Vec<_> = wanted.iter().filter(|kind| !kinds.contains(**kind)).collect();
            assert!(missing.is_empty(), "{side:?} {:?}: {missing:?} of {kinds:?}", api.name());
            assert!(kinds.iter().any(|kind| kind.starts_with("publish payload on")), "{kinds:?}");
        }
    }
}

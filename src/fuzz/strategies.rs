//! Strategies of proptest: sequences of inputs that a station has use for, and messages of an API.
//!
//! [`Ground::model`] says what inputs lead to.

use std::collections::BTreeMap;
use std::ops::Range;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::{SBoxedStrategy, Union};
use proptest_state_machine::strategy::Sequential;
use serde_json::{Value, json};

use super::case::Ground;
use super::input::{Input, Payload};
use super::model::Model;
use super::payload;
use crate::protocol::api::Pattern;
use crate::protocol::channel::Channel;
use crate::protocol::side::Side;

/// How often a field that no release has is put into a message, and a word that none has.
const OF_THE_FUTURE: f64 = 0.15;
/// The edges of a counter, in the formats that its readers may keep it in.
const HEARTBEATS: [u64; 8] =
    [0, 1, 255, 4_294_967_295, 4_294_967_296, 9_007_199_254_740_993, 9_223_372_036_854_775_808, u64::MAX];

/// Sequences of inputs, each possible after those before it.
pub fn inputs(ground: &Ground, count: Range<usize>) -> impl Strategy<Value = Vec<Input>> + use<> {
    let (model, messages) = (ground.model(), published(ground));
    let next = move |model: &Model| {
        // Each kind is as likely, however many of it there are.
        let one_of = |inputs: Vec<Input>| {
            let mut kinds: BTreeMap<_, Vec<_>> = BTreeMap::new();
            inputs.into_iter().for_each(|input| kinds.entry(input.kind()).or_default().push(input));
            (!kinds.is_empty()).then(|| Union::new(kinds.into_values().map(select)).sboxed())
        };
        let weighed = [(6, one_of(model.offers())), (1, one_of(model.turns())), (3, messages.clone())];
        Union::new_weighted(weighed.into_iter().filter_map(|(weight, it)| Some((weight, it?))).collect()).sboxed()
    };
    let begin = move || Just(model.clone()).sboxed();
    let is_possible = |model: &Model, input: &Input| model.is_possible(input);
    let after = |model: Model, input: &Input| model.after(input);
    Sequential::new(count.into(), begin, is_possible, next, after).prop_map(|(_, inputs, _)| inputs)
}

/// Messages of the side that khumbu plays, right ones and broken ones; none where it sends nothing.
pub fn published(ground: &Ground) -> Option<SBoxedStrategy<Input>> {
    let is_own = |channel: &Channel| channel.is_from_everest() == (ground.under_test == Side::Client);
    let is_told = |channel: &Channel| {
        channel.runs(ground.in_force()) && channel.description().pattern != Pattern::CommunicationCheck
    };
    let each = ground.api.channels().filter(is_own).filter(is_told).map(|channel| {
        let api = channel.api().description();
        let branch = if channel.is_from_everest() { "e2m" } else { "m2e" };
        let address = channel.address().split_once('/').map_or("", |(_, rest)| rest);
        let topic = format!("{{{branch}}}/{address}");
        let description = channel.description();
        let valid = match description.pattern {
            // The numbers of heartbeats are those of a counter.
            Pattern::Heartbeat => select(HEARTBEATS.map(Value::from).to_vec()).sboxed(),
            _ => payload::valid(api, &description.payload, ground.in_force()),
        };
        let is_request = channel.is_request();
        let addressed = move |mut value: Value| {
            if let Some(message) = value.as_object_mut().filter(|_| is_request) {
                message.insert("headers".to_owned(), json!({"replyTo": "{reply}"}));
            }
            value
        };
        let valid = valid.prop_map(addressed).sboxed();
        let words = match description.pattern {
            Pattern::Variable => payload::words(api, &description.payload),
            _ => Vec::new(),
        };
        let of_the_future = prop::bool::weighted(OF_THE_FUTURE);
        let (field, word) = (of_the_future, (of_the_future, any::<prop::sample::Index>()));
        let more = (valid.clone(), field, word).prop_map(move |(mut value, has_field, (has_word, which))| {
            if let Some(members) = value.as_object_mut().filter(|_| has_field) {
                members.insert("of_the_future".to_owned(), json!({"a": [1, null]}));
            }
            let there: Vec<_> = words.iter().filter(|at| has_word && value.pointer(at).is_some()).collect();
            let chosen = (!there.is_empty()).then(|| which.get(&there));
            if let Some(word) = chosen.and_then(|at| value.pointer_mut(at)) {
                *word = json!("OfTheFuture");
            }
            Payload::Json(channel.api().behaviour().lawful(channel, value))
        });
        // EVerest does what a broken request may be taken for; what that is, the station knows.
        let payload = prop_oneof![4 => more, 1 => payload::broken(valid)];
        payload.prop_map(move |payload| Input::Publish { topic: topic.clone(), payload }).sboxed()
    });
    let each: Vec<_> = each.collect();
    (!each.is_empty()).then(|| Union::new(each).sboxed())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::fuzz::Case;
    use crate::protocol::channel::ApiType;
    use crate::scenario::{self, Known};

    fn grounds() -> impl Iterator<Item = Ground> {
        let clients = ApiType::AUTH_APIS.into_iter().map(|api| Ground::new(Side::Client, api));
        clients.chain([Ground::new(Side::Everest, ApiType::AUTH_CONSUMER)])
    }

    #[test]
    fn every_case_is_possible_and_a_scenario() {
        for ground in grounds() {
            let (drawn, mut runner) = (inputs(&ground, 1..30), TestRunner::deterministic());
            for _ in 0..60 {
                let case = Case { ground: ground.clone(), inputs: drawn.new_tree(&mut runner).unwrap().current() };
                assert!(case.is_possible(), "{case:?}");
                let text = case.scenario("a case", None, "a comment");
                let read = scenario::parse("case.yaml", &text, Known { requirements: &[], answers: None });
                assert!(read.is_ok(), "{:?}\n{text}", read.unwrap_err());
            }
        }
    }

    #[test]
    fn all_that_a_station_has_use_for_is_drawn() {
        for (ground, wanted) in grounds().zip([
            &[
                "plug_in",
                "unplug",
                "present_token",
                "start_transaction",
                "stop_transaction",
                "inject_fault",
                "clear_fault",
                "disconnect",
                "restart_everest",
                "heartbeats",
            ][..],
            &["disconnect", "restart_everest", "heartbeats"],
            &["disconnect", "restart_everest", "heartbeats"],
            &["plug_in", "unplug", "present_token", "start_transaction", "stop_transaction", "withdraw", "get_status"],
        ]) {
            let (drawn, mut runner) = (inputs(&ground, 1..40), TestRunner::deterministic());
            let mut kinds = BTreeSet::new();
            for _ in 0..120 {
                kinds.extend(drawn.new_tree(&mut runner).unwrap().current().iter().map(Input::kind));
            }
            let missing: Vec<_> = wanted.iter().filter(|kind| !kinds.contains(**kind)).collect();
            assert!(missing.is_empty(), "{:?}: {missing:?} of {kinds:?}", ground.api.name());
            assert!(kinds.iter().any(|kind| kind.starts_with("publish payload on")), "{kinds:?}");
        }
    }
}

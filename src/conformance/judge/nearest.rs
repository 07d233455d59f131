//! The message that comes nearest to an expectation that no message has met, and what differs in it.
//!
//! Pure: expectation and messages come in, words go out. It judges nothing.

use std::cmp::Reverse;

use serde_json::Value;

use super::claims::{Claim, Claims};
use super::expectation::{Expectation, What, is_of_kind};
use crate::conformance::sighting::{Kind, Sighting};
use crate::diagnostic::words::cut;
use crate::protocol::topic;
use crate::scenario::pattern::{Captures, Mismatch, Pattern};

/// The longest value in a difference.
const LONGEST: usize = 80;

/// A message that nearly met an expectation.
#[derive(Debug)]
pub struct Near<'a> {
    /// The message.
    pub seen: &'a Sighting,
    /// What differs in it, in words; none if it is the expected one.
    pub differences: Vec<String>,
    /// Why it does not count, whatever it says.
    pub bar: Option<Bar<'a>>,
}

/// Why a message does not count for an expectation.
#[derive(Debug, PartialEq, Eq)]
pub enum Bar<'a> {
    /// A step has claimed it.
    Claimed(&'a Claim),
    /// It came before the last stimulus.
    BeforeStimulus,
    /// It came before what an earlier step was met by.
    BeforeStepAbove,
    /// The other party has sent it.
    OtherParty,
}

/// The nearest of these messages, the last of several; `floor` is what an earlier step was met by.
pub fn nearest<'a>(
    expectation: &Expectation,
    messages: &'a [Sighting],
    claims: &'a Claims,
    captures: &Captures,
    floor: Option<u64>,
) -> Option<Near<'a>> {
    let near = messages.iter().filter_map(|seen| {
        let differences = differences(&expectation.what, seen, captures)?;
        let bar = bar(expectation, seen, claims.of(seen.seq), floor);
        // What is long over is only worth a word if it would have done.
        let is_over = bar == Some(Bar::BeforeStimulus) && !differences.is_empty();
        (!is_over).then_some(Near { seen, differences, bar })
    });
    near.min_by_key(|near| {
        let differences = near.differences.len() + usize::from(near.bar.is_some());
        (differences, away(&expectation.what, near.seen), Reverse(near.seen.seq))
    })
}

/// How far a message is from the number that is expected; of heartbeats, the neighbours tell most. What is no number is
/// farther away than any.
fn away(what: &What, seen: &Sighting) -> u64 {
    let What::Message { payload: Some(pattern), .. } = what else { return 0 };
    let Some(expected) = pattern.number() else { return 0 };
    let actual = seen.json.as_ref().and_then(Value::as_u64);
    actual.map_or(u64::MAX, |actual| expected.abs_diff(actual))
}

fn bar<'a>(
    expectation: &Expectation,
    seen: &Sighting,
    claim: Option<&'a Claim>,
    floor: Option<u64>,
) -> Option<Bar<'a>> {
    match claim {
        _ if seen.from != expectation.by => Some(Bar::OtherParty),
        // What the step before has had the module send may be looked at.
        Some(claim) if claim.is_demand && floor == Some(seen.seq) => None,
        Some(claim) => Some(Bar::Claimed(claim)),
        None if seen.seq < expectation.since => Some(Bar::BeforeStimulus),
        None if floor.is_some_and(|floor| seen.seq <= floor) => Some(Bar::BeforeStepAbove),
        None => None,
    }
}

/// What differs in a message of the expected kind; `None` if it is of another.
fn differences(what: &What, seen: &Sighting, captures: &Captures) -> Option<Vec<String>> {
    let mut found = Vec::new();
    match what {
        What::Message { kind, api, filter, payload, qos, retain } => {
            let is_it = kind.is_none_or(|kind| is_of_kind(seen, kind, *api))
                && filter.as_deref().is_none_or(|filter| topic::matches(filter, &seen.publish.topic))
                && seen.kind != Kind::Control;
            if !is_it {
                return None;
            }
            if let Some(qos) = qos.filter(|qos| *qos != seen.publish.qos) {
                found.push(format!("it was sent at QoS {}, expected {qos}", seen.publish.qos));
            }
            if let Some(retain) = retain.filter(|retain| *retain != seen.publish.retain) {
                found.push(format!("its retain flag is {}, expected {retain}", seen.publish.retain));
            }
            found.extend(payload.iter().flat_map(|pattern| of_payload(pattern, seen, captures)));
        }
        What::Status { channel, value, remaining, payload, .. } => {
            if seen.kind != Kind::Channel(*channel) {
                return None;
            }
            let part = |pointer| seen.json.as_ref().and_then(|json| json.pointer(pointer));
            let expected = remaining.front().map(|status| format!("{status:?}"));
            let wanted = [(channel.about().unwrap_or_default(), Some(value.clone())), ("/status", expected)];
            for (pointer, wanted) in wanted {
                let Some(wanted) = wanted.map(Value::from).filter(|wanted| part(pointer) != Some(wanted)) else {
                    continue;
                };
                let actual = part(pointer).map_or("missing".to_owned(), told);
                found.push(format!("{} is {actual}, expected {}", member(pointer), told(&wanted)));
            }
            let last = payload.iter().filter(|_| remaining.len() == 1);
            found.extend(last.flat_map(|pattern| of_payload(pattern, seen, captures)));
        }
        What::Reply { topic, payload, .. } if matches!(seen.kind, Kind::Answer(_)) => {
            if *seen.publish.topic != **topic {
                return None;
            }
            found.extend(of_payload(payload, seen, captures));
        }
        // What differs there is told as such when it comes.
        What::Reply { .. } | What::Request { .. } | What::Did { .. } => return None,
    }
    Some(found)
}

fn of_payload(pattern: &Pattern, seen: &Sighting, captures: &Captures) -> Vec<String> {
    match &seen.json {
        Some(json) => pattern.differences(json, captures).iter().map(in_words).collect(),
        None => vec!["its payload is no JSON".to_owned()],
    }
}

fn in_words(mismatch: &Mismatch) -> String {
    let member = member(&mismatch.pointer);
    // What is in backticks alone is a value.
    let exact = mismatch.expected.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
    let expected = match exact.and_then(|text| serde_json::from_str(text).ok()) {
        Some(value) => told(&value),
        None => cut(&mismatch.expected, LONGEST).replace("`\"", "`").replace("\"`", "`"),
    };
    match &mismatch.actual {
        None => format!("{member} is missing, expected {expected}"),
        Some(value) => format!("{member} is {}, expected {expected}", told(value)),
    }
}

/// A value in a sentence: a text without its quotes, unless it reads like a value of another kind.
fn told(value: &Value) -> String {
    match value {
        Value::String(text) if serde_json::from_str::<Value>(text).is_err() => format!("`{}`", cut(text, LONGEST)),
        other => format!("`{}`", cut(&other.to_string(), LONGEST)),
    }
}

/// The way to a value as people write it: `token.id_token.value`.
fn member(pointer: &str) -> String {
    match pointer.strip_prefix('/') {
        Some(path) => format!("`{}`", path.replace('/', ".").replace("~1", "/").replace("~0", "~")),
        None => "the payload".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::conformance::sighting::{Classifier, Party};
    use crate::protocol::channel::{ApiType, Channel, Topics};
    use crate::protocol::types::TokenValidationStatus;
    use crate::scenario::model::MessageKind;
    use crate::transcript::record::{Direction, Event, Publish, Record};

    fn seen(seq: u64, json: Value) -> Sighting {
        let publish = Publish {
            topic: "everest_api/1/auth_consumer/auth_api/e2m/token_validation_status".into(),
            payload: json.to_string().into_bytes().into(),
            qos: 2,
            retain: false,
            dup: false,
            pkid: 1,
        };
        let topics = Topics {
            api: ApiType::AUTH_CONSUMER,
            external_prefix: String::new(),
            api_version: "1".into(),
            module_id: "auth_api".into(),
        };
        let event = Event::Publish { direction: Direction::FromClient, publish };
        let record = Record { seq, at: Duration::ZERO, client: "module".into(), event };
        Classifier::new(topics, &[]).sight(&record, Party::Module).unwrap()
    }

    fn expected(payload: &Value) -> Expectation {
        let what = What::Message {
            kind: Some(MessageKind::on(Channel::TOKEN_VALIDATION_STATUS)),
            api: ApiType::AUTH_CONSUMER,
            filter: None,
            payload: Some(Pattern::compile(payload).unwrap()),
            qos: Some(1),
            retain: None,
        };
        let (pointer, within) = ("/steps/0/expect".into(), Duration::ZERO);
        Expectation { pointer, within, since: 10, by: Party::Module, what }
    }

    #[test]
    fn the_nearest_is_the_one_with_the_fewest_differences_and_the_last_of_these() {
        let nothing = Claims::default();
        let wanted = expected(&json!({"status": "Rejected", "token": {"id_token": {"value": "1"}}}));
        let status = |status: &str, value: &str| json!({"status": status, "token": {"id_token": {"value": value}}});
        let mut messages = vec![
            seen(3, status("Rejected", "2")),
            seen(11, status("Accepted", "1")),
            seen(12, status("Accepted", "2")),
        ];
        let near = nearest(&wanted, &messages, &nothing, &Captures::new(), None).unwrap();
        assert_eq!(near.seen.seq, 11);
        assert_eq!(
            near.differences,
            ["it was sent at QoS 2, expected 1", "`status` is `Accepted`, expected `Rejected`"]
        );
        // A number for a text shows by its missing quotes.
        messages.push(seen(13, json!({"status": "Rejected", "token": {"id_token": {"value": 1}}})));
        let near = nearest(&wanted, &messages, &nothing, &Captures::new(), None).unwrap();
        let wrong = "`token.id_token.value` is `1`, expected `\"1\"`";
        assert_eq!((near.seen.seq, near.differences[1].as_str()), (13, wrong));
    }

    #[test]
    fn a_text_that_reads_like_a_number_shows_as_one_and_no_other_is_missing() {
        let nothing = Claims::default();
        let wanted = expected(&json!(0));
        let beats = [seen(11, json!("69"))];
        let differences = nearest(&wanted, &beats, &nothing, &Captures::new(), None).unwrap().differences;
        assert_eq!(differences[1], "the payload is `\"69\"`, expected `0`");
        let what = What::Status {
            channel: Channel::TOKEN_VALIDATION_STATUS,
            name: "ALICE".to_owned(),
            value: "04A2F3B1".to_owned(),
            remaining: [TokenValidationStatus::Accepted].into(),
            at: ("".into(), None),
            connectors: None,
            payload: None,
        };
        let wanted = Expectation { what, ..wanted };
        let statuses = [seen(11, json!({"status": "Accepted", "token": {"id_token": {"value": 4242}}}))];
        let differences = nearest(&wanted, &statuses, &nothing, &Captures::new(), None).unwrap().differences;
        assert_eq!(differences, ["`token.id_token.value` is `4242`, expected `04A2F3B1`"]);
    }

    #[test]
    fn the_nearest_number_is_the_neighbour() {
        let nothing = Claims::default();
        let beats: Vec<_> = [(11, 1), (12, 3), (13, 140)].map(|(seq, number)| seen(seq, json!(number))).into();
        assert_eq!(nearest(&expected(&json!(2)), &beats, &nothing, &Captures::new(), None).unwrap().seen.seq, 12);
        for other in [json!("2"), json!(-2), Value::Null] {
            let beats = [seen(11, json!(140)), seen(12, other)];
            assert_eq!(nearest(&expected(&json!(2)), &beats, &nothing, &Captures::new(), None).unwrap().seen.seq, 11);
        }
        // Where no number is expected, none is nearer.
        let texts = [seen(11, json!(1)), seen(12, json!("x"))];
        assert_eq!(nearest(&expected(&json!("y")), &texts, &nothing, &Captures::new(), None).unwrap().seen.seq, 12);
    }

    #[test]
    fn what_fits_and_does_not_count_says_why() {
        let wanted = Expectation { since: 10, ..expected(&json!({"status": "Accepted"})) };
        let claim = Claim { pointer: "/steps/0".into(), is_demand: false };
        let demand = Claim { is_demand: true, ..claim.clone() };
        for (seq, from, claim, floor, bar) in [
            (10, Party::Module, None, None, None),
            // What the step before has had the module send may be looked at by the next one.
            (11, Party::Module, Some(demand.clone()), Some(11), None),
            (11, Party::Module, Some(demand.clone()), Some(10), Some(Bar::Claimed(&demand))),
            (11, Party::Module, Some(claim.clone()), Some(11), Some(Bar::Claimed(&claim))),
            (9, Party::Module, None, None, Some(Bar::BeforeStimulus)),
            (11, Party::Module, None, Some(11), Some(Bar::BeforeStepAbove)),
            (11, Party::Harness, None, None, Some(Bar::OtherParty)),
            (11, Party::Module, Some(claim.clone()), None, Some(Bar::Claimed(&claim))),
            (11, Party::Module, None, Some(10), None),
        ] {
            let mut seen = seen(seq, json!({"status": "Accepted"}));
            (seen.from, seen.publish.qos) = (from, 1);
            let (messages, mut claims) = ([seen], Claims::default());
            claims.file(&messages);
            if let Some(claim) = claim {
                claims.claim(0, &messages[0], claim);
            }
            let near = nearest(&wanted, &messages, &claims, &Captures::new(), floor).unwrap();
            assert_eq!((near.differences.len(), near.bar), (0, bar));
        }
    }

    #[test]
    fn what_does_not_count_is_as_far_away_as_one_difference_more() {
        let wanted = expected(&json!({"status": "Accepted"}));
        let mut messages = [seen(11, json!({"status": "Accepted"})), seen(12, json!({"status": "Rejected"}))];
        messages.iter_mut().for_each(|seen| seen.publish.qos = 1);
        messages[0].from = Party::Harness;
        let nothing = Claims::default();
        assert_eq!(nearest(&wanted, &messages, &nothing, &Captures::new(), None).unwrap().seen.seq, 12);
    }

    #[test]
    fn what_was_over_before_and_would_not_have_done_is_no_news() {
        let nothing = Claims::default();
        let wanted = expected(&json!({"status": "Rejected"}));
        assert!(
            nearest(&wanted, &[seen(3, json!({"status": "Accepted"}))], &nothing, &Captures::new(), None).is_none()
        );
    }
}

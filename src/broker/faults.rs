//! Which fault befalls which message: rules and messages in, decisions out.
//!
//! Pure: no clock, no randomness but what a seed says, no socket. [`super::injection`] carries the decisions out. A message
//! meets at most one fault, that of the oldest rule that wants it.

use bytes::{Bytes, BytesMut};

use crate::transcript::injected::{ConnectRefusal, Corruption, Effect};
use crate::transcript::record::Publish;

/// What befalls messages that meet it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// What becomes of them.
    pub effect: Effect,
    /// How many it befalls; all until it is lifted if absent.
    pub most: Option<u32>,
    /// How likely it befalls one, from 0 to 1.
    pub probability: f64,
    /// What decides where that leaves a choice, and where a payload is broken.
    pub seed: u64,
}

/// Tells which rules a message meets, and who is khumbu. Asked while the broker stands still: it must be quick and must not
/// call the broker.
pub trait Sieve: Send + Sync {
    /// Whether a client is khumbu's own. Faults befall what others are sent, and what they send.
    fn is_own(&self, client: &str) -> bool;
    /// The numbers of the rules that a message meets, in ascending order. It is shown every message that is published, in
    /// the order of the record.
    fn sift(&self, from: &str, publish: &Publish) -> Vec<usize>;
}

/// The rules in force.
#[derive(Debug, Default)]
pub(super) struct Faults {
    rules: Vec<Armed>,
    refusal: Option<(ConnectRefusal, Option<u32>)>,
}

#[derive(Debug)]
struct Armed {
    rule: Rule,
    is_lifted: bool,
    /// How many messages have met it.
    met: u64,
    /// How many it has befallen.
    befallen: u32,
    /// Whether a message waits for the next one to overtake it.
    holds_back: bool,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Decision {
    /// The number of the rule that it met, and its effect.
    pub(super) fault: Option<(usize, Effect)>,
    /// Its payload, if that is to be another one.
    pub(super) payload: Option<Bytes>,
    /// The rules that held a message back which follows this one.
    pub(super) released: Vec<usize>,
}

impl Faults {
    /// Puts a rule in force; its number.
    pub(super) fn add(&mut self, rule: Rule) -> usize {
        self.rules.push(Armed { rule, is_lifted: false, met: 0, befallen: 0, holds_back: false });
        self.rules.len() - 1
    }

    /// Refuses so many CONNECTs, or all until it is lifted.
    pub(super) fn refuse(&mut self, refusal: ConnectRefusal, most: Option<u32>) {
        self.refusal = Some((refusal, most));
    }

    /// Lifts every rule. What they held back is free.
    pub(super) fn lift(&mut self) {
        self.refusal = None;
        for armed in &mut self.rules {
            (armed.is_lifted, armed.holds_back) = (true, false);
        }
    }

    /// What becomes of a CONNECT.
    pub(super) fn connect(&mut self) -> Option<ConnectRefusal> {
        let (refusal, most) = self.refusal?;
        match most {
            Some(0) => return None,
            Some(left) => self.refusal = Some((refusal, Some(left - 1))),
            None => {}
        }
        Some(refusal)
    }

    /// What becomes of a message that meets these rules.
    pub(super) fn decide(&mut self, met: &[usize], payload: &Bytes) -> Decision {
        let mut decision = Decision::default();
        for number in met {
            let Some(armed) = self.rules.get_mut(*number).filter(|armed| !armed.is_lifted) else { continue };
            if std::mem::take(&mut armed.holds_back) {
                decision.released.push(*number);
            } else if decision.fault.is_none()
                && let Some((effect, broken)) = armed.befall(payload)
            {
                (decision.fault, decision.payload) = (Some((*number, effect)), broken);
            }
        }
        decision
    }
}

impl Armed {
    fn befall(&mut self, payload: &Bytes) -> Option<(Effect, Option<Bytes>)> {
        let Rule { effect, most, probability, seed } = self.rule;
        if most.is_some_and(|most| self.befallen >= most) {
            return None;
        }
        let lot = lot(seed, self.met);
        self.met += 1;
        // 53 bits, as many as a number between 0 and 1 has.
        if (lot >> 11) as f64 / (1u64 << 53) as f64 >= probability {
            return None;
        }
        let broken = match effect {
            Effect::Corrupt(corruption) => Some(broken(corruption, payload, lot)?),
            _ => None,
        };
        self.befallen += 1;
        self.holds_back = effect == Effect::Reorder;
        Some((effect, broken))
    }
}

/// The number that a seed gives at a place (SplitMix64).
fn lot(seed: u64, place: u64) -> u64 {
    let mut lot = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    lot = (lot ^ (lot >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    lot = (lot ^ (lot >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    lot ^ (lot >> 31)
}

/// A payload that is broken; nothing where it cannot be.
fn broken(corruption: Corruption, payload: &Bytes, lot: u64) -> Option<Bytes> {
    // One of so many places.
    let place = |places: usize| usize::try_from(lot % places.max(1) as u64).unwrap_or(0);
    match corruption {
        Corruption::Truncate if payload.is_empty() => None,
        Corruption::Truncate => Some(payload.slice(..place(payload.len()))),
        Corruption::Flip if payload.is_empty() => None,
        Corruption::Flip => {
            let mut bytes = BytesMut::from(&payload[..]);
            let bit = place(payload.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            Some(bytes.freeze())
        }
        Corruption::Encoding => {
            let at = place(payload.len() + 1);
            Some([&payload[..at], b"\xff", &payload[at..]].concat().into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::transcript::injected::Copies;

    fn rule(effect: Effect, most: Option<u32>, probability: f64, seed: u64) -> Rule {
        Rule { effect, most, probability, seed }
    }

    fn effects() -> impl Strategy<Value = Effect> {
        prop_oneof![
            Just(Effect::Drop),
            Just(Effect::Delay(Duration::from_secs(1))),
            Just(Effect::Duplicate(Copies::Message)),
            Just(Effect::Corrupt(Corruption::Encoding)),
        ]
    }

    /// What a receiver gets of messages that all meet one rule.
    fn through(faults: &mut Faults, messages: usize) -> Vec<usize> {
        let (mut got, mut held) = (Vec::new(), Vec::new());
        for message in 0..messages {
            let decision = faults.decide(&[0], &Bytes::from_static(b"{}"));
            match decision.fault {
                None => got.push(message),
                Some((0, Effect::Reorder)) => held.push(message),
                Some((_, Effect::Duplicate(_))) => got.extend([message, message]),
                Some((_, Effect::Drop)) => {}
                other => panic!("{other:?}"),
            }
            if !decision.released.is_empty() {
                got.append(&mut held);
            }
        }
        faults.lift();
        got.extend(held);
        got
    }

    proptest! {
        #[test]
        fn a_rule_befalls_as_many_as_it_says_and_the_same_in_every_run(
            effect in effects(), most in 0u32..20, messages in 0usize..40, probability in 0.0..=1.0, seed: u64,
        ) {
            let run = |probability| {
                let mut faults = Faults::default();
                faults.add(rule(effect, Some(most), probability, seed));
                let payload = Bytes::from_static(b"x");
                (0..messages).map(|_| faults.decide(&[0], &payload)).collect::<Vec<_>>()
            };
            let befallen = |run: &[Decision]| run.iter().filter(|decision| decision.fault.is_some()).count();
            prop_assert_eq!(run(probability), run(probability));
            prop_assert!(befallen(&run(probability)) <= most as usize);
            prop_assert_eq!(befallen(&run(0.0)), 0);
            let all = run(1.0);
            prop_assert!(all.iter().enumerate().all(|(at, it)| it.fault.is_some() == (at < most as usize)));
        }

        #[test]
        fn nothing_is_lost_or_made_by_reordering(
            most in prop::option::of(0u32..5), messages in 0usize..20, probability in 0.0..=1.0, seed: u64,
        ) {
            let mut faults = Faults::default();
            faults.add(rule(Effect::Reorder, most, probability, seed));
            let got = through(&mut faults, messages);
            let mut sorted = got.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..messages).collect::<Vec<_>>());
            // Each comes at its own time, or one later, after exactly one that was sent after it.
            prop_assert!(got.iter().enumerate().all(|(at, message)| at.abs_diff(*message) <= 1));
        }

        #[test]
        fn a_broken_payload_is_another_one(payload in prop::collection::vec(any::<u8>(), 0..40), lot: u64) {
            let payload = Bytes::from(payload);
            let truncated = broken(Corruption::Truncate, &payload, lot);
            let flipped = broken(Corruption::Flip, &payload, lot);
            prop_assert_eq!((truncated.is_none(), flipped.is_none()), (payload.is_empty(), payload.is_empty()));
            if let (Some(truncated), Some(flipped)) = (truncated, flipped) {
                prop_assert!(truncated.len() < payload.len() && payload.starts_with(&truncated));
                let bits: u32 = payload.iter().zip(&flipped).map(|(a, b)| (a ^ b).count_ones()).sum();
                prop_assert_eq!((bits, flipped.len()), (1, payload.len()));
            }
            let recoded = broken(Corruption::Encoding, &payload, lot).unwrap_or_default();
            prop_assert!(std::str::from_utf8(&recoded).is_err());
        }

        #[test]
        fn a_probability_is_kept_in_the_long_run(probability in 0.0..=1.0, seed: u64) {
            let mut faults = Faults::default();
            faults.add(rule(Effect::Drop, None, probability, seed));
            let got = through(&mut faults, 2000).len() as f64 / 2000.0;
            prop_assert!((got - (1.0 - probability)).abs() < 0.08, "{got}");
        }
    }

    #[test]
    fn the_oldest_rule_wins_and_the_next_one_waits() {
        let mut faults = Faults::default();
        faults.add(rule(Effect::Drop, Some(1), 1.0, 0));
        faults.add(rule(Effect::Duplicate(Copies::Message), Some(1), 1.0, 0));
        let mut decide = |met: &[usize]| faults.decide(met, &Bytes::new()).fault.map(|(number, _)| number);
        assert_eq!([decide(&[]), decide(&[0, 1]), decide(&[0, 1]), decide(&[0, 1])], [None, Some(0), Some(1), None]);
    }

    #[test]
    fn what_is_lifted_befalls_nothing_any_more() {
        let mut faults = Faults::default();
        faults.add(rule(Effect::Reorder, None, 1.0, 0));
        faults.refuse(ConnectRefusal::NotAuthorized, None);
        assert_eq!(faults.decide(&[0], &Bytes::new()).fault, Some((0, Effect::Reorder)));
        assert_eq!(faults.connect(), Some(ConnectRefusal::NotAuthorized));
        faults.lift();
        assert_eq!(faults.decide(&[0], &Bytes::new()), Decision::default());
        assert_eq!(faults.connect(), None);
    }

    #[test]
    fn as_many_connects_are_refused_as_was_said() {
        let mut faults = Faults::default();
        faults.refuse(ConnectRefusal::ServerUnavailable, Some(2));
        let refused = [(); 4].map(|()| faults.connect().is_some());
        assert_eq!(refused, [true, true, false, false]);
    }

    #[test]
    fn an_empty_message_that_cannot_be_broken_does_not_count() {
        let mut faults = Faults::default();
        faults.add(rule(Effect::Corrupt(Corruption::Truncate), Some(1), 1.0, 0));
        assert_eq!(faults.decide(&[0], &Bytes::new()), Decision::default());
        assert!(faults.decide(&[0], &Bytes::from_static(b"1")).fault.is_some());
    }
}

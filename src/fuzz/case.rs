//! A case, and the scenario that plays it.

mod steps;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

pub use self::steps::at_stake;
use self::steps::awaits_reply;
use super::input::{Input, Payload, UNKNOWN_FIELD};
use super::model::Model;
use super::site::Site;
use crate::diagnostic::Place;
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::Command;
use crate::protocol::deviations::{Behaviour, Deviations};
use crate::protocol::release::Release;
use crate::protocol::schema::{Message, Schemas};
use crate::protocol::side::Side;
use crate::protocol::wire::Wire;
use crate::scenario::written::{Frame, each_once};
use crate::scenario::{self, Known};
use crate::station::config::{StationConfig, TokenConfig};

/// What takes less time is not waited for where it is left out.
const WORTH_A_WAIT: Duration = Duration::from_millis(20);

/// What a case stands on.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The side of the module under test.
    pub under_test: Side,
    /// The API that it uses, or through which it is tested.
    pub api: ApiType,
    /// How khumbu writes its messages.
    pub wire: Wire,
    /// The station.
    pub site: Arc<Site>,
    /// Whether a client under test does what it is told.
    pub is_driven: bool,
    /// Whether a client under test acknowledges what it is handed, by which it is seen to read.
    pub acknowledges: bool,
    /// Whether the broker and the network fail.
    pub has_faults: bool,
    /// What is demanded of an EVerest under test.
    pub behaviour: Behaviour,
}

/// Several cases that one module plays, with the station at rest between them.
#[derive(Debug, Clone)]
pub struct Joined {
    /// All of them as one.
    pub whole: Case,
    /// How many of its inputs there are up to the end of each.
    pub ends: Vec<usize>,
}

/// What stands in a scenario besides the station and the steps.
#[derive(Debug, Clone, Copy, Default)]
pub struct Head<'h> {
    /// Comes before it, as a comment.
    pub comment: &'h str,
    /// What it shows.
    pub description: &'h str,
    /// The requirement that it is about; what the module owes whatever happens, if absent.
    pub requirement: Option<&'h str>,
    /// How long a message is waited for, in milliseconds; as the language has it, if absent.
    pub within_ms: Option<u64>,
}

/// What is done, and on what ground.
#[derive(Debug, Clone)]
pub struct Case {
    /// The ground.
    pub ground: Ground,
    /// What is done, in order.
    pub inputs: Vec<Input>,
}

impl Head<'_> {
    /// What a case is said to be that is only played.
    pub const AS_PLAYED: Head<'static> =
        Head { comment: "", description: "what nobody thought of", requirement: None, within_ms: None };
}

impl Ground {
    /// Every ground for modules on this side: each station that there can be in a release, in EVerest's own form.
    pub fn all(under_test: Side, api: ApiType, release: Release) -> Vec<Self> {
        let ground = |site| Self {
            under_test,
            api,
            wire: Wire::Everest,
            site,
            is_driven: false,
            acknowledges: true,
            has_faults: false,
            behaviour: Behaviour::AsRunning,
        };
        let grounds = Site::all(under_test, api, release).into_iter().map(ground);
        grounds.filter(Self::is_in_its_release).collect()
    }

    /// The release of EVerest.
    pub fn release(&self) -> Release {
        self.site.config().release
    }

    /// Whether nothing of it came later.
    fn is_in_its_release(&self) -> bool {
        let empty = Case { ground: self.clone(), inputs: Vec::new() };
        let read = scenario::parse(
            "station",
            &empty.scenario(&Head { description: "none", ..Head::default() }),
            Known { requirements: &[], answers: None },
        );
        read.is_ok_and(|scenario| scenario::lacking(&scenario, self.site.config()).is_none())
    }

    /// The station that stands there, as it ought to be.
    pub fn model(&self) -> Model {
        let config = match self.behaviour {
            Behaviour::AsRunning => self.site.config().clone(),
            behaviour => Arc::new(StationConfig { behaviour, ..self.site.config().as_ref().clone() }),
        };
        Model::new(self.under_test, self.api, self.is_driven, config)
    }

    /// How a case is played in which no message is waited for longer than this, in milliseconds, but where times have to run
    /// out.
    pub fn in_haste(&self, within_ms: u64) -> Head<'static> {
        Head { within_ms: Some(within_ms).filter(|_| !self.site.is_slow()), ..Head::AS_PLAYED }
    }

    /// Whether another one is the same station, whose messages are written in the same form.
    fn is_same(&self, other: &Self) -> bool {
        self.wire == other.wire && self.site.text() == other.site.text()
    }

    /// What is right there.
    pub fn in_force(&self) -> Deviations {
        StationConfig { behaviour: self.behaviour, ..self.site.config().as_ref().clone() }.in_force()
    }
}

impl Case {
    /// A client is handed a heartbeat, and nothing else.
    pub fn handed_a_heartbeat(ground: &Ground) -> Self {
        let heartbeat = Input::Publish { topic: "{e2m}/heartbeat".to_owned(), payload: Payload::Json(json!(1)) };
        Self { ground: ground.clone(), inputs: vec![heartbeat] }
    }

    /// The same, at the end of which a client is seen to read: one that acknowledges nothing is so by nothing else than that it
    /// notices that its connection is lost.
    #[must_use]
    pub fn seen_to_read(mut self) -> Self {
        if !self.ground.acknowledges && self.inputs.last() != Some(&Input::Disconnect) {
            self.inputs.push(Input::Disconnect);
        }
        self
    }

    /// The same without what a client is shown: what is left only looks whether it is there. `None` if that is all of it.
    pub fn only_looking(&self) -> Option<Self> {
        let looks: Vec<_> = (0..self.inputs.len()).filter(|at| self.inputs[*at].only_looks()).collect();
        (looks.len() < self.inputs.len()).then(|| self.with_inputs(&looks, None).0)
    }

    /// What a client can stumble over that a case need not have: unknown fields, another form than EVerest's, replies that stay out, or
    /// heartbeats that do. Where it has that when it is as small as it gets, the client stumbles over it.
    pub fn needed(&self) -> Option<&'static str> {
        let of_form = |wire: Wire| match wire {
            Wire::Everest => None,
            Wire::ExtraFields => Some("RR-9"),
            _ => Some("RR-15"),
        };
        let of_input = |input: &Input| match input {
            Input::LoseHeartbeats(_) => Some("HB-7"),
            Input::DisconnectUnanswered => Some("RR-14"),
            Input::Command(Command::SetReply(reply)) => reply.never.then_some("RR-14"),
            Input::Publish { payload: Payload::Written(wire, _), .. } => of_form(*wire),
            Input::Publish { payload: Payload::Json(json), .. } => json.get(UNKNOWN_FIELD).map(|_| "RR-9"),
            // It takes the same with blanks, as EVerest writes it.
            Input::Publish { payload: Payload::Text(text), .. } => {
                let json = serde_json::from_str::<Value>(text).ok()?;
                let is_plain = serde_json::to_string(&json).is_ok_and(|plain| plain == *text);
                (json.is_object() && is_plain).then_some("RR-15")
            }
            _ => None,
        };
        self.inputs.iter().find_map(of_input).or_else(|| of_form(self.ground.wire))
    }

    /// The same without anything of [`Case::needed`].
    pub fn without_needed(&self) -> Self {
        let plain = |input: &Input| match input {
            Input::LoseHeartbeats(_) => None,
            Input::DisconnectUnanswered => Some(Input::Disconnect),
            Input::Command(Command::SetReply(reply)) if reply.never => None,
            Input::Publish { topic, payload } => {
                let mut json = payload.json().cloned();
                if let Payload::Text(text) = payload {
                    json = serde_json::from_str(text).ok();
                }
                if let Some(members) = json.as_mut().and_then(Value::as_object_mut) {
                    members.remove(UNKNOWN_FIELD);
                }
                let payload = json.map_or_else(|| payload.clone(), Payload::Json);
                Some(Input::Publish { topic: topic.clone(), payload })
            }
            input => Some(input.clone()),
        };
        let ground = Ground { wire: Wire::Everest, ..self.ground.clone() };
        Self { ground, inputs: self.inputs.iter().filter_map(plain).collect() }
    }

    /// Whether every input is possible after those before it.
    pub fn is_possible(&self) -> bool {
        Arc::new(self.ground.model()).through(&self.inputs).is_some()
    }

    /// What is done with these of its inputs alone, and which of them that is: what is not possible without the others is not
    /// done. Where it is said how long each input took, it is waited as long in the place of those that are not done.
    pub fn with_inputs(&self, kept: &[usize], took: Option<&[Duration]>) -> (Self, Vec<usize>) {
        let (mut model, mut inputs, mut done) = (Arc::new(self.ground.model()), Vec::new(), Vec::new());
        let (mut kept, mut gap) = (kept.iter().copied().peekable(), Duration::ZERO);
        for at in 0..=self.inputs.len() {
            let input = kept.next_if_eq(&at).and_then(|at| self.inputs.get(at));
            if (input.is_some() || at == self.inputs.len()) && gap >= WORTH_A_WAIT {
                let wait = wait(gap);
                if let Some((after, _)) = model.tried(&wait) {
                    (model, gap) = (after, Duration::ZERO);
                    inputs.push(wait);
                }
            }
            match input.and_then(|input| Some((input, model.tried(input)?))) {
                Some((input, (after, _))) => {
                    model = after;
                    inputs.push(input.clone());
                    done.push(at);
                }
                None => gap += took.and_then(|took| took.get(at)).copied().unwrap_or_default(),
            }
        }
        (Self { ground: self.ground.clone(), inputs }, done)
    }

    /// The same with a wait before the input with this number, or behind all.
    pub fn with_wait(&self, at: usize, long: Duration) -> Self {
        let mut case = self.clone();
        case.inputs.insert(at.min(self.inputs.len()), wait(long));
        case
    }

    /// The same with one of its waits shorter, each in several lengths, the shortest first.
    pub fn with_shorter_waits(&self) -> Vec<Vec<Self>> {
        let waits = self.inputs.iter().enumerate().filter_map(|(at, input)| match input {
            Input::Wait(ms) => Some((at, *ms)),
            _ => None,
        });
        let shorter = |(at, ms): (usize, u64)| {
            let lengths = (1..=4).flat_map(|power| [1, 2, 5].map(|times| times * 10_u64.pow(power)));
            let with = |length| {
                let mut case = self.clone();
                case.inputs[at] = Input::Wait(length);
                case
            };
            lengths.filter(|length| *length < ms).map(with).collect()
        };
        waits.map(shorter).collect()
    }

    /// The same with less in one of its inputs, or something plainer, each; no message strays further from the shape that is
    /// described.
    pub fn simpler(&self) -> Vec<Self> {
        let schemas = Schemas::of(self.ground.in_force());
        let faults = |input: &Input| match input {
            Input::Publish { topic, payload: Payload::Json(value) } => {
                let channel = self.ground.api.channels().find(|channel| {
                    let (_, rest) = channel.address().split_once('/').unwrap_or_default();
                    topic.split_once('/').is_some_and(|(_, it)| it == rest)
                });
                channel.map_or(0, |channel| schemas.check(Message::On(channel), value).len())
            }
            _ => 0,
        };
        let mut cases = self.with_first_token();
        for (at, input) in self.inputs.iter().enumerate() {
            if let Some(step) = as_command(input) {
                let mut case = self.clone();
                case.inputs[at] = step;
                cases.push(case);
            }
            let before = faults(input);
            for simpler in input.simpler().into_iter().filter(|simpler| faults(simpler) <= before) {
                let mut case = self.clone();
                case.inputs[at] = simpler;
                cases.push(case);
            }
        }
        cases
    }

    /// The same with the first token of the station in another one's place.
    fn with_first_token(&self) -> Vec<Self> {
        let tokens = &self.ground.site.config().tokens;
        let Some((first, plain)) = tokens.iter().next() else { return Vec::new() };
        let is_used = |name: &&String| {
            self.inputs.iter().any(|input| matches!(input, Input::PresentToken(used) if used == *name))
                && *name != first
        };
        let replaced = |name: &String| {
            let inputs = self.inputs.iter().cloned().map(|input| match input {
                Input::PresentToken(used) if used == *name => Input::PresentToken(first.clone()),
                Input::Command(Command::Withdraw(mut request))
                    if request.id_token == tokens.get(name).map(|token| token.id_token()) =>
                {
                    request.id_token = Some(plain.id_token());
                    Input::Command(Command::Withdraw(request))
                }
                other => other,
            });
            Self { ground: self.ground.clone(), inputs: inputs.collect() }
        };
        tokens.keys().filter(is_used).map(replaced).collect()
    }

    /// Fewer cases that do what these do: those that stand on one ground one after the other, with the station at rest between
    /// them. What leaves a station that cannot be brought to rest ends one.
    pub fn joined(cases: &[&Self]) -> Vec<Joined> {
        let Some(first) = cases.first() else { return Vec::new() };
        let (mut joined, mut is_over) = (Vec::<Joined>::new(), true);
        let (mut model, mut rest) = (first.ground.model(), Vec::new());
        for case in cases {
            let ground = &case.ground;
            let is_here = joined.last().is_some_and(|last| last.whole.ground.is_same(ground));
            // Side by side they wait once for times to run out.
            let goes_on = is_here && !is_over && !ground.site.is_slow();
            let after = if goes_on { Arc::new(model.clone()).through(&case.inputs) } else { None };
            let after = after.map(Arc::unwrap_or_clone).unwrap_or_else(|| {
                let whole = Self { ground: ground.clone(), inputs: Vec::new() };
                joined.push(Joined { whole, ends: Vec::new() });
                rest.clear();
                case.inputs.iter().fold(ground.model(), Model::after)
            });
            if let Some(Joined { whole, ends }) = joined.last_mut() {
                whole.inputs.extend(rest.drain(..).chain(case.inputs.iter().cloned()));
                ends.push(whole.inputs.len());
            }
            rest = after.rest();
            model = rest.iter().fold(after, Model::after);
            is_over = !model.is_at_rest();
        }
        joined
    }

    /// The same on a station without what no input needs.
    pub fn on_less(&self) -> Option<Self> {
        let texts: Vec<_> = self.inputs.iter().map(Input::step).collect();
        let config = self.ground.site.config();
        let is_needed = |(name, token): &(&String, &TokenConfig)| {
            texts.iter().any(|text| {
                let is_named = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == *name);
                is_named || text.contains(&token.value)
            })
        };
        let tokens = config.tokens.iter().filter(is_needed).map(|(name, _)| name.as_str()).collect();
        let names_evse = |evse: &u8| {
            texts
                .iter()
                .any(|text| text.contains(&format!("evse: {evse}")) || text.contains(&format!("evse_id: {evse}")))
        };
        let evses = (1..=config.evses).rev().find(names_evse).unwrap_or(1);
        let site = Arc::new(self.ground.site.with_less(evses, &tokens)?);
        let case = Self { ground: Ground { site, ..self.ground.clone() }, inputs: self.inputs.clone() };
        case.is_possible().then_some(case)
    }

    /// The scenario that plays it.
    pub fn scenario(&self, head: &Head<'_>) -> String {
        self.written(head).0
    }

    /// The lines on which the inputs begin in a scenario that was written of this case with this head.
    pub fn lines(&self, head: &Head<'_>) -> Vec<usize> {
        let (text, begins) = self.written(head);
        let line = |at: usize| text[..at].matches('\n').count() + 1;
        begins.into_iter().map(line).collect()
    }

    /// The number of the input, from 0, at which something stands in a scenario that was written of this case with this head;
    /// `None` if it stands before all.
    pub fn input_at(&self, place: &Place, head: &Head<'_>) -> Option<usize> {
        let (_, begins) = self.written(head);
        begins.partition_point(|begin| *begin <= place.range.start).checked_sub(1)
    }

    /// As [`Case::scenario`], and where in it each input begins.
    fn written(&self, head: &Head<'_>) -> (String, Vec<usize>) {
        let Head { comment, description, requirement, within_ms } = *head;
        let Ground { under_test, api, wire, site, .. } = &self.ground;
        let owed = match under_test {
            Side::Client => "CC-8",
            Side::Everest => "TV-1",
        };
        let requirement = requirement.unwrap_or(owed);
        let steps = self.steps(within_ms);
        let frame = Frame {
            comment: comment.to_owned(),
            description: description.to_owned(),
            requirements: each_once(requirement, steps.iter().filter_map(|(about, _)| *about)),
            under_test: *under_test,
            api: *api,
            release: Some(self.ground.release()).filter(|release| *release != Release::default()),
            wire: *wire,
            external_prefix: String::new(),
            timeout: None,
            within_ms,
            station: site.text(),
        };
        let mut text = frame.text();
        let (mut last, mut begins) = (requirement, Vec::new());
        for (about, step) in steps {
            begins.push(text.len());
            // A question without an answer may be one that is not read.
            let is_unread = about == Some("VA-3") && ["RR-9", "RR-15"].contains(&requirement);
            let about = about.filter(|_| !is_unread).unwrap_or(requirement);
            if std::mem::replace(&mut last, about) != about {
                text.push_str(&format!("  - about: {about}\n"));
            }
            text.push_str(&step);
        }
        let of_inputs = begins.into_iter().skip(self.beginning().len()).take(self.inputs.len());
        (text, of_inputs.collect())
    }
}

fn wait(span: Duration) -> Input {
    Input::Wait(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// A request that is published as a step of its own.
fn as_command(input: &Input) -> Option<Input> {
    let Input::Publish { topic, payload: Payload::Json(json) } = input else { return None };
    let address = topic.strip_prefix("{m2e}/").filter(|_| awaits_reply(input))?;
    let is_it = |channel: Channel| channel.address().strip_prefix("m2e/") == Some(address);
    if is_it(Channel::GET_TOKEN_VALIDATION_STATUS) {
        return Some(Input::Command(Command::GetStatus {}));
    }
    let request = serde_json::from_value(json.get("payload")?.clone()).ok()?;
    is_it(Channel::WITHDRAW_AUTHORIZATION).then_some(Input::Command(Command::Withdraw(request)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::fuzz::{Shrink, strategies};

    /// Each input takes so many milliseconds, as what they are is drawn anew.
    fn took(of: &Case) -> Vec<Duration> {
        (0..of.inputs.len()).map(|at| Duration::from_millis(100 + 37 * (at as u64 % 7))).collect()
    }

    fn drawn(ground: &Ground, runner: &mut TestRunner) -> Case {
        let inputs = strategies::inputs(ground, 10..30).new_tree(runner).unwrap().current();
        Case { ground: ground.clone(), inputs }
    }

    fn grounds() -> Vec<Ground> {
        let all =
            [Side::Client, Side::Everest].map(|side| Ground::all(side, ApiType::AUTH_CONSUMER, Release::default()));
        all.into_iter().flatten().map(|ground| Ground { is_driven: true, ..ground }).collect()
    }

    #[test]
    fn what_is_done_of_a_case_is_possible_and_as_much_as_can_be() {
        let mut runner = TestRunner::deterministic();
        for ground in grounds() {
            for _ in 0..20 {
                let case = drawn(&ground, &mut runner);
                let all: Vec<_> = (0..case.inputs.len()).collect();
                let (whole, done) = case.with_inputs(&all, Some(&took(&case)));
                assert_eq!((&whole.inputs, &done), (&case.inputs, &all));
                let kept: Vec<_> = all.iter().copied().filter(|at| at % 3 != 0).collect();
                for took in [None, Some(took(&case))] {
                    let (part, done) = case.with_inputs(&kept, took.as_deref());
                    assert!(part.is_possible(), "{part:?}");
                    assert!(done.iter().all(|at| kept.contains(at)));
                    let waits = part.inputs.iter().filter(|input| matches!(input, Input::Wait(_))).count();
                    assert_eq!(part.inputs.len(), done.len() + waits);
                    assert!(took.is_some() || waits == 0);
                    // Once more, nothing is left out.
                    let again = (0..part.inputs.len()).collect::<Vec<_>>();
                    assert_eq!(part.with_inputs(&again, None).0.inputs, part.inputs);
                }
            }
        }
    }

    #[test]
    fn a_case_says_what_it_takes() {
        let ground = grounds().swap_remove(0);
        let publish = |payload| Input::Publish { topic: "{e2m}/heartbeat".to_owned(), payload };
        let case = |inputs: &[Input]| Case { ground: ground.clone(), inputs: inputs.to_vec() };
        let beat = publish(Payload::Json(json!(1)));
        let written = |wire| case(&[beat.clone(), publish(Payload::Written(wire, json!(1)))]).needed();
        assert_eq!([Wire::ExtraFields, Wire::Spaced].map(written), [Some("RR-9"), Some("RR-15")]);
        assert_eq!(case(&[publish(Payload::Json(json!({ UNKNOWN_FIELD: 1 })))]).needed(), Some("RR-9"));
        let plain = case(&[beat.clone(), Input::Disconnect, Input::AwaitCheck]);
        assert_eq!(plain.needed(), None);
        let lost = case(&[Input::LoseHeartbeats(1500)]).needed();
        assert_eq!((lost, case(&[Input::DisconnectUnanswered]).needed()), (Some("HB-7"), Some("RR-14")));
        for all in [&[Input::DisconnectUnanswered, Input::LoseHeartbeats(1500)][..], std::slice::from_ref(&beat)] {
            let case = Case { ground: Ground { wire: Wire::ExtraFields, ..ground.clone() }, inputs: all.to_vec() };
            assert_eq!(case.without_needed().needed(), None);
            assert_eq!(case.without_needed().inputs.len(), 1);
        }
        let compact = Ground { wire: Wire::Compact, ..ground.clone() };
        assert_eq!(Case { ground: compact, ..plain.clone() }.needed(), Some("RR-15"));
        // Without what it is shown, it is looked at all the same.
        let looking = plain.only_looking().map(|case| case.inputs);
        assert_eq!(looking, Some(vec![Input::Disconnect, Input::AwaitCheck]));
        assert!(case(&[Input::Disconnect]).only_looking().is_none());
        // Only of one that acknowledges nothing nobody knows whether it reads.
        assert_eq!(plain.clone().seen_to_read().inputs, plain.inputs);
        let silent = Ground { acknowledges: false, ..ground.clone() };
        let seen = |case: Case| Case { ground: silent.clone(), ..case }.seen_to_read().inputs;
        assert_eq!(seen(plain.clone()), [&plain.inputs[..], &[Input::Disconnect]].concat());
        assert_eq!(seen(case(&[Input::Disconnect])), [Input::Disconnect]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

        /// What shows some time after one input gets as small as that input and a wait, whatever took the time.
        #[test]
        fn what_takes_an_input_and_time_is_an_input_and_a_wait(seed in any::<u64>(), at in any::<prop::sample::Index>()) {
            let mut runner = TestRunner::new_with_rng(
                ProptestConfig::default(),
                proptest::test_runner::TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &[seed.to_le_bytes(); 4].concat()),
            );
            let ground = grounds().swap_remove(0);
            let mut case = drawn(&ground, &mut runner);
            let at = at.index(case.inputs.len() - 5);
            let first = Input::Publish { topic: "{e2m}/heartbeat".to_owned(), payload: Payload::Json(json!(4711)) };
            case.inputs.insert(at, first.clone());
            prop_assume!(case.is_possible());
            let took = took(&case);
            let enough = took[at..].iter().sum::<Duration>() * 3 / 4;
            let fails = |part: &(Case, Vec<usize>)| {
                let mut done = part.1.iter();
                let mut since = None;
                for input in &part.0.inputs {
                    let span = match input {
                        Input::Wait(ms) => Duration::from_millis(*ms),
                        _ => took[*done.next().unwrap()],
                    };
                    since = since.or((*input == first).then_some(Duration::ZERO)).map(|since| since + span);
                }
                since.is_some_and(|since| since >= enough)
            };
            let mut shrink = Shrink::new((0..case.inputs.len()).collect());
            loop {
                let candidates: Vec<Vec<usize>> = shrink.candidates();
                if candidates.is_empty() {
                    break;
                }
                let parts = candidates.iter().map(|kept| case.with_inputs(kept, Some(&took))).enumerate();
                shrink.failed(parts.filter(|(_, part)| fails(part)).map(|(at, (_, done))| (at, done)).collect());
            }
            let least = case.with_inputs(shrink.least(), Some(&took)).0.inputs;
            let is_wait = |input: Option<&Input>| matches!(input, Some(Input::Wait(_)));
            prop_assert!(least.contains(&first) && is_wait(least.last()) && least.len() <= 3, "{:?}", least);
        }
    }
}

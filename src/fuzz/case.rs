//! A case, and the scenario that plays it.

mod steps;

use std::sync::Arc;

pub use self::steps::at_stake;
use self::steps::awaits_reply;
use super::input::{Input, Payload};
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
    /// Whether every input is possible after those before it.
    pub fn is_possible(&self) -> bool {
        self.ground.model().through(&self.inputs).is_some()
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
            let after = if goes_on { model.clone().through(&case.inputs) } else { None };
            let after = after.unwrap_or_else(|| {
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
            let about = about.unwrap_or(requirement);
            if std::mem::replace(&mut last, about) != about {
                text.push_str(&format!("  - about: {about}\n"));
            }
            text.push_str(&step);
        }
        let of_inputs = begins.into_iter().skip(self.beginning().len()).take(self.inputs.len());
        (text, of_inputs.collect())
    }
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

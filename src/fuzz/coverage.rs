//! What a campaign has reached: the states of an EVSE, what led from one to the next, and the requirements that were put to
//! the test.

use std::collections::{BTreeSet, VecDeque};

use super::case::{Case, Ground};
use super::input::Input;
use super::model::Model;

/// An EVSE at one moment, and what is under way at the station.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    evse: &'static str,
    is_plugged_in: bool,
    is_faulted: bool,
    has_token_in_process: bool,
    has_request_waiting: bool,
}

/// From a state, by a kind of input, to a state.
type Transition = (State, String, State);

/// What was reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    transitions: BTreeSet<Transition>,
    requirements: BTreeSet<&'static str>,
}

impl Coverage {
    /// What the inputs of a case lead through, and the requirements whose occasions came.
    pub fn of<'o>(case: &Case, occasions: impl Iterator<Item = (&'o &'static str, &'o usize)>) -> Self {
        let mut model = case.ground.model();
        let mut transitions = BTreeSet::new();
        for input in &case.inputs {
            let before = states(&model);
            model.led(input);
            let kind = kind(input);
            transitions.extend(before.into_iter().zip(states(&model)).map(|(from, to)| (from, kind.clone(), to)));
        }
        let requirements = occasions.filter(|(_, count)| **count > 0).map(|(id, _)| *id).collect();
        Self { transitions, requirements }
    }

    /// All that a single EVSE can be led through on these grounds, found by trying whatever is offered in each state.
    pub fn reachable(grounds: &[Ground]) -> Self {
        let mut transitions = BTreeSet::new();
        for ground in grounds {
            let all = ground.site.config().tokens.keys().map(String::as_str).collect();
            let site = ground.site.with_less(1, &all).map_or_else(|| ground.site.clone(), Into::into);
            let begin = Ground { site, ..ground.clone() }.model();
            let mut known = BTreeSet::from([states(&begin)]);
            let mut open = VecDeque::from([begin]);
            while let Some(model) = open.pop_front() {
                let before = states(&model);
                for input in model.offers().into_iter().chain(model.turns()) {
                    let after = model.clone().after(&input);
                    let reached = states(&after);
                    transitions
                        .extend(before.iter().cloned().zip(reached.clone()).map(|(from, to)| (from, kind(&input), to)));
                    if known.insert(reached) {
                        open.push_back(after);
                    }
                }
            }
        }
        Self { transitions, requirements: BTreeSet::new() }
    }

    /// Takes what another one has reached; whether any of it is new.
    pub fn take(&mut self, other: Self) -> bool {
        let before = (self.transitions.len(), self.requirements.len());
        self.transitions.extend(other.transitions);
        self.requirements.extend(other.requirements);
        before != (self.transitions.len(), self.requirements.len())
    }

    /// How many states and transitions of these were reached.
    pub fn reached_of(&self, all: &Self) -> (usize, usize) {
        let states = self.states();
        let reached = all.states().into_iter().filter(|state| states.contains(state)).count();
        (reached, all.transitions.intersection(&self.transitions).count())
    }

    /// How many states and transitions there are.
    pub fn len(&self) -> (usize, usize) {
        (self.states().len(), self.transitions.len())
    }

    /// Whether nothing was reached.
    pub fn is_empty(&self) -> bool {
        self.transitions.is_empty() && self.requirements.is_empty()
    }

    /// The requirements that were put to the test.
    pub fn requirements(&self) -> &BTreeSet<&'static str> {
        &self.requirements
    }

    fn states(&self) -> BTreeSet<&State> {
        self.transitions.iter().flat_map(|(from, _, to)| [from, to]).collect()
    }
}

fn states(model: &Model) -> Vec<State> {
    let status = model.status();
    let state = |evse: &crate::station::EvseStatus| State {
        evse: evse.state,
        is_plugged_in: evse.plugged_in,
        is_faulted: evse.faulted,
        has_token_in_process: !status.tokens_in_process.is_empty(),
        has_request_waiting: status.waiting_messages > 0,
    };
    status.evses.iter().map(state).collect()
}

/// Where a message is published does not matter here.
fn kind(input: &Input) -> String {
    match input {
        Input::Publish { .. } => "publish".to_owned(),
        other => other.kind(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::protocol::channel::ApiType;
    use crate::protocol::control::{AtConnector, Command};
    use crate::protocol::release::Release;
    use crate::protocol::side::Side;

    #[test]
    fn what_a_case_reaches_is_counted_once_and_is_reachable() {
        let grounds = Ground::all(Side::Everest, ApiType::AUTH_CONSUMER, Release::default());
        let all = Coverage::reachable(&grounds);
        let plug_in = Input::Command(Command::PlugIn(AtConnector { evse: 2, connector: None }));
        let case = Case { ground: grounds[0].clone(), inputs: vec![plug_in, Input::PresentToken("ALICE".to_owned())] };
        let reached = Coverage::of(&case, [(&"TV-1", &1), (&"TV-2", &0)].into_iter());
        assert_eq!(reached.requirements(), &BTreeSet::from(["TV-1"]));
        let (states, transitions) = all.len();
        assert!(states > 8 && transitions > 100, "{states} states, {transitions} transitions");
        let mut sum = Coverage::default();
        assert!(sum.is_empty() && sum.take(reached.clone()) && !sum.take(reached.clone()));
        assert_eq!(sum, reached);
        let (reached_states, reached_transitions) = sum.reached_of(&all);
        assert!((2..states).contains(&reached_states) && (2..transitions).contains(&reached_transitions), "{sum:?}");
    }
}

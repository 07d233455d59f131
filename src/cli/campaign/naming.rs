//! Names a find by what it takes: a module that has ended, or is silent, does not say over what, and what the campaign has seen
//! it survive says more of that than one case can.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::finds::TIMES;
use super::Campaign;
use super::play::Turn;
use super::smaller::Smaller;
use crate::diagnostic::{Diagnostic, Severity};
use crate::fuzz::{Case, Find, Head, SHORT};
use crate::protocol::side::Side;
use crate::verdict::ScenarioResult;

/// On how many cases that passed a client could have broken a requirement by ending over what it was shown.
pub type Survived = BTreeMap<&'static str, u64>;

/// What a client owes whatever happens, by which it is seen that something has stopped it.
const OWED: [&str; 2] = ["CC-8", "CN-1"];
/// So many other names are tried.
const NAMES: usize = 3;

impl Campaign {
    /// The find by the likeliest name under which it fails each time; of an EVerest, each step has named it.
    pub(super) async fn named(&self, smaller: Smaller, survived: &Survived) -> Smaller {
        let is_client = smaller.case.ground.under_test == Side::Client;
        let is_again = is_client && smaller.results.iter().all(|result| smaller.find.finding(result).is_some());
        let names = if is_again { self.names(&smaller, survived).await } else { Vec::new() };
        for name in names.into_iter().take(NAMES).take_while(|name| smaller.find.requirement != Some(*name)) {
            let head = Head { requirement: Some(name), ..Head::AS_PLAYED };
            let results = self.play_as(std::iter::repeat_n((&head, &smaller.case), TIMES), Turn::Beside).await;
            let is_it = |found: &&Diagnostic| {
                let is_same = found.id == smaller.find.id && found.requirement == Some(name);
                is_same && found.severity == Severity::Fail
            };
            let found: Vec<_> = results.iter().filter_map(|result| result.findings.iter().find(is_it)).collect();
            if found.len() == TIMES {
                return Smaller { find: Find::from(found[0]), results, ..smaller };
            }
        }
        smaller
    }

    /// What may be the name of a find, the likeliest first.
    async fn names(&self, smaller: &Smaller, survived: &Survived) -> Vec<&'static str> {
        let Smaller { case, find, results, is_cut_off } = smaller;
        let mut needed = case.needed();
        if needed.is_some() && *is_cut_off {
            // There was no time to see whether it takes that.
            let plain = case.without_needed();
            let played = self.play_as(std::iter::once((&Head::AS_PLAYED, &plain)), Turn::Beside).await;
            needed = needed.filter(|_| played.first().is_some_and(|result| Find::of(result).is_none()));
        }
        if find.requirement.is_some_and(|id| OWED.contains(&id)) && case.inputs.len() <= SHORT {
            let risked = self.risked_besides(case, &results[0]).await;
            let mut names: Vec<_> = risked.into_iter().filter(|id| !OWED.contains(id)).collect();
            names.sort_by_key(|id| survived.get(id));
            names.retain(|id| needed != Some(*id));
            names.splice(0..0, needed);
            if !names.is_empty() {
                return names;
            }
        }
        let suspects = results.iter().filter_map(|result| find.finding(result)).flat_map(|found| &found.suspects);
        // What it has survived elsewhere may be it all the same, but is named already.
        let unsurvived = suspects.copied().find(|id| !survived.contains_key(id));
        needed.into_iter().chain(unsurvived).collect()
    }

    /// What a client could have stumbled over in a case and could not where it is only looked at; nothing if it fails there as well.
    async fn risked_besides(&self, case: &Case, result: &ScenarioResult) -> BTreeSet<&'static str> {
        let Some(looked_at) = case.only_looking() else { return BTreeSet::new() };
        let played = self.play_as(std::iter::once((&Head::AS_PLAYED, &looked_at)), Turn::Beside).await;
        match played.first() {
            Some(other) if Find::of(other).is_none() => result.risked.difference(&other.risked).copied().collect(),
            _ => BTreeSet::new(),
        }
    }
}

/// Notes what a client has survived in a case that passed.
pub fn note_survived(survived: &mut Survived, result: &Arc<ScenarioResult>) {
    for id in &result.survived {
        *survived.entry(id).or_default() += 1;
    }
}

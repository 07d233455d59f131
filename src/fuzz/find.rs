//! What was found: which findings are the same, and how a find is named.

use std::collections::BTreeSet;

use super::case::Case;
use crate::conformance::judge::STAYS_AWAY;
use crate::conformance::monitors::NOT_SUBSCRIBED_AGAIN;
use crate::diagnostic::{Diagnostic, Severity};
use crate::verdict::ScenarioResult;

/// How a case fails.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Find {
    /// The id of the message.
    pub id: &'static str,
    /// The requirement that is broken, if one is named.
    pub requirement: Option<&'static str>,
    /// Whether the requirement is the likeliest of several: a module that has ended, or does not do what it owes, does not say
    /// over what. The fewer messages it was shown, the better is the guess.
    pub is_guess: bool,
}

impl Find {
    /// How a result fails, if it does: first by that it does not listen any more, from which others follow.
    pub fn of(result: &ScenarioResult) -> Option<Self> {
        let deaf = Self::in_order(result).find(|find| find.id == NOT_SUBSCRIBED_AGAIN);
        deaf.or_else(|| Self::in_order(result).next())
    }

    /// What a result says of it, if it fails in this way, maybe among others; by another guess, if this is one.
    pub fn finding<'r>(&self, result: &'r ScenarioResult) -> Option<&'r Diagnostic> {
        let is_it = |found: &&Diagnostic| {
            let find = Self::from(*found);
            find == *self || find.id == self.id && find.is_guess && self.is_guess
        };
        result.findings.iter().filter(|found| found.severity == Severity::Fail).find(is_it)
    }

    /// The same by the guess of most of these.
    #[must_use]
    pub fn by_most(self, findings: &[&Diagnostic]) -> Self {
        let count = |find: &Self| findings.iter().filter(|found| Self::from(**found) == *find).count();
        let finds: BTreeSet<_> = findings.iter().map(|found| Self::from(*found)).collect();
        finds.into_iter().max_by_key(count).unwrap_or(self)
    }

    /// Whether two findings may tell of one fault: they say the same of it, or what they guess from has something in common.
    pub fn is_same(one: &Diagnostic, other: &Diagnostic) -> bool {
        let (find, has_suspect) = (Self::from(one), |id| other.suspects.contains(id));
        find == Self::from(other) || find.id == other.id && one.suspects.iter().any(has_suspect)
    }

    fn in_order(result: &ScenarioResult) -> impl Iterator<Item = Self> {
        result.findings.iter().filter(|found| found.severity == Severity::Fail).map(Self::from)
    }

    /// Whether a case shows what another one shows already by fewer kinds of inputs.
    pub fn is_shown_by_less(&self, case: &Case, less: (&Self, &Case)) -> bool {
        let kinds = |case: &Case| case.inputs.iter().map(super::Input::kind).collect::<BTreeSet<_>>();
        let (mine, others) = (kinds(case), kinds(less.1));
        let is_like = self.requirement == less.0.requirement || self.is_guess && less.0.is_guess;
        self.id == less.0.id && is_like && mine.len() > others.len() && mine.is_superset(&others)
    }

    /// The kinds of the inputs of a case, in order: cases of one shape show the same.
    pub fn shape(case: &Case) -> Vec<String> {
        case.inputs.iter().map(super::Input::kind).collect()
    }

    /// A name for a file.
    pub fn name(&self) -> String {
        let requirement = self.requirement.unwrap_or("no_requirement");
        format!("{requirement}_{}", self.id).to_lowercase().replace(['/', '-'], "_")
    }
}

impl From<&Diagnostic> for Find {
    fn from(found: &Diagnostic) -> Self {
        // Whoever stays away may have stumbled over what it was shown before, or not.
        let is_guess = !found.suspects.is_empty() || STAYS_AWAY.contains(&found.id);
        Self { id: found.id, requirement: found.requirement, is_guess }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(id: &'static str, requirement: &'static str, suspects: &[&'static str]) -> Diagnostic {
        let found = Diagnostic::new(Severity::Fail, id, "something");
        Diagnostic { requirement: Some(requirement), suspects: suspects.to_vec(), ..found }
    }

    #[test]
    fn a_guess_is_the_same_find_by_another_guess_and_most_decide() {
        let (ended, other) =
            (fail("module/ended", "CN-1", &["CN-1", "TV-14"]), fail("module/ended", "TV-14", &["TV-14"]));
        let shape = fail("monitor/schema-violation", "SC-1", &[]);
        let of = |findings: &[&Diagnostic]| ScenarioResult {
            findings: findings.iter().map(|found| (*found).clone()).collect(),
            ..ScenarioResult::default()
        };
        let find = Find::from(&ended);
        assert!(find.finding(&of(&[&other])).is_some() && find.finding(&of(&[&shape])).is_none());
        assert!(Find::from(&shape).finding(&of(&[&fail(shape.id, "SC-2", &[])])).is_none());
        assert_eq!(find.clone().by_most(&[&other, &ended, &other]), Find::from(&other));
        assert_eq!(find.clone().by_most(&[]), find);
        let deaf = fail(NOT_SUBSCRIBED_AGAIN, "CN-1", &[]);
        assert_eq!(Find::of(&of(&[&other, &deaf])), Some(Find::from(&deaf)));
        assert_eq!(Find::of(&of(&[&other, &shape])), Some(Find::from(&other)));
        assert!(Find::from(&fail(deaf.id, "VA-3", &[])).finding(&of(&[&deaf])).is_some());
        assert!(Find::is_same(&ended, &other) && Find::is_same(&shape, &shape));
        for another in [fail("module/ended", "WD-13", &["WD-13"]), fail("module/no-reply", "TV-14", &["TV-14"]), shape]
        {
            assert!(!Find::is_same(&ended, &another), "{another:?}");
        }
    }
}

//! What was found: which findings are the same, and how a find is named.

use std::collections::BTreeSet;

use super::case::Case;
use crate::diagnostic::{Diagnostic, Severity};
use crate::verdict::ScenarioResult;

/// How a case fails.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Find {
    /// The id of the message.
    pub id: &'static str,
    /// The requirement that is broken, if one is named.
    pub requirement: Option<&'static str>,
}

impl Find {
    /// How a result fails, if it does.
    pub fn of(result: &ScenarioResult) -> Option<Self> {
        Self::in_order(result).next()
    }

    /// Whether a result fails in this way, among others.
    pub fn is_in(&self, result: &ScenarioResult) -> bool {
        Self::in_order(result).any(|find| find == *self)
    }

    /// What to say of it.
    pub fn finding<'r>(&self, result: &'r ScenarioResult) -> Option<&'r Diagnostic> {
        let is_it = |found: &&Diagnostic| found.id == self.id && found.requirement == self.requirement;
        result.findings.iter().filter(|found| found.severity == Severity::Fail).find(is_it)
    }

    fn in_order(result: &ScenarioResult) -> impl Iterator<Item = Self> {
        let fails = result.findings.iter().filter(|found| found.severity == Severity::Fail);
        fails.map(|found| Self { id: found.id, requirement: found.requirement })
    }

    /// Whether a case shows what another one shows already by fewer kinds of inputs.
    pub fn is_shown_by_less(&self, case: &Case, less: (&Self, &Case)) -> bool {
        let kinds = |case: &Case| case.inputs.iter().map(super::Input::kind).collect::<BTreeSet<_>>();
        let (mine, others) = (kinds(case), kinds(less.1));
        self.id == less.0.id && mine.len() > others.len() && mine.is_superset(&others)
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

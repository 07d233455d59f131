//! What the results of a run come to: counts, exit code, known failures.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::release::Release;
use crate::verdict::{ScenarioResult, Verdict};

/// How many scenarios had each verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Summary {
    pub pass: usize,
    pub fail: usize,
    pub inconclusive: usize,
    pub error: usize,
    pub not_applicable: usize,
    pub excused: usize,
}

impl Summary {
    /// Counts verdicts.
    pub fn of(verdicts: impl IntoIterator<Item = Verdict>) -> Self {
        let mut summary = Self::default();
        for verdict in verdicts {
            *match verdict {
                Verdict::Pass => &mut summary.pass,
                Verdict::Fail => &mut summary.fail,
                Verdict::Inconclusive => &mut summary.inconclusive,
                Verdict::Error => &mut summary.error,
                Verdict::NotApplicable => &mut summary.not_applicable,
                Verdict::Excused => &mut summary.excused,
            } += 1;
        }
        summary
    }
}

/// Whether it has to be said under which release something was played.
pub fn has_several_releases(results: &[Arc<ScenarioResult>]) -> bool {
    results.iter().any(|result| result.release != results[0].release)
}

/// Every scenario passed, did not apply, or failed as it is known to.
const PASSED: u8 = 0;
/// A scenario failed, whatever became of the others: what a module did wrong is never hidden.
const FAILED: u8 = 1;
/// There was nothing to play: the command line or the files are at fault.
const USAGE: u8 = 2;
/// No scenario failed, but one was inconclusive or in error, or the run was interrupted.
const UNDECIDED: u8 = 3;

/// The exit code of a run. No scenario at all is no success.
pub fn exit_code(verdicts: impl IntoIterator<Item = Verdict>, interrupted: bool) -> u8 {
    match verdicts.into_iter().max() {
        Some(Verdict::Fail) => FAILED,
        _ if interrupted => UNDECIDED,
        None => USAGE,
        Some(Verdict::Inconclusive | Verdict::Error) => UNDECIDED,
        Some(Verdict::Pass | Verdict::NotApplicable | Verdict::Excused) => PASSED,
    }
}

/// A scenario that is known to fail, from `known_failures` in `khumbu.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFailure {
    /// The path of the scenario, as a run gives it; a leading `./` does not matter.
    pub scenario: String,
    /// The releases under which it fails; all if absent.
    pub releases: Option<Vec<Release>>,
    /// Why it fails; told with every run.
    pub reason: String,
}

impl KnownFailure {
    fn is_about(&self, result: &ScenarioResult) -> bool {
        let is_release = self.releases.as_ref().is_none_or(|releases| releases.contains(&result.release));
        is_release && same_path(&self.scenario, &result.path)
    }
}

/// Applies known failures: a fail that is listed is excused, with its findings kept as warnings; a pass that is listed
/// fails, because the list is out of date. Every other verdict stays, and so does an error beside a fail.
pub fn excuse(result: &Arc<ScenarioResult>, known: &[KnownFailure]) -> Arc<ScenarioResult> {
    let listed = known.iter().find(|known| known.is_about(result));
    match (listed, result.verdict) {
        (Some(known), Verdict::Fail) => Arc::new(excused(result, known)),
        (Some(known), Verdict::Pass) => Arc::new(out_of_date(result, known)),
        _ => result.clone(),
    }
}

fn excused(result: &ScenarioResult, known: &KnownFailure) -> ScenarioResult {
    let mut result = result.clone();
    for finding in result.findings.iter_mut().filter(|finding| finding.severity != Severity::Error) {
        finding.severity = finding.severity.min(Severity::Warning);
    }
    let is_error = result.findings.iter().any(|finding| finding.severity == Severity::Error);
    result.verdict = if is_error { Verdict::Error } else { Verdict::Excused };
    let headline = format!("scenario fails as it is known to: {}", known.reason);
    result.findings.push(Diagnostic::new(Severity::Note, "known-failure/excused", headline).about(Subject::Excuse));
    result
}

fn out_of_date(result: &ScenarioResult, known: &KnownFailure) -> ScenarioResult {
    let mut result = result.clone();
    result.verdict = Verdict::Fail;
    let headline = format!("scenario passes, but is listed as a known failure: {}", known.reason);
    let finding = Diagnostic::new(Severity::Fail, "known-failure/passed", headline)
        .with_help(format!("take `{}` off `known_failures` in khumbu.yaml", known.scenario));
    result.findings.insert(0, finding);
    result
}

fn same_path(one: &str, other: &str) -> bool {
    fn bare(path: &str) -> &str {
        let mut path = path;
        while let Some(rest) = path.strip_prefix("./") {
            path = rest.trim_start_matches('/');
        }
        path
    }
    bare(one) == bare(other)
}

//! What the results of a run come to: counts, exit code, known failures.

use std::sync::Arc;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::data::Id;
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
    pub flaky: usize,
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
                Verdict::Flaky => &mut summary.flaky,
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
        Some(Verdict::Pass | Verdict::Flaky | Verdict::NotApplicable | Verdict::Excused) => PASSED,
    }
}

/// What is known to fail, from `known_failures` in `khumbu.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct KnownFailure {
    /// What it is.
    pub what: Listed,
    /// The releases under which it fails; all if absent.
    pub releases: Option<Vec<Release>>,
    /// Why it fails; told with every run.
    pub reason: String,
    /// The last day on which it is excused; every day if absent.
    pub until: Option<NaiveDate>,
}

/// What a known failure is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// A scenario: its path, as a run gives it; a leading `./` does not matter.
    Scenario(String),
    /// A requirement, whatever scenario finds it broken.
    Requirement(&'static str),
}

/// A known failure as reports write it.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scenario: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requirement: Option<Id>,
    releases: Option<Vec<Release>>,
    until: Option<String>,
    reason: String,
}

impl From<KnownFailure> for Written {
    fn from(known: KnownFailure) -> Self {
        let (scenario, requirement) = match known.what {
            Listed::Scenario(path) => (Some(path), None),
            Listed::Requirement(id) => (None, Some(Id(id))),
        };
        let until = known.until.map(|until| until.to_string());
        Self { scenario, requirement, releases: known.releases, until, reason: known.reason }
    }
}

impl TryFrom<Written> for KnownFailure {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let what = match (written.scenario, written.requirement) {
            (Some(path), None) => Listed::Scenario(path),
            (None, Some(Id(id))) => Listed::Requirement(id),
            _ => return Err("a known failure has either a `scenario` or a `requirement`".to_owned()),
        };
        let day = |until: String| until.parse().map_err(|_| format!("`{until}` is no day"));
        let until = written.until.map(day).transpose()?;
        Ok(Self { what, releases: written.releases, reason: written.reason, until })
    }
}

impl KnownFailure {
    fn holds_for(&self, release: Release) -> bool {
        self.releases.as_ref().is_none_or(|releases| releases.contains(&release))
    }

    /// Whether it is about a finding of a result that failed.
    fn is_about(&self, result: &ScenarioResult, finding: &Diagnostic) -> bool {
        self.holds_for(result.release)
            && match &self.what {
                Listed::Scenario(path) => same_path(path, &result.path) && finding.severity != Severity::Error,
                Listed::Requirement(id) => finding.severity == Severity::Fail && finding.requirement == Some(id),
            }
    }

    fn requirement(&self) -> Option<&'static str> {
        match self.what {
            Listed::Requirement(id) => Some(id),
            Listed::Scenario(_) => None,
        }
    }

    /// Something to say of it.
    fn says(&self, severity: Severity, id: &'static str, headline: String) -> Diagnostic {
        let diagnostic = Diagnostic::new(severity, id, headline);
        match self.requirement() {
            Some(requirement) => diagnostic.breaking(requirement),
            None => diagnostic,
        }
    }
}

/// What is listed, and is not so any more.
fn out_of_date(what: &str, name: &str, reason: &str) -> Diagnostic {
    let headline = format!("{what}, but is listed as a known failure: {reason}");
    Diagnostic::new(Severity::Fail, "known-failure/passed", headline)
        .about(Subject::Excuse)
        .with_help(format!("take `{name}` off `known_failures` in khumbu.yaml"))
}

/// Applies known failures to a result: what is listed is excused, with its findings kept as warnings, until the list says
/// so; a scenario that is listed and passes fails, because the list is out of date. Every other verdict stays, and so does
/// an error beside a fail. `today` is a day in UTC.
pub fn excuse(result: &Arc<ScenarioResult>, known: &[KnownFailure], today: NaiveDate) -> Arc<ScenarioResult> {
    match result.verdict {
        Verdict::Fail => {
            let mut excused = result.as_ref().clone();
            let listed = known.iter().filter(|it| result.findings.iter().any(|finding| it.is_about(result, finding)));
            listed.for_each(|known| apply(known, &mut excused, today));
            let others = excused.other_plays.iter().map(|play| match play.verdict {
                Verdict::Fail => excuse(play, known, today),
                _ => play.clone(),
            });
            excused.other_plays = others.collect();
            Arc::new(excused)
        }
        Verdict::Pass => {
            let is_it = |it: &&KnownFailure| {
                matches!(&it.what, Listed::Scenario(path) if same_path(path, &result.path))
                    && it.holds_for(result.release)
            };
            let passed =
                |known: &KnownFailure| failed(result, out_of_date("scenario passes", &result.path, &known.reason));
            known.iter().find(is_it).map_or_else(|| result.clone(), |known| Arc::new(passed(known)))
        }
        _ => result.clone(),
    }
}

/// Applies known failures to all results of a run, and if nothing was left out of it, asks which requirements
/// passed after all.
pub fn excuse_all(
    results: &[Arc<ScenarioResult>],
    known: &[KnownFailure],
    today: NaiveDate,
    is_whole: bool,
) -> Vec<Arc<ScenarioResult>> {
    let mut excused: Vec<_> = results.iter().map(|result| excuse(result, known, today)).collect();
    if is_whole {
        passed_after_all(&mut excused, known);
    }
    excused
}

/// A requirement that is listed, was judged and is not broken in all of a run fails as well: in the first scenario that
/// judged it and passed. Excused failures count as such.
fn passed_after_all(results: &mut [Arc<ScenarioResult>], known: &[KnownFailure]) {
    for (known, id) in known.iter().filter_map(|known| Some((known, known.requirement()?))) {
        let breaks = |result: &Arc<ScenarioResult>| {
            known.holds_for(result.release)
                && result.plays().flat_map(|play| &play.findings).any(|found| {
                    found.requirement == Some(id)
                        && (found.severity == Severity::Fail || found.subject == Subject::Excuse)
                })
        };
        if results.iter().any(breaks) {
            continue;
        }
        let is_witness = |result: &Arc<ScenarioResult>| {
            result.verdict == Verdict::Pass && result.occasions.contains_key(id) && known.holds_for(result.release)
        };
        if let Some(witness) = results.iter_mut().find(|result| is_witness(result)) {
            let why = out_of_date("requirement is met", id, &known.reason).breaking(id);
            *witness = Arc::new(failed(witness, why));
        }
    }
}

/// A result as its scenario alone had it, so that the whole can be asked: nothing of it excused or let pass, and every
/// requirement named that was named at first.
pub fn as_played(result: &ScenarioResult) -> ScenarioResult {
    let mut played = result.clone();
    played.findings.retain(|found| found.subject != Subject::Excuse);
    let mut was_changed = played.findings.len() != result.findings.len();
    for found in &mut played.findings {
        if let Some((severity, requirement)) = found.at_first {
            was_changed |= found.severity > severity;
            found.revise(severity, requirement);
        }
    }
    played.verdict = match result.verdict {
        Verdict::Flaky => Verdict::Fail,
        _ if was_changed => played.findings.iter().map(Verdict::of).max().unwrap_or(Verdict::Pass),
        verdict => verdict,
    };
    played.other_plays = result.other_plays.iter().map(|play| Arc::new(as_played(play))).collect();
    played
}

/// Excuses what a known failure is about, unless its time is over.
fn apply(known: &KnownFailure, result: &mut ScenarioResult, today: NaiveDate) {
    if let Some(until) = known.until.filter(|until| *until < today) {
        let headline = format!("a known failure was excused until {until}: {}", known.reason);
        let expired = known.says(Severity::Fail, "known-failure/expired", headline);
        let help = "mend it, or set another date in `known_failures` of khumbu.yaml";
        result.findings.insert(0, expired.with_help(help).about(Subject::Excuse));
        return;
    }
    let about: Vec<bool> = result.findings.iter().map(|finding| known.is_about(result, finding)).collect();
    for (finding, _) in result.findings.iter_mut().zip(about).filter(|(_, is_about)| *is_about) {
        finding.revise(finding.severity.min(Severity::Warning), finding.requirement);
    }
    let worst = result.findings.iter().map(Verdict::of).max().unwrap_or_default();
    result.verdict = if worst == Verdict::Pass { Verdict::Excused } else { worst };
    let what = if known.requirement().is_some() { "requirement is broken" } else { "scenario fails" };
    let headline = format!("{what} as it is known to: {}", known.reason);
    result.findings.push(known.says(Severity::Note, "known-failure/excused", headline).about(Subject::Excuse));
}

fn failed(result: &ScenarioResult, why: Diagnostic) -> ScenarioResult {
    let mut result = result.clone();
    result.verdict = Verdict::Fail;
    result.findings.insert(0, why);
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

//! What the results of the suite say of each requirement.
//!
//! *Met* needs evidence: the number of occasions on which the requirement could have been broken. What was not put to the
//! test is *not exercised*, with what would exercise it. Whatever was broken is shown, wanted or not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::unplayed::why_unplayed;
use crate::conformance::judge::{is_undecided, is_unheard};
use crate::conformance::requirements::{self, Requirement};
use crate::conformance::{occasions, prompts};
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::channel::ApiType;
use crate::protocol::control::command_names;
use crate::protocol::release::Release;
use crate::protocol::side::Side;
use crate::report::Part;
use crate::verdict::{ScenarioResult, Verdict, fault_flags};

/// What was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The side of the module.
    pub side: Side,
    /// The APIs whose client it is, or that it serves.
    pub apis: Vec<ApiType>,
    /// The requirements that somebody asked for; all if empty.
    pub only: Vec<&'static str>,
    /// Whether scenarios were chosen by a word, so that what the others judge is left out.
    pub is_partial: bool,
    /// What part of the suite was played.
    pub part: Part,
    /// The requirements that the other shards may judge.
    pub elsewhere: BTreeSet<&'static str>,
    /// The command that judges the module again, without `--only` and faults.
    pub command: String,
}

impl Scope {
    /// The command line that judges everything again, under what it was judged under.
    fn again(&self) -> String {
        let sweep = if self.part.sweep { " --sweep" } else { "" };
        format!("{}{sweep}{}", self.command, fault_flags(&self.part.faults))
    }
}

impl Row<'_> {
    /// The command line that judges the requirement again: what broke it first, if it was a fault, under that fault.
    pub fn again(&self, scope: &Scope) -> String {
        let id = self.requirement.id;
        // A sweep plays what is about another requirement without a fault, too.
        let is_of_play = |it: &&Broken<'_>| scope.part.sweep || !it.result.faults.is_empty();
        let first = self.failures.first();
        let Some(Broken { result, .. }) = first.filter(is_of_play) else {
            // What other scenarios show takes them.
            let takes_all = first.is_some_and(|it| it.finding.at_first.is_some());
            return if takes_all { scope.again() } else { format!("{} --only {id}", scope.again()) };
        };
        format!("{} --keyword {}{}", scope.command, shell_words::quote(&result.path), fault_flags(&result.faults))
    }
}

/// What became of a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The module did otherwise.
    Broken,
    /// The module did otherwise in some plays of a scenario, and passed it in others.
    Flaky,
    /// The module did otherwise, as it is known to.
    Excused,
    /// The module did so, on so many occasions.
    Met,
    /// It was not put to the test here; another shard may do that.
    Elsewhere,
    /// It was not put to the test.
    NotExercised,
    /// The release, or the module, has no use for it; or nothing that the API shows can judge it.
    NotApplicable,
}

impl State {
    /// All of them, the worst first.
    pub const ALL: [Self; 7] = [
        State::Broken,
        State::Flaky,
        State::Excused,
        State::Met,
        State::Elsewhere,
        State::NotExercised,
        State::NotApplicable,
    ];

    /// Whether it is counted in a summary where nothing is in it: only who plays again, lists known failures, or plays in
    /// shards has to know of that.
    pub fn is_always_counted(self) -> bool {
        !matches!(self, State::Flaky | State::Excused | State::Elsewhere)
    }

    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            State::Broken => "broken",
            State::Flaky => "flaky",
            State::Excused => "excused",
            State::Met => "met",
            State::Elsewhere => "in another shard",
            State::NotExercised => "not exercised",
            State::NotApplicable => "not applicable",
        }
    }

    /// What it means, for whoever sees it for the first time.
    pub fn in_words(self) -> &'static str {
        match self {
            State::Broken => "the module did otherwise",
            State::Flaky => "the module did otherwise in some plays of a scenario, and passed it in others",
            State::Excused => "it is broken, as it is listed to be",
            State::Met => "the module did so, on so many occasions on which it could have been broken",
            State::Elsewhere => "it was not put to the test here; another shard may do that",
            State::NotExercised => "it was not put to the test, and what would do that",
            State::NotApplicable => "the release has no such thing, or no scenario that was chosen judges it",
        }
    }

    /// The word in data.
    pub fn key(self) -> &'static str {
        match self {
            State::Elsewhere => "in_another_shard",
            State::NotExercised => "not_exercised",
            State::NotApplicable => "not_applicable",
            other => other.word(),
        }
    }
}

/// A failure that breaks a requirement.
#[derive(Debug, Clone, Copy)]
pub struct Broken<'r> {
    /// Where it came about.
    pub result: &'r ScenarioResult,
    /// What was found.
    pub finding: &'r Diagnostic,
}

/// One requirement.
#[derive(Debug, Clone)]
pub struct Row<'r> {
    /// Which.
    pub requirement: &'static Requirement,
    /// What became of it.
    pub state: State,
    /// On how many occasions it could have been broken.
    pub occasions: usize,
    /// The failures that break it, the most telling first, also those that are excused.
    pub failures: Vec<Broken<'r>>,
    /// Why it is not applicable or was not exercised, or what would exercise it; under which releases it is met, if not under
    /// all that were played; empty otherwise.
    pub reason: String,
    /// Whether that is what would exercise it.
    pub is_advice: bool,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Matrix<'r> {
    /// What was judged.
    pub scope: &'r Scope,
    /// Under which releases.
    pub releases: BTreeSet<Release>,
    /// The requirements, by subject.
    pub rows: Vec<Row<'r>>,
    /// Failures that break no requirement, faults of khumbu's own, and why the module was not judged, in a scenario or at all.
    pub others: Vec<Broken<'r>>,
    /// Why scenarios judged less than they could, and warnings: what decides nothing, and whoever reads should know.
    pub asides: Vec<Broken<'r>>,
    /// The scenarios that were played and judged less than they name, each with the first that it did not put to the test.
    pub unexercised: Vec<Broken<'r>>,
    /// Whether the module was judged at all.
    pub is_judged: bool,
    /// Whether the user ended it before its end.
    pub is_interrupted: bool,
}

impl Row<'_> {
    /// The releases under which it failed, earliest first.
    pub fn releases(&self) -> Vec<&'static str> {
        let releases: BTreeSet<_> = self.failures.iter().map(|it| it.result.release).collect();
        releases.into_iter().map(Release::label).collect()
    }

    /// Whether it makes the module fail.
    pub fn is_fatal(&self) -> bool {
        match self.state {
            State::Broken => true,
            State::Flaky => self.failures.iter().any(Broken::is_fatal),
            _ => false,
        }
    }
}

impl Broken<'_> {
    fn is_fatal(&self) -> bool {
        self.result.verdict != Verdict::Flaky
    }

    /// Whether it makes the module fail, whatever it breaks.
    pub fn is_failure(&self) -> bool {
        self.finding.severity == Severity::Fail && self.is_fatal()
    }
}

impl Matrix<'_> {
    /// How many requirements are in this state.
    pub fn count(&self, state: State) -> usize {
        self.rows.iter().filter(|row| row.state == state).count()
    }
}

/// The matrix of these results.
pub fn matrix<'r>(results: &'r [Arc<ScenarioResult>], scope: &'r Scope, is_interrupted: bool) -> Matrix<'r> {
    let releases: BTreeSet<_> = results.iter().map(|result| result.release).collect();
    let is_of_module = |requirement: &&Requirement| {
        requirement.binds.is_side(scope.side) && scope.apis.iter().any(|api| requirement.concerns(*api))
    };
    let rows = requirements::all().iter().filter_map(|requirement| {
        let row = row(requirement, results, &releases, scope);
        let is_wanted = is_of_module(&requirement)
            && (scope.only.is_empty() || scope.only.contains(&requirement.id))
            && (!scope.is_partial
                || row.state <= State::Elsewhere
                || results.iter().any(|result| names(result, requirement)));
        (is_wanted || row.state <= State::Flaky).then_some(row)
    });
    let rows: Vec<_> = rows.collect();
    let others = all_findings(results).filter(|it| match it.finding.severity {
        Severity::Fail => it.finding.requirement.is_none(),
        severity => severity == Severity::Error,
    });
    let mut others: Vec<_> = others.collect();
    let is_judged = rows.iter().any(|row| row.state <= State::Met) && results.iter().any(|result| has_judged(result));
    // One that is ready in some scenarios alone may hide what it does in the others.
    let is_unready =
        |it: &Broken<'_>| it.finding.subject == Subject::NotReady && it.finding.severity == Severity::Inconclusive;
    if is_judged {
        others.extend(all_findings(results).filter(is_unready));
    } else {
        let why = |it: &Broken<'_>| it.finding.severity == Severity::Inconclusive && !it.finding.is_unexercised;
        others.extend(all_findings(results).find(why));
    }
    let is_told = |it: &Broken<'_>| others.iter().any(|other| std::ptr::eq(other.finding, it.finding));
    let asides = all_findings(results).filter(|it| is_aside(it) && !is_told(it)).collect();
    let unexercised = results.iter().filter_map(|result| unexercised(result)).collect();
    Matrix { scope, rows, others, asides, unexercised, releases, is_judged, is_interrupted }
}

/// Why a scenario is inconclusive, if it was played, and nothing but what it did not put to the test is why.
fn unexercised(result: &ScenarioResult) -> Option<Broken<'_>> {
    let mut why = result.findings.iter().filter(|found| found.severity == Severity::Inconclusive);
    let was_played = result.duration > Duration::ZERO && result.verdict == Verdict::Inconclusive;
    let finding = why.clone().next().filter(|_| was_played && why.all(|found| found.is_unexercised))?;
    Some(Broken { result, finding })
}

/// Whether it decides nothing, but tells why a scenario judged less, or warns; not what is excused, or what a requirement
/// says itself that was not exercised.
fn is_aside(it: &Broken<'_>) -> bool {
    match it.finding.severity {
        Severity::Inconclusive => !it.finding.is_unexercised,
        Severity::Warning => !it.result.findings.iter().any(|found| found.subject == Subject::Excuse),
        _ => false,
    }
}

/// Whether a scenario got as far as judging the module: not one that was never ready, whatever was seen of it by then.
fn has_judged(result: &ScenarioResult) -> bool {
    let was_stopped = |it: &Diagnostic| it.severity == Severity::Inconclusive && !it.is_unexercised;
    match result.verdict {
        Verdict::Pass | Verdict::Fail | Verdict::Flaky | Verdict::Excused => true,
        Verdict::Inconclusive => {
            let is_played = !result.evidence.shown.is_empty() || !result.evidence.did.is_empty();
            is_played && !result.findings.iter().any(was_stopped)
        }
        Verdict::Error | Verdict::NotApplicable => false,
    }
}

fn all_findings<'r>(results: &'r [Arc<ScenarioResult>]) -> impl Iterator<Item = Broken<'r>> {
    let plays = results.iter().flat_map(|result| result.plays());
    plays.flat_map(|result| result.findings.iter().map(move |finding| Broken { result, finding }))
}

fn names(result: &ScenarioResult, requirement: &Requirement) -> bool {
    result.requirements.iter().any(|id| id == requirement.id)
}

fn row<'r>(
    requirement: &'static Requirement,
    results: &'r [Arc<ScenarioResult>],
    releases: &BTreeSet<Release>,
    scope: &Scope,
) -> Row<'r> {
    let id = requirement.id;
    let occasions = results.iter().filter_map(|result| result.occasions.get(id)).sum();
    let of_it = || all_findings(results).filter(|it| it.finding.requirement == Some(id));
    let mut failures: Vec<_> = of_it().filter(|it| it.finding.severity == Severity::Fail).collect();
    // Stable: of those that tell as much, the first.
    failures.sort_by_key(|it| (!it.result.faults.is_empty(), telling(it.finding)));
    let excused = || {
        let is_known = |it: &Broken<'_>| {
            let listed = |found: &Diagnostic| found.id == "known-failure/excused" && found.requirement == Some(id);
            it.finding.severity == Severity::Warning && it.result.findings.iter().any(listed)
        };
        of_it().filter(is_known).collect::<Vec<_>>()
    };
    let new = |state, failures, reason| Row { requirement, state, occasions, failures, reason, is_advice: false };
    if !failures.is_empty() && failures.iter().all(|it| it.result.is_flaky()) {
        return new(State::Flaky, failures, String::new());
    }
    if !failures.is_empty() {
        return new(State::Broken, failures, String::new());
    }
    let excused = excused();
    if !excused.is_empty() {
        return new(State::Excused, excused, String::new());
    }
    if !releases.is_empty() && !releases.iter().any(|release| requirement.is_in_force(*release)) {
        let from = requirement.from.map_or("another release", Release::name);
        return new(State::NotApplicable, Vec::new(), format!("EVerest makes it from {from} on"));
    }
    let mut undecided = all_findings(results).filter(|it| is_undecided(it.finding, id));
    if let Some(Broken { finding, .. }) = undecided.next() {
        let reason = finding.help.clone().unwrap_or_default();
        return Row { occasions: 0, is_advice: true, ..new(State::NotExercised, Vec::new(), reason) };
    }
    if occasions > 0 {
        let (in_force, others): (Vec<Release>, Vec<Release>) =
            releases.iter().copied().partition(|release| requirement.is_in_force(*release));
        let in_force: Vec<_> = in_force.into_iter().map(Release::label).collect();
        let reason = if others.is_empty() { String::new() } else { format!("under {} alone", in_force.join(", ")) };
        return new(State::Met, Vec::new(), reason);
    }
    if scope.elsewhere.contains(id) {
        return new(State::Elsewhere, Vec::new(), String::new());
    }
    let named: Vec<_> = results.iter().filter(|result| names(result, requirement)).collect();
    if named.is_empty() && !occasions::is_watched(id, scope.side) {
        return new(State::NotApplicable, Vec::new(), "no scenario that was chosen judges it".to_owned());
    }
    if !named.is_empty() && named.iter().all(|result| result.verdict == Verdict::NotApplicable) {
        let why = named.iter().flat_map(|result| &result.findings).map(|found| found.headline.clone()).next();
        return new(State::NotApplicable, Vec::new(), why.unwrap_or_default());
    }
    // What is watched everywhere any scenario might have put to the test.
    let is_of_it = |result: &&Arc<ScenarioResult>| occasions::is_watched(id, scope.side) || names(result, requirement);
    if let Some(why) = results.iter().filter(is_of_it).find_map(|result| why_unplayed(result)) {
        return new(State::NotExercised, Vec::new(), why.headline.clone());
    }
    // What is watched everywhere has an occasion wherever the module does it.
    let others: &[_] = if occasions::is_watched(id, scope.side) { results } else { &[] };
    let (reason, is_advice) = what_would_exercise(id, &named, others);
    Row { is_advice, ..new(State::NotExercised, Vec::new(), reason) }
}

/// How much a failure tells of what is wrong, the most first: that it is excused no longer, that the module ended, what it was
/// seen to do, and at last what it was not seen to do.
fn telling(found: &Diagnostic) -> u8 {
    match found.subject {
        _ if found.id.starts_with("known-failure/") => 0,
        Subject::ModuleEnd => 1,
        _ if found.id == "expect/missing" => 3,
        _ => 2,
    }
}

const ENDED_EARLY: &str = "the scenarios that name it ended early, over another failure";

/// What would put a requirement to the test, from what kept the scenarios that name it, or else others, from doing so; or what
/// that was, if nobody knows better.
fn what_would_exercise(id: &str, named: &[&Arc<ScenarioResult>], others: &[Arc<ScenarioResult>]) -> (String, bool) {
    // What failed before it came to that would have put it to the test without more ado.
    let is_cut_short = |found: &Diagnostic| {
        found.severity == Severity::Fail && matches!(found.subject, Subject::Expectation | Subject::ModuleEnd)
    };
    if named.iter().flat_map(|result| &result.findings).any(is_cut_short) {
        return (ENDED_EARLY.to_owned(), false);
    }
    let is_open = |it: &&Diagnostic| it.severity == Severity::Inconclusive;
    let open = || named.iter().flat_map(|result| &result.findings).filter(is_open);
    // Nothing need be told to a module that would only have to listen.
    if let Some(Diagnostic { help: Some(help), .. }) = open().find(|found| is_unheard(found, id)) {
        return (help.clone(), true);
    }
    let prompt = prompts::of(id);
    if let Some(prompt) = prompt {
        let others = others.iter().flat_map(|result| &result.findings).filter(is_open);
        let advice = open().chain(others).filter_map(|found| Some((astray(prompt, found)?, found)));
        if let Some((_, Diagnostic { help: Some(help), .. })) = advice.min_by_key(|(astray, _)| *astray) {
            return (help.clone(), true);
        }
    }
    // What leads to something else is no advice.
    let names_commands = |help: &String| command_names().iter().any(|command| names_command(help, command));
    let leads_elsewhere = |found: &Diagnostic| prompt.is_some() && found.help.as_ref().is_some_and(names_commands);
    let best = open().find(|found| found.is_unexercised && !leads_elsewhere(found));
    let best = best.or_else(|| open().find(|found| !found.is_unexercised || prompt.is_none()));
    match (best, prompt) {
        (Some(Diagnostic { help: Some(help), is_unexercised: true, .. }), _) => (help.clone(), true),
        (Some(found), _) => (found.headline.clone(), false),
        (None, _) if named.iter().any(|result| result.verdict >= Verdict::Error) => (ENDED_EARLY.to_owned(), false),
        (None, Some(prompt)) => (format!("an occasion: {}, of the module's own accord", prompt.deed), true),
        (None, None) => {
            ("an occasion: the module did nothing, and was shown nothing, that it is about".to_owned(), true)
        }
    }
}

/// How far the advice of a finding leads beside what the module would have to do; `None` if it leads elsewhere. What a module may
/// also do by itself is the better advice.
fn astray(prompt: prompts::Prompt, found: &Diagnostic) -> Option<(usize, bool)> {
    let help = found.help.as_ref().filter(|_| found.is_unexercised)?;
    let named = |command: &&&str| names_command(help, command);
    let others = command_names().iter().filter(|command| !prompt.commands.contains(command));
    prompt.commands.iter().find(named)?;
    Some((others.filter(named).count(), found.id != "module/not-exercised"))
}

/// Whether an advice says how to tell this command.
fn names_command(help: &str, command: &str) -> bool {
    help.contains(&format!("`{command}`"))
}

/// Nothing is broken.
const PASSED: u8 = 0;
/// Something is broken.
const BROKEN: u8 = 1;
/// The module could not be judged at all, or khumbu is at fault; if that is asked for, also that something was not put to
/// the test.
const UNDECIDED: u8 = 3;

/// How the process ends.
pub fn exit_code(matrix: &Matrix<'_>, is_strict: bool) -> u8 {
    if matrix.rows.iter().any(Row::is_fatal) || matrix.others.iter().any(Broken::is_failure) {
        BROKEN
    } else if matrix.others.iter().any(|it| it.finding.severity != Severity::Fail)
        || matrix.is_interrupted
        || !matrix.is_judged
        || is_strict && matrix.count(State::NotExercised) > 0
    {
        UNDECIDED
    } else {
        PASSED
    }
}

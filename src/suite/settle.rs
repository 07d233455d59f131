//! What one scenario shows of another one's failure: one fault breaks one requirement.
//!
//! A scenario that asks for what a module owes, and shows it nothing else, tells whether the module does that at all. If it
//! does not, other scenarios say no more by its absence, whatever they are about; if it does so elsewhere, it is what they are
//! about that keeps it from it. Nor does a module that sleeps until it is woken break more than what it sleeps by, nor one
//! that is late wherever it is more than that where it is too late; nor one that falls silent with each lost connection, or while a
//! reply stays out, more than what it was seen to break by that alone.
//!
//! A module that goes on without an acknowledgement in one scenario has not stopped over a message in another one where nothing
//! comes after it.
//!
//! Nor does one that connects again wherever its connection is lost stay away at the end of a scenario unless what reads has ended
//! there.
//!
//! What may be an accident once is none where a module does so in one scenario after the other, and never does otherwise.
//!
//! A module that ends may have stumbled over several things that it was handed at once. It has rather stumbled over what it
//! ends over again and again than over what it has survived elsewhere: Ochiai's measure of suspicion, as the location of
//! faults by tests uses it (Abreu et al., "On the accuracy of spectrum-based fault localization", 2007).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::conformance::judge::STAYS_AWAY;
use crate::conformance::monitors::NOT_RESUMED;
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::verdict::{ScenarioResult, Verdict};

/// The results, where what a module fails to do at all breaks that requirement alone, and what it ends over the one that
/// explains most ends.
pub fn settle(results: Vec<Arc<ScenarioResult>>) -> Vec<Arc<ScenarioResult>> {
    let owes = Owes::of(&results);
    let ends = Ends::of(&results);
    let habits = habits(&results);
    let skipped = skipped(&results);
    let stays_away = stays_away(&results);
    let other = |play: &ScenarioResult, found: &Diagnostic| {
        if found.id == STOPPED && skipped.is_some() {
            return Some((found.severity, skipped));
        }
        if STAYS_AWAY.contains(&found.id) && found.requirement != Some("CN-1") && stays_away {
            return Some((found.severity, Some("CN-1")));
        }
        if is_accident(found) && habits.contains(found.id) {
            return Some((Severity::Fail, found.requirement));
        }
        // Whoever says `false` in its place has no `true` to say.
        let says_false = |habit: &&Diagnostic| habit.id == CHECKS_STOPPED && habits.contains(habit.id);
        if is_unmet(found)
            && found.owed_by == Some("CC-8")
            && let Some(habit) = play.findings.iter().find(says_false)
        {
            return Some((found.severity, habit.requirement));
        }
        let requirement = owes.broken(play, found).or_else(|| ends.culprit(found))?;
        let severity = if found.id == DEAF { Severity::Fail } else { found.severity };
        let revised = (severity, Some(requirement));
        (revised != (found.severity, found.requirement)).then_some(revised)
    };
    results.iter().map(|result| settled(result, &other)).collect()
}

/// What a finding is now that all results were asked.
type Revised = (Severity, Option<&'static str>);

/// The result, where each finding is what it is now, if that is something else. So it is in all plays of a scenario.
fn settled(
    result: &Arc<ScenarioResult>,
    other: &impl Fn(&ScenarioResult, &Diagnostic) -> Option<Revised>,
) -> Arc<ScenarioResult> {
    let is_other = |play: &ScenarioResult| play.findings.iter().any(|found| other(play, found).is_some());
    if !result.plays().any(is_other) {
        return result.clone();
    }
    let revised: Vec<_> = result.findings.iter().map(|found| other(result, found)).collect();
    let mut result = ScenarioResult::clone(result);
    for (found, revised) in result.findings.iter_mut().zip(revised) {
        let Some((severity, requirement)) = revised else { continue };
        if severity != found.severity {
            result.verdict = result.verdict.max(Verdict::Fail);
        }
        found.revise(severity, requirement);
    }
    result.other_plays = result.other_plays.iter().map(|play| settled(play, other)).collect();
    Arc::new(result)
}

/// A module that acknowledges no more, as far as its scenario shows.
const STOPPED: &str = "module/stopped-acknowledging";
/// One that has left an acknowledgement out.
const SKIPPED: &str = "module/skipped-acknowledgement";

/// A module that acknowledges nothing; what reads of one that does so elsewhere has ended over the first message.
const DUMB: &str = "module/acknowledges-nothing";
/// A module that does not read any more, or does not connect again by itself; a warning until it is known which.
const DEAF: &str = "module/reads-no-more";

/// What a module breaks that leaves acknowledgements out, if it is seen to.
fn skipped(results: &[Arc<ScenarioResult>]) -> Option<&'static str> {
    let mut findings = results.iter().flat_map(|result| &result.findings);
    findings.find(|found| found.id == SKIPPED).and_then(|found| found.requirement)
}

/// Whether a module does not listen again where nothing but its connection is at stake.
fn stays_away(results: &[Arc<ScenarioResult>]) -> bool {
    let is_it = |found: &Diagnostic| {
        STAYS_AWAY.contains(&found.id) && found.severity == Severity::Fail && found.requirement == Some("CN-1")
    };
    results.iter().flat_map(|result| &result.findings).any(is_it)
}

/// Warnings of what is an accident once.
const ACCIDENTS: [&str; 2] = ["monitor/handed-in-again", CHECKS_STOPPED];
/// A module that says `false` and means no end.
const CHECKS_STOPPED: &str = "monitor/checks-stopped";
/// In so many scenarios it is none.
const NO_ACCIDENT: usize = 2;

fn is_accident(found: &Diagnostic) -> bool {
    found.severity == Severity::Warning && ACCIDENTS.contains(&found.id)
}

/// The accidents that are none: what a module does in several scenarios, and in none otherwise.
fn habits(results: &[Arc<ScenarioResult>]) -> BTreeSet<&'static str> {
    let mut seen: BTreeMap<_, usize> = BTreeMap::new();
    let accidents = results.iter().filter_map(|result| result.findings.iter().find(|found| is_accident(found)));
    accidents.for_each(|found| *seen.entry((found.id, found.requirement)).or_default() += 1);
    let is_habit = |((_, requirement), count): &((&str, Option<&'static str>), usize)| {
        let is_otherwise = |result: &Arc<ScenarioResult>| requirement.is_some_and(|id| result.survived.contains(id));
        *count >= NO_ACCIDENT && !results.iter().any(is_otherwise)
    };
    seen.into_iter().filter(is_habit).map(|((id, _), _)| id).collect()
}

/// What the scenarios say of what a module owes and does not do.
struct Owes {
    /// What it does in scenarios that do not fail by it.
    kept: BTreeSet<&'static str>,
    /// What it was seen not to do at all.
    broken: BTreeSet<&'static str>,
    /// What kept it from doing anything at all until it was woken.
    asleep: Option<&'static str>,
    /// What it does late again and again, and does all the same, where nothing is found amiss but that.
    late: BTreeSet<&'static str>,
    /// What it does not do any more once it has lost its connection, where nothing else was at stake.
    not_resumed: BTreeSet<&'static str>,
}

/// In so many scenarios a module is late in, being late has nothing to do with what they are about.
const LATE: usize = 2;

impl Owes {
    fn of(results: &[Arc<ScenarioResult>]) -> Self {
        let fails_by = |result: &ScenarioResult, id| {
            result.findings.iter().any(|it| it.severity == Severity::Fail && it.requirement == Some(id))
        };
        let kept = results.iter().flat_map(|result| {
            result.occasions.keys().copied().filter(move |id| !fails_by(result, *id)).collect::<Vec<_>>()
        });
        let slept = |found: &&Diagnostic| found.severity == Severity::Fail && found.subject == Subject::NotReady;
        let asleep = results.iter().flat_map(|result| &result.findings).find(slept).and_then(|found| found.requirement);
        let not_resumed = not_resumed(results);
        let mut owes = Self { kept: kept.collect(), broken: BTreeSet::new(), asleep, late: late(results), not_resumed };
        // What it does elsewhere, but for a lost connection, it was not seen not to do at all.
        let does = |result: &ScenarioResult| silent(result).is_some_and(|id| owes.kept.contains(id));
        let unmet = results.iter().filter(|result| !does(result)).flat_map(|result| &result.findings);
        let unmet = unmet.filter(|found| is_unmet(found));
        owes.broken = unmet.filter_map(|found| owes.shown(found).or(found.requirement)).collect();
        owes.broken.extend(unmet_alive(results));
        owes
    }

    /// What a module breaks that does elsewhere what it owes.
    fn shown(&self, found: &Diagnostic) -> Option<&'static str> {
        let owed = found.owed_by.filter(|id| found.requirement == Some(*id) && self.kept.contains(id));
        owed.and_then(|_| found.suspects.first().copied())
    }

    /// What a failure breaks, if this says another thing than its scenario.
    fn broken(&self, play: &ScenarioResult, found: &Diagnostic) -> Option<&'static str> {
        if !is_unmet(found) {
            return None;
        }
        if found.owed_by.is_some() && self.asleep.is_some() {
            return self.asleep;
        }
        let is_silent = |id| self.not_resumed.contains(id) && silent(play) == Some(id);
        let is_explained = |id: &&'static str| self.broken.contains(*id) || self.late.contains(*id) || is_silent(*id);
        // What else may keep it from it, where that was seen on its own.
        let other = found.suspects.iter().skip(1).copied().find(|id| self.broken.contains(id));
        found.owed_by.filter(is_explained).or(other).or_else(|| self.shown(found))
    }
}

/// What a module owes and does not do where it goes on with other things, whatever its scenarios are about.
fn unmet_alive(results: &[Arc<ScenarioResult>]) -> Vec<&'static str> {
    let mut about: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for found in results.iter().flat_map(|result| &result.findings).filter(|found| is_unmet(found)) {
        let (first, others) = (found.suspects.first(), found.suspects.iter().skip(1));
        if let (Some(owed), Some(first)) = (others.copied().find(|id| found.owed_by == Some(*id)), first) {
            about.entry(owed).or_default().insert(*first);
        }
    }
    about.into_iter().filter(|(_, about)| about.len() >= NO_ACCIDENT).map(|(owed, _)| owed).collect()
}

/// What a module owes and has done too late, as a monitor has seen by what it sent, in several scenarios that miss nothing
/// else of it.
fn late(results: &[Arc<ScenarioResult>]) -> BTreeSet<&'static str> {
    let mut seen: BTreeMap<_, usize> = BTreeMap::new();
    for result in results.iter().filter(|result| !result.findings.iter().any(is_unmet)) {
        let is_late = |found: &&Diagnostic| {
            // Where nothing came any more, something may have stopped it.
            let came = found.severity == Severity::Fail && found.at_record.is_some();
            came && found.subject == Subject::Requirement && found.id == "monitor/communication-check-late"
        };
        let ids: BTreeSet<_> = result.findings.iter().filter(is_late).filter_map(|found| found.requirement).collect();
        ids.into_iter().for_each(|id| *seen.entry(id).or_default() += 1);
    }
    seen.into_iter().filter(|(_, count)| *count >= LATE).map(|(id, _)| id).collect()
}

/// What the module owed and did not do any more after it had lost its connection, as a monitor has seen.
fn silent(result: &ScenarioResult) -> Option<&'static str> {
    result.findings.iter().find(|found| found.id == NOT_RESUMED).and_then(|found| found.requirement)
}

/// The same, where no step says that something else may be why.
fn not_resumed(results: &[Arc<ScenarioResult>]) -> BTreeSet<&'static str> {
    let is_it = |result: &&Arc<ScenarioResult>| {
        let fails = |found: &Diagnostic| {
            let is_alone = found.suspects.iter().all(|id| *id == "CN-1");
            found.severity == Severity::Fail && is_alone && found.requirement == silent(result)
        };
        result.findings.iter().any(fails)
    };
    results.iter().filter(is_it).filter_map(|result| silent(result)).collect()
}

/// Whether it is that the module has not done what a step expects.
fn is_unmet(found: &Diagnostic) -> bool {
    found.severity == Severity::Fail && found.subject == Subject::Expectation
}

/// What the scenarios say of the requirements that a module may have broken which ends.
#[derive(Default)]
struct Ends {
    /// In how many scenarios the module has ended, and may have done so over this.
    ended: BTreeMap<&'static str, u32>,
    /// In how many it has survived this.
    survived: BTreeMap<&'static str, u32>,
    /// Of how many ends it is the likeliest explanation.
    explained: BTreeMap<&'static str, u32>,
    /// Whether it was seen to connect again.
    comes_back: bool,
    /// Whether it was seen to acknowledge anything.
    acknowledges: bool,
}

impl Ends {
    fn of(results: &[Arc<ScenarioResult>]) -> Self {
        let comes_back = results.iter().any(|result| result.occasions.contains_key("CN-1"));
        let acknowledges = results.iter().any(|result| result.acknowledges);
        let mut ends = Self { comes_back, acknowledges, ..Self::default() };
        for result in results {
            let mut over = BTreeSet::new();
            let fatal = result.findings.iter().filter(|found| ends.is_end(found));
            let count = fatal.inspect(|found| over.extend(found.suspects.iter().copied())).count();
            // What came shortly before the end says nothing.
            let (list, ids) = if count > 0 { (&mut ends.ended, &over) } else { (&mut ends.survived, &result.survived) };
            for id in ids {
                *list.entry(id).or_default() += 1;
            }
        }
        let findings = results.iter().flat_map(|result| &result.findings);
        let likeliest: Vec<_> = findings.filter_map(|found| ends.likeliest(found)).collect();
        for id in likeliest {
            *ends.explained.entry(id).or_default() += 1;
        }
        ends
    }

    /// Whether it is that the module has ended, or what reads of it, over something that it was handed.
    fn is_end(&self, found: &Diagnostic) -> bool {
        let is_fatal = match found.id {
            DEAF => self.comes_back,
            DUMB => self.acknowledges,
            _ => found.severity == Severity::Fail,
        };
        is_fatal && found.subject == Subject::ModuleEnd
    }

    /// How suspicious a requirement is: the square of Ochiai's measure, times the number of all ends.
    fn suspicion(&self, id: &str) -> f64 {
        let count = |list: &BTreeMap<&'static str, u32>| f64::from(list.get(id).copied().unwrap_or_default());
        let (ended, survived) = (count(&self.ended), count(&self.survived));
        // Of what only other plays of a scenario show, nothing is known.
        ended * ended / (ended + survived).max(1.0)
    }

    /// What a module may have broken that has ended: what is about as suspicious as anything, the likeliest by the scenario
    /// first.
    fn suspects<'f>(&self, found: &'f Diagnostic) -> impl DoubleEndedIterator<Item = &'static str> + use<'_, 'f> {
        /// What is more than half as suspicious is about as suspicious: how many scenarios happen to show the same says
        /// little.
        const ABOUT: f64 = 0.5;
        /// It says less still of what was survived before.
        const ABOUT_WHERE_SURVIVED: f64 = 0.3;
        let suspects: &[&'static str] = if self.is_end(found) { &found.suspects } else { &[] };
        let most = suspects.iter().map(|id| (self.suspicion(id), *id)).max_by(|(a, _), (b, _)| a.total_cmp(b));
        let (most, share) = most.map_or((0.0, ABOUT), |(most, id)| match self.survived.get(id) {
            None => (most, ABOUT),
            Some(_) => (most, ABOUT_WHERE_SURVIVED),
        });
        suspects.iter().copied().filter(move |id| self.suspicion(id) > most * share)
    }

    /// The likeliest of these: what it has never survived, or what is there at most of its ends.
    fn likeliest(&self, found: &Diagnostic) -> Option<&'static str> {
        let ends = |id: &&'static str| match self.survived.contains_key(id) {
            true => self.ended.get(id).copied(),
            false => Some(u32::MAX),
        };
        // Of equal ones the first, which `max_by_key` finds as the last of the reversed.
        self.suspects(found).rev().max_by_key(ends)
    }

    /// The one of these that it has broken: what others of its ends are explained by explains this one, too.
    fn culprit(&self, found: &Diagnostic) -> Option<&'static str> {
        self.suspects(found).rev().max_by_key(|id| self.explained.get(id))
    }
}

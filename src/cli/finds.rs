//! What a campaign of `khumbu fuzz` has found: as scenario files, for people, and as a report.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::campaign::Survived;
use crate::diagnostic::Diagnostic;
use crate::diagnostic::words::cut;
use crate::fuzz::{Case, Coverage, Find, Head};
use crate::timespan::Timespan;
use crate::yaml;

/// So often a find must fail in the same way to be one.
pub const TIMES: usize = 3;

/// What was found, as small as it got.
pub struct Found {
    /// How it fails.
    pub find: Find,
    /// The least that fails so.
    pub case: Case,
    /// The number of the case that was drawn, and of how many inputs it was.
    pub number: u64,
    /// See `number`.
    pub drawn: usize,
    /// After how long it was made smaller no more, if it might have got smaller.
    pub cut_off_after: Option<Duration>,
    /// How often of [`TIMES`] times it failed in the same way.
    pub times: usize,
    /// What is said of it.
    pub finding: Diagnostic,
    /// Where it is kept.
    pub file: Option<PathBuf>,
}

impl Found {
    /// Whether it is a find: it fails each time.
    pub fn is_one(&self) -> bool {
        self.times == TIMES
    }
}

/// What came of the whole.
#[derive(Default)]
pub struct Tally {
    /// How many cases were played.
    pub cases: u64,
    /// Of how many inputs.
    pub inputs: u64,
    /// What fails.
    pub found: Vec<Found>,
    /// What a client has survived in cases that passed, and in how many.
    pub survived: Survived,
    /// How often a case that fails in this way was made smaller, whatever name that has got.
    pub looked: BTreeMap<Find, u64>,
    /// How often the same was found again.
    pub again: BTreeMap<Find, u64>,
    /// What kept cases from judging the module, and how often.
    pub unjudged: BTreeMap<String, u64>,
    /// Known files that fail, and how.
    pub known: Vec<(PathBuf, Diagnostic)>,
    /// Files of earlier finds that cannot be read.
    pub unread: Vec<PathBuf>,
    /// Whether the corpus takes no file.
    pub is_unsaved: bool,
    /// How often a case failed in this way and was not looked at any more, as the user wanted an end.
    pub cut_short: BTreeMap<Find, u64>,
    /// Whether nothing more can be judged: khumbu is at fault, or the module is never ready.
    pub is_broken: bool,
    /// What was reached.
    pub coverage: Coverage,
    /// What can be reached; nothing as long as nobody knows.
    pub reachable: Coverage,
    /// How many cases the corpus has got.
    pub kept: usize,
}

impl Tally {
    /// Whether a case shows what is known, in a file or by as little; what is no find hides none.
    pub fn knows(&self, case: &Case, finding: &Diagnostic) -> bool {
        let is_shown = |found: &Found| {
            let is_same = Find::is_same(&found.finding, finding) && Find::shape(&found.case) == Find::shape(case);
            is_same || Find::from(finding).is_shown_by_less(case, (&found.find, &found.case))
        };
        self.found.iter().filter(|found| found.is_one()).any(is_shown)
            || self.known.iter().any(|(_, known)| Find::is_same(known, finding))
    }
}

/// Writes a file under a name that no other one has.
///
/// # Errors
/// When the directory takes none.
pub fn write_new(directory: &Path, (name, extension): (&str, &str), text: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    let numbered = (2..).map(|number| format!("{name}_{number}.{extension}"));
    for file in std::iter::once(format!("{name}.{extension}")).chain(numbered) {
        let path = directory.join(file);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened?.write_all(text.as_bytes()).map(|()| path),
        }
    }
    unreachable!("there are more numbers than files")
}

/// Makes sure that a directory is there and takes files.
///
/// # Errors
/// When it does not.
pub fn try_to_write(directory: &Path) -> io::Result<()> {
    fs::remove_file(write_new(directory, (".khumbu", "tmp"), "")?)
}

/// The name of a find, for people.
pub fn named(find: &Find) -> String {
    match find.requirement {
        Some(requirement) => format!("{requirement}, {}", find.id),
        None => find.id.to_owned(),
    }
}

/// The scenario file of a find.
pub fn file(found: &Found, seed: u64) -> String {
    let comment =
        format!("Found by `khumbu fuzz --seed {seed}`, case {}, as one of {} inputs.", found.number, found.drawn);
    let text = found.case.scenario(&Head {
        comment: &comment,
        description: &found.finding.headline,
        requirement: found.find.requirement,
        within_ms: None,
    });
    yaml::format(&text).unwrap_or(text)
}

/// As much of an input is shown, in characters; its file has all of it.
const LONGEST: usize = 600;
/// So many inputs are shown.
const MOST: usize = 20;

/// A find, for people.
pub fn told(found: &Found, seed: u64) -> String {
    let Found { find, case, number, drawn, times, finding, file: path, .. } = found;
    let count = case.inputs.len();
    let inputs = if count == 1 { "1 input".to_owned() } else { format!("{count} inputs") };
    let what = find.requirement.map_or_else(|| "the module fails".to_owned(), |id| format!("{id} is broken"));
    let (word, rate) = match times {
        &TIMES => ("fail[fuzz/found]", String::new()),
        _ => ("inconclusive[fuzz/not-reproduced]", format!(", {times} of {TIMES} times")),
    };
    let mut text = format!("\n{word}: {what} by {inputs}{rate} (shrunk from {drawn}, seed {seed}, case {number})\n");
    text.push_str(&format!("   = [{}]: {}\n", finding.id, finding.headline));
    let lines = case.inputs.iter().take(MOST).map(|input| cut(&input.step(), LONGEST).replace('\n', "\n   |"));
    text.extend(lines.map(|line| format!("   | - {line}\n")));
    if count > MOST {
        text.push_str(&format!("   | and {} more\n", count - MOST));
    }
    if let Some(after) = found.cut_off_after {
        let longer = Timespan((after * 2).max(Duration::from_secs(1)));
        text.push_str(&format!(
            "   = it was made smaller for {} only; `--max-shrink {longer}` goes on\n",
            Timespan(after)
        ));
    }
    match path {
        Some(path) => text.push_str(&format!("   = saved: {}\n", path.display())),
        None if *times == TIMES => text.push_str("   = help: `--save DIR` keeps it as a scenario file\n"),
        None => {}
    }
    text
}

/// The whole, for people.
pub fn summary(tally: &Tally, took: Duration) -> String {
    let Tally { cases, inputs, found, again, unjudged, known, .. } = tally;
    let mut text = String::from("\n");
    for (why, count) in unjudged {
        text.push_str(&format!("inconclusive{why}; {count} cases\n"));
    }
    for (find, count) in &tally.cut_short {
        let name = named(find);
        text.push_str(&format!("inconclusive[run/interrupted]: {name}; not looked at any more, {count} cases\n"));
    }
    for (find, count) in again {
        text.push_str(&format!("found again: {}; {count} cases\n", named(find)));
    }
    let seconds = took.as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = *cases as f64 / seconds.max(0.001);
    text.push_str(&reached(tally));
    let finds = found.iter().filter(|found| found.is_one()).count();
    let others = match found.len() - finds {
        0 => String::new(),
        others => format!(", {others} not reproduced"),
    };
    text.push_str(&format!(
        "{finds} found{others}, {} known; {cases} cases, {inputs} inputs in {}, {rate:.0} cases a second\n",
        known.len(),
        crate::diagnostic::words::shown(took)
    ));
    text
}

/// The whole, as JSON.
pub fn report(tally: &Tally, seed: u64, took: Duration) -> String {
    let found: Vec<_> = tally
        .found
        .iter()
        .map(|found| {
            json!({
                "id": found.find.id, "requirement": found.find.requirement, "message": found.finding.headline,
                "case": found.number, "drawn": found.drawn, "inputs": found.case.inputs.iter().map(|it| it.step()).collect::<Vec<_>>(),
                "cut_off": found.cut_off_after.is_some(), "reproduced": found.times, "of": TIMES, "file": found.file,
            })
        })
        .collect();
    let report = json!({
        "schema_version": 1, "command": "khumbu fuzz", "seed": seed, "cases": tally.cases, "inputs": tally.inputs,
        "duration_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "unjudged": tally.unjudged,
        "coverage": coverage(tally),
        "not_looked_at": tally.cut_short.iter().map(|(find, count)| (named(find), count)).collect::<BTreeMap<_, _>>(),
        "known": tally.known.iter().map(|(path, _)| path).collect::<Vec<_>>(), "found": found,
    });
    format!("{report:#}\n")
}

/// What was reached, of how much.
pub fn reached(tally: &Tally) -> String {
    let (all_states, all_transitions) = tally.reachable.len();
    let requirements = tally.coverage.requirements().len();
    if tally.reachable.is_empty() {
        return format!("exercised {requirements} requirements\n");
    }
    let (states, transitions) = tally.coverage.reached_of(&tally.reachable);
    let corpus = if tally.kept > 0 { format!("; {} new in the corpus", tally.kept) } else { String::new() };
    format!(
        "reached {states} of {all_states} states of an EVSE and {transitions} of {all_transitions} transitions, \
         exercised {requirements} requirements{corpus}\n"
    )
}

fn coverage(tally: &Tally) -> serde_json::Value {
    let (all_states, all_transitions) = tally.reachable.len();
    let (states, transitions) = tally.coverage.reached_of(&tally.reachable);
    json!({
        "states": states, "of_states": all_states, "transitions": transitions, "of_transitions": all_transitions,
        "requirements": tally.coverage.requirements(), "kept": tally.kept,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::diagnostic::Severity;
    use crate::fuzz::{Ground, Input};
    use crate::protocol::channel::ApiType;
    use crate::protocol::release::Release;
    use crate::protocol::side::Side;

    fn finding() -> Diagnostic {
        Diagnostic::new(Severity::Fail, "module/ended", "module `auth_api` ended").breaking("CN-2")
    }

    #[test]
    fn what_failed_and_was_not_looked_at_is_named() {
        let tally = Tally { cut_short: BTreeMap::from([(Find::from(&finding()), 2)]), ..Tally::default() };
        let text = summary(&tally, Duration::from_secs(1));
        assert!(text.contains("[run/interrupted]: CN-2, module/ended; not looked at any more, 2 cases\n"), "{text}");
        let report: serde_json::Value = serde_json::from_str(&report(&tally, 1, Duration::ZERO)).unwrap();
        assert_eq!(report["not_looked_at"]["CN-2, module/ended"], 2);
    }

    #[test]
    fn of_many_inputs_some_are_shown() {
        let ground = Ground::all(Side::Client, ApiType::AUTH_CONSUMER, Release::default()).remove(0);
        let told = |count: usize| {
            let case = Case { ground: ground.clone(), inputs: vec![Input::Disconnect; count] };
            let (find, finding) = (Find::from(&finding()), finding());
            told(&Found { find, case, number: 3, drawn: count, cut_off_after: None, times: 3, finding, file: None }, 1)
        };
        let lines = |text: &str| text.matches("| - disconnect\n").count();
        let (few, many) = (told(MOST), told(MOST + 7));
        assert_eq!((lines(&few), lines(&many)), (MOST, MOST));
        assert!(!few.contains(" more\n") && many.contains("   | and 7 more\n"), "{many}");
    }
}

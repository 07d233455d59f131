//! Verdicts and the stream of events from a run to its reports.
//!
//! Verdicts only ever get worse within a scenario: pass < inconclusive < error < fail. What a module did wrong stays so,
//! whatever else went wrong beside it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Place, Severity, printable};
use crate::protocol::release::Release;

/// What became of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The chosen release has no such feature, or the module was declared not to have it.
    NotApplicable,
    /// The module did wrong, as it is known to.
    Excused,
    /// The module did wrong in some plays and passed in others, and whoever played lets that pass.
    Flaky,
    /// Everything was as it should be.
    #[default]
    Pass,
    /// The module was never judged.
    Inconclusive,
    /// The scenario or the harness is at fault.
    Error,
    /// The module did wrong.
    Fail,
}

impl Verdict {
    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::NotApplicable => "not_applicable",
            Verdict::Excused => "excused",
            Verdict::Flaky => "flaky",
            Verdict::Pass => "pass",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Fail => "fail",
            Verdict::Error => "error",
        }
    }

    /// The verdict that a diagnostic leads to.
    pub fn of(diagnostic: &Diagnostic) -> Self {
        match diagnostic.severity {
            Severity::Note | Severity::Warning => Verdict::Pass,
            Severity::Inconclusive => Verdict::Inconclusive,
            Severity::Fail => Verdict::Fail,
            Severity::Error => Verdict::Error,
        }
    }
}

/// What a scenario shows of the module under test: how many messages of which name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// What the module was shown: delivered, and acknowledged if the QoS asks for that.
    pub shown: BTreeMap<&'static str, usize>,
    /// What the scenario expected of khumbu's own side, and the module was not shown.
    pub not_shown: BTreeMap<&'static str, usize>,
    /// What the module sent.
    pub did: BTreeMap<&'static str, usize>,
    /// What faults befell.
    pub injected: BTreeMap<String, usize>,
}

impl Evidence {
    /// All of it in one line; empty if there is nothing.
    pub fn in_words(&self) -> String {
        fn list<K: std::fmt::Display>(word: &str, list: &BTreeMap<K, usize>) -> Option<String> {
            let counts: Vec<_> = list.iter().map(|(name, count)| format!("{count} {name}")).collect();
            (!counts.is_empty()).then(|| format!("{word} {}", counts.join(", ")))
        }
        let lists = [
            list("shown", &self.shown),
            list("not shown", &self.not_shown),
            list("did", &self.did),
            list("injected", &self.injected),
        ];
        lists.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

/// A message that passed the broker, as reports show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// The number of its record.
    pub seq: u64,
    /// When, since the broker started.
    pub at: Duration,
    /// Whether the module under test sent it; khumbu otherwise.
    pub is_by_module: bool,
    /// What it is, in a word.
    pub name: &'static str,
    /// Its topic, with the base of the API module elided.
    pub topic: String,
    /// Its payload as text; what is no UTF-8 is replaced, and a long one is cut.
    pub payload: String,
    /// 0, 1 or 2.
    pub qos: u8,
    /// The retain flag.
    pub retain: bool,
}

impl Passed {
    /// The longest payload that is kept, in characters.
    pub const LONGEST: usize = 4096;

    /// Whether its payload was longer.
    pub fn is_cut(&self) -> bool {
        self.payload.chars().nth(Self::LONGEST).is_some()
    }

    /// Who sent it, in a word.
    pub fn sender(&self) -> &'static str {
        if self.is_by_module { "module" } else { "khumbu" }
    }

    /// Its payload without its line feeds, and what indents the lines.
    pub fn gist(&self) -> String {
        self.payload.lines().map(str::trim).collect::<Vec<_>>().join(" ")
    }

    /// All of it in one line, safe to print.
    pub fn line(&self) -> String {
        let Self { at, topic, qos, retain, .. } = self;
        let (retained, payload) = (if *retain { " retained" } else { "" }, self.gist());
        let line = format!("{:>9.3} s  {}  {topic} q{qos}{retained} {payload}", at.as_secs_f64(), self.sender());
        printable(&line)
    }
}

/// So many messages before a failure are kept.
const BEFORE: usize = 24;
/// And so many after it.
const AFTER: usize = 6;

/// Those of these messages, in order, that passed around a finding.
pub fn around<'m, M>(messages: &'m [M], seq: impl Fn(&M) -> u64, finding: &Diagnostic) -> &'m [M] {
    let at = finding.at_record.map_or(messages.len(), |at| messages.partition_point(|it| seq(it) <= at));
    &messages[at.saturating_sub(BEFORE)..(at + AFTER).min(messages.len())]
}

/// The result of one scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScenarioResult {
    /// The path as given.
    pub path: String,
    /// The description.
    pub description: String,
    /// The fault that was laid over it, step by step as written.
    pub faults: Vec<String>,
    /// The release of EVerest that was played.
    pub release: Release,
    /// The worst of all findings.
    pub verdict: Verdict,
    /// From the start of the broker to the end of the module.
    pub duration: Duration,
    /// The requirements that the scenario names.
    pub requirements: Vec<String>,
    /// Failures first to last, then notes and warnings.
    pub findings: Vec<Diagnostic>,
    /// What the module wrote, its last lines, standard output and standard error in order of arrival.
    pub output: Vec<String>,
    /// How many of these lines it wrote while khumbu ended it.
    pub last_lines: usize,
    /// What the module was shown and did.
    pub evidence: Evidence,
    /// On how many occasions each requirement could have been broken.
    pub occasions: BTreeMap<&'static str, usize>,
    /// The requirements that the module could have broken by ending over what it was shown, and has not.
    pub survived: BTreeSet<&'static str>,
    /// The requirements that it could have broken by ending over what it was handed, survived or not.
    pub risked: BTreeSet<&'static str>,
    /// The step with which it ended before all were played, for what monitors had found or the time that it had taken, where that
    /// was wanted.
    pub stopped_at: Option<Place>,
    /// Whether the module has acknowledged anything that it was handed.
    pub acknowledges: bool,
    /// Whether the module was seen to listen for what it is told to do.
    pub hears_orders: bool,
    /// What passed around its failures, in order.
    pub messages: Vec<Passed>,
    /// Of so many messages.
    pub messages_in_all: usize,
    /// How it went in all plays, where it was played again.
    pub again: Option<Again>,
    /// The other plays, in their order, where it was played again.
    pub other_plays: Vec<Arc<ScenarioResult>>,
    /// The text of the pending golden, where the transcript differs from the accepted one.
    pub pending_golden: Option<String>,
}

/// The last lines that a module wrote: before khumbu ended it, if it wrote anything then, because what a program says at
/// its end hides what was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastWords<'r> {
    /// The lines, in order.
    pub lines: &'r [String],
    /// Of so many.
    pub of: usize,
    /// Whether it wrote more while khumbu ended it.
    pub is_until_ended: bool,
}

/// How a scenario went that was played again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// How often it was played.
    pub plays: usize,
    /// In how many plays it failed.
    pub failed: usize,
    /// In how many it passed.
    pub passed: usize,
}

impl Again {
    /// Whether it failed and passed.
    pub fn is_flaky(self) -> bool {
        self.failed > 0 && self.passed > 0
    }

    /// How often it failed.
    pub fn in_words(self) -> String {
        format!("it failed in {} of {} plays", self.failed, self.plays)
    }
}

/// The flags that lay these faults over a scenario again, each after a blank.
pub fn fault_flags(faults: &[String]) -> String {
    faults.iter().map(|step| format!(" --fault {}", shell_words::quote(step))).collect()
}

impl ScenarioResult {
    /// What it is called: its path, and the fault that was laid over it.
    pub fn title(&self) -> Cow<'_, str> {
        match self.faults.as_slice() {
            [] => Cow::Borrowed(&self.path),
            faults => Cow::Owned(format!("{} under `{}`", self.path, faults.join("; "))),
        }
    }

    /// The last lines that the module wrote, at most so many.
    pub fn last_words(&self, most: usize) -> LastWords<'_> {
        let before = self.output.len().saturating_sub(self.last_lines);
        let is_until_ended = before > 0 && self.last_lines > 0;
        let lines = if is_until_ended { &self.output[..before] } else { &self.output[..] };
        LastWords { lines: &lines[lines.len().saturating_sub(most)..], of: lines.len(), is_until_ended }
    }

    /// Whether it failed in some plays and passed in others.
    pub fn is_flaky(&self) -> bool {
        self.again.is_some_and(Again::is_flaky)
    }

    /// This play and the others.
    pub fn plays(&self) -> impl Iterator<Item = &ScenarioResult> {
        std::iter::once(self).chain(self.other_plays.iter().map(AsRef::as_ref))
    }

    /// The messages around a finding of this result.
    pub fn around(&self, finding: &Diagnostic) -> &[Passed] {
        around(&self.messages, |passed| passed.seq, finding)
    }
}

/// What a run tells while it runs.
#[derive(Debug, Clone)]
pub enum RunEvent {
    /// The run begins.
    Started {
        /// How many scenarios will be played, each release counted.
        scenarios: usize,
        /// Under how many releases.
        releases: usize,
        /// How many at once.
        jobs: usize,
    },
    /// A scenario begins.
    ScenarioStarted {
        /// Its path.
        path: String,
    },
    /// A step of a scenario begins.
    StepBegan {
        /// The path of the scenario, as when it began.
        path: String,
        /// The line of the step.
        line: usize,
    },
    /// A scenario waits.
    Awaited {
        /// Its path, as when it began.
        path: String,
        /// What it waits for: the line of the step, and the step as it is written.
        what: String,
        /// How long it may still take.
        within: Duration,
        /// Whether this wait was told of before, with another time.
        is_prolonged: bool,
    },
    /// A scenario ended.
    ScenarioFinished(Arc<ScenarioResult>),
    /// The run was interrupted by the user; scenarios that had not begun are not in the results.
    Interrupted,
    /// The run ended.
    Finished {
        /// Wall time.
        duration: Duration,
    },
}

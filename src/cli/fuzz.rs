//! `khumbu fuzz`: plays cases that nobody thought of against a module, makes what fails as small as it gets, and keeps it as a
//! scenario file.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config as DrawConfig, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::config::Config;
use super::module_flags::{ModuleFlags, api, side};
use super::output::Output;
use super::playing::perform;
use super::{Exit, print};
use crate::conformance::requirements;
use crate::diagnostic::{Diagnostic, Severity};
use crate::fuzz::{Case, Find, Ground, Shrink, strategies};
use crate::protocol::channel::ApiType;
use crate::protocol::release::Release;
use crate::protocol::side::Side;
use crate::protocol::wire::Wire;
use crate::runner::{self, Piece, Settings};
use crate::scenario::{self, Known, Scenario};
use crate::timespan::Timespan;
use crate::verdict::{ScenarioResult, Verdict};

/// How long is fuzzed if nobody says.
const FOR: Duration = Duration::from_secs(60);
/// How long a find is made smaller if nobody says.
const MAX_SHRINK: Duration = Duration::from_secs(30);
/// So often a find must fail in the same way to be one.
const TIMES: usize = 3;

/// Plays what nobody thought of: inputs drawn from a model of the station, and messages drawn from the description of the
/// API. What fails is made as small as it gets, and is a scenario file.
///
/// Ends with 0 if nothing was found, 1 if something was, 2 for wrong usage, and 3 if the module could not be judged or if
/// khumbu is at fault.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The side on which the module stands
    #[arg(long, value_name = "client|everest", value_parser = side)]
    side: Side,
    /// The API whose client the module is [default: auth_consumer]
    #[arg(long, value_name = "NAME", value_parser = api)]
    api: Option<ApiType>,
    #[command(flatten)]
    module: ModuleFlags,
    /// What the draws begin with: the same cases each time, however many are played at once [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many cases are played at most
    #[arg(long, value_name = "N")]
    cases: Option<u64>,
    /// How long cases are played at most [default: 60s, if no --cases are given]
    #[arg(long = "for", value_name = "TIME")]
    within: Option<Timespan>,
    /// The most inputs of a case
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    inputs: u16,
    /// How long a find is made smaller at most [default: 30s]
    #[arg(long, value_name = "TIME")]
    max_shrink: Option<Timespan>,
    /// End after so many finds
    #[arg(long, value_name = "N")]
    finds: Option<usize>,
    /// Keep finds in this directory as scenario files; those that are there are played first
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// How many cases are played at once [default: twice the processors; 64 times, if the module is built in]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Write a JSON report; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What was found, as small as it got.
struct Found {
    find: Find,
    case: Case,
    /// The number of the case that was drawn, and of how many inputs it was.
    number: u64,
    drawn: usize,
    /// How often of [`TIMES`] times it failed in the same way.
    times: usize,
    finding: Diagnostic,
    file: Option<PathBuf>,
}

/// What came of the whole.
#[derive(Default)]
struct Tally {
    cases: u64,
    inputs: u64,
    found: Vec<Found>,
    /// How often the same was found again.
    again: BTreeMap<Find, u64>,
    /// What kept cases from judging the module, and how often.
    unjudged: BTreeMap<String, u64>,
    /// Known files that fail.
    known: Vec<(PathBuf, Find)>,
    is_broken: bool,
}

struct Campaign {
    ground: Ground,
    settings: Settings,
    seed: u64,
    inputs: usize,
    cases: Option<u64>,
    within: Option<Duration>,
    max_shrink: Duration,
    finds: Option<usize>,
    save: Option<PathBuf>,
    interrupt: watch::Receiver<bool>,
    /// Where what is for people goes.
    say: fn(&str),
}

/// Fuzzes.
pub fn run(arguments: Arguments) -> Exit {
    let out = match arguments.json.as_deref().map(Output::open).transpose() {
        Ok(out) => out,
        Err(diagnostic) => return print::refused(vec![*diagnostic]),
    };
    let prepared = Config::load(arguments.module.topics.config.as_deref()).and_then(|config| {
        let mut settings = arguments.module.settings(&config).map_err(|diagnostic| vec![*diagnostic])?;
        let api = arguments.api.unwrap_or_default();
        if arguments.side == Side::Everest && api != ApiType::AUTH_CONSUMER {
            let headline = "`--api` is for clients: an EVerest is asked through `auth_consumer`";
            return Err(vec![Diagnostic::new(Severity::Error, "usage/other-side", headline)]);
        }
        let empty = Case { ground: Ground::new(arguments.side, api), inputs: Vec::new() };
        let scenario = read(&format!("--side {}", arguments.side.name()), &empty.scenario("none", None, ""))?;
        let is_right = arguments.module.check_sides(&[scenario], &config);
        is_right.map_err(|diagnostic| vec![Diagnostic { place: None, ..*diagnostic }])?;
        settings.station = config.station()?;
        // Most of a case is waiting for the client to say that it is there.
        let jobs = if settings.module.is_builtin() { settings.jobs * 4 } else { settings.jobs };
        settings.jobs = arguments.jobs.map_or(jobs, usize::from);
        Ok(settings)
    });
    let settings = match prepared {
        Ok(settings) => settings,
        Err(diagnostics) => return print::refused(diagnostics),
    };
    let seed = arguments.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    let api = arguments.api.unwrap_or_default();
    let say: fn(&str) = if arguments.json.as_deref() == Some(Path::new("-")) { print::err } else { print::out };
    say(&format!("fuzzing a module on the side `{}` of {}, seed {seed}\n", arguments.side.name(), api.name()));
    let started = Instant::now();
    let played = perform(|interrupt| async move {
        let campaign = Campaign {
            ground: Ground::new(arguments.side, api),
            settings,
            seed,
            inputs: usize::from(arguments.inputs),
            cases: arguments.cases,
            within: match (arguments.within, arguments.cases) {
                (Some(span), _) => Some(span.0),
                (None, None) => Some(FOR),
                (None, Some(_)) => None,
            },
            max_shrink: arguments.max_shrink.map_or(MAX_SHRINK, |span| span.0),
            finds: arguments.finds,
            save: arguments.save,
            interrupt,
            say,
        };
        campaign.run().await
    });
    let tally = match played {
        Ok((tally, _)) => tally,
        Err(exit) => return exit,
    };
    let took = started.elapsed();
    say(&summary(&tally, took));
    if let Some(out) = out {
        out.write(&report(&tally, seed, took));
    }
    let is_found = tally.found.iter().any(|found| found.times == TIMES) || !tally.known.is_empty();
    let is_unjudged = tally.unjudged.values().sum::<u64>() >= tally.cases || !tally.found.is_empty();
    match tally {
        Tally { is_broken: true, .. } => Exit::Error,
        _ if is_found => Exit::Fail,
        _ if is_unjudged => Exit::Error,
        _ => Exit::Pass,
    }
}

impl Campaign {
    async fn run(&self) -> Tally {
        let mut tally = Tally::default();
        self.play_known(&mut tally).await;
        let began = Instant::now();
        let drawn = strategies::inputs(&self.ground, 1..self.inputs + 1);
        let mut number = 0;
        loop {
            let left = self.cases.map_or(u64::MAX, |cases| cases.saturating_sub(number));
            if left == 0 || self.is_over(&tally, began) {
                return tally;
            }
            let count = left.min(u64::try_from(self.settings.jobs).unwrap_or(1) * 2);
            let cases: Vec<_> = (number..number + count).map(|number| (number, self.draw(&drawn, number))).collect();
            number += count;
            let results = self.play(cases.iter().map(|(_, case)| case)).await;
            for ((number, case), result) in cases.into_iter().zip(results) {
                tally.cases += 1;
                tally.inputs += case.inputs.len() as u64;
                self.take(&mut tally, number, case, &result).await;
                if self.is_over(&tally, began) {
                    return tally;
                }
            }
        }
    }

    fn is_over(&self, tally: &Tally, began: Instant) -> bool {
        *self.interrupt.borrow()
            || self.within.is_some_and(|within| began.elapsed() >= within)
            || self.finds.is_some_and(|finds| tally.found.len() >= finds)
            || tally.is_broken
    }

    /// The case of a number: the same one whatever was drawn before.
    fn draw(&self, drawn: &impl Strategy<Value = Vec<crate::fuzz::Input>>, number: u64) -> Case {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&number.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let mut runner =
            TestRunner::new_with_rng(DrawConfig { failure_persistence: None, ..DrawConfig::default() }, rng);
        // Every state has something to offer.
        let inputs = drawn.new_tree(&mut runner).map(|tree| tree.current()).unwrap_or_default();
        // Every form has its turn.
        let form = usize::try_from(number).unwrap_or_default() % Wire::ALL.len();
        Case { ground: Ground { wire: Wire::ALL[form], ..self.ground.clone() }, inputs }
    }

    /// Looks at how a case came out; what fails in a new way is made smaller and kept.
    async fn take(&self, tally: &mut Tally, number: u64, case: Case, result: &ScenarioResult) {
        if result.verdict == Verdict::Error {
            if std::mem::replace(&mut tally.is_broken, true) {
                return;
            }
            print::diagnostics(&result.findings);
            (self.say)(&case.scenario("a case that khumbu cannot play", None, ""));
            return;
        }
        let Some(find) = Find::of(result) else {
            if result.verdict == Verdict::Inconclusive {
                let why = result.findings.iter().find(|found| found.severity == Severity::Inconclusive);
                let why = why.map_or_else(String::new, |why| format!("[{}]: {}", why.id, why.headline));
                *tally.unjudged.entry(why).or_default() += 1;
            }
            return;
        };
        let is_known =
            tally.found.iter().any(|found| found.find == find) || tally.known.iter().any(|(_, it)| *it == find);
        if is_known {
            *tally.again.entry(find).or_default() += 1;
            return;
        }
        let drawn = case.inputs.len();
        let case = self.shrink(case, &find).await;
        if tally.found.iter().any(|less| find.is_shown_by_less(&case, (&less.find, &less.case))) {
            *tally.again.entry(find).or_default() += 1;
            return;
        }
        let results = self.play(std::iter::repeat_n(&case, TIMES)).await;
        if results.len() < TIMES {
            // The user wants an end, and nobody knows whether it fails again.
            return;
        }
        let same: Vec<_> = results.iter().filter_map(|result| find.finding(result)).collect();
        let Some(finding) = same.first().copied().or_else(|| find.finding(result)).cloned() else { return };
        let mut found = Found { case, number, drawn, times: same.len(), finding, file: None, find };
        self.keep(&mut found);
        (self.say)(&told(&found, self.seed));
        tally.found.push(found);
    }

    async fn shrink(&self, case: Case, find: &Find) -> Case {
        let (began, ground) = (Instant::now(), case.ground);
        let mut shrink = Shrink::new(case.inputs);
        loop {
            let candidates: Vec<_> = shrink
                .candidates()
                .into_iter()
                .map(|inputs| Case { ground: ground.clone(), inputs })
                .enumerate()
                .collect();
            let is_over = began.elapsed() >= self.max_shrink || *self.interrupt.borrow();
            if candidates.is_empty() || is_over {
                break;
            }
            shrink.failed(self.first_failing(candidates, find).await);
        }
        let mut case = Case { ground, inputs: shrink.least().to_vec() };
        if case.ground.wire != Wire::Everest {
            let ordinary = Case { ground: self.ground.clone(), inputs: case.inputs.clone() };
            if self.first_failing(vec![(0, ordinary.clone())], find).await.is_some() {
                case = ordinary;
            }
        }
        loop {
            let simpler: Vec<_> = case.simpler().into_iter().enumerate().collect();
            let is_over = began.elapsed() >= self.max_shrink || *self.interrupt.borrow();
            if simpler.is_empty() || is_over {
                return case;
            }
            match self.first_failing(simpler.clone(), find).await {
                Some(index) => case = simpler[index].1.clone(),
                None => return case,
            }
        }
    }

    /// The number of the first of these that fails in this way; several are played at once.
    async fn first_failing(&self, candidates: Vec<(usize, Case)>, find: &Find) -> Option<usize> {
        let possible: Vec<_> = candidates.into_iter().filter(|(_, case)| case.is_possible()).collect();
        for some in possible.chunks(self.settings.jobs.max(1)) {
            let results = self.play(some.iter().map(|(_, case)| case)).await;
            let failed = some.iter().zip(&results).find(|(_, result)| find.is_in(result));
            if let Some(((index, _), _)) = failed {
                return Some(*index);
            }
        }
        None
    }

    /// Plays cases, and returns their results in order.
    async fn play(&self, cases: impl Iterator<Item = &Case>) -> Vec<Arc<ScenarioResult>> {
        let (mut pieces, mut results) = (Vec::new(), Vec::new());
        for case in cases {
            let read = read("case.yaml", &case.scenario("what nobody thought of", None, ""));
            results.push(read.as_ref().err().map(|why| Arc::new(unread(why))));
            pieces.extend(read.ok().map(piece));
        }
        let mut played = self.play_pieces(pieces).await.into_iter();
        results.into_iter().map_while(|unread| unread.or_else(|| played.next())).collect()
    }

    async fn play_pieces(&self, pieces: Vec<Piece>) -> Vec<Arc<ScenarioResult>> {
        // Nobody watches each of them.
        let (events, _) = mpsc::unbounded_channel();
        runner::run(pieces, self.settings.clone(), events, self.interrupt.clone()).await
    }

    /// Plays the files that earlier finds have left.
    async fn play_known(&self, tally: &mut Tally) {
        let Some(directory) = &self.save else { return };
        let mut files: Vec<_> =
            fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        files.sort();
        for path in files {
            let scenario =
                fs::read_to_string(&path).ok().and_then(|text| read(&path.display().to_string(), &text).ok());
            let is_meant =
                |it: &Scenario| it.model.under_test == self.ground.under_test && it.model.api == self.ground.api;
            let Some(scenario) = scenario.filter(is_meant) else { continue };
            let results = self.play_pieces(vec![piece(scenario)]).await;
            for result in results {
                if let Some(find) = Find::of(&result) {
                    (self.say)(&format!("fails still: {} ({})\n", path.display(), named(&find)));
                    tally.known.push((path.clone(), find));
                }
            }
        }
    }

    /// Writes the file of a find, under a name that no other file has.
    fn keep(&self, found: &mut Found) {
        let Some(directory) = self.save.as_deref().filter(|_| found.times == TIMES) else { return };
        let text = file(found, self.seed);
        match write_new(directory, &found.find.name(), &text) {
            Ok(path) => found.file = Some(path),
            Err(error) => {
                let headline = format!("`{}` takes no file: {error}", directory.display());
                print::diagnostics(&[Diagnostic::new(Severity::Error, "fuzz/not-saved", headline)]);
            }
        }
    }
}

/// The result of a case that is no scenario, which is khumbu's fault.
fn unread(why: &[Diagnostic]) -> ScenarioResult {
    ScenarioResult { verdict: Verdict::Error, findings: why.to_vec(), ..ScenarioResult::default() }
}

fn write_new(directory: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    let numbered = (2..).map(|number| format!("{name}_{number}.yaml"));
    for file in std::iter::once(format!("{name}.yaml")).chain(numbered) {
        let path = directory.join(file);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened?.write_all(text.as_bytes()).map(|()| path),
        }
    }
    unreachable!("there are more numbers than files")
}

fn read(path: &str, text: &str) -> Result<Scenario, Vec<Diagnostic>> {
    let ids: Vec<_> = requirements::ids().collect();
    scenario::parse(path, text, Known { requirements: &ids, answers: None })
}

fn piece(scenario: Scenario) -> Piece {
    let scenario = Arc::new(scenario);
    Piece { scenario, release: Release::default(), golden: None, recorder: None, replay: None, fault: None }
}

fn named(find: &Find) -> String {
    match find.requirement {
        Some(requirement) => format!("{requirement}, {}", find.id),
        None => find.id.to_owned(),
    }
}

/// The scenario file of a find.
fn file(found: &Found, seed: u64) -> String {
    let comment =
        format!("Found by `khumbu fuzz --seed {seed}`, case {}, as one of {} inputs.", found.number, found.drawn);
    found.case.scenario(&found.finding.headline, found.find.requirement, &comment)
}

/// A find, for people.
fn told(found: &Found, seed: u64) -> String {
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
    text.extend(case.inputs.iter().map(|input| format!("   | - {}\n", input.step())));
    match path {
        Some(path) => text.push_str(&format!("   = saved: {}\n", path.display())),
        None if *times == TIMES => text.push_str("   = help: `--save DIR` keeps it as a scenario file\n"),
        None => {}
    }
    text
}

fn summary(tally: &Tally, took: Duration) -> String {
    let Tally { cases, inputs, found, again, unjudged, known, .. } = tally;
    let mut text = String::from("\n");
    for (why, count) in unjudged {
        text.push_str(&format!("inconclusive{why}; {count} cases\n"));
    }
    for (find, count) in again {
        text.push_str(&format!("found again: {}; {count} cases\n", named(find)));
    }
    let seconds = took.as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = *cases as f64 / seconds.max(0.001);
    text.push_str(&format!(
        "{} found, {} known; {cases} cases, {inputs} inputs in {}, {rate:.0} cases a second\n",
        found.len(),
        known.len(),
        crate::diagnostic::words::shown(took)
    ));
    text
}

fn report(tally: &Tally, seed: u64, took: Duration) -> String {
    let found: Vec<_> = tally
        .found
        .iter()
        .map(|found| {
            json!({
                "id": found.find.id, "requirement": found.find.requirement, "message": found.finding.headline,
                "case": found.number, "drawn": found.drawn, "inputs": found.case.inputs.iter().map(|it| it.step()).collect::<Vec<_>>(),
                "reproduced": found.times, "of": TIMES, "file": found.file,
            })
        })
        .collect();
    let report = json!({
        "schema_version": 1, "command": "khumbu fuzz", "seed": seed, "cases": tally.cases, "inputs": tally.inputs,
        "duration_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "unjudged": tally.unjudged,
        "known": tally.known.iter().map(|(path, _)| path).collect::<Vec<_>>(), "found": found,
    });
    format!("{report:#}\n")
}

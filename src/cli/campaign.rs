//! A campaign of `khumbu fuzz`: draws cases, plays many at once, makes what fails as small as it gets, and keeps it.
//!
//! Cases are played in batches: one module plays several, one after the other, with the station at rest between them. Of a
//! batch that does not pass, each case is played again by itself, with a module of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use proptest::arbitrary::any;
use proptest::sample::Index;
use proptest::strategy::{SBoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::{Config as DrawConfig, RngAlgorithm, TestRng, TestRunner};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::finds::{Found, TIMES, Tally, file, named, reached, told, write_new};
use super::{print, progress};
use crate::conformance::requirements;
use crate::diagnostic::{Diagnostic, Severity};
use crate::fuzz::{Case, Coverage, Find, Ground, Head, Input, Joined, Shrink, strategies};
use crate::protocol::side::Side;
use crate::protocol::wire::Wire;
use crate::report::Shard;
use crate::runner::{self, Piece, Settings};
use crate::scenario::{self, Known, Scenario};
use crate::verdict::{ScenarioResult, Verdict};

/// So many cases are played by one module, if all goes well.
const BATCH: u64 = 16;
/// So many modules at once keep a processor busy, each of which waits for most of its time.
const MODULES: usize = 32;
/// So far apart one more module at a time is started, after a few.
const APART: Duration = Duration::from_millis(100);
/// How often a find is made smaller that fails as a known one does, to see whether it is another one.
const LOOKS: u64 = 4;

/// What a case is said to be that is played.
const AS_PLAYED: Head<'static> =
    Head { comment: "", description: "what nobody thought of", requirement: None, within_ms: None };
/// While a find is made smaller a message is not waited for so long; what is found by that is played again as it stands.
const IN_HASTE: Head<'static> = Head { within_ms: Some(1000), ..AS_PLAYED };

/// What is to be done.
pub struct Campaign {
    /// Where cases stand; each has its turn.
    pub grounds: Vec<Ground>,
    /// How they are played.
    pub settings: Settings,
    /// What the draws begin with.
    pub seed: u64,
    /// The most inputs of a case.
    pub inputs: usize,
    /// How many cases there are, on all machines together.
    pub cases: Option<u64>,
    /// For how long.
    pub within: Option<Duration>,
    /// How long a find is made smaller.
    pub max_shrink: Duration,
    /// How many finds are enough.
    pub finds: Option<usize>,
    /// The part of the cases that is this machine's.
    pub shard: Option<Shard>,
    /// Where finds are kept.
    pub save: Option<PathBuf>,
    /// Where cases are kept that reached something new.
    pub corpus: Option<PathBuf>,
    /// When it began to draw.
    pub began: Instant,
    /// The user wants an end.
    pub interrupt: watch::Receiver<bool>,
    /// Where what is for people goes.
    pub say: fn(&str),
}

/// Strategies by ground, and what the corpus has for it.
struct Source {
    drawn: Vec<SBoxedStrategy<Vec<Input>>>,
    corpus: Vec<Vec<Case>>,
}

/// A case that was played.
struct Outcome {
    number: u64,
    case: Case,
    result: Arc<ScenarioResult>,
}

impl Campaign {
    /// Does it.
    pub async fn run(mut self) -> Tally {
        let mut tally = Tally::default();
        // What still runs when it is over ends as if the user wanted it to.
        let (end, ended) = watch::channel(false);
        let end = Arc::new(end);
        tokio::spawn(pass_on(std::mem::replace(&mut self.interrupt, ended), end.clone()));
        self.play_known(&mut tally).await;
        self.learn(&mut tally).await;
        if tally.is_broken {
            return tally;
        }
        let grounds = self.grounds.clone();
        let exploring = tokio::task::spawn_blocking(move || Coverage::reachable(&grounds));
        let corpus = self.read_corpus();
        let draws = self.grounds.iter().map(|ground| strategies::inputs(ground, 1..self.inputs + 1).sboxed());
        let source = Arc::new(Source { drawn: draws.collect(), corpus });
        self.began = Instant::now();
        let me = Arc::new(self);
        me.clone().play_all(source, &mut tally, &end).await;
        tally.reachable = exploring.await.unwrap_or_default();
        tally
    }

    async fn play_all(self: Arc<Self>, source: Arc<Source>, tally: &mut Tally, end: &watch::Sender<bool>) {
        let bar = progress::bar(None, "{msg}");
        // A batch keeps its module busy nearly all the time, a single case waits most of it.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.settings.jobs.max(1);
        let is_single = runner::one_at_a_time(&self.settings).is_some();
        let at_once = if is_single { 1 } else { jobs.min(processors * MODULES) };
        let batches = self.cases.map_or(u64::MAX, |cases| cases.div_ceil(BATCH));
        let mut open = (0..batches).filter(|batch| self.is_ours(*batch)).enumerate();
        let (mut playing, mut played, mut next) = (JoinSet::new(), BTreeMap::new(), 0);
        // What the corpus has comes first.
        let known: Vec<_> = source.corpus.iter().flatten().cloned().collect();
        for outcome in self.play_batch(known.into_iter().map(|case| (0, case)).collect()).await {
            self.take(tally, outcome).await;
        }
        loop {
            // Modules that start all at once keep each other from being ready in time.
            let begun = self.began.elapsed().as_millis() / APART.as_millis();
            let room = at_once.min(processors * 2 + usize::try_from(begun).unwrap_or(usize::MAX));
            while playing.len() < room && !self.is_over(tally) {
                let Some((order, batch)) = open.next() else { break };
                let (me, source) = (self.clone(), source.clone());
                playing.spawn(async move { (order, me.play_batch(me.draw_batch(&source, batch)).await) });
            }
            let joined = tokio::select! {
                joined = playing.join_next() => joined,
                () = tokio::time::sleep(APART), if room < at_once => continue,
            };
            let Some(Ok((order, outcomes))) = joined else { break };
            played.insert(order, outcomes);
            // In order, so that the same is found first whatever is played at once.
            while let Some(outcomes) = played.remove(&next) {
                next += 1;
                for outcome in outcomes {
                    self.take_unless_enough(tally, outcome).await;
                    self.show(&bar, tally);
                }
            }
            if self.is_over(tally) {
                break;
            }
        }
        // What is done counts, also where something before it is not.
        for outcome in played.into_values().flatten() {
            self.take_unless_enough(tally, outcome).await;
        }
        // Modules are processes, which have to be ended.
        end.send_replace(true);
        while playing.join_next().await.is_some() {}
        bar.finish_and_clear();
    }

    fn show(&self, bar: &ProgressBar, tally: &Tally) {
        let seconds = self.began.elapsed().as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = tally.cases as f64 / seconds.max(0.001);
        bar.set_message(format!(
            "{seconds:.0} s, {} cases, {rate:.0} a second, {} found; {}",
            tally.cases,
            tally.found.len(),
            reached(tally).trim_end()
        ));
    }

    fn is_ours(&self, batch: u64) -> bool {
        let of = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.shard.is_none_or(|shard| batch % of(shard.of) == of(shard.index - 1))
    }

    fn is_over(&self, tally: &Tally) -> bool {
        self.is_enough(tally) || self.is_late()
    }

    /// Whether nothing more is to be looked at, not even what was played in time.
    fn is_enough(&self, tally: &Tally) -> bool {
        *self.interrupt.borrow() || self.finds.is_some_and(|finds| tally.found.len() >= finds) || tally.is_broken
    }

    async fn take_unless_enough(&self, tally: &mut Tally, outcome: Outcome) {
        if !self.is_enough(tally) {
            self.take(tally, outcome).await;
        }
    }

    /// Plays a case without inputs, which shows whether a client does what it is told.
    async fn learn(&mut self, tally: &mut Tally) {
        let case = Case { ground: self.grounds[0].clone(), inputs: Vec::new() };
        let Some(result) = self.play(std::iter::once(&case)).await.pop() else { return };
        for ground in &mut self.grounds {
            ground.is_driven = result.hears_orders;
        }
        self.take(tally, Outcome { number: 0, case, result }).await;
        tally.cases -= 1;
    }

    /// The cases of a batch: the same ones whatever was drawn before, all on one ground.
    fn draw_batch(&self, source: &Source, batch: u64) -> Vec<(u64, Case)> {
        let turn = usize::try_from(batch).unwrap_or_default();
        let turns = self.turns();
        let (which, form) = (turns[turn % turns.len()], turn / turns.len() % Wire::ALL.len());
        let ground = Ground { wire: Wire::ALL[form], ..self.grounds[which].clone() };
        let numbers = batch * BATCH..((batch + 1) * BATCH).min(self.cases.unwrap_or(u64::MAX));
        numbers.map(|number| (number, self.draw(source, which, &ground, number))).collect()
    }

    /// Which ground comes when: those where cases wait for times to run out have fewer turns.
    fn turns(&self) -> Vec<usize> {
        let (slow, fast): (Vec<_>, Vec<_>) =
            (0..self.grounds.len()).partition(|index| self.grounds[*index].site.is_slow());
        [&fast[..], &fast, &fast, &slow].concat()
    }

    fn draw(&self, source: &Source, which: usize, ground: &Ground, number: u64) -> Case {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&number.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let mut runner =
            TestRunner::new_with_rng(DrawConfig { failure_persistence: None, ..DrawConfig::default() }, rng);
        // Every state has something to offer.
        let inputs = source.drawn[which].new_tree(&mut runner).map(|tree| tree.current()).unwrap_or_default();
        let corpus = &source.corpus[which];
        let draws = any::<(bool, Index, Index)>().new_tree(&mut runner).map(|tree| tree.current());
        match draws {
            Ok((true, begun, length)) if !corpus.is_empty() => {
                let begun = begun.get(corpus);
                let length = length.index(begun.inputs.len() + 1);
                Case { ground: ground.clone(), ..begun.clone() }.continued(length, inputs)
            }
            _ => Case { ground: ground.clone(), inputs },
        }
    }

    /// Plays cases with one module, as many as can be played so and pass, and in smaller groups otherwise.
    async fn play_batch(&self, cases: Vec<(u64, Case)>) -> Vec<Outcome> {
        let joined = Case::joined(&cases.iter().map(|(_, case)| case).collect::<Vec<_>>());
        let results = self.play(joined.iter().map(|joined| &joined.whole)).await;
        let (mut cases, mut outcomes) = (cases.into_iter(), Vec::new());
        for (joined, result) in joined.into_iter().zip(results) {
            let of_it: Vec<_> = cases.by_ref().take(joined.ends.len()).collect();
            if of_it.len() == 1 || result.verdict == Verdict::Pass {
                let outcome = |(number, case)| Outcome { number, case, result: result.clone() };
                outcomes.extend(of_it.into_iter().map(outcome));
            } else {
                outcomes.extend(self.play_apart(of_it, joined, result).await);
            }
        }
        outcomes
    }

    /// Plays the case by itself that did not pass together with others, and these without it; each by itself, where nobody
    /// knows which it was.
    async fn play_apart(&self, cases: Vec<(u64, Case)>, joined: Joined, result: Arc<ScenarioResult>) -> Vec<Outcome> {
        let number = cases.first().map_or(0, |(number, _)| *number);
        let is_fail = |outcome: &Outcome| Find::of(&outcome.result).is_some();
        let mut outcomes = Vec::new();
        if let Some(at) = culprit(&joined, &result) {
            let mut before = cases.clone();
            let mut itself = before.split_off(at);
            let after = itself.split_off(1);
            for group in [before, itself, after].into_iter().filter(|group| !group.is_empty()) {
                outcomes.extend(Box::pin(self.play_batch(group)).await);
            }
        }
        // Nobody knows which it was, or it showed at another one.
        if outcomes.is_empty() || result.verdict == Verdict::Fail && !outcomes.iter().any(is_fail) {
            let results = self.play(cases.iter().map(|(_, case)| case)).await;
            let outcome = |((number, case), result)| Outcome { number, case, result };
            outcomes = cases.into_iter().zip(results).map(outcome).collect();
        }
        // What takes more than one case to show.
        if !outcomes.iter().any(is_fail) {
            outcomes.extend(Some(Outcome { number, case: joined.whole, result }).filter(is_fail));
        }
        outcomes
    }

    /// Looks at how a case came out; what fails in a new way is made smaller and kept.
    async fn take(&self, tally: &mut Tally, outcome: Outcome) {
        let Outcome { number, case, result } = outcome;
        tally.cases += 1;
        tally.inputs += case.inputs.len() as u64;
        if tally.coverage.take(Coverage::of(&case, result.occasions.iter())) && result.verdict == Verdict::Pass {
            self.keep_in_corpus(tally, number, &case);
        }
        // When a client does what it is told is its affair, and the station may be in another state by then.
        let is_told = case.ground.under_test == Side::Client
            && Find::of(&result).is_none()
            && result.findings.iter().any(|found| found.id == "scenario/ignored-stimulus");
        if is_told {
            *tally.unjudged.entry("[scenario/ignored-stimulus]: the client was late".to_owned()).or_default() += 1;
            return;
        }
        if result.verdict == Verdict::Error {
            if std::mem::replace(&mut tally.is_broken, true) {
                return;
            }
            print::diagnostics(&result.findings);
            (self.say)(&case.scenario(&Head { description: "a case that khumbu cannot play", ..AS_PLAYED }));
            return;
        }
        let Some(find) = Find::of(&result) else {
            if result.verdict == Verdict::Inconclusive {
                let why = result.findings.iter().find(|found| found.severity == Severity::Inconclusive);
                let why = why.map_or_else(String::new, |why| format!("[{}]: {}", why.id, why.headline));
                *tally.unjudged.entry(why).or_default() += 1;
            }
            return;
        };
        // What is a guess may be the same as another one.
        let is_like = |other: &Find| *other == find || other.is_guess && find.is_guess && other.id == find.id;
        let is_in_file = tally.known.iter().any(|(_, known)| *known == find);
        let looks = tally.found.iter().filter(|found| is_like(&found.find)).count() as u64
            + tally.again.iter().filter(|(other, _)| is_like(other)).map(|(_, count)| count).sum::<u64>();
        if is_in_file || looks >= LOOKS || looks > 0 && self.is_late() {
            *tally.again.entry(find).or_default() += 1;
            return;
        }
        let drawn = case.inputs.len();
        let case = self.shrink(case, &find).await;
        let Some((find, results)) = self.shown_again(&case, find).await else { return };
        let same: Vec<_> = results.iter().filter_map(|result| find.finding(result)).collect();
        let is_known = tally.found.iter().any(|found| {
            let is_same = found.find == find && Find::shape(&found.case) == Find::shape(&case);
            is_same || find.is_shown_by_less(&case, (&found.find, &found.case))
        });
        if is_known {
            *tally.again.entry(find).or_default() += 1;
            return;
        }
        let named = same.iter().copied().find(|found| Find::from(*found) == find);
        let Some(finding) = named.or_else(|| find.finding(&result)).cloned() else { return };
        let mut found = Found { case, number, drawn, times: same.len(), finding, file: None, find };
        self.keep(&mut found);
        (self.say)(&told(&found, self.seed));
        tally.found.push(found);
    }

    /// What a case shows as often as it has to, played as the file of the find is; nothing if the user wants an end.
    async fn shown_again(&self, case: &Case, find: Find) -> Option<(Find, Vec<Arc<ScenarioResult>>)> {
        let mut find = find;
        for is_last in [false, true] {
            let head = Head { requirement: find.requirement, ..AS_PLAYED };
            let results = self.play_as(&head, std::iter::repeat_n(case, TIMES)).await;
            if results.len() < TIMES {
                // Nobody knows whether it fails again.
                return None;
            }
            let same: Vec<_> = results.iter().filter_map(|result| find.finding(result)).collect();
            let guess = find.clone().by_most(&same);
            if guess == find || is_last {
                return Some((guess, results));
            }
            find = guess;
        }
        None
    }

    /// Whether no more cases are begun.
    fn is_late(&self) -> bool {
        self.within.is_some_and(|within| self.began.elapsed() >= within)
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
            if candidates.is_empty() || self.is_long_enough(began) {
                break;
            }
            shrink.failed(self.first_failing(candidates, find).await);
        }
        let mut case = Case { ground, inputs: shrink.least().to_vec() };
        let mut tried = BTreeSet::new();
        loop {
            let plain = (case.ground.wire != Wire::Everest)
                .then(|| Case { ground: Ground { wire: Wire::Everest, ..case.ground.clone() }, ..case.clone() });
            let others = self.grounds.iter().take(1).filter(|first| first.site.text() != case.ground.site.text());
            let first =
                others.map(|first| Case { ground: Ground { wire: case.ground.wire, ..first.clone() }, ..case.clone() });
            let less = case.on_less();
            let simpler = first.chain(plain).chain(less).chain(case.simpler());
            let is_new = |case: &Case| !tried.contains(&case.scenario(&AS_PLAYED));
            let simpler: Vec<_> = simpler.filter(is_new).enumerate().collect();
            if simpler.is_empty() || self.is_long_enough(began) {
                return case;
            }
            let failing = self.first_failing(simpler.clone(), find).await;
            let passed = simpler.iter().take(failing.unwrap_or(simpler.len()));
            tried.extend(passed.map(|(_, case)| case.scenario(&AS_PLAYED)));
            match failing {
                Some(index) => case = simpler[index].1.clone(),
                None => return case,
            }
        }
    }

    fn is_long_enough(&self, began: Instant) -> bool {
        began.elapsed() >= self.max_shrink || *self.interrupt.borrow()
    }

    /// The number of the first of these that fails in this way; several are played at once.
    async fn first_failing(&self, candidates: Vec<(usize, Case)>, find: &Find) -> Option<usize> {
        let possible: Vec<_> = candidates.into_iter().filter(|(_, case)| case.is_possible()).collect();
        // Only the first counts: not many more are begun at a time.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        for some in possible.chunks(self.settings.jobs.clamp(1, processors * 4)) {
            let results = self.play_as(&IN_HASTE, some.iter().map(|(_, case)| case)).await;
            let failed = some.iter().zip(&results).find(|(_, result)| find.finding(result).is_some());
            if let Some(((index, _), _)) = failed {
                return Some(*index);
            }
        }
        None
    }

    /// Plays cases, and returns their results in order.
    async fn play(&self, cases: impl Iterator<Item = &Case>) -> Vec<Arc<ScenarioResult>> {
        self.play_as(&AS_PLAYED, cases).await
    }

    async fn play_as(&self, head: &Head<'_>, cases: impl Iterator<Item = &Case>) -> Vec<Arc<ScenarioResult>> {
        let (mut pieces, mut results) = (Vec::new(), Vec::new());
        for case in cases {
            let read = read("case.yaml", &case.scenario(head));
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
        let ground = &self.grounds[0];
        for path in files(self.save.as_deref(), "yaml") {
            let scenario =
                fs::read_to_string(&path).ok().and_then(|text| read(&path.display().to_string(), &text).ok());
            let is_meant = |it: &Scenario| it.model.under_test == ground.under_test && it.model.api == ground.api;
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

    /// The cases of the corpus, by ground.
    fn read_corpus(&self) -> Vec<Vec<Case>> {
        let mut corpus = vec![Vec::new(); self.grounds.len()];
        for path in files(self.corpus.as_deref(), "json") {
            let case = fs::read_to_string(&path)
                .map_err(|error| error.to_string())
                .and_then(|text| Case::from_corpus(&text, &self.grounds));
            match case {
                Ok(Some(case)) => {
                    let text = case.ground.site.text();
                    if let Some(at) = self.grounds.iter().position(|ground| ground.site.text() == text) {
                        corpus[at].push(case);
                    }
                }
                // Of another side, or of another version of khumbu.
                Ok(None) => {}
                Err(why) => {
                    let headline = format!("`{}` is no case of a corpus: {why}", path.display());
                    let why = Diagnostic::new(Severity::Warning, "fuzz/bad-corpus", headline);
                    print::diagnostics(&[why.with_help("it is passed over; delete it")]);
                }
            }
        }
        corpus
    }

    fn keep_in_corpus(&self, tally: &mut Tally, number: u64, case: &Case) {
        let text = case.to_corpus(&self.grounds);
        let (Some(directory), Some(text), false) = (&self.corpus, text, case.inputs.is_empty()) else { return };
        match write_new(directory, (&format!("case_{:016x}_{number}", self.seed), "json"), &text) {
            Ok(_) => tally.kept += 1,
            Err(error) => self.not_saved(directory, &error),
        }
    }

    /// Writes the file of a find, under a name that no other file has.
    fn keep(&self, found: &mut Found) {
        let Some(directory) = self.save.as_deref().filter(|_| found.times == TIMES) else { return };
        match write_new(directory, (&found.find.name(), "yaml"), &file(found, self.seed)) {
            Ok(path) => found.file = Some(path),
            Err(error) => self.not_saved(directory, &error),
        }
    }

    fn not_saved(&self, directory: &std::path::Path, error: &std::io::Error) {
        let headline = format!("`{}` takes no file: {error}", directory.display());
        print::diagnostics(&[Diagnostic::new(Severity::Error, "fuzz/not-saved", headline)]);
    }
}

/// The number of the case, from 0, in which what several cases came to begins to show.
fn culprit(joined: &Joined, result: &ScenarioResult) -> Option<usize> {
    let grave = result.findings.iter().filter(|found| found.severity > Severity::Warning);
    let inputs = grave.map(|found| joined.whole.input_at(found.place.as_ref()?, &AS_PLAYED));
    let first = inputs.min().flatten()?;
    joined.ends.iter().position(|end| first < *end)
}

/// Has the user's wish to end reach what plays.
async fn pass_on(mut interrupt: watch::Receiver<bool>, end: Arc<watch::Sender<bool>>) {
    if interrupt.wait_for(|is_wanted| *is_wanted).await.is_ok() {
        end.send_replace(true);
    }
}

/// The files of a directory with this extension, by name.
fn files(directory: Option<&std::path::Path>, extension: &str) -> Vec<PathBuf> {
    let entries = directory.and_then(|directory| fs::read_dir(directory).ok()).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|it| it == extension));
    files.sort();
    files
}

/// The result of a case that is no scenario, which is khumbu's fault.
fn unread(why: &[Diagnostic]) -> ScenarioResult {
    ScenarioResult { verdict: Verdict::Error, findings: why.to_vec(), ..ScenarioResult::default() }
}

/// Reads a scenario.
///
/// # Errors
/// What is wrong with it.
pub fn read(path: &str, text: &str) -> Result<Scenario, Vec<Diagnostic>> {
    let ids: Vec<_> = requirements::ids().collect();
    scenario::parse(path, text, Known { requirements: &ids, answers: None })
}

fn piece(scenario: Scenario) -> Piece {
    let release = scenario.release_unasked();
    Piece { scenario: Arc::new(scenario), release, golden: None, recorder: None, replay: None, fault: None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::diagnostic::Place;
    use crate::protocol::channel::ApiType;
    use crate::protocol::control::{AtConnector, Command};
    use crate::protocol::release::Release;

    #[test]
    fn the_case_is_known_in_which_it_begins_to_show() {
        for side in [Side::Client, Side::Everest] {
            let ground = Ground::all(side, ApiType::AUTH_CONSUMER, Release::default()).remove(0);
            let plug_in = |evse| Input::Command(Command::PlugIn(AtConnector { evse, connector: None }));
            let case = |evse| Case { ground: ground.clone(), inputs: vec![plug_in(evse)] };
            let joined = Case::joined(&[&case(1), &case(2)]).remove(0);
            assert_eq!(joined.ends.len(), 2);
            let scenario = read("case.yaml", &joined.whole.scenario(&AS_PLAYED)).unwrap();
            let at = |text: &str| {
                let start = scenario.source.text.find(text).unwrap();
                Place { source: scenario.source.clone(), range: start..start + 1, label: String::new() }
            };
            let found = |texts: &[&str]| {
                let fail = |text: &&str| Diagnostic {
                    place: Some(at(text)),
                    ..Diagnostic::new(Severity::Fail, "expect/missing", "something")
                };
                ScenarioResult { findings: texts.iter().map(fail).collect(), ..ScenarioResult::default() }
            };
            let (first, second) = ("plug_in: {evse: 1}", "plug_in: {evse: 2}");
            assert_eq!(culprit(&joined, &found(&[first])), Some(0));
            assert_eq!(culprit(&joined, &found(&[second])), Some(1));
            assert_eq!(culprit(&joined, &found(&[second, first])), Some(0));
            assert_eq!(culprit(&joined, &found(&["description"])), None);
            assert_eq!(culprit(&joined, &found(&[])), None);
        }
    }
}

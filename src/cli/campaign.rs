//! A campaign of `khumbu fuzz`: draws cases, plays many at once, makes what fails as small as it gets, and keeps it.
//!
//! Cases are played in batches: one module plays several, one after the other, with the station at rest between them. Of a
//! batch that does not pass, each case is played again by itself, with a module of its own.

mod files;
mod naming;
mod play;
mod smaller;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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

pub use self::naming::Survived;
use self::naming::note_survived;
use self::play::{Outcome, Turn};
pub use self::play::{Places, read};
use self::smaller::Smaller;
use super::finds::{Found, Tally, named, reached, told};
use super::print;
use crate::diagnostic::{Diagnostic, Severity};
use crate::fuzz::{Case, Coverage, Find, Ground, Head, Input, strategies};
use crate::protocol::side::Side;
use crate::protocol::wire::Wire;
use crate::report::Shard;
use crate::runner::{self, Settings};
use crate::verdict::{ScenarioResult, Verdict};

/// So many cases are played by one module, if all goes well.
const BATCH: u64 = 16;
/// So many modules at once keep a processor busy, each of which waits for most of its time.
const MODULES: usize = 64;
/// So far apart one more module at a time is started, after a few, where each is a process; and where none is. What most cases show
/// is found before processes make each other slow.
const APART: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(10)];
/// What a module is that no case can judge.
const NEVER_READY: [&str; 4] =
    ["module/ended-early", "module/never-connected", "module/never-ready", "module/not-started"];
/// What was ended in its middle.
const INTERRUPTED: &str = "run/interrupted";
/// How often a find is made smaller that fails as a known one does, to see whether it is another one.
const LOOKS: u64 = 4;

/// What is to be done.
pub struct Campaign {
    /// Where cases stand; each has its turn.
    pub grounds: Vec<Ground>,
    /// How they are played.
    pub settings: Settings,
    /// Those for modules that play at once.
    pub places: Places,
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
    /// Cases that were drawn are to end, for the time is over.
    pub halt: Arc<watch::Sender<bool>>,
    /// Where what is for people goes.
    pub say: fn(&str),
    /// What they see meanwhile.
    pub bar: ProgressBar,
}

/// Strategies by ground, and what the corpus has for it.
struct Source {
    drawn: Vec<SBoxedStrategy<Vec<Input>>>,
    corpus: Vec<Vec<Case>>,
}

/// What came of batches that play at once, until its turn comes.
#[derive(Default)]
struct InTurn {
    outcomes: BTreeMap<usize, VecDeque<Outcome>>,
    over: BTreeSet<usize>,
    next: usize,
}

impl InTurn {
    /// The next one, so that the same is found first whatever is played at once.
    fn next(&mut self) -> Option<Outcome> {
        loop {
            let outcome = self.outcomes.get_mut(&self.next).and_then(VecDeque::pop_front);
            if outcome.is_some() || !self.over.remove(&self.next) {
                return outcome;
            }
            self.outcomes.remove(&self.next);
            self.next += 1;
        }
    }

    fn put(&mut self, (order, outcome): (usize, Outcome)) {
        self.outcomes.entry(order).or_default().push_back(outcome);
    }
}

impl Campaign {
    /// Does it.
    pub async fn run(mut self) -> Tally {
        let mut tally = Tally::default();
        // What still runs when it is over ends as if the user wanted it to.
        let (end, ended) = watch::channel(false);
        let end = Arc::new(end);
        tokio::spawn(pass_on(std::mem::replace(&mut self.interrupt, ended), vec![end.clone(), self.halt.clone()]));
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
        let at_once = at_once(&self.settings);
        let apart = APART[usize::from(self.settings.module.is_builtin())];
        let batches = self.cases.map_or(u64::MAX, |cases| cases.div_ceil(BATCH));
        let mut open = (0..batches).filter(|batch| self.is_ours(*batch)).enumerate();
        let (mut playing, mut in_turn) = (JoinSet::new(), InTurn::default());
        let (send, mut played) = mpsc::unbounded_channel();
        // What the corpus has comes first.
        let known: Vec<_> = source.corpus.iter().flatten().cloned().map(|case| (0, case)).collect();
        self.play_batch(known, &|outcome| drop(send.send((0, outcome)))).await;
        while let Ok((_, outcome)) = played.try_recv() {
            self.take(tally, outcome).await;
        }
        loop {
            // Modules that start all at once keep each other from being ready in time.
            let begun = self.began.elapsed().as_millis() / apart.as_millis();
            let room = at_once.min(processors() * 2 + usize::try_from(begun).unwrap_or(usize::MAX));
            while playing.len() < room && !self.is_over(tally) {
                let Some((order, batch)) = open.next() else { break };
                let (me, source, send) = (self.clone(), source.clone(), send.clone());
                playing.spawn(async move {
                    me.play_batch(me.draw_batch(&source, batch), &|outcome| drop(send.send((order, outcome)))).await;
                    order
                });
            }
            tokio::select! {
                Some(outcome) = played.recv() => in_turn.put(outcome),
                joined = playing.join_next() => match joined {
                    Some(Ok(order)) => drop(in_turn.over.insert(order)),
                    _ => break,
                },
                () = tokio::time::sleep(apart), if room < at_once => {}
            }
            // All of a batch that is over is there.
            while let Ok(outcome) = played.try_recv() {
                in_turn.put(outcome);
            }
            while let Some(outcome) = in_turn.next() {
                self.take_unless_enough(tally, outcome).await;
                self.show(tally);
            }
            if self.is_over(tally) {
                break;
            }
        }
        // What is done counts, also where something before it is not.
        while let Ok(outcome) = played.try_recv() {
            in_turn.put(outcome);
        }
        for outcome in in_turn.outcomes.into_values().flatten() {
            self.take_unless_enough(tally, outcome).await;
        }
        // Modules are processes, which have to be ended.
        end.send_replace(true);
        self.halt.send_replace(true);
        while playing.join_next().await.is_some() {}
        self.bar.finish_and_clear();
    }

    fn show(&self, tally: &Tally) {
        let seconds = self.began.elapsed().as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = tally.cases as f64 / seconds.max(0.001);
        self.bar.set_message(format!(
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
        let finds = || tally.found.iter().filter(|found| found.is_one()).count();
        *self.interrupt.borrow() || self.finds.is_some_and(|enough| finds() >= enough) || tally.is_broken
    }

    async fn take_unless_enough(&self, tally: &mut Tally, outcome: Outcome) {
        if !self.is_enough(tally) {
            self.take(tally, outcome).await;
        } else if let Some(find) = Find::of(&outcome.result).filter(|_| *self.interrupt.borrow()) {
            *tally.cut_short.entry(find).or_default() += 1;
        }
    }

    /// Plays cases of which nothing is demanded: they show whether a client does what it is told, and whether it acknowledges
    /// what it is handed.
    async fn learn(&mut self, tally: &mut Tally) {
        let ground = self.grounds[0].clone();
        let mut cases = vec![Case { ground: ground.clone(), inputs: Vec::new() }];
        cases.extend((ground.under_test == Side::Client).then(|| Case::handed_a_heartbeat(&ground)));
        let results = self.play(cases.iter()).await;
        let why = |result: &Arc<ScenarioResult>| result.findings.iter().any(|found| NEVER_READY.contains(&found.id));
        if !results.is_empty() && results.iter().all(why) {
            print::diagnostics(&results[0].findings);
            tally.is_broken = true;
            return;
        }
        for ground in &mut self.grounds {
            ground.is_driven = results.iter().any(|result| result.hears_orders);
            ground.acknowledges =
                ground.under_test == Side::Everest || results.iter().any(|result| result.acknowledges);
        }
        // What the first shows, the second shows as well.
        let shown = cases.into_iter().zip(results).find(|(_, result)| result.verdict != Verdict::Pass);
        if let Some((case, result)) = shown {
            self.take(tally, Outcome { number: 0, count: 0, case, result }).await;
        }
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
        .seen_to_read()
    }

    /// Looks at how a case came out; what fails in a new way is made smaller and kept.
    async fn take(&self, tally: &mut Tally, outcome: Outcome) {
        let Outcome { number, count, case, mut result } = outcome;
        // Nobody knows what would have come of it.
        if result.findings.iter().any(|found| found.id == INTERRUPTED) {
            return;
        }
        // A machine that is too busy for khumbu breaks a case down once.
        if result.verdict == Verdict::Error && !tally.is_broken {
            let again = self.play_as(std::iter::once((&Head::AS_PLAYED, &case)), Turn::Beside);
            result = again.await.pop().unwrap_or(result);
        }
        tally.cases += count;
        tally.inputs += if count > 0 { case.inputs.len() as u64 } else { 0 };
        if tally.coverage.take(Coverage::of(&case, result.occasions.iter())) && result.verdict == Verdict::Pass {
            self.keep_in_corpus(tally, number, &case);
        }
        // When a client does what it is told is its affair, and the station may be in another state by then.
        let is_otherwise =
            |found: &&Diagnostic| ["scenario/ignored-stimulus", "scenario/contradicted"].contains(&found.id);
        let is_client = case.ground.under_test == Side::Client && Find::of(&result).is_none();
        if let Some(found) = result.findings.iter().find(is_otherwise).filter(|_| is_client) {
            *tally.unjudged.entry(format!("[{}]: the client was late", found.id)).or_default() += 1;
            return;
        }
        if result.verdict == Verdict::Error {
            if std::mem::replace(&mut tally.is_broken, true) {
                return;
            }
            print::diagnostics(&result.findings);
            if result.findings.iter().any(|found| found.id.starts_with("scenario/")) {
                let head = Head { description: "a case that khumbu cannot play", ..Head::AS_PLAYED };
                (self.say)(&case.scenario(&head));
            }
            return;
        }
        let Some(find) = Find::of(&result) else {
            if result.verdict == Verdict::Pass {
                note_survived(&mut tally.survived, &result);
            }
            if count > 0 && [Verdict::Inconclusive, Verdict::NotApplicable].contains(&result.verdict) {
                let is_inconclusive = |found: &&Diagnostic| found.severity == Severity::Inconclusive;
                let why = result.findings.iter().find(is_inconclusive).or(result.findings.first());
                let why = why.map_or_else(String::new, |why| format!("[{}]: {}", why.id, why.headline));
                *tally.unjudged.entry(why).or_default() += count;
            }
            return;
        };
        // What is a guess may be the same as another one.
        let is_like = |other: &Find| *other == find || other.is_guess && find.is_guess && other.id == find.id;
        let is_in_file = tally.known.iter().any(|(_, known)| Find::from(known) == find);
        let looks: u64 = tally.looked.iter().filter(|(other, _)| is_like(other)).map(|(_, count)| count).sum();
        if is_in_file || looks >= LOOKS || looks > 0 && self.is_late() {
            *tally.again.entry(find).or_default() += 1;
            return;
        }
        *tally.looked.entry(find.clone()).or_default() += 1;
        let drawn = case.inputs.len();
        self.bar.set_message(format!("{} by {drawn} inputs, which are made fewer", named(&find)));
        // What plays on would make slow what somebody waits for, and is too late for itself.
        if self.is_late() {
            self.halt.send_replace(true);
        }
        let most = self.places.most();
        let Some(smaller) = self.made_smaller(case, find.clone(), &result).await else {
            *tally.cut_short.entry(find).or_default() += 1;
            return;
        };
        let Smaller { case, find, results, is_cut_off } = self.named(smaller, &tally.survived).await;
        drop(most);
        let shown = |find: &Find, results: &[Arc<ScenarioResult>]| {
            let same: Vec<_> = results.iter().filter_map(|result| find.finding(result)).collect();
            let named = same.iter().copied().find(|found| Find::from(*found) == *find);
            Some((named.or_else(|| find.finding(&result))?.clone(), same.len()))
        };
        let Some((finding, _)) = shown(&find, &results) else { return };
        if tally.knows(&case, &finding) {
            *tally.again.entry(find).or_default() += 1;
            return;
        }
        let Some((find, results)) = self.confirmed(&case, find.clone(), results).await else {
            *tally.cut_short.entry(find).or_default() += 1;
            return;
        };
        let Some((finding, times)) = shown(&find, &results) else { return };
        let cut_off_after = is_cut_off.then_some(self.max_shrink);
        let mut found = Found { case, number, drawn, cut_off_after, times, finding, file: None, find };
        self.keep(&mut found);
        (self.say)(&told(&found, self.seed));
        tally.found.push(found);
    }

    /// Whether no more cases are begun.
    fn is_late(&self) -> bool {
        self.within.is_some_and(|within| self.began.elapsed() >= within)
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How many batches play at once, and how many modules, where these are processes.
fn at_once(settings: &Settings) -> usize {
    if is_alone(settings) { 1 } else { settings.jobs.clamp(1, processors() * MODULES) }
}

/// Whether one module plays everything.
fn is_alone(settings: &Settings) -> bool {
    runner::one_at_a_time(settings).is_some()
}

/// Has the user's wish to end reach what plays.
async fn pass_on(mut interrupt: watch::Receiver<bool>, ends: Vec<Arc<watch::Sender<bool>>>) {
    if interrupt.wait_for(|is_wanted| *is_wanted).await.is_ok() {
        for end in ends {
            end.send_replace(true);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::protocol::channel::ApiType;
    use crate::protocol::release::Release;

    #[test]
    fn outcomes_are_taken_in_the_order_of_their_batches_and_as_soon_as_they_are_there() {
        let ground = Ground::all(Side::Everest, ApiType::AUTH_CONSUMER, Release::default()).remove(0);
        let outcome = |number| {
            let case = Case { ground: ground.clone(), inputs: Vec::new() };
            Outcome { number, count: 1, case, result: Arc::new(ScenarioResult::default()) }
        };
        let mut in_turn = InTurn::default();
        let taken = |in_turn: &mut InTurn| {
            std::iter::from_fn(|| in_turn.next()).map(|outcome| outcome.number).collect::<Vec<_>>()
        };
        in_turn.put((1, outcome(16)));
        in_turn.put((0, outcome(0)));
        assert_eq!(taken(&mut in_turn), [0]);
        in_turn.over.insert(1);
        in_turn.put((0, outcome(1)));
        assert_eq!(taken(&mut in_turn), [1]);
        in_turn.over.insert(0);
        in_turn.put((3, outcome(48)));
        assert_eq!(taken(&mut in_turn), [16]);
        // One without outcomes is over, too.
        in_turn.over.insert(2);
        assert_eq!(taken(&mut in_turn), [48]);
    }
}

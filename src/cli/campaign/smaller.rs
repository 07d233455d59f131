//! Makes a case that fails as small as it gets, by playing what is less.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::super::finds::TIMES;
use super::play::{Turn, piece, read, run_told};
use super::{Campaign, is_alone};
use crate::fuzz::{Case, Find, Ground, Head, SHORT, Shrink, without_some};
use crate::protocol::wire::Wire;
use crate::verdict::{RunEvent, ScenarioResult};

/// How long a message is waited for meanwhile, in milliseconds; what is found by that is played again as it stands.
const IN_HASTE: u64 = 500;
/// How long is waited where the time may matter that a case takes: longer than messages are waited for.
const LONG: Duration = Duration::from_secs(10);
/// So many are played at once for each processor.
const AT_ONCE: usize = 8;

/// A case as small as it got.
pub(super) struct Smaller {
    pub case: Case,
    /// How it fails.
    pub find: Find,
    /// What came of it each time.
    pub results: Vec<Arc<ScenarioResult>>,
    /// Whether the time was over before it was as small as it gets.
    pub is_cut_off: bool,
}

impl Campaign {
    /// What a find shows while nothing else plays; nothing if the user wants an end.
    ///
    /// Processes that play at once make each other slow, and everything makes slow what is in a hurry, which is no fault of
    /// the module.
    pub(super) async fn confirmed(
        &self,
        case: &Case,
        find: Find,
        results: Vec<Arc<ScenarioResult>>,
    ) -> Option<(Find, Vec<Arc<ScenarioResult>>)> {
        let is_shown = results.iter().all(|result| find.finding(result).is_some());
        let is_touchy = !self.settings.module.is_builtin() || case.ground.site.is_slow();
        if !is_shown || !is_touchy || is_alone(&self.settings) {
            return Some((find, results));
        }
        let _all = self.places.all().await;
        self.shown_again(case, find).await
    }

    /// A case as small as it gets, and what it shows; nothing if the user wants an end.
    pub(super) async fn made_smaller(&self, mut case: Case, find: Find, result: &ScenarioResult) -> Option<Smaller> {
        let haste = case.ground.in_haste(IN_HASTE);
        let place = find.finding(result).and_then(|finding| finding.place.as_ref());
        let last = place.and_then(|place| case.input_at(place, &Head::AS_PLAYED));
        // What comes after it has come about is most likely in vain.
        let sooner = last.map(|last| Case { inputs: case.inputs[..=last].to_vec(), ..case.clone() });
        let whole: Vec<_> = sooner.into_iter().chain([case.clone()]).collect();
        let began = Instant::now();
        let again = Shrinking::new(self, &find, &haste, self.max_shrink).failing(&whole, true).await.pop();
        let (mut is_again, takes_time) = (again.is_some(), began.elapsed() >= LONG / 2);
        if let Some(index) = again {
            case = whole[index].clone();
        } else {
            let (shown, results) = self.shown_again(&case, find.clone()).await?;
            if !results.iter().any(|result| shown.finding(result).is_some()) {
                // What shows where everything is slow may be a matter of time.
                let ends = [last.unwrap_or(case.inputs.len()), case.inputs.len()];
                let slow = ends.map(|at| case.with_wait(at, LONG));
                let Some(index) = Shrinking::new(self, &find, &haste, self.max_shrink).first_sure(&slow).await else {
                    // What does not fail again does not get smaller.
                    return Some(Smaller { case, find: shown, results, is_cut_off: false });
                };
                (case, is_again) = (slow[index].clone(), true);
            }
        }
        let mut smaller = None;
        // In haste something else may look the same, which is seen when it is played as it stands.
        let haste = Some(haste).filter(|haste| is_again && haste.within_ms.is_some());
        // What is over sooner in haste leaves more.
        let in_haste = haste.map(|haste| (haste, self.max_shrink * 2 / 3));
        for (head, at_most) in in_haste.into_iter().chain([(Head::AS_PLAYED, self.max_shrink)]) {
            let within = at_most.saturating_sub(began.elapsed()).max(self.max_shrink / 3);
            let mut shrinking = Shrinking::new(self, &find, &head, within);
            let case = shrinking.shrunk(case.clone(), takes_time).await;
            let is_cut_off = shrinking.is_cut_off;
            let (find, results) = self.shown_again(&case, find.clone()).await?;
            let is_shown = results.iter().all(|result| find.finding(result).is_some());
            smaller = Some(Smaller { case, find, results, is_cut_off });
            if is_shown {
                return smaller;
            }
        }
        if began.elapsed() >= self.max_shrink || *self.interrupt.borrow() {
            smaller
        } else {
            self.in_time(&case, smaller?).await
        }
    }

    /// What shows each time where what is small does not: nothing but time, that with a wait, or what it was made of.
    async fn in_time(&self, whole: &Case, smaller: Smaller) -> Option<Smaller> {
        let nothing = Case { inputs: Vec::new(), ..smaller.case.clone() };
        let waits = [&nothing, &smaller.case, whole].map(|case| case.with_wait(case.inputs.len(), LONG));
        for case in waits.into_iter().chain([whole.clone()]) {
            let (find, results) = self.shown_again(&case, smaller.find.clone()).await?;
            if results.iter().all(|result| find.finding(result).is_some()) {
                return Some(Smaller { case, find, results, is_cut_off: smaller.is_cut_off });
            }
        }
        Some(smaller)
    }

    /// What a case shows as often as it has to, played as the file of the find is; nothing if the user wants an end.
    async fn shown_again(&self, case: &Case, find: Find) -> Option<(Find, Vec<Arc<ScenarioResult>>)> {
        let mut find = find;
        for is_last in [false, true] {
            let head = Head { requirement: find.requirement, ..Head::AS_PLAYED };
            let results = self.play_as(std::iter::repeat_n((&head, case), TIMES), Turn::Beside).await;
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

    /// How long each input of a case takes; nothing if the user wants an end.
    async fn timed(&self, case: &Case, head: &Head<'_>) -> Option<Vec<Duration>> {
        let scenario = read("case.yaml", &case.scenario(head)).ok()?;
        let (events, mut told) = mpsc::unbounded_channel();
        let began = tokio::spawn(async move {
            let mut began = Vec::new();
            while let Some(event) = told.recv().await {
                if let RunEvent::StepBegan { line, .. } = event {
                    began.push((line, Instant::now()));
                }
            }
            began
        });
        let (settings, interrupt) = (self.settings.clone(), self.interrupt.clone());
        run_told(vec![piece(scenario, case.ground.release())], settings, events, interrupt).await;
        let (began, end) = (began.await.ok()?, Instant::now());
        // The module is then ended.
        let end = began.last().map_or(end, |(_, last)| *last);
        let lines = case.lines(head);
        let at = |line: &usize| began.iter().find(|(other, _)| other >= line).map_or(end, |(_, at)| *at);
        let ends = lines.iter().skip(1).map(at).chain([end]);
        Some(lines.iter().map(at).zip(ends).map(|(at, end)| end.saturating_duration_since(at)).collect())
    }
}

/// A case on its way to a smaller one.
struct Shrinking<'c> {
    campaign: &'c Campaign,
    find: &'c Find,
    head: &'c Head<'c>,
    until: Instant,
    /// What did not fail, as scenarios.
    passed: BTreeSet<String>,
    /// Whether it would go on if there were more time.
    is_cut_off: bool,
}

/// What is possible of the inputs with these numbers, and the numbers of that.
type Part<'p> = &'p (dyn Fn(&[usize]) -> (Case, Vec<usize>) + Send + Sync);

impl<'c> Shrinking<'c> {
    fn new(campaign: &'c Campaign, find: &'c Find, head: &'c Head<'c>, within: Duration) -> Self {
        Self { campaign, find, head, until: Instant::now() + within, passed: BTreeSet::new(), is_cut_off: false }
    }

    /// The case as small as it gets; it may take its time.
    async fn shrunk(&mut self, case: Case, takes_time: bool) -> Case {
        let case = self.shrunk_in_time(case, takes_time).await;
        if !self.is_cut_off || case.inputs.len() > SHORT {
            return case;
        }
        // An input that it does not take says something else than what is wrong; of a few that is soon known.
        self.until = Instant::now() + self.campaign.max_shrink / 3;
        self.without_needless(case, false).await
    }

    async fn shrunk_in_time(&mut self, case: Case, takes_time: bool) -> Case {
        let mut case = self.with_shorter_waits(case).await;
        if takes_time {
            case = self.one_part(case).await;
        }
        case = self.without_needless(case, true).await;
        if case.inputs.len() > SHORT {
            case = self.with_waits(case).await;
            case = self.without_needless(case, false).await;
        }
        case = self.simpler(case).await;
        while case.inputs.len() > SHORT {
            let fewer: Vec<_> = without_some(&(0..case.inputs.len()).collect::<Vec<_>>());
            let fewer: Vec<_> = fewer.iter().map(|kept| case.with_inputs(kept, None).0).collect();
            let Some(index) = self.failing(&fewer, true).await.pop() else { break };
            case = self.without_needless(fewer[index].clone(), false).await;
            case = self.simpler(case).await;
        }
        case
    }

    /// One part of the case, if that fails, or else fails when it is waited afterwards: without the time that the others take.
    async fn one_part(&mut self, case: Case) -> Case {
        let parts = Shrink::new((0..case.inputs.len()).collect()).candidates();
        let alone: Vec<_> = parts.iter().map(|part| case.with_inputs(part, None).0).collect();
        let waiting = alone.iter().map(|part| part.with_wait(part.inputs.len(), LONG));
        let cases: Vec<_> = alone.iter().cloned().chain(waiting).collect();
        match self.failing(&cases, true).await.pop() {
            Some(index) => self.with_shorter_waits(cases[index].clone()).await,
            None => case,
        }
    }

    /// The case without inputs that it does not take; as far as that goes fast, if it is to be quick.
    async fn without_needless(&mut self, case: Case, is_quick: bool) -> Case {
        let part = |kept: &[usize]| case.with_inputs(kept, None);
        self.with_fewest(case.inputs.len(), &part, is_quick).await.unwrap_or_else(|| case.clone())
    }

    /// The case with waits in the place of inputs that only take their time, if that is less.
    async fn with_waits(&mut self, case: Case) -> Case {
        if self.is_over() {
            self.is_cut_off = true;
            return case;
        }
        let Some(took) = self.campaign.timed(&case, self.head).await else { return case };
        let part = |kept: &[usize]| case.with_inputs(kept, Some(&took));
        let Some(waiting) = self.with_fewest(case.inputs.len(), &part, true).await else { return case };
        if waiting.inputs.len() >= case.inputs.len() {
            return case;
        }
        self.with_shorter_waits(waiting).await
    }

    async fn with_shorter_waits(&mut self, mut case: Case) -> Case {
        for wait in 0..case.with_shorter_waits().len() {
            let shorter = case.with_shorter_waits().swap_remove(wait);
            if let Some(index) = self.first_sure(&shorter).await {
                case = shorter[index].clone();
            }
        }
        case
    }

    /// The first of these that fails twice: what is nearly too short is too short at times, and what is slow may fail for that.
    async fn first_sure(&mut self, cases: &[Case]) -> Option<usize> {
        let twice: Vec<_> = cases.iter().flat_map(|case| [case.clone(), case.clone()]).collect();
        let failing = self.failing(&twice, false).await;
        (0..cases.len()).find(|index| failing.contains(&(index * 2)) && failing.contains(&(index * 2 + 1)))
    }

    /// The fewest of so many inputs that fail; nothing if it takes all.
    async fn with_fewest(&mut self, count: usize, part: Part<'_>, is_quick: bool) -> Option<Case> {
        let mut shrink = Shrink::new((0..count).collect());
        let (mut least, mut length) = (None, count);
        loop {
            let candidates = shrink.candidates();
            if candidates.is_empty() || is_quick && count > SHORT && shrink.is_about_a_number() {
                return least;
            }
            let (cases, parts): (Vec<_>, Vec<_>) = candidates.iter().map(|kept| part(kept)).unzip();
            let failing = self.failing(&cases, shrink.is_decided_by_the_first()).await;
            if self.is_over() && failing.is_empty() {
                return least;
            }
            shrink.failed(failing.iter().map(|index| (*index, parts[*index].clone())).collect());
            if shrink.least().len() < length {
                (least, length) = (Some(part(shrink.least()).0), shrink.least().len());
            }
        }
    }

    /// The case with less in its inputs, and on less.
    async fn simpler(&mut self, mut case: Case) -> Case {
        loop {
            let plain = (case.ground.wire != Wire::Everest)
                .then(|| Case { ground: Ground { wire: Wire::Everest, ..case.ground.clone() }, ..case.clone() });
            let others =
                self.campaign.grounds.iter().take(1).filter(|first| first.site.text() != case.ground.site.text());
            let first =
                others.map(|first| Case { ground: Ground { wire: case.ground.wire, ..first.clone() }, ..case.clone() });
            let less = case.on_less();
            let simpler: Vec<_> = first.chain(plain).chain(less).chain(case.simpler()).collect();
            let Some(index) = self.failing(&simpler, true).await.pop() else { return case };
            // What is less than it must not lead back to it.
            self.passed.insert(case.scenario(&Head::AS_PLAYED));
            case = simpler[index].clone();
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until || *self.campaign.interrupt.borrow()
    }

    /// The numbers of those that fail, of several that are played at once; of the first of these alone, where that decides.
    async fn failing(&mut self, cases: &[Case], is_decided_by_the_first: bool) -> Vec<usize> {
        let mut failing = Vec::new();
        let mut open = BTreeMap::new();
        for (index, case) in cases.iter().enumerate().filter(|(_, case)| !case.inputs.is_empty() && case.is_possible())
        {
            let text = case.scenario(&Head::AS_PLAYED);
            if !self.passed.contains(&text) {
                open.insert(index, text);
            }
        }
        // Most of them wait.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let at_once = self.campaign.settings.jobs.clamp(1, processors * AT_ONCE);
        for some in open.into_iter().collect::<Vec<_>>().chunks(at_once) {
            if self.is_over() {
                self.is_cut_off = true;
                break;
            }
            let results =
                self.campaign.play_as(some.iter().map(|(index, _)| (self.head, &cases[*index])), Turn::Beside).await;
            for ((index, text), result) in some.iter().zip(&results) {
                if self.find.finding(result).is_some() {
                    failing.push(*index);
                } else {
                    self.passed.insert(text.clone());
                }
            }
            if is_decided_by_the_first && !failing.is_empty() {
                failing.truncate(1);
                break;
            }
        }
        failing
    }
}

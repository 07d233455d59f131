//! Makes a case that fails as small as it gets, by playing what is less.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::super::finds::TIMES;
use super::play::Turn;
use super::{Campaign, is_alone};
use crate::fuzz::{Case, Find, Ground, Head, Shrink};
use crate::protocol::wire::Wire;
use crate::verdict::ScenarioResult;

/// How long a message is waited for meanwhile, in milliseconds; what is found by that is played again as it stands.
const IN_HASTE: u64 = 500;
/// So many are played at once for each processor.
const AT_ONCE: usize = 8;

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
    pub(super) async fn made_smaller(
        &self,
        mut case: Case,
        find: Find,
        result: &ScenarioResult,
    ) -> Option<(Case, Find, Vec<Arc<ScenarioResult>>)> {
        let haste = case.ground.in_haste(IN_HASTE);
        let place = find.finding(result).and_then(|finding| finding.place.as_ref());
        let last = place.and_then(|place| case.input_at(place, &Head::AS_PLAYED));
        // What comes after it has come about is most likely in vain.
        let sooner = last.map(|last| Case { inputs: case.inputs[..=last].to_vec(), ..case.clone() });
        let whole = [sooner, Some(case.clone())].into_iter().flatten().enumerate().collect::<Vec<_>>();
        let again = self.first_failing(whole.clone(), &find, &haste).await;
        if let Some(index) = again {
            case = whole[index].1.clone();
        } else {
            let (find, results) = self.shown_again(&case, find.clone()).await?;
            if !results.iter().any(|result| find.finding(result).is_some()) {
                // What does not fail again does not get smaller.
                return Some((case, find, results));
            }
        }
        let mut shown = None;
        // In haste something else may look the same, which is seen when it is played as it stands.
        let haste = Some(haste).filter(|haste| again.is_some() && haste.within_ms.is_some());
        for head in haste.into_iter().chain([Head::AS_PLAYED]) {
            let smaller = self.shrink(case.clone(), &find, &head).await;
            let (find, results) = self.shown_again(&smaller, find.clone()).await?;
            let is_shown = results.iter().all(|result| find.finding(result).is_some());
            shown = Some((smaller, find, results));
            if is_shown {
                break;
            }
        }
        shown
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

    async fn shrink(&self, case: Case, find: &Find, head: &Head<'_>) -> Case {
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
            shrink.failed(self.first_failing(candidates, find, head).await);
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
            let is_new = |case: &Case| !tried.contains(&case.scenario(&Head::AS_PLAYED));
            let simpler: Vec<_> = simpler.filter(is_new).enumerate().collect();
            if simpler.is_empty() || self.is_long_enough(began) {
                return case;
            }
            let failing = self.first_failing(simpler.clone(), find, head).await;
            // Also the one that fails: what is less than it must not lead back to it.
            let played = simpler.iter().take(failing.map_or(simpler.len(), |index| index + 1));
            tried.extend(played.map(|(_, case)| case.scenario(&Head::AS_PLAYED)));
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
    async fn first_failing(&self, candidates: Vec<(usize, Case)>, find: &Find, head: &Head<'_>) -> Option<usize> {
        let possible: Vec<_> = candidates.into_iter().filter(|(_, case)| case.is_possible()).collect();
        // Only the first counts, but most of them wait.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        for some in possible.chunks(self.settings.jobs.clamp(1, processors * AT_ONCE)) {
            let results = self.play_as(some.iter().map(|(_, case)| (head, case)), Turn::Beside).await;
            let failed = some.iter().zip(&results).find(|(_, result)| find.finding(result).is_some());
            if let Some(((index, _), _)) = failed {
                return Some(*index);
            }
        }
        None
    }
}

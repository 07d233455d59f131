//! Makes a list smaller that fails as long as it fails in the same way, after the minimizing delta debugging of Zeller and
//! Hildebrandt ("Simplifying and isolating failure-inducing input", 2002).
//!
//! All of a round may be tried at once, and where a failure takes seconds to show, it is rounds that take long. So they are few
//! and wide: first each part by itself, then the list without each of them, then the list without several that were not missed.
//!
//! Pure: it says which lists to try, and is told which of them failed.

/// So many lists are tried in a round at most.
const WIDE: usize = 16;

/// A list as short as this is as small as it has to be.
pub const SHORT: usize = 5;
/// More lists without some elements are not tried.
const MANY: usize = 120;

/// A list on its way to fewer elements.
#[derive(Debug, Clone)]
pub struct Shrink<T> {
    /// The smallest that failed.
    least: Vec<T>,
    /// In how many parts it is cut.
    parts: usize,
    next: Next<T>,
    /// How often it was missed that several were gone each of which was not.
    setbacks: usize,
}

/// What is tried in the next round.
#[derive(Debug, Clone)]
enum Next<T> {
    /// Each part by itself.
    Alone,
    /// The list without one part, for each from this one on.
    WithoutOne(usize),
    /// The list without several of these parts, none of which was missed, and the least that is left without one of them.
    WithoutSeveral(Vec<usize>, Vec<T>),
    /// Nothing: it is as small as it gets.
    Nothing,
}

impl<T: Clone> Shrink<T> {
    /// This list fails.
    pub fn new(failing: Vec<T>) -> Self {
        let mut shrink = Self { least: Vec::new(), parts: 0, next: Next::Nothing, setbacks: 0 };
        shrink.go_on_with(failing, Next::Alone);
        shrink
    }

    /// The smallest list that is known to fail.
    pub fn least(&self) -> &[T] {
        &self.least
    }

    /// The lists to try next, the most promising first; none when it is as small as it gets.
    pub fn candidates(&self) -> Vec<Vec<T>> {
        match &self.next {
            Next::Alone => (0..self.parts).map(|alone| self.of_parts(|part| part == alone)).collect(),
            Next::WithoutOne(from) => {
                let parts = *from..self.parts.min(from + WIDE);
                parts.map(|one| self.of_parts(|part| part != one)).collect()
            }
            Next::WithoutSeveral(spare, _) => {
                let groups = groups(spare).filter(|group| group.len() < self.parts);
                groups.map(|group| self.of_parts(|part| !group.contains(&part))).collect()
            }
            Next::Nothing => Vec::new(),
        }
    }

    /// Whether what is missed is a number of elements, whichever they are: each of them may be gone, and several may not.
    pub fn is_about_a_number(&self) -> bool {
        self.setbacks > 0
    }

    /// Whether of the candidates only the first counts that fails.
    pub fn is_decided_by_the_first(&self) -> bool {
        !matches!(self.next, Next::WithoutOne(_))
    }

    /// These of the candidates failed, each with what is to be gone on with: itself, or what is possible of it.
    pub fn failed(&mut self, failing: Vec<(usize, Vec<T>)>) {
        let spare: Vec<_> = failing.iter().map(|(index, _)| *index).collect();
        let least = failing.into_iter().map(|(_, list)| list).min_by_key(Vec::len);
        match (std::mem::replace(&mut self.next, Next::Nothing), least) {
            (Next::Alone, Some(alone)) => self.go_on_with(alone, Next::Alone),
            (Next::Alone, None) => self.next = Next::WithoutOne(0),
            (Next::WithoutOne(from), Some(least)) if spare.len() > 1 => {
                self.next = Next::WithoutSeveral(spare.into_iter().map(|index| from + index).collect(), least);
            }
            (Next::WithoutOne(_) | Next::WithoutSeveral(..), Some(least)) => {
                self.go_on_with(least, Next::WithoutOne(0))
            }
            (Next::WithoutSeveral(_, least), None) => {
                self.setbacks += 1;
                self.go_on_with(least, Next::WithoutOne(0));
            }
            (Next::WithoutOne(from), None) if from + WIDE < self.parts => self.next = Next::WithoutOne(from + WIDE),
            (Next::WithoutOne(_), None) if self.parts < self.least.len() => {
                self.parts = self.least.len();
                self.next = Next::WithoutOne(0);
            }
            (Next::WithoutOne(_) | Next::Nothing, _) => {}
        }
    }

    fn go_on_with(&mut self, least: Vec<T>, next: Next<T>) {
        self.next = if least.len() < 2 { Next::Nothing } else { next };
        self.parts = least.len().min(WIDE);
        self.least = least;
    }

    /// What stands in some of the parts.
    fn of_parts(&self, is_in: impl Fn(usize) -> bool) -> Vec<T> {
        let bound = |part: usize| part * self.least.len() / self.parts;
        (0..self.parts)
            .filter(|part| is_in(*part))
            .flat_map(|part| &self.least[bound(part)..bound(part + 1)])
            .cloned()
            .collect()
    }
}

/// All of these, then each half, each quarter, as long as there are two in one.
fn groups(spare: &[usize]) -> impl Iterator<Item = &[usize]> {
    let sizes = std::iter::successors(Some(spare.len()), |size| Some(size.div_ceil(2))).take_while(|size| *size > 1);
    sizes.flat_map(|size| spare.chunks(size)).filter(|group| group.len() > 1)
}

/// The lists without any two of these, or without any three if these are few: what holds only where others are not there goes
/// with them or not at all.
pub fn without_some<T: Clone>(list: &[T]) -> Vec<Vec<T>> {
    let count = list.len();
    let threes =
        || (0..count).flat_map(move |a| (a + 1..count).flat_map(move |b| (b + 1..count).map(move |c| vec![a, b, c])));
    let twos = || (0..count).flat_map(move |a| (a + 1..count).map(move |b| vec![a, b]));
    let some = [threes().take(MANY + 1).collect(), twos().take(MANY + 1).collect::<Vec<_>>()];
    let some = some.into_iter().filter(|some| some.len() <= MANY).flatten();
    let without = |gone: Vec<usize>| {
        let left = list.iter().enumerate().filter(|(at, _)| !gone.contains(at));
        left.map(|(_, element)| element.clone()).collect()
    };
    some.map(without).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Shrinks as long as `fails` says so of what `fit` leaves of a list; with how many lists were tried, and in how many rounds.
    fn shrunk_as(
        list: Vec<u32>,
        fit: impl Fn(Vec<u32>) -> Vec<u32>,
        fails: impl Fn(&[u32]) -> bool,
    ) -> (Vec<u32>, usize, usize) {
        let (mut shrink, mut tried, mut rounds) = (Shrink::new(list), 0, 0);
        loop {
            let candidates = shrink.candidates();
            if candidates.is_empty() {
                return (shrink.least().to_vec(), tried, rounds);
            }
            assert!(candidates.len() <= WIDE, "{}", candidates.len());
            tried += candidates.len();
            rounds += 1;
            let fitting = candidates.into_iter().map(&fit).enumerate();
            let mut failing: Vec<_> = fitting.filter(|(_, candidate)| fails(candidate)).collect();
            if shrink.is_decided_by_the_first() {
                failing.truncate(1);
            }
            shrink.failed(failing);
        }
    }

    fn shrunk(list: Vec<u32>, fails: impl Fn(&[u32]) -> bool) -> (Vec<u32>, usize, usize) {
        shrunk_as(list, |list| list, fails)
    }

    proptest! {
        /// What must be there stays, in its order, and nothing besides; it takes few rounds.
        #[test]
        fn what_it_takes_is_left(length in 1..130u32, needed in proptest::collection::btree_set(0..130u32, 1..4)) {
            let needed: Vec<_> = needed.into_iter().filter(|it| *it < length).collect();
            prop_assume!(!needed.is_empty());
            let has_all = |list: &[u32]| needed.iter().all(|it| list.contains(it));
            let (least, tried, rounds) = shrunk((0..length).collect(), has_all);
            prop_assert_eq!(&least, &needed);
            prop_assert!(rounds <= 10, "{} of {}", rounds, length);
            prop_assert!(tried <= 10 * WIDE, "{} of {}", tried, length);
        }

        /// What is possible only after something else goes with that, which nothing is left of that is not needed.
        #[test]
        fn what_depends_on_something_goes_with_it(length in 1..130u32, needed in 0..130u32, pairs in 2..9u32) {
            prop_assume!(needed < length);
            // Each but the first of a group needs the one before it, and each but the last must be followed.
            let is_first = |it: u32| it.is_multiple_of(pairs);
            let fit = |list: Vec<u32>| {
                let mut fitting = Vec::new();
                for it in list {
                    if is_first(it) || fitting.last() == Some(&(it - 1)) {
                        fitting.push(it);
                    }
                }
                fitting
            };
            let is_whole = |list: &[u32]| list.iter().all(|it| (it + 1) % pairs == 0 || it + 1 == length || list.contains(&(it + 1)));
            let (least, ..) = shrunk_as((0..length).collect(), fit, |list| list.contains(&needed) && is_whole(list));
            let group: Vec<_> = (0..length).filter(|it| it / pairs == needed / pairs).collect();
            prop_assert_eq!(least, group);
        }
    }

    #[test]
    fn a_short_list_is_tried_element_by_element_first() {
        for (length, rounds) in [(16, 1), (17, 2), (256, 2), (257, 3)] {
            let fails = |list: &[u32]| list.contains(&(length - 1));
            let (least, _, took) = shrunk((0..length).collect(), fails);
            assert_eq!((least, took), (vec![length - 1], rounds), "{length}");
        }
    }

    #[test]
    fn what_is_not_missed_goes_at_once_or_half_of_it() {
        // Each by itself, without each, without all others, and without each of the two.
        assert_eq!(shrunk((0..16).collect(), |list| list.contains(&3) && list.contains(&9)).2, 4);
        // A number of them is needed, whichever they are.
        let (least, _, rounds) = shrunk((0..100).collect(), |list| list.len() >= 24);
        assert!(least.len() == 24 && rounds < 20, "{} in {rounds}", least.len());
        let mut shrink = Shrink::new((0..16).collect::<Vec<_>>());
        while !shrink.is_about_a_number() {
            let candidates = shrink.candidates().into_iter().enumerate();
            shrink.failed(candidates.filter(|(_, list)| list.len() >= 15).collect());
        }
        assert_eq!(shrink.least().len(), 15);
    }

    #[test]
    fn some_elements_are_left_out_together() {
        assert_eq!(without_some(&[1, 2, 3]), [vec![], vec![3], vec![2], vec![1]]);
        assert_eq!([1, 10, 11, 16, 17].map(|count| without_some(&vec![(); count]).len()), [0, 165, 55, 120, 0]);
    }

    #[test]
    fn what_fails_always_is_one_element_and_what_fails_whole_stays() {
        assert_eq!(shrunk((0..9).collect(), |_| true).0.len(), 1);
        assert_eq!(shrunk((0..9).collect(), |list| list.len() == 9).0.len(), 9);
        assert_eq!(shrunk(vec![7], |_| true), (vec![7], 0, 0));
        assert_eq!(shrunk(Vec::new(), |_| true).1, 0);
    }
}

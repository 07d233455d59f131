//! Makes a list smaller that fails as long as it fails in the same way: minimizing delta debugging (Zeller and Hildebrandt,
//! "Simplifying and isolating failure-inducing input", 2002).
//!
//! Once the list is short, each element is tried by itself: where a failure takes seconds to show, that is one round, and
//! halving it again and again is many.
//!
//! Pure: it says which lists to try, and is told which of them failed. All of a round may be tried at once.

/// So few elements may be tried at once.
const FEW: usize = 16;

/// A list on its way to fewer elements.
#[derive(Debug, Clone)]
pub struct Shrink<T> {
    /// The smallest that failed.
    least: Vec<T>,
    /// In how many parts it is cut.
    parts: usize,
    /// Whether no element fails by itself.
    takes_several: bool,
    is_over: bool,
}

impl<T: Clone> Shrink<T> {
    /// This list fails.
    pub fn new(failing: Vec<T>) -> Self {
        let is_over = failing.len() < 2;
        Self { least: failing, parts: 2, takes_several: false, is_over }
    }

    /// The smallest list that is known to fail.
    pub fn least(&self) -> &[T] {
        &self.least
    }

    /// The lists to try next, the most promising first; none when it is as small as it gets.
    pub fn candidates(&self) -> Vec<Vec<T>> {
        if self.is_over {
            return Vec::new();
        }
        if self.is_alone() {
            return self.least.iter().map(|element| vec![element.clone()]).collect();
        }
        let bounds: Vec<_> = (0..=self.parts).map(|part| part * self.least.len() / self.parts).collect();
        let part = |index: usize| &self.least[bounds[index]..bounds[index + 1]];
        let rest = |index: usize| [&self.least[..bounds[index]], &self.least[bounds[index + 1]..]].concat();
        let parts = (0..self.parts).map(|index| part(index).to_vec());
        // What is left without one of two parts is the other one.
        let rests = (0..self.parts).filter(|_| self.parts > 2).map(rest);
        parts.chain(rests).collect()
    }

    /// Whether each element is tried by itself.
    fn is_alone(&self) -> bool {
        !self.takes_several && self.least.len() <= FEW
    }

    /// The first of the candidates that failed was this one, or none did.
    pub fn failed(&mut self, first: Option<usize>) {
        let count = self.parts;
        if self.is_alone() {
            self.takes_several = true;
            if let Some(alone) = first.and_then(|index| self.least.get(index)) {
                self.least = vec![alone.clone()];
                self.is_over = true;
            }
            return;
        }
        match first.and_then(|index| Some((index, self.candidates().get(index)?.clone()))) {
            Some((index, smaller)) => {
                self.least = smaller;
                self.parts = if index < count { 2 } else { (count - 1).max(2) };
            }
            None if count < self.least.len() => self.parts = (count * 2).min(self.least.len()),
            None => self.is_over = true,
        }
        self.parts = self.parts.min(self.least.len().max(2));
        self.is_over |= self.least.len() < 2;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Shrinks as long as `fails` says so, and how many lists were tried.
    fn shrunk(list: Vec<u32>, fails: impl Fn(&[u32]) -> bool) -> (Vec<u32>, usize) {
        let (mut shrink, mut tried) = (Shrink::new(list), 0);
        loop {
            let candidates = shrink.candidates();
            if candidates.is_empty() {
                return (shrink.least().to_vec(), tried);
            }
            tried += candidates.len();
            shrink.failed(candidates.iter().position(|candidate| fails(candidate)));
        }
    }

    proptest! {
        /// What must be there stays, in its order, and nothing besides.
        #[test]
        fn what_it_takes_is_left(length in 1..60u32, needed in proptest::collection::btree_set(0..60u32, 1..4)) {
            let needed: Vec<_> = needed.into_iter().filter(|it| *it < length).collect();
            prop_assume!(!needed.is_empty());
            let has_all = |list: &[u32]| needed.iter().all(|it| list.contains(it));
            let (least, tried) = shrunk((0..length).collect(), has_all);
            prop_assert_eq!(&least, &needed);
            prop_assert!(tried <= 4 * (length as usize + 1) * (needed.len() + 2), "{} of {}", tried, length);
        }
    }

    #[test]
    fn a_short_list_is_tried_element_by_element_first() {
        for (length, rounds) in [(16, 1), (17, 2), (32, 2), (64, 3)] {
            let (mut shrink, mut count) = (Shrink::new((0..length).collect::<Vec<_>>()), 0);
            while let Some(first) = (!shrink.candidates().is_empty()).then(|| shrink.candidates()) {
                shrink.failed(first.iter().position(|list| list.contains(&(length - 1))));
                count += 1;
            }
            assert_eq!((shrink.least(), count), (&[length - 1][..], rounds), "{length}");
        }
    }

    #[test]
    fn what_fails_always_is_one_element_and_what_fails_whole_stays() {
        assert_eq!(shrunk((0..9).collect(), |_| true).0.len(), 1);
        assert_eq!(shrunk((0..9).collect(), |list| list.len() == 9).0.len(), 9);
        assert_eq!(shrunk(vec![7], |_| true), (vec![7], 0));
        assert_eq!(shrunk(Vec::new(), |_| true).1, 0);
    }
}

//! What the scenarios of a run have learnt of the module under test, so that no other waits for what will not come.
//!
//! A module does of its own accord what it does at much the same age in every scenario, or soon after what it reacts to: one that
//! was seen not to do it up to some age is not waited for up to that age again, but for a moment. What was seen in one scenario is
//! waited for in all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

/// How long what others have waited for in vain is waited for all the same: a module may react to what a scenario shows it.
pub const REACTION: Duration = Duration::from_secs(2);
/// Scenarios that wait until the same age of a module do not do so to the instant.
const SAME_AGE: Duration = Duration::from_millis(500);

/// What a run knows of its module.
#[derive(Debug, Default)]
pub struct Experience {
    known: watch::Sender<Known>,
}

#[derive(Debug, Clone, Default)]
struct Known {
    /// What the module has done of its own accord.
    done: BTreeSet<String>,
    /// Up to which age it has not done what it was waited for to do.
    not_done: BTreeMap<String, Duration>,
    /// Whether it was waited for to connect, and never did.
    is_absent: bool,
    /// Whether it did nothing until it saw a beacon.
    is_asleep: bool,
}

impl Known {
    fn says_no(&self, what: &str, age: Duration) -> bool {
        !self.done.contains(what) && self.not_done.get(what).is_some_and(|until| *until + SAME_AGE >= age)
    }
}

impl Experience {
    /// What is known now, and what is learnt from now on apart.
    pub fn apart(&self) -> Self {
        Self { known: watch::Sender::new(self.known.borrow().clone()) }
    }

    /// The module has done this of its own accord.
    pub fn has_done(&self, what: String) {
        self.known.send_modify(|known| known.done.extend([what]));
    }

    /// The module has not done this up to this age.
    pub fn has_not_done(&self, what: String, age: Duration) {
        self.known.send_modify(|known| {
            let until = known.not_done.entry(what).or_default();
            *until = age.max(*until);
        });
    }

    /// Returns when it is in vain to wait until this age of the module for it to do this, as others have; not before the time of a
    /// `reaction`, and never, if nobody has.
    pub async fn in_vain(&self, what: &str, age: Duration, reaction: Duration) {
        sleep(reaction).await;
        // It cannot fail: who would tell is here.
        let _ = self.known.subscribe().wait_for(|known| known.says_no(what, age)).await;
    }

    /// Whether the module was waited for to connect, and never did.
    pub fn is_absent(&self) -> bool {
        self.known.borrow().is_absent
    }

    /// The module was waited for to connect, and did or did not.
    pub fn set_absent(&self, is_absent: bool) {
        self.known.send_modify(|known| known.is_absent = is_absent);
    }

    /// Whether the module did nothing until it saw a beacon.
    pub fn is_asleep(&self) -> bool {
        self.known.borrow().is_asleep
    }

    /// The module did nothing until it saw a beacon.
    pub fn set_asleep(&self) {
        self.known.send_modify(|known| known.is_asleep = true);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    const WITHDRAW: &str = "withdraw_authorization";
    const MOMENT: Duration = Duration::from_millis(20);

    /// Whether it is in vain to wait for a withdraw until this age of the module.
    async fn in_vain(experience: &Experience, age: u64) -> bool {
        timeout(MOMENT * 5, experience.in_vain(WITHDRAW, Duration::from_secs(age), MOMENT)).await.is_ok()
    }

    #[tokio::test]
    async fn what_another_has_waited_for_in_vain_is_waited_for_as_long_as_a_reaction_takes() {
        let experience = Experience::default();
        assert!(!in_vain(&experience, 6).await, "nobody has waited");
        experience.has_not_done(WITHDRAW.to_owned(), Duration::from_secs(6));
        experience.has_not_done(WITHDRAW.to_owned(), Duration::from_secs(3));
        let began = Instant::now();
        assert!(in_vain(&experience, 6).await);
        assert!(began.elapsed() >= MOMENT);
        assert!(!in_vain(&experience, 7).await, "nobody has waited until then");
        experience.has_done("discover".to_owned());
        assert!(in_vain(&experience, 6).await);
        let apart = experience.apart();
        experience.has_done(WITHDRAW.to_owned());
        assert!(!in_vain(&experience, 6).await, "it has done so elsewhere");
        assert!(in_vain(&apart, 6).await);
    }

    #[tokio::test]
    async fn who_waits_learns_that_another_has_given_up() {
        let experience = Experience::default();
        let gives_up = async {
            sleep(MOMENT * 2).await;
            experience.has_not_done(WITHDRAW.to_owned(), Duration::from_secs(11));
        };
        let (is_in_vain, ()) = tokio::join!(in_vain(&experience, 8), gives_up);
        assert!(is_in_vain);
    }
}

//! What happens while a scenario is played, and every way of waiting for it: records, the end of the module, the user's
//! wish to stop, and the time. Every wait has a deadline and can be interrupted.
//!
//! Sends nothing, and judges nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::awaited::Awaited;
use super::experience::Experience;
use super::faults::Laid;
use super::findings;
use super::lag::Lag;
use super::module::Module;
use super::observer::Observer;
use super::stop::{Stop, broken};
use super::waits::Waits;
use crate::conformance::judge::Case;

/// How long past its deadline a wait goes on taking what comes in; it may never stop coming.
const CROWDED: Duration = Duration::from_millis(100);
/// More packets than this may not wait to be judged.
const SWAMPED: usize = 100_000;
/// How long bytes of a module that has ended may take through the sockets.
const LAST_BYTES: Duration = Duration::from_millis(500);

/// What a scenario has to do with the others of its run: who is told what it waits for, for whom its waits make room, and what
/// they know of the module.
pub type Others = (Awaited, Waits, Arc<Experience>);

/// The lookout.
pub struct Lookout<'s> {
    case: Case<'s>,
    /// What is known of the wire.
    pub(super) observer: Observer,
    /// The module under test.
    pub(super) module: Module,
    /// The faults that were injected.
    pub(super) faults: Laid,
    interrupt: watch::Receiver<bool>,
    /// Who is told what is waited for.
    pub(super) awaited: Awaited,
    /// Its waits, during which others may begin.
    pub(super) waits: Waits,
    /// What is known of the module from other scenarios.
    pub(super) experience: Arc<Experience>,
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// There is something new in the record.
    Record,
    /// The module has ended, and all it had sent is in the record.
    Ended,
    /// The deadline has passed.
    Deadline,
}

impl<'s> Lookout<'s> {
    /// From now on.
    pub fn new(
        case: Case<'s>,
        observer: Observer,
        module: Module,
        faults: Laid,
        interrupt: watch::Receiver<bool>,
        (awaited, waits, experience): Others,
    ) -> Self {
        Self { case, observer, module, faults, interrupt, awaited, waits, experience }
    }

    /// Waits for something new, until `deadline`.
    ///
    /// # Errors
    /// When the user interrupts, or when the side that khumbu plays has broken down.
    pub async fn wait(&mut self, deadline: Instant) -> Result<Wake, Stop> {
        self.awaited.until(deadline);
        let has_ended = self.module.has_ended();
        if self.observer.waiting() > SWAMPED {
            return Err(findings::flooded(&self.case, &self.observer.messages, SWAMPED).into());
        }
        let is_crowded = Instant::now() >= deadline + CROWDED;
        loop {
            let long = self.waits.until(deadline);
            return tokio::select! {
                biased;
                () = self.interrupted() => Err(Stop::Interrupted),
                () = std::future::ready(()), if is_crowded => {
                    self.observer.drain();
                    Ok(Wake::Deadline)
                }
                is_open = self.observer.next() => match is_open {
                    true => Ok(Wake::Record),
                    false => Err(broken("the broker has stopped").into()),
                },
                () = is_over(&mut self.module.ended), if !has_ended => {
                    self.drain_after_end().await;
                    Ok(Wake::Ended)
                }
                () = sleep_until(long.unwrap_or(deadline)), if long.is_some() => {
                    self.waits.set_long(true);
                    continue;
                }
                () = sleep_until(deadline) => Ok(Wake::Deadline),
            };
        }
    }

    /// Takes what a module that has ended had sent before.
    pub async fn drain_after_end(&mut self) {
        let deadline = Instant::now() + LAST_BYTES;
        while self.observer.connections.is_connected() {
            tokio::select! {
                is_open = self.observer.next() => if !is_open { break },
                () = sleep_until(deadline) => break,
            }
        }
    }

    /// Waits until `condition` holds. `None` when it did not within the time.
    ///
    /// # Errors
    /// As [`Lookout::wait`].
    pub async fn wait_until(
        &mut self,
        within: Duration,
        condition: impl Fn(&Observer) -> bool,
    ) -> Result<Option<()>, Stop> {
        let mut patience = self.patience();
        let mut is_over = false;
        loop {
            if condition(&self.observer) {
                return Ok(Some(()));
            }
            if is_over || self.module.has_ended() {
                return Ok(None);
            }
            is_over = self.waits_in_vain(&mut patience, within).await?;
        }
    }

    /// Waits for something new; `true` if the time is over, with everything taken that had come by then.
    ///
    /// # Errors
    /// As [`Lookout::wait`].
    pub async fn waits_in_vain(&mut self, patience: &mut Patience, within: Duration) -> Result<bool, Stop> {
        match self.wait(patience.deadline(within)).await? {
            Wake::Record | Wake::Ended => Ok(false),
            Wake::Deadline if !patience.is_over(within).await => Ok(false),
            Wake::Deadline => {
                self.observer.drain();
                Ok(true)
            }
        }
    }

    /// A wait that begins now.
    pub fn patience(&self) -> Patience {
        Patience::new(self.observer.lag.clone())
    }

    /// How long khumbu itself has been held up until now, all in all.
    pub fn held_up(&self) -> Duration {
        self.observer.lag.total()
    }

    /// Takes everything that had come by a deadline; all hold-ups until then are counted, if `is_prolonged` by them.
    pub async fn catch_up(&mut self, is_prolonged: bool) {
        if is_prolonged {
            // A process that was held up is woken by its deadline before it has read its sockets.
            self.observer.lag.settle().await;
        }
        self.observer.drain();
    }

    /// Whether the user wants to stop.
    pub fn is_interrupted(&self) -> bool {
        *self.interrupt.borrow()
    }

    /// Returns when the user wants to stop; never, if nobody can say so any more.
    pub fn interrupted(&self) -> impl Future<Output = ()> + use<> {
        let mut interrupt = self.interrupt.clone();
        async move {
            if interrupt.wait_for(|wanted| *wanted).await.is_err() {
                std::future::pending().await
            }
        }
    }
}

/// Returns when the module has ended; never, if nobody can say so any more.
async fn is_over(ended: &mut watch::Receiver<Option<String>>) {
    if ended.wait_for(Option::is_some).await.is_err() {
        std::future::pending().await
    }
}

/// A wait that is prolonged by as much as the harness itself was held up: a busy machine is not the module's fault.
pub struct Patience {
    started: Instant,
    lag: Lag,
    held_up_before: Duration,
    held_up: Duration,
}

impl Patience {
    fn new(lag: Lag) -> Self {
        Self { started: Instant::now(), held_up_before: lag.total(), held_up: Duration::ZERO, lag }
    }

    /// The deadline as it stands for something that may take this long.
    pub fn deadline(&self, within: Duration) -> Instant {
        self.started + within + self.held_up
    }

    /// Whether that time is over, once the hold-ups since are known.
    pub async fn is_over(&mut self, within: Duration) -> bool {
        // A process that was held up is woken by its deadline before it has read its sockets.
        self.lag.settle().await;
        self.held_up = self.lag.total().saturating_sub(self.held_up_before);
        Instant::now() >= self.deadline(within)
    }

    /// How long has been waited.
    pub fn waited(&self) -> Duration {
        self.started.elapsed()
    }
}

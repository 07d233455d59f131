//! Room for other scenarios: one that waits for long needs no processor, and another one may begin meanwhile. Waits for nothing
//! itself.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// What is over sooner leaves no time for another scenario.
const LONG: Duration = Duration::from_millis(1500);

/// How many scenarios of a run wait for long.
#[derive(Debug, Clone, Default)]
pub struct Room {
    waiting: watch::Sender<usize>,
}

impl Room {
    /// How many wait now.
    pub fn waiting(&self) -> usize {
        *self.waiting.borrow()
    }

    /// Returns when others wait than at the last time; never, if nothing changes.
    pub fn changes(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }
}

/// The waits of one scenario.
#[derive(Debug)]
pub struct Waits {
    room: Room,
    /// Whether its steps are played: before, its module needs the processor.
    is_underway: bool,
    /// The last one: until when, and since when.
    last: Option<(Instant, Instant)>,
    is_long: bool,
}

impl Waits {
    /// Of a scenario that has not begun.
    pub fn new(room: Room) -> Self {
        Self { room, is_underway: false, last: None, is_long: false }
    }

    /// Its steps begin.
    pub fn begin(&mut self) {
        self.is_underway = true;
    }

    /// It waits until `deadline`, unless something comes before. Returns when that has become long, if it may and has not yet.
    pub fn until(&mut self, deadline: Instant) -> Option<Instant> {
        let since = match self.last {
            Some((until, since)) if until == deadline => since,
            _ => {
                self.set_long(false);
                let now = Instant::now();
                self.last = Some((deadline, now));
                now
            }
        };
        let long = since + LONG;
        (self.is_underway && !self.is_long && long < deadline).then_some(long)
    }

    /// The last wait has become long, or is over.
    pub fn set_long(&mut self, is_long: bool) {
        if std::mem::replace(&mut self.is_long, is_long) != is_long {
            self.room.waiting.send_modify(|waiting| *waiting = if is_long { *waiting + 1 } else { *waiting - 1 });
        }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.set_long(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_waits_for_long_makes_room_until_it_waits_for_something_else() {
        let room = Room::default();
        let mut waits = Waits::new(room.clone());
        let now = Instant::now();
        let (first, second) = (now + LONG * 4, now + LONG * 5);
        assert_eq!(waits.until(first), None, "its module is about to start");
        waits.begin();
        let long = waits.until(first);
        assert!(long.is_some_and(|long| long >= now + LONG));
        assert_eq!(waits.until(first), long, "the same wait");
        waits.set_long(true);
        assert_eq!((waits.until(first), room.waiting()), (None, 1));
        assert!(waits.until(second).is_some());
        assert_eq!(room.waiting(), 0);
        assert_eq!(waits.until(now + LONG / 2), None, "it is over too soon");
        waits.until(second);
        waits.set_long(true);
        drop(waits);
        assert_eq!(room.waiting(), 0);
    }
}

//! The judge of a scenario's expectations: met, waited for until a time, or not met and why.
//!
//! Pure: messages and the time come in, decisions come out; nothing here acts on the wire, waits, or writes a message for
//! people but `findings`. Only messages that no earlier expectation has claimed count. Each message is looked at when it
//! comes, and again only by a step that asks for its lane: no step begins with the first message.

pub mod accord;
mod arming;
mod blame;
mod case;
mod claims;
mod evidence;
mod expectation;
pub mod findings;
mod nearest;
mod owed;
mod past;
mod silence;
mod unasked;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use accord::{Means, Prompt};
pub use blame::{Blame, STAYED_AWAY, STAYS_AWAY};
pub use case::{Case, View, WITHIN};
pub use claims::{Claim, Claims};
pub use evidence::{Proof, is_unheard};
pub use expectation::{Expectation, What, is_of_kind, matches};
pub use findings::is_undecided;
pub use past::{Past, Replies};

use super::sighting::{Kind, Party, Sighting};
use crate::diagnostic::Diagnostic;
use crate::parity;
use crate::parity::station_file::Binding;
use crate::protocol::control::Deed;
use crate::protocol::side::Side;
use crate::scenario::Pointer;
use crate::scenario::model::ExpectNone;
use crate::scenario::pattern::Captures;
use crate::scenario::step::Step;
use expectation::{Mismatch, Offer};
use silence::Silence;

/// How long is waited at most for a message whose time is over, to tell late from never. What is not there after three
/// times its time counts as never, so that short limits stay short.
const LATE: Duration = Duration::from_secs(2);
/// The same of an answer at most, where EVerest waits for it no longer: who is slow gives it all the same, and breaks
/// something else than who gives none.
const LATE_ANSWER: Duration = Duration::from_secs(20);

/// A moment of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time.
    pub now: Duration,
    /// How long khumbu itself has been held up until now, all in all: a busy machine is not the module's fault.
    pub held_up: Duration,
    /// Whether the module under test has ended.
    pub has_ended: bool,
}

/// What happens to the judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// There may be messages that it has not seen.
    Seen,
    /// Its deadline has passed: it sees all that came by then, and if it asked for that, all hold-ups are counted.
    Over,
}

/// What the judge says.
#[derive(Debug)]
pub enum Decision {
    /// What was expected has come; for a demand, the number of the message.
    Met(Option<u64>),
    /// It may come until then.
    Waiting(Deadline),
    /// It has not come, or cannot.
    NotMet(Box<NotMet>),
}

/// When the judge wants to be asked again, whatever happens until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The time.
    pub at: Duration,
    /// Whether it moves with khumbu's own hold-ups, so that those until then have to be known.
    pub is_prolonged: bool,
}

/// What was not met, and why.
#[derive(Debug, Clone)]
pub struct NotMet {
    /// Where it stands in the scenario.
    pub pointer: Pointer,
    /// Why.
    pub why: Why,
}

/// Why something was not met.
#[derive(Debug, Clone)]
pub enum Why {
    /// An expectation was not met.
    Expected(Box<Expectation>, Fault),
    /// A message broke a silence.
    Unexpected(u64),
    /// The module ended while silence was demanded of it.
    EndedInSilence,
    /// Nobody can say whether EVSEs were called.
    CallsUnseen,
}

/// What is wrong with how an expectation came out.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// This message stands where another was expected, after so long.
    Mismatch(u64, Box<Mismatch>, Duration),
    /// This message came before what an earlier step expects.
    OutOfOrder(u64),
    /// This message came, but only after so long.
    Late(u64, Duration),
    /// No message came in so long.
    Missing {
        /// How long was waited.
        waited: Duration,
        /// What an earlier step was met by.
        floor: Option<u64>,
    },
    /// The module ended before.
    Ended,
    /// The module cannot be told to, and did not do it by itself either, if it was to.
    NotDrivable,
    /// What may be done of the module's own accord was not.
    NotDone,
    /// The same of a request, while the reply to such a one, the message of this number, is still to come.
    NotAskedAgain(u64),
    /// The module waits for the reply to another request, the message of this number.
    WaitsForReply(u64),
    /// The module was told to do something, and never told what came of it.
    NoAnswer,
}

/// What a demand changes for the steps that follow, once it is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// What they expect comes after its message.
    InOrder,
    /// Its message is the last stimulus.
    Stimulus,
    /// Nothing.
    Nothing,
}

/// Something that the module under test has to send, because a step wants it to.
#[derive(Debug)]
pub struct Demand {
    /// Where it stands in the scenario.
    pub pointer: Pointer,
    /// How long it may take.
    pub within: Duration,
    /// By whom the message should come.
    pub by: Party,
    /// What is demanded.
    pub what: What,
    /// How the module came to know of it.
    pub prompt: Prompt,
    /// What follows from it.
    pub after: After,
}

/// The judge of one scenario.
#[derive(Debug)]
pub struct Judge<'s> {
    case: Case<'s>,
    /// What patterns have captured.
    pub captures: Captures,
    /// What the steps so far leave behind.
    pub past: Past,
    claims: Claims,
    armed: Option<Armed>,
}

/// What is judged at the moment.
#[derive(Debug)]
enum Armed {
    Open(Box<Open>),
    Overdue(Box<Overdue>),
    Silence(Box<Silence>),
}

/// Expectations that may be met in any order among themselves, or one demand.
#[derive(Debug)]
struct Open {
    waiting: Vec<Waiting>,
    /// What an earlier step was met by when these were armed.
    floor: Option<u64>,
    /// The first message that was not looked at.
    next: usize,
    /// How the module came to know of it, and what follows, if it is a demand.
    demand: Option<(Prompt, After)>,
}

/// An expectation that is not met yet.
#[derive(Debug)]
struct Waiting {
    expectation: Expectation,
    /// The first message that may count.
    from: usize,
    /// Since when it is waited for: since it was armed, or since its last status came. Each has the whole time.
    began: Duration,
    /// The hold-ups until then.
    held_up: Duration,
    /// The hold-ups since, as far as they are counted.
    prolonged: Duration,
    is_over: bool,
}

/// An expectation that was not met in time. It is waited for a little more, to tell late from never.
#[derive(Debug)]
struct Overdue {
    expectation: Expectation,
    captures: Captures,
    next: usize,
    floor: Option<u64>,
    began: Duration,
    waited: Duration,
    until: Duration,
    had_ended: bool,
}

/// How a look at the messages came out.
enum Outcome {
    Goes(Armed),
    Met(Option<u64>),
    NotMet(Box<NotMet>),
}

impl Outcome {
    fn not_met(pointer: Pointer, why: Why) -> Self {
        Outcome::NotMet(Box::new(NotMet { pointer, why }))
    }
}

impl Waiting {
    fn new(expectation: Expectation, from: usize, moment: Moment) -> Self {
        let Moment { now: began, held_up, .. } = moment;
        Self { expectation, from, began, held_up, prolonged: Duration::ZERO, is_over: false }
    }

    fn deadline(&self) -> Duration {
        self.began + self.expectation.within + self.prolonged
    }

    /// Its deadline as it stood has passed.
    fn reconsider(&mut self, moment: Moment) {
        self.prolonged = moment.held_up.saturating_sub(self.held_up);
        self.is_over = moment.now >= self.deadline();
    }

    fn fails(self, fault: Fault) -> Outcome {
        self.expectation.fails(fault)
    }
}

impl Expectation {
    /// Whether it is an answer to EVerest that EVerest has stopped waiting for by now.
    fn is_overdue_answer(&self, case: &Case<'_>, waited: Duration) -> bool {
        let is_answer = self.by == Party::Module && case.is_asked() && matches!(self.what, What::Reply { .. });
        is_answer && !case.answer_within.is_zero() && waited >= case.answer_within
    }

    fn fails(self, fault: Fault) -> Outcome {
        Outcome::not_met(self.pointer.clone(), Why::Expected(Box::new(self), fault))
    }
}

impl Armed {
    fn deadline(&self) -> Option<Deadline> {
        let firm = |at| Some(Deadline { at, is_prolonged: false });
        match self {
            Armed::Open(open) => {
                let at = open.waiting.iter().map(Waiting::deadline).min()?;
                Some(Deadline { at, is_prolonged: true })
            }
            Armed::Overdue(overdue) => firm(overdue.until),
            Armed::Silence(silence) => firm(silence.until),
        }
    }
}

impl<'s> Judge<'s> {
    /// A judge that has seen nothing. `captures` is what patterns know from the start.
    pub fn new(case: Case<'s>, captures: Captures) -> Self {
        Self { case, captures, past: Past::default(), claims: Claims::default(), armed: None }
    }

    /// The scenario that is judged.
    pub fn case(&self) -> &Case<'s> {
        &self.case
    }

    /// Which messages have met a step.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Expects what these steps say, in any order among themselves.
    ///
    /// # Errors
    /// When one of them can never be met.
    pub fn expect(
        &mut self,
        steps: &[(Pointer, &Step)],
        moment: Moment,
        view: View<'_>,
    ) -> Result<(), Box<Diagnostic>> {
        let floor = self.past.floor;
        let mut waiting = Vec::with_capacity(steps.len());
        for (at, step) in steps {
            let expectation = self.expectation(step, at, view)?;
            let since = match expectation.what {
                // Off the lanes it looks for a message in the right order; on a lane it has no choice.
                What::Message { .. } => expectation.since.max(floor.unwrap_or_default()),
                _ => expectation.since,
            };
            waiting.push(Waiting::new(expectation, view.since(since), moment));
        }
        self.armed = Some(Armed::Open(Box::new(Open { waiting, floor, next: 0, demand: None })));
        Ok(())
    }

    /// Demands a message since the last stimulus.
    pub fn demand(&mut self, demand: Demand, moment: Moment, view: View<'_>) {
        let Demand { pointer, within, by, what, prompt, after } = demand;
        let within = if let Prompt::ByItself(within) | Prompt::Awaited(within) = prompt { within } else { within };
        let expectation = Expectation { pointer, within, since: self.past.mark, by, what };
        let waiting = vec![Waiting::new(expectation, view.since(self.past.mark), moment)];
        let demand = Some((prompt, after));
        self.armed = Some(Armed::Open(Box::new(Open { waiting, floor: None, next: 0, demand })));
    }

    /// What is open is waited for until now, and no longer.
    pub fn give_up(&mut self, now: Duration) {
        let Some(Armed::Open(open)) = &mut self.armed else { return };
        for waiting in &mut open.waiting {
            let waited = now.saturating_sub(waiting.began);
            waiting.expectation.within = waiting.expectation.within.min(waited);
        }
    }

    /// Demands silence, since the last stimulus and for a time.
    ///
    /// # Errors
    /// When that cannot be judged.
    pub fn forbid(
        &mut self,
        none: &ExpectNone,
        at: &Pointer,
        moment: Moment,
        view: View<'_>,
    ) -> Result<(), Box<Diagnostic>> {
        let from = view.since(self.past.mark);
        let silence = Silence::new(none, at, from, moment, (&self.case, &self.past))?;
        self.armed = Some(Armed::Silence(Box::new(silence)));
        Ok(())
    }

    /// When it has to be asked again at the latest.
    pub fn next_deadline(&self) -> Option<Deadline> {
        self.armed.as_ref()?.deadline()
    }

    /// Judges what is there now.
    pub fn apply(&mut self, moment: Moment, input: Input, view: View<'_>) -> Decision {
        self.claims.file(view.messages);
        let outcome = match self.armed.take() {
            None => Outcome::Met(None),
            Some(Armed::Open(open)) => self.look(open, moment, input, view),
            Some(Armed::Overdue(overdue)) => self.look_again(overdue, moment, input, view),
            Some(Armed::Silence(silence)) => self.listen(silence, moment, input, view),
        };
        match outcome {
            Outcome::Met(seq) => Decision::Met(seq),
            Outcome::NotMet(not_met) => Decision::NotMet(not_met),
            Outcome::Goes(armed) => {
                let deadline = armed.deadline();
                self.armed = Some(armed);
                deadline.map_or(Decision::Met(None), Decision::Waiting)
            }
        }
    }

    /// Holds what is open against the messages.
    fn look(&mut self, mut open: Box<Open>, moment: Moment, input: Input, view: View<'_>) -> Outcome {
        if input == Input::Over
            && let Some(first) = open.waiting.iter_mut().min_by_key(|waiting| waiting.deadline())
        {
            first.reconsider(moment);
        }
        // Nobody need wait for what the module does not know of, and what it does by itself is not meant.
        let is_never = matches!(open.demand, Some((Prompt::Never, _)));
        while let Some(index) = self.candidate(&open, view).filter(|_| !is_never) {
            open.next = index + 1;
            if let Some(outcome) = self.offer(&mut open, index, moment, view) {
                return outcome;
            }
        }
        // Each expectation has a deadline of its own; the earliest one that is open counts.
        let first = open.waiting.iter().enumerate().min_by_key(|(_, waiting)| waiting.deadline());
        let Some((at, Waiting { expectation, is_over, .. })) = first else { return Outcome::Met(None) };
        let is_modules = || {
            let is_asked = open.demand.is_some() || expectation.by == Party::Module;
            is_asked || findings::follows_from_module(&self.case, view, expectation)
        };
        if moment.has_ended && is_modules() {
            return open.waiting.swap_remove(at).fails(Fault::Ended);
        }
        if is_never {
            return open.waiting.swap_remove(at).fails(Fault::NotDrivable);
        }
        if !is_over {
            return Outcome::Goes(Armed::Open(open));
        }
        let fault = match (open.demand, &expectation.what) {
            (Some((Prompt::ByItself(_), _)), _) => Some(Fault::NotDrivable),
            (Some((Prompt::Awaited(_), _)), what) => {
                // Nobody asks again without a new reason.
                let mut open = view.open_requests().filter(|open| open.seq < self.past.mark);
                let open = open.find(|open| what.is_of_kind(&open.kind));
                Some(open.map_or(Fault::NotDone, |open| Fault::NotAskedAgain(open.seq)))
            }
            (Some(_), What::Request { .. }) => view.waits_for_reply().map(|open| Fault::WaitsForReply(open.seq)),
            _ => None,
        };
        let first = open.waiting.swap_remove(at);
        match fault {
            Some(fault) => first.fails(fault),
            None => self.wait_longer(first, &open, moment, view),
        }
    }

    /// The next message that may mean something to what is open.
    fn candidate(&self, open: &Open, view: View<'_>) -> Option<usize> {
        let free = open
            .waiting
            .iter()
            .filter_map(|waiting| self.claims.next_free(waiting.expectation.lane(), waiting.from.max(open.next)));
        // What the step before has had the module send can be looked at more closely.
        let demanded = open.floor.filter(|seq| self.is_demanded(*seq)).map(|seq| view.since(seq));
        free.chain(demanded.filter(|index| *index >= open.next)).min()
    }

    fn is_demanded(&self, seq: u64) -> bool {
        self.claims.of(seq).is_some_and(|claim| claim.is_demand)
    }

    /// Offers one message to what is open; what comes of it, if nothing is open any more.
    fn offer(&mut self, open: &mut Open, index: usize, moment: Moment, view: View<'_>) -> Option<Outcome> {
        let seen = &view.messages[index];
        let seq = seen.seq;
        let is_demanded = self.claims.of(seq).is_some();
        let is_early = open.floor.is_some_and(|floor| seq < floor);
        let mut broken: Option<(usize, Mismatch)> = None;
        for (at, waiting) in open.waiting.iter_mut().enumerate() {
            let is_meant = is_demanded || index >= waiting.from;
            if !is_meant {
                continue;
            }
            match waiting.expectation.offer(seen, &mut self.captures) {
                Offer::Foreign => {}
                Offer::Broken(mismatch) => broken = broken.or(Some((at, mismatch))),
                Offer::Step => {
                    self.claim(index, seen, &waiting.expectation.pointer, false);
                    (waiting.began, waiting.held_up) = (moment.now, moment.held_up);
                    (waiting.prolonged, waiting.is_over) = (Duration::ZERO, false);
                    return None;
                }
                Offer::Met => {
                    let met = open.waiting.remove(at).expectation;
                    return self.met(met, open, index, is_early, moment, view);
                }
            }
        }
        let (at, mismatch) = broken?;
        let waiting = open.waiting.swap_remove(at);
        let waited = moment.now.saturating_sub(waiting.began);
        Some(waiting.fails(Fault::Mismatch(seq, Box::new(mismatch), waited)))
    }

    /// An expectation is met by a message.
    fn met(
        &mut self,
        met: Expectation,
        open: &Open,
        index: usize,
        is_early: bool,
        moment: Moment,
        view: View<'_>,
    ) -> Option<Outcome> {
        let seen = &view.messages[index];
        self.claim(index, seen, &met.pointer, open.demand.is_some());
        if let Some((_, after)) = open.demand {
            match after {
                After::InOrder => self.past.floor = Some(seen.seq),
                // It takes its time to obey, and goes on meanwhile.
                After::Stimulus => self.past.mark = seen.seq,
                After::Nothing => {}
            }
            return Some(Outcome::Met(Some(seen.seq)));
        }
        // Nobody says how calls to EVSEs stand to messages of the API.
        if matches!(met.what, What::Did { .. }) {
            return None;
        }
        // When the module makes a request that a step has it make is its own affair: it may have waited for the reply to
        // another, and what it is asked itself it may answer before.
        let is_lawful = |floor| self.may_be_either_way(floor, seen, moment, view) || self.is_demanded(floor);
        if is_early && !open.floor.is_some_and(is_lawful) {
            return Some(met.fails(Fault::OutOfOrder(seen.seq)));
        }
        self.past.floor = self.past.floor.max(Some(seen.seq));
        None
    }

    fn claim(&mut self, index: usize, seen: &Sighting, pointer: &Pointer, is_demand: bool) {
        self.claims.claim(index, seen, Claim { pointer: pointer.clone(), is_demand });
    }

    /// Whether nobody says which of two messages of an EVerest under test comes first. It answers requests one after the
    /// other, but each token has a thread of its own, and so have requests.
    fn may_be_either_way(&self, floor: u64, seen: &Sighting, moment: Moment, view: View<'_>) -> bool {
        let is_reply = |seen: &Sighting| matches!(seen.kind, Kind::Reply(_));
        let is_of_thread = |seen: &Sighting| is_reply(seen) || seen.kind.has_lanes();
        let is_either_way = |other: &Sighting| {
            is_of_thread(other)
                && !(is_reply(seen) && is_reply(other))
                && other.at.abs_diff(seen.at) <= parity::TOLERANCE + moment.held_up.min(parity::TOLERANCE)
        };
        self.case.side() == Side::Everest && is_of_thread(seen) && view.message(floor).is_some_and(is_either_way)
    }

    /// The expected message did not come in time. It is waited for a little more if it can still come: not from a module
    /// without a connection, nor if it went elsewhere.
    fn wait_longer(&mut self, first: Waiting, open: &Open, moment: Moment, view: View<'_>) -> Outcome {
        let Waiting { expectation, began, .. } = first;
        let is_hopeless = findings::astray(view, &self.claims, &expectation).is_some()
            || expectation.by == Party::Module && !view.is_connected();
        let waited = moment.now.saturating_sub(began);
        let is_overdue = expectation.is_overdue_answer(&self.case, waited);
        // One that has answered before is as slow as it was then, and may be asked two things at once.
        let slow = || view.slowest_answer().map_or(LATE_ANSWER, |slowest| (slowest * 2).clamp(LATE, LATE_ANSWER));
        let longest = if is_overdue { slow() } else { LATE };
        let late = if is_hopeless { Duration::ZERO } else { longest.min(expectation.within * 2) };
        Outcome::Goes(Armed::Overdue(Box::new(Overdue {
            captures: self.captures.clone(),
            next: view.messages.len(),
            floor: open.floor,
            began,
            waited,
            until: moment.now + late,
            had_ended: moment.has_ended,
            expectation,
        })))
    }

    /// Tells late from never.
    fn look_again(&mut self, mut overdue: Box<Overdue>, moment: Moment, input: Input, view: View<'_>) -> Outcome {
        let late = &mut *overdue;
        while let Some(index) = self.claims.next_free(late.expectation.lane(), late.next) {
            late.next = index + 1;
            let seen = &view.messages[index];
            let is_reply = matches!(late.expectation.what, What::Reply { .. });
            let is_it = match late.expectation.offer(seen, &mut late.captures) {
                Offer::Met | Offer::Step => true,
                // It came, whatever it says.
                Offer::Broken(_) => is_reply,
                Offer::Foreign => false,
            };
            if is_it {
                let waited = moment.now.saturating_sub(late.began);
                return overdue.expectation.fails(Fault::Late(seen.seq, waited));
            }
        }
        let has_ended = moment.has_ended && !late.had_ended;
        if input != Input::Over && !has_ended {
            return Outcome::Goes(Armed::Overdue(overdue));
        }
        let Overdue { expectation, waited, floor, .. } = *overdue;
        match expectation.what {
            What::Did { deed: Deed::EvseCall, .. } if !self.shows_calls(view) => {
                Outcome::not_met(expectation.pointer, Why::CallsUnseen)
            }
            What::Did { deed: Deed::Reserve | Deed::CancelReservation, .. }
                if expectation.by == Party::Module && !self.case.is_builtin =>
            {
                expectation.fails(Fault::NoAnswer)
            }
            _ => expectation.fails(Fault::Missing { waited, floor }),
        }
    }

    /// Listens whether silence is kept.
    fn listen(&mut self, mut silence: Box<Silence>, moment: Moment, input: Input, view: View<'_>) -> Outcome {
        let broken = Outcome::not_met;
        if moment.has_ended && !silence.had_ended {
            return broken(silence.pointer, Why::EndedInSilence);
        }
        if let Some(seen) = silence.broken_by(&self.case, &self.claims, &self.captures, view) {
            return broken(silence.pointer, Why::Unexpected(seen.seq));
        }
        match input {
            Input::Seen => Outcome::Goes(Armed::Silence(silence)),
            Input::Over if silence.is_of_calls && !self.shows_calls(view) => broken(silence.pointer, Why::CallsUnseen),
            Input::Over => Outcome::Met(None),
        }
    }

    /// Whether calls to EVSEs can be seen: it is known that they are shown, or one of them was, or something else where
    /// they are to be shown.
    fn shows_calls(&self, view: View<'_>) -> bool {
        let shows = |seen: &Sighting| {
            let is_bound = |binding: &Binding| binding.evse_of(&seen.publish.topic).is_some();
            seen.kind == Kind::Did(Deed::EvseCall) || seen.from != Party::Harness && self.case.shown_on().any(is_bound)
        };
        self.case.shows_calls || view.messages.iter().any(shows)
    }

    /// Where the module under test wants the reply to its last question, or to its last request that has met a step; to
    /// its last one of all, where none has. Nowhere if that one asks for no reply.
    pub fn wanted_reply_topic<'a>(&self, view: View<'a>) -> Option<&'a str> {
        let is_meant = |kind: &Kind, seq| kind.is_question() || self.claims.of(seq).is_some();
        let mine = || view.requests.iter().rev().filter(|request| request.from == Party::Module);
        let meant = mine().find(|request| is_meant(&request.kind, request.seq));
        let since = meant.map_or(0, |request| request.seq + 1);
        let is_later = |seen: &Sighting| {
            seen.from == Party::Module && seen.kind.is_request() && self.claims.of(seen.seq).is_some()
        };
        if view.messages[view.since(since)..].iter().any(is_later) {
            return None;
        }
        let last = meant.or_else(|| mine().next())?;
        Some(last.reply_topic.as_str()).filter(|topic| !topic.is_empty())
    }
}

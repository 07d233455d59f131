//! What injected faults kept from the module under test, or kept of it: nothing of that is held against it.
//!
//! Facts of the record; nothing here acts on the wire.

use super::lookout::Lookout;
use crate::conformance::judge::{Case, Expectation, Fault, NotMet, What, Why};
use crate::conformance::sighting::{Kind, Party, Sighting};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::Channel;
use crate::protocol::side::Side;
use crate::scenario::model::MessageKind;
use crate::transcript::injected::Effect;

/// What is found where a fault may be why.
const EXPLAINED: &str = "expect/after-fault";

/// So many faults are told, the last ones.
const TOLD: usize = 4;

/// Makes a finding inconclusive where a fault that khumbu injected may be why: what was expected may need a message that was
/// befallen since the last stimulus, or answers one.
///
/// A scenario that injects a fault knows it. What it expects where replies are lost, or messages come twice, is how the module
/// takes that; but nobody does what he was never asked to. A fault that is laid over a scenario explains everything.
pub fn consider(case: &Case<'_>, mark: u64, lookout: &Lookout<'_>, not_met: &NotMet, found: &mut Diagnostic) {
    let Why::Expected(expectation, fault) = &not_met.why else { return };
    let counts = matches!(found.severity, Severity::Fail | Severity::Error);
    if !counts || *fault == Fault::Ended || comes_by_itself(case, expectation) {
        return;
    }
    let told = befallen(case, mark, lookout, expectation);
    if told.is_empty() {
        return;
    }
    let headline = format!("{}; a fault that khumbu injected may be why", found.headline);
    *found = Diagnostic { severity: Severity::Inconclusive, id: EXPLAINED, headline, ..found.clone() }.with_lines(told);
}

/// Whether a fault may be why.
pub fn is_explained(found: &Diagnostic) -> bool {
    found.id == EXPLAINED
}

/// The messages that faults befell last, one line each, but for heartbeats and communication checks.
pub fn story(case: &Case<'_>, lookout: &Lookout<'_>) -> Vec<String> {
    lines(case, lookout, |_, _, _| true)
}

/// Whether the module has to send this whatever it is sent: it was told on khumbu's own topic, which no fault befalls.
fn comes_by_itself(case: &Case<'_>, expectation: &Expectation) -> bool {
    let routine = [MessageKind::on(Channel::HEARTBEAT), MessageKind::on(Channel::COMMUNICATION_CHECK)];
    match &expectation.what {
        What::Request { .. } => case.side() == Side::Client,
        What::Message { kind: Some(kind), .. } => expectation.by == Party::Module && routine.contains(kind),
        _ => false,
    }
}

fn befallen(case: &Case<'_>, mark: u64, lookout: &Lookout<'_>, expectation: &Expectation) -> Vec<String> {
    let since = if expectation.since == 0 { mark } else { expectation.since.min(mark) };
    let asks = |seen: &Sighting| match &expectation.what {
        What::Reply { topic, .. } => {
            let mut requests = lookout.observer.requests().iter();
            requests.any(|request| request.seq == seen.seq && request.reply_topic == *topic)
        }
        _ => false,
    };
    lines(case, lookout, |seen, rule, effect| {
        let is_reply = matches!(seen.kind, Kind::Reply(_) | Kind::Answer(_));
        let explains = !lookout.faults.is_of_scenario(rule) || !effect.is_harmless() && !is_reply;
        explains && (seen.seq >= since || asks(seen))
    })
}

fn lines(case: &Case<'_>, lookout: &Lookout<'_>, is_meant: impl Fn(&Sighting, usize, Effect) -> bool) -> Vec<String> {
    let is_routine =
        |seen: &Sighting| matches!(seen.kind, Kind::Channel(Channel::HEARTBEAT | Channel::COMMUNICATION_CHECK));
    let messages = lookout.observer.messages.iter().rev().filter(|seen| !is_routine(seen));
    let befallen = messages.filter_map(|seen| {
        let (rule, effect) = lookout.observer.deliveries.losses.of(seen.seq)?;
        is_meant(seen, rule, effect).then(|| format!("injected fault: {effect}: {}", case.line(seen)))
    });
    let mut lines: Vec<_> = befallen.take(TOLD).collect();
    lines.reverse();
    lines
}

//! A client under test, and EVerest where it asks a token validator: how they make their requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::conformance::sighting::{Kind, Repeat, ReplyTopic};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::api::Pattern;
use crate::protocol::channel::ApiType;
use crate::protocol::codec::unusable_topic;
use crate::protocol::deviations::{Deviation, Deviations};
use crate::protocol::side::Side;

use super::links::{Links, covers};
use super::wording::{Worded, time};

/// A client that has not been answered for so long may have given the request up; its reply topic is then free again
/// as far as the client is concerned, though a late reply would be taken for the wrong one. No client gives EVerest less,
/// which handles one message after the other; and a busy machine takes less between two requests that are made at once.
const MAY_BE_GIVEN_UP: Duration = Duration::from_secs(1);

/// What a broker behind a relay may take to acknowledge a SUBSCRIBE. Until then a client that sends SUBSCRIBE and PUBLISH
/// in one go, which is lawful, cannot be told from one that subscribes too late.
const ACKNOWLEDGEMENT: Duration = Duration::from_millis(250);

/// The requests that the module under test has made.
#[derive(Debug)]
pub(super) struct Asking {
    api: ApiType,
    under_test: Side,
    in_force: Deviations,
    /// How long after a request its subscription may be recorded.
    lag: Duration,
    /// By reply topic.
    outstanding: BTreeMap<Arc<str>, Outstanding>,
    /// All reply topics.
    asked: BTreeSet<Arc<str>>,
    unsubscribed: Vec<Unsubscribed>,
}

#[derive(Debug)]
struct Outstanding {
    requests: u32,
    since: Duration,
}

/// A request whose reply the module could not receive when it asked.
#[derive(Debug)]
struct Unsubscribed {
    topic: ReplyTopic,
    /// Since when the subscription is missed. A client's is missed from its request on. EVerest's own framework sends a
    /// question before the subscription to its answer; that is missed where an answer comes, and so is lost.
    missed: Option<Duration>,
    finding: Diagnostic,
}

impl Asking {
    pub(super) fn new(api: ApiType, relayed: bool, under_test: Side, in_force: Deviations) -> Self {
        let lag = if relayed { ACKNOWLEDGEMENT } else { Duration::ZERO };
        Self {
            api,
            under_test,
            in_force,
            lag,
            outstanding: BTreeMap::new(),
            asked: BTreeSet::new(),
            unsubscribed: Vec::new(),
        }
    }

    fn requirement(&self) -> &'static str {
        match self.under_test {
            Side::Client => "RR-13",
            Side::Everest => self.api.behaviour().question_requirement(),
        }
    }

    /// EVerest has lost its requests, or the module its connections.
    pub(super) fn forget(&mut self) {
        self.outstanding.clear();
        // Whose question is lost misses no answer any more.
        self.unsubscribed.retain(|request| request.missed.is_some());
    }

    /// The module makes a request.
    pub(super) fn request(&mut self, seen: &Worded<'_>, well_formed: bool, links: &Links) -> Vec<Diagnostic> {
        if seen.repeat == Repeat::Yes {
            return Vec::new();
        }
        // Without a reply topic the module wants no reply.
        let Some(asks) = &seen.asks else { return Vec::from_iter(self.unheard(seen, well_formed)) };
        let reply_to = &*asks.given;
        let ends_everest = match reply_to {
            "" => self.in_force.is_on(Deviation::ExitOnEmptyReplyTo),
            topic => topic.contains(['+', '#']) && self.in_force.is_on(Deviation::ExitOnWildcardReplyTo),
        };
        // An empty one says no more than none does.
        if reply_to.is_empty() && !ends_everest && !is_for_its_reply(&seen.kind) {
            return Vec::new();
        }
        let topic = seen.wording.topic(reply_to);
        if let Some(why) = unusable_topic(reply_to) {
            let headline = format!("module sent a request with `replyTo` {topic}, on which nothing can be published");
            let mut finding = seen.fail("monitor/reply-topic-unusable", headline).with_evidence(why);
            if ends_everest {
                finding = finding.with_evidence(format!("EVerest {} ends when it tries", self.in_force.release()));
            }
            return vec![finding.breaking(self.requirement())];
        }
        let mut found = Vec::new();
        // Who had subscribed for this request alone, and lost the session before it was sent, has its library send it before it
        // subscribes again.
        let is_sent_late = links.had_subscribed(&asks.on_wire) && !self.asked.contains(&asks.on_wire);
        self.asked.insert(asks.on_wire.clone());
        if !links.is_subscribed(&asks.on_wire) && !is_sent_late {
            let (headline, missed) = match self.under_test {
                Side::Client => ("module sent a request before it subscribed to its reply topic", Some(seen.at)),
                Side::Everest => ("module missed the answer to its question: it was not yet subscribed to", None),
            };
            let finding = seen.fail("monitor/reply-topic-not-subscribed", format!("{headline} {topic}"));
            let finding = finding.breaking(self.requirement());
            self.unsubscribed.push(Unsubscribed { topic: asks.clone(), missed, finding });
        }
        if well_formed && seen.repeat == Repeat::No {
            found.extend(self.reused(asks, seen));
        }
        found
    }

    /// A request that is right by the specification, and that EVerest does not carry out.
    fn unheard(&self, seen: &Worded<'_>, well_formed: bool) -> Option<Diagnostic> {
        let release = self.in_force.release();
        let is_ignored = self.under_test == Side::Client && self.in_force.is_on(Deviation::ReplyAddressRequired);
        (well_formed && is_ignored).then(|| {
            let headline = format!("module sent a request without `headers.replyTo`, which EVerest {release} ignores");
            seen.finding(Severity::Warning, "monitor/request-ignored", headline).breaking("RR-2")
        })
    }

    fn reused(&mut self, asks: &ReplyTopic, seen: &Worded<'_>) -> Option<Diagnostic> {
        let at = seen.at;
        let Some(earlier) = self.outstanding.get_mut(&asks.on_wire) else {
            self.outstanding.insert(asks.on_wire.clone(), Outstanding { requests: 1, since: at });
            return None;
        };
        let waited = at.saturating_sub(earlier.since);
        *earlier = Outstanding { requests: earlier.requests + 1, since: at };
        let severity = if waited < MAY_BE_GIVEN_UP { Severity::Fail } else { Severity::Warning };
        let topic = seen.wording.topic(&asks.given);
        Some(
            seen.finding(
                severity,
                "monitor/reply-topic-reused",
                format!("module sent a request with reply topic {topic} while another waits for its reply there"),
            )
            .with_evidence(format!("{} after the request before it, which is not answered", time(waited)))
            .breaking(self.requirement()),
        )
    }

    /// A reply was published.
    pub(super) fn answered(&mut self, seen: &Worded<'_>) {
        let Some(answered) = &seen.answers else { return };
        for request in self.unsubscribed.iter_mut().filter(|request| request.topic.on_wire == answered.topic.on_wire) {
            request.missed.get_or_insert(seen.at);
        }
        if let Some(outstanding) = self.outstanding.get_mut(&answered.topic.on_wire) {
            outstanding.requests -= 1;
            if outstanding.requests == 0 {
                self.outstanding.remove(&answered.topic.on_wire);
            }
        }
    }

    /// The module subscribed: in time, or too late for a request made before.
    pub(super) fn subscribed(&mut self, filter: &str, at: Duration) -> Vec<Diagnostic> {
        let meant = |request: &mut Unsubscribed| covers(filter, &request.topic.on_wire);
        let late = self.unsubscribed.extract_if(.., meant).filter_map(|request| {
            let after = at.saturating_sub(request.missed?);
            let evidence = format!("it subscribed {} later", time(after));
            (after > self.lag || self.lag.is_zero()).then(|| request.finding.with_evidence(evidence))
        });
        late.collect()
    }

    /// Judges requests whose reply topic was never subscribed to.
    pub(super) fn finish(&mut self) -> Vec<Diagnostic> {
        let never = self.unsubscribed.drain(..).filter(|request| request.missed.is_some());
        never.map(|request| request.finding.with_evidence("it did not subscribe later either")).collect()
    }
}

/// Whether a request is for its reply alone: nothing is done for it, and without a reply it is for nothing.
fn is_for_its_reply(kind: &Kind) -> bool {
    match kind {
        Kind::EntryPoint(_) => true,
        Kind::Channel(channel) => channel.is_question() || channel.description().pattern == Pattern::LatchedGet,
        _ => false,
    }
}

//! EVerest's side under test, and a token validator: one reply a request, on the topic that was given, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::conformance::sighting::ReplyTopic;
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::{Channel, Topics};
use crate::protocol::deviations::Deviations;
use crate::protocol::schema::Message;
use crate::protocol::side::Side;
use crate::protocol::wire::Form;

use super::wording::{Worded, Wording, time};

/// EVerest writes its questions so (`AsyncApiRequestReply.hpp`).
const AS_ASKED: Form = Form::Compact;

/// What a busy machine may add to the way of a reply.
const SLACK: Duration = Duration::from_millis(500);

/// The requests that were made to the module under test.
#[derive(Debug)]
pub(super) struct Answers {
    topics: Topics,
    under_test: Side,
    in_force: Deviations,
    /// Whether all requests were seen; otherwise a reply may belong to one from before.
    from_start: bool,
    grace: Option<Duration>,
    /// By reply topic: as the requests gave it to EVerest, as it is on the wire for a validator.
    asked: BTreeMap<Arc<str>, Asked>,
    /// Whether a request may have had a reply topic that we could not read.
    hidden: bool,
    /// Whether a validator has answered when EVerest did not wait for it any more.
    is_slow: bool,
}

/// The requests with one reply topic.
#[derive(Debug, Default)]
struct Asked {
    channels: Vec<Channel>,
    /// How many passed the broker.
    requests: u32,
    /// How many were handed to the module, redelivery included.
    deliveries: u32,
    replies: u32,
    /// A retained request is delivered anew to every subscription, and executed each time.
    retained: bool,
    /// Whether the specification asks for a reply.
    well_formed: bool,
    /// Whether EVerest executes one of them, and so answers it.
    is_executed: bool,
    /// Why EVerest does not execute the last one that it does not, and what that breaks.
    why_not: Option<(String, &'static str)>,
    last_at: Duration,
    /// The place of the last one.
    last_seq: u64,
    last_reply_at: Option<Duration>,
    /// When EVerest gave up waiting for the reply of a validator.
    given_up_at: Option<Duration>,
    /// How the last one was written.
    form: Option<Form>,
    /// The module was cut off meanwhile, by the harness or for breaking MQTT, or a fault was injected into the request: it
    /// may not know of it.
    excused: bool,
}

impl Answers {
    pub(super) fn new(
        topics: Topics,
        under_test: Side,
        from_start: bool,
        grace: Option<Duration>,
        in_force: Deviations,
    ) -> Self {
        Self { topics, under_test, in_force, from_start, grace, asked: BTreeMap::new(), hidden: false, is_slow: false }
    }

    /// A request passed the broker.
    pub(super) fn request(&mut self, channel: Channel, seen: &Worded<'_>, well_formed: bool) {
        if let Some(asked) = self.entry(channel, seen) {
            asked.requests += 1;
            asked.well_formed |= well_formed;
            asked.retained |= seen.publish.retain;
            (asked.last_at, asked.last_seq) = (seen.at, seen.seq);
            asked.form = seen.form();
        }
    }

    /// A request was handed to the module; on a broker that others use it may be one that was not seen before.
    pub(super) fn delivered(&mut self, channel: Channel, seen: &Worded<'_>) {
        if let Some(asked) = self.entry(channel, seen) {
            asked.deliveries += 1;
        }
    }

    fn entry(&mut self, channel: Channel, seen: &Worded<'_>) -> Option<&mut Asked> {
        self.may_be_asked(seen);
        let key = self.key(seen.asks.as_ref()?).clone();
        let why_not = self.why_not_executed(channel, seen);
        let asked = self.asked.entry(key).or_default();
        asked.is_executed |= why_not.is_none();
        asked.why_not = why_not.or(asked.why_not.take());
        if !asked.channels.contains(&channel) {
            asked.channels.push(channel);
        }
        Some(asked)
    }

    /// Why EVerest does not execute a request, and what a reply to it breaks.
    fn why_not_executed(&self, channel: Channel, seen: &Worded<'_>) -> Option<(String, &'static str)> {
        if self.under_test != Side::Everest {
            return None;
        }
        let why = channel.api().behaviour().why_not_executed(channel, &seen.publish.payload, self.in_force)?;
        let has_payload = seen.as_sent().is_ok_and(|json| json.get("payload").is_some());
        Some((why, if has_payload { "RR-8" } else { "RR-5" }))
    }

    /// A message may give a reply topic that we cannot read.
    pub(super) fn may_be_asked(&mut self, seen: &Worded<'_>) {
        self.hidden |= seen.hides_reply_to();
    }

    /// What a message replies to; empty if nobody gave its topic.
    pub(super) fn messages(&self, seen: &Worded<'_>) -> Vec<Message> {
        let asked = self.find(seen).and_then(|key| self.asked.get(key));
        asked.map_or_else(Vec::new, |asked| asked.channels.iter().filter_map(|c| Message::reply_to(*c)).collect())
    }

    /// EVerest has unsubscribed from a reply topic: no reply is waited for there any more.
    pub(super) fn given_up(&mut self, topic: &str, at: Duration) {
        if let Some(asked) = self.asked.get_mut(topic) {
            asked.given_up_at = asked.given_up_at.or(Some(at));
        }
    }

    /// A fault was injected into the message of this place: the module has not got it as it was sent, and when.
    pub(super) fn disturbed(&mut self, seq: u64) {
        self.asked.values_mut().filter(|asked| asked.last_seq == seq).for_each(|asked| asked.excused = true);
    }

    /// The module is cut off: what it was asked and has not answered it may never answer.
    pub(super) fn cut_off(&mut self) {
        self.asked.values_mut().filter(|asked| asked.replies == 0).for_each(|asked| asked.excused = true);
    }

    /// Whether a validator forgot EVerest's external prefix on the way to the topic that a question gave.
    pub(super) fn lacks_prefix(&self, seen: &Worded<'_>) -> bool {
        let bare = seen.answers.as_ref().filter(|answered| self.under_test == Side::Client && !answered.has_prefix);
        bare.is_some_and(|answered| self.asked.contains_key(self.key(&answered.topic)))
    }

    /// A reply that went to a topic without the external prefix.
    pub(super) fn without_prefix(&self, seen: &Worded<'_>) -> Diagnostic {
        let prefix = &self.topics.external_prefix;
        let headline = format!("module sent a reply without EVerest's external prefix `{prefix}` before its topic");
        seen.fail("monitor/reply-without-prefix", headline)
            .with_help("put the prefix before `headers.replyTo`, as before every other topic")
            .breaking(self.requirement(None))
    }

    /// What a reply breaks that should not be there.
    fn requirement(&self, to: Option<Channel>) -> &'static str {
        self.topics.api.behaviour().reply_requirement(self.under_test, to)
    }

    /// EVerest puts its external prefix before the topic it was given; a stand-in may take the topic as it is.
    fn find<'s>(&self, seen: &'s Worded<'_>) -> Option<&'s Arc<str>> {
        let is_lenient = self.under_test == Side::Everest;
        let answered = seen.answers.as_ref().filter(|answered| is_lenient || answered.has_prefix)?;
        Some(self.key(&answered.topic)).filter(|key| self.asked.contains_key(*key))
    }

    fn key<'t>(&self, topic: &'t ReplyTopic) -> &'t Arc<str> {
        match self.under_test {
            Side::Everest => &topic.given,
            Side::Client => &topic.on_wire,
        }
    }

    /// When the only request was made that a message replies to.
    pub(super) fn asked_at(&self, seen: &Worded<'_>) -> Option<Duration> {
        self.asked.get(self.find(seen)?).filter(|asked| asked.requests == 1).map(|asked| asked.last_at)
    }

    /// Counts a reply of the module.
    pub(super) fn reply(&mut self, seen: &Worded<'_>) -> Option<Diagnostic> {
        let key = self.find(seen)?;
        let asked = self.asked.get_mut(key)?;
        asked.replies += 1;
        if asked.channels.iter().all(|channel| !channel.runs(self.in_force)) {
            let release = self.in_force.release();
            let headline =
                format!("module replied to a request for the last status, which EVerest {release} does not hear");
            return Some(seen.fail("monitor/stray-reply", headline).breaking("LV-3"));
        }
        if let Some((why, requirement)) = asked.why_not.as_ref().filter(|_| !asked.is_executed) {
            let headline = "module replied to a request that EVerest neither executes nor answers".to_owned();
            let finding = seen.fail("monitor/stray-reply", headline).with_evidence(format!("the request: {why}"));
            return Some(finding.breaking(requirement));
        }
        let previous = asked.last_reply_at.replace(seen.at);
        let allowed = asked.requests.max(asked.deliveries);
        if asked.replies <= allowed || asked.retained {
            let requirement = self.topics.api.behaviour().late_answer_requirement();
            let late = asked.late(seen, requirement);
            self.is_slow |= late.is_some();
            return late;
        }
        let (channel, requests) = (asked.channels.first().copied(), asked.requests.max(1));
        let headline = match requests {
            1 => format!("module sent {} replies to one request", asked.replies),
            _ => format!("module sent {} replies to {requests} requests on one reply topic", asked.replies),
        };
        let since = previous
            .map_or_else(String::new, |at| format!("{} after the reply before it", time(seen.at.saturating_sub(at))));
        let requirement = self.requirement(channel);
        Some(seen.fail("monitor/second-reply", headline).with_evidence(since).breaking(requirement))
    }

    /// A reply on a topic that no request gave.
    pub(super) fn stray(&self, seen: &Worded<'_>) -> Option<Diagnostic> {
        if self.hidden {
            return None;
        }
        let topic = seen.wording.topic(&seen.publish.topic);
        let headline = format!("module sent on {topic}, which is no channel and no reply topic of any request");
        let severity = if self.from_start { Severity::Fail } else { Severity::Warning };
        let finding = seen.finding(severity, "monitor/stray-reply", headline);
        let mut finding = finding.breaking(self.requirement(None));
        let mut open = self.asked.iter().filter(|(_, asked)| asked.replies == 0).map(|(topic, _)| topic);
        if let Some(topic) = open.next_back() {
            finding = finding.with_evidence(format!("a request waits for its reply on {}", seen.wording.topic(topic)));
        }
        Some(finding)
    }

    /// Judges questions that EVerest waited for in vain, and requests without a reply, if the run wants that.
    pub(super) fn finish(&self, at: Duration, wording: &Wording) -> Vec<Diagnostic> {
        if self.under_test == Side::Client {
            return self.in_vain(wording);
        }
        let Some(grace) = self.grace else { return Vec::new() };
        let missing = self.asked.iter().filter(|(_, asked)| {
            let open = asked.well_formed && asked.deliveries > 0 && asked.replies == 0 && !asked.excused;
            let owed = asked.channels.iter().all(|channel| channel.api().behaviour().owes_reply(*channel));
            open && owed && at.saturating_sub(asked.last_at) >= grace
        });
        missing
            .map(|(topic, asked)| {
                let waited = time(at.saturating_sub(asked.last_at));
                Diagnostic::new(
                    Severity::Fail,
                    "monitor/missing-reply",
                    format!("module sent no reply to a withdraw request within {waited}"),
                )
                .with_evidence(format!("reply topic {}, allowed {}", wording.topic(topic), time(grace)))
                .breaking("RR-1")
            })
            .collect()
    }

    fn in_vain(&self, wording: &Wording) -> Vec<Diagnostic> {
        let behaviour = self.topics.api.behaviour();
        let answered: BTreeSet<_> = self.asked.values().filter(|it| it.replies > 0).filter_map(|it| it.form).collect();
        // Who answers questions as EVerest writes them does not read those that are written otherwise.
        let cannot_read =
            |asked: &Asked| asked.form.is_some_and(|form| answered.contains(&AS_ASKED) && !answered.contains(&form));
        let requirement = |asked: &Asked| match asked.form {
            // Who answers when EVerest waits no longer would have answered here as well.
            _ if self.is_slow => behaviour.late_answer_requirement(),
            Some(Form::ExtraFields) if cannot_read(asked) => "RR-9",
            _ if cannot_read(asked) => "RR-15",
            _ => behaviour.reply_requirement(Side::Client, None),
        };
        let missing = self.asked.iter().filter_map(|(topic, asked)| {
            let given_up_at =
                asked.given_up_at.filter(|_| asked.replies == 0 && asked.deliveries > 0 && !asked.excused)?;
            let waited = time(given_up_at.saturating_sub(asked.last_at));
            let headline = format!("module sent no reply to a question about a token within {waited}");
            let found = Diagnostic::new(Severity::Fail, "monitor/missing-reply", headline)
                .with_evidence(format!("reply topic {}; EVerest took `Invalid` instead", wording.topic(topic)))
                .breaking(requirement(asked));
            let form = asked.form.filter(|_| cannot_read(asked));
            let written = form.map(|form| format!("it is written {}; compact ones were answered", form.in_words()));
            Some(found.with_lines(written.into_iter().collect()))
        });
        missing.collect()
    }
}

impl Asked {
    /// A first reply that came when EVerest did not wait for it any more.
    fn late(&self, seen: &Worded<'_>, requirement: &'static str) -> Option<Diagnostic> {
        let given_up_at = self.given_up_at.filter(|_| self.replies == 1 && !self.excused)?;
        let late_by = seen.at.saturating_sub(given_up_at);
        let headline = format!("module sent its reply {} after EVerest had stopped waiting for it", time(late_by));
        let severity = if late_by > SLACK { Severity::Fail } else { Severity::Warning };
        Some(seen.finding(severity, "monitor/late-reply", headline).breaking(requirement))
    }
}

//! EVerest's side under test: one reply a request, on the topic that was given, and no other.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::Channel;
use crate::protocol::deviations::{Deviation, Deviations};
use crate::protocol::schema::Message;

use super::seen::Seen;
use super::wording::{Wording, time};

/// The requests that were made to the module under test.
#[derive(Debug)]
pub(super) struct Answers {
    external_prefix: String,
    in_force: Deviations,
    /// Whether all requests were seen; otherwise a reply may belong to one from before.
    from_start: bool,
    grace: Option<Duration>,
    /// By reply topic as the requests gave it.
    asked: BTreeMap<String, Asked>,
    /// Whether a request may have had a reply topic that we could not read.
    hidden: bool,
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
    last_at: Duration,
    last_reply_at: Option<Duration>,
}

impl Answers {
    pub(super) fn new(
        external_prefix: String,
        from_start: bool,
        grace: Option<Duration>,
        in_force: Deviations,
    ) -> Self {
        Self { external_prefix, in_force, from_start, grace, asked: BTreeMap::new(), hidden: false }
    }

    /// A request passed the broker.
    pub(super) fn request(&mut self, channel: Channel, seen: &Seen<'_>, well_formed: bool) {
        if let Some(asked) = self.entry(channel, seen) {
            asked.requests += 1;
            asked.well_formed |= well_formed;
            asked.retained |= seen.publish.retain;
            asked.last_at = seen.record.at;
        }
    }

    /// A request was handed to the module; on a broker that others use it may be one that was not seen before.
    pub(super) fn delivered(&mut self, channel: Channel, seen: &Seen<'_>) {
        if let Some(asked) = self.entry(channel, seen) {
            asked.deliveries += 1;
        }
    }

    fn entry(&mut self, channel: Channel, seen: &Seen<'_>) -> Option<&mut Asked> {
        self.hidden |= seen.hides_reply_to();
        let asked = self.asked.entry(seen.reply_to()?.to_owned()).or_default();
        if !asked.channels.contains(&channel) {
            asked.channels.push(channel);
        }
        Some(asked)
    }

    /// What a message on this topic replies to; empty if nobody gave the topic.
    pub(super) fn messages(&self, topic: &str) -> Vec<Message> {
        let asked = self.find(topic).and_then(|key| self.asked.get(key));
        asked.map_or_else(Vec::new, |asked| asked.channels.iter().filter_map(|c| Message::reply_to(*c)).collect())
    }

    /// EVerest puts its external prefix before the topic it was given; a stand-in may take the topic as it is.
    fn find<'t>(&self, topic: &'t str) -> Option<&'t str> {
        let bare = topic.strip_prefix(self.external_prefix.as_str());
        std::iter::once(topic).chain(bare).find(|topic| self.asked.contains_key(*topic))
    }

    /// Counts a reply of the module.
    pub(super) fn reply(&mut self, seen: &Seen<'_>) -> Option<Diagnostic> {
        let key = self.find(&seen.publish.topic)?;
        let asked = self.asked.get_mut(key)?;
        asked.replies += 1;
        if asked.channels == [Channel::GetTokenValidationStatus] && self.in_force.is_on(Deviation::NoLatchedGet) {
            let release = self.in_force.release();
            let headline =
                format!("module replied to a request for the last status, which EVerest {release} does not hear");
            return Some(seen.fail("monitor/stray-reply", headline).breaking("LV-3"));
        }
        let previous = asked.last_reply_at.replace(seen.record.at);
        let allowed = asked.requests.max(asked.deliveries);
        if asked.replies <= allowed || asked.retained {
            return None;
        }
        let (channel, requests) = (asked.channels.first().copied(), asked.requests.max(1));
        let headline = match requests {
            1 => format!("module sent {} replies to one request", asked.replies),
            _ => format!("module sent {} replies to {requests} requests on one reply topic", asked.replies),
        };
        let since = previous.map_or_else(String::new, |at| {
            format!("{} after the reply before it", time(seen.record.at.saturating_sub(at)))
        });
        let requirement = match channel {
            Some(Channel::GetTokenValidationStatus) => "LV-2",
            _ => "RR-1",
        };
        Some(seen.fail("monitor/second-reply", headline).with_evidence(since).breaking(requirement))
    }

    /// A reply on a topic that no request gave.
    pub(super) fn stray(&self, seen: &Seen<'_>) -> Option<Diagnostic> {
        if self.hidden {
            return None;
        }
        let topic = seen.wording.topic(&seen.publish.topic);
        let headline = format!("module sent on {topic}, which is no channel and no reply topic of any request");
        let severity = if self.from_start { Severity::Fail } else { Severity::Warning };
        let mut finding = seen.finding(severity, "monitor/stray-reply", headline).breaking("RR-1");
        let mut open = self.asked.iter().filter(|(_, asked)| asked.replies == 0).map(|(topic, _)| topic);
        if let Some(topic) = open.next_back() {
            finding = finding.with_evidence(format!("a request waits for its reply on {}", seen.wording.topic(topic)));
        }
        Some(finding)
    }

    /// Judges requests without a reply, if the run wants that.
    pub(super) fn finish(&self, at: Duration, wording: &Wording) -> Vec<Diagnostic> {
        let Some(grace) = self.grace else { return Vec::new() };
        let missing = self.asked.iter().filter(|(_, asked)| {
            let owed = asked.well_formed && asked.deliveries > 0 && asked.replies == 0;
            // Latching may be off: a request for the latched status is then not answered.
            owed && asked.channels == [Channel::WithdrawAuthorization] && at.saturating_sub(asked.last_at) >= grace
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
}

//! EVerest's side under test: the replies of its API modules to `discover` and `query-modules`. Each module replies once,
//! and there is no last reply.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::diagnostic::{Diagnostic, printable};
use crate::protocol::channel::EntryPoint;
use crate::protocol::deviations::{Deviation, Deviations};

use super::seen::Seen;

/// The discoveries that EVerest was asked for.
#[derive(Debug)]
pub(super) struct Discovery {
    external_prefix: String,
    in_force: Deviations,
    /// By reply topic, as the requests gave it.
    asked: BTreeMap<String, Asked>,
}

/// The discoveries with one reply topic.
#[derive(Debug, Default)]
struct Asked {
    entry_points: Vec<EntryPoint>,
    /// How many passed the broker.
    requests: u32,
    /// How many each connection of EVerest was handed, redelivery included.
    deliveries: BTreeMap<Arc<str>, u32>,
    /// A retained request is delivered anew to every subscription, and executed each time.
    retained: bool,
    /// How often each module replied, by type and id.
    replies: BTreeMap<(String, String), u32>,
}

impl Discovery {
    pub(super) fn new(external_prefix: String, in_force: Deviations) -> Self {
        Self { external_prefix, in_force, asked: BTreeMap::new() }
    }

    /// A discovery passed the broker.
    pub(super) fn request(&mut self, entry_point: EntryPoint, seen: &Seen<'_>) {
        let Some(reply_to) = seen.reply_to() else { return };
        let asked = self.asked.entry(reply_to.to_owned()).or_default();
        asked.entry_points.push(entry_point);
        asked.requests += 1;
        asked.retained |= seen.publish.retain;
    }

    /// A discovery was handed to the module.
    pub(super) fn delivered(&mut self, seen: &Seen<'_>) {
        if let Some(asked) = seen.reply_to().and_then(|reply_to| self.asked.get_mut(reply_to)) {
            *asked.deliveries.entry(seen.record.client.clone()).or_default() += 1;
        }
    }

    /// Whether replies to a discovery pass here.
    pub(super) fn is_asked_on(&self, topic: &str) -> bool {
        self.find(topic).is_some()
    }

    /// EVerest puts its external prefix before the topic it was given; a stand-in may take the topic as it is.
    fn find<'t>(&self, topic: &'t str) -> Option<&'t str> {
        let bare = topic.strip_prefix(self.external_prefix.as_str());
        std::iter::once(topic).chain(bare).find(|topic| self.asked.contains_key(*topic))
    }

    /// Counts a reply for the modules that it names.
    pub(super) fn reply(&mut self, seen: &Seen<'_>) -> Option<Diagnostic> {
        let key = self.find(&seen.publish.topic)?;
        let asked = self.asked.get_mut(key)?;
        if self.in_force.is_on(Deviation::NoEntryPoint) {
            let release = self.in_force.release();
            let headline = format!("module replied to a discovery, which EVerest {release} does not hear");
            return Some(seen.fail("monitor/stray-reply", headline).breaking("DI-1"));
        }
        let apis = seen.json().ok()?.get("apis")?.as_array()?;
        apis.iter().find_map(|api| asked.count(api, seen))
    }
}

impl Asked {
    /// One module of a reply; the shape of the reply is judged elsewhere.
    fn count(&mut self, api: &Value, seen: &Seen<'_>) -> Option<Diagnostic> {
        let text = |key: &str| Some(api.get(key)?.as_str()?.to_owned());
        let (kind, id) = (text("type")?, text("module_id")?);
        let names = |it: &EntryPoint| matches!(it, EntryPoint::QueryModules(wanted) if *wanted != kind);
        if let (Some(EntryPoint::QueryModules(wanted)), true) =
            (self.entry_points.first(), self.entry_points.iter().all(names))
        {
            let (wanted, kind) = (printable(wanted), printable(&kind));
            let headline = format!("module answered a query for modules of type `{wanted}` as one of type `{kind}`");
            return Some(seen.fail("monitor/wrong-type", headline).breaking("DI-2"));
        }
        let allowed = self.deliveries.values().copied().fold(self.requests, u32::max);
        let replies = self.replies.entry((kind, id.clone())).or_default();
        *replies += 1;
        (*replies > allowed && !self.retained).then(|| {
            let headline =
                format!("module sent {replies} replies to one discovery for the API module `{}`", printable(&id));
            seen.fail("monitor/second-reply", headline).breaking("DI-1")
        })
    }
}

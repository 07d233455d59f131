//! EVerest's side under test: the replies of its API modules to `discover` and `query-modules`. Each module replies once,
//! and there is no last reply.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::wording::Worded;
use crate::diagnostic::{Diagnostic, printable};
use crate::protocol::channel::{ApiType, EntryPoint};
use crate::protocol::deviations::{Deviation, Deviations};

/// The discoveries that EVerest was asked for.
#[derive(Debug)]
pub(super) struct Discovery {
    in_force: Deviations,
    /// By reply topic, as the requests gave it.
    asked: BTreeMap<Arc<str>, Asked>,
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
    pub(super) fn new(in_force: Deviations) -> Self {
        Self { in_force, asked: BTreeMap::new() }
    }

    /// A discovery passed the broker.
    pub(super) fn request(&mut self, entry_point: EntryPoint, seen: &Worded<'_>) {
        let Some(asks) = &seen.asks else { return };
        let asked = self.asked.entry(asks.given.clone()).or_default();
        asked.entry_points.push(entry_point);
        asked.requests += 1;
        asked.retained |= seen.publish.retain;
    }

    /// A discovery was handed to the module.
    pub(super) fn delivered(&mut self, seen: &Worded<'_>) {
        if let Some(asked) = seen.asks.as_ref().and_then(|asks| self.asked.get_mut(&asks.given)) {
            *asked.deliveries.entry(seen.client.clone()).or_default() += 1;
        }
    }

    /// Whether a message replies to a discovery.
    pub(super) fn is_asked_by(&self, seen: &Worded<'_>) -> bool {
        seen.answers.as_ref().is_some_and(|answered| self.asked.contains_key(&answered.topic.given))
    }

    /// Counts a reply for the modules that it names.
    pub(super) fn reply(&mut self, seen: &Worded<'_>) -> Option<Diagnostic> {
        let asked = self.asked.get_mut(&seen.answers.as_ref()?.topic.given)?;
        if self.in_force.is_on(Deviation::NoEntryPoint) {
            let release = self.in_force.release();
            let headline = format!("module replied to a discovery, which EVerest {release} does not hear");
            return Some(seen.fail("monitor/stray-reply", headline).breaking("DI-1"));
        }
        let apis = seen.as_sent().ok()?.get("apis")?.as_array()?;
        apis.iter().find_map(|api| asked.count(api, seen))
    }
}

impl Asked {
    /// One module of a reply; the shape of the reply is judged elsewhere.
    fn count(&mut self, api: &Value, seen: &Worded<'_>) -> Option<Diagnostic> {
        let text = |key: &str| Some(api.get(key)?.as_str()?.to_owned());
        let (kind, id) = (text("type")?, text("module_id")?);
        let names = |it: &EntryPoint| matches!(it, EntryPoint::QueryModules(wanted) if *wanted != kind);
        if let (Some(EntryPoint::QueryModules(wanted)), true) =
            (self.entry_points.first(), self.entry_points.iter().all(names))
        {
            let requirement = if ApiType::known(wanted).is_some() { "DI-2" } else { "DI-3" };
            let (wanted, kind) = (printable(wanted), printable(&kind));
            let headline = format!("module answered a query for modules of type `{wanted}` as one of type `{kind}`");
            return Some(seen.fail("monitor/wrong-type", headline).breaking(requirement));
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

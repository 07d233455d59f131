//! A client under test: whether it makes the topics of what it has found by its discovery as the replies say.
//!
//! What it subscribes to is judged of API modules of kinds that nobody knows: no client can know those otherwise. What it sends is
//! judged of the version: a client that speaks to several releases may try others as well, but not others instead.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::diagnostic::{Diagnostic, Severity, printable};
use crate::protocol::channel::{API_VERSIONS, ApiType, Topics};
use crate::transcript::record::Record;

use super::wording::{Worded, Wording, time};

/// What discoveries told the module under test, and what it has made of it.
#[derive(Debug, Default)]
pub(super) struct Finding {
    /// Types and versions of API modules, by their ids.
    told: BTreeMap<String, BTreeSet<(String, String)>>,
    /// When it first sent under another version of the API since, by what follows upon the id.
    elsewhere: BTreeMap<String, Duration>,
    /// Where it has sent under the right one.
    right: BTreeSet<String>,
    /// Once is enough.
    is_accused: bool,
}

/// Who tries several versions does so within this time.
const AT_ONCE: Duration = Duration::from_millis(250);

impl Finding {
    /// The module was handed a reply to its discovery.
    pub(super) fn told(&mut self, reply: &Worded<'_>) {
        let apis = reply.as_sent().ok().and_then(|reply| reply.get("apis")?.as_array());
        for api in apis.into_iter().flatten() {
            let text = |key: &str| api.get(key).and_then(Value::as_str);
            let (Some(kind), Some(id)) = (text("type"), text("module_id")) else { continue };
            let version = api.get("version").map(|version| version.as_str().map_or(version.to_string(), str::to_owned));
            self.told.entry(id.to_owned()).or_default().insert((kind.to_owned(), version.unwrap_or_default()));
        }
    }

    /// The module subscribed. The API module whose topics it was told it need not have found, and what was broken on the wire
    /// may say otherwise of that one.
    pub(super) fn subscribed(
        &self,
        filter: &str,
        record: &Record,
        own: &Topics,
        wording: &Wording,
    ) -> Option<Diagnostic> {
        let Levels { version, kind, id, .. } = Levels::of(filter, own)?;
        let told = self.told.get(id).filter(|_| id != own.module_id)?;
        let is_open = [version, kind].iter().any(|level| level.contains(['+', '#']));
        let is_known = told.iter().any(|(kind, _)| ApiType::all().any(|api| api.name() == kind));
        let is_right = told.iter().any(|(other, number)| (other.as_str(), number.as_str()) == (kind, version));
        if is_open || is_known || is_right {
            return None;
        }
        let headline =
            format!("module subscribed to {}, which is no topic of what it has found", wording.topic(filter));
        let found = Diagnostic::new(Severity::Fail, "monitor/topic-not-discovered", headline)
            .with_evidence(format!("client `{}` at {}", printable(&record.client), time(record.at)))
            .with_evidence(said(id, told));
        Some(found.with_help(HELP).breaking("DI-8"))
    }

    /// The module sent something.
    pub(super) fn published(&mut self, seen: &Worded<'_>, own: &Topics) -> Option<Diagnostic> {
        let Levels { version, kind, id, rest } = Levels::of(&seen.publish.topic, own)?;
        let told = self.told.get(id)?;
        // What was broken on the wire may say a version that there is not, to the module or by it.
        let mut versions = told.iter().filter(|(other, _)| other == kind).map(|(_, number)| number.as_str()).peekable();
        let is_told = versions.peek().is_some() && versions.all(|number| API_VERSIONS.contains(&number));
        if !is_told || !API_VERSIONS.contains(&version) {
            return None;
        }
        if told.iter().any(|(other, number)| (other.as_str(), number.as_str()) == (kind, version)) {
            self.right.insert(rest.to_owned());
            return None;
        }
        self.elsewhere.entry(rest.to_owned()).or_insert(seen.at);
        // The right one may be still to come.
        let is_alone = |(rest, since): (&String, &Duration)| {
            !self.right.contains(rest) && seen.at.saturating_sub(*since) >= AT_ONCE
        };
        if self.is_accused || !self.elsewhere.iter().any(is_alone) {
            return None;
        }
        self.is_accused = true;
        let topic = seen.wording.topic(&seen.publish.topic);
        let headline = format!("module sent on {topic}, which is no topic of what it has found");
        let found = seen.fail("monitor/topic-not-discovered", headline).with_evidence(said(id, told));
        Some(found.with_help(HELP).breaking("DI-8"))
    }
}

const HELP: &str = "make the topic of `type`, `version` and `module_id` of the reply";

/// The levels of a topic of an API module.
struct Levels<'t> {
    version: &'t str,
    kind: &'t str,
    id: &'t str,
    rest: &'t str,
}

impl<'t> Levels<'t> {
    fn of(topic: &'t str, own: &Topics) -> Option<Self> {
        let mut levels = topic.strip_prefix(own.external_prefix.as_str())?.strip_prefix("everest_api/")?.splitn(4, '/');
        let (version, kind, id) = (levels.next()?, levels.next()?, levels.next()?);
        Some(Self { version, kind, id, rest: levels.next().unwrap_or_default() })
    }
}

/// What a discovery said of an id.
fn said(id: &str, told: &BTreeSet<(String, String)>) -> String {
    let all =
        told.iter().map(|(kind, version)| format!("type `{}`, version `{}`", printable(kind), printable(version)));
    format!("the reply to its discovery says of `{}`: {}", printable(id), all.collect::<Vec<_>>().join("; "))
}

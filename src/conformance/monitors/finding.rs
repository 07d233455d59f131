//! A client under test: whether it makes the topics of what it has found by its discovery as the replies say.
//!
//! Judged of API modules of kinds that nobody knows: no client can know those otherwise.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::diagnostic::{Diagnostic, Severity, printable};
use crate::protocol::channel::{ApiType, Topics};
use crate::transcript::record::Record;

use super::wording::{Worded, Wording, time};

/// What discoveries told the module under test: types and versions of API modules by their ids.
#[derive(Debug, Default)]
pub(super) struct Finding(BTreeMap<String, BTreeSet<(String, String)>>);

impl Finding {
    /// The module was handed a reply to its discovery.
    pub(super) fn told(&mut self, reply: &Worded<'_>) {
        let apis = reply.as_sent().ok().and_then(|reply| reply.get("apis")?.as_array());
        for api in apis.into_iter().flatten() {
            let text = |key: &str| api.get(key).and_then(Value::as_str);
            let (Some(kind), Some(id)) = (text("type"), text("module_id")) else { continue };
            let version = api.get("version").map(|version| version.as_str().map_or(version.to_string(), str::to_owned));
            self.0.entry(id.to_owned()).or_default().insert((kind.to_owned(), version.unwrap_or_default()));
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
        let mut levels = filter.strip_prefix(own.external_prefix.as_str())?.strip_prefix("everest_api/")?.split('/');
        let (version, kind, id) = (levels.next()?, levels.next()?, levels.next()?);
        let told = self.0.get(id).filter(|_| id != own.module_id)?;
        let is_open = [version, kind].iter().any(|level| level.contains(['+', '#']));
        let is_known = told.iter().any(|(kind, _)| ApiType::all().any(|api| api.name() == kind));
        let is_right = told.iter().any(|(other, number)| (other.as_str(), number.as_str()) == (kind, version));
        if is_open || is_known || is_right {
            return None;
        }
        let headline =
            format!("module subscribed to {}, which is no topic of what it has found", wording.topic(filter));
        let said: Vec<_> = told
            .iter()
            .map(|(kind, version)| format!("type `{}`, version `{}`", printable(kind), printable(version)))
            .collect();
        let found = Diagnostic::new(Severity::Fail, "monitor/topic-not-discovered", headline)
            .with_evidence(format!("client `{}` at {}", printable(&record.client), time(record.at)))
            .with_evidence(format!("the reply to its discovery says of `{}`: {}", printable(id), said.join("; ")));
        Some(found.with_help("make the topic of `type`, `version` and `module_id` of the reply").breaking("DI-8"))
    }
}

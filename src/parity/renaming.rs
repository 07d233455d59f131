//! Between the names of a recording and those of a live conversation: module ids, prefixes, and UUIDs, fresh ones of
//! which take the place of recorded ones.
//!
//! Works on texts, so that what is no JSON is renamed, too.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::StationFile;
use super::roles::modules;
use crate::protocol::channel::Topics;

static UUID: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let hex = |digits: u8| format!("[0-9a-fA-F]{{{digits}}}");
    let groups = [8, 4, 4, 4, 12].map(hex).join("-");
    Regex::new(&groups).ok()
});

/// The names of a recording and of a live conversation.
#[derive(Debug, Clone)]
pub struct Renaming {
    /// EVerest's external prefix, recorded and live.
    prefixes: (String, String),
    /// Pathnames without the prefix, recorded and live; they end in a slash.
    bases: Vec<(String, String)>,
    /// The id of `auth_consumer` as a JSON text, recorded and live.
    ids: (String, String),
    /// Fresh UUIDs by recorded ones.
    fresh: BTreeMap<String, String>,
    /// And the other way round.
    recorded: BTreeMap<String, String>,
    /// Topics of replies on the wire, recorded ones by live ones.
    replies: BTreeMap<String, String>,
}

impl Renaming {
    /// Between a recording beside this file and a module with these topics.
    pub fn new(file: &StationFile, live: &Topics) -> Self {
        let recorded = modules(file);
        let bases = recorded.iter().map(|module| {
            let id = if module.api == live.api { &live.module_id } else { &module.module_id };
            let base = |of: &Topics| format!("{}/", of.base().trim_start_matches(of.external_prefix.as_str()));
            (base(module), base(&Topics { module_id: id.clone(), api: module.api, ..live.clone() }))
        });
        let id = |id: &str| format!("\"module_id\": \"{id}\"");
        Self {
            prefixes: (file.external_prefix.clone(), live.external_prefix.clone()),
            bases: bases.collect(),
            ids: (id(&recorded[0].module_id), id(&live.module_id)),
            fresh: BTreeMap::new(),
            recorded: BTreeMap::new(),
            replies: BTreeMap::new(),
        }
    }

    /// A recorded text as it is said now; `fresh` makes a UUID.
    pub fn to_live(&mut self, text: &str, mut fresh: impl FnMut() -> String) -> String {
        let mut text = text.to_owned();
        for (recorded, live) in &self.bases {
            text = text.replace(recorded, live);
        }
        let Some(pattern) = &*UUID else { return text };
        let of = |found: &Captures<'_>| match self.fresh.get(&found[0]) {
            Some(known) => known.clone(),
            None => {
                let made = fresh();
                self.fresh.insert(found[0].to_owned(), made.clone());
                self.recorded.insert(made.clone(), found[0].to_owned());
                made
            }
        };
        pattern.replace_all(&text, of).into_owned()
    }

    /// A recorded topic as it is now.
    pub fn topic_to_live(&mut self, topic: &str, fresh: impl FnMut() -> String) -> String {
        match topic.strip_prefix(self.prefixes.0.as_str()).filter(|bare| bare.starts_with("everest_api/")) {
            Some(bare) => self.prefixes.1.clone() + &self.to_live(bare, fresh),
            None => self.to_live(topic, fresh),
        }
    }

    /// From now on the replies on a live topic are those on a recorded one.
    pub fn pair_replies(&mut self, live: String, recorded: String) {
        self.replies.insert(live, recorded);
    }

    /// What is said now, as the recording would have it.
    pub fn to_recorded(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (recorded, live) in &self.bases {
            text = text.replace(live, recorded);
        }
        // However it is written, discovery names the module.
        let compact = |id: &str| id.replace(": ", ":");
        text = text.replace(&self.ids.1, &self.ids.0).replace(&compact(&self.ids.1), &compact(&self.ids.0));
        let Some(pattern) = &*UUID else { return text };
        let of = |found: &Captures<'_>| self.recorded.get(&found[0]).map_or(&found[0], String::as_str).to_owned();
        pattern.replace_all(&text, of).into_owned()
    }

    /// A live topic, as the recording would have it.
    pub fn topic_to_recorded(&self, topic: &str) -> String {
        if let Some(recorded) = self.replies.get(topic) {
            return recorded.clone();
        }
        match topic.strip_prefix(self.prefixes.1.as_str()).filter(|bare| bare.starts_with("everest_api/")) {
            Some(bare) => self.prefixes.0.clone() + &self.to_recorded(bare),
            None => self.to_recorded(topic),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::protocol::channel::ApiType;
    use crate::station::config::StationConfig;

    #[test]
    fn there_and_back() {
        let file = StationFile {
            station: StationConfig { auth_token_provider: Some(Default::default()), ..StationConfig::default() },
            names_release: true,
            bindings: Vec::new(),
            start: Default::default(),
            api_version: "1.0".to_owned(),
            external_prefix: "old/".to_owned(),
        };
        let live = Topics {
            api: ApiType::AUTH_CONSUMER,
            external_prefix: "new/".to_owned(),
            api_version: "1".to_owned(),
            module_id: "mine".to_owned(),
        };
        let mut renaming = Renaming::new(&file, &live);
        let id = "01234567-89ab-cdef-0123-456789abcdef";
        let mut number = 0;
        let mut fresh = || {
            number += 1;
            format!("00000000-0000-0000-0000-{number:012}")
        };
        for (recorded, expected) in [
            (
                "old/everest_api/1.0/auth_consumer/auth_api/e2m/heartbeat",
                "new/everest_api/1/auth_consumer/mine/e2m/heartbeat",
            ),
            (
                "old/everest_api/1.0/auth_token_provider/token_provider_api/m2e/provided_token",
                "new/everest_api/1/auth_token_provider/token_provider_api/m2e/provided_token",
            ),
            ("old/everest_api/discover", "new/everest_api/discover"),
            ("everest_test/evse1/cmd", "everest_test/evse1/cmd"),
            (&format!("reply/{id}"), "reply/00000000-0000-0000-0000-000000000001"),
        ] {
            let live = renaming.topic_to_live(recorded, &mut fresh);
            assert_eq!(live, expected);
            assert_eq!(renaming.topic_to_recorded(&live), recorded);
        }
        let request = format!(r#"{{"headers":{{"replyTo":"everest_api/1.0/auth_consumer/auth_api/e2m/get/{id}"}}"#);
        let said = renaming.to_live(&request, &mut fresh);
        assert_eq!(
            said,
            format!(
                r#"{{"headers":{{"replyTo":"everest_api/1/auth_consumer/mine/e2m/get/{}"}}"#,
                "00000000-0000-0000-0000-000000000001"
            )
        );
        assert_eq!(renaming.to_recorded(&said), request);
        assert_eq!(renaming.to_recorded(r#"{"module_id":"mine"}"#), r#"{"module_id":"auth_api"}"#);
        renaming.pair_replies("new/r".to_owned(), "old/q".to_owned());
        assert_eq!(renaming.topic_to_recorded("new/r"), "old/q");
    }
}

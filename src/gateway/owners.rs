//! Which charger a message over MQTT belongs to: by its topic, else by who sent it.

use std::collections::BTreeMap;

use super::chargers::ChargerConfig;
use crate::protocol::channel::{ApiType, Topics};

/// Topics and MQTT clients of chargers.
#[derive(Debug, Default)]
pub struct Owners {
    /// By pathname, and by the topic on which a charger is driven.
    pathnames: BTreeMap<String, Owner>,
    /// Charger by client id.
    clients: BTreeMap<String, String>,
}

/// What is below a pathname.
#[derive(Debug)]
struct Owner {
    /// The charger; `None` where two have the same.
    charger: Option<String>,
    /// The topics of the API module; `None` where a charger is driven.
    topics: Option<Topics>,
}

impl Owners {
    /// Adds a charger, with the topics of its `auth_consumer_API` and the id of its MQTT client.
    pub fn add(&mut self, id: &str, config: &ChargerConfig, topics: &Topics, client: &str) {
        let station = &config.station;
        let other_apis = [
            (ApiType::AUTH_TOKEN_PROVIDER, station.auth_token_provider.as_ref().map(|it| &it.module_id)),
            (ApiType::AUTH_TOKEN_VALIDATOR, station.auth_token_validator.as_ref().map(|it| &it.module_id)),
        ];
        let of_other_apis = other_apis.into_iter().filter_map(|(api, module)| Some(topics.of(api, module?)));
        let of_modules = [topics.clone()].into_iter().chain(of_other_apis).map(|topics| (topics.base(), Some(topics)));
        for (pathname, topics) in of_modules.chain([(topics.control_topic(), None)]) {
            let owner = self.pathnames.entry(pathname);
            let owner = owner.or_insert_with(|| Owner { charger: Some(id.to_owned()), topics });
            if owner.charger.as_deref() != Some(id) {
                owner.charger = None;
            }
        }
        self.clients.insert(client.to_owned(), id.to_owned());
    }

    /// The charger of a message; `None` if it is of none, or nobody can say.
    pub fn of(&self, topic: &str, client: &str) -> Option<&str> {
        let by_topic = self.owner(topic).and_then(|owner| owner.charger.as_deref());
        by_topic.or_else(|| self.clients.get(client).map(String::as_str))
    }

    /// The topics of the API module that a topic is below.
    pub fn module(&self, topic: &str) -> Option<&Topics> {
        self.owner(topic)?.topics.as_ref()
    }

    /// The topics of an API module; all have one EVerest's prefix.
    pub fn any_module(&self) -> Option<&Topics> {
        self.modules().next()
    }

    /// The topics of all API modules.
    pub fn modules(&self) -> impl Iterator<Item = &Topics> {
        self.pathnames.values().filter_map(|owner| owner.topics.as_ref())
    }

    /// Whether a charger is driven on this topic.
    pub fn is_control(&self, topic: &str) -> bool {
        self.pathnames.get(topic).is_some_and(|owner| owner.topics.is_none())
    }

    fn owner(&self, topic: &str) -> Option<&Owner> {
        let mut prefixes = std::iter::successors(Some(topic), |prefix| Some(prefix.rsplit_once('/')?.0));
        prefixes.find_map(|prefix| self.pathnames.get(prefix))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn messages_belong_to_chargers() {
        let topics = |id: &str| Topics {
            api: ApiType::AUTH_CONSUMER,
            external_prefix: "x/".to_owned(),
            api_version: "1".to_owned(),
            module_id: id.to_owned(),
        };
        let mut config = ChargerConfig::default();
        config.station.auth_token_provider = Some(Default::default());
        let mut owners = Owners::default();
        for id in ["dep-1", "dep-10"] {
            owners.add(id, &config, &topics(id), &format!("everest-{id}"));
        }
        let base = topics("dep-1").base();
        assert_eq!(owners.of(&format!("{base}/m2e/withdraw"), "stranger"), Some("dep-1"));
        assert_eq!(owners.of(&format!("{base}0/m2e/withdraw"), "stranger"), Some("dep-10"));
        assert_eq!(owners.of(&topics("dep-10").control_topic(), "stranger"), Some("dep-10"));
        assert_eq!(owners.of(&format!("{base}00/m2e/withdraw"), "stranger"), None);
        assert_eq!(owners.of("reply/42", "everest-dep-1"), Some("dep-1"));
        assert_eq!(owners.of("reply/42", "stranger"), None);
        // Both have a token provider of the same id.
        let provider = config.station.auth_token_provider.unwrap();
        let shared = topics("dep-1").of(ApiType::AUTH_TOKEN_PROVIDER, &provider.module_id).base();
        assert_eq!(owners.of(&format!("{shared}/x"), "stranger"), None);
        assert_eq!(owners.of(&format!("{shared}/x"), "everest-dep-1"), Some("dep-1"));
    }
}

//! Which charger a message over MQTT belongs to: by its topic, else by who sent it.

use std::collections::BTreeMap;

use super::chargers::ChargerConfig;
use crate::protocol::channel::{ApiType, Topics};

/// Topics and MQTT clients of chargers.
#[derive(Debug, Default)]
pub struct Owners {
    /// Charger by pathname; `None` where two chargers have the same.
    pathnames: BTreeMap<String, Option<String>>,
    /// Charger by client id.
    clients: BTreeMap<String, String>,
}

impl Owners {
    /// Adds a charger, with the topics of its `auth_consumer_API` and the id of its MQTT client.
    pub fn add(&mut self, id: &str, config: &ChargerConfig, topics: &Topics, client: &str) {
        let station = &config.station;
        let other_apis = [
            (ApiType::AUTH_TOKEN_PROVIDER, station.auth_token_provider.as_ref().map(|it| &it.module_id)),
            (ApiType::AUTH_TOKEN_VALIDATOR, station.auth_token_validator.as_ref().map(|it| &it.module_id)),
        ];
        let of_other_apis = other_apis.into_iter().filter_map(|(api, module)| Some(topics.of(api, module?).base()));
        for pathname in [topics.base(), topics.control_topic()].into_iter().chain(of_other_apis) {
            let owner = self.pathnames.entry(pathname).or_insert_with(|| Some(id.to_owned()));
            if owner.as_deref() != Some(id) {
                *owner = None;
            }
        }
        self.clients.insert(client.to_owned(), id.to_owned());
    }

    /// The charger of a message; `None` if it is of none, or nobody can say.
    pub fn of(&self, topic: &str, client: &str) -> Option<&str> {
        let mut prefixes = std::iter::successors(Some(topic), |prefix| Some(prefix.rsplit_once('/')?.0));
        let by_topic = prefixes.find_map(|prefix| self.pathnames.get(prefix)).and_then(Option::as_deref);
        by_topic.or_else(|| self.clients.get(client).map(String::as_str))
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

//! The settings under which the topics of the module under test would be right: another external prefix, API version, API or
//! module id than khumbu was told.
//!
//! Pure: topics come in, flags go out.

use std::collections::BTreeSet;

use crate::protocol::channel::{API_VERSIONS, ApiType, EntryPoint, Topics};
use crate::protocol::side::Side;
use crate::protocol::topic;

/// With this all topics of EVerest's API begin, behind the external prefix.
const ROOT: &str = "everest_api/";
/// A longer name is not offered as the value of a flag, in characters.
const LONGEST: usize = 100;

/// The settings that would make a module's topics right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherSettings {
    /// The topics as the module has them.
    topics: Topics,
    /// The filters to which the module subscribes that are right then.
    pub heard: BTreeSet<String>,
    /// The topics on which it publishes that are right then.
    pub said: BTreeSet<String>,
}

impl OtherSettings {
    /// Those under which most of a module's topics are right; `None` where one is right as it is, or none would be.
    pub fn of(expected: &Topics, side: Side, heard: &BTreeSet<&str>, said: &BTreeSet<&str>) -> Option<Self> {
        let is_client = side == Side::Client;
        // EVerest sends what a client hears.
        let is_right = |topics: &Topics, written: &str, is_heard: bool| {
            let is_entry = is_heard != is_client && is_discovery(written, &topics.external_prefix);
            let mut channels =
                topics.api.channels().filter(|channel| channel.is_from_everest() == (is_heard == is_client));
            is_entry || channels.any(|channel| topic::matches(written, &topics.topic(channel)))
        };
        let all = || heard.iter().map(|it| (*it, true)).chain(said.iter().map(|it| (*it, false)));
        // A discovery is right whatever module is meant.
        let tells = |written: &str| !is_discovery(written, &expected.external_prefix);
        if all().any(|(written, is_heard)| tells(written) && is_right(expected, written, is_heard)) {
            return None;
        }
        let mut found: Vec<Self> = Vec::new();
        for (written, is_heard) in all().filter(|(written, _)| tells(written)) {
            let Some(topics) = as_written(written, expected) else { continue };
            // An EVerest has modules of several APIs, of which this one is tested.
            if !is_right(&topics, written, is_heard) || !is_client && topics.api != expected.api {
                continue;
            }
            let index = found.iter().position(|it| it.topics == topics).unwrap_or_else(|| {
                found.push(Self { topics, heard: BTreeSet::new(), said: BTreeSet::new() });
                found.len() - 1
            });
            let list = if is_heard { &mut found[index].heard } else { &mut found[index].said };
            list.insert(written.to_owned());
        }
        // The first of several with as many.
        found.into_iter().rev().max_by_key(|it| it.heard.len() + it.said.len())
    }

    /// Another API than the expected one, of which the module is a client.
    pub fn other_api(&self, expected: &Topics) -> Option<ApiType> {
        (self.topics.api != expected.api).then_some(self.topics.api)
    }

    /// Whether only the lack of an external prefix is wrong.
    pub fn lacks_prefix(&self, expected: &Topics) -> bool {
        self.topics == Topics { external_prefix: String::new(), ..expected.clone() }
    }

    /// Whether a prefix, theirs or the expected one, is no level of its own.
    pub fn is_prefix_without_slash(&self, expected: &Topics) -> bool {
        let prefixes = [&self.topics.external_prefix, &expected.external_prefix];
        prefixes[0] != prefixes[1] && prefixes.iter().any(|prefix| !prefix.is_empty() && !prefix.ends_with('/'))
    }

    /// What such a topic would be as khumbu expects it.
    pub fn meant(&self, written: &str, expected: &Topics) -> String {
        let rest = written.strip_prefix(&self.topics.external_prefix).unwrap_or(written);
        let is_entry = is_discovery(written, &self.topics.external_prefix);
        let levels = rest.split('/').enumerate().map(|(index, level)| match index {
            _ if is_entry || matches!(level, "+" | "#") => level,
            1 => &expected.api_version,
            3 => &expected.module_id,
            _ => level,
        });
        format!("{}{}", expected.external_prefix, levels.collect::<Vec<_>>().join("/"))
    }

    /// The flags that tell khumbu so.
    pub fn flags(&self, expected: &Topics) -> String {
        let Topics { api, external_prefix, api_version, module_id } = &self.topics;
        let flags = [
            ("--api", api.name(), expected.api.name()),
            ("--external-prefix", external_prefix, &expected.external_prefix),
            ("--api-version", api_version, &expected.api_version),
            ("--module-id", module_id, &expected.module_id),
        ];
        let other = flags.into_iter().filter(|(_, written, expected)| written != expected);
        other.map(|(flag, written, _)| format!("{flag} {}", shell_words::quote(written))).collect::<Vec<_>>().join(" ")
    }
}

fn is_discovery(written: &str, prefix: &str) -> bool {
    written.is_ascii() && EntryPoint::from_topic(prefix, written).is_some()
}

/// The settings that a topic or filter is written under; what a wildcard leaves open is as expected.
fn as_written(written: &str, expected: &Topics) -> Option<Topics> {
    let (prefix, rest) = written.split_at(written.find(ROOT)?);
    let is_ours = prefix == expected.external_prefix;
    // A slash too many is a slip of the module's; one too few may be in what khumbu was told.
    let is_same = prefix.trim_matches('/') == expected.external_prefix.trim_matches('/');
    let can_be = !(prefix.contains("//") || is_same && prefix.starts_with('/'));
    if prefix.contains(['+', '#']) || prefix.chars().count() > LONGEST || !is_ours && !can_be {
        return None;
    }
    let topics = Topics { external_prefix: prefix.to_owned(), ..expected.clone() };
    if is_discovery(written, prefix) {
        return Some(topics);
    }
    let mut levels = rest.split('/').skip(1);
    let mut level = |own: &str| match levels.next() {
        None | Some("+" | "#") => own.to_owned(),
        Some(level) => level.to_owned(),
    };
    let api_version = level(&expected.api_version);
    let api = level(expected.api.name());
    let module_id = level(&expected.module_id);
    let is_known = API_VERSIONS.contains(&api_version.as_str()) && module_id.chars().count() <= LONGEST;
    let api = std::iter::once(expected.api).chain(ApiType::AUTH_APIS).find(|known| known.name() == api);
    let topics = Topics { api: api.filter(|_| is_known)?, api_version, module_id, ..topics };
    topics.check().is_ok().then_some(topics)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn expected(prefix: &str) -> Topics {
        Topics {
            api: ApiType::AUTH_CONSUMER,
            external_prefix: prefix.to_owned(),
            api_version: "1".to_owned(),
            module_id: "auth_api".to_owned(),
        }
    }

    fn of(prefix: &str, side: Side, heard: &[&str], said: &[&str]) -> Option<OtherSettings> {
        OtherSettings::of(&expected(prefix), side, &heard.iter().copied().collect(), &said.iter().copied().collect())
    }

    #[test]
    fn the_flags_that_would_make_topics_right() {
        for (prefix, written, flags, meant) in [
            (
                "",
                "site/7/everest_api/1/auth_consumer/auth_api/e2m/heartbeat",
                "--external-prefix site/7/",
                "everest_api/1/auth_consumer/auth_api/e2m/heartbeat",
            ),
            (
                "a b/",
                "everest_api/1/auth_consumer/auth_api/e2m/heartbeat",
                "--external-prefix ''",
                "a b/everest_api/1/auth_consumer/auth_api/e2m/heartbeat",
            ),
            (
                "",
                "my site/everest_api/1.0/+/Auth/e2m/#",
                "--external-prefix 'my site/' --api-version 1.0 --module-id Auth",
                "everest_api/1/+/auth_api/e2m/#",
            ),
            // Without its slash it may be a prefix, or lack it.
            (
                "",
                "site7everest_api/1/auth_consumer/auth_api/e2m/heartbeat",
                "--external-prefix site7",
                "everest_api/1/auth_consumer/auth_api/e2m/heartbeat",
            ),
            (
                "site7/",
                "site7everest_api/1/auth_consumer/auth_api/e2m/heartbeat",
                "--external-prefix site7",
                "site7/everest_api/1/auth_consumer/auth_api/e2m/heartbeat",
            ),
            (
                "site7",
                "site7/everest_api/1/auth_consumer/auth_api/e2m/heartbeat",
                "--external-prefix site7/",
                "site7everest_api/1/auth_consumer/auth_api/e2m/heartbeat",
            ),
            (
                "",
                "everest_api/1/auth_token_provider/auth_api/e2m/heartbeat",
                "--api auth_token_provider",
                "everest_api/1/auth_token_provider/auth_api/e2m/heartbeat",
            ),
        ] {
            let other = of(prefix, Side::Client, &[written], &[]).unwrap();
            let expected = expected(prefix);
            assert_eq!((other.flags(&expected), other.meant(written, &expected)), (flags.to_owned(), meant.to_owned()));
        }
        // What it publishes tells as much, and most topics decide.
        let said = ["x/everest_api/discover", "x/everest_api/1/auth_consumer/auth_api/m2e/communication_check"];
        let odd = ["y/everest_api/1/auth_consumer/auth_api/e2m/heartbeat"];
        let other = of("", Side::Client, &odd, &said).unwrap();
        assert_eq!(other.flags(&expected("")), "--external-prefix x/");
        assert_eq!(other.meant(said[0], &expected("")), "everest_api/discover");
        let hears = ["x/everest_api/1/auth_consumer/auth_api/m2e/communication_check"];
        assert_eq!(of("", Side::Everest, &hears, &[]).unwrap().flags(&expected("")), "--external-prefix x/");
    }

    #[test]
    fn what_no_setting_makes_right() {
        for written in [
            "/everest_api/1/auth_consumer/auth_api/e2m/heartbeat",
            "everest_api/1/auth_consumer/auth_api/e2m/heartbeat/",
            "everest_api/2/auth_consumer/auth_api/e2m/heartbeat",
            "everest_api/1/power_supply/auth_api/e2m/heartbeat",
            "everest_api/1/auth_token_provider/auth_api/m2e/heartbeat",
            "site//everest_api/1/auth_consumer/auth_api/e2m/heartbeat",
            "everest_api/discover",
            "+/everest_api/1/auth_consumer/auth_api/e2m/heartbeat",
            "site/everest_api/1/auth_consumer//e2m/heartbeat",
            "homeassistant/status",
            "",
        ] {
            assert_eq!(of("", Side::Client, &[written], &[]), None, "{written}");
        }
        // Whoever has one right knows how they go, and an EVerest is no other one for its other modules.
        let right = "everest_api/1/auth_consumer/auth_api/e2m/heartbeat";
        let other = "site/everest_api/1/auth_consumer/auth_api/e2m/heartbeat";
        assert_eq!(of("", Side::Client, &[right, other], &[]), None);
        assert_eq!(
            of("", Side::Everest, &["everest_api/1/auth_token_provider/auth_api/m2e/communication_check"], &[]),
            None
        );
    }
}

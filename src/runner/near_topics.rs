//! Topics of the module under test that are nearly those of the API, and which were meant: "did you mean".
//!
//! Facts for findings that they explain; judges nothing. A module may have topics of its own, so that one is only worth
//! a word where something has failed, and where the module uses the one that it may have meant nowhere.

use std::collections::BTreeSet;

use super::observer::{Observer, is_own};
use super::other_settings::OtherSettings;
use super::settings::Scene;
use crate::conformance::sighting::{Kind, Party};
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::channel::{ApiType, EntryPoint, Topics};
use crate::protocol::side::Side;
use crate::protocol::topic;
use crate::scenario::{KnownTopic, without_empty_levels};
use crate::transcript::record::Event;

/// What is to be known of a prefix without a slash at its end.
const LEVEL_OF_ITS_OWN: &str = "; a prefix that is a level of its own ends with `/`";
/// Topics that are shown.
const SHOWN: usize = 3;

/// What the module can be expected to subscribe to, and to publish on.
struct Expected {
    heard: Vec<KnownTopic>,
    said: Vec<KnownTopic>,
}

/// The topics that are nearly right, or would be under other settings.
#[derive(Debug, Default)]
pub struct NearTopics {
    /// One line each, with what may be meant.
    lines: Vec<String>,
    /// What can be done, if that is something else than the finding says itself.
    help: Option<String>,
}

/// Has the finding that decides say which topics the module may have meant.
pub fn explain(near: NearTopics, findings: &mut [Diagnostic]) {
    let is_monitors = |found: &Diagnostic| found.subject == Subject::Requirement;
    let deciding = findings
        .iter_mut()
        .filter(|found| matches!(found.severity, Severity::Fail | Severity::Inconclusive))
        .min_by_key(|found| is_monitors(found));
    let Some(found) = deciding.filter(|_| !near.lines.is_empty()) else { return };
    found.evidence.extend(near.lines);
    found.help = near.help.or(found.help.take());
}

/// The topics that are nearly right, each with the one that may be meant, and the flags under which they are right.
pub fn find(scene: &Scene<'_>, observer: &Observer) -> NearTopics {
    let expected = expected(scene);
    let replies: BTreeSet<&str> = observer.requests().iter().map(|request| request.reply_topic.as_str()).collect();
    let granted = observer.records.iter().filter(|record| !is_own(&record.client)).filter_map(|record| {
        let Event::Subscribed { filter, .. } = &record.event else { return None };
        Some(filter)
    });
    // One that runs already may have subscribed before.
    let filters = granted.chain(observer.connections.subscriptions.values().flatten());
    let filters: BTreeSet<&str> = filters.map(String::as_str).filter(|filter| !replies.contains(filter)).collect();
    let of_module = || observer.messages.iter().filter(|seen| seen.from == Party::Module);
    let topics: BTreeSet<&str> = of_module().map(|seen| &*seen.publish.topic).collect();
    let strange = of_module().filter(|seen| seen.kind == Kind::Other).map(|seen| &*seen.publish.topic).collect();
    let other = OtherSettings::of(&scene.topics, scene.scenario.model.under_test, &filters, &topics);
    let foreign = of_other_api(filters.iter().chain(&topics).copied(), &scene.topics);
    let is_client = scene.scenario.model.under_test == Side::Client;
    let other_api = other.as_ref().and_then(|other| other.other_api(&scene.topics));
    let near = |written: BTreeSet<&str>, known: &[KnownTopic], fits: Option<&BTreeSet<String>>| {
        let is_fit = |written: &str| fits.is_some_and(|fits| fits.contains(written));
        let near = mistaken(written, known).into_iter().filter(|(written, _)| !is_fit(written));
        let meant = |written: &String| Some((written.clone(), other.as_ref()?.meant(written, &scene.topics)));
        fits.into_iter().flatten().filter_map(meant).chain(near).collect::<Vec<_>>()
    };
    let heard = near(filters, &expected.heard, other.as_ref().map(|other| &other.heard));
    let said = near(strange, &expected.said, other.as_ref().map(|other| &other.said));
    let is_slash = |(written, meant): &(String, String)| without_empty_levels(written) == without_empty_levels(meant);
    let are_slashes = other_api.is_none() && heard.iter().chain(&said).all(is_slash);
    let line = |deed: &str, (written, meant): (String, String)| match other_api {
        Some(api) if meant == written => {
            format!("it {deed} `{written}`, which is `{}`'s, and none of `{}`'s", api.name(), scene.topics.api.name())
        }
        _ => format!("it {deed} `{written}`, which is none of EVerest's: did you mean `{meant}`?"),
    };
    let heard = heard.into_iter().map(|near| line("subscribed to", near));
    let mut lines: Vec<_> = heard.chain(said.into_iter().map(|near| line("published on", near))).collect();
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    if more > 0 {
        lines.push(format!("and {more} more of its topics are nearly right"));
    }
    let help = match (&other, other_api) {
        _ if are_slashes => "let no topic of the module begin or end with `/`, or have two in a row".to_owned(),
        (Some(other), Some(api)) => format!(
            "if it is a client of `{0}`, say so with `{1}`, or with `api: {0}` in the scenario",
            api.name(),
            other.flags(&scene.topics)
        ),
        // A prefix that the scenario has, no flag takes away.
        (Some(other), None) if other.lacks_prefix(&scene.topics) && scene.has_prefix_of_its_own() => {
            return NearTopics { lines, help: None };
        }
        (Some(other), None) => {
            let flags = other.flags(&scene.topics);
            let levels = if other.is_prefix_without_slash(&scene.topics) { LEVEL_OF_ITS_OWN } else { "" };
            format!("let the module use these topics, or khumbu the module's, with `{flags}`{levels}")
        }
        // No flag makes a word right that is none of EVerest's.
        (None, _) => "let the module use these topics".to_owned(),
    };
    if lines.is_empty()
        && is_client
        && let Some((written, api)) = foreign
    {
        let own = scene.topics.api.name();
        return NearTopics {
            lines: vec![format!("it uses `{written}`, which is `{api}`'s, and none of `{own}`'s")],
            help: Some(format!(
                "start a client of `{own}`, or play scenarios of `{api}`: `khumbu run --asyncapi FILE`"
            )),
        };
    }
    NearTopics { lines, help: Some(help) }
}

/// A topic of another API of EVerest than the auth APIs, and that API; where the module has none of the API that is asked for.
fn of_other_api<'t>(written: impl Iterator<Item = &'t str>, topics: &Topics) -> Option<(&'t str, &'t str)> {
    let api_of = |written: &'t str| {
        let (_, rest) = written.split_once("everest_api/")?;
        let api = rest.split('/').nth(1)?;
        (!api.contains(['+', '#']) && !api.is_empty()).then_some((written, api))
    };
    let is_known = |api: &str| api == topics.api.name() || ApiType::AUTH_APIS.iter().any(|known| known.name() == api);
    let mut found = written.filter_map(api_of);
    let first = found.next()?;
    let is_other = |(_, api): &(&str, &str)| !is_known(api);
    (is_other(&first) && found.all(|it| is_other(&it))).then_some(first)
}

fn expected(scene: &Scene<'_>) -> Expected {
    let (mut heard, mut said) = (Vec::new(), Vec::new());
    let is_client = scene.scenario.model.under_test == Side::Client;
    let everests = scene.other_apis.iter().filter(|_| !is_client);
    for topics in std::iter::once(&scene.topics).chain(everests) {
        for channel in topics.api.channels() {
            let list = if channel.is_from_everest() == is_client { &mut heard } else { &mut said };
            list.push(known(topics.topic(channel), topics));
        }
    }
    let prefix = &scene.topics.external_prefix;
    let discover = KnownTopic { topic: EntryPoint::Discover.topic(prefix), free: Vec::new() };
    if is_client { &mut said } else { &mut heard }.push(discover);
    heard.push(KnownTopic { topic: scene.topics.control_topic(), free: vec![1] });
    Expected { heard, said }
}

fn known(topic: String, topics: &Topics) -> KnownTopic {
    let version = topics.external_prefix.matches('/').count() + 1;
    KnownTopic { topic, free: vec![version, version + 2] }
}

/// What is written and nearly known, with what may be meant; not where the module uses that too.
fn mistaken(written: BTreeSet<&str>, known: &[KnownTopic]) -> Vec<(String, String)> {
    let is_used = |known: &KnownTopic| written.iter().any(|filter| topic::matches(filter, &known.topic));
    let missing: Vec<_> = known.iter().filter(|known| !is_used(known)).collect();
    let is_right = |filter: &str| known.iter().any(|known| topic::matches(filter, &known.topic));
    let wrong = written.iter().filter(|filter| !is_right(filter));
    wrong
        .filter_map(|written| {
            let near = missing.iter().filter_map(|known| known.near(written));
            let (_, meant) = near.min()?;
            Some(((*written).to_owned(), meant))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::channel::{ApiType, Channel};

    fn meant(written: &[&str], prefix: &str) -> Vec<String> {
        let topics = Topics {
            api: ApiType::AUTH_CONSUMER,
            external_prefix: prefix.to_owned(),
            api_version: "1".to_owned(),
            module_id: "auth_api".to_owned(),
        };
        let channels = [Channel::HEARTBEAT, Channel::TOKEN_VALIDATION_STATUS];
        let mut all: Vec<_> = channels.map(|channel| known(topics.topic(channel), &topics)).into();
        all.push(KnownTopic { topic: topics.control_topic(), free: vec![1] });
        mistaken(written.iter().copied().collect(), &all).into_iter().map(|(_, meant)| meant).collect()
    }

    #[test]
    fn what_is_nearly_right() {
        let heartbeat = "everest_api/1/auth_consumer/auth_api/e2m/heartbeat";
        for (written, right) in [
            ("everest_api/1/auth_consumr/auth_api/e2m/heartbeat", heartbeat),
            ("everest_api/1/auth_consumer/my_display/e2m/heartbeat", heartbeat),
            ("everest_api/1.0/auth_consumer/auth_api/e2m/heartbeat", heartbeat),
            ("everest_api/1/auth_consumer/auth_api/e2m/hartbeats", heartbeat),
            ("everest_api/1/auth_consumer/auth_api/m2e/heartbeat", heartbeat),
            ("everest_api/v2/auth_consumer/Auth/e2m/heartbeat", heartbeat),
            ("everest-api/1/auth_consumer/auth_api/e2m/heartbeat", heartbeat),
            // Levels too few.
            ("everest_api/auth_consumer/auth_api/e2m/heartbeat", heartbeat),
            ("everest_api/1/auth_consumer/auth_api/heartbeat", heartbeat),
            ("auth_consumer/auth_api/e2m/heartbeat", heartbeat),
            // A prefix, or a slash at an end.
            ("site/7/everest_api/1/auth_consumer/auth_api/e2m/heartbeat", heartbeat),
            ("/everest_api/1/auth_consumer/auth_api/e2m/heartbeat", heartbeat),
            ("everest_api/1/auth_consumer/auth_api/e2m/heartbeat/", heartbeat),
            ("/everest_api/1/auth_consumer/my_display/e2m/heartbeat", heartbeat),
            ("everest_api/1/auth_consumer/auth_api//e2m/heartbeat", heartbeat),
            ("everest_api//1/auth_consumer/auth_api/e2m//heartbeat/", heartbeat),
            ("site//everest_api/1/auth_consumer/auth_api/e2m/heartbeat", heartbeat),
            ("/everest_api/1/auth_consumer/+/e2m/#", "everest_api/1/auth_consumer/+/e2m/#"),
            // Wildcards stay.
            ("everest_api/1/auth_consumr/+/e2m/#", "everest_api/1/auth_consumer/+/e2m/#"),
            ("everest_api/2/auth_consumer/#", "everest_api/1/auth_consumer/#"),
            ("khumbu/my_display/do", "khumbu/auth_api/do"),
        ] {
            assert_eq!(meant(&[written], ""), [right], "{written}");
        }
        for written in [
            "everest_api/1/auth_consumer/auth_api/e2m/heartbeat",
            "charger/everest_api/1/auth_consumr/auth_api/e2m/heartbeat",
        ] {
            assert_eq!(meant(&[written], "charger/"), [format!("charger/{heartbeat}")], "{written}");
        }
    }

    #[test]
    fn what_is_right_or_another() {
        for written in [
            "everest_api/1/auth_consumer/auth_api/e2m/heartbeat",
            "everest_api/1/auth_consumer/+/e2m/heartbeat",
            "#",
            "everest_api/1/evse_manager_consumer/auth_api/e2m/heartbeat",
            "everest_api/1/auth_consumer/auth_api/e2m/withdraw_authorization/7f1b",
            "homeassistant/sensor/charger/state/e2m/heartbeat",
            "heartbeat",
            "khumbu/auth_api/did",
            "",
        ] {
            assert!(meant(&[written], "").is_empty(), "{written}");
        }
        // Whoever uses the right one too knows it.
        let both =
            ["everest_api/1/auth_consumer/other/e2m/heartbeat", "everest_api/1/auth_consumer/auth_api/e2m/heartbeat"];
        assert!(meant(&both, "").is_empty());
    }

    #[test]
    fn a_topic_of_another_api_is_one_where_none_is_of_an_auth_api() {
        let topics = Topics {
            api: ApiType::AUTH_CONSUMER,
            external_prefix: String::new(),
            api_version: "1".to_owned(),
            module_id: "auth_api".to_owned(),
        };
        let of = |written: &[&'static str]| of_other_api(written.iter().copied(), &topics).map(|(_, api)| api);
        let evse = "everest_api/1/evse_manager_consumer/evse_1/e2m/session_event";
        assert_eq!(of(&["x", evse, "site/everest_api/1/power_supply_DC/p/m2e/mode"]), Some("evse_manager_consumer"));
        assert_eq!(of(&[evse, "everest_api/1/auth_token_provider/auth_api/e2m/heartbeat"]), None);
        assert_eq!(of(&["everest_api/1/auth_consumer/auth_api/e2m/heartbeat", evse]), None);
        assert_eq!(of(&["everest_api/1/+/auth_api/#", "everest_api/#", "everest_api/discover", ""]), None);
    }
}

//! Topics that are nearly those of an API, and which were meant: "did you mean".
//!
//! Pure. A topic of one's own is nobody's mistake: only one that comes near to that of a channel is worth a word.

use super::model::Model;
use super::step::Step;
use super::{Pointer, Scenario, placeholder, suggestion};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::topic::matches;

/// Levels that may be mistaken at once.
const MISTAKEN: usize = 2;

/// A topic that can be expected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownTopic {
    /// The topic.
    pub topic: String,
    /// Levels where anything may stand for what is right: the version and the module's id.
    pub free: Vec<usize>,
}

impl KnownTopic {
    /// How many levels of a topic or a filter are mistaken, and what would be right; `None` where it is another topic.
    pub fn near(&self, written: &str) -> Option<(usize, String)> {
        let bare = without_empty_levels(written);
        self.near_level_by_level(written).or_else(|| match bare.len() < written.len() {
            // A slash at an end, or two in a row, make a level without a name.
            true if matches(&bare, &self.topic) => Some((1, bare)),
            true => self.near_level_by_level(&bare),
            false => None,
        })
    }

    fn near_level_by_level(&self, written: &str) -> Option<(usize, String)> {
        let (levels, wanted): (Vec<_>, Vec<_>) = (written.split('/').collect(), self.topic.split('/').collect());
        // A level too few, or a prefix that is missing or too many.
        let lacks_one = levels.len() + 1 == wanted.len()
            && (0..wanted.len()).any(|gap| wanted[..gap] == levels[..gap] && wanted[gap + 1..] == levels[gap..]);
        let is_behind = |one: &str, other: &str| one.strip_suffix(other).is_some_and(|before| before.ends_with('/'));
        let is_prefix = levels.len() > 2 && is_behind(&self.topic, written) || is_behind(written, &self.topic);
        if lacks_one || is_prefix {
            return Some((1, self.topic.clone()));
        }
        let mut meant = Vec::new();
        let mut mistakes = 0;
        for (index, wanted) in wanted.iter().enumerate() {
            match levels.get(index) {
                Some(&"#") if index + 1 == levels.len() => {
                    meant.push("#");
                    break;
                }
                Some(&"+") => meant.push("+"),
                Some(level) if level == wanted => meant.push(wanted),
                Some(level) if self.free.contains(&index) || is_slip(level, wanted) => {
                    mistakes += 1;
                    meant.push(wanted);
                }
                _ => return None,
            }
        }
        (meant.len() == levels.len() && (1..=MISTAKEN).contains(&mistakes)).then(|| (mistakes, meant.join("/")))
    }
}

/// Whether somebody who writes one level may mean the other.
/// A topic or a filter without the levels that have no name.
pub fn without_empty_levels(written: &str) -> String {
    written.split('/').filter(|level| !level.is_empty()).collect::<Vec<_>>().join("/")
}

fn is_slip(written: &str, meant: &str) -> bool {
    is_branch(written) && is_branch(meant) || suggestion(written, [meant]).is_some()
}

fn is_branch(level: &str) -> bool {
    matches!(level, "e2m" | "m2e")
}

/// Warnings about topics that steps write out, and that are nearly those of a channel.
pub fn near_topics(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    look(scenario, &scenario.model.steps, &Pointer::from("/steps"), &mut found);
    found
}

fn look(scenario: &Scenario, steps: &[Step], base: &Pointer, found: &mut Vec<Diagnostic>) {
    for (index, step) in steps.iter().enumerate() {
        let row = step.row(scenario.model.frame());
        let at = base.index(index).key(row.key);
        // Where nothing may come, and what is sent on purpose, may be of the other branch.
        let keeps_branch = !matches!(step, Step::Expect(_));
        if let Some(topic) = row.topic
            && let Some(near) = meant(topic, keeps_branch, &scenario.model)
        {
            let place = scenario.labelled(&at.key("topic"), &format!("did you mean `{near}`?"));
            let headline = format!("`{topic}` is the topic of no channel");
            found.push(Diagnostic::new(Severity::Warning, "scenario/near-topic", headline).at(place));
        }
        if let Some((below, steps)) = row.inner {
            look(scenario, steps, &at.below(below), found);
        }
    }
}

/// The topic that may be meant by one that is that of no channel.
fn meant(topic: &str, keeps_branch: bool, model: &Model) -> Option<String> {
    // The pathname of the API under test, where a scenario names its branches.
    const OWN: &str = "{own}";
    let written = ["e2m", "m2e"].into_iter().fold(topic.to_owned(), |topic, branch| {
        match topic.strip_prefix(&format!("{{{branch}}}/")) {
            Some(rest) => format!("{OWN}/{branch}/{rest}"),
            None => topic,
        }
    });
    let (base, api) = base_of(&written).unwrap_or((OWN, model.api));
    let channels = api.channels().chain(api.former_channels());
    let known: Vec<(Channel, KnownTopic)> = channels
        .map(|channel| (channel, KnownTopic { topic: format!("{base}/{}", channel.address()), free: Vec::new() }))
        .collect();
    if known.iter().any(|(_, known)| matches(&written, &known.topic)) {
        return None;
    }
    let branch = written.split('/').find(|level| is_branch(level));
    let is_meant = |channel: &Channel| !keeps_branch || branch.is_none_or(|it| channel.address().starts_with(it));
    let near = known.iter().filter(|(channel, _)| is_meant(channel)).filter_map(|(_, known)| known.near(&written));
    let (_, near) = near.min()?;
    Some(match near.strip_prefix(&format!("{OWN}/")).and_then(|rest| rest.split_once('/')) {
        Some((branch, rest)) => format!("{{{branch}}}/{rest}"),
        None => near,
    })
}

/// The pathname with which a topic begins, and its API.
fn base_of(topic: &str) -> Option<(&str, ApiType)> {
    let (first, _) = topic.split_once('/')?;
    if let Some(api) = first.strip_prefix('{').and_then(|name| placeholder::api(name.strip_suffix('}')?)) {
        return Some((first, api));
    }
    let begin = topic.find("everest_api/")?;
    let (end, _) = topic[begin..].match_indices('/').nth(3)?;
    let base = &topic[..begin + end];
    let api = ApiType::known(base.rsplit('/').nth(1)?)?;
    Some((base, api))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::scenario::{Known, parse};

    fn warned(step: &str) -> Vec<String> {
        let text =
            format!("description: x\nunder_test: client\nstation: {{auth_token_provider: {{}}}}\nsteps:\n  - {step}\n");
        let warnings = near_topics(&parse("x.yaml", &text, Known::default()).unwrap());
        warnings.iter().map(|warning| format!("{} {}", warning.id, warning.place.as_ref().unwrap().label)).collect()
    }

    #[test]
    fn a_topic_that_is_nearly_that_of_a_channel_is_told_with_what_may_be_meant() {
        for (step, meant) in [
            (r#"publish: {topic: "{e2m}/hartbeat", text: x}"#, "{e2m}/heartbeat"),
            (r#"expect: {topic: "{m2e}/withdraw_autorization"}"#, "{m2e}/withdraw_authorization"),
            (r#"expect: {topic: "{e2m}/withdraw_authorization"}"#, "{m2e}/withdraw_authorization"),
            (r#"expect_none: {topic: "{m2e}/witdraw_authorization", for: 1s}"#, "{m2e}/withdraw_authorization"),
            (r#"repeat: {times: 2, steps: [publish: {topic: "e2m/heartbeat", text: x}]}"#, "{e2m}/heartbeat"),
            (
                r#"only: {releases: ["2025.10"], steps: [publish: {topic: "{provider}/m2e/provide_token", text: x}]}"#,
                "{provider}/m2e/provided_token",
            ),
            (
                r#"publish: {topic: "everest_api/1/auth_consumer/x/e2m/heart_beat", text: x}"#,
                "everest_api/1/auth_consumer/x/e2m/heartbeat",
            ),
        ] {
            assert_eq!(warned(step), [format!("scenario/near-topic did you mean `{meant}`?")], "{step}");
        }
    }

    #[test]
    fn what_is_right_or_far_away_gets_no_warning() {
        for step in [
            r#"publish: {topic: "{e2m}/heartbeat", text: x}"#,
            r#"publish: {topic: "{m2e}/heartbeat", text: x}"#,
            r#"publish: {topic: "{m2e}/set_connection_timeout", text: x}"#,
            r##"expect: {topic: "{m2e}/#"}"##,
            r##"expect: {topic: "#"}"##,
            r##"expect_none: {topic: "{provider}/#", for: 1s}"##,
            r#"expect_none: {topic: "{m2e}/heartbeat", for: 1s}"#,
            r#"publish: {topic: "{external_prefix}everest_api/discover", text: x}"#,
            r#"publish: {topic: "{e2m}/x", text: x}"#,
            r#"publish: {topic: "{reply_to}", text: x}"#,
            r#"publish: {topic: "my/house/heartbeat", text: x}"#,
            "expect: {message: heartbeat}",
        ] {
            assert_eq!(warned(step), [""; 0], "{step}");
        }
    }
}

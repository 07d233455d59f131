//! How a scenario involves the module under test: what it shows to a client, and whether it demands anything.

use std::collections::BTreeSet;

use super::Scenario;
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::Channel;
use crate::protocol::release::Release;
use crate::protocol::side::Side;

/// The channels of its own API on which a client under test is shown something that the scenario is about.
pub fn shown_channels(scenario: &Scenario, release: Release) -> BTreeSet<Channel> {
    let model = &scenario.model;
    let rows = scenario.rows(model.frame(), release);
    let shown = rows.into_iter().filter_map(|(_, row)| row.shows);
    shown.filter(|channel| channel.is_from_everest() && model.api.has(*channel)).collect()
}

/// Whether any step asks something of the module under test, so that one that does nothing cannot pass; or a golden has what it
/// does.
fn demands_something(scenario: &Scenario, release: Release) -> bool {
    scenario.model.golden || scenario.rows(scenario.model.frame(), release).iter().any(|(_, row)| row.demands)
}

/// A warning about a scenario in which no step asks anything of the module under test.
pub fn idle(scenario: &Scenario) -> Option<Diagnostic> {
    if demands_something(scenario, scenario.release()) {
        return None;
    }
    let headline = "no step asks anything of the module: whatever listens passes";
    let diagnostic = Diagnostic::new(Severity::Warning, "scenario/demands-nothing", headline);
    let help = match scenario.model.under_test {
        Side::Client => "let it show that it lives on: `expect: {message: communication_check, payload: true}`",
        Side::Everest => "expect what EVerest does of it, for example `expect_reply: Accepted`",
    };
    Some(diagnostic.at(scenario.place("/steps")).with_help(help))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::scenario::{Known, parse};

    fn scenario(frame: &str, steps: &str) -> Scenario {
        let tokens = "station:\n  tokens:\n    A: {value: \"04\", type: Local}\n";
        parse(
            "x.yaml",
            &format!("description: x\nunder_test: client\n{frame}{tokens}steps:\n{steps}"),
            Known::default(),
        )
        .unwrap()
    }

    #[test]
    fn what_is_shown_is_found_in_every_kind_of_step() {
        for (frame, steps, shown) in [
            ("", "  - note: x\n", &[][..]),
            ("", "  - present_token: A\n", &[Channel::TOKEN_VALIDATION_STATUS]),
            ("", "  - heartbeats: pause\n", &[Channel::HEARTBEAT]),
            ("", "  - repeat: {times: 2, steps: [expect: {message: heartbeat}]}\n", &[Channel::HEARTBEAT]),
            (
                "",
                "  - publish: {topic: \"{e2m}/token_validation_status\", text: x}\n",
                &[Channel::TOKEN_VALIDATION_STATUS],
            ),
            ("", "  - publish: {topic: \"{m2e}/withdraw_authorization\", text: x}\n", &[]),
            ("", "  - expect: {message: communication_check}\n", &[]),
            ("api: auth_token_validator\n", "  - present_token: A\n", &[Channel::VALIDATE_TOKEN]),
            (
                "api: auth_token_provider\n",
                "  - present_token: A\n  - expect_status: {token: A, status: Accepted}\n",
                &[],
            ),
        ] {
            let shown: BTreeSet<_> = shown.iter().copied().collect();
            assert_eq!(shown_channels(&scenario(frame, steps), Release::Main), shown, "{steps}");
        }
    }

    #[test]
    fn what_khumbu_does_by_itself_is_no_demand() {
        for (frame, steps, demands) in [
            ("", "  - present_token: A\n  - expect_status: {token: A, status: Processing}\n", false),
            ("", "  - expect: {message: heartbeat}\n", false),
            ("", "  - repeat: {times: 2, steps: [expect: {message: communication_check}]}\n", true),
            ("", "  - withdraw: {}\n", true),
            ("", "  - any_order: [expect: {message: heartbeat}, expect: {message: withdraw_authorization}]\n", true),
            ("", "  - only: {releases: [main], steps: [withdraw: {}]}\n", true),
            ("", "  - only: {releases: [\"2025.10\"], steps: [withdraw: {}]}\n  - note: x\n", false),
            ("api: auth_token_provider\n", "  - present_token: A\n", true),
            ("api: auth_token_validator\n", "  - present_token: A\n  - expect_reply: $any\n", true),
        ] {
            assert_eq!(demands_something(&scenario(frame, steps), Release::Main), demands, "{steps}");
        }
    }
}

//! How a scenario involves the module under test: what it shows to a client, and whether it demands anything.

use std::collections::BTreeSet;

use super::model::{MessageKind, Model, Step};
use super::{Scenario, api_of, placeholder, played};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::release::Release;
use crate::protocol::side::Side;

/// The channels of its own API on which a client under test is shown something that the scenario is about.
pub fn shown_channels(scenario: &Scenario, release: Release) -> BTreeSet<Channel> {
    let mut shown = BTreeSet::new();
    visit(&scenario.model.steps, release, &mut |step| shown.extend(shown_by(step, &scenario.model)));
    shown.retain(|channel| channel.is_from_everest() && scenario.model.api.channels().contains(channel));
    shown
}

/// Whether any step asks something of the module under test, so that one that does nothing cannot pass.
fn demands_something(scenario: &Scenario, release: Release) -> bool {
    let mut demands = false;
    visit(&scenario.model.steps, release, &mut |step| demands |= is_demand(step, &scenario.model));
    demands
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

/// Every step that a release plays, those within others as well.
fn visit(steps: &[Step], release: Release, look: &mut impl FnMut(&Step)) {
    for (_, step) in played(steps, "", release) {
        look(step);
        match step {
            Step::Repeat(repeat) => visit(&repeat.steps, release, look),
            Step::AnyOrder(steps) | Step::AtOnce(steps) => visit(steps, release, look),
            _ => {}
        }
    }
}

fn shown_by(step: &Step, model: &Model) -> Option<Channel> {
    match step {
        Step::PresentToken(_) | Step::UpdateVerdict(_) if model.api == ApiType::AuthConsumer => {
            Some(Channel::TokenValidationStatus)
        }
        Step::PresentToken(_) => Some(Channel::ValidateToken),
        Step::ExpectStatus(_) => Some(Channel::TokenValidationStatus),
        Step::Heartbeats(_) => Some(Channel::Heartbeat),
        Step::Expect(expect) => match expect.message? {
            MessageKind::TokenValidationStatus => Some(Channel::TokenValidationStatus),
            MessageKind::ValidateToken => Some(Channel::ValidateToken),
            MessageKind::Heartbeat if api_of(MessageKind::Heartbeat, expect.api, model.api) == model.api => {
                Some(Channel::Heartbeat)
            }
            _ => None,
        },
        Step::Publish(publish) => {
            // The two branches of the API stand at the beginning of its channels' addresses, too.
            let address = placeholder::fill(&publish.topic, |name| match name {
                "e2m" | "m2e" => Some(name.to_owned()),
                _ => None,
            });
            model.api.channels().iter().copied().find(|channel| channel.address() == address)
        }
        _ => None,
    }
}

fn is_demand(step: &Step, model: &Model) -> bool {
    let is_client = model.under_test == Side::Client;
    match step {
        Step::Withdraw(_) | Step::GetStatus(_) | Step::Discover(_) | Step::QueryModules(_) => is_client,
        Step::CommunicationCheck(_) => is_client,
        Step::PresentToken(_) => is_client && model.api != ApiType::AuthConsumer,
        Step::UpdateVerdict(_) => is_client && model.api == ApiType::AuthTokenValidator,
        Step::RestartEverest | Step::Reserve(_) | Step::CancelReservation(_) => !is_client,
        Step::Disconnect => is_client,
        Step::ExpectReply(_) => !is_client || model.api == ApiType::AuthTokenValidator,
        Step::ExpectStatus(_) | Step::ExpectEvse(_) => !is_client || model.api != ApiType::AuthConsumer,
        Step::Expect(expect) => match expect.message {
            Some(kind) => is_by_client(kind, expect.api, model) == is_client,
            None => true,
        },
        // Its outcome is the user's own judgement.
        Step::Run(_) => true,
        Step::ExpectNone(none) => none.csms.is_none() && (none.call.is_none() || !is_client),
        _ => false,
    }
}

/// Whether messages of a kind are sent by the clients of the API under test.
fn is_by_client(kind: MessageKind, api: Option<ApiType>, model: &Model) -> bool {
    match kind {
        MessageKind::WithdrawAuthorization
        | MessageKind::GetTokenValidationStatus
        | MessageKind::CommunicationCheck
        | MessageKind::ProvidedToken
        | MessageKind::ValidateResultUpdate => api_of(kind, api, model.api) == model.api,
        MessageKind::Reply => model.api == ApiType::AuthTokenValidator,
        MessageKind::TokenValidationStatus
        | MessageKind::Heartbeat
        | MessageKind::ValidateToken
        | MessageKind::ReadyBeacon
        | MessageKind::ReservationUpdate => false,
    }
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
        use Channel::{Heartbeat, TokenValidationStatus, ValidateToken};
        for (frame, steps, shown) in [
            ("", "  - note: x\n", &[][..]),
            ("", "  - present_token: A\n", &[TokenValidationStatus]),
            ("", "  - heartbeats: pause\n", &[Heartbeat]),
            ("", "  - repeat: {times: 2, steps: [expect: {message: heartbeat}]}\n", &[Heartbeat]),
            ("", "  - publish: {topic: \"{e2m}/token_validation_status\", text: x}\n", &[TokenValidationStatus]),
            ("", "  - publish: {topic: \"{m2e}/withdraw_authorization\", text: x}\n", &[]),
            ("", "  - expect: {message: communication_check}\n", &[]),
            ("api: auth_token_validator\n", "  - present_token: A\n", &[ValidateToken]),
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

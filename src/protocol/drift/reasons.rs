//! Differences between Khumbu's descriptions and EVerest's documents that have a reason.

use super::{Aspect, Difference, Subject};
use crate::protocol::release::Release;

/// A difference that is meant.
struct Reason {
    api: &'static str,
    /// The channel whose message, or reply, differs.
    channel: &'static str,
    aspect: Aspect,
    releases: &'static [Release],
    why: &'static str,
}

const REASONS: [Reason; 4] = [
    Reason {
        api: "auth_consumer",
        channel: "set_master_pass_group_id",
        aspect: Aspect::Address,
        releases: &[Release::V1_0, Release::V2025_10],
        why: "the address in the document is that of another channel, and EVerest does not listen there for this one \
              (master-pass-address; auth_consumer_API.cpp)",
    },
    Reason {
        api: "entrypoint",
        channel: "ready_beacon",
        aspect: Aspect::Direction,
        releases: &[Release::Main, Release::Next],
        why: "EVerest sends the beacon; this document alone says `send` of EVerest and not of its clients \
              (ApiHelper.cpp, init_entrypoint_API)",
    },
    Reason {
        api: "auth_token_validator",
        channel: "validate_token",
        aspect: Aspect::Example,
        releases: &Release::PROFILES,
        why: "the example of a reply lacks tariff_messages, which EVerest does require \
              (tariff-messages-required; auth/json_codec.cpp)",
    },
    Reason {
        api: "auth_token_validator",
        channel: "validate_result_update",
        aspect: Aspect::Example,
        releases: &Release::PROFILES,
        why: "the example has a comma behind a number, which makes it a text in YAML, and lacks tariff_messages, which \
              EVerest does require (tariff-messages-required; auth/json_codec.cpp)",
    },
];

/// The reason that is listed for a difference.
pub(super) fn of(difference: &Difference, release: Release) -> Option<&'static str> {
    let channel = match &difference.subject {
        Subject::Message(channel) | Subject::Reply(channel) => Some(channel.as_str()),
        Subject::Api | Subject::Type(_) => None,
    };
    let fits = |reason: &&Reason| {
        reason.api == difference.api
            && channel == Some(reason.channel)
            && reason.aspect == difference.aspect
            && reason.releases.contains(&release)
    };
    REASONS.iter().find(fits).map(|reason| reason.why)
}

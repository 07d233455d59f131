//! What a module must do, one numbered sentence each, and where it is written.
//!
//! Numbers are stable: scenarios name them, reports count them. Sources are documents and files of EVerest.

use crate::protocol::channel::ApiType;
use crate::protocol::release::Release;
use crate::protocol::side::Side;

/// One thing that a module must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirement {
    /// The number, for example `RR-1`.
    pub id: &'static str,
    /// Who must do it.
    pub binds: Binds,
    /// How much hangs on it.
    pub level: Level,
    /// What, in one sentence.
    pub statement: &'static str,
    /// Where it is written or to be read off.
    pub source: &'static str,
    /// How it was confirmed on a genuine EVerest; of no meaning where it binds clients alone.
    pub confirmed: Confirmed,
    /// The release that it comes with, where those before do not make it; always a forecast.
    pub from: Option<Release>,
}

impl Requirement {
    /// Whether EVerest of a release makes it.
    pub fn is_in_force(&self, release: Release) -> bool {
        self.from.is_none_or(|from| release >= from)
    }

    /// What it is about: the first part of its number.
    pub fn subject(&self) -> &'static str {
        self.id.split_once('-').map_or(self.id, |(subject, _)| subject)
    }

    /// Whether it is put to clients of this API, and to an EVerest that serves it.
    pub fn concerns(&self, api: ApiType) -> bool {
        match (self.subject(), self.id) {
            ("WD" | "TV" | "LV", _) | (_, "NX-1") => api == ApiType::AUTH_CONSUMER,
            ("TP", _) | (_, "NX-2") => api == ApiType::AUTH_TOKEN_PROVIDER,
            ("VA", _) => api == ApiType::AUTH_TOKEN_VALIDATOR,
            _ => true,
        }
    }
}

/// How a genuine EVerest was seen to keep a requirement that binds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// Scenarios that cover it were played against it, and passed.
    Played,
    /// What it did in a recording is what the simulated station does; no scenario judges it.
    Recorded,
    /// Not at all: it rests on what is written.
    Not,
}

/// How much hangs on a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Whoever breaks it does not work with the other side, or does harm.
    Must,
    /// Whoever breaks it works until something goes wrong, or EVerest changes.
    Should,
    /// What running EVerest does rather than what its specification asks.
    Quirk,
}

impl Level {
    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Level::Must => "must",
            Level::Should => "should",
            Level::Quirk => "quirk",
        }
    }
}

/// The side that a requirement binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Binds {
    /// The API client.
    Client,
    /// EVerest, or what takes its place.
    Everest,
    /// Both, each in its own messages.
    Both,
}

impl Binds {
    /// Whether it binds a module on this side.
    pub fn is_side(self, side: Side) -> bool {
        match self {
            Binds::Client => side == Side::Client,
            Binds::Everest => side == Side::Everest,
            Binds::Both => true,
        }
    }
}

/// The requirement of this number.
pub fn find(id: &str) -> Option<&'static Requirement> {
    TABLE.iter().find(|requirement| requirement.id == id)
}

/// The requirement that a scenario is about: the first that it names.
pub fn first_of(named: &[String]) -> Option<&'static Requirement> {
    named.first().and_then(|id| find(id))
}

/// Every requirement, by subject.
pub fn all() -> &'static [Requirement] {
    TABLE
}

/// Every number, by subject.
pub fn ids() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|requirement| requirement.id)
}

const fn row(id: &'static str, binds: Binds, statement: &'static str, source: &'static str) -> Requirement {
    Requirement { id, binds, level: Level::Must, statement, source, confirmed: Confirmed::Played, from: None }
}

/// A row whose requirement is of another level.
const fn at(level: Level, row: Requirement) -> Requirement {
    Requirement { level, ..row }
}

/// A row whose requirement is a forecast.
const fn next(row: Requirement) -> Requirement {
    Requirement { from: Some(Release::Next), ..row }
}

/// A row whose requirement no scenario has confirmed.
const fn but(confirmed: Confirmed, row: Requirement) -> Requirement {
    Requirement { confirmed, ..row }
}

#[rustfmt::skip]
static TABLE: &[Requirement] = &[
    row("HB-1", Binds::Everest, "heartbeats are bare non-negative JSON integers on `e2m/heartbeat`", "AsyncAPI HeartBeatId"),
    row("HB-2", Binds::Everest, "each heartbeat is the previous one plus 1", "AsyncAPI HeartBeatId"),
    row("HB-3", Binds::Everest, "the first heartbeat after a start is 0 and comes when the module is ready", "ApiHelper.cpp"),
    row("HB-4", Binds::Everest, "heartbeats are `cfg_heartbeat_interval_ms` apart on average, without bursts to catch up", "manifest, CommCheckHandler.hpp"),
    row("HB-5", Binds::Everest, "an interval of 0 or less switches heartbeats off", "manifest"),
    row("HB-6", Binds::Client, "a client survives heartbeats that start again from 0, wrap, skip, or are `{}` (releases up to 2025.10.0)", "AsyncAPI HeartBeatId, release history"),
    at(Level::Should, row("HB-7", Binds::Client, "a client notices the loss of EVerest by missing heartbeats, and does not stumble over repeated ones", "apis.rst")),
    but(Confirmed::Recorded, row("CC-1", Binds::Everest, "with a timeout above 0, a communication fault stands from readiness on", "apis.rst, CommCheckHandler.hpp")),
    but(Confirmed::Recorded, row("CC-2", Binds::Everest, "the first `true` clears the fault", "apis.rst, CommCheckHandler.hpp")),
    but(Confirmed::Recorded, row("CC-3", Binds::Everest, "silence for the timeout raises the fault, once", "CommCheckHandler.hpp")),
    but(Confirmed::Recorded, row("CC-4", Binds::Everest, "`true` after a fault clears it and arms the check again", "CommCheckHandler.hpp")),
    but(Confirmed::Recorded, row("CC-5", Binds::Everest, "`false` clears the fault and ends the checking until a restart", "AsyncAPI CommunicationCheck, CommCheckHandler.hpp")),
    but(Confirmed::Recorded, row("CC-6", Binds::Everest, "a payload that is no boolean does not count as a communication check", "CommCheckHandler.hpp, json_codec.cpp")),
    but(Confirmed::Recorded, row("CC-7", Binds::Everest, "a timeout of 0 or less never raises a fault", "manifest")),
    row("CC-8", Binds::Client, "a client that is operational sends a bare `true` more often than the communication check timeout", "AsyncAPI CommunicationCheck"),
    at(Level::Should, row("CC-9", Binds::Client, "a client sends `false` only when it means to stop", "AsyncAPI CommunicationCheck")),
    row("CC-10", Binds::Everest, "requests are answered while the fault stands", "CommCheckHandler.hpp"),
    row("RR-1", Binds::Everest, "a well-formed withdraw request with `replyTo` gets exactly one reply, a bare enum string, on that topic", "AsyncAPI send_request_withdraw_authorization"),
    row("RR-2", Binds::Everest, "a withdraw request without `headers` or `replyTo` is executed and not answered", "AsyncAPI replyTo"),
    row("RR-3", Binds::Everest, "a withdraw request whose `replyTo` is no publishable topic is executed and not answered", "ValidatingMqttProxy.cpp"),
    row("RR-4", Binds::Everest, "a withdraw request whose `replyTo` is no string is not executed", "json_codec.cpp"),
    row("RR-5", Binds::Everest, "a request without `payload` is neither executed nor answered", "AsyncAPI send_request_withdraw_authorization, json_codec.cpp"),
    row("RR-6", Binds::Everest, "an empty object as `payload` withdraws everything", "AsyncAPI WithdrawAuthorizationRequest"),
    at(Level::Quirk, but(Confirmed::Recorded, row("RR-7", Binds::Everest, "a `payload` that is no object withdraws everything", "json_codec.cpp"))),
    row("RR-8", Binds::Everest, "a request with an `id_token` or `evse_id` of the wrong kind is neither executed nor answered", "json_codec.cpp"),
    row("RR-9", Binds::Both, "unknown fields are ignored at every level", "AsyncAPI additionalProperties"),
    row("RR-10", Binds::Everest, "what is not JSON is not answered and does no harm", "ApiHelper.cpp"),
    at(Level::Quirk, but(Confirmed::Recorded, row("RR-11", Binds::Everest, "`evse_id` is cast to 32 bits, and the last of duplicate keys wins", "json_codec.cpp"))),
    row("RR-12", Binds::Everest, "requests are answered one at a time in order of arrival", "message_handler.cpp"),
    row("RR-13", Binds::Client, "a client gives every outstanding request a reply topic of its own, and has subscribed to it before it asks", "apis.rst"),
    at(Level::Should, row("RR-14", Binds::Client, "a client does not wait for a reply for ever", "auth_consumer_API.cpp")),
    row("RR-15", Binds::Client, "a client takes pretty-printed and compact JSON with keys in any order", "json_codec.cpp"),
    row("RR-16", Binds::Everest, "messages are not retained and have QoS 2 (QoS 0 before 2026-05)", "framework everest.cpp"),
    row("RR-17", Binds::Client, "a client does not retain its messages: a retained request is executed when EVerest starts", "framework message_handler.cpp"),
    row("WD-1", Binds::Everest, "an unknown `evse_id` is answered `EvseNotFound` and has no effect, with or without a token", "AsyncAPI WithdrawAuthorizationResult, AuthHandler.cpp"),
    row("WD-2", Binds::Everest, "withdrawing by EVSE takes back a granted authorization: `Accepted` and one `Withdrawn`", "AsyncAPI operation, AuthHandler.cpp"),
    row("WD-3", Binds::Everest, "withdrawing by EVSE where nothing is granted is answered `AuthorizationNotFound`, without a status", "AsyncAPI WithdrawAuthorizationResult"),
    row("WD-4", Binds::Everest, "withdrawing during a transaction ends it as `DeAuthorized`: `Accepted`, without a status", "AuthHandler.cpp"),
    row("WD-5", Binds::Everest, "with EVSE and token, only that token at that EVSE is withdrawn", "AsyncAPI operation"),
    row("WD-6", Binds::Everest, "withdrawing by token reaches every EVSE that has it, one `Withdrawn` each, in ascending order", "AsyncAPI operation, AuthHandler.cpp"),
    row("WD-7", Binds::Everest, "without parameters everything is withdrawn, or `AuthorizationNotFound` answered", "AsyncAPI operation, AuthHandler.cpp"),
    row("WD-8", Binds::Everest, "token values are compared ignoring case", "AsyncAPI IdToken"),
    row("WD-9", Binds::Everest, "the type of the token must match; a parent token never does", "AuthHandler.cpp"),
    row("WD-10", Binds::Everest, "a token that waits for a plug-in is withdrawn: `Accepted`, `Withdrawn`, no `UsedToStart`", "AuthHandler.cpp"),
    row("WD-11", Binds::Everest, "a withdraw of a token in validation is answered when validation has ended, `Accepted` whatever its outcome", "AuthHandler.cpp"),
    row("WD-12", Binds::Client, "a client takes `Withdrawn` and the reply in either order", "framework message_handler.cpp"),
    row("WD-13", Binds::Client, "a client takes the reply `Rejected`", "AsyncAPI WithdrawAuthorizationResult"),
    row("WD-14", Binds::Everest, "once a withdraw is complete, repeating it is answered `AuthorizationNotFound`", "AuthHandler.cpp"),
    row("WD-15", Binds::Everest, "`Withdrawn` of a granted token has its id token, authorization type, EVSE, and parent if known", "AuthHandler.cpp"),
    at(Level::Quirk, but(Confirmed::Recorded, row("WD-16", Binds::Everest, "the last withdraw request goes on to match later tokens that wait for a plug-in", "AuthHandler.cpp"))),
    row("WD-17", Binds::Client, "a client takes `Accepted` that no `Withdrawn` follows", "AuthHandler.cpp, release history"),
    row("WD-18", Binds::Client, "a withdraw request names what is to end: the authorization of an EVSE, of a token, of both, or with neither all", "AsyncAPI WithdrawAuthorizationRequest; the number is khumbu's own"),
    row("WD-19", Binds::Client, "a client takes the replies `EvseNotFound` and `AuthorizationNotFound`", "AsyncAPI WithdrawAuthorizationResult; the number is khumbu's own"),
    row("TV-1", Binds::Everest, "every status message has the shape that the specification gives it", "AsyncAPI TokenValidationStatusMessage"),
    row("TV-2", Binds::Everest, "the first status of an attempt is `Processing`, with the token as it was provided", "AuthHandler.cpp"),
    row("TV-3", Binds::Everest, "every attempt ends in `Rejected`, `TimedOut`, `UsedToStart`, `UsedToStop`, `Withdrawn` or `UsedToReauthorize`", "AuthHandler.cpp"),
    row("TV-4", Binds::Everest, "a token goes from status to status only as EVerest's auth handler can", "AuthHandler.cpp"),
    row("TV-5", Binds::Everest, "`Accepted` comes only after a validator accepted, a prevalidated token, or a validator's update", "AsyncAPI TokenValidationStatus, AuthHandler.cpp"),
    row("TV-6", Binds::Everest, "`UsedToStart` names exactly the selected EVSE in `connectors`", "AuthHandler.cpp"),
    row("TV-7", Binds::Everest, "`UsedToStop` and `UsedToReauthorize` name the EVSEs of the transaction in `connectors`", "AuthHandler.cpp, Auth manifest"),
    row("TV-8", Binds::Everest, "a token that is in process or granted is ignored when presented again", "AuthHandler.cpp"),
    row("TV-9", Binds::Everest, "an authorization without a transaction times out after `connection_timeout`, once", "AuthHandler.cpp"),
    row("TV-10", Binds::Everest, "a wait for a plug-in that runs out gives `TimedOut` without `UsedToStart`", "AuthHandler.cpp"),
    row("TV-11", Binds::Everest, "without a usable EVSE a token is rejected and no validator asked", "AuthHandler.cpp"),
    row("TV-12", Binds::Everest, "with `stop_transaction_on_reswipe` off, a token presented again gives `UsedToReauthorize` and the transaction goes on", "AsyncAPI TokenValidationStatus, Auth documentation"),
    row("TV-13", Binds::Everest, "the selection algorithm decides which EVSE a token is for", "Auth documentation"),
    row("TV-14", Binds::Both, "`messages` is absent or an array; it is empty unless the status is `Accepted`, and has the texts of `validation_results` where there are any", "AsyncAPI TokenValidationStatusMessage, AuthHandler.cpp"),
    at(Level::Should, row("TV-15", Binds::Client, "a client tolerates status values and fields of the future", "release history")),
    row("TV-16", Binds::Everest, "plug-in timeouts and the end of transactions give no status", "AuthHandler.cpp"),
    row("TV-17", Binds::Client, "a client takes every status that EVerest publishes, with every field that the specification lists", "AsyncAPI TokenValidationStatusMessage; the number is khumbu's own"),
    row("LV-1", Binds::Everest, "before the first status, the latched one is `null`, or the `true` that running EVerest says in its place", "AsyncAPI send_request_get_token_validation_status, ApiHelper.cpp"),
    row("LV-2", Binds::Everest, "the latched status is the latest status, as it was published", "AsyncAPI send_request_get_token_validation_status, ApiHelper.cpp"),
    row("LV-3", Binds::Everest, "with latching off, requests for the latched status are not answered", "manifest, ApiHelper.cpp"),
    row("LV-4", Binds::Both, "the latched status is asked for under `m2e`", "AsyncAPI send_request_get_token_validation_status"),
    row("LV-5", Binds::Everest, "a request for the latched status needs no payload; one that is there is ignored", "AsyncAPI send_request_get_token_validation_status"),
    row("LV-6", Binds::Client, "a client takes `null`, and the `true` that running EVerest says in its place, as \"none yet\", and a latched status that it has already seen", "AsyncAPI receive_reply_get_token_validation_status, ApiHelper.cpp"),
    row("DI-1", Binds::Everest, "`discover` is answered once by every API module, with type, id, version and communication monitoring", "entrypoint_API, ApiHelper.cpp"),
    row("DI-2", Binds::Everest, "`query-modules` is answered by the modules of that type only", "entrypoint_API"),
    row("DI-3", Binds::Everest, "`query-modules` of an unknown type is not answered", "ApiHelper.cpp"),
    row("DI-4", Binds::Everest, "discovery without a usable `replyTo` is not answered and does no harm", "ApiHelper.cpp, ValidatingMqttProxy.cpp"),
    row("DI-5", Binds::Everest, "`ready_beacon` is sent at the start, `{}`, not retained", "entrypoint_API, ApiHelper.cpp"),
    at(Level::Should, row("DI-6", Binds::Client, "a client collects several replies to `discover`, and manages without having seen the beacon", "EVerest API tutorial")),
    row("DI-7", Binds::Everest, "the periods reported by discovery are those configured, also where they are 0 or less", "ApiHelper.cpp"),
    row("DI-8", Binds::Client, "a client makes its topics of the type, version and id that discovery reports", "EVerest API tutorial"),
    row("TP-1", Binds::Client, "a token provider publishes a bare token of the specified shape on `m2e/provided_token`, without an envelope", "AsyncAPI send_provided_token"),
    row("TP-2", Binds::Everest, "a provided token is presented to Auth as it was provided", "auth_token_provider_API.cpp"),
    row("TP-3", Binds::Client, "a token provider does not retain tokens: a retained token is presented again each time EVerest starts", "framework message_handler.cpp"),
    row("TP-4", Binds::Client, "a token provider hands a token in once a presentation (the same one again within 500 ms is no other one): a second one in a transaction stops it", "AuthHandler.cpp"),
    row("TP-5", Binds::Everest, "a provided token that cannot be read is not presented and does no harm", "auth_token_provider_API.cpp, json_codec.cpp"),
    row("VA-1", Binds::Everest, "EVerest asks a token validator on `e2m/validate_token`, with the token as it was provided and a `replyTo`", "AsyncAPI receive_request_validate_token"),
    row("VA-2", Binds::Everest, "every question to a token validator has a reply topic of its own, and its answer finds EVerest subscribed", "AsyncApiRequestReply.hpp"),
    row("VA-3", Binds::Client, "a token validator answers each question exactly once, on its `replyTo` behind EVerest's external prefix", "AsyncAPI send_reply_validate_token, Topics.cpp"),
    row("VA-4", Binds::Client, "the answer of a token validator is a bare validation result with `authorization_status` and `tariff_messages`", "AsyncAPI ValidationResult, json_codec.cpp"),
    row("VA-5", Binds::Client, "a token validator answers within `cfg_request_reply_to_s`", "manifest, AsyncApiRequestReply.hpp"),
    row("VA-6", Binds::Everest, "without an answer in time a token is invalid, and a late answer has no effect", "AsyncApiRequestReply.hpp, auth_token_validator_API.cpp"),
    row("VA-7", Binds::Everest, "an answer that cannot be read is ignored, and the wait for one goes on", "AsyncApiRequestReply.hpp"),
    row("VA-8", Binds::Client, "an update of a validation result names the EVSE and has the new result", "AsyncAPI ValidationResultUpdate"),
    row("VA-9", Binds::Everest, "an update for the token in use at an EVSE gives `Accepted` again, with its tariff messages", "AuthHandler.cpp"),
    row("VA-10", Binds::Client, "a token validator retains neither answers nor updates", "framework message_handler.cpp"),
    at(Level::Should, row("CN-1", Binds::Client, "a client that has lost its connection connects again, and listens again to what it listened to", "MQTT 3.1.1 section 3.1.2.4, MQTT 5 section 3.1.2.4; the number is khumbu's own")),
    at(Level::Should, row("CN-2", Binds::Client, "a message that is broken on its way, no JSON at all or of another shape does a client no harm", "what RR-10 asks of EVerest; the number is khumbu's own")),
    at(Level::Should, row("CN-3", Binds::Client, "a message that comes twice does a client no harm: QoS 1 delivers at least once", "MQTT 3.1.1 and 5, 4.3.2; the number is khumbu's own")),
    row("MQ-1", Binds::Both, "every packet is whole and well formed, and its texts are UTF-8 without U+0000", "MQTT 3.1.1, 1.5.3 and 2; MQTT 5, 1.5 and 2"),
    row("MQ-2", Binds::Both, "a topic is not empty and has no wildcard; in a filter wildcards stand where they may", "MQTT 3.1.1 and 5, 4.7"),
    row("MQ-3", Binds::Both, "a connection begins with one CONNECT of MQTT and has no second one", "MQTT 3.1.1 and 5, 3.1"),
    row("MQ-4", Binds::Both, "a client sends what a client may send, and acknowledges a message as its QoS asks", "MQTT 3.1.1 and 5, 3 and 4.3"),
    row("MQ-5", Binds::Both, "a packet identifier is not 0 and not in use for another message", "MQTT 3.1.1, 2.3.1; MQTT 5, 2.2.1"),
    row("MQ-6", Binds::Both, "a client sends no larger packets, and keeps no more at the broker, than the broker takes", "MQTT 5, 3.2.2.3.6; `--max-packet`"),
    row("MQ-7", Binds::Both, "a client is heard of within one and a half times its keep-alive", "MQTT 3.1.1 and 5, 3.1.2.10"),
    next(row("NX-1", Binds::Client, "a client takes `messages` with any status, not with `Accepted` alone", "pull request #2167, 6ef952015: auth/wrapper.cpp; the number is khumbu's own")),
    next(row("NX-2", Binds::Client, "a token provider hands a bank card in once a presentation: another one in a transaction stops it", "pull request #2613, b7feeb3ca: AuthHandler.cpp; the number is khumbu's own")),
    row("SC-1", Binds::Both, "every message for which no requirement of its own says so has the shape that the specification gives it, in JSON", "AsyncAPI; the number is khumbu's own"),
    row("SC-2", Binds::Both, "EVerest publishes under `e2m` and on reply topics that it was given, the client under `m2e` on the topics that the API has there", "AsyncAPI; the number is khumbu's own"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_are_unique_and_found() {
        let unique: BTreeSet<_> = ids().collect();
        assert_eq!(unique.len(), all().len());
        for id in ids() {
            assert_eq!(find(id).map(|requirement| requirement.id), Some(id));
        }
        assert_eq!(find("rr-1"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn the_manual_says_what_no_genuine_everest_confirmed() {
        let manual = include_str!("../../scenarios/README.md");
        let (_, list) = manual.split_once("Not confirmed on a genuine EVerest").expect("the list");
        let list = list.split("\n\n").next().unwrap_or_default();
        let named: BTreeSet<_> = list.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
        for Requirement { id, confirmed, binds, .. } in all() {
            let is_open = *confirmed == Confirmed::Not && *binds != Binds::Client;
            assert_eq!(named.contains(id), is_open, "{id}");
        }
    }

    #[test]
    fn every_subject_counts_on_without_gaps() {
        let mut last = ("", 0);
        for id in ids() {
            let (subject, number) = id.split_once('-').expect("subject and number");
            let number: u32 = number.parse().expect("a number");
            assert_eq!(number, if subject == last.0 { last.1 + 1 } else { 1 }, "{id}");
            last = (subject, number);
        }
    }

    #[test]
    fn statements_read_as_the_rest_of_a_sentence() {
        for Requirement { id, statement, source, .. } in all() {
            assert!(!statement.is_empty() && !statement.ends_with('.') && !source.is_empty(), "{id}");
        }
    }
}

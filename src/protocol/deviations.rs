//! Where running EVerest differs from its specification, and where its releases differ from each other: one table.
//!
//! The table says what is different; who does it asks [`Deviations::is_on`]. Main types: [`Deviation`], an entry of the
//! table, and [`Deviations`], those in force.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::release::Release;
use super::release::Release::{Main, Next, V1_0, V2025_10, V2025_12, V2026_02};

/// What a station follows where specification and running EVerest differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// It does what EVerest of its release does, defects included.
    #[default]
    AsRunning,
    /// It does what the specification of its release says.
    AsSpecified,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub deviation: Deviation,
    /// The name users write.
    pub id: &'static str,
    /// What the specification says, or where it is silent; what holds while the entry is off.
    pub specified: &'static str,
    /// What runs.
    pub runs: &'static str,
    /// The releases in which it runs so.
    pub releases: &'static [Release],
    /// Those among them whose own specification says the same, so that it stays on in [`Behaviour::AsSpecified`].
    pub agreed: &'static [Release],
    /// Where this is known from.
    pub source: &'static str,
}

/// The entries in force; copied freely, asked often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deviations {
    release: Release,
    on: u128,
}

impl Deviations {
    /// Those of a release, with single entries switched on or off.
    pub fn new(release: Release, behaviour: Behaviour, switched: &BTreeMap<Deviation, bool>) -> Self {
        let mut deviations = Self { release, on: 0 };
        for entry in &TABLE {
            let runs = entry.releases.contains(&release);
            let holds = match behaviour {
                Behaviour::AsRunning => runs,
                Behaviour::AsSpecified => runs && entry.agreed.contains(&release),
            };
            if switched.get(&entry.deviation).copied().unwrap_or(holds) {
                deviations.on |= entry.deviation.bit();
            }
        }
        deviations
    }

    /// The release they are of.
    pub fn release(self) -> Release {
        self.release
    }

    /// Whether an entry is in force.
    pub fn is_on(self, deviation: Deviation) -> bool {
        self.on & deviation.bit() != 0
    }

    /// The same with one entry switched.
    #[must_use]
    pub fn with(self, deviation: Deviation, is_on: bool) -> Self {
        let on = if is_on { self.on | deviation.bit() } else { self.on & !deviation.bit() };
        Self { on, ..self }
    }
}

impl Default for Deviations {
    /// Those of the head of development as it runs.
    fn default() -> Self {
        Self::new(Release::default(), Behaviour::default(), &BTreeMap::new())
    }
}

impl Deviation {
    /// The line of the table.
    pub fn entry(self) -> &'static Entry {
        &TABLE[self as usize]
    }

    /// The name users write.
    pub fn id(self) -> &'static str {
        self.entry().id
    }

    fn bit(self) -> u128 {
        1 << (self as u32)
    }
}

/// Every release, what was before, and what may come.
const ALWAYS: &[Release] = &[V1_0, V2025_10, V2025_12, V2026_02, Main, Next];
/// The head, and what may come.
const HEAD: &[Release] = &[Main, Next];
/// Since 2026.02.
const NEWEST: &[Release] = &[V2026_02, Main, Next];
/// What may come: [`super::release::FORECAST`].
const FORECAST: &[Release] = &[Next];
/// The tagged releases, and what was before.
const TAGGED: &[Release] = &[V1_0, V2025_10, V2025_12, V2026_02];
/// Those of 2025.
const OLDEST: &[Release] = &[V1_0, V2025_10, V2025_12];
/// The first release, and what was before.
const FIRST: &[Release] = &[V1_0, V2025_10];
/// What was before the first release.
const BEFORE: &[Release] = &[V1_0];
/// None of them by itself, or none that agrees.
const NEVER: &[Release] = &[];

/// Declares the entries and their table together, so that neither can lack what the other has.
macro_rules! deviations {
    ($($name:ident $id:literal { $specified:literal, $runs:literal, $releases:expr, $agreed:expr, $source:literal })*) => {
        /// An entry of the table.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        pub enum Deviation {
            $(
                #[doc = $runs]
                #[serde(rename = $id)]
                $name,
            )*
        }

        /// Every entry, by subject.
        pub const TABLE: [Entry; [$(Deviation::$name),*].len()] = [$(Entry {
            deviation: Deviation::$name,
            id: $id,
            specified: $specified,
            runs: $runs,
            releases: $releases,
            agreed: $agreed,
            source: $source,
        }),*];
    };
}

deviations! {
    // Requests and how they are read.
    WithdrawAllByAnyPayload "withdraw-all-by-any-payload" {
        "the payload of a withdraw request is an object; nothing is said of others, and they are not executed",
        "a payload of any other kind (null, 5, \"text\", []) withdraws everything",
        ALWAYS, NEVER, "auth/json_codec.cpp, from_json(WithdrawAuthorizationRequest)"
    }
    WithdrawAllByTypo "withdraw-all-by-typo" {
        "unknown fields are allowed, so a misspelt one counts as absent; off, such a payload is not executed",
        "{\"evseId\": 2} withdraws everything",
        ALWAYS, ALWAYS, "auth_consumer_API.yaml, additionalProperties; seen on the wire"
    }
    EvseIdCast "evse-id-cast" {
        "evse_id, connectors and the like are integers; anything else is not executed, and no integer changes",
        "any number or boolean is cast to 32 bits: 1.9 and true are 1, 4294967297 is 1",
        ALWAYS, NEVER, "auth/json_codec.cpp on nlohmann/json, get_arithmetic_value"
    }
    LongTokenValue "long-token-value" {
        "the value of an id token has at most 36 characters; longer ones are not executed",
        "the length is not looked at",
        ALWAYS, NEVER, "auth_consumer_API.yaml, IdToken.value; auth/json_codec.cpp"
    }
    ArraysOfAnyKind "arrays-of-any-kind" {
        "additional_info, connectors and the like are arrays",
        "null counts as an empty array, an object as the array of its values, and anything else as its own array",
        ALWAYS, NEVER, "auth/json_codec.cpp, loops over nlohmann/json"
    }
    HeadersOfAnyKind "headers-of-any-kind" {
        "headers is an object; otherwise the request is not executed",
        "headers of any other kind count as absent",
        ALWAYS, NEVER, "generic/json_codec.cpp, from_json(RequestReply)"
    }
    LenientJson "lenient-json" {
        "a message is one JSON document",
        "a byte order mark before it is skipped, and a NUL after it ends the text",
        ALWAYS, NEVER, "nlohmann/json, lexer.hpp"
    }
    MissingPayloadDropped "missing-payload-dropped" {
        "payload is optional (before 2026.02, and in the tutorial to this day); absent means everything",
        "a withdraw request without payload is not executed",
        ALWAYS, NEWEST, "generic/json_codec.cpp; 750f78555; tutorials/everest_api.rst"
    }
    ReplyAddressRequired "reply-address-required" {
        "headers and replyTo are optional: the request is executed, and nobody is told",
        "a request without headers or replyTo is not executed",
        OLDEST, NEVER, "750f78555; seen on the wire"
    }
    ExitOnEmptyReplyTo "exit-on-empty-reply-to" {
        "nothing is said of an empty replyTo; the request is executed, and nobody is told",
        "the request is executed; then the broker cuts the module off for publishing on the topic \"\", and EVerest ends",
        OLDEST, NEVER, "seen on the wire; ValidatingMqttProxy.cpp came later"
    }
    ExitOnWildcardReplyTo "exit-on-wildcard-reply-to" {
        "nothing is said of wildcards in replyTo; the request is executed, and nobody is told",
        "the request is executed; then the broker cuts the module off for publishing on a wildcard, and EVerest ends",
        TAGGED, NEVER, "seen on the wire; ValidatingMqttProxy.cpp came later"
    }
    ExitOnMissingReplyTo "exit-on-missing-reply-to" {
        "headers and replyTo are optional; see reply-address-required for what becomes of a request without them",
        "EVerest ends: a build of 2025.10 or earlier with assertions (without NDEBUG) looks for what is not there",
        NEVER, NEVER, "generic/json_codec.cpp, from_json(RequestReply) (2025.10.0); nlohmann/json, operator[] const"
    }
    NulCutsReplyTo "nul-cuts-reply-to" {
        "nothing is said of U+0000 in replyTo; the request is executed, and nobody is told",
        "the request is executed, and the reply goes to what stands before the U+0000",
        TAGGED, NEVER, "framework, mqtt_abstraction_impl.cpp (std::string::c_str); ValidatingMqttProxy.cpp came later"
    }
    WithdrawBlocksMessages "withdraw-blocks-messages" {
        "nothing is said of order; every message is handled when it comes",
        "a withdraw request that waits for a validator delays every message behind it: replies come late, and \
         communication checks too, so that CommunicationFault is raised",
        ALWAYS, NEVER, "framework, message_handler.cpp; seen on the wire"
    }
    ChecksBesideWithdraws "checks-beside-withdraws" {
        "nothing is said of order; see withdraw-blocks-messages for what waits behind a withdraw request",
        "communication checks do not: every topic has a thread of its own",
        FIRST, NEVER, "everest-framework 0.24, message_queue.cpp"
    }
    WithdrawBlocksAuth "withdraw-blocks-auth" {
        "nothing is said of order; Auth takes tokens and what EVSEs report when they come",
        "while a withdraw request waits for a validator, Auth takes nothing else: one thread brings it all",
        &[V2025_12], NEVER, "framework, message_handler.cpp (2025.12.0), run_operation_message_worker"
    }
    // What Auth does.
    StickyWithdraw "sticky-withdraw" {
        "a withdraw request concerns the authorizations there are",
        "it stays in force: under PlugEvents, later tokens that match it are withdrawn at once, until another comes",
        ALWAYS, NEVER, "AuthHandler.cpp, handle_withdraw_authorization"
    }
    StuckToken "stuck-token" {
        "every token gets a terminal status; off, this one is Rejected",
        "an accepted token whose group holds a granted EVSE, and finds no other, never ends; withdraws of it hang",
        ALWAYS, NEVER, "AuthHandler.cpp, handle_token"
    }
    WithdrawByReference "withdraw-by-reference" {
        "evse_id means the authorization of that EVSE",
        "it also withdraws tokens that wait for a plug-in and merely could use that EVSE, and waits for them",
        ALWAYS, NEVER, "AuthHandler.cpp, handle_withdraw_authorization; seen on the wire"
    }
    WithdrawAcceptsRejected "withdraw-accepts-rejected" {
        "Accepted means that an authorization was withdrawn",
        "it is also the answer if the token was in validation and the validator then rejected it",
        ALWAYS, NEVER, "AuthHandler.cpp, handle_withdraw_authorization"
    }
    WithdrawnWithoutConnectors "withdrawn-without-connectors" {
        "connectors names the EVSEs that a status concerns",
        "the Withdrawn status of a token that waits for a plug-in has none, unless it was presented with them",
        ALWAYS, NEVER, "seen on the wire"
    }
    NoWithdrawnForGranted "no-withdrawn-for-granted" {
        "Withdrawn is published when an authorization is withdrawn",
        "it is published only for tokens that still wait; a granted one gets no status",
        TAGGED, OLDEST, "0616fa15d; seen on the wire"
    }
    ReplyBeforeWithdrawn "reply-before-withdrawn" {
        "nothing is said of the order of a reply and the Withdrawn statuses it announces",
        "both orders occur; on, the reply comes first",
        NEVER, NEVER, "seen on the wire; they come from different threads"
    }
    UsedToStartBeforeSession "used-to-start-before-session" {
        "UsedToStart: the token was used to start a charging session; off, it comes with the transaction",
        "it comes when an EVSE is granted, whether or not an EV is there",
        ALWAYS, NEVER, "auth_consumer_API.yaml, TokenValidationStatus; AuthHandler.cpp, handle_token"
    }
    UpdateSaysAccepted "update-says-accepted" {
        "Accepted: the token was accepted",
        "every validate_result_update of an EVSE in use brings a second Accepted, even if it says Blocked",
        ALWAYS, NEVER, "AuthHandler.cpp, handle_token_validation_result_update; seen on the wire"
    }
    ConfiguredMasterPassIgnored "configured-master-pass-ignored" {
        "master_pass_group_id names the group whose tokens stop every transaction",
        "it has no effect: the Auth module does not read it",
        ALWAYS, NEVER, "Auth.cpp; seen on the wire"
    }
    PlugInAlwaysTimed "plug-in-always-timed" {
        "plug_in_timeout_enabled, and more than one EVSE, make a plug-in without authorization time out",
        "every plug-in does after connection_timeout: there is no such option",
        FIRST, FIRST, "AuthHandler.cpp, handle_session_event (2025.10.0)"
    }
    FindFirstTakesUnavailable "find-first-takes-unavailable" {
        "FindFirst selects the first available EVSE",
        "it selects the first without transaction, also a faulted one or one whose plug-in timed out, if any is available",
        FIRST, NEVER, "AuthHandler.cpp, select_evse (2025.10.0)"
    }
    ExitOnUnknownConnector "exit-on-unknown-connector" {
        "nothing is said of EVSEs that do not exist; a token that names one besides others is rejected like any",
        "if no validator accepts it, telling that EVSE ends Auth and with it EVerest, before Rejected is published",
        ALWAYS, NEVER, "AuthHandler.cpp, notify_evse (std::map::at in a thread of its own)"
    }
    NoReauthorization "no-reauthorization" {
        "stop_transaction_on_reswipe: false makes a token presented again UsedToReauthorize",
        "there is no such option: it always stops its transaction",
        TAGGED, TAGGED, "03f2a41c6"
    }
    NoUsedToStart "no-used-to-start" {
        "UsedToStart is published when a token is used to start a session (listed since 142adf82c)",
        "it is not: of a token that was granted an EVSE, Accepted is the last that is told",
        BEFORE, BEFORE, "658dcd516; AuthHandler.cpp, on_token (b32b6fb91)"
    }
    StopSaysAccepted "stop-says-accepted" {
        "UsedToStop: the token was used to stop a transaction (listed since 142adf82c)",
        "a token that stops a transaction is Accepted, like one that starts one",
        BEFORE, BEFORE, "658dcd516; AuthHandler.cpp, on_token (b32b6fb91)"
    }
    ConnectorsAsProvided "connectors-as-provided" {
        "connectors lists those to which an authorization can be assigned; off, it names the EVSE that was used",
        "it stays as the token was provided with, also when an EVSE is granted, times out, or is stopped",
        BEFORE, BEFORE, "658dcd516; AuthHandler.cpp, handle_token (b32b6fb91)"
    }
    NoPlugEventsLifo "no-plug-events-lifo" {
        "selection_algorithm may be PlugEventsLIFO",
        "there is no such algorithm: EVerest does not start with it",
        TAGGED, TAGGED, "b37aed4ef; Auth.cpp, string_to_selection_algorithm"
    }
    UnlistedStatuses "unlisted-statuses" {
        "the statuses are Processing, Accepted, Rejected and TimedOut; off, no others are published",
        "UsedToStart, UsedToStop and Withdrawn are published too",
        OLDEST, NEVER, "658dcd516 (code), 142adf82c (specification)"
    }
    BankCardStops "bank-card-stops" {
        "UsedToStop: the token was used to stop a session; off, a token itself does so if it is of type RFID",
        "one of type BankCard does, too, or is UsedToReauthorize; no validator is asked again",
        FORECAST, FORECAST, "pull request #2613, b7feeb3ca, not released: AuthHandler.cpp, handle_token"
    }
    // The API modules.
    EmptyLatchTrue "empty-latch-true" {
        "the latched getter answers null before the first status",
        "it answers true",
        HEAD, NEVER, "seen on the wire: \"null\" takes the overload of publish for booleans"
    }
    NoLatchedGet "no-latched-get" {
        "m2e/token_validation_status/get brings the latest status",
        "nobody listens there",
        TAGGED, TAGGED, "586855240"
    }
    GetterBelowM2e "getter-below-m2e" {
        "m2e/token_validation_status/get, and the tutorial: the topic of the variable with /get; off, that one too",
        "only m2e/token_validation_status/get is heard",
        HEAD, HEAD, "auth_consumer_API.yaml; tutorials/everest_api.rst"
    }
    NoMessages "no-messages" {
        "a status may carry messages; off, those of the tariff",
        "it never has messages",
        OLDEST, OLDEST, "142adf82c; seen on the wire; announced again for 2027.04: #2167, deprecation-index.rst"
    }
    MessagesAlwaysPresent "messages-always-present" {
        "messages is optional; off, it is there only if there are any",
        "every status has messages, [] unless a tariff came with Accepted",
        NEWEST, NEVER, "142adf82c; seen on the wire"
    }
    ValidationResults "validation-results" {
        "a status has token, status and messages; nothing is said of validation_results",
        "it has validation_results, too: what all validators said, [] where none was asked or it is told later, by a \
         timer or a withdrawal; messages are the tariff_messages of all of them, with whatever status",
        FORECAST, NEVER, "pull request #2167, 6ef952015, not released: AuthHandler.cpp, on_token; auth/wrapper.cpp"
    }
    CompactJson "compact-json" {
        "nothing is said of how JSON is laid out; off, in lines indented by 4",
        "in one line without blanks",
        FORECAST, FORECAST, "pull request #2637, c0c630b1c, not released: utilities/constants.hpp"
    }
    EmptyHeartbeat "empty-heartbeat" {
        "a heartbeat is a number that counts up",
        "a heartbeat is {}",
        FIRST, FIRST, "e5891c5ff; seen on the wire"
    }
    NarrowHeartbeat "narrow-heartbeat" {
        "the number of a heartbeat has 64 bits",
        "on 32-bit builds it goes from 4294967295 to 0",
        NEVER, NEVER, "ApiHelper.hpp, hb_id (size_t)"
    }
    CheckEndedByFalse "check-ended-by-false" {
        "false stops the communication check; off, a later true begins it anew",
        "false ends it for good, until EVerest starts again",
        ALWAYS, NEVER, "CommCheckHandler.hpp; seen on the wire"
    }
    SetterCommands "setter-commands" {
        "there are no set_connection_timeout and set_master_pass_group_id (since 2025-11-20)",
        "they take a bare value and do not reply; tokens that wait already keep their time",
        FIRST, FIRST, "060a1ce1a; seen on the wire"
    }
    SetterLimitsIgnored "setter-limits-ignored" {
        "set_connection_timeout takes an integer from 10 to 300, set_master_pass_group_id at most 36 characters",
        "the limits are not enforced, and numbers and booleans are cast to 32 bits",
        FIRST, NEVER, "auth_consumer_API.2025.10.0.yaml; seen on the wire"
    }
    MasterPassAddress "master-pass-address" {
        "the address of set_master_pass_group_id is m2e/set_connection_timeout",
        "it is m2e/set_master_pass_group_id",
        FIRST, NEVER, "auth_consumer_API.2025.10.0.yaml; auth_consumer_API.cpp"
    }
    // The entry point and the transport.
    NoEntryPoint "no-entry-point" {
        "discover, query-modules and ready_beacon",
        "nobody listens, and no beacon is sent",
        TAGGED, TAGGED, "179859aa6; seen on the wire"
    }
    BeaconPerModule "beacon-per-module" {
        "one ready_beacon, of the API module whose id sorts first",
        "one of each API module: they cannot read the configuration that would tell them of the others",
        HEAD, NEVER, "ApiHelper.cpp, init_entrypoint_API; seen on the wire"
    }
    LateSubscriptions "late-subscriptions" {
        "the beacon says that the API is ready to be queried",
        "beacon and heartbeat 0 come before EVerest subscribes: a request on sight of them can be lost",
        ALWAYS, NEVER, "seen on the wire"
    }
    RetainedExecuted "retained-executed" {
        "nothing is said of retained messages; off, they are ignored",
        "a retained request or communication check is executed when EVerest starts",
        ALWAYS, NEVER, "framework, create_external_handler; seen on the wire"
    }
    PublishQos0 "publish-qos-0" {
        "nothing is said of QoS; off, EVerest publishes with QoS 2",
        "it publishes with QoS 0",
        TAGGED, TAGGED, "bb5d4182f; seen on the wire"
    }
    SubscribeQos0 "subscribe-qos-0" {
        "nothing is said of QoS; off, EVerest subscribes with QoS 2",
        "it subscribes with QoS 0: requests arrive at most once",
        ALWAYS, ALWAYS, "framework, create_external_handler; seen on the wire"
    }
    BrokerLossEndsEverest "broker-loss-ends-everest" {
        "nothing is said of a lost broker; off, EVerest connects anew and starts again",
        "EVerest ends",
        ALWAYS, ALWAYS, "mosquitto_cpp.cpp; seen on the wire"
    }
    // Token providers and validators.
    CertificateHashDataDropped "certificate-hash-data-dropped" {
        "a provided token may carry iso15118CertificateHashData; off, it is passed on",
        "it is dropped on the way in and on the way out",
        ALWAYS, NEVER, "auth/wrapper.cpp"
    }
    ValidatorReplyTime "validator-reply-time" {
        "a validator has to reply within cfg_communication_check_to_s",
        "it has cfg_request_reply_to_s",
        ALWAYS, NEVER, "apis.rst; AsyncApiRequestReply.hpp"
    }
    ValidatorCallTime "validator-call-time" {
        "a validator has cfg_request_reply_to_s for its reply, by default 550 s",
        "300 s after its question, whether sent or not yet, Auth takes the token for Unknown",
        ALWAYS, NEVER, "framework, everest.cpp, remote_cmd_res_timeout_seconds; Auth.cpp, ready"
    }
    BadReplyAwaitsAnother "bad-reply-awaits-another" {
        "a reply is a ValidationResult; off, a malformed one counts as Invalid at once",
        "a malformed one is logged, and the wait goes on to its end",
        ALWAYS, NEVER, "AsyncApiRequestReply.hpp, create"
    }
    UnknownPinRequired "unknown-pin-required" {
        "PinRequired and Timeout are results",
        "they are unknown, so that the reply is malformed",
        FIRST, FIRST, "seen on the wire"
    }
    UnknownMcsModes "unknown-mcs-modes" {
        "MCS and MCS_BPT are energy transfer modes",
        "they are unknown, so that a result with one is malformed",
        OLDEST, OLDEST, "206c9ae3c; iso15118_charger/json_codec.cpp"
    }
    UnknownDerModes "unknown-der-modes" {
        "AC_DER_IEC and AC_DER_SAE are energy transfer modes",
        "they are unknown, so that a result with one is malformed",
        TAGGED, TAGGED, "iso15118_charger/json_codec.cpp"
    }
    TariffMessagesRequired "tariff-messages-required" {
        "tariff_messages is required; the example of the specification lacks it; off, so may a reply",
        "a reply without it is malformed",
        ALWAYS, ALWAYS, "auth_token_validator_API.yaml; auth/json_codec.cpp, from_json(ValidationResult)"
    }
    SerialValidation "serial-validation" {
        "nothing is said of several tokens at once; off, validators are asked about all of them",
        "a validator is asked about one token at a time; the others wait until it has replied",
        ALWAYS, NEVER, "framework, message_handler.cpp, dispatch_operation_message"
    }
    ReplyToWithoutPrefix "reply-to-without-prefix" {
        "replyTo is the address to send the response to",
        "it lacks EVerest's external MQTT prefix: the validator has to put that before it",
        ALWAYS, NEVER, "AsyncApiRequestReply.hpp; framework, everest.cpp"
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete_and_in_order() {
        for (position, entry) in TABLE.iter().enumerate() {
            let id = entry.id;
            assert_eq!(entry.deviation as usize, position, "{id}");
            assert_eq!(entry.deviation.entry(), entry, "{id}");
            assert_eq!(serde_json::to_value(entry.deviation).unwrap(), id);
            assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'), "{id}");
            assert!(TABLE[..position].iter().all(|other| other.id != id), "{id} twice");
            assert!(entry.agreed.iter().all(|release| entry.releases.contains(release)), "{id}");
            for text in [entry.specified, entry.runs, entry.source] {
                assert!(!text.is_empty() && !text.ends_with('.') && !text.contains("  "), "{id}: {text}");
            }
        }
        assert!(TABLE.len() <= u128::BITS as usize);
    }

    #[test]
    fn as_running_follows_the_releases() {
        for release in Release::PROFILES {
            let deviations = Deviations::new(release, Behaviour::AsRunning, &BTreeMap::new());
            assert_eq!(deviations.release(), release);
            for entry in &TABLE {
                assert_eq!(deviations.is_on(entry.deviation), entry.releases.contains(&release), "{}", entry.id);
            }
        }
    }

    #[test]
    fn as_specified_keeps_only_what_the_specification_of_the_release_says_too() {
        for release in Release::PROFILES {
            let deviations = Deviations::new(release, Behaviour::AsSpecified, &BTreeMap::new());
            for entry in &TABLE {
                assert_eq!(deviations.is_on(entry.deviation), entry.agreed.contains(&release), "{}", entry.id);
            }
        }
    }

    #[test]
    fn single_entries_are_switched_in_either_behaviour() {
        let switched = BTreeMap::from([(Deviation::StickyWithdraw, false), (Deviation::EmptyHeartbeat, true)]);
        let running = Deviations::new(Main, Behaviour::AsRunning, &switched);
        assert!(!running.is_on(Deviation::StickyWithdraw) && running.is_on(Deviation::EmptyHeartbeat));
        assert!(running.is_on(Deviation::EmptyLatchTrue));
        let switched = BTreeMap::from([(Deviation::StickyWithdraw, true)]);
        let specified = Deviations::new(Main, Behaviour::AsSpecified, &switched);
        assert!(specified.is_on(Deviation::StickyWithdraw) && !specified.is_on(Deviation::EmptyLatchTrue));
        assert_eq!(specified.with(Deviation::StickyWithdraw, false).with(Deviation::StickyWithdraw, true), specified);
    }

    #[test]
    fn the_default_is_the_head_as_it_runs() {
        assert_eq!(Deviations::default(), Deviations::new(Main, Behaviour::AsRunning, &BTreeMap::new()));
    }
}

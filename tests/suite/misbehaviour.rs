//! Modules with one fault each must earn their exact verdict and message ids, and leave nothing behind.
//!
//! The faults are those of `fixtures/modules/misbehaving.py`, the scenarios those of `fixtures/verdicts`, and of the suite
//! where a path is given.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{clients, printed};

/// A fault and what it must earn.
struct Case {
    behaviour: &'static str,
    /// The side, the name of the scenario with more arguments for khumbu, and more arguments for the module.
    on: [&'static str; 3],
    verdict: &'static str,
    /// Ids of failures, in order, each once.
    failures: &'static [&'static str],
    /// Ids of warnings.
    notes: &'static [&'static str],
}

const fn case(
    behaviour: &'static str,
    on: [&'static str; 3],
    verdict: &'static str,
    failures: &'static [&'static str],
    notes: &'static [&'static str],
) -> Case {
    Case { behaviour, on, verdict, failures, notes }
}

const CLIENT: [&str; 3] = ["client", "client", ""];
const EVEREST: [&str; 3] = ["everest", "everest", ""];
const LATE: [&str; 3] = ["everest", "everest", "--seconds 2"];
const REPLY: [&str; 3] = ["everest", "everest_reply", ""];
const PROVIDER: [&str; 3] = ["provider", "provider", ""];
const VALIDATOR: [&str; 3] = ["validator", "validator", ""];
const STATUS: [&str; 3] = ["everest", "everest_status", ""];
const DISCOVERY: [&str; 3] = ["everest", "everest_discovery", ""];
const QUERY: [&str; 3] = ["everest", "everest_query", ""];
const DISCOVERS: [&str; 3] = ["client", "client_discovers", ""];
const COLLECTS: [&str; 3] = ["client", "client_collects", ""];
const FINDS: [&str; 3] = ["client", "client_finds_topics", ""];
const REJECTED: [&str; 3] = ["client", "client_rejected", ""];
const FUTURE: [&str; 3] = ["client", "scenarios/client/status_from_the_future", ""];
const TEXTS: [&str; 3] = ["client", "scenarios/client/next_messages_with_any_status", ""];
const TEXTS_NEXT: [&str; 3] = ["client", "scenarios/client/next_messages_with_any_status --release next", ""];
const CARD: [&str; 3] = ["provider", "scenarios/provider/next_bank_card_once", ""];
const CARD_NEXT: [&str; 3] = ["provider", "scenarios/provider/next_bank_card_once --release next", ""];
const ENDS_CHECKS: [&str; 3] = ["client", "scenarios/client/check_ended", ""];
const CUT_OFF: [&str; 3] = ["client", "scenarios/client/reconnect_cut_off", ""];
const AWAY: [&str; 3] = ["client", "scenarios/client/fault_broker_away", ""];
const REFUSED: [&str; 3] = ["client", "scenarios/client/fault_connect_refused", ""];
const CORRUPT: [&str; 3] = ["client", "scenarios/client/fault_status_corrupt", ""];
const REPLY_LOST: [&str; 3] = ["client", "client_reply_lost", ""];
const HALF_OPEN: [&str; 3] = ["client", "client_half_open", ""];
const QUESTION_LOST: [&str; 3] = ["validator", "validator_question_lost", ""];
const QUESTION_LATE: [&str; 3] = ["validator", "validator_question_late", ""];
const LAID_OVER: [&str; 3] = ["validator", r#"validator --fault {"drop":{"message":"validate_token"}}"#, ""];
const RESTARTS: [&str; 3] = ["client", "scenarios/client/heartbeat_restarts_at_zero", ""];
const PACE: [&str; 3] = ["everest", "everest_pace", ""];
const BEATS: [&str; 3] = ["everest", "scenarios/everest/heartbeat_keeps_pace", ""];
const COUNTS: [&str; 3] = ["everest", "scenarios/everest/heartbeat_beyond_2_32", ""];
const TIMES_OUT: [&str; 3] = ["everest", "scenarios/everest/status_timed_out", ""];
const WAITS: [&str; 3] = ["everest", "scenarios/everest/status_waits_in_vain", ""];
const UNREADABLE: [&str; 3] = ["everest", "everest_unreadable", ""];
const ASKS: [&str; 3] = ["client", "client_asks", ""];
const ONCE: [&str; 3] = ["client", "client_once", ""];
// The same, with khumbu's own messages in other forms of the same meaning.
const CLIENT_FORMS: [&str; 3] = ["client", "client --wire same_meaning", ""];
const ASKS_FORMS: [&str; 3] = ["client", "client_asks --wire same_meaning", ""];
const ONCE_FORMS: [&str; 3] = ["client", "client_once --wire same_meaning", ""];
const EVEREST_FORMS: [&str; 3] = ["everest", "everest --wire same_meaning", ""];

#[rustfmt::skip]
rows! { earns(&Case):
    never_connect_on_client: case("never-connect", CLIENT, "inconclusive", &["module/never-connected"], &[]),
    never_connect_on_everest: case("never-connect", EVEREST, "inconclusive", &["module/never-connected"], &[]),
    silent_on_client: case("silent", CLIENT, "inconclusive", &["module/never-ready"], &[]),
    silent_on_everest: case("silent", EVEREST, "inconclusive", &["module/never-ready"], &[]),
    exit_at_once_on_client: case("exit-at-once", CLIENT, "inconclusive", &["module/ended-early"], &[]),
    exit_at_once_on_everest: case("exit-at-once", EVEREST, "inconclusive", &["module/ended-early"], &[]),
    crash_when_connected_on_client: case("crash-when-connected", CLIENT, "fail", &["module/ended"], &[]),
    crash_when_connected_on_everest: case("crash-when-connected", EVEREST, "fail", &["module/ended"], &[]),
    crash_in_middle_on_client: case("crash-in-middle", CLIENT, "fail", &["module/ended"], &[]),
    crash_in_middle_on_everest: case("crash-in-middle", EVEREST, "fail", &["module/ended"], &[]),
    ignore_term_on_client: case("ignore-term", CLIENT, "pass", &[], &["module/ignored-term"]),
    ignore_term_on_everest: case("ignore-term", EVEREST, "pass", &[], &["module/ignored-term"]),
    abort_at_end_on_client: case("abort-at-end", CLIENT, "pass", &[], &["module/crashed-at-end"]),
    fail_at_end_on_everest: case("fail-at-end", EVEREST, "pass", &[], &["module/crashed-at-end"]),
    // One that stays in the group gets SIGTERM with its parent, and obeys.
    leave_grandchild_on_client: case("leave-grandchild", CLIENT, "pass", &[], &[]),
    leave_grandchild_on_everest: case("leave-grandchild", EVEREST, "pass", &[], &[]),
    leave_escaped_grandchild_on_client: case("leave-escaped-grandchild", CLIENT, "pass", &[], &["module/left-processes"]),
    leave_escaped_grandchild_on_everest: case("leave-escaped-grandchild", EVEREST, "pass", &[], &["module/left-processes"]),

    retained_communication_check_on_client: case("retained-communication-check", CLIENT, "fail", &["monitor/retained"], &[]),
    retained_request_on_client: case("retained-request", CLIENT, "fail", &["monitor/retained"], &[]),
    no_communication_check_on_client: case("no-communication-check", CLIENT, "fail", &["expect/missing"], &[]),
    communication_check_not_boolean_on_client: case("communication-check-not-boolean", CLIENT, "fail", &["expect/missing", "monitor/schema-violation"], &[]),
    slow_communication_check_on_client_slow_check_seconds_2: case("slow-communication-check", ["client", "client_slow_check", "--seconds 2"], "fail",
         &["monitor/communication-check-late"], &[]),
    obeys_late_on_ends_checks: case("obeys-late", ENDS_CHECKS, "pass", &[], &[]),
    says_false_and_goes_on_on_ends_checks: case("says-false-and-goes-on", ENDS_CHECKS, "fail", &["expect/unexpected"], &[]),
    // Nobody asks for two requests at a time, and nobody bounds a client's patience.
    one_at_a_time_on_withdraw_while_waiting_for_reply: case("one-at-a-time", ["client", "scenarios/client/withdraw_while_waiting_for_reply", ""], "pass", &[], &[]),
    one_at_a_time_on_latched_get_never_answered_seconds_7: case("one-at-a-time", ["client", "scenarios/client/latched_get_never_answered", "--seconds 7"], "pass", &[], &[]),
    one_at_a_time_on_client_serial: case("one-at-a-time", ["client", "client_serial", ""], "inconclusive", &["module/waits-for-reply"], &[]),
    one_at_a_time_on_client_serial_seconds_0_1: case("one-at-a-time", ["client", "client_serial", "--seconds 0.1"], "pass", &[], &[]),
    reply_to_beside_headers_on_client: case("reply-to-beside-headers", CLIENT, "inconclusive", &["expect/no-reply-topic"], &[]),
    withdraws_after_reply_on_client_unasked: case("withdraws-after-reply", ["client", "client_unasked", ""], "fail", &["expect/unasked-withdraw"], &[]),
    // The reply goes to the request that a step demanded, not to the one that nobody did.
    withdraws_twice_on_rejected: case("withdraws-twice", REJECTED, "pass", &[], &["module/asked-again"]),
    never_acknowledges_on_client_display: case("never-acknowledges", ["client", "client_display", ""], "fail", &["module/acknowledges-nothing"], &[]),
    stops_acknowledging_on_client_display: case("stops-acknowledging", ["client", "client_display", ""], "fail", &["module/stopped-acknowledging"], &[]),
    skips_acknowledgement_on_client_display: case("skips-acknowledgement", ["client", "client_display", ""], "fail", &["module/skipped-acknowledgement"], &[]),
    never_completes_on_client_display: case("never-completes", ["client", "client_display", ""], "fail", &["module/skipped-acknowledgement"], &[]),
    stops_at_release_on_client_display: case("stops-at-release", ["client", "client_display", ""], "fail", &["module/stopped-acknowledging"], &[]),
    request_before_subscribe_on_client: case("request-before-subscribe", CLIENT, "fail", &["monitor/reply-topic-not-subscribed"], &[]),
    same_reply_topic_on_client_twice: case("same-reply-topic", ["client", "client_twice", ""], "fail", &["monitor/reply-topic-reused"], &[]),
    same_reply_topic_on_client_cut_off: case("same-reply-topic", ["client", "client_cut_off", ""], "fail", &["expect/outcome"], &[]),
    request_not_json_on_client: case("request-not-json", CLIENT, "fail", &["expect/payload-mismatch", "monitor/not-json"], &[]),
    request_without_envelope_on_client: case("request-without-envelope", CLIENT, "fail", &["expect/payload-mismatch", "monitor/schema-violation"], &[]),
    never_withdraws_on_client: case("never-withdraws", CLIENT, "fail", &["expect/missing"], &[]),
    withdraws_twice_on_client_again: case("withdraws-twice", ["client", "client_again", ""], "pass", &[], &["module/asked-again"]),
    withdraws_twice_on_once: case("withdraws-twice", ONCE, "fail", &["expect/unexpected"], &[]),
    withdraw_wrong_evse_on_client: case("withdraw-wrong-evse", CLIENT, "fail", &["expect/payload-mismatch"], &[]),
    withdraw_wrong_type_on_client: case("withdraw-wrong-type", CLIENT, "fail", &["expect/payload-mismatch", "monitor/schema-violation"], &[]),
    leave_grandchild_on_discovers: case("leave-grandchild", DISCOVERS, "pass", &[], &[]),
    queries_other_type_on_discovers: case("queries-other-type", DISCOVERS, "fail", &["expect/missing"], &[]),
    discovers_before_subscribe_on_discovers: case("discovers-before-subscribe", DISCOVERS, "fail", &["monitor/reply-topic-not-subscribed"], &[]),

    reply_late_on_late: case("reply-late", LATE, "fail", &["expect/late"], &[]),
    reply_never_on_everest: case("reply-never", EVEREST, "fail", &["expect/missing"], &["module/readiness-unknown"]),
    reply_twice_on_everest: case("reply-twice", EVEREST, "fail", &["monitor/second-reply"], &[]),
    reply_twice_on_reply: case("reply-twice", REPLY, "fail", &["monitor/second-reply"], &[]),
    reply_wrong_topic_on_everest: case("reply-wrong-topic", EVEREST, "fail", &["expect/wrong-topic", "monitor/stray-reply"], &["module/readiness-unknown"]),
    reply_wrong_type_on_everest: case("reply-wrong-type", EVEREST, "fail", &["expect/payload-mismatch", "monitor/schema-violation"], &[]),
    reply_wrong_value_on_everest: case("reply-wrong-value", EVEREST, "fail", &["expect/payload-mismatch", "monitor/schema-violation"], &[]),
    reply_not_json_on_everest: case("reply-not-json", EVEREST, "fail", &["expect/payload-mismatch", "monitor/not-json"], &[]),
    reply_retained_on_everest: case("reply-retained", EVEREST, "fail", &["monitor/retained"], &[]),
    heartbeat_skips_on_everest: case("heartbeat-skips", EVEREST, "fail", &["monitor/heartbeat-sequence"], &[]),
    heartbeat_string_on_everest: case("heartbeat-string", EVEREST, "fail", &["expect/missing", "monitor/schema-violation"], &[]),
    heartbeat_from_one_on_everest: case("heartbeat-from-one", EVEREST, "fail", &["monitor/heartbeat-first"], &[]),
    illegal_status_transition_on_status: case("illegal-status-transition", STATUS, "fail", &["monitor/illegal-transition"], &[]),
    status_retained_on_status: case("status-retained", STATUS, "fail", &["monitor/retained"], &[]),
    leave_grandchild_on_discovery: case("leave-grandchild", DISCOVERY, "pass", &[], &[]),
    discovered_twice_on_discovery: case("discovered-twice", DISCOVERY, "fail", &["monitor/second-reply"], &[]),
    discovered_wrong_id_on_discovery: case("discovered-wrong-id", DISCOVERY, "fail", &["expect/missing"], &[]),
    asks_without_reply_to_on_unreadable: case("asks-without-reply-to", UNREADABLE, "fail", &["expect/no-reply-topic"], &[]),
    discovered_without_version_on_discovery: case("discovered-without-version", DISCOVERY, "fail", &["monitor/schema-violation"], &[]),
    answers_unknown_type_on_query: case("answers-unknown-type", QUERY, "fail", &["expect/unexpected", "monitor/wrong-type"], &[]),
    beacon_retained_on_discovery: case("beacon-retained", DISCOVERY, "fail", &["monitor/retained"], &[]),
    reply_never_on_discovery: case("reply-never", DISCOVERY, "fail", &["expect/missing"], &["module/readiness-unknown"]),
    heartbeat_at_own_pace_on_pace: case("heartbeat-at-own-pace", PACE, "fail", &["expect/unexpected"], &[]),
    leave_grandchild_on_pace: case("leave-grandchild", PACE, "pass", &[], &[]),
    heartbeat_at_half_pace_on_beats: case("heartbeat-at-half-pace", BEATS, "fail", &["monitor/heartbeat-spacing"], &[]),
    heartbeat_at_double_pace_on_beats: case("heartbeat-at-double-pace", BEATS, "fail", &["monitor/heartbeat-spacing"], &[]),
    heartbeat_skips_late_on_beats: case("heartbeat-skips-late", BEATS, "fail", &["monitor/heartbeat-sequence"], &[]),
    heartbeats_end_on_beats: case("heartbeats-end", BEATS, "fail", &["expect/missing", "monitor/heartbeats-stopped"], &[]),
    heartbeat_wraps_at_32_bits_on_counts: case("heartbeat-wraps-at-32-bits", COUNTS, "fail", &["expect/missing", "monitor/heartbeat-sequence"], &[]),
    times_out_early_on_times_out: case("times-out-early", TIMES_OUT, "fail", &["monitor/timed-out-early"], &[]),
    times_out_late_on_times_out: case("times-out-late", TIMES_OUT, "fail", &["expect/late"], &[]),
    times_out_early_on_waits: case("times-out-early", WAITS, "fail", &["monitor/timed-out-early"], &[]),
    times_out_late_on_waits: case("times-out-late", WAITS, "fail", &["expect/late"], &[]),
    publishes_at_qos_1_on_everest: case("publishes-at-qos-1", EVEREST, "fail", &["monitor/qos"], &[]),
    unreadable_answer_invalid_on_unreadable: case("unreadable-answer-invalid", UNREADABLE, "fail", &["expect/payload-mismatch"], &[]),
    unreadable_answer_believed_on_unreadable: case("unreadable-answer-believed", UNREADABLE, "fail", &["expect/payload-mismatch"], &[]),
    leave_grandchild_on_unreadable: case("leave-grandchild", UNREADABLE, "pass", &[], &[]),

    stops_after_first_reply_on_collects: case("stops-after-first-reply", COLLECTS, "fail", &["monitor/discovery-cut-short"], &[]),
    leave_grandchild_on_collects: case("leave-grandchild", COLLECTS, "pass", &[], &[]),
    finds_its_topics_on_finds: case("finds-its-topics", FINDS, "pass", &[], &[]),
    finds_topics_of_first_on_finds: case("finds-topics-of-first", FINDS, "fail", &["expect/missing"], &[]),
    waits_for_beacon_on_finds: case("waits-for-beacon", FINDS, "fail", &["expect/missing"], &[]),
    waits_for_beacon_on_client: case("waits-for-beacon", CLIENT, "fail", &["module/waits-for-beacon"], &[]),
    begins_never_on_client: case("begins-never", CLIENT, "inconclusive", &["module/never-ready"], &[]),
    rejected_unforeseen_on_rejected: case("rejected-unforeseen", REJECTED, "fail", &["module/ended"], &[]),
    leave_grandchild_on_rejected: case("leave-grandchild", REJECTED, "pass", &[], &[]),

    subscribes_in_steps_on_future: case("subscribes-in-steps", FUTURE, "fail", &["module/ended"], &[]),
    checks_until_cut_off_on_cut_off: case("checks-until-cut-off", CUT_OFF, "fail", &["expect/missing"], &["monitor/checks-not-resumed"]),
    subscribes_once_on_cut_off: case("subscribes-once", CUT_OFF, "fail", &["monitor/not-subscribed-again"], &[]),
    stays_away_on_cut_off: case("stays-away", CUT_OFF, "fail", &["module/stayed-away"], &[]),
    keeps_session_on_cut_off: case("keeps-session", CUT_OFF, "pass", &[], &[]),
    restart_unforeseen_on_restarts: case("restart-unforeseen", RESTARTS, "fail", &["module/ended"], &[]),
    leave_grandchild_on_restarts: case("leave-grandchild", RESTARTS, "pass", &[], &[]),
    // Each gets by until the wire fails.
    hangs_without_reply_on_client: case("hangs-without-reply", CLIENT, "pass", &[], &[]),
    hangs_without_reply_on_reply_lost: case("hangs-without-reply", REPLY_LOST, "fail", &["expect/missing"], &["monitor/communication-check-late"]),
    leave_grandchild_on_reply_lost: case("leave-grandchild", REPLY_LOST, "pass", &[], &[]),
    dies_of_no_json_on_client: case("dies-of-no-json", CLIENT, "pass", &[], &[]),
    dies_of_no_json_on_corrupt: case("dies-of-no-json", CORRUPT, "fail", &["module/ended"], &[]),
    gives_up_when_refused_on_cut_off: case("gives-up-when-refused", CUT_OFF, "pass", &[], &[]),
    gives_up_when_refused_on_refused: case("gives-up-when-refused", REFUSED, "fail", &["module/ended"], &[]),
    stays_away_on_client: case("stays-away", CLIENT, "pass", &[], &[]),
    rests_when_refused_on_refused: case("rests-when-refused", REFUSED, "inconclusive", &["module/gave-up"], &[]),
    stays_away_on_away: case("stays-away", AWAY, "fail", &["module/stayed-away"], &[]),
    keeps_session_on_away: case("keeps-session", AWAY, "pass", &[], &[]),
    short_keep_alive_on_half_open: case("short-keep-alive", HALF_OPEN, "pass", &[], &[]),
    never_pings_on_half_open: case("never-pings", HALF_OPEN, "fail", &["module/unaware"], &[]),
    long_keep_alive_on_half_open: case("long-keep-alive", HALF_OPEN, "inconclusive", &["module/long-keep-alive"], &[]),
    no_keep_alive_on_half_open: case("no-keep-alive", HALF_OPEN, "inconclusive", &["module/no-keep-alive"], &[]),
    // What it never got it is not held to.
    leave_grandchild_on_question_lost: case("leave-grandchild", QUESTION_LOST, "inconclusive", &["expect/after-fault"], &[]),
    leave_grandchild_on_question_late: case("leave-grandchild", QUESTION_LATE, "pass", &[], &[]),
    leave_grandchild_on_laid_over: case("leave-grandchild", LAID_OVER, "inconclusive", &["expect/after-fault"], &[]),
    crash_in_middle_on_question_late: case("crash-in-middle", QUESTION_LATE, "fail", &["module/ended"], &[]),
    leave_grandchild_on_idle_fault: case("leave-grandchild", ["client", "client_idle_fault", ""], "inconclusive", &["scenario/idle-fault"], &[]),
    // Nobody told it that less is wanted.
    slow_communication_check_on_check_repeated_seconds_4: case("slow-communication-check", ["client", "scenarios/client/check_repeated", "--seconds 4"], "pass", &[], &[]),

    silent_on_client_display_ready_connected: case("silent", ["client", "client_display --ready connected", ""], "inconclusive", &["scenario/demands-nothing"], &[]),
    hears_no_statuses_on_client_display: case("hears-no-statuses", ["client", "client_display", ""], "inconclusive", &["scenario/demands-nothing"], &[]),
    hears_no_statuses_on_client: case("hears-no-statuses", CLIENT, "pass", &[], &["scenario/not-shown"]),
    hears_no_heartbeats_on_client: case("hears-no-heartbeats", CLIENT, "pass", &[], &[]),
    hears_no_heartbeats_on_restarts: case("hears-no-heartbeats", RESTARTS, "inconclusive", &["scenario/no-occasion"], &[]),
    leave_grandchild_on_client_display: case("leave-grandchild", ["client", "client_display", ""], "pass", &[], &["scenario/demands-nothing"]),
    // It has ended in the scenario, not after it.
    ends_at_use_on_client_display: case("ends-at-use", ["client", "client_display", ""], "fail", &["module/ended"], &[]),

    never_connect_on_provider: case("never-connect", PROVIDER, "inconclusive", &["module/never-connected"], &[]),
    exit_at_once_on_provider: case("exit-at-once", PROVIDER, "inconclusive", &["module/ended-early"], &[]),
    // It need not listen to anything, and so is ready; what it then does not say counts.
    silent_on_provider: case("silent", PROVIDER, "fail", &["expect/missing"], &[]),
    crash_when_connected_on_provider: case("crash-when-connected", PROVIDER, "fail", &["module/ended"], &[]),
    no_communication_check_on_provider: case("no-communication-check", PROVIDER, "fail", &["expect/missing"], &[]),
    retained_communication_check_on_provider: case("retained-communication-check", PROVIDER, "fail", &["monitor/retained"], &[]),
    slow_communication_check_on_provider_slow_check_seconds_7: case("slow-communication-check", ["provider", "provider_slow_check", "--seconds 7"], "fail",
         &["monitor/communication-check-late"], &[]),
    never_presents_on_provider: case("never-presents", PROVIDER, "fail", &["expect/missing"], &[]),
    token_enveloped_on_provider: case("token-enveloped", PROVIDER, "fail", &["expect/payload-mismatch", "monitor/schema-violation"], &[]),
    token_retained_on_provider: case("token-retained", PROVIDER, "fail", &["monitor/retained"], &[]),
    // What `next` would break: a warning where nothing asks for more today.
    text_means_accepted_on_texts: case("text-means-accepted", TEXTS, "pass", &[], &["module/ended"]),
    text_means_accepted_on_texts_next: case("text-means-accepted", TEXTS_NEXT, "fail", &["module/ended"], &[]),
    card_rests_on_card: case("card-rests", CARD, "pass", &[], &["expect/unexpected"]),
    card_rests_on_card_next: case("card-rests", CARD_NEXT, "fail", &["expect/unexpected"], &[]),
    needs_messages_on_next_without_messages: case("needs-messages", ["client", "scenarios/client/next_without_messages", ""], "fail", &["module/ended"], &[]),
    knows_its_fields_on_next_validation_results: case("knows-its-fields", ["client", "scenarios/client/next_validation_results", ""], "fail", &["module/ended"], &[]),
    reads_lines_on_next_compact_json: case("reads-lines", ["client", "scenarios/client/next_compact_json", ""], "fail", &["module/ended"], &[]),
    cards_never_stop_on_next_bank_card_stops: case("cards-never-stop", ["client", "scenarios/client/next_bank_card_stops", ""], "fail", &["module/ended"], &[]),
    token_twice_on_provider: case("token-twice", PROVIDER, "fail", &["expect/unexpected"], &[]),
    // In the middle of a transaction EVerest stops what the first one began to use.
    token_twice_on_provider_transaction: case("token-twice", ["provider", "provider_transaction", ""], "fail", &["expect/outcome"], &[]),
    token_wrong_type_on_provider: case("token-wrong-type", PROVIDER, "fail", &["expect/payload-mismatch", "monitor/schema-violation"], &[]),
    token_wrong_value_on_provider: case("token-wrong-value", PROVIDER, "fail", &["expect/payload-mismatch"], &[]),

    never_connect_on_validator: case("never-connect", VALIDATOR, "inconclusive", &["module/never-connected"], &[]),
    crash_in_middle_on_validator: case("crash-in-middle", VALIDATOR, "fail", &["module/ended"], &[]),
    crash_in_middle_on_validator_queue: case("crash-in-middle", ["validator", "validator_queue", ""], "fail", &["module/ended"], &[]),
    silent_on_validator: case("silent", VALIDATOR, "inconclusive", &["module/never-ready"], &[]),
    no_communication_check_on_validator: case("no-communication-check", VALIDATOR, "fail", &["expect/missing"], &[]),
    reply_never_on_validator: case("reply-never", VALIDATOR, "fail", &["expect/missing", "monitor/missing-reply"], &[]),
    reply_late_on_validator_seconds_2: case("reply-late", ["validator", "validator", "--seconds 2"], "fail", &["expect/late", "monitor/late-reply"], &[]),
    reply_twice_on_validator: case("reply-twice", VALIDATOR, "fail", &["monitor/second-reply"], &[]),
    reply_wrong_value_on_validator: case("reply-wrong-value", VALIDATOR, "fail", &["expect/payload-mismatch", "monitor/schema-violation"], &[]),
    reply_enveloped_on_validator: case("reply-enveloped", VALIDATOR, "fail", &["expect/payload-mismatch", "monitor/schema-violation"], &[]),
    reply_without_tariff_on_validator: case("reply-without-tariff", VALIDATOR, "fail", &["expect/outcome", "monitor/schema-violation"], &[]),
    reply_wrong_topic_on_validator: case("reply-wrong-topic", VALIDATOR, "fail",
         &["expect/wrong-topic", "monitor/stray-reply", "monitor/missing-reply"], &[]),
    reply_without_prefix_on_validator_prefix: case("reply-without-prefix", ["validator", "validator_prefix", ""], "fail",
         &["expect/wrong-topic", "monitor/reply-without-prefix", "monitor/missing-reply"], &[]),
    reply_to_first_question_on_validator_twice: case("reply-to-first-question", ["validator", "validator_twice", ""], "fail",
         &["expect/missing", "monitor/second-reply", "monitor/missing-reply"], &[]),
    question_once_on_validator_question_twice: case("question-once", ["validator", "scenarios/plays/validator/question_twice", ""], "fail",
         &["module/ended"], &[]),
    reply_retained_on_validator: case("reply-retained", VALIDATOR, "fail", &["monitor/retained"], &[]),
    verdict_wrong_on_validator: case("verdict-wrong", VALIDATOR, "fail", &["expect/payload-mismatch"], &[]),
    verdict_wrong_on_validator_statuses: case("verdict-wrong", ["validator", "validator_statuses", ""], "fail", &["expect/outcome"], &[]),

    // Whoever reads text instead of JSON gets by until the text is another.
    status_by_json_on_asks: case("status-by-json", ASKS, "pass", &[], &[]),
    status_by_json_on_asks_forms: case("status-by-json", ASKS_FORMS, "pass", &[], &[]),
    status_by_text_on_asks: case("status-by-text", ASKS, "pass", &[], &[]),
    status_by_text_on_asks_forms: case("status-by-text", ASKS_FORMS, "fail", &["expect/missing"], &[]),
    value_by_text_on_client: case("value-by-text", CLIENT, "pass", &[], &[]),
    value_by_text_on_client_forms: case("value-by-text", CLIENT_FORMS, "fail", &["module/ended"], &[]),
    reply_by_text_on_once: case("reply-by-text", ONCE, "pass", &[], &[]),
    reply_by_text_on_once_forms: case("reply-by-text", ONCE_FORMS, "fail", &["expect/unexpected"], &[]),
    request_by_text_on_everest: case("request-by-text", EVEREST, "pass", &[], &[]),
    request_by_text_on_everest_forms: case("request-by-text", EVEREST_FORMS, "fail", &["expect/missing"], &[]),
}

/// What the report of a fault must say, besides its id.
const SAYS: [(&str, &str); 7] = [
    ("rejected-unforeseen", "delivered to it"),
    // Whatever else its library has not acknowledged.
    ("rejected-unforeseen", ": …/e2m/"),
    ("reply-to-beside-headers", "the request: …/m2e/withdraw_authorization"),
    ("withdraws-after-reply", "no step demands: …/m2e/withdraw_authorization"),
    ("never-completes", "did not answer that with PUBCOMP"),
    ("stops-at-release", "did not answer that with PUBCOMP"),
    ("never-acknowledges", "acknowledged none of them within 5s"),
];

/// A fault earns its verdict and leaves nothing behind.
fn earns(case: &Case) {
    let Some(python) = clients::python() else { return };
    if let Err(why) = play(case, python.to_str().unwrap()) {
        panic!("{} on {}: {why}", case.behaviour, case.on[1]);
    }
}

fn play(case: &Case, python: &str) -> Result<(), String> {
    let [side, scenario, more] = case.on;
    let (scenario, flags) = scenario.split_once(' ').unwrap_or((scenario, ""));
    let folder = if scenario.contains('/') { "" } else { "fixtures/verdicts/" };
    let path = format!("{folder}{scenario}.yaml");
    let mark = format!("case-{}-{side}-{scenario}-{flags}-{more}-{}", case.behaviour, std::process::id());
    let module = format!(
        "{python} fixtures/modules/misbehaving.py --host {{host}} --port {{port}} --behaviour {} --side {side} {more}",
        case.behaviour
    );
    let prefix = if scenario.ends_with("_prefix") { "site/" } else { "" };
    let mut command = Command::new(env!("CARGO_BIN_EXE_khumbu"));
    command
        .args(["run", &path, "--module", &module])
        .args(["--external-prefix", prefix])
        .args(["--ready-within", "5s", "--json", "-"])
        .args(flags.split_whitespace())
        .env("KHUMBU_TEST_CASE", &mark)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    let output = printed::output(&mut command).map_err(|error| error.to_string())?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("no report: {error}\n{}", String::from_utf8_lossy(&output.stderr)))?;
    let played = &report["scenarios"][0];
    let told = || format!("{played:#}");
    if played["verdict"] != case.verdict {
        return Err(format!("verdict {}, not {}\n{}", played["verdict"], case.verdict, told()));
    }
    let exit = match case.verdict {
        "pass" => 0,
        "fail" => 1,
        _ => 3,
    };
    if output.status.code() != Some(exit) {
        return Err(format!("{}, not exit code {exit}", output.status));
    }
    let failures = played["failures"].as_array().into_iter().flatten();
    if let Some(nameless) = failures.filter(|it| it["severity"] == "fail").find(|it| it["requirement"].is_null()) {
        return Err(format!("a failure without its requirement: {nameless:#}"));
    }
    let ids = |key: &str| {
        let mut ids: Vec<String> = Vec::new();
        for found in played[key].as_array().into_iter().flatten() {
            let id = found["id"].as_str().unwrap_or_default().to_owned();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    };
    if ids("failures") != case.failures {
        return Err(format!("failures {:?}, not {:?}\n{}", ids("failures"), case.failures, told()));
    }
    let notes: Vec<_> = ids("notes").into_iter().filter(|id| id != "monitor/repeated").collect();
    if notes != case.notes {
        return Err(format!("notes {notes:?}, not {:?}\n{}", case.notes, told()));
    }
    let untold = |(behaviour, part): &&(&str, &str)| *behaviour == case.behaviour && !told().contains(part);
    if let Some((_, part)) = SAYS.iter().find(untold) {
        return Err(format!("it does not say `{part}`\n{}", told()));
    }
    match still_there(&mark) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("left behind: {left:?}")),
    }
}

/// Processes that still run with this mark in their environment.
fn still_there(mark: &str) -> Vec<String> {
    let entry = format!("KHUMBU_TEST_CASE={mark}");
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|process| {
            std::fs::read(process.path().join("environ"))
                .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes()))
        })
        .map(|process| std::fs::read_to_string(process.path().join("comm")).unwrap_or_default())
        .collect()
}

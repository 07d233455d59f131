//! Modules with one fault each must earn their exact verdict and message ids, and leave nothing behind.
//!
//! The faults are those of `fixtures/modules/misbehaving.py`, the scenarios those of `fixtures/verdicts`, and of the suite
//! where a path is given.

use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde_json::Value;

use crate::clients;

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
const CASES: &[Case] = &[
    case("never-connect", CLIENT, "inconclusive", &["module/never-connected"], &[]),
    case("never-connect", EVEREST, "inconclusive", &["module/never-connected"], &[]),
    case("silent", CLIENT, "inconclusive", &["module/never-ready"], &[]),
    case("silent", EVEREST, "inconclusive", &["module/never-ready"], &[]),
    case("exit-at-once", CLIENT, "inconclusive", &["module/ended-early"], &[]),
    case("exit-at-once", EVEREST, "inconclusive", &["module/ended-early"], &[]),
    case("crash-when-connected", CLIENT, "fail", &["module/ended"], &[]),
    case("crash-when-connected", EVEREST, "fail", &["module/ended"], &[]),
    case("crash-in-middle", CLIENT, "fail", &["module/ended"], &[]),
    case("crash-in-middle", EVEREST, "fail", &["module/ended"], &[]),
    case("ignore-term", CLIENT, "pass", &[], &["module/ignored-term"]),
    case("ignore-term", EVEREST, "pass", &[], &["module/ignored-term"]),
    case("abort-at-end", CLIENT, "pass", &[], &["module/crashed-at-end"]),
    case("fail-at-end", EVEREST, "pass", &[], &["module/crashed-at-end"]),
    // One that stays in the group gets SIGTERM with its parent, and obeys.
    case("leave-grandchild", CLIENT, "pass", &[], &[]),
    case("leave-grandchild", EVEREST, "pass", &[], &[]),
    case("leave-escaped-grandchild", CLIENT, "pass", &[], &["module/left-processes"]),
    case("leave-escaped-grandchild", EVEREST, "pass", &[], &["module/left-processes"]),

    case("retained-communication-check", CLIENT, "fail", &["monitor/retained"], &[]),
    case("retained-request", CLIENT, "fail", &["monitor/retained"], &[]),
    case("no-communication-check", CLIENT, "fail", &["expect/missing"], &[]),
    case("communication-check-not-boolean", CLIENT, "fail", &["expect/missing", "monitor/schema-violation"], &[]),
    case("slow-communication-check", ["client", "client_slow_check", "--seconds 2"], "fail",
         &["monitor/communication-check-late"], &[]),
    case("obeys-late", ENDS_CHECKS, "pass", &[], &[]),
    case("says-false-and-goes-on", ENDS_CHECKS, "fail", &["expect/unexpected"], &[]),
    // Nobody asks for two requests at a time, and nobody bounds a client's patience.
    case("one-at-a-time", ["client", "scenarios/client/withdraw_while_waiting_for_reply", ""], "pass", &[], &[]),
    case("one-at-a-time", ["client", "scenarios/client/latched_get_never_answered", "--seconds 7"], "pass", &[], &[]),
    case("one-at-a-time", ["client", "client_serial", ""], "inconclusive", &["module/waits-for-reply"], &[]),
    case("one-at-a-time", ["client", "client_serial", "--seconds 0.1"], "pass", &[], &[]),
    case("reply-to-beside-headers", CLIENT, "inconclusive", &["expect/no-reply-topic"], &[]),
    case("withdraws-after-reply", ["client", "client_unasked", ""], "fail", &["expect/unasked-withdraw"], &[]),
    // The reply goes to the request that a step demanded, not to the one that nobody did.
    case("withdraws-twice", REJECTED, "pass", &[], &["module/asked-again"]),
    case("never-acknowledges", ["client", "client_display", ""], "fail", &["module/acknowledges-nothing"], &[]),
    case("request-before-subscribe", CLIENT, "fail", &["monitor/reply-topic-not-subscribed"], &[]),
    case("same-reply-topic", ["client", "client_twice", ""], "fail", &["monitor/reply-topic-reused"], &[]),
    case("same-reply-topic", ["client", "client_cut_off", ""], "fail", &["expect/outcome"], &[]),
    case("request-not-json", CLIENT, "fail", &["expect/payload-mismatch", "monitor/not-json"], &[]),
    case("request-without-envelope", CLIENT, "fail", &["expect/payload-mismatch", "monitor/schema-violation"], &[]),
    case("never-withdraws", CLIENT, "fail", &["expect/missing"], &[]),
    case("withdraws-twice", ["client", "client_again", ""], "pass", &[], &["module/asked-again"]),
    case("withdraws-twice", ONCE, "fail", &["expect/unexpected"], &[]),
    case("withdraw-wrong-evse", CLIENT, "fail", &["expect/payload-mismatch"], &[]),
    case("withdraw-wrong-type", CLIENT, "fail", &["expect/payload-mismatch", "monitor/schema-violation"], &[]),
    case("leave-grandchild", DISCOVERS, "pass", &[], &[]),
    case("queries-other-type", DISCOVERS, "fail", &["expect/missing"], &[]),
    case("discovers-before-subscribe", DISCOVERS, "fail", &["monitor/reply-topic-not-subscribed"], &[]),

    case("reply-late", LATE, "fail", &["expect/late"], &[]),
    case("reply-never", EVEREST, "fail", &["expect/missing"], &["module/readiness-unknown"]),
    case("reply-twice", EVEREST, "fail", &["monitor/second-reply"], &[]),
    case("reply-twice", REPLY, "fail", &["monitor/second-reply"], &[]),
    case("reply-wrong-topic", EVEREST, "fail", &["expect/wrong-topic", "monitor/stray-reply"], &["module/readiness-unknown"]),
    case("reply-wrong-type", EVEREST, "fail", &["expect/payload-mismatch", "monitor/schema-violation"], &[]),
    case("reply-wrong-value", EVEREST, "fail", &["expect/payload-mismatch", "monitor/schema-violation"], &[]),
    case("reply-not-json", EVEREST, "fail", &["expect/payload-mismatch", "monitor/not-json"], &[]),
    case("reply-retained", EVEREST, "fail", &["monitor/retained"], &[]),
    case("heartbeat-skips", EVEREST, "fail", &["monitor/heartbeat-sequence"], &[]),
    case("heartbeat-string", EVEREST, "fail", &["expect/missing", "monitor/schema-violation"], &[]),
    case("heartbeat-from-one", EVEREST, "fail", &["monitor/heartbeat-first"], &[]),
    case("illegal-status-transition", STATUS, "fail", &["monitor/illegal-transition"], &[]),
    case("status-retained", STATUS, "fail", &["monitor/retained"], &[]),
    case("leave-grandchild", DISCOVERY, "pass", &[], &[]),
    case("discovered-twice", DISCOVERY, "fail", &["monitor/second-reply"], &[]),
    case("discovered-wrong-id", DISCOVERY, "fail", &["expect/missing"], &[]),
    case("asks-without-reply-to", UNREADABLE, "fail", &["expect/no-reply-topic"], &[]),
    case("discovered-without-version", DISCOVERY, "fail", &["monitor/schema-violation"], &[]),
    case("answers-unknown-type", QUERY, "fail", &["expect/unexpected", "monitor/wrong-type"], &[]),
    case("beacon-retained", DISCOVERY, "fail", &["monitor/retained"], &[]),
    case("reply-never", DISCOVERY, "fail", &["expect/missing"], &["module/readiness-unknown"]),
    case("heartbeat-at-own-pace", PACE, "fail", &["expect/unexpected"], &[]),
    case("leave-grandchild", PACE, "pass", &[], &[]),
    case("heartbeat-at-half-pace", BEATS, "fail", &["monitor/heartbeat-spacing"], &[]),
    case("heartbeat-at-double-pace", BEATS, "fail", &["monitor/heartbeat-spacing"], &[]),
    case("heartbeat-skips-late", BEATS, "fail", &["monitor/heartbeat-sequence"], &[]),
    case("heartbeats-end", BEATS, "fail", &["expect/missing", "monitor/heartbeats-stopped"], &[]),
    case("heartbeat-wraps-at-32-bits", COUNTS, "fail", &["expect/missing", "monitor/heartbeat-sequence"], &[]),
    case("times-out-early", TIMES_OUT, "fail", &["monitor/timed-out-early"], &[]),
    case("times-out-late", TIMES_OUT, "fail", &["expect/late"], &[]),
    case("times-out-early", WAITS, "fail", &["monitor/timed-out-early"], &[]),
    case("times-out-late", WAITS, "fail", &["expect/late"], &[]),
    case("publishes-at-qos-1", EVEREST, "fail", &["monitor/qos"], &[]),
    case("unreadable-answer-invalid", UNREADABLE, "fail", &["expect/payload-mismatch"], &[]),
    case("unreadable-answer-believed", UNREADABLE, "fail", &["expect/payload-mismatch"], &[]),
    case("leave-grandchild", UNREADABLE, "pass", &[], &[]),

    case("stops-after-first-reply", COLLECTS, "fail", &["monitor/discovery-cut-short"], &[]),
    case("leave-grandchild", COLLECTS, "pass", &[], &[]),
    case("finds-its-topics", FINDS, "pass", &[], &[]),
    case("finds-topics-of-first", FINDS, "fail", &["expect/missing"], &[]),
    case("waits-for-beacon", FINDS, "fail", &["expect/missing"], &[]),
    case("rejected-unforeseen", REJECTED, "fail", &["module/ended"], &[]),
    case("leave-grandchild", REJECTED, "pass", &[], &[]),

    case("subscribes-in-steps", FUTURE, "fail", &["module/ended"], &[]),
    case("subscribes-once", CUT_OFF, "fail", &["monitor/not-subscribed-again"], &[]),
    case("stays-away", CUT_OFF, "fail", &["module/stayed-away"], &[]),
    case("keeps-session", CUT_OFF, "pass", &[], &[]),
    case("restart-unforeseen", RESTARTS, "fail", &["module/ended"], &[]),
    case("leave-grandchild", RESTARTS, "pass", &[], &[]),
    // Nobody told it that less is wanted.
    case("slow-communication-check", ["client", "scenarios/client/check_repeated", "--seconds 4"], "pass", &[], &[]),

    case("silent", ["client", "client_display --ready connected", ""], "inconclusive", &["scenario/demands-nothing"], &[]),
    case("hears-no-statuses", ["client", "client_display", ""], "inconclusive", &["scenario/demands-nothing"], &[]),
    case("hears-no-statuses", CLIENT, "pass", &[], &["scenario/not-shown"]),
    case("hears-no-heartbeats", CLIENT, "pass", &[], &[]),
    case("hears-no-heartbeats", RESTARTS, "inconclusive", &["scenario/no-occasion"], &[]),
    case("leave-grandchild", ["client", "client_display", ""], "pass", &[], &[]),
    // It has ended in the scenario, not after it.
    case("ends-at-use", ["client", "client_display", ""], "fail", &["module/ended"], &[]),

    case("never-connect", PROVIDER, "inconclusive", &["module/never-connected"], &[]),
    case("exit-at-once", PROVIDER, "inconclusive", &["module/ended-early"], &[]),
    // It need not listen to anything, and so is ready; what it then does not say counts.
    case("silent", PROVIDER, "fail", &["expect/missing"], &[]),
    case("crash-when-connected", PROVIDER, "fail", &["module/ended"], &[]),
    case("no-communication-check", PROVIDER, "fail", &["expect/missing"], &[]),
    case("retained-communication-check", PROVIDER, "fail", &["monitor/retained"], &[]),
    case("slow-communication-check", ["provider", "provider_slow_check", "--seconds 7"], "fail",
         &["monitor/communication-check-late"], &[]),
    case("never-presents", PROVIDER, "fail", &["expect/missing"], &[]),
    case("token-enveloped", PROVIDER, "fail", &["expect/payload-mismatch", "monitor/schema-violation"], &[]),
    case("token-retained", PROVIDER, "fail", &["monitor/retained"], &[]),
    // What `next` would break: a warning where nothing asks for more today.
    case("text-means-accepted", TEXTS, "pass", &[], &["module/ended"]),
    case("text-means-accepted", TEXTS_NEXT, "fail", &["module/ended"], &[]),
    case("card-rests", CARD, "pass", &[], &["expect/unexpected"]),
    case("card-rests", CARD_NEXT, "fail", &["expect/unexpected"], &[]),
    case("needs-messages", ["client", "scenarios/client/next_without_messages", ""], "fail", &["module/ended"], &[]),
    case("knows-its-fields", ["client", "scenarios/client/next_validation_results", ""], "fail", &["module/ended"], &[]),
    case("reads-lines", ["client", "scenarios/client/next_compact_json", ""], "fail", &["module/ended"], &[]),
    case("cards-never-stop", ["client", "scenarios/client/next_bank_card_stops", ""], "fail", &["module/ended"], &[]),
    case("token-twice", PROVIDER, "fail", &["expect/unexpected"], &[]),
    // In the middle of a transaction EVerest stops what the first one began to use.
    case("token-twice", ["provider", "provider_transaction", ""], "fail", &["expect/outcome"], &[]),
    case("token-wrong-type", PROVIDER, "fail", &["expect/payload-mismatch", "monitor/schema-violation"], &[]),
    case("token-wrong-value", PROVIDER, "fail", &["expect/payload-mismatch"], &[]),

    case("never-connect", VALIDATOR, "inconclusive", &["module/never-connected"], &[]),
    case("crash-in-middle", VALIDATOR, "fail", &["module/ended"], &[]),
    case("crash-in-middle", ["validator", "validator_queue", ""], "fail", &["module/ended"], &[]),
    case("silent", VALIDATOR, "inconclusive", &["module/never-ready"], &[]),
    case("no-communication-check", VALIDATOR, "fail", &["expect/missing"], &[]),
    case("reply-never", VALIDATOR, "fail", &["expect/missing", "monitor/missing-reply"], &[]),
    case("reply-late", ["validator", "validator", "--seconds 2"], "fail", &["expect/late", "monitor/late-reply"], &[]),
    case("reply-twice", VALIDATOR, "fail", &["monitor/second-reply"], &[]),
    case("reply-wrong-value", VALIDATOR, "fail", &["expect/payload-mismatch", "monitor/schema-violation"], &[]),
    case("reply-enveloped", VALIDATOR, "fail", &["expect/payload-mismatch", "monitor/schema-violation"], &[]),
    case("reply-without-tariff", VALIDATOR, "fail", &["expect/outcome", "monitor/schema-violation"], &[]),
    case("reply-wrong-topic", VALIDATOR, "fail",
         &["expect/wrong-topic", "monitor/stray-reply", "monitor/missing-reply"], &[]),
    case("reply-without-prefix", ["validator", "validator_prefix", ""], "fail",
         &["expect/wrong-topic", "monitor/reply-without-prefix", "monitor/missing-reply"], &[]),
    case("reply-to-first-question", ["validator", "validator_twice", ""], "fail",
         &["expect/missing", "monitor/second-reply", "monitor/missing-reply"], &[]),
    case("reply-retained", VALIDATOR, "fail", &["monitor/retained"], &[]),
    case("verdict-wrong", VALIDATOR, "fail", &["expect/payload-mismatch"], &[]),
    case("verdict-wrong", ["validator", "validator_statuses", ""], "fail", &["expect/outcome"], &[]),

    // Whoever reads text instead of JSON gets by until the text is another.
    case("status-by-json", ASKS, "pass", &[], &[]),
    case("status-by-json", ASKS_FORMS, "pass", &[], &[]),
    case("status-by-text", ASKS, "pass", &[], &[]),
    case("status-by-text", ASKS_FORMS, "fail", &["expect/missing"], &[]),
    case("value-by-text", CLIENT, "pass", &[], &[]),
    case("value-by-text", CLIENT_FORMS, "fail", &["module/ended"], &[]),
    case("reply-by-text", ONCE, "pass", &[], &[]),
    case("reply-by-text", ONCE_FORMS, "fail", &["expect/unexpected"], &[]),
    case("request-by-text", EVEREST, "pass", &[], &[]),
    case("request-by-text", EVEREST_FORMS, "fail", &["expect/missing"], &[]),
];

/// What the report of a fault must say, besides its id.
const SAYS: [(&str, &str); 4] = [
    ("rejected-unforeseen", "delivered to it last: …/e2m/"),
    ("reply-to-beside-headers", "the request: …/m2e/withdraw_authorization"),
    ("withdraws-after-reply", "no step demands: …/m2e/withdraw_authorization"),
    ("never-acknowledges", "acknowledged none of them within 5s"),
];

#[test]
fn every_fault_earns_its_verdict_and_leaves_nothing_behind() {
    let Some(python) = clients::python() else { return };
    let next = Mutex::new(CASES.iter());
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(case) = next.lock().unwrap().next() else { return };
                    if let Err(why) = play(case, python.to_str().unwrap()) {
                        wrong.lock().unwrap().push(format!("{} on {}: {why}", case.behaviour, case.on[1]));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
    let output = Command::new(env!("CARGO_BIN_EXE_khumbu"))
        .args(["run", &path, "--module", &module])
        .args(["--external-prefix", prefix])
        .args(["--ready-within", "5s", "--json", "-"])
        .args(flags.split_whitespace())
        .env("KHUMBU_TEST_CASE", &mark)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
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

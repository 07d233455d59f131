//! The built-in modules with a deliberate fault earn the failure that names the requirement that it breaks, and no other.
//!
//! A handful, end to end; `ci/mutants` plays them all.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::printed;
use crate::project::{PASS, Project};

/// A module with its bug, a scenario of the suite, and what fails there: ids, each with the requirement that it names.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

#[rustfmt::skip]
rows! { earns(&Case):
    same_reply_topic: ("client?bug=same_reply_topic", "client/withdraw_while_waiting_for_reply", &[("monitor/reply-topic-reused", "RR-13")]),
    rejected_unforeseen: ("client?bug=rejected_unforeseen", "client/withdraw_rejected", &[("module/ended", "WD-13")]),
    checks_until_cut_off: ("client?bug=checks_until_cut_off", "client/reconnect_cut_off", &[("expect/missing", "CC-8")]),
    checks_under_e2m: ("client?bug=checks_under_e2m", "client/withdraw_rejected", &[("monitor/wrong-direction", "SC-2")]),
    token_retained: ("client?bug=token_retained", "provider/token_presented", &[("monitor/retained", "TP-3")]),
    answers_twice: ("client?bug=answers_twice", "validator/token_accepted", &[("monitor/second-reply", "VA-3")]),
    heartbeat_from_one: ("everest?bug=heartbeat_from_one", "everest/heartbeat_from_zero", &[("expect/missing", "HB-3"), ("monitor/heartbeat-first", "HB-3")]),
    replies_twice: ("everest?bug=replies_twice", "everest/withdraw_by_evse", &[("monitor/second-reply", "RR-1")]),
    remembers_results: ("everest?bug=remembers_results", "everest/withdraw_twice", &[("expect/payload-mismatch", "WD-14")]),
    one_module_found: ("everest?bug=one_module_found", "everest/discovery_every_module", &[("expect/missing", "DI-1")]),
    // Where the bug does not show, nothing does.
    unseen: ("everest?bug=one_module_found", "everest/withdraw_by_evse", &[]),
}

fn earns((module, scenario, failures): &Case) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_khumbu"));
    command
        .args(["run", &format!("scenarios/{scenario}.yaml"), "--module", &format!("builtin:{module}"), "--json", "-"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    let output = printed::output(&mut command).unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found: Vec<(&str, &str)> = Vec::new();
    for failure in report["scenarios"][0]["failures"].as_array().unwrap() {
        let failure = (failure["id"].as_str().unwrap(), failure["requirement"].as_str().unwrap_or_default());
        if !found.contains(&failure) {
            found.push(failure);
        }
    }
    assert_eq!(found, *failures, "{report:#}");
    assert_eq!(output.status.code(), Some(if failures.is_empty() { 0 } else { 1 }));
}

#[test]
fn a_bug_has_a_name_and_a_side() {
    let project = Project::with(&[("p.yaml", PASS)]);
    let refused = |module: &str| project.run(&["run", "p.yaml", "--module", module]).exits(2);
    refused("builtin:client?bug=same_reply_topi").says("usage/unknown-bug").says("did you mean `same_reply_topic`");
    refused("builtin:client?bug=nonsense").says("usage/unknown-bug").says("--list-bugs");
    refused("builtin:everest?bug=same_reply_topic")
        .says("usage/unknown-bug")
        .says("builtin:client?bug=same_reply_topic");
    refused("builtin?bug=same_reply_topic").says("usage/bad-value").says("builtin:client?bug=same_reply_topic");
    refused("builtin?bug=nonsense").says("usage/bad-value").says("has no side");
    refused("builtin:client?bag=x").says("usage/bad-value").says("takes `bug=NAME`");
    refused("builtin:client?").says("usage/bad-value");
    // The side is that of the scenario, as it is without a bug.
    refused("builtin:everest?bug=no_beacon").says("usage/wrong-side");
    let listed = project.run(&["run", "--list-bugs"]).exits(0).stdout;
    assert!(listed.contains("builtin:everest?bug=no_beacon\n"), "{listed}");
}

//! `khumbu scenario`: what is made of a recording is a scenario that passes where the recording came from, fails where a
//! module does something else, and makes the same scenario again.

use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::clients;
use crate::project::{Project, fixture, wait_for};
use crate::recordings::publish;
use crate::sim::Sim;

/// Scenarios whose recordings become scenarios again: everything that they do stands in messages, or in what khumbu told.
const RECORDED: [&str; 44] = [
    "client/discovery_topics",
    "client/heartbeat_restarts_at_zero",
    "client/latched_get",
    "client/latched_get_null",
    "client/reconnect_cut_off",
    "client/status_every_kind",
    "client/status_formatting",
    "client/status_token_fields",
    "client/version_1_0_statuses",
    "client/withdraw_answered_late",
    "client/withdraw_by_evse",
    "client/withdraw_by_evse_and_token",
    "client/withdraw_during_transaction",
    "client/withdraw_everything",
    "client/withdraw_not_found",
    "client/withdraw_rejected",
    "everest/bad_request_not_json",
    "everest/bad_request_reply_to_unusable",
    "everest/discovery_by_type",
    "everest/discovery_every_module",
    "everest/discovery_without_reply_to",
    "everest/latched_get_last_status",
    "everest/latched_get_unheard",
    "everest/provider_token_presented",
    "everest/provider_unreadable_token",
    "everest/reconnect_restart",
    "everest/request_pipelined",
    "everest/reservation",
    "everest/status_group_id_stops",
    "everest/status_plug_in_timed_out",
    "everest/status_reswipe_stops",
    "everest/status_timed_out",
    "everest/validator_asked",
    "everest/validator_updates",
    "everest/version_1_0_status_flow",
    "everest/withdraw_by_evse",
    "everest/withdraw_waiting_by_evse",
    "provider/everest_restarts",
    "provider/token_kinds",
    "provider/token_presented",
    "provider/transaction_stopped",
    "validator/result_updated",
    "validator/token_refused",
    "validator/verdict_changes",
];

/// A scenario without its comments, of which some name lines of the recording.
fn steps(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.map(|line| line.split("   # ").next().unwrap().to_owned() + "\n").collect()
}

#[test]
fn a_recorded_scenario_makes_a_scenario_that_passes_and_makes_itself_again() {
    let project = Project::new();
    for name in RECORDED {
        let file = format!("one/{}.yaml", name.replace('/', "_"));
        project.write(&file, &std::fs::read_to_string(fixture(&format!("../scenarios/{name}.yaml"))).unwrap());
    }
    project.play(&["one", "--record", "first/"]).exits(0);
    for name in RECORDED.map(|name| name.replace('/', "_")) {
        let made = format!("made/{name}.yaml");
        project.write("made/placeholder", "");
        let recording = format!("first/one/{name}.jsonl");
        project.run(&["scenario", &recording, "--output", &made]).exits(0);
        // Whoever is under test, and what tokens are called, the recording says.
        let (original, text) = (project.read(&format!("one/{name}.yaml")), project.read(&made));
        for key in ["under_test: client", "under_test: everest", "    ALICE: {value: \"", "  restart_everest"] {
            assert!(!original.contains(key) || text.contains(key), "{name}: {key}\n{text}");
        }
    }
    project.run(&["check", "made"]).exits(0);
    project.play(&["made", "--record", "second/"]).exits(0);
    for name in RECORDED.map(|name| name.replace('/', "_")) {
        let again = project.run(&["scenario", &format!("second/made/{name}.jsonl")]).exits(0);
        assert_eq!(steps(&again.stdout), steps(&project.read(&format!("made/{name}.yaml"))), "{name}");
    }
}

/// A recording of a scenario against the built-in module, as a scenario.
fn made_of(project: &Project, scenario: &str, flags: &[&str]) -> String {
    project.write("own.yaml", scenario);
    project.run(&["run", "own.yaml", "--record", "own.jsonl"]).exits(0);
    project.run(&[&["scenario", "own.jsonl"], flags].concat()).exits(0).stdout
}

fn of_suite(name: &str) -> String {
    std::fs::read_to_string(fixture(&format!("../scenarios/{name}.yaml"))).unwrap()
}

#[test]
fn what_a_good_module_did_a_faulty_one_does_not() {
    let project = Project::new();
    for (scenario, side, bugs) in [
        ("client/withdraw_by_evse", "client", &["wrong_evse", "withdraw_not_json", "withdraw_without_envelope"][..]),
        ("everest/withdraw_by_evse", "everest", &["withdraws_nothing", "withdrawn_unsaid", "processing_unsaid"]),
        ("everest/status_rejected", "everest", &["rejected_unsaid", "status_in_small_letters"]),
    ] {
        let made = made_of(&project, &of_suite(scenario), &[]);
        project.write("made.yaml", &made);
        for bug in bugs {
            let module = format!("builtin:{side}?bug={bug}");
            let ran = project.run(&["run", "made.yaml", "--module", &module]);
            assert_eq!(ran.status.code(), Some(1), "{bug}: {}", ran.stdout);
        }
    }
    // Whoever records a faulty module is told what the built-in one does.
    project.write("own.yaml", &of_suite("everest/withdraw_by_evse"));
    let module = "builtin:everest?bug=withdrawn_without_evse";
    project.run(&["run", "own.yaml", "--module", module, "--record", "bad.jsonl"]).exits(1);
    let made = project.run(&["scenario", "bad.jsonl", "--output", "bad.yaml"]).exits(0);
    made.says("recording/not-expressed").says("EVerest said `Withdrawn` of a token; the built-in one says `Withdrawn`");
}

#[test]
fn a_recording_serves_either_side() {
    let project = Project::new();
    for side in ["client", "everest"] {
        for name in ["client/withdraw_by_evse", "everest/withdraw_by_evse"] {
            let made = made_of(&project, &of_suite(name), &["--side", side]);
            assert!(made.contains(&format!("under_test: {side}\n")), "{made}");
            project.write("made.yaml", &made);
            project.run(&["run", "made.yaml"]).exits(0);
        }
    }
}

#[test]
fn what_was_recorded_of_others_needs_no_heading() {
    let project = Project::new();
    let recording = fixture("recordings/withdraw.jsonl");
    let station = fixture("recordings/withdraw.yaml");
    for (flags, plug_in) in [(&[][..], false), (&["--station", &station], true)] {
        let made = project.run(&[&["scenario", &recording], flags].concat()).exits(0);
        let made = made.says("recording/not-expressed").says("a message on `caption`: what it means is not known");
        assert_eq!(made.stdout.contains("- plug_in: {evse: 1}"), plug_in, "{}", made.stdout);
        for line in [
            "    TOKEN_1: {value: \"ALICE\", type: ISO14443, verdict_after: 500ms}",
            "      - expect_status: {token: TOKEN_1, sequence: [Processing, Accepted, UsedToStart], connectors: [1]}",
            "  # Line 2: a message on `caption`: what it means is not known; a binding of --station may say so",
        ] {
            assert!(made.stdout.contains(line), "{}", made.stdout);
        }
        project.write("made.yaml", &made.stdout);
        project.run(&["check", "made.yaml"]).exits(0);
        project.run(&["run", "made.yaml"]).exits(0);
    }
}

#[test]
fn a_scenario_of_a_genuine_everest_passes_against_the_built_in_one() {
    let project = Project::new();
    for name in ["00_startup", "01_communication_check", "03_withdraw"] {
        let recording = format!("{}/../shared/recordings/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
        if !Path::new(&recording).exists() {
            println!("skipped: no recording ../shared/recordings/{name}.jsonl");
            continue;
        }
        let station = fixture(&format!("stations/{name}.yaml"));
        let file = format!("{name}.yaml");
        project.run(&["scenario", &recording, "--station", &station, "--output", &file]).exits(0);
        project.run(&["run", &file]).exits(0);
    }
}

/// Messages of EVerest about a token, one after the other.
fn statuses(of: &[(u64, &str, Option<i32>)]) -> String {
    let message = |(at, status, evse): &(u64, &str, Option<i32>)| {
        let mut token = json!({"id_token": {"value": "04A2", "type": "ISO14443"}, "authorization_type": "RFID"});
        if let Some(evse) = evse {
            token["connectors"] = json!([evse]);
        }
        let payload = json!({"messages": [], "status": status, "token": token});
        let topic = "everest_api/1/auth_consumer/auth_api/e2m/token_validation_status";
        format!("{}\n", json!({"t_ms": at, "topic": topic, "payload": payload}))
    };
    of.iter().map(message).collect()
}

#[test]
fn what_no_message_shows_is_inferred_from_the_statuses() {
    let project = Project::new();
    for (recorded, expected) in [
        // At the first EVSE by itself, which is free.
        (&[(0, "Processing", None), (1, "Accepted", None), (2, "UsedToStart", Some(1))][..], &["present_token"][..]),
        // An EV was there before the token.
        (&[(0, "Processing", None), (1, "Accepted", None), (2, "UsedToStart", Some(2))], &["plug_in", "present_token"]),
        // The second presentation stops what the first one has started.
        (
            &[
                (0, "Processing", None),
                (1, "Accepted", None),
                (2, "UsedToStart", Some(1)),
                (9000, "Processing", None),
                (9001, "UsedToStop", Some(1)),
            ],
            &["present_token", "plug_in", "start_transaction", "present_token"],
        ),
        // Nobody came.
        (
            &[(0, "Processing", None), (1, "Accepted", None), (2, "UsedToStart", Some(1)), (3001, "TimedOut", Some(1))],
            &["present_token"],
        ),
        (&[(0, "Processing", None), (900, "Rejected", None)], &["present_token"]),
    ] {
        project.write("r.jsonl", &statuses(recorded));
        let made = project.run(&["scenario", "r.jsonl"]).exits(0).stdout;
        let done = |line: &str| line.strip_prefix("  - ")?.split(':').next().map(str::to_owned);
        let done: Vec<_> = made.lines().filter_map(done).filter(|step| !step.starts_with("expect")).collect();
        assert_eq!(done, expected, "{made}");
        project.write("made.yaml", &made);
        project.run(&["run", "made.yaml"]).exits(0);
    }
    let text = project.run(&["scenario", "r.jsonl"]).exits(0).stdout;
    assert!(text.contains("verdict: Invalid, verdict_after: 900ms"), "{text}");
}

#[test]
fn a_part_of_a_recording_is_chosen_by_time_or_by_line() {
    let project = Project::new();
    let first = [(0, "Processing", None), (1, "Accepted", None), (2, "UsedToStart", Some(1))];
    let second = first.map(|(at, status, evse)| (at + 60_000, status, evse));
    project.write("r.jsonl", &statuses(&[&first[..], &[(30_000, "TimedOut", Some(1))], &second].concat()));
    let whole = project.run(&["scenario", "r.jsonl"]).exits(0).stdout;
    assert_eq!(whole.matches("present_token").count(), 2, "{whole}");
    for flags in [["--from", "40s"], ["--from", "5"], ["--to", "29s"], ["--to", "3"]] {
        let part = project.run(&[&["scenario", "r.jsonl"], &flags[..]].concat()).exits(0).stdout;
        assert_eq!(part.matches("- present_token").count(), 1, "{part}");
        assert!(part.contains("3 messages in 2ms"), "{part}");
    }
    for flags in [["--from", "61s"], ["--from", "100"]] {
        let ran = project.run(&[&["scenario", "r.jsonl"], &flags[..]].concat()).exits(2);
        ran.says("recording/empty-span").says("its last message is line 7, after 60.0s");
    }
    project.run(&["scenario", "r.jsonl", "--from", "soon"]).exits(2).says("neither a time of the recording");
    project.run(&["scenario", "r.jsonl", "--from", "0"]).exits(2).says("lines count from 1");
}

#[test]
fn what_is_no_recording_is_refused() {
    let project = Project::with(&[
        ("empty.jsonl", ""),
        ("text.jsonl", "description: no recording\n"),
        ("cut.jsonl", &statuses(&[(0, "Processing", None), (1, "Accepted", None)])[..300]),
        ("other.jsonl", "{\"t_ms\": 0, \"topic\": \"a\", \"payload\": 1}\n"),
        ("alive.jsonl", "{\"t_ms\": 0, \"topic\": \"everest_api/1/auth_consumer/a/e2m/heartbeat\", \"payload\": 1}\n"),
        ("bytes.jsonl", "{\"t_ms\": 0, \"topic\": \"a\", \"payload\": \"\\ud800\"}\n"),
    ]);
    for (file, id) in [
        ("missing.jsonl", "file/not-found"),
        (".", "file/directory"),
        ("empty.jsonl", "recording/empty"),
        ("text.jsonl", "recording/invalid"),
        ("cut.jsonl", "recording/invalid"),
        ("other.jsonl", "recording/no-conversation"),
        ("alive.jsonl", "recording/no-conversation"),
        ("bytes.jsonl", "recording/no-conversation"),
    ] {
        project.run(&["scenario", file]).exits(2).says(id);
    }
    let huge = std::fs::File::create(project.path("huge.jsonl")).unwrap();
    huge.set_len(65 * 1024 * 1024).unwrap();
    project.run(&["scenario", "huge.jsonl"]).exits(2).says("file/too-large");
    for (payload, why) in [
        (json!({"under_test": "nobody", "station": {}}), "unknown variant `nobody`"),
        (json!({"under_test": "client", "station": {"evses": 65}}), "a station has 1 to 64 EVSEs"),
        (json!(5), "invalid type"),
    ] {
        let heading = json!({"t_ms": 0, "topic": "khumbu/recording", "payload": payload});
        project.write("heading.jsonl", &format!("{heading}\n{}", statuses(&[(0, "Processing", None)])));
        project.run(&["scenario", "heading.jsonl"]).exits(2).says("recording/heading").says(why);
    }
    let many: Vec<_> = (0..2001).map(|at| (at * 10, "Processing", None)).collect();
    project.write("many.jsonl", &statuses(&many));
    project.run(&["scenario", "many.jsonl"]).exits(2).says("recording/too-long").says("--from");
    project.run(&["scenario", "empty.jsonl", "--api", "auth_butler"]).exits(2).says("auth_token_provider");
    project.run(&["scenario", "empty.jsonl", "--side", "both"]).exits(2);
}

#[test]
fn what_stands_in_a_message_breaks_no_scenario() {
    let project = Project::new();
    let request = "everest_api/1/auth_consumer/auth_api/m2e/withdraw_authorization";
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let messages = [
        json!({"topic": request, "payload": {"headers": {"replyTo": "r"}, "payload": {"evse_id": 1}}}),
        json!({"topic": "r", "payload": "AuthorizationNotFound"}),
        json!({"topic": request, "payload": {"headers": {"replyTo": "r"}, "payload": {"$any": "$capture:x"}}}),
        json!({"topic": "r", "payload": "$any"}),
        json!({"topic": "a\u{7}\n- b: \u{2028}", "payload": 1}),
        json!({"topic": request, "hex": "ff00"}),
        json!({"topic": request, "payload": "\u{85}\u{feff}\": {", "raw": true}),
        json!({"topic": "everest_api/query-modules/{reply}", "payload": {"headers": {"replyTo": "{reply}"}}}),
        json!({"topic": "khumbu/auth_api/do", "payload": {"plug_in": {"evse": 99}}}),
    ];
    let mut text: String = messages
        .into_iter()
        .enumerate()
        .map(|(at, mut message)| {
            message["t_ms"] = json!(at);
            format!("{message}\n")
        })
        .collect();
    text.push_str(&format!("{{\"t_ms\": 9, \"topic\": \"{request}\", \"payload\": {deep}}}\n"));
    text.push_str(&statuses(&[(863_999_990, "Processing", Some(-1)), (863_999_999, "Processing", None)]));
    project.write("r.jsonl", &text);
    for side in ["client", "everest"] {
        let file = format!("{side}.yaml");
        let made = project.run(&["scenario", "r.jsonl", "--side", side, "--output", &file]).exits(0);
        made.says("recording/not-expressed").says("line 10: ").says("no step expects it");
        project.run(&["check", &file]).exits(0);
    }
    let everest = project.read("everest.yaml");
    for step in ["hex: ff00", "$capture:x", "query_modules: \"{reply}\""] {
        assert!(everest.contains(step), "{everest}");
    }
}

#[test]
fn nothing_is_overwritten() {
    let project = Project::with(&[("r.jsonl", &statuses(&[(0, "Processing", None), (1, "Rejected", None)]))]);
    project.run(&["scenario", "r.jsonl", "--output", "made.yaml"]).exits(0);
    let made = project.read("made.yaml");
    project.write("made.yaml", "mine");
    project.run(&["scenario", "r.jsonl", "--output", "made.yaml"]).exits(2).says("usage/other-file");
    assert_eq!(project.read("made.yaml"), "mine");
    project.run(&["scenario", "r.jsonl", "--output", "no/such.yaml"]).exits(2).says("file/unwritable");
    assert_eq!(project.run(&["scenario", "r.jsonl"]).exits(0).stdout, made);
}

#[test]
fn what_happens_in_a_simulation_becomes_a_scenario() {
    let project = Project::new();
    let mut sim = Sim::start(&project, &["--record", "sim.jsonl"]);
    let port: u16 = sim.out().rsplit(':').next().unwrap().parse().unwrap();
    sim.type_line("plug_in 2");
    sim.type_line("plug_in 2");
    assert!(sim.err().contains("came to nothing"));
    sim.type_line("set_verdict BOB Blocked");
    sim.type_line("present_token BOB");
    sim.type_line("present_token ALICE");
    wait_for("the token to be used", || project.read("sim.jsonl").contains("UsedToStart").then_some(()));
    let mut asked = "";
    if let Some(tool) = clients::mosquitto("mosquitto_pub") {
        let module = "everest_api/1/auth_consumer/auth_api";
        let request = format!("{{\"headers\": {{\"replyTo\": \"{module}/e2m/r\"}}, \"payload\": {{\"evse_id\": 2}}}}");
        publish(&tool, port, &["-t", &format!("{module}/m2e/communication_check"), "-m", "true", "-q", "1"]);
        publish(&tool, port, &["-t", &format!("{module}/m2e/withdraw_authorization"), "-m", &request, "-q", "1"]);
        wait_for("the reply", || project.read("sim.jsonl").contains("Withdrawn").then_some(()));
        asked = "  - withdraw: {evse_id: 2}\n";
    }
    sim.type_line("restart_everest");
    sim.type_line("present_token ALICE");
    let uses = || project.read("sim.jsonl").matches("UsedToStart").count();
    wait_for("the token to be used again", || (uses() == 2).then_some(()));
    assert_eq!(sim.end(Signal::SIGTERM), Some(0));
    for side in ["client", "everest"] {
        let made = project.run(&["scenario", "sim.jsonl", "--side", side]).exits(0).stdout;
        for line in [
            "  - plug_in: {evse: 2}\n",
            "    BOB: {value: \"0412345678ABCD\", type: ISO14443, verdict: Blocked}\n",
            "  - present_token: BOB\n  - expect_status: {token: BOB, sequence: [Processing, Rejected]}\n",
            asked,
            "  - restart_everest\n",
        ] {
            assert!(made.contains(line), "{line}\n{made}");
        }
        // Khumbu's own station would refuse it; what another one does is its affair.
        assert_eq!(made.contains("`plug_in` came to nothing"), side == "client", "{made}");
        project.write("made.yaml", &made);
        project.run(&["check", "made.yaml"]).exits(0);
        project.run(&["run", "made.yaml"]).exits(0);
    }
    project.run(&["sim", "--record", "no/such/r.jsonl/x", "--listen", "nowhere"]).exits(2);
    project.write("taken", "");
    project.run(&["sim", "--record", "taken/r.jsonl"]).exits(2).says("usage/unwritable-recording");
    project.run(&["sim", "--record", "r.jsonl", "--gateway", "127.0.0.1:0"]).exits(2);
}

#[test]
fn what_a_fault_did_to_the_wire_is_said() {
    let project = Project::new();
    project.write("own.yaml", &of_suite("client/fault_reply_lost"));
    project.run(&["run", "own.yaml", "--record", "own.jsonl"]).exits(0);
    let made = project.run(&["scenario", "own.jsonl"]).exits(0);
    made.says("recording/not-expressed").says("a step `drop` was here, of which no message shows more");
}

/// Nobody was connected: a scenario of that for a client may not pass with one that does nothing.
#[test]
fn a_simulation_without_a_client_demands_that_one_is_there() {
    let project = Project::new();
    let mut sim = Sim::start(&project, &["--record", "sim.jsonl"]);
    sim.out();
    sim.type_line("present_token ALICE");
    wait_for("the token to be used", || project.read("sim.jsonl").contains("UsedToStart").then_some(()));
    assert_eq!(sim.end(Signal::SIGTERM), Some(0));
    project.write("made.yaml", &project.run(&["scenario", "sim.jsonl", "--side", "client"]).exits(0).stdout);
    let checked = project.run(&["check", "made.yaml"]).exits(0);
    assert!(!checked.stderr.contains("scenario/demands-nothing"), "{}", checked.stderr);
    project.run(&["run", "made.yaml"]).exits(0);
    project.run(&["run", "made.yaml", "--module", "builtin:client?bug=never_checks"]).exits(1);
}

//! Conforming clients that were written without a thought of khumbu must earn no false verdict, however they go about
//! their subscriptions.

use std::path::Path;

use crate::clients;
use crate::project::{Project, Ran, WITHDRAW, fixture, python_module};

/// Modules, and what to call them.
fn strangers() -> Vec<String> {
    let ways = ["at-once", "late", "one-by-one", "session"];
    let mut strangers: Vec<_> =
        ways.iter().filter_map(|way| Some(format!("{} --way {way}", python_module("stranger.py")?))).collect();
    // Modules in JavaScript find MQTT.js through a link that `ci/provision` makes.
    let node = clients::node().filter(|_| Path::new(&fixture("node_modules")).exists());
    strangers.extend(node.map(|(node, _)| format!("{} {}", node.display(), fixture("modules/stranger.mjs"))));
    strangers
}

#[test]
fn a_stranger_sees_all_that_a_scenario_shows() {
    let project = Project::new();
    let (display, cut_off) = (fixture("verdicts/client_display.yaml"), fixture("verdicts/client_display_cut_off.yaml"));
    std::thread::scope(|scope| {
        for module in strangers() {
            let (project, display, cut_off) = (&project, &display, &cut_off);
            scope.spawn(move || {
                let ran = project.play(&[display, cut_off, "--module", &module, "--ready-within", "30s"]).exits(0);
                for scenario in ran.report()["scenarios"].as_array().unwrap() {
                    let mut notes = scenario["notes"].as_array().unwrap().iter();
                    assert!(notes.all(|note| note["id"] == "scenario/demands-nothing"), "{module}\n{scenario:#}");
                    let evidence = &scenario["evidence"];
                    assert_eq!(evidence["shown"]["token_validation_status"], 3, "{module}\n{scenario:#}");
                    assert!(evidence["not_shown"].as_object().unwrap().is_empty(), "{module}\n{scenario:#}");
                }
            });
        }
    });
}

#[test]
fn nothing_is_held_against_a_reader_with_cards_and_a_backend_with_a_table_of_its_own() {
    let (Some(reader), Some(backend)) = (python_module("stranger_reader.py"), python_module("stranger_backend.py"))
    else {
        return;
    };
    let project = Project::new();
    for (side, module, passed) in [("provider", reader, 1), ("validator", backend, 2)] {
        let ran = project.play(&[&fixture(&format!("../scenarios/{side}")), "--module", &module, "-j", "4"]).exits(3);
        for scenario in ran.report()["scenarios"].as_array().unwrap() {
            let failures = scenario["failures"].as_array().unwrap();
            let told: Vec<_> = failures.iter().map(|it| (it["id"].as_str().unwrap(), &it["not_exercised"])).collect();
            for (id, not_exercised) in &told {
                assert!(["module/not-drivable", "module/acts-by-itself"].contains(id), "{scenario:#}");
                assert_eq!(**not_exercised, true, "{scenario:#}");
            }
        }
        assert!(ran.report()["summary"]["pass"].as_u64().unwrap() >= passed, "{}", ran.report());
    }
}

#[test]
fn a_backend_is_judged_where_it_knows_the_tokens_of_the_scenario() {
    let Some(backend) = python_module("stranger_backend.py") else { return };
    let project = Project::with(&[(
        "t.yaml",
        "description: x\nunder_test: client\napi: auth_token_validator\nstation:\n  tokens:\n    \
         ALICE: {value: \"04A2F3B1\", type: ISO14443}\nsteps:\n  - present_token: ALICE\n  \
         - expect_reply: {payload: {authorization_status: Accepted}}\n",
    )]);
    project.play(&["t.yaml", "--module", &backend]).exits(3).fails_with(&["module/acts-by-itself"]);
    project.write("khumbu.yaml", "module: {bindings: {set_verdict: {by_itself: 1s}}}\n");
    project.play(&["t.yaml", "--module", &backend]).exits(1).fails_with(&["expect/payload-mismatch"]);
}

/// Dies at a status that it does not know.
const BRITTLE: &str = "
import os
from consumer import Consumer, arguments
class Brittle(Consumer):
    def on_message(self, topic, payload):
        if b'UsedToReserve' in payload:
            os._exit(7)
        super().on_message(topic, payload)
module = Brittle(arguments('').parse_args())
module.control = 'nothing/here'
module.run()
";

#[test]
fn a_play_judges_whoever_was_not_prepared() {
    let (Some(display), Some(python)) = (python_module("stranger.py"), clients::python()) else { return };
    let (Some(reader), Some(backend)) = (python_module("stranger_reader.py"), python_module("stranger_backend.py"))
    else {
        return;
    };
    let plays = |below: &str| fixture(&format!("../scenarios/plays/{below}"));
    let project = Project::with(&[("brittle.py", BRITTLE)]);
    project.play(&[&plays("provider"), "--module", &reader, "-j", "4"]).exits(0);
    // It never changes its mind.
    let ran = project.play(&[&plays("validator"), "--module", &backend, "-j", "4"]).exits(3);
    assert_eq!(ran.fails_with(&["module/not-exercised"]).report()["summary"]["inconclusive"], 1);
    project.play(&[&plays("validator/questions.yaml"), "--module", &backend, "--external-prefix", "plant7/"]).exits(0);
    // One that takes no external prefix is not put to that test.
    let behind = plays("validator/external_prefix.yaml");
    let bare = format!("env EV_MQTT_EXTERNAL_PREFIX= {backend}");
    project.play(&[&behind, "--module", &backend]).exits(0);
    let ran = project.play(&[&behind, "--module", &bare]).exits(3).says("module/takes-no-prefix");
    assert_eq!(ran.report()["scenarios"][0]["failures"][0]["not_exercised"], true);
    let display = format!("{display} --way at-once");
    project.play(&[&plays("consumer/statuses.yaml"), "--module", &display]).exits(0);
    // It asks for nothing: then nothing that follows from that is judged, and the rest is.
    let ran = project.play(&[&plays("consumer/latched_seen.yaml"), "--module", &display]).exits(3);
    let failures = &ran.report()["scenarios"][0]["failures"];
    let ids: Vec<_> = failures.as_array().unwrap().iter().map(|it| (&it["id"], &it["not_exercised"])).collect();
    assert_eq!(ids.len(), 1, "{failures:#}");
    assert!(ids.iter().all(|(id, exercised)| **id == "module/not-exercised" && **exercised == true), "{failures:#}");
    let brittle = format!("{} brittle.py", python.display());
    let future = plays("consumer/future_statuses.yaml");
    project.play(&[&future, "--module", &brittle]).exits(1).fails_with(&["module/ended"]).says("exited with code 7");
}

/// Takes back every 4 s what was granted, whatever becomes of it; some do not survive that it is rejected.
const TIMER: &str = "
import json, os, sys
from consumer import Consumer, arguments
class Timer(Consumer):
    def __init__(self, args):
        super().__init__(args)
        self.control, self.evses = 'nothing/here', []
    def on_ready(self):
        super().on_ready()
        self.after(4, self.tick)
    def tick(self):
        for evse in self.evses:
            self.request('withdraw_authorization', {'evse_id': evse})
        self.evses = []
        self.after(4, self.tick)
    def on_message(self, topic, payload):
        if topic in self.requests and payload == b'\"Rejected\"' and sys.argv[-1] == 'brittle':
            os._exit(9)
        super().on_message(topic, payload)
        if topic.endswith('/token_validation_status') and b'Accepted' in payload:
            self.evses += json.loads(payload)['token'].get('connectors', [])
parser = arguments('')
parser.add_argument('what')
Timer(parser.parse_args()).run()
";

#[test]
fn a_display_that_withdraws_now_and_then_is_waited_for() {
    let Some(python) = clients::python() else { return };
    let project = Project::with(&[("timer.py", TIMER)]);
    let module = |what: &str| format!("{} timer.py {what}", python.display());
    let replies = fixture("../scenarios/plays/consumer/withdraw_replies.yaml");
    let ran = project.play(&[&replies, "--module", &module("brittle")]).exits(1).fails_with(&["module/ended"]);
    ran.says("exited with code 9").says("requirement: WD-13");
    let withdrawn = fixture("../scenarios/plays/consumer/withdrawn.yaml");
    project.play(&[&withdrawn, "--module", &module("sturdy")]).exits(0);
}

#[test]
fn what_a_module_did_not_do_in_one_scenario_is_not_waited_for_in_the_next() {
    let Some(display) = python_module("stranger.py") else { return };
    let project = Project::new();
    let play = |name: &str| fixture(&format!("../scenarios/plays/consumer/{name}.yaml"));
    let module = format!("{display} --way at-once");
    let (first, second) = (play("withdrawn"), play("withdrawn_after_reply"));
    let ran = project.play(&[&first, &second, "--module", &module, "-j", "1"]).exits(3);
    let report = ran.fails_with(&["module/not-exercised"]).report();
    let waited = |index: usize| {
        let evidence = report["scenarios"][index]["failures"][0]["evidence"].as_array().unwrap();
        evidence.iter().find_map(|line| line.as_str().unwrap().strip_prefix("waited ")).unwrap().to_owned()
    };
    assert_eq!(waited(0), "6s");
    assert!(waited(1).starts_with("2"), "{}", waited(1));
}

#[test]
fn a_play_waits_as_long_as_the_user_says_that_it_takes() {
    let Some(display) = python_module("stranger.py") else { return };
    let project = Project::with(&[("khumbu.yaml", "module: {bindings: {withdraw: {by_itself: 7s}}}\n")]);
    let withdrawn = fixture("../scenarios/plays/consumer/withdrawn.yaml");
    let module = format!("{display} --way at-once");
    project.play(&[&withdrawn, "--module", &module]).exits(3).says("waited 7s");
}

#[test]
fn an_external_prefix_of_a_scenario_is_one_and_for_clients() {
    let with = |prefix: &str, side: &str| {
        format!("description: x\nexternal_prefix: {prefix}\nunder_test: {side}\nsteps: [note: x]\n")
    };
    for (prefix, side, says) in [("\"a/+/\"", "client", "scenario/bad-topic"), ("a/", "everest", "scenario/other-side")]
    {
        let project = Project::with(&[("s.yaml", &with(prefix, side))]);
        project.run(&["check", "s.yaml"]).exits(2).says(says);
    }
    Project::with(&[("s.yaml", &with("a/", "client"))]).run(&["check", "s.yaml"]).exits(0);
}

#[test]
fn what_has_to_be_told_is_known_before() {
    let project = Project::with(&[("w.yaml", WITHDRAW)]);
    let display = fixture("verdicts/client_display.yaml");
    let ran = project.run(&["check", "--told", "w.yaml", &display]).exits(0);
    let wanted = "w.yaml:4: withdraw\n1 of 2 scenarios need a module that can be told what to do\n2 scenarios checked, no errors\n";
    assert!(ran.stdout.ends_with(wanted), "{}", ran.stdout);
}

#[test]
fn a_scenario_that_asks_nothing_is_warned_of_and_a_pass_says_what_it_rests_on() {
    let project = Project::new();
    let display = fixture("verdicts/client_display.yaml");
    project
        .run(&["check", &display])
        .exits(0)
        .says("warning[scenario/demands-nothing]")
        .says("client_display.yaml:9:3");
    let ran = project.run(&["run", &display, "--junit", "report.xml"]).exits(0);
    assert!(ran.stdout.contains("shown 3, did "), "{}", ran.stdout);
    let report = project.read("report.xml");
    assert!(report.contains("<property name=\"evidence\" value=\"shown 3 token_validation_status; did "), "{report}");
}

#[test]
fn who_speaks_on_after_what_reads_has_ended_is_found_by_cutting_it_off() {
    let Some(module) = python_module("stranger.py") else { return };
    let project = Project::new();
    let played = |how: &str, more: &[&str]| {
        let module = format!("{module} --way at-once {how}");
        let flags = ["conform", "--side", "client", "--api", "auth_consumer", "--module", &module];
        project.run(&[&flags[..], more].concat())
    };
    std::thread::scope(|scope| {
        let deaf = scope.spawn(|| played("--qos 0 --careless", &[]).exits(1));
        let well = scope.spawn(|| played("--qos 0", &[]).exits(0));
        // Nothing shows that it would come back.
        let alone = scope.spawn(|| played("--qos 0 --careless", &["-k", "plays/consumer/broken.yaml"]).exits(0));
        // It ends over the first message that it would have to acknowledge.
        let at_qos_1 = scope.spawn(|| played("--careless", &[]).exits(1));
        let told = |ran: std::thread::ScopedJoinHandle<'_, Ran>| ran.join().unwrap().stdout;
        for (told, says) in [(told(deaf), "fail[module/reads-no-more]"), (told(at_qos_1), "fail[module/")] {
            let broken: Vec<_> = told.lines().filter(|line| line.contains(" is broken (")).collect();
            assert!(broken.len() == 1 && broken[0].starts_with("CN-2 ") && told.contains(says), "{told}");
        }
        assert!(!told(well).contains("reads-no-more"));
        assert!(told(alone).contains("warning[module/reads-no-more]"));
    });
}

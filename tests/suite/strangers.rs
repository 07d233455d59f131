//! Conforming clients that were written without a thought of khumbu must earn no false verdict, however they go about
//! their subscriptions.

use std::path::Path;

use crate::clients;
use crate::project::{Project, fixture, python_module};

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
                    assert_eq!(scenario["notes"].as_array().unwrap().len(), 0, "{module}\n{scenario:#}");
                    let evidence = &scenario["evidence"];
                    assert_eq!(evidence["shown"]["token_validation_status"], 3, "{module}\n{scenario:#}");
                    assert!(evidence["not_shown"].as_object().unwrap().is_empty(), "{module}\n{scenario:#}");
                }
            });
        }
    });
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

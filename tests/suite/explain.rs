//! `khumbu explain`: every message and every requirement, by the word that stands in what khumbu prints.

use khumbu::conformance::requirements;
use khumbu::diagnostic::catalogue;

use crate::project::Project;

#[test]
fn every_message_and_every_requirement_is_explained() {
    let project = Project::new();
    for entry in catalogue::entries() {
        let text = entry.plain(100);
        assert!(text.contains("Cause. ") && text.contains("\n    ") && text.contains("Cure. "), "{}: {text}", entry.id);
        assert!(!text.contains("**") && !text.contains("```"), "{}: {text}", entry.id);
    }
    let ran = project.run(&["explain", "monitor/second-reply"]).exits(0);
    assert!(ran.stdout.starts_with("monitor/second-reply\n\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\n    fail[monitor/second-reply]: "), "{}", ran.stdout);
    for id in requirements::ids() {
        let ran = project.run(&["explain", &id.to_lowercase()]).exits(0);
        assert!(ran.stdout.starts_with(id) && ran.stdout.contains("source: "), "{}", ran.stdout);
    }
}

#[test]
fn a_message_is_found_as_it_stands_on_the_screen() {
    let project = Project::new();
    for written in [
        "fail[monitor/second-reply]: module sent 2 replies to one request",
        "fail[monitor/second-reply]",
        "[monitor/second-reply]",
        " Monitor/Second-Reply: ",
    ] {
        let ran = project.run(&["explain", written]).exits(0);
        assert!(ran.stdout.starts_with("monitor/second-reply\n"), "{}", ran.stdout);
    }
}

#[test]
fn all_messages_are_listed_and_a_typing_error_is_answered() {
    let project = Project::new();
    let ran = project.run(&["explain"]).exits(0);
    let ids: Vec<_> = ran.stdout.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(ids, catalogue::entries().map(|entry| entry.id).collect::<Vec<_>>());
    let ran = project.run(&["explain", "monitor/second-replay"]).exits(2);
    assert!(ran.stderr.contains("did you mean `monitor/second-reply`?"), "{}", ran.stderr);
    let ran = project.run(&["explain", "second-reply"]).exits(2);
    assert!(ran.stderr.contains("did you mean `monitor/second-reply`?"), "{}", ran.stderr);
    let ran = project.run(&["explain", "WD-99"]).exits(2);
    assert!(ran.stderr.starts_with("error[usage/unknown-id]: `WD-99` is neither"), "{}", ran.stderr);
}

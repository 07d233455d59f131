//! Goldens from the first run to the review: written once, compared ever after, the same bytes however they came about.

use std::collections::BTreeSet;

use crate::clients;
use crate::project::{Project, Ran, Running, fixture, python_module};

/// Much that may happen in any order, and a token with more letters than ASCII has.
const TALK: &str = r#"
description: "Two tokens, \"requests\" and a status: größer als ASCII"
under_test: everest
golden: true
station:
  evses: 2
  auth_consumer: {cfg_heartbeat_interval_ms: 15}
  tokens:
    ALICE: {value: "04A2F3B1", type: ISO14443, connectors: [1]}
    BOB: {value: "04C0FFEE", type: ISO14443, connectors: [2], verdict_after: 5ms}
steps:
  - expect: {message: heartbeat, payload: 2}
  - present_token: ALICE
  - present_token: BOB
  - any_order:
      - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}
      - expect_status: {token: BOB, sequence: [Processing, Accepted, UsedToStart]}
  - withdraw: {token: ALICE, as: one}
  - withdraw: {evse_id: 2, as: two}
  - any_order:
      - expect_reply: {to: one, payload: Accepted}
      - expect_reply: {to: two, payload: Accepted}
      - expect_status: {token: ALICE, status: Withdrawn}
      - expect_status: {token: BOB, status: Withdrawn}
  - get_status: {}
  - expect_reply: {payload: {status: Withdrawn}}
"#;

/// The same from the other side.
const CLIENT: &str = r#"
description: A client that is busy.
under_test: client
golden: true
station:
  auth_consumer: {cfg_heartbeat_interval_ms: 15}
  tokens:
    ALICE: {value: "04A2F3B1", type: ISO14443, connectors: [1]}
steps:
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}
  - withdraw: {token: ALICE}
  - any_order:
      - expect_reply: Accepted
      - expect_status: {token: ALICE, status: Withdrawn}
  - get_status: {}
  - expect_reply: {payload: {status: Withdrawn}}
"#;

fn in_ci(project: &Project, arguments: &[&str]) -> Ran {
    let mut command = project.command(&[&["run"], arguments, &["--json", "-"]].concat());
    command.env("CI", "true");
    Running::start(command).finish()
}

#[test]
fn a_golden_is_written_reviewed_compared_and_updated() {
    let project = Project::with(&[("s/talk.yaml", TALK)]);
    project.play(&["s"]).exits(1).fails_with(&["golden/missing"]).says("khumbu review");
    assert!(!project.path("s/talk.snap").exists());
    let pending = project.read("s/talk.snap.new");
    project.run(&["review", "s", "--list"]).exits(1);
    project.run(&["review", "s", "--accept"]).exits(0);
    assert_eq!(project.read("s/talk.snap"), pending);
    assert!(!project.path("s/talk.snap.new").exists());
    project.play(&["s"]).exits(0);
    // What the scenario demands stays met, but something else is said.
    project.write(
        "s/talk.yaml",
        &TALK.replace("verdict_after: 5ms", "verdict_after: 5ms, parent_id_token: {value: GROUP, type: Central}"),
    );
    let ran = project.play(&["s"]).exits(1).fails_with(&["golden/mismatch"]);
    assert!(ran.stderr.contains("GROUP") && ran.stderr.contains("talk.snap:"), "{}", ran.stderr);
    assert_eq!(project.read("s/talk.snap"), pending, "a run never changes a golden");
    project.run(&["review", "s", "--reject"]).exits(0);
    project.play(&["s", "--update"]).exits(0);
    assert!(project.read("s/talk.snap").contains("GROUP") && !project.path("s/talk.snap.new").exists());
    project.play(&["s"]).exits(0);
    // Once more as it was: the pending one goes when the run agrees again.
    project.write("s/talk.yaml", TALK);
    project.play(&["s"]).exits(1);
    assert!(project.path("s/talk.snap.new").exists());
    project.write("s/talk.snap", &pending);
    project.play(&["s"]).exits(0);
    assert!(!project.path("s/talk.snap.new").exists());
}

#[test]
fn ci_writes_nothing_and_fails_for_what_nobody_claims() {
    let project = Project::with(&[("s/talk.yaml", TALK)]);
    in_ci(&project, &["s"]).exits(1).fails_with(&["golden/missing"]);
    assert!(!project.path("s/talk.snap.new").exists());
    project.play(&["s", "--update"]).exits(0);
    in_ci(&project, &["s"]).exits(0);
    project.write("s/gone.snap", &project.read("s/talk.snap"));
    in_ci(&project, &["s"]).exits(1).says("golden/orphan").says("s/gone.snap");
    // Elsewhere it is told, and nothing more.
    project.play(&["s"]).exits(0).says("golden/orphan");
    // A scenario that is not chosen still claims its golden.
    std::fs::remove_file(project.path("s/gone.snap")).unwrap();
    project.write("s/p.yaml", crate::project::PASS);
    in_ci(&project, &["s", "-k", "p.yaml"]).exits(0);
}

#[test]
fn goldens_that_cannot_be_read_or_written_are_told() {
    let project = Project::with(&[("s/talk.yaml", TALK), ("s/talk.snap", "no front matter")]);
    project.run(&["run", "s"]).exits(2).says("golden/unreadable").says("talk.snap");
    std::fs::remove_file(project.path("s/talk.snap")).unwrap();
    project.write("s/talk.snap.new/in/the/way", "");
    project.run(&["run", "s"]).exits(3).says("golden/unwritable");
    std::fs::remove_dir_all(project.path("s/talk.snap.new")).unwrap();
    project.play(&["s"]).exits(1);
    project.write("s/talk.snap/in/the/way", "");
    project.run(&["review", "s", "--accept"]).exits(3).says("golden/unwritable");
}

#[test]
fn insta_reads_what_khumbu_writes() {
    let project = Project::with(&[("talk.yaml", TALK)]);
    project.play(&["talk.yaml"]).exits(1);
    let pending = insta::Snapshot::from_file(&project.path("talk.snap.new")).unwrap();
    assert_eq!(pending.metadata().source(), Some("talk.yaml"));
    assert!(pending.metadata().description().unwrap().contains("größer"));
    let insta::internals::SnapshotContents::Text(contents) = pending.contents() else { panic!("no text") };
    assert!(contents.to_string().contains("withdraw_authorization"));
}

/// The pending goldens of a number of runs, each once, without the line that names the scenario.
fn transcripts(scenario: &str, module: &str, serial: usize, parallel: usize) -> BTreeSet<String> {
    let project = Project::with(&[("one/talk.yaml", scenario)]);
    for n in 0..parallel {
        project.write(&format!("many/{n}.yaml"), scenario);
    }
    let mut seen = BTreeSet::new();
    let mut take = |name: &str| {
        let text = project.read(name);
        seen.insert(text.lines().filter(|line| !line.starts_with("source:")).collect::<Vec<_>>().join("\n"));
        std::fs::remove_file(project.path(name)).unwrap();
    };
    for _ in 0..serial {
        project.play(&["one", "-j", "1", "--module", module]).exits(1).fails_with(&["golden/missing"]);
        take("one/talk.snap.new");
    }
    project.play(&["many", "-j", "8", "--module", module]).exits(1).fails_with(&["golden/missing"]);
    for n in 0..parallel {
        take(&format!("many/{n}.snap.new"));
    }
    seen
}

#[test]
fn the_same_bytes_in_a_hundred_runs() {
    for (scenario, own, other) in [(TALK, "builtin:everest", "everest.py"), (CLIENT, "builtin:client", "consumer.py")] {
        let seen = transcripts(scenario, own, 50, 50);
        assert_eq!(seen.len(), 1, "{own}: {seen:#?}");
        let Some(module) = python_module(other) else { continue };
        let seen = transcripts(scenario, &module, 4, 16);
        assert_eq!(seen.len(), 1, "{other}: {seen:#?}");
    }
}

#[test]
fn a_changed_module_differs_from_the_golden() {
    let Some(python) = clients::python() else { return };
    let project = Project::with(&[
        ("talk.yaml", CLIENT),
        (
            "chatty.py",
            "
from consumer import Consumer, arguments
class Chatty(Consumer):
    def request(self, operation, payload):
        super().request(operation, payload | {'evse_id': 1} if operation.startswith('withdraw') else payload)
Chatty(arguments('').parse_args()).run()
",
        ),
        (
            "louder.py",
            "
from consumer import Consumer, arguments
class Louder(Consumer):
    def publish(self, topic, payload, qos=1, retain=False):
        return super().publish(topic, payload, qos=2)
Louder(arguments('').parse_args()).run()
",
        ),
    ]);
    let module = |name: &str| format!("{} {name}", python.display());
    project.play(&["talk.yaml", "--update", "--module", &module(&fixture("modules/consumer.py"))]).exits(0);
    project.play(&["talk.yaml", "--module", &module("louder.py")]).exits(1).fails_with(&["golden/mismatch"]).says("q2");
    project.play(&["talk.yaml", "--module", &module("chatty.py")]).exits(1).fails_with(&["expect/payload-mismatch"]);
}

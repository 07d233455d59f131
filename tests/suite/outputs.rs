//! Whatever is written and does not arrive is said, and is no pass; and what editors add to a text does no harm.

use std::fs::File;
use std::process::Stdio;

use crate::project::{FAIL, PASS, Project, REPLY, Ran, Running};

/// A scenario with a golden.
const WITH_GOLDEN: &str = "\
description: EVerest's side answers.
under_test: everest
golden: true
steps:
  - withdraw: {evse_id: 1}
  - expect_reply: AuthorizationNotFound
";

/// A place for output from which nobody gets anything.
#[derive(Clone, Copy)]
enum Nowhere {
    /// A disk without room.
    Full,
    /// A pipe that nobody reads.
    Closed,
}

impl Nowhere {
    fn open(self) -> Stdio {
        match self {
            Nowhere::Full => File::options().write(true).open("/dev/full").unwrap().into(),
            Nowhere::Closed => {
                let (_, writer) = std::io::pipe().unwrap();
                writer.into()
            }
        }
    }
}

fn into_nowhere(project: &Project, arguments: &[&str], nowhere: Nowhere) -> Ran {
    let mut command = project.command(arguments);
    command.stdout(nowhere.open());
    Running::start(command).finish()
}

#[test]
fn standard_output_that_is_lost_is_said_once_and_is_no_pass() {
    let project = Project::with(&[
        ("p.yaml", PASS),
        ("broken.yaml", "steps: ["),
        ("golden.yaml", WITH_GOLDEN),
        ("golden.snap.new", "---\nsource: x\n---\nanything\n"),
        (
            "r.jsonl",
            "{\"t_ms\": 0, \"topic\": \"everest_api/1/auth_consumer/auth_api/e2m/heartbeat\", \"payload\": 0}\n",
        ),
        ("st.yaml", "evses: 1\n"),
    ]);
    let cases: &[(&[&str], &str)] = &[
        (&["--version"], "run/output-lost"),
        (&["--help"], "run/output-lost"),
        (&["schema"], "run/output-lost"),
        (&["check", "p.yaml"], "run/output-lost"),
        (&["run", "p.yaml"], "run/output-lost"),
        (&["run", "p.yaml", "--json", "-"], "run/report-lost"),
        (&["run", "p.yaml", "--junit", "-"], "run/report-lost"),
        (&["review"], "run/output-lost"),
        (&["review", "--list", "golden.yaml"], "run/output-lost"),
        (&["parity", "r.jsonl", "--station", "st.yaml"], "run/output-lost"),
        (&["parity", "r.jsonl", "--station", "st.yaml", "--json", "-"], "run/report-lost"),
        (&["sim", "--list-deviations"], "run/output-lost"),
        // Nobody has learnt where it can be reached.
        (&["sim"], "run/output-lost"),
        (&["sim", "--gateway", "127.0.0.1:0"], "run/output-lost"),
    ];
    std::thread::scope(|scope| {
        for nowhere in [Nowhere::Full, Nowhere::Closed] {
            let project = &project;
            scope.spawn(move || {
                for (arguments, id) in cases {
                    let ran = into_nowhere(project, arguments, nowhere).exits(3).says(id);
                    assert_eq!(ran.stderr.matches("could not be written").count(), 1, "{arguments:?}\n{}", ran.stderr);
                }
            });
        }
    });
}

#[test]
fn messages_that_are_lost_are_no_pass_either() {
    let project = Project::with(&[("p.yaml", PASS), ("f.yaml", FAIL), ("broken.yaml", "steps: [")]);
    for arguments in [&["check", "broken.yaml"][..], &["run", "f.yaml", "--json", "-"], &["run", "--no-such-flag"]] {
        for nowhere in [Nowhere::Full, Nowhere::Closed] {
            let mut command = project.command(arguments);
            command.stderr(nowhere.open());
            Running::start(command).finish().exits(3);
        }
    }
}

#[test]
fn files_that_are_lost_are_said_and_are_no_pass() {
    let project = Project::with(&[("p.yaml", PASS), ("golden.yaml", WITH_GOLDEN), ("r.jsonl", ""), ("st.yaml", "")]);
    for flag in ["--json", "--junit"] {
        project.run(&["run", "p.yaml", flag, "/dev/full"]).exits(3).says("report `/dev/full` could not be written");
    }
    project
        .run(&["run", "p.yaml", "--record", "/dev/full"])
        .exits(3)
        .says("recording `/dev/full` could not be written");
    for update in [&[][..], &["--update"]] {
        std::os::unix::fs::symlink("/dev/full", project.path("golden.snap.new")).unwrap();
        project.run(&[&["run", "golden.yaml"], update].concat()).exits(3).says("golden/unwritable");
        assert!(!project.path("golden.snap.new").exists() && !project.path("golden.snap").exists());
        project.run(&["review", "--list"]).exits(0);
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_any_text() {
    let marked = |text: &str| format!("\u{feff}{text}");
    let project = Project::with(&[
        ("golden.yaml", &marked(WITH_GOLDEN)),
        ("station.yaml", &marked("evses: 1\n")),
        ("khumbu.yaml", &marked("scenarios: [golden.yaml]\n")),
        ("reply.yaml", &marked(REPLY)),
        ("wrong.yaml", &marked("descripton: x\nunder_test: client\nsteps: []\n")),
    ]);
    project.run(&["check", "golden.yaml"]).exits(0);
    project
        .run(&["check", "wrong.yaml"])
        .exits(2)
        .says("wrong.yaml:1:1\n  |\n1 | descripton: x\n  | ^^^^^^^^^^ did you");
    project.run(&["run", "--update"]).exits(0);
    let golden = project.read("golden.snap");
    project.write("golden.snap", &marked(&golden));
    project.run(&["run"]).exits(0);
    project.run(&["run", "reply.yaml", "--station", "station.yaml"]);
    let line = "{\"t_ms\": 0, \"topic\": \"everest_api/1/auth_consumer/auth_api/e2m/heartbeat\", \"payload\": 0}\n";
    project.write("r.jsonl", &marked(line));
    project.run(&["parity", "r.jsonl", "--station", "station.yaml"]).says("");
}

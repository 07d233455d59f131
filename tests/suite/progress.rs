//! What `khumbu run` shows at a terminal while it runs.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::project::Project;
use crate::terminal::Terminal;

/// What no conforming client does by itself, waited for as long as a user would wonder.
const SLOW: &str = "\
description: A client ends the checking by itself.
under_test: client
steps:
  - note: A conforming client does not.
  - expect: {message: communication_check, payload: false, within: 6s}
";

const STEP: &str = "slow.yaml:5 expect: {message: communication_check, payload: false, within: 6s}";

#[test]
fn what_is_waited_for_is_shown_with_the_time_that_is_left() {
    let project = Project::with(&[("slow.yaml", SLOW)]);
    for command in [&["run", "slow.yaml"][..], &["run", "slow.yaml", "--repeat", "2"]] {
        let mut terminal = Terminal::start(&project, command);
        terminal.until("the step", |terminal| {
            let screen = terminal.screen();
            let line = screen.lines().find(|line| line.contains(STEP))?;
            (line.contains("  (at most ") && line.ends_with(" s more)")).then_some(())
        });
        assert_eq!(terminal.end(), Some(1));
        // What is over is waited for no more.
        terminal.until("the summary", |terminal| terminal.screen().contains("1 failed").then_some(()));
        assert!(!terminal.screen().contains(" s more)"), "{}", terminal.screen());
    }
}

/// The harness is held up, so that it prolongs the wait.
#[test]
fn the_time_that_is_left_never_grows() {
    let project = Project::with(&[("slow.yaml", SLOW)]);
    let mut terminal = Terminal::start(&project, &["run", "slow.yaml"]);
    terminal.until_shown("(at most 4 s more)");
    terminal.signal(Signal::SIGSTOP);
    // The hold-up itself: nothing is waited for.
    thread::sleep(Duration::from_millis(2500));
    terminal.signal(Signal::SIGCONT);
    assert_eq!(terminal.end(), Some(1));
    terminal.until_shown("1 failed");
    let written = terminal.written();
    let step = format!("{STEP}  (at most ");
    let left: Vec<u64> =
        written.split(step.as_str()).skip(1).map(|rest| rest.split(' ').next().unwrap().parse().unwrap()).collect();
    assert!(left.len() > 1 && left.is_sorted_by(|earlier, later| earlier >= later), "{left:?}");
    assert!(written.contains(&format!("{STEP}  (still waiting)")), "{left:?}");
}

#[test]
fn without_a_terminal_nothing_is_shown_of_it() {
    let project = Project::with(&[("slow.yaml", SLOW)]);
    let ran = project.run(&["run", "slow.yaml"]).exits(1);
    assert!(!ran.stderr.contains("at most") && !ran.stdout.contains(" s more)"), "{} {}", ran.stdout, ran.stderr);
}

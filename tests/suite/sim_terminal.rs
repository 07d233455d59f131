//! `khumbu sim` at a terminal: what is typed is edited, completed and remembered, and messages do not destroy it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;

use crate::printed;
use crate::project::Project;
use crate::terminal::Terminal;

const PROMPT: &str = "khumbu>";
const UP: &str = "\x1b[A";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

/// With a state directory of its own, ready to take commands.
fn start(project: &Project, arguments: &[&str]) -> Terminal {
    let state = project.path("state");
    let command = project.command(&[&["sim"], arguments].concat());
    let terminal = Terminal::of(command, |command| {
        command.env("XDG_STATE_HOME", state);
    });
    terminal.until_shown("mqtt://127.0.0.1:");
    terminal.until_last_line(PROMPT);
    terminal
}

#[test]
fn what_was_followed_is_remembered_and_nothing_else() {
    let project = Project::new();
    let mut terminal = start(&project, &[]);
    assert!(!terminal.edits_lines());
    terminal.type_line(PROMPT, "plug_in 1");
    terminal.until_last_line(PROMPT);
    // What may be somebody's card does not go into a file.
    terminal.type_line(PROMPT, "present_token 04A2F3B1");
    terminal.until_shown("the station has no token `04A2F3B1`; it has ALICE, BOB");
    terminal.until_last_line(PROMPT);
    terminal.press(UP);
    terminal.until_last_line("khumbu> present_token 04A2F3B1");
    terminal.press(CTRL_C);
    terminal.until_last_line(PROMPT);
    terminal.press(CTRL_D);
    assert_eq!(terminal.end(), Some(0));
    assert!(terminal.edits_lines());
    let history = project.read("state/khumbu/sim_history");
    assert_eq!(history, "plug_in 1\n");
    let mode = fs::metadata(project.path("state/khumbu/sim_history")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut terminal = start(&project, &[]);
    terminal.press(UP);
    terminal.until_last_line("khumbu> plug_in 1");
    terminal.press("\r");
    terminal.until_last_line(PROMPT);
}

#[test]
fn the_history_is_limited() {
    let project = Project::new();
    let lines: String = (0..3000).map(|number| format!("heartbeats next {number}\n")).collect();
    project.write("state/khumbu/sim_history", &lines);
    let mut terminal = start(&project, &[]);
    terminal.press(UP);
    terminal.until_last_line("khumbu> heartbeats next 2999");
    terminal.press(CTRL_C);
    terminal.until_last_line(PROMPT);
    terminal.type_line(PROMPT, "plug_in 1");
    terminal.until_last_line(PROMPT);
    terminal.press(CTRL_D);
    assert_eq!(terminal.end(), Some(0));
    let history = project.read("state/khumbu/sim_history");
    assert_eq!(history.lines().count(), 1000);
    assert!(history.ends_with("heartbeats next 2999\nplug_in 1\n") && !history.contains("next 1999\n"));
}

#[test]
fn it_works_without_a_home_and_says_when_nothing_can_be_kept() {
    let project = Project::with(&[("file", "")]);
    let mut terminal = Terminal::of(project.command(&["sim"]), |command| {
        command.env_remove("HOME").env_remove("XDG_STATE_HOME");
    });
    terminal.until_last_line(PROMPT);
    terminal.type_line(PROMPT, "help plug_in");
    terminal.until_shown("For example:");
    terminal.until_last_line(PROMPT);
    terminal.press(CTRL_D);
    assert_eq!(terminal.end(), Some(0));
    assert!(!terminal.written().contains("warning"), "{}", terminal.screen());
    let file = project.path("file");
    let mut terminal = Terminal::of(project.command(&["sim"]), |command| {
        command.env("XDG_STATE_HOME", file);
    });
    terminal.until_shown("warning[sim/no-history]: what is typed cannot be kept in `");
    terminal.until_last_line(PROMPT);
    printed::keep(&terminal.screen());
    terminal.type_line(PROMPT, "plug_in 1");
    terminal.until_last_line(PROMPT);
    terminal.press(CTRL_D);
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn words_are_completed_and_typing_errors_answered() {
    let project = Project::with(&[("station.yaml", "evses: 2\ntokens:\n  CAROL: {value: \"00\", type: Central}\n")]);
    let mut terminal = start(&project, &["--station", "station.yaml"]);
    for (keys, line) in [
        ("plu\t", "khumbu> plug_in EVSE"),
        (CTRL_C, PROMPT),
        ("pres\tC\t", "khumbu> present_token CAROL"),
        (CTRL_C, PROMPT),
        ("set_v\tC\tBl\t", "khumbu> set_verdict CAROL Blocked"),
        (CTRL_C, PROMPT),
        ("help res\t", "khumbu> help restart_everest"),
        (CTRL_C, PROMPT),
    ] {
        terminal.press(keys);
        terminal.until_last_line(line);
    }
    terminal.press("plug_in \t");
    let is_menu = |line: &str| line.split_whitespace().eq(["1", "2"]);
    terminal.until("the EVSEs", |terminal| terminal.screen().lines().any(is_menu).then_some(()));
    terminal.press("\r");
    terminal.until_last_line("khumbu> plug_in 1");
    terminal.press(CTRL_C);
    terminal.until_last_line(PROMPT);
    for (line, answer) in [
        ("plugin 1", "error[sim/command]: unknown command `plugin`; did you mean `plug_in`?"),
        ("help unplg", "error[sim/command]: unknown command `unplg`; did you mean `unplug`?"),
        ("present_token CARLO", "the station has no token `CARLO`; did you mean `CAROL`? it has CAROL"),
        ("set_verdict CAROL blocked", "`blocked` is no verdict; did you mean `Blocked`? there are Accepted, "),
        ("plug_in one", "`one` is no EVSE id; the station has EVSEs 1 to 2"),
        ("exit", "unknown command `exit`; Ctrl-C ends"),
        ("help heartbeats", "    heartbeats every 500ms"),
    ] {
        terminal.type_line(PROMPT, line);
        terminal.until_shown(answer);
        terminal.until_last_line(PROMPT);
    }
}

#[test]
fn messages_do_not_destroy_the_line_that_is_typed() {
    let project = Project::new();
    let mut terminal = start(&project, &["--trace"]);
    terminal.press("plug");
    terminal.until_last_line("khumbu> plug");
    let heartbeats = |terminal: &Terminal| terminal.screen().matches("e2m/heartbeat").count();
    let before = heartbeats(&terminal);
    terminal.until("another heartbeat", |terminal| (heartbeats(terminal) > before + 1).then_some(()));
    assert_eq!(terminal.screen().matches(PROMPT).count(), 1, "{}", terminal.screen());
    terminal.until_last_line("khumbu> plug");
    terminal.press("_in 1\r");
    // It was understood as one word: the EV is there.
    terminal.type_line(PROMPT, "status");
    terminal.until_shown("\"plugged_in\": true");
}

#[test]
fn ctrl_c_gives_a_line_up_and_ends_where_there_is_none() {
    let project = Project::new();
    let mut terminal = start(&project, &[]);
    terminal.press("plug_in 1");
    terminal.until_last_line("khumbu> plug_in 1");
    terminal.press(CTRL_C);
    terminal.until_last_line(PROMPT);
    terminal.type_line(PROMPT, "unplug 1");
    terminal.until_shown("no EV is plugged in");
    terminal.until_last_line(PROMPT);
    terminal.press(CTRL_C);
    assert_eq!(terminal.end(), Some(0));
    assert!(terminal.edits_lines());
    assert!(!terminal.screen().contains("interrupted"), "{}", terminal.screen());
}

#[test]
fn ctrl_c_gives_a_search_of_the_history_up() {
    let project = Project::new();
    let mut terminal = start(&project, &[]);
    terminal.type_line(PROMPT, "plug_in 1");
    terminal.until_last_line(PROMPT);
    terminal.press("\x12plug");
    terminal.until_shown("(search: plug)");
    terminal.press(CTRL_C);
    terminal.until_last_line(PROMPT);
    terminal.type_line(PROMPT, "unplug 2");
    terminal.until_shown("no EV is plugged in");
    terminal.until_last_line(PROMPT);
    terminal.press(CTRL_C);
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn lines_that_come_at_once_are_all_followed() {
    // Line feeds, a paste that has them, the latter with Enter behind it, and both ends of the program.
    for (keys, ends) in [
        ("plug_in 1\nplug_in 2\nsta", false),
        ("\x1b[200~plug_in 1\nplug_in 2\n\x1b[201~sta", false),
        ("\x1b[200~plug_in 1\r\nplug_in 2\x1b[201~\rsta", false),
        ("plug_in 1\nplug_in 2\n\x03", true),
        ("plug_in 1\nplug_in 2\n\x04", true),
    ] {
        let project = Project::new();
        let mut terminal = start(&project, &[]);
        terminal.press(keys);
        if !ends {
            terminal
                .until("what is still typed", |terminal| terminal.last_line().starts_with("khumbu> sta").then_some(()));
            terminal.press("tus\n");
            terminal.until("both EVs", |terminal| {
                (terminal.screen().matches("\"plugged_in\": true").count() == 2).then_some(())
            });
            terminal.until_last_line(PROMPT);
            for line in ["status", "plug_in 2", "plug_in 1"] {
                terminal.press(UP);
                terminal.until_last_line(&format!("khumbu> {line}"));
            }
            terminal.press(CTRL_C);
            terminal.until_last_line(PROMPT);
            terminal.press(CTRL_D);
        }
        assert_eq!(terminal.end(), Some(0), "{keys:?}");
        let history = project.read("state/khumbu/sim_history");
        assert_eq!(history, if ends { "plug_in 1\nplug_in 2\n" } else { "plug_in 1\nplug_in 2\nstatus\n" }, "{keys:?}");
    }
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let project = Project::new();
    let mut terminal = start(&project, &[]);
    terminal.press("plug");
    terminal.until_last_line("khumbu> plug");
    terminal.signal(Signal::SIGTERM);
    assert_eq!(terminal.end(), Some(0));
    assert!(terminal.edits_lines());
}

#[test]
fn colours_are_there_unless_somebody_wants_none() {
    let project = Project::new();
    for (name, value, is_coloured) in
        [("OTHER", "1", true), ("NO_COLOR", "1", false), ("CLICOLOR", "0", false), ("CLICOLOR", "1", true)]
    {
        let command = project.command(&["sim"]);
        let mut terminal = Terminal::of(command, |command| {
            command.env("XDG_STATE_HOME", project.path("state")).env(name, value);
        });
        terminal.until_last_line(PROMPT);
        terminal.type_line(PROMPT, "plug_in 9");
        terminal.until_shown("came to nothing");
        let written = terminal.written();
        let has = |text: &str| written.contains(text);
        assert_eq!(has("\x1b[1;32mplug_in\x1b[0m"), is_coloured, "{name}={value}: {written:?}");
        assert_eq!(has("\x1b[1;31merror[sim/command]\x1b[0m"), is_coloured, "{name}={value}: {written:?}");
    }
}

/// Where the terminal can do no more than a pipe, lines are read as from one.
#[test]
fn a_terminal_without_any_art_is_read_like_a_pipe() {
    let project = Project::new();
    let mut terminal = Terminal::of(project.command(&["sim"]), |command| {
        command.env("TERM", "dumb");
    });
    terminal.until_shown("mqtt://");
    terminal.press("plug_in 9\n");
    terminal.until_shown("error[sim/command]: `plug_in 9` came to nothing");
    assert!(terminal.edits_lines() && !terminal.written().contains(PROMPT));
}

/// What records a terminal answers nothing.
#[test]
fn what_does_not_answer_like_a_terminal_is_read_like_a_pipe() {
    let project = Project::new();
    let mut terminal = Terminal::mute(project.command(&["sim"]));
    terminal.until_shown("mqtt://");
    terminal.until("a line that is read", |terminal| {
        (terminal.written().matches("\x1b[6n").count() > 0 && terminal.edits_lines()).then_some(())
    });
    terminal.press("plug_in 9\n");
    terminal.until_shown("error[sim/command]: `plug_in 9` came to nothing");
    terminal.press("status\n");
    terminal.until_shown("\"ended\": false");
}

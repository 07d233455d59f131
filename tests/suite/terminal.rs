//! A terminal as a user has it: a real one for the program, and what is on its screen for the test.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;

use crate::project::{DEADLINE, Project, wait_for};

const ROWS: u16 = 40;
const COLUMNS: u16 = 110;
/// The question where the cursor is.
const CURSOR: &[u8] = b"\x1b[6n";

/// A program at a terminal.
pub struct Terminal {
    pub child: Child,
    keyboard: File,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

impl Terminal {
    /// Khumbu at a terminal.
    pub fn start(project: &Project, arguments: &[&str]) -> Self {
        Self::of(project.command(arguments), |_| {})
    }

    /// A command at a terminal, when it has been changed.
    pub fn of(command: Command, change: impl FnOnce(&mut Command)) -> Self {
        Self::open(command, change, true)
    }

    /// A command at what passes for a terminal, and does not answer.
    pub fn mute(command: Command) -> Self {
        Self::open(command, |_| {}, false)
    }

    fn open(mut command: Command, change: impl FnOnce(&mut Command), answers_questions: bool) -> Self {
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(Some(&size), None).unwrap();
        let stream = || Stdio::from(slave.try_clone().unwrap());
        command.stdin(stream()).stdout(stream()).stderr(stream()).env("TERM", "xterm");
        for name in ["NO_COLOR", "CLICOLOR", "COLUMNS"] {
            command.env_remove(name);
        }
        change(&mut command);
        let child = command.spawn().unwrap();
        let keyboard = File::from(master);
        let (mut screen, mut answers) = (keyboard.try_clone().unwrap(), keyboard.try_clone().unwrap());
        let seen = Arc::new(Mutex::new(Seen { parser: vt100::Parser::new(ROWS, COLUMNS, 0), bytes: Vec::new() }));
        let shown = seen.clone();
        std::thread::spawn(move || {
            let (mut buffer, mut answered) = ([0; 4096], 0);
            // It fails when nobody has the other end any more.
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                let mut shown = shown.lock().unwrap();
                shown.parser.process(&buffer[..count]);
                shown.bytes.extend(&buffer[..count]);
                // Where the cursor is, a terminal says when it is asked.
                let asked = shown.bytes.windows(CURSOR.len()).filter(|bytes| *bytes == CURSOR).count();
                for _ in (answered..asked).filter(|_| answers_questions) {
                    let (row, column) = shown.parser.screen().cursor_position();
                    let _ = write!(answers, "\x1b[{};{}R", row + 1, column + 1);
                }
                answered = asked;
            }
        });
        Self { child, keyboard, seen }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// What is on the screen, without empty lines.
    pub fn screen(&self) -> String {
        let seen = self.seen.lock().unwrap();
        let contents = seen.parser.screen().contents();
        contents.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// The last line on the screen.
    pub fn last_line(&self) -> String {
        self.screen().lines().last().unwrap_or_default().to_owned()
    }

    /// Everything that was ever written, with what drives the terminal.
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap().bytes).into_owned()
    }

    /// Waits until the screen is as it should be.
    #[track_caller]
    pub fn until<T>(&self, what: &str, is_so: impl Fn(&Self) -> Option<T>) -> T {
        let started = Instant::now();
        wait_for(what, || {
            assert!(started.elapsed() < DEADLINE / 2, "waited for {what}, and there is:\n{}", self.screen());
            is_so(self)
        })
    }

    /// Types a line, sees it there, and ends it.
    #[track_caller]
    pub fn type_line(&mut self, prompt: &str, line: &str) {
        self.press(line);
        self.until(line, |terminal| terminal.last_line().starts_with(&format!("{prompt} {line}")).then_some(()));
        self.press("\r");
    }

    /// Waits until a text is on the screen.
    #[track_caller]
    pub fn until_shown(&self, text: &str) {
        self.until(text, |terminal| terminal.screen().contains(text).then_some(()));
    }

    /// Waits until the last line is this.
    #[track_caller]
    pub fn until_last_line(&self, line: &str) {
        self.until(line, |terminal| (terminal.last_line() == line).then_some(()));
    }

    /// Whether the terminal edits lines itself, as it does for a shell.
    pub fn edits_lines(&self) -> bool {
        tcgetattr(&self.keyboard)
            .unwrap()
            .local_flags
            .contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for the end; the exit code.
    #[track_caller]
    pub fn end(&mut self) -> Option<i32> {
        wait_for("its end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

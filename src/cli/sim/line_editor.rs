//! Lines that are typed at a terminal: edited, completed and remembered, while messages appear above the line.
//!
//! The editor blocks, so it has a thread of its own. Whoever says something never waits for it.

use std::borrow::Cow;
use std::io::{self, BufRead, IsTerminal, stdin, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use reedline::{
    ColumnarMenu, Completer, EditCommand, EditMode, Emacs, ExternalPrinter, FileBackedHistory, Highlighter, Hinter,
    History, HistoryItem, KeyCode, KeyModifiers, MenuBuilder, Prompt, PromptEditMode, PromptHistorySearch, Reedline,
    ReedlineEvent, ReedlineMenu, ReedlineRawEvent, Signal, Span, StyledText, Suggestion, default_emacs_keybindings,
};
use terminal_size::{Width, terminal_size};
use tokio::sync::mpsc;

use super::commands::{self, Words};
use super::history::{self, Kept};
use crate::cli::print;
use crate::diagnostic::Style;

const MENU: &str = "words";
/// What Ctrl-C says to the loop that reads. No line has a line feed.
const CTRL_C: &str = "\n";
/// How Ctrl-C and Ctrl-D stand behind a line end that came with them.
const BREAKS: [char; 2] = ['\x03', '\x04'];
/// More messages do not wait for a terminal that stands still.
const WAITING: usize = 10_000;
/// How often messages are looked for while nothing is typed.
const EVERY: Duration = Duration::from_millis(50);
/// How long the end waits for the editor to give the terminal back.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(1);

/// What comes from the terminal.
pub enum Typed {
    /// A line.
    Line(String),
    /// The wish to end: Ctrl-D, or Ctrl-C while nothing is typed.
    End,
    /// Nothing comes any more, and nobody wishes to end.
    Closed,
}

/// The terminal while somebody types there. What is said meanwhile goes through it, until it is dropped.
pub struct LineEditor {
    lines: mpsc::UnboundedReceiver<Typed>,
    /// Whether the last line could be followed; dropped at the end.
    followed: Option<blocking::Sender<bool>>,
    /// Set at the end, before the editor is interrupted.
    is_over: Arc<AtomicBool>,
    /// Has the editor give back what was typed.
    interrupt: Arc<AtomicBool>,
    /// Ends when the terminal is as it was.
    given_back: blocking::Receiver<()>,
}

impl LineEditor {
    /// Takes the terminal over. `None` where there is none, or where it can do no more than a pipe.
    pub fn open(words: Words) -> Option<Self> {
        if !(stdin().is_terminal() && stdout().is_terminal()) || std::env::var_os("TERM").is_none_or(|it| it == "dumb")
        {
            return None;
        }
        let (kept, warning) = Kept::open();
        print::diagnostics(warning.as_slice());
        let mut history = FileBackedHistory::new(history::LINES).ok()?;
        for line in kept.lines() {
            let _ = history.save(HistoryItem::from_command_line(line));
        }
        let printer = ExternalPrinter::new(WAITING);
        let [is_over, interrupt, is_edited] = std::array::from_fn(|_| Arc::new(AtomicBool::new(false)));
        let editor = editor(words, history, interrupt.clone()).with_external_printer(printer.clone());
        print::above_the_line(Some(above(printer.clone(), is_edited.clone())));
        let (typed, lines) = mpsc::unbounded_channel();
        let (followed, is_followed) = blocking::channel();
        let (gives_back, given_back) = blocking::channel();
        let typing = Typing {
            editor,
            ahead: String::new(),
            kept,
            printer,
            is_edited,
            is_over: is_over.clone(),
            interrupt: interrupt.clone(),
            typed,
            is_followed,
            _gives_back: gives_back,
        };
        thread::spawn(move || typing.read());
        Some(Self { lines, followed: Some(followed), is_over, interrupt, given_back })
    }

    /// The next line.
    pub async fn next(&mut self) -> Typed {
        self.lines.recv().await.unwrap_or(Typed::End)
    }

    /// The last line is done with, and the next can be typed.
    pub fn go_on(&self, is_followed: bool) {
        // Nobody types there any more, if this does not arrive.
        let _ = self.followed.as_ref().map(|followed| followed.send(is_followed));
    }
}

impl Drop for LineEditor {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.interrupt.store(true, Ordering::SeqCst);
        self.followed = None;
        let _ = self.given_back.recv_timeout(GIVEN_BACK_WITHIN);
        print::above_the_line(None);
    }
}

/// Shows what is said: above the line while one is edited, as it comes otherwise.
fn above(printer: ExternalPrinter<String>, is_edited: Arc<AtomicBool>) -> print::Above {
    let left_out = AtomicUsize::new(0);
    Box::new(move |text| {
        if !is_edited.load(Ordering::SeqCst) {
            return false;
        }
        let columns = terminal_size().map_or(80, |(Width(columns), _)| usize::from(columns).max(1));
        let mut text = folded(text, columns);
        let count = left_out.swap(0, Ordering::Relaxed);
        if count > 0 {
            text = format!("({count} messages are not shown: the terminal takes them too slowly)\n{text}");
        }
        if printer.sender().try_send(text).is_err() {
            left_out.fetch_add(count + 1, Ordering::Relaxed);
        }
        true
    })
}

/// A text with lines that are not wider than the terminal, as the editor counts on.
fn folded(text: &str, columns: usize) -> String {
    let (mut folded, mut column, mut is_sequence) = (String::with_capacity(text.len()), 0, false);
    for c in text.chars() {
        // Colours take no room. A character that is not ASCII may take two columns.
        let width = match c {
            '\n' | '\x1b' => 0,
            _ if is_sequence => 0,
            _ if c.is_ascii() => 1,
            _ => 2,
        };
        if column + width > columns {
            folded.push('\n');
            column = 0;
        }
        column = if c == '\n' { 0 } else { column + width };
        is_sequence = c == '\x1b' || is_sequence && c != 'm';
        folded.push(c);
    }
    folded
}

fn editor(words: Words, history: FileBackedHistory, interrupt: Arc<AtomicBool>) -> Reedline {
    let mut keys = default_emacs_keybindings();
    let complete = ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu(MENU.to_owned()), ReedlineEvent::MenuNext]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, complete);
    keys.add_binding(KeyModifiers::CONTROL, KeyCode::Char('c'), ctrl_c());
    // What `Keys` tells from Enter.
    keys.add_binding(KeyModifiers::CONTROL, KeyCode::Char('j'), ReedlineEvent::Submit);
    let menu = ReedlineMenu::EngineCompleter(Box::new(ColumnarMenu::default().with_name(MENU).with_marker("> ")));
    let is_coloured = print::style_of(&stdout()) == Style::Coloured;
    Reedline::create()
        .with_history(Box::new(history))
        .with_history_exclusion_prefix(Some(" ".to_owned()))
        .with_completer(Box::new(words))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_menu(menu)
        .with_edit_mode(Box::new(Keys { emacs: Emacs::new(keys), interrupt: interrupt.clone() }))
        .with_break_signal(interrupt)
        .with_highlighter(Box::new(Commands))
        .with_hinter(Box::new(StillToCome))
        .with_ansi_colors(is_coloured)
        .with_poll_interval(EVERY)
}

/// Ctrl-C: only a search of the history takes it itself, for it does not apply `Multiple`.
fn ctrl_c() -> ReedlineEvent {
    let command = ReedlineEvent::ExecuteHostCommand(CTRL_C.to_owned());
    ReedlineEvent::UntilFound(vec![ReedlineEvent::Multiple(vec![command]), ReedlineEvent::CtrlC])
}

/// What keys do. The editor takes all that has arrived at once, up to Enter, and forgets what follows a line that is
/// submitted by anything else. So a line feed becomes a part of what is typed, and interrupts the editor, which then
/// gives back all lines.
struct Keys {
    emacs: Emacs,
    interrupt: Arc<AtomicBool>,
}

impl EditMode for Keys {
    fn parse_event(&mut self, event: ReedlineRawEvent) -> ReedlineEvent {
        let event = self.emacs.parse_event(event);
        let is_behind = self.interrupt.load(Ordering::SeqCst);
        let typed = match &event {
            ReedlineEvent::Submit => '\n',
            ReedlineEvent::Enter if is_behind => '\n',
            ReedlineEvent::CtrlD if is_behind => BREAKS[1],
            event if is_behind && *event == ctrl_c() => BREAKS[0],
            ReedlineEvent::Edit(edits) => {
                let has_lines = |edit: &EditCommand| matches!(edit, EditCommand::InsertString(it) if it.contains('\n'));
                if edits.iter().any(has_lines) {
                    self.interrupt.store(true, Ordering::SeqCst);
                }
                return event;
            }
            _ => return event,
        };
        self.interrupt.store(true, Ordering::SeqCst);
        let edits = vec![EditCommand::MoveToEnd { select: false }, EditCommand::InsertChar(typed)];
        // A search of the history ends with it, as with Enter.
        ReedlineEvent::UntilFound(vec![ReedlineEvent::Multiple(vec![ReedlineEvent::Edit(edits)]), ReedlineEvent::Enter])
    }

    fn edit_mode(&self) -> PromptEditMode {
        self.emacs.edit_mode()
    }
}

/// The thread that reads.
struct Typing {
    editor: Reedline,
    /// Typed already, and not yet looked at: lines that came at once.
    ahead: String,
    kept: Kept,
    printer: ExternalPrinter<String>,
    /// Whether the terminal is the editor's.
    is_edited: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    interrupt: Arc<AtomicBool>,
    typed: mpsc::UnboundedSender<Typed>,
    is_followed: blocking::Receiver<bool>,
    /// Goes away with the thread.
    _gives_back: blocking::Sender<()>,
}

impl Typing {
    /// Reads lines until there are no more.
    fn read(mut self) {
        loop {
            let line = match self.next() {
                Ok(Some(line)) => line,
                Ok(None) => break drop(self.typed.send(Typed::End)),
                // What does not answer is no terminal, but something like a log.
                Err(_) => break self.read_plainly(),
            };
            match self.follow(line.clone()) {
                Some(true) if !line.is_empty() && !line.starts_with(' ') => {
                    print::diagnostics(self.kept.keep(&line).as_slice());
                }
                Some(_) => {}
                None => break,
            }
        }
    }

    /// Has a line followed; whether it could be. `None` at the end.
    fn follow(&self, line: String) -> Option<bool> {
        self.typed.send(Typed::Line(line)).ok()?;
        self.is_followed.recv().ok()
    }

    /// As from a pipe.
    fn read_plainly(&self) {
        for line in stdin().lock().split(b'\n') {
            let Ok(line) = line else { break };
            if self.follow(String::from_utf8_lossy(&line).into_owned()).is_none() {
                return;
            }
        }
        let _ = self.typed.send(Typed::Closed);
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// When the terminal cannot be used.
    fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            let is_whole = match self.look_ahead() {
                Some(is_whole) => is_whole,
                None => return Ok(None),
            };
            self.accept_at_once(is_whole);
            self.is_edited.store(true, Ordering::SeqCst);
            let read = self.editor.read_line(&Sim);
            self.interrupt.store(false, Ordering::SeqCst);
            let is_over = self.is_over.load(Ordering::SeqCst);
            if let (Ok(Signal::ExternalBreak(typed)), false) = (&read, is_over) {
                self.ahead.insert_str(0, typed);
                self.editor.run_edit_commands(&[EditCommand::Clear]);
                continue;
            }
            self.is_edited.store(false, Ordering::SeqCst);
            let is_ctrl_c = matches!(&read, Ok(Signal::Success(line)) if line == CTRL_C);
            let is_given_up =
                is_ctrl_c && !self.editor.current_buffer_contents().is_empty() || matches!(read, Ok(Signal::CtrlC));
            if is_ctrl_c && !is_given_up || matches!(read, Ok(Signal::ExternalBreak(_))) {
                // The cursor is still in the line.
                print::out("\n");
            }
            // What came while the editor was ending.
            while let Some(text) = self.printer.get_line() {
                print::err(&text);
            }
            match read? {
                _ if is_over => return Ok(None),
                // As in a shell.
                _ if is_given_up => self.editor.run_edit_commands(&[EditCommand::Clear]),
                Signal::Success(line) if line != CTRL_C => return Ok(Some(line.trim_end().to_owned())),
                _ => return Ok(None),
            }
        }
    }

    /// Puts what was typed already into the editor, up to the first line end; whether there was one. `None` at the end.
    fn look_ahead(&mut self) -> Option<bool> {
        loop {
            let ahead = std::mem::take(&mut self.ahead);
            let is_end = |c: char| c == '\n' || BREAKS.contains(&c);
            let (line, end) = match ahead.find(is_end) {
                Some(at) => {
                    self.ahead = ahead[at + 1..].to_owned();
                    (&ahead[..at], ahead[at..].chars().next())
                }
                None => (ahead.as_str(), None),
            };
            match end {
                Some(end) if BREAKS.contains(&end) && line.is_empty() => return None,
                // Ctrl-C gives the line up, Ctrl-D has nothing to delete.
                Some(end) if end == BREAKS[0] => {}
                Some(end) if end == BREAKS[1] => self.ahead.insert_str(0, line),
                _ => {
                    if !line.is_empty() {
                        self.editor.run_edit_commands(&[EditCommand::InsertString(line.to_owned())]);
                    }
                    return Some(end.is_some());
                }
            }
        }
    }

    /// Whether the editor takes what is in it as a line, and waits for no key.
    fn accept_at_once(&mut self, does: bool) {
        let editor = std::mem::replace(&mut self.editor, Reedline::create());
        self.editor = editor.with_immediately_accept(does);
    }
}

/// What stands before the line.
struct Sim;

impl Prompt for Sim {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        "khumbu".into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        "> ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        format!(" (search: {}) ", search.term).into()
    }
}

impl Completer for Words {
    fn complete(&mut self, line: &str, at: usize) -> Vec<Suggestion> {
        let (start, words) = self.completions(line.get(..at).unwrap_or_default());
        let span = Span::new(start, at);
        let suggestion = |value| Suggestion { value, span, append_whitespace: true, ..Suggestion::default() };
        words.into_iter().map(suggestion).collect()
    }
}

/// What is still to come of a command. It is shown, not taken over.
struct StillToCome;

impl Hinter for StillToCome {
    fn handle(&mut self, line: &str, at: usize, _: &dyn History, is_coloured: bool, _: &str) -> String {
        let hint = commands::still_to_come(line).filter(|_| at == line.len()).unwrap_or_default();
        if is_coloured && !hint.is_empty() { format!("\x1b[2m{hint}\x1b[0m") } else { hint }
    }

    fn complete_hint(&self) -> String {
        String::new()
    }

    fn next_hint_token(&self) -> String {
        String::new()
    }
}

/// Commands, and what is none.
struct Commands;

impl Highlighter for Commands {
    fn highlight(&self, line: &str, _: usize) -> StyledText {
        let name = line.split_ascii_whitespace().next().unwrap_or_default();
        let start = line.len() - line.trim_ascii_start().len();
        let after = &line[start + name.len()..];
        let plain = nu_ansi_term::Style::new();
        let style = match commands::find(name) {
            Some(_) => nu_ansi_term::Color::Green.bold(),
            None if after.is_empty() => plain,
            None => nu_ansi_term::Color::Red.bold(),
        };
        let mut styled = StyledText::new();
        for (style, text) in [(plain, &line[..start]), (style, name), (plain, after)] {
            styled.push((style, text.to_owned()));
        }
        styled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for (text, wanted) in [
            ("abcdef\n", "abcd\nef\n"),
            ("abcd\n", "abcd\n"),
            ("ab\ncdef", "ab\ncdef"),
            ("\x1b[1;31mabcd\x1b[0m\n", "\x1b[1;31mabcd\x1b[0m\n"),
            ("a\u{e9}\u{e9}\n", "a\u{e9}\n\u{e9}\n"),
        ] {
            assert_eq!(folded(text, 4), wanted, "{text:?}");
        }
    }
}

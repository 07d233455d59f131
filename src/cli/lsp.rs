//! `khumbu lsp`: what an editor shows of scenarios and the other files of khumbu, over the Language Server Protocol on standard
//! input and output. What is known of a text is in [`crate::editor`]; nothing is read but what the editor sends, and what
//! `khumbu check` would look at.

mod frames;
mod server;

use std::io;
use std::sync::mpsc::{TryRecvError, sync_channel};
use std::thread;

use lsp_server::Message;

use self::frames::Body;
use self::server::Server;
use super::{Exit, print};
use crate::diagnostic::{Diagnostic, Severity};

/// Messages that wait; whoever sends more waits himself.
const QUEUE: usize = 64;

/// Tells an editor what `khumbu check` says of a file while somebody writes it, what its keys mean and what may stand there, and
/// formats it: a language server.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::LSP)]
pub struct Arguments {
    /// Speak on standard input and output, which is what is done without it, too; many editors say so
    #[arg(long)]
    stdio: bool,
}

/// Serves one editor, until it says that it is done or goes away.
pub fn run(_: &Arguments) -> Exit {
    let (sender, messages) = sync_channel(QUEUE);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let read = frames::read(&mut input);
            let is_last = !matches!(read, Ok(Some(_)));
            if sender.send(read).is_err() || is_last {
                return;
            }
        }
    });
    let mut server = Server::new();
    loop {
        let next = match messages.try_recv() {
            // What was typed meanwhile is looked at once.
            Err(TryRecvError::Empty) => {
                send(server.look());
                messages.recv().unwrap_or(Ok(None))
            }
            next => next.unwrap_or(Ok(None)),
        };
        match next {
            Ok(Some(Body::Message(message))) => send(server.take(message)),
            Ok(Some(Body::Refused(answer))) => {
                let text = answer.to_string();
                print::out(&format!("Content-Length: {}\r\n\r\n{text}", text.len()));
            }
            Ok(None) => return Exit::Pass,
            Err(why) => {
                let headline = "the editor has sent what is no message of the Language Server Protocol";
                let refused = Diagnostic::new(Severity::Error, "lsp/bad-message", headline).with_evidence(why);
                return print::refused(vec![
                    refused.with_help("`khumbu lsp` is for editors; docs/editors.md says how"),
                ]);
            }
        }
        if let Some(exit) = server.exit {
            return exit;
        }
        if print::is_lost() {
            return Exit::Error;
        }
    }
}

fn send(messages: Vec<Message>) {
    for message in messages {
        let mut bytes = Vec::new();
        // Into memory; and what is written is JSON.
        if message.write(&mut bytes).is_ok() {
            print::out(&String::from_utf8_lossy(&bytes));
        }
    }
}

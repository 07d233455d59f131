//! `khumbu serve --stdio`: sessions for test suites in any language, over JSON-RPC 2.0 on standard input and output.
//!
//! One message a line. Standard output has answers and nothing else; what is for people goes to standard error. The end of standard
//! input ends everything. `docs/test_suites.md` describes the protocol for those who use it.

mod lines;
mod methods;
mod rpc;

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use self::lines::{Line, Lines};
use self::methods::Sessions;
use self::rpc::{Failure, Request};
use super::{Exit, playing_runtime, print, signals};
use crate::diagnostic::Style;
use crate::report::terminal;
use crate::runner::Closed;
use crate::verdict::Verdict;

/// How long whoever has ended standard input may take to read the last answers.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// Lets a test suite in any language open stations, play steps one by one and have what it tests judged: JSON-RPC 2.0, one
/// message a line.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::SERVE)]
pub struct Arguments {
    /// Take messages on standard input, and answer on standard output, until standard input ends
    #[arg(long, required = true)]
    stdio: bool,
}

/// Serves until standard input ends, or a signal comes.
pub fn run(_: &Arguments) -> Exit {
    let runtime = match playing_runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    runtime.block_on(serve());
    signals::give_way();
    // A read of standard input may still be under way.
    runtime.shutdown_background();
    Exit::Pass
}

async fn serve() {
    let interrupt = signals::interrupt();
    let (answers, writer) = mpsc::channel::<String>();
    let (gone, mut is_gone) = watch::channel(false);
    // Whoever reads slowly holds up nobody but himself.
    let (written, is_written) = mpsc::channel();
    std::thread::spawn(move || {
        for answer in writer {
            print::out(&format!("{answer}\n"));
            if print::is_lost() {
                gone.send_replace(true);
            }
        }
        // Whoever waits for it no longer does not need to know.
        let _ = written.send(());
    });
    let mut sessions = Sessions::new(interrupt.clone());
    let mut waiting = JoinSet::new();
    let mut lines = Lines::new(tokio::io::stdin());
    let mut wanted = interrupt;
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            Some(_) = waiting.join_next() => continue,
            // What nobody reads any more, nobody wants.
            _ = is_gone.wait_for(|gone| *gone) => break,
            _ = wanted.wait_for(|wanted| *wanted) => break,
        };
        let request = match line {
            None => break,
            Some(Line::Whole(bytes)) => Request::read(&bytes),
            Some(Line::TooLong(most)) => Err((None, Failure::too_large(most))),
        };
        match request {
            Err((id, failure)) => drop(answers.send(rpc::failed(id.as_ref(), &failure))),
            Ok(Request { id: None, method, .. }) => print::diagnostics(&[rpc::unanswered(&method)]),
            Ok(Request { id: Some(id), method, params }) => {
                let answers = answers.clone();
                let answer = sessions.begin(&method, params).await;
                waiting.spawn(async move {
                    let text = match answer {
                        Ok(answer) => rpc::answered(&id, answer.await),
                        Err(failure) => rpc::failed(Some(&id), &failure),
                    };
                    // The writer is there until the last answer is.
                    let _ = answers.send(text);
                });
            }
        }
    }
    for Closed { result, .. } in sessions.close_all().await {
        if result.verdict > Verdict::Pass {
            print::err(&format!("{}\n", terminal::findings(&result, false, Style::Plain)));
        }
    }
    while waiting.join_next().await.is_some() {}
    drop(answers);
    if is_written.recv_timeout(READ_WITHIN).is_err() {
        let error = io::Error::new(io::ErrorKind::TimedOut, "nobody reads it");
        print::lost("run/output-lost", "standard output", &error);
    }
}

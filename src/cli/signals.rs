//! The user's wish to stop: Ctrl-C, SIGTERM, SIGHUP. The first one ends everything in order, the second one at once.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::print;
use crate::runner::kill_all_groups;

/// Whether the second signal has come.
static ENDS_AT_ONCE: AtomicBool = AtomicBool::new(false);

/// The user's wishes to stop, as they come.
pub struct Wishes([Signal; 3]);

/// Listens from now on.
///
/// # Errors
/// When the signals cannot be had; then they do what they do by default.
pub fn wishes() -> io::Result<Wishes> {
    let [one, two, three] = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    Ok(Wishes([one?, two?, three?]))
}

impl Wishes {
    /// Waits for the next.
    pub async fn next(&mut self) {
        let [one, two, three] = &mut self.0;
        tokio::select! {
            _ = one.recv() => {}
            _ = two.recv() => {}
            _ = three.recv() => {}
        }
    }
}

/// Becomes `true` at the first signal; the process ends at the second.
pub fn interrupt() -> watch::Receiver<bool> {
    let (wanted, receiver) = watch::channel(false);
    tokio::spawn(async move {
        let Ok(mut wishes) = wishes() else {
            std::future::pending::<()>().await;
            return;
        };
        for is_last in [false, true] {
            wishes.next().await;
            if is_last {
                ENDS_AT_ONCE.store(true, Ordering::SeqCst);
                kill_all_groups();
                std::process::exit(INTERRUPTED);
            }
            print::err("interrupted, ending what runs (once more to end at once)\n");
            // Nobody may be listening any more; the second signal still counts.
            wanted.send_replace(true);
        }
    });
    receiver
}

/// Does not return once the second signal has come: modules that it killed are no end of a run, and the process must not
/// end as if they were.
pub fn give_way() {
    while ENDS_AT_ONCE.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

/// What shells report for a program that was ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

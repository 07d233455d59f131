//! What a run shows while it runs: a line with a bar on a terminal, one plain line a scenario elsewhere. A replay shows a
//! bar on a terminal, of how far in its recording it is.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::NaiveDate;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use super::playing::{Events, is_watched};
use super::print;
use crate::report::{self, KnownFailure};
use crate::runner::Replay;
use crate::verdict::{RunEvent, Verdict};

/// How often a position is looked at.
const EVERY: Duration = Duration::from_millis(200);

/// Shows events until there are no more, failures that are known as such. On a terminal only what did not pass gets a
/// line of its own.
pub async fn show(mut events: Events, known: Vec<KnownFailure>, today: NaiveDate, say: fn(&str)) {
    let is_watched = is_watched();
    let bar = bar(None, "{bar:30} {pos}/{len} {wide_msg}");
    let mut names_release = false;
    while let Some(event) = events.recv().await {
        match event {
            RunEvent::Started { scenarios, releases, .. } => {
                names_release = releases > 1;
                bar.set_length(scenarios as u64);
            }
            RunEvent::ScenarioStarted { path } => bar.set_message(path),
            RunEvent::ScenarioFinished(result) => {
                let result = report::excuse(&result, &known, today);
                let line = report::terminal::line(&result, names_release, print::style()) + "\n";
                bar.suspend(|| {
                    if !is_watched || result.verdict != Verdict::Pass {
                        say(&line);
                    }
                });
                bar.inc(1);
            }
            RunEvent::Interrupted => {}
            RunEvent::Finished { .. } => break,
        }
    }
    bar.finish_and_clear();
}

/// Shows how far a replay is, until the task is ended.
pub async fn show_position(replay: Arc<Replay>) {
    let bar = bar(Some(replay.script.length_ms() / 1000), "{bar:30} {pos}/{len} s");
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        bar.set_position(replay.position_ms.load(Ordering::Relaxed) / 1000);
    }
}

/// A bar on a terminal, which goes away when it is dropped; nothing elsewhere.
pub fn bar(length: Option<u64>, template: &str) -> ProgressBar {
    let target = if is_watched() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(length, target).with_finish(ProgressFinish::AndClear);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

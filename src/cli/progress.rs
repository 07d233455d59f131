//! What a run shows while it runs: a line with a bar on a terminal, one plain line a scenario elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::print;
use super::run::{Events, is_watched};
use crate::report;
use crate::verdict::{RunEvent, Verdict};

/// Shows events until there are no more. On a terminal only what did not pass gets a line of its own.
pub async fn show(mut events: Events, say: fn(&str)) {
    let is_watched = is_watched();
    let target = if is_watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}") {
        bar.set_style(style);
    }
    let mut names_release = false;
    while let Some(event) = events.recv().await {
        match event {
            RunEvent::Started { scenarios, releases, .. } => {
                names_release = releases > 1;
                bar.set_length(scenarios as u64);
            }
            RunEvent::ScenarioStarted { path } => bar.set_message(path),
            RunEvent::ScenarioFinished(result) => {
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

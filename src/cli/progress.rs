//! What a run shows while it runs: on a terminal a line with a bar, and what is waited for; elsewhere one plain line a scenario. A replay shows a
//! bar on a terminal, of how far in its recording it is.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use super::playing::{Events, is_watched};
use super::print;
use crate::diagnostic::printable;
use crate::diagnostic::words::cut;
use crate::report::{self, KnownFailure};
use crate::runner::Replay;
use crate::verdict::{RunEvent, Verdict};

/// What is over sooner is not worth a line.
const NOTICED: Duration = Duration::from_secs(1);
/// So many lines tell what is waited for.
const WAITS: usize = 4;
/// The room that the bar and its numbers take.
const BAR: usize = 44;
/// How often a position is looked at, and how often what is shown changes.
const EVERY: Duration = Duration::from_millis(200);

/// Shows events until there are no more, failures that are known as such. On a terminal only what did not pass gets a
/// line of its own, and what is waited for is shown.
pub async fn show(mut events: Events, known: Vec<KnownFailure>, today: NaiveDate, say: fn(&str)) {
    let is_watched = is_watched();
    let bar = bar(None, "{bar:30} {pos}/{len} {msg}");
    let (mut names_release, mut running) = (false, Running::default());
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        let event = tokio::select! {
            event = events.recv() => match event {
                Some(event) => event,
                None => break,
            },
            _ = ticks.tick(), if is_watched => {
                bar.set_message(running.text(Instant::now(), columns()));
                continue;
            }
        };
        match event {
            RunEvent::Started { scenarios, releases, .. } => {
                names_release = releases > 1;
                bar.set_length(scenarios as u64);
            }
            RunEvent::ScenarioStarted { path } => running.begins(path),
            RunEvent::Awaited { path, what, within, is_prolonged } => {
                running.waits(&path, what, Instant::now(), within, is_prolonged);
            }
            RunEvent::ScenarioFinished(result) => {
                running.ends(&result.title());
                let result = report::excuse(&result, &known, today);
                let line = report::terminal::line(&result, names_release, print::style()) + "\n";
                bar.suspend(|| {
                    if !is_watched || result.verdict != Verdict::Pass {
                        say(&line);
                    }
                });
                bar.inc(1);
            }
            RunEvent::StepBegan { .. } | RunEvent::Interrupted => {}
            RunEvent::Finished { .. } => break,
        }
    }
    bar.finish_and_clear();
}

/// What runs, and what it waits for.
#[derive(Default)]
struct Running {
    /// In the order in which they began. The same scenario may run several times.
    scenarios: Vec<(String, Option<Wait>)>,
}

struct Wait {
    what: String,
    since: Instant,
    until: Instant,
    /// When it was first to be over: a wait may be prolonged, but the time that is left never grows.
    at_most: Instant,
}

impl Running {
    fn begins(&mut self, path: String) {
        self.scenarios.push((path, None));
    }

    fn waits(&mut self, path: &str, what: String, now: Instant, within: Duration, is_prolonged: bool) {
        if let Some((_, wait)) = self.scenarios.iter_mut().find(|(running, _)| running == path) {
            let until = now + within;
            let same = wait.take().filter(|wait| is_prolonged && wait.what == what);
            let (since, at_most) = same.map_or((now, until), |wait| (wait.since, wait.at_most.min(until)));
            *wait = Some(Wait { what, since, until, at_most });
        }
    }

    fn ends(&mut self, path: &str) {
        if let Some(index) = self.scenarios.iter().position(|(running, _)| running == path) {
            self.scenarios.remove(index);
        }
    }

    /// What the terminal shows behind the bar: the scenario that began last, or those that have waited longest, a line each.
    fn text(&self, now: Instant, columns: usize) -> String {
        let mut waits: Vec<_> = self.scenarios.iter().filter_map(|(_, wait)| wait.as_ref()).collect();
        waits.retain(|wait| now.saturating_duration_since(wait.since) >= NOTICED && wait.until > now);
        waits.sort_by_key(|wait| wait.since);
        if waits.is_empty() {
            let last = self.scenarios.last().map(|(path, _)| path.as_str()).unwrap_or_default();
            return cut(last, columns.saturating_sub(BAR));
        }
        let left_out = waits.len().saturating_sub(WAITS);
        let mut text = String::new();
        for Wait { what, at_most, .. } in waits.into_iter().take(WAITS) {
            let left = match at_most.saturating_duration_since(now).as_millis().div_ceil(1000) {
                0 => "  (still waiting)".to_owned(),
                left => format!("  (at most {left} s more)"),
            };
            text += &format!("\n  {}{left}", cut(&printable(what), columns.saturating_sub(left.len() + 4)));
        }
        if left_out > 0 {
            text += &format!("\n  and {left_out} more");
        }
        text
    }
}

/// How wide the terminal is.
fn columns() -> usize {
    print::screen().columns.unwrap_or(80)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_waited_longest_is_shown_with_the_time_that_is_left() {
        let (mut running, start) = (Running::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for number in 0..7 {
            running.begins(format!("{number}.yaml"));
        }
        assert_eq!(running.text(start, 80), "6.yaml");
        for number in 1..7 {
            let what = format!("{number}.yaml:5 expect: {{message: heartbeat}}");
            running.waits(&format!("{number}.yaml"), what, at(number), Duration::from_secs(30), false);
        }
        running.ends("2.yaml");
        let text = running.text(at(8), 48);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 6, "{text}");
        assert_eq!(lines[1], "  1.yaml:5 expect: {messa…  (at most 23 s more)");
        assert_eq!(lines[2], "  3.yaml:5 expect: {messa…  (at most 25 s more)");
        assert_eq!(lines[5], "  and 1 more");
        // What is over, or has just begun, is not shown.
        assert_eq!(running.text(at(90), 80), "6.yaml");
    }

    #[test]
    fn the_time_that_is_left_never_grows() {
        let (mut running, start) = (Running::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        running.begins("a.yaml".to_owned());
        let mut waits = |now, within, is_prolonged, seen| {
            running.waits("a.yaml", "a.yaml:5".to_owned(), at(now), Duration::from_secs(within), is_prolonged);
            running.text(at(seen), 80)
        };
        assert_eq!(waits(0, 5, false, 4), "\n  a.yaml:5  (at most 1 s more)");
        assert_eq!(waits(4, 3, true, 4), "\n  a.yaml:5  (at most 1 s more)");
        assert_eq!(waits(4, 3, true, 6), "\n  a.yaml:5  (still waiting)");
        // The same step begins again.
        assert_eq!(waits(7, 5, false, 8), "\n  a.yaml:5  (at most 4 s more)");
    }
}

//! The end of the module under test: what it still says, and how it goes.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::Instant;

use super::last_words::last_words;
use super::lookout::Lookout;
use super::module::in_words;
use super::played::FAREWELL;
use super::process::Ending;
use super::settings::{ModuleSource, Scene, Settings};
use crate::broker::Broker;
use crate::diagnostic::words::shown;
use crate::diagnostic::{Diagnostic, Severity, Subject};

/// By these signals a module may end that is told to: it gets the second, and some pass it on as the first.
const TOLD_TO_END: [i32; 2] = [Signal::SIGINT as i32, Signal::SIGTERM as i32];

/// Ends the module, and takes everything it had still sent: a second reply hides best at the end.
pub async fn farewell(lookout: &mut Lookout<'_>, broker: &Broker, settings: &Settings, is_complete: bool) -> Ending {
    let until = broker.now();
    lookout.observer.drain();
    let now = lookout.observer.records.last().map_or(Duration::ZERO, |record| record.at);
    lookout.observer.monitors.held_up(lookout.held_up());
    lookout.observer.monitors.silent_until(until);
    let last_word = lookout.observer.monitors.finish(now);
    lookout.observer.findings.extend(last_word);
    // A module that is told to end says goodbye; what it sent before arrives before that.
    if matches!(settings.module, ModuleSource::Attached) {
        return Ending::default();
    }
    lookout.observer.monitors.told_to_end();
    lookout.module.terminate();
    let grace = if is_complete { settings.stop_within } else { FAREWELL };
    let deadline = Instant::now() + grace.min(FAREWELL);
    while lookout.observer.connections.is_connected() && !lookout.module.has_ended() {
        let mut ended = lookout.module.ended.clone();
        tokio::select! {
            is_open = lookout.observer.next() => if !is_open { break },
            _ = ended.wait_for(Option::is_some) => break,
            () = tokio::time::sleep_until(deadline) => break,
        }
    }
    let ending = lookout.module.end(settings).await;
    lookout.drain_after_end().await;
    ending
}

/// The module ended before it was told to, although nothing more was expected of it.
pub fn by_itself(ending: &Ending, scene: &Scene<'_>, how: &str) -> Diagnostic {
    let headline = format!("module `{}` {how} before the end of the scenario", scene.topics.module_id);
    match ending.status {
        Some(status) if !status.success() => {
            Diagnostic::new(Severity::Fail, "module/ended", headline).about(Subject::ModuleEnd)
        }
        // A deliberate fault that ends it leaves no status.
        None if matches!(scene.settings.module, ModuleSource::Builtin(Some(_)) | ModuleSource::Untold(Some(_))) => {
            Diagnostic::new(Severity::Fail, "module/ended", headline).about(Subject::ModuleEnd)
        }
        _ => Diagnostic::new(Severity::Warning, "module/ended-by-itself", headline).about(Subject::Module),
    }
}

/// The module was told to end, and neither did so nicely nor by that signal.
pub fn crashed(ending: &Ending, scene: &Scene<'_>, output: &[String]) -> Option<Diagnostic> {
    let status = ending.status.filter(|_| !ending.killed)?;
    let is_nice = match status.signal() {
        Some(signal) => TOLD_TO_END.contains(&signal),
        // Shells and runtimes say so by 128 and the number of the signal.
        None => status.code().is_none_or(|code| code == 0 || TOLD_TO_END.contains(&(code - 128))),
    };
    if is_nice {
        return None;
    }
    let headline = format!("module `{}` {} when it was told to end", scene.topics.module_id, in_words(status));
    let words = last_words(output).into_iter().map(|line| format!("it wrote: {line}"));
    let warning = Diagnostic::new(Severity::Warning, "module/crashed-at-end", headline);
    Some(warning.with_lines(words.collect()).with_help("end the module on SIGTERM with exit code 0"))
}

/// What else is to be said of the end.
pub fn notes(ending: &Ending, scene: &Scene<'_>, findings: &mut Vec<Diagnostic>) {
    let (module, settings) = (&scene.topics.module_id, scene.settings);
    if ending.ignored_term {
        findings.push(
            Diagnostic::new(
                Severity::Warning,
                "module/ignored-term",
                format!(
                    "module `{module}` was still there {} after SIGTERM, and was killed",
                    shown(settings.stop_within)
                ),
            )
            .with_help("end the module on SIGTERM, or allow it more with `--stop-within`"),
        );
    }
    if !ending.left_behind.is_empty() {
        let left = match ending.left_behind.as_slice() {
            [_] => "a process behind, which was killed".to_owned(),
            several => format!("{} processes behind, which were killed", several.len()),
        };
        findings.push(
            Diagnostic::new(Severity::Warning, "module/left-processes", format!("module `{module}` left {left}"))
                .with_evidence(ending.left_behind.join(", ")),
        );
    }
}

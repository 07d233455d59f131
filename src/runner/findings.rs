//! The diagnostics of a scenario's steps that are not about expectations: those are the judge's.

use std::time::Duration;

use super::observer::Connections;
use super::settings::{ModuleSource, Settings};
use crate::conformance::judge::Case;
use crate::conformance::sighting::Sighting;
use crate::diagnostic::words::shown;
use crate::diagnostic::{Diagnostic, Severity, Subject};

/// The module takes messages at a QoS that asks for acknowledgements, and gives none.
pub fn never_acknowledges(case: &Case<'_>, count: usize, within: Duration) -> Diagnostic {
    let headline = format!(
        "{} was sent {count} messages at QoS 1 or 2, and acknowledged none of them within {}",
        case.culprit(),
        shown(within)
    );
    Diagnostic::new(Severity::Fail, "module/acknowledges-nothing", headline)
        .about(Subject::ModuleEnd)
        .at(case.scenario.labelled("/under_test", ""))
        .with_help("answer each PUBLISH of QoS 1 with PUBACK, and of QoS 2 with PUBREC, or subscribe at QoS 0")
        .breaking("MQ-4")
}

/// What is missing of the acknowledgement of a message, and of which.
#[derive(Debug, Clone, Copy)]
pub struct Stuck<'m> {
    /// The first message that the module did not acknowledge.
    pub message: &'m Sighting,
    /// Whether PUBCOMP is all that is missing.
    pub is_uncompleted: bool,
}

impl Stuck<'_> {
    fn evidence(self, case: &Case<'_>, finding: Diagnostic) -> Diagnostic {
        let line = case.line(self.message);
        let finding = finding.with_evidence(format!("the first message that it did not acknowledge: {line}"));
        match self.is_uncompleted {
            true => finding.with_evidence("it sent PUBREC, was sent PUBREL, and did not answer that with PUBCOMP"),
            false => finding,
        }
    }
}

/// The module has acknowledged messages, and then no more.
pub fn stopped_acknowledging(case: &Case<'_>, stuck: Stuck<'_>, within: Duration) -> Diagnostic {
    let name = stuck.message.kind.name();
    let headline = format!("{} did not acknowledge a {name} within {}, and lives on", case.culprit(), shown(within));
    let finding = Diagnostic::new(Severity::Fail, "module/stopped-acknowledging", headline)
        .about(Subject::Module)
        .at(case.scenario.labelled("/under_test", ""));
    stuck
        .evidence(case, finding)
        .with_help("what reads the module's messages may have ended over this one: look at what the module prints")
}

/// The module has left a message out, and acknowledged later ones.
pub fn skipped_acknowledgement(case: &Case<'_>, skipped: Stuck<'_>, within: Duration) -> Diagnostic {
    let name = skipped.message.kind.name();
    let headline = format!(
        "{} did not acknowledge a {name} within {}, and acknowledged later ones",
        case.culprit(),
        shown(within)
    );
    let finding = Diagnostic::new(Severity::Fail, "module/skipped-acknowledgement", headline)
        .about(Subject::Module)
        .at(case.scenario.labelled("/under_test", ""));
    let help = match skipped.is_uncompleted {
        true => "answer each PUBREL with PUBCOMP",
        false => "acknowledge every message, also one that it has no use for",
    };
    skipped.evidence(case, finding).with_help(help).breaking("MQ-4")
}

/// What tells the module to do something reaches nobody.
pub fn nobody_hears(
    case: &Case<'_>,
    (settings, connections): (&Settings, &Connections),
    pointer: &str,
    command: &str,
    topic: &str,
) -> Diagnostic {
    let headline = format!("{} cannot be told to `{command}`: nobody subscribes to `{topic}`", case.culprit());
    let prefixed = format!("{}{topic}", case.topics.external_prefix);
    let said = settings.upstream.as_ref().map(|upstream| format!("so says the broker `{upstream}`"));
    let diagnostic = Diagnostic::new(Severity::Inconclusive, "module/not-drivable", headline)
        .about(Subject::Module)
        .at(case.scenario.labelled(pointer, ""))
        .with_lines(said.into_iter().collect());
    if prefixed != topic && connections.is_subscribed(&prefixed) {
        return diagnostic
            .with_help(format!("write `{prefixed}` into the binding: the external prefix stands there too"));
    }
    diagnostic.with_help("mend the topic of the binding, or name the command under `cannot:` in khumbu.yaml")
}

/// The module cannot be started, or not again.
pub fn not_started(settings: &Settings, error: &std::io::Error) -> Diagnostic {
    let program = match &settings.module {
        ModuleSource::Command(words) => words.first().cloned().unwrap_or_default(),
        ModuleSource::Builtin(_) | ModuleSource::Untold(_) | ModuleSource::Attached => String::new(),
    };
    Diagnostic::new(Severity::Error, "module/not-started", format!("module `{program}` cannot be started: {error}"))
        .about(Subject::Module)
        .with_evidence("named by: `--module`, or `module: {command: …}` in khumbu.yaml")
        .with_help("give the program's path as you would in a shell, for example `--module 'python3 my_module.py'`")
}

/// The module sends faster than anybody can judge.
pub fn flooded(case: &Case<'_>, messages: &[Sighting], limit: usize) -> Diagnostic {
    let headline = format!("{} sends faster than it can be judged", case.culprit());
    let last = messages.last().map(|seen| format!("last judged: {}", case.line(seen)));
    Diagnostic::new(Severity::Inconclusive, "module/flood", headline)
        .about(Subject::Module)
        .at(case.scenario.labelled("/under_test", ""))
        .with_evidence(format!("more than {limit} packets wait, {} messages were judged", messages.len()))
        .with_lines(last.into_iter().collect())
}

/// A binding could not be carried out.
pub fn binding_failed(case: &Case<'_>, pointer: &str, command: &str, why: &str) -> Diagnostic {
    Diagnostic::new(Severity::Error, "module/binding-failed", format!("the binding for `{command}` failed: {why}"))
        .about(Subject::Module)
        .at(case.scenario.labelled(pointer, ""))
        .with_help("mend `bindings:` in khumbu.yaml")
}

/// EVerest under test asked a token validator, and named no topic for the answer.
pub fn asked_without_reply_topic(case: &Case<'_>, pointer: &str, question: &Sighting) -> Diagnostic {
    let headline = format!("{} asked a token validator without `headers.replyTo`", case.culprit());
    Diagnostic::new(Severity::Fail, "expect/no-reply-topic", headline)
        .about(Subject::Expectation)
        .at(case.scenario.labelled(pointer, "no reply can come"))
        .with_evidence(case.line(question))
        .breaking("VA-1")
}

/// EVerest asked the token validator nothing that could be answered.
pub fn nothing_asked(case: &Case<'_>, at: &str) -> Diagnostic {
    let headline = "the simulated EVerest asked the validator nothing since the token was presented";
    Diagnostic::new(Severity::Error, "scenario/contradicted", headline)
        .at(case.scenario.labelled(at, "no reply can come"))
        .otherwise()
        .with_help("tokens are validated only where an EVSE is free and `prevalidated` is not set")
}

/// What a step wants published cannot be published.
pub fn cannot_publish(case: &Case<'_>, at: &str, why: &str) -> Diagnostic {
    Diagnostic::new(Severity::Error, "scenario/unpublishable", why).at(case.scenario.place(at))
}

/// The simulated station has no use for a stimulus: the scenario asks for something that cannot happen.
pub fn ignored(case: &Case<'_>, at: &str, command: &str, why: &str) -> Diagnostic {
    Diagnostic::new(Severity::Error, "scenario/ignored-stimulus", format!("`{command}` came to nothing: {why}"))
        .at(case.scenario.labelled(at, ""))
        .otherwise()
        .with_help("bring the station into the state that this step needs, for example with `plug_in` before")
}

/// A command of the user could not be started.
pub fn run_not_started(case: &Case<'_>, pointer: &str, command: &str, why: &str) -> Diagnostic {
    Diagnostic::new(Severity::Error, "run/not-started", format!("cannot start `{command}`: {why}"))
        .at(case.scenario.place(pointer))
}

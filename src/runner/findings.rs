//! The diagnostics of a scenario's steps that are not about expectations: those are the judge's.

mod charge_point;

use std::collections::BTreeMap;
use std::time::Duration;

use super::replay::{Requests, Undelivered};
use super::settings::{ModuleSource, Settings};
use super::stage::Stage;
use crate::conformance::sighting::Sighting;
use crate::diagnostic::words::{cut, shown};
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::parity::Report;
use crate::scenario::Scenario;

pub use charge_point::{no_whole_answer, not_told, other_answer, other_status, told_in_vain};

/// Messages shown as evidence.
const SHOWN: usize = 6;

/// The module ended in the middle of the scenario.
pub fn ended_while(stage: &Stage<'_>, pointer: &str, when: &str) -> Diagnostic {
    stage.traces().ended_while(stage.judge.case(), pointer, when)
}

/// The module takes messages at a QoS that asks for acknowledgements, and gives none.
pub fn never_acknowledges(stage: &Stage<'_>, count: usize, within: Duration) -> Diagnostic {
    let headline = format!(
        "{} was sent {count} messages at QoS 1 or 2, and acknowledged none of them within {}",
        culprit(stage),
        shown(within)
    );
    Diagnostic::new(Severity::Fail, "module/acknowledges-nothing", headline)
        .about(Subject::Module)
        .at(stage.scenario.labelled("/under_test", ""))
        .with_help("answer each PUBLISH of QoS 1 with PUBACK, and of QoS 2 with PUBREC, or subscribe at QoS 0")
        .breaking("MQ-4")
}

/// The module cannot be told to do something at its station.
pub fn cannot_be_told(stage: &Stage<'_>, pointer: &str, command: &str) -> Diagnostic {
    stage.traces().undrivable(stage.judge.case(), pointer, command)
}

/// What tells the module to do something reaches nobody.
pub fn nobody_hears(stage: &Stage<'_>, pointer: &str, command: &str, topic: &str) -> Diagnostic {
    let headline = format!("{} cannot be told to `{command}`: nobody subscribes to `{topic}`", culprit(stage));
    let prefixed = format!("{}{topic}", stage.scene.topics.external_prefix);
    let said = stage.settings.upstream.as_ref().map(|upstream| format!("so says the broker `{upstream}`"));
    let diagnostic = Diagnostic::new(Severity::Inconclusive, "module/not-drivable", headline)
        .about(Subject::Module)
        .at(stage.scenario.labelled(pointer, ""))
        .with_lines(said.into_iter().collect());
    if prefixed != topic && stage.observer.connections.is_subscribed(&prefixed) {
        return diagnostic
            .with_help(format!("write `{prefixed}` into the binding: the external prefix stands there too"));
    }
    diagnostic.with_help("mend the topic of the binding, or name the command under `cannot:` in khumbu.yaml")
}

/// The module cannot be started, or not again.
pub fn not_started(settings: &Settings, error: &std::io::Error) -> Diagnostic {
    let program = match &settings.module {
        ModuleSource::Command(words) => words.first().cloned().unwrap_or_default(),
        ModuleSource::Builtin(_) | ModuleSource::Attached => String::new(),
    };
    Diagnostic::new(Severity::Error, "module/not-started", format!("module `{program}` cannot be started: {error}"))
        .about(Subject::Module)
        .with_evidence("named by: `--module`, or `module: {command: …}` in khumbu.yaml")
        .with_help("give the program's path as you would in a shell, for example `--module 'python3 my_module.py'`")
}

/// The module sends faster than anybody can judge.
pub fn flooded(stage: &Stage<'_>, limit: usize) -> Diagnostic {
    let headline = format!("{} sends faster than it can be judged", culprit(stage));
    let last = stage.observer.messages.last().map(|seen| format!("last judged: {}", stage.line(seen)));
    Diagnostic::new(Severity::Inconclusive, "module/flood", headline)
        .about(Subject::Module)
        .at(stage.scenario.labelled("/under_test", ""))
        .with_evidence(format!(
            "more than {limit} packets wait, {} messages were judged",
            stage.observer.messages.len()
        ))
        .with_lines(last.into_iter().collect())
}

/// A binding could not be carried out.
pub fn binding_failed(stage: &Stage<'_>, pointer: &str, command: &str, why: &str) -> Diagnostic {
    Diagnostic::new(Severity::Error, "module/binding-failed", format!("the binding for `{command}` failed: {why}"))
        .about(Subject::Module)
        .at(stage.scenario.labelled(pointer, ""))
        .with_help("mend `bindings:` in khumbu.yaml")
}

/// EVerest under test asked a token validator, and named no topic for the answer.
pub fn asked_without_reply_topic(stage: &Stage<'_>, pointer: &str, question: &Sighting) -> Diagnostic {
    let headline = format!("{} asked a token validator without `headers.replyTo`", culprit(stage));
    Diagnostic::new(Severity::Fail, "expect/no-reply-topic", headline)
        .about(Subject::Expectation)
        .at(stage.scenario.labelled(pointer, "no reply can come"))
        .with_evidence(stage.line(question))
        .breaking("VA-1")
}

/// EVerest asked the token validator nothing that could be answered.
pub fn nothing_asked(scenario: &Scenario, at: &str) -> Diagnostic {
    let headline = "the simulated EVerest asked the validator nothing since the token was presented";
    Diagnostic::new(Severity::Error, "scenario/contradicted", headline)
        .at(scenario.labelled(at, "no reply can come"))
        .otherwise()
        .with_help("tokens are validated only where an EVSE is free and `prevalidated` is not set")
}

/// What a step wants published cannot be published.
pub fn cannot_publish(scenario: &Scenario, at: &str, why: &str) -> Diagnostic {
    Diagnostic::new(Severity::Error, "scenario/unpublishable", why).at(scenario.place(at))
}

/// The simulated station has no use for a stimulus: the scenario asks for something that cannot happen.
pub fn ignored(scenario: &Scenario, at: &str, command: &str, why: &str) -> Diagnostic {
    Diagnostic::new(Severity::Error, "scenario/ignored-stimulus", format!("`{command}` came to nothing: {why}"))
        .at(scenario.labelled(at, ""))
        .otherwise()
        .with_help("bring the station into the state that this step needs, for example with `plug_in` before")
}

/// A command of the user could not be started.
pub fn run_not_started(scenario: &Scenario, pointer: &str, command: &str, why: &str) -> Diagnostic {
    Diagnostic::new(Severity::Error, "run/not-started", format!("cannot start `{command}`: {why}"))
        .at(scenario.place(pointer))
}

/// What an EVerest did otherwise than in the recording that was played to it; so many of the differences are `judged`,
/// because nothing was lost before them.
pub fn of_outcomes(stage: &Stage<'_>, report: &Report, judged: usize, undelivered: &[Undelivered]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if judged > 0 {
        let headline = format!(
            "{} did otherwise than recorded: {} of {} outcomes reproduced",
            culprit(stage),
            report.reproduced,
            report.outcomes
        );
        found.push(Diagnostic::new(Severity::Fail, "recording/not-reproduced", headline));
    }
    if report.outcomes == 0 {
        let headline = format!("{} was not judged: the recording has nothing that it should do", culprit(stage));
        let help = "name its ids and topics with `--module-id`, `--api-version` and `--external-prefix`, or in the station file";
        found.push(Diagnostic::new(Severity::Inconclusive, "recording/nothing-judged", headline).with_help(help));
    }
    let unjudged = report.differences.len() - judged;
    let Some(first) = undelivered.first().filter(|_| unjudged > 0) else { return found };
    let headline = format!(
        "{} was not reached by {} of the recording's messages: {unjudged} differences after the first are not judged",
        culprit(stage),
        undelivered.len()
    );
    let mut topics: BTreeMap<&str, usize> = BTreeMap::new();
    for lost in undelivered {
        *topics.entry(&lost.topic).or_default() += 1;
    }
    let topics = topics.iter().take(SHOWN).map(|(topic, count)| format!("not delivered: {topic} ({count})"));
    let diagnostic = Diagnostic::new(Severity::Inconclusive, "recording/not-delivered", headline)
        .with_evidence(format!("the first: line {}, {} ms", first.line, first.t_ms))
        .with_lines(topics.collect())
        .with_help(
            "let a `command` binding of the station file (`--station`) say how EVs are plugged in at this module",
        );
    found.push(diagnostic);
    found
}

/// What a client asked otherwise than in the recording that was played to it. To ask something else is its right; not
/// to ask what it was told to is not.
pub fn of_requests(stage: &Stage<'_>, requests: &Requests) -> Vec<Diagnostic> {
    let missing = requests.missing.iter().map(|missing| {
        let (severity, why) = match missing.is_told {
            true => (Severity::Fail, "was told to make a request of the recording, and did not"),
            false => (Severity::Warning, "did not make a request of the recording"),
        };
        let asked = format!("{} {}", stage.elided(&missing.topic), cut(&missing.content.to_string(), 160));
        Diagnostic::new(severity, "recording/request-not-made", format!("{} {why}", culprit(stage)))
            .with_evidence(format!("line {}: {asked}", missing.line))
    });
    let others = requests.others.iter().map(|(topic, content)| {
        let headline = format!("{} made a request that the recording does not have", culprit(stage));
        let asked = format!("{} {}", stage.elided(topic), cut(&content.to_string(), 160));
        Diagnostic::new(Severity::Warning, "recording/other-request", headline).with_evidence(asked)
    });
    missing.chain(others).collect()
}

/// The module under test in a headline.
pub fn culprit(stage: &Stage<'_>) -> String {
    stage.judge.case().culprit()
}

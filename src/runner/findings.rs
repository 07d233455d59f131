//! The diagnostics of a scenario's steps: what was expected, what came instead, and what the wire showed meanwhile.

mod charge_point;

use std::collections::BTreeMap;
use std::time::Duration;

use super::expectation::{Expectation, Mismatch, What};
use super::nearest::{Bar, Near, nearest};
use super::presence;
use super::replay::{Requests, Undelivered};
use super::settings::{ModuleSource, Settings};
use super::stage::{Patience, Stage, actual, broken, cut, shown};
use crate::conformance::sighting::{Kind, Party, Request, Sighting};
use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::parity::Report;
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::Deed;
use crate::protocol::side::Side;
use crate::scenario::Scenario;
use crate::scenario::model::MessageKind;

pub use charge_point::{no_whole_answer, not_told, other_answer, other_status, told_in_vain};

/// Messages shown as evidence.
const SHOWN: usize = 6;
/// Differences of the nearest message shown as evidence.
const DIFFERENCES: usize = 4;

/// A message stands where another was expected.
pub fn mismatch(
    stage: &Stage<'_>,
    expectation: &Expectation,
    seen: &Sighting,
    mismatch: &Mismatch,
    patience: &Patience,
) -> Diagnostic {
    let (severity, id, who) = match expectation.by {
        Party::Module => (Severity::Fail, "expect/payload-mismatch", culprit(stage)),
        Party::Harness if follows_from_module(stage, expectation) => outcome(stage),
        Party::Harness => (Severity::Error, "scenario/contradicted", played(stage)),
    };
    let what = match &expectation.what {
        What::Reply { .. } => "replied",
        What::Request { kind, .. } if !kind.is_request() => "sent",
        What::Request { .. } => "requested",
        What::Status { .. } if mismatch.is_whole => "published status",
        What::Status { .. } if mismatch.actual.is_none() => "published a status",
        What::Status { .. } => "published a status with",
        What::Did { deed: Deed::EvseCall, .. } => "called an EVSE with",
        What::Did { .. } => "answered",
        What::Message { .. } => "sent",
    };
    let came = match (&mismatch.actual, &mismatch.member) {
        (None, Some(member)) => format!("without `{member}`"),
        _ => told_apart(mismatch),
    };
    let headline = format!("{who} {what} {came}, expected {}", cut(&mismatch.expected, 120));
    Diagnostic::new(severity, id, headline)
        .at(place(stage.scenario, &mismatch.pointer, &format!("actual {}", told_apart(mismatch))))
        .with_evidence(format!(
            "{}, after {} (allowed {})",
            stage.line(seen),
            shown(patience.waited()),
            shown(expectation.within)
        ))
        .with_lines(before(stage, seen, expectation.since))
        .with_lines(sent_by_module(stage, expectation))
}

/// The actual value; a text that reads like what was expected has its quotes.
fn told_apart(mismatch: &Mismatch) -> String {
    match (actual(mismatch.actual.as_ref()), &mismatch.actual) {
        (text, Some(value)) if text == mismatch.expected => format!("`{value}`"),
        (text, _) => text,
    }
}

/// A message came before one that it should have followed.
pub fn out_of_order(stage: &Stage<'_>, expectation: &Expectation, seen: &Sighting) -> Diagnostic {
    let (severity, who) = blame(stage, expectation, Severity::Fail);
    Diagnostic::new(severity, "expect/out-of-order", format!("{who} sent the {} too early", noun(expectation)))
        .at(place(stage.scenario, &expectation.pointer, "came before what the step above expects"))
        .with_evidence(stage.line(seen))
        .with_help("put both expectations under `any_order` if either order is right")
}

/// The message came, but after its time.
pub fn late(stage: &Stage<'_>, expectation: &Expectation, seen: &Sighting, waited: Duration) -> Diagnostic {
    let (severity, who) = blame(stage, expectation, Severity::Fail);
    let headline =
        format!("{who} sent the {} after {}, allowed {}", noun(expectation), shown(waited), shown(expectation.within));
    Diagnostic::new(severity, "expect/late", headline)
        .at(place(stage.scenario, &expectation.pointer, ""))
        .with_evidence(stage.line(seen))
}

/// A message of the module that is the expected one but for its topic.
pub fn astray<'a>(stage: &'a Stage<'_>, expectation: &Expectation) -> Option<&'a Sighting> {
    let mut messages = stage.observer.messages.iter().filter(|_| expectation.by == Party::Module);
    messages
        .find(|seen| seen.seq >= expectation.since && seen.claim.is_none() && expectation.is_met_on_another_topic(seen))
}

/// The message did not come.
pub fn missing(stage: &Stage<'_>, expectation: &Expectation, waited: Duration, floor: Option<u64>) -> Diagnostic {
    if let Some(seen) = astray(stage, expectation) {
        let mut diagnostic = Diagnostic::new(
            Severity::Fail,
            "expect/wrong-topic",
            format!("{} sent the {} on another topic", culprit(stage), noun(expectation)),
        )
        .at(place(stage.scenario, &expectation.pointer, ""));
        if let What::Reply { topic, .. } = &expectation.what {
            diagnostic = diagnostic.with_evidence(format!("expected on: {}", stage.elided(topic)));
        }
        return diagnostic.with_evidence(format!("seen: {}", stage.line(seen)));
    }
    let (severity, id, who) = match expectation.by {
        Party::Module => (Severity::Fail, "expect/missing", culprit(stage)),
        Party::Harness if follows_from_module(stage, expectation) => outcome(stage),
        Party::Harness => (Severity::Error, "scenario/contradicted", played(stage)),
    };
    let near = nearest(expectation, &stage.observer.messages, &stage.captures, floor);
    // To a discovery others reply as well.
    let matching = if near.is_some() && matches!(expectation.what, What::Reply { .. }) { "matching " } else { "" };
    let headline = format!("{who} sent no {matching}{} within {}", expectation.in_words(), shown(expectation.within));
    let mut diagnostic = Diagnostic::new(severity, id, headline)
        .at(place(stage.scenario, &expectation.pointer, ""))
        .with_evidence(format!("waited {}", shown(waited)));
    if let What::Request { .. } = &expectation.what {
        let control = stage.scene.topics.control_topic();
        let order = presence::of_order(&stage.observer.records, &control, expectation.since);
        diagnostic = diagnostic.with_lines(order.into_iter().collect());
    }
    diagnostic = diagnostic.with_lines(near.iter().flat_map(|near| nearest_in_words(stage, near)).collect());
    let shown = near.map(|near| near.seen.seq);
    diagnostic = diagnostic.with_lines(meanwhile(stage, expectation.since, shown));
    diagnostic.with_lines(sent_by_module(stage, expectation))
}

/// The module ended while something was expected of it.
pub fn ended(stage: &Stage<'_>, expectation: &Expectation) -> Diagnostic {
    let mut diagnostic =
        ended_while(stage, &expectation.pointer, &format!("while a {} was expected", expectation.in_words()));
    diagnostic.evidence.extend(meanwhile(stage, expectation.since, None));
    diagnostic
}

/// The module ended in the middle of the scenario.
///
/// A module of ours does not end by itself: there the broker, or khumbu, is at fault.
pub fn ended_while(stage: &Stage<'_>, pointer: &str, when: &str) -> Diagnostic {
    let how = stage.module.ended.borrow().clone().unwrap_or_else(|| "ended".to_owned());
    if stage.settings.module == ModuleSource::Builtin {
        return broken(&format!("the built-in module {how} {when}")).at(place(stage.scenario, pointer, ""));
    }
    Diagnostic::new(Severity::Fail, "module/ended", format!("{} {how} {when}", culprit(stage)))
        .at(place(stage.scenario, pointer, ""))
        .with_evidence(format!("ran: {}", stage.module.description))
}

/// A message came that must not come.
pub fn unexpected(stage: &Stage<'_>, pointer: &str, seen: &Sighting) -> Diagnostic {
    let (severity, id, who) = match seen.from {
        Party::Module => (Severity::Fail, "expect/unexpected", culprit(stage)),
        Party::Harness if is_sister(stage) && (is_status(seen) || matches!(seen.kind, Kind::Did(_))) => outcome(stage),
        Party::Harness => (Severity::Error, "scenario/contradicted", played(stage)),
    };
    Diagnostic::new(severity, id, format!("{who} sent a {} where none may come", seen.kind.name()))
        .at(place(stage.scenario, pointer, ""))
        .with_evidence(stage.line(seen))
}

/// The module cannot be told what the scenario needs.
pub fn not_drivable(stage: &Stage<'_>, expectation: &Expectation) -> Diagnostic {
    let headline = format!(
        "{} sent no {} within {} by itself, and cannot be told to",
        culprit(stage),
        expectation.in_words(),
        shown(expectation.within)
    );
    undrivable(stage, &expectation.pointer, headline)
}

/// The module makes no request while another one of its own is not answered, as it may: nobody asks for two at a time.
pub fn waits_for_reply(stage: &Stage<'_>, expectation: &Expectation, open: &Request) -> Diagnostic {
    let headline = format!(
        "{} made no {} within {}; a request that it made before is not answered",
        culprit(stage),
        expectation.in_words(),
        shown(expectation.within)
    );
    let request = stage.observer.messages.iter().find(|seen| seen.seq == open.seq);
    Diagnostic::new(Severity::Inconclusive, "module/waits-for-reply", headline)
        .at(place(stage.scenario, &expectation.pointer, ""))
        .with_lines(request.map(|seen| format!("not answered: {}", stage.line(seen))).into_iter().collect())
        .with_evidence("it is still subscribed to the topic of the reply, and may make one request at a time")
        .with_help("let the module give up a request that nobody answers, or let the step wait longer with `within:`")
}

/// The module takes messages at a QoS that asks for acknowledgements, and gives none.
pub fn never_acknowledges(stage: &Stage<'_>, count: usize, within: Duration) -> Diagnostic {
    let headline = format!(
        "{} was sent {count} messages at QoS 1 or 2, and acknowledged none of them within {}",
        culprit(stage),
        shown(within)
    );
    Diagnostic::new(Severity::Fail, "module/acknowledges-nothing", headline)
        .at(place(stage.scenario, "/under_test", ""))
        .with_help("answer each PUBLISH of QoS 1 with PUBACK, and of QoS 2 with PUBREC, or subscribe at QoS 0")
        .breaking("MQ-4")
}

/// The module cannot be told to do something at its station.
pub fn cannot_be_told(stage: &Stage<'_>, pointer: &str, command: &str) -> Diagnostic {
    undrivable(stage, pointer, format!("{} cannot be told to `{command}`", culprit(stage)))
}

/// Nobody can say whether the module calls its EVSEs as the scenario wants.
pub fn shows_no_calls(stage: &Stage<'_>, pointer: &str) -> Diagnostic {
    let headline = format!("{} does not show what it asks of EVSEs", culprit(stage));
    Diagnostic::new(Severity::Inconclusive, "module/calls-unseen", headline)
        .at(place(stage.scenario, pointer, ""))
        .with_evidence(format!("it has sent nothing on `{}`", stage.scene.topics.did_topic()))
        .with_evidence("no station file has a binding `evse_call`")
        .with_help(
            "name a station file that says where calls are shown, or put `expect_evse` under `cannot:` in khumbu.yaml",
        )
}

/// What tells the module to do something reaches nobody.
pub fn nobody_hears(stage: &Stage<'_>, pointer: &str, command: &str, topic: &str) -> Diagnostic {
    let headline = format!("{} cannot be told to `{command}`: nobody subscribes to `{topic}`", culprit(stage));
    let prefixed = format!("{}{topic}", stage.scene.topics.external_prefix);
    let said = stage.settings.upstream.as_ref().map(|upstream| format!("so says the broker `{upstream}`"));
    let diagnostic = Diagnostic::new(Severity::Inconclusive, "module/not-drivable", headline)
        .at(place(stage.scenario, pointer, ""))
        .with_lines(said.into_iter().collect());
    if prefixed != topic && stage.observer.connections.is_subscribed(&prefixed) {
        return diagnostic
            .with_help(format!("write `{prefixed}` into the binding: the external prefix stands there too"));
    }
    diagnostic.with_help("mend the topic of the binding, or name the command under `cannot:` in khumbu.yaml")
}

/// The module was told to do something, and never told what came of it.
pub fn does_not_answer(stage: &Stage<'_>, expectation: &Expectation) -> Diagnostic {
    let headline =
        format!("{} gave no {} within {}", culprit(stage), expectation.in_words(), shown(expectation.within));
    Diagnostic::new(Severity::Inconclusive, "module/not-drivable", headline)
        .at(place(stage.scenario, &expectation.pointer, ""))
        .with_evidence(format!("it sent no such message on `{}`", stage.scene.topics.did_topic()))
        .with_help("name the command under `cannot:` in khumbu.yaml to skip such scenarios")
}

fn undrivable(stage: &Stage<'_>, pointer: &str, headline: String) -> Diagnostic {
    Diagnostic::new(Severity::Inconclusive, "module/not-drivable", headline)
        .at(place(stage.scenario, pointer, ""))
        .with_lines(presence::of_listening(&stage.observer.records, &stage.scene.topics.control_topic()))
        .with_evidence("khumbu.yaml has no binding for it")
        .with_help("add `bindings:` to khumbu.yaml, or name the command under `cannot:` there to skip such scenarios")
}

/// The module cannot be started, or not again.
pub fn not_started(settings: &Settings, error: &std::io::Error) -> Diagnostic {
    let program = match &settings.module {
        ModuleSource::Command(words) => words.first().cloned().unwrap_or_default(),
        ModuleSource::Builtin | ModuleSource::Attached => String::new(),
    };
    Diagnostic::new(Severity::Error, "module/not-started", format!("module `{program}` cannot be started: {error}"))
        .with_evidence("named by: `--module`, or `module: {command: …}` in khumbu.yaml")
        .with_help("give the program's path as you would in a shell, for example `--module 'python3 my_module.py'`")
}

/// The module sends faster than anybody can judge.
pub fn flooded(stage: &Stage<'_>, limit: usize) -> Diagnostic {
    let headline = format!("{} sends faster than it can be judged", culprit(stage));
    let last = stage.observer.messages.last().map(|seen| format!("last judged: {}", stage.line(seen)));
    Diagnostic::new(Severity::Inconclusive, "module/flood", headline)
        .at(place(stage.scenario, "/under_test", ""))
        .with_evidence(format!(
            "more than {limit} packets wait, {} messages were judged",
            stage.observer.messages.len()
        ))
        .with_lines(last.into_iter().collect())
}

/// A binding could not be carried out.
pub fn binding_failed(stage: &Stage<'_>, pointer: &str, command: &str, why: &str) -> Diagnostic {
    Diagnostic::new(Severity::Error, "module/binding-failed", format!("the binding for `{command}` failed: {why}"))
        .at(place(stage.scenario, pointer, ""))
        .with_help("mend `bindings:` in khumbu.yaml")
}

/// A step asks for a reply where no request asked for one.
pub fn no_reply_asked_for(stage: &Stage<'_>, pointer: &str) -> Diagnostic {
    let mut messages = stage.observer.messages.iter().rev();
    let request = messages.find(|seen| seen.kind.is_request() && seen.claim.is_some());
    let diagnostic =
        Diagnostic::new(Severity::Inconclusive, "expect/no-reply-topic", "the request named no reply topic".to_owned())
            .at(place(stage.scenario, pointer, "no reply can come"));
    match request {
        Some(request) => diagnostic.with_evidence(format!("the request: {}", stage.line(request))).with_help(
            r#"name the topic of the reply, without the external prefix, in `headers`: {"headers": {"replyTo": "TOPIC"}, "payload": …}"#,
        ),
        None => diagnostic,
    }
}

/// EVerest under test asked a token validator, and named no topic for the answer.
pub fn asked_without_reply_topic(stage: &Stage<'_>, pointer: &str, question: &Sighting) -> Diagnostic {
    let headline = format!("{} asked a token validator without `headers.replyTo`", culprit(stage));
    Diagnostic::new(Severity::Fail, "expect/no-reply-topic", headline)
        .at(place(stage.scenario, pointer, "no reply can come"))
        .with_evidence(stage.line(question))
        .breaking("VA-1")
}

/// EVerest asked the token validator nothing that could be answered.
pub fn nothing_asked(scenario: &Scenario, at: &str) -> Diagnostic {
    let headline = "the simulated EVerest asked the validator nothing since the token was presented";
    Diagnostic::new(Severity::Error, "scenario/contradicted", headline)
        .at(place(scenario, at, "no reply can come"))
        .with_help("tokens are validated only where an EVSE is free and `prevalidated` is not set")
}

/// What a step wants published cannot be published.
pub fn cannot_publish(scenario: &Scenario, at: &str, why: &str) -> Diagnostic {
    Diagnostic::new(Severity::Error, "scenario/unpublishable", why).at(place(
        scenario,
        &format!("{at}/publish/topic"),
        "",
    ))
}

/// The simulated station has no use for a stimulus: the scenario asks for something that cannot happen.
pub fn ignored(scenario: &Scenario, at: &str, command: &str, why: &str) -> Diagnostic {
    Diagnostic::new(Severity::Error, "scenario/ignored-stimulus", format!("`{command}` came to nothing: {why}"))
        .at(place(scenario, at, ""))
        .with_help("bring the station into the state that this step needs, for example with `plug_in` before")
}

/// A command of the user could not be started.
pub fn run_not_started(scenario: &Scenario, pointer: &str, command: &str, why: &str) -> Diagnostic {
    Diagnostic::new(Severity::Error, "run/not-started", format!("cannot start `{command}`: {why}")).at(place(
        scenario,
        &format!("{pointer}/command"),
        "",
    ))
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
    format!("module `{}`", stage.scene.topics.module_id)
}

fn played(stage: &Stage<'_>) -> String {
    match stage.scenario.model.under_test {
        Side::Client => "the simulated EVerest".to_owned(),
        Side::Everest => "the simulated client".to_owned(),
    }
}

/// EVerest's statuses are what a token provider or validator under test has made of them; or the scenario expects
/// what does not follow from what the module had to send.
fn outcome(stage: &Stage<'_>) -> (Severity, &'static str, String) {
    (Severity::Fail, "expect/outcome", format!("given what {} sent, EVerest", culprit(stage)))
}

/// Whether what khumbu's own EVerest sends depends on what the module under test has sent.
pub fn follows_from_module(stage: &Stage<'_>, expectation: &Expectation) -> bool {
    let follows = match &expectation.what {
        What::Status { .. } | What::Did { .. } => is_sister(stage),
        What::Message { kind, .. } => *kind == Some(MessageKind::TokenValidationStatus) && is_sister(stage),
        // Replies on one topic cannot be told apart.
        What::Reply { topic, .. } => {
            let is_here = |request: &&Request| request.reply_topic == *topic;
            stage.scenario.model.under_test == Side::Client
                && stage.observer.requests.iter().filter(is_here).count() > 1
        }
        What::Request { .. } => false,
    };
    expectation.by == Party::Harness && follows
}

fn is_sister(stage: &Stage<'_>) -> bool {
    stage.scenario.model.under_test == Side::Client && stage.scene.topics.api != ApiType::AUTH_CONSUMER
}

fn is_status(seen: &Sighting) -> bool {
    seen.kind == Kind::Channel(Channel::TOKEN_VALIDATION_STATUS)
}

/// What a module had sent by which EVerest was led, newest last.
fn sent_by_module(stage: &Stage<'_>, expectation: &Expectation) -> Vec<String> {
    if !follows_from_module(stage, expectation) {
        return Vec::new();
    }
    let sent = telling(stage, 0).filter(|seen| seen.from == Party::Module).map(|seen| stage.line(seen));
    let sent: Vec<_> = sent.collect();
    match &sent[sent.len().saturating_sub(3)..] {
        [] => vec!["the module sent nothing but communication checks".to_owned()],
        last => last.iter().map(|line| format!("the module sent: {line}")).collect(),
    }
}

fn blame(stage: &Stage<'_>, expectation: &Expectation, severity: Severity) -> (Severity, String) {
    match expectation.by {
        Party::Module => (severity, culprit(stage)),
        Party::Harness if follows_from_module(stage, expectation) => {
            let (severity, _, who) = outcome(stage);
            (severity, who)
        }
        Party::Harness => (Severity::Error, played(stage)),
    }
}

fn noun(expectation: &Expectation) -> &'static str {
    match &expectation.what {
        What::Message { .. } => "message",
        What::Did { deed, .. } => Kind::Did(*deed).name(),
        What::Status { .. } => "status",
        What::Reply { .. } => "reply",
        What::Request { kind, .. } if kind.is_request() => "request",
        What::Request { kind, .. } => kind.name(),
    }
}

fn place(scenario: &Scenario, pointer: &str, label: &str) -> Place {
    let mut place = scenario.place(pointer);
    label.clone_into(&mut place.label);
    place
}

/// What was seen before a message, newest last.
fn before(stage: &Stage<'_>, seen: &Sighting, since: u64) -> Vec<String> {
    let lines: Vec<_> = telling(stage, since).filter(|other| other.seq < seen.seq).map(|m| stage.line(m)).collect();
    lines[lines.len().saturating_sub(3)..].iter().map(|line| format!("before it: {line}")).collect()
}

/// The message that nearly met an expectation, and what differs in it.
fn nearest_in_words(stage: &Stage<'_>, near: &Near<'_>) -> Vec<String> {
    let mut lines = vec![format!("nearest: {}", stage.line(near.seen))];
    let bar = near.bar.as_ref().map(|bar| match bar {
        Bar::Claimed(claim) => format!("it has met the step in line {}", stage.scenario.line(&claim.pointer)),
        Bar::BeforeStimulus => "it came before the last stimulus".to_owned(),
        Bar::BeforeStepAbove => "it came before what the step above was met by".to_owned(),
        Bar::OtherParty if near.seen.from == Party::Harness => format!("{} has sent it", played(stage)),
        Bar::OtherParty => format!("{} has sent it", culprit(stage)),
    });
    let hidden = near.differences.len().saturating_sub(DIFFERENCES);
    lines.extend(near.differences.iter().take(DIFFERENCES).chain(&bar).map(|difference| format!("but {difference}")));
    if hidden > 0 {
        lines.push(format!("and it differs in {hidden} more"));
    }
    lines
}

/// What was seen since a step, newest last, but what is shown already.
fn meanwhile(stage: &Stage<'_>, since: u64, shown: Option<u64>) -> Vec<String> {
    let others = telling(stage, since).filter(|seen| Some(seen.seq) != shown);
    let lines: Vec<_> = others.map(|seen| stage.line(seen)).collect();
    if lines.is_empty() {
        let but = if shown.is_some() { "nothing else but" } else { "nothing but" };
        return vec![format!("meanwhile: {but} heartbeats and communication checks")];
    }
    lines[lines.len().saturating_sub(SHOWN)..].iter().map(|line| format!("meanwhile: {line}")).collect()
}

/// Messages that tell something: no commands of ours, no heartbeats, no checks.
fn telling<'a>(stage: &'a Stage<'_>, since: u64) -> impl Iterator<Item = &'a Sighting> {
    stage.observer.messages.iter().filter(move |seen| {
        seen.seq >= since
            && !matches!(
                seen.kind,
                Kind::Control | Kind::Channel(Channel::HEARTBEAT) | Kind::Channel(Channel::COMMUNICATION_CHECK)
            )
    })
}

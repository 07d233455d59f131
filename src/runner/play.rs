//! Plays one scenario from the start of its broker to the end of its module, and judges it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::applicable::not_applicable;
use super::faults::{self, Laid};
use super::forecast::soften;
use super::last_words::last_words;
use super::learnt::{Answered, Learnt};
use super::lookout::{Lookout, Others, Patience};
use super::module::Module;
use super::observer::{Connections, Observer};
use super::passed::passed;
use super::played;
use super::settings::{ModuleSource, Scene, Settings};
use super::stage::Stage;
use super::stop::Stop;
use super::{Piece, arriving, ending, goldens, last_passed, near_topics};
use crate::broker::Broker;
use crate::conformance::judge::Judge;
use crate::conformance::monitors::{Monitors, NOT_SUBSCRIBED_AGAIN};
use crate::diagnostic::words::shown;
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::channel::Topics;
use crate::scenario::pattern::Captures;
use crate::scenario::{Pointer, placeholder};
use crate::transcript::record::Record;
use crate::verdict::{ScenarioResult, Verdict};

/// What to do where a scenario has no occasion under a fault.
const UNDER_A_FAULT: &str =
    "play it without `--fault`: if that passes, the fault has taken the occasion, and a milder one leaves it";

/// A broker with its record, which one scenario after the other may use.
pub struct OpenBroker {
    /// The broker.
    pub broker: Broker,
    /// Its record.
    pub records: mpsc::UnboundedReceiver<Record>,
    /// The connections that are there already.
    pub connections: Connections,
}

/// Plays a scenario. Never fails: whatever goes wrong is a finding of the result.
pub async fn play(
    piece: &Piece,
    settings: &Settings,
    open: OpenBroker,
    interrupt: watch::Receiver<bool>,
    others: Others,
) -> (ScenarioResult, Option<OpenBroker>) {
    let mut result = piece.to_result();
    let scene = Scene::new(piece, settings);
    if let Some(why) = not_applicable(&scene) {
        result.verdict = Verdict::NotApplicable;
        result.findings.push(why);
        return (result, Some(open));
    }
    let started = Instant::now();
    let (OpenBroker { broker, records, connections }, mut findings) = (open, Vec::new());
    let (classifier, monitors) = (scene.classifier(), Monitors::new(scene.context()));
    let mut observer = Observer::new(records, classifier, monitors, connections);
    observer.recorder.clone_from(&piece.recorder);
    let released = perform(&scene, piece, &broker, observer, (interrupt, others), &mut findings, &mut result).await;
    result.duration = started.elapsed();
    soften(&scene, &mut findings);
    judge(&mut result, findings);
    let open = released.map(|(records, connections)| OpenBroker { broker, records, connections });
    (result, open)
}

type Released = (mpsc::UnboundedReceiver<Record>, Connections);

/// The performance itself. What it leaves is what the observer has of the broker, unless it broke down.
async fn perform(
    scene: &Scene<'_>,
    piece: &Piece,
    broker: &Broker,
    mut observer: Observer,
    (interrupt, others): (watch::Receiver<bool>, Others),
    findings: &mut Vec<Diagnostic>,
    result: &mut ScenarioResult,
) -> Option<Released> {
    let Scene { scenario, settings, .. } = *scene;
    let faults = Laid::prepare(scene, broker, piece);
    let cast = match played::open(scene, piece, broker).await {
        Ok(cast) => cast,
        Err(diagnostic) => {
            observer.drain();
            findings.push(
                observer
                    .connections
                    .refused
                    .iter()
                    .fold(diagnostic, |diagnostic, why| diagnostic.with_evidence(format!("refused: {why}"))),
            );
            return Some(observer.release());
        }
    };
    let module = match Module::start(scene, broker.address()) {
        Ok(module) => module,
        Err(error) => {
            played::close(cast).await;
            findings.push(super::findings::not_started(settings, &error));
            return Some(observer.release());
        }
    };
    let modules = std::iter::once(&scene.topics).chain(&scene.other_apis);
    let id = |topics: &Topics| (placeholder::id_of(topics.api), topics.module_id.clone().into());
    let captures: Captures = modules.map(id).collect();
    let lookout = Lookout::new(scene.case(), observer, module, faults, interrupt, others);
    let mut stage = Stage::new(scene, broker, lookout, Judge::new(scene.case(), captures), cast);
    let limit = scene.limit();
    let patience = stage.lookout.patience();
    let outcome = match within(limit, patience, act(&mut stage, piece)).await {
        Some(outcome) => outcome,
        None => Err(Stop::from(
            Diagnostic::new(
                Severity::Inconclusive,
                "scenario/timeout",
                format!("the scenario was not over within {}", shown(limit)),
            )
            .at(scenario.place(if scenario.model.timeout.is_some() { "/timeout" } else { "/steps" }))
            .with_help("raise `timeout:` in the scenario"),
        )),
    };
    let is_complete = outcome.is_ok();
    stage.lookout.observer.drain();
    // What it has seen is the scenario's; the end is whole.
    let played_records = stage.lookout.observer.records.len();
    match outcome {
        Ok(()) => {}
        Err(Stop::Found(mut diagnostic)) => {
            stage.explain(&mut diagnostic).await;
            stage.is_only_late(&mut diagnostic).await;
            findings.push(*diagnostic);
        }
        Err(Stop::Enough(place)) => result.stopped_at = Some(place),
        Err(Stop::Interrupted) => findings.push(Diagnostic::new(
            Severity::Inconclusive,
            "run/interrupted",
            "the run was interrupted in the middle of the scenario",
        )),
    }
    if is_complete {
        stage.listens_again().await;
    }
    result.evidence = stage.proof().evidence();
    result.occasions = stage.proof().occasions(is_complete);
    result.survived = stage.proof().survived();
    result.risked = stage.proof().risked();
    result.acknowledges = stage.lookout.observer.acknowledges();
    result.hears_orders = stage.judging.means(&stage.lookout).listens;
    let unproven = match piece.replay {
        None if is_complete => {
            let mut unproven = stage.proof().unproven(&result.evidence);
            if piece.fault.is_some() {
                // What is missing may well be what the fault has taken.
                for found in
                    unproven.iter_mut().filter(|found| found.id == "scenario/no-occasion" && !found.is_unexercised)
                {
                    found.help = Some(UNDER_A_FAULT.to_owned());
                }
            }
            [stage.idle_faults(), unproven].concat()
        }
        _ => Vec::new(),
    };
    let written = last_passed::written(stage.case(), &stage.lookout.observer.messages);
    let delivered = last_passed::delivered(stage.case(), &stage.lookout.observer.records);
    let near_topics = near_topics::find(scene, &stage.lookout.observer);
    let blame = stage.blame(piece.fault.as_deref());
    let by_itself = stage.lookout.module.ended.borrow().clone();
    let has_ended = by_itself.is_some();
    let deaf = if settings.sees_reading && is_complete { stage.stops_reading().await } else { None };
    let Learnt { unseen, answered, .. } = std::mem::take(&mut stage.learnt);
    let written_by_then = stage.lookout.module.output().map_or(0, |output| output.count());
    faults::end(broker).await;
    let ended = ending::farewell(&mut stage.lookout, broker, settings, is_complete).await;
    if is_complete {
        findings.extend(stage.proof().asked_again());
    }
    let Stage { lookout: Lookout { mut observer, module, .. }, cast, .. } = stage;
    if let Some(output) = module.output() {
        result.output = output.tail(200);
        result.last_lines = if has_ended { 0 } else { output.count().saturating_sub(written_by_then) };
    }
    // Where a step has failed without saying so, this is why.
    let is_told = findings.iter().any(|found| found.subject.is_module() || found.subject == Subject::Harness);
    if let Some(how) = by_itself.filter(|_| is_complete || !is_told) {
        findings.insert(0, ending::by_itself(&ended, scene, &how));
    }
    if has_ended && let Some(found) = findings.iter_mut().find(|found| found.subject.is_module()) {
        // Why it has ended, before what became of its connections.
        let words = last_words(&result.output).into_iter().map(|line| format!("it wrote: {line}"));
        let at = found.evidence.len().min(1);
        let delivered = delivered.into_iter().filter(|_| found.subject == Subject::ModuleEnd).collect::<Vec<_>>();
        found.evidence.splice(at..at, words.chain(delivered));
    }
    if !has_ended && let Some(warning) = ending::crashed(&ended, scene, &result.output) {
        findings.push(warning);
    }
    ending::notes(&ended, scene, findings);
    if settings.upstream.is_some() || settings.module == ModuleSource::Attached {
        // What follows is no part of the scenario.
        observer.drain();
        observer.recorder = None;
        played::forget_retained(&cast.played, &mut observer).await;
    }
    played::close(cast).await;
    observer.drain();
    findings.append(&mut observer.findings);
    for found in findings.iter_mut().filter(|it| matches!(it.severity, Severity::Fail | Severity::Inconclusive)) {
        found.evidence.extend(written.clone());
        if found.subject == Subject::Expectation {
            let told = |topic| format!("it was told on `{topic}`, where nobody was seen to subscribe");
            found.evidence.extend(unseen.iter().map(told));
            // Whoever was not ready may have lost what the scenario said.
            found.evidence.extend(answered.iter().map(Answered::to_string));
        }
    }
    if let Some(deaf) = deaf {
        // Its other connections were not cut off, and tell nothing of the one that stays away.
        findings.retain(|found| found.id != NOT_SUBSCRIBED_AGAIN);
        // Over any of what it was shown, it may have stopped to read: nothing of it was survived.
        findings.push(blame.over_any_of(deaf, std::mem::take(&mut result.survived)));
    }
    near_topics::explain(near_topics, findings);
    findings.extend(answered.and_then(|answered| answered.to_note(&scene.topics.module_id)));
    blame.name(findings);
    if let Some(fault) = &piece.fault {
        let fault = format!("under the fault `{}`", fault.texts.join("; "));
        findings.iter_mut().filter(|it| it.severity == Severity::Fail).for_each(|it| it.evidence.push(fault.clone()));
    }
    result.messages = passed(&observer.messages, findings, &scene.topics.base());
    result.messages_in_all = observer.messages.len();
    let is_clean = |findings: &[Diagnostic]| findings.iter().all(|found| Verdict::of(found) == Verdict::Pass);
    if is_clean(findings) {
        findings.extend(unproven);
    }
    if scenario.model.golden && is_complete && is_clean(findings) {
        goldens::compare(scene, &observer.records[..played_records], piece.golden.as_ref(), findings, result);
    }
    Some(observer.release())
}

/// The end of what is acted, if it comes in time. How long khumbu itself is held up meanwhile does not count.
async fn within<T>(limit: Duration, mut patience: Patience, acting: impl Future<Output = T>) -> Option<T> {
    let mut acting = pin!(acting);
    loop {
        match timeout_at(patience.deadline(limit), &mut acting).await {
            Ok(outcome) => return Some(outcome),
            Err(_) if patience.is_over(limit).await => return None,
            Err(_) => {}
        }
    }
}

/// From the start of the module to the last step.
async fn act(stage: &mut Stage<'_>, piece: &Piece) -> Result<(), Stop> {
    if let Some(replay) = &piece.replay {
        return super::replay::replay(stage, replay).await;
    }
    if let Some(arriving) = &piece.arriving {
        return arriving::play(stage, arriving).await;
    }
    stage.begin(piece.fault.as_deref()).await?;
    stage.lookout.waits.begin();
    let scenario = stage.scene.scenario;
    stage.play(&scenario.model.steps, &Pointer::from("/steps")).await?;
    stage.let_it_take_in().await
}

/// Puts the findings in order, a breach of MQTT before what follows from it, notes at the end, and takes the verdict.
fn judge(result: &mut ScenarioResult, findings: Vec<Diagnostic>) {
    let (mut failures, notes): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|found| Verdict::of(found) != Verdict::Pass);
    // Stable: the others stay in their order.
    failures.sort_by_key(|found| found.id != "monitor/broke-mqtt");
    result.verdict = failures.iter().map(Verdict::of).max().unwrap_or(Verdict::Pass).max(result.verdict);
    result.findings.extend(failures);
    result.findings.extend(notes);
}

/// A result for a scenario whose performance panicked: a fault of ours, told as such.
pub fn panicked(piece: &Piece, why: &str) -> Arc<ScenarioResult> {
    let mut result = piece.to_result();
    judge(&mut result, vec![Diagnostic::panicked(why)]);
    Arc::new(result)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::super::stop::broken;
    use super::*;
    use crate::scenario;

    const TEXT: &str = "description: x\nunder_test: client\nsteps:\n  - note: nothing\n";

    #[test]
    fn a_panic_of_ours_is_an_error_of_ours() {
        let scenario = Arc::new(scenario::parse("x.yaml", TEXT, scenario::Known::default()).unwrap());
        let release = scenario.release();
        let piece = Piece::new(scenario, release);
        let result = panicked(&piece, "index out of bounds");
        assert_eq!(result.verdict, Verdict::Error);
        assert_eq!(result.findings[0].id, "harness/panic");
        assert!(result.findings[0].headline.contains("index out of bounds"));
    }

    #[test]
    fn the_worst_finding_gives_the_verdict_and_notes_come_last() {
        let mut result = ScenarioResult::default();
        let found = |severity, id| Diagnostic::new(severity, id, "x");
        let findings = vec![
            found(Severity::Warning, "module/ended-by-itself"),
            found(Severity::Fail, "expect/missing"),
            broken("no socket"),
            found(Severity::Fail, "monitor/broke-mqtt"),
            found(Severity::Inconclusive, "run/interrupted"),
        ];
        judge(&mut result, findings);
        assert_eq!(result.verdict, Verdict::Fail, "what the module did wrong is not hidden");
        let ids: Vec<_> = result.findings.iter().map(|found| found.id).collect();
        let others = ["expect/missing", "harness/broken", "run/interrupted", "module/ended-by-itself"];
        assert_eq!(ids, [&["monitor/broke-mqtt"], &others[..]].concat(), "it comes before what follows from it");
    }
}

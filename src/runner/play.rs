//! Plays one scenario from the start of its broker to the end of its module, and judges it.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::Piece;
use super::applicable::not_applicable;
use super::charge_point::ChargePoint;
use super::forecast::soften;
use super::lag::Lag;
use super::last_words::last_words;
use super::module::{Module, in_words};
use super::near_topics;
use super::observer::{Connections, Observer, is_own, own_client};
use super::probe::Answered;
use super::process::Ending;
use super::replay::Replay;
use super::settings::{ModuleSource, Scene, Settings};
use super::sisters::Sisters;
use super::stage::{Played, Stage, Stop, broken, shown};
use super::steps::Memory;
use crate::broker::Broker;
use crate::conformance::Party;
use crate::conformance::monitors::{ApiModule, Context, Monitors};
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::protocol::channel::Topics;
use crate::scenario::model::Side;
use crate::scenario::pattern::Captures;
use crate::scenario::{looks_inside, placeholder};
use crate::sim::client::{Client, check_period};
use crate::sim::everest::{CsmsMessage, Everest, Order};
use crate::sim::link::LinkError;
use crate::transcript::record::{Direction, Event, Record};
use crate::transcript::{golden, snapshot};
use crate::verdict::{ScenarioResult, Verdict};

/// The default time limit of a scenario.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The communication check timeout of an EVerest that is configured like most.
const DEFAULT_CHECK: Duration = Duration::from_secs(5);
/// How long a module that was told to end may take to close its connections.
const FAREWELL: Duration = Duration::from_secs(1);
/// By these signals a module may end that is told to: it gets the second, and some pass it on as the first.
const TOLD_TO_END: [i32; 2] = [Signal::SIGINT as i32, Signal::SIGTERM as i32];

/// A broker with its record, which one scenario after the other may use.
pub struct House {
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
    house: House,
    interrupt: watch::Receiver<bool>,
) -> (ScenarioResult, Option<House>) {
    let mut result = piece.to_result();
    let scene = Scene::new(piece, settings);
    if let Some(why) = not_applicable(&scene) {
        result.verdict = Verdict::NotApplicable;
        result.findings.push(why);
        return (result, Some(house));
    }
    let started = Instant::now();
    let (House { broker, records, connections }, mut findings) = (house, Vec::new());
    let (topics, sisters) = (scene.topics.clone(), scene.sisters.clone());
    let (bindings, monitors) = (scene.bindings().to_vec(), Monitors::new(context(&scene)));
    let mut observer = Observer::new(records, topics, sisters, bindings, monitors, connections);
    observer.recorder.clone_from(&piece.recorder);
    let released = perform(&scene, piece, &broker, observer, interrupt, &mut findings, &mut result).await;
    result.duration = started.elapsed();
    soften(&scene, &mut findings);
    judge(&mut result, findings);
    let house = released.map(|(records, connections)| House { broker, records, connections });
    (result, house)
}

type Released = (mpsc::UnboundedReceiver<Record>, Connections);

/// The performance itself. What it leaves is the observer's part of the house, unless it broke down.
async fn perform(
    scene: &Scene<'_>,
    piece: &Piece,
    broker: &Broker,
    mut observer: Observer,
    interrupt: watch::Receiver<bool>,
    findings: &mut Vec<Diagnostic>,
    result: &mut ScenarioResult,
) -> Option<Released> {
    let Scene { scenario, settings, .. } = *scene;
    let (played, sisters) = match begin_played(scene, piece, broker).await {
        Ok(begun) => begun,
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
            end_played(played, sisters).await;
            findings.push(super::findings::not_started(settings, &error));
            return Some(observer.release());
        }
    };
    let lag = Lag::start();
    let modules = std::iter::once(&scene.topics).chain(&scene.sisters);
    let id = |topics: &Topics| (placeholder::id_of(topics.api).to_owned(), topics.module_id.clone().into());
    let captures: Captures = modules.map(id).collect();
    let mut stage = Stage {
        scenario,
        settings,
        scene,
        broker,
        observer,
        played,
        sisters,
        module,
        captures,
        interrupt,
        lag,
        ready_since: 0,
        answered: None,
        round_trip: Duration::ZERO,
        unseen: BTreeSet::new(),
        judged: 0,
    };
    let limit = scenario.model.timeout.map_or(TIMEOUT, |span| span.0);
    let outcome = match timeout(limit, act(&mut stage, piece.replay.as_deref())).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Stop::from(
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
    stage.observer.drain();
    let played_records = stage.observer.records.len();
    match outcome {
        Ok(()) => {}
        Err(Stop::Found(mut diagnostic)) => {
            let now = stage.observer.records.last().map_or(Duration::ZERO, |record| record.at);
            diagnostic.evidence.extend(stage.observer.cuts.story(now, |topic| stage.elided(topic)));
            super::races::consider(&stage, &mut diagnostic).await;
            super::unasked::consider(&stage, &mut diagnostic);
            findings.push(*diagnostic);
        }
        Err(Stop::Interrupted) => findings.push(Diagnostic::new(
            Severity::Inconclusive,
            "run/interrupted",
            "the run was interrupted in the middle of the scenario",
        )),
    }
    result.evidence = stage.evidence();
    let unproven = match piece.replay {
        None if is_complete => stage.unproven(&result.evidence),
        _ => Vec::new(),
    };
    let written = stage.written_last();
    let delivered = stage.delivered_last();
    let near_topics = stage.near_topics();
    let unseen = std::mem::take(&mut stage.unseen);
    let answered = stage.answered.clone();
    let by_itself = stage.module.ended.borrow().clone();
    let has_ended = by_itself.is_some();
    let written_by_then = stage.module.output().map_or(0, |output| output.count());
    let ending = farewell(&mut stage, is_complete).await;
    if is_complete {
        findings.extend(super::unasked::asked_again(&stage));
    }
    let Stage { mut observer, played, sisters, module, .. } = stage;
    if let Some(output) = module.output() {
        result.output = output.tail(200);
        result.last_lines = if has_ended { 0 } else { output.count().saturating_sub(written_by_then) };
    }
    // Where a step has failed without saying so, this is why.
    let is_told = findings.iter().any(|found| found.id.starts_with("module/") || found.id == "harness/broken");
    if let Some(how) = by_itself.filter(|_| is_complete || !is_told) {
        findings.insert(0, ended_by_itself(&ending, scene, &how));
    }
    if has_ended && let Some(found) = findings.iter_mut().find(|found| found.id.starts_with("module/")) {
        // Why it has ended, before what became of its connections.
        let words = last_words(&result.output).into_iter().map(|line| format!("it wrote: {line}"));
        let at = found.evidence.len().min(1);
        let delivered = delivered.filter(|_| found.id == "module/ended");
        found.evidence.splice(at..at, words.chain(delivered));
    }
    if !has_ended && let Some(warning) = crashed_at_end(&ending, scene, &result.output) {
        findings.push(warning);
    }
    notes_on_ending(&ending, scene, findings);
    if settings.upstream.is_some() || settings.module == ModuleSource::Attached {
        // What follows is no part of the scenario.
        observer.drain();
        observer.recorder = None;
        forget_retained(&played, &mut observer).await;
    }
    end_played(played, sisters).await;
    observer.drain();
    findings.append(&mut observer.findings);
    for found in findings.iter_mut().filter(|it| matches!(it.severity, Severity::Fail | Severity::Inconclusive)) {
        found.evidence.extend(written.clone());
        if found.id.starts_with("expect/") {
            let told = |topic| format!("it was told on `{topic}`, where nobody was seen to subscribe");
            found.evidence.extend(unseen.iter().map(told));
        }
        // Whoever was not ready may have lost what the scenario said.
        found.evidence.extend(answered.iter().filter(|_| found.id.starts_with("expect/")).map(Answered::to_string));
    }
    near_topics::explain(near_topics, findings);
    findings.extend(answered.and_then(|answered| answered.to_note(&scene.topics.module_id)));
    let is_clean = |findings: &[Diagnostic]| findings.iter().all(|found| Verdict::of(found) == Verdict::Pass);
    if is_clean(findings) {
        findings.extend(unproven);
    }
    if scenario.model.golden && is_complete && is_clean(findings) {
        compare_golden(scene, &observer.records[..played_records], piece.golden.as_ref(), findings, result);
    }
    Some(observer.release())
}

/// From the start of the module to the last step.
async fn act(stage: &mut Stage<'_>, replay: Option<&Replay>) -> Result<(), Stop> {
    if let Some(replay) = replay {
        return super::replay::replay(stage, replay).await;
    }
    stage.wait_ready().await?;
    if stage.settings.module == ModuleSource::Attached && stage.scenario.model.under_test == Side::Everest {
        stage.begin_afresh().await?;
    }
    if let Played::Client(client) = &mut stage.played
        && stage.scene.station.auth_consumer.cfg_communication_check_to_s > 0
    {
        client.communication_check(true).await.map_err(|error| broken(&error.to_string()))?;
    }
    stage.sisters.begin_checks(stage.scene)?;
    let mut memory = Memory::new(&stage.scene.station.tokens);
    let scenario = stage.scenario;
    stage.play(&scenario.model.steps, "/steps", &mut memory).await?;
    stage.let_it_take_in().await
}

/// Ends the module, and takes everything it had still sent: a second reply hides best at the end.
async fn farewell(stage: &mut Stage<'_>, is_complete: bool) -> Ending {
    let now = stage.observer.records.last().map_or(Duration::ZERO, |record| record.at);
    let last_word = stage.observer.monitors.finish(now);
    stage.observer.findings.extend(last_word);
    // A module that is told to end says goodbye; what it sent before arrives before that.
    if matches!(stage.settings.module, ModuleSource::Attached) {
        return Ending::default();
    }
    stage.module.terminate();
    let grace = if is_complete { stage.settings.stop_within } else { FAREWELL };
    let deadline = Instant::now() + grace.min(FAREWELL);
    while stage.observer.connections.is_connected() && !stage.module.has_ended() {
        let mut ended = stage.module.ended.clone();
        tokio::select! {
            is_open = stage.observer.next() => if !is_open { break },
            _ = ended.wait_for(Option::is_some) => break,
            () = tokio::time::sleep_until(deadline) => break,
        }
    }
    let ending = stage.module.end(stage.settings).await;
    stage.drain_after_end().await;
    ending
}

async fn begin_played(scene: &Scene<'_>, piece: &Piece, broker: &Broker) -> Result<(Played, Sisters), Diagnostic> {
    let settings = scene.settings;
    let sisters = match &piece.replay {
        // The recording has what they say.
        Some(_) => Sisters::default(),
        // The simulated EVerest may ask its validator from the start.
        None => Sisters::open(scene, broker).await.map_err(|error| no_link(settings, &error))?,
    };
    begin_side(scene, piece, broker).await.map(|played| (played, sisters))
}

async fn begin_side(scene: &Scene<'_>, piece: &Piece, broker: &Broker) -> Result<Played, Diagnostic> {
    let Scene { scenario, settings, .. } = *scene;
    let client_id = own_client();
    let (topics, station) = (scene.topics.clone(), scene.station.clone());
    match scenario.model.under_test {
        // A recording says all by itself, whichever side it plays; what plays it needs no more than a connection.
        Side::Client if piece.replay.is_none() => {
            let (csms, said) = mpsc::unbounded_channel();
            let (address, wire, csms) = (broker.address(), scene.wire, Some(csms));
            let tells = looks_inside(&scenario.model.steps);
            let (is_driven, inside, ends) = (false, None, None);
            let everest = Everest { address, client_id, topics, station, is_driven, tells, inside, wire, csms, ends };
            let (orders, received) = mpsc::unbounded_channel();
            let (ready, is_ready) = oneshot::channel();
            let task = tokio::spawn(everest.run(received, ready));
            match is_ready.await {
                Ok(Ok(())) => {
                    let charge_point = open_charge_point(scene, &orders, said).await?;
                    Ok(Played::Everest { orders, task, charge_point })
                }
                Ok(Err(error)) => Err(no_link(settings, &error)),
                Err(_) => Err(broken("the simulated EVerest has ended")),
            }
        }
        Side::Client | Side::Everest => {
            let period = check_period(station.auth_consumer.cfg_communication_check_to_s);
            match Client::open(broker.address(), &client_id, topics, period, &[]).await {
                // What comes in is read from the record.
                Ok((client, _)) => Ok(Played::Client(client.writing(scene.wire))),
                Err(error) => Err(no_link(settings, &error)),
            }
        }
    }
}

/// The charge point of the station, if it has one.
async fn open_charge_point(
    scene: &Scene<'_>,
    orders: &mpsc::UnboundedSender<Order>,
    said: mpsc::UnboundedReceiver<CsmsMessage>,
) -> Result<Option<Box<ChargePoint>>, Diagnostic> {
    let station = &scene.station;
    if station.charge_point.is_none() {
        return Ok(None);
    }
    match ChargePoint::open(station.clone(), &scene.topics.module_id, orders.clone(), said).await {
        Ok(charge_point) => Ok(Some(Box::new(charge_point))),
        Err(error) => Err(broken(&format!("the gateway does not start: {error}"))),
    }
}

/// Khumbu's own side has no connection: its own broker is a fault of khumbu, another's is not.
fn no_link(settings: &Settings, error: &LinkError) -> Diagnostic {
    let Some(upstream) = &settings.upstream else { return broken(&error.to_string()) };
    Diagnostic::new(Severity::Error, "harness/no-broker", format!("broker `{upstream}` cannot be used: {error}"))
        .with_help("start it, or leave `--broker` away to use khumbu's own")
}

/// On a broker that goes on, nothing may be left for the next scenario.
async fn forget_retained(played: &Played, observer: &mut Observer) {
    let mut topics = BTreeSet::new();
    for seen in observer.messages.iter().filter(|seen| seen.publish.retain) {
        match seen.publish.payload.is_empty() {
            true => topics.remove(&seen.publish.topic),
            false => topics.insert(seen.publish.topic.clone()),
        };
    }
    let (from, wanted) = (observer.records.len(), topics.len());
    for topic in topics {
        // Whoever has no connection any more can leave nothing better either.
        match played {
            Played::Client(client) => drop(client.link().publish(&topic, "", 1, true).await),
            Played::Everest { orders, .. } => {
                let (topic, payload) = (topic.to_string(), bytes::Bytes::new());
                drop(orders.send(Order::Publish { topic, payload, qos: 1, retain: true }));
            }
        }
    }
    // The way to another broker may be cut off before it is through; an acknowledgement says that it is.
    let is_acknowledgement = |record: &&Record| {
        is_own(&record.client)
            && matches!(record.event, Event::Packet { direction: Direction::ToClient, kind: "PUBACK", .. })
    };
    let deadline = Instant::now() + FAREWELL;
    while observer.records[from..].iter().filter(is_acknowledgement).count() < wanted {
        tokio::select! {
            is_open = observer.next() => if !is_open { break },
            () = tokio::time::sleep_until(deadline) => break,
        }
    }
}

async fn end_played(played: Played, sisters: Sisters) {
    sisters.close().await;
    match played {
        Played::Client(client) => client.close().await,
        Played::Everest { orders, task, charge_point } => {
            drop((orders, charge_point));
            // Its outcome says no more than what the record showed.
            let _ = timeout(FAREWELL, task).await;
        }
    }
}

fn context(scene: &Scene<'_>) -> Context {
    let Scene { scenario, settings, topics, station, sisters, .. } = scene;
    let under_test = match scenario.model.under_test {
        Side::Client => Party::Client,
        Side::Everest => Party::Everest,
    };
    // No client knows of a shorter one until a discovery tells it.
    let untold = match under_test {
        Party::Client => DEFAULT_CHECK,
        Party::Everest => Duration::ZERO,
    };
    let positive = |value: i32| u64::try_from(value).ok().filter(|value| *value > 0);
    let module = |topics: &Topics| {
        let cadence = station.cadence(topics.api);
        let check = cadence.and_then(|cadence| positive(cadence.check_within_s));
        let heartbeat = cadence.and_then(|cadence| positive(cadence.heartbeat_ms));
        ApiModule {
            topics: topics.clone(),
            communication_check_timeout: check.map(Duration::from_secs).map(|check| check.max(untold)),
            heartbeat_interval: heartbeat.map(Duration::from_millis),
        }
    };
    let ApiModule { topics, communication_check_timeout, heartbeat_interval } = module(topics);
    let everests = sisters.iter().filter(|_| under_test == Party::Everest);
    Context {
        in_force: station.in_force(),
        from_start: settings.module != ModuleSource::Attached,
        relayed: settings.upstream.is_some(),
        communication_check_timeout,
        heartbeat_interval,
        auth: Some(station.auth.clone()),
        sisters: everests.map(module).collect(),
        ..Context::new(topics, under_test)
    }
}

/// The module ended before it was told to, although nothing more was expected of it.
fn ended_by_itself(ending: &Ending, scene: &Scene<'_>, how: &str) -> Diagnostic {
    let headline = format!("module `{}` {how} before the end of the scenario", scene.topics.module_id);
    match ending.status {
        Some(status) if !status.success() => Diagnostic::new(Severity::Fail, "module/ended", headline),
        _ => Diagnostic::new(Severity::Warning, "module/ended-by-itself", headline),
    }
}

/// The module was told to end, and neither did so nicely nor by that signal.
fn crashed_at_end(ending: &Ending, scene: &Scene<'_>, output: &[String]) -> Option<Diagnostic> {
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

fn notes_on_ending(ending: &Ending, scene: &Scene<'_>, findings: &mut Vec<Diagnostic>) {
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
        findings.push(
            Diagnostic::new(
                Severity::Warning,
                "module/left-processes",
                format!("module `{module}` left {} processes behind, which were killed", ending.left_behind.len()),
            )
            .with_evidence(ending.left_behind.join(", ")),
        );
    }
}

fn compare_golden(
    scene: &Scene<'_>,
    records: &[Record],
    accepted: Option<&Arc<Source>>,
    findings: &mut Vec<Diagnostic>,
    result: &mut ScenarioResult,
) {
    let Scene { scenario, settings, topics, sisters, wire, .. } = scene;
    let own = scenario.release();
    if own != scene.station.release {
        let headline = format!("the golden was not compared: it belongs to release `{own}`");
        return findings.push(Diagnostic::new(Severity::Note, "golden/not-compared", headline));
    }
    // Where the scenario itself asks for more fields, its golden has them.
    if wire.adds_fields() && scenario.model.wire.is_none() {
        let headline = format!("the golden was not compared: the wire form `{wire}` has more fields");
        return findings.push(Diagnostic::new(Severity::Note, "golden/not-compared", headline));
    }
    let names = golden::Names { topics, sisters, clients: &[] };
    let transcript = golden::transcript(records, &names);
    if let Err(difference) = snapshot::compare(accepted, &transcript, &scenario.source) {
        if !settings.is_updating_goldens {
            findings.push(*difference);
        }
        result.pending_golden =
            Some(snapshot::pending(&scenario.source.path, &scenario.model.description, &transcript));
    }
}

/// Puts the findings in order, the worst verdict first to last seen, notes at the end, and takes the verdict.
fn judge(result: &mut ScenarioResult, findings: Vec<Diagnostic>) {
    let (failures, notes): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|found| Verdict::of(found) != Verdict::Pass);
    result.verdict = failures.iter().map(Verdict::of).max().unwrap_or(Verdict::Pass).max(result.verdict);
    result.findings.extend(failures);
    result.findings.extend(notes);
}

/// A result for a scenario whose performance panicked: a fault of ours, told as such.
pub fn panicked(piece: &Piece, why: String) -> Arc<ScenarioResult> {
    let mut result = piece.to_result();
    let diagnostic = Diagnostic::new(Severity::Error, "harness/panic", format!("khumbu itself panicked: {why}"))
        .with_help("this is a fault of khumbu; please report it with the scenario");
    judge(&mut result, vec![diagnostic]);
    Arc::new(result)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::scenario;

    const TEXT: &str = "description: x\nunder_test: client\nsteps:\n  - note: nothing\n";

    #[test]
    fn a_panic_of_ours_is_an_error_of_ours() {
        let scenario = Arc::new(scenario::parse("x.yaml", TEXT, scenario::Known::default()).unwrap());
        let piece = Piece { release: scenario.release(), scenario, golden: None, recorder: None, replay: None };
        let result = panicked(&piece, "index out of bounds".to_owned());
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
            found(Severity::Inconclusive, "run/interrupted"),
        ];
        judge(&mut result, findings);
        assert_eq!(result.verdict, Verdict::Fail, "what the module did wrong is not hidden");
        let ids: Vec<_> = result.findings.iter().map(|found| found.id).collect();
        assert_eq!(ids, ["expect/missing", "harness/broken", "run/interrupted", "module/ended-by-itself"]);
    }
}

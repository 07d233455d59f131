//! What came of a recording that was played to its end: what the module did beside what it did then, and the words for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::{Missing, Player, Replayed, Requests, Undelivered};
use crate::conformance::judge::{Case, WITHIN};
use crate::conformance::sighting::Party;
use crate::diagnostic::words::cut;
use crate::diagnostic::{Diagnostic, Severity};
use crate::parity::station_file::Everest;
use crate::parity::{Allowance, Difference, Outcome, Report};
use crate::protocol::channel::ApiType;
use crate::protocol::side::Side;
use crate::runner::clock::Speed;
use crate::runner::observer::is_own;
use crate::runner::races;
use crate::runner::stop::Stop;
use crate::transcript::record::Event;

/// How much later than recorded the last thing may come that is awaited.
const AT_LAST: Duration = WITHIN;

/// Topics shown as evidence.
const SHOWN: usize = 6;

impl Player<'_, '_> {
    /// Waits for what is still to come, and judges.
    pub(super) async fn end(&mut self) -> Result<(), Stop> {
        let end_ms = self.replay.script.recording.end_ms();
        self.wait(end_ms).await?;
        // What is late because khumbu itself was held up is waited for, too.
        let within = if self.side == Side::Client { AT_LAST } else { self.replay.tolerance };
        let deadline = Instant::now() + within + self.held_up();
        let is_over = |player: &Self| {
            player.answers.is_empty() && player.side == Side::Client && player.is_settled(i64::MIN, end_ms)
        };
        while !is_over(self) && Instant::now() < deadline {
            self.step(deadline).await?;
        }
        self.stage.lookout.observer.drain();
        self.look();
        let replayed = match self.side {
            Side::Client => Replayed::ToClient(self.requests_made()),
            Side::Everest => self.compared().await,
        };
        self.judge(&replayed);
        *self.replay.replayed.lock().unwrap_or_else(PoisonError::into_inner) = Some(replayed);
        Ok(())
    }

    /// How long khumbu has been held up since the recording began.
    fn held_up(&self) -> Duration {
        self.stage.lookout.held_up().saturating_sub(self.lag)
    }

    fn requests_made(&mut self) -> Requests {
        let spoken = self.spoken();
        let mut requests = Requests { others: std::mem::take(&mut self.others), ..Requests::default() };
        for (request, state) in self.part.requests.iter().zip(&self.requests) {
            // What another client said is not asked of this one.
            if !state.is_made && !state.is_told && request.api.is_some_and(|api| !spoken.contains(&api)) {
                continue;
            }
            requests.recorded += 1;
            if state.is_made {
                requests.made += 1;
                continue;
            }
            requests.missing.push(Missing {
                line: request.line,
                topic: request.topic.clone(),
                content: request.content.clone().unwrap_or_default(),
                is_told: state.is_told,
            });
        }
        requests
    }

    /// The APIs that the client speaks: it has subscribed to something of theirs, or published there.
    fn spoken(&self) -> BTreeSet<ApiType> {
        let filters = self.stage.lookout.observer.records.iter().filter_map(|record| match &record.event {
            Event::Subscribed { filter, .. } if !is_own(&record.client) => Some(filter.as_str()),
            _ => None,
        });
        let messages = self.stage.lookout.observer.messages.iter().filter(|seen| seen.from == Party::Module);
        let said = filters.chain(messages.map(|seen| &*seen.publish.topic));
        said.filter_map(|topic| self.witness.api_of(&self.renaming.topic_to_recorded(topic))).collect()
    }

    /// How far apart in time the same outcome may lie, in milliseconds.
    pub(super) fn tolerance_ms(&self) -> i64 {
        i64::try_from(self.replay.tolerance.as_millis()).unwrap_or(i64::MAX / 4)
    }

    async fn compared(&mut self) -> Replayed {
        let (start, _) = self.replay.script.start(self.tolerance_ms());
        // A harness that was held up is no fault of the module.
        let tolerance = self.clock.recorded_span(self.replay.tolerance + self.held_up());
        let timed = |(at, outcome): (Instant, Outcome)| Outcome { t_ms: self.clock.recorded(at), ..outcome };
        let live = std::mem::take(&mut self.live).into_iter().map(timed);
        let live: Vec<Outcome> = live.filter(|it| start == Everest::Starting || it.t_ms >= -tolerance).collect();
        let is_builtin = self.stage.scene.settings.module.is_builtin();
        let allowance = Allowance {
            near_ms: (self.replay.speed != Speed::Max).then_some(tolerance),
            edge_ms: tolerance,
            heartbeats: self.replay.speed == Speed::Times(1.0),
            renumbers: start == Everest::Running,
            inside: is_builtin || live.iter().any(|outcome| self.witness.is_inside(outcome)),
        };
        let (mut report, hidden) = self.witness.compare(live, allowance);
        let mut undelivered = std::mem::take(&mut self.undelivered);
        if !self.moves_evses {
            undelivered.append(&mut self.reports);
            undelivered.sort_by_key(|it| it.line);
        }
        // What differs because something was lost says nothing of races.
        let may_race = |it: &Difference| !it.is_of_heartbeats() && is_before(it, &undelivered);
        let tolerance = self.replay.tolerance + self.held_up();
        let differs = report.differences.iter().any(may_race);
        let raced = match differs && self.are_both_right(tolerance).await {
            true => report.differences.extract_if(.., |it| may_race(it)).collect(),
            false => Vec::new(),
        };
        Replayed::ToEverest { report, raced, hidden, undelivered }
    }

    fn judge(&mut self, replayed: &Replayed) {
        let found = match replayed {
            Replayed::ToClient(requests) => of_requests(self.stage.case(), requests),
            Replayed::ToEverest { report, undelivered, .. } => {
                let is_heartbeat = Difference::is_of_heartbeats;
                let judged =
                    report.differences.iter().filter(|it| is_heartbeat(it) || is_before(it, undelivered)).count();
                of_outcomes(self.stage.case(), report, judged, undelivered)
            }
        };
        self.stage.lookout.observer.findings.extend(found);
    }

    /// Whether EVerest may do what it did then, and what it has done now.
    async fn are_both_right(&self, tolerance: Duration) -> bool {
        let records = &self.stage.lookout.observer.records;
        races::are_both_right(self.stage.scene, records, &self.replay.script, tolerance).await
    }
}

/// Whether a difference lies before everything that could not be delivered.
fn is_before(difference: &Difference, undelivered: &[Undelivered]) -> bool {
    undelivered.first().is_none_or(|first| difference.t_ms() < first.t_ms)
}

/// What an EVerest did otherwise than in the recording that was played to it; so many of the differences are `judged`,
/// because nothing was lost before them.
fn of_outcomes(case: &Case<'_>, report: &Report, judged: usize, undelivered: &[Undelivered]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if judged > 0 {
        let headline = format!(
            "{} did otherwise than recorded: {} of {} outcomes reproduced",
            case.culprit(),
            report.reproduced,
            report.outcomes
        );
        found.push(Diagnostic::new(Severity::Fail, "recording/not-reproduced", headline));
    }
    if report.outcomes == 0 {
        let headline = format!("{} was not judged: the recording has nothing that it should do", case.culprit());
        let help = "name its ids and topics with `--module-id`, `--api-version` and `--external-prefix`, or in the station file";
        found.push(Diagnostic::new(Severity::Inconclusive, "recording/nothing-judged", headline).with_help(help));
    }
    let unjudged = report.differences.len() - judged;
    let Some(first) = undelivered.first().filter(|_| unjudged > 0) else { return found };
    let headline = format!(
        "{} was not reached by {} of the recording's messages: {unjudged} differences after the first are not judged",
        case.culprit(),
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
fn of_requests(case: &Case<'_>, requests: &Requests) -> Vec<Diagnostic> {
    let missing = requests.missing.iter().map(|missing| {
        let (severity, why) = match missing.is_told {
            true => (Severity::Fail, "was told to make a request of the recording, and did not"),
            false => (Severity::Warning, "did not make a request of the recording"),
        };
        let asked = format!("{} {}", case.elided(&missing.topic), cut(&missing.content.to_string(), 160));
        Diagnostic::new(severity, "recording/request-not-made", format!("{} {why}", case.culprit()))
            .with_evidence(format!("line {}: {asked}", missing.line))
    });
    let others = requests.others.iter().map(|(topic, content)| {
        let headline = format!("{} made a request that the recording does not have", case.culprit());
        let asked = format!("{} {}", case.elided(topic), cut(&content.to_string(), 160));
        Diagnostic::new(Severity::Warning, "recording/other-request", headline).with_evidence(asked)
    });
    missing.chain(others).collect()
}

//! Why an expectation was not met, in words: what was expected, what came instead, and what the wire showed meanwhile.
//!
//! Pure: what was judged and what was seen come in, diagnostics go out.

use std::time::Duration;

use super::accord::{Means, asked_by, ways_to_tell, what_would_exercise};
use super::case::{Case, View};
use super::claims::Claims;
use super::expectation::{Expectation, Mismatch, What};
use super::nearest::{Bar, Near, nearest};
use super::{Fault, NotMet, Why};
use crate::conformance::sighting::{Kind, Party, Sighting};
use crate::diagnostic::words::{a, actual, cut, shown};
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::channel::{Channel, EntryPoint};
use crate::protocol::control::Deed;
use crate::protocol::side::Side;
use crate::scenario::channel_of;
use crate::scenario::pattern::Captures;

/// Messages shown as evidence.
const SHOWN: usize = 6;
/// Differences of the nearest message shown as evidence.
const DIFFERENCES: usize = 4;

/// A client has made no other request while one of its own is not answered.
const WAITS: &str = "module/waits-for-reply";

/// Whether it is found that a module may wait for a reply for ever, and may as well be patient: what else it did while it
/// waited says nothing of that.
pub fn is_undecided(found: &Diagnostic, requirement: &str) -> bool {
    found.id == WAITS && found.is_unexercised && found.requirement == Some(requirement)
}

/// All that a finding is told with.
#[derive(Debug, Clone, Copy)]
pub struct Findings<'a> {
    /// The scenario.
    pub case: &'a Case<'a>,
    /// The messages.
    pub view: View<'a>,
    /// Which of them have met a step.
    pub claims: &'a Claims,
    /// What patterns have captured.
    pub captures: &'a Captures,
    /// What else is known of the module.
    pub module: &'a ModuleTraces,
}

/// What is known of the module besides its messages.
#[derive(Debug, Clone, Default)]
pub struct ModuleTraces {
    /// How it has ended, if it has.
    pub end: Option<String>,
    /// What was started as the module.
    pub ran: String,
    /// How it stands to the topic on which it can be told things.
    pub listening: Vec<String>,
    /// What became of what it was told last.
    pub order: Option<String>,
    /// How it can be told things.
    pub means: Means,
}

impl Findings<'_> {
    /// Says why something was not met.
    pub fn explain(&self, not_met: &NotMet) -> Diagnostic {
        let found = self.of(not_met);
        match self.own_accord(not_met) {
            Some(command) => self.not_held(found, command),
            None => found,
        }
    }

    fn of(&self, not_met: &NotMet) -> Diagnostic {
        let pointer = &not_met.pointer;
        match &not_met.why {
            Why::Expected(expectation, fault) => self.of_fault(expectation, fault),
            Why::Unexpected(seq) => self.unexpected(pointer, *seq),
            Why::EndedInSilence => self.module.ended_while(self.case, pointer, "while silence was demanded of it"),
            Why::CallsUnseen => self.shows_no_calls(pointer),
        }
    }

    fn of_fault(&self, expectation: &Expectation, fault: &Fault) -> Diagnostic {
        let found = match fault {
            Fault::Mismatch(seq, mismatch, waited) => self.mismatch(expectation, *seq, mismatch, *waited),
            Fault::OutOfOrder(seq) => self.out_of_order(expectation, *seq),
            Fault::Late(seq, waited) => self.late(expectation, *seq, *waited),
            Fault::Missing { waited, floor } => self.missing(expectation, *waited, *floor),
            Fault::Ended => self.ended(expectation),
            Fault::NotDrivable => self.not_drivable(expectation),
            Fault::NotDone => self.not_done(expectation),
            Fault::NotAskedAgain(seq) => self.not_asked_again(expectation, *seq),
            Fault::WaitsForReply(seq) => self.waits_for_reply(expectation, *seq),
            Fault::NoAnswer => self.does_not_answer(expectation),
        };
        // What comes on a topic that several requests name says nothing of what the scenario is about.
        let is_unclear = found.subject == Subject::Expectation && is_of_several(self.case, self.view, expectation);
        if is_unclear { found.breaking("RR-13") } else { found }
    }

    /// A message stands where another was expected.
    fn mismatch(&self, expectation: &Expectation, seq: u64, mismatch: &Mismatch, waited: Duration) -> Diagnostic {
        let (severity, id, who) = self.blame(expectation, "expect/payload-mismatch");
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
        let (waited, within) = (shown(waited), shown(expectation.within));
        let line = self.line(seq).map(|line| format!("{line}, after {waited} (allowed {within})"));
        let diagnostic = Diagnostic::new(severity, id, headline)
            .at(self.case.place(&mismatch.pointer, &format!("actual {}", told_apart(mismatch))))
            .about(Subject::Expectation)
            .otherwise()
            .instead_of(seq)
            .with_lines(line.into_iter().collect())
            .with_lines(self.before(seq, expectation.since))
            .with_lines(self.sent_by_module(expectation));
        // What it was told to send says what it means, whatever the scenario is about.
        let told = match &expectation.what {
            What::Request { kind: Kind::Channel(channel), .. } => channel.api().behaviour().meant(*channel),
            _ => None,
        };
        Diagnostic { requirement: told, ..diagnostic }
    }

    /// A message came before one that it should have followed.
    fn out_of_order(&self, expectation: &Expectation, seq: u64) -> Diagnostic {
        let (severity, _, who) = self.blame(expectation, "expect/out-of-order");
        let headline = format!("{who} sent the {} too early", noun(expectation));
        let diagnostic = Diagnostic::new(severity, "expect/out-of-order", headline)
            .at(self.case.place(&expectation.pointer, "came before what the step above expects"))
            .about(Subject::Expectation)
            .with_lines(self.line(seq).into_iter().collect())
            .with_help("put both expectations under `any_order` if either order is right");
        // Which order a module has to keep was looked at before.
        Diagnostic { is_otherwise: expectation.by == Party::Harness, ..diagnostic }
    }

    /// The message came, but after its time.
    fn late(&self, expectation: &Expectation, seq: u64, waited: Duration) -> Diagnostic {
        let (severity, _, who) = self.blame(expectation, "expect/late");
        let is_overdue = expectation.is_overdue_answer(self.case, waited);
        let too_late = is_overdue.then(|| self.case.topics.api.behaviour().late_answer_requirement());
        let (waited, within) = (shown(waited), shown(expectation.within));
        let headline = format!("{who} sent the {} after {waited}, allowed {within}", noun(expectation));
        let diagnostic = Diagnostic::new(severity, "expect/late", headline)
            .at(self.case.place(&expectation.pointer, ""))
            .about(Subject::Expectation)
            .with_lines(self.line(seq).into_iter().collect());
        // It goes on: that it is slow has nothing to do with what it was shown.
        Diagnostic { requirement: too_late.or_else(|| self.owed_told_or_not(expectation)), ..diagnostic }
    }

    /// The message did not come.
    fn missing(&self, expectation: &Expectation, waited: Duration, floor: Option<u64>) -> Diagnostic {
        let Self { case, view, claims, .. } = *self;
        if let Some(seen) = astray(view, claims, expectation) {
            let headline = format!("{} sent the {} on another topic", case.culprit(), noun(expectation));
            let mut diagnostic = Diagnostic::new(Severity::Fail, "expect/wrong-topic", headline)
                .at(case.place(&expectation.pointer, ""))
                .about(Subject::Expectation)
                .instead_of(seen.seq);
            diagnostic.requirement = self.of_its_place(expectation);
            if let What::Reply { topic, .. } = &expectation.what {
                // A prefix may be all the difference.
                let is_plain = case.topics.external_prefix.is_empty();
                let topic = if is_plain { case.elided(topic) } else { topic.to_string() };
                diagnostic = diagnostic.with_evidence(format!("expected on: {topic}"));
            }
            return diagnostic.with_evidence(format!("seen: {}", case.line(seen)));
        }
        let (severity, id, who) = self.blame(expectation, "expect/missing");
        let near = nearest(expectation, view.messages, claims, self.captures, floor);
        // To a discovery others reply as well.
        let matching = if near.is_some() && matches!(expectation.what, What::Reply { .. }) { "matching " } else { "" };
        let headline =
            format!("{who} sent no {matching}{} within {}", expectation.in_words(), shown(expectation.within));
        let order = self.module.order.iter().filter(|_| matches!(expectation.what, What::Request { .. }));
        let diagnostic = Diagnostic::new(severity, id, headline)
            .at(case.place(&expectation.pointer, ""))
            .about(Subject::Expectation)
            .otherwise()
            .with_evidence(format!("waited {}", shown(waited)))
            .with_lines(order.cloned().collect())
            .with_lines(near.iter().flat_map(|near| self.nearest_in_words(near)).collect())
            .instead_of(near.as_ref().map(|near| near.seen.seq))
            .with_lines(self.meanwhile(expectation.since, near.map(|near| near.seen.seq)))
            .with_lines(self.unanswered(expectation))
            .with_lines(self.heartbeats())
            .with_lines(self.sent_by_module(expectation));
        if let Some((seq, requirement)) = self.has_ended(expectation) {
            let diagnostic = diagnostic.with_lines(self.line(seq).into_iter().collect());
            return Diagnostic { requirement: Some(requirement), ..diagnostic };
        }
        if self.owed_told_or_not(expectation).is_some() && self.has_not_found() {
            // What it does not do is owed where it has not looked.
            let why = "it asked which API modules there are, and has done nothing since: other modules may reply before its own";
            return diagnostic.with_evidence(why).breaking("DI-6");
        }
        let owed_by = self.owed(expectation);
        // It lives: that what it owes stays out need not be for what the scenario is about.
        let lives = self.goes_on(expectation);
        let diagnostic = diagnostic.with_lines(lives.iter().map(|line| format!("it went on: {line}")).collect());
        let suspects = owed_by.filter(|_| lives.is_some()).into_iter().collect();
        // Who has never done so does not stop to because of what it is shown.
        let requirement = self.owed_told_or_not(expectation).filter(|_| !self.has_ever(expectation));
        Diagnostic { requirement, owed_by, suspects, ..diagnostic }
    }

    /// The module ended while something was expected of it.
    fn ended(&self, expectation: &Expectation) -> Diagnostic {
        let when = format!("while a {} was expected", expectation.in_words());
        let diagnostic = self.module.ended_while(self.case, &expectation.pointer, &when);
        diagnostic.with_lines(self.meanwhile(expectation.since, None)).with_lines(self.heartbeats())
    }

    /// The last request of a client under test that nobody answers, where something else is expected of it.
    fn unanswered(&self, expectation: &Expectation) -> Vec<String> {
        let is_its_own = expectation.by == Party::Module && self.case.side() == Side::Client;
        let mut requests = self.view.requests.iter().rev().filter(|_| is_its_own);
        let open = requests.find(|request| request.from == Party::Module && !request.is_answered);
        let line = open.and_then(|request| self.line(request.seq));
        line.map(|line| format!("nobody answered its request: {line}")).into_iter().collect()
    }

    /// The last numbers of EVerest's heartbeats, if these were out of turn, and where they went back, if they did.
    fn heartbeats(&self) -> Vec<String> {
        /// So many are told.
        const TOLD: usize = 6;
        if self.case.side() != Side::Client {
            return Vec::new();
        }
        let is_heartbeat =
            |seen: &&Sighting| seen.from == Party::Harness && seen.place.channel_of(0) == Some(Channel::HEARTBEAT);
        let numbers = self.view.messages.iter().filter(is_heartbeat);
        let numbers: Vec<_> = numbers.filter_map(|seen| Some((seen.json.as_ref()?.as_u64()?, seen.at))).collect();
        let last = &numbers[numbers.len().saturating_sub(TOLD)..];
        let is_out_of_turn = last.windows(2).any(|pair| pair[0].0.checked_add(1) != Some(pair[1].0));
        let told: Vec<_> = last.iter().map(|(number, _)| number.to_string()).collect();
        let told = is_out_of_turn.then(|| format!("the last heartbeats: {}", told.join(", ")));
        let back = numbers.windows(2).rfind(|pair| pair[1].0 < pair[0].0).map(|pair| {
            let ((before, _), (after, at)) = (pair[0], pair[1]);
            format!("heartbeats went back from {before} to {after} at {}", shown(at))
        });
        back.into_iter().chain(told).collect()
    }

    /// A message came that must not come.
    fn unexpected(&self, pointer: &str, seq: u64) -> Diagnostic {
        let case = self.case;
        let seen = self.view.message(seq);
        let kind = seen.map_or(&Kind::Other, |seen| &seen.kind);
        let follows = kind.has_lanes() || matches!(kind, Kind::Did(_));
        let (severity, id, who) = match seen.map(|seen| seen.from) {
            Some(Party::Harness) if case.is_other_api() && follows => outcome(case),
            Some(Party::Harness) => (Severity::Error, "scenario/contradicted", case.played().to_owned()),
            Some(Party::Module) | None => (Severity::Fail, "expect/unexpected", case.culprit()),
        };
        Diagnostic::new(severity, id, format!("{who} sent {} where none may come", a(kind.name())))
            .at(case.place(pointer, ""))
            .about(Subject::Expectation)
            .otherwise()
            .with_lines(self.line(seq).into_iter().collect())
    }

    /// The module cannot be told what the scenario needs.
    fn not_drivable(&self, expectation: &Expectation) -> Diagnostic {
        let command = match &expectation.what {
            What::Request { kind, .. } => asked_by(self.case.topics.api, kind).unwrap_or(kind.name()),
            What::Message { kind: Some(kind), api, .. } => {
                let channel = channel_of(*kind, *api);
                channel.and_then(|channel| asked_by(*api, &Kind::Channel(channel))).unwrap_or(kind.name())
            }
            _ => "do so",
        };
        let diagnostic = self.module.undrivable(self.case, &expectation.pointer, command);
        match self.module.means.bound.contains(command) {
            true => {
                diagnostic.with_evidence(format!("it did not do so by itself within {}", shown(expectation.within)))
            }
            false => diagnostic,
        }
    }

    /// What a section is about did not come.
    fn not_done(&self, expectation: &Expectation) -> Diagnostic {
        let case = self.case;
        let what = expectation.in_words();
        let (headline, help) = match expectation.by {
            Party::Module => (
                format!("{} sent no {what} by itself: what would follow was not exercised", case.culprit()),
                self.by_itself_or_told(expectation),
            ),
            Party::Harness => (
                format!(
                    "given what {} did, EVerest sent no {what}: what would follow was not exercised",
                    case.culprit()
                ),
                "it follows from what the module does, and when".to_owned(),
            ),
        };
        Diagnostic::new(Severity::Inconclusive, "module/not-exercised", headline)
            .about(Subject::Module)
            .at(case.place(&expectation.pointer, ""))
            .with_evidence(format!("waited {}", shown(expectation.within)))
            .with_lines(self.meanwhile(expectation.since, None))
            .unexercised(help)
    }

    /// The module has made no other request of its own accord while one of the same kind is not answered: that may be
    /// patience, or it may never ask again.
    fn not_asked_again(&self, expectation: &Expectation, seq: u64) -> Diagnostic {
        let (what, within) = (expectation.in_words(), shown(expectation.within));
        let headline = format!(
            "{} made no other {what} within {within} while one is not answered: nobody knows how long it waits",
            self.case.culprit()
        );
        let help = format!(
            "a module that makes another {what} within {within} where nobody answers the one before; this one may wait longer, or for ever"
        );
        Diagnostic::new(Severity::Inconclusive, WAITS, headline)
            .about(Subject::Module)
            .at(self.case.place(&expectation.pointer, ""))
            .with_lines(self.line(seq).map(|line| format!("not answered: {line}")).into_iter().collect())
            .breaking("RR-14")
            .unexercised(help)
    }

    /// What would have had the module send what a section is about.
    fn by_itself_or_told(&self, expectation: &Expectation) -> String {
        let case = self.case;
        let (kind, what) = match &expectation.what {
            What::Message { kind: Some(kind), api, .. } => {
                (channel_of(*kind, *api).map(Kind::Channel), kind.name().to_owned())
            }
            What::Message { filter: Some(filter), .. } => {
                let entry = EntryPoint::from_topic(&case.topics.external_prefix, filter);
                (entry.map(Kind::EntryPoint), format!("a {}", expectation.in_words()))
            }
            _ => (None, expectation.in_words()),
        };
        let by_itself = format!("let it send {what} by itself while the scenario waits");
        match kind.and_then(|kind| asked_by(case.topics.api, &kind)) {
            Some(command) => format!("{by_itself}, let it {}", ways_to_tell(case, command)),
            None => by_itself,
        }
    }

    /// The module makes no request while another one of its own is not answered, as it may: nobody asks for two at a time.
    fn waits_for_reply(&self, expectation: &Expectation, seq: u64) -> Diagnostic {
        let headline = format!(
            "{} made no {} within {}; a request that it made before is not answered",
            self.case.culprit(),
            expectation.in_words(),
            shown(expectation.within)
        );
        Diagnostic::new(Severity::Inconclusive, WAITS, headline)
            .about(Subject::Module)
            .at(self.case.place(&expectation.pointer, ""))
            .with_lines(self.line(seq).map(|line| format!("not answered: {line}")).into_iter().collect())
            .with_evidence("it is still subscribed to the topic of the reply, and may make one request at a time")
            .with_help(
                "let the module give up a request that nobody answers, or let the step wait longer with `within:`",
            )
    }

    /// The module was told to do something, and never told what came of it.
    fn does_not_answer(&self, expectation: &Expectation) -> Diagnostic {
        let case = self.case;
        let headline =
            format!("{} gave no {} within {}", case.culprit(), expectation.in_words(), shown(expectation.within));
        Diagnostic::new(Severity::Inconclusive, "module/not-drivable", headline)
            .about(Subject::Module)
            .at(case.place(&expectation.pointer, ""))
            .with_evidence(format!("it sent no such message on `{}`", case.topics.did_topic()))
            .with_help("name the command under `cannot:` in khumbu.yaml to skip such scenarios")
    }

    /// Who is to blame, and by which id, where a module under test gets this one.
    fn blame(&self, expectation: &Expectation, of_module: &'static str) -> (Severity, &'static str, String) {
        match expectation.by {
            Party::Module => (Severity::Fail, of_module, self.case.culprit()),
            Party::Harness if follows_from_module(self.case, self.view, expectation) => outcome(self.case),
            Party::Harness => (Severity::Error, "scenario/contradicted", self.case.played().to_owned()),
        }
    }

    pub(super) fn line(&self, seq: u64) -> Option<String> {
        self.view.message(seq).map(|seen| self.case.line(seen))
    }

    /// What a module had sent by which EVerest was led, newest last.
    fn sent_by_module(&self, expectation: &Expectation) -> Vec<String> {
        if !follows_from_module(self.case, self.view, expectation) {
            return Vec::new();
        }
        let sent = self.telling(0).filter(|seen| seen.from == Party::Module).map(|seen| self.case.line(seen));
        let sent: Vec<_> = sent.collect();
        match &sent[sent.len().saturating_sub(3)..] {
            [] => vec!["the module sent nothing but communication checks".to_owned()],
            last => last.iter().map(|line| format!("the module sent: {line}")).collect(),
        }
    }

    /// What was seen before a message, newest last.
    fn before(&self, seq: u64, since: u64) -> Vec<String> {
        let lines: Vec<_> =
            self.telling(since).filter(|other| other.seq < seq).map(|seen| self.case.line(seen)).collect();
        lines[lines.len().saturating_sub(3)..].iter().map(|line| format!("before it: {line}")).collect()
    }

    /// The message that nearly met an expectation, and what differs in it.
    fn nearest_in_words(&self, near: &Near<'_>) -> Vec<String> {
        let case = self.case;
        let mut lines = vec![format!("nearest: {}", case.line(near.seen))];
        let bar = near.bar.as_ref().map(|bar| match bar {
            Bar::Claimed(claim) => format!("it has met the step in line {}", case.scenario.line(&claim.pointer)),
            Bar::BeforeStimulus => "it came before the last stimulus".to_owned(),
            Bar::BeforeStepAbove => "it came before what the step above was met by".to_owned(),
            Bar::OtherParty if near.seen.from == Party::Harness => format!("{} has sent it", case.played()),
            Bar::OtherParty => format!("{} has sent it", case.culprit()),
        });
        let hidden = near.differences.len().saturating_sub(DIFFERENCES);
        let differences = near.differences.iter().take(DIFFERENCES).chain(&bar);
        lines.extend(differences.map(|difference| format!("but {difference}")));
        if hidden > 0 {
            lines.push(format!("and it differs in {hidden} more"));
        }
        lines
    }

    /// What was seen since a step, newest last, but what is shown already.
    fn meanwhile(&self, since: u64, shown: Option<u64>) -> Vec<String> {
        let others = self.telling(since).filter(|seen| Some(seen.seq) != shown);
        let lines: Vec<_> = others.map(|seen| self.case.line(seen)).collect();
        if lines.is_empty() {
            let but = if shown.is_some() { "nothing else but" } else { "nothing but" };
            return vec![format!("meanwhile: {but} heartbeats and communication checks")];
        }
        lines[lines.len().saturating_sub(SHOWN)..].iter().map(|line| format!("meanwhile: {line}")).collect()
    }

    /// Nobody can say whether the module calls its EVSEs as the scenario wants.
    fn shows_no_calls(&self, pointer: &str) -> Diagnostic {
        let case = self.case;
        let headline = format!("{} does not show what it asks of EVSEs", case.culprit());
        let found = Diagnostic::new(Severity::Inconclusive, "module/calls-unseen", headline)
            .about(Subject::Module)
            .at(case.place(pointer, ""))
            .with_evidence(format!("it has sent nothing on `{}`", case.topics.did_topic()));
        let Some(binding) = case.shown_on().next() else {
            return found.with_evidence("no station file has a binding `evse_call`").with_help(
                "name a station file that says where calls are shown, or put `expect_evse` under `cannot:` in khumbu.yaml",
            );
        };
        let found = found.with_evidence(format!("nor on `{}`, as the binding `evse_call` has it", binding.topic));
        // The binding may lack the levels before it, such as EVerest's external prefix.
        let longer = self.view.messages.iter().find_map(|seen| {
            let topic = &seen.publish.topic;
            let (prefix, _) = topic
                .match_indices('/')
                .map(|(at, _)| topic.split_at(at + 1))
                .find(|(_, rest)| binding.evse_of(rest).is_some())?;
            Some((prefix, topic))
        });
        match longer {
            Some((prefix, topic)) => found.with_evidence(format!("something passed on `{topic}`")).with_help(format!(
                "write `{prefix}{}` into the bindings that have this topic: the external prefix stands there too",
                binding.topic
            )),
            None => {
                found.with_help("let EVerest show its calls there, or name the topic in the binding on which it does")
            }
        }
    }

    /// Messages that tell something: no commands of ours, no heartbeats, no checks.
    fn telling(&self, since: u64) -> impl Iterator<Item = &Sighting> {
        self.view.messages[self.view.since(since)..].iter().filter(|seen| {
            !matches!(
                seen.kind,
                Kind::Control | Kind::Channel(Channel::HEARTBEAT) | Kind::Channel(Channel::COMMUNICATION_CHECK)
            )
        })
    }
}

impl ModuleTraces {
    /// The module ended in the middle of the scenario.
    ///
    /// A module of ours does not end by itself: there the broker, or khumbu, is at fault.
    pub fn ended_while(&self, case: &Case<'_>, pointer: &str, when: &str) -> Diagnostic {
        let how = self.end.as_deref().unwrap_or("ended");
        if case.is_builtin {
            return Diagnostic::broken(&format!("the built-in module {how} {when}")).at(case.place(pointer, ""));
        }
        Diagnostic::new(Severity::Fail, "module/ended", format!("{} {how} {when}", case.culprit()))
            .about(Subject::ModuleEnd)
            .at(case.place(pointer, ""))
            .with_evidence(format!("ran: {}", self.ran))
    }

    /// The module cannot be told to follow this command.
    pub fn undrivable(&self, case: &Case<'_>, pointer: &str, command: &str) -> Diagnostic {
        let headline = format!("{} cannot be told to `{command}`", case.culprit());
        let is_bound = self.means.bound.contains(command);
        let unbound = (!is_bound).then(|| format!("khumbu.yaml has no binding for `{command}`"));
        Diagnostic::new(Severity::Inconclusive, "module/not-drivable", headline)
            .about(Subject::Module)
            .at(case.place(pointer, ""))
            .with_lines(self.listening.clone())
            .with_lines(unbound.into_iter().collect())
            .unexercised(what_would_exercise(case, command))
    }
}

/// A step asks for a reply where no request asked for one.
pub fn no_reply_asked_for(case: &Case<'_>, view: View<'_>, claims: &Claims, pointer: &str) -> Diagnostic {
    let mut messages = view.messages.iter().rev();
    let request = messages.find(|seen| seen.kind.is_request() && claims.of(seen.seq).is_some());
    let diagnostic =
        Diagnostic::new(Severity::Inconclusive, "expect/no-reply-topic", "the request named no reply topic")
            .about(Subject::Expectation)
            .at(case.place(pointer, "no reply can come"));
    match request {
        Some(request) => diagnostic.with_evidence(format!("the request: {}", case.line(request))).with_help(
            r#"name the topic of the reply, without the external prefix, in `headers`: {"headers": {"replyTo": "TOPIC"}, "payload": …}"#,
        ),
        None => diagnostic,
    }
}

/// A message of the module that is the expected one but for its topic.
pub(super) fn astray<'a>(view: View<'a>, claims: &Claims, expectation: &Expectation) -> Option<&'a Sighting> {
    let mut messages = view.messages[view.since(expectation.since)..].iter();
    // Who speaks in another version may be of another release, unless it was told which one there is.
    let was_told = view.messages.iter().any(|seen| seen.from == Party::Harness && matches!(seen.kind, Kind::Answer(_)));
    let is_elsewhere = |seen: &Sighting| {
        expectation.is_met_on_another_topic(seen) || was_told && expectation.is_met_under_another_version(seen)
    };
    messages.find(|seen| expectation.by == Party::Module && claims.of(seen.seq).is_none() && is_elsewhere(seen))
}

/// Whether what khumbu's own EVerest sends depends on what the module under test has sent.
pub(super) fn follows_from_module(case: &Case<'_>, view: View<'_>, expectation: &Expectation) -> bool {
    let follows = match &expectation.what {
        What::Status { .. } | What::Did { .. } => case.is_other_api(),
        What::Message { kind, api, .. } => {
            let channel = kind.and_then(|kind| channel_of(kind, *api));
            channel.is_some_and(Channel::has_lanes) && case.is_other_api()
        }
        What::Reply { .. } => is_of_several(case, view, expectation),
        What::Request { .. } => false,
    };
    expectation.by == Party::Harness && follows
}

/// Whether a client under test has given the topic of an expected reply to several requests at a time: what comes there
/// cannot be told apart.
fn is_of_several(case: &Case<'_>, view: View<'_>, expectation: &Expectation) -> bool {
    let What::Reply { topic, .. } = &expectation.what else { return false };
    expectation.by == Party::Harness && case.side() == Side::Client && view.has_several_outstanding(topic)
}

/// EVerest's statuses are what a token provider or validator under test has made of them; or the scenario expects
/// what does not follow from what the module had to send.
fn outcome(case: &Case<'_>) -> (Severity, &'static str, String) {
    (Severity::Fail, "expect/outcome", format!("given what {} sent, EVerest", case.culprit()))
}

/// The actual value; a text that reads like what was expected has its quotes.
fn told_apart(mismatch: &Mismatch) -> String {
    match (actual(mismatch.actual.as_ref()), &mismatch.actual) {
        (text, Some(value)) if text == mismatch.expected => format!("`{value}`"),
        (text, _) => text,
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
